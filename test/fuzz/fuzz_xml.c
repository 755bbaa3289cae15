/* Bytes of an answer's body: a listing and an error read from them must end, in bounds, and obey their checks. */
#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "s3/answer.h"
#include "s3/list.h"
#include "s3/result.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_page(const struct s3_list_page *page, const struct s3_list_request *request)
{
    for (size_t i = 0; i < page->entry_count; i++) {
        assert(!strncmp(page->entries[i].key, request->prefix, strlen(request->prefix)));
        assert(i == 0 || strcmp(page->entries[i - 1].key, page->entries[i].key) < 0);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct s3_list_request requests[] = { { .prefix = "" }, { .prefix = "p/", .delimiter = "/", .start_after = "p/b" } };
    const char *problem;
    for (size_t i = 0; i < 2; i++) {
        struct s3_list_page page;
        if (list_parse((const char *)data, size, &requests[i], &page, &problem) == S3_OK) {
            check_page(&page, &requests[i]);
            s3_list_page_fini(&page);
        }
    }
    struct http_response response = { .status = 400, .text = BUF_INIT(1u << 20) };
    struct s3_error error;
    struct s3_put_result result;
    buf_append(&response.text, data, size);
    answer_error(&response, &error);
    result_read_etag(&response, "CopyObjectResult", &result);
    http_response_fini(&response);
    return 0;
}

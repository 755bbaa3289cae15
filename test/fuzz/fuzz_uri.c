/* Endpoints from configuration, and encoded keys from listings. */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "s3/answer.h"
#include "s3/uri.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What was parsed, written again, must parse to the same. */
static void check_endpoint(const char *text)
{
    struct uri first, second;
    const char *problem;
    if (uri_parse(text, &first, &problem) != 0)
        return;
    struct buf again = BUF_INIT(1u << 20);
    buf_printf(&again, "%s://%s%s", first.tls ? "https" : "http", first.host, first.path);
    if (again.length <= URI_ENDPOINT_MAX) {
        assert(uri_parse(again.data, &second, &problem) == 0);
        assert(first.tls == second.tls && !strcmp(first.host, second.host) && !strcmp(first.path, second.path));
        uri_fini(&second);
    }
    buf_fini(&again);
    uri_fini(&first);
}

static void check_encoding(const char *text, size_t size)
{
    struct buf encoded = BUF_INIT(1u << 20);
    uri_encode(&encoded, text, size, false);
    char *copy = buf_steal(&encoded);
    assert(uri_decode(copy) == (long)size && !memcmp(copy, text, size));
    free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = malloc(size + 1), etag[S3_ETAG_MAX + 1];
    int64_t ms;
    memcpy(text, data, size);
    text[size] = '\0';
    check_endpoint(text);
    check_encoding(text, size);
    answer_etag(text, etag);
    answer_iso_time(text, &ms);
    long length = uri_decode(text);
    assert(length <= (long)size);
    free(text);
    return 0;
}

#include "s3/result.h"

#include <stdlib.h>
#include <string.h>

#include "s3/answer.h"
#include "s3/xml.h"

struct search {
    const char *root, *name;
    bool in_root, no_memory;
    char *text;
    int64_t modified_ms;
};

static void on_open(void *arg, int depth, const char *name)
{
    struct search *search = arg;
    if (depth == 0)
        search->in_root = !strcmp(name, search->root);
}

static void on_close(void *arg, int depth, const char *parent, const char *name, const char *text)
{
    struct search *search = arg;
    (void)parent;
    if (depth != 1 || !search->in_root)
        return;
    if (!strcmp(name, search->name) && *text && !search->text) {
        search->text = strdup(text);
        search->no_memory = !search->text;
    } else if (!strcmp(name, "LastModified") && !answer_iso_time(text, &search->modified_ms)) {
        search->modified_ms = 0;
    }
}

static enum s3_outcome find(const struct http_response *response, struct search *search)
{
    static const struct xml_events events = { .open = on_open, .close = on_close };
    if (!response->text.length)
        return S3_CORRUPT;
    int rc = xml_parse(response->text.data, response->text.length, &events, search);
    if (!rc && search->text)
        return S3_OK;
    free(search->text);
    search->text = NULL;
    return search->no_memory ? S3_LOCAL : S3_CORRUPT;
}

enum s3_outcome result_read_text(const struct http_response *response, const char *root, const char *name, char **text)
{
    struct search search = { .root = root, .name = name };
    enum s3_outcome outcome = find(response, &search);
    if (outcome == S3_OK)
        *text = search.text;
    return outcome;
}

enum s3_outcome result_read_etag(const struct http_response *response, const char *root, struct s3_put_result *result)
{
    struct search search = { .root = root, .name = "ETag" };
    struct s3_put_result made = { .server_date_ms = answer_date_ms(response) };
    enum s3_outcome outcome = find(response, &search);
    if (outcome == S3_OK && !answer_etag(search.text, made.etag))
        outcome = S3_CORRUPT;
    free(search.text);
    made.mtime_ms = search.modified_ms;
    if (outcome == S3_OK)
        *result = made;
    return outcome;
}

#include "s3/headers.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>

static enum s3_outcome no_memory(struct s3_error *error)
{
    return client_refuse(error, S3_LOCAL, ENOMEM, "", "There is no memory for the request.");
}

static enum s3_outcome invalid(struct s3_error *error, const char *code, const char *message)
{
    return client_refuse(error, S3_INVALID, 0, code, message);
}

/* Keeps a string until the request is over; NULL: out of memory. */
static char *keep(struct headers_memory *memory, char *string)
{
    assert(memory->count < sizeof memory->strings / sizeof *memory->strings);
    if (string)
        memory->strings[memory->count++] = string;
    return string;
}

void headers_memory_fini(struct headers_memory *memory)
{
    for (size_t i = 0; i < memory->count; i++)
        free(memory->strings[i]);
    memory->count = 0;
}

static char *quote(const char *before, const char *text, const char *after)
{
    char *made = NULL;
    return asprintf(&made, "%s%s%s", before, text, after) < 0 ? NULL : made;
}

enum s3_outcome headers_add_etag(struct client_request *request, struct headers_memory *memory, const char *name,
                                 const char *etag, struct s3_error *error)
{
    if (!etag)
        return S3_OK;
    char *quoted = keep(memory, quote("\"", etag, "\""));
    if (!quoted)
        return no_memory(error);
    client_add_header(request, name, quoted, true);
    return S3_OK;
}

enum s3_outcome headers_add_condition(struct client_request *request, struct headers_memory *memory,
                                      const struct s3_condition *condition, struct s3_error *error)
{
    bool copy = request->kind == S3_KIND_COPY;
    request->conditional = condition->if_match != NULL;
    enum s3_outcome outcome = headers_add_etag(request, memory, "if-match", condition->if_match, error);
    if (outcome == S3_OK && copy)
        outcome = headers_add_etag(request, memory, "cf-copy-destination-if-match", condition->if_match, error);
    if (outcome == S3_OK && condition->if_absent) {
        client_add_header(request, "if-none-match", "*", true);
        if (copy)
            client_add_header(request, "cf-copy-destination-if-none-match", "*", true);
    }
    return outcome;
}

enum s3_outcome headers_add_source(struct client_request *request, struct headers_memory *memory, const char *bucket,
                                   const char *key, struct s3_error *error)
{
    struct buf source = BUF_INIT(4 * S3_KEY_MAX + 1024);
    buf_putc(&source, '/');
    uri_encode(&source, bucket, strlen(bucket), false);
    buf_putc(&source, '/');
    uri_encode(&source, key, strlen(key), true);
    char *kept = keep(memory, buf_steal(&source));
    if (!kept)
        return no_memory(error);
    client_add_header(request, "x-amz-copy-source", kept, true);
    return S3_OK;
}

static bool name_ok(const char *name)
{
    size_t length = strlen(name);
    return length > 0 && strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-_.") == length;
}

static bool value_ok(const char *value)
{
    size_t length = strlen(value);
    for (size_t i = 0; i < length; i++)
        if (value[i] < 0x20 || value[i] > 0x7e)
            return false;
    return length == 0 || (value[0] != ' ' && value[length - 1] != ' ' && !strstr(value, "=?"));
}

static enum s3_outcome add_meta(struct client_request *request, struct headers_memory *memory,
                                const struct s3_headers *headers, struct s3_error *error)
{
    size_t bytes = 0;
    if (headers->meta_count > CLIENT_META_MAX)
        return invalid(error, "MetadataTooLarge", "An object has more than 200 metadata names.");
    for (size_t i = 0; i < headers->meta_count; i++) {
        const struct s3_pair *pair = &headers->meta[i];
        if (!pair->value || !*pair->value)
            continue;
        if (!name_ok(pair->name) || !value_ok(pair->value))
            return invalid(error, "InvalidMetadata", "A metadata name or value is not plain ASCII.");
        bytes += strlen(pair->name) + strlen(pair->value);
        if (bytes > S3_META_MAX)
            return invalid(error, "MetadataTooLarge", "The metadata of an object exceeds 8,192 bytes.");
        char *name = keep(memory, quote("x-amz-meta-", pair->name, ""));
        if (!name)
            return no_memory(error);
        client_add_header(request, name, pair->value, true);
    }
    return S3_OK;
}

enum s3_outcome headers_add_stored(struct client_request *request, struct headers_memory *memory,
                                   const struct s3_headers *headers, struct s3_error *error)
{
    const struct {
        const char *name, *value;
    } plain[] = {
        { "content-type", headers->content_type },
        { "content-encoding", headers->content_encoding },
        { "content-disposition", headers->content_disposition },
        { "content-language", headers->content_language },
        { "cache-control", headers->cache_control },
        { "expires", headers->expires },
    };
    for (size_t i = 0; i < sizeof plain / sizeof *plain; i++) {
        for (const char *c = plain[i].value; c && *c; c++)
            if ((unsigned char)*c < 0x20 || *c == 0x7f)
                return invalid(error, "InvalidHeader", "A header of the object has a control character.");
        client_add_header(request, plain[i].name, plain[i].value, false);
    }
    return add_meta(request, memory, headers, error);
}

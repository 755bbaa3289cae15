#include "s3/object.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "s3/answer.h"
#include "s3/client.h"
#include "s3/digest.h"
#include "s3/headers.h"
#include "s3/result.h"

/* ---- HEAD and GET ---- */

/* What the answer to a HEAD or GET must agree with, and what it gave. */
struct reading {
    const struct s3_get_request *get; /* NULL: a HEAD */
    bool undecoded;                   /* this is the second request, for the bytes as they are stored */
    bool want_undecoded;              /* the answer looks decompressed: ask again */
    struct s3_object object;
    size_t got;
};

static enum s3_outcome no_memory(struct s3_error *error)
{
    error->local_errno = ENOMEM;
    return S3_LOCAL;
}

static bool is_md5(const char *etag)
{
    return strlen(etag) == 32 && strspn(etag, "0123456789abcdef") == 32;
}

/* With KMS or customer keys an ETag has the form of an MD5 and is none. */
static bool etag_is_md5(const struct http_response *response, const char *etag)
{
    const char *encryption = http_header(response, "x-amz-server-side-encryption");
    bool plain = !encryption || !strcmp(encryption, "AES256");
    return plain && is_md5(etag) && !http_header(response, "x-amz-server-side-encryption-customer-algorithm");
}

/* The bytes that the request asked for, given the object's size; false: none (offset lies behind the end). */
static bool expected_range(const struct s3_get_request *get, uint64_t size, uint64_t *length)
{
    if (get->offset > size || (get->offset == size && get->length))
        return false;
    *length = size - get->offset;
    if (get->length && get->length < *length)
        *length = get->length;
    return true;
}

static bool range_agrees(const struct http_response *response, const struct reading *reading)
{
    unsigned long long first, last, size;
    const struct s3_get_request *get = reading->get;
    const char *range = http_header(response, "content-range");
    uint64_t length;
    if (!expected_range(get, reading->object.size, &length) || response->sink_length != length)
        return false;
    if (response->status != 206)
        return get->offset == 0 && length == reading->object.size;
    return range && sscanf(range, "bytes %llu-%llu/%llu", &first, &last, &size) == 3 && first == get->offset &&
           length > 0 && last == get->offset + length - 1;
}

static enum s3_outcome judge_bytes(struct reading *reading, const struct http_response *response, struct s3_error *error)
{
    const struct s3_get_request *get = reading->get;
    char md5[33];
    if (!range_agrees(response, reading)) {
        snprintf(error->message, sizeof error->message, "The answer has other bytes than those asked for.");
        return S3_CORRUPT;
    }
    bool whole = get->offset == 0 && response->sink_length == reading->object.size;
    if (!get->verify || !whole || !etag_is_md5(response, reading->object.etag))
        return S3_OK;
    if (digest_md5_hex(get->buffer, response->sink_length, md5))
        return no_memory(error);
    if (strcmp(md5, reading->object.etag) == 0)
        return S3_OK;
    snprintf(error->message, sizeof error->message, "The bytes' MD5 is not the object's.");
    return S3_CORRUPT;
}

/* An answer without a length, or of another size than listed, was decompressed by something on the way. */
static bool looks_decoded(const struct reading *reading, const struct http_response *response)
{
    const struct s3_get_request *get = reading->get;
    return !response->length_known || (get && get->listed_size && reading->object.size != get->listed_size);
}

static enum s3_outcome judge_reading(void *arg, const struct http_response *response, struct s3_error *error)
{
    struct reading *reading = arg;
    s3_object_fini(&reading->object);
    enum s3_outcome outcome = answer_object(response, &reading->object);
    if (outcome != S3_OK)
        return outcome == S3_LOCAL ? no_memory(error) : outcome;
    reading->got = response->sink_length;
    if (looks_decoded(reading, response)) {
        if (!reading->undecoded) {
            reading->want_undecoded = true;
            return S3_OK;
        }
        /* Without a condition another version may simply be there by now. */
        if (!response->length_known || reading->get->if_match)
            return S3_CORRUPT;
    }
    return reading->get ? judge_bytes(reading, response, error) : S3_OK;
}

static enum s3_outcome run_reading(struct s3 *s3, const struct s3_call *call, struct client_request *request,
                                   struct reading *reading, struct s3_error *error)
{
    request->judge = judge_reading;
    request->judge_arg = reading;
    enum s3_outcome outcome = client_run(s3, call, request, error);
    bool outgrew = outcome == S3_LOCAL && error->local_errno == EFBIG && request->length_unknown;
    if (outgrew || (outcome == S3_OK && reading->want_undecoded)) {
        request->undecoded = reading->undecoded = true;
        outcome = client_run(s3, call, request, error);
    }
    if (outcome != S3_OK)
        s3_object_fini(&reading->object);
    return outcome;
}

enum s3_outcome object_head(void *ctx, const struct s3_call *call, const char *key, struct s3_object *object,
                            struct s3_error *error)
{
    struct client_request request = { .kind = S3_KIND_HEAD, .key = key };
    struct reading reading = { 0 };
    enum s3_outcome outcome = run_reading(ctx, call, &request, &reading, error);
    if (outcome == S3_OK)
        *object = reading.object;
    return outcome;
}

enum s3_outcome object_get(void *ctx, const struct s3_call *call, const struct s3_get_request *get, struct s3_object *object,
                           size_t *got, struct s3_error *error)
{
    char range[64] = "", nowhere = '\0';
    struct client_request request = { .kind = S3_KIND_GET, .key = get->key, .sink = get->buffer ? get->buffer : &nowhere,
                                      .sink_capacity = get->buffer ? get->capacity : 0, .conditional = get->if_match };
    struct headers_memory memory = { .count = 0 };
    struct reading reading = { .get = get };
    if (get->length > UINT64_MAX - get->offset)
        return client_refuse(error, S3_INVALID, 0, "InvalidRange", "The range to read is too large.");
    if (get->length)
        snprintf(range, sizeof range, "bytes=%llu-%llu", (unsigned long long)get->offset,
                 (unsigned long long)(get->offset + get->length - 1));
    else if (get->offset)
        snprintf(range, sizeof range, "bytes=%llu-", (unsigned long long)get->offset);
    client_add_header(&request, "range", range, false);
    enum s3_outcome outcome = headers_add_etag(&request, &memory, "if-match", get->if_match, error);
    if (outcome == S3_OK)
        outcome = run_reading(ctx, call, &request, &reading, error);
    if (outcome == S3_OK) {
        *object = reading.object;
        *got = reading.got;
    }
    headers_memory_fini(&memory);
    return outcome;
}

/* ---- PUT, Copy, DELETE ---- */

static enum s3_outcome judge_put(void *arg, const struct http_response *response, struct s3_error *error)
{
    struct s3_put_result made = { .server_date_ms = answer_date_ms(response) };
    (void)error;
    if (!answer_etag(http_header(response, "etag"), made.etag))
        return S3_CORRUPT;
    *(struct s3_put_result *)arg = made;
    return S3_OK;
}

enum s3_outcome object_put(void *ctx, const struct s3_call *call, const struct s3_put_request *put,
                           struct s3_put_result *result, struct s3_error *error)
{
    struct s3_put_result made = { 0 };
    struct headers_memory memory = { .count = 0 };
    struct client_request request = { .kind = S3_KIND_PUT, .key = put->key, .body = &put->body, .content_md5 = true,
                                      .judge = judge_put, .judge_arg = &made };
    enum s3_outcome outcome;
    if (put->body.length > S3_PUT_MAX)
        return client_refuse(error, S3_INVALID, 0, "EntityTooLarge", "A single PUT takes at most 4.995 GiB.");
    outcome = headers_add_stored(&request, &memory, &put->headers, error);
    if (outcome == S3_OK)
        outcome = headers_add_condition(&request, &memory, &put->condition, error);
    if (outcome == S3_OK)
        outcome = client_run(ctx, call, &request, error);
    if (outcome == S3_OK)
        *result = made;
    headers_memory_fini(&memory);
    return outcome;
}

static enum s3_outcome judge_copy(void *arg, const struct http_response *response, struct s3_error *error)
{
    (void)error;
    return result_read_etag(response, "CopyObjectResult", arg);
}

enum s3_outcome object_copy(void *ctx, const struct s3_call *call, const struct s3_copy_request *copy,
                            struct s3_put_result *result, struct s3_error *error)
{
    struct s3_put_result made = { 0 };
    struct headers_memory memory = { .count = 0 };
    struct client_request request = { .kind = S3_KIND_COPY, .key = copy->key, .judge = judge_copy, .judge_arg = &made };
    bool replace = copy->directive == S3_META_REPLACE;
    enum s3_outcome outcome = headers_add_source(&request, &memory, client_bucket(ctx), copy->source, error);
    client_add_header(&request, "x-amz-metadata-directive", replace ? "REPLACE" : "COPY", true);
    if (outcome == S3_OK)
        outcome = headers_add_etag(&request, &memory, "x-amz-copy-source-if-match", copy->source_if_match, error);
    if (outcome == S3_OK && replace)
        outcome = headers_add_stored(&request, &memory, &copy->headers, error);
    if (outcome == S3_OK)
        outcome = headers_add_condition(&request, &memory, &copy->condition, error);
    if (outcome == S3_OK)
        outcome = client_run(ctx, call, &request, error);
    if (outcome == S3_OK)
        *result = made;
    headers_memory_fini(&memory);
    return outcome;
}

enum s3_outcome object_remove(void *ctx, const struct s3_call *call, const struct s3_delete_request *remove,
                              struct s3_error *error)
{
    struct headers_memory memory = { .count = 0 };
    struct client_request request = { .kind = S3_KIND_DELETE, .key = remove->key, .conditional = remove->if_match };
    enum s3_outcome outcome = headers_add_etag(&request, &memory, "if-match", remove->if_match, error);
    if (outcome == S3_OK)
        outcome = client_run(ctx, call, &request, error);
    /* A server that answers 404 to a DELETE says what the caller wanted to hear. */
    if (outcome == S3_NOT_FOUND) {
        memset(error, 0, sizeof *error);
        outcome = S3_OK;
    }
    headers_memory_fini(&memory);
    return outcome;
}

#include "s3/upload.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "s3/answer.h"
#include "s3/client.h"
#include "s3/headers.h"
#include "s3/result.h"
#include "s3/xml.h"

#define COMPLETE_MAX (4u << 20) /* 10,000 parts with their ETags */
#define LIST_ANSWER_MAX (4u << 20)

static enum s3_outcome judge_create(void *arg, const struct http_response *response, struct s3_error *error)
{
    (void)error;
    return result_read_text(response, "InitiateMultipartUploadResult", "UploadId", arg);
}

enum s3_outcome upload_create(void *ctx, const struct s3_call *call, const struct s3_upload_request *create, char **upload_id,
                              struct s3_error *error)
{
    char *id = NULL;
    struct headers_memory memory = { .count = 0 };
    struct client_request request = { .kind = S3_KIND_CREATE_UPLOAD, .key = create->key, .judge = judge_create,
                                      .judge_arg = &id };
    client_param(&request, "uploads", NULL);
    enum s3_outcome outcome = headers_add_stored(&request, &memory, &create->headers, error);
    if (outcome == S3_OK)
        outcome = client_run(ctx, call, &request, error);
    if (outcome == S3_OK)
        *upload_id = id;
    headers_memory_fini(&memory);
    return outcome;
}

/* ---- parts ---- */

static enum s3_outcome judge_part(void *arg, const struct http_response *response, struct s3_error *error)
{
    (void)error;
    return answer_etag(http_header(response, "etag"), arg) ? S3_OK : S3_CORRUPT;
}

static enum s3_outcome judge_part_copy(void *arg, const struct http_response *response, struct s3_error *error)
{
    struct s3_put_result result;
    (void)error;
    enum s3_outcome outcome = result_read_etag(response, "CopyPartResult", &result);
    if (outcome == S3_OK)
        memcpy(arg, result.etag, sizeof result.etag);
    return outcome;
}

enum s3_outcome upload_part(void *ctx, const struct s3_call *call, const struct s3_part_request *part, struct s3_part *made,
                            struct s3_error *error)
{
    char number[16], range[64] = "", etag[S3_ETAG_MAX + 1] = "";
    struct headers_memory memory = { .count = 0 };
    struct client_request request = { .key = part->key, .judge_arg = etag };
    enum s3_outcome outcome = S3_OK;
    uint64_t length = part->source ? part->source_length : part->body.length;
    if (part->number < 1 || part->number > S3_PARTS_MAX || length > S3_PUT_MAX || (part->source && length == 0))
        return client_refuse(error, S3_INVALID, 0, "InvalidPart", "A part's number or size is out of range.");
    snprintf(number, sizeof number, "%d", part->number);
    client_param(&request, "partNumber", number);
    client_param(&request, "uploadId", part->upload_id);
    if (part->source) {
        request.kind = S3_KIND_UPLOAD_PART_COPY;
        request.judge = judge_part_copy;
        request.copied = length;
        snprintf(range, sizeof range, "bytes=%llu-%llu", (unsigned long long)part->source_offset,
                 (unsigned long long)(part->source_offset + length - 1));
        outcome = headers_add_source(&request, &memory, client_bucket(ctx), part->source, error);
        client_add_header(&request, "x-amz-copy-source-range", range, true);
    } else {
        request.kind = S3_KIND_UPLOAD_PART;
        request.judge = judge_part;
        request.body = &part->body;
        request.content_md5 = true;
    }
    if (outcome == S3_OK)
        outcome = client_run(ctx, call, &request, error);
    if (outcome == S3_OK) {
        made->number = part->number;
        memcpy(made->etag, etag, sizeof etag);
    }
    headers_memory_fini(&memory);
    return outcome;
}

/* ---- the end of an upload ---- */

static enum s3_outcome judge_complete(void *arg, const struct http_response *response, struct s3_error *error)
{
    (void)error;
    return result_read_etag(response, "CompleteMultipartUploadResult", arg);
}

static void put_parts(struct buf *xml, const struct s3_complete_request *complete)
{
    buf_puts(xml, "<CompleteMultipartUpload xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">");
    for (size_t i = 0; i < complete->part_count; i++)
        buf_printf(xml, "<Part><PartNumber>%d</PartNumber><ETag>&quot;%s&quot;</ETag></Part>", complete->parts[i].number,
                   complete->parts[i].etag);
    buf_puts(xml, "</CompleteMultipartUpload>");
}

/* An ETag goes into the XML as it is: one with markup in it never came from answer_etag of an S3 server. */
static bool parts_ok(const struct s3_complete_request *complete)
{
    if (complete->part_count == 0 || complete->part_count > S3_PARTS_MAX)
        return false;
    for (size_t i = 0; i < complete->part_count; i++)
        if (strpbrk(complete->parts[i].etag, "<>&\"'") || (i && complete->parts[i].number <= complete->parts[i - 1].number))
            return false;
    return true;
}

enum s3_outcome upload_complete(void *ctx, const struct s3_call *call, const struct s3_complete_request *complete,
                                struct s3_put_result *result, struct s3_error *error)
{
    struct buf xml = BUF_INIT(COMPLETE_MAX);
    struct s3_put_result made = { 0 };
    struct headers_memory memory = { .count = 0 };
    struct client_request request = { .kind = S3_KIND_COMPLETE_UPLOAD, .key = complete->key, .judge = judge_complete,
                                      .judge_arg = &made };
    if (!parts_ok(complete))
        return client_refuse(error, S3_INVALID, 0, "InvalidPartOrder", "The parts are not in ascending order, or too many.");
    put_parts(&xml, complete);
    const struct s3_body body = { .data = xml.data, .length = xml.length };
    request.body = &body;
    client_param(&request, "uploadId", complete->upload_id);
    client_add_header(&request, "content-type", "application/xml", false);
    enum s3_outcome outcome = xml.failed ? client_refuse(error, S3_LOCAL, ENOMEM, "", "There is no memory for the request.")
                                         : headers_add_condition(&request, &memory, &complete->condition, error);
    if (outcome == S3_OK)
        outcome = client_run(ctx, call, &request, error);
    if (outcome == S3_OK)
        *result = made;
    headers_memory_fini(&memory);
    buf_fini(&xml);
    return outcome;
}

enum s3_outcome upload_abort(void *ctx, const struct s3_call *call, const char *key, const char *upload_id,
                             struct s3_error *error)
{
    struct client_request request = { .kind = S3_KIND_ABORT_UPLOAD, .key = key };
    client_param(&request, "uploadId", upload_id);
    return client_run(ctx, call, &request, error);
}

/* ---- ListMultipartUploads ---- */

struct uploads {
    struct s3_upload_entry *entries;
    size_t count;
    bool in_root, encoded, no_memory, broken;
    struct s3_upload_entry now; /* the <Upload> being read */
};

static void on_open(void *arg, int depth, const char *name)
{
    struct uploads *uploads = arg;
    if (depth == 0)
        uploads->in_root = !strcmp(name, "ListMultipartUploadsResult");
}

static void set(struct uploads *uploads, char **to, const char *text)
{
    free(*to);
    *to = strdup(text);
    uploads->no_memory = uploads->no_memory || !*to;
}

static void add_upload(struct uploads *uploads)
{
    struct s3_upload_entry *entries = NULL;
    if (uploads->now.key && uploads->now.upload_id && uploads->count < S3_LIST_MAX)
        entries = realloc(uploads->entries, (uploads->count + 1) * sizeof *entries);
    if (entries) {
        uploads->entries = entries;
        entries[uploads->count++] = uploads->now;
    } else {
        uploads->broken = true;
        free(uploads->now.key);
        free(uploads->now.upload_id);
    }
    memset(&uploads->now, 0, sizeof uploads->now);
}

static void on_close(void *arg, int depth, const char *parent, const char *name, const char *text)
{
    struct uploads *uploads = arg;
    if (!uploads->in_root)
        return;
    if (depth == 1 && !strcmp(name, "EncodingType"))
        uploads->encoded = !strcmp(text, "url");
    if (depth == 1 && !strcmp(name, "Upload"))
        add_upload(uploads);
    if (depth != 2 || strcmp(parent, "Upload") != 0)
        return;
    if (!strcmp(name, "Key"))
        set(uploads, &uploads->now.key, text);
    else if (!strcmp(name, "UploadId"))
        set(uploads, &uploads->now.upload_id, text);
    else if (!strcmp(name, "Initiated") && !answer_iso_time(text, &uploads->now.initiated_ms))
        uploads->broken = true;
}

static void uploads_fini(struct uploads *uploads)
{
    s3_upload_entries_free(uploads->entries, uploads->count);
    free(uploads->now.key);
    free(uploads->now.upload_id);
    memset(uploads, 0, sizeof *uploads);
}

static enum s3_outcome judge_list(void *arg, const struct http_response *response, struct s3_error *error)
{
    static const struct xml_events events = { .open = on_open, .close = on_close };
    struct uploads *uploads = arg;
    uploads_fini(uploads);
    int rc = response->text.length ? xml_parse(response->text.data, response->text.length, &events, uploads) : -EBADMSG;
    if (uploads->no_memory) {
        error->local_errno = ENOMEM;
        return S3_LOCAL;
    }
    if (rc || !uploads->in_root || uploads->broken)
        return S3_CORRUPT;
    for (size_t i = 0; uploads->encoded && i < uploads->count; i++)
        if (uri_decode(uploads->entries[i].key) < 0)
            return S3_CORRUPT;
    return S3_OK;
}

enum s3_outcome upload_list(void *ctx, const struct s3_call *call, const char *prefix, struct s3_upload_entry **entries,
                            size_t *count, struct s3_error *error)
{
    struct uploads uploads = { .count = 0 };
    struct client_request request = { .kind = S3_KIND_LIST_UPLOADS, .judge = judge_list, .judge_arg = &uploads,
                                      .text_max = LIST_ANSWER_MAX };
    client_param(&request, "uploads", NULL);
    client_param(&request, "encoding-type", "url");
    client_param(&request, "max-uploads", "1000");
    if (*prefix)
        client_param(&request, "prefix", prefix);
    enum s3_outcome outcome = client_run(ctx, call, &request, error);
    if (outcome != S3_OK) {
        uploads_fini(&uploads);
        return outcome;
    }
    *entries = uploads.entries;
    *count = uploads.count;
    return S3_OK;
}

#include "test/lib/memstore.h"

#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "s3/base/clock.h"

void *mem_alloc(size_t size)
{
    void *p = calloc(1, size ? size : 1);
    if (!p)
        abort();
    return p;
}

char *mem_dup(const char *string)
{
    return string ? strcpy(mem_alloc(strlen(string) + 1), string) : NULL;
}

static char *dup_bytes(const void *data, size_t length)
{
    char *copy = mem_alloc(length + 1);
    if (length)
        memcpy(copy, data, length);
    return copy;
}

static void hex16(const unsigned char digest[16], char hex[33])
{
    for (int i = 0; i < 16; i++)
        snprintf(hex + 2 * i, 3, "%02x", digest[i]);
}

void mem_md5(const void *data, size_t length, char hex[33])
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    if (!EVP_Digest(data, length, digest, NULL, EVP_md5(), NULL))
        abort();
    hex16(digest, hex);
}

enum s3_outcome mem_error(struct s3_error *error, enum s3_outcome outcome, int http_status, const char *code)
{
    memset(error, 0, sizeof *error);
    error->outcome = outcome;
    error->http_status = http_status;
    snprintf(error->code, sizeof error->code, "%s", code);
    if (outcome != S3_OK)
        snprintf(error->message, sizeof error->message, "The bucket in memory answered %s.", s3_outcome_name(outcome));
    return outcome;
}

static char *dup_header(const char *value)
{
    return value && *value ? mem_dup(value) : NULL;
}

void mem_headers_copy(struct s3_object *to, const struct s3_headers *from)
{
    to->content_type = dup_header(from->content_type);
    to->content_encoding = dup_header(from->content_encoding);
    to->content_disposition = dup_header(from->content_disposition);
    to->content_language = dup_header(from->content_language);
    to->cache_control = dup_header(from->cache_control);
    to->expires = dup_header(from->expires);
    to->meta = mem_alloc(from->meta_count * sizeof *to->meta);
    for (size_t i = 0; i < from->meta_count; i++) {
        if (!from->meta[i].value || !*from->meta[i].value)
            continue; /* never sent empty */
        to->meta[to->meta_count].name = mem_dup(from->meta[i].name);
        to->meta[to->meta_count++].value = mem_dup(from->meta[i].value);
    }
}

void mem_headers_dup(struct s3_object *to, const struct s3_object *from)
{
    struct s3_headers headers = {
        .content_type = from->content_type,
        .content_encoding = from->content_encoding,
        .content_disposition = from->content_disposition,
        .content_language = from->content_language,
        .cache_control = from->cache_control,
        .expires = from->expires,
        .meta = from->meta,
        .meta_count = from->meta_count,
    };
    mem_headers_copy(to, &headers);
}

/* ---- objects ---- */

size_t mem_store_lower_bound(const struct mem_store *store, const char *key)
{
    size_t low = 0, high = store->object_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (strcmp(store->objects[middle]->key, key) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

const struct mem_object *mem_store_find(const struct mem_store *store, const char *key)
{
    size_t i = mem_store_lower_bound(store, key);
    return i < store->object_count && !strcmp(store->objects[i]->key, key) ? store->objects[i] : NULL;
}

static void object_free(struct mem_object *object)
{
    free(object->key);
    free(object->data);
    s3_object_fini(&object->headers);
    free(object);
}

static void erase(struct mem_store *store, const char *key)
{
    size_t i = mem_store_lower_bound(store, key);
    if (i == store->object_count || strcmp(store->objects[i]->key, key) != 0)
        return;
    object_free(store->objects[i]);
    store->object_count--;
    memmove(store->objects + i, store->objects + i + 1, (store->object_count - i) * sizeof *store->objects);
}

/* Takes data; headers are copied. */
static struct mem_object *insert(struct mem_store *store, const char *key, char *data, size_t length, const char *etag,
                                 const struct s3_object *headers)
{
    struct mem_object *object = mem_alloc(sizeof *object);
    object->key = mem_dup(key);
    object->data = data;
    object->length = length;
    object->mtime_ms = clock_wall_ms();
    snprintf(object->etag, sizeof object->etag, "%s", etag);
    mem_headers_dup(&object->headers, headers);
    erase(store, key);
    if (store->object_count == store->object_capacity) {
        store->object_capacity = store->object_capacity ? store->object_capacity * 2 : 64;
        store->objects = realloc(store->objects, store->object_capacity * sizeof *store->objects);
        if (!store->objects)
            abort();
    }
    size_t i = mem_store_lower_bound(store, key);
    memmove(store->objects + i + 1, store->objects + i, (store->object_count - i) * sizeof *store->objects);
    store->objects[i] = object;
    store->object_count++;
    return object;
}

void mem_object_describe(struct s3_object *to, const struct mem_object *object)
{
    memset(to, 0, sizeof *to);
    mem_headers_dup(to, &object->headers);
    to->size = object->length;
    to->mtime_ms = object->mtime_ms / 1000 * 1000;
    to->mtime_coarse = true;
    snprintf(to->etag, sizeof to->etag, "%s", object->etag);
}

/* ---- uploads ---- */

static void upload_fini(struct mem_upload *upload)
{
    for (size_t i = 0; i < upload->part_count; i++)
        free(upload->parts[i].data);
    free(upload->parts);
    free(upload->id);
    free(upload->key);
    s3_object_fini(&upload->headers);
}

static struct mem_upload *upload_find(struct mem_store *store, const struct mem_change *change)
{
    for (size_t i = 0; i < store->upload_count; i++)
        if (!strcmp(store->uploads[i].id, change->upload_id) && !strcmp(store->uploads[i].key, change->key))
            return &store->uploads[i];
    return NULL;
}

static void upload_remove(struct mem_store *store, struct mem_upload *upload)
{
    upload_fini(upload);
    size_t i = (size_t)(upload - store->uploads);
    store->upload_count--;
    memmove(upload, upload + 1, (store->upload_count - i) * sizeof *upload);
}

void mem_store_fini(struct mem_store *store)
{
    for (size_t i = 0; i < store->object_count; i++)
        object_free(store->objects[i]);
    free(store->objects);
    for (size_t i = 0; i < store->upload_count; i++)
        upload_fini(&store->uploads[i]);
    free(store->uploads);
}

void mem_change_free(struct mem_change *change)
{
    if (!change)
        return;
    free(change->key);
    free(change->source);
    free(change->source_if_match);
    free(change->if_match);
    free(change->data);
    free(change->md5);
    free(change->upload_id);
    free(change->parts);
    s3_object_fini(&change->headers);
    free(change);
}

/* ---- changes ---- */

static enum s3_outcome check_condition(const struct mem_store *store, const struct mem_change *change, struct s3_error *error)
{
    const struct mem_object *now = mem_store_find(store, change->key);
    if (change->if_match && !now)
        return mem_error(error, S3_PRECONDITION, 404, "NoSuchKey");
    if ((change->if_match && strcmp(change->if_match, now->etag) != 0) || (change->if_absent && now))
        return mem_error(error, S3_PRECONDITION, 412, "PreconditionFailed");
    return S3_OK;
}

static enum s3_outcome check_request(const struct mem_change *change, struct s3_error *error)
{
    size_t bytes = 0, length = strlen(change->key);
    if (length == 0 || length > S3_KEY_MAX)
        return mem_error(error, S3_INVALID, 400, "KeyTooLongError");
    for (size_t i = 0; i < change->headers.meta_count; i++) {
        const struct s3_pair *pair = &change->headers.meta[i];
        bytes += strlen(pair->name) + strlen(pair->value);
        for (const char *c = pair->value; *c; c++)
            if (*c < 0x20 || *c > 0x7e)
                return mem_error(error, S3_INVALID, 0, "");
    }
    if (bytes > S3_META_MAX)
        return mem_error(error, S3_INVALID, 400, "MetadataTooLarge");
    char md5[33];
    mem_md5(change->data, change->length, md5);
    if (change->md5 && strcmp(change->md5, md5) != 0)
        return mem_error(error, S3_CORRUPT, 400, "BadDigest");
    return S3_OK;
}

static void reply_object(struct mem_reply *reply, const struct mem_object *object)
{
    snprintf(reply->etag, sizeof reply->etag, "%s", object->etag);
    reply->size = object->length;
}

static enum s3_outcome apply_put(struct mem_store *store, const struct mem_change *change, struct mem_reply *reply,
                                 struct s3_error *error)
{
    if (!store->config.ignore_put_condition && check_condition(store, change, error) != S3_OK)
        return error->outcome;
    char md5[33];
    mem_md5(change->data, change->length, md5);
    reply_object(reply, insert(store, change->key, dup_bytes(change->data, change->length), change->length, md5,
                               &change->headers));
    return S3_OK;
}

static enum s3_outcome apply_copy(struct mem_store *store, const struct mem_change *change, struct mem_reply *reply,
                                  struct s3_error *error)
{
    const struct mem_object *source = mem_store_find(store, change->source);
    if (!source)
        return mem_error(error, S3_NOT_FOUND, 404, "NoSuchKey");
    if (change->source_if_match && strcmp(change->source_if_match, source->etag) != 0)
        return mem_error(error, S3_PRECONDITION, 412, "PreconditionFailed");
    if (!store->config.ignore_copy_condition && check_condition(store, change, error) != S3_OK)
        return error->outcome;
    if (!strcmp(change->source, change->key) && change->directive == S3_META_COPY)
        return mem_error(error, S3_INVALID, 400, "InvalidRequest");
    char md5[33];
    mem_md5(source->data, source->length, md5);
    struct s3_object headers = { 0 };
    mem_headers_dup(&headers, change->directive == S3_META_COPY ? &source->headers : &change->headers);
    const struct mem_object *made =
        insert(store, change->key, dup_bytes(source->data, source->length), source->length, md5, &headers);
    s3_object_fini(&headers);
    reply_object(reply, made);
    reply->mtime_ms = made->mtime_ms;
    return S3_OK;
}

static enum s3_outcome apply_delete(struct mem_store *store, const struct mem_change *change, struct s3_error *error)
{
    if (store->config.honour_delete_condition && check_condition(store, change, error) != S3_OK)
        return error->outcome;
    erase(store, change->key);
    return S3_OK;
}

static enum s3_outcome apply_create_upload(struct mem_store *store, const struct mem_change *change, struct mem_reply *reply)
{
    char id[32];
    snprintf(id, sizeof id, "upload-%llu", (unsigned long long)++store->upload_serial);
    store->uploads = realloc(store->uploads, (store->upload_count + 1) * sizeof *store->uploads);
    if (!store->uploads)
        abort();
    struct mem_upload *upload = &store->uploads[store->upload_count++];
    *upload = (struct mem_upload){ .id = mem_dup(id), .key = mem_dup(change->key), .initiated_ms = clock_wall_ms() };
    mem_headers_dup(&upload->headers, &change->headers);
    reply->upload_id = mem_dup(id);
    return S3_OK;
}

static void set_part(struct mem_upload *upload, int number, const char *data, size_t length, struct mem_reply *reply)
{
    size_t i = 0;
    while (i < upload->part_count && upload->parts[i].number < number)
        i++;
    if (i == upload->part_count || upload->parts[i].number != number) {
        upload->parts = realloc(upload->parts, (upload->part_count + 1) * sizeof *upload->parts);
        if (!upload->parts)
            abort();
        memmove(upload->parts + i + 1, upload->parts + i, (upload->part_count - i) * sizeof *upload->parts);
        upload->part_count++;
    } else {
        free(upload->parts[i].data);
    }
    struct mem_part *part = &upload->parts[i];
    *part = (struct mem_part){ .number = number, .data = dup_bytes(data, length), .length = length };
    mem_md5(data, length, part->etag);
    snprintf(reply->etag, sizeof reply->etag, "%s", part->etag);
    reply->size = length;
}

static enum s3_outcome apply_part(struct mem_store *store, const struct mem_change *change, struct mem_reply *reply,
                                  struct s3_error *error)
{
    struct mem_upload *upload = upload_find(store, change);
    if (!upload)
        return mem_error(error, S3_NO_UPLOAD, 404, "NoSuchUpload");
    if (change->part_number < 1 || change->part_number > S3_PARTS_MAX)
        return mem_error(error, S3_INVALID, 400, "InvalidArgument");
    if (!change->source) {
        set_part(upload, change->part_number, change->data, change->length, reply);
        return S3_OK;
    }
    const struct mem_object *source = mem_store_find(store, change->source);
    if (!source)
        return mem_error(error, S3_NOT_FOUND, 404, "NoSuchKey");
    if (change->source_offset > source->length || change->source_length > source->length - change->source_offset)
        return mem_error(error, S3_RANGE, 416, "InvalidRange");
    set_part(upload, change->part_number, source->data + change->source_offset, change->source_length, reply);
    return S3_OK;
}

/* The parts that Complete names, checked as R2 does. */
static enum s3_outcome check_parts(const struct mem_store *store, const struct mem_upload *upload,
                                   const struct mem_change *change, const struct mem_part **chosen, struct s3_error *error)
{
    uint64_t least = store->config.part_min ? store->config.part_min : S3_PART_MIN;
    if (change->part_count == 0)
        return mem_error(error, S3_INVALID, 400, "MalformedXML");
    for (size_t i = 0; i < change->part_count; i++) {
        if (i && change->parts[i].number <= change->parts[i - 1].number)
            return mem_error(error, S3_INVALID, 400, "InvalidPartOrder");
        chosen[i] = NULL;
        for (size_t j = 0; j < upload->part_count; j++)
            if (upload->parts[j].number == change->parts[i].number)
                chosen[i] = &upload->parts[j];
        if (!chosen[i] || strcmp(chosen[i]->etag, change->parts[i].etag) != 0)
            return mem_error(error, S3_INVALID, 400, "InvalidPart");
        bool last = i + 1 == change->part_count;
        if (!last && chosen[i]->length < least)
            return mem_error(error, S3_INVALID, 400, "EntityTooSmall");
        if (i && (last ? chosen[i]->length > chosen[0]->length : chosen[i]->length != chosen[0]->length))
            return mem_error(error, S3_INVALID, 400, "InvalidPart");
    }
    return S3_OK;
}

static void join_parts(const struct mem_part **parts, size_t count, char **data, size_t *length, char *etag, size_t etag_size)
{
    *length = 0;
    for (size_t i = 0; i < count; i++)
        *length += parts[i]->length;
    *data = mem_alloc(*length + 1);
    unsigned char *digests = mem_alloc(16 * count);
    size_t at = 0;
    for (size_t i = 0; i < count; i++) {
        memcpy(*data + at, parts[i]->data, parts[i]->length);
        at += parts[i]->length;
        for (int j = 0; j < 16; j++) {
            char byte[3] = { parts[i]->etag[2 * j], parts[i]->etag[2 * j + 1], '\0' };
            digests[16 * i + (size_t)j] = (unsigned char)strtoul(byte, NULL, 16);
        }
    }
    char md5[33];
    mem_md5(digests, 16 * count, md5);
    free(digests);
    snprintf(etag, etag_size, "%s-%zu", md5, count);
}

static enum s3_outcome apply_complete(struct mem_store *store, const struct mem_change *change, struct mem_reply *reply,
                                      struct s3_error *error)
{
    struct mem_upload *upload = upload_find(store, change);
    if (!upload)
        return mem_error(error, S3_NO_UPLOAD, 404, "NoSuchUpload");
    const struct mem_part **parts = mem_alloc(change->part_count * sizeof(void *));
    enum s3_outcome outcome = check_parts(store, upload, change, parts, error);
    if (outcome == S3_OK && !store->config.ignore_complete_condition) {
        outcome = check_condition(store, change, error);
        if (outcome != S3_OK)
            upload_remove(store, upload);
    }
    if (outcome == S3_OK) {
        char *data, etag[S3_ETAG_MAX + 1];
        size_t length;
        join_parts(parts, change->part_count, &data, &length, etag, sizeof etag);
        reply_object(reply, insert(store, change->key, data, length, etag, &upload->headers));
        upload_remove(store, upload);
    }
    free(parts);
    return outcome;
}

static enum s3_outcome apply_abort(struct mem_store *store, const struct mem_change *change, struct s3_error *error)
{
    struct mem_upload *upload = upload_find(store, change);
    if (!upload)
        return mem_error(error, S3_NO_UPLOAD, 404, "NoSuchUpload");
    upload_remove(store, upload);
    return S3_OK;
}

enum s3_outcome mem_store_apply(struct mem_store *store, const struct mem_change *change, struct mem_reply *reply,
                                struct s3_error *error)
{
    if (check_request(change, error) != S3_OK)
        return error->outcome;
    mem_error(error, S3_OK, 0, "");
    switch (change->kind) {
    case S3_KIND_PUT:
        return apply_put(store, change, reply, error);
    case S3_KIND_COPY:
        return apply_copy(store, change, reply, error);
    case S3_KIND_DELETE:
    case S3_KIND_DELETE_OBJECTS:
        return apply_delete(store, change, error);
    case S3_KIND_CREATE_UPLOAD:
        return apply_create_upload(store, change, reply);
    case S3_KIND_UPLOAD_PART:
    case S3_KIND_UPLOAD_PART_COPY:
        return apply_part(store, change, reply, error);
    case S3_KIND_COMPLETE_UPLOAD:
        return apply_complete(store, change, reply, error);
    case S3_KIND_ABORT_UPLOAD:
        return apply_abort(store, change, error);
    default:
        abort();
    }
}

/* The seam: struct s3_ops over the bucket in memory. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "s3/base/clock.h"
#include "s3/page.h"
#include "test/lib/visit.h"

/* ---- mutations ---- */

static struct mark *mark_get(struct membucket *bucket, const char *key)
{
    struct mark *mark;
    HASH_FIND_STR(bucket->marks, key, mark);
    if (!mark) {
        mark = mem_alloc(sizeof *mark);
        mark->key = mem_dup(key);
        HASH_ADD_KEYPTR(hh, bucket->marks, mark->key, strlen(mark->key), mark);
    }
    return mark;
}

/* Parts of one upload may go in parallel; they do not change the key. */
static bool changes_key(enum s3_kind kind)
{
    return kind == S3_KIND_PUT || kind == S3_KIND_COPY || kind == S3_KIND_DELETE || kind == S3_KIND_DELETE_OBJECTS ||
           kind == S3_KIND_COMPLETE_UPLOAD;
}

static void flight_begin(struct membucket *bucket, const struct mem_change *change)
{
    if (!changes_key(change->kind))
        return;
    visit_take(bucket);
    if (mark_get(bucket, change->key)->in_flight++)
        bucket->overlaps++;
    visit_drop(bucket);
}

static void flight_end(struct membucket *bucket, const struct mem_change *change)
{
    if (!changes_key(change->kind))
        return;
    visit_take(bucket);
    mark_get(bucket, change->key)->in_flight--;
    visit_drop(bucket);
}

static bool too_soon_locked(struct membucket *bucket, const struct mem_change *change)
{
    int interval = bucket->store.config.write_interval_ms;
    if (!interval || !changes_key(change->kind))
        return false;
    struct mark *mark = mark_get(bucket, change->key);
    int64_t now = clock_mono_ms();
    if (mark->written_ms && now - mark->written_ms < interval)
        return true;
    mark->written_ms = now;
    return false;
}

/* The body as bytes of our own; false: the file ended early or could not be read. */
static bool read_body(const struct s3_body *body, struct mem_change *change)
{
    change->data = mem_alloc(body->length + 1);
    change->length = body->length;
    change->md5 = mem_dup(body->md5);
    if (body->data) {
        memcpy(change->data, body->data, body->length);
        return true;
    }
    for (size_t at = 0; at < body->length;) {
        ssize_t n = pread(body->fd, change->data + at, body->length - at, (off_t)(body->offset + at));
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        at += (size_t)n;
    }
    return true;
}

static void make_late(struct membucket *bucket, struct mem_change *change)
{
    struct late *late = mem_alloc(sizeof *late), **end;
    late->change = change;
    visit_take(bucket);
    for (end = &bucket->late; *end; end = &(*end)->next)
        ;
    *end = late;
    visit_drop(bucket);
}

static enum s3_outcome mutate(struct visit *visit, struct mem_change **change, struct mem_reply *reply)
{
    struct membucket *bucket = visit->client->bucket;
    enum s3_outcome outcome = visit_enter(visit);
    if (outcome != S3_OK)
        return outcome;
    if (visit->action == MEMBUCKET_LATE) {
        make_late(bucket, *change);
        *change = NULL;
        return visit_fail(visit, S3_UNKNOWN);
    }
    visit_moved(visit, (*change)->length, true);
    visit_take(bucket);
    if (too_soon_locked(bucket, *change))
        outcome = mem_error(visit->error, S3_THROTTLED, 429, "TooManyRequests");
    else
        outcome = visit_apply_locked(bucket, *change, reply, visit->error);
    visit_drop(bucket);
    return visit_leave(visit, outcome);
}

static struct mem_change *change_new(void *ctx, enum s3_kind kind, const char *key, const struct s3_condition *condition)
{
    struct mem_change *change = mem_alloc(sizeof *change);
    change->kind = kind;
    change->client = ((struct membucket_client *)ctx)->number;
    change->key = mem_dup(key);
    if (condition) {
        change->if_match = mem_dup(condition->if_match);
        change->if_absent = condition->if_absent;
    }
    return change;
}

/* Does the change, which it frees, as one call. */
static enum s3_outcome run(void *ctx, const struct s3_call *call, struct mem_change *change, struct mem_reply *reply,
                           struct s3_error *error)
{
    struct membucket *bucket = ((struct membucket_client *)ctx)->bucket;
    char *key = mem_dup(change->key);
    struct visit visit = { .client = ctx, .call = call, .kind = change->kind, .key = key, .error = error };
    struct mem_change note = { .kind = change->kind, .key = key };
    flight_begin(bucket, &note);
    enum s3_outcome outcome = mutate(&visit, &change, reply);
    flight_end(bucket, &note);
    if (outcome != S3_OK) {
        free(reply->upload_id);
        reply->upload_id = NULL;
    }
    mem_change_free(change);
    free(key);
    return outcome;
}

static enum s3_outcome bad_body(struct mem_change *change, struct s3_error *error)
{
    mem_change_free(change);
    mem_error(error, S3_LOCAL, 0, "");
    error->local_errno = EIO;
    return S3_LOCAL;
}

static void put_result(struct s3_put_result *result, const struct mem_reply *reply)
{
    memset(result, 0, sizeof *result);
    snprintf(result->etag, sizeof result->etag, "%s", reply->etag);
    result->mtime_ms = reply->mtime_ms;
    result->server_date_ms = clock_wall_ms() / 1000 * 1000;
}

static enum s3_outcome op_put(void *ctx, const struct s3_call *call, const struct s3_put_request *request,
                              struct s3_put_result *result, struct s3_error *error)
{
    struct mem_change *change = change_new(ctx, S3_KIND_PUT, request->key, &request->condition);
    struct mem_reply reply = { 0 };
    mem_headers_copy(&change->headers, &request->headers);
    if (!read_body(&request->body, change))
        return bad_body(change, error);
    enum s3_outcome outcome = run(ctx, call, change, &reply, error);
    if (outcome == S3_OK)
        put_result(result, &reply);
    return outcome;
}

static enum s3_outcome op_copy(void *ctx, const struct s3_call *call, const struct s3_copy_request *request,
                               struct s3_put_result *result, struct s3_error *error)
{
    struct mem_change *change = change_new(ctx, S3_KIND_COPY, request->key, &request->condition);
    struct mem_reply reply = { 0 };
    change->source = mem_dup(request->source);
    change->source_if_match = mem_dup(request->source_if_match);
    change->directive = request->directive;
    mem_headers_copy(&change->headers, &request->headers);
    enum s3_outcome outcome = run(ctx, call, change, &reply, error);
    if (outcome == S3_OK)
        put_result(result, &reply);
    return outcome;
}

static enum s3_outcome op_remove(void *ctx, const struct s3_call *call, const struct s3_delete_request *request,
                                 struct s3_error *error)
{
    struct mem_change *change = change_new(ctx, S3_KIND_DELETE, request->key, NULL);
    struct mem_reply reply = { 0 };
    change->if_match = mem_dup(request->if_match);
    return run(ctx, call, change, &reply, error);
}

static enum s3_outcome remove_entries(struct visit *visit, struct mem_change **changes, struct s3_delete_entry *entries,
                                      size_t count)
{
    struct membucket *bucket = visit->client->bucket;
    enum s3_outcome outcome = visit_enter(visit);
    if (outcome != S3_OK)
        return outcome;
    struct s3_error *errors = mem_alloc(count * sizeof *errors);
    if (visit->action != MEMBUCKET_LATE)
        visit_take(bucket);
    for (size_t i = 0; i < count; i++) {
        struct mem_reply reply = { 0 };
        if (visit->action == MEMBUCKET_LATE) {
            make_late(bucket, changes[i]);
            changes[i] = NULL;
        } else if (too_soon_locked(bucket, changes[i])) {
            mem_error(&errors[i], S3_THROTTLED, 429, "TooManyRequests");
        } else {
            visit_apply_locked(bucket, changes[i], &reply, &errors[i]);
        }
    }
    if (visit->action == MEMBUCKET_LATE) {
        outcome = visit_fail(visit, S3_UNKNOWN);
    } else {
        visit_drop(bucket);
        outcome = visit_leave(visit, S3_OK);
    }
    for (size_t i = 0; outcome == S3_OK && i < count; i++)
        entries[i].error = errors[i];
    free(errors);
    return outcome;
}

static enum s3_outcome op_remove_many(void *ctx, const struct s3_call *call, struct s3_delete_entry *entries, size_t count,
                                      struct s3_error *error)
{
    struct membucket *bucket = ((struct membucket_client *)ctx)->bucket;
    if (count == 0 || count > S3_LIST_MAX)
        return mem_error(error, S3_INVALID, 400, "MalformedXML");
    struct mem_change **changes = mem_alloc(count * sizeof *changes);
    for (size_t i = 0; i < count; i++) {
        changes[i] = change_new(ctx, S3_KIND_DELETE_OBJECTS, entries[i].key, NULL);
        flight_begin(bucket, changes[i]);
    }
    struct visit visit = { .client = ctx, .call = call, .kind = S3_KIND_DELETE_OBJECTS, .key = entries[0].key, .error = error };
    enum s3_outcome outcome = remove_entries(&visit, changes, entries, count);
    for (size_t i = 0; i < count; i++) {
        struct mem_change note = { .kind = S3_KIND_DELETE_OBJECTS, .key = mem_dup(entries[i].key) };
        flight_end(bucket, &note);
        free(note.key);
        mem_change_free(changes[i]);
    }
    free(changes);
    return outcome;
}

static enum s3_outcome op_upload_create(void *ctx, const struct s3_call *call, const struct s3_upload_request *request,
                                        char **upload_id, struct s3_error *error)
{
    struct mem_change *change = change_new(ctx, S3_KIND_CREATE_UPLOAD, request->key, NULL);
    struct mem_reply reply = { 0 };
    mem_headers_copy(&change->headers, &request->headers);
    enum s3_outcome outcome = run(ctx, call, change, &reply, error);
    if (outcome == S3_OK)
        *upload_id = reply.upload_id;
    return outcome;
}

static enum s3_outcome op_upload_part(void *ctx, const struct s3_call *call, const struct s3_part_request *request,
                                      struct s3_part *part, struct s3_error *error)
{
    enum s3_kind kind = request->source ? S3_KIND_UPLOAD_PART_COPY : S3_KIND_UPLOAD_PART;
    struct mem_change *change = change_new(ctx, kind, request->key, NULL);
    struct mem_reply reply = { 0 };
    change->upload_id = mem_dup(request->upload_id);
    change->part_number = request->number;
    change->source = mem_dup(request->source);
    change->source_offset = request->source_offset;
    change->source_length = request->source_length;
    if (!request->source && !read_body(&request->body, change))
        return bad_body(change, error);
    enum s3_outcome outcome = run(ctx, call, change, &reply, error);
    if (outcome == S3_OK) {
        part->number = request->number;
        snprintf(part->etag, sizeof part->etag, "%s", reply.etag);
    }
    return outcome;
}

static enum s3_outcome op_upload_complete(void *ctx, const struct s3_call *call, const struct s3_complete_request *request,
                                          struct s3_put_result *result, struct s3_error *error)
{
    struct mem_change *change = change_new(ctx, S3_KIND_COMPLETE_UPLOAD, request->key, &request->condition);
    struct mem_reply reply = { 0 };
    change->upload_id = mem_dup(request->upload_id);
    change->part_count = request->part_count;
    change->parts = mem_alloc(request->part_count * sizeof *change->parts);
    if (request->part_count)
        memcpy(change->parts, request->parts, request->part_count * sizeof *change->parts);
    enum s3_outcome outcome = run(ctx, call, change, &reply, error);
    if (outcome == S3_OK)
        put_result(result, &reply);
    return outcome;
}

static enum s3_outcome op_upload_abort(void *ctx, const struct s3_call *call, const char *key, const char *upload_id,
                                       struct s3_error *error)
{
    struct mem_change *change = change_new(ctx, S3_KIND_ABORT_UPLOAD, key, NULL);
    struct mem_reply reply = { 0 };
    change->upload_id = mem_dup(upload_id);
    return run(ctx, call, change, &reply, error);
}

/* ---- reads ---- */

static enum s3_outcome op_head(void *ctx, const struct s3_call *call, const char *key, struct s3_object *object,
                               struct s3_error *error)
{
    struct membucket_client *client = ctx;
    struct visit visit = { .client = client, .call = call, .kind = S3_KIND_HEAD, .key = key, .error = error };
    struct s3_object found = { 0 };
    enum s3_outcome outcome = visit_enter(&visit);
    if (outcome != S3_OK)
        return outcome;
    visit_take(client->bucket);
    const struct mem_object *now = mem_store_find(&client->bucket->store, key);
    if (now)
        mem_object_describe(&found, now);
    else
        outcome = mem_error(error, S3_NOT_FOUND, 404, "");
    visit_drop(client->bucket);
    outcome = visit_leave(&visit, outcome);
    if (outcome == S3_OK)
        *object = found;
    else
        s3_object_fini(&found);
    return outcome;
}

static enum s3_outcome get_locked(const struct mem_store *store, const struct s3_get_request *request, bool torn,
                                  struct s3_object *object, size_t *got, struct s3_error *error)
{
    const struct mem_object *now = mem_store_find(store, request->key);
    if (!now)
        return mem_error(error, S3_NOT_FOUND, 404, "NoSuchKey");
    if (request->if_match && strcmp(request->if_match, now->etag) != 0)
        return mem_error(error, S3_PRECONDITION, 412, "PreconditionFailed");
    bool whole = request->offset == 0 && request->length == 0;
    if (!whole && request->offset >= now->length)
        return mem_error(error, S3_RANGE, 416, "InvalidRange");
    uint64_t length = now->length - request->offset;
    if (request->length && request->length < length)
        length = request->length;
    if (length > request->capacity) {
        mem_error(error, S3_LOCAL, 200, "");
        error->local_errno = EFBIG;
        return S3_LOCAL;
    }
    if (torn && request->verify && length == now->length && !strchr(now->etag, '-'))
        return mem_error(error, S3_CORRUPT, 200, "");
    if (length)
        memcpy(request->buffer, now->data + request->offset, length);
    if (torn && length)
        ((unsigned char *)request->buffer)[0] ^= 0x20;
    mem_object_describe(object, now);
    *got = length;
    return S3_OK;
}

static enum s3_outcome op_get(void *ctx, const struct s3_call *call, const struct s3_get_request *request,
                              struct s3_object *object, size_t *got, struct s3_error *error)
{
    struct membucket_client *client = ctx;
    struct visit visit = { .client = client, .call = call, .kind = S3_KIND_GET, .key = request->key, .error = error };
    struct s3_object found = { 0 };
    size_t count = 0;
    enum s3_outcome outcome = visit_enter(&visit);
    if (outcome != S3_OK)
        return outcome;
    visit_take(client->bucket);
    outcome = get_locked(&client->bucket->store, request, visit.action == MEMBUCKET_TORN, &found, &count, error);
    visit_drop(client->bucket);
    outcome = visit_leave(&visit, outcome);
    if (outcome != S3_OK) {
        s3_object_fini(&found);
        return outcome;
    }
    visit_moved(&visit, count, false);
    *object = found;
    *got = count;
    return S3_OK;
}

static bool starts_with(const char *string, const char *prefix)
{
    return !strncmp(string, prefix, strlen(prefix));
}

/* A token is "k" and the last key given out, or "p" and the last common prefix, whose keys are then skipped. */
static void list_locked(const struct membucket *bucket, const struct s3_list_request *request, struct page_builder *builder,
                        char **next_token)
{
    const struct mem_store *store = &bucket->store;
    const char *last = request->token ? request->token + 1 : request->start_after;
    const char *skip = request->token && request->token[0] == 'p' ? request->token + 1 : NULL;
    int most = request->max_keys ? request->max_keys : S3_LIST_MAX;
    if (store->config.page_max && store->config.page_max < most)
        most = store->config.page_max;
    char *prefix = NULL, *token = NULL;
    size_t i = mem_store_lower_bound(store, last && strcmp(last, request->prefix) > 0 ? last : request->prefix);
    for (int given = 0; i < store->object_count && starts_with(store->objects[i]->key, request->prefix); i++) {
        const struct mem_object *object = store->objects[i];
        if ((last && strcmp(object->key, last) <= 0) || (skip && starts_with(object->key, skip)) ||
            (prefix && starts_with(object->key, prefix)))
            continue;
        if (given++ == most) {
            *next_token = token;
            token = NULL;
            break;
        }
        const char *slash = request->delimiter ? strstr(object->key + strlen(request->prefix), request->delimiter) : NULL;
        free(token);
        token = mem_alloc(strlen(object->key) + 2);
        if (slash) {
            free(prefix);
            prefix = mem_dup(object->key);
            prefix[slash + strlen(request->delimiter) - object->key] = '\0';
            page_add_prefix(builder, prefix);
            sprintf(token, "p%s", prefix);
        } else {
            page_add_entry(builder, object->key, object->etag, object->length, object->mtime_ms);
            sprintf(token, "k%s", object->key);
        }
    }
    free(prefix);
    free(token);
}

static enum s3_outcome op_list(void *ctx, const struct s3_call *call, const struct s3_list_request *request,
                               struct s3_list_page *page, struct s3_error *error)
{
    struct membucket_client *client = ctx;
    struct visit visit = { .client = client, .call = call, .kind = S3_KIND_LIST, .key = request->prefix, .error = error };
    struct page_builder builder;
    struct s3_list_page made = { 0 };
    enum s3_outcome outcome = visit_enter(&visit);
    if (outcome != S3_OK)
        return outcome;
    page_init(&builder);
    visit_take(client->bucket);
    if (visit.action != MEMBUCKET_TORN)
        list_locked(client->bucket, request, &builder, &made.next_token);
    visit_drop(client->bucket);
    if (page_finish(&builder, &made))
        abort();
    outcome = visit_leave(&visit, S3_OK);
    if (outcome == S3_OK)
        *page = made;
    else
        s3_list_page_fini(&made);
    return outcome;
}

static enum s3_outcome op_upload_list(void *ctx, const struct s3_call *call, const char *prefix,
                                      struct s3_upload_entry **entries, size_t *count, struct s3_error *error)
{
    struct membucket_client *client = ctx;
    struct mem_store *store = &client->bucket->store;
    struct visit visit = { .client = client, .call = call, .kind = S3_KIND_LIST_UPLOADS, .key = prefix, .error = error };
    enum s3_outcome outcome = visit_enter(&visit);
    if (outcome != S3_OK)
        return outcome;
    visit_take(client->bucket);
    struct s3_upload_entry *list = mem_alloc(store->upload_count * sizeof *list);
    size_t found = 0;
    for (size_t i = 0; i < store->upload_count && found < S3_LIST_MAX; i++)
        if (starts_with(store->uploads[i].key, prefix))
            list[found++] = (struct s3_upload_entry){ .key = mem_dup(store->uploads[i].key),
                                                      .upload_id = mem_dup(store->uploads[i].id),
                                                      .initiated_ms = store->uploads[i].initiated_ms };
    visit_drop(client->bucket);
    outcome = visit_leave(&visit, S3_OK);
    if (outcome != S3_OK) {
        s3_upload_entries_free(list, found);
        return outcome;
    }
    *entries = list;
    *count = found;
    return S3_OK;
}

static void op_stats(void *ctx, struct s3_stats *stats)
{
    struct membucket_client *client = ctx;
    visit_take(client->bucket);
    *stats = client->stats;
    visit_drop(client->bucket);
}

/* There are no connections that could be dead. */
static void op_reset(void *ctx)
{
    (void)ctx;
}

static void op_stop(void *ctx)
{
    membucket_client_kill(ctx);
}

const struct s3_ops membucket_ops = {
    .list = op_list,
    .head = op_head,
    .get = op_get,
    .put = op_put,
    .copy = op_copy,
    .remove = op_remove,
    .remove_many = op_remove_many,
    .upload_create = op_upload_create,
    .upload_part = op_upload_part,
    .upload_complete = op_upload_complete,
    .upload_abort = op_upload_abort,
    .upload_list = op_upload_list,
    .stats = op_stats,
    .reset = op_reset,
    .stop = op_stop,
};

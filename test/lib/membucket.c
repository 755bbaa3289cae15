/*
 * The seam over memstore.c: clients, faults and the journal. Every request goes through enter() (may it, and what does
 * the hook say), has its effect under the bucket's one lock, and leaves through leave() (is the answer seen).
 */
#include "test/lib/membucket.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <uthash.h>

#include "s3/base/clock.h"
#include "s3/page.h"
#include "test/lib/memstore.h"

/* Per key that a client has changed: for overlaps and for the write interval. */
struct mark {
    char *key;
    int in_flight;
    int64_t written_ms; /* 0: not yet */
    UT_hash_handle hh;
};

struct late {
    struct mem_change *change;
    struct late *next;
};

struct membucket {
    pthread_mutex_t mutex;
    struct mem_store store;
    struct membucket_event *events;
    size_t event_count, event_capacity;
    struct mark *marks;
    struct late *late; /* oldest first */
    uint64_t overlaps, clients;
};

struct membucket_client {
    struct membucket *bucket;
    uint64_t number;
    /* Guarded by the bucket's mutex. */
    bool killed;
    membucket_hook hook;
    void *hook_arg;
    uint64_t calls, mutations;
    struct {
        uint64_t at; /* 0: none */
        bool mutations_only;
        enum membucket_phase phase;
        int action;
    } script;
    struct s3_stats stats;
};

static void take(struct membucket *bucket)
{
    pthread_mutex_lock(&bucket->mutex);
}

static void drop(struct membucket *bucket)
{
    pthread_mutex_unlock(&bucket->mutex);
}

static bool is_read(enum s3_kind kind)
{
    return kind == S3_KIND_LIST || kind == S3_KIND_GET || kind == S3_KIND_HEAD || kind == S3_KIND_LIST_UPLOADS;
}

/* ---- journal ---- */

static void record(struct membucket *bucket, const struct mem_change *change, const struct mem_reply *reply,
                   enum s3_outcome outcome)
{
    if (bucket->event_count == bucket->event_capacity) {
        bucket->event_capacity = bucket->event_capacity ? bucket->event_capacity * 2 : 64;
        bucket->events = realloc(bucket->events, bucket->event_capacity * sizeof *bucket->events);
        if (!bucket->events)
            abort();
    }
    struct membucket_event *event = &bucket->events[bucket->event_count++];
    *event = (struct membucket_event){ .kind = change->kind, .client = change->client, .mono_ms = clock_mono_ms(),
                                       .key = mem_dup(change->key), .source = mem_dup(change->source),
                                       .nonce = mem_dup(s3_object_meta(&change->headers, "r2fs-v")),
                                       .size = reply->size, .part = change->part_number, .outcome = outcome };
    const struct mem_object *now = mem_store_find(&bucket->store, change->key);
    if (now)
        snprintf(event->etag, sizeof event->etag, "%s", now->etag);
}

static enum s3_outcome apply(struct membucket *bucket, const struct mem_change *change, struct mem_reply *reply,
                             struct s3_error *error)
{
    enum s3_outcome outcome = mem_store_apply(&bucket->store, change, reply, error);
    record(bucket, change, reply, outcome);
    return outcome;
}

struct membucket_event *membucket_journal(struct membucket *bucket, size_t *count)
{
    take(bucket);
    struct membucket_event *copy = mem_alloc(bucket->event_count * sizeof *copy);
    for (size_t i = 0; i < bucket->event_count; i++) {
        copy[i] = bucket->events[i];
        copy[i].key = mem_dup(copy[i].key);
        copy[i].source = mem_dup(copy[i].source);
        copy[i].nonce = mem_dup(copy[i].nonce);
    }
    *count = bucket->event_count;
    drop(bucket);
    return copy;
}

void membucket_events_free(struct membucket_event *events, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        free(events[i].key);
        free(events[i].source);
        free(events[i].nonce);
    }
    free(events);
}

/* ---- bucket and clients ---- */

struct membucket *membucket_new(const struct membucket_config *config)
{
    struct membucket *bucket = mem_alloc(sizeof *bucket);
    pthread_mutex_init(&bucket->mutex, NULL);
    if (config)
        bucket->store.config = *config;
    return bucket;
}

void membucket_free(struct membucket *bucket)
{
    if (!bucket)
        return;
    mem_store_fini(&bucket->store);
    membucket_events_free(bucket->events, bucket->event_count);
    struct mark *mark, *next_mark;
    HASH_ITER(hh, bucket->marks, mark, next_mark) {
        HASH_DEL(bucket->marks, mark);
        free(mark->key);
        free(mark);
    }
    while (bucket->late) {
        struct late *late = bucket->late;
        bucket->late = late->next;
        mem_change_free(late->change);
        free(late);
    }
    pthread_mutex_destroy(&bucket->mutex);
    free(bucket);
}

void membucket_configure(struct membucket *bucket, const struct membucket_config *config)
{
    take(bucket);
    bucket->store.config = *config;
    drop(bucket);
}

struct membucket_client *membucket_client_new(struct membucket *bucket)
{
    struct membucket_client *client = mem_alloc(sizeof *client);
    client->bucket = bucket;
    take(bucket);
    client->number = ++bucket->clients;
    drop(bucket);
    return client;
}

void membucket_client_free(struct membucket_client *client)
{
    free(client);
}

void membucket_client_hook(struct membucket_client *client, membucket_hook hook, void *arg)
{
    take(client->bucket);
    client->hook = hook;
    client->hook_arg = arg;
    client->script.at = 0;
    drop(client->bucket);
}

void membucket_client_fail(struct membucket_client *client, uint64_t nth, bool mutations_only, enum membucket_phase phase,
                           int action)
{
    take(client->bucket);
    client->hook = NULL;
    client->script.at = nth ? nth + (mutations_only ? client->mutations : client->calls) : 0;
    client->script.mutations_only = mutations_only;
    client->script.phase = phase;
    client->script.action = action;
    drop(client->bucket);
}

uint64_t membucket_client_calls(struct membucket_client *client, bool mutations_only)
{
    take(client->bucket);
    uint64_t count = mutations_only ? client->mutations : client->calls;
    drop(client->bucket);
    return count;
}

void membucket_client_kill(struct membucket_client *client)
{
    take(client->bucket);
    client->killed = true;
    drop(client->bucket);
}

bool membucket_client_killed(struct membucket_client *client)
{
    take(client->bucket);
    bool killed = client->killed;
    drop(client->bucket);
    return killed;
}

/* ---- a request's way in and out ---- */

struct visit {
    struct membucket_client *client;
    const struct s3_call *call;
    enum s3_kind kind;
    const char *key;
    uint64_t call_number, mutation_number;
    int action; /* what BEFORE said: GO, LATE or TORN */
    struct s3_error *error;
};

static int ask_hook(struct visit *visit, enum membucket_phase phase)
{
    struct membucket_client *client = visit->client;
    take(client->bucket);
    membucket_hook hook = client->hook;
    void *arg = client->hook_arg;
    int action = MEMBUCKET_GO;
    uint64_t number = client->script.mutations_only ? visit->mutation_number : visit->call_number;
    bool counted = !client->script.mutations_only || !is_read(visit->kind);
    if (client->script.at && counted && number == client->script.at && phase == client->script.phase)
        action = client->script.action;
    drop(client->bucket);
    /* Without the lock: a hook may change the bucket, as another client would. */
    if (hook)
        action = hook(arg, visit->kind, visit->key, phase);
    if (action == MEMBUCKET_KILL)
        membucket_client_kill(client);
    return action;
}

static bool ended(const struct visit *visit)
{
    const struct s3_cancel *cancel = visit->call ? visit->call->cancel : NULL;
    return membucket_client_killed(visit->client) || (cancel && atomic_load(&cancel->fired));
}

/* true: latency is over; false: cancelled or killed meanwhile. */
static bool wait_latency(const struct visit *visit, int latency_ms)
{
    int64_t until = clock_mono_ms() + latency_ms;
    for (;;) {
        if (ended(visit))
            return false;
        int64_t left = until - clock_mono_ms();
        if (left <= 0)
            return true;
        struct timespec pause = { .tv_nsec = (left < 10 ? left : 10) * 1000000L };
        nanosleep(&pause, NULL);
    }
}

static enum s3_outcome fail(const struct visit *visit, enum s3_outcome outcome)
{
    struct membucket_client *client = visit->client;
    mem_error(visit->error, outcome, 0, "");
    if (outcome != S3_OK && outcome != S3_NOT_FOUND && outcome != S3_PRECONDITION) {
        take(client->bucket);
        client->stats.last_error = *visit->error;
        client->stats.last_error_ms = clock_wall_ms();
        drop(client->bucket);
    }
    return outcome;
}

static enum s3_outcome configured_failure(const struct membucket_config *config, enum s3_kind kind)
{
    if (config->all != S3_OK)
        return config->all;
    if (!is_read(kind))
        return config->mutations;
    return kind == S3_KIND_LIST ? config->lists : S3_OK;
}

static enum s3_outcome enter(struct visit *visit)
{
    struct membucket_client *client = visit->client;
    if (ended(visit))
        return fail(visit, S3_CANCELLED);
    take(client->bucket);
    struct membucket_config config = client->bucket->store.config;
    visit->call_number = ++client->calls;
    visit->mutation_number = is_read(visit->kind) ? 0 : ++client->mutations;
    client->stats.requests[visit->kind]++;
    drop(client->bucket);
    if (!wait_latency(visit, config.latency_ms))
        return fail(visit, S3_CANCELLED);
    if (configured_failure(&config, visit->kind) != S3_OK)
        return fail(visit, configured_failure(&config, visit->kind));
    visit->action = ask_hook(visit, MEMBUCKET_BEFORE);
    if (visit->action > 0)
        return fail(visit, (enum s3_outcome)visit->action);
    return ended(visit) ? fail(visit, S3_CANCELLED) : S3_OK;
}

static enum s3_outcome leave(struct visit *visit, enum s3_outcome outcome)
{
    int action = ask_hook(visit, MEMBUCKET_AFTER);
    if (action > 0)
        return fail(visit, (enum s3_outcome)action);
    if (membucket_client_killed(visit->client))
        return fail(visit, S3_CANCELLED);
    take(visit->client->bucket);
    visit->client->stats.last_success_ms = clock_wall_ms();
    drop(visit->client->bucket);
    if (outcome == S3_OK)
        memset(visit->error, 0, sizeof *visit->error);
    return outcome;
}

static void moved(const struct visit *visit, size_t bytes, bool sent)
{
    if (visit->call && visit->call->moved)
        atomic_fetch_add(visit->call->moved, bytes);
    take(visit->client->bucket);
    *(sent ? &visit->client->stats.bytes_sent : &visit->client->stats.bytes_received) += bytes;
    drop(visit->client->bucket);
}

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
    take(bucket);
    if (mark_get(bucket, change->key)->in_flight++)
        bucket->overlaps++;
    drop(bucket);
}

static void flight_end(struct membucket *bucket, const struct mem_change *change)
{
    if (!changes_key(change->kind))
        return;
    take(bucket);
    mark_get(bucket, change->key)->in_flight--;
    drop(bucket);
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
    take(bucket);
    for (end = &bucket->late; *end; end = &(*end)->next)
        ;
    *end = late;
    drop(bucket);
}

static enum s3_outcome mutate(struct visit *visit, struct mem_change **change, struct mem_reply *reply)
{
    struct membucket *bucket = visit->client->bucket;
    enum s3_outcome outcome = enter(visit);
    if (outcome != S3_OK)
        return outcome;
    if (visit->action == MEMBUCKET_LATE) {
        make_late(bucket, *change);
        *change = NULL;
        return fail(visit, S3_UNKNOWN);
    }
    moved(visit, (*change)->length, true);
    take(bucket);
    if (too_soon_locked(bucket, *change))
        outcome = mem_error(visit->error, S3_THROTTLED, 429, "TooManyRequests");
    else
        outcome = apply(bucket, *change, reply, visit->error);
    drop(bucket);
    return leave(visit, outcome);
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
    enum s3_outcome outcome = enter(visit);
    if (outcome != S3_OK)
        return outcome;
    struct s3_error *errors = mem_alloc(count * sizeof *errors);
    if (visit->action != MEMBUCKET_LATE)
        take(bucket);
    for (size_t i = 0; i < count; i++) {
        struct mem_reply reply = { 0 };
        if (visit->action == MEMBUCKET_LATE) {
            make_late(bucket, changes[i]);
            changes[i] = NULL;
        } else if (too_soon_locked(bucket, changes[i])) {
            mem_error(&errors[i], S3_THROTTLED, 429, "TooManyRequests");
        } else {
            apply(bucket, changes[i], &reply, &errors[i]);
        }
    }
    if (visit->action == MEMBUCKET_LATE) {
        outcome = fail(visit, S3_UNKNOWN);
    } else {
        drop(bucket);
        outcome = leave(visit, S3_OK);
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

static void describe(struct s3_object *to, const struct mem_object *object)
{
    memset(to, 0, sizeof *to);
    mem_headers_dup(to, &object->headers);
    to->size = object->length;
    to->mtime_ms = object->mtime_ms / 1000 * 1000;
    to->mtime_coarse = true;
    snprintf(to->etag, sizeof to->etag, "%s", object->etag);
}

static enum s3_outcome op_head(void *ctx, const struct s3_call *call, const char *key, struct s3_object *object,
                               struct s3_error *error)
{
    struct membucket_client *client = ctx;
    struct visit visit = { .client = client, .call = call, .kind = S3_KIND_HEAD, .key = key, .error = error };
    struct s3_object found = { 0 };
    enum s3_outcome outcome = enter(&visit);
    if (outcome != S3_OK)
        return outcome;
    take(client->bucket);
    const struct mem_object *now = mem_store_find(&client->bucket->store, key);
    if (now)
        describe(&found, now);
    else
        outcome = mem_error(error, S3_NOT_FOUND, 404, "");
    drop(client->bucket);
    outcome = leave(&visit, outcome);
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
    describe(object, now);
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
    enum s3_outcome outcome = enter(&visit);
    if (outcome != S3_OK)
        return outcome;
    take(client->bucket);
    outcome = get_locked(&client->bucket->store, request, visit.action == MEMBUCKET_TORN, &found, &count, error);
    drop(client->bucket);
    outcome = leave(&visit, outcome);
    if (outcome != S3_OK) {
        s3_object_fini(&found);
        return outcome;
    }
    moved(&visit, count, false);
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
    enum s3_outcome outcome = enter(&visit);
    if (outcome != S3_OK)
        return outcome;
    page_init(&builder);
    take(client->bucket);
    if (visit.action != MEMBUCKET_TORN)
        list_locked(client->bucket, request, &builder, &made.next_token);
    drop(client->bucket);
    if (page_finish(&builder, &made))
        abort();
    outcome = leave(&visit, S3_OK);
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
    enum s3_outcome outcome = enter(&visit);
    if (outcome != S3_OK)
        return outcome;
    take(client->bucket);
    struct s3_upload_entry *list = mem_alloc(store->upload_count * sizeof *list);
    size_t found = 0;
    for (size_t i = 0; i < store->upload_count && found < S3_LIST_MAX; i++)
        if (starts_with(store->uploads[i].key, prefix))
            list[found++] = (struct s3_upload_entry){ .key = mem_dup(store->uploads[i].key),
                                                      .upload_id = mem_dup(store->uploads[i].id),
                                                      .initiated_ms = store->uploads[i].initiated_ms };
    drop(client->bucket);
    outcome = leave(&visit, S3_OK);
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
    take(client->bucket);
    *stats = client->stats;
    drop(client->bucket);
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

/* ---- another client ---- */

int membucket_land(struct membucket *bucket)
{
    struct mem_reply reply = { 0 };
    struct s3_error error;
    take(bucket);
    struct late *late = bucket->late;
    int outcome = -1;
    if (late) {
        bucket->late = late->next;
        outcome = (int)apply(bucket, late->change, &reply, &error);
    }
    drop(bucket);
    if (late) {
        mem_change_free(late->change);
        free(late);
        free(reply.upload_id);
    }
    return outcome;
}

void membucket_store(struct membucket *bucket, const char *key, const void *data, size_t length,
                     const struct s3_headers *headers, char etag[S3_ETAG_MAX + 1])
{
    struct mem_reply reply = { 0 };
    struct s3_error error;
    struct mem_change change = { .kind = S3_KIND_PUT, .key = mem_dup(key), .data = mem_alloc(length + 1), .length = length };
    if (length)
        memcpy(change.data, data, length);
    if (headers)
        mem_headers_copy(&change.headers, headers);
    take(bucket);
    if (apply(bucket, &change, &reply, &error) != S3_OK)
        abort();
    drop(bucket);
    if (etag)
        memcpy(etag, reply.etag, sizeof reply.etag);
    free(change.key);
    free(change.data);
    s3_object_fini(&change.headers);
}

void membucket_store_string(struct membucket *bucket, const char *key, const char *text)
{
    membucket_store(bucket, key, text, strlen(text), NULL, NULL);
}

bool membucket_erase(struct membucket *bucket, const char *key)
{
    struct mem_reply reply = { 0 };
    struct s3_error error;
    struct mem_change change = { .kind = S3_KIND_DELETE, .key = mem_dup(key) };
    take(bucket);
    bool was = mem_store_find(&bucket->store, key) != NULL;
    if (was)
        apply(bucket, &change, &reply, &error);
    drop(bucket);
    free(change.key);
    return was;
}

bool membucket_has(struct membucket *bucket, const char *key)
{
    take(bucket);
    bool has = mem_store_find(&bucket->store, key) != NULL;
    drop(bucket);
    return has;
}

size_t membucket_count(struct membucket *bucket)
{
    take(bucket);
    size_t count = bucket->store.object_count;
    drop(bucket);
    return count;
}

char *membucket_key(struct membucket *bucket, size_t index)
{
    take(bucket);
    char *key = index < bucket->store.object_count ? mem_dup(bucket->store.objects[index]->key) : NULL;
    drop(bucket);
    return key;
}

char *membucket_load(struct membucket *bucket, const char *key, size_t *length, struct s3_object *object)
{
    char *data = NULL;
    take(bucket);
    const struct mem_object *now = mem_store_find(&bucket->store, key);
    if (now) {
        data = mem_alloc(now->length + 1);
        memcpy(data, now->data, now->length);
        if (length)
            *length = now->length;
        if (object)
            describe(object, now);
    }
    drop(bucket);
    return data;
}

uint64_t membucket_overlaps(struct membucket *bucket)
{
    take(bucket);
    uint64_t overlaps = bucket->overlaps;
    drop(bucket);
    return overlaps;
}

size_t membucket_uploads(struct membucket *bucket)
{
    take(bucket);
    size_t count = bucket->store.upload_count;
    drop(bucket);
    return count;
}

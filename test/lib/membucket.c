/* The bucket and its clients, their faults, the journal, and what acts on the bucket directly. */
#include "test/lib/membucket.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "test/lib/memstore.h"
#include "test/lib/visit.h"

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
    visit_take(bucket);
    bucket->store.config = *config;
    visit_drop(bucket);
}

struct membucket_client *membucket_client_new(struct membucket *bucket)
{
    struct membucket_client *client = mem_alloc(sizeof *client);
    client->bucket = bucket;
    visit_take(bucket);
    client->number = ++bucket->clients;
    visit_drop(bucket);
    return client;
}

void membucket_client_free(struct membucket_client *client)
{
    free(client);
}

void membucket_client_hook(struct membucket_client *client, membucket_hook hook, void *arg)
{
    visit_take(client->bucket);
    client->hook = hook;
    client->hook_arg = arg;
    client->script.at = 0;
    visit_drop(client->bucket);
}

void membucket_client_fail(struct membucket_client *client, uint64_t nth, bool mutations_only, enum membucket_phase phase,
                           int action)
{
    visit_take(client->bucket);
    client->hook = NULL;
    client->script.at = nth ? nth + (mutations_only ? client->mutations : client->calls) : 0;
    client->script.mutations_only = mutations_only;
    client->script.phase = phase;
    client->script.action = action;
    visit_drop(client->bucket);
}

uint64_t membucket_client_calls(struct membucket_client *client, bool mutations_only)
{
    visit_take(client->bucket);
    uint64_t count = mutations_only ? client->mutations : client->calls;
    visit_drop(client->bucket);
    return count;
}

void membucket_client_kill(struct membucket_client *client)
{
    visit_take(client->bucket);
    client->killed = true;
    visit_drop(client->bucket);
}

bool membucket_client_killed(struct membucket_client *client)
{
    visit_take(client->bucket);
    bool killed = client->killed;
    visit_drop(client->bucket);
    return killed;
}
/* ---- journal ---- */

struct membucket_event *membucket_journal(struct membucket *bucket, size_t *count)
{
    visit_take(bucket);
    struct membucket_event *copy = mem_alloc(bucket->event_count * sizeof *copy);
    for (size_t i = 0; i < bucket->event_count; i++) {
        copy[i] = bucket->events[i];
        copy[i].key = mem_dup(copy[i].key);
        copy[i].source = mem_dup(copy[i].source);
        copy[i].nonce = mem_dup(copy[i].nonce);
    }
    *count = bucket->event_count;
    visit_drop(bucket);
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
/* ---- another client ---- */

int membucket_land(struct membucket *bucket)
{
    struct mem_reply reply = { 0 };
    struct s3_error error;
    visit_take(bucket);
    struct late *late = bucket->late;
    int outcome = -1;
    if (late) {
        bucket->late = late->next;
        outcome = (int)visit_apply_locked(bucket, late->change, &reply, &error);
    }
    visit_drop(bucket);
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
    visit_take(bucket);
    if (visit_apply_locked(bucket, &change, &reply, &error) != S3_OK)
        abort();
    visit_drop(bucket);
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
    visit_take(bucket);
    bool was = mem_store_find(&bucket->store, key) != NULL;
    if (was)
        visit_apply_locked(bucket, &change, &reply, &error);
    visit_drop(bucket);
    free(change.key);
    return was;
}

bool membucket_has(struct membucket *bucket, const char *key)
{
    visit_take(bucket);
    bool has = mem_store_find(&bucket->store, key) != NULL;
    visit_drop(bucket);
    return has;
}

size_t membucket_count(struct membucket *bucket)
{
    visit_take(bucket);
    size_t count = bucket->store.object_count;
    visit_drop(bucket);
    return count;
}

char *membucket_key(struct membucket *bucket, size_t index)
{
    visit_take(bucket);
    char *key = index < bucket->store.object_count ? mem_dup(bucket->store.objects[index]->key) : NULL;
    visit_drop(bucket);
    return key;
}

char *membucket_load(struct membucket *bucket, const char *key, size_t *length, struct s3_object *object)
{
    char *data = NULL;
    visit_take(bucket);
    const struct mem_object *now = mem_store_find(&bucket->store, key);
    if (now) {
        data = mem_alloc(now->length + 1);
        memcpy(data, now->data, now->length);
        if (length)
            *length = now->length;
        if (object)
            mem_object_describe(object, now);
    }
    visit_drop(bucket);
    return data;
}

uint64_t membucket_overlaps(struct membucket *bucket)
{
    visit_take(bucket);
    uint64_t overlaps = bucket->overlaps;
    visit_drop(bucket);
    return overlaps;
}

size_t membucket_uploads(struct membucket *bucket)
{
    visit_take(bucket);
    size_t count = bucket->store.upload_count;
    visit_drop(bucket);
    return count;
}

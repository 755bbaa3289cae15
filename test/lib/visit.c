#include "test/lib/visit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "s3/base/clock.h"

void visit_take(struct membucket *bucket)
{
    pthread_mutex_lock(&bucket->mutex);
}

void visit_drop(struct membucket *bucket)
{
    pthread_mutex_unlock(&bucket->mutex);
}

bool visit_is_read(enum s3_kind kind)
{
    return kind == S3_KIND_LIST || kind == S3_KIND_GET || kind == S3_KIND_HEAD || kind == S3_KIND_LIST_UPLOADS;
}

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

enum s3_outcome visit_apply_locked(struct membucket *bucket, const struct mem_change *change, struct mem_reply *reply,
                             struct s3_error *error)
{
    enum s3_outcome outcome = mem_store_apply(&bucket->store, change, reply, error);
    record(bucket, change, reply, outcome);
    return outcome;
}

static int ask_hook(struct visit *visit, enum membucket_phase phase)
{
    struct membucket_client *client = visit->client;
    visit_take(client->bucket);
    membucket_hook hook = client->hook;
    void *arg = client->hook_arg;
    int action = MEMBUCKET_GO;
    uint64_t number = client->script.mutations_only ? visit->mutation_number : visit->call_number;
    bool counted = !client->script.mutations_only || !visit_is_read(visit->kind);
    if (client->script.at && counted && number == client->script.at && phase == client->script.phase)
        action = client->script.action;
    visit_drop(client->bucket);
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

enum s3_outcome visit_fail(const struct visit *visit, enum s3_outcome outcome)
{
    struct membucket_client *client = visit->client;
    mem_error(visit->error, outcome, 0, "");
    if (outcome != S3_OK && outcome != S3_NOT_FOUND && outcome != S3_PRECONDITION) {
        visit_take(client->bucket);
        client->stats.last_error = *visit->error;
        client->stats.last_error_ms = clock_wall_ms();
        visit_drop(client->bucket);
    }
    return outcome;
}

static enum s3_outcome configured_failure(const struct membucket_config *config, enum s3_kind kind)
{
    if (config->all != S3_OK)
        return config->all;
    if (!visit_is_read(kind))
        return config->mutations;
    return kind == S3_KIND_LIST ? config->lists : S3_OK;
}

enum s3_outcome visit_enter(struct visit *visit)
{
    struct membucket_client *client = visit->client;
    if (ended(visit))
        return visit_fail(visit, S3_CANCELLED);
    visit_take(client->bucket);
    struct membucket_config config = client->bucket->store.config;
    visit->call_number = ++client->calls;
    visit->mutation_number = visit_is_read(visit->kind) ? 0 : ++client->mutations;
    client->stats.requests[visit->kind]++;
    visit_drop(client->bucket);
    if (!wait_latency(visit, config.latency_ms))
        return visit_fail(visit, S3_CANCELLED);
    if (configured_failure(&config, visit->kind) != S3_OK)
        return visit_fail(visit, configured_failure(&config, visit->kind));
    visit->action = ask_hook(visit, MEMBUCKET_BEFORE);
    if (visit->action > 0)
        return visit_fail(visit, (enum s3_outcome)visit->action);
    return ended(visit) ? visit_fail(visit, S3_CANCELLED) : S3_OK;
}

enum s3_outcome visit_leave(struct visit *visit, enum s3_outcome outcome)
{
    int action = ask_hook(visit, MEMBUCKET_AFTER);
    if (action > 0)
        return visit_fail(visit, (enum s3_outcome)action);
    if (membucket_client_killed(visit->client))
        return visit_fail(visit, S3_CANCELLED);
    visit_take(visit->client->bucket);
    visit->client->stats.last_success_ms = clock_wall_ms();
    visit_drop(visit->client->bucket);
    if (outcome == S3_OK)
        memset(visit->error, 0, sizeof *visit->error);
    return outcome;
}

void visit_moved(const struct visit *visit, size_t bytes, bool sent)
{
    if (visit->call && visit->call->moved)
        atomic_fetch_add(visit->call->moved, bytes);
    visit_take(visit->client->bucket);
    *(sent ? &visit->client->stats.bytes_sent : &visit->client->stats.bytes_received) += bytes;
    visit_drop(visit->client->bucket);
}

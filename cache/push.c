/*
 * The pusher: makes the bucket hold what today's names want, by state and not by log. A thread of its own, the planner,
 * looks at what is pending (push_queue.c), and hands what is due and may go by the order of promise 8 to the pool, where
 * push_exec.c works on one item until nothing is left of it or something has to be waited for.
 *
 * What is not done here: no request leaves without a row of attempt (push_attempt.c), no answer is believed without being
 * classified (push_resolve.c), and nothing is withheld because of what it is called, only because of its age.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cache/db.h"
#include "cache/push_attempt.h"
#include "cache/push_state.h"
#include "cache/push_upload.h"
#include "s3/base/clock.h"
#include "s3/base/log.h"

#define CLASSIFY_BATCH 256
#define PAUSE_MAX_MS 2000 /* small, so that an outage that ends is noticed within two seconds */

/* ---- what is wanted ---- */

/* The planner sleeps until wake_ms; something due earlier moves that forward. */
static void advance_locked(struct push *push, int64_t due) REQUIRES(push->lock)
{
    lock_assert_held(&push->lock);
    if (due < push->wake_ms) {
        push->wake_ms = due;
        pthread_cond_signal(&push->wake);
    }
}

static void note_change_locked(struct push *push, struct push_item *item, int64_t now, bool fresh) REQUIRES(push->lock)
{
    lock_assert_held(&push->lock);
    if (fresh)
        item->times.first_ms = now;
    if (item->in_flight && !item->again_ms)
        item->again_ms = now;
    item->times.changed_ms = now;
    if (!item->in_flight)
        advance_locked(push, push_queue_due(&push->queue, item));
}

void push_wanted_tx(struct cache *cache, int kind, uint64_t ino, const char *key, int64_t sequence, bool publish)
{
    struct push *push = cache->push;
    if (!push)
        return;
    lock_take(&push->lock);
    struct push_item *item = push_queue_get(&push->queue, (enum todo_kind)kind, ino, key);
    if (item) {
        bool fresh = !item->last && !item->written;
        if (!item->last)
            item->first = sequence;
        item->last = sequence;
        item->dropped = false;
        item->publish = item->publish || publish;
        item->classified = item->kind != TODO_INODE;
        /* The pusher's own commit of bytes that were due anyway is no new change. */
        if (!item->committing) {
            item->written = false;
            note_change_locked(push, item, clock_mono_ms(), fresh);
        }
    } else {
        db_fail(cache, -ENOMEM);
    }
    lock_drop(&push->lock);
}

void push_inherit_tx(struct push *push, uint64_t ino, const char *key, int64_t first, int64_t last)
{
    int64_t wall = clock_wall_ms(), now = clock_mono_ms();
    enum todo_kind kind = key ? TODO_GONE : TODO_INODE;
    if (key)
        db_run(push->cache, "INSERT INTO todo(kind, target, first, last, changed_ms, first_ms) VALUES(?1, ?2, ?3, ?4, ?5, ?5)"
               " ON CONFLICT(kind, target) DO UPDATE SET first = min(first, excluded.first)", "iziii", (int64_t)kind, key, first, last, wall);
    else
        db_run(push->cache, "INSERT INTO todo(kind, target, first, last, changed_ms, first_ms) VALUES(?1, ?2, ?3, ?4, ?5, ?5)"
               " ON CONFLICT(kind, target) DO UPDATE SET first = min(first, excluded.first)", "iiiii", (int64_t)kind, (int64_t)ino, first, last, wall);
    lock_take(&push->lock);
    struct push_item *item = push_queue_get(&push->queue, kind, ino, key);
    if (!item) {
        db_fail(push->cache, -ENOMEM);
    } else if (item->last) {
        item->first = item->first < first ? item->first : first;
    } else {
        item->first = first;
        item->last = last;
        item->times = (struct push_times){ .first_ms = now, .changed_ms = now, .kicked = !item->written };
    }
    if (item) {
        item->dropped = false;
        item->classified = kind != TODO_INODE;
    }
    push->changed = true;
    lock_drop(&push->lock);
}

void push_written(struct cache *cache, uint64_t ino)
{
    struct push *push = cache->push;
    if (!push)
        return;
    lock_take(&push->lock);
    struct push_item *item = push_queue_get(&push->queue, TODO_INODE, ino, NULL);
    if (item) {
        bool fresh = !item->last && !item->written;
        item->written = true;
        note_change_locked(push, item, clock_mono_ms(), fresh);
    } else {
        log_error("no memory to remember that inode %llu was written: it is uploaded when it is closed", (unsigned long long)ino);
    }
    lock_drop(&push->lock);
}

/* ---- how jobs end ---- */

void push_succeeded(struct push *push, struct push_item *item)
{
    lock_take(&push->lock);
    push_queue_succeeded(&push->queue, item, clock_mono_ms());
    push->pause_failures = 0;
    push->pause_until_ms = 0;
    lock_drop(&push->lock);
}

void push_pause(struct push *push)
{
    lock_take(&push->lock);
    int64_t now = clock_mono_ms();
    if (now >= push->pause_until_ms) {
        int64_t delay = push_due_retry(++push->pause_failures, (unsigned)now);
        delay = delay < PAUSE_MAX_MS ? delay : PAUSE_MAX_MS;
        push->pause_until_ms = now + (delay < push->pace.retry_ms ? delay : push->pace.retry_ms);
    }
    lock_drop(&push->lock);
}

/* Items whose change is in the bucket keep what came meanwhile: it is wanted since the number after the one that was sent. */
static void keep_newer_locked(struct push_item *item, int64_t sent)
{
    if (item->last > sent)
        item->first = sent + 1;
    else
        item->last = 0;
    item->times.first_ms = item->again_ms ? item->again_ms : item->times.changed_ms;
    item->failures = 0;
    item->refused = false;
    item->progress = (struct push_progress){ 0 };
    free(item->reason);
    item->reason = NULL;
}

static void keep_reason_locked(struct push_item *item, const char *reason)
{
    char *copy = strdup(reason);
    if (copy) {
        free(item->reason);
        item->reason = copy;
    }
}

static void end_item_locked(struct push *push, struct push_item *item, const struct push_done *done, int64_t now) REQUIRES(push->lock)
{
    lock_assert_held(&push->lock);
    item->in_flight = item->committing = item->dropped = false;
    push->queue.in_flight--;
    item->times.not_before_ms = done->not_before_ms;
    if (done->end == PUSH_END_DONE || done->sent)
        keep_newer_locked(item, done->sent);
    item->again_ms = 0;
    if (done->end == PUSH_END_FAILED || done->end == PUSH_END_REFUSED) {
        item->failures++;
        item->refused = done->end == PUSH_END_REFUSED;
        int64_t delay = item->refused ? PUSH_REFUSED_MS : push_due_retry(item->failures, (unsigned)now * 2654435761u);
        item->times.not_before_ms = now + (delay < push->pace.retry_ms ? delay : push->pace.retry_ms);
        keep_reason_locked(item, done->reason);
    }
    if (done->end == PUSH_END_DONE)
        item->times.kicked = false;
}

void push_job_done(struct push *push, struct push_item *item, const struct push_done *done)
{
    struct wait_queue *waits = NULL;
    lock_take(&push->lock);
    end_item_locked(push, item, done, clock_mono_ms());
    if (done->end == PUSH_END_DONE || done->sent || done->error) {
        waits = item->waits;
        item->waits = NULL;
    }
    struct wait_queue *settled = push->settled;
    push->settled = NULL;
    if (done->end == PUSH_END_DONE && !item->last && !item->written)
        push_queue_remove(&push->queue, item);
    push->changed = true;
    pthread_cond_signal(&push->wake);
    pthread_cond_broadcast(&push->settle);
    lock_drop(&push->lock);
    if (waits)
        wait_wake(push->cache, waits, done->error);
    if (settled)
        wait_wake(push->cache, settled, 0);
    free(waits);
    free(settled);
}

/* ---- the planner ---- */

struct unclassified {
    enum todo_kind kind;
    uint64_t ino;
    bool publish;
    int64_t last;
    enum push_class class;
};

static size_t collect_locked(struct push *push, struct unclassified *batch) REQUIRES(push->lock)
{
    struct push_item *item, *next;
    size_t count = 0;
    lock_assert_held(&push->lock);
    HASH_ITER(hh, push->queue.items, item, next) {
        if (count == CLASSIFY_BATCH)
            break;
        if (item->last && !item->classified)
            batch[count++] = (struct unclassified){ .kind = item->kind, .ino = item->ino, .publish = item->publish, .last = item->last };
    }
    return count;
}

/* Creates, overwrites and deletes wait for each other differently: says which each new change is. push->lock is dropped meanwhile. */
static void classify_locked(struct push *push) REQUIRES(push->lock)
{
    struct unclassified batch[CLASSIFY_BATCH];
    lock_assert_held(&push->lock);
    size_t count = collect_locked(push, batch);
    lock_drop(&push->lock);
    db_begin(push->cache);
    for (size_t i = 0; i < count; i++)
        batch[i].class = push_look_class_tx(push->cache, batch[i].ino, batch[i].publish);
    db_commit(push->cache);
    lock_take(&push->lock);
    for (size_t i = 0; i < count; i++) {
        struct push_item *item = push_queue_find(&push->queue, batch[i].kind, batch[i].ino, NULL);
        if (item && item->last == batch[i].last) {
            item->class = batch[i].class;
            item->classified = true;
        }
    }
}

static size_t limit_locked(struct push *push, int64_t now) REQUIRES(push->lock)
{
    lock_assert_held(&push->lock);
    if (!push->pause_failures)
        return PUSH_IN_FLIGHT_MAX;
    return now >= push->pause_until_ms ? 1 : 0;
}

static void dispatch_locked(struct push *push, int64_t now) REQUIRES(push->lock)
{
    struct push_item *item;
    lock_assert_held(&push->lock);
    while (push->queue.in_flight < limit_locked(push, now) && (item = push_queue_take(&push->queue, now))) {
        item->job = (struct pool_job){ .run = push_exec };
        pool_submit(push->cache->push_pool, &item->job);
    }
}

/* A scan looks at everything pending, so with much pending it is done less often. */
static int64_t scan_interval(const struct push *push)
{
    return HASH_COUNT(push->queue.items) / 500;
}

static void plan_locked(struct push *push, int64_t *scanned_ms) REQUIRES(push->lock)
{
    int64_t now = clock_mono_ms();
    bool unclassified = false;
    lock_assert_held(&push->lock);
    bool stale = HASH_COUNT(push->queue.items) > 0 && now - *scanned_ms >= PUSH_STALL_MS / 10;
    if ((push->changed || stale || now >= push->wake_ms) && now - *scanned_ms >= scan_interval(push)) {
        push->changed = false;
        *scanned_ms = now;
        push->wake_ms = push_queue_scan(&push->queue, now, &unclassified);
    }
    if (unclassified) {
        classify_locked(push);
        push->changed = true;
        *scanned_ms = 0;
        return;
    }
    dispatch_locked(push, now);
    int64_t until = push->wake_ms;
    if (push->changed || until <= now)
        until = *scanned_ms + scan_interval(push) + 1;
    if (push->pause_failures && push->pause_until_ms > now && push->pause_until_ms < until)
        until = push->pause_until_ms;
    /* What stalls is noticed by looking. */
    if (HASH_COUNT(push->queue.items) > 0 && until > now + PUSH_STALL_MS / 10)
        until = now + PUSH_STALL_MS / 10;
    if (until == INT64_MAX)
        lock_wait(&push->lock, &push->wake);
    else if (until > now)
        lock_wait_until(&push->lock, &push->wake, until);
}

static void *plan(void *arg)
{
    struct push *push = arg;
    int64_t scanned_ms = 0;
    lock_take(&push->lock);
    while (!push->stop)
        plan_locked(push, &scanned_ms);
    lock_drop(&push->lock);
    return NULL;
}

void push_kick(struct cache *cache)
{
    struct push *push = cache->push;
    struct push_item *item, *next;
    if (!push)
        return;
    lock_take(&push->lock);
    HASH_ITER(hh, push->queue.items, item, next) {
        item->times.kicked = true;
        item->times.not_before_ms = 0;
    }
    push->pause_failures = 0;
    push->pause_until_ms = 0;
    push->changed = true;
    pthread_cond_signal(&push->wake);
    lock_drop(&push->lock);
}

/* ---- start and stop ---- */

/* What the last run left is due at once: nobody is still writing it. */
static void load_tx(struct push *push)
{
    sqlite3_stmt *rows = db_query(push->cache, "SELECT kind, target, first, last, publish, reason FROM todo", "");
    while (db_step(push->cache, rows)) {
        enum todo_kind kind = (enum todo_kind)sqlite3_column_int(rows, 0);
        bool by_key = kind == TODO_GONE || kind == TODO_GONE_TREE;
        char key[S3_KEY_MAX + 1] = "";
        int length = sqlite3_column_bytes(rows, 1);
        if (by_key && (length <= 0 || length > S3_KEY_MAX))
            continue;
        if (by_key)
            memcpy(key, sqlite3_column_blob(rows, 1), (size_t)length);
        lock_take(&push->lock);
        struct push_item *item = push_queue_get(&push->queue, kind, by_key ? 0 : (uint64_t)sqlite3_column_int64(rows, 1), by_key ? key : NULL);
        if (item) {
            item->first = sqlite3_column_int64(rows, 2);
            item->last = sqlite3_column_int64(rows, 3);
            item->publish = sqlite3_column_int(rows, 4) != 0;
            item->times = (struct push_times){ .first_ms = clock_mono_ms(), .changed_ms = clock_mono_ms(), .kicked = true };
        } else {
            db_fail(push->cache, -ENOMEM);
        }
        lock_drop(&push->lock);
    }
}

static void drop_job(struct cache *cache, struct pool_job *job)
{
    (void)push_upload_drop(cache, job); /* else it is an item's, and goes with the queue */
}

static void free_push(struct push *push)
{
    push_queue_clear(&push->queue);
    push_keys_clear(push);
    free(push->settled);
    pthread_cond_destroy(&push->wake);
    pthread_cond_destroy(&push->settle);
    lock_fini(&push->lock);
    free(push);
}

int push_start(struct cache *cache)
{
    if (cache->config.read_only)
        return 0;
    struct push *push = calloc(1, sizeof *push);
    if (!push)
        return -ENOMEM;
    push->cache = cache;
    push->pace = (struct push_pace){ .key_ms = PUSH_KEY_INTERVAL_MS, .retry_ms = PUSH_REFUSED_MS, .late_ms = PUSH_LATE_MS };
    push->queue.write_back_ms = cache->config.write_back_ms;
    push->queue.dirty_age_max_ms = cache->config.dirty_age_max_ms;
    lock_init(&push->lock, LOCK_PUSH);
    lock_cond_init(&push->wake);
    lock_cond_init(&push->settle);
    db_begin(cache);
    push_instance_start_tx(cache);
    push_caps_load_tx(push);
    push_attempt_adopt_tx(cache);
    load_tx(push);
    cache->push = push; /* from here on transactions tell it what they want */
    int error = db_commit(cache);
    if (!error && !cache->push_pool)
        error = pool_new(&cache->push_pool, cache, PUSH_IN_FLIGHT_MAX);
    if (!error)
        error = -pthread_create(&push->thread, NULL, plan, push);
    if (error) {
        cache->push = NULL;
        free_push(push);
        return error;
    }
    push->running = true;
    return 0;
}

void push_stop(struct cache *cache)
{
    struct push *push = cache->push;
    if (!push)
        return;
    lock_take(&push->lock);
    push->stop = true;
    pthread_cond_signal(&push->wake);
    lock_drop(&push->lock);
    pthread_join(push->thread, NULL);
    s3_cancel_fire(&push->cancel);
    pool_stop(cache->push_pool, drop_job);
    pool_free(cache->push_pool);
    cache->push_pool = NULL;
    db_begin(cache);
    cache->push = NULL;
    db_commit(cache);
    free_push(push);
}

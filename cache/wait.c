#include "cache/wait.h"

#include <errno.h>
#include <stdlib.h>

#include "s3/base/clock.h"

#define LOOK_MS 1000 /* how often the reaper looks while somebody waits */

/*
 * One lock for all queues: they are short-lived and held for a few instructions. Every wait is also in one list in the order
 * of its coming, so that one thread, asleep while nobody waits, bounds them all.
 */
struct waits {
    struct lock lock; /* LOCK_LOG: a leaf, so that wait_add may be called under any other */
    pthread_cond_t cond;
    pthread_t reaper;
    /* guarded by lock */
    struct cache_wait *oldest, **newest;
    bool idle;     /* the reaper sleeps without a deadline */
    bool stopping; /* every wait ends with -ESHUTDOWN */
    bool ended;
};

static void unlink_locked(struct waits *waits, struct cache_wait *wait) REQUIRES(waits->lock)
{
    lock_assert_held(&waits->lock);
    *wait->link = wait->next;
    if (wait->next)
        wait->next->link = wait->link;
    *wait->place = wait->newer;
    if (wait->newer)
        wait->newer->place = wait->place;
    else
        waits->newest = wait->place;
    wait->queue = NULL;
}

/* Takes off the waits that are due and chains them by next. */
static struct cache_wait *due_locked(struct waits *waits, int64_t now) REQUIRES(waits->lock)
{
    struct cache_wait *due = NULL, **tail = &due;
    while (waits->oldest && (waits->stopping || waits->oldest->since_ms + WAIT_MAX_MS <= now)) {
        struct cache_wait *wait = waits->oldest;
        unlink_locked(waits, wait);
        wait->next = NULL;
        *tail = wait;
        tail = &wait->next;
    }
    return due;
}

static void wake_chain(struct cache_wait *wait, int error)
{
    while (wait) {
        struct cache_wait *next = wait->next; /* once woken, it may be gone */
        wait->wake(wait, error);
        wait = next;
    }
}

static void *reap(void *arg)
{
    struct waits *waits = arg;
    lock_take(&waits->lock);
    while (!waits->ended) {
        struct cache_wait *due = due_locked(waits, clock_mono_ms());
        if (due) {
            int error = waits->stopping ? -ESHUTDOWN : -ETIMEDOUT;
            lock_drop(&waits->lock);
            wake_chain(due, error);
            lock_take(&waits->lock);
        } else if (waits->oldest) {
            lock_wait_until(&waits->lock, &waits->cond, clock_mono_ms() + LOOK_MS);
        } else {
            waits->idle = true;
            lock_wait(&waits->lock, &waits->cond);
            waits->idle = false;
        }
    }
    lock_drop(&waits->lock);
    return NULL;
}

int waits_start(struct cache *cache)
{
    struct waits *waits = calloc(1, sizeof *waits);
    if (!waits)
        return -ENOMEM;
    lock_init(&waits->lock, LOCK_LOG);
    lock_cond_init(&waits->cond);
    waits->newest = &waits->oldest;
    int error = pthread_create(&waits->reaper, NULL, reap, waits);
    if (error) {
        pthread_cond_destroy(&waits->cond);
        lock_fini(&waits->lock);
        free(waits);
        return -error;
    }
    cache->waits = waits;
    return 0;
}

void waits_stop(struct cache *cache)
{
    struct waits *waits = cache->waits;
    if (!waits)
        return;
    lock_take(&waits->lock);
    waits->stopping = true;
    struct cache_wait *due = due_locked(waits, 0);
    waits->ended = true;
    pthread_cond_signal(&waits->cond);
    lock_drop(&waits->lock);
    wake_chain(due, -ESHUTDOWN);
    pthread_join(waits->reaper, NULL);
    /* A wait that came after the list was emptied has nobody else to end it. */
    lock_take(&waits->lock);
    due = due_locked(waits, 0);
    lock_drop(&waits->lock);
    wake_chain(due, -ESHUTDOWN);
    pthread_cond_destroy(&waits->cond);
    lock_fini(&waits->lock);
    free(waits);
    cache->waits = NULL;
}

void wait_add(struct cache *cache, struct wait_queue *queue, struct cache_wait *wait)
{
    struct waits *waits = cache->waits;
    lock_take(&waits->lock);
    wait->queue = queue;
    wait->next = queue->first;
    wait->link = &queue->first;
    if (wait->next)
        wait->next->link = &wait->next;
    queue->first = wait;
    wait->since_ms = clock_mono_ms();
    wait->newer = NULL;
    wait->place = waits->newest;
    *waits->newest = wait;
    waits->newest = &wait->newer;
    if (waits->idle || waits->stopping)
        pthread_cond_signal(&waits->cond);
    lock_drop(&waits->lock);
}

void wait_move(struct cache *cache, struct wait_queue *to, struct wait_queue *from)
{
    lock_take(&cache->waits->lock);
    to->first = from->first;
    if (to->first)
        to->first->link = &to->first;
    for (struct cache_wait *wait = to->first; wait; wait = wait->next)
        wait->queue = to;
    from->first = NULL;
    lock_drop(&cache->waits->lock);
}

void wait_wake(struct cache *cache, struct wait_queue *queue, int error)
{
    struct waits *waits = cache->waits;
    struct cache_wait *chain = NULL;
    if (!waits) /* stopped: nobody waits any more */
        return;
    lock_take(&waits->lock);
    /* The queue is last in, first out: turning it round wakes in the order of coming. */
    while (queue->first) {
        struct cache_wait *wait = queue->first;
        unlink_locked(waits, wait);
        wait->next = chain;
        chain = wait;
    }
    lock_drop(&waits->lock);
    wake_chain(chain, error);
}

bool cache_wait_cancel(struct cache *cache, struct cache_wait *wait)
{
    struct waits *waits = cache->waits;
    lock_take(&waits->lock);
    bool ours = wait->queue != NULL;
    if (ours)
        unlink_locked(waits, wait);
    lock_drop(&waits->lock);
    return ours;
}

/* ---- for those who may block ---- */

static void wake_blocking(struct cache_wait *wait, int error)
{
    struct wait_blocking *w = (struct wait_blocking *)wait;
    pthread_mutex_lock(&w->mutex);
    w->woken = true;
    w->error = error;
    pthread_cond_signal(&w->cond);
    pthread_mutex_unlock(&w->mutex);
}

void wait_blocking_init(struct wait_blocking *w)
{
    *w = (struct wait_blocking){ .wait = { .wake = wake_blocking } };
    pthread_mutex_init(&w->mutex, NULL);
    lock_cond_init(&w->cond);
}

int wait_blocking_run(struct cache *cache, struct wait_blocking *w, int timeout_ms)
{
    int64_t until = clock_mono_ms() + timeout_ms;
    struct timespec at = { .tv_sec = until / 1000, .tv_nsec = (until % 1000) * 1000000 };
    pthread_mutex_lock(&w->mutex);
    int due = 0;
    while (!w->woken && due != ETIMEDOUT)
        due = timeout_ms < 0 ? pthread_cond_wait(&w->cond, &w->mutex) : pthread_cond_timedwait(&w->cond, &w->mutex, &at);
    if (!w->woken) {
        pthread_mutex_unlock(&w->mutex);
        if (cache_wait_cancel(cache, &w->wait))
            return -ETIMEDOUT;
        /* It was taken off its queue just now: its wake is on the way. */
        pthread_mutex_lock(&w->mutex);
        while (!w->woken)
            pthread_cond_wait(&w->cond, &w->mutex);
    }
    int error = w->error;
    w->woken = false; /* ready for the next call */
    pthread_mutex_unlock(&w->mutex);
    return error;
}

void wait_blocking_fini(struct wait_blocking *w)
{
    pthread_cond_destroy(&w->cond);
    pthread_mutex_destroy(&w->mutex);
}

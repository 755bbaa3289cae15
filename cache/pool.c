#include "cache/pool.h"

#include <errno.h>
#include <stdlib.h>

#include "s3/base/clock.h"

#define IDLE_MS 10000
/* Enough for SQLite, jansson and libs3 below a job; only touched pages cost memory. */
#define STACK_SIZE (1u << 20)

struct pool {
    struct cache *cache;
    struct lock lock; /* LOCK_HTTP: jobs are submitted under the locks of their modules */
    pthread_cond_t work, ended;
    unsigned threads_max;
    /* guarded by lock */
    struct pool_job *first; /* by priority, then by coming */
    unsigned threads, idle, queued;
    bool stopped;
    void (*drop)(struct cache *cache, struct pool_job *job);
};

static void insert_locked(struct pool *pool, struct pool_job *job) REQUIRES(pool->lock)
{
    lock_assert_held(&pool->lock);
    struct pool_job *before = NULL, *after = pool->first;
    while (after && after->priority <= job->priority) {
        before = after;
        after = after->next;
    }
    job->prev = before;
    job->next = after;
    if (before)
        before->next = job;
    else
        pool->first = job;
    if (after)
        after->prev = job;
    pool->queued++;
}

static void remove_locked(struct pool *pool, struct pool_job *job) REQUIRES(pool->lock)
{
    lock_assert_held(&pool->lock);
    if (job->prev)
        job->prev->next = job->next;
    else
        pool->first = job->next;
    if (job->next)
        job->next->prev = job->prev;
    job->next = job->prev = NULL;
    pool->queued--;
}

/* Waits for a job; NULL: this thread is to end. The last thread stays, so that a job never waits for a thread that can't be made. */
static struct pool_job *next_locked(struct pool *pool) REQUIRES(pool->lock)
{
    lock_assert_held(&pool->lock);
    int64_t until = clock_mono_ms() + IDLE_MS;
    while (!pool->first) {
        if (pool->stopped)
            return NULL;
        pool->idle++;
        bool due = !lock_wait_until(&pool->lock, &pool->work, until);
        pool->idle--;
        if (due && !pool->first) {
            if (pool->threads > 1)
                return NULL;
            until = clock_mono_ms() + 100 * IDLE_MS;
        }
    }
    struct pool_job *job = pool->first;
    remove_locked(pool, job);
    return job;
}

static void *serve(void *arg)
{
    struct pool *pool = arg;
    lock_take(&pool->lock);
    for (struct pool_job *job; (job = next_locked(pool)) != NULL;) {
        lock_drop(&pool->lock);
        job->run(pool->cache, job);
        lock_take(&pool->lock);
    }
    if (--pool->threads == 0)
        pthread_cond_broadcast(&pool->ended);
    lock_drop(&pool->lock);
    return NULL;
}

static int spawn_locked(struct pool *pool) REQUIRES(pool->lock)
{
    lock_assert_held(&pool->lock);
    pthread_attr_t attr;
    pthread_t thread;
    pthread_attr_init(&attr);
    pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    pthread_attr_setstacksize(&attr, STACK_SIZE);
    int error = pthread_create(&thread, &attr, serve, pool);
    pthread_attr_destroy(&attr);
    if (error)
        return -error;
    pool->threads++;
    return 0;
}

int pool_new(struct pool **result, struct cache *cache, unsigned threads_max)
{
    struct pool *pool = calloc(1, sizeof *pool);
    if (!pool)
        return -ENOMEM;
    pool->cache = cache;
    pool->threads_max = threads_max;
    lock_init(&pool->lock, LOCK_HTTP);
    lock_cond_init(&pool->work);
    lock_cond_init(&pool->ended);
    lock_take(&pool->lock);
    int error = spawn_locked(pool);
    pool->stopped = error != 0;
    lock_drop(&pool->lock);
    if (error) {
        pool_free(pool);
        return error;
    }
    *result = pool;
    return 0;
}

void pool_submit(struct pool *pool, struct pool_job *job)
{
    lock_take(&pool->lock);
    if (pool->stopped) {
        void (*drop)(struct cache *cache, struct pool_job *job) = pool->drop;
        lock_drop(&pool->lock);
        drop(pool->cache, job);
        return;
    }
    insert_locked(pool, job);
    /* An idle thread that was signalled stays counted until it runs, so the jobs are counted too. */
    if (pool->idle >= pool->queued)
        pthread_cond_signal(&pool->work);
    else if (pool->threads < pool->threads_max)
        (void)spawn_locked(pool); /* without a new thread the job waits for one that is busy */
    lock_drop(&pool->lock);
}

bool pool_raise(struct pool *pool, struct pool_job *job, int priority)
{
    lock_take(&pool->lock);
    bool waits = job->prev || job->next || pool->first == job;
    if (waits && priority < job->priority) {
        remove_locked(pool, job);
        job->priority = priority;
        insert_locked(pool, job);
    }
    lock_drop(&pool->lock);
    return waits;
}

void pool_stop(struct pool *pool, void (*drop)(struct cache *cache, struct pool_job *job))
{
    lock_take(&pool->lock);
    pool->drop = drop;
    pool->stopped = true;
    struct pool_job *left = pool->first;
    pool->first = NULL;
    pool->queued = 0;
    pthread_cond_broadcast(&pool->work);
    lock_drop(&pool->lock);
    while (left) {
        struct pool_job *next = left->next;
        left->next = left->prev = NULL;
        drop(pool->cache, left);
        left = next;
    }
    lock_take(&pool->lock);
    while (pool->threads > 0)
        lock_wait(&pool->lock, &pool->ended);
    lock_drop(&pool->lock);
}

void pool_free(struct pool *pool)
{
    if (!pool)
        return;
    pthread_cond_destroy(&pool->work);
    pthread_cond_destroy(&pool->ended);
    lock_fini(&pool->lock);
    free(pool);
}

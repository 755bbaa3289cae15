#include "cache/fetch.h"

#include <errno.h>
#include <stdlib.h>

#include "cache/dir.h"
#include "cache/fetch_state.h"

#define THREADS 64

int fetch_start(struct cache *cache)
{
    struct fetch *fetch = calloc(1, sizeof *fetch);
    if (!fetch)
        return -ENOMEM;
    lock_init(&fetch->lock, LOCK_FILE);
    int error = pool_new(&cache->fetch_pool, cache, THREADS);
    if (error) {
        lock_fini(&fetch->lock);
        free(fetch);
        return error;
    }
    cache->fetch = fetch;
    return 0;
}

/* Each job sees that the cache stops, tells its waiters and frees itself. */
static void drop(struct cache *cache, struct pool_job *job)
{
    job->run(cache, job);
}

void fetch_stop(struct cache *cache)
{
    struct fetch *fetch = cache->fetch;
    if (!fetch)
        return;
    s3_cancel_fire(&fetch->cancel);
    if (cache->dirs)
        dir_cancel_all(cache);
    pool_stop(cache->fetch_pool, drop);
    pool_free(cache->fetch_pool);
    cache->fetch_pool = NULL;
    lock_fini(&fetch->lock);
    free(fetch);
    cache->fetch = NULL;
}

/*
 * cache/pool.h: worker threads for blocking calls of s3_ops. Threads start when there is work and end after 10 s without.
 * Jobs of a lower number go first; the queue is bounded by its callers (single flight).
 */
#ifndef R2FS_CACHE_POOL_H
#define R2FS_CACHE_POOL_H

#include "cache/internal.h"

struct pool_job {
    void (*run)(struct cache *cache, struct pool_job *job); /* may free the job */
    int priority;
    struct pool_job *next;
};
int pool_new(struct pool **pool, struct cache *cache, unsigned threads_max);
void pool_submit(struct pool *pool, struct pool_job *job); /* runs exactly once, or is passed to drop by pool_stop */
void pool_stop(struct pool *pool, void (*drop)(struct cache *cache, struct pool_job *job)); /* waits for running jobs */
void pool_free(struct pool *pool);

#endif

/*
 * cache/pool.h: worker threads for blocking calls of s3_ops. One starts with the pool, so that work is always done; more when
 * there is work, and they end after 10 s without. Jobs of a lower number go first; the queue is bounded by its callers (single flight).
 */
#ifndef R2FS_CACHE_POOL_H
#define R2FS_CACHE_POOL_H

#include "cache/internal.h"

struct pool_job {
    void (*run)(struct cache *cache, struct pool_job *job); /* may free the job */
    int priority;
    struct pool_job *next, *prev; /* the pool's */
};
int pool_new(struct pool **pool, struct cache *cache, unsigned threads_max);
/* Runs exactly once, or is passed once to pool_stop's drop (at once, when the pool has stopped: hold no lock that drop takes). */
void pool_submit(struct pool *pool, struct pool_job *job);
/* A job that still waits goes ahead of its time; one that runs, or is over, must not be named. False: it runs already. */
bool pool_raise(struct pool *pool, struct pool_job *job, int priority);
void pool_stop(struct pool *pool, void (*drop)(struct cache *cache, struct pool_job *job)); /* waits for running jobs */
void pool_free(struct pool *pool); /* after pool_stop; NULL is legal */

#endif

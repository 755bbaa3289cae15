/*
 * cache/evict.h: space. One thread does what must wait for a sync (unlink, punch), writes rows that nobody waits for, and keeps the cache
 * below its limits. The functions that others call are in cache/block.h.
 */
#ifndef R2FS_CACHE_EVICT_H
#define R2FS_CACHE_EVICT_H

#include "cache/block.h"

struct evict {
    struct lock lock; /* LOCK_BLOCK */
    pthread_cond_t wake;
    uint64_t *discard; /* contents whose block files go after the next sync */
    size_t discard_count, discard_capacity;
};

#endif

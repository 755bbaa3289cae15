/*
 * cache/evict.h: space. One thread does what must wait for a sync (unlink, punch), writes rows that nobody waits for, and keeps the cache
 * below its limits. The functions that others call are in cache/block.h and cache/block_internal.h.
 */
#ifndef R2FS_CACHE_EVICT_H
#define R2FS_CACHE_EVICT_H

#include "cache/block_internal.h"
#include "cache/wait.h"

#define BALLAST_SIZE (8u << 20)

struct evict_touch {
    uint64_t content_id;
    int64_t used_ms;
};

struct evict {
    struct lock lock; /* LOCK_BLOCK: all up to used */
    pthread_cond_t wake;    /* for the thread */
    pthread_cond_t changed; /* for those who block until there is room */
    pthread_t thread;
    bool runs, stop, kicked;
    uint64_t *discard;      /* contents whose block files go after the next sync */
    size_t discard_count, discard_capacity;
    struct inode **commit;  /* held: clean rows to be written */
    size_t commit_count, commit_capacity;
    struct inode **punch;   /* held: stale bytes to be punched after the next sync */
    size_t punch_count, punch_capacity;
    struct evict_touch *touch;
    size_t touch_count, touch_capacity;
    struct wait_queue waiting; /* writers that wait for room */
    int64_t waiting_since;     /* monotonic: without progress; 0: nobody waits */
    bool exhausted;            /* the last pass found nothing more to give up */
    bool ballast;              /* the file is there */

    _Atomic int64_t used;      /* bytes of cached data */
    _Atomic int64_t free_now;  /* of the file system, when last looked at, less what was promised since */
    _Atomic int64_t looked_ms;
};

/* Inside its own transactions: gives up clean contents, oldest use first, until `wanted` bytes are. Returns how many are. */
uint64_t evict_pass(struct cache *cache, uint64_t wanted);
/* Removes block files that no row means. Before any thread runs. */
int evict_remove_orphans(struct cache *cache);

#endif

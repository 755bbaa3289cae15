/*
 * cache/fetch_state.h: what fetch_meta.c and fetch_range.c share.
 */
#ifndef R2FS_CACHE_FETCH_STATE_H
#define R2FS_CACHE_FETCH_STATE_H

#include <uthash.h>

#include "cache/fetch.h"
#include "cache/pool.h"
#include "cache/wait.h"

enum { FETCH_NOW, FETCH_SOON, FETCH_AHEAD }; /* priorities: a program waits; a walker will; read-ahead */

#define FETCH_META_AHEAD_MAX 8192 /* metadata asked for ahead of anyone */
#define FETCH_WALKS 4             /* walkers followed at once */

struct fetch_meta_flight {
    struct pool_job job;
    UT_hash_handle hh;
    uint64_t ino;
    struct wait_queue waiters;
    bool ahead; /* nobody has waited for it */
};

struct fetch_range_flight {
    struct pool_job job;
    struct fetch_range_flight *next, **link; /* among the inode's */
    struct fetch_ranges *ranges;
    struct inode *inode; /* held */
    uint64_t content_id, start, end;
    char *key, *etag;
    bool whole;          /* the object in one piece, so that its MD5 can be compared */
    bool submitted;      /* it has its share of the memory */
    struct wait_queue waiters;
    struct fetch_range_flight *next_held;
};

struct fetch_ranges { /* an inode's ranges under way */
    UT_hash_handle hh;
    uint64_t ino;
    struct fetch_range_flight *first;
};

struct fetch_walk { /* somebody looks at the names of a directory one after another */
    uint64_t parent;
    unsigned looks;
    uint64_t used; /* the greatest is the newest */
};

struct fetch {
    struct lock lock; /* LOCK_FILE: the inode table's is taken under it */
    struct s3_cancel cancel;
    /* guarded by lock */
    struct fetch_meta_flight *metas;
    size_t metas_ahead;
    struct fetch_walk walks[FETCH_WALKS];
    uint64_t walk_clock;
    struct fetch_ranges *ranges;
    uint64_t memory;                  /* of buffers of submitted ranges */
    struct fetch_range_flight *held;  /* wait for memory */
};

#endif

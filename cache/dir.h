/*
 * cache/dir.h: which directories are listed, how fresh that is, and listing one when a program needs it.
 *
 * A listing counts from the moment it is complete until dir_expire_all, as long as the poller keeps it fresh: it polls what
 * is in use, and calls dir_sweep for what is not. All of this is in memory; a mount starts knowing nothing and lists what is looked at.
 */
#ifndef R2FS_CACHE_DIR_H
#define R2FS_CACHE_DIR_H

#include "cache/internal.h"

int dirs_start(struct cache *cache);
void dir_cancel_all(struct cache *cache); /* listings under way end early: cache->stopping is set */
void dirs_stop(struct cache *cache); /* after the fetch pool has stopped */
/* Is every name of this directory known (name NULL), or at least whether this name exists? 0: yes, look at the tree. CACHE_WAIT: a
 * listing is under way. -errno: the bucket's error. wait NULL: only start it (then also CACHE_WAIT). Marks it as used. Not inside. */
int dir_need(struct cache *cache, uint64_t ino, const char *name, struct cache_wait *wait);
void dir_used(struct cache *cache, uint64_t ino);        /* a program looked at it: the poller keeps it fresh. O(1), no SQL */
void dir_made_tx(struct cache *cache, uint64_t ino);     /* a directory made here is complete from the start */
void dir_expire_all(struct cache *cache);
bool dir_complete_tx(struct cache *cache, uint64_t ino); /* needs no transaction; named so since an answer is good for one only */

/* ---- for the poller and the merge ---- */

bool dir_was_listed_tx(struct cache *cache, uint64_t ino); /* to its end, in this mount, fresh or not */
/* Every directory is complete (a flat listing of all has ended), or that can't be said any more: then those used since used_ms (monotonic) stay so. */
void dir_set_all_complete(struct cache *cache, bool complete, int64_t used_ms);
bool dir_all_complete(struct cache *cache);
/* A number that changes with dir_expire_all: a listing that began before it proves nothing after it. */
uint64_t dir_epoch(struct cache *cache);
/* The poller has listed this one. */
void dir_listed(struct cache *cache, uint64_t ino, uint64_t epoch);
/* Listed directories used since used_ms, at most capacity of the most recent; returns how many. The listings of all others count no more. */
size_t dir_sweep(struct cache *cache, int64_t used_ms, uint64_t *inos, size_t capacity);
size_t dir_in_use(struct cache *cache, int64_t used_ms); /* how many dir_sweep would return */
int64_t dir_last_used_ms(struct cache *cache); /* monotonic, 0: never */
/* A key that no path can show: counted, and logged, once in the life of this mount. */
void dir_blocked_key(struct cache *cache, const char *key);

#endif

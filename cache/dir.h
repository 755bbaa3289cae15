/*
 * cache/dir.h: which directories are listed, how fresh that is, and listing one when a program needs it.
 */
#ifndef R2FS_CACHE_DIR_H
#define R2FS_CACHE_DIR_H

#include "cache/internal.h"

int dirs_start(struct cache *cache);
void dirs_stop(struct cache *cache);
/* Is every name of this directory known (name NULL), or at least whether this name exists? 0: yes, look at the tree. CACHE_WAIT: a
 * listing is under way. -errno: the bucket's error. */
int dir_need(struct cache *cache, uint64_t ino, const char *name, struct cache_wait *wait);
void dir_used(struct cache *cache, uint64_t ino);        /* a program looked at it: the poller keeps it fresh. O(1), no SQL */
void dir_made_tx(struct cache *cache, uint64_t ino);     /* a directory made here is complete from the start */
void dir_expire_all(struct cache *cache);
bool dir_complete_tx(struct cache *cache, uint64_t ino);

#endif

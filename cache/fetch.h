/*
 * cache/fetch.h: read-through. Single flight for each object's metadata and for each range; small objects are fetched
 * whole with their metadata; sequential readers get read-ahead. Jobs run on cache->fetch_pool, which is made here.
 * A fetch that nobody waits for any more goes on. Every request carries the ETag of the version that is wanted, so bytes of two
 * versions never meet in one content.
 */
#ifndef R2FS_CACHE_FETCH_H
#define R2FS_CACHE_FETCH_H

#include "cache/inode.h"

#define FETCH_RANGE_MAX (8u << 20) /* what one call promises */

int fetch_start(struct cache *cache);
void fetch_stop(struct cache *cache); /* ends the pool's jobs, those of dir.c too; cache->stopping is set */
/* The inode's metadata (known), and the target of a symlink. 0: known. After a wait that ended with 0 look the name up again: it
 * may have vanished, or stand for another inode. wait NULL: only start it. Not inside. */
int fetch_meta(struct cache *cache, struct inode *inode, struct cache_wait *wait);
void fetch_meta_ahead(struct cache *cache, const uint64_t *inos, size_t count); /* no one waits */
/* Makes [offset, offset+size) present (at most FETCH_RANGE_MAX are promised), plus read-ahead when sequential. 0: it is. wait NULL: only
 * start it. After a wait that ended with 0 ask again. -ESTALE: that version is lost. Not with inode->lock held. */
int fetch_range(struct cache *cache, struct inode *inode, uint64_t offset, uint64_t size, bool sequential, struct cache_wait *wait);
/* The same for a thread that may block (the pusher), for any size. */
int fetch_range_blocking(struct cache *cache, struct inode *inode, uint64_t offset, uint64_t size);

#endif

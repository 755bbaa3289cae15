/*
 * cache/fetch.h: read-through. Single flight for each object's metadata and for each range; small objects are fetched
 * whole with their metadata; sequential readers get read-ahead. Jobs run on cache->fetch_pool.
 */
#ifndef R2FS_CACHE_FETCH_H
#define R2FS_CACHE_FETCH_H

#include "cache/inode.h"

int fetch_start(struct cache *cache);
void fetch_stop(struct cache *cache);
/* The inode's metadata (known), and the target of a symlink. 0: known. */
int fetch_meta(struct cache *cache, struct inode *inode, struct cache_wait *wait);
void fetch_meta_ahead(struct cache *cache, const uint64_t *inos, size_t count); /* no one waits */
/* Makes [offset, offset+size) present (at most 8 MiB are promised), plus read-ahead when sequential. 0: it is. wait NULL: only start it. */
int fetch_range(struct cache *cache, struct inode *inode, uint64_t offset, uint64_t size, bool sequential, struct cache_wait *wait);
/* The same for a thread that may block (the pusher). */
int fetch_range_blocking(struct cache *cache, struct inode *inode, uint64_t offset, uint64_t size);

#endif

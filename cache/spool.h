/*
 * cache/spool.h: the folder of one mount's cache: CACHE_DIR/NAME, 0700, with index.db, blocks/XX/, lock, ballast. NAME is made
 * of bucket and prefix, readable, and a hash of the identity (endpoint, bucket, prefix).
 */
#ifndef R2FS_CACHE_SPOOL_H
#define R2FS_CACHE_SPOOL_H

#include "cache/internal.h"

#define SPOOL_SHARDS 256 /* folders below blocks/ */

/* Makes the folder and takes its lock: sets cache->spool, spool_fd, blocks_fd, lock_fd. Writes one sentence to why on failure. */
int spool_open(struct cache *cache, char *why, size_t why_size);
void spool_close(struct cache *cache);
/* The folder of this identity, the caller's; NULL: no memory. */
char *spool_path(const char *cache_dir, const char *endpoint, const char *bucket, const char *prefix);
/* endpoint, bucket and prefix as one string, the caller's: what the index is checked against. */
char *spool_identity(const struct cache_config *config);
/* "XX/ID" of a content's block file, relative to blocks_fd. */
void spool_block_name(char name[32], uint64_t content_id);

#endif

/*
 * cache/cache_op.h: what the operations on names (cache_lookup.c, cache_make.c, cache_remove.c, cache_rename.c) share.
 */
#ifndef R2FS_CACHE_CACHE_OP_H
#define R2FS_CACHE_CACHE_OP_H

#include "cache/tree.h"

/* A name may come to stand for another inode between two looks; so often, the index is at fault. */
#define CACHE_OP_TRIES_MAX 16

/* Does the tree say what this name stands for? 0; CACHE_WAIT; the error of the listing, unless the name is here from before: what is cached
 * stays readable. Not inside. */
int cache_op_listed(struct cache *cache, uint64_t parent, const char *name, struct cache_wait *wait);
/* The inode that a name stands for, held; its listing is asked for when the name is not there. 0, CACHE_WAIT, -ENOENT, … Not inside. */
int cache_op_child(struct cache *cache, uint64_t parent, const char *name, struct inode **child, struct cache_wait *wait);
/* May a name be made in this directory? Inside: 0 with *directory held; -ENOENT (it was removed), -ENOTDIR, -ENAMETOOLONG (the key). */
int cache_op_parent_tx(struct cache *cache, uint64_t parent, size_t name_length, bool slash, struct inode **directory);
/* The key of a name as it is now, "/" behind a directory's; buf_fini is the caller's. 0, -errno. Inside. */
int cache_op_key_tx(struct cache *cache, uint64_t parent, const char *name, size_t length, bool slash, struct buf *key);

#endif

/*
 * cache/inode_internal.h: what inode.c (the table) and inode_row.c (rows and what a transaction makes of them) share.
 */
#ifndef R2FS_CACHE_INODE_INTERNAL_H
#define R2FS_CACHE_INODE_INTERNAL_H

#include "cache/inode.h"
#include "cache/shown.h"

struct inode_table {
    struct lock lock; /* LOCK_BLOCK */
    struct inode *by_number;
    struct inode *oldest, *newest; /* idle ones */
    unsigned idle_count;
    struct shown shown;
    uint64_t generation;
    atomic_uint_fast64_t versions; /* of directories: never given out twice in a run */
};

struct inode *inode_alloc(uint64_t ino); /* zeroed, in no table; NULL: no memory */
void inode_free(struct cache *cache, struct inode *inode);
void inode_enter(struct cache *cache, struct inode *inode); /* into the table, with one reference */
struct inode *inode_load(struct cache *cache, uint64_t ino); /* from its row; in no table. Inside */

#endif

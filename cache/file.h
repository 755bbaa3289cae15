/*
 * cache/file.h: open files. The cache.h functions on struct cache_file are implemented in file.c and file_space.c; others need only this.
 */
#ifndef R2FS_CACHE_FILE_H
#define R2FS_CACHE_FILE_H

#include "cache/block.h"

struct cache_file {
    struct inode *inode; /* held */
    int flags;
    _Atomic uint64_t next_offset; /* where a sequential reader goes on */
};

/* Writes what memory has of this inode (size, times, ranges, body) to its rows, with its todo row: one commit, none when nothing
 * changed. This is what close() acknowledges. Not inside. */
int file_commit(struct cache *cache, struct inode *inode);
/* An open handle on an inode that the caller holds; the handle takes over the reference. NULL: no memory, the reference is put. */
struct cache_file *file_new(struct cache *cache, struct inode *inode, int flags);
/* May programs write at all? 0, -EROFS, -EDQUOT. */
int file_may_write(struct cache *cache);
/* Size set by a program: fetches the base of a small file ahead, commits. Not inside. */
int file_truncate(struct cache *cache, struct inode *inode, uint64_t size, struct cache_wait *wait);

#endif

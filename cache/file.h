/*
 * cache/file.h: open files. The cache.h functions on struct cache_file are implemented here; others need only this.
 */
#ifndef R2FS_CACHE_FILE_H
#define R2FS_CACHE_FILE_H

#include "cache/block.h"

/* Writes what memory has of this inode (size, times, ranges, body) to its rows, with its todo row: one commit, none when nothing
 * changed. This is what close() acknowledges. Not inside. */
int file_commit(struct cache *cache, struct inode *inode);

#endif

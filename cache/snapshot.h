/*
 * cache/snapshot.h: the inside of a snapshot, for snapshot.c and block_version.c. Others use cache/block.h.
 */
#ifndef R2FS_CACHE_SNAPSHOT_H
#define R2FS_CACHE_SNAPSHOT_H

#include "cache/block_internal.h"

struct snapshot_private {
    struct inode *inode;     /* held */
    struct content *content; /* held; its list of snapshots has this one */
    struct snapshot *next;
    void *memory;
    int fd;                  /* the copy, or what was saved aside; -1: none */
    bool copied;             /* fd holds all bytes */
    struct ranges data, hole; /* what was where when it was taken; does not change */
    /* guarded by the inode's lock */
    struct ranges aside;      /* data that is in fd now */
    struct ranges rewritten;  /* bytes that changed since */
    bool all_rewritten;
    uint64_t size_min;        /* the smallest size since; UINT64_MAX: it did not shrink */
    unsigned busy;            /* writers that copy into fd */
};

#endif

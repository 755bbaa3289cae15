/*
 * cache/inode.h: inodes in memory. A struct inode is the one copy of its row; get it by number, put it when done. The table
 * is bounded: rows that nobody holds leave it, oldest first.
 */
#ifndef R2FS_CACHE_INODE_H
#define R2FS_CACHE_INODE_H

#include "cache/internal.h"

struct content; /* cache/block.h */

struct inode {
    uint64_t ino;
    struct lock lock; /* LOCK_FILE */
    /* guarded by lock; written inside a transaction's db_after or by file.c between commits */
    uint32_t mode, uid, gid, nlink;
    uint64_t rdev, size;
    int64_t mtime, ctime, atime; /* ns */
    int64_t data_version, meta_version;
    bool known, explicit_object, removed; /* removed: no name is left */
    char *target;                         /* symlink */
    struct content *content;              /* loaded when first needed */
    uint64_t content_id;
    int64_t dirty_ms;
    int poisoned;                         /* a failed fdatasync: -EIO until the bucket has the data */
    unsigned opens, writers;              /* open handles, those that may write */
    int64_t written_ms;                   /* monotonic, of the last write not yet flushed; 0: none: row and memory agree */
    bool changed_attrs;                   /* size, mtime or ctime in memory are newer than the row */
    bool conflict_news;                   /* the next fsync with fsync_remote says ESTALE */
    /* the table's own */
    struct inode_links *links;
    unsigned references;
};

int inode_table_start(struct cache *cache);
void inode_table_stop(struct cache *cache);

/* Loads it when it is not in memory. NULL: no such row. Not inside a transaction unless by the _tx form. */
struct inode *inode_get(struct cache *cache, uint64_t ino);
struct inode *inode_get_tx(struct cache *cache, uint64_t ino);
struct inode *inode_peek(struct cache *cache, uint64_t ino); /* only when in memory already; else NULL */
void inode_put(struct cache *cache, struct inode *inode);

/* A new row and its struct, referenced; fields from *model (ino is drawn). Rolled back with the transaction. */
struct inode *inode_new_tx(struct cache *cache, const struct inode *model);
/* Writes the row from the values in *values; memory follows after the commit. what: which groups of columns. */
enum { INODE_ATTR = 1, INODE_DATA = 2, INODE_TARGET = 4, INODE_LINKS = 8, INODE_KNOWN = 16 };
void inode_store_tx(struct cache *cache, struct inode *inode, const struct inode *values, unsigned what);
/* nlink reached 0: the row goes when nobody has it open or looked up, at the latest at the next start. */
void inode_removed_tx(struct cache *cache, struct inode *inode);
void inode_attr(const struct inode *inode, struct cache_attr *attr) REQUIRES(inode->lock);

#endif

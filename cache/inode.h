/*
 * cache/inode.h: inodes in memory. A struct inode is the one copy of its row; get it by number, put it when done. The table
 * is bounded: rows that nobody holds leave it, oldest first.
 *
 * A row is removed with its last name. The struct lives on, `removed`, as long as somebody holds it, has it open, or the kernel
 * knows the number (inode_shown): it then answers from memory alone.
 */
#ifndef R2FS_CACHE_INODE_H
#define R2FS_CACHE_INODE_H

#include <uthash.h>

#include "cache/internal.h"

struct content;       /* cache/block.h */
struct inode_pending; /* what the transaction under way will make of it */

struct inode {
    uint64_t ino;
    struct lock lock; /* LOCK_FILE */
    /* guarded by lock; changed when a transaction settles, or by file.c between commits. Atomic: may also be looked at without it. */
    _Atomic uint32_t mode;
    uint32_t uid, gid, nlink;
    uint64_t rdev, size, hole;
    int64_t mtime, ctime, atime; /* ns */
    int64_t data_version, meta_version;
    _Atomic bool known, removed;          /* removed: no name is left */
    bool explicit_object;
    char *target;                         /* symlink */
    struct content *content;              /* loaded when first needed */
    uint64_t content_id;                  /* of the row; 0: none */
    int64_t dirty_ms;
    bool synced;                          /* fsynced since dirty_ms */
    int poisoned;                         /* a failed fdatasync: -EIO until the bucket has the data */
    unsigned opens, writers;              /* open handles, those that may write */
    int64_t written_ms;                   /* monotonic, of the last write not yet committed; 0: row and memory agree */
    bool changed_attrs;                   /* size, mtime or ctime in memory are newer than the row */
    bool conflict_news;                   /* the next fsync with fsync_remote says ESTALE */
    uint64_t stamp;                       /* grows with each change in memory that no transaction made */
    uint64_t kept_content;                /* content that the kernel may have pages of: see cache_open_file's keep */
    /* guarded by LOCK_DB */
    struct inode_pending *pending;
    bool unnamed;                         /* new in this transaction, no name yet */
    bool linkable;                        /* removed, but it may still get its first name (O_TMPFILE) */
    bool reviving;                        /* gets it in this transaction */
    char *key;                            /* a directory's key, good while key_generation is the tree's */
    uint64_t key_generation;
    /* the table's own, guarded by its lock */
    UT_hash_handle hh;
    struct inode *older, *newer;          /* nobody holds it: in the order to leave */
    unsigned references;
    bool idle, detached, visited;
    _Atomic uint64_t dir_version;
};

int inode_table_start(struct cache *cache);
void inode_table_stop(struct cache *cache);

/* Loads it when it is not in memory. NULL: no such row. Not inside a transaction unless by the _tx form. */
struct inode *inode_get(struct cache *cache, uint64_t ino);
struct inode *inode_get_tx(struct cache *cache, uint64_t ino);
struct inode *inode_peek(struct cache *cache, uint64_t ino); /* only when in memory already; else NULL */
void inode_hold(struct cache *cache, struct inode *inode);   /* one more reference */
void inode_put(struct cache *cache, struct inode *inode);    /* NULL is legal. No inode's lock held */

/* A new row and its struct, referenced; fields from *model (ino is drawn; nlink is what its first name makes it: 1, or 2 for a
 * directory). Rolled back with the transaction. NULL: the transaction has failed. */
struct inode *inode_new_tx(struct cache *cache, const struct inode *model);
/* A file without a name and without a row, referenced; linkable: inode_revive_tx may give it one, before the name is added. */
struct inode *inode_new_nameless_tx(struct cache *cache, const struct inode *model, bool linkable);
void inode_revive_tx(struct cache *cache, struct inode *inode);
/* Each inode with writes that no commit has; when no program can write any more. */
void inode_each_written(struct cache *cache, void (*each)(struct cache *cache, struct inode *inode));
/* What the row holds as this transaction has left it so far: the start of a change. Strings are borrowed, the lock is not copied. */
void inode_values_tx(struct cache *cache, struct inode *inode, struct inode *values);
/* Writes the row from the values in *values (of inode_values_tx); memory follows after the commit. what: which groups of columns. */
enum {
    INODE_ATTR = 1,   /* mode, uid, gid, rdev, mtime, ctime, atime, meta_version, explicit_object */
    INODE_DATA = 2,   /* size, hole, data_version, content_id, dirty_ms, synced */
    INODE_TARGET = 4,
    INODE_LINKS = 8,  /* nlink */
    INODE_KNOWN = 16,
    INODE_TIMES = 32, /* mtime, ctime, atime alone */
};
void inode_store_tx(struct cache *cache, struct inode *inode, const struct inode *values, unsigned what);
/* Its last name is gone: the row and its content rows go; block files when that is synced and nobody reads them. */
void inode_removed_tx(struct cache *cache, struct inode *inode);
/* A name in this directory came, went or changed: its dir_version grows with the commit. */
void inode_names_changed_tx(struct cache *cache, struct inode *inode);
/* Fills *attr from memory, uncommitted writes included. Takes the lock. */
void inode_attr(struct cache *cache, struct inode *inode, struct cache_attr *attr);

/* The kernel has been given this number, or has forgotten it. O(1). */
void inode_shown(struct cache *cache, struct inode *inode);
void inode_forgotten(struct cache *cache, uint64_t ino);
uint64_t inode_generation(const struct cache *cache); /* of every number of this spool */

int64_t inode_now(void); /* the time for mtime and ctime, ns: the kernel's own coarse clock */

#endif

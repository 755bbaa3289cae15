/*
 * cache/internal.h: what the modules of libcache share. Each has a header of its own; this one holds the object they hang
 * on, and the rules between them.
 *
 * Modules, each the owner of its state:
 *   io      every call that changes a file of the cache                spool   the folder, its identity and its owner
 *   db      the connection, transactions, syncs, checkpoints           inode   rows in memory, attributes, lifetime
 *   tree    dentries: the operations on names                          block   bytes: content rows, block files, ranges
 *   file    open files: read, write, flush, fsync                      evict   space
 *   wait    parked callers                                             pool    worker threads
 *   remote  what each key holds; merges a listing page into the tree   dir     freshness of listings
 *   posix   metadata of objects <-> attributes                         name    keys <-> names
 *   fetch   metadata and ranges from the bucket                        poll    the poller
 *   todo    what is to be pushed                                       push_*  the pusher
 *
 * Locks (s3/base/lock.h). db_begin takes LOCK_DB, db_commit/db_rollback drop it: everything about names, attributes,
 * remote and todo rows changes only inside. Functions that end in _tx want to be called inside. inode->lock (LOCK_FILE)
 * guards the bytes of one inode and its attributes in memory; it may be taken inside a transaction, never the other way
 * round, and only one at a time (two by rising address). It is never held while a transaction commits nor over I/O on a block file, so that who
 * holds LOCK_DB never waits for the disk behind it. Nothing is held over a call of s3_ops, an event, or wake().
 *
 * Memory follows the commit: an operation changes rows, commits, and db_settle's functions then change the struct inode. When the commit fails
 * (disk full), memory is as it was and the caller gets the errno.
 */
#ifndef R2FS_CACHE_INTERNAL_H
#define R2FS_CACHE_INTERNAL_H

#include "cache/cache.h"
#include "s3/base/lock.h"

struct db;
struct inode_table;
struct tree;
struct evict;
struct waits;
struct pool;
struct dirs;
struct fetch;
struct poll;
struct todo;
struct push;

struct cache {
    struct cache_config config; /* strings copied; sizes and modes resolved */
    char *spool;                /* folder */
    int spool_fd, blocks_fd;    /* folders, O_DIRECTORY */
    int lock_fd;                /* holds the owner's lock */
    struct db *db;
    struct inode_table *inodes;
    struct tree *tree;
    struct evict *evict;
    struct waits *waits;
    struct pool *fetch_pool;    /* S3_NOW and read-ahead requests; threads start when needed */
    struct pool *push_pool;
    struct dirs *dirs;
    struct fetch *fetch;
    struct poll *poll;
    struct todo *todo;
    struct push *push;
    char instance[33];          /* 32 hex digits by getrandom: this run of this machine; under LOCK_DB, new at each resume */
    atomic_bool stopping;
    struct lock news_lock;      /* LOCK_LOG: the three below */
    char last_error[384];
    int64_t last_error_ms;
    char refused[128];          /* why the bucket refuses writes for good, "" when it does not */
    atomic_int refused_errno;   /* EROFS, EDQUOT, 0 */
    atomic_uint conflicts;
    atomic_uint blocked_names;
};

/* Keeps the newest error for status, and logs it once. */
void cache_note_error(struct cache *cache, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* The same for a request that failed: doing is "reading", "listing", … Where the bucket as a whole does not answer, the key says nothing,
 * and the log has one line instead of one for each file. */
void cache_note_outcome(struct cache *cache, const char *doing, const char *key, const struct s3_error *why);

#endif

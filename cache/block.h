/*
 * cache/block.h: the bytes of an inode. struct content is the content row with its ranges in memory, guarded by its
 * inode's lock. Bodies up to CONTENT_INLINE_MAX live in the row (and in memory while open or dirty); larger ones in one sparse block file
 * SPOOL/blocks/XX/ID, created O_EXCL.
 *
 * present: bytes that are here. dirty (within present): bytes that the bucket does not have. Not present and below base_size:
 * to be read from (base_key, base_etag). Not present and at or above base_size: zeros (a hole), which counts as present.
 * Data that a program wrote is never replaced by fetched bytes.
 */
#ifndef R2FS_CACHE_BLOCK_H
#define R2FS_CACHE_BLOCK_H

#include "cache/inode.h"
#include "cache/ranges.h"

#define CONTENT_INLINE_MAX 32768u
#define BLOCK_SIZE 65536u          /* unit of checksums */
#define CHUNK_SIZE (16u << 20)     /* unit of block rows */

struct content {
    uint64_t id;
    uint64_t size;            /* of the file */
    struct ranges present, dirty;
    char *base_key, *base_etag; /* NULL: nothing is missing */
    uint64_t base_size;
    bool base_lost;           /* the bucket no longer has that version: missing ranges are ESTALE */
    void *body;               /* inline bytes, or NULL */
    int fd;                   /* block file, -1: not open */
    struct ranges changed;    /* since the last commit: rows and checksums to write */
    struct snapshot *snapshot; /* the one that a push is reading from */
};

/* The inode's content, loaded. inode->lock held. NULL with *error set. */
struct content *block_content(struct cache *cache, struct inode *inode, int *error) REQUIRES(inode->lock);

/* ---- for fetch ---- */

/* Stores fetched bytes: those of [offset, offset+size) that are not present, when the content is still this one and its base
 * still this ETag; else drops them (returns 0 all the same). Takes inode->lock itself; the rows follow lazily. -ENOSPC: not stored. */
int block_store(struct cache *cache, struct inode *inode, uint64_t content_id, const char *etag, uint64_t offset,
                const void *data, size_t size);
/* The whole object is known (it was fetched with its metadata): becomes the content of an inode without one. Inside. */
void block_adopt_tx(struct cache *cache, struct inode *inode, const char *key, const char *etag, const void *body, size_t size);
/* The inode now stands for another version of the object: new content id, nothing present (size from the listing). Inside;
 * the old block file is unlinked after the commit is synced. */
void block_new_version_tx(struct cache *cache, struct inode *inode, const char *key, const char *etag, uint64_t size);
/* The base's version is gone from the bucket. */
void block_base_lost(struct cache *cache, struct inode *inode);

/* ---- for push ---- */

/*
 * A frozen generation of a file: read it by pread on fd (or data), free it when the push is over. What a program writes
 * meanwhile does not change it: small files were copied aside (reflinked where the file system can), of larger ones a
 * block is saved aside before it is overwritten.
 */
struct snapshot {
    uint64_t ino, content_id, size;
    int64_t data_version;
    const void *data;           /* or NULL: use snapshot_read */
    struct ranges dirty;        /* what differs from the base */
    char *base_key, *base_etag; /* NULL: the object is new, or all bytes are ours */
    uint64_t base_size;
};
/* Commits what the file has in memory (as cache_flush would), then freezes it. -EAGAIN: ranges of the base are missing that
 * cannot be copied by the endpoint: fetch [*missing) first. -ESTALE: base lost, or no such file. -EIO: checksums do not verify. */
int snapshot_take(struct cache *cache, struct inode *inode, struct snapshot **snapshot, struct range *missing);
/* Exactly size bytes (or -errno) from the frozen generation. Thread-safe. */
int snapshot_read(struct cache *cache, struct snapshot *snapshot, void *buffer, size_t size, uint64_t offset);
/* A descriptor and offset that hold [offset, offset+size) unchanged until snapshot_free, for s3_body; or -errno. */
int snapshot_fd(struct cache *cache, struct snapshot *snapshot, int *fd);
void snapshot_free(struct cache *cache, struct snapshot *snapshot);
/* The bucket holds this snapshot under key with this ETag: dirty ranges of that generation become clean, the base is the new
 * object. Inside. Returns true when the inode is clean now (its data_version is still the snapshot's). */
bool block_pushed_tx(struct cache *cache, struct inode *inode, const struct snapshot *snapshot, const char *key, const char *etag);
/* The base moved to another key (a server-side copy): missing ranges are read from there. Inside. */
void block_rebase_tx(struct cache *cache, struct inode *inode, const char *key, const char *etag);

/* ---- space (evict.c) ---- */

uint64_t block_disk_used(struct cache *cache);
/* Room for size more bytes? 0, -ENOSPC (the disk), CACHE_WAIT (dirty data fills the cache; wait is remembered). Frees clean blocks. */
int evict_reserve(struct cache *cache, uint64_t size, struct cache_wait *wait);
int evict_start(struct cache *cache);
void evict_stop(struct cache *cache);

#endif

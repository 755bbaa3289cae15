/*
 * cache/block.h: the bytes of an inode. struct content is the content row with its ranges in memory, guarded by its
 * inode's lock. Bodies up to CONTENT_INLINE_MAX live in the row (and in memory while open or dirty); larger ones in one sparse block file
 * SPOOL/blocks/XX/ID, created O_EXCL.
 *
 * present: bytes that are here. hole (within present): they are zeros and not in the file. dirty (within present): bytes that the
 * bucket does not have. Not present and below base_size: to be read from (base_key, base_etag). Not present and at or above
 * base_size: zeros that no one wrote; they need no row, and the bucket does not have them.
 * Bytes of the block file that are not present, or a hole, mean nothing: they are never read, and punched when the row that gave them up is synced.
 * Data that a program wrote is never replaced by fetched bytes.
 *
 * I/O on a block file runs without the inode's lock. A write first enters its range in `writing`: then nobody fetches into it,
 * nobody punches it, and an overlapping write waits. Reads and writes hold a reference to the content, so that its descriptor stays.
 */
#ifndef R2FS_CACHE_BLOCK_H
#define R2FS_CACHE_BLOCK_H

#include "cache/inode.h"
#include "cache/ranges.h"

#define CONTENT_INLINE_MAX 32768u
#define CONTENT_SIZE_MAX (5ull << 40) /* what the bucket can hold */
#define BLOCK_SIZE 65536u             /* unit of checksums */
#define CHUNK_SIZE (16u << 20)        /* unit of block rows */

struct content {
    uint64_t id;              /* 0: it has no row yet */
    uint64_t size;            /* of the file */
    struct ranges present, hole, dirty;
    char *base_key, *base_etag; /* NULL: nothing is missing */
    uint64_t base_size;
    bool base_lost;           /* the bucket no longer has that version: missing ranges are ESTALE */
    uint8_t *body;            /* inline bytes, or NULL (nothing present, or a block file); zeros up to body_capacity where nothing is present */
    size_t body_capacity;
    bool file;                /* it has a block file */
    int fd;                   /* block file, -1: not open */
    struct ranges changed;    /* since the last commit: rows and checksums to write */
    struct ranges unchecked;  /* blocks whose checksum in memory is out of date */
    struct ranges unverified; /* bytes whose checksum was not compared since an unclean end */
    struct ranges damaged;    /* dirty blocks that a power cut took: not what their checksum says, and never synced */
    bool strict;              /* the machine went down since its checksums were last compared */
    struct ranges writing;    /* see above */
    struct ranges stale;      /* bytes in the file that no row means any more: to be punched */
    struct block_chunk *chunks; /* checksums */
    struct snapshot *snapshots; /* those that a push is reading from */
    pthread_cond_t written;   /* writing became smaller */
    bool doomed;              /* its row is gone: the file goes with the last reference */
    bool keeps_base;          /* its missing bytes were asked for when it became dirty */
    bool unsynced, new_entry; /* the file has data, the folder an entry, that no sync covered */
    bool syncing;             /* a sync is under way, and `written` tells its end */
    uint64_t disk;            /* as accounted by block_disk_used */
    int64_t used_ms, used_saved_ms;
    _Atomic unsigned references; /* one is the inode's */
};

/* The inode's content, loaded; an empty one when it has none. The lock is dropped and taken again when it has to be read from the
 * index. NULL with *error set. The pointer is good while the lock is held; block_hold makes it last longer. */
struct content *block_content(struct cache *cache, struct inode *inode, int *error) REQUIRES(inode->lock);
struct content *block_hold(struct content *content);

/* ---- for the inode table ---- */

void block_unload(struct cache *cache, struct content *content); /* one reference less; the last one frees it. Under any lock but LOCK_BLOCK */
void block_doom(struct content *content);                        /* its row is gone */
void block_discard(struct cache *cache, uint64_t content_id);    /* the same for one that is not in memory. Under any lock but LOCK_BLOCK */
uint64_t block_hole_bytes(const struct content *content, uint64_t size);

/* ---- for fetch ---- */

/* Stores fetched bytes: those of [offset, offset+size) that are not present, when the content is still this one and its base
 * still this ETag; else drops them (returns 0 all the same). Takes inode->lock itself; the rows follow lazily. -ENOSPC: not stored. */
int block_store(struct cache *cache, struct inode *inode, uint64_t content_id, const char *etag, uint64_t offset,
                const void *data, size_t size);
/* The first range of [offset, offset+size) that is to be fetched, and from where (copies, the caller's): true; false: nothing is missing. */
struct block_source {
    struct range range;
    uint64_t content_id;
    char *key, *etag;
};
/* 0 with source->key NULL: nothing is missing there. -ESTALE: the base is lost. */
int block_missing(struct cache *cache, struct inode *inode, uint64_t offset, uint64_t size, struct block_source *source);
void block_source_fini(struct block_source *source);
/* The whole object is known (it was fetched with its metadata): becomes the content of an inode without one. Inside. */
void block_adopt_tx(struct cache *cache, struct inode *inode, const char *key, const char *etag, const void *body, size_t size);
/* The inode now stands for another version of the object: new content id, nothing present (size from the listing). Inside;
 * the old block file is unlinked after the commit is synced. */
void block_new_version_tx(struct cache *cache, struct inode *inode, const char *key, const char *etag, uint64_t size);
/* The base's version is gone from the bucket. */
void block_base_lost(struct cache *cache, struct inode *inode);

/* ---- for push ---- */

/*
 * A frozen generation of a file: read it by snapshot_read, free it when the push is over. What a program writes
 * meanwhile does not change it: small files were copied aside (reflinked where the file system can), of larger ones a
 * block is saved aside before it is overwritten.
 */
struct snapshot {
    uint64_t ino, content_id, size;
    int64_t data_version;
    const void *data;           /* all bytes, or NULL: use snapshot_read */
    struct ranges dirty;        /* what differs from the base */
    char *base_key, *base_etag; /* NULL: the object is new, or all bytes are ours */
    uint64_t base_size;
    struct snapshot_private *own;
};
/* Commits what the file has in memory (as cache_flush would), then freezes it. -EAGAIN: ranges of the base are missing: fetch
 * [*missing) first, or copy them on the server (allowed when missing is NULL: snapshot_read then answers -ENODATA there).
 * -ESTALE: base lost, or no such file. -EIO: checksums do not verify. */
int snapshot_take(struct cache *cache, struct inode *inode, struct snapshot **snapshot, struct range *missing);
/* Exactly size bytes (or -errno) from the frozen generation. Thread-safe. */
int snapshot_read(struct cache *cache, struct snapshot *snapshot, void *buffer, size_t size, uint64_t offset);
/* A descriptor that holds all bytes at their offsets unchanged until snapshot_free, for s3_body, borrowed; -ENODATA for a file above 16 MiB. */
int snapshot_fd(struct cache *cache, struct snapshot *snapshot, int *fd);
/* The same for a part of any file: [offset, offset+size) lie at *fd_offset of *fd, which the caller closes. Of a large file the bytes are copied
 * into a file without a name. Thread-safe. */
int snapshot_range_fd(struct cache *cache, struct snapshot *snapshot, uint64_t offset, uint64_t size, int *fd, uint64_t *fd_offset);
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

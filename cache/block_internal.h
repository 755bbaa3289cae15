/*
 * cache/block_internal.h: what block.c (I/O), block_change.c (truncate, punch), file*.c, snapshot.c and evict.c share.
 */
#ifndef R2FS_CACHE_BLOCK_INTERNAL_H
#define R2FS_CACHE_BLOCK_INTERNAL_H

#include "cache/content.h"

#define BLOCK_MISSING 2 /* a result: bytes of the range have to be fetched first */

/* ---- block.c. The inode's lock is not held ---- */

/* Up to size bytes; *got less than size only at the end of the file. BLOCK_MISSING. */
int block_read(struct cache *cache, struct inode *inode, void *buffer, size_t size, uint64_t offset, size_t *got);
/* All bytes or an error; what was written before it counts as written. append: at the end. */
int block_write(struct cache *cache, struct inode *inode, const void *data, size_t size, uint64_t offset, bool append);
/* Brings the checksums of changed blocks up to date, as far as nobody writes to them. */
int block_checksum(struct cache *cache, struct inode *inode);
/* Compares what [start, end) touches with its checksums where that was not done since an unclean end. Clean blocks that differ are
 * forgotten; those of a dirty file are content->damaged. */
int block_verify(struct cache *cache, struct inode *inode, uint64_t start, uint64_t end);
/* An inline body, or nothing, becomes a block file. */
int block_move_to_file(struct cache *cache, struct inode *inode);
/* fdatasync of the file and, when it is new, of its folder. */
int block_sync(struct cache *cache, struct inode *inode);

/* ---- with the lock ---- */

/* Nobody else writes to [start, end) until block_unreserve. 0; -EAGAIN: somebody did, now look again, the content may be another; -ENOMEM. */
int block_reserve(struct cache *cache, struct inode *inode, struct content *content, uint64_t start, uint64_t end) REQUIRES(inode->lock);
void block_unreserve(struct content *content, uint64_t start, uint64_t end);
/* A descriptor of the block file, opened or made. The lock is dropped and taken again. */
int block_descriptor(struct cache *cache, struct inode *inode, struct content *content, int *fd) REQUIRES(inode->lock);
/* Moves an inline body into a new block file, or makes an empty one. Everything is reserved. The lock is dropped and taken again. */
int block_make_file(struct cache *cache, struct inode *inode, struct content *content) REQUIRES(inode->lock);
/* Checksums of the whole blocks of [start, end), whose bytes are at hand and have been written. */
void block_checksum_bytes(struct content *content, const uint8_t *data, uint64_t start, uint64_t end);
/* Size, times and stamp after a change by a program; pins the inode until file_commit. */
void block_touch(struct cache *cache, struct inode *inode, uint64_t size) REQUIRES(inode->lock);
void block_account(struct cache *cache, struct content *content);

/* ---- block_change.c ---- */

int block_truncate(struct cache *cache, struct inode *inode, uint64_t size);
/* Zeros without space; extends the file to offset+length when extend. */
int block_punch(struct cache *cache, struct inode *inode, uint64_t offset, uint64_t length, bool extend);
int block_seek(struct cache *cache, struct inode *inode, uint64_t offset, int whence, uint64_t *result);
/* The punch of what is stale, when its rows are synced. By the evict thread. */
void block_punch_stale(struct cache *cache, struct inode *inode);

/* ---- snapshot.c ---- */

/* A program is about to overwrite [start, end), which is reserved: saves aside what a snapshot still needs. The lock is dropped and taken. */
int snapshot_save_aside(struct cache *cache, struct inode *inode, struct content *content, uint64_t start, uint64_t end) REQUIRES(inode->lock);
void snapshot_note_change(struct content *content, uint64_t start, uint64_t end); /* of bytes, after it */
bool snapshot_needs(const struct content *content, uint64_t start, uint64_t end);

/* ---- file_commit.c ---- */

/* Before the transaction: checksums, and a place for bytes that no row can hold. */
int file_prepare(struct cache *cache, struct inode *inode);
/* Inside: the part of file_commit that writes rows. */
void file_commit_tx(struct cache *cache, struct inode *inode);
/* The row of a clean file says dirty, with its todo row. One commit. */
int file_mark_dirty(struct cache *cache, struct inode *inode);
/* Lets the content leave memory when nobody has the file open and all is committed. */
void file_settle_content(struct cache *cache, struct inode *inode);

/* ---- evict.c ---- */

void evict_commit_later(struct cache *cache, struct inode *inode); /* clean rows changed: nobody waits for them */
void evict_punch_later(struct cache *cache, struct inode *inode);
void evict_touch_later(struct cache *cache, uint64_t content_id, int64_t used_ms); /* the content was used then */
int evict_reserve_blocking(struct cache *cache, uint64_t size); /* for threads that may wait: 0, -ENOSPC after 2 s */
int evict_room_for_names(struct cache *cache);                  /* -ENOSPC when the disk is full: nothing new is made */
uint64_t evict_disk_free(struct cache *cache);                   /* bytes that the file system can still take, above free_min */
void evict_account(struct cache *cache, int64_t bytes);
void evict_space_changed(struct cache *cache); /* dirty data became clean: who waits for room looks again */

#endif

/*
 * cache/content.h: struct content between its rows and memory. For block.c, file.c, snapshot.c and evict.c; others use block.h.
 */
#ifndef R2FS_CACHE_CONTENT_H
#define R2FS_CACHE_CONTENT_H

#include "cache/block.h"

struct content *content_new(uint64_t size); /* nothing present, no row, no base. NULL: no memory */
/* Reads the rows of inode->content_id. Inside; the inode's lock need not be held. NULL: the transaction has failed. */
struct content *content_load_tx(struct cache *cache, uint64_t id);
/* Writes the content row and the block rows that `changed` touches, draws an id where there is none. Inside, the inode's lock held.
 * Inline bytes go into the row when all are present. */
void content_save_tx(struct cache *cache, struct content *content, uint64_t ino);
/* Room for an inline body of so many bytes (at most CONTENT_INLINE_MAX). 0, -ENOMEM */
int content_grow_body(struct content *content, uint64_t size);
void content_delete_tx(struct cache *cache, uint64_t id);

/* Byte ranges of the file of `size` bytes: what is where. Each finds the first run from start on that is of one kind. */
enum content_kind { CONTENT_DATA, CONTENT_HOLE, CONTENT_MISSING };
enum content_kind content_kind_at(const struct content *content, uint64_t start, uint64_t end, uint64_t *run_end);
bool content_is_missing(const struct content *content, uint64_t start, uint64_t end, struct range *first); /* any byte to be fetched */
uint64_t content_missing_bytes(const struct content *content);

/* Checksums of blocks; 0: not known. */
uint32_t content_crc(const struct content *content, uint64_t block);
int content_set_crc(struct content *content, uint64_t block, uint32_t crc);
void content_drop_crcs(struct content *content);

/* The bytes that it takes, for the limit: file data present, or the inline body. */
uint64_t content_disk(const struct content *content);

#endif

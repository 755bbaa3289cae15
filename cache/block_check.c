/*
 * Checksums of block files: made before the rows that carry them are written, compared after the machine went down without our knowing. A
 * checksum covers the bytes of a block that are present and no hole, in order.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cache/block_internal.h"
#include "cache/crc32c.h"
#include "cache/db.h"
#include "cache/io.h"
#include "cache/spool.h"
#include "s3/base/log.h"

/* The bytes of a block that count, as ranges of the file. */
static int data_of(const struct content *content, uint64_t block, struct ranges *data)
{
    uint64_t start = block * BLOCK_SIZE, end = start + BLOCK_SIZE;
    struct range run;
    int rc = 0;
    for (uint64_t at = start; !rc && ranges_next(&content->present, at, end, false, &run); at = run.end)
        rc = ranges_add(data, run.start, run.end);
    for (uint64_t at = start; !rc && ranges_next(&content->hole, at, end, false, &run); at = run.end)
        rc = ranges_remove(data, run.start, run.end);
    return rc;
}

/* *crc 0: no bytes. A file that is too short differs from every checksum. */
static int checksum_of(int fd, const struct ranges *data, uint8_t *buffer, uint32_t *crc)
{
    *crc = 0;
    for (size_t i = 0; i < data->count; i++) {
        size_t size = (size_t)(data->items[i].end - data->items[i].start);
        ssize_t n = io_pread(fd, buffer, size, data->items[i].start);
        if (n < 0)
            return (int)n;
        *crc = crc32c_extend(*crc, buffer, (size_t)n);
        if ((size_t)n < size)
            *crc = ~*crc;
    }
    return 0;
}

/* One block's checksum from the file. The lock is dropped while it is read. -EAGAIN: somebody writes there. */
static int compute(struct cache *cache, struct inode *inode, struct content *content, uint64_t block, uint8_t *buffer, uint32_t *crc) NO_LOCK_ANALYSIS
{
    uint64_t start = block * BLOCK_SIZE, end = start + BLOCK_SIZE;
    struct ranges data = { 0 };
    int fd = -1, rc = ranges_touch(&content->writing, start, end) ? -EAGAIN : data_of(content, block, &data);
    if (!rc)
        rc = block_descriptor(cache, inode, content, &fd);
    if (!rc) {
        lock_drop(&inode->lock);
        rc = checksum_of(fd, &data, buffer, crc);
        lock_take(&inode->lock);
    }
    ranges_fini(&data);
    return rc;
}

int block_checksum(struct cache *cache, struct inode *inode) NO_LOCK_ANALYSIS
{
    struct ranges blocks = { 0 };
    uint8_t *buffer = NULL;
    int rc = 0;
    lock_take(&inode->lock);
    struct content *content = inode->content;
    if (!content || !content->file || !content->unchecked.count) {
        lock_drop(&inode->lock);
        return 0;
    }
    block_hold(content);
    buffer = malloc(BLOCK_SIZE);
    rc = buffer ? ranges_copy(&blocks, &content->unchecked) : -ENOMEM;
    uint64_t done = 0;
    for (size_t i = 0; i < blocks.count && !rc; i++) {
        uint64_t first = blocks.items[i].start / BLOCK_SIZE, last = (blocks.items[i].end - 1) / BLOCK_SIZE;
        for (uint64_t block = first > done ? first : done; block <= last && !rc; block++) {
            uint32_t crc = 0;
            /* A write that comes while the block is read marks it again. */
            rc = ranges_remove(&content->unchecked, block * BLOCK_SIZE, (block + 1) * BLOCK_SIZE);
            if (!rc)
                rc = compute(cache, inode, content, block, buffer, &crc);
            bool again = ranges_touch(&content->unchecked, block * BLOCK_SIZE, (block + 1) * BLOCK_SIZE) ||
                         ranges_touch(&content->writing, block * BLOCK_SIZE, (block + 1) * BLOCK_SIZE);
            /* A new checksum would call the other bytes of a damaged block good. */
            if (!rc && !again)
                rc = content_set_crc(content, block, ranges_touch(&content->damaged, block * BLOCK_SIZE, (block + 1) * BLOCK_SIZE) ? 0 : crc);
            if (rc || again) {
                int marked = ranges_add(&content->unchecked, block * BLOCK_SIZE, (block + 1) * BLOCK_SIZE);
                rc = marked ? marked : rc == -EAGAIN ? 0 : rc;
            }
            done = block + 1;
        }
    }
    lock_drop(&inode->lock);
    ranges_fini(&blocks);
    free(buffer);
    block_unload(cache, content);
    return rc;
}

/* ---- verifying ---- */

/* A block that is not what its checksum says. The process was killed between a write and its flush: the bytes are newer, and the bucket
 * lacks them. The machine went down: of a clean file they are fetched again, of one that was synced they are good by promise, and any other one is
 * read as it is, as on a disk, but never pushed. */
static int judge(struct cache *cache, struct inode *inode, struct content *content, uint64_t block) REQUIRES(inode->lock)
{
    (void)cache;
    uint64_t start = block * BLOCK_SIZE, end = start + BLOCK_SIZE;
    struct range run;
    int rc = 0;
    if (inode->dirty_ms && ((content->strict && !inode->synced) || inode->poisoned))
        /* The row keeps its checksum, so that the next start says the same. */
        return ranges_add(&content->damaged, start, end);
    if (inode->dirty_ms) {
        for (uint64_t at = start; !rc && ranges_next(&content->present, at, end, false, &run); at = run.end)
            rc = ranges_add(&content->dirty, run.start, run.end);
        if (!rc)
            rc = ranges_add(&content->unchecked, start, end);
    } else {
        log_notice("a block of the cache did not survive (content %llu, block %llu): it is fetched again", (unsigned long long)content->id,
                   (unsigned long long)block);
        rc = ranges_remove(&content->present, start, end);
        if (!rc)
            rc = ranges_remove(&content->hole, start, end);
        if (!rc)
            rc = ranges_add(&content->stale, start, end);
    }
    return rc ? rc : ranges_add(&content->changed, start, end);
}

int block_verify(struct cache *cache, struct inode *inode, uint64_t start, uint64_t end) NO_LOCK_ANALYSIS
{
    int rc = 0;
    uint8_t *buffer = malloc(BLOCK_SIZE);
    if (!buffer)
        return -ENOMEM;
    lock_take(&inode->lock);
    struct content *content = block_content(cache, inode, &rc);
    struct range run;
    if (content)
        block_hold(content);
    while (content && !rc && inode->content == content && ranges_next(&content->unverified, start, end, false, &run)) {
        uint64_t block = run.start / BLOCK_SIZE;
        uint32_t crc = 0, wanted = content_crc(content, block);
        rc = compute(cache, inode, content, block, buffer, &crc);
        if (rc == -EAGAIN) {
            /* Its writer verified it first. */
            rc = ranges_remove(&content->unverified, block * BLOCK_SIZE, (block + 1) * BLOCK_SIZE);
            continue;
        }
        if (rc || !ranges_touch(&content->unverified, block * BLOCK_SIZE, (block + 1) * BLOCK_SIZE))
            continue;
        if (crc != wanted || !wanted)
            rc = judge(cache, inode, content, block);
        if (!rc)
            rc = ranges_remove(&content->unverified, block * BLOCK_SIZE, (block + 1) * BLOCK_SIZE);
    }
    lock_drop(&inode->lock);
    if (content)
        block_unload(cache, content);
    free(buffer);
    return rc;
}

/* ---- syncing ---- */

static int sync_folder(struct cache *cache, uint64_t id)
{
    char name[8];
    snprintf(name, sizeof name, "%02x", (unsigned)(id % SPOOL_SHARDS));
    int fd = io_open(cache->blocks_fd, name, O_RDONLY | O_DIRECTORY, 0);
    if (fd < 0)
        return fd;
    int rc = io_fsync_dir(fd);
    close(fd);
    return rc;
}

int block_sync(struct cache *cache, struct inode *inode) NO_LOCK_ANALYSIS
{
    int rc = 0, fd = -1;
    lock_take(&inode->lock);
    struct content *content = block_content(cache, inode, &rc);
    if (content)
        block_hold(content);
    /* What another's sync has taken upon itself is synced when that one has ended, not before. */
    while (content && content->syncing)
        lock_wait(&inode->lock, &content->written);
    if (!rc && inode->poisoned)
        rc = inode->poisoned;
    if (rc || !content || !content->file || (!content->unsynced && !content->new_entry)) {
        lock_drop(&inode->lock);
        if (content)
            block_unload(cache, content);
        return rc;
    }
    rc = block_descriptor(cache, inode, content, &fd);
    bool data = content->unsynced, entry = content->new_entry;
    uint64_t id = content->id;
    /* What is written from here on needs a sync of its own. */
    content->unsynced = content->new_entry = false;
    content->syncing = true;
    lock_drop(&inode->lock);
    if (!rc && data)
        rc = io_fdatasync(fd);
    if (!rc && entry)
        rc = sync_folder(cache, id);
    lock_take(&inode->lock);
    content->syncing = false;
    pthread_cond_broadcast(&content->written);
    if (rc) {
        cache_note_error(cache, "block file %llu of the cache could not be synced: %s", (unsigned long long)id, strerror(-rc));
        /* The kernel may have dropped the pages it could not write: a second sync that succeeds would prove nothing. */
        inode->poisoned = -EIO;
        /* What is still in memory may be good: the pusher sends it if it is what the checksums say. */
        if (ranges_copy(&content->unverified, &content->present) || ranges_remove_all(&content->unverified, &content->hole))
            cache_note_error(cache, "no memory to note what is to be verified");
        rc = -EIO;
    }
    lock_drop(&inode->lock);
    block_unload(cache, content);
    return rc;
}

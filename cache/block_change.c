/*
 * Truncate, punch, seek. Nothing is taken from the block file here: bytes that the new rows give up are `stale`, and punched when those rows
 * are synced, so that a power cut finds either the old rows with their bytes or the new ones.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cache/block_internal.h"
#include "cache/io.h"

/* ---- truncate ---- */

/* All bytes go: a content without a row takes the old one's place; file_commit_tx gives it an id and deletes the old rows. */
static int truncate_to_nothing(struct cache *cache, struct inode *inode) REQUIRES(inode->lock)
{
    struct content *old = inode->content, *fresh = content_new(0);
    if (!fresh)
        return -ENOMEM;
    snapshot_note_change(old, 0, UINT64_MAX);
    fresh->used_ms = old->used_ms;
    inode->content = fresh;
    if (old->file && old->id != inode->content_id)
        block_doom(old); /* no row ever spoke of it */
    evict_account(cache, -(int64_t)old->disk);
    old->disk = 0;
    block_unload(cache, old);
    block_touch(cache, inode, 0);
    inode->kept_content = 0;
    return 0;
}

static int give_up(struct content *content, uint64_t start, uint64_t end)
{
    struct range run;
    int rc = 0;
    if (content->file)
        for (uint64_t at = start; !rc && ranges_next(&content->present, at, end, false, &run); at = run.end)
            rc = ranges_add(&content->stale, run.start, run.end);
    struct ranges *sets[] = { &content->present, &content->hole, &content->dirty, &content->unverified, &content->damaged };
    for (size_t i = 0; i < sizeof sets / sizeof *sets && !rc; i++)
        rc = ranges_remove(sets[i], start, end);
    return rc;
}

static int shrink(struct cache *cache, struct inode *inode, struct content *content, uint64_t size) REQUIRES(inode->lock)
{
    uint64_t old = content->size;
    int rc = ranges_add(&content->changed, size, old);
    if (!rc && content->file)
        rc = ranges_add(&content->unchecked, size / BLOCK_SIZE * BLOCK_SIZE, size);
    if (!rc)
        rc = give_up(content, size, UINT64_MAX);
    if (rc)
        return rc;
    if (content->body && size < content->body_capacity)
        memset(content->body + size, 0, content->body_capacity - size);
    if (content->base_size > size)
        content->base_size = size;
    snapshot_note_change(content, size, UINT64_MAX);
    block_touch(cache, inode, size);
    block_account(cache, content);
    return 0;
}

static int extend(struct cache *cache, struct inode *inode, struct content *content, uint64_t size) REQUIRES(inode->lock)
{
    int rc = 0;
    if (!content->file && size <= CONTENT_INLINE_MAX) {
        rc = content_grow_body(content, size);
        if (!rc)
            rc = ranges_add(&content->present, content->size, size);
        if (!rc)
            rc = ranges_add(&content->dirty, content->size, size);
    }
    if (!rc)
        rc = ranges_add(&content->changed, content->size, size);
    if (rc)
        return rc;
    snapshot_note_change(content, content->size, size);
    block_touch(cache, inode, size);
    return 0;
}

static int truncate_once(struct cache *cache, struct inode *inode, uint64_t size) REQUIRES(inode->lock)
{
    int rc = 0;
    struct content *content = block_content(cache, inode, &rc);
    if (!content)
        return rc;
    if (size == content->size) {
        block_touch(cache, inode, size);
        return 0;
    }
    uint64_t from = size < content->size ? size : content->size;
    rc = block_reserve(cache, inode, content, from, UINT64_MAX);
    if (rc)
        return rc;
    /* An inline body that outgrows its row. */
    if (!content->file && size > CONTENT_INLINE_MAX && content->body)
        rc = -ENODATA;
    else if (size == 0)
        block_unreserve(content, from, UINT64_MAX);
    if (!rc && size == 0)
        return truncate_to_nothing(cache, inode);
    if (!rc)
        rc = size < content->size ? shrink(cache, inode, content, size) : extend(cache, inode, content, size);
    block_unreserve(content, from, UINT64_MAX);
    return rc;
}

int block_truncate(struct cache *cache, struct inode *inode, uint64_t size)
{
    int rc;
    if (size > CONTENT_SIZE_MAX)
        return -EFBIG;
    do {
        lock_take(&inode->lock);
        rc = truncate_once(cache, inode, size);
        lock_drop(&inode->lock);
        if (rc == -ENODATA) {
            rc = block_move_to_file(cache, inode);
            rc = rc ? rc : -EAGAIN;
        }
    } while (rc == -EAGAIN);
    return rc;
}

/* ---- punch ---- */

static int punch_body(struct content *content, uint64_t start, uint64_t end)
{
    int rc = content_grow_body(content, content->size);
    if (!rc)
        rc = ranges_add(&content->present, start, end);
    if (!rc)
        rc = ranges_add(&content->dirty, start, end);
    if (!rc)
        memset(content->body + start, 0, end - start);
    return rc;
}

/* Below the base zeros are a hole that the bucket lacks; behind it, what is not present reads as zeros anyway. */
static int punch_file(struct content *content, uint64_t start, uint64_t end)
{
    uint64_t middle = start > content->base_size ? start : end < content->base_size ? end : content->base_size;
    int rc = give_up(content, start, end);
    if (!rc)
        rc = ranges_add(&content->unchecked, start, end);
    struct ranges *sets[] = { &content->present, &content->hole, &content->dirty };
    for (size_t i = 0; i < sizeof sets / sizeof *sets && !rc; i++)
        rc = ranges_add(sets[i], start, middle);
    return rc;
}

static int punch_once(struct cache *cache, struct inode *inode, uint64_t offset, uint64_t end, bool extends) REQUIRES(inode->lock)
{
    int rc = 0;
    struct content *content = block_content(cache, inode, &rc);
    if (!content)
        return rc;
    uint64_t size = content->size, stop = end < size ? end : size;
    rc = block_reserve(cache, inode, content, offset, UINT64_MAX);
    if (rc)
        return rc;
    block_hold(content);
    if (offset < stop) {
        rc = content->file ? snapshot_save_aside(cache, inode, content, offset, stop) : 0;
        if (!rc && inode->content != content)
            rc = -EAGAIN;
        if (!rc)
            rc = ranges_add(&content->changed, offset, stop);
        /* A large content without a file has neither body nor bytes: only its base. */
        bool inline_body = !content->file && content->size <= CONTENT_INLINE_MAX;
        if (!rc)
            rc = inline_body ? punch_body(content, offset, stop) : content->file ? punch_file(content, offset, stop) : -ENODATA;
        if (!rc)
            snapshot_note_change(content, offset, stop);
    }
    if (!rc && extends && end > size)
        rc = !content->file && end > CONTENT_INLINE_MAX && content->body ? -ENODATA : extend(cache, inode, content, end);
    else if (!rc && offset < stop)
        block_touch(cache, inode, size);
    if (!rc)
        block_account(cache, content);
    block_unreserve(content, offset, UINT64_MAX);
    block_unload(cache, content);
    return rc;
}

int block_punch(struct cache *cache, struct inode *inode, uint64_t offset, uint64_t length, bool extends)
{
    int rc;
    if (offset + length < offset || (extends && offset + length > CONTENT_SIZE_MAX))
        return -EFBIG;
    do {
        lock_take(&inode->lock);
        rc = punch_once(cache, inode, offset, offset + length, extends);
        lock_drop(&inode->lock);
        if (rc == -ENODATA) {
            rc = block_move_to_file(cache, inode);
            rc = rc ? rc : -EAGAIN;
        }
    } while (rc == -EAGAIN);
    return rc;
}

/* ---- holes ---- */

int block_seek(struct cache *cache, struct inode *inode, uint64_t offset, int whence, uint64_t *result)
{
    int rc = 0;
    lock_take(&inode->lock);
    struct content *content = block_content(cache, inode, &rc);
    if (content && offset >= content->size)
        rc = -ENXIO;
    uint64_t at = offset;
    while (content && !rc && at < content->size) {
        uint64_t run_end;
        bool hole = content_kind_at(content, at, content->size, &run_end) == CONTENT_HOLE;
        /* What was not fetched is data: tar and cp would make it zeros otherwise. */
        if (hole == (whence == SEEK_HOLE))
            break;
        at = run_end;
    }
    if (content && !rc) {
        if (whence == SEEK_DATA && at >= content->size)
            rc = -ENXIO;
        else
            *result = at;
    }
    lock_drop(&inode->lock);
    return rc;
}

static int gone_for_good(const struct content *content, struct ranges *gone)
{
    int rc = ranges_copy(gone, &content->stale);
    struct ranges used = { 0 };
    if (!rc)
        rc = ranges_copy(&used, &content->present);
    if (!rc)
        rc = ranges_remove_all(&used, &content->hole);
    if (!rc)
        rc = ranges_remove_all(gone, &used);
    if (!rc)
        rc = ranges_remove_all(gone, &content->writing);
    for (size_t i = 0; !rc && i < gone->count; i++)
        if (snapshot_needs(content, gone->items[i].start, gone->items[i].end))
            rc = -EAGAIN;
    ranges_fini(&used);
    return rc;
}

void block_punch_stale(struct cache *cache, struct inode *inode) NO_LOCK_ANALYSIS
{
    struct ranges gone = { 0 };
    int fd = -1;
    lock_take(&inode->lock);
    struct content *content = inode->content;
    /* Rows that were not committed yet still speak of the bytes. */
    if (!content || !content->file || content->changed.count || gone_for_good(content, &gone) || !gone.count ||
        ranges_reserve(&content->writing, content->writing.count + 2 * gone.count + 16) || block_descriptor(cache, inode, content, &fd)) {
        lock_drop(&inode->lock);
        ranges_fini(&gone);
        return;
    }
    block_hold(content);
    int rc = ranges_add_all(&content->writing, &gone);
    lock_drop(&inode->lock);
    for (size_t i = 0; !rc && i < gone.count; i++)
        rc = io_punch(fd, gone.items[i].start, gone.items[i].end - gone.items[i].start);
    lock_take(&inode->lock);
    for (size_t i = 0; i < gone.count; i++) {
        block_unreserve(content, gone.items[i].start, gone.items[i].end);
        ranges_remove(&content->stale, gone.items[i].start, gone.items[i].end);
    }
    lock_drop(&inode->lock);
    block_unload(cache, content);
    ranges_fini(&gone);
}

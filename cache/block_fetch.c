/*
 * Bytes that were fetched find their place; bytes that a program wrote meanwhile stay.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cache/block_internal.h"
#include "cache/io.h"

/* The pieces of [start, end) that may be stored: missing, and nobody is writing there. */
static int wanted_pieces(const struct content *content, uint64_t start, uint64_t end, struct ranges *pieces)
{
    uint64_t limit = content->base_size < content->size ? content->base_size : content->size;
    if (end > limit)
        end = limit;
    int rc = ranges_add(pieces, start, end);
    if (!rc)
        rc = ranges_remove_all(pieces, &content->present);
    if (!rc)
        rc = ranges_remove_all(pieces, &content->writing);
    return rc;
}

static int mark_fetched(struct content *content, const struct ranges *pieces)
{
    int rc = ranges_add_all(&content->changed, pieces);
    if (!rc)
        rc = ranges_add_all(&content->unchecked, pieces);
    if (!rc)
        rc = ranges_remove_all(&content->stale, pieces);
    if (!rc)
        rc = ranges_add_all(&content->present, pieces);
    return rc;
}

static int store_inline(struct content *content, const struct ranges *pieces, uint64_t offset, const uint8_t *data)
{
    int rc = content_grow_body(content, content->size);
    for (size_t i = 0; i < pieces->count && !rc; i++)
        memcpy(content->body + pieces->items[i].start, data + (pieces->items[i].start - offset), pieces->items[i].end - pieces->items[i].start);
    return rc ? rc : mark_fetched(content, pieces);
}

/* The pieces are missing, so that only another fetch could write there: both would write the same bytes. */
static int store_in_file(struct cache *cache, struct inode *inode, struct content *content, const struct ranges *pieces, uint64_t offset,
                         const uint8_t *data) NO_LOCK_ANALYSIS
{
    int fd = -1, rc = block_descriptor(cache, inode, content, &fd);
    if (rc)
        return rc;
    lock_drop(&inode->lock);
    for (size_t i = 0; i < pieces->count && !rc; i++)
        rc = io_pwrite(fd, data + (pieces->items[i].start - offset), pieces->items[i].end - pieces->items[i].start, pieces->items[i].start, NULL);
    lock_take(&inode->lock);
    if (rc || inode->content != content)
        return rc;
    content->unsynced = true;
    rc = mark_fetched(content, pieces);
    for (size_t i = 0; i < pieces->count && !rc; i++)
        block_checksum_bytes(content, data + (pieces->items[i].start - offset), pieces->items[i].start, pieces->items[i].end);
    return rc;
}

static int store_once(struct cache *cache, struct inode *inode, uint64_t content_id, const char *etag, uint64_t offset, const void *data,
                      size_t size) REQUIRES(inode->lock)
{
    int rc = 0;
    struct ranges pieces = { 0 };
    struct content *content = block_content(cache, inode, &rc);
    if (!content)
        return rc;
    if (content->id != content_id || !content->base_etag || strcmp(content->base_etag, etag) != 0)
        return 0;
    bool small = !content->file && content->size <= CONTENT_INLINE_MAX && content->base_size <= CONTENT_INLINE_MAX;
    uint64_t start = content->file ? offset : 0, end = content->file ? offset + size : UINT64_MAX;
    rc = block_reserve(cache, inode, content, start, end);
    if (rc)
        return rc;
    block_hold(content);
    if (!small && !content->file) {
        rc = block_make_file(cache, inode, content);
        rc = rc ? rc : -EAGAIN;
    }
    block_unreserve(content, start, end);
    if (!rc)
        rc = wanted_pieces(content, offset, offset + size, &pieces);
    /* Entered again piece by piece: a program may write between them. */
    if (!rc && pieces.count) {
        rc = ranges_reserve(&content->writing, content->writing.count + 2 * pieces.count + 16);
        if (!rc)
            rc = ranges_add_all(&content->writing, &pieces);
        if (!rc) {
            rc = small ? store_inline(content, &pieces, offset, data) : store_in_file(cache, inode, content, &pieces, offset, data);
            for (size_t i = 0; i < pieces.count; i++)
                block_unreserve(content, pieces.items[i].start, pieces.items[i].end);
        }
        if (!rc && inode->content == content)
            block_account(cache, content);
    }
    ranges_fini(&pieces);
    block_unload(cache, content);
    return rc;
}

int block_store(struct cache *cache, struct inode *inode, uint64_t content_id, const char *etag, uint64_t offset, const void *data, size_t size)
{
    int rc = evict_reserve_blocking(cache, size);
    if (rc)
        return rc;
    do {
        lock_take(&inode->lock);
        rc = store_once(cache, inode, content_id, etag, offset, data, size);
        lock_drop(&inode->lock);
    } while (rc == -EAGAIN);
    if (!rc)
        evict_commit_later(cache, inode);
    return rc == -EDQUOT ? -ENOSPC : rc;
}

int block_missing(struct cache *cache, struct inode *inode, uint64_t offset, uint64_t size, struct block_source *source)
{
    int rc = 0;
    memset(source, 0, sizeof *source);
    lock_take(&inode->lock);
    struct content *content = block_content(cache, inode, &rc);
    uint64_t end = offset + size < offset ? UINT64_MAX : offset + size;
    if (content && content_is_missing(content, offset, end, &source->range)) {
        source->content_id = content->id;
        source->key = strdup(content->base_key);
        source->etag = strdup(content->base_etag ? content->base_etag : "");
        if (content->base_lost)
            rc = -ESTALE;
        else if (!source->key || !source->etag)
            rc = -ENOMEM;
    }
    lock_drop(&inode->lock);
    if (rc)
        block_source_fini(source);
    return rc;
}

void block_source_fini(struct block_source *source)
{
    free(source->key);
    free(source->etag);
    source->key = source->etag = NULL;
}

void block_base_lost(struct cache *cache, struct inode *inode)
{
    int rc = 0;
    lock_take(&inode->lock);
    struct content *content = block_content(cache, inode, &rc);
    if (content)
        content->base_lost = true;
    lock_drop(&inode->lock);
}

#include "cache/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cache/block_internal.h"
#include "cache/db.h"
#include "cache/fetch.h"
#include "cache/push.h"
#include "cache/todo.h"
#include "s3/base/clock.h"

#define TRIES_MAX 16              /* fetched bytes may be given up again before they are read */
#define FETCH_STEP (8u << 20)     /* what one fetch_range promises */

int file_may_write(struct cache *cache)
{
    if (cache->config.read_only)
        return -EROFS;
    int refused = atomic_load(&cache->refused_errno);
    return refused ? -refused : 0;
}

/* ---- handles ---- */

struct cache_file *file_new(struct cache *cache, struct inode *inode, int flags)
{
    struct cache_file *file = calloc(1, sizeof *file);
    if (!file) {
        inode_put(cache, inode);
        return NULL;
    }
    file->inode = inode;
    file->flags = flags;
    lock_take(&inode->lock);
    inode->opens++;
    if ((flags & O_ACCMODE) != O_RDONLY)
        inode->writers++;
    lock_drop(&inode->lock);
    return file;
}

static bool note_kept(struct cache *cache, struct inode *inode)
{
    (void)cache;
    lock_take(&inode->lock);
    bool keep = inode->kept_content && inode->kept_content == inode->content_id;
    inode->kept_content = inode->content_id;
    if (inode->content)
        inode->content->used_ms = clock_wall_ms();
    lock_drop(&inode->lock);
    return keep;
}

int cache_open_file(struct cache *cache, uint64_t ino, int flags, struct cache_file **file, bool *keep, struct cache_wait *wait)
{
    struct inode *inode = inode_get(cache, ino);
    if (!inode)
        return -ESTALE;
    int rc = S_ISDIR(inode->mode) ? -EISDIR : S_ISREG(inode->mode) ? 0 : -ENXIO;
    bool writes = (flags & O_ACCMODE) != O_RDONLY || (flags & O_TRUNC);
    if (!rc && writes)
        rc = file_may_write(cache);
    if (!rc && (flags & O_TRUNC))
        rc = file_truncate(cache, inode, 0, wait);
    if (rc) {
        inode_put(cache, inode);
        return rc;
    }
    struct cache_file *opened = file_new(cache, inode, flags);
    if (!opened)
        return -ENOMEM;
    *keep = note_kept(cache, inode);
    *file = opened;
    return 0;
}

void cache_release(struct cache *cache, struct cache_file *file)
{
    struct inode *inode = file->inode;
    /* A process that was killed sends no flush. */
    int rc = file_commit(cache, inode);
    if (rc)
        cache_note_error(cache, "inode %llu could not be committed at its last close: %s", (unsigned long long)inode->ino, strerror(-rc));
    lock_take(&inode->lock);
    inode->opens--;
    if ((file->flags & O_ACCMODE) != O_RDONLY)
        inode->writers--;
    lock_drop(&inode->lock);
    file_settle_content(cache, inode);
    inode_put(cache, inode);
    free(file);
}

uint64_t cache_file_ino(const struct cache_file *file)
{
    return file->inode->ino;
}

/* ---- reading ---- */

int cache_read(struct cache *cache, struct cache_file *file, void *buffer, size_t size, uint64_t offset, size_t *got, struct cache_wait *wait)
{
    struct inode *inode = file->inode;
    bool sequential = offset && atomic_load(&file->next_offset) == offset;
    for (int i = 0; i < TRIES_MAX; i++) {
        int rc = block_read(cache, inode, buffer, size, offset, got);
        if (rc == 0)
            atomic_store(&file->next_offset, offset + *got);
        if (rc != BLOCK_MISSING)
            return rc;
        rc = fetch_range(cache, inode, offset, size, sequential, wait);
        if (rc)
            return rc;
    }
    return -EIO;
}

/* ---- writing ---- */

/* While a file is dirty, the version that its other bytes are read from may vanish: those of a small one are fetched now. Nobody waits. */
static void keep_base(struct cache *cache, struct inode *inode)
{
    lock_take(&inode->lock);
    struct content *content = inode->content;
    bool first = content && content->base_key && content->base_size <= cache->config.keep_base_max && !content->keeps_base;
    if (first)
        content->keeps_base = true;
    uint64_t missing = first ? content_missing_bytes(content) : 0, end = first ? content->base_size : 0;
    lock_drop(&inode->lock);
    /* What cannot be fetched now, offline, is asked for again by the push. */
    for (uint64_t at = 0; missing && at < end; at += FETCH_STEP)
        if (fetch_range(cache, inode, at, end - at < FETCH_STEP ? end - at : FETCH_STEP, false, NULL) < 0)
            break;
}

int cache_write(struct cache *cache, uint64_t ino, struct cache_file *file, const void *data, size_t size, uint64_t offset, bool append,
                struct cache_wait *wait)
{
    struct inode *inode = file ? file->inode : inode_get(cache, ino);
    if (!inode)
        return -ESTALE;
    int rc = file_may_write(cache);
    if (!rc)
        rc = evict_reserve(cache, size, wait);
    if (!rc)
        rc = block_write(cache, inode, data, size, offset, append);
    if (!rc) {
        keep_base(cache, inode);
        lock_take(&inode->lock);
        bool removed = inode->removed;
        lock_drop(&inode->lock);
        if (!removed)
            todo_written(cache, inode->ino);
    }
    if (!file)
        inode_put(cache, inode);
    return rc;
}

int cache_flush(struct cache *cache, struct cache_file *file)
{
    return file_commit(cache, file->inode);
}

/* ---- syncing ---- */

/* The row says that the bytes are on the disk: after a power cut the file is pushed as it is. Usually the commit before has said so. */
static int mark_synced(struct cache *cache, struct inode *inode)
{
    struct inode values;
    lock_take(&inode->lock);
    struct content *content = inode->content;
    bool mark = inode->dirty_ms && !inode->synced && !inode->removed && !inode->changed_attrs && content && content->file && !content->unsynced;
    lock_drop(&inode->lock);
    if (!mark)
        return 0;
    db_begin(cache);
    inode_values_tx(cache, inode, &values);
    lock_take(&inode->lock);
    mark = !inode->changed_attrs && values.dirty_ms && !values.synced;
    lock_drop(&inode->lock);
    if (mark) {
        values.synced = true;
        inode_store_tx(cache, inode, &values, INODE_DATA);
    }
    return db_commit(cache);
}

/* Is there anything that a power cut could take? What is in the bucket, and what was synced since, is safe. */
static bool needs_sync(struct inode *inode)
{
    lock_take(&inode->lock);
    bool needs = inode->changed_attrs || (inode->dirty_ms && !inode->synced) || inode->poisoned;
    lock_drop(&inode->lock);
    return needs;
}

static int take_conflict_news(struct inode *inode)
{
    lock_take(&inode->lock);
    bool news = inode->conflict_news;
    inode->conflict_news = false;
    lock_drop(&inode->lock);
    return news ? -ESTALE : 0;
}

int cache_fsync(struct cache *cache, uint64_t ino, bool data_only, struct cache_wait *wait)
{
    (void)data_only; /* a row holds both */
    struct inode *inode = inode_get(cache, ino);
    if (!inode)
        return -ESTALE;
    int rc = 0;
    if (S_ISREG(inode->mode) && needs_sync(inode)) {
        /* Bytes before the rows that speak of them; again for an inline body that the commit moved to a file. */
        rc = block_sync(cache, inode);
        if (!rc)
            rc = file_commit(cache, inode);
        if (!rc)
            rc = block_sync(cache, inode);
        if (!rc)
            rc = mark_synced(cache, inode);
        file_settle_content(cache, inode);
    }
    if (!rc)
        rc = db_sync(cache);
    if (!rc && cache->config.fsync_remote) {
        rc = push_wait(cache, ino, wait);
        if (!rc)
            rc = take_conflict_news(inode);
    }
    inode_put(cache, inode);
    return rc;
}

/*
 * Frozen generations of files, for the pusher. A small file is copied when the snapshot is taken. Of a larger one the bytes stay where they
 * are, and whoever is about to overwrite some of them first copies those into a file of the snapshot's own (`aside`), at the same offset.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cache/block_internal.h"
#include "cache/db.h"
#include "cache/file.h"
#include "cache/io.h"
#include "cache/snapshot.h"
#include "s3/base/clock.h"

#define MEMORY_MAX (256u << 10) /* a copy up to this stays in memory */
#define COPY_MAX (16u << 20)    /* a file up to this is copied at once */
#define PIECE (1u << 20)
#define ASIDE_MAX (1ull << 30)  /* bytes saved aside of one file: beyond, writers wait for the push */
#define WRITER_WAIT_MS 30000

/* ---- what writers do ---- */

void snapshot_note_change(struct content *content, uint64_t start, uint64_t end)
{
    for (struct snapshot *s = content->snapshots; s; s = s->own->next) {
        /* Without memory all bytes count as changed: they are pushed once more. */
        if (ranges_add(&s->own->rewritten, start, end))
            s->own->all_rewritten = true;
        if (end == UINT64_MAX && start < s->own->size_min)
            s->own->size_min = start;
    }
}

/* The bytes of [start, end) that this snapshot still reads from the block file. */
static int needed(const struct snapshot *s, uint64_t start, uint64_t end, struct ranges *result)
{
    struct range run;
    int rc = 0;
    if (s->own->copied || s->own->memory)
        return 0;
    for (uint64_t at = start; !rc && ranges_next(&s->own->data, at, end, false, &run); at = run.end)
        rc = ranges_add(result, run.start, run.end);
    return rc ? rc : ranges_remove_all(result, &s->own->aside);
}

bool snapshot_needs(const struct content *content, uint64_t start, uint64_t end)
{
    bool found = false;
    for (const struct snapshot *s = content->snapshots; s && !found; s = s->own->next) {
        struct ranges bytes = { 0 };
        found = needed(s, start, end, &bytes) != 0 || bytes.count;
        ranges_fini(&bytes);
    }
    return found;
}

static int temporary_file(struct cache *cache)
{
    int fd = io_open(cache->spool_fd, ".", O_RDWR | O_TMPFILE, 0600);
    if (fd != -EOPNOTSUPP && fd != -EISDIR)
        return fd;
    /* Old overlay file systems have no unnamed files. */
    static atomic_uint number;
    char name[64];
    snprintf(name, sizeof name, "aside-%u", atomic_fetch_add(&number, 1));
    fd = io_open(cache->spool_fd, name, O_RDWR | O_CREAT | O_TRUNC, 0600);
    if (fd >= 0)
        io_unlink(cache->spool_fd, name);
    return fd;
}

static int copy_ranges(int from, int to, const struct ranges *ranges)
{
    char *buffer = malloc(PIECE);
    int rc = buffer ? 0 : -ENOMEM;
    for (size_t i = 0; i < ranges->count && !rc; i++)
        for (uint64_t at = ranges->items[i].start; at < ranges->items[i].end && !rc;) {
            size_t size = ranges->items[i].end - at < PIECE ? (size_t)(ranges->items[i].end - at) : PIECE;
            ssize_t n = io_pread(from, buffer, size, at);
            rc = n < 0 ? (int)n : (size_t)n < size ? -EIO : io_pwrite(to, buffer, size, at, NULL);
            at += size;
        }
    free(buffer);
    return rc;
}

/* One snapshot's share of snapshot_save_aside. *dropped: the lock was dropped, the list may be another. */
static int save_for(struct inode *inode, struct content *content, struct snapshot *s, uint64_t start, uint64_t end, bool *dropped) NO_LOCK_ANALYSIS
{
    struct ranges bytes = { 0 };
    int rc = needed(s, start, end, &bytes);
    if (rc || !bytes.count)
        goto out;
    *dropped = true;
    if (ranges_total(&s->own->aside) + ranges_total(&bytes) > ASIDE_MAX) {
        /* Until the push is over; it never waits for a writer. */
        if (!lock_wait_until(&inode->lock, &content->written, clock_mono_ms() + WRITER_WAIT_MS))
            rc = -EIO;
        goto out;
    }
    s->own->busy++;
    lock_drop(&inode->lock);
    rc = copy_ranges(content->fd, s->own->fd, &bytes);
    lock_take(&inode->lock);
    if (!rc)
        rc = ranges_add_all(&s->own->aside, &bytes);
    s->own->busy--;
    pthread_cond_broadcast(&content->written);
out:
    ranges_fini(&bytes);
    return rc;
}

/* The range is reserved, so that no two writers save the same bytes. */
int snapshot_save_aside(struct cache *cache, struct inode *inode, struct content *content, uint64_t start, uint64_t end)
{
    (void)cache;
    int rc = 0;
    for (bool again = true; again && !rc;) {
        again = false;
        for (struct snapshot *s = content->snapshots; s && !rc && !again; s = s->own->next)
            rc = save_for(inode, content, s, start, end, &again);
    }
    return rc;
}

/* ---- taking one ---- */

static void unlist(struct content *content, struct snapshot *snapshot)
{
    for (struct snapshot **at = &content->snapshots; *at; at = &(*at)->own->next)
        if (*at == snapshot) {
            *at = snapshot->own->next;
            return;
        }
}

void snapshot_free(struct cache *cache, struct snapshot *snapshot) NO_LOCK_ANALYSIS
{
    if (!snapshot)
        return;
    struct snapshot_private *own = snapshot->own;
    struct inode *inode = own->inode;
    lock_take(&inode->lock);
    if (own->content) {
        unlist(own->content, snapshot);
        while (own->busy)
            lock_wait(&inode->lock, &own->content->written);
        pthread_cond_broadcast(&own->content->written);
    }
    bool stale = own->content && own->content->stale.count;
    lock_drop(&inode->lock);
    if (stale)
        evict_punch_later(cache, inode);
    if (own->content)
        block_unload(cache, own->content);
    file_settle_content(cache, inode);
    inode_put(cache, inode);
    if (own->fd >= 0)
        close(own->fd);
    ranges_fini(&own->data);
    ranges_fini(&own->hole);
    ranges_fini(&own->aside);
    ranges_fini(&own->rewritten);
    ranges_fini(&snapshot->dirty);
    free(own->memory);
    free(own);
    free(snapshot->base_key);
    free(snapshot->base_etag);
    free(snapshot);
}

static struct snapshot *new_snapshot(struct cache *cache, struct inode *inode)
{
    struct snapshot *snapshot = calloc(1, sizeof *snapshot);
    struct snapshot_private *own = calloc(1, sizeof *own);
    if (!snapshot || !own) {
        free(snapshot);
        free(own);
        return NULL;
    }
    inode_hold(cache, inode);
    *own = (struct snapshot_private){ .inode = inode, .fd = -1, .size_min = UINT64_MAX };
    snapshot->ino = inode->ino;
    snapshot->own = own;
    return snapshot;
}

/* What the generation is: sizes, versions, ranges. */
static int describe(struct snapshot *snapshot, const struct inode *inode, const struct content *content) REQUIRES(inode->lock)
{
    snapshot->content_id = content->id;
    snapshot->size = content->size;
    snapshot->data_version = inode->data_version;
    int rc = ranges_copy(&snapshot->own->data, &content->present);
    if (!rc)
        rc = ranges_remove_all(&snapshot->own->data, &content->hole);
    if (!rc)
        rc = ranges_copy(&snapshot->own->hole, &content->hole);
    if (!rc)
        rc = ranges_copy(&snapshot->dirty, &content->dirty);
    uint64_t base_size = content->base_key ? content->base_size : 0;
    /* Zeros behind the base have no row, and the bucket lacks them. */
    if (!rc)
        rc = ranges_add(&snapshot->dirty, base_size, content->size);
    for (uint64_t at = base_size; !rc && at < content->size;) {
        uint64_t run_end;
        if (content_kind_at(content, at, content->size, &run_end) == CONTENT_HOLE)
            rc = ranges_add(&snapshot->own->hole, at, run_end);
        at = run_end;
    }
    if (rc || !content->base_key)
        return rc;
    snapshot->base_size = content->base_size;
    snapshot->base_key = strdup(content->base_key);
    snapshot->base_etag = content->base_etag ? strdup(content->base_etag) : NULL;
    return snapshot->base_key && (snapshot->base_etag || !content->base_etag) ? 0 : -ENOMEM;
}

static int copy_to_memory(struct snapshot *snapshot, const struct content *content, int fd)
{
    struct snapshot_private *own = snapshot->own;
    own->memory = calloc(1, snapshot->size ? snapshot->size : 1);
    if (!own->memory)
        return -ENOMEM;
    snapshot->data = own->memory;
    if (!content->file) {
        if (content->body)
            memcpy(own->memory, content->body, snapshot->size);
        return 0;
    }
    for (size_t i = 0; i < own->data.count; i++) {
        size_t size = (size_t)(own->data.items[i].end - own->data.items[i].start);
        ssize_t n = io_pread(fd, (char *)own->memory + own->data.items[i].start, size, own->data.items[i].start);
        if (n < 0 || (size_t)n < size)
            return n < 0 ? (int)n : -EIO;
    }
    return 0;
}

static int copy_to_file(struct cache *cache, struct snapshot *snapshot, int fd)
{
    struct snapshot_private *own = snapshot->own;
    own->fd = temporary_file(cache);
    if (own->fd < 0)
        return own->fd;
    /* A clone would bring along what the file holds where the snapshot has holes. */
    int rc = ranges_cover(&own->data, 0, snapshot->size) ? io_clone(own->fd, fd) : -EOPNOTSUPP;
    if (rc == -EOPNOTSUPP)
        rc = io_ftruncate(own->fd, snapshot->size);
    if (!rc)
        rc = copy_ranges(fd, own->fd, &own->data);
    own->copied = rc == 0;
    return rc;
}

/* Freezes a described generation. The lock is dropped while a file is copied: nobody writes to it meanwhile. */
static int freeze(struct cache *cache, struct inode *inode, struct snapshot *snapshot, struct content *content) NO_LOCK_ANALYSIS
{
    struct snapshot_private *own = snapshot->own;
    int fd = -1, rc = content->file ? block_descriptor(cache, inode, content, &fd) : 0;
    if (rc)
        return rc;
    bool whole = !content_missing_bytes(content);
    if (!content->file && whole && snapshot->size <= CONTENT_INLINE_MAX)
        return copy_to_memory(snapshot, content, -1);
    lock_drop(&inode->lock);
    if (whole && snapshot->size <= MEMORY_MAX)
        rc = copy_to_memory(snapshot, content, fd);
    else if (whole && snapshot->size <= COPY_MAX)
        rc = copy_to_file(cache, snapshot, fd);
    else
        rc = (own->fd = temporary_file(cache)) < 0 ? own->fd : 0;
    lock_take(&inode->lock);
    return rc;
}

static int take_once(struct cache *cache, struct inode *inode, struct snapshot *snapshot, struct range *missing) REQUIRES(inode->lock)
{
    int rc = 0;
    struct range first;
    struct content *content = inode->removed ? NULL : block_content(cache, inode, &rc);
    if (!content)
        return rc ? rc : -ESTALE;
    if (content->unverified.count)
        return -ENODATA;
    if (content->damaged.count)
        return -EIO;
    if (content_is_missing(content, 0, content->size, &first)) {
        if (content->base_lost)
            return -ESTALE;
        if (missing) {
            *missing = first;
            return -EBUSY;
        }
    }
    rc = block_reserve(cache, inode, content, 0, UINT64_MAX);
    if (rc)
        return rc;
    block_hold(content);
    rc = describe(snapshot, inode, content);
    if (!rc)
        rc = freeze(cache, inode, snapshot, content);
    block_unreserve(content, 0, UINT64_MAX);
    if (rc) {
        block_unload(cache, content);
        return rc;
    }
    snapshot->own->content = content;
    snapshot->own->next = content->snapshots;
    content->snapshots = snapshot;
    return 0;
}

int snapshot_take(struct cache *cache, struct inode *inode, struct snapshot **result, struct range *missing)
{
    int rc = file_commit(cache, inode);
    if (rc)
        return rc;
    for (;;) {
        struct snapshot *snapshot = new_snapshot(cache, inode);
        if (!snapshot)
            return -ENOMEM;
        lock_take(&inode->lock);
        rc = take_once(cache, inode, snapshot, missing);
        lock_drop(&inode->lock);
        if (!rc) {
            *result = snapshot;
            return 0;
        }
        snapshot_free(cache, snapshot);
        if (rc == -ENODATA)
            rc = block_verify(cache, inode, 0, UINT64_MAX);
        else if (rc != -EAGAIN)
            return rc == -EBUSY ? -EAGAIN : rc;
        if (rc && rc != -EAGAIN)
            return rc;
    }
}

/* ---- reading one ---- */

/* Bytes that are still in the block file, or were saved aside meanwhile. */
static int read_live(struct snapshot *snapshot, uint8_t *buffer, size_t size, uint64_t offset) NO_LOCK_ANALYSIS
{
    struct snapshot_private *own = snapshot->own;
    struct inode *inode = own->inode;
    uint64_t end = offset + size;
    while (offset < end) {
        struct range run;
        lock_take(&inode->lock);
        bool aside = ranges_next(&own->aside, offset, end, false, &run) && run.start == offset;
        uint64_t stop = aside ? run.end : ranges_next(&own->aside, offset, end, false, &run) ? run.start : end;
        lock_drop(&inode->lock);
        ssize_t n = io_pread(aside ? own->fd : own->content->fd, buffer, (size_t)(stop - offset), offset);
        if (n < 0 || (size_t)n < stop - offset)
            return n < 0 ? (int)n : -EIO;
        /* A writer saves aside before it writes: what is not aside now was read before it changed. */
        lock_take(&inode->lock);
        bool good = aside || !ranges_touch(&own->aside, offset, stop);
        lock_drop(&inode->lock);
        if (!good)
            continue;
        buffer += stop - offset;
        offset = stop;
    }
    return 0;
}

int snapshot_read(struct cache *cache, struct snapshot *snapshot, void *buffer, size_t size, uint64_t offset)
{
    (void)cache;
    struct snapshot_private *own = snapshot->own;
    uint8_t *to = buffer;
    uint64_t end = offset + size;
    if (end < offset || end > snapshot->size)
        return -EINVAL;
    if (own->memory) {
        memcpy(buffer, (const uint8_t *)own->memory + offset, size);
        return 0;
    }
    while (offset < end) {
        struct range run;
        uint64_t stop = end;
        int rc = 0;
        if (ranges_next(&own->data, offset, end, false, &run) && run.start == offset) {
            stop = run.end;
            if (own->copied) {
                ssize_t n = io_pread(own->fd, to, (size_t)(stop - offset), offset);
                rc = n < 0 ? (int)n : (size_t)n < stop - offset ? -EIO : 0;
            } else {
                rc = read_live(snapshot, to, (size_t)(stop - offset), offset);
            }
        } else if (ranges_next(&own->hole, offset, end, false, &run) && run.start == offset) {
            stop = run.end;
            memset(to, 0, (size_t)(stop - offset));
        } else {
            rc = -ENODATA;
        }
        if (rc)
            return rc;
        to += stop - offset;
        offset = stop;
    }
    return 0;
}

/* Bytes of the snapshot, in a file of their own. */
static int copy_out(struct cache *cache, struct snapshot *snapshot, uint64_t offset, uint64_t size, int to)
{
    uint8_t *buffer = malloc(PIECE);
    int rc = buffer ? 0 : -ENOMEM;
    for (uint64_t done = 0; done < size && !rc; done += PIECE) {
        size_t piece = size - done < PIECE ? (size_t)(size - done) : PIECE;
        rc = snapshot_read(cache, snapshot, buffer, piece, offset + done);
        if (!rc)
            rc = io_pwrite(to, buffer, piece, done, NULL);
    }
    free(buffer);
    return rc;
}

int snapshot_fd(struct cache *cache, struct snapshot *snapshot, int *fd)
{
    (void)cache;
    if (!snapshot->own->copied)
        return -ENODATA;
    *fd = snapshot->own->fd;
    return 0;
}

int snapshot_range_fd(struct cache *cache, struct snapshot *snapshot, uint64_t offset, uint64_t size, int *fd, uint64_t *fd_offset)
{
    if (snapshot->own->copied) {
        *fd = fcntl(snapshot->own->fd, F_DUPFD_CLOEXEC, 0);
        *fd_offset = offset;
        return *fd < 0 ? -errno : 0;
    }
    int made = temporary_file(cache), rc = made < 0 ? made : copy_out(cache, snapshot, offset, size, made);
    if (rc) {
        if (made >= 0)
            close(made);
        return rc;
    }
    *fd = made;
    *fd_offset = 0;
    return 0;
}

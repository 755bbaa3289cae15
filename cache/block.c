#include "cache/block_internal.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cache/crc32c.h"
#include "cache/db.h"
#include "cache/io.h"
#include "cache/spool.h"
#include "s3/base/clock.h"
#include "s3/base/log.h"

#define RUNS_MAX 64 /* pieces of a file that one read puts together; more are a second round */

/* ---- the content of an inode ---- */

/* The inode's row is what was acknowledged: a content row may be ahead of it, by a push that ended between two flushes. */
static int fit(struct content *content, uint64_t size)
{
    if (content->size == size)
        return 0;
    struct ranges *sets[] = { &content->present, &content->hole, &content->dirty, &content->unverified, &content->damaged };
    for (size_t i = 0; i < sizeof sets / sizeof *sets; i++)
        if (ranges_remove(sets[i], size, UINT64_MAX))
            return -ENOMEM;
    if (content->body) {
        if (content_grow_body(content, size < CONTENT_INLINE_MAX ? size : CONTENT_INLINE_MAX))
            return -ENOMEM;
        if (size < content->size)
            memset(content->body + size, 0, content->size - size);
    }
    if (content->base_size > size)
        content->base_size = size;
    content->size = size;
    return 0;
}

/* Of an inode without a content row. A size without bytes and without a place to read them from, as of a file that is known from a listing
 * only, must not read as zeros. */
static struct content *content_for_nothing(uint64_t size)
{
    struct content *content = content_new(size);
    if (!content || !size)
        return content;
    content->base_key = strdup("");
    content->base_etag = strdup("");
    content->base_size = size;
    content->base_lost = true;
    if (content->base_key && content->base_etag)
        return content;
    block_unload(NULL, content);
    return NULL;
}

struct content *block_content(struct cache *cache, struct inode *inode, int *error) NO_LOCK_ANALYSIS
{
    while (!inode->content && inode->content_id) {
        uint64_t id = inode->content_id;
        lock_drop(&inode->lock);
        db_begin(cache);
        /* A content that is gone by now is looked at again with the lock. */
        struct content *content = NULL;
        lock_take(&inode->lock);
        bool same = !inode->content && inode->content_id == id && !inode->removed;
        lock_drop(&inode->lock);
        if (same)
            content = content_load_tx(cache, id);
        int rc = db_commit(cache);
        lock_take(&inode->lock);
        if (rc) {
            if (content)
                block_unload(cache, content);
            *error = rc;
            return NULL;
        }
        if (content && !inode->content && inode->content_id == id) {
            rc = fit(content, inode->size);
            content->used_ms = clock_wall_ms();
            inode->content = content;
            content = NULL;
        }
        if (content)
            block_unload(cache, content);
        if (rc) {
            *error = rc;
            return NULL;
        }
        if (inode->removed && !inode->content)
            break;
    }
    if (!inode->content)
        inode->content = content_for_nothing(inode->size);
    if (!inode->content)
        *error = -ENOMEM;
    return inode->content;
}

int block_reserve(struct cache *cache, struct inode *inode, struct content *content, uint64_t start, uint64_t end)
{
    if (ranges_touch(&content->writing, start, end)) {
        block_hold(content);
        while (ranges_touch(&content->writing, start, end))
            lock_wait(&inode->lock, &content->written);
        block_unload(cache, content);
        return -EAGAIN;
    }
    /* With room to spare, so that giving it back cannot fail. */
    if (ranges_reserve(&content->writing, content->writing.count + 16))
        return -ENOMEM;
    return ranges_add(&content->writing, start, end);
}

void block_unreserve(struct content *content, uint64_t start, uint64_t end)
{
    int rc = ranges_remove(&content->writing, start, end);
    assert(rc == 0 && "room was reserved when the range was added");
    (void)rc;
    pthread_cond_broadcast(&content->written);
}

void block_account(struct cache *cache, struct content *content)
{
    uint64_t disk = content_disk(content);
    evict_account(cache, (int64_t)disk - (int64_t)content->disk);
    content->disk = disk;
}

/* ---- the block file ---- */

static int open_or_make(struct cache *cache, uint64_t id, bool make)
{
    char name[32];
    spool_block_name(name, id);
    if (!make)
        return io_open(cache->blocks_fd, name, O_RDWR, 0);
    int fd = io_open(cache->blocks_fd, name, O_RDWR | O_CREAT | O_EXCL, 0600);
    /* A content whose bytes were all given up may have left its file behind: no row means any of its bytes. */
    return fd == -EEXIST ? io_open(cache->blocks_fd, name, O_RDWR | O_TRUNC, 0) : fd;
}

int block_make_file(struct cache *cache, struct inode *inode, struct content *content) NO_LOCK_ANALYSIS
{
    uint64_t id = content->id;
    struct ranges present = { 0 };
    int rc = ranges_copy(&present, &content->present);
    lock_drop(&inode->lock);
    if (!rc && !id) {
        db_begin(cache);
        id = (uint64_t)db_next(cache, DB_CONTENT);
        rc = db_commit(cache);
    }
    int fd = rc ? rc : open_or_make(cache, id, true);
    /* The body cannot change: who would change it waits for the reservation. */
    for (size_t i = 0; fd >= 0 && content->body && i < present.count; i++) {
        rc = io_pwrite(fd, content->body + present.items[i].start, present.items[i].end - present.items[i].start, present.items[i].start, NULL);
        if (rc) {
            close(fd);
            fd = rc;
        }
    }
    lock_take(&inode->lock);
    if (fd >= 0) {
        rc = ranges_add_all(&content->changed, &present);
        if (!rc)
            rc = ranges_add_all(&content->unchecked, &present);
        if (rc) {
            close(fd);
            fd = rc;
        } else {
            content->id = id;
            content->fd = fd;
            content->file = content->new_entry = content->unsynced = true;
            free(content->body);
            content->body = NULL;
            content->body_capacity = 0;
        }
    }
    ranges_fini(&present);
    return fd < 0 ? fd : 0;
}

int block_descriptor(struct cache *cache, struct inode *inode, struct content *content, int *fd) NO_LOCK_ANALYSIS
{
    if (content->fd < 0) {
        uint64_t id = content->id;
        bool empty = !content_disk(content);
        lock_drop(&inode->lock);
        /* A file that holds only holes was removed by the start as one without bytes. */
        int opened = open_or_make(cache, id, false);
        if (opened == -ENOENT && empty)
            opened = open_or_make(cache, id, true);
        lock_take(&inode->lock);
        if (opened < 0) {
            cache_note_error(cache, "block file %llu of the cache is not readable: %s", (unsigned long long)id, strerror(-opened));
            return opened == -ENOENT ? -EIO : opened;
        }
        if (content->fd < 0)
            content->fd = opened;
        else
            close(opened);
    }
    *fd = content->fd;
    return 0;
}

/* ---- reading ---- */

struct run {
    uint64_t start, end;
    bool hole;
};

/* The runs of [start, end), as many as fit; 0: the first byte is missing. */
static size_t list_runs(const struct content *content, uint64_t start, uint64_t end, struct run *runs, uint64_t *covered)
{
    size_t count = 0;
    while (start < end && count < RUNS_MAX) {
        uint64_t run_end;
        enum content_kind kind = content_kind_at(content, start, end, &run_end);
        if (kind == CONTENT_MISSING)
            break;
        runs[count++] = (struct run){ start, run_end, kind == CONTENT_HOLE };
        start = run_end;
    }
    *covered = start;
    return count;
}

static int read_runs(int fd, const struct run *runs, size_t count, uint64_t offset, uint8_t *buffer)
{
    for (size_t i = 0; i < count; i++) {
        size_t length = (size_t)(runs[i].end - runs[i].start);
        uint8_t *to = buffer + (runs[i].start - offset);
        if (runs[i].hole) {
            memset(to, 0, length);
            continue;
        }
        ssize_t n = io_pread(fd, to, length, runs[i].start);
        if (n < 0)
            return (int)n;
        if ((size_t)n < length)
            return -EIO;
    }
    return 0;
}

static void read_inline(const struct content *content, uint8_t *buffer, uint64_t offset, size_t size)
{
    size_t copied = 0;
    if (content->body && offset < content->body_capacity) {
        copied = content->body_capacity - (size_t)offset < size ? content->body_capacity - (size_t)offset : size;
        memcpy(buffer, content->body + offset, copied);
    }
    memset(buffer + copied, 0, size - copied);
}

/* One round of block_read: reads from offset what can be read at once. */
static int read_some(struct cache *cache, struct inode *inode, uint8_t *buffer, size_t size, uint64_t offset, size_t *got)
{
    struct run runs[RUNS_MAX];
    int rc = 0, fd = -1;
    *got = 0;
    lock_take(&inode->lock);
    struct content *content = block_content(cache, inode, &rc);
    if (!content || offset >= content->size)
        goto out;
    uint64_t end = content->size - offset < size ? content->size : offset + size, covered = 0;
    struct range missing;
    if (content_is_missing(content, offset, end, &missing) && missing.start == offset) {
        rc = content->base_lost ? -ESTALE : BLOCK_MISSING;
        goto out;
    }
    if (!content->file) {
        covered = content_is_missing(content, offset, end, &missing) ? missing.start : end;
        read_inline(content, buffer, offset, (size_t)(covered - offset));
        *got = (size_t)(covered - offset);
        goto out;
    }
    if (ranges_touch(&content->unverified, offset, end)) {
        rc = -EAGAIN;
        goto out;
    }
    content->used_ms = clock_wall_ms();
    rc = block_descriptor(cache, inode, content, &fd);
    if (rc || inode->content != content) {
        rc = rc ? rc : -EAGAIN;
        goto out;
    }
    size_t count = list_runs(content, offset, end, runs, &covered);
    block_hold(content);
    lock_drop(&inode->lock);
    rc = read_runs(fd, runs, count, offset, buffer);
    block_unload(cache, content);
    if (rc)
        cache_note_error(cache, "block file %llu of the cache: %s", (unsigned long long)content->id, strerror(-rc));
    else
        *got = (size_t)(covered - offset);
    return rc;
out:
    lock_drop(&inode->lock);
    return rc;
}

int block_read(struct cache *cache, struct inode *inode, void *buffer, size_t size, uint64_t offset, size_t *got)
{
    size_t done = 0;
    while (done < size) {
        size_t n = 0;
        int rc = read_some(cache, inode, (uint8_t *)buffer + done, size - done, offset + done, &n);
        if (rc == -EAGAIN) {
            rc = block_verify(cache, inode, offset + done, offset + size);
            if (!rc)
                continue;
        }
        if (rc)
            return rc;
        if (!n)
            break;
        done += n;
    }
    *got = done;
    return 0;
}

/* ---- writing ---- */

void block_touch(struct cache *cache, struct inode *inode, uint64_t size)
{
    inode->size = inode->content->size = size;
    inode->mtime = inode->ctime = inode_now();
    inode->stamp++;
    if (!inode->written_ms) {
        inode->written_ms = clock_mono_ms();
        inode_hold(cache, inode);
    }
    inode->changed_attrs = true;
}

/* The sets after a program wrote [start, end). */
static int mark_written(struct content *content, uint64_t start, uint64_t end)
{
    int rc = ranges_add(&content->changed, start, end);
    if (!rc)
        rc = ranges_add(&content->unchecked, start, end);
    if (!rc)
        rc = ranges_add(&content->dirty, start, end);
    if (!rc)
        rc = ranges_remove(&content->hole, start, end);
    if (!rc)
        rc = ranges_remove(&content->unverified, start, end);
    if (!rc)
        rc = ranges_remove(&content->damaged, start, end);
    if (!rc)
        rc = ranges_remove(&content->stale, start, end);
    /* Last: bytes that are present have all their other marks. */
    if (!rc)
        rc = ranges_add(&content->present, start, end);
    snapshot_note_change(content, start, end);
    return rc;
}

static int write_inline(struct cache *cache, struct inode *inode, struct content *content, const void *data, size_t size, uint64_t offset)
    REQUIRES(inode->lock)
{
    uint64_t end = offset + size, old = content->size;
    int rc = content_grow_body(content, end > old ? end : old);
    /* What lies between the old end and a write behind it are zeros in the body. */
    if (!rc && offset > old)
        rc = mark_written(content, old, offset);
    if (!rc) {
        memcpy(content->body + offset, data, size);
        rc = mark_written(content, offset, end);
    }
    if (!rc)
        block_touch(cache, inode, end > old ? end : old);
    return rc;
}

/* A clean file's row must not call bytes clean that are about to change in place: this process may be killed before the flush. */
static int announce(struct cache *cache, struct inode *inode) NO_LOCK_ANALYSIS
{
    lock_drop(&inode->lock);
    int rc = file_mark_dirty(cache, inode);
    lock_take(&inode->lock);
    return rc;
}

void block_checksum_bytes(struct content *content, const uint8_t *data, uint64_t start, uint64_t end)
{
    for (uint64_t block = (start + BLOCK_SIZE - 1) / BLOCK_SIZE; (block + 1) * BLOCK_SIZE <= end; block++) {
        uint64_t at = block * BLOCK_SIZE;
        if (content_set_crc(content, block, crc32c_extend(0, data + (at - start), BLOCK_SIZE)) == 0 &&
            ranges_remove(&content->unchecked, at, at + BLOCK_SIZE) == 0)
            continue;
        break;
    }
}

/* The range is reserved, the lock held; it is dropped for the I/O. */
static int write_file(struct cache *cache, struct inode *inode, struct content *content, const void *data, size_t size, uint64_t offset) NO_LOCK_ANALYSIS
{
    int fd = -1;
    size_t done = 0;
    int rc = block_descriptor(cache, inode, content, &fd);
    if (!rc)
        rc = snapshot_save_aside(cache, inode, content, offset, offset + size);
    if (rc)
        return rc;
    lock_drop(&inode->lock);
    rc = io_pwrite(fd, data, size, offset, &done);
    lock_take(&inode->lock);
    /* A truncate to 0 meanwhile: as if the write had come before it. */
    if (inode->content != content)
        return 0;
    if (done) {
        content->unsynced = true;
        uint64_t end = offset + done;
        int marked = mark_written(content, offset, end);
        if (!marked)
            block_checksum_bytes(content, data, offset, end);
        rc = rc ? rc : marked;
        block_touch(cache, inode, end > content->size ? end : content->size);
        block_account(cache, content);
    }
    return rc;
}

static int append_or_overwrite(struct cache *cache, struct inode *inode, struct content *content, const void *data, size_t size, uint64_t offset,
                               bool append) REQUIRES(inode->lock)
{
    uint64_t end = offset + size, last = append ? UINT64_MAX : end;
    if (ranges_touch(&content->unverified, offset, end))
        return -ENODATA;
    int rc = 0;
    if (content->id == inode->content_id && !inode->dirty_ms && !inode->removed && ranges_touch(&content->present, offset, end)) {
        rc = announce(cache, inode);
        return rc ? rc : -EAGAIN;
    }
    rc = block_reserve(cache, inode, content, offset, last);
    if (rc)
        return rc;
    block_hold(content);
    rc = write_file(cache, inode, content, data, size, offset);
    block_unreserve(content, offset, last);
    block_unload(cache, content);
    return rc;
}

/* -EAGAIN: the content is another now, or its bytes are in a file now: look again. -ENODATA: the range is to be verified first. */
static int write_once(struct cache *cache, struct inode *inode, const void *data, size_t size, uint64_t offset, bool append) REQUIRES(inode->lock)
{
    int rc = 0;
    struct content *content = block_content(cache, inode, &rc);
    if (!content)
        return rc;
    if (inode->poisoned)
        return inode->poisoned;
    if (append)
        offset = content->size;
    uint64_t end = offset + size;
    if (end > CONTENT_SIZE_MAX || end < offset)
        return -EFBIG;
    if (content->file)
        return append_or_overwrite(cache, inode, content, data, size, offset, append);
    bool small = end <= CONTENT_INLINE_MAX && content->size <= CONTENT_INLINE_MAX;
    if (small && !content->writing.count) {
        rc = write_inline(cache, inode, content, data, size, offset);
        block_account(cache, content);
        return rc;
    }
    rc = block_reserve(cache, inode, content, 0, UINT64_MAX);
    if (rc)
        return rc;
    block_hold(content);
    if (!small)
        rc = block_make_file(cache, inode, content);
    block_unreserve(content, 0, UINT64_MAX);
    block_unload(cache, content);
    return rc ? rc : -EAGAIN;
}

int block_write(struct cache *cache, struct inode *inode, const void *data, size_t size, uint64_t offset, bool append)
{
    int rc;
    do {
        lock_take(&inode->lock);
        rc = write_once(cache, inode, data, size, offset, append);
        uint64_t last = inode->size;
        lock_drop(&inode->lock);
        if (rc == -ENODATA) {
            uint64_t start = append ? last : offset;
            rc = block_verify(cache, inode, start, start + size);
            rc = rc ? rc : -EAGAIN;
        }
    } while (rc == -EAGAIN);
    return rc;
}

int block_move_to_file(struct cache *cache, struct inode *inode)
{
    int rc;
    do {
        rc = 0;
        lock_take(&inode->lock);
        struct content *content = block_content(cache, inode, &rc);
        if (content && !content->file)
            rc = block_reserve(cache, inode, content, 0, UINT64_MAX);
        if (content && !content->file && !rc) {
            block_hold(content);
            rc = block_make_file(cache, inode, content);
            block_unreserve(content, 0, UINT64_MAX);
            block_unload(cache, content);
        }
        lock_drop(&inode->lock);
    } while (rc == -EAGAIN);
    return rc;
}

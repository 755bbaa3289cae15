/*
 * What programs do with the size and the holes of a file.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cache/block_internal.h"
#include "cache/fetch.h"
#include "cache/file.h"
#include "cache/todo.h"

#define COPY_MAX (16u << 20)
#define COPY_PIECE (1u << 20)

int file_truncate(struct cache *cache, struct inode *inode, uint64_t size, struct cache_wait *wait)
{
    lock_take(&inode->lock);
    uint64_t old = inode->size;
    lock_drop(&inode->lock);
    int rc = old == 0 && size == 0 ? 0 : block_truncate(cache, inode, size);
    (void)wait;
    return rc ? rc : file_commit(cache, inode);
}

int cache_fallocate(struct cache *cache, struct cache_file *file, int mode, uint64_t offset, uint64_t length, struct cache_wait *wait)
{
    struct inode *inode = file->inode;
    bool keep_size = mode & FALLOC_FL_KEEP_SIZE;
    int kind = mode & ~FALLOC_FL_KEEP_SIZE;
    if ((kind && kind != FALLOC_FL_PUNCH_HOLE && kind != FALLOC_FL_ZERO_RANGE) || (kind == FALLOC_FL_PUNCH_HOLE && !keep_size))
        return -EOPNOTSUPP;
    if (!length || (file->flags & O_ACCMODE) == O_RDONLY)
        return length ? -EBADF : -EINVAL;
    if (offset + length < offset || offset + length > CONTENT_SIZE_MAX)
        return -EFBIG;
    int rc = file_may_write(cache);
    if (!rc && !kind)
        rc = evict_reserve(cache, length, wait);
    if (rc)
        return rc;
    lock_take(&inode->lock);
    uint64_t size = inode->size;
    lock_drop(&inode->lock);
    if (kind)
        rc = block_punch(cache, inode, offset, length, !keep_size);
    else if (!keep_size && offset + length > size)
        rc = block_truncate(cache, inode, offset + length);
    if (!rc)
        todo_written(cache, inode->ino);
    return rc;
}

int cache_seek(struct cache *cache, struct cache_file *file, uint64_t offset, int whence, uint64_t *result)
{
    if (whence != SEEK_DATA && whence != SEEK_HOLE)
        return -EINVAL;
    return block_seek(cache, file->inode, offset, whence, result);
}

int cache_copy_range(struct cache *cache, struct cache_file *from, uint64_t from_offset, struct cache_file *to, uint64_t to_offset,
                     uint64_t length, uint64_t *copied, struct cache_wait *wait)
{
    char *buffer = malloc(COPY_PIECE);
    uint64_t done = 0;
    int rc = buffer ? 0 : -ENOMEM;
    if (length > COPY_MAX)
        length = COPY_MAX;
    while (!rc && done < length) {
        size_t size = length - done < COPY_PIECE ? (size_t)(length - done) : COPY_PIECE, got = 0;
        /* Only the first piece may wait: what was copied is reported before. */
        rc = block_read(cache, from->inode, buffer, size, from_offset + done, &got);
        if (rc == BLOCK_MISSING) {
            rc = done ? 0 : fetch_range(cache, from->inode, from_offset, length, true, wait);
            if (rc || done)
                break;
            continue;
        }
        if (rc || !got)
            break;
        rc = cache_write(cache, to->inode->ino, to, buffer, got, to_offset + done, false, done ? NULL : wait);
        if (!rc)
            done += got;
    }
    free(buffer);
    if (rc && !done)
        return rc;
    *copied = done;
    return 0;
}

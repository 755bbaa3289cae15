#include "cache/io.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/statvfs.h>
#include <unistd.h>

static io_hook *hook;
static void *hook_arg;

void io_set_hook(io_hook *new_hook, void *arg)
{
    hook = new_hook;
    hook_arg = arg;
}

static int before(const struct io_event *event)
{
    return hook ? hook(hook_arg, event) : 0;
}

static int result(int rc)
{
    return rc < 0 ? -errno : rc;
}

int io_open(int dir_fd, const char *name, int flags, mode_t mode)
{
    int rc = before(&(struct io_event){ .op = IO_OPEN, .fd = dir_fd, .name = name, .size = (uint64_t)flags });
    if (rc)
        return rc;
    do
        rc = openat(dir_fd, name, flags | O_CLOEXEC | O_NOFOLLOW, mode);
    while (rc < 0 && errno == EINTR);
    return result(rc);
}

int io_pwrite(int fd, const void *data, size_t size, uint64_t offset, size_t *done)
{
    size_t written = 0;
    int rc = before(&(struct io_event){ .op = IO_WRITE, .fd = fd, .data = data, .offset = offset, .size = size });
    while (!rc && written < size) {
        ssize_t n = pwrite(fd, (const char *)data + written, size - written, (off_t)(offset + written));
        if (n < 0 && errno != EINTR)
            rc = -errno;
        else if (n == 0)
            rc = -EIO;
        else if (n > 0)
            written += (size_t)n;
    }
    if (done)
        *done = written;
    return rc;
}

ssize_t io_pread(int fd, void *buffer, size_t size, uint64_t offset)
{
    size_t got = 0;
    while (got < size) {
        ssize_t n = pread(fd, (char *)buffer + got, size - got, (off_t)(offset + got));
        if (n == 0)
            break;
        if (n < 0 && errno != EINTR)
            return -errno;
        if (n > 0)
            got += (size_t)n;
    }
    return (ssize_t)got;
}

int io_ftruncate(int fd, uint64_t size)
{
    int rc = before(&(struct io_event){ .op = IO_TRUNCATE, .fd = fd, .size = size });
    return rc ? rc : result(ftruncate(fd, (off_t)size));
}

int io_fdatasync(int fd)
{
    int rc = before(&(struct io_event){ .op = IO_SYNC, .fd = fd });
    return rc ? rc : result(fdatasync(fd));
}

int io_fsync_dir(int dir_fd)
{
    int rc = before(&(struct io_event){ .op = IO_SYNC_DIR, .fd = dir_fd });
    return rc ? rc : result(fsync(dir_fd));
}

int io_unlink(int dir_fd, const char *name)
{
    int rc = before(&(struct io_event){ .op = IO_UNLINK, .fd = dir_fd, .name = name });
    return rc ? rc : result(unlinkat(dir_fd, name, 0));
}

int io_rename(int dir_fd, const char *name, const char *new_name)
{
    int rc = before(&(struct io_event){ .op = IO_RENAME, .fd = dir_fd, .name = name, .new_name = new_name });
    return rc ? rc : result(renameat(dir_fd, name, dir_fd, new_name));
}

int io_punch(int fd, uint64_t offset, uint64_t size)
{
    int rc = before(&(struct io_event){ .op = IO_PUNCH, .fd = fd, .offset = offset, .size = size });
    return rc ? rc : result(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)offset, (off_t)size));
}

int io_allocate(int fd, uint64_t offset, uint64_t size)
{
    int rc = before(&(struct io_event){ .op = IO_ALLOCATE, .fd = fd, .offset = offset, .size = size });
    return rc ? rc : -posix_fallocate(fd, (off_t)offset, (off_t)size);
}

int io_free(int fd, uint64_t *bytes)
{
    struct statvfs fs;
    int rc = before(&(struct io_event){ .op = IO_FREE, .fd = fd });
    *bytes = 0;
    if (rc)
        return rc == -ENOSPC ? 0 : rc;
    if (fstatvfs(fd, &fs))
        return -errno;
    *bytes = (uint64_t)fs.f_bavail * fs.f_frsize;
    return 0;
}

int io_clone(int to, int from)
{
    int rc = before(&(struct io_event){ .op = IO_CLONE, .fd = to });
    if (rc)
        return rc;
    rc = result(ioctl(to, FICLONE, from));
    return rc == -EXDEV || rc == -EINVAL || rc == -ENOTTY ? -EOPNOTSUPP : rc;
}

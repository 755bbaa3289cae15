/*
 * cache/io.h: every call by which the cache changes a file, so that a test can fail one, and a campaign can record them all and
 * replay a power cut. Descriptors are the caller's. Results: 0 or a count, or -errno; EINTR is retried.
 */
#ifndef R2FS_CACHE_IO_H
#define R2FS_CACHE_IO_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum io_op { IO_OPEN, IO_WRITE, IO_TRUNCATE, IO_SYNC, IO_SYNC_DIR, IO_UNLINK, IO_RENAME, IO_PUNCH, IO_ALLOCATE, IO_CLONE, IO_FREE };
struct io_event {
    enum io_op op;
    int fd;               /* the file, or the directory that name is in */
    const char *name;     /* of IO_OPEN, IO_UNLINK, IO_RENAME */
    const char *new_name; /* of IO_RENAME */
    const void *data;     /* of IO_WRITE */
    uint64_t offset, size;
};
/* Called before each; 0: go on, -errno: the call fails with it and does nothing. Set while no other thread runs; NULL: none. */
typedef int io_hook(void *arg, const struct io_event *event);
void io_set_hook(io_hook *hook, void *arg);

int io_open(int dir_fd, const char *name, int flags, mode_t mode); /* always O_CLOEXEC and O_NOFOLLOW */
/* All size bytes, or -errno; *done (may be NULL) says how many were written in any case. */
int io_pwrite(int fd, const void *data, size_t size, uint64_t offset, size_t *done);
ssize_t io_pread(int fd, void *buffer, size_t size, uint64_t offset); /* less than size only at the end of the file */
int io_ftruncate(int fd, uint64_t size);
int io_fdatasync(int fd);
int io_fsync_dir(int dir_fd);
int io_unlink(int dir_fd, const char *name);
int io_rename(int dir_fd, const char *name, const char *new_name);
int io_punch(int fd, uint64_t offset, uint64_t size);    /* gives the space back; -EOPNOTSUPP where the file system cannot */
int io_allocate(int fd, uint64_t offset, uint64_t size); /* takes the space, extending the file */
int io_free(int fd, uint64_t *bytes);                    /* what the file system can still take; a hook's -ENOSPC makes it 0 */
int io_clone(int to, int from);                          /* the whole file shares its blocks with from; -EOPNOTSUPP */

#endif

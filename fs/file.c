#include "fs/fs.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "fs/park.h"

static int step_read(struct call *call)
{
    size_t got;
    void *buffer = park_scratch();
    if (!buffer)
        return -ENOMEM;
    int rc = cache_read(call->fs->cache, fs_file(&call->fi), buffer, call->size, call->offset, &got, &call->wait);
    if (rc == 0)
        fuse_reply_buf(call->req, buffer, got);
    return rc;
}

void fs_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset, struct fuse_file_info *fi)
{
    struct call *call = park_begin(fuse_req_userdata(req), req, step_read);
    if (!call)
        return;
    call->ino = ino;
    call->size = size < FS_IO_MAX ? size : FS_IO_MAX;
    call->offset = (uint64_t)offset;
    call->fi = *fi;
    park_run(call);
}

static int step_write(struct call *call)
{
    /* The kernel writes a mapping back by any handle of the file, with that one's flags, at offsets of its own. */
    bool mapping = call->fi.writepage;
    struct cache_file *file = mapping ? NULL : fs_file(&call->fi);
    bool append = !mapping && (call->fi.flags & O_APPEND);
    int rc = cache_write(call->fs->cache, call->ino, file, call->data, call->size, call->offset, append, &call->wait);
    if (rc == 0)
        fuse_reply_write(call->req, call->size);
    return rc;
}

void fs_write(fuse_req_t req, fuse_ino_t ino, const char *data, size_t size, off_t offset, struct fuse_file_info *fi)
{
    struct call *call = park_begin(fuse_req_userdata(req), req, step_write);
    if (!call)
        return;
    call->ino = ino;
    call->data = data;
    call->size = size;
    call->offset = (uint64_t)offset;
    call->fi = *fi;
    park_run(call);
}

static int step_fsync(struct call *call)
{
    int rc = cache_fsync(call->fs->cache, call->ino, call->data_only, &call->wait);
    if (rc == 0)
        fuse_reply_err(call->req, 0);
    return rc;
}

/* A sync of the disk takes long, and four of them would leave no worker. */
void fs_fsync(fuse_req_t req, fuse_ino_t ino, int data_only, struct fuse_file_info *fi)
{
    struct call *call = park_begin(fuse_req_userdata(req), req, step_fsync);
    (void)fi;
    if (!call)
        return;
    call->ino = ino;
    call->data_only = data_only != 0;
    call->timeout_ms = PARK_FSYNC_TIMEOUT_MS;
    park_offload(call);
}

static int step_fallocate(struct call *call)
{
    int rc = cache_fallocate(call->fs->cache, fs_file(&call->fi), (int)call->mode, call->offset, call->other_offset, &call->wait);
    if (rc == 0)
        fuse_reply_err(call->req, 0);
    return rc;
}

void fs_fallocate(fuse_req_t req, fuse_ino_t ino, int mode, off_t offset, off_t length, struct fuse_file_info *fi)
{
    struct call *call = park_begin(fuse_req_userdata(req), req, step_fallocate);
    if (!call)
        return;
    call->ino = ino;
    call->mode = (uint32_t)mode;
    call->offset = (uint64_t)offset;
    call->other_offset = (uint64_t)length;
    call->fi = *fi;
    park_run(call);
}

void fs_lseek(fuse_req_t req, fuse_ino_t ino, off_t offset, int whence, struct fuse_file_info *fi)
{
    struct fs *fs = fuse_req_userdata(req);
    uint64_t result;
    (void)ino;
    /* The other kinds are the kernel's own. */
    int rc = whence == SEEK_DATA || whence == SEEK_HOLE ? cache_seek(fs->cache, fs_file(fi), (uint64_t)offset, whence, &result)
                                                        : -EINVAL;
    if (rc == 0)
        fuse_reply_lseek(req, (off_t)result);
    else
        fuse_reply_err(req, -rc);
}

static int step_copy(struct call *call)
{
    uint64_t copied;
    int rc = cache_copy_range(call->fs->cache, fs_file(&call->fi), call->offset, fs_file(&call->other_fi), call->other_offset,
                              call->size, &copied, &call->wait);
    if (rc == 0)
        fuse_reply_write(call->req, copied);
    return rc;
}

void fs_copy_file_range(fuse_req_t req, fuse_ino_t ino, off_t offset, struct fuse_file_info *fi, fuse_ino_t to_ino,
                        off_t to_offset, struct fuse_file_info *to_fi, size_t length, int flags)
{
    if (flags != 0) {
        fuse_reply_err(req, EINVAL);
        return;
    }
    struct call *call = park_begin(fuse_req_userdata(req), req, step_copy);
    if (!call)
        return;
    call->ino = ino;
    call->offset = (uint64_t)offset;
    call->fi = *fi;
    call->other = to_ino;
    call->other_offset = (uint64_t)to_offset;
    call->other_fi = *to_fi;
    call->size = length;
    park_run(call);
}

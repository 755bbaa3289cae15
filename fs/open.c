#include "fs/fs.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include <utlist.h>

#include "fs/node.h"
#include "fs/notice.h"
#include "fs/park.h"

/* What fh points to. They are listed, since an aborted connection never releases them. */
struct handle {
    struct cache_file *file;
    struct handle *prev, *next;
};

struct cache_file *fs_file(const struct fuse_file_info *fi)
{
    return ((struct handle *)(uintptr_t)fi->fh)->file;
}

static struct handle *handle_new(struct fs *fs)
{
    struct handle *handle = calloc(1, sizeof *handle);
    if (!handle)
        return NULL;
    lock_take(&fs->handle_lock);
    DL_APPEND(fs->handles, handle);
    lock_drop(&fs->handle_lock);
    return handle;
}

static void handle_free(struct fs *fs, struct handle *handle)
{
    lock_take(&fs->handle_lock);
    DL_DELETE(fs->handles, handle);
    lock_drop(&fs->handle_lock);
    if (handle->file)
        cache_release(fs->cache, handle->file);
    free(handle);
}

void fs_release_all(struct fs *fs)
{
    while (fs->handles)
        handle_free(fs, fs->handles);
}

static void fill(struct fuse_file_info *fi, struct handle *handle, bool keep)
{
    fi->fh = (uintptr_t)handle;
    fi->keep_cache = keep;
    /* There is nothing that close() would have to commit. */
    fi->noflush = (fi->flags & O_ACCMODE) == O_RDONLY;
}

static int step_open(struct call *call)
{
    struct fs *fs = call->fs;
    bool keep = false;
    struct handle *handle = handle_new(fs);
    if (!handle)
        return -ENOMEM;
    int rc = cache_open_file(fs->cache, call->ino, call->fi.flags, &handle->file, &keep, &call->wait);
    if (rc != 0) {
        handle_free(fs, handle);
        return rc;
    }
    fill(&call->fi, handle, keep);
    if (fuse_reply_open(call->req, &call->fi) != 0)
        handle_free(fs, handle);
    return 0;
}

void fs_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    struct call *call = park_begin(fuse_req_userdata(req), req, step_open);
    if (!call)
        return;
    call->ino = ino;
    call->fi = *fi;
    park_run(call);
}

/* The new file's entry and its open handle, in one answer. */
static int reply_create(struct call *call, const struct cache_attr *attr, struct handle *handle, uint64_t mark)
{
    struct fs *fs = call->fs;
    uint64_t ino = attr->ino;
    struct fuse_entry_param entry = {
        .ino = ino,
        .generation = attr->generation,
        .attr_timeout = fs_attr_timeout(fs, attr),
        .entry_timeout = FS_TIMEOUT_S,
    };
    fs_stat(attr, &entry.attr);
    int rc = node_look(fs->nodes, ino);
    if (rc != 0) {
        handle_free(fs, handle);
        return rc;
    }
    notice_since(fs->notices, mark, ino);
    fill(&call->fi, handle, false);
    if (fuse_reply_create(call->req, &entry, &call->fi) != 0) {
        handle_free(fs, handle);
        fs_drop(fs, ino, 1);
    }
    return 0;
}

/* A name, or none: O_TMPFILE. */
static int step_create(struct call *call)
{
    struct fs *fs = call->fs;
    struct cache_attr attr;
    const struct fuse_ctx *ctx = fuse_req_ctx(call->req);
    struct cache_caller who = { .uid = ctx->uid, .gid = ctx->gid };
    uint64_t mark = notice_mark(fs->notices);
    struct handle *handle = handle_new(fs);
    if (!handle)
        return -ENOMEM;
    int rc = call->name ? cache_create(fs->cache, call->ino, call->name, call->mode, call->fi.flags, &who, &attr, &handle->file, &call->wait)
                        : cache_tmpfile(fs->cache, call->ino, call->mode, call->fi.flags, &who, &attr, &handle->file);
    if (rc != 0) {
        handle_free(fs, handle);
        return rc;
    }
    return reply_create(call, &attr, handle, mark);
}

void fs_create(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, struct fuse_file_info *fi)
{
    if (strlen(name) > CACHE_NAME_MAX) {
        fuse_reply_err(req, ENAMETOOLONG);
        return;
    }
    struct call *call = park_begin(fuse_req_userdata(req), req, step_create);
    if (!call)
        return;
    call->ino = parent;
    call->name = name;
    call->mode = mode;
    call->fi = *fi;
    park_run(call);
}

#if FUSE_VERSION >= FUSE_MAKE_VERSION(3, 17)
void fs_tmpfile(fuse_req_t req, fuse_ino_t parent, mode_t mode, struct fuse_file_info *fi)
{
    struct call *call = park_begin(fuse_req_userdata(req), req, step_create);
    if (!call)
        return;
    call->ino = parent;
    call->mode = mode;
    call->fi = *fi;
    park_run(call);
}
#endif

void fs_flush(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    struct fs *fs = fuse_req_userdata(req);
    (void)ino;
    fuse_reply_err(req, -cache_flush(fs->cache, fs_file(fi)));
}

void fs_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    (void)ino;
    handle_free(fuse_req_userdata(req), (struct handle *)(uintptr_t)fi->fh);
    fuse_reply_err(req, 0);
}

#include "fs/fs.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "fs/node.h"
#include "fs/notice.h"
#include "fs/park.h"

/* Calls on names: checks what the cache wants checked (the kernel's own limit is 1,024 bytes). NULL: replied to. */
static struct call *begin(fuse_req_t req, int (*step)(struct call *call), uint64_t parent, const char *name)
{
    if (strlen(name) > CACHE_NAME_MAX) {
        fuse_reply_err(req, ENAMETOOLONG);
        return NULL;
    }
    struct call *call = park_begin(fuse_req_userdata(req), req, step);
    if (call) {
        call->ino = parent;
        call->name = name;
    }
    return call;
}

static struct cache_caller caller(fuse_req_t req)
{
    const struct fuse_ctx *ctx = fuse_req_ctx(req);
    return (struct cache_caller){ .uid = ctx->uid, .gid = ctx->gid };
}

/* Gives the kernel an entry that the cache returned after `mark` was taken. */
static int reply_entry(struct call *call, const struct cache_attr *attr, uint64_t mark)
{
    struct fs *fs = call->fs;
    struct fuse_entry_param entry = {
        .ino = attr->ino,
        .generation = attr->generation,
        .attr_timeout = fs_attr_timeout(fs, attr),
        .entry_timeout = FS_TIMEOUT_S,
    };
    fs_stat(attr, &entry.attr);
    int rc = node_look(fs->nodes, attr->ino);
    if (rc != 0)
        return rc;
    notice_since(fs->notices, mark, attr->ino);
    uint64_t ino = attr->ino;
    if (fuse_reply_entry(call->req, &entry) != 0)
        fs_drop(fs, ino, 1);
    return 0;
}

static int step_lookup(struct call *call)
{
    struct cache_attr attr;
    uint64_t mark = notice_mark(call->fs->notices);
    int rc = cache_lookup(call->fs->cache, call->ino, call->name, &attr, &call->wait);
    if (rc == -ENOENT) {
        struct fuse_entry_param none = { .entry_timeout = FS_TIMEOUT_S };
        fuse_reply_entry(call->req, &none);
        return 0;
    }
    return rc == 0 ? reply_entry(call, &attr, mark) : rc;
}

void fs_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
    struct call *call = begin(req, step_lookup, parent, name);
    if (call)
        park_run(call);
}

void fs_forget(fuse_req_t req, fuse_ino_t ino, uint64_t lookups)
{
    fs_drop(fuse_req_userdata(req), ino, lookups);
    fuse_reply_none(req);
}

void fs_forget_multi(fuse_req_t req, size_t count, struct fuse_forget_data *forgets)
{
    for (size_t i = 0; i < count; i++)
        fs_drop(fuse_req_userdata(req), forgets[i].ino, forgets[i].nlookup);
    fuse_reply_none(req);
}

static int step_readlink(struct call *call)
{
    char target[PATH_MAX + 1];
    int rc = cache_readlink(call->fs->cache, call->ino, target, sizeof target, &call->wait);
    if (rc == 0)
        fuse_reply_readlink(call->req, target);
    return rc;
}

void fs_readlink(fuse_req_t req, fuse_ino_t ino)
{
    struct call *call = park_begin(fuse_req_userdata(req), req, step_readlink);
    if (!call)
        return;
    call->ino = ino;
    park_run(call);
}

/* ---- new names ---- */

static int step_mknod(struct call *call)
{
    struct cache_attr attr;
    struct cache_caller who = caller(call->req);
    uint64_t mark = notice_mark(call->fs->notices);
    int rc = cache_mknod(call->fs->cache, call->ino, call->name, call->mode, call->rdev, &who, &attr, &call->wait);
    return rc == 0 ? reply_entry(call, &attr, mark) : rc;
}

void fs_mknod(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, dev_t rdev)
{
    struct call *call = begin(req, step_mknod, parent, name);
    if (!call)
        return;
    call->mode = mode;
    call->rdev = rdev;
    park_run(call);
}

static int step_mkdir(struct call *call)
{
    struct cache_attr attr;
    struct cache_caller who = caller(call->req);
    uint64_t mark = notice_mark(call->fs->notices);
    int rc = cache_mkdir(call->fs->cache, call->ino, call->name, call->mode, &who, &attr, &call->wait);
    return rc == 0 ? reply_entry(call, &attr, mark) : rc;
}

void fs_mkdir(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode)
{
    struct call *call = begin(req, step_mkdir, parent, name);
    if (!call)
        return;
    call->mode = mode;
    park_run(call);
}

static int step_symlink(struct call *call)
{
    struct cache_attr attr;
    struct cache_caller who = caller(call->req);
    uint64_t mark = notice_mark(call->fs->notices);
    int rc = cache_symlink(call->fs->cache, call->ino, call->name, call->text, &who, &attr, &call->wait);
    return rc == 0 ? reply_entry(call, &attr, mark) : rc;
}

void fs_symlink(fuse_req_t req, const char *target, fuse_ino_t parent, const char *name)
{
    struct call *call = begin(req, step_symlink, parent, name);
    if (!call)
        return;
    call->text = target;
    park_run(call);
}

static int step_link(struct call *call)
{
    struct cache_attr attr;
    uint64_t mark = notice_mark(call->fs->notices);
    int rc = cache_link(call->fs->cache, call->other, call->ino, call->name, &attr, &call->wait);
    return rc == 0 ? reply_entry(call, &attr, mark) : rc;
}

void fs_link(fuse_req_t req, fuse_ino_t ino, fuse_ino_t parent, const char *name)
{
    struct call *call = begin(req, step_link, parent, name);
    if (!call)
        return;
    call->other = ino;
    park_run(call);
}

/* ---- names that go ---- */

static int reply_done(struct call *call, int rc)
{
    if (rc == 0)
        fuse_reply_err(call->req, 0);
    return rc;
}

static int step_unlink(struct call *call)
{
    return reply_done(call, cache_unlink(call->fs->cache, call->ino, call->name, &call->wait));
}

void fs_unlink(fuse_req_t req, fuse_ino_t parent, const char *name)
{
    struct call *call = begin(req, step_unlink, parent, name);
    if (call)
        park_run(call);
}

static int step_rmdir(struct call *call)
{
    return reply_done(call, cache_rmdir(call->fs->cache, call->ino, call->name, &call->wait));
}

void fs_rmdir(fuse_req_t req, fuse_ino_t parent, const char *name)
{
    struct call *call = begin(req, step_rmdir, parent, name);
    if (call)
        park_run(call);
}

static int step_rename(struct call *call)
{
    return reply_done(call, cache_rename(call->fs->cache, call->ino, call->name, call->other, call->text,
                                         (unsigned)call->flags, &call->wait));
}

void fs_rename(fuse_req_t req, fuse_ino_t parent, const char *name, fuse_ino_t new_parent, const char *new_name,
               unsigned flags)
{
    /* A whiteout is an object that no other client could understand. */
    if ((flags & ~(unsigned)(RENAME_NOREPLACE | RENAME_EXCHANGE)) != 0) {
        fuse_reply_err(req, EINVAL);
        return;
    }
    struct call *call = begin(req, step_rename, parent, name);
    if (!call)
        return;
    call->other = new_parent;
    call->text = new_name;
    call->flags = (int)flags;
    if (strlen(new_name) > CACHE_NAME_MAX)
        call->error = -ENAMETOOLONG;
    park_run(call);
}

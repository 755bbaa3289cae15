#include "fs/fs.h"

#include <errno.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include "fs/park.h"

/* What stdio and others take as the size of their buffers. Each write(2) is a request to us, so it is larger than a page. */
#define BLOCK_SIZE 65536
#define STATFS_BLOCK 4096u
#define STATFS_TOTAL ((uint64_t)1 << 50) /* 1 PiB: a bucket has no end, but programs want one */

void fs_stat(const struct cache_attr *attr, struct stat *stat)
{
    *stat = (struct stat){
        .st_ino = attr->ino,
        .st_mode = attr->mode,
        .st_nlink = attr->nlink,
        .st_uid = attr->uid,
        .st_gid = attr->gid,
        .st_rdev = attr->rdev,
        .st_size = (off_t)attr->size,
        .st_blocks = (blkcnt_t)attr->blocks,
        .st_blksize = BLOCK_SIZE,
        .st_atim = attr->atime,
        .st_mtim = attr->mtime,
        .st_ctim = attr->ctime,
    };
}

double fs_attr_timeout(const struct fs *fs, const struct cache_attr *attr)
{
    return S_ISDIR(attr->mode) ? fs->directory_timeout_s : FS_TIMEOUT_S;
}

static int reply_attr(struct call *call, const struct cache_attr *attr)
{
    struct stat stat;
    fs_stat(attr, &stat);
    fuse_reply_attr(call->req, &stat, fs_attr_timeout(call->fs, attr));
    return 0;
}

/* A change after our answer was computed makes a notice, and the kernel drops an answer that is older than its last notice. */
void fs_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    struct fs *fs = fuse_req_userdata(req);
    struct cache_attr attr;
    struct stat stat;
    (void)fi;
    int rc = cache_getattr(fs->cache, ino, &attr);
    if (rc != 0) {
        fuse_reply_err(req, -rc);
        return;
    }
    fs_stat(&attr, &stat);
    fuse_reply_attr(req, &stat, fs_attr_timeout(fs, &attr));
}

static int step_setattr(struct call *call)
{
    struct cache_attr attr;
    struct cache_file *file = call->flags ? fs_file(&call->fi) : NULL;
    int rc = cache_setattr(call->fs->cache, call->ino, file, call->set, &call->attr, &attr, &call->wait);
    return rc == 0 ? reply_attr(call, &attr) : rc;
}

static unsigned set_bits(int set)
{
    static const struct { int fuse; unsigned cache; } bits[] = {
        { FUSE_SET_ATTR_MODE, CACHE_SET_MODE },           { FUSE_SET_ATTR_UID, CACHE_SET_UID },
        { FUSE_SET_ATTR_GID, CACHE_SET_GID },             { FUSE_SET_ATTR_SIZE, CACHE_SET_SIZE },
        { FUSE_SET_ATTR_ATIME, CACHE_SET_ATIME },         { FUSE_SET_ATTR_MTIME, CACHE_SET_MTIME },
        { FUSE_SET_ATTR_ATIME_NOW, CACHE_SET_ATIME_NOW }, { FUSE_SET_ATTR_MTIME_NOW, CACHE_SET_MTIME_NOW },
        { FUSE_SET_ATTR_CTIME, CACHE_SET_CTIME },
    };
    unsigned result = 0;
    for (size_t i = 0; i < sizeof bits / sizeof bits[0]; i++)
        result |= set & bits[i].fuse ? bits[i].cache : 0;
    return result;
}

void fs_setattr(fuse_req_t req, fuse_ino_t ino, struct stat *to, int set, struct fuse_file_info *fi)
{
    struct call *call = park_begin(fuse_req_userdata(req), req, step_setattr);
    if (!call)
        return;
    call->ino = ino;
    call->set = set_bits(set);
    call->attr = (struct cache_attr){
        .mode = to->st_mode, .uid = to->st_uid, .gid = to->st_gid, .size = (uint64_t)to->st_size,
        .atime = to->st_atim, .mtime = to->st_mtim, .ctime = to->st_ctim,
    };
    call->flags = fi != NULL;
    if (fi)
        call->fi = *fi;
    park_run(call);
}

void fs_statfs(fuse_req_t req, fuse_ino_t ino)
{
    struct fs *fs = fuse_req_userdata(req);
    struct cache_statfs result;
    (void)ino;
    int rc = cache_statfs(fs->cache, &result);
    if (rc != 0) {
        fuse_reply_err(req, -rc);
        return;
    }
    struct statvfs out = {
        .f_bsize = STATFS_BLOCK,
        .f_frsize = STATFS_BLOCK,
        .f_blocks = STATFS_TOTAL / STATFS_BLOCK,
        .f_bfree = result.bytes_free / STATFS_BLOCK,
        .f_bavail = result.bytes_free / STATFS_BLOCK,
        /* There is no limit but the disk's: each file has a row of some hundred bytes in the index. */
        .f_files = result.files + result.bytes_free / 1024,
        .f_ffree = result.bytes_free / 1024,
        .f_favail = result.bytes_free / 1024,
        .f_namemax = CACHE_NAME_MAX,
    };
    fuse_reply_statfs(req, &out);
}

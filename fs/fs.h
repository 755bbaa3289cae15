/*
 * fs/fs.h: one mount as the code that answers the kernel sees it. nodeid = inode number of the cache.
 *
 * A request arrives in session.c, on one of four workers. Its operation (fs_lookup in name.c, …; all of them are in the
 * table of ops.c) copies what it needs into a struct call and runs it (park.h): the step calls the cache and either replies
 * or is parked until the cache wakes it. What the kernel knows is counted in node.h; what it must forget goes through
 * notice.h.
 *
 * Locks: each of these parts has its own, all of rank LOCK_NODE; none is taken inside another, none is held over a reply
 * or a notice.
 */
#ifndef R2FS_FS_FS_H
#define R2FS_FS_FS_H

#include <stdbool.h>
#include <stdint.h>

#define FUSE_USE_VERSION 314
#include <fuse_lowlevel.h>

#include "cache/cache.h"
#include "s3/base/lock.h"

/* The largest READ and WRITE; also what the kernel's own limit of 256 pages is. */
#define FS_IO_MAX (1u << 20)
/* How long the kernel may believe what it was told: what changes elsewhere is told by notices. */
#define FS_TIMEOUT_S 86400.0

struct handle;
struct nodes;
struct notices;
struct park;
struct session;

struct fs {
    struct cache *cache;
    double directory_timeout_s; /* attributes of directories: its GETATTRs tell the cache which ones are in use */
    struct nodes *nodes;
    struct notices *notices;
    struct park *park;
    struct session *session;    /* while it is open */
    struct lock handle_lock;
    struct handle *handles;     /* open files, under handle_lock */
};

/* What has to be there before the cache is opened: fs->notices is the argument of its events. 0 or -errno. */
int fs_init(struct fs *fs);
/* The cache is open, requests may come. poll_ms: the poll interval, 0 for none. 0 or -errno. */
int fs_start(struct fs *fs, struct cache *cache, int64_t poll_ms);
/* The kernel sends nothing more: ends notices and parked requests, and gives up what an aborted connection left open.
 * Before cache_close. */
void fs_stop(struct fs *fs);
/* After cache_close. Legal on a zeroed struct. */
void fs_fini(struct fs *fs);

/* The kernel's lookups are taken back, by FORGET or because a reply failed. */
void fs_drop(struct fs *fs, uint64_t ino, uint64_t lookups);

extern const struct fuse_lowlevel_ops fs_ops; /* without init, which is the session's; userdata is a struct fs */

/* ---- attr.c ---- */
void fs_stat(const struct cache_attr *attr, struct stat *stat);
double fs_attr_timeout(const struct fs *fs, const struct cache_attr *attr);
void fs_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void fs_setattr(fuse_req_t req, fuse_ino_t ino, struct stat *to, int set, struct fuse_file_info *fi);
void fs_statfs(fuse_req_t req, fuse_ino_t ino);

/* ---- name.c ---- */
void fs_lookup(fuse_req_t req, fuse_ino_t parent, const char *name);
void fs_forget(fuse_req_t req, fuse_ino_t ino, uint64_t lookups);
void fs_forget_multi(fuse_req_t req, size_t count, struct fuse_forget_data *forgets);
void fs_readlink(fuse_req_t req, fuse_ino_t ino);
void fs_mknod(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, dev_t rdev);
void fs_mkdir(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode);
void fs_symlink(fuse_req_t req, const char *target, fuse_ino_t parent, const char *name);
void fs_link(fuse_req_t req, fuse_ino_t ino, fuse_ino_t parent, const char *name);
void fs_unlink(fuse_req_t req, fuse_ino_t parent, const char *name);
void fs_rmdir(fuse_req_t req, fuse_ino_t parent, const char *name);
void fs_rename(fuse_req_t req, fuse_ino_t parent, const char *name, fuse_ino_t new_parent, const char *new_name,
               unsigned flags);

/* ---- dirent.c ---- */
void fs_opendir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void fs_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset, struct fuse_file_info *fi);
void fs_readdirplus(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset, struct fuse_file_info *fi);
void fs_releasedir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void fs_fsyncdir(fuse_req_t req, fuse_ino_t ino, int data_only, struct fuse_file_info *fi);

/* ---- open.c ---- */
/* The open file behind a request's fh. */
struct cache_file *fs_file(const struct fuse_file_info *fi);
void fs_create(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, struct fuse_file_info *fi);
void fs_tmpfile(fuse_req_t req, fuse_ino_t parent, mode_t mode, struct fuse_file_info *fi);
void fs_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void fs_flush(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void fs_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void fs_release_all(struct fs *fs); /* what the kernel left open */

/* ---- file.c ---- */
void fs_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset, struct fuse_file_info *fi);
void fs_write(fuse_req_t req, fuse_ino_t ino, const char *data, size_t size, off_t offset, struct fuse_file_info *fi);
void fs_fsync(fuse_req_t req, fuse_ino_t ino, int data_only, struct fuse_file_info *fi);
void fs_fallocate(fuse_req_t req, fuse_ino_t ino, int mode, off_t offset, off_t length, struct fuse_file_info *fi);
void fs_lseek(fuse_req_t req, fuse_ino_t ino, off_t offset, int whence, struct fuse_file_info *fi);
void fs_copy_file_range(fuse_req_t req, fuse_ino_t ino, off_t offset, struct fuse_file_info *fi, fuse_ino_t to_ino,
                        off_t to_offset, struct fuse_file_info *to_fi, size_t length, int flags);

#endif

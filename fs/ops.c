#include "fs/fs.h"

#include <errno.h>

#include "fs/node.h"
#include "fs/notice.h"
#include "fs/park.h"

/* Without getlk, setlk and flock: locks are the kernel's own, since one machine has the mount. Without access:
 * default_permissions is always on. Without write_buf: there is no splice to gain from. */
const struct fuse_lowlevel_ops fs_ops = {
    .lookup = fs_lookup,
    .forget = fs_forget,
    .forget_multi = fs_forget_multi,
    .getattr = fs_getattr,
    .setattr = fs_setattr,
    .readlink = fs_readlink,
    .mknod = fs_mknod,
    .mkdir = fs_mkdir,
    .unlink = fs_unlink,
    .rmdir = fs_rmdir,
    .symlink = fs_symlink,
    .rename = fs_rename,
    .link = fs_link,
    .open = fs_open,
    .create = fs_create,
    .read = fs_read,
    .write = fs_write,
    .flush = fs_flush,
    .release = fs_release,
    .fsync = fs_fsync,
    .opendir = fs_opendir,
    .readdir = fs_readdir,
    .readdirplus = fs_readdirplus,
    .releasedir = fs_releasedir,
    .fsyncdir = fs_fsyncdir,
    .statfs = fs_statfs,
    .fallocate = fs_fallocate,
    .copy_file_range = fs_copy_file_range,
    .lseek = fs_lseek,
#if FUSE_VERSION >= FUSE_MAKE_VERSION(3, 17)
    .tmpfile = fs_tmpfile,
#endif
};

int fs_init(struct fs *fs)
{
    *fs = (struct fs){ 0 };
    lock_init(&fs->handle_lock, LOCK_NODE);
    fs->nodes = node_table_new();
    fs->notices = notice_queue_new();
    return fs->nodes && fs->notices ? 0 : -ENOMEM;
}

int fs_start(struct fs *fs, struct cache *cache, int64_t poll_ms)
{
    fs->cache = cache;
    fs->directory_timeout_s = poll_ms > 0 ? (double)poll_ms / 1000 : FS_TIMEOUT_S;
    fs->park = park_new(fs);
    return fs->park ? 0 : -ENOMEM;
}

void fs_stop(struct fs *fs)
{
    if (fs->notices)
        notice_stop(fs->notices);
    park_free(fs->park);
    fs->park = NULL;
    fs_release_all(fs);
}

void fs_fini(struct fs *fs)
{
    notice_queue_free(fs->notices);
    node_table_free(fs->nodes);
    if (fs->notices)
        lock_fini(&fs->handle_lock);
    *fs = (struct fs){ 0 };
}

void fs_drop(struct fs *fs, uint64_t ino, uint64_t lookups)
{
    if (node_forget(fs->nodes, ino, lookups))
        cache_forget(fs->cache, ino);
}

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "cache/block_internal.h"
#include "cache/db.h"
#include "cache/dir.h"
#include "cache/fetch.h"
#include "cache/file.h"
#include "cache/todo.h"

int cache_getattr(struct cache *cache, uint64_t ino, struct cache_attr *attr)
{
    struct inode *inode = inode_get(cache, ino);
    if (!inode)
        return -ESTALE;
    if (S_ISDIR(inode->mode))
        dir_used(cache, ino);
    inode_attr(cache, inode, attr);
    inode_put(cache, inode);
    return 0;
}

static int64_t ns_of(const struct timespec *t)
{
    return (int64_t)t->tv_sec * 1000000000 + t->tv_nsec;
}

/* What of `set` is not so already, put into *values. */
static unsigned change(struct inode *values, unsigned set, const struct cache_attr *to, int64_t now)
{
    unsigned changed = 0;
    uint32_t mode = (values->mode & S_IFMT) | (to->mode & 07777);
    if ((set & CACHE_SET_UID) && to->uid != values->uid) {
        values->uid = to->uid;
        changed |= CACHE_SET_UID;
    }
    if ((set & CACHE_SET_GID) && to->gid != values->gid) {
        values->gid = to->gid;
        changed |= CACHE_SET_GID;
    }
    /* A new owner does not inherit the right to run as the old one. A set-gid bit without execution is a mark for locks. */
    if ((changed & (CACHE_SET_UID | CACHE_SET_GID)) && !(set & CACHE_SET_MODE) && S_ISREG(values->mode)) {
        mode = values->mode & ~(uint32_t)S_ISUID;
        if (mode & S_IXGRP)
            mode &= ~(uint32_t)S_ISGID;
        set |= CACHE_SET_MODE;
    }
    if ((set & CACHE_SET_MODE) && mode != values->mode) {
        values->mode = mode;
        changed |= CACHE_SET_MODE;
    }
    int64_t atime = set & CACHE_SET_ATIME_NOW ? now : ns_of(&to->atime), mtime = set & CACHE_SET_MTIME_NOW ? now : ns_of(&to->mtime);
    if ((set & (CACHE_SET_ATIME | CACHE_SET_ATIME_NOW)) && atime != values->atime) {
        values->atime = atime;
        changed |= CACHE_SET_ATIME;
    }
    if ((set & (CACHE_SET_MTIME | CACHE_SET_MTIME_NOW)) && mtime != values->mtime) {
        values->mtime = mtime;
        changed |= CACHE_SET_MTIME;
    }
    return changed;
}

/* A directory gets an object for what its listing cannot say; the times of one that only its files stand for travel otherwise. */
static bool is_pushed(const struct inode *values, unsigned set, unsigned changed)
{
    if (!S_ISDIR(values->mode) || values->explicit_object)
        return changed;
    return (changed & (CACHE_SET_MODE | CACHE_SET_UID | CACHE_SET_GID)) || ((changed & CACHE_SET_MTIME) && !(set & CACHE_SET_MTIME_NOW));
}

static void store(struct cache *cache, struct inode *inode, unsigned set, const struct cache_attr *to)
{
    struct inode values;
    int64_t now = inode_now();
    inode_values_tx(cache, inode, &values);
    unsigned changed = change(&values, set, to, now);
    /* Asked for what already stands: only the time of the asking changes. */
    bool asked = set & (CACHE_SET_MODE | CACHE_SET_UID | CACHE_SET_GID);
    if (!changed && !asked)
        return;
    values.ctime = now;
    bool pushed = is_pushed(&values, set, changed) && !values.removed;
    if (pushed) {
        values.meta_version++;
        if (S_ISDIR(values.mode))
            values.explicit_object = true;
    }
    inode_store_tx(cache, inode, &values, changed ? INODE_ATTR : INODE_TIMES);
    if (pushed)
        todo_inode_tx(cache, inode->ino, false);
}

static int set_size(struct cache *cache, struct inode *inode, uint64_t size)
{
    if (!S_ISREG(inode->mode))
        return S_ISDIR(inode->mode) ? -EISDIR : -EINVAL;
    lock_take(&inode->lock);
    bool same = inode->size == size;
    lock_drop(&inode->lock);
    int rc = same ? 0 : block_truncate(cache, inode, size);
    return rc ? rc : file_prepare(cache, inode);
}

int cache_setattr(struct cache *cache, uint64_t ino, struct cache_file *file, unsigned set, const struct cache_attr *to,
                  struct cache_attr *attr, struct cache_wait *wait)
{
    (void)file;
    int rc = file_may_write(cache);
    struct inode *inode = rc ? NULL : inode_get(cache, ino);
    if (!inode)
        return rc ? rc : -ESTALE;
    if (!inode->known)
        rc = fetch_meta(cache, inode, wait);
    if (!rc && (set & CACHE_SET_SIZE))
        rc = set_size(cache, inode, to->size);
    if (!rc) {
        db_begin(cache);
        if (set & CACHE_SET_SIZE)
            file_commit_tx(cache, inode);
        store(cache, inode, set, to);
        rc = db_commit(cache);
    }
    if (!rc)
        inode_attr(cache, inode, attr);
    inode_put(cache, inode);
    return rc;
}

int cache_statfs(struct cache *cache, struct cache_statfs *result)
{
    uint64_t used = block_disk_used(cache), limit = cache->config.size_max > used ? cache->config.size_max - used : 0;
    uint64_t disk = evict_disk_free(cache);
    result->bytes_free = limit < disk ? limit : disk;
    db_begin(cache);
    sqlite3_stmt *row = db_query(cache, "SELECT MAX(ino) FROM inode", NULL);
    if (db_step(cache, row)) {
        result->files = (uint64_t)sqlite3_column_int64(row, 0);
        db_done(row);
    }
    return db_commit(cache);
}

#include <errno.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>

#include "cache/cache_op.h"
#include "cache/db.h"
#include "cache/dir.h"
#include "cache/fetch.h"
#include "cache/file.h"
#include "cache/remote_place.h"
#include "cache/todo.h"

/* Takes away a name that stands for this inode. -EAGAIN: it no longer does. */
static int remove_tx(struct cache *cache, uint64_t parent, const char *name, struct inode *child)
{
    size_t length = strlen(name);
    bool directory = S_ISDIR(child->mode);
    if (tree_child_tx(cache, parent, name, length) != child->ino)
        return -EAGAIN;
    if (directory && tree_has_children_tx(cache, child->ino))
        return -ENOTEMPTY;
    struct buf key;
    int rc = cache_op_key_tx(cache, parent, name, length, directory, &key);
    if (!rc) {
        tree_remove_tx(cache, parent, name, length, false);
        todo_gone_tx(cache, key.data, false);
        if (directory)
            remote_place_back_tx(cache, key.data, true);
    }
    buf_fini(&key);
    return rc;
}

static int remove_name(struct cache *cache, uint64_t parent, const char *name, bool directory, struct cache_wait *wait)
{
    int rc = file_may_write(cache);
    if (rc)
        return rc;
    do {
        struct inode *child;
        rc = cache_op_child(cache, parent, name, &child, wait);
        if (rc)
            return rc;
        if (S_ISDIR(child->mode) != directory)
            rc = directory ? -ENOTDIR : -EISDIR;
        /* Whether it is empty only its whole listing can say. */
        if (!rc && directory)
            rc = dir_need(cache, child->ino, NULL, wait);
        if (!rc) {
            db_begin(cache);
            rc = remove_tx(cache, parent, name, child);
            if (rc)
                db_rollback(cache);
            else
                rc = db_commit(cache);
        }
        inode_put(cache, child);
    } while (rc == -EAGAIN);
    return rc;
}

int cache_unlink(struct cache *cache, uint64_t parent, const char *name, struct cache_wait *wait)
{
    return remove_name(cache, parent, name, false, wait);
}

int cache_rmdir(struct cache *cache, uint64_t parent, const char *name, struct cache_wait *wait)
{
    return remove_name(cache, parent, name, true, wait);
}

int cache_readlink(struct cache *cache, uint64_t ino, char *target, size_t size, struct cache_wait *wait)
{
    struct inode *inode = inode_get(cache, ino);
    if (!inode)
        return -ESTALE;
    int rc = inode->known ? 0 : fetch_meta(cache, inode, wait);
    if (!rc) {
        lock_take(&inode->lock);
        if (!S_ISLNK(inode->mode) || !inode->target)
            rc = -EINVAL;
        else if (strlen(inode->target) >= size)
            rc = -ENAMETOOLONG;
        else
            memcpy(target, inode->target, strlen(inode->target) + 1);
        lock_drop(&inode->lock);
    }
    inode_put(cache, inode);
    return rc;
}

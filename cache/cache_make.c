/*
 * Operations that make a name: one transaction each, with what is to be pushed in it.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "cache/block_internal.h"
#include "cache/cache_op.h"
#include "cache/db.h"
#include "cache/dir.h"
#include "cache/fetch.h"
#include "cache/file.h"
#include "cache/name.h"
#include "cache/remote_place.h"
#include "cache/todo.h"

#define LINKS_MAX 65000 /* as ext4 */

int cache_op_parent_tx(struct cache *cache, uint64_t parent, size_t name_length, bool slash, struct inode **directory)
{
    struct inode *inode = inode_get_tx(cache, parent);
    if (!inode)
        return -ENOENT;
    struct buf key = BUF_INIT(65536);
    int rc = inode->removed ? -ENOENT : S_ISDIR(inode->mode) ? 0 : -ENOTDIR;
    if (!rc)
        rc = tree_dir_key_tx(cache, parent, &key);
    if (!rc && key.length + name_length + slash > S3_KEY_MAX)
        rc = -ENAMETOOLONG;
    buf_fini(&key);
    if (rc) {
        inode_put(cache, inode);
        return rc == -ESTALE ? -ENOENT : rc;
    }
    *directory = inode;
    return 0;
}

int cache_op_key_tx(struct cache *cache, uint64_t parent, const char *name, size_t length, bool slash, struct buf *key)
{
    *key = (struct buf)BUF_INIT(65536);
    int rc = tree_dir_key_tx(cache, parent, key);
    buf_append(key, name, length);
    if (slash)
        buf_putc(key, '/');
    else if (!rc)
        remote_place_key_tx(cache, tree_child_tx(cache, parent, name, length), key);
    return rc ? rc : key->failed ? -ENOMEM : 0;
}

/* Before the transaction: is making names allowed, is this name, and is it known whether it is there already? */
static int may_make(struct cache *cache, uint64_t parent, const char *name, struct cache_wait *wait)
{
    int rc = file_may_write(cache);
    if (!rc)
        rc = name_check(name, strlen(name));
    if (!rc)
        rc = evict_room_for_names(cache);
    if (!rc)
        rc = cache_op_listed(cache, parent, name, wait);
    return rc;
}

static void owner(const struct inode *directory, const struct cache_caller *caller, struct inode *model)
{
    model->uid = caller->uid;
    model->gid = caller->gid;
    if (directory->mode & S_ISGID) {
        model->gid = directory->gid;
        if (S_ISDIR(model->mode))
            model->mode |= S_ISGID;
    }
}

static bool needs_object(const struct cache *cache, const struct inode *model)
{
    const struct cache_config *config = &cache->config;
    return S_ISDIR(model->mode) && (model->mode != (S_IFDIR | config->dir_mode) || model->uid != config->uid || model->gid != config->gid);
}

/* Makes an inode and its name. *made is held. */
static int make(struct cache *cache, uint64_t parent, const char *name, struct inode *model, const struct cache_caller *caller, struct inode **made)
{
    size_t length = strlen(name);
    struct inode *directory = NULL, *inode = NULL;
    db_begin(cache);
    int rc = cache_op_parent_tx(cache, parent, length, S_ISDIR(model->mode), &directory);
    if (!rc && tree_child_tx(cache, parent, name, length))
        rc = -EEXIST;
    if (rc) {
        db_rollback(cache);
        inode_put(cache, directory);
        return rc;
    }
    owner(directory, caller, model);
    model->mtime = model->ctime = model->atime = inode_now();
    model->known = true;
    model->data_version = model->meta_version = 1;
    model->explicit_object = needs_object(cache, model);
    inode = inode_new_tx(cache, model);
    if (inode) {
        tree_add_tx(cache, parent, name, length, inode, false);
        if (S_ISDIR(model->mode))
            dir_made_tx(cache, inode->ino);
        todo_inode_tx(cache, inode->ino, false);
    }
    rc = db_commit(cache);
    inode_put(cache, directory);
    if (rc) {
        inode_put(cache, inode);
        return rc;
    }
    *made = inode;
    return 0;
}

static int make_and_show(struct cache *cache, uint64_t parent, const char *name, struct inode *model, const struct cache_caller *caller,
                         struct cache_attr *attr, struct cache_wait *wait)
{
    struct inode *inode;
    int rc = may_make(cache, parent, name, wait);
    if (!rc)
        rc = make(cache, parent, name, model, caller, &inode);
    if (rc)
        return rc;
    inode_shown(cache, inode);
    inode_attr(cache, inode, attr);
    inode_put(cache, inode);
    return 0;
}

int cache_mkdir(struct cache *cache, uint64_t parent, const char *name, uint32_t mode, const struct cache_caller *caller,
                struct cache_attr *attr, struct cache_wait *wait)
{
    struct inode model = { .mode = S_IFDIR | (mode & 07777) };
    return make_and_show(cache, parent, name, &model, caller, attr, wait);
}

int cache_mknod(struct cache *cache, uint64_t parent, const char *name, uint32_t mode, uint64_t rdev, const struct cache_caller *caller,
                struct cache_attr *attr, struct cache_wait *wait)
{
    struct inode model = { .mode = mode, .rdev = S_ISBLK(mode) || S_ISCHR(mode) ? rdev : 0 };
    if (!(mode & S_IFMT))
        model.mode |= S_IFREG;
    if (S_ISDIR(model.mode) || S_ISLNK(model.mode))
        return -EINVAL;
    return make_and_show(cache, parent, name, &model, caller, attr, wait);
}

int cache_symlink(struct cache *cache, uint64_t parent, const char *name, const char *target, const struct cache_caller *caller,
                  struct cache_attr *attr, struct cache_wait *wait)
{
    char copy[PATH_MAX];
    size_t length = strlen(target);
    if (!length)
        return -ENOENT;
    if (length >= PATH_MAX)
        return -ENAMETOOLONG;
    memcpy(copy, target, length + 1);
    struct inode model = { .mode = S_IFLNK | 0777, .target = copy, .size = length };
    return make_and_show(cache, parent, name, &model, caller, attr, wait);
}

/* ---- create ---- */

static int open_existing(struct cache *cache, struct inode *inode, int flags, struct cache_attr *attr, struct cache_file **file, struct cache_wait *wait)
{
    bool keep;
    int rc = inode->known ? 0 : fetch_meta(cache, inode, wait);
    if (!rc && S_ISLNK(inode->mode))
        rc = -ELOOP;
    if (!rc)
        rc = cache_open_file(cache, inode->ino, flags, file, &keep, wait);
    if (!rc) {
        inode_shown(cache, inode);
        inode_attr(cache, inode, attr);
    }
    return rc;
}

int cache_create(struct cache *cache, uint64_t parent, const char *name, uint32_t mode, int flags, const struct cache_caller *caller,
                 struct cache_attr *attr, struct cache_file **file, struct cache_wait *wait)
{
    int rc = -EEXIST;
    /* Somebody may make or remove it in between. */
    for (int i = 0; i < CACHE_OP_TRIES_MAX && rc == -EEXIST; i++) {
        struct inode *inode = NULL;
        uint64_t there = 0;
        rc = tree_lookup(cache, parent, name, strlen(name), &there);
        if (rc)
            return rc;
        if (there && !(flags & O_EXCL)) {
            inode = inode_get(cache, there);
            rc = inode ? open_existing(cache, inode, flags, attr, file, wait) : -EEXIST;
            inode_put(cache, inode);
            continue;
        }
        rc = may_make(cache, parent, name, wait);
        struct inode model = { .mode = S_IFREG | (mode & 07777) };
        if (!rc)
            rc = make(cache, parent, name, &model, caller, &inode);
        if (rc && (flags & O_EXCL))
            return rc;
        if (rc)
            continue;
        inode_shown(cache, inode);
        inode_attr(cache, inode, attr);
        *file = file_new(cache, inode, flags & ~(O_CREAT | O_EXCL | O_TRUNC));
        rc = *file ? 0 : -ENOMEM;
    }
    return rc == -EEXIST ? -EIO : rc; /* the name is there, and the index does not give its inode */
}

int cache_tmpfile(struct cache *cache, uint64_t parent, uint32_t mode, int flags, const struct cache_caller *caller, struct cache_attr *attr,
                  struct cache_file **file)
{
    struct inode *directory = NULL, *inode = NULL;
    struct inode model = { .mode = S_IFREG | (mode & 07777), .known = true, .data_version = 1, .meta_version = 1 };
    int rc = file_may_write(cache);
    if (!rc)
        rc = evict_room_for_names(cache);
    if (rc)
        return rc;
    db_begin(cache);
    rc = cache_op_parent_tx(cache, parent, 0, false, &directory);
    if (!rc) {
        owner(directory, caller, &model);
        model.mtime = model.ctime = model.atime = inode_now();
        inode = inode_new_nameless_tx(cache, &model, !(flags & O_EXCL));
        rc = inode ? 0 : -ENOMEM;
    }
    int committed = db_commit(cache);
    inode_put(cache, directory);
    if (rc || committed) {
        inode_put(cache, inode);
        return rc ? rc : committed;
    }
    inode_shown(cache, inode);
    inode_attr(cache, inode, attr);
    *file = file_new(cache, inode, flags);
    return *file ? 0 : -ENOMEM;
}

/* ---- link ---- */

/* A nameless file becomes an ordinary one: its row and the rows of its bytes come with its name. */
static int link_tx(struct cache *cache, struct inode *inode, uint64_t parent, const char *name)
{
    struct inode *directory = NULL;
    size_t length = strlen(name);
    int rc = cache_op_parent_tx(cache, parent, length, false, &directory);
    inode_put(cache, directory);
    if (rc)
        return rc;
    if (tree_child_tx(cache, parent, name, length))
        return -EEXIST;
    if (inode->removed) {
        if (!inode->linkable)
            return -ENOENT;
        inode_revive_tx(cache, inode);
    }
    struct inode values;
    inode_values_tx(cache, inode, &values);
    if (values.nlink >= LINKS_MAX)
        return -EMLINK;
    tree_add_tx(cache, parent, name, length, inode, false);
    file_commit_tx(cache, inode);
    todo_inode_tx(cache, inode->ino, false);
    return 0;
}

int cache_link(struct cache *cache, uint64_t ino, uint64_t parent, const char *name, struct cache_attr *attr, struct cache_wait *wait)
{
    struct inode *inode = inode_get(cache, ino);
    if (!inode)
        return -ESTALE;
    int rc = S_ISDIR(inode->mode) ? -EPERM : inode->known ? 0 : fetch_meta(cache, inode, wait);
    if (!rc)
        rc = may_make(cache, parent, name, wait);
    if (!rc && inode->removed)
        rc = block_checksum(cache, inode);
    if (!rc) {
        db_begin(cache);
        rc = link_tx(cache, inode, parent, name);
        if (rc)
            db_rollback(cache);
        else
            rc = db_commit(cache);
    }
    if (!rc) {
        inode_shown(cache, inode);
        inode_attr(cache, inode, attr);
    }
    inode_put(cache, inode);
    return rc;
}

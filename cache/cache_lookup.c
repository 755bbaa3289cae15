#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "cache/cache_op.h"
#include "cache/db.h"
#include "cache/dir.h"
#include "cache/fetch.h"
#include "cache/name.h"

#define AHEAD_MAX 256

int cache_op_listed(struct cache *cache, uint64_t parent, const char *name, struct cache_wait *wait)
{
    uint64_t ino = 0;
    int rc = dir_need(cache, parent, name, wait);
    return rc < 0 && tree_lookup(cache, parent, name, strlen(name), &ino) == 0 && ino ? 0 : rc;
}

int cache_op_child(struct cache *cache, uint64_t parent, const char *name, struct inode **child, struct cache_wait *wait)
{
    size_t length = strlen(name);
    int rc = name_check(name, length);
    if (rc)
        return rc == -ENAMETOOLONG ? rc : -ENOENT;
    for (int i = 0; i < CACHE_OP_TRIES_MAX; i++) {
        /* A name that an earlier mount knew counts only when this one has listed its directory. */
        rc = cache_op_listed(cache, parent, name, wait);
        if (rc)
            return rc;
        uint64_t ino = 0;
        rc = tree_lookup(cache, parent, name, length, &ino);
        if (rc || !ino)
            return rc ? rc : -ENOENT;
        *child = inode_get(cache, ino);
        if (*child)
            return 0;
    }
    return -EIO; /* the name is there, and the index does not give its inode */
}

int cache_lookup(struct cache *cache, uint64_t parent, const char *name, struct cache_attr *attr, struct cache_wait *wait)
{
    struct inode *inode;
    int rc = cache_op_child(cache, parent, name, &inode, wait);
    if (rc)
        return rc;
    if (!inode->known)
        rc = fetch_meta(cache, inode, wait);
    if (!rc) {
        inode_shown(cache, inode);
        inode_attr(cache, inode, attr);
    }
    inode_put(cache, inode);
    return rc;
}

void cache_forget(struct cache *cache, uint64_t ino)
{
    inode_forgotten(cache, ino);
}

/* ---- listings ---- */

struct reading {
    uint64_t unknown[AHEAD_MAX];
    size_t unknown_count;
};

static bool fill(struct cache *cache, sqlite3_stmt *row, struct cache_dirent *entry, struct reading *reading)
{
    size_t length = (size_t)sqlite3_column_bytes(row, 1);
    struct inode *inode = inode_get_tx(cache, (uint64_t)sqlite3_column_int64(row, 2));
    if (!inode || length > CACHE_NAME_MAX) {
        inode_put(cache, inode);
        return false;
    }
    entry->cookie = (uint64_t)sqlite3_column_int64(row, 0);
    entry->length = (uint16_t)length;
    memcpy(entry->name, sqlite3_column_blob(row, 1), length);
    entry->name[length] = '\0';
    entry->known = inode->known;
    inode_attr(cache, inode, &entry->attr);
    if (!inode->known)
        entry->attr.mode = 0; /* not even the type is known: a program that was told one would believe it */
    if (inode->known)
        inode_shown(cache, inode);
    else if (reading->unknown_count < AHEAD_MAX)
        reading->unknown[reading->unknown_count++] = inode->ino;
    inode_put(cache, inode);
    return true;
}

int cache_readdir(struct cache *cache, uint64_t ino, uint64_t cookie, struct cache_dirent *entries, size_t capacity, size_t *count,
                  struct cache_wait *wait)
{
    int rc = dir_need(cache, ino, NULL, wait);
    if (rc)
        return rc;
    struct reading reading = { .unknown_count = 0 };
    size_t n = 0;
    db_begin(cache);
    sqlite3_stmt *row = db_query(cache, "SELECT id, name, ino FROM dentry WHERE parent = ? AND id > ? ORDER BY id LIMIT ?", "iii", (int64_t)ino,
                                 (int64_t)cookie, (int64_t)capacity);
    while (db_step(cache, row))
        if (fill(cache, row, &entries[n], &reading))
            n++;
    rc = db_commit(cache);
    if (rc)
        return rc;
    if (reading.unknown_count)
        fetch_meta_ahead(cache, reading.unknown, reading.unknown_count);
    *count = n;
    return 0;
}

int cache_parent(struct cache *cache, uint64_t ino, uint64_t *parent)
{
    db_begin(cache);
    uint64_t found = tree_parent_tx(cache, ino);
    int rc = db_commit(cache);
    if (rc)
        return rc;
    if (!found)
        return -ESTALE;
    *parent = found;
    return 0;
}

uint64_t cache_dir_version(struct cache *cache, uint64_t ino)
{
    struct inode *inode = inode_get(cache, ino);
    uint64_t version = inode ? inode->dir_version : 0;
    inode_put(cache, inode);
    return version;
}

int cache_find(struct cache *cache, const char *path, uint64_t *ino)
{
    uint64_t at = CACHE_ROOT;
    db_begin(cache);
    while (at && *path) {
        size_t length = strcspn(path, "/");
        if (length && !(length == 1 && path[0] == '.'))
            at = tree_child_tx(cache, at, path, length);
        path += length + (path[length] == '/');
    }
    int rc = db_commit(cache);
    if (rc)
        return rc;
    if (!at)
        return -ENOENT;
    *ino = at;
    return 0;
}

#include "cache/tree.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "cache/db.h"
#include "cache/dir.h"
#include "cache/name.h"
#include "cache/tree_internal.h"

/* ---- looking ---- */

uint64_t tree_child_tx(struct cache *cache, uint64_t parent, const char *name, size_t length)
{
    uint64_t ino = 0;
    sqlite3_stmt *row = db_query(cache, "SELECT ino FROM dentry WHERE parent = ? AND name = ?", "ib", (int64_t)parent, name, length);
    if (db_step(cache, row)) {
        ino = (uint64_t)sqlite3_column_int64(row, 0);
        db_done(row);
    }
    return ino;
}

int tree_lookup(struct cache *cache, uint64_t parent, const char *name, size_t length, uint64_t *ino)
{
    if (names_get(&cache->tree->names, parent, name, length, ino))
        return 0;
    db_begin(cache);
    uint64_t found = tree_child_tx(cache, parent, name, length);
    /* Still under the lock: nobody can have changed the name since it was read. */
    if (!db_failed(cache) && !names_get(&cache->tree->names, parent, name, length, &(uint64_t){ 0 }))
        names_put(&cache->tree->names, parent, name, length, found);
    int rc = db_commit(cache);
    if (rc)
        names_drop(&cache->tree->names, parent, name, length);
    else
        *ino = found;
    return rc;
}

bool tree_has_children_tx(struct cache *cache, uint64_t parent)
{
    sqlite3_stmt *row = db_query(cache, "SELECT 1 FROM dentry WHERE parent = ? LIMIT 1", "i", (int64_t)parent);
    bool found = db_step(cache, row);
    if (found)
        db_done(row);
    return found;
}

uint64_t tree_parent_tx(struct cache *cache, uint64_t ino)
{
    if (ino == CACHE_ROOT)
        return CACHE_ROOT;
    uint64_t parent = 0;
    sqlite3_stmt *row = db_query(cache, "SELECT parent FROM dentry WHERE ino = ? LIMIT 1", "i", (int64_t)ino);
    if (db_step(cache, row)) {
        parent = (uint64_t)sqlite3_column_int64(row, 0);
        db_done(row);
    }
    return parent;
}

/* ---- news ---- */

struct news {
    uint64_t parent;
    bool directory_gone;
    size_t length;
    char name[];
};

static void send_news(struct cache *cache, void *arg, bool committed)
{
    struct news *news = arg;
    if (committed && cache->config.events.name)
        cache->config.events.name(cache->config.events.arg, news->parent, news->name, news->length, news->directory_gone);
    free(news);
}

static void tell_name(struct cache *cache, uint64_t parent, const char *name, size_t length, bool directory_gone)
{
    struct news *news = malloc(sizeof *news + length + 1);
    if (!news) {
        db_fail(cache, -ENOMEM);
        return;
    }
    *news = (struct news){ parent, directory_gone, length };
    memcpy(news->name, name, length);
    news->name[length] = '\0';
    db_after(cache, send_news, news);
}

/* ---- changing ---- */

/* A directory's own row after a name in it changed. */
static void touch(struct cache *cache, uint64_t ino, int links, bool times)
{
    struct inode *directory = inode_get_tx(cache, ino);
    if (!directory) {
        db_fail(cache, -ENOENT);
        return;
    }
    struct inode values;
    inode_values_tx(cache, directory, &values);
    if (times)
        values.mtime = values.ctime = inode_now();
    values.nlink = (uint32_t)((int64_t)values.nlink + links);
    inode_store_tx(cache, directory, &values, (times ? INODE_TIMES : 0u) | INODE_LINKS);
    inode_names_changed_tx(cache, directory);
    inode_put(cache, directory);
}

static void insert(struct cache *cache, uint64_t parent, const char *name, size_t length, uint64_t ino)
{
    names_drop(&cache->tree->names, parent, name, length);
    db_run(cache, "INSERT INTO dentry(parent, id, name, ino) VALUES(?, ?, ?, ?)", "iibi", (int64_t)parent, db_next(cache, DB_DENTRY), name, length, (int64_t)ino);
}

static void erase(struct cache *cache, uint64_t parent, const char *name, size_t length)
{
    names_drop(&cache->tree->names, parent, name, length);
    db_run(cache, "DELETE FROM dentry WHERE parent = ? AND name = ?", "ib", (int64_t)parent, name, length);
}

/* One name more or less for an inode. */
static void count_link(struct cache *cache, struct inode *inode, int links)
{
    if (inode->unnamed && links > 0) {
        inode->unnamed = false;
        return;
    }
    struct inode values;
    inode_values_tx(cache, inode, &values);
    values.ctime = inode_now();
    if (S_ISDIR(values.mode))
        values.nlink = links > 0 ? 2 : 0;
    else
        values.nlink = (uint32_t)((int64_t)values.nlink + links);
    if (values.nlink == 0) {
        inode_removed_tx(cache, inode);
        if (S_ISDIR(values.mode))
            tree_keys_changed_tx(cache);
    }
    inode_store_tx(cache, inode, &values, INODE_TIMES | INODE_LINKS);
}

static void add(struct cache *cache, uint64_t parent, const char *name, size_t length, struct inode *inode, bool tell, bool times)
{
    uint64_t old = tree_child_tx(cache, parent, name, length);
    if (old == inode->ino)
        return;
    if (old)
        tree_remove_tx(cache, parent, name, length, false);
    insert(cache, parent, name, length, inode->ino);
    count_link(cache, inode, 1);
    touch(cache, parent, S_ISDIR(inode->mode) ? 1 : 0, times);
    if (tell)
        tell_name(cache, parent, name, length, false);
}

void tree_add_tx(struct cache *cache, uint64_t parent, const char *name, size_t length, struct inode *inode, bool tell)
{
    add(cache, parent, name, length, inode, tell, true);
}

void tree_found_tx(struct cache *cache, uint64_t parent, const char *name, size_t length, struct inode *inode, bool tell)
{
    add(cache, parent, name, length, inode, tell, dir_was_listed_tx(cache, parent));
}

void tree_remove_tx(struct cache *cache, uint64_t parent, const char *name, size_t length, bool tell)
{
    uint64_t ino = tree_child_tx(cache, parent, name, length);
    struct inode *inode = ino ? inode_get_tx(cache, ino) : NULL;
    if (!inode) {
        if (ino)
            db_fail(cache, -EUCLEAN);
        return;
    }
    bool directory = S_ISDIR(inode->mode);
    erase(cache, parent, name, length);
    count_link(cache, inode, -1);
    touch(cache, parent, directory ? -1 : 0, true);
    if (tell)
        tell_name(cache, parent, name, length, directory);
    inode_put(cache, inode);
}

void tree_move_tx(struct cache *cache, uint64_t parent, const char *name, size_t length, uint64_t new_parent,
                  const char *new_name, size_t new_length, bool tell)
{
    uint64_t ino = tree_child_tx(cache, parent, name, length);
    struct inode *inode = ino ? inode_get_tx(cache, ino) : NULL;
    if (!inode) {
        db_fail(cache, ino ? -EUCLEAN : -ENOENT);
        return;
    }
    int links = S_ISDIR(inode->mode) ? 1 : 0;
    if (tree_child_tx(cache, new_parent, new_name, new_length))
        tree_remove_tx(cache, new_parent, new_name, new_length, false);
    erase(cache, parent, name, length);
    insert(cache, new_parent, new_name, new_length, ino);
    if (links)
        tree_keys_changed_tx(cache);
    struct inode values;
    inode_values_tx(cache, inode, &values);
    values.ctime = inode_now();
    inode_store_tx(cache, inode, &values, INODE_TIMES);
    touch(cache, parent, parent == new_parent ? 0 : -links, true);
    if (parent != new_parent)
        touch(cache, new_parent, links, true);
    if (tell) {
        tell_name(cache, parent, name, length, false);
        tell_name(cache, new_parent, new_name, new_length, false);
    }
    inode_put(cache, inode);
}

static void point(struct cache *cache, uint64_t parent, const char *name, size_t length, struct inode *inode)
{
    names_drop(&cache->tree->names, parent, name, length);
    db_run(cache, "UPDATE dentry SET ino = ? WHERE parent = ? AND name = ?", "iib", (int64_t)inode->ino, (int64_t)parent, name, length);
    struct inode values;
    inode_values_tx(cache, inode, &values);
    values.ctime = inode_now();
    inode_store_tx(cache, inode, &values, INODE_TIMES);
}

void tree_exchange_tx(struct cache *cache, uint64_t parent, const char *name, size_t length, uint64_t other_parent,
                      const char *other_name, size_t other_length, bool tell)
{
    uint64_t a = tree_child_tx(cache, parent, name, length), b = tree_child_tx(cache, other_parent, other_name, other_length);
    struct inode *first = a ? inode_get_tx(cache, a) : NULL, *second = b ? inode_get_tx(cache, b) : NULL;
    if (first && second && first != second) {
        int links = (S_ISDIR(second->mode) ? 1 : 0) - (S_ISDIR(first->mode) ? 1 : 0);
        point(cache, parent, name, length, second);
        point(cache, other_parent, other_name, other_length, first);
        if (S_ISDIR(first->mode) || S_ISDIR(second->mode))
            tree_keys_changed_tx(cache);
        touch(cache, parent, parent == other_parent ? 0 : links, true);
        if (parent != other_parent)
            touch(cache, other_parent, -links, true);
        if (tell) {
            tell_name(cache, parent, name, length, false);
            tell_name(cache, other_parent, other_name, other_length, false);
        }
    } else if (!first || !second) {
        db_fail(cache, -ENOENT);
    }
    inode_put(cache, first);
    inode_put(cache, second);
}

/* ---- start and end ---- */

int tree_start(struct cache *cache)
{
    cache->tree = calloc(1, sizeof *cache->tree);
    if (!cache->tree)
        return -ENOMEM;
    names_init(&cache->tree->names);
    cache->tree->key_generation = 1;
    return 0;
}

void tree_stop(struct cache *cache)
{
    if (!cache->tree)
        return;
    names_fini(&cache->tree->names);
    free(cache->tree);
    cache->tree = NULL;
}

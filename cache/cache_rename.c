/*
 * rename(2) and renameat2(2). Dentries change in one commit; the bucket follows later, key by key. Before that, everything that moves must be
 * listed: a name that we do not know of could not be told that its key has gone.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "cache/cache_op.h"
#include "cache/db.h"
#include "cache/dir.h"
#include "cache/file.h"
#include "cache/name.h"
#include "cache/remote_place.h"
#include "cache/todo.h"

struct side {
    uint64_t parent;
    const char *name;
    size_t length;
    struct inode *inode; /* held; NULL: there is none */
};

static bool is_dir(const struct side *side)
{
    return side->inode && S_ISDIR(side->inode->mode);
}

/* ---- before the transaction ---- */

/* Every directory at and below ino that is not listed; *unlisted is the caller's. */
static int find_unlisted(struct cache *cache, uint64_t ino, uint64_t **unlisted, size_t *count)
{
    size_t capacity = 0;
    db_begin(cache);
    sqlite3_stmt *row = db_query(cache, "WITH RECURSIVE below(ino) AS (SELECT ? UNION ALL SELECT d.ino FROM dentry d JOIN below b ON d.parent = b.ino)"
                                 " SELECT b.ino FROM below b JOIN inode i ON i.ino = b.ino WHERE (i.mode & ?) = ?", "iii", (int64_t)ino,
                                 (int64_t)S_IFMT, (int64_t)S_IFDIR);
    while (db_step(cache, row)) {
        uint64_t directory = (uint64_t)sqlite3_column_int64(row, 0);
        if (dir_complete_tx(cache, directory))
            continue;
        if (*count == capacity) {
            capacity = capacity ? capacity * 2 : 16;
            uint64_t *grown = realloc(*unlisted, capacity * sizeof *grown);
            if (!grown) {
                db_done(row);
                db_rollback(cache);
                return -ENOMEM;
            }
            *unlisted = grown;
        }
        (*unlisted)[(*count)++] = directory;
    }
    return db_commit(cache);
}

/* What lies below a directory that is being listed is found when that listing is in, so the caller comes again. Where the bucket does not
 * answer, an older listing of a directory is good enough. */
static int need_tree(struct cache *cache, uint64_t ino, struct cache_wait *wait)
{
    uint64_t *unlisted = NULL;
    size_t count = 0;
    int rc = find_unlisted(cache, ino, &unlisted, &count), waits = 0;
    for (size_t i = 0; !rc && i < count; i++) {
        /* One is waited for; the others are on their way meanwhile. */
        int answer = dir_need(cache, unlisted[i], NULL, waits ? NULL : wait);
        if (answer == CACHE_WAIT)
            waits = CACHE_WAIT;
        else if (!waits)
            rc = answer;
    }
    free(unlisted);
    return rc ? rc : waits;
}

static int look(struct cache *cache, struct side *from, struct side *to, unsigned flags, struct cache_wait *wait)
{
    int rc = cache_op_child(cache, from->parent, from->name, &from->inode, wait);
    if (rc)
        return rc;
    rc = cache_op_child(cache, to->parent, to->name, &to->inode, wait);
    if (rc && rc != -ENOENT)
        return rc;
    if (rc == -ENOENT && (flags & RENAME_EXCHANGE))
        return rc;
    rc = is_dir(from) ? need_tree(cache, from->inode->ino, wait) : 0;
    if (!rc && is_dir(to))
        rc = flags & RENAME_EXCHANGE ? need_tree(cache, to->inode->ino, wait) : dir_need(cache, to->inode->ino, NULL, wait);
    return rc;
}

/* ---- inside ---- */

/* Is ino this directory, or does it lie below it? */
static bool is_below(struct cache *cache, uint64_t ino, uint64_t directory)
{
    while (ino && ino != directory && ino != CACHE_ROOT)
        ino = tree_parent_tx(cache, ino);
    return ino == directory;
}

/* The longest key below a directory, relative to it. */
static size_t longest_below(struct cache *cache, uint64_t ino)
{
    size_t longest = 0;
    sqlite3_stmt *row = db_query(cache, "WITH RECURSIVE below(ino, length) AS (SELECT ?, 0 UNION ALL SELECT d.ino, b.length + length(d.name) + 1"
                                 " FROM dentry d JOIN below b ON d.parent = b.ino) SELECT MAX(length) FROM below", "i", (int64_t)ino);
    if (db_step(cache, row)) {
        longest = (size_t)sqlite3_column_int64(row, 0);
        db_done(row);
    }
    return longest;
}

/* Would every key fit when this inode is found under that name? */
static int check_keys(struct cache *cache, const struct side *what, const struct side *where)
{
    struct inode *directory = NULL;
    size_t below = is_dir(what) ? longest_below(cache, what->inode->ino) : 0;
    int rc = cache_op_parent_tx(cache, where->parent, where->length + below, is_dir(what) && !below, &directory);
    inode_put(cache, directory);
    return rc;
}

static int check(struct cache *cache, const struct side *from, const struct side *to, unsigned flags)
{
    bool exchange = flags & RENAME_EXCHANGE;
    if (to->inode && (flags & RENAME_NOREPLACE))
        return -EEXIST;
    if (is_dir(from) && is_below(cache, to->parent, from->inode->ino))
        return -EINVAL;
    if (is_dir(to) && is_below(cache, from->parent, to->inode->ino))
        return exchange ? -EINVAL : -ENOTEMPTY;
    if (to->inode && !exchange) {
        if (is_dir(from) != is_dir(to))
            return is_dir(from) ? -ENOTDIR : -EISDIR;
        if (is_dir(to) && tree_has_children_tx(cache, to->inode->ino))
            return -ENOTEMPTY;
    }
    int rc = check_keys(cache, from, to);
    return rc || !exchange ? rc : check_keys(cache, to, from);
}

static bool is_with(const struct side *from, const struct side *to, const char *suffix)
{
    size_t length = strlen(suffix);
    return from->length == to->length + length && memcmp(from->name, to->name, to->length) == 0 && memcmp(from->name + to->length, suffix, length) == 0;
}

/* X.lock onto X publishes what X.lock prepared, and so does git's packed-refs.new, which is written under packed-refs.lock. */
static bool publishes(const struct side *from, const struct side *to)
{
    return is_with(from, to, ".lock") || is_with(from, to, ".new");
}

/* After the dentries changed: what stands under `now` is to be found there, and nothing of it under the key it had. */
static void tell_pusher(struct cache *cache, const struct side *what, const char *old_key, bool publish)
{
    if (is_dir(what))
        todo_tree_tx(cache, what->inode->ino);
    else
        todo_inode_tx(cache, what->inode->ino, publish);
    todo_gone_tx(cache, old_key, is_dir(what));
}

static int rename_tx(struct cache *cache, const struct side *from, const struct side *to, unsigned flags)
{
    uint64_t there = to->inode ? to->inode->ino : 0;
    if (tree_child_tx(cache, from->parent, from->name, from->length) != from->inode->ino ||
        tree_child_tx(cache, to->parent, to->name, to->length) != there)
        return -EAGAIN;
    /* Two names of one inode: POSIX has both stay. */
    if (from->inode == to->inode)
        return flags & RENAME_NOREPLACE ? -EEXIST : 0;
    int rc = check(cache, from, to, flags);
    if (rc)
        return rc;
    struct buf from_key, to_key;
    rc = cache_op_key_tx(cache, from->parent, from->name, from->length, is_dir(from), &from_key);
    int to_rc = cache_op_key_tx(cache, to->parent, to->name, to->length, is_dir(to), &to_key);
    if (!rc && !to_rc && (flags & RENAME_EXCHANGE)) {
        tree_exchange_tx(cache, from->parent, from->name, from->length, to->parent, to->name, to->length, false);
        tell_pusher(cache, from, from_key.data, false);
        tell_pusher(cache, to, to_key.data, false);
    } else if (!rc && !to_rc) {
        tree_move_tx(cache, from->parent, from->name, from->length, to->parent, to->name, to->length, false);
        tell_pusher(cache, from, from_key.data, publishes(from, to));
        if (is_dir(from))
            remote_place_back_tx(cache, from_key.data, true);
    }
    buf_fini(&from_key);
    buf_fini(&to_key);
    return rc ? rc : to_rc;
}

int cache_rename(struct cache *cache, uint64_t parent, const char *name, uint64_t new_parent, const char *new_name, unsigned flags,
                 struct cache_wait *wait)
{
    if ((flags & ~(unsigned)(RENAME_NOREPLACE | RENAME_EXCHANGE)) || flags == (RENAME_NOREPLACE | RENAME_EXCHANGE))
        return -EINVAL;
    int rc = file_may_write(cache);
    if (!rc)
        rc = name_check(new_name, strlen(new_name));
    if (rc)
        return rc;
    do {
        struct side from = { parent, name, strlen(name), NULL }, to = { new_parent, new_name, strlen(new_name), NULL };
        rc = look(cache, &from, &to, flags, wait);
        if (!rc) {
            db_begin(cache);
            rc = rename_tx(cache, &from, &to, flags);
            if (rc)
                db_rollback(cache);
            else
                rc = db_commit(cache);
        }
        inode_put(cache, from.inode);
        inode_put(cache, to.inode);
    } while (rc == -EAGAIN);
    return rc;
}

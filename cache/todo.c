/*
 * Rows of todo, and their copies in the pusher's memory. An unlink or rename asks here whether the bucket has to hear of
 * it at all: what never left this machine goes without a trace.
 */
#include "cache/todo.h"

#include <string.h>

#include "cache/db.h"
#include "cache/name.h"
#include "cache/push.h"
#include "cache/tree.h"
#include "s3/base/clock.h"

/* first and first_ms stay those of the oldest change that is still pending. */
static void want(struct cache *cache, enum todo_kind kind, uint64_t ino, const char *key, bool publish)
{
    static const char by_ino[] = "INSERT INTO todo(kind, target, first, last, changed_ms, first_ms, publish) VALUES(?1, ?2, ?3, ?3, ?4, ?4, ?5)"
        " ON CONFLICT(kind, target) DO UPDATE SET last = excluded.last, changed_ms = excluded.changed_ms, publish = max(publish, excluded.publish)";
    static const char by_key[] = "INSERT INTO todo(kind, target, first, last, changed_ms, first_ms) VALUES(?1, ?2, ?3, ?3, ?4, ?4)"
        " ON CONFLICT(kind, target) DO UPDATE SET last = excluded.last, changed_ms = excluded.changed_ms";
    int64_t sequence = db_next(cache, DB_SEQUENCE), now = clock_wall_ms();
    if (key)
        db_run(cache, by_key, "izii", (int64_t)kind, key, sequence, now);
    else
        db_run(cache, by_ino, "iiiii", (int64_t)kind, (int64_t)ino, sequence, now, (int64_t)publish);
    push_wanted_tx(cache, (int)kind, ino, key, sequence, publish);
}

void todo_inode_tx(struct cache *cache, uint64_t ino, bool publish)
{
    want(cache, TODO_INODE, ino, NULL, publish);
}

void todo_tree_tx(struct cache *cache, uint64_t ino)
{
    want(cache, TODO_TREE, ino, NULL, false);
}

/* The directory that a key lies in by today's names, and the key's own name in it; 0: there is none. */
static uint64_t parent_of(struct cache *cache, const char *key, const char **name, size_t *length)
{
    const char *relative = name_relative(cache, key);
    if (!relative)
        return 0;
    size_t end = strlen(relative);
    if (end > 0 && relative[end - 1] == '/')
        end--;
    size_t start = end;
    while (start > 0 && relative[start - 1] != '/')
        start--;
    *name = relative + start;
    *length = end - start;
    if (start == 0)
        return CACHE_ROOT;
    char parent[S3_KEY_MAX + 1];
    size_t parent_length = (size_t)(*name - key);
    if (parent_length > S3_KEY_MAX)
        return 0;
    memcpy(parent, key, parent_length);
    parent[parent_length] = '\0';
    return tree_find_tx(cache, parent);
}

static bool exists(struct cache *cache, sqlite3_stmt *stmt)
{
    bool found = db_step(cache, stmt);
    if (found)
        db_done(stmt);
    return found;
}

/* Does the bucket hold this key, or may a request that is under way still bring it there? */
static bool in_bucket(struct cache *cache, const char *key)
{
    return db_run(cache, "UPDATE remote SET gone = 1 WHERE key = ? AND etag IS NOT NULL", "z", key) > 0 ||
           exists(cache, db_query(cache, "SELECT 1 FROM attempt WHERE key = ? LIMIT 1", "z", key));
}

/* The same for everything below "dir/": '0' follows '/' in byte order. */
static bool tree_in_bucket(struct cache *cache, const char *key)
{
    char high[S3_KEY_MAX + 1];
    size_t length = strlen(key);
    if (length == 0 || length > S3_KEY_MAX)
        return false;
    memcpy(high, key, length + 1);
    high[length - 1]++;
    return exists(cache, db_query(cache, "SELECT 1 FROM remote WHERE key >= ? AND key < ? AND etag IS NOT NULL LIMIT 1", "zz", key, high)) ||
           exists(cache, db_query(cache, "SELECT 1 FROM attempt WHERE key >= ? AND key < ? LIMIT 1", "zz", key, high));
}

void todo_gone_tx(struct cache *cache, const char *key, bool tree)
{
    const char *name = NULL;
    size_t length = 0;
    uint64_t parent = parent_of(cache, key, &name, &length);
    if (parent && tree_find_tx(cache, key))
        return; /* another took the name: it is put over */
    if (parent && parent != CACHE_ROOT && !tree_has_children_tx(cache, parent)) {
        /* The last name of a directory that only its children stood for: it needs an object of its own, and needs it
         * before they go, hence this smaller number. */
        want(cache, TODO_INODE, parent, NULL, false);
    }
    if (tree ? tree_in_bucket(cache, key) : in_bucket(cache, key))
        want(cache, tree ? TODO_GONE_TREE : TODO_GONE, 0, key, false);
}

void todo_written(struct cache *cache, uint64_t ino)
{
    push_written(cache, ino);
}

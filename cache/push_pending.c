/*
 * Is something of ours pending on a key or an inode? Then what a listing says of it has to wait. Memory is never behind the
 * rows; before the pusher runs, and on a read-only mount, the rows alone say it.
 */
#include <string.h>

#include "cache/db.h"
#include "cache/push_state.h"
#include "cache/tree.h"

static bool has_tx(struct cache *cache, enum todo_kind kind, uint64_t ino, const char *key)
{
    struct push *push = cache->push;
    if (push) {
        lock_take(&push->lock);
        const struct push_item *item = push_queue_find(&push->queue, kind, ino, key);
        bool found = item && (!item->dropped || item->written);
        lock_drop(&push->lock);
        return found;
    }
    sqlite3_stmt *row = key ? db_query(cache, "SELECT 1 FROM todo WHERE kind = ? AND target = ?", "iz", (int64_t)kind, key)
                            : db_query(cache, "SELECT 1 FROM todo WHERE kind = ? AND target = ?", "ii", (int64_t)kind, (int64_t)ino);
    bool found = db_step(cache, row);
    if (found)
        db_done(row);
    return found;
}

/* A directory of which this inode is a part was renamed, and not everything below has been looked at yet. */
static bool moved_with_parent_tx(struct cache *cache, uint64_t ino)
{
    struct push *push = cache->push;
    bool any = true;
    if (push) {
        lock_take(&push->lock);
        any = push->queue.trees > 0;
        lock_drop(&push->lock);
    }
    while (any && ino) {
        if (has_tx(cache, TODO_TREE, ino, NULL))
            return true;
        if (ino == CACHE_ROOT)
            break;
        ino = tree_parent_tx(cache, ino);
    }
    return false;
}

bool push_pending_inode_tx(struct cache *cache, uint64_t ino)
{
    return has_tx(cache, TODO_INODE, ino, NULL) || moved_with_parent_tx(cache, ino);
}

bool push_pending_key_tx(struct cache *cache, const char *key)
{
    char directory[S3_KEY_MAX + 1];
    if (strlen(key) > S3_KEY_MAX)
        return false;
    if (has_tx(cache, TODO_GONE, 0, key))
        return true;
    for (const char *slash = strchr(key, '/'); slash; slash = strchr(slash + 1, '/')) {
        memcpy(directory, key, (size_t)(slash - key) + 1);
        directory[slash - key + 1] = '\0';
        if (has_tx(cache, TODO_GONE_TREE, 0, directory))
            return true;
    }
    uint64_t ino = tree_find_tx(cache, key);
    return ino && push_pending_inode_tx(cache, ino);
}

bool push_busy_since_tx(struct cache *cache, const char *key, int64_t stamp)
{
    return cache->push && push_key_busy_since(cache->push, key, stamp);
}

bool push_busy_below_tx(struct cache *cache, const char *prefix, int64_t stamp)
{
    return cache->push && push_key_busy_below(cache->push, prefix, stamp);
}

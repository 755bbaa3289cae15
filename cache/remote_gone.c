/*
 * What is no more: names go with their objects, directories with what stood for them. Only who has been told by the bucket itself,
 * by a 404 or an empty listing of just this, calls here.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "cache/db.h"
#include "cache/dir.h"
#include "cache/push.h"
#include "cache/remote_apply.h"

#define EMPTY_BATCH 256

/* Removes directories that nothing stands for any more, from this one upwards. empty: the bucket was just seen to have nothing in it. */
static void prune(struct cache *cache, uint64_t ino, bool empty)
{
    struct buf key = BUF_INIT(S3_KEY_MAX + 1);
    while (ino != CACHE_ROOT && !tree_has_children_tx(cache, ino) && (empty || dir_complete_tx(cache, ino)) &&
           !push_pending_inode_tx(cache, ino)) {
        struct remote row;
        struct remote_place place;
        buf_reset(&key);
        if (tree_key_tx(cache, ino, &key) < 0)
            break;
        bool has_object = remote_get_tx(cache, key.data, &row);
        if (has_object) {
            has_object = row.etag != NULL;
            remote_fini(&row);
        }
        if (has_object || push_pending_key_tx(cache, key.data) || !remote_place_tx(cache, key.data, 0, false, false, &place) ||
            place.ino != ino)
            break;
        tree_remove_tx(cache, place.parent, place.name, place.length, true);
        remote_place_back_tx(cache, key.data, true);
        ino = place.parent;
        empty = false;
    }
    buf_fini(&key);
}

/* Its object is gone: the directory is what a directory without one is, or nothing. */
static void directory_object_gone(struct cache *cache, uint64_t ino)
{
    struct inode *inode = inode_get_tx(cache, ino);
    struct inode values;
    if (!inode)
        return;
    inode_values_tx(cache, inode, &values);
    uint32_t mode = S_IFDIR | cache->config.dir_mode;
    if (values.mode != mode || values.uid != cache->config.uid || values.gid != cache->config.gid || !values.known) {
        values.mode = mode;
        values.uid = cache->config.uid;
        values.gid = cache->config.gid;
        values.known = true;
        values.explicit_object = false;
        values.meta_version++;
        inode_store_tx(cache, inode, &values, INODE_ATTR | INODE_KNOWN);
        remote_apply_after(cache, REMOTE_AFTER_ATTR, ino, NULL);
    }
    inode_put(cache, inode);
    prune(cache, ino, false);
}

void remote_apply_gone_tx(struct cache *cache, const char *key, int64_t stamp)
{
    struct remote row;
    struct remote_place place;
    if (!remote_get_tx(cache, key, &row))
        return;
    if (!row.etag || !remote_may_apply_tx(cache, key, &row, stamp))
        goto out;
    if (remote_is_directory_key(key)) {
        remote_delete_tx(cache, key);
        if (row.ino)
            directory_object_gone(cache, row.ino);
        goto out;
    }
    bool placed = remote_place_tx(cache, key, row.ino, false, false, &place) && place.ino && place.ino == row.ino;
    if (placed) {
        struct inode *inode = inode_get_tx(cache, place.ino);
        bool written = inode && remote_handles_of(inode).writers > 0;
        inode_put(cache, inode);
        if (written)
            goto out; /* until it is closed: what is written to it then is put back */
    }
    remote_delete_tx(cache, key);
    if (placed) {
        tree_remove_tx(cache, place.parent, place.name, place.length, true);
        prune(cache, place.parent, false);
    }
out:
    remote_fini(&row);
}

/* ---- a whole directory that is gone ---- */

struct doomed {
    char *keys[EMPTY_BATCH];
    size_t count;
};

static bool note_key(void *arg, struct remote *row)
{
    struct doomed *doomed = arg;
    doomed->keys[doomed->count++] = row->key;
    row->key = NULL;
    return doomed->count < EMPTY_BATCH;
}

/* Directories in it that were never listed have no rows; they go from the lowest up. */
static void prune_below(struct cache *cache, uint64_t ino, int depth)
{
    static const char children[] = "SELECT d.ino FROM dentry d JOIN inode i ON i.ino = d.ino WHERE d.parent = ? AND i.mode & 61440 = 16384"
                                   " AND d.ino > ? ORDER BY d.ino LIMIT 1";
    uint64_t child = 0;
    while (depth < S3_KEY_MAX / 2) {
        sqlite3_stmt *stmt = db_query(cache, children, "ii", (int64_t)ino, (int64_t)child);
        if (!db_step(cache, stmt))
            break;
        child = (uint64_t)sqlite3_column_int64(stmt, 0);
        db_done(stmt);
        prune_below(cache, child, depth + 1);
    }
    prune(cache, ino, true);
}

void remote_prune(struct cache *cache, uint64_t ino)
{
    db_begin(cache);
    prune(cache, ino, true);
    db_commit(cache);
}

int remote_apply_empty(struct cache *cache, const char *key, int64_t stamp)
{
    char *high = remote_high_of(key), *low = strdup(key);
    int error = high && low ? 0 : -ENOMEM;
    for (bool more = !error; more;) {
        struct doomed doomed = { .count = 0 };
        db_begin(cache);
        remote_each_tx(cache, low, high, note_key, &doomed);
        more = doomed.count == EMPTY_BATCH;
        for (size_t i = 0; i < doomed.count; i++)
            remote_apply_gone_tx(cache, doomed.keys[i], stamp);
        uint64_t ino = more ? 0 : tree_find_tx(cache, key);
        if (ino)
            prune_below(cache, ino, 0);
        error = db_commit(cache);
        if (more) {
            /* On behind the last one: the smallest key that follows it. */
            free(low);
            if (asprintf(&low, "%s\x01", doomed.keys[doomed.count - 1]) < 0) {
                low = NULL;
                error = -ENOMEM;
            }
        }
        for (size_t i = 0; i < doomed.count; i++)
            free(doomed.keys[i]);
        more = more && !error;
    }
    free(low);
    free(high);
    return error;
}

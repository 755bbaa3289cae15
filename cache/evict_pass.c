/*
 * Which bytes are given up, and that nothing else is. A content is given up as a whole, for a new one with the same base: whoever reads the old
 * one goes on reading its file, and its number tells a fetch under way that its bytes have no place any more.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cache/db.h"
#include "cache/evict.h"
#include "cache/io.h"
#include "s3/base/log.h"

#define BATCH 64
#define HOT_MS 60000 /* memory knows of a later use than the row */

struct victim {
    uint64_t content_id, ino, disk;
};

struct gone {
    struct inode *inode;
    uint64_t old_id, new_id;
};

static void settle(struct cache *cache, void *arg, bool committed)
{
    struct gone *gone = arg;
    if (committed) {
        lock_take(&gone->inode->lock);
        /* The kernel's pages hold the same bytes as before. */
        if (gone->inode->kept_content == gone->old_id)
            gone->inode->kept_content = gone->new_id;
        lock_drop(&gone->inode->lock);
        block_discard(cache, gone->old_id);
    }
    inode_put(cache, gone->inode);
    free(gone);
}

/* Is it clean, whole in its rows, and idle enough? *used_ms: when memory says it was last used. */
static bool may_go(struct inode *inode, uint64_t content_id, int64_t *used_ms)
{
    lock_take(&inode->lock);
    struct content *content = inode->content;
    bool may = !inode->removed && !inode->dirty_ms && !inode->changed_attrs && inode->content_id == content_id;
    if (may && content) {
        may = !content->changed.count && !content->dirty.count && !content->writing.count && !content->snapshots && !content->base_lost;
        *used_ms = content->used_ms > content->used_saved_ms + HOT_MS ? content->used_ms : 0;
    }
    lock_drop(&inode->lock);
    return may;
}

static uint64_t give_up(struct cache *cache, const struct victim *victim)
{
    struct inode *inode = inode_get_tx(cache, victim->ino);
    int64_t used_ms = 0;
    if (!inode)
        return 0;
    if (inode->pending || !may_go(inode, victim->content_id, &used_ms)) {
        inode_put(cache, inode);
        return 0;
    }
    if (used_ms) {
        db_run(cache, "UPDATE content SET used_ms = ? WHERE id = ?", "ii", used_ms, (int64_t)victim->content_id);
        lock_take(&inode->lock);
        if (inode->content)
            inode->content->used_saved_ms = used_ms;
        lock_drop(&inode->lock);
        inode_put(cache, inode);
        return 0;
    }
    struct gone *gone = malloc(sizeof *gone);
    if (!gone) {
        db_fail(cache, -ENOMEM);
        inode_put(cache, inode);
        return 0;
    }
    *gone = (struct gone){ inode, victim->content_id, (uint64_t)db_next(cache, DB_CONTENT) };
    db_run(cache, "INSERT INTO content(id, ino, size, base_key, base_etag, base_size, used_ms, epoch) SELECT ?, ino, size, base_key, base_etag, base_size, used_ms, ?"
           " FROM content WHERE id = ?", "iii", (int64_t)gone->new_id, db_epoch(cache), (int64_t)gone->old_id);
    content_delete_tx(cache, gone->old_id);
    struct inode values;
    inode_values_tx(cache, inode, &values);
    values.content_id = gone->new_id;
    inode_store_tx(cache, inode, &values, INODE_DATA);
    db_settle(cache, settle, gone);
    return victim->disk;
}

/* The oldest clean contents behind `after`. */
static size_t choose(struct cache *cache, int64_t *after, struct victim victims[BATCH])
{
    size_t count = 0;
    sqlite3_stmt *row = db_query(cache, "SELECT c.id, c.ino, c.disk, c.used_ms FROM content c JOIN inode i ON i.ino = c.ino"
                                 " WHERE c.disk > 0 AND c.used_ms >= ? AND c.base_key IS NOT NULL AND i.content = c.id AND i.dirty_ms = 0"
                                 " ORDER BY c.used_ms LIMIT 64", "i", *after);
    while (db_step(cache, row)) {
        victims[count++] = (struct victim){ (uint64_t)sqlite3_column_int64(row, 0), (uint64_t)sqlite3_column_int64(row, 1), (uint64_t)sqlite3_column_int64(row, 2) };
        *after = sqlite3_column_int64(row, 3);
        if (count == BATCH) {
            db_done(row);
            break;
        }
    }
    return count;
}

uint64_t evict_pass(struct cache *cache, uint64_t wanted)
{
    uint64_t freed = 0;
    int64_t after = INT64_MIN;
    while (freed < wanted && !cache->stopping) {
        struct victim victims[BATCH];
        uint64_t batch = 0;
        int64_t last = after;
        db_begin(cache);
        size_t count = choose(cache, &after, victims);
        for (size_t i = 0; i < count && freed + batch < wanted; i++)
            batch += give_up(cache, &victims[i]);
        if (db_commit(cache))
            break;
        freed += batch;
        if (count < BATCH)
            break;
        /* A whole batch of one instant that may not go: step over it. */
        if (!batch && after == last)
            after++;
    }
    if (freed)
        log_info("%llu bytes of clean data left the cache", (unsigned long long)freed);
    return freed;
}

/* ---- orphans ---- */

static bool is_wanted(struct cache *cache, uint64_t id)
{
    sqlite3_stmt *row = db_query(cache, "SELECT 1 FROM content WHERE id = ? AND body IS NULL AND disk > 0", "i", (int64_t)id);
    bool found = db_step(cache, row);
    if (found)
        db_done(row);
    return found;
}

static int clean_shard(struct cache *cache, unsigned shard)
{
    char name[8];
    snprintf(name, sizeof name, "%02x", shard);
    int fd = io_open(cache->blocks_fd, name, O_RDONLY | O_DIRECTORY, 0);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    if (!dir) {
        int rc = fd < 0 ? fd : -errno;
        if (fd >= 0)
            close(fd);
        return rc;
    }
    int rc = 0;
    for (struct dirent *entry; !rc && (entry = readdir(dir));) {
        char *end;
        uint64_t id = strtoull(entry->d_name, &end, 10);
        if (entry->d_name[0] == '.' || *end)
            continue;
        if (!is_wanted(cache, id))
            rc = io_unlink(fd, entry->d_name);
    }
    closedir(dir);
    return rc;
}

int evict_remove_orphans(struct cache *cache)
{
    /* A clean end leaves none. */
    if (db_left(cache) == DB_LEFT_CLEAN)
        return 0;
    int rc = 0;
    db_begin(cache);
    for (unsigned i = 0; i < 256 && !rc; i++)
        rc = clean_shard(cache, i);
    int committed = db_commit(cache);
    return rc ? rc : committed;
}

/*
 * Contents and the versions of objects: what a listing, a fetch or a push says of the bytes in the bucket becomes the content's base.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cache/db.h"
#include "cache/snapshot.h"
#include "s3/base/clock.h"

struct replaced {
    uint64_t id;
};

static void discard_old(struct cache *cache, void *arg, bool committed)
{
    struct replaced *replaced = arg;
    if (committed)
        block_discard(cache, replaced->id);
    free(replaced);
}

/* The old content's rows go now, its file when that is synced. */
static void replace(struct cache *cache, uint64_t old)
{
    if (!old)
        return;
    content_delete_tx(cache, old);
    struct replaced *replaced = malloc(sizeof *replaced);
    if (!replaced) {
        db_fail(cache, -ENOMEM);
        return;
    }
    replaced->id = old;
    db_settle(cache, discard_old, replaced);
}

static bool is_dirty(struct inode *inode, const struct inode *values)
{
    lock_take(&inode->lock);
    bool dirty = inode->changed_attrs || values->dirty_ms;
    lock_drop(&inode->lock);
    return dirty;
}

static void new_content(struct cache *cache, struct inode *inode, const char *key, const char *etag, const void *body, uint64_t size)
{
    struct inode values;
    inode_values_tx(cache, inode, &values);
    /* What a program wrote is never replaced. */
    if (is_dirty(inode, &values))
        return;
    replace(cache, values.content_id);
    int64_t id = db_next(cache, DB_CONTENT);
    if (body)
        db_run(cache, "INSERT INTO content(id, ino, size, base_key, base_etag, base_size, body, disk, used_ms, epoch) VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
               "iiiztibiii", id, (int64_t)inode->ino, (int64_t)size, key, etag, (int64_t)size, body, (size_t)size, (int64_t)size, clock_wall_ms(), db_epoch(cache));
    else
        db_run(cache, "INSERT INTO content(id, ino, size, base_key, base_etag, base_size, epoch) VALUES(?, ?, ?, ?, ?, ?, ?)", "iiiztii", id,
               (int64_t)inode->ino, (int64_t)size, key, etag, (int64_t)size, db_epoch(cache));
    if (body)
        evict_account(cache, (int64_t)size);
    values.size = size;
    values.hole = 0;
    values.content_id = (uint64_t)id;
    inode_store_tx(cache, inode, &values, INODE_DATA);
}

void block_adopt_tx(struct cache *cache, struct inode *inode, const char *key, const char *etag, const void *body, size_t size)
{
    new_content(cache, inode, key, etag, body ? body : "", size);
}

void block_new_version_tx(struct cache *cache, struct inode *inode, const char *key, const char *etag, uint64_t size)
{
    new_content(cache, inode, key, etag, NULL, size);
}

/* ---- after a push ---- */

static int set_base(struct content *content, const char *key, const char *etag)
{
    char *new_key = strdup(key), *new_etag = strdup(etag);
    if (!new_key || !new_etag) {
        free(new_key);
        free(new_etag);
        return -ENOMEM;
    }
    free(content->base_key);
    free(content->base_etag);
    content->base_key = new_key;
    content->base_etag = new_etag;
    content->base_lost = false;
    return 0;
}

/* Zeros that no row needed while the bucket lacked them would be missing bytes of the new base: they become holes. */
static int name_holes(struct content *content, const struct snapshot *snapshot, uint64_t base_size)
{
    int rc = 0;
    uint64_t at = content->base_key ? content->base_size : 0;
    struct range gap;
    for (; !rc && at < base_size && ranges_next(&content->present, at, base_size, true, &gap); at = gap.end) {
        rc = ranges_add(&content->present, gap.start, gap.end);
        if (!rc)
            rc = ranges_add(&content->hole, gap.start, gap.end);
        if (!rc)
            rc = ranges_add(&content->changed, gap.start, gap.end);
        if (!rc && ranges_touch(&snapshot->own->rewritten, gap.start, gap.end))
            rc = ranges_add(&content->dirty, gap.start, gap.end);
    }
    return rc;
}

/* What of the content's dirty bytes is in the snapshot: clean now. */
static int clean(struct content *content, const struct snapshot *snapshot)
{
    if (snapshot->own->all_rewritten)
        return 0;
    struct ranges pushed = { 0 };
    int rc = ranges_add(&pushed, 0, snapshot->size);
    if (!rc)
        rc = ranges_remove_all(&pushed, &snapshot->own->rewritten);
    struct range run;
    for (size_t i = 0; !rc && i < pushed.count; i++)
        for (uint64_t at = pushed.items[i].start; !rc && ranges_next(&content->dirty, at, pushed.items[i].end, false, &run); at = run.end)
            rc = ranges_add(&content->changed, run.start, run.end);
    if (!rc)
        rc = ranges_remove_all(&content->dirty, &pushed);
    ranges_fini(&pushed);
    return rc;
}

/* Rows that a failed commit did not write are still to be written. */
struct saved {
    struct inode *inode;
    struct content *content;
    struct ranges ranges;
};

static void keep_unsaved(struct cache *cache, void *arg, bool committed)
{
    struct saved *saved = arg;
    if (!committed) {
        lock_take(&saved->inode->lock);
        if (ranges_add_all(&saved->content->changed, &saved->ranges))
            cache_note_error(cache, "no memory to note what a push changed");
        lock_drop(&saved->inode->lock);
    }
    block_unload(cache, saved->content);
    inode_put(cache, saved->inode);
    ranges_fini(&saved->ranges);
    free(saved);
}

static int rebase_on_push(struct cache *cache, struct inode *inode, struct content *content, const struct snapshot *snapshot, const char *key,
                          const char *etag) REQUIRES(inode->lock)
{
    uint64_t base_size = snapshot->size < snapshot->own->size_min ? snapshot->size : snapshot->own->size_min;
    if (base_size > content->size)
        base_size = content->size;
    struct ranges waiting = content->changed;
    content->changed = (struct ranges){ 0 };
    int rc = content->file || content->size > CONTENT_INLINE_MAX ? name_holes(content, snapshot, base_size) : 0;
    if (!rc)
        rc = clean(content, snapshot);
    if (!rc)
        rc = set_base(content, key, etag);
    if (!rc) {
        content->base_size = base_size;
        /* An inline body may be ahead of its row by a write that nobody flushed: the row keeps its own. */
        if (!content->file)
            db_run(cache, "UPDATE content SET base_key = ?, base_etag = ?, base_size = ? WHERE id = ?", "ztii", key, etag, (int64_t)base_size, (int64_t)content->id);
        else
            content_save_tx(cache, content, inode->ino);
    }
    struct saved *saved = calloc(1, sizeof *saved);
    if (saved) {
        *saved = (struct saved){ inode, block_hold(content), content->changed };
        inode_hold(cache, inode);
        db_settle(cache, keep_unsaved, saved);
        content->changed = waiting;
        return rc;
    }
    rc = -ENOMEM;
    if (ranges_add_all(&content->changed, &waiting))
        cache_note_error(cache, "no memory to note what a push changed");
    ranges_fini(&waiting);
    return rc;
}

/* The content in memory, loaded with the lock dropped; inside. */
static struct content *loaded(struct cache *cache, struct inode *inode) REQUIRES(inode->lock)
{
    if (inode->content || !inode->content_id)
        return inode->content;
    uint64_t id = inode->content_id;
    lock_drop(&inode->lock);
    struct content *content = content_load_tx(cache, id);
    lock_take(&inode->lock);
    if (content && !inode->content && inode->content_id == id)
        inode->content = content;
    else if (content)
        block_unload(cache, content);
    return inode->content;
}

bool block_pushed_tx(struct cache *cache, struct inode *inode, const struct snapshot *snapshot, const char *key, const char *etag)
{
    struct inode values;
    int rc = 0;
    inode_values_tx(cache, inode, &values);
    lock_take(&inode->lock);
    struct content *content = loaded(cache, inode);
    if (content && content == snapshot->own->content && content->id)
        rc = rebase_on_push(cache, inode, content, snapshot, key, etag);
    bool clean_now = !inode->changed_attrs && values.data_version == snapshot->data_version && !snapshot->own->all_rewritten;
    if (clean_now)
        inode->poisoned = 0;
    lock_drop(&inode->lock);
    if (rc)
        db_fail(cache, rc);
    if (clean_now) {
        values.dirty_ms = 0;
        values.synced = false;
        inode_store_tx(cache, inode, &values, INODE_DATA);
    }
    evict_space_changed(cache);
    return clean_now;
}

void block_rebase_tx(struct cache *cache, struct inode *inode, const char *key, const char *etag)
{
    lock_take(&inode->lock);
    struct content *content = loaded(cache, inode);
    int rc = content && content->base_key ? set_base(content, key, etag) : 0;
    if (content && content->base_key && content->id)
        db_run(cache, "UPDATE content SET base_key = ?, base_etag = ? WHERE id = ?", "zti", key, etag, (int64_t)content->id);
    lock_drop(&inode->lock);
    if (rc)
        db_fail(cache, rc);
}

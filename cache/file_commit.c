/*
 * From memory to rows: what close() acknowledges. Checksums are computed before the transaction, so that LOCK_DB is held for the rows alone.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cache/block_internal.h"
#include "cache/db.h"
#include "cache/file.h"
#include "cache/todo.h"
#include "s3/base/clock.h"

#define TOUCH_MS 60000 /* a use that is newer than the row by so much is written */

/* What a transaction has taken from memory, to be given back when it fails. */
struct commit {
    struct inode *inode;
    struct content *content;
    struct ranges changed;
    bool attrs;
    uint64_t replaced; /* the content whose rows it deleted, 0: none */
};

static void settle(struct cache *cache, void *arg, bool committed)
{
    struct commit *c = arg;
    struct inode *inode = c->inode;
    struct content *content = c->content;
    lock_take(&inode->lock);
    if (!committed) {
        inode->changed_attrs |= c->attrs;
        /* Without memory the rows of these ranges wait for the next change; the bytes are in the file. */
        if (content && ranges_add_all(&content->changed, &c->changed))
            cache_note_error(cache, "no memory to note what a failed commit left");
    }
    bool unpin = inode->written_ms && !inode->changed_attrs;
    if (unpin)
        inode->written_ms = 0;
    bool punch = committed && content && content->stale.count;
    lock_drop(&inode->lock);
    if (punch)
        evict_punch_later(cache, inode);
    if (committed && c->replaced)
        block_discard(cache, c->replaced);
    if (content)
        block_unload(cache, content);
    if (unpin)
        inode_put(cache, inode);
    inode_put(cache, inode);
    ranges_fini(&c->changed);
    free(c);
}

/* A file without a name has no rows. Its pin goes with its handles. */
static void forget_changes(struct cache *cache, struct inode *inode) NO_LOCK_ANALYSIS
{
    lock_take(&inode->lock);
    inode->changed_attrs = false;
    bool unpin = inode->written_ms != 0;
    inode->written_ms = 0;
    lock_drop(&inode->lock);
    if (unpin)
        inode_put(cache, inode);
}

static bool has_changes(struct inode *inode)
{
    lock_take(&inode->lock);
    bool changed = inode->changed_attrs || (inode->content && inode->content->changed.count);
    lock_drop(&inode->lock);
    return changed;
}

/* Rows of the content, from memory. The lock is held. */
static void save_content(struct cache *cache, struct inode *inode, struct commit *c, struct inode *values) REQUIRES(inode->lock)
{
    struct content *content = inode->content;
    uint64_t old = values->content_id;
    c->content = block_hold(content);
    if (content->size == 0 && !content->base_key && !content->file) {
        content->id = 0;
    } else {
        content_save_tx(cache, content, inode->ino);
    }
    if (old && old != content->id) {
        content_delete_tx(cache, old);
        c->replaced = old;
    }
    c->changed = content->changed;
    content->changed = (struct ranges){ 0 };
    values->content_id = content->id;
    values->size = content->size;
    values->hole = block_hole_bytes(content, content->size);
}

void file_commit_tx(struct cache *cache, struct inode *inode)
{
    struct inode values;
    inode_values_tx(cache, inode, &values);
    struct commit *c = calloc(1, sizeof *c);
    if (!c) {
        db_fail(cache, -ENOMEM);
        return;
    }
    c->inode = inode;
    inode_hold(cache, inode);
    lock_take(&inode->lock);
    bool removed = (inode->removed && !inode->reviving) || (inode->pending && values.nlink == 0);
    c->attrs = inode->changed_attrs && !removed;
    if (!removed && inode->content && (inode->content->changed.count || c->attrs))
        save_content(cache, inode, c, &values);
    if (c->attrs) {
        values.mtime = inode->mtime;
        values.ctime = inode->ctime;
        values.data_version++;
        values.synced = inode->content && inode->content->file && !inode->content->unsynced && !inode->content->new_entry;
        if (!values.dirty_ms)
            values.dirty_ms = clock_wall_ms();
        inode->changed_attrs = false;
    }
    values.stamp = inode->stamp;
    lock_drop(&inode->lock);
    db_settle(cache, settle, c);
    if (c->attrs) {
        inode_store_tx(cache, inode, &values, INODE_DATA | INODE_TIMES);
        todo_inode_tx(cache, inode->ino, false);
    }
}

/* Dirty bytes next to missing ones do not fit into a row's body. */
static int move_what_has_no_row(struct cache *cache, struct inode *inode)
{
    lock_take(&inode->lock);
    struct content *content = inode->content;
    bool move = content && !content->file && content->dirty.count && content_missing_bytes(content);
    lock_drop(&inode->lock);
    return move ? block_move_to_file(cache, inode) : 0;
}

int file_prepare(struct cache *cache, struct inode *inode)
{
    int rc = move_what_has_no_row(cache, inode);
    return rc ? rc : block_checksum(cache, inode);
}

int file_commit(struct cache *cache, struct inode *inode)
{
    if (!has_changes(inode))
        return 0;
    lock_take(&inode->lock);
    bool removed = inode->removed;
    lock_drop(&inode->lock);
    if (removed) {
        forget_changes(cache, inode);
        return 0;
    }
    int rc = file_prepare(cache, inode);
    if (rc)
        return rc;
    db_begin(cache);
    file_commit_tx(cache, inode);
    return db_commit(cache);
}

int file_mark_dirty(struct cache *cache, struct inode *inode)
{
    lock_take(&inode->lock);
    bool changed = inode->changed_attrs;
    lock_drop(&inode->lock);
    if (changed)
        return file_commit(cache, inode);
    struct inode values;
    db_begin(cache);
    inode_values_tx(cache, inode, &values);
    if (!values.dirty_ms && !values.removed) {
        values.dirty_ms = clock_wall_ms();
        values.data_version++;
        values.synced = false;
        inode_store_tx(cache, inode, &values, INODE_DATA);
        todo_inode_tx(cache, inode->ino, false);
    }
    return db_commit(cache);
}

void file_settle_content(struct cache *cache, struct inode *inode)
{
    struct content *gone = NULL;
    lock_take(&inode->lock);
    struct content *content = inode->content;
    bool idle = content && !inode->changed_attrs && !content->changed.count && !content->stale.count && !content->base_lost &&
                atomic_load(&content->references) == 1 && !content->snapshots;
    if (content && !inode->opens && (idle || inode->removed)) {
        gone = content;
        inode->content = NULL;
    }
    lock_drop(&inode->lock);
    if (!gone)
        return;
    if (gone->id && gone->used_ms > gone->used_saved_ms + TOUCH_MS)
        evict_touch_later(cache, gone->id, gone->used_ms);
    block_unload(cache, gone);
}

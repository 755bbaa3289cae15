/*
 * Rows of inodes. A transaction writes them at once, and gathers in inode->pending what the struct is to become when it has been committed.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "cache/content.h"
#include "cache/db.h"
#include "cache/inode_internal.h"

/* One for each inode that the transaction under way has changed. */
struct inode_pending {
    struct inode *inode;
    struct inode values;
    unsigned what;
    bool fresh, revived, gone, names_changed;
};

/* ---- loading ---- */

static const char select_sql[] =
    "SELECT mode, uid, gid, nlink, rdev, size, hole, mtime, ctime, atime, data_version, meta_version, known, explicit, target, content, dirty_ms, synced"
    " FROM inode WHERE ino = ?";

struct inode *inode_load(struct cache *cache, uint64_t ino)
{
    sqlite3_stmt *row = db_query(cache, select_sql, "i", (int64_t)ino);
    if (!db_step(cache, row))
        return NULL;
    struct inode *inode = inode_alloc(ino);
    if (inode) {
        inode->mode = (uint32_t)sqlite3_column_int64(row, 0);
        inode->uid = (uint32_t)sqlite3_column_int64(row, 1);
        inode->gid = (uint32_t)sqlite3_column_int64(row, 2);
        inode->nlink = (uint32_t)sqlite3_column_int64(row, 3);
        inode->rdev = (uint64_t)sqlite3_column_int64(row, 4);
        inode->size = (uint64_t)sqlite3_column_int64(row, 5);
        inode->hole = (uint64_t)sqlite3_column_int64(row, 6);
        inode->mtime = sqlite3_column_int64(row, 7);
        inode->ctime = sqlite3_column_int64(row, 8);
        inode->atime = sqlite3_column_int64(row, 9);
        inode->data_version = sqlite3_column_int64(row, 10);
        inode->meta_version = sqlite3_column_int64(row, 11);
        inode->known = sqlite3_column_int(row, 12);
        inode->explicit_object = sqlite3_column_int(row, 13);
        if (sqlite3_column_type(row, 14) != SQLITE_NULL)
            inode->target = strndup(sqlite3_column_blob(row, 14) ? sqlite3_column_blob(row, 14) : "", (size_t)sqlite3_column_bytes(row, 14));
        inode->content_id = (uint64_t)sqlite3_column_int64(row, 15);
        inode->dirty_ms = sqlite3_column_int64(row, 16);
        inode->synced = sqlite3_column_int(row, 17);
        inode->dir_version = atomic_fetch_add(&cache->inodes->versions, 1);
        if (sqlite3_column_type(row, 14) != SQLITE_NULL && !inode->target) {
            inode_free(cache, inode);
            inode = NULL;
        }
    }
    if (!inode)
        db_fail(cache, -ENOMEM);
    db_done(row);
    return inode;
}

/* ---- changes ---- */

static void copy_fields(struct inode *to, const struct inode *from, unsigned what)
{
    if (what & INODE_ATTR) {
        to->mode = from->mode;
        to->uid = from->uid;
        to->gid = from->gid;
        to->rdev = from->rdev;
        to->meta_version = from->meta_version;
        to->explicit_object = from->explicit_object;
    }
    if (what & (INODE_ATTR | INODE_TIMES)) {
        to->mtime = from->mtime;
        to->ctime = from->ctime;
        to->atime = from->atime;
    }
    if (what & INODE_DATA) {
        to->size = from->size;
        to->hole = from->hole;
        to->data_version = from->data_version;
        to->content_id = from->content_id;
        to->dirty_ms = from->dirty_ms;
        to->synced = from->synced;
    }
    if (what & INODE_LINKS)
        to->nlink = from->nlink;
    if (what & INODE_KNOWN)
        to->known = from->known;
}

static void copy_out(struct inode *to, struct inode *from)
{
    copy_fields(to, from, ~0u);
    to->ino = from->ino;
    to->removed = from->removed;
    to->target = from->target;
    to->opens = from->opens;
    to->writers = from->writers;
    to->changed_attrs = from->changed_attrs;
    to->written_ms = from->written_ms;
    to->stamp = from->stamp;
    to->poisoned = from->poisoned;
}

/* What a program wrote since the transaction looked is newer than what it looked at. */
static void apply(struct inode *inode, struct inode_pending *p)
{
    bool written = inode->changed_attrs && inode->stamp != p->values.stamp;
    int64_t mtime = inode->mtime, ctime = inode->ctime;
    uint64_t size = inode->size, hole = inode->hole;
    copy_fields(inode, &p->values, p->what);
    if (written) {
        inode->mtime = mtime;
        inode->ctime = ctime;
        inode->size = size;
        inode->hole = hole;
    }
    if (p->what & INODE_TARGET) {
        free(inode->target);
        inode->target = p->values.target;
        p->values.target = NULL;
    }
}

static void settle(struct cache *cache, void *arg, bool committed)
{
    struct inode_pending *p = arg;
    struct inode *inode = p->inode;
    inode->pending = NULL;
    inode->unnamed = inode->reviving = false;
    lock_take(&inode->lock);
    if (committed && p->revived)
        inode->removed = inode->linkable = false;
    struct content *content = NULL;
    if (committed) {
        if ((p->what & INODE_DATA) && inode->content && inode->content->id != p->values.content_id && !inode->changed_attrs) {
            content = inode->content;
            inode->content = NULL;
        }
        apply(inode, p);
    }
    if (committed ? p->gone : p->fresh)
        inode->removed = true;
    if (committed && p->gone) {
        inode->nlink = 0;
        if (inode->content)
            block_doom(inode->content);
        else if (inode->content_id)
            block_discard(cache, inode->content_id);
    }
    lock_drop(&inode->lock);
    if (content)
        block_unload(cache, content);
    if (committed && p->names_changed)
        inode->dir_version = atomic_fetch_add(&cache->inodes->versions, 1);
    if (p->what & INODE_TARGET)
        free(p->values.target);
    free(p);
    inode_put(cache, inode);
}

static struct inode_pending *pending_of(struct cache *cache, struct inode *inode)
{
    if (inode->pending)
        return inode->pending;
    struct inode_pending *p = calloc(1, sizeof *p);
    if (!p) {
        db_fail(cache, -ENOMEM);
        return NULL;
    }
    p->inode = inode;
    lock_take(&inode->lock);
    copy_out(&p->values, inode);
    lock_drop(&inode->lock);
    inode_hold(cache, inode);
    inode->pending = p;
    db_settle(cache, settle, p);
    return inode->pending;
}

void inode_values_tx(struct cache *cache, struct inode *inode, struct inode *values)
{
    (void)cache;
    memset(values, 0, sizeof *values);
    if (inode->pending) {
        copy_out(values, &inode->pending->values);
        return;
    }
    lock_take(&inode->lock);
    copy_out(values, inode);
    lock_drop(&inode->lock);
}

static void write_row(struct cache *cache, const struct inode *v, unsigned what)
{
    int64_t ino = (int64_t)v->ino;
    if (what & INODE_ATTR)
        db_run(cache, "UPDATE inode SET mode = ?, uid = ?, gid = ?, rdev = ?, mtime = ?, ctime = ?, atime = ?, meta_version = ?, explicit = ? WHERE ino = ?",
               "iiiiiiiiii", (int64_t)v->mode, (int64_t)v->uid, (int64_t)v->gid, (int64_t)v->rdev, v->mtime, v->ctime, v->atime, v->meta_version,
               (int64_t)v->explicit_object, ino);
    if ((what & (INODE_DATA | INODE_TIMES)) == (INODE_DATA | INODE_TIMES))
        db_run(cache, "UPDATE inode SET size = ?, hole = ?, data_version = ?, content = ?, dirty_ms = ?, synced = ?, mtime = ?, ctime = ?, atime = ? WHERE ino = ?",
               "iiiiiiiiii", (int64_t)v->size, (int64_t)v->hole, v->data_version, (int64_t)v->content_id, v->dirty_ms, (int64_t)v->synced, v->mtime, v->ctime,
               v->atime, ino);
    else if (what & INODE_DATA)
        db_run(cache, "UPDATE inode SET size = ?, hole = ?, data_version = ?, content = ?, dirty_ms = ?, synced = ? WHERE ino = ?", "iiiiiii",
               (int64_t)v->size, (int64_t)v->hole, v->data_version, (int64_t)v->content_id, v->dirty_ms, (int64_t)v->synced, ino);
    else if ((what & (INODE_TIMES | INODE_ATTR)) == INODE_TIMES)
        db_run(cache, "UPDATE inode SET mtime = ?, ctime = ?, atime = ?, nlink = ? WHERE ino = ?", "iiiii", v->mtime, v->ctime, v->atime, (int64_t)v->nlink, ino);
    if ((what & INODE_LINKS) && (what & (INODE_TIMES | INODE_DATA)) != INODE_TIMES)
        db_run(cache, "UPDATE inode SET nlink = ? WHERE ino = ?", "ii", (int64_t)v->nlink, ino);
    if (what & INODE_TARGET)
        db_run(cache, "UPDATE inode SET target = ? WHERE ino = ?", "zi", v->target, ino);
    if (what & INODE_KNOWN)
        db_run(cache, "UPDATE inode SET known = ? WHERE ino = ?", "ii", (int64_t)v->known, ino);
}

void inode_store_tx(struct cache *cache, struct inode *inode, const struct inode *values, unsigned what)
{
    struct inode_pending *p = pending_of(cache, inode);
    if (!p)
        return;
    copy_fields(&p->values, values, what);
    p->values.stamp = values->stamp;
    if (what & INODE_TARGET) {
        char *target = values->target ? strdup(values->target) : NULL;
        if (values->target && !target)
            db_fail(cache, -ENOMEM);
        if (p->what & INODE_TARGET)
            free(p->values.target);
        p->values.target = target;
    }
    p->what |= what;
    if (!p->gone)
        write_row(cache, &p->values, what);
}

void inode_names_changed_tx(struct cache *cache, struct inode *inode)
{
    struct inode_pending *p = pending_of(cache, inode);
    if (p)
        p->names_changed = true;
}

/* A struct for a new number, in the table, referenced. */
static struct inode *make(struct cache *cache, const struct inode *model)
{
    struct inode *inode = inode_alloc((uint64_t)db_next(cache, DB_INO));
    char *target = inode && model->target ? strdup(model->target) : NULL;
    if (!inode || (model->target && !target)) {
        db_fail(cache, -ENOMEM);
        if (inode)
            inode_free(cache, inode);
        return NULL;
    }
    copy_fields(inode, model, ~0u);
    inode->target = target;
    inode->nlink = S_ISDIR(model->mode) ? 2 : 1;
    inode->dir_version = atomic_fetch_add(&cache->inodes->versions, 1);
    inode_enter(cache, inode);
    return inode;
}

static void insert_row(struct cache *cache, const struct inode *v, const char *target)
{
    db_run(cache, "INSERT INTO inode(ino, mode, uid, gid, rdev, size, hole, mtime, ctime, atime, nlink, content, data_version, meta_version, known, explicit,"
           " target, dirty_ms, synced) VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", "iiiiiiiiiiiiiiiizii",
           (int64_t)v->ino, (int64_t)v->mode, (int64_t)v->uid, (int64_t)v->gid, (int64_t)v->rdev, (int64_t)v->size, (int64_t)v->hole, v->mtime,
           v->ctime, v->atime, (int64_t)v->nlink, (int64_t)v->content_id, v->data_version, v->meta_version, (int64_t)v->known,
           (int64_t)v->explicit_object, target, v->dirty_ms, (int64_t)v->synced);
}

struct inode *inode_new_tx(struct cache *cache, const struct inode *model)
{
    struct inode *inode = make(cache, model);
    if (!inode)
        return NULL;
    inode->unnamed = true;
    struct inode_pending *p = pending_of(cache, inode);
    if (p)
        p->fresh = true;
    insert_row(cache, inode, inode->target);
    return inode;
}

struct inode *inode_new_nameless_tx(struct cache *cache, const struct inode *model, bool linkable)
{
    struct inode *inode = make(cache, model);
    if (!inode)
        return NULL;
    inode->nlink = 0;
    inode->removed = true;
    inode->linkable = linkable;
    return inode;
}

void inode_revive_tx(struct cache *cache, struct inode *inode)
{
    struct inode_pending *p = pending_of(cache, inode);
    if (!p)
        return;
    inode->unnamed = inode->reviving = true;
    p->fresh = p->revived = true;
    p->values.nlink = 1;
    p->what |= INODE_LINKS;
    lock_take(&inode->lock);
    /* Everything it has in memory is to be written with its first row. */
    inode->changed_attrs = true;
    p->values.stamp = inode->stamp;
    lock_drop(&inode->lock);
    insert_row(cache, &p->values, NULL);
}

void inode_removed_tx(struct cache *cache, struct inode *inode)
{
    struct inode_pending *p = pending_of(cache, inode);
    if (!p)
        return;
    p->gone = true;
    int64_t content = (int64_t)p->values.content_id;
    /* Who has it open goes on reading it when its rows are gone. */
    lock_take(&inode->lock);
    bool load = content && inode->opens && !inode->content;
    lock_drop(&inode->lock);
    struct content *loaded = load ? content_load_tx(cache, (uint64_t)content) : NULL;
    lock_take(&inode->lock);
    if (loaded && !inode->content) {
        inode->content = loaded;
        loaded = NULL;
    }
    lock_drop(&inode->lock);
    if (loaded)
        block_unload(cache, loaded);
    db_run(cache, "DELETE FROM inode WHERE ino = ?", "i", (int64_t)inode->ino);
    if (content)
        content_delete_tx(cache, (uint64_t)content);
    if (S_ISDIR(p->values.mode))
        db_run(cache, "DELETE FROM directory WHERE ino = ?", "i", (int64_t)inode->ino);
}

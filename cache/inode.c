#include "cache/inode.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>

#include "cache/content.h"
#include "cache/db.h"
#include "cache/shown.h"
#include "s3/base/clock.h"

#define IDLE_MAX 16384 /* inodes that nobody holds, in memory */

struct inode_table {
    struct lock lock; /* LOCK_BLOCK */
    struct inode *by_number;
    struct inode *oldest, *newest; /* idle ones */
    unsigned idle_count;
    struct shown shown;
    uint64_t generation;
    atomic_uint_fast64_t versions; /* of directories: never given out twice in a run */
};

/* One for each inode that the transaction under way has changed. */
struct inode_pending {
    struct inode *inode;
    struct inode values;
    unsigned what;
    bool fresh, revived, gone, names_changed;
};

int64_t inode_now(void)
{
    struct timespec t = clock_wall_coarse();
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* ---- the table ---- */

static struct inode *inode_alloc(uint64_t ino)
{
    struct inode *inode = calloc(1, sizeof *inode);
    if (!inode)
        return NULL;
    inode->ino = ino;
    lock_init(&inode->lock, LOCK_FILE);
    return inode;
}

static void inode_free(struct cache *cache, struct inode *inode)
{
    if (inode->content)
        block_unload(cache, inode->content);
    lock_fini(&inode->lock);
    free(inode->target);
    free(inode->key);
    free(inode);
}

static void idle_remove(struct inode_table *table, struct inode *inode)
{
    if (!inode->idle)
        return;
    *(inode->older ? &inode->older->newer : &table->oldest) = inode->newer;
    *(inode->newer ? &inode->newer->older : &table->newest) = inode->older;
    inode->older = inode->newer = NULL;
    inode->idle = false;
    table->idle_count--;
}

static void idle_append(struct inode_table *table, struct inode *inode)
{
    inode->older = table->newest;
    inode->newer = NULL;
    *(table->newest ? &table->newest->newer : &table->oldest) = inode;
    table->newest = inode;
    inode->idle = true;
    table->idle_count++;
}

static void detach(struct inode_table *table, struct inode *inode)
{
    idle_remove(table, inode);
    if (!inode->detached)
        HASH_DEL(table->by_number, inode);
    inode->detached = true;
}

static struct inode *find_held(struct inode_table *table, uint64_t ino)
{
    struct inode *inode;
    HASH_FIND(hh, table->by_number, &ino, sizeof ino, inode);
    if (!inode)
        return NULL;
    idle_remove(table, inode);
    inode->references++;
    return inode;
}

struct inode *inode_peek(struct cache *cache, uint64_t ino)
{
    struct inode_table *table = cache->inodes;
    lock_take(&table->lock);
    struct inode *inode = find_held(table, ino);
    lock_drop(&table->lock);
    return inode;
}

void inode_hold(struct cache *cache, struct inode *inode)
{
    lock_take(&cache->inodes->lock);
    assert(inode->references);
    inode->references++;
    lock_drop(&cache->inodes->lock);
}

/* removed is read without the inode's lock: with no reference left nobody can change it, and it never turns back. */
void inode_put(struct cache *cache, struct inode *inode)
{
    if (!inode)
        return;
    struct inode_table *table = cache->inodes;
    struct inode *victim = NULL;
    lock_take(&table->lock);
    assert(inode->references);
    if (--inode->references == 0) {
        if (!inode->removed)
            idle_append(table, inode);
        else if (!shown_has(&table->shown, inode->ino))
            victim = inode;
        if (!victim && table->idle_count > IDLE_MAX)
            victim = table->oldest;
        if (victim)
            detach(table, victim);
    }
    lock_drop(&table->lock);
    if (victim)
        inode_free(cache, victim);
}

void inode_shown(struct cache *cache, struct inode *inode)
{
    lock_take(&cache->inodes->lock);
    shown_set(&cache->inodes->shown, inode->ino);
    lock_drop(&cache->inodes->lock);
}

void inode_forgotten(struct cache *cache, uint64_t ino)
{
    struct inode_table *table = cache->inodes;
    lock_take(&table->lock);
    shown_clear(&table->shown, ino);
    struct inode *inode;
    HASH_FIND(hh, table->by_number, &ino, sizeof ino, inode);
    bool last = inode && inode->removed && inode->references == 0;
    if (last)
        detach(table, inode);
    lock_drop(&table->lock);
    if (last)
        inode_free(cache, inode);
}

uint64_t inode_generation(const struct cache *cache)
{
    return cache->inodes->generation;
}

/* ---- rows ---- */

static const char select_sql[] =
    "SELECT mode, uid, gid, nlink, rdev, size, hole, mtime, ctime, atime, data_version, meta_version, known, explicit, target, content, dirty_ms, synced"
    " FROM inode WHERE ino = ?";

static struct inode *load(struct cache *cache, uint64_t ino)
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

struct inode *inode_get_tx(struct cache *cache, uint64_t ino)
{
    struct inode *inode = inode_peek(cache, ino);
    if (inode)
        return inode;
    /* Rows are loaded under LOCK_DB alone, so that no number is loaded twice. */
    inode = load(cache, ino);
    if (!inode)
        return NULL;
    struct inode_table *table = cache->inodes;
    lock_take(&table->lock);
    inode->references = 1;
    HASH_ADD(hh, table->by_number, ino, sizeof inode->ino, inode);
    lock_drop(&table->lock);
    return inode;
}

struct inode *inode_get(struct cache *cache, uint64_t ino)
{
    struct inode *inode = inode_peek(cache, ino);
    if (inode)
        return inode;
    db_begin(cache);
    inode = inode_get_tx(cache, ino);
    if (db_commit(cache)) {
        inode_put(cache, inode);
        return NULL;
    }
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
    struct inode_table *table = cache->inodes;
    lock_take(&table->lock);
    inode->references = 1;
    HASH_ADD(hh, table->by_number, ino, sizeof inode->ino, inode);
    lock_drop(&table->lock);
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

void inode_each_written(struct cache *cache, void (*each)(struct cache *cache, struct inode *inode))
{
    struct inode_table *table = cache->inodes;
    for (bool more = true; more;) {
        struct inode *found[64], *inode, *next;
        size_t count = 0;
        lock_take(&table->lock);
        HASH_ITER(hh, table->by_number, inode, next) {
            /* The pin of its writes holds it. */
            if (inode->written_ms && !inode->visited && count < 64) {
                inode->visited = true;
                inode->references++;
                found[count++] = inode;
            }
        }
        lock_drop(&table->lock);
        for (size_t i = 0; i < count; i++) {
            each(cache, found[i]);
            inode_put(cache, found[i]);
        }
        more = count > 0;
    }
}

/* ---- answers ---- */

static struct timespec timespec_of(int64_t ns)
{
    int64_t sec = ns / 1000000000, rest = ns % 1000000000;
    if (rest < 0) {
        sec--;
        rest += 1000000000;
    }
    return (struct timespec){ .tv_sec = sec, .tv_nsec = rest };
}

void inode_attr(struct cache *cache, struct inode *inode, struct cache_attr *attr)
{
    lock_take(&inode->lock);
    uint64_t hole = inode->content && inode->changed_attrs ? block_hole_bytes(inode->content, inode->size) : inode->hole;
    *attr = (struct cache_attr){
        .ino = inode->ino, .generation = cache->inodes->generation,
        .mode = inode->mode, .nlink = inode->nlink, .uid = inode->uid, .gid = inode->gid, .rdev = inode->rdev,
        .size = inode->size, .blocks = (inode->size - (hole < inode->size ? hole : inode->size) + 511) / 512,
        .atime = timespec_of(inode->atime), .mtime = timespec_of(inode->mtime), .ctime = timespec_of(inode->ctime),
    };
    if (S_ISDIR(inode->mode)) {
        attr->size = 4096;
        attr->blocks = 8;
    } else if (S_ISLNK(inode->mode)) {
        attr->blocks = 0;
        if (inode->target)
            attr->size = strlen(inode->target);
    }
    lock_drop(&inode->lock);
}

/* ---- start and end ---- */

/* The root's row, and a number that tells this spool's inodes from those of one that was here before. */
static int prepare_rows(struct cache *cache)
{
    struct inode_table *table = cache->inodes;
    const struct cache_config *config = &cache->config;
    db_begin(cache);
    char *text = db_setting_get(cache, "generation");
    if (text) {
        table->generation = strtoull(text, NULL, 10);
    } else {
        uint32_t random = 0;
        char number[16];
        if (getrandom(&random, sizeof random, 0) != sizeof random)
            db_fail(cache, -EIO);
        table->generation = random | 1u;
        snprintf(number, sizeof number, "%u", random | 1u);
        db_setting_set(cache, "generation", number);
    }
    free(text);
    int64_t now = inode_now();
    db_run(cache, "INSERT OR IGNORE INTO inode(ino, mode, uid, gid, size, mtime, ctime, atime, nlink) VALUES(?, ?, ?, ?, 0, ?, ?, ?, 2)", "iiiiiii",
           (int64_t)CACHE_ROOT, (int64_t)(S_IFDIR | config->dir_mode), (int64_t)config->uid, (int64_t)config->gid, now, now, now);
    return db_commit(cache);
}

int inode_table_start(struct cache *cache)
{
    cache->inodes = calloc(1, sizeof *cache->inodes);
    if (!cache->inodes)
        return -ENOMEM;
    lock_init(&cache->inodes->lock, LOCK_BLOCK);
    cache->inodes->versions = 1;
    return prepare_rows(cache);
}

void inode_table_stop(struct cache *cache)
{
    struct inode_table *table = cache->inodes;
    if (!table)
        return;
    struct inode *inode, *next;
    HASH_ITER(hh, table->by_number, inode, next) {
        HASH_DEL(table->by_number, inode);
        inode_free(cache, inode);
    }
    shown_fini(&table->shown);
    lock_fini(&table->lock);
    free(table);
    cache->inodes = NULL;
}

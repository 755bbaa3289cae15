/*
 * One key's news. What is not done here: nothing is asked of the bucket, and nothing is pushed. An inode whose metadata nobody
 * has looked at is left not `known`; a program's lookup fetches it, or, where none will come (directories and open files,
 * which the kernel keeps), a fetch is started after the commit.
 */
#include "cache/remote_apply.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "cache/block.h"
#include "cache/db.h"
#include "cache/dir.h"
#include "cache/fetch.h"
#include "cache/name.h"
#include "cache/posix.h"
#include "cache/push.h"
#include "cache/remote_place.h"
#include "s3/base/log.h"

#define MS 1000000ll
#define SKEW_MS 2000 /* how far the Date of an answer may lie before the LastModified of what it stored */

/* ---- news for the kernel and the fetcher, after the commit ---- */

struct after_change {
    unsigned what;
    uint64_t ino, parent;
    size_t length;
    char name[];
};

static void run_after(struct cache *cache, void *arg, bool committed)
{
    struct after_change *change = arg;
    const struct cache_events *events = &cache->config.events;
    if (committed) {
        if (change->what & REMOTE_AFTER_CONTENT && events->content)
            events->content(events->arg, change->ino);
        else if (change->what & REMOTE_AFTER_ATTR && events->attr)
            events->attr(events->arg, change->ino);
        if (change->what & REMOTE_AFTER_NAME && events->name)
            events->name(events->arg, change->parent, change->name, change->length, false);
        if (change->what & REMOTE_AFTER_FETCH)
            fetch_meta_ahead(cache, &change->ino, 1);
    }
    free(change);
}

void remote_apply_after(struct cache *cache, unsigned what, uint64_t ino, const struct remote_place *place)
{
    size_t length = place ? place->length : 0;
    struct after_change *change = calloc(1, sizeof *change + length + 1);
    if (!change) {
        db_fail(cache, -ENOMEM);
        return;
    }
    change->what = place ? what : what & ~(unsigned)REMOTE_AFTER_NAME;
    change->ino = ino;
    if (place) {
        change->parent = place->parent;
        change->length = length;
        memcpy(change->name, place->name, length);
    }
    db_after(cache, run_after, change);
}

/* ---- rules ---- */

bool remote_may_apply_tx(struct cache *cache, const char *key, const struct remote *row, int64_t stamp)
{
    return !(row && row->page > stamp) && !push_busy_since_tx(cache, key, stamp) && !push_pending_key_tx(cache, key) &&
           !(row && row->ino && push_pending_inode_tx(cache, row->ino));
}

static bool same_version(const struct remote *row, const struct remote_news *news)
{
    return row->etag && news->etag && strcmp(row->etag, news->etag) == 0 && row->size == news->size;
}

static bool same_time(const struct remote *row, const struct remote_news *news)
{
    if (row->coarse && row->mtime_ms == 0)
        return true;
    /* Of our own request we know when it was answered. What was stored since with the same bytes, a copy onto itself, is later. */
    if (row->coarse && row->nonce)
        return news->mtime_ms <= row->mtime_ms + SKEW_MS;
    if (row->coarse || news->coarse)
        return row->mtime_ms / 1000 == news->mtime_ms / 1000;
    return row->mtime_ms == news->mtime_ms;
}

bool remote_is_directory_key(const char *key)
{
    size_t length = strlen(key);
    const char *relative = strrchr(key, '/');
    return length == 0 || (relative && relative[1] == '\0');
}

static bool shows(struct cache *cache, const char *key)
{
    const char *relative = name_relative(cache, key);
    switch (relative ? name_check_key(relative) : NAME_INTERNAL) {
    case NAME_OK:
        return true;
    case NAME_INTERNAL:
        return false;
    case NAME_NO_PATH: case NAME_TOO_LONG:
        break;
    }
    dir_blocked_key(cache, key);
    return false;
}

char *remote_high_of(const char *key)
{
    char *high = strdup(key);
    if (high && high[0])
        high[strlen(high) - 1]++; /* '/' becomes '0' */
    return high;
}

/* Is something below "dir/" to be deleted here? Then that it is still listed says nothing. */
static bool has_tombstone(struct cache *cache, const char *key)
{
    char *high = remote_high_of(key);
    if (!high) {
        db_fail(cache, -ENOMEM);
        return true;
    }
    sqlite3_stmt *stmt = db_query(cache, "SELECT 1 FROM remote WHERE key >= ? AND key < ? AND gone != 0 LIMIT 1", "zz", key, high);
    bool found = db_step(cache, stmt);
    if (found)
        db_done(stmt);
    free(high);
    return found;
}

/* ---- inodes of objects ---- */

/* Handles are opened without LOCK_DB: one that comes right after this look sees the new version, as if it had come later. */
struct remote_handles remote_handles_of(struct inode *inode)
{
    lock_take(&inode->lock);
    struct remote_handles handles = { inode->opens, inode->writers + (inode->written_ms != 0 || inode->changed_attrs || inode->dirty_ms != 0) };
    lock_drop(&inode->lock);
    return handles;
}

/* What the news says of a file, in *values (whose old content stays): known only with metadata, and for a link kept in the body only with that.
 * False: no memory. The target is the caller's to free. */
static bool fill_values(struct cache *cache, const struct remote_news *news, struct inode *values)
{
    struct posix_attr attr = { .mode = S_IFREG | cache->config.file_mode, .uid = cache->config.uid, .gid = cache->config.gid,
                               .mtime = news->mtime_ms * MS, .ctime = news->mtime_ms * MS, .atime = news->mtime_ms * MS };
    bool known = news->object != NULL;
    if (known)
        posix_decode(cache, news->key, news->object, &attr);
    if (attr.target_is_body && !news->body)
        known = false;
    if (known && attr.target_is_body && memchr(news->body, '\0', news->size)) {
        attr.target_is_body = false; /* no path holds a NUL: it is a file, whatever it says */
        attr.mode = S_IFREG | cache->config.file_mode;
    }
    if (known && attr.target_is_body && !(attr.target = strndup(news->body, news->size))) {
        db_fail(cache, -ENOMEM);
        return false;
    }
    values->known = known;
    values->mode = attr.mode;
    values->uid = attr.uid;
    values->gid = attr.gid;
    values->rdev = attr.rdev;
    values->mtime = attr.mtime;
    values->ctime = attr.ctime;
    values->atime = attr.atime;
    values->target = attr.target;
    values->size = attr.target ? strlen(attr.target) : S_ISREG(attr.mode) || !known ? news->size : 0;
    values->explicit_object = S_ISDIR(attr.mode) && (attr.carried & (CACHE_SET_MODE | CACHE_SET_UID | CACHE_SET_GID));
    return true;
}

/* A file's bytes: here already, or to be read from the object when they are wanted. */
static void give_bytes(struct cache *cache, struct inode *inode, const struct remote_news *news, const struct inode *values)
{
    if (!values->known || !S_ISREG(values->mode) || news->size == 0)
        return;
    if (news->body && news->size <= CONTENT_INLINE_MAX)
        block_adopt_tx(cache, inode, news->key, news->etag, news->body, news->size);
    else
        block_new_version_tx(cache, inode, news->key, news->etag, news->size);
}

static struct inode *new_inode(struct cache *cache, const struct remote_news *news)
{
    struct inode model = { .data_version = 1 };
    if (!fill_values(cache, news, &model))
        return NULL;
    model.meta_version = model.known;
    struct inode *inode = inode_new_tx(cache, &model);
    if (inode)
        give_bytes(cache, inode, news, &model);
    free(model.target);
    return inode;
}

/* ---- rows ---- */

static void put_row(struct cache *cache, const struct remote_news *news, const struct remote *old, struct inode *inode)
{
    struct inode values;
    inode_values_tx(cache, inode, &values);
    struct remote row = {
        .key = (char *)(uintptr_t)news->key, .etag = (char *)(uintptr_t)news->etag, .size = news->size,
        .mtime_ms = news->mtime_ms, .coarse = news->coarse, .ino = inode->ino, .data_version = values.data_version,
        .meta_version = values.known ? values.meta_version : REMOTE_META_UNKNOWN, .page = news->stamp,
    };
    char *headers = NULL;
    if (news->object) {
        headers = row.headers = posix_keep(news->key, news->object);
        row.nonce = (char *)(uintptr_t)s3_object_meta(news->object, "r2fs-v");
    }
    /* A listed time is the better one where a header's agrees with it. */
    if (news->coarse && old && !old->coarse && same_version(old, news) && same_time(old, news)) {
        row.mtime_ms = old->mtime_ms;
        row.coarse = false;
    }
    if (old && old->page > row.page)
        row.page = old->page;
    remote_put_tx(cache, &row);
    free(headers);
}

/* ---- files ---- */

static bool ever_known(const struct inode *values)
{
    return values->known || values->meta_version > 0;
}

/* Would what programs hold of this inode change its kind? A link that points elsewhere is another link: the kernel keeps targets. */
static bool another_kind(const struct inode *values, const struct inode *wanted)
{
    if (!ever_known(values) || !wanted->known)
        return false;
    if ((values->mode & S_IFMT) != (wanted->mode & S_IFMT))
        return true;
    return S_ISLNK(values->mode) && (!values->target || strcmp(values->target, wanted->target) != 0);
}

static bool same_attributes(const struct inode *a, const struct inode *b)
{
    return a->mode == b->mode && a->uid == b->uid && a->gid == b->gid && a->rdev == b->rdev && a->mtime == b->mtime &&
           a->ctime == b->ctime && a->atime == b->atime && a->size == b->size && a->explicit_object == b->explicit_object;
}

/* The inode becomes what the news says. *what: what the kernel is to hear. */
static void change_in_place(struct cache *cache, struct inode *inode, const struct remote_news *news, const struct inode *wanted,
                            bool same_bytes, unsigned *what)
{
    struct inode values;
    inode_values_tx(cache, inode, &values);
    bool shown = ever_known(&values), had_content = values.content_id != 0;
    if (!same_bytes && had_content)
        block_new_version_tx(cache, inode, news->key, news->etag, news->size);
    else if (!had_content)
        give_bytes(cache, inode, news, wanted);
    inode_values_tx(cache, inode, &values);
    bool changed = !same_bytes || !same_attributes(&values, wanted);
    if (!same_bytes)
        values.data_version++;
    unsigned groups = INODE_KNOWN | (same_bytes ? 0 : INODE_DATA);
    if (wanted->known) {
        values.mode = wanted->mode;
        values.uid = wanted->uid;
        values.gid = wanted->gid;
        values.rdev = wanted->rdev;
        values.target = wanted->target;
        values.explicit_object = wanted->explicit_object;
        values.meta_version += !shown || changed;
        groups |= INODE_ATTR | INODE_TARGET;
    }
    if (wanted->known || !same_bytes) {
        values.mtime = wanted->mtime;
        values.ctime = wanted->ctime;
        values.atime = wanted->atime;
        values.size = wanted->size;
        groups |= INODE_ATTR | INODE_DATA;
    }
    values.known = wanted->known;
    inode_store_tx(cache, inode, &values, groups);
    *what = !shown ? 0 : !same_bytes ? REMOTE_AFTER_CONTENT : changed ? REMOTE_AFTER_ATTR : 0;
    if (shown && !wanted->known)
        *what |= S_ISDIR(values.mode) ? REMOTE_AFTER_FETCH : REMOTE_AFTER_NAME;
}

/* A version of an object that we did not know, or of which nobody looked at the metadata yet. */
static void apply_file(struct cache *cache, const struct remote_news *news, const struct remote *row)
{
    struct remote_place place;
    if (!remote_place_tx(cache, news->key, row ? row->ino : 0, true, !news->quiet, &place)) {
        log_notice("%s has no free name to show under", news->key);
        return;
    }
    struct inode *old = place.ino ? inode_get_tx(cache, place.ino) : NULL, *shown = old;
    struct inode values = { 0 }, wanted = { 0 };
    unsigned what = 0;
    if (!fill_values(cache, news, &wanted))
        goto out;
    bool same_bytes = row && row->ino == place.ino && same_version(row, news);
    if (old) {
        inode_values_tx(cache, old, &values);
        struct remote_handles handles = remote_handles_of(old);
        if (handles.writers > 0 && !same_bytes)
            goto out;
        bool kept_elsewhere = handles.opens > 0 || values.nlink > 1 || S_ISLNK(values.mode);
        if (another_kind(&values, &wanted) || (!same_bytes && ever_known(&values) && kept_elsewhere))
            shown = NULL;
        else
            change_in_place(cache, old, news, &wanted, same_bytes, &what);
        if (shown && !wanted.known && handles.opens > 0)
            what |= REMOTE_AFTER_FETCH; /* fstat asks no lookup */
    }
    if (!shown) {
        shown = new_inode(cache, news);
        if (!shown)
            goto out;
        tree_found_tx(cache, place.parent, place.name, place.length, shown, !news->quiet);
    }
    put_row(cache, news, row, shown);
    if (what && !news->quiet)
        remote_apply_after(cache, what, shown->ino, &place);
out:
    free(wanted.target);
    if (shown != old)
        inode_put(cache, shown);
    inode_put(cache, old);
}

/* ---- directories ---- */

static void apply_directory(struct cache *cache, const struct remote_news *news, const struct remote *row)
{
    struct remote_place place = { 0 };
    bool root = name_relative(cache, news->key)[0] == '\0';
    if (!root && !remote_place_tx(cache, news->key, row ? row->ino : 0, true, !news->quiet, &place))
        return;
    struct inode wanted = { 0 };
    if (!fill_values(cache, news, &wanted))
        return;
    wanted.size = 0;
    uint64_t ino = root ? CACHE_ROOT : place.ino;
    struct inode *inode = ino ? inode_get_tx(cache, ino) : NULL;
    unsigned what = 0;
    if (inode) {
        change_in_place(cache, inode, news, &wanted, true, &what);
        what &= ~(unsigned)REMOTE_AFTER_NAME; /* it would take mounts below it away */
        if (!wanted.known && root)
            what |= REMOTE_AFTER_FETCH; /* nobody looks the root up; at the mount poll_first asks */
    } else {
        struct inode model = wanted;
        model.mode = S_IFDIR | (wanted.known ? wanted.mode & 07777 : cache->config.dir_mode);
        model.meta_version = wanted.known;
        inode = inode_new_tx(cache, &model);
        if (inode)
            tree_found_tx(cache, place.parent, place.name, place.length, inode, !news->quiet);
    }
    if (inode) {
        put_row(cache, news, row, inode);
        if (what && !news->quiet)
            remote_apply_after(cache, what, inode->ino, NULL);
    }
    inode_put(cache, inode);
    free(wanted.target);
}

void remote_apply_prefix_tx(struct cache *cache, const char *key, int64_t stamp, bool quiet)
{
    struct remote_place place;
    if (!shows(cache, key) || push_pending_key_tx(cache, key) || !remote_place_tx(cache, key, 0, true, !quiet, &place) || place.ino)
        return;
    /* A directory that was removed here may be listed for a child that is about to go, or went after the page had left. */
    if (has_tombstone(cache, key) || push_busy_below_tx(cache, key, stamp))
        return;
    /* Whether it has an object with a mode is not known before somebody asks. */
    struct inode model = { .mode = S_IFDIR | cache->config.dir_mode, .uid = cache->config.uid, .gid = cache->config.gid };
    model.mtime = model.ctime = model.atime = inode_now();
    struct inode *inode = inode_new_tx(cache, &model);
    if (inode)
        tree_found_tx(cache, place.parent, place.name, place.length, inode, !quiet);
    inode_put(cache, inode);
}

/* ---- one key ---- */

void remote_apply_news_tx(struct cache *cache, const struct remote_news *news)
{
    if (!shows(cache, news->key))
        return;
    struct remote row = { 0 };
    bool had = remote_get_tx(cache, news->key, &row);
    if (!remote_may_apply_tx(cache, news->key, had ? &row : NULL, news->stamp))
        goto out;
    if (had && same_version(&row, news) && same_time(&row, news) && row.ino && !news->object) {
        /* Only the exact time of what we know is new. */
        if (row.coarse && !news->coarse) {
            row.coarse = false;
            row.mtime_ms = news->mtime_ms;
            row.page = news->stamp;
            remote_put_tx(cache, &row);
        }
        goto out;
    }
    if (remote_is_directory_key(news->key))
        apply_directory(cache, news, had ? &row : NULL);
    else
        apply_file(cache, news, had ? &row : NULL);
out:
    if (had)
        remote_fini(&row);
}

/* ---- by another's look ---- */

static struct remote_news news_of(const char *key, const struct s3_object *object, const void *body, int64_t stamp)
{
    return (struct remote_news){ .key = key, .etag = object->etag, .size = object->size, .mtime_ms = object->mtime_ms,
                                 .coarse = object->mtime_coarse, .stamp = stamp, .object = object, .body = body };
}

void remote_apply_object_tx(struct cache *cache, const char *key, const struct s3_object *object, int64_t stamp)
{
    if (object) {
        struct remote_news news = news_of(key, object, NULL, stamp);
        remote_apply_news_tx(cache, &news);
    } else {
        remote_apply_gone_tx(cache, key, stamp);
    }
}

void remote_apply_fetched_tx(struct cache *cache, uint64_t ino, const char *key, const struct s3_object *object, const void *body,
                             int64_t stamp)
{
    struct remote_news news = news_of(key, object, body, stamp);
    struct remote row;
    struct inode *inode = NULL;
    struct inode wanted = { 0 }, values;
    if (!remote_get_tx(cache, key, &row)) {
        remote_apply_news_tx(cache, &news);
        return;
    }
    bool pending = push_pending_inode_tx(cache, ino) || push_pending_key_tx(cache, key);
    if (!pending || row.ino != ino || !same_version(&row, &news) || !same_time(&row, &news)) {
        remote_apply_news_tx(cache, &news);
        goto out;
    }
    /* Renamed, removed or changed here since: it is found by its number, and what a program changed stays. */
    inode = inode_get_tx(cache, ino);
    if (!inode || !fill_values(cache, &news, &wanted))
        goto out;
    inode_values_tx(cache, inode, &values);
    if (ever_known(&values)) {
        values.known = true;
        inode_store_tx(cache, inode, &values, INODE_KNOWN);
    } else {
        unsigned ignored;
        change_in_place(cache, inode, &news, &wanted, true, &ignored);
    }
    put_row(cache, &news, &row, inode);
out:
    inode_put(cache, inode);
    free(wanted.target);
    remote_fini(&row);
}

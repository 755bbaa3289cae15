/*
 * A page against the rows of its key range: both are in byte order, so one pass finds what is new, what changed and what is
 * missing. An unchanged page is only read. Rows below a common prefix are jumped over: '0' follows '/' in byte order.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cache/db.h"
#include "cache/push.h"
#include "cache/remote_apply.h"
#include "s3/base/buf.h"
#include "s3/base/log.h"

#define SLICE 256 /* entries of one transaction */

/* Entries and common prefixes of a page as one sequence in byte order. */
struct item {
    const char *key;
    size_t length;
    const struct s3_list_entry *entry; /* NULL: a common prefix */
    bool seen;                         /* unchanged */
};

struct merge {
    struct cache *cache;
    const struct remote_scope *scope;
    size_t prefix_length;
    remote_missing *missing;
    void *arg;
    struct buf low; /* where the rows of the next slice start */
};

static int compare(const void *a, size_t a_length, const void *b, size_t b_length)
{
    int order = memcmp(a, b, a_length < b_length ? a_length : b_length);
    return order ? order : a_length < b_length ? -1 : a_length > b_length;
}

/* ---- is it what was asked for? ---- */

static struct item *merge_items(const struct s3_list_page *page, size_t *count)
{
    struct item *items = calloc(page->entry_count + page->prefix_count + 1, sizeof *items);
    size_t e = 0, p = 0, n = 0;
    if (!items)
        return NULL;
    while (e < page->entry_count || p < page->prefix_count) {
        bool entry = p == page->prefix_count || (e < page->entry_count && strcmp(page->entries[e].key, page->prefixes[p]) < 0);
        const struct s3_list_entry *from = entry ? &page->entries[e++] : NULL;
        const char *key = entry ? from->key : page->prefixes[p++];
        items[n++] = (struct item){ .key = key, .length = strlen(key), .entry = from };
    }
    *count = n;
    return items;
}

static bool is_sound(const struct remote_scope *scope, const struct item *items, size_t count)
{
    const char *before = scope->after;
    size_t length = strlen(scope->prefix);
    for (size_t i = 0; i < count; i++) {
        if (strcmp(items[i].key, before) <= 0 && !(i == 0 && !before[0] && !items[i].key[0]))
            return false;
        if (strncmp(items[i].key, scope->prefix, length) != 0 || items[i].length > S3_KEY_MAX)
            return false;
        const char *slash = strchr(items[i].key + length, '/');
        if (scope->delimited && items[i].entry ? slash != NULL : !items[i].entry && (!slash || slash[1]))
            return false;
        if (items[i].entry && (!items[i].entry->etag || !items[i].entry->etag[0]))
            return false;
        before = items[i].key;
    }
    return true;
}

/* ---- the bounds of a slice ---- */

/* low: the first possible key behind this one; of a common prefix, behind everything below it. */
static void set_low_behind(struct merge *m, const char *key, size_t length)
{
    buf_reset(&m->low);
    buf_append(&m->low, key, length);
    if (m->scope->delimited && length > m->prefix_length && key[length - 1] == '/')
        m->low.data[length - 1] = '0';
    else
        buf_append(&m->low, "", 1); /* key NUL: no key is between it and key */
}

static void set_high(struct merge *m, const struct item *last, bool end, struct buf *high)
{
    buf_reset(high);
    if (!end) {
        buf_append(high, last->key, last->length);
        if (m->scope->delimited && !last->entry)
            high->data[last->length - 1] = '0';
        else
            buf_append(high, "", 1);
    } else if (m->prefix_length > 0) {
        buf_append(high, m->scope->prefix, m->prefix_length);
        high->data[m->prefix_length - 1]++;
    } else {
        buf_append(high, "\xff\xff\xff\xff", 4); /* no UTF-8 starts so */
    }
}

/* ---- one slice ---- */

static sqlite3_stmt *rows_from(struct merge *m, const void *low, size_t low_length, const struct buf *high)
{
    return db_query(m->cache, "SELECT key, etag, size, mtime_ms, coarse, gone, page, ino FROM remote WHERE key >= ? AND key < ? ORDER BY key",
                    "bb", low, low_length, (const void *)high->data, high->length);
}

static bool is_unchanged(sqlite3_stmt *row, const struct s3_list_entry *entry)
{
    const char *etag = sqlite3_column_blob(row, 1);
    size_t length = (size_t)sqlite3_column_bytes(row, 1);
    return etag && strlen(entry->etag) == length && memcmp(etag, entry->etag, length) == 0 &&
           (uint64_t)sqlite3_column_int64(row, 2) == entry->size && sqlite3_column_int64(row, 3) == entry->mtime_ms &&
           !sqlite3_column_int(row, 4) && sqlite3_column_int64(row, 7) != 0;
}

struct absent {
    char *keys[SLICE];
    size_t count;
};

/* Believed present, not listed: noted, and looked at again when no statement is open. */
static void note_absent(struct merge *m, sqlite3_stmt *row, struct absent *absent)
{
    if (!sqlite3_column_blob(row, 1) || sqlite3_column_int(row, 5) || sqlite3_column_int64(row, 6) > m->scope->stamp)
        return;
    char *key = strndup(sqlite3_column_blob(row, 0), (size_t)sqlite3_column_bytes(row, 0));
    if (key)
        absent->keys[absent->count++] = key;
    else
        db_fail(m->cache, -ENOMEM);
}

static void report_absent(struct merge *m, struct absent *absent)
{
    for (size_t i = 0; i < absent->count; i++) {
        struct remote row;
        if (remote_get_tx(m->cache, absent->keys[i], &row)) {
            if (m->missing && remote_may_apply_tx(m->cache, absent->keys[i], &row, m->scope->stamp))
                m->missing(m->arg, absent->keys[i]);
            remote_fini(&row);
        }
        free(absent->keys[i]);
    }
    absent->count = 0;
}

/* Marks what is unchanged, reports what is missing. */
static void compare_rows(struct merge *m, struct item *items, size_t count, const struct buf *high)
{
    struct absent absent = { .count = 0 };
    sqlite3_stmt *row = rows_from(m, m->low.data, m->low.length, high);
    size_t i = 0;
    while (db_step(m->cache, row)) {
        const char *key = sqlite3_column_blob(row, 0);
        size_t length = (size_t)sqlite3_column_bytes(row, 0);
        const char *slash = m->scope->delimited ? memchr(key + m->prefix_length, '/', length - m->prefix_length) : NULL;
        if (slash) {
            struct buf next = BUF_INIT(S3_KEY_MAX + 1);
            buf_append(&next, key, (size_t)(slash - key));
            buf_putc(&next, '0');
            db_done(row);
            row = rows_from(m, next.data, next.length, high);
            buf_fini(&next);
            continue;
        }
        int order = 1;
        while (i < count && (order = compare(items[i].key, items[i].length, key, length)) < 0)
            i++;
        if (i < count && order == 0 && items[i].entry)
            items[i].seen = is_unchanged(row, items[i].entry);
        else
            note_absent(m, row, &absent);
        if (absent.count == SLICE) {
            struct buf next = BUF_INIT(S3_KEY_MAX + 2);
            buf_append(&next, key, length);
            buf_append(&next, "", 1);
            db_done(row);
            report_absent(m, &absent);
            row = rows_from(m, next.data, next.length, high);
            buf_fini(&next);
        }
    }
    report_absent(m, &absent);
}

static int merge_slice(struct merge *m, struct item *items, size_t count, bool end)
{
    struct buf high = BUF_INIT(S3_KEY_MAX + 2);
    set_high(m, count ? &items[count - 1] : NULL, end, &high);
    if (high.failed || m->low.failed) {
        buf_fini(&high);
        return -ENOMEM;
    }
    db_begin(m->cache);
    compare_rows(m, items, count, &high);
    for (size_t i = 0; i < count; i++) {
        const struct s3_list_entry *entry = items[i].entry;
        if (items[i].seen)
            continue;
        if (!entry) {
            remote_apply_prefix_tx(m->cache, items[i].key, m->scope->stamp, m->scope->quiet);
            continue;
        }
        struct remote_news news = { .key = entry->key, .etag = entry->etag, .size = entry->size, .mtime_ms = entry->mtime_ms,
                                    .stamp = m->scope->stamp, .quiet = m->scope->quiet };
        remote_apply_news_tx(m->cache, &news);
    }
    buf_fini(&high);
    if (count)
        set_low_behind(m, items[count - 1].key, items[count - 1].length);
    return db_commit(m->cache);
}

int remote_apply_page(struct cache *cache, const struct remote_scope *scope, const struct s3_list_page *page, remote_missing *missing, void *arg)
{
    size_t count = 0;
    struct merge m = { .cache = cache, .scope = scope, .prefix_length = strlen(scope->prefix), .missing = missing, .arg = arg,
                       .low = BUF_INIT(S3_KEY_MAX + 2) };
    struct item *items = merge_items(page, &count);
    int error = items ? 0 : -ENOMEM;
    bool last = page->next_token == NULL;
    if (!error && !is_sound(scope, items, count)) {
        log_notice("a listing of \"%s\" is out of order or holds other keys; it is not used", scope->prefix);
        error = -EBADMSG;
    }
    if (scope->after[0])
        set_low_behind(&m, scope->after, strlen(scope->after));
    else
        buf_append(&m.low, scope->prefix, m.prefix_length);
    for (size_t at = 0; !error && (at < count || (last && at == 0 && count == 0)); at += SLICE) {
        size_t n = count - at < SLICE ? count - at : SLICE;
        error = merge_slice(&m, items + at, n, last && at + n == count);
        if (count == 0)
            break;
    }
    buf_fini(&m.low);
    free(items);
    return error;
}

/* ---- directories that a delimited listing lacks ---- */

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

int remote_missing_directories(struct cache *cache, uint64_t ino, const char *prefix, char *const *seen, size_t count,
                               remote_missing *missing, void *arg)
{
    static const char children[] = "SELECT d.name, d.ino FROM dentry d JOIN inode i ON i.ino = d.ino"
                                   " WHERE d.parent = ? AND d.name > ? AND i.mode & 61440 = 16384 ORDER BY d.name LIMIT 256";
    char last[CACHE_NAME_MAX + 1] = "";
    int error = 0;
    for (bool more = true; more && !error;) {
        struct { char key[S3_KEY_MAX + CACHE_NAME_MAX + 2]; uint64_t ino; } *found = calloc(SLICE, sizeof *found);
        size_t n = 0;
        if (!found)
            return -ENOMEM;
        db_begin(cache);
        sqlite3_stmt *stmt = db_query(cache, children, "iz", (int64_t)ino, last);
        while (db_step(cache, stmt)) {
            size_t length = (size_t)sqlite3_column_bytes(stmt, 0);
            memcpy(last, sqlite3_column_blob(stmt, 0), length);
            last[length] = '\0';
            found[n].ino = (uint64_t)sqlite3_column_int64(stmt, 1);
            snprintf(found[n].key, sizeof found[n].key, "%s%s/", prefix, last);
            n++;
        }
        more = n == SLICE;
        for (size_t i = 0; i < n; i++) {
            const char *key = found[i].key;
            if (!(count > 0 && bsearch(&key, seen, count, sizeof *seen, by_name)) && !push_pending_inode_tx(cache, found[i].ino) &&
                !push_pending_key_tx(cache, key))
                missing(arg, key);
        }
        error = db_commit(cache);
        free(found);
    }
    return error;
}

#include "cache/remote.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cache/db.h"

#define BATCH 32 /* rows that an iteration holds at once */

#define ROW "SELECT key, etag, size, mtime_ms, coarse, gone, ino, data_version, meta_version, page, headers, nonce FROM remote "

static char *column_copy(struct cache *cache, sqlite3_stmt *stmt, int column)
{
    const char *bytes = sqlite3_column_blob(stmt, column);
    if (!bytes) /* NULL, or an empty string: neither is a key, an ETag, JSON or a nonce */
        return NULL;
    char *copy = strndup(bytes, (size_t)sqlite3_column_bytes(stmt, column));
    if (!copy)
        db_fail(cache, -ENOMEM);
    return copy;
}

static void read_row(struct cache *cache, sqlite3_stmt *stmt, struct remote *row)
{
    *row = (struct remote){
        .key = column_copy(cache, stmt, 0),
        .etag = column_copy(cache, stmt, 1),
        .size = (uint64_t)sqlite3_column_int64(stmt, 2),
        .mtime_ms = sqlite3_column_int64(stmt, 3),
        .coarse = sqlite3_column_int(stmt, 4) != 0,
        .gone = sqlite3_column_int(stmt, 5) != 0,
        .ino = (uint64_t)sqlite3_column_int64(stmt, 6),
        .data_version = sqlite3_column_int64(stmt, 7),
        .meta_version = sqlite3_column_int64(stmt, 8),
        .page = sqlite3_column_int64(stmt, 9),
        .headers = column_copy(cache, stmt, 10),
        .nonce = column_copy(cache, stmt, 11),
    };
}

bool remote_get_tx(struct cache *cache, const char *key, struct remote *row)
{
    sqlite3_stmt *stmt = db_query(cache, ROW "WHERE key = ?", "z", key);
    if (!db_step(cache, stmt))
        return false;
    read_row(cache, stmt, row);
    db_done(stmt);
    if (row->key)
        return true;
    remote_fini(row);
    return false;
}

void remote_put_tx(struct cache *cache, const struct remote *row)
{
    db_run(cache,
           "INSERT OR REPLACE INTO remote(key, etag, size, mtime_ms, coarse, gone, ino, data_version, meta_version, page, headers, nonce)"
           " VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
           "ztiiiiiiiizt", row->key, row->etag, (int64_t)row->size, row->mtime_ms, (int64_t)row->coarse, (int64_t)row->gone,
           (int64_t)row->ino, row->data_version, row->meta_version, row->page, row->headers, row->nonce);
}

void remote_delete_tx(struct cache *cache, const char *key)
{
    db_run(cache, "DELETE FROM remote WHERE key = ?", "z", key);
}

void remote_fini(struct remote *row)
{
    free(row->key);
    free(row->etag);
    free(row->headers);
    free(row->nonce);
    *row = (struct remote){ 0 };
}

/* Reads up to BATCH rows, so that what is done with them may change the table. */
static size_t read_batch(struct cache *cache, sqlite3_stmt *stmt, struct remote *rows)
{
    size_t count = 0;
    while (db_step(cache, stmt)) {
        read_row(cache, stmt, &rows[count]);
        if (!rows[count].key) {
            remote_fini(&rows[count]);
            db_done(stmt);
            break;
        }
        if (++count == BATCH) {
            db_done(stmt);
            break;
        }
    }
    return count;
}

/* Hands the rows out until each says stop, and frees them. *last (when not NULL) becomes the last key. */
static bool hand_out(struct remote *rows, size_t count, bool (*each)(void *arg, struct remote *row), void *arg, char **last)
{
    bool more = true;
    if (last && count > 0) {
        free(*last);
        *last = strdup(rows[count - 1].key);
    }
    for (size_t i = 0; i < count; i++) {
        more = more && each(arg, &rows[i]);
        remote_fini(&rows[i]);
    }
    return more;
}

void remote_each_tx(struct cache *cache, const char *low, const char *high, bool (*each)(void *arg, struct remote *row), void *arg)
{
    struct remote rows[BATCH];
    char *last = NULL;
    size_t count;
    do {
        sqlite3_stmt *stmt = last ? db_query(cache, ROW "WHERE key > ? AND key < ? ORDER BY key", "zz", last, high)
                                  : db_query(cache, ROW "WHERE key >= ? AND key < ? ORDER BY key", "zz", low, high);
        count = read_batch(cache, stmt, rows);
        if (!hand_out(rows, count, each, arg, &last))
            break;
        if (count == BATCH && !last)
            db_fail(cache, -ENOMEM);
    } while (count == BATCH && last);
    free(last);
}

void remote_each_of_tx(struct cache *cache, uint64_t ino, bool (*each)(void *arg, struct remote *row), void *arg)
{
    struct remote rows[BATCH];
    char *last = NULL;
    size_t count;
    do {
        sqlite3_stmt *stmt = last ? db_query(cache, ROW "WHERE ino = ? AND ino != 0 AND key > ? ORDER BY key", "iz", (int64_t)ino, last)
                                  : db_query(cache, ROW "WHERE ino = ? AND ino != 0 ORDER BY key", "i", (int64_t)ino);
        count = read_batch(cache, stmt, rows);
        if (!hand_out(rows, count, each, arg, &last))
            break;
        if (count == BATCH && !last)
            db_fail(cache, -ENOMEM);
    } while (count == BATCH && last);
    free(last);
}

int64_t remote_stamp(struct cache *cache)
{
    db_begin(cache);
    int64_t stamp = db_next(cache, DB_SEQUENCE);
    db_commit(cache);
    return stamp;
}

uint64_t remote_count_tx(struct cache *cache, const char *low, const char *high)
{
    uint64_t count = 0;
    sqlite3_stmt *stmt = db_query(cache, "SELECT count(*) FROM remote WHERE key >= ? AND key < ? AND etag IS NOT NULL", "zz", low, high);
    if (db_step(cache, stmt)) {
        count = (uint64_t)sqlite3_column_int64(stmt, 0);
        db_done(stmt);
    }
    return count;
}

#include "cache/db.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "cache/db_internal.h"
#include "s3/base/log.h"

#define NUMBERS_AHEAD 4096 /* numbers reserved by one write of the high-water mark */

/* The lock lives from db_begin to db_commit, which no annotation can say. */
static void inside(const struct cache *cache) NO_LOCK_ANALYSIS
{
    lock_assert_held(&cache->db->lock);
}

/* ---- statements ---- */

int db_error_of(sqlite3 *handle)
{
    switch (sqlite3_errcode(handle) & 0xff) {
    case SQLITE_OK: case SQLITE_ROW: case SQLITE_DONE: return 0;
    case SQLITE_FULL: return -ENOSPC;
    case SQLITE_NOMEM: return -ENOMEM;
    case SQLITE_CORRUPT: case SQLITE_NOTADB: return -EUCLEAN;
    case SQLITE_CANTOPEN: return sqlite3_system_errno(handle) == ENOSPC ? -ENOSPC : -EIO;
    case SQLITE_IOERR: return sqlite3_system_errno(handle) == ENOSPC || sqlite3_system_errno(handle) == EDQUOT ? -ENOSPC : -EIO;
    default: return -EIO;
    }
}

void db_fail(struct cache *cache, int error)
{
    if (!cache->db->error)
        cache->db->error = error;
}

int db_failed(const struct cache *cache)
{
    inside(cache);
    return cache->db->error;
}

static void fail_by_sqlite(struct cache *cache, const char *doing)
{
    struct db *db = cache->db;
    int error = db_error_of(db->handle);
    if (!db->error) {
        db->error = error ? error : -EIO;
        cache_note_error(cache, "the index failed (%s): %s", sqlite3_errmsg(db->handle), doing);
    }
}

sqlite3_stmt *db_prepare(struct cache *cache, const char *sql)
{
    sqlite3_stmt *stmt = NULL;
    if (sqlite3_prepare_v3(cache->db->handle, sql, -1, SQLITE_PREPARE_PERSISTENT, &stmt, NULL) != SQLITE_OK) {
        fail_by_sqlite(cache, sql);
        return NULL;
    }
    return stmt;
}

static sqlite3_stmt *statement_for(struct cache *cache, const char *sql)
{
    struct db *db = cache->db;
    struct statement *first, *s;
    HASH_FIND_PTR(db->statements, &sql, first);
    for (s = first; s; s = s->more)
        if (!sqlite3_stmt_busy(s->stmt))
            return s->stmt;
    sqlite3_stmt *stmt = db_prepare(cache, sql);
    if (!stmt)
        return NULL;
    s = calloc(1, sizeof *s);
    if (!s) {
        sqlite3_finalize(stmt);
        db_fail(cache, -ENOMEM);
        return NULL;
    }
    s->sql = sql;
    s->stmt = stmt;
    if (first) {
        s->more = first->more;
        first->more = s;
    } else {
        HASH_ADD_PTR(db->statements, sql, s);
    }
    return stmt;
}

static bool start(struct cache *cache)
{
    struct db *db = cache->db;
    if (db->started)
        return true;
    int rc = sqlite3_step(db->begin);
    sqlite3_reset(db->begin);
    if (rc != SQLITE_DONE) {
        fail_by_sqlite(cache, "BEGIN");
        return false;
    }
    db->started = true;
    db->changes_before = sqlite3_total_changes64(db->handle);
    return true;
}

static int bind(sqlite3_stmt *stmt, const char *format, va_list *args)
{
    int rc = SQLITE_OK;
    for (int i = 1; format && *format && rc == SQLITE_OK; format++, i++) {
        switch (*format) {
        case 'i':
            rc = sqlite3_bind_int64(stmt, i, va_arg(*args, int64_t));
            break;
        case 't':
            rc = sqlite3_bind_text(stmt, i, va_arg(*args, const char *), -1, SQLITE_TRANSIENT);
            break;
        case 'b': {
            const void *data = va_arg(*args, const void *);
            size_t size = va_arg(*args, size_t);
            /* An empty blob is not NULL. */
            rc = sqlite3_bind_blob64(stmt, i, data && size ? data : "", size, SQLITE_TRANSIENT);
            break;
        }
        case 'n':
            rc = sqlite3_bind_null(stmt, i);
            break;
        case 'z': {
            const char *text = va_arg(*args, const char *);
            rc = text ? sqlite3_bind_blob64(stmt, i, text, strlen(text), SQLITE_TRANSIENT) : sqlite3_bind_null(stmt, i);
            break;
        }
        default:
            assert(false && "a format of db_query knows i, t, b, n and z");
        }
    }
    return rc;
}

static sqlite3_stmt *query(struct cache *cache, const char *sql, const char *format, va_list *args)
{
    inside(cache);
    if (!start(cache))
        return NULL;
    sqlite3_stmt *stmt = statement_for(cache, sql);
    if (!stmt)
        return NULL;
    if (bind(stmt, format, args) != SQLITE_OK) {
        fail_by_sqlite(cache, sql);
        sqlite3_clear_bindings(stmt);
        return NULL;
    }
    return stmt;
}

sqlite3_stmt *db_query(struct cache *cache, const char *sql, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    sqlite3_stmt *stmt = query(cache, sql, format, &args);
    va_end(args);
    return stmt;
}

bool db_step(struct cache *cache, sqlite3_stmt *stmt)
{
    if (!stmt)
        return false;
    int rc = sqlite3_step(stmt);
    if (rc == SQLITE_ROW)
        return true;
    if (rc != SQLITE_DONE)
        fail_by_sqlite(cache, sqlite3_sql(stmt));
    db_done(stmt);
    return false;
}

void db_done(sqlite3_stmt *stmt)
{
    if (!stmt)
        return;
    sqlite3_reset(stmt);
    sqlite3_clear_bindings(stmt);
}

int db_run(struct cache *cache, const char *sql, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    sqlite3_stmt *stmt = query(cache, sql, format, &args);
    va_end(args);
    if (!stmt)
        return cache->db->error;
    while (db_step(cache, stmt)) {
    }
    return cache->db->error ? cache->db->error : sqlite3_changes(cache->db->handle);
}

void db_statements_free(struct db *db)
{
    struct statement *s, *next;
    HASH_ITER(hh, db->statements, s, next) {
        HASH_DEL(db->statements, s);
        while (s) {
            struct statement *more = s->more;
            sqlite3_finalize(s->stmt);
            free(s);
            s = more;
        }
    }
    sqlite3_finalize(db->begin);
    sqlite3_finalize(db->commit);
    sqlite3_finalize(db->rollback);
}

/* ---- transactions ---- */

void db_begin(struct cache *cache) NO_LOCK_ANALYSIS
{
    struct db *db = cache->db;
    if (atomic_load(&db->turn))
        db_checkpoint_first(db);
    lock_take(&db->lock);
    db->error = 0;
    db->started = false;
}

static void add_callback(struct cache *cache, struct callbacks *list, void (*fn)(struct cache *, void *, bool), void *arg)
{
    if (list->count == list->capacity) {
        size_t capacity = list->capacity ? list->capacity * 2 : 16;
        struct callback *items = realloc(list->items, capacity * sizeof *items);
        if (!items) {
            db_fail(cache, -ENOMEM);
            fn(cache, arg, false);
            return;
        }
        list->items = items;
        list->capacity = capacity;
    }
    list->items[list->count++] = (struct callback){ fn, arg };
}

void db_settle(struct cache *cache, void (*fn)(struct cache *cache, void *arg, bool committed), void *arg)
{
    inside(cache);
    add_callback(cache, &cache->db->settle, fn, arg);
}

void db_after(struct cache *cache, void (*fn)(struct cache *cache, void *arg, bool committed), void *arg)
{
    inside(cache);
    add_callback(cache, &cache->db->after, fn, arg);
}

static void finish(struct cache *cache, bool committed) NO_LOCK_ANALYSIS
{
    struct db *db = cache->db;
    bool checkpoint = committed && db->wal_frames >= WAL_FRAMES_WANTED;
    for (size_t i = 0; i < db->settle.count; i++)
        db->settle.items[i].fn(cache, db->settle.items[i].arg, committed);
    db->settle.count = 0;
    struct callbacks after = db->after;
    db->after = (struct callbacks){ 0 };
    lock_drop(&db->lock);
    for (size_t i = 0; i < after.count; i++)
        after.items[i].fn(cache, after.items[i].arg, committed);
    free(after.items);
    if (checkpoint)
        db_checkpoint_wanted(db);
}

static void undo(struct cache *cache)
{
    struct db *db = cache->db;
    /* A failed COMMIT has usually rolled back already. */
    if (db->started && !sqlite3_get_autocommit(db->handle)) {
        if (sqlite3_step(db->rollback) != SQLITE_DONE)
            log_error("the index could not roll back: %s", sqlite3_errmsg(db->handle));
        sqlite3_reset(db->rollback);
    }
    memcpy(db->limit, db->saved_limit, sizeof db->limit);
    finish(cache, false);
}

int db_commit(struct cache *cache)
{
    struct db *db = cache->db;
    inside(cache);
    if (!db->error && db->started) {
        bool changed = sqlite3_total_changes64(db->handle) != db->changes_before;
        int rc = sqlite3_step(db->commit);
        sqlite3_reset(db->commit);
        if (rc != SQLITE_DONE)
            fail_by_sqlite(cache, "COMMIT");
        else if (changed)
            atomic_fetch_add(&db->commits, 1);
    }
    int error = db->error;
    if (error) {
        undo(cache);
        return error;
    }
    memcpy(db->saved_limit, db->limit, sizeof db->limit);
    finish(cache, true);
    return 0;
}

void db_rollback(struct cache *cache)
{
    inside(cache);
    undo(cache);
}

/* ---- numbers, settings ---- */

const char *const db_number_names[DB_NUMBERS] = { "next_ino", "next_dentry", "next_content", "next_sequence" };

int64_t db_next(struct cache *cache, enum db_number which)
{
    struct db *db = cache->db;
    inside(cache);
    if (db->next[which] >= db->limit[which]) {
        db->limit[which] = db->next[which] + NUMBERS_AHEAD;
        db_run(cache, "INSERT OR REPLACE INTO setting(name, value) VALUES(?, ?)", "ti", db_number_names[which], db->limit[which]);
    }
    return db->next[which]++;
}

char *db_setting_get(struct cache *cache, const char *name)
{
    char *value = NULL;
    sqlite3_stmt *stmt = db_query(cache, "SELECT value FROM setting WHERE name = ?", "t", name);
    if (db_step(cache, stmt)) {
        const char *text = (const char *)sqlite3_column_text(stmt, 0);
        if (text) {
            value = strdup(text);
            if (!value)
                db_fail(cache, -ENOMEM);
        }
        db_done(stmt);
    }
    return value;
}

void db_setting_set(struct cache *cache, const char *name, const char *value)
{
    db_run(cache, "INSERT OR REPLACE INTO setting(name, value) VALUES(?, ?)", "tt", name, value);
}

int64_t db_setting_number(struct cache *cache, const char *name, int64_t otherwise)
{
    char *text = db_setting_get(cache, name);
    int64_t value = text ? strtoll(text, NULL, 10) : otherwise;
    free(text);
    return value;
}

struct lock *db_lock(struct cache *cache)
{
    return &cache->db->lock;
}

uint64_t db_commits(const struct cache *cache)
{
    return atomic_load(&cache->db->commits);
}

uint64_t db_syncs(const struct cache *cache)
{
    return atomic_load(&cache->db->syncs);
}

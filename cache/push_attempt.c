#include "cache/push_attempt.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "cache/db.h"
#include "cache/inode.h"
#include "cache/push_state.h"
#include "cache/todo.h"
#include "cache/tree.h"
#include "s3/base/clock.h"

/* In column kind beside the kind itself. */
#define LATE 16
/* Rows of requests that may still land are given up after so many times PUSH_LATE_MS, whoever may have to look at them. */
#define SWEEP 20

/* Two machines resumed from one image may hold the same random state; they do not run at the same nanosecond. */
void push_attempt_nonce(char nonce[PUSH_NONCE_SIZE])
{
    uint64_t random = 0;
    struct timespec mono, wall;
    if (getrandom(&random, sizeof random, 0) != (ssize_t)sizeof random)
        random = (uint64_t)rand();
    clock_gettime(CLOCK_MONOTONIC, &mono);
    clock_gettime(CLOCK_REALTIME, &wall);
    random ^= (uint64_t)mono.tv_nsec * 0x9e3779b97f4a7c15u + (uint64_t)wall.tv_nsec * 0xbf58476d1ce4e5b9u + (uint64_t)wall.tv_sec;
    snprintf(nonce, PUSH_NONCE_SIZE, "%016llx%016d", (unsigned long long)random, 0);
}

/* FNV-1a over what a program can set; ctime follows from that, and atime is nobody's. */
static void hash_of(char hash[17], const struct inode *values)
{
    char text[160];
    uint64_t h = 0xcbf29ce484222325u;
    snprintf(text, sizeof text, "%o %u %u %llu %lld", values->mode, values->uid, values->gid, (unsigned long long)values->rdev, (long long)values->mtime);
    for (const char *c = text; *c; c++)
        h = (h ^ (unsigned char)*c) * 0x100000001b3u;
    snprintf(hash, 17, "%016llx", (unsigned long long)h);
}

void push_attempt_sign(char nonce[PUSH_NONCE_SIZE], const struct inode *values)
{
    hash_of(nonce + 16, values);
}

bool push_attempt_signed_as(const char *nonce, const struct inode *values)
{
    char hash[17];
    hash_of(hash, values);
    return nonce && strlen(nonce) == PUSH_NONCE_SIZE - 1 && strcmp(nonce + 16, hash) == 0;
}

void push_attempt_new_tx(struct cache *cache, struct push_attempt *a)
{
    a->instance = cache->instance;
    a->started_ms = clock_wall_ms();
    db_run(cache, "INSERT INTO attempt(key, kind, ino, data_version, meta_version, source, condition, expected_etag, nonce, upload_id, part_size, instance, started_ms)"
           " VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", "ziiiizttttiti",
           a->key, (int64_t)a->kind, (int64_t)a->ino, a->data_version, a->meta_version, a->source, a->condition, a->expected_etag,
           a->nonce, a->upload_id, (int64_t)a->part_size, a->instance, a->started_ms);
    sqlite3_stmt *row = db_query(cache, "SELECT last_insert_rowid()", "");
    if (db_step(cache, row)) {
        a->id = sqlite3_column_int64(row, 0);
        db_done(row);
    }
}

void push_attempt_delete_tx(struct cache *cache, int64_t id)
{
    db_run(cache, "DELETE FROM attempt WHERE id = ?", "i", id);
}

void push_attempt_parts_tx(struct cache *cache, int64_t id, const void *parts, size_t size)
{
    db_run(cache, "UPDATE attempt SET parts = ? WHERE id = ?", "bi", parts, size, id);
}

void push_attempt_complete_tx(struct cache *cache, int64_t id, const char *condition, const char *expected_etag)
{
    db_run(cache, "UPDATE attempt SET kind = ?, condition = ?, expected_etag = ?, started_ms = ? WHERE id = ?", "ittii",
           (int64_t)PUSH_ATTEMPT_COMPLETE, condition, expected_etag, clock_wall_ms(), id);
}

void push_attempt_parts_again_tx(struct cache *cache, const char *key)
{
    db_run(cache, "UPDATE attempt SET kind = 5 WHERE key = ? AND kind = 3", "z", key);
}

bool push_attempt_has_upload_tx(struct cache *cache, const char *key)
{
    sqlite3_stmt *row = db_query(cache, "SELECT 1 FROM attempt WHERE key = ? AND kind = 5 LIMIT 1", "z", key);
    bool found = db_step(cache, row);
    if (found)
        db_done(row);
    return found;
}

void push_attempt_missed_tx(struct cache *cache, const char *key)
{
    db_run(cache, "UPDATE attempt SET kind = kind + 16, started_ms = ? WHERE key = ? AND kind < 5", "iz", clock_wall_ms(), key);
}

static int64_t late_ms(struct cache *cache)
{
    return cache->push ? cache->push->pace.late_ms : PUSH_LATE_MS;
}

/* That a later request succeeded, or a DELETE, does not keep an earlier one from landing once the key is free for it. */
void push_attempt_settled_tx(struct cache *cache, const char *key)
{
    int64_t now = clock_wall_ms(), late = late_ms(cache);
    db_run(cache, "DELETE FROM attempt WHERE key = ? AND (kind < 5 OR (kind BETWEEN 17 AND 19 AND (started_ms <= ? OR started_ms > ?)))", "zii", key,
           now - late, now + late);
    /* Of keys that nobody asked about again. */
    db_run(cache, "DELETE FROM attempt WHERE kind > 16 AND (started_ms < ? OR started_ms > ?)", "ii", now - SWEEP * late, now + SWEEP * late);
}

bool push_attempt_unresolved_tx(struct cache *cache, const char *key)
{
    sqlite3_stmt *row = db_query(cache, "SELECT 1 FROM attempt WHERE key = ? AND kind < 5 LIMIT 1", "z", key);
    bool found = db_step(cache, row);
    if (found)
        db_done(row);
    return found;
}

int64_t push_attempt_late_tx(struct cache *cache, const char *key, bool deletes)
{
    int64_t now = clock_wall_ms(), left = 0, late = late_ms(cache);
    /* A clock that was set back must not make it for ever. */
    db_run(cache, "DELETE FROM attempt WHERE key = ? AND kind = 20 AND (started_ms < ? OR started_ms > ?)", "zii", key, now - late, now + late);
    sqlite3_stmt *row = db_query(cache, "SELECT max(started_ms) FROM attempt WHERE key = ? AND kind > 16 AND (kind = 20) = ?", "zi", key, (int64_t)deletes);
    if (db_step(cache, row)) {
        if (sqlite3_column_type(row, 0) != SQLITE_NULL) {
            left = sqlite3_column_int64(row, 0) + late - now;
            left = left <= 0 ? -1 : left > late ? late : left;
        }
        db_done(row);
    }
    return left;
}

static const char *text(sqlite3_stmt *row, int column)
{
    return (const char *)sqlite3_column_text(row, column);
}

void push_attempt_each_tx(struct cache *cache, const char *key, bool (*each)(void *arg, const struct push_attempt *attempt), void *arg)
{
    sqlite3_stmt *row = db_query(cache, "SELECT id, kind, ino, data_version, meta_version, CAST(source AS TEXT), condition, expected_etag, nonce, upload_id,"
                                 " part_size, parts, instance, started_ms FROM attempt WHERE key = ? ORDER BY id", "z", key);
    while (db_step(cache, row)) {
        int kind = sqlite3_column_int(row, 1);
        struct push_attempt a = {
            .id = sqlite3_column_int64(row, 0), .kind = (enum push_attempt_kind)(kind & (LATE - 1)), .late = kind >= LATE, .key = key,
            .ino = (uint64_t)sqlite3_column_int64(row, 2), .data_version = sqlite3_column_int64(row, 3), .meta_version = sqlite3_column_int64(row, 4),
            .source = text(row, 5), .condition = text(row, 6), .expected_etag = text(row, 7), .nonce = text(row, 8), .upload_id = text(row, 9),
            .part_size = (uint64_t)sqlite3_column_int64(row, 10), .parts = sqlite3_column_blob(row, 11),
            .parts_size = (size_t)sqlite3_column_bytes(row, 11), .instance = text(row, 12), .started_ms = sqlite3_column_int64(row, 13),
        };
        if (!each(arg, &a)) {
            db_done(row);
            return;
        }
    }
}

#define ADOPT_MAX 4096

void push_attempt_adopt_tx(struct cache *cache)
{
    char **keys = calloc(ADOPT_MAX, sizeof *keys);
    size_t count = 0;
    if (!keys) {
        db_fail(cache, -ENOMEM);
        return;
    }
    sqlite3_stmt *row = db_query(cache, "SELECT DISTINCT CAST(key AS TEXT) FROM attempt LIMIT 4096", "");
    while (db_step(cache, row))
        if (count < ADOPT_MAX && (keys[count] = strdup(text(row, 0))))
            count++;
    for (size_t i = 0; i < count; i++) {
        uint64_t ino = tree_find_tx(cache, keys[i]);
        if (ino)
            todo_inode_tx(cache, ino, false);
        else
            todo_gone_tx(cache, keys[i], false);
        free(keys[i]);
    }
    free(keys);
}

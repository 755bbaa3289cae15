/*
 * Renamed directories. What lies below one is looked at under its new keys, and what needs a copy becomes a todo row of its
 * own that takes over the rename's place in the order; so the copies go in parallel, and a cut leaves two trees of which one
 * is whole. The old keys follow when all of that is done: slices of at most a thousand, each after a listing that proves the
 * copies and one that checks the sources, by one DeleteObjects whose answer is read.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cache/db.h"
#include "cache/push_list.h"
#include "s3/base/clock.h"
#include "s3/base/log.h"

#define BATCH 256
#define WAIT_MS 100

/* ---- a moved directory: what below it is not where it should be ---- */

struct inos {
    uint64_t *items;
    size_t count, capacity;
};

static bool add(struct inos *inos, uint64_t ino)
{
    if (inos->count == inos->capacity) {
        size_t capacity = inos->capacity ? 2 * inos->capacity : 256;
        uint64_t *items = realloc(inos->items, capacity * sizeof *items);
        if (!items)
            return false;
        inos->items = items;
        inos->capacity = capacity;
    }
    inos->items[inos->count++] = ino;
    return true;
}

static int collect(struct push_run *run, struct inos *inos)
{
    int error = 0;
    db_begin(run->cache);
    lock_take(&run->push->lock);
    run->sequence = run->item->last;
    lock_drop(&run->push->lock);
    sqlite3_stmt *rows = db_query(run->cache, "WITH RECURSIVE below(ino) AS (SELECT ? UNION SELECT d.ino FROM dentry d JOIN below b ON d.parent = b.ino)"
                                  " SELECT ino FROM below", "i", (int64_t)run->item->ino);
    while (db_step(run->cache, rows))
        if (!add(inos, (uint64_t)sqlite3_column_int64(rows, 0))) {
            db_done(rows);
            error = -ENOMEM;
            break;
        }
    int commit = db_commit(run->cache);
    return error ? error : commit;
}

static int spread(struct push_run *run, const struct inos *inos, int64_t first)
{
    for (size_t start = 0; start < inos->count; start += BATCH) {
        db_begin(run->cache);
        for (size_t i = start; i < inos->count && i < start + BATCH; i++) {
            struct push_look look;
            push_look_inode_tx(run->push, inos->items[i], &look);
            if (look.step != PUSH_NOTHING)
                push_inherit_tx(run->push, inos->items[i], NULL, first, run->sequence);
            push_look_fini(&look);
        }
        int error = db_commit(run->cache);
        if (error)
            return error;
    }
    return 0;
}

static void moved(struct push_run *run)
{
    struct inos inos = { 0 };
    int error = collect(run, &inos);
    lock_take(&run->push->lock);
    int64_t first = run->item->first;
    lock_drop(&run->push->lock);
    if (!error)
        error = spread(run, &inos, first);
    free(inos.items);
    if (!error) {
        db_begin(run->cache);
        db_run(run->cache, "DELETE FROM todo WHERE kind = ? AND target = ? AND last = ?", "iii", (int64_t)TODO_TREE, (int64_t)run->item->ino, run->sequence);
        error = db_commit(run->cache);
    }
    if (error)
        push_run_local(run, error, "a renamed directory cannot be worked through");
    else
        push_run_finished(run);
}

/* ---- the old keys ---- */

struct slice {
    struct push_run *run;
    struct push_removal removals[S3_LIST_MAX];
    size_t count;
    bool more;          /* rows are left behind this slice */
    bool waiting;       /* some that must stay for now */
    char after[S3_KEY_MAX + 2];
};

/* A key that needs more than a check gets a row of its own, at the same place in the order. */
static void hand_on_tx(struct push_run *run, const char *key)
{
    lock_take(&run->push->lock);
    int64_t first = run->item->first;
    lock_drop(&run->push->lock);
    push_inherit_tx(run->push, 0, key, first, run->sequence);
}

static bool take_row(void *arg, struct remote *row)
{
    struct slice *slice = arg;
    if (slice->count == S3_LIST_MAX) {
        slice->more = true;
        return false;
    }
    snprintf(slice->after, sizeof slice->after, "%s\x01", row->key);
    if (!row->etag)
        return true;
    struct push_look look;
    push_look_gone_tx(slice->run->push, row->key, &look);
    if (look.step == PUSH_DELETE) {
        slice->removals[slice->count++] = (struct push_removal){ .key = strdup(row->key), .have = *row };
        *row = (struct remote){ 0 };
    } else if (look.step == PUSH_RESOLVE) {
        /* A DELETE or copy whose answer was lost: found out by a row of its own. */
        hand_on_tx(slice->run, row->key);
    } else if (look.step != PUSH_NOTHING) {
        slice->waiting = true;
    }
    push_look_fini(&look);
    return true;
}

/* Where the bytes of a source went, by the rows. */
struct copied {
    char key[S3_KEY_MAX + 1], etag[S3_ETAG_MAX + 1];
    size_t removal;
};

static int by_key(const void *a, const void *b)
{
    return strcmp(((const struct copied *)a)->key, ((const struct copied *)b)->key);
}

static size_t find_copies(struct push_run *run, struct slice *slice, struct copied *copies)
{
    size_t count = 0;
    db_begin(run->cache);
    for (size_t i = 0; i < slice->count; i++) {
        struct buf key = BUF_INIT(S3_KEY_MAX + 1);
        struct remote row = { 0 };
        const struct remote *have = &slice->removals[i].have;
        if (have->ino && tree_key_tx(run->cache, have->ino, &key) == 0 && key.data && remote_get_tx(run->cache, key.data, &row)) {
            if (row.etag && row.ino == have->ino) {
                snprintf(copies[count].key, sizeof copies[count].key, "%s", key.data);
                snprintf(copies[count].etag, sizeof copies[count].etag, "%s", row.etag);
                copies[count++].removal = i;
            }
            remote_fini(&row);
        }
        buf_fini(&key);
    }
    db_commit(run->cache);
    qsort(copies, count, sizeof *copies, by_key);
    return count;
}

/* The longest directory that all lie in. */
static void common_directory(char prefix[S3_KEY_MAX + 1], const char *first, const char *last)
{
    size_t length = 0, slash = 0;
    for (; first[length] && first[length] == last[length]; length++)
        if (first[length] == '/')
            slash = length + 1;
    snprintf(prefix, S3_KEY_MAX + 1, "%.*s", (int)slash, first);
}

/* One listing says of each copy that it is there; a source whose copy is not stays. */
static enum s3_outcome prove(struct push_run *run, struct slice *slice)
{
    struct copied *copies = calloc(slice->count, sizeof *copies);
    struct push_listed *listed = calloc(slice->count, sizeof *listed);
    enum s3_outcome outcome = S3_OK;
    char prefix[S3_KEY_MAX + 1];
    size_t count = copies && listed ? find_copies(run, slice, copies) : 0;
    if (!copies || !listed) {
        run->error = (struct s3_error){ .outcome = S3_LOCAL, .local_errno = ENOMEM };
        outcome = S3_LOCAL;
    }
    for (size_t i = 0; i < count; i++)
        listed[i].key = copies[i].key;
    if (count) {
        common_directory(prefix, copies[0].key, copies[count - 1].key);
        outcome = push_list(run, prefix, false, listed, count, 3 + (int)(count / 100));
    }
    for (size_t i = 0; i < count && outcome == S3_OK; i++)
        if (!listed[i].covered || !listed[i].present || strcmp(listed[i].etag, copies[i].etag) != 0) {
            slice->removals[copies[i].removal].state = PUSH_REMOVE_FAILED;
            slice->waiting = true;
            log_notice("%s stays until its copy %s is seen in the bucket", slice->removals[copies[i].removal].key, copies[i].key);
        }
    free(copies);
    free(listed);
    return outcome;
}

/* Another client's version under an old key is no longer ours to delete: it appears there. A HEAD tells what it is, so that is left to a row of its own. */
static int hand_on(struct push_run *run, struct slice *slice)
{
    db_begin(run->cache);
    for (size_t i = 0; i < slice->count; i++)
        if (slice->removals[i].state == PUSH_REMOVE_CHANGED || slice->removals[i].state == PUSH_REMOVE_FAILED)
            hand_on_tx(run, slice->removals[i].key);
    return db_commit(run->cache);
}

static void free_slice(struct slice *slice)
{
    for (size_t i = 0; i < slice->count; i++) {
        free(slice->removals[i].key);
        remote_fini(&slice->removals[i].have);
    }
    slice->count = 0;
}

/* Keeps only what may be deleted in front, so that the many are asked for those alone. */
static void compact(struct slice *slice)
{
    size_t kept = 0;
    for (size_t i = 0; i < slice->count; i++) {
        if (slice->removals[i].state != PUSH_REMOVE_OPEN) {
            free(slice->removals[i].key);
            remote_fini(&slice->removals[i].have);
        } else {
            slice->removals[kept++] = slice->removals[i];
        }
    }
    slice->count = kept;
}

static enum s3_outcome remove_slice(struct push_run *run, struct slice *slice)
{
    enum s3_outcome outcome = prove(run, slice);
    if (outcome != S3_OK)
        return outcome;
    compact(slice);
    if (slice->count == 0)
        return S3_OK;
    outcome = push_remove_many(run, run->item->key, false, slice->removals, slice->count);
    for (size_t i = 0; i < slice->count; i++)
        slice->waiting = slice->waiting || slice->removals[i].state == PUSH_REMOVE_EARLY;
    if (outcome == S3_OK && hand_on(run, slice) < 0)
        outcome = S3_LOCAL;
    return outcome;
}

/* Requests of the last run, or of before the rename, whose keys have no row: each is looked into by itself. */
static void hand_on_attempts_tx(struct push_run *run, const char *low, const char *high)
{
    char *keys[BATCH];
    size_t count = 0;
    sqlite3_stmt *rows = db_query(run->cache, "SELECT DISTINCT CAST(key AS TEXT) FROM attempt WHERE key >= ? AND key < ? LIMIT 256", "zz", low, high);
    while (db_step(run->cache, rows))
        if (count < BATCH && (keys[count] = strdup((const char *)sqlite3_column_text(rows, 0))))
            count++;
    for (size_t i = 0; i < count; i++) {
        hand_on_tx(run, keys[i]);
        free(keys[i]);
    }
}

static void old_keys(struct push_run *run)
{
    struct slice *slice = calloc(1, sizeof *slice);
    char high[S3_KEY_MAX + 1];
    bool waiting = false;
    enum s3_outcome outcome = S3_OK;
    int error = slice ? 0 : -ENOMEM;
    snprintf(high, sizeof high, "%s", run->item->key);
    high[strlen(high) - 1]++;
    if (slice) {
        snprintf(slice->after, sizeof slice->after, "%s", run->item->key);
        slice->run = run;
        slice->more = true;
    }
    while (!error && slice->more && outcome == S3_OK) {
        char low[S3_KEY_MAX + 2];
        slice->more = slice->waiting = false;
        memcpy(low, slice->after, sizeof low);
        db_begin(run->cache);
        lock_take(&run->push->lock);
        run->sequence = run->item->last;
        lock_drop(&run->push->lock);
        remote_each_tx(run->cache, low, high, take_row, slice);
        error = db_commit(run->cache);
        if (!error && slice->count)
            outcome = remove_slice(run, slice);
        waiting = waiting || slice->waiting;
        free_slice(slice);
    }
    free(slice);
    if (!error && outcome == S3_OK && !waiting) {
        db_begin(run->cache);
        hand_on_attempts_tx(run, run->item->key, high);
        db_run(run->cache, "DELETE FROM todo WHERE kind = ? AND target = ? AND last = ?", "izi", (int64_t)TODO_GONE_TREE, run->item->key, run->sequence);
        error = db_commit(run->cache);
    }
    if (error)
        push_run_local(run, error, "a renamed directory cannot be worked through");
    else if (outcome != S3_OK)
        push_run_failed(run, outcome);
    else if (waiting)
        push_run_wait(run, clock_mono_ms() + WAIT_MS);
    else
        push_run_finished(run);
}

void push_tree(struct push_run *run)
{
    if (run->item->kind == TODO_TREE) {
        moved(run);
        return;
    }
    if (!push_instance_settled(run->push)) {
        push_run_wait(run, clock_mono_ms() + PUSH_SETTLE_MS);
        return;
    }
    enum s3_cap_state state = push_caps_need(run->push, S3_CAP_DELETE_CONDITION, &run->error);
    if (state == S3_CAP_UNKNOWN)
        push_run_failed(run, run->error.outcome);
    else
        old_keys(run);
}

#include "cache/push_run.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cache/db.h"
#include "cache/file.h"
#include "cache/name.h"
#include "s3/base/clock.h"
#include "s3/base/log.h"

#define LOOK_MIN_MS 20
#define LOOK_MAX_MS 500
#define JOURNAL_LOOK_MS 100

void push_run_reset(struct push_run *run)
{
    push_look_fini(&run->look);
    run->look = (struct push_look){ 0 };
    if (run->snapshot)
        snapshot_free(run->cache, run->snapshot);
    run->snapshot = NULL;
    inode_put(run->cache, run->inode);
    run->inode = NULL;
    posix_headers_fini(&run->headers);
    run->headers = (struct posix_headers){ 0 };
    s3_object_fini(&run->seen);
    run->seen = (struct s3_object){ 0 };
    free(run->kept);
    run->kept = NULL;
    run->body = (struct s3_body){ .fd = -1 };
    run->body_md5[0] = '\0';
    run->condition = (struct s3_condition){ 0 };
    run->attempt = (struct push_attempt){ 0 };
}

/* ---- how a run ends ---- */

static const char *shown(struct push_run *run)
{
    const char *relative = run->look.key[0] ? name_relative(run->cache, run->look.key) : NULL;
    return relative ? relative : run->item->key ? run->item->key : "";
}

enum push_next push_run_wait(struct push_run *run, int64_t not_before_ms)
{
    run->done.end = PUSH_END_AGAIN;
    run->done.not_before_ms = not_before_ms;
    return PUSH_STOP;
}

enum push_next push_run_local(struct push_run *run, int error, const char *what)
{
    run->done.end = PUSH_END_FAILED;
    snprintf(run->done.reason, sizeof run->done.reason, "%s: %s", what, strerror(-error));
    cache_note_error(run->cache, "%s is not uploaded: %s: %s", shown(run), what, strerror(-error));
    return PUSH_STOP;
}

enum push_next push_run_unfit(struct push_run *run, int error)
{
    if (error == -ESTALE) /* it was removed just now */
        return PUSH_NEXT;
    push_run_local(run, error, error == -E2BIG ? "its metadata is larger than an object may carry" : "the request cannot be made");
    if (error == -E2BIG) {
        run->done.end = PUSH_END_REFUSED;
        run->done.error = error;
    }
    return PUSH_STOP;
}

/* Of these every other key's request would fail as well. */
static bool hits_all(enum s3_outcome outcome)
{
    return outcome == S3_UNREACHABLE || outcome == S3_TIMEOUT || (s3_outcome_is_permanent(outcome) && outcome != S3_INVALID && outcome != S3_UNSUPPORTED);
}

enum push_next push_run_failed(struct push_run *run, enum s3_outcome outcome)
{
    const char *said = run->error.message[0] ? run->error.message : s3_outcome_name(outcome);
    snprintf(run->done.reason, sizeof run->done.reason, "%s", said);
    run->done.end = PUSH_END_FAILED;
    if (outcome == S3_CANCELLED)
        return PUSH_STOP;
    cache_note_error(run->cache, "%s is not uploaded yet: %s", shown(run), said);
    if (outcome == S3_INVALID || outcome == S3_UNSUPPORTED) {
        run->done.end = PUSH_END_REFUSED;
        run->done.error = -EIO;
    } else if (hits_all(outcome)) {
        push_pause(run->push);
        if (s3_outcome_is_permanent(outcome)) {
            run->done.error = -s3_outcome_errno(outcome);
            push_refuse(run->push, outcome, &run->error);
        }
    }
    return PUSH_STOP;
}

/* ---- the attempt of a step ---- */

static void read_sequence(struct push_run *run)
{
    lock_take(&run->push->lock);
    run->sequence = run->item->last;
    lock_drop(&run->push->lock);
}

static void look_tx(struct push_run *run, struct push_look *look)
{
    read_sequence(run);
    if (run->item->kind == TODO_INODE)
        push_look_inode_tx(run->push, run->item->ino, look);
    else
        push_look_gone_tx(run->push, run->item->key, look);
}

/* A snapshot is one instant of the file, and worth sending also when the file has gone on meanwhile: one that is never quiet still arrives. */
static bool same_step(const struct push_run *run, const struct push_look *again)
{
    const struct push_facts *a = &run->look.facts, *b = &again->facts;
    return run->look.step == again->step && strcmp(run->look.key, again->key) == 0 && a->ino == b->ino &&
           (run->snapshot ? run->snapshot->data_version <= b->data_version && (!b->present || b->have_ino != b->ino || b->have_data_version < run->snapshot->data_version)
                          : a->data_version == b->data_version);
}

enum push_next push_run_claim_to_write(struct push_run *run)
{
    int64_t not_before = clock_mono_ms() + LOOK_MIN_MS;
    if (push_key_claim(run->push, run->look.key, true, &not_before) != PUSH_CLAIMED)
        return push_run_wait(run, not_before);
    snprintf(run->claimed, sizeof run->claimed, "%s", run->look.key);
    return PUSH_NEXT;
}

bool push_run_claim(struct push_run *run)
{
    int64_t not_before = 0;
    if (run->claimed[0])
        return true;
    if (push_key_claim(run->push, run->attempt.key, false, &not_before) != PUSH_CLAIMED) {
        push_run_wait(run, clock_mono_ms() + LOOK_MIN_MS);
        return false;
    }
    snprintf(run->claimed, sizeof run->claimed, "%s", run->attempt.key);
    return true;
}

/* The planner let the item go for what was wanted then. A rename since may have made a create an overwrite, which has to wait. */
static bool in_order(struct push_run *run, const struct push_look *look)
{
    lock_take(&run->push->lock);
    bool allowed = push_queue_may_go(&run->push->queue, run->item, push_look_class(look, run->item->publish), clock_mono_ms());
    if (!allowed && run->item->kind == TODO_INODE)
        run->item->classified = false;
    lock_drop(&run->push->lock);
    return allowed;
}

bool push_run_begin(struct push_run *run, enum push_attempt_kind kind, enum push_next *next)
{
    struct push_look again;
    int64_t sequence = run->sequence;
    db_begin(run->cache);
    look_tx(run, &again);
    if (again.facts.busy && strcmp(again.key, run->claimed) == 0) { /* by this very run */
        again.facts.busy = false;
        again.step = push_plan(&again.facts);
    }
    if (run->snapshot && run->snapshot->data_version != again.facts.data_version)
        run->sequence = sequence; /* what came after the snapshot is not in it */
    if (!same_step(run, &again)) {
        push_look_fini(&again);
        db_rollback(run->cache);
        push_run_unclaim(run, false);
        *next = PUSH_NEXT;
        return false;
    }
    push_look_fini(&run->look);
    run->look = again;
    if (!in_order(run, &again)) {
        db_rollback(run->cache);
        push_run_unclaim(run, false);
        *next = push_run_wait(run, clock_mono_ms() + LOOK_MIN_MS);
        return false;
    }
    int64_t late = push_attempt_late_tx(run->cache, run->look.key, true);
    if (late && kind != PUSH_ATTEMPT_DELETE) {
        /* A DELETE whose answer was lost would take the new object with it, since it carries no condition. */
        db_commit(run->cache);
        *next = push_run_wait(run, clock_mono_ms() + late);
        return false;
    }
    if (!run->claimed[0])
        *next = push_run_claim_to_write(run);
    if (!run->claimed[0]) {
        db_rollback(run->cache);
        return false;
    }
    push_attempt_nonce(run->nonce);
    bool present = run->look.facts.present;
    run->condition = (struct s3_condition){ .if_match = present ? run->look.have.etag : NULL, .if_absent = !present };
    run->attempt = (struct push_attempt){
        .kind = kind, .key = run->look.key, .ino = run->look.facts.ino,
        .data_version = run->snapshot ? run->snapshot->data_version : run->look.facts.data_version, .meta_version = run->look.facts.meta_version, .nonce = run->nonce,
        .condition = present ? run->look.have.etag : "",
    };
    return true;
}

bool push_run_commit(struct push_run *run, enum push_next *next)
{
    if (!run->attempt.id)
        push_attempt_new_tx(run->cache, &run->attempt);
    int error = db_commit(run->cache);
    if (!error) {
        lock_take(&run->push->lock);
        if (!run->item->progress.tried_ms)
            run->item->progress.tried_ms = clock_mono_ms();
        lock_drop(&run->push->lock);
        return true;
    }
    push_run_unclaim(run, false);
    *next = push_run_local(run, error, "the index cannot be written");
    return false;
}

void push_run_unclaim(struct push_run *run, bool sent)
{
    if (run->claimed[0])
        push_key_end(run->push, run->claimed, sent, sent ? remote_stamp(run->cache) : 0);
    run->claimed[0] = '\0';
}

static void unclaim_tx(struct push_run *run)
{
    if (run->claimed[0])
        push_key_end(run->push, run->claimed, true, db_next(run->cache, DB_SEQUENCE));
    run->claimed[0] = '\0';
}

void push_run_release(struct push_run *run, bool sent)
{
    db_begin(run->cache);
    if (run->attempt.kind == PUSH_ATTEMPT_COMPLETE)
        push_attempt_parts_again_tx(run->cache, run->attempt.key);
    else
        push_attempt_delete_tx(run->cache, run->attempt.id);
    /* Should this fail, the row is looked into later: a HEAD, and nothing lost. */
    (void)db_commit(run->cache);
    push_run_unclaim(run, sent);
}

/* ---- what an outcome changes ---- */

void push_run_drop_todo_tx(struct push_run *run)
{
    lock_take(&run->push->lock);
    run->item->dropped = true;
    lock_drop(&run->push->lock);
    if (run->item->key)
        db_run(run->cache, "DELETE FROM todo WHERE kind = ? AND target = ?", "iz", (int64_t)run->item->kind, run->item->key);
    else
        db_run(run->cache, "DELETE FROM todo WHERE kind = ? AND target = ?", "ii", (int64_t)run->item->kind, (int64_t)run->item->ino);
}

static void drop_row_tx(struct push_run *run, const struct push_look *look)
{
    if (run->item->key && look->facts.want != PUSH_WANT_NOTHING)
        db_run(run->cache, "UPDATE remote SET gone = 0 WHERE key = ?", "z", run->item->key);
    push_run_drop_todo_tx(run);
}

/* Nothing left? Then the row goes in the transaction that saw it. */
static bool finish_tx(struct push_run *run)
{
    struct push_look look;
    look_tx(run, &look);
    bool all = look.step == PUSH_NOTHING;
    if (all)
        drop_row_tx(run, &look);
    push_look_fini(&look);
    return all;
}

enum push_next push_run_finished(struct push_run *run)
{
    run->done.end = PUSH_END_DONE;
    run->done.sent = run->sequence;
    return PUSH_STOP;
}

/* The key's new row. What another client set on the object stays known, so that the next change of metadata keeps it too. */
static void write_remote_tx(struct push_run *run, const char *etag, uint64_t size, int64_t mtime_ms)
{
    struct remote row = {
        .key = run->look.key, .size = size, .mtime_ms = mtime_ms, .coarse = true, .ino = run->attempt.ino,
        .data_version = run->attempt.data_version, .meta_version = run->attempt.meta_version, .page = db_next(run->cache, DB_SEQUENCE),
    };
    char key[S3_KEY_MAX + 1], tag[S3_ETAG_MAX + 1], none[] = "{}", *kept = run->kept ? run->kept : none;
    snprintf(key, sizeof key, "%s", run->attempt.key);
    snprintf(tag, sizeof tag, "%s", etag);
    row.key = key;
    row.etag = tag;
    row.headers = kept;
    row.nonce = run->attempt.nonce ? run->nonce : run->look.source.nonce;
    row.gone = tree_find_tx(run->cache, key) == 0;
    remote_put_tx(run->cache, &row);
}

static void move_base_tx(struct push_run *run, const char *etag)
{
    struct inode *inode = inode_get_tx(run->cache, run->attempt.ino);
    if (inode && run->snapshot)
        block_pushed_tx(run->cache, inode, run->snapshot, run->attempt.key, etag);
    else if (inode && run->look.facts.want == PUSH_WANT_FILE)
        block_rebase_tx(run->cache, inode, run->attempt.key, etag);
    inode_put(run->cache, inode);
}

enum push_next push_run_applied(struct push_run *run, const char *etag, uint64_t size, int64_t mtime_ms)
{
    int64_t seen = run->sequence;
    db_begin(run->cache);
    write_remote_tx(run, etag, size, mtime_ms);
    push_attempt_settled_tx(run->cache, run->attempt.key);
    move_base_tx(run, etag);
    /* The key is free from this transaction on: what it shows next is the next look's. */
    unclaim_tx(run);
    bool all = finish_tx(run);
    int64_t now_wanted = run->sequence;
    if (!all && now_wanted != seen && run->item->kind == TODO_INODE)
        db_run(run->cache, "UPDATE todo SET first = ? WHERE kind = ? AND target = ?", "iii", seen + 1, (int64_t)TODO_INODE, (int64_t)run->item->ino);
    int error = db_commit(run->cache);
    if (error)
        return push_run_local(run, error, "the index cannot be written"); /* the attempt's row stays, and tells */
    push_heal(run->push);
    push_succeeded(run->push, run->item);
    if (all)
        return push_run_finished(run);
    if (now_wanted != seen) { /* changed meanwhile: that has its own delay */
        run->done.sent = seen;
        return push_run_wait(run, 0);
    }
    return PUSH_NEXT;
}

enum push_next push_run_outcome(struct push_run *run, enum s3_outcome outcome, const struct s3_put_result *result)
{
    switch (outcome) {
    case S3_OK:
        return push_run_applied(run, result->etag, run->look.facts.size, result->mtime_ms ? result->mtime_ms : result->server_date_ms);
    case S3_PRECONDITION:
    case S3_NOT_FOUND:
    case S3_UNKNOWN:
    case S3_CORRUPT:
    case S3_NO_UPLOAD:
        push_run_unclaim(run, true); /* news from here on is newer than the request */
        return push_resolve(run, outcome);
    case S3_CANCELLED: /* stopping: what became of it is found out at the next start */
        push_run_unclaim(run, true);
        return push_run_failed(run, outcome);
    default:
        push_run_release(run, false);
        return push_run_failed(run, outcome);
    }
}

/* ---- the steps of one item ---- */

/* A name that is gone although a request for it may still land, its answer being lost: waits, then looks a last time. */
static enum push_next await_late(struct push_run *run, int64_t late)
{
    if (late > 0)
        return push_run_wait(run, clock_mono_ms() + late);
    run->attempt.key = run->look.key;
    return push_resolve(run, S3_UNKNOWN);
}

static enum push_next look(struct push_run *run)
{
    int64_t late = 0;
    db_begin(run->cache);
    push_run_reset(run);
    look_tx(run, &run->look);
    bool all = run->look.step == PUSH_NOTHING;
    if (all && run->item->kind == TODO_GONE && run->look.facts.want == PUSH_WANT_NOTHING)
        late = push_attempt_late_tx(run->cache, run->look.key, false);
    if (all && !late)
        drop_row_tx(run, &run->look);
    bool abandoned = run->look.key[0] && run->look.step != PUSH_MULTIPART && push_attempt_has_upload_tx(run->cache, run->look.key);
    int error = db_commit(run->cache);
    if (abandoned)
        push_upload_abandon(run);
    if (error)
        return push_run_local(run, error, "the index cannot be written");
    if (late)
        return await_late(run, late);
    return all ? push_run_finished(run) : PUSH_NEXT;
}

static enum push_next step(struct push_run *run)
{
    int64_t delay = LOOK_MIN_MS << (run->item->waited < 5 ? run->item->waited : 5);
    if (look(run) == PUSH_STOP)
        return PUSH_STOP;
    if (run->look.step != PUSH_WAIT_KEY && run->look.step != PUSH_WAIT_SOURCE)
        run->item->waited = 0;
    int64_t journal = run->look.step == PUSH_PUT || run->look.step == PUSH_MULTIPART ? push_hold_journal(run) : 0;
    if (journal)
        return push_run_wait(run, clock_mono_ms() + (journal < JOURNAL_LOOK_MS ? journal : JOURNAL_LOOK_MS));
    if (run->look.step == PUSH_PUT || run->look.step == PUSH_COPY || run->look.step == PUSH_COPY_REPLACE || run->look.step == PUSH_DELETE)
        push_hold_readers(run);
    switch (run->look.step) {
    case PUSH_WAIT_KEY:
    case PUSH_WAIT_SOURCE:
        run->item->waited++;
        return push_run_wait(run, clock_mono_ms() + (delay < LOOK_MAX_MS ? delay : LOOK_MAX_MS));
    case PUSH_RESOLVE:
        run->attempt.key = run->look.key;
        return push_resolve(run, S3_UNKNOWN);
    case PUSH_HEAD: return push_head(run);
    case PUSH_PUT: return push_put(run);
    case PUSH_MULTIPART: return push_upload(run);
    case PUSH_COPY:
    case PUSH_COPY_REPLACE:
    case PUSH_META:
    case PUSH_ASIDE: return push_copy(run);
    case PUSH_DELETE: return push_remove(run);
    case PUSH_NOTHING: break;
    }
    return PUSH_NEXT;
}

/* Bytes that only memory has become rows first, as a close would make them; the planner then orders them like any other. */
static void commit_written(struct push_run *run)
{
    struct inode *inode = inode_get(run->cache, run->item->ino);
    int error = 0;
    lock_take(&run->push->lock);
    run->item->written = false;
    run->item->committing = true;
    lock_drop(&run->push->lock);
    if (inode)
        error = file_commit(run->cache, inode);
    inode_put(run->cache, inode);
    lock_take(&run->push->lock);
    run->item->committing = false;
    if (error)
        run->item->written = true;
    bool rows = run->item->last != 0;
    lock_drop(&run->push->lock);
    if (error)
        push_run_local(run, error, "what was written cannot be kept");
    else if (rows)
        push_run_wait(run, 0);
    else
        run->done.end = PUSH_END_DONE;
}

void push_exec(struct cache *cache, struct pool_job *job)
{
    struct push_item *item = (struct push_item *)((char *)job - offsetof(struct push_item, job));
    struct push_run run = { .cache = cache, .push = cache->push, .item = item };
    lock_take(&run.push->lock);
    bool written = item->written, stop = run.push->stop;
    lock_drop(&run.push->lock);
    run.call = (struct s3_call){ .priority = S3_LATER, .cancel = &run.push->cancel, .moved = &item->moved };
    run.body.fd = -1;
    run.done.end = PUSH_END_AGAIN;
    if (stop)
        ;
    else if (written)
        commit_written(&run);
    else if (item->kind == TODO_TREE || item->kind == TODO_GONE_TREE)
        push_tree(&run);
    else
        while (step(&run) == PUSH_NEXT)
            ;
    push_run_reset(&run);
    push_remove_give_back(&run);
    push_job_done(run.push, item, &run.done);
}

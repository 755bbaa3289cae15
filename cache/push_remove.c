/*
 * Deletes. R2's DELETE takes no condition, so first it is checked that the object is the one that was removed here: by a
 * HEAD, or, for many of one directory, by a listing page; then the DELETE leaves within a second. It is never repeated without a
 * new check. Changed meanwhile: our delete is dropped, and the other version reappears.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cache/db.h"
#include "cache/push_list.h"
#include "s3/base/clock.h"
#include "s3/base/log.h"

#define WINDOW_MS 1000   /* between the check and the DELETE */
#define TOGETHER_MIN 4   /* so many of one directory are worth a listing page */
#define SKEW_MS 2000     /* how far the Date of an answer may lie from the LastModified that a listing gives */

bool push_remove_same(const struct remote *have, const char *etag, int64_t mtime_ms, bool coarse, const char *nonce)
{
    if (!have->etag || strcmp(have->etag, etag) != 0)
        return false;
    if (have->nonce && nonce)
        return strcmp(have->nonce, nonce) == 0;
    if (have->mtime_ms == 0)
        return true;
    if (!have->coarse && !coarse)
        return have->mtime_ms == mtime_ms;
    if (have->nonce) { /* a listing carries no nonce; our own time of it is the answer's Date */
        int64_t apart = have->mtime_ms - mtime_ms;
        return apart <= SKEW_MS && apart >= -SKEW_MS;
    }
    return have->mtime_ms / 1000 == mtime_ms / 1000;
}

/* ---- one key ---- */

static enum push_next gone(struct push_run *run)
{
    const char *key = run->look.key;
    db_begin(run->cache);
    remote_delete_tx(run->cache, key);
    push_attempt_settled_tx(run->cache, key);
    int error = db_commit(run->cache);
    push_run_unclaim(run, true);
    if (error)
        return push_run_local(run, error, "the index cannot be written");
    push_heal(run->push);
    push_succeeded(run->push, run->item);
    return PUSH_NEXT;
}

/* false: return *next. A server that honours If-Match checks by itself. */
static bool check_one(struct push_run *run, int64_t *checked_ms, enum push_next *next)
{
    struct s3_object object = { 0 };
    int64_t stamp = remote_stamp(run->cache);
    *checked_ms = clock_mono_ms();
    enum s3_outcome outcome = run->cache->config.ops->head(run->cache->config.ops_ctx, &run->call, run->look.key, &object, &run->error);
    bool same = outcome == S3_OK && push_remove_same(&run->look.have, object.etag, object.mtime_ms, true, s3_object_meta(&object, PUSH_NONCE_META));
    if (outcome == S3_NOT_FOUND) {
        *next = gone(run);
    } else if (outcome != S3_OK) {
        push_run_unclaim(run, false);
        *next = push_run_failed(run, outcome);
    } else if (!same) {
        run->attempt.key = run->look.key;
        if (!push_resolve_landed(run, &object, next))
            *next = push_conflict(run, &object, stamp);
    }
    s3_object_fini(&object);
    return same;
}

static enum push_next remove_one(struct push_run *run, bool honoured)
{
    enum push_next next;
    int64_t checked_ms = 0;
    if (push_run_claim_to_write(run) == PUSH_STOP)
        return PUSH_STOP;
    if (!honoured && !check_one(run, &checked_ms, &next))
        return next;
    if (!push_run_begin(run, PUSH_ATTEMPT_DELETE, &next))
        return next;
    if (!push_run_commit(run, &next))
        return next;
    if (!honoured && clock_mono_ms() - checked_ms > WINDOW_MS) {
        push_run_release(run, false);
        return PUSH_NEXT;
    }
    struct s3_delete_request request = { .key = run->look.key, .if_match = honoured ? run->look.have.etag : NULL };
    enum s3_outcome outcome = run->cache->config.ops->remove(run->cache->config.ops_ctx, &run->call, &request, &run->error);
    if (outcome == S3_OK)
        return gone(run);
    return push_run_outcome(run, outcome, NULL);
}

/* ---- many ---- */

static enum s3_outcome check_many(struct push_run *run, const char *prefix, bool delimited, struct push_removal *removals, size_t count)
{
    struct push_listed *listed = calloc(count, sizeof *listed);
    if (!listed) {
        run->error = (struct s3_error){ .outcome = S3_LOCAL, .local_errno = ENOMEM };
        return S3_LOCAL;
    }
    for (size_t i = 0; i < count; i++)
        listed[i].key = removals[i].key;
    enum s3_outcome outcome = push_list(run, prefix, delimited, listed, count, 2 + (int)(count / 100));
    for (size_t i = 0; i < count && outcome == S3_OK; i++) {
        /* A page may lack what is there: what it does not show is asked for by itself. */
        if (!listed[i].covered || !listed[i].present)
            removals[i].state = PUSH_REMOVE_FAILED;
        else if (!push_remove_same(&removals[i].have, listed[i].etag, listed[i].mtime_ms, false, NULL))
            removals[i].state = PUSH_REMOVE_CHANGED;
    }
    free(listed);
    return outcome;
}

/* Is it still the version to delete, by the rows of this transaction? */
static bool is_still_gone_tx(struct push_run *run, const struct push_removal *removal)
{
    struct push_look look;
    push_look_gone_tx(run->push, removal->key, &look);
    bool allowed = look.step == PUSH_DELETE && look.have.etag && strcmp(look.have.etag, removal->have.etag) == 0;
    push_look_fini(&look);
    return allowed;
}

/* Claims and attempts for those that passed the check; the others of this call are left for another time. */
static int begin_many(struct push_run *run, struct push_removal *removals, size_t count, struct s3_delete_entry *entries, size_t *going)
{
    *going = 0;
    db_begin(run->cache);
    for (size_t i = 0; i < count; i++) {
        struct push_removal *r = &removals[i];
        int64_t not_before;
        if (r->state != PUSH_REMOVE_OPEN)
            continue;
        r->state = PUSH_REMOVE_FAILED;
        if (!is_still_gone_tx(run, r))
            continue;
        enum push_claim claim = push_key_claim(run->push, r->key, true, &not_before);
        if (claim == PUSH_CLAIM_EARLY) {
            r->state = PUSH_REMOVE_EARLY;
            r->not_before_ms = not_before;
        }
        if (claim != PUSH_CLAIMED)
            continue;
        struct push_attempt attempt = { .kind = PUSH_ATTEMPT_DELETE, .key = r->key, .condition = r->have.etag };
        push_attempt_new_tx(run->cache, &attempt);
        r->attempt = attempt.id;
        r->claimed = true;
        r->state = PUSH_REMOVE_OPEN;
        entries[(*going)++] = (struct s3_delete_entry){ .key = r->key };
    }
    return db_commit(run->cache);
}

static void unclaim_many(struct push_run *run, struct push_removal *removals, size_t count, bool sent)
{
    int64_t stamp = sent ? remote_stamp(run->cache) : 0;
    for (size_t i = 0; i < count; i++)
        if (removals[i].claimed) {
            push_key_end(run->push, removals[i].key, sent, stamp);
            removals[i].claimed = false;
        }
}

/* entries stand in the order of the removals that are still open. */
static int end_many(struct push_run *run, struct push_removal *removals, size_t count, const struct s3_delete_entry *entries, bool answered, bool no_effect)
{
    size_t entry = 0;
    db_begin(run->cache);
    for (size_t i = 0; i < count; i++) {
        struct push_removal *r = &removals[i];
        if (r->state == PUSH_REMOVE_OPEN) {
            bool ok = answered && entries[entry].error.outcome == S3_OK;
            if (answered && !ok)
                run->error = entries[entry].error;
            /* Where no answer came the attempt's row stays, and each is looked into. */
            if (answered || no_effect)
                push_attempt_delete_tx(run->cache, r->attempt);
            r->state = ok ? PUSH_REMOVE_GONE : PUSH_REMOVE_FAILED;
            entry++;
        }
        if (r->state == PUSH_REMOVE_GONE) {
            remote_delete_tx(run->cache, r->key);
            push_attempt_settled_tx(run->cache, r->key);
        }
    }
    return db_commit(run->cache);
}

enum s3_outcome push_remove_many(struct push_run *run, const char *prefix, bool delimited, struct push_removal *removals, size_t count)
{
    struct s3_delete_entry *entries = calloc(count, sizeof *entries);
    size_t going = 0;
    int64_t checked_ms = clock_mono_ms();
    enum s3_outcome outcome = S3_LOCAL;
    run->error = (struct s3_error){ .outcome = S3_LOCAL, .local_errno = ENOMEM };
    if (!entries || (outcome = check_many(run, prefix, delimited, removals, count)) != S3_OK)
        goto out;
    int error = begin_many(run, removals, count, entries, &going);
    bool late = clock_mono_ms() - checked_ms > WINDOW_MS;
    if (error) {
        unclaim_many(run, removals, count, false);
        run->error = (struct s3_error){ .outcome = S3_LOCAL, .local_errno = -error };
        outcome = S3_LOCAL;
        goto out;
    }
    if (going && !late)
        outcome = run->cache->config.ops->remove_many(run->cache->config.ops_ctx, &run->call, entries, going, &run->error);
    bool unknown = outcome == S3_UNKNOWN || outcome == S3_CORRUPT || outcome == S3_CANCELLED;
    error = end_many(run, removals, count, entries, going && !late && outcome == S3_OK, late || !unknown);
    unclaim_many(run, removals, count, going && !late);
    if (error)
        outcome = S3_LOCAL;
out:
    free(entries);
    return outcome;
}

/* ---- many of one directory ---- */

struct together {
    struct push_item **items; /* the first is the run's own */
    struct push_removal *removals;
    size_t count;
};

static size_t directory_length(const char *key)
{
    const char *slash = strrchr(key, '/');
    return slash ? (size_t)(slash - key) + 1 : 0;
}

static bool gather(struct push_run *run, struct together *t)
{
    size_t count = 0;
    for (struct push_item *item = run->item; item; item = item->beside)
        count++;
    if (count < TOGETHER_MIN)
        return false;
    t->items = calloc(count, sizeof *t->items);
    t->removals = calloc(count, sizeof *t->removals);
    if (!t->items || !t->removals) {
        free(t->items);
        free(t->removals);
        return false;
    }
    for (struct push_item *item = run->item; item; item = item->beside)
        t->items[t->count++] = item;
    run->item->beside = NULL;
    return true;
}

void push_remove_give_back(struct push_run *run)
{
    struct push_item *item = run->item->beside;
    run->item->beside = NULL;
    while (item) {
        struct push_item *next = item->beside;
        item->alone = true;
        push_job_done(run->push, item, &(struct push_done){ .end = PUSH_END_AGAIN });
        item = next;
    }
}

static int by_key(const void *a, const void *b)
{
    return strcmp((*(struct push_item *const *)a)->key, (*(struct push_item *const *)b)->key);
}

/* What the rows say of each; one that is no plain delete goes back to the planner. */
static void look_together(struct push_run *run, struct together *t)
{
    db_begin(run->cache);
    for (size_t i = 0; i < t->count; i++) {
        struct push_look look;
        push_look_gone_tx(run->push, t->items[i]->key, &look);
        t->removals[i].key = (char *)(uintptr_t)t->items[i]->key;
        lock_take(&run->push->lock);
        bool as_started = t->items[i]->last == t->items[i]->started_last;
        lock_drop(&run->push->lock);
        t->removals[i].state = look.step == PUSH_DELETE && as_started ? PUSH_REMOVE_OPEN : PUSH_REMOVE_FAILED;
        t->removals[i].have = look.have;
        look.have = (struct remote){ 0 };
        push_look_fini(&look);
    }
    db_commit(run->cache);
}

/* The todo rows of what is gone go in one transaction. CHANGED and FAILED ones come again, one by one, with a HEAD each. */
static void end_together(struct push_run *run, struct together *t)
{
    struct push_done again = { .end = PUSH_END_AGAIN };
    struct push_done *done = calloc(t->count ? t->count : 1, sizeof *done);
    int error = done ? 0 : -ENOMEM;
    db_begin(run->cache);
    for (size_t i = 0; i < t->count && !error; i++) {
        struct push_look look;
        lock_take(&run->push->lock);
        int64_t last = t->items[i]->last;
        lock_drop(&run->push->lock);
        push_look_gone_tx(run->push, t->items[i]->key, &look);
        if (t->removals[i].state == PUSH_REMOVE_GONE && look.step == PUSH_NOTHING && t->items[i] != run->item) {
            db_run(run->cache, "DELETE FROM todo WHERE kind = ? AND target = ?", "iz", (int64_t)TODO_GONE, t->items[i]->key);
            done[i] = (struct push_done){ .end = PUSH_END_DONE, .sent = last };
        } else {
            done[i] = (struct push_done){ .end = PUSH_END_AGAIN, .not_before_ms = t->removals[i].not_before_ms };
        }
        push_look_fini(&look);
    }
    if (!error)
        error = db_commit(run->cache);
    else
        db_rollback(run->cache);
    for (size_t i = 0; i < t->count; i++) {
        remote_fini(&t->removals[i].have);
        if (t->items[i] == run->item)
            continue;
        t->items[i]->alone = t->removals[i].state != PUSH_REMOVE_GONE && t->removals[i].state != PUSH_REMOVE_EARLY;
        push_job_done(run->push, t->items[i], error ? &again : &done[i]);
    }
    free(done);
    free(t->items);
    free(t->removals);
}

/* false: not worth it; remove_one does it. */
static bool remove_together(struct push_run *run, enum push_next *next)
{
    struct together t = { 0 };
    char prefix[S3_KEY_MAX + 1];
    if (!gather(run, &t))
        return false;
    qsort(t.items, t.count, sizeof *t.items, by_key);
    look_together(run, &t);
    snprintf(prefix, sizeof prefix, "%.*s", (int)directory_length(run->item->key), run->item->key);
    enum s3_outcome outcome = push_remove_many(run, prefix, true, t.removals, t.count);
    *next = outcome == S3_OK ? PUSH_NEXT : push_run_failed(run, outcome);
    if (outcome == S3_OK) {
        push_heal(run->push);
        push_succeeded(run->push, run->item);
    }
    end_together(run, &t);
    return true;
}

enum push_next push_remove(struct push_run *run)
{
    enum push_next next;
    if (!push_instance_settled(run->push))
        return push_run_wait(run, clock_mono_ms() + PUSH_SETTLE_MS);
    enum s3_cap_state state = push_caps_need(run->push, S3_CAP_DELETE_CONDITION, &run->error);
    if (state == S3_CAP_UNKNOWN)
        return push_run_failed(run, run->error.outcome);
    if (state == S3_CAP_IGNORED && remove_together(run, &next))
        return next;
    return remove_one(run, state == S3_CAP_HONOURED);
}

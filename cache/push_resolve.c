/*
 * What became of a request whose answer was lost, that was refused, or that a kill -9 cut off: a HEAD of its key, and the
 * rows of its attempts. The nonce of any attempt of ours on the object, with the ETag that we expected of it, makes it ours; the nonce
 * alone does not, since a copy of this machine may draw the same one and write other bytes.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cache/db.h"
#include "cache/push_run.h"
#include "s3/base/log.h"

struct match {
    const struct s3_object *object;
    bool found, deletes, others;
    struct push_attempt attempt; /* numbers only */
    char nonce[PUSH_NONCE_SIZE];
    bool has_nonce;
    char source[S3_KEY_MAX + 1];
};

/* Is the object what this attempt was to bring? */
static bool is_ours(const struct push_attempt *a, const struct s3_object *object)
{
    const char *nonce = s3_object_meta(object, PUSH_NONCE_META);
    if (a->kind == PUSH_ATTEMPT_DELETE || a->kind == PUSH_ATTEMPT_UPLOAD)
        return false;
    if (a->expected_etag && strcmp(a->expected_etag, object->etag) != 0)
        return false;
    return a->nonce ? nonce && strcmp(nonce, a->nonce) == 0 : a->expected_etag != NULL;
}

static bool match_attempt(void *arg, const struct push_attempt *a)
{
    struct match *m = arg;
    m->deletes = m->deletes || a->kind == PUSH_ATTEMPT_DELETE;
    m->others = m->others || a->kind != PUSH_ATTEMPT_DELETE;
    if (a->source)
        snprintf(m->source, sizeof m->source, "%s", a->source);
    if (!m->object || !is_ours(a, m->object))
        return true;
    m->found = true;
    m->attempt = (struct push_attempt){ .kind = a->kind, .ino = a->ino, .data_version = a->data_version, .meta_version = a->meta_version };
    m->has_nonce = a->nonce != NULL;
    snprintf(m->nonce, sizeof m->nonce, "%s", a->nonce ? a->nonce : "");
    return false;
}

/* After a restart no snapshot stands for the bytes that arrived: what is dirty is exactly them when its version is. */
static void clean(struct push_run *run)
{
    struct snapshot *snapshot = NULL;
    struct range missing;
    struct inode *inode;
    if (run->snapshot && run->snapshot->data_version == run->attempt.data_version)
        return;
    if (run->snapshot)
        snapshot_free(run->cache, run->snapshot);
    run->snapshot = NULL;
    inode = inode_get(run->cache, run->attempt.ino);
    if (inode && snapshot_take(run->cache, inode, &snapshot, &missing) == 0) {
        if (snapshot->data_version == run->attempt.data_version)
            run->snapshot = snapshot;
        else
            snapshot_free(run->cache, snapshot);
    }
    inode_put(run->cache, inode);
}

static enum push_next ours(struct push_run *run, const struct match *m, const struct s3_object *object)
{
    const char *key = run->attempt.key;
    run->attempt = m->attempt;
    run->attempt.key = key;
    snprintf(run->nonce, sizeof run->nonce, "%s", m->nonce);
    run->attempt.nonce = m->has_nonce ? run->nonce : NULL;
    if (!m->has_nonce) { /* a copy that took its source's along */
        free(run->look.source.nonce);
        const char *nonce = s3_object_meta(object, PUSH_NONCE_META);
        run->look.source.nonce = nonce ? strdup(nonce) : NULL;
    }
    free(run->kept);
    run->kept = posix_keep(key, object);
    clean(run);
    log_info("%s: the last request had arrived although its answer had not", key);
    return push_run_applied(run, object->etag, object->size, object->mtime_ms);
}

/* A copy was refused although its destination is as we thought: then its source is not. */
enum push_next push_resolve_source(struct push_run *run, const char *source)
{
    struct s3_object object = { 0 };
    const struct s3_ops *ops = run->cache->config.ops;
    int64_t stamp = remote_stamp(run->cache);
    enum s3_outcome outcome = ops->head(run->cache->config.ops_ctx, &run->call, source, &object, &run->error);
    if (outcome != S3_OK && outcome != S3_NOT_FOUND)
        return push_run_failed(run, outcome);
    struct remote row = { 0 };
    db_begin(run->cache);
    if (remote_get_tx(run->cache, source, &row)) {
        if (!row.etag || outcome == S3_NOT_FOUND || strcmp(row.etag, object.etag) != 0) {
            /* Another client's version now, and nothing of ours: the copy is made from what is here. The ETag that we knew stays, so
             * that the delete which follows finds theirs, and leaves it. */
            log_notice("%s was %s by another client while it was being renamed here", source, outcome == S3_OK ? "changed" : "deleted");
            row.ino = 0;
            row.page = stamp;
            if (outcome == S3_NOT_FOUND) {
                free(row.etag);
                row.etag = NULL;
            }
            remote_put_tx(run->cache, &row);
        }
        remote_fini(&row);
    }
    int error = db_commit(run->cache);
    s3_object_fini(&object);
    return error ? push_run_local(run, error, "the index cannot be written") : PUSH_NEXT;
}

/* Nothing of ours, nothing of anybody's: as it was before the request. */
static enum push_next unchanged(struct push_run *run, const struct match *m, enum s3_outcome outcome, bool last_look)
{
    char source[S3_KEY_MAX + 1];
    bool refused = outcome == S3_PRECONDITION || outcome == S3_NOT_FOUND;
    snprintf(source, sizeof source, "%s", m->source);
    db_begin(run->cache);
    if ((refused || outcome == S3_NO_UPLOAD) && run->attempt.id)
        push_attempt_delete_tx(run->cache, run->attempt.id);
    push_attempt_parts_again_tx(run->cache, run->attempt.key);
    push_attempt_missed_tx(run->cache, run->attempt.key);
    if (last_look)
        push_attempt_settled_tx(run->cache, run->attempt.key);
    int error = db_commit(run->cache);
    push_run_unclaim(run, false);
    if (error)
        return push_run_local(run, error, "the index cannot be written");
    return refused && source[0] ? push_resolve_source(run, source) : PUSH_NEXT;
}

/* The key is gone, and a DELETE of ours was under way. */
static enum push_next deleted(struct push_run *run)
{
    db_begin(run->cache);
    remote_delete_tx(run->cache, run->attempt.key);
    push_attempt_settled_tx(run->cache, run->attempt.key);
    int error = db_commit(run->cache);
    push_run_unclaim(run, false);
    return error ? push_run_local(run, error, "the index cannot be written") : PUSH_NEXT;
}

bool push_resolve_landed(struct push_run *run, const struct s3_object *object, enum push_next *next)
{
    struct match m = { .object = object };
    db_begin(run->cache);
    push_attempt_each_tx(run->cache, run->attempt.key, match_attempt, &m);
    db_commit(run->cache);
    if (!m.found)
        return false;
    *next = push_run_claim(run) ? ours(run, &m, object) : PUSH_STOP;
    return true;
}

enum push_next push_resolve(struct push_run *run, enum s3_outcome outcome)
{
    struct match m = { .object = NULL };
    struct s3_object object = { 0 };
    struct remote have = { 0 };
    struct s3_error error;
    if (!push_run_claim(run))
        return PUSH_STOP;
    bool last_look = run->look.step == PUSH_NOTHING;
    int64_t stamp = remote_stamp(run->cache);
    enum s3_outcome head = run->cache->config.ops->head(run->cache->config.ops_ctx, &run->call, run->attempt.key, &object, &error);
    if (head != S3_OK && head != S3_NOT_FOUND) {
        run->error = error;
        push_run_unclaim(run, false);
        return push_run_failed(run, head);
    }
    m.object = head == S3_OK ? &object : NULL;
    db_begin(run->cache);
    push_attempt_each_tx(run->cache, run->attempt.key, match_attempt, &m);
    bool row = remote_get_tx(run->cache, run->attempt.key, &have);
    bool same = m.object ? row && have.etag && strcmp(have.etag, object.etag) == 0 : !row || !have.etag;
    remote_fini(&have);
    db_commit(run->cache);

    enum push_next next;
    if (m.found)
        next = ours(run, &m, &object);
    else if (same)
        next = unchanged(run, &m, outcome, last_look);
    else if (!m.object && m.deletes && !m.others)
        next = deleted(run);
    else
        next = push_conflict(run, m.object, stamp);
    s3_object_fini(&object);
    return next;
}

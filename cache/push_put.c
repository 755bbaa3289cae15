/*
 * PUTs: files up to PUSH_PUT_SINGLE_MAX from a frozen snapshot, symlinks, special files and directories from their rows.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "cache/db.h"
#include "cache/fetch.h"
#include "cache/push_run.h"
#include "s3/digest.h"

bool push_put_guard(struct push_run *run, enum s3_cap cap, enum push_next *next)
{
    enum s3_cap_state state = push_caps_need(run->push, cap, &run->error);
    if (state == S3_CAP_HONOURED)
        return true;
    if (state == S3_CAP_UNKNOWN) {
        *next = push_run_failed(run, run->error.outcome);
        return false;
    }
    return push_put_guard_head(run, next);
}

bool push_put_guard_head(struct push_run *run, enum push_next *next)
{
    const struct push_look *look = &run->look;
    s3_object_fini(&run->seen);
    run->seen = (struct s3_object){ 0 };
    enum s3_outcome head = run->cache->config.ops->head(run->cache->config.ops_ctx, &run->call, look->key, &run->seen, &run->error);
    bool present = head == S3_OK, as_known = present == look->facts.present && (!present || strcmp(run->seen.etag, look->have.etag) == 0);
    if (as_known && (present || head == S3_NOT_FOUND))
        return true;
    run->attempt.key = look->key;
    *next = present || head == S3_NOT_FOUND ? push_resolve(run, S3_PRECONDITION) : push_run_failed(run, head);
    return false;
}

bool push_put_snapshot(struct push_run *run, enum push_next *next)
{
    struct range missing = { 0, 0 };
    run->inode = inode_get(run->cache, run->look.facts.ino);
    *next = PUSH_NEXT;
    if (!run->inode)
        return false;
    /* Of a large file, what is not here is copied on the server. */
    int error = snapshot_take(run->cache, run->inode, &run->snapshot, run->look.step == PUSH_MULTIPART ? NULL : &missing);
    if (error == -EAGAIN) {
        error = fetch_range_blocking(run->cache, run->inode, missing.start, missing.end - missing.start);
        if (!error)
            return false;
    }
    if (error == -ESTALE && run->inode->removed)
        return false;
    if (error == -ESTALE && run->inode->dirty_ms == 0)
        *next = push_conflict_lost(run);
    else if (error == -ESTALE)
        *next = push_run_local(run, error, "bytes that were never fetched are gone from the bucket; what was written is kept here");
    else if (error)
        *next = push_run_local(run, error, "its bytes cannot be read");
    return error == 0;
}

int push_put_headers_tx(struct push_run *run)
{
    struct inode values;
    struct inode *inode = inode_get_tx(run->cache, run->attempt.ino);
    if (!inode)
        return -ESTALE;
    inode_values_tx(run->cache, inode, &values);
    push_attempt_sign(run->nonce, &values);
    int error = posix_encode(run->cache, run->attempt.key, &values, run->kept, run->attempt.nonce, &run->headers);
    inode_put(run->cache, inode);
    return error;
}

/* The body of what is no regular file. */
static int body_from_row_tx(struct push_run *run, char **target)
{
    struct inode values;
    struct inode *inode = inode_get_tx(run->cache, run->attempt.ino);
    if (!inode)
        return -ESTALE;
    inode_values_tx(run->cache, inode, &values);
    *target = strdup(S_ISLNK(values.mode) && values.target ? values.target : "");
    inode_put(run->cache, inode);
    if (!*target)
        return -ENOMEM;
    run->body = (struct s3_body){ .data = *target, .fd = -1, .length = strlen(*target) };
    return 0;
}

static int body_from_snapshot(struct push_run *run)
{
    run->body = (struct s3_body){ .data = run->snapshot->data, .fd = -1, .length = run->snapshot->size };
    if (run->body.length == 0)
        run->body.data = "";
    return run->body.data ? 0 : snapshot_fd(run->cache, run->snapshot, &run->body.fd);
}

static int digest(struct push_run *run)
{
    int error = digest_body_md5_hex(&run->body, run->body_md5);
    run->body.md5 = run->body_md5;
    return error;
}

/* The rest of what another client set on the object that is replaced; on a new file's, nothing. */
static void keep_headers(struct push_run *run)
{
    const struct push_facts *f = &run->look.facts;
    bool same_file = f->present && f->have_ino == f->ino && run->look.have.headers;
    if (same_file && f->want == PUSH_WANT_FILE)
        run->kept = posix_keep_for_new_bytes(run->look.have.headers);
    else if (same_file)
        run->kept = strdup(run->look.have.headers);
}

/* What the transaction of the attempt adds for a PUT. */
static int fill_tx(struct push_run *run, char **target)
{
    int error = 0;
    if (!run->snapshot) {
        error = body_from_row_tx(run, target);
        if (!error)
            error = digest(run);
    }
    if (error)
        return error;
    keep_headers(run);
    if (!atomic_load(&run->push->etag_no_md5))
        run->attempt.expected_etag = run->body_md5;
    run->look.facts.size = run->body.length;
    return push_put_headers_tx(run);
}

static enum push_next send(struct push_run *run)
{
    struct s3_put_result result = { 0 };
    struct s3_put_request request = { .key = run->attempt.key, .body = run->body, .headers = run->headers.s3, .condition = run->condition };
    enum s3_outcome outcome = run->cache->config.ops->put(run->cache->config.ops_ctx, &run->call, &request, &result, &run->error);
    if (outcome == S3_OK && strcmp(result.etag, run->body_md5) != 0)
        atomic_store(&run->push->etag_no_md5, true);
    return push_run_outcome(run, outcome, &result);
}

enum push_next push_put(struct push_run *run)
{
    enum push_next next;
    char *target = NULL;
    int error = 0;
    if (!push_put_guard(run, S3_CAP_PUT_CONDITION, &next))
        return next;
    if (run->look.facts.want == PUSH_WANT_FILE) {
        if (!push_put_snapshot(run, &next))
            return next;
        error = body_from_snapshot(run);
        if (!error)
            error = digest(run);
        if (error)
            return push_run_local(run, error, "its bytes cannot be read");
    }
    if (!push_run_begin(run, PUSH_ATTEMPT_PUT, &next))
        return next;
    error = fill_tx(run, &target);
    if (error) {
        db_rollback(run->cache);
        push_run_unclaim(run, false);
        next = push_run_unfit(run, error);
    } else if (push_run_commit(run, &next)) {
        next = send(run);
    }
    free(target);
    return next;
}

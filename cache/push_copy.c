/*
 * Copies on the server: a renamed file, new metadata, and an object that makes room for another.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cache/db.h"
#include "cache/fetch.h"
#include "cache/push_run.h"

static bool plain_md5(const char *etag)
{
    return strlen(etag) == 32;
}

/* A copy with new metadata writes down what the inode's row says, which has to be the truth and not a listing's guess. */
static bool know_inode(struct push_run *run, enum push_next *next)
{
    struct wait_blocking wait;
    *next = PUSH_NEXT;
    run->inode = inode_get(run->cache, run->look.facts.ino);
    if (!run->inode)
        return false;
    wait_blocking_init(&wait);
    int error = fetch_meta(run->cache, run->inode, &wait.wait);
    if (error == CACHE_WAIT) {
        error = wait_blocking_run(run->cache, &wait, -1);
        wait_blocking_fini(&wait);
        if (!error)
            return false;
    } else {
        wait_blocking_fini(&wait);
    }
    if (error)
        *next = push_run_local(run, error, "its metadata cannot be fetched");
    return error == 0;
}

struct copy {
    struct s3_copy_request request;
    char source_etag[S3_ETAG_MAX + 1];
    char aside[S3_KEY_MAX + 1];
};

static int fill_aside_tx(struct push_run *run, struct copy *copy)
{
    const struct remote *have = &run->look.have;
    const char *prefix = run->cache->config.prefix;
    snprintf(copy->aside, sizeof copy->aside, "%s%s" PUSH_ASIDE_FOLDER "%s", prefix, prefix[0] ? "/" : "", run->nonce);
    run->attempt.key = copy->aside;
    run->attempt.ino = have->ino;
    run->attempt.data_version = have->data_version;
    run->attempt.meta_version = have->meta_version;
    run->attempt.condition = "";
    run->look.facts.size = have->size;
    push_attempt_new_tx(run->cache, &run->attempt);
    /* It goes once the path that needs it is served. */
    lock_take(&run->push->lock);
    int64_t first = run->item->first;
    lock_drop(&run->push->lock);
    push_inherit_tx(run->push, 0, copy->aside, first, run->sequence);
    return 0;
}

/* Which copy this step is: its source, what it keeps, what it expects. */
static int fill_tx(struct push_run *run, struct copy *copy)
{
    struct push_look *look = &run->look;
    bool onto_itself = look->step == PUSH_META || look->step == PUSH_ASIDE;
    const struct remote *from = onto_itself ? &look->have : &look->source;
    bool replace = look->step == PUSH_META || look->step == PUSH_COPY_REPLACE;
    snprintf(copy->source_etag, sizeof copy->source_etag, "%s", from->etag);
    run->kept = from->headers ? strdup(from->headers) : NULL;
    run->attempt.source = from->key;
    if (!replace) {
        char *nonce = from->nonce ? strdup(from->nonce) : NULL;
        free(look->source.nonce);
        look->source.nonce = nonce;
        run->attempt.nonce = NULL;
    }
    if (!replace || plain_md5(from->etag))
        run->attempt.expected_etag = copy->source_etag;
    int error = look->step == PUSH_ASIDE ? fill_aside_tx(run, copy) : replace ? push_put_headers_tx(run) : 0;
    copy->request = (struct s3_copy_request){
        .source = run->attempt.source, .source_if_match = copy->source_etag, .key = run->attempt.key, .condition = run->condition,
        .directive = replace ? S3_META_REPLACE : S3_META_COPY, .headers = run->headers.s3,
    };
    if (look->step == PUSH_ASIDE)
        copy->request.condition = (struct s3_condition){ .if_absent = true };
    return error;
}

enum push_next push_copy(struct push_run *run)
{
    struct copy copy = { 0 };
    struct s3_put_result result = { 0 };
    enum push_next next;
    bool replace = run->look.step == PUSH_META || run->look.step == PUSH_COPY_REPLACE;
    if (!push_put_guard(run, S3_CAP_COPY_CONDITION, &next) || (replace && !know_inode(run, &next)))
        return next;
    if (!push_run_begin(run, PUSH_ATTEMPT_COPY, &next))
        return next;
    int error = fill_tx(run, &copy);
    if (error) {
        db_rollback(run->cache);
        push_run_unclaim(run, false);
        return push_run_unfit(run, error);
    }
    if (!push_run_commit(run, &next))
        return next;
    enum s3_outcome outcome = run->cache->config.ops->copy(run->cache->config.ops_ctx, &run->call, &copy.request, &result, &run->error);
    return push_run_outcome(run, outcome, &result);
}

enum push_next push_head(struct push_run *run)
{
    const struct push_facts *f = &run->look.facts;
    bool own = f->present && f->have_ino == f->ino && f->have_data_version == f->data_version;
    if (f->want != PUSH_WANT_FILE)
        own = true;
    struct remote *row = own ? &run->look.have : &run->look.source;
    int64_t stamp = remote_stamp(run->cache);
    struct s3_object object = { 0 };
    enum s3_outcome outcome = run->cache->config.ops->head(run->cache->config.ops_ctx, &run->call, row->key, &object, &run->error);
    if (outcome != S3_OK && outcome != S3_NOT_FOUND)
        return push_run_failed(run, outcome);
    if (outcome == S3_NOT_FOUND || strcmp(object.etag, row->etag) != 0) {
        s3_object_fini(&object);
        run->attempt.key = run->look.key;
        return own ? push_resolve(run, S3_PRECONDITION) : push_resolve_source(run, row->key);
    }
    struct remote now = { 0 };
    db_begin(run->cache);
    if (remote_get_tx(run->cache, row->key, &now) && now.etag && strcmp(now.etag, object.etag) == 0 && now.page <= stamp) {
        free(now.headers);
        now.headers = posix_keep(now.key, &object);
        if (!now.headers)
            now.headers = strdup("{}");
        remote_put_tx(run->cache, &now);
    }
    remote_fini(&now);
    int error = db_commit(run->cache);
    s3_object_fini(&object);
    return error ? push_run_local(run, error, "the index cannot be written") : PUSH_NEXT;
}

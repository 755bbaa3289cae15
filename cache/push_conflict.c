/*
 * Another client changed the key meanwhile: both versions are kept, and the user is told. The version that loses the name
 * is renamed, here or in the bucket; open descriptors stay with the inode, whatever it is called now.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cache/db.h"
#include "cache/name.h"
#include "cache/push_name.h"
#include "cache/push_run.h"
#include "cache/todo.h"
#include "s3/base/log.h"

static enum push_next settled(struct push_run *run, int error)
{
    push_run_unclaim(run, false);
    return error ? push_run_local(run, error, "the index cannot be written") : PUSH_NEXT;
}

static enum push_next given_up(struct push_run *run, int error)
{
    return settled(run, error) == PUSH_STOP ? PUSH_STOP : push_run_finished(run);
}

/* The row of the key no longer speaks of an inode of ours; what the key holds is another's. */
static void detach_tx(struct push_run *run, const char *key, const struct s3_object *object)
{
    struct remote row = { 0 };
    push_attempt_settled_tx(run->cache, key);
    if (!remote_get_tx(run->cache, key, &row))
        return;
    free(row.etag);
    row.etag = object ? strdup(object->etag) : NULL;
    row.ino = 0;
    row.gone = false;
    free(row.nonce);
    row.nonce = NULL;
    free(row.headers);
    row.headers = NULL;
    remote_put_tx(run->cache, &row);
    remote_fini(&row);
}

static void count(struct push_run *run, const char *path, const char *kept)
{
    atomic_fetch_add(&run->cache->conflicts, 1);
    log_notice("conflict: %s was changed by another client too; both versions are kept, the other one as %s", path, kept);
}

/* ---- a name that went here and changed there ---- */

static enum push_next reappear(struct push_run *run, const char *key, const struct s3_object *object, int64_t stamp)
{
    db_begin(run->cache);
    push_run_drop_todo_tx(run);
    push_run_unclaim(run, false);
    detach_tx(run, key, object);
    remote_delete_tx(run->cache, key);
    push_attempt_settled_tx(run->cache, key);
    if (object)
        remote_apply_object_tx(run->cache, key, object, stamp);
    int error = db_commit(run->cache);
    if (object)
        log_notice("%s was removed here but changed by another client meanwhile: theirs stays", key);
    return given_up(run, error);
}

/* ---- ours moves away ---- */

static char *conflict_key_tx(struct push_run *run, const char *key)
{
    const char *prefix = run->cache->config.prefix, *relative = name_relative(run->cache, key);
    size_t room = S3_KEY_MAX - strlen(prefix) - (prefix[0] != '\0');
    char *path = relative ? push_name_conflict(relative, run->cache->instance, db_next(run->cache, DB_SEQUENCE), room) : NULL;
    char *full = NULL;
    if (!path || asprintf(&full, "%s%s%s", prefix, prefix[0] ? "/" : "", path) < 0)
        full = NULL;
    free(path);
    if (!full)
        db_fail(run->cache, -ENOMEM);
    return full;
}

static void move_name_tx(struct push_run *run, const char *key, const char *to)
{
    const char *name = NULL, *new_name = NULL;
    size_t length = 0, new_length = 0;
    /* Both makes find the parents of what exists; only .r2fs-conflicts may be new. */
    uint64_t parent = tree_make_parents_tx(run->cache, key, true, &name, &length);
    uint64_t new_parent = tree_make_parents_tx(run->cache, to, true, &new_name, &new_length);
    if (parent && new_parent)
        tree_move_tx(run->cache, parent, name, length, new_parent, new_name, new_length, true);
}

static enum push_next keep_both(struct push_run *run, const char *key, const struct s3_object *object, int64_t stamp)
{
    uint64_t ino = run->attempt.ino ? run->attempt.ino : run->look.facts.ino;
    db_begin(run->cache);
    char *to = conflict_key_tx(run, key);
    if (to && tree_find_tx(run->cache, key) == ino) {
        move_name_tx(run, key, to);
        todo_inode_tx(run->cache, ino, false);
    }
    push_run_unclaim(run, false);
    detach_tx(run, key, object);
    remote_delete_tx(run->cache, key);
    remote_apply_object_tx(run->cache, key, object, stamp);
    if (push_attempt_has_upload_tx(run->cache, key))
        todo_gone_tx(run->cache, key, false); /* aborts it */
    int error = db_commit(run->cache);
    if (!error) {
        struct inode *inode = inode_get(run->cache, ino);
        if (inode) {
            lock_take(&inode->lock);
            inode->conflict_news = true;
            lock_drop(&inode->lock);
        }
        inode_put(run->cache, inode);
        count(run, key, to);
    }
    free(to);
    return settled(run, error);
}

/* ---- theirs moves away ---- */

static enum push_next keep_ours(struct push_run *run, const char *key, const struct s3_object *object)
{
    struct s3_put_result result = { 0 };
    db_begin(run->cache);
    char *to = conflict_key_tx(run, key);
    int error = db_commit(run->cache);
    if (error) {
        free(to);
        return settled(run, error);
    }
    struct s3_copy_request request = { .source = key, .source_if_match = object->etag, .key = to, .condition = { .if_absent = true } };
    int64_t stamp = remote_stamp(run->cache);
    enum s3_outcome outcome = run->cache->config.ops->copy(run->cache->config.ops_ctx, &run->call, &request, &result, &run->error);
    if (outcome != S3_OK) {
        /* An answer that was lost may leave one more copy of theirs, which the next listing shows. */
        free(to);
        push_run_unclaim(run, false);
        return outcome == S3_PRECONDITION || outcome == S3_NOT_FOUND ? PUSH_NEXT : push_run_failed(run, outcome);
    }
    struct s3_object copied = *object;
    memcpy(copied.etag, result.etag, sizeof copied.etag);
    db_begin(run->cache);
    detach_tx(run, key, object);
    remote_apply_object_tx(run->cache, to, &copied, stamp);
    error = db_commit(run->cache);
    if (!error)
        count(run, key, to);
    free(to);
    return settled(run, error);
}

/* ---- no version of ours is at stake ---- */

/* Only metadata changed here, or it is a directory's object: theirs is taken, or ours is put over it. */
static enum push_next take_theirs(struct push_run *run, const char *key, const struct s3_object *object, int64_t stamp)
{
    db_begin(run->cache);
    push_run_drop_todo_tx(run);
    push_run_unclaim(run, false);
    push_attempt_settled_tx(run->cache, key);
    remote_apply_object_tx(run->cache, key, object, stamp);
    int error = db_commit(run->cache);
    log_notice("%s was %s by another client: the new mode, owner or time that it was given here is dropped", key, object ? "changed" : "deleted");
    return given_up(run, error);
}

static enum push_next base_on_theirs(struct push_run *run, const char *key, const struct s3_object *object)
{
    struct remote row = { 0 };
    db_begin(run->cache);
    push_attempt_settled_tx(run->cache, key);
    if (!remote_get_tx(run->cache, key, &row))
        row.key = strdup(key);
    free(row.etag);
    row.etag = object ? strdup(object->etag) : NULL;
    row.meta_version = REMOTE_META_UNKNOWN;
    if (object) {
        free(row.headers);
        row.headers = posix_keep(key, object);
        if (!row.headers)
            row.headers = strdup("{}");
    }
    if (row.key)
        remote_put_tx(run->cache, &row);
    else
        db_fail(run->cache, -ENOMEM);
    remote_fini(&row);
    return settled(run, db_commit(run->cache));
}

/* The very bytes that we were about to send: taken as sent, and our metadata follows. */
static enum push_next adopt(struct push_run *run, const char *key, const struct s3_object *object)
{
    const char *nonce = s3_object_meta(object, PUSH_NONCE_META);
    run->attempt.meta_version = REMOTE_META_UNKNOWN;
    snprintf(run->nonce, sizeof run->nonce, "%s", nonce ? nonce : "");
    run->attempt.nonce = run->nonce;
    free(run->kept);
    run->kept = posix_keep(key, object);
    return push_run_applied(run, object->etag, object->size, object->mtime_ms);
}

enum push_next push_conflict(struct push_run *run, const struct s3_object *object, int64_t stamp)
{
    char key[S3_KEY_MAX + 1];
    const struct push_facts *f = &run->look.facts;
    snprintf(key, sizeof key, "%s", run->attempt.key);
    if (run->item->key)
        return reappear(run, key, object, stamp);
    bool same_bytes_here = f->want == PUSH_WANT_FILE && f->present && f->have_ino == f->ino && f->have_data_version == f->data_version;
    if (same_bytes_here)
        return take_theirs(run, key, object, stamp);
    if (object && run->attempt.id && run->body_md5[0] && strcmp(run->body_md5, object->etag) == 0)
        return adopt(run, key, object);
    if (!object && f->want != PUSH_WANT_EITHER)
        log_notice("%s was deleted by another client while it was changed here: ours is put back", key);
    if (!object || f->want == PUSH_WANT_DIRECTORY)
        return base_on_theirs(run, key, object);
    return run->cache->config.on_conflict == CACHE_OURS ? keep_ours(run, key, object) : keep_both(run, key, object, stamp);
}

enum push_next push_conflict_lost(struct push_run *run)
{
    const char *name = NULL;
    size_t length = 0;
    const char *key = run->look.key;
    db_begin(run->cache);
    if (tree_find_tx(run->cache, key) == run->look.facts.ino) {
        uint64_t parent = tree_make_parents_tx(run->cache, key, true, &name, &length);
        if (parent)
            tree_remove_tx(run->cache, parent, name, length, true);
        /* What it was to replace is still there, and appears again with the next listing. */
        if (run->look.facts.present && run->look.facts.have_ino != run->look.facts.ino)
            remote_delete_tx(run->cache, key);
    }
    int error = db_commit(run->cache);
    log_notice("%s is gone: another client deleted it while it was being renamed here, and its bytes were never fetched", key);
    return error ? push_run_local(run, error, "the index cannot be written") : PUSH_NEXT;
}

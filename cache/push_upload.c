/*
 * Multipart uploads of large files, and part-wise copies of what is too large for one Copy. Parts that nobody wrote to are
 * copied from the base on the server, between two HEADs of it, since UploadPartCopy takes no condition. Several pool threads
 * share the parts of one upload.
 *
 * The upload's id and the parts sent are in a row of attempt: a failure goes on where it ended, also after a restart, as long
 * as the bytes are the same and the upload was begun by this instance. A Complete names the ETag of each part, so that an upload
 * into which somebody else wrote is refused rather than torn.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cache/db.h"
#include "cache/fetch.h"
#include "cache/push_parts.h"
#include "cache/push_upload.h"
#include "s3/base/clock.h"
#include "s3/base/log.h"
#include "s3/digest.h"

#define WORKERS 4
#define UPLOAD_ID_MAX 1024
#define SAVE_MS 2000 /* between two writes of the row's parts */

struct record { /* of attempt.parts */
    uint32_t number;
    char etag[60];
};

struct upload {
    struct push_run *run;
    char upload_id[UPLOAD_ID_MAX];
    unsigned resumes;      /* of the machine, before this upload was begun: after another it is left alone */
    const char *base_key;  /* the snapshot's, or the source of a copy; NULL: none */
    const char *base_etag;
    int64_t base_mtime_ms;
    uint64_t size, part_size;
    int64_t meta_version;  /* of the headers that the upload was begun with */
    int count;
    bool copies;           /* some part is copied from the base */
    struct s3_part *parts; /* number 0: not there yet */
    bool *copied;
    /* under push->lock */
    int next;              /* the first part that nobody took */
    enum s3_outcome outcome;
    struct s3_error error;
    int local;             /* -errno of reading a part */
    unsigned active, references;
    bool closed;
    int64_t saved_ms;
};

struct helper {
    struct pool_job job;
    struct upload *upload;
};

static const struct s3_ops *ops(struct upload *u)
{
    return u->run->cache->config.ops;
}

static void *ctx(struct upload *u)
{
    return u->run->cache->config.ops_ctx;
}

/* ---- parts ---- */

static bool is_copy(struct upload *u, struct range part)
{
    static const struct ranges none;
    const struct snapshot *s = u->run->snapshot;
    if (!u->base_key)
        return false;
    return push_parts_copyable(part, s ? s->base_size : u->size, s ? &s->dirty : &none);
}

static enum s3_outcome send_part(struct upload *u, int number, struct s3_part *part, struct s3_error *error)
{
    struct range r = push_parts_range(u->size, u->part_size, number);
    struct s3_part_request request = { .key = u->run->look.key, .upload_id = u->upload_id, .number = number, .body = { .fd = -1 } };
    struct snapshot *s = u->run->snapshot;
    int fd = -1, rc = 0;
    if (is_copy(u, r)) {
        request.source = u->base_key;
        request.source_offset = r.start;
        request.source_length = r.end - r.start;
        u->copied[number - 1] = true;
    } else {
        request.body = (struct s3_body){ .data = s->data ? (const char *)s->data + r.start : NULL, .fd = -1, .length = r.end - r.start };
        rc = s->data ? 0 : snapshot_range_fd(u->run->cache, s, r.start, r.end - r.start, &fd, &request.body.offset);
        request.body.fd = fd;
    }
    enum s3_outcome outcome = S3_LOCAL;
    if (rc)
        *error = (struct s3_error){ .outcome = S3_LOCAL, .local_errno = -rc, .message = "its bytes cannot be read" };
    else
        outcome = ops(u)->upload_part(ctx(u), &u->run->call, &request, part, error);
    if (fd >= 0)
        close(fd);
    if (outcome == S3_OK && request.source)
        u->run->item->moved += r.end - r.start; /* no byte passed here, but it is progress */
    return outcome;
}

static void save_parts(struct upload *u)
{
    struct record *records = calloc((size_t)u->count, sizeof *records);
    size_t count = 0;
    if (!records)
        return;
    lock_take(&u->run->push->lock);
    for (int i = 0; i < u->count; i++)
        if (u->parts[i].number && !u->copied[i] && strlen(u->parts[i].etag) < sizeof records->etag) {
            records[count].number = (uint32_t)u->parts[i].number;
            snprintf(records[count++].etag, sizeof records->etag, "%.59s", u->parts[i].etag);
        }
    lock_drop(&u->run->push->lock);
    db_begin(u->run->cache);
    push_attempt_parts_tx(u->run->cache, u->run->attempt.id, records, count * sizeof *records);
    (void)db_commit(u->run->cache); /* else they are sent again */
    free(records);
}

/* Takes parts until none is left or one failed. */
static void work(struct upload *u)
{
    struct push *push = u->run->push;
    lock_take(&push->lock);
    while (!u->closed && u->outcome == S3_OK && !push->stop && u->resumes == push->resumes) {
        while (u->next <= u->count && u->parts[u->next - 1].number)
            u->next++;
        if (u->next > u->count)
            break;
        int number = u->next++;
        lock_drop(&push->lock);
        struct s3_part part = { 0 };
        struct s3_error error = { 0 };
        enum s3_outcome outcome = send_part(u, number, &part, &error);
        lock_take(&push->lock);
        if (outcome == S3_OK) {
            u->parts[number - 1] = part;
            u->parts[number - 1].number = number;
        } else if (u->outcome == S3_OK) {
            u->outcome = outcome;
            u->error = error;
        }
        bool save = clock_mono_ms() - u->saved_ms >= SAVE_MS;
        if (save) {
            u->saved_ms = clock_mono_ms();
            lock_drop(&push->lock);
            save_parts(u);
            lock_take(&push->lock);
        }
    }
    lock_drop(&push->lock);
}

static void unref(struct push *push, struct upload *u)
{
    lock_take(&push->lock);
    bool last = --u->references == 0;
    lock_drop(&push->lock);
    if (last) {
        free(u->parts);
        free(u->copied);
        free(u);
    }
}

/* A helper that starts after the upload is closed must not look at its run, which is gone; the push is the cache's. */
static void help(struct cache *cache, struct pool_job *job)
{
    struct helper *helper = (struct helper *)job;
    struct upload *u = helper->upload;
    struct push *push = cache->push;
    lock_take(&push->lock);
    bool closed = u->closed;
    u->active += !closed;
    lock_drop(&push->lock);
    if (!closed) {
        work(u);
        lock_take(&push->lock);
        u->active--;
        pthread_cond_broadcast(&push->settle);
        lock_drop(&push->lock);
    }
    push_upload_drop(cache, job);
}

bool push_upload_drop(struct cache *cache, struct pool_job *job)
{
    if (job->run != help)
        return false;
    struct helper *helper = (struct helper *)job;
    unref(cache->push, helper->upload);
    free(helper);
    return true;
}

static enum s3_outcome send_parts(struct upload *u)
{
    struct push *push = u->run->push;
    for (int i = 1; i < WORKERS && i < u->count; i++) {
        struct helper *helper = calloc(1, sizeof *helper);
        if (!helper)
            break;
        helper->job.run = help;
        helper->upload = u;
        lock_take(&push->lock);
        u->references++;
        lock_drop(&push->lock);
        pool_submit(push->cache->push_pool, &helper->job);
    }
    work(u);
    lock_take(&push->lock);
    while (u->active > 0)
        lock_wait(&push->lock, &push->settle);
    u->closed = true;
    enum s3_outcome outcome = u->outcome != S3_OK ? u->outcome : push->stop || u->resumes != push->resumes ? S3_CANCELLED : S3_OK;
    lock_drop(&push->lock);
    u->run->error = u->error;
    return outcome;
}

/* ---- the base ---- */

/* Is the base still the version that the parts are copied from? Both HEADs of it must say the same. */
static enum s3_outcome head_base(struct upload *u, bool first)
{
    struct s3_object object = { 0 };
    if (!u->copies)
        return S3_OK;
    enum s3_outcome outcome = ops(u)->head(ctx(u), &u->run->call, u->base_key, &object, &u->run->error);
    if (outcome == S3_OK && (strcmp(object.etag, u->base_etag) != 0 || (!first && object.mtime_ms != u->base_mtime_ms)))
        outcome = S3_PRECONDITION;
    if (outcome == S3_NOT_FOUND)
        outcome = S3_PRECONDITION;
    u->base_mtime_ms = object.mtime_ms;
    s3_object_fini(&object);
    return outcome;
}

/* Bytes of parts that are sent from here, but were never read from the base. */
static int fetch_missing(struct push_run *run, struct inode *inode)
{
    for (;;) {
        struct range missing = { 0, 0 };
        int error = 0;
        lock_take(&inode->lock);
        struct content *c = block_content(run->cache, inode, &error);
        uint64_t size = inode->size, part_size = push_parts_size(size ? size : 1);
        bool found = false;
        for (int n = 1; c && !found && n <= push_parts_count(size, part_size); n++) {
            struct range part = push_parts_range(size, part_size, n);
            uint64_t end = part.end < c->base_size ? part.end : c->base_size;
            if (c->base_key && end > part.start && !push_parts_copyable(part, c->base_size, &c->dirty))
                found = ranges_next(&c->present, part.start, end, true, &missing);
        }
        lock_drop(&inode->lock);
        if (!c)
            return error;
        if (!found)
            return 0;
        error = fetch_range_blocking(run->cache, inode, missing.start, missing.end - missing.start);
        if (error)
            return error;
    }
}

/* ---- begin, resume, complete ---- */

struct leftover {
    struct upload *upload;       /* one to go on with, or NULL */
    int64_t data_version;
    bool resumed;
    int64_t strange_id;          /* an upload of other bytes, to be given up */
    char strange[UPLOAD_ID_MAX];
    bool strange_is_ours;
    const char *instance;
};

static void take_records(struct upload *u, const struct push_attempt *a)
{
    const struct record *records = a->parts;
    for (size_t i = 0; i < a->parts_size / sizeof *records; i++) {
        struct record r;
        memcpy(&r, records + i, sizeof r);
        if (r.number < 1 || r.number > (uint32_t)u->count)
            continue;
        u->parts[r.number - 1].number = (int)r.number;
        snprintf(u->parts[r.number - 1].etag, sizeof u->parts->etag, "%.59s", r.etag);
    }
}

static bool can_resume(const struct leftover *l, const struct push_attempt *a)
{
    struct upload *u = l->upload;
    return u && !l->resumed && a->ino == u->run->look.facts.ino && a->data_version == l->data_version && a->part_size == u->part_size;
}

static bool look_at_leftover(void *arg, const struct push_attempt *a)
{
    struct leftover *l = arg;
    struct upload *u = l->upload;
    if (a->kind != PUSH_ATTEMPT_UPLOAD || !a->upload_id || strlen(a->upload_id) >= UPLOAD_ID_MAX)
        return true;
    bool mine = strcmp(a->instance, l->instance) == 0;
    if (mine && can_resume(l, a)) {
        l->resumed = true;
        snprintf(u->upload_id, sizeof u->upload_id, "%s", a->upload_id);
        snprintf(u->run->nonce, sizeof u->run->nonce, "%s", a->nonce ? a->nonce : "");
        u->run->attempt.id = a->id;
        u->meta_version = a->meta_version;
        take_records(u, a);
    } else if (!l->strange_id) {
        l->strange_id = a->id;
        l->strange_is_ours = mine;
        snprintf(l->strange, sizeof l->strange, "%s", a->upload_id);
    }
    return true;
}

/* Uploads of other bytes: ours are aborted, those of another instance are left alone, since its copy may be at work on them. */
static void look_at_leftovers(struct push_run *run, struct upload *u, int64_t data_version)
{
    struct leftover l;
    do {
        l = (struct leftover){ .upload = u, .data_version = data_version, .instance = run->cache->instance };
        db_begin(run->cache);
        lock_take(&run->push->lock);
        if (u)
            u->resumes = run->push->resumes;
        lock_drop(&run->push->lock);
        push_attempt_each_tx(run->cache, run->look.key, look_at_leftover, &l);
        if (l.strange_id)
            push_attempt_delete_tx(run->cache, l.strange_id);
        if (db_commit(run->cache))
            return;
        struct s3_error error;
        if (l.strange_id && l.strange_is_ours &&
            run->cache->config.ops->upload_abort(run->cache->config.ops_ctx, &run->call, run->look.key, l.strange, &error) != S3_OK)
            log_info("an unfinished upload of %s was not aborted: %s", run->look.key, error.message);
    } while (l.strange_id);
}

void push_upload_abandon(struct push_run *run)
{
    look_at_leftovers(run, NULL, 0);
}

static enum push_next unfit(struct push_run *run, int error)
{
    db_rollback(run->cache);
    return push_run_unfit(run, error);
}

/* Creates the upload with the headers that the object is to have. */
static bool create(struct upload *u, int64_t data_version, enum push_next *next)
{
    struct push_run *run = u->run;
    struct s3_upload_request request = { .key = run->look.key };
    char *id = NULL;
    run->attempt = (struct push_attempt){
        .kind = PUSH_ATTEMPT_UPLOAD, .key = run->look.key, .ino = run->look.facts.ino, .data_version = data_version,
        .meta_version = run->look.facts.meta_version, .nonce = run->nonce, .part_size = u->part_size,
    };
    push_attempt_nonce(run->nonce);
    u->meta_version = run->attempt.meta_version;
    db_begin(run->cache);
    int error = push_put_headers_tx(run);
    if (error) {
        *next = unfit(run, error);
        return false;
    }
    db_commit(run->cache);
    request.headers = run->headers.s3;
    enum s3_outcome outcome = ops(u)->upload_create(ctx(u), &run->call, &request, &id, &run->error);
    if (outcome != S3_OK || strlen(id) >= sizeof u->upload_id) {
        *next = push_run_failed(run, outcome == S3_OK ? S3_CORRUPT : outcome);
        free(id);
        return false;
    }
    snprintf(u->upload_id, sizeof u->upload_id, "%s", id);
    free(id);
    run->attempt.upload_id = u->upload_id;
    db_begin(run->cache);
    push_attempt_new_tx(run->cache, &run->attempt);
    error = db_commit(run->cache);
    if (error)
        *next = push_run_local(run, error, "the index cannot be written");
    return error == 0;
}

/* The MD5 of the parts' MD5s and their number; "" where some part's ETag is no MD5. */
static void expected_etag(const struct upload *u, char etag[S3_ETAG_MAX + 1])
{
    unsigned char *bytes = malloc(16 * (size_t)u->count);
    char hex[33];
    bool good = bytes != NULL;
    etag[0] = '\0';
    for (int i = 0; good && i < u->count; i++) {
        good = strlen(u->parts[i].etag) == 32;
        for (int b = 0; good && b < 16; b++)
            good = sscanf(u->parts[i].etag + 2 * b, "%2hhx", &bytes[16 * i + b]) == 1;
    }
    if (good && digest_md5_hex(bytes, 16 * (size_t)u->count, hex) == 0)
        snprintf(etag, S3_ETAG_MAX + 1, "%s-%d", hex, u->count);
    free(bytes);
}

/* The upload cannot be used any more. */
static void forget(struct upload *u)
{
    struct s3_error error;
    db_begin(u->run->cache);
    push_attempt_delete_tx(u->run->cache, u->run->attempt.id);
    (void)db_commit(u->run->cache);
    (void)ops(u)->upload_abort(ctx(u), &u->run->call, u->run->look.key, u->upload_id, &error);
}

static enum push_next complete(struct upload *u, int64_t data_version)
{
    struct push_run *run = u->run;
    struct s3_put_result result = { 0 };
    char expected[S3_ETAG_MAX + 1], nonce[PUSH_NONCE_SIZE];
    enum push_next next;
    int64_t id = run->attempt.id;
    memcpy(nonce, run->nonce, sizeof nonce);
    if (!push_put_guard_head(run, &next)) /* a refused Complete would lose all parts */
        return next;
    if (!push_instance_settled(run->push))
        return push_run_wait(run, clock_mono_ms() + PUSH_SETTLE_MS);
    if (!push_run_begin(run, PUSH_ATTEMPT_COMPLETE, &next))
        return next;
    lock_take(&run->push->lock);
    bool resumed = u->resumes != run->push->resumes;
    lock_drop(&run->push->lock);
    if (resumed) { /* another machine may have this upload too */
        db_rollback(run->cache);
        push_run_unclaim(run, false);
        return PUSH_NEXT;
    }
    expected_etag(u, expected);
    /* The object carries the nonce of the upload, not that of a new attempt: by the other it would look like another client's. */
    memcpy(run->nonce, nonce, sizeof nonce);
    run->attempt.id = id;
    run->attempt.data_version = data_version;
    /* A chmod since the upload began is not in its headers, and is still to be sent. */
    run->attempt.meta_version = u->meta_version;
    if (run->snapshot)
        run->look.facts.size = run->snapshot->size;
    push_attempt_complete_tx(run->cache, id, run->attempt.condition, expected[0] ? expected : NULL);
    if (!push_run_commit(run, &next))
        return next;
    struct s3_complete_request request = { .key = run->look.key, .upload_id = u->upload_id, .parts = u->parts, .part_count = (size_t)u->count, .condition = run->condition };
    enum s3_outcome outcome = ops(u)->upload_complete(ctx(u), &run->call, &request, &result, &run->error);
    return push_run_outcome(run, outcome, &result);
}

static bool prepare(struct upload *u, enum push_next *next)
{
    struct push_run *run = u->run;
    if (run->look.facts.source != PUSH_SOURCE_NONE || (run->look.facts.present && run->look.facts.have_ino == run->look.facts.ino &&
                                                      run->look.facts.have_data_version == run->look.facts.data_version)) {
        const struct remote *from = run->look.source.key ? &run->look.source : &run->look.have;
        u->base_key = from->key;
        u->base_etag = from->etag;
        u->size = from->size;
        run->kept = from->headers ? strdup(from->headers) : NULL;
    } else {
        struct inode *inode = inode_get(run->cache, run->look.facts.ino);
        int error = inode ? fetch_missing(run, inode) : -ESTALE;
        inode_put(run->cache, inode);
        if (error && error != -ESTALE) {
            *next = push_run_local(run, error, "its missing bytes cannot be fetched");
            return false;
        }
        if (!push_put_snapshot(run, next))
            return false;
        u->base_key = run->snapshot->base_key;
        u->base_etag = run->snapshot->base_etag;
        u->size = run->snapshot->size;
        if (run->look.facts.have_ino == run->look.facts.ino && run->look.have.headers)
            run->kept = posix_keep_for_new_bytes(run->look.have.headers);
    }
    u->part_size = push_parts_size(u->size ? u->size : 1);
    u->count = push_parts_count(u->size, u->part_size);
    u->parts = calloc((size_t)u->count, sizeof *u->parts);
    u->copied = calloc((size_t)u->count, sizeof *u->copied);
    if (!u->parts || !u->copied) {
        *next = push_run_local(run, -ENOMEM, "its upload cannot be begun");
        return false;
    }
    for (int n = 1; n <= u->count; n++)
        u->copies = u->copies || is_copy(u, push_parts_range(u->size, u->part_size, n));
    return true;
}

static enum push_next transfer(struct upload *u)
{
    struct push_run *run = u->run;
    enum push_next next;
    if (!prepare(u, &next))
        return next;
    int64_t data_version = run->snapshot ? run->snapshot->data_version : run->look.facts.data_version;
    enum s3_outcome outcome = head_base(u, true);
    if (outcome == S3_OK) {
        look_at_leftovers(run, u, data_version);
        if (!run->attempt.id && !create(u, data_version, &next))
            return next;
        run->attempt.nonce = run->nonce;
        outcome = send_parts(u);
        save_parts(u);
        if (outcome == S3_OK)
            outcome = head_base(u, false);
    }
    if (outcome == S3_NO_UPLOAD || (outcome == S3_PRECONDITION && run->attempt.id))
        forget(u); /* expired, or the base changed under the copies */
    if (outcome == S3_PRECONDITION && u->base_key)
        return run->snapshot ? push_upload_base_lost(run) : push_resolve_source(run, u->base_key);
    if (outcome != S3_OK)
        return push_run_failed(run, outcome);
    return complete(u, data_version);
}

enum push_next push_upload(struct push_run *run)
{
    enum push_next next = PUSH_NEXT;
    struct upload *u = calloc(1, sizeof *u);
    if (!u)
        return push_run_local(run, -ENOMEM, "its upload cannot be begun");
    u->run = run;
    u->next = 1;
    u->references = 1;
    u->saved_ms = clock_mono_ms();
    if (push_put_guard(run, S3_CAP_COMPLETE_CONDITION, &next))
        next = transfer(u);
    unref(run->push, u);
    return next;
}

enum push_next push_upload_base_lost(struct push_run *run)
{
    if (run->inode)
        block_base_lost(run->cache, run->inode);
    return PUSH_NEXT;
}

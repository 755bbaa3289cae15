/*
 * Ranges of a content's base version. An object of up to WHOLE_MAX is read in one piece, so that its MD5 is compared before a byte
 * is handed out; of a larger one, pieces of 1 to 4 MiB, several at once for a sequential reader: the longer the run behind
 * it, the more ahead of it.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cache/block.h"
#include "cache/db.h"
#include "cache/fetch_state.h"
#include "cache/remote.h"

#define WHOLE_MAX (8u << 20)
#define PIECE_MIN (1u << 20)
#define PIECE_MAX (4u << 20)
#define WINDOW_MAX (16u << 20)      /* read-ahead of one reader */
#define MEMORY_MAX (32u << 20)      /* buffers of all ranges under way */
#define PIECES_MAX 32
#define TIMEOUT_MS 30000            /* and a second for each 256 KiB */

static void run(struct cache *cache, struct pool_job *job);

static uint64_t length_of(const struct fetch_range_flight *flight)
{
    return flight->end - flight->start;
}

/* ---- what to read ---- */

/* A plan is made under the inode's lock and carried out under ours. */
struct plan {
    uint64_t content_id;
    char *key, *etag;
    bool whole;
    struct range needed;               /* the first missing byte that the caller waits for, and on */
    struct range pieces[PIECES_MAX];
    size_t count, urgent;              /* the first urgent ones are waited for */
};

static uint64_t run_before(const struct content *content, uint64_t offset)
{
    uint64_t low = offset > WINDOW_MAX ? offset - WINDOW_MAX : 0;
    struct range gap = { low, low }, last = { low, low };
    for (uint64_t at = low; at < offset && ranges_next(&content->present, at, offset, true, &gap); at = gap.end)
        last = gap;
    return offset - last.end;
}

static void plan_pieces(struct plan *plan, const struct content *content, uint64_t end, bool sequential)
{
    uint64_t start = plan->needed.start / PIECE_MIN * PIECE_MIN, ahead = 0, piece = PIECE_MIN;
    if (sequential) {
        ahead = run_before(content, plan->needed.start) * 2;
        ahead = ahead < PIECE_MIN ? PIECE_MIN : ahead > WINDOW_MAX ? WINDOW_MAX : ahead;
        piece = ahead / 2 < PIECE_MIN ? PIECE_MIN : ahead / 2 > PIECE_MAX ? PIECE_MAX : ahead / 2 / PIECE_MIN * PIECE_MIN;
    }
    piece = end - start > piece ? PIECE_MAX : piece;
    uint64_t limit = end + ahead < content->base_size ? end + ahead : content->base_size;
    while (start < limit && plan->count < PIECES_MAX) {
        uint64_t stop = start + piece < content->base_size ? start + piece : content->base_size;
        struct range gap;
        if (ranges_next(&content->present, start, stop, true, &gap)) {
            plan->pieces[plan->count++] = (struct range){ gap.start, stop };
            if (gap.start < end)
                plan->urgent = plan->count;
        }
        start = stop;
    }
}

/* A changed file may have been cut, and then its base_size is no longer the object's: the listing's is. What is not fetched whole is not
 * checked, and a wrong byte in it would be sent back over the good object. */
static void plan_whole_object(struct cache *cache, struct plan *plan)
{
    struct remote row = { 0 };
    uint64_t size = 0;
    db_begin(cache);
    if (remote_get_tx(cache, plan->key, &row)) {
        if (row.etag && strcmp(row.etag, plan->etag) == 0)
            size = row.size;
        remote_fini(&row);
    }
    if (db_commit(cache) || size < plan->needed.end || size > WHOLE_MAX)
        return;
    plan->whole = true;
    plan->pieces[0] = (struct range){ 0, size };
    plan->count = plan->urgent = 1;
}

/* 0: nothing is missing; 1: *plan is to be carried out; -errno. */
static int make_plan(struct cache *cache, struct inode *inode, uint64_t offset, uint64_t size, bool sequential, struct plan *plan)
{
    int error = 0;
    bool changed = false;
    *plan = (struct plan){ .content_id = 0 };
    lock_take(&inode->lock);
    struct content *content = block_content(cache, inode, &error);
    if (!content)
        goto out;
    uint64_t end = size < FETCH_RANGE_MAX ? offset + size : offset + FETCH_RANGE_MAX;
    uint64_t limit = content->base_size < content->size ? content->base_size : content->size;
    end = end < limit ? end : limit;
    if (!content->base_key || offset >= end || !ranges_next(&content->present, offset, end, true, &plan->needed))
        goto out;
    if (content->base_lost) {
        error = -ESTALE;
        goto out;
    }
    plan->content_id = content->id;
    plan->key = strdup(content->base_key);
    plan->etag = strdup(content->base_etag);
    changed = inode->dirty_ms || inode->changed_attrs;
    plan->whole = content->base_size <= WHOLE_MAX && !changed;
    if (plan->whole) {
        plan->pieces[0] = (struct range){ 0, content->base_size };
        plan->count = plan->urgent = 1;
    } else {
        plan_pieces(plan, content, end, sequential);
    }
    error = plan->key && plan->etag ? 1 : -ENOMEM;
out:
    lock_drop(&inode->lock);
    if (error == 1 && changed)
        plan_whole_object(cache, plan);
    return error;
}

static void plan_fini(struct plan *plan)
{
    free(plan->key);
    free(plan->etag);
}

/* ---- flights ---- */

static struct fetch_ranges *ranges_locked(struct fetch *fetch, uint64_t ino, bool make)
{
    struct fetch_ranges *ranges = NULL;
    HASH_FIND(hh, fetch->ranges, &ino, sizeof ino, ranges);
    if (!ranges && make && (ranges = calloc(1, sizeof *ranges))) {
        ranges->ino = ino;
        HASH_ADD(hh, fetch->ranges, ino, sizeof ranges->ino, ranges);
    }
    return ranges;
}

static struct fetch_range_flight *covering(struct fetch_ranges *ranges, const struct plan *plan, uint64_t offset)
{
    struct fetch_range_flight *flight = ranges ? ranges->first : NULL;
    while (flight && (flight->content_id != plan->content_id || offset < flight->start || offset >= flight->end))
        flight = flight->next;
    return flight;
}

static void flight_free(struct cache *cache, struct fetch_range_flight *flight)
{
    inode_put(cache, flight->inode);
    free(flight->key);
    free(flight->etag);
    free(flight);
}

static struct fetch_range_flight *flight_new(struct cache *cache, struct inode *inode, const struct plan *plan, struct range piece, int priority)
{
    struct fetch_range_flight *flight = calloc(1, sizeof *flight);
    if (!flight)
        return NULL;
    flight->key = strdup(plan->key);
    flight->etag = strdup(plan->etag);
    if (!flight->key || !flight->etag) {
        free(flight->key);
        free(flight->etag);
        free(flight);
        return NULL;
    }
    inode_hold(cache, inode);
    flight->inode = inode;
    flight->content_id = plan->content_id;
    flight->start = piece.start;
    flight->end = piece.end;
    flight->whole = plan->whole;
    flight->job.run = run;
    flight->job.priority = priority;
    return flight;
}

static bool takes_memory_locked(struct fetch *fetch, struct fetch_range_flight *flight)
{
    if (fetch->memory > 0 && fetch->memory + length_of(flight) > MEMORY_MAX)
        return false;
    fetch->memory += length_of(flight);
    flight->submitted = true;
    return true;
}

static void hold_locked(struct fetch *fetch, struct fetch_range_flight *flight)
{
    struct fetch_range_flight **at = &fetch->held;
    while (*at)
        at = &(*at)->next_held;
    *at = flight;
}

/* Starts what of the plan is not under way; those to be submitted are chained by next_held. */
static int start_locked(struct cache *cache, struct fetch_ranges *ranges, struct inode *inode, const struct plan *plan,
                        struct fetch_range_flight **submit)
{
    struct fetch *fetch = cache->fetch;
    for (size_t i = 0; i < plan->count; i++) {
        struct range piece = plan->pieces[i];
        bool urgent = i < plan->urgent;
        for (struct fetch_range_flight *other; piece.start < piece.end && (other = covering(ranges, plan, piece.start));)
            piece.start = other->end;
        if (piece.start >= piece.end)
            continue;
        if (!urgent && fetch->memory + (piece.end - piece.start) > MEMORY_MAX / 2)
            return 0; /* readers who wait come first */
        struct fetch_range_flight *flight = flight_new(cache, inode, plan, piece, urgent ? FETCH_NOW : FETCH_AHEAD);
        if (!flight)
            return urgent ? -ENOMEM : 0;
        flight->ranges = ranges;
        flight->next = ranges->first;
        flight->link = &ranges->first;
        if (flight->next)
            flight->next->link = &flight->next;
        ranges->first = flight;
        if (takes_memory_locked(fetch, flight)) {
            flight->next_held = *submit;
            *submit = flight;
        } else {
            hold_locked(fetch, flight);
        }
    }
    return 0;
}

static void submit_chain(struct cache *cache, struct fetch_range_flight *chain)
{
    while (chain) {
        struct fetch_range_flight *next = chain->next_held; /* once submitted it may be gone */
        chain->next_held = NULL;
        pool_submit(cache->fetch_pool, &chain->job);
        chain = next;
    }
}

static struct fetch_range_flight *reversed(struct fetch_range_flight *chain)
{
    struct fetch_range_flight *result = NULL;
    while (chain) {
        struct fetch_range_flight *next = chain->next_held;
        chain->next_held = result;
        result = chain;
        chain = next;
    }
    return result;
}

int fetch_range(struct cache *cache, struct inode *inode, uint64_t offset, uint64_t size, bool sequential, struct cache_wait *wait)
{
    struct fetch *fetch = cache->fetch;
    struct fetch_range_flight *submit = NULL;
    struct plan plan;
    int result = make_plan(cache, inode, offset, size, sequential, &plan);
    if (result <= 0) {
        plan_fini(&plan);
        return result;
    }
    lock_take(&fetch->lock);
    struct fetch_ranges *ranges = ranges_locked(fetch, inode->ino, true);
    result = ranges ? start_locked(cache, ranges, inode, &plan, &submit) : -ENOMEM;
    struct fetch_range_flight *flight = covering(ranges, &plan, plan.needed.start);
    if (flight) {
        result = CACHE_WAIT;
        if (wait)
            wait_add(cache, &flight->waiters, wait);
        if (!flight->submitted)
            flight->job.priority = FETCH_NOW;
        else if (flight->job.priority > FETCH_NOW)
            pool_raise(cache->fetch_pool, &flight->job, FETCH_NOW);
    }
    if (ranges && !ranges->first) {
        HASH_DEL(fetch->ranges, ranges);
        free(ranges);
    }
    lock_drop(&fetch->lock);
    submit_chain(cache, reversed(submit));
    plan_fini(&plan);
    return result;
}

/* ---- the end of one ---- */

static void finish(struct cache *cache, struct fetch_range_flight *flight, int error)
{
    struct fetch *fetch = cache->fetch;
    struct fetch_range_flight *submit = NULL;
    lock_take(&fetch->lock);
    *flight->link = flight->next;
    if (flight->next)
        flight->next->link = flight->link;
    if (!flight->ranges->first) {
        HASH_DEL(fetch->ranges, flight->ranges);
        free(flight->ranges);
    }
    if (flight->submitted)
        fetch->memory -= length_of(flight);
    while (fetch->held && takes_memory_locked(fetch, fetch->held)) {
        struct fetch_range_flight *next = fetch->held;
        fetch->held = next->next_held;
        next->next_held = submit;
        submit = next;
    }
    lock_drop(&fetch->lock);
    wait_wake(cache, &flight->waiters, error);
    flight_free(cache, flight);
    submit_chain(cache, reversed(submit));
}

/* Is this flight's version still what the inode wants to read? */
static bool is_wanted(struct cache *cache, const struct fetch_range_flight *flight, struct range *missing)
{
    int error = 0;
    struct range gap = { flight->start, flight->start };
    lock_take(&flight->inode->lock);
    struct content *content = block_content(cache, flight->inode, &error);
    bool wanted = content && content->id == flight->content_id && content->base_key && strcmp(content->base_key, flight->key) == 0 &&
                  strcmp(content->base_etag, flight->etag) == 0;
    uint64_t end = !wanted || flight->end < content->size ? flight->end : content->size; /* it may have been cut meanwhile */
    if (missing) {
        *missing = gap;
        for (bool first = true; wanted && gap.end < end && ranges_next(&content->present, gap.end, end, true, &gap); first = false)
            *missing = (struct range){ first ? gap.start : missing->start, gap.end };
    }
    lock_drop(&flight->inode->lock);
    return wanted;
}

/* The key holds another version, or none. What it holds now becomes known; if our content still stands for the old one, it is lost. */
static int version_lost(struct cache *cache, struct fetch_range_flight *flight)
{
    const struct cache_config *config = &cache->config;
    struct s3_call call = { .timeout_ms = TIMEOUT_MS, .priority = S3_NOW, .cancel = &cache->fetch->cancel };
    struct s3_object object;
    struct s3_error why;
    int64_t stamp = remote_stamp(cache);
    enum s3_outcome outcome = config->ops->head(config->ops_ctx, &call, flight->key, &object, &why);
    if (outcome != S3_OK && outcome != S3_NOT_FOUND)
        return -s3_outcome_errno(outcome);
    bool back = outcome == S3_OK && strcmp(object.etag, flight->etag) == 0;
    int error = 0;
    if (!back) {
        db_begin(cache);
        remote_apply_object_tx(cache, flight->key, outcome == S3_OK ? &object : NULL, stamp);
        error = db_commit(cache);
    }
    if (outcome == S3_OK)
        s3_object_fini(&object);
    if (back)
        return -EIO; /* it is what we asked for: the endpoint contradicts itself */
    if (error)
        return error;
    if (!is_wanted(cache, flight, NULL))
        return 0;
    block_base_lost(cache, flight->inode);
    return -ESTALE;
}

/* Of a flight, what is missing still; of a whole object, all of it, or it could not be checked. */
static int read_range(struct cache *cache, struct fetch_range_flight *flight, struct range missing)
{
    const struct cache_config *config = &cache->config;
    uint64_t start = flight->whole ? flight->start : missing.start, length = flight->whole ? length_of(flight) : missing.end - missing.start;
    struct s3_call call = { .timeout_ms = TIMEOUT_MS + (int)(length / (256u << 10)) * 1000, .cancel = &cache->fetch->cancel,
                            .priority = flight->job.priority == FETCH_NOW ? S3_NOW : S3_LATER };
    char *buffer = malloc(length);
    if (!buffer)
        return -ENOMEM;
    struct s3_get_request request = { .key = flight->key, .offset = start, .length = flight->whole ? 0 : length, .if_match = flight->etag,
                                      .buffer = buffer, .capacity = length, .verify = flight->whole };
    struct s3_object object;
    struct s3_error why;
    size_t got = 0;
    int error;
    enum s3_outcome outcome = config->ops->get(config->ops_ctx, &call, &request, &object, &got, &why);
    if (outcome == S3_OK) {
        s3_object_fini(&object);
        error = got == length ? block_store(cache, flight->inode, flight->content_id, flight->etag, start, buffer, got) : -EIO;
    } else if (outcome == S3_PRECONDITION || outcome == S3_NOT_FOUND || outcome == S3_RANGE ||
               (outcome == S3_LOCAL && why.local_errno == EFBIG)) {
        error = version_lost(cache, flight);
    } else {
        error = -s3_outcome_errno(outcome);
        if (!cache->stopping)
            cache_note_outcome(cache, "reading", flight->key, &why);
    }
    free(buffer);
    return error;
}

static void run(struct cache *cache, struct pool_job *job)
{
    struct fetch_range_flight *flight = (struct fetch_range_flight *)job;
    struct range missing;
    int error = 0;
    if (cache->stopping)
        error = -ESHUTDOWN;
    else if (is_wanted(cache, flight, &missing) && missing.start < missing.end)
        error = read_range(cache, flight, missing);
    finish(cache, flight, error);
}

int fetch_range_blocking(struct cache *cache, struct inode *inode, uint64_t offset, uint64_t size)
{
    struct wait_blocking w;
    uint64_t end = offset + size;
    int result = 0;
    wait_blocking_init(&w);
    while (offset < end && result >= 0) {
        uint64_t length = end - offset < FETCH_RANGE_MAX ? end - offset : FETCH_RANGE_MAX;
        result = fetch_range(cache, inode, offset, length, true, &w.wait);
        if (result == CACHE_WAIT)
            result = wait_blocking_run(cache, &w, -1);
        else if (result == 0)
            offset += length;
    }
    wait_blocking_fini(&w);
    return result;
}

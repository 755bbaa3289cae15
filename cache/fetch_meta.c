/*
 * Metadata of one object: a GET of the whole where it is small, since that costs what a HEAD does; else a HEAD. Which key to
 * ask is looked up when the job runs: the inode may have been renamed, and its bytes be under an older key.
 *
 * readdir asks ahead for what it hands out. Who looks at names later, one by one, is followed: from the second look in a
 * directory on, the names behind it are asked for too, the more the longer that goes on.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "cache/block.h"
#include "cache/db.h"
#include "cache/fetch_state.h"
#include "cache/remote.h"

#define WHOLE_MAX CONTENT_INLINE_MAX
#define TRIES 4 /* the key may change between our look and the bucket's */
#define TIMEOUT_MS 30000
#define WALK_FIRST 16  /* names asked for behind a second look */
#define WALK_MOST 256
#define WALK_SCAN 1024 /* names looked through for them */

struct source {
    struct buf key;
    uint64_t size;
    bool found, directory, had_content, pending;
};

static bool is_known(struct inode *inode)
{
    lock_take(&inode->lock);
    bool known = inode->known;
    lock_drop(&inode->lock);
    return known;
}

static bool is_removed(struct inode *inode)
{
    lock_take(&inode->lock);
    bool removed = inode->removed;
    lock_drop(&inode->lock);
    return removed;
}

static bool take_row(void *arg, struct remote *row)
{
    struct source *source = arg;
    if (!row->etag)
        return true;
    buf_reset(&source->key);
    buf_puts(&source->key, row->key);
    source->size = row->size;
    source->found = true;
    return false;
}

static void find_source(struct cache *cache, struct inode *inode, struct source *source)
{
    struct inode values;
    *source = (struct source){ .key = BUF_INIT(S3_KEY_MAX + 1) };
    db_begin(cache);
    inode_values_tx(cache, inode, &values);
    source->directory = S_ISDIR(values.mode);
    source->had_content = values.content_id != 0;
    remote_each_of_tx(cache, inode->ino, take_row, source);
    /* A directory has one only if somebody made it; a common prefix does not say. */
    if (!source->found && source->directory)
        source->found = tree_key_tx(cache, inode->ino, &source->key) == 0;
    db_commit(cache);
    source->found = source->found && !source->key.failed && source->key.data;
}

static enum s3_outcome ask(struct cache *cache, const struct source *source, int priority, struct s3_object *object, char **body,
                           struct s3_error *error)
{
    const struct cache_config *config = &cache->config;
    struct s3_call call = { .timeout_ms = TIMEOUT_MS, .priority = priority == FETCH_NOW ? S3_NOW : S3_LATER, .cancel = &cache->fetch->cancel };
    *body = NULL;
    if (!source->directory && source->size > 0 && source->size <= WHOLE_MAX && (*body = malloc(WHOLE_MAX))) {
        size_t got = 0;
        struct s3_get_request request = { .key = source->key.data, .buffer = *body, .capacity = WHOLE_MAX, .verify = true };
        enum s3_outcome outcome = config->ops->get(config->ops_ctx, &call, &request, object, &got, error);
        if (outcome == S3_OK && got == object->size)
            return S3_OK;
        if (outcome == S3_OK)
            s3_object_fini(object);
        free(*body);
        *body = NULL;
        if (outcome != S3_OK && !(outcome == S3_LOCAL && error->local_errno == EFBIG)) /* else it has grown */
            return outcome;
    }
    return config->ops->head(config->ops_ctx, &call, source->key.data, object, error);
}

/* An inode that had a content before gets its bytes there, when they are still that content's version. */
static int store_body(struct cache *cache, struct inode *inode, const struct s3_object *object, const char *body)
{
    int error = 0;
    lock_take(&inode->lock);
    struct content *content = S_ISREG(inode->mode) ? block_content(cache, inode, &error) : NULL;
    uint64_t id = content ? content->id : 0;
    bool wanted = content && content->base_etag && strcmp(content->base_etag, object->etag) == 0;
    lock_drop(&inode->lock);
    return wanted ? block_store(cache, inode, id, object->etag, 0, body, (size_t)object->size) : 0;
}

/* A directory without an object is what the mount's options say. */
static int settle_directory(struct cache *cache, struct inode *inode, const char *key, int64_t stamp)
{
    struct inode values;
    db_begin(cache);
    remote_apply_object_tx(cache, key, NULL, stamp);
    inode_values_tx(cache, inode, &values);
    if (!values.known) {
        values.known = true;
        inode_store_tx(cache, inode, &values, INODE_KNOWN);
    }
    return db_commit(cache);
}

/* One look. 0: applied, which may be no news about this inode; -errno. */
static int look(struct cache *cache, struct inode *inode, int priority)
{
    struct source source;
    struct s3_object object;
    struct s3_error why;
    char *body = NULL;
    find_source(cache, inode, &source);
    if (!source.found) {
        buf_fini(&source.key);
        return -ESTALE;
    }
    int64_t stamp = remote_stamp(cache);
    enum s3_outcome outcome = ask(cache, &source, priority, &object, &body, &why);
    int error;
    if (outcome == S3_OK) {
        db_begin(cache);
        remote_apply_fetched_tx(cache, inode->ino, source.key.data, &object, body, stamp);
        error = db_commit(cache);
        if (!error && body && source.had_content)
            error = store_body(cache, inode, &object, body);
        s3_object_fini(&object);
    } else if (outcome == S3_NOT_FOUND && source.directory) {
        error = settle_directory(cache, inode, source.key.data, stamp);
    } else if (outcome == S3_NOT_FOUND) {
        db_begin(cache);
        remote_apply_object_tx(cache, source.key.data, NULL, stamp);
        error = db_commit(cache);
    } else {
        error = -s3_outcome_errno(outcome);
        if (!cache->stopping)
            cache_note_outcome(cache, "reading", source.key.data, &why);
    }
    free(body);
    buf_fini(&source.key);
    return error;
}

/* How many names behind the one that was just looked at in this directory are worth asking for. */
static unsigned walk_length(struct fetch *fetch, uint64_t parent)
{
    unsigned length = 0;
    lock_take(&fetch->lock);
    struct fetch_walk *walk = &fetch->walks[0];
    for (size_t i = 0; i < FETCH_WALKS; i++) {
        if (fetch->walks[i].parent == parent) {
            walk = &fetch->walks[i];
            break;
        }
        if (fetch->walks[i].used < walk->used)
            walk = &fetch->walks[i];
    }
    if (walk->parent != parent)
        *walk = (struct fetch_walk){ .parent = parent };
    walk->used = ++fetch->walk_clock;
    for (unsigned look = 0; look < walk->looks && length < WALK_MOST; look++)
        length = length ? length * 2 : WALK_FIRST;
    walk->looks += walk->looks < 8;
    lock_drop(&fetch->lock);
    return length;
}

static void walk_ahead(struct cache *cache, uint64_t ino)
{
    uint64_t inos[WALK_MOST];
    int64_t parent = 0, id = 0;
    size_t count = 0;
    db_begin(cache);
    sqlite3_stmt *stmt = db_query(cache, "SELECT parent, id FROM dentry WHERE ino = ? LIMIT 1", "i", (int64_t)ino);
    if (db_step(cache, stmt)) {
        parent = sqlite3_column_int64(stmt, 0);
        id = sqlite3_column_int64(stmt, 1);
        db_done(stmt);
    }
    unsigned length = parent ? walk_length(cache->fetch, (uint64_t)parent) : 0;
    if (length > 0) {
        stmt = db_query(cache, "SELECT i.ino FROM (SELECT ino FROM dentry WHERE parent = ? AND id > ? ORDER BY id LIMIT ?) d"
                        " JOIN inode i ON i.ino = d.ino WHERE i.known = 0 LIMIT ?", "iiii", parent, id, (int64_t)WALK_SCAN, (int64_t)length);
        while (count < WALK_MOST && db_step(cache, stmt))
            inos[count++] = (uint64_t)sqlite3_column_int64(stmt, 0);
        if (count == WALK_MOST)
            db_done(stmt);
    }
    db_commit(cache);
    fetch_meta_ahead(cache, inos, count);
}

static void finish(struct cache *cache, struct fetch_meta_flight *flight, int error)
{
    struct fetch *fetch = cache->fetch;
    lock_take(&fetch->lock);
    HASH_DEL(fetch->metas, flight);
    fetch->metas_ahead -= flight->ahead;
    lock_drop(&fetch->lock);
    wait_wake(cache, &flight->waiters, error);
    free(flight);
}

static void run(struct cache *cache, struct pool_job *job)
{
    struct fetch_meta_flight *flight = (struct fetch_meta_flight *)job;
    struct inode *inode = cache->stopping ? NULL : inode_get(cache, flight->ino);
    int error = inode ? 0 : cache->stopping ? -ESHUTDOWN : 0; /* gone: the next lookup will not find it */
    if (inode && job->priority == FETCH_NOW)
        walk_ahead(cache, flight->ino);
    for (int i = 0; inode && !error && !is_known(inode) && !is_removed(inode); i++) {
        if (i == TRIES)
            error = -ESTALE;
        else
            error = cache->stopping ? -ESHUTDOWN : look(cache, inode, job->priority);
    }
    inode_put(cache, inode);
    finish(cache, flight, error);
}

/* A flight for this inode, new or under way; *fresh: it is to be submitted. */
static struct fetch_meta_flight *flight_locked(struct fetch *fetch, uint64_t ino, bool ahead, bool *fresh)
{
    struct fetch_meta_flight *flight = NULL;
    HASH_FIND(hh, fetch->metas, &ino, sizeof ino, flight);
    *fresh = !flight && (!ahead || fetch->metas_ahead < FETCH_META_AHEAD_MAX) && (flight = calloc(1, sizeof *flight)) != NULL;
    if (*fresh) {
        flight->ino = ino;
        flight->ahead = ahead;
        flight->job.run = run;
        flight->job.priority = ahead ? FETCH_SOON : FETCH_NOW;
        fetch->metas_ahead += ahead;
        HASH_ADD(hh, fetch->metas, ino, sizeof flight->ino, flight);
    }
    return flight;
}

int fetch_meta(struct cache *cache, struct inode *inode, struct cache_wait *wait)
{
    struct fetch *fetch = cache->fetch;
    bool fresh = false;
    if (is_known(inode))
        return 0;
    if (is_removed(inode))
        return -ESTALE;
    lock_take(&fetch->lock);
    struct fetch_meta_flight *flight = flight_locked(fetch, inode->ino, false, &fresh);
    if (flight && wait)
        wait_add(cache, &flight->waiters, wait);
    /* Raised under our lock: a flight ends under it, so this one is not over. */
    if (flight && !fresh && flight->ahead) {
        flight->ahead = false;
        fetch->metas_ahead--;
        pool_raise(cache->fetch_pool, &flight->job, FETCH_NOW);
    }
    lock_drop(&fetch->lock);
    if (!flight)
        return -ENOMEM;
    if (fresh)
        pool_submit(cache->fetch_pool, &flight->job);
    return CACHE_WAIT;
}

void fetch_meta_ahead(struct cache *cache, const uint64_t *inos, size_t count)
{
    struct fetch *fetch = cache->fetch;
    for (size_t i = 0; fetch && i < count && !cache->stopping; i++) {
        bool fresh;
        lock_take(&fetch->lock);
        struct fetch_meta_flight *flight = flight_locked(fetch, inos[i], true, &fresh);
        lock_drop(&fetch->lock);
        if (fresh)
            pool_submit(cache->fetch_pool, &flight->job);
    }
}

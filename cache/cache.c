/*
 * The façade: one mount's cache from its opening to its end, and the answers about it as a whole. The operations on files and names are in
 * cache_lookup.c, cache_make.c, cache_remove.c, cache_rename.c, cache_attr.c, file.c and file_space.c.
 *
 * Opening reads and repairs, and sends nothing. Starting asks the bucket once, and only then lets the pusher loose: a wrong key must not be tried
 * with every pending file.
 */
#include "cache/cache.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>

#include "cache/block.h"
#include "cache/db.h"
#include "cache/dir.h"
#include "cache/fetch.h"
#include "cache/file.h"
#include "cache/poll.h"
#include "cache/push.h"
#include "cache/remote.h"
#include "cache/spool.h"
#include "cache/tree.h"
#include "cache/wait.h"
#include "s3/base/clock.h"
#include "s3/base/log.h"

#define SIZE_MAX_DEFAULT (10ull << 30)
#define FREE_MIN_DEFAULT (1ull << 30)

/* ---- the configuration ---- */

static int copy_config(struct cache *cache, const struct cache_config *config)
{
    struct cache_config *own = &cache->config;
    *own = *config;
    own->endpoint = strdup(config->endpoint ? config->endpoint : "");
    own->bucket = strdup(config->bucket);
    own->prefix = strdup(config->prefix ? config->prefix : "");
    own->cache_dir = strdup(config->cache_dir);
    return own->endpoint && own->bucket && own->prefix && own->cache_dir ? 0 : -ENOMEM;
}

static void free_config(struct cache *cache)
{
    free((char *)cache->config.endpoint);
    free((char *)cache->config.bucket);
    free((char *)cache->config.prefix);
    free((char *)cache->config.cache_dir);
}

/* The limits that were not given, by the file system that the spool is on. */
static int resolve_limits(struct cache *cache, char *why, size_t why_size)
{
    struct statvfs fs;
    if (fstatvfs(cache->spool_fd, &fs)) {
        int rc = -errno;
        snprintf(why, why_size, "cannot look at the file system of %s: %s", cache->spool, strerror(-rc));
        return rc;
    }
    uint64_t available = (uint64_t)fs.f_bavail * fs.f_frsize, total = (uint64_t)fs.f_blocks * fs.f_frsize;
    if (!cache->config.size_max)
        cache->config.size_max = available / 2 < SIZE_MAX_DEFAULT ? available / 2 : SIZE_MAX_DEFAULT;
    if (!cache->config.free_min)
        cache->config.free_min = total / 20 < FREE_MIN_DEFAULT ? total / 20 : FREE_MIN_DEFAULT;
    return 0;
}

char *cache_spool_path(const struct cache_config *config)
{
    return spool_path(config->cache_dir, config->endpoint, config->bucket, config->prefix);
}

const char *cache_spool(const struct cache *cache)
{
    return cache->spool;
}

/* ---- opening and closing ---- */

static int start_modules(struct cache *cache)
{
    int (*const start[])(struct cache *) = { waits_start, inode_table_start, tree_start, remote_start, dirs_start, evict_start, fetch_start };
    for (size_t i = 0; i < sizeof start / sizeof *start; i++) {
        int rc = start[i](cache);
        if (rc)
            return rc;
    }
    return 0;
}

/* Any part may not have been started. */
static void stop_modules(struct cache *cache)
{
    cache->stopping = true;
    poll_stop(cache);
    push_stop(cache);
    if (cache->dirs)
        dir_cancel_all(cache);
    if (cache->fetch)
        fetch_stop(cache);
    if (cache->poll)
        poll_free(cache);
    if (cache->dirs)
        dirs_stop(cache);
    evict_stop(cache);
    if (cache->waits)
        waits_stop(cache);
    tree_stop(cache);
    inode_table_stop(cache);
}

static void free_cache(struct cache *cache)
{
    free_config(cache);
    lock_fini(&cache->news_lock);
    free(cache);
}

int cache_open(struct cache **result, const struct cache_config *config, char *why, size_t why_size)
{
    struct cache *cache = calloc(1, sizeof *cache);
    *why = '\0';
    if (!cache) {
        snprintf(why, why_size, "no memory");
        return -ENOMEM;
    }
    lock_init(&cache->news_lock, LOCK_LOG);
    int rc = copy_config(cache, config);
    if (rc) {
        snprintf(why, why_size, "no memory");
        free_cache(cache);
        return rc;
    }
    rc = spool_open(cache, why, why_size);
    if (rc) {
        free_cache(cache);
        return rc;
    }
    rc = resolve_limits(cache, why, why_size);
    if (!rc)
        rc = db_open(cache, why, why_size);
    if (!rc)
        rc = start_modules(cache);
    if (rc) {
        if (!*why)
            snprintf(why, why_size, "the cache in %s cannot be opened: %s", cache->spool, strerror(-rc));
        stop_modules(cache);
        db_close(cache);
        spool_close(cache);
        free_cache(cache);
        return rc;
    }
    *result = cache;
    return 0;
}

int cache_start(struct cache *cache, int timeout_ms, struct s3_error *error)
{
    enum s3_outcome outcome = poll_first(cache, timeout_ms, error);
    if (outcome != S3_OK)
        return -s3_outcome_errno(outcome);
    int rc = push_start(cache);
    return rc ? rc : poll_start(cache);
}

static void commit_one(struct cache *cache, struct inode *inode)
{
    int rc = file_commit(cache, inode);
    if (rc)
        cache_note_error(cache, "inode %llu could not be committed at the end: %s", (unsigned long long)inode->ino, strerror(-rc));
}

void cache_close(struct cache *cache)
{
    if (!cache)
        return;
    cache->stopping = true;
    /* What is under way ends soon; what a request did before, its attempt's row tells the next mount. */
    cache->config.ops->stop(cache->config.ops_ctx);
    inode_each_written(cache, commit_one);
    stop_modules(cache);
    db_close(cache);
    spool_close(cache);
    free_cache(cache);
}

/* ---- steering ---- */

int cache_drain(struct cache *cache, uint64_t ino, int timeout_ms, void (*each)(void *arg, const struct cache_pending *pending), void *arg,
                unsigned *conflicts)
{
    return push_drain(cache, ino, NULL, timeout_ms, each, arg, conflicts);
}

int cache_drain_piece(struct cache *cache, uint64_t ino, int64_t *since, int timeout_ms,
                      void (*each)(void *arg, const struct cache_pending *pending), void *arg)
{
    return push_drain(cache, ino, since, timeout_ms, each, arg, NULL);
}

void cache_expire(struct cache *cache)
{
    dir_expire_all(cache);
    push_kick(cache);
    poll_now(cache);
}

void cache_resumed(struct cache *cache)
{
    log_notice("the machine was resumed: connections are made anew, and listings read again");
    push_new_instance(cache);
    cache->config.ops->reset(cache->config.ops_ctx);
    cache_expire(cache);
}

void cache_get_status(struct cache *cache, struct cache_status *status)
{
    *status = (struct cache_status){ .cache_bytes = block_disk_used(cache), .cache_limit = cache->config.size_max };
    status->conflicts = atomic_load(&cache->conflicts);
    status->blocked_names = atomic_load(&cache->blocked_names);
    status->commits = db_commits(cache);
    status->syncs = db_syncs(cache);
    if (cache->poll)
        status->last_poll_ms = poll_last_ms(cache);
    cache->config.ops->stats(cache->config.ops_ctx, &status->s3);
    push_status(cache, status);
    lock_take(&cache->news_lock);
    memcpy(status->read_only_reason, cache->refused, sizeof status->read_only_reason);
    memcpy(status->last_error, cache->last_error, sizeof status->last_error);
    status->last_error_ms = cache->last_error_ms;
    lock_drop(&cache->news_lock);
}

#include "test/unit/libremote.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cache/db.h"
#include "cache/dir.h"
#include "cache/fetch.h"
#include "cache/poll.h"
#include "cache/remote.h"
#include "cache/tree.h"
#include "cache/wait.h"
#include "s3/base/clock.h"
#include "test/unit/libcache.h"

/* ---- news ---- */

static void note(struct libremote *l, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void note(struct libremote *l, const char *format, ...)
{
    va_list args;
    lock_take(&l->lock);
    size_t length = strlen(l->news);
    va_start(args, format);
    vsnprintf(l->news + length, sizeof l->news - length, format, args);
    va_end(args);
    lock_drop(&l->lock);
}

static void on_name(void *arg, uint64_t parent, const char *name, size_t length, bool directory_gone)
{
    note(arg, "%s %llu %.*s\n", directory_gone ? "gone" : "name", (unsigned long long)parent, (int)length, name);
}

static void on_attr(void *arg, uint64_t ino)
{
    note(arg, "attr %llu\n", (unsigned long long)ino);
}

static void on_content(void *arg, uint64_t ino)
{
    note(arg, "content %llu\n", (unsigned long long)ino);
}

char *libremote_news(struct libremote *l)
{
    lock_take(&l->lock);
    char *news = strdup(l->news);
    l->news[0] = '\0';
    lock_drop(&l->lock);
    return news;
}

/* ---- life ---- */

static void open_cache(struct libremote *l)
{
    l->client = membucket_client_new(l->bucket);
    l->cache = libcache_open(l->folder);
    struct cache_config *config = &l->cache->config;
    config->ops = &membucket_ops;
    config->ops_ctx = l->client;
    config->poll_ms = 20;
    config->events = (struct cache_events){ .arg = l, .name = on_name, .attr = on_attr, .content = on_content };
    if (l->options) {
        config->uid = config->gid = l->options;
        config->file_mode = 0600;
        config->dir_mode = 0700;
    }
    assert_int_equal(waits_start(l->cache), 0);
    assert_int_equal(remote_start(l->cache), 0);
    assert_int_equal(dirs_start(l->cache), 0);
    assert_int_equal(fetch_start(l->cache), 0);
}

static void close_cache(struct libremote *l)
{
    l->cache->stopping = true;
    poll_stop(l->cache);
    fetch_stop(l->cache);
    poll_free(l->cache);
    dirs_stop(l->cache);
    waits_stop(l->cache);
    libcache_close(l->cache);
    membucket_client_free(l->client);
}

int libremote_set_up(void **state)
{
    struct libremote *l = calloc(1, sizeof *l);
    lock_init(&l->lock, LOCK_LOG);
    l->folder = libcache_folder();
    l->bucket = membucket_new(NULL);
    open_cache(l);
    *state = l;
    return 0;
}

int libremote_tear_down(void **state)
{
    struct libremote *l = *state;
    close_cache(l);
    membucket_free(l->bucket);
    libcache_remove(l->folder);
    lock_fini(&l->lock);
    free(l);
    return 0;
}

void libremote_mount(struct libremote *l)
{
    struct s3_error error;
    assert_int_equal(poll_first(l->cache, 10000, &error), S3_OK);
    poll_round(l->cache); /* the rest of that listing, where it has more pages */
}

void libremote_remount(struct libremote *l)
{
    close_cache(l);
    open_cache(l);
    libremote_mount(l);
}

void libremote_poll(struct libremote *l)
{
    poll_round(l->cache);
}

/* ---- looking ---- */

uint64_t libremote_requests(struct libremote *l, enum s3_kind kind)
{
    struct s3_stats stats;
    uint64_t count = 0;
    membucket_ops.stats(l->client, &stats);
    for (int i = 0; i < S3_KIND_COUNT; i++)
        count += kind == S3_KIND_COUNT || i == (int)kind ? stats.requests[i] : 0;
    return count;
}

bool libremote_comes_true(bool (*test)(struct libremote *l), struct libremote *l)
{
    for (int64_t until = clock_mono_ms() + 10000; clock_mono_ms() < until; usleep(1000))
        if (test(l))
            return true;
    return false;
}

static uint64_t child(struct libremote *l, uint64_t parent, const char *name, size_t length)
{
    db_begin(l->cache);
    uint64_t ino = tree_child_tx(l->cache, parent, name, length);
    db_commit(l->cache);
    return ino;
}

uint64_t libremote_find(struct libremote *l, const char *path)
{
    uint64_t ino = CACHE_ROOT;
    while (ino && *path) {
        size_t length = strcspn(path, "/");
        ino = child(l, ino, path, length);
        path += length + (path[length] == '/');
    }
    return ino;
}

static int lookup_name(struct libremote *l, uint64_t parent, const char *name, uint64_t *ino)
{
    struct wait_blocking w;
    wait_blocking_init(&w);
    int result = CACHE_WAIT;
    while (result == CACHE_WAIT) {
        result = dir_need(l->cache, parent, name, &w.wait);
        if (result == 0) {
            *ino = child(l, parent, name, strlen(name));
            struct inode *inode = *ino ? inode_get(l->cache, *ino) : NULL;
            result = inode ? fetch_meta(l->cache, inode, &w.wait) : -ENOENT;
            inode_put(l->cache, inode);
        }
        if (result == CACHE_WAIT) {
            int error = wait_blocking_run(l->cache, &w, 20000);
            result = error ? error : CACHE_WAIT;
        }
    }
    wait_blocking_fini(&w);
    return result;
}

int libremote_lookup_error(struct libremote *l, const char *path, uint64_t *ino)
{
    int error = 0;
    *ino = CACHE_ROOT;
    while (!error && *path) {
        char name[CACHE_NAME_MAX + 1];
        size_t length = strcspn(path, "/");
        memcpy(name, path, length);
        name[length] = '\0';
        error = lookup_name(l, *ino, name, ino);
        path += length + (path[length] == '/');
    }
    return error;
}

uint64_t libremote_lookup(struct libremote *l, const char *path)
{
    uint64_t ino;
    int error = libremote_lookup_error(l, path, &ino);
    assert_true(error == 0 || error == -ENOENT);
    return error ? 0 : ino;
}

struct cache_attr libremote_attr(struct libremote *l, uint64_t ino)
{
    struct cache_attr attr;
    struct inode *inode = inode_get(l->cache, ino);
    assert_non_null(inode);
    inode_attr(l->cache, inode, &attr);
    inode_put(l->cache, inode);
    return attr;
}

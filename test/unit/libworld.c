#include "test/unit/libworld.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "cache/db.h"
#include "cache/push_state.h"
#include "cache/wait.h"
#include "s3/base/clock.h"
#include "test/unit/libcache.h"

#define HOUR_MS 3600000
#define DRAIN_MS 30000

static const struct cache_caller caller = { .uid = 1000, .gid = 1000 };

/* ---- requests ---- */

static int on_request(void *arg, enum s3_kind kind, const char *key, enum membucket_phase phase)
{
    struct world *w = arg;
    int action = MEMBUCKET_GO;
    bool reads = kind == S3_KIND_LIST || kind == S3_KIND_GET || kind == S3_KIND_HEAD || kind == S3_KIND_LIST_UPLOADS;
    bool ours = strstr(key, "/.r2fs/") != NULL;
    lock_take(&w->lock);
    if (phase == MEMBUCKET_BEFORE) {
        (ours ? w->probe_counts : w->counts)[kind]++;
        w->calls += !ours;
    }
    const char *path = strncmp(key, WORLD_PREFIX "/", sizeof WORLD_PREFIX) == 0 ? key + sizeof WORLD_PREFIX : "";
    if (w->held && !reads && phase == MEMBUCKET_BEFORE && strcmp(path, w->held) == 0)
        action = (int)w->held_outcome;
    if (!ours && w->fail_at && w->calls == w->fail_at && phase == w->fail_phase && !w->failed) {
        w->failed = true;
        action = w->fail_action;
        if (reads && action == S3_UNKNOWN)
            action = S3_TIMEOUT;
        if (reads && action == MEMBUCKET_LATE)
            action = MEMBUCKET_GO;
    }
    lock_drop(&w->lock);
    return action;
}

void world_reset_counts(struct world *w)
{
    lock_take(&w->lock);
    memset(w->counts, 0, sizeof w->counts);
    memset(w->probe_counts, 0, sizeof w->probe_counts);
    w->calls = 0;
    w->failed = false;
    lock_drop(&w->lock);
}

bool world_failed(struct world *w)
{
    lock_take(&w->lock);
    bool failed = w->failed;
    lock_drop(&w->lock);
    return failed;
}

unsigned world_mutations(struct world *w)
{
    static const enum s3_kind kinds[] = { S3_KIND_PUT, S3_KIND_COPY, S3_KIND_DELETE, S3_KIND_DELETE_OBJECTS, S3_KIND_CREATE_UPLOAD,
                                          S3_KIND_UPLOAD_PART, S3_KIND_UPLOAD_PART_COPY, S3_KIND_COMPLETE_UPLOAD };
    unsigned sum = 0;
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        sum += w->counts[kinds[i]];
    return sum;
}

/* ---- mounts ---- */

void world_mount(struct world *w)
{
    char why[512] = "";
    struct s3_error error;
    w->client = membucket_client_new(w->bucket);
    membucket_client_hook(w->client, on_request, w);
    w->config.ops = &membucket_ops;
    w->config.ops_ctx = w->client;
    w->config.cache_dir = w->folder;
    if (cache_open(&w->cache, &w->config, why, sizeof why) != 0)
        fail_msg("cache_open: %s", why);
    if (cache_start(w->cache, 10000, &error) != 0)
        fail_msg("cache_start: %s", error.message);
    /* The times that a test would only wait out. */
    struct push *push = w->cache->push;
    if (push) {
        db_begin(w->cache);
        lock_take(&push->lock);
        push->pace = (struct push_pace){ .key_ms = 0, .retry_ms = 20, .late_ms = 200 };
        lock_drop(&push->lock);
        db_rollback(w->cache);
    }
}

void world_unmount(struct world *w)
{
    cache_close(w->cache);
    membucket_client_free(w->client);
    w->cache = NULL;
    w->client = NULL;
}

void world_restart(struct world *w)
{
    world_unmount(w);
    world_mount(w);
}

void world_crash(struct world *w)
{
    struct cache *dead = w->cache;
    struct membucket_client *client = w->client;
    char *folder = w->folder;
    membucket_client_kill(client);
    db_begin(dead);
    w->folder = libcache_copy(folder);
    db_rollback(dead);
    cache_close(dead);
    membucket_client_free(client);
    libcache_remove(folder);
    world_mount(w);
}

void world_cold(struct world *w)
{
    world_unmount(w);
    libcache_remove(w->folder);
    w->folder = libcache_folder();
    world_mount(w);
}

struct world *world_new(void)
{
    struct world *w = calloc(1, sizeof *w);
    assert_non_null(w);
    if (access("/dev/shm", W_OK) == 0)
        setenv("TMPDIR", "/dev/shm", 0); /* syncs are not what these tests are about */
    lock_init(&w->lock, LOCK_LOG);
    w->bucket = membucket_new(NULL);
    w->folder = libcache_folder();
    w->config = (struct cache_config){
        .endpoint = "http://127.0.0.1:1", .bucket = "bucket", .prefix = WORLD_PREFIX, .write_back_ms = HOUR_MS, .dirty_age_max_ms = HOUR_MS,
        .keep_base_max = 64u << 20, .uid = 1000, .gid = 1000, .file_mode = 0644, .dir_mode = 0755,
    };
    world_mount(w);
    return w;
}

void world_free(struct world *w)
{
    if (w->cache)
        world_unmount(w);
    membucket_free(w->bucket);
    libcache_remove(w->folder);
    lock_fini(&w->lock);
    free(w);
}

int world_try_drain(struct world *w, int timeout_ms)
{
    unsigned conflicts;
    return cache_drain(w->cache, CACHE_ROOT, timeout_ms, NULL, NULL, &conflicts);
}

static void say_pending(void *arg, const struct cache_pending *pending)
{
    (void)arg;
    print_message("# pending: %s: %s\n", pending->path, pending->reason);
}

void world_drain(struct world *w)
{
    unsigned conflicts;
    int rc = cache_drain(w->cache, CACHE_ROOT, DRAIN_MS, say_pending, NULL, &conflicts);
    if (rc)
        fail_msg("the drain ended with %s", strerror(-rc));
}

/* ---- programs ---- */

#define RETRY(rc, w, call) \
    do { \
        struct wait_blocking blocking; \
        wait_blocking_init(&blocking); \
        while ((rc = (call)) == CACHE_WAIT && (rc = wait_blocking_run((w)->cache, &blocking, -1)) == 0) \
            ; \
        wait_blocking_fini(&blocking); \
    } while (0)

uint64_t world_find(struct world *w, const char *path)
{
    uint64_t ino = 0;
    return cache_find(w->cache, path, &ino) == 0 ? ino : 0;
}

int world_lookup(struct world *w, const char *path, struct cache_attr *attr)
{
    uint64_t parent = CACHE_ROOT;
    char name[CACHE_NAME_MAX + 1];
    int rc = 0;
    for (const char *at = path; *at && !rc;) {
        size_t length = strcspn(at, "/");
        snprintf(name, sizeof name, "%.*s", (int)length, at);
        RETRY(rc, w, cache_lookup(w->cache, parent, name, attr, &blocking.wait));
        if (!rc)
            cache_forget(w->cache, attr->ino);
        parent = attr->ino;
        at += length + (at[length] == '/');
    }
    return rc;
}

static uint64_t parent_of(struct world *w, const char *path, const char **name)
{
    const char *slash = strrchr(path, '/');
    char directory[1024];
    struct cache_attr attr = { .ino = CACHE_ROOT };
    *name = slash ? slash + 1 : path;
    snprintf(directory, sizeof directory, "%.*s", slash ? (int)(slash - path) : 0, path);
    if (directory[0])
        assert_int_equal(world_lookup(w, directory, &attr), 0);
    return attr.ino;
}

void world_hold(struct world *w, const char *path, enum s3_outcome outcome)
{
    lock_take(&w->lock);
    w->held = path;
    w->held_outcome = outcome;
    lock_drop(&w->lock);
}

static struct cache_file *open_for_writing(struct world *w, const char *path, int flags)
{
    const char *name;
    uint64_t parent = parent_of(w, path, &name);
    struct cache_attr attr;
    struct cache_file *file = NULL;
    int rc;
    RETRY(rc, w, cache_create(w->cache, parent, name, S_IFREG | 0644, flags, &caller, &attr, &file, &blocking.wait));
    if (rc)
        fail_msg("create %s: %s", path, strerror(-rc));
    return file;
}

void world_write_open(struct world *w, struct cache_file *file, const void *data, size_t size, uint64_t offset)
{
    for (size_t at = 0; at < size; at += 1u << 20) {
        size_t piece = size - at < (1u << 20) ? size - at : 1u << 20;
        int rc;
        RETRY(rc, w, cache_write(w->cache, cache_file_ino(file), file, (const char *)data + at, piece, offset + at, false, &blocking.wait));
        assert_int_equal(rc, 0);
    }
}

void world_close(struct world *w, struct cache_file *file)
{
    uint64_t ino = cache_file_ino(file);
    assert_int_equal(cache_flush(w->cache, file), 0);
    cache_release(w->cache, file);
    cache_forget(w->cache, ino);
}

struct cache_file *world_open(struct world *w, const char *path, int flags)
{
    return open_for_writing(w, path, flags);
}

static void write_all(struct world *w, struct cache_file *file, const void *data, size_t size, uint64_t offset)
{
    world_write_open(w, file, data, size, offset);
    world_close(w, file);
}

int world_fsync_ino(struct world *w, uint64_t ino)
{
    int rc;
    RETRY(rc, w, cache_fsync(w->cache, ino, false, &blocking.wait));
    return rc;
}

int world_fsync(struct world *w, const char *path)
{
    struct cache_attr attr;
    assert_int_equal(world_lookup(w, path, &attr), 0);
    return world_fsync_ino(w, attr.ino);
}

bool world_appears(struct world *w, const char *path, const char *text, int timeout_ms)
{
    int64_t until = clock_mono_ms() + timeout_ms;
    bool there = false;
    while (!there && clock_mono_ms() < until) {
        char *body = world_object(w, path);
        there = body && strcmp(body, text) == 0;
        free(body);
        if (!there)
            usleep(2000);
    }
    return there;
}

void world_write_bytes(struct world *w, const char *path, const void *data, size_t size, uint64_t offset)
{
    write_all(w, open_for_writing(w, path, O_RDWR), data, size, offset);
}

void world_write(struct world *w, const char *path, const char *text)
{
    write_all(w, open_for_writing(w, path, O_RDWR | O_TRUNC), text, strlen(text), 0);
}

char *world_read(struct world *w, const char *path)
{
    struct cache_attr attr;
    struct cache_file *file = NULL;
    bool keep;
    int rc;
    if (world_lookup(w, path, &attr) != 0)
        return NULL;
    RETRY(rc, w, cache_open_file(w->cache, attr.ino, O_RDONLY, &file, &keep, &blocking.wait));
    if (rc)
        return NULL;
    char *data = calloc(1, attr.size + 1);
    size_t got = 0;
    for (uint64_t at = 0; at < attr.size && !rc; at += got) {
        RETRY(rc, w, cache_read(w->cache, file, data + at, attr.size - at < (1u << 20) ? attr.size - at : 1u << 20, at, &got, &blocking.wait));
        if (!rc && got == 0)
            break;
    }
    cache_release(w->cache, file);
    if (rc) {
        free(data);
        return NULL;
    }
    return data;
}

void world_mkdir(struct world *w, const char *path)
{
    const char *name;
    uint64_t parent = parent_of(w, path, &name);
    struct cache_attr attr;
    int rc;
    RETRY(rc, w, cache_mkdir(w->cache, parent, name, S_IFDIR | 0755, &caller, &attr, &blocking.wait));
    assert_int_equal(rc, 0);
    cache_forget(w->cache, attr.ino);
}

void world_symlink(struct world *w, const char *path, const char *target)
{
    const char *name;
    uint64_t parent = parent_of(w, path, &name);
    struct cache_attr attr;
    int rc;
    RETRY(rc, w, cache_symlink(w->cache, parent, name, target, &caller, &attr, &blocking.wait));
    assert_int_equal(rc, 0);
    cache_forget(w->cache, attr.ino);
}

void world_link(struct world *w, const char *from, const char *to)
{
    const char *name;
    struct cache_attr attr;
    int rc;
    assert_int_equal(world_lookup(w, from, &attr), 0);
    uint64_t parent = parent_of(w, to, &name), ino = attr.ino;
    RETRY(rc, w, cache_link(w->cache, ino, parent, name, &attr, &blocking.wait));
    assert_int_equal(rc, 0);
    cache_forget(w->cache, attr.ino);
}

void world_unlink(struct world *w, const char *path)
{
    const char *name;
    uint64_t parent = parent_of(w, path, &name);
    int rc;
    RETRY(rc, w, cache_unlink(w->cache, parent, name, &blocking.wait));
    assert_int_equal(rc, 0);
}

void world_rmdir(struct world *w, const char *path)
{
    const char *name;
    uint64_t parent = parent_of(w, path, &name);
    int rc;
    RETRY(rc, w, cache_rmdir(w->cache, parent, name, &blocking.wait));
    assert_int_equal(rc, 0);
}

static void rename_with(struct world *w, const char *from, const char *to, unsigned flags)
{
    const char *name, *new_name;
    uint64_t parent = parent_of(w, from, &name), new_parent = parent_of(w, to, &new_name);
    int rc;
    RETRY(rc, w, cache_rename(w->cache, parent, name, new_parent, new_name, flags, &blocking.wait));
    if (rc)
        fail_msg("rename %s to %s: %s", from, to, strerror(-rc));
}

void world_rename(struct world *w, const char *from, const char *to)
{
    rename_with(w, from, to, 0);
}

void world_exchange(struct world *w, const char *a, const char *b)
{
    rename_with(w, a, b, RENAME_EXCHANGE);
}

void world_chmod(struct world *w, const char *path, uint32_t mode)
{
    struct cache_attr attr, to = { .mode = mode };
    int rc;
    assert_int_equal(world_lookup(w, path, &attr), 0);
    uint64_t ino = attr.ino;
    RETRY(rc, w, cache_setattr(w->cache, ino, NULL, CACHE_SET_MODE, &to, &attr, &blocking.wait));
    assert_int_equal(rc, 0);
}

/* ---- the bucket ---- */

char *world_object(struct world *w, const char *path)
{
    char key[S3_KEY_MAX + 1];
    snprintf(key, sizeof key, WORLD_PREFIX "/%s", path);
    return membucket_load(w->bucket, key, NULL, NULL);
}

size_t world_objects(struct world *w)
{
    size_t count = 0;
    for (size_t i = 0;; i++) {
        char *key = membucket_key(w->bucket, i);
        if (!key)
            return count;
        count += strstr(key, "/.r2fs/") == NULL;
        free(key);
    }
}

void world_foreign(struct world *w, const char *path, const char *text)
{
    char key[S3_KEY_MAX + 1];
    snprintf(key, sizeof key, WORLD_PREFIX "/%s", path);
    membucket_store_string(w->bucket, key, text);
}

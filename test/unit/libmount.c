#include "test/unit/libmount.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "cache/db.h"
#include "cache/wait.h"
#include "s3/base/buf.h"
#include "test/unit/libcache.h"

#define WAIT_MS 20000

/* Calls until it is no longer told to wait. */
#define BLOCKING(m, rc, call)                                                                                                     \
    do {                                                                                                                          \
        struct wait_blocking waiting;                                                                                             \
        struct cache_wait *wait = &waiting.wait;                                                                                  \
        wait_blocking_init(&waiting);                                                                                             \
        while ((rc = (call)) == CACHE_WAIT && (rc = wait_blocking_run((m)->cache, &waiting, WAIT_MS)) == 0)                       \
            continue;                                                                                                             \
        wait_blocking_fini(&waiting);                                                                                             \
    } while (0)

static int system_status(const char *command)
{
    FILE *pipe = popen(command, "r");
    assert_non_null(pipe);
    int status = pclose(pipe);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static const struct cache_caller caller = { .uid = 1000, .gid = 1000 };

int libmount_set_up(void **state)
{
    struct libmount *m = calloc(1, sizeof *m);
    assert_non_null(m);
    m->folder = libcache_folder();
    m->bucket = membucket_new(NULL);
    m->config = (struct cache_config){
        .ops = &membucket_ops, .endpoint = "http://127.0.0.1:1", .bucket = "bucket", .prefix = "a/b", .file_mode = 0644, .dir_mode = 0755, .uid = 1000,
        .gid = 1000, .size_max = 1ull << 30, .free_min = 1, .keep_base_max = 64u << 20, .write_back_ms = 600000, .dirty_age_max_ms = 600000,
    };
    *state = m;
    return 0;
}

void libmount_open(struct libmount *m)
{
    char why[512];
    struct s3_error error;
    m->client = membucket_client_new(m->bucket);
    m->config.ops_ctx = m->client;
    m->config.cache_dir = m->folder;
    int rc = cache_open(&m->cache, &m->config, why, sizeof why);
    if (rc)
        fail_msg("%d: %s", rc, why);
    assert_int_equal(cache_start(m->cache, 10000, &error), 0);
}

int libmount_set_up_open(void **state)
{
    libmount_set_up(state);
    libmount_open(*state);
    return 0;
}

void libmount_close(struct libmount *m)
{
    if (!m->cache)
        return;
    cache_close(m->cache);
    membucket_client_free(m->client);
    m->cache = NULL;
    m->client = NULL;
}

int libmount_tear_down(void **state)
{
    struct libmount *m = *state;
    libmount_close(m);
    membucket_free(m->bucket);
    libcache_remove(m->folder);
    free(m);
    return 0;
}

void libmount_reopen(struct libmount *m)
{
    libmount_close(m);
    libmount_open(m);
}

/* A kill stops everything at one instant, a copy takes its time: no commit may come in between, and a checkpoint may, so that the WAL is copied
 * before what it is copied into. */
static char *copy_at_one_instant(struct libmount *m)
{
    char command[3 * 4096];
    db_begin(m->cache);
    snprintf(command, sizeof command, "cp %s/index.db-wal %s/wal", cache_spool(m->cache), m->folder);
    assert_int_equal(system_status(command), 0);
    char *copy = libcache_copy(m->folder);
    snprintf(command, sizeof command, "mv %s/wal %s%s/index.db-wal && rm -f %s%s/index.db-shm", copy, copy, cache_spool(m->cache) + strlen(m->folder), copy,
             cache_spool(m->cache) + strlen(m->folder));
    assert_int_equal(system_status(command), 0);
    db_rollback(m->cache);
    return copy;
}

void libmount_kill(struct libmount *m)
{
    membucket_client_kill(m->client);
    char *copy = copy_at_one_instant(m);
    libmount_close(m);
    libcache_remove(m->folder);
    m->folder = copy;
    libmount_open(m);
}

void libmount_drain(struct libmount *m)
{
    assert_int_equal(cache_drain(m->cache, CACHE_ROOT, WAIT_MS, NULL, NULL, NULL), 0);
}

int libmount_lookup(struct libmount *m, const char *path, struct cache_attr *attr)
{
    int rc = cache_getattr(m->cache, CACHE_ROOT, attr);
    while (!rc && *path) {
        char name[512];
        size_t length = strcspn(path, "/");
        uint64_t parent = attr->ino;
        assert_true(length < sizeof name);
        memcpy(name, path, length);
        name[length] = '\0';
        path += length + (path[length] == '/');
        BLOCKING(m, rc, cache_lookup(m->cache, parent, name, attr, wait));
    }
    return rc;
}

uint64_t libmount_ino(struct libmount *m, const char *path)
{
    struct cache_attr attr;
    int rc = libmount_lookup(m, path, &attr);
    assert_true(rc == 0 || rc == -ENOENT);
    return rc ? 0 : attr.ino;
}

uint64_t libmount_parent(struct libmount *m, const char *path, const char **name)
{
    char parent[4096];
    const char *slash = strrchr(path, '/');
    size_t length = slash ? (size_t)(slash - path) : 0;
    assert_true(length < sizeof parent);
    memcpy(parent, path, length);
    parent[length] = '\0';
    *name = slash ? slash + 1 : path;
    uint64_t ino = libmount_ino(m, parent);
    assert_true(ino);
    return ino;
}

int libmount_create(struct libmount *m, const char *path, int flags, struct cache_file **file)
{
    const char *name;
    struct cache_attr attr;
    uint64_t parent = libmount_parent(m, path, &name);
    int rc;
    BLOCKING(m, rc, cache_create(m->cache, parent, name, 0644, flags, &caller, &attr, file, wait));
    return rc;
}

int libmount_open_file(struct libmount *m, const char *path, int flags, struct cache_file **file)
{
    struct cache_attr attr;
    bool keep;
    int rc = libmount_lookup(m, path, &attr);
    if (rc)
        return rc;
    BLOCKING(m, rc, cache_open_file(m->cache, attr.ino, flags, file, &keep, wait));
    return rc;
}

int libmount_mkdir(struct libmount *m, const char *path)
{
    const char *name;
    struct cache_attr attr;
    uint64_t parent = libmount_parent(m, path, &name);
    int rc;
    BLOCKING(m, rc, cache_mkdir(m->cache, parent, name, 0755, &caller, &attr, wait));
    return rc;
}

int libmount_symlink(struct libmount *m, const char *target, const char *path)
{
    const char *name;
    struct cache_attr attr;
    uint64_t parent = libmount_parent(m, path, &name);
    int rc;
    BLOCKING(m, rc, cache_symlink(m->cache, parent, name, target, &caller, &attr, wait));
    return rc;
}

int libmount_link(struct libmount *m, const char *from, const char *to)
{
    const char *name;
    struct cache_attr attr;
    uint64_t ino = libmount_ino(m, from), parent = libmount_parent(m, to, &name);
    int rc;
    BLOCKING(m, rc, cache_link(m->cache, ino, parent, name, &attr, wait));
    return rc;
}

int libmount_unlink(struct libmount *m, const char *path)
{
    const char *name;
    uint64_t parent = libmount_parent(m, path, &name);
    int rc;
    BLOCKING(m, rc, cache_unlink(m->cache, parent, name, wait));
    return rc;
}

int libmount_rmdir(struct libmount *m, const char *path)
{
    const char *name;
    uint64_t parent = libmount_parent(m, path, &name);
    int rc;
    BLOCKING(m, rc, cache_rmdir(m->cache, parent, name, wait));
    return rc;
}

int libmount_rename(struct libmount *m, const char *from, const char *to, unsigned flags)
{
    const char *name, *new_name;
    uint64_t parent = libmount_parent(m, from, &name), new_parent = libmount_parent(m, to, &new_name);
    int rc;
    BLOCKING(m, rc, cache_rename(m->cache, parent, name, new_parent, new_name, flags, wait));
    return rc;
}

int libmount_setattr(struct libmount *m, const char *path, unsigned set, const struct cache_attr *to)
{
    struct cache_attr attr;
    int rc = libmount_lookup(m, path, &attr);
    if (rc)
        return rc;
    BLOCKING(m, rc, cache_setattr(m->cache, attr.ino, NULL, set, to, &attr, wait));
    return rc;
}

int libmount_read(struct libmount *m, struct cache_file *file, void *buffer, size_t size, uint64_t offset, size_t *got)
{
    int rc;
    BLOCKING(m, rc, cache_read(m->cache, file, buffer, size, offset, got, wait));
    return rc;
}

int libmount_write(struct libmount *m, struct cache_file *file, const void *data, size_t size, uint64_t offset)
{
    int rc;
    BLOCKING(m, rc, cache_write(m->cache, cache_file_ino(file), file, data, size, offset, false, wait));
    return rc;
}

void libmount_put(struct libmount *m, const char *path, const char *text)
{
    struct cache_file *file;
    assert_int_equal(libmount_create(m, path, O_WRONLY | O_TRUNC, &file), 0);
    if (*text)
        assert_int_equal(libmount_write(m, file, text, strlen(text), 0), 0);
    assert_int_equal(cache_flush(m->cache, file), 0);
    cache_release(m->cache, file);
}

char *libmount_get(struct libmount *m, const char *path)
{
    struct cache_file *file;
    struct cache_attr attr;
    size_t got = 0;
    if (libmount_open_file(m, path, O_RDONLY, &file))
        return NULL;
    assert_int_equal(cache_getattr(m->cache, cache_file_ino(file), &attr), 0);
    char *text = calloc(1, attr.size + 1);
    assert_non_null(text);
    int rc = libmount_read(m, file, text, attr.size, 0, &got);
    cache_release(m->cache, file);
    if (rc || got != attr.size) {
        free(text);
        return NULL;
    }
    return text;
}

uint64_t libmount_commits(struct libmount *m)
{
    struct cache_status status;
    cache_get_status(m->cache, &status);
    return status.commits;
}

char *libmount_list(struct libmount *m, const char *path)
{
    uint64_t ino = libmount_ino(m, path), cookie = 0;
    struct cache_dirent *entries = calloc(3, sizeof *entries);
    struct buf list = BUF_INIT(1 << 20);
    size_t count = 0;
    assert_true(ino && entries);
    for (;;) {
        int rc;
        BLOCKING(m, rc, cache_readdir(m->cache, ino, cookie, entries, 3, &count, wait));
        assert_int_equal(rc, 0);
        if (!count)
            break;
        for (size_t i = 0; i < count; i++) {
            assert_true(entries[i].cookie > cookie);
            cookie = entries[i].cookie;
            buf_printf(&list, "%s%s", list.length ? " " : "", entries[i].name);
        }
    }
    free(entries);
    char *text = buf_steal(&list);
    buf_fini(&list);
    return text;
}

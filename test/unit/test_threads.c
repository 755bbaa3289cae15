/* Many programs at once, while the pusher sends and clean data leaves: nothing but what POSIX allows is answered, and in the end the bucket holds what the tree shows. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "cache/evict.h"
#include "cache/wait.h"
#include "test/unit/libmount.h"

#define THREADS 4
#define STEPS 400
#define NAMES 12
#define DIRS 3

static const struct cache_caller caller = { .uid = 1000, .gid = 1000 };
static uint64_t dirs[DIRS];

struct worker {
    struct libmount *m;
    pthread_t thread;
    unsigned seed;
    int bad;     /* the first answer that no program should see */
    int doing;
};

static unsigned roll(struct worker *w, unsigned n)
{
    return (unsigned)rand_r(&w->seed) % n;
}

static int finish(struct worker *w, struct wait_blocking *b, int rc)
{
    return rc == CACHE_WAIT ? wait_blocking_run(w->m->cache, b, 20000) : rc;
}

#define DO(call)                                                        \
    do {                                                                \
        while ((rc = (call)) == CACHE_WAIT && (rc = finish(w, &b, rc)) == 0) \
            continue;                                                   \
    } while (0)

static int use_file(struct worker *w, uint64_t dir, const char *name)
{
    struct cache *cache = w->m->cache;
    struct wait_blocking b;
    struct cache_wait *wait = &b.wait;
    struct cache_file *file;
    struct cache_attr attr;
    int rc;
    size_t got;
    wait_blocking_init(&b);
    uint8_t *data = malloc(100000);
    size_t size = 1 + roll(w, roll(w, 3) ? 3000 : 90000);
    memset(data, (int)roll(w, 256), size);
    DO(cache_create(cache, dir, name, 0644, O_RDWR | (roll(w, 3) ? 0 : O_TRUNC), &caller, &attr, &file, wait));
    if (!rc) {
        for (unsigned i = roll(w, 4); i > 0 && !rc; i--)
            switch (roll(w, 4)) {
            case 0:
                DO(cache_read(cache, file, data, size, roll(w, 100000), &got, wait));
                break;
            case 1:
                DO(cache_fallocate(cache, file, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, roll(w, 50000), size, wait));
                break;
            case 2:
                DO(cache_fsync(cache, attr.ino, false, wait));
                break;
            default:
                DO(cache_write(cache, attr.ino, file, data, size, roll(w, 100000), roll(w, 2), wait));
            }
        int flushed = cache_flush(cache, file);
        cache_release(cache, file);
        rc = rc ? rc : flushed;
    }
    wait_blocking_fini(&b);
    free(data);
    return rc;
}

static int use_names(struct worker *w, uint64_t dir, const char *name, uint64_t other_dir, const char *other)
{
    struct cache *cache = w->m->cache;
    struct wait_blocking b;
    struct cache_wait *wait = &b.wait;
    struct cache_attr attr;
    struct cache_dirent *entries = calloc(8, sizeof *entries);
    size_t count;
    int rc = 0;
    wait_blocking_init(&b);
    switch (roll(w, 8)) {
    case 0:
        DO(cache_unlink(cache, dir, name, wait));
        break;
    case 1: case 2:
        DO(cache_rename(cache, dir, name, other_dir, other, 0, wait));
        break;
    case 3:
        DO(cache_rename(cache, dir, name, other_dir, other, RENAME_EXCHANGE, wait));
        break;
    case 4:
        DO(cache_readdir(cache, dir, 0, entries, 8, &count, wait));
        break;
    default:
        DO(cache_lookup(cache, dir, name, &attr, wait));
        if (!rc) {
            struct cache_attr to = { .size = roll(w, 60000), .mode = 0600 + roll(w, 8) };
            DO(cache_setattr(cache, attr.ino, NULL, roll(w, 2) ? CACHE_SET_SIZE : CACHE_SET_MODE, &to, &attr, wait));
        }
    }
    wait_blocking_fini(&b);
    free(entries);
    return rc;
}

static void *work(void *arg)
{
    struct worker *w = arg;
    for (int i = 0; i < STEPS && !w->bad; i++) {
        char name[16], other[16];
        uint64_t dir = dirs[roll(w, DIRS)], other_dir = dirs[roll(w, DIRS)];
        snprintf(name, sizeof name, "n%u", roll(w, NAMES));
        snprintf(other, sizeof other, "n%u", roll(w, NAMES));
        w->doing = (int)roll(w, 2);
        int rc = w->doing ? use_file(w, dir, name) : use_names(w, dir, name, other_dir, other);
        if (rc && rc != -ENOENT && rc != -ESTALE)
            w->bad = rc;
        if (roll(w, 50) == 0)
            evict_pass(w->m->cache, 200000);
    }
    return NULL;
}

static void compare(struct libmount *m)
{
    size_t files = 0;
    struct cache_dirent *entries = calloc(64, sizeof *entries);
    for (int d = 0; d < DIRS; d++) {
        size_t count;
        assert_int_equal(cache_readdir(m->cache, dirs[d], 0, entries, 64, &count, NULL), 0);
        for (size_t i = 0; i < count; i++) {
            char path[64], key[80];
            size_t length = 0, got = 0;
            snprintf(path, sizeof path, "d%d/%s", d, entries[i].name);
            snprintf(key, sizeof key, "a/b/%s", path);
            char *body = membucket_load(m->bucket, key, &length, NULL);
            if (!body)
                fail_msg("%s is not in the bucket", key);
            struct cache_file *file;
            char *here = malloc(entries[i].attr.size + 1);
            assert_int_equal(libmount_open_file(m, path, O_RDONLY, &file), 0);
            assert_int_equal(libmount_read(m, file, here, entries[i].attr.size + 1, 0, &got), 0);
            assert_int_equal(got, entries[i].attr.size);
            if (got != length || memcmp(here, body, got) != 0)
                fail_msg("%s: %zu bytes here, %zu in the bucket, or others", path, got, length);
            cache_release(m->cache, file);
            free(here);
            free(body);
            files++;
        }
    }
    free(entries);
    /* Objects of directories and probes aside, nothing else is there. */
    size_t objects = 0;
    for (size_t i = 0; i < membucket_count(m->bucket); i++) {
        char *key = membucket_key(m->bucket, i);
        objects += key[strlen(key) - 1] != '/' && !strstr(key, ".r2fs");
        free(key);
    }
    assert_int_equal(objects, files);
}

static void many_threads_leave_the_bucket_as_the_tree(void **state)
{
    struct libmount *m = *state;
    m->config.write_back_ms = 20;
    m->config.dirty_age_max_ms = 100;
    libmount_open(m);
    const char *given = getenv("R2FS_TEST_SEED");
    unsigned seed = given ? (unsigned)strtoul(given, NULL, 10) : 1;
    for (int d = 0; d < DIRS; d++) {
        char name[8];
        snprintf(name, sizeof name, "d%d", d);
        assert_int_equal(libmount_mkdir(m, name), 0);
        dirs[d] = libmount_ino(m, name);
    }
    for (int round = 0; round < 2; round++) {
        struct worker workers[THREADS];
        for (unsigned i = 0; i < THREADS; i++) {
            workers[i] = (struct worker){ .m = m, .seed = seed * 100 + i + (unsigned)round * 10 };
            assert_int_equal(pthread_create(&workers[i].thread, NULL, work, &workers[i]), 0);
        }
        for (unsigned i = 0; i < THREADS; i++)
            pthread_join(workers[i].thread, NULL);
        for (unsigned i = 0; i < THREADS; i++)
            if (workers[i].bad)
                fail_msg("a thread was answered %d (%s)", workers[i].bad, workers[i].doing ? "file" : "name");
        libmount_drain(m);
        compare(m);
        assert_int_equal(membucket_overlaps(m->bucket), 0);
        libmount_reopen(m);
        compare(m);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(many_threads_leave_the_bucket_as_the_tree, libmount_set_up, libmount_tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Space: clean data leaves, dirty data stays, writers wait or are told. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "cache/block.h"
#include "cache/db.h"
#include "cache/evict.h"
#include "cache/inode.h"
#include "cache/io.h"
#include "cache/wait.h"
#include "s3/base/clock.h"
#include "test/unit/libmount.h"

#define MIB (1u << 20)

static int set_up_small(void **state)
{
    libmount_set_up(state);
    struct libmount *m = *state;
    m->config.size_max = 10 * MIB;
    libmount_open(m);
    return 0;
}

static char *bytes(size_t size, char c)
{
    char *text = malloc(size + 1);
    assert_non_null(text);
    memset(text, c, size);
    text[size] = '\0';
    return text;
}

static bool comes_true(bool (*test)(struct libmount *m), struct libmount *m)
{
    int64_t until = clock_mono_ms() + 20000;
    while (!test(m)) {
        if (clock_mono_ms() > until)
            return false;
        usleep(5000);
    }
    return true;
}

static bool is_below_the_limit(struct libmount *m)
{
    return block_disk_used(m->cache) <= m->config.size_max;
}

static void clean_data_leaves_when_the_cache_is_full(void **state)
{
    struct libmount *m = *state;
    char path[16], *text = bytes(2 * MIB, 'x');
    for (int i = 0; i < 12; i++) {
        snprintf(path, sizeof path, "f%d", i);
        libmount_put(m, path, text);
        libmount_drain(m);
        assert_true(comes_true(is_below_the_limit, m));
    }
    for (int i = 0; i < 12; i++) {
        snprintf(path, sizeof path, "f%d", i);
        char *back = libmount_get(m, path);
        assert_non_null(back);
        assert_string_equal(back, text);
        free(back);
    }
    assert_true(comes_true(is_below_the_limit, m));
    free(text);
}

static void small_files_leave_too(void **state)
{
    struct libmount *m = *state;
    char path[16], *text = bytes(30000, 'x');
    for (int i = 0; i < 600; i++) {
        snprintf(path, sizeof path, "f%d", i);
        libmount_put(m, path, text);
        if (i % 100 == 99)
            libmount_drain(m);
    }
    assert_true(comes_true(is_below_the_limit, m));
    char *back = libmount_get(m, "f0");
    assert_string_equal(back, text);
    free(back);
    free(text);
}

static void dirty_data_is_never_given_up(void **state)
{
    struct libmount *m = *state;
    char *text = bytes(2 * MIB, 'd');
    libmount_put(m, "dirty", text);
    assert_int_equal(evict_pass(m->cache, 1u << 30), 0);
    char *back = libmount_get(m, "dirty");
    assert_string_equal(back, text);
    free(back);
    libmount_drain(m);
    assert_true(evict_pass(m->cache, 1u << 30) >= 2 * MIB);
    /* The file is known as before, and its bytes come from the bucket. */
    struct cache_attr attr;
    assert_int_equal(libmount_lookup(m, "dirty", &attr), 0);
    assert_int_equal(attr.size, 2 * MIB);
    assert_int_equal(attr.blocks, 2 * MIB / 512);
    back = libmount_get(m, "dirty");
    assert_string_equal(back, text);
    free(back);
    free(text);
}

static void who_reads_goes_on_while_the_bytes_leave(void **state)
{
    struct libmount *m = *state;
    struct cache_file *file;
    char *text = bytes(3 * MIB, 'r'), *back = malloc(3 * MIB);
    size_t got;
    libmount_put(m, "f", text);
    libmount_drain(m);
    assert_int_equal(libmount_open_file(m, "f", O_RDONLY, &file), 0);
    for (unsigned at = 0; at < 3 * MIB; at += MIB / 2) {
        assert_int_equal(libmount_read(m, file, back + at, MIB / 2, at, &got), 0);
        assert_int_equal(got, MIB / 2);
        evict_pass(m->cache, 1u << 30);
    }
    assert_memory_equal(back, text, 3 * MIB);
    cache_release(m->cache, file);
    free(back);
    free(text);
}

static void the_kernels_pages_stay_good_when_the_bytes_leave(void **state)
{
    struct libmount *m = *state;
    struct cache_file *file;
    bool keep;
    char *text = bytes(MIB, 'k');
    libmount_put(m, "f", text);
    libmount_drain(m);
    uint64_t ino = libmount_ino(m, "f");
    for (int i = 0; i < 2; i++) {
        assert_int_equal(cache_open_file(m->cache, ino, O_RDONLY, &file, &keep, NULL), 0);
        cache_release(m->cache, file);
        assert_true(evict_pass(m->cache, 1u << 30) > 0 || i);
    }
    assert_true(keep);
    free(text);
}

static void the_oldest_use_leaves_first(void **state)
{
    struct libmount *m = *state;
    char *text = bytes(MIB, 'o');
    libmount_put(m, "old", text);
    libmount_put(m, "new", text);
    libmount_drain(m);
    int64_t old = (int64_t)libmount_ino(m, "old");
    db_begin(m->cache);
    db_run(m->cache, "UPDATE content SET used_ms = 5 WHERE ino = ?", "i", old);
    assert_int_equal(db_commit(m->cache), 0);
    assert_in_range(evict_pass(m->cache, 1), MIB, MIB);
    uint64_t calls = membucket_client_calls(m->client, false);
    free(libmount_get(m, "new"));
    assert_int_equal(membucket_client_calls(m->client, false), calls);
    free(libmount_get(m, "old"));
    assert_true(membucket_client_calls(m->client, false) > calls);
    free(text);
}

static void a_writer_waits_while_dirty_data_fills_the_cache(void **state)
{
    struct libmount *m = *state;
    struct cache_file *file;
    struct wait_blocking w;
    char *text = bytes(MIB, 'w');
    membucket_configure(m->bucket, &(struct membucket_config){ .mutations = S3_UNREACHABLE });
    assert_int_equal(libmount_create(m, "f", O_WRONLY, &file), 0);
    wait_blocking_init(&w);
    int rc = 0;
    uint64_t offset = 0;
    for (; offset < 20 * MIB && !rc; offset += rc ? 0 : MIB)
        rc = cache_write(m->cache, cache_file_ino(file), file, text, MIB, offset, false, &w.wait);
    assert_int_equal(rc, CACHE_WAIT);
    assert_in_range(offset, 9 * MIB, 10 * MIB);
    /* Nothing can leave: it goes on waiting. */
    assert_int_equal(wait_blocking_run(m->cache, &w, 300), -ETIMEDOUT);
    /* What is in the bucket may leave. */
    assert_int_equal(cache_write(m->cache, cache_file_ino(file), file, text, MIB, offset, false, &w.wait), CACHE_WAIT);
    assert_int_equal(cache_flush(m->cache, file), 0);
    membucket_configure(m->bucket, &(struct membucket_config){ .page_max = 0 });
    cache_expire(m->cache);
    assert_int_equal(wait_blocking_run(m->cache, &w, 20000), 0);
    wait_blocking_fini(&w);
    cache_release(m->cache, file);
    free(text);
}

static int disk_is_full(void *arg, const struct io_event *event)
{
    (void)arg;
    return event->op == IO_FREE ? -ENOSPC : 0;
}

static bool names_are_refused(struct libmount *m)
{
    return evict_room_for_names(m->cache) == -ENOSPC;
}

static bool ballast_is_gone(struct libmount *m)
{
    char path[4200];
    snprintf(path, sizeof path, "%s/ballast", cache_spool(m->cache));
    return access(path, F_OK) != 0;
}

static void a_full_disk_is_told_at_once_and_frees_the_ballast(void **state)
{
    struct libmount *m = *state;
    struct cache_file *file;
    struct cache_attr attr;
    const struct cache_caller caller = { .uid = 1000, .gid = 1000 };
    struct wait_blocking w;
    char path[4200];
    libmount_put(m, "f", "x");
    assert_int_equal(libmount_open_file(m, "f", O_WRONLY, &file), 0);
    snprintf(path, sizeof path, "%s/ballast", cache_spool(m->cache));
    assert_int_equal(access(path, F_OK), 0);
    /* As if others had taken everything. */
    io_set_hook(disk_is_full, NULL);
    assert_true(comes_true(names_are_refused, m));
    wait_blocking_init(&w);
    int rc = cache_write(m->cache, cache_file_ino(file), file, "data", 4, 0, false, &w.wait);
    if (rc == CACHE_WAIT)
        rc = wait_blocking_run(m->cache, &w, 5000);
    assert_int_equal(rc, -ENOSPC);
    assert_int_equal(cache_mkdir(m->cache, CACHE_ROOT, "d", 0755, &caller, &attr, NULL), -ENOSPC);
    assert_true(comes_true(ballast_is_gone, m));
    assert_int_equal(libmount_unlink(m, "f"), 0);
    io_set_hook(NULL, NULL);
    cache_release(m->cache, file);
    wait_blocking_fini(&w);
}

static void free_space_is_what_the_disk_and_the_limit_leave(void **state)
{
    struct libmount *m = *state;
    struct cache_statfs fs;
    char *text = bytes(4 * MIB, 's');
    assert_int_equal(cache_statfs(m->cache, &fs), 0);
    assert_int_equal(fs.bytes_free, 10 * MIB);
    libmount_put(m, "f", text);
    assert_int_equal(cache_statfs(m->cache, &fs), 0);
    assert_int_equal(fs.bytes_free, 6 * MIB);
    assert_int_equal(libmount_unlink(m, "f"), 0);
    assert_int_equal(cache_statfs(m->cache, &fs), 0);
    assert_int_equal(fs.bytes_free, 10 * MIB);
    free(text);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up_small, libmount_tear_down)
    const struct CMUnitTest tests[] = {
        TEST(clean_data_leaves_when_the_cache_is_full),
        TEST(small_files_leave_too),
        TEST(dirty_data_is_never_given_up),
        TEST(who_reads_goes_on_while_the_bytes_leave),
        TEST(the_kernels_pages_stay_good_when_the_bytes_leave),
        TEST(the_oldest_use_leaves_first),
        TEST(a_writer_waits_while_dirty_data_fills_the_cache),
        TEST(a_full_disk_is_told_at_once_and_frees_the_ballast),
        TEST(free_space_is_what_the_disk_and_the_limit_leave),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

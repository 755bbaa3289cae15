/* Reading through: metadata and ranges, once each, of one version, in bounded time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "cache/block.h"
#include "cache/dir.h"
#include "cache/fetch.h"
#include "cache/wait.h"
#include "s3/base/clock.h"
#include "test/unit/libremote.h"

#define MIB ((size_t)1 << 20)

static char *store_large(struct libremote *l, const char *key, size_t size, unsigned seed)
{
    char *body = malloc(size);
    for (size_t i = 0; i < size; i++)
        body[i] = (char)((i * 2654435761u >> 13) + seed);
    membucket_store(l->bucket, key, body, size, NULL, NULL);
    return body;
}

static bool is_present(struct libremote *l, struct inode *inode, uint64_t start, uint64_t end)
{
    int error = 0;
    struct range gap;
    (void)l;
    lock_take(&inode->lock);
    struct content *content = block_content(l->cache, inode, &error);
    bool present = content && !ranges_next(&content->present, start, end, true, &gap);
    lock_drop(&inode->lock);
    return present;
}

/* Asks until it is there, or fails, as a program's read does. */
static int fetch(struct libremote *l, struct inode *inode, uint64_t offset, uint64_t size, bool sequential)
{
    struct wait_blocking w;
    wait_blocking_init(&w);
    int result;
    while ((result = fetch_range(l->cache, inode, offset, size, sequential, &w.wait)) == CACHE_WAIT) {
        result = wait_blocking_run(l->cache, &w, 20000);
        if (result)
            break;
    }
    wait_blocking_fini(&w);
    return result;
}

static struct inode *lookup(struct libremote *l, const char *path)
{
    uint64_t ino = libremote_lookup(l, path);
    assert_int_not_equal(ino, 0);
    return inode_get(l->cache, ino);
}

static void set_opens(struct inode *inode, unsigned opens)
{
    lock_take(&inode->lock);
    inode->opens = opens;
    lock_drop(&inode->lock);
}

static uint64_t gets(struct libremote *l)
{
    return libremote_requests(l, S3_KIND_GET);
}

static void a_small_object_comes_whole_with_its_metadata(void **state)
{
    struct libremote *l = *state;
    free(store_large(l, PREFIX "small", 32768, 1));
    free(store_large(l, PREFIX "larger", 32769, 1));
    membucket_store_string(l->bucket, PREFIX "none", "");
    libremote_mount(l);
    struct inode *inode = lookup(l, "small");
    assert_int_equal(libremote_requests(l, S3_KIND_COUNT), 2);
    assert_int_equal(gets(l), 1);
    assert_true(is_present(l, inode, 0, 32768));
    assert_int_equal(fetch(l, inode, 0, 32768, false), 0);
    assert_int_equal(gets(l), 1);
    inode_put(l->cache, inode);
    inode_put(l->cache, lookup(l, "larger"));
    inode_put(l->cache, lookup(l, "none"));
    assert_int_equal(libremote_requests(l, S3_KIND_HEAD), 2);
}

static void metadata_is_fetched_once_however_many_want_it(void **state)
{
    struct libremote *l = *state;
    membucket_store_string(l->bucket, PREFIX "f", "1");
    libremote_mount(l);
    membucket_configure(l->bucket, &(struct membucket_config){ .latency_ms = 30 });
    struct inode *inode = inode_get(l->cache, libremote_find(l, "f"));
    struct wait_blocking waits[8];
    fetch_meta_ahead(l->cache, &inode->ino, 1);
    for (int i = 0; i < 8; i++) {
        wait_blocking_init(&waits[i]);
        assert_int_equal(fetch_meta(l->cache, inode, &waits[i].wait), CACHE_WAIT);
    }
    for (int i = 0; i < 8; i++) {
        assert_int_equal(wait_blocking_run(l->cache, &waits[i], 10000), 0);
        wait_blocking_fini(&waits[i]);
    }
    assert_int_equal(fetch_meta(l->cache, inode, NULL), 0);
    assert_int_equal(gets(l), 1);
    inode_put(l->cache, inode);
}

static void a_walker_finds_what_was_fetched_ahead_of_it(void **state)
{
    struct libremote *l = *state;
    uint64_t inos[200];
    char key[64];
    for (int i = 0; i < 200; i++) {
        snprintf(key, sizeof key, PREFIX "f%d", i);
        membucket_store_string(l->bucket, key, "1");
    }
    libremote_mount(l);
    membucket_configure(l->bucket, &(struct membucket_config){ .latency_ms = 20 });
    for (int i = 0; i < 200; i++) {
        snprintf(key, sizeof key, "f%d", i);
        inos[i] = libremote_find(l, key);
    }
    int64_t start = clock_mono_ms();
    fetch_meta_ahead(l->cache, inos, 200);
    for (int i = 0; i < 200; i++) {
        snprintf(key, sizeof key, "f%d", i);
        assert_int_not_equal(libremote_lookup(l, key), 0);
    }
    assert_true(clock_mono_ms() - start < 2000); /* one after another it would be four seconds */
    assert_int_equal(libremote_requests(l, S3_KIND_COUNT), 201);
}

static void who_looks_at_one_name_after_another_is_followed(void **state)
{
    struct libremote *l = *state;
    char key[64];
    for (int i = 0; i < 200; i++) {
        snprintf(key, sizeof key, PREFIX "d/f%03d", i);
        membucket_store_string(l->bucket, key, "1");
    }
    membucket_store_string(l->bucket, PREFIX "alone/one", "1");
    membucket_store_string(l->bucket, PREFIX "alone/two", "1");
    libremote_mount(l);
    libremote_lookup(l, "alone/one");
    membucket_configure(l->bucket, &(struct membucket_config){ .latency_ms = 10 });
    int64_t start = clock_mono_ms();
    for (int i = 0; i < 200; i++) {
        snprintf(key, sizeof key, "d/f%03d", i);
        assert_int_not_equal(libremote_lookup(l, key), 0);
    }
    assert_true(clock_mono_ms() - start < 1000); /* one after another it would be two seconds */
    assert_int_equal(libremote_requests(l, S3_KIND_COUNT), 202); /* nobody asked for alone/two */
}

static void an_object_of_a_few_megabytes_is_read_in_one_piece(void **state)
{
    struct libremote *l = *state;
    free(store_large(l, PREFIX "f", 8 * MIB, 1));
    libremote_mount(l);
    struct inode *inode = lookup(l, "f");
    assert_int_equal(fetch(l, inode, 5 * MIB, 4096, false), 0);
    assert_int_equal(gets(l), 1);
    assert_true(is_present(l, inode, 0, 8 * MIB));
    inode_put(l->cache, inode);
}

static void a_random_reader_gets_a_megabyte_and_no_more(void **state)
{
    struct libremote *l = *state;
    free(store_large(l, PREFIX "f", 40 * MIB, 1));
    libremote_mount(l);
    struct inode *inode = lookup(l, "f");
    assert_int_equal(fetch(l, inode, 20 * MIB + 5, 4096, false), 0);
    assert_int_equal(gets(l), 1);
    assert_true(is_present(l, inode, 20 * MIB, 21 * MIB));
    assert_false(is_present(l, inode, 21 * MIB, 22 * MIB));
    inode_put(l->cache, inode);
}

static void a_sequential_reader_reads_each_byte_once_in_growing_pieces(void **state)
{
    struct libremote *l = *state;
    size_t size = 40 * MIB + 12345;
    free(store_large(l, PREFIX "f", size, 1));
    libremote_mount(l);
    struct inode *inode = lookup(l, "f");
    for (size_t at = 0; at < size; at += 131072)
        assert_int_equal(fetch(l, inode, at, 131072, true), 0);
    struct s3_stats stats;
    membucket_ops.stats(l->client, &stats);
    assert_int_equal(stats.bytes_received, size);
    print_message("# %d requests for %d MiB\n", (int)gets(l), (int)(size / MIB));
    assert_true(gets(l) <= 20);
    assert_true(is_present(l, inode, 0, size));
    inode_put(l->cache, inode);
}

static void a_range_is_fetched_once_however_many_want_it(void **state)
{
    struct libremote *l = *state;
    free(store_large(l, PREFIX "f", 10 * MIB, 1));
    libremote_mount(l);
    struct inode *inode = lookup(l, "f");
    membucket_configure(l->bucket, &(struct membucket_config){ .latency_ms = 30 });
    struct wait_blocking waits[8];
    for (int i = 0; i < 8; i++) {
        wait_blocking_init(&waits[i]);
        assert_int_equal(fetch_range(l->cache, inode, (uint64_t)i * 4096, 4096, false, &waits[i].wait), CACHE_WAIT);
    }
    for (int i = 0; i < 8; i++) {
        assert_int_equal(wait_blocking_run(l->cache, &waits[i], 10000), 0);
        wait_blocking_fini(&waits[i]);
    }
    assert_int_equal(gets(l), 1);
    inode_put(l->cache, inode);
}

static void a_blocking_fetch_brings_everything(void **state)
{
    struct libremote *l = *state;
    free(store_large(l, PREFIX "f", 30 * MIB, 1));
    libremote_mount(l);
    struct inode *inode = lookup(l, "f");
    assert_int_equal(fetch_range_blocking(l->cache, inode, 0, 30 * MIB), 0);
    assert_true(is_present(l, inode, 0, 30 * MIB));
    inode_put(l->cache, inode);
}

static void of_an_open_file_whose_version_is_lost_missing_ranges_are_stale(void **state)
{
    struct libremote *l = *state;
    free(store_large(l, PREFIX "f", 20 * MIB, 1));
    libremote_mount(l);
    struct inode *inode = lookup(l, "f");
    set_opens(inode, 1);
    assert_int_equal(fetch(l, inode, 0, 4096, false), 0);
    free(store_large(l, PREFIX "f", 20 * MIB, 2));
    assert_int_equal(fetch(l, inode, 10 * MIB, 4096, false), -ESTALE);
    assert_int_equal(fetch(l, inode, 0, 4096, false), 0);
    uint64_t now = libremote_lookup(l, "f");
    assert_int_not_equal(now, inode->ino);
    set_opens(inode, 0);
    inode_put(l->cache, inode);
    inode = lookup(l, "f");
    assert_int_equal(fetch(l, inode, 10 * MIB, 4096, false), 0);
    inode_put(l->cache, inode);
}

static void of_a_closed_file_the_new_version_is_read_instead(void **state)
{
    struct libremote *l = *state;
    free(store_large(l, PREFIX "f", 20 * MIB, 1));
    libremote_mount(l);
    struct inode *inode = lookup(l, "f");
    free(store_large(l, PREFIX "f", 10 * MIB, 2));
    assert_int_equal(fetch(l, inode, 2 * MIB, 4096, false), 0);
    assert_int_equal(libremote_lookup(l, "f"), inode->ino);
    assert_int_equal(libremote_attr(l, inode->ino).size, 10 * MIB);
    inode_put(l->cache, inode);
}

static void a_file_that_vanished_is_not_an_empty_one(void **state)
{
    struct libremote *l = *state;
    free(store_large(l, PREFIX "f", 20 * MIB, 1));
    membucket_store_string(l->bucket, PREFIX "g", "1");
    libremote_mount(l);
    struct inode *inode = lookup(l, "f");
    set_opens(inode, 1);
    membucket_erase(l->bucket, PREFIX "f");
    membucket_erase(l->bucket, PREFIX "g");
    assert_int_equal(fetch(l, inode, 0, 4096, false), -ESTALE);
    assert_int_equal(libremote_lookup(l, "f"), 0);
    assert_int_equal(libremote_lookup(l, "g"), 0);
    set_opens(inode, 0);
    inode_put(l->cache, inode);
}

static void errors_reach_the_program_and_nothing_is_made_up(void **state)
{
    struct libremote *l = *state;
    uint64_t ino;
    free(store_large(l, PREFIX "f", 20 * MIB, 1));
    membucket_store_string(l->bucket, PREFIX "g", "1");
    libremote_mount(l);
    struct inode *inode = lookup(l, "f");
    static const struct { enum s3_outcome outcome; int error; } errors[] = {
        { S3_UNREACHABLE, -ETIMEDOUT }, { S3_DENIED, -EACCES }, { S3_CORRUPT, -EIO }, { S3_NO_BUCKET, -EIO },
    };
    for (size_t i = 0; i < sizeof errors / sizeof errors[0]; i++) {
        membucket_configure(l->bucket, &(struct membucket_config){ .all = errors[i].outcome });
        assert_int_equal(fetch(l, inode, 0, 4096, false), errors[i].error);
        assert_int_equal(libremote_lookup_error(l, "g", &ino), errors[i].error);
        assert_int_equal(libremote_find(l, "g"), ino);
    }
    membucket_configure(l->bucket, &(struct membucket_config){ 0 });
    assert_int_equal(fetch(l, inode, 0, 4096, false), 0);
    assert_int_not_equal(libremote_lookup(l, "g"), 0);
    inode_put(l->cache, inode);
}

static void a_corrupted_body_is_never_handed_out(void **state)
{
    struct libremote *l = *state;
    uint64_t ino;
    free(store_large(l, PREFIX "f", 4 * MIB, 1));
    membucket_store_string(l->bucket, PREFIX "g", "1");
    libremote_mount(l);
    struct inode *inode = lookup(l, "f");
    membucket_client_fail(l->client, 1, false, MEMBUCKET_BEFORE, MEMBUCKET_TORN);
    assert_int_equal(fetch(l, inode, 0, 4096, false), -EIO);
    assert_false(is_present(l, inode, 0, 1));
    membucket_client_fail(l->client, 1, false, MEMBUCKET_BEFORE, MEMBUCKET_TORN);
    assert_int_equal(libremote_lookup_error(l, "g", &ino), -EIO);
    assert_int_not_equal(libremote_lookup(l, "g"), 0);
    inode_put(l->cache, inode);
}

static bool arrived(struct libremote *l)
{
    struct inode *inode = inode_get(l->cache, libremote_find(l, "f"));
    bool present = is_present(l, inode, 0, 1);
    inode_put(l->cache, inode);
    return present;
}

static void a_fetch_goes_on_when_nobody_waits_any_more(void **state)
{
    struct libremote *l = *state;
    free(store_large(l, PREFIX "f", 2 * MIB, 1));
    libremote_mount(l);
    struct inode *inode = lookup(l, "f");
    membucket_configure(l->bucket, &(struct membucket_config){ .latency_ms = 30 });
    struct wait_blocking w;
    wait_blocking_init(&w);
    assert_int_equal(fetch_range(l->cache, inode, 0, 4096, false, &w.wait), CACHE_WAIT);
    assert_true(cache_wait_cancel(l->cache, &w.wait));
    wait_blocking_fini(&w);
    assert_true(libremote_comes_true(arrived, l));
    assert_int_equal(gets(l), 1);
    inode_put(l->cache, inode);
}

static void stopping_wakes_who_waits_for_a_slow_bucket(void **state)
{
    struct libremote *l = *state;
    free(store_large(l, PREFIX "f", 20 * MIB, 1));
    membucket_store_string(l->bucket, PREFIX "g", "1");
    libremote_mount(l);
    struct inode *f = lookup(l, "f"), *g = inode_get(l->cache, libremote_find(l, "g"));
    membucket_configure(l->bucket, &(struct membucket_config){ .latency_ms = 20000 });
    struct wait_blocking range, meta, names;
    wait_blocking_init(&range);
    wait_blocking_init(&meta);
    wait_blocking_init(&names);
    dir_expire_all(l->cache);
    assert_int_equal(fetch_range(l->cache, f, 0, 4096, true, &range.wait), CACHE_WAIT);
    assert_int_equal(fetch_meta(l->cache, g, &meta.wait), CACHE_WAIT);
    assert_int_equal(dir_need(l->cache, CACHE_ROOT, NULL, &names.wait), CACHE_WAIT);
    int64_t start = clock_mono_ms();
    l->cache->stopping = true;
    fetch_stop(l->cache);
    assert_true(clock_mono_ms() - start < 2000);
    assert_int_not_equal(wait_blocking_run(l->cache, &range, 1000), 0);
    assert_int_not_equal(wait_blocking_run(l->cache, &meta, 1000), 0);
    assert_int_not_equal(wait_blocking_run(l->cache, &names, 1000), 0);
    wait_blocking_fini(&range);
    wait_blocking_fini(&meta);
    wait_blocking_fini(&names);
    inode_put(l->cache, f);
    inode_put(l->cache, g);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, libremote_set_up, libremote_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_small_object_comes_whole_with_its_metadata),
        TEST(metadata_is_fetched_once_however_many_want_it),
        TEST(a_walker_finds_what_was_fetched_ahead_of_it),
        TEST(who_looks_at_one_name_after_another_is_followed),
        TEST(an_object_of_a_few_megabytes_is_read_in_one_piece),
        TEST(a_random_reader_gets_a_megabyte_and_no_more),
        TEST(a_sequential_reader_reads_each_byte_once_in_growing_pieces),
        TEST(a_range_is_fetched_once_however_many_want_it),
        TEST(a_blocking_fetch_brings_everything),
        TEST(of_an_open_file_whose_version_is_lost_missing_ranges_are_stale),
        TEST(of_a_closed_file_the_new_version_is_read_instead),
        TEST(a_file_that_vanished_is_not_an_empty_one),
        TEST(errors_reach_the_program_and_nothing_is_made_up),
        TEST(a_corrupted_body_is_never_handed_out),
        TEST(a_fetch_goes_on_when_nobody_waits_any_more),
        TEST(stopping_wakes_who_waits_for_a_slow_bucket),
    };
    return cmocka_run_group_tests_name("fetch", tests, NULL, NULL);
}

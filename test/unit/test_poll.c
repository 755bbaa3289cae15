/* The poller: what it asks, what it believes, and what it never does. */
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

#include "cache/dir.h"
#include "cache/poll.h"
#include "s3/base/clock.h"
#include "test/unit/libremote.h"

/* PREFIX and base, the number behind it. */
static void store_numbered(struct libremote *l, const char *base, int count)
{
    char key[64];
    for (int i = 0; i < count; i++) {
        snprintf(key, sizeof key, PREFIX "%s%d", base, i);
        membucket_store_string(l->bucket, key, "1");
    }
}

static int count_found(struct libremote *l, const char *base, int count)
{
    char path[64];
    int found = 0;
    for (int i = 0; i < count; i++) {
        snprintf(path, sizeof path, "%s%d", base, i);
        found += libremote_find(l, path) != 0;
    }
    return found;
}

static void erase_numbered(struct libremote *l, int from, int to)
{
    char key[64];
    for (int i = from; i < to; i++) {
        snprintf(key, sizeof key, PREFIX "f%d", i);
        membucket_erase(l->bucket, key);
    }
}

/* The second opinion on a mass counts one interval later. */
static void let_an_interval_pass(struct libremote *l)
{
    usleep((useconds_t)l->cache->config.poll_ms * 1000 + 1000);
}

static void a_few_that_vanish_are_asked_for_and_go(void **state)
{
    struct libremote *l = *state;
    store_numbered(l, "f", 100);
    libremote_mount(l);
    erase_numbered(l, 0, 20);
    libremote_poll(l);
    assert_int_equal(count_found(l, "f", 100), 80);
    assert_int_equal(libremote_requests(l, S3_KIND_HEAD), 20);
}

static void a_tenth_of_a_large_tree_is_a_few(void **state)
{
    struct libremote *l = *state;
    store_numbered(l, "f", 600);
    libremote_mount(l);
    erase_numbered(l, 0, 60);
    libremote_poll(l);
    assert_int_equal(count_found(l, "f", 600), 540);
}

static void a_mass_goes_after_a_second_listing_and_twenty_heads(void **state)
{
    struct libremote *l = *state;
    store_numbered(l, "f", 100);
    libremote_mount(l);
    erase_numbered(l, 0, 60);
    libremote_poll(l);
    assert_int_equal(count_found(l, "f", 100), 100);
    assert_int_equal(libremote_requests(l, S3_KIND_HEAD), 0);
    assert_non_null(strstr(l->cache->last_error, "60 names"));
    let_an_interval_pass(l);
    libremote_poll(l);
    assert_int_equal(count_found(l, "f", 100), 40);
    assert_int_equal(libremote_requests(l, S3_KIND_HEAD), 20);
}

static void a_mass_removes_only_what_both_listings_lack(void **state)
{
    struct libremote *l = *state;
    store_numbered(l, "f", 100);
    libremote_mount(l);
    erase_numbered(l, 0, 60);
    libremote_poll(l);
    membucket_store_string(l->bucket, PREFIX "f0", "again");
    erase_numbered(l, 60, 61);
    let_an_interval_pass(l);
    libremote_poll(l);
    assert_int_not_equal(libremote_find(l, "f0"), 0);
    assert_int_not_equal(libremote_find(l, "f60"), 0);
    assert_int_equal(count_found(l, "f", 100), 41);
    libremote_poll(l);
    assert_int_equal(count_found(l, "f", 100), 40);
}

static int always_torn(void *arg, enum s3_kind kind, const char *key, enum membucket_phase phase)
{
    (void)arg;
    (void)key;
    return kind == S3_KIND_LIST && phase == MEMBUCKET_BEFORE ? MEMBUCKET_TORN : MEMBUCKET_GO;
}

static void listings_that_are_empty_again_and_again_remove_nothing(void **state)
{
    struct libremote *l = *state;
    store_numbered(l, "d/f", 100);
    libremote_mount(l);
    membucket_client_hook(l->client, always_torn, NULL);
    for (int i = 0; i < 4; i++) {
        libremote_poll(l);
        let_an_interval_pass(l);
    }
    assert_int_equal(count_found(l, "d/f", 100), 100);
    assert_non_null(strstr(l->cache->last_error, "nothing is removed"));
    char *news = libremote_news(l);
    assert_string_equal(news, "");
    free(news);
}

static int no_heads(void *arg, enum s3_kind kind, const char *key, enum membucket_phase phase)
{
    (void)key;
    return kind == S3_KIND_HEAD && phase == MEMBUCKET_BEFORE ? *(int *)arg : MEMBUCKET_GO;
}

static void an_error_is_not_a_deletion(void **state)
{
    struct libremote *l = *state;
    store_numbered(l, "f", 3);
    libremote_mount(l);
    erase_numbered(l, 0, 2);
    for (const int *error = (const int[]){ S3_TIMEOUT, S3_DENIED, S3_NO_BUCKET, S3_CORRUPT, S3_OK }; *error; error++) {
        int outcome = *error;
        membucket_client_hook(l->client, no_heads, &outcome);
        libremote_poll(l);
        assert_int_equal(count_found(l, "f", 3), 3);
    }
    membucket_client_hook(l->client, NULL, NULL);
    libremote_poll(l);
    assert_int_equal(count_found(l, "f", 3), 1);
}

static void a_poll_that_fails_changes_nothing_and_says_so_once(void **state)
{
    struct libremote *l = *state;
    store_numbered(l, "f", 30);
    libremote_mount(l);
    int64_t last = poll_last_ms(l->cache);
    assert_true(last > 0);
    membucket_configure(l->bucket, &(struct membucket_config){ .all = S3_UNREACHABLE });
    for (int i = 0; i < 3; i++)
        libremote_poll(l);
    assert_int_equal(count_found(l, "f", 30), 30);
    assert_int_equal(poll_last_ms(l->cache), last);
    assert_non_null(strstr(l->cache->last_error, "could not be listed"));
    membucket_configure(l->bucket, &(struct membucket_config){ 0 });
    store_numbered(l, "g", 1);
    libremote_poll(l);
    assert_int_not_equal(libremote_find(l, "g0"), 0);
}

static void the_first_listing_says_why_it_failed_and_may_be_tried_again(void **state)
{
    struct libremote *l = *state;
    struct s3_error error;
    for (const int *outcome = (const int[]){ S3_BAD_KEY, S3_NO_BUCKET, S3_UNREACHABLE, S3_OK }; *outcome; outcome++) {
        membucket_configure(l->bucket, &(struct membucket_config){ .all = (enum s3_outcome)*outcome });
        assert_int_equal(poll_first(l->cache, 1000, &error), *outcome);
        assert_int_equal(error.outcome, *outcome);
    }
    membucket_configure(l->bucket, &(struct membucket_config){ 0 });
    libremote_mount(l);
    assert_int_equal(libremote_find(l, "nothing"), 0);
}

static bool used_is_listed(struct libremote *l)
{
    return dir_complete_tx(l->cache, CACHE_ROOT) && dir_complete_tx(l->cache, libremote_find(l, "used"));
}

static void of_a_large_tree_only_directories_in_use_are_polled(void **state)
{
    struct libremote *l = *state;
    membucket_configure(l->bucket, &(struct membucket_config){ .page_max = 10 });
    store_numbered(l, "bulk/f", 400);
    store_numbered(l, "used/f", 3);
    store_numbered(l, "other/f", 3);
    libremote_mount(l);
    libremote_lookup(l, "used/f0");
    assert_true(libremote_comes_true(used_is_listed, l));
    uint64_t before = libremote_requests(l, S3_KIND_LIST);
    libremote_poll(l);
    assert_int_equal(libremote_requests(l, S3_KIND_LIST), before + 2); /* the root and used/ */
    store_numbered(l, "used/new", 1);
    store_numbered(l, "new", 1);
    libremote_poll(l);
    assert_int_not_equal(libremote_find(l, "used/new0"), 0);
    assert_int_not_equal(libremote_find(l, "new0"), 0);
    membucket_erase(l->bucket, PREFIX "used/f1");
    membucket_erase(l->bucket, PREFIX "other/f0");
    libremote_poll(l);
    assert_int_equal(libremote_find(l, "used/f1"), 0);
}

static void a_directory_that_fell_out_of_use_is_listed_again_when_it_is_used(void **state)
{
    struct libremote *l = *state;
    membucket_configure(l->bucket, &(struct membucket_config){ .page_max = 10 });
    store_numbered(l, "bulk/f", 400);
    store_numbered(l, "used/f", 3);
    libremote_mount(l);
    libremote_lookup(l, "used/f0");
    assert_true(libremote_comes_true(used_is_listed, l)); /* the name was there before the listing ended */
    uint64_t inos[4];
    assert_int_equal(dir_sweep(l->cache, clock_mono_ms() + 1, inos, 4), 0);
    store_numbered(l, "used/new", 1);
    assert_int_not_equal(libremote_lookup(l, "used/new0"), 0);
}

static bool has_appeared(struct libremote *l)
{
    return libremote_find(l, "late") != 0;
}

static void the_thread_brings_a_change_within_an_interval(void **state)
{
    struct libremote *l = *state;
    libremote_mount(l);
    l->cache->config.poll_ms = 50;
    assert_int_equal(poll_start(l->cache), 0);
    membucket_store_string(l->bucket, PREFIX "late", "1");
    int64_t start = clock_mono_ms();
    assert_true(libremote_comes_true(has_appeared, l));
    assert_true(clock_mono_ms() - start < 1000);
}

static void without_an_interval_it_polls_only_when_told(void **state)
{
    struct libremote *l = *state;
    libremote_mount(l);
    l->cache->config.poll_ms = 0;
    assert_int_equal(poll_start(l->cache), 0);
    uint64_t before = libremote_requests(l, S3_KIND_COUNT);
    membucket_store_string(l->bucket, PREFIX "late", "1");
    usleep(50000);
    assert_int_equal(libremote_requests(l, S3_KIND_COUNT), before);
    poll_now(l->cache);
    assert_true(libremote_comes_true(has_appeared, l));
}

static bool has_polled(struct libremote *l)
{
    return libremote_requests(l, S3_KIND_LIST) > 1;
}

static void it_slows_down_only_when_asked_and_nobody_looks(void **state)
{
    struct libremote *l = *state;
    libremote_mount(l);
    l->cache->config.poll_idle_ms = 100000;
    assert_int_equal(poll_start(l->cache), 0);
    usleep(100000);
    assert_int_equal(libremote_requests(l, S3_KIND_LIST), 1);
    dir_used(l->cache, CACHE_ROOT);
    assert_true(libremote_comes_true(has_polled, l));
}

static void stopping_does_not_wait_for_a_slow_bucket(void **state)
{
    struct libremote *l = *state;
    libremote_mount(l);
    membucket_configure(l->bucket, &(struct membucket_config){ .latency_ms = 20000 });
    assert_int_equal(poll_start(l->cache), 0);
    poll_now(l->cache);
    usleep(20000);
    int64_t start = clock_mono_ms();
    l->cache->stopping = true;
    poll_stop(l->cache);
    assert_true(clock_mono_ms() - start < 2000);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, libremote_set_up, libremote_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_few_that_vanish_are_asked_for_and_go),
        TEST(a_tenth_of_a_large_tree_is_a_few),
        TEST(a_mass_goes_after_a_second_listing_and_twenty_heads),
        TEST(a_mass_removes_only_what_both_listings_lack),
        TEST(listings_that_are_empty_again_and_again_remove_nothing),
        TEST(an_error_is_not_a_deletion),
        TEST(a_poll_that_fails_changes_nothing_and_says_so_once),
        TEST(the_first_listing_says_why_it_failed_and_may_be_tried_again),
        TEST(of_a_large_tree_only_directories_in_use_are_polled),
        TEST(a_directory_that_fell_out_of_use_is_listed_again_when_it_is_used),
        TEST(the_thread_brings_a_change_within_an_interval),
        TEST(without_an_interval_it_polls_only_when_told),
        TEST(it_slows_down_only_when_asked_and_nobody_looks),
        TEST(stopping_does_not_wait_for_a_slow_bucket),
    };
    return cmocka_run_group_tests_name("poll", tests, NULL, NULL);
}

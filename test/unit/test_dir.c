/* Listing directories when programs need them. */
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

#include "cache/db.h"
#include "cache/dir.h"
#include "cache/tree.h"
#include "cache/wait.h"
#include "test/unit/libremote.h"

/* A tree too large to be listed whole at the mount: more than 32 pages, of two keys. */
static void store_many(struct libremote *l)
{
    char key[64];
    membucket_configure(l->bucket, &(struct membucket_config){ .page_max = 2 });
    for (int i = 0; i < 80; i++) {
        snprintf(key, sizeof key, PREFIX "bulk/f%02d", i);
        membucket_store_string(l->bucket, key, "1");
    }
    membucket_store_string(l->bucket, PREFIX "z/one", "1");
    membucket_store_string(l->bucket, PREFIX "z/sub/deep", "1");
    membucket_store_string(l->bucket, PREFIX "z/two", "1");
}

static uint64_t lists(struct libremote *l)
{
    return libremote_requests(l, S3_KIND_LIST);
}

static void a_large_tree_is_listed_directory_by_directory(void **state)
{
    struct libremote *l = *state;
    store_many(l);
    libremote_mount(l);
    assert_int_equal(lists(l), 32);
    assert_int_equal(libremote_find(l, "z"), 0);
    assert_int_not_equal(libremote_lookup(l, "z"), 0);
    assert_int_not_equal(libremote_lookup(l, "z/two"), 0);
    assert_int_not_equal(libremote_lookup(l, "z/sub/deep"), 0);
    assert_int_equal(libremote_lookup(l, "z/none"), 0);
    assert_int_equal(libremote_lookup(l, "z/sub/none"), 0);
    uint64_t before = libremote_requests(l, S3_KIND_COUNT);
    assert_int_equal(libremote_lookup(l, "z/other"), 0);
    assert_int_not_equal(libremote_lookup(l, "z/two"), 0);
    assert_int_equal(libremote_requests(l, S3_KIND_COUNT), before);
}

static void a_directorys_mode_is_asked_for_once_before_it_is_shown(void **state)
{
    struct libremote *l = *state;
    struct s3_pair pair = { .name = (char[]){ "mode" }, .value = (char[]){ "16832" } };
    struct s3_headers headers = { .meta = &pair, .meta_count = 1 };
    store_many(l);
    membucket_store(l->bucket, PREFIX "z/sub/", "", 0, &headers, NULL);
    libremote_mount(l);
    struct cache_attr sub = libremote_attr(l, libremote_lookup(l, "z/sub")), z = libremote_attr(l, libremote_lookup(l, "z"));
    assert_int_equal(sub.mode, S_IFDIR | 0700);
    assert_int_equal(z.mode, S_IFDIR | 0755);
    assert_int_equal(libremote_requests(l, S3_KIND_HEAD), 2);
    libremote_lookup(l, "z/sub");
    assert_int_equal(libremote_requests(l, S3_KIND_HEAD), 2);
}

static void names_that_are_found_leave_the_time_that_a_directorys_object_carries(void **state)
{
    struct libremote *l = *state;
    struct s3_pair pairs[] = { { (char[]){ "mode" }, (char[]){ "16877" } }, { (char[]){ "mtime" }, (char[]){ "1500000000.25" } } };
    struct s3_headers headers = { .meta = pairs, .meta_count = 2 };
    store_many(l);
    membucket_store(l->bucket, PREFIX "z/sub/", "", 0, &headers, NULL);
    libremote_mount(l);
    uint64_t sub = libremote_lookup(l, "z/sub");
    assert_int_equal(libremote_attr(l, sub).mtime.tv_sec, 1500000000);
    libremote_lookup(l, "z/sub/deep");
    libremote_lookup(l, "z/sub/none");
    assert_int_equal(libremote_attr(l, sub).mtime.tv_sec, 1500000000);
    assert_int_equal(libremote_attr(l, sub).mtime.tv_nsec, 250000000);
    membucket_store_string(l->bucket, PREFIX "z/sub/news", "1");
    libremote_poll(l);
    assert_int_not_equal(libremote_lookup(l, "z/sub/news"), 0);
    assert_int_not_equal(libremote_attr(l, sub).mtime.tv_sec, 1500000000);
}

struct crowd {
    struct wait_blocking waits[16];
    size_t count;
};

static void many_who_want_a_directory_share_one_listing(void **state)
{
    struct libremote *l = *state;
    store_many(l);
    libremote_mount(l);
    libremote_lookup(l, "z");
    uint64_t z = libremote_find(l, "z"), before = lists(l);
    membucket_configure(l->bucket, &(struct membucket_config){ .latency_ms = 30 });
    struct crowd crowd = { .count = 16 };
    for (size_t i = 0; i < crowd.count; i++) {
        wait_blocking_init(&crowd.waits[i]);
        assert_int_equal(dir_need(l->cache, z, i % 2 ? "none" : NULL, &crowd.waits[i].wait), CACHE_WAIT);
    }
    for (size_t i = 0; i < crowd.count; i++) {
        assert_int_equal(wait_blocking_run(l->cache, &crowd.waits[i], 10000), 0);
        wait_blocking_fini(&crowd.waits[i]);
    }
    assert_int_equal(lists(l), before + 1);
    assert_int_equal(dir_need(l->cache, z, NULL, NULL), 0);
}

static void a_name_need_not_wait_for_the_pages_behind_it(void **state)
{
    struct libremote *l = *state;
    store_many(l);
    libremote_mount(l);
    uint64_t bulk = libremote_find(l, "bulk"), before = lists(l);
    membucket_configure(l->bucket, &(struct membucket_config){ .page_max = 2, .latency_ms = 20 });
    struct wait_blocking early, late;
    wait_blocking_init(&early);
    wait_blocking_init(&late);
    assert_int_equal(dir_need(l->cache, bulk, "f79", &late.wait), CACHE_WAIT);
    assert_int_equal(dir_need(l->cache, bulk, "f02", &early.wait), CACHE_WAIT);
    assert_int_equal(wait_blocking_run(l->cache, &early, 10000), 0);
    assert_true(lists(l) < before + 20);
    assert_int_equal(dir_need(l->cache, bulk, "f01", &early.wait), CACHE_WAIT);
    assert_int_equal(wait_blocking_run(l->cache, &early, 10000), 0);
    assert_true(lists(l) < before + 30);
    assert_int_equal(wait_blocking_run(l->cache, &late, 10000), 0);
    assert_int_equal(lists(l), before + 40);
    wait_blocking_fini(&early);
    wait_blocking_fini(&late);
}

static void a_directory_and_its_name_with_a_dash_are_in_the_order_of_keys(void **state)
{
    struct libremote *l = *state;
    membucket_configure(l->bucket, &(struct membucket_config){ .page_max = 1 });
    char key[64];
    for (int i = 0; i < 40; i++) {
        snprintf(key, sizeof key, PREFIX "d/f%02d", i);
        membucket_store_string(l->bucket, key, "1");
    }
    membucket_store_string(l->bucket, PREFIX "x-1", "1");
    membucket_store_string(l->bucket, PREFIX "x/y", "1");
    libremote_mount(l);
    membucket_configure(l->bucket, &(struct membucket_config){ .page_max = 1, .latency_ms = 20 });
    assert_int_not_equal(libremote_lookup(l, "x"), 0); /* x/ comes behind x-1 */
    assert_int_not_equal(libremote_lookup(l, "x-1"), 0);
}

static void a_directory_made_here_is_complete(void **state)
{
    struct libremote *l = *state;
    store_many(l);
    libremote_mount(l);
    db_begin(l->cache);
    struct inode *inode = inode_new_tx(l->cache, &(struct inode){ .mode = S_IFDIR | 0755, .known = true });
    tree_add_tx(l->cache, CACHE_ROOT, "made", 4, inode, false);
    dir_made_tx(l->cache, inode->ino);
    assert_int_equal(db_commit(l->cache), 0);
    uint64_t before = lists(l);
    assert_int_equal(dir_need(l->cache, inode->ino, "none", NULL), 0);
    assert_int_equal(dir_need(l->cache, inode->ino, NULL, NULL), 0);
    assert_int_equal(lists(l), before);
    inode_put(l->cache, inode);
}

static void after_expiry_the_next_look_lists_again(void **state)
{
    struct libremote *l = *state;
    membucket_store_string(l->bucket, PREFIX "d/f", "1");
    libremote_mount(l);
    assert_int_equal(libremote_lookup(l, "d/g"), 0);
    membucket_store_string(l->bucket, PREFIX "d/g", "1");
    assert_int_equal(libremote_lookup(l, "d/g"), 0);
    dir_expire_all(l->cache);
    assert_int_not_equal(libremote_lookup(l, "d/g"), 0);
}

static void offline_what_was_listed_stays_readable_and_the_rest_is_an_error(void **state)
{
    struct libremote *l = *state;
    uint64_t ino;
    store_many(l);
    libremote_mount(l);
    uint64_t one = libremote_lookup(l, "z/one");
    membucket_configure(l->bucket, &(struct membucket_config){ .all = S3_UNREACHABLE });
    assert_int_equal(libremote_lookup_error(l, "z/sub/deep", &ino), -ETIMEDOUT);
    dir_expire_all(l->cache);
    assert_int_equal(libremote_lookup(l, "z/one"), one);
    assert_int_equal(libremote_lookup(l, "z/none"), 0);
    assert_int_equal(libremote_lookup_error(l, "bulk/f00", &ino), -ETIMEDOUT);
}

static void a_permission_refused_is_not_an_empty_directory(void **state)
{
    struct libremote *l = *state;
    uint64_t ino;
    store_many(l);
    libremote_mount(l);
    libremote_lookup(l, "z");
    membucket_configure(l->bucket, &(struct membucket_config){ .all = S3_DENIED });
    assert_int_equal(libremote_lookup_error(l, "z/one", &ino), -EACCES);
    assert_non_null(strstr(l->cache->last_error, "listing"));
}

static void a_listing_that_is_suddenly_empty_removes_nothing(void **state)
{
    struct libremote *l = *state;
    membucket_store_string(l->bucket, PREFIX "d/f", "1");
    membucket_store_string(l->bucket, PREFIX "d/sub/g", "1");
    libremote_mount(l);
    uint64_t d = libremote_lookup(l, "d"), f = libremote_lookup(l, "d/f"), g = libremote_lookup(l, "d/sub/g");
    dir_expire_all(l->cache);
    membucket_client_fail(l->client, 1, false, MEMBUCKET_BEFORE, MEMBUCKET_TORN);
    struct wait_blocking w;
    wait_blocking_init(&w);
    assert_int_equal(dir_need(l->cache, d, NULL, &w.wait), CACHE_WAIT);
    assert_int_equal(wait_blocking_run(l->cache, &w, 10000), 0);
    wait_blocking_fini(&w);
    assert_int_equal(libremote_find(l, "d/f"), f);
    assert_int_equal(libremote_find(l, "d/sub/g"), g);
    char *news = libremote_news(l);
    assert_string_equal(news, "");
    free(news);
}

static void what_another_client_removed_is_gone_when_the_directory_is_listed_again(void **state)
{
    struct libremote *l = *state;
    membucket_store_string(l->bucket, PREFIX "d/f", "1");
    membucket_store_string(l->bucket, PREFIX "d/g", "1");
    membucket_store_string(l->bucket, PREFIX "d/sub/x", "1");
    membucket_store_string(l->bucket, PREFIX "d/sub/y/z", "1");
    libremote_mount(l);
    libremote_lookup(l, "d/sub/y/z");
    dir_expire_all(l->cache);
    membucket_erase(l->bucket, PREFIX "d/f");
    membucket_erase(l->bucket, PREFIX "d/sub/x");
    membucket_erase(l->bucket, PREFIX "d/sub/y/z");
    assert_int_not_equal(libremote_lookup(l, "d/g"), 0);
    assert_int_equal(libremote_lookup(l, "d/f"), 0);
    assert_int_equal(libremote_lookup(l, "d/sub"), 0);
}

static void after_a_remount_the_old_index_is_listed_before_it_is_believed(void **state)
{
    struct libremote *l = *state;
    store_many(l);
    libremote_mount(l);
    libremote_lookup(l, "z/sub/deep");
    membucket_store_string(l->bucket, PREFIX "z/sub/new", "1");
    membucket_erase(l->bucket, PREFIX "z/sub/deep");
    libremote_remount(l);
    assert_int_not_equal(libremote_lookup(l, "z/sub/new"), 0);
    assert_int_equal(libremote_lookup(l, "z/sub/deep"), 0);
}

static void a_directory_that_holds_only_what_r2fs_keeps_is_not_there(void **state)
{
    struct libremote *l = *state;
    store_many(l);
    membucket_store_string(l->bucket, PREFIX "z/own/.r2fs/x", "1");
    membucket_store_string(l->bucket, PREFIX "z/bad//x", "1");
    membucket_store_string(l->bucket, PREFIX "z/marked/", "");
    libremote_mount(l);
    assert_int_equal(libremote_lookup(l, "z/own/x"), 0);
    assert_int_equal(libremote_lookup(l, "z/bad/x"), 0);
    assert_int_equal(libremote_lookup(l, "z/marked/x"), 0);
    assert_int_equal(libremote_find(l, "z/own"), 0);
    assert_int_equal(libremote_find(l, "z/bad"), 0);
    assert_int_not_equal(libremote_find(l, "z/marked"), 0);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, libremote_set_up, libremote_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_large_tree_is_listed_directory_by_directory),
        TEST(a_directorys_mode_is_asked_for_once_before_it_is_shown),
        TEST(names_that_are_found_leave_the_time_that_a_directorys_object_carries),
        TEST(many_who_want_a_directory_share_one_listing),
        TEST(a_name_need_not_wait_for_the_pages_behind_it),
        TEST(a_directory_and_its_name_with_a_dash_are_in_the_order_of_keys),
        TEST(a_directory_made_here_is_complete),
        TEST(after_expiry_the_next_look_lists_again),
        TEST(offline_what_was_listed_stays_readable_and_the_rest_is_an_error),
        TEST(a_permission_refused_is_not_an_empty_directory),
        TEST(a_listing_that_is_suddenly_empty_removes_nothing),
        TEST(what_another_client_removed_is_gone_when_the_directory_is_listed_again),
        TEST(a_directory_that_holds_only_what_r2fs_keeps_is_not_there),
        TEST(after_a_remount_the_old_index_is_listed_before_it_is_believed),
    };
    return cmocka_run_group_tests_name("dir", tests, NULL, NULL);
}

/* What another client does in the bucket becomes the tree that programs see. */
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
#include "cache/db.h"
#include "cache/dir.h"
#include "cache/remote.h"
#include "cache/todo.h"
#include "s3/base/clock.h"
#include "test/unit/libremote.h"

static void store_with(struct libremote *l, const char *key, const char *body, const char *mode)
{
    struct s3_pair pair = { .name = (char[]){ "mode" }, .value = (char *)(uintptr_t)mode };
    struct s3_headers headers = { .meta = &pair, .meta_count = 1 };
    membucket_store(l->bucket, key, body, strlen(body), &headers, NULL);
}

static void open_handle(struct libremote *l, uint64_t ino, unsigned opens, unsigned writers)
{
    struct inode *inode = inode_get(l->cache, ino);
    lock_take(&inode->lock);
    inode->opens = opens;
    inode->writers = writers;
    lock_drop(&inode->lock);
    inode_put(l->cache, inode);
}

static void expect_news(struct libremote *l, const char *expected)
{
    char *news = libremote_news(l);
    assert_string_equal(news, expected);
    free(news);
}

static void one_listing_makes_the_whole_tree_known(void **state)
{
    struct libremote *l = *state;
    membucket_store_string(l->bucket, PREFIX "f", "1");
    membucket_store_string(l->bucket, PREFIX "d/e/g", "22");
    membucket_store_string(l->bucket, PREFIX "empty/", "");
    membucket_store_string(l->bucket, "a/bc", "a neighbour");
    libremote_mount(l);
    assert_int_not_equal(libremote_lookup(l, "f"), 0);
    uint64_t g = libremote_lookup(l, "d/e/g");
    assert_int_equal(libremote_attr(l, g).size, 2);
    assert_int_equal(libremote_attr(l, g).mode, S_IFREG | 0644);
    assert_true(S_ISDIR(libremote_attr(l, libremote_lookup(l, "empty")).mode));
    assert_int_equal(libremote_lookup(l, "nothing"), 0);
    assert_int_equal(libremote_lookup(l, "d/nothing"), 0);
    assert_int_equal(libremote_requests(l, S3_KIND_LIST), 1);
    expect_news(l, "");
}

static void a_first_walk_costs_one_request_an_object_and_a_second_none(void **state)
{
    struct libremote *l = *state;
    char key[64], path[32];
    for (int i = 0; i < 50; i++) {
        snprintf(key, sizeof key, PREFIX "d%d/f%d", i % 5, i);
        membucket_store_string(l->bucket, key, "body");
    }
    libremote_mount(l);
    for (int walk = 0; walk < 2; walk++) {
        for (int i = 0; i < 50; i++) {
            snprintf(path, sizeof path, "d%d/f%d", i % 5, i);
            assert_int_not_equal(libremote_lookup(l, path), 0);
        }
        assert_int_equal(libremote_requests(l, S3_KIND_COUNT), 51);
    }
    libremote_remount(l);
    for (int i = 0; i < 50; i++) {
        snprintf(path, sizeof path, "d%d/f%d", i % 5, i);
        assert_int_not_equal(libremote_lookup(l, path), 0);
    }
    assert_int_equal(libremote_requests(l, S3_KIND_COUNT), 1);
}

static void modes_links_and_directories_come_with_metadata(void **state)
{
    struct libremote *l = *state;
    store_with(l, PREFIX "x", "#!", "33261");
    store_with(l, PREFIX "link", "x/../x", "41471");
    store_with(l, PREFIX "private/", "", "16832");
    store_with(l, PREFIX, "", "17407");
    libremote_mount(l);
    assert_int_equal(libremote_attr(l, CACHE_ROOT).mode, S_IFDIR | 01777);
    assert_int_equal(libremote_attr(l, libremote_lookup(l, "x")).mode, S_IFREG | 0755);
    assert_int_equal(libremote_attr(l, libremote_lookup(l, "private")).mode, S_IFDIR | 0700);
    uint64_t link = libremote_lookup(l, "link");
    assert_int_equal(libremote_attr(l, link).mode, S_IFLNK | 0777);
    assert_int_equal(libremote_attr(l, link).size, 6);
    struct inode *inode = inode_get(l->cache, link);
    assert_string_equal(inode->target, "x/../x");
    inode_put(l->cache, inode);
    assert_int_equal(libremote_requests(l, S3_KIND_COUNT), 5);
}

static void an_unchanged_listing_writes_nothing(void **state)
{
    struct libremote *l = *state;
    char key[64];
    for (int i = 0; i < 900; i++) {
        snprintf(key, sizeof key, PREFIX "d%d/f%d", i % 7, i);
        membucket_store_string(l->bucket, key, "body");
    }
    libremote_mount(l);
    uint64_t before = db_commits(l->cache), requests = libremote_requests(l, S3_KIND_COUNT);
    for (int i = 0; i < 3; i++)
        libremote_poll(l);
    assert_int_equal(db_commits(l->cache), before);
    assert_int_equal(libremote_requests(l, S3_KIND_COUNT), requests + 3);
    expect_news(l, "");
}

static void merging_an_unchanged_page_of_a_thousand_takes_milliseconds(void **state)
{
    struct libremote *l = *state;
    char key[64];
    for (int i = 0; i < 1000; i++) {
        snprintf(key, sizeof key, PREFIX "some/directory/file-%d", i);
        membucket_store_string(l->bucket, key, "body");
    }
    libremote_mount(l);
    int64_t start = clock_mono_ms();
    for (int i = 0; i < 20; i++)
        libremote_poll(l);
    int64_t each = (clock_mono_ms() - start) / 20;
    print_message("# %lld ms for a poll of 1,000 names\n", (long long)each);
    assert_true(each < 30); /* 3 ms are aimed at; sanitizers and a busy machine are slower */
}

static void a_new_name_appears_and_the_kernel_hears_of_it(void **state)
{
    struct libremote *l = *state;
    membucket_store_string(l->bucket, PREFIX "d/old", "1");
    libremote_mount(l);
    uint64_t d = libremote_find(l, "d");
    libremote_poll(l);
    membucket_store_string(l->bucket, PREFIX "d/new", "22");
    libremote_poll(l);
    char expected[64];
    snprintf(expected, sizeof expected, "name %llu new\n", (unsigned long long)d);
    expect_news(l, expected);
    assert_int_equal(libremote_attr(l, libremote_lookup(l, "d/new")).size, 2);
}

static void a_closed_file_that_changed_keeps_its_inode_and_gets_a_new_content(void **state)
{
    struct libremote *l = *state;
    membucket_store_string(l->bucket, PREFIX "f", "1");
    libremote_mount(l);
    uint64_t ino = libremote_lookup(l, "f");
    libremote_poll(l);
    free(libremote_news(l));
    membucket_store_string(l->bucket, PREFIX "f", "another");
    libremote_poll(l);
    char expected[64];
    snprintf(expected, sizeof expected, "content %llu\nname 1 f\n", (unsigned long long)ino);
    expect_news(l, expected);
    assert_int_equal(libremote_lookup(l, "f"), ino);
    assert_int_equal(libremote_attr(l, ino).size, 7);
}

static void an_open_file_that_changed_lives_on_and_its_name_gets_a_new_inode(void **state)
{
    struct libremote *l = *state;
    membucket_store_string(l->bucket, PREFIX "f", "1");
    libremote_mount(l);
    uint64_t ino = libremote_lookup(l, "f");
    libremote_poll(l);
    struct inode *held = inode_get(l->cache, ino);
    open_handle(l, ino, 1, 0);
    membucket_store_string(l->bucket, PREFIX "f", "another");
    libremote_poll(l);
    uint64_t now = libremote_lookup(l, "f");
    assert_int_not_equal(now, ino);
    assert_int_equal(libremote_attr(l, now).size, 7);
    assert_int_equal(libremote_attr(l, ino).size, 1);
    assert_int_equal(libremote_attr(l, ino).nlink, 0);
    open_handle(l, ino, 0, 0);
    inode_put(l->cache, held);
}

static void a_file_open_for_writing_stays_until_it_is_closed(void **state)
{
    struct libremote *l = *state;
    membucket_store_string(l->bucket, PREFIX "f", "1");
    membucket_store_string(l->bucket, PREFIX "g", "1");
    libremote_mount(l);
    uint64_t f = libremote_lookup(l, "f"), g = libremote_lookup(l, "g");
    libremote_poll(l);
    open_handle(l, f, 1, 1);
    open_handle(l, g, 1, 1);
    membucket_store_string(l->bucket, PREFIX "f", "another");
    membucket_erase(l->bucket, PREFIX "g");
    libremote_poll(l);
    assert_int_equal(libremote_lookup(l, "f"), f);
    assert_int_equal(libremote_lookup(l, "g"), g);
    assert_int_equal(libremote_attr(l, f).size, 1);
    open_handle(l, f, 0, 0);
    open_handle(l, g, 0, 0);
    libremote_poll(l);
    assert_int_equal(libremote_attr(l, libremote_lookup(l, "f")).size, 7);
    assert_int_equal(libremote_lookup(l, "g"), 0);
}

static void a_changed_mode_is_seen_and_the_bytes_stay(void **state)
{
    struct libremote *l = *state;
    membucket_store_string(l->bucket, PREFIX "f", "same");
    libremote_mount(l);
    uint64_t ino = libremote_lookup(l, "f");
    libremote_poll(l);
    struct inode *inode = inode_get(l->cache, ino);
    uint64_t content = inode->content_id;
    for (int64_t until = clock_wall_ms() + 2; clock_wall_ms() < until;)
        ; /* LastModified has milliseconds */
    store_with(l, PREFIX "f", "same", "33216");
    libremote_poll(l);
    assert_int_equal(libremote_lookup(l, "f"), ino);
    assert_int_equal(libremote_attr(l, ino).mode, S_IFREG | 0700);
    assert_int_equal(inode->content_id, content);
    inode_put(l->cache, inode);
}

static void a_file_that_became_a_link_is_another_inode(void **state)
{
    struct libremote *l = *state;
    membucket_store_string(l->bucket, PREFIX "f", "x");
    store_with(l, PREFIX "l", "here", "41471");
    libremote_mount(l);
    uint64_t f = libremote_lookup(l, "f"), link = libremote_lookup(l, "l");
    libremote_poll(l);
    store_with(l, PREFIX "f", "there", "41471");
    store_with(l, PREFIX "l", "there", "41471");
    libremote_poll(l);
    uint64_t new_f = libremote_lookup(l, "f"), new_link = libremote_lookup(l, "l");
    assert_int_not_equal(new_f, f);
    assert_int_not_equal(new_link, link);
    assert_int_equal(libremote_attr(l, new_f).mode, S_IFLNK | 0777);
    assert_int_equal(libremote_attr(l, new_link).size, 5);
}

static void a_vanished_name_goes_after_one_head(void **state)
{
    struct libremote *l = *state;
    membucket_store_string(l->bucket, PREFIX "d/f", "1");
    membucket_store_string(l->bucket, PREFIX "d/g", "1");
    libremote_mount(l);
    uint64_t d = libremote_find(l, "d"), requests = libremote_requests(l, S3_KIND_COUNT);
    membucket_erase(l->bucket, PREFIX "d/f");
    libremote_poll(l);
    assert_int_equal(libremote_find(l, "d/f"), 0);
    assert_int_equal(libremote_requests(l, S3_KIND_COUNT), requests + 2);
    char expected[64];
    snprintf(expected, sizeof expected, "name %llu f\n", (unsigned long long)d);
    expect_news(l, expected);
}

static void a_directory_without_an_object_goes_with_its_last_name(void **state)
{
    struct libremote *l = *state;
    membucket_store_string(l->bucket, PREFIX "d/e/f", "1");
    membucket_store_string(l->bucket, PREFIX "kept/f", "1");
    membucket_store_string(l->bucket, PREFIX "kept/", "");
    libremote_mount(l);
    uint64_t d = libremote_find(l, "d"), e = libremote_find(l, "d/e");
    membucket_erase(l->bucket, PREFIX "d/e/f");
    membucket_erase(l->bucket, PREFIX "kept/f");
    libremote_poll(l);
    assert_int_equal(libremote_find(l, "d"), 0);
    assert_int_not_equal(libremote_find(l, "kept"), 0);
    char expected[128];
    snprintf(expected, sizeof expected, "name %llu f\ngone %llu e\ngone 1 d\nname %llu f\n", (unsigned long long)e, (unsigned long long)d,
             (unsigned long long)libremote_find(l, "kept"));
    expect_news(l, expected);
    membucket_erase(l->bucket, PREFIX "kept/");
    libremote_poll(l);
    assert_int_equal(libremote_find(l, "kept"), 0);
}

static void a_directory_keeps_its_inode_while_its_names_change(void **state)
{
    struct libremote *l = *state;
    membucket_store_string(l->bucket, PREFIX "d/f", "1");
    libremote_mount(l);
    uint64_t d = libremote_find(l, "d");
    membucket_erase(l->bucket, PREFIX "d/f");
    membucket_store_string(l->bucket, PREFIX "d/g", "1");
    store_with(l, PREFIX "d/", "", "16832");
    libremote_poll(l);
    assert_int_equal(libremote_lookup(l, "d"), d);
    assert_int_equal(libremote_attr(l, d).mode, S_IFDIR | 0700);
    char *news = libremote_news(l);
    assert_null(strstr(news, "name 1 d\n"));
    assert_null(strstr(news, "gone"));
    free(news);
}

static void the_directory_has_the_name_and_the_object_shows_beside_it(void **state)
{
    struct libremote *l = *state;
    membucket_store_string(l->bucket, PREFIX "a", "the object");
    membucket_store_string(l->bucket, PREFIX "a/x", "1");
    libremote_mount(l);
    assert_true(S_ISDIR(libremote_attr(l, libremote_lookup(l, "a")).mode));
    assert_int_equal(libremote_attr(l, libremote_lookup(l, "a.r2fs-file")).size, 10);
    uint64_t object = libremote_find(l, "a.r2fs-file");
    libremote_poll(l);
    assert_int_equal(libremote_find(l, "a.r2fs-file"), object);
    membucket_erase(l->bucket, PREFIX "a/x");
    libremote_poll(l);
    assert_int_equal(libremote_find(l, "a"), object);
    assert_int_equal(libremote_find(l, "a.r2fs-file"), 0);
    membucket_store_string(l->bucket, PREFIX "a/y", "1");
    libremote_poll(l);
    assert_int_equal(libremote_find(l, "a.r2fs-file"), object);
    assert_int_not_equal(libremote_find(l, "a/y"), 0);
}

static void what_r2fs_keeps_for_itself_is_not_in_the_tree(void **state)
{
    struct libremote *l = *state;
    membucket_store_string(l->bucket, PREFIX ".r2fs/pack", "1");
    membucket_store_string(l->bucket, PREFIX "d/.r2fs/x", "1");
    membucket_store_string(l->bucket, PREFIX "f", "1");
    libremote_mount(l);
    assert_int_equal(libremote_lookup(l, ".r2fs"), 0);
    assert_int_equal(libremote_lookup(l, "d"), 0);
    assert_int_not_equal(libremote_lookup(l, "f"), 0);
    assert_int_equal(l->cache->blocked_names, 0);
}

static void keys_without_a_path_are_counted_once(void **state)
{
    struct libremote *l = *state;
    membucket_store_string(l->bucket, PREFIX "x//y", "1");
    membucket_store_string(l->bucket, PREFIX "x/../y", "1");
    membucket_store_string(l->bucket, PREFIX "/z", "1");
    membucket_store_string(l->bucket, PREFIX "x/f", "1");
    libremote_mount(l);
    libremote_poll(l);
    assert_int_equal(l->cache->blocked_names, 3);
    assert_int_not_equal(libremote_lookup(l, "x/f"), 0);
}

static void what_is_pending_here_wins_over_a_listing(void **state)
{
    struct libremote *l = *state;
    membucket_store_string(l->bucket, PREFIX "changed", "1");
    membucket_store_string(l->bucket, PREFIX "gone", "1");
    membucket_store_string(l->bucket, PREFIX "removed", "1");
    libremote_mount(l);
    uint64_t changed = libremote_lookup(l, "changed"), gone = libremote_lookup(l, "gone");
    libremote_poll(l);
    db_begin(l->cache);
    todo_inode_tx(l->cache, changed, false);
    todo_inode_tx(l->cache, gone, false);
    tree_remove_tx(l->cache, CACHE_ROOT, "removed", 7, false);
    todo_gone_tx(l->cache, PREFIX "removed", false);
    assert_int_equal(db_commit(l->cache), 0);
    membucket_store_string(l->bucket, PREFIX "changed", "another");
    membucket_erase(l->bucket, PREFIX "gone");
    membucket_store_string(l->bucket, PREFIX "removed", "another");
    libremote_poll(l);
    assert_int_equal(libremote_find(l, "changed"), changed);
    assert_int_equal(libremote_attr(l, changed).size, 1);
    assert_int_equal(libremote_find(l, "gone"), gone);
    assert_int_equal(libremote_find(l, "removed"), 0);
    expect_news(l, "");
}

static void one_that_was_renamed_before_anyone_looked_is_still_known_by_its_object(void **state)
{
    struct libremote *l = *state;
    store_with(l, PREFIX "f", "body", "33261");
    libremote_mount(l);
    uint64_t ino = libremote_find(l, "f");
    db_begin(l->cache);
    tree_move_tx(l->cache, CACHE_ROOT, "f", 1, CACHE_ROOT, "g", 1, false);
    todo_inode_tx(l->cache, ino, false);
    todo_gone_tx(l->cache, PREFIX "f", false);
    assert_int_equal(db_commit(l->cache), 0);
    libremote_poll(l);
    assert_int_equal(libremote_find(l, "f"), 0);
    assert_int_equal(libremote_lookup(l, "g"), ino);
    assert_int_equal(libremote_attr(l, ino).mode, S_IFREG | 0755);
    assert_int_equal(libremote_attr(l, ino).size, 4);
}

static void a_change_that_waits_here_is_not_undone_by_a_late_look(void **state)
{
    struct libremote *l = *state;
    membucket_store_string(l->bucket, PREFIX "f", "same");
    libremote_mount(l);
    uint64_t ino = libremote_lookup(l, "f");
    for (int64_t until = clock_wall_ms() + 2; clock_wall_ms() < until;)
        ;
    store_with(l, PREFIX "f", "same", "33216");
    libremote_poll(l); /* its metadata is to be looked at again */
    struct inode *inode = inode_get(l->cache, ino);
    struct inode values;
    db_begin(l->cache);
    inode_values_tx(l->cache, inode, &values);
    assert_false(values.known);
    values.mode = S_IFREG | 0640;
    values.meta_version++;
    inode_store_tx(l->cache, inode, &values, INODE_ATTR);
    todo_inode_tx(l->cache, ino, false);
    assert_int_equal(db_commit(l->cache), 0);
    inode_put(l->cache, inode);
    assert_int_equal(libremote_lookup(l, "f"), ino);
    assert_int_equal(libremote_attr(l, ino).mode, S_IFREG | 0640);
}

static struct remote row_of(struct libremote *l, const char *key)
{
    struct remote row = { 0 };
    db_begin(l->cache);
    remote_get_tx(l->cache, key, &row);
    db_commit(l->cache);
    return row;
}

static int missing_count;

static void count_missing(void *arg, const char *key)
{
    (void)arg;
    (void)key;
    missing_count++;
}

static int apply(struct libremote *l, const char *after, int64_t stamp, const char *next, size_t count, const char *const *keys)
{
    struct s3_list_entry entries[8];
    char token[8];
    struct s3_list_page page = { .entries = entries, .entry_count = count };
    for (size_t i = 0; i < count; i++)
        entries[i] = (struct s3_list_entry){ .key = keys[i], .etag = "0123456789abcdef0123456789abcdef", .size = 3, .mtime_ms = 1700000000000 };
    if (next) {
        snprintf(token, sizeof token, "%s", next);
        page.next_token = token;
    }
    struct remote_scope scope = { .prefix = PREFIX, .after = after, .stamp = stamp };
    return remote_apply_page(l->cache, &scope, &page, count_missing, NULL);
}

static void a_page_that_is_not_what_was_asked_for_changes_nothing(void **state)
{
    struct libremote *l = *state;
    libremote_mount(l);
    int64_t stamp = remote_stamp(l->cache);
    const char *const order[] = { PREFIX "b", PREFIX "a" }, *const twice[] = { PREFIX "a", PREFIX "a" };
    const char *const repeated[] = { PREFIX "a", PREFIX "b" }, *const other[] = { PREFIX "a", "other/b" };
    assert_int_equal(apply(l, "", stamp, NULL, 2, order), -EBADMSG);
    assert_int_equal(apply(l, "", stamp, NULL, 2, twice), -EBADMSG);
    assert_int_equal(apply(l, PREFIX "a", stamp, NULL, 2, repeated), -EBADMSG);
    assert_int_equal(apply(l, "", stamp, NULL, 2, other), -EBADMSG);
    assert_int_equal(libremote_find(l, "a"), 0);
    assert_int_equal(libremote_find(l, "b"), 0);
}

static void older_news_never_replaces_newer(void **state)
{
    struct libremote *l = *state;
    libremote_mount(l);
    int64_t old = remote_stamp(l->cache);
    membucket_store_string(l->bucket, PREFIX "f", "new version");
    libremote_poll(l);
    struct remote before = row_of(l, PREFIX "f");
    const char *const keys[] = { PREFIX "f" };
    assert_int_equal(apply(l, "", old, NULL, 1, keys), 0);
    struct remote after = row_of(l, PREFIX "f");
    assert_string_equal(after.etag, before.etag);
    missing_count = 0;
    assert_int_equal(apply(l, "", old, NULL, 0, keys), 0);
    assert_int_equal(missing_count, 0);
    remote_fini(&before);
    remote_fini(&after);
}

static void absence_counts_only_inside_the_pages_range(void **state)
{
    struct libremote *l = *state;
    membucket_store_string(l->bucket, PREFIX "a", "1");
    membucket_store_string(l->bucket, PREFIX "c", "1");
    membucket_store_string(l->bucket, PREFIX "e", "1");
    libremote_mount(l);
    int64_t stamp = remote_stamp(l->cache);
    const char *const one[] = { PREFIX "b" };
    missing_count = 0;
    assert_int_equal(apply(l, "", stamp, "more", 1, one), 0);
    assert_int_equal(missing_count, 1); /* a; c and e may be on the next page */
    const char *const two[] = { PREFIX "d" };
    assert_int_equal(apply(l, PREFIX "b", stamp, "more", 1, two), 0);
    assert_int_equal(missing_count, 2); /* c */
    assert_int_equal(apply(l, PREFIX "d", stamp, NULL, 0, two), 0);
    assert_int_equal(missing_count, 3); /* e, by an empty last page */
}

static void a_header_time_agrees_to_the_second_and_is_made_exact(void **state)
{
    struct libremote *l = *state;
    libremote_mount(l);
    struct s3_object object = { .size = 3, .mtime_ms = 1700000000000, .mtime_coarse = true, .etag = "0123456789abcdef0123456789abcdef" };
    db_begin(l->cache);
    remote_apply_object_tx(l->cache, PREFIX "f", &object, db_next(l->cache, DB_SEQUENCE));
    assert_int_equal(db_commit(l->cache), 0);
    uint64_t ino = libremote_find(l, "f");
    struct s3_list_entry entry = { .key = PREFIX "f", .etag = object.etag, .size = 3, .mtime_ms = 1700000000789 };
    struct s3_list_page page = { .entries = &entry, .entry_count = 1 };
    struct remote_scope scope = { .prefix = PREFIX, .after = "", .stamp = remote_stamp(l->cache) };
    free(libremote_news(l));
    assert_int_equal(remote_apply_page(l->cache, &scope, &page, NULL, NULL), 0);
    expect_news(l, "");
    struct remote row = row_of(l, PREFIX "f");
    assert_int_equal(row.mtime_ms, 1700000000789);
    assert_false(row.coarse);
    remote_fini(&row);
    assert_int_equal(libremote_find(l, "f"), ino);
}

static void what_another_client_set_on_an_object_is_remembered(void **state)
{
    struct libremote *l = *state;
    struct s3_pair pair = { .name = (char[]){ "author" }, .value = (char[]){ "me" } };
    struct s3_headers headers = { .content_type = "text/x-special", .meta = &pair, .meta_count = 1 };
    membucket_store(l->bucket, PREFIX "f", "1", 1, &headers, NULL);
    libremote_mount(l);
    struct remote row = row_of(l, PREFIX "f");
    assert_null(row.headers);
    remote_fini(&row);
    libremote_lookup(l, "f");
    row = row_of(l, PREFIX "f");
    assert_non_null(strstr(row.headers, "text/x-special"));
    assert_non_null(strstr(row.headers, "author"));
    remote_fini(&row);
}

static void what_carries_no_owner_or_mode_follows_the_options_of_each_mount(void **state)
{
    struct libremote *l = *state;
    membucket_store_string(l->bucket, PREFIX "d/plain", "1");
    store_with(l, PREFIX "d/moded", "1", "33261");
    store_with(l, PREFIX "link", "1", "41471");
    libremote_mount(l);
    uint64_t plain = libremote_lookup(l, "d/plain"), moded = libremote_lookup(l, "d/moded"), link = libremote_lookup(l, "link");
    assert_int_equal(libremote_attr(l, plain).uid, 1000);
    l->options = 77;
    libremote_remount(l);
    assert_int_equal(libremote_attr(l, plain).mode, S_IFREG | 0600);
    assert_int_equal(libremote_attr(l, plain).uid, 77);
    assert_int_equal(libremote_attr(l, moded).mode, S_IFREG | 0755);
    assert_int_equal(libremote_attr(l, moded).gid, 77);
    assert_int_equal(libremote_attr(l, link).mode, S_IFLNK | 0777);
    assert_int_equal(libremote_attr(l, libremote_find(l, "d")).mode, S_IFDIR | 0700);
    assert_int_equal(libremote_attr(l, CACHE_ROOT).mode, S_IFDIR | 0700);
    assert_int_equal(libremote_attr(l, CACHE_ROOT).uid, 77);
    assert_int_equal(libremote_lookup(l, "d/plain"), plain);
    assert_int_equal(libremote_requests(l, S3_KIND_COUNT), 1);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, libremote_set_up, libremote_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(one_listing_makes_the_whole_tree_known),
        TEST(a_first_walk_costs_one_request_an_object_and_a_second_none),
        TEST(modes_links_and_directories_come_with_metadata),
        TEST(an_unchanged_listing_writes_nothing),
        TEST(merging_an_unchanged_page_of_a_thousand_takes_milliseconds),
        TEST(a_new_name_appears_and_the_kernel_hears_of_it),
        TEST(a_closed_file_that_changed_keeps_its_inode_and_gets_a_new_content),
        TEST(an_open_file_that_changed_lives_on_and_its_name_gets_a_new_inode),
        TEST(a_file_open_for_writing_stays_until_it_is_closed),
        TEST(a_changed_mode_is_seen_and_the_bytes_stay),
        TEST(a_file_that_became_a_link_is_another_inode),
        TEST(a_vanished_name_goes_after_one_head),
        TEST(a_directory_without_an_object_goes_with_its_last_name),
        TEST(a_directory_keeps_its_inode_while_its_names_change),
        TEST(the_directory_has_the_name_and_the_object_shows_beside_it),
        TEST(what_r2fs_keeps_for_itself_is_not_in_the_tree),
        TEST(keys_without_a_path_are_counted_once),
        TEST(what_is_pending_here_wins_over_a_listing),
        TEST(one_that_was_renamed_before_anyone_looked_is_still_known_by_its_object),
        TEST(a_change_that_waits_here_is_not_undone_by_a_late_look),
        TEST(a_page_that_is_not_what_was_asked_for_changes_nothing),
        TEST(older_news_never_replaces_newer),
        TEST(absence_counts_only_inside_the_pages_range),
        TEST(a_header_time_agrees_to_the_second_and_is_made_exact),
        TEST(what_another_client_set_on_an_object_is_remembered),
        TEST(what_carries_no_owner_or_mode_follows_the_options_of_each_mount),
    };
    return cmocka_run_group_tests_name("remote", tests, NULL, NULL);
}

/* The pusher over a bucket in memory: what reaches the bucket, and with how many requests. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "test/unit/libworld.h"

static int set_up(void **state)
{
    *state = world_new();
    return 0;
}

static int tear_down(void **state)
{
    world_free(*state);
    return 0;
}

static void assert_object(struct world *w, const char *path, const char *text)
{
    char *body = world_object(w, path);
    if (!body && text)
        fail_msg("%s is not in the bucket", path);
    if (body && !text)
        fail_msg("%s is in the bucket: %s", path, body);
    if (text)
        assert_string_equal(body, text);
    free(body);
}

static void assert_content(struct world *w, const char *path, const char *text)
{
    char *body = world_read(w, path);
    if (!body && text)
        fail_msg("%s cannot be read", path);
    if (text)
        assert_string_equal(body, text);
    else
        assert_null(body);
    free(body);
}

static void test_create(void **state)
{
    struct world *w = *state;
    char path[32];
    for (int i = 0; i < 1000; i++) {
        snprintf(path, sizeof path, "file-%04d", i);
        world_write(w, path, path);
    }
    world_drain(w);
    assert_int_equal(w->counts[S3_KIND_PUT], 1000);
    assert_int_equal(world_mutations(w), 1000);
    assert_int_equal(w->counts[S3_KIND_HEAD] + w->counts[S3_KIND_GET], 0);
    assert_int_equal(world_objects(w), 1000);
    assert_object(w, "file-0999", "file-0999");
}

static void test_probe_once(void **state)
{
    struct world *w = *state;
    world_write(w, "a", "1");
    world_drain(w);
    assert_true(w->probe_counts[S3_KIND_PUT] > 0);
    world_restart(w);
    world_reset_counts(w);
    world_write(w, "b", "1");
    world_drain(w);
    assert_int_equal(w->probe_counts[S3_KIND_PUT], 0);
    assert_int_equal(w->counts[S3_KIND_PUT], 1);
}

static void test_short_life(void **state)
{
    struct world *w = *state;
    world_write(w, "a.tmp", "1");
    world_rename(w, "a.tmp", "a");
    world_write(w, "gone", "1");
    world_unlink(w, "gone");
    world_mkdir(w, "d");
    world_write(w, "d/x", "1");
    world_rename(w, "d", "e");
    world_drain(w);
    assert_int_equal(world_mutations(w), 2);
    assert_int_equal(world_objects(w), 2);
    assert_object(w, "a", "1");
    assert_object(w, "e/x", "1");
}

static void test_overwrite(void **state)
{
    struct world *w = *state;
    world_write(w, "a", "one");
    world_drain(w);
    world_reset_counts(w);
    world_write(w, "a", "two");
    world_write(w, "a", "three");
    world_drain(w);
    assert_int_equal(world_mutations(w), 1);
    assert_object(w, "a", "three");
}

static void test_delete(void **state)
{
    struct world *w = *state;
    world_write(w, "a", "one");
    world_write(w, "b", "one");
    world_drain(w);
    world_reset_counts(w);
    world_unlink(w, "a");
    world_drain(w);
    assert_object(w, "a", NULL);
    assert_int_equal(w->counts[S3_KIND_HEAD], 1);
    assert_int_equal(w->counts[S3_KIND_DELETE], 1);
    assert_int_equal(world_mutations(w), 1);
    assert_int_equal(world_objects(w), 1);
}

static void test_delete_many(void **state)
{
    struct world *w = *state;
    char path[32];
    world_mkdir(w, "d");
    for (int i = 0; i < 300; i++) {
        snprintf(path, sizeof path, "d/file-%04d", i);
        world_write(w, path, path);
    }
    world_drain(w);
    world_reset_counts(w);
    for (int i = 0; i < 300; i++) {
        snprintf(path, sizeof path, "d/file-%04d", i);
        world_unlink(w, path);
    }
    world_rmdir(w, "d");
    world_drain(w);
    assert_int_equal(world_objects(w), 0);
    assert_in_range(w->counts[S3_KIND_LIST], 1, 4);
    assert_in_range(w->counts[S3_KIND_DELETE_OBJECTS], 1, 4);
    assert_in_range(w->counts[S3_KIND_DELETE], 0, 1); /* the last one waits for what makes the directory outlive it */
}

static void test_last_of_directory(void **state)
{
    struct world *w = *state;
    world_mkdir(w, "d");
    world_write(w, "d/a", "1");
    world_drain(w);
    assert_object(w, "d/", NULL);
    world_unlink(w, "d/a");
    world_drain(w);
    assert_object(w, "d/a", NULL);
    assert_object(w, "d/", "");
    world_cold(w);
    struct cache_attr attr;
    assert_int_equal(world_lookup(w, "d", &attr), 0);
}

static void test_rename(void **state)
{
    struct world *w = *state;
    world_write(w, "a", "one");
    world_drain(w);
    world_reset_counts(w);
    world_rename(w, "a", "b");
    world_drain(w);
    assert_object(w, "a", NULL);
    assert_object(w, "b", "one");
    assert_int_equal(w->counts[S3_KIND_COPY], 1);
    assert_int_equal(w->counts[S3_KIND_HEAD], 1);
    assert_int_equal(w->counts[S3_KIND_DELETE], 1);
    assert_int_equal(world_mutations(w), 2);
    assert_content(w, "b", "one");
}

static void test_rename_and_back(void **state)
{
    struct world *w = *state;
    world_write(w, "a", "one");
    world_drain(w);
    world_reset_counts(w);
    world_rename(w, "a", "b");
    world_rename(w, "b", "a");
    world_chmod(w, "a", 0600);
    world_chmod(w, "a", 0644);
    world_drain(w);
    assert_int_equal(w->calls, 0);
    assert_object(w, "a", "one");
}

static void test_rename_over(void **state)
{
    struct world *w = *state;
    world_write(w, "a", "one");
    world_write(w, "b", "two");
    world_drain(w);
    world_reset_counts(w);
    world_rename(w, "a", "b");
    world_drain(w);
    assert_object(w, "a", NULL);
    assert_object(w, "b", "one");
    assert_int_equal(w->counts[S3_KIND_COPY], 1);
}

static void test_exchange(void **state)
{
    struct world *w = *state;
    world_write(w, "a", "one");
    world_write(w, "b", "two");
    world_drain(w);
    world_exchange(w, "a", "b");
    world_drain(w);
    assert_object(w, "a", "two");
    assert_object(w, "b", "one");
    assert_int_equal(world_objects(w), 2);
    world_cold(w);
    assert_content(w, "a", "two");
}

static void test_chain(void **state)
{
    struct world *w = *state;
    for (int i = 0; i < 6; i++) {
        char path[8], text[8];
        snprintf(path, sizeof path, "f%d", i);
        snprintf(text, sizeof text, "t%d", i);
        world_write(w, path, text);
    }
    world_drain(w);
    world_unlink(w, "f5");
    for (int i = 4; i >= 0; i--) {
        char from[8], to[8];
        snprintf(from, sizeof from, "f%d", i);
        snprintf(to, sizeof to, "f%d", i + 1);
        world_rename(w, from, to);
    }
    world_write(w, "f0", "new");
    world_drain(w);
    assert_object(w, "f0", "new");
    assert_object(w, "f1", "t0");
    assert_object(w, "f5", "t4");
    assert_int_equal(world_objects(w), 6);
}

static void test_rename_directory(void **state)
{
    struct world *w = *state;
    char path[64];
    world_mkdir(w, "d");
    world_mkdir(w, "d/sub");
    for (int i = 0; i < 200; i++) {
        snprintf(path, sizeof path, "d/%sfile-%03d", i % 2 ? "sub/" : "", i);
        world_write(w, path, path);
    }
    world_mkdir(w, "d/empty");
    world_drain(w);
    world_reset_counts(w);
    world_rename(w, "d", "e");
    world_drain(w);
    assert_int_equal(world_objects(w), 201);
    assert_object(w, "e/sub/file-199", "d/sub/file-199");
    assert_object(w, "e/empty/", "");
    assert_object(w, "d/empty/", NULL);
    assert_int_equal(w->counts[S3_KIND_COPY], 200);
    assert_int_equal(w->counts[S3_KIND_PUT], 1);
    assert_int_equal(w->counts[S3_KIND_DELETE_OBJECTS], 1);
    assert_int_equal(w->counts[S3_KIND_DELETE] + w->counts[S3_KIND_HEAD], 0);
    assert_in_range(w->counts[S3_KIND_LIST], 2, 4);
    world_cold(w);
    assert_content(w, "e/file-000", "d/file-000");
}

static void test_chmod(void **state)
{
    struct world *w = *state;
    world_write(w, "a", "one");
    world_drain(w);
    world_reset_counts(w);
    world_chmod(w, "a", 0600);
    world_drain(w);
    assert_int_equal(w->counts[S3_KIND_COPY], 1);
    assert_int_equal(world_mutations(w), 1);
    world_cold(w);
    struct cache_attr attr;
    assert_int_equal(world_lookup(w, "a", &attr), 0);
    assert_int_equal(attr.mode & 07777, 0600);
    assert_content(w, "a", "one");
}

static void test_foreign_headers(void **state)
{
    struct world *w = *state;
    struct s3_pair meta[] = { { (char *)(uintptr_t)"author", (char *)(uintptr_t)"someone" } };
    struct s3_headers headers = { .content_type = "text/x-special", .cache_control = "no-store", .meta = meta, .meta_count = 1 };
    membucket_store(w->bucket, WORLD_PREFIX "/a", "one", 3, &headers, NULL);
    world_cold(w);
    world_chmod(w, "a", 0600);
    world_drain(w);
    struct s3_object object;
    char *body = membucket_load(w->bucket, WORLD_PREFIX "/a", NULL, &object);
    assert_string_equal(body, "one");
    assert_string_equal(object.content_type, "text/x-special");
    assert_string_equal(object.cache_control, "no-store");
    assert_string_equal(s3_object_meta(&object, "author"), "someone");
    assert_string_equal(s3_object_meta(&object, "mode"), "33152");
    s3_object_fini(&object);
    free(body);
}

static void test_symlinks_and_links(void **state)
{
    struct world *w = *state;
    world_write(w, "a", "one");
    world_link(w, "a", "b");
    world_symlink(w, "l", "a");
    world_drain(w);
    assert_object(w, "a", "one");
    assert_object(w, "b", "one");
    assert_object(w, "l", "a");
    world_write(w, "b", "two");
    world_drain(w);
    assert_object(w, "a", "two");
    assert_object(w, "b", "two");
}

static void test_large(void **state)
{
    struct world *w = *state;
    const size_t size = 40u << 20;
    char *data = malloc(size + 1);
    for (size_t i = 0; i < size; i++)
        data[i] = (char)('a' + (i >> 16) % 26);
    data[size] = '\0';
    world_write_bytes(w, "big", data, size, 0);
    world_drain(w);
    assert_int_equal(w->counts[S3_KIND_CREATE_UPLOAD], 1);
    assert_int_equal(w->counts[S3_KIND_UPLOAD_PART], 5);
    assert_int_equal(w->counts[S3_KIND_COMPLETE_UPLOAD], 1);
    char *body = world_object(w, "big");
    assert_true(strcmp(body, data) == 0);
    free(body);
    /* A write in the middle sends one part; the rest is copied there. */
    world_reset_counts(w);
    memcpy(data + (20u << 20), "HELLO", 5);
    world_write_bytes(w, "big", "HELLO", 5, 20u << 20);
    world_drain(w);
    assert_int_equal(w->counts[S3_KIND_UPLOAD_PART], 1);
    assert_int_equal(w->counts[S3_KIND_UPLOAD_PART_COPY], 4);
    body = world_object(w, "big");
    assert_true(strcmp(body, data) == 0);
    free(body);
    assert_int_equal(membucket_uploads(w->bucket), 0);
    free(data);
}

static void test_large_goes(void **state)
{
    struct world *w = *state;
    const size_t size = 17u << 20;
    char *data = malloc(size);
    memset(data, 'x', size);
    world_write_bytes(w, "big", data, size, 0);
    world_drain(w);
    assert_int_equal(w->counts[S3_KIND_COMPLETE_UPLOAD], 1);
    world_unlink(w, "big");
    world_drain(w);
    assert_int_equal(world_objects(w), 0);
    assert_int_equal(world_find(w, "big"), 0);
    free(data);
}

/* A program comes in the middle of the upload. */
static int chmod_at_part(void *arg, enum s3_kind kind, const char *key, enum membucket_phase phase)
{
    struct world *w = arg;
    if (kind == S3_KIND_UPLOAD_PART && phase == MEMBUCKET_BEFORE && !w->failed && strcmp(key, WORLD_PREFIX "/big") == 0) {
        w->failed = true;
        world_chmod(w, "big", 0600);
    }
    return MEMBUCKET_GO;
}

static void test_large_chmod(void **state)
{
    struct world *w = *state;
    const size_t size = 16u << 20 | 1;
    char *data = malloc(size);
    memset(data, 'x', size);
    world_write_bytes(w, "big", data, size, 0);
    membucket_client_hook(w->client, chmod_at_part, w);
    world_drain(w);
    assert_true(w->failed);
    world_cold(w);
    struct cache_attr attr;
    assert_int_equal(world_lookup(w, "big", &attr), 0);
    assert_int_equal(attr.mode & 07777, 0600);
    free(data);
}

/* ---- what lands late, pages that lie, renames that come to nothing ---- */

static void test_rename_lost(void **state)
{
    struct world *w = *state;
    world_write(w, "a", "one");
    world_write(w, "b", "two");
    world_drain(w);
    world_cold(w);
    world_rename(w, "a", "b"); /* its bytes were never here */
    world_foreign(w, "a", "three");
    world_drain(w);
    assert_object(w, "b", "two");
    cache_expire(w->cache);
    assert_content(w, "a", "three");
    assert_content(w, "b", "two");
}

static void test_late_put(void **state)
{
    struct world *w = *state;
    world_reset_counts(w);
    world_write(w, "a", "one");
    w->fail_at = 1;
    w->fail_phase = MEMBUCKET_BEFORE;
    w->fail_action = MEMBUCKET_LATE;
    world_drain(w); /* by a second PUT */
    assert_true(w->failed);
    assert_object(w, "a", "one");
    world_unlink(w, "a");
    assert_int_not_equal(world_try_drain(w, 50), 0); /* the first one may still land */
    assert_int_equal(world_objects(w), 0);
    assert_int_equal(membucket_land(w->bucket), S3_OK);
    assert_int_equal(world_objects(w), 1);
    world_drain(w);
    assert_int_equal(world_objects(w), 0);
    assert_int_equal(world_find(w, "a"), 0);
}

static void test_lying_page(void **state)
{
    struct world *w = *state;
    char name[16];
    for (int i = 0; i < 20; i++) {
        snprintf(name, sizeof name, "f%02d", i);
        world_write(w, name, "one");
    }
    world_drain(w);
    world_reset_counts(w);
    for (int i = 0; i < 20; i++) {
        snprintf(name, sizeof name, "f%02d", i);
        world_unlink(w, name);
    }
    w->fail_at = 1; /* the listing that checks them */
    w->fail_phase = MEMBUCKET_BEFORE;
    w->fail_action = MEMBUCKET_TORN;
    world_drain(w);
    assert_true(w->failed);
    assert_int_equal(world_objects(w), 0);
}

/* ---- conflicts ---- */

static char *find_conflict(struct world *w, const char *path)
{
    char start[256];
    snprintf(start, sizeof start, WORLD_PREFIX "/%s.conflict-", path);
    for (size_t i = 0;; i++) {
        char *key = membucket_key(w->bucket, i);
        if (!key || strncmp(key, start, strlen(start)) == 0)
            return key;
        free(key);
    }
}

static void assert_conflict(struct world *w, const char *path, const char *text)
{
    char *key = find_conflict(w, path);
    if (!key)
        fail_msg("no conflict name of %s is in the bucket", path);
    char *body = membucket_load(w->bucket, key, NULL, NULL);
    assert_string_equal(body, text);
    char *here = world_read(w, key + strlen(WORLD_PREFIX) + 1);
    assert_non_null(here);
    assert_string_equal(here, text);
    free(here);
    free(body);
    free(key);
}

static void test_conflict(void **state)
{
    struct world *w = *state;
    world_write(w, "a", "base");
    world_drain(w);
    world_write(w, "a", "ours");
    world_foreign(w, "a", "theirs");
    world_drain(w);
    assert_object(w, "a", "theirs");
    assert_content(w, "a", "theirs");
    assert_conflict(w, "a", "ours");
    assert_int_equal(world_objects(w), 2);
}

static void test_conflict_new(void **state)
{
    struct world *w = *state;
    world_write(w, "a", "ours");
    world_foreign(w, "a", "theirs");
    world_drain(w);
    assert_object(w, "a", "theirs");
    assert_conflict(w, "a", "ours");
}

static void test_conflict_ours(void **state)
{
    struct world *w = *state;
    w->config.on_conflict = CACHE_OURS;
    world_restart(w);
    world_write(w, "a", "base");
    world_drain(w);
    world_write(w, "a", "ours");
    world_foreign(w, "a", "theirs");
    world_drain(w);
    assert_object(w, "a", "ours");
    assert_conflict(w, "a", "theirs");
}

static void test_conflict_same_bytes(void **state)
{
    struct world *w = *state;
    world_write(w, "a", "same");
    world_foreign(w, "a", "same");
    world_drain(w);
    assert_int_equal(world_objects(w), 1);
    assert_object(w, "a", "same");
}

static void test_deleted_there(void **state)
{
    struct world *w = *state;
    world_write(w, "a", "base");
    world_drain(w);
    world_write(w, "a", "ours");
    membucket_erase(w->bucket, WORLD_PREFIX "/a");
    world_drain(w);
    assert_object(w, "a", "ours");
}

static void test_changed_there_deleted_here(void **state)
{
    struct world *w = *state;
    world_write(w, "a", "base");
    world_drain(w);
    world_unlink(w, "a");
    world_foreign(w, "a", "theirs");
    world_drain(w);
    assert_object(w, "a", "theirs");
    assert_content(w, "a", "theirs");
}

static void test_conflict_in_git(void **state)
{
    struct world *w = *state;
    world_mkdir(w, ".git");
    world_write(w, ".git/index", "base");
    world_drain(w);
    world_write(w, ".git/index", "ours");
    world_foreign(w, ".git/index", "theirs");
    world_drain(w);
    assert_object(w, ".git/index", "theirs");
    assert_conflict(w, ".r2fs-conflicts/.git/index", "ours");
}

static void test_rename_conflict(void **state)
{
    struct world *w = *state;
    world_write(w, "a", "ours");
    world_drain(w);
    world_rename(w, "a", "b");
    world_foreign(w, "b", "theirs");
    world_drain(w);
    assert_object(w, "b", "theirs");
    assert_object(w, "a", NULL);
    assert_conflict(w, "b", "ours");
}

static void test_rename_source_changed(void **state)
{
    struct world *w = *state;
    world_write(w, "a", "ours");
    world_drain(w);
    world_rename(w, "a", "b");
    world_foreign(w, "a", "theirs");
    world_drain(w);
    assert_object(w, "b", "ours");
    assert_object(w, "a", "theirs");
    assert_content(w, "a", "theirs");
}

/* ---- endpoints ---- */

static void test_no_conditions(void **state)
{
    struct world *w = *state;
    struct membucket_config config = { .ignore_put_condition = true, .ignore_copy_condition = true, .ignore_complete_condition = true };
    membucket_configure(w->bucket, &config);
    world_write(w, "a", "base");
    world_drain(w);
    world_write(w, "a", "ours");
    world_foreign(w, "a", "theirs");
    world_drain(w);
    assert_object(w, "a", "theirs");
    assert_conflict(w, "a", "ours");
    world_rename(w, "a", "c");
    world_drain(w);
    assert_object(w, "c", "theirs");
}

static void test_delete_condition(void **state)
{
    struct world *w = *state;
    struct membucket_config config = { .honour_delete_condition = true };
    membucket_configure(w->bucket, &config);
    world_write(w, "a", "one");
    world_write(w, "b", "one");
    world_drain(w);
    world_reset_counts(w);
    world_unlink(w, "a");
    world_drain(w);
    assert_object(w, "a", NULL);
    assert_int_equal(w->counts[S3_KIND_HEAD], 0);
    world_unlink(w, "b");
    world_foreign(w, "b", "theirs");
    world_drain(w);
    assert_object(w, "b", "theirs");
    assert_content(w, "b", "theirs");
}

static void test_refused(void **state)
{
    struct world *w = *state;
    struct membucket_config config = { .mutations = S3_DENIED };
    world_write(w, "before", "1");
    world_drain(w);
    membucket_configure(w->bucket, &config);
    world_write(w, "a", "kept");
    assert_true(world_try_drain(w, 5000) < 0);
    struct cache_status status;
    memset(&status, 0, sizeof status);
    cache_get_status(w->cache, &status);
    assert_true(status.read_only_reason[0] != '\0');
    assert_int_equal(status.pending_files, 1);
    config.mutations = S3_OK;
    membucket_configure(w->bucket, &config);
    world_drain(w);
    assert_object(w, "a", "kept");
    memset(&status, 0, sizeof status);
    cache_get_status(w->cache, &status);
    assert_string_equal(status.read_only_reason, "");
}

static void test_survives_restart(void **state)
{
    struct world *w = *state;
    world_write(w, "a", "one");
    world_mkdir(w, "d");
    world_rename(w, "a", "d/b");
    world_restart(w);
    world_drain(w);
    assert_object(w, "d/b", "one");
    world_rename(w, "d", "e");
    world_crash(w);
    world_drain(w);
    assert_object(w, "e/b", "one");
    assert_object(w, "d/b", NULL);
}

#define TEST(title, function) { title, function, set_up, tear_down, NULL }

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST("1,000 new files are 1,000 PUTs", test_create),
        TEST("what the endpoint honours is probed once", test_probe_once),
        TEST("what lives shorter than the delay never reaches the bucket", test_short_life),
        TEST("two overwrites are one PUT", test_overwrite),
        TEST("a delete is a check and a DELETE", test_delete),
        TEST("many deletes of a directory are a listing and a DeleteObjects", test_delete_many),
        TEST("a directory outlives its last file", test_last_of_directory),
        TEST("a rename is a copy, a check and a delete", test_rename),
        TEST("a rename and back, and a chmod and back, cost nothing", test_rename_and_back),
        TEST("a rename over a file leaves one object", test_rename_over),
        TEST("two files change places", test_exchange),
        TEST("a chain of renames moves each version one on", test_chain),
        TEST("a renamed directory is copied, proved and deleted in slices", test_rename_directory),
        TEST("a chmod is one copy onto itself", test_chmod),
        TEST("a chmod keeps what another client set", test_foreign_headers),
        TEST("symlinks and hard links", test_symlinks_and_links),
        TEST("a large file goes in parts, unchanged ones are copied", test_large),
        TEST("a file that was sent in parts can be removed", test_large_goes),
        TEST("a chmod while parts are being sent is sent after them", test_large_chmod),
        TEST("a PUT that lands after a second one and a delete is deleted too", test_late_put),
        TEST("a rename whose bytes another client replaced leaves what it was to replace", test_rename_lost),
        TEST("a delete is not dropped because a page lacks its object", test_lying_page),
        TEST("a conflict keeps both versions, theirs under the name", test_conflict),
        TEST("a conflict of new files keeps both", test_conflict_new),
        TEST("on-conflict=ours keeps theirs under a conflict name", test_conflict_ours),
        TEST("equal bytes are no conflict", test_conflict_same_bytes),
        TEST("deleted there and edited here: ours is put back", test_deleted_there),
        TEST("changed there and deleted here: theirs stays", test_changed_there_deleted_here),
        TEST("a conflict below .git goes to .r2fs-conflicts", test_conflict_in_git),
        TEST("a rename onto another client's new file keeps both", test_rename_conflict),
        TEST("a rename whose source changed there keeps both", test_rename_source_changed),
        TEST("an endpoint without conditions is looked at first", test_no_conditions),
        TEST("an endpoint with a conditional DELETE needs no check", test_delete_condition),
        TEST("a refusal makes the mount read-only until it heals", test_refused),
        TEST("what is pending survives a restart and a crash", test_survives_restart),
    };
    cmocka_set_test_filter(getenv("PUSH_ONLY")); /* NULL: all */
    return cmocka_run_group_tests_name("push", tests, NULL, NULL);
}

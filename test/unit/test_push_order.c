/* When the pusher sends what, after what, and what it waits for; and machines that are two. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "cache/db.h"
#include "cache/push_state.h"
#include "s3/base/clock.h"
#include "test/unit/libcache.h"
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

/* Long enough for what may go to have gone. */
static void let_go(struct world *w)
{
    world_try_drain(w, 300);
}

/* ---- promise 8 ---- */

static void test_overwrite_waits(void **state)
{
    struct world *w = *state;
    world_write(w, "ref", "old");
    world_drain(w);
    world_write(w, "object-1", "1");
    world_write(w, "object-2", "2");
    world_write(w, "ref", "new");
    world_hold(w, "object-1", S3_THROTTLED);
    let_go(w);
    assert_object(w, "object-2", "2");
    assert_object(w, "ref", "old");
    world_hold(w, NULL, S3_OK);
    world_drain(w);
    assert_object(w, "ref", "new");
}

static void test_later_create(void **state)
{
    struct world *w = *state;
    world_write(w, "ref", "old");
    world_drain(w);
    world_write(w, "ref", "new");
    world_write(w, "later", "1");
    world_hold(w, "later", S3_THROTTLED);
    let_go(w);
    assert_object(w, "ref", "new");
    world_hold(w, NULL, S3_OK);
    world_drain(w);
}

static void test_delete_waits(void **state)
{
    struct world *w = *state;
    world_write(w, "a", "1");
    world_write(w, "b", "1");
    world_drain(w);
    world_write(w, "b", "2");
    world_unlink(w, "a");
    world_hold(w, "b", S3_THROTTLED);
    let_go(w);
    assert_object(w, "a", "1");
    world_hold(w, NULL, S3_OK);
    world_drain(w);
    assert_object(w, "a", NULL);
    assert_object(w, "b", "2");
}

static void test_publish(void **state)
{
    struct world *w = *state;
    world_write(w, "object", "1");
    world_write(w, "ref.lock", "1");
    world_rename(w, "ref.lock", "ref");
    world_write(w, "other.tmp", "1");
    world_rename(w, "other.tmp", "other");
    world_hold(w, "object", S3_THROTTLED);
    let_go(w);
    assert_object(w, "other", "1");
    assert_object(w, "ref", NULL);
    world_hold(w, NULL, S3_OK);
    world_drain(w);
    assert_object(w, "ref", "1");
}

/* A program comes between the pusher's look at a file and its PUT. */
static int publish_at_head(void *arg, enum s3_kind kind, const char *key, enum membucket_phase phase)
{
    struct world *w = arg;
    if (kind == S3_KIND_HEAD && phase == MEMBUCKET_BEFORE && !world_failed(w) && strcmp(key, WORLD_PREFIX "/index.lock") == 0) {
        lock_take(&w->lock);
        w->failed = true;
        lock_drop(&w->lock);
        world_write(w, "object", "1");
        world_write(w, "index.lock", "new");
        world_rename(w, "index.lock", "index");
    }
    return phase == MEMBUCKET_BEFORE && kind == S3_KIND_PUT && strcmp(key, WORLD_PREFIX "/object") == 0 && !atomic_load(&w->cache->stopping) && w->held
               ? S3_THROTTLED : MEMBUCKET_GO;
}

static void test_publish_late(void **state)
{
    struct world *w = *state;
    struct membucket_config config = { .ignore_put_condition = true }; /* so that a HEAD goes before each PUT */
    membucket_configure(w->bucket, &config);
    world_write(w, "index", "old");
    world_drain(w);
    world_reset_counts(w);
    world_hold(w, "object", S3_THROTTLED);
    world_write(w, "index.lock", "");
    membucket_client_hook(w->client, publish_at_head, w);
    let_go(w);
    let_go(w);
    assert_true(world_failed(w));
    assert_object(w, "index", "old");
    world_hold(w, NULL, S3_OK);
    world_drain(w);
    assert_object(w, "index", "new");
    assert_object(w, "object", "1");
}

static void test_link_is_a_create(void **state)
{
    struct world *w = *state;
    world_write(w, "tmp", "1");
    world_write(w, "ref", "old");
    world_drain(w);
    world_link(w, "tmp", "object");
    world_write(w, "ref", "new");
    world_hold(w, "object", S3_THROTTLED);
    let_go(w);
    assert_object(w, "ref", "old");
    world_hold(w, NULL, S3_OK);
    world_drain(w);
    assert_object(w, "ref", "new");
    assert_object(w, "object", "1");
}

static void test_refused_gives_way(void **state)
{
    struct world *w = *state;
    world_write(w, "ref", "old");
    world_drain(w);
    world_write(w, "bad", "1");
    world_write(w, "ref", "new");
    world_hold(w, "bad", S3_INVALID);
    assert_int_equal(world_try_drain(w, 5000), -EIO);
    assert_object(w, "ref", "new");
    world_hold(w, NULL, S3_OK);
    world_drain(w);
    assert_object(w, "bad", "1");
}

static void test_rename_protects(void **state)
{
    struct world *w = *state;
    world_write(w, "a", "1");
    world_write(w, "b", "2");
    world_drain(w);
    world_rename(w, "a", "c");
    world_rename(w, "b", "a");
    world_hold(w, "c", S3_THROTTLED);
    let_go(w);
    assert_object(w, "a", "1"); /* the only copy of what is now c */
    world_hold(w, NULL, S3_OK);
    world_drain(w);
    assert_object(w, "c", "1");
    assert_object(w, "a", "2");
    assert_object(w, "b", NULL);
}

static void test_journal(void **state)
{
    struct world *w = *state;
    world_write(w, "x.db", "old");
    world_drain(w);
    static const char magic[] = "\xd9\xd5\x05\xf9\x20\xa1\x63\xd7 pages";
    world_write_bytes(w, "x.db-journal", magic, sizeof magic - 1, 0);
    world_write(w, "x.db", "half");
    let_go(w);
    assert_object(w, "x.db", "old");
    world_write(w, "x.db", "whole");
    world_unlink(w, "x.db-journal");
    world_drain(w);
    assert_object(w, "x.db", "whole");
    assert_object(w, "x.db-journal", NULL);
}

/* ---- when ---- */

static void test_write_back(void **state)
{
    struct world *w = *state;
    w->config.write_back_ms = 300;
    world_restart(w);
    world_write(w, "first", "1"); /* with it go the probes */
    world_drain(w);
    int64_t began = clock_mono_ms();
    world_write(w, "a", "1");
    assert_true(world_appears(w, "a", "1", 5000));
    int64_t took = clock_mono_ms() - began;
    assert_true(took >= 300);
    assert_true(took < 1300);
}

static void test_never_quiet(void **state)
{
    struct world *w = *state;
    w->config.write_back_ms = 200;
    w->config.dirty_age_max_ms = 500;
    world_restart(w);
    struct cache_file *file = world_open(w, "log", O_RDWR);
    int64_t began = clock_mono_ms();
    bool arrived = false;
    for (uint64_t at = 0; !arrived && clock_mono_ms() - began < 10000; at++) {
        world_write_open(w, file, "x", 1, at);
        char *body = world_object(w, "log");
        arrived = body && strlen(body) > 0;
        free(body);
        usleep(5000);
    }
    assert_true(arrived);
    world_close(w, file);
    world_drain(w);
}

static void test_pace(void **state)
{
    struct world *w = *state;
    struct membucket_config config = { .write_interval_ms = 990 };
    world_write(w, "probes", "1");
    world_drain(w);
    w->cache->push->pace.key_ms = PUSH_KEY_INTERVAL_MS;
    membucket_configure(w->bucket, &config);
    world_write(w, "a", "1");
    world_drain(w);
    world_write(w, "a", "2");
    world_drain(w);
    assert_object(w, "a", "2");
    size_t count;
    struct membucket_event *events = membucket_journal(w->bucket, &count);
    for (size_t i = 0; i < count; i++)
        assert_int_not_equal(events[i].outcome, S3_THROTTLED);
    membucket_events_free(events, count);
}

static void test_kick(void **state)
{
    struct world *w = *state;
    world_write(w, "a", "1");
    cache_expire(w->cache);
    assert_true(world_appears(w, "a", "1", 5000));
}

static void test_offline(void **state)
{
    struct world *w = *state;
    struct membucket_config config = { .all = S3_UNREACHABLE };
    w->config.write_back_ms = 100;
    world_restart(w);
    membucket_configure(w->bucket, &config);
    world_write(w, "a", "1");
    world_write(w, "b", "1");
    assert_int_equal(world_try_drain(w, 300), -ETIMEDOUT);
    config.all = S3_OK;
    membucket_configure(w->bucket, &config);
    assert_true(world_appears(w, "a", "1", 5000));
    assert_true(world_appears(w, "b", "1", 5000));
}

static void test_drain_part(void **state)
{
    struct world *w = *state;
    unsigned conflicts;
    world_mkdir(w, "d");
    world_write(w, "d/a", "1");
    world_write(w, "stuck", "1");
    world_hold(w, "stuck", S3_THROTTLED);
    assert_int_equal(cache_drain(w->cache, world_find(w, "d"), 5000, NULL, NULL, &conflicts), 0);
    assert_object(w, "d/a", "1");
    assert_int_equal(world_try_drain(w, 200), -ETIMEDOUT);
    world_hold(w, NULL, S3_OK);
}

static void test_fsync_remote(void **state)
{
    struct world *w = *state;
    w->config.fsync_remote = true;
    world_restart(w);
    world_write(w, "a", "1");
    assert_int_equal(world_fsync(w, "a"), 0);
    assert_object(w, "a", "1");
    world_write(w, "a", "2");
    world_foreign(w, "a", "theirs");
    struct cache_file *file = world_open(w, "a", O_RDWR);
    uint64_t ino = cache_file_ino(file);
    assert_int_equal(world_fsync_ino(w, ino), -ESTALE); /* the inode that lost, whatever its name is now */
    assert_int_equal(world_fsync_ino(w, ino), 0);
    world_close(w, file);
}

/* ---- late and lost ---- */

static void test_late_delete(void **state)
{
    struct world *w = *state;
    world_write(w, "a", "1");
    world_drain(w);
    world_reset_counts(w);
    world_unlink(w, "a");
    w->fail_at = 2; /* the HEAD is the first */
    w->fail_phase = MEMBUCKET_BEFORE;
    w->fail_action = MEMBUCKET_LATE;
    int64_t until = clock_mono_ms() + 5000;
    while (!world_failed(w) && clock_mono_ms() < until)
        world_try_drain(w, 20);
    assert_true(world_failed(w));
    world_write(w, "a", "2");
    usleep(50000);
    membucket_land(w->bucket);
    world_drain(w);
    assert_object(w, "a", "2");
}

static void test_resumed_upload(void **state)
{
    struct world *w = *state;
    const size_t size = 40u << 20;
    char *data = malloc(size);
    memset(data, 'x', size);
    world_write_bytes(w, "big", data, size, 0);
    free(data);
    world_reset_counts(w);
    w->fail_at = 6; /* Create, five parts: before the last of them */
    w->fail_phase = MEMBUCKET_BEFORE;
    w->fail_action = S3_THROTTLED;
    world_hold(w, NULL, S3_OK);
    int64_t until = clock_mono_ms() + 10000;
    while (!world_failed(w) && clock_mono_ms() < until)
        world_try_drain(w, 20);
    assert_true(world_failed(w));
    world_restart(w);
    world_drain(w);
    assert_int_equal(w->counts[S3_KIND_CREATE_UPLOAD], 1);
    assert_int_equal(w->counts[S3_KIND_COMPLETE_UPLOAD], 1);
    assert_in_range(w->counts[S3_KIND_UPLOAD_PART], 5, 9); /* from the start again it were ten */
    char *body = world_object(w, "big");
    assert_int_equal(strlen(body), size);
    free(body);
}

/* ---- two of us ---- */

/* A second machine with a copy of this one's cache. */
static struct world *twin_of(struct world *w)
{
    struct world *twin = calloc(1, sizeof *twin);
    lock_init(&twin->lock, LOCK_LOG);
    twin->bucket = w->bucket;
    twin->config = w->config;
    db_begin(w->cache);
    twin->folder = libcache_copy(w->folder);
    db_rollback(w->cache);
    world_mount(twin);
    return twin;
}

static void free_twin(struct world *twin)
{
    world_unmount(twin);
    libcache_remove(twin->folder);
    lock_fini(&twin->lock);
    free(twin);
}

static bool holds_body(struct world *w, const char *text)
{
    bool found = false;
    for (size_t i = 0; !found; i++) {
        char *key = membucket_key(w->bucket, i);
        if (!key)
            break;
        char *body = membucket_load(w->bucket, key, NULL, NULL);
        found = body && strcmp(body, text) == 0;
        free(body);
        free(key);
    }
    return found;
}

static void test_twins(void **state)
{
    struct world *w = *state;
    world_write(w, "a", "base");
    world_drain(w);
    world_write(w, "b", "queued");
    struct world *twin = twin_of(w);
    world_write(w, "a", "one");
    world_write(twin, "a", "two");
    cache_resumed(w->cache);
    cache_resumed(twin->cache);
    world_drain(w);
    world_drain(twin);
    assert_true(holds_body(w, "one"));
    assert_true(holds_body(w, "two"));
    assert_object(w, "b", "queued");
    assert_int_equal(world_objects(w), 3);
    free_twin(twin);
    assert_int_equal(membucket_overlaps(w->bucket), 0);
}

static void test_twin_uploads(void **state)
{
    struct world *w = *state;
    const size_t size = 20u << 20;
    char *data = malloc(size);
    memset(data, 'x', size);
    world_write_bytes(w, "big", data, size, 0);
    world_reset_counts(w);
    w->fail_at = 3;
    w->fail_phase = MEMBUCKET_BEFORE;
    w->fail_action = S3_THROTTLED;
    int64_t until = clock_mono_ms() + 10000;
    while (!world_failed(w) && clock_mono_ms() < until)
        world_try_drain(w, 20);
    struct world *twin = twin_of(w);
    data[0] = 'y';
    world_write_bytes(twin, "big", data, size, 0);
    world_drain(twin);
    world_drain(w);
    /* Neither is torn, and both are there. */
    size_t whole = 0;
    for (size_t i = 0;; i++) {
        char *key = membucket_key(w->bucket, i);
        if (!key)
            break;
        char *body = strstr(key, "/big") ? membucket_load(w->bucket, key, NULL, NULL) : NULL;
        if (body) {
            assert_int_equal(strlen(body), size);
            assert_int_equal(strspn(body + 1, "x"), size - 1);
            whole += body[0] == 'x' ? 1 : 16;
        }
        free(body);
        free(key);
    }
    assert_int_equal(whole, 17);
    free_twin(twin);
    free(data);
}

#define TEST(title, function) { title, function, set_up, tear_down, NULL }

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST("an overwrite waits for each earlier create", test_overwrite_waits),
        TEST("an overwrite waits for no later create", test_later_create),
        TEST("a delete waits for each earlier overwrite", test_delete_waits),
        TEST("a rename of X.lock onto X is ordered like an overwrite", test_publish),
        TEST("a create that a rename makes an overwrite, while it is being sent, waits", test_publish_late),
        TEST("a second name for a file that is there is a create", test_link_is_a_create),
        TEST("a key that is refused for good holds back nobody", test_refused_gives_way),
        TEST("the only source of a renamed file is not put over", test_rename_protects),
        TEST("a database waits while its journal is hot", test_journal),
        TEST("a closed file is sent after the delay", test_write_back),
        TEST("a file that is never quiet still arrives", test_never_quiet),
        TEST("one key is written once a second", test_pace),
        TEST("a kick sends everything now", test_kick),
        TEST("an outage ends with everything sent", test_offline),
        TEST("a directory is drained without the rest", test_drain_part),
        TEST("fsync=remote waits, and tells of a conflict once", test_fsync_remote),
        TEST("a DELETE that lands late does not take the new file along", test_late_delete),
        TEST("an upload goes on after a restart", test_resumed_upload),
        TEST("two machines with one memory keep both versions", test_twins),
        TEST("two machines do not complete each other's upload", test_twin_uploads),
    };
    cmocka_set_test_filter(getenv("PUSH_ONLY")); /* NULL: all */
    return cmocka_run_group_tests_name("push: order, time and twins", tests, NULL, NULL);
}

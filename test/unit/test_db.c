#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "cache/db.h"
#include "cache/io.h"
#include "cache/spool.h"
#include "test/unit/libcache.h"

static int setup(void **state)
{
    *state = libcache_folder();
    return 0;
}

static int teardown(void **state)
{
    libcache_remove(*state);
    return 0;
}

static void what_is_committed_is_there_after_a_restart(void **state)
{
    struct cache *cache = libcache_open(*state);
    db_begin(cache);
    db_setting_set(cache, "x", "y");
    assert_int_equal(db_commit(cache), 0);
    libcache_close(cache);
    cache = libcache_open(*state);
    db_begin(cache);
    char *value = db_setting_get(cache, "x");
    assert_int_equal(db_commit(cache), 0);
    assert_string_equal(value, "y");
    free(value);
    libcache_close(cache);
}

static void a_transaction_that_only_reads_is_no_commit(void **state)
{
    struct cache *cache = libcache_open(*state);
    uint64_t before = db_commits(cache);
    db_begin(cache);
    free(db_setting_get(cache, "x"));
    assert_int_equal(db_commit(cache), 0);
    assert_int_equal(db_commits(cache), before);
    libcache_close(cache);
}

static bool settled, after_ran, outcome;

static void on_settle(struct cache *cache, void *arg, bool committed)
{
    (void)cache;
    (void)arg;
    settled = true;
    outcome = committed;
}

static void on_after(struct cache *cache, void *arg, bool committed)
{
    (void)arg;
    assert_true(settled);
    assert_int_equal(committed, outcome);
    after_ran = true;
    /* The lock is free again. */
    db_begin(cache);
    db_rollback(cache);
}

static void a_failure_inside_undoes_the_transaction_and_tells_both_callbacks(void **state)
{
    struct cache *cache = libcache_open(*state);
    settled = after_ran = false;
    outcome = true;
    db_begin(cache);
    db_setting_set(cache, "x", "1");
    db_settle(cache, on_settle, NULL);
    db_after(cache, on_after, NULL);
    db_fail(cache, -ENOMEM);
    db_fail(cache, -EIO);
    assert_int_equal(db_commit(cache), -ENOMEM);
    assert_true(after_ran);
    assert_false(outcome);
    db_begin(cache);
    assert_null(db_setting_get(cache, "x"));
    assert_int_equal(db_commit(cache), 0);
    libcache_close(cache);
}

static void numbers_are_not_given_out_twice(void **state)
{
    struct cache *cache = libcache_open(*state);
    int64_t last = 0;
    for (int i = 0; i < 10000; i++) {
        db_begin(cache);
        int64_t next = db_next(cache, DB_INO);
        assert_true(next > last);
        last = next;
        if (i % 7 == 0)
            db_rollback(cache);
        else
            assert_int_equal(db_commit(cache), 0);
    }
    /* As a killed process leaves it, and as a clean end does. */
    char *copy = libcache_copy(*state);
    libcache_close(cache);
    const char *folders[] = { copy, *state };
    for (int i = 0; i < 2; i++) {
        cache = libcache_open(folders[i]);
        db_begin(cache);
        assert_true(db_next(cache, DB_INO) > last);
        assert_int_equal(db_commit(cache), 0);
        libcache_close(cache);
    }
    libcache_remove(copy);
}

static void a_clean_end_and_a_kill_are_told_apart(void **state)
{
    struct cache *cache = libcache_open(*state);
    assert_int_equal(db_left(cache), DB_LEFT_CLEAN);
    int64_t epoch = db_epoch(cache);
    char *copy = libcache_copy(*state);
    libcache_close(cache);
    cache = libcache_open(*state);
    assert_int_equal(db_left(cache), DB_LEFT_CLEAN);
    assert_int_equal(db_epoch(cache), epoch);
    libcache_close(cache);
    cache = libcache_open(copy);
    assert_int_equal(db_left(cache), DB_LEFT_KILLED);
    assert_int_equal(db_epoch(cache), epoch + 1);
    libcache_close(cache);
    libcache_remove(copy);
}

static void a_reboot_is_noticed(void **state)
{
    struct cache *cache = libcache_open(*state);
    db_begin(cache);
    db_setting_set(cache, "boot", "another");
    assert_int_equal(db_commit(cache), 0);
    libcache_close(cache);
    cache = libcache_open(*state);
    assert_int_equal(db_left(cache), DB_LEFT_BY_REBOOT);
    libcache_close(cache);
}

static void the_spool_has_one_owner(void **state)
{
    struct cache *cache = libcache_open(*state);
    struct cache second = { .config = cache->config };
    char why[512];
    assert_int_equal(spool_open(&second, why, sizeof why), -EBUSY);
    assert_non_null(strstr(why, "in use by process"));
    libcache_close(cache);
}

static void the_spool_is_closed_to_others(void **state)
{
    struct cache *cache = libcache_open(*state);
    struct stat st;
    assert_int_equal(stat(cache->spool, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0700);
    char *path = strdup(cache->spool);
    struct cache second = { .config = cache->config };
    second.config.cache_dir = *state;
    libcache_close(cache);
    assert_int_equal(chmod(path, 0755), 0);
    char why[512];
    assert_int_equal(spool_open(&second, why, sizeof why), -EACCES);
    assert_non_null(strstr(why, "700"));
    free(path);
}

static void an_index_of_another_bucket_is_refused(void **state)
{
    struct cache *cache = libcache_open(*state);
    db_begin(cache);
    db_setting_set(cache, "identity", "http://other\nbucket\na/b");
    assert_int_equal(db_commit(cache), 0);
    struct cache second = { .config = cache->config };
    second.config.cache_dir = *state;
    libcache_close(cache);
    lock_init(&second.news_lock, LOCK_LOG);
    char why[512];
    assert_int_equal(spool_open(&second, why, sizeof why), 0);
    assert_int_equal(db_open(&second, why, sizeof why), -EUCLEAN);
    assert_non_null(strstr(why, "another bucket"));
    spool_close(&second);
    lock_fini(&second.news_lock);
}

static void a_damaged_or_newer_index_is_refused_with_a_reason(void **state)
{
    struct cache *cache = libcache_open(*state);
    struct cache second = { .config = cache->config };
    second.config.cache_dir = *state;
    db_begin(cache);
    db_run(cache, "PRAGMA user_version=99", NULL);
    assert_int_equal(db_commit(cache), 0);
    char path[4096];
    snprintf(path, sizeof path, "%s/index.db", cache->spool);
    libcache_close(cache);
    lock_init(&second.news_lock, LOCK_LOG);
    for (int damaged = 0; damaged < 2; damaged++) {
        if (damaged)
            assert_int_equal(truncate(path, 100), 0);
        char why[512];
        assert_int_equal(spool_open(&second, why, sizeof why), 0);
        assert_int_equal(db_open(&second, why, sizeof why), -EUCLEAN);
        assert_non_null(strstr(why, damaged ? "damaged" : "newer"));
        spool_close(&second);
    }
    lock_fini(&second.news_lock);
}

#define THREADS 8

static pthread_barrier_t barrier;

static void *commit_and_sync(void *arg)
{
    struct cache *cache = arg;
    for (int i = 0; i < 50; i++) {
        db_begin(cache);
        db_next(cache, DB_INO);
        db_run(cache, "INSERT OR REPLACE INTO setting(name, value) VALUES('t', ?)", "i", (int64_t)i);
        if (db_commit(cache))
            return cache;
        pthread_barrier_wait(&barrier);
        if (db_sync(cache))
            return cache;
    }
    return NULL;
}

static void those_who_sync_at_once_share_a_sync(void **state)
{
    struct cache *cache = libcache_open(*state);
    uint64_t before = db_syncs(cache);
    pthread_t threads[THREADS];
    pthread_barrier_init(&barrier, NULL, THREADS);
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, commit_and_sync, cache), 0);
    for (int i = 0; i < THREADS; i++) {
        void *failed = NULL;
        pthread_join(threads[i], &failed);
        assert_null(failed);
    }
    pthread_barrier_destroy(&barrier);
    assert_in_range(db_syncs(cache) - before, 50, 50 * 2);
    /* Nothing new: nothing to sync. */
    before = db_syncs(cache);
    assert_int_equal(db_sync(cache), 0);
    assert_int_equal(db_syncs(cache), before);
    libcache_close(cache);
}

static int fail_sync(void *arg, const struct io_event *event)
{
    (void)arg;
    return event->op == IO_SYNC ? -EIO : 0;
}

static void a_failed_sync_is_not_forgotten(void **state)
{
    struct cache *cache = libcache_open(*state);
    db_begin(cache);
    db_setting_set(cache, "x", "1");
    assert_int_equal(db_commit(cache), 0);
    io_set_hook(fail_sync, NULL);
    assert_int_equal(db_sync(cache), -EIO);
    io_set_hook(NULL, NULL);
    assert_int_equal(db_sync(cache), -EIO);
    libcache_close(cache);
}

static void a_query_inside_a_query_of_the_same_text_has_a_statement_of_its_own(void **state)
{
    struct cache *cache = libcache_open(*state);
    static const char sql[] = "SELECT value FROM (SELECT 1 AS value UNION ALL SELECT 2) WHERE value >= ?";
    db_begin(cache);
    sqlite3_stmt *outer = db_query(cache, sql, "i", (int64_t)1);
    int pairs = 0;
    while (db_step(cache, outer)) {
        sqlite3_stmt *inner = db_query(cache, sql, "i", (int64_t)1);
        assert_ptr_not_equal(outer, inner);
        while (db_step(cache, inner))
            pairs++;
    }
    assert_int_equal(pairs, 4);
    assert_int_equal(db_commit(cache), 0);
    libcache_close(cache);
}

static void the_wal_does_not_grow_for_ever(void **state)
{
    struct cache *cache = libcache_open(*state);
    char *value = calloc(1, 65537), path[4096];
    memset(value, 'x', 65536);
    snprintf(path, sizeof path, "%s/index.db-wal", cache->spool);
    for (int i = 0; i < 1200; i++) {
        db_begin(cache);
        value[0] = (char)('a' + i % 20);
        db_setting_set(cache, "big", value);
        assert_int_equal(db_commit(cache), 0);
    }
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    assert_in_range(st.st_size, 1, 68 << 20);
    free(value);
    libcache_close(cache);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(what_is_committed_is_there_after_a_restart),
        TEST(a_transaction_that_only_reads_is_no_commit),
        TEST(a_failure_inside_undoes_the_transaction_and_tells_both_callbacks),
        TEST(numbers_are_not_given_out_twice),
        TEST(a_clean_end_and_a_kill_are_told_apart),
        TEST(a_reboot_is_noticed),
        TEST(the_spool_has_one_owner),
        TEST(the_spool_is_closed_to_others),
        TEST(an_index_of_another_bucket_is_refused),
        TEST(a_damaged_or_newer_index_is_refused_with_a_reason),
        TEST(those_who_sync_at_once_share_a_sync),
        TEST(a_failed_sync_is_not_forgotten),
        TEST(a_query_inside_a_query_of_the_same_text_has_a_statement_of_its_own),
        TEST(the_wal_does_not_grow_for_ever),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

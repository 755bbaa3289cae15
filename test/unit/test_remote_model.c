/* Another client does random things to a few awkward keys; after a poll the tree is what the bucket says, whatever came before. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cache/db.h"
#include "cache/dir.h"
#include "cache/name.h"
#include "test/unit/libremote.h"

static const char *const keys[] = {
    "a", "a/", "a/b", "a/b/c", "a/b/c/d", "a/b-c", "a-b", "a.b", "a0", "b/c", "b/", "c", "c/d/", "c/d/e", "c/.r2fs/x", "c//x", ".r2fs/y",
};
#define KEYS (sizeof keys / sizeof keys[0])

/* So many of them in a tree that is listed by directory: a directory with nothing to show is there until it is listed itself. */
#define KEYS_BY_DIRECTORY 14
static unsigned keys_used;

static uint64_t state_of_random;

static unsigned draw(unsigned limit)
{
    state_of_random = state_of_random * 6364136223846793005u + 1442695040888963407u;
    return (unsigned)(state_of_random >> 33) % limit;
}

static void full_key(char *key, size_t size, const char *relative)
{
    snprintf(key, size, PREFIX "%s", relative);
}

static void change(struct libremote *l)
{
    char key[64], body[16];
    usleep(2000); /* LastModified has milliseconds, and tells two versions with the same bytes apart */
    const char *relative = keys[draw(keys_used)];
    full_key(key, sizeof key, relative);
    if (draw(2)) {
        membucket_erase(l->bucket, key);
        return;
    }
    static const char *const modes[] = { "33188", "33261", "41471", "16832" };
    bool directory = relative[strlen(relative) - 1] == '/';
    struct s3_pair pair = { .name = (char[]){ "mode" }, .value = (char *)(uintptr_t)modes[directory ? 3 : draw(3)] };
    struct s3_headers headers = { .meta = &pair, .meta_count = draw(2) };
    snprintf(body, sizeof body, "%.*s", directory ? 0 : (int)draw(9) + 1, "abcdefghijk");
    membucket_store(l->bucket, key, body, strlen(body), &headers, NULL);
}

static bool is_shown(const char *relative)
{
    return relative[0] && name_check_key(relative) == NAME_OK;
}

/* Is there a key below this directory that shows, or its own object? */
static bool is_directory(struct libremote *l, const char *path)
{
    size_t length = strlen(path);
    for (size_t i = 0; i < KEYS; i++) {
        char key[64];
        full_key(key, sizeof key, keys[i]);
        if (is_shown(keys[i]) && strncmp(keys[i], path, length) == 0 && keys[i][length] == '/' && membucket_has(l->bucket, key))
            return true;
    }
    return false;
}

static void check_key(struct libremote *l, const char *relative)
{
    char key[64], path[80];
    struct s3_object object;
    full_key(key, sizeof key, relative);
    snprintf(path, sizeof path, "%s", relative);
    size_t length = strlen(path);
    bool directory = path[length - 1] == '/';
    if (directory)
        path[length - 1] = '\0';
    bool there = membucket_has(l->bucket, key) && is_shown(relative);
    if (!directory && is_directory(l, path))
        snprintf(path + length, sizeof path - length, ".r2fs-file");
    uint64_t ino = libremote_lookup(l, path);
    if (directory) {
        assert_int_equal(ino != 0, is_directory(l, path) || membucket_has(l->bucket, (full_key(key, sizeof key, path), key)));
        return;
    }
    if ((ino != 0) != there)
        print_message("# %s shows as %s: %d, wanted %d\n", relative, path, ino != 0, there);
    assert_int_equal(ino != 0, there);
    if (!there)
        return;
    free(membucket_load(l->bucket, key, NULL, &object));
    struct cache_attr attr = libremote_attr(l, ino);
    const char *mode = s3_object_meta(&object, "mode");
    assert_int_equal(attr.size, object.size);
    assert_int_equal(attr.mode, mode ? (uint32_t)atoi(mode) : (S_IFREG | 0644));
    s3_object_fini(&object);
}

/* No name is in the tree that the bucket does not explain. */
static void check_no_more(struct libremote *l)
{
    size_t wanted = 0;
    char seen[KEYS * 4][64];
    for (size_t i = 0; i < KEYS; i++) {
        char key[64];
        full_key(key, sizeof key, keys[i]);
        if (!is_shown(keys[i]) || !membucket_has(l->bucket, key))
            continue;
        for (const char *end = keys[i]; *end;) {
            end += strcspn(end, "/");
            char path[64];
            snprintf(path, sizeof path, "%.*s%s", (int)(end - keys[i]), keys[i], *end ? "/" : "");
            size_t known = 0;
            while (known < wanted && strcmp(seen[known], path) != 0)
                known++;
            if (known == wanted)
                snprintf(seen[wanted++], sizeof seen[0], "%s", path);
            end += *end == '/';
        }
    }
    db_begin(l->cache);
    sqlite3_stmt *stmt = db_query(l->cache, "SELECT count(*) FROM dentry", "");
    assert_true(db_step(l->cache, stmt));
    int64_t count = sqlite3_column_int64(stmt, 0);
    db_done(stmt);
    db_commit(l->cache);
    assert_int_equal(count, wanted);
}

static void run(struct libremote *l, unsigned seed, int page_max)
{
    state_of_random = seed;
    keys_used = page_max == 1 ? KEYS_BY_DIRECTORY : KEYS;
    membucket_configure(l->bucket, &(struct membucket_config){ .page_max = page_max });
    libremote_mount(l);
    for (int round = 0; round < 60; round++) {
        for (unsigned n = draw(6) + 1; n > 0; n--)
            change(l);
        if (draw(3) == 0)
            libremote_lookup(l, keys[draw(2)]);
        switch (draw(8)) {
        case 0:
            libremote_remount(l);
            break;
        case 1:
            dir_expire_all(l->cache);
            break;
        default:
            break;
        }
        libremote_poll(l);
        for (size_t i = 0; i < KEYS; i++)
            check_key(l, keys[i]);
        check_no_more(l);
    }
}

static void after_each_poll_the_tree_is_what_the_bucket_says(void **state)
{
    run(*state, 1, 0);
}

static void with_pages_of_one_key_too(void **state)
{
    run(*state, 2, 1);
}

static void with_pages_of_three_keys_too(void **state)
{
    run(*state, 3, 3);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, libremote_set_up, libremote_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(after_each_poll_the_tree_is_what_the_bucket_says),
        TEST(with_pages_of_one_key_too),
        TEST(with_pages_of_three_keys_too),
    };
    return cmocka_run_group_tests_name("remote model", tests, NULL, NULL);
}

/* Which keys are in the tree, and which names may be made. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <string.h>

#include "cache/name.h"

static void ordinary_keys_are_paths(void **state)
{
    (void)state;
    static const char *const keys[] = { "a", "a/b", "a/", "a/b/", "", ".r2", ".r2fsx", "a/.r2fs-conflicts/x", "...", ".keep", "a b/\xc3\xa4" };
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++)
        assert_int_equal(name_check_key(keys[i]), NAME_OK);
}

static void a_segment_r2fs_is_not_in_the_tree_at_any_depth(void **state)
{
    (void)state;
    static const char *const keys[] = { ".r2fs", ".r2fs/", ".r2fs/pack", "a/.r2fs", "a/.r2fs/b/c", "a//.r2fs/x" };
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++)
        assert_int_equal(name_check_key(keys[i]), NAME_INTERNAL);
}

static void keys_that_no_path_can_show_are_told_apart(void **state)
{
    (void)state;
    static const char *const keys[] = { "/", "/a", "a//b", "a//", ".", "..", "a/./b", "a/../b", "a/..", "./" };
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++)
        assert_int_equal(name_check_key(keys[i]), NAME_NO_PATH);
    char segment[257];
    memset(segment, 'x', 256);
    segment[256] = '\0';
    assert_int_equal(name_check_key(segment), NAME_NO_PATH);
    segment[255] = '\0';
    assert_int_equal(name_check_key(segment), NAME_OK);
    char key[S3_KEY_MAX + 2];
    memset(key, 'x', sizeof key);
    for (size_t i = 100; i < sizeof key; i += 100)
        key[i] = '/';
    key[S3_KEY_MAX + 1] = '\0';
    assert_int_equal(name_check_key(key), NAME_TOO_LONG);
}

static void a_program_may_not_make_what_the_bucket_cannot_hold(void **state)
{
    (void)state;
    assert_int_equal(name_check("a", 1), 0);
    assert_int_equal(name_check("\xe6\x97\xa5", 3), 0);
    assert_int_equal(name_check("\xf0\x9f\x98\x80", 4), 0);
    assert_int_equal(name_check(".r2fs", 5), -EPERM);
    assert_int_equal(name_check(".r2fs-conflicts", 15), 0);
    char name[256];
    memset(name, 'n', sizeof name);
    assert_int_equal(name_check(name, 255), 0);
    assert_int_equal(name_check(name, 256), -ENAMETOOLONG);
    static const char *const bad[] = { "\xff", "\xc0\xaf", "a\xe6\x97", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\x80" };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_int_equal(name_check(bad[i], strlen(bad[i])), -EILSEQ);
}

static void a_key_is_below_the_prefix_or_it_is_not(void **state)
{
    (void)state;
    struct cache cache = { .config = { .prefix = "threads/t" } };
    assert_string_equal(name_relative(&cache, "threads/t/a/b"), "a/b");
    assert_string_equal(name_relative(&cache, "threads/t/"), "");
    assert_null(name_relative(&cache, "threads/t"));
    assert_null(name_relative(&cache, "threads/t2/a"));
    cache.config.prefix = "";
    assert_string_equal(name_relative(&cache, "a/b"), "a/b");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ordinary_keys_are_paths),
        cmocka_unit_test(a_segment_r2fs_is_not_in_the_tree_at_any_depth),
        cmocka_unit_test(keys_that_no_path_can_show_are_told_apart),
        cmocka_unit_test(a_program_may_not_make_what_the_bucket_cannot_hold),
        cmocka_unit_test(a_key_is_below_the_prefix_or_it_is_not),
    };
    return cmocka_run_group_tests_name("name", tests, NULL, NULL);
}

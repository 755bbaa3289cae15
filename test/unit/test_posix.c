/* Metadata of objects, as s3fs, geesefs, rclone and FSx write it, and as we do. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "cache/posix.h"

static const struct cache mount = { .config = { .uid = 500, .gid = 600, .file_mode = 0644, .dir_mode = 0755 } };

#define PAIR(n, v) { .name = (char[]){ n }, .value = (char[]){ v } }

/* Decodes an object with these pairs of names and values, ending in NULL. */
static struct posix_attr decode(const char *key, uint64_t size, ...)
{
    struct s3_pair pairs[16];
    struct s3_object object = { .size = size, .mtime_ms = 1700000000123, .meta = pairs };
    va_list list;
    va_start(list, size);
    for (char *name; (name = va_arg(list, char *)) != NULL; object.meta_count++)
        pairs[object.meta_count] = (struct s3_pair){ name, va_arg(list, char *) };
    va_end(list);
    struct posix_attr attr;
    posix_decode(&mount, key, &object, &attr);
    return attr;
}

#define DECODE(key, size, ...) decode(key, size, __VA_ARGS__ __VA_OPT__(,) (char *)NULL)

static void an_object_that_carries_nothing_gets_the_mounts_defaults(void **state)
{
    (void)state;
    struct posix_attr file = DECODE("a", 3), dir = DECODE("a/", 0);
    assert_int_equal(file.mode, S_IFREG | 0644);
    assert_int_equal(dir.mode, S_IFDIR | 0755);
    assert_int_equal(file.uid, 500);
    assert_int_equal(file.gid, 600);
    assert_int_equal(file.mtime, 1700000000123000000);
    assert_int_equal(file.ctime, 1700000000123000000);
    assert_int_equal(file.carried, 0);
}

static void s3fs_is_read(void **state)
{
    (void)state;
    struct posix_attr a = DECODE("a", 3, "mode", "33261", "uid", "0", "gid", "7", "mtime", "1600000000.000000005", "ctime",
                                 "1600000001", "atime", "1600000002.5");
    assert_int_equal(a.mode, S_IFREG | 0755);
    assert_int_equal(a.uid, 0);
    assert_int_equal(a.gid, 7);
    assert_int_equal(a.mtime, 1600000000000000005);
    assert_int_equal(a.ctime, 1600000001000000000);
    assert_int_equal(a.atime, 1600000002500000000);
    assert_int_equal(a.carried, CACHE_SET_MODE | CACHE_SET_UID | CACHE_SET_GID | CACHE_SET_MTIME | CACHE_SET_CTIME | CACHE_SET_ATIME);
    struct posix_attr link = DECODE("l", 4, "mode", "41471");
    assert_int_equal(link.mode, S_IFLNK | 0777);
    assert_true(link.target_is_body);
}

static void geesefs_is_read(void **state)
{
    (void)state;
    struct posix_attr link = DECODE("l", 0, "--symlink-target", "..%2Fa%20b%", "mtime", "1600000000");
    assert_int_equal(link.mode, S_IFLNK | 0777);
    assert_false(link.target_is_body);
    assert_string_equal(link.target, "../a b%");
    free(link.target);
    struct posix_attr device = DECODE("d", 0, "mode", "8624", "rdev", "1281");
    assert_int_equal(device.mode, S_IFCHR | 0660);
    assert_int_equal(device.rdev, 1281);
}

static void rclone_is_read(void **state)
{
    (void)state;
    struct posix_attr a = DECODE("a", 3, "mode", "0100600", "mtime", "1600000000.123456789123");
    assert_int_equal(a.mode, S_IFREG | 0600);
    assert_int_equal(a.mtime, 1600000000123456789);
    struct posix_attr link = DECODE("x.rclonelink", 5, "mtime", "1600000000.5");
    assert_int_equal(link.mode, S_IFREG | 0644);
}

static void fsx_is_read(void **state)
{
    (void)state;
    struct posix_attr a = DECODE("a", 3, "file-permissions", "0100664", "file-owner", "10", "file-group", "11", "file-mtime",
                                 "1595002920000000001ns", "file-atime", "1595002920000");
    assert_int_equal(a.mode, S_IFREG | 0664);
    assert_int_equal(a.uid, 10);
    assert_int_equal(a.gid, 11);
    assert_int_equal(a.mtime, 1595002920000000001);
    assert_int_equal(a.atime, 1595002920000000000);
}

static void a_mode_is_octal_by_its_zero_or_when_decimal_makes_no_type(void **state)
{
    (void)state;
    static const struct { const char *text; uint32_t mode; } modes[] = {
        { "33188", S_IFREG | 0644 }, { "0644", S_IFREG | 0644 }, { "644", S_IFREG | 0644 }, { "755", S_IFREG | 0755 },
        { "100600", S_IFREG | 0600 }, { "35309", S_IFREG | 04755 },
    };
    for (size_t i = 0; i < sizeof modes / sizeof modes[0]; i++)
        assert_int_equal(DECODE("a", 1, "mode", modes[i].text).mode, modes[i].mode);
}

static void nonsense_is_ignored(void **state)
{
    (void)state;
    struct posix_attr a = DECODE("a", 3, "mode", "rwxr-xr-x", "uid", "-1", "gid", "4294967295", "mtime", "yesterday", "ctime", "1.2.3",
                                 "rdev", "x", "atime", "99999999999999999999");
    assert_int_equal(a.mode, S_IFREG | 0644);
    assert_int_equal(a.uid, 500);
    assert_int_equal(a.gid, 600);
    assert_int_equal(a.mtime, 1700000000123000000);
    assert_int_equal(a.carried, 0);
    assert_int_equal(DECODE("a", 1, "mode", "").mode, S_IFREG | 0644);
    assert_int_equal(DECODE("a", 1, "mode", "0777777777").mode, S_IFREG | 0644);
}

static void the_key_says_what_is_a_directory(void **state)
{
    (void)state;
    assert_int_equal(DECODE("d/", 0, "mode", "33188").mode, S_IFDIR | 0644);
    assert_int_equal(DECODE("d/", 0, "mode", "16832").mode, S_IFDIR | 0700);
    assert_int_equal(DECODE("f", 5, "mode", "16877").mode, S_IFREG | 0755);
    assert_int_equal(DECODE("l", 0, "mode", "41471").mode, S_IFREG | 0777);
}

static const char *sent(const struct posix_headers *headers, const char *name)
{
    for (size_t i = 0; i < headers->s3.meta_count; i++)
        if (strcmp(headers->s3.meta[i].name, name) == 0)
            return headers->s3.meta[i].value;
    return NULL;
}

static void what_we_write_is_s3fs_and_reads_back(void **state)
{
    (void)state;
    struct inode inode = { .mode = S_IFREG | 0640, .uid = 1, .gid = 2, .mtime = 1600000000000000005, .ctime = 1600000001000000000,
                           .atime = -1500000000 };
    struct posix_headers headers;
    assert_int_equal(posix_encode(&mount, "p/a.json", &inode, NULL, "0123", &headers), 0);
    assert_string_equal(sent(&headers, "mode"), "33184");
    assert_string_equal(sent(&headers, "mtime"), "1600000000.000000005");
    assert_string_equal(sent(&headers, "ctime"), "1600000001");
    assert_string_equal(sent(&headers, "atime"), "-2.500000000");
    assert_string_equal(sent(&headers, "r2fs-v"), "0123");
    assert_null(sent(&headers, "rdev"));
    assert_string_equal(headers.s3.content_type, "application/json");
    struct s3_object object = { .meta = (struct s3_pair *)(uintptr_t)headers.s3.meta, .meta_count = headers.s3.meta_count };
    struct posix_attr attr;
    posix_decode(&mount, "p/a.json", &object, &attr);
    assert_int_equal(attr.mode, inode.mode);
    assert_int_equal(attr.mtime, inode.mtime);
    assert_int_equal(attr.atime, inode.atime);
    assert_string_equal(attr.nonce, "0123");
    posix_headers_fini(&headers);
}

static void content_types_follow_the_names_extension(void **state)
{
    (void)state;
    assert_string_equal(posix_content_type("p.x/index.HTML", S_IFREG), "text/html");
    assert_string_equal(posix_content_type("a.b/c.png", S_IFREG), "image/png");
    assert_string_equal(posix_content_type("Makefile", S_IFREG), "application/octet-stream");
    assert_string_equal(posix_content_type("a.html/b", S_IFREG), "application/octet-stream");
    assert_string_equal(posix_content_type(".html", S_IFREG), "application/octet-stream");
    assert_string_equal(posix_content_type("a.nothingknown", S_IFREG), "application/octet-stream");
    assert_string_equal(posix_content_type("d.html/", S_IFDIR), "application/x-directory");
    assert_string_equal(posix_content_type("l.html", S_IFLNK), "application/octet-stream");
}

static void what_another_client_set_stays(void **state)
{
    (void)state;
    struct s3_pair pairs[] = { PAIR("mode", "33188"), PAIR("author", "me"), PAIR("title", "\xc3\xa4"), PAIR("md5chksum", "abc"),
                               PAIR("file-owner", "3") };
    struct s3_object object = { .content_type = (char[]){ "text/x-special" }, .cache_control = (char[]){ "no-store" },
                                .content_disposition = (char[]){ "inline" }, .meta = pairs, .meta_count = 5 };
    char *kept = posix_keep("a.html", &object);
    struct inode inode = { .mode = S_IFREG | 0600 };
    struct posix_headers headers;
    assert_int_equal(posix_encode(&mount, "b.txt", &inode, kept, NULL, &headers), 0);
    assert_string_equal(headers.s3.content_type, "text/x-special");
    assert_string_equal(headers.s3.cache_control, "no-store");
    assert_string_equal(headers.s3.content_disposition, "inline");
    assert_string_equal(sent(&headers, "mode"), "33152");
    assert_string_equal(sent(&headers, "author"), "me");
    assert_string_equal(sent(&headers, "title"), "=?UTF-8?B?w6Q=?=");
    assert_string_equal(sent(&headers, "md5chksum"), "abc");
    assert_null(sent(&headers, "file-owner"));
    posix_headers_fini(&headers);
    char *rewritten = posix_keep_for_new_bytes(kept);
    assert_int_equal(posix_encode(&mount, "b.txt", &inode, rewritten, NULL, &headers), 0);
    assert_null(sent(&headers, "md5chksum"));
    assert_string_equal(sent(&headers, "author"), "me");
    posix_headers_fini(&headers);
    free(rewritten);
    free(kept);
}

static void of_our_own_objects_nothing_is_kept(void **state)
{
    (void)state;
    struct s3_pair pairs[] = { PAIR("mode", "33188"), PAIR("r2fs-v", "1"), PAIR("uid", "1"), PAIR("gid", "2") };
    struct s3_object object = { .content_type = (char[]){ "text/html" }, .meta = pairs, .meta_count = 4 };
    char *kept = posix_keep("a.html", &object);
    assert_string_equal(kept, "{}");
    free(kept);
    assert_null(posix_keep_for_new_bytes(NULL));
}

static void what_an_object_does_not_carry_is_remembered(void **state)
{
    (void)state;
    struct s3_pair pairs[] = { PAIR("uid", "1"), PAIR("mode", "nonsense") };
    struct s3_object object = { .meta = pairs, .meta_count = 2 };
    char *kept = posix_keep("a", &object);
    assert_int_equal(posix_lacks(kept), CACHE_SET_MODE | CACHE_SET_GID);
    free(kept);
    assert_int_equal(posix_lacks("{}"), 0);
    assert_int_equal(posix_lacks(NULL), 0);
}

static void more_metadata_than_an_object_carries_is_refused(void **state)
{
    (void)state;
    char *value = malloc(S3_META_MAX + 1);
    memset(value, 'v', S3_META_MAX);
    value[S3_META_MAX] = '\0';
    struct s3_pair pair = { .name = (char[]){ "big" }, .value = value };
    struct s3_object object = { .meta = &pair, .meta_count = 1 };
    char *kept = posix_keep("a", &object);
    struct inode inode = { .mode = S_IFREG | 0600 };
    struct posix_headers headers;
    assert_int_equal(posix_encode(&mount, "a", &inode, kept, NULL, &headers), -E2BIG);
    free(kept);
    free(value);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_object_that_carries_nothing_gets_the_mounts_defaults),
        cmocka_unit_test(s3fs_is_read),
        cmocka_unit_test(geesefs_is_read),
        cmocka_unit_test(rclone_is_read),
        cmocka_unit_test(fsx_is_read),
        cmocka_unit_test(a_mode_is_octal_by_its_zero_or_when_decimal_makes_no_type),
        cmocka_unit_test(nonsense_is_ignored),
        cmocka_unit_test(the_key_says_what_is_a_directory),
        cmocka_unit_test(what_we_write_is_s3fs_and_reads_back),
        cmocka_unit_test(content_types_follow_the_names_extension),
        cmocka_unit_test(what_another_client_set_stays),
        cmocka_unit_test(of_our_own_objects_nothing_is_kept),
        cmocka_unit_test(what_an_object_does_not_carry_is_remembered),
        cmocka_unit_test(more_metadata_than_an_object_carries_is_refused),
    };
    return cmocka_run_group_tests_name("posix", tests, NULL, NULL);
}

/* Every flag that Debian's rclone lists for its mount (test/data/rclone-mount-flags.txt), in every way to write it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fs/conf.h"
#include "fs/explain.h"

struct flag {
    char section[8], name[64], letter[4], type[32], standard[128];
};
static struct flag flags[512];
static size_t flag_count;

/* Flags that change which files are seen or how they are stored, or carry a secret. */
static const char *const refused[] = {
    "vfs-case-insensitive", "dry-run", "exclude", "exclude-from", "exclude-if-present", "files-from", "files-from-raw", "filter",
    "filter-from", "header", "header-download", "header-upload", "immutable", "include", "include-from", "interactive", "max-age",
    "max-depth", "max-size", "metadata-set", "min-age", "min-size", "rc-pass", "s3-access-key-id", "s3-acl", "s3-decompress",
    "s3-encoding", "s3-no-system-metadata", "s3-profile", "s3-secret-access-key", "s3-server-side-encryption", "s3-session-token",
    "s3-sse-customer-algorithm", "s3-sse-customer-key", "s3-sse-customer-key-base64", "s3-sse-customer-key-md5", "s3-sse-kms-key-id",
    "s3-storage-class", "s3-version-at", "s3-versions",
};

static bool is_refused(const char *name)
{
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++)
        if (!strcmp(refused[i], name))
            return true;
    return false;
}

static int read_flags(void **state)
{
    FILE *file = fopen("test/data/rclone-mount-flags.txt", "r");
    char line[512];

    (void)state;
    assert_non_null(file);
    while (fgets(line, sizeof line, file)) {
        struct flag *f = &flags[flag_count];
        if (line[0] == '#')
            continue;
        assert_int_equal(sscanf(line, "%7[^\t]\t%63[^\t]\t%3[^\t]\t%31[^\t]\t%127[^\n]", f->section, f->name, f->letter, f->type, f->standard), 5);
        assert_true(++flag_count < sizeof flags / sizeof flags[0]);
    }
    fclose(file);
    assert_true(flag_count > 200);
    return 0;
}

/* A value of the flag's type that is not its default; NULL: it takes none. */
static const char *sample(const struct flag *f)
{
    static const struct {
        const char *type, *value;
    } samples[] = {
        { "bool", NULL }, { "count", NULL }, { "duration", "7s" }, { "Duration", "7s" }, { "SizeSuffix", "3M" }, { "int", "5" },
        { "uint32", "5" }, { "FileMode", "0640" }, { "float", "1.5" }, { "CacheMode", "full" }, { "BwTimetable", "1M" }, { "Tristate", "true" },
    };

    if (!strcmp(f->name, "log-level"))
        return "INFO";
    if (!strcmp(f->name, "option"))
        return "noexec";
    for (size_t i = 0; i < sizeof samples / sizeof samples[0]; i++)
        if (!strcmp(samples[i].type, f->type))
            return samples[i].value;
    return "something";
}

/* `r2fs mount WORD [VALUE] B/P /mnt`; the message, or "" when taken. */
static const char *take(const char *word, const char *value)
{
    static struct conf_error error;
    char *argv[8] = { (char *)"r2fs", (char *)"mount" };
    struct conf conf;
    int argc = 2;

    argv[argc++] = (char *)word;
    if (value)
        argv[argc++] = (char *)value;
    argv[argc++] = (char *)"B/P";
    argv[argc++] = (char *)"/mnt";
    if (conf_parse(&conf, argc, argv, &error)) {
        assert_int_equal(error.exit_code, EXIT_USAGE);
        return error.message;
    }
    if (!conf.help)
        assert_string_equal(conf.source, "B/P");
    conf_fini(&conf);
    return "";
}

static void expect(const struct flag *f, bool no, const char *message)
{
    if (no ? !strstr(message, "does not take it") : *message != '\0')
        fail_msg("--%s: %s", f->name, *message ? message : "was taken");
}

static void each_flag_with_a_value_of_its_own(void **state)
{
    char word[128];

    (void)state;
    for (size_t i = 0; i < flag_count; i++) {
        const char *value = sample(&flags[i]);
        snprintf(word, sizeof word, "--%s", flags[i].name);
        expect(&flags[i], is_refused(flags[i].name), take(word, value));
        snprintf(word, sizeof word, "--%s=%s", flags[i].name, value ? value : !strcmp(flags[i].type, "count") ? "2" : "true");
        expect(&flags[i], is_refused(flags[i].name), take(word, NULL));
    }
}

static void each_boolean_as_false(void **state)
{
    char word[128];

    (void)state;
    for (size_t i = 0; i < flag_count; i++) {
        if (strcmp(flags[i].type, "bool") != 0)
            continue;
        snprintf(word, sizeof word, "--%s=false", flags[i].name);
        expect(&flags[i], false, take(word, NULL));
    }
}

static void each_flag_set_to_its_default(void **state)
{
    char word[256];

    (void)state;
    for (size_t i = 0; i < flag_count; i++) {
        if (!strcmp(flags[i].standard, "-"))
            continue;
        snprintf(word, sizeof word, "--%s=%s", flags[i].name, flags[i].standard);
        expect(&flags[i], false, take(word, NULL));
    }
}

static void each_flag_as_a_mount_option(void **state)
{
    (void)state;
    for (size_t i = 0; i < flag_count; i++) {
        const char *value = sample(&flags[i]);
        char word[128];
        if (!strcmp(flags[i].name, "option"))
            continue;
        for (int underscore = 0; underscore < 2; underscore++) {
            snprintf(word, sizeof word, "%s%s%s", flags[i].name, value ? "=" : "", value ? value : "");
            for (char *c = word; underscore && *c && *c != '='; c++)
                if (*c == '-')
                    *c = '_';
            expect(&flags[i], is_refused(flags[i].name), take("-o", word));
        }
    }
}

static void each_letter(void **state)
{
    char word[8];

    (void)state;
    for (size_t i = 0; i < flag_count; i++) {
        if (!strcmp(flags[i].letter, "-"))
            continue;
        snprintf(word, sizeof word, "-%s", flags[i].letter);
        expect(&flags[i], is_refused(flags[i].name), take(word, sample(&flags[i])));
    }
}

static void a_value_of_the_wrong_form_is_a_usage_error(void **state)
{
    char word[128];

    (void)state;
    for (size_t i = 0; i < flag_count; i++) {
        const char *type = flags[i].type;
        if (!strstr(" bool duration Duration SizeSuffix int uint32 FileMode float CacheMode ", type))
            continue;
        snprintf(word, sizeof word, "--%s=bogus", flags[i].name);
        const char *message = take(word, NULL);
        if (!strstr(message, "'bogus' is not"))
            fail_msg("%s: %s", word, message);
    }
}

static void a_flag_that_neither_knows_is_a_usage_error(void **state)
{
    (void)state;
    assert_non_null(strstr(take("--no-such-flag", NULL), "unknown option --no-such-flag"));
    assert_non_null(strstr(take("--no-such-flag=7", NULL), "unknown option --no-such-flag"));
    assert_non_null(strstr(take("-o", "no_such_flag=7"), "unknown option -o no_such_flag"));
    assert_non_null(strstr(take("-Z", NULL), "unknown option -Z"));
    /* The beginning of a name is no name. */
    assert_non_null(strstr(take("--vfs-write-ba=1s", NULL), "unknown option --vfs-write-ba"));
    assert_non_null(strstr(take("--exclud=x", NULL), "unknown option --exclud"));
}

static void a_refused_flag_says_why_and_shows_no_secret(void **state)
{
    (void)state;
    assert_non_null(strstr(take("--exclude", "*.o"), "which files are seen"));
    assert_non_null(strstr(take("--s3-storage-class", "GLACIER"), "how files are stored"));
    const char *message = take("--s3-secret-access-key", "hunter2");
    assert_non_null(strstr(message, "secret"));
    assert_null(strstr(message, "hunter2"));
}

static void a_flag_without_meaning_leaves_one_note(void **state)
{
    char *argv[] = { (char *)"r2fs", (char *)"mount", (char *)"--vfs-read-ahead", (char *)"4M", (char *)"--vfs-read-ahead=8M", (char *)"--use-mmap", (char *)"B/P", (char *)"/mnt", NULL };
    struct conf_error error;
    struct conf conf;

    (void)state;
    assert_int_equal(conf_parse(&conf, 8, argv, &error), 0);
    assert_int_equal(conf.note_count, 2);
    assert_non_null(strstr(conf.notes[0], "--vfs-read-ahead"));
    assert_non_null(strstr(conf.notes[1], "--use-mmap"));
    conf_fini(&conf);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_flag_with_a_value_of_its_own),
        cmocka_unit_test(each_boolean_as_false),
        cmocka_unit_test(each_flag_set_to_its_default),
        cmocka_unit_test(each_flag_as_a_mount_option),
        cmocka_unit_test(each_letter),
        cmocka_unit_test(a_value_of_the_wrong_form_is_a_usage_error),
        cmocka_unit_test(a_flag_that_neither_knows_is_a_usage_error),
        cmocka_unit_test(a_refused_flag_says_why_and_shows_no_secret),
        cmocka_unit_test(a_flag_without_meaning_leaves_one_note),
    };
    return cmocka_run_group_tests(tests, read_flags, NULL);
}

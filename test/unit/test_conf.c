/* The command line: forms of values, rules between options, -o words, mount helpers, sources. */
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

#include "fs/conf.h"
#include "fs/conf_option.h"
#include "fs/conf_value.h"
#include "fs/explain.h"

#define WORDS_MAX 24
static struct conf conf;
static struct conf_error error;

/* Parses a line split at blanks; `~` stands for a blank inside a word. */
static int parse(const char *line)
{
    static char text[1024];
    char *argv[WORDS_MAX + 1], *save = NULL;
    int argc = 0;

    conf_fini(&conf);
    snprintf(text, sizeof text, "%s", line);
    for (char *word = strtok_r(text, " ", &save); word && argc < WORDS_MAX; word = strtok_r(NULL, " ", &save)) {
        for (char *c = word; *c; c++)
            if (*c == '~')
                *c = ' ';
        argv[argc++] = word;
    }
    argv[argc] = NULL;
    return conf_parse(&conf, argc, argv, &error);
}

static void good(const char *line)
{
    if (parse(line))
        fail_msg("%s: %s", line, error.message);
}

static void bad(const char *line, const char *text)
{
    if (!parse(line))
        fail_msg("%s was taken", line);
    assert_int_equal(error.exit_code, EXIT_USAGE);
    if (!strstr(error.message, text))
        fail_msg("%s: no \"%s\" in: %s", line, text, error.message);
    assert_null(strchr(error.message, '\n'));
}

static int finish(void **state)
{
    (void)state;
    conf_fini(&conf);
    return 0;
}

static void durations(void **state)
{
    static const struct {
        const char *text;
        int64_t ms;
    } cases[] = {
        { "1s", 1000 }, { "500ms", 500 }, { "1m30s", 90000 }, { "0", 0 }, { "0s", 0 }, { "off", CONF_NEVER }, { "1.5h", 5400000 },
        { "10", 10000 }, { "1d", 86400000 }, { "1w", 604800000 }, { "1h0m0s", 3600000 }, { "250us", 1 }, { "1ns", 1 },
        { "100\xc2\xb5s", 1 }, { "0.3s", 300 }, { "1s500ms", 1500 }, { "1M", 2592000000 }, { "99999999999999999999h", CONF_NEVER },
    };
    static const char *const wrong[] = { "", "s", "1x", "-1s", "1s2", "1 s", " 1s", "1..5s", "0x10", "inf", "1e3", ".", "on" };
    int64_t ms;

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        if (conf_value_duration(cases[i].text, &ms) || ms != cases[i].ms)
            fail_msg("%s", cases[i].text);
    }
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        if (!conf_value_duration(wrong[i], &ms))
            fail_msg("'%s' was taken", wrong[i]);
}

static void sizes(void **state)
{
    static const struct {
        const char *text;
        uint64_t bytes;
    } cases[] = {
        { "64M", 64ull << 20 }, { "10Gi", 10ull << 30 }, { "10G", 10ull << 30 }, { "1.5GiB", 3ull << 29 }, { "off", CONF_UNLIMITED },
        { "100", 100ull << 10 }, { "7B", 7 }, { "0", 0 }, { "1k", 1024 }, { "2Ti", 2ull << 40 }, { "4.656Gi", 4999341932ull }, { "1P", 1ull << 50 },
    };
    static const char *const wrong[] = { "", "M", "1X", "-1", "1MM", "10KB", "1 M", "99999999999P", "lots" };
    uint64_t bytes;

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        if (conf_value_size(cases[i].text, &bytes) || bytes != cases[i].bytes)
            fail_msg("%s", cases[i].text);
    }
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        if (!conf_value_size(wrong[i], &bytes))
            fail_msg("'%s' was taken", wrong[i]);
}

static void umasks_and_permissions(void **state)
{
    (void)state;
    good("r2fs mount B/P /m --umask 022 --file-perms 644 --dir-perms 0755");
    assert_int_equal(conf.umask, 022);
    assert_int_equal(conf.file_perms, 0644);
    assert_int_equal(conf.dir_perms, 0755);
    good("r2fs mount B/P /m --umask 18");
    assert_int_equal(conf.umask, 022);
    good("r2fs mount B/P /m --umask 2");
    assert_int_equal(conf.umask, 02);
    bad("r2fs mount B/P /m --umask 22", "leading 0");
    bad("r2fs mount B/P /m --umask 01777", "umask");
    bad("r2fs mount B/P /m --file-perms 688", "octal");
}

static void defaults(void **state)
{
    (void)state;
    good("r2fs mount B/P /m");
    assert_int_equal(conf.command, CONF_MOUNT);
    assert_int_equal(conf.write_back_ms, 1000);
    assert_int_equal(conf.max_dirty_age_ms, 5000);
    assert_int_equal(conf.drain_timeout_ms, 30000);
    assert_int_equal(conf.keep_base, 64 << 20);
    assert_int_equal(conf.poll_ms, 5000);
    assert_int_equal(conf.poll_idle_ms, 0);
    assert_int_equal(conf.fsync, CONF_FSYNC_LOCAL);
    assert_int_equal(conf.on_conflict, CONF_KEEP_BOTH);
    assert_int_equal(conf.umask, 022);
    assert_int_equal(conf.log_level, LOG_LEVEL_NOTICE);
    assert_false(conf.read_only || conf.allow_other || conf.foreground || conf.virtual_host || conf.help);
    assert_string_equal(conf.path, "/m");
    assert_int_equal(conf.note_count, 0);
}

static void options_stand_before_or_after_the_command(void **state)
{
    (void)state;
    good("r2fs --config /c --write-back 2s mount --allow-other B/P --read-only /m -v");
    assert_int_equal(conf.write_back_ms, 2000);
    assert_true(conf.allow_other && conf.read_only);
    assert_int_equal(conf.log_level, LOG_LEVEL_INFO);
    assert_string_equal(conf.source, "B/P");
    assert_string_equal(conf.path, "/m");
    good("r2fs mount B/P -- /m");
    assert_string_equal(conf.path, "/m");
}

static void argv_stays_as_typed(void **state)
{
    char *argv[] = { (char *)"r2fs", (char *)"mount", (char *)"B/P", (char *)"--read-only", (char *)"/m", (char *)"-o", (char *)"uid=5,gid=6", NULL };
    char *before[8];

    (void)state;
    memcpy(before, argv, sizeof argv);
    conf_fini(&conf);
    assert_int_equal(conf_parse(&conf, 7, argv, &error), 0);
    assert_memory_equal(argv, before, sizeof argv);
    assert_string_equal(argv[6], "uid=5,gid=6");
}

static void the_smaller_of_poll_interval_and_dir_cache_time_counts(void **state)
{
    static const struct {
        const char *options;
        int64_t ms;
    } cases[] = {
        { "", 5000 }, { "--read-only", 30000 }, { "--poll-interval 2s", 2000 }, { "--read-only --poll-interval 7s", 7000 },
        { "--poll-interval 0", 0 }, { "--poll-interval off", 0 }, { "--dir-cache-time 3s", 3000 }, { "--dir-cache-time 0", 1000 },
        { "--dir-cache-time 10s --poll-interval 4s", 4000 }, { "--dir-cache-time 2s --poll-interval 4s", 2000 },
        { "--dir-cache-time 10s --poll-interval 0", 10000 }, { "--dir-cache-time 10s --poll-interval off", 10000 },
        { "--dir-cache-time 0 --poll-interval 0", 1000 }, { "--dir-cache-time 0 --poll-interval 500ms", 500 },
        { "--dir-cache-time off", 0 }, { "--dir-cache-time off --poll-interval 6s", 6000 }, { "--poll-interval 100ms", 100 },
    };
    char line[256];

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        snprintf(line, sizeof line, "r2fs mount B/P /m %s", cases[i].options);
        good(line);
        if (conf.poll_ms != cases[i].ms)
            fail_msg("%s: %lld", cases[i].options, (long long)conf.poll_ms);
    }
}

static void rclones_names_set_the_same_things(void **state)
{
    (void)state;
    good("r2fs mount B/P /m --vfs-write-back 7s --vfs-cache-max-size 3Gi --cache-dir /c --log-file rel.log --log-level DEBUG");
    assert_int_equal(conf.write_back_ms, 7000);
    assert_int_equal(conf.max_dirty_age_ms, 7000);
    assert_int_equal(conf.given->cache_size, 3ull << 30);
    assert_string_equal(conf.cache_dir, "/c");
    assert_int_equal(conf.log_file[0], '/');
    assert_int_equal(conf.log_level, LOG_LEVEL_DEBUG);
    bad("r2fs mount B/P /m --write-back off", "write-back");
    good("r2fs mount B/P /m --write-back 1y --max-dirty-age off --dir-cache-time 9000h --drain-timeout off");
    assert_int_equal(conf.write_back_ms, CONF_LONGEST);
    assert_int_equal(conf.max_dirty_age_ms, CONF_LONGEST);
    assert_int_equal(conf.poll_ms, CONF_LONGEST);
    assert_int_equal(conf.drain_timeout_ms, CONF_NEVER);
}

static void daemon_and_foreground(void **state)
{
    (void)state;
    good("r2fs mount B/P /m --foreground");
    assert_true(conf.foreground);
    good("r2fs mount B/P /m --daemon=false");
    assert_true(conf.foreground);
    good("r2fs mount B/P /m --daemon");
    assert_false(conf.foreground);
}

static void verbosity(void **state)
{
    (void)state;
    good("r2fs mount B/P /m -vv");
    assert_int_equal(conf.log_level, LOG_LEVEL_DEBUG);
    good("r2fs mount B/P /m -v -v -v");
    assert_int_equal(conf.log_level, LOG_LEVEL_DEBUG);
    good("r2fs mount B/P /m --verbose=1");
    assert_int_equal(conf.log_level, LOG_LEVEL_INFO);
    good("r2fs mount B/P /m -q");
    assert_int_equal(conf.log_level, LOG_LEVEL_ERROR);
}

static void choices(void **state)
{
    (void)state;
    good("r2fs mount B/P /m --fsync=remote --on-conflict theirs");
    assert_int_equal(conf.fsync, CONF_FSYNC_REMOTE);
    assert_int_equal(conf.on_conflict, CONF_THEIRS);
    bad("r2fs mount B/P /m --fsync=both", "local|remote");
}

static void mount_words(void **state)
{
    (void)state;
    good("r2fs mount B/P /m -o rw,_netdev,nofail,noauto,users,defaults,exec,relatime,x-systemd.automount,nosuid,nodev,comment=x");
    assert_int_equal(conf.note_count, 0);
    good("r2fs mount B/P /m -o ro,noexec,noatime,nodiratime,fsname=x\\,y");
    assert_true(conf.read_only && conf.noexec && conf.noatime && conf.nodiratime);
    assert_string_equal(conf.devname, "x,y");
    good("r2fs mount B/P /m -o ro,rw,suid,dev");
    assert_false(conf.read_only);
    assert_int_equal(conf.note_count, 2);
    good("r2fs mount B/P /m -o vfs_write_back=2s,allow-other,allow_other=false,uid=1000 -o gid=7");
    assert_int_equal(conf.write_back_ms, 2000);
    assert_false(conf.allow_other);
    assert_int_equal(conf.given->uid, 1000);
    assert_int_equal(conf.given->gid, 7);
    bad("r2fs mount B/P /m -o remount", "remount");
    bad("r2fs mount B/P /m -o bogus", "bogus");
    bad("r2fs mount B/P /m -o uid", "needs a value");
}

static void mount_helpers(void **state)
{
    (void)state;
    good("/sbin/mount.r2fs B/P /m -o rw,credentials=/etc/x");
    assert_true(conf.helper);
    assert_int_equal(conf.command, CONF_MOUNT);
    assert_string_equal(conf.path, "/m");
    assert_string_equal(conf.given->credentials, "/etc/x");
    good("mount.fuse.r2fs B/P /m -s -f -n -v -t fuse.r2fs -o bogus,ro");
    assert_true(conf.fake && conf.read_only);
    bad("mount.r2fs B/P /m -o bogus", "bogus");
    good("/sbin/umount.fuse.r2fs /m -l");
    assert_int_equal(conf.command, CONF_UMOUNT);
    assert_true(conf.lazy);
}

static void other_commands(void **state)
{
    (void)state;
    good("r2fs umount -f /m --drain-timeout 2s");
    assert_true(conf.force && conf.drain_given);
    assert_int_equal(conf.drain_timeout_ms, 2000);
    good("r2fs flush /m --timeout 3s");
    assert_int_equal(conf.timeout_ms, 3000);
    good("r2fs mount B/P /m --timeout 3s");
    assert_int_equal(conf.note_count, 1);
    good("r2fs status --json /m");
    assert_true(conf.json);
    good("r2fs ls B/P --s3-endpoint http://h");
    assert_string_equal(conf.source, "B/P");
    good("r2fs version");
    good("r2fs --version");
    assert_int_equal(conf.command, CONF_VERSION);
    bad("r2fs status /m --write-back 1s", "takes no option --write-back");
    bad("r2fs mount B/P", "SOURCE DIR");
    bad("r2fs flush", "PATH");
    bad("r2fs flush /a /b", "2 arguments");
    bad("r2fs conjure", "conjure");
    bad("r2fs mount B/P /m --write-back", "needs a value");
}

static void each_command_has_a_help(void **state)
{
    static const char *const lines[] = { "r2fs mount --help", "r2fs umount -h", "r2fs --help flush", "r2fs help status", "r2fs ls --help" };

    (void)state;
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        good(lines[i]);
        char *text = conf_help(conf.command);
        assert_non_null(text);
        assert_true(conf.help || conf.command == CONF_HELP);
        assert_non_null(strstr(text, "Usage: r2fs "));
        assert_non_null(strstr(text, conf_command_name(conf.command)));
        free(text);
    }
    good("r2fs help");
    assert_true(conf.help);
    good("r2fs");
    assert_false(conf.help);
    assert_int_equal(conf.command, CONF_HELP);
}

static void expect_source(const char *source, const char *remote, const char *bucket, const char *prefix)
{
    char line[256];

    snprintf(line, sizeof line, "r2fs ls %s", source);
    good(line);
    if (conf_source_parse(&conf, &error))
        fail_msg("%s: %s", source, error.message);
    if (remote)
        assert_string_equal(conf.remote, remote);
    else
        assert_null(conf.remote);
    assert_string_equal(conf.bucket, bucket);
    assert_string_equal(conf.prefix, prefix);
}

static void sources(void **state)
{
    static const char *const wrong[] = {
        "/B/P", "B//P", "B/a//b", "B/./a", "B/a/..", "B/..", "B/P//", "B//", "s3://B/P", ":s3:B/P", "r2,region=x:B/P", "r2:", "r2:/", "B/.r2fs", "B/a/.r2fs/x", "b~c/x",
    };

    (void)state;
    expect_source("B/threads/T", NULL, "B", "threads/T");
    expect_source("B", NULL, "B", "");
    expect_source("B/", NULL, "B", "");
    expect_source("B/P/", NULL, "B", "P");
    expect_source("r2:B/threads/T", "r2", "B", "threads/T");
    expect_source("r2:/B/P", "r2", "B", "P");
    expect_source("B/a:b/c", NULL, "B", "a:b/c");
    expect_source("B/.r2fsx/..a", NULL, "B", ".r2fsx/..a");
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        char line[64];
        snprintf(line, sizeof line, "r2fs ls %s", wrong[i]);
        good(line);
        if (!conf_source_parse(&conf, &error))
            fail_msg("%s was taken", wrong[i]);
        assert_int_equal(error.exit_code, EXIT_USAGE);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(durations),
        cmocka_unit_test(sizes),
        cmocka_unit_test(umasks_and_permissions),
        cmocka_unit_test(defaults),
        cmocka_unit_test(options_stand_before_or_after_the_command),
        cmocka_unit_test(argv_stays_as_typed),
        cmocka_unit_test(the_smaller_of_poll_interval_and_dir_cache_time_counts),
        cmocka_unit_test(rclones_names_set_the_same_things),
        cmocka_unit_test(daemon_and_foreground),
        cmocka_unit_test(verbosity),
        cmocka_unit_test(choices),
        cmocka_unit_test(mount_words),
        cmocka_unit_test(mount_helpers),
        cmocka_unit_test(other_commands),
        cmocka_unit_test(each_command_has_a_help),
        cmocka_unit_test(sources),
    };
    return cmocka_run_group_tests(tests, NULL, finish);
}

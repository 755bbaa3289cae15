/* Where keys, endpoint and region come from, and what the machine decides. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fs/conf.h"
#include "fs/conf_option.h"
#include "fs/explain.h"

static struct conf conf;
static struct conf_error error;
static char home[64], message_output[32] = "STDOUT";

/* A file in the test's home, with this mode; its path is static. */
static const char *put_file(const char *name, mode_t mode, const char *text)
{
    static char path[256];
    char directory[256];

    snprintf(path, sizeof path, "%s/%s", home, name);
    snprintf(directory, sizeof directory, "%s", path);
    for (char *slash = strchr(directory + strlen(home) + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        mkdir(directory, 0700);
        *slash = '/';
    }
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
    assert_int_equal(chmod(path, mode), 0);
    return path;
}

/* An environment with nothing but HOME and these NAME=VALUE, and how cmocka is to speak. */
static void environment(const char *const variables[])
{
    static char copies[16][256];

    clearenv();
    setenv("HOME", home, 1);
    setenv("CMOCKA_MESSAGE_OUTPUT", message_output, 1);
    for (int i = 0; variables && variables[i]; i++) {
        snprintf(copies[i], sizeof copies[i], "%s", variables[i]);
        putenv(copies[i]);
    }
}
#define ENV(...) environment((const char *const[]) { __VA_ARGS__, NULL })

static int complete(const char *source, const char *option, const char *value)
{
    char *argv[] = { (char *)"r2fs", (char *)"mount", (char *)source, (char *)"/mnt", (char *)option, (char *)value, NULL };

    conf_fini(&conf);
    assert_int_equal(conf_parse(&conf, option ? 6 : 4, argv, &error), 0);
    return conf_complete(&conf, &error);
}

static void good(const char *source, const char *option, const char *value)
{
    if (complete(source, option, value))
        fail_msg("%s: %s", source, error.message);
}

static void bad(const char *source, const char *option, const char *value, const char *text)
{
    if (!complete(source, option, value))
        fail_msg("%s was taken", source);
    assert_int_equal(error.exit_code, EXIT_USAGE);
    if (!strstr(error.message, text))
        fail_msg("no \"%s\" in: %s", text, error.message);
    assert_null(strstr(error.message, "hunter2"));
}

static void expect(const char *key, const char *secret, const char *token, const char *endpoint, const char *region)
{
    const char *const got[] = { conf.cred.key_id, conf.cred.secret, conf.cred.token, conf.endpoint, conf.region };
    const char *const wanted[] = { key, secret, token, endpoint, region };

    for (int i = 0; i < 5; i++)
        if (!got[i] != !wanted[i] || (got[i] && strcmp(got[i], wanted[i]) != 0))
            fail_msg("field %d: %s, not %s", i, got[i] ? got[i] : "(none)", wanted[i] ? wanted[i] : "(none)");
}

static void s3_variables(void **state)
{
    (void)state;
    ENV("S3_ACCESS_KEY=k", "S3_ACCESS_SECRET=s", "S3_SESSION_TOKEN=t", "S3_ENDPOINT_URL=http://e:1/", "S3_REGION=r");
    good("B/P", NULL, NULL);
    expect("k", "s", "t", "http://e:1", "r");
    ENV("S3_ACCESS_KEY_ID=k", "S3_SECRET_ACCESS_KEY=s");
    good("B/P", NULL, NULL);
    expect("k", "s", NULL, NULL, NULL);
    assert_non_null(strstr(conf.cred_from, "S3_ACCESS_KEY_ID"));
}

static void r2_and_aws_variables(void **state)
{
    (void)state;
    ENV("R2_ACCESS_KEY=k", "R2_ACCESS_SECRET=s", "R2_SESSION_TOKEN=t", "R2_ENDPOINT_URL=http://e", "R2_REGION=r");
    good("B/P", NULL, NULL);
    expect("k", "s", "t", "http://e", "r");
    ENV("R2_ACCESS_KEY_ID=k", "R2_SECRET_ACCESS_KEY=s");
    good("B/P", NULL, NULL);
    expect("k", "s", NULL, NULL, NULL);
    ENV("AWS_ACCESS_KEY_ID=k", "AWS_SECRET_ACCESS_KEY=s", "AWS_SESSION_TOKEN=t", "AWS_ENDPOINT_URL=http://second", "AWS_REGION=r");
    good("B/P", NULL, NULL);
    expect("k", "s", "t", "http://second", "r");
    ENV("AWS_ACCESS_KEY_ID=k", "AWS_SECRET_ACCESS_KEY=s", "AWS_ENDPOINT_URL=http://second", "AWS_ENDPOINT_URL_S3=http://first");
    good("B/P", NULL, NULL);
    expect("k", "s", NULL, "http://first", NULL);
}

static void empty_counts_as_unset(void **state)
{
    (void)state;
    ENV("S3_ACCESS_KEY=", "S3_ACCESS_SECRET=", "S3_ENDPOINT_URL=", "AWS_ACCESS_KEY_ID=k", "AWS_SECRET_ACCESS_KEY=s", "AWS_ENDPOINT_URL=http://e");
    good("B/P", NULL, NULL);
    expect("k", "s", NULL, "http://e", NULL);
    ENV("S3_ACCESS_KEY=", "S3_ACCESS_KEY_ID=k", "S3_ACCESS_SECRET=s");
    good("B/P", NULL, NULL);
    expect("k", "s", NULL, NULL, NULL);
}

static void a_key_is_never_mixed_from_two_sources(void **state)
{
    (void)state;
    /* The token of AWS_ belongs to its key; endpoint and region come each from the first that has it. */
    ENV("S3_ACCESS_KEY=k", "S3_ACCESS_SECRET=s", "R2_ENDPOINT_URL=http://r2", "AWS_SESSION_TOKEN=t", "AWS_ENDPOINT_URL=http://aws", "AWS_REGION=r");
    good("B/P", NULL, NULL);
    expect("k", "s", NULL, "http://r2", "r");
    ENV("S3_ACCESS_KEY=k", "AWS_ACCESS_KEY_ID=k2", "AWS_SECRET_ACCESS_KEY=s2");
    bad("B/P", NULL, NULL, "S3_ACCESS_SECRET");
    ENV("S3_ACCESS_SECRET=hunter2");
    bad("B/P", NULL, NULL, "S3_ACCESS_KEY");
    ENV("S3_ACCESS_SECRET=hunter2", "R2_ACCESS_KEY=k", "R2_ACCESS_SECRET=s");
    good("B/P", NULL, NULL);
    expect("k", "s", NULL, NULL, NULL);
}

static void without_any_key_it_says_where_to_put_one(void **state)
{
    (void)state;
    environment(NULL);
    bad("B/P", NULL, NULL, "no access key found");
}

static void a_template_not_filled_in_is_refused(void **state)
{
    (void)state;
    ENV("S3_ACCESS_KEY=${KEY}", "S3_ACCESS_SECRET=s");
    bad("B/P", NULL, NULL, "${");
}

static void a_credentials_file_goes_before_the_environment(void **state)
{
    const char *path = put_file("cred", 0600,
                                "# a comment\n[other]\naws_access_key_id = no\naws_secret_access_key = no\n"
                                "[default]\naws_access_key_id = dk\naws_secret_access_key = ds\n"
                                "[B]\n  aws_access_key_id=bk\n  aws_secret_access_key = bs\naws_session_token = bt\nendpoint_url = https://e/x/\nregion = br\n");
    (void)state;
    ENV("S3_ACCESS_KEY=k", "S3_ACCESS_SECRET=s", "S3_ENDPOINT_URL=http://e");
    good("B/P", "--credentials", path);
    expect("bk", "bs", "bt", "https://e/x", "br");
    assert_non_null(strstr(conf.cred_from, "[B]"));
    good("C/P", "--credentials", path);
    expect("dk", "ds", NULL, "http://e", NULL);
    good("C/P", "--s3-shared-credentials-file", path);
    expect("dk", "ds", NULL, "http://e", NULL);
}

static void a_credentials_file_that_others_can_read_is_refused(void **state)
{
    static const mode_t modes[] = { 0640, 0604, 0644, 0660, 0602 };

    (void)state;
    environment(NULL);
    for (size_t i = 0; i < sizeof modes / sizeof modes[0]; i++) {
        const char *path = put_file("open", modes[i], "[default]\naws_access_key_id=k\naws_secret_access_key=hunter2\n");
        bad("B/P", "--credentials", path, "chmod 600");
        assert_non_null(strstr(error.message, path));
    }
    good("B/P", "--credentials", put_file("open", 0400, "[default]\naws_access_key_id=k\naws_secret_access_key=s\n"));
}

static void faults_of_a_credentials_file_are_named(void **state)
{
    (void)state;
    environment(NULL);
    bad("B/P", "--credentials", "/nowhere/cred", "/nowhere/cred");
    bad("B/P", "--credentials", put_file("none", 0600, "[other]\nregion=x\n"), "[default]");
    bad("B/P", "--credentials", put_file("half", 0600, "[default]\naws_access_key_id=k\n"), "aws_secret_access_key");
    bad("B/P", "--credentials", put_file("half", 0600, "[B]\naws_secret_access_key=hunter2\n"), "aws_access_key_id");
    bad("B/P", "--credentials", put_file("broken", 0600, "[default]\n\nhunter2\n"), "line 3");
}

static void the_default_file_is_the_last_source(void **state)
{
    (void)state;
    put_file(".config/r2fs/credentials", 0600, "[default]\naws_access_key_id=fk\naws_secret_access_key=fs\nendpoint_url=https://file\n");
    environment(NULL);
    good("B/P", NULL, NULL);
    expect("fk", "fs", NULL, "https://file", NULL);
    ENV("S3_ACCESS_KEY=k", "S3_ACCESS_SECRET=s");
    good("B/P", NULL, NULL);
    expect("k", "s", NULL, "https://file", NULL);
    put_file(".config/r2fs/credentials", 0644, "[default]\naws_access_key_id=fk\naws_secret_access_key=fs\n");
    environment(NULL);
    bad("B/P", NULL, NULL, "chmod 600");
    put_file(".config/r2fs/credentials", 0600, "");
}

static void a_session_token_of_three_thousand_bytes_comes_whole(void **state)
{
    char token[3001], text[4096];

    (void)state;
    for (size_t i = 0; i < sizeof token - 1; i++)
        token[i] = "ABCDEFGHIJabcdefghij0123456789+/=;#"[i * 7 % 35];
    token[0] = 'x';
    token[sizeof token - 1] = '\0';
    snprintf(text, sizeof text, "[default]\naws_session_token = %s\naws_access_key_id = k\naws_secret_access_key = s ; a comment that %0300d goes on\nregion = r\n", token, 7);
    environment(NULL);
    good("B/P", "--credentials", put_file("long", 0600, text));
    expect("k", "s", token, NULL, "r");
}

static void a_bucket_of_63_letters_finds_its_section(void **state)
{
    char bucket[64], text[512], source[80];

    (void)state;
    memset(bucket, 'b', 63);
    bucket[63] = '\0';
    snprintf(text, sizeof text, "[%s]\naws_access_key_id = k\naws_secret_access_key = s\n[%.62sc]\naws_access_key_id = no\n", bucket, bucket);
    snprintf(source, sizeof source, "%s/P", bucket);
    environment(NULL);
    good(source, "--credentials", put_file("long", 0600, text));
    expect("k", "s", NULL, NULL, NULL);
}

static void a_remote_of_rclone_conf(void **state)
{
    const char *path = put_file("rclone.conf", 0644,
                                "[other]\ntype = drive\n\n[r2]\ntype = s3\nprovider = Cloudflare\naccess_key_id = rk\nsecret_access_key = rs\n"
                                "session_token = rt\nendpoint = acc.r2.cloudflarestorage.com\nregion = auto\nacl = private\nforce_path_style = false\n");
    (void)state;
    ENV("S3_ACCESS_KEY=k", "S3_ACCESS_SECRET=s", "S3_ENDPOINT_URL=http://e");
    good("r2:B/P", "--config", path);
    expect("rk", "rs", "rt", "https://acc.r2.cloudflarestorage.com", "auto");
    assert_true(conf.virtual_host);
    assert_string_equal(conf.source, "r2:B/P");
    ENV("RCLONE_CONFIG=", "RCLONE_CONFIG_R2_ACCESS_KEY_ID=ek", "RCLONE_CONFIG_R2_SECRET_ACCESS_KEY=");
    good("r2:B/P", "--config", path);
    expect("ek", "rs", "rt", "https://acc.r2.cloudflarestorage.com", "auto");
    bad("other:B/P", "--config", path, "type drive");
    bad("nowhere:B/P", "--config", path, "no remote nowhere");
    put_file(".config/rclone/rclone.conf", 0600, "[h]\ntype = s3\nenv_auth = true\nendpoint = http://h\n");
    ENV("AWS_ACCESS_KEY_ID=k", "AWS_SECRET_ACCESS_KEY=s");
    good("h:B/P", NULL, NULL);
    expect("k", "s", NULL, "http://h", NULL);
}

static void a_remote_of_the_environment_alone(void **state)
{
    (void)state;
    ENV("RCLONE_CONFIG_X_TYPE=s3", "RCLONE_CONFIG_X_ACCESS_KEY_ID=k", "RCLONE_CONFIG_X_SECRET_ACCESS_KEY=s", "RCLONE_CONFIG_X_ENDPOINT=http://e");
    good("x:B/P", "--config", "/nowhere/rclone.conf");
    expect("k", "s", NULL, "http://e", NULL);
}

static void remotes_that_are_refused(void **state)
{
    (void)state;
    environment(NULL);
    bad("r:B/P", "--config", put_file("r", 0600, "# Encrypted rclone configuration File\n\nRCLONE_ENCRYPT_V0:\nhunter2hunter2==\n"), "encrypted");
    bad("r:B/P", "--config", put_file("r", 0600, "[r]\ntype = s3\nsecret_access_key = ${KEY}\n"), "secret_access_key");
    bad("r:B/P", "--config", put_file("r", 0600, "[r]\ntype = s3\nchunk_size = ${SIZE}\n"), "chunk_size");
    bad("r:B/P", "--config", put_file("r", 0600, "[r]\naccess_key_id = k\n"), "no type");
    bad("r:B/P", "--config", put_file("r", 0600, "[r]\ntype = s3\naccess_key_id = k\n"), "secret_access_key of remote r");
    bad("r:B/P", "--config", put_file("r", 0600, "[r]\ntype=s3\nprovider=Cloudflare\naccess_key_id=k\nsecret_access_key=s\n"), "no endpoint");
    bad("r:B/P", "--config", put_file("r", 0600, "[r]\ntype=s3\nforce_path_style=perhaps\n"), "force_path_style");
    good("r:B/P", "--config", put_file("r", 0600, "[r]\ntype=s3\nprovider=AWS\naccess_key_id=k\nsecret_access_key=s\nregion=eu-west-1\n"));
    expect("k", "s", NULL, NULL, "eu-west-1");
}

static void the_command_line_goes_before_everything(void **state)
{
    (void)state;
    ENV("S3_ACCESS_KEY=k", "S3_ACCESS_SECRET=s", "S3_ENDPOINT_URL=http://e", "S3_REGION=r");
    good("B/P", "--s3-endpoint", "http://flag");
    expect("k", "s", NULL, "http://flag", "r");
    good("B/P", "--s3-region", "flag");
    expect("k", "s", NULL, "http://e", "flag");
}

static void a_key_that_changed_in_its_file_is_found_again(void **state)
{
    struct s3_cred cred = { .key_id = NULL };

    (void)state;
    environment(NULL);
    const char *path = put_file("rotating", 0600, "[default]\naws_access_key_id=k1\naws_secret_access_key=s1\n");
    good("B/P", "--credentials", path);
    put_file("rotating", 0600, "[default]\naws_access_key_id=k2\naws_secret_access_key=s2\naws_session_token=t2\n");
    assert_int_equal(conf_reload(&conf, &cred, &error), 0);
    assert_string_equal(cred.key_id, "k2");
    assert_string_equal(cred.token, "t2");
    s3_cred_fini(&cred);
    expect("k1", "s1", NULL, NULL, NULL);
    put_file("rotating", 0600, "[default]\naws_access_key_id=k3\n");
    assert_int_equal(conf_reload(&conf, &cred, &error), -EINVAL);
}

static void a_protected_process_leaves_no_core(void **state)
{
    struct rlimit limit;
    int status;
    pid_t pid = fork();

    (void)state;
    if (pid == 0) {
        conf_protect();
        _exit(prctl(PR_GET_DUMPABLE) || getrlimit(RLIMIT_CORE, &limit) || limit.rlim_max);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

static void owners(void **state)
{
    (void)state;
    ENV("S3_ACCESS_KEY=k", "S3_ACCESS_SECRET=s", "SUDO_UID=1234", "SUDO_GID=5678");
    good("B/P", NULL, NULL);
    assert_int_equal(conf.uid, geteuid() == 0 ? 1234 : geteuid());
    assert_int_equal(conf.gid, geteuid() == 0 ? 5678 : getegid());
    good("B/P", "--uid", "42");
    assert_int_equal(conf.uid, 42);
    ENV("S3_ACCESS_KEY=k", "S3_ACCESS_SECRET=s", "SUDO_UID=bogus");
    good("B/P", NULL, NULL);
    assert_int_equal(conf.uid, geteuid());
}

static void cache_directory_and_sizes(void **state)
{
    char wanted[128];

    (void)state;
    ENV("S3_ACCESS_KEY=k", "S3_ACCESS_SECRET=s", "XDG_CACHE_HOME=/x/cache");
    good("B/P", NULL, NULL);
    snprintf(wanted, sizeof wanted, "%s", geteuid() == 0 ? "/var/cache/r2fs" : "/x/cache/r2fs");
    assert_string_equal(conf.cache_dir, wanted);
    assert_true(conf.cache_size <= 10ull << 30);
    assert_true(conf.cache_min_free > 0 && conf.cache_min_free <= 1ull << 30);
    assert_false(conf.cache_size_given);
    good("B/P", "--cache-dir", "/tmp/not/there/yet");
    assert_string_equal(conf.cache_dir, "/tmp/not/there/yet");
    good("B/P", "--cache-size", "off");
    assert_true(conf.cache_size == CONF_UNLIMITED && conf.cache_size_given);
}

static void the_mount_point_is_absolute_and_resolved_above(void **state)
{
    char link[128], source[128], wanted[128];

    (void)state;
    ENV("S3_ACCESS_KEY=k", "S3_ACCESS_SECRET=s");
    snprintf(source, sizeof source, "%s/real", home);
    snprintf(wanted, sizeof wanted, "%s/real/missing", home);
    snprintf(link, sizeof link, "%s/link", home);
    mkdir(source, 0700);
    assert_int_equal(symlink("real", link), 0);
    assert_int_equal(chdir(home), 0);
    char *argv[] = { (char *)"r2fs", (char *)"mount", (char *)"B/P", (char *)"link/missing/", NULL };
    conf_fini(&conf);
    assert_int_equal(conf_parse(&conf, 4, argv, &error), 0);
    assert_int_equal(conf_complete(&conf, &error), 0);
    assert_string_equal(conf.path, wanted);
    assert_int_equal(chdir("/"), 0);
}

static int set_up(void **state)
{
    const char *output = getenv("CMOCKA_MESSAGE_OUTPUT");

    (void)state;
    if (output)
        snprintf(message_output, sizeof message_output, "%s", output);
    snprintf(home, sizeof home, "/tmp/r2fs-conf.XXXXXX");
    return mkdtemp(home) ? 0 : -1;
}

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path);
}

static int tear_down(void **state)
{
    (void)state;
    conf_fini(&conf);
    return nftw(home, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(s3_variables),
        cmocka_unit_test(r2_and_aws_variables),
        cmocka_unit_test(empty_counts_as_unset),
        cmocka_unit_test(a_key_is_never_mixed_from_two_sources),
        cmocka_unit_test(without_any_key_it_says_where_to_put_one),
        cmocka_unit_test(a_template_not_filled_in_is_refused),
        cmocka_unit_test(a_credentials_file_goes_before_the_environment),
        cmocka_unit_test(a_credentials_file_that_others_can_read_is_refused),
        cmocka_unit_test(faults_of_a_credentials_file_are_named),
        cmocka_unit_test(the_default_file_is_the_last_source),
        cmocka_unit_test(a_session_token_of_three_thousand_bytes_comes_whole),
        cmocka_unit_test(a_bucket_of_63_letters_finds_its_section),
        cmocka_unit_test(a_remote_of_rclone_conf),
        cmocka_unit_test(a_remote_of_the_environment_alone),
        cmocka_unit_test(remotes_that_are_refused),
        cmocka_unit_test(the_command_line_goes_before_everything),
        cmocka_unit_test(a_key_that_changed_in_its_file_is_found_again),
        cmocka_unit_test(a_protected_process_leaves_no_core),
        cmocka_unit_test(owners),
        cmocka_unit_test(cache_directory_and_sizes),
        cmocka_unit_test(the_mount_point_is_absolute_and_resolved_above),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}

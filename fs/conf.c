/*
 * What a command line asks for as a whole: defaults, rules between options, and the life of struct conf.
 */
#include "fs/conf.h"

#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "fs/conf_option.h"
#include "fs/explain.h"

static const char *const command_names[CONF_COMMAND_COUNT] = {
    [CONF_HELP] = "help",     [CONF_MOUNT] = "mount", [CONF_UMOUNT] = "umount",   [CONF_FLUSH] = "flush",
    [CONF_STATUS] = "status", [CONF_LS] = "ls",       [CONF_VERSION] = "version",
};

const char *conf_command_name(enum conf_command command)
{
    return command_names[command];
}

enum conf_command conf_command_find(const char *word)
{
    if (!strcmp(word, "unmount"))
        return CONF_UMOUNT;
    for (int i = 0; i < CONF_COMMAND_COUNT; i++)
        if (!strcmp(word, command_names[i]))
            return (enum conf_command)i;
    return CONF_COMMAND_COUNT;
}

int conf_fail(struct conf_error *error, int code, int exit_code, const char *format, ...)
{
    va_list list;

    error->exit_code = exit_code;
    va_start(list, format);
    vsnprintf(error->message, sizeof error->message, format, list);
    va_end(list);
    for (char *c = error->message; *c; c++)
        if ((unsigned char)*c < ' ' || *c == 127)
            *c = '?';
    return code;
}

static int no_memory(struct conf_error *error)
{
    return conf_fail(error, -ENOMEM, EXIT_MACHINE, "out of memory");
}

int conf_absolute(char **text)
{
    char here[PATH_MAX], *joined;

    if ((*text)[0] == '/')
        return 0;
    if (!getcwd(here, sizeof here))
        return -errno;
    if (asprintf(&joined, "%s/%s", strcmp(here, "/") ? here : "", *text) < 0)
        return -ENOMEM;
    free(*text);
    *text = joined;
    return 0;
}

/* ---- rules ---- */

/* SOURCE and DIR or PATH. */
static int take_words(struct conf *conf, char **words, int count, struct conf_error *error)
{
    static const char *const usage[CONF_COMMAND_COUNT] = {
        [CONF_MOUNT] = "SOURCE DIR", [CONF_UMOUNT] = "DIR", [CONF_FLUSH] = "PATH", [CONF_STATUS] = "PATH", [CONF_LS] = "SOURCE",
    };
    int wanted = conf->command == CONF_MOUNT ? 2 : usage[conf->command] ? 1 : 0;

    if (conf->command == CONF_HELP && count == 1) {
        conf->command = conf_command_find(words[0]);
        if (conf->command != CONF_COMMAND_COUNT)
            return 0;
        conf->command = CONF_HELP;
    }
    if (count != wanted)
        return conf_fail(error, -EINVAL, EXIT_USAGE, "r2fs %s takes %s%s, not %d argument%s; see r2fs %s --help",
                         conf_command_name(conf->command), wanted ? "" : "no argument", wanted ? usage[conf->command] : "", count,
                         count == 1 ? "" : "s", conf_command_name(conf->command));
    for (int i = 0; i < count; i++)
        if (!words[i][0])
            return conf_fail(error, -EINVAL, EXIT_USAGE, "r2fs %s: an argument is empty", conf_command_name(conf->command));
    if (conf->command == CONF_MOUNT || conf->command == CONF_LS) {
        conf->source = strdup(words[0]);
        if (!conf->source)
            return no_memory(error);
    }
    if (wanted && conf->command != CONF_LS) {
        conf->path = strdup(words[count - 1]);
        if (!conf->path)
            return no_memory(error);
    }
    return 0;
}

/* --poll-interval and --dir-cache-time are one knob. */
static int64_t poll_interval(const struct conf *conf)
{
    int64_t poll = conf->given->poll_ms, cache = conf->given->dir_cache_ms;
    bool stopped = poll == 0 || poll == CONF_NEVER;

    if (cache == 0)
        cache = 1000;
    if (cache > 0) {
        int64_t smaller = poll > 0 && !stopped && poll < cache ? poll : cache;
        return smaller == CONF_NEVER ? 0 : smaller;
    }
    if (poll < 0)
        return conf->read_only ? 30000 : 5000;
    return stopped ? 0 : poll;
}

static int64_t at_most_longest(int64_t ms)
{
    return ms < CONF_LONGEST ? ms : CONF_LONGEST;
}

static int apply_rules(struct conf *conf, struct conf_error *error)
{
    const struct conf_given *given = conf->given;

    if (conf->write_back_ms == CONF_NEVER)
        return conf_fail(error, -EINVAL, EXIT_USAGE, "option --write-back: without write-back nothing would reach the bucket; give a duration");
    conf->max_dirty_age_ms = given->max_dirty_age_ms < 0 ? 5000 : given->max_dirty_age_ms;
    if (conf->max_dirty_age_ms < conf->write_back_ms)
        conf->max_dirty_age_ms = conf->write_back_ms;
    conf->write_back_ms = at_most_longest(conf->write_back_ms);
    conf->max_dirty_age_ms = at_most_longest(conf->max_dirty_age_ms);
    conf->drain_given = given->drain_timeout_ms >= 0;
    if (conf->drain_given)
        conf->drain_timeout_ms = given->drain_timeout_ms;
    conf->poll_ms = at_most_longest(poll_interval(conf));
    conf->poll_idle_ms = at_most_longest(conf->poll_idle_ms);
    if (conf->poll_idle_ms <= conf->poll_ms)
        conf->poll_idle_ms = 0;
    conf->virtual_host = !given->path_style;

    int level = given->level >= 0 ? given->level : given->quiet ? (int)LOG_LEVEL_ERROR : (int)LOG_LEVEL_NOTICE;
    if (given->verbose && level < (int)LOG_LEVEL_NOTICE + given->verbose)
        level = (int)LOG_LEVEL_NOTICE + given->verbose;
    conf->log_level = level > (int)LOG_LEVEL_DEBUG ? LOG_LEVEL_DEBUG : (enum log_level)level;
    return 0;
}

static int set_defaults(struct conf *conf)
{
    memset(conf, 0, sizeof *conf);
    conf->given = calloc(1, sizeof *conf->given);
    if (!conf->given)
        return -ENOMEM;
    *conf->given = (struct conf_given) {
        .poll_ms = -1, .dir_cache_ms = -1, .max_dirty_age_ms = -1, .drain_timeout_ms = -1,
        .cache_size = CONF_SIZE_UNSET, .cache_min_free = CONF_SIZE_UNSET, .uid = -1, .gid = -1, .path_style = true, .level = -1,
    };
    conf->write_back_ms = 1000;
    conf->drain_timeout_ms = 30000;
    conf->keep_base = 64u << 20;
    conf->umask = 022;
    conf->file_perms = 0666;
    conf->dir_perms = 0777;
    conf->timeout_ms = CONF_NEVER;
    return 0;
}

int conf_parse(struct conf *conf, int argc, char *const argv[], struct conf_error *error)
{
    char **copy = NULL, **words = NULL;
    int count = 0, r;

    memset(error, 0, sizeof *error);
    r = set_defaults(conf) ? no_memory(error) : 0;
    if (r)
        goto out;
    /* getopt moves the pointers; the process's own argv stays as ps shows it. */
    copy = calloc((size_t)argc + 1, sizeof *copy);
    if (!copy) {
        r = no_memory(error);
        goto out;
    }
    memcpy(copy, argv, (size_t)argc * sizeof *copy);
    r = conf_args_take(conf, argc, copy, &words, &count, error);
    if (r)
        goto out;
    if (conf->given->version)
        conf->command = CONF_VERSION;
    if (conf->command == CONF_HELP && words)
        conf->help = true;
    if (words && (!conf->help || conf->command == CONF_HELP))
        r = take_words(conf, words, count, error);
    if (!r)
        r = apply_rules(conf, error);
out:
    if (r)
        conf_fini(conf);
    free(copy);
    return r;
}

int conf_complete(struct conf *conf, struct conf_error *error)
{
    int r = conf_source_parse(conf, error);

    if (!r)
        r = conf_cred_find(conf, error);
    if (!r)
        r = conf_default_fill(conf, error);
    return r;
}

int conf_reload(const struct conf *conf, struct s3_cred *cred, struct conf_error *error)
{
    struct conf fresh = { .command = conf->command, .remote = conf->remote, .bucket = conf->bucket, .given = conf->given };
    int r = conf_cred_find(&fresh, error);

    if (r)
        s3_cred_fini(&fresh.cred);
    else
        *cred = fresh.cred;
    free(fresh.endpoint);
    free(fresh.region);
    free(fresh.cred_from);
    free(fresh.endpoint_from);
    return r;
}

void conf_fini(struct conf *conf)
{
    char *strings[] = {
        conf->source, conf->devname, conf->remote, conf->bucket, conf->prefix, conf->path, conf->endpoint, conf->region,
        conf->ca_file, conf->user_agent, conf->cred_from, conf->endpoint_from, conf->cache_dir, conf->log_file,
    };

    for (size_t i = 0; i < sizeof strings / sizeof strings[0]; i++)
        free(strings[i]);
    s3_cred_fini(&conf->cred);
    for (size_t i = 0; i < conf->note_count; i++)
        free(conf->notes[i]);
    free(conf->notes);
    if (conf->given) {
        free(conf->given->config);
        free(conf->given->credentials);
        free(conf->given->endpoint);
        free(conf->given->region);
        free(conf->given);
    }
    memset(conf, 0, sizeof *conf);
}

void conf_log_notes(const struct conf *conf)
{
    for (size_t i = 0; i < conf->note_count; i++)
        log_notice("%s", conf->notes[i]);
}

void conf_s3_config(const struct conf *conf, struct s3_config *config)
{
    memset(config, 0, sizeof *config);
    config->endpoint = conf->endpoint;
    config->region = conf->region;
    config->bucket = conf->bucket;
    config->virtual_host = conf->virtual_host;
    config->ca_file = conf->ca_file;
    config->user_agent = conf->user_agent;
    config->cred = &conf->cred;
}

void conf_protect(void)
{
    const struct rlimit none = { 0, 0 };

    prctl(PR_SET_DUMPABLE, 0);
    setrlimit(RLIMIT_CORE, &none);
}

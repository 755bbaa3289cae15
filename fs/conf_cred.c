/*
 * Who we are, and where. Sources are asked in a fixed order; key id, secret and token come together from the first one that
 * has a key id, endpoint and region each from the first that has it. Empty counts as unset, everywhere.
 */
#include "fs/conf_cred.h"

#include <errno.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fs/explain.h"

static conf_cred_source environment_s3, environment_r2, environment_aws;

static conf_cred_source *const sources[] = {
    conf_credfile_given, conf_remote_read, environment_s3, environment_r2, environment_aws, conf_credfile_system, conf_credfile_home,
};

static int no_memory(struct conf_error *error)
{
    return conf_fail(error, -ENOMEM, EXIT_MACHINE, "out of memory");
}

const char *conf_env(const char *name)
{
    const char *value = getenv(name);

    return value && *value ? value : NULL;
}

static void wipe(char **string)
{
    if (*string) {
        explicit_bzero(*string, strlen(*string));
        free(*string);
        *string = NULL;
    }
}

int conf_set(char **field, const char *value)
{
    char *copy = NULL;

    if (value && *value) {
        copy = strdup(value);
        if (!copy)
            return -ENOMEM;
    }
    wipe(field);
    *field = copy;
    return 0;
}

void conf_source_fini(struct conf_source *source)
{
    wipe(&source->key_id);
    wipe(&source->secret);
    wipe(&source->token);
    free(source->endpoint);
    free(source->region);
    free(source->from);
    free(source->provider);
    memset(source, 0, sizeof *source);
}

char *conf_home_path(const char *below)
{
    const char *home = conf_env("HOME");
    struct passwd account, *found = NULL;
    char text[4096], *path;

    if (!home && !getpwuid_r(geteuid(), &account, text, sizeof text, &found) && found)
        home = account.pw_dir;
    if (!home || home[0] != '/' || asprintf(&path, "%s/%s", home, below) < 0)
        return NULL;
    return path;
}

/* ---- the environment ---- */

struct variables {
    const char *key_id[3], *secret[3], *token[2], *endpoint[3], *region[2]; /* the first that is set; ended by NULL */
};

/* The first that is set, *name its name; else the first name and NULL. */
static const char *first_of(const char *const names[], const char **name)
{
    *name = names[0];
    for (int i = 0; names[i]; i++) {
        const char *value = conf_env(names[i]);
        if (value) {
            *name = names[i];
            return value;
        }
    }
    return NULL;
}

static int read_environment(const struct variables *v, struct conf_source *found, struct conf_error *error)
{
    const char *key, *secret, *other;
    const char *key_id = first_of(v->key_id, &key), *key_secret = first_of(v->secret, &secret);

    snprintf(found->key_name, sizeof found->key_name, "%s in the environment", key);
    snprintf(found->secret_name, sizeof found->secret_name, "%s in the environment", secret);
    if (conf_set(&found->key_id, key_id) || conf_set(&found->secret, key_secret) ||
        conf_set(&found->token, first_of(v->token, &other)) || conf_set(&found->endpoint, first_of(v->endpoint, &other)) ||
        conf_set(&found->region, first_of(v->region, &other)))
        return no_memory(error);
    if (asprintf(&found->from, "the environment (%s)", key) < 0) {
        found->from = NULL;
        return no_memory(error);
    }
    return 0;
}

static int environment_s3(const struct conf *conf, struct conf_source *found, struct conf_error *error)
{
    static const struct variables v = {
        { "S3_ACCESS_KEY", "S3_ACCESS_KEY_ID" }, { "S3_ACCESS_SECRET", "S3_SECRET_ACCESS_KEY" }, { "S3_SESSION_TOKEN" },
        { "S3_ENDPOINT_URL" }, { "S3_REGION" },
    };
    (void)conf;
    return read_environment(&v, found, error);
}

static int environment_r2(const struct conf *conf, struct conf_source *found, struct conf_error *error)
{
    static const struct variables v = {
        { "R2_ACCESS_KEY", "R2_ACCESS_KEY_ID" }, { "R2_ACCESS_SECRET", "R2_SECRET_ACCESS_KEY" }, { "R2_SESSION_TOKEN" },
        { "R2_ENDPOINT_URL" }, { "R2_REGION" },
    };
    (void)conf;
    return read_environment(&v, found, error);
}

static int environment_aws(const struct conf *conf, struct conf_source *found, struct conf_error *error)
{
    static const struct variables v = {
        { "AWS_ACCESS_KEY_ID" }, { "AWS_SECRET_ACCESS_KEY" }, { "AWS_SESSION_TOKEN" },
        { "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL" }, { "AWS_REGION" },
    };
    (void)conf;
    return read_environment(&v, found, error);
}

/* ---- the search ---- */

/* A template that nobody filled in (`${S3_ACCESS_KEY}`) is never a value. */
static int check_filled(const struct conf_source *found, struct conf_error *error)
{
    const struct {
        const char *value, *what;
    } fields[] = {
        { found->key_id, "key id" }, { found->secret, "secret" }, { found->token, "session token" },
        { found->endpoint, "endpoint" }, { found->region, "region" }, { found->provider, "provider" },
    };

    for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++)
        if (fields[i].value && strstr(fields[i].value, "${"))
            return conf_fail(error, -EINVAL, EXIT_USAGE, "the %s from %s still contains a placeholder ${…}: fill it in", fields[i].what,
                             found->from);
    return 0;
}

static int check_pair(const struct conf_source *found, struct conf_error *error)
{
    if (!found->key_id == !found->secret)
        return 0;
    return conf_fail(error, -EINVAL, EXIT_USAGE, "%s is set but %s is not: a key needs both",
                     found->key_id ? found->key_name : found->secret_name, found->key_id ? found->secret_name : found->key_name);
}

static void move(char **to, char **from)
{
    if (!*to && *from) {
        *to = *from;
        *from = NULL;
    }
}

/* The search so far, beside conf: a secret seen without its key id, which is an error only when no source has one. */
struct search {
    struct conf_error half;
    char *provider;
    char *endpoint_from;
};

static int take_source(struct conf *conf, struct search *search, struct conf_source *found, struct conf_error *error)
{
    int r = check_filled(found, error);

    if (r)
        return r;
    if (!conf->cred.key_id && found->key_id) {
        r = check_pair(found, error);
        if (r)
            return r;
        move(&conf->cred.key_id, &found->key_id);
        move(&conf->cred.secret, &found->secret);
        move(&conf->cred.token, &found->token);
        if (conf_set(&conf->cred_from, found->from))
            return no_memory(error);
    } else if (!conf->cred.key_id && found->secret && !search->half.exit_code) {
        check_pair(found, &search->half);
    }
    if (!conf->endpoint && found->endpoint && conf_set(&conf->endpoint_from, found->from))
        return no_memory(error);
    move(&conf->endpoint, &found->endpoint);
    move(&conf->region, &found->region);
    move(&search->provider, &found->provider);
    if (found->path_style_set)
        conf->virtual_host = !found->path_style;
    return 0;
}

/* rclone takes an endpoint without a scheme; a slash at its end means nothing. */
static int normalise_endpoint(struct conf *conf)
{
    char *url = conf->endpoint;

    if (!url)
        return 0;
    if (!strstr(url, "://")) {
        if (asprintf(&conf->endpoint, "https://%s", url) < 0) {
            conf->endpoint = url;
            return -ENOMEM;
        }
        free(url);
        url = conf->endpoint;
    }
    for (size_t n = strlen(url); n > 0 && url[n - 1] == '/'; n--)
        url[n - 1] = '\0';
    return 0;
}

int conf_cred_find(struct conf *conf, struct conf_error *error)
{
    struct search search = { .provider = NULL };
    struct conf_source flags = { .provider = NULL };
    int r = 0;

    if (conf_set(&flags.endpoint, conf->given->endpoint) || conf_set(&flags.region, conf->given->region) ||
        conf_set(&flags.from, "the command line"))
        r = no_memory(error);
    if (!r)
        r = take_source(conf, &search, &flags, error);
    conf_source_fini(&flags);
    for (size_t i = 0; i < sizeof sources / sizeof sources[0] && !r; i++) {
        struct conf_source found = { .provider = NULL };
        if (conf->cred.key_id && conf->endpoint && conf->region)
            break;
        r = sources[i](conf, &found, error);
        if (!r)
            r = take_source(conf, &search, &found, error);
        conf_source_fini(&found);
    }
    if (!r && !conf->cred.key_id) {
        if (search.half.exit_code) {
            *error = search.half;
            r = -EINVAL;
        } else {
            r = conf_fail(error, -EINVAL, EXIT_USAGE,
                          "no access key found: set S3_ACCESS_KEY and S3_ACCESS_SECRET (or R2_…, AWS_…), or name a file by --credentials");
        }
    }
    if (!r && !conf->endpoint && search.provider && strcasecmp(search.provider, "AWS") != 0)
        r = conf_fail(error, -EINVAL, EXIT_USAGE, "remote %s is of provider %s but there is no endpoint: add endpoint = URL to it, or set S3_ENDPOINT_URL",
                      conf->remote, search.provider);
    if (!r && normalise_endpoint(conf))
        r = no_memory(error);
    free(search.provider);
    return r;
}

/*
 * Remotes of rclone.conf (https://rclone.org/docs/#config-config-file): a section of type s3 gives keys, endpoint and region;
 * RCLONE_CONFIG_<NAME>_<KEY> in the environment goes before the file. All other keys are read and never sent.
 */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "fs/conf_cred.h"
#include "fs/conf_ini.h"
#include "fs/conf_value.h"
#include "fs/explain.h"

struct reading {
    const char *remote;
    bool seen;
    char *type, *path_style, *env_auth;
    char *placeholder; /* the key whose value still contains ${ */
    struct conf_source *found;
};

static int take(void *user, const char *section, const char *name, const char *value)
{
    struct reading *reading = user;
    struct conf_source *found = reading->found;
    const struct {
        const char *name;
        char **field;
    } keys[] = {
        { "type", &reading->type }, { "provider", &found->provider }, { "access_key_id", &found->key_id },
        { "secret_access_key", &found->secret }, { "session_token", &found->token }, { "endpoint", &found->endpoint },
        { "region", &found->region }, { "force_path_style", &reading->path_style }, { "env_auth", &reading->env_auth },
    };

    if (strcmp(section, reading->remote) != 0)
        return 0;
    reading->seen = true;
    if (strstr(value, "${") && !reading->placeholder)
        return conf_set(&reading->placeholder, name);
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++)
        if (!strcmp(name, keys[i].name))
            return conf_set(keys[i].field, value);
    return 0;
}

/* RCLONE_CONFIG_<NAME>_<KEY>; a variable that is empty counts as unset. */
static int take_environment(struct reading *reading)
{
    static const char *const keys[] = {
        "type", "provider", "access_key_id", "secret_access_key", "session_token", "endpoint", "region", "force_path_style", "env_auth",
    };
    char name[256];

    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        if (snprintf(name, sizeof name, "RCLONE_CONFIG_%s_%s", reading->remote, keys[i]) >= (int)sizeof name)
            continue;
        for (char *c = name; *c; c++)
            *c = (char)toupper((unsigned char)*c);
        const char *value = conf_env(name);
        int r = value ? take(reading, reading->remote, keys[i], value) : 0;
        if (r)
            return r;
    }
    return 0;
}

/* --config, RCLONE_CONFIG, else rclone's place. The caller's; NULL: no home. */
static char *config_path(const struct conf *conf)
{
    const char *named = conf->given->config ? conf->given->config : conf_env("RCLONE_CONFIG"), *base = conf_env("XDG_CONFIG_HOME");
    char *path = NULL;

    if (named)
        return strdup(named);
    if (base && asprintf(&path, "%s/rclone/rclone.conf", base) < 0)
        path = NULL;
    if (path && !access(path, F_OK))
        return path;
    free(path);
    return conf_home_path(".config/rclone/rclone.conf");
}

static bool is_encrypted(const char *text)
{
    while (*text) {
        text += strspn(text, " \t\r\n");
        if (!strncmp(text, "RCLONE_ENCRYPT_V", 16))
            return true;
        if (*text != '#' && *text != ';')
            return false;
        text += strcspn(text, "\n");
    }
    return false;
}

/* *absent: there is no such file, which is an error only when the environment does not define the remote. */
static int read_file(const char *path, struct reading *reading, bool *absent, struct conf_error *error)
{
    char *text;
    size_t length;
    int line = 0, r, fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

    *absent = false;
    if (fd < 0) {
        *absent = errno == ENOENT || errno == ENOTDIR;
        return *absent ? 0 : conf_fail(error, -errno, EXIT_USAGE, "rclone configuration %s: %s", path, strerror(errno));
    }
    r = conf_ini_load(fd, &text, &length);
    close(fd);
    if (r)
        return conf_fail(error, r, EXIT_USAGE, "rclone configuration %s: %s", path, strerror(-r));
    if (is_encrypted(text)) {
        r = conf_fail(error, -EINVAL, EXIT_USAGE,
                      "rclone configuration %s is encrypted, which r2fs does not read: take the password off (rclone config), or use --credentials", path);
    } else {
        r = conf_ini_parse(text, take, reading, &line);
        if (r == -EINVAL)
            conf_fail(error, r, EXIT_USAGE, "rclone configuration %s: line %d is neither [remote], key = value nor a comment", path, line);
        else if (r)
            conf_fail(error, r, EXIT_MACHINE, "rclone configuration %s: %s", path, strerror(-r));
    }
    conf_ini_free(text, length);
    return r;
}

static int check(const struct reading *reading, const char *path, bool absent, struct conf_error *error)
{
    const char *remote = reading->remote;
    bool ignored;

    if (!reading->seen)
        return conf_fail(error, -ENOENT, EXIT_USAGE, "there is no remote %s in %s%s; name the file by --config", remote,
                         path ? path : "rclone.conf", absent ? " (no such file)" : "");
    if (reading->placeholder)
        return conf_fail(error, -EINVAL, EXIT_USAGE, "remote %s: the value of %s still contains a placeholder ${…}: fill it in", remote,
                         reading->placeholder);
    if (!reading->type)
        return conf_fail(error, -EINVAL, EXIT_USAGE, "remote %s has no type; r2fs mounts remotes of type s3", remote);
    if (strcmp(reading->type, "s3") != 0)
        return conf_fail(error, -EINVAL, EXIT_USAGE, "remote %s is of type %s; r2fs mounts remotes of type s3 only", remote, reading->type);
    if (reading->path_style && conf_value_flag(reading->path_style, &ignored))
        return conf_fail(error, -EINVAL, EXIT_USAGE, "remote %s: force_path_style is neither true nor false", remote);
    if (reading->env_auth && conf_value_flag(reading->env_auth, &ignored))
        return conf_fail(error, -EINVAL, EXIT_USAGE, "remote %s: env_auth is neither true nor false", remote);
    return 0;
}

int conf_remote_read(const struct conf *conf, struct conf_source *found, struct conf_error *error)
{
    struct reading reading = { .remote = conf->remote, .found = found };
    char *path = NULL;
    bool absent = true;
    int r = 0;

    if (!conf->remote)
        return 0;
    path = config_path(conf);
    if (path)
        r = read_file(path, &reading, &absent, error);
    if (!r && take_environment(&reading))
        r = conf_fail(error, -ENOMEM, EXIT_MACHINE, "out of memory");
    if (!r)
        r = check(&reading, path, absent, error);
    if (!r && reading.path_style) {
        found->path_style_set = true;
        conf_value_flag(reading.path_style, &found->path_style);
    }
    snprintf(found->key_name, sizeof found->key_name, "access_key_id of remote %.60s", conf->remote);
    snprintf(found->secret_name, sizeof found->secret_name, "secret_access_key of remote %.60s", conf->remote);
    if (!r && asprintf(&found->from, "remote %s of %s", conf->remote, absent || !path ? "the environment" : path) < 0) {
        found->from = NULL;
        r = conf_fail(error, -ENOMEM, EXIT_MACHINE, "out of memory");
    }
    free(reading.type);
    free(reading.path_style);
    free(reading.env_auth);
    free(reading.placeholder);
    free(path);
    return r;
}

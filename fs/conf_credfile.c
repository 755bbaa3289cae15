/*
 * Credentials files of our own: INI with the names that Amazon's have (aws_access_key_id, aws_secret_access_key,
 * aws_session_token), endpoint_url and region; a section named after the bucket, else [default].
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fs/conf_cred.h"
#include "fs/conf_ini.h"
#include "fs/explain.h"

struct reading {
    const char *bucket;
    struct conf_source of_bucket, of_default;
    bool has_bucket, has_default;
};

static int take(void *user, const char *section, const char *name, const char *value)
{
    struct reading *reading = user;
    struct conf_source *to;

    if (!strcmp(section, reading->bucket)) {
        to = &reading->of_bucket;
        reading->has_bucket = true;
    } else if (!strcmp(section, "default")) {
        to = &reading->of_default;
        reading->has_default = true;
    } else {
        return 0;
    }
    if (!strcmp(name, "aws_access_key_id"))
        return conf_set(&to->key_id, value);
    if (!strcmp(name, "aws_secret_access_key"))
        return conf_set(&to->secret, value);
    if (!strcmp(name, "aws_session_token"))
        return conf_set(&to->token, value);
    if (!strcmp(name, "endpoint_url"))
        return conf_set(&to->endpoint, value);
    if (!strcmp(name, "region"))
        return conf_set(&to->region, value);
    return 0;
}

/* The file's text, if nobody else can read or change it. */
static int load(const char *path, char **text, size_t *length, struct conf_error *error)
{
    struct stat st;
    int fd, r;

    /* Not blocking, or a FIFO would hold us. */
    fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return conf_fail(error, -errno, EXIT_USAGE, "credentials file %s: %s", path, strerror(errno));
    if (fstat(fd, &st))
        r = conf_fail(error, -errno, EXIT_USAGE, "credentials file %s: %s", path, strerror(errno));
    else if (!S_ISREG(st.st_mode))
        r = conf_fail(error, -EINVAL, EXIT_USAGE, "credentials file %s is not a regular file", path);
    else if (st.st_mode & 066)
        r = conf_fail(error, -EPERM, EXIT_USAGE, "credentials file %s can be read or changed by others (mode %03o): chmod 600 it", path,
                      (unsigned)st.st_mode & 0777);
    else if ((r = conf_ini_load(fd, text, length)))
        conf_fail(error, r, EXIT_USAGE, "credentials file %s: %s", path, strerror(-r));
    close(fd);
    return r;
}

static int choose(const char *path, struct reading *reading, struct conf_source *found, struct conf_error *error)
{
    struct conf_source *from = reading->has_bucket ? &reading->of_bucket : &reading->of_default;
    const char *section = reading->has_bucket ? reading->bucket : "default";

    *found = *from;
    memset(from, 0, sizeof *from);
    snprintf(found->key_name, sizeof found->key_name, "aws_access_key_id in [%.60s] of the credentials file", section);
    snprintf(found->secret_name, sizeof found->secret_name, "aws_secret_access_key in [%.60s] of the credentials file", section);
    if (asprintf(&found->from, "[%s] of %s", section, path) < 0) {
        found->from = NULL;
        return conf_fail(error, -ENOMEM, EXIT_MACHINE, "out of memory");
    }
    return 0;
}

static int read_file(const struct conf *conf, const char *path, bool must, struct conf_source *found, struct conf_error *error)
{
    struct reading reading = { .bucket = conf->bucket };
    char *text = NULL;
    size_t length = 0;
    int line = 0, r;

    r = load(path, &text, &length, error);
    /* A default file that is not ours (root's) or not there is no source. */
    if (!must && (r == -ENOENT || r == -ENOTDIR || r == -EACCES))
        return 0;
    if (r)
        return r;
    r = conf_ini_parse(text, take, &reading, &line);
    conf_ini_free(text, length);
    if (r == -EINVAL)
        conf_fail(error, r, EXIT_USAGE, "credentials file %s: line %d is neither [section], name = value nor a comment", path, line);
    else if (r)
        conf_fail(error, r, EXIT_MACHINE, "credentials file %s: %s", path, strerror(-r));
    else if (reading.has_bucket || reading.has_default)
        r = choose(path, &reading, found, error);
    else if (must)
        r = conf_fail(error, -ENOENT, EXIT_USAGE, "credentials file %s has neither a section [%s] nor [default]", path, conf->bucket);
    conf_source_fini(&reading.of_bucket);
    conf_source_fini(&reading.of_default);
    return r;
}

int conf_credfile_given(const struct conf *conf, struct conf_source *found, struct conf_error *error)
{
    return conf->given->credentials ? read_file(conf, conf->given->credentials, true, found, error) : 0;
}

int conf_credfile_system(const struct conf *conf, struct conf_source *found, struct conf_error *error)
{
    return read_file(conf, "/etc/r2fs/credentials", false, found, error);
}

int conf_credfile_home(const struct conf *conf, struct conf_source *found, struct conf_error *error)
{
    char *path = conf_home_path(".config/r2fs/credentials");
    int r = path ? read_file(conf, path, false, found, error) : 0;

    free(path);
    return r;
}

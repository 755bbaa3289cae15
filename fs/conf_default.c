/*
 * What the command line left open and the machine decides: directories, sizes, owners. Absolute paths, since the daemon
 * leaves the working directory.
 */
#include <errno.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "fs/conf_cred.h"
#include "fs/conf_value.h"
#include "fs/explain.h"

#define GIBI (1ull << 30)

static int no_memory(struct conf_error *error)
{
    return conf_fail(error, -ENOMEM, EXIT_MACHINE, "out of memory");
}

static int default_cache_dir(struct conf *conf, struct conf_error *error)
{
    const char *base = conf_env("XDG_CACHE_HOME");

    if (conf->cache_dir)
        return 0;
    if (geteuid() == 0)
        conf->cache_dir = strdup("/var/cache/r2fs");
    else if (base && base[0] == '/') {
        if (asprintf(&conf->cache_dir, "%s/r2fs", base) < 0)
            conf->cache_dir = NULL;
    } else {
        conf->cache_dir = conf_home_path(".cache/r2fs");
        if (!conf->cache_dir)
            return conf_fail(error, -ENOENT, EXIT_USAGE, "there is no home directory to keep the cache in: give --cache-dir");
    }
    return conf->cache_dir ? 0 : no_memory(error);
}

/* Of the file system that the cache directory is on, or will be. */
static int nearest_statvfs(const char *path, struct statvfs *st)
{
    char *copy = strdup(path), *at = copy;
    int r = 0;

    if (!copy)
        return -ENOMEM;
    while (statvfs(at, st)) {
        r = -errno;
        if ((r != -ENOENT && r != -ENOTDIR) || !strcmp(at, "/"))
            break;
        at = dirname(at);
        r = 0;
    }
    free(copy);
    return r;
}

static int default_sizes(struct conf *conf, struct conf_error *error)
{
    const struct conf_given *given = conf->given;
    struct statvfs st;

    conf->cache_size_given = given->cache_size != CONF_SIZE_UNSET;
    conf->cache_size = given->cache_size;
    conf->cache_min_free = given->cache_min_free == CONF_UNLIMITED ? 0 : given->cache_min_free;
    if (conf->cache_size_given && given->cache_min_free != CONF_SIZE_UNSET)
        return 0;
    int r = nearest_statvfs(conf->cache_dir, &st);
    if (r)
        return conf_fail(error, r, EXIT_MACHINE, "cache directory %s: %s; name another by --cache-dir", conf->cache_dir, strerror(-r));
    if (!conf->cache_size_given) {
        uint64_t half = (uint64_t)st.f_bavail * st.f_frsize / 2;
        conf->cache_size = half < 10 * GIBI ? half : 10 * GIBI;
    }
    if (given->cache_min_free == CONF_SIZE_UNSET) {
        uint64_t part = (uint64_t)st.f_blocks * st.f_frsize / 20;
        conf->cache_min_free = part < GIBI ? part : GIBI;
    }
    return 0;
}

static int64_t sudo_id(const char *name)
{
    const char *text = conf_env(name);
    int64_t id;

    /* Anybody can set these; sudo sets them for root. */
    return geteuid() == 0 && text && !conf_value_id(text, &id) ? id : -1;
}

static void default_owner(struct conf *conf)
{
    int64_t sudo_uid = sudo_id("SUDO_UID"), sudo_gid = sudo_id("SUDO_GID");
    int64_t uid = conf->given->uid >= 0 ? conf->given->uid : sudo_uid;
    int64_t gid = conf->given->gid >= 0 ? conf->given->gid : sudo_gid;

    conf->uid = uid >= 0 ? (uid_t)uid : geteuid();
    conf->gid = gid >= 0 ? (gid_t)gid : getegid();
    conf->owner = sudo_uid >= 0 ? (uid_t)sudo_uid : getuid();
}

/* A path's last step without looking at what it leads to: a mount there may hang. readlink(2) asks the kernel alone. */
static bool is_plain_step(const char *path, const char *name)
{
    char target[1];

    return *name && strcmp(name, ".") != 0 && strcmp(name, "..") != 0 && readlink(path, target, sizeof target) < 0;
}

/* The mount point's absolute path with the symlinks above it resolved; it may be missing, or a dead mount. */
static int resolve_place(struct conf *conf, struct conf_error *error)
{
    char whole[PATH_MAX], *resolved = NULL;

    if (conf_absolute(&conf->path))
        return no_memory(error);
    for (size_t n = strlen(conf->path); n > 1 && conf->path[n - 1] == '/'; n--)
        conf->path[n - 1] = '\0';
    const char *name = strrchr(conf->path, '/') + 1;
    if (is_plain_step(conf->path, name)) {
        char *parent = strndup(conf->path, (size_t)(name - conf->path));
        if (!parent)
            return no_memory(error);
        const char *above = realpath(parent, whole);
        free(parent);
        if (!above)
            return 0;
        if (asprintf(&resolved, "%s/%s", strcmp(above, "/") != 0 ? above : "", name) < 0)
            resolved = NULL;
    } else if (realpath(conf->path, whole)) {
        resolved = strdup(whole);
    } else {
        return 0;
    }
    if (!resolved)
        return no_memory(error);
    free(conf->path);
    conf->path = resolved;
    return 0;
}

int conf_default_fill(struct conf *conf, struct conf_error *error)
{
    int r = default_cache_dir(conf, error);

    if (r || conf->command != CONF_MOUNT)
        return r;
    default_owner(conf);
    r = default_sizes(conf, error);
    return r ? r : resolve_place(conf, error);
}

#include "cache/spool.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "s3/base/buf.h"

/* FNV-1a: it only keeps names apart that read the same; the index holds the identity itself. */
static uint64_t hash(const char *text)
{
    uint64_t h = 14695981039346656037u;
    for (; *text; text++)
        h = (h ^ (uint8_t)*text) * 1099511628211u;
    return h;
}

static char *identity_of(const char *endpoint, const char *bucket, const char *prefix)
{
    struct buf b = BUF_INIT(8192);
    buf_printf(&b, "%s\n%s\n%s", endpoint ? endpoint : "", bucket, prefix ? prefix : "");
    char *identity = buf_steal(&b);
    buf_fini(&b);
    return identity;
}

char *spool_identity(const struct cache_config *config)
{
    return identity_of(config->endpoint, config->bucket, config->prefix);
}

char *spool_path(const char *cache_dir, const char *endpoint, const char *bucket, const char *prefix)
{
    char *identity = identity_of(endpoint, bucket, prefix);
    if (!identity)
        return NULL;
    char readable[64];
    size_t length = (size_t)snprintf(readable, sizeof readable, "%s%s%s", bucket, prefix && *prefix ? "-" : "", prefix ? prefix : "");
    for (size_t i = 0; i < length && i < sizeof readable - 1; i++) {
        char c = readable[i];
        bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '_';
        if (!plain)
            readable[i] = '-';
    }
    struct buf path = BUF_INIT(8192);
    buf_printf(&path, "%s/%s%s-%016llx", cache_dir, readable[0] == '.' ? "_" : "", readable, (unsigned long long)hash(identity));
    free(identity);
    char *result = buf_steal(&path);
    buf_fini(&path);
    return result;
}

void spool_block_name(char name[32], uint64_t content_id)
{
    snprintf(name, 32, "%02x/%llu", (unsigned)(content_id % SPOOL_SHARDS), (unsigned long long)content_id);
}

/* mkdir -p; folders that are made are 0700. */
static int make_folders(const char *path)
{
    char *copy = strdup(path);
    if (!copy)
        return -ENOMEM;
    int rc = 0;
    for (char *slash = copy + 1; !rc; slash++) {
        slash = strchr(slash, '/');
        if (slash)
            *slash = '\0';
        if (mkdir(copy, 0700) && errno != EEXIST)
            rc = -errno;
        if (!slash)
            break;
        *slash = '/';
    }
    free(copy);
    return rc;
}

static int fail(int rc, char *why, size_t why_size, const char *what, const char *path)
{
    snprintf(why, why_size, "%s %s: %s", what, path, strerror(-rc));
    return rc;
}

static int open_folder(struct cache *cache, char *why, size_t why_size)
{
    int rc = make_folders(cache->spool);
    if (rc)
        return fail(rc, why, why_size, "cannot make the cache directory", cache->spool);
    cache->spool_fd = open(cache->spool, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    if (cache->spool_fd < 0)
        return fail(-errno, why, why_size, "cannot open the cache directory", cache->spool);
    struct stat st;
    if (fstat(cache->spool_fd, &st))
        return fail(-errno, why, why_size, "cannot look at the cache directory", cache->spool);
    if (st.st_uid != geteuid()) {
        snprintf(why, why_size, "the cache directory %s belongs to user %u, not to %u", cache->spool, (unsigned)st.st_uid, (unsigned)geteuid());
        return -EACCES;
    }
    /* Others could have planted files while it was open to them: bytes that would be uploaded as the user's. */
    if (st.st_mode & 077) {
        snprintf(why, why_size, "the cache directory %s is open to other users (mode %03o): it must be 700", cache->spool, (unsigned)st.st_mode & 0777);
        return -EACCES;
    }
    return 0;
}

static int take_lock(struct cache *cache, char *why, size_t why_size)
{
    cache->lock_fd = openat(cache->spool_fd, "lock", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (cache->lock_fd < 0)
        return fail(-errno, why, why_size, "cannot write to the cache directory", cache->spool);
    char owner[32] = "";
    if (flock(cache->lock_fd, LOCK_EX | LOCK_NB)) {
        int rc = -errno;
        if (rc != -EWOULDBLOCK)
            return fail(rc, why, why_size, "cannot lock the cache directory", cache->spool);
        ssize_t n = pread(cache->lock_fd, owner, sizeof owner - 1, 0);
        owner[n > 0 ? n : 0] = '\0';
        owner[strcspn(owner, "\n")] = '\0';
        snprintf(why, why_size, "the cache directory %s is in use by process %s", cache->spool, *owner ? owner : "unknown");
        return -EBUSY;
    }
    int length = snprintf(owner, sizeof owner, "%ld\n", (long)getpid());
    if (ftruncate(cache->lock_fd, 0) || pwrite(cache->lock_fd, owner, (size_t)length, 0) != length)
        return fail(errno ? -errno : -ENOSPC, why, why_size, "cannot write to the cache directory", cache->spool);
    return 0;
}

static int open_blocks(struct cache *cache, char *why, size_t why_size)
{
    if (mkdirat(cache->spool_fd, "blocks", 0700) && errno != EEXIST)
        return fail(-errno, why, why_size, "cannot write to the cache directory", cache->spool);
    cache->blocks_fd = openat(cache->spool_fd, "blocks", O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    if (cache->blocks_fd < 0)
        return fail(-errno, why, why_size, "cannot open the blocks of the cache directory", cache->spool);
    struct stat st;
    if (!fstatat(cache->blocks_fd, "ff", &st, AT_SYMLINK_NOFOLLOW))
        return 0;
    for (unsigned i = 0; i < SPOOL_SHARDS; i++) {
        char name[8];
        snprintf(name, sizeof name, "%02x", i);
        if (mkdirat(cache->blocks_fd, name, 0700) && errno != EEXIST)
            return fail(-errno, why, why_size, "cannot write to the cache directory", cache->spool);
    }
    /* A block file's own fsync covers its entry in its shard, not the shard itself. */
    if (fsync(cache->blocks_fd) || fsync(cache->spool_fd))
        return fail(-errno, why, why_size, "cannot sync the cache directory", cache->spool);
    return 0;
}

int spool_open(struct cache *cache, char *why, size_t why_size)
{
    const struct cache_config *config = &cache->config;
    cache->spool_fd = cache->blocks_fd = cache->lock_fd = -1;
    cache->spool = spool_path(config->cache_dir, config->endpoint, config->bucket, config->prefix);
    if (!cache->spool)
        return fail(-ENOMEM, why, why_size, "cannot open the cache directory", config->cache_dir);
    int rc = open_folder(cache, why, why_size);
    if (!rc)
        rc = take_lock(cache, why, why_size);
    if (!rc)
        rc = open_blocks(cache, why, why_size);
    if (rc)
        spool_close(cache);
    return rc;
}

void spool_close(struct cache *cache)
{
    int *fds[] = { &cache->blocks_fd, &cache->spool_fd, &cache->lock_fd };
    for (size_t i = 0; i < sizeof fds / sizeof *fds; i++) {
        if (*fds[i] >= 0)
            close(*fds[i]);
        *fds[i] = -1;
    }
    free(cache->spool);
    cache->spool = NULL;
}

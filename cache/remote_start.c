/*
 * Options say the owner and mode of what carries none, and may be others at each mount, while the index keeps what the last
 * one said. What a program changed since, and has not reached the bucket, stays.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "cache/db.h"
#include "cache/posix.h"
#include "cache/push.h"
#include "cache/remote.h"

#define SETTING "defaults"

static bool renew_object(void *arg, struct remote *row)
{
    struct cache *cache = arg;
    const struct cache_config *config = &cache->config;
    unsigned lacks = row->nonce ? 0 : posix_lacks(row->headers); /* with a nonce it is ours, and carries all */
    if (!row->etag || !row->ino || !lacks || push_pending_inode_tx(cache, row->ino))
        return true;
    int64_t ino = (int64_t)row->ino;
    if (lacks & CACHE_SET_MODE)
        db_run(cache, "UPDATE inode SET mode = (mode & 61440) | CASE mode & 61440 WHEN 16384 THEN ? WHEN 40960 THEN 511 ELSE ? END"
               " WHERE ino = ? AND explicit = 0", "iii", (int64_t)config->dir_mode, (int64_t)config->file_mode, ino);
    if (lacks & CACHE_SET_UID)
        db_run(cache, "UPDATE inode SET uid = ? WHERE ino = ? AND explicit = 0", "ii", (int64_t)config->uid, ino);
    if (lacks & CACHE_SET_GID)
        db_run(cache, "UPDATE inode SET gid = ? WHERE ino = ? AND explicit = 0", "ii", (int64_t)config->gid, ino);
    return true;
}

/* Directories that have no object. */
static void renew_directories(struct cache *cache)
{
    const struct cache_config *config = &cache->config;
    db_run(cache, "UPDATE inode SET mode = 16384 | ?, uid = ?, gid = ? WHERE mode & 61440 = 16384 AND explicit = 0"
           " AND NOT EXISTS(SELECT 1 FROM remote r WHERE r.ino = inode.ino AND r.etag IS NOT NULL)"
           " AND NOT EXISTS(SELECT 1 FROM todo t WHERE t.kind = 1 AND t.target = inode.ino)", "iii", (int64_t)config->dir_mode,
           (int64_t)config->uid, (int64_t)config->gid);
}

int remote_start(struct cache *cache)
{
    const struct cache_config *config = &cache->config;
    char now[64];
    snprintf(now, sizeof now, "%u %u %o %o", config->uid, config->gid, config->file_mode, config->dir_mode);
    db_begin(cache);
    char *before = db_setting_get(cache, SETTING);
    if (!before || strcmp(before, now) != 0) {
        db_setting_set(cache, SETTING, now);
        renew_directories(cache);
        if (before)
            remote_each_tx(cache, "", "\xff", renew_object, cache);
    }
    free(before);
    return db_commit(cache);
}

#include "cache/inode.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>

#include "cache/content.h"
#include "cache/db.h"
#include "cache/inode_internal.h"
#include "s3/base/clock.h"

#define IDLE_MAX 16384 /* inodes that nobody holds, in memory */

int64_t inode_now(void)
{
    struct timespec t = clock_wall_coarse();
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* ---- the table ---- */

struct inode *inode_alloc(uint64_t ino)
{
    struct inode *inode = calloc(1, sizeof *inode);
    if (!inode)
        return NULL;
    inode->ino = ino;
    lock_init(&inode->lock, LOCK_FILE);
    return inode;
}

void inode_free(struct cache *cache, struct inode *inode)
{
    if (inode->content)
        block_unload(cache, inode->content);
    lock_fini(&inode->lock);
    free(inode->target);
    free(inode->key);
    free(inode);
}

static void idle_remove(struct inode_table *table, struct inode *inode)
{
    if (!inode->idle)
        return;
    *(inode->older ? &inode->older->newer : &table->oldest) = inode->newer;
    *(inode->newer ? &inode->newer->older : &table->newest) = inode->older;
    inode->older = inode->newer = NULL;
    inode->idle = false;
    table->idle_count--;
}

static void idle_append(struct inode_table *table, struct inode *inode)
{
    inode->older = table->newest;
    inode->newer = NULL;
    *(table->newest ? &table->newest->newer : &table->oldest) = inode;
    table->newest = inode;
    inode->idle = true;
    table->idle_count++;
}

static void detach(struct inode_table *table, struct inode *inode)
{
    idle_remove(table, inode);
    if (!inode->detached)
        HASH_DEL(table->by_number, inode);
    inode->detached = true;
}

static struct inode *find_held(struct inode_table *table, uint64_t ino)
{
    struct inode *inode;
    HASH_FIND(hh, table->by_number, &ino, sizeof ino, inode);
    if (!inode)
        return NULL;
    idle_remove(table, inode);
    inode->references++;
    return inode;
}

struct inode *inode_peek(struct cache *cache, uint64_t ino)
{
    struct inode_table *table = cache->inodes;
    lock_take(&table->lock);
    struct inode *inode = find_held(table, ino);
    lock_drop(&table->lock);
    return inode;
}

void inode_hold(struct cache *cache, struct inode *inode)
{
    lock_take(&cache->inodes->lock);
    assert(inode->references);
    inode->references++;
    lock_drop(&cache->inodes->lock);
}

/* removed is read without the inode's lock: with no reference left nobody can change it, and it never turns back. */
void inode_put(struct cache *cache, struct inode *inode)
{
    if (!inode)
        return;
    struct inode_table *table = cache->inodes;
    struct inode *victim = NULL;
    lock_take(&table->lock);
    assert(inode->references);
    if (--inode->references == 0) {
        if (!inode->removed)
            idle_append(table, inode);
        else if (!shown_has(&table->shown, inode->ino))
            victim = inode;
        if (!victim && table->idle_count > IDLE_MAX)
            victim = table->oldest;
        if (victim)
            detach(table, victim);
    }
    lock_drop(&table->lock);
    if (victim)
        inode_free(cache, victim);
}

void inode_shown(struct cache *cache, struct inode *inode)
{
    lock_take(&cache->inodes->lock);
    shown_set(&cache->inodes->shown, inode->ino);
    lock_drop(&cache->inodes->lock);
}

void inode_forgotten(struct cache *cache, uint64_t ino)
{
    struct inode_table *table = cache->inodes;
    lock_take(&table->lock);
    shown_clear(&table->shown, ino);
    struct inode *inode;
    HASH_FIND(hh, table->by_number, &ino, sizeof ino, inode);
    bool last = inode && inode->removed && inode->references == 0;
    if (last)
        detach(table, inode);
    lock_drop(&table->lock);
    if (last)
        inode_free(cache, inode);
}

uint64_t inode_generation(const struct cache *cache)
{
    return cache->inodes->generation;
}

void inode_enter(struct cache *cache, struct inode *inode)
{
    struct inode_table *table = cache->inodes;
    lock_take(&table->lock);
    inode->references = 1;
    HASH_ADD(hh, table->by_number, ino, sizeof inode->ino, inode);
    lock_drop(&table->lock);
}

struct inode *inode_get_tx(struct cache *cache, uint64_t ino)
{
    struct inode *inode = inode_peek(cache, ino);
    if (inode)
        return inode;
    /* Rows are loaded under LOCK_DB alone, so that no number is loaded twice. */
    inode = inode_load(cache, ino);
    if (!inode)
        return NULL;
    inode_enter(cache, inode);
    return inode;
}

struct inode *inode_get(struct cache *cache, uint64_t ino)
{
    struct inode *inode = inode_peek(cache, ino);
    if (inode)
        return inode;
    db_begin(cache);
    inode = inode_get_tx(cache, ino);
    if (db_commit(cache)) {
        inode_put(cache, inode);
        return NULL;
    }
    return inode;
}

void inode_each_written(struct cache *cache, void (*each)(struct cache *cache, struct inode *inode))
{
    struct inode_table *table = cache->inodes;
    for (bool more = true; more;) {
        struct inode *found[64], *inode, *next;
        size_t count = 0;
        lock_take(&table->lock);
        HASH_ITER(hh, table->by_number, inode, next) {
            /* The pin of its writes holds it. */
            if (inode->written_ms && !inode->visited && count < 64) {
                inode->visited = true;
                inode->references++;
                found[count++] = inode;
            }
        }
        lock_drop(&table->lock);
        for (size_t i = 0; i < count; i++) {
            each(cache, found[i]);
            inode_put(cache, found[i]);
        }
        more = count > 0;
    }
}

/* ---- answers ---- */

static struct timespec timespec_of(int64_t ns)
{
    int64_t sec = ns / 1000000000, rest = ns % 1000000000;
    if (rest < 0) {
        sec--;
        rest += 1000000000;
    }
    return (struct timespec){ .tv_sec = sec, .tv_nsec = rest };
}

void inode_attr(struct cache *cache, struct inode *inode, struct cache_attr *attr)
{
    lock_take(&inode->lock);
    uint64_t hole = inode->content && inode->changed_attrs ? block_hole_bytes(inode->content, inode->size) : inode->hole;
    *attr = (struct cache_attr){
        .ino = inode->ino, .generation = cache->inodes->generation,
        .mode = inode->mode, .nlink = inode->nlink, .uid = inode->uid, .gid = inode->gid, .rdev = inode->rdev,
        .size = inode->size, .blocks = (inode->size - (hole < inode->size ? hole : inode->size) + 511) / 512,
        .atime = timespec_of(inode->atime), .mtime = timespec_of(inode->mtime), .ctime = timespec_of(inode->ctime),
    };
    if (S_ISDIR(inode->mode)) {
        attr->size = 4096;
        attr->blocks = 8;
    } else if (S_ISLNK(inode->mode)) {
        attr->blocks = 0;
        if (inode->target)
            attr->size = strlen(inode->target);
    }
    lock_drop(&inode->lock);
}

/* ---- start and end ---- */

/* The root's row, and a number that tells this spool's inodes from those of one that was here before. */
static int prepare_rows(struct cache *cache)
{
    struct inode_table *table = cache->inodes;
    const struct cache_config *config = &cache->config;
    db_begin(cache);
    char *text = db_setting_get(cache, "generation");
    if (text) {
        table->generation = strtoull(text, NULL, 10);
    } else {
        uint32_t random = 0;
        char number[16];
        if (getrandom(&random, sizeof random, 0) != sizeof random)
            db_fail(cache, -EIO);
        table->generation = random | 1u;
        snprintf(number, sizeof number, "%u", random | 1u);
        db_setting_set(cache, "generation", number);
    }
    free(text);
    int64_t now = inode_now();
    db_run(cache, "INSERT OR IGNORE INTO inode(ino, mode, uid, gid, size, mtime, ctime, atime, nlink) VALUES(?, ?, ?, ?, 0, ?, ?, ?, 2)", "iiiiiii",
           (int64_t)CACHE_ROOT, (int64_t)(S_IFDIR | config->dir_mode), (int64_t)config->uid, (int64_t)config->gid, now, now, now);
    return db_commit(cache);
}

int inode_table_start(struct cache *cache)
{
    cache->inodes = calloc(1, sizeof *cache->inodes);
    if (!cache->inodes)
        return -ENOMEM;
    lock_init(&cache->inodes->lock, LOCK_BLOCK);
    cache->inodes->versions = 1;
    return prepare_rows(cache);
}

void inode_table_stop(struct cache *cache)
{
    struct inode_table *table = cache->inodes;
    if (!table)
        return;
    struct inode *inode, *next;
    HASH_ITER(hh, table->by_number, inode, next) {
        HASH_DEL(table->by_number, inode);
        inode_free(cache, inode);
    }
    shown_fini(&table->shown);
    lock_fini(&table->lock);
    free(table);
    cache->inodes = NULL;
}

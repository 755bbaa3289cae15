#include "cache/evict.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cache/db.h"
#include "cache/file.h"
#include "cache/io.h"
#include "cache/spool.h"
#include "s3/base/clock.h"
#include "s3/base/log.h"

#define LAZY_MS 1000          /* how long rows that nobody waits for may wait */
#define LOOK_MS 30000         /* how often the thread looks when nobody calls it */
#define FREE_FRESH_MS 100     /* how old the free space of the file system may be */
#define PARKED_MAX_MS 30000   /* a writer waits so long without progress */
#define BLOCKING_MAX_MS 2000  /* a fetch waits so long */
#define FULL_BELOW (4ll << 20) /* of free space: names are no longer made, the ballast goes */

/* ---- lists ---- */

/* Room for one more. false: no memory; what was to be noted is repaired by the next start. */
static bool grow(void **items, size_t count, size_t *capacity, size_t size)
{
    if (count < *capacity)
        return true;
    size_t more = *capacity ? *capacity * 2 : 64;
    void *grown = realloc(*items, more * size);
    if (!grown)
        return false;
    *items = grown;
    *capacity = more;
    return true;
}

void block_discard(struct cache *cache, uint64_t content_id)
{
    struct evict *evict = cache->evict;
    if (!evict)
        return; /* an orphan: the next start removes it */
    lock_take(&evict->lock);
    void *items = evict->discard;
    if (grow(&items, evict->discard_count, &evict->discard_capacity, sizeof *evict->discard)) {
        evict->discard = items;
        evict->discard[evict->discard_count++] = content_id;
    }
    pthread_cond_signal(&evict->wake);
    lock_drop(&evict->lock);
}

static bool listed(struct inode **items, size_t count, const struct inode *inode)
{
    /* Most come in a row for the same file. */
    for (size_t i = count; i > 0 && i + 8 > count; i--)
        if (items[i - 1] == inode)
            return true;
    return false;
}

void evict_commit_later(struct cache *cache, struct inode *inode)
{
    struct evict *evict = cache->evict;
    if (!evict)
        return;
    inode_hold(cache, inode);
    lock_take(&evict->lock);
    void *items = evict->commit;
    bool added = !listed(evict->commit, evict->commit_count, inode) && grow(&items, evict->commit_count, &evict->commit_capacity, sizeof *evict->commit);
    if (added) {
        evict->commit = items;
        evict->commit[evict->commit_count++] = inode;
    }
    pthread_cond_signal(&evict->wake);
    lock_drop(&evict->lock);
    if (!added)
        inode_put(cache, inode);
}

void evict_punch_later(struct cache *cache, struct inode *inode)
{
    struct evict *evict = cache->evict;
    if (!evict)
        return;
    inode_hold(cache, inode);
    lock_take(&evict->lock);
    void *items = evict->punch;
    bool added = !listed(evict->punch, evict->punch_count, inode) && grow(&items, evict->punch_count, &evict->punch_capacity, sizeof *evict->punch);
    if (added) {
        evict->punch = items;
        evict->punch[evict->punch_count++] = inode;
    }
    pthread_cond_signal(&evict->wake);
    lock_drop(&evict->lock);
    if (!added)
        inode_put(cache, inode);
}

void evict_touch_later(struct cache *cache, uint64_t content_id, int64_t used_ms)
{
    struct evict *evict = cache->evict;
    if (!evict)
        return;
    lock_take(&evict->lock);
    void *items = evict->touch;
    if (grow(&items, evict->touch_count, &evict->touch_capacity, sizeof *evict->touch)) {
        evict->touch = items;
        evict->touch[evict->touch_count++] = (struct evict_touch){ content_id, used_ms };
    }
    pthread_cond_signal(&evict->wake);
    lock_drop(&evict->lock);
}

/* ---- room ---- */

void evict_account(struct cache *cache, int64_t bytes)
{
    if (!cache->evict || !bytes)
        return;
    int64_t used = atomic_fetch_add(&cache->evict->used, bytes) + bytes;
    if (bytes > 0 && used > (int64_t)(cache->config.size_max / 10 * 9))
        evict_space_changed(cache);
}

uint64_t block_disk_used(struct cache *cache)
{
    int64_t used = cache->evict ? atomic_load(&cache->evict->used) : 0;
    return used > 0 ? (uint64_t)used : 0;
}

void evict_space_changed(struct cache *cache)
{
    struct evict *evict = cache->evict;
    if (!evict)
        return;
    lock_take(&evict->lock);
    evict->kicked = true;
    evict->exhausted = false;
    pthread_cond_signal(&evict->wake);
    lock_drop(&evict->lock);
}

/* Bytes free on the file system, at most FREE_FRESH_MS old. */
static int64_t free_bytes(struct cache *cache, bool fresh)
{
    struct evict *evict = cache->evict;
    int64_t now = clock_mono_ms();
    if (fresh || now - atomic_load(&evict->looked_ms) > FREE_FRESH_MS) {
        uint64_t bytes;
        if (io_free(cache->spool_fd, &bytes) == 0) {
            atomic_store(&evict->free_now, (int64_t)bytes);
            atomic_store(&evict->looked_ms, now);
        }
    }
    return atomic_load(&evict->free_now);
}

static bool disk_has_room(struct cache *cache, uint64_t size)
{
    return free_bytes(cache, false) >= (int64_t)(size + cache->config.free_min);
}

static bool limit_has_room(struct cache *cache, uint64_t size)
{
    return block_disk_used(cache) + size <= cache->config.size_max;
}

int evict_reserve(struct cache *cache, uint64_t size, struct cache_wait *wait)
{
    struct evict *evict = cache->evict;
    bool disk = disk_has_room(cache, size), limit = limit_has_room(cache, size);
    if (disk && limit) {
        atomic_fetch_sub(&evict->free_now, (int64_t)size);
        return 0;
    }
    lock_take(&evict->lock);
    int rc = CACHE_WAIT;
    if (!wait || evict->stop || (!disk && evict->exhausted))
        rc = -ENOSPC;
    else
        wait_add(cache, &evict->waiting, wait);
    if (rc == CACHE_WAIT && !evict->waiting_since)
        evict->waiting_since = clock_mono_ms();
    evict->kicked = true;
    pthread_cond_signal(&evict->wake);
    lock_drop(&evict->lock);
    return rc;
}

/* Fetched bytes may pass the limit for a moment, since they can leave again; what the file system must keep free they may not. */
int evict_reserve_blocking(struct cache *cache, uint64_t size)
{
    struct evict *evict = cache->evict;
    int64_t until = clock_mono_ms() + BLOCKING_MAX_MS;
    int rc = 0;
    if (!evict)
        return 0;
    lock_take(&evict->lock);
    while (!rc && !disk_has_room(cache, size)) {
        if (evict->stop || evict->exhausted)
            rc = -ENOSPC;
        evict->kicked = true;
        pthread_cond_signal(&evict->wake);
        if (!rc && !lock_wait_until(&evict->lock, &evict->changed, until))
            rc = -ENOSPC;
    }
    lock_drop(&evict->lock);
    if (!rc && !limit_has_room(cache, size))
        evict_space_changed(cache);
    return rc;
}

int evict_room_for_names(struct cache *cache)
{
    return free_bytes(cache, false) < FULL_BELOW ? -ENOSPC : 0;
}

uint64_t evict_disk_free(struct cache *cache)
{
    int64_t available = free_bytes(cache, false) - (int64_t)cache->config.free_min;
    return available > 0 ? (uint64_t)available : 0;
}

/* ---- the ballast ---- */

static void make_ballast(struct cache *cache)
{
    struct evict *evict = cache->evict;
    int fd = io_open(cache->spool_fd, "ballast", O_RDWR | O_CREAT, 0600);
    if (fd < 0)
        return;
    int rc = io_allocate(fd, 0, BALLAST_SIZE);
    close(fd);
    if (rc)
        io_unlink(cache->spool_fd, "ballast");
    evict->ballast = rc == 0;
}

/* Its space lets unlink, flush and the pusher's commits go on when others have filled the disk. */
static void keep_ballast(struct cache *cache)
{
    struct evict *evict = cache->evict;
    int64_t available = free_bytes(cache, true);
    if (evict->ballast && available < FULL_BELOW) {
        int rc = io_unlink(cache->spool_fd, "ballast");
        evict->ballast = false;
        log_error("the disk of %s is full: only what frees space is accepted now%s", cache->spool, rc ? " (and the ballast could not be removed)" : "");
    } else if (!evict->ballast && available > (int64_t)cache->config.free_min + 2 * (int64_t)BALLAST_SIZE) {
        make_ballast(cache);
    }
}

/* ---- the thread ---- */

static void write_rows(struct cache *cache, struct inode **inodes, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        int rc = file_commit(cache, inodes[i]);
        if (rc && rc != -ENOSPC)
            cache_note_error(cache, "rows of fetched data could not be written: %s", strerror(-rc));
        file_settle_content(cache, inodes[i]);
        inode_put(cache, inodes[i]);
    }
}

static void write_touches(struct cache *cache, const struct evict_touch *touches, size_t count)
{
    if (!count)
        return;
    db_begin(cache);
    for (size_t i = 0; i < count; i++)
        db_run(cache, "UPDATE content SET used_ms = ? WHERE id = ?", "ii", touches[i].used_ms, (int64_t)touches[i].content_id);
    db_commit(cache);
}

/* What destroys bytes: only now that the rows that gave them up cannot come back. */
static void destroy(struct cache *cache, const uint64_t *discard, size_t discard_count, struct inode **punch, size_t punch_count)
{
    if (!discard_count && !punch_count)
        return;
    int rc = db_sync(cache);
    for (size_t i = 0; i < discard_count && !rc; i++) {
        char name[32];
        spool_block_name(name, discard[i]);
        int gone = io_unlink(cache->blocks_fd, name);
        if (gone && gone != -ENOENT)
            log_error("block file %s of the cache could not be removed: %s", name, strerror(-gone));
    }
    for (size_t i = 0; i < punch_count; i++) {
        if (!rc)
            block_punch_stale(cache, punch[i]);
        file_settle_content(cache, punch[i]);
        inode_put(cache, punch[i]);
    }
}

/* Takes the lists as they are now and works them off. The lock is dropped. */
static void work(struct cache *cache, bool lazy) NO_LOCK_ANALYSIS
{
    struct evict *evict = cache->evict;
    uint64_t *discard = evict->discard;
    struct inode **punch = evict->punch, **commit = lazy ? evict->commit : NULL;
    struct evict_touch *touch = lazy ? evict->touch : NULL;
    size_t discard_count = evict->discard_count, punch_count = evict->punch_count;
    size_t commit_count = lazy ? evict->commit_count : 0, touch_count = lazy ? evict->touch_count : 0;
    evict->discard = NULL;
    evict->punch = NULL;
    evict->discard_count = evict->discard_capacity = evict->punch_count = evict->punch_capacity = 0;
    if (lazy) {
        evict->commit = NULL;
        evict->touch = NULL;
        evict->commit_count = evict->commit_capacity = evict->touch_count = evict->touch_capacity = 0;
    }
    lock_drop(&evict->lock);
    write_rows(cache, commit, commit_count);
    write_touches(cache, touch, touch_count);
    destroy(cache, discard, discard_count, punch, punch_count);
    free(discard);
    free(punch);
    free(commit);
    free(touch);
    lock_take(&evict->lock);
}

/* How much is to be given up to be comfortably below both limits; 0: nothing. */
static uint64_t excess(struct cache *cache)
{
    uint64_t used = block_disk_used(cache), high = cache->config.size_max / 10 * 9, low = cache->config.size_max / 100 * 85;
    uint64_t wanted = used > high ? used - low : 0;
    int64_t lacking = (int64_t)cache->config.free_min - free_bytes(cache, true);
    if (lacking > -(int64_t)(4u << 20))
        wanted = wanted > (uint64_t)(lacking + (16 << 20)) ? wanted : (uint64_t)(lacking + (16 << 20));
    return wanted;
}

static void make_room(struct cache *cache) NO_LOCK_ANALYSIS
{
    struct evict *evict = cache->evict;
    lock_drop(&evict->lock);
    keep_ballast(cache);
    uint64_t wanted = excess(cache), freed = wanted ? evict_pass(cache, wanted) : 0;
    lock_take(&evict->lock);
    if (freed)
        work(cache, false);
    evict->exhausted = wanted && freed < wanted;
    atomic_store(&evict->looked_ms, 0);
    bool room = limit_has_room(cache, 1u << 20) && disk_has_room(cache, 1u << 20);
    bool give_up = evict->waiting_since && (evict->stop || clock_mono_ms() - evict->waiting_since > PARKED_MAX_MS ||
                                            (evict->exhausted && !disk_has_room(cache, 0)));
    pthread_cond_broadcast(&evict->changed);
    if (evict->waiting_since && (room || give_up)) {
        struct wait_queue waiting = { 0 };
        wait_move(cache, &waiting, &evict->waiting);
        evict->waiting_since = 0;
        lock_drop(&evict->lock);
        wait_wake(cache, &waiting, room ? 0 : -ENOSPC);
        lock_take(&evict->lock);
    }
}

static void *evict_thread(void *arg)
{
    struct cache *cache = arg;
    struct evict *evict = cache->evict;
    int64_t lazy_since = 0;
    lock_take(&evict->lock);
    while (!evict->stop) {
        int64_t now = clock_mono_ms();
        bool lazy = evict->commit_count || evict->touch_count;
        if (lazy && !lazy_since)
            lazy_since = now;
        bool lazy_due = lazy && now - lazy_since >= LAZY_MS;
        if (lazy_due || evict->discard_count || evict->punch_count) {
            work(cache, lazy_due);
            if (lazy_due)
                lazy_since = 0;
            continue;
        }
        if (evict->kicked) {
            evict->kicked = false;
            make_room(cache);
            continue;
        }
        int64_t until = now + LOOK_MS;
        if (evict->waiting_since)
            until = now + LAZY_MS;
        if (lazy && lazy_since + LAZY_MS < until)
            until = lazy_since + LAZY_MS;
        if (!lock_wait_until(&evict->lock, &evict->wake, until) && !lazy)
            evict->kicked = true;
    }
    work(cache, true);
    lock_drop(&evict->lock);
    return NULL;
}

/* ---- start and end ---- */

static int sum_of_rows(struct cache *cache)
{
    db_begin(cache);
    sqlite3_stmt *row = db_query(cache, "SELECT SUM(disk) FROM content WHERE disk > 0", NULL);
    if (db_step(cache, row)) {
        atomic_store(&cache->evict->used, sqlite3_column_int64(row, 0));
        db_done(row);
    }
    return db_commit(cache);
}

int evict_start(struct cache *cache)
{
    struct evict *evict = calloc(1, sizeof *evict);
    if (!evict)
        return -ENOMEM;
    lock_init(&evict->lock, LOCK_BLOCK);
    lock_cond_init(&evict->wake);
    lock_cond_init(&evict->changed);
    cache->evict = evict;
    evict->ballast = faccessat(cache->spool_fd, "ballast", F_OK, 0) == 0;
    int rc = evict_remove_orphans(cache);
    if (!rc)
        rc = sum_of_rows(cache);
    if (rc)
        return rc;
    keep_ballast(cache);
    rc = -pthread_create(&evict->thread, NULL, evict_thread, cache);
    evict->runs = rc == 0;
    return rc;
}

void evict_stop(struct cache *cache)
{
    struct evict *evict = cache->evict;
    if (!evict)
        return;
    lock_take(&evict->lock);
    evict->stop = true;
    pthread_cond_signal(&evict->wake);
    pthread_cond_broadcast(&evict->changed);
    lock_drop(&evict->lock);
    if (evict->runs)
        pthread_join(evict->thread, NULL);
    evict->runs = false;
    /* What comes after the thread has ended is an orphan of the next start. */
    cache->evict = NULL;
    for (size_t i = 0; i < evict->commit_count; i++)
        inode_put(cache, evict->commit[i]);
    for (size_t i = 0; i < evict->punch_count; i++)
        inode_put(cache, evict->punch[i]);
    free(evict->discard);
    free(evict->commit);
    free(evict->punch);
    free(evict->touch);
    pthread_cond_destroy(&evict->wake);
    pthread_cond_destroy(&evict->changed);
    lock_fini(&evict->lock);
    free(evict);
}

/*
 * One connection writes, under LOCK_DB; a second one, on a thread of its own, only copies the WAL into the database, since
 * that needs two syncs and nobody should wait for them. A checkpoint without the lock may never catch up with a steady writer, and the WAL
 * starts over only when one did: so above WAL_FRAMES_MAX the last, short piece is done under the lock.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cache/db_internal.h"
#include "cache/io.h"
#include "s3/base/clock.h"
#include "s3/base/log.h"

#define CHECKPOINT_IDLE_MS 5000 /* after so long without one, whatever there is */

int db_sync(struct cache *cache)
{
    struct db *db = cache->db;
    /* Numbers are read before the lock: what this thread committed is in. */
    uint64_t wanted = atomic_load(&db->commits);
    lock_take(&db->sync_lock);
    while (!db->sync_error && db->synced < wanted) {
        if (db->syncing) {
            lock_wait(&db->sync_lock, &db->sync_done);
            continue;
        }
        db->syncing = true;
        uint64_t covered = atomic_load(&db->commits);
        lock_drop(&db->sync_lock);
        /* A commit that is no longer in the WAL is in the database, which was synced before the WAL started over. */
        int rc = io_fdatasync(db->wal_fd);
        lock_take(&db->sync_lock);
        db->syncing = false;
        if (rc) {
            db->sync_error = -EIO;
            log_error("the index in %s could not be synced: %s", cache->spool, strerror(-rc));
        } else {
            db->synced = covered;
            atomic_fetch_add(&db->syncs, 1);
        }
        pthread_cond_broadcast(&db->sync_done);
    }
    int rc = db->sync_error;
    lock_drop(&db->sync_lock);
    return rc;
}

void db_checkpoint_wanted(struct db *db)
{
    lock_take(&db->thread_lock);
    db->wanted = true;
    /* Faster than the disk: who writes next waits until this checkpoint is over, or the WAL would grow without limit. */
    if (db->thread_runs && db->wal_frames >= 2 * WAL_FRAMES_MAX)
        atomic_store(&db->turn, true);
    pthread_cond_signal(&db->wake);
    lock_drop(&db->thread_lock);
}

void db_checkpoint_first(struct db *db)
{
    lock_take(&db->thread_lock);
    while (atomic_load(&db->turn))
        lock_wait(&db->thread_lock, &db->turn_over);
    lock_drop(&db->thread_lock);
}

/* A mutex is not fair: a steady writer would take the lock again and again before a thread that waits for it wakes up. */
static void take_turn(struct db *db, bool mine)
{
    lock_take(&db->thread_lock);
    atomic_store(&db->turn, mine);
    pthread_cond_broadcast(&db->turn_over);
    lock_drop(&db->thread_lock);
}

static void checkpoint(struct cache *cache)
{
    struct db *db = cache->db;
    int frames = 0, done = 0;
    int rc = sqlite3_wal_checkpoint_v2(db->checkpointer, NULL, SQLITE_CHECKPOINT_PASSIVE, &frames, &done);
    bool behind = frames > WAL_FRAMES_MAX && done < frames;
    /* Who waits for its turn has written since this pass began, so that the pass did not see the end of the WAL. Under the lock nobody reads or
     * writes, and RESTART makes sure that the next commit starts at the WAL's beginning. */
    if (rc == SQLITE_OK && (behind || atomic_load(&db->turn))) {
        take_turn(db, true);
        lock_take(&db->lock);
        rc = sqlite3_wal_checkpoint_v2(db->checkpointer, NULL, SQLITE_CHECKPOINT_RESTART, &frames, &done);
        lock_drop(&db->lock);
    }
    take_turn(db, false);
    if (rc != SQLITE_OK && rc != SQLITE_BUSY)
        log_error("the index in %s could not be checkpointed: %s", cache->spool, sqlite3_errmsg(db->checkpointer));
}

static void *checkpoint_thread(void *arg)
{
    struct cache *cache = arg;
    struct db *db = cache->db;
    uint64_t seen = 0;
    lock_take(&db->thread_lock);
    while (!db->stop) {
        bool waited = !db->wanted && !lock_wait_until(&db->thread_lock, &db->wake, clock_mono_ms() + CHECKPOINT_IDLE_MS);
        uint64_t commits = atomic_load(&db->commits);
        bool due = db->wanted || (waited && commits != seen);
        db->wanted = false;
        if (!due || db->stop)
            continue;
        seen = commits;
        lock_drop(&db->thread_lock);
        checkpoint(cache);
        lock_take(&db->thread_lock);
    }
    lock_drop(&db->thread_lock);
    return NULL;
}

int db_sync_start(struct cache *cache)
{
    struct db *db = cache->db;
    db->wal_fd = io_open(cache->spool_fd, "index.db-wal", O_RDWR, 0);
    if (db->wal_fd < 0)
        return db->wal_fd;
    /* The entries of the database and of its WAL: from now on a sync of the WAL's data is enough. */
    int rc = io_fsync_dir(cache->spool_fd);
    if (rc)
        return rc;
    rc = -pthread_create(&db->thread, NULL, checkpoint_thread, cache);
    db->thread_runs = rc == 0;
    return rc;
}

void db_sync_stop(struct cache *cache)
{
    struct db *db = cache->db;
    lock_take(&db->thread_lock);
    db->stop = true;
    pthread_cond_signal(&db->wake);
    lock_drop(&db->thread_lock);
    if (db->thread_runs)
        pthread_join(db->thread, NULL);
    db->thread_runs = false;
}

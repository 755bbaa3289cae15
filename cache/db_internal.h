/*
 * cache/db_internal.h: the connection, as db.c (statements, transactions), db_sync.c (syncs, checkpoints) and db_open.c share it.
 */
#ifndef R2FS_CACHE_DB_INTERNAL_H
#define R2FS_CACHE_DB_INTERNAL_H

#include <uthash.h>

#include "cache/db.h"

#define WAL_FRAMES_WANTED 2048 /* of 4 KiB: a checkpoint starts */
#define WAL_FRAMES_MAX 8192

struct statement {
    const char *sql; /* the pointer is the key */
    sqlite3_stmt *stmt;
    struct statement *more; /* further ones of the same text, for a query inside a query */
    UT_hash_handle hh;
};

struct callback {
    void (*fn)(struct cache *cache, void *arg, bool committed);
    void *arg;
};
struct callbacks {
    struct callback *items;
    size_t count, capacity;
};

struct db {
    struct lock lock; /* LOCK_DB: all up to sync_lock */
    sqlite3 *handle;
    struct statement *statements;
    sqlite3_stmt *begin, *commit, *rollback;
    bool started;
    int error;
    int64_t changes_before;
    struct callbacks settle, after;
    int64_t next[DB_NUMBERS], limit[DB_NUMBERS], saved_limit[DB_NUMBERS];
    atomic_int wal_frames;
    int64_t epoch, reboot_epoch;
    enum db_left left;

    atomic_uint_fast64_t commits, syncs;

    struct lock sync_lock; /* LOCK_BLOCK: syncs of the WAL */
    pthread_cond_t sync_done;
    uint64_t synced;       /* commits that are on the disk */
    bool syncing;
    int sync_error;
    int wal_fd;

    struct lock thread_lock; /* LOCK_BLOCK: the checkpoint thread */
    pthread_cond_t wake;
    pthread_t thread;
    bool thread_runs, stop, wanted;
    atomic_bool turn; /* the checkpoint waits for LOCK_DB, and whoever begins lets it go first */
    pthread_cond_t turn_over;
    sqlite3 *checkpointer;
};

int db_error_of(sqlite3 *handle); /* the errno of its last failure */
sqlite3_stmt *db_prepare(struct cache *cache, const char *sql);
void db_statements_free(struct db *db);
extern const char *const db_number_names[DB_NUMBERS]; /* settings: the high-water marks */
int64_t db_setting_number(struct cache *cache, const char *name, int64_t otherwise);

int db_sync_start(struct cache *cache); /* opens the WAL, starts the checkpoint thread */
void db_sync_stop(struct cache *cache);
void db_checkpoint_wanted(struct db *db);
void db_checkpoint_first(struct db *db); /* waits while a checkpoint has its turn */

#endif

/*
 * cache/db.h: the only door to SQLite. One connection, WAL, synchronous=NORMAL: a commit is a write, not a sync.
 * Statements are prepared once and cached by their text (a string literal; the pointer is the key).
 */
#ifndef R2FS_CACHE_DB_H
#define R2FS_CACHE_DB_H

#include <sqlite3.h>

#include "cache/internal.h"

/* Opens or makes SPOOL/index.db, checks identity and schema, migrates. -EUCLEAN: damaged, or of a newer r2fs; why says it. */
int db_open(struct cache *cache, char *why, size_t why_size);
void db_close(struct cache *cache); /* checkpoints, marks clean */
/* How the last owner left it: nothing to check; its process died (what it wrote is all there); the machine went down (block files may lack what
 * rows promise). */
enum db_left { DB_LEFT_CLEAN, DB_LEFT_KILLED, DB_LEFT_BY_REBOOT };
enum db_left db_left(const struct cache *cache);
int64_t db_epoch(const struct cache *cache); /* see content.epoch in schema.h */
int64_t db_reboot_epoch(const struct cache *cache); /* contents of an older epoch have been through a reboot since */

/* One transaction at a time in the process. begin blocks for the lock and never fails (SQLite's BEGIN is deferred to the first
 * query); commit: 0, or -ENOSPC, -EIO: then it was rolled back. One that changed no row costs no write and is not counted. */
struct lock *db_lock(struct cache *cache);
void db_begin(struct cache *cache);
int db_commit(struct cache *cache);
void db_rollback(struct cache *cache);
/* Inside a transaction: fn(arg, committed) runs once when the outcome is known, still under LOCK_DB: how memory follows the rows, in the
 * order of commits. It must not query. */
void db_settle(struct cache *cache, void (*fn)(struct cache *cache, void *arg, bool committed), void *arg);
/* Inside a transaction: fn(arg, committed) runs once, after the lock is dropped: how threads and the kernel hear of it.
 * Allocation failure makes the commit fail; fn then still runs. */
void db_after(struct cache *cache, void (*fn)(struct cache *cache, void *arg, bool committed), void *arg);
/* An error inside a transaction makes its commit fail with it (first one wins). */
void db_fail(struct cache *cache, int error);
int db_failed(const struct cache *cache); /* that error so far, or 0: an answer of "no row" is none when it is set. Inside */

/*
 * A cached statement, reset and with bindings cleared, ready to bind. sql must be a string literal. Inside a transaction.
 * Parameters by a format of one letter each: i int64_t, t const char * (may be NULL), b const void * and size_t, n (NULL), z (zero-terminated
 * bytes stored as blob: const char *).
 */
sqlite3_stmt *db_query(struct cache *cache, const char *sql, const char *format, ...);
/* true: a row is there. false: the end, or an error (then the transaction will fail). Resets at the end. */
bool db_step(struct cache *cache, sqlite3_stmt *stmt);
void db_done(sqlite3_stmt *stmt); /* resets a statement whose rows were not read to the end */
/* Runs to the end; returns the number of rows changed, or -errno (and the transaction will fail). */
int db_run(struct cache *cache, const char *sql, const char *format, ...);

/* Makes everything committed so far survive a power cut: one sync of the WAL, shared by all who wait. Not inside. After a sync that failed: -EIO
 * until the next start, since the kernel may have dropped what it could not write. */
int db_sync(struct cache *cache);

/* Numbers that are never given out twice, also after a crash: inodes, dentries, contents, sequence numbers. Inside. */
enum db_number { DB_INO, DB_DENTRY, DB_CONTENT, DB_SEQUENCE, DB_NUMBERS };
int64_t db_next(struct cache *cache, enum db_number which);

/* Settings. get: the value is the caller's, NULL when not there. Inside. */
char *db_setting_get(struct cache *cache, const char *name);
void db_setting_set(struct cache *cache, const char *name, const char *value);

uint64_t db_commits(const struct cache *cache);
uint64_t db_syncs(const struct cache *cache);

#endif

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cache/db_internal.h"
#include "cache/schema.h"
#include "cache/spool.h"
#include "s3/base/buf.h"
#include "s3/base/log.h"

static int boot_id(char id[64])
{
    int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, id, 63);
    if (fd >= 0)
        close(fd);
    id[n > 0 ? n : 0] = '\0';
    id[strcspn(id, "\n")] = '\0';
    return *id ? 0 : -EIO;
}

static int connect_file(struct cache *cache, sqlite3 **handle, const char *path)
{
    (void)cache;
    int rc = sqlite3_open_v2(path, handle, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_NOFOLLOW, NULL);
    if (rc == SQLITE_OK)
        rc = sqlite3_exec(*handle, "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA wal_autocheckpoint=0;"
                          "PRAGMA temp_store=MEMORY; PRAGMA journal_size_limit=67108864;", NULL, NULL, NULL);
    if (rc == SQLITE_OK)
        return 0;
    return *handle ? db_error_of(*handle) : -ENOMEM;
}

static int on_wal(void *arg, sqlite3 *handle, const char *name, int frames)
{
    (void)handle;
    (void)name;
    ((struct db *)arg)->wal_frames = frames;
    return SQLITE_OK;
}

static int user_version(sqlite3 *handle)
{
    sqlite3_stmt *stmt = NULL;
    int version = -1;
    if (sqlite3_prepare_v2(handle, "PRAGMA user_version", -1, &stmt, NULL) == SQLITE_OK && sqlite3_step(stmt) == SQLITE_ROW)
        version = sqlite3_column_int(stmt, 0);
    sqlite3_finalize(stmt);
    return version;
}

/* Makes the tables of a new file, brings those of an older schema up, refuses those of a newer one. */
static int migrate(struct cache *cache, char *why, size_t why_size)
{
    sqlite3 *handle = cache->db->handle;
    int version = user_version(handle);
    if (version == SCHEMA_VERSION)
        return 0;
    if (version > SCHEMA_VERSION) {
        snprintf(why, why_size, "the index in %s is of a newer r2fs (format %d, this one knows %d): use that one, or flush with it and remove the folder",
                 cache->spool, version, SCHEMA_VERSION);
        return -EUCLEAN;
    }
    char sql[64];
    snprintf(sql, sizeof sql, "PRAGMA user_version=%d; COMMIT", SCHEMA_VERSION);
    if (version == 0 && sqlite3_exec(handle, "BEGIN", NULL, NULL, NULL) == SQLITE_OK &&
        sqlite3_exec(handle, schema_sql, NULL, NULL, NULL) == SQLITE_OK && sqlite3_exec(handle, sql, NULL, NULL, NULL) == SQLITE_OK)
        return 0;
    int rc = db_error_of(handle);
    snprintf(why, why_size, "the index in %s cannot be used: %s", cache->spool, sqlite3_errmsg(handle));
    return rc == -ENOSPC || rc == -EIO ? rc : -EUCLEAN;
}

static int check_identity(struct cache *cache, char *why, size_t why_size)
{
    char *wanted = spool_identity(&cache->config), *stored = db_setting_get(cache, "identity");
    int rc = wanted ? 0 : -ENOMEM;
    if (wanted && !stored) {
        db_setting_set(cache, "identity", wanted);
    } else if (wanted && strcmp(wanted, stored) != 0) {
        snprintf(why, why_size, "the index in %s belongs to another bucket, prefix or endpoint", cache->spool);
        rc = -EUCLEAN;
    }
    free(wanted);
    free(stored);
    return rc;
}

/* What the last owner left, and that we are here now. */
static int take_over(struct cache *cache)
{
    struct db *db = cache->db;
    char boot[64];
    int rc = boot_id(boot);
    if (rc)
        return rc;
    char *last_boot = db_setting_get(cache, "boot"), *clean = db_setting_get(cache, "clean");
    db->left = DB_LEFT_CLEAN;
    if (last_boot && strcmp(last_boot, boot) != 0)
        db->left = DB_LEFT_BY_REBOOT;
    else if (last_boot && (!clean || strcmp(clean, "1") != 0))
        db->left = DB_LEFT_KILLED;
    free(last_boot);
    free(clean);
    db->epoch = db_setting_number(cache, "epoch", 1) + (db->left == DB_LEFT_CLEAN ? 0 : 1);
    char number[32];
    snprintf(number, sizeof number, "%lld", (long long)db->epoch);
    db_setting_set(cache, "epoch", number);
    db->reboot_epoch = db_setting_number(cache, "reboot_epoch", 0);
    if (db->left == DB_LEFT_BY_REBOOT) {
        db->reboot_epoch = db->epoch;
        db_setting_set(cache, "reboot_epoch", number);
    }
    db_setting_set(cache, "boot", boot);
    db_setting_set(cache, "clean", "0");
    for (int i = 0; i < DB_NUMBERS; i++)
        /* Inode 1 is the root; 0 means none everywhere. */
        db->next[i] = db->limit[i] = db->saved_limit[i] = db_setting_number(cache, db_number_names[i], 2);
    return 0;
}

static int prepare_own(struct cache *cache)
{
    struct db *db = cache->db;
    db->begin = db_prepare(cache, "BEGIN");
    db->commit = db_prepare(cache, "COMMIT");
    db->rollback = db_prepare(cache, "ROLLBACK");
    return db->begin && db->commit && db->rollback ? 0 : db->error;
}

static void no_memory_statistics(void)
{
    /* They cost a mutex an allocation, and only one thread uses a connection. */
    sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
}

static struct db *db_new(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, no_memory_statistics);
    struct db *db = calloc(1, sizeof *db);
    if (!db)
        return NULL;
    lock_init(&db->lock, LOCK_DB);
    lock_init(&db->sync_lock, LOCK_BLOCK);
    lock_init(&db->thread_lock, LOCK_BLOCK);
    lock_cond_init(&db->sync_done);
    lock_cond_init(&db->wake);
    lock_cond_init(&db->turn_over);
    db->wal_fd = -1;
    return db;
}

static void db_free(struct cache *cache)
{
    struct db *db = cache->db;
    db_statements_free(db);
    if (db->wal_fd >= 0)
        close(db->wal_fd);
    sqlite3_close(db->checkpointer);
    sqlite3_close(db->handle);
    free(db->settle.items);
    free(db->after.items);
    pthread_cond_destroy(&db->sync_done);
    pthread_cond_destroy(&db->wake);
    pthread_cond_destroy(&db->turn_over);
    lock_fini(&db->lock);
    lock_fini(&db->sync_lock);
    lock_fini(&db->thread_lock);
    free(db);
    cache->db = NULL;
}

int db_open(struct cache *cache, char *why, size_t why_size)
{
    struct buf path = BUF_INIT(8192);
    buf_printf(&path, "%s/index.db", cache->spool);
    cache->db = db_new();
    int rc = cache->db && !path.failed ? 0 : -ENOMEM;
    *why = '\0';
    if (!rc)
        rc = connect_file(cache, &cache->db->handle, path.data);
    if (!rc)
        rc = migrate(cache, why, why_size);
    if (!rc)
        rc = connect_file(cache, &cache->db->checkpointer, path.data);
    if (!rc)
        rc = prepare_own(cache);
    if (!rc) {
        sqlite3_wal_hook(cache->db->handle, on_wal, cache->db);
        db_begin(cache);
        rc = check_identity(cache, why, why_size);
        if (!rc)
            rc = take_over(cache);
        if (rc)
            db_rollback(cache);
        else
            rc = db_commit(cache);
    }
    if (!rc)
        rc = db_sync_start(cache);
    if (rc && !*why)
        snprintf(why, why_size, "the index in %s cannot be opened: %s", cache->spool,
                 rc == -EUCLEAN ? "it is damaged" : strerror(-rc));
    if (rc && cache->db)
        db_free(cache);
    buf_fini(&path);
    return rc;
}

void db_close(struct cache *cache)
{
    struct db *db = cache->db;
    if (!db)
        return;
    db_sync_stop(cache);
    db_begin(cache);
    db_setting_set(cache, "clean", "1");
    db_commit(cache);
    if (sqlite3_wal_checkpoint_v2(db->handle, NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL) != SQLITE_OK)
        log_error("the index in %s could not be checkpointed: %s", cache->spool, sqlite3_errmsg(db->handle));
    db_free(cache);
}

enum db_left db_left(const struct cache *cache)
{
    return cache->db->left;
}

int64_t db_epoch(const struct cache *cache)
{
    return cache->db->epoch;
}

int64_t db_reboot_epoch(const struct cache *cache)
{
    return cache->db->reboot_epoch;
}

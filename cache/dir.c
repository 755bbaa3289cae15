/*
 * A directory's entry here says when a program last looked at it and in which epoch it was last listed. An epoch ends with
 * dir_expire_all. Entries of directories that fall out of use are dropped by the poller, so the table holds what is in use.
 */
#include "cache/dir.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uthash.h>

#include "cache/db.h"
#include "cache/listing.h"
#include "cache/name.h"
#include "cache/poll.h"
#include "cache/pool.h"
#include "cache/remote_place.h"
#include "cache/wait.h"
#include "s3/base/clock.h"
#include "s3/base/log.h"

#define LIST_TIMEOUT_MS 30000 /* for each page */
#define FAILED_MS 5000        /* offline: so long before the bucket is asked again for a directory */
#define BLOCKED_LOGGED 16     /* names of blocked keys in the log; all are counted */

struct waiter { /* those who wait for one name, or (NULL) for all of them */
    struct waiter *next;
    struct wait_queue queue;
    char *name;
};

struct flight { /* a listing under way */
    struct pool_job job;
    uint64_t ino, epoch;
    bool shown;              /* a page is in the tree: programs may have seen what it says */
    struct waiter *waiters;
};

struct dir {
    UT_hash_handle hh;
    uint64_t ino;
    int64_t used_ms, failed_until_ms; /* monotonic */
    uint64_t failed_epoch;           /* … and as long as it is this epoch */
    int error;                       /* the answer until then: 0 when an older listing stands in */
    uint64_t complete;               /* the epoch in which it was last listed to its end; 0: never */
    bool lapsed;                     /* listed once, and no longer kept fresh: the kernel may hold old names */
    struct flight *flight;
};

struct blocked {
    UT_hash_handle hh;
    uint64_t hash;
};

struct dirs {
    struct lock lock; /* LOCK_BLOCK */
    /* guarded by lock */
    struct dir *table;
    uint64_t epoch, all_complete; /* all_complete: the epoch in which a flat listing of everything ended */
    int64_t last_used_ms;
    struct blocked *blocked;
    struct s3_cancel cancel; /* of all listings */
};

int dirs_start(struct cache *cache)
{
    struct dirs *dirs = calloc(1, sizeof *dirs);
    if (!dirs)
        return -ENOMEM;
    lock_init(&dirs->lock, LOCK_BLOCK);
    dirs->epoch = 1;
    cache->dirs = dirs;
    return 0;
}

void dirs_stop(struct cache *cache)
{
    struct dirs *dirs = cache->dirs;
    struct dir *dir, *next;
    struct blocked *blocked, *next_blocked;
    if (!dirs)
        return;
    HASH_ITER(hh, dirs->table, dir, next) {
        HASH_DEL(dirs->table, dir);
        free(dir);
    }
    HASH_ITER(hh, dirs->blocked, blocked, next_blocked) {
        HASH_DEL(dirs->blocked, blocked);
        free(blocked);
    }
    lock_fini(&dirs->lock);
    free(dirs);
    cache->dirs = NULL;
}

static struct dir *find_locked(struct dirs *dirs, uint64_t ino)
{
    struct dir *dir = NULL;
    HASH_FIND(hh, dirs->table, &ino, sizeof ino, dir);
    return dir;
}

static struct dir *make_locked(struct dirs *dirs, uint64_t ino)
{
    struct dir *dir = find_locked(dirs, ino);
    if (dir || !(dir = calloc(1, sizeof *dir)))
        return dir;
    dir->ino = ino;
    HASH_ADD(hh, dirs->table, ino, sizeof dir->ino, dir);
    return dir;
}

static bool is_complete_locked(const struct dirs *dirs, const struct dir *dir)
{
    return dirs->all_complete == dirs->epoch || (dir && dir->complete == dirs->epoch);
}

static bool has_failed_locked(const struct dirs *dirs, const struct dir *dir, int64_t now)
{
    return now < dir->failed_until_ms && dir->failed_epoch == dirs->epoch;
}

/* ---- a listing ---- */

static void wake_waiters(struct cache *cache, struct waiter *waiters, int error)
{
    while (waiters) {
        struct waiter *next = waiters->next;
        wait_wake(cache, &waiters->queue, error);
        free(waiters->name);
        free(waiters);
        waiters = next;
    }
}

/* Keys come in byte order: a name is past when what it would be as a directory, "name/", is. */
static bool is_past(const char *name, const char *passed)
{
    size_t length = strlen(name);
    int order = strncmp(name, passed, length);
    return order < 0 || (order == 0 && passed[length] >= '/');
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Is what the tree says of a name that is past what this listing says? Not when an earlier listing knew it and this one does not: whether it is
 * gone is asked when the listing is complete. */
static bool is_settled(struct cache *cache, const struct listing *listing, const char *name)
{
    char key[S3_KEY_MAX + CACHE_NAME_MAX + 2], *at = key;
    snprintf(key, sizeof key, "%s%s/", listing->prefix, name);
    db_begin(cache);
    uint64_t child = tree_child_tx(cache, listing->ino, name, strlen(name));
    bool directory = child && remote_is_directory_tx(cache, child);
    db_commit(cache);
    if (!child)
        return true;
    if (directory)
        return listing->seen_count > 0 && bsearch(&at, listing->seen, listing->seen_count, sizeof *listing->seen, by_text);
    key[strlen(key) - 1] = '\0';
    for (size_t i = 0; i < listing->missing.count; i++)
        if (strcmp(listing->missing.keys[i], key) == 0)
            return false;
    return true;
}

/* Takes off those who wait for a name that is past. */
static struct waiter *take_waiters(struct dirs *dirs, struct flight *flight, const char *past)
{
    struct waiter *taken = NULL;
    lock_take(&dirs->lock);
    for (struct waiter **at = &flight->waiters; *at;) {
        struct waiter *waiter = *at;
        if (!waiter->name || !is_past(waiter->name, past)) {
            at = &waiter->next;
            continue;
        }
        *at = waiter->next;
        waiter->next = taken;
        taken = waiter;
    }
    lock_drop(&dirs->lock);
    return taken;
}

/* The page that ended with this key is in the tree: who waits for a name up to it need not wait for the rest. */
static void page_passed(struct cache *cache, struct flight *flight, const struct listing *listing)
{
    struct waiter *later = NULL, *settled = NULL;
    if (!listing->after[0])
        return;
    struct waiter *past = take_waiters(cache->dirs, flight, listing->after + strlen(listing->prefix));
    while (past) {
        struct waiter *waiter = past;
        past = waiter->next;
        struct waiter **to = is_settled(cache, listing, waiter->name) ? &settled : &later;
        waiter->next = *to;
        *to = waiter;
    }
    lock_take(&cache->dirs->lock);
    flight->shown = true;
    while (later) {
        struct waiter *waiter = later;
        later = waiter->next;
        waiter->next = flight->waiters;
        flight->waiters = waiter;
    }
    lock_drop(&cache->dirs->lock);
    wake_waiters(cache, settled, 0);
}

static int list_directory(struct cache *cache, struct flight *flight)
{
    struct listing listing;
    int error = listing_init(cache, &listing, flight->ino);
    if (error)
        return error;
    while (!error && !listing.done) {
        struct s3_call call = { .timeout_ms = LIST_TIMEOUT_MS, .priority = S3_NOW, .cancel = &cache->dirs->cancel };
        struct s3_error why = { .outcome = S3_OK };
        if (cache->stopping) {
            error = -ESHUTDOWN;
            break;
        }
        error = listing_step(cache, &listing, &call, &why);
        if (error && !cache->stopping)
            cache_note_outcome(cache, "listing", listing.prefix, &why);
        if (!error)
            page_passed(cache, flight, &listing);
    }
    if (!error && listing.missing.count > 0)
        poll_confirm(cache, listing.prefix, &listing.missing);
    if (!error)
        remote_prune(cache, flight->ino);
    listing_fini(&listing);
    return error;
}

static bool is_network(int error)
{
    return error == -ETIMEDOUT || error == -EHOSTUNREACH || error == -EAGAIN || error == -EIO || error == -EBADMSG;
}

static void run_flight(struct cache *cache, struct pool_job *job)
{
    struct flight *flight = (struct flight *)job;
    struct dirs *dirs = cache->dirs;
    int error = cache->stopping ? -ESHUTDOWN : list_directory(cache, flight);
    lock_take(&dirs->lock);
    struct dir *dir = find_locked(dirs, flight->ino);
    struct waiter *waiters = flight->waiters;
    if (dir) {
        dir->flight = NULL;
        if (!error) {
            dir->complete = flight->epoch;
            dir->lapsed = false;
        } else if (is_network(error)) {
            /* What was listed before stays readable while the bucket does not answer. */
            error = dir->complete || dir->lapsed ? 0 : error;
            dir->error = error;
            dir->failed_epoch = dirs->epoch;
            dir->failed_until_ms = clock_mono_ms() + FAILED_MS;
        }
    }
    lock_drop(&dirs->lock);
    free(flight);
    wake_waiters(cache, waiters, error);
}

static int add_waiter_locked(struct cache *cache, struct flight *flight, const char *name, struct cache_wait *wait)
{
    struct waiter *waiter = flight->waiters;
    while (waiter && (name && waiter->name ? strcmp(name, waiter->name) != 0 : (name != NULL) != (waiter->name != NULL)))
        waiter = waiter->next;
    if (!waiter) {
        waiter = calloc(1, sizeof *waiter);
        if (!waiter || (name && !(waiter->name = strdup(name)))) {
            free(waiter);
            return -ENOMEM;
        }
        waiter->next = flight->waiters;
        flight->waiters = waiter;
    }
    wait_add(cache, &waiter->queue, wait);
    return CACHE_WAIT;
}

int dir_need(struct cache *cache, uint64_t ino, const char *name, struct cache_wait *wait)
{
    struct dirs *dirs = cache->dirs;
    struct flight *started = NULL;
    int result = 0;
    lock_take(&dirs->lock);
    struct dir *dir = make_locked(dirs, ino);
    if (!dir) {
        result = -ENOMEM;
        goto out;
    }
    dirs->last_used_ms = dir->used_ms = clock_mono_ms();
    if (is_complete_locked(dirs, dir))
        goto out;
    if (has_failed_locked(dirs, dir, dir->used_ms)) {
        result = dir->error;
        goto out;
    }
    if (!dir->flight) {
        started = calloc(1, sizeof *started);
        if (!started) {
            result = -ENOMEM;
            goto out;
        }
        started->job.run = run_flight;
        started->ino = ino;
        started->epoch = dirs->epoch;
        dir->flight = started;
    }
    result = CACHE_WAIT;
    if (wait)
        result = add_waiter_locked(cache, dir->flight, name, wait);
out:
    lock_drop(&dirs->lock);
    if (started)
        pool_submit(cache->fetch_pool, &started->job);
    return result;
}

/* ---- what is in use, what is fresh ---- */

void dir_used(struct cache *cache, uint64_t ino)
{
    struct dirs *dirs = cache->dirs;
    lock_take(&dirs->lock);
    struct dir *dir = make_locked(dirs, ino);
    int64_t now = clock_mono_ms();
    bool stale = false;
    if (dir) {
        stale = (dir->complete || dir->lapsed) && !is_complete_locked(dirs, dir) && !dir->flight && !has_failed_locked(dirs, dir, now);
        dir->used_ms = now;
    }
    dirs->last_used_ms = now;
    lock_drop(&dirs->lock);
    /* The kernel answers from what it has, so what changed meanwhile must come to it as news. */
    if (stale && !cache->stopping)
        (void)dir_need(cache, ino, NULL, NULL);
}

static void settle_made(struct cache *cache, void *arg, bool committed)
{
    uint64_t *ino = arg;
    struct dirs *dirs = cache->dirs;
    if (committed) {
        lock_take(&dirs->lock);
        struct dir *dir = make_locked(dirs, *ino);
        if (dir) {
            dir->complete = dirs->epoch;
            dirs->last_used_ms = dir->used_ms = clock_mono_ms();
        }
        lock_drop(&dirs->lock);
    }
    free(ino);
}

void dir_made_tx(struct cache *cache, uint64_t ino)
{
    uint64_t *copy = malloc(sizeof *copy);
    if (!copy) {
        db_fail(cache, -ENOMEM);
        return;
    }
    *copy = ino;
    db_settle(cache, settle_made, copy);
}

void dir_expire_all(struct cache *cache)
{
    lock_take(&cache->dirs->lock);
    cache->dirs->epoch++;
    lock_drop(&cache->dirs->lock);
}

uint64_t dir_epoch(struct cache *cache)
{
    lock_take(&cache->dirs->lock);
    uint64_t epoch = cache->dirs->epoch;
    lock_drop(&cache->dirs->lock);
    return epoch;
}

void dir_cancel_all(struct cache *cache)
{
    s3_cancel_fire(&cache->dirs->cancel);
}

bool dir_complete_tx(struct cache *cache, uint64_t ino)
{
    struct dirs *dirs = cache->dirs;
    lock_take(&dirs->lock);
    bool complete = is_complete_locked(dirs, find_locked(dirs, ino));
    lock_drop(&dirs->lock);
    return complete;
}

bool dir_was_listed_tx(struct cache *cache, uint64_t ino)
{
    struct dirs *dirs = cache->dirs;
    lock_take(&dirs->lock);
    const struct dir *dir = find_locked(dirs, ino);
    bool listed = dirs->all_complete != 0 || (dir && (dir->complete || dir->lapsed));
    lock_drop(&dirs->lock);
    return listed;
}

void dir_set_all_complete(struct cache *cache, bool complete, int64_t used_ms)
{
    struct dirs *dirs = cache->dirs;
    struct dir *dir, *next;
    lock_take(&dirs->lock);
    if (complete) {
        dirs->all_complete = dirs->epoch;
    } else if (dirs->all_complete == dirs->epoch) {
        dirs->all_complete = 0;
        HASH_ITER(hh, dirs->table, dir, next)
            if (dir->used_ms >= used_ms)
                dir->complete = dirs->epoch;
    }
    lock_drop(&dirs->lock);
}

bool dir_all_complete(struct cache *cache)
{
    lock_take(&cache->dirs->lock);
    bool complete = cache->dirs->all_complete == cache->dirs->epoch;
    lock_drop(&cache->dirs->lock);
    return complete;
}

void dir_listed(struct cache *cache, uint64_t ino, uint64_t epoch)
{
    lock_take(&cache->dirs->lock);
    struct dir *dir = find_locked(cache->dirs, ino);
    if (dir) {
        dir->complete = epoch;
        dir->lapsed = false;
    }
    lock_drop(&cache->dirs->lock);
}

/* In use, and programs have seen what is in it. */
static bool is_polled(const struct dir *dir, int64_t used_ms)
{
    return dir->used_ms >= used_ms && (dir->complete || (dir->flight && dir->flight->shown));
}

size_t dir_in_use(struct cache *cache, int64_t used_ms)
{
    struct dirs *dirs = cache->dirs;
    size_t count = 0;
    lock_take(&dirs->lock);
    for (const struct dir *dir = dirs->table; dir; dir = dir->hh.next)
        count += is_polled(dir, used_ms) || (dir->used_ms >= used_ms && dirs->all_complete == dirs->epoch);
    lock_drop(&dirs->lock);
    return count;
}

static int newest_first(const void *a, const void *b)
{
    int64_t left = (*(struct dir *const *)a)->used_ms, right = (*(struct dir *const *)b)->used_ms;
    return left < right ? 1 : left > right ? -1 : 0;
}

/* One that was never listed needs no memory; of one that was, the kernel may hold names, so its next use lists it again. */
static void lapse_locked(struct dirs *dirs, struct dir *dir)
{
    if (dir->flight)
        return;
    if (dir->complete || dir->lapsed) {
        dir->complete = 0;
        dir->lapsed = true;
        return;
    }
    HASH_DEL(dirs->table, dir);
    free(dir);
}

size_t dir_sweep(struct cache *cache, int64_t used_ms, uint64_t *inos, size_t capacity)
{
    struct dirs *dirs = cache->dirs;
    struct dir *dir, *next;
    size_t count = 0;
    lock_take(&dirs->lock);
    struct dir **used = malloc((HASH_COUNT(dirs->table) + 1) * sizeof(struct dir *));
    HASH_ITER(hh, dirs->table, dir, next) {
        if (used && is_polled(dir, used_ms))
            used[count++] = dir;
        else
            lapse_locked(dirs, dir);
    }
    if (used)
        qsort(used, count, sizeof(struct dir *), newest_first);
    for (size_t i = 0; i < count; i++) {
        if (i < capacity)
            inos[i] = used[i]->ino;
        else
            lapse_locked(dirs, used[i]);
    }
    free(used);
    lock_drop(&dirs->lock);
    return count < capacity ? count : capacity;
}

int64_t dir_last_used_ms(struct cache *cache)
{
    lock_take(&cache->dirs->lock);
    int64_t last = cache->dirs->last_used_ms;
    lock_drop(&cache->dirs->lock);
    return last;
}

/* ---- keys that no path can show ---- */

static uint64_t hash_of(const char *key)
{
    uint64_t hash = 14695981039346656037u; /* FNV-1a */
    for (; *key; key++)
        hash = (hash ^ (unsigned char)*key) * 1099511628211u;
    return hash;
}

void dir_blocked_key(struct cache *cache, const char *key)
{
    struct dirs *dirs = cache->dirs;
    uint64_t hash = hash_of(key);
    struct blocked *blocked = NULL;
    lock_take(&dirs->lock);
    HASH_FIND(hh, dirs->blocked, &hash, sizeof hash, blocked);
    bool fresh = !blocked && (blocked = calloc(1, sizeof *blocked)) != NULL;
    if (fresh) {
        blocked->hash = hash;
        HASH_ADD(hh, dirs->blocked, hash, sizeof blocked->hash, blocked);
    }
    lock_drop(&dirs->lock);
    if (!fresh)
        return;
    unsigned count = atomic_fetch_add(&cache->blocked_names, 1) + 1;
    if (count <= BLOCKED_LOGGED)
        log_notice("the object %s has no path and is not shown%s", key, count == BLOCKED_LOGGED ? "; others like it are only counted" : "");
}

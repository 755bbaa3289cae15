/*
 * One thread. A round lists the whole prefix flat while that takes few pages, or no more than the directories in use would;
 * else each directory in use. What it finds is merged page by page; what it does not find any more is asked for (vanish.c)
 * when the listing is complete. A round that fails changes nothing that its pages did not show.
 */
#include "cache/poll.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cache/db.h"
#include "cache/dir.h"
#include "cache/fetch.h"
#include "cache/listing.h"
#include "cache/remote.h"
#include "s3/base/clock.h"
#include "s3/base/log.h"

#define FLAT_PAGES 8          /* flat for the asking: at 5 s, 8 pages are some twenty dollars a month */
#define FIRST_PAGES 32        /* the first listing goes on in the background so far, so that trees of some size are wholly known */
#define DIRECTORIES_MAX 1024  /* in use at once */
#define LISTERS 8             /* directories listed at once */
#define IN_USE_MS 60000       /* a directory is in use so long after a program looked at it */
#define PAGE_TIMEOUT_MS 30000
#define ROOT_TIMEOUT_MS 5000
#define PAUSE_MIN_MS 20

struct poll {
    struct lock lock; /* LOCK_BLOCK */
    pthread_cond_t cond;
    pthread_t thread;
    bool running;
    struct s3_cancel cancel;
    struct vanish *vanish;
    _Atomic int64_t last_ms;
    /* guarded by lock */
    bool kicked, ended;
    /* the thread's own, once it runs */
    struct listing first;   /* the mount's listing, while it goes on */
    bool first_open;
    uint64_t first_epoch;
    unsigned flat_pages;    /* of the whole prefix, as last seen; 0: more than flat_least */
    unsigned flat_least;
    atomic_bool failing;    /* said already; also by the listers */
};

static int make(struct cache *cache)
{
    if (cache->poll)
        return 0;
    struct poll *poll = calloc(1, sizeof *poll);
    int error = poll ? vanish_new(&poll->vanish) : -ENOMEM;
    if (error) {
        free(poll);
        return error;
    }
    lock_init(&poll->lock, LOCK_BLOCK);
    lock_cond_init(&poll->cond);
    cache->poll = poll;
    return 0;
}

void poll_free(struct cache *cache)
{
    struct poll *poll = cache->poll;
    if (!poll)
        return;
    if (poll->first_open)
        listing_fini(&poll->first);
    vanish_free(poll->vanish);
    pthread_cond_destroy(&poll->cond);
    lock_fini(&poll->lock);
    free(poll);
    cache->poll = NULL;
}

/* ---- the mount's listing ---- */

static void note_failure(struct cache *cache, int error, const struct s3_error *why)
{
    struct poll *poll = cache->poll;
    if (cache->stopping || atomic_exchange(&poll->failing, true))
        return;
    cache_note_error(cache, "the bucket could not be listed: %s", why->outcome != S3_OK ? why->message : strerror(-error));
}

/* The root may have an object with its mode, and nobody looks the root up: it is asked for before the mount is usable. */
static void ask_for_root(struct cache *cache, int timeout_ms)
{
    char key[S3_KEY_MAX + 2];
    size_t length = strlen(cache->config.prefix);
    struct inode *root = inode_get(cache, CACHE_ROOT);
    bool known = !root;
    if (root) {
        lock_take(&root->lock);
        known = root->known;
        lock_drop(&root->lock);
    }
    inode_put(cache, root);
    if (known || length + 1 > S3_KEY_MAX || timeout_ms <= 0)
        return;
    memcpy(key, cache->config.prefix, length);
    memcpy(key + length, "/", 2);
    struct s3_call call = { .timeout_ms = timeout_ms < ROOT_TIMEOUT_MS ? timeout_ms : ROOT_TIMEOUT_MS, .priority = S3_NOW,
                            .cancel = &cache->poll->cancel };
    struct s3_object object;
    struct s3_error error;
    int64_t stamp = remote_stamp(cache);
    if (cache->config.ops->head(cache->config.ops_ctx, &call, key, &object, &error) != S3_OK)
        return; /* the next look at it asks again */
    db_begin(cache);
    remote_apply_fetched_tx(cache, CACHE_ROOT, key, &object, NULL, stamp);
    db_commit(cache);
    s3_object_fini(&object);
}

static void flat_done(struct cache *cache, struct listing *listing, uint64_t epoch)
{
    struct poll *poll = cache->poll;
    poll->flat_pages = listing->pages;
    poll->failing = false;
    atomic_store(&poll->last_ms, clock_wall_ms());
    if (dir_epoch(cache) == epoch)
        dir_set_all_complete(cache, true, 0);
}

enum s3_outcome poll_first(struct cache *cache, int timeout_ms, struct s3_error *error)
{
    int64_t until = clock_mono_ms() + timeout_ms;
    *error = (struct s3_error){ .outcome = S3_OK };
    int result = make(cache);
    struct poll *poll = cache->poll;
    if (!result) {
        poll->first_epoch = dir_epoch(cache);
        result = listing_init(cache, &poll->first, 0);
    }
    if (!result) {
        poll->first_open = true;
        poll->first.quiet = true;
        struct s3_call call = { .timeout_ms = timeout_ms, .priority = S3_NOW, .cancel = &poll->cancel };
        result = listing_step(cache, &poll->first, &call, error);
    }
    if (result && error->outcome == S3_OK) {
        error->outcome = S3_LOCAL;
        error->local_errno = -result;
    }
    if (result) {
        if (poll)
            poll_free(cache);
        return error->outcome;
    }
    if (poll->first.done)
        flat_done(cache, &poll->first, poll->first_epoch);
    ask_for_root(cache, (int)(until - clock_mono_ms()));
    return S3_OK;
}

/* ---- a round ---- */

static bool ended(struct poll *poll)
{
    lock_take(&poll->lock);
    bool is = poll->ended;
    lock_drop(&poll->lock);
    return is;
}

void poll_confirm(struct cache *cache, const char *scope, struct vanish_set *set)
{
    struct poll *poll = cache->poll;
    int error = poll ? vanish_confirm(cache, poll->vanish, scope, set, &poll->cancel) : 0;
    if (error && !cache->stopping)
        log_info("what \"%s\" lacks could not be confirmed: %s", scope, strerror(-error));
}

/* Goes on to the end, or to pages_max pages. 0; -errno. */
static int run_listing(struct cache *cache, struct listing *listing, unsigned pages_max)
{
    struct s3_call call = { .timeout_ms = PAGE_TIMEOUT_MS, .priority = S3_BACKGROUND, .cancel = &cache->poll->cancel };
    int error = 0;
    while (!error && !listing->done && listing->pages < pages_max) {
        struct s3_error why = { .outcome = S3_OK };
        if (ended(cache->poll))
            return -ESHUTDOWN;
        error = listing_step(cache, listing, &call, &why);
        if (error && error != -ESTALE)
            note_failure(cache, error, &why);
    }
    return error;
}

static void finish_first(struct cache *cache)
{
    struct poll *poll = cache->poll;
    bool was_done = poll->first.done;
    poll->first.quiet = false; /* programs have looked by now */
    int error = run_listing(cache, &poll->first, FIRST_PAGES);
    if (!error && poll->first.done) {
        if (!was_done)
            flat_done(cache, &poll->first, poll->first_epoch);
        poll_confirm(cache, poll->first.prefix, &poll->first.missing);
    } else {
        poll->flat_least = poll->first.pages;
    }
    listing_fini(&poll->first);
    poll->first_open = false;
}

/* False: it is more than pages_max pages, and what is in use has to be listed by directory. */
static bool round_flat(struct cache *cache, unsigned pages_max)
{
    struct poll *poll = cache->poll;
    struct listing listing;
    uint64_t epoch = dir_epoch(cache);
    if (listing_init(cache, &listing, 0) < 0)
        return true;
    int error = run_listing(cache, &listing, pages_max);
    if (!error && listing.done) {
        flat_done(cache, &listing, epoch);
        poll_confirm(cache, listing.prefix, &listing.missing);
    } else if (!error) {
        poll->flat_pages = 0; /* it has grown */
        poll->flat_least = listing.pages;
        dir_set_all_complete(cache, false, clock_mono_ms() - IN_USE_MS);
    }
    bool grown = !error && !listing.done;
    listing_fini(&listing);
    return !grown;
}

struct round {
    struct cache *cache;
    const uint64_t *inos;
    size_t count;
    atomic_size_t next;
    atomic_bool failed;
};

static void list_one(struct cache *cache, uint64_t ino, atomic_bool *failed)
{
    struct listing listing;
    uint64_t epoch = dir_epoch(cache);
    if (listing_init(cache, &listing, ino) < 0)
        return; /* it has gone */
    int error = run_listing(cache, &listing, UINT32_MAX);
    if (!error) {
        dir_listed(cache, ino, epoch);
        poll_confirm(cache, listing.prefix, &listing.missing);
        remote_prune(cache, ino);
    } else {
        *failed = true;
    }
    listing_fini(&listing);
}

static void *list_on(void *arg)
{
    struct round *round = arg;
    for (size_t i; !round->failed && (i = atomic_fetch_add(&round->next, 1)) < round->count;)
        list_one(round->cache, round->inos[i], &round->failed);
    return NULL;
}

static void round_directories(struct cache *cache, const uint64_t *inos, size_t count)
{
    struct round round = { .cache = cache, .inos = inos, .count = count };
    pthread_t threads[LISTERS];
    size_t started = 0;
    while (started + 1 < LISTERS && started + 1 < count && pthread_create(&threads[started], NULL, list_on, &round) == 0)
        started++;
    list_on(&round);
    for (size_t i = 0; i < started; i++)
        pthread_join(threads[i], NULL);
    if (!round.failed && !ended(cache->poll)) {
        cache->poll->failing = false;
        atomic_store(&cache->poll->last_ms, clock_wall_ms());
    }
}

void poll_round(struct cache *cache)
{
    if (cache->poll->first_open) {
        finish_first(cache);
        return;
    }
    int64_t since_ms = clock_mono_ms() - IN_USE_MS;
    unsigned flat_pages = cache->poll->flat_pages;
    size_t in_use = dir_in_use(cache, since_ms);
    unsigned worth = in_use > FLAT_PAGES ? (unsigned)in_use : FLAT_PAGES; /* a directory costs a page, too */
    /* Where the size is not known, it is tried again when twice as much would be worth it. */
    bool flat = flat_pages > 0 ? flat_pages <= worth : worth / 2 > cache->poll->flat_least;
    if (flat && round_flat(cache, worth + 1))
        return;
    uint64_t *inos = malloc(DIRECTORIES_MAX * sizeof *inos);
    if (!inos)
        return;
    dir_set_all_complete(cache, false, since_ms);
    size_t count = dir_sweep(cache, since_ms, inos, DIRECTORIES_MAX);
    round_directories(cache, inos, count);
    free(inos);
}

/* ---- the thread ---- */

static bool is_idle(struct cache *cache, int64_t round_ms)
{
    int64_t now = clock_mono_ms(), idle_ms = cache->config.poll_idle_ms;
    return idle_ms > cache->config.poll_ms && now - dir_last_used_ms(cache) > IN_USE_MS && now - round_ms < idle_ms;
}

static void *poll_thread(void *arg)
{
    struct cache *cache = arg;
    struct poll *poll = cache->poll;
    int64_t round_ms = clock_mono_ms(), due = round_ms + cache->config.poll_ms;
    if (poll->first_open)
        finish_first(cache);
    lock_take(&poll->lock);
    while (!poll->ended) {
        bool timed = cache->config.poll_ms > 0;
        if (!poll->kicked && !(timed && clock_mono_ms() >= due)) {
            if (timed)
                lock_wait_until(&poll->lock, &poll->cond, due);
            else
                lock_wait(&poll->lock, &poll->cond);
            continue;
        }
        bool kicked = poll->kicked;
        poll->kicked = false;
        lock_drop(&poll->lock);
        int64_t start = clock_mono_ms();
        if (kicked || !is_idle(cache, round_ms)) {
            round_ms = start;
            poll_round(cache);
        }
        int64_t now = clock_mono_ms();
        due = start + cache->config.poll_ms > now + PAUSE_MIN_MS ? start + cache->config.poll_ms : now + PAUSE_MIN_MS;
        lock_take(&poll->lock);
    }
    lock_drop(&poll->lock);
    return NULL;
}

int poll_start(struct cache *cache)
{
    int error = make(cache);
    if (error)
        return error;
    error = pthread_create(&cache->poll->thread, NULL, poll_thread, cache);
    cache->poll->running = error == 0;
    return -error;
}

void poll_stop(struct cache *cache)
{
    struct poll *poll = cache->poll;
    if (!poll || !poll->running)
        return;
    lock_take(&poll->lock);
    poll->ended = true;
    pthread_cond_signal(&poll->cond);
    lock_drop(&poll->lock);
    s3_cancel_fire(&poll->cancel);
    pthread_join(poll->thread, NULL);
    poll->running = false;
}

void poll_now(struct cache *cache)
{
    struct poll *poll = cache->poll;
    if (!poll)
        return;
    lock_take(&poll->lock);
    poll->kicked = true;
    pthread_cond_signal(&poll->cond);
    lock_drop(&poll->lock);
}

int64_t poll_last_ms(struct cache *cache)
{
    return cache->poll ? atomic_load(&cache->poll->last_ms) : 0;
}

#include "cache/vanish.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <uthash.h>

#include "cache/db.h"
#include "cache/remote.h"
#include "s3/base/clock.h"
#include "s3/base/log.h"

#define SHARE 10         /* more than one in so many is a mass */
#define ASKERS 32        /* HEADs under way at once */
#define ASK_TIMEOUT_MS 30000
#define COMMIT_BATCH 256

/* What a first listing of a scope lacked, until a second one agrees. */
struct suspect {
    UT_hash_handle hh;
    struct vanish_set set;
    int64_t since_ms;
    char scope[];
};

struct vanish {
    struct lock lock; /* LOCK_BLOCK */
    struct suspect *suspects; /* guarded by lock; one that is being looked at is out of it */
};

void vanish_add(void *arg, const char *key)
{
    struct vanish_set *set = arg;
    if (set->count == set->capacity) {
        size_t capacity = set->capacity ? set->capacity * 2 : 64;
        char **keys = realloc(set->keys, capacity * sizeof *keys);
        if (!keys) {
            set->failed = true;
            return;
        }
        set->keys = keys;
        set->capacity = capacity;
    }
    char *copy = strdup(key);
    if (copy)
        set->keys[set->count++] = copy;
    else
        set->failed = true;
}

void vanish_fini(struct vanish_set *set)
{
    for (size_t i = 0; i < set->count; i++)
        free(set->keys[i]);
    free(set->keys);
    *set = (struct vanish_set){ 0 };
}

int vanish_new(struct vanish **result)
{
    struct vanish *vanish = calloc(1, sizeof *vanish);
    if (!vanish)
        return -ENOMEM;
    lock_init(&vanish->lock, LOCK_BLOCK);
    *result = vanish;
    return 0;
}

static void suspect_free(struct suspect *suspect)
{
    if (!suspect)
        return;
    vanish_fini(&suspect->set);
    free(suspect);
}

void vanish_free(struct vanish *vanish)
{
    struct suspect *suspect, *next;
    if (!vanish)
        return;
    HASH_ITER(hh, vanish->suspects, suspect, next) {
        HASH_DEL(vanish->suspects, suspect);
        suspect_free(suspect);
    }
    lock_fini(&vanish->lock);
    free(vanish);
}

/* ---- asking ---- */

struct asking {
    struct cache *cache;
    struct s3_cancel *cancel;
    char **keys;
    size_t count;
    bool *gone;           /* out, by key */
    int64_t stamp;        /* drawn before the first question */
    atomic_size_t next;
    atomic_int error;
};

/* S3_OK: something is there. */
static enum s3_outcome ask(const struct asking *a, const char *key)
{
    const struct cache_config *config = &a->cache->config;
    struct s3_call call = { .timeout_ms = ASK_TIMEOUT_MS, .priority = S3_BACKGROUND, .cancel = a->cancel };
    struct s3_error error;
    enum s3_outcome outcome;
    size_t length = strlen(key);
    if (length == 0 || key[length - 1] != '/') {
        struct s3_object object;
        outcome = config->ops->head(config->ops_ctx, &call, key, &object, &error);
        if (outcome == S3_OK)
            s3_object_fini(&object);
        return outcome;
    }
    struct s3_list_request request = { .prefix = key, .max_keys = 1 };
    struct s3_list_page page;
    outcome = config->ops->list(config->ops_ctx, &call, &request, &page, &error);
    if (outcome != S3_OK)
        return outcome;
    bool empty = page.entry_count + page.prefix_count + page.skipped == 0 && !page.next_token;
    s3_list_page_fini(&page);
    return empty ? S3_NOT_FOUND : S3_OK;
}

static void *ask_on(void *arg)
{
    struct asking *a = arg;
    for (size_t i; !a->error && (i = atomic_fetch_add(&a->next, 1)) < a->count;) {
        enum s3_outcome outcome = ask(a, a->keys[i]);
        if (outcome == S3_NOT_FOUND)
            a->gone[i] = true;
        else if (outcome != S3_OK)
            a->error = -s3_outcome_errno(outcome);
    }
    return NULL;
}

/* Short-lived threads of our own: the fetch pool's may all be waiting for listings that wait for us. */
static void ask_all(struct asking *a)
{
    pthread_t threads[ASKERS];
    size_t started = 0;
    while (started < ASKERS && started + 1 < a->count && pthread_create(&threads[started], NULL, ask_on, a) == 0)
        started++;
    ask_on(a);
    for (size_t i = 0; i < started; i++)
        pthread_join(threads[i], NULL);
}

/* ---- applying ---- */

static int apply(struct cache *cache, char **keys, const bool *gone, size_t count, int64_t stamp)
{
    int error = 0;
    for (size_t at = 0; at < count && !error; at += COMMIT_BATCH) {
        db_begin(cache);
        for (size_t i = at; i < count && i < at + COMMIT_BATCH; i++)
            if ((!gone || gone[i]) && keys[i][0] && keys[i][strlen(keys[i]) - 1] != '/')
                remote_apply_object_tx(cache, keys[i], NULL, stamp);
        error = db_commit(cache);
    }
    for (size_t i = 0; i < count && !error; i++)
        if ((!gone || gone[i]) && keys[i][0] && keys[i][strlen(keys[i]) - 1] == '/') {
            db_begin(cache);
            remote_apply_object_tx(cache, keys[i], NULL, stamp);
            error = db_commit(cache);
            if (!error)
                error = remote_apply_empty(cache, keys[i], stamp);
        }
    return error;
}

static int ask_and_apply(struct cache *cache, struct vanish_set *set, struct s3_cancel *cancel)
{
    bool *gone = calloc(set->count + 1, sizeof *gone);
    if (!gone)
        return -ENOMEM;
    struct asking a = { .cache = cache, .cancel = cancel, .keys = set->keys, .count = set->count, .gone = gone };
    a.stamp = remote_stamp(cache);
    ask_all(&a);
    int error = apply(cache, set->keys, gone, set->count, a.stamp);
    free(gone);
    return error ? error : a.error;
}

/* ---- a mass ---- */

static size_t random_below(size_t limit)
{
    uint64_t value = 0;
    if (getrandom(&value, sizeof value, 0) != (ssize_t)sizeof value)
        value = (uint64_t)clock_mono_ms() * 2654435761u;
    return (size_t)(value % limit);
}

/* Moves VANISH_FEW keys, drawn at random, to the front. */
static void draw(struct vanish_set *set)
{
    for (size_t i = 0; i < VANISH_FEW && i < set->count; i++) {
        size_t j = i + random_below(set->count - i);
        char *key = set->keys[i];
        set->keys[i] = set->keys[j];
        set->keys[j] = key;
    }
}

static int by_key(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Keeps of set what other holds too. */
static void intersect(struct vanish_set *set, const struct vanish_set *other)
{
    size_t kept = 0;
    for (size_t i = 0; i < set->count; i++) {
        if (bsearch(&set->keys[i], other->keys, other->count, sizeof *other->keys, by_key))
            set->keys[kept++] = set->keys[i];
        else
            free(set->keys[i]);
    }
    set->count = kept;
}

static int confirm_mass(struct cache *cache, struct vanish_set *set, struct s3_cancel *cancel)
{
    bool gone[VANISH_FEW] = { false };
    draw(set);
    struct asking a = { .cache = cache, .cancel = cancel, .keys = set->keys, .gone = gone,
                        .count = set->count < VANISH_FEW ? set->count : VANISH_FEW };
    a.stamp = remote_stamp(cache);
    ask_all(&a);
    if (a.error)
        return a.error;
    for (size_t i = 0; i < a.count; i++)
        if (!gone[i]) {
            cache_note_error(cache, "listings lack %zu names but %s is there: nothing is removed", set->count, set->keys[i]);
            return 0;
        }
    log_notice("%zu names were removed by another client", set->count);
    return apply(cache, set->keys, NULL, set->count, a.stamp);
}

/* How many objects the set stands for, and, where that are many, how many we know in all. */
static void weigh(struct cache *cache, const struct vanish_set *set, uint64_t *lost, uint64_t *known)
{
    *lost = 0;
    db_begin(cache);
    for (size_t i = 0; i < set->count; i++) {
        char high[S3_KEY_MAX + 2];
        size_t length = strlen(set->keys[i]);
        uint64_t below = 0;
        if (length > 0 && length <= S3_KEY_MAX && set->keys[i][length - 1] == '/') {
            memcpy(high, set->keys[i], length + 1);
            high[length - 1]++;
            below = remote_count_tx(cache, set->keys[i], high);
        }
        *lost += below > 0 ? below : 1;
    }
    *known = *lost > VANISH_FEW ? remote_count_tx(cache, "", "\xff") : 0;
    db_commit(cache);
}

static struct suspect *take_suspect(struct vanish *vanish, const char *scope)
{
    struct suspect *suspect = NULL;
    lock_take(&vanish->lock);
    HASH_FIND(hh, vanish->suspects, scope, strlen(scope), suspect);
    if (suspect)
        HASH_DEL(vanish->suspects, suspect);
    lock_drop(&vanish->lock);
    return suspect;
}

/* Where two threads listed the same scope, the first suspicion stays. */
static void put_suspect(struct vanish *vanish, struct suspect *suspect)
{
    struct suspect *other = NULL;
    size_t length = strlen(suspect->scope);
    lock_take(&vanish->lock);
    HASH_FIND(hh, vanish->suspects, suspect->scope, length, other);
    if (!other)
        HASH_ADD_KEYPTR(hh, vanish->suspects, suspect->scope, length, suspect);
    lock_drop(&vanish->lock);
    if (other)
        suspect_free(suspect);
}

/* The set becomes the suspect's. */
static int suspect_first(struct cache *cache, struct vanish *vanish, const char *scope, struct vanish_set *set, uint64_t lost)
{
    size_t length = strlen(scope);
    struct suspect *suspect = calloc(1, sizeof *suspect + length + 1);
    if (!suspect)
        return -ENOMEM;
    memcpy(suspect->scope, scope, length + 1);
    suspect->since_ms = clock_mono_ms();
    qsort(set->keys, set->count, sizeof *set->keys, by_key); /* directories come behind the rest */
    suspect->set = *set;
    *set = (struct vanish_set){ 0 };
    put_suspect(vanish, suspect);
    cache_note_error(cache, "a listing suddenly lacks %llu names: they stay until a second one agrees", (unsigned long long)lost);
    return 0;
}

int vanish_confirm(struct cache *cache, struct vanish *vanish, const char *scope, struct vanish_set *set, struct s3_cancel *cancel)
{
    uint64_t lost = 0, known = 0;
    if (set->failed)
        return -ENOMEM;
    struct suspect *suspect = take_suspect(vanish, scope);
    if (set->count > 0)
        weigh(cache, set, &lost, &known);
    if (lost <= VANISH_FEW || lost <= known / SHARE) {
        suspect_free(suspect);
        return set->count > 0 ? ask_and_apply(cache, set, cancel) : 0;
    }
    if (!suspect)
        return suspect_first(cache, vanish, scope, set, lost);
    if (clock_mono_ms() - suspect->since_ms < cache->config.poll_ms) {
        put_suspect(vanish, suspect); /* too early for a second opinion */
        return 0;
    }
    intersect(set, &suspect->set);
    suspect_free(suspect);
    return set->count > 0 ? confirm_mass(cache, set, cancel) : 0;
}

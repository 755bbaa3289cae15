/*
 * Which keys have a mutating request under way, and when the last one ended. A key is remembered for a while after its
 * request: the endpoint takes one write a second of it, and a listing page that left before the request ended says nothing
 * about it (KEEP_MS covers the slowest page).
 */
#include <stdlib.h>
#include <string.h>
#include <uthash.h>

#include "cache/push_state.h"
#include "s3/base/clock.h"

#define KEEP_MS 300000
#define SWEEP_MS 60000

struct push_key {
    UT_hash_handle hh;
    bool busy;
    int64_t ended_ms; /* monotonic; 0: none yet */
    int64_t stamp;
    char key[];
};

static struct push_key *find_locked(struct push *push, const char *key) REQUIRES(push->lock)
{
    struct push_key *entry = NULL;
    lock_assert_held(&push->lock);
    HASH_FIND(hh, push->keys, key, strlen(key), entry);
    return entry;
}

static void sweep_locked(struct push *push, int64_t now) REQUIRES(push->lock)
{
    struct push_key *entry, *next;
    if (now - push->keys_swept_ms < SWEEP_MS)
        return;
    push->keys_swept_ms = now;
    HASH_ITER(hh, push->keys, entry, next)
        if (!entry->busy && now - entry->ended_ms > KEEP_MS) {
            HASH_DEL(push->keys, entry);
            free(entry);
        }
}

enum push_claim push_key_claim(struct push *push, const char *key, bool to_write, int64_t *not_before_ms)
{
    enum push_claim claim = PUSH_CLAIMED;
    int64_t now = clock_mono_ms();
    lock_take(&push->lock);
    sweep_locked(push, now);
    struct push_key *entry = find_locked(push, key);
    if (entry && entry->busy) {
        claim = PUSH_CLAIM_BUSY;
    } else if (to_write && entry && entry->ended_ms && now - entry->ended_ms < push->pace.key_ms) {
        *not_before_ms = entry->ended_ms + push->pace.key_ms;
        claim = PUSH_CLAIM_EARLY;
    } else if (!entry) {
        size_t length = strlen(key);
        entry = calloc(1, sizeof *entry + length + 1);
        if (entry) {
            memcpy(entry->key, key, length + 1);
            HASH_ADD_KEYPTR(hh, push->keys, entry->key, length, entry);
        } else {
            *not_before_ms = now + PUSH_RETRY_MIN_MS;
            claim = PUSH_CLAIM_EARLY;
        }
    }
    if (claim == PUSH_CLAIMED)
        entry->busy = true;
    lock_drop(&push->lock);
    return claim;
}

bool push_key_busy(struct push *push, const char *key)
{
    lock_take(&push->lock);
    struct push_key *entry = find_locked(push, key);
    bool busy = entry && entry->busy;
    lock_drop(&push->lock);
    return busy;
}

void push_key_end(struct push *push, const char *key, bool sent, int64_t stamp)
{
    lock_take(&push->lock);
    struct push_key *entry = find_locked(push, key);
    if (entry) {
        entry->busy = false;
        if (sent) {
            entry->ended_ms = clock_mono_ms();
            entry->stamp = stamp;
        } else if (!entry->ended_ms) {
            HASH_DEL(push->keys, entry);
            free(entry);
        }
    }
    lock_drop(&push->lock);
}

bool push_key_busy_since(struct push *push, const char *key, int64_t stamp)
{
    lock_take(&push->lock);
    struct push_key *entry = find_locked(push, key);
    bool busy = entry && (entry->busy || (entry->ended_ms && entry->stamp > stamp));
    lock_drop(&push->lock);
    return busy;
}

bool push_key_busy_below(struct push *push, const char *prefix, int64_t stamp)
{
    size_t length = strlen(prefix);
    bool busy = false;
    lock_take(&push->lock);
    for (const struct push_key *entry = push->keys; entry && !busy; entry = entry->hh.next)
        busy = strncmp(entry->key, prefix, length) == 0 && (entry->busy || (entry->ended_ms && entry->stamp > stamp));
    lock_drop(&push->lock);
    return busy;
}

void push_keys_clear(struct push *push)
{
    struct push_key *entry, *next;
    HASH_ITER(hh, push->keys, entry, next) {
        HASH_DEL(push->keys, entry);
        free(entry);
    }
}

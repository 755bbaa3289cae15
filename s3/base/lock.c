#include "s3/base/lock.h"

#include <assert.h>
#include <errno.h>
#include <stddef.h>

#ifndef NDEBUG
/* The locks this thread holds, in the order it took them. */
#define HELD_MAX 16
static _Thread_local const struct lock *held[HELD_MAX];
static _Thread_local size_t held_count;

static void note_take(const struct lock *lock)
{
    for (size_t i = 0; i < held_count; i++) {
        const struct lock *other = held[i];
        assert(other != lock && "a lock is taken twice");
        assert((other->rank < lock->rank || (other->rank == lock->rank && other < lock)) && "locks are taken out of order");
    }
    assert(held_count < HELD_MAX);
    held[held_count++] = lock;
}

static void note_drop(const struct lock *lock)
{
    size_t i = held_count;
    while (i > 0 && held[i - 1] != lock)
        i--;
    assert(i > 0 && "a lock is dropped that this thread does not hold");
    for (; i < held_count; i++)
        held[i - 1] = held[i];
    held_count--;
}
#else
static void note_take(const struct lock *lock)
{
    (void)lock;
}

static void note_drop(const struct lock *lock)
{
    (void)lock;
}
#endif

static void own(struct lock *lock)
{
    lock->owner = pthread_self();
    lock->held = true;
}

void lock_init(struct lock *lock, enum lock_rank rank)
{
    pthread_mutex_init(&lock->mutex, NULL);
    lock->rank = rank;
    lock->held = false;
}

void lock_fini(struct lock *lock)
{
    assert(!lock->held);
    pthread_mutex_destroy(&lock->mutex);
}

/* The bodies below are what the annotations describe, so the analysis cannot check them. */
void lock_take(struct lock *lock) NO_LOCK_ANALYSIS
{
    note_take(lock);
    pthread_mutex_lock(&lock->mutex);
    own(lock);
}

void lock_drop(struct lock *lock) NO_LOCK_ANALYSIS
{
    note_drop(lock);
    lock->held = false;
    pthread_mutex_unlock(&lock->mutex);
}

void lock_assert_held(const struct lock *lock)
{
    bool mine = lock->held && pthread_equal(lock->owner, pthread_self());
    assert(mine);
    (void)mine;
}

void lock_cond_init(pthread_cond_t *cond)
{
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(cond, &attr);
    pthread_condattr_destroy(&attr);
}

/* While it waits the thread takes nothing, so the lock may stay noted as held; only the owner's mark is given up. */
void lock_wait(struct lock *lock, pthread_cond_t *cond)
{
    lock_assert_held(lock);
    lock->held = false;
    pthread_cond_wait(cond, &lock->mutex);
    own(lock);
}

bool lock_wait_until(struct lock *lock, pthread_cond_t *cond, int64_t mono_ms)
{
    lock_assert_held(lock);
    struct timespec until = { .tv_sec = mono_ms / 1000, .tv_nsec = (mono_ms % 1000) * 1000000 };
    lock->held = false;
    int rc = pthread_cond_timedwait(cond, &lock->mutex, &until);
    own(lock);
    return rc != ETIMEDOUT;
}

/*
 * s3/base/lock.h: ranked mutexes. A thread takes locks only in rising rank (asserted unless NDEBUG), never holds one
 * over the network or a reply to the kernel. Two of one rank (two directories of a rename) are taken by rising address.
 * Condition variables use the monotonic clock.
 * Annotations are clang's -Wthread-safety; gcc sees nothing.
 */
#ifndef R2FS_S3_BASE_LOCK_H
#define R2FS_S3_BASE_LOCK_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#if defined(__clang__)
#define LOCK_ANNOTATION(x) __attribute__((x))
#else
#define LOCK_ANNOTATION(x)
#endif
#define CAPABILITY LOCK_ANNOTATION(capability("mutex"))
/* For readers only: in C, clang cannot name a member of the struct that is being declared. */
#define GUARDED_BY(x)
#define REQUIRES(...) LOCK_ANNOTATION(requires_capability(__VA_ARGS__))
#define EXCLUDES(...) LOCK_ANNOTATION(locks_excluded(__VA_ARGS__))
#define ACQUIRES(...) LOCK_ANNOTATION(acquire_capability(__VA_ARGS__))
#define RELEASES(...) LOCK_ANNOTATION(release_capability(__VA_ARGS__))
#define NO_LOCK_ANALYSIS LOCK_ANNOTATION(no_thread_safety_analysis)

/* LOCK_DB: the index and the tree (held for one transaction). LOCK_FILE: one inode's data and attributes, inside LOCK_DB or alone. */
enum lock_rank { LOCK_NODE = 1, LOCK_DB, LOCK_FILE, LOCK_BLOCK, LOCK_PUSH, LOCK_HTTP, LOCK_LOG };

struct CAPABILITY lock {
    pthread_mutex_t mutex;
    enum lock_rank rank;
    pthread_t owner;  /* debug builds */
    bool held;
};

/* For a static lock, which then needs no lock_init. */
#define LOCK_INIT(r) { .mutex = PTHREAD_MUTEX_INITIALIZER, .rank = (r) }

void lock_init(struct lock *lock, enum lock_rank rank);
void lock_fini(struct lock *lock);
void lock_take(struct lock *lock) ACQUIRES(lock);
void lock_drop(struct lock *lock) RELEASES(lock);
void lock_assert_held(const struct lock *lock) REQUIRES(lock);

void lock_cond_init(pthread_cond_t *cond);
void lock_wait(struct lock *lock, pthread_cond_t *cond) REQUIRES(lock);
bool lock_wait_until(struct lock *lock, pthread_cond_t *cond, int64_t mono_ms) REQUIRES(lock); /* false: the time came */

#endif

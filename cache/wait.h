/*
 * cache/wait.h: parked callers. A wait queue stands for one piece of news (a directory's listing, an inode's metadata, a
 * range, space, an upload). Bounded in time: a wait that nobody wakes is woken with -ETIMEDOUT after WAIT_MAX_MS.
 */
#ifndef R2FS_CACHE_WAIT_H
#define R2FS_CACHE_WAIT_H

#include "cache/internal.h"

#define WAIT_MAX_MS 120000

struct wait_queue {
    struct cache_wait *first;
};

int waits_start(struct cache *cache);
void waits_stop(struct cache *cache); /* wakes everyone with -ESHUTDOWN; after the modules that add waits have stopped */
void wait_add(struct cache *cache, struct wait_queue *queue, struct cache_wait *wait);
void wait_move(struct cache *cache, struct wait_queue *to, struct wait_queue *from); /* all of them, to an empty queue */
/* Takes all waits off the queue and wakes them on the calling thread. No lock held. The queue may be freed afterwards. */
void wait_wake(struct cache *cache, struct wait_queue *queue, int error);

/* A wait for code that may block (control socket, tests): init, pass &w.wait, block until woken; returns the error. */
struct wait_blocking {
    struct cache_wait wait;
    pthread_mutex_t mutex;
    pthread_cond_t cond;
    bool woken;
    int error;
};
void wait_blocking_init(struct wait_blocking *w);
/* -ETIMEDOUT: taken back; timeout_ms -1: as long as any wait may last. May be used again afterwards. */
int wait_blocking_run(struct cache *cache, struct wait_blocking *w, int timeout_ms);
void wait_blocking_fini(struct wait_blocking *w);

#endif

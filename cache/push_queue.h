/*
 * cache/push_queue.h: the todo rows in memory: what is pending, since when, and whether it may go now. Only the pusher's
 * own files include this. Rows are the truth (a restart reads them); an item without a row is harmless: it is looked at
 * once, nothing is found to do, and it goes. So an item may be made before its transaction commits.
 */
#ifndef R2FS_CACHE_PUSH_QUEUE_H
#define R2FS_CACHE_PUSH_QUEUE_H

#include <uthash.h>

#include "cache/pool.h"
#include "cache/push_due.h"
#include "cache/push_order.h"
#include "cache/todo.h"
#include "cache/wait.h"

struct push_item {
    UT_hash_handle hh;
    struct push_item *next, *prev; /* in push_queue.ready */
    struct push_item *beside;      /* deletes of one directory that one job checks together, chained; started with the first */
    struct pool_job job;
    enum todo_kind kind;
    uint64_t ino;          /* INODE, TREE */
    const char *key;       /* GONE, GONE_TREE */
    int64_t first, last;   /* sequence numbers; last 0: written in memory only, no row yet */
    struct push_times times;
    int64_t again_ms;      /* the first change since a job took it; 0: none */
    enum push_class class;
    bool classified;       /* class is that of the newest change */
    enum push_class started_class; /* what the planner let go: a step of another class, or of a newer change, asks again */
    int64_t started_last;
    bool publish;
    bool written;          /* bytes that only memory has: file_commit comes first */
    bool committing;       /* by the pusher itself: not a new change */
    bool in_flight;        /* a job has it */
    bool dropped;          /* the job's transaction took its row away: what is said of it from there on is news */
    bool listed;           /* in push_queue.ready */
    bool alone;            /* a delete that is checked by a HEAD of its own; the job's */
    bool stalled;          /* it holds back nobody any more, which was logged */
    bool refused;          /* by the bucket, for good, as far as the last attempt knows */
    unsigned failures;     /* in a row */
    unsigned waited;       /* looks in a row that found something to wait for; the job's */
    struct push_progress progress;
    _Atomic uint64_t moved; /* counted up by s3_ops as bytes move */
    uint64_t moved_seen;
    char *reason;          /* why the last attempt failed, or NULL */
    struct wait_queue *waits; /* who waits for this one; allocated by the first */
    size_t id_length;
    char id[];
};

struct push_queue {
    struct push_item *items; /* by kind and target */
    struct push_item *ready; /* due and allowed by the order when last looked at, oldest first */
    size_t in_flight;
    size_t trees;            /* items of kind TREE */
    int64_t success_ms[2];   /* when a request last succeeded, and when one for another item did */
    const struct push_item *success_item;
    int write_back_ms, dirty_age_max_ms;
};

struct push_item *push_queue_find(struct push_queue *queue, enum todo_kind kind, uint64_t ino, const char *key);
/* Finds or makes; NULL: no memory. */
struct push_item *push_queue_get(struct push_queue *queue, enum todo_kind kind, uint64_t ino, const char *key);
void push_queue_remove(struct push_queue *queue, struct push_item *item); /* not in flight */
void push_queue_clear(struct push_queue *queue);
int64_t push_queue_due(const struct push_queue *queue, const struct push_item *item);
void push_queue_succeeded(struct push_queue *queue, const struct push_item *item, int64_t now_ms);
/*
 * Fills queue->ready, in the order of what was wanted first. Returns the next time at which something becomes due
 * (INT64_MAX: never). Items that are not classified hold back everything behind them; *unclassified says there are some.
 */
int64_t push_queue_scan(struct push_queue *queue, int64_t now_ms, bool *unclassified);
void push_queue_start(struct push_queue *queue, struct push_item *item); /* off ready, in flight */
/* May a job of this item take a step of this class, for what is wanted of it up to now? */
bool push_queue_may_go(struct push_queue *queue, struct push_item *item, enum push_class class, int64_t now_ms);
struct push_item *push_queue_take(struct push_queue *queue, int64_t now_ms); /* the next one, started, with what stands beside it; or NULL */

#endif

/*
 * cache/push_state.h: the pusher's own object, and what its files give each other.
 *
 *   push.c           start, stop, the planner thread: hands what is due to the pool
 *   push_queue.c     what is pending, in memory           push_due.c, push_order.c   when, and after what
 *   push_look.c      reads the facts of a key from rows   push_plan.c     decides its one next step
 *   push_exec.c      one pending thing's steps            push_attempt.c  rows of requests about to leave
 *   push_key.c       one mutating request a key           push_caps.c     what the endpoint honours
 *   push_put.c       PUTs and copies                      push_upload.c   multipart
 *   push_resolve.c   outcomes that are not known          push_conflict.c both versions are kept
 *   push_tree.c      renamed directories                  push_remove.c   deletes
 *   push_refuse.c    a bucket that refuses for good       push_drain.c    flush, status, waiting
 *   push_pending.c   what listings must not touch         push_instance.c who we are, after a resume too
 *   push_list.c      many keys by one listing
 *
 * A job (push_exec.c) owns its item until push_job_done. push->lock (LOCK_PUSH) guards the struct; it is taken inside
 * transactions, never the other way round.
 */
#ifndef R2FS_CACHE_PUSH_STATE_H
#define R2FS_CACHE_PUSH_STATE_H

#include "cache/pool.h"
#include "cache/push.h"
#include "cache/push_queue.h"

#define PUSH_IN_FLIGHT_MAX 32
#define PUSH_NONCE_META "r2fs-v" /* x-amz-meta-r2fs-v: which request of ours made an object */

struct push_key;

/* Times that a test shortens. */
struct push_pace {
    int64_t key_ms;     /* PUSH_KEY_INTERVAL_MS */
    int64_t retry_ms;   /* the longest delay after a failure: PUSH_REFUSED_MS */
    int64_t late_ms;    /* PUSH_LATE_MS */
};

struct push {
    struct cache *cache;
    struct push_pace pace;
    struct lock lock;          /* LOCK_PUSH */
    pthread_cond_t wake;       /* the planner's */
    pthread_t thread;
    bool running, stop;
    struct push_queue queue;
    bool changed;              /* a scan might see something that may go now */
    int64_t wake_ms;           /* when something becomes due */
    int64_t pause_until_ms;    /* the endpoint failed for everyone: one attempt at a time from then on */
    unsigned pause_failures;
    unsigned resumes;          /* of this machine; changed inside a transaction */
    int64_t resumed_ms;        /* wall clock of the last resume, until a listing has come since; 0: none */
    struct push_key *keys;     /* push_key.c */
    int64_t keys_swept_ms;
    enum s3_cap_state caps[S3_CAP_COUNT];
    bool probing[S3_CAP_COUNT];
    atomic_bool etag_no_md5;   /* the endpoint's ETags of single PUTs are not MD5s: they say nothing beforehand */
    struct wait_queue *settled; /* who waits for a whole directory; allocated by the first */
    pthread_cond_t settle;     /* the same for callers that block */
    struct s3_cancel cancel;   /* fired by push_stop */
};

/* ---- push.c ---- */

/* How a job ends. */
enum push_end {
    PUSH_END_DONE,    /* nothing is left to do */
    PUSH_END_AGAIN,   /* a newer change came, or something has to be waited for */
    PUSH_END_FAILED,  /* again after a growing delay */
    PUSH_END_REFUSED, /* the same, and it holds back nobody: the bucket refuses this key for good */
};
struct push_done {
    enum push_end end;
    int64_t sent;          /* changes up to this sequence number are in the bucket; 0: none are */
    int64_t not_before_ms; /* AGAIN */
    int error;             /* FAILED and REFUSED: what an fsync that waits is told, 0: it goes on waiting */
    char reason[384];
};
/* Gives the item back; it may be gone afterwards. */
void push_job_done(struct push *push, struct push_item *item, const struct push_done *done);
/* A request for this item succeeded: the endpoint is well. */
void push_succeeded(struct push *push, struct push_item *item);
/* A request failed in a way that would hit every key: fewer attempts, further apart, until one succeeds. */
void push_pause(struct push *push);

/* A todo row (INODE with ino, GONE with key) that takes over a place in the order, and is due now. Inside. */
void push_inherit_tx(struct push *push, uint64_t ino, const char *key, int64_t first, int64_t last);

/* ---- push_key.c: one mutating request a key, a second apart ---- */

enum push_claim { PUSH_CLAIMED, PUSH_CLAIM_BUSY, PUSH_CLAIM_EARLY };
/* EARLY: only when it is to_write; *not_before_ms says when. Released by push_key_end. */
enum push_claim push_key_claim(struct push *push, const char *key, bool to_write, int64_t *not_before_ms);
bool push_key_busy(struct push *push, const char *key);
/* sent: a request left (its effect may be there), and stamp (remote_stamp) was drawn after it ended. */
void push_key_end(struct push *push, const char *key, bool sent, int64_t stamp);
bool push_key_busy_since(struct push *push, const char *key, int64_t stamp);
bool push_key_busy_below(struct push *push, const char *prefix, int64_t stamp); /* any key that starts so; looks at all of them */
void push_keys_clear(struct push *push);

/* ---- push_exec.c ---- */

void push_exec(struct cache *cache, struct pool_job *job); /* runs one item on a pool thread */

/* ---- push_look.c ---- */

enum push_class push_look_class_tx(struct cache *cache, uint64_t ino, bool publish);

/* ---- push_caps.c: what the endpoint honours ---- */

void push_caps_load_tx(struct push *push);
/* Blocks: probes at first need, once for all who ask; S3_CAP_UNKNOWN where the probe failed (*error says how). */
enum s3_cap_state push_caps_need(struct push *push, enum s3_cap cap, struct s3_error *error);

/* ---- push_instance.c ---- */

void push_instance_start_tx(struct cache *cache);
/* After a resume deletes and Completes wait for one listing: has it come? */
bool push_instance_settled(struct push *push);

#endif

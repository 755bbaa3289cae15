/*
 * cache/push_run.h: one pending thing being worked on by one job. Each step has the same shape: look at the rows (one
 * transaction); prepare what takes time (a snapshot, a digest, a question to the endpoint); look again, claim the key and
 * write the attempt's row (one transaction); send the request; write its outcome (one transaction). Cut off anywhere, the
 * rows say what to find out and what is still to be done.
 */
#ifndef R2FS_CACHE_PUSH_RUN_H
#define R2FS_CACHE_PUSH_RUN_H

#include "cache/block.h"
#include "cache/posix.h"
#include "cache/push_attempt.h"
#include "cache/push_look.h"

#define PUSH_SETTLE_MS 200 /* between two looks whether a listing has come since a resume */

struct push_run {
    struct cache *cache;
    struct push *push;
    struct push_item *item;
    int64_t sequence;          /* of the item's newest change at the last look */
    struct push_look look;
    struct push_done done;
    /* the request of this step; reset by push_run_reset */
    struct inode *inode;
    struct snapshot *snapshot;
    struct s3_body body;
    char body_md5[33];         /* "": not known */
    struct posix_headers headers;
    char *kept;                /* what another client set, as remote.headers holds it */
    struct s3_object seen;     /* what a HEAD of the key said, for endpoints without conditions */
    struct s3_condition condition;
    struct push_attempt attempt;
    char nonce[PUSH_NONCE_SIZE];
    char claimed[S3_KEY_MAX + 1]; /* the key that is this run's alone; "": none */
    struct s3_call call;
    struct s3_error error;
};

void push_run_reset(struct push_run *run);

/* What a step's function says. */
enum push_next {
    PUSH_NEXT, /* look again */
    PUSH_STOP, /* run->done says how it ends */
};

/* ---- push_exec.c ---- */

/* Ends the run: an outcome that is no success, with what a person should read. The outcome decides whether it is tried
 * again, and whether the whole mount is refused. */
enum push_next push_run_failed(struct push_run *run, enum s3_outcome outcome);
enum push_next push_run_local(struct push_run *run, int error, const char *what);
enum push_next push_run_finished(struct push_run *run); /* nothing is left of the item */
void push_run_drop_todo_tx(struct push_run *run);       /* its row goes */
/* What can never be sent as it is (metadata too large), or not now (no memory). */
enum push_next push_run_unfit(struct push_run *run, int error);
/* Ends it for now: something has to be waited for. */
enum push_next push_run_wait(struct push_run *run, int64_t not_before_ms);
/*
 * Looks again for the step that was prepared, claims its key and writes the attempt. true: the transaction is still open, and
 * the caller fills in what it needs from rows, then calls push_run_commit. false: things have changed, or the key is taken: return *next.
 */
bool push_run_begin(struct push_run *run, enum push_attempt_kind kind, enum push_next *next);
bool push_run_commit(struct push_run *run, enum push_next *next);
/* The request is over and nothing is known to have changed: its row goes, the key is free. sent: it may count as a write of the key. */
void push_run_release(struct push_run *run, bool sent);
/* Claims run->look.key for a write. PUSH_STOP: it is taken, or was written less than a second ago; *run says when to come again. */
enum push_next push_run_claim_to_write(struct push_run *run);
/* Claims run->attempt.key for a look at it, when it is not claimed. false: *run says when to come again. */
bool push_run_claim(struct push_run *run);
void push_run_unclaim(struct push_run *run, bool sent); /* the key is free, the row stays */
/* The key now holds what the attempt was to bring (a 200, or a HEAD that shows it). Also ends the claim. */
enum push_next push_run_applied(struct push_run *run, const char *etag, uint64_t size, int64_t mtime_ms);
/* After a request that failed: retry, resolve, or give up. */
enum push_next push_run_outcome(struct push_run *run, enum s3_outcome outcome, const struct s3_put_result *result);

/* ---- the steps ---- */

enum push_next push_put(struct push_run *run);       /* push_put.c: file, symlink, special file, directory */
/* For what else sends a file's bytes: its inode and a snapshot of it. false: return *next. */
bool push_put_snapshot(struct push_run *run, enum push_next *next);
/* Headers of the inode as the open transaction sees it; keeps run->kept. 0 or -errno. */
int push_put_headers_tx(struct push_run *run);
/* Does the endpoint honour the condition that this step depends on? Where it does not, a HEAD goes first. false: return *next. */
bool push_put_guard(struct push_run *run, enum s3_cap cap, enum push_next *next);
bool push_put_guard_head(struct push_run *run, enum push_next *next); /* the HEAD alone */
enum push_next push_copy(struct push_run *run);      /* push_copy.c: COPY, COPY_REPLACE, META, ASIDE */
enum push_next push_head(struct push_run *run);      /* push_copy.c: the headers that a copy has to keep */
enum push_next push_upload(struct push_run *run);    /* push_upload.c */
void push_upload_abandon(struct push_run *run);      /* unfinished uploads for the key are no longer wanted: ours are aborted */
/* push_resolve.c: looks what became of the requests for run->attempt.key; outcome: of the one just sent, or S3_UNKNOWN. */
enum push_next push_resolve(struct push_run *run, enum s3_outcome outcome);
/* Is the object under run->attempt.key what a request of ours brought, perhaps long after its answer was given up? Then it is taken in: true. */
bool push_resolve_landed(struct push_run *run, const struct s3_object *object, enum push_next *next);
/* The source of a copy is not what we thought: takes in what it is. */
enum push_next push_resolve_source(struct push_run *run, const char *source);
enum push_next push_remove(struct push_run *run);    /* push_remove.c */
void push_remove_give_back(struct push_run *run);    /* what the planner put beside this delete, and it did not take along */
void push_tree(struct push_run *run);                /* push_tree.c: kinds TREE and GONE_TREE, to their end */
/* push_conflict.c: the key holds object (NULL: nothing), which is not what we based the change on. */
enum push_next push_conflict(struct push_run *run, const struct s3_object *object, int64_t stamp);
/* The bytes of a file that nobody here changed are nowhere any more: what another client deleted is gone. */
enum push_next push_conflict_lost(struct push_run *run);

/* ---- push_hold.c ---- */

/* A SQLite transaction is under way beside the file: for how many ms it is to wait at most; 0: it need not. */
int64_t push_hold_journal(struct push_run *run);
/* Blocks: a program may still have the removed file open whose object is about to go: what it may yet read is fetched. */
void push_hold_readers(struct push_run *run);

/* ---- push_refuse.c ---- */

void push_refuse(struct push *push, enum s3_outcome outcome, const struct s3_error *error);
void push_heal(struct push *push);

#endif

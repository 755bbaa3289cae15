/*
 * test/lib/visit.h: private to membucket: what its files share. A visit is one request's way through the bucket: in (may
 * it, and what does the hook say), its effect under the bucket's one lock, and out (is the answer seen).
 */
#ifndef R2FS_TEST_LIB_VISIT_H
#define R2FS_TEST_LIB_VISIT_H

#include <pthread.h>
#include <uthash.h>

#include "test/lib/membucket.h"
#include "test/lib/memstore.h"

/* Per key that a client has changed: for overlaps and for the write interval. */
struct mark {
    char *key;
    int in_flight;
    int64_t written_ms; /* 0: not yet */
    UT_hash_handle hh;
};

struct late {
    struct mem_change *change;
    struct late *next;
};

struct membucket {
    pthread_mutex_t mutex;
    struct mem_store store;
    struct membucket_event *events;
    size_t event_count, event_capacity;
    struct mark *marks;
    struct late *late; /* oldest first */
    uint64_t overlaps, clients;
};

struct membucket_client {
    struct membucket *bucket;
    uint64_t number;
    /* Guarded by the bucket's mutex. */
    bool killed;
    membucket_hook hook;
    void *hook_arg;
    uint64_t calls, mutations;
    struct {
        uint64_t at; /* 0: none */
        bool mutations_only;
        enum membucket_phase phase;
        int action;
    } script;
    struct s3_stats stats;
};

struct visit {
    struct membucket_client *client;
    const struct s3_call *call;
    enum s3_kind kind;
    const char *key;
    uint64_t call_number, mutation_number;
    int action; /* what BEFORE said: GO, LATE or TORN */
    struct s3_error *error;
};

void visit_take(struct membucket *bucket);
void visit_drop(struct membucket *bucket);
bool visit_is_read(enum s3_kind kind);
/* S3_OK: the request may have its effect now, unless visit->action says otherwise. */
enum s3_outcome visit_enter(struct visit *visit);
/* What the client sees of outcome. */
enum s3_outcome visit_leave(struct visit *visit, enum s3_outcome outcome);
enum s3_outcome visit_fail(const struct visit *visit, enum s3_outcome outcome);
void visit_moved(const struct visit *visit, size_t bytes, bool sent);
/* Does a change and writes it into the journal. */
enum s3_outcome visit_apply_locked(struct membucket *bucket, const struct mem_change *change, struct mem_reply *reply,
                                   struct s3_error *error);

#endif

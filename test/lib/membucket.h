/*
 * test/lib/membucket.h: a bucket in memory that behaves as R2 does and fails as told, for unit tests of what stands on
 * struct s3_ops. It is strongly consistent, thread-safe, and knows no network: a call takes no time unless latency is set.
 *
 *     struct membucket *bucket = membucket_new(NULL);
 *     struct membucket_client *client = membucket_client_new(bucket);
 *     membucket_ops.put(client, &call, &request, &result, &error);
 *
 * A bucket outlives its clients. A client stands for one process: after a kill (or stop) it refuses everything with
 * S3_CANCELLED, and a test that plays a restart makes a new client on the same bucket. The membucket_* functions act
 * directly, at once and without faults: they are "another client".
 *
 * As R2: If-Match on a key that is not there is S3_PRECONDITION; a Put's ETag is the MD5 of its body and a multipart
 * object's the MD5 of MD5s "-N", which a Copy turns into a plain MD5; parts are equal but for the last, which is no larger;
 * a refused Complete loses the upload; UploadPartCopy takes no condition; a key is at most 1,024 bytes, metadata 8,192.
 */
#ifndef R2FS_TEST_LIB_MEMBUCKET_H
#define R2FS_TEST_LIB_MEMBUCKET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "s3/s3.h"

struct membucket;
struct membucket_client;

/* What the endpoint is like. May be changed between calls through membucket_config; zero is R2. */
struct membucket_config {
    bool ignore_put_condition;      /* a Put's condition is ignored, as some simulators do */
    bool ignore_copy_condition;     /* … on a Copy's destination */
    bool ignore_complete_condition; /* … on Complete */
    bool honour_delete_condition;   /* If-Match on Delete works (R2's does not) */
    int page_max;                   /* keys of a listing page; 0: S3_LIST_MAX */
    uint64_t part_min;              /* smallest part but the last; 0: S3_PART_MIN */
    int write_interval_ms;          /* a second write to a key sooner than this is S3_THROTTLED; 0: never */
    int latency_ms;                 /* each call takes so long (interruptible by cancel and stop) */
    enum s3_outcome all;            /* not S3_OK: every call ends so without effect (S3_UNREACHABLE: offline) */
    enum s3_outcome mutations;      /* the same for mutating calls only (S3_DENIED: a read-only key; S3_QUOTA) */
    enum s3_outcome lists;          /* the same for listings only */
};

struct membucket *membucket_new(const struct membucket_config *config); /* NULL: as R2 */
void membucket_free(struct membucket *bucket);                          /* after its clients */
void membucket_configure(struct membucket *bucket, const struct membucket_config *config);

extern const struct s3_ops membucket_ops; /* ctx is a struct membucket_client */
struct membucket_client *membucket_client_new(struct membucket *bucket);
void membucket_client_free(struct membucket_client *client);

/* ---- faults ---- */

enum membucket_phase {
    MEMBUCKET_BEFORE, /* the request is about to reach the bucket; nothing has happened */
    MEMBUCKET_AFTER,  /* it took effect (or was refused); the answer has not been seen */
};

/*
 * What a hook returns: MEMBUCKET_GO, or an enum s3_outcome other than S3_OK with which the call ends instead. At BEFORE
 * the bucket is then untouched; at AFTER the effect stays and the answer is lost (S3_UNKNOWN for a mutation, S3_TIMEOUT for a read).
 */
#define MEMBUCKET_GO 0
#define MEMBUCKET_KILL (-1) /* the process dies here: this call and every later one of the client is S3_CANCELLED */
#define MEMBUCKET_LATE (-2) /* BEFORE a mutation: S3_UNKNOWN now; the effect comes with membucket_land, or never */
#define MEMBUCKET_TORN (-3) /* BEFORE a list or get: the page is empty and final, the body's first byte is changed */

/*
 * Called without a lock, on the caller's thread, for each request of the client in both phases; it may use the direct
 * functions below (a foreign write between a check and a Put). key is the prefix of a listing, the first key of a DeleteObjects.
 */
typedef int (*membucket_hook)(void *arg, enum s3_kind kind, const char *key, enum membucket_phase phase);
void membucket_client_hook(struct membucket_client *client, membucket_hook hook, void *arg);

/*
 * The common script: the nth request from now (1: the next), mutating ones only if so asked, gets action at phase.
 * 0 takes it away. It replaces the hook. To walk every step: run once, ask membucket_client_calls, then fail each.
 */
void membucket_client_fail(struct membucket_client *client, uint64_t nth, bool mutations_only, enum membucket_phase phase,
                           int action);
uint64_t membucket_client_calls(struct membucket_client *client, bool mutations_only); /* since it was made */
void membucket_client_kill(struct membucket_client *client);
bool membucket_client_killed(struct membucket_client *client);

/* Lets the oldest late request take effect, with its condition judged now; its outcome, or -1 when there is none. */
int membucket_land(struct membucket *bucket);

/* ---- what happened ---- */

struct membucket_event {   /* one mutation, in the order in which they took effect or were refused */
    enum s3_kind kind;     /* DeleteObjects: one event for each key */
    uint64_t client;       /* 1, 2, … in the order of membucket_client_new; 0: a direct change */
    int64_t mono_ms;
    char *key;
    char *source;          /* Copy and UploadPartCopy, else NULL */
    char *nonce;           /* the value of x-amz-meta-r2fs-v that came along, else NULL */
    char etag[S3_ETAG_MAX + 1]; /* what the key holds afterwards, "" when nothing */
    uint64_t size;
    int part;              /* UploadPart(Copy), else 0 */
    enum s3_outcome outcome;
};

/* A copy of the journal so far; free with membucket_events_free. */
struct membucket_event *membucket_journal(struct membucket *bucket, size_t *count);
void membucket_events_free(struct membucket_event *events, size_t count);
/* How often two mutating requests of clients were under way for one key at once: the pusher must keep this 0. */
uint64_t membucket_overlaps(struct membucket *bucket);
size_t membucket_uploads(struct membucket *bucket); /* multipart uploads in progress */

/* ---- another client ---- */

/* Stores bytes; headers NULL: none. etag (may be NULL) receives the new ETag. */
void membucket_store(struct membucket *bucket, const char *key, const void *data, size_t length,
                     const struct s3_headers *headers, char etag[S3_ETAG_MAX + 1]);
void membucket_store_string(struct membucket *bucket, const char *key, const char *text);
bool membucket_erase(struct membucket *bucket, const char *key); /* false: it was not there */
bool membucket_has(struct membucket *bucket, const char *key);
size_t membucket_count(struct membucket *bucket);                /* objects */
/* The index-th key in byte order, or NULL; the caller frees it. */
char *membucket_key(struct membucket *bucket, size_t index);
/* A copy of the body, NUL-terminated, the caller's; NULL when the key is not there. length and object may be NULL; object
 * (then the caller's, s3_object_fini) is what a GET would say. */
char *membucket_load(struct membucket *bucket, const char *key, size_t *length, struct s3_object *object);

#endif

/*
 * s3/s3.h: the bucket, as the rest of r2fs sees it.
 *
 * Everything that goes over the network goes through struct s3_ops, a table of blocking operations. libs3 gives one that
 * speaks to a real endpoint (s3_open); tests give one that keeps a faulty bucket in memory. Nothing above this header
 * knows HTTP, XML or SigV4.
 *
 * Calling. Each operation blocks its calling thread until the outcome is known or the call's deadline is over; call them
 * from worker threads, never with a lock held. Any number of threads may call at once: one network thread, owned by the
 * struct s3, drives all requests over kept-alive connections. Strings are UTF-8 (or whatever bytes a key holds), end in
 * NUL and are borrowed for the length of the call. A result is written only on S3_OK unless said otherwise, and belongs
 * to the caller, who frees it with the _fini function of its type.
 *
 * Retries happen inside, up to the call's deadline, and only where repeating is harmless: reads; requests that certainly had
 * no effect (not all of it was sent, 429, 503, clock skew); and what does no harm twice (UploadPart, Abort). Another mutating
 * request whose effect is not known ends as S3_UNKNOWN, and the caller finds out by a HEAD.
 *
 * Times: milliseconds since 1970 where a name ends in _ms; listings give LastModified in milliseconds, headers only in
 * whole seconds (mtime_coarse). Sizes and offsets are bytes. ETags are without their quotes.
 * Format: Amazon S3 API reference 2006-03-01, as far as Cloudflare R2 speaks it.
 */
#ifndef R2FS_S3_S3_H
#define R2FS_S3_S3_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define S3_KEY_MAX 1024           /* bytes of a key */
#define S3_META_MAX 8192          /* bytes of all user metadata of an object, names and values */
#define S3_ETAG_MAX 255           /* bytes of an ETag that we keep (R2's of parts are opaque, 171 bytes); longer is S3_CORRUPT */
#define S3_PART_MIN (5u << 20)    /* every part but the last is at least this */
#define S3_PARTS_MAX 10000
#define S3_PUT_MAX 5363466240ull  /* 4.995 GiB: a single PUT or part */
#define S3_COPY_MAX (5ull << 30)  /* a single CopyObject */
#define S3_LIST_MAX 1000          /* keys of a listing page, and of a DeleteObjects */

/* ---- outcomes ---- */

enum s3_outcome {
    S3_OK,
    S3_NOT_FOUND,    /* the key is not there (404 NoSuchKey; a HEAD's 404) */
    S3_PRECONDITION, /* a condition did not hold, or a race was lost (412, 409, 404 to an If-Match): look again */
    S3_NO_UPLOAD,    /* NoSuchUpload: completed, aborted or expired, the answer does not say which */
    S3_NO_BUCKET,
    S3_DENIED,       /* 403: the key is good, but may not do this */
    S3_BAD_KEY,      /* InvalidAccessKeyId, SignatureDoesNotMatch, ExpiredToken: the credentials are wrong */
    S3_CLOCK,        /* RequestTimeTooSkewed, although signed again with the server's time */
    S3_QUOTA,        /* the account is full or unpaid */
    S3_INVALID,      /* the request can never succeed (400, KeyTooLong, MetadataTooLarge, EntityTooLarge, 405, 411) */
    S3_UNSUPPORTED,  /* 501: the endpoint does not know this request, header or parameter */
    S3_RANGE,        /* 416 */
    S3_THROTTLED,    /* 429 or 503 until the deadline; it had no effect */
    S3_UNREACHABLE,  /* name, route, connection or TLS failed until the deadline; nothing, or not all of a body, was sent */
    S3_UNKNOWN,      /* sent, and no answer that says whether it took effect (mutating requests only; a 5xx, or a 200 without
                      * its result element, says nothing either) */
    S3_TIMEOUT,      /* a read that did not finish before its deadline, or that the server kept failing (5xx) */
    S3_CORRUPT,      /* a read whose answer fails its checks (length, MD5, XML, result element), or a body that the server
                      * says arrived damaged (BadDigest; it had no effect) */
    S3_CANCELLED,    /* s3_cancel_fire, reset or stop; a mutating request that had been sent is S3_UNKNOWN instead */
    S3_LOCAL,        /* this machine: local_errno says what (memory, descriptors, reading the body) */
};

/* What happened, for decisions (outcome) and for people (the rest). */
struct s3_error {
    enum s3_outcome outcome;
    int http_status;       /* 0: no answer */
    int local_errno;       /* for S3_LOCAL */
    int64_t retry_after_ms; /* the server's wish, 0: none */
    char code[64];         /* the server's <Code>, or curl's error name; "" when S3_OK */
    char message[256];     /* one sentence without secrets */
    char request_id[64];
};

const char *s3_outcome_name(enum s3_outcome outcome); /* "not found", static */
/* The errno a program should see: ENOENT, ESTALE, EACCES, EDQUOT, EIO, ETIMEDOUT, … 0 for S3_OK. */
int s3_outcome_errno(enum s3_outcome outcome);
/* Will the same request go on failing until a person changes something (key, bucket, quota, clock, permission)? */
bool s3_outcome_is_permanent(enum s3_outcome outcome);

/* ---- what every call carries ---- */

/* Lets another thread end a call early. Zero-initialise; fire once; must outlive the call. */
struct s3_cancel {
    atomic_bool fired;
};

enum s3_priority {
    S3_NOW,        /* a program waits for it */
    S3_LATER,      /* uploads, read-ahead */
    S3_BACKGROUND, /* polls, packs, probes */
};

struct s3_call {
    int timeout_ms;            /* the whole call with its retries; 0: 30 s, plus 1 s for each 256 KiB of body */
    int attempts;              /* at most so many requests; 0: until the deadline */
    enum s3_priority priority;
    struct s3_cancel *cancel;  /* or NULL */
    _Atomic uint64_t *moved;   /* or NULL: bytes of body sent and received so far are added here as they move */
};

/* ---- objects ---- */

struct s3_pair { /* one x-amz-meta-NAME: VALUE; the name in lower case without the prefix */
    char *name;
    char *value;
};

/* What HEAD, GET and LIST say of an object. Strings are NULL when the server did not send them. */
struct s3_object {
    uint64_t size;
    int64_t mtime_ms;
    bool mtime_coarse;       /* from a header: whole seconds */
    char etag[S3_ETAG_MAX + 1];
    char *content_type;
    char *content_encoding;
    char *content_disposition;
    char *content_language;
    char *cache_control;
    char *expires;
    struct s3_pair *meta;    /* meta_count of them */
    size_t meta_count;
};

void s3_object_fini(struct s3_object *object);                       /* frees what it points to; NULL is legal */
const char *s3_object_meta(const struct s3_object *object, const char *name); /* value or NULL, borrowed */

/* Headers to store with an object; NULL and empty strings are not sent. All borrowed. */
struct s3_headers {
    const char *content_type;
    const char *content_encoding;
    const char *content_disposition;
    const char *content_language;
    const char *cache_control;
    const char *expires;
    const struct s3_pair *meta;
    size_t meta_count;
};

/* Bytes to send: from memory, or from a file by pread (the file must not change until the call returns). */
struct s3_body {
    const void *data;  /* NULL: read fd */
    int fd;
    uint64_t offset;   /* in fd */
    uint64_t length;
    const char *md5;   /* 32 hex digits when the caller knows it already, else NULL and it is computed before sending */
};

/* Conditions on what the key holds now. Both NULL: none. */
struct s3_condition {
    const char *if_match;  /* an ETag */
    bool if_absent;        /* If-None-Match: * */
};

/* ---- listing ---- */

struct s3_list_request {
    const char *prefix;      /* "" for all */
    const char *delimiter;   /* NULL or "/" */
    const char *start_after; /* NULL or a key */
    /* NULL or next_token of the page before. Only the token is sent then, but start_after is still checked: with the last
     * key of the page before, a page that repeats is found out (S3_CORRUPT). */
    const char *token;
    int max_keys;            /* 1…S3_LIST_MAX; 0: S3_LIST_MAX */
};

struct s3_list_entry {
    const char *key; /* decoded; lives in the page */
    const char *etag;
    uint64_t size;
    int64_t mtime_ms;
};

struct s3_list_page {
    struct s3_list_entry *entries; /* in the order of the answer (byte order of keys) */
    size_t entry_count;
    const char **prefixes;         /* common prefixes, each ending in the delimiter */
    size_t prefix_count;
    char *next_token;              /* NULL: this was the last page */
    size_t skipped;                /* entries left out because no path can name them (an empty key, a NUL) */
    void *arena;                   /* the page's memory */
};

void s3_list_page_fini(struct s3_list_page *page);

/* ---- requests ---- */

struct s3_get_request {
    const char *key;
    uint64_t offset;
    uint64_t length;      /* 0: the whole object from offset on (still at most capacity) */
    const char *if_match; /* NULL: whatever version is there; else S3_PRECONDITION when it is another */
    void *buffer;         /* filled from its start; untouched bytes behind *got */
    size_t capacity;      /* an object (range) larger than this is S3_LOCAL with EFBIG, before any byte is written */
    bool verify;          /* a whole object with an MD5 ETag: compare, else S3_CORRUPT (retried) */
    /* The whole object's size as listed, 0: not known. An answer that disagrees may have been decompressed on the way: it
     * is asked for again as stored (Accept-Encoding: gzip); with if_match a size that still disagrees is S3_CORRUPT. */
    uint64_t listed_size;
};

struct s3_put_request {
    const char *key;
    struct s3_body body;
    struct s3_headers headers;
    struct s3_condition condition;
};

struct s3_put_result {
    char etag[S3_ETAG_MAX + 1];
    int64_t mtime_ms;      /* 0: the answer did not say (a PUT's never does; a Copy's does) */
    int64_t server_date_ms; /* the answer's Date header */
};

enum s3_directive { S3_META_COPY, S3_META_REPLACE };

struct s3_copy_request {
    const char *source;                  /* key in the same bucket */
    const char *source_if_match;         /* NULL: any */
    const char *key;
    struct s3_condition condition;       /* on the destination; sent in R2's and AWS's spelling */
    enum s3_directive directive;
    struct s3_headers headers;           /* for S3_META_REPLACE; replaces all headers and metadata */
};

struct s3_delete_request {
    const char *key;
    const char *if_match; /* sent only when not NULL; whether it was honoured only caps can say */
};

/* One key of a DeleteObjects; outcome is S3_OK also for a key that was not there. */
struct s3_delete_entry {
    const char *key;
    struct s3_error error; /* out */
};

struct s3_upload_request { /* CreateMultipartUpload */
    const char *key;
    struct s3_headers headers;
};

struct s3_part_request {
    const char *key;
    const char *upload_id;
    int number;              /* 1…S3_PARTS_MAX */
    struct s3_body body;     /* UploadPart; ignored when source is set */
    const char *source;      /* UploadPartCopy: from this key … */
    uint64_t source_offset;  /* … these bytes. The endpoint takes no condition: HEAD the source before and after. */
    uint64_t source_length;
};

struct s3_part {
    int number;
    char etag[S3_ETAG_MAX + 1];
};

struct s3_complete_request {
    const char *key;
    const char *upload_id;
    const struct s3_part *parts; /* ascending numbers */
    size_t part_count;
    struct s3_condition condition;
};

struct s3_upload_entry { /* of ListMultipartUploads */
    char *key;
    char *upload_id;
    int64_t initiated_ms;
};

/* Requests by kind, as the daemon's status counts them. */
enum s3_kind {
    S3_KIND_LIST, S3_KIND_GET, S3_KIND_HEAD, S3_KIND_PUT, S3_KIND_COPY, S3_KIND_DELETE, S3_KIND_DELETE_OBJECTS,
    S3_KIND_CREATE_UPLOAD, S3_KIND_UPLOAD_PART, S3_KIND_UPLOAD_PART_COPY, S3_KIND_COMPLETE_UPLOAD, S3_KIND_ABORT_UPLOAD,
    S3_KIND_LIST_UPLOADS, S3_KIND_COUNT
};
const char *s3_kind_name(enum s3_kind kind); /* "list", "upload_part", … */

struct s3_stats {
    uint64_t requests[S3_KIND_COUNT]; /* sent, retries included */
    uint64_t retries;
    uint64_t bytes_sent, bytes_received; /* bodies */
    int64_t clock_offset_ms;          /* server minus us, learned from Date */
    int64_t last_success_ms;          /* when an answer (of any status below 500) last came; 0: never */
    struct s3_error last_error;       /* the newest outcome that was not S3_OK, S3_NOT_FOUND or S3_PRECONDITION */
    int64_t last_error_ms;
};

/* ---- the seam ---- */

/*
 * Every function returns the outcome, and fills *error (never NULL) also on S3_OK (then empty). A table may be shared by
 * several contexts; ctx is always the first argument.
 */
struct s3_ops {
    enum s3_outcome (*list)(void *ctx, const struct s3_call *call, const struct s3_list_request *request,
                            struct s3_list_page *page, struct s3_error *error);
    enum s3_outcome (*head)(void *ctx, const struct s3_call *call, const char *key, struct s3_object *object,
                            struct s3_error *error);
    /* Reads into request->buffer. *got is the count of bytes; object describes the whole object (size = its full size).
     * An answer whose bytes are fewer than promised is retried, never handed out. */
    enum s3_outcome (*get)(void *ctx, const struct s3_call *call, const struct s3_get_request *request,
                           struct s3_object *object, size_t *got, struct s3_error *error);
    enum s3_outcome (*put)(void *ctx, const struct s3_call *call, const struct s3_put_request *request,
                           struct s3_put_result *result, struct s3_error *error);
    enum s3_outcome (*copy)(void *ctx, const struct s3_call *call, const struct s3_copy_request *request,
                            struct s3_put_result *result, struct s3_error *error);
    /* S3_OK also when the key was not there. Never retried once sent. */
    enum s3_outcome (*remove)(void *ctx, const struct s3_call *call, const struct s3_delete_request *request,
                              struct s3_error *error);
    /* Up to S3_LIST_MAX keys; S3_OK: the answer was read and each entry has its own outcome. */
    enum s3_outcome (*remove_many)(void *ctx, const struct s3_call *call, struct s3_delete_entry *entries, size_t count,
                                   struct s3_error *error);
    /* *upload_id is the caller's, free() it. */
    enum s3_outcome (*upload_create)(void *ctx, const struct s3_call *call, const struct s3_upload_request *request,
                                     char **upload_id, struct s3_error *error);
    enum s3_outcome (*upload_part)(void *ctx, const struct s3_call *call, const struct s3_part_request *request,
                                   struct s3_part *part, struct s3_error *error);
    enum s3_outcome (*upload_complete)(void *ctx, const struct s3_call *call, const struct s3_complete_request *request,
                                       struct s3_put_result *result, struct s3_error *error);
    enum s3_outcome (*upload_abort)(void *ctx, const struct s3_call *call, const char *key, const char *upload_id,
                                    struct s3_error *error);
    /* Uploads in progress under a prefix (first 1,000); *entries is the caller's, free with s3_upload_entries_free. */
    enum s3_outcome (*upload_list)(void *ctx, const struct s3_call *call, const char *prefix,
                                   struct s3_upload_entry **entries, size_t *count, struct s3_error *error);
    void (*stats)(void *ctx, struct s3_stats *stats);
    /* The sockets are presumed dead (a resume): drop every connection now; requests on them fail or are retried by the
     * usual rules, at once. Does not block. */
    void (*reset)(void *ctx);
    /* Every call under way and every later one ends as S3_CANCELLED (or S3_UNKNOWN) within 100 ms. Does not block. */
    void (*stop)(void *ctx);
};

void s3_upload_entries_free(struct s3_upload_entry *entries, size_t count);

/* ---- credentials ---- */

/* Strings are the holder's; secrets are wiped by s3_cred_fini. token may be NULL. No key id at all: unsigned requests. */
struct s3_cred {
    char *key_id;
    char *secret;
    char *token;
    int64_t expires_ms; /* 0: never */
};
void s3_cred_fini(struct s3_cred *cred);
int s3_cred_copy(struct s3_cred *to, const struct s3_cred *from); /* 0 or -ENOMEM */

/* ---- a real endpoint ---- */

struct s3;

struct s3_config {
    const char *endpoint;   /* URL, may carry a path; NULL: https://s3.REGION.amazonaws.com */
    const char *region;     /* NULL: `auto` on *.r2.cloudflarestorage.com, else `us-east-1` */
    const char *bucket;
    bool virtual_host;      /* bucket in the host name instead of the path (AWS only; default path style) */
    const char *ca_file;    /* PEM bundle, NULL: the system's */
    const char *user_agent; /* NULL: r2fs/VERSION */
    int connect_timeout_ms; /* 0: 5000 */
    int connections_max;    /* 0: 64 */
    const struct s3_cred *cred; /* copied */
};

/*
 * Checks the configuration and starts the network thread; sends nothing. 0, or -EINVAL (error->message names the field),
 * -ENOMEM, -EAGAIN. Call after fork, once per daemon. s3_close ends the thread (it calls stop) and must not run while
 * calls are under way on other threads.
 */
int s3_open(struct s3 **s3, const struct s3_config *config, struct s3_error *error);
void s3_close(struct s3 *s3);
extern const struct s3_ops s3_network_ops; /* its ctx is a struct s3 */

/* Every request signed from now on uses these. Thread-safe; copies. */
int s3_set_cred(struct s3 *s3, const struct s3_cred *cred);
/* The endpoint as requests use it (scheme, host, port, path), for messages and for the cache's identity; borrowed. */
const char *s3_endpoint(const struct s3 *s3);

/* Ends the calls that carry it, within 100 ms. Thread-safe. */
void s3_cancel_fire(struct s3_cancel *cancel);

/* ---- what an endpoint honours ---- */

enum s3_cap {
    S3_CAP_PUT_CONDITION,      /* If-Match on Put */
    S3_CAP_COPY_CONDITION,     /* a condition on a Copy's destination */
    S3_CAP_COMPLETE_CONDITION, /* a condition on CompleteMultipartUpload */
    S3_CAP_DELETE_CONDITION,   /* If-Match on Delete */
    S3_CAP_COUNT
};
enum s3_cap_state { S3_CAP_UNKNOWN, S3_CAP_HONOURED, S3_CAP_IGNORED };
const char *s3_cap_name(enum s3_cap cap); /* "put", "copy", "complete", "delete" */

/*
 * Finds out by must-fail: sends the request with a condition that is false, on an object of ours under directory
 * ("PREFIX/.r2fs/"), which it makes and removes. Refused with 412 (409, 404): honoured. Anything else that succeeds: ignored.
 * Blocks for a few round trips; mutates the bucket, so never on a read-only mount. Anything but S3_OK leaves *state alone.
 */
enum s3_outcome s3_cap_probe(const struct s3_ops *ops, void *ctx, enum s3_cap cap, const char *directory,
                             enum s3_cap_state *state, struct s3_error *error);

#endif

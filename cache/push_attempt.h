/*
 * cache/push_attempt.h: rows of mutating requests that are about to leave. One is written before its request, and deleted
 * when its outcome is known; so whatever is found under a key after a lost answer or a kill -9 can be told from another
 * client's work. All inside a transaction.
 */
#ifndef R2FS_CACHE_PUSH_ATTEMPT_H
#define R2FS_CACHE_PUSH_ATTEMPT_H

#include "cache/internal.h"

#define PUSH_ASIDE_FOLDER ".r2fs/aside/"
#define PUSH_NONCE_SIZE 33

/* After an answer was lost the request may still land. So long it is kept in mind. */
#define PUSH_LATE_MS 15000

enum push_attempt_kind {
    PUSH_ATTEMPT_PUT = 1,
    PUSH_ATTEMPT_COPY,
    PUSH_ATTEMPT_COMPLETE, /* of a multipart upload */
    PUSH_ATTEMPT_DELETE,
    PUSH_ATTEMPT_UPLOAD,   /* a multipart upload whose parts are being sent: changes nothing yet */
};

struct push_attempt { /* strings are borrowed by new_tx, owned by what each_tx gives */
    int64_t id;
    enum push_attempt_kind kind;
    bool late;            /* its key was looked at without a trace of it: it may land yet, or never */
    const char *key;
    uint64_t ino;
    int64_t data_version, meta_version;
    const char *source;
    const char *condition; /* an ETag, "" for absent, NULL for none */
    const char *expected_etag; /* NULL: not known beforehand */
    const char *nonce;     /* NULL: a copy that takes its source's along */
    const char *upload_id;
    uint64_t part_size;
    const void *parts;     /* PUSH_PARTS_RECORD bytes a part, see push_upload.c */
    size_t parts_size;
    const char *instance;
    int64_t started_ms;    /* wall clock */
};

/*
 * A nonce that no other request has, not even one of a copy of this process: 16 random digits, and 16 of a hash of the
 * metadata that goes along, zeros until push_attempt_sign. By that it is seen that a mode was changed and changed back.
 */
void push_attempt_nonce(char nonce[PUSH_NONCE_SIZE]);
struct inode;
void push_attempt_sign(char nonce[PUSH_NONCE_SIZE], const struct inode *values);
bool push_attempt_signed_as(const char *nonce, const struct inode *values); /* nonce may be NULL */
/* Writes the row; attempt->id, instance and started_ms are filled in. */
void push_attempt_new_tx(struct cache *cache, struct push_attempt *attempt);
void push_attempt_delete_tx(struct cache *cache, int64_t id);
/* The parts sent so far. */
void push_attempt_parts_tx(struct cache *cache, int64_t id, const void *parts, size_t size);
/* An upload is about to be completed, with this ETag. */
void push_attempt_complete_tx(struct cache *cache, int64_t id, const char *condition, const char *expected_etag);
/* A Complete that left no trace: its upload is among its parts again. */
void push_attempt_parts_again_tx(struct cache *cache, const char *key);
bool push_attempt_has_upload_tx(struct cache *cache, const char *key);
/* The key was seen, and shows nothing of these. */
void push_attempt_missed_tx(struct cache *cache, const char *key);
/* The key's state is known again: everything but what may still land, and uploads among their parts, goes. */
void push_attempt_settled_tx(struct cache *cache, const char *key);
bool push_attempt_unresolved_tx(struct cache *cache, const char *key);
/* For how many ms a missed request for the key, a DELETE or one that brings an object, may still land: 0 when there is none, negative when the
 * last one's time has just run out. Deletes whose time has run out are forgotten. */
int64_t push_attempt_late_tx(struct cache *cache, const char *key, bool deletes);
void push_attempt_each_tx(struct cache *cache, const char *key, bool (*each)(void *arg, const struct push_attempt *attempt), void *arg);
/* At start: what the last run left without a todo row gets one, so that it is looked into. */
void push_attempt_adopt_tx(struct cache *cache);

#endif

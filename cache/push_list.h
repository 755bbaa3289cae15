/*
 * cache/push_list.h: one look at many keys of one directory, by listing pages instead of a HEAD each.
 */
#ifndef R2FS_CACHE_PUSH_LIST_H
#define R2FS_CACHE_PUSH_LIST_H

#include "cache/push_run.h"

struct push_listed {
    const char *key;      /* borrowed */
    bool covered;         /* the pages reached it: present says whether it is there */
    bool present;
    char etag[S3_ETAG_MAX + 1];
    int64_t mtime_ms;
};

/* keys in byte order, all below prefix. Blocks: at most pages_max requests. */
enum s3_outcome push_list(struct push_run *run, const char *prefix, bool delimited, struct push_listed *keys, size_t count, int pages_max);

/* ---- what is deleted together ---- */

struct push_removal {
    char *key;            /* the caller's */
    struct remote have;   /* what we believe it holds */
    int64_t attempt;
    enum {
        PUSH_REMOVE_OPEN,
        PUSH_REMOVE_GONE,
        PUSH_REMOVE_CHANGED,
        PUSH_REMOVE_FAILED,
        PUSH_REMOVE_EARLY, /* written less than a second ago */
    } state;
    int64_t not_before_ms; /* of an EARLY one */
    bool claimed;
};
/* Is what was seen the version that we mean to delete? nonce: of a HEAD, NULL from a listing. */
bool push_remove_same(const struct remote *have, const char *etag, int64_t mtime_ms, bool coarse, const char *nonce);
/*
 * Checks by listing, then one DeleteObjects within a second of the check; rows follow: GONE ones lose theirs. removals in byte
 * order, at most S3_LIST_MAX; whether it is still to be deleted is looked at once more in the transaction of the attempts. Returns S3_OK when
 * every one has its state.
 */
enum s3_outcome push_remove_many(struct push_run *run, const char *prefix, bool delimited, struct push_removal *removals, size_t count);

#endif

/*
 * cache/remote.h: what the bucket holds, by key, and the one place where news of it (a page of a listing, a HEAD, the answer
 * to a request of ours) becomes rows of remote and names of the tree.
 */
#ifndef R2FS_CACHE_REMOTE_H
#define R2FS_CACHE_REMOTE_H

#include "cache/tree.h"

struct remote { /* a row; strings belong to it */
    char *key;
    char *etag;             /* NULL: believed absent */
    uint64_t size;
    int64_t mtime_ms;
    bool coarse, gone;
    uint64_t ino;
    int64_t data_version, meta_version, page;
    char *headers, *nonce;
};
bool remote_get_tx(struct cache *cache, const char *key, struct remote *row); /* false: no row */
void remote_put_tx(struct cache *cache, const struct remote *row);            /* inserts or replaces */
void remote_delete_tx(struct cache *cache, const char *key);
void remote_fini(struct remote *row);
/* Every row with low <= key < high, or of one inode; each returns false to stop, and may change rows of keys it was given. */
void remote_each_tx(struct cache *cache, const char *low, const char *high, bool (*each)(void *arg, struct remote *row), void *arg);
void remote_each_of_tx(struct cache *cache, uint64_t ino, bool (*each)(void *arg, struct remote *row), void *arg);

/* A number to be drawn before a request leaves: its news is dropped for keys that have newer news, or a mutating request in
 * flight or ended since (push_busy_since). */
int64_t remote_stamp(struct cache *cache);

/*
 * Merges one page. scope: prefix and delimiter of the listing; after: the last key of the page before ("" for the first): keys in (after, last
 * key of this page] — or to the end of the scope when it is the last page — that we believed present and the page lacks are
 * passed to missing, which decides (dir.c: a first listing; poll.c: confirm by HEAD). One transaction each 256 entries.
 */
struct remote_scope {
    const char *prefix;
    bool delimited;
    const char *after;
    int64_t stamp;
};
typedef void remote_missing(void *arg, const char *key);
int remote_apply_page(struct cache *cache, const struct remote_scope *scope, const struct s3_list_page *page, remote_missing *missing, void *arg);
/* The object is certainly there like this (a HEAD or GET of ours), or certainly not (object NULL). Inside. */
void remote_apply_object_tx(struct cache *cache, const char *key, const struct s3_object *object, int64_t stamp);

#endif

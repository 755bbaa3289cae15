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
    int64_t mtime_ms;       /* with coarse: from a header, or 0 when the answer did not say; the next listing makes it exact */
    bool coarse, gone;
    uint64_t ino;
    int64_t data_version, meta_version, page; /* meta_version REMOTE_META_UNKNOWN: nobody has looked at this version's metadata */
    char *headers, *nonce;
};
#define REMOTE_META_UNKNOWN (-1)
/* At the start, before inodes are in memory: where the mount's uid, gid or modes are others than at the last mount, the rows of what
 * carries none say so. 0 or -errno. */
int remote_start(struct cache *cache);

bool remote_get_tx(struct cache *cache, const char *key, struct remote *row); /* false: no row */
void remote_put_tx(struct cache *cache, const struct remote *row);            /* inserts or replaces */
void remote_delete_tx(struct cache *cache, const char *key);
void remote_fini(struct remote *row);
/* Every row with low <= key < high, or of one inode; each returns false to stop, and may change rows of keys it was given. */
void remote_each_tx(struct cache *cache, const char *low, const char *high, bool (*each)(void *arg, struct remote *row), void *arg);
void remote_each_of_tx(struct cache *cache, uint64_t ino, bool (*each)(void *arg, struct remote *row), void *arg);
/* How many objects we believe present with low <= key < high. */
uint64_t remote_count_tx(struct cache *cache, const char *low, const char *high);

/* A number to be drawn before a request leaves: its news is dropped for keys that have newer news, or a mutating request in
 * flight or ended since (push_busy_since). */
int64_t remote_stamp(struct cache *cache);

/*
 * What another client did to a key becomes rows and names, unless what we know is newer than stamp, a mutating request for
 * the key was under way since, or something of ours is pending on it: then it is ignored, and the next listing says it again.
 *
 * A file that changed: closed, it keeps its inode and gets a new content; open, or under several names, the name gets a new
 * inode and the old one lives on from what is cached. One that is open for writing stays as it is until it is closed, so
 * that what its writer writes is pushed on the version that it was based on. Without metadata its inode is no longer `known`.
 * When the last name of a directory vanished that has no object of its own, it goes too. A file whose key is also
 * a directory's shows as NAME.r2fs-file.
 */

/*
 * Merges one page. scope: prefix and delimiter of the listing; after: the last key or common prefix of the page before ("" for the first): keys
 * in (after, last of this page], or to the end of the scope when it is the last page, that we believed present and the page lacks are
 * passed to missing, inside a transaction: it only notes them. Directories that a delimited listing lacks are not passed: see
 * remote_missing_directories. One transaction each 256 entries; a page that changes nothing writes nothing. -EBADMSG: the page
 * is not what was asked for (out of order, behind where it should start, outside the prefix), and nothing was done.
 */
struct remote_scope {
    const char *prefix;
    bool delimited;
    const char *after;
    int64_t stamp;
    bool quiet; /* the kernel cannot know any of it yet: no events */
};
typedef void remote_missing(void *arg, const char *key);
int remote_apply_page(struct cache *cache, const struct remote_scope *scope, const struct s3_list_page *page, remote_missing *missing, void *arg);
/* After the last page of a delimited listing of directory ino: passes (as "prefix/name/") each directory in it whose prefix is not
 * among the seen ones (sorted) and on which nothing of ours is pending. */
int remote_missing_directories(struct cache *cache, uint64_t ino, const char *prefix, char *const *seen, size_t count,
                               remote_missing *missing, void *arg);

/* The object is certainly there like this (a HEAD or GET of ours), or certainly not (object NULL). Inside. */
void remote_apply_object_tx(struct cache *cache, const char *key, const struct s3_object *object, int64_t stamp);
/* Nothing is left below "dir/", a listing just said. Its own transactions. 0 or -errno. */
int remote_apply_empty(struct cache *cache, const char *key, int64_t stamp);
/* The whole listing of directory ino is in the tree: if nothing in it shows, no object stands for it and nothing here is pending, it is
 * not there either. Its own transaction. */
void remote_prune(struct cache *cache, uint64_t ino);
/* The metadata (and with body, all bytes) that key holds, fetched for this inode; also when something of ours is pending on it,
 * as long as the key still holds the version that we know. */
void remote_apply_fetched_tx(struct cache *cache, uint64_t ino, const char *key, const struct s3_object *object, const void *body,
                             int64_t stamp);

#endif

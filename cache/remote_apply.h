/*
 * cache/remote_apply.h: what remote_page.c, remote_apply.c and remote_gone.c share: one key's news becomes rows and names. Everything here
 * is called inside a transaction.
 */
#ifndef R2FS_CACHE_REMOTE_APPLY_H
#define R2FS_CACHE_REMOTE_APPLY_H

#include "cache/remote_place.h"

struct remote_news {
    const char *key;
    const char *etag;
    uint64_t size;
    int64_t mtime_ms;
    bool coarse;
    int64_t stamp;
    bool quiet;                     /* no events */
    const struct s3_object *object; /* its metadata, NULL: listed only */
    const void *body;               /* all of its bytes, or NULL */
};
/* Some version of the object is there. */
void remote_apply_news_tx(struct cache *cache, const struct remote_news *news);
/* A common prefix of a listing: there is a directory. */
void remote_apply_prefix_tx(struct cache *cache, const char *key, int64_t stamp, bool quiet);
/* May a listing that left at stamp say something about this key? row may be NULL. */
bool remote_may_apply_tx(struct cache *cache, const char *key, const struct remote *row, int64_t stamp);

/* The object is not there (remote_gone.c). */
void remote_apply_gone_tx(struct cache *cache, const char *key, int64_t stamp);

/* After the commit: news for the kernel and the fetcher. place NULL: no REMOTE_AFTER_NAME. */
enum { REMOTE_AFTER_ATTR = 1, REMOTE_AFTER_CONTENT = 2, REMOTE_AFTER_NAME = 4, REMOTE_AFTER_FETCH = 8 };
void remote_apply_after(struct cache *cache, unsigned what, uint64_t ino, const struct remote_place *place);

struct remote_handles {
    unsigned opens, writers; /* writers: also what memory has not committed */
};
struct remote_handles remote_handles_of(struct inode *inode);
bool remote_is_directory_key(const char *key);
/* Behind everything that starts with "dir/": '0' follows '/'. The caller's; NULL: no memory. */
char *remote_high_of(const char *key);

#endif

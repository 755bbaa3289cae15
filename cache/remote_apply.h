/*
 * cache/remote_apply.h: what remote_page.c and remote_apply.c share: one key's news becomes rows and names. Everything here
 * is called inside a transaction.
 */
#ifndef R2FS_CACHE_REMOTE_APPLY_H
#define R2FS_CACHE_REMOTE_APPLY_H

#include "cache/remote.h"

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

#endif

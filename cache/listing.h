/*
 * cache/listing.h: one listing, of a directory or flat of everything below a prefix, page by page into the tree.
 */
#ifndef R2FS_CACHE_LISTING_H
#define R2FS_CACHE_LISTING_H

#include "cache/vanish.h"

struct listing {
    char *prefix;              /* the full key, "" or ending in '/' */
    bool delimited;
    uint64_t ino;              /* of the directory, when delimited */
    bool quiet;                /* the kernel knows nothing yet */
    char *after;               /* the last key or common prefix so far, "" at first */
    char *token;
    unsigned pages, empty;     /* pages so far; the last ones in a row that held nothing */
    int64_t stamp;             /* of the first page */
    bool done;                 /* the last page is in */
    struct vanish_set missing; /* what it lacks, complete when done */
    char **seen;               /* common prefixes so far */
    size_t seen_count, seen_capacity;
};

/* Of directory ino (its key is taken from the tree), or with ino 0 flat of the whole mount. 0; -ESTALE: no such directory any more. */
int listing_init(struct cache *cache, struct listing *listing, uint64_t ino);
/* Blocks: the next page. 0, or -errno with *error filled (its outcome S3_OK when the error is ours): what came before stays, and the
 * listing can't go on. */
int listing_step(struct cache *cache, struct listing *listing, const struct s3_call *call, struct s3_error *error);
void listing_fini(struct listing *listing);

#endif

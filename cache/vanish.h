/*
 * cache/vanish.h: keys that a listing lacks. A listing's word alone removes nothing: each key is asked for again by a HEAD (a
 * directory by a listing of one key), and only a 404 counts. When more than max(20, 10 %) of all keys vanish at once, nothing is
 * asked before a second full listing, one poll interval later, lacks them too, and then 20 of them, drawn at
 * random, must all be gone.
 */
#ifndef R2FS_CACHE_VANISH_H
#define R2FS_CACHE_VANISH_H

#include "cache/internal.h"

#define VANISH_FEW 20

struct vanish_set { /* {0} is empty */
    char **keys;
    size_t count, capacity;
    bool failed;
};
void vanish_add(void *set, const char *key); /* a remote_missing */
void vanish_fini(struct vanish_set *set);

struct vanish;
int vanish_new(struct vanish **vanish);
void vanish_free(struct vanish *vanish);
/*
 * Blocks: asks and applies. set: what one complete listing of scope (its prefix) lacks, {0}: nothing. cancel ends it early.
 * Returns 0, or -errno when the bucket could not be asked: what was asked by then is applied, and the next listing brings the rest.
 * Several threads may ask at once.
 */
int vanish_confirm(struct cache *cache, struct vanish *vanish, const char *scope, struct vanish_set *set, struct s3_cancel *cancel);

#endif

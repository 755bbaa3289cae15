/*
 * cache/tree_internal.h: what tree.c (names) and tree_key.c (keys) share.
 */
#ifndef R2FS_CACHE_TREE_INTERNAL_H
#define R2FS_CACHE_TREE_INTERNAL_H

#include "cache/names.h"
#include "cache/tree.h"

struct tree {
    struct names names;
    uint64_t key_generation; /* LOCK_DB: a directory's remembered key is good while it has this number */
};
/* A directory moved or went: every remembered key is void, now and if the transaction is undone. */
void tree_keys_changed_tx(struct cache *cache);

#endif

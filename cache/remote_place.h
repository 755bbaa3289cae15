/*
 * cache/remote_place.h: where in the tree a key of the bucket shows. A directory has the name before a file: the object `a`
 * beside `a/…` shows as `a.r2fs-file`, is written, renamed and removed as the object `a`, and gets its name back when the directory goes.
 * Inside a transaction.
 */
#ifndef R2FS_CACHE_REMOTE_PLACE_H
#define R2FS_CACHE_REMOTE_PLACE_H

#include "cache/remote.h"

struct remote_place {
    uint64_t parent;
    char name[CACHE_NAME_MAX + 1];
    size_t length;
    uint64_t ino; /* what is there now, 0: nothing */
};
/* The place of a key (not the root's), its parents made where make is set, and files that stand in the way of directories moved aside.
 * owner: the inode that our row has for this key. False: it has no place (its parents are not there, or no name is free). */
bool remote_place_tx(struct cache *cache, const char *key, uint64_t owner, bool make, bool tell, struct remote_place *place);
/* The directory "dir/" is gone: a file that it had displaced gets its name back. */
void remote_place_back_tx(struct cache *cache, const char *key, bool tell);
bool remote_is_directory_tx(struct cache *cache, uint64_t ino);
/* *key: that of a file by its name. When it shows under this name only because a directory has its own, *key becomes its object's. */
void remote_place_key_tx(struct cache *cache, uint64_t ino, struct buf *key);
/* The file whose object has this key, which a directory's name hides; 0: none. */
uint64_t remote_place_hidden_tx(struct cache *cache, const char *key);

#endif

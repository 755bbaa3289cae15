/*
 * cache/push.h: the pusher, as the rest of libcache sees it.
 */
#ifndef R2FS_CACHE_PUSH_H
#define R2FS_CACHE_PUSH_H

#include "cache/internal.h"

int push_start(struct cache *cache);
void push_stop(struct cache *cache); /* leaves what is in flight: its attempts are resolved at the next start */
void push_kick(struct cache *cache); /* everything pending is due now */
void push_new_instance(struct cache *cache);
/* Is a mutating request for this key in flight, or did one end after this stamp? Then a listing's word on it is void. Inside. */
bool push_busy_since_tx(struct cache *cache, const char *key, int64_t stamp);
bool push_busy_below_tx(struct cache *cache, const char *prefix, int64_t stamp); /* the same for any key that starts so */
/* Is something pending for this key or this inode (dirty, to be renamed, to be deleted)? Then local state wins over a listing. Inside. */
bool push_pending_key_tx(struct cache *cache, const char *key);
bool push_pending_inode_tx(struct cache *cache, uint64_t ino);
/* A wait until the inode (with all below it, for a directory) is in the bucket. 0: it is. */
int push_wait(struct cache *cache, uint64_t ino, struct cache_wait *wait);
void push_status(struct cache *cache, struct cache_status *status);
/* since: NULL, or as cache_drain_piece has it. */
int push_drain(struct cache *cache, uint64_t ino, int64_t *since, int timeout_ms, void (*each)(void *arg, const struct cache_pending *pending),
               void *arg, unsigned *conflicts);
/* For todo.c: what a transaction wants (its row is written), and bytes that only memory has so far. */
void push_wanted_tx(struct cache *cache, int kind, uint64_t ino, const char *key, int64_t sequence, bool publish);
void push_written(struct cache *cache, uint64_t ino);
bool push_upload_is_ours(struct cache *cache, const char *upload_id);

#endif

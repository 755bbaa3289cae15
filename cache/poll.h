/*
 * cache/poll.h: the poller: lists the prefix (flat while it is few pages, else the directories in use) every interval and merges what
 * others changed.
 */
#ifndef R2FS_CACHE_POLL_H
#define R2FS_CACHE_POLL_H

#include "cache/internal.h"

/* Blocks: the liveness listing of cache_start; merges its page. */
enum s3_outcome poll_first(struct cache *cache, int timeout_ms, struct s3_error *error);
int poll_start(struct cache *cache);
void poll_stop(struct cache *cache);
void poll_now(struct cache *cache);
int64_t poll_last_ms(struct cache *cache); /* end of the last complete poll, wall clock; 0: never */

#endif

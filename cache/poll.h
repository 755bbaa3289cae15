/*
 * cache/poll.h: the poller: lists the prefix (flat while it is few pages, else the directories in use) every interval and merges what
 * others changed.
 */
#ifndef R2FS_CACHE_POLL_H
#define R2FS_CACHE_POLL_H

#include "cache/vanish.h"

/* Blocks: the liveness listing of cache_start; merges its page, and asks for the root's own metadata where it has an object. Needs dirs_start. */
enum s3_outcome poll_first(struct cache *cache, int timeout_ms, struct s3_error *error);
int poll_start(struct cache *cache); /* after poll_first */
void poll_stop(struct cache *cache); /* ends the thread; poll_free comes after the fetch pool has stopped */
void poll_free(struct cache *cache);
void poll_round(struct cache *cache); /* blocks: what the thread does each interval; not while it runs */
void poll_now(struct cache *cache);
/* Blocks: what a listing of scope lacks, see vanish_confirm. */
void poll_confirm(struct cache *cache, const char *scope, struct vanish_set *set);
int64_t poll_last_ms(struct cache *cache); /* end of the last complete poll, wall clock; 0: never */

#endif

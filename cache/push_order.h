/*
 * cache/push_order.h: promise 8. Which pending work may go now, by sequence numbers alone. Pure.
 *
 * Creates go in parallel and wait for nothing. An overwrite waits for every create that was wanted before its newest
 * change. A delete waits for every earlier create and overwrite. Others wait for a thing by the number since which it has
 * been wanted (first); it waits by the number of its newest change (last), since that is what it would publish.
 */
#ifndef R2FS_CACHE_PUSH_ORDER_H
#define R2FS_CACHE_PUSH_ORDER_H

#include <stdbool.h>
#include <stdint.h>

#define PUSH_STALL_MS 30000 /* an upload that moved no byte for so long, while others succeeded, holds back nobody */

enum push_class { PUSH_CREATE, PUSH_OVERWRITE, PUSH_REMOVE };

struct push_order {
    int64_t create, overwrite; /* the least first among what holds others back */
};

void push_order_init(struct push_order *order);
void push_order_add(struct push_order *order, enum push_class class, int64_t first);
bool push_order_may_go(const struct push_order *order, enum push_class class, int64_t last);

/* What may be known of one pending thing: times are monotonic milliseconds, 0: never. */
struct push_progress {
    bool refused;          /* the bucket refused this key for good */
    int64_t tried_ms;      /* the first attempt at this generation left */
    int64_t moved_ms;      /* a byte of it moved */
    int64_t others_ms;     /* a request for another key last succeeded */
};
/* Does it no longer hold others back? Age alone, or being offline, releases nothing. */
bool push_order_released(const struct push_progress *progress, int64_t now_ms);

#endif

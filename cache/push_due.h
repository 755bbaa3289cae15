/*
 * cache/push_due.h: when a change is to be sent. Pure. Times are monotonic milliseconds; 0: never.
 */
#ifndef R2FS_CACHE_PUSH_DUE_H
#define R2FS_CACHE_PUSH_DUE_H

#include <stdbool.h>
#include <stdint.h>

#define PUSH_KEY_INTERVAL_MS 1000 /* R2 takes one write a second of a key */
#define PUSH_RETRY_MIN_MS 500
#define PUSH_RETRY_MAX_MS 30000
#define PUSH_REFUSED_MS 60000     /* between attempts at a key that was refused for good */

struct push_times {
    int64_t first_ms;   /* the oldest change that is not in the bucket */
    int64_t changed_ms; /* the newest: last close, fsync or write */
    int64_t not_before_ms; /* a retry's delay, or the key's interval; also a kick waits for it */
    bool kicked;        /* someone asked for it now */
};

/* write_back_ms after the newest change; for what changes on and on, the larger of it and dirty_age_max_ms after the oldest. */
int64_t push_due(const struct push_times *times, int write_back_ms, int dirty_age_max_ms);
/* The delay before the next attempt after this many failures in a row (1…), of which random (0…65535) takes up to a half. */
int64_t push_due_retry(unsigned failures, unsigned random);

#endif

#include "cache/push_due.h"

static int64_t max(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

int64_t push_due(const struct push_times *times, int write_back_ms, int dirty_age_max_ms)
{
    if (times->kicked)
        return times->not_before_ms;
    int64_t quiet = times->changed_ms + write_back_ms;
    int64_t oldest = times->first_ms + max(write_back_ms, dirty_age_max_ms);
    return max(quiet < oldest ? quiet : oldest, times->not_before_ms);
}

int64_t push_due_retry(unsigned failures, unsigned random)
{
    int64_t delay = PUSH_RETRY_MIN_MS;
    while (failures-- > 1 && delay < PUSH_RETRY_MAX_MS)
        delay *= 2;
    if (delay > PUSH_RETRY_MAX_MS)
        delay = PUSH_RETRY_MAX_MS;
    return delay - delay * (int64_t)(random & 0xffff) / 0x20000;
}

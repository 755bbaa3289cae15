/*
 * A bucket that refuses us for good (wrong key, gone, full): programs' new writes are refused at once, what is pending is
 * kept and tried again, and the first request that succeeds makes everything well.
 */
#include <errno.h>
#include <stdio.h>

#include "cache/push_run.h"
#include "s3/base/log.h"

void push_refuse(struct push *push, enum s3_outcome outcome, const struct s3_error *error)
{
    struct cache *cache = push->cache;
    int as = outcome == S3_QUOTA ? EDQUOT : EROFS;
    if (atomic_exchange(&cache->refused_errno, as) == as)
        return;
    lock_take(&cache->news_lock);
    snprintf(cache->refused, sizeof cache->refused, "%s: %.80s", s3_outcome_name(outcome), error->code[0] ? error->code : error->message);
    lock_drop(&cache->news_lock);
    log_error("the bucket refuses what is written (%s): new writes fail with %s until it takes it again; what is pending is kept", cache->refused,
              as == EDQUOT ? "EDQUOT" : "EROFS");
}

void push_heal(struct push *push)
{
    struct cache *cache = push->cache;
    if (atomic_exchange(&cache->refused_errno, 0) == 0)
        return;
    lock_take(&cache->news_lock);
    cache->refused[0] = '\0';
    lock_drop(&cache->news_lock);
    log_notice("the bucket takes what is written again");
}

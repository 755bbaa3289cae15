#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "cache/internal.h"
#include "s3/base/clock.h"
#include "s3/base/log.h"

void cache_note_error(struct cache *cache, const char *format, ...)
{
    char text[sizeof cache->last_error];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    lock_take(&cache->news_lock);
    bool again = strcmp(text, cache->last_error) == 0;
    memcpy(cache->last_error, text, sizeof text);
    cache->last_error_ms = clock_wall_ms();
    lock_drop(&cache->news_lock);
    /* A thing that fails on and on is one line. */
    if (!again)
        log_error("%s", text);
}

void cache_note_outcome(struct cache *cache, const char *doing, const char *key, const struct s3_error *why)
{
    switch (why->outcome) {
    case S3_OK:
    case S3_CANCELLED:
        return;
    case S3_UNREACHABLE: case S3_TIMEOUT: case S3_THROTTLED: case S3_NO_BUCKET: case S3_BAD_KEY: case S3_CLOCK: case S3_QUOTA:
        cache_note_error(cache, "the bucket does not serve us: %s", why->message);
        return;
    default:
        cache_note_error(cache, "%s %s: %s", doing, key[0] ? key : "the bucket", why->message);
    }
}

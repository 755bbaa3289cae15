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

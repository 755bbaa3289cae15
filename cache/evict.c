#include "cache/evict.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cache/db.h"
#include "cache/io.h"
#include "cache/spool.h"
#include "s3/base/clock.h"
#include "s3/base/log.h"

void block_discard(struct cache *cache, uint64_t content_id)
{
    struct evict *evict = cache->evict;
    if (!evict)
        return; /* an orphan: the next start removes it */
    lock_take(&evict->lock);
    if (evict->discard_count == evict->discard_capacity) {
        size_t capacity = evict->discard_capacity ? evict->discard_capacity * 2 : 64;
        uint64_t *ids = realloc(evict->discard, capacity * sizeof *ids);
        if (ids) {
            evict->discard = ids;
            evict->discard_capacity = capacity;
        }
    }
    if (evict->discard_count < evict->discard_capacity)
        evict->discard[evict->discard_count++] = content_id;
    pthread_cond_signal(&evict->wake);
    lock_drop(&evict->lock);
}

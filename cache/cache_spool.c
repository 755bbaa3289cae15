#include "cache/cache.h"
#include "cache/spool.h"

char *cache_spool_path(const struct cache_config *config)
{
    return spool_path(config->cache_dir, config->endpoint, config->bucket, config->prefix);
}

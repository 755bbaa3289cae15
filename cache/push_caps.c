/*
 * What the endpoint honours, found out by must-fail before the first request that depends on it, and remembered in the
 * index, which belongs to one endpoint and bucket.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cache/db.h"
#include "cache/push_state.h"
#include "s3/base/log.h"

static void setting_name(char name[32], enum s3_cap cap)
{
    snprintf(name, 32, "honours.%s", s3_cap_name(cap));
}

void push_caps_load_tx(struct push *push)
{
    for (int cap = 0; cap < S3_CAP_COUNT; cap++) {
        char name[32];
        setting_name(name, (enum s3_cap)cap);
        char *value = db_setting_get(push->cache, name);
        if (value)
            push->caps[cap] = strcmp(value, "yes") == 0 ? S3_CAP_HONOURED : S3_CAP_IGNORED;
        free(value);
    }
}

static enum s3_cap_state probe(struct push *push, enum s3_cap cap, struct s3_error *error)
{
    const struct cache_config *config = &push->cache->config;
    enum s3_cap_state state = S3_CAP_UNKNOWN;
    char directory[S3_KEY_MAX + 1], name[32];
    snprintf(directory, sizeof directory, "%s%s.r2fs/", config->prefix, config->prefix[0] ? "/" : "");
    if (s3_cap_probe(config->ops, config->ops_ctx, cap, directory, &state, error) != S3_OK)
        return S3_CAP_UNKNOWN;
    log_info("the endpoint %s a condition on %s", state == S3_CAP_HONOURED ? "honours" : "ignores", s3_cap_name(cap));
    setting_name(name, cap);
    db_begin(push->cache);
    db_setting_set(push->cache, name, state == S3_CAP_HONOURED ? "yes" : "no");
    (void)db_commit(push->cache); /* else it is asked again by the next daemon */
    return state;
}

enum s3_cap_state push_caps_need(struct push *push, enum s3_cap cap, struct s3_error *error)
{
    lock_take(&push->lock);
    while (push->probing[cap])
        lock_wait(&push->lock, &push->settle);
    enum s3_cap_state state = push->caps[cap];
    if (state == S3_CAP_UNKNOWN) {
        push->probing[cap] = true;
        lock_drop(&push->lock);
        state = probe(push, cap, error);
        lock_take(&push->lock);
        push->caps[cap] = state;
        push->probing[cap] = false;
        pthread_cond_broadcast(&push->settle);
    }
    lock_drop(&push->lock);
    return state;
}

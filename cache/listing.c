#include "cache/listing.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cache/db.h"
#include "cache/remote.h"
#include "s3/base/log.h"

#define EMPTY_MAX 16 /* a server that promises more and sends nothing, so many times in a row, is going in circles */

int listing_init(struct cache *cache, struct listing *listing, uint64_t ino)
{
    *listing = (struct listing){ .delimited = ino != 0, .ino = ino };
    struct buf key = BUF_INIT(S3_KEY_MAX + 1);
    int error = 0;
    if (ino == 0 || ino == CACHE_ROOT) {
        if (cache->config.prefix[0])
            buf_printf(&key, "%s/", cache->config.prefix);
    } else {
        db_begin(cache);
        error = tree_key_tx(cache, ino, &key);
        db_commit(cache);
    }
    listing->prefix = buf_steal(&key);
    listing->after = strdup("");
    buf_fini(&key);
    if (!error && (!listing->prefix || !listing->after))
        error = -ENOMEM;
    if (error)
        listing_fini(listing);
    return error;
}

void listing_fini(struct listing *listing)
{
    free(listing->prefix);
    free(listing->after);
    free(listing->token);
    vanish_fini(&listing->missing);
    for (size_t i = 0; i < listing->seen_count; i++)
        free(listing->seen[i]);
    free(listing->seen);
    *listing = (struct listing){ 0 };
}

static int note_prefixes(struct listing *listing, const struct s3_list_page *page)
{
    for (size_t i = 0; i < page->prefix_count; i++) {
        if (listing->seen_count == listing->seen_capacity) {
            size_t capacity = listing->seen_capacity ? listing->seen_capacity * 2 : 32;
            char **seen = realloc(listing->seen, capacity * sizeof *seen);
            if (!seen)
                return -ENOMEM;
            listing->seen = seen;
            listing->seen_capacity = capacity;
        }
        char *copy = strdup(page->prefixes[i]);
        if (!copy)
            return -ENOMEM;
        listing->seen[listing->seen_count++] = copy;
    }
    return 0;
}

/* Behind this page: its last key or prefix, and the token of the next. */
static int advance(struct listing *listing, const struct s3_list_page *page)
{
    const char *entry = page->entry_count ? page->entries[page->entry_count - 1].key : "";
    const char *prefix = page->prefix_count ? page->prefixes[page->prefix_count - 1] : "";
    const char *last = strcmp(entry, prefix) > 0 ? entry : prefix;
    listing->pages++;
    listing->empty = last[0] ? 0 : listing->empty + 1;
    char *after = strdup(last[0] ? last : listing->after), *token = page->next_token ? strdup(page->next_token) : NULL;
    if (!after || (page->next_token && !token)) {
        free(after);
        free(token);
        return -ENOMEM;
    }
    free(listing->after);
    free(listing->token);
    listing->after = after;
    listing->token = token;
    if (token && listing->empty > EMPTY_MAX) {
        log_notice("the listing of \"%s\" goes on and on without keys; it is given up", listing->prefix);
        return -EBADMSG;
    }
    listing->done = token == NULL;
    return 0;
}

int listing_step(struct cache *cache, struct listing *listing, const struct s3_call *call, struct s3_error *error)
{
    const struct cache_config *config = &cache->config;
    struct s3_list_request request = { .prefix = listing->prefix, .delimiter = listing->delimited ? "/" : NULL, .token = listing->token };
    struct remote_scope scope = { .prefix = listing->prefix, .delimited = listing->delimited, .after = listing->after,
                                  .quiet = listing->quiet, .stamp = remote_stamp(cache) };
    struct s3_list_page page;
    if (listing->pages == 0)
        listing->stamp = scope.stamp;
    enum s3_outcome outcome = config->ops->list(config->ops_ctx, call, &request, &page, error);
    if (outcome != S3_OK)
        return -s3_outcome_errno(outcome);
    int result = remote_apply_page(cache, &scope, &page, vanish_add, &listing->missing);
    if (!result && listing->delimited)
        result = note_prefixes(listing, &page);
    if (!result)
        result = advance(listing, &page);
    s3_list_page_fini(&page);
    if (!result && listing->done && listing->delimited)
        result = remote_missing_directories(cache, listing->ino, listing->prefix, listing->seen, listing->seen_count, vanish_add,
                                            &listing->missing);
    if (!result && listing->missing.failed)
        result = -ENOMEM;
    return result;
}

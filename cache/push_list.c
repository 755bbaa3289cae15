#include "cache/push_list.h"

#include <stdio.h>
#include <string.h>

/* A key just before this one, so that a listing after it starts here or a little earlier. */
static void before(char out[S3_KEY_MAX + 1], const char *key, const char *prefix)
{
    size_t length = strlen(key);
    snprintf(out, S3_KEY_MAX + 1, "%s", key);
    if (length <= strlen(prefix)) {
        out[0] = '\0';
        return;
    }
    if (out[length - 1] > '!' && out[length - 1] <= '~')
        out[length - 1]--;
    else
        out[length - 1] = '\0';
}

/* Walks page and keys side by side. Returns how many keys are decided. */
static size_t match_page(const struct s3_list_page *page, struct push_listed *keys, size_t from, size_t count)
{
    size_t entry = 0, at = from;
    const char *last = page->entry_count ? page->entries[page->entry_count - 1].key : NULL;
    if (page->prefix_count && (!last || strcmp(page->prefixes[page->prefix_count - 1], last) > 0))
        last = page->prefixes[page->prefix_count - 1];
    for (; at < count; at++) {
        if (page->next_token && (!last || strcmp(keys[at].key, last) > 0))
            break;
        while (entry < page->entry_count && strcmp(page->entries[entry].key, keys[at].key) < 0)
            entry++;
        keys[at].covered = true;
        keys[at].present = entry < page->entry_count && strcmp(page->entries[entry].key, keys[at].key) == 0;
        if (keys[at].present) {
            snprintf(keys[at].etag, sizeof keys[at].etag, "%s", page->entries[entry].etag);
            keys[at].mtime_ms = page->entries[entry].mtime_ms;
        }
    }
    return at;
}

enum s3_outcome push_list(struct push_run *run, const char *prefix, bool delimited, struct push_listed *keys, size_t count, int pages_max)
{
    char start[S3_KEY_MAX + 1], *token = NULL;
    size_t decided = 0;
    enum s3_outcome outcome = S3_OK;
    struct s3_list_page page = { 0 };
    before(start, keys[0].key, prefix);
    for (int i = 0; i < pages_max && decided < count; i++) {
        struct s3_list_request request = { .prefix = prefix, .delimiter = delimited ? "/" : NULL, .token = token,
                                           .start_after = token || !start[0] ? NULL : start };
        struct s3_list_page next = { 0 };
        outcome = run->cache->config.ops->list(run->cache->config.ops_ctx, &run->call, &request, &next, &run->error);
        s3_list_page_fini(&page);
        page = next;
        if (outcome != S3_OK)
            break;
        decided = match_page(&page, keys, decided, count);
        token = page.next_token;
        if (!token)
            break;
    }
    s3_list_page_fini(&page);
    return outcome;
}

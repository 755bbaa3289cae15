#include "s3/page.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct page_item {
    size_t key, etag; /* offsets in strings, which moves as it grows */
    uint64_t size;
    int64_t mtime_ms;
};

void page_init(struct page_builder *builder)
{
    *builder = (struct page_builder){ .strings = BUF_INIT(PAGE_STRINGS_MAX) };
}

static size_t add_string(struct page_builder *builder, const char *string)
{
    size_t offset = builder->strings.length;
    buf_append(&builder->strings, string, strlen(string) + 1);
    return offset;
}

static struct page_item *grow(struct page_builder *builder, struct page_item **items, size_t count, size_t *capacity)
{
    if (count == *capacity) {
        size_t more = count ? count * 2 : 64;
        struct page_item *grown = realloc(*items, more * sizeof *grown);
        if (!grown) {
            builder->failed = true;
            return NULL;
        }
        *items = grown;
        *capacity = more;
    }
    return *items + count;
}

void page_add_entry(struct page_builder *builder, const char *key, const char *etag, uint64_t size, int64_t mtime_ms)
{
    struct page_item *item = grow(builder, &builder->entries, builder->entry_count, &builder->entry_capacity);
    if (!item)
        return;
    *item = (struct page_item){ .key = add_string(builder, key), .etag = add_string(builder, etag), .size = size,
                                .mtime_ms = mtime_ms };
    builder->entry_count++;
}

void page_add_prefix(struct page_builder *builder, const char *prefix)
{
    struct page_item *item = grow(builder, &builder->prefixes, builder->prefix_count, &builder->prefix_capacity);
    if (!item)
        return;
    *item = (struct page_item){ .key = add_string(builder, prefix) };
    builder->prefix_count++;
}

int page_finish(struct page_builder *builder, struct s3_list_page *page)
{
    size_t entries_bytes = builder->entry_count * sizeof(struct s3_list_entry);
    size_t prefixes_bytes = builder->prefix_count * sizeof(char *);
    char *arena = NULL;
    if (!builder->failed && !builder->strings.failed)
        arena = malloc(entries_bytes + prefixes_bytes + builder->strings.length + 1);
    if (!arena) {
        page_fini(builder);
        return -ENOMEM;
    }
    struct s3_list_entry *entries = (void *)arena;
    const char **prefixes = (void *)(arena + entries_bytes);
    char *strings = arena + entries_bytes + prefixes_bytes;
    if (builder->strings.length)
        memcpy(strings, builder->strings.data, builder->strings.length);
    for (size_t i = 0; i < builder->entry_count; i++) {
        const struct page_item *item = &builder->entries[i];
        entries[i] = (struct s3_list_entry){ .key = strings + item->key, .etag = strings + item->etag, .size = item->size,
                                             .mtime_ms = item->mtime_ms };
    }
    for (size_t i = 0; i < builder->prefix_count; i++)
        prefixes[i] = strings + builder->prefixes[i].key;
    page->entries = entries;
    page->entry_count = builder->entry_count;
    page->prefixes = prefixes;
    page->prefix_count = builder->prefix_count;
    page->arena = arena;
    page_fini(builder);
    return 0;
}

void page_fini(struct page_builder *builder)
{
    buf_fini(&builder->strings);
    free(builder->entries);
    free(builder->prefixes);
    page_init(builder);
}

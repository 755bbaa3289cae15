/*
 * s3/page.h: builds a struct s3_list_page entry by entry. A page is one block of memory (its arena), so that the pager can
 * keep a few of them cheaply. Zero-initialise; every add may fail for memory, which page_finish reports.
 */
#ifndef R2FS_S3_PAGE_H
#define R2FS_S3_PAGE_H

#include <stddef.h>
#include <stdint.h>

#include "s3/base/buf.h"
#include "s3/s3.h"

#define PAGE_STRINGS_MAX (4u << 20) /* keys and ETags of a page: 1,000 keys of 1,024 bytes, and room */

struct page_builder {
    struct buf strings;
    struct page_item *entries, *prefixes;
    size_t entry_count, entry_capacity, prefix_count, prefix_capacity;
    bool failed;
};

void page_init(struct page_builder *builder);
void page_add_entry(struct page_builder *builder, const char *key, const char *etag, uint64_t size, int64_t mtime_ms);
void page_add_prefix(struct page_builder *builder, const char *prefix);
/* Fills entries, prefixes and arena of *page and empties the builder. 0 or -ENOMEM. */
int page_finish(struct page_builder *builder, struct s3_list_page *page);
void page_fini(struct page_builder *builder);

#endif

/*
 * cache/push_parts.h: how a large object is cut. Parts are equal but for the last, at least 5 MiB, at most 10,000
 * (r2.md, "Multipart"). A part nobody wrote to since the base is copied from it on the server. Pure.
 */
#ifndef R2FS_CACHE_PUSH_PARTS_H
#define R2FS_CACHE_PUSH_PARTS_H

#include "cache/ranges.h"

#define PUSH_PART_MIN (8u << 20)
#define PUSH_PART_MAX (1u << 30)
#define PUSH_PARTS_GOOD 1024 /* the part size doubles with the object's so that there are at most about so many */

/* 8 MiB, doubled while there would be more than PUSH_PARTS_GOOD parts, up to PUSH_PART_MAX. size > 0. */
uint64_t push_parts_size(uint64_t size);
int push_parts_count(uint64_t size, uint64_t part_size); /* at least 1 */
/* The bytes of part number (1…) */
struct range push_parts_range(uint64_t size, uint64_t part_size, int number);
/* Can the endpoint copy this part from the base: wholly inside it, nothing of it dirty? */
bool push_parts_copyable(struct range part, uint64_t base_size, const struct ranges *dirty);

#endif

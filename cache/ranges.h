/*
 * cache/ranges.h: a sorted set of byte ranges [start, end), merged when they touch. Not thread-safe. Encoded form: pairs of
 * LEB128 numbers (gap, length) in order. An empty set is {0}.
 */
#ifndef R2FS_CACHE_RANGES_H
#define R2FS_CACHE_RANGES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct range {
    uint64_t start, end;
};
struct ranges {
    struct range *items;
    size_t count, capacity;
};

void ranges_fini(struct ranges *r);
int ranges_add(struct ranges *r, uint64_t start, uint64_t end);    /* 0, -ENOMEM: unchanged */
int ranges_remove(struct ranges *r, uint64_t start, uint64_t end); /* 0, -ENOMEM: unchanged */
/* Room for so many ranges: an add or remove that leaves fewer cannot fail. */
int ranges_reserve(struct ranges *r, size_t count);
bool ranges_cover(const struct ranges *r, uint64_t start, uint64_t end);
/* The first part of [start, end) that is in (or with missing: not in) the set. false: none. */
bool ranges_next(const struct ranges *r, uint64_t start, uint64_t end, bool missing, struct range *found);
uint64_t ranges_total(const struct ranges *r);
uint64_t ranges_total_in(const struct ranges *r, uint64_t start, uint64_t end);
bool ranges_touch(const struct ranges *r, uint64_t start, uint64_t end); /* is any byte of [start, end) in the set */
int ranges_add_all(struct ranges *r, const struct ranges *other);    /* -ENOMEM: some are in */
int ranges_remove_all(struct ranges *r, const struct ranges *other); /* -ENOMEM: some are out */
int ranges_copy(struct ranges *to, const struct ranges *from);
size_t ranges_encode(const struct ranges *r, uint8_t *out, size_t capacity); /* bytes needed; written when they fit */
int ranges_decode(struct ranges *r, const uint8_t *data, size_t size, uint64_t end_max); /* -EUCLEAN on nonsense */

#endif

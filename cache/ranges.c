#include "cache/ranges.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

void ranges_fini(struct ranges *r)
{
    free(r->items);
    *r = (struct ranges){ 0 };
}

/* The first range that ends behind offset (or, with touching, at it). */
static size_t find(const struct ranges *r, uint64_t offset, bool touching)
{
    size_t low = 0, high = r->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        uint64_t end = r->items[middle].end;
        if (end > offset || (touching && end == offset))
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

int ranges_reserve(struct ranges *r, size_t count)
{
    if (count <= r->capacity)
        return 0;
    size_t capacity = r->capacity ? r->capacity * 2 : 4;
    if (capacity < count)
        capacity = count;
    struct range *items = realloc(r->items, capacity * sizeof *items);
    if (!items)
        return -ENOMEM;
    r->items = items;
    r->capacity = capacity;
    return 0;
}

/* Replaces `old` items at index by `new` ones, whose contents the caller then sets. Room was reserved. */
static void splice(struct ranges *r, size_t index, size_t old, size_t new)
{
    if (old != new)
        memmove(&r->items[index + new], &r->items[index + old], (r->count - index - old) * sizeof *r->items);
    r->count = r->count - old + new;
}

int ranges_add(struct ranges *r, uint64_t start, uint64_t end)
{
    if (start >= end)
        return 0;
    if (ranges_reserve(r, r->count + 1))
        return -ENOMEM;
    size_t first = find(r, start, true), last = first;
    while (last < r->count && r->items[last].start <= end)
        last++;
    if (last > first) {
        if (r->items[first].start < start)
            start = r->items[first].start;
        if (r->items[last - 1].end > end)
            end = r->items[last - 1].end;
    }
    splice(r, first, last - first, 1);
    r->items[first] = (struct range){ start, end };
    return 0;
}

int ranges_remove(struct ranges *r, uint64_t start, uint64_t end)
{
    if (start >= end)
        return 0;
    size_t first = find(r, start, false), last = first;
    while (last < r->count && r->items[last].start < end)
        last++;
    if (first == last)
        return 0;
    /* A cut in the middle of one range leaves two. */
    if (ranges_reserve(r, r->count + 1))
        return -ENOMEM;
    struct range left = { r->items[first].start, start }, right = { end, r->items[last - 1].end };
    size_t keep = (size_t)(left.start < left.end) + (size_t)(right.start < right.end);
    splice(r, first, last - first, keep);
    if (left.start < left.end)
        r->items[first++] = left;
    if (right.start < right.end)
        r->items[first] = right;
    return 0;
}

bool ranges_cover(const struct ranges *r, uint64_t start, uint64_t end)
{
    if (start >= end)
        return true;
    size_t i = find(r, start, false);
    return i < r->count && r->items[i].start <= start && r->items[i].end >= end;
}

bool ranges_next(const struct ranges *r, uint64_t start, uint64_t end, bool missing, struct range *found)
{
    for (size_t i = find(r, start, false); start < end; i++) {
        struct range item = i < r->count ? r->items[i] : (struct range){ end, end };
        if (missing && item.start > start) {
            *found = (struct range){ start, item.start < end ? item.start : end };
            return true;
        }
        if (!missing && item.start < end) {
            *found = (struct range){ item.start > start ? item.start : start, item.end < end ? item.end : end };
            return true;
        }
        start = item.end;
        if (i >= r->count)
            break;
    }
    return false;
}

bool ranges_touch(const struct ranges *r, uint64_t start, uint64_t end)
{
    size_t i = find(r, start, false);
    return start < end && i < r->count && r->items[i].start < end;
}

uint64_t ranges_total_in(const struct ranges *r, uint64_t start, uint64_t end)
{
    uint64_t total = 0;
    for (size_t i = find(r, start, false); i < r->count && r->items[i].start < end; i++) {
        uint64_t from = r->items[i].start > start ? r->items[i].start : start;
        uint64_t to = r->items[i].end < end ? r->items[i].end : end;
        total += to - from;
    }
    return total;
}

uint64_t ranges_total(const struct ranges *r)
{
    return ranges_total_in(r, 0, UINT64_MAX);
}

int ranges_add_all(struct ranges *r, const struct ranges *other)
{
    int rc = 0;
    for (size_t i = 0; i < other->count && !rc; i++)
        rc = ranges_add(r, other->items[i].start, other->items[i].end);
    return rc;
}

int ranges_remove_all(struct ranges *r, const struct ranges *other)
{
    int rc = 0;
    for (size_t i = 0; i < other->count && !rc; i++)
        rc = ranges_remove(r, other->items[i].start, other->items[i].end);
    return rc;
}

int ranges_copy(struct ranges *to, const struct ranges *from)
{
    struct range *items = NULL;
    if (from->count) {
        items = malloc(from->count * sizeof *items);
        if (!items)
            return -ENOMEM;
        memcpy(items, from->items, from->count * sizeof *items);
    }
    free(to->items);
    *to = (struct ranges){ items, from->count, from->count };
    return 0;
}

static size_t put_number(uint8_t *out, size_t at, size_t capacity, uint64_t value)
{
    do {
        if (at < capacity)
            out[at] = (uint8_t)((value & 0x7f) | (value > 0x7f ? 0x80 : 0));
        at++;
        value >>= 7;
    } while (value);
    return at;
}

size_t ranges_encode(const struct ranges *r, uint8_t *out, size_t capacity)
{
    size_t at = 0;
    uint64_t position = 0;
    for (size_t i = 0; i < r->count; i++) {
        at = put_number(out, at, capacity, r->items[i].start - position);
        at = put_number(out, at, capacity, r->items[i].end - r->items[i].start);
        position = r->items[i].end;
    }
    return at;
}

static bool get_number(const uint8_t *data, size_t size, size_t *at, uint64_t *value)
{
    *value = 0;
    for (unsigned shift = 0; *at < size && shift < 64; shift += 7) {
        uint8_t byte = data[(*at)++];
        if (shift == 63 && (byte & 0x7e))
            return false;
        *value |= (uint64_t)(byte & 0x7f) << shift;
        if (!(byte & 0x80))
            return true;
    }
    return false;
}

int ranges_decode(struct ranges *r, const uint8_t *data, size_t size, uint64_t end_max)
{
    struct ranges result = { 0 };
    uint64_t position = 0;
    int rc = 0;
    for (size_t at = 0; at < size && !rc;) {
        uint64_t gap, length;
        if (!get_number(data, size, &at, &gap) || !get_number(data, size, &at, &length) || !length || gap > end_max - position ||
            length > end_max - position - gap)
            rc = -EUCLEAN;
        else
            rc = ranges_add(&result, position + gap, position + gap + length);
        if (!rc)
            position += gap + length;
    }
    if (rc) {
        ranges_fini(&result);
        return rc;
    }
    ranges_fini(r);
    *r = result;
    return 0;
}

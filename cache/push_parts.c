#include "cache/push_parts.h"

uint64_t push_parts_size(uint64_t size)
{
    uint64_t part = PUSH_PART_MIN;
    while (part < PUSH_PART_MAX && size > part * PUSH_PARTS_GOOD)
        part *= 2;
    return part;
}

int push_parts_count(uint64_t size, uint64_t part_size)
{
    return size == 0 ? 1 : (int)((size - 1) / part_size + 1);
}

struct range push_parts_range(uint64_t size, uint64_t part_size, int number)
{
    struct range r = { .start = (uint64_t)(number - 1) * part_size };
    r.end = r.start + part_size < size ? r.start + part_size : size;
    return r;
}

bool push_parts_copyable(struct range part, uint64_t base_size, const struct ranges *dirty)
{
    struct range found;
    return part.end > part.start && part.end <= base_size && !ranges_next(dirty, part.start, part.end, false, &found);
}

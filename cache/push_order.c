#include "cache/push_order.h"

void push_order_init(struct push_order *order)
{
    order->create = order->overwrite = INT64_MAX;
}

void push_order_add(struct push_order *order, enum push_class class, int64_t first)
{
    if (class == PUSH_CREATE && first < order->create)
        order->create = first;
    if (class == PUSH_OVERWRITE && first < order->overwrite)
        order->overwrite = first;
}

bool push_order_may_go(const struct push_order *order, enum push_class class, int64_t last)
{
    switch (class) {
    case PUSH_CREATE: return true;
    case PUSH_OVERWRITE: return last < order->create;
    case PUSH_REMOVE: return last < order->create && last < order->overwrite;
    }
    return false;
}

bool push_order_released(const struct push_progress *p, int64_t now_ms)
{
    if (p->refused)
        return true;
    if (!p->tried_ms)
        return false;
    int64_t since = p->moved_ms > p->tried_ms ? p->moved_ms : p->tried_ms;
    /* The others' success has to lie inside the stall, or an outage that hit everybody would look like one key's. */
    return now_ms - since >= PUSH_STALL_MS && p->others_ms - since >= PUSH_STALL_MS / 2;
}

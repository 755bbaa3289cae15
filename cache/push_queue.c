#include "cache/push_queue.h"

#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#include "s3/base/log.h"

/* The hash key: one byte of kind, then the number or the key's bytes. */
static size_t id_of(char *id, enum todo_kind kind, uint64_t ino, const char *key)
{
    size_t length = key ? strlen(key) : sizeof ino;
    id[0] = (char)('0' + kind);
    memcpy(id + 1, key ? (const void *)key : (const void *)&ino, length);
    return length + 1;
}

static struct push_item *find_id(struct push_queue *queue, const char *id, size_t length)
{
    struct push_item *item = NULL;
    HASH_FIND(hh, queue->items, id, length, item);
    return item;
}

struct push_item *push_queue_find(struct push_queue *queue, enum todo_kind kind, uint64_t ino, const char *key)
{
    char id[S3_KEY_MAX + 2];
    if (key && strlen(key) > S3_KEY_MAX)
        return NULL;
    size_t length = id_of(id, kind, ino, key);
    return find_id(queue, id, length);
}

struct push_item *push_queue_get(struct push_queue *queue, enum todo_kind kind, uint64_t ino, const char *key)
{
    char id[S3_KEY_MAX + 2];
    if (key && strlen(key) > S3_KEY_MAX)
        return NULL;
    size_t length = id_of(id, kind, ino, key);
    struct push_item *item = find_id(queue, id, length);
    if (item)
        return item;
    item = calloc(1, sizeof *item + length + 1);
    if (!item)
        return NULL;
    item->kind = kind;
    item->ino = ino;
    memcpy(item->id, id, length);
    item->id_length = length;
    item->key = key ? item->id + 1 : NULL;
    item->class = key ? PUSH_REMOVE : PUSH_CREATE;
    item->classified = kind != TODO_INODE;
    queue->trees += kind == TODO_TREE;
    HASH_ADD_KEYPTR(hh, queue->items, item->id, item->id_length, item);
    return item;
}

void push_queue_remove(struct push_queue *queue, struct push_item *item)
{
    HASH_DEL(queue->items, item);
    queue->trees -= item->kind == TODO_TREE;
    if (item->listed)
        DL_DELETE(queue->ready, item);
    if (queue->success_item == item)
        queue->success_item = NULL;
    free(item->waits);
    free(item->reason);
    free(item);
}

void push_queue_clear(struct push_queue *queue)
{
    struct push_item *item, *next;
    HASH_ITER(hh, queue->items, item, next)
        push_queue_remove(queue, item);
}

int64_t push_queue_due(const struct push_queue *queue, const struct push_item *item)
{
    return push_due(&item->times, queue->write_back_ms, queue->dirty_age_max_ms);
}

void push_queue_succeeded(struct push_queue *queue, const struct push_item *item, int64_t now_ms)
{
    if (queue->success_item != item) {
        queue->success_ms[1] = queue->success_ms[0];
        queue->success_item = item;
    }
    queue->success_ms[0] = now_ms;
}

static bool released(struct push_queue *queue, struct push_item *item, int64_t now_ms)
{
    uint64_t moved = item->moved;
    if (moved != item->moved_seen) {
        item->moved_seen = moved;
        item->progress.moved_ms = now_ms;
    }
    item->progress.refused = item->refused;
    item->progress.others_ms = queue->success_ms[queue->success_item == item ? 1 : 0];
    bool free_others = push_order_released(&item->progress, now_ms);
    if (free_others && !item->stalled)
        log_notice("an upload that was %s no longer holds back later ones", item->refused ? "refused for good" : "stalled for 30 s while others went on");
    if (free_others && !item->reason)
        item->reason = strdup("no byte of it moved for 30 s while other uploads went on"); /* status shows it; without memory only the log does */
    item->stalled = free_others;
    return free_others;
}

static int by_first(const struct push_item *a, const struct push_item *b)
{
    return (a->first > b->first) - (a->first < b->first);
}

static void unlist(struct push_queue *queue)
{
    struct push_item *item, *next;
    DL_FOREACH_SAFE(queue->ready, item, next) {
        DL_DELETE(queue->ready, item);
        item->listed = false;
    }
}

/* What holds others back, but for one item itself. Those not classified may turn out to be creates. */
static bool add_all(struct push_queue *queue, struct push_order *order, const struct push_item *but, int64_t now_ms)
{
    struct push_item *item, *next;
    bool classified = true;
    push_order_init(order);
    HASH_ITER(hh, queue->items, item, next) {
        if (!item->last || item == but || released(queue, item, now_ms))
            continue;
        classified = classified && item->classified;
        push_order_add(order, item->classified ? item->class : PUSH_CREATE, item->first);
    }
    return classified;
}

bool push_queue_may_go(struct push_queue *queue, struct push_item *item, enum push_class class, int64_t now_ms)
{
    struct push_order order;
    if (class == PUSH_CREATE || (class == item->started_class && item->last == item->started_last))
        return true;
    add_all(queue, &order, item, now_ms);
    return push_order_may_go(&order, class, item->last);
}

int64_t push_queue_scan(struct push_queue *queue, int64_t now_ms, bool *unclassified)
{
    struct push_order order;
    struct push_item *item, *next;
    int64_t wake = INT64_MAX;
    bool sorted = true;
    unlist(queue);
    *unclassified = !add_all(queue, &order, NULL, now_ms);
    HASH_ITER(hh, queue->items, item, next) {
        if (item->in_flight)
            continue;
        int64_t due = push_queue_due(queue, item);
        if (due > now_ms) {
            wake = due < wake ? due : wake;
        } else if (item->written || (item->classified && push_order_may_go(&order, item->class, item->last))) {
            sorted = sorted && (!queue->ready || queue->ready->prev->first <= item->first);
            DL_APPEND(queue->ready, item);
            item->listed = true;
        }
    }
    if (!sorted)
        DL_SORT(queue->ready, by_first);
    return wake;
}

void push_queue_start(struct push_queue *queue, struct push_item *item)
{
    if (item->listed)
        DL_DELETE(queue->ready, item);
    item->listed = false;
    item->in_flight = true;
    item->started_class = item->class;
    item->started_last = item->last;
    item->again_ms = 0;
    item->beside = NULL;
    queue->in_flight++;
}

/* In a listing by directory an object `dir/` does not show. */
static bool listed_by_directory(const struct push_item *item)
{
    return item->kind == TODO_GONE && !item->alone && item->key[strlen(item->key) - 1] != '/';
}

static size_t directory_length(const char *key)
{
    const char *slash = strrchr(key, '/');
    return slash ? (size_t)(slash - key) + 1 : 0;
}

static bool may_start(const struct push_queue *queue, const struct push_item *item, int64_t now_ms)
{
    /* A change since the scan has its own delay, and perhaps another class. */
    return push_queue_due(queue, item) <= now_ms && (item->classified || item->written);
}

static void take_beside(struct push_queue *queue, struct push_item *first, int64_t now_ms)
{
    struct push_item *item, *next, **tail = &first->beside;
    size_t length = directory_length(first->key), count = 1;
    DL_FOREACH_SAFE(queue->ready, item, next) {
        if (count == S3_LIST_MAX)
            break;
        if (!listed_by_directory(item) || directory_length(item->key) != length || memcmp(item->key, first->key, length) != 0 ||
            !may_start(queue, item, now_ms))
            continue;
        push_queue_start(queue, item);
        *tail = item;
        tail = &item->beside;
        count++;
    }
}

struct push_item *push_queue_take(struct push_queue *queue, int64_t now_ms)
{
    struct push_item *item, *next;
    DL_FOREACH_SAFE(queue->ready, item, next) {
        if (may_start(queue, item, now_ms)) {
            push_queue_start(queue, item);
            if (listed_by_directory(item))
                take_beside(queue, item, now_ms);
            return item;
        }
        DL_DELETE(queue->ready, item);
        item->listed = false;
    }
    return NULL;
}

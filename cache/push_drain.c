/*
 * Waiting until things are in the bucket, and saying what is not.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cache/db.h"
#include "cache/file.h"
#include "cache/name.h"
#include "cache/push_state.h"
#include "cache/tree.h"
#include "s3/base/clock.h"

#define LOOK_MS 50

/* ---- what lies at or below an inode ---- */

struct scope {
    struct cache *cache;
    uint64_t ino;
    struct buf key;  /* a directory's, "" for everything */
    bool directory, found;
};

static bool open_scope_tx(struct scope *scope, struct cache *cache, uint64_t ino)
{
    *scope = (struct scope){ .cache = cache, .ino = ino, .key = BUF_INIT(65536) };
    if (ino == CACHE_ROOT) {
        scope->directory = true;
        return true;
    }
    if (tree_key_tx(cache, ino, &scope->key) < 0 || !scope->key.data)
        return false;
    scope->directory = scope->key.data[scope->key.length - 1] == '/';
    return true;
}

static bool below(const struct scope *scope, const char *key)
{
    return scope->ino == CACHE_ROOT || (scope->directory ? strncmp(key, scope->key.data, scope->key.length) == 0 : strcmp(key, scope->key.data) == 0);
}

static bool look_at_key(void *arg, const char *key, uint64_t parent, const char *name, size_t length)
{
    struct scope *scope = arg;
    (void)parent, (void)name, (void)length;
    scope->found = below(scope, key);
    return !scope->found;
}

/* What is pending, copied out of the queue. */
struct left {
    enum todo_kind kind;
    uint64_t ino;
    char *key;
    char *reason;
    int64_t first_ms;
    int64_t last;
    unsigned failures;
    bool refused;
};

struct list {
    struct left *items;
    size_t count;
};

static void free_list(struct list *list)
{
    for (size_t i = 0; i < list->count; i++) {
        free(list->items[i].key);
        free(list->items[i].reason);
    }
    free(list->items);
    *list = (struct list){ 0 };
}

/* Changes wanted since a number up to mark. */
static int copy_queue(struct push *push, int64_t mark, struct list *list)
{
    struct push_item *item, *next;
    lock_take(&push->lock);
    list->items = calloc(HASH_COUNT(push->queue.items) + 1, sizeof *list->items);
    HASH_ITER(hh, push->queue.items, item, next) {
        if (!list->items || (item->last && item->first > mark && !item->in_flight))
            continue;
        list->items[list->count++] = (struct left){
            .kind = item->kind, .ino = item->ino, .key = item->key ? strdup(item->key) : NULL, .reason = item->reason ? strdup(item->reason) : NULL,
            .first_ms = item->times.first_ms, .last = item->last, .failures = item->failures, .refused = item->refused,
        };
    }
    lock_drop(&push->lock);
    return list->items ? 0 : -ENOMEM;
}

static bool in_scope_tx(struct scope *scope, const struct left *left)
{
    if (scope->ino == CACHE_ROOT)
        return true;
    if (left->key)
        return below(scope, left->key) || (left->kind == TODO_GONE_TREE && scope->key.data && strncmp(left->key, scope->key.data, strlen(left->key)) == 0);
    if (left->ino == scope->ino)
        return true;
    scope->found = false;
    tree_each_key_tx(scope->cache, left->ino, look_at_key, scope);
    if (left->kind == TODO_TREE && !scope->found) { /* a renamed directory above it */
        struct buf key = BUF_INIT(65536);
        scope->found = tree_key_tx(scope->cache, left->ino, &key) == 0 && key.data && strncmp(key.data, scope->key.data, key.length) == 0;
        buf_fini(&key);
    }
    return scope->found;
}

/* Leaves in list what is in scope. */
static int narrow(struct cache *cache, uint64_t ino, struct list *list)
{
    struct scope scope;
    size_t kept = 0;
    if (ino == CACHE_ROOT || list->count == 0)
        return 0;
    db_begin(cache);
    bool there = open_scope_tx(&scope, cache, ino);
    for (size_t i = 0; i < list->count; i++) {
        if (there && in_scope_tx(&scope, &list->items[i])) {
            list->items[kept++] = list->items[i];
        } else {
            free(list->items[i].key);
            free(list->items[i].reason);
        }
    }
    list->count = kept;
    buf_fini(&scope.key);
    return db_commit(cache);
}

static int collect(struct cache *cache, uint64_t ino, int64_t mark, struct list *list)
{
    *list = (struct list){ 0 };
    int error = copy_queue(cache->push, mark, list);
    if (!error)
        error = narrow(cache, ino, list);
    if (error)
        free_list(list);
    return error;
}

/* The newest of what the list wants, at most mark: later work elsewhere need not be hurried for it. */
static int64_t newest(const struct list *list, int64_t mark)
{
    int64_t result = 0;
    for (size_t i = 0; i < list->count; i++) {
        int64_t last = list->items[i].last;
        if (last == 0 || last > mark)
            return mark;
        result = last > result ? last : result;
    }
    return result;
}

/*
 * What was wanted up to mark is due now, in and out of scope: by promise 8, what is asked for may have to wait for earlier
 * work elsewhere. again: also what failed and has a delay.
 */
static void kick(struct push *push, int64_t mark, bool again)
{
    struct push_item *item, *next;
    lock_take(&push->lock);
    HASH_ITER(hh, push->queue.items, item, next) {
        if (item->last && item->first > mark)
            continue;
        push->changed = push->changed || !item->times.kicked || again;
        item->times.kicked = true;
        if (again)
            item->times.not_before_ms = 0;
    }
    if (again)
        push->pause_until_ms = 0;
    pthread_cond_signal(&push->wake);
    lock_drop(&push->lock);
}

/* ---- one caller that waits ---- */

static int add_wait_locked(struct push *push, struct wait_queue **queue, struct cache_wait *wait)
{
    if (!*queue)
        *queue = calloc(1, sizeof **queue);
    if (!*queue)
        return -ENOMEM;
    wait_add(push->cache, *queue, wait);
    return CACHE_WAIT;
}

int push_wait(struct cache *cache, uint64_t ino, struct cache_wait *wait)
{
    struct push *push = cache->push;
    struct list list;
    int result = 0;
    if (!push)
        return 0;
    lock_take(&push->lock);
    struct push_item *item = push_queue_find(&push->queue, TODO_INODE, ino, NULL);
    bool alone = item && push->queue.trees == 0;
    int64_t mark = item ? item->last : INT64_MAX;
    if (alone)
        result = item->refused ? -EIO : add_wait_locked(push, &item->waits, wait);
    lock_drop(&push->lock);
    kick(push, mark, false);
    if (alone)
        return result;
    result = collect(cache, ino, INT64_MAX, &list);
    if (result || list.count == 0) {
        free_list(&list);
        return result;
    }
    lock_take(&push->lock);
    bool still = false;
    for (size_t i = 0; i < list.count && !still; i++)
        still = push_queue_find(&push->queue, list.items[i].kind, list.items[i].ino, list.items[i].key) != NULL;
    if (still)
        result = add_wait_locked(push, &push->settled, wait);
    lock_drop(&push->lock);
    free_list(&list);
    return result;
}

/* ---- drain ---- */

/* Bytes that only memory has become rows, so that they count. */
static void commit_written(struct cache *cache, uint64_t ino)
{
    struct list list;
    if (collect(cache, ino, INT64_MAX, &list))
        return;
    for (size_t i = 0; i < list.count; i++) {
        struct inode *inode = list.items[i].kind == TODO_INODE ? inode_peek(cache, list.items[i].ino) : NULL;
        if (inode)
            (void)file_commit(cache, inode); /* what fails stays pending, and is told below */
        inode_put(cache, inode);
    }
    free_list(&list);
}

static void tell(struct cache *cache, const struct list *list, void (*each)(void *arg, const struct cache_pending *pending), void *arg)
{
    int64_t now = clock_mono_ms();
    for (size_t i = 0; i < list->count; i++) {
        const struct left *left = &list->items[i];
        struct buf key = BUF_INIT(65536);
        struct cache_pending pending = { .age_ms = now - left->first_ms, .reason = left->reason ? left->reason : "" };
        db_begin(cache);
        if (left->key)
            buf_puts(&key, left->key);
        else if (tree_key_tx(cache, left->ino, &key) < 0)
            buf_reset(&key);
        struct inode *inode = left->ino ? inode_get_tx(cache, left->ino) : NULL;
        if (inode)
            pending.bytes = inode->size;
        inode_put(cache, inode);
        db_commit(cache);
        const char *relative = key.data ? name_relative(cache, key.data) : NULL;
        pending.path = relative ? relative : key.data ? key.data : "";
        if (key.length || left->key)
            each(arg, &pending);
        buf_fini(&key);
    }
}

/* Tried since the call began, and each refused for good: waiting longer changes nothing. */
static int refused_for_good(struct cache *cache, const struct list *list, bool tried)
{
    int mount = atomic_load(&cache->refused_errno);
    for (size_t i = 0; i < list->count; i++)
        if (!list->items[i].failures || (!mount && !list->items[i].refused))
            return 0;
    return !tried ? 0 : mount ? -mount : -EIO;
}

int push_drain(struct cache *cache, uint64_t ino, int64_t *since, int timeout_ms, void (*each)(void *arg, const struct cache_pending *pending),
               void *arg, unsigned *conflicts)
{
    struct push *push = cache->push;
    unsigned before = atomic_load(&cache->conflicts);
    int64_t began = clock_mono_ms(), deadline = timeout_ms < 0 ? INT64_MAX : began + timeout_ms;
    struct list list;
    int result = 0;
    if (conflicts)
        *conflicts = 0;
    if (!push)
        return 0;
    int64_t mark = since ? *since : 0;
    if (mark == 0) {
        commit_written(cache, ino);
        db_begin(cache);
        mark = db_next(cache, DB_SEQUENCE);
        db_commit(cache);
    }
    if (since)
        *since = mark;
    for (bool first = true;; first = false) {
        result = collect(cache, ino, mark, &list);
        if (result || list.count == 0)
            break;
        kick(push, newest(&list, mark), first);
        int64_t now = clock_mono_ms();
        result = refused_for_good(cache, &list, now - began >= LOOK_MS);
        if (!result && (now >= deadline || atomic_load(&cache->stopping)))
            result = -ETIMEDOUT;
        if (result)
            break;
        free_list(&list);
        int64_t look = now + LOOK_MS < deadline ? now + LOOK_MS : deadline;
        lock_take(&push->lock);
        while (push->queue.items && clock_mono_ms() < look)
            lock_wait_until(&push->lock, &push->settle, look);
        lock_drop(&push->lock);
    }
    if (result && each)
        tell(cache, &list, each, arg);
    free_list(&list);
    if (conflicts)
        *conflicts = atomic_load(&cache->conflicts) - before;
    return result;
}

/* ---- status ---- */

void push_status(struct cache *cache, struct cache_status *status)
{
    struct push *push = cache->push;
    struct push_item *item, *next;
    int64_t now = clock_mono_ms();
    if (!push)
        return;
    lock_take(&push->lock);
    HASH_ITER(hh, push->queue.items, item, next) {
        int64_t age = now - item->times.first_ms;
        status->pending_files++;
        if (age > status->oldest_pending_ms)
            status->oldest_pending_ms = age;
    }
    memcpy(status->honours, push->caps, sizeof status->honours);
    lock_drop(&push->lock);
    db_begin(cache);
    sqlite3_stmt *row = db_query(cache, "SELECT sum(i.size) FROM todo t JOIN inode i ON i.ino = t.target WHERE t.kind = 1 AND i.dirty_ms != 0", "");
    if (db_step(cache, row)) {
        status->pending_bytes = (uint64_t)sqlite3_column_int64(row, 0);
        db_done(row);
    }
    db_commit(cache);
}

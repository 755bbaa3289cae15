#include "fs/node.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>

#define HASH_NONFATAL_OOM 1
#include <uthash.h>

#include "cache/cache.h" /* CACHE_ROOT */
#include "s3/base/lock.h"

#define SHARDS 16u /* so that workers rarely meet */

struct node {
    uint64_t ino;
    uint64_t lookups;
    uint64_t listed;   /* the directory's version at its last OPENDIR … */
    bool has_listed;   /* … if there was one */
    UT_hash_handle hh;
};

struct shard {
    struct lock lock;
    struct node *table; /* under lock */
};

struct nodes {
    atomic_size_t count;
    struct shard shards[SHARDS];
};

static struct shard *shard_of(struct nodes *nodes, uint64_t ino)
{
    return &nodes->shards[(ino * 0x9e3779b97f4a7c15u) >> 60];
}

static struct node *find(struct shard *shard, uint64_t ino) REQUIRES(shard->lock)
{
    struct node *node;
    HASH_FIND(hh, shard->table, &ino, sizeof ino, node);
    return node;
}

/* NULL: no memory. */
static struct node *make(struct nodes *nodes, struct shard *shard, uint64_t ino) REQUIRES(shard->lock)
{
    struct node *node = calloc(1, sizeof *node);
    if (!node)
        return NULL;
    node->ino = ino;
    HASH_ADD(hh, shard->table, ino, sizeof node->ino, node);
    /* uthash says so only by this: without memory the element is not in the table. */
    if (!node->hh.tbl) {
        free(node);
        return NULL;
    }
    atomic_fetch_add(&nodes->count, 1);
    return node;
}

struct nodes *node_table_new(void)
{
    struct nodes *nodes = calloc(1, sizeof *nodes);
    if (!nodes)
        return NULL;
    for (unsigned i = 0; i < SHARDS; i++)
        lock_init(&nodes->shards[i].lock, LOCK_NODE);
    return nodes;
}

void node_table_free(struct nodes *nodes)
{
    if (!nodes)
        return;
    for (unsigned i = 0; i < SHARDS; i++) {
        struct shard *shard = &nodes->shards[i];
        lock_take(&shard->lock);
        struct node *node = shard->table, *next;
        HASH_CLEAR(hh, shard->table);
        for (; node; node = next) {
            next = node->hh.next;
            free(node);
        }
        lock_drop(&shard->lock);
        lock_fini(&shard->lock);
    }
    free(nodes);
}

int node_look(struct nodes *nodes, uint64_t ino)
{
    struct shard *shard = shard_of(nodes, ino);
    lock_take(&shard->lock);
    struct node *node = find(shard, ino);
    if (!node)
        node = make(nodes, shard, ino);
    if (node)
        node->lookups++;
    lock_drop(&shard->lock);
    return node ? 0 : -ENOMEM;
}

bool node_forget(struct nodes *nodes, uint64_t ino, uint64_t lookups)
{
    struct shard *shard = shard_of(nodes, ino);
    bool gone = false;
    lock_take(&shard->lock);
    struct node *node = find(shard, ino);
    if (node) {
        node->lookups -= lookups < node->lookups ? lookups : node->lookups;
        gone = node->lookups == 0 && ino != CACHE_ROOT;
        if (gone) {
            HASH_DEL(shard->table, node);
            atomic_fetch_sub(&nodes->count, 1);
            free(node);
        }
    }
    lock_drop(&shard->lock);
    return gone;
}

bool node_known(struct nodes *nodes, uint64_t ino)
{
    if (ino == CACHE_ROOT)
        return true;
    struct shard *shard = shard_of(nodes, ino);
    lock_take(&shard->lock);
    bool known = find(shard, ino) != NULL;
    lock_drop(&shard->lock);
    return known;
}

size_t node_count(struct nodes *nodes)
{
    return atomic_load(&nodes->count);
}

bool node_listing_kept(struct nodes *nodes, uint64_t ino, uint64_t version)
{
    struct shard *shard = shard_of(nodes, ino);
    bool kept = false;
    lock_take(&shard->lock);
    struct node *node = find(shard, ino);
    /* The root is opened without ever being looked up. */
    if (!node && ino == CACHE_ROOT)
        node = make(nodes, shard, ino);
    if (node) {
        kept = node->has_listed && node->listed == version;
        node->listed = version;
        node->has_listed = true;
    }
    lock_drop(&shard->lock);
    return kept;
}

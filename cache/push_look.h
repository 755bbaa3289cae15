/*
 * cache/push_look.h: what the rows say of a key, as push_plan wants it. Everything is read in the caller's transaction, so
 * that the step, the row of its attempt and what it is based on are of one instant.
 */
#ifndef R2FS_CACHE_PUSH_LOOK_H
#define R2FS_CACHE_PUSH_LOOK_H

#include "cache/push_plan.h"
#include "cache/push_state.h"
#include "cache/remote.h"

struct push_look {
    struct push_facts facts;
    enum push_step step;
    char key[S3_KEY_MAX + 1];
    struct remote have;   /* the key's row; key NULL: none */
    struct remote source; /* the row of a key that holds the wanted bytes; key NULL: none */
    uint32_t mode;
};

/* The next step for an inode: of the first of its keys that can go on, else a waiting one, else PUSH_NOTHING. */
void push_look_inode_tx(struct push *push, uint64_t ino, struct push_look *look);
/* The next step for a key that lost its name: PUSH_NOTHING also where a name wants it again (facts.want says so). */
void push_look_gone_tx(struct push *push, const char *key, struct push_look *look);
/* What the step is to others, by promise 8. publish: see todo.h. */
enum push_class push_look_class(const struct push_look *look, bool publish);
void push_look_fini(struct push_look *look);
/* Ours, below .r2fs/: where an object is kept that must make room for another before its own place is free. */
bool push_look_is_aside(const struct cache *cache, const char *key);

#endif

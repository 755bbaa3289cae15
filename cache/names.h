/*
 * cache/names.h: answers to "what does this name stand for" that were asked before, in memory, bounded. Filled only by lookups, under
 * LOCK_DB; dropped by whoever changes the name, before the change is committed. Thread-safe.
 */
#ifndef R2FS_CACHE_NAMES_H
#define R2FS_CACHE_NAMES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "s3/base/lock.h"

struct names {
    struct lock lock; /* LOCK_BLOCK */
    struct names_entry *entries;
    unsigned count;
};
void names_init(struct names *names);
void names_fini(struct names *names);
bool names_get(struct names *names, uint64_t parent, const char *name, size_t length, uint64_t *ino); /* *ino 0: it is known that there is none */
void names_put(struct names *names, uint64_t parent, const char *name, size_t length, uint64_t ino);
void names_drop(struct names *names, uint64_t parent, const char *name, size_t length);

#endif

#include "cache/names.h"

#include <stdlib.h>
#include <string.h>
#include <uthash.h>

#define ENTRIES_MAX 16384
#define KEY_MAX (sizeof(uint64_t) + 256)

struct names_entry {
    uint64_t ino;
    UT_hash_handle hh;
    size_t key_length;
    char key[]; /* parent, name */
};

void names_init(struct names *names)
{
    lock_init(&names->lock, LOCK_BLOCK);
    names->entries = NULL;
    names->count = 0;
}

static void remove_entry(struct names *names, struct names_entry *entry)
{
    HASH_DEL(names->entries, entry);
    free(entry);
    names->count--;
}

void names_fini(struct names *names)
{
    struct names_entry *entry, *next;
    HASH_ITER(hh, names->entries, entry, next)
        remove_entry(names, entry);
    lock_fini(&names->lock);
}

/* 0: a name that is never kept. */
static size_t make_key(char key[KEY_MAX], uint64_t parent, const char *name, size_t length)
{
    if (length > KEY_MAX - sizeof parent)
        return 0;
    memcpy(key, &parent, sizeof parent);
    memcpy(key + sizeof parent, name, length);
    return sizeof parent + length;
}

static struct names_entry *find(struct names *names, const char *key, size_t key_length)
{
    struct names_entry *entry;
    HASH_FIND(hh, names->entries, key, key_length, entry);
    return entry;
}

bool names_get(struct names *names, uint64_t parent, const char *name, size_t length, uint64_t *ino)
{
    char key[KEY_MAX];
    size_t key_length = make_key(key, parent, name, length);
    lock_take(&names->lock);
    struct names_entry *entry = find(names, key, key_length);
    if (entry)
        *ino = entry->ino;
    lock_drop(&names->lock);
    return entry != NULL;
}

void names_put(struct names *names, uint64_t parent, const char *name, size_t length, uint64_t ino)
{
    char key[KEY_MAX];
    size_t key_length = make_key(key, parent, name, length);
    struct names_entry *entry = key_length ? malloc(sizeof *entry + key_length) : NULL;
    /* Without memory the next lookup asks the index again. */
    if (!entry)
        return;
    entry->ino = ino;
    entry->key_length = key_length;
    memcpy(entry->key, key, key_length);
    lock_take(&names->lock);
    struct names_entry *old = find(names, key, key_length);
    if (old)
        remove_entry(names, old);
    /* The hash keeps the order of insertion: its head is the oldest. */
    if (names->count >= ENTRIES_MAX)
        remove_entry(names, names->entries);
    HASH_ADD_KEYPTR(hh, names->entries, entry->key, entry->key_length, entry);
    names->count++;
    lock_drop(&names->lock);
}

void names_drop(struct names *names, uint64_t parent, const char *name, size_t length)
{
    char key[KEY_MAX];
    size_t key_length = make_key(key, parent, name, length);
    lock_take(&names->lock);
    struct names_entry *entry = find(names, key, key_length);
    if (entry)
        remove_entry(names, entry);
    lock_drop(&names->lock);
}

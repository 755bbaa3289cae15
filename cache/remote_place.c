#include "cache/remote_place.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "cache/db.h"
#include "cache/name.h"

#define SUFFIX ".r2fs-file"
#define TRIES 9

bool remote_is_directory_tx(struct cache *cache, uint64_t ino)
{
    struct inode *inode = ino ? inode_get_tx(cache, ino) : NULL;
    struct inode values;
    if (!inode)
        return false;
    inode_values_tx(cache, inode, &values);
    inode_put(cache, inode);
    return S_ISDIR(values.mode);
}

/* name.r2fs-file, or with a number behind it: the first that is free or already this owner's. */
static bool displaced_name(struct cache *cache, uint64_t parent, const char *name, size_t length, uint64_t owner,
                           struct remote_place *place)
{
    size_t kept = length < CACHE_NAME_MAX - sizeof SUFFIX - 1 ? length : CACHE_NAME_MAX - sizeof SUFFIX - 1;
    for (int i = 1; i <= TRIES; i++) {
        char number[8] = "";
        if (i > 1)
            snprintf(number, sizeof number, ".%d", i);
        place->length = (size_t)snprintf(place->name, sizeof place->name, "%.*s" SUFFIX "%s", (int)kept, name, number);
        place->ino = tree_child_tx(cache, parent, place->name, place->length);
        if (place->ino == 0 || (place->ino == owner && !remote_is_directory_tx(cache, owner)))
            return true;
    }
    return false;
}

/* A file has the name that a directory needs. */
static void move_aside(struct cache *cache, uint64_t parent, const char *name, size_t length, uint64_t ino, bool tell)
{
    struct remote_place to;
    if (displaced_name(cache, parent, name, length, ino, &to))
        tree_move_tx(cache, parent, name, length, parent, to.name, to.length, tell);
    else
        tree_remove_tx(cache, parent, name, length, tell);
}

/* Walks down to the directory that the name at last is in. 0: it is not there; a file in its way has been moved aside if make. */
static uint64_t walk(struct cache *cache, const char *relative, size_t last, bool make, bool tell)
{
    uint64_t parent = CACHE_ROOT;
    for (size_t at = 0; at < last;) {
        size_t length = strcspn(relative + at, "/");
        uint64_t child = tree_child_tx(cache, parent, relative + at, length);
        if (child && !remote_is_directory_tx(cache, child)) {
            if (make)
                move_aside(cache, parent, relative + at, length, child, tell);
            return 0;
        }
        if (!child)
            return 0;
        parent = child;
        at += length + 1;
    }
    return parent;
}

bool remote_place_tx(struct cache *cache, const char *key, uint64_t owner, bool make, bool tell, struct remote_place *place)
{
    const char *relative = name_relative(cache, key);
    size_t end = relative ? strlen(relative) : 0;
    if (end == 0)
        return false;
    bool directory = relative[end - 1] == '/';
    if (directory)
        end--;
    size_t last = end;
    while (last > 0 && relative[last - 1] != '/')
        last--;
    uint64_t parent = walk(cache, relative, last, make, tell);
    if (!parent && make) {
        char path[S3_KEY_MAX + 1];
        const char *name;
        size_t length = (size_t)(relative - key) + end;
        memcpy(path, key, length);
        path[length] = '\0';
        parent = tree_make_parents_tx(cache, path, tell, &name, &length);
    }
    if (!parent)
        return false;
    *place = (struct remote_place){ .parent = parent, .length = end - last };
    memcpy(place->name, relative + last, place->length);
    place->ino = tree_child_tx(cache, parent, place->name, place->length);
    bool is_directory = place->ino && remote_is_directory_tx(cache, place->ino);
    if (directory && place->ino && !is_directory) {
        if (!make)
            return false;
        move_aside(cache, parent, place->name, place->length, place->ino, tell);
        place->ino = 0;
    }
    if (!directory && is_directory)
        return displaced_name(cache, parent, relative + last, end - last, owner, place);
    return true;
}

void remote_place_back_tx(struct cache *cache, const char *key, bool tell)
{
    char file[S3_KEY_MAX + 1];
    size_t length = strlen(key);
    if (length < 2 || length > S3_KEY_MAX)
        return;
    memcpy(file, key, length - 1);
    file[length - 1] = '\0';
    struct remote row;
    if (!remote_get_tx(cache, file, &row))
        return;
    struct remote_place now, aside;
    if (row.ino && remote_place_tx(cache, file, row.ino, false, false, &now) && now.ino == 0 &&
        displaced_name(cache, now.parent, now.name, now.length, row.ino, &aside) && aside.ino == row.ino)
        tree_move_tx(cache, now.parent, aside.name, aside.length, now.parent, now.name, now.length, tell);
    remote_fini(&row);
}

struct search {
    struct cache *cache;
    struct buf *key;
    size_t directory; /* bytes of key up to its last name */
    bool found;
};

static bool is_hidden_here(void *arg, struct remote *row)
{
    struct search *search = arg;
    const char *slash = strrchr(row->key, '/');
    size_t directory = slash ? (size_t)(slash - row->key) + 1 : 0;
    char path[S3_KEY_MAX + 2];
    size_t length = strlen(row->key);
    if (!row->etag || directory != search->directory || memcmp(row->key, search->key->data, directory) != 0 || length > S3_KEY_MAX ||
        (length > 0 && row->key[length - 1] == '/'))
        return true;
    memcpy(path, row->key, length);
    memcpy(path + length, "/", 2);
    if (!tree_find_tx(search->cache, path))
        return true;
    buf_reset(search->key);
    buf_puts(search->key, row->key);
    search->found = true;
    return false;
}

void remote_place_key_tx(struct cache *cache, uint64_t ino, struct buf *key)
{
    const char *slash = key->data ? strrchr(key->data, '/') : NULL;
    struct search search = { .cache = cache, .key = key, .directory = slash ? (size_t)(slash - key->data) + 1 : 0 };
    if (key->data && strstr(key->data + search.directory, SUFFIX))
        remote_each_of_tx(cache, ino, is_hidden_here, &search);
}

uint64_t remote_place_hidden_tx(struct cache *cache, const char *key)
{
    struct remote row;
    if (!remote_get_tx(cache, key, &row))
        return 0;
    uint64_t ino = row.ino;
    bool present = row.etag != NULL;
    remote_fini(&row);
    struct remote_place place;
    return present && ino && remote_place_tx(cache, key, ino, false, false, &place) && place.ino == ino ? ino : 0;
}

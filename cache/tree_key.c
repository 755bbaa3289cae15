/*
 * Keys from dentries and back. A directory remembers its key in its struct inode until any directory moves, so that a key of
 * a file costs one row.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "cache/db.h"
#include "cache/name.h"
#include "cache/remote_place.h"
#include "cache/tree_internal.h"

#define KEY_BUFFER_MAX 65536 /* a tree may be deeper for a moment than keys can say: the caller compares with S3_KEY_MAX */

static void undone(struct cache *cache, void *arg, bool committed)
{
    (void)arg;
    if (!committed)
        cache->tree->key_generation++;
}

void tree_keys_changed_tx(struct cache *cache)
{
    cache->tree->key_generation++;
    db_settle(cache, undone, NULL);
}

static int append_name(struct cache *cache, uint64_t ino, struct buf *key, bool slash);

int tree_dir_key_tx(struct cache *cache, uint64_t ino, struct buf *key)
{
    if (ino == CACHE_ROOT) {
        const char *prefix = cache->config.prefix;
        buf_puts(key, prefix ? prefix : "");
        if (prefix && *prefix)
            buf_putc(key, '/');
        return key->failed ? -ENOMEM : 0;
    }
    struct inode *directory = inode_get_tx(cache, ino);
    if (!directory)
        return -ESTALE;
    int rc = 0;
    if (directory->key && directory->key_generation == cache->tree->key_generation) {
        buf_puts(key, directory->key);
        rc = key->failed ? -ENOMEM : 0;
    } else {
        size_t start = key->length;
        rc = append_name(cache, ino, key, true);
        if (!rc) {
            free(directory->key);
            directory->key = strdup(key->data + start);
            directory->key_generation = cache->tree->key_generation;
        }
    }
    inode_put(cache, directory);
    return rc;
}

static int append_name(struct cache *cache, uint64_t ino, struct buf *key, bool slash)
{
    char name[CACHE_NAME_MAX + 1];
    sqlite3_stmt *row = db_query(cache, "SELECT parent, name FROM dentry WHERE ino = ? ORDER BY parent, id LIMIT 1", "i", (int64_t)ino);
    if (!db_step(cache, row))
        return -ESTALE;
    uint64_t parent = (uint64_t)sqlite3_column_int64(row, 0);
    size_t length = (size_t)sqlite3_column_bytes(row, 1);
    if (length > CACHE_NAME_MAX)
        length = CACHE_NAME_MAX;
    memcpy(name, sqlite3_column_blob(row, 1), length);
    db_done(row);
    int rc = tree_dir_key_tx(cache, parent, key);
    if (rc)
        return rc;
    buf_append(key, name, length);
    if (slash)
        buf_putc(key, '/');
    return key->failed ? -ENOMEM : 0;
}

static bool is_directory(struct cache *cache, uint64_t ino)
{
    struct inode *inode = inode_get_tx(cache, ino);
    bool directory = inode && S_ISDIR(inode->mode);
    inode_put(cache, inode);
    return directory;
}

int tree_key_tx(struct cache *cache, uint64_t ino, struct buf *key)
{
    if (ino == CACHE_ROOT || is_directory(cache, ino))
        return tree_dir_key_tx(cache, ino, key);
    int rc = append_name(cache, ino, key, false);
    if (!rc)
        remote_place_key_tx(cache, ino, key);
    return rc;
}

/* A dentry, copied, so that each() may change the rows. */
struct place {
    uint64_t parent;
    size_t length;
    char name[CACHE_NAME_MAX + 1];
};

int tree_each_key_tx(struct cache *cache, uint64_t ino, bool (*each)(void *arg, const char *key, uint64_t parent, const char *name, size_t length), void *arg)
{
    struct place *places = NULL;
    size_t count = 0, capacity = 0;
    int rc = 0;
    sqlite3_stmt *row = db_query(cache, "SELECT parent, name FROM dentry WHERE ino = ? ORDER BY parent, id", "i", (int64_t)ino);
    while (db_step(cache, row)) {
        if (count == capacity) {
            size_t more = capacity ? capacity * 2 : 4;
            struct place *grown = realloc(places, more * sizeof *places);
            if (!grown) {
                db_done(row);
                rc = -ENOMEM;
                goto out;
            }
            places = grown;
            capacity = more;
        }
        struct place *place = &places[count++];
        place->parent = (uint64_t)sqlite3_column_int64(row, 0);
        place->length = (size_t)sqlite3_column_bytes(row, 1);
        if (place->length > CACHE_NAME_MAX)
            place->length = CACHE_NAME_MAX;
        memcpy(place->name, sqlite3_column_blob(row, 1), place->length);
        place->name[place->length] = '\0';
    }
    bool directory = count && is_directory(cache, ino);
    if (!count)
        rc = -ESTALE;
    for (size_t i = 0; i < count && !rc; i++) {
        struct buf key = BUF_INIT(KEY_BUFFER_MAX);
        rc = tree_dir_key_tx(cache, places[i].parent, &key);
        buf_append(&key, places[i].name, places[i].length);
        if (directory)
            buf_putc(&key, '/');
        if (!rc && key.failed)
            rc = -ENOMEM;
        if (!rc && !directory)
            remote_place_key_tx(cache, ino, &key);
        bool more = !rc && each(arg, key.data, places[i].parent, places[i].name, places[i].length);
        buf_fini(&key);
        if (!more)
            break;
    }
out:
    free(places);
    return rc;
}

/* Not so a file that shows under this name because a directory has its own. */
static bool has_own_key(struct cache *cache, uint64_t ino, const char *key)
{
    struct buf own = BUF_INIT(KEY_BUFFER_MAX);
    buf_puts(&own, key);
    remote_place_key_tx(cache, ino, &own);
    bool same = own.data && strcmp(own.data, key) == 0;
    buf_fini(&own);
    return same;
}

uint64_t tree_find_tx(struct cache *cache, const char *key)
{
    const char *at = name_relative(cache, key);
    uint64_t ino = CACHE_ROOT;
    bool directory = true;
    while (at && *at && ino) {
        size_t length = strcspn(at, "/");
        directory = at[length] == '/';
        ino = length ? tree_child_tx(cache, ino, at, length) : 0;
        at += length + directory;
    }
    if (!at || !ino)
        return 0;
    if (is_directory(cache, ino) != directory)
        return directory ? 0 : remote_place_hidden_tx(cache, key);
    return directory || has_own_key(cache, ino, key) ? ino : 0;
}

static uint64_t make_directory(struct cache *cache, uint64_t parent, const char *name, size_t length, bool tell)
{
    const struct cache_config *config = &cache->config;
    int64_t now = inode_now();
    struct inode model = { .mode = S_IFDIR | config->dir_mode, .uid = config->uid, .gid = config->gid, .mtime = now, .ctime = now, .atime = now, .known = true };
    struct inode *inode = inode_new_tx(cache, &model);
    if (!inode)
        return 0;
    uint64_t ino = inode->ino;
    tree_found_tx(cache, parent, name, length, inode, tell);
    inode_put(cache, inode);
    return ino;
}

uint64_t tree_make_parents_tx(struct cache *cache, const char *key, bool tell, const char **last_name, size_t *last_length)
{
    const char *at = name_relative(cache, key);
    uint64_t ino = at ? CACHE_ROOT : 0;
    while (ino) {
        size_t length = strcspn(at, "/");
        if (!at[length] || !at[length + 1]) {
            *last_name = at;
            *last_length = length;
            return ino;
        }
        uint64_t child = tree_child_tx(cache, ino, at, length);
        if (child && !is_directory(cache, child))
            return 0;
        ino = child ? child : make_directory(cache, ino, at, length, tell);
        at += length + 1;
    }
    return 0;
}

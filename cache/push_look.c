#include "cache/push_look.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "cache/db.h"
#include "cache/name.h"
#include "cache/push_attempt.h"

#define CHAIN_MAX 64 /* keys that wait for one another in a row: beyond, it is no cycle for us, and the order breaks it */

bool push_look_is_aside(const struct cache *cache, const char *key)
{
    const char *relative = name_relative(cache, key);
    return relative && strncmp(relative, PUSH_ASIDE_FOLDER, strlen(PUSH_ASIDE_FOLDER)) == 0;
}

/* ---- is a key the only source of another wanted path? ---- */

struct served {
    struct cache *cache;
    uint64_t ino;
    int64_t data_version;
    bool named, yes;
    uint64_t in_the_way; /* the inode whose object is still under a name of ino */
};

static bool look_at_name(void *arg, const char *key, uint64_t parent, const char *name, size_t length)
{
    struct served *served = arg;
    struct remote row = { 0 };
    (void)parent, (void)name, (void)length;
    served->named = true;
    if (remote_get_tx(served->cache, key, &row)) {
        if (row.etag && row.ino == served->ino && row.data_version >= served->data_version)
            served->yes = true;
        else if (row.etag && row.ino && row.ino != served->ino)
            served->in_the_way = row.ino;
        remote_fini(&row);
    }
    return !served->yes;
}

static bool look_aside(void *arg, struct remote *row)
{
    struct served *served = arg;
    if (row->etag && row->data_version >= served->data_version && push_look_is_aside(served->cache, row->key))
        served->yes = true;
    return !served->yes;
}

/* Has the inode names, none of which holds its bytes of this version or newer ones? */
static bool waits_for_bytes(struct cache *cache, uint64_t ino, int64_t data_version, bool count_aside, uint64_t *in_the_way)
{
    struct served served = { .cache = cache, .ino = ino, .data_version = data_version };
    tree_each_key_tx(cache, ino, look_at_name, &served);
    if (served.named && !served.yes && count_aside)
        remote_each_of_tx(cache, ino, look_aside, &served);
    if (in_the_way)
        *in_the_way = served.in_the_way;
    return served.named && !served.yes;
}

/* Follows who stands in whose way, from the inode that needs this key. The smallest inode of a cycle breaks it. */
static bool is_cycle(struct cache *cache, uint64_t needing, uint64_t wanted)
{
    uint64_t at = needing, least = wanted;
    for (int i = 0; i < CHAIN_MAX; i++) {
        uint64_t next = 0;
        if (!waits_for_bytes(cache, at, 0, false, &next) || !next)
            return false;
        if (at < least)
            least = at;
        if (next == wanted)
            return least == wanted;
        at = next;
    }
    return false;
}

static void look_needed(struct cache *cache, struct push_look *look)
{
    struct push_facts *f = &look->facts;
    if (!f->present || !f->have_ino || f->have_ino == f->ino || look->have.key[strlen(look->have.key) - 1] == '/')
        return;
    f->needed = waits_for_bytes(cache, f->have_ino, f->have_data_version, !push_look_is_aside(cache, look->key), NULL);
    if (f->needed && f->ino)
        f->cycle = is_cycle(cache, f->have_ino, f->ino);
}

/* ---- what a key holds, and where else the wanted bytes are ---- */

static void look_have(struct push *push, struct push_look *look)
{
    struct push_facts *f = &look->facts;
    f->busy = push_key_busy(push, look->key);
    f->unresolved = push_attempt_unresolved_tx(push->cache, look->key);
    if (!remote_get_tx(push->cache, look->key, &look->have))
        return;
    f->present = look->have.etag != NULL;
    f->have_ino = look->have.ino;
    f->have_size = look->have.size;
    f->have_data_version = look->have.data_version;
    f->have_meta_version = look->have.meta_version;
    f->have_headers = look->have.headers != NULL;
}

struct source_search {
    struct push_look *look;
};

static bool look_at_source(void *arg, struct remote *row)
{
    struct push_look *look = ((struct source_search *)arg)->look;
    if (!row->etag || row->data_version != look->facts.data_version || strcmp(row->key, look->key) == 0)
        return true;
    look->source = *row;
    *row = (struct remote){ 0 };
    return false;
}

static const char *extension(const char *key)
{
    const char *slash = strrchr(key, '/'), *name = slash ? slash + 1 : key, *dot = strrchr(name, '.');
    return dot ? dot : "";
}

/* Only a plain MD5 stays what it is when the object is copied, so only then can the copy be known again by its ETag. */
static bool is_md5(const char *etag)
{
    return strlen(etag) == 32 && strspn(etag, "0123456789abcdef") == 32;
}

static void look_source(struct push *push, struct push_look *look)
{
    struct source_search search = { .look = look };
    struct push_facts *f = &look->facts;
    if (f->want != PUSH_WANT_FILE || (f->have_ino == f->ino && f->have_data_version == f->data_version && f->present))
        return;
    remote_each_of_tx(push->cache, f->ino, look_at_source, &search);
    if (!look->source.key)
        return;
    bool as_is = look->source.meta_version == f->meta_version && is_md5(look->source.etag) &&
                 strcmp(extension(look->source.key), extension(look->key)) == 0;
    f->source = as_is ? PUSH_SOURCE_AS_IS : PUSH_SOURCE_REPLACE;
    f->source_headers = look->source.headers != NULL;
}

/* ---- an inode ---- */

static enum push_want want_of(struct cache *cache, const struct inode *values)
{
    switch (values->mode & S_IFMT) {
    case S_IFREG: return PUSH_WANT_FILE;
    case S_IFDIR:
        if (values->ino == CACHE_ROOT || (!values->explicit_object && tree_has_children_tx(cache, values->ino)))
            return PUSH_WANT_EITHER;
        return PUSH_WANT_DIRECTORY;
    default: return PUSH_WANT_BODYLESS;
    }
}

struct inode_search {
    struct push *push;
    struct push_facts want;
    const struct inode *values;
    struct push_look *found;
};

/* Changed, and changed back: the object carries what is wanted, whatever the number of changes. */
static void look_same_metadata(struct push_look *look, const struct inode *values)
{
    struct push_facts *f = &look->facts;
    if (values->known && f->present && f->have_ino == f->ino && f->have_data_version == f->data_version &&
        push_attempt_signed_as(look->have.nonce, values))
        f->have_meta_version = f->meta_version;
}

static bool waits(enum push_step step)
{
    return step == PUSH_WAIT_KEY || step == PUSH_WAIT_SOURCE;
}

static bool look_at_key(void *arg, const char *key, uint64_t parent, const char *name, size_t length)
{
    struct inode_search *search = arg;
    struct push_look look = { .facts = search->want, .mode = search->values->mode };
    (void)parent, (void)name, (void)length;
    snprintf(look.key, sizeof look.key, "%s", key);
    look_have(search->push, &look);
    /* The object of another directory that had this name says nothing good of this one. */
    if (look.facts.want == PUSH_WANT_EITHER && look.facts.present && look.facts.have_ino && look.facts.have_ino != look.facts.ino)
        look.facts.want = PUSH_WANT_DIRECTORY;
    look_same_metadata(&look, search->values);
    look_source(search->push, &look);
    look_needed(search->push->cache, &look);
    look.step = push_plan(&look.facts);
    if (look.step == PUSH_NOTHING || (search->found->step != PUSH_NOTHING && waits(look.step))) {
        push_look_fini(&look);
        return true;
    }
    /* Names that are not there yet come first: they wait for nothing, and others wait for them. */
    if (search->found->step != PUSH_NOTHING && !waits(search->found->step) && look.facts.present) {
        push_look_fini(&look);
        return true;
    }
    push_look_fini(search->found);
    *search->found = look;
    return waits(look.step) || look.facts.present;
}

enum push_class push_look_class(const struct push_look *look, bool publish)
{
    const struct push_facts *f = &look->facts;
    if (f->want == PUSH_WANT_NOTHING)
        return PUSH_REMOVE;
    return look->step != PUSH_ASIDE && (publish || f->present) ? PUSH_OVERWRITE : PUSH_CREATE;
}

void push_look_inode_tx(struct push *push, uint64_t ino, struct push_look *look)
{
    struct inode values;
    *look = (struct push_look){ .step = PUSH_NOTHING };
    struct inode *inode = inode_get_tx(push->cache, ino);
    if (!inode)
        return;
    inode_values_tx(push->cache, inode, &values);
    struct inode_search search = {
        .push = push, .values = &values, .found = look,
        .want = { .want = want_of(push->cache, &values), .ino = ino, .size = values.size,
                  .data_version = values.data_version,
                  .meta_version = values.known ? values.meta_version : REMOTE_META_UNKNOWN },
    };
    if (ino != CACHE_ROOT)
        tree_each_key_tx(push->cache, ino, look_at_key, &search);
    inode_put(push->cache, inode);
}

struct class_search {
    struct cache *cache;
    const struct inode *values;
    bool creates, overwrites;
};

static bool class_of_key(void *arg, const char *key, uint64_t parent, const char *name, size_t length)
{
    struct class_search *search = arg;
    const struct inode *values = search->values;
    struct remote row = { 0 };
    (void)parent, (void)name, (void)length;
    bool there = remote_get_tx(search->cache, key, &row) && row.etag;
    bool same = there && row.ino == values->ino && row.data_version == values->data_version && row.meta_version == values->meta_version;
    search->creates = search->creates || !there;
    search->overwrites = search->overwrites || (there && !same);
    remote_fini(&row);
    return !search->creates;
}

/* An inode that is to get one more name holds others back as a create does, until that is there; its overwrites are ordered by themselves then. */
enum push_class push_look_class_tx(struct cache *cache, uint64_t ino, bool publish)
{
    struct inode values, *inode = publish ? NULL : inode_get_tx(cache, ino);
    struct class_search search = { .cache = cache, .values = &values, .overwrites = publish };
    if (inode) {
        inode_values_tx(cache, inode, &values);
        tree_each_key_tx(cache, ino, class_of_key, &search);
        inode_put(cache, inode);
    }
    return search.overwrites && !search.creates ? PUSH_OVERWRITE : PUSH_CREATE;
}

/* ---- a key that lost its name ---- */

void push_look_gone_tx(struct push *push, const char *key, struct push_look *look)
{
    *look = (struct push_look){ .step = PUSH_NOTHING };
    snprintf(look->key, sizeof look->key, "%s", key);
    look->facts.ino = tree_find_tx(push->cache, key);
    if (look->facts.ino) {
        look->facts.want = PUSH_WANT_EITHER;
        return;
    }
    look_have(push, look);
    look_needed(push->cache, look);
    look->step = push_plan(&look->facts);
}

void push_look_fini(struct push_look *look)
{
    remote_fini(&look->have);
    remote_fini(&look->source);
}

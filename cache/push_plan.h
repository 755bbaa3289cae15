/*
 * cache/push_plan.h: the one next step that brings a key of the bucket nearer to what today's names want of it. A pure
 * function of the facts that push_look.c read in one transaction: the pusher works by state, so a step that was cut off
 * anywhere is simply decided again.
 */
#ifndef R2FS_CACHE_PUSH_PLAN_H
#define R2FS_CACHE_PUSH_PLAN_H

#include <stdbool.h>
#include <stdint.h>

#define PUSH_PUT_SINGLE_MAX (16u << 20) /* bytes: up to here one PUT of a snapshot, beyond multipart */

enum push_want {
    PUSH_WANT_NOTHING,   /* no name stands for this key */
    PUSH_WANT_FILE,
    PUSH_WANT_BODYLESS,  /* symlink, FIFO, socket, device: the whole object comes from the inode's row */
    PUSH_WANT_DIRECTORY, /* an object `dir/` */
    PUSH_WANT_EITHER,    /* a directory that needs no object of its own: one that is there stays */
};

enum push_copyable {
    PUSH_SOURCE_NONE,    /* no other key holds the wanted bytes */
    PUSH_SOURCE_AS_IS,   /* … and its metadata may be copied along: no header changes with the name */
    PUSH_SOURCE_REPLACE, /* … with metadata that must be written anew */
};

struct push_facts {
    /* what the key should hold */
    enum push_want want;
    uint64_t ino, size;
    int64_t data_version, meta_version;
    /* what it holds, as far as we know */
    bool present;
    uint64_t have_ino, have_size;
    int64_t have_data_version, have_meta_version;
    bool have_headers; /* what another client set on it is known, and can be kept */
    /* another key that holds what is wanted */
    enum push_copyable source;
    bool source_headers;
    /* what is going on */
    bool busy;         /* a request for this key is under way */
    bool unresolved;   /* one ended without an answer that says whether it took effect */
    bool needed;       /* this key is the only source of another wanted path */
    bool cycle;        /* … which in turn waits for this one */
};

enum push_step {
    PUSH_NOTHING,     /* the key is as it should be */
    PUSH_WAIT_KEY,    /* until the request under way has ended */
    PUSH_WAIT_SOURCE, /* until the path that needs this key as its source is served */
    PUSH_RESOLVE,     /* HEAD: what became of the last request */
    PUSH_ASIDE,       /* copy what the other path needs out of the way, so that this key may be overwritten (breaks a cycle) */
    PUSH_HEAD,        /* ask for the headers that a copy with new metadata must keep */
    PUSH_PUT,
    PUSH_MULTIPART,
    PUSH_COPY,        /* from another key, its metadata along */
    PUSH_COPY_REPLACE,/* from another key, with new metadata */
    PUSH_META,        /* a copy onto itself with new metadata */
    PUSH_DELETE,
};

enum push_step push_plan(const struct push_facts *facts);
const char *push_step_name(enum push_step step);

#endif

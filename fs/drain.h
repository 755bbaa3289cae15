/*
 * fs/drain.h: waiting until everything is in the bucket, in pieces that can be given up, and what is left otherwise.
 */
#ifndef R2FS_FS_DRAIN_H
#define R2FS_FS_DRAIN_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "cache/cache.h"

#define DRAIN_PIECE_MS 200

struct drain {
    /* Asked between two pieces. Returns the milliseconds that are left now (0: give up). May be called from the draining thread only. */
    int64_t (*left_ms)(void *arg);
    void *arg;

    /* Afterwards. */
    int rc;                 /* 0, -ETIMEDOUT, or the error of a permanent refusal */
    uint64_t files, bytes;  /* what is left */
    json_t *list;           /* [{"path", "bytes", "error"}], the first CTL_LEFT_MAX */
};

/* Blocks. Everything at and below ino. drain_fini is the caller's. */
void drain_run(struct drain *drain, struct cache *cache, uint64_t ino);
/* Adds left_files, left_bytes and left to an answer. 0 or -ENOMEM. */
int drain_describe(const struct drain *drain, json_t *answer);
void drain_fini(struct drain *drain);

#endif

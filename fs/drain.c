#include "fs/drain.h"

#include <errno.h>

#include "fs/ctl.h"

static void add_left(void *arg, const struct cache_pending *pending)
{
    struct drain *drain = arg;
    drain->files++;
    drain->bytes += pending->bytes;
    if (!drain->list || json_array_size(drain->list) >= CTL_LEFT_MAX)
        return;
    json_t *entry = json_pack("{s:o, s:I}", "path", ctl_string(pending->path), "bytes", (json_int_t)pending->bytes);
    if (entry && pending->reason[0])
        json_object_set_new(entry, "error", ctl_string(pending->reason));
    json_array_append_new(drain->list, entry);
}

void drain_run(struct drain *drain, struct cache *cache, uint64_t ino)
{
    drain->files = drain->bytes = 0;
    drain->list = json_array();
    int64_t since = 0;
    for (;;) {
        int64_t left = drain->left_ms(drain->arg);
        int piece = left > DRAIN_PIECE_MS ? DRAIN_PIECE_MS : left > 0 ? (int)left : 0;
        drain->rc = cache_drain_piece(cache, ino, &since, piece, NULL, NULL);
        if (drain->rc != -ETIMEDOUT || left <= DRAIN_PIECE_MS)
            break;
    }
    /* Not in each piece: there may be many. */
    if (drain->rc != 0)
        cache_drain_piece(cache, ino, &since, 0, add_left, drain);
    if (drain->rc == -ETIMEDOUT && drain->files == 0)
        drain->rc = 0;
}

int drain_describe(const struct drain *drain, json_t *answer)
{
    int rc = json_object_set_new(answer, "left_files", json_integer((json_int_t)drain->files));
    rc |= json_object_set_new(answer, "left_bytes", json_integer((json_int_t)drain->bytes));
    rc |= json_object_set(answer, "left", drain->list);
    return rc == 0 ? 0 : -ENOMEM;
}

void drain_fini(struct drain *drain)
{
    json_decref(drain->list);
    drain->list = NULL;
}

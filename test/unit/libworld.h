/*
 * test/unit/libworld.h: a whole cache over a bucket in memory, driven as programs drive it, with a count of requests and
 * faults at chosen ones. Paths are relative to the mount; functions that return nothing assert that they work.
 */
#ifndef R2FS_TEST_UNIT_LIBWORLD_H
#define R2FS_TEST_UNIT_LIBWORLD_H

#include "cache/internal.h"
#include "test/lib/membucket.h"

#define WORLD_PREFIX "p/w" /* of the mount; keys begin with "p/w/" */

struct world {
    struct membucket *bucket;
    struct membucket_client *client;
    char *folder;
    struct cache_config config; /* change it, then world_restart */
    struct cache *cache;
    struct lock lock;           /* LOCK_LOG: what follows */
    unsigned counts[S3_KIND_COUNT];      /* requests for keys of the user */
    unsigned probe_counts[S3_KIND_COUNT]; /* … below .r2fs/ */
    unsigned calls;             /* of the user's keys */
    /* the call with this number, 1…, gets action at phase; 0: none. S3_UNKNOWN is S3_TIMEOUT for a read. */
    unsigned fail_at;
    enum membucket_phase fail_phase;
    int fail_action;
    bool failed;                /* it came to that */
    const char *held;           /* changes of this path end with held_outcome, without effect; NULL: none */
    enum s3_outcome held_outcome;
};

struct world *world_new(void);     /* mounted on an empty bucket, write-back one hour: things move when drained */
void world_free(struct world *w);
void world_mount(struct world *w);
void world_unmount(struct world *w);
/* As after kill -9: the cache as it is on the disk now, opened by a new process on the same bucket. */
void world_crash(struct world *w);
void world_restart(struct world *w); /* unmounted and mounted */
void world_cold(struct world *w);    /* the same with an empty cache */

/* Everything in the bucket, within half a minute. */
void world_drain(struct world *w);
int world_try_drain(struct world *w, int timeout_ms);
void world_reset_counts(struct world *w);
bool world_failed(struct world *w); /* it came to the fault */
unsigned world_mutations(struct world *w); /* PUT, Copy, Delete, multipart */

uint64_t world_find(struct world *w, const char *path); /* 0: none */
int world_lookup(struct world *w, const char *path, struct cache_attr *attr); /* as a program would: waits for the bucket */
void world_write(struct world *w, const char *path, const char *text);  /* creates or replaces the content, closes */
void world_write_bytes(struct world *w, const char *path, const void *data, size_t size, uint64_t offset);
char *world_read(struct world *w, const char *path); /* the caller's; NULL: not there, or an error */
void world_mkdir(struct world *w, const char *path);
void world_symlink(struct world *w, const char *path, const char *target);
void world_link(struct world *w, const char *from, const char *to);
void world_unlink(struct world *w, const char *path);
void world_rmdir(struct world *w, const char *path);
void world_rename(struct world *w, const char *from, const char *to);
void world_exchange(struct world *w, const char *a, const char *b);
void world_chmod(struct world *w, const char *path, uint32_t mode);

void world_hold(struct world *w, const char *path, enum s3_outcome outcome); /* path NULL: no more */
struct cache_file *world_open(struct world *w, const char *path, int flags); /* creates it too */
void world_write_open(struct world *w, struct cache_file *file, const void *data, size_t size, uint64_t offset);
void world_close(struct world *w, struct cache_file *file);

int world_fsync(struct world *w, const char *path);
int world_fsync_ino(struct world *w, uint64_t ino);

bool world_appears(struct world *w, const char *path, const char *text, int timeout_ms); /* the object, with these bytes */
/* What the bucket holds under the path's key, the caller's; NULL: nothing. */
char *world_object(struct world *w, const char *path);
size_t world_objects(struct world *w); /* keys of the user */
void world_foreign(struct world *w, const char *path, const char *text); /* another client writes */

#endif

/*
 * fs/park.h: a request of the kernel, from its arrival to its one reply, also when it has to wait.
 *
 * An operation takes a call (park_begin), fills in its arguments and runs it (park_run). The step asks the cache. Mostly the
 * answer is there, the step replies, and the call is used again for the next request of that worker. When the cache says
 * CACHE_WAIT the call is parked and the worker goes on to the next request; when the cache wakes it, one of a few
 * threads runs the step again. A parked call ends in one of four ways, whichever comes first: the step replies; the cache wakes
 * it with an error; its program is interrupted (EINTR, within 100 ms; see signal.h); its time is over (ETIMEDOUT).
 *
 * How many are parked is bounded by the kernel: one for each thread that waits in a system call, and its own background
 * requests (max_background).
 */
#ifndef R2FS_FS_PARK_H
#define R2FS_FS_PARK_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fs/fs.h"

#define PARK_TIMEOUT_MS 300000        /* a request of any kind but … */
#define PARK_FSYNC_TIMEOUT_MS 3600000 /* … fsync, which may wait for the upload of a large file */

/* What a thread keeps for the answers it builds: see park_scratch. */
#define PARK_SCRATCH ((size_t)FS_IO_MAX + (512u << 10))

enum park_state { PARK_RUNNING, PARK_WAITING, PARK_READY };

struct call {
    struct cache_wait wait;
    struct fs *fs;
    fuse_req_t req;
    /*
     * Replies and returns 0; or returns CACHE_WAIT (from the cache, given &call->wait) or -errno, and park.c replies that.
     * May run several times, and then sees the same arguments.
     */
    int (*step)(struct call *call);

    /* Arguments, as each operation needs them. Text and data are borrowed from the request until the call is parked. */
    uint64_t ino, other;     /* the inode or parent; the second one of a link, rename or copy */
    const char *name, *text; /* a name; a second name, or a symlink's target */
    const void *data;        /* size bytes to write; NULL for others */
    size_t size;
    uint64_t offset, other_offset;
    uint32_t mode;           /* of what is made; of fallocate */
    uint64_t rdev;
    int flags;               /* open(2)'s, rename's, lseek's whence */
    bool plus, data_only;    /* READDIRPLUS; fdatasync */
    unsigned set;            /* CACHE_SET_ bits, with attr */
    struct cache_attr attr;
    struct fuse_file_info fi, other_fi;
    int timeout_ms;          /* park_begin sets PARK_TIMEOUT_MS */

    /* park.c's. */
    char *owned;             /* memory for the copies of borrowed arguments */
    bool listening;          /* the interrupt function is set */
    int64_t deadline_ms;     /* 0: never parked yet */
    int overdue;             /* what the program is told after that: -ETIMEDOUT */
    struct call *prev, *next;
    /* Under the park's lock from when the call first waits. */
    enum park_state state;
    bool woken;              /* the cache called wake() since the last step … */
    int error;               /* … with this */
    bool interrupted;        /* the kernel sent INTERRUPT; no second one comes */
};

struct park *park_new(struct fs *fs);
/* Ends what is parked (EIO to programs whose connection has gone anyway), then the threads. NULL is legal. Blocks until
 * the cache has woken what cannot be taken back. */
void park_free(struct park *park);

/* NULL: no memory, and the request is replied to. */
struct call *park_begin(struct fs *fs, fuse_req_t req, int (*step)(struct call *call));
/* Runs it; the call is not the caller's any more. */
void park_run(struct call *call);
/* The same on a thread of the park, for a step that waits long for the disk. Arguments must not be borrowed. */
void park_offload(struct call *call);

/* PARK_SCRATCH bytes of this thread's, to build an answer in; NULL: no memory. */
void *park_scratch(void);
/* A thread that called the functions above gives back what it holds; before it ends. */
void park_thread_end(void);

/* How many requests wait now. */
size_t park_count(struct park *park);

#endif

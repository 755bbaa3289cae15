/*
 * cache/cache.h: the local truth of one mount: the tree as programs see it, the bytes that are here, what the bucket
 * holds, and the threads that bring the two together (fetch, write-back, poll, evict).
 *
 * Waiting. No function here waits for the network unless its comment says "blocks". One that would need the network takes
 * a struct cache_wait, starts what is needed (once, however many ask for it), remembers the wait and returns CACHE_WAIT.
 * When the news is there, wake() is called exactly once, and the caller calls the same function again with the same
 * arguments (error 0), or gives the error to its program (error -errno). A result is written only when 0 is returned.
 * Calls may wait for the local disk; they hold no lock while they do that longer than one commit.
 *
 * Errors are -errno. Threads: every function may be called from any thread. Names are bytes without '/' and NUL, 1…255.
 *
 * What is acknowledged: a namespace operation is in the index (survives kill -9 of this process) when it returns 0; data
 * when cache_flush returns 0; all of it survives a power cut when cache_fsync returns 0.
 */
#ifndef R2FS_CACHE_CACHE_H
#define R2FS_CACHE_CACHE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <time.h>

#include "s3/s3.h"

#define CACHE_WAIT 1       /* see above */
#define CACHE_ROOT 1u      /* the inode number of the root directory */
#define CACHE_NAME_MAX 255

struct cache;
struct cache_file; /* an open file */

/* Embedded in the caller's request. Set wake before each call; the rest is the cache's. */
struct cache_wait {
    void (*wake)(struct cache_wait *wait, int error); /* runs on a cache thread without locks; must not block */
    struct cache_wait *next, **link;   /* in its queue */
    struct cache_wait *newer, **place; /* among all, oldest first */
    int64_t since_ms;
    void *queue;
};
/* Takes the wait back (an interrupted program): true when wake() has not been and will not be called. */
bool cache_wait_cancel(struct cache *cache, struct cache_wait *wait);

/* ---- news for the kernel ---- */

/*
 * Called after the commit that made them true, without locks, from any cache thread. Must not block and must not call the
 * cache: queue it. Only what others did is told (and what a conflict or a fetch changed behind the kernel's back); what a
 * program did through this interface is not.
 */
struct cache_events {
    void *arg;
    /* A name in this directory appeared, vanished, or stands for another inode. directory_gone: it was a directory, and it
     * is confirmed gone (only then may the kernel's entry for a directory be dropped). */
    void (*name)(void *arg, uint64_t parent, const char *name, size_t length, bool directory_gone);
    void (*attr)(void *arg, uint64_t ino);    /* attributes changed, content did not */
    void (*content)(void *arg, uint64_t ino); /* content and attributes changed; nobody has it open */
};

/* ---- opening ---- */

enum cache_on_conflict { CACHE_KEEP_BOTH, CACHE_OURS, CACHE_THEIRS };

struct cache_config {
    const struct s3_ops *ops;
    void *ops_ctx;
    const char *endpoint;    /* with bucket and prefix the identity of the cache; never shown with secrets */
    const char *bucket;
    const char *prefix;      /* "" or "a/b" without slashes at its ends */
    const char *cache_dir;   /* the folder that holds the spools of all mounts; made 0700 */
    bool read_only;
    uint64_t size_max;       /* bytes of cached data; 0: the smaller of 10 GiB and half of what is free */
    uint64_t free_min;       /* bytes to leave free on the file system; 0: the smaller of 1 GiB and 5 % */
    int write_back_ms;
    int dirty_age_max_ms;    /* a file that is never closed is pushed at least so often */
    int poll_ms;             /* 0: never */
    int poll_idle_ms;        /* 0: the poll never slows down */
    uint64_t keep_base_max;  /* bytes: a dirty file up to this size fetches its missing ranges at once */
    bool fsync_remote;
    enum cache_on_conflict on_conflict;
    uint32_t uid, gid;       /* of objects that carry none */
    uint32_t file_mode, dir_mode; /* permission bits of objects that carry none, umask taken off already */
    struct cache_events events;
};

/*
 * Opens or makes the spool (index, block files, ballast), takes its lock, repairs what a crash left; sends nothing.
 * 0; -EBUSY (another daemon owns it), -EACCES, -ENOSPC, -EUCLEAN (a damaged or unknown index), …; why: one sentence, at least 512 bytes.
 */
int cache_open(struct cache **cache, const struct cache_config *config, char *why, size_t why_size);
/*
 * Blocks: one listing proves that endpoint, key, bucket and prefix answer (at most timeout_ms; an empty prefix is fine).
 * Then starts the threads. On failure *error says what the server said, and the return value is s3_outcome_errno's.
 */
int cache_start(struct cache *cache, int timeout_ms, struct s3_error *error);
/* Every struct cache_file has been released. Ends every thread and wait (-ESHUTDOWN), keeps what is pending for the next mount, closes the index cleanly, frees. */
void cache_close(struct cache *cache);

const char *cache_spool(const struct cache *cache); /* the spool's folder, borrowed */
/* The folder that cache_open would use, made or not: its last part names the control socket of whoever has it open. The
 * caller's; NULL: no memory. */
char *cache_spool_path(const struct cache_config *config);

/* ---- attributes ---- */

struct cache_attr {
    uint64_t ino;
    uint64_t generation; /* with ino never used twice */
    uint32_t mode;       /* with type bits */
    uint32_t nlink, uid, gid;
    uint64_t rdev;       /* makedev() */
    uint64_t size;       /* directories: 4096 */
    uint64_t blocks;     /* of 512 bytes; what was not fetched counts as data */
    struct timespec atime, mtime, ctime;
};

/* Who asks. umask is applied by the kernel before us. */
struct cache_caller {
    uint32_t uid, gid;
};

enum {
    CACHE_SET_MODE = 1, CACHE_SET_UID = 2, CACHE_SET_GID = 4, CACHE_SET_SIZE = 8,
    CACHE_SET_ATIME = 16, CACHE_SET_MTIME = 32, CACHE_SET_ATIME_NOW = 64, CACHE_SET_MTIME_NOW = 128,
    CACHE_SET_CTIME = 256,
};

/* -ESTALE when no such inode (any more). Never waits; a directory asked for counts as in use for the poller. */
int cache_getattr(struct cache *cache, uint64_t ino, struct cache_attr *attr);
/* set: CACHE_SET_ bits, values in *to; file may be NULL. A change to what already stands changes nothing and costs no
 * request. CACHE_SET_SIZE may wait (a base to keep; space). Clears set-id bits as POSIX asks. *attr: as it is now. */
int cache_setattr(struct cache *cache, uint64_t ino, struct cache_file *file, unsigned set, const struct cache_attr *to,
                  struct cache_attr *attr, struct cache_wait *wait);

/* ---- names ---- */

int cache_lookup(struct cache *cache, uint64_t parent, const char *name, struct cache_attr *attr, struct cache_wait *wait);
/* The kernel forgot the inode. O(1); frees an unlinked inode that nobody has open. */
void cache_forget(struct cache *cache, uint64_t ino);

struct cache_dirent {
    uint64_t cookie;  /* pass the last one to go on behind it; small numbers, upwards, stable while names come and go */
    bool known;       /* false: attr holds only ino; the type is not known yet, a lookup will wait for it */
    uint16_t length;
    char name[CACHE_NAME_MAX + 1];
    struct cache_attr attr;
};
/* Up to capacity entries behind cookie (0: from the start), without . and ..; *count 0: the end. Waits until the directory
 * is listed. Starts fetching unknown metadata ahead of the walker. */
int cache_readdir(struct cache *cache, uint64_t ino, uint64_t cookie, struct cache_dirent *entries, size_t capacity,
                  size_t *count, struct cache_wait *wait);
/* The parent of a directory (the root's is itself). */
int cache_parent(struct cache *cache, uint64_t ino, uint64_t *parent);
/* Changes whenever a name in the directory comes, goes or changes: lets the kernel keep its copy of the listing. */
uint64_t cache_dir_version(struct cache *cache, uint64_t ino);

int cache_mkdir(struct cache *cache, uint64_t parent, const char *name, uint32_t mode, const struct cache_caller *caller,
                struct cache_attr *attr, struct cache_wait *wait);
/* Regular files, FIFOs, sockets, devices. */
int cache_mknod(struct cache *cache, uint64_t parent, const char *name, uint32_t mode, uint64_t rdev,
                const struct cache_caller *caller, struct cache_attr *attr, struct cache_wait *wait);
int cache_symlink(struct cache *cache, uint64_t parent, const char *name, const char *target,
                  const struct cache_caller *caller, struct cache_attr *attr, struct cache_wait *wait);
int cache_link(struct cache *cache, uint64_t ino, uint64_t parent, const char *name, struct cache_attr *attr,
               struct cache_wait *wait);
int cache_unlink(struct cache *cache, uint64_t parent, const char *name, struct cache_wait *wait);
int cache_rmdir(struct cache *cache, uint64_t parent, const char *name, struct cache_wait *wait);
/* flags: 0, RENAME_NOREPLACE, RENAME_EXCHANGE. -ENAMETOOLONG when a key below would pass 1,024 bytes. */
int cache_rename(struct cache *cache, uint64_t parent, const char *name, uint64_t new_parent, const char *new_name,
                 unsigned flags, struct cache_wait *wait);
/* The target is written with its NUL; at most PATH_MAX. */
int cache_readlink(struct cache *cache, uint64_t ino, char *target, size_t size, struct cache_wait *wait);

int cache_getxattr(struct cache *cache, uint64_t ino, const char *name, void *value, size_t size, size_t *length);
int cache_setxattr(struct cache *cache, uint64_t ino, const char *name, const void *value, size_t size, int flags);
int cache_listxattr(struct cache *cache, uint64_t ino, char *list, size_t size, size_t *length);
int cache_removexattr(struct cache *cache, uint64_t ino, const char *name);

/* ---- files ---- */

/* flags: open(2)'s access mode, O_TRUNC, O_APPEND. *keep: the content is the one at its last open, so the kernel's pages
 * are good. The handle keeps an unlinked inode alive. cache_create makes and opens in one commit; exclusive: -EEXIST when
 * the name is there, else an existing one is opened. */
int cache_open_file(struct cache *cache, uint64_t ino, int flags, struct cache_file **file, bool *keep,
                    struct cache_wait *wait);
int cache_create(struct cache *cache, uint64_t parent, const char *name, uint32_t mode, int flags,
                 const struct cache_caller *caller, struct cache_attr *attr, struct cache_file **file, struct cache_wait *wait);
/* An unnamed file (O_TMPFILE) in this directory's file system. */
int cache_tmpfile(struct cache *cache, uint64_t parent, uint32_t mode, int flags, const struct cache_caller *caller,
                  struct cache_attr *attr, struct cache_file **file);
void cache_release(struct cache *cache, struct cache_file *file); /* never waits; commits what is not yet */

/* *got < size only at the end of the file. Waits for missing ranges; -ESTALE when their version is lost. */
int cache_read(struct cache *cache, struct cache_file *file, void *buffer, size_t size, uint64_t offset, size_t *got,
               struct cache_wait *wait);
/* All or nothing. append: at the end, whatever offset says. Waits when dirty data fills the cache (wake with -ENOSPC after
 * 30 s without progress); the first write to a file up to keep_base_max starts fetching its other bytes, and does not wait for them. -ENOSPC at once when the disk is full; -EROFS, -EDQUOT when the
 * bucket refuses us for good. file may be NULL for the kernel's own write-back of a mapping: then ino says which. */
int cache_write(struct cache *cache, uint64_t ino, struct cache_file *file, const void *data, size_t size, uint64_t offset,
                bool append, struct cache_wait *wait);
int cache_flush(struct cache *cache, struct cache_file *file);
/* Local: blocks for the disk only. With fsync_remote it waits until the bucket has it: -ESTALE once after a conflict. */
int cache_fsync(struct cache *cache, uint64_t ino, bool data_only, struct cache_wait *wait);
/* FALLOC_FL_ modes 0, KEEP_SIZE, PUNCH_HOLE|KEEP_SIZE, ZERO_RANGE; others -EOPNOTSUPP. */
int cache_fallocate(struct cache *cache, struct cache_file *file, int mode, uint64_t offset, uint64_t length,
                    struct cache_wait *wait);
int cache_seek(struct cache *cache, struct cache_file *file, uint64_t offset, int whence, uint64_t *result);
/* At most 16 MiB a call; *copied may be short. */
int cache_copy_range(struct cache *cache, struct cache_file *from, uint64_t from_offset, struct cache_file *to,
                     uint64_t to_offset, uint64_t length, uint64_t *copied, struct cache_wait *wait);
uint64_t cache_file_ino(const struct cache_file *file);

struct cache_statfs {
    uint64_t bytes_free; /* what the cache's disk can still take */
    uint64_t files;
};
int cache_statfs(struct cache *cache, struct cache_statfs *result);

/* ---- steering, by the control socket ---- */

/* One thing that is not in the bucket. */
struct cache_pending {
    const char *path;   /* relative to the mount, borrowed during the call */
    uint64_t bytes;
    int64_t age_ms;     /* since it became dirty */
    const char *reason; /* the last error, or "" */
};
/*
 * Blocks until everything at and below ino is in the bucket, or until timeout_ms (-1: none): 0, -ETIMEDOUT, or the error of a
 * permanent refusal. each, when not NULL, is then called for what is left. conflicts (may be NULL): how many names were
 * kept as both since the call began.
 */
int cache_drain(struct cache *cache, uint64_t ino, int timeout_ms, void (*each)(void *arg, const struct cache_pending *pending),
                void *arg, unsigned *conflicts);
/* The same in pieces, so that the caller can give up between two: *since is 0 for the first one, and then keeps what "everything"
 * meant when it began. What is written later is not waited for. */
int cache_drain_piece(struct cache *cache, uint64_t ino, int64_t *since, int timeout_ms,
                      void (*each)(void *arg, const struct cache_pending *pending), void *arg);
/* Listings are forgotten (the next look lists again) and every pending upload starts now. Does not block. */
void cache_expire(struct cache *cache);
/* The machine was resumed, perhaps twice: new instance id, sockets dead, caches stale. Does not block. */
void cache_resumed(struct cache *cache);
/* Relative path -> inode, from what is known; -ENOENT. For the control socket. */
int cache_find(struct cache *cache, const char *path, uint64_t *ino);

struct cache_status {
    uint64_t pending_files, pending_bytes;
    int64_t oldest_pending_ms;  /* age; 0: none */
    int64_t last_poll_ms;       /* when the last complete poll ended, wall clock; 0: never */
    uint64_t cache_bytes, cache_limit;
    uint64_t conflicts;         /* since the mount */
    char read_only_reason[128]; /* "" or why new writes are refused */
    char last_error[384];       /* newest, one sentence; "" */
    int64_t last_error_ms;
    struct s3_stats s3;
    enum s3_cap_state honours[S3_CAP_COUNT];
    uint64_t commits;           /* SQLite transactions committed, syncs done */
    uint64_t syncs;
    uint64_t blocked_names;     /* keys that no path can show */
};
void cache_get_status(struct cache *cache, struct cache_status *status);

#endif

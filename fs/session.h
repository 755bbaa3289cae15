/*
 * fs/session.h: the connection to the kernel: the mount itself, what INIT agrees on, and the workers that take requests.
 */
#ifndef R2FS_FS_SESSION_H
#define R2FS_FS_SESSION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "fs/fs.h"

#define SESSION_OPCODES 64

struct session;

struct session_config {
    const char *mountpoint; /* absolute */
    const char *name;       /* the file system's, first column of mount(8) */
    bool allow_other;
    unsigned long flags;    /* MS_RDONLY, MS_NOEXEC, …; MS_NOSUID and MS_NODEV are always set */
    /* Called once, on a thread of the session, when the kernel has ended it (an unmount, an abort). */
    void (*ended)(void *arg);
    void *arg;
};

/*
 * Mounts, starts the workers and waits for INIT: then the mount is usable. fs must be started. 0, or -errno with a sentence in
 * why (at least 512 bytes): -ENODEV and -ENOENT: no /dev/fuse; -EPERM, -EBUSY, -EACCES, …
 */
int session_open(struct session **session, struct fs *fs, const struct session_config *config, char *why, size_t why_size);
dev_t session_dev(const struct session *session);
struct fuse_session *session_fuse(struct session *session);
bool session_ended(struct session *session);
/* Ends the connection now, whoever uses it, while the mount is still at its place; the workers then end. SIGUSR1 is ours for that. */
void session_abort(struct session *session);
/* Joins the workers: the session must have ended, or been aborted. */
void session_join(struct session *session);
/* After fs_stop: libfuse's memory. NULL is legal. */
void session_close(struct session *session);

/* What INIT agreed on, for people: "kernel 7.38, libfuse 3.14, async_read parallel_dirops …". */
const char *session_features(const struct session *session);
/* Requests of this kind so far; the name of a kind in lower case ("lookup"), NULL when there is none of this number. */
uint64_t session_requests(const struct session *session, unsigned opcode);
const char *session_opcode_name(unsigned opcode);

#endif

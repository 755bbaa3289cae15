/*
 * fs/daemon.h: the process behind one mount, from its start to the last upload. main.c starts it; control.c answers its
 * control socket.
 *
 * Life. MOUNTED until SIGTERM, or until somebody unmounts; then a thread winds down: drains, takes the mount away where that
 * is ours to do, waits for the kernel's last requests, drains what they left. The main thread only watches for signals, the
 * end of the session and a resume of the machine, so that a second SIGTERM always works.
 */
#ifndef R2FS_FS_DAEMON_H
#define R2FS_FS_DAEMON_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "cache/cache.h"
#include "fs/conf.h"
#include "fs/ctl.h"
#include "fs/drain.h"
#include "fs/fs.h"
#include "fs/report.h"
#include "s3/base/lock.h"
#include "s3/s3.h"

struct daemon {
    const struct conf *conf;
    struct report *report;
    struct s3 *s3;
    struct cache *cache;
    struct fs fs;
    struct session *session;
    struct ctl *ctl;
    char *spool;       /* the cache's folder, also when it is closed */
    int wake_fd;       /* readable: the main thread shall look at what changed */
    pthread_t winder;
    bool winding;      /* the main thread's: winder runs */

    struct lock lock;  /* rank LOCK_NODE; never held while the cache or the session is called */
    pthread_cond_t changed;
    /* Under lock: */
    unsigned users;    /* threads inside daemon_enter and daemon_leave */
    bool closing;      /* the cache takes no new user */
    bool unmounted;    /* the kernel sends nothing more */
    bool stopping;     /* SIGTERM came: drain until stop_ms … */
    int64_t stop_ms;   /* … of clock_mono_ms */
    bool released;     /* a new mount of this cache asks us to end now */
    unsigned waiters;  /* of `drain`, on the control socket */
    int64_t grace_ms;  /* how long they want us to drain after the unmount; from then on, until when */
    bool done;         /* drained: `drain` says what is left */
    struct drain drain;
};

/* Serves the mount until its end. Returns the exit code. */
int daemon_serve(const struct conf *conf, struct report *report);

/* For other threads than the main one: the cache, or NULL when it is closed; daemon_leave when not NULL. */
struct cache *daemon_enter(struct daemon *daemon);
void daemon_leave(struct daemon *daemon);

/* Credentials are read again. 0, or -errno with a sentence. */
int daemon_reload(struct daemon *daemon, struct conf_error *error);

extern const struct ctl_op control_ops[]; /* ctx is a struct daemon */

#endif

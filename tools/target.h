/*
 * tools/target.h: which mount a PATH is on, from /proc/self/mountinfo (proc(5)), without asking the mount itself, which may
 * be dead.
 */
#ifndef R2FS_TOOLS_TARGET_H
#define R2FS_TOOLS_TARGET_H

#include <stdbool.h>
#include <sys/types.h>

#include "fs/ctl.h"

struct target {
    char *mountpoint;
    char *source;
    char *below;  /* PATH relative to the root of the file system: "" or "a/b" */
    bool is_r2fs;
    bool is_trigger; /* autofs: stands where something is to be mounted (x-systemd.automount) */
    dev_t dev;
    uid_t user;   /* who mounted it */
};

/*
 * The mount that path (relative to the working directory) is on. follow: symlinks in the path are resolved, also on the
 * mount, which may block; without it only when the path as typed is on no r2fs mount. 0, -ENOENT (with follow: no
 * such path) or -errno.
 */
int target_find(struct target *target, const char *path, bool follow);
/* The topmost mount whose mount point is exactly this absolute path: 0, or -ENOENT. */
int target_at(struct target *target, const char *path);
void target_fini(struct target *target);

/* Connects to its daemon. 0, or -errno having said what is wrong, for exit code EXIT_MOUNT_FAILED. */
int target_connect(const struct target *target, struct ctl_client **client);
/* Finds path's r2fs mount and connects to it; says what is wrong otherwise. */
int target_open(struct target *target, struct ctl_client **client, const char *path, bool follow);

/* Says on stderr what the answer to a flush or drain says: what is left and where it is kept, or else its error; and
 * conflicts. Its exit code. */
int target_report(const json_t *answer);

/* From now on SIGINT, SIGTERM and SIGHUP print this sentence and end the process with EXIT_INTERRUPTED. sentence must be static. */
void target_interruptible(const char *sentence);

#endif

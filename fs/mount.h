/*
 * fs/mount.h: a mount from its beginning to its end, as the command runs it.
 */
#ifndef R2FS_FS_MOUNT_H
#define R2FS_FS_MOUNT_H

#include "fs/conf.h"

/*
 * Mounts conf (complete, of CONF_MOUNT) on conf->path, a directory that the caller has checked. Unless conf->foreground it forks
 * before any thread, and the calling process returns once the mount is usable or has failed; in the foreground it returns
 * after the unmount and its drain. argv is the process's own, kept as typed for ps.
 *
 * Returns the exit code of fs/explain.h and has said on stderr, in one sentence, what failed. The process must have no
 * thread yet.
 */
int mount_run(const struct conf *conf, char *const argv[]);

#endif

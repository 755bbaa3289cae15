/*
 * fs/mountpoint.h: the place where a mount hangs: what lies there, and taking it away. None of these functions touches the
 * file system that is mounted there (which may be our own, or dead) but mountpoint_prepare.
 */
#ifndef R2FS_FS_MOUNTPOINT_H
#define R2FS_FS_MOUNTPOINT_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#define MOUNTPOINT_TYPE "fuse.r2fs"

/*
 * Before mounting on path (absolute): clears a dead mount of ours ("Transport endpoint is not connected") away, refuses a
 * living one. 0, or -EBUSY, -ENOENT, -ENOTDIR, …; why: one sentence.
 */
int mountpoint_prepare(const char *path, char *why, size_t why_size);

/* st_dev of the topmost mount of ours at path, from the kernel's table; false: there is none. */
bool mountpoint_find(const char *path, dev_t *dev);

/* Ends the connection: every request on it fails at once. For the owner of the mount and root. 0 or -errno. */
int mountpoint_abort(dev_t dev);

/*
 * Takes the mount away, by umount2(2) or, without the right to, fusermount3. lazy: also when it is in use; those who use
 * it keep it. 0 or -errno (-EBUSY).
 */
int mountpoint_remove(const char *path, bool lazy);

/* Larger read-ahead, and a share of dirty pages with which writers of mappings do not crawl. What is refused is left as it is. */
void mountpoint_tune(dev_t dev);

#endif

/*
 * fs/mountpoint.h: the place where a mount hangs: what lies there, and taking it away. None of these functions asks the
 * file system that is mounted there, which may be our own, or dead.
 */
#ifndef R2FS_FS_MOUNTPOINT_H
#define R2FS_FS_MOUNTPOINT_H

#include <stdbool.h>
#include <sys/types.h>

#define MOUNTPOINT_TYPE "fuse.r2fs"

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

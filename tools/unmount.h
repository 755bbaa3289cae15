/*
 * tools/unmount.h: taking a mount down, as root by umount2(2), else by fusermount3(1).
 */
#ifndef R2FS_TOOLS_UNMOUNT_H
#define R2FS_TOOLS_UNMOUNT_H

enum unmount_how {
    UNMOUNT_PLAIN,
    UNMOUNT_LAZY,  /* MNT_DETACH */
    UNMOUNT_FORCE, /* aborts the connection, so that nobody hangs, then detaches; root only, else lazy */
};

/* 0 or -errno (-EBUSY). May block while the daemon answers what the kernel still asks. */
int unmount(const char *mountpoint, enum unmount_how how);

#endif

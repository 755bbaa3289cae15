#include "tools/unmount.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

/* fusermount3 says in words what umount2 says in errno; only whether it says busy matters here. */
static int read_reason(int fd)
{
    char text[512];
    size_t length = 0;
    ssize_t n;

    while ((n = read(fd, text + length, sizeof text - 1 - length)) > 0 || (n < 0 && errno == EINTR))
        length += n > 0 ? (size_t)n : 0;
    text[length] = '\0';
    return strstr(text, "busy") ? -EBUSY : -EPERM;
}

static int by_fusermount(const char *mountpoint, bool lazy)
{
    int fds[2], status = 0, r;
    pid_t pid;

    if (pipe2(fds, O_CLOEXEC))
        return -errno;
    pid = fork();
    if (pid < 0) {
        r = -errno;
        close(fds[0]);
        close(fds[1]);
        return r;
    }
    if (pid == 0) {
        /* Its words are compared with English ones. */
        setenv("LC_ALL", "C", 1);
        dup2(fds[1], STDERR_FILENO);
        execlp("fusermount3", "fusermount3", lazy ? "-uz" : "-u", "--", mountpoint, (char *)NULL);
        _exit(127);
    }
    close(fds[1]);
    r = read_reason(fds[0]);
    close(fds[0]);
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        continue;
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
        return 0;
    return WIFEXITED(status) && WEXITSTATUS(status) == 127 ? -ENOENT : r;
}

int unmount(const char *mountpoint, enum unmount_how how)
{
    if (geteuid() != 0)
        return by_fusermount(mountpoint, how != UNMOUNT_PLAIN);
    /* It says EBUSY, but has ended every request by then. */
    if (how == UNMOUNT_FORCE && !umount2(mountpoint, MNT_FORCE | UMOUNT_NOFOLLOW))
        return 0;
    return umount2(mountpoint, (how == UNMOUNT_PLAIN ? 0 : MNT_DETACH) | UMOUNT_NOFOLLOW) ? -errno : 0;
}

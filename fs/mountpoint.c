#include "fs/mountpoint.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#include "s3/base/log.h"

/* The kernel writes blank, tab, newline and backslash of a path as \ooo. */
static void unescape(char *text)
{
    char *to = text;
    for (const char *from = text; *from; from++) {
        unsigned value;
        if (from[0] == '\\' && sscanf(from + 1, "%3o", &value) == 1) {
            *to++ = (char)value;
            from += 3;
        } else {
            *to++ = *from;
        }
    }
    *to = '\0';
}

bool mountpoint_find(const char *path, dev_t *dev)
{
    FILE *table = fopen("/proc/self/mountinfo", "re");
    char *line = NULL;
    size_t capacity = 0;
    bool found = false;
    if (!table)
        return false;
    /* Mounts on one place stand in the order in which they came: the last one is on top. */
    while (getline(&line, &capacity, table) > 0) {
        unsigned major_number, minor_number;
        int at = 0;
        if (sscanf(line, "%*d %*d %u:%u %*s %n", &major_number, &minor_number, &at) < 2 || at == 0)
            continue;
        char *place = line + at, *end = strchr(place, ' '), *type = strstr(place, " - ");
        if (!end || !type)
            continue;
        *end = '\0';
        unescape(place);
        if (strcmp(place, path) != 0)
            continue;
        type += 3;
        found = strncmp(type, MOUNTPOINT_TYPE " ", sizeof MOUNTPOINT_TYPE) == 0;
        *dev = makedev(major_number, minor_number);
    }
    free(line);
    fclose(table);
    return found;
}

static int write_line(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    int rc = write(fd, text, strlen(text)) < 0 ? -errno : 0;
    close(fd);
    return rc;
}

int mountpoint_abort(dev_t dev)
{
    char path[64];
    snprintf(path, sizeof path, "/sys/fs/fuse/connections/%u/abort", minor(dev));
    return write_line(path, "1");
}

/* As fusermount3 does it for those who may not: it is set-uid, and checks that the mount is the caller's. */
static int remove_by_helper(const char *path, bool lazy)
{
    char helper[] = "fusermount3", unmount[] = "-u", quiet[] = "-q", detach[] = "-z", end[] = "--";
    char *argv[7] = { helper, unmount, quiet };
    size_t count = 3;
    if (lazy)
        argv[count++] = detach;
    argv[count++] = end;
    argv[count] = (char *)(uintptr_t)path; /* exec takes char *, and changes nothing */
    posix_spawnattr_t attr;
    sigset_t none;
    pid_t pid;
    int status;
    sigemptyset(&none);
    posix_spawnattr_init(&attr);
    /* Our own threads block every signal. */
    posix_spawnattr_setsigmask(&attr, &none);
    posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGMASK);
    int rc = posix_spawnp(&pid, argv[0], NULL, &attr, argv, environ);
    posix_spawnattr_destroy(&attr);
    if (rc != 0)
        return -EPERM;
    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR)
            return -errno;
    return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : -EBUSY;
}

int mountpoint_remove(const char *path, bool lazy)
{
    if (umount2(path, UMOUNT_NOFOLLOW | (lazy ? MNT_DETACH : 0)) == 0)
        return 0;
    return errno == EPERM ? remove_by_helper(path, lazy) : -errno;
}

void mountpoint_tune(dev_t dev)
{
    char path[64];
    snprintf(path, sizeof path, "/sys/class/bdi/%u:%u/read_ahead_kb", major(dev), minor(dev));
    int rc = write_line(path, "1024");
    /* Without it the kernel allows a FUSE mount one percent of the dirty pages, with a strict limit. */
    snprintf(path, sizeof path, "/sys/class/bdi/%u:%u/max_ratio", major(dev), minor(dev));
    int rc_ratio = write_line(path, "20");
    if (rc != 0 || rc_ratio != 0)
        log_info("The mount's read-ahead and share of dirty pages stay as the kernel set them: %s.", strerror(rc != 0 ? -rc : -rc_ratio));
}

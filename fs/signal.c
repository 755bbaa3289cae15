#include "fs/signal.h"

#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static uint64_t bit(int number)
{
    return UINT64_C(1) << (number - 1);
}

/* A mask of /proc/PID/status: 16 hex digits behind "NAME:\t". */
static bool mask(const char *status, const char *name, uint64_t *value)
{
    const char *line = strstr(status, name);
    if (!line)
        return false;
    *value = strtoull(line + strlen(name), NULL, 16);
    return true;
}

bool signal_wants_out(pid_t tid)
{
    char path[32], status[4096];
    uint64_t own, shared, blocked, ignored, caught;
    if (tid <= 0)
        return true;
    snprintf(path, sizeof path, "/proc/%d/status", (int)tid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return true;
    ssize_t length = read(fd, status, sizeof status - 1);
    close(fd);
    if (length <= 0)
        return true;
    status[length] = '\0';
    if (!mask(status, "\nSigPnd:", &own) || !mask(status, "\nShdPnd:", &shared) || !mask(status, "\nSigBlk:", &blocked) ||
        !mask(status, "\nSigIgn:", &ignored) || !mask(status, "\nSigCgt:", &caught))
        return true;

    uint64_t pending = (own | shared) & ~blocked & ~ignored;
    uint64_t stop = bit(SIGINT) | bit(SIGTERM) | bit(SIGQUIT) | bit(SIGHUP);
    /* By default these end nothing: they are dropped, or stop the program, which may go on later. */
    uint64_t harmless = bit(SIGCHLD) | bit(SIGURG) | bit(SIGWINCH) | bit(SIGCONT) | bit(SIGSTOP) | bit(SIGTSTP) | bit(SIGTTIN) |
                        bit(SIGTTOU);
    return (pending & caught & stop) != 0 || (pending & ~caught & ~harmless) != 0;
}

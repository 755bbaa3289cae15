#include "fs/resume.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <string.h>
#include <sys/timerfd.h>
#include <unistd.h>

#define SANDBOX_ID "/run/e2b/.E2B_SANDBOX_ID"

/* "" where there is none. */
static void read_sandbox(char *id, size_t size)
{
    int fd = open(SANDBOX_ID, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    ssize_t length = fd < 0 ? 0 : read(fd, id, size - 1);
    if (fd >= 0)
        close(fd);
    id[length > 0 ? length : 0] = '\0';
    id[strcspn(id, "\n")] = '\0';
}

/* The time itself does not matter: a timer that is cancelled by a step of the clock. */
static void arm(int fd)
{
    struct itimerspec far = { .it_value.tv_sec = (time_t)1 << 33 };
    timerfd_settime(fd, TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET, &far, NULL);
}

void resume_init(struct resume *resume)
{
    resume->fd = timerfd_create(CLOCK_REALTIME, TFD_CLOEXEC | TFD_NONBLOCK);
    if (resume->fd >= 0)
        arm(resume->fd);
    read_sandbox(resume->sandbox, sizeof resume->sandbox);
}

void resume_fini(struct resume *resume)
{
    if (resume->fd >= 0)
        close(resume->fd);
    resume->fd = -1;
}

bool resume_check(struct resume *resume)
{
    char sandbox[sizeof resume->sandbox];
    uint64_t count;
    bool stepped = resume->fd >= 0 && read(resume->fd, &count, sizeof count) < 0 && errno == ECANCELED;
    if (stepped)
        arm(resume->fd);
    read_sandbox(sandbox, sizeof sandbox);
    /* The file is not there for a moment while it is written anew. */
    bool other = sandbox[0] != '\0' && strcmp(sandbox, resume->sandbox) != 0;
    if (other)
        memcpy(resume->sandbox, sandbox, sizeof sandbox);
    return stepped || other;
}

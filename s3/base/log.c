#include "s3/base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#include "s3/base/lock.h"

#define LINE_MAX_BYTES 2048 /* a longer line is cut */

static struct lock sink_lock = LOCK_INIT(LOCK_LOG);
static int sink_fd = STDERR_FILENO;
static bool sink_syslog;
static atomic_int threshold = LOG_LEVEL_NOTICE;

static void close_sink(void)
{
    if (sink_syslog)
        closelog();
    if (sink_fd > STDERR_FILENO)
        close(sink_fd);
    sink_syslog = false;
    sink_fd = STDERR_FILENO;
}

int log_open(const char *path, int foreground, enum log_level level)
{
    int fd = STDERR_FILENO;
    if (path) {
        fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_NOFOLLOW | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0600);
        if (fd < 0)
            return -errno;
        struct stat st;
        /* A FIFO under that name would lose lines, or block every thread that has something to say. */
        if (fstat(fd, &st) || !(S_ISREG(st.st_mode) || S_ISCHR(st.st_mode))) {
            close(fd);
            return -EINVAL;
        }
    }
    lock_take(&sink_lock);
    close_sink();
    sink_fd = fd;
    sink_syslog = !path && !foreground;
    if (sink_syslog)
        openlog("r2fs", LOG_PID | LOG_NDELAY, LOG_DAEMON);
    lock_drop(&sink_lock);
    atomic_store(&threshold, (int)level);
    return 0;
}

void log_close(void)
{
    lock_take(&sink_lock);
    close_sink();
    lock_drop(&sink_lock);
}

enum log_level log_get_level(void)
{
    return (enum log_level)atomic_load_explicit(&threshold, memory_order_relaxed);
}

/* "2026-01-31T12:00:00.123Z error: "; returns its length. */
static size_t stamp(char *line, size_t size, enum log_level level)
{
    static const char *const names[] = { "error", "notice", "info", "debug" };
    struct timespec now;
    struct tm tm;
    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &tm);
    size_t n = strftime(line, size, "%Y-%m-%dT%H:%M:%S", &tm);
    return n + (size_t)snprintf(line + n, size - n, ".%03ldZ %s: ", now.tv_nsec / 1000000, names[level]);
}

void log_write(enum log_level level, const char *format, ...)
{
    static const int priorities[] = { LOG_ERR, LOG_NOTICE, LOG_INFO, LOG_DEBUG };
    char line[LINE_MAX_BYTES];
    if (level > log_get_level())
        return;
    int saved = errno; /* a caller may log before it returns -errno */
    size_t start = stamp(line, sizeof line, level);
    va_list args;
    va_start(args, format);
    int n = vsnprintf(line + start, sizeof line - start - 1, format, args);
    va_end(args);
    size_t length = n < 0 ? start : start + (size_t)n;
    if (length > sizeof line - 2)
        length = sizeof line - 2;
    /* A key or a server's message with a newline in it must not look like a line of ours. */
    for (size_t i = start; i < length; i++)
        if ((unsigned char)line[i] < 0x20 || line[i] == 0x7f)
            line[i] = '?';
    line[length] = '\0';
    lock_take(&sink_lock);
    if (sink_syslog) {
        syslog(priorities[level], "%s", line + start);
    } else {
        line[length] = '\n';
        /* There is nowhere left to tell that the log cannot be written. */
        ssize_t ignored = write(sink_fd, line, length + 1);
        (void)ignored;
    }
    lock_drop(&sink_lock);
    errno = saved;
}

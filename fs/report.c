#include "fs/report.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fs/explain.h"
#include "s3/base/log.h"

/* What goes through the pipe, in one write (it is smaller than PIPE_BUF). */
struct word {
    int exit_code;
    char sentence[REPORT_SENTENCE_MAX];
};

/* ---- the starter ---- */

/* True: the word came. False: the daemon ended without one, or a signal asks us to go (*interrupted). */
static bool receive(int fd, struct word *word, bool *interrupted)
{
    sigset_t stop;
    sigemptyset(&stop);
    sigaddset(&stop, SIGINT);
    sigaddset(&stop, SIGTERM);
    sigaddset(&stop, SIGHUP);
    sigprocmask(SIG_BLOCK, &stop, NULL);
    int signals = signalfd(-1, &stop, SFD_CLOEXEC);
    struct pollfd fds[2] = { { .fd = fd, .events = POLLIN }, { .fd = signals, .events = POLLIN } };
    while (poll(fds, 2, -1) < 0 && errno == EINTR)
        ;
    *interrupted = fds[0].revents == 0 && fds[1].revents != 0;
    ssize_t length = *interrupted ? 0 : read(fd, word, sizeof *word);
    if (signals >= 0)
        close(signals);
    return length == (ssize_t)sizeof *word;
}

static int wait_for_daemon(pid_t pid, int fd)
{
    struct word word;
    bool interrupted;
    int status;
    if (receive(fd, &word, &interrupted)) {
        if (word.exit_code != EXIT_GOOD) {
            explain_print("%s", word.sentence);
            /* Once we return, nothing of it is left. */
            waitpid(pid, &status, 0);
        }
        return word.exit_code;
    }
    if (interrupted) {
        kill(pid, SIGTERM);
        explain_print("mount was interrupted");
        return EXIT_INTERRUPTED;
    }
    if (waitpid(pid, &status, 0) == pid && WIFSIGNALED(status))
        explain_print("the daemon was ended by signal %d while it mounted", WTERMSIG(status));
    else
        explain_print("the daemon ended while it mounted");
    return EXIT_MACHINE;
}

/* ---- the daemon ---- */

static void redirect(int fd, int flags)
{
    int null = open("/dev/null", flags | O_CLOEXEC);
    if (null >= 0 && null != fd) {
        dup2(null, fd);
        close(null);
    }
}

static void become_daemon(int fd)
{
    setsid();
    if (chdir("/") != 0)
        log_error("The working directory stays: %s.", strerror(errno));
    redirect(STDIN_FILENO, O_RDONLY);
    redirect(STDOUT_FILENO, O_WRONLY);
    /* Everything else, but for the pipe, which has the number behind them. */
    if (fd != STDERR_FILENO + 1) {
        dup3(fd, STDERR_FILENO + 1, O_CLOEXEC);
        close(fd);
    }
    close_range(STDERR_FILENO + 2, ~0u, 0);
}

bool report_fork(struct report *report, int *exit_code)
{
    int fds[2];
    pid_t pid = -1;
    if (pipe2(fds, O_CLOEXEC) != 0 || (pid = fork()) < 0) {
        explain_print("no daemon can be started: %s", strerror(errno));
        *exit_code = EXIT_MACHINE;
        return false;
    }
    if (pid > 0) {
        close(fds[1]);
        *exit_code = wait_for_daemon(pid, fds[0]);
        close(fds[0]);
        return false;
    }
    close(fds[0]);
    become_daemon(fds[1]);
    *report = (struct report){ .fd = STDERR_FILENO + 1 };
    return true;
}

static void send_word(struct report *report, int exit_code, const char *sentence)
{
    struct word word = { .exit_code = exit_code };
    snprintf(word.sentence, sizeof word.sentence, "%s", sentence);
    /* A starter that was killed reads nothing; the mount stays. */
    if (write(report->fd, &word, sizeof word) != (ssize_t)sizeof word)
        log_notice("The process that started the mount has gone.");
    close(report->fd);
    report->fd = -1;
}

void report_ready(struct report *report)
{
    if (report->foreground || report->fd < 0)
        return;
    redirect(STDERR_FILENO, O_WRONLY);
    send_word(report, EXIT_GOOD, "");
}

int report_failed(struct report *report, int exit_code, const char *format, ...)
{
    char sentence[REPORT_SENTENCE_MAX];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(sentence, sizeof sentence, format, arguments);
    va_end(arguments);
    log_error("%s", sentence);
    if (report->foreground)
        explain_print("%s", sentence);
    else if (report->fd >= 0)
        send_word(report, exit_code, sentence);
    return exit_code;
}

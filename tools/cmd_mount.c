/*
 * r2fs mount: what can be said before anything is started, then fs/mount.h.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fs/explain.h"
#include "fs/mount.h"
#include "fs/mountpoint.h"
#include "tools/cmd.h"
#include "tools/target.h"

#define PROBE_MS 2000 /* a mount that does not answer a stat for so long is taken for alive but stuck */

/*
 * stat() of a place that may be a mount whose daemon hangs: in a child that can be left behind. 0, -errno, or -ETIMEDOUT.
 */
static int probe(const char *path)
{
    struct stat st;
    int status, pidfd;
    pid_t pid = fork();

    if (pid < 0)
        return -errno;
    if (pid == 0)
        _exit(stat(path, &st) ? errno : 0);
    pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
    if (pidfd >= 0) {
        struct pollfd p = { .fd = pidfd, .events = POLLIN };
        int n = poll(&p, 1, PROBE_MS);
        close(pidfd);
        if (n == 0) {
            kill(pid, SIGKILL);
            return -ETIMEDOUT;
        }
    }
    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR)
            return -errno;
    return WIFEXITED(status) ? -WEXITSTATUS(status) : -EIO;
}

/* Clears a mount whose daemon is dead ("Transport endpoint is not connected"), and refuses to hide a living one. */
static int check_free(const struct conf *conf)
{
    for (;;) {
        struct target target;
        int r = target_at(&target, conf->path);
        if (r == -ENOENT)
            return EXIT_GOOD;
        if (r) {
            explain_print("/proc/self/mountinfo: %s", strerror(-r));
            return EXIT_MACHINE;
        }
        if (target.is_trigger) {
            target_fini(&target);
            return EXIT_GOOD;
        }
        bool dead = probe(conf->path) == -ENOTCONN;
        if (!dead && !conf->allow_non_empty)
            explain_print("%s is busy: %s is mounted there already; unmount it first (%s %s), or name another directory", conf->path,
                          target.source, target.is_r2fs ? "r2fs umount" : "umount", conf->path);
        target_fini(&target);
        if (!dead)
            return conf->allow_non_empty ? EXIT_GOOD : EXIT_MOUNT_FAILED;
        r = mountpoint_remove(conf->path, true);
        if (r) {
            explain_print("%s: the dead mount there can't be cleared: %s; do it as root: umount -l %s", conf->path, strerror(-r), conf->path);
            return EXIT_MOUNT_FAILED;
        }
    }
}

static int check_directory(const struct conf *conf)
{
    struct stat st;

    if (stat(conf->path, &st)) {
        if (errno == ENOENT)
            explain_print("mount point %s does not exist: mkdir -p %s", conf->path, conf->path);
        else
            explain_print("mount point %s: %s", conf->path, strerror(errno));
        return EXIT_MOUNT_FAILED;
    }
    if (!S_ISDIR(st.st_mode)) {
        explain_print("mount point %s is not a directory", conf->path);
        return EXIT_MOUNT_FAILED;
    }
    if (geteuid() != 0 && access(conf->path, W_OK)) {
        explain_print("mount point %s: %s; only root may mount on a directory that it can't write to", conf->path, strerror(errno));
        return EXIT_MOUNT_FAILED;
    }
    return EXIT_GOOD;
}

/* Whether an ordinary user may do what was asked for: fuse.conf(5). */
static bool other_allowed(void)
{
    FILE *file = fopen("/etc/fuse.conf", "re");
    char *line = NULL, word[32];
    size_t capacity = 0;
    bool allowed = false;

    while (file && getline(&line, &capacity, file) > 0)
        allowed |= sscanf(line, " %31[a-z_]", word) == 1 && !strcmp(word, "user_allow_other");
    free(line);
    if (file)
        fclose(file);
    return allowed;
}

static bool in_path(const char *program)
{
    const char *path = getenv("PATH");
    char *copy = strdup(path ? path : "/usr/local/bin:/usr/bin:/bin"), *save = NULL, *full;
    bool found = false;

    for (char *directory = copy ? strtok_r(copy, ":", &save) : NULL; directory && !found; directory = strtok_r(NULL, ":", &save)) {
        if (asprintf(&full, "%s/%s", directory, program) < 0)
            break;
        found = !access(full, X_OK);
        free(full);
    }
    free(copy);
    return found;
}

static int check_machine(const struct conf *conf)
{
    if (access("/dev/fuse", R_OK | W_OK)) {
        if (errno == ENOENT)
            explain_print("/dev/fuse does not exist: modprobe fuse, or start the container with --device /dev/fuse --cap-add SYS_ADMIN");
        else
            explain_print("/dev/fuse: %s", strerror(errno));
        return EXIT_MACHINE;
    }
    if (geteuid() == 0)
        return EXIT_GOOD;
    if (!in_path("fusermount3")) {
        explain_print("fusermount3 is not installed, which ordinary users mount by: apt install fuse3, or mount as root");
        return EXIT_MACHINE;
    }
    if (conf->allow_other && !other_allowed()) {
        explain_print("option --allow-other: /etc/fuse.conf does not allow it to ordinary users: add user_allow_other there, or mount as root");
        return EXIT_MACHINE;
    }
    return EXIT_GOOD;
}

int cmd_mount(struct conf *conf, char *const argv[])
{
    struct conf_error error;
    int code;

    if (conf_complete(conf, &error)) {
        explain_print("%s", error.message);
        return error.exit_code;
    }
    code = check_machine(conf);
    if (!code)
        code = check_free(conf);
    if (!code)
        code = check_directory(conf);
    if (code || conf->fake)
        return code;
    return mount_run(conf, argv);
}

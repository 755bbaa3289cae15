#include "fs/daemon.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <unistd.h>
#ifdef HAVE_SYSTEMD
#include <systemd/sd-daemon.h>
#endif

#include "fs/explain.h"
#include "fs/mountpoint.h"
#include "fs/notice.h"
#include "fs/resume.h"
#include "fs/session.h"
#include "s3/base/clock.h"
#include "s3/base/log.h"

#define START_TIMEOUT_MS 10000   /* the endpoint must answer within this */
#define TAKEOVER_MS 10000        /* a daemon that gives its cache up has this long to close it */
#define ANSWER_MS 6000           /* a client that waits for `drain` has this long to read its answer */
#define OOM_SCORE "-500"

static void tell_systemd(const char *state)
{
#ifdef HAVE_SYSTEMD
    sd_notify(0, state);
#else
    (void)state;
#endif
}

/* ---- users of the cache ---- */

struct cache *daemon_enter(struct daemon *daemon)
{
    lock_take(&daemon->lock);
    struct cache *cache = daemon->closing ? NULL : daemon->cache;
    if (cache)
        daemon->users++;
    lock_drop(&daemon->lock);
    return cache;
}

void daemon_leave(struct daemon *daemon)
{
    lock_take(&daemon->lock);
    daemon->users--;
    pthread_cond_broadcast(&daemon->changed);
    lock_drop(&daemon->lock);
}

static void wake(struct daemon *daemon)
{
    const uint64_t one = 1;
    ssize_t n = write(daemon->wake_fd, &one, sizeof one); /* can only fail when it is awake already */
    (void)n;
}

int daemon_reload(struct daemon *daemon, struct conf_error *error)
{
    struct s3_cred cred = { 0 };
    int rc = conf_reload(daemon->conf, &cred, error);
    if (rc == 0) {
        rc = s3_set_cred(daemon->s3, &cred);
        if (rc != 0)
            *error = (struct conf_error){ .exit_code = EXIT_MACHINE, .message = "no memory for the credentials" };
    }
    s3_cred_fini(&cred);
    if (rc == 0)
        log_notice("The credentials were read again.");
    else
        log_error("The credentials stay as they are: %s", error->message);
    return rc;
}

/* ---- the end ---- */

/* How long to go on draining after the unmount. */
static int64_t left_after_unmount(void *arg)
{
    struct daemon *daemon = arg;
    int64_t now = clock_mono_ms();
    lock_take(&daemon->lock);
    int64_t left = daemon->released ? 0 : daemon->stopping ? daemon->stop_ms - now : CONF_NEVER;
    /* Set when the mount went: whoever asked for `drain` waits no longer than it said. */
    if (daemon->waiters > 0 && daemon->grace_ms - now < left)
        left = daemon->grace_ms - now;
    lock_drop(&daemon->lock);
    return left > 0 ? left : 0;
}

static int64_t left_before_unmount(void *arg)
{
    struct daemon *daemon = arg;
    /* Somebody may unmount meanwhile. */
    if (session_ended(daemon->session))
        return 0;
    int64_t left = daemon->stop_ms - clock_mono_ms();
    return left > 0 ? left : 0;
}

/* SIGTERM: all that programs have closed, while they can still work; then the mount goes, whoever uses it. */
static void take_mount_away(struct daemon *daemon)
{
    struct drain drain = { .left_ms = left_before_unmount, .arg = daemon };
    drain_run(&drain, daemon->cache, CACHE_ROOT);
    drain_fini(&drain);
    if (session_ended(daemon->session))
        return;
    int rc = mountpoint_remove(daemon->conf->path, false);
    if (rc != 0) {
        log_notice("%s is in use; it is unmounted all the same.", daemon->conf->path);
        /* A lazy unmount alone would end the session only when the last program has left. */
        session_abort(daemon->session);
        rc = mountpoint_remove(daemon->conf->path, true);
    }
    if (rc != 0)
        log_error("%s can't be unmounted: %s.", daemon->conf->path, strerror(-rc));
}

static void *wind_down(void *arg)
{
    struct daemon *daemon = arg;
    lock_take(&daemon->lock);
    bool stopping = daemon->stopping;
    lock_drop(&daemon->lock);
    if (stopping)
        take_mount_away(daemon);
    session_join(daemon->session);
    if (daemon->ctl)
        ctl_unpublish(daemon->ctl);
    log_info("%s is unmounted.", daemon->conf->path);

    lock_take(&daemon->lock);
    daemon->unmounted = true;
    /* Until now it was a length: who asked before the unmount counts from it. */
    daemon->grace_ms += clock_mono_ms();
    lock_drop(&daemon->lock);
    daemon->drain.left_ms = left_after_unmount;
    daemon->drain.arg = daemon;
    drain_run(&daemon->drain, daemon->cache, CACHE_ROOT);

    lock_take(&daemon->lock);
    daemon->done = true;
    pthread_cond_broadcast(&daemon->changed);
    lock_drop(&daemon->lock);
    wake(daemon);
    return NULL;
}

/* A second SIGTERM. What is acknowledged is in the cache directory; the next mount goes on with it. */
static void leave_at_once(struct daemon *daemon)
{
    struct cache_status status;
    cache_get_status(daemon->cache, &status);
    log_notice("Ending at once: %llu files are not in the bucket yet, and are kept in %s.", (unsigned long long)status.pending_files,
               daemon->spool);
    mountpoint_remove(daemon->conf->path, true);
    _exit(status.pending_files > 0 ? EXIT_PENDING : EXIT_GOOD);
}

static void begin_to_end(struct daemon *daemon)
{
    if (daemon->winding)
        return;
    tell_systemd("STOPPING=1");
    int rc = pthread_create(&daemon->winder, NULL, wind_down, daemon);
    if (rc != 0) {
        log_error("No thread can be started to end the mount: %s.", strerror(rc));
        leave_at_once(daemon);
    }
    daemon->winding = true;
}

static void stop(struct daemon *daemon)
{
    lock_take(&daemon->lock);
    bool again = daemon->stopping;
    daemon->stopping = true;
    int64_t limit = daemon->conf->drain_timeout_ms;
    daemon->stop_ms = limit == CONF_NEVER ? CONF_NEVER : clock_mono_ms() + limit;
    lock_drop(&daemon->lock);
    if (again)
        leave_at_once(daemon);
    begin_to_end(daemon);
}

/* ---- the main thread ---- */

static void take_signal(struct daemon *daemon, int number)
{
    if (number == SIGHUP)
        cache_expire(daemon->cache);
    else
        stop(daemon);
}

static void resumed(struct daemon *daemon)
{
    struct conf_error error;
    log_notice("The clock was set or the machine resumed: connections and listings are made anew.");
    s3_network_ops.reset(daemon->s3);
    /* The keys of before may have been revoked meanwhile. */
    daemon_reload(daemon, &error);
    cache_resumed(daemon->cache);
}

static bool is_done(struct daemon *daemon)
{
    lock_take(&daemon->lock);
    bool done = daemon->done;
    lock_drop(&daemon->lock);
    return done;
}

static void watch(struct daemon *daemon, int signal_fd)
{
    struct resume resume;
    resume_init(&resume);
    while (!is_done(daemon)) {
        struct pollfd fds[] = {
            { .fd = signal_fd, .events = POLLIN }, { .fd = daemon->wake_fd, .events = POLLIN }, { .fd = resume.fd, .events = POLLIN },
        };
        struct signalfd_siginfo info;
        uint64_t count;
        poll(fds, sizeof fds / sizeof fds[0], RESUME_TICK_MS);
        while (read(signal_fd, &info, sizeof info) == (ssize_t)sizeof info)
            take_signal(daemon, (int)info.ssi_signo);
        if (read(daemon->wake_fd, &count, sizeof count) > 0 && session_ended(daemon->session))
            begin_to_end(daemon);
        if (resume_check(&resume))
            resumed(daemon);
    }
    resume_fini(&resume);
    pthread_join(daemon->winder, NULL);
}

static void session_has_ended(void *arg)
{
    wake(arg);
}

/* ---- the start ---- */

/* Blocks what the main thread takes from a descriptor; every thread inherits that. */
static int take_signals(void)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGHUP);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    signal(SIGPIPE, SIG_IGN);
    return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

/*
 * /proc/PID/environ shows the memory in which the environment came. Secrets move out of it; getenv still finds them, for when they
 * are read again.
 */
static void hide_secrets(void)
{
    static const char *const marks[] = { "SECRET", "TOKEN", "PASS", "KEY" };
    for (char **entry = environ; *entry; entry++) {
        char *equals = strchr(*entry, '=');
        bool secret = false;
        for (size_t i = 0; equals && i < sizeof marks / sizeof marks[0]; i++) {
            const char *found = strstr(*entry, marks[i]);
            secret |= found && found < equals;
        }
        char *copy = secret ? strdup(*entry) : NULL;
        if (!copy)
            continue;
        char *before = *entry;
        *entry = copy;
        explicit_bzero(before + (equals + 1 - before), strlen(equals + 1));
    }
}

static void settle_process(void)
{
    hide_secrets();
    prctl(PR_SET_NAME, "r2fs");
    conf_protect();
    /* Who dies here takes the files of everybody with it. Only root may lower it. */
    int fd = geteuid() == 0 ? open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC) : -1;
    if (fd >= 0) {
        if (write(fd, OOM_SCORE, sizeof OOM_SCORE - 1) < 0)
            log_info("The OOM score stays: %s.", strerror(errno));
        close(fd);
    }
}

static void fill_cache_config(struct daemon *daemon, struct cache_config *config)
{
    const struct conf *conf = daemon->conf;
    static const enum cache_on_conflict on_conflict[] = {
        [CONF_KEEP_BOTH] = CACHE_KEEP_BOTH, [CONF_OURS] = CACHE_OURS, [CONF_THEIRS] = CACHE_THEIRS,
    };
    *config = (struct cache_config){
        .ops = &s3_network_ops,
        .ops_ctx = daemon->s3,
        .endpoint = s3_endpoint(daemon->s3),
        .bucket = conf->bucket,
        .prefix = conf->prefix,
        .cache_dir = conf->cache_dir,
        .read_only = conf->read_only,
        .size_max = conf->cache_size_given ? conf->cache_size : 0,
        .free_min = conf->cache_min_free,
        .write_back_ms = (int)conf->write_back_ms,
        .dirty_age_max_ms = (int)conf->max_dirty_age_ms,
        .poll_ms = (int)conf->poll_ms,
        .poll_idle_ms = (int)conf->poll_idle_ms,
        .keep_base_max = conf->keep_base,
        .fsync_remote = conf->fsync == CONF_FSYNC_REMOTE,
        .on_conflict = on_conflict[conf->on_conflict],
        .uid = conf->uid,
        .gid = conf->gid,
        .file_mode = conf->file_perms & ~conf->umask & 07777,
        .dir_mode = conf->dir_perms & ~conf->umask & 07777,
        .events = { .arg = daemon->fs.notices, .name = notice_name, .attr = notice_attr, .content = notice_content },
    };
}

/* Asks the daemon that holds the cache to give it up. True: it does, and closes it about now. */
static bool ask_to_release(const struct cache_config *config)
{
    char *spool = cache_spool_path(config);
    const char *name = spool ? strrchr(spool, '/') : NULL;
    struct ctl_client *client;
    json_t *answer = NULL;
    bool released = false;
    if (name && ctl_client_open_spool(&client, name + 1, geteuid()) == 0) {
        if (ctl_client_send(client, json_pack("{s:s}", "op", "release")) == 0 &&
            ctl_client_receive(client, clock_mono_ms() + TAKEOVER_MS, &answer) == 0)
            released = json_integer_value(json_object_get(answer, "exit")) == EXIT_GOOD;
        json_decref(answer);
        ctl_client_close(client);
    } else {
        /* Nobody listens, so its owner is about to end, or has just begun. */
        released = true;
    }
    free(spool);
    return released;
}

/* The exit code, the failure said. */
static int open_cache(struct daemon *daemon)
{
    struct cache_config config;
    char why[512];
    fill_cache_config(daemon, &config);
    int rc = cache_open(&daemon->cache, &config, why, sizeof why);
    if (rc == -EBUSY && ask_to_release(&config)) {
        for (int64_t end = clock_mono_ms() + TAKEOVER_MS; rc == -EBUSY && clock_mono_ms() < end; usleep(20000))
            rc = cache_open(&daemon->cache, &config, why, sizeof why);
    }
    if (rc != 0)
        return report_failed(daemon->report, EXIT_MACHINE, "%s", why);
    daemon->spool = strdup(cache_spool(daemon->cache));
    return daemon->spool ? EXIT_GOOD : report_failed(daemon->report, EXIT_MACHINE, "no memory");
}

/* The first listing: whoever is wrong about key, bucket or endpoint is told so before there is a mount. */
static int start_cache(struct daemon *daemon)
{
    const struct conf *conf = daemon->conf;
    struct s3_error error = { 0 };
    char sentence[REPORT_SENTENCE_MAX];
    struct explain_where where = {
        .endpoint = s3_endpoint(daemon->s3), .bucket = conf->bucket, .prefix = conf->prefix, .cred_from = conf->cred_from,
    };
    int rc = cache_start(daemon->cache, START_TIMEOUT_MS, &error);
    if (rc == 0)
        return EXIT_GOOD;
    if (error.outcome == S3_OK)
        return report_failed(daemon->report, EXIT_MACHINE, "the cache in %s can't be started: %s", daemon->spool, strerror(abs(rc)));
    explain_s3(sentence, sizeof sentence, &where, &error);
    return report_failed(daemon->report, (int)explain_exit(&error), "%s", sentence);
}

static int open_session(struct daemon *daemon)
{
    const struct conf *conf = daemon->conf;
    char why[512];
    struct session_config config = {
        .mountpoint = conf->path,
        .name = conf->devname ? conf->devname : conf->source,
        .allow_other = conf->allow_other,
        .flags = (conf->read_only ? MS_RDONLY : 0) | (conf->noexec ? MS_NOEXEC : 0) | (conf->noatime ? MS_NOATIME : 0) |
                 (conf->nodiratime ? MS_NODIRATIME : 0),
        .ended = session_has_ended,
        .arg = daemon,
    };
    int rc = fs_start(&daemon->fs, daemon->cache, conf->poll_ms);
    if (rc != 0)
        return report_failed(daemon->report, EXIT_MACHINE, "no memory");
    rc = session_open(&daemon->session, &daemon->fs, &config, why, sizeof why);
    if (rc != 0)
        return report_failed(daemon->report, rc == -ENODEV || rc == -ENOMEM ? EXIT_MACHINE : EXIT_MOUNT_FAILED, "%s", why);
    return EXIT_GOOD;
}

static int open_control(struct daemon *daemon)
{
    const char *name = strrchr(daemon->spool, '/');
    struct ctl_config config = {
        .spool = name ? name + 1 : daemon->spool,
        .owner = daemon->conf->owner,
        .allow_other = daemon->conf->allow_other,
        .ops = control_ops,
        .ctx = daemon,
    };
    int rc;
    /* The one that held this cache before may not have put its socket away yet. */
    for (int64_t end = clock_mono_ms() + TAKEOVER_MS; (rc = ctl_start(&daemon->ctl, &config)) == -EADDRINUSE && clock_mono_ms() < end;)
        usleep(20000);
    return rc == 0 ? EXIT_GOOD : report_failed(daemon->report, EXIT_MACHINE, "the control socket can't be opened: %s", strerror(-rc));
}

static int start(struct daemon *daemon)
{
    const struct conf *conf = daemon->conf;
    struct s3_config config;
    struct s3_error error = { 0 };
    int code;
    conf_s3_config(conf, &config);
    if (s3_open(&daemon->s3, &config, &error) != 0)
        return report_failed(daemon->report, EXIT_USAGE, "%s", error.message);
    if ((code = open_cache(daemon)) != EXIT_GOOD || (code = start_cache(daemon)) != EXIT_GOOD ||
        (code = open_session(daemon)) != EXIT_GOOD || (code = open_control(daemon)) != EXIT_GOOD)
        return code;
    int rc = ctl_publish(daemon->ctl, session_dev(daemon->session));
    if (rc != 0)
        return report_failed(daemon->report, EXIT_MACHINE, "the control socket can't be published: %s", strerror(-rc));
    return EXIT_GOOD;
}

/* ---- from start to end ---- */

/* A mount that was made, and whose start failed behind it. */
static void undo_mount(struct daemon *daemon)
{
    session_abort(daemon->session);
    mountpoint_remove(daemon->conf->path, true);
    session_join(daemon->session);
}

/* Those who wait for an answer get it; then nobody may use the cache. */
static void let_users_go(struct daemon *daemon)
{
    int64_t deadline = clock_mono_ms() + ANSWER_MS;
    lock_take(&daemon->lock);
    daemon->closing = true;
    while (daemon->users > 0)
        lock_wait(&daemon->lock, &daemon->changed);
    bool in_time = true;
    while (daemon->waiters > 0 && daemon->done && in_time)
        in_time = lock_wait_until(&daemon->lock, &daemon->changed, deadline);
    lock_drop(&daemon->lock);
}

static int say_what_is_left(struct daemon *daemon)
{
    const struct drain *drain = &daemon->drain;
    char sentence[512];
    snprintf(sentence, sizeof sentence, "%llu file%s (%llu bytes) left that %s not in the bucket yet, kept in %s and sent at the next mount",
             (unsigned long long)drain->files, drain->files == 1 ? "" : "s", (unsigned long long)drain->bytes,
             drain->files == 1 ? "is" : "are", daemon->spool);
    log_error("%s", sentence);
    if (daemon->report->foreground)
        explain_print("%s", sentence);
    return EXIT_PENDING;
}

static int close_all(struct daemon *daemon, int code)
{
    let_users_go(daemon);
    fs_stop(&daemon->fs);
    if (daemon->cache)
        cache_close(daemon->cache);
    if (daemon->s3)
        s3_close(daemon->s3);
    session_close(daemon->session);
    fs_fini(&daemon->fs);
    /* Last: that it hangs up tells a client that the cache is free. */
    ctl_stop(daemon->ctl);
    if (daemon->done && daemon->drain.rc != 0)
        code = say_what_is_left(daemon);
    drain_fini(&daemon->drain);
    if (daemon->wake_fd >= 0)
        close(daemon->wake_fd);
    pthread_cond_destroy(&daemon->changed);
    lock_fini(&daemon->lock);
    free(daemon->spool);
    return code;
}

int daemon_serve(const struct conf *conf, struct report *report)
{
    struct daemon daemon = { .conf = conf, .report = report, .wake_fd = -1 };
    lock_init(&daemon.lock, LOCK_NODE);
    lock_cond_init(&daemon.changed);
    int signal_fd = take_signals();
    settle_process();
    daemon.wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    int code;
    if (signal_fd < 0 || daemon.wake_fd < 0 || fs_init(&daemon.fs) != 0)
        code = report_failed(report, EXIT_MACHINE, "this machine is short of descriptors or memory");
    else
        code = start(&daemon);
    if (code == EXIT_GOOD) {
        log_notice("%s is mounted on %s.", conf->source, conf->path);
        report_ready(report);
        tell_systemd("READY=1");
        watch(&daemon, signal_fd);
    } else if (daemon.session) {
        undo_mount(&daemon);
    }
    code = close_all(&daemon, code);
    if (signal_fd >= 0)
        close(signal_fd);
    return code;
}

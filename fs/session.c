#include "fs/session.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include <linux/fuse.h>

#include "fs/mountpoint.h"
#include "fs/notice.h"
#include "fs/park.h"
#include "s3/base/buf.h"
#include "s3/base/clock.h"
#include "s3/base/log.h"

#define WORKERS 4
#define BACKGROUND 128      /* requests of the kernel's own (read-ahead, write-back of mappings) at a time */
#define INIT_TIMEOUT_MS 10000
#define SIGNAL_AGAIN_MS 10

struct session {
    struct fs *fs;
    struct fuse_session *fuse;
    struct fuse_lowlevel_ops ops;
    char *mountpoint;
    dev_t dev;
    bool by_helper;          /* fusermount3 mounted it, and libfuse remembers where */
    void (*ended)(void *arg);
    void *arg;

    struct lock lock;
    pthread_cond_t changed;
    bool initialised;        /* under lock */
    size_t running;          /* workers, under lock */
    size_t workers;
    pthread_t worker[WORKERS];
    bool left[WORKERS];      /* it has ended or is about to, under lock */

    /* Set by init, on the worker whose next writev is its answer. */
    bool answering_init;
    bool parallel_dirops;
    char features[384];
    _Atomic uint64_t requests[SESSION_OPCODES];
};

/* libfuse has one log for all sessions; the last line helps where a function returns no more than -1. */
static _Thread_local char last_line[256];

__attribute__((format(printf, 2, 0)))
static void take_log(enum fuse_log_level level, const char *format, va_list arguments)
{
    char line[sizeof last_line];
    vsnprintf(line, sizeof line, format, arguments);
    line[strcspn(line, "\n")] = '\0';
    memcpy(last_line, line, sizeof line);
    if (level <= FUSE_LOG_ERR)
        log_error("libfuse: %s", line);
    else
        log_debug("libfuse: %s", line);
}

/* ---- what INIT agrees on ---- */

static const struct feature {
    unsigned flag;
    const char *name;
} features[] = {
    { FUSE_CAP_ASYNC_READ, "async_read" },
    { FUSE_CAP_PARALLEL_DIROPS, "parallel_dirops" },
    { FUSE_CAP_ATOMIC_O_TRUNC, "atomic_o_trunc" },
    { FUSE_CAP_READDIRPLUS, "readdirplus" },
    { FUSE_CAP_EXPLICIT_INVAL_DATA, "explicit_inval_data" },
    { FUSE_CAP_CACHE_SYMLINKS, "cache_symlinks" },
};

/*
 * Only what the table names. Among what libfuse would set by itself: AUTO_INVAL_DATA drops pages after our own writes;
 * READDIRPLUS_AUTO costs a LOOKUP a name for programs that read a directory to its end before they stat; HANDLE_KILLPRIV would
 * leave set-id bits to us. WRITEBACK_CACHE would freeze size and mtime against changes elsewhere.
 */
static void init(void *userdata, struct fuse_conn_info *conn)
{
    struct session *session = ((struct fs *)userdata)->session;
    unsigned want = 0;
    struct buf text = BUF_INIT(sizeof session->features - 1);
    buf_printf(&text, "kernel %u.%u, libfuse %s,", conn->proto_major, conn->proto_minor, fuse_pkgversion());
    for (size_t i = 0; i < sizeof features / sizeof features[0]; i++) {
        if (conn->capable & features[i].flag) {
            want |= features[i].flag;
            buf_printf(&text, " %s", features[i].name);
        }
    }
#if FUSE_VERSION >= FUSE_MAKE_VERSION(3, 17)
    conn->want_ext = want;
#else
    conn->want = want;
#endif
    conn->max_write = FS_IO_MAX;
    conn->max_read = FS_IO_MAX;
    conn->max_background = BACKGROUND;
    conn->congestion_threshold = BACKGROUND * 3 / 4;
    buf_printf(&text, ", max_write %u", conn->max_write);
    if (text.data)
        memcpy(session->features, text.data, text.length + 1);
    buf_fini(&text);
    session->parallel_dirops = want & FUSE_CAP_PARALLEL_DIROPS;
    session->answering_init = true;
    log_info("Connected to the kernel: %s.", session->features);
}

/*
 * libfuse before 3.17 negotiates PARALLEL_DIROPS and then leaves it out of its answer, and each directory takes one request at
 * a time, behind a lock that no signal opens. So the bit is set as the answer goes out.
 */
static void complete_init_answer(struct iovec *parts, int count)
{
    struct fuse_init_out *answer = count == 2 ? parts[1].iov_base : NULL;
    if (answer && parts[1].iov_len >= sizeof *answer)
        answer->flags |= FUSE_PARALLEL_DIROPS;
}

static ssize_t write_answer(int fd, struct iovec *parts, int count, void *userdata)
{
    struct session *session = ((struct fs *)userdata)->session;
    /* Until INIT is answered the kernel sends nothing else, so this is one thread's. */
    bool is_init = session->answering_init;
    if (is_init) {
        session->answering_init = false;
        if (session->parallel_dirops)
            complete_init_answer(parts, count);
    }
    ssize_t result = writev(fd, parts, count);
    if (is_init && result >= 0) {
        lock_take(&session->lock);
        session->initialised = true;
        pthread_cond_broadcast(&session->changed);
        lock_drop(&session->lock);
    }
    return result;
}

/* ---- workers ---- */

static ssize_t read_request(int fd, void *buffer, size_t size, void *userdata)
{
    struct session *session = ((struct fs *)userdata)->session;
    ssize_t length = read(fd, buffer, size);
    if (length >= (ssize_t)sizeof(struct fuse_in_header)) {
        const struct fuse_in_header *header = buffer;
        if (header->opcode < SESSION_OPCODES)
            atomic_fetch_add_explicit(&session->requests[header->opcode], 1, memory_order_relaxed);
    }
    return length;
}

/* Only there to end a read; see hang_up. */
static void take_nothing(int number)
{
    (void)number;
}

static void *work(void *arg)
{
    struct session *session = arg;
    struct fuse_buf buffer = { 0 };
    while (!fuse_session_exited(session->fuse)) {
        int rc = fuse_session_receive_buf(session->fuse, &buffer);
        if (rc > 0) {
            fuse_session_process_buf(session->fuse, &buffer);
        } else if (rc == -ENOMEM) {
            usleep(10000);
        } else if (rc != -EINTR && rc != -EAGAIN) {
            if (rc < 0)
                log_error("Reading from /dev/fuse failed: %s.", strerror(-rc));
            break;
        }
    }
    free(buffer.mem);
    park_thread_end();
    lock_take(&session->lock);
    bool last = --session->running == 0;
    for (size_t i = 0; i < session->workers; i++)
        session->left[i] |= pthread_equal(session->worker[i], pthread_self()) != 0;
    pthread_cond_broadcast(&session->changed);
    lock_drop(&session->lock);
    if (last && session->ended)
        session->ended(session->arg);
    return NULL;
}

static int start_workers(struct session *session)
{
    int rc = 0;
    lock_take(&session->lock);
    while (session->workers < WORKERS && rc == 0) {
        rc = pthread_create(&session->worker[session->workers], NULL, work, session);
        if (rc == 0) {
            session->workers++;
            session->running++;
        }
    }
    lock_drop(&session->lock);
    return -rc;
}

static int wait_for_init(struct session *session)
{
    int64_t deadline = clock_mono_ms() + INIT_TIMEOUT_MS;
    bool in_time = true;
    lock_take(&session->lock);
    while (!session->initialised && session->running > 0 && in_time)
        in_time = lock_wait_until(&session->lock, &session->changed, deadline);
    int rc = session->initialised ? 0 : in_time ? -EPROTO : -ETIMEDOUT;
    lock_drop(&session->lock);
    return rc;
}

/* ---- mounting ---- */

static int mount_directly(const struct session_config *config, int fd)
{
    char data[256];
    snprintf(data, sizeof data, "fd=%d,rootmode=40000,user_id=%u,group_id=%u,default_permissions,max_read=%u%s", fd, getuid(),
             getgid(), FS_IO_MAX, config->allow_other ? ",allow_other" : "");
    return mount(config->name, config->mountpoint, MOUNTPOINT_TYPE, config->flags | MS_NOSUID | MS_NODEV, data) == 0 ? 0 : -errno;
}

static int add_option(struct fuse_args *args, const char *option)
{
    return fuse_opt_add_arg(args, "-o") == 0 ? fuse_opt_add_arg(args, option) : -1;
}

/* What libfuse parses: max_read must agree with the mount's, the rest is for fusermount3. */
static int build_arguments(const struct session_config *config, struct fuse_args *args)
{
    static const struct { unsigned long flag; const char *option; } flags[] = {
        { MS_RDONLY, "ro" }, { MS_NOEXEC, "noexec" }, { MS_NOATIME, "noatime" }, { MS_NODIRATIME, "nodiratime" },
    };
    char *escaped = NULL, text[64];
    int rc = fuse_opt_add_arg(args, "r2fs");
    snprintf(text, sizeof text, "max_read=%u,subtype=r2fs,default_permissions", FS_IO_MAX);
    rc |= add_option(args, text);
    if (config->allow_other)
        rc |= add_option(args, "allow_other");
    for (size_t i = 0; i < sizeof flags / sizeof flags[0]; i++)
        if (config->flags & flags[i].flag)
            rc |= add_option(args, flags[i].option);
    rc |= fuse_opt_add_opt_escaped(&escaped, config->name);
    if (rc == 0) {
        struct buf name = BUF_INIT(65536);
        buf_printf(&name, "fsname=%s", escaped);
        rc = name.failed ? -1 : add_option(args, name.data);
        buf_fini(&name);
    }
    free(escaped);
    return rc == 0 ? 0 : -ENOMEM;
}

/* The mount, and the session's descriptor. Root mounts by itself; others need the set-uid helper. */
static int attach(struct session *session, const struct session_config *config, char *why, size_t why_size)
{
    static const struct fuse_custom_io io = { .read = read_request, .writev = write_answer };
    int fd = open("/dev/fuse", O_RDWR | O_CLOEXEC);
    if (fd < 0) {
        int rc = -errno;
        snprintf(why, why_size, "/dev/fuse: %s; load the kernel's fuse module (modprobe fuse), or give the container --device /dev/fuse --cap-add SYS_ADMIN",
                 strerror(errno));
        return rc == -ENOENT ? -ENODEV : rc;
    }
    int rc = mount_directly(config, fd);
    if (rc == -EPERM) {
        close(fd);
        if (fuse_session_mount(session->fuse, config->mountpoint) != 0) {
            snprintf(why, why_size, "mounting on %s is not permitted: run r2fs as root, or install fuse3; %s", config->mountpoint,
                     last_line[0] ? last_line : "fusermount3 says why");
            return rc;
        }
        session->by_helper = true;
        fd = fuse_session_fd(session->fuse);
    } else if (rc != 0) {
        snprintf(why, why_size, "mounting on %s failed: %s", config->mountpoint, strerror(-rc));
        close(fd);
        return rc;
    }
    rc = fuse_session_custom_io(session->fuse, &io, fd);
    if (rc != 0) {
        snprintf(why, why_size, "libfuse takes no descriptor: %s", strerror(-rc));
        mountpoint_remove(config->mountpoint, true);
        if (!session->by_helper)
            close(fd);
    }
    return rc;
}

int session_open(struct session **result, struct fs *fs, const struct session_config *config, char *why, size_t why_size)
{
    struct fuse_args args = FUSE_ARGS_INIT(0, NULL);
    struct session *session = calloc(1, sizeof *session);
    int rc = -ENOMEM;
    bool mounted = false;
    snprintf(why, why_size, "no memory");
    if (!session)
        return rc;
    session->fs = fs;
    session->ops = fs_ops;
    session->ops.init = init;
    session->ended = config->ended;
    session->arg = config->arg;
    lock_init(&session->lock, LOCK_NODE);
    lock_cond_init(&session->changed);
    fs->session = session;
    fuse_set_log_func(take_log);
    sigaction(SIGUSR1, &(struct sigaction){ .sa_handler = take_nothing }, NULL);
    if (!(session->mountpoint = strdup(config->mountpoint)) || (rc = build_arguments(config, &args)) != 0)
        goto out;
    session->fuse = fuse_session_new(&args, &session->ops, sizeof session->ops, fs);
    if (!session->fuse) {
        rc = -EINVAL;
        snprintf(why, why_size, "libfuse makes no session: %s", last_line);
        goto out;
    }
    if ((rc = attach(session, config, why, why_size)) != 0)
        goto out;
    mounted = true;
    if (!mountpoint_find(config->mountpoint, &session->dev)) {
        rc = -ENOENT;
        snprintf(why, why_size, "the kernel's table does not show the mount on %s", config->mountpoint);
        goto out;
    }
    if ((rc = notice_start(fs->notices, fs->nodes, session->fuse)) != 0 || (rc = start_workers(session)) != 0 ||
        (rc = wait_for_init(session)) != 0) {
        snprintf(why, why_size, "the mount on %s does not start: %s", config->mountpoint, strerror(-rc));
        goto out;
    }
    mountpoint_tune(session->dev);
    *result = session;
out:
    fuse_opt_free_args(&args);
    if (rc != 0) {
        session->ended = NULL;
        if (mounted)
            session_abort(session);
        session_join(session);
        if (mounted)
            mountpoint_remove(config->mountpoint, true);
        session_close(session);
    }
    return rc;
}

dev_t session_dev(const struct session *session)
{
    return session->dev;
}

struct fuse_session *session_fuse(struct session *session)
{
    return session->fuse;
}

bool session_ended(struct session *session)
{
    lock_take(&session->lock);
    bool ended = session->running == 0;
    lock_drop(&session->lock);
    return ended;
}

/* Where nothing else works: the workers leave, and the kernel loses its only descriptor. */
static void hang_up(struct session *session)
{
    fuse_session_exit(session->fuse);
    lock_take(&session->lock);
    while (session->running > 0) {
        /* A worker that was about to read when the signal came reads on, so it gets another one. */
        for (size_t i = 0; i < session->workers; i++)
            if (!session->left[i])
                pthread_kill(session->worker[i], SIGUSR1);
        lock_wait_until(&session->lock, &session->changed, clock_mono_ms() + SIGNAL_AGAIN_MS);
    }
    lock_drop(&session->lock);
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (null >= 0) {
        dup3(null, fuse_session_fd(session->fuse), O_CLOEXEC);
        close(null);
    }
}

void session_abort(struct session *session)
{
    if (session_ended(session))
        return;
    /* MNT_FORCE aborts, though it says EBUSY. */
    if (mountpoint_abort(session->dev) == 0 || umount2(session->mountpoint, MNT_FORCE | UMOUNT_NOFOLLOW) == 0 || errno == EBUSY)
        return;
    hang_up(session);
}

void session_join(struct session *session)
{
    for (size_t i = 0; i < session->workers; i++)
        pthread_join(session->worker[i], NULL);
    session->workers = 0;
}

void session_close(struct session *session)
{
    if (!session)
        return;
    if (session->fuse) {
        /* Only closes the descriptor: the connection is dead. */
        if (session->by_helper)
            fuse_session_unmount(session->fuse);
        fuse_session_destroy(session->fuse);
    }
    session->fs->session = NULL;
    pthread_cond_destroy(&session->changed);
    lock_fini(&session->lock);
    free(session->mountpoint);
    free(session);
}

/* ---- for status ---- */

const char *session_features(const struct session *session)
{
    return session->features;
}

uint64_t session_requests(const struct session *session, unsigned opcode)
{
    return opcode < SESSION_OPCODES ? atomic_load_explicit(&session->requests[opcode], memory_order_relaxed) : 0;
}

const char *session_opcode_name(unsigned opcode)
{
    static const char *const names[SESSION_OPCODES] = {
        [FUSE_LOOKUP] = "lookup", [FUSE_FORGET] = "forget", [FUSE_GETATTR] = "getattr", [FUSE_SETATTR] = "setattr",
        [FUSE_READLINK] = "readlink", [FUSE_SYMLINK] = "symlink", [FUSE_MKNOD] = "mknod", [FUSE_MKDIR] = "mkdir",
        [FUSE_UNLINK] = "unlink", [FUSE_RMDIR] = "rmdir", [FUSE_RENAME] = "rename", [FUSE_LINK] = "link", [FUSE_OPEN] = "open",
        [FUSE_READ] = "read", [FUSE_WRITE] = "write", [FUSE_STATFS] = "statfs", [FUSE_RELEASE] = "release",
        [FUSE_FSYNC] = "fsync", [FUSE_SETXATTR] = "setxattr", [FUSE_GETXATTR] = "getxattr", [FUSE_LISTXATTR] = "listxattr",
        [FUSE_REMOVEXATTR] = "removexattr", [FUSE_FLUSH] = "flush", [FUSE_INIT] = "init", [FUSE_OPENDIR] = "opendir",
        [FUSE_READDIR] = "readdir", [FUSE_RELEASEDIR] = "releasedir", [FUSE_FSYNCDIR] = "fsyncdir", [FUSE_GETLK] = "getlk",
        [FUSE_SETLK] = "setlk", [FUSE_SETLKW] = "setlkw", [FUSE_ACCESS] = "access", [FUSE_CREATE] = "create",
        [FUSE_INTERRUPT] = "interrupt", [FUSE_BMAP] = "bmap", [FUSE_DESTROY] = "destroy", [FUSE_IOCTL] = "ioctl",
        [FUSE_POLL] = "poll", [FUSE_NOTIFY_REPLY] = "notify_reply", [FUSE_BATCH_FORGET] = "batch_forget",
        [FUSE_FALLOCATE] = "fallocate", [FUSE_READDIRPLUS] = "readdirplus", [FUSE_RENAME2] = "rename2", [FUSE_LSEEK] = "lseek",
        [FUSE_COPY_FILE_RANGE] = "copy_file_range", [48] = "setupmapping", [49] = "removemapping", [50] = "syncfs",
        [51] = "tmpfile", [52] = "statx",
    };
    return opcode < SESSION_OPCODES ? names[opcode] : NULL;
}

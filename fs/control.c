/*
 * What the control socket offers; fs/ctl.h has the protocol.
 */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include <linux/fuse.h>

#include "fs/daemon.h"
#include "fs/explain.h"
#include "fs/node.h"
#include "fs/notice.h"
#include "fs/park.h"
#include "fs/session.h"
#include "s3/base/clock.h"
#include "s3/base/log.h"

#define LOOK_MS 100 /* how often a waiting call looks whether its client is still there */

static void answer_ending(struct ctl_call *call)
{
    ctl_answer_error(call, EXIT_PENDING, "the daemon is ending");
}

/* ---- status ---- */

static json_t *describe_requests(const struct s3_stats *stats)
{
    json_t *object = json_object();
    for (int kind = 0; kind < S3_KIND_COUNT; kind++)
        json_object_set_new(object, s3_kind_name((enum s3_kind)kind), json_integer((json_int_t)stats->requests[kind]));
    return object;
}

static json_t *describe_honours(const struct cache_status *status)
{
    json_t *object = json_object();
    for (int cap = 0; cap < S3_CAP_COUNT; cap++) {
        enum s3_cap_state state = status->honours[cap];
        json_object_set_new(object, s3_cap_name((enum s3_cap)cap),
                            state == S3_CAP_UNKNOWN ? json_null() : json_boolean(state == S3_CAP_HONOURED));
    }
    return object;
}

/* Does a program wait for requests of this kind? The others come when the kernel likes. */
static bool is_waited_for(unsigned opcode)
{
    return opcode != FUSE_FORGET && opcode != FUSE_BATCH_FORGET && opcode != FUSE_RELEASE && opcode != FUSE_RELEASEDIR;
}

/* Requests of the kernel by kind, and in total those that programs waited for. */
static json_t *describe_kernel(struct daemon *daemon)
{
    json_t *object = json_object();
    struct notice_stats notices;
    uint64_t total = 0;
    for (unsigned opcode = 0; opcode < SESSION_OPCODES; opcode++) {
        const char *name = session_opcode_name(opcode);
        uint64_t count = session_requests(daemon->session, opcode);
        if (count > 0 && name)
            json_object_set_new(object, name, json_integer((json_int_t)count));
        if (is_waited_for(opcode))
            total += count;
    }
    notice_get_stats(daemon->fs.notices, &notices);
    json_object_set_new(object, "total", json_integer((json_int_t)total));
    json_object_set_new(object, "features", json_string(session_features(daemon->session)));
    json_object_set_new(object, "inodes", json_integer((json_int_t)node_count(daemon->fs.nodes)));
    json_object_set_new(object, "notices", json_integer((json_int_t)notices.sent));
    json_object_set_new(object, "notices_lost", json_integer((json_int_t)notices.lost));
    return object;
}

static json_t *seconds_since(int64_t then_ms)
{
    int64_t age = clock_wall_ms() - then_ms;
    return then_ms == 0 ? json_null() : json_real((double)(age > 0 ? age : 0) / 1000);
}

static void set_status(struct daemon *daemon, const struct cache_status *status, json_t *answer)
{
    const struct conf *conf = daemon->conf;
    bool read_only = conf->read_only || status->read_only_reason[0] != '\0';
    json_object_set_new(answer, "mode", json_string(read_only ? "ro" : "rw"));
    json_object_set_new(answer, "read_only_reason", status->read_only_reason[0] ? ctl_string(status->read_only_reason) : json_null());
    json_object_set_new(answer, "source", ctl_string(conf->source));
    json_object_set_new(answer, "mountpoint", ctl_string(conf->path));
    json_object_set_new(answer, "pending_files", json_integer((json_int_t)status->pending_files));
    json_object_set_new(answer, "pending_bytes", json_integer((json_int_t)status->pending_bytes));
    json_object_set_new(answer, "oldest_pending_s",
                        status->pending_files == 0 ? json_null() : json_real((double)status->oldest_pending_ms / 1000));
    json_object_set_new(answer, "last_poll_s", seconds_since(status->last_poll_ms));
    json_object_set_new(answer, "last_error", status->last_error[0] ? ctl_string(status->last_error) : json_null());
    json_object_set_new(answer, "last_error_s", seconds_since(status->last_error_ms));
    json_object_set_new(answer, "conflict_count", json_integer((json_int_t)status->conflicts));
    json_object_set_new(answer, "blocked_names", json_integer((json_int_t)status->blocked_names));
    json_object_set_new(answer, "cache_bytes", json_integer((json_int_t)status->cache_bytes));
    json_object_set_new(answer, "cache_limit",
                        status->cache_limit == CONF_UNLIMITED ? json_null() : json_integer((json_int_t)status->cache_limit));
    json_object_set_new(answer, "commits", json_integer((json_int_t)status->commits));
    json_object_set_new(answer, "syncs", json_integer((json_int_t)status->syncs));
    json_object_set_new(answer, "requests", describe_requests(&status->s3));
    json_object_set_new(answer, "honours", describe_honours(status));
    json_object_set_new(answer, "kernel", describe_kernel(daemon));
    json_object_set_new(answer, "waiting", json_integer((json_int_t)park_count(daemon->fs.park)));
    json_object_set_new(answer, "spool", ctl_string(daemon->spool));
    json_object_set_new(answer, "pid", json_integer(getpid()));
    json_object_set_new(answer, "version", json_string(R2FS_VERSION));
    json_object_set_new(answer, "drain_timeout_ms",
                        conf->drain_timeout_ms == CONF_NEVER ? json_null() : json_integer(conf->drain_timeout_ms));
}

static void answer_status(void *ctx, struct ctl_call *call)
{
    struct daemon *daemon = ctx;
    struct cache *cache = daemon_enter(daemon);
    struct cache_status status;
    if (!cache) {
        answer_ending(call);
        return;
    }
    cache_get_status(cache, &status);
    json_t *answer = json_object();
    set_status(daemon, &status, answer);
    daemon_leave(daemon);
    ctl_answer(call, EXIT_GOOD, answer);
}

/* ---- flush and drain ---- */

/* What is left, and the exit code that goes with it. */
static void answer_drained(struct daemon *daemon, struct ctl_call *call, const struct drain *drain)
{
    json_t *answer = json_pack("{s:o}", "spool", ctl_string(daemon->spool));
    if (answer && drain_describe(drain, answer) != 0) {
        json_decref(answer);
        answer = NULL;
    }
    /* What is left the client says; this is why it will stay so. */
    if (answer && drain->rc != 0 && drain->rc != -ETIMEDOUT) {
        char text[256];
        snprintf(text, sizeof text, "%s: the bucket takes no more writes: %s", daemon->conf->source, strerror(-drain->rc));
        json_object_set_new(answer, "error", ctl_string(text));
    }
    ctl_answer(call, drain->rc == 0 ? EXIT_GOOD : EXIT_PENDING, answer);
}

struct flush {
    struct daemon *daemon;
    struct cache *cache;
    struct ctl_call *call;
    int64_t deadline_ms;
    bool begun;
};

static int64_t flush_left_ms(void *arg)
{
    struct flush *flush = arg;
    struct daemon *daemon = flush->daemon;
    int64_t left = flush->deadline_ms - clock_mono_ms();
    if (flush->begun) {
        struct cache_status status;
        cache_get_status(flush->cache, &status);
        ctl_progress(flush->call, json_pack("{s:I, s:I}", "pending_files", (json_int_t)status.pending_files, "pending_bytes",
                                            (json_int_t)status.pending_bytes));
    }
    flush->begun = true;
    lock_take(&daemon->lock);
    bool give_up = daemon->closing || daemon->released;
    lock_drop(&daemon->lock);
    return give_up || ctl_gone(flush->call) || left < 0 ? 0 : left;
}

/* The path as the client has it: absolute, or relative to the mount. */
static const char *below_mount(const struct conf *conf, const char *path)
{
    size_t length = strlen(conf->path);
    if (!path)
        return "";
    if (path[0] == '/' && strncmp(path, conf->path, length) == 0 && (path[length] == '/' || path[length] == '\0'))
        path += length;
    while (*path == '/')
        path++;
    return path;
}

static void answer_flush(void *ctx, struct ctl_call *call)
{
    struct daemon *daemon = ctx;
    struct cache *cache = daemon_enter(daemon);
    uint64_t ino = CACHE_ROOT;
    int64_t timeout = ctl_timeout_ms(call, CONF_NEVER);
    struct flush flush = { .daemon = daemon, .cache = cache, .call = call, .deadline_ms = timeout + clock_mono_ms() };
    struct drain drain = { .left_ms = flush_left_ms, .arg = &flush };
    if (!cache) {
        answer_ending(call);
        return;
    }
    const char *path = below_mount(daemon->conf, ctl_path(call));
    int rc = *path ? cache_find(cache, path, &ino) : 0;
    /* What the cache does not know it cannot have pending. */
    if (rc == 0)
        drain_run(&drain, cache, ino);
    daemon_leave(daemon);
    if (rc != 0 && rc != -ENOENT)
        ctl_answer_error(call, EXIT_MACHINE, "%s: %s", path, strerror(-rc));
    else
        answer_drained(daemon, call, &drain);
    drain_fini(&drain);
}

static void answer_drain(void *ctx, struct ctl_call *call)
{
    struct daemon *daemon = ctx;
    bool asked = true;
    lock_take(&daemon->lock);
    daemon->waiters++;
    daemon->grace_ms = ctl_timeout_ms(call, daemon->conf->drain_timeout_ms) + (daemon->unmounted ? clock_mono_ms() : 0);
    lock_drop(&daemon->lock);
    /* Not before it is counted: the client unmounts now. */
    ctl_progress(call, json_pack("{s:b}", "waiting", 1));
    lock_take(&daemon->lock);
    while (!daemon->done && asked) {
        lock_wait_until(&daemon->lock, &daemon->changed, clock_mono_ms() + LOOK_MS);
        asked = daemon->unmounted || !ctl_gone(call);
    }
    lock_drop(&daemon->lock);
    /* Once done it is only read. */
    if (asked)
        answer_drained(daemon, call, &daemon->drain);
    else
        answer_ending(call);
    lock_take(&daemon->lock);
    daemon->waiters--;
    pthread_cond_broadcast(&daemon->changed);
    lock_drop(&daemon->lock);
}

/* ---- the rest ---- */

static void answer_expire(void *ctx, struct ctl_call *call)
{
    struct daemon *daemon = ctx;
    struct cache *cache = daemon_enter(daemon);
    if (!cache) {
        answer_ending(call);
        return;
    }
    cache_expire(cache);
    daemon_leave(daemon);
    ctl_answer(call, EXIT_GOOD, json_object());
}

static void answer_reload(void *ctx, struct ctl_call *call)
{
    struct conf_error error;
    if (daemon_reload(ctx, &error) == 0)
        ctl_answer(call, EXIT_GOOD, json_object());
    else
        ctl_answer_error(call, error.exit_code, "%s", error.message);
}

/* A new mount wants the cache: one that has no mount any more gives it up, and what is pending with it. */
static void answer_release(void *ctx, struct ctl_call *call)
{
    struct daemon *daemon = ctx;
    lock_take(&daemon->lock);
    bool free_to_go = daemon->unmounted;
    daemon->released |= free_to_go;
    lock_drop(&daemon->lock);
    if (free_to_go)
        ctl_answer(call, EXIT_GOOD, json_object());
    else
        ctl_answer_error(call, EXIT_MACHINE, "%s is mounted on %s by process %d", daemon->conf->source, daemon->conf->path, (int)getpid());
}

const struct ctl_op control_ops[] = {
    { .name = "status", .anyone = true, .run = answer_status },
    { .name = "flush", .slow = true, .run = answer_flush },
    { .name = "drain", .slow = true, .run = answer_drain },
    { .name = "expire", .run = answer_expire },
    { .name = "reload", .slow = true, .run = answer_reload },
    { .name = "release", .run = answer_release },
    { .name = NULL },
};

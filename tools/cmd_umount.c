/*
 * r2fs umount: flush while the mount still serves, unmount, and wait for what came in between. The unmount itself is done
 * here and not by the daemon: what the caller may do, and in whose mount namespace, is the caller's.
 */
#include <errno.h>
#include <string.h>

#include "fs/explain.h"
#include "fs/mountpoint.h"
#include "s3/base/clock.h"
#include "tools/cmd.h"
#include "tools/target.h"

#define ANSWER_SLACK_MS 10000 /* beyond its time by this a daemon does not answer at all */
#define END_MS 5000           /* how long a daemon may take to end after its last answer */

/* Reads answers until one is done. 0 and *answer (the caller's), or -errno. */
static int wait_done(struct ctl_client *client, int64_t deadline, json_t **answer)
{
    int r;

    while (!(r = ctl_client_receive(client, deadline, answer))) {
        if (json_is_true(json_object_get(*answer, "done")))
            return 0;
        json_decref(*answer);
    }
    return r;
}

static int64_t later(int64_t deadline)
{
    return deadline == CONF_NEVER ? CONF_NEVER : deadline + ANSWER_SLACK_MS;
}

/* A request with what is left of the time. */
static json_t *timed_request(const char *op, int64_t deadline)
{
    json_t *request = json_pack("{s:s}", "op", op);
    int64_t left = deadline - clock_mono_ms();

    if (request && deadline != CONF_NEVER)
        json_object_set_new(request, "timeout_ms", json_integer(left > 0 ? left : 0));
    return request;
}

/* When to stop draining: as asked for, else as the mount was told. */
static int find_deadline(const struct conf *conf, struct ctl_client *client, int64_t *deadline)
{
    int64_t limit = conf->drain_timeout_ms;
    json_t *answer;
    int r;

    if (!conf->drain_given) {
        r = ctl_client_send(client, json_pack("{s:s}", "op", "status"));
        if (!r)
            r = wait_done(client, clock_mono_ms() + ANSWER_SLACK_MS, &answer);
        if (r)
            return r;
        const json_t *own = json_object_get(answer, "drain_timeout_ms");
        limit = json_is_integer(own) ? json_integer_value(own) : json_is_null(own) ? CONF_NEVER : limit;
        json_decref(answer);
    }
    *deadline = limit == CONF_NEVER ? CONF_NEVER : clock_mono_ms() + limit;
    return 0;
}

static int drain(const struct target *target, struct ctl_client *client, int64_t deadline)
{
    json_t *answer;
    int code, r = wait_done(client, later(deadline), &answer);

    if (r) {
        explain_print("%s: unmounted, but the daemon %s before it said that everything is in the bucket; what is not is kept and sent at the next mount",
                      target->mountpoint, r == -ETIMEDOUT ? "did not answer" : "ended");
        return EXIT_PENDING;
    }
    code = target_report(answer);
    json_decref(answer);
    /* Its hang-up says that the cache is free for the next mount. */
    if (!wait_done(client, clock_mono_ms() + END_MS, &answer))
        json_decref(answer);
    return code;
}

static int say_unmount(const struct target *target, int r)
{
    if (r == -EBUSY)
        explain_print("%s is busy: a program has a file open or its working directory there (fuser -vm %s tells); everything flushed so far is in the bucket, -l unmounts all the same",
                      target->mountpoint, target->mountpoint);
    else
        explain_print("%s can't be unmounted: %s", target->mountpoint, strerror(-r));
    return EXIT_MOUNT_FAILED;
}

/* Without its daemon there is nothing to ask. */
static int unmount_dead(const struct target *target, bool force)
{
    /* Ending its requests first, or the unmount itself could hang. */
    if (force)
        mountpoint_abort(target->dev);
    int r = mountpoint_remove(target->mountpoint, true);

    if (r)
        return say_unmount(target, r);
    explain_print("%s: unmounted %s; what was not uploaded is kept in its cache and sent at the next mount", target->mountpoint,
                  force ? "by force" : "without its daemon, which is not running");
    return EXIT_PENDING;
}

/* Returns when the daemon knows that its drain is waited for. */
static int ask_to_drain(struct ctl_client *client, int64_t deadline)
{
    json_t *waiting;
    int r = ctl_client_send(client, timed_request("drain", deadline));

    if (!r)
        r = ctl_client_receive(client, clock_mono_ms() + ANSWER_SLACK_MS, &waiting);
    if (r)
        return r;
    r = json_is_true(json_object_get(waiting, "waiting")) ? 0 : -EPROTO;
    json_decref(waiting);
    return r;
}

static int unmount_live(const struct conf *conf, const struct target *target, struct ctl_client *client)
{
    int64_t deadline;
    json_t *answer = NULL;
    int r = find_deadline(conf, client, &deadline);

    if (!r)
        r = ctl_client_send(client, timed_request("flush", deadline));
    if (!r)
        r = wait_done(client, later(deadline), &answer);
    if (!r)
        r = ask_to_drain(client, deadline);
    if (r) {
        explain_print("%s: the daemon does not answer (%s); -f unmounts all the same", target->mountpoint, strerror(-r));
        json_decref(answer);
        return EXIT_MOUNT_FAILED;
    }
    json_decref(answer);
    r = mountpoint_remove(target->mountpoint, conf->lazy);
    return r ? say_unmount(target, r) : drain(target, client, deadline);
}

int cmd_umount(const struct conf *conf)
{
    struct ctl_client *client = NULL;
    struct target target;
    int r, code;

    target_interruptible("r2fs: umount was interrupted; uploads go on as long as the daemon runs\n");
    r = target_find(&target, conf->path, false);
    if (r || !target.is_r2fs) {
        explain_print("%s is no r2fs mount%s%s", conf->path, r ? ": " : "", r ? strerror(-r) : "");
        code = EXIT_MOUNT_FAILED;
    } else if (*target.below) {
        explain_print("%s is no mount point; the mount that it is on is %s", conf->path, target.mountpoint);
        code = EXIT_MOUNT_FAILED;
    } else if (conf->force) {
        code = unmount_dead(&target, true);
    } else {
        r = ctl_client_open(&client, target.dev, target.user);
        if (r == -ENOENT || r == -ECONNREFUSED)
            code = unmount_dead(&target, false);
        else if (r)
            code = target_connect(&target, &client) ? EXIT_MOUNT_FAILED : unmount_live(conf, &target, client);
        else
            code = unmount_live(conf, &target, client);
    }
    ctl_client_close(client);
    target_fini(&target);
    return code;
}

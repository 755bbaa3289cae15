#include <errno.h>
#include <string.h>

#include "fs/explain.h"
#include "s3/base/clock.h"
#include "tools/cmd.h"
#include "tools/target.h"

#define ANSWER_SLACK_MS 10000 /* the daemon keeps the time; beyond it by this it does not answer at all */

static int wait_for_answer(const struct conf *conf, const struct target *target, struct ctl_client *client)
{
    int64_t deadline = conf->timeout_ms == CONF_NEVER ? CONF_NEVER : clock_mono_ms() + conf->timeout_ms + ANSWER_SLACK_MS;
    json_t *answer;
    int r, code;

    for (;;) {
        r = ctl_client_receive(client, deadline, &answer);
        if (r) {
            explain_print("%s: the daemon %s; what is not in the bucket is kept, r2fs status %s tells", target->mountpoint,
                          r == -ETIMEDOUT ? "does not answer" : "has gone", target->mountpoint);
            return EXIT_PENDING;
        }
        if (json_is_true(json_object_get(answer, "done")))
            break;
        json_decref(answer);
    }
    code = target_report(answer);
    json_decref(answer);
    return code;
}

int cmd_flush(const struct conf *conf)
{
    struct ctl_client *client;
    struct target target;
    json_t *request;
    int r, code = EXIT_MOUNT_FAILED;

    target_interruptible("r2fs: flush was interrupted; uploads go on\n");
    if (target_open(&target, &client, conf->path, true))
        return EXIT_MOUNT_FAILED;
    request = json_pack("{s:s, s:o}", "op", "flush", "path", ctl_string(target.below));
    if (request && conf->timeout_ms != CONF_NEVER)
        json_object_set_new(request, "timeout_ms", json_integer(conf->timeout_ms));
    r = ctl_client_send(client, request);
    if (r)
        explain_print("%s: the daemon can't be asked: %s", target.mountpoint, strerror(-r));
    else
        code = wait_for_answer(conf, &target, client);
    ctl_client_close(client);
    target_fini(&target);
    return code;
}

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fs/explain.h"
#include "s3/base/clock.h"
#include "tools/cmd.h"
#include "tools/target.h"

#define TIMEOUT_MS 5000

static void print_size(const char *label, const json_t *value)
{
    static const char *const units[] = { "B", "KiB", "MiB", "GiB", "TiB" };
    double size = (double)json_integer_value(value);
    size_t unit = 0;

    for (; size >= 1024 && unit < 4; unit++)
        size /= 1024;
    if (json_is_integer(value))
        printf("%s%.*f %s", label, unit ? 1 : 0, size, units[unit]);
    else
        printf("%sno limit", label);
}

static void print_seconds(const char *label, const json_t *value)
{
    if (json_is_number(value))
        printf("%s%.1f s ago", label, json_number_value(value));
}

static void print_requests(const json_t *requests)
{
    const char *name;
    json_t *count;
    bool any = false;

    json_object_foreach((json_t *)(uintptr_t)requests, name, count) {
        if (json_integer_value(count) == 0)
            continue;
        printf("%s%s %" JSON_INTEGER_FORMAT, any ? ", " : "requests   ", name, json_integer_value(count));
        any = true;
    }
    puts(any ? "" : "requests   none");
}

static void print_honours(const json_t *honours)
{
    const char *name;
    json_t *state;
    bool any = false;

    json_object_foreach((json_t *)(uintptr_t)honours, name, state) {
        printf("%s%s %s", any ? ", " : "conditions ", name, json_is_true(state) ? "honoured" : json_is_false(state) ? "ignored" : "not tried yet");
        any = true;
    }
    if (any)
        putchar('\n');
}

static void print_text(const json_t *answer)
{
    const char *source = json_string_value(json_object_get(answer, "source")), *error = json_string_value(json_object_get(answer, "last_error"));
    const char *place = json_string_value(json_object_get(answer, "mountpoint")), *mode = json_string_value(json_object_get(answer, "mode"));
    json_int_t pending = json_integer_value(json_object_get(answer, "pending_files"));

    printf("%s on %s (%s)\n", source ? source : "?", place ? place : "?", mode ? mode : "?");
    printf("pending    %" JSON_INTEGER_FORMAT " file%s", pending, pending == 1 ? "" : "s");
    if (pending > 0) {
        print_size(", ", json_object_get(answer, "pending_bytes"));
        print_seconds(", the oldest of ", json_object_get(answer, "oldest_pending_s"));
    }
    print_seconds("\nlast poll  ", json_object_get(answer, "last_poll_s"));
    print_size("\ncache      ", json_object_get(answer, "cache_bytes"));
    print_size(" of ", json_object_get(answer, "cache_limit"));
    printf("\nlast error %s\n", error ? error : "none");
    print_requests(json_object_get(answer, "requests"));
    print_honours(json_object_get(answer, "honours"));
}

static int print_answer(const struct conf *conf, json_t *answer)
{
    int code = (int)json_integer_value(json_object_get(answer, "exit"));
    const char *sentence = json_string_value(json_object_get(answer, "error"));

    if (code) {
        explain_print("%s: %s", conf->path, sentence ? sentence : "the daemon refuses");
        return code;
    }
    if (!conf->json) {
        print_text(answer);
        return EXIT_GOOD;
    }
    json_object_del(answer, "done");
    json_object_del(answer, "exit");
    char *text = json_dumps(answer, JSON_INDENT(2) | JSON_REAL_PRECISION(6));
    if (text)
        puts(text);
    free(text);
    return text ? EXIT_GOOD : EXIT_MACHINE;
}

int cmd_status(const struct conf *conf)
{
    struct ctl_client *client;
    struct target target;
    json_t *answer = NULL;
    int r, code = EXIT_MOUNT_FAILED;

    if (target_open(&target, &client, conf->path, false))
        return EXIT_MOUNT_FAILED;
    r = ctl_client_send(client, json_pack("{s:s}", "op", "status"));
    if (!r)
        r = ctl_client_receive(client, clock_mono_ms() + TIMEOUT_MS, &answer);
    if (r)
        explain_print("%s: the daemon does not answer: %s", target.mountpoint, strerror(-r));
    else
        code = print_answer(conf, answer);
    json_decref(answer);
    ctl_client_close(client);
    target_fini(&target);
    return code;
}

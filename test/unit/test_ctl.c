/* The control socket, a server and its clients in one process. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fs/conf.h"
#include "fs/ctl.h"
#include "s3/base/clock.h"

#define DEADLINE_MS 10000

static struct ctl *ctl;
static char spool[40], runtime[40];
static dev_t device;
static atomic_int calls_gone, release_slow;

static void op_status(void *ctx, struct ctl_call *call)
{
    assert_ptr_equal(ctx, &calls_gone);
    ctl_answer(call, 0, json_pack("{s:s}", "mode", "rw"));
}

/* Progress, then an answer once the test lets it, or nobody waits. */
static void op_flush(void *ctx, struct ctl_call *call)
{
    (void)ctx;
    ctl_progress(call, json_pack("{s:i}", "pending_files", 3));
    while (!atomic_load(&release_slow) && !ctl_gone(call))
        poll(NULL, 0, 2);
    if (ctl_gone(call))
        atomic_fetch_add(&calls_gone, 1);
    ctl_answer(call, 3, json_pack("{s:s, s:I}", "path", ctl_path(call) ? ctl_path(call) : "", "timeout", (json_int_t)ctl_timeout_ms(call, 77)));
}

static void op_silent(void *ctx, struct ctl_call *call)
{
    (void)ctx;
    (void)call;
}

static const struct ctl_op ops[] = {
    { "status", true, false, op_status },
    { "flush", false, true, op_flush },
    { "silent", false, false, op_silent },
    { NULL, false, false, NULL },
};

static void start(bool allow_other)
{
    const struct ctl_config config = { .spool = spool, .owner = geteuid(), .allow_other = allow_other, .ops = ops, .ctx = &calls_gone };

    atomic_store(&release_slow, 0);
    assert_int_equal(ctl_start(&ctl, &config), 0);
    assert_int_equal(ctl_publish(ctl, device), 0);
}

static int stop(void **state)
{
    (void)state;
    ctl_stop(ctl);
    ctl = NULL;
    return 0;
}

static struct ctl_client *connect_client(void)
{
    struct ctl_client *client;

    assert_int_equal(ctl_client_open(&client, device, geteuid()), 0);
    return client;
}

static json_t *receive(struct ctl_client *client)
{
    json_t *object;

    assert_int_equal(ctl_client_receive(client, clock_mono_ms() + DEADLINE_MS, &object), 0);
    return object;
}

static void expect_answer(struct ctl_client *client, int code)
{
    json_t *answer = receive(client);

    assert_true(json_is_true(json_object_get(answer, "done")));
    assert_int_equal(json_integer_value(json_object_get(answer, "exit")), code);
    json_decref(answer);
}

static void ask_status(struct ctl_client *client)
{
    assert_int_equal(ctl_client_send(client, json_pack("{s:s}", "op", "status")), 0);
    expect_answer(client, 0);
}

static void a_request_is_answered_and_the_next_one_too(void **state)
{
    (void)state;
    start(false);
    struct ctl_client *client = connect_client();
    ask_status(client);
    ask_status(client);
    ctl_client_close(client);
}

static void a_slow_operation_reports_progress_and_holds_up_nobody(void **state)
{
    json_t *object;

    (void)state;
    start(false);
    struct ctl_client *slow = connect_client(), *fast = connect_client();
    assert_int_equal(ctl_client_send(slow, json_pack("{s:s, s:s, s:i}", "op", "flush", "path", "a/b", "timeout_ms", 5)), 0);
    object = receive(slow);
    assert_int_equal(json_integer_value(json_object_get(object, "pending_files")), 3);
    json_decref(object);
    ask_status(fast);
    assert_int_equal(ctl_client_receive(slow, clock_mono_ms() + 20, &object), -ETIMEDOUT);
    atomic_store(&release_slow, 1);
    object = receive(slow);
    assert_string_equal(json_string_value(json_object_get(object, "path")), "a/b");
    assert_int_equal(json_integer_value(json_object_get(object, "timeout")), 5);
    assert_int_equal(json_integer_value(json_object_get(object, "exit")), 3);
    json_decref(object);
    ask_status(slow);
    ctl_client_close(slow);
    ctl_client_close(fast);
}

static void an_operation_learns_that_its_client_hung_up(void **state)
{
    (void)state;
    start(false);
    atomic_store(&calls_gone, 0);
    struct ctl_client *client = connect_client();
    assert_int_equal(ctl_client_send(client, json_pack("{s:s}", "op", "flush")), 0);
    json_decref(receive(client));
    ctl_client_close(client);
    for (int64_t deadline = clock_mono_ms() + DEADLINE_MS; !atomic_load(&calls_gone) && clock_mono_ms() < deadline;)
        poll(NULL, 0, 2);
    assert_int_equal(atomic_load(&calls_gone), 1);
}

static void stopping_ends_operations_and_hangs_up(void **state)
{
    json_t *object;

    (void)state;
    start(false);
    struct ctl_client *client = connect_client();
    assert_int_equal(ctl_client_send(client, json_pack("{s:s}", "op", "flush")), 0);
    json_decref(receive(client));
    stop(NULL);
    assert_int_equal(ctl_client_receive(client, clock_mono_ms() + DEADLINE_MS, &object), -EPIPE);
    ctl_client_close(client);
    assert_int_equal(ctl_client_open(&client, device, geteuid()), -ENOENT);
}

static void what_is_no_request_gets_an_error(void **state)
{
    (void)state;
    start(false);
    struct ctl_client *client = connect_client();
    assert_int_equal(ctl_client_send(client, json_pack("{s:s}", "op", "conjure")), 0);
    expect_answer(client, 1);
    assert_int_equal(ctl_client_send(client, json_pack("[i]", 1)), 0);
    expect_answer(client, 1);
    assert_int_equal(ctl_client_send(client, json_pack("{s:s}", "op", "silent")), 0);
    expect_answer(client, 2);
    ask_status(client);
    ctl_client_close(client);
}

static void many_clients_are_served_and_one_too_many_is_hung_up_on(void **state)
{
    struct ctl_client *clients[CTL_CLIENTS_MAX], *more;
    json_t *object;

    (void)state;
    start(false);
    for (int i = 0; i < CTL_CLIENTS_MAX; i++)
        ask_status(clients[i] = connect_client());
    more = connect_client();
    assert_int_equal(ctl_client_receive(more, clock_mono_ms() + DEADLINE_MS, &object), -EPIPE);
    ctl_client_close(more);
    for (int i = 0; i < CTL_CLIENTS_MAX; i++) {
        ask_status(clients[i]);
        ctl_client_close(clients[i]);
    }
}

static void a_second_daemon_of_the_same_spool_is_refused(void **state)
{
    const struct ctl_config config = { .spool = spool, .ops = ops };
    struct ctl *second;

    (void)state;
    start(false);
    assert_int_equal(ctl_start(&second, &config), -EADDRINUSE);
    struct ctl_client *client = connect_client();
    ask_status(client);
    ctl_client_close(client);
}

static void a_dead_daemons_socket_is_said_to_be_dead_and_is_replaced(void **state)
{
    struct ctl_client *client;
    int status;
    pid_t pid;

    (void)state;
    pid = fork();
    if (pid == 0) {
        start(false);
        _exit(0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    assert_int_equal(ctl_client_open(&client, device, geteuid()), -ECONNREFUSED);
    start(false);
    client = connect_client();
    ask_status(client);
    ctl_client_close(client);
}

static void the_spools_name_finds_it_without_a_mount(void **state)
{
    struct ctl_client *client;

    (void)state;
    start(false);
    ctl_unpublish(ctl);
    assert_int_equal(ctl_client_open(&client, device, geteuid()), -ENOENT);
    assert_int_equal(ctl_client_open_spool(&client, spool, geteuid()), 0);
    ask_status(client);
    ctl_client_close(client);
}

/* As another user, whose codes come back as this process's exit code: 10 × that of status + that of flush. */
static int as_nobody(void)
{
    char path[108], directory[40];
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    static const char request[] = "{\"op\":\"status\"}\n{\"op\":\"flush\"}\n";
    char text[4096];
    size_t length = 0;
    int fd = socket(AF_UNIX, SOCK_STREAM, 0), codes[2] = { 9, 9 }, n = 0;

    ctl_directory(directory, sizeof directory, 0);
    snprintf(path, sizeof path, "%s/%s.sock", directory, spool);
    snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
    if (setgid(65534) || setuid(65534) || connect(fd, (struct sockaddr *)&address, sizeof address))
        return 99;
    if (write(fd, request, sizeof request - 1) < 0)
        return 98;
    while (n < 2) {
        ssize_t got = read(fd, text + length, sizeof text - 1 - length);
        if (got <= 0)
            return 97;
        length += (size_t)got;
        text[length] = '\0';
        n = 0;
        for (char *at = text; n < 2 && (at = strstr(at, "\"exit\":")); n++, at++)
            codes[n] = at[7] == '0' ? 0 : 1;
    }
    return codes[0] * 10 + codes[1];
}

static int ask_as_nobody(void)
{
    int status;
    pid_t pid = fork();

    if (pid == 0)
        _exit(as_nobody());
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WEXITSTATUS(status);
}

static void others_may_ask_for_the_status_alone_and_only_with_allow_other(void **state)
{
    (void)state;
    if (geteuid() != 0)
        skip();
    start(true);
    assert_int_equal(ask_as_nobody(), 1);
    stop(NULL);
    start(false);
    assert_int_equal(ask_as_nobody(), 11);
}

static void bytes_that_are_no_utf8_are_replaced(void **state)
{
    static const struct {
        const char *bytes, *text;
    } cases[] = {
        { "plain", "plain" }, { "gr\xc3\xbc\xc3\x9f", "gr\xc3\xbc\xc3\x9f" }, { "a\xff" "b", "a\xef\xbf\xbd" "b" }, { "\xc3", "\xef\xbf\xbd" },
        { "\xed\xa0\x80", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd" }, { "\xf0\x9f\x9a\x80", "\xf0\x9f\x9a\x80" }, { "", "" },
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        json_t *string = ctl_string(cases[i].bytes);
        assert_string_equal(json_string_value(string), cases[i].text);
        json_decref(string);
    }
}

static void a_directory_that_others_can_write_to_is_not_trusted(void **state)
{
    const struct ctl_config config = { .spool = spool, .ops = ops };
    char directory[108];
    struct ctl_client *client;

    (void)state;
    if (geteuid() == 0)
        skip(); /* root's is /run/r2fs, which is not ours to change here */
    start(false);
    assert_int_equal(ctl_directory(directory, sizeof directory, geteuid()), 0);
    assert_int_equal(chmod(directory, 0777), 0);
    assert_int_equal(ctl_client_open(&client, device, geteuid()), -ENOENT);
    stop(NULL);
    assert_int_equal(ctl_start(&ctl, &config), -EPERM);
    ctl = NULL;
    assert_int_equal(chmod(directory, 0700), 0);
}

static int set_up(void **state)
{
    (void)state;
    /* Names that no other run has; as root the directory is everybody's. */
    snprintf(spool, sizeof spool, "test-ctl-%d", getpid());
    device = makedev(4000 + (unsigned)getpid() % 90, (unsigned)getpid());
    snprintf(runtime, sizeof runtime, "/tmp/r2fs-ctl.XXXXXX");
    return mkdtemp(runtime) && !setenv("XDG_RUNTIME_DIR", runtime, 1) ? 0 : -1;
}

static int tear_down(void **state)
{
    char directory[108];

    (void)state;
    snprintf(directory, sizeof directory, "%s/r2fs", runtime);
    rmdir(directory);
    return rmdir(runtime);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(a_request_is_answered_and_the_next_one_too, stop),
        cmocka_unit_test_teardown(a_slow_operation_reports_progress_and_holds_up_nobody, stop),
        cmocka_unit_test_teardown(an_operation_learns_that_its_client_hung_up, stop),
        cmocka_unit_test_teardown(stopping_ends_operations_and_hangs_up, stop),
        cmocka_unit_test_teardown(what_is_no_request_gets_an_error, stop),
        cmocka_unit_test_teardown(many_clients_are_served_and_one_too_many_is_hung_up_on, stop),
        cmocka_unit_test_teardown(a_second_daemon_of_the_same_spool_is_refused, stop),
        cmocka_unit_test_teardown(a_dead_daemons_socket_is_said_to_be_dead_and_is_replaced, stop),
        cmocka_unit_test_teardown(the_spools_name_finds_it_without_a_mount, stop),
        cmocka_unit_test_teardown(others_may_ask_for_the_status_alone_and_only_with_allow_other, stop),
        cmocka_unit_test_teardown(a_directory_that_others_can_write_to_is_not_trusted, stop),
        cmocka_unit_test(bytes_that_are_no_utf8_are_replaced),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}

/* s3/base: the buffer, the log and the locks. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "s3/base/buf.h"
#include "s3/base/clock.h"
#include "s3/base/lock.h"
#include "s3/base/log.h"

static void a_buffer_grows_to_its_maximum_and_keeps_what_it_had(void **state)
{
    (void)state;
    struct buf b = BUF_INIT(10);
    buf_puts(&b, "12345");
    buf_printf(&b, "%d", 67890);
    assert_false(b.failed);
    assert_string_equal(b.data, "1234567890");
    buf_putc(&b, 'x');
    assert_true(b.failed);
    assert_string_equal(b.data, "1234567890");
    buf_reset(&b);
    buf_puts(&b, "again");
    assert_string_equal(b.data, "again");
    buf_fini(&b);
    struct buf unbounded = BUF_INIT(SIZE_MAX);
    buf_puts(&unbounded, "any");
    assert_string_equal(unbounded.data, "any");
    buf_fini(&unbounded);
}

static void a_stolen_string_is_the_callers_and_null_after_a_failure(void **state)
{
    (void)state;
    struct buf b = BUF_INIT(4);
    char *empty = buf_steal(&b);
    assert_string_equal(empty, "");
    free(empty);
    buf_puts(&b, "12345");
    assert_null(buf_steal(&b));
    buf_puts(&b, "1234");
    char *text = buf_steal(&b);
    assert_string_equal(text, "1234");
    free(text);
    assert_null(b.data);
}

static void read_log(const char *path, char *text, size_t size)
{
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    text[fread(text, 1, size - 1, file)] = '\0';
    fclose(file);
}

static void a_log_line_is_one_line_whatever_is_in_it(void **state)
{
    (void)state;
    char path[] = "/tmp/r2fs-log-XXXXXX", text[8192] = "", large[4000];
    close(mkstemp(path));
    assert_int_equal(log_open(path, 0, LOG_LEVEL_INFO), 0);
    log_notice("a key %s", "x\n2026-01-01 error: forged\r\x1b[2J");
    log_debug("never %d", 1);
    memset(large, 'l', sizeof large - 1);
    large[sizeof large - 1] = '\0';
    errno = ENOENT;
    log_error("%s", large);
    assert_int_equal(errno, ENOENT);
    log_close();
    read_log(path, text, sizeof text);
    size_t lines = 0;
    for (const char *c = text; *c; c++)
        lines += *c == '\n';
    assert_int_equal(lines, 2);
    assert_non_null(strstr(text, "notice: a key x?2026-01-01 error: forged??[2J\n"));
    assert_non_null(strstr(text, "error: lll"));
    unlink(path);
}

static void a_log_file_is_ours_alone_and_never_a_planted_link(void **state)
{
    (void)state;
    char dir[] = "/tmp/r2fs-log-XXXXXX", path[64], link[64];
    struct stat st;
    assert_non_null(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/log", dir);
    snprintf(link, sizeof link, "%s/link", dir);
    assert_int_equal(log_open(path, 0, LOG_LEVEL_NOTICE), 0);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    log_close();
    assert_int_equal(symlink(path, link), 0);
    assert_int_equal(log_open(link, 0, LOG_LEVEL_NOTICE), -ELOOP);
    unlink(link);
    assert_int_equal(mkfifo(link, 0600), 0);
    assert_true(log_open(link, 0, LOG_LEVEL_NOTICE) < 0);
    unlink(link);
    unlink(path);
    rmdir(dir);
}

/* Runs f in a child; true: it was ended by an assertion. */
static bool aborts(void (*f)(void))
{
    int status;
    pid_t child = fork();
    if (child == 0) {
        struct rlimit none = { 0, 0 };
        setrlimit(RLIMIT_CORE, &none);
        int null = open("/dev/null", O_WRONLY);
        dup2(null, STDERR_FILENO);
        signal(SIGABRT, SIG_DFL);
        f();
        _exit(0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    return WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT;
}

static struct lock first, second, twins[2];

static void NO_LOCK_ANALYSIS falling_rank(void)
{
    lock_take(&second);
    lock_take(&first);
}

static void NO_LOCK_ANALYSIS rising_rank(void)
{
    lock_take(&first);
    lock_take(&second);
    lock_drop(&first);
    lock_take(&twins[1]);
    lock_drop(&twins[1]);
    lock_drop(&second);
}

static void NO_LOCK_ANALYSIS twice(void)
{
    lock_take(&first);
    lock_take(&first);
}

static void NO_LOCK_ANALYSIS one_rank_upwards(void)
{
    lock_take(&twins[0]);
    lock_take(&twins[1]);
    lock_drop(&twins[0]);
    lock_drop(&twins[1]);
}

static void NO_LOCK_ANALYSIS one_rank_downwards(void)
{
    lock_take(&twins[1]);
    lock_take(&twins[0]);
}

static void NO_LOCK_ANALYSIS drop_what_is_not_held(void)
{
    lock_drop(&first);
}

static void NO_LOCK_ANALYSIS assert_what_is_not_held(void)
{
    lock_assert_held(&first);
}

static void locks_out_of_order_end_the_program(void **state)
{
    (void)state;
    assert_false(aborts(rising_rank));
    assert_false(aborts(one_rank_upwards));
    assert_true(aborts(falling_rank));
    assert_true(aborts(one_rank_downwards));
    assert_true(aborts(twice));
    assert_true(aborts(drop_what_is_not_held));
    assert_true(aborts(assert_what_is_not_held));
}

static void a_wait_ends_at_its_time_by_the_monotonic_clock(void **state)
{
    (void)state;
    pthread_cond_t cond;
    lock_cond_init(&cond);
    int64_t before = clock_mono_ms();
    lock_take(&first);
    while (lock_wait_until(&first, &cond, before + 50))
        ;
    lock_assert_held(&first);
    lock_drop(&first);
    assert_in_range(clock_mono_ms() - before, 50, 2000);
    pthread_cond_destroy(&cond);
}

int main(void)
{
    lock_init(&first, LOCK_NODE);
    lock_init(&second, LOCK_DB);
    lock_init(&twins[0], LOCK_PUSH);
    lock_init(&twins[1], LOCK_PUSH);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_buffer_grows_to_its_maximum_and_keeps_what_it_had),
        cmocka_unit_test(a_stolen_string_is_the_callers_and_null_after_a_failure),
        cmocka_unit_test(a_log_line_is_one_line_whatever_is_in_it),
        cmocka_unit_test(a_log_file_is_ours_alone_and_never_a_planted_link),
        cmocka_unit_test(locks_out_of_order_end_the_program),
        cmocka_unit_test(a_wait_ends_at_its_time_by_the_monotonic_clock),
    };
    return cmocka_run_group_tests_name("base", tests, NULL, NULL);
}

/*
 * fs/ on a real mount, with a cache in memory that answers as told. What touches the mount runs in a child process, so
 * that a request which never ends hangs the child, and the time limit of the test ends it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include <linux/fuse.h>

#include "fs/mountpoint.h"
#include "fs/node.h"
#include "fs/notice.h"
#include "fs/park.h"
#include "fs/session.h"
#include "test/unit/memcache.inc"

static struct fs fs;
static struct cache *cache;
static struct session *session;
static char place[] = "/tmp/r2fs-test-fs.XXXXXX";

/* ---- tools ---- */

/* Runs fn in a child that stands in the mount; its result is the child's exit code. */
static pid_t start(int (*fn)(void))
{
    pid_t pid = fork();
    if (pid == 0) {
        alarm(20);
        _exit(chdir(place) == 0 ? fn() : 99);
    }
    return pid;
}

static int finish(pid_t pid)
{
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static int run(int (*fn)(void))
{
    return finish(start(fn));
}

static uint64_t requests(unsigned opcode)
{
    return session_requests(session, opcode);
}

static uint64_t all_requests(void)
{
    uint64_t sum = 0;
    for (unsigned i = 0; i < SESSION_OPCODES; i++)
        sum += i == FUSE_FORGET || i == FUSE_BATCH_FORGET ? 0 : requests(i);
    return sum;
}

static void pause_ms(int64_t ms)
{
    struct timespec time = { .tv_sec = ms / 1000, .tv_nsec = (ms % 1000) * 1000000 };
    nanosleep(&time, NULL);
}

static bool within(int64_t ms, bool (*condition)(void))
{
    for (int64_t end = clock_mono_ms() + ms; !condition(); pause_ms(1))
        if (clock_mono_ms() > end)
            return false;
    return true;
}

static bool something_waits(void)
{
    return park_count(fs.park) > 0;
}

static bool nothing_waits(void)
{
    return park_count(fs.park) == 0;
}

static int put(const char *name, const char *text)
{
    int fd = open(name, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    if (fd < 0 || write(fd, text, strlen(text)) != (ssize_t)strlen(text) || close(fd) != 0)
        return errno ? errno : EIO;
    return 0;
}

static bool holds(const char *name, const char *text)
{
    char buffer[256];
    int fd = open(name, O_RDONLY);
    ssize_t length = fd < 0 ? -1 : read(fd, buffer, sizeof buffer);
    if (fd >= 0)
        close(fd);
    return length == (ssize_t)strlen(text) && memcmp(buffer, text, (size_t)length) == 0;
}

#define CHECK(condition) do { if (!(condition)) { fprintf(stderr, "%s:%d: %s (errno %d)\n", __FILE__, __LINE__, #condition, errno); return 1; } } while (0)

/* ---- the mount ---- */

static int setup(void **state)
{
    char why[512];
    (void)state;
    if (access("/dev/fuse", R_OK | W_OK) != 0 || geteuid() != 0)
        return 0; /* each test skips itself */
    if (!mkdtemp(place) || fs_init(&fs) != 0)
        return -1;
    struct cache_events events = { .arg = fs.notices, .name = notice_name, .attr = notice_attr, .content = notice_content };
    cache = mem_new(&events);
    struct session_config config = { .mountpoint = place, .name = "B/a, b" };
    if (fs_start(&fs, cache, 5000) != 0)
        return -1;
    if (session_open(&session, &fs, &config, why, sizeof why) != 0) {
        fprintf(stderr, "%s\n", why);
        return -1;
    }
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    if (!session)
        return 0;
    if (mountpoint_remove(place, false) != 0) {
        session_abort(session);
        mountpoint_remove(place, true);
    }
    session_join(session);
    fs_stop(&fs);
    session_close(session);
    mem_free(cache);
    fs_fini(&fs);
    rmdir(place);
    return 0;
}

static void need_mount(void)
{
    if (!session)
        skip();
}

/* ---- names and files ---- */

static int use_files(void)
{
    char target[64];
    struct stat st;
    struct statfs sf;
    CHECK(put("file", "hello") == 0);
    CHECK(holds("file", "hello"));
    CHECK(mkdir("dir", 0750) == 0 && stat("dir", &st) == 0 && S_ISDIR(st.st_mode) && (st.st_mode & 0777) == 0750);
    CHECK(rename("file", "dir/moved") == 0 && access("file", F_OK) != 0 && errno == ENOENT);
    CHECK(symlink("dir/moved", "link") == 0 && readlink("link", target, sizeof target) == 9 && holds("link", "hello"));
    CHECK(link("dir/moved", "second") == 0 && stat("second", &st) == 0 && st.st_nlink == 2);
    CHECK(chmod("second", 0600) == 0 && stat("dir/moved", &st) == 0 && (st.st_mode & 0777) == 0600);
    CHECK(truncate("second", 2) == 0 && holds("dir/moved", "he"));
    CHECK(renameat2(AT_FDCWD, "second", AT_FDCWD, "link", RENAME_NOREPLACE) != 0 && errno == EEXIST);
    CHECK(renameat2(AT_FDCWD, "second", AT_FDCWD, "x", RENAME_WHITEOUT) != 0 && errno == EINVAL);
    CHECK(mkfifo("fifo", 0644) == 0 && stat("fifo", &st) == 0 && S_ISFIFO(st.st_mode));
    CHECK(unlink("dir/moved") == 0 && unlink("second") == 0 && unlink("link") == 0 && unlink("fifo") == 0 && rmdir("dir") == 0);
    CHECK(statfs(".", &sf) == 0 && (uint64_t)sf.f_blocks * (uint64_t)sf.f_bsize == UINT64_C(1) << 50);
    return 0;
}

static void files_directories_and_links_do_what_they_should(void **state)
{
    (void)state;
    need_mount();
    assert_int_equal(run(use_files), 0);
}

static int use_long_name(void)
{
    char name[258];
    memset(name, 'n', sizeof name);
    name[256] = '\0';
    struct stat st;
    CHECK(stat(name, &st) != 0 && errno == ENAMETOOLONG);
    CHECK(mkdir(name, 0755) != 0 && errno == ENAMETOOLONG);
    CHECK(mkdir("short", 0755) == 0 && rename("short", name) != 0 && errno == ENAMETOOLONG && rmdir("short") == 0);
    name[255] = '\0';
    CHECK(put(name, "x") == 0 && unlink(name) == 0);
    return 0;
}

static void a_name_of_more_than_255_bytes_is_refused(void **state)
{
    (void)state;
    need_mount();
    assert_int_equal(run(use_long_name), 0);
}

static int use_append(void)
{
    int one = open("log", O_WRONLY | O_CREAT | O_APPEND, 0644), two = open("log", O_WRONLY | O_APPEND);
    CHECK(write(one, "a", 1) == 1 && write(two, "b", 1) == 1 && write(one, "c", 1) == 1);
    CHECK(close(one) == 0 && close(two) == 0 && holds("log", "abc") && unlink("log") == 0);
    return 0;
}

static void appends_by_several_descriptors_follow_one_another(void **state)
{
    (void)state;
    need_mount();
    assert_int_equal(run(use_append), 0);
}

static int use_large(void)
{
    enum { SIZE = 3 << 20 };
    char *data = malloc(SIZE), *back = malloc(SIZE);
    for (int i = 0; i < SIZE; i++)
        data[i] = (char)(i * 7 + i / 4096);
    int fd = open("large", O_RDWR | O_CREAT, 0644);
    CHECK(write(fd, data, SIZE) == SIZE && fsync(fd) == 0);
    CHECK(posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED) == 0 && pread(fd, back, SIZE, 0) == SIZE && memcmp(data, back, SIZE) == 0);
    CHECK(close(fd) == 0 && unlink("large") == 0);
    free(data);
    free(back);
    return 0;
}

static void a_large_write_travels_a_mebibyte_a_request(void **state)
{
    (void)state;
    need_mount();
    uint64_t before = requests(FUSE_WRITE);
    assert_int_equal(run(use_large), 0);
    assert_in_range(requests(FUSE_WRITE) - before, 3, 4); /* a MiB a request */
}

/* ---- waiting ---- */

static int look_slow(void)
{
    int64_t start_ms = clock_mono_ms();
    static const char *const names[] = { "slow400-a", "slow400-b", "slow400-c" };
    pid_t pid[3];
    for (int i = 0; i < 3; i++)
        if ((pid[i] = fork()) == 0)
            _exit(access(names[i], F_OK) != 0 && errno == ENOENT ? 0 : 1);
    for (int i = 0; i < 3; i++)
        CHECK(finish(pid[i]) == 0);
    CHECK(clock_mono_ms() - start_ms < 800);
    return 0;
}

static void three_slow_lookups_in_a_directory_take_as_long_as_one(void **state)
{
    (void)state;
    need_mount();
    assert_int_equal(run(look_slow), 0);
}

static int look_at_many(void)
{
    enum { MANY = 40 };
    pid_t pid[MANY];
    char name[32];
    for (int i = 0; i < MANY; i++) {
        if ((pid[i] = fork()) == 0) {
            snprintf(name, sizeof name, "slow300-many%d", i);
            _exit(access(name, F_OK) != 0 && errno == ENOENT ? 0 : 1);
        }
    }
    /* More wait than there are workers, and yet others are served. */
    CHECK(put("beside", "x") == 0 && holds("beside", "x") && unlink("beside") == 0);
    for (int i = 0; i < MANY; i++)
        CHECK(finish(pid[i]) == 0);
    return 0;
}

static void more_waiting_requests_than_workers_hold_nobody_up(void **state)
{
    (void)state;
    need_mount();
    assert_int_equal(run(look_at_many), 0);
    assert_true(nothing_waits());
}

static int look_failing(void)
{
    CHECK(access("fail100-a", F_OK) != 0 && errno == EIO);
    return 0;
}

static void a_wait_that_fails_tells_its_error(void **state)
{
    (void)state;
    need_mount();
    assert_int_equal(run(look_failing), 0);
}

static int write_slowly(void)
{
    char text[64], name[] = "write200-a", back[64];
    memset(text, 'w', sizeof text);
    int fd = open(name, O_RDWR | O_CREAT, 0644);
    pid_t pid = fork();
    if (pid == 0)
        _exit(write(fd, text, sizeof text) == sizeof text ? 0 : 1);
    /* These requests come into the buffers of all workers while the other one waits. */
    for (int i = 0; i < 50; i++)
        CHECK(put("other", "0123456789012345678901234567890123456789012345678901234567890123456789") == 0);
    CHECK(finish(pid) == 0);
    CHECK(pread(fd, back, sizeof back, 0) == sizeof back && memcmp(back, text, sizeof text) == 0);
    CHECK(close(fd) == 0 && unlink(name) == 0 && unlink("other") == 0);
    return 0;
}

static void a_write_that_waits_keeps_its_bytes(void **state)
{
    (void)state;
    need_mount();
    assert_int_equal(run(write_slowly), 0);
}

static int read_slowly(void)
{
    CHECK(put("read150-a", "late") == 0);
    int fd = open("read150-a", O_RDONLY | O_DIRECT);
    char back[8];
    CHECK(pread(fd, back, sizeof back, 0) == 4 && memcmp(back, "late", 4) == 0 && close(fd) == 0 && unlink("read150-a") == 0);
    return 0;
}

static void a_read_that_waits_gets_its_bytes(void **state)
{
    (void)state;
    need_mount();
    assert_int_equal(run(read_slowly), 0);
}

/* ---- interrupts ---- */

static int look_never(void)
{
    return access("never-a", F_OK) == 0 ? 0 : errno;
}

static void note_signal(int number)
{
    (void)number;
}

static void handle(int number)
{
    struct sigaction action = { .sa_handler = note_signal, .sa_flags = SA_RESTART };
    sigaction(number, &action, NULL);
}

static int look_never_handling_int(void)
{
    handle(SIGINT);
    return look_never();
}

static int look_never_with_timer(void)
{
    handle(SIGUSR1);
    return look_never();
}

static int look_slow_with_timer(void)
{
    handle(SIGUSR1);
    return access("slow600-timer", F_OK) == 0 ? 0 : errno;
}

/* Sends the signal once the child's request waits, and returns how the child ended; *ms: after how long. */
static int interrupt_child(int (*fn)(void), int first, int second, int64_t *ms)
{
    pid_t pid = start(fn);
    assert_true(within(5000, something_waits));
    if (first != 0) {
        kill(pid, first);
        pause_ms(200);
    }
    int64_t start_ms = clock_mono_ms();
    if (second != 0)
        kill(pid, second);
    int code = finish(pid);
    *ms = clock_mono_ms() - start_ms;
    assert_true(within(1000, nothing_waits));
    return code;
}

static void a_killed_program_is_gone_within_100_ms(void **state)
{
    int64_t ms;
    (void)state;
    need_mount();
    assert_int_equal(interrupt_child(look_never, 0, SIGKILL, &ms), 128 + SIGKILL);
    assert_in_range(ms, 0, 100);
    assert_int_equal(interrupt_child(look_never, 0, SIGTERM, &ms), 128 + SIGTERM);
    assert_in_range(ms, 0, 100);
}

static void a_program_asked_to_stop_is_answered_within_100_ms(void **state)
{
    int64_t ms;
    (void)state;
    need_mount();
    assert_int_equal(interrupt_child(look_never_handling_int, 0, SIGINT, &ms), EINTR);
    assert_in_range(ms, 0, 100);
}

static void a_signal_that_a_program_handles_in_passing_interrupts_nothing(void **state)
{
    int64_t ms;
    (void)state;
    need_mount();
    assert_int_equal(interrupt_child(look_slow_with_timer, SIGUSR1, 0, &ms), ENOENT);
}

static void a_kill_after_such_a_signal_is_seen_too(void **state)
{
    int64_t ms;
    (void)state;
    need_mount();
    assert_int_equal(interrupt_child(look_never_with_timer, SIGUSR1, SIGKILL, &ms), 128 + SIGKILL);
    assert_in_range(ms, 0, 150);
}

/* Interrupts that meet the wake: each request must have exactly one reply, whichever wins. */
static int look_briefly(void)
{
    char name[32];
    for (int i = 0; i < 40; i++) {
        snprintf(name, sizeof name, "slow%d-race%d", i % 7, i);
        if (access(name, F_OK) == 0 || (errno != ENOENT && errno != EINTR))
            return 1;
    }
    return 0;
}

static void an_interrupt_that_meets_the_answer_makes_one_reply(void **state)
{
    int status;
    (void)state;
    need_mount();
    handle(SIGINT); /* before the fork: the first one may come early */
    pid_t pid = start(look_briefly);
    while (waitpid(pid, &status, WNOHANG) == 0) {
        kill(pid, SIGINT);
        pause_ms(1);
    }
    signal(SIGINT, SIG_DFL);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    assert_true(nothing_waits());
}

/* ---- what costs how many requests ---- */

static int make_one(void)
{
    return put("one", "text");
}

static int remove_one(void)
{
    return unlink("one") == 0 ? 0 : errno;
}

static int read_one(void)
{
    return holds("one", "text") ? 0 : 1;
}

/* The kernel drops its pages of the file. */
static int empty_one(void)
{
    int fd = open("one", O_RDONLY);
    CHECK(posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED) == 0 && close(fd) == 0);
    return 0;
}

static int stat_one(void)
{
    struct stat st;
    return stat("one", &st) == 0 ? 0 : errno;
}

static uint64_t cost(int (*fn)(void))
{
    /* RELEASE is sent when nobody waits for it. */
    pause_ms(20);
    uint64_t before = all_requests();
    assert_int_equal(run(fn), 0);
    pause_ms(20);
    return all_requests() - before;
}

static void common_operations_cost_no_more_requests_than_they_need(void **state)
{
    (void)state;
    need_mount();
    assert_int_equal(run(stat_one), ENOENT); /* and the root's attributes are fresh */
    assert_in_range(cost(make_one), 1, 6);
    run(read_one);
    assert_in_range(cost(read_one), 1, 2);
    cost(stat_one);
    assert_int_equal(cost(stat_one), 0);
    assert_in_range(cost(remove_one), 1, 2);
    cost(make_one);
    cost(stat_one); /* after a write the kernel asks for the size again, once */
    cost(empty_one);
    assert_in_range(cost(read_one), 1, 3);
    cost(remove_one);
}

static int count_rows(void)
{
    DIR *dir = opendir("rows");
    int count = 0;
    for (struct dirent *row; (row = readdir(dir)) != NULL;)
        count++;
    closedir(dir);
    return count;
}

static int stat_rows(void)
{
    DIR *dir = opendir("rows");
    struct stat st;
    for (struct dirent *row; (row = readdir(dir)) != NULL;)
        if (fstatat(dirfd(dir), row->d_name, &st, AT_SYMLINK_NOFOLLOW) != 0)
            return 1;
    closedir(dir);
    return 0;
}

static int make_rows(void)
{
    char name[32];
    CHECK(mkdir("rows", 0755) == 0);
    for (int i = 0; i < 150; i++) {
        snprintf(name, sizeof name, "rows/file%d", i);
        CHECK(put(name, "x") == 0);
    }
    return 0;
}

static void a_second_walk_costs_three_requests_a_directory_and_no_lookup(void **state)
{
    (void)state;
    need_mount();
    assert_int_equal(run(make_rows), 0);
    assert_int_equal(run(count_rows), 152);
    assert_int_equal(run(stat_rows), 0);
    uint64_t lookups = requests(FUSE_LOOKUP);
    assert_in_range(cost(stat_rows), 1, 3);
    assert_int_equal(requests(FUSE_LOOKUP) - lookups, 0);
}

static int list_unknown(void)
{
    int64_t start_ms = clock_mono_ms();
    struct stat st;
    DIR *dir = opendir("unknown");
    int unknown = 0, known = 0;
    for (struct dirent *row; (row = readdir(dir)) != NULL;) {
        unknown += row->d_type == DT_UNKNOWN;
        known += row->d_type == DT_REG;
    }
    closedir(dir);
    CHECK(unknown == 1 && known == 1 && clock_mono_ms() - start_ms < 200);
    CHECK(stat("unknown/plain300-a", &st) == 0 && S_ISREG(st.st_mode) && clock_mono_ms() - start_ms >= 300);
    return 0;
}

static int list_through_mount(void)
{
    return list_unknown();
}

static void only_the_lookup_of_an_unknown_row_waits(void **state)
{
    struct cache_attr attr, file;
    (void)state;
    need_mount();
    assert_int_equal(mem_add(cache, CACHE_ROOT, "unknown", S_IFDIR | 0755, &attr), 0);
    assert_int_equal(mem_add(cache, attr.ino, "plain300-a", S_IFREG | 0644, &file), 0);
    assert_int_equal(mem_add(cache, attr.ino, "known", S_IFREG | 0644, &file), 0);
    cache->events.name(cache->events.arg, CACHE_ROOT, "unknown", 7, false);
    assert_int_equal(run(list_through_mount), 0);
}

/* ---- notices ---- */

static bool foreign_is_there(void)
{
    char path[64];
    snprintf(path, sizeof path, "%s/foreign", place);
    return holds(path, "version one");
}

static bool foreign_changed(void)
{
    char path[64];
    snprintf(path, sizeof path, "%s/foreign", place);
    return holds(path, "version two, longer");
}

static bool foreign_has_mode(void)
{
    char path[64];
    struct stat st;
    snprintf(path, sizeof path, "%s/foreign", place);
    return stat(path, &st) == 0 && (st.st_mode & 0777) == 0600;
}

static bool foreign_is_gone(void)
{
    char path[64];
    snprintf(path, sizeof path, "%s/foreign", place);
    return access(path, F_OK) != 0 && errno == ENOENT;
}

static bool listing_shows_it(void)
{
    DIR *dir = opendir(place);
    bool found = false;
    for (struct dirent *row; (row = readdir(dir)) != NULL;)
        found |= strcmp(row->d_name, "foreign") == 0;
    closedir(dir);
    return found;
}

static bool listing_hides_it(void)
{
    return !listing_shows_it();
}

/* The kernel may believe each of these for a day; only a notice changes its mind. */
static void a_foreign_change_is_visible_although_the_kernel_may_believe_for_a_day(void **state)
{
    (void)state;
    need_mount();
    assert_true(foreign_is_gone());
    assert_false(listing_shows_it());
    mem_foreign(cache, "foreign", "version one");
    assert_true(within(2000, foreign_is_there));
    assert_true(within(2000, listing_shows_it));
    mem_foreign(cache, "foreign", "version two, longer");
    assert_true(within(2000, foreign_changed));
    mem_foreign_mode(cache, "foreign", 0600);
    assert_true(within(2000, foreign_has_mode));
    mem_foreign(cache, "foreign", NULL);
    assert_true(within(2000, foreign_is_gone));
    assert_true(within(2000, listing_hides_it));
}

/* The lookup holds the directory's lock in the kernel, for which the notice waits; nothing else may wait for the notice. */
static int look_long(void)
{
    return access("slow500-busy", F_OK) != 0 && errno == ENOENT ? 0 : 1;
}

static void a_notice_that_the_kernel_holds_up_holds_nobody_up(void **state)
{
    (void)state;
    need_mount();
    pid_t pid = start(look_long);
    assert_true(within(5000, something_waits));
    int64_t start_ms = clock_mono_ms();
    for (int i = 0; i < 2000; i++)
        notice_name(fs.notices, CACHE_ROOT, "foreign", 7, false);
    mem_foreign(cache, "foreign", "version one");
    assert_in_range(clock_mono_ms() - start_ms, 0, 300);
    assert_int_equal(finish(pid), 0);
    assert_true(within(2000, foreign_is_there));
    mem_foreign(cache, "foreign", NULL);
    assert_true(within(2000, foreign_is_gone));
}

/* ---- the connection ---- */

static void the_kernel_and_we_agree_on_what_is_asked_for(void **state)
{
    dev_t dev;
    (void)state;
    need_mount();
    assert_non_null(strstr(session_features(session), "parallel_dirops"));
    assert_non_null(strstr(session_features(session), "explicit_inval_data"));
    assert_null(strstr(session_features(session), "writeback"));
    assert_true(mountpoint_find(place, &dev));
    assert_int_equal(dev, session_dev(session));
}

static int hold_file(void)
{
    int fd = open("held", O_RDWR | O_CREAT, 0644);
    return fd < 0 || write(fd, "x", 1) != 1 || access("never-held", F_OK) == 0 ? 1 : errno;
}

/* Last: the mount is gone after it. */
static void an_aborted_connection_ends_every_request_and_gives_up_open_files(void **state)
{
    (void)state;
    need_mount();
    pid_t pid = start(hold_file);
    assert_true(within(5000, something_waits));
    session_abort(session);
    assert_int_equal(finish(pid), ECONNABORTED);
    session_join(session);
    assert_true(session_ended(session));
    fs_stop(&fs);
    assert_null(fs.handles);
    assert_int_equal(cache->inodes[mem_find(cache, CACHE_ROOT, "held")->ino].opens, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_kernel_and_we_agree_on_what_is_asked_for),
        cmocka_unit_test(files_directories_and_links_do_what_they_should),
        cmocka_unit_test(a_name_of_more_than_255_bytes_is_refused),
        cmocka_unit_test(appends_by_several_descriptors_follow_one_another),
        cmocka_unit_test(a_large_write_travels_a_mebibyte_a_request),
        cmocka_unit_test(three_slow_lookups_in_a_directory_take_as_long_as_one),
        cmocka_unit_test(more_waiting_requests_than_workers_hold_nobody_up),
        cmocka_unit_test(a_wait_that_fails_tells_its_error),
        cmocka_unit_test(a_write_that_waits_keeps_its_bytes),
        cmocka_unit_test(a_read_that_waits_gets_its_bytes),
        cmocka_unit_test(a_killed_program_is_gone_within_100_ms),
        cmocka_unit_test(a_program_asked_to_stop_is_answered_within_100_ms),
        cmocka_unit_test(a_signal_that_a_program_handles_in_passing_interrupts_nothing),
        cmocka_unit_test(a_kill_after_such_a_signal_is_seen_too),
        cmocka_unit_test(an_interrupt_that_meets_the_answer_makes_one_reply),
        cmocka_unit_test(common_operations_cost_no_more_requests_than_they_need),
        cmocka_unit_test(a_second_walk_costs_three_requests_a_directory_and_no_lookup),
        cmocka_unit_test(only_the_lookup_of_an_unknown_row_waits),
        cmocka_unit_test(a_foreign_change_is_visible_although_the_kernel_may_believe_for_a_day),
        cmocka_unit_test(a_notice_that_the_kernel_holds_up_holds_nobody_up),
        cmocka_unit_test(an_aborted_connection_ends_every_request_and_gives_up_open_files),
    };
    return cmocka_run_group_tests_name("fs", tests, setup, teardown);
}

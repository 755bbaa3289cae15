/* Which mount a path is on, from the kernel's table. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fs/mountpoint.h"
#include "tools/target.h"

static void a_path_on_another_file_system_is_found_and_is_not_ours(void **state)
{
    struct target target;
    struct stat st;

    (void)state;
    assert_int_equal(stat("/proc", &st), 0);
    assert_int_equal(target_find(&target, "/proc//./self/status", false), 0);
    assert_string_equal(target.mountpoint, "/proc");
    assert_false(target.is_r2fs);
    assert_int_equal(target.dev, st.st_dev);
    target_fini(&target);
}

static void a_path_that_is_not_there_is_enoent(void **state)
{
    struct target target;

    (void)state;
    assert_int_equal(target_find(&target, "/proc/nowhere/at/all", true), -ENOENT);
    assert_int_equal(target_at(&target, "/proc/nowhere"), -ENOENT);
}

static void only_the_mount_point_itself_is_at(void **state)
{
    struct target target;

    (void)state;
    assert_int_equal(target_at(&target, "/proc"), 0);
    assert_string_equal(target.below, "");
    target_fini(&target);
    assert_int_equal(target_at(&target, "/pro"), -ENOENT);
}

/* In a mount namespace of its own; a wrong step's number is the exit code. */
static int in_namespace(const char *directory)
{
    char place[128], below[160], bound[128];
    struct target target;

    snprintf(place, sizeof place, "%s/a b", directory);
    snprintf(below, sizeof below, "%s/sub/dir", place);
    snprintf(bound, sizeof bound, "%s/bound", directory);
    if (unshare(CLONE_NEWNS) || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) || mkdir(place, 0700) || mkdir(bound, 0700) ||
        mount("first", place, "tmpfs", 0, NULL) || mount("s p", place, "tmpfs", 0, NULL))
        return 77;
    if (target_find(&target, below, false) != -ENOENT)
        return 1;
    *strrchr(below, '/') = '\0';
    if (mkdir(below, 0700) || target_find(&target, below, true) || strcmp(target.source, "s p") != 0 || strcmp(target.below, "sub") != 0 ||
        strcmp(target.mountpoint, place) != 0)
        return 2;
    target_fini(&target);
    /* Through a bind, the path is the one in the file system. */
    if (mount(below, bound, NULL, MS_BIND, NULL) || target_find(&target, bound, true) || strcmp(target.below, "sub") != 0 ||
        strcmp(target.mountpoint, bound) != 0)
        return 3;
    target_fini(&target);
    if (chdir(below) || mountpoint_remove(place, false) != -EBUSY || mountpoint_remove(place, true))
        return 4;
    if (target_at(&target, place) || strcmp(target.source, "first") != 0)
        return 5;
    target_fini(&target);
    return mountpoint_remove(place, false) ? 6 : target_at(&target, place) == -ENOENT ? 0 : 7;
}

static void the_newest_mount_of_a_place_counts_and_binds_are_seen_through(void **state)
{
    char directory[] = "/tmp/r2fs-target.XXXXXX", path[128];
    int status;
    pid_t pid;

    (void)state;
    assert_non_null(mkdtemp(directory));
    pid = fork();
    if (pid == 0)
        _exit(in_namespace(directory));
    assert_int_equal(waitpid(pid, &status, 0), pid);
    snprintf(path, sizeof path, "%s/a b", directory);
    rmdir(path);
    snprintf(path, sizeof path, "%s/bound", directory);
    rmdir(path);
    rmdir(directory);
    if (WEXITSTATUS(status) == 77)
        skip();
    assert_int_equal(status, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_path_on_another_file_system_is_found_and_is_not_ours),
        cmocka_unit_test(a_path_that_is_not_there_is_enoent),
        cmocka_unit_test(only_the_mount_point_itself_is_at),
        cmocka_unit_test(the_newest_mount_of_a_place_counts_and_binds_are_seen_through),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

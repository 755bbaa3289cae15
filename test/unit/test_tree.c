/* Names: what POSIX asks of the operations on them, what they cost, and what of them survives. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "cache/db_internal.h"
#include "test/unit/libmount.h"

static const struct cache_caller caller = { .uid = 1000, .gid = 1000 };

static struct cache_attr attr_of(struct libmount *m, const char *path)
{
    struct cache_attr attr = { 0 };
    int rc = libmount_lookup(m, path, &attr);
    if (rc)
        fail_msg("%s: %d", path, rc);
    return attr;
}

static bool later(struct timespec a, struct timespec b)
{
    return a.tv_sec > b.tv_sec || (a.tv_sec == b.tv_sec && a.tv_nsec > b.tv_nsec);
}

/* The clock of file times moves once a tick. */
static void next_tick(void)
{
    struct timespec start, now;
    clock_gettime(CLOCK_REALTIME_COARSE, &start);
    do
        clock_gettime(CLOCK_REALTIME_COARSE, &now);
    while (!later(now, start));
}

static void what_is_made_is_there_after_a_restart_with_its_number(void **state)
{
    struct libmount *m = *state;
    assert_int_equal(libmount_mkdir(m, "d"), 0);
    libmount_put(m, "d/f", "text");
    assert_int_equal(libmount_symlink(m, "d/f", "s"), 0);
    struct cache_attr f = attr_of(m, "d/f"), s = attr_of(m, "s");
    for (int killed = 0; killed < 2; killed++) {
        if (killed)
            libmount_kill(m);
        else
            libmount_reopen(m);
        struct cache_attr now = attr_of(m, "d/f");
        assert_int_equal(now.ino, f.ino);
        assert_int_equal(now.generation, f.generation);
        assert_int_equal(now.mode, S_IFREG | 0644);
        assert_memory_equal(&now.mtime, &f.mtime, sizeof f.mtime);
        assert_memory_equal(&now.ctime, &f.ctime, sizeof f.ctime);
        char target[100], *text = libmount_get(m, "d/f");
        assert_string_equal(text, "text");
        free(text);
        assert_int_equal(cache_readlink(m->cache, s.ino, target, sizeof target, NULL), 0);
        assert_string_equal(target, "d/f");
    }
}

static void operations_cost_one_commit_each(void **state)
{
    struct libmount *m = *state;
    struct cache_file *file;
    assert_int_equal(libmount_mkdir(m, "warm"), 0);
    uint64_t before = libmount_commits(m);
#define COSTS(n, call)                                       \
    do {                                                     \
        assert_int_equal(call, 0);                           \
        assert_int_equal(libmount_commits(m) - before, n);   \
        before = libmount_commits(m);                        \
    } while (0)
    COSTS(1, libmount_mkdir(m, "d"));
    COSTS(1, libmount_create(m, "d/f", O_WRONLY | O_EXCL, &file));
    COSTS(0, libmount_write(m, file, "hello", 5, 0));
    COSTS(1, cache_flush(m->cache, file));
    COSTS(0, cache_flush(m->cache, file));
    cache_release(m->cache, file);
    COSTS(0, libmount_open_file(m, "d/f", O_RDONLY, &file));
    COSTS(0, cache_flush(m->cache, file));
    cache_release(m->cache, file);
    COSTS(1, libmount_rename(m, "d/f", "d/g", 0));
    COSTS(1, libmount_link(m, "d/g", "d/h"));
    COSTS(1, libmount_unlink(m, "d/g"));
    COSTS(1, libmount_symlink(m, "x", "d/s"));
    COSTS(1, libmount_setattr(m, "d/h", CACHE_SET_MODE, &(struct cache_attr){ .mode = 0600 }));
    COSTS(1, libmount_setattr(m, "d/h", CACHE_SET_SIZE, &(struct cache_attr){ .size = 2 }));
    COSTS(1, libmount_setattr(m, "d/h", CACHE_SET_SIZE, &(struct cache_attr){ .size = 0 }));
    COSTS(0, libmount_setattr(m, "d/h", CACHE_SET_SIZE, &(struct cache_attr){ .size = 0 }));
    COSTS(1, libmount_unlink(m, "d/h"));
    COSTS(1, libmount_unlink(m, "d/s"));
    COSTS(1, libmount_rmdir(m, "d"));
#undef COSTS
}

static void making_a_name_that_is_there_fails(void **state)
{
    struct libmount *m = *state;
    struct cache_file *file;
    libmount_put(m, "f", "x");
    assert_int_equal(libmount_mkdir(m, "f"), -EEXIST);
    assert_int_equal(libmount_symlink(m, "x", "f"), -EEXIST);
    assert_int_equal(libmount_create(m, "f", O_RDWR | O_EXCL, &file), -EEXIST);
    assert_int_equal(libmount_create(m, "f", O_RDWR, &file), 0);
    cache_release(m->cache, file);
    assert_int_equal(libmount_mkdir(m, "d"), 0);
    assert_int_equal(libmount_create(m, "d", O_RDWR, &file), -EISDIR);
}

static void names_that_no_key_can_carry_are_refused(void **state)
{
    struct libmount *m = *state;
    char name[300];
    memset(name, 'x', sizeof name);
    name[256] = '\0';
    assert_int_equal(libmount_mkdir(m, name), -ENAMETOOLONG);
    assert_int_equal(libmount_mkdir(m, ".r2fs"), -EPERM);
    assert_int_equal(libmount_ino(m, ".r2fs"), 0);
    name[250] = '\0';
    char path[1400] = "";
    int rc = 0;
    for (int depth = 0; depth < 5 && !rc; depth++) {
        snprintf(path + strlen(path), sizeof path - strlen(path), "%s%s", depth ? "/" : "", name);
        rc = libmount_mkdir(m, path);
    }
    assert_int_equal(rc, -ENAMETOOLONG);
}

static void a_rename_that_makes_a_key_too_long_is_refused_before_anything_moves(void **state)
{
    struct libmount *m = *state;
    char deep[900] = "d", long_name[256], to[600], below[900];
    memset(long_name, 'n', 230);
    long_name[230] = '\0';
    assert_int_equal(libmount_mkdir(m, "d"), 0);
    for (int i = 0; i < 3; i++) {
        snprintf(deep + strlen(deep), sizeof deep - strlen(deep), "/%s", long_name);
        assert_int_equal(libmount_mkdir(m, deep), 0);
    }
    snprintf(below, sizeof below, "%s/f", deep);
    libmount_put(m, below, "x");
    assert_int_equal(libmount_mkdir(m, long_name), 0);
    snprintf(to, sizeof to, "%s/%s", long_name, long_name);
    assert_int_equal(libmount_mkdir(m, to), 0);
    snprintf(to + strlen(to), sizeof to - strlen(to), "/to");
    assert_int_equal(libmount_rename(m, "d", to, 0), -ENAMETOOLONG);
    assert_true(libmount_ino(m, below));
}

static void link_counts_follow_names(void **state)
{
    struct libmount *m = *state;
    assert_int_equal(attr_of(m, "").nlink, 2);
    assert_int_equal(libmount_mkdir(m, "a"), 0);
    assert_int_equal(libmount_mkdir(m, "b"), 0);
    assert_int_equal(libmount_mkdir(m, "a/c"), 0);
    assert_int_equal(attr_of(m, "").nlink, 4);
    assert_int_equal(attr_of(m, "a").nlink, 3);
    assert_int_equal(libmount_rename(m, "a/c", "b/c", 0), 0);
    assert_int_equal(attr_of(m, "a").nlink, 2);
    assert_int_equal(attr_of(m, "b").nlink, 3);
    libmount_put(m, "f", "x");
    assert_int_equal(libmount_link(m, "f", "a/g"), 0);
    assert_int_equal(attr_of(m, "f").nlink, 2);
    assert_int_equal(attr_of(m, "f").ino, attr_of(m, "a/g").ino);
    assert_int_equal(libmount_unlink(m, "f"), 0);
    assert_int_equal(attr_of(m, "a/g").nlink, 1);
    assert_int_equal(libmount_link(m, "a", "x"), -EPERM);
    libmount_reopen(m);
    assert_int_equal(attr_of(m, "").nlink, 4);
    assert_int_equal(attr_of(m, "b").nlink, 3);
}

static void times_of_the_directory_follow_its_names(void **state)
{
    struct libmount *m = *state;
    assert_int_equal(libmount_mkdir(m, "d"), 0);
    struct cache_attr before = attr_of(m, "d"), after;
    uint64_t version = cache_dir_version(m->cache, before.ino);
#define CHANGES(call)                                                       \
    do {                                                                    \
        next_tick();                                                        \
        assert_int_equal(call, 0);                                          \
        after = attr_of(m, "d");                                            \
        assert_true(later(after.mtime, before.mtime));                      \
        assert_true(later(after.ctime, before.ctime));                      \
        assert_true(cache_dir_version(m->cache, before.ino) != version);    \
        version = cache_dir_version(m->cache, before.ino);                  \
        before = after;                                                     \
    } while (0)
    CHANGES(libmount_symlink(m, "x", "d/a"));
    CHANGES(libmount_rename(m, "d/a", "d/b", 0));
    CHANGES(libmount_mkdir(m, "d/c"));
    CHANGES(libmount_unlink(m, "d/b"));
    CHANGES(libmount_rmdir(m, "d/c"));
#undef CHANGES
    next_tick();
    assert_int_equal(libmount_setattr(m, "d", CACHE_SET_MODE, &(struct cache_attr){ .mode = 0700 }), 0);
    after = attr_of(m, "d");
    assert_memory_equal(&after.mtime, &before.mtime, sizeof after.mtime);
    assert_true(later(after.ctime, before.ctime));
}

static void removing_asks_for_the_right_kind(void **state)
{
    struct libmount *m = *state;
    assert_int_equal(libmount_mkdir(m, "d"), 0);
    libmount_put(m, "d/f", "x");
    assert_int_equal(libmount_unlink(m, "d"), -EISDIR);
    assert_int_equal(libmount_rmdir(m, "d/f"), -ENOTDIR);
    assert_int_equal(libmount_rmdir(m, "d"), -ENOTEMPTY);
    assert_int_equal(libmount_unlink(m, "d/none"), -ENOENT);
    assert_int_equal(libmount_unlink(m, "d/f"), 0);
    assert_int_equal(libmount_rmdir(m, "d"), 0);
    assert_int_equal(libmount_ino(m, "d"), 0);
}

static void nothing_is_made_in_a_removed_directory(void **state)
{
    struct libmount *m = *state;
    struct cache_attr attr;
    assert_int_equal(libmount_mkdir(m, "d"), 0);
    uint64_t d = libmount_ino(m, "d");
    assert_int_equal(libmount_rmdir(m, "d"), 0);
    assert_int_equal(cache_mkdir(m->cache, d, "x", 0755, &caller, &attr, NULL), -ENOENT);
    /* The kernel still knows its number, by a working directory for instance. */
    assert_int_equal(cache_getattr(m->cache, d, &attr), 0);
    assert_int_equal(attr.nlink, 0);
    cache_forget(m->cache, d);
    assert_int_equal(cache_getattr(m->cache, d, &attr), -ESTALE);
}

static void a_rename_replaces_what_it_may(void **state)
{
    struct libmount *m = *state;
    libmount_put(m, "a", "a");
    libmount_put(m, "b", "b");
    assert_int_equal(libmount_mkdir(m, "empty"), 0);
    assert_int_equal(libmount_mkdir(m, "full"), 0);
    libmount_put(m, "full/f", "x");
    uint64_t a = libmount_ino(m, "a"), full = libmount_ino(m, "full");
    assert_int_equal(libmount_rename(m, "a", "b", 0), 0);
    assert_int_equal(libmount_ino(m, "b"), a);
    assert_int_equal(libmount_ino(m, "a"), 0);
    assert_int_equal(libmount_rename(m, "b", "empty", 0), -EISDIR);
    assert_int_equal(libmount_rename(m, "empty", "b", 0), -ENOTDIR);
    assert_int_equal(libmount_rename(m, "empty", "full", 0), -ENOTEMPTY);
    assert_int_equal(libmount_rename(m, "full", "empty", 0), 0);
    assert_int_equal(libmount_ino(m, "empty"), full);
    assert_true(libmount_ino(m, "empty/f"));
    assert_int_equal(libmount_rename(m, "none", "x", 0), -ENOENT);
    assert_int_equal(attr_of(m, "").nlink, 3);
}

static void a_directory_does_not_move_into_itself(void **state)
{
    struct libmount *m = *state;
    assert_int_equal(libmount_mkdir(m, "a"), 0);
    assert_int_equal(libmount_mkdir(m, "a/b"), 0);
    assert_int_equal(libmount_rename(m, "a", "a/b/c", 0), -EINVAL);
    assert_int_equal(libmount_rename(m, "a", "a/c", 0), -EINVAL);
    assert_int_equal(libmount_rename(m, "a/b", "a", 0), -ENOTEMPTY);
    assert_int_equal(libmount_rename(m, "a", "a/b", RENAME_EXCHANGE), -EINVAL);
    assert_int_equal(libmount_rename(m, "a/b", "a", RENAME_EXCHANGE), -EINVAL);
}

static void renameat2_flags_are_kept(void **state)
{
    struct libmount *m = *state;
    libmount_put(m, "f", "f");
    assert_int_equal(libmount_mkdir(m, "d"), 0);
    assert_int_equal(libmount_mkdir(m, "d/e"), 0);
    assert_int_equal(libmount_mkdir(m, "other"), 0);
    uint64_t f = libmount_ino(m, "f"), e = libmount_ino(m, "d/e");
    assert_int_equal(libmount_rename(m, "f", "d", RENAME_NOREPLACE), -EEXIST);
    assert_int_equal(libmount_rename(m, "f", "none", RENAME_EXCHANGE), -ENOENT);
    assert_int_equal(libmount_rename(m, "f", "d/e", RENAME_EXCHANGE), 0);
    assert_int_equal(libmount_ino(m, "f"), e);
    assert_int_equal(libmount_ino(m, "d/e"), f);
    assert_int_equal(attr_of(m, "d").nlink, 2);
    assert_int_equal(attr_of(m, "").nlink, 5);
    assert_int_equal(libmount_rename(m, "d/e", "g", RENAME_NOREPLACE), 0);
    assert_int_equal(libmount_ino(m, "g"), f);
    assert_int_equal(libmount_rename(m, "g", "h", RENAME_NOREPLACE | RENAME_EXCHANGE), -EINVAL);
}

static void two_names_of_one_file_both_stay_when_renamed_onto_each_other(void **state)
{
    struct libmount *m = *state;
    libmount_put(m, "a", "x");
    assert_int_equal(libmount_link(m, "a", "b"), 0);
    assert_int_equal(libmount_rename(m, "a", "b", 0), 0);
    assert_true(libmount_ino(m, "a"));
    assert_int_equal(attr_of(m, "b").nlink, 2);
}

static void keys_follow_a_renamed_directory(void **state)
{
    struct libmount *m = *state;
    uint64_t ino;
    assert_int_equal(libmount_mkdir(m, "a"), 0);
    assert_int_equal(libmount_mkdir(m, "a/b"), 0);
    libmount_put(m, "a/b/f", "x");
    assert_int_equal(libmount_rename(m, "a", "z", 0), 0);
    libmount_put(m, "z/b/g", "y");
    assert_int_equal(cache_find(m->cache, "z/b/f", &ino), 0);
    assert_int_equal(cache_find(m->cache, "a/b/f", &ino), -ENOENT);
    libmount_drain(m);
    assert_true(membucket_has(m->bucket, "a/b/z/b/f"));
    assert_true(membucket_has(m->bucket, "a/b/z/b/g"));
    assert_int_equal(membucket_count(m->bucket), 2);
}

static void a_setgid_directory_hands_on_its_group(void **state)
{
    struct libmount *m = *state;
    struct cache_file *file;
    assert_int_equal(libmount_mkdir(m, "d"), 0);
    assert_int_equal(libmount_setattr(m, "d", CACHE_SET_MODE | CACHE_SET_GID, &(struct cache_attr){ .mode = 02775, .gid = 77 }), 0);
    assert_int_equal(libmount_create(m, "d/f", O_WRONLY, &file), 0);
    cache_release(m->cache, file);
    assert_int_equal(libmount_mkdir(m, "d/e"), 0);
    assert_int_equal(attr_of(m, "d/f").gid, 77);
    assert_int_equal(attr_of(m, "d/f").mode, S_IFREG | 0644);
    assert_int_equal(attr_of(m, "d/e").gid, 77);
    assert_int_equal(attr_of(m, "d/e").mode, S_IFDIR | S_ISGID | 0755);
}

static void a_new_owner_does_not_inherit_set_id_bits(void **state)
{
    struct libmount *m = *state;
    libmount_put(m, "f", "x");
    assert_int_equal(libmount_setattr(m, "f", CACHE_SET_MODE, &(struct cache_attr){ .mode = 06755 }), 0);
    assert_int_equal(libmount_setattr(m, "f", CACHE_SET_UID, &(struct cache_attr){ .uid = 5 }), 0);
    assert_int_equal(attr_of(m, "f").mode, S_IFREG | 0755);
    assert_int_equal(libmount_setattr(m, "f", CACHE_SET_MODE, &(struct cache_attr){ .mode = 02644 }), 0);
    assert_int_equal(libmount_setattr(m, "f", CACHE_SET_GID, &(struct cache_attr){ .gid = 6 }), 0);
    assert_int_equal(attr_of(m, "f").mode, S_IFREG | 02644);
}

static void a_change_to_what_stands_is_nothing_to_push(void **state)
{
    struct libmount *m = *state;
    membucket_store_string(m->bucket, "a/b/f", "foreign");
    libmount_reopen(m);
    struct cache_attr attr = attr_of(m, "f");
    struct cache_status status;
    assert_int_equal(libmount_setattr(m, "f", CACHE_SET_MODE | CACHE_SET_UID | CACHE_SET_GID | CACHE_SET_MTIME | CACHE_SET_SIZE, &attr), 0);
    cache_get_status(m->cache, &status);
    assert_int_equal(status.pending_files, 0);
    assert_int_equal(libmount_setattr(m, "f", CACHE_SET_MODE, &(struct cache_attr){ .mode = 0600 }), 0);
    cache_get_status(m->cache, &status);
    assert_int_equal(status.pending_files, 1);
}

static void a_listing_is_stable_while_names_come_and_go(void **state)
{
    struct libmount *m = *state;
    struct cache_dirent entries[4];
    size_t count;
    char path[16];
    assert_int_equal(libmount_mkdir(m, "d"), 0);
    for (int i = 0; i < 6; i++) {
        snprintf(path, sizeof path, "d/%d", i);
        libmount_put(m, path, "x");
    }
    uint64_t d = libmount_ino(m, "d");
    assert_int_equal(cache_readdir(m->cache, d, 0, entries, 4, &count, NULL), 0);
    assert_int_equal(count, 4);
    assert_string_equal(entries[3].name, "3");
    assert_int_equal(libmount_unlink(m, "d/0"), 0);
    assert_int_equal(libmount_unlink(m, "d/4"), 0);
    libmount_put(m, "d/6", "x");
    assert_int_equal(cache_readdir(m->cache, d, entries[3].cookie, entries, 4, &count, NULL), 0);
    assert_int_equal(count, 2);
    assert_string_equal(entries[0].name, "5");
    assert_string_equal(entries[1].name, "6");
}

static void an_open_file_outlives_its_name(void **state)
{
    struct libmount *m = *state;
    struct cache_file *file;
    struct cache_attr attr;
    char buffer[16];
    size_t got;
    assert_int_equal(libmount_create(m, "f", O_RDWR, &file), 0);
    uint64_t ino = cache_file_ino(file);
    assert_int_equal(libmount_write(m, file, "before", 6, 0), 0);
    assert_int_equal(libmount_unlink(m, "f"), 0);
    assert_int_equal(libmount_write(m, file, "after", 5, 6), 0);
    assert_int_equal(cache_flush(m->cache, file), 0);
    assert_int_equal(libmount_read(m, file, buffer, sizeof buffer, 0, &got), 0);
    assert_int_equal(got, 11);
    assert_memory_equal(buffer, "beforeafter", 11);
    assert_int_equal(cache_getattr(m->cache, ino, &attr), 0);
    assert_int_equal(attr.nlink, 0);
    assert_int_equal(attr.size, 11);
    cache_release(m->cache, file);
    cache_forget(m->cache, ino);
    assert_int_equal(cache_getattr(m->cache, ino, &attr), -ESTALE);
    libmount_drain(m);
    assert_int_equal(membucket_count(m->bucket), 0);
}

static void a_nameless_file_gets_its_first_name_with_its_bytes(void **state)
{
    struct libmount *m = *state;
    for (int large = 0; large < 2; large++) {
        struct cache_file *file;
        struct cache_attr attr;
        size_t size = large ? 100000 : 100;
        char *data = malloc(size), *back;
        memset(data, 'q', size);
        const char *path = large ? "large" : "small";
        assert_int_equal(cache_tmpfile(m->cache, CACHE_ROOT, 0600, O_RDWR, &caller, &attr, &file), 0);
        assert_int_equal(libmount_write(m, file, data, size, 0), 0);
        assert_int_equal(cache_flush(m->cache, file), 0);
        assert_int_equal(cache_link(m->cache, attr.ino, CACHE_ROOT, path, &attr, NULL), 0);
        assert_int_equal(attr.nlink, 1);
        assert_int_equal(attr.size, size);
        cache_release(m->cache, file);
        libmount_kill(m);
        back = libmount_get(m, path);
        assert_non_null(back);
        assert_memory_equal(back, data, size);
        free(back);
        free(data);
    }
}

static void read_only_refuses_every_change(void **state)
{
    struct libmount *m = *state;
    membucket_store_string(m->bucket, "a/b/f", "x");
    membucket_store_string(m->bucket, "a/b/d/g", "x");
    m->config.read_only = true;
    libmount_open(m);
    struct cache_file *file;
    assert_int_equal(libmount_create(m, "n", O_WRONLY, &file), -EROFS);
    assert_int_equal(libmount_mkdir(m, "n"), -EROFS);
    assert_int_equal(libmount_unlink(m, "f"), -EROFS);
    assert_int_equal(libmount_rename(m, "f", "n", 0), -EROFS);
    assert_int_equal(libmount_open_file(m, "f", O_RDWR, &file), -EROFS);
    assert_int_equal(libmount_setattr(m, "f", CACHE_SET_MODE, &(struct cache_attr){ .mode = 0600 }), -EROFS);
    char *text = libmount_get(m, "f");
    assert_string_equal(text, "x");
    free(text);
    assert_int_equal(membucket_client_calls(m->client, true), 0);
}

static int give_up(void *arg)
{
    (void)arg;
    return 1;
}

/* Every query fails from here on, as on a disk that cannot be read; or no longer. */
static void break_index(struct libmount *m, bool broken)
{
    sqlite3_progress_handler(m->cache->db->handle, 1, broken ? give_up : NULL, NULL);
}

static void an_index_that_cannot_be_read_is_an_error_and_no_missing_name(void **state)
{
    struct libmount *m = *state;
    struct cache_attr attr;
    struct cache_file *file = NULL;
    libmount_put(m, "f", "text");
    libmount_put(m, "other", "text");
    libmount_reopen(m);
    attr_of(m, "other"); /* the directory is listed; f was not asked for yet */
    break_index(m, true);
    assert_int_equal(libmount_lookup(m, "f", &attr), -EIO);
    assert_int_equal(libmount_create(m, "f", O_WRONLY, &file), -EIO);
    assert_int_equal(libmount_create(m, "f", O_WRONLY | O_EXCL, &file), -EIO);
    break_index(m, false);
    attr_of(m, "f");
    char *text = libmount_get(m, "f");
    assert_string_equal(text, "text");
    free(text);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, libmount_set_up_open, libmount_tear_down)
    const struct CMUnitTest tests[] = {
        TEST(what_is_made_is_there_after_a_restart_with_its_number),
        TEST(operations_cost_one_commit_each),
        TEST(making_a_name_that_is_there_fails),
        TEST(names_that_no_key_can_carry_are_refused),
        TEST(a_rename_that_makes_a_key_too_long_is_refused_before_anything_moves),
        TEST(link_counts_follow_names),
        TEST(times_of_the_directory_follow_its_names),
        TEST(removing_asks_for_the_right_kind),
        TEST(nothing_is_made_in_a_removed_directory),
        TEST(a_rename_replaces_what_it_may),
        TEST(a_directory_does_not_move_into_itself),
        TEST(renameat2_flags_are_kept),
        TEST(two_names_of_one_file_both_stay_when_renamed_onto_each_other),
        TEST(keys_follow_a_renamed_directory),
        TEST(a_setgid_directory_hands_on_its_group),
        TEST(a_new_owner_does_not_inherit_set_id_bits),
        TEST(a_change_to_what_stands_is_nothing_to_push),
        TEST(a_listing_is_stable_while_names_come_and_go),
        TEST(an_open_file_outlives_its_name),
        TEST(an_index_that_cannot_be_read_is_an_error_and_no_missing_name),
        TEST(a_nameless_file_gets_its_first_name_with_its_bytes),
        cmocka_unit_test_setup_teardown(read_only_refuses_every_change, libmount_set_up, libmount_tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/*
 * Every request of the pusher with a failure, a lost answer, a late effect and a kill at it. Whatever happens, what was
 * acknowledged is in the end in the bucket, once, and another client's version is never lost.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "s3/base/clock.h"
#include "test/unit/libworld.h"

#define LARGE (17u << 20)

static const struct {
    const char *name;
    enum membucket_phase phase;
    int action;
    bool always; /* also for slow scenarios */
} faults[] = {
    { "unreachable", MEMBUCKET_BEFORE, S3_UNREACHABLE, false },
    { "throttled", MEMBUCKET_BEFORE, S3_THROTTLED, false },
    { "lost before it took effect", MEMBUCKET_BEFORE, S3_UNKNOWN, false },
    { "answer lost", MEMBUCKET_AFTER, S3_UNKNOWN, true },
    { "late", MEMBUCKET_BEFORE, MEMBUCKET_LATE, false },
    { "killed before", MEMBUCKET_BEFORE, MEMBUCKET_KILL, false },
    { "killed after", MEMBUCKET_AFTER, MEMBUCKET_KILL, true },
};

struct scenario {
    const char *title;
    void (*before)(struct world *w); /* in the bucket before the fault */
    void (*act)(struct world *w);
    const char *objects;             /* in the end: "path=body path=body", sorted; bodies without spaces; NULL: check */
    void (*check)(struct world *w);
    bool slow;                       /* only some of the faults, unless PUSH_FAULTS_ALL is set */
};

/* ---- scenarios ---- */

static void nothing(struct world *w)
{
    (void)w;
}

static void one_file(struct world *w)
{
    world_write(w, "a", "one");
}

static void two_files(struct world *w)
{
    world_write(w, "a", "one");
    world_write(w, "b", "two");
}

static void overwrite(struct world *w)
{
    world_write(w, "a", "new");
}

static void remove_a(struct world *w)
{
    world_unlink(w, "a");
}

static void replace_a(struct world *w)
{
    world_unlink(w, "a");
    world_write(w, "a", "new");
}

static void rename_a(struct world *w)
{
    world_rename(w, "a", "c");
}

static void rename_over(struct world *w)
{
    world_rename(w, "a", "b");
}

static void exchange(struct world *w)
{
    world_exchange(w, "a", "b");
}

static void chmod_a(struct world *w)
{
    world_chmod(w, "a", 0600);
}

static void tree(struct world *w)
{
    char path[32];
    world_mkdir(w, "d");
    world_mkdir(w, "d/s");
    for (int i = 0; i < 6; i++) {
        snprintf(path, sizeof path, "d/%s%d", i % 2 ? "s/" : "", i);
        world_write(w, path, "x");
    }
}

static void rename_tree(struct world *w)
{
    world_rename(w, "d", "e");
}

static void remove_tree(struct world *w)
{
    char path[32];
    for (int i = 0; i < 6; i++) {
        snprintf(path, sizeof path, "d/%s%d", i % 2 ? "s/" : "", i);
        world_unlink(w, path);
    }
    world_rmdir(w, "d/s");
    world_rmdir(w, "d");
}

static void make_directory(struct world *w)
{
    world_mkdir(w, "d");
}

static void links(struct world *w)
{
    world_link(w, "a", "b");
    world_symlink(w, "l", "a");
}

static void fill(struct world *w, char c)
{
    char *data = malloc(LARGE);
    memset(data, c, LARGE);
    world_write_bytes(w, "big", data, LARGE, 0);
    free(data);
}

static void large(struct world *w)
{
    fill(w, 'x');
}

static void change_large(struct world *w)
{
    world_write_bytes(w, "big", "HELLO", 5, 9u << 20);
}

static void check_large(struct world *w)
{
    char *body = world_object(w, "big");
    assert_non_null(body);
    assert_int_equal(strlen(body), LARGE);
    assert_int_equal(strspn(body, "x"), LARGE);
    free(body);
}

static void check_changed_large(struct world *w)
{
    char *body = world_object(w, "big");
    assert_non_null(body);
    assert_int_equal(strlen(body), LARGE);
    assert_int_equal(strspn(body, "x"), 9u << 20);
    assert_memory_equal(body + (9u << 20), "HELLO", 5);
    free(body);
}

static void overwrite_both(struct world *w)
{
    world_write(w, "a", "ours");
    world_foreign(w, "a", "theirs");
}

static void remove_changed(struct world *w)
{
    world_unlink(w, "a");
    world_foreign(w, "a", "theirs");
}

static void rename_onto_foreign(struct world *w)
{
    world_rename(w, "a", "c");
    world_foreign(w, "c", "theirs");
}

static void edit_deleted(struct world *w)
{
    world_write(w, "a", "ours");
    membucket_erase(w->bucket, WORLD_PREFIX "/a");
}

static bool holds_body(struct world *w, const char *text)
{
    bool found = false;
    for (size_t i = 0; !found; i++) {
        char *key = membucket_key(w->bucket, i);
        if (!key)
            break;
        char *body = strstr(key, "/.r2fs/") ? NULL : membucket_load(w->bucket, key, NULL, NULL);
        found = body && strcmp(body, text) == 0;
        free(body);
        free(key);
    }
    return found;
}

static void check_both(struct world *w)
{
    char *theirs = world_object(w, "a");
    assert_non_null(theirs);
    assert_string_equal(theirs, "theirs");
    free(theirs);
    assert_true(holds_body(w, "ours"));
}

static void check_renamed(struct world *w)
{
    assert_true(holds_body(w, "theirs"));
    assert_true(holds_body(w, "one"));
}

static const struct scenario scenarios[] = {
    { "create", nothing, one_file, "a=one", NULL, false },
    { "create two", nothing, two_files, "a=one b=two", NULL, false },
    { "overwrite", one_file, overwrite, "a=new", NULL, false },
    { "delete", two_files, remove_a, "b=two", NULL, false },
    { "delete and create again", two_files, replace_a, "a=new b=two", NULL, false },
    { "rename", one_file, rename_a, "c=one", NULL, false },
    { "rename over", two_files, rename_over, "b=one", NULL, false },
    { "exchange", two_files, exchange, "a=two b=one", NULL, false },
    { "chmod", one_file, chmod_a, "a=one", NULL, false },
    { "rename a directory", tree, rename_tree, "e/0=x e/2=x e/4=x e/s/1=x e/s/3=x e/s/5=x", NULL, false },
    { "delete a directory", tree, remove_tree, "", NULL, false },
    { "mkdir", nothing, make_directory, "d/=", NULL, false },
    { "links", one_file, links, "a=one b=one l=a", NULL, false },
    { "a large file", nothing, large, NULL, check_large, true },
    { "a change of a large file", large, change_large, NULL, check_changed_large, true },
    { "overwritten here and there", one_file, overwrite_both, NULL, check_both, false },
    { "deleted here, changed there", one_file, remove_changed, "a=theirs", NULL, false },
    { "renamed onto another's new file", one_file, rename_onto_foreign, NULL, check_renamed, false },
    { "edited here, deleted there", one_file, edit_deleted, "a=ours", NULL, false },
};

/* ---- the walk ---- */

static char *objects(struct world *w)
{
    char *all = calloc(1, 65536);
    size_t length = 0;
    for (size_t i = 0;; i++) {
        char *key = membucket_key(w->bucket, i);
        if (!key)
            return all;
        if (!strstr(key, "/.r2fs/")) {
            char *body = membucket_load(w->bucket, key, NULL, NULL);
            length += (size_t)snprintf(all + length, 65536 - length, "%s%s=%.40s", length ? " " : "", key + strlen(WORLD_PREFIX) + 1, body);
            free(body);
        }
        free(key);
    }
}

static void check(struct world *w, const struct scenario *s)
{
    if (s->objects) {
        char *now = objects(w);
        assert_string_equal(now, s->objects);
        free(now);
    }
    if (s->check)
        s->check(w);
    assert_int_equal(membucket_overlaps(w->bucket), 0);
}

static unsigned run(const struct scenario *s, unsigned at, size_t fault)
{
    struct world *w = world_new();
    bool kill = at && faults[fault].action == MEMBUCKET_KILL;
    s->before(w);
    world_drain(w);
    world_reset_counts(w);
    w->fail_at = at;
    if (at) {
        w->fail_phase = faults[fault].phase;
        w->fail_action = faults[fault].action;
    }
    s->act(w);
    int64_t until = clock_mono_ms() + 10000;
    while (kill && !membucket_client_killed(w->client) && clock_mono_ms() < until && world_try_drain(w, 20) != 0)
        ;
    if (kill)
        world_crash(w);
    world_drain(w);
    unsigned calls = w->calls;
    while (membucket_land(w->bucket) >= 0)
        ;
    check(w, s);
    world_cold(w);
    world_drain(w);
    check(w, s);
    world_free(w);
    return calls;
}

static void walk(const struct scenario *s)
{
    unsigned calls = run(s, 0, 0);
    assert_true(calls > 0);
    for (size_t fault = 0; fault < sizeof faults / sizeof *faults; fault++) {
        if (s->slow && !faults[fault].always && !getenv("PUSH_FAULTS_ALL"))
            continue;
        for (unsigned at = 1; at <= calls; at++) {
            if (getenv("PUSH_FAULTS_VERBOSE"))
                print_message("# %s: request %u of %u %s\n", s->title, at, calls, faults[fault].name);
            run(s, at, fault);
        }
    }
}

static void test_walk(void **state)
{
    walk(*state);
}

int main(void)
{
    enum { COUNT = sizeof scenarios / sizeof *scenarios };
    struct CMUnitTest tests[COUNT];
    const char *only = getenv("PUSH_FAULTS_ONLY");
    size_t count = 0;
    for (size_t i = 0; i < COUNT; i++)
        if (!only || strcmp(only, scenarios[i].title) == 0)
            tests[count++] = (struct CMUnitTest){ scenarios[i].title, test_walk, NULL, NULL, (void *)(uintptr_t)&scenarios[i] };
    return _cmocka_run_group_tests("push: each request fails, is lost, is late, or is the last", tests, count, NULL, NULL);
}

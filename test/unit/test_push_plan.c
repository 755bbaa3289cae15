/* The pusher's pure parts: the step for a key, the order, when it is due, parts, names of what lost a conflict. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cache/push_due.h"
#include "cache/push_name.h"
#include "cache/push_order.h"
#include "cache/push_parts.h"
#include "cache/push_plan.h"
#include "s3/s3.h"

#define FILE_OF(bytes) .want = PUSH_WANT_FILE, .ino = 7, .size = (bytes), .data_version = 3, .meta_version = 2
#define FILE_WANTED FILE_OF(4096)
#define HOLDS(i, d, m) .present = true, .have_ino = (i), .have_size = 4096, .have_data_version = (d), .have_meta_version = (m)

static const struct {
    const char *title;
    struct push_facts facts;
    enum push_step step;
} plans[] = {
    { "a new file is put", { FILE_WANTED }, PUSH_PUT },
    { "a large one goes in parts", { FILE_OF(PUSH_PUT_SINGLE_MAX + 1) }, PUSH_MULTIPART },
    { "one of exactly the limit is one PUT", { FILE_OF(PUSH_PUT_SINGLE_MAX) }, PUSH_PUT },
    { "what is there already costs nothing", { FILE_WANTED, HOLDS(7, 3, 2) }, PUSH_NOTHING },
    { "new bytes are put over the old", { FILE_WANTED, HOLDS(7, 2, 2), .have_headers = true }, PUSH_PUT },
    { "a change of mode is a copy onto itself", { FILE_WANTED, HOLDS(7, 3, 1), .have_headers = true }, PUSH_META },
    { "… after a HEAD where another client's headers are not known", { FILE_WANTED, HOLDS(7, 3, 1) }, PUSH_HEAD },
    { "… and in parts beyond what one Copy can", { FILE_OF(S3_COPY_MAX + 1), HOLDS(7, 3, 1), .have_headers = true }, PUSH_MULTIPART },
    { "another file's object under the name is put over", { FILE_WANTED, HOLDS(9, 3, 2) }, PUSH_PUT },
    { "a renamed file is copied", { FILE_WANTED, .source = PUSH_SOURCE_AS_IS }, PUSH_COPY },
    { "a renamed and chmodded file is copied with new metadata", { FILE_WANTED, .source = PUSH_SOURCE_REPLACE, .source_headers = true }, PUSH_COPY_REPLACE },
    { "… after a HEAD of the source", { FILE_WANTED, .source = PUSH_SOURCE_REPLACE }, PUSH_HEAD },
    { "a rename over a file is copied", { FILE_WANTED, HOLDS(9, 1, 1), .source = PUSH_SOURCE_AS_IS }, PUSH_COPY },
    { "a huge renamed file is copied in parts", { FILE_OF(S3_COPY_MAX + 1), .source = PUSH_SOURCE_AS_IS, .source_headers = true }, PUSH_MULTIPART },
    { "the only source of another path is not put over", { FILE_WANTED, HOLDS(9, 1, 1), .needed = true }, PUSH_WAIT_SOURCE },
    { "… but where the two wait for each other", { FILE_WANTED, HOLDS(9, 1, 1), .needed = true, .cycle = true }, PUSH_ASIDE },
    { "new metadata does not touch what another path needs", { FILE_WANTED, HOLDS(7, 3, 1), .have_headers = true, .needed = true }, PUSH_META },
    { "a name that is gone is deleted", { .want = PUSH_WANT_NOTHING, HOLDS(7, 3, 2) }, PUSH_DELETE },
    { "one that never was there costs nothing", { .want = PUSH_WANT_NOTHING }, PUSH_NOTHING },
    { "the only source of another path is not deleted", { .want = PUSH_WANT_NOTHING, HOLDS(7, 3, 2), .needed = true }, PUSH_WAIT_SOURCE },
    { "a key with a request under way is left alone", { FILE_WANTED, .busy = true, .unresolved = true }, PUSH_WAIT_KEY },
    { "an unknown outcome is found out first", { FILE_WANTED, .unresolved = true }, PUSH_RESOLVE },
    { "… before a delete too", { .want = PUSH_WANT_NOTHING, .unresolved = true }, PUSH_RESOLVE },
    { "a symlink is put from its row", { .want = PUSH_WANT_BODYLESS, .ino = 7, .data_version = 1 }, PUSH_PUT },
    { "an empty directory gets its object", { .want = PUSH_WANT_DIRECTORY, .ino = 7 }, PUSH_PUT },
    { "one that has it costs nothing", { .want = PUSH_WANT_DIRECTORY, .ino = 7, .data_version = 3, .meta_version = 2, HOLDS(7, 3, 2) }, PUSH_NOTHING },
    { "a directory with children needs none, and keeps one that is there", { .want = PUSH_WANT_EITHER, .ino = 7, HOLDS(7, 1, 1) }, PUSH_NOTHING },
    { "a directory's new mode is put with what others set on it", { .want = PUSH_WANT_DIRECTORY, .ino = 7, .meta_version = 2, HOLDS(7, 0, 1) }, PUSH_HEAD },
};

static void test_plan(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof plans / sizeof *plans; i++)
        if (push_plan(&plans[i].facts) != plans[i].step)
            fail_msg("%s: got %s", plans[i].title, push_step_name(push_plan(&plans[i].facts)));
}

static void test_order_creates(void **state)
{
    (void)state;
    struct push_order order;
    push_order_init(&order);
    push_order_add(&order, PUSH_CREATE, 5);
    push_order_add(&order, PUSH_OVERWRITE, 3);
    assert_true(push_order_may_go(&order, PUSH_CREATE, 9));
    assert_true(push_order_may_go(&order, PUSH_OVERWRITE, 4));
    assert_false(push_order_may_go(&order, PUSH_OVERWRITE, 6));
}

static void test_order_deletes(void **state)
{
    (void)state;
    struct push_order order;
    push_order_init(&order);
    push_order_add(&order, PUSH_REMOVE, 1);
    assert_true(push_order_may_go(&order, PUSH_REMOVE, 9));
    push_order_add(&order, PUSH_OVERWRITE, 5);
    assert_true(push_order_may_go(&order, PUSH_REMOVE, 4));
    assert_false(push_order_may_go(&order, PUSH_REMOVE, 6));
    push_order_add(&order, PUSH_CREATE, 3);
    assert_false(push_order_may_go(&order, PUSH_REMOVE, 4));
    assert_true(push_order_may_go(&order, PUSH_REMOVE, 2));
}

static void test_order_released(void **state)
{
    (void)state;
    const int64_t now = 100000;
    static const struct {
        const char *title;
        struct push_progress progress;
        bool released;
    } cases[] = {
        { "refused for good", { .refused = true }, true },
        { "not yet tried", { .others_ms = 99999 }, false },
        { "30 s without a byte while others succeeded", { .tried_ms = 60000, .others_ms = 99000 }, true },
        { "30 s without a byte, offline", { .tried_ms = 60000, .others_ms = 59000 }, false },
        { "slow but moving", { .tried_ms = 1000, .moved_ms = 99000, .others_ms = 99000 }, false },
        { "29 s", { .tried_ms = 71000, .others_ms = 99000 }, false },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        if (push_order_released(&cases[i].progress, now) != cases[i].released)
            fail_msg("%s", cases[i].title);
}

static void test_due(void **state)
{
    (void)state;
    assert_int_equal(push_due(&(struct push_times){ .first_ms = 1000, .changed_ms = 1500 }, 1000, 5000), 2500);
    /* Written on and on: five seconds after the oldest byte, or the delay when that is longer. */
    assert_int_equal(push_due(&(struct push_times){ .first_ms = 1000, .changed_ms = 5900 }, 1000, 5000), 6000);
    assert_int_equal(push_due(&(struct push_times){ .first_ms = 1000, .changed_ms = 50000 }, 60000, 5000), 61000);
    assert_int_equal(push_due(&(struct push_times){ .first_ms = 1000, .changed_ms = 1500, .not_before_ms = 9000 }, 1000, 5000), 9000);
    assert_int_equal(push_due(&(struct push_times){ .first_ms = 1000, .changed_ms = 1500, .kicked = true }, 60000, 5000), 0);
    assert_int_equal(push_due(&(struct push_times){ .changed_ms = 1500, .kicked = true, .not_before_ms = 1800 }, 60000, 5000), 1800);
}

static void test_due_retry(void **state)
{
    (void)state;
    assert_int_equal(push_due_retry(1, 0), 500);
    assert_int_equal(push_due_retry(3, 0), 2000);
    assert_int_equal(push_due_retry(40, 0), 30000);
    assert_in_range(push_due_retry(40, 65535), 15000, 15001);
}

static void test_parts(void **state)
{
    (void)state;
    static const uint64_t sizes[] = { 1, PUSH_PART_MIN, PUSH_PART_MIN + 1, 100u << 20, 1ull << 33, (1ull << 33) + 1, 1ull << 40, 5ull << 40 };
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        uint64_t size = sizes[i], part = push_parts_size(size), sum = 0;
        int count = push_parts_count(size, part);
        assert_true(part >= S3_PART_MIN && part <= S3_PUT_MAX && count <= S3_PARTS_MAX);
        for (int number = 1; number <= count; number++) {
            struct range r = push_parts_range(size, part, number);
            assert_true(r.start == sum && r.end > r.start && (number == count || r.end - r.start == part));
            sum = r.end;
        }
        assert_true(sum == size);
    }
    assert_int_equal(push_parts_size(1ull << 33), 8u << 20);
    assert_int_equal(push_parts_size((1ull << 33) + 1), 16u << 20);
}

static void test_names(void **state)
{
    (void)state;
    static const char instance[] = "0123456789abcdef0123456789abcdef";
    char longest[256], wide[256];
    memset(longest, 'x', 255);
    longest[255] = 0;
    for (int i = 0; i < 85; i++)
        memcpy(wide + 3 * i, "\xe2\x82\xac", 4);
    struct {
        const char *path, *want;
    } cases[] = {
        { "a", "a.conflict-01234567-42" },
        { "d/e/a.txt", "d/e/a.txt.conflict-01234567-42" },
        { ".git/HEAD", ".r2fs-conflicts/.git/HEAD.conflict-01234567-42" },
        { "m/.git/refs/x", ".r2fs-conflicts/m/.git/refs/x.conflict-01234567-42" },
        { ".gitignore", ".gitignore.conflict-01234567-42" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *got = push_name_conflict(cases[i].path, instance, 42, 1024);
        assert_string_equal(got, cases[i].want);
        free(got);
    }
    char *got = push_name_conflict(longest, instance, 42, 1024);
    assert_int_equal(strlen(got), 255);
    assert_non_null(strstr(got, "x.conflict-01234567-42"));
    free(got);
    got = push_name_conflict(wide, instance, 42, 1024);
    assert_true(strlen(got) <= 255 && strlen(got) > 252);
    assert_int_equal((strlen(got) - strlen(".conflict-01234567-42")) % 3, 0);
    free(got);
    got = push_name_conflict("deep/down/below/here/a", instance, 42, 40);
    assert_string_equal(got, ".r2fs-conflicts/a.conflict-01234567-42");
    free(got);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        { "each state of a key has its one next step", test_plan, NULL, NULL, NULL },
        { "an overwrite waits for earlier creates only", test_order_creates, NULL, NULL, NULL },
        { "a delete waits for earlier creates and overwrites", test_order_deletes, NULL, NULL, NULL },
        { "only a refused or stalled upload gives way", test_order_released, NULL, NULL, NULL },
        { "a change is due after the delay, at the latest after the maximum age", test_due, NULL, NULL, NULL },
        { "retries back off to 30 s, with jitter", test_due_retry, NULL, NULL, NULL },
        { "parts are equal, few and within the limits", test_parts, NULL, NULL, NULL },
        { "what lost a conflict has a legal name", test_names, NULL, NULL, NULL },
    };
    return cmocka_run_group_tests_name("push: plan, order, due, parts, names", tests, NULL, NULL);
}

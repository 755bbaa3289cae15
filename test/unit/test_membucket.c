/* The faulty bucket in memory is what cache/ is judged by, so its own rules are tested first. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "test/lib/membucket.h"

struct fixture {
    struct membucket *bucket;
    struct membucket_client *client;
    struct s3_call call;
    struct s3_error error;
};

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    f->bucket = membucket_new(NULL);
    f->client = membucket_client_new(f->bucket);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    membucket_client_free(f->client);
    membucket_free(f->bucket);
    free(f);
    return 0;
}

static enum s3_outcome put(struct fixture *f, const char *key, const char *text, const char *if_match, bool if_absent,
                           struct s3_put_result *result)
{
    struct s3_put_result ignored;
    struct s3_put_request request = { .key = key, .body = { .data = text, .length = strlen(text) },
                                      .condition = { .if_match = if_match, .if_absent = if_absent } };
    return membucket_ops.put(f->client, &f->call, &request, result ? result : &ignored, &f->error);
}

static void a_put_answers_the_md5_and_get_the_bytes(void **state)
{
    struct fixture *f = *state;
    struct s3_put_result result;
    struct s3_object object;
    char buffer[16];
    size_t got;
    assert_int_equal(put(f, "a", "hello", NULL, true, &result), S3_OK);
    assert_string_equal(result.etag, "5d41402abc4b2a76b9719d911017c592");
    struct s3_get_request request = { .key = "a", .buffer = buffer, .capacity = sizeof buffer, .offset = 1, .length = 3 };
    assert_int_equal(membucket_ops.get(f->client, &f->call, &request, &object, &got, &f->error), S3_OK);
    assert_int_equal(got, 3);
    assert_memory_equal(buffer, "ell", 3);
    assert_int_equal(object.size, 5);
    s3_object_fini(&object);
}

static void a_condition_that_does_not_hold_changes_nothing(void **state)
{
    struct fixture *f = *state;
    membucket_store_string(f->bucket, "a", "one");
    assert_int_equal(put(f, "a", "two", NULL, true, NULL), S3_PRECONDITION);
    assert_int_equal(put(f, "a", "two", "00000000000000000000000000000000", false, NULL), S3_PRECONDITION);
    assert_int_equal(put(f, "b", "two", "00000000000000000000000000000000", false, NULL), S3_PRECONDITION);
    char *text = membucket_load(f->bucket, "a", NULL, NULL);
    assert_string_equal(text, "one");
    assert_false(membucket_has(f->bucket, "b"));
    free(text);
}

static void a_lost_answer_leaves_its_effect(void **state)
{
    struct fixture *f = *state;
    membucket_client_fail(f->client, 2, true, MEMBUCKET_AFTER, S3_UNKNOWN);
    assert_int_equal(put(f, "a", "1", NULL, true, NULL), S3_OK);
    assert_int_equal(put(f, "b", "2", NULL, true, NULL), S3_UNKNOWN);
    assert_true(membucket_has(f->bucket, "b"));
    assert_int_equal(put(f, "c", "3", NULL, true, NULL), S3_OK);
}

static void a_late_request_lands_when_told_and_judges_its_condition_then(void **state)
{
    struct fixture *f = *state;
    membucket_client_fail(f->client, 1, true, MEMBUCKET_BEFORE, MEMBUCKET_LATE);
    assert_int_equal(put(f, "a", "late", NULL, true, NULL), S3_UNKNOWN);
    assert_false(membucket_has(f->bucket, "a"));
    membucket_store_string(f->bucket, "a", "foreign");
    assert_int_equal(membucket_land(f->bucket), S3_PRECONDITION);
    assert_int_equal(membucket_land(f->bucket), -1);
}

static void a_killed_client_is_refused_and_a_new_one_is_not(void **state)
{
    struct fixture *f = *state;
    membucket_client_fail(f->client, 1, false, MEMBUCKET_AFTER, MEMBUCKET_KILL);
    assert_int_equal(put(f, "a", "1", NULL, true, NULL), S3_CANCELLED);
    assert_true(membucket_has(f->bucket, "a"));
    assert_int_equal(put(f, "b", "1", NULL, true, NULL), S3_CANCELLED);
    assert_false(membucket_has(f->bucket, "b"));
    membucket_client_free(f->client);
    f->client = membucket_client_new(f->bucket);
    assert_int_equal(put(f, "b", "1", NULL, true, NULL), S3_OK);
}

static int foreign_write(void *arg, enum s3_kind kind, const char *key, enum membucket_phase phase)
{
    if (kind == S3_KIND_PUT && phase == MEMBUCKET_BEFORE)
        membucket_store_string(arg, key, "foreign");
    return MEMBUCKET_GO;
}

static void a_hook_may_write_as_another_client(void **state)
{
    struct fixture *f = *state;
    membucket_client_hook(f->client, foreign_write, f->bucket);
    assert_int_equal(put(f, "a", "ours", NULL, true, NULL), S3_PRECONDITION);
}

static void a_listing_pages_in_byte_order_and_rolls_up_directories(void **state)
{
    struct fixture *f = *state;
    static const char *const keys[] = { "p/b/2", "p/a", "p/b/1", "q", "p/c", "p/b-" };
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        membucket_store_string(f->bucket, keys[i], "x");
    membucket_configure(f->bucket, &(struct membucket_config){ .page_max = 2 });
    struct s3_list_request request = { .prefix = "p/", .delimiter = "/" };
    struct s3_list_page first, second;
    assert_int_equal(membucket_ops.list(f->client, &f->call, &request, &first, &f->error), S3_OK);
    assert_int_equal(first.entry_count, 2);
    assert_string_equal(first.entries[0].key, "p/a");
    assert_string_equal(first.entries[1].key, "p/b-");
    assert_non_null(first.next_token);
    request.token = first.next_token;
    assert_int_equal(membucket_ops.list(f->client, &f->call, &request, &second, &f->error), S3_OK);
    assert_int_equal(second.prefix_count, 1);
    assert_string_equal(second.prefixes[0], "p/b/");
    assert_string_equal(second.entries[0].key, "p/c");
    assert_null(second.next_token);
    s3_list_page_fini(&first);
    s3_list_page_fini(&second);
}

static enum s3_outcome upload(struct fixture *f, char **id, struct s3_part *parts, const size_t *sizes, int count)
{
    static const char bytes[16];
    struct s3_upload_request create = { .key = "big" };
    assert_int_equal(membucket_ops.upload_create(f->client, &f->call, &create, id, &f->error), S3_OK);
    for (int i = 0; i < count; i++) {
        struct s3_part_request part = { .key = "big", .upload_id = *id, .number = i + 1,
                                        .body = { .data = bytes, .length = sizes[i] } };
        assert_int_equal(membucket_ops.upload_part(f->client, &f->call, &part, &parts[i], &f->error), S3_OK);
    }
    struct s3_put_result result;
    struct s3_complete_request complete = { .key = "big", .upload_id = *id, .parts = parts, .part_count = (size_t)count,
                                            .condition = { .if_absent = true } };
    return membucket_ops.upload_complete(f->client, &f->call, &complete, &result, &f->error);
}

static void parts_must_be_equal_but_for_the_last(void **state)
{
    struct fixture *f = *state;
    char *id;
    struct s3_part parts[3];
    membucket_configure(f->bucket, &(struct membucket_config){ .part_min = 8 });
    assert_int_equal(upload(f, &id, parts, (const size_t[]){ 10, 8, 3 }, 3), S3_INVALID);
    free(id);
    assert_int_equal(upload(f, &id, parts, (const size_t[]){ 8, 9 }, 2), S3_INVALID);
    free(id);
    assert_int_equal(upload(f, &id, parts, (const size_t[]){ 8, 8, 3 }, 3), S3_OK);
    free(id);
}

static void a_refused_complete_loses_the_upload(void **state)
{
    struct fixture *f = *state;
    char *id;
    struct s3_part part;
    struct s3_put_result result;
    membucket_store_string(f->bucket, "big", "foreign");
    assert_int_equal(upload(f, &id, &part, (const size_t[]){ 4 }, 1), S3_PRECONDITION);
    struct s3_complete_request again = { .key = "big", .upload_id = id, .parts = &part, .part_count = 1 };
    assert_int_equal(membucket_ops.upload_complete(f->client, &f->call, &again, &result, &f->error), S3_NO_UPLOAD);
    assert_int_equal(membucket_uploads(f->bucket), 0);
    free(id);
}

static void an_offline_bucket_refuses_everything_without_effect(void **state)
{
    struct fixture *f = *state;
    membucket_configure(f->bucket, &(struct membucket_config){ .all = S3_UNREACHABLE });
    assert_int_equal(put(f, "a", "1", NULL, true, NULL), S3_UNREACHABLE);
    assert_int_equal(membucket_count(f->bucket), 0);
}

static void the_journal_tells_who_changed_what_in_order(void **state)
{
    struct fixture *f = *state;
    put(f, "a", "1", NULL, true, NULL);
    put(f, "a", "2", NULL, true, NULL);
    membucket_erase(f->bucket, "a");
    size_t count;
    struct membucket_event *events = membucket_journal(f->bucket, &count);
    assert_int_equal(count, 3);
    assert_int_equal(events[0].client, 1);
    assert_int_equal(events[1].outcome, S3_PRECONDITION);
    assert_int_equal(events[2].client, 0);
    assert_string_equal(events[2].etag, "");
    membucket_events_free(events, count);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_put_answers_the_md5_and_get_the_bytes),
        TEST(a_condition_that_does_not_hold_changes_nothing),
        TEST(a_lost_answer_leaves_its_effect),
        TEST(a_late_request_lands_when_told_and_judges_its_condition_then),
        TEST(a_killed_client_is_refused_and_a_new_one_is_not),
        TEST(a_hook_may_write_as_another_client),
        TEST(a_listing_pages_in_byte_order_and_rolls_up_directories),
        TEST(parts_must_be_equal_but_for_the_last),
        TEST(a_refused_complete_loses_the_upload),
        TEST(an_offline_bucket_refuses_everything_without_effect),
        TEST(the_journal_tells_who_changed_what_in_order),
    };
    return cmocka_run_group_tests_name("membucket", tests, NULL, NULL);
}

/* The must-fail probes against buckets that honour and that ignore conditions. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "s3/s3.h"
#include "test/lib/membucket.h"

#define DIRECTORY "work/.r2fs/"

static struct s3_error error;

static enum s3_cap_state probe(const struct membucket_config *config, enum s3_cap cap)
{
    enum s3_cap_state found = S3_CAP_UNKNOWN;
    struct membucket *bucket = membucket_new(config);
    struct membucket_client *client = membucket_client_new(bucket);
    assert_int_equal(s3_cap_probe(&membucket_ops, client, cap, DIRECTORY, &found, &error), S3_OK);
    assert_int_equal(membucket_count(bucket), 0);
    assert_int_equal(membucket_uploads(bucket), 0);
    membucket_client_free(client);
    membucket_free(bucket);
    return found;
}

static void what_a_server_honours_is_found_out_and_nothing_is_left_behind(void **state)
{
    (void)state;
    assert_int_equal(probe(NULL, S3_CAP_PUT_CONDITION), S3_CAP_HONOURED);
    assert_int_equal(probe(NULL, S3_CAP_COPY_CONDITION), S3_CAP_HONOURED);
    assert_int_equal(probe(NULL, S3_CAP_COMPLETE_CONDITION), S3_CAP_HONOURED);
    assert_int_equal(probe(NULL, S3_CAP_DELETE_CONDITION), S3_CAP_IGNORED);
}

static void what_a_server_ignores_is_found_out_too(void **state)
{
    (void)state;
    const struct membucket_config other = { .ignore_put_condition = true, .ignore_copy_condition = true,
                                            .ignore_complete_condition = true, .honour_delete_condition = true };
    assert_int_equal(probe(&other, S3_CAP_PUT_CONDITION), S3_CAP_IGNORED);
    assert_int_equal(probe(&other, S3_CAP_COPY_CONDITION), S3_CAP_IGNORED);
    assert_int_equal(probe(&other, S3_CAP_COMPLETE_CONDITION), S3_CAP_IGNORED);
    assert_int_equal(probe(&other, S3_CAP_DELETE_CONDITION), S3_CAP_HONOURED);
}

static void a_probe_that_fails_at_any_step_decides_nothing_from_an_error(void **state)
{
    (void)state;
    for (int cap = 0; cap < S3_CAP_COUNT; cap++)
        for (uint64_t step = 1; step <= 12; step++) {
            enum s3_cap_state found = S3_CAP_UNKNOWN;
            struct membucket *bucket = membucket_new(NULL);
            struct membucket_client *client = membucket_client_new(bucket);
            membucket_client_fail(client, step, true, MEMBUCKET_BEFORE, S3_UNKNOWN);
            enum s3_outcome outcome = s3_cap_probe(&membucket_ops, client, (enum s3_cap)cap, DIRECTORY, &found, &error);
            if (outcome != S3_OK)
                assert_int_equal(found, S3_CAP_UNKNOWN);
            else
                assert_int_equal(found, cap == S3_CAP_DELETE_CONDITION ? S3_CAP_IGNORED : S3_CAP_HONOURED);
            membucket_client_free(client);
            membucket_free(bucket);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_a_server_honours_is_found_out_and_nothing_is_left_behind),
        cmocka_unit_test(what_a_server_ignores_is_found_out_too),
        cmocka_unit_test(a_probe_that_fails_at_any_step_decides_nothing_from_an_error),
    };
    return cmocka_run_group_tests_name("caps", tests, NULL, NULL);
}

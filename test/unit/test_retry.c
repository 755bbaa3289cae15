/* The policy as a table: what an attempt means, and whether it is made again. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "s3/retry.h"

#define PUT S3_KIND_PUT
#define GET S3_KIND_GET
#define HEAD S3_KIND_HEAD
#define LIST S3_KIND_LIST
#define COPY S3_KIND_COPY
#define DELETE S3_KIND_DELETE
#define PART S3_KIND_UPLOAD_PART
#define CREATE S3_KIND_CREATE_UPLOAD
#define COMPLETE S3_KIND_COMPLETE_UPLOAD
#define ABORT S3_KIND_ABORT_UPLOAD

static const struct row {
    const char *title;
    struct retry_attempt attempt;
    enum s3_outcome outcome;
    bool again;
} rows[] = {
    /* no answer */
    { "a read that was not sent", { .kind = GET, .end = HTTP_FAILED }, S3_UNREACHABLE, true },
    { "a read that was sent", { .kind = GET, .end = HTTP_FAILED, .sent = true }, S3_TIMEOUT, true },
    { "a mutation that was not sent", { .kind = PUT, .end = HTTP_FAILED }, S3_UNREACHABLE, true },
    { "a mutation that was sent", { .kind = PUT, .end = HTTP_FAILED, .sent = true }, S3_UNKNOWN, false },
    { "a delete that was sent", { .kind = DELETE, .end = HTTP_FAILED, .sent = true }, S3_UNKNOWN, false },
    { "a part may be sent twice", { .kind = PART, .end = HTTP_FAILED, .sent = true }, S3_UNKNOWN, true },
    { "an abort may be sent twice", { .kind = ABORT, .end = HTTP_FAILED, .sent = true }, S3_UNKNOWN, true },
    { "a create of an upload may not", { .kind = CREATE, .end = HTTP_FAILED, .sent = true }, S3_UNKNOWN, false },
    { "a certificate that is not trusted", { .kind = GET, .end = HTTP_FAILED, .hopeless = true }, S3_UNREACHABLE, false },
    { "a read in time out", { .kind = LIST, .end = HTTP_TIMED_OUT, .sent = true }, S3_TIMEOUT, true },
    { "a mutation in time out", { .kind = COMPLETE, .end = HTTP_TIMED_OUT, .sent = true }, S3_UNKNOWN, false },
    { "a mutation that waited too long", { .kind = COMPLETE, .end = HTTP_TIMED_OUT }, S3_UNREACHABLE, true },
    { "a cancelled read", { .kind = GET, .end = HTTP_CANCELLED, .sent = true }, S3_CANCELLED, false },
    { "a cancelled mutation that was sent", { .kind = COPY, .end = HTTP_CANCELLED, .sent = true }, S3_UNKNOWN, false },
    { "a cancelled mutation that was not", { .kind = COPY, .end = HTTP_CANCELLED }, S3_CANCELLED, false },
    { "a buffer too small", { .kind = GET, .end = HTTP_TOO_LARGE, .sent = true }, S3_LOCAL, false },
    { "a listing too large", { .kind = LIST, .end = HTTP_TOO_LARGE, .sent = true, .number = 4 }, S3_CORRUPT, false },
    { "a result too large", { .kind = COPY, .end = HTTP_TOO_LARGE, .sent = true }, S3_UNKNOWN, false },
    { "no memory before sending", { .kind = PUT, .end = HTTP_LOCAL }, S3_LOCAL, false },
    { "no memory after sending", { .kind = PUT, .end = HTTP_LOCAL, .sent = true }, S3_UNKNOWN, false },
    /* 2xx */
    { "a good answer", { .kind = PUT, .status = 200 }, S3_OK, false },
    { "a read that fails its checks", { .kind = GET, .status = 200, .judged = S3_CORRUPT, .number = 1 }, S3_CORRUPT, true },
    { "the fourth time", { .kind = GET, .status = 200, .judged = S3_CORRUPT, .number = 4 }, S3_CORRUPT, false },
    { "a mutation without its result", { .kind = COPY, .status = 200, .judged = S3_CORRUPT, .number = 1 }, S3_UNKNOWN, false },
    { "a result that was not read", { .kind = PUT, .status = 200, .judged = S3_LOCAL }, S3_UNKNOWN, false },
    /* 4xx */
    { "400", { .kind = PUT, .status = 400 }, S3_INVALID, false },
    { "400 with a code nobody knows", { .kind = PUT, .status = 400, .code = "Strange" }, S3_INVALID, false },
    { "a body that arrived damaged", { .kind = PUT, .status = 400, .code = "BadDigest", .number = 1 }, S3_CORRUPT, true },
    { "again and again", { .kind = PUT, .status = 400, .code = "BadDigest", .number = 4 }, S3_CORRUPT, false },
    { "a body that was too slow", { .kind = PUT, .status = 400, .code = "RequestTimeout" }, S3_THROTTLED, true },
    { "an expired token", { .kind = GET, .status = 400, .code = "ExpiredToken" }, S3_BAD_KEY, false },
    { "401", { .kind = GET, .status = 401 }, S3_BAD_KEY, false },
    { "a wrong secret", { .kind = GET, .status = 403, .code = "SignatureDoesNotMatch" }, S3_BAD_KEY, false },
    { "an unknown key id", { .kind = GET, .status = 403, .code = "InvalidAccessKeyId" }, S3_BAD_KEY, false },
    { "403", { .kind = GET, .status = 403, .code = "AccessDenied" }, S3_DENIED, false },
    { "403 of a HEAD", { .kind = HEAD, .status = 403 }, S3_DENIED, false },
    { "a wrong clock", { .kind = PUT, .status = 403, .code = "RequestTimeTooSkewed" }, S3_CLOCK, true },
    { "a clock that was corrected", { .kind = PUT, .status = 403, .code = "RequestTimeTooSkewed", .clock_corrected = true }, S3_CLOCK, false },
    { "a full account", { .kind = PUT, .status = 403, .code = "QuotaExceeded" }, S3_QUOTA, false },
    { "an unpaid account", { .kind = PUT, .status = 402 }, S3_QUOTA, false },
    { "404 of a HEAD", { .kind = HEAD, .status = 404 }, S3_NOT_FOUND, false },
    { "404 of a GET", { .kind = GET, .status = 404, .code = "NoSuchKey" }, S3_NOT_FOUND, false },
    { "404 of a GET without a reason", { .kind = GET, .status = 404, .number = 1 }, S3_CORRUPT, true },
    { "404 of a PUT without a reason", { .kind = PUT, .status = 404 }, S3_INVALID, false },
    { "404 to an If-Match", { .kind = PUT, .status = 404, .code = "NoSuchKey", .conditional = true }, S3_PRECONDITION, false },
    { "a missing bucket", { .kind = LIST, .status = 404, .code = "NoSuchBucket" }, S3_NO_BUCKET, false },
    { "a missing upload", { .kind = PART, .status = 404, .code = "NoSuchUpload", .conditional = true }, S3_NO_UPLOAD, false },
    { "405", { .kind = PUT, .status = 405 }, S3_INVALID, false },
    { "408", { .kind = PUT, .status = 408 }, S3_THROTTLED, true },
    { "409", { .kind = PUT, .status = 409 }, S3_PRECONDITION, false },
    { "411", { .kind = PUT, .status = 411 }, S3_INVALID, false },
    { "412", { .kind = PUT, .status = 412 }, S3_PRECONDITION, false },
    { "413", { .kind = PUT, .status = 413 }, S3_INVALID, false },
    { "416", { .kind = GET, .status = 416 }, S3_RANGE, false },
    { "429 of a mutation", { .kind = PUT, .status = 429 }, S3_THROTTLED, true },
    { "429 of a listing", { .kind = LIST, .status = 429 }, S3_THROTTLED, true },
    /* 3xx and 5xx */
    { "a redirect", { .kind = GET, .status = 301 }, S3_INVALID, false },
    { "500 of a read", { .kind = GET, .status = 500 }, S3_TIMEOUT, true },
    { "500 of a mutation", { .kind = PUT, .status = 500, .code = "InternalError" }, S3_UNKNOWN, false },
    { "500 of a part", { .kind = PART, .status = 500 }, S3_UNKNOWN, true },
    { "501", { .kind = COPY, .status = 501, .code = "NotImplemented" }, S3_UNSUPPORTED, false },
    { "503 of a mutation", { .kind = DELETE, .status = 503, .code = "SlowDown" }, S3_THROTTLED, true },
    { "503 from the edge", { .kind = PUT, .status = 503 }, S3_THROTTLED, true },
    { "522 from the edge", { .kind = PUT, .status = 522 }, S3_UNKNOWN, false },
    { "507", { .kind = PUT, .status = 507 }, S3_QUOTA, false },
};

static void every_attempt_is_judged_as_the_table_says(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct retry_attempt attempt = rows[i].attempt;
        if (!attempt.code)
            attempt.code = "";
        if (attempt.status)
            attempt.sent = true;
        struct retry_verdict verdict = retry_classify(&attempt);
        if (verdict.outcome != rows[i].outcome || verdict.again != rows[i].again)
            fail_msg("%s: %s%s", rows[i].title, s3_outcome_name(verdict.outcome), verdict.again ? ", again" : "");
    }
}

static void no_mutation_with_a_possible_effect_is_ever_repeated(void **state)
{
    (void)state;
    static const enum s3_kind kinds[] = { PUT, COPY, DELETE, S3_KIND_DELETE_OBJECTS, CREATE, COMPLETE };
    for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++)
        for (int status = 200; status < 600; status++) {
            struct retry_attempt attempt = { .kind = kinds[k], .number = 1, .end = HTTP_ANSWERED, .sent = true, .status = status,
                                             .code = "", .judged = S3_CORRUPT };
            bool no_effect = status == 408 || status == 429 || status == 503;
            assert_int_equal(retry_classify(&attempt).again, no_effect);
        }
}

static void permanent_outcomes_are_never_tried_again(void **state)
{
    (void)state;
    for (int status = 300; status < 600; status++)
        for (int kind = 0; kind < S3_KIND_COUNT; kind++) {
            struct retry_attempt attempt = { .kind = (enum s3_kind)kind, .number = 1, .sent = true, .status = status, .code = "" };
            struct retry_verdict verdict = retry_classify(&attempt);
            if (s3_outcome_is_permanent(verdict.outcome))
                assert_false(verdict.again);
        }
}

static void the_delay_doubles_with_jitter_up_to_two_seconds(void **state)
{
    (void)state;
    static const int64_t most[] = { 100, 200, 400, 800, 1600, 2000, 2000, 2000 };
    for (int n = 0; n < 8; n++) {
        const struct retry_attempt attempt = { .kind = GET, .number = n + 1, .status = 500, .code = "" };
        assert_int_equal(retry_delay_ms(&attempt, S3_TIMEOUT, 0, 0), most[n] / 2);
        assert_int_equal(retry_delay_ms(&attempt, S3_TIMEOUT, 0, (uint32_t)most[n] / 2), most[n]);
        for (uint32_t random = 1; random < 2000000000; random *= 2)
            assert_in_range(retry_delay_ms(&attempt, S3_TIMEOUT, 0, random), most[n] / 2, most[n]);
    }
}

static void retry_after_is_waited_for_and_a_hot_key_a_second(void **state)
{
    (void)state;
    const struct retry_attempt busy = { .kind = PUT, .number = 1, .status = 503, .code = "" };
    assert_int_equal(retry_delay_ms(&busy, S3_THROTTLED, 7000, 5), 7000);
    const struct retry_attempt hot = { .kind = PUT, .number = 1, .status = 429, .code = "" };
    assert_in_range(retry_delay_ms(&hot, S3_THROTTLED, 0, 5), 1000, 1100);
    const struct retry_attempt skewed = { .kind = PUT, .number = 1, .status = 403, .code = "" };
    assert_int_equal(retry_delay_ms(&skewed, S3_CLOCK, 0, 5), 0);
}

static void one_key_spends_its_own_budget_only(void **state)
{
    (void)state;
    struct retry_budget budget = { 0 };
    for (int i = 0; i < RETRY_KEY_BURST; i++)
        assert_int_equal(retry_budget_take(&budget, "slow", 1000), 0);
    assert_int_equal(retry_budget_take(&budget, "slow", 1000), RETRY_KEY_MS);
    assert_int_equal(retry_budget_take(&budget, "slow", 1000), 2 * RETRY_KEY_MS);
    assert_int_equal(retry_budget_take(&budget, "other", 1000), 0);
    assert_int_equal(retry_budget_take(&budget, "slow", 1000 + 60000), 0);
}

static void all_keys_together_are_slowed_down_but_never_refused(void **state)
{
    (void)state;
    struct retry_budget budget = { 0 };
    for (int i = 0; i < RETRY_ALL_BURST; i++)
        assert_int_equal(retry_budget_take(&budget, NULL, 5), 0);
    assert_int_equal(retry_budget_take(&budget, NULL, 5), RETRY_ALL_MS);
    assert_int_equal(retry_budget_take(&budget, NULL, 5 + RETRY_ALL_MS), RETRY_ALL_MS);
    assert_int_equal(retry_budget_take(&budget, NULL, 5 + 100 * RETRY_ALL_MS), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_attempt_is_judged_as_the_table_says),
        cmocka_unit_test(no_mutation_with_a_possible_effect_is_ever_repeated),
        cmocka_unit_test(permanent_outcomes_are_never_tried_again),
        cmocka_unit_test(the_delay_doubles_with_jitter_up_to_two_seconds),
        cmocka_unit_test(retry_after_is_waited_for_and_a_hot_key_a_second),
        cmocka_unit_test(one_key_spends_its_own_budget_only),
        cmocka_unit_test(all_keys_together_are_slowed_down_but_never_refused),
    };
    return cmocka_run_group_tests_name("retry", tests, NULL, NULL);
}

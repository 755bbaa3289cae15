/* Sentences and exit codes of outcomes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "fs/explain.h"

static const struct explain_where where = { "https://acc.example:9", "bucket", "threads/T", "the environment (S3_ACCESS_KEY)" };

static const char *explain(enum s3_outcome outcome, const char *code, int status, const char *message)
{
    static char sentence[512];
    struct s3_error error = { .outcome = outcome, .http_status = status };

    snprintf(error.code, sizeof error.code, "%s", code);
    snprintf(error.message, sizeof error.message, "%s", message);
    explain_s3(sentence, sizeof sentence, &where, &error);
    return sentence;
}

static void expect(const char *sentence, ...) __attribute__((sentinel));
static void expect(const char *sentence, ...)
{
    const char *text;
    va_list list;

    va_start(list, sentence);
    while ((text = va_arg(list, const char *)))
        if (!strstr(sentence, text))
            fail_msg("no \"%s\" in: %s", text, sentence);
    va_end(list);
}

static void a_wrong_key_names_endpoint_key_code_and_advice(void **state)
{
    (void)state;
    expect(explain(S3_BAD_KEY, "InvalidAccessKeyId", 403, "No such key."), "acc.example:9", "S3_ACCESS_KEY", "InvalidAccessKeyId", "403",
           "No such key)", "check the key id", (char *)NULL);
    expect(explain(S3_BAD_KEY, "SignatureDoesNotMatch", 403, ""), "SignatureDoesNotMatch", "check the secret", (char *)NULL);
    expect(explain(S3_BAD_KEY, "ExpiredToken", 400, ""), "ExpiredToken", "get a new one", (char *)NULL);
}

static void each_kind_of_failure_names_its_thing(void **state)
{
    (void)state;
    expect(explain(S3_NO_BUCKET, "NoSuchBucket", 404, ""), "bucket bucket", "NoSuchBucket", "create it", (char *)NULL);
    expect(explain(S3_DENIED, "AccessDenied", 403, ""), "bucket/threads/T", "AccessDenied", (char *)NULL);
    expect(explain(S3_UNREACHABLE, "CURLE_COULDNT_CONNECT", 0, "Connection refused"), "acc.example:9", "can't be reached", "Connection refused", (char *)NULL);
    expect(explain(S3_CLOCK, "RequestTimeTooSkewed", 403, ""), "clock", "RequestTimeTooSkewed", (char *)NULL);
    expect(explain(S3_TIMEOUT, "", 0, ""), "in time", (char *)NULL);
    assert_null(strchr(explain(S3_TIMEOUT, "", 0, ""), '('));
}

static void every_outcome_has_a_sentence_of_one_line_and_a_code(void **state)
{
    (void)state;
    for (int outcome = S3_OK; outcome <= S3_LOCAL; outcome++) {
        struct s3_error error = { .outcome = (enum s3_outcome)outcome };
        const char *sentence = explain((enum s3_outcome)outcome, "Code", 500, "two\nlines");
        assert_null(strchr(sentence, '\n'));
        if (outcome == S3_OK) {
            assert_string_equal(sentence, "");
            assert_int_equal(explain_exit(&error), EXIT_GOOD);
        } else {
            assert_true(strlen(sentence) > 20);
            assert_int_not_equal(explain_exit(&error), EXIT_GOOD);
        }
    }
}

static void exit_codes(void **state)
{
    static const struct {
        enum s3_outcome outcome;
        enum exit_code code;
    } cases[] = {
        { S3_BAD_KEY, 32 }, { S3_NO_BUCKET, 32 }, { S3_CLOCK, 32 }, { S3_UNREACHABLE, 32 }, { S3_DENIED, 32 }, { S3_LOCAL, 2 }, { S3_CANCELLED, 8 },
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct s3_error error = { .outcome = cases[i].outcome };
        assert_int_equal(explain_exit(&error), cases[i].code);
    }
}

static void a_local_failure_says_what_this_machine_lacks(void **state)
{
    struct s3_error error = { .outcome = S3_LOCAL, .local_errno = EMFILE };
    char sentence[256];

    (void)state;
    explain_s3(sentence, sizeof sentence, &where, &error);
    expect(sentence, "Too many open files", (char *)NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_wrong_key_names_endpoint_key_code_and_advice),
        cmocka_unit_test(each_kind_of_failure_names_its_thing),
        cmocka_unit_test(every_outcome_has_a_sentence_of_one_line_and_a_code),
        cmocka_unit_test(exit_codes),
        cmocka_unit_test(a_local_failure_says_what_this_machine_lacks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

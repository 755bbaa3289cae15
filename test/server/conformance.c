/*
 * What s3/ needs of an S3 server, one promise a case, over the real network code. Run by test/server/conformance-*.t
 * against r2sim and against Cloudflare's miniflare: the two must agree wherever r2fs depends on it.
 * Environment: S3_ENDPOINT_URL, S3_ACCESS_KEY, S3_ACCESS_SECRET, S3_BUCKET. Leaves nothing under its prefix but what it
 * made in this run.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "s3/s3.h"

static const struct s3_ops *const ops = &s3_network_ops;
static const struct s3_call call = {.timeout_ms = 20000};
static struct s3 *bucket;
static struct s3_error failure; /* of the last request */

#define expect_outcome(request, wanted) expect_outcome_at((request), (wanted), #request, __LINE__)
static void expect_outcome_at(enum s3_outcome got, enum s3_outcome wanted, const char *request, int line) {
    if (got != wanted)
        fail_msg("line %d: %s: %s, not %s (%d %s %s)", line, request, s3_outcome_name(got), s3_outcome_name(wanted),
                 failure.http_status, failure.code, failure.message);
}

static struct s3_put_result put(const char *key, const char *text, struct s3_headers headers, struct s3_condition condition,
                                enum s3_outcome wanted) {
    struct s3_put_request request = {
        .key = key, .body = {.data = text, .length = strlen(text)}, .headers = headers, .condition = condition};
    struct s3_put_result result = {0};
    expect_outcome(ops->put(bucket, &call, &request, &result, &failure), wanted);
    return result;
}
static struct s3_put_result put_plain(const char *key, const char *text) {
    return put(key, text, (struct s3_headers){0}, (struct s3_condition){0}, S3_OK);
}
/* Reads at most 64 bytes as a string. */
static const char *get(const char *key, uint64_t offset, uint64_t length, const char *if_match, enum s3_outcome wanted) {
    static char text[65];
    struct s3_get_request request = {
        .key = key, .offset = offset, .length = length, .if_match = if_match, .buffer = text, .capacity = 64, .verify = !length};
    struct s3_object object = {0};
    size_t got = 0;
    expect_outcome(ops->get(bucket, &call, &request, &object, &got, &failure), wanted);
    s3_object_fini(&object);
    text[got] = '\0';
    return text;
}
static struct s3_object head(const char *key, enum s3_outcome wanted) {
    struct s3_object object = {0};
    expect_outcome(ops->head(bucket, &call, key, &object, &failure), wanted);
    return object;
}
static void remove_key(const char *key) {
    struct s3_delete_request request = {.key = key};
    expect_outcome(ops->remove(bucket, &call, &request, &failure), S3_OK);
}

static void test_put_get(void **state) {
    (void)state;
    put_plain("conformance/put", "hello");
    assert_string_equal(get("conformance/put", 0, 0, NULL, S3_OK), "hello");
}

static void test_empty_object(void **state) {
    (void)state;
    put_plain("conformance/empty", "");
    assert_string_equal(get("conformance/empty", 0, 0, NULL, S3_OK), "");
    struct s3_object object = head("conformance/empty", S3_OK);
    assert_int_equal(object.size, 0);
    s3_object_fini(&object);
}

static void test_etag_is_md5(void **state) {
    (void)state;
    struct s3_put_result result = put_plain("conformance/md5", "hello");
    assert_string_equal(result.etag, "5d41402abc4b2a76b9719d911017c592");
    struct s3_object object = head("conformance/md5", S3_OK);
    assert_string_equal(object.etag, result.etag);
    s3_object_fini(&object);
}

static void test_wrong_md5_is_refused(void **state) {
    (void)state;
    struct s3_put_request request = {
        .key = "conformance/bad", .body = {.data = "hello", .length = 5, .md5 = "00000000000000000000000000000000"}};
    struct s3_put_result result;
    enum s3_outcome outcome = ops->put(bucket, &call, &request, &result, &failure);
    assert_int_not_equal(outcome, S3_OK);
    head("conformance/bad", S3_NOT_FOUND);
}

static void test_missing_key(void **state) {
    (void)state;
    head("conformance/missing", S3_NOT_FOUND);
    get("conformance/missing", 0, 0, NULL, S3_NOT_FOUND);
}

static void test_range(void **state) {
    (void)state;
    put_plain("conformance/range", "0123456789");
    assert_string_equal(get("conformance/range", 2, 3, NULL, S3_OK), "234");
    assert_string_equal(get("conformance/range", 8, 10, NULL, S3_OK), "89");
}

static void test_get_if_match(void **state) {
    (void)state;
    struct s3_put_result result = put_plain("conformance/match", "version");
    assert_string_equal(get("conformance/match", 0, 0, result.etag, S3_OK), "version");
    get("conformance/match", 0, 0, "00000000000000000000000000000000", S3_PRECONDITION);
}

static void test_headers_and_metadata(void **state) {
    (void)state;
    struct s3_pair meta[] = {{(char[]){"mode"}, (char[]){"33188"}}, {(char[]){"r2fs-v"}, (char[]){"1-2"}}};
    struct s3_headers headers = {.content_type = "text/x-test", .cache_control = "max-age=7", .meta = meta, .meta_count = 2};
    put("conformance/headers", "x", headers, (struct s3_condition){0}, S3_OK);
    struct s3_object object = head("conformance/headers", S3_OK);
    assert_string_equal(object.content_type, "text/x-test");
    assert_string_equal(object.cache_control, "max-age=7");
    assert_string_equal(s3_object_meta(&object, "mode"), "33188");
    assert_string_equal(s3_object_meta(&object, "r2fs-v"), "1-2");
    s3_object_fini(&object);
}

static void test_create_only(void **state) {
    (void)state;
    struct s3_condition absent = {.if_absent = true};
    remove_key("conformance/create");
    put("conformance/create", "first", (struct s3_headers){0}, absent, S3_OK);
    put("conformance/create", "second", (struct s3_headers){0}, absent, S3_PRECONDITION);
    assert_string_equal(get("conformance/create", 0, 0, NULL, S3_OK), "first");
}

static void test_replace_only(void **state) {
    (void)state;
    struct s3_put_result one = put_plain("conformance/replace", "one");
    put("conformance/replace", "two", (struct s3_headers){0}, (struct s3_condition){.if_match = one.etag}, S3_OK);
    put("conformance/replace", "three", (struct s3_headers){0}, (struct s3_condition){.if_match = one.etag}, S3_PRECONDITION);
    assert_string_equal(get("conformance/replace", 0, 0, NULL, S3_OK), "two");
}

static void test_replace_of_missing(void **state) {
    (void)state;
    struct s3_condition match = {.if_match = "00000000000000000000000000000000"};
    put("conformance/replace-missing", "x", (struct s3_headers){0}, match, S3_PRECONDITION);
    head("conformance/replace-missing", S3_NOT_FOUND);
}

static void test_copy(void **state) {
    (void)state;
    struct s3_pair meta[] = {{(char[]){"mode"}, (char[]){"33188"}}};
    put("conformance/copy from", "body", (struct s3_headers){.meta = meta, .meta_count = 1}, (struct s3_condition){0}, S3_OK);
    struct s3_copy_request request = {.source = "conformance/copy from", .key = "conformance/copy+to"};
    struct s3_put_result result = {0};
    expect_outcome(ops->copy(bucket, &call, &request, &result, &failure), S3_OK);
    assert_string_equal(get("conformance/copy+to", 0, 0, NULL, S3_OK), "body");
    struct s3_object object = head("conformance/copy+to", S3_OK);
    assert_string_equal(s3_object_meta(&object, "mode"), "33188");
    assert_string_equal(object.etag, result.etag);
    s3_object_fini(&object);
}

static void test_copy_replaces_metadata(void **state) {
    (void)state;
    struct s3_pair meta[] = {{(char[]){"mode"}, (char[]){"33261"}}};
    struct s3_put_result before = put_plain("conformance/chmod", "body");
    struct s3_copy_request request = {.source = "conformance/chmod", .source_if_match = before.etag, .key = "conformance/chmod-2",
                                      .directive = S3_META_REPLACE, .headers = {.meta = meta, .meta_count = 1}};
    struct s3_put_result result = {0};
    expect_outcome(ops->copy(bucket, &call, &request, &result, &failure), S3_OK);
    struct s3_object object = head("conformance/chmod-2", S3_OK);
    assert_string_equal(s3_object_meta(&object, "mode"), "33261");
    s3_object_fini(&object);
}

static void test_copy_of_another_version(void **state) {
    (void)state;
    put_plain("conformance/source", "body");
    struct s3_copy_request request = {.source = "conformance/source", .source_if_match = "00000000000000000000000000000000",
                                      .key = "conformance/never-copied"};
    struct s3_put_result result;
    expect_outcome(ops->copy(bucket, &call, &request, &result, &failure), S3_PRECONDITION);
    head("conformance/never-copied", S3_NOT_FOUND);
}

static void test_copy_of_missing(void **state) {
    (void)state;
    struct s3_copy_request request = {.source = "conformance/no-source", .key = "conformance/never-copied"};
    struct s3_put_result result;
    expect_outcome(ops->copy(bucket, &call, &request, &result, &failure), S3_NOT_FOUND);
}

static void test_delete(void **state) {
    (void)state;
    put_plain("conformance/delete", "x");
    remove_key("conformance/delete");
    head("conformance/delete", S3_NOT_FOUND);
    remove_key("conformance/delete");
}

static void test_delete_many(void **state) {
    (void)state;
    put_plain("conformance/many/1 & <1>", "x");
    put_plain("conformance/many/2", "x");
    struct s3_delete_entry entries[] = {{.key = "conformance/many/1 & <1>"}, {.key = "conformance/many/2"}, {.key = "conformance/many/missing"}};
    expect_outcome(ops->remove_many(bucket, &call, entries, 3, &failure), S3_OK);
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(entries[i].error.outcome, S3_OK);
    head("conformance/many/1 & <1>", S3_NOT_FOUND);
    head("conformance/many/2", S3_NOT_FOUND);
}

static void test_list_pages(void **state) {
    (void)state;
    for (char c = 'a'; c < 'h'; c++) {
        char key[64];
        snprintf(key, sizeof key, "conformance/list/%c", c);
        put_plain(key, "12345");
    }
    char seen[16] = "";
    char *token = NULL;
    int pages = 0;
    do {
        struct s3_list_request request = {.prefix = "conformance/list/", .token = token, .max_keys = 3};
        struct s3_list_page page = {0};
        expect_outcome(ops->list(bucket, &call, &request, &page, &failure), S3_OK);
        for (size_t i = 0; i < page.entry_count; i++) {
            assert_int_equal(page.entries[i].size, 5);
            assert_string_equal(page.entries[i].etag, "827ccb0eea8a706c4c34a16891f84e7b");
            assert_true(page.entries[i].mtime_ms > 1500000000000);
            strncat(seen, page.entries[i].key + strlen("conformance/list/"), sizeof seen - strlen(seen) - 1);
        }
        free(token);
        token = page.next_token ? strdup(page.next_token) : NULL;
        s3_list_page_fini(&page);
    } while (token && ++pages < 10);
    assert_string_equal(seen, "abcdefg");
}

static void test_list_start_after(void **state) {
    (void)state;
    struct s3_list_request request = {.prefix = "conformance/list/", .start_after = "conformance/list/e"};
    struct s3_list_page page = {0};
    expect_outcome(ops->list(bucket, &call, &request, &page, &failure), S3_OK);
    assert_int_equal(page.entry_count, 2);
    assert_string_equal(page.entries[0].key, "conformance/list/f");
    s3_list_page_fini(&page);
}

static void test_list_delimiter(void **state) {
    (void)state;
    put_plain("conformance/tree/a/1", "x");
    put_plain("conformance/tree/a/2", "x");
    put_plain("conformance/tree/b", "x");
    struct s3_list_request request = {.prefix = "conformance/tree/", .delimiter = "/"};
    struct s3_list_page page = {0};
    expect_outcome(ops->list(bucket, &call, &request, &page, &failure), S3_OK);
    assert_int_equal(page.entry_count, 1);
    assert_string_equal(page.entries[0].key, "conformance/tree/b");
    assert_int_equal(page.prefix_count, 1);
    assert_string_equal(page.prefixes[0], "conformance/tree/a/");
    s3_list_page_fini(&page);
}

static void test_list_nothing(void **state) {
    (void)state;
    struct s3_list_request request = {.prefix = "conformance/nothing/here/", .max_keys = 1};
    struct s3_list_page page = {0};
    expect_outcome(ops->list(bucket, &call, &request, &page, &failure), S3_OK);
    assert_int_equal(page.entry_count, 0);
    assert_null(page.next_token);
    s3_list_page_fini(&page);
}

static void test_names(void **state) {
    (void)state;
    static const char *const names[] = {"conformance/names/a b", "conformance/names/a+b", "conformance/names/100%25", "conformance/names/\xc3\xa9\xe6\x97\xa5",
                                        "conformance/names/q?x=1&y#z", "conformance/names/'\"<>;:@$!*()=,~", "conformance/names/tab\tname", "conformance/names/dir/"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        put_plain(names[i], "name");
        assert_string_equal(get(names[i], 0, 0, NULL, S3_OK), "name");
        struct s3_list_request request = {.prefix = names[i]};
        struct s3_list_page page = {0};
        expect_outcome(ops->list(bucket, &call, &request, &page, &failure), S3_OK);
        assert_int_equal(page.entry_count, 1);
        assert_string_equal(page.entries[0].key, names[i]);
        s3_list_page_fini(&page);
    }
}

/* An upload of two parts of 5 MiB and a last one of 3 bytes; the second is copied from an object. */
static void test_multipart(void **state) {
    (void)state;
    char *part = malloc(S3_PART_MIN), *upload_id = NULL;
    assert_non_null(part);
    memset(part, 'p', S3_PART_MIN);
    struct s3_put_request source = {.key = "conformance/part-source", .body = {.data = part, .length = S3_PART_MIN}};
    struct s3_put_result result = {0};
    expect_outcome(ops->put(bucket, &call, &source, &result, &failure), S3_OK);

    struct s3_pair meta[] = {{(char[]){"mode"}, (char[]){"33188"}}};
    struct s3_upload_request create = {.key = "conformance/large", .headers = {.meta = meta, .meta_count = 1}};
    expect_outcome(ops->upload_create(bucket, &call, &create, &upload_id, &failure), S3_OK);
    struct s3_part parts[3] = {0};
    struct s3_part_request request = {.key = "conformance/large", .upload_id = upload_id, .number = 1, .body = {.data = part, .length = S3_PART_MIN}};
    expect_outcome(ops->upload_part(bucket, &call, &request, &parts[0], &failure), S3_OK);
    request = (struct s3_part_request){.key = "conformance/large", .upload_id = upload_id, .number = 2, .source = "conformance/part-source", .source_length = S3_PART_MIN};
    expect_outcome(ops->upload_part(bucket, &call, &request, &parts[1], &failure), S3_OK);
    request = (struct s3_part_request){.key = "conformance/large", .upload_id = upload_id, .number = 3, .body = {.data = "end", .length = 3}};
    expect_outcome(ops->upload_part(bucket, &call, &request, &parts[2], &failure), S3_OK);
    struct s3_complete_request complete = {.key = "conformance/large", .upload_id = upload_id, .parts = parts, .part_count = 3};
    expect_outcome(ops->upload_complete(bucket, &call, &complete, &result, &failure), S3_OK);

    struct s3_object object = head("conformance/large", S3_OK);
    assert_int_equal(object.size, 2 * (uint64_t)S3_PART_MIN + 3);
    assert_non_null(strstr(object.etag, "-3"));
    assert_string_equal(object.etag, result.etag);
    assert_string_equal(s3_object_meta(&object, "mode"), "33188");
    s3_object_fini(&object);
    assert_string_equal(get("conformance/large", 2 * (uint64_t)S3_PART_MIN - 2, 5, NULL, S3_OK), "ppend");
    free(upload_id);
    free(part);
}

static void test_abort(void **state) {
    (void)state;
    char *upload_id = NULL;
    struct s3_upload_request create = {.key = "conformance/aborted"};
    expect_outcome(ops->upload_create(bucket, &call, &create, &upload_id, &failure), S3_OK);
    expect_outcome(ops->upload_abort(bucket, &call, "conformance/aborted", upload_id, &failure), S3_OK);
    struct s3_part part;
    struct s3_part_request request = {.key = "conformance/aborted", .upload_id = upload_id, .number = 1, .body = {.data = "x", .length = 1}};
    expect_outcome(ops->upload_part(bucket, &call, &request, &part, &failure), S3_NO_UPLOAD);
    free(upload_id);
}

static void test_probe_put(void **state) {
    (void)state;
    enum s3_cap_state put_cap = S3_CAP_UNKNOWN;
    expect_outcome(s3_cap_probe(ops, bucket, S3_CAP_PUT_CONDITION, "conformance/.r2fs/", &put_cap, &failure), S3_OK);
    assert_int_equal(put_cap, S3_CAP_HONOURED);
}

static void test_probes_end(void **state) {
    (void)state;
    static const enum s3_cap caps[] = {S3_CAP_COPY_CONDITION, S3_CAP_COMPLETE_CONDITION, S3_CAP_DELETE_CONDITION};
    for (size_t i = 0; i < sizeof caps / sizeof caps[0]; i++) {
        enum s3_cap_state cap = S3_CAP_UNKNOWN;
        expect_outcome(s3_cap_probe(ops, bucket, caps[i], "conformance/.r2fs/", &cap, &failure), S3_OK);
        assert_int_not_equal(cap, S3_CAP_UNKNOWN);
        print_message("# %s: %s\n", s3_cap_name(caps[i]), cap == S3_CAP_HONOURED ? "honoured" : "ignored");
    }
    struct s3_list_request request = {.prefix = "conformance/.r2fs/"};
    struct s3_list_page page = {0};
    expect_outcome(ops->list(bucket, &call, &request, &page, &failure), S3_OK);
    assert_int_equal(page.entry_count, 0);
    s3_list_page_fini(&page);
}

static struct s3 *open_as(const char *bucket_name, const char *key_id, const char *secret) {
    struct s3_cred cred = {.key_id = (char *)(uintptr_t)key_id, .secret = (char *)(uintptr_t)secret};
    struct s3_config config = {.endpoint = getenv("S3_ENDPOINT_URL"), .bucket = bucket_name, .cred = &cred};
    struct s3 *s3 = NULL;
    assert_int_equal(s3_open(&s3, &config, &failure), 0);
    return s3;
}

static enum s3_outcome list_as(const char *bucket_name, const char *key_id, const char *secret) {
    struct s3 *s3 = open_as(bucket_name, key_id, secret);
    struct s3_list_request request = {.prefix = "", .max_keys = 1};
    struct s3_list_page page = {0};
    enum s3_outcome outcome = ops->list(s3, &call, &request, &page, &failure);
    if (outcome == S3_OK)
        s3_list_page_fini(&page);
    s3_close(s3);
    return outcome;
}

static void test_wrong_secret(void **state) {
    (void)state;
    expect_outcome(list_as(getenv("S3_BUCKET"), getenv("S3_ACCESS_KEY"), "wrong"), S3_BAD_KEY);
}

static void test_missing_bucket(void **state) {
    (void)state;
    expect_outcome(list_as("no-such-bucket", getenv("S3_ACCESS_KEY"), getenv("S3_ACCESS_SECRET")), S3_NO_BUCKET);
}

static int start(void **state) {
    (void)state;
    bucket = open_as(getenv("S3_BUCKET"), getenv("S3_ACCESS_KEY"), getenv("S3_ACCESS_SECRET"));
    return 0;
}
static int stop(void **state) {
    (void)state;
    s3_close(bucket);
    return 0;
}

#define CASE(title, function) {title, function, NULL, NULL, NULL}
int main(void) {
    if (!getenv("S3_ENDPOINT_URL") || !getenv("S3_BUCKET") || !getenv("S3_ACCESS_KEY") || !getenv("S3_ACCESS_SECRET")) {
        fprintf(stderr, "conformance: set S3_ENDPOINT_URL, S3_BUCKET, S3_ACCESS_KEY and S3_ACCESS_SECRET\n");
        return 1;
    }
    const struct CMUnitTest tests[] = {
        CASE("Get returns what Put stored", test_put_get),
        CASE("an object may be empty", test_empty_object),
        CASE("the ETag of a Put is the MD5 of its body", test_etag_is_md5),
        CASE("a body that does not match its Content-MD5 is refused", test_wrong_md5_is_refused),
        CASE("Get and Head of a missing key say not found", test_missing_key),
        CASE("a range is the bytes asked for, cut off at the end", test_range),
        CASE("Get with If-Match refuses another version", test_get_if_match),
        CASE("headers and metadata come back as they were sent", test_headers_and_metadata),
        CASE("Put with If-None-Match creates once", test_create_only),
        CASE("Put with If-Match replaces that version only", test_replace_only),
        CASE("Put with If-Match does not create", test_replace_of_missing),
        CASE("Copy copies body and metadata", test_copy),
        CASE("Copy with REPLACE sets new metadata", test_copy_replaces_metadata),
        CASE("Copy of a version that has gone is refused", test_copy_of_another_version),
        CASE("Copy of a missing key says not found", test_copy_of_missing),
        CASE("Delete removes, and a second one is fine", test_delete),
        CASE("DeleteObjects removes many at once", test_delete_many),
        CASE("a listing comes in pages, each key once, in byte order", test_list_pages),
        CASE("a listing starts after a key", test_list_start_after),
        CASE("a listing with a delimiter has common prefixes", test_list_delimiter),
        CASE("a listing of nothing is empty", test_list_nothing),
        CASE("keys of any characters are stored, fetched and listed", test_names),
        CASE("a multipart upload joins its parts, copied ones too", test_multipart),
        CASE("an aborted upload takes no more parts", test_abort),
        CASE("the probe finds that conditions on Put are honoured", test_probe_put),
        CASE("the other probes find an answer and clean up", test_probes_end),
        CASE("a wrong secret is told from other refusals", test_wrong_secret),
        CASE("a missing bucket is told from a missing key", test_missing_bucket),
    };
    return cmocka_run_group_tests(tests, start, stop);
}

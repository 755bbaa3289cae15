/*
 * Signatures against what others published: the v4 cases of aws-c-auth's signing test suite (those that normalise a path
 * are left out: S3 never does), and the four examples of Amazon's "Authenticating Requests" page.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "s3/digest.h"
#include "s3/sign.h"
#include "s3/uri.h"

struct vector {
    const char *name, *method, *path;
    struct uri_param params[4];
    struct sign_header headers[8];
    const char *payload, *signature;
};

/* The suite: region us-east-1, service "service", 2015-08-30T12:36:00Z, host example.amazonaws.com. */
static const struct vector suite[] = {
    { "get-header-key-duplicate", "GET", "/",
      { { NULL, NULL } },
      { { "my-header1", "value2" },
        { "my-header1", "value2" },
        { "my-header1", "value1" } },
      DIGEST_EMPTY_SHA256, "c9d5ea9f3f72853aea855b47ea873832890dbdd183b4468f858259531a5138ea" },
    { "get-header-value-order", "GET", "/",
      { { NULL, NULL } },
      { { "my-header1", "value4" },
        { "my-header1", "value1" },
        { "my-header1", "value3" },
        { "my-header1", "value2" } },
      DIGEST_EMPTY_SHA256, "08c7e5a9acfcfeb3ab6b2185e75ce8b1deb5e634ec47601a50643f830c755c01" },
    { "get-header-value-trim", "GET", "/",
      { { NULL, NULL } },
      { { "my-header1", " value1" },
        { "my-header2", " \"a   b   c\"" } },
      DIGEST_EMPTY_SHA256, "acc3ed3afb60bb290fc8d2dd0098b9911fcaa05412b367055dee359757a9c736" },
    { "get-relative-relative-unnormalized", "GET", "/example1/example2/../..",
      { { NULL, NULL } },
      { { NULL, NULL } },
      DIGEST_EMPTY_SHA256, "dc33e0856fd4baca4d7aa2146c38958283844764f38c74252a333df5e613003b" },
    { "get-relative-unnormalized", "GET", "/example/..",
      { { NULL, NULL } },
      { { NULL, NULL } },
      DIGEST_EMPTY_SHA256, "eca7ead57bb5aa5c8e28007acd4ff04e1ff9a0ff3b237ec1554a184887ff9282" },
    { "get-slash-dot-slash-unnormalized", "GET", "/./",
      { { NULL, NULL } },
      { { NULL, NULL } },
      DIGEST_EMPTY_SHA256, "68714168e6557f8f2de0ef956fc24dc2593a4bd2961f8df51898d8a134695145" },
    { "get-slash-pointless-dot-unnormalized", "GET", "/./example",
      { { NULL, NULL } },
      { { NULL, NULL } },
      DIGEST_EMPTY_SHA256, "beb03f223f7deae4146464f06e29eebbee9c8afbe15c290cf07aa8b119e14cff" },
    { "get-slash-unnormalized", "GET", "//",
      { { NULL, NULL } },
      { { NULL, NULL } },
      DIGEST_EMPTY_SHA256, "c88bcd3d312d75078c0cd961d6deae3f4c754924b01669efcfcb439fd5e5b76e" },
    { "get-slashes-unnormalized", "GET", "//example//",
      { { NULL, NULL } },
      { { NULL, NULL } },
      DIGEST_EMPTY_SHA256, "87cca117541a147f6df867677d98a7d80dff226d2bfca9e4ffa899665623c7e5" },
    { "get-space-unnormalized", "GET", "/example space/",
      { { NULL, NULL } },
      { { NULL, NULL } },
      DIGEST_EMPTY_SHA256, "652487583200325589f1fba4c7e578f72c47cb61beeca81406b39ddec1366741" },
    { "get-unreserved", "GET", "/-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz",
      { { NULL, NULL } },
      { { NULL, NULL } },
      DIGEST_EMPTY_SHA256, "07ef7494c76fa4850883e2b006601f940f8a34d404d0cfa977f52a65bbf5f24f" },
    { "get-utf8", "GET", "/\341\210\264",
      { { NULL, NULL } },
      { { NULL, NULL } },
      DIGEST_EMPTY_SHA256, "8318018e0b0f223aa2bbf98705b62bb787dc9c0e678f255a891fd03141be5d85" },
    { "get-vanilla-empty-query-key", "GET", "/",
      { { "Param1", "value1" } },
      { { NULL, NULL } },
      DIGEST_EMPTY_SHA256, "a67d582fa61cc504c4bae71f336f98b97f1ea3c7a6bfe1b6e45aec72011b9aeb" },
    { "get-vanilla-query-order-encoded", "GET", "/",
      { { "Param-3", "Value3" }, { "Param", "Value2" }, { "\341\210\264", "Value1" } },
      { { NULL, NULL } },
      DIGEST_EMPTY_SHA256, "371d3713e185cc334048618a97f809c9ffe339c62934c032af5a0e595648fcac" },
    { "get-vanilla-query-order-key-case", "GET", "/",
      { { "Param2", "value2" }, { "Param1", "value1" } },
      { { NULL, NULL } },
      DIGEST_EMPTY_SHA256, "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500" },
    { "get-vanilla-query-unreserved", "GET", "/",
      { { "-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz", "-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz" } },
      { { NULL, NULL } },
      DIGEST_EMPTY_SHA256, "9c3e54bfcdf0b19771a7f523ee5669cdf59bc7cc0884027167c21bb143a40197" },
    { "get-vanilla-query", "GET", "/",
      { { NULL, NULL } },
      { { NULL, NULL } },
      DIGEST_EMPTY_SHA256, "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31" },
    { "get-vanilla-utf8-query", "GET", "/",
      { { "\341\210\264", "bar" } },
      { { NULL, NULL } },
      DIGEST_EMPTY_SHA256, "2cdec8eed098649ff3a119c94853b13c643bcf08f8b0a1d91e12c9027818dd04" },
    { "get-vanilla-with-session-token", "GET", "/",
      { { NULL, NULL } },
      { { "x-amz-security-token", "6e86291e8372ff2a2260956d9b8aae1d763fbf315fa00fa31553b73ebf194267" } },
      DIGEST_EMPTY_SHA256, "07ec1639c89043aa0e3e2de82b96708f198cceab042d4a97044c66dd9f74e7f8" },
    { "get-vanilla", "GET", "/",
      { { NULL, NULL } },
      { { NULL, NULL } },
      DIGEST_EMPTY_SHA256, "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31" },
    { "post-header-key-case", "POST", "/",
      { { NULL, NULL } },
      { { NULL, NULL } },
      DIGEST_EMPTY_SHA256, "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b" },
    { "post-header-key-sort", "POST", "/",
      { { NULL, NULL } },
      { { "my-header1", "value1" } },
      DIGEST_EMPTY_SHA256, "c5410059b04c1ee005303aed430f6e6645f61f4dc9e1461ec8f8916fdf18852c" },
    { "post-header-value-case", "POST", "/",
      { { NULL, NULL } },
      { { "my-header1", "VALUE1" } },
      DIGEST_EMPTY_SHA256, "cdbc9802e29d2942e5e10b5bccfdd67c5f22c7c4e8ae67b53629efa58b974b7d" },
    { "post-sts-header-after", "POST", "/",
      { { NULL, NULL } },
      { { NULL, NULL } },
      DIGEST_EMPTY_SHA256, "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b" },
    { "post-sts-header-before", "POST", "/",
      { { NULL, NULL } },
      { { "x-amz-security-token", "AQoDYXdzEPT//////////wEXAMPLEtc764bNrC9SAPBSM22wDOk4x4HIZ8j4FZTwdQWLWsKWHGBuFqwAeMicRXmxfpSPfIeoIYRqTflfKD8YUuwthAx7mSEI/qkPpKPi/kMcGdQrmGdeehM4IC1NtBmUpp2wUE8phUZampKsburEDy0KPkyQDYwT7WZ0wq5VSXDvp75YU9HFvlRd8Tx6q6fE8YQcHNVXAkiY9q6d+xo0rKwT38xVqr7ZD0u0iPPkUL64lIZbqBAz+scqKmlzm8FDrypNC9Yjc8fPOLn9FX9KSYvKTr4rvx3iSIlTJabIQwj2ICCR/oLxBA==" } },
      DIGEST_EMPTY_SHA256, "85d96828115b5dc0cfc3bd16ad9e210dd772bbebba041836c64533a82be05ead" },
    { "post-vanilla-empty-query-value", "POST", "/",
      { { "Param1", "value1" } },
      { { NULL, NULL } },
      DIGEST_EMPTY_SHA256, "28038455d6de14eafc1f9222cf5aa6f1a96197d7deb8263271d420d138af7f11" },
    { "post-vanilla-query", "POST", "/",
      { { "Param1", "value1" } },
      { { NULL, NULL } },
      DIGEST_EMPTY_SHA256, "28038455d6de14eafc1f9222cf5aa6f1a96197d7deb8263271d420d138af7f11" },
    { "post-vanilla", "POST", "/",
      { { NULL, NULL } },
      { { NULL, NULL } },
      DIGEST_EMPTY_SHA256, "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b" },
    { "post-x-www-form-urlencoded-parameters", "POST", "/",
      { { NULL, NULL } },
      { { "content-type", "application/x-www-form-urlencoded; charset=utf-8" },
        { "content-length", "13" },
        { "x-amz-content-sha256", "9095672bbd1f56dfc5b65f3e153adc8731a4a654192329106275f4c7b24d0b6e" } },
      "9095672bbd1f56dfc5b65f3e153adc8731a4a654192329106275f4c7b24d0b6e",
      "328d1b9eaadca9f5818ef05e8392801e091653bafec24fcab71e7344e7f51422" },
    { "post-x-www-form-urlencoded", "POST", "/",
      { { NULL, NULL } },
      { { "content-type", "application/x-www-form-urlencoded" },
        { "content-length", "13" },
        { "x-amz-content-sha256", "9095672bbd1f56dfc5b65f3e153adc8731a4a654192329106275f4c7b24d0b6e" } },
      "9095672bbd1f56dfc5b65f3e153adc8731a4a654192329106275f4c7b24d0b6e",
      "d3875051da38690788ef43de4db0d8f280229d82040bfac253562e56c3f20e0b" },
};

/* Amazon's page: region us-east-1, service s3, 2013-05-24T00:00:00Z, host examplebucket.s3.amazonaws.com. */
static const struct vector amazon[] = {
    { "GET Object", "GET", "/test.txt",
      { { NULL, NULL } },
      { { "range", "bytes=0-9" } },
      DIGEST_EMPTY_SHA256, "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41" },
    { "PUT Object", "PUT", "/test$file.text",
      { { NULL, NULL } },
      { { "date", "Fri, 24 May 2013 00:00:00 GMT" }, { "x-amz-storage-class", "REDUCED_REDUNDANCY" } },
      "44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072",
      "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd" },
    { "GET Bucket Lifecycle", "GET", "/",
      { { "lifecycle", NULL } },
      { { NULL, NULL } },
      DIGEST_EMPTY_SHA256, "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543" },
    { "GET Bucket (List Objects)", "GET", "/",
      { { "prefix", "J" }, { "max-keys", "2" } },
      { { NULL, NULL } },
      DIGEST_EMPTY_SHA256, "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7" },
};

static size_t fill(const struct vector *v, const char *host, const char *date, bool content_hash, struct sign_header *headers)
{
    size_t n = 0;
    for (; n < 8 && v->headers[n].name; n++)
        headers[n] = v->headers[n];
    headers[n++] = (struct sign_header){ "host", host };
    headers[n++] = (struct sign_header){ "x-amz-date", date };
    if (content_hash)
        headers[n++] = (struct sign_header){ "x-amz-content-sha256", v->payload };
    return n;
}

static void check(const struct vector *v, const char *host, const char *service, const char *secret, const char *key_id,
                  int64_t time)
{
    struct sign_header headers[12];
    struct buf path = BUF_INIT(4096), query = BUF_INIT(4096), answer = BUF_INIT(4096);
    char date[SIGN_DATE_SIZE];
    size_t params = 0;
    while (params < 4 && v->params[params].name)
        params++;
    uri_encode(&path, v->path, strlen(v->path), true);
    uri_query(&query, v->params, params);
    sign_date(time, date);
    struct sign_request request = { .method = v->method, .path = path.data, .query = query.data ? query.data : "",
                                    .headers = headers, .payload = v->payload, .region = "us-east-1", .service = service,
                                    .time = time };
    request.header_count = fill(v, host, date, !strcmp(service, "s3"), headers);
    struct s3_cred cred = { .key_id = (char *)(uintptr_t)key_id, .secret = (char *)(uintptr_t)secret };
    assert_int_equal(sign_authorization(&request, &cred, &answer), 0);
    const char *signature = strstr(answer.data, "Signature=");
    if (strcmp(signature + 10, v->signature) != 0) {
        struct buf canonical = BUF_INIT(8192);
        sign_canonical(&request, &canonical);
        print_message("%s: canonical request\n%s\n", v->name, canonical.data);
        buf_fini(&canonical);
    }
    assert_string_equal(signature + 10, v->signature);
    buf_fini(&path);
    buf_fini(&query);
    buf_fini(&answer);
}

static void the_signing_suite_agrees(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof suite / sizeof *suite; i++)
        check(&suite[i], "example.amazonaws.com", "service", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", "AKIDEXAMPLE",
              1440938160);
}

static void amazons_examples_agree(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof amazon / sizeof *amazon; i++)
        check(&amazon[i], "examplebucket.s3.amazonaws.com", "s3", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
              "AKIAIOSFODNN7EXAMPLE", 1369353600);
}

static void the_header_names_key_scope_and_signed_headers(void **state)
{
    (void)state;
    struct sign_header headers[] = { { "x-amz-date", "20130524T000000Z" }, { "host", "h" } };
    struct sign_request request = { .method = "GET", .path = "/b/k", .query = "", .headers = headers, .header_count = 2,
                                    .payload = SIGN_UNSIGNED, .region = "auto", .service = "s3", .time = 1369353600 };
    struct s3_cred cred = { .key_id = (char *)(uintptr_t)"ID", .secret = (char *)(uintptr_t)"S" };
    struct buf answer = BUF_INIT(4096);
    assert_int_equal(sign_authorization(&request, &cred, &answer), 0);
    static const char start[] = "AWS4-HMAC-SHA256 Credential=ID/20130524/auto/s3/aws4_request, SignedHeaders=host;x-amz-date, Signature=";
    assert_memory_equal(answer.data, start, sizeof start - 1);
    buf_fini(&answer);
}

static void a_path_is_signed_as_it_is_never_normalised(void **state)
{
    (void)state;
    struct sign_header headers[] = { { "host", "h" } };
    struct sign_request request = { .method = "GET", .path = "/b/a//../%25", .query = "", .headers = headers,
                                    .header_count = 1, .payload = SIGN_UNSIGNED, .region = "r", .service = "s3" };
    struct buf canonical = BUF_INIT(4096);
    sign_canonical(&request, &canonical);
    assert_string_equal(canonical.data, "GET\n/b/a//../%25\n\nhost:h\n\nhost\nUNSIGNED-PAYLOAD");
    buf_fini(&canonical);
}

static void a_body_is_digested_once_for_both_from_memory_or_a_file(void **state)
{
    (void)state;
    char md5[DIGEST_MD5_BASE64], sha256[DIGEST_SHA256_HEX];
    struct s3_body body = { .data = "hello", .length = 5 };
    assert_int_equal(digest_body(&body, md5, sha256), 0);
    assert_string_equal(md5, "XUFAKrxLKna5cZ2REBfFkg==");
    assert_string_equal(sha256, "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824");
    FILE *file = tmpfile();
    if (!file) {
        fail_msg("tmpfile");
        return;
    }
    fputs("..hello", file);
    fflush(file);
    struct s3_body in_file = { .fd = fileno(file), .offset = 2, .length = 5 };
    md5[0] = sha256[0] = '\0';
    assert_int_equal(digest_body(&in_file, md5, sha256), 0);
    assert_string_equal(md5, "XUFAKrxLKna5cZ2REBfFkg==");
    in_file.length = 6;
    assert_int_equal(digest_body(&in_file, md5, NULL), -EIO);
    fclose(file);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_signing_suite_agrees),
        cmocka_unit_test(amazons_examples_agree),
        cmocka_unit_test(the_header_names_key_scope_and_signed_headers),
        cmocka_unit_test(a_path_is_signed_as_it_is_never_normalised),
        cmocka_unit_test(a_body_is_digested_once_for_both_from_memory_or_a_file),
    };
    return cmocka_run_group_tests_name("sign", tests, NULL, NULL);
}

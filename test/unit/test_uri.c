#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "s3/uri.h"

static void parses(const char *url, bool tls, const char *host, const char *path)
{
    struct uri uri;
    const char *problem = NULL;
    assert_int_equal(uri_parse(url, &uri, &problem), 0);
    assert_int_equal(uri.tls, tls);
    assert_string_equal(uri.host, host);
    assert_string_equal(uri.path, path);
    uri_fini(&uri);
}

static void refuses(const char *url, const char *part)
{
    struct uri uri;
    const char *problem = NULL;
    assert_int_equal(uri_parse(url, &uri, &problem), -EINVAL);
    assert_non_null(strstr(problem, part));
}

static void an_endpoint_is_scheme_host_port_and_path(void **state)
{
    (void)state;
    parses("https://abc.r2.cloudflarestorage.com", true, "abc.r2.cloudflarestorage.com", "");
    parses("http://127.0.0.1:9000/", false, "127.0.0.1:9000", "");
    parses("http://host:8080/a/b/s3/", false, "host:8080", "/a/b/s3");
    parses("http://[::1]:9000/x", false, "[::1]:9000", "/x");
    parses("http://[::1]", false, "[::1]", "");
}

static void an_endpoint_without_a_scheme_is_https(void **state)
{
    (void)state;
    parses("abc.eu.r2.cloudflarestorage.com", true, "abc.eu.r2.cloudflarestorage.com", "");
    parses("localhost:443", true, "localhost", "");
}

static void the_host_is_lower_case_and_without_the_schemes_own_port(void **state)
{
    (void)state;
    parses("HTTPS://Example.COM:443", true, "example.com", "");
    parses("http://Example.com:80/P", false, "example.com", "/P");
    parses("http://example.com:443", false, "example.com:443", "");
}

static void a_path_that_is_encoded_stays_and_the_rest_is_encoded(void **state)
{
    (void)state;
    parses("http://h/a%20b/c:d", false, "h", "/a%20b/c%3Ad");
    parses("http://h/100%", false, "h", "/100%25");
}

static void what_is_no_endpoint_is_refused_with_a_reason(void **state)
{
    (void)state;
    refuses("", "host");
    refuses("ftp://h", "neither");
    refuses("http://user:secret@h", "user name");
    refuses("http://h?x", "query");
    refuses("http://h/#x", "query");
    refuses("http://h:0", "port");
    refuses("http://h:65536", "port");
    refuses("http://h:", "port");
    refuses("http://a b", "space");
    refuses("http://h\r\nX: y", "space");
    refuses("http://[::1", "host");
    refuses("http://-h", "host");
}

static void a_query_is_sorted_by_encoded_name_and_every_name_has_its_equals_sign(void **state)
{
    (void)state;
    struct uri_param params[] = { { "uploads", NULL }, { "prefix", "a b/ü+" }, { "a-b", "1" }, { "a", "2" } };
    struct buf query = BUF_INIT(4096);
    uri_query(&query, params, 4);
    assert_string_equal(query.data, "a=2&a-b=1&prefix=a%20b%2F%C3%BC%2B&uploads=");
    buf_fini(&query);
}

static void decoding_undoes_encoding_and_reads_plus_as_a_space(void **state)
{
    (void)state;
    char bytes[256], copy[1024];
    struct buf encoded = BUF_INIT(4096);
    for (int i = 0; i < 255; i++)
        bytes[i] = (char)(i + 1);
    uri_encode(&encoded, bytes, 255, false);
    strcpy(copy, encoded.data);
    assert_int_equal(uri_decode(copy), 255);
    assert_memory_equal(copy, bytes, 255);
    buf_fini(&encoded);
    strcpy(copy, "a+b%2B");
    assert_int_equal(uri_decode(copy), 4);
    assert_string_equal(copy, "a b+");
}

static void a_broken_escape_is_not_decoded(void **state)
{
    (void)state;
    char cases[][8] = { "%", "%4", "%G1", "a%1g" };
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(uri_decode(cases[i]), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_endpoint_is_scheme_host_port_and_path),
        cmocka_unit_test(an_endpoint_without_a_scheme_is_https),
        cmocka_unit_test(the_host_is_lower_case_and_without_the_schemes_own_port),
        cmocka_unit_test(a_path_that_is_encoded_stays_and_the_rest_is_encoded),
        cmocka_unit_test(what_is_no_endpoint_is_refused_with_a_reason),
        cmocka_unit_test(a_query_is_sorted_by_encoded_name_and_every_name_has_its_equals_sign),
        cmocka_unit_test(decoding_undoes_encoding_and_reads_plus_as_a_space),
        cmocka_unit_test(a_broken_escape_is_not_decoded),
    };
    return cmocka_run_group_tests_name("uri", tests, NULL, NULL);
}

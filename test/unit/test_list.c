/* What a listing must be before anything believes it, and the XML below it. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "s3/list.h"
#include "s3/xml.h"

#define ENTRY(key) "<Contents><Key>" key "</Key><LastModified>2026-01-02T03:04:05.678Z</LastModified>" \
                   "<ETag>&quot;e&quot;</ETag><Size>7</Size></Contents>"
#define PREFIXES(p) "<CommonPrefixes><Prefix>" p "</Prefix></CommonPrefixes>"
#define PAGE(inside) "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<ListBucketResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">" \
                     "<EncodingType>url</EncodingType>" inside "</ListBucketResult>"
#define LAST "<IsTruncated>false</IsTruncated>"

static const char *problem;

static enum s3_outcome parse(const char *body, const struct s3_list_request *request, struct s3_list_page *page)
{
    problem = "";
    return list_parse(body, strlen(body), request, page, &problem);
}

static void refuses(const char *body, const struct s3_list_request *request, const char *part)
{
    struct s3_list_page page;
    assert_int_equal(parse(body, request, &page), S3_CORRUPT);
    if (!strstr(problem, part))
        fail_msg("refused, but because: %s", problem);
}

static void a_page_has_its_keys_decoded_and_in_order(void **state)
{
    (void)state;
    struct s3_list_page page;
    const struct s3_list_request request = { .prefix = "p/", .delimiter = "/" };
    assert_int_equal(parse(PAGE(LAST "<Prefix>p%2F</Prefix><KeyCount>3</KeyCount>" ENTRY("p/a+b%2B") ENTRY("p/%C3%BC")
                                PREFIXES("p/c%0A/")), &request, &page), S3_OK);
    assert_int_equal(page.entry_count, 2);
    assert_string_equal(page.entries[0].key, "p/a b+");
    assert_string_equal(page.entries[0].etag, "e");
    assert_int_equal(page.entries[0].size, 7);
    assert_int_equal(page.entries[0].mtime_ms, 1767323045678);
    assert_string_equal(page.entries[1].key, "p/\xc3\xbc");
    assert_int_equal(page.prefix_count, 1);
    assert_string_equal(page.prefixes[0], "p/c\n/");
    assert_null(page.next_token);
    s3_list_page_fini(&page);
}

static void the_encoding_may_be_named_after_the_keys_or_not_at_all(void **state)
{
    (void)state;
    struct s3_list_page page;
    const struct s3_list_request request = { .prefix = "" };
    assert_int_equal(parse("<ListBucketResult>" LAST ENTRY("a%20") "<EncodingType>url</EncodingType></ListBucketResult>", &request,
                           &page), S3_OK);
    assert_string_equal(page.entries[0].key, "a ");
    s3_list_page_fini(&page);
    assert_int_equal(parse("<ListBucketResult>" LAST ENTRY("a%20+") "</ListBucketResult>", &request, &page), S3_OK);
    assert_string_equal(page.entries[0].key, "a%20+");
    s3_list_page_fini(&page);
}

static void keys_that_no_path_can_name_are_left_out_and_counted(void **state)
{
    (void)state;
    struct s3_list_page page;
    const struct s3_list_request request = { .prefix = "" };
    assert_int_equal(parse(PAGE(LAST "<KeyCount>3</KeyCount>" ENTRY("") ENTRY("a%00b") ENTRY("c")), &request, &page), S3_OK);
    assert_int_equal(page.entry_count, 1);
    assert_int_equal(page.skipped, 2);
    s3_list_page_fini(&page);
}

static void a_page_that_goes_on_has_a_token(void **state)
{
    (void)state;
    struct s3_list_page page;
    const struct s3_list_request request = { .prefix = "" };
    assert_int_equal(parse(PAGE("<IsTruncated>true</IsTruncated><NextContinuationToken>t/1=</NextContinuationToken>" ENTRY("a")),
                           &request, &page), S3_OK);
    assert_string_equal(page.next_token, "t/1=");
    s3_list_page_fini(&page);
    refuses(PAGE("<IsTruncated>true</IsTruncated>" ENTRY("a")), &request, "without a token");
    refuses(PAGE("<IsTruncated>true</IsTruncated><NextContinuationToken>t</NextContinuationToken>"), &request, "empty");
    const struct s3_list_request second = { .prefix = "", .token = "t" };
    refuses(PAGE("<IsTruncated>true</IsTruncated><NextContinuationToken>t</NextContinuationToken>" ENTRY("a")), &second, "same page");
}

static void a_page_out_of_order_or_out_of_place_is_corrupt(void **state)
{
    (void)state;
    const struct s3_list_request all = { .prefix = "" }, in_p = { .prefix = "p/", .delimiter = "/" };
    const struct s3_list_request after = { .prefix = "", .start_after = "b" }, next = { .prefix = "", .start_after = "b", .token = "t" };
    refuses(PAGE(LAST ENTRY("b") ENTRY("a")), &all, "sorted");
    refuses(PAGE(LAST ENTRY("a") ENTRY("a")), &all, "repeats");
    refuses(PAGE(LAST ENTRY("q/a")), &in_p, "outside of the prefix");
    refuses(PAGE(LAST ENTRY("p/a/b")), &in_p, "rolled up");
    refuses(PAGE(LAST PREFIXES("p/a")), &in_p, "not asked for");
    refuses(PAGE(LAST PREFIXES("q/")), &in_p, "not asked for");
    refuses(PAGE(LAST PREFIXES("a/")), &all, "although none");
    refuses(PAGE(LAST PREFIXES("p/b/") PREFIXES("p/a/")), &in_p, "sorted");
    refuses(PAGE(LAST "<Prefix>q/</Prefix>"), &in_p, "another prefix");
    refuses(PAGE(LAST ENTRY("b")), &after, "before");
    refuses(PAGE(LAST ENTRY("a")), &next, "before");
    refuses(PAGE(LAST "<KeyCount>2</KeyCount>" ENTRY("a")), &all, "number of keys");
    refuses(PAGE(ENTRY("a")), &all, "whether it goes on");
    refuses(PAGE(LAST ENTRY("a%2")), &all, "encoded");
}

static void an_entry_without_its_values_is_corrupt(void **state)
{
    (void)state;
    const struct s3_list_request all = { .prefix = "" };
    refuses(PAGE(LAST "<Contents><Key>a</Key></Contents>"), &all, "not complete");
    refuses(PAGE(LAST "<Contents><Key>a</Key><LastModified>2026-01-02T03:04:05Z</LastModified><ETag>e</ETag><Size>-1</Size></Contents>"),
            &all, "not complete");
    refuses(PAGE(LAST "<Contents><Key>a</Key><LastModified>yesterday</LastModified><ETag>e</ETag><Size>1</Size></Contents>"), &all,
            "not complete");
    refuses(PAGE(LAST "<Contents><Key>a</Key><LastModified>2026-01-02T03:04:05Z</LastModified><ETag></ETag><Size>1</Size></Contents>"),
            &all, "not complete");
}

static void a_cut_or_foreign_document_is_corrupt(void **state)
{
    (void)state;
    const struct s3_list_request all = { .prefix = "" };
    refuses("", &all, "XML");
    refuses("<html><body>504</body></html>", &all, "XML");
    refuses("<ListBucketResult>" LAST ENTRY("a"), &all, "XML");
    refuses("<Error><Code>SlowDown</Code></Error>", &all, "XML");
    refuses("garbage", &all, "XML");
}

/* ---- XML ---- */

static void count(void *arg, int depth, const char *parent, const char *name, const char *text)
{
    (void)depth;
    (void)parent;
    (void)name;
    *(size_t *)arg += strlen(text);
}

static int xml(const char *text, size_t *length)
{
    static const struct xml_events events = { .close = count };
    *length = 0;
    return xml_parse(text, strlen(text), &events, length);
}

static void a_document_type_is_refused_and_with_it_every_entity(void **state)
{
    (void)state;
    size_t length;
    assert_int_equal(xml("<!DOCTYPE a><a>x</a>", &length), -EBADMSG);
    assert_int_equal(xml("<!DOCTYPE a [<!ENTITY e SYSTEM \"file:///etc/passwd\">]><a>&e;</a>", &length), -EBADMSG);
    assert_int_equal(xml("<!DOCTYPE a [<!ENTITY b \"bbbbbbbb\"><!ENTITY c \"&b;&b;&b;&b;\">]><a>&c;&c;&c;</a>", &length), -EBADMSG);
    assert_int_equal(xml("<a>&nope;</a>", &length), -EBADMSG);
    assert_int_equal(xml("<a>&lt;&#65;&amp;</a>", &length), 0);
    assert_int_equal(length, 3);
}

static void depth_and_text_are_bounded(void **state)
{
    (void)state;
    size_t length;
    char deep[400] = "";
    for (int i = 0; i < XML_DEPTH_MAX + 1; i++)
        strcat(deep, "<a>");
    for (int i = 0; i < XML_DEPTH_MAX + 1; i++)
        strcat(deep, "</a>");
    assert_int_equal(xml(deep, &length), -EBADMSG);
    assert_int_equal(xml(deep + 3, &length), -EBADMSG);
    char *large = malloc(XML_TEXT_MAX + 100);
    strcpy(large, "<a>");
    memset(large + 3, 'x', XML_TEXT_MAX + 1);
    strcpy(large + 3 + XML_TEXT_MAX + 1, "</a>");
    assert_int_equal(xml(large, &length), -EBADMSG);
    strcpy(large + 3 + XML_TEXT_MAX, "</a>");
    assert_int_equal(xml(large, &length), 0);
    assert_int_equal(length, XML_TEXT_MAX);
    free(large);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_page_has_its_keys_decoded_and_in_order),
        cmocka_unit_test(the_encoding_may_be_named_after_the_keys_or_not_at_all),
        cmocka_unit_test(keys_that_no_path_can_name_are_left_out_and_counted),
        cmocka_unit_test(a_page_that_goes_on_has_a_token),
        cmocka_unit_test(a_page_out_of_order_or_out_of_place_is_corrupt),
        cmocka_unit_test(an_entry_without_its_values_is_corrupt),
        cmocka_unit_test(a_cut_or_foreign_document_is_corrupt),
        cmocka_unit_test(a_document_type_is_refused_and_with_it_every_entity),
        cmocka_unit_test(depth_and_text_are_bounded),
    };
    return cmocka_run_group_tests_name("list", tests, NULL, NULL);
}

#include "s3/list.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "s3/answer.h"
#include "s3/client.h"
#include "s3/page.h"
#include "s3/xml.h"

#define LIST_ANSWER_MAX (8u << 20) /* 1,000 keys of 1,024 bytes, each byte as %XX, and the rest of an entry */

struct parse {
    const struct s3_list_request *request;
    struct page_builder builder;
    const char *problem; /* the first that was found */
    bool in_root, encoded, truncated, has_truncated, has_prefix, has_count, no_memory;
    size_t count; /* what KeyCount says */
    char *token, *prefix;
    size_t skipped;
    /* The <Contents> being read. */
    char *key;
    char etag[S3_ETAG_MAX + 1];
    uint64_t size;
    int64_t mtime_ms;
    bool has_size, has_etag, has_time;
};

static void complain(struct parse *parse, const char *problem)
{
    if (!parse->problem)
        parse->problem = problem;
}

static void keep(struct parse *parse, char **to, const char *text)
{
    free(*to);
    *to = strdup(text);
    parse->no_memory = parse->no_memory || !*to;
}

static bool starts_with(const char *string, const char *prefix)
{
    return !strncmp(string, prefix, strlen(prefix));
}

/* Decodes in place. false: it is to be left out (empty, or with a NUL in it), or a problem was noted. */
static bool decode(struct parse *parse, char *text)
{
    long length = parse->encoded ? uri_decode(text) : (long)strlen(text);
    if (length < 0) {
        complain(parse, "A key in the listing is not encoded as it should be.");
        return false;
    }
    if (length == 0 || strlen(text) != (size_t)length) {
        parse->skipped++;
        return false;
    }
    return true;
}

static void begin_entry(struct parse *parse)
{
    free(parse->key);
    parse->key = NULL;
    parse->has_size = parse->has_etag = parse->has_time = false;
}

static void end_entry(struct parse *parse)
{
    if (!parse->key || !parse->has_size || !parse->has_etag || !parse->has_time)
        complain(parse, "An entry of the listing is not complete.");
    else
        page_add_entry(&parse->builder, parse->key, parse->etag, parse->size, parse->mtime_ms);
}

static void on_open(void *arg, int depth, const char *name)
{
    struct parse *parse = arg;
    if (depth == 0)
        parse->in_root = !strcmp(name, "ListBucketResult");
    else if (depth == 1 && !strcmp(name, "Contents"))
        begin_entry(parse);
}

static void read_size(struct parse *parse, const char *text)
{
    char *end;
    errno = 0;
    parse->size = strtoull(text, &end, 10);
    parse->has_size = *text >= '0' && *text <= '9' && !*end && !errno;
}

static void on_entry_field(struct parse *parse, const char *name, const char *text)
{
    if (!strcmp(name, "Key"))
        keep(parse, &parse->key, text);
    else if (!strcmp(name, "Size"))
        read_size(parse, text);
    else if (!strcmp(name, "ETag"))
        parse->has_etag = answer_etag(text, parse->etag);
    else if (!strcmp(name, "LastModified"))
        parse->has_time = answer_iso_time(text, &parse->mtime_ms);
}

static void on_page_field(struct parse *parse, const char *name, const char *text)
{
    if (!strcmp(name, "EncodingType")) {
        parse->encoded = !strcmp(text, "url");
    } else if (!strcmp(name, "IsTruncated")) {
        parse->has_truncated = true;
        parse->truncated = !strcmp(text, "true");
    } else if (!strcmp(name, "KeyCount")) {
        parse->has_count = true;
        parse->count = strtoul(text, NULL, 10);
    } else if (!strcmp(name, "NextContinuationToken") && *text) {
        keep(parse, &parse->token, text);
    } else if (!strcmp(name, "Prefix")) {
        parse->has_prefix = true;
        keep(parse, &parse->prefix, text);
    } else if (!strcmp(name, "Contents")) {
        end_entry(parse);
    }
}

static void on_close(void *arg, int depth, const char *parent, const char *name, const char *text)
{
    struct parse *parse = arg;
    if (!parse->in_root)
        return;
    if (depth == 1)
        on_page_field(parse, name, text);
    else if (depth == 2 && !strcmp(parent, "Contents"))
        on_entry_field(parse, name, text);
    else if (depth == 2 && !strcmp(parent, "CommonPrefixes") && !strcmp(name, "Prefix"))
        page_add_prefix(&parse->builder, text);
}

/* Servers give the prefix back encoded or as it is. */
static bool prefix_agrees(const struct parse *parse)
{
    const char *wanted = parse->request->prefix;
    if (!parse->has_prefix || !strcmp(parse->prefix, wanted))
        return true;
    return parse->encoded && uri_decode(parse->prefix) >= 0 && !strcmp(parse->prefix, wanted);
}

/* The encoding is known only when the whole page was read, since EncodingType may stand behind the keys. */
static void decode_page(struct parse *parse, struct s3_list_page *page)
{
    size_t kept = 0;
    for (size_t i = 0; i < page->entry_count; i++)
        /* The strings lie in the page's own memory. */
        if (decode(parse, (char *)(uintptr_t)page->entries[i].key))
            page->entries[kept++] = page->entries[i];
    page->entry_count = kept;
    kept = 0;
    for (size_t i = 0; i < page->prefix_count; i++)
        if (decode(parse, (char *)(uintptr_t)page->prefixes[i]))
            page->prefixes[kept++] = page->prefixes[i];
    page->prefix_count = kept;
    page->skipped = parse->skipped;
}

static void check_entries(struct parse *parse, const struct s3_list_page *page)
{
    const struct s3_list_request *request = parse->request;
    for (size_t i = 0; i < page->entry_count; i++) {
        const char *key = page->entries[i].key;
        if (!starts_with(key, request->prefix))
            complain(parse, "The listing has a key outside of the prefix asked for.");
        if (request->start_after && strcmp(key, request->start_after) <= 0)
            complain(parse, "The listing goes back to keys that came before.");
        if (i && strcmp(key, page->entries[i - 1].key) <= 0)
            complain(parse, "The listing is not sorted, or repeats a key.");
        if (request->delimiter && strstr(key + strlen(request->prefix), request->delimiter))
            complain(parse, "The listing has a key that its delimiter should have rolled up.");
    }
}

static void check_prefixes(struct parse *parse, const struct s3_list_page *page)
{
    const struct s3_list_request *request = parse->request;
    if (page->prefix_count && !request->delimiter)
        complain(parse, "The listing has common prefixes although none were asked for.");
    for (size_t i = 0; i < page->prefix_count && !parse->problem; i++) {
        const char *prefix = page->prefixes[i];
        size_t length = strlen(prefix), end = strlen(request->delimiter);
        if (!starts_with(prefix, request->prefix) || length < end || strcmp(prefix + length - end, request->delimiter) != 0)
            complain(parse, "The listing has a common prefix that was not asked for.");
        /* One that start_after lies in may still have keys behind it. */
        if (request->start_after && strcmp(prefix, request->start_after) <= 0 && !starts_with(request->start_after, prefix))
            complain(parse, "The listing goes back to keys that came before.");
        if (i && strcmp(prefix, page->prefixes[i - 1]) <= 0)
            complain(parse, "The listing is not sorted, or repeats a common prefix.");
    }
}

static void check_page(struct parse *parse, const struct s3_list_page *page)
{
    const struct s3_list_request *request = parse->request;
    if (!prefix_agrees(parse))
        complain(parse, "The listing is of another prefix.");
    size_t count = page->entry_count + page->prefix_count + page->skipped;
    if (!parse->has_truncated)
        complain(parse, "The listing does not say whether it goes on.");
    if (parse->has_count && parse->count != count)
        complain(parse, "The listing has another number of keys than it says.");
    if (parse->truncated && !parse->token)
        complain(parse, "The listing is cut short without a token to go on.");
    if (parse->truncated && parse->token && request->token && !strcmp(parse->token, request->token))
        complain(parse, "The listing's token leads to the same page again.");
    if (parse->truncated && count == 0)
        complain(parse, "The listing is empty, yet says that it goes on.");
    check_entries(parse, page);
    check_prefixes(parse, page);
}

enum s3_outcome list_parse(const char *body, size_t length, const struct s3_list_request *request, struct s3_list_page *page,
                           const char **problem)
{
    static const struct xml_events events = { .open = on_open, .close = on_close };
    struct parse parse = { .request = request };
    struct s3_list_page made = { 0 };
    enum s3_outcome outcome = S3_OK;
    page_init(&parse.builder);
    int rc = length ? xml_parse(body, length, &events, &parse) : -EBADMSG;
    if (rc || !parse.in_root)
        complain(&parse, "The listing is not the XML that it should be.");
    if (page_finish(&parse.builder, &made) || parse.no_memory || rc == -ENOMEM) {
        outcome = S3_LOCAL;
        *problem = "There is no memory for the listing.";
    } else if (!parse.problem) {
        decode_page(&parse, &made);
        check_page(&parse, &made);
    }
    if (outcome == S3_OK && parse.problem) {
        outcome = S3_CORRUPT;
        *problem = parse.problem;
    }
    if (outcome == S3_OK) {
        if (parse.truncated) {
            made.next_token = parse.token;
            parse.token = NULL;
        }
        *page = made;
    } else {
        s3_list_page_fini(&made);
    }
    free(parse.token);
    free(parse.prefix);
    free(parse.key);
    return outcome;
}

struct listing {
    const struct s3_list_request *request;
    struct s3_list_page page;
};

static enum s3_outcome judge(void *arg, const struct http_response *response, struct s3_error *error)
{
    struct listing *listing = arg;
    const char *problem = "";
    s3_list_page_fini(&listing->page);
    enum s3_outcome outcome =
        list_parse(response->text.data, response->text.length, listing->request, &listing->page, &problem);
    if (outcome == S3_LOCAL)
        error->local_errno = ENOMEM;
    snprintf(error->message, sizeof error->message, "%s", problem);
    return outcome;
}

enum s3_outcome list_page(void *ctx, const struct s3_call *call, const struct s3_list_request *list, struct s3_list_page *page,
                          struct s3_error *error)
{
    char max_keys[16];
    struct listing listing = { .request = list };
    struct client_request request = { .kind = S3_KIND_LIST, .text_max = LIST_ANSWER_MAX, .judge = judge,
                                      .judge_arg = &listing };
    client_param(&request, "list-type", "2");
    client_param(&request, "encoding-type", "url");
    if (list->prefix[0])
        client_param(&request, "prefix", list->prefix);
    if (list->delimiter)
        client_param(&request, "delimiter", list->delimiter);
    if (list->token)
        client_param(&request, "continuation-token", list->token);
    else if (list->start_after && *list->start_after)
        client_param(&request, "start-after", list->start_after);
    if (list->max_keys) {
        snprintf(max_keys, sizeof max_keys, "%d", list->max_keys);
        client_param(&request, "max-keys", max_keys);
    }
    enum s3_outcome outcome = client_run(ctx, call, &request, error);
    if (outcome == S3_OK)
        *page = listing.page;
    else
        s3_list_page_fini(&listing.page);
    return outcome;
}

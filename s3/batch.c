#include "s3/batch.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "s3/client.h"
#include "s3/object.h"
#include "s3/retry.h"
#include "s3/xml.h"

#define REQUEST_MAX (8u << 20)
#define ANSWER_MAX (4u << 20)

/* The entries that go in one request, sorted by key, so that the answer's keys find theirs. */
struct batch {
    struct s3_delete_entry **sorted;
    size_t count;
    bool in_root;
    /* The <Deleted> or <Error> being read. */
    char key[S3_KEY_MAX + 1], code[64], message[256];
};

static int compare_entries(const void *a, const void *b)
{
    return strcmp((*(struct s3_delete_entry *const *)a)->key, (*(struct s3_delete_entry *const *)b)->key);
}

/* The outcome of one key's <Error>. */
static void read_failure(const struct batch *batch, struct s3_error *error)
{
    const struct retry_attempt attempt = { .kind = S3_KIND_DELETE, .end = HTTP_ANSWERED, .sent = true, .clock_corrected = true,
                                           .status = retry_status_of_code(batch->code), .code = batch->code };
    memset(error, 0, sizeof *error);
    error->outcome = retry_classify(&attempt).outcome;
    error->http_status = attempt.status;
    if (error->outcome == S3_NOT_FOUND) {
        memset(error, 0, sizeof *error);
        return;
    }
    snprintf(error->code, sizeof error->code, "%s", batch->code);
    snprintf(error->message, sizeof error->message, "%s", batch->message);
}

static void settle(struct batch *batch, bool deleted)
{
    struct s3_delete_entry wanted = { .key = batch->key }, *pointer = &wanted;
    struct s3_delete_entry **found = bsearch(&pointer, batch->sorted, batch->count, sizeof *batch->sorted, compare_entries);
    if (!found)
        return;
    /* A key may stand in the request twice. */
    while (found > batch->sorted && !strcmp(found[-1]->key, batch->key))
        found--;
    for (; found < batch->sorted + batch->count && !strcmp((*found)->key, batch->key); found++) {
        if (deleted)
            memset(&(*found)->error, 0, sizeof (*found)->error);
        else
            read_failure(batch, &(*found)->error);
    }
}

static void on_open(void *arg, int depth, const char *name)
{
    struct batch *batch = arg;
    if (depth == 0)
        batch->in_root = !strcmp(name, "DeleteResult");
    if (depth == 1)
        batch->key[0] = batch->code[0] = batch->message[0] = '\0';
}

static void on_close(void *arg, int depth, const char *parent, const char *name, const char *text)
{
    struct batch *batch = arg;
    (void)parent;
    if (!batch->in_root)
        return;
    if (depth == 2 && !strcmp(name, "Key") && strlen(text) <= S3_KEY_MAX)
        memcpy(batch->key, text, strlen(text) + 1);
    else if (depth == 2 && !strcmp(name, "Code"))
        snprintf(batch->code, sizeof batch->code, "%s", text);
    else if (depth == 2 && !strcmp(name, "Message"))
        snprintf(batch->message, sizeof batch->message, "%s", text);
    else if (depth == 1 && (!strcmp(name, "Deleted") || !strcmp(name, "Error")))
        settle(batch, name[0] == 'D');
}

/* Until the answer names a key, what became of it is not known. */
static void forget(struct batch *batch)
{
    for (size_t i = 0; i < batch->count; i++)
        client_refuse(&batch->sorted[i]->error, S3_UNKNOWN, 0, "", "The answer does not mention this key.");
}

static enum s3_outcome judge(void *arg, const struct http_response *response, struct s3_error *error)
{
    static const struct xml_events events = { .open = on_open, .close = on_close };
    struct batch *batch = arg;
    (void)error;
    forget(batch);
    batch->in_root = false;
    if (!response->text.length || xml_parse(response->text.data, response->text.length, &events, batch) || !batch->in_root) {
        forget(batch);
        return S3_CORRUPT;
    }
    return S3_OK;
}

/* The length of the UTF-8 sequence at s, 0 when it is none or is a character that XML 1.0 does not have. */
static size_t xml_character(const unsigned char *s)
{
    if (s[0] < 0x80)
        return s[0] >= 0x20 || s[0] == '\t' || s[0] == '\n' || s[0] == '\r' ? 1 : 0;
    size_t length = s[0] >= 0xf0 && s[0] <= 0xf4 ? 4 : s[0] >= 0xe0 && s[0] < 0xf0 ? 3 : s[0] >= 0xc2 && s[0] < 0xe0 ? 2 : 0;
    if (!length)
        return 0;
    uint32_t point = s[0] & (0xffu >> (length + 1));
    for (size_t i = 1; i < length; i++) {
        if ((s[i] & 0xc0) != 0x80)
            return 0;
        point = point << 6 | (s[i] & 0x3f);
    }
    static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
    bool good = point >= least[length] && point <= 0x10ffff && !(point >= 0xd800 && point < 0xe000) &&
                point != 0xfffe && point != 0xffff;
    return good ? length : 0;
}

static bool xml_can_carry(const char *key)
{
    const unsigned char *s = (const unsigned char *)key;
    while (*s) {
        size_t length = xml_character(s);
        if (!length)
            return false;
        s += length;
    }
    return true;
}

static void put_escaped(struct buf *to, const char *text)
{
    for (; *text; text++) {
        switch (*text) {
        case '&':
            buf_puts(to, "&amp;");
            break;
        case '<':
            buf_puts(to, "&lt;");
            break;
        case '>':
            buf_puts(to, "&gt;");
            break;
        case '\t':
        case '\n':
        case '\r': /* as itself it would be read as a newline */
            buf_printf(to, "&#%d;", *text);
            break;
        default:
            buf_putc(to, *text);
        }
    }
}

static enum s3_outcome remove_together(struct s3 *s3, const struct s3_call *call, struct batch *batch, struct s3_error *error)
{
    struct buf xml = BUF_INIT(REQUEST_MAX);
    struct client_request request = { .kind = S3_KIND_DELETE_OBJECTS, .content_md5 = true, .text_max = ANSWER_MAX,
                                      .judge = judge, .judge_arg = batch };
    enum s3_outcome outcome;
    qsort(batch->sorted, batch->count, sizeof *batch->sorted, compare_entries);
    buf_puts(&xml, "<Delete xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">");
    for (size_t i = 0; i < batch->count; i++) {
        buf_puts(&xml, "<Object><Key>");
        put_escaped(&xml, batch->sorted[i]->key);
        buf_puts(&xml, "</Key></Object>");
    }
    buf_puts(&xml, "</Delete>");
    if (xml.failed) {
        outcome = client_refuse(error, S3_LOCAL, ENOMEM, "", "There is no memory for the request.");
    } else {
        const struct s3_body body = { .data = xml.data, .length = xml.length };
        request.body = &body;
        client_param(&request, "delete", NULL);
        client_add_header(&request, "content-type", "application/xml", false);
        outcome = client_run(s3, call, &request, error);
    }
    buf_fini(&xml);
    return outcome;
}

enum s3_outcome batch_remove(void *ctx, const struct s3_call *call, struct s3_delete_entry *entries, size_t count,
                             struct s3_error *error)
{
    struct batch batch = { .count = 0 };
    enum s3_outcome outcome = S3_OK;
    if (count == 0 || count > S3_LIST_MAX)
        return client_refuse(error, S3_INVALID, 0, "MalformedXML", "One request deletes between 1 and 1,000 keys.");
    batch.sorted = calloc(count, sizeof *batch.sorted);
    if (!batch.sorted)
        return client_refuse(error, S3_LOCAL, ENOMEM, "", "There is no memory for the request.");
    memset(error, 0, sizeof *error);
    for (size_t i = 0; i < count; i++) {
        if (*entries[i].key && strlen(entries[i].key) <= S3_KEY_MAX && xml_can_carry(entries[i].key))
            batch.sorted[batch.count++] = &entries[i];
    }
    if (batch.count)
        outcome = remove_together(ctx, call, &batch, error);
    free(batch.sorted);
    if (outcome != S3_OK)
        return outcome;
    for (size_t i = 0; i < count; i++) {
        if (*entries[i].key && strlen(entries[i].key) <= S3_KEY_MAX && xml_can_carry(entries[i].key))
            continue;
        struct s3_delete_request one = { .key = entries[i].key };
        object_remove(ctx, call, &one, &entries[i].error);
    }
    return S3_OK;
}

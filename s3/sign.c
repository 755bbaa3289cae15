#include "s3/sign.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "s3/digest.h"

#define CANONICAL_MAX (64u << 10) /* a key of 1,024 bytes encoded, 8 KiB of metadata, and much room */

void sign_date(int64_t when, char date[SIGN_DATE_SIZE])
{
    time_t t = (time_t)when;
    struct tm tm;
    gmtime_r(&t, &tm);
    if (!strftime(date, SIGN_DATE_SIZE, "%Y%m%dT%H%M%SZ", &tm))
        date[0] = '\0';
}

/* By name; those of one name keep their order, which is that of their values on the wire. */
static int compare_headers(const void *a, const void *b)
{
    const struct sign_header *x = *(const struct sign_header *const *)a, *y = *(const struct sign_header *const *)b;
    int order = strcmp(x->name, y->name);
    return order ? order : (x > y) - (x < y);
}

static void put_value(struct buf *to, const char *value)
{
    while (*value == ' ' || *value == '\t')
        value++;
    size_t length = strlen(value);
    while (length && (value[length - 1] == ' ' || value[length - 1] == '\t'))
        length--;
    for (size_t i = 0; i < length; i++) {
        bool blank = value[i] == ' ' || value[i] == '\t';
        if (blank && (value[i - 1] == ' ' || value[i - 1] == '\t'))
            continue;
        buf_putc(to, blank ? ' ' : value[i]);
    }
}

static size_t sort_headers(const struct sign_request *request, const struct sign_header **sorted)
{
    size_t count = request->header_count < SIGN_HEADERS_MAX ? request->header_count : SIGN_HEADERS_MAX;
    for (size_t i = 0; i < count; i++)
        sorted[i] = &request->headers[i];
    qsort(sorted, count, sizeof *sorted, compare_headers);
    return count;
}

static void put_signed_names(const struct sign_header *const *sorted, size_t count, struct buf *to)
{
    for (size_t i = 0; i < count; i++) {
        if (i && !strcmp(sorted[i]->name, sorted[i - 1]->name))
            continue;
        if (i)
            buf_putc(to, ';');
        buf_puts(to, sorted[i]->name);
    }
}

static void put_canonical(const struct sign_request *request, const struct sign_header *const *sorted, size_t count,
                          struct buf *to)
{
    buf_puts(to, request->method);
    buf_putc(to, '\n');
    buf_puts(to, *request->path ? request->path : "/");
    buf_putc(to, '\n');
    buf_puts(to, request->query);
    buf_putc(to, '\n');
    for (size_t i = 0; i < count; i++) {
        if (i && !strcmp(sorted[i]->name, sorted[i - 1]->name)) {
            buf_putc(to, ',');
        } else {
            if (i)
                buf_putc(to, '\n');
            buf_puts(to, sorted[i]->name);
            buf_putc(to, ':');
        }
        put_value(to, sorted[i]->value);
    }
    buf_puts(to, "\n\n");
    put_signed_names(sorted, count, to);
    buf_putc(to, '\n');
    buf_puts(to, request->payload);
}

void sign_canonical(const struct sign_request *request, struct buf *to)
{
    const struct sign_header *sorted[SIGN_HEADERS_MAX] = { NULL };
    size_t count = sort_headers(request, sorted);
    put_canonical(request, sorted, count, to);
}

static int signing_key(const struct sign_request *request, const char *secret, const char *day, unsigned char key[32])
{
    struct buf first = BUF_INIT(4096);
    buf_printf(&first, "AWS4%s", secret);
    int rc = first.failed ? -ENOMEM : digest_hmac_sha256(first.data, first.length, day, strlen(day), key);
    if (!rc)
        rc = digest_hmac_sha256(key, 32, request->region, strlen(request->region), key);
    if (!rc)
        rc = digest_hmac_sha256(key, 32, request->service, strlen(request->service), key);
    if (!rc)
        rc = digest_hmac_sha256(key, 32, "aws4_request", 12, key);
    if (first.data)
        explicit_bzero(first.data, first.capacity);
    buf_fini(&first);
    return rc;
}

int sign_authorization(const struct sign_request *request, const struct s3_cred *cred, struct buf *to)
{
    const struct sign_header *sorted[SIGN_HEADERS_MAX] = { NULL };
    char date[SIGN_DATE_SIZE], day[9], hash[DIGEST_SHA256_HEX], signature[DIGEST_SHA256_HEX];
    unsigned char key[32], mac[32];
    struct buf text = BUF_INIT(CANONICAL_MAX);
    if (request->header_count > SIGN_HEADERS_MAX)
        return -E2BIG;
    size_t count = sort_headers(request, sorted);
    sign_date(request->time, date);
    memcpy(day, date, 8);
    day[8] = '\0';

    put_canonical(request, sorted, count, &text);
    int rc = text.failed ? -ENOMEM : digest_sha256_hex(text.data, text.length, hash);
    if (rc)
        goto out;
    buf_reset(&text);
    buf_printf(&text, "AWS4-HMAC-SHA256\n%s\n%s/%s/%s/aws4_request\n%s", date, day, request->region, request->service, hash);
    rc = text.failed ? -ENOMEM : signing_key(request, cred->secret ? cred->secret : "", day, key);
    if (!rc)
        rc = digest_hmac_sha256(key, 32, text.data, text.length, mac);
    if (rc)
        goto out;
    digest_hex(mac, 32, signature);
    buf_printf(to, "AWS4-HMAC-SHA256 Credential=%s/%s/%s/%s/aws4_request, SignedHeaders=", cred->key_id, day, request->region,
               request->service);
    put_signed_names(sorted, count, to);
    buf_printf(to, ", Signature=%s", signature);
    rc = to->failed ? -ENOMEM : 0;
out:
    explicit_bzero(key, sizeof key);
    buf_fini(&text);
    return rc;
}

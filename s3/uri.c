#include "s3/uri.h"

#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

static bool unreserved(unsigned char c)
{
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '.' || c == '_' ||
           c == '~';
}

void uri_encode(struct buf *to, const char *bytes, size_t length, bool keep_slash)
{
    static const char hex[] = "0123456789ABCDEF";
    for (size_t i = 0; i < length; i++) {
        unsigned char c = (unsigned char)bytes[i];
        if (unreserved(c) || (keep_slash && c == '/')) {
            buf_putc(to, (char)c);
        } else {
            char escape[3] = { '%', hex[c >> 4], hex[c & 15] };
            buf_append(to, escape, sizeof escape);
        }
    }
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return -1;
}

long uri_decode(char *string)
{
    char *to = string;
    for (const char *from = string; *from; from++) {
        if (*from == '+') {
            *to++ = ' ';
        } else if (*from == '%') {
            int high = hex_digit(from[1]);
            int low = high < 0 ? -1 : hex_digit(from[2]);
            if (low < 0)
                return -1;
            *to++ = (char)(high << 4 | low);
            from += 2;
        } else {
            *to++ = *from;
        }
    }
    *to = '\0';
    return to - string;
}

static int compare_strings(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

void uri_query(struct buf *to, const struct uri_param *params, size_t count)
{
    char *pairs[URI_PARAMS_MAX] = { NULL };
    assert(count <= URI_PARAMS_MAX);
    for (size_t i = 0; i < count; i++) {
        struct buf pair = BUF_INIT(to->maximum);
        uri_encode(&pair, params[i].name, strlen(params[i].name), false);
        buf_putc(&pair, '=');
        if (params[i].value)
            uri_encode(&pair, params[i].value, strlen(params[i].value), false);
        pairs[i] = buf_steal(&pair);
        if (!pairs[i]) {
            to->failed = true;
            goto out;
        }
    }
    /* '=' sorts behind '-' and '.', so "a-b=" would come before "a=": names first, as SigV4 wants them. */
    for (size_t i = 0; i < count; i++)
        *strchr(pairs[i], '=') = '\1';
    qsort(pairs, count, sizeof *pairs, compare_strings);
    for (size_t i = 0; i < count; i++) {
        *strchr(pairs[i], '\1') = '=';
        if (i)
            buf_putc(to, '&');
        buf_puts(to, pairs[i]);
    }
out:
    for (size_t i = 0; i < count; i++)
        free(pairs[i]);
}

/* ---- endpoints ---- */

static bool host_ok(const char *host, size_t length)
{
    bool literal = length > 2 && host[0] == '[' && host[length - 1] == ']';
    for (size_t i = 0; i < length; i++) {
        unsigned char c = (unsigned char)host[i];
        if (literal ? !(isxdigit(c) || c == ':' || c == '.' || ((i == 0 || i == length - 1) && (c == '[' || c == ']')))
                    : !(isalnum(c) || c == '-' || c == '.' || c == '_'))
            return false;
    }
    return length > 0 && length <= 255 && host[0] != '.' && host[0] != '-';
}

/* A number from 1 to 65535, or 0: it is none. */
static int port_number(const char *port, size_t length)
{
    int value = 0;
    if (length == 0 || length > 5)
        return 0;
    for (size_t i = 0; i < length; i++) {
        if (port[i] < '0' || port[i] > '9')
            return 0;
        value = value * 10 + (port[i] - '0');
    }
    return value <= 65535 ? value : 0;
}

/* authority is host[:port]; fills uri->host. */
static int parse_authority(const char *authority, size_t length, struct uri *uri, const char **problem)
{
    struct buf host = BUF_INIT(URI_ENDPOINT_MAX);
    const char *colon = NULL;
    for (size_t i = 0; i < length; i++) {
        if (authority[i] == ']')
            colon = NULL;
        else if (authority[i] == ':')
            colon = authority + i;
    }
    /* A literal's own colons come before its bracket; "[::1" without one is refused as a host. */
    size_t host_length = colon ? (size_t)(colon - authority) : length;
    if (!host_ok(authority, host_length)) {
        *problem = "has no valid host name";
        return -EINVAL;
    }
    for (size_t i = 0; i < host_length; i++)
        buf_putc(&host, (char)tolower((unsigned char)authority[i]));
    if (colon) {
        int port = port_number(colon + 1, length - host_length - 1);
        if (!port) {
            buf_fini(&host);
            *problem = "has a port that is not a number from 1 to 65535";
            return -EINVAL;
        }
        if (port != (uri->tls ? 443 : 80))
            buf_printf(&host, ":%d", port);
    }
    uri->host = buf_steal(&host);
    return uri->host ? 0 : -ENOMEM;
}

/* What is encoded stays (a path is copied from a URL), what cannot stand in a URL is encoded. */
static int parse_path(const char *path, struct uri *uri, const char **problem)
{
    struct buf to = BUF_INIT(4 * URI_ENDPOINT_MAX);
    size_t length = strlen(path);
    while (length && path[length - 1] == '/')
        length--;
    for (size_t i = 0; i < length; i++) {
        if (path[i] == '?' || path[i] == '#') {
            buf_fini(&to);
            *problem = "has a query or a fragment";
            return -EINVAL;
        }
        bool escaped = path[i] == '%' && i + 2 < length && isxdigit((unsigned char)path[i + 1]) &&
                       isxdigit((unsigned char)path[i + 2]);
        if (escaped)
            buf_putc(&to, '%');
        else
            uri_encode(&to, path + i, 1, true);
    }
    uri->path = buf_steal(&to);
    return uri->path ? 0 : -ENOMEM;
}

int uri_parse(const char *url, struct uri *uri, const char **problem)
{
    struct uri parsed = { .tls = true };
    if (strlen(url) > URI_ENDPOINT_MAX) {
        *problem = "is longer than 2048 bytes";
        return -EINVAL;
    }
    for (const char *c = url; *c; c++)
        if ((unsigned char)*c <= ' ' || *c == 0x7f || *c == '\\') {
            *problem = "has a space or a control character";
            return -EINVAL;
        }
    const char *rest = strstr(url, "://");
    if (!rest) {
        rest = url;
    } else {
        if (strncasecmp(url, "http://", 7) == 0) {
            parsed.tls = false;
        } else if (strncasecmp(url, "https://", 8) != 0) {
            *problem = "is neither http:// nor https://";
            return -EINVAL;
        }
        rest += 3;
    }
    size_t length = strcspn(rest, "/?#");
    if (memchr(rest, '@', length)) {
        *problem = "has a user name in it";
        return -EINVAL;
    }
    int rc = parse_authority(rest, length, &parsed, problem);
    if (!rc)
        rc = parse_path(rest + length, &parsed, problem);
    if (rc) {
        uri_fini(&parsed);
        return rc;
    }
    *uri = parsed;
    return 0;
}

void uri_fini(struct uri *uri)
{
    free(uri->host);
    free(uri->path);
    uri->host = uri->path = NULL;
}

#include "s3/answer.h"

#include <curl/curl.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "s3/base/clock.h"
#include "s3/xml.h"

#define META_PREFIX "x-amz-meta-"
#define RETRY_AFTER_MAX_MS 86400000

/* ---- errors ---- */

struct error_parse {
    struct s3_error *error;
    bool is_error;
};

static void copy_text(char *to, size_t size, const char *text)
{
    snprintf(to, size, "%s", text);
    for (char *c = to; *c; c++)
        if ((unsigned char)*c < 0x20 || *c == 0x7f)
            *c = ' ';
}

static void on_error_open(void *arg, int depth, const char *name)
{
    struct error_parse *parse = arg;
    if (depth == 0)
        parse->is_error = !strcmp(name, "Error");
}

static void on_error_element(void *arg, int depth, const char *parent, const char *name, const char *text)
{
    struct error_parse *parse = arg;
    (void)parent;
    if (!parse->is_error || depth != 1)
        return;
    if (!strcmp(name, "Code"))
        copy_text(parse->error->code, sizeof parse->error->code, text);
    else if (!strcmp(name, "Message"))
        copy_text(parse->error->message, sizeof parse->error->message, text);
    else if (!strcmp(name, "RequestId"))
        copy_text(parse->error->request_id, sizeof parse->error->request_id, text);
}

static int64_t http_time_ms(const char *text)
{
    time_t t = curl_getdate(text, NULL);
    return t < 0 ? 0 : (int64_t)t * 1000;
}

int64_t answer_date_ms(const struct http_response *response)
{
    const char *date = http_header(response, "date");
    return date ? http_time_ms(date) : 0;
}

/* Seconds, or a date, which is compared with the server's own. */
static int64_t retry_after_ms(const struct http_response *response)
{
    const char *text = http_header(response, "retry-after");
    char *end;
    if (!text || !*text)
        return 0;
    long seconds = strtol(text, &end, 10);
    int64_t ms = (int64_t)seconds * 1000;
    if (*end) {
        int64_t now = answer_date_ms(response);
        int64_t when = http_time_ms(text);
        ms = when ? when - (now ? now : clock_wall_ms()) : 0;
    }
    if (ms < 0)
        return 0;
    return ms > RETRY_AFTER_MAX_MS ? RETRY_AFTER_MAX_MS : ms;
}

bool answer_error(const struct http_response *response, struct s3_error *error)
{
    static const struct xml_events events = { .open = on_error_open, .close = on_error_element };
    struct error_parse parse = { .error = error };
    const char *id = http_header(response, "x-amz-request-id");
    if (!id)
        id = http_header(response, "cf-ray");
    error->http_status = response->status;
    error->retry_after_ms = retry_after_ms(response);
    error->code[0] = error->message[0] = '\0';
    copy_text(error->request_id, sizeof error->request_id, id ? id : "");
    if (!response->text.data || !response->text.length)
        return false;
    /* HTML from the edge and a body that was cut are no <Error>, whatever stands in them. */
    if (xml_parse(response->text.data, response->text.length, &events, &parse) || !parse.is_error) {
        error->code[0] = error->message[0] = '\0';
        return false;
    }
    return true;
}

/* ---- objects ---- */

bool answer_etag(const char *value, char etag[S3_ETAG_MAX + 1])
{
    if (!value)
        return false;
    if (!strncmp(value, "W/", 2))
        value += 2;
    size_t length = strlen(value);
    if (length >= 2 && value[0] == '"' && value[length - 1] == '"') {
        value++;
        length -= 2;
    }
    if (length == 0 || length > S3_ETAG_MAX)
        return false;
    memcpy(etag, value, length);
    etag[length] = '\0';
    return true;
}

static bool digits(const char **text, int count, int *value)
{
    *value = 0;
    for (int i = 0; i < count; i++, (*text)++) {
        if (**text < '0' || **text > '9')
            return false;
        *value = *value * 10 + (**text - '0');
    }
    return true;
}

static bool letter(const char **text, char c)
{
    return *(*text)++ == c;
}

bool answer_iso_time(const char *text, int64_t *ms)
{
    struct tm tm = { 0 };
    int fraction = 0;
    if (!(digits(&text, 4, &tm.tm_year) && letter(&text, '-') && digits(&text, 2, &tm.tm_mon) && letter(&text, '-') &&
          digits(&text, 2, &tm.tm_mday) && letter(&text, 'T') && digits(&text, 2, &tm.tm_hour) && letter(&text, ':') &&
          digits(&text, 2, &tm.tm_min) && letter(&text, ':') && digits(&text, 2, &tm.tm_sec)))
        return false;
    if (*text == '.') {
        int scale = 100;
        for (text++; *text >= '0' && *text <= '9'; text++, scale /= 10)
            fraction += (*text - '0') * scale;
    }
    if (strcmp(text, "Z") != 0 && strcmp(text, "+00:00") != 0)
        return false;
    if (tm.tm_mon < 1 || tm.tm_mon > 12 || tm.tm_mday < 1 || tm.tm_mday > 31 || tm.tm_hour > 23 || tm.tm_min > 59 || tm.tm_sec > 60)
        return false;
    tm.tm_year -= 1900;
    tm.tm_mon -= 1;
    *ms = (int64_t)timegm(&tm) * 1000 + fraction;
    return true;
}

static bool set_string(char **to, const char *value)
{
    free(*to);
    *to = strdup(value);
    return *to != NULL;
}

static bool add_meta(struct s3_object *object, const char *name, const char *value)
{
    struct s3_pair *meta = realloc(object->meta, (object->meta_count + 1) * sizeof *meta);
    if (!meta)
        return false;
    object->meta = meta;
    meta[object->meta_count] = (struct s3_pair){ .name = strdup(name), .value = strdup(value) };
    object->meta_count++;
    return meta[object->meta_count - 1].name && meta[object->meta_count - 1].value;
}

/* One header into the object; false: out of memory. */
static bool take_header(struct s3_object *object, const char *name, const char *value)
{
    static const struct {
        const char *name;
        size_t offset;
    } kept[] = {
        { "content-type", offsetof(struct s3_object, content_type) },
        { "content-encoding", offsetof(struct s3_object, content_encoding) },
        { "content-disposition", offsetof(struct s3_object, content_disposition) },
        { "content-language", offsetof(struct s3_object, content_language) },
        { "cache-control", offsetof(struct s3_object, cache_control) },
        { "expires", offsetof(struct s3_object, expires) },
    };
    if (!strncmp(name, META_PREFIX, sizeof META_PREFIX - 1))
        return add_meta(object, name + sizeof META_PREFIX - 1, value);
    for (size_t i = 0; i < sizeof kept / sizeof *kept; i++)
        if (!strcmp(name, kept[i].name) && *value)
            return set_string((char **)(void *)((char *)object + kept[i].offset), value);
    return true;
}

/* "bytes 0-9/100": the 100. */
static bool range_size(const char *range, uint64_t *size)
{
    const char *slash = range ? strchr(range, '/') : NULL;
    char *end;
    if (!slash || slash[1] < '0' || slash[1] > '9')
        return false;
    errno = 0;
    *size = strtoull(slash + 1, &end, 10);
    return !errno && !*end;
}

enum s3_outcome answer_object(const struct http_response *response, struct s3_object *object)
{
    struct s3_object found = { .mtime_coarse = true };
    const char *name, *value, *modified = http_header(response, "last-modified");
    if (!answer_etag(http_header(response, "etag"), found.etag))
        return S3_CORRUPT;
    if (!range_size(http_header(response, "content-range"), &found.size))
        found.size = response->length;
    found.mtime_ms = modified ? http_time_ms(modified) : 0;
    for (size_t at = 0; http_header_next(response, &at, &name, &value);)
        if (!take_header(&found, name, value)) {
            s3_object_fini(&found);
            return S3_LOCAL;
        }
    *object = found;
    return S3_OK;
}

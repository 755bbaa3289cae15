#include "fs/conf_ini.h"

#include <errno.h>
#include <ini.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "s3/base/buf.h"

/*
 * A long line goes to inih in pieces: the first as it is, each further one after a blank, which inih takes for the
 * continuation of a value and hands over under the same name. Here they are put together again.
 */
#define PIECE 120 /* bytes; inih takes 198 */

struct reading {
    const char *at, *end, *next; /* the line under way from here to there, and where the next one begins */
    bool inside;                 /* in the middle of a line */
    bool continued;              /* the piece given last continues a value */
    struct buf section, name, value;
    bool pending; /* name and value await the end of their pieces */
    conf_ini_handler *handler;
    void *user;
    int result;
};

static void wipe(struct buf *b)
{
    if (b->data)
        explicit_bzero(b->data, b->capacity);
    buf_reset(b);
}

static int flush(struct reading *r)
{
    if (r->pending && !r->result) {
        const char *section = r->section.data ? r->section.data : "", *value = r->value.data ? r->value.data : "";
        if (r->section.failed || r->name.failed || r->value.failed)
            r->result = -ENOMEM;
        else
            r->result = r->handler(r->user, section, r->name.data, value);
    }
    r->pending = false;
    return r->result;
}

/* Where a line ends: before its newline, and before a comment that follows a blank, of which inih would see only the
 * first piece. */
static const char *line_end(const char *line, const char *newline)
{
    for (const char *c = line + 1; c < newline; c++)
        if (*c == ';' && strchr(" \t", c[-1]))
            return c;
    return newline;
}

static void begin_line(struct reading *r)
{
    const char *newline = r->next + strcspn(r->next, "\n");

    r->at = r->next + strspn(r->next, " \t\r");
    r->next = newline + (*newline == '\n');
    r->end = line_end(r->at, newline);
    if (*r->at == '[') {
        /* A new section ends the value before it, which belongs to the old one. */
        const char *close = memchr(r->at, ']', (size_t)(r->end - r->at));
        flush(r);
        buf_reset(&r->section);
        if (close)
            buf_append(&r->section, r->at + 1, (size_t)(close - r->at - 1));
    }
}

/* How much of a line goes in one piece. The next one must not begin with what inih would take for a comment or a blank. */
static size_t piece_length(const char *line, size_t length)
{
    size_t n = PIECE;

    if (length <= PIECE)
        return length;
    while (n > 1 && (strchr(";# \t", line[n]) || strchr(" \t", line[n - 1])))
        n--;
    return n;
}

/* inih's fgets. */
static char *next_piece(char *out, int capacity, void *stream)
{
    struct reading *r = stream;
    char *to = out;
    size_t length, n;

    if (capacity < PIECE + 4 || r->result || (!r->inside && !*r->next))
        return NULL;
    r->continued = r->inside;
    if (!r->inside)
        begin_line(r);
    length = (size_t)(r->end - r->at);
    if (!r->inside && length > PIECE && strchr(";#[", *r->at)) {
        /* A long comment, or a long section, whose name we have already. */
        snprintf(out, (size_t)capacity, "%s\n", *r->at == '[' ? "[long]" : "");
        return out;
    }
    n = piece_length(r->at, length);
    if (r->inside)
        *to++ = ' ';
    memcpy(to, r->at, n);
    to[n] = '\n';
    to[n + 1] = '\0';
    r->at += n;
    r->inside = n < length;
    return out;
}

static int take(void *user, const char *section, const char *name, const char *value)
{
    struct reading *r = user;

    (void)section;
    if (!r->continued) {
        if (flush(r))
            return 0;
        buf_reset(&r->name);
        wipe(&r->value);
        buf_puts(&r->name, name);
        r->pending = true;
    }
    buf_puts(&r->value, value);
    return 1;
}

/* inih counts pieces; people count lines. */
static int line_of_piece(const char *text, int piece)
{
    struct reading r = { .next = text, .section = BUF_INIT(1024) };
    char line[PIECE + 4];
    int count = 0;

    while (piece-- > 0 && next_piece(line, sizeof line, &r))
        continue;
    for (const char *c = text; c < r.next; c++)
        count += *c == '\n' || c + 1 == r.next;
    explicit_bzero(line, sizeof line);
    buf_fini(&r.section);
    return count;
}

int conf_ini_parse(const char *text, conf_ini_handler *handler, void *user, int *line)
{
    static const char room[CONF_INI_VALUE_MAX - 1];
    struct reading r = {
        .next = text, .section = BUF_INIT(1024), .name = BUF_INIT(1024), .value = BUF_INIT(CONF_INI_VALUE_MAX),
        .handler = handler, .user = user,
    };

    if (!strncmp(text, "\xef\xbb\xbf", 3))
        r.next += 3;
    /* All of its memory at once: growing would leave copies behind. */
    buf_append(&r.value, room, sizeof room);
    if (r.value.failed)
        return -ENOMEM;
    buf_reset(&r.value);
    int parsed = ini_parse_stream(next_piece, &r, take, &r);
    flush(&r);
    wipe(&r.value);
    buf_fini(&r.section);
    buf_fini(&r.name);
    buf_fini(&r.value);
    if (r.result)
        return r.result;
    if (parsed < 0)
        return -ENOMEM;
    if (parsed > 0) {
        *line = line_of_piece(text, parsed);
        return -EINVAL;
    }
    return 0;
}

int conf_ini_load(int fd, char **text, size_t *length)
{
    char *all = malloc(CONF_INI_FILE_MAX + 1);
    size_t n = 0;
    int r = 0;

    if (!all)
        return -ENOMEM;
    for (;;) {
        ssize_t got = read(fd, all + n, CONF_INI_FILE_MAX + 1 - n);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            r = -errno;
        if (got <= 0)
            break;
        n += (size_t)got;
        if (n > CONF_INI_FILE_MAX) {
            r = -EFBIG;
            break;
        }
    }
    if (r) {
        conf_ini_free(all, n);
        return r;
    }
    all[n] = '\0';
    *text = all;
    *length = n;
    return 0;
}

void conf_ini_free(char *text, size_t length)
{
    if (text)
        explicit_bzero(text, length);
    free(text);
}

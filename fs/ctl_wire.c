#include "fs/ctl_wire.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "s3/base/buf.h"
#include "s3/base/clock.h"

int ctl_line_next(struct ctl_line *line, json_t **object)
{
    char *end = memchr(line->data, '\n', line->length);
    json_t *parsed;

    if (!end)
        return line->length == sizeof line->data ? -EMSGSIZE : 0;
    size_t length = (size_t)(end - line->data);
    parsed = json_loadb(line->data, length, JSON_REJECT_DUPLICATES, NULL);
    if (!json_is_object(parsed)) {
        json_decref(parsed);
        parsed = NULL;
    }
    line->length -= length + 1;
    memmove(line->data, end + 1, line->length);
    *object = parsed;
    return 1;
}

int ctl_line_write(int fd, const json_t *object, int timeout_ms)
{
    char *text = json_dumps(object, JSON_COMPACT);
    int64_t deadline = clock_mono_ms() + timeout_ms;
    size_t length, sent = 0;
    int r = 0;

    if (!text)
        return -ENOMEM;
    length = strlen(text);
    text[length++] = '\n'; /* over the NUL: sent by its length */
    if (length > CTL_LINE_MAX)
        r = -EMSGSIZE;
    while (!r && sent < length) {
        struct pollfd p = { .fd = fd, .events = POLLOUT };
        ssize_t n = send(fd, text + sent, length - sent, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n >= 0) {
            sent += (size_t)n;
        } else if (errno == EAGAIN) {
            int64_t left = deadline - clock_mono_ms();
            if (left <= 0)
                r = -EAGAIN;
            else
                poll(&p, 1, (int)left);
        } else if (errno != EINTR) {
            r = errno == ECONNRESET ? -EPIPE : -errno;
        }
    }
    free(text);
    return r;
}

/* The length of a UTF-8 sequence (RFC 3629), 0: none. */
static size_t utf8_length(const unsigned char *s)
{
    size_t n = s[0] < 0x80 ? 1 : s[0] >= 0xc2 && s[0] < 0xe0 ? 2 : s[0] >= 0xe0 && s[0] < 0xf0 ? 3 : s[0] >= 0xf0 && s[0] < 0xf5 ? 4 : 0;

    for (size_t i = 1; i < n; i++)
        if ((s[i] & 0xc0) != 0x80)
            return 0;
    if ((s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xed && s[1] > 0x9f) || (s[0] == 0xf0 && s[1] < 0x90) || (s[0] == 0xf4 && s[1] > 0x8f))
        return 0;
    return n;
}

json_t *ctl_string(const char *bytes)
{
    struct buf text = BUF_INIT(CTL_LINE_MAX);
    json_t *string = NULL;

    while (*bytes) {
        size_t n = utf8_length((const unsigned char *)bytes);
        if (n)
            buf_append(&text, bytes, n);
        else
            buf_puts(&text, "\xef\xbf\xbd");
        bytes += n ? n : 1;
    }
    if (!text.failed)
        string = json_string(text.data ? text.data : "");
    buf_fini(&text);
    return string;
}

int ctl_directory(char *out, size_t capacity, uid_t uid)
{
    const char *runtime = uid == geteuid() ? getenv("XDG_RUNTIME_DIR") : NULL;
    int n;

    if (uid == 0)
        n = snprintf(out, capacity, "/run/r2fs");
    else if (runtime && runtime[0] == '/')
        n = snprintf(out, capacity, "%s/r2fs", runtime);
    else
        n = snprintf(out, capacity, "/tmp/r2fs-%u", (unsigned)uid);
    return n < 0 || (size_t)n >= capacity ? -ENAMETOOLONG : 0;
}

bool ctl_directory_trusted(const char *path, uid_t user, uid_t other)
{
    struct stat st;

    return !lstat(path, &st) && S_ISDIR(st.st_mode) && !(st.st_mode & 022) &&
           (st.st_uid == 0 || st.st_uid == user || st.st_uid == other);
}

/*
 * fs/ctl_wire.h: what both sides of the control socket share, for fs/ctl*.c: lines, and which directories are trusted.
 */
#ifndef R2FS_FS_CTL_WIRE_H
#define R2FS_FS_CTL_WIRE_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "fs/ctl.h"

struct ctl_line { /* the bytes that came, up to a line */
    char data[CTL_LINE_MAX];
    size_t length;
};

/*
 * Takes the next whole line out: 1 and *object (the caller's; NULL: it is no JSON object), 0 when there is none yet,
 * -EMSGSIZE when no line can come any more.
 */
int ctl_line_next(struct ctl_line *line, json_t **object);

/* One object as a line, whole, or -errno (-EPIPE, -EAGAIN when the peer does not read within timeout_ms). No SIGPIPE. */
int ctl_line_write(int fd, const json_t *object, int timeout_ms);

/* Is path a directory of one of these users, that nobody else may write to? */
bool ctl_directory_trusted(const char *path, uid_t user, uid_t other);

#endif

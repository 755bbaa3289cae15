/*
 * s3/base/buf.h: a growable byte buffer with a stated maximum. Zero-initialise with BUF_INIT(max). After a failed append
 * (memory, maximum) the buffer keeps what it had and `failed` stays set, so that a chain of appends needs one check.
 * data is always NUL-terminated when not NULL (the NUL is not counted).
 */
#ifndef R2FS_S3_BASE_BUF_H
#define R2FS_S3_BASE_BUF_H

#include <stdbool.h>
#include <stddef.h>

struct buf {
    char *data;
    size_t length, capacity, maximum;
    bool failed;
};
#define BUF_INIT(max) { .maximum = (max) }

void buf_append(struct buf *b, const void *data, size_t length);
void buf_puts(struct buf *b, const char *string);
void buf_putc(struct buf *b, char c);
void buf_printf(struct buf *b, const char *format, ...) __attribute__((format(printf, 2, 3)));
void buf_reset(struct buf *b);  /* empties, keeps the memory, clears failed */
char *buf_steal(struct buf *b); /* the string is the caller's; NULL when failed; "" when empty */
void buf_fini(struct buf *b);

#endif

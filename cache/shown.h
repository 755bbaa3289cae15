/*
 * cache/shown.h: a sparse set of inode numbers, a bit each: those the kernel has been given. Not thread-safe.
 */
#ifndef R2FS_CACHE_SHOWN_H
#define R2FS_CACHE_SHOWN_H

#include <stdbool.h>
#include <stdint.h>

struct shown {
    struct shown_chunk *chunks;
};
/* Without memory the number is not noted: an unlinked file that only a path descriptor holds is then ESTALE. */
void shown_set(struct shown *shown, uint64_t ino);
void shown_clear(struct shown *shown, uint64_t ino);
bool shown_has(const struct shown *shown, uint64_t ino);
void shown_fini(struct shown *shown);

#endif

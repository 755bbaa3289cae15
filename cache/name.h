/*
 * cache/name.h: keys and names. A key is prefix + "/" + names joined by "/"; a directory's object ends in "/".
 */
#ifndef R2FS_CACHE_NAME_H
#define R2FS_CACHE_NAME_H

#include "cache/internal.h"

enum name_verdict {
    NAME_OK,
    NAME_INTERNAL,  /* a segment .r2fs: not in the tree */
    NAME_NO_PATH,   /* no path can show it: an empty, `.` or `..` segment, a segment above 255 bytes */
    NAME_TOO_LONG,  /* a key of more than S3_KEY_MAX bytes */
};
/* Looks at a key below the prefix (relative, may end in '/'). */
enum name_verdict name_check_key(const char *relative);
/* Looks at one name that a program wants to create: 0, -EPERM (.r2fs), -ENAMETOOLONG, -EILSEQ. */
int name_check(const char *name, size_t length);
/* The part of a full key below the mount's prefix, borrowed; NULL: not below it. */
const char *name_relative(const struct cache *cache, const char *key);

#endif

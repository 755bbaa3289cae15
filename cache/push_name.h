/*
 * cache/push_name.h: under which path the version that lost a conflict is kept. Pure.
 */
#ifndef R2FS_CACHE_PUSH_NAME_H
#define R2FS_CACHE_PUSH_NAME_H

#include <stddef.h>
#include <stdint.h>

#define PUSH_CONFLICT_FOLDER ".r2fs-conflicts"

/*
 * relative: a file's path below the mount; instance: 32 hex digits, of which the first eight are shown. Beside it as
 * NAME.conflict-INSTANCE-SEQ, NAME cut at a character's start so that the name has at most 255 bytes; a path with a segment
 * `.git` goes to .r2fs-conflicts/PATH.conflict-INSTANCE-SEQ instead, since git reads every file that lies below it. A path that
 * would pass path_max bytes is kept by its name alone, in .r2fs-conflicts. The caller's; NULL: no memory.
 */
char *push_name_conflict(const char *relative, const char *instance, int64_t seq, size_t path_max);

#endif

/*
 * fs/conf_value.h: the forms that option values take, which are rclone's (and so Go's). Each returns 0 and touches its
 * result only then, or -EINVAL.
 */
#ifndef R2FS_FS_CONF_VALUE_H
#define R2FS_FS_CONF_VALUE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

int conf_value_flag(const char *text, bool *value); /* 1 t T true TRUE True, 0 f F false FALSE False */
/* `1s`, `500ms`, `1m30s`, `1.5h`; units ns us ms s m h d w M y; a number alone is seconds; `off` is CONF_NEVER. Rounded up to
 * milliseconds, so that only 0 is 0. */
int conf_value_duration(const char *text, int64_t *ms);
/* `64M`, `10Gi`, `1.5GiB`; B K M G T P E, all powers of 1024; a number alone is KiB; `off` is CONF_UNLIMITED. */
int conf_value_size(const char *text, uint64_t *bytes);
int conf_value_integer(const char *text, int64_t *value); /* decimal, may be negative */
int conf_value_number(const char *text, double *value);
int conf_value_id(const char *text, int64_t *id); /* a uid or gid: 0 … 2^32 - 2 */
int conf_value_octal(const char *text, mode_t *mode); /* permissions: 666, 0666 */
/* rclone reads --umask 18 as decimal and 022 as octal. What could be meant either way (`22`) is refused. */
int conf_value_umask(const char *text, mode_t *mode);

#endif

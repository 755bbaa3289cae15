/*
 * fs/conf_ini.h: INI files with secrets in them, by inih, whose lines end at 200 bytes and whose sections at 50, while a session
 * token has a thousand and a bucket 63.
 */
#ifndef R2FS_FS_CONF_INI_H
#define R2FS_FS_CONF_INI_H

#include <stddef.h>

#define CONF_INI_FILE_MAX (1u << 20) /* bytes of a file */
#define CONF_INI_VALUE_MAX 16384u    /* bytes of a value */

/* Called for each value; section is "" before the first. Borrowed, and wiped afterwards. 0, or -errno to end. */
typedef int conf_ini_handler(void *user, const char *section, const char *name, const char *value);

/* The text of a file, wiped by the caller with conf_ini_free. 0 or -errno (-EFBIG). */
int conf_ini_load(int fd, char **text, size_t *length);
void conf_ini_free(char *text, size_t length);

/* 0, -errno of the handler, -ENOMEM, or -EINVAL with *line the first that is no INI. Lines are stripped. */
int conf_ini_parse(const char *text, conf_ini_handler *handler, void *user, int *line);

#endif

/*
 * fs/conf_mount.h: the words of mount(8)'s and libfuse's -o that are no long options of ours.
 */
#ifndef R2FS_FS_CONF_MOUNT_H
#define R2FS_FS_CONF_MOUNT_H

#include "fs/conf.h"

enum conf_word {
    CONF_WORD_UNKNOWN,     /* none of these: perhaps a long option */
    CONF_WORD_IGNORED,     /* for mount(8), fstab or systemd, or what we do anyway */
    CONF_WORD_NOTED,       /* nothing here, said in the log */
    CONF_WORD_NOT_APPLIED, /* suid, dev: asked for and not given, said in the log */
    CONF_WORD_SET,         /* conf_mount_set does it */
    CONF_WORD_REFUSED,     /* remount */
};

enum conf_word conf_mount_word(const char *name);
/* value NULL: none. 0 or -ENOMEM. */
int conf_mount_set(struct conf *conf, const char *name, const char *value);

#endif

#include "fs/conf_mount.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const struct {
    const char *name;
    enum conf_word meaning;
} words[] = {
    { "ro", CONF_WORD_SET }, { "rw", CONF_WORD_SET }, { "noexec", CONF_WORD_SET }, { "exec", CONF_WORD_SET },
    { "noatime", CONF_WORD_SET }, { "atime", CONF_WORD_SET }, { "nodiratime", CONF_WORD_SET }, { "diratime", CONF_WORD_SET },
    { "fsname", CONF_WORD_SET },

    /* fstab, systemd and mount(8) itself */
    { "defaults", CONF_WORD_IGNORED }, { "_netdev", CONF_WORD_IGNORED }, { "nofail", CONF_WORD_IGNORED }, { "fail", CONF_WORD_IGNORED },
    { "auto", CONF_WORD_IGNORED }, { "noauto", CONF_WORD_IGNORED }, { "user", CONF_WORD_IGNORED }, { "nouser", CONF_WORD_IGNORED },
    { "users", CONF_WORD_IGNORED }, { "nousers", CONF_WORD_IGNORED }, { "owner", CONF_WORD_IGNORED }, { "group", CONF_WORD_IGNORED },
    { "comment", CONF_WORD_IGNORED }, { "helper", CONF_WORD_IGNORED }, { "uhelper", CONF_WORD_IGNORED }, { "nosuid", CONF_WORD_IGNORED },
    { "nodev", CONF_WORD_IGNORED }, { "async", CONF_WORD_IGNORED }, { "nonempty", CONF_WORD_IGNORED },
    /* The kernel keeps no access times on FUSE, whatever is asked. */
    { "relatime", CONF_WORD_IGNORED }, { "norelatime", CONF_WORD_IGNORED }, { "strictatime", CONF_WORD_IGNORED },
    { "nostrictatime", CONF_WORD_IGNORED }, { "lazytime", CONF_WORD_IGNORED }, { "nolazytime", CONF_WORD_IGNORED },
    { "silent", CONF_WORD_IGNORED }, { "loud", CONF_WORD_IGNORED }, { "iversion", CONF_WORD_IGNORED }, { "noiversion", CONF_WORD_IGNORED },

    { "suid", CONF_WORD_NOT_APPLIED }, { "dev", CONF_WORD_NOT_APPLIED },
    { "remount", CONF_WORD_REFUSED },

    { "sync", CONF_WORD_NOTED }, { "dirsync", CONF_WORD_NOTED }, { "mand", CONF_WORD_NOTED }, { "nomand", CONF_WORD_NOTED },
    /* libfuse's, which rclone command lines hand on */
    { "auto_unmount", CONF_WORD_NOTED }, { "subtype", CONF_WORD_NOTED }, { "max_read", CONF_WORD_NOTED }, { "max_write", CONF_WORD_NOTED },
    { "max_readahead", CONF_WORD_NOTED }, { "max_background", CONF_WORD_NOTED }, { "congestion_threshold", CONF_WORD_NOTED },
    { "entry_timeout", CONF_WORD_NOTED }, { "negative_timeout", CONF_WORD_NOTED }, { "ac_attr_timeout", CONF_WORD_NOTED },
    { "kernel_cache", CONF_WORD_NOTED }, { "auto_cache", CONF_WORD_NOTED }, { "noauto_cache", CONF_WORD_NOTED },
    { "hard_remove", CONF_WORD_NOTED }, { "use_ino", CONF_WORD_NOTED }, { "readdir_ino", CONF_WORD_NOTED }, { "big_writes", CONF_WORD_NOTED },
    { "large_read", CONF_WORD_NOTED }, { "sync_read", CONF_WORD_NOTED }, { "atomic_o_trunc", CONF_WORD_NOTED },
    { "no_remote_lock", CONF_WORD_NOTED }, { "blksize", CONF_WORD_NOTED },
};

enum conf_word conf_mount_word(const char *name)
{
    if (!strncmp(name, "x-", 2) || !strncmp(name, "X-", 2))
        return CONF_WORD_IGNORED;
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        if (!strcmp(words[i].name, name))
            return words[i].meaning;
    return CONF_WORD_UNKNOWN;
}

int conf_mount_set(struct conf *conf, const char *name, const char *value)
{
    const struct {
        const char *on, *off;
        bool *flag;
    } flags[] = {
        { "ro", "rw", &conf->read_only },
        { "noexec", "exec", &conf->noexec },
        { "noatime", "atime", &conf->noatime },
        { "nodiratime", "diratime", &conf->nodiratime },
    };

    for (size_t i = 0; i < sizeof flags / sizeof flags[0]; i++) {
        if (!strcmp(name, flags[i].on))
            *flags[i].flag = true;
        if (!strcmp(name, flags[i].off))
            *flags[i].flag = false;
    }
    if (!strcmp(name, "fsname") && value && *value) {
        char *copy = strdup(value);
        if (!copy)
            return -ENOMEM;
        free(conf->devname);
        conf->devname = copy;
    }
    return 0;
}

/*
 * fs/conf_cred.h: one source of credentials, endpoint and region, as the search in fs/conf_cred.c asks them one after the
 * other. A further source (a profile, a command, a container's service) is one function and one row of that search.
 */
#ifndef R2FS_FS_CONF_CRED_H
#define R2FS_FS_CONF_CRED_H

#include <stdbool.h>

#include "fs/conf_option.h"

/* What one source has. Strings are the struct's; NULL: not there, or empty. */
struct conf_source {
    char *key_id, *secret, *token, *endpoint, *region;
    char *from;           /* where: "the environment (S3_ACCESS_KEY)", "[default] of /etc/r2fs/credentials" */
    char key_name[160];   /* what the key id and the secret are called there, for the sentence that one is missing */
    char secret_name[160];
    char *provider;       /* rclone's `provider` */
    bool path_style_set, path_style;
};

void conf_source_fini(struct conf_source *source); /* wipes */

/* Each: 0 (also when it has nothing), or -errno with *error. */
typedef int conf_cred_source(const struct conf *conf, struct conf_source *found, struct conf_error *error);

conf_cred_source conf_remote_read;     /* the remote of rclone.conf, and RCLONE_CONFIG_<NAME>_* */
conf_cred_source conf_credfile_given;  /* --credentials */
conf_cred_source conf_credfile_system; /* /etc/r2fs/credentials */
conf_cred_source conf_credfile_home;   /* ~/.config/r2fs/credentials */

/* A home directory's file: $HOME, else the account's. NULL: neither or no memory. The caller's. */
char *conf_home_path(const char *below);
/* The value of an environment variable, NULL when unset or empty. */
const char *conf_env(const char *name);
/* Replaces *field by a copy of value (NULL for an empty one). 0 or -ENOMEM. */
int conf_set(char **field, const char *value);

#endif

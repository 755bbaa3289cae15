/*
 * fs/conf_option.h: the table of all options, for fs/conf*.c and their tests.
 */
#ifndef R2FS_FS_CONF_OPTION_H
#define R2FS_FS_CONF_OPTION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fs/conf.h"

enum conf_form {           /* what stands behind it        in C        */
    FORM_FLAG,             /* nothing, or =true, =false    bool        */
    FORM_COUNT,            /* nothing, or =N               int         */
    FORM_DURATION,         /*                              int64_t, ms */
    FORM_SIZE,             /*                              uint64_t    */
    FORM_INTEGER,          /*                              int64_t     */
    FORM_NUMBER,           /*                              double      */
    FORM_ID,               /*                              int64_t     */
    FORM_OCTAL,            /* permissions                  mode_t      */
    FORM_UMASK,            /*                              mode_t      */
    FORM_STRING,           /* anything                     char *      */
    FORM_PATH,             /* made absolute                char *      */
    FORM_CHOICE,           /* one of words                 int         */
};

enum conf_meaning {
    MEANS_VALUE,   /* stored where `in` and `offset` say */
    MEANS_NOTHING, /* what r2fs does anyway: not a word */
    MEANS_NOTE,    /* nothing here, said in the log */
    MEANS_NO,      /* a usage error, unless set to rclone's default */
};

struct conf_option {
    const char *name;
    enum conf_form form;
    enum conf_meaning meaning;
    bool given;           /* MEANS_VALUE: in struct conf_given, not in struct conf */
    bool inverted;        /* FORM_FLAG: stores the contrary */
    bool secret;          /* its value is never shown */
    unsigned commands;    /* MEANS_VALUE: 1 << enum conf_command, where it is effective; elsewhere a usage error … */
    bool elsewhere;       /* … unless this: then a note, since rclone takes it for every command */
    size_t offset;
    const char *words;    /* FORM_CHOICE: "a|b|c", the index is stored */
    const char *standard; /* rclone's default: a refused option may be set to it */
    const char *text;     /* help, or why it is refused */
};

extern const struct conf_option conf_option_table[];
extern const size_t conf_option_count;

const struct conf_option *conf_option_find(const char *name); /* exact name without dashes in front, or NULL */

/* What only conf_complete needs, and what two options decide together. A negative number or CONF_SIZE_UNSET: not given. */
#define CONF_SIZE_UNSET (UINT64_MAX - 1)
struct conf_given {
    int64_t poll_ms, dir_cache_ms, max_dirty_age_ms, drain_timeout_ms;
    uint64_t cache_size, cache_min_free;
    int64_t uid, gid;
    char *config, *credentials, *endpoint, *region;
    bool path_style;
    int verbose, level; /* level: index into ERROR|NOTICE|INFO|DEBUG, -1 when not given */
    bool quiet, version;
};

/* Internal to conf: formats *error; returns code, so that a caller may `return conf_fail(…)`. */
int conf_fail(struct conf_error *error, int code, int exit_code, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
/* text (freed and replaced) becomes absolute. 0 or -errno. */
int conf_absolute(char **text);

/* A command by its word; CONF_COMMAND_COUNT: none. */
enum conf_command conf_command_find(const char *word);
/* conf_args.c: the command and all options of argv, which it reorders; what is neither (behind the command) is *words. */
int conf_args_take(struct conf *conf, int argc, char *argv[], char ***words, int *count, struct conf_error *error);
/* conf_source.c: fills remote, bucket and prefix from conf->source. */
int conf_source_parse(struct conf *conf, struct conf_error *error);
/* conf_cred.c: endpoint, region, credentials, from all sources in their order. */
int conf_cred_find(struct conf *conf, struct conf_error *error);
/* conf_default.c: what the machine decides. */
int conf_default_fill(struct conf *conf, struct conf_error *error);

#endif

/*
 * fs/conf.h: what a command line, the environment and the configuration files ask for, once and for all commands.
 *
 * conf_parse reads the arguments alone; conf_complete adds the source's remote, credentials, endpoint and the computed
 * defaults, and is needed by the commands that speak to a bucket (mount, ls). Both print nothing: a failure is one
 * sentence in struct conf_error, with the exit code that goes with it. Neither starts a thread, so the daemon may fork
 * afterwards. After conf_complete the structure is never changed, and may be read from any thread without a lock.
 *
 * Durations are milliseconds (a name ends in _ms), sizes bytes, permissions octal bits. Strings belong to the struct.
 */
#ifndef R2FS_FS_CONF_H
#define R2FS_FS_CONF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "s3/base/log.h"
#include "s3/s3.h"

#define CONF_NEVER ((int64_t)1 << 60) /* a duration of `off`: may be added to a clock without overflow */
#define CONF_LONGEST INT32_MAX         /* 24 days: no longer are write-back, dirty age and poll intervals */
#define CONF_UNLIMITED UINT64_MAX     /* a size of `off` */

enum conf_command {
    CONF_HELP, /* no command, or `help` */
    CONF_MOUNT,
    CONF_UMOUNT,
    CONF_FLUSH,
    CONF_STATUS,
    CONF_LS,
    CONF_VERSION,
    CONF_COMMAND_COUNT
};

enum conf_fsync { CONF_FSYNC_LOCAL, CONF_FSYNC_REMOTE };
enum conf_conflict { CONF_KEEP_BOTH, CONF_OURS, CONF_THEIRS };

struct conf {
    enum conf_command command;
    bool help;   /* --help: print the command's help, and nothing else counts */
    bool helper; /* run as mount.r2fs, mount.fuse.r2fs or umount.fuse.r2fs, by mount(8) or umount(8) */
    bool fake;   /* a mount helper's -f: check everything, mount nothing */

    /* The bucket. NULL for commands that take a PATH. */
    char *source;  /* as typed, `B/threads/T` or `NAME:B/threads/T`: the file system's name in /proc/mounts unless devname is set */
    char *devname; /* --devname, -o fsname=; NULL: source */
    char *remote;  /* NAME, or NULL */
    char *bucket;
    char *prefix;  /* "" or "a/b": no slash at either end, no empty, `.` or `..` segment */

    /* The place. mount: absolute, symlinks of what is above it resolved; need not exist. Other commands: as typed, or NULL. */
    char *path;

    /* The endpoint and who we are there. For s3_open by conf_s3_config. */
    char *endpoint;   /* with a scheme; NULL: Amazon's of the region */
    char *region;     /* NULL: the default of s3_open */
    bool virtual_host;
    char *ca_file;
    char *user_agent; /* NULL: ours */
    struct s3_cred cred;
    char *cred_from;     /* "environment variable S3_ACCESS_KEY", "[default] of /etc/r2fs/credentials": for messages */
    char *endpoint_from; /* the same, or NULL */

    /* The cache. */
    char *cache_dir;         /* the directory that holds one folder a mount; absolute; need not exist */
    uint64_t cache_size;     /* bytes of block files and bodies; or CONF_UNLIMITED. Default: the smaller of 10 GiB and half of what is free */
    bool cache_size_given;   /* else it was computed from what is free now, which what this cache holds already is not part of */
    uint64_t cache_min_free; /* bytes always left free. Default: the smaller of 1 GiB and 5 % of that file system */

    /* Write-back. */
    int64_t write_back_ms;    /* 1000; 0 … CONF_LONGEST */
    int64_t max_dirty_age_ms; /* 5000 or write_back_ms, whichever is longer; ≤ CONF_LONGEST */
    int64_t drain_timeout_ms; /* 30000; 0: do not wait; or CONF_NEVER */
    uint64_t keep_base;       /* 64 MiB: the base of a file up to this size is fetched at its first write */
    enum conf_fsync fsync;
    enum conf_conflict on_conflict;

    /* Coherence. */
    int64_t poll_ms;      /* 5000, read-only 30000; 0: never poll; ≤ CONF_LONGEST. The smaller of --poll-interval and --dir-cache-time */
    int64_t poll_idle_ms; /* 0: never slow down; else poll this often while nobody uses the mount; ≤ CONF_LONGEST */

    /* The tree. */
    bool read_only;
    bool allow_other;
    uid_t uid;         /* of objects without an owner */
    gid_t gid;
    mode_t umask;      /* 022: taken from file_perms and dir_perms, from nothing else */
    mode_t file_perms; /* 0666 */
    mode_t dir_perms;  /* 0777 */
    bool noexec, noatime, nodiratime; /* for the kernel */
    bool allow_non_empty; /* mount over what is mounted there already */
    uid_t owner;       /* who may do everything on the control socket beside root: SUDO_UID when root has it, else the caller */

    /* The process. */
    bool foreground;
    char *log_file;   /* absolute, or NULL: stderr in the foreground, else syslog */
    bool log_syslog;  /* --syslog: syslog in the foreground too */
    enum log_level log_level; /* NOTICE */

    /* Other commands. */
    int64_t timeout_ms; /* flush --timeout; CONF_NEVER when not given */
    bool json;          /* status --json */
    bool lazy, force;   /* umount -l, -f */
    bool drain_given;   /* umount: --drain-timeout was given, else the mount's own value counts */

    /* One sentence for each option that was taken and does nothing here; for the log, once it is open: conf_log_notes. */
    char **notes;
    size_t note_count;
    struct conf_given *given; /* what only conf_complete needs */
};

struct conf_error {
    int exit_code;     /* of fs/explain.h: EXIT_USAGE, EXIT_MACHINE */
    char message[640]; /* one sentence, no newline, no secret */
};

/*
 * argv as main got it; argv[0] decides whether this is a mount helper (SOURCE DIR -o …) or the command with its
 * subcommands. argv is not changed. 0, or -EINVAL or -ENOMEM with *error filled; conf is then already finished.
 */
int conf_parse(struct conf *conf, int argc, char *const argv[], struct conf_error *error);

/* Reads files, environment and file system (never the network); for CONF_MOUNT and CONF_LS. 0 or -errno with *error
 * filled; conf_fini is the caller's in both cases. */
int conf_complete(struct conf *conf, struct conf_error *error);

/* Looks for the key again in all sources, as conf_complete did: files may have changed. *cred is the caller's. 0 or -errno with *error filled. */
int conf_reload(const struct conf *conf, struct s3_cred *cred, struct conf_error *error);

/* Wipes secrets. Legal on a zeroed struct, and twice. */
void conf_fini(struct conf *conf);

void conf_log_notes(const struct conf *conf);

/* What s3_open wants; borrows from conf. */
void conf_s3_config(const struct conf *conf, struct s3_config *config);

/* No core dump, no ptrace and no /proc/PID/environ for other processes of the same user: call early, and again after a
 * change of user. */
void conf_protect(void);

/* The text of r2fs COMMAND --help; the caller frees it; NULL: out of memory. */
char *conf_help(enum conf_command command);
const char *conf_command_name(enum conf_command command); /* "mount"; static */

#endif

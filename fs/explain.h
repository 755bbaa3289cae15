/*
 * fs/explain.h: exit codes, and sentences for people. Every command and mount helper uses the same ones.
 */
#ifndef R2FS_FS_EXPLAIN_H
#define R2FS_FS_EXPLAIN_H

#include <stddef.h>

#include "s3/s3.h"

enum exit_code {
    EXIT_GOOD = 0,
    EXIT_USAGE = 1,        /* the command line, the environment or a configuration file */
    EXIT_MACHINE = 2,      /* this machine: no /dev/fuse, cache directory taken or not writable, full disk */
    EXIT_PENDING = 3,      /* data is not in the bucket yet; it is kept, and said where */
    EXIT_INTERRUPTED = 8,
    EXIT_MOUNT_FAILED = 32 /* key, secret, bucket, clock, endpoint, mount point; or a path that is no r2fs mount */
};

/* Where a request went, for the sentence. Strings may be NULL; they hold no secret. */
struct explain_where {
    const char *endpoint;
    const char *bucket;
    const char *prefix;
    const char *cred_from; /* where the key came from: "environment variable S3_ACCESS_KEY" */
};

/*
 * One sentence (without newline) for an outcome: the thing, the server's code, what to do. For S3_OK "".
 * Truncates at capacity.
 */
void explain_s3(char *out, size_t capacity, const struct explain_where *where, const struct s3_error *error);

/* The exit code of a command that ends because of this outcome. */
enum exit_code explain_exit(const struct s3_error *error);

/* "r2fs: " and a sentence and a newline on stderr, in one write. */
void explain_print(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif

/*
 * fs/report.h: the process that was started and the daemon it leaves behind. The daemon is forked before there is any
 * thread; the starter waits for its one word: ready, or an exit code and a sentence.
 */
#ifndef R2FS_FS_REPORT_H
#define R2FS_FS_REPORT_H

#include <stdbool.h>
#include <stddef.h>

#define REPORT_SENTENCE_MAX 1024

struct report {
    int fd; /* to the starter; -1: in the foreground, or said already */
    bool foreground;
};

/*
 * Forks. In the daemon: true, with a session of its own, `/` as working directory and no descriptor of the caller's but
 * stderr (until it is ready, for what fusermount3 says). In the starter: false, once the daemon has reported or ended; *exit_code is
 * then the starter's, and what failed has been said on stderr.
 */
bool report_fork(struct report *report, int *exit_code);

/* The mount is usable: the starter returns 0, and stderr is closed. In the foreground nothing. */
void report_ready(struct report *report);
/* It is not, and why, in one sentence. Returns exit_code. */
int report_failed(struct report *report, int exit_code, const char *format, ...) __attribute__((format(printf, 3, 4)));

#endif

/*
 * s3/base/log.h: one log for every layer. A line is one sentence; no secret is ever passed here.
 * log_write may be called from any thread, never blocks on the network, and may be called before log_open (then stderr).
 */
#ifndef R2FS_S3_BASE_LOG_H
#define R2FS_S3_BASE_LOG_H

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_NOTICE, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };

/* path NULL: stderr when foreground, else syslog (LOG_DAEMON). A file is appended to, opened O_NOFOLLOW, 0600 when made. 0 or -errno. */
int log_open(const char *path, int foreground, enum log_level level);
void log_close(void);
enum log_level log_get_level(void);

void log_write(enum log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));

#define log_error(...) log_write(LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_notice(...) log_write(LOG_LEVEL_NOTICE, __VA_ARGS__)
#define log_info(...) log_write(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_debug(...) do { if (log_get_level() >= LOG_LEVEL_DEBUG) log_write(LOG_LEVEL_DEBUG, __VA_ARGS__); } while (0)

#endif

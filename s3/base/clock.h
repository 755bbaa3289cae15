/*
 * s3/base/clock.h: time. Durations and deadlines use the monotonic clock; only what is stored or shown uses the wall
 * clock, which may step when a sandbox resumes.
 */
#ifndef R2FS_S3_BASE_CLOCK_H
#define R2FS_S3_BASE_CLOCK_H

#include <stdint.h>
#include <time.h>

int64_t clock_mono_ms(void);          /* CLOCK_MONOTONIC */
int64_t clock_wall_ms(void);          /* CLOCK_REALTIME, since 1970 */
struct timespec clock_wall_coarse(void); /* CLOCK_REALTIME_COARSE, the kernel's own for file times */

#endif

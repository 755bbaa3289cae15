/*
 * fs/resume.h: was this machine stopped and resumed, perhaps more than once from the same memory? A step of the wall clock says
 * so (a snapshot that is resumed gets its time set), or another sandbox's id in its usual place.
 */
#ifndef R2FS_FS_RESUME_H
#define R2FS_FS_RESUME_H

#include <stdbool.h>

#define RESUME_TICK_MS 1000 /* how often resume_check wants to be called */

struct resume {
    int fd; /* readable after a step of the clock; -1: this machine has no such timer */
    char sandbox[128];
};

void resume_init(struct resume *resume);
void resume_fini(struct resume *resume);
/* True: it was, since the last call. Never blocks. */
bool resume_check(struct resume *resume);

#endif

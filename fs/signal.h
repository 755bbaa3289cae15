/*
 * fs/signal.h: what interrupted a program.
 *
 * The kernel sends INTERRUPT for any signal, once a request. To a program that only has a timer (git's progress meter, Go's
 * preemption, Python's SIGCHLD handler) EINTR from stat(2) or open(2) is an error that no local disk ever gives, and that
 * many do not expect; so it is answered only to those that are to end or that somebody asked to stop.
 */
#ifndef R2FS_FS_SIGNAL_H
#define R2FS_FS_SIGNAL_H

#include <stdbool.h>
#include <sys/types.h>

/*
 * Does a signal wait for the thread that ends it, or one that it handles and by which a person or a supervisor stops
 * programs (SIGINT, SIGTERM, SIGQUIT, SIGHUP)? tid 0 (a thread of another pid namespace), or one that cannot be
 * looked at: true.
 */
bool signal_wants_out(pid_t tid);

#endif

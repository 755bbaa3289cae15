#ifndef R2SIM_SERVER_H
#define R2SIM_SERVER_H
/*
 * The HTTP side, on libmicrohttpd: a few threads with epoll, none of which waits. What is delayed, hangs or is throttled has its
 * connection suspended, and the timer or the control endpoint resumes it.
 */
#include "tools/r2sim/sim.h"

#include <netinet/in.h>

struct server_options {
	const char *listen;             /* HOST:PORT, [HOST]:PORT; port 0: the kernel picks one */
	const char *tls_cert, *tls_key; /* texts in PEM, or NULL */
	unsigned threads, idle_timeout_s; /* 0: connections stay */
};

struct server;
/* NULL with *error a sentence, the caller's. */
struct server *server_start(struct sim *sim, const struct server_options *o, char **error);
void server_stop(struct server *s); /* answers nothing more; the sim's timer is stopped by it */
void server_free(struct server *s);
const char *server_url(const struct server *s); /* http://127.0.0.1:1234 */
unsigned server_port(const struct server *s);

void server_release(struct server *s); /* ends what a fault left hanging: these connections close */
void server_thaw(struct server *s);    /* what came while frozen goes on */
/* Closes every connection but the one from except_port, by FIN or by RST; how many there were. */
unsigned server_close_connections(struct server *s, bool reset, unsigned except_port);
#endif

#include "tools/r2sim/server.h"

#include "tools/r2sim/control.h"
#include "tools/r2sim/escape.h"
#include "tools/r2sim/receive.h"
#include "tools/r2sim/route.h"
#include "tools/r2sim/send.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <microhttpd.h>
#include <netdb.h>
#include <poll.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>
#include <utlist.h>

/* Requests have headers of up to 8 KiB of metadata, a key of 1 KiB that is percent-encoded, and more; the rest buffers bodies. */
#define SERVER_CONNECTION_MEMORY (128u << 10)
#define SERVER_REAP_US 200000

struct server_peer { /* an open connection */
	int fd;
	unsigned port;
	struct server_peer *prev, *next;
};

/* Where a request stands. Each call of server_handle takes it as far as it goes without waiting. */
enum server_stage { SERVER_NEW, SERVER_BODY, SERVER_EXECUTE, SERVER_ANSWER, SERVER_ANSWERED, SERVER_CLOSE };

struct server_call {
	struct server *server;
	struct exchange *ex;
	struct MHD_Connection *connection;
	int fd;
	enum server_stage stage;
	bool refused;  /* the reply is an error found before the body came */
	bool last_cut; /* the last mutation before a cut, which is still to be answered */
	bool counted;  /* in flight */
	bool hit;
	struct fault_hit fault;
	/* While it hangs. */
	bool hanging, frozen;
	uint64_t hang_id;
	struct server_call *prev, *next;
};

struct server {
	struct sim *sim;
	struct MHD_Daemon *daemon;
	int listen_fd;
	unsigned port;
	char *url;
	pthread_mutex_t mutex; /* over what follows */
	struct server_peer *peers;
	struct server_call *hanging;
	uint64_t next_hang;
	bool stopping;
};

static void server_resume_later(void *arg) {
	MHD_resume_connection(arg);
}

static enum MHD_Result server_wait(struct server_call *call, int64_t delay_us) {
	MHD_suspend_connection(call->connection);
	timer_add(&call->server->sim->timer, delay_us, server_resume_later, call->connection);
	return MHD_YES;
}

/* With the mutex held. next_stage SERVER_CLOSE ends it; else it goes on where it was. */
static void server_wake_locked(struct server_call *call, bool close_it) {
	DL_DELETE(call->server->hanging, call);
	call->hanging = false;
	if (close_it)
		call->stage = SERVER_CLOSE;
	record_hanging(&call->server->sim->record, -1);
	MHD_resume_connection(call->connection);
}

struct server_hang {
	struct server *server;
	uint64_t id;
};

static void server_hang_over(void *arg) {
	struct server_hang *hang = arg;
	struct server_call *call, *next;
	pthread_mutex_lock(&hang->server->mutex);
	DL_FOREACH_SAFE(hang->server->hanging, call, next)
		if (call->hang_id == hang->id)
			server_wake_locked(call, true);
	pthread_mutex_unlock(&hang->server->mutex);
	free(hang);
}

/* Suspends until released. for_ms 0: for ever. */
static enum MHD_Result server_hang(struct server_call *call, bool frozen, int64_t for_ms) {
	struct server *s = call->server;
	pthread_mutex_lock(&s->mutex);
	if (s->stopping) {
		pthread_mutex_unlock(&s->mutex);
		return MHD_NO;
	}
	uint64_t id = call->hang_id = ++s->next_hang;
	call->hanging = true;
	call->frozen = frozen;
	DL_APPEND(s->hanging, call);
	record_hanging(&s->sim->record, 1);
	MHD_suspend_connection(call->connection);
	pthread_mutex_unlock(&s->mutex);
	if (for_ms > 0) {
		struct server_hang *hang = mem_zero(sizeof *hang);
		*hang = (struct server_hang){.server = s, .id = id};
		timer_add(&s->sim->timer, for_ms * 1000, server_hang_over, hang);
	}
	return MHD_YES;
}

static void server_wake_all(struct server *s, bool frozen, bool close_it) {
	struct server_call *call, *next;
	pthread_mutex_lock(&s->mutex);
	DL_FOREACH_SAFE(s->hanging, call, next)
		if (call->frozen == frozen)
			server_wake_locked(call, close_it);
	pthread_mutex_unlock(&s->mutex);
}

void server_release(struct server *s) {
	server_wake_all(s, false, true);
}

void server_thaw(struct server *s) {
	server_wake_all(s, true, false);
}

/* libmicrohttpd does not watch suspended connections, so clients that gave up are looked for here. */
static void server_reap(void *arg) {
	struct server *s = arg;
	struct server_call *call, *next;
	pthread_mutex_lock(&s->mutex);
	bool stopping = s->stopping;
	DL_FOREACH_SAFE(s->hanging, call, next) {
		struct pollfd p = {.fd = call->fd, .events = POLLRDHUP};
		if (poll(&p, 1, 0) > 0)
			server_wake_locked(call, true);
	}
	pthread_mutex_unlock(&s->mutex);
	if (!stopping)
		timer_add(&s->sim->timer, SERVER_REAP_US, server_reap, s);
}

unsigned server_close_connections(struct server *s, bool reset, unsigned except_port) {
	unsigned n = 0;
	struct server_peer *p;
	pthread_mutex_lock(&s->mutex);
	DL_FOREACH(s->peers, p) {
		if (p->port == except_port)
			continue;
		if (reset)
			send_reset(p->fd);
		else
			shutdown(p->fd, SHUT_RDWR);
		n++;
	}
	pthread_mutex_unlock(&s->mutex);
	return n;
}

/* Of either family: the port lies in the same place. */
static unsigned server_address_port(const struct sockaddr *a) {
	static_assert(offsetof(struct sockaddr_in, sin_port) == offsetof(struct sockaddr_in6, sin6_port), "the port's place");
	in_port_t port;
	memcpy(&port, (const char *)a + offsetof(struct sockaddr_in, sin_port), sizeof port);
	return ntohs(port);
}

static void server_connected(void *cls, struct MHD_Connection *connection, void **context, enum MHD_ConnectionNotificationCode code) {
	struct server *s = cls;
	struct server_peer *p = *context;
	pthread_mutex_lock(&s->mutex);
	if (code == MHD_CONNECTION_NOTIFY_STARTED) {
		p = *context = mem_zero(sizeof *p);
		p->fd = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD)->connect_fd;
		const struct sockaddr *a = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CLIENT_ADDRESS)->client_addr;
		p->port = server_address_port(a);
		DL_APPEND(s->peers, p);
		record_connection(&s->sim->record);
	} else if (p) {
		DL_DELETE(s->peers, p);
		free(p);
	}
	pthread_mutex_unlock(&s->mutex);
}

static void *server_uri(void *cls, const char *uri, struct MHD_Connection *connection) {
	struct server *s = cls;
	struct server_call *call = mem_zero(sizeof *call);
	const struct server_peer *p = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT)->socket_context;
	call->server = s;
	call->connection = connection;
	call->fd = p->fd;
	call->ex = exchange_new(s->sim, uri);
	call->ex->port = p->port;
	return call;
}

static void server_completed(void *cls, struct MHD_Connection *connection, void **con_cls, enum MHD_RequestTerminationCode why) {
	(void)connection;
	(void)why;
	struct server *s = cls;
	struct server_call *call = *con_cls;
	if (!call)
		return;
	*con_cls = NULL;
	if (call->counted)
		record_end(&s->sim->record);
	exchange_put(call->ex);
	free(call);
}

/* The headers are in. */
static void server_begin(struct server_call *call, const char *method) {
	struct exchange *ex = call->ex;
	struct sim *sim = ex->sim;
	ex->method = mem_copy(method);
	receive_headers(ex, call->connection);
	ex->set = settings_get(&sim->settings);
	call->stage = SERVER_BODY;
	bool understood = route_parse(ex);
	if (ex->control) {
		ex->set.rate_limit = false;
		control_begin(ex);
		receive_begin(ex);
		return;
	}
	record_begin(&sim->record, ex);
	call->counted = true;
	call->hit = understood && fault_match(&sim->faults, ex, &call->fault);
	if (call->hit) {
		ex->listing = call->fault.answer == FAULT_PAGE_REPEAT ? LISTING_REPEAT
		              : call->fault.answer == FAULT_PAGE_SHORT ? LISTING_SHORT
		              : call->fault.answer == FAULT_PAGE_EMPTY ? LISTING_EMPTY
		              : call->fault.answer == FAULT_PAGE_STALE ? LISTING_STALE
		                                                       : LISTING_TRUE;
		ex->listing_age_ms = call->fault.age_ms;
	}
	call->refused = !understood || !verify_request(ex) || !route_dialect(ex);
	ex->discard = call->refused;
	receive_begin(ex);
}

/* The request takes effect, or is refused. False: the connection is to be reset. */
static bool server_effect(struct server_call *call) {
	struct exchange *ex = call->ex;
	bool mutates = exchange_kind_mutates(ex->kind);
	if (!call->refused) {
		enum settings_cut cut = mutates ? settings_count_mutation(&ex->sim->settings) : SETTINGS_PASS;
		if (cut == SETTINGS_REFUSED)
			return false;
		call->last_cut = cut == SETTINGS_LAST;
		route_execute(ex);
	}
	if (mutates && !ex->journalled)
		record_refused(ex);
	return true;
}

static void server_effect_late(void *arg) {
	struct exchange *ex = arg;
	reply_reset(&ex->reply);
	if (!exchange_kind_mutates(ex->kind) || settings_count_mutation(&ex->sim->settings) != SETTINGS_REFUSED)
		route_execute(ex);
	if (exchange_kind_mutates(ex->kind) && !ex->journalled)
		record_refused(ex);
	exchange_put(ex);
}

/* SERVER_EXECUTE. */
static enum MHD_Result server_execute(struct server_call *call, bool *waits) {
	struct exchange *ex = call->ex;
	call->stage = SERVER_ANSWER;
	if (ex->control) {
		control_execute(ex);
		return MHD_YES;
	}
	struct settings now = settings_get(&ex->sim->settings);
	if (now.frozen) {
		call->stage = SERVER_EXECUTE;
		*waits = true;
		return server_hang(call, true, 0);
	}
	if (now.cut) {
		send_reset(call->fd);
		return MHD_NO;
	}
	if (!call->hit || call->fault.effect == FAULT_EFFECT_DONE) {
		if (!server_effect(call)) {
			send_reset(call->fd);
			return MHD_NO;
		}
	} else if (call->fault.effect == FAULT_EFFECT_NONE && exchange_kind_mutates(ex->kind)) {
		reply_reset(&ex->reply);
		record_refused(ex);
	}
	int64_t half = ex->set.delay_ms * 500;
	if (half > 0) {
		*waits = true;
		return server_wait(call, half);
	}
	return MHD_YES;
}

/* SERVER_ANSWER. */
static enum MHD_Result server_answer(struct server_call *call, bool *waits) {
	struct exchange *ex = call->ex;
	call->stage = SERVER_ANSWERED;
	struct settings now = settings_get(&ex->sim->settings);
	if (!ex->control && now.cut && !(call->last_cut && now.cut_answer)) {
		send_reset(call->fd);
		return MHD_NO;
	}
	bool late = call->hit && call->fault.effect == FAULT_EFFECT_LATE && !call->refused;
	if (late)
		exchange_get(ex);
	bool hangs = call->hit && call->fault.answer == FAULT_HANG;
	if (hangs)
		ex->reply.status = 0;
	enum MHD_Result result = hangs ? MHD_YES : send_answer(ex, call->connection, call->fd, call->hit ? &call->fault : NULL);
	if (hangs) {
		record_answer(&ex->sim->record, ex, 0);
		*waits = true;
		call->stage = SERVER_CLOSE;
		result = server_hang(call, false, call->fault.hang_ms);
	}
	/* Only now: until here the reply was the connection's. */
	if (late)
		timer_add(&ex->sim->timer, call->fault.late_ms * 1000, server_effect_late, ex);
	return result;
}

static enum MHD_Result server_body(struct server_call *call, const char *data, size_t *size, bool *waits) {
	struct exchange *ex = call->ex;
	if (*size) {
		receive_data(ex, data, *size);
		int64_t pause = ex->set.bandwidth > 0 ? (int64_t)*size * 1000000 / ex->set.bandwidth : 0;
		*size = 0;
		*waits = true;
		if (call->hit && call->fault.answer == FAULT_RESET_UPLOAD && ex->received > (uint64_t)call->fault.after_bytes) {
			if (exchange_kind_mutates(ex->kind))
				record_refused(ex);
			ex->reply.status = 0;
			record_answer(&ex->sim->record, ex, 0);
			send_reset(call->fd);
			return MHD_NO;
		}
		return pause > 0 && !ex->control ? server_wait(call, pause) : MHD_YES;
	}
	call->stage = SERVER_EXECUTE;
	if (!receive_end(ex) && !call->refused)
		call->refused = true;
	int64_t delay = ex->control ? 0 : ex->set.delay_ms * 500 + (call->hit ? call->fault.delay_ms * 1000 : 0);
	if (delay > 0) {
		*waits = true;
		return server_wait(call, delay);
	}
	return MHD_YES;
}

static enum MHD_Result server_handle(void *cls, struct MHD_Connection *connection, const char *url, const char *method, const char *version,
    const char *data, size_t *size, void **con_cls) {
	(void)cls;
	(void)connection;
	(void)url;
	(void)version;
	struct server_call *call = *con_cls;
	if (!call)
		return MHD_NO;
	if (call->stage == SERVER_NEW) {
		server_begin(call, method);
		/* Answered before libmicrohttpd would invite the body. */
		if (!call->ex->control && !call->ex->set.continue_100 && exchange_header(call->ex, "expect"))
			return server_answer(call, &(bool){false});
		return MHD_YES;
	}
	bool waits = false;
	enum MHD_Result result = MHD_YES;
	while (!waits && result == MHD_YES && call->stage != SERVER_ANSWERED) {
		switch (call->stage) {
		case SERVER_BODY:
			result = server_body(call, data, size, &waits);
			break;
		case SERVER_EXECUTE:
			result = server_execute(call, &waits);
			break;
		case SERVER_ANSWER:
			result = server_answer(call, &waits);
			break;
		default:
			return MHD_NO;
		}
	}
	return result;
}

/* A listening socket for "HOST:PORT", or -1 with *error set. */
static int server_listen(struct server *s, const char *where, bool tls, char **error) {
	char *host = mem_copy(where), *port = strrchr(host, ':');
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICSERV}, *found = NULL;
	int fd = -1;
	if (port)
		*port++ = 0;
	size_t len = strlen(host);
	bool bracketed = len > 2 && *host == '[' && host[len - 1] == ']';
	if (bracketed)
		host[len - 1] = 0;
	int rc = port ? getaddrinfo(host + bracketed, port, &hints, &found) : EAI_NONAME;
	if (rc) {
		*error = mem_printf("%s is not HOST:PORT: %s", where, gai_strerror(rc));
		goto out;
	}
	fd = socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int on = 1;
	struct sockaddr_storage bound = {0};
	socklen_t bound_len = sizeof bound;
	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) || bind(fd, found->ai_addr, found->ai_addrlen) || listen(fd, 1024) ||
	    getsockname(fd, (struct sockaddr *)&bound, &bound_len)) {
		*error = mem_printf("%s: %s", where, strerror(errno));
		if (fd >= 0)
			close(fd);
		fd = -1;
		goto out;
	}
	s->port = server_address_port((struct sockaddr *)&bound);
	s->url = mem_printf("%s://%s%s:%u%s", tls ? "https" : "http", host, bracketed ? "]" : "", s->port, s->sim->path_prefix);
out:
	if (found)
		freeaddrinfo(found);
	free(host);
	return fd;
}

/* libmicrohttpd's own unescaping is not wanted: the path is signed as it came. */
static size_t server_unescape(void *cls, struct MHD_Connection *connection, char *s) {
	(void)cls;
	(void)connection;
	return strlen(s);
}

struct server *server_start(struct sim *sim, const struct server_options *o, char **error) {
	struct server *s = mem_zero(sizeof *s);
	s->sim = sim;
	sim->server = s;
	pthread_mutex_init(&s->mutex, NULL);
	s->listen_fd = server_listen(s, o->listen, o->tls_cert != NULL, error);
	if (s->listen_fd < 0) {
		server_free(s);
		return NULL;
	}
	struct MHD_OptionItem tls[] = {{MHD_OPTION_HTTPS_MEM_CERT, 0, (void *)(uintptr_t)o->tls_cert},
	    {MHD_OPTION_HTTPS_MEM_KEY, 0, (void *)(uintptr_t)o->tls_key}, {MHD_OPTION_END, 0, NULL}};
	struct MHD_OptionItem none[] = {{MHD_OPTION_END, 0, NULL}};
	unsigned flags = MHD_USE_EPOLL_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_SUPPRESS_DATE_NO_CLOCK | (o->tls_cert ? MHD_USE_TLS : 0);
	s->daemon = MHD_start_daemon(flags, 0, NULL, NULL, server_handle, s, MHD_OPTION_LISTEN_SOCKET, s->listen_fd, MHD_OPTION_THREAD_POOL_SIZE,
	    o->threads, MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)SERVER_CONNECTION_MEMORY, MHD_OPTION_CONNECTION_TIMEOUT, o->idle_timeout_s,
	    MHD_OPTION_URI_LOG_CALLBACK, server_uri, s, MHD_OPTION_NOTIFY_COMPLETED, server_completed, s, MHD_OPTION_NOTIFY_CONNECTION,
	    server_connected, s, MHD_OPTION_UNESCAPE_CALLBACK, server_unescape, NULL, MHD_OPTION_ARRAY, o->tls_cert ? tls : none, MHD_OPTION_END);
	if (!s->daemon) {
		*error = mem_copy("libmicrohttpd did not start");
		close(s->listen_fd);
		server_free(s);
		return NULL;
	}
	timer_add(&sim->timer, SERVER_REAP_US, server_reap, s);
	return s;
}

void server_stop(struct server *s) {
	struct server_call *call, *next;
	pthread_mutex_lock(&s->mutex);
	s->stopping = true;
	DL_FOREACH_SAFE(s->hanging, call, next)
		server_wake_locked(call, true);
	pthread_mutex_unlock(&s->mutex);
	/* What is delayed resumes now, since libmicrohttpd may not stop while a connection is suspended. */
	timer_stop(&s->sim->timer);
	MHD_stop_daemon(s->daemon);
}

void server_free(struct server *s) {
	pthread_mutex_destroy(&s->mutex);
	free(s->url);
	free(s);
}

const char *server_url(const struct server *s) {
	return s->url;
}

unsigned server_port(const struct server *s) {
	return s->port;
}

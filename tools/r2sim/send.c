#include "tools/r2sim/send.h"

#include "tools/r2sim/escape.h"
#include "tools/r2sim/sim.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>

#define SEND_BLOCK (64u << 10)
#define SEND_WHOLE UINT64_MAX

/* A body on its way. It outlives the exchange. */
struct send_source {
	struct timer *timer;
	struct MHD_Connection *connection;
	int fd;
	struct body *body; /* or text */
	char *text;
	uint64_t offset, length;
	uint64_t stop_at, corrupt_at; /* SEND_WHOLE: never */
	bool reset;                   /* how it stops */
	int64_t bandwidth, next_us;
};

void send_reset(int fd) {
	/* Dissolves the association; unlike SO_LINGER it needs no close, which is libmicrohttpd's. */
	struct sockaddr nobody = {.sa_family = AF_UNSPEC};
	/* One that is closed already can't be reset, and need not. */
	(void)connect(fd, &nobody, sizeof nobody);
}

static void send_resume(void *arg) {
	MHD_resume_connection(arg);
}

static ssize_t send_read(void *cls, uint64_t pos, char *to, size_t max) {
	struct send_source *s = cls;
	if (s->stop_at != SEND_WHOLE && pos >= s->stop_at) {
		if (s->reset)
			send_reset(s->fd);
		return MHD_CONTENT_READER_END_WITH_ERROR;
	}
	int64_t now = timer_now_us();
	if (s->bandwidth > 0 && now < s->next_us) {
		MHD_suspend_connection(s->connection);
		timer_add(s->timer, s->next_us - now, send_resume, s->connection);
		return 0;
	}
	uint64_t left = (s->stop_at < s->length ? s->stop_at : s->length) - pos;
	size_t n = left < max ? (size_t)left : max;
	if (s->bandwidth > 0) {
		/* Fiftieths of a second, so that a slow answer flows instead of jumping. */
		size_t slice = (size_t)(s->bandwidth / 50 + 1);
		n = n < slice ? n : slice;
		s->next_us = now + (int64_t)n * 1000000 / s->bandwidth;
	}
	if (s->body) {
		int64_t got = body_read(s->body, s->offset + pos, to, n);
		if (got <= 0)
			return MHD_CONTENT_READER_END_WITH_ERROR;
		n = (size_t)got;
	} else {
		memcpy(to, s->text + s->offset + pos, n);
	}
	if (s->corrupt_at >= pos && s->corrupt_at < pos + n)
		to[s->corrupt_at - pos] = (char)(to[s->corrupt_at - pos] ^ 0x20);
	return (ssize_t)n;
}

static void send_source_free(void *cls) {
	struct send_source *s = cls;
	body_put(s->body);
	free(s->text);
	free(s);
}

static void send_body_put(void *cls) {
	body_put(cls);
}

/* Turns the reply's body into a response; what it held is then the response's. */
static struct MHD_Response *send_response(struct exchange *ex, struct MHD_Connection *connection, int fd, const struct fault_hit *fault) {
	struct reply *r = &ex->reply;
	uint64_t length = r->body ? r->length : r->text.len;
	enum fault_answer how = fault ? fault->answer : FAULT_NORMAL;
	bool spoilt = length && (how == FAULT_RESET_BODY || how == FAULT_TRUNCATE || how == FAULT_CORRUPT);
	if (how == FAULT_WRONG_LENGTH && length) {
		uint64_t drop = fault->drop_bytes > 0 ? (uint64_t)fault->drop_bytes : 1;
		length -= drop < length ? drop : length;
	}
	bool throttled = ex->set.bandwidth > 0 && !ex->control;
	const char *memory = r->body ? body_memory(r->body, r->offset, length) : NULL;
	if (!spoilt && !throttled && r->body && memory) {
		struct body *body = r->body;
		r->body = NULL;
		return MHD_create_response_from_buffer_with_free_callback_cls((size_t)length, (void *)(uintptr_t)memory, send_body_put, body);
	}
	struct send_source *s = mem_zero(sizeof *s);
	*s = (struct send_source){.timer = &ex->sim->timer,
	    .connection = connection,
	    .fd = fd,
	    .body = r->body,
	    .offset = r->body ? r->offset : 0,
	    .length = length,
	    .stop_at = spoilt && how != FAULT_CORRUPT ? length / 2 : SEND_WHOLE,
	    .corrupt_at = spoilt && how == FAULT_CORRUPT ? length / 2 : SEND_WHOLE,
	    .reset = how == FAULT_RESET_BODY,
	    .bandwidth = throttled ? ex->set.bandwidth : 0};
	s->text = s->body ? NULL : text_take(&r->text);
	r->body = NULL;
	if (s->body || spoilt || throttled)
		return MHD_create_response_from_callback(length, SEND_BLOCK, send_read, s, send_source_free);
	char *text = s->text;
	free(s);
	return MHD_create_response_from_buffer((size_t)length, text, MHD_RESPMEM_MUST_FREE);
}

static void send_error_reply(struct exchange *ex, int status, const char *code, const char *message) {
	reply_reset(&ex->reply);
	reply_xml(ex, status);
	snprintf(ex->reply.code, sizeof ex->reply.code, "%s", code);
	text_printf(&ex->reply.text, "<Error><Code>%s</Code><Message>%s</Message><RequestId>%016llx</RequestId></Error>", code, message,
	    (unsigned long long)ex->seq);
}

static void send_status_fault(struct exchange *ex, const struct fault_hit *fault) {
	int status = fault->status ? fault->status : 500;
	const char *body = fault->body ? fault->body : "xml";
	const char *code = fault->code ? fault->code : status == 503 ? "SlowDown" : status == 429 ? "TooManyRequests" : "InternalError";
	send_error_reply(ex, status, code, fault->message ? fault->message : "A fault of the simulator's choice.");
	if (!strcmp(body, "xml"))
		return;
	text_free(&ex->reply.text);
	fields_set(&ex->reply.headers, "Content-Type", "text/html; charset=UTF-8");
	if (!strcmp(body, "html"))
		text_printf(&ex->reply.text,
		    "<!DOCTYPE html>\n<html><head><title>%d</title></head><body><center><h1>%d</h1></center><hr><center>cloudflare</center></body></html>\n",
		    status, status);
	else if (strcmp(body, "empty") != 0)
		text_add(&ex->reply.text, body);
}

/* Replaces the reply where the fault says what the client gets. */
static void send_fault_reply(struct exchange *ex, const struct fault_hit *fault) {
	switch (fault->answer) {
	case FAULT_STATUS:
		send_status_fault(ex, fault);
		break;
	case FAULT_ERROR_200:
		send_error_reply(ex, 200, fault->code ? fault->code : "InternalError", fault->message ? fault->message : "We encountered an internal error. Please try again.");
		break;
	case FAULT_EMPTY_200:
		reply_reset(&ex->reply);
		ex->reply.status = 200;
		break;
	case FAULT_REDIRECT:
		send_error_reply(ex, fault->status ? fault->status : 307, fault->code ? fault->code : "TemporaryRedirect", "Please re-send this request to the specified temporary endpoint.");
		reply_header(ex, "Location", fault->location ? fault->location : ex->uri);
		break;
	default:
		break;
	}
	for (size_t i = 0; i < fault->headers->n; i++)
		fields_set(&ex->reply.headers, fault->headers->v[i].name, fault->headers->v[i].value);
}

static void send_headers(struct exchange *ex, struct MHD_Response *response, const struct fault_hit *fault) {
	char text[32];
	bool skewed = fault && fault->answer == FAULT_DATE_SKEW;
	escape_time_http(text, exchange_now_ms(ex) + (skewed ? fault->skew_s * 1000 : 0));
	MHD_add_response_header(response, MHD_HTTP_HEADER_DATE, text);
	MHD_add_response_header(response, MHD_HTTP_HEADER_SERVER, "r2sim");
	snprintf(text, sizeof text, "%016llx", (unsigned long long)ex->seq);
	MHD_add_response_header(response, "x-amz-request-id", text);
	for (size_t i = 0; i < ex->reply.headers.n; i++)
		MHD_add_response_header(response, ex->reply.headers.v[i].name, ex->reply.headers.v[i].value);
}

static void send_half_headers(struct exchange *ex, int fd) {
	static const char part[] = "HTTP/1.1 200 OK\r\nDate: Thu, 01 Jan 1970 00:00:00 GMT\r\nContent-Type: appli";
	/* Under TLS this is no record, and just as broken. */
	if (send(fd, part, sizeof part - 1, MSG_NOSIGNAL | MSG_DONTWAIT) > 0)
		ex->reply.status = 0;
}

enum MHD_Result send_answer(struct exchange *ex, struct MHD_Connection *connection, int fd, const struct fault_hit *fault) {
	if (fault)
		send_fault_reply(ex, fault);
	bool resets = fault && (fault->answer == FAULT_RESET || fault->answer == FAULT_RESET_HEADERS || fault->answer == FAULT_RESET_UPLOAD);
	if (resets)
		ex->reply.status = 0;
	/* The answer to HEAD has no body, and an error none that a length could be told of. */
	if (!strcmp(ex->method, "HEAD") && !ex->reply.body)
		text_free(&ex->reply.text);
	if (!ex->control)
		record_answer(&ex->sim->record, ex, resets || !strcmp(ex->method, "HEAD") ? 0 : ex->reply.body ? ex->reply.length : ex->reply.text.len);
	if (resets) {
		if (fault->answer == FAULT_RESET_HEADERS)
			send_half_headers(ex, fd);
		send_reset(fd);
		return MHD_NO;
	}
	unsigned status = (unsigned)ex->reply.status;
	struct MHD_Response *response = send_response(ex, connection, fd, fault);
	send_headers(ex, response, fault);
	enum MHD_Result result = MHD_queue_response(connection, status, response);
	MHD_destroy_response(response);
	return result;
}

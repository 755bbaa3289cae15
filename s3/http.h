/*
 * s3/http.h: HTTP requests over kept-alive connections. One thread owns curl_multi and everything in it; callers hand over
 * a request and wait. Nothing here knows S3: no status is judged, and no request is sent twice (not even by curl, which
 * would repeat one whose kept-alive connection died; only requests marked repeatable may be).
 *
 * At most connections_max requests are under way; the rest wait in order of priority, each class getting its share, and
 * some connections are kept free for S3_NOW. When descriptors run out a request waits for one.
 */
#ifndef R2FS_S3_HTTP_H
#define R2FS_S3_HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "s3/base/buf.h"
#include "s3/s3.h"

#define HTTP_ERROR_BODY_MAX (64u << 10) /* of an answer from 300 up; what is beyond is dropped */
#define HTTP_HEADERS_MAX (64u << 10)    /* all headers of an answer; more fails the request */
#define HTTP_QUEUE_MAX 4096             /* requests handed over and not finished; a further caller waits for room */

struct http;
struct http_lines; /* the headers of a request as they are made */

struct http_options {
    const char *ca_file;    /* NULL: the system's bundle */
    int connect_timeout_ms; /* per attempt to connect, TLS included */
    int connections_max;
};

struct http_request {
    const char *method; /* GET, HEAD, PUT, POST, DELETE */
    const char *url;    /* sent as it is: encoded, never normalised */
    /* Called on the network thread when the request is about to start, so that a signature's time is the time of sending.
     * 0 or -errno, which ends the request as HTTP_LOCAL. */
    int (*headers)(void *arg, struct http_lines *lines);
    void *headers_arg;
    const struct s3_body *body; /* NULL: none (PUT and POST then say Content-Length: 0) */
    void *sink;                 /* NULL, or where the body of a 200 or 206 goes … */
    size_t sink_capacity;       /* … a longer one ends as HTTP_TOO_LARGE, before the first byte where its length is announced */
    size_t text_max;            /* without a sink: the longest body of a 2xx answer that is kept; longer is HTTP_TOO_LARGE */
    bool repeatable;            /* sending it twice does no harm */
    enum s3_priority priority;
    int64_t not_before_ms;      /* monotonic; 0: at once */
    int64_t deadline_ms;        /* monotonic */
    int stall_ms;               /* ends when no byte moved either way for so long once it was started */
    struct s3_cancel *cancel;   /* or NULL */
    _Atomic uint64_t *moved;    /* or NULL */
};

enum http_end {
    HTTP_ANSWERED,    /* status, headers and body are whole (or the status is 400 and more, and the body may be cut) */
    HTTP_FAILED,      /* no connection, or it broke before the answer was whole */
    HTTP_TIMED_OUT,   /* deadline_ms or stall_ms */
    HTTP_TOO_LARGE,   /* the body exceeds sink_capacity or text_max */
    HTTP_CANCELLED,   /* cancel, or http_stop */
    HTTP_LOCAL,       /* local_errno */
};

struct http_response {
    enum http_end end;
    bool started;        /* the request began to leave */
    bool sent;           /* all of it, body included, may have arrived: only then can it have had an effect */
    bool hopeless;       /* HTTP_FAILED: trying again cannot help (a certificate that is not trusted) */
    int status;          /* 0: none came */
    int local_errno;
    bool length_known;   /* the answer had a Content-Length, which is in length */
    uint64_t length;
    struct buf headers;  /* for http_header */
    struct buf text;     /* the body, where it did not go into sink; "" is possible, data may be NULL */
    size_t sink_length;  /* bytes written to sink */
    uint64_t bytes_sent, bytes_received; /* bodies */
    char code[64];       /* curl's name for a failure, else "" */
    char message[256];   /* one sentence, or "" */
};

/* 0, -ENOMEM, -EAGAIN (no thread), -EMFILE. Call after fork. */
int http_new(struct http **http, const struct http_options *options);
/* Stops, joins the thread, frees. No request may be under way in another thread. */
void http_free(struct http *http);

/* Blocks until the request has ended. response must be zeroed; http_response_fini frees it whatever happened. */
void http_perform(struct http *http, const struct http_request *request, struct http_response *response);
void http_response_fini(struct http_response *response);

/* The value of a header (lower-case name) or NULL. */
const char *http_header(const struct http_response *response, const char *name);
/* Walks all headers: *at starts as 0; false at the end. */
bool http_header_next(const struct http_response *response, size_t *at, const char **name, const char **value);

/* "Name: value"; the value is refused (-EINVAL) when it has a control character. 0 or -ENOMEM. */
int http_line(struct http_lines *lines, const char *name, const char *value);

void http_reset(struct http *http); /* drops every connection, ends back-offs; does not block */
void http_stop(struct http *http);  /* ends all requests and every later one; does not block */

#endif

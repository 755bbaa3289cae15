/*
 * test/lib/peer.h: the other end of a connection, that answers what a test tells it to, byte by byte. It listens on a free
 * port of 127.0.0.1 and serves each connection in a thread of its own.
 */
#ifndef R2FS_TEST_LIB_PEER_H
#define R2FS_TEST_LIB_PEER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct peer;

struct peer_exchange {
    int fd;              /* write the answer here */
    int number;          /* of the request, 1 for the first that the peer got */
    int connection;      /* 1 for the first */
    const char *head;    /* request line and headers, as they came */
    const char *body;    /* NULL when the handler is called before the body is read */
    size_t body_length;
    struct peer *peer;
};

enum peer_then {
    PEER_KEEP,  /* wait for the next request on this connection */
    PEER_CLOSE, /* close in order */
    PEER_RESET, /* close with a RST */
    PEER_HANG,  /* say nothing more until the peer is freed or the client closes */
};

/* Called for each request, on the connection's thread. */
typedef enum peer_then (*peer_handler)(void *arg, const struct peer_exchange *exchange);

struct peer_options {
    bool before_body; /* call the handler once the headers are there */
};

struct peer *peer_new(peer_handler handler, void *arg, const struct peer_options *options); /* options NULL: none */
void peer_free(struct peer *peer);
const char *peer_url(const struct peer *peer);  /* "http://127.0.0.1:PORT" */
int peer_requests(struct peer *peer);           /* so far */
int peer_connections(struct peer *peer);
/* Waits until so many requests came; false: not within 5 s. */
bool peer_wait_requests(struct peer *peer, int count);

void peer_send(const struct peer_exchange *exchange, const void *data, size_t length);
void peer_printf(const struct peer_exchange *exchange, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Status line, Content-Length, further header lines ("" or "A: b\r\n…"), body. */
void peer_answer(const struct peer_exchange *exchange, int status, const char *headers, const char *body);
/* The value of a request header (lower-case name) in a static-per-thread buffer, or NULL. */
const char *peer_header(const struct peer_exchange *exchange, const char *name);

#endif

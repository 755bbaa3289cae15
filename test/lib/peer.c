#include "test/lib/peer.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include "s3/base/clock.h"

#define HEAD_MAX 65536
#define CONNECTIONS_MAX 256

struct peer {
    int listener;
    int stop[2]; /* a pipe: closed at the end, which every thread watches */
    char url[64];
    peer_handler handler;
    void *arg;
    bool before_body;
    pthread_t acceptor;
    pthread_mutex_t mutex;
    int requests, connections;
    pthread_t threads[CONNECTIONS_MAX];
};

struct connection {
    struct peer *peer;
    int fd, number;
    char buffer[HEAD_MAX];
    size_t filled;
};

/* false: the peer is ending, or the other side closed. */
static bool readable(const struct peer *peer, int fd)
{
    struct pollfd fds[2] = { { .fd = fd, .events = POLLIN }, { .fd = peer->stop[0], .events = POLLIN } };
    while (poll(fds, 2, -1) < 0 && errno == EINTR)
        ;
    return !fds[1].revents;
}

static bool fill(struct connection *connection)
{
    size_t room = sizeof connection->buffer - 1 - connection->filled;
    if (room == 0 || !readable(connection->peer, connection->fd))
        return false;
    ssize_t n = recv(connection->fd, connection->buffer + connection->filled, room, 0);
    if (n <= 0)
        return false;
    connection->filled += (size_t)n;
    connection->buffer[connection->filled] = '\0';
    return true;
}

const char *peer_header(const struct peer_exchange *exchange, const char *name)
{
    static _Thread_local char value[8192];
    size_t length = strlen(name);
    for (const char *line = exchange->head; (line = strstr(line, "\r\n")); ) {
        line += 2;
        if (strncasecmp(line, name, length) == 0 && line[length] == ':') {
            const char *start = line + length + 1 + strspn(line + length + 1, " ");
            snprintf(value, sizeof value, "%.*s", (int)strcspn(start, "\r"), start);
            return value;
        }
    }
    return NULL;
}

static char *read_body(struct connection *connection, size_t head_length, size_t length)
{
    char *body = malloc(length + 1);
    size_t have = connection->filled - head_length < length ? connection->filled - head_length : length;
    if (!body)
        abort();
    memcpy(body, connection->buffer + head_length, have);
    memmove(connection->buffer, connection->buffer + head_length + have, connection->filled - head_length - have);
    connection->filled -= head_length + have;
    while (have < length && readable(connection->peer, connection->fd)) {
        ssize_t n = recv(connection->fd, body + have, length - have, 0);
        if (n <= 0)
            break;
        have += (size_t)n;
    }
    body[have] = '\0';
    return body;
}

static enum peer_then serve_one(struct connection *connection)
{
    char *end;
    connection->buffer[connection->filled] = '\0';
    while (!(end = strstr(connection->buffer, "\r\n\r\n")))
        if (!fill(connection))
            return PEER_CLOSE;
    size_t head_length = (size_t)(end + 4 - connection->buffer);
    char *head = strndup(connection->buffer, head_length);
    struct peer *peer = connection->peer;
    struct peer_exchange exchange = { .fd = connection->fd, .connection = connection->number, .head = head, .peer = peer };
    const char *announced = peer_header(&exchange, "content-length");
    size_t length = announced ? strtoul(announced, NULL, 10) : 0;
    char *body = peer->before_body ? NULL : read_body(connection, head_length, length);
    pthread_mutex_lock(&peer->mutex);
    exchange.number = ++peer->requests;
    pthread_mutex_unlock(&peer->mutex);
    exchange.body = body;
    exchange.body_length = body ? length : 0;
    enum peer_then then = peer->handler(peer->arg, &exchange);
    if (peer->before_body && then == PEER_KEEP)
        body = read_body(connection, head_length, length);
    free(head);
    free(body);
    return then;
}

static void *serve(void *arg)
{
    struct connection *connection = arg;
    enum peer_then then = PEER_KEEP;
    while (then == PEER_KEEP)
        then = serve_one(connection);
    if (then == PEER_HANG)
        while (fill(connection) || connection->filled == sizeof connection->buffer - 1)
            connection->filled = 0;
    if (then == PEER_RESET) {
        struct linger now = { .l_onoff = 1, .l_linger = 0 };
        setsockopt(connection->fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
    }
    close(connection->fd);
    free(connection);
    return NULL;
}

static void *accept_all(void *arg)
{
    struct peer *peer = arg;
    while (readable(peer, peer->listener)) {
        struct sockaddr_in from;
        socklen_t size = sizeof from;
        int fd = accept4(peer->listener, (struct sockaddr *)&from, &size, SOCK_CLOEXEC);
        if (fd < 0)
            continue;
        struct connection *connection = calloc(1, sizeof *connection);
        if (!connection || peer->connections == CONNECTIONS_MAX)
            abort();
        pthread_mutex_lock(&peer->mutex);
        int index = peer->connections++;
        pthread_mutex_unlock(&peer->mutex);
        connection->peer = peer;
        connection->fd = fd;
        connection->number = index + 1;
        if (pthread_create(&peer->threads[index], NULL, serve, connection))
            abort();
    }
    return NULL;
}

struct peer *peer_new(peer_handler handler, void *arg, const struct peer_options *options)
{
    struct peer *peer = calloc(1, sizeof *peer);
    struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t size = sizeof address;
    if (!peer)
        abort();
    if (pipe2(peer->stop, O_CLOEXEC))
        abort();
    signal(SIGPIPE, SIG_IGN);
    peer->handler = handler;
    peer->arg = arg;
    peer->before_body = options && options->before_body;
    pthread_mutex_init(&peer->mutex, NULL);
    peer->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (bind(peer->listener, (struct sockaddr *)&address, size) || listen(peer->listener, 128) ||
        getsockname(peer->listener, (struct sockaddr *)&address, &size))
        abort();
    snprintf(peer->url, sizeof peer->url, "http://127.0.0.1:%d", ntohs(address.sin_port));
    if (pthread_create(&peer->acceptor, NULL, accept_all, peer))
        abort();
    return peer;
}

void peer_free(struct peer *peer)
{
    if (!peer)
        return;
    close(peer->stop[1]);
    pthread_join(peer->acceptor, NULL);
    for (int i = 0; i < peer->connections; i++)
        pthread_join(peer->threads[i], NULL);
    close(peer->stop[0]);
    close(peer->listener);
    pthread_mutex_destroy(&peer->mutex);
    free(peer);
}

const char *peer_url(const struct peer *peer)
{
    return peer->url;
}

int peer_requests(struct peer *peer)
{
    pthread_mutex_lock(&peer->mutex);
    int count = peer->requests;
    pthread_mutex_unlock(&peer->mutex);
    return count;
}

int peer_connections(struct peer *peer)
{
    pthread_mutex_lock(&peer->mutex);
    int count = peer->connections;
    pthread_mutex_unlock(&peer->mutex);
    return count;
}

bool peer_wait_requests(struct peer *peer, int count)
{
    int64_t until = clock_mono_ms() + 5000;
    while (peer_requests(peer) < count) {
        if (clock_mono_ms() > until)
            return false;
        poll(NULL, 0, 2);
    }
    return true;
}

void peer_send(const struct peer_exchange *exchange, const void *data, size_t length)
{
    const char *from = data;
    while (length) {
        ssize_t n = send(exchange->fd, from, length, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return;
        from += n;
        length -= (size_t)n;
    }
}

void peer_printf(const struct peer_exchange *exchange, const char *format, ...)
{
    char text[8192];
    va_list args;
    va_start(args, format);
    int length = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (length < 0 || (size_t)length >= sizeof text)
        abort();
    peer_send(exchange, text, (size_t)length);
}

void peer_answer(const struct peer_exchange *exchange, int status, const char *headers, const char *body)
{
    peer_printf(exchange, "HTTP/1.1 %d Whatever\r\nContent-Length: %zu\r\n%s\r\n", status, strlen(body), headers);
    if (strncmp(exchange->head, "HEAD ", 5) != 0)
        peer_send(exchange, body, strlen(body));
}

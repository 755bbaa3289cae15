/*
 * The daemon's side of the control socket: one thread polls the socket and its clients, a slow operation gets a thread of
 * its own. No lock: while an operation runs, its thread alone writes to the client's socket and the other only watches for
 * a hang-up; `finished` hands the client back, over the pipe that wakes the poll.
 */
#include "fs/ctl.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <unistd.h>

#include "fs/ctl_wire.h"
#include "fs/explain.h"
#include "s3/base/log.h"

#define WRITE_TIMEOUT_MS 5000 /* a client that does not read its answer for so long is hung up on */
#define FAST_TIMEOUT_MS 200   /* the same on the socket's own thread, where others wait */

struct ctl_call {
    struct ctl *ctl;
    int fd;
    const struct ctl_op *op;
    json_t *request;
    pthread_t thread;
    bool threaded, answered;
    int timeout_ms;
    atomic_bool gone, finished;
};

struct client {
    int fd; /* -1: free */
    uid_t uid;
    bool hung_up;
    struct ctl_call *call; /* NULL: none under way */
    struct ctl_line *line;
};

struct ctl {
    struct ctl_config config;
    char spool[96];
    char directory[108];
    char socket_path[108], link_path[108];
    int listen_fd, wake_fd;
    atomic_bool stopping;
    pthread_t thread;
    struct client clients[CTL_CLIENTS_MAX];
};

/* ---- a call ---- */

const json_t *ctl_request(const struct ctl_call *call)
{
    return call->request;
}

const char *ctl_path(const struct ctl_call *call)
{
    return json_string_value(json_object_get(call->request, "path"));
}

int64_t ctl_timeout_ms(const struct ctl_call *call, int64_t otherwise)
{
    const json_t *value = json_object_get(call->request, "timeout_ms");

    return json_is_integer(value) && json_integer_value(value) >= 0 ? json_integer_value(value) : otherwise;
}

bool ctl_gone(struct ctl_call *call)
{
    return atomic_load(&call->gone);
}

static void put(struct ctl_call *call, json_t *object)
{
    if (!atomic_load(&call->gone) && ctl_line_write(call->fd, object, call->timeout_ms))
        atomic_store(&call->gone, true);
}

void ctl_progress(struct ctl_call *call, json_t *object)
{
    if (object)
        put(call, object);
    json_decref(object);
}

void ctl_answer(struct ctl_call *call, int exit_code, json_t *object)
{
    if (!object) {
        object = json_pack("{s:s}", "error", "out of memory");
        exit_code = EXIT_MACHINE;
    }
    if (object && !json_object_set_new(object, "done", json_true()) && !json_object_set_new(object, "exit", json_integer(exit_code)))
        put(call, object);
    json_decref(object);
    call->answered = true;
}

void ctl_answer_error(struct ctl_call *call, int exit_code, const char *format, ...)
{
    char text[1024];
    va_list list;

    va_start(list, format);
    vsnprintf(text, sizeof text, format, list);
    va_end(list);
    ctl_answer(call, exit_code, json_pack("{s:o}", "error", ctl_string(text)));
}

static void wake(struct ctl *ctl)
{
    const uint64_t one = 1;
    ssize_t n = write(ctl->wake_fd, &one, sizeof one); /* can only fail when it is awake already */
    (void)n;
}

static void run(struct ctl_call *call)
{
    call->op->run(call->ctl->config.ctx, call);
    /* A client must never wait for an answer that nobody gives. */
    if (!call->answered)
        ctl_answer_error(call, EXIT_MACHINE, "operation %s gave no answer", call->op->name);
}

static void *run_thread(void *argument)
{
    struct ctl_call *call = argument;
    struct ctl *ctl = call->ctl;

    run(call);
    atomic_store(&call->finished, true);
    wake(ctl);
    return NULL;
}

static void free_call(struct ctl_call *call)
{
    if (call->threaded)
        pthread_join(call->thread, NULL);
    json_decref(call->request);
    free(call);
}

/* ---- requests ---- */

static const struct ctl_op *find_op(const struct ctl *ctl, const char *name)
{
    for (const struct ctl_op *op = ctl->config.ops; name && op->name; op++)
        if (!strcmp(op->name, name))
            return op;
    return NULL;
}

static bool may(const struct ctl *ctl, const struct ctl_op *op, uid_t uid)
{
    return uid == 0 || uid == ctl->config.owner || uid == geteuid() || (op->anyone && ctl->config.allow_other);
}

/* Takes over request. */
static void start_call(struct ctl *ctl, struct client *client, json_t *request)
{
    struct ctl_call *call = calloc(1, sizeof *call);
    const char *name = json_string_value(json_object_get(request, "op"));

    if (!call) {
        json_decref(request);
        client->hung_up = true;
        return;
    }
    call->ctl = ctl;
    call->fd = client->fd;
    call->request = request;
    call->op = find_op(ctl, name);
    call->timeout_ms = FAST_TIMEOUT_MS;
    if (!request) {
        ctl_answer_error(call, EXIT_USAGE, "that is no request");
    } else if (!call->op) {
        ctl_answer_error(call, EXIT_USAGE, "this daemon knows no operation %s", name ? name : "without a name");
    } else if (!may(ctl, call->op, client->uid)) {
        ctl_answer_error(call, EXIT_MOUNT_FAILED, "only root and the mount's owner may do %s", call->op->name);
    } else if (call->op->slow) {
        call->timeout_ms = WRITE_TIMEOUT_MS;
        if (!pthread_create(&call->thread, NULL, run_thread, call)) {
            call->threaded = true;
            client->call = call;
            return;
        }
        ctl_answer_error(call, EXIT_MACHINE, "no thread could be started");
    } else {
        run(call);
    }
    client->hung_up = atomic_load(&call->gone);
    free_call(call);
}

static void read_client(struct ctl *ctl, struct client *client)
{
    struct ctl_line *line = client->line;
    ssize_t n = recv(client->fd, line->data + line->length, sizeof line->data - line->length, MSG_DONTWAIT);

    if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
        client->hung_up = true;
    if (n > 0)
        line->length += (size_t)n;
    (void)ctl;
}

/* The requests that have come whole, one at a time. */
static void serve_client(struct ctl *ctl, struct client *client)
{
    json_t *request;
    int r = 0;

    while (!client->call && !client->hung_up && (r = ctl_line_next(client->line, &request)) > 0)
        start_call(ctl, client, request);
    if (r < 0)
        client->hung_up = true;
}

static void drop_client(struct client *client)
{
    close(client->fd);
    free(client->line);
    *client = (struct client) { .fd = -1 };
}

static void accept_client(struct ctl *ctl)
{
    /* cppcheck-suppress nullPointer ; accept(2) allows for it */
    int fd = accept4(ctl->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    struct ucred peer;
    socklen_t length = sizeof peer;

    if (fd < 0)
        return;
    for (int i = 0; i < CTL_CLIENTS_MAX; i++) {
        struct client *client = &ctl->clients[i];
        if (client->fd >= 0 || getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &length))
            continue;
        client->line = malloc(sizeof *client->line);
        if (!client->line)
            break;
        client->line->length = 0;
        client->fd = fd;
        client->uid = peer.uid;
        return;
    }
    close(fd);
}

static void poll_once(struct ctl *ctl)
{
    struct pollfd p[2 + CTL_CLIENTS_MAX];

    p[0] = (struct pollfd) { .fd = ctl->wake_fd, .events = POLLIN };
    p[1] = (struct pollfd) { .fd = ctl->listen_fd, .events = POLLIN };
    for (int i = 0; i < CTL_CLIENTS_MAX; i++) {
        const struct client *client = &ctl->clients[i];
        /* One that has hung up during a call is not watched any more: poll would say so again and again. */
        p[2 + i] = (struct pollfd) {
            .fd = client->hung_up ? -1 : client->fd,
            .events = (short)(client->call ? POLLRDHUP : POLLIN | POLLRDHUP),
        };
    }
    if (poll(p, 2 + CTL_CLIENTS_MAX, -1) < 0)
        return;
    if (p[0].revents) {
        uint64_t count;
        ssize_t n = read(ctl->wake_fd, &count, sizeof count);
        (void)n;
    }
    for (int i = 0; i < CTL_CLIENTS_MAX; i++) {
        struct client *client = &ctl->clients[i];
        if (client->fd < 0)
            continue;
        if (client->call && atomic_load(&client->call->finished)) {
            client->hung_up |= atomic_load(&client->call->gone);
            free_call(client->call);
            client->call = NULL;
        }
        if (client->call && p[2 + i].revents) {
            client->hung_up = true;
            atomic_store(&client->call->gone, true);
        }
        if (!client->call && p[2 + i].revents)
            read_client(ctl, client);
        serve_client(ctl, client);
        if (client->hung_up && !client->call)
            drop_client(client);
    }
    if (p[1].revents)
        accept_client(ctl);
}

static void *poll_thread(void *argument)
{
    struct ctl *ctl = argument;

    while (!atomic_load(&ctl->stopping))
        poll_once(ctl);
    for (int i = 0; i < CTL_CLIENTS_MAX; i++) {
        struct client *client = &ctl->clients[i];
        if (client->call) {
            atomic_store(&client->call->gone, true);
            free_call(client->call);
        }
        if (client->fd >= 0)
            drop_client(client);
    }
    return NULL;
}

/* ---- the socket's life ---- */

static int make_directory(struct ctl *ctl)
{
    uid_t self = geteuid();
    int r = ctl_directory(ctl->directory, sizeof ctl->directory, self);

    if (r)
        return r;
    if (!mkdir(ctl->directory, 0700)) {
        if (self == 0 && chmod(ctl->directory, 0755))
            return -errno;
    } else if (errno != EEXIST) {
        return -errno;
    }
    return ctl_directory_trusted(ctl->directory, self, self) ? 0 : -EPERM;
}

static int name_path(const struct ctl *ctl, char *out, size_t capacity, const char *name, const char *suffix)
{
    int n = snprintf(out, capacity, "%s/%s.sock%s", ctl->directory, name, suffix);

    return n < 0 || (size_t)n >= capacity ? -ENAMETOOLONG : 0;
}

static int listen_on(struct ctl *ctl)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    int probe, r;

    ctl->listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (ctl->listen_fd < 0)
        return -errno;
    snprintf(address.sun_path, sizeof address.sun_path, "%s", ctl->socket_path);
    probe = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (probe < 0)
        return -errno;
    r = connect(probe, (struct sockaddr *)&address, sizeof address) ? errno : 0;
    close(probe);
    if (r == 0)
        return -EADDRINUSE;
    if (r == ECONNREFUSED && unlink(ctl->socket_path))
        return -errno;
    if (bind(ctl->listen_fd, (struct sockaddr *)&address, sizeof address))
        return -errno;
    /* Who may do what is decided by who connects. */
    if (chmod(ctl->socket_path, 0666) || listen(ctl->listen_fd, CTL_CLIENTS_MAX)) {
        r = -errno;
        unlink(ctl->socket_path);
        return r;
    }
    return 0;
}

static int start_thread(struct ctl *ctl)
{
    sigset_t all, before;

    /* Signals are for the threads that wait for them. */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int r = pthread_create(&ctl->thread, NULL, poll_thread, ctl);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return -r;
}

int ctl_start(struct ctl **started, const struct ctl_config *config)
{
    struct ctl *ctl = calloc(1, sizeof *ctl);
    int r;

    if (!ctl)
        return -ENOMEM;
    ctl->config = *config;
    r = snprintf(ctl->spool, sizeof ctl->spool, "%s", config->spool) >= (int)sizeof ctl->spool ? -ENAMETOOLONG : 0;
    ctl->listen_fd = ctl->wake_fd = -1;
    for (int i = 0; i < CTL_CLIENTS_MAX; i++)
        ctl->clients[i].fd = -1;
    if (!r)
        r = make_directory(ctl);
    if (!r)
        r = name_path(ctl, ctl->socket_path, sizeof ctl->socket_path, ctl->spool, "");
    if (!r) {
        ctl->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        r = ctl->wake_fd < 0 ? -errno : listen_on(ctl);
    }
    if (!r) {
        r = start_thread(ctl);
        if (r)
            unlink(ctl->socket_path);
    }
    if (!r) {
        *started = ctl;
        return 0;
    }
    /* Another daemon is no fault of ours; who calls may wait for it. */
    if (r != -EADDRINUSE)
        log_error("control socket %s: %s", ctl->socket_path[0] ? ctl->socket_path : ctl->directory, strerror(-r));
    if (ctl->listen_fd >= 0)
        close(ctl->listen_fd);
    if (ctl->wake_fd >= 0)
        close(ctl->wake_fd);
    free(ctl);
    return r;
}

int ctl_publish(struct ctl *ctl, dev_t dev)
{
    char name[32], path[108], temporary[108], target[108];
    int r;

    snprintf(name, sizeof name, "%u:%u", major(dev), minor(dev));
    snprintf(target, sizeof target, "%s.sock", ctl->spool);
    r = name_path(ctl, path, sizeof path, name, "");
    if (!r)
        r = name_path(ctl, temporary, sizeof temporary, name, "~");
    if (r)
        return r;
    /* By rename: a link that a killed daemon left under this number is replaced. */
    unlink(temporary);
    if (symlink(target, temporary) || rename(temporary, path))
        return -errno;
    if (strcmp(path, ctl->link_path) != 0)
        ctl_unpublish(ctl);
    snprintf(ctl->link_path, sizeof ctl->link_path, "%s", path);
    return 0;
}

void ctl_unpublish(struct ctl *ctl)
{
    if (ctl->link_path[0])
        unlink(ctl->link_path);
    ctl->link_path[0] = '\0';
}

void ctl_stop(struct ctl *ctl)
{
    if (!ctl)
        return;
    ctl_unpublish(ctl);
    unlink(ctl->socket_path);
    atomic_store(&ctl->stopping, true);
    wake(ctl);
    pthread_join(ctl->thread, NULL);
    close(ctl->listen_fd);
    close(ctl->wake_fd);
    free(ctl);
}

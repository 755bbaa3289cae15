/*
 * The command's side of the control socket.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <unistd.h>

#include "fs/conf.h"
#include "fs/ctl_wire.h"
#include "s3/base/clock.h"

struct ctl_client {
    int fd;
    struct ctl_line line;
};

/* Is the one who listens root, the user or ourselves? */
static bool peer_trusted(int fd, uid_t user)
{
    struct ucred peer;
    socklen_t length = sizeof peer;

    return !getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &length) && (peer.uid == 0 || peer.uid == user || peer.uid == geteuid());
}

static int connect_to(const char *directory, const char *name, uid_t user)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    int fd, n, r = 0;

    if (!ctl_directory_trusted(directory, user, geteuid()))
        return -ENOENT;
    n = snprintf(address.sun_path, sizeof address.sun_path, "%s/%s.sock", directory, name);
    if (n < 0 || (size_t)n >= sizeof address.sun_path)
        return -ENAMETOOLONG;
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    if (connect(fd, (struct sockaddr *)&address, sizeof address))
        r = -errno;
    else if (!peer_trusted(fd, user))
        r = -EPERM;
    if (r) {
        close(fd);
        return r;
    }
    return fd;
}

static int open_name(struct ctl_client **client, const char *name, uid_t user)
{
    char places[3][108];
    int fd = -ENOENT;

    if (ctl_directory(places[0], sizeof places[0], user))
        places[0][0] = '\0';
    snprintf(places[1], sizeof places[1], "/run/user/%u/r2fs", (unsigned)user);
    snprintf(places[2], sizeof places[2], "/tmp/r2fs-%u", (unsigned)user);
    for (int i = 0; i < (user == 0 ? 1 : 3) && fd < 0; i++) {
        int r = connect_to(places[i], name, user);
        /* A socket that nobody listens on says more than a place that has none. */
        if (r != -ENOENT)
            fd = r;
    }
    if (fd < 0)
        return fd;
    *client = calloc(1, sizeof **client);
    if (!*client) {
        close(fd);
        return -ENOMEM;
    }
    (*client)->fd = fd;
    return 0;
}

int ctl_client_open(struct ctl_client **client, dev_t dev, uid_t user)
{
    char name[32];

    snprintf(name, sizeof name, "%u:%u", major(dev), minor(dev));
    return open_name(client, name, user);
}

int ctl_client_open_spool(struct ctl_client **client, const char *spool, uid_t user)
{
    return open_name(client, spool, user);
}

void ctl_client_close(struct ctl_client *client)
{
    if (client)
        close(client->fd);
    free(client);
}

int ctl_client_send(struct ctl_client *client, json_t *object)
{
    int r = object ? ctl_line_write(client->fd, object, 5000) : -ENOMEM;

    json_decref(object);
    return r;
}

int ctl_client_receive(struct ctl_client *client, int64_t deadline_mono_ms, json_t **object)
{
    for (;;) {
        struct pollfd p = { .fd = client->fd, .events = POLLIN };
        int r = ctl_line_next(&client->line, object);
        if (r < 0 || (r > 0 && !*object))
            return -EPROTO;
        if (r > 0)
            return 0;
        int64_t left = deadline_mono_ms == CONF_NEVER ? -1 : deadline_mono_ms - clock_mono_ms();
        if (deadline_mono_ms != CONF_NEVER && left <= 0)
            return -ETIMEDOUT;
        if (left > 60000)
            left = 60000;
        if (poll(&p, 1, (int)left) < 0)
            return -errno;
        if (!p.revents)
            continue;
        ssize_t n = recv(client->fd, client->line.data + client->line.length, sizeof client->line.data - client->line.length, MSG_DONTWAIT);
        if (n == 0 || (n < 0 && errno == ECONNRESET))
            return -EPIPE;
        if (n < 0 && errno != EAGAIN)
            return -errno;
        if (n > 0)
            client->line.length += (size_t)n;
    }
}

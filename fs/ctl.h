/*
 * fs/ctl.h: the control socket of a mount, both sides.
 *
 * Where. A SOCK_STREAM socket SPOOL.sock (SPOOL: the name of the mount's folder in the cache directory) in /run/r2fs
 * (0755) when the daemon is root, else in $XDG_RUNTIME_DIR/r2fs, else in /tmp/r2fs-UID (both 0700, owner checked).
 * Beside it, while mounted, a symbolic link MAJ:MIN.sock (the mount's st_dev) by which a path finds its daemon.
 *
 * Who. By SO_PEERCRED: root and the mount's owner may do everything; everybody else only operations marked `anyone`, and
 * only where the mount is allow_other.
 *
 * What. One JSON object a line (UTF-8, at most CTL_LINE_MAX bytes with the newline; bytes of paths that are no UTF-8 are
 * sent as U+FFFD). A client sends a request and reads lines until one has "done": true; then it may send the next.
 *   request    {"op": "flush", "path": "a/b", "timeout_ms": 5000}
 *   progress   {"pending_files": 3, "pending_bytes": 12345}                   none, or at most one a 200 ms
 *   answer     {"done": true, "exit": 0, …}   exit is a code of fs/explain.h; "error": one sentence where it is not 0
 *
 * Operations (fields beside done, exit and error):
 *   status   anyone. Answer: mode ("rw" or "ro"), source, mountpoint, pending_files, pending_bytes, oldest_pending_s, last_poll_s
 *            (both seconds ago, null where there is none), last_error (a sentence or null), cache_bytes, cache_limit (null: none), requests{kind: count},
 *            honours{put, copy, complete, delete: true, false or null}; and spool (where pending data is kept), pid, version,
 *            drain_timeout_ms (null: no limit). More keys may come.
 *   flush    Everything under path (relative to the root of the file system; absent or "": all of it) that was acknowledged
 *            before is pushed at once; answers when it is in the bucket (exit 0), or after timeout_ms (absent: no limit) with
 *            exit 3. Answer: left_files, left_bytes, left [{"path", "bytes", "error": a sentence or null}] (the first CTL_LEFT_MAX), spool,
 *            conflicts ["path", …] since the mount began (the last CTL_LEFT_MAX).
 *   drain    Sent before the unmount, answered after it. A progress object {"waiting": true} comes as soon as the daemon knows
 *            of it; only then may the client unmount, or the daemon could end before it reads the request. When the mount has
 *            gone the daemon pushes the rest for at most timeout_ms more (absent: its --drain-timeout), answers as flush
 *            does, and ends. A client that hangs up before the unmount has asked for nothing. ctl_stop is the last thing a daemon does, after it has let go
 *            of its cache: who waits for the hang-up may mount again.
 *   expire   Forgets listings and starts every pending upload now, as SIGHUP does. Answers at once.
 *   reload   Reads credentials again. Answers at once.
 */
#ifndef R2FS_FS_CTL_H
#define R2FS_FS_CTL_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define CTL_LINE_MAX 65536
#define CTL_LEFT_MAX 20
#define CTL_CLIENTS_MAX 32 /* one more is hung up on */

/* ---- the daemon's side ---- */

struct ctl;
struct ctl_call; /* one request under way */

struct ctl_op {
    const char *name;
    bool anyone; /* see Who */
    bool slow;   /* may block: runs on a thread of its own; else on the socket's thread, and must not block */
    /* Calls ctl_answer exactly once before it returns. */
    void (*run)(void *ctx, struct ctl_call *call);
};

struct ctl_config {
    const char *spool; /* the name of the socket; no slash */
    uid_t owner;
    bool allow_other;
    const struct ctl_op *ops; /* ended by a NULL name; must outlive the ctl */
    void *ctx;
};

/*
 * Makes the directory and the socket, and starts the thread. 0 or -errno: -EADDRINUSE when another daemon answers on
 * it (a socket nobody answers on is replaced); what else fails is logged. Call after the fork.
 */
int ctl_start(struct ctl **started, const struct ctl_config *config);
/* The link by which paths find the socket; again after another mount of the same daemon replaces it. 0 or -errno. */
int ctl_publish(struct ctl *ctl, dev_t dev);
/* Removes the link: the mount has gone, the socket stays for those who wait. */
void ctl_unpublish(struct ctl *ctl);
/* Takes no new request, removes link and socket, waits for the calls under way (ctl_gone turns true for them), and frees. NULL is legal. */
void ctl_stop(struct ctl *ctl);

const json_t *ctl_request(const struct ctl_call *call);     /* the request object, borrowed */
const char *ctl_path(const struct ctl_call *call);          /* its "path", or NULL; borrowed */
int64_t ctl_timeout_ms(const struct ctl_call *call, int64_t otherwise); /* its "timeout_ms", ≥ 0 */
bool ctl_gone(struct ctl_call *call); /* the client has hung up or the daemon stops: nobody waits for the answer any more */
/* Both take over the reference to object (NULL: out of memory, answered as such). */
void ctl_progress(struct ctl_call *call, json_t *object);
void ctl_answer(struct ctl_call *call, int exit_code, json_t *object);
/* An answer of a code and one sentence. */
void ctl_answer_error(struct ctl_call *call, int exit_code, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* ---- both sides ---- */

/* A JSON string of any bytes: what is no UTF-8 becomes U+FFFD. NULL: out of memory. */
json_t *ctl_string(const char *bytes);
/* The directory where a daemon of this user puts its socket, into out; 0 or -ENAMETOOLONG. Makes nothing. */
int ctl_directory(char *out, size_t capacity, uid_t uid);

/* ---- the client's side ---- */

struct ctl_client;

/*
 * Connects to the daemon whose mount has this st_dev and was made by user (user_id in mountinfo): looks in the places
 * above, and trusts only what root, user or the caller owns. 0 or -errno: -ENOENT, -ECONNREFUSED (its daemon is dead).
 */
int ctl_client_open(struct ctl_client **client, dev_t dev, uid_t user);
/* The same by the name of the spool, of a daemon of this user, which may have no mount any more. */
int ctl_client_open_spool(struct ctl_client **client, const char *spool, uid_t user);
void ctl_client_close(struct ctl_client *client); /* NULL is legal */
/* Sends one request; takes over the reference. 0 or -errno (-EPIPE: the daemon has gone). */
int ctl_client_send(struct ctl_client *client, json_t *object);
/*
 * The next object into *object (the caller's, json_decref). Blocks until it came, or deadline_mono_ms (of clock_mono_ms;
 * CONF_NEVER: none) passed: -ETIMEDOUT; -EPIPE: the daemon went; -EINTR: a signal came; -EPROTO: not the protocol.
 */
int ctl_client_receive(struct ctl_client *client, int64_t deadline_mono_ms, json_t **object);

#endif

/*
 * The network thread. It alone touches curl_multi, the waiting lists and the active list; callers only put a transfer into
 * the inbox, ring the bell and sleep until it is done. What is asked of the thread from outside (reset, stop) are flags.
 *
 * Timers are scanned, not kept in a heap: at most connections_max requests are active and HTTP_QUEUE_MAX wait, and the
 * scan runs only when something happened or a timer is due. A cancel is a flag that nobody announces, so while a request
 * that has one is here the thread looks every CANCEL_POLL_MS.
 */
#include "s3/http.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include <utlist.h>

#include "s3/base/clock.h"
#include "s3/base/lock.h"
#include "s3/transfer.h"

#define CANCEL_POLL_MS 40
#define DESCRIPTOR_WAIT_MS 50   /* how soon a request looks again for a free descriptor */
#define IDLE_CLOSE_MS 90000     /* without a request for so long, all connections (and their memory) are given up */
#define EASY_POOL 16            /* idle curl handles that are kept */
#define CLASSES 3               /* of enum s3_priority */

struct http {
    struct transfer_options options;
    char *ca_file;
    int connections_max;
    int bell; /* an eventfd: something is in the inbox or a flag is set */
    pthread_t thread;

    struct lock lock; /* guards what follows up to the empty line */
    pthread_cond_t room;
    struct transfer *inbox;
    size_t queued; /* handed over and not done */
    bool stopping;
    bool resetting;
    bool ending; /* the thread is to return */

    /* The thread's own. */
    CURLM *multi;
    struct transfer *waiting[CLASSES];
    struct transfer *active;
    int active_count[CLASSES];
    CURL *easy[EASY_POOL];
    size_t easy_count;
    bool stopped;
    int64_t idle_since_ms;
};

/* curl 7.88 makes its wake-up pair inheritable. It lies at the lowest free descriptors from first on, or little above when
 * other threads opened some meanwhile, and those may be closed on exec as well. */
static void close_on_exec(int first)
{
    for (int fd = first; fd < first + 64; fd++) {
        int flags = fcntl(fd, F_GETFD);
        if (flags >= 0 && !(flags & FD_CLOEXEC))
            fcntl(fd, F_SETFD, flags | FD_CLOEXEC);
    }
}

static int multi_new(struct http *http)
{
    int first = fcntl(http->bell, F_DUPFD_CLOEXEC, 3);
    if (first < 0)
        return -errno;
    close(first);
    http->multi = curl_multi_init();
    if (!http->multi)
        return -ENOMEM;
    close_on_exec(first);
    curl_multi_setopt(http->multi, CURLMOPT_MAXCONNECTS, (long)http->connections_max);
    return 0;
}

static void ring(struct http *http)
{
    uint64_t one = 1;
    /* It fails only when the counter is full, and then the thread wakes up anyway. */
    ssize_t ignored = write(http->bell, &one, sizeof one);
    (void)ignored;
}

static void answer_bell(struct http *http)
{
    uint64_t count;
    ssize_t ignored = read(http->bell, &count, sizeof count);
    (void)ignored;
}

/* ---- one transfer's steps ---- */

static int class_of(const struct transfer *transfer)
{
    return (int)transfer->request->priority;
}

/* Hands the transfer back to its caller; it must not be touched afterwards. */
static void give_back(struct http *http, struct transfer *transfer)
{
    lock_take(&http->lock);
    transfer->done = true;
    http->queued--;
    pthread_cond_signal(&transfer->ended);
    pthread_cond_signal(&http->room);
    lock_drop(&http->lock);
}

static void recycle(struct http *http, CURL *easy)
{
    if (http->easy_count == EASY_POOL) {
        curl_easy_cleanup(easy);
        return;
    }
    curl_easy_reset(easy);
    http->easy[http->easy_count++] = easy;
}

/* Takes an active transfer out of curl. Afterwards it is in no list. */
static void detach(struct http *http, struct transfer *transfer)
{
    CURL *easy = transfer->easy;
    curl_multi_remove_handle(http->multi, easy);
    DL_DELETE(http->active, transfer);
    http->active_count[class_of(transfer)]--;
    transfer_tear_down(transfer);
    recycle(http, easy);
}

static void put_back(struct http *http, struct transfer *transfer, int64_t not_before_ms)
{
    transfer->not_before_ms = not_before_ms;
    DL_PREPEND(http->waiting[class_of(transfer)], transfer);
}

static void end_waiting(struct http *http, struct transfer *transfer, enum http_end end)
{
    DL_DELETE(http->waiting[class_of(transfer)], transfer);
    transfer->response->end = end;
    snprintf(transfer->response->message, sizeof transfer->response->message, "%s",
             end == HTTP_LOCAL      ? "No file descriptor became free before the deadline."
             : end == HTTP_TIMED_OUT ? "The request was not sent before its deadline."
                                     : "The request was cancelled.");
    give_back(http, transfer);
}

static void end_active(struct http *http, struct transfer *transfer, enum http_end end, const char *message)
{
    transfer->response->end = end;
    snprintf(transfer->response->code, sizeof transfer->response->code, "%s", end == HTTP_TIMED_OUT ? "Timeout" : "");
    snprintf(transfer->response->message, sizeof transfer->response->message, "%s", message);
    detach(http, transfer);
    give_back(http, transfer);
}

static void start(struct http *http, struct transfer *transfer)
{
    DL_DELETE(http->waiting[class_of(transfer)], transfer);
    CURL *easy = http->easy_count ? http->easy[--http->easy_count] : curl_easy_init();
    int rc = easy ? transfer_set_up(transfer, easy, &http->options) : -ENOMEM;
    if (!rc && curl_multi_add_handle(http->multi, easy) != CURLM_OK)
        rc = -ENOMEM;
    if (rc) {
        transfer_tear_down(transfer);
        if (easy)
            recycle(http, easy);
        transfer->response->end = HTTP_LOCAL;
        transfer->response->local_errno = -rc;
        snprintf(transfer->response->message, sizeof transfer->response->message, "The request could not be made: %s.",
                 strerrordesc_np(-rc));
        give_back(http, transfer);
        return;
    }
    DL_APPEND(http->active, transfer);
    http->active_count[class_of(transfer)]++;
}

/* ---- which transfer is next ---- */

/* The first of a class that may start now. */
static struct transfer *first_due(struct http *http, int class, int64_t now)
{
    struct transfer *transfer;
    DL_FOREACH(http->waiting[class], transfer)
        if (transfer->not_before_ms <= now)
            return transfer;
    return NULL;
}

/* Of the classes with something to start, the one that has least of its share: no class starves, and a program that
 * waits finds an eighth of the connections free of uploads. */
static struct transfer *next_due(struct http *http, int64_t now)
{
    static const int shares[CLASSES] = { 8, 4, 1 };
    int all = 0;
    struct transfer *best = NULL;
    for (int i = 0; i < CLASSES; i++)
        all += http->active_count[i];
    for (int i = 0; i < CLASSES; i++) {
        int most = i == S3_NOW ? http->connections_max : http->connections_max - (http->connections_max + 7) / 8;
        if (most < 1)
            most = 1;
        struct transfer *transfer = all < most ? first_due(http, i, now) : NULL;
        if (transfer && (!best || (http->active_count[i] + 1) * shares[class_of(best)] <
                                      (http->active_count[class_of(best)] + 1) * shares[i]))
            best = transfer;
    }
    return best;
}

static void start_due(struct http *http, int64_t now)
{
    struct transfer *transfer;
    while ((transfer = next_due(http, now)))
        start(http, transfer);
}

/* ---- ends and timers ---- */

static void finish_done(struct http *http)
{
    CURLMsg *message;
    int left;
    while ((message = curl_multi_info_read(http->multi, &left))) {
        struct transfer *transfer = NULL;
        CURLcode code = message->data.result;
        if (message->msg != CURLMSG_DONE)
            continue;
        curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &transfer);
        bool starved = code != CURLE_OK && !transfer->response->started && (transfer->no_descriptor || transfer_no_descriptors());
        if (!starved)
            transfer_finish(transfer, code);
        detach(http, transfer);
        if (starved) {
            transfer->response->local_errno = EMFILE;
            put_back(http, transfer, clock_mono_ms() + DESCRIPTOR_WAIT_MS);
        } else {
            give_back(http, transfer);
        }
    }
}

static bool is_cancelled(const struct http *http, const struct transfer *transfer)
{
    const struct s3_cancel *cancel = transfer->request->cancel;
    return http->stopped || (cancel && atomic_load_explicit(&cancel->fired, memory_order_relaxed));
}

static int64_t stall_at(const struct transfer *transfer)
{
    return transfer->moved_ms + transfer->request->stall_ms;
}

static void end_overdue(struct http *http, int64_t now)
{
    struct transfer *transfer, *next;
    DL_FOREACH_SAFE(http->active, transfer, next) {
        if (is_cancelled(http, transfer))
            end_active(http, transfer, HTTP_CANCELLED, "The request was cancelled.");
        else if (transfer->request->deadline_ms <= now)
            end_active(http, transfer, HTTP_TIMED_OUT, "The answer did not come before the deadline.");
        else if (stall_at(transfer) <= now)
            end_active(http, transfer, HTTP_TIMED_OUT, "The connection stood still for too long.");
    }
    for (int i = 0; i < CLASSES; i++)
        DL_FOREACH_SAFE(http->waiting[i], transfer, next) {
            if (is_cancelled(http, transfer))
                end_waiting(http, transfer, HTTP_CANCELLED);
            else if (transfer->request->deadline_ms <= now)
                end_waiting(http, transfer, transfer->response->local_errno ? HTTP_LOCAL : HTTP_TIMED_OUT);
        }
}

static void sooner(int64_t *at, int64_t when)
{
    if (when < *at)
        *at = when;
}

/* When the thread has to look again although nothing happened. */
static int64_t next_timer(const struct http *http, int64_t now)
{
    const struct transfer *transfer;
    int64_t at = now + 3600000;
    bool cancels = false;
    DL_FOREACH(http->active, transfer) {
        sooner(&at, transfer->request->deadline_ms);
        sooner(&at, stall_at(transfer));
        cancels = cancels || transfer->request->cancel;
    }
    bool busy = http->active;
    for (int i = 0; i < CLASSES; i++)
        DL_FOREACH(http->waiting[i], transfer) {
            sooner(&at, transfer->request->deadline_ms);
            if (transfer->not_before_ms > now)
                sooner(&at, transfer->not_before_ms);
            cancels = cancels || transfer->request->cancel;
            busy = true;
        }
    if (cancels)
        sooner(&at, now + CANCEL_POLL_MS);
    if (!busy && http->idle_since_ms)
        sooner(&at, http->idle_since_ms + IDLE_CLOSE_MS);
    return at;
}

/* ---- the whole ---- */

/* Ends what is active as if the peer had closed, and closes every connection with the multi handle that holds them. */
static void drop_connections(struct http *http)
{
    struct transfer *transfer, *next;
    DL_FOREACH_SAFE(http->active, transfer, next) {
        snprintf(transfer->response->code, sizeof transfer->response->code, "Reset");
        end_active(http, transfer, HTTP_FAILED, "The connections were given up.");
    }
    for (int i = 0; i < CLASSES; i++)
        DL_FOREACH(http->waiting[i], transfer)
            transfer->not_before_ms = 0;
    CURLM *old = http->multi;
    if (multi_new(http) == 0)
        curl_multi_cleanup(old);
    else
        http->multi = old; /* without memory the old connections stay, and are found dead one by one */
}

/* Takes what callers handed over; true: the thread is to end. */
static bool take_inbox(struct http *http)
{
    struct transfer *transfer, *next, *inbox;
    lock_take(&http->lock);
    inbox = http->inbox;
    http->inbox = NULL;
    http->stopped = http->stopping;
    bool resetting = http->resetting, ending = http->ending;
    http->resetting = false;
    lock_drop(&http->lock);
    if (resetting)
        drop_connections(http);
    DL_FOREACH_SAFE(inbox, transfer, next) {
        DL_DELETE(inbox, transfer);
        DL_APPEND(http->waiting[class_of(transfer)], transfer);
    }
    return ending;
}

static void close_when_idle(struct http *http, int64_t now)
{
    bool busy = http->active || http->waiting[S3_NOW] || http->waiting[S3_LATER] || http->waiting[S3_BACKGROUND];
    if (busy) {
        http->idle_since_ms = now;
    } else if (http->idle_since_ms && now - http->idle_since_ms >= IDLE_CLOSE_MS) {
        drop_connections(http);
        while (http->easy_count)
            curl_easy_cleanup(http->easy[--http->easy_count]);
        http->idle_since_ms = 0;
    }
}

static void *run(void *arg)
{
    struct http *http = arg;
    struct curl_waitfd bell = { .fd = http->bell, .events = CURL_WAIT_POLLIN };
    pthread_setname_np(pthread_self(), "r2fs-net");
    while (!take_inbox(http)) {
        int running;
        int64_t now = clock_mono_ms();
        end_overdue(http, now);
        start_due(http, now);
        curl_multi_perform(http->multi, &running);
        finish_done(http);
        start_due(http, clock_mono_ms());
        now = clock_mono_ms();
        close_when_idle(http, now);
        int64_t wait = next_timer(http, now) - now;
        bell.revents = 0;
        curl_multi_poll(http->multi, &bell, 1, wait < 0 ? 0 : (int)wait, NULL);
        if (bell.revents)
            answer_bell(http);
    }
    return NULL;
}

void http_perform(struct http *http, const struct http_request *request, struct http_response *response)
{
    struct transfer transfer = { .request = request, .response = response, .not_before_ms = request->not_before_ms };
    assert((int)request->priority >= 0 && request->priority < CLASSES);
    lock_cond_init(&transfer.ended);
    lock_take(&http->lock);
    while (http->queued >= HTTP_QUEUE_MAX && !http->stopping)
        if (!lock_wait_until(&http->lock, &http->room, request->deadline_ms))
            break;
    if (http->stopping || http->queued >= HTTP_QUEUE_MAX) {
        response->end = http->stopping ? HTTP_CANCELLED : HTTP_TIMED_OUT;
        snprintf(response->message, sizeof response->message, "%s",
                 http->stopping ? "The client is stopping." : "Too many requests are waiting.");
        lock_drop(&http->lock);
        pthread_cond_destroy(&transfer.ended);
        return;
    }
    http->queued++;
    bool first = !http->inbox;
    struct transfer *link = &transfer;
    DL_APPEND(http->inbox, link);
    if (first)
        ring(http);
    while (!transfer.done)
        lock_wait(&http->lock, &transfer.ended);
    lock_drop(&http->lock);
    pthread_cond_destroy(&transfer.ended);
}

void http_reset(struct http *http)
{
    lock_take(&http->lock);
    http->resetting = true;
    lock_drop(&http->lock);
    ring(http);
}

void http_stop(struct http *http)
{
    lock_take(&http->lock);
    http->stopping = true;
    pthread_cond_broadcast(&http->room);
    lock_drop(&http->lock);
    ring(http);
}

/* ---- beginning and end ---- */

static int start_thread(struct http *http)
{
    sigset_t all, before;
    /* Signals are for the threads that expect them. */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int rc = pthread_create(&http->thread, NULL, run, http);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return -rc;
}

static void release(struct http *http)
{
    while (http->easy_count)
        curl_easy_cleanup(http->easy[--http->easy_count]);
    if (http->multi)
        curl_multi_cleanup(http->multi);
    if (http->bell >= 0)
        close(http->bell);
    pthread_cond_destroy(&http->room);
    lock_fini(&http->lock);
    free(http->ca_file);
    free(http);
}

static pthread_once_t curl_once = PTHREAD_ONCE_INIT;
static CURLcode curl_ready;

static void init_curl(void)
{
    curl_ready = curl_global_init(CURL_GLOBAL_DEFAULT);
}

int http_new(struct http **out, const struct http_options *options)
{
    pthread_once(&curl_once, init_curl);
    struct http *http = curl_ready == CURLE_OK ? calloc(1, sizeof *http) : NULL;
    if (!http)
        return -ENOMEM;
    lock_init(&http->lock, LOCK_HTTP);
    lock_cond_init(&http->room);
    const char *bundle = options->ca_file ? options->ca_file : curl_version_info(CURLVERSION_NOW)->cainfo;
    /* Where the system's bundle is not a file, curl's own defaults are the better choice. */
    if (bundle && (options->ca_file || access(bundle, R_OK) == 0))
        http->ca_file = strdup(bundle);
    http->connections_max = options->connections_max;
    http->options.ca_file = http->ca_file;
    http->options.connect_timeout_ms = options->connect_timeout_ms;
    http->bell = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    int rc = http->bell < 0 ? -errno : multi_new(http);
    if (!rc)
        rc = start_thread(http);
    if (rc) {
        release(http);
        return rc;
    }
    *out = http;
    return 0;
}

void http_free(struct http *http)
{
    if (!http)
        return;
    http_stop(http);
    lock_take(&http->lock);
    assert(http->queued == 0);
    http->ending = true;
    lock_drop(&http->lock);
    ring(http);
    pthread_join(http->thread, NULL);
    release(http);
}

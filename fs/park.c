/*
 * States of a call, under the park's lock once it can be seen by others:
 *
 *     RUNNING --step says CACHE_WAIT--> WAITING --woken, or taken back from the cache--> READY --thread--> RUNNING --> gone
 *
 * wake() may come before the step has even returned; then the flag `woken` is found when the call is about to wait. A call
 * is taken back from the cache (cache_wait_cancel) by the watcher, only while it is WAITING; where the cache says no, its
 * wake() is on the way, and the call waits for that. A call is freed by the thread that sent its reply.
 */
#include "fs/park.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include <utlist.h>

#include "fs/signal.h"
#include "s3/base/clock.h"
#include "s3/base/log.h"

#define THREADS 4
/* How often the waiting are looked at: for their deadlines; for programs that were interrupted, since only the kernel's first
 * INTERRUPT comes, and the signal that ends them may come later. */
#define LOOK_MS 1000
#define LOOK_INTERRUPTED_MS 50

struct park {
    struct fs *fs;
    struct lock lock;
    pthread_cond_t some_ready;    /* for the threads that run steps */
    pthread_cond_t look;          /* for the one that watches the waiting */
    struct call *waiting, *ready; /* lists, under lock */
    size_t count;                 /* of the waiting, under lock */
    size_t interrupted;           /* of the waiting, under lock */
    bool look_now;                /* under lock */
    bool stopping;                /* the waiting are taken back, under lock */
    bool ended;                   /* nothing waits or is ready any more, under lock */
    size_t busy;                  /* steps that run on our threads, under lock */
    size_t threads;
    pthread_t thread[THREADS], watcher;
    bool has_watcher;
};

static _Thread_local struct call *spare;
static _Thread_local void *scratch;

void *park_scratch(void)
{
    if (!scratch)
        scratch = malloc(PARK_SCRATCH);
    return scratch;
}

void park_thread_end(void)
{
    free(scratch);
    free(spare);
    scratch = NULL;
    spare = NULL;
}

/* ---- beginning and end ---- */

struct call *park_begin(struct fs *fs, fuse_req_t req, int (*step)(struct call *call))
{
    struct call *call = spare;
    spare = NULL;
    if (!call && !(call = malloc(sizeof *call))) {
        fuse_reply_err(req, ENOMEM);
        return NULL;
    }
    memset(call, 0, sizeof *call);
    call->fs = fs;
    call->req = req;
    call->step = step;
    call->timeout_ms = PARK_TIMEOUT_MS;
    call->overdue = -ETIMEDOUT;
    return call;
}

static void finish(struct call *call)
{
    free(call->owned);
    call->owned = NULL;
    if (spare)
        free(call);
    else
        spare = call;
}

/* libfuse calls the interrupt function under a lock of the request: after this it neither runs nor will run. */
static void stop_listening(struct call *call)
{
    if (call->listening)
        fuse_req_interrupt_func(call->req, NULL, NULL);
    call->listening = false;
}

static void fail(struct call *call, int error)
{
    stop_listening(call);
    fuse_reply_err(call->req, -error);
    finish(call);
}

static int step_no_memory(struct call *call)
{
    return call->overdue;
}

/* Arguments that lie in the worker's buffer are copied, since the next request comes into it. */
static void own_arguments(struct call *call)
{
    if (call->owned || (!call->name && !call->text && !call->data))
        return;
    size_t name = call->name ? strlen(call->name) + 1 : 0, text = call->text ? strlen(call->text) + 1 : 0;
    size_t data = call->data ? call->size : 0;
    char *copy = malloc(name + text + data + 1);
    if (!copy) {
        /* It ends as soon as the cache lets go of it. */
        call->step = step_no_memory;
        call->overdue = -ENOMEM;
        call->deadline_ms = 1;
        return;
    }
    call->owned = copy;
    if (call->name)
        call->name = memcpy(copy, call->name, name);
    if (call->text)
        call->text = memcpy(copy + name, call->text, text);
    if (call->data)
        call->data = memcpy(copy + name + text, call->data, data);
}

/* ---- waiting ---- */

static void look_locked(struct park *park) REQUIRES(park->lock)
{
    park->look_now = true;
    pthread_cond_signal(&park->look);
}

static void stop_waiting_locked(struct park *park, struct call *call) REQUIRES(park->lock)
{
    DL_DELETE(park->waiting, call);
    park->count--;
    if (call->interrupted)
        park->interrupted--;
}

static void make_ready_locked(struct park *park, struct call *call) REQUIRES(park->lock)
{
    call->state = PARK_READY;
    DL_APPEND(park->ready, call);
    pthread_cond_signal(&park->some_ready);
}

static void wake(struct cache_wait *wait, int error)
{
    struct call *call = (struct call *)wait; /* its first member */
    struct park *park = call->fs->park;
    lock_take(&park->lock);
    call->woken = true;
    call->error = error;
    if (call->state == PARK_WAITING) {
        stop_waiting_locked(park, call);
        make_ready_locked(park, call);
    }
    lock_drop(&park->lock);
}

/* Runs on the worker that got the INTERRUPT, or in fuse_req_interrupt_func when it had come before. */
static void interrupt(fuse_req_t req, void *data)
{
    struct call *call = data;
    struct park *park = call->fs->park;
    (void)req;
    lock_take(&park->lock);
    if (!call->interrupted && call->state == PARK_WAITING)
        park->interrupted++;
    call->interrupted = true;
    look_locked(park);
    lock_drop(&park->lock);
}

/* The step said CACHE_WAIT. True: the call waits, and is not ours any more. False: it was woken meanwhile. */
static bool wait_for_cache(struct call *call)
{
    struct park *park = call->fs->park;
    if (call->deadline_ms == 0)
        call->deadline_ms = clock_mono_ms() + call->timeout_ms;
    own_arguments(call);
    call->listening = true;
    fuse_req_interrupt_func(call->req, interrupt, call);
    lock_take(&park->lock);
    bool waits = !call->woken;
    if (waits) {
        call->state = PARK_WAITING;
        DL_APPEND(park->waiting, call);
        park->count++;
        if (call->interrupted)
            park->interrupted++;
        if (call->interrupted || call->step == step_no_memory || park->count == 1)
            look_locked(park);
    }
    lock_drop(&park->lock);
    return waits;
}

void park_run(struct call *call)
{
    call->wait.wake = wake;
    for (;;) {
        int rc = call->error;
        if (rc == 0 && call->deadline_ms != 0 && clock_mono_ms() >= call->deadline_ms)
            rc = call->overdue;
        if (rc == 0) {
            /* Its reply ends the request, and an interrupt function that still ran would find another call here. */
            stop_listening(call);
            call->woken = false;
            rc = call->step(call);
        }
        if (rc == 0) {
            finish(call);
            return;
        }
        if (rc < 0) {
            fail(call, rc);
            return;
        }
        if (wait_for_cache(call))
            return;
    }
}

void park_offload(struct call *call)
{
    struct park *park = call->fs->park;
    assert(!call->name && !call->text && !call->data);
    lock_take(&park->lock);
    make_ready_locked(park, call);
    lock_drop(&park->lock);
}

/* ---- threads ---- */

static void *run_ready(void *arg)
{
    struct park *park = arg;
    lock_take(&park->lock);
    for (;;) {
        struct call *call = park->ready;
        if (call) {
            DL_DELETE(park->ready, call);
            call->state = PARK_RUNNING;
            park->busy++;
            lock_drop(&park->lock);
            park_run(call);
            lock_take(&park->lock);
            park->busy--;
            if (park->stopping)
                look_locked(park);
        } else if (park->ended) {
            break;
        } else {
            lock_wait(&park->lock, &park->some_ready);
        }
    }
    lock_drop(&park->lock);
    park_thread_end();
    return NULL;
}

/* What the program is told now, or 0: it goes on waiting. */
static int verdict_locked(struct park *park, const struct call *call, int64_t now) REQUIRES(park->lock)
{
    if (park->stopping)
        return -EIO;
    if (now >= call->deadline_ms)
        return call->overdue;
    if (call->interrupted && signal_wants_out(fuse_req_ctx(call->req)->pid))
        return -EINTR;
    return 0;
}

/* Takes those whose wait is over back from the cache; where it says no, its wake() is on the way. */
static struct call *take_back_locked(struct park *park) REQUIRES(park->lock)
{
    struct call *call, *next, *taken = NULL;
    int64_t now = clock_mono_ms();
    DL_FOREACH_SAFE(park->waiting, call, next) {
        int error = verdict_locked(park, call, now);
        if (error == 0 || !cache_wait_cancel(park->fs->cache, &call->wait))
            continue;
        stop_waiting_locked(park, call);
        call->state = PARK_RUNNING;
        call->error = error;
        DL_APPEND(taken, call);
    }
    return taken;
}

static void *watch_waiting(void *arg)
{
    struct park *park = arg;
    lock_take(&park->lock);
    for (;;) {
        park->look_now = false;
        struct call *taken = take_back_locked(park), *call, *next;
        if (taken) {
            lock_drop(&park->lock);
            DL_FOREACH_SAFE(taken, call, next)
                fail(call, call->error);
            lock_take(&park->lock);
            continue;
        }
        if (park->stopping && !park->waiting && !park->ready && park->busy == 0)
            break;
        if (park->look_now)
            continue;
        if (!park->waiting)
            lock_wait(&park->lock, &park->look);
        else
            lock_wait_until(&park->lock, &park->look, clock_mono_ms() + (park->interrupted ? LOOK_INTERRUPTED_MS : LOOK_MS));
    }
    park->ended = true;
    pthread_cond_broadcast(&park->some_ready);
    lock_drop(&park->lock);
    park_thread_end();
    return NULL;
}

struct park *park_new(struct fs *fs)
{
    struct park *park = calloc(1, sizeof *park);
    if (!park)
        return NULL;
    park->fs = fs;
    lock_init(&park->lock, LOCK_NODE);
    lock_cond_init(&park->some_ready);
    lock_cond_init(&park->look);
    park->has_watcher = pthread_create(&park->watcher, NULL, watch_waiting, park) == 0;
    while (park->has_watcher && park->threads < THREADS && pthread_create(&park->thread[park->threads], NULL, run_ready, park) == 0)
        park->threads++;
    if (park->threads == 0) {
        log_error("No thread can be started for requests that wait.");
        park_free(park);
        return NULL;
    }
    return park;
}

void park_free(struct park *park)
{
    if (!park)
        return;
    lock_take(&park->lock);
    park->stopping = true;
    look_locked(park);
    lock_drop(&park->lock);
    if (park->has_watcher)
        pthread_join(park->watcher, NULL);
    for (size_t i = 0; i < park->threads; i++)
        pthread_join(park->thread[i], NULL);
    pthread_cond_destroy(&park->some_ready);
    pthread_cond_destroy(&park->look);
    lock_fini(&park->lock);
    free(park);
}

size_t park_count(struct park *park)
{
    lock_take(&park->lock);
    size_t count = park->count;
    lock_drop(&park->lock);
    return count;
}

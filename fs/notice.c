#include "fs/notice.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define HASH_NONFATAL_OOM 1
#include <uthash.h>
#include <utlist.h>

#include "fs/fs.h"
#include "fs/node.h"
#include "s3/base/clock.h"
#include "s3/base/log.h"

#define THREADS 4u
/*
 * The kernel may not have made the inode yet of which it was told a moment ago; it then answers ENOENT, and makes it
 * with the attributes of before. So such a notice is sent again while the inode counts as known.
 */
#define AGAIN_MS 5
#define AGAIN_MAX 12

struct entry {
    UT_hash_handle hh;
    size_t length;
    char name[];
};

/* All that is to be told about one inode. */
struct notice {
    UT_hash_handle hh;
    struct notice *prev, *next;
    uint64_t ino;
    bool attr, pages;
    struct entry *entries; /* names in this directory */
    unsigned tries;
    int64_t not_before_ms;
};

struct notifier {
    struct notices *notices;
    struct lock lock;
    pthread_cond_t changed;
    struct notice *by_ino; /* hash, under lock */
    struct notice *queue;  /* list, in the order of arrival, under lock */
    bool stopping;         /* under lock */
    bool running;
    pthread_t thread;
};

struct notices {
    struct nodes *nodes;
    struct fuse_session *session;
    atomic_bool started;
    _Atomic uint64_t changes; /* of attributes and content that were told */
    _Atomic uint64_t sent, lost;
    atomic_size_t queued;     /* notices and names */
    struct notifier notifier[THREADS];
};

/* ---- the queue ---- */

static struct notifier *notifier_of(struct notices *notices, uint64_t ino)
{
    return &notices->notifier[(ino * 0x9e3779b97f4a7c15u) >> 62];
}

static void free_notice(struct notices *notices, struct notice *notice)
{
    struct entry *entry = notice->entries, *next;
    HASH_CLEAR(hh, notice->entries);
    for (; entry; entry = next) {
        next = entry->hh.next;
        free(entry);
        atomic_fetch_sub(&notices->queued, 1);
    }
    free(notice);
    atomic_fetch_sub(&notices->queued, 1);
}

static void lose(struct notices *notices, uint64_t ino)
{
    uint64_t lost = atomic_fetch_add(&notices->lost, 1);
    if (lost % 1000 == 0)
        log_error("The queue of the kernel's notices is full: what it holds of inode %llu may be old for a day.",
                  (unsigned long long)ino);
}

/* The notice for this inode, made when there is none; NULL: no room. */
static struct notice *notice_for(struct notifier *notifier, uint64_t ino) REQUIRES(notifier->lock)
{
    struct notices *notices = notifier->notices;
    struct notice *notice;
    HASH_FIND(hh, notifier->by_ino, &ino, sizeof ino, notice);
    if (notice)
        return notice;
    if (atomic_load(&notices->queued) >= NOTICE_MAX || !(notice = calloc(1, sizeof *notice)))
        return NULL;
    notice->ino = ino;
    HASH_ADD(hh, notifier->by_ino, ino, sizeof notice->ino, notice);
    if (!notice->hh.tbl) {
        free(notice);
        return NULL;
    }
    DL_APPEND(notifier->queue, notice);
    atomic_fetch_add(&notices->queued, 1);
    return notice;
}

static bool add_entry(struct notifier *notifier, struct notice *notice, const char *name, size_t length) REQUIRES(notifier->lock)
{
    struct entry *entry;
    HASH_FIND(hh, notice->entries, name, length, entry);
    if (entry)
        return true;
    if (atomic_load(&notifier->notices->queued) >= NOTICE_MAX || !(entry = malloc(sizeof *entry + length + 1)))
        return false;
    memset(entry, 0, sizeof *entry);
    entry->length = length;
    memcpy(entry->name, name, length);
    entry->name[length] = '\0';
    HASH_ADD_KEYPTR(hh, notice->entries, entry->name, length, entry);
    if (!entry->hh.tbl) {
        free(entry);
        return false;
    }
    atomic_fetch_add(&notifier->notices->queued, 1);
    return true;
}

static void queue_inode(struct notices *notices, uint64_t ino, bool pages)
{
    if (!atomic_load(&notices->started) || !node_known(notices->nodes, ino))
        return;
    struct notifier *notifier = notifier_of(notices, ino);
    lock_take(&notifier->lock);
    struct notice *notice = notice_for(notifier, ino);
    if (notice) {
        notice->attr = true;
        notice->pages |= pages;
        notice->tries = 0;
        pthread_cond_signal(&notifier->changed);
    }
    lock_drop(&notifier->lock);
    if (!notice)
        lose(notices, ino);
}

void notice_name(void *arg, uint64_t parent, const char *name, size_t length, bool directory_gone)
{
    struct notices *notices = arg;
    /* The entry of a directory is dropped only when the directory is gone, and the cache names no other directory. */
    (void)directory_gone;
    if (!atomic_load(&notices->started) || !node_known(notices->nodes, parent))
        return;
    struct notifier *notifier = notifier_of(notices, parent);
    lock_take(&notifier->lock);
    struct notice *notice = notice_for(notifier, parent);
    bool queued = notice && add_entry(notifier, notice, name, length);
    if (notice) {
        notice->attr = notice->pages = true;
        notice->tries = 0;
        pthread_cond_signal(&notifier->changed);
    }
    lock_drop(&notifier->lock);
    if (!queued)
        lose(notices, parent);
}

void notice_attr(void *arg, uint64_t ino)
{
    struct notices *notices = arg;
    atomic_fetch_add(&notices->changes, 1);
    queue_inode(notices, ino, false);
}

void notice_content(void *arg, uint64_t ino)
{
    struct notices *notices = arg;
    atomic_fetch_add(&notices->changes, 1);
    queue_inode(notices, ino, true);
}

uint64_t notice_mark(const struct notices *notices)
{
    return atomic_load(&notices->changes);
}

void notice_since(struct notices *notices, uint64_t mark, uint64_t ino)
{
    if (mark != atomic_load(&notices->changes))
        queue_inode(notices, ino, false);
}

/* ---- sending ---- */

/* False: the kernel did not know the inode. */
static bool send_inode(struct notices *notices, const struct notice *notice)
{
    atomic_fetch_add(&notices->sent, 1);
    /* Offset -1: the attributes alone. */
    return fuse_lowlevel_notify_inval_inode(notices->session, notice->ino, notice->pages ? 0 : -1, 0) != -ENOENT;
}

static void send_entries(struct notices *notices, const struct notice *notice)
{
    for (const struct entry *entry = notice->entries; entry; entry = entry->hh.next) {
        atomic_fetch_add(&notices->sent, 1);
        fuse_lowlevel_notify_inval_entry(notices->session, notice->ino, entry->name, entry->length);
    }
}

/* Puts a notice back, or adds it to a newer one for the same inode. The names have been sent. */
static void put_back_locked(struct notifier *notifier, const struct notice *old) REQUIRES(notifier->lock)
{
    struct notice *notice = notice_for(notifier, old->ino);
    if (!notice)
        return;
    notice->attr |= old->attr;
    notice->pages |= old->pages;
    if (notice->tries == 0) {
        notice->tries = old->tries + 1;
        notice->not_before_ms = clock_mono_ms() + ((int64_t)AGAIN_MS << (notice->tries < 6 ? notice->tries : 6));
    }
}

static void send(struct notifier *notifier, struct notice *notice) EXCLUDES(notifier->lock)
{
    struct notices *notices = notifier->notices;
    bool again = !send_inode(notices, notice) && notice->tries < AGAIN_MAX && node_known(notices->nodes, notice->ino);
    send_entries(notices, notice);
    lock_take(&notifier->lock);
    if (again)
        put_back_locked(notifier, notice);
    lock_drop(&notifier->lock);
    free_notice(notices, notice);
}

/* The first that may be sent now; *next_ms: when the next one may. */
static struct notice *first_due(struct notifier *notifier, int64_t *next_ms) REQUIRES(notifier->lock)
{
    int64_t now = clock_mono_ms();
    *next_ms = INT64_MAX;
    for (struct notice *notice = notifier->queue; notice; notice = notice->next) {
        if (notice->not_before_ms <= now)
            return notice;
        if (notice->not_before_ms < *next_ms)
            *next_ms = notice->not_before_ms;
    }
    return NULL;
}

static void *run(void *arg)
{
    struct notifier *notifier = arg;
    lock_take(&notifier->lock);
    while (!notifier->stopping) {
        int64_t next_ms;
        struct notice *notice = first_due(notifier, &next_ms);
        if (notice) {
            HASH_DEL(notifier->by_ino, notice);
            DL_DELETE(notifier->queue, notice);
            lock_drop(&notifier->lock);
            send(notifier, notice);
            lock_take(&notifier->lock);
        } else if (next_ms == INT64_MAX) {
            lock_wait(&notifier->lock, &notifier->changed);
        } else {
            lock_wait_until(&notifier->lock, &notifier->changed, next_ms);
        }
    }
    lock_drop(&notifier->lock);
    return NULL;
}

/* ---- beginning and end ---- */

struct notices *notice_queue_new(void)
{
    struct notices *notices = calloc(1, sizeof *notices);
    if (!notices)
        return NULL;
    for (unsigned i = 0; i < THREADS; i++) {
        struct notifier *notifier = &notices->notifier[i];
        notifier->notices = notices;
        lock_init(&notifier->lock, LOCK_NODE);
        lock_cond_init(&notifier->changed);
    }
    return notices;
}

int notice_start(struct notices *notices, struct nodes *nodes, struct fuse_session *session)
{
    notices->nodes = nodes;
    notices->session = session;
    for (unsigned i = 0; i < THREADS; i++) {
        struct notifier *notifier = &notices->notifier[i];
        int rc = pthread_create(&notifier->thread, NULL, run, notifier);
        if (rc != 0)
            return -rc;
        notifier->running = true;
    }
    atomic_store(&notices->started, true);
    return 0;
}

void notice_stop(struct notices *notices)
{
    atomic_store(&notices->started, false);
    for (unsigned i = 0; i < THREADS; i++) {
        struct notifier *notifier = &notices->notifier[i];
        lock_take(&notifier->lock);
        notifier->stopping = true;
        pthread_cond_signal(&notifier->changed);
        lock_drop(&notifier->lock);
        if (notifier->running)
            pthread_join(notifier->thread, NULL);
        notifier->running = false;
    }
}

void notice_queue_free(struct notices *notices)
{
    if (!notices)
        return;
    notice_stop(notices);
    for (unsigned i = 0; i < THREADS; i++) {
        struct notifier *notifier = &notices->notifier[i];
        struct notice *notice, *next;
        lock_take(&notifier->lock);
        DL_FOREACH_SAFE(notifier->queue, notice, next) {
            HASH_DEL(notifier->by_ino, notice);
            DL_DELETE(notifier->queue, notice);
            free_notice(notices, notice);
        }
        lock_drop(&notifier->lock);
        pthread_cond_destroy(&notifier->changed);
        lock_fini(&notifier->lock);
    }
    free(notices);
}

void notice_get_stats(struct notices *notices, struct notice_stats *stats)
{
    stats->sent = atomic_load(&notices->sent);
    stats->lost = atomic_load(&notices->lost);
    stats->queued = atomic_load(&notices->queued);
}

/*
 * test/unit/libremote.h: a cache over a bucket in memory, with what reads from it (directories, fetch, poll) and a record of
 * requests and of news for the kernel. The pusher does not run.
 */
#ifndef R2FS_TEST_UNIT_LIBREMOTE_H
#define R2FS_TEST_UNIT_LIBREMOTE_H

#include "cache/internal.h"
#include "test/lib/membucket.h"

#define PREFIX "a/b/" /* of every key in these tests */

struct libremote {
    char *folder;
    struct membucket *bucket;
    struct membucket_client *client;
    struct cache *cache;
    uint32_t options; /* not 0: the mount's uid and gid from the next open on, with modes 0600 and 0700 */
    struct lock lock; /* LOCK_LOG */
    char news[8192];  /* "name PARENT NAME\n", "gone PARENT NAME\n", "attr INO\n", "content INO\n" */
};

/* Before the mount's first listing. Use as cmocka's set-up and tear-down, and libremote_mount in between. */
int libremote_set_up(void **state);
int libremote_tear_down(void **state);
void libremote_mount(struct libremote *l);   /* poll_first, and what the poller does first; asserts that it works */
void libremote_remount(struct libremote *l); /* closes, and opens the same folder again; then libremote_mount */

/* Requests of one kind, or of all with S3_KIND_COUNT, since the client was made. */
uint64_t libremote_requests(struct libremote *l, enum s3_kind kind);
/* The news so far, and forgets it; the caller's. */
char *libremote_news(struct libremote *l);
bool libremote_comes_true(bool (*test)(struct libremote *l), struct libremote *l); /* within ten seconds */

/* The inode a path names by the dentries, 0: none. Asks nobody. */
uint64_t libremote_find(struct libremote *l, const char *path);
/* As a program's lookup of each name of the path would: lists and fetches what it needs. 0: ENOENT; asserts on other errors. */
uint64_t libremote_lookup(struct libremote *l, const char *path);
/* The same, with the error: 0, -ENOENT, … */
int libremote_lookup_error(struct libremote *l, const char *path, uint64_t *ino);
struct cache_attr libremote_attr(struct libremote *l, uint64_t ino);
/* One round of the poller, on this thread. */
void libremote_poll(struct libremote *l);

#endif

/*
 * test/unit/libmount.h: a whole cache, opened by cache/cache.h, over a bucket in memory. The pusher sends nothing by itself unless write_back_ms
 * is made small.
 */
#ifndef R2FS_TEST_UNIT_LIBMOUNT_H
#define R2FS_TEST_UNIT_LIBMOUNT_H

#include "cache/cache.h"
#include "test/lib/membucket.h"

struct libmount {
    char *folder;
    struct membucket *bucket;
    struct membucket_client *client;
    struct cache *cache;
    struct cache_config config; /* to be changed before libmount_open */
};

int libmount_set_up(void **state);    /* folder and bucket; not open yet */
int libmount_set_up_open(void **state);
int libmount_tear_down(void **state); /* closes when open */
void libmount_open(struct libmount *m);
void libmount_close(struct libmount *m);
void libmount_reopen(struct libmount *m);
/* As if the process were killed now and started again: the folder is copied as it is, the cache of the copy opened in its place. */
void libmount_kill(struct libmount *m);
/* Everything is in the bucket, or the test fails. */
void libmount_drain(struct libmount *m);

/* Each waits where it has to, and returns the error. Paths are relative to the root, without symlinks. */
int libmount_lookup(struct libmount *m, const char *path, struct cache_attr *attr);
uint64_t libmount_parent(struct libmount *m, const char *path, const char **name); /* asserts that it is there */
int libmount_create(struct libmount *m, const char *path, int flags, struct cache_file **file);
int libmount_open_file(struct libmount *m, const char *path, int flags, struct cache_file **file);
int libmount_mkdir(struct libmount *m, const char *path);
int libmount_symlink(struct libmount *m, const char *target, const char *path);
int libmount_link(struct libmount *m, const char *from, const char *to);
int libmount_unlink(struct libmount *m, const char *path);
int libmount_rmdir(struct libmount *m, const char *path);
int libmount_rename(struct libmount *m, const char *from, const char *to, unsigned flags);
int libmount_setattr(struct libmount *m, const char *path, unsigned set, const struct cache_attr *to);
int libmount_read(struct libmount *m, struct cache_file *file, void *buffer, size_t size, uint64_t offset, size_t *got);
int libmount_write(struct libmount *m, struct cache_file *file, const void *data, size_t size, uint64_t offset);
/* create, write, flush, release; and open, read, release (a string, the caller's; NULL: error in errno's manner negative in *error). */
void libmount_put(struct libmount *m, const char *path, const char *text);
char *libmount_get(struct libmount *m, const char *path);
uint64_t libmount_ino(struct libmount *m, const char *path); /* 0: not there */
uint64_t libmount_commits(struct libmount *m);
char *libmount_list(struct libmount *m, const char *path); /* "a b c", sorted by cookie; the caller's */

#endif

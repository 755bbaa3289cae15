/*
 * test/unit/libcache.h: a cache in a folder of its own for unit tests of cache/'s modules: index, inodes and tree, no threads of the network.
 */
#ifndef R2FS_TEST_UNIT_LIBCACHE_H
#define R2FS_TEST_UNIT_LIBCACHE_H

#include "cache/internal.h"

/* A fresh folder below TMPDIR, the caller's path. */
char *libcache_folder(void);
void libcache_remove(char *folder); /* with everything in it; frees the path */
/* Copies a folder with everything in it: what is on the disk when a process is killed now. */
char *libcache_copy(const char *folder);

/* Opens spool, index, inodes and tree in folder; asserts that it works. */
struct cache *libcache_open(const char *folder);
void libcache_close(struct cache *cache);

#endif

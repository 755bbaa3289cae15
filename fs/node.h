/*
 * fs/node.h: which inodes the kernel knows. Each entry that it was given (LOOKUP, CREATE, a row of READDIRPLUS, …) counts
 * one lookup; FORGET takes them back. Inode 1 is always known.
 *
 * Count before the reply: the kernel may forget, and a remote change must be told, from the moment it has the answer. A
 * reply that failed is taken back by node_forget.
 */
#ifndef R2FS_FS_NODE_H
#define R2FS_FS_NODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct nodes;

struct nodes *node_table_new(void);        /* NULL: no memory */
void node_table_free(struct nodes *nodes); /* NULL is legal */

int node_look(struct nodes *nodes, uint64_t ino); /* 0 or -ENOMEM */
/* O(1). True: the kernel does not know it any more, tell the cache. */
bool node_forget(struct nodes *nodes, uint64_t ino, uint64_t lookups);
bool node_known(struct nodes *nodes, uint64_t ino);
size_t node_count(struct nodes *nodes);

/*
 * For OPENDIR: was version (cache_dir_version) also the one at the directory's last OPENDIR? Remembers it. The kernel may
 * then keep the listing that it holds.
 */
bool node_listing_kept(struct nodes *nodes, uint64_t ino, uint64_t version);

#endif

/*
 * cache/todo.h: what is to be pushed. Rows are written in the transaction of the operation, so that a restart compares
 * nothing. Called inside; the pusher hears of them after the commit.
 */
#ifndef R2FS_CACHE_TODO_H
#define R2FS_CACHE_TODO_H

#include "cache/internal.h"

enum todo_kind { TODO_INODE = 1, TODO_TREE, TODO_GONE, TODO_GONE_TREE };

/* The bytes or metadata of an inode (file, symlink, special file, or a directory's own object), or its names, changed.
 * publish: it was renamed from X.lock onto X: ordered like an overwrite even when X is new. */
void todo_inode_tx(struct cache *cache, uint64_t ino, bool publish);
/* A directory was moved: everything below is to be looked at under its new keys. */
void todo_tree_tx(struct cache *cache, uint64_t ino);
/* A key (or every key that starts with it, for a directory's "dir/") lost its name here: deleted when no name wants it. Call after
 * the dentries changed. No row when the bucket never had it. */
void todo_gone_tx(struct cache *cache, const char *key, bool tree);
/* A write that is only in memory so far: the pusher will call file_commit when it is due. O(1), no SQL, not inside. */
void todo_written(struct cache *cache, uint64_t ino);

#endif

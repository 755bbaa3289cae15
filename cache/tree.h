/*
 * cache/tree.h: names. The operations of cache.h on directories are here, and the pieces of them that the merge of
 * listings (remote.c) and conflicts (push_conflict.c) use inside their own transactions.
 */
#ifndef R2FS_CACHE_TREE_H
#define R2FS_CACHE_TREE_H

#include "cache/inode.h"
#include "s3/base/buf.h"

/* The dentry, or 0 when there is none. */
uint64_t tree_child_tx(struct cache *cache, uint64_t parent, const char *name, size_t length);
bool tree_has_children_tx(struct cache *cache, uint64_t parent);

/* Adds, replaces (another inode under the name) or removes a name. The inode's link count, the parent's nlink and times, and
 * its version (cache_dir_version) follow. An inode whose last name goes is removed (inode_removed_tx).
 * They write no todo and no remote row: that is the caller's. Kernel news: tell says whether
 * cache_events.name is to be called after the commit (what a program did itself is not told). */
void tree_add_tx(struct cache *cache, uint64_t parent, const char *name, size_t length, struct inode *inode, bool tell);
/* The same for a name that a listing shows: the parent's times follow only where it was listed before, since elsewhere the name
 * is no news, and would undo the time that the directory's object carries. */
void tree_found_tx(struct cache *cache, uint64_t parent, const char *name, size_t length, struct inode *inode, bool tell);
void tree_remove_tx(struct cache *cache, uint64_t parent, const char *name, size_t length, bool tell);
void tree_move_tx(struct cache *cache, uint64_t parent, const char *name, size_t length, uint64_t new_parent,
                  const char *new_name, size_t new_length, bool tell);

/* Two names change places. */
void tree_exchange_tx(struct cache *cache, uint64_t parent, const char *name, size_t length, uint64_t other_parent,
                      const char *other_name, size_t other_length, bool tell);
/* tree_child_tx with a transaction of its own, and from memory where it was asked before. 0, with *ino 0 when there is no such name; -errno: the
 * index cannot say. */
int tree_lookup(struct cache *cache, uint64_t parent, const char *name, size_t length, uint64_t *ino);

/* Keys. The first key (of several, when hard links exist) or all keys of an inode, with the prefix; a directory's ends in '/'.
 * -ESTALE: it has no name. each returns false to stop. */
int tree_key_tx(struct cache *cache, uint64_t ino, struct buf *key);
int tree_each_key_tx(struct cache *cache, uint64_t ino, bool (*each)(void *arg, const char *key, uint64_t parent, const char *name, size_t length), void *arg);
/* The inode that a full key names by today's dentries; 0: none. A key that ends in '/' names a directory. */
uint64_t tree_find_tx(struct cache *cache, const char *key);
/* The key of a directory ("" or "prefix/" for the root), appended; or of a name in it. 0, -ESTALE. */
int tree_dir_key_tx(struct cache *cache, uint64_t ino, struct buf *key);
uint64_t tree_parent_tx(struct cache *cache, uint64_t ino); /* of a directory; the root's is itself, 0: none */
int tree_start(struct cache *cache);
void tree_stop(struct cache *cache);
/* Makes the directories above a key where they are missing (implicit ones, known, default mode), returns the parent. */
uint64_t tree_make_parents_tx(struct cache *cache, const char *key, bool tell, const char **last_name, size_t *last_length);

#endif

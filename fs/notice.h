/*
 * fs/notice.h: telling the kernel what it must forget, because somebody else changed it.
 *
 * A notice waits in the kernel for the directory's lock or for locked pages, and these may be held by a request that we are to
 * answer; so notices are sent by four threads of their own that no request waits for, each with the inodes that hash to it.
 * The functions that ask for one only queue it, and may be called from any thread. Equal ones are sent once. A notice about an
 * inode that the kernel does not know is dropped (node.h).
 *
 * What is sent:
 *   a name     the directory's cached listing and attributes, then the name's entry (ENOENT is normal, and then the kernel
 *              drops no listing, hence both). Never an entry of a directory that stays: that would detach mounts below it.
 *   attributes the inode's attributes; its pages stay
 *   content    attributes and pages
 *
 * The queue is bounded by NOTICE_MAX names. One more is lost, counted and logged: the kernel may then show its old entry
 * until that times out.
 */
#ifndef R2FS_FS_NOTICE_H
#define R2FS_FS_NOTICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cache/cache.h"

#define NOTICE_MAX (1u << 19)

struct fuse_session;
struct nodes;
struct notices;

struct notices *notice_queue_new(void); /* NULL: no memory */
/* Until now nothing is queued: there is no kernel that could hold anything. 0 or -errno. */
int notice_start(struct notices *notices, struct nodes *nodes, struct fuse_session *session);
/* Nothing is queued any more, and the threads end. The connection must be dead, or a notice in the kernel may wait for long. */
void notice_stop(struct notices *notices);
/* When the cache, which calls the functions below, is closed. NULL is legal. */
void notice_queue_free(struct notices *notices);

/* What struct cache_events calls; arg is the struct notices. */
void notice_name(void *arg, uint64_t parent, const char *name, size_t length, bool directory_gone);
void notice_attr(void *arg, uint64_t ino);
void notice_content(void *arg, uint64_t ino);

/*
 * An answer that was computed before a change, and arrives after the notice about it, would leave the kernel with old
 * attributes. So whoever gives the kernel attributes of an inode takes the mark before asking the cache, counts the lookup
 * (node_look), and then calls notice_since: a change in between is told (again).
 */
uint64_t notice_mark(const struct notices *notices);
void notice_since(struct notices *notices, uint64_t mark, uint64_t ino);

struct notice_stats {
    uint64_t sent, lost;
    size_t queued;
};
void notice_get_stats(struct notices *notices, struct notice_stats *stats);

#endif

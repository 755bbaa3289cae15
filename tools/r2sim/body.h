#ifndef R2SIM_BODY_H
#define R2SIM_BODY_H
/*
 * What objects hold.
 *
 * A blob is one uploaded run of bytes, in memory or in a file DIR/blobs/ID; it never changes once it is finished, and its file
 * goes with its last reference. A body is a list of ranges of blobs: a copied object shares its blobs, a completed multipart
 * upload refers to its parts', and a copied part to a range of its source. References may be taken and dropped by any thread.
 */
#include "tools/r2sim/mem.h"

#include <stdatomic.h>

struct blobs { /* where blobs live; one a process */
	char *dir; /* NULL: in memory */
	atomic_uint_fast64_t next_id;
	atomic_bool keep_files; /* set while closing, so that dropping the last references leaves the files */
	atomic_uint_fast64_t bytes; /* held at present */
};

struct blob {
	struct blobs *owner;
	atomic_uint refs;
	uint64_t id, size;
	char *data;
};

struct body {
	atomic_uint refs;
	uint64_t size;
	size_t n;
	struct body_range {
		struct blob *blob;
		uint64_t offset, length;
	} range[];
};

/* Receives one upload. write returns 0 or -errno (ENOSPC, ENOMEM); finish turns it into a blob and abandon drops it. */
struct blob_writer {
	struct blob *blob;
	uint64_t room;
	int fd;
};
void blob_writer_begin(struct blob_writer *w, struct blobs *owner, uint64_t expected_size);
int blob_writer_write(struct blob_writer *w, const void *data, size_t len);
struct blob *blob_writer_finish(struct blob_writer *w);
void blob_writer_abandon(struct blob_writer *w);

struct blob *blob_reopen(struct blobs *owner, uint64_t id); /* the file of an earlier run; NULL when it is not there */
struct blob *blob_get(struct blob *blob);
void blob_put(struct blob *blob);

struct body *body_new(struct blob *blob); /* takes over the reference; NULL is an empty body */
/* The bytes [offset, offset + length) of each of n bodies, one after the other. Takes its own references. */
struct body *body_join(struct body *const *bodies, size_t n);
struct body *body_slice(struct body *from, uint64_t offset, uint64_t length);
struct body *body_get(struct body *body);
void body_put(struct body *body);
/* Reads up to len bytes; what was read, less than len only at the end, or -errno. */
int64_t body_read(const struct body *body, uint64_t offset, void *to, size_t len);
/* The bytes when they lie in memory in one piece, else NULL. Valid while the reference to the body is held. */
const char *body_memory(const struct body *body, uint64_t offset, uint64_t length);
#endif

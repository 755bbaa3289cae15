#ifndef R2SIM_BLOB_H
#define R2SIM_BLOB_H
/*
 * A blob is one uploaded run of bytes, in memory or in a file DIR/blobs/ID; it never changes once it is finished, and its file goes
 * with its last reference. References may be taken and dropped by any thread.
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
/* Reads len bytes, which must lie inside; 0 or -errno. */
int blob_read(const struct blob *blob, uint64_t offset, char *to, size_t len);
#endif

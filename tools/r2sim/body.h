#ifndef R2SIM_BODY_H
#define R2SIM_BODY_H
/*
 * What objects hold: a list of ranges of blobs. A copied object shares its blobs, a completed multipart upload refers to its parts',
 * and a copied part to a range of its source. References may be taken and dropped by any thread.
 */
#include "tools/r2sim/blob.h"

struct body {
	atomic_uint refs;
	uint64_t size;
	size_t n;
	struct body_range {
		struct blob *blob;
		uint64_t offset, length;
	} range[];
};

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

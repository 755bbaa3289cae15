#include "tools/r2sim/body.h"

#include <stdlib.h>
#include <string.h>

static struct body *body_alloc(size_t n) {
	struct body *body = mem_zero(sizeof *body + n * sizeof body->range[0]);
	atomic_init(&body->refs, 1);
	return body;
}

static void body_add(struct body *body, struct blob *blob, uint64_t offset, uint64_t length) {
	body->range[body->n++] = (struct body_range){.blob = blob, .offset = offset, .length = length};
	body->size += length;
}

struct body *body_new(struct blob *blob) {
	struct body *body = body_alloc(1);
	if (blob && blob->size)
		body_add(body, blob, 0, blob->size);
	else
		blob_put(blob);
	return body;
}

struct body *body_join(struct body *const *bodies, size_t n) {
	size_t ranges = 0;
	for (size_t i = 0; i < n; i++)
		ranges += bodies[i]->n;
	struct body *body = body_alloc(ranges);
	for (size_t i = 0; i < n; i++)
		for (size_t j = 0; j < bodies[i]->n; j++) {
			const struct body_range *r = &bodies[i]->range[j];
			body_add(body, blob_get(r->blob), r->offset, r->length);
		}
	return body;
}

struct body *body_slice(struct body *from, uint64_t offset, uint64_t length) {
	struct body *body = body_alloc(from->n);
	uint64_t start = 0;
	for (size_t i = 0; i < from->n; i++) {
		const struct body_range *r = &from->range[i];
		uint64_t lo = offset > start ? offset - start : 0;
		uint64_t hi = offset + length > start ? offset + length - start : 0;
		if (hi > r->length)
			hi = r->length;
		if (lo < hi)
			body_add(body, blob_get(r->blob), r->offset + lo, hi - lo);
		start += r->length;
	}
	return body;
}

struct body *body_get(struct body *body) {
	atomic_fetch_add(&body->refs, 1);
	return body;
}

void body_put(struct body *body) {
	if (!body || atomic_fetch_sub(&body->refs, 1) != 1)
		return;
	for (size_t i = 0; i < body->n; i++)
		blob_put(body->range[i].blob);
	free(body);
}

int64_t body_read(const struct body *body, uint64_t offset, void *to, size_t len) {
	uint64_t start = 0;
	size_t done = 0;
	for (size_t i = 0; i < body->n && done < len; i++) {
		const struct body_range *r = &body->range[i];
		if (offset + done < start + r->length) {
			uint64_t inside = offset + done - start;
			size_t n = r->length - inside < len - done ? (size_t)(r->length - inside) : len - done;
			int rc = blob_read(r->blob, r->offset + inside, (char *)to + done, n);
			if (rc)
				return rc;
			done += n;
		}
		start += r->length;
	}
	return (int64_t)done;
}

const char *body_memory(const struct body *body, uint64_t offset, uint64_t length) {
	if (!length)
		return "";
	if (body->n != 1 || !body->range[0].blob->data || offset + length > body->range[0].length)
		return NULL;
	return body->range[0].blob->data + body->range[0].offset + offset;
}

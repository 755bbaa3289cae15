#include "tools/r2sim/body.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char *blob_path(const struct blobs *owner, uint64_t id) {
	return mem_printf("%s/blobs/%llx", owner->dir, (unsigned long long)id);
}

void blob_writer_begin(struct blob_writer *w, struct blobs *owner, uint64_t expected_size) {
	struct blob *blob = mem_zero(sizeof *blob);
	blob->owner = owner;
	atomic_init(&blob->refs, 1);
	blob->id = atomic_fetch_add(&owner->next_id, 1);
	*w = (struct blob_writer){.blob = blob, .room = 0, .fd = -1};
	/* An untouched page costs nothing, so a large announced size is no promise to hold it. */
	if (!owner->dir && expected_size && (blob->data = malloc(expected_size)))
		w->room = expected_size;
}

int blob_writer_write(struct blob_writer *w, const void *data, size_t len) {
	struct blob *blob = w->blob;
	if (!blob->owner->dir) {
		if (blob->size + len > w->room) {
			uint64_t room = (blob->size + len) * 3 / 2;
			char *more = realloc(blob->data, room);
			if (!more)
				return -ENOMEM;
			blob->data = more;
			w->room = room;
		}
		memcpy(blob->data + blob->size, data, len);
		blob->size += len;
		atomic_fetch_add(&blob->owner->bytes, len);
		return 0;
	}
	if (w->fd < 0) {
		char *path = blob_path(blob->owner, blob->id);
		w->fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
		free(path);
		if (w->fd < 0)
			return -errno;
	}
	for (size_t done = 0; done < len;) {
		ssize_t n = write(w->fd, (const char *)data + done, len - done);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		done += (size_t)n;
		blob->size += (uint64_t)n;
		atomic_fetch_add(&blob->owner->bytes, (uint64_t)n);
	}
	return 0;
}

struct blob *blob_writer_finish(struct blob_writer *w) {
	if (w->fd >= 0)
		close(w->fd);
	struct blob *blob = w->blob;
	*w = (struct blob_writer){.fd = -1};
	return blob;
}

void blob_writer_abandon(struct blob_writer *w) {
	if (w->blob)
		blob_put(blob_writer_finish(w));
}

struct blob *blob_reopen(struct blobs *owner, uint64_t id) {
	char *path = blob_path(owner, id);
	struct stat st;
	int rc = stat(path, &st);
	free(path);
	if (rc)
		return NULL;
	struct blob *blob = mem_zero(sizeof *blob);
	blob->owner = owner;
	atomic_init(&blob->refs, 1);
	blob->id = id;
	blob->size = (uint64_t)st.st_size;
	atomic_fetch_add(&owner->bytes, blob->size);
	if (id >= atomic_load(&owner->next_id))
		atomic_store(&owner->next_id, id + 1);
	return blob;
}

struct blob *blob_get(struct blob *blob) {
	atomic_fetch_add(&blob->refs, 1);
	return blob;
}

void blob_put(struct blob *blob) {
	if (!blob || atomic_fetch_sub(&blob->refs, 1) != 1)
		return;
	atomic_fetch_sub(&blob->owner->bytes, blob->size);
	if (blob->owner->dir && blob->size && !atomic_load(&blob->owner->keep_files)) {
		char *path = blob_path(blob->owner, blob->id);
		if (unlink(path))
			fprintf(stderr, "r2sim: %s: %s\n", path, strerror(errno));
		free(path);
	}
	free(blob->data);
	free(blob);
}

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

static int body_read_blob(const struct blob *blob, uint64_t offset, char *to, size_t len) {
	if (blob->data) {
		memcpy(to, blob->data + offset, len);
		return 0;
	}
	char *path = blob_path(blob->owner, blob->id);
	int fd = open(path, O_RDONLY | O_CLOEXEC), rc = fd < 0 ? -errno : 0;
	free(path);
	for (size_t done = 0; !rc && done < len;) {
		ssize_t n = pread(fd, to + done, len - done, (off_t)(offset + done));
		if (n > 0)
			done += (size_t)n;
		else if (!n)
			rc = -EIO;
		else if (errno != EINTR)
			rc = -errno;
	}
	if (fd >= 0)
		close(fd);
	return rc;
}

int64_t body_read(const struct body *body, uint64_t offset, void *to, size_t len) {
	uint64_t start = 0;
	size_t done = 0;
	for (size_t i = 0; i < body->n && done < len; i++) {
		const struct body_range *r = &body->range[i];
		if (offset + done < start + r->length) {
			uint64_t inside = offset + done - start;
			size_t n = r->length - inside < len - done ? (size_t)(r->length - inside) : len - done;
			int rc = body_read_blob(r->blob, r->offset + inside, (char *)to + done, n);
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

#include "tools/r2sim/blob.h"

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

int blob_read(const struct blob *blob, uint64_t offset, char *to, size_t len) {
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

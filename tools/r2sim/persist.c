#include "tools/r2sim/persist.h"

#include "tools/r2sim/text.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

/* A line is {"op": "bucket" | "object" | "removed" | "upload" | "part", "bucket": NAME, ...}. */

static void persist_line(struct store *s, json_t *line) {
	char *text = json_dumps(line, JSON_COMPACT | JSON_ENSURE_ASCII);
	json_decref(line);
	struct text out = {0};
	text_add(&out, text ? text : "{}");
	text_char(&out, '\n');
	if (!text || write(s->index_fd, out.data, out.len) != (ssize_t)out.len) {
		fprintf(stderr, "r2sim: %s/index: %s\n", s->blobs.dir, text ? strerror(errno) : "not representable as JSON");
		abort();
	}
	free(text);
	text_free(&out);
}

static json_t *persist_fields(const struct fields *f) {
	json_t *pairs = json_array();
	for (size_t i = 0; i < f->n; i++)
		json_array_append_new(pairs, json_pack("[s, s]", f->v[i].name, f->v[i].value));
	return pairs;
}

static json_t *persist_body(const struct body *body) {
	json_t *ranges = json_array();
	for (size_t i = 0; i < body->n; i++) {
		const struct body_range *r = &body->range[i];
		json_array_append_new(ranges, json_pack("[I, I, I]", (json_int_t)r->blob->id, (json_int_t)r->offset, (json_int_t)r->length));
	}
	return ranges;
}

void persist_bucket(struct store *s, const struct bucket *b, bool gone) {
	if (s->index_fd >= 0)
		persist_line(s, json_pack("{s:s, s:s, s:I, s:b}", "op", "bucket", "bucket", b->name, "ms", (json_int_t)b->created_ms, "gone", gone));
}

void persist_object(struct store *s, const struct bucket *b, const struct object *o) {
	if (s->index_fd >= 0)
		persist_line(s, json_pack("{s:s, s:s, s:s, s:s, s:I, s:o, s:o, s:o}", "op", "object", "bucket", b->name, "key", o->key, "etag", o->etag,
		    "ms", (json_int_t)o->modified_ms, "meta", persist_fields(&o->meta), "headers", persist_fields(&o->headers), "body",
		    persist_body(o->body)));
}

void persist_removed(struct store *s, const struct bucket *b, const char *key) {
	if (s->index_fd >= 0)
		persist_line(s, json_pack("{s:s, s:s, s:s}", "op", "removed", "bucket", b->name, "key", key));
}

void persist_upload(struct store *s, const struct bucket *b, const struct upload *u, bool gone) {
	if (s->index_fd >= 0)
		persist_line(s, json_pack("{s:s, s:s, s:s, s:s, s:I, s:b, s:o, s:o}", "op", "upload", "bucket", b->name, "key", u->key, "id", u->id,
		    "ms", (json_int_t)u->started_ms, "gone", gone, "meta", persist_fields(&u->meta), "headers", persist_fields(&u->headers)));
}

void persist_part(struct store *s, const struct bucket *b, const struct upload *u, const struct part *p) {
	if (s->index_fd >= 0)
		persist_line(s, json_pack("{s:s, s:s, s:s, s:s, s:i, s:s, s:I, s:o, s:o}", "op", "part", "bucket", b->name, "key", u->key, "id", u->id,
		    "number", (int)p->number, "etag", p->etag, "ms", (json_int_t)p->modified_ms, "checksums", persist_fields(&p->checksums), "body",
		    persist_body(p->body)));
}

/* Blobs found in the index, so that those shared by several objects are opened once. */
struct persist_blob {
	uint64_t id;
	struct blob *blob;
	UT_hash_handle hh;
};

struct persist_reader {
	struct store *store;
	struct persist_blob *blobs;
};

static const char *persist_string(const json_t *line, const char *name) {
	const char *value = json_string_value(json_object_get(line, name));
	return value ? value : "";
}

static void persist_read_fields(struct fields *to, const json_t *line, const char *name) {
	size_t i;
	json_t *pair;
	json_array_foreach(json_object_get(line, name), i, pair) {
		const char *key = json_string_value(json_array_get(pair, 0)), *value = json_string_value(json_array_get(pair, 1));
		if (key && value)
			fields_add(to, key, value);
	}
}

static struct blob *persist_read_blob(struct persist_reader *r, uint64_t id) {
	struct persist_blob *known;
	HASH_FIND(hh, r->blobs, &id, sizeof id, known);
	if (!known) {
		struct blob *blob = blob_reopen(&r->store->blobs, id);
		if (!blob)
			return NULL;
		known = mem_zero(sizeof *known);
		known->id = id;
		known->blob = blob;
		HASH_ADD(hh, r->blobs, id, sizeof known->id, known);
	}
	return known->blob;
}

/* NULL when a blob is missing: it went with a version that a later line of the index replaced. */
static struct body *persist_read_body(struct persist_reader *r, const json_t *line) {
	const json_t *ranges = json_object_get(line, "body");
	size_t n = json_array_size(ranges);
	struct body **pieces = mem_zero(n * sizeof *pieces);
	struct body *whole = NULL;
	size_t done = 0;
	for (; done < n; done++) {
		const json_t *range = json_array_get(ranges, done);
		struct blob *blob = persist_read_blob(r, (uint64_t)json_integer_value(json_array_get(range, 0)));
		if (!blob)
			break;
		struct body *all = body_new(blob_get(blob));
		pieces[done] = body_slice(all, (uint64_t)json_integer_value(json_array_get(range, 1)), (uint64_t)json_integer_value(json_array_get(range, 2)));
		body_put(all);
	}
	if (done == n)
		whole = body_join(pieces, n);
	for (size_t i = 0; i < done; i++)
		body_put(pieces[i]);
	free(pieces);
	return whole;
}

static void persist_read_upload(struct store *s, struct bucket *b, const json_t *line) {
	const char *key = persist_string(line, "key"), *id = persist_string(line, "id");
	if (json_is_true(json_object_get(line, "gone"))) {
		struct upload *u = store_upload_find(b, key, id);
		if (u)
			store_upload_remove(s, b, u);
		return;
	}
	struct upload *u = store_upload_add(s, b, key, (int64_t)json_integer_value(json_object_get(line, "ms")));
	HASH_DEL(b->uploads, u);
	free(u->id);
	u->id = mem_copy(id);
	HASH_ADD_KEYPTR(hh, b->uploads, u->id, strlen(u->id), u);
	persist_read_fields(&u->meta, line, "meta");
	persist_read_fields(&u->headers, line, "headers");
}

static void persist_read_line(struct persist_reader *r, const json_t *line) {
	struct store *s = r->store;
	const char *op = persist_string(line, "op"), *key = persist_string(line, "key"), *etag = persist_string(line, "etag");
	int64_t ms = (int64_t)json_integer_value(json_object_get(line, "ms"));
	struct bucket *b = store_bucket(s, persist_string(line, "bucket"));
	if (!strcmp(op, "bucket")) {
		if (!json_is_true(json_object_get(line, "gone")))
			store_bucket_add(s, persist_string(line, "bucket"), ms);
		else if (b)
			store_bucket_remove(s, b);
	} else if (!b) {
		return;
	} else if (!strcmp(op, "removed")) {
		store_remove(s, b, key);
	} else if (!strcmp(op, "object")) {
		struct body *body = persist_read_body(r, line);
		if (!body) {
			store_remove(s, b, key);
			return;
		}
		struct object *o = store_object_new(key);
		snprintf(o->etag, sizeof o->etag, "%s", etag);
		o->modified_ms = o->born_ms = ms;
		o->body = body;
		persist_read_fields(&o->meta, line, "meta");
		persist_read_fields(&o->headers, line, "headers");
		store_put(s, b, o);
	} else if (!strcmp(op, "upload")) {
		persist_read_upload(s, b, line);
	} else if (!strcmp(op, "part")) {
		struct upload *u = store_upload_find(b, key, persist_string(line, "id"));
		struct body *body = u ? persist_read_body(r, line) : NULL;
		struct fields checksums = {0};
		persist_read_fields(&checksums, line, "checksums");
		if (body)
			store_part_put(s, b, u, (unsigned)json_integer_value(json_object_get(line, "number")), etag, body, &checksums, ms);
		fields_free(&checksums);
	}
}

/* Ends the references of the reader; a blob that nobody else holds loses its file. Then files that no line named. */
static void persist_sweep(struct persist_reader *r, const char *dir) {
	char *path = mem_printf("%s/blobs", dir);
	DIR *d = opendir(path);
	/* The stream is this function's own. */
	/* cppcheck-suppress readdirCalled */
	for (struct dirent *e; d && (e = readdir(d));) {
		char *end;
		uint64_t id = strtoull(e->d_name, &end, 16);
		struct persist_blob *known;
		HASH_FIND(hh, r->blobs, &id, sizeof id, known);
		if (e->d_name[0] != '.' && !known)
			unlinkat(dirfd(d), e->d_name, 0);
	}
	if (d)
		closedir(d);
	free(path);
	struct persist_blob *known = r->blobs, *next;
	HASH_CLEAR(hh, r->blobs);
	for (; known; known = next) {
		next = known->hh.next;
		blob_put(known->blob);
		free(known);
	}
}

static void persist_write_all(struct store *s) {
	for (const struct bucket *b = s->buckets; b; b = b->hh.next) {
		persist_bucket(s, b, false);
		for (size_t i = 0; i < b->n; i++)
			persist_object(s, b, b->objects[i]);
		for (const struct upload *u = b->uploads; u; u = u->hh.next) {
			persist_upload(s, b, u, false);
			for (const struct part *p = u->parts; p; p = p->hh.next)
				persist_part(s, b, u, p);
		}
	}
}

static int persist_open_index(struct store *s, const char *path, const char *fresh) {
	s->index_fd = open(fresh, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0600);
	if (s->index_fd < 0)
		return -errno;
	persist_write_all(s);
	return rename(fresh, path) ? -errno : 0;
}

int persist_load(struct store *s, const char *dir) {
	struct persist_reader reader = {.store = s};
	char *path = mem_printf("%s/index", dir), *fresh = mem_printf("%s/index.new", dir), *blobs = mem_printf("%s/blobs", dir);
	int rc = 0;
	if ((mkdir(dir, 0700) && errno != EEXIST) || (mkdir(blobs, 0700) && errno != EEXIST)) {
		rc = -errno;
		goto out;
	}
	s->blobs.dir = mem_copy(dir);
	/* Two servers on one directory would lose each other's objects. */
	s->lock_fd = open(blobs, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (s->lock_fd < 0 || flock(s->lock_fd, LOCK_EX | LOCK_NB)) {
		rc = -errno;
		goto out;
	}
	FILE *f = fopen(path, "re");
	/* Dropping a version while reading must not unlink its blob: a later line may share it. The sweep does that. */
	atomic_store(&s->blobs.keep_files, true);
	char *line = NULL;
	size_t size = 0;
	for (ssize_t n; f && (n = getline(&line, &size, f)) > 0;) {
		json_t *json = line[n - 1] == '\n' ? json_loadb(line, (size_t)n, 0, NULL) : NULL;
		if (json)
			persist_read_line(&reader, json);
		json_decref(json);
	}
	free(line);
	if (f)
		fclose(f);
	atomic_store(&s->blobs.keep_files, false);
	persist_sweep(&reader, dir);
	/* Versions of an earlier run are nobody's past: their times of death are not known. */
	for (struct bucket *b = s->buckets; b; b = b->hh.next)
		while (b->dead_n)
			store_object_put(b->dead[--b->dead_n]);
	rc = persist_open_index(s, path, fresh);
out:
	free(path);
	free(fresh);
	free(blobs);
	return rc;
}

void persist_close(struct store *s) {
	if (s->index_fd >= 0)
		close(s->index_fd);
	if (s->lock_fd >= 0)
		close(s->lock_fd);
	s->index_fd = s->lock_fd = -1;
}

#include "tools/r2sim/store.h"

#include "tools/r2sim/persist.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

/* Enough for any listing out of date that a test asks for, without growing through a long campaign. */
#define STORE_DEAD_MAX 100000

void store_lock(struct store *s) {
	pthread_mutex_lock(&s->mutex);
}

void store_unlock(struct store *s) {
	pthread_mutex_unlock(&s->mutex);
}

static int64_t store_now_ms(void) {
	struct timespec ts;
	clock_gettime(CLOCK_REALTIME, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

struct object *store_object_new(const char *key) {
	struct object *o = mem_zero(sizeof *o);
	atomic_init(&o->refs, 1);
	o->key = mem_copy(key);
	return o;
}

struct object *store_object_get(struct object *o) {
	atomic_fetch_add(&o->refs, 1);
	return o;
}

void store_object_put(struct object *o) {
	if (!o || atomic_fetch_sub(&o->refs, 1) != 1)
		return;
	free(o->key);
	fields_free(&o->meta);
	fields_free(&o->headers);
	body_put(o->body);
	free(o);
}

static void store_part_free(struct part *p) {
	body_put(p->body);
	fields_free(&p->checksums);
	free(p);
}

static void store_upload_free(struct upload *u) {
	struct part *p = u->parts, *next;
	HASH_CLEAR(hh, u->parts);
	for (; p; p = next) {
		next = p->hh.next;
		store_part_free(p);
	}
	free(u->id);
	free(u->key);
	fields_free(&u->meta);
	fields_free(&u->headers);
	free(u);
}

static void store_bucket_free(struct bucket *b) {
	for (size_t i = 0; i < b->n; i++)
		store_object_put(b->objects[i]);
	for (size_t i = 0; i < b->dead_n; i++)
		store_object_put(b->dead[i]);
	struct upload *u = b->uploads, *next;
	HASH_CLEAR(hh, b->uploads);
	for (; u; u = next) {
		next = u->hh.next;
		store_upload_free(u);
	}
	free(b->objects);
	free(b->dead);
	free(b->name);
	free(b);
}

int store_open(struct store *s, const char *dir) {
	*s = (struct store){.index_fd = -1, .lock_fd = -1};
	pthread_mutex_init(&s->mutex, NULL);
	atomic_init(&s->blobs.next_id, 1);
	return dir ? persist_load(s, dir) : 0;
}

void store_close(struct store *s) {
	atomic_store(&s->blobs.keep_files, true);
	persist_close(s);
	struct bucket *b = s->buckets, *next;
	HASH_CLEAR(hh, s->buckets);
	for (; b; b = next) {
		next = b->hh.next;
		store_bucket_free(b);
	}
	free(s->blobs.dir);
	pthread_mutex_destroy(&s->mutex);
}

struct bucket *store_bucket(struct store *s, const char *name) {
	struct bucket *b;
	HASH_FIND_STR(s->buckets, name, b);
	return b;
}

struct bucket *store_bucket_add(struct store *s, const char *name, int64_t now_ms) {
	struct bucket *b = store_bucket(s, name);
	if (b)
		return b;
	b = mem_zero(sizeof *b);
	b->name = mem_copy(name);
	b->created_ms = now_ms;
	HASH_ADD_KEYPTR(hh, s->buckets, b->name, strlen(b->name), b);
	persist_bucket(s, b, false);
	return b;
}

void store_bucket_remove(struct store *s, struct bucket *b) {
	persist_bucket(s, b, true);
	HASH_DEL(s->buckets, b);
	store_bucket_free(b);
}

size_t store_lower_bound(const struct bucket *b, const char *key) {
	size_t lo = 0, hi = b->n;
	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;
		if (strcmp(b->objects[mid]->key, key) < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

struct object *store_find(const struct bucket *b, const char *key) {
	size_t i = store_lower_bound(b, key);
	return i < b->n && !strcmp(b->objects[i]->key, key) ? b->objects[i] : NULL;
}

/* Keeps what a listing shows of a version that is no longer current; its body goes as soon as nobody reads it. */
static void store_bury(struct bucket *b, struct object *o, int64_t now_ms) {
	struct object *ghost = store_object_new(o->key);
	memcpy(ghost->etag, o->etag, sizeof ghost->etag);
	ghost->modified_ms = o->modified_ms;
	ghost->born_ms = o->born_ms;
	ghost->died_ms = now_ms;
	/* The size without the bytes. */
	ghost->body = body_new(NULL);
	ghost->body->size = o->body->size;
	if (b->dead_n == STORE_DEAD_MAX) {
		size_t drop = STORE_DEAD_MAX / 4;
		for (size_t i = 0; i < drop; i++)
			store_object_put(b->dead[i]);
		memmove(b->dead, b->dead + drop, (b->dead_n - drop) * sizeof *b->dead);
		b->dead_n -= drop;
	}
	if (b->dead_n == b->dead_size) {
		b->dead_size = b->dead_size ? b->dead_size * 2 : 64;
		b->dead = mem_grow(b->dead, b->dead_size * sizeof *b->dead);
	}
	b->dead[b->dead_n++] = ghost;
	store_object_put(o);
}

void store_put(struct store *s, struct bucket *b, struct object *o) {
	int64_t now = store_now_ms();
	if (!o->born_ms)
		o->born_ms = now;
	persist_object(s, b, o);
	size_t i = store_lower_bound(b, o->key);
	if (i < b->n && !strcmp(b->objects[i]->key, o->key)) {
		store_bury(b, b->objects[i], now);
		b->objects[i] = o;
		return;
	}
	if (b->n == b->size) {
		b->size = b->size ? b->size * 2 : 256;
		b->objects = mem_grow(b->objects, b->size * sizeof *b->objects);
	}
	memmove(b->objects + i + 1, b->objects + i, (b->n - i) * sizeof *b->objects);
	b->objects[i] = o;
	b->n++;
}

void store_remove(struct store *s, struct bucket *b, const char *key) {
	size_t i = store_lower_bound(b, key);
	if (i == b->n || strcmp(b->objects[i]->key, key) != 0)
		return;
	persist_removed(s, b, key);
	struct object *o = b->objects[i];
	b->n--;
	memmove(b->objects + i, b->objects + i + 1, (b->n - i) * sizeof *b->objects);
	store_bury(b, o, store_now_ms());
}

uint64_t store_bytes(const struct bucket *b) {
	uint64_t sum = 0;
	for (size_t i = 0; i < b->n; i++)
		sum += b->objects[i]->body->size;
	return sum;
}

struct upload *store_upload_add(struct store *s, struct bucket *b, const char *key, int64_t now_ms) {
	struct upload *u = mem_zero(sizeof *u);
	/* Never used twice, also not after a restart: a stale id must answer NoSuchUpload. */
	u->id = mem_printf("U%llx-%llx", (unsigned long long)store_now_ms(), (unsigned long long)s->next_upload++);
	u->key = mem_copy(key);
	u->started_ms = now_ms;
	HASH_ADD_KEYPTR(hh, b->uploads, u->id, strlen(u->id), u);
	return u;
}

void store_upload_saved(struct store *s, struct bucket *b, struct upload *u) {
	persist_upload(s, b, u, false);
}

struct upload *store_upload_find(const struct bucket *b, const char *key, const char *id) {
	struct upload *u;
	HASH_FIND_STR(b->uploads, id, u);
	return u && !strcmp(u->key, key) ? u : NULL;
}

void store_upload_remove(struct store *s, struct bucket *b, struct upload *u) {
	persist_upload(s, b, u, true);
	HASH_DEL(b->uploads, u);
	store_upload_free(u);
}

struct part *store_part_put(struct store *s, struct bucket *b, struct upload *u, unsigned number, const char *etag, struct body *body,
    struct fields *checksums, int64_t now_ms) {
	struct part *p;
	HASH_FIND(hh, u->parts, &number, sizeof number, p);
	if (p) {
		HASH_DEL(u->parts, p);
		store_part_free(p);
	}
	p = mem_zero(sizeof *p);
	p->number = number;
	memcpy(p->etag, etag, strnlen(etag, sizeof p->etag - 1));
	p->modified_ms = now_ms;
	p->body = body;
	p->checksums = *checksums;
	*checksums = (struct fields){0};
	HASH_ADD(hh, u->parts, number, sizeof p->number, p);
	persist_part(s, b, u, p);
	return p;
}

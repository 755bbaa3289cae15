#include "tools/r2sim/record.h"

#include "tools/r2sim/sim.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* More keys than one interval of the rate limit can see written. */
#define RECORD_WRITES_MAX 50000

void record_init(struct record *r) {
	*r = (struct record){.next_request = 1, .next_change = 1};
	pthread_mutex_init(&r->mutex, NULL);
}

static void *record_slot(struct record_ring *ring, size_t entry, size_t i) {
	return (char *)ring->entries + (ring->first + i) % ring->size * entry;
}

static void record_free_request(struct record_request *q) {
	char *owned[] = {q->bucket, q->key, q->query, q->code, q->range, q->condition, q->access_key, q->fault};
	for (size_t i = 0; i < sizeof owned / sizeof *owned; i++)
		free(owned[i]);
}

static void record_free_change(struct record_change *c) {
	char *owned[] = {c->bucket, c->key, c->etag, c->previous_etag, c->code, c->upload, c->client, c->fault, c->condition};
	for (size_t i = 0; i < sizeof owned / sizeof *owned; i++)
		free(owned[i]);
	fields_free(&c->meta);
}

static void record_clear(struct record *r, bool journal) {
	for (size_t i = 0; i < r->requests.n; i++)
		record_free_request(record_slot(&r->requests, sizeof(struct record_request), i));
	r->requests.n = 0;
	for (size_t i = 0; journal && i < r->changes.n; i++)
		record_free_change(record_slot(&r->changes, sizeof(struct record_change), i));
	if (journal)
		r->changes.n = 0;
}

static void record_forget_writes(struct record_write **writes) {
	struct record_write *w = *writes, *next;
	HASH_CLEAR(hh, *writes);
	for (; w; w = next) {
		next = w->hh.next;
		free(w->name);
		free(w);
	}
}

void record_fini(struct record *r) {
	record_clear(r, true);
	free(r->requests.entries);
	free(r->changes.entries);
	record_forget_writes(&r->writes);
	record_forget_writes(&r->old_writes);
	pthread_mutex_destroy(&r->mutex);
}

/* Room for one more entry; at the maximum the oldest makes place, and *evicted says so. */
static void *record_push(struct record_ring *ring, size_t entry, bool *evicted) {
	*evicted = false;
	if (ring->n == ring->size && ring->size < RECORD_MAX) {
		size_t size = ring->size ? ring->size * 2 : 256;
		void *entries = mem_zero(size * entry);
		for (size_t i = 0; i < ring->n; i++)
			memcpy((char *)entries + i * entry, record_slot(ring, entry, i), entry);
		free(ring->entries);
		ring->entries = entries;
		ring->size = size;
		ring->first = 0;
	}
	if (ring->n == ring->size) {
		ring->first = (ring->first + 1) % ring->size;
		ring->n--;
		*evicted = true;
	}
	return record_slot(ring, entry, ring->n++);
}

static int64_t record_now_ms(void) {
	struct timespec ts;
	clock_gettime(CLOCK_REALTIME, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

void record_begin(struct record *r, struct exchange *ex) {
	pthread_mutex_lock(&r->mutex);
	ex->seq = r->next_request++;
	if (++r->in_flight > r->in_flight_max)
		r->in_flight_max = r->in_flight;
	pthread_mutex_unlock(&r->mutex);
}

void record_end(struct record *r) {
	pthread_mutex_lock(&r->mutex);
	r->in_flight--;
	pthread_mutex_unlock(&r->mutex);
}

void record_connection(struct record *r) {
	pthread_mutex_lock(&r->mutex);
	r->connections++;
	pthread_mutex_unlock(&r->mutex);
}

void record_hanging(struct record *r, int change) {
	pthread_mutex_lock(&r->mutex);
	r->hanging += (uint64_t)(int64_t)change;
	pthread_mutex_unlock(&r->mutex);
}

/* Lies under a segment .r2fs: r2fs's own. */
static bool record_internal(const char *key) {
	return key && (!strncmp(key, ".r2fs/", 6) || strstr(key, "/.r2fs/"));
}

static char *record_condition(const struct exchange *ex) {
	static const char *const names[] = {"if-match", "if-none-match", "if-modified-since", "if-unmodified-since", "x-amz-copy-source",
	    "x-amz-copy-source-if-match", "x-amz-copy-source-if-none-match", "x-amz-copy-source-if-modified-since",
	    "x-amz-copy-source-if-unmodified-since", "x-amz-copy-source-range", "x-amz-metadata-directive", "cf-copy-destination-if-match",
	    "cf-copy-destination-if-none-match"};
	struct text t = {0};
	for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
		const char *value = exchange_header(ex, names[i]);
		if (value)
			text_printf(&t, "%s%s: %s", t.len ? ", " : "", names[i], value);
	}
	return t.len ? text_take(&t) : NULL;
}

void record_answer(struct record *r, struct exchange *ex, uint64_t bytes_out) {
	const char *query = strchr(ex->uri, '?');
	struct record_request q = {.seq = ex->seq,
	    .bytes_in = ex->received,
	    .bytes_out = bytes_out,
	    .ms = record_now_ms(),
	    .duration_us = timer_now_us() - ex->started_us,
	    .kind = ex->kind,
	    .status = ex->reply.status,
	    .port = ex->port,
	    .bucket = mem_copy(ex->bucket),
	    .key = mem_copy(ex->key),
	    .query = query ? mem_copy(query + 1) : NULL,
	    .code = *ex->reply.code ? mem_copy(ex->reply.code) : NULL,
	    .range = mem_copy(exchange_header(ex, "range")),
	    .condition = record_condition(ex),
	    .access_key = ex->credential ? mem_copy(ex->credential->access_key) : NULL,
	    .fault = mem_copy(ex->fault)};
	const char *prefix = exchange_query(ex, "prefix");
	pthread_mutex_lock(&r->mutex);
	struct record_count *c = &r->counts[ex->kind];
	c->requests++;
	c->errors += ex->reply.status >= 400;
	c->bytes_in += q.bytes_in;
	c->bytes_out += bytes_out;
	c->internal += record_internal(ex->key) || (!ex->key && record_internal(prefix));
	bool evicted;
	struct record_request *slot = record_push(&r->requests, sizeof q, &evicted);
	if (evicted)
		record_free_request(slot);
	*slot = q;
	pthread_mutex_unlock(&r->mutex);
}

static void record_push_change(struct record *r, struct record_change *c) {
	bool evicted;
	pthread_mutex_lock(&r->mutex);
	c->seq = r->next_change++;
	struct record_change *slot = record_push(&r->changes, sizeof *c, &evicted);
	if (evicted)
		record_free_change(slot);
	*slot = *c;
	pthread_mutex_unlock(&r->mutex);
}

static char *record_client(const struct exchange *ex) {
	return ex->control ? mem_copy("control") : mem_printf("%s:%u", ex->credential ? ex->credential->access_key : "?", ex->port);
}

void record_change(struct exchange *ex, enum kind kind, const char *key, const struct object *o, const struct object *previous, const char *upload) {
	struct record_change c = {.request = ex->seq,
	    .size = o && o->body ? o->body->size : 0,
	    .ms = record_now_ms(),
	    .kind = kind,
	    .effect = true,
	    .bucket = mem_copy(ex->bucket),
	    .key = mem_copy(key),
	    .etag = o ? mem_copy(o->etag) : NULL,
	    .previous_etag = previous ? mem_copy(previous->etag) : NULL,
	    .upload = mem_copy(upload),
	    .client = record_client(ex),
	    .fault = mem_copy(ex->fault),
	    .condition = record_condition(ex)};
	if (o)
		fields_copy(&c.meta, &o->meta);
	ex->journalled = true;
	record_push_change(&ex->sim->record, &c);
}

void record_refused(struct exchange *ex) {
	struct record_change c = {.request = ex->seq,
	    .ms = record_now_ms(),
	    .kind = ex->kind,
	    .status = ex->reply.status,
	    .bucket = mem_copy(ex->bucket),
	    .key = mem_copy(ex->key),
	    .code = *ex->reply.code ? mem_copy(ex->reply.code) : NULL,
	    .upload = mem_copy(exchange_query(ex, "uploadId")),
	    .client = record_client(ex),
	    .fault = mem_copy(ex->fault),
	    .condition = record_condition(ex)};
	record_push_change(&ex->sim->record, &c);
}

bool record_write_allowed(struct record *r, const char *bucket, const char *key, int64_t interval_ms) {
	char *name = mem_printf("%s/%s", bucket, key);
	int64_t now = timer_now_us();
	struct record_write *w, *old;
	pthread_mutex_lock(&r->mutex);
	if (HASH_COUNT(r->writes) > RECORD_WRITES_MAX) {
		record_forget_writes(&r->old_writes);
		r->old_writes = r->writes;
		r->writes = NULL;
	}
	HASH_FIND_STR(r->writes, name, w);
	HASH_FIND_STR(r->old_writes, name, old);
	int64_t last = w ? w->us : old ? old->us : INT64_MIN / 2;
	bool allowed = now - last >= interval_ms * 1000;
	if (!w && allowed) {
		w = mem_zero(sizeof *w);
		w->name = name;
		name = NULL;
		HASH_ADD_KEYPTR(hh, r->writes, w->name, strlen(w->name), w);
	}
	if (w && allowed)
		w->us = now;
	pthread_mutex_unlock(&r->mutex);
	free(name);
	return allowed;
}

static void record_count_add(struct record_count *sum, const struct record_count *c) {
	sum->requests += c->requests;
	sum->errors += c->errors;
	sum->bytes_in += c->bytes_in;
	sum->bytes_out += c->bytes_out;
	sum->internal += c->internal;
}

static bool record_selected(const struct record_request *q, uint64_t since, const char *prefix, const char *exclude) {
	const char *key = q->key ? q->key : "";
	return q->seq > since && (!prefix || !strncmp(key, prefix, strlen(prefix))) && (!exclude || !strstr(key, exclude));
}

json_t *record_counts(struct record *r, uint64_t since, const char *prefix, const char *exclude) {
	struct record_count counts[KIND_COUNT] = {0}, total = {0};
	pthread_mutex_lock(&r->mutex);
	if (!since && !prefix && !exclude)
		memcpy(counts, r->counts, sizeof counts);
	else
		for (size_t i = 0; i < r->requests.n; i++) {
			const struct record_request *q = record_slot(&r->requests, sizeof *q, i);
			struct record_count one = {1, q->status >= 400, q->bytes_in, q->bytes_out, record_internal(q->key)};
			if (record_selected(q, since, prefix, exclude))
				record_count_add(&counts[q->kind], &one);
		}
	json_t *all = json_pack("{s:I, s:I, s:I, s:I, s:I, s:I}", "seq", (json_int_t)(r->next_request - 1), "journal_seq", (json_int_t)(r->next_change - 1),
	    "connections", (json_int_t)r->connections, "in_flight", (json_int_t)r->in_flight, "in_flight_max", (json_int_t)r->in_flight_max,
	    "hanging", (json_int_t)r->hanging);
	pthread_mutex_unlock(&r->mutex);
	json_t *kinds = json_object(), *detail = json_object();
	for (int kind = 0; kind < KIND_COUNT; kind++) {
		const struct record_count *c = &counts[kind];
		const char *name = exchange_kind_name((enum kind)kind);
		record_count_add(&total, c);
		json_object_set_new(kinds, name, json_integer((json_int_t)c->requests));
		if (c->requests)
			json_object_set_new(detail, name, json_pack("{s:I, s:I, s:I, s:I, s:I}", "requests", (json_int_t)c->requests, "errors", (json_int_t)c->errors,
			    "bytes_in", (json_int_t)c->bytes_in, "bytes_out", (json_int_t)c->bytes_out, "internal", (json_int_t)c->internal));
	}
	json_object_set_new(all, "requests", json_integer((json_int_t)total.requests));
	json_object_set_new(all, "errors", json_integer((json_int_t)total.errors));
	json_object_set_new(all, "bytes_in", json_integer((json_int_t)total.bytes_in));
	json_object_set_new(all, "bytes_out", json_integer((json_int_t)total.bytes_out));
	json_object_set_new(all, "internal", json_integer((json_int_t)total.internal));
	json_object_set_new(all, "kinds", kinds);
	json_object_set_new(all, "detail", detail);
	return all;
}

static void record_set(json_t *to, const char *name, const char *value) {
	if (!value)
		return;
	json_t *s = json_string(value);
	json_object_set_new(to, name, s ? s : json_string("(not UTF-8)"));
}

json_t *record_log(struct record *r, uint64_t since) {
	json_t *all = json_array();
	pthread_mutex_lock(&r->mutex);
	for (size_t i = 0; i < r->requests.n; i++) {
		const struct record_request *q = record_slot(&r->requests, sizeof *q, i);
		if (q->seq <= since)
			continue;
		json_t *e = json_pack("{s:I, s:I, s:I, s:s, s:i, s:I, s:I, s:I}", "seq", (json_int_t)q->seq, "ms", (json_int_t)q->ms, "us",
		    (json_int_t)q->duration_us, "kind", exchange_kind_name(q->kind), "status", q->status, "bytes_in", (json_int_t)q->bytes_in, "bytes_out",
		    (json_int_t)q->bytes_out, "port", (json_int_t)q->port);
		record_set(e, "bucket", q->bucket);
		record_set(e, "key", q->key);
		record_set(e, "query", q->query);
		record_set(e, "code", q->code);
		record_set(e, "range", q->range);
		record_set(e, "condition", q->condition);
		record_set(e, "access_key", q->access_key);
		record_set(e, "fault", q->fault);
		json_array_append_new(all, e);
	}
	pthread_mutex_unlock(&r->mutex);
	return all;
}

json_t *record_journal(struct record *r, uint64_t since) {
	json_t *all = json_array();
	pthread_mutex_lock(&r->mutex);
	for (size_t i = 0; i < r->changes.n; i++) {
		const struct record_change *c = record_slot(&r->changes, sizeof *c, i);
		if (c->seq <= since)
			continue;
		json_t *meta = json_object();
		for (size_t j = 0; j < c->meta.n; j++)
			record_set(meta, c->meta.v[j].name, c->meta.v[j].value);
		json_t *e = json_pack("{s:I, s:I, s:I, s:s, s:b, s:I, s:o}", "seq", (json_int_t)c->seq, "request", (json_int_t)c->request, "ms",
		    (json_int_t)c->ms, "kind", exchange_kind_name(c->kind), "effect", c->effect, "size", (json_int_t)c->size, "meta", meta);
		if (!c->effect)
			json_object_set_new(e, "status", json_integer(c->status));
		record_set(e, "bucket", c->bucket);
		record_set(e, "key", c->key);
		record_set(e, "etag", c->etag);
		record_set(e, "previous_etag", c->previous_etag);
		record_set(e, "code", c->code);
		record_set(e, "upload", c->upload);
		record_set(e, "client", c->client);
		record_set(e, "fault", c->fault);
		record_set(e, "condition", c->condition);
		json_array_append_new(all, e);
	}
	pthread_mutex_unlock(&r->mutex);
	return all;
}

void record_reset(struct record *r, bool journal) {
	pthread_mutex_lock(&r->mutex);
	record_clear(r, journal);
	memset(r->counts, 0, sizeof r->counts);
	r->connections = 0;
	r->in_flight_max = r->in_flight;
	pthread_mutex_unlock(&r->mutex);
}

/* GetObject, HeadObject and PutObject. */
#include "tools/r2sim/escape.h"
#include "tools/r2sim/gzip.h"
#include "tools/r2sim/ops.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* "bytes=A-B", "bytes=A-", "bytes=-N". 1: *offset and *length are set; 0: not a range, to be ignored; -1: not satisfiable. */
static int op_object_range(const char *range, uint64_t size, uint64_t *offset, uint64_t *length) {
	if (strncmp(range, "bytes=", 6) != 0 || strchr(range, ','))
		return 0;
	const char *first = range + 6, *dash = strchr(first, '-');
	if (!dash || strspn(first, "0123456789-") != strlen(first) || (dash == first && !dash[1]))
		return 0;
	if (dash == first) {
		uint64_t n = strtoull(dash + 1, NULL, 10);
		if (!n || !size)
			return -1;
		*length = n < size ? n : size;
		*offset = size - *length;
		return 1;
	}
	uint64_t from = strtoull(first, NULL, 10), to = dash[1] ? strtoull(dash + 1, NULL, 10) : size - 1;
	if (dash[1] && to < from)
		return 0;
	if (from >= size)
		return -1;
	if (to >= size)
		to = size - 1;
	*offset = from;
	*length = to - from + 1;
	return 1;
}

static void op_object_reply_headers(struct exchange *ex, const struct object *o) {
	char text[64];
	snprintf(text, sizeof text, "\"%s\"", o->etag);
	reply_header(ex, "ETag", text);
	escape_time_http(text, o->modified_ms);
	reply_header(ex, "Last-Modified", text);
	reply_header(ex, "Accept-Ranges", "bytes");
	if (!fields_get(&o->headers, "content-type"))
		reply_header(ex, "Content-Type", "application/octet-stream");
	fields_copy(&ex->reply.headers, &o->headers);
	for (size_t i = 0; i < o->meta.n; i++) {
		struct text value = {0};
		escape_2047(&value, o->meta.v[i].value);
		char *name = mem_printf("x-amz-meta-%s", o->meta.v[i].name);
		reply_header(ex, name, value.len ? value.data : "");
		free(name);
		text_free(&value);
	}
}

/* R2's edge decodes what was stored as gzip for a client that does not say it takes it. The length is then not the object's. */
static bool op_object_decoded(struct exchange *ex, const struct object *o) {
	const char *encoding = fields_get(&o->headers, "content-encoding"), *accept = exchange_header(ex, "accept-encoding");
	if (!ex->set.gzip_decode || !encoding || strcmp(encoding, "gzip") != 0 || (accept && strstr(accept, "gzip")))
		return false;
	struct text plain = {0};
	if (!gzip_decode(o->body, &plain)) {
		text_free(&plain);
		return false;
	}
	op_object_reply_headers(ex, o);
	fields_remove(&ex->reply.headers, "content-encoding");
	ex->reply.status = 200;
	ex->reply.text = plain;
	return true;
}

static void op_object_reply(struct exchange *ex, struct object *o) {
	uint64_t offset = 0, length = o->body->size;
	const char *range = exchange_header(ex, "range");
	int ranged = range ? op_object_range(range, o->body->size, &offset, &length) : 0;
	if (ranged < 0) {
		char text[64];
		reply_error(ex, "InvalidRange");
		snprintf(text, sizeof text, "bytes */%llu", (unsigned long long)o->body->size);
		reply_header(ex, "Content-Range", text);
		return;
	}
	reply_reset(&ex->reply);
	if (!ranged && ex->kind == KIND_GET && op_object_decoded(ex, o))
		return;
	op_object_reply_headers(ex, o);
	ex->reply.status = ranged ? 206 : 200;
	if (ranged) {
		char text[96];
		snprintf(text, sizeof text, "bytes %llu-%llu/%llu", (unsigned long long)offset, (unsigned long long)(offset + length - 1),
		    (unsigned long long)o->body->size);
		reply_header(ex, "Content-Range", text);
	}
	ex->reply.body = body_get(o->body);
	ex->reply.offset = offset;
	ex->reply.length = length;
}

void op_object_get(struct exchange *ex) {
	struct conditions conditions = op_common_conditions(ex);
	struct object *o = NULL;
	store_lock(&ex->sim->store);
	struct bucket *b = op_common_bucket(ex);
	if (b && !(o = store_find(b, ex->key)))
		reply_error(ex, "NoSuchKey");
	if (o)
		store_object_get(o);
	store_unlock(&ex->sim->store);
	if (!o)
		return;
	if (ex->set.ignore_get_conditions || op_common_check(ex, &conditions, o, true)) {
		op_object_reply(ex, o);
	} else if (ex->reply.status == 304) {
		op_object_reply_headers(ex, o);
	}
	store_object_put(o);
}

void op_object_put(struct exchange *ex) {
	struct conditions conditions = op_common_conditions(ex);
	char etag[64];
	struct object *o = store_object_new(ex->key);
	op_common_headers(ex, &o->headers, &o->meta);
	memcpy(o->etag, ex->md5_hex, sizeof ex->md5_hex);
	o->body = body_new(ex->blob);
	ex->blob = NULL;
	store_lock(&ex->sim->store);
	struct bucket *b = op_common_bucket(ex);
	if (b && (ex->set.ignore_put_conditions || op_common_check(ex, &conditions, store_find(b, ex->key), false)) &&
	    op_common_allow_write(ex, b, ex->key, o->body->size)) {
		reply_reset(&ex->reply);
		ex->reply.status = 200;
		snprintf(etag, sizeof etag, "\"%s\"", o->etag);
		reply_header(ex, "ETag", etag);
		op_common_publish(ex, b, o);
		o = NULL;
	}
	store_unlock(&ex->sim->store);
	store_object_put(o);
}

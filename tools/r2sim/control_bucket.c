/* What another client did: objects and buckets reached without a signature, past rate limits and faults. */
#include "tools/r2sim/control.h"
#include "tools/r2sim/escape.h"
#include "tools/r2sim/ops.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Splits BUCKET[/KEY] into the exchange. */
static bool control_bucket_names(struct exchange *ex, const char *rest, bool with_key) {
	const char *slash = strchrnul(rest, '/');
	ex->bucket = escape_unpercent(rest, (size_t)(slash - rest), false);
	ex->key = *slash ? escape_unpercent(slash + 1, strlen(slash + 1), false) : NULL;
	if (ex->bucket && *ex->bucket && (!with_key || (ex->key && *ex->key)))
		return true;
	control_error(ex, 400, "%s is no BUCKET%s", rest, with_key ? "/KEY" : "");
	return false;
}

void control_bucket_object(struct exchange *ex, const char *rest) {
	if (!control_bucket_names(ex, rest, true))
		return;
	if (!strcmp(ex->method, "PUT")) {
		ex->kind = KIND_PUT;
		op_object_put(ex);
	} else if (!strcmp(ex->method, "DELETE")) {
		ex->kind = KIND_DELETE;
		op_delete_one(ex);
	} else {
		/* The stored bytes, whatever their encoding. */
		ex->set.gzip_decode = false;
		ex->kind = KIND_GET;
		op_object_get(ex);
	}
}

static json_t *control_bucket_fields(const struct fields *f) {
	json_t *all = json_object();
	for (size_t i = 0; i < f->n; i++)
		json_object_set_new(all, f->v[i].name, json_string(f->v[i].value));
	return all;
}

/* The bucket named in the path, or NULL with a 404. With the store's lock held. */
static struct bucket *control_bucket_find(struct exchange *ex) {
	struct bucket *b = store_bucket(&ex->sim->store, ex->bucket);
	if (!b)
		control_error(ex, 404, "there is no bucket %s", ex->bucket);
	return b;
}

void control_bucket_dump(struct exchange *ex, const char *rest) {
	const char *prefix = exchange_query(ex, "prefix");
	if (!control_bucket_names(ex, rest, false))
		return;
	store_lock(&ex->sim->store);
	const struct bucket *b = control_bucket_find(ex);
	json_t *all = json_array();
	for (size_t i = b ? store_lower_bound(b, prefix ? prefix : "") : 0; b && i < b->n; i++) {
		const struct object *o = b->objects[i];
		if (prefix && strncmp(o->key, prefix, strlen(prefix)) != 0)
			break;
		const char *type = fields_get(&o->headers, "content-type");
		json_array_append_new(all, json_pack("{s:s, s:I, s:s, s:I, s:s?, s:o, s:o}", "key", o->key, "size", (json_int_t)o->body->size, "etag", o->etag,
		    "last_modified", (json_int_t)o->modified_ms, "content_type", type, "meta", control_bucket_fields(&o->meta), "headers",
		    control_bucket_fields(&o->headers)));
	}
	if (b)
		control_reply(ex, json_incref(all));
	store_unlock(&ex->sim->store);
	json_decref(all);
}

void control_bucket_uploads(struct exchange *ex, const char *rest) {
	if (!control_bucket_names(ex, rest, false))
		return;
	store_lock(&ex->sim->store);
	const struct bucket *b = control_bucket_find(ex);
	json_t *all = json_array();
	for (struct upload *u = b ? b->uploads : NULL; u; u = u->hh.next) {
		json_t *parts = json_array();
		for (struct part *p = u->parts; p; p = p->hh.next)
			json_array_append_new(parts, json_pack("{s:i, s:I, s:s}", "number", (int)p->number, "size", (json_int_t)p->body->size, "etag", p->etag));
		json_array_append_new(all, json_pack("{s:s, s:s, s:I, s:o}", "key", u->key, "id", u->id, "started", (json_int_t)u->started_ms, "parts", parts));
	}
	if (b)
		control_reply(ex, json_incref(all));
	store_unlock(&ex->sim->store);
	json_decref(all);
}

void control_bucket_change(struct exchange *ex, const char *rest) {
	struct store *s = &ex->sim->store;
	if (!strcmp(ex->method, "GET")) {
		json_t *all = json_array();
		store_lock(s);
		for (struct bucket *b = s->buckets; b; b = b->hh.next)
			json_array_append_new(all, json_pack("{s:s, s:I, s:I, s:I}", "name", b->name, "objects", (json_int_t)b->n, "bytes",
			    (json_int_t)store_bytes(b), "uploads", (json_int_t)HASH_COUNT(b->uploads)));
		store_unlock(s);
		control_reply(ex, all);
		return;
	}
	if (!control_bucket_names(ex, rest, false))
		return;
	store_lock(s);
	if (!strcmp(ex->method, "PUT")) {
		store_bucket_add(s, ex->bucket, exchange_now_ms(ex));
		control_reply(ex, json_true());
	} else {
		struct bucket *b = control_bucket_find(ex);
		if (b) {
			store_bucket_remove(s, b);
			control_reply(ex, json_true());
		}
	}
	store_unlock(s);
}

/* An object whose bytes begin with its key and go on with a pattern, so that no two are alike. */
static struct object *control_bucket_grow(struct exchange *ex, const char *key, size_t size, const json_t *meta) {
	struct object *o = store_object_new(key);
	char *bytes = mem_grow(NULL, size + 1);
	size_t head = (size_t)snprintf(bytes, size + 1, "%s\n", key);
	for (size_t i = head < size ? head : size; i < size; i++)
		bytes[i] = "0123456789abcdefghijklmnopqrstuvwxyz\n"[(i - head) % 37];
	struct blob_writer w;
	blob_writer_begin(&w, &ex->sim->store.blobs, size);
	int rc = size ? blob_writer_write(&w, bytes, size) : 0;
	free(bytes);
	o->body = body_new(blob_writer_finish(&w));
	if (rc) {
		store_object_put(o);
		return NULL;
	}
	op_common_md5_etag(o->etag, o->body);
	const char *name;
	json_t *value;
	json_object_foreach((json_t *)(uintptr_t)meta, name, value)
		if (json_is_string(value))
			fields_add(&o->meta, name, json_string_value(value));
	o->modified_ms = exchange_now_ms(ex);
	return o;
}

void control_bucket_plant(struct exchange *ex, const char *rest) {
	(void)rest;
	json_t *json = control_json(ex);
	const char *bucket = NULL, *prefix = "", *suffix = "";
	json_int_t count = 1, size = 0, directories = 0;
	json_t *meta = NULL;
	if (!json)
		return;
	if (json_unpack(json, "{s:s, s?s, s?s, s?I, s?I, s?I, s?o}", "bucket", &bucket, "prefix", &prefix, "suffix", &suffix, "count", &count, "size", &size,
	        "directories", &directories, "meta", &meta) || count < 0 || size < 0 || directories < 0) {
		control_error(ex, 400, "plant takes bucket, prefix, suffix, count, size, directories and meta");
		json_decref(json);
		return;
	}
	ex->bucket = mem_copy(bucket);
	json_int_t done = 0;
	store_lock(&ex->sim->store);
	struct bucket *b = control_bucket_find(ex);
	for (; b && done < count; done++) {
		char *key = directories ? mem_printf("%sd%04lld/%06lld%s", prefix, (long long)(done % directories), (long long)done, suffix)
		                        : mem_printf("%s%06lld%s", prefix, (long long)done, suffix);
		struct object *o = control_bucket_grow(ex, key, (size_t)size, meta);
		free(key);
		if (!o) {
			control_error(ex, 500, "no room after %lld objects", (long long)done);
			break;
		}
		store_put(&ex->sim->store, b, o);
	}
	store_unlock(&ex->sim->store);
	if (b && done == count)
		control_reply(ex, json_integer(done));
	json_decref(json);
}

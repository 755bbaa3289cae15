/* CopyObject: within a bucket or between buckets, with conditions on the source and on what is replaced. */
#include "tools/r2sim/escape.h"
#include "tools/r2sim/ops.h"
#include "tools/r2sim/route.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define OP_COPY_MAX (UINT64_C(5) << 30)

enum op_copy_directive { OP_COPY, OP_COPY_REPLACE, OP_COPY_MERGE };

static bool op_copy_directive(struct exchange *ex, enum op_copy_directive *directive) {
	const char *name = exchange_header(ex, "x-amz-metadata-directive");
	if (!name || !strcmp(name, "COPY"))
		*directive = OP_COPY;
	else if (!strcmp(name, "REPLACE"))
		*directive = OP_COPY_REPLACE;
	else if (!strcmp(name, "MERGE"))
		*directive = OP_COPY_MERGE;
	else {
		reply_error_detail(ex, "InvalidArgument", "Unknown metadata directive.");
		return false;
	}
	return true;
}

/* The conditions on the source speak of the source alone: a missing one is NoSuchKey, a wrong one PreconditionFailed. */
static struct conditions op_copy_source_conditions(const struct exchange *ex) {
	return (struct conditions){.match = exchange_header(ex, "x-amz-copy-source-if-match"),
	    .none_match = exchange_header(ex, "x-amz-copy-source-if-none-match"),
	    .modified_since = exchange_header(ex, "x-amz-copy-source-if-modified-since"),
	    .unmodified_since = exchange_header(ex, "x-amz-copy-source-if-unmodified-since")};
}

static struct conditions op_copy_target_conditions(const struct exchange *ex) {
	struct conditions c = {0};
	if (ex->set.cf_copy_conditions) {
		c.match = exchange_header(ex, "cf-copy-destination-if-match");
		c.none_match = exchange_header(ex, "cf-copy-destination-if-none-match");
		c.modified_since = exchange_header(ex, "cf-copy-destination-if-modified-since");
		c.unmodified_since = exchange_header(ex, "cf-copy-destination-if-unmodified-since");
	}
	if (ex->set.aws_copy_conditions) {
		c.match = c.match ? c.match : exchange_header(ex, "if-match");
		c.none_match = c.none_match ? c.none_match : exchange_header(ex, "if-none-match");
	}
	return c;
}

/* The new version. Its body is the source's, shared. */
static struct object *op_copy_make(const struct exchange *ex, const struct object *source, enum op_copy_directive directive) {
	struct object *o = store_object_new(ex->key);
	struct fields headers = {0}, meta = {0};
	op_common_headers(ex, &headers, &meta);
	if (directive != OP_COPY_REPLACE) {
		fields_copy(&o->headers, &source->headers);
		fields_copy(&o->meta, &source->meta);
	}
	if (directive != OP_COPY) {
		for (size_t i = 0; i < headers.n; i++)
			fields_set(&o->headers, headers.v[i].name, headers.v[i].value);
		for (size_t i = 0; i < meta.n; i++)
			fields_set(&o->meta, meta.v[i].name, meta.v[i].value);
	}
	fields_free(&headers);
	fields_free(&meta);
	o->body = body_get(source->body);
	memcpy(o->etag, source->etag, sizeof o->etag);
	return o;
}

static void op_copy_reply(struct exchange *ex, const struct object *o) {
	char when[32];
	escape_time_iso(when, o->modified_ms);
	reply_reset(&ex->reply);
	reply_xml(ex, 200);
	text_printf(&ex->reply.text,
	    "<CopyObjectResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><LastModified>%s</LastModified><ETag>&quot;%s&quot;</ETag></CopyObjectResult>",
	    when, o->etag);
}

/* A reference to the source as it is now, if the request may read it and its conditions hold; else NULL with the error replied. */
static struct object *op_copy_source(struct exchange *ex, const char *bucket, const char *key) {
	struct conditions conditions = op_copy_source_conditions(ex);
	if (!verify_scope(ex, bucket, key, false))
		return NULL;
	const struct bucket *b = store_bucket(&ex->sim->store, bucket);
	struct object *o = b ? store_find(b, key) : NULL;
	if (!o)
		reply_error(ex, b ? "NoSuchKey" : "NoSuchBucket");
	else if (!ex->set.ignore_copy_conditions && !op_common_check(ex, &conditions, o, false))
		return NULL;
	else if (o->body->size > OP_COPY_MAX)
		reply_error_detail(ex, "InvalidRequest", "The specified copy source is larger than the maximum allowable size for a copy source: 5368709120");
	else
		return store_object_get(o);
	return NULL;
}

/* With the store's lock held. */
static void op_copy_run(struct exchange *ex, const char *bucket, const char *key, enum op_copy_directive directive, const char *etag) {
	struct bucket *b = op_common_bucket(ex);
	struct object *source = b ? op_copy_source(ex, bucket, key) : NULL;
	if (!source)
		return;
	struct conditions target = op_copy_target_conditions(ex);
	bool same = !strcmp(bucket, ex->bucket) && !strcmp(key, ex->key);
	if (same && directive == OP_COPY)
		reply_error_detail(ex, "InvalidRequest",
		    "This copy request is illegal because it is trying to copy an object to itself without changing the object's metadata.");
	else if ((ex->set.ignore_copy_conditions || op_common_check(ex, &target, store_find(b, ex->key), false)) &&
	         op_common_allow_write(ex, b, ex->key, source->body->size)) {
		struct object *o = op_copy_make(ex, source, directive);
		if (etag && *etag)
			memcpy(o->etag, etag, STORE_ETAG_SIZE);
		store_object_get(o);
		op_common_publish(ex, b, o);
		op_copy_reply(ex, o);
		store_object_put(o);
	}
	store_object_put(source);
}

/* Where copies get an ETag of their own: the MD5 of the source's bytes, read without the lock. Empty when that is what it is. */
static void op_copy_etag(struct exchange *ex, const char *bucket, const char *key, char etag[STORE_ETAG_SIZE]) {
	struct object *source = NULL;
	etag[0] = 0;
	if (ex->set.copy_keeps_etag)
		return;
	store_lock(&ex->sim->store);
	const struct bucket *b = store_bucket(&ex->sim->store, bucket);
	struct object *o = b ? store_find(b, key) : NULL;
	if (o && strchr(o->etag, '-'))
		source = store_object_get(o);
	store_unlock(&ex->sim->store);
	if (source)
		op_common_md5_etag(etag, source->body);
	store_object_put(source);
}

void op_copy(struct exchange *ex) {
	char *bucket = NULL, *key = NULL, etag[STORE_ETAG_SIZE];
	enum op_copy_directive directive;
	if (!route_copy_source(ex, &bucket, &key)) {
		reply_error_detail(ex, "InvalidArgument", "Copy Source must mention the source bucket and key: sourcebucket/sourcekey");
	} else if (op_copy_directive(ex, &directive)) {
		op_copy_etag(ex, bucket, key, etag);
		store_lock(&ex->sim->store);
		op_copy_run(ex, bucket, key, directive, etag);
		store_unlock(&ex->sim->store);
	}
	free(bucket);
	free(key);
}

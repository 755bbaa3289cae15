/* The beginning, the parts and the abandoning of multipart uploads; op_complete.c has their end. */
#include "tools/r2sim/escape.h"
#include "tools/r2sim/ops.h"
#include "tools/r2sim/route.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void op_multipart_create(struct exchange *ex) {
	store_lock(&ex->sim->store);
	struct bucket *b = op_common_bucket(ex);
	if (b) {
		struct upload *u = store_upload_add(&ex->sim->store, b, ex->key, exchange_now_ms(ex));
		op_common_headers(ex, &u->headers, &u->meta);
		store_upload_saved(&ex->sim->store, b, u);
		record_change(ex, ex->kind, ex->key, NULL, NULL, u->id);
		reply_reset(&ex->reply);
		reply_xml(ex, 200);
		struct text *t = &ex->reply.text;
		text_printf(t, "<InitiateMultipartUploadResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Bucket>%s</Bucket><Key>", ex->bucket);
		escape_xml(t, ex->key);
		text_printf(t, "</Key><UploadId>%s</UploadId></InitiateMultipartUploadResult>", u->id);
	}
	store_unlock(&ex->sim->store);
}

/* The upload that the request names, or NULL with the error replied. With the store's lock held. */
static struct upload *op_multipart_find(struct exchange *ex, struct bucket **b) {
	*b = op_common_bucket(ex);
	struct upload *u = *b ? store_upload_find(*b, ex->key, exchange_query(ex, "uploadId")) : NULL;
	if (*b && !u)
		reply_error(ex, "NoSuchUpload");
	return u;
}

static unsigned op_multipart_number(struct exchange *ex) {
	const char *text = exchange_query(ex, "partNumber");
	unsigned long number = text && *text && strspn(text, "0123456789") == strlen(text) ? strtoul(text, NULL, 10) : 0;
	if (number >= 1 && number <= 10000)
		return (unsigned)number;
	reply_error_detail(ex, "InvalidArgument", "Part number must be an integer between 1 and 10000, inclusive");
	return 0;
}

static void op_multipart_checksums(const struct exchange *ex, struct fields *checksums) {
	for (size_t i = 0; i < ex->headers.n; i++)
		if (!strncmp(ex->headers.v[i].name, "x-amz-checksum-", 15))
			fields_add(checksums, ex->headers.v[i].name, ex->headers.v[i].value);
}

/* A part in the form of an object, so that the journal shows its size and ETag. */
static void op_multipart_journal(struct exchange *ex, const struct part *p) {
	struct object shown = {.body = p->body};
	char *id = mem_printf("%s", exchange_query(ex, "uploadId"));
	memcpy(shown.etag, p->etag, sizeof shown.etag);
	record_change(ex, ex->kind, ex->key, &shown, NULL, id);
	free(id);
}

void op_multipart_part(struct exchange *ex) {
	unsigned number = op_multipart_number(ex);
	struct bucket *b;
	if (!number)
		return;
	store_lock(&ex->sim->store);
	struct upload *u = op_multipart_find(ex, &b);
	if (u) {
		struct fields checksums = {0};
		op_multipart_checksums(ex, &checksums);
		struct body *body = body_new(ex->blob);
		ex->blob = NULL;
		op_multipart_journal(ex, store_part_put(&ex->sim->store, b, u, number, ex->md5_hex, body, &checksums, exchange_now_ms(ex)));
		reply_reset(&ex->reply);
		ex->reply.status = 200;
		char etag[64];
		snprintf(etag, sizeof etag, "\"%s\"", ex->md5_hex);
		reply_header(ex, "ETag", etag);
	}
	store_unlock(&ex->sim->store);
}

/* x-amz-copy-source-range: bytes=A-B, both given and inside the source. */
static bool op_multipart_range(struct exchange *ex, const struct body *source, uint64_t *offset, uint64_t *length) {
	const char *range = exchange_header(ex, "x-amz-copy-source-range");
	*offset = 0;
	*length = source->size;
	if (!range)
		return true;
	const char *first = range + strlen("bytes="), *dash = strchr(range, '-');
	bool well_formed = !strncmp(range, "bytes=", strlen("bytes=")) && dash && dash > first && dash[1] && strspn(first, "0123456789-") == strlen(first);
	uint64_t from = well_formed ? strtoull(first, NULL, 10) : 1, to = well_formed ? strtoull(dash + 1, NULL, 10) : 0;
	if (to < from) {
		reply_error_detail(ex, "InvalidArgument", "The x-amz-copy-source-range value must be of the form bytes=first-last");
		return false;
	}
	if (to >= source->size) {
		reply_error(ex, "InvalidRange");
		return false;
	}
	*offset = from;
	*length = to - from + 1;
	return true;
}

/* The bytes to copy, with a reference, or NULL with the error replied. R2 has no conditions here. */
static struct body *op_multipart_source(struct exchange *ex, const char *bucket, const char *key) {
	struct body *slice = NULL;
	uint64_t offset, length;
	store_lock(&ex->sim->store);
	const struct bucket *b = store_bucket(&ex->sim->store, bucket);
	const struct object *o = b ? store_find(b, key) : NULL;
	if (!verify_scope(ex, bucket, key, false))
		;
	else if (!o)
		reply_error(ex, b ? "NoSuchKey" : "NoSuchBucket");
	else if (op_multipart_range(ex, o->body, &offset, &length))
		slice = body_slice(o->body, offset, length);
	store_unlock(&ex->sim->store);
	return slice;
}

static void op_multipart_part_copied(struct exchange *ex, unsigned number, struct body *body) {
	char etag[STORE_ETAG_SIZE], when[32];
	struct fields checksums = {0};
	struct bucket *b;
	op_common_md5_etag(etag, body);
	store_lock(&ex->sim->store);
	struct upload *u = op_multipart_find(ex, &b);
	if (u) {
		struct part *p = store_part_put(&ex->sim->store, b, u, number, etag, body_get(body), &checksums, exchange_now_ms(ex));
		op_multipart_journal(ex, p);
		escape_time_iso(when, p->modified_ms);
		reply_reset(&ex->reply);
		reply_xml(ex, 200);
		text_printf(&ex->reply.text,
		    "<CopyPartResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><LastModified>%s</LastModified><ETag>&quot;%s&quot;</ETag></CopyPartResult>",
		    when, etag);
	}
	store_unlock(&ex->sim->store);
}

void op_multipart_part_copy(struct exchange *ex) {
	char *bucket = NULL, *key = NULL;
	unsigned number = op_multipart_number(ex);
	if (!number)
		return;
	if (!route_copy_source(ex, &bucket, &key)) {
		reply_error_detail(ex, "InvalidArgument", "Copy Source must mention the source bucket and key: sourcebucket/sourcekey");
	} else {
		struct body *body = op_multipart_source(ex, bucket, key);
		if (body)
			op_multipart_part_copied(ex, number, body);
		body_put(body);
	}
	free(bucket);
	free(key);
}

void op_multipart_abort(struct exchange *ex) {
	struct bucket *b;
	store_lock(&ex->sim->store);
	struct upload *u = op_multipart_find(ex, &b);
	if (u) {
		record_change(ex, ex->kind, ex->key, NULL, NULL, u->id);
		store_upload_remove(&ex->sim->store, b, u);
		reply_reset(&ex->reply);
		ex->reply.status = 204;
	}
	store_unlock(&ex->sim->store);
}

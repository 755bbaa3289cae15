/* CompleteMultipartUpload. R2's rules: all parts of one size but the last, and a refused condition takes the upload with it. */
#include "tools/r2sim/escape.h"
#include "tools/r2sim/ops.h"
#include "tools/r2sim/parse.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Puts the parts that the request lists, in their order, into parts. False with the error replied. */
static bool op_complete_parts(struct exchange *ex, struct upload *u, const struct parse_complete *request, struct part **parts) {
	for (size_t i = 0; i < request->n; i++) {
		const struct parse_part *wanted = &request->parts[i];
		struct part *p;
		if (i && wanted->number <= request->parts[i - 1].number) {
			reply_error(ex, "InvalidPartOrder");
			return false;
		}
		HASH_FIND(hh, u->parts, &wanted->number, sizeof wanted->number, p);
		if (!p || !op_common_etag_matches(wanted->etag, p->etag)) {
			reply_error(ex, "InvalidPart");
			return false;
		}
		parts[i] = p;
	}
	return true;
}

static bool op_complete_sizes(struct exchange *ex, struct part *const *parts, size_t n) {
	for (size_t i = 0; i + 1 < n; i++) {
		if (parts[i]->body->size < (uint64_t)ex->set.min_part) {
			reply_error(ex, "EntityTooSmall");
			return false;
		}
		bool last_is_larger = i + 2 == n && parts[n - 1]->body->size > parts[0]->body->size;
		if (ex->set.equal_parts && (parts[i]->body->size != parts[0]->body->size || last_is_larger)) {
			reply_error_detail(ex, "InvalidPart", "All non-trailing parts must have the same length.");
			return false;
		}
	}
	return true;
}

static struct object *op_complete_make(const struct exchange *ex, const struct upload *u, struct part *const *parts, size_t n) {
	struct object *o = store_object_new(ex->key);
	struct body **bodies = mem_zero(n * sizeof *bodies);
	EVP_MD_CTX *md5 = EVP_MD_CTX_new();
	unsigned char digest[16];
	char hex[33];
	EVP_DigestInit_ex(md5, EVP_md5(), NULL);
	for (size_t i = 0; i < n; i++) {
		bodies[i] = parts[i]->body;
		for (size_t j = 0; j < sizeof digest; j++) {
			char two[3] = {parts[i]->etag[2 * j], parts[i]->etag[2 * j + 1], 0};
			digest[j] = (unsigned char)strtoul(two, NULL, 16);
		}
		EVP_DigestUpdate(md5, digest, sizeof digest);
	}
	EVP_DigestFinal_ex(md5, digest, NULL);
	EVP_MD_CTX_free(md5);
	escape_hex(hex, digest, sizeof digest);
	snprintf(o->etag, sizeof o->etag, "%s-%u", hex, (unsigned)n);
	o->body = body_join(bodies, n);
	free(bodies);
	fields_copy(&o->headers, &u->headers);
	fields_copy(&o->meta, &u->meta);
	return o;
}

static void op_complete_reply(struct exchange *ex, const struct object *o) {
	reply_reset(&ex->reply);
	reply_xml(ex, 200);
	struct text *t = &ex->reply.text;
	text_printf(t, "<CompleteMultipartUploadResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Location>/%s/", ex->bucket);
	escape_xml(t, ex->key);
	text_printf(t, "</Location><Bucket>%s</Bucket><Key>", ex->bucket);
	escape_xml(t, ex->key);
	text_printf(t, "</Key><ETag>&quot;%s&quot;</ETag></CompleteMultipartUploadResult>", o->etag);
}

/* With the store's lock held. */
static void op_complete_run(struct exchange *ex, const struct parse_complete *request) {
	struct store *s = &ex->sim->store;
	struct conditions conditions = op_common_conditions(ex);
	struct bucket *b = op_common_bucket(ex);
	struct upload *u = b ? store_upload_find(b, ex->key, exchange_query(ex, "uploadId")) : NULL;
	struct part **parts = mem_zero(request->n * sizeof *parts);
	if (b && !u) {
		reply_error(ex, "NoSuchUpload");
	} else if (u && op_complete_parts(ex, u, request, parts) && op_complete_sizes(ex, parts, request->n)) {
		if (!ex->set.ignore_complete_conditions && !op_common_check(ex, &conditions, store_find(b, ex->key), false)) {
			store_upload_remove(s, b, u);
		} else if (op_common_allow_write(ex, b, ex->key, 0)) {
			struct object *o = op_complete_make(ex, u, parts, request->n);
			store_object_get(o);
			op_common_publish(ex, b, o);
			store_upload_remove(s, b, u);
			op_complete_reply(ex, o);
			store_object_put(o);
		}
	}
	free(parts);
}

void op_complete(struct exchange *ex) {
	struct parse_complete request = {0};
	if (!parse_complete(&request, ex->intake.len ? ex->intake.data : "", ex->intake.len)) {
		reply_error(ex, "MalformedXML");
	} else {
		store_lock(&ex->sim->store);
		op_complete_run(ex, &request);
		store_unlock(&ex->sim->store);
	}
	parse_complete_free(&request);
}

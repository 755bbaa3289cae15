/* DeleteObject and DeleteObjects. R2 has no condition on either; the switch conditional_delete gives AWS's. */
#include "tools/r2sim/escape.h"
#include "tools/r2sim/ops.h"
#include "tools/r2sim/parse.h"

#include <stdlib.h>
#include <string.h>

static void op_delete_key(struct exchange *ex, struct bucket *b, const char *key) {
	struct object *previous = store_find(b, key);
	record_change(ex, KIND_DELETE, key, NULL, previous, NULL);
	store_remove(&ex->sim->store, b, key);
}

void op_delete_one(struct exchange *ex) {
	struct conditions conditions = {.match = exchange_header(ex, "if-match")};
	store_lock(&ex->sim->store);
	struct bucket *b = op_common_bucket(ex);
	if (b && (!ex->set.conditional_delete || op_common_check(ex, &conditions, store_find(b, ex->key), false))) {
		op_delete_key(ex, b, ex->key);
		reply_reset(&ex->reply);
		ex->reply.status = 204;
	}
	store_unlock(&ex->sim->store);
}

static void op_delete_result(struct text *t, const struct parse_key *k, const char *code, bool quiet) {
	if (!code && quiet)
		return;
	text_add(t, code ? "<Error><Key>" : "<Deleted><Key>");
	escape_xml(t, k->key);
	text_add(t, "</Key>");
	if (code)
		text_printf(t, "<Code>%s</Code><Message>%s</Message></Error>", code, code);
	else
		text_add(t, "</Deleted>");
}

/* The code of the error, or NULL once the key is gone. */
static const char *op_delete_listed(struct exchange *ex, struct bucket *b, const struct parse_key *k) {
	char *key = ex->set.nfc && escape_is_utf8(k->key) ? escape_nfc(k->key) : mem_copy(k->key);
	const struct object *current = store_find(b, key);
	const char *code = NULL;
	if (!verify_scope(ex, ex->bucket, key, true))
		code = "AccessDenied";
	else if (ex->set.conditional_delete && k->etag && !current)
		code = "NoSuchKey";
	else if (ex->set.conditional_delete && k->etag && !op_common_etag_matches(k->etag, current->etag))
		code = "PreconditionFailed";
	else
		op_delete_key(ex, b, key);
	free(key);
	return code;
}

void op_delete_many(struct exchange *ex) {
	struct parse_delete request = {0};
	if (!exchange_header(ex, "content-md5")) {
		reply_error_detail(ex, "InvalidRequest", "Missing required header for this request: Content-MD5");
		return;
	}
	if (!parse_delete(&request, ex->intake.len ? ex->intake.data : "", ex->intake.len) || request.n < 1 || request.n > 1000) {
		reply_error(ex, "MalformedXML");
		parse_delete_free(&request);
		return;
	}
	store_lock(&ex->sim->store);
	struct bucket *b = op_common_bucket(ex);
	if (b) {
		struct text result = {0};
		for (size_t i = 0; i < request.n; i++)
			op_delete_result(&result, &request.keys[i], op_delete_listed(ex, b, &request.keys[i]), request.quiet);
		reply_reset(&ex->reply);
		reply_xml(ex, 200);
		text_printf(&ex->reply.text, "<DeleteResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">%s</DeleteResult>", result.len ? result.data : "");
		text_free(&result);
	}
	store_unlock(&ex->sim->store);
	parse_delete_free(&request);
}

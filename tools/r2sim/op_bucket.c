/* What concerns buckets themselves; a key whose scope is objects is refused these before they run. */
#include "tools/r2sim/escape.h"
#include "tools/r2sim/ops.h"

#include <string.h>

void op_bucket_head(struct exchange *ex) {
	store_lock(&ex->sim->store);
	if (op_common_bucket(ex))
		ex->reply.status = 200;
	store_unlock(&ex->sim->store);
}

void op_bucket_list(struct exchange *ex) {
	char when[32];
	store_lock(&ex->sim->store);
	reply_xml(ex, 200);
	struct text *t = &ex->reply.text;
	text_add(t, "<ListAllMyBucketsResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Owner><ID>r2sim</ID></Owner><Buckets>");
	for (const struct bucket *b = ex->sim->store.buckets; b; b = b->hh.next) {
		escape_time_iso(when, b->created_ms);
		text_printf(t, "<Bucket><Name>%s</Name><CreationDate>%s</CreationDate></Bucket>", b->name, when);
	}
	text_add(t, "</Buckets></ListAllMyBucketsResult>");
	store_unlock(&ex->sim->store);
}

static bool op_bucket_valid(const char *name) {
	size_t len = strlen(name);
	return len >= 3 && len <= 63 && strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-.") == len && *name != '-' && name[len - 1] != '-';
}

void op_bucket_create(struct exchange *ex) {
	store_lock(&ex->sim->store);
	if (!op_bucket_valid(ex->bucket)) {
		reply_error(ex, "InvalidBucketName");
	} else if (store_bucket(&ex->sim->store, ex->bucket)) {
		reply_error(ex, "BucketAlreadyOwnedByYou");
	} else {
		store_bucket_add(&ex->sim->store, ex->bucket, exchange_now_ms(ex));
		record_change(ex, ex->kind, NULL, NULL, NULL, NULL);
		ex->reply.status = 200;
	}
	store_unlock(&ex->sim->store);
}

void op_bucket_delete(struct exchange *ex) {
	store_lock(&ex->sim->store);
	struct bucket *b = op_common_bucket(ex);
	if (b && (b->n || b->uploads)) {
		reply_error(ex, "BucketNotEmpty");
	} else if (b) {
		store_bucket_remove(&ex->sim->store, b);
		record_change(ex, ex->kind, NULL, NULL, NULL, NULL);
		ex->reply.status = 204;
	}
	store_unlock(&ex->sim->store);
}

void op_bucket_location(struct exchange *ex) {
	store_lock(&ex->sim->store);
	if (op_common_bucket(ex)) {
		reply_xml(ex, 200);
		text_printf(&ex->reply.text, "<LocationConstraint xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">%s</LocationConstraint>",
		    ex->sim->region ? ex->sim->region : "auto");
	}
	store_unlock(&ex->sim->store);
}

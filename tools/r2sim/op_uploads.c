/* ListMultipartUploads and ListParts. */
#include "tools/r2sim/escape.h"
#include "tools/r2sim/ops.h"

#include <stdlib.h>
#include <string.h>

static int op_uploads_compare(const void *a, const void *b) {
	const struct upload *x = *(struct upload *const *)a, *y = *(struct upload *const *)b;
	int by_key = strcmp(x->key, y->key);
	return by_key ? by_key : strcmp(x->id, y->id);
}

static int op_uploads_compare_parts(const void *a, const void *b) {
	const struct part *x = *(struct part *const *)a, *y = *(struct part *const *)b;
	return (x->number > y->number) - (x->number < y->number);
}

/* A whole number from the query, from 0 to 1000. -1 with the error replied. */
static long op_uploads_limit(struct exchange *ex, const char *name) {
	const char *text = exchange_query(ex, name);
	if (!text)
		return 1000;
	char *end;
	long limit = strtol(text, &end, 10);
	if (!*text || *end || limit < 0) {
		reply_error(ex, "InvalidArgument");
		return -1;
	}
	return limit > 1000 ? 1000 : limit;
}

static void op_uploads_name(struct text *t, const struct exchange *ex, const char *name) {
	if (exchange_query(ex, "encoding-type"))
		escape_percent(t, name, true);
	else
		escape_xml(t, name);
}

static bool op_uploads_after(const struct upload *u, const char *key, const char *id) {
	int by_key = key ? strcmp(u->key, key) : 1;
	return by_key > 0 || (!by_key && id && strcmp(u->id, id) > 0);
}

static void op_uploads_write(struct exchange *ex, struct upload *const *list, size_t n, size_t limit) {
	const char *prefix = exchange_query(ex, "prefix"), *key = exchange_query(ex, "key-marker"), *id = exchange_query(ex, "upload-id-marker");
	struct text *t = &ex->reply.text;
	size_t shown = 0;
	const struct upload *last = NULL;
	bool truncated = false;
	reply_xml(ex, 200);
	text_printf(t, "<ListMultipartUploadsResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Bucket>%s</Bucket>", ex->bucket);
	for (size_t i = 0; i < n && !truncated; i++) {
		char when[32];
		if (!op_uploads_after(list[i], key, id) || (prefix && strncmp(list[i]->key, prefix, strlen(prefix)) != 0))
			continue;
		truncated = shown == limit;
		if (truncated)
			break;
		escape_time_iso(when, list[i]->started_ms);
		text_add(t, "<Upload><Key>");
		op_uploads_name(t, ex, list[i]->key);
		text_printf(t, "</Key><UploadId>%s</UploadId><Initiated>%s</Initiated><StorageClass>STANDARD</StorageClass></Upload>", list[i]->id, when);
		last = list[i];
		shown++;
	}
	text_printf(t, "<MaxUploads>%zu</MaxUploads><IsTruncated>%s</IsTruncated>", limit, truncated ? "true" : "false");
	if (truncated && last) {
		text_add(t, "<NextKeyMarker>");
		op_uploads_name(t, ex, last->key);
		text_printf(t, "</NextKeyMarker><NextUploadIdMarker>%s</NextUploadIdMarker>", last->id);
	}
	text_add(t, "</ListMultipartUploadsResult>");
}

void op_uploads_list(struct exchange *ex) {
	long limit = op_uploads_limit(ex, "max-uploads");
	if (limit < 0)
		return;
	store_lock(&ex->sim->store);
	struct bucket *b = op_common_bucket(ex);
	if (b) {
		size_t n = 0;
		struct upload **list = mem_zero(HASH_COUNT(b->uploads) * sizeof *list);
		for (struct upload *u = b->uploads; u; u = u->hh.next)
			list[n++] = u;
		qsort(list, n, sizeof *list, op_uploads_compare);
		op_uploads_write(ex, list, n, (size_t)limit);
		free(list);
	}
	store_unlock(&ex->sim->store);
}

static void op_uploads_part(struct text *t, const struct part *p) {
	char when[32];
	escape_time_iso(when, p->modified_ms);
	text_printf(t, "<Part><PartNumber>%u</PartNumber><LastModified>%s</LastModified><ETag>&quot;%s&quot;</ETag><Size>%llu</Size>", p->number, when, p->etag,
	    (unsigned long long)p->body->size);
	for (size_t i = 0; i < p->checksums.n; i++) {
		const char *name = p->checksums.v[i].name + strlen("x-amz-checksum-");
		const char *element = !strcmp(name, "crc32c") ? "ChecksumCRC32C" : !strcmp(name, "crc32") ? "ChecksumCRC32"
		                      : !strcmp(name, "sha1")  ? "ChecksumSHA1" : !strcmp(name, "sha256") ? "ChecksumSHA256" : NULL;
		if (!element)
			continue;
		text_printf(t, "<%s>", element);
		escape_xml(t, p->checksums.v[i].value);
		text_printf(t, "</%s>", element);
	}
	text_add(t, "</Part>");
}

static void op_uploads_write_parts(struct exchange *ex, const struct upload *u, size_t limit) {
	const char *marker = exchange_query(ex, "part-number-marker");
	unsigned long after = marker ? strtoul(marker, NULL, 10) : 0;
	size_t n = 0, shown = 0;
	unsigned last = 0;
	struct part **list = mem_zero(HASH_COUNT(u->parts) * sizeof *list);
	for (struct part *p = u->parts; p; p = p->hh.next)
		if (p->number > after)
			list[n++] = p;
	qsort(list, n, sizeof *list, op_uploads_compare_parts);
	reply_xml(ex, 200);
	struct text *t = &ex->reply.text;
	text_printf(t, "<ListPartsResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Bucket>%s</Bucket><Key>", ex->bucket);
	op_uploads_name(t, ex, u->key);
	text_printf(t, "</Key><UploadId>%s</UploadId><MaxParts>%zu</MaxParts>", u->id, limit);
	for (; shown < n && shown < limit; shown++) {
		op_uploads_part(t, list[shown]);
		last = list[shown]->number;
	}
	text_printf(t, "<IsTruncated>%s</IsTruncated>", shown < n ? "true" : "false");
	if (shown < n)
		text_printf(t, "<NextPartNumberMarker>%u</NextPartNumberMarker>", last);
	text_add(t, "</ListPartsResult>");
	free(list);
}

void op_uploads_parts(struct exchange *ex) {
	long limit = op_uploads_limit(ex, "max-parts");
	if (limit < 0)
		return;
	store_lock(&ex->sim->store);
	struct bucket *b = op_common_bucket(ex);
	const struct upload *u = b ? store_upload_find(b, ex->key, exchange_query(ex, "uploadId")) : NULL;
	if (u)
		op_uploads_write_parts(ex, u, (size_t)limit);
	else if (b)
		reply_error(ex, "NoSuchUpload");
	store_unlock(&ex->sim->store);
}

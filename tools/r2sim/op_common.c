#include "tools/r2sim/escape.h"
#include "tools/r2sim/ops.h"

#include <string.h>

struct bucket *op_common_bucket(struct exchange *ex) {
	struct bucket *b = store_bucket(&ex->sim->store, ex->bucket);
	if (!b)
		reply_error(ex, "NoSuchBucket");
	return b;
}

void op_common_headers(const struct exchange *ex, struct fields *headers, struct fields *meta) {
	static const char *const kept[] = {"content-type", "content-encoding", "content-disposition", "content-language", "cache-control", "expires"};
	for (size_t i = 0; i < sizeof kept / sizeof *kept; i++) {
		const char *value = exchange_header(ex, kept[i]);
		if (!value)
			continue;
		char *text = escape_utf8(value);
		fields_add(headers, kept[i], text);
		free(text);
	}
	for (size_t i = 0; i < ex->headers.n; i++) {
		const struct field *f = &ex->headers.v[i];
		if (strncmp(f->name, "x-amz-meta-", 11) != 0)
			continue;
		char *text = escape_utf8(f->value), *decoded = escape_un2047(text);
		fields_set(meta, f->name + 11, decoded);
		free(text);
		free(decoded);
	}
}

struct conditions op_common_conditions(const struct exchange *ex) {
	return (struct conditions){.match = exchange_header(ex, "if-match"),
	    .none_match = exchange_header(ex, "if-none-match"),
	    .modified_since = exchange_header(ex, "if-modified-since"),
	    .unmodified_since = exchange_header(ex, "if-unmodified-since")};
}

bool op_common_etag_matches(const char *list, const char *etag) {
	size_t len = strlen(etag);
	for (const char *p = list; *p;) {
		p += strspn(p, " ,");
		p += !strncmp(p, "W/", 2) ? 2 : 0;
		size_t n = strcspn(p, ",");
		while (n && p[n - 1] == ' ')
			n--;
		const char *start = p;
		if (n >= 2 && *start == '"' && start[n - 1] == '"')
			start++, n -= 2;
		if ((n == 1 && *start == '*') || (n == len && !memcmp(start, etag, n)))
			return true;
		p += strcspn(p, ",");
	}
	return false;
}

bool op_common_check(struct exchange *ex, const struct conditions *c, const struct object *current, bool reading) {
	if (c->match && !current) {
		reply_error(ex, "NoSuchKey");
		return false;
	}
	if (!current)
		return true;
	/* Headers carry whole seconds. */
	int64_t modified = current->modified_ms / 1000 * 1000;
	int64_t since = c->modified_since ? escape_untime_http(c->modified_since) : -1;
	int64_t until = c->unmodified_since ? escape_untime_http(c->unmodified_since) : -1;
	/* As HTTP has it: an ETag condition that is given decides alone. */
	bool failed = c->match ? !op_common_etag_matches(c->match, current->etag) : until >= 0 && modified > until;
	bool unchanged = c->none_match ? op_common_etag_matches(c->none_match, current->etag) : since >= 0 && modified <= since;
	if (failed || (unchanged && !reading)) {
		reply_error(ex, "PreconditionFailed");
		return false;
	}
	if (unchanged) {
		reply_error(ex, "NotModified");
		return false;
	}
	return true;
}

bool op_common_allow_write(struct exchange *ex, const struct bucket *b, const char *key, uint64_t size) {
	if (ex->set.quota && store_bytes(b) + size > (uint64_t)ex->set.quota) {
		reply_error(ex, "QuotaExceeded");
		return false;
	}
	if (ex->set.rate_limit && !ex->control && !record_write_allowed(&ex->sim->record, b->name, key, ex->set.rate_limit_ms)) {
		reply_error(ex, "TooManyRequests");
		return false;
	}
	return true;
}

void op_common_publish(struct exchange *ex, struct bucket *b, struct object *o) {
	struct object *previous = store_find(b, o->key);
	o->modified_ms = exchange_now_ms(ex);
	record_change(ex, ex->kind, o->key, o, previous, exchange_query(ex, "uploadId"));
	store_put(&ex->sim->store, b, o);
}

void op_common_md5_etag(char etag[STORE_ETAG_SIZE], const struct body *body) {
	enum { CHUNK = 1 << 18 };
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	unsigned char digest[16];
	char *chunk = mem_grow(NULL, CHUNK);
	int64_t n;
	EVP_DigestInit_ex(ctx, EVP_md5(), NULL);
	for (uint64_t offset = 0; (n = body_read(body, offset, chunk, CHUNK)) > 0; offset += (uint64_t)n)
		EVP_DigestUpdate(ctx, chunk, (size_t)n);
	EVP_DigestFinal_ex(ctx, digest, NULL);
	EVP_MD_CTX_free(ctx);
	free(chunk);
	escape_hex(etag, digest, sizeof digest);
}

#include "tools/r2sim/verify.h"

#include "tools/r2sim/escape.h"
#include "tools/r2sim/sim.h"

#include <openssl/crypto.h>
#include <openssl/hmac.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define VERIFY_SKEW_MS (INT64_C(15) * 60 * 1000)

void verify_init(struct verify *v) {
	*v = (struct verify){0};
	pthread_mutex_init(&v->mutex, NULL);
}

static void verify_free(struct credential *c) {
	free(c->access_key);
	free(c->secret_key);
	free(c->session_token);
	fields_free(&c->buckets);
	fields_free(&c->prefixes);
	free(c);
}

void verify_fini(struct verify *v) {
	struct credential *c = v->known, *next;
	HASH_CLEAR(hh, v->known);
	for (; c; c = next) {
		next = c->hh.next;
		verify_free(c);
	}
	for (c = v->revoked; c; c = next) {
		next = c->next_revoked;
		verify_free(c);
	}
	pthread_mutex_destroy(&v->mutex);
}

struct credential *verify_credential(const char *access_key, const char *secret_key, const char *session_token) {
	struct credential *c = mem_zero(sizeof *c);
	c->access_key = mem_copy(access_key);
	c->secret_key = mem_copy(secret_key);
	c->session_token = mem_copy(session_token);
	return c;
}

bool verify_revoke(struct verify *v, const char *access_key) {
	struct credential *c;
	pthread_mutex_lock(&v->mutex);
	HASH_FIND_STR(v->known, access_key, c);
	if (c) {
		HASH_DEL(v->known, c);
		c->next_revoked = v->revoked;
		v->revoked = c;
	}
	pthread_mutex_unlock(&v->mutex);
	return c != NULL;
}

void verify_add(struct verify *v, struct credential *c) {
	verify_revoke(v, c->access_key);
	pthread_mutex_lock(&v->mutex);
	HASH_ADD_KEYPTR(hh, v->known, c->access_key, strlen(c->access_key), c);
	pthread_mutex_unlock(&v->mutex);
}

void verify_list(struct verify *v, void (*each)(void *arg, const struct credential *c), void *arg) {
	pthread_mutex_lock(&v->mutex);
	for (const struct credential *c = v->known; c; c = c->hh.next)
		each(arg, c);
	pthread_mutex_unlock(&v->mutex);
}

static const struct credential *verify_find(struct verify *v, const char *access_key) {
	struct credential *c;
	pthread_mutex_lock(&v->mutex);
	HASH_FIND_STR(v->known, access_key, c);
	pthread_mutex_unlock(&v->mutex);
	return c;
}

/* The pieces of an Authorization header, each the caller's. */
struct authorization {
	char *text; /* holds what the others point into */
	char *access_key, *date, *region, *service, *terminator, *signed_headers, *signature;
};

static bool verify_split_scope(struct authorization *a, char *credential) {
	char *fields[5];
	/* From the right: an access key may contain slashes. */
	for (int i = 4; i > 0; i--) {
		char *slash = strrchr(credential, '/');
		if (!slash)
			return false;
		*slash = 0;
		fields[i] = slash + 1;
	}
	a->access_key = credential;
	a->date = fields[1];
	a->region = fields[2];
	a->service = fields[3];
	a->terminator = fields[4];
	return true;
}

static bool verify_parse(struct authorization *a, const char *header) {
	static const char algorithm[] = "AWS4-HMAC-SHA256 ";
	if (strncmp(header, algorithm, sizeof algorithm - 1) != 0)
		return false;
	a->text = mem_copy(header + sizeof algorithm - 1);
	char *credential = NULL, *state;
	for (char *item = strtok_r(a->text, ",", &state); item; item = strtok_r(NULL, ",", &state)) {
		item += strspn(item, " ");
		if (!strncmp(item, "Credential=", 11))
			credential = item + 11;
		else if (!strncmp(item, "SignedHeaders=", 14))
			a->signed_headers = item + 14;
		else if (!strncmp(item, "Signature=", 10))
			a->signature = item + 10;
	}
	return credential && a->signed_headers && a->signature && verify_split_scope(a, credential) && !strcmp(a->service, "s3") &&
	       !strcmp(a->terminator, "aws4_request");
}

static bool verify_is_signed(const char *list, const char *name) {
	size_t len = strlen(name);
	for (const char *p = list; (p = strstr(p, name)); p++)
		if ((p == list || p[-1] == ';') && (p[len] == ';' || !p[len]))
			return true;
	return false;
}

static int verify_compare(const void *a, const void *b) {
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static void verify_canonical_query(struct text *to, const struct exchange *ex) {
	char **pairs = mem_zero((ex->query.n + 1) * sizeof *pairs);
	for (size_t i = 0; i < ex->query.n; i++) {
		struct text pair = {0};
		escape_percent(&pair, ex->query.v[i].name, false);
		/* Sorted by name, then value: a control byte sorts before whatever a name may go on with. */
		text_char(&pair, '\1');
		escape_percent(&pair, ex->query.v[i].value, false);
		pairs[i] = text_take(&pair);
	}
	qsort(pairs, ex->query.n, sizeof *pairs, verify_compare);
	for (size_t i = 0; i < ex->query.n; i++) {
		*strchr(pairs[i], '\1') = '=';
		if (i)
			text_char(to, '&');
		text_add(to, pairs[i]);
		free(pairs[i]);
	}
	free(pairs);
}

/* Values of one name are joined by commas, and runs of spaces in them count as one. */
static void verify_canonical_header(struct text *to, const struct exchange *ex, const char *name, size_t len) {
	text_add_n(to, name, len);
	char mark = ':';
	for (size_t i = 0; i < ex->headers.n; i++) {
		const struct field *f = &ex->headers.v[i];
		if (strlen(f->name) != len || memcmp(f->name, name, len) != 0)
			continue;
		text_char(to, mark);
		mark = ',';
		for (const char *p = f->value; *p; p++)
			if (*p != ' ' || p[1] != ' ')
				text_char(to, *p);
	}
	if (mark == ':')
		text_char(to, mark);
	text_char(to, '\n');
}

static void verify_canonical_request(struct text *to, const struct exchange *ex, const struct authorization *a) {
	text_printf(to, "%s\n", ex->method);
	const char *end = strchrnul(ex->uri, '?');
	char *path = escape_unpercent(ex->uri, (size_t)(end - ex->uri), false);
	escape_percent(to, path ? path : "", true);
	free(path);
	text_char(to, '\n');
	verify_canonical_query(to, ex);
	text_char(to, '\n');
	for (const char *p = a->signed_headers; *p;) {
		size_t len = strcspn(p, ";");
		verify_canonical_header(to, ex, p, len);
		p += len + (p[len] == ';');
	}
	text_printf(to, "\n%s\n%s", a->signed_headers, exchange_header(ex, "x-amz-content-sha256"));
}

static void verify_hmac(unsigned char out[32], const void *key, size_t len, const char *text) {
	unsigned n = 32;
	HMAC(EVP_sha256(), key, (int)len, (const unsigned char *)text, strlen(text), out, &n);
}

static bool verify_signature(const struct exchange *ex, const struct authorization *a, const char *secret) {
	struct text canonical = {0}, to_sign = {0};
	unsigned char digest[32], key[32];
	char hex[65];
	verify_canonical_request(&canonical, ex, a);
	EVP_Digest(canonical.data, canonical.len, digest, NULL, EVP_sha256(), NULL);
	escape_hex(hex, digest, sizeof digest);
	text_printf(&to_sign, "AWS4-HMAC-SHA256\n%s\n%s/%s/%s/%s\n%s", exchange_header(ex, "x-amz-date"), a->date, a->region, a->service,
	    a->terminator, hex);
	char *first = mem_printf("AWS4%s", secret);
	verify_hmac(key, first, strlen(first), a->date);
	verify_hmac(key, key, sizeof key, a->region);
	verify_hmac(key, key, sizeof key, a->service);
	verify_hmac(key, key, sizeof key, a->terminator);
	verify_hmac(digest, key, sizeof key, to_sign.data);
	escape_hex(hex, digest, sizeof digest);
	free(first);
	text_free(&canonical);
	text_free(&to_sign);
	return strlen(a->signature) == 64 && !CRYPTO_memcmp(hex, a->signature, 64);
}

/* R2 takes its location hints, and aliases of "auto"; another server is told its one region. */
static bool verify_region(struct exchange *ex, const char *region) {
	static const char *const r2[] = {"auto", "us-east-1", "", "wnam", "enam", "weur", "eeur", "apac", "oc"};
	if (ex->sim->region) {
		if (!strcmp(region, ex->sim->region))
			return true;
		reply_error_detail(ex, "AuthorizationHeaderMalformed", "The authorization header is malformed; the region '%s' is wrong; expecting '%s'", region,
		    ex->sim->region);
		return false;
	}
	for (size_t i = 0; i < sizeof r2 / sizeof *r2; i++)
		if (!strcmp(region, r2[i]))
			return true;
	reply_error_detail(ex, "InvalidRegionName", "The region name '%s' is not valid. Must be one of: wnam, enam, weur, eeur, apac, auto", region);
	return false;
}

static bool verify_headers(struct exchange *ex, const struct authorization *a) {
	const char *date = exchange_header(ex, "x-amz-date"), *sha256 = exchange_header(ex, "x-amz-content-sha256");
	int64_t when = date ? escape_untime_amz(date) : -1;
	if (when < 0 || strncmp(date, a->date, 8) != 0 || strlen(a->date) != 8) {
		reply_error_detail(ex, "AccessDenied", "AWS authentication requires a valid x-amz-date header");
		return false;
	}
	if (llabs(when - exchange_now_ms(ex)) > VERIFY_SKEW_MS) {
		reply_error(ex, "RequestTimeTooSkewed");
		return false;
	}
	if (!sha256) {
		reply_error_detail(ex, "InvalidRequest", "Missing required header for this request: x-amz-content-sha256");
		return false;
	}
	if (!strncmp(sha256, "STREAMING-", 10)) {
		reply_error_detail(ex, "NotImplemented", "%s not implemented", sha256);
		return false;
	}
	if (strcmp(sha256, "UNSIGNED-PAYLOAD") != 0 && (strlen(sha256) != 64 || strspn(sha256, "0123456789abcdef") != 64)) {
		reply_error_detail(ex, "InvalidArgument", "x-amz-content-sha256 must be UNSIGNED-PAYLOAD or a valid sha256 value.");
		return false;
	}
	for (size_t i = 0; i < ex->headers.n; i++) {
		const char *name = ex->headers.v[i].name;
		if ((!strcmp(name, "host") || !strncmp(name, "x-amz-", 6)) && !verify_is_signed(a->signed_headers, name)) {
			reply_error_detail(ex, "AccessDenied", "There were headers present in the request which were not signed: %s", name);
			return false;
		}
	}
	return verify_region(ex, a->region);
}

static bool verify_authorization(struct exchange *ex, const struct authorization *a) {
	const struct credential *c = verify_find(&ex->sim->verify, a->access_key);
	if (!c) {
		reply_error(ex, "InvalidAccessKeyId");
		return false;
	}
	if (!verify_headers(ex, a))
		return false;
	if (!verify_signature(ex, a, c->secret_key)) {
		reply_error(ex, "SignatureDoesNotMatch");
		return false;
	}
	const char *token = exchange_header(ex, "x-amz-security-token");
	if ((token != NULL) != (c->session_token != NULL) || (token && strcmp(token, c->session_token) != 0)) {
		reply_error(ex, "InvalidToken");
		return false;
	}
	if (c->expires_ms && exchange_now_ms(ex) >= c->expires_ms) {
		reply_error(ex, "ExpiredToken");
		return false;
	}
	ex->credential = c;
	return true;
}

static bool verify_named(const struct fields *list, const char *what, bool as_prefix) {
	for (size_t i = 0; i < list->n; i++)
		if (as_prefix ? !strncmp(what, list->v[i].name, strlen(list->v[i].name)) : !strcmp(what, list->v[i].name))
			return true;
	return !list->n;
}

bool verify_scope(struct exchange *ex, const char *bucket, const char *key, bool writes) {
	const struct credential *c = ex->credential;
	bool ok = (!writes || !c->read_only) && verify_named(&c->buckets, bucket, false) && (!key || verify_named(&c->prefixes, key, true));
	if (!ok)
		reply_error(ex, "AccessDenied");
	return ok;
}

static bool verify_scope_of_request(struct exchange *ex) {
	switch (ex->kind) {
	case KIND_HEAD_BUCKET:
	case KIND_LIST_BUCKETS:
	case KIND_CREATE_BUCKET:
	case KIND_DELETE_BUCKET:
	case KIND_LOCATION:
		if (ex->credential->admin)
			return true;
		reply_error(ex, "AccessDenied");
		return false;
	case KIND_LIST:
	case KIND_LIST_UPLOADS: {
		const char *prefix = exchange_query(ex, "prefix");
		return verify_scope(ex, ex->bucket, prefix ? prefix : "", false);
	}
	default:
		return !ex->bucket || verify_scope(ex, ex->bucket, ex->key, exchange_kind_mutates(ex->kind));
	}
}

bool verify_request(struct exchange *ex) {
	if (ex->set.denied) {
		reply_error(ex, "AccessDenied");
		return false;
	}
	const char *header = exchange_header(ex, "authorization");
	if (!header) {
		if (exchange_query(ex, "X-Amz-Signature"))
			reply_error_detail(ex, "NotImplemented", "Presigned requests are not implemented");
		else
			reply_error(ex, "AccessDenied");
		return false;
	}
	struct authorization a = {0};
	bool ok = verify_parse(&a, header);
	if (!ok)
		reply_error(ex, "AuthorizationHeaderMalformed");
	else
		ok = verify_authorization(ex, &a);
	free(a.text);
	return ok && verify_scope_of_request(ex);
}

bool verify_body(struct exchange *ex) {
	const char *sha256 = exchange_header(ex, "x-amz-content-sha256"), *md5 = exchange_header(ex, "content-md5");
	unsigned char raw[16];
	if (ex->sha256 && strcmp(sha256, ex->sha256_hex) != 0) {
		reply_error(ex, "XAmzContentSHA256Mismatch");
		return false;
	}
	if (md5 && escape_unbase64(md5, raw, sizeof raw) != 16) {
		reply_error(ex, "InvalidDigest");
		return false;
	}
	if (md5 && memcmp(raw, ex->md5_raw, 16) != 0) {
		reply_error(ex, "BadDigest");
		return false;
	}
	return true;
}

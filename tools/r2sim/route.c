#include "tools/r2sim/route.h"

#include "tools/r2sim/escape.h"
#include "tools/r2sim/ops.h"
#include "tools/r2sim/sim.h"

#include <stdlib.h>
#include <string.h>

#define ROUTE_KEY_MAX 1024
#define ROUTE_METADATA_MAX 8192
/* 4.995 GiB, for one PUT and for one part. */
#define ROUTE_UPLOAD_MAX ((INT64_C(5) << 30) - (INT64_C(5) << 20))

static bool route_parse_query(struct exchange *ex, const char *query) {
	while (*query) {
		size_t len = strcspn(query, "&");
		size_t name_len = strcspn(query, "=&");
		char *name = escape_unpercent(query, name_len, true);
		char *value = name_len < len ? escape_unpercent(query + name_len + 1, len - name_len - 1, true) : mem_copy("");
		bool ok = name && value;
		if (ok && len)
			fields_add(&ex->query, name, value);
		free(name);
		free(value);
		if (!ok)
			return false;
		query += len + (query[len] == '&');
	}
	return true;
}

static enum kind route_bucket_kind(const struct exchange *ex) {
	const char *m = ex->method;
	if (!strcmp(m, "GET")) {
		if (exchange_query(ex, "uploads"))
			return KIND_LIST_UPLOADS;
		return exchange_query(ex, "location") ? KIND_LOCATION : KIND_LIST;
	}
	if (!strcmp(m, "POST"))
		return exchange_query(ex, "delete") ? KIND_DELETE_OBJECTS : KIND_OTHER;
	return !strcmp(m, "HEAD") ? KIND_HEAD_BUCKET : !strcmp(m, "PUT") ? KIND_CREATE_BUCKET : !strcmp(m, "DELETE") ? KIND_DELETE_BUCKET : KIND_OTHER;
}

static enum kind route_object_kind(const struct exchange *ex) {
	const char *m = ex->method;
	bool upload = exchange_query(ex, "uploadId") != NULL, copy = exchange_header(ex, "x-amz-copy-source") != NULL;
	if (!strcmp(m, "GET"))
		return upload ? KIND_LIST_PARTS : KIND_GET;
	if (!strcmp(m, "HEAD"))
		return KIND_HEAD;
	if (!strcmp(m, "PUT"))
		return upload ? (copy ? KIND_UPLOAD_PART_COPY : KIND_UPLOAD_PART) : (copy ? KIND_COPY : KIND_PUT);
	if (!strcmp(m, "DELETE"))
		return upload ? KIND_ABORT : KIND_DELETE;
	if (!strcmp(m, "POST"))
		return exchange_query(ex, "uploads") ? KIND_CREATE_MULTIPART : upload ? KIND_COMPLETE : KIND_OTHER;
	return KIND_OTHER;
}

static char *route_key(const struct exchange *ex, const char *key) {
	return ex->set.nfc && escape_is_utf8(key) ? escape_nfc(key) : mem_copy(key);
}

bool route_parse(struct exchange *ex) {
	const char *query = strchrnul(ex->uri, '?');
	size_t path_len = (size_t)(query - ex->uri), prefix = strlen(ex->sim->path_prefix);
	bool ok = route_parse_query(ex, *query ? query + 1 : query);
	if (!strncmp(ex->uri, "/_r2sim/", 8)) {
		ex->control = true;
		ex->path = mem_copy_n(ex->uri, path_len);
		return ok;
	}
	if (path_len <= prefix || strncmp(ex->uri, ex->sim->path_prefix, prefix) != 0 || ex->uri[prefix] != '/' || !ok) {
		ex->path = mem_copy_n(ex->uri, path_len);
		reply_error(ex, "InvalidURI");
		return false;
	}
	ex->path = mem_copy_n(ex->uri + prefix, path_len - prefix);
	const char *name = ex->path + 1, *slash = strchrnul(name, '/');
	char *key = escape_unpercent(*slash ? slash + 1 : slash, strlen(*slash ? slash + 1 : slash), false);
	ex->bucket = slash > name ? escape_unpercent(name, (size_t)(slash - name), false) : NULL;
	if (!key || (slash > name && !ex->bucket)) {
		free(key);
		reply_error(ex, "InvalidURI");
		return false;
	}
	if (*key)
		ex->key = route_key(ex, key);
	free(key);
	if (!ex->bucket)
		ex->kind = !strcmp(ex->method, "GET") ? KIND_LIST_BUCKETS : KIND_OTHER;
	else
		ex->kind = ex->key ? route_object_kind(ex) : route_bucket_kind(ex);
	return true;
}

/* What each operation takes in its query. x-id, which Amazon's JavaScript SDK adds to everything, is let through. */
static const char *const route_queries[KIND_COUNT][10] = {
    [KIND_LIST] = {"list-type", "prefix", "delimiter", "continuation-token", "start-after", "max-keys", "encoding-type", "fetch-owner", "marker"},
    [KIND_DELETE_OBJECTS] = {"delete"},
    [KIND_CREATE_MULTIPART] = {"uploads"},
    [KIND_UPLOAD_PART] = {"partNumber", "uploadId"},
    [KIND_UPLOAD_PART_COPY] = {"partNumber", "uploadId"},
    [KIND_COMPLETE] = {"uploadId"},
    [KIND_ABORT] = {"uploadId"},
    [KIND_LIST_UPLOADS] = {"uploads", "prefix", "delimiter", "key-marker", "upload-id-marker", "max-uploads", "encoding-type"},
    [KIND_LIST_PARTS] = {"uploadId", "max-parts", "part-number-marker", "encoding-type"},
    [KIND_LOCATION] = {"location"},
};

static bool route_known_query(enum kind kind, const char *name) {
	for (size_t i = 0; i < 10 && route_queries[kind][i]; i++)
		if (!strcmp(route_queries[kind][i], name))
			return true;
	return !strcmp(name, "x-id");
}

static bool route_refused_header(const struct exchange *ex, const char *name) {
	static const char *const refused[] = {
	    "x-amz-acl", "x-amz-grant-", "x-amz-tagging", "x-amz-server-side-encryption", "x-amz-object-lock-", "x-amz-request-payer",
	    "x-amz-expected-bucket-owner", "x-amz-source-expected-bucket-owner", "x-amz-website-redirect-location", "x-amz-bypass-governance-retention",
	    "x-amz-mfa", "x-amz-object-ownership", "x-amz-decoded-content-length", "x-amz-trailer"};
	if (ex->set.ignore_acl && !strcmp(name, "x-amz-acl"))
		return false;
	for (size_t i = 0; i < sizeof refused / sizeof *refused; i++)
		if (!strncmp(name, refused[i], strlen(refused[i])))
			return true;
	return false;
}

static bool route_optional_header(const char *name) {
	static const char *const optional[] = {"content-type", "content-encoding", "content-disposition", "content-language", "content-md5",
	    "cache-control", "expires", "range", "if-match", "if-none-match", "if-modified-since", "if-unmodified-since"};
	for (size_t i = 0; i < sizeof optional / sizeof *optional; i++)
		if (!strcmp(name, optional[i]))
			return true;
	return (!strncmp(name, "x-amz-", 6) && strncmp(name, "x-amz-meta-", 11) != 0) || !strncmp(name, "cf-copy-", 8);
}

static bool route_headers(struct exchange *ex) {
	size_t metadata = 0;
	for (size_t i = 0; i < ex->headers.n; i++) {
		const struct field *f = &ex->headers.v[i];
		if (route_refused_header(ex, f->name) || (!*f->value && route_optional_header(f->name))) {
			reply_error_detail(ex, "NotImplemented", "Header '%s' with value '%s' not implemented", f->name, f->value);
			return false;
		}
		if (!strcmp(f->name, "x-amz-storage-class") && strcmp(f->value, "STANDARD") != 0 && strcmp(f->value, "STANDARD_IA") != 0) {
			reply_error(ex, "InvalidStorageClass");
			return false;
		}
		if (!strncmp(f->name, "x-amz-meta-", 11))
			metadata += strlen(f->name) - 11 + strlen(f->value);
	}
	if (metadata > ROUTE_METADATA_MAX) {
		reply_error(ex, "MetadataTooLarge");
		return false;
	}
	return true;
}

static bool route_length(struct exchange *ex) {
	const char *length = exchange_header(ex, "content-length");
	bool has_body = !strcmp(ex->method, "PUT") || !strcmp(ex->method, "POST");
	if (exchange_header(ex, "transfer-encoding") || (has_body && !length)) {
		reply_error(ex, "MissingContentLength");
		return false;
	}
	if (length && strtoll(length, NULL, 10) > ROUTE_UPLOAD_MAX) {
		reply_error(ex, "EntityTooLarge");
		return false;
	}
	return true;
}

bool route_dialect(struct exchange *ex) {
	if (exchange_header(ex, "expect") && !ex->set.continue_100) {
		reply_error(ex, "ExpectationFailed");
		return false;
	}
	for (size_t i = 0; i < ex->query.n; i++)
		if (!route_known_query(ex->kind, ex->query.v[i].name)) {
			reply_error_detail(ex, "NotImplemented", "%s search parameter %s not implemented", exchange_kind_name(ex->kind), ex->query.v[i].name);
			return false;
		}
	if (ex->key && strlen(ex->key) > ROUTE_KEY_MAX) {
		reply_error(ex, "KeyTooLongError");
		return false;
	}
	if (ex->key && !escape_is_utf8(ex->key)) {
		reply_error(ex, "InvalidURI");
		return false;
	}
	if (ex->kind == KIND_OTHER) {
		reply_error(ex, "MethodNotAllowed");
		return false;
	}
	return route_length(ex) && route_headers(ex);
}

bool route_copy_source(const struct exchange *ex, char **bucket, char **key) {
	const char *source = exchange_header(ex, "x-amz-copy-source");
	source += *source == '/';
	char *path = escape_unpercent(source, strcspn(source, "?"), false);
	char *slash = path ? strchr(path, '/') : NULL;
	bool ok = slash && slash > path && slash[1] && escape_is_utf8(path);
	if (ok) {
		*bucket = mem_copy_n(path, (size_t)(slash - path));
		*key = route_key(ex, slash + 1);
	}
	free(path);
	return ok;
}

void route_execute(struct exchange *ex) {
	static void (*const operations[KIND_COUNT])(struct exchange *) = {
	    [KIND_LIST] = op_list,
	    [KIND_GET] = op_object_get,
	    [KIND_HEAD] = op_object_get,
	    [KIND_PUT] = op_object_put,
	    [KIND_DELETE] = op_delete_one,
	    [KIND_DELETE_OBJECTS] = op_delete_many,
	    [KIND_COPY] = op_copy,
	    [KIND_CREATE_MULTIPART] = op_multipart_create,
	    [KIND_UPLOAD_PART] = op_multipart_part,
	    [KIND_UPLOAD_PART_COPY] = op_multipart_part_copy,
	    [KIND_COMPLETE] = op_complete,
	    [KIND_ABORT] = op_multipart_abort,
	    [KIND_LIST_UPLOADS] = op_uploads_list,
	    [KIND_LIST_PARTS] = op_uploads_parts,
	    [KIND_HEAD_BUCKET] = op_bucket_head,
	    [KIND_LIST_BUCKETS] = op_bucket_list,
	    [KIND_CREATE_BUCKET] = op_bucket_create,
	    [KIND_DELETE_BUCKET] = op_bucket_delete,
	    [KIND_LOCATION] = op_bucket_location,
	};
	if (ex->set.bucket_gone && ex->bucket)
		reply_error(ex, "NoSuchBucket");
	else
		operations[ex->kind](ex);
}

#include "tools/r2sim/exchange.h"

#include "tools/r2sim/escape.h"
#include "tools/r2sim/sim.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static const struct {
	const char *name;
	bool mutates;
} exchange_kinds[KIND_COUNT] = {
    [KIND_LIST] = {"List", false},
    [KIND_GET] = {"Get", false},
    [KIND_HEAD] = {"Head", false},
    [KIND_PUT] = {"Put", true},
    [KIND_COPY] = {"Copy", true},
    [KIND_DELETE] = {"Delete", true},
    [KIND_DELETE_OBJECTS] = {"DeleteObjects", true},
    [KIND_CREATE_MULTIPART] = {"CreateMultipart", true},
    [KIND_UPLOAD_PART] = {"UploadPart", true},
    [KIND_UPLOAD_PART_COPY] = {"UploadPartCopy", true},
    [KIND_COMPLETE] = {"Complete", true},
    [KIND_ABORT] = {"Abort", true},
    [KIND_LIST_UPLOADS] = {"ListMultipartUploads", false},
    [KIND_LIST_PARTS] = {"ListParts", false},
    [KIND_HEAD_BUCKET] = {"HeadBucket", false},
    [KIND_LIST_BUCKETS] = {"ListBuckets", false},
    [KIND_CREATE_BUCKET] = {"CreateBucket", true},
    [KIND_DELETE_BUCKET] = {"DeleteBucket", true},
    [KIND_LOCATION] = {"GetBucketLocation", false},
    [KIND_OTHER] = {"Other", false},
};

const char *exchange_kind_name(enum kind kind) {
	return exchange_kinds[kind].name;
}

bool exchange_kind_mutates(enum kind kind) {
	return exchange_kinds[kind].mutates;
}

struct exchange *exchange_new(struct sim *sim, const char *uri) {
	struct exchange *ex = mem_zero(sizeof *ex);
	struct timespec ts;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	ex->started_us = (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
	ex->sim = sim;
	ex->blobs = &sim->store.blobs;
	atomic_init(&ex->refs, 1);
	ex->uri = mem_copy(uri);
	ex->kind = KIND_OTHER;
	ex->writer.fd = -1;
	return ex;
}

struct exchange *exchange_get(struct exchange *ex) {
	atomic_fetch_add(&ex->refs, 1);
	return ex;
}

void exchange_put(struct exchange *ex) {
	if (!ex || atomic_fetch_sub(&ex->refs, 1) != 1)
		return;
	blob_writer_abandon(&ex->writer);
	blob_put(ex->blob);
	EVP_MD_CTX_free(ex->md5);
	EVP_MD_CTX_free(ex->sha256);
	reply_reset(&ex->reply);
	text_free(&ex->intake);
	fields_free(&ex->headers);
	fields_free(&ex->query);
	free(ex->uri);
	free(ex->path);
	free(ex->method);
	free(ex->bucket);
	free(ex->key);
	free(ex);
}

const char *exchange_header(const struct exchange *ex, const char *lower_case_name) {
	return fields_get(&ex->headers, lower_case_name);
}

const char *exchange_query(const struct exchange *ex, const char *name) {
	return fields_get(&ex->query, name);
}

int64_t exchange_now_ms(const struct exchange *ex) {
	struct timespec ts;
	clock_gettime(CLOCK_REALTIME, &ts);
	return ((int64_t)ts.tv_sec + ex->set.clock_skew_s) * 1000 + ts.tv_nsec / 1000000;
}

void reply_reset(struct reply *r) {
	fields_free(&r->headers);
	text_free(&r->text);
	body_put(r->body);
	*r = (struct reply){0};
}

void reply_header(struct exchange *ex, const char *name, const char *value) {
	fields_add(&ex->reply.headers, name, value);
}

static const struct {
	const char *code;
	int status;
	const char *message;
} reply_errors[] = {
    {"AccessDenied", 403, "Access Denied"},
    {"AuthorizationHeaderMalformed", 400, "The authorization header is malformed."},
    {"BadDigest", 400, "The Content-MD5 you specified did not match what we received."},
    {"BucketAlreadyOwnedByYou", 409, "The bucket you tried to create already exists, and you own it."},
    {"BucketNotEmpty", 409, "The bucket you tried to delete is not empty."},
    {"EntityTooLarge", 400, "Your proposed upload exceeds the maximum allowed object size."},
    {"EntityTooSmall", 400, "Your proposed upload is smaller than the minimum allowed object size."},
    {"ExpectationFailed", 417, "100-continue is not supported."},
    {"ExpiredToken", 400, "The provided token has expired."},
    {"InternalError", 500, "We encountered an internal error. Please try again."},
    {"InvalidAccessKeyId", 403, "The access key Id you provided does not exist in our records."},
    {"InvalidArgument", 400, "Invalid Argument"},
    {"InvalidBucketName", 400, "The specified bucket name is not valid."},
    {"InvalidDigest", 400, "The Content-MD5 you specified is not valid."},
    {"InvalidPart", 400, "One or more of the specified parts could not be found."},
    {"InvalidPartOrder", 400, "The list of parts was not in ascending order."},
    {"InvalidRange", 416, "The requested range is not satisfiable"},
    {"InvalidRegionName", 400, "The region name is not valid. Must be one of: wnam, enam, weur, eeur, apac, auto"},
    {"InvalidRequest", 400, "Invalid Request"},
    {"InvalidStorageClass", 400, "The storage class you specified is not valid."},
    {"InvalidToken", 400, "The provided token is malformed or otherwise invalid."},
    {"InvalidURI", 400, "Couldn't parse the specified URI."},
    {"KeyTooLongError", 400, "Your key is too long"},
    {"MalformedXML", 400, "The XML you provided was not well-formed or did not validate against our published schema."},
    {"MetadataTooLarge", 400, "Your metadata headers exceed the maximum allowed metadata size."},
    {"MethodNotAllowed", 405, "The specified method is not allowed against this resource."},
    {"MissingContentLength", 411, "You must provide the Content-Length HTTP header."},
    {"NoSuchBucket", 404, "The specified bucket does not exist."},
    {"NoSuchKey", 404, "The specified key does not exist."},
    {"NoSuchUpload", 404, "The specified multipart upload does not exist."},
    {"NotImplemented", 501, "Not implemented"},
    {"NotModified", 304, "Not Modified"},
    {"PreconditionFailed", 412, "At least one of the pre-conditions you specified did not hold."},
    {"QuotaExceeded", 403, "The bucket's quota is exceeded."},
    {"RequestTimeTooSkewed", 403, "The difference between the request time and the server's time is too large."},
    {"SignatureDoesNotMatch", 403, "The request signature we calculated does not match the signature you provided. Check your secret access key and signing method."},
    {"SlowDown", 503, "Please reduce your request rate."},
    {"ServiceUnavailable", 503, "Please try again later."},
    {"TooManyRequests", 429, "Reduce your concurrent request rate for the same object. (10058)"},
    {"XAmzContentSHA256Mismatch", 400, "The provided 'x-amz-content-sha256' header does not match what was computed."},
};

static void reply_error_text(struct exchange *ex, const char *code, const char *detail) {
	size_t i = 0;
	while (strcmp(reply_errors[i].code, code) != 0)
		i++;
	reply_reset(&ex->reply);
	reply_xml(ex, reply_errors[i].status);
	snprintf(ex->reply.code, sizeof ex->reply.code, "%s", code);
	struct text *t = &ex->reply.text;
	text_printf(t, "<Error><Code>%s</Code><Message>", code);
	escape_xml(t, detail ? detail : reply_errors[i].message);
	text_add(t, "</Message>");
	if (ex->key) {
		text_add(t, "<Key>");
		escape_xml(t, ex->key);
		text_add(t, "</Key>");
	}
	text_printf(t, "<RequestId>%016llx</RequestId></Error>", (unsigned long long)ex->seq);
	if (reply_errors[i].status == 304)
		reply_reset(&ex->reply), ex->reply.status = 304, memcpy(ex->reply.code, "NotModified", sizeof "NotModified");
}

void reply_error(struct exchange *ex, const char *code) {
	reply_error_text(ex, code, NULL);
}

void reply_error_detail(struct exchange *ex, const char *code, const char *detail, ...) {
	va_list ap;
	va_start(ap, detail);
	char *s = NULL;
	int n = vasprintf(&s, detail, ap);
	va_end(ap);
	reply_error_text(ex, code, n < 0 ? NULL : s);
	if (n >= 0)
		free(s);
}

void reply_xml(struct exchange *ex, int status) {
	text_free(&ex->reply.text);
	ex->reply.status = status;
	fields_set(&ex->reply.headers, "Content-Type", "application/xml");
	text_add(&ex->reply.text, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>");
}

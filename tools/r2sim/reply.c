#include "tools/r2sim/reply.h"

#include "tools/r2sim/escape.h"
#include "tools/r2sim/exchange.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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
	ex->reply.status = reply_errors[i].status;
	snprintf(ex->reply.code, sizeof ex->reply.code, "%s", code);
	/* A 304 has no body, and the object's headers instead of an error's. */
	if (ex->reply.status == 304)
		return;
	reply_xml(ex, reply_errors[i].status);
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
}

void reply_error(struct exchange *ex, const char *code) {
	reply_error_text(ex, code, NULL);
}

void reply_error_detail(struct exchange *ex, const char *code, const char *detail, ...) {
	va_list ap;
	va_start(ap, detail);
	char *s = mem_vprintf(detail, ap);
	va_end(ap);
	reply_error_text(ex, code, s);
	free(s);
}

void reply_xml(struct exchange *ex, int status) {
	text_free(&ex->reply.text);
	ex->reply.status = status;
	fields_set(&ex->reply.headers, "Content-Type", "application/xml");
	text_add(&ex->reply.text, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>");
}

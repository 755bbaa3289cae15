/*
 * s3/sign.h: AWS Signature Version 4 in the Authorization header, a pure function of request, credentials and time.
 * Format: "Authenticating Requests: Using the Authorization Header", Amazon S3 API reference.
 */
#ifndef R2FS_S3_SIGN_H
#define R2FS_S3_SIGN_H

#include <stddef.h>
#include <stdint.h>

#include "s3/base/buf.h"
#include "s3/s3.h"

#define SIGN_UNSIGNED "UNSIGNED-PAYLOAD"
#define SIGN_DATE_SIZE 17 /* "20130524T000000Z" and the NUL */
#define SIGN_HEADERS_MAX 256

struct sign_header {
    const char *name;  /* lower case */
    const char *value; /* canonical form is made here: trimmed, runs of blanks become one */
};

struct sign_request {
    const char *method;
    const char *path;  /* encoded, as on the wire; "" counts as "/" */
    const char *query; /* from uri_query; "" for none */
    const struct sign_header *headers; /* those to sign, host and x-amz-date among them, in any order */
    size_t header_count;
    const char *payload; /* hex SHA-256, or SIGN_UNSIGNED */
    const char *region, *service;
    int64_t time; /* seconds since 1970; the same as in x-amz-date */
};

void sign_date(int64_t time, char date[SIGN_DATE_SIZE]);
/* The canonical request, for tests. Appends; see to->failed. */
void sign_canonical(const struct sign_request *request, struct buf *to);
/* Appends the header's value, "AWS4-HMAC-SHA256 Credential=…". 0, -ENOMEM, or -E2BIG (too many headers). */
int sign_authorization(const struct sign_request *request, const struct s3_cred *cred, struct buf *to);

#endif

/* s3/answer.h: what the headers and the error body of an answer say. */
#ifndef R2FS_S3_ANSWER_H
#define R2FS_S3_ANSWER_H

#include "s3/http.h"
#include "s3/s3.h"

/* Reads status, request id, Retry-After, and code and message of an <Error> body (any status). false: the body is no <Error>. */
bool answer_error(const struct http_response *response, struct s3_error *error);
/* The Date header in ms since 1970, 0: none. */
int64_t answer_date_ms(const struct http_response *response);
/* Fills *object from the headers. S3_OK, S3_CORRUPT (no or too long an ETag), or S3_LOCAL (memory); then *object is untouched.
 * The size is that of a Content-Range where there is one, else Content-Length. */
enum s3_outcome answer_object(const struct http_response *response, struct s3_object *object);
/* Copies an ETag without its quotes and W/. false: missing, empty or longer than S3_ETAG_MAX. */
bool answer_etag(const char *value, char etag[S3_ETAG_MAX + 1]);
/* "2026-01-31T12:00:00.123Z" in ms since 1970; false: not of this form. */
bool answer_iso_time(const char *text, int64_t *ms);

#endif

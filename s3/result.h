/* s3/result.h: small XML results. A 200 counts only with its result element. */
#ifndef R2FS_S3_RESULT_H
#define R2FS_S3_RESULT_H

#include "s3/http.h"
#include "s3/s3.h"

/* The text of <root><name>…</name></root>; the caller's. S3_OK, S3_CORRUPT (not there, empty) or S3_LOCAL. */
enum s3_outcome result_read_text(const struct http_response *response, const char *root, const char *name, char **text);
/* ETag, LastModified (where it stands) and the answer's Date. S3_OK or S3_CORRUPT. */
enum s3_outcome result_read_etag(const struct http_response *response, const char *root, struct s3_put_result *result);

#endif

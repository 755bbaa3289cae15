/* s3/headers.h: the headers that go with an object when it is stored, and the conditions on it. */
#ifndef R2FS_S3_HEADERS_H
#define R2FS_S3_HEADERS_H

#include "s3/client.h"

/* Strings that live as long as a request under way: x-amz-meta- names, quoted ETags, copy sources. */
struct headers_memory {
    char *strings[CLIENT_META_MAX + 8];
    size_t count;
};

/*
 * Adds what struct s3_headers says. S3_OK, S3_LOCAL (memory), or S3_INVALID, refused before anything is sent: metadata over
 * S3_META_MAX, a name that is no header name, a value that is not plain printable ASCII, has blanks at its ends (they would
 * not survive) or "=?" (the server would decode it), a control character in another header.
 */
enum s3_outcome headers_add_stored(struct client_request *request, struct headers_memory *memory,
                                   const struct s3_headers *headers, struct s3_error *error);
/* If-Match and If-None-Match; for a Copy's destination in R2's spelling too. S3_OK or S3_LOCAL. */
enum s3_outcome headers_add_condition(struct client_request *request, struct headers_memory *memory,
                                      const struct s3_condition *condition, struct s3_error *error);
/* name: "etag". S3_OK or S3_LOCAL. */
enum s3_outcome headers_add_etag(struct client_request *request, struct headers_memory *memory, const char *name,
                                 const char *etag, struct s3_error *error);
/* x-amz-copy-source of a key in the client's bucket. */
enum s3_outcome headers_add_source(struct client_request *request, struct headers_memory *memory, const char *bucket,
                                   const char *key, struct s3_error *error);
void headers_memory_fini(struct headers_memory *memory);

#endif

/*
 * s3/uri.h: endpoints, and the encoding of paths and queries, which is the same on the wire and in a signature: every
 * byte but A-Z a-z 0-9 - . _ ~ (and / in a path) becomes %XX in upper case, once, and nothing is normalised.
 */
#ifndef R2FS_S3_URI_H
#define R2FS_S3_URI_H

#include <stdbool.h>
#include <stddef.h>

#include "s3/base/buf.h"

#define URI_ENDPOINT_MAX 2048 /* bytes of an endpoint URL */

struct uri {
    bool tls;
    char *host; /* as the Host header says it: lower case, the port only where it is not the scheme's own */
    char *path; /* encoded, as it is sent; "" or "/a/b", no slash at the end */
};

/*
 * Reads http[s]://host[:port][/path]; without a scheme it is https. A path is taken as it is where it is encoded already.
 * 0, -EINVAL with *problem a static half-sentence ("has a user name in it"), or -ENOMEM.
 */
int uri_parse(const char *url, struct uri *uri, const char **problem);
void uri_fini(struct uri *uri);

void uri_encode(struct buf *to, const char *bytes, size_t length, bool keep_slash);
/* Decodes %XX, and + as a space, as listings with encoding-type=url have them. In place; the new length, or -1 when a % is
 * not followed by two hex digits. The result is NUL-terminated but may hold a NUL. */
long uri_decode(char *string);

struct uri_param {
    const char *name, *value; /* raw; value NULL: as "" */
};
#define URI_PARAMS_MAX 16
/* Appends name=value&… encoded and sorted after encoding; an empty value still gets its `=`. */
void uri_query(struct buf *to, const struct uri_param *params, size_t count);

#endif

#ifndef R2SIM_EXCHANGE_H
#define R2SIM_EXCHANGE_H
/*
 * One request and its answer, independent of the connection: a request whose client is gone can still take effect.
 *
 * The server fills in the request, route_ sorts it, verify_ checks who asks, an op_ or control_ function fills in the reply and the
 * server sends it. Only one thread works on an exchange at a time.
 */
#include "tools/r2sim/reply.h"
#include "tools/r2sim/settings.h"
#include "tools/r2sim/store.h"

#include <openssl/evp.h>

enum kind {
	KIND_LIST, KIND_GET, KIND_HEAD, KIND_PUT, KIND_COPY, KIND_DELETE, KIND_DELETE_OBJECTS,
	KIND_CREATE_MULTIPART, KIND_UPLOAD_PART, KIND_UPLOAD_PART_COPY, KIND_COMPLETE, KIND_ABORT, KIND_LIST_UPLOADS, KIND_LIST_PARTS,
	KIND_HEAD_BUCKET, KIND_LIST_BUCKETS, KIND_CREATE_BUCKET, KIND_DELETE_BUCKET, KIND_LOCATION,
	KIND_OTHER,
	KIND_COUNT
};
const char *exchange_kind_name(enum kind kind); /* "List", "UploadPartCopy", ... */
bool exchange_kind_mutates(enum kind kind);     /* changes what the bucket holds, unfinished uploads included */

struct sim;
struct credential;

struct exchange {
	struct sim *sim;
	atomic_uint refs;
	uint64_t seq; /* also the x-amz-request-id */
	int64_t started_us;
	unsigned port; /* the client's */

	/* The request. */
	char *uri, *path, *method; /* uri as it came; path is still encoded, without the server's --path-prefix and the query */
	struct fields headers;     /* names in lower case, values trimmed */
	struct fields query;       /* decoded, in the order they came; a name without = has an empty value */
	bool control;
	enum kind kind;
	char *bucket, *key; /* decoded, NFC; NULL where there is none */
	struct settings set;
	const struct credential *credential;

	/* Its body: into writer where objects are made, else into intake, which has a maximum. */
	struct blobs *blobs;
	bool to_blob, discard, too_large;
	uint64_t received;
	int write_error;
	struct blob_writer writer;
	struct text intake;
	struct blob *blob; /* once received */
	EVP_MD_CTX *md5, *sha256;
	char md5_hex[33], sha256_hex[65];
	unsigned char md5_raw[16];

	/* What a fault makes of a listing's page. */
	enum listing { LISTING_TRUE, LISTING_REPEAT, LISTING_SHORT, LISTING_EMPTY, LISTING_STALE } listing;
	int64_t listing_age_ms; /* of a stale one */

	const char *fault; /* the name of what was done to it on purpose, for the logs; NULL */
	bool journalled;
	struct reply reply;
};

struct exchange *exchange_new(struct sim *sim, const char *uri);
struct exchange *exchange_get(struct exchange *ex);
void exchange_put(struct exchange *ex);
const char *exchange_header(const struct exchange *ex, const char *lower_case_name);
const char *exchange_query(const struct exchange *ex, const char *name);
int64_t exchange_now_ms(const struct exchange *ex); /* by the server's clock, skew included */
#endif

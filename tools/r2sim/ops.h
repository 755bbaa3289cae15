#ifndef R2SIM_OPS_H
#define R2SIM_OPS_H
/*
 * The operations. Each reads a verified request, takes the store's lock for check and effect together, writes the journal under it,
 * and leaves the reply in the exchange.
 */
#include "tools/r2sim/exchange.h"
#include "tools/r2sim/sim.h"

/* op_list.c */
void op_list(struct exchange *ex);
/* op_object.c */
void op_object_get(struct exchange *ex); /* and Head */
void op_object_put(struct exchange *ex);
/* op_delete.c */
void op_delete_one(struct exchange *ex);
void op_delete_many(struct exchange *ex);
/* op_copy.c */
void op_copy(struct exchange *ex);
/* op_multipart.c */
void op_multipart_create(struct exchange *ex);
void op_multipart_part(struct exchange *ex);
void op_multipart_part_copy(struct exchange *ex);
void op_multipart_abort(struct exchange *ex);
/* op_complete.c */
void op_complete(struct exchange *ex);
/* op_uploads.c */
void op_uploads_list(struct exchange *ex);
void op_uploads_parts(struct exchange *ex);
/* op_bucket.c */
void op_bucket_head(struct exchange *ex);
void op_bucket_list(struct exchange *ex);
void op_bucket_create(struct exchange *ex);
void op_bucket_delete(struct exchange *ex);
void op_bucket_location(struct exchange *ex);

/* op_common.c: what several of them do. With the store's lock held, all but op_common_headers. */

/* The bucket of the request, or NULL with NoSuchBucket in the reply. */
struct bucket *op_common_bucket(struct exchange *ex);
/* The headers and user metadata that a request gives an object, decoded as R2 does. */
void op_common_headers(const struct exchange *ex, struct fields *headers, struct fields *meta);

struct conditions { /* of HTTP; NULL where not given */
	const char *match, *none_match, *modified_since, *unmodified_since;
};
struct conditions op_common_conditions(const struct exchange *ex); /* the plain ones of the request */
/* Against the current version, or NULL. True, or false with NoSuchKey, PreconditionFailed or, when reading, NotModified. */
bool op_common_check(struct exchange *ex, const struct conditions *c, const struct object *current, bool reading);
/* The rate of writes of a key and the quota; counts as a write when it returns true. */
bool op_common_allow_write(struct exchange *ex, const struct bucket *b, const char *key, uint64_t size);
/* Publishes o in place of what was there, and journals it. Takes over the reference. */
void op_common_publish(struct exchange *ex, struct bucket *b, struct object *o);
bool op_common_etag_matches(const char *list, const char *etag); /* a list of ETags as in If-Match, "*" included */
void op_common_md5_etag(char etag[STORE_ETAG_SIZE], const struct body *body);
#endif

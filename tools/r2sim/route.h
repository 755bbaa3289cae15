#ifndef R2SIM_ROUTE_H
#define R2SIM_ROUTE_H
/* From method, path, query and headers to the operation that is meant, and what R2's dialect refuses before looking further. */
#include "tools/r2sim/exchange.h"

/* Splits the URI; sets control, kind, bucket, key, query. False, with the error in the reply, when the URI can't be understood. */
bool route_parse(struct exchange *ex);
/* 501 for query parameters and headers that R2 does not know, 411, 417, empty optional headers, limits of keys and metadata. */
bool route_dialect(struct exchange *ex);
/* Runs the operation, with the body received and verified. */
void route_execute(struct exchange *ex);
/* "bucket/key" or "/bucket/key", percent-encoded, of a copy's source. False when it is neither. Results are the caller's. */
bool route_copy_source(const struct exchange *ex, char **bucket, char **key);
#endif

#ifndef R2SIM_GZIP_H
#define R2SIM_GZIP_H
/* What Cloudflare's edge does to objects with Content-Encoding: gzip. */
#include "tools/r2sim/body.h"
#include "tools/r2sim/text.h"

/* Appends the decoded bytes, at most 256 MiB. False when they are no gzip stream or too long. */
bool gzip_decode(const struct body *body, struct text *to);
#endif

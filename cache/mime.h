/*
 * cache/mime.h: content types by a file name's extension: /etc/mime.types where there is one (read once, when first needed),
 * else a small table of what people serve from buckets.
 */
#ifndef R2FS_CACHE_MIME_H
#define R2FS_CACHE_MIME_H

/* The type, kept for ever; application/octet-stream where nothing is known. name may be a whole key. Thread-safe. */
const char *mime_type(const char *name);

#endif

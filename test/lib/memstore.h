/*
 * test/lib/memstore.h: what membucket.c keeps its objects in: the bucket's own rules, without clients, faults or locks
 * (the caller locks). A change is a mutating request that owns all it points to, so that it may take effect later.
 */
#ifndef R2FS_TEST_LIB_MEMSTORE_H
#define R2FS_TEST_LIB_MEMSTORE_H

#include "test/lib/membucket.h"

struct mem_object {
    char *key;
    char *data; /* length bytes and a NUL */
    size_t length;
    char etag[S3_ETAG_MAX + 1];
    int64_t mtime_ms;
    struct s3_object headers; /* only the strings and meta */
};

struct mem_part {
    int number;
    char *data;
    size_t length;
    char etag[S3_ETAG_MAX + 1];
};

struct mem_upload {
    char *id, *key;
    int64_t initiated_ms;
    struct s3_object headers;
    struct mem_part *parts;
    size_t part_count;
};

struct mem_store {
    struct membucket_config config;
    struct mem_object **objects; /* in byte order of keys */
    size_t object_count, object_capacity;
    struct mem_upload *uploads;
    size_t upload_count;
    uint64_t upload_serial;
};

struct mem_change {
    enum s3_kind kind;
    uint64_t client;
    char *key;
    char *source, *source_if_match;
    char *if_match;
    bool if_absent;
    enum s3_directive directive;
    struct s3_object headers;
    char *data;
    size_t length;
    char *md5; /* what the client said it sends */
    char *upload_id;
    int part_number;
    uint64_t source_offset, source_length;
    struct s3_part *parts;
    size_t part_count;
};

struct mem_reply {
    char etag[S3_ETAG_MAX + 1];
    int64_t mtime_ms;  /* a Copy's */
    char *upload_id;   /* the caller's */
    size_t size;       /* what the key or part holds now */
};

void mem_store_fini(struct mem_store *store);
const struct mem_object *mem_store_find(const struct mem_store *store, const char *key);
/* The first index whose key is not below. */
size_t mem_store_lower_bound(const struct mem_store *store, const char *key);

enum s3_outcome mem_store_apply(struct mem_store *store, const struct mem_change *change, struct mem_reply *reply,
                                struct s3_error *error);
void mem_change_free(struct mem_change *change);

/* Deep copies; to must be empty. */
void mem_headers_copy(struct s3_object *to, const struct s3_headers *from);
void mem_headers_dup(struct s3_object *to, const struct s3_object *from);
/* What a HEAD says of it: to is overwritten and then the caller's. */
void mem_object_describe(struct s3_object *to, const struct mem_object *object);
void mem_md5(const void *data, size_t length, char hex[33]);
enum s3_outcome mem_error(struct s3_error *error, enum s3_outcome outcome, int http_status, const char *code);
void *mem_alloc(size_t size); /* zeroed; ends the test when there is no memory */
char *mem_dup(const char *string); /* NULL for NULL */

#endif

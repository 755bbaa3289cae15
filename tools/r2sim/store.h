#ifndef R2SIM_STORE_H
#define R2SIM_STORE_H
/*
 * Buckets, objects and multipart uploads, in memory, with an index on disk where a directory is given.
 *
 * One mutex (store_lock) makes each request's check and effect one step: the consistency that S3 promises. Every function below
 * but store_open, store_close and the store_object_ ones is called with it held. A published object never changes; whoever took a
 * reference may read it without the lock.
 *
 * DIR/index holds one JSON object a line, appended at each change and rewritten when the store is opened; a torn last line is
 * ignored. DIR/blobs/ID are the bodies. A killed r2sim has lost nothing that it answered; a power cut is not provided for.
 */
#include "tools/r2sim/body.h"
#include "tools/r2sim/fields.h"

#include <pthread.h>
#include <uthash.h>

#define STORE_ETAG_SIZE 48 /* 32 digits, -NNNNN, NUL */

struct object {
	atomic_uint refs;
	char *key;
	char etag[STORE_ETAG_SIZE]; /* without quotes */
	int64_t modified_ms;        /* by the server's clock, as told to clients */
	int64_t born_ms, died_ms;   /* by the machine's clock; died_ms is 0 while it is current */
	struct fields meta;         /* user metadata, names without x-amz-meta- */
	struct fields headers;      /* content-type and the like, names in lower case */
	struct body *body;
};

struct part {
	unsigned number;
	char etag[STORE_ETAG_SIZE];
	int64_t modified_ms;
	struct fields checksums;
	struct body *body;
	UT_hash_handle hh;
};

struct upload {
	char *id, *key;
	int64_t started_ms;
	struct fields meta, headers;
	struct part *parts; /* by number */
	UT_hash_handle hh;
};

struct bucket {
	char *name;
	int64_t created_ms;
	struct object **objects; /* in the byte order of their keys */
	size_t n, size;
	struct object **dead; /* replaced and removed versions without bodies, oldest first, for listings out of date */
	size_t dead_n, dead_size;
	struct upload *uploads; /* by id */
	UT_hash_handle hh;
};

struct store {
	pthread_mutex_t mutex;
	struct bucket *buckets; /* by name */
	struct blobs blobs;
	int index_fd, lock_fd; /* -1: in memory */
	uint64_t next_upload;
};

/* dir NULL: in memory. 0 or -errno. */
int store_open(struct store *s, const char *dir);
void store_close(struct store *s);
void store_lock(struct store *s);
void store_unlock(struct store *s);

struct bucket *store_bucket(struct store *s, const char *name);
struct bucket *store_bucket_add(struct store *s, const char *name, int64_t now_ms); /* returns the one that is there, too */
void store_bucket_remove(struct store *s, struct bucket *b);                         /* with all that is in it */

struct object *store_find(const struct bucket *b, const char *key); /* borrowed while the lock is held */
size_t store_lower_bound(const struct bucket *b, const char *key);  /* index of the first key >= key */
void store_put(struct store *s, struct bucket *b, struct object *o); /* publishes; takes over the reference */
void store_remove(struct store *s, struct bucket *b, const char *key); /* nothing when it is not there */
uint64_t store_bytes(const struct bucket *b);

struct object *store_object_new(const char *key);
struct object *store_object_get(struct object *o);
void store_object_put(struct object *o);

struct upload *store_upload_add(struct store *s, struct bucket *b, const char *key, int64_t now_ms);
void store_upload_saved(struct store *s, struct bucket *b, struct upload *u); /* call once its metadata is set */
struct upload *store_upload_find(const struct bucket *b, const char *key, const char *id);
void store_upload_remove(struct store *s, struct bucket *b, struct upload *u);
/* Takes over body and the contents of *checksums; replaces the part of that number. */
struct part *store_part_put(struct store *s, struct bucket *b, struct upload *u, unsigned number, const char *etag, struct body *body,
    struct fields *checksums, int64_t now_ms);
#endif

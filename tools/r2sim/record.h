#ifndef R2SIM_RECORD_H
#define R2SIM_RECORD_H
/*
 * What happened: counts by kind, a log of all requests, and the ordered journal of mutations.
 *
 * The journal's order is the order of effects, since it is written under the store's lock. Log and journal keep the latest
 * RECORD_MAX entries; counts go on.
 */
#include "tools/r2sim/exchange.h"

#include <jansson.h>

#define RECORD_MAX 500000

struct record_request {
	uint64_t seq, bytes_in, bytes_out;
	int64_t ms, duration_us;
	enum kind kind;
	int status;
	unsigned port;
	char *bucket, *key, *query, *code, *range, *condition, *access_key, *fault;
};

struct record_change {
	uint64_t seq, request, size;
	int64_t ms;
	enum kind kind;
	bool effect;
	int status;
	char *bucket, *key, *etag, *previous_etag, *code, *upload, *client, *fault, *condition;
	struct fields meta;
};

struct record_ring {
	void *entries;
	size_t size, n, first; /* entries [first, first + n) modulo size */
};

struct record_write { /* when a key was last written, for the rate limit */
	char *name;
	int64_t us;
	UT_hash_handle hh;
};

struct record {
	pthread_mutex_t mutex;
	uint64_t next_request, next_change;
	struct record_count {
		uint64_t requests, errors, bytes_in, bytes_out, internal;
	} counts[KIND_COUNT];
	uint64_t connections, in_flight, in_flight_max, hanging;
	struct record_ring requests, changes;
	struct record_write *writes, *old_writes; /* two generations */
};

void record_init(struct record *r);
void record_fini(struct record *r);
void record_begin(struct record *r, struct exchange *ex); /* numbers the request; in flight until record_end */
void record_answer(struct record *r, struct exchange *ex, uint64_t bytes_out); /* counts and logs it, before the client sees the answer */
void record_end(struct record *r);
void record_connection(struct record *r);
void record_hanging(struct record *r, int change);

/*
 * Journals an effect, with the store's lock held. o: what there is now (NULL: nothing), previous: what there was.
 * upload: a multipart upload's id, or NULL.
 */
void record_change(struct exchange *ex, enum kind kind, const char *key, const struct object *o, const struct object *previous, const char *upload);
/* Journals a mutating request that had no effect, by its reply. */
void record_refused(struct exchange *ex);

/* True when key may be written now; then it counts as written. */
bool record_write_allowed(struct record *r, const char *bucket, const char *key, int64_t interval_ms);

/* JSON for the control endpoint. prefix and exclude may be NULL: keys that begin with, and that contain. */
json_t *record_counts(struct record *r, uint64_t since, const char *prefix, const char *exclude);
json_t *record_log(struct record *r, uint64_t since);
json_t *record_journal(struct record *r, uint64_t since);
void record_reset(struct record *r, bool journal); /* counts and log; the journal too */
#endif

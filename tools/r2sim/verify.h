#ifndef R2SIM_VERIFY_H
#define R2SIM_VERIFY_H
/*
 * Who may do what: credentials, their scopes, and Signature Version 4 as a server checks it.
 *
 * The canonical request is built here from what was received, and shares no code with r2fs's own signer.
 */
#include "tools/r2sim/exchange.h"

#include <uthash.h>

struct credential {
	char *access_key, *secret_key, *session_token; /* token: NULL where none is needed */
	bool admin;                                     /* may ask for buckets themselves, not only for objects */
	bool read_only;
	struct fields buckets;  /* names; none means all */
	struct fields prefixes; /* names; none means all */
	int64_t expires_ms;     /* 0: never */
	UT_hash_handle hh;
	struct credential *next_revoked;
};

struct verify {
	pthread_mutex_t mutex;
	struct credential *known, *revoked; /* revoked ones are kept, since requests may still refer to them */
};

void verify_init(struct verify *v);
void verify_fini(struct verify *v);
void verify_add(struct verify *v, struct credential *c); /* takes it over; replaces the one with that access key */
bool verify_revoke(struct verify *v, const char *access_key);
struct credential *verify_credential(const char *access_key, const char *secret_key, const char *session_token);
void verify_list(struct verify *v, void (*each)(void *arg, const struct credential *c), void *arg); /* under its lock */

/* Checks the headers of a request that route_ has sorted. True, with ex->credential set; or false with the error in the reply. */
bool verify_request(struct exchange *ex);
/* Whether the credential's scope allows it, else false with AccessDenied in the reply. key NULL: the bucket itself. */
bool verify_scope(struct exchange *ex, const char *bucket, const char *key, bool writes);
/* Once the body is in: its length, SHA-256 and MD5 against the headers. */
bool verify_body(struct exchange *ex);
#endif

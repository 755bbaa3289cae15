#ifndef R2SIM_FAULT_H
#define R2SIM_FAULT_H
/*
 * Rules that make chosen requests go wrong.
 *
 * A rule says which requests it means (kinds, a glob of keys, how many to pass over, how many to hit, how often), whether the
 * request takes effect, and what the client gets instead of the answer. r2sim(1) has the JSON form. The first rule that matches
 * and is due hits; all that match count the request as seen.
 */
#include "tools/r2sim/exchange.h"

#include <jansson.h>

enum fault_answer {
	FAULT_NORMAL,        /* the true answer, perhaps later */
	FAULT_STATUS,        /* a status of the rule's choice, with a body in XML, HTML, or none */
	FAULT_RESET,         /* the connection is reset before a byte of the answer */
	FAULT_RESET_HEADERS, /* ... in the middle of its headers */
	FAULT_RESET_BODY,    /* ... in the middle of its body */
	FAULT_RESET_UPLOAD,  /* ... in the middle of the request's body */
	FAULT_TRUNCATE,      /* the connection ends in the middle of the answer's body */
	FAULT_WRONG_LENGTH,  /* Content-Length and body lack the last bytes */
	FAULT_CORRUPT,       /* one byte of the body differs */
	FAULT_HANG,          /* no answer until released, or hang_ms */
	FAULT_ERROR_200,     /* 200 with an <Error> in the body */
	FAULT_EMPTY_200,     /* 200 with nothing */
	FAULT_REDIRECT,      /* 307, or the rule's status, to the rule's location */
	FAULT_PAGE_REPEAT, FAULT_PAGE_SHORT, FAULT_PAGE_EMPTY, FAULT_PAGE_STALE, /* of listings */
	FAULT_DATE_SKEW,     /* a Date header that is skew_s ahead */
	FAULT_ANSWERS
};

enum fault_effect { FAULT_EFFECT_DONE, FAULT_EFFECT_NONE, FAULT_EFFECT_LATE };

/* What a hit does; the strings are the rule's, valid while the table lives. */
struct fault_hit {
	enum fault_answer answer;
	enum fault_effect effect;
	int64_t late_ms, delay_ms, hang_ms, after_bytes, age_ms, skew_s, drop_bytes;
	int status;
	const char *code, *message, *body, *location;
	const struct fields *headers;
};

struct fault_rule;
struct fault_table {
	pthread_mutex_t mutex;
	struct fault_rule *rules, *removed; /* removed ones are kept, since hits in progress refer to them */
	uint64_t next_id;
};

void fault_init(struct fault_table *t);
void fault_fini(struct fault_table *t);
/* Adds a rule; NULL with its id in *id, or a sentence that names what is wrong, the caller's. */
char *fault_add(struct fault_table *t, const json_t *json, uint64_t *id);
bool fault_remove(struct fault_table *t, uint64_t id); /* 0: all */
json_t *fault_list(struct fault_table *t);             /* each rule as it was given, with id, seen and hits */
/* True when a rule hits this request; sets ex->fault. Called once a request, when its headers are in. */
bool fault_match(struct fault_table *t, struct exchange *ex, struct fault_hit *hit);
#endif

/*
 * s3/retry.h: what an attempt means, and whether and when to try again. Pure: time and randomness come in as arguments.
 *
 * The question behind every rule is whether the request may have had an effect. Where it certainly had none (not all of it
 * was sent; 429 and 503; a signature or a body that was refused) it may be repeated whatever it was. Where it may have had
 * one, only what does no harm twice is repeated; another mutation ends as S3_UNKNOWN.
 */
#ifndef R2FS_S3_RETRY_H
#define R2FS_S3_RETRY_H

#include <stdbool.h>
#include <stdint.h>

#include "s3/http.h"
#include "s3/s3.h"

struct retry_attempt {
    enum s3_kind kind;
    int number;               /* 1: the first */
    bool conditional;         /* it carried an If-Match on the key that it changes, so a 404 is a lost race */
    bool clock_corrected;     /* it was signed with the server's time already */
    enum http_end end;
    bool sent, hopeless;      /* as in http_response */
    int status;               /* of the answer; for an <Error> inside a 200 that of its code (retry_status_of_code) */
    const char *code;         /* the server's <Code>, "" when there was none */
    enum s3_outcome judged;   /* a 2xx without an <Error>: what its checks said, S3_OK or S3_CORRUPT … */
};

struct retry_verdict {
    enum s3_outcome outcome;  /* should this be the last attempt */
    bool again;               /* trying again makes sense and is harmless */
};

struct retry_verdict retry_classify(const struct retry_attempt *attempt);
bool retry_is_mutation(enum s3_kind kind);
/* May this be sent again although it may have had its effect? Reads, a part (the same bytes under the same number), an abort. */
bool retry_is_repeatable(enum s3_kind kind);
/* The HTTP status that goes with a code that came inside a 200: 500 for one that is not known. */
int retry_status_of_code(const char *code);

/*
 * How long to wait after attempt number: exponential with jitter from 100 ms (1 s after 429 of a mutation, since R2 takes one
 * write a second a key) up to 2 s, or the server's Retry-After when that is longer. random is any 32 bits.
 */
int64_t retry_delay_ms(const struct retry_attempt *attempt, enum s3_outcome outcome, int64_t retry_after_ms, uint32_t random);

/* ---- budgets ---- */

/*
 * How fast retries may follow one another, for all keys together and for each: RETRY_ALL_BURST at once and then one each
 * RETRY_ALL_MS, so that a struggling endpoint is not buried; and less for one key, so that a slow one takes nothing from
 * the others. A retry beyond the budget is not refused but has to wait longer. Keys share slots by hash. Zero is full.
 */
#define RETRY_ALL_MS 20
#define RETRY_ALL_BURST 100
#define RETRY_KEY_MS 250
#define RETRY_KEY_BURST 6
#define RETRY_KEY_SLOTS 256

struct retry_budget {
    int64_t all_ms; /* when the budget will be full again */
    int64_t key_ms[RETRY_KEY_SLOTS];
};

/* Takes one retry of key (NULL: of no key) out of the budget; how many ms it has to wait from now on. */
int64_t retry_budget_take(struct retry_budget *budget, const char *key, int64_t now_ms);

#endif

#include "s3/retry.h"

#include <stddef.h>
#include <string.h>

#define CORRUPT_ATTEMPTS 4 /* an answer that is wrong four times is not wrong by accident */
#define BACKOFF_FIRST_MS 100
#define BACKOFF_MAX_MS 2000
#define HOT_KEY_MS 1000

bool retry_is_mutation(enum s3_kind kind)
{
    return kind != S3_KIND_LIST && kind != S3_KIND_GET && kind != S3_KIND_HEAD && kind != S3_KIND_LIST_UPLOADS;
}

bool retry_is_repeatable(enum s3_kind kind)
{
    return !retry_is_mutation(kind) || kind == S3_KIND_UPLOAD_PART || kind == S3_KIND_UPLOAD_PART_COPY ||
           kind == S3_KIND_ABORT_UPLOAD;
}

/* Codes that say more than their status. */
static const struct {
    const char *code;
    int status; /* for one inside a 200 */
    enum s3_outcome outcome;
    bool again; /* it had no effect and may pass */
} codes[] = {
    { "NoSuchKey", 404, S3_NOT_FOUND, false },
    { "NoSuchBucket", 404, S3_NO_BUCKET, false },
    { "NoSuchUpload", 404, S3_NO_UPLOAD, false },
    { "PreconditionFailed", 412, S3_PRECONDITION, false },
    { "ConditionalRequestConflict", 409, S3_PRECONDITION, false },
    { "OperationAborted", 409, S3_PRECONDITION, false },
    { "AccessDenied", 403, S3_DENIED, false },
    { "InvalidAccessKeyId", 403, S3_BAD_KEY, false },
    { "SignatureDoesNotMatch", 403, S3_BAD_KEY, false },
    { "ExpiredToken", 400, S3_BAD_KEY, false },
    { "InvalidToken", 400, S3_BAD_KEY, false },
    { "TokenRefreshRequired", 400, S3_BAD_KEY, false },
    { "InvalidSecurity", 403, S3_BAD_KEY, false },
    { "AuthorizationHeaderMalformed", 400, S3_BAD_KEY, false },
    { "CredentialsNotSupported", 400, S3_BAD_KEY, false },
    { "RequestTimeTooSkewed", 403, S3_CLOCK, false },
    { "RequestExpired", 403, S3_CLOCK, false },
    { "AccountProblem", 403, S3_QUOTA, false },
    { "NotSignedUp", 403, S3_QUOTA, false },
    { "QuotaExceeded", 403, S3_QUOTA, false },
    { "InsufficientStorage", 507, S3_QUOTA, false },
    { "XMinioStorageFull", 507, S3_QUOTA, false },
    { "BadDigest", 400, S3_CORRUPT, true },
    { "XAmzContentSHA256Mismatch", 400, S3_CORRUPT, true },
    { "IncompleteBody", 400, S3_CORRUPT, true },
    { "RequestTimeout", 400, S3_THROTTLED, true },
    { "SlowDown", 503, S3_THROTTLED, true },
    { "ServiceUnavailable", 503, S3_THROTTLED, true },
    { "TooManyRequests", 429, S3_THROTTLED, true },
    { "RequestLimitExceeded", 429, S3_THROTTLED, true },
    { "InternalError", 500, S3_UNKNOWN, false }, /* judged by its status */
    { "NotImplemented", 501, S3_UNSUPPORTED, false },
    { "InvalidRange", 416, S3_RANGE, false },
    { "InvalidPart", 400, S3_INVALID, false },
    { "InvalidPartOrder", 400, S3_INVALID, false },
    { "EntityTooSmall", 400, S3_INVALID, false },
    { "EntityTooLarge", 400, S3_INVALID, false },
    { "InvalidRequest", 400, S3_INVALID, false },
    { "InvalidArgument", 400, S3_INVALID, false },
    { "MalformedXML", 400, S3_INVALID, false },
    { "KeyTooLongError", 400, S3_INVALID, false },
    { "MetadataTooLarge", 400, S3_INVALID, false },
};

int retry_status_of_code(const char *code)
{
    for (size_t i = 0; i < sizeof codes / sizeof *codes; i++)
        if (!strcmp(codes[i].code, code))
            return codes[i].status;
    return 500;
}

static struct retry_verdict verdict(enum s3_outcome outcome, bool again)
{
    return (struct retry_verdict){ .outcome = outcome, .again = again };
}

/* The request left, and nothing says what became of it. */
static struct retry_verdict no_word(enum s3_kind kind)
{
    return verdict(retry_is_mutation(kind) ? S3_UNKNOWN : S3_TIMEOUT, retry_is_repeatable(kind));
}

/* An answer that fails its checks. Of a mutation it proves nothing: that is an unknown outcome. */
static struct retry_verdict corrupt(const struct retry_attempt *attempt)
{
    bool again = attempt->number < CORRUPT_ATTEMPTS && retry_is_repeatable(attempt->kind);
    return verdict(retry_is_mutation(attempt->kind) ? S3_UNKNOWN : S3_CORRUPT, again);
}

static struct retry_verdict classify_not_found(const struct retry_attempt *attempt)
{
    /* A HEAD has no body, so its status is all there is. Elsewhere a 404 that names no reason comes from something
     * between us and the bucket, and must not pass for a deletion. */
    if (attempt->kind == S3_KIND_HEAD)
        return verdict(S3_NOT_FOUND, false);
    if (attempt->kind == S3_KIND_GET || attempt->kind == S3_KIND_LIST || attempt->kind == S3_KIND_LIST_UPLOADS)
        return corrupt(attempt);
    return verdict(S3_INVALID, false);
}

static struct retry_verdict classify_status(const struct retry_attempt *attempt)
{
    switch (attempt->status) {
    case 401:
        return verdict(S3_BAD_KEY, false);
    case 402:
    case 507:
        return verdict(S3_QUOTA, false);
    case 403:
        return verdict(S3_DENIED, false);
    case 404:
        return classify_not_found(attempt);
    case 408:
    case 429:
    case 503:
        return verdict(S3_THROTTLED, true);
    case 409:
    case 412:
        return verdict(S3_PRECONDITION, false);
    case 416:
        return verdict(S3_RANGE, false);
    case 501:
        return verdict(S3_UNSUPPORTED, false);
    default:
        /* A redirect is a wrong endpoint or region: following it would send the signature elsewhere. */
        return attempt->status >= 500 ? no_word(attempt->kind) : verdict(S3_INVALID, false);
    }
}

static struct retry_verdict classify_answer(const struct retry_attempt *attempt)
{
    for (size_t i = 0; attempt->code[0] && i < sizeof codes / sizeof *codes; i++) {
        if (strcmp(codes[i].code, attempt->code) != 0)
            continue;
        switch (codes[i].outcome) {
        case S3_UNKNOWN:
            return classify_status(attempt);
        case S3_NOT_FOUND:
            return verdict(attempt->conditional ? S3_PRECONDITION : S3_NOT_FOUND, false);
        case S3_CLOCK:
            return verdict(S3_CLOCK, !attempt->clock_corrected);
        case S3_CORRUPT: /* our bytes did not arrive as they left */
            return verdict(S3_CORRUPT, attempt->number < CORRUPT_ATTEMPTS);
        default:
            return verdict(codes[i].outcome, codes[i].again);
        }
    }
    return classify_status(attempt);
}

static struct retry_verdict classify_cancelled(const struct retry_attempt *attempt)
{
    return verdict(attempt->sent && retry_is_mutation(attempt->kind) ? S3_UNKNOWN : S3_CANCELLED, false);
}

struct retry_verdict retry_classify(const struct retry_attempt *attempt)
{
    switch (attempt->end) {
    case HTTP_ANSWERED:
        if (attempt->status < 200 || attempt->status >= 300)
            return classify_answer(attempt);
        if (attempt->judged == S3_CORRUPT)
            return corrupt(attempt);
        /* It succeeded there, and here was no memory to read that. */
        if (attempt->judged == S3_LOCAL && retry_is_mutation(attempt->kind))
            return verdict(S3_UNKNOWN, false);
        return verdict(attempt->judged, false);
    case HTTP_FAILED:
        return attempt->sent ? no_word(attempt->kind) : verdict(S3_UNREACHABLE, !attempt->hopeless);
    case HTTP_TIMED_OUT:
        return attempt->sent ? no_word(attempt->kind) : verdict(S3_UNREACHABLE, true);
    case HTTP_TOO_LARGE:
        /* The buffer of a GET is too small for the object; anything else answered more than its kind ever does. */
        return attempt->kind == S3_KIND_GET ? verdict(S3_LOCAL, false) : corrupt(attempt);
    case HTTP_CANCELLED:
        return classify_cancelled(attempt);
    case HTTP_LOCAL:
        break;
    }
    return verdict(attempt->sent && retry_is_mutation(attempt->kind) ? S3_UNKNOWN : S3_LOCAL, false);
}

int64_t retry_delay_ms(const struct retry_attempt *attempt, enum s3_outcome outcome, int64_t retry_after_ms, uint32_t random)
{
    if (outcome == S3_CLOCK)
        return 0;
    int doublings = attempt->number < 6 ? attempt->number - 1 : 5;
    int64_t most = (int64_t)BACKOFF_FIRST_MS << doublings;
    if (most > BACKOFF_MAX_MS)
        most = BACKOFF_MAX_MS;
    /* Half is certain and half is drawn, so that those who failed together do not come back together. */
    int64_t delay = most / 2 + (int64_t)(random % (uint32_t)(most / 2 + 1));
    if (attempt->status == 429 && retry_is_mutation(attempt->kind))
        delay += HOT_KEY_MS;
    return delay > retry_after_ms ? delay : retry_after_ms;
}

/* Moves a bucket's clock by one retry; how far it is then ahead of what the burst allows. */
static int64_t take(int64_t *full_ms, int64_t now_ms, int64_t interval, int64_t burst)
{
    if (*full_ms < now_ms)
        *full_ms = now_ms;
    *full_ms += interval;
    int64_t wait = *full_ms - now_ms - burst * interval;
    return wait > 0 ? wait : 0;
}

static size_t slot_of(const char *key)
{
    uint32_t hash = 2166136261u; /* FNV-1a */
    for (; *key; key++)
        hash = (hash ^ (unsigned char)*key) * 16777619u;
    return hash % RETRY_KEY_SLOTS;
}

int64_t retry_budget_take(struct retry_budget *budget, const char *key, int64_t now_ms)
{
    int64_t all = take(&budget->all_ms, now_ms, RETRY_ALL_MS, RETRY_ALL_BURST);
    int64_t one = key ? take(&budget->key_ms[slot_of(key)], now_ms, RETRY_KEY_MS, RETRY_KEY_BURST) : 0;
    return all > one ? all : one;
}

/*
 * The life of a call: client_run digests the body once, then sends attempt after attempt until retry.c says that it is
 * over. What a signature depends on (time, credentials) is read when an attempt starts, on the network thread.
 */
#include "s3/client.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/types.h>

#include "s3/answer.h"
#include "s3/base/clock.h"
#include "s3/base/lock.h"
#include "s3/base/log.h"
#include "s3/batch.h"
#include "s3/cred.h"
#include "s3/digest.h"
#include "s3/list.h"
#include "s3/object.h"
#include "s3/retry.h"
#include "s3/sign.h"
#include "s3/upload.h"

#define URL_MAX (16u << 10)
#define DEFAULT_TIMEOUT_MS 30000
#define BYTES_PER_SECOND (256u << 10) /* what a body adds to the default deadline */
#define STALL_MS 15000                /* no byte either way, waiting for the answer included */
#define CLOCK_TOLERANCE_MS 5000       /* a smaller difference is latency and rounding; signatures allow 15 minutes */

struct s3 {
    struct uri endpoint;
    char *endpoint_text, *region, *bucket, *user_agent;
    bool virtual_host;
    struct http *http;
    struct cred_holder creds;
    _Atomic int64_t clock_offset_ms;
    struct lock stats_lock; /* guards what follows */
    struct s3_stats stats;
    struct retry_budget budget;
};

static const char *const methods[S3_KIND_COUNT] = {
    [S3_KIND_LIST] = "GET",          [S3_KIND_GET] = "GET",           [S3_KIND_HEAD] = "HEAD",
    [S3_KIND_PUT] = "PUT",           [S3_KIND_COPY] = "PUT",          [S3_KIND_DELETE] = "DELETE",
    [S3_KIND_DELETE_OBJECTS] = "POST", [S3_KIND_CREATE_UPLOAD] = "POST", [S3_KIND_UPLOAD_PART] = "PUT",
    [S3_KIND_UPLOAD_PART_COPY] = "PUT", [S3_KIND_COMPLETE_UPLOAD] = "POST", [S3_KIND_ABORT_UPLOAD] = "DELETE",
    [S3_KIND_LIST_UPLOADS] = "GET",
};

/* One call under way. */
struct run {
    struct s3 *s3;
    const struct s3_call *call;
    struct client_request *request;
    char *url, *path, *query;
    char md5[DIGEST_MD5_BASE64];
    char payload[DIGEST_SHA256_HEX];
    struct cred_ref *cred; /* of the attempt under way */
    bool clock_corrected;
    bool cred_renewed; /* one more attempt was made because the credentials had changed */
};

void client_param(struct client_request *request, const char *name, const char *value)
{
    assert(request->param_count < URI_PARAMS_MAX);
    request->params[request->param_count++] = (struct uri_param){ name, value };
}

void client_add_header(struct client_request *request, const char *name, const char *value, bool is_signed)
{
    assert(request->header_count < CLIENT_HEADERS_MAX);
    if (value && *value)
        request->headers[request->header_count++] = (struct client_header){ name, value, is_signed };
}

const char *client_bucket(const struct s3 *s3)
{
    return s3->bucket;
}

enum s3_outcome client_refuse(struct s3_error *error, enum s3_outcome outcome, int local_errno, const char *code,
                              const char *message)
{
    memset(error, 0, sizeof *error);
    error->outcome = outcome;
    error->local_errno = local_errno;
    snprintf(error->code, sizeof error->code, "%s", code);
    snprintf(error->message, sizeof error->message, "%s", message);
    return outcome;
}

/* ---- making a request ---- */

static int make_target(struct run *run)
{
    const struct s3 *s3 = run->s3;
    const struct client_request *request = run->request;
    struct buf path = BUF_INIT(URL_MAX), query = BUF_INIT(URL_MAX), url = BUF_INIT(2 * URL_MAX);
    buf_puts(&path, s3->endpoint.path);
    if (!s3->virtual_host) {
        buf_putc(&path, '/');
        uri_encode(&path, s3->bucket, strlen(s3->bucket), false);
    }
    if (request->key || s3->virtual_host)
        buf_putc(&path, '/');
    if (request->key)
        uri_encode(&path, request->key, strlen(request->key), true);
    uri_query(&query, request->params, request->param_count);
    run->path = buf_steal(&path);
    run->query = buf_steal(&query);
    if (run->path && run->query)
        buf_printf(&url, "%s://%s%s%s%s", s3->endpoint.tls ? "https" : "http", s3->endpoint.host, run->path,
                   *run->query ? "?" : "", run->query);
    run->url = buf_steal(&url);
    return run->url && *run->url ? 0 : -ENOMEM;
}

/* https protects the body by itself; over http the signature has to. */
static int make_digests(struct run *run)
{
    static const struct s3_body empty = { .data = "", .length = 0 };
    const struct s3_body *body = run->request->body ? run->request->body : &empty;
    bool tls = run->s3->endpoint.tls;
    if (tls)
        memcpy(run->payload, SIGN_UNSIGNED, sizeof SIGN_UNSIGNED);
    return digest_body(body, run->request->content_md5 ? run->md5 : NULL, tls ? NULL : run->payload);
}

static int add_signature(struct run *run, struct sign_header *headers, size_t count, int64_t time, struct http_lines *lines)
{
    struct s3 *s3 = run->s3;
    struct buf authorization = BUF_INIT(URL_MAX);
    const struct sign_request request = { .method = methods[run->request->kind], .path = run->path, .query = run->query,
                                          .headers = headers, .header_count = count, .payload = run->payload,
                                          .region = s3->region, .service = "s3", .time = time };
    int rc = sign_authorization(&request, &run->cred->cred, &authorization);
    if (!rc)
        rc = http_line(lines, "Authorization", authorization.data);
    buf_fini(&authorization);
    return rc;
}

static int add_both(struct http_lines *lines, struct sign_header *headers, size_t *count, const char *name, const char *value)
{
    headers[(*count)++] = (struct sign_header){ name, value };
    return http_line(lines, name, value);
}

/* The headers of one attempt; runs on the network thread as it starts. */
static int make_headers(void *arg, struct http_lines *lines)
{
    struct run *run = arg;
    const struct client_request *request = run->request;
    struct sign_header headers[CLIENT_HEADERS_MAX + 8];
    size_t count = 0;
    char date[SIGN_DATE_SIZE];
    int64_t offset = atomic_load(&run->s3->clock_offset_ms);
    int64_t time = (clock_wall_ms() + (llabs(offset) > CLOCK_TOLERANCE_MS ? offset : 0)) / 1000;
    cred_put(&run->s3->creds, run->cred);
    run->cred = cred_get(&run->s3->creds);
    sign_date(time, date);

    int rc = add_both(lines, headers, &count, "host", run->s3->endpoint.host);
    for (size_t i = 0; !rc && i < request->header_count; i++) {
        const struct client_header *header = &request->headers[i];
        rc = header->is_signed ? add_both(lines, headers, &count, header->name, header->value)
                               : http_line(lines, header->name, header->value);
    }
    if (!rc && request->content_md5)
        rc = add_both(lines, headers, &count, "content-md5", run->md5);
    if (!rc)
        rc = http_line(lines, "accept-encoding", request->undecoded ? "gzip" : "identity");
    if (!rc)
        rc = http_line(lines, "user-agent", run->s3->user_agent);
    if (rc || !run->cred->cred.key_id)
        return rc;
    rc = add_both(lines, headers, &count, "x-amz-date", date);
    if (!rc)
        rc = add_both(lines, headers, &count, "x-amz-content-sha256", run->payload);
    if (!rc && run->cred->cred.token)
        rc = add_both(lines, headers, &count, "x-amz-security-token", run->cred->cred.token);
    return rc ? rc : add_signature(run, headers, count, time, lines);
}

/* ---- counts ---- */

static void count_attempt(struct run *run, const struct http_response *response, bool again)
{
    struct s3 *s3 = run->s3;
    int64_t date = answer_date_ms(response);
    if (date)
        atomic_store(&s3->clock_offset_ms, date - clock_wall_ms());
    lock_take(&s3->stats_lock);
    if (response->started)
        s3->stats.requests[run->request->kind]++;
    s3->stats.retries += again;
    s3->stats.bytes_sent += response->bytes_sent;
    s3->stats.bytes_received += response->bytes_received;
    if (response->status > 0 && response->status < 500)
        s3->stats.last_success_ms = clock_wall_ms();
    lock_drop(&s3->stats_lock);
}

static void note_error(struct s3 *s3, const struct s3_error *error)
{
    if (error->outcome == S3_OK || error->outcome == S3_NOT_FOUND || error->outcome == S3_PRECONDITION)
        return;
    lock_take(&s3->stats_lock);
    s3->stats.last_error = *error;
    s3->stats.last_error_ms = clock_wall_ms();
    lock_drop(&s3->stats_lock);
}

/* ---- attempts ---- */

static int64_t deadline_of(const struct run *run)
{
    const struct client_request *request = run->request;
    uint64_t bytes = request->body ? request->body->length : request->sink_capacity;
    if (run->call->timeout_ms > 0)
        return clock_mono_ms() + run->call->timeout_ms;
    return clock_mono_ms() + DEFAULT_TIMEOUT_MS + (int64_t)((bytes + request->copied / 16) / BYTES_PER_SECOND) * 1000;
}

/* A copy and a Complete are silent for as long as the server works; only the deadline can tell them from a dead peer. */
static int stall_of(enum s3_kind kind)
{
    bool silent = kind == S3_KIND_COPY || kind == S3_KIND_UPLOAD_PART_COPY || kind == S3_KIND_COMPLETE_UPLOAD;
    return silent ? INT32_MAX : STALL_MS;
}

static void fill_transport_error(const struct http_response *response, struct s3_error *error)
{
    error->http_status = response->status;
    error->local_errno = response->end == HTTP_TOO_LARGE ? EFBIG : response->local_errno;
    memcpy(error->code, response->code, sizeof error->code);
    memcpy(error->message, response->message, sizeof error->message);
}

/* Reads an answer: error is filled for people, the attempt for the verdict. */
static void read_answer(struct run *run, const struct http_response *response, struct retry_attempt *attempt,
                        struct s3_error *error)
{
    memset(error, 0, sizeof *error);
    attempt->code = error->code;
    if (response->end != HTTP_ANSWERED) {
        fill_transport_error(response, error);
        return;
    }
    bool is_error = answer_error(response, error);
    bool good = response->status >= 200 && response->status < 300;
    if (good && is_error) {
        attempt->status = retry_status_of_code(error->code);
        /* With a 2xx status an error that we do not know must not count as a refusal. */
        return;
    }
    if (good && run->request->judge)
        attempt->judged = run->request->judge(run->request->judge_arg, response, error);
    if (!good && !error->message[0])
        snprintf(error->message, sizeof error->message, "The server answered %d without a reason.", response->status);
    if (good && attempt->judged == S3_CORRUPT && !error->message[0])
        snprintf(error->message, sizeof error->message, "The server answered %d without a result that can be read.",
                 response->status);
}

/* A refusal of credentials that were replaced meanwhile says nothing about the new ones. */
static bool cred_was_renewed(struct run *run, enum s3_outcome outcome)
{
    if (outcome != S3_BAD_KEY || run->cred_renewed || !run->cred)
        return false;
    struct cred_ref *now = cred_get(&run->s3->creds);
    run->cred_renewed = now != run->cred;
    cred_put(&run->s3->creds, now);
    return run->cred_renewed;
}

static uint32_t draw(void)
{
    uint32_t value = 0;
    /* GRND_INSECURE: jitter must not wait for entropy at boot. */
    if (getrandom(&value, sizeof value, GRND_INSECURE) != (ssize_t)sizeof value)
        value = (uint32_t)clock_mono_ms();
    return value;
}

/* When the next attempt may start, or -1: there is no room for it before the deadline. */
static int64_t next_attempt_ms(struct run *run, const struct retry_attempt *attempt, const struct s3_error *error,
                               enum s3_outcome outcome, int64_t deadline)
{
    int64_t now = clock_mono_ms();
    int64_t delay = retry_delay_ms(attempt, outcome, error->retry_after_ms, draw());
    lock_take(&run->s3->stats_lock);
    int64_t budget = retry_budget_take(&run->s3->budget, run->request->key, now);
    lock_drop(&run->s3->stats_lock);
    if (budget > delay)
        delay = budget;
    return now + delay < deadline ? now + delay : -1;
}

/* One attempt. true: try again at *not_before. */
static bool attempt_once(struct run *run, int number, int64_t deadline, int64_t *not_before, struct s3_error *error)
{
    struct client_request *request = run->request;
    struct http_response response = { 0 };
    const struct http_request http_request = {
        .method = methods[request->kind], .url = run->url, .headers = make_headers, .headers_arg = run, .body = request->body,
        .sink = request->sink, .sink_capacity = request->sink_capacity,
        .text_max = request->text_max ? request->text_max : CLIENT_TEXT_MAX,
        .repeatable = retry_is_repeatable(request->kind), .priority = run->call->priority, .not_before_ms = *not_before,
        .deadline_ms = deadline, .stall_ms = stall_of(request->kind), .cancel = run->call->cancel, .moved = run->call->moved,
    };
    http_perform(run->s3->http, &http_request, &response);
    struct retry_attempt attempt = { .kind = request->kind, .number = number, .conditional = request->conditional,
                                     .clock_corrected = run->clock_corrected, .end = response.end, .sent = response.sent,
                                     .hopeless = response.hopeless, .status = response.status, .code = "", .judged = S3_OK };
    read_answer(run, &response, &attempt, error);
    request->length_unknown = !response.length_known;
    struct retry_verdict verdict = retry_classify(&attempt);
    error->outcome = verdict.outcome;
    bool again = verdict.again && (run->call->attempts <= 0 || number < run->call->attempts);
    if (cred_was_renewed(run, verdict.outcome)) {
        *not_before = 0;
        again = true;
    } else if (again) {
        *not_before = next_attempt_ms(run, &attempt, error, verdict.outcome, deadline);
        again = *not_before >= 0;
    }
    run->clock_corrected = run->clock_corrected || verdict.outcome == S3_CLOCK;
    count_attempt(run, &response, again);
    if (again)
        log_debug("s3: %s of %s: %s (%s), again", s3_kind_name(request->kind), request->key ? request->key : "the bucket",
                  s3_outcome_name(verdict.outcome), error->message);
    http_response_fini(&response);
    return again;
}

enum s3_outcome client_run(struct s3 *s3, const struct s3_call *call, struct client_request *request, struct s3_error *error)
{
    struct run run = { .s3 = s3, .call = call, .request = request };
    int64_t deadline = deadline_of(&run), not_before = 0;
    if (request->key && (!*request->key || strlen(request->key) > S3_KEY_MAX))
        return client_refuse(error, S3_INVALID, 0, "KeyTooLongError", "A key has between 1 and 1,024 bytes.");
    int rc = make_target(&run);
    if (!rc)
        rc = make_digests(&run);
    if (rc) {
        client_refuse(error, S3_LOCAL, -rc, "", strerrordesc_np(-rc));
    } else {
        for (int number = 1; attempt_once(&run, number, deadline, &not_before, error); number++)
            ;
    }
    note_error(s3, error);
    if (error->outcome == S3_OK)
        memset(error, 0, sizeof *error);
    cred_put(&s3->creds, run.cred);
    free(run.url);
    free(run.path);
    free(run.query);
    return error->outcome;
}

/* ---- the endpoint ---- */

static char *default_endpoint(const char *region)
{
    char *url = NULL;
    return asprintf(&url, "https://s3.%s.amazonaws.com", region) < 0 ? NULL : url;
}

static bool bucket_ok(const char *bucket)
{
    static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._";
    size_t length = strlen(bucket);
    return length >= 1 && length <= 255 && strspn(bucket, allowed) == length && strcmp(bucket, ".") && strcmp(bucket, "..");
}

static bool ends_with(const char *host, const char *end)
{
    size_t length = strcspn(host, ":"), end_length = strlen(end);
    return length > end_length && !strncmp(host + length - end_length, end, end_length);
}

static bool empty(const char *text)
{
    return !text || !*text;
}

static int set_endpoint(struct s3 *s3, const struct s3_config *config, struct s3_error *error)
{
    const char *problem = NULL;
    const char *region = empty(config->region) ? NULL : config->region;
    char *url = empty(config->endpoint) ? default_endpoint(region ? region : "us-east-1") : strdup(config->endpoint);
    int rc = url ? uri_parse(url, &s3->endpoint, &problem) : -ENOMEM;
    free(url);
    if (rc == -EINVAL) {
        client_refuse(error, S3_INVALID, 0, "Endpoint", "");
        snprintf(error->message, sizeof error->message, "The endpoint %s.", problem);
    }
    if (rc)
        return rc;
    if (!region)
        region = ends_with(s3->endpoint.host, ".r2.cloudflarestorage.com") ? "auto" : "us-east-1";
    s3->region = strdup(region);
    s3->virtual_host = config->virtual_host;
    if (s3->virtual_host) {
        char *host = NULL;
        if (asprintf(&host, "%s.%s", config->bucket, s3->endpoint.host) < 0)
            return -ENOMEM;
        free(s3->endpoint.host);
        s3->endpoint.host = host;
    }
    if (asprintf(&s3->endpoint_text, "%s://%s%s", s3->endpoint.tls ? "https" : "http", s3->endpoint.host, s3->endpoint.path) < 0)
        s3->endpoint_text = NULL;
    return s3->region && s3->endpoint_text ? 0 : -ENOMEM;
}

static int check_config(const struct s3_config *config, struct s3_error *error)
{
    const char *message = NULL;
    const char *code = "";
    if (empty(config->bucket) || !bucket_ok(config->bucket)) {
        code = "Bucket";
        message = "The bucket's name is missing or has characters that no bucket name has.";
    } else if (config->region && strpbrk(config->region, "/ \t\r\n")) {
        code = "Region";
        message = "The region has a slash or a blank in it.";
    } else if (config->cred && !empty(config->cred->key_id) && empty(config->cred->secret)) {
        code = "Secret";
        message = "There is an access key id but no secret access key.";
    } else if (config->connections_max < 0 || config->connections_max > 1024) {
        code = "Connections";
        message = "The number of connections is not between 1 and 1024.";
    }
    if (!message)
        return 0;
    client_refuse(error, S3_INVALID, 0, code, message);
    return -EINVAL;
}

int s3_open(struct s3 **out, const struct s3_config *config, struct s3_error *error)
{
    memset(error, 0, sizeof *error);
    int rc = check_config(config, error);
    if (rc)
        return rc;
    struct s3 *s3 = calloc(1, sizeof *s3);
    if (!s3)
        return -ENOMEM;
    lock_init(&s3->stats_lock, LOCK_HTTP);
    rc = cred_init(&s3->creds, config->cred);
    if (!rc)
        rc = set_endpoint(s3, config, error);
    s3->bucket = strdup(config->bucket);
    s3->user_agent = strdup(empty(config->user_agent) ? "r2fs/" R2FS_VERSION : config->user_agent);
    if (!rc && (!s3->bucket || !s3->user_agent))
        rc = -ENOMEM;
    const struct http_options options = {
        .ca_file = empty(config->ca_file) ? NULL : config->ca_file,
        .connect_timeout_ms = config->connect_timeout_ms > 0 ? config->connect_timeout_ms : 5000,
        .connections_max = config->connections_max ? config->connections_max : 64,
    };
    if (!rc)
        rc = http_new(&s3->http, &options);
    if (rc) {
        s3_close(s3);
        return rc;
    }
    *out = s3;
    return 0;
}

void s3_close(struct s3 *s3)
{
    if (!s3)
        return;
    http_free(s3->http);
    cred_fini(&s3->creds);
    uri_fini(&s3->endpoint);
    free(s3->endpoint_text);
    free(s3->region);
    free(s3->bucket);
    free(s3->user_agent);
    lock_fini(&s3->stats_lock);
    free(s3);
}

int s3_set_cred(struct s3 *s3, const struct s3_cred *cred)
{
    return cred_set(&s3->creds, cred);
}

const char *s3_endpoint(const struct s3 *s3)
{
    return s3->endpoint_text;
}

void s3_cancel_fire(struct s3_cancel *cancel)
{
    atomic_store(&cancel->fired, true);
}

static void op_stats(void *ctx, struct s3_stats *stats)
{
    struct s3 *s3 = ctx;
    lock_take(&s3->stats_lock);
    *stats = s3->stats;
    lock_drop(&s3->stats_lock);
    stats->clock_offset_ms = atomic_load(&s3->clock_offset_ms);
}

static void op_reset(void *ctx)
{
    http_reset(((struct s3 *)ctx)->http);
}

static void op_stop(void *ctx)
{
    http_stop(((struct s3 *)ctx)->http);
}

const struct s3_ops s3_network_ops = {
    .list = list_page,
    .head = object_head,
    .get = object_get,
    .put = object_put,
    .copy = object_copy,
    .remove = object_remove,
    .remove_many = batch_remove,
    .upload_create = upload_create,
    .upload_part = upload_part,
    .upload_complete = upload_complete,
    .upload_abort = upload_abort,
    .upload_list = upload_list,
    .stats = op_stats,
    .reset = op_reset,
    .stop = op_stop,
};

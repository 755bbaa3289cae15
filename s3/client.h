/*
 * s3/client.h: the one door to the network. Every operation makes a struct client_request and hands it to client_run,
 * which signs, sends, classifies, waits and tries again, and keeps the counts. Private to s3/.
 */
#ifndef R2FS_S3_CLIENT_H
#define R2FS_S3_CLIENT_H

#include "s3/base/buf.h"
#include "s3/http.h"
#include "s3/s3.h"
#include "s3/uri.h"

#define CLIENT_HEADERS_MAX 240
#define CLIENT_TEXT_MAX (16u << 10) /* a result without a list in it */
#define CLIENT_META_MAX 200         /* pairs of user metadata */

struct client_header {
    const char *name;  /* lower case */
    const char *value; /* borrowed until client_run returns */
    bool is_signed;
};

/*
 * Reads a 2xx answer that is no <Error>. S3_OK, S3_CORRUPT (also: the result element is missing), S3_LOCAL with
 * error->local_errno, or another outcome that ends the call. error is filled by client_run but for code and message.
 */
typedef enum s3_outcome (*client_judge)(void *arg, const struct http_response *response, struct s3_error *error);

struct client_request {
    enum s3_kind kind;
    const char *key; /* NULL: a request to the bucket */
    struct uri_param params[URI_PARAMS_MAX];
    size_t param_count;
    struct client_header headers[CLIENT_HEADERS_MAX];
    size_t header_count;
    const struct s3_body *body;
    bool content_md5;   /* send Content-MD5 */
    bool undecoded;     /* Accept-Encoding: gzip instead of identity */
    bool conditional;   /* there is an If-Match on the key, so a 404 is a lost race */
    void *sink;
    size_t sink_capacity;
    size_t text_max;    /* 0: CLIENT_TEXT_MAX */
    uint64_t copied;    /* bytes that the server moves by itself, for the default deadline */
    client_judge judge; /* NULL: any 2xx is good */
    void *judge_arg;
    bool length_unknown; /* out: the last answer had no Content-Length */
};

void client_param(struct client_request *request, const char *name, const char *value);
/* NULL and "" add nothing. */
void client_add_header(struct client_request *request, const char *name, const char *value, bool is_signed);

enum s3_outcome client_run(struct s3 *s3, const struct s3_call *call, struct client_request *request, struct s3_error *error);

/* Ends a call before anything was sent: fills *error and returns the outcome. */
enum s3_outcome client_refuse(struct s3_error *error, enum s3_outcome outcome, int local_errno, const char *code,
                              const char *message);
const char *client_bucket(const struct s3 *s3);

#endif

#include "s3/transfer.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "s3/base/clock.h"

#define LARGE_BODY (256u << 10) /* from here on curl gets a larger buffer */

/* ---- headers ---- */

int http_line(struct http_lines *lines, const char *name, const char *value)
{
    for (const char *c = value; *c; c++)
        if ((unsigned char)*c < 0x20 || *c == 0x7f)
            return -EINVAL;
    char *line = NULL;
    /* "Name;" is how curl is told to send a header without a value, "Name:" to drop one of its own. */
    if (asprintf(&line, *value ? "%s: %s" : "%s:%s", name, value) < 0)
        return -ENOMEM;
    struct curl_slist *list = curl_slist_append(lines->list, line);
    free(line);
    if (!list)
        return -ENOMEM;
    lines->list = list;
    return 0;
}

bool http_header_next(const struct http_response *response, size_t *at, const char **name, const char **value)
{
    if (*at >= response->headers.length)
        return false;
    *name = response->headers.data + *at;
    *value = *name + strlen(*name) + 1;
    *at = (size_t)(*value - response->headers.data) + strlen(*value) + 1;
    return true;
}

const char *http_header(const struct http_response *response, const char *wanted)
{
    const char *name, *value;
    for (size_t at = 0; http_header_next(response, &at, &name, &value);)
        if (!strcmp(name, wanted))
            return value;
    return NULL;
}

static void note_move(struct transfer *transfer, uint64_t bytes)
{
    transfer->moved_ms = clock_mono_ms();
    if (bytes && transfer->request->moved)
        atomic_fetch_add_explicit(transfer->request->moved, bytes, memory_order_relaxed);
}

static void start_answer(struct transfer *transfer, const char *line, size_t length)
{
    struct http_response *response = transfer->response;
    const char *space = memchr(line, ' ', length);
    buf_reset(&response->headers); /* a 1xx answer came before */
    response->length_known = false;
    response->status = space && length >= (size_t)(space - line) + 4 ? (int)strtol(space + 1, NULL, 10) : 0;
}

static size_t on_header(char *line, size_t size, size_t count, void *arg)
{
    struct transfer *transfer = arg;
    struct http_response *response = transfer->response;
    size_t all = size * count, length = all;
    note_move(transfer, 0);
    while (length && (line[length - 1] == '\n' || line[length - 1] == '\r'))
        length--;
    if (length >= 5 && !memcmp(line, "HTTP/", 5)) {
        start_answer(transfer, line, length);
        return all;
    }
    const char *colon = memchr(line, ':', length);
    if (!colon || memchr(line, '\0', length))
        return all;
    for (const char *c = line; c < colon; c++)
        buf_putc(&response->headers, (char)tolower((unsigned char)*c));
    buf_putc(&response->headers, '\0');
    const char *value = colon + 1, *end = line + length;
    while (value < end && (*value == ' ' || *value == '\t'))
        value++;
    while (end > value && (end[-1] == ' ' || end[-1] == '\t'))
        end--;
    buf_append(&response->headers, value, (size_t)(end - value));
    buf_putc(&response->headers, '\0');
    transfer->headers_too_large = response->headers.failed;
    return response->headers.failed ? 0 : all;
}

/* ---- bodies ---- */

static void read_length(struct transfer *transfer)
{
    const char *length = http_header(transfer->response, "content-length");
    char *end;
    if (!length || !isdigit((unsigned char)*length))
        return;
    errno = 0;
    unsigned long long value = strtoull(length, &end, 10);
    if (errno || *end)
        return;
    transfer->response->length_known = true;
    transfer->response->length = value;
}

static size_t keep_in_sink(struct transfer *transfer, const char *data, size_t length)
{
    struct http_response *response = transfer->response;
    size_t room = transfer->request->sink_capacity - response->sink_length;
    if (response->sink_length == 0)
        read_length(transfer);
    if (length > room || (response->length_known && response->length > transfer->request->sink_capacity)) {
        transfer->too_large = true;
        return 0;
    }
    memcpy((char *)transfer->request->sink + response->sink_length, data, length);
    response->sink_length += length;
    return length;
}

static size_t on_body(char *data, size_t size, size_t count, void *arg)
{
    struct transfer *transfer = arg;
    struct http_response *response = transfer->response;
    size_t length = size * count;
    note_move(transfer, length);
    response->bytes_received += length;
    if (transfer->request->sink && (response->status == 200 || response->status == 206))
        return keep_in_sink(transfer, data, length);
    bool good = response->status >= 200 && response->status < 300;
    size_t most = good ? transfer->request->text_max : HTTP_ERROR_BODY_MAX;
    size_t room = most - response->text.length;
    if (length > room && good) {
        transfer->too_large = true;
        return 0;
    }
    buf_append(&response->text, data, length < room ? length : room);
    return response->text.failed ? 0 : length;
}

static size_t on_read(char *to, size_t size, size_t count, void *arg)
{
    struct transfer *transfer = arg;
    const struct s3_body *body = transfer->request->body;
    uint64_t left = body->length - transfer->body_at;
    size_t want = size * count < left ? size * count : (size_t)left;
    if (want == 0)
        return 0;
    if (body->data) {
        memcpy(to, (const char *)body->data + transfer->body_at, want);
    } else {
        ssize_t n;
        do
            n = pread(body->fd, to, want, (off_t)(body->offset + transfer->body_at));
        while (n < 0 && errno == EINTR);
        if (n <= 0) {
            transfer->read_errno = n < 0 ? errno : EIO;
            return CURL_READFUNC_ABORT;
        }
        want = (size_t)n;
    }
    transfer->body_at += want;
    /* Its length was announced: a server that lacks the last byte has not taken it. */
    transfer->response->sent = transfer->body_at == body->length;
    transfer->response->bytes_sent += want;
    note_move(transfer, want);
    return want;
}

static int on_seek(void *arg, curl_off_t offset, int origin)
{
    struct transfer *transfer = arg;
    if (origin != SEEK_SET || !transfer->request->repeatable)
        return CURL_SEEKFUNC_FAIL;
    transfer->body_at = (uint64_t)offset;
    return CURL_SEEKFUNC_OK;
}

/* ---- connection ---- */

/* The connection stands, and the request is about to leave. When curl comes here again it found a kept-alive connection
 * dead after sending, and wants to send once more; the first copy may have arrived. */
static int on_start(void *arg, char *remote, char *local, int remote_port, int local_port)
{
    struct transfer *transfer = arg;
    (void)remote;
    (void)local;
    (void)remote_port;
    (void)local_port;
    if (transfer->starts++ && !transfer->request->repeatable) {
        transfer->refused_repeat = true;
        return CURL_PREREQFUNC_ABORT;
    }
    transfer->response->started = true;
    transfer->response->sent = !transfer->request->body || transfer->request->body->length == 0;
    note_move(transfer, 0);
    return CURL_PREREQFUNC_OK;
}

static curl_socket_t on_socket(void *arg, curlsocktype purpose, struct curl_sockaddr *address)
{
    struct transfer *transfer = arg;
    (void)purpose;
    curl_socket_t made = socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
    if (made == CURL_SOCKET_BAD && (errno == EMFILE || errno == ENFILE))
        transfer->no_descriptor = true;
    return made;
}

bool transfer_no_descriptors(void)
{
    int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return errno == EMFILE || errno == ENFILE;
    close(fd);
    return false;
}

/* ---- set-up ---- */

static void set_method(struct transfer *transfer, CURL *easy)
{
    const struct http_request *request = transfer->request;
    bool upload = request->body || !strcmp(request->method, "PUT") || !strcmp(request->method, "POST");
    if (!strcmp(request->method, "HEAD")) {
        curl_easy_setopt(easy, CURLOPT_NOBODY, 1L);
    } else if (upload) {
        curl_easy_setopt(easy, CURLOPT_UPLOAD, 1L);
        curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, request->method);
        curl_easy_setopt(easy, CURLOPT_INFILESIZE_LARGE, (curl_off_t)(request->body ? request->body->length : 0));
        curl_easy_setopt(easy, CURLOPT_READFUNCTION, on_read);
        curl_easy_setopt(easy, CURLOPT_READDATA, transfer);
        curl_easy_setopt(easy, CURLOPT_SEEKFUNCTION, on_seek);
        curl_easy_setopt(easy, CURLOPT_SEEKDATA, transfer);
        if (!request->body || request->body->length < LARGE_BODY)
            curl_easy_setopt(easy, CURLOPT_UPLOAD_BUFFERSIZE, 16L << 10);
    } else if (strcmp(request->method, "GET") != 0) {
        curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, request->method);
    }
    if (request->sink_capacity >= LARGE_BODY)
        curl_easy_setopt(easy, CURLOPT_BUFFERSIZE, 128L << 10);
}

static void set_connection(struct transfer *transfer, CURL *easy, const struct transfer_options *options)
{
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    curl_easy_setopt(easy, CURLOPT_PATH_AS_IS, 1L);
    curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, (long)options->connect_timeout_ms);
    /* Otherwise ending a request whose name is being resolved waits for the resolver, and with it every other request. */
    curl_easy_setopt(easy, CURLOPT_QUICK_EXIT, 1L);
    curl_easy_setopt(easy, CURLOPT_TCP_KEEPALIVE, 1L);
    curl_easy_setopt(easy, CURLOPT_TCP_KEEPIDLE, 30L);
    curl_easy_setopt(easy, CURLOPT_TCP_KEEPINTVL, 10L);
    curl_easy_setopt(easy, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
    curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, on_socket);
    curl_easy_setopt(easy, CURLOPT_OPENSOCKETDATA, transfer);
    curl_easy_setopt(easy, CURLOPT_PREREQFUNCTION, on_start);
    curl_easy_setopt(easy, CURLOPT_PREREQDATA, transfer);
    if (options->ca_file) {
        curl_easy_setopt(easy, CURLOPT_CAINFO, options->ca_file);
        /* A directory beside the file costs each connection memory (43 MB instead of 19 for 32 of them). */
        curl_easy_setopt(easy, CURLOPT_CAPATH, NULL);
    }
}

int transfer_set_up(struct transfer *transfer, CURL *easy, const struct transfer_options *options)
{
    const struct http_request *request = transfer->request;
    struct http_response *response = transfer->response;
    response->headers.maximum = HTTP_HEADERS_MAX;
    response->text.maximum = request->text_max > HTTP_ERROR_BODY_MAX ? request->text_max : HTTP_ERROR_BODY_MAX;
    transfer->error[0] = '\0';
    transfer->starts = 0;
    transfer->body_at = 0;
    transfer->no_descriptor = false;
    int rc = request->headers(request->headers_arg, &transfer->lines);
    /* R2 answers no 100-continue. */
    if (!rc)
        rc = http_line(&transfer->lines, "Expect", "");
    if (rc)
        return rc;
    set_connection(transfer, easy, options);
    set_method(transfer, easy);
    curl_easy_setopt(easy, CURLOPT_HTTPHEADER, transfer->lines.list);
    curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(easy, CURLOPT_HEADERDATA, transfer);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, transfer);
    curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, transfer->error);
    curl_easy_setopt(easy, CURLOPT_PRIVATE, transfer);
    if (curl_easy_setopt(easy, CURLOPT_URL, request->url) != CURLE_OK)
        return -ENOMEM;
    transfer->easy = easy;
    transfer->moved_ms = clock_mono_ms();
    return 0;
}

void transfer_tear_down(struct transfer *transfer)
{
    curl_slist_free_all(transfer->lines.list);
    transfer->lines.list = NULL;
    transfer->easy = NULL;
}

/* ---- the end ---- */

static const char *code_name(CURLcode code)
{
    switch (code) {
    case CURLE_COULDNT_RESOLVE_PROXY:
        return "ProxyNotResolved";
    case CURLE_COULDNT_RESOLVE_HOST:
        return "HostNotResolved";
    case CURLE_COULDNT_CONNECT:
        return "ConnectionFailed";
    case CURLE_OPERATION_TIMEDOUT:
        return "ConnectTimeout";
    case CURLE_SSL_CONNECT_ERROR:
        return "TlsFailed";
    case CURLE_PEER_FAILED_VERIFICATION:
        return "CertificateNotTrusted";
    case CURLE_SSL_CACERT_BADFILE:
        return "CaFileUnreadable";
    case CURLE_PARTIAL_FILE:
        return "AnswerCut";
    case CURLE_SEND_ERROR:
        return "SendFailed";
    case CURLE_RECV_ERROR:
        return "ReceiveFailed";
    case CURLE_GOT_NOTHING:
        return "NoAnswer";
    default:
        return "TransferFailed";
    }
}

static enum http_end end_of(struct transfer *transfer, CURLcode code)
{
    struct http_response *response = transfer->response;
    if (transfer->too_large)
        return HTTP_TOO_LARGE;
    if (transfer->read_errno || code == CURLE_OUT_OF_MEMORY || response->text.failed) {
        response->local_errno = transfer->read_errno ? transfer->read_errno : ENOMEM;
        return HTTP_LOCAL;
    }
    /* The status alone says what happened, even where the body that explains it was cut. */
    if (code == CURLE_OK || (response->status >= 400 && response->started))
        return HTTP_ANSWERED;
    response->hopeless = code == CURLE_PEER_FAILED_VERIFICATION || code == CURLE_SSL_CACERT_BADFILE;
    return HTTP_FAILED;
}

void transfer_finish(struct transfer *transfer, CURLcode code)
{
    struct http_response *response = transfer->response;
    read_length(transfer);
    response->end = end_of(transfer, code);
    if (response->end == HTTP_ANSWERED)
        return;
    snprintf(response->code, sizeof response->code, "%s", code_name(code));
    const char *text = transfer->error[0] ? transfer->error : curl_easy_strerror(code);
    if (transfer->refused_repeat)
        text = "The connection closed before an answer came";
    else if (transfer->headers_too_large)
        text = "The answer's headers are too large";
    else if (transfer->read_errno)
        text = strerrordesc_np(transfer->read_errno);
    snprintf(response->message, sizeof response->message, "%.250s.", text);
}

void http_response_fini(struct http_response *response)
{
    buf_fini(&response->headers);
    buf_fini(&response->text);
}

/* The client against a peer that answers badly, or not at all: what is sent again, what never is, and what a caller sees. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <dlfcn.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "s3/base/clock.h"
#include "s3/s3.h"
#include "test/lib/peer.h"

#define OPS s3_network_ops
#define MD5_HELLO "5d41402abc4b2a76b9719d911017c592"
#define ETAG_HELLO "ETag: \"" MD5_HELLO "\"\r\n"

static struct s3_error error;
static const struct s3_call call = { .timeout_ms = 5000 };

static struct s3 *open_url(const char *url, int connections)
{
    struct s3 *s3 = NULL;
    struct s3_cred cred = { .key_id = (char *)(uintptr_t)"ID", .secret = (char *)(uintptr_t)"secret" };
    const struct s3_config config = { .endpoint = url, .bucket = "b", .cred = &cred, .connections_max = connections };
    assert_int_equal(s3_open(&s3, &config, &error), 0);
    return s3;
}

static enum s3_outcome get_into(struct s3 *s3, const struct s3_call *how, void *buffer, size_t capacity, size_t *got)
{
    struct s3_object object = { 0 };
    const struct s3_get_request request = { .key = "k", .buffer = buffer, .capacity = capacity, .verify = true };
    enum s3_outcome outcome = OPS.get(s3, how, &request, &object, got, &error);
    s3_object_fini(&object);
    return outcome;
}

static enum s3_outcome put(struct s3 *s3, const struct s3_call *how, const char *text)
{
    struct s3_put_result result;
    const struct s3_put_request request = { .key = "k", .body = { .data = text, .length = strlen(text) } };
    return OPS.put(s3, how, &request, &result, &error);
}

static enum s3_outcome copy(struct s3 *s3)
{
    struct s3_put_result result;
    const struct s3_copy_request request = { .source = "a", .key = "k" };
    return OPS.copy(s3, &call, &request, &result, &error);
}

static enum s3_outcome head(struct s3 *s3, const struct s3_call *how)
{
    struct s3_object object = { 0 };
    enum s3_outcome outcome = OPS.head(s3, how, "k", &object, &error);
    s3_object_fini(&object);
    return outcome;
}

/* ---- reads are repeated until they are whole ---- */

static enum peer_then cut_once(void *arg, const struct peer_exchange *exchange)
{
    (void)arg;
    if (exchange->number == 1) {
        peer_printf(exchange, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n" ETAG_HELLO "\r\nhel");
        return PEER_CLOSE;
    }
    peer_answer(exchange, 200, ETAG_HELLO, "hello");
    return PEER_KEEP;
}

static void a_body_that_is_cut_is_fetched_again_and_never_handed_out(void **state)
{
    (void)state;
    struct peer *peer = peer_new(cut_once, NULL, NULL);
    struct s3 *s3 = open_url(peer_url(peer), 4);
    char buffer[8];
    size_t got = 0;
    assert_int_equal(get_into(s3, &call, buffer, sizeof buffer, &got), S3_OK);
    assert_int_equal(got, 5);
    assert_memory_equal(buffer, "hello", 5);
    assert_int_equal(peer_requests(peer), 2);
    s3_close(s3);
    peer_free(peer);
}

static enum peer_then corrupt_always(void *arg, const struct peer_exchange *exchange)
{
    (void)arg;
    peer_answer(exchange, 200, ETAG_HELLO, "jello");
    return PEER_KEEP;
}

static void bytes_that_fail_their_md5_are_corrupt_after_a_few_tries(void **state)
{
    (void)state;
    struct peer *peer = peer_new(corrupt_always, NULL, NULL);
    struct s3 *s3 = open_url(peer_url(peer), 4);
    char buffer[8];
    size_t got = 77;
    assert_int_equal(get_into(s3, &call, buffer, sizeof buffer, &got), S3_CORRUPT);
    assert_int_equal(got, 77);
    assert_in_range(peer_requests(peer), 2, 5);
    s3_close(s3);
    peer_free(peer);
}

static enum peer_then reset_once(void *arg, const struct peer_exchange *exchange)
{
    (void)arg;
    if (exchange->number == 1)
        return PEER_RESET;
    peer_answer(exchange, 200, ETAG_HELLO, "hello");
    return PEER_KEEP;
}

static void a_read_whose_connection_is_reset_is_sent_again(void **state)
{
    (void)state;
    struct peer *peer = peer_new(reset_once, NULL, NULL);
    struct s3 *s3 = open_url(peer_url(peer), 4);
    char buffer[8];
    size_t got;
    assert_int_equal(get_into(s3, &call, buffer, sizeof buffer, &got), S3_OK);
    s3_close(s3);
    peer_free(peer);
}

static enum peer_then ten_bytes(void *arg, const struct peer_exchange *exchange)
{
    const bool *chunked = arg;
    if (!*chunked) {
        peer_answer(exchange, 200, "ETag: \"x\"\r\n", "0123456789");
    } else {
        peer_printf(exchange, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nETag: \"x\"\r\n\r\n"
                              "5\r\n01234\r\n5\r\n56789\r\n0\r\n\r\n");
    }
    return PEER_KEEP;
}

static void a_get_never_writes_behind_its_buffer(void **state)
{
    (void)state;
    bool chunked = false;
    struct peer *peer = peer_new(ten_bytes, &chunked, NULL);
    struct s3 *s3 = open_url(peer_url(peer), 4);
    char buffer[16] = "################";
    size_t got;
    assert_int_equal(get_into(s3, &call, buffer, 9, &got), S3_LOCAL);
    assert_int_equal(error.local_errno, EFBIG);
    assert_memory_equal(buffer, "################", 16);
    chunked = true;
    assert_int_equal(get_into(s3, &call, buffer, 9, &got), S3_LOCAL);
    assert_memory_equal(buffer + 9, "#######", 7);
    s3_close(s3);
    peer_free(peer);
}

static enum peer_then whole_for_a_range(void *arg, const struct peer_exchange *exchange)
{
    (void)arg;
    peer_answer(exchange, 200, "ETag: \"x\"\r\n", "0123456789");
    return PEER_KEEP;
}

static void a_range_answered_with_other_bytes_is_corrupt(void **state)
{
    (void)state;
    struct peer *peer = peer_new(whole_for_a_range, NULL, NULL);
    struct s3 *s3 = open_url(peer_url(peer), 4);
    char buffer[16];
    size_t got;
    struct s3_object object;
    const struct s3_get_request request = { .key = "k", .offset = 2, .length = 10, .buffer = buffer, .capacity = 16 };
    assert_int_equal(OPS.get(s3, &call, &request, &object, &got, &error), S3_CORRUPT);
    s3_close(s3);
    peer_free(peer);
}

static enum peer_then decompressed(void *arg, const struct peer_exchange *exchange)
{
    (void)arg;
    const char *accept = peer_header(exchange, "accept-encoding");
    if (accept && !strcmp(accept, "gzip"))
        peer_answer(exchange, 200, "ETag: \"x\"\r\nContent-Encoding: gzip\r\n", "\x1f\x8bstored");
    else
        peer_printf(exchange, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nETag: \"x\"\r\n\r\n"
                              "16\r\nplain text, and longer\r\n0\r\n\r\n");
    return PEER_KEEP;
}

static void what_was_decompressed_on_the_way_is_fetched_as_it_is_stored(void **state)
{
    (void)state;
    struct peer *peer = peer_new(decompressed, NULL, NULL);
    struct s3 *s3 = open_url(peer_url(peer), 4);
    char buffer[64];
    size_t got;
    assert_int_equal(get_into(s3, &call, buffer, sizeof buffer, &got), S3_OK);
    assert_int_equal(got, 8);
    assert_memory_equal(buffer, "\x1f\x8bstored", 8);
    assert_int_equal(get_into(s3, &call, buffer, 10, &got), S3_OK);
    assert_int_equal(got, 8);
    s3_close(s3);
    peer_free(peer);
}

static enum peer_then html_404(void *arg, const struct peer_exchange *exchange)
{
    (void)arg;
    peer_answer(exchange, 404, "Content-Type: text/html\r\n", "<html><body>Not here</body></html>");
    return PEER_KEEP;
}

static void a_404_in_html_is_no_deletion(void **state)
{
    (void)state;
    struct peer *peer = peer_new(html_404, NULL, NULL);
    struct s3 *s3 = open_url(peer_url(peer), 4);
    char buffer[8];
    size_t got;
    assert_int_equal(get_into(s3, &call, buffer, sizeof buffer, &got), S3_CORRUPT);
    s3_close(s3);
    peer_free(peer);
}

static enum peer_then error_200(void *arg, const struct peer_exchange *exchange)
{
    peer_answer(exchange, 200, "", arg);
    return PEER_KEEP;
}

static void check_copy(const char *body, enum s3_outcome wanted, int requests)
{
    struct peer *peer = peer_new(error_200, (void *)(uintptr_t)body, NULL);
    struct s3 *s3 = open_url(peer_url(peer), 4);
    assert_int_equal(copy(s3), wanted);
    assert_int_equal(peer_requests(peer), requests);
    s3_close(s3);
    peer_free(peer);
}

static void a_200_counts_only_with_its_result(void **state)
{
    (void)state;
    check_copy("", S3_UNKNOWN, 1);
    check_copy("<html/>", S3_UNKNOWN, 1);
    check_copy("<CopyObjectResult><ETag>\"x\"</ETag>", S3_UNKNOWN, 1);
    check_copy("<CopyObjectResult></CopyObjectResult>", S3_UNKNOWN, 1);
    check_copy("<Error><Code>InternalError</Code></Error>", S3_UNKNOWN, 1);
    check_copy("<Error><Code>SomethingNew</Code></Error>", S3_UNKNOWN, 1);
    check_copy("<Error><Code>NoSuchKey</Code></Error>", S3_NOT_FOUND, 1);
    check_copy("<CopyObjectResult><ETag>\"x\"</ETag><LastModified>2026-01-01T00:00:00.123Z</LastModified></CopyObjectResult>",
               S3_OK, 1);
}

/* ---- mutations are sent once ---- */

static enum peer_then first_ok_then_silence(void *arg, const struct peer_exchange *exchange)
{
    (void)arg;
    if (exchange->number > 1)
        return PEER_CLOSE;
    peer_answer(exchange, 200, ETAG_HELLO, "");
    return PEER_KEEP;
}

static void a_mutation_whose_connection_dies_is_unknown_and_was_sent_once(void **state)
{
    (void)state;
    struct peer *peer = peer_new(first_ok_then_silence, NULL, NULL);
    struct s3 *s3 = open_url(peer_url(peer), 4);
    const struct s3_delete_request request = { .key = "k" };
    /* On the kept-alive connection: curl would send it again by itself. */
    assert_int_equal(put(s3, &call, "hello"), S3_OK);
    assert_int_equal(OPS.remove(s3, &call, &request, &error), S3_UNKNOWN);
    assert_int_equal(peer_requests(peer), 2);
    assert_int_equal(put(s3, &call, "hello"), S3_UNKNOWN);
    assert_int_equal(peer_requests(peer), 3);
    s3_close(s3);
    peer_free(peer);
}

static enum peer_then status_of(void *arg, const struct peer_exchange *exchange)
{
    peer_answer(exchange, *(int *)arg, "", "<html>edge</html>");
    return PEER_KEEP;
}

static void a_5xx_leaves_a_mutation_unknown_and_it_is_not_repeated(void **state)
{
    (void)state;
    int status = 500;
    struct peer *peer = peer_new(status_of, &status, NULL);
    struct s3 *s3 = open_url(peer_url(peer), 4);
    assert_int_equal(put(s3, &call, "hello"), S3_UNKNOWN);
    status = 520;
    assert_int_equal(put(s3, &call, "hello"), S3_UNKNOWN);
    assert_int_equal(peer_requests(peer), 2);
    s3_close(s3);
    peer_free(peer);
}

static enum peer_then busy_once(void *arg, const struct peer_exchange *exchange)
{
    if (exchange->number == 1)
        peer_answer(exchange, 503, arg, "<Error><Code>SlowDown</Code></Error>");
    else
        peer_answer(exchange, 200, ETAG_HELLO, "");
    return PEER_KEEP;
}

static void a_throttled_mutation_waits_as_long_as_the_server_asks(void **state)
{
    (void)state;
    char header[] = "Retry-After: 1\r\n";
    struct peer *peer = peer_new(busy_once, header, NULL);
    struct s3 *s3 = open_url(peer_url(peer), 4);
    int64_t before = clock_mono_ms();
    assert_int_equal(put(s3, &call, "hello"), S3_OK);
    assert_true(clock_mono_ms() - before >= 1000);
    struct s3_stats stats;
    OPS.stats(s3, &stats);
    assert_int_equal(stats.retries, 1);
    assert_int_equal(stats.requests[S3_KIND_PUT], 2);
    s3_close(s3);
    peer_free(peer);
}

static void a_wait_beyond_the_deadline_ends_at_once(void **state)
{
    (void)state;
    char header[] = "Retry-After: 60\r\n";
    struct peer *peer = peer_new(busy_once, header, NULL);
    struct s3 *s3 = open_url(peer_url(peer), 4);
    int64_t before = clock_mono_ms();
    assert_int_equal(put(s3, &call, "hello"), S3_THROTTLED);
    assert_true(clock_mono_ms() - before < 2500);
    assert_int_equal(error.retry_after_ms, 60000);
    s3_close(s3);
    peer_free(peer);
}

static enum peer_then reset_first_before_body(void *arg, const struct peer_exchange *exchange)
{
    (void)arg;
    if (exchange->number == 1)
        return PEER_RESET;
    peer_answer(exchange, 200, "ETag: \"x\"\r\n", "");
    return PEER_KEEP;
}

static void a_put_whose_body_did_not_leave_whole_had_no_effect_and_is_sent_again(void **state)
{
    (void)state;
    const struct peer_options options = { .before_body = true };
    struct peer *peer = peer_new(reset_first_before_body, NULL, &options);
    struct s3 *s3 = open_url(peer_url(peer), 4);
    size_t length = 32u << 20; /* more than the kernel buffers */
    char *data = calloc(1, length);
    struct s3_put_result result;
    const struct s3_put_request request = { .key = "k", .body = { .data = data, .length = length } };
    assert_int_equal(OPS.put(s3, &call, &request, &result, &error), S3_OK);
    assert_int_equal(peer_requests(peer), 2);
    free(data);
    s3_close(s3);
    peer_free(peer);
}

static void permanent_refusals_are_not_repeated(void **state)
{
    (void)state;
    static const struct {
        int status;
        enum s3_outcome outcome;
    } cases[] = { { 400, S3_INVALID }, { 401, S3_BAD_KEY }, { 403, S3_DENIED }, { 412, S3_PRECONDITION }, { 501, S3_UNSUPPORTED },
                  { 301, S3_INVALID }, { 307, S3_INVALID }, { 409, S3_PRECONDITION } };
    int status = 0;
    struct peer *peer = peer_new(status_of, &status, NULL);
    struct s3 *s3 = open_url(peer_url(peer), 4);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        status = cases[i].status;
        assert_int_equal(put(s3, &call, "hello"), cases[i].outcome);
        assert_int_equal(peer_requests(peer), i + 1);
    }
    s3_close(s3);
    peer_free(peer);
}

static enum peer_then redirect(void *arg, const struct peer_exchange *exchange)
{
    (void)arg;
    char header[256];
    snprintf(header, sizeof header, "Location: %s/elsewhere\r\n", peer_url(exchange->peer));
    peer_answer(exchange, 307, header, "");
    return PEER_KEEP;
}

static void a_redirect_is_not_followed(void **state)
{
    (void)state;
    struct peer *peer = peer_new(redirect, NULL, NULL);
    struct s3 *s3 = open_url(peer_url(peer), 4);
    assert_int_equal(head(s3, &call), S3_INVALID);
    assert_int_equal(peer_requests(peer), 1);
    s3_close(s3);
    peer_free(peer);
}

static enum peer_then long_error(void *arg, const struct peer_exchange *exchange)
{
    (void)arg;
    static char chunk[65536];
    memset(chunk, 'x', sizeof chunk);
    peer_printf(exchange, "HTTP/1.1 403 No\r\nContent-Length: %zu\r\n\r\n", sizeof chunk * 64);
    for (int i = 0; i < 64; i++)
        peer_send(exchange, chunk, sizeof chunk);
    return PEER_KEEP;
}

static void an_endless_error_body_is_cut_and_its_status_still_counts(void **state)
{
    (void)state;
    struct peer *peer = peer_new(long_error, NULL, NULL);
    struct s3 *s3 = open_url(peer_url(peer), 4);
    assert_int_equal(put(s3, &call, "hello"), S3_DENIED);
    s3_close(s3);
    peer_free(peer);
}

/* ---- time ---- */

static enum peer_then hang(void *arg, const struct peer_exchange *exchange)
{
    (void)arg;
    (void)exchange;
    return PEER_HANG;
}

static void every_call_ends_at_its_deadline(void **state)
{
    (void)state;
    const struct s3_call brief = { .timeout_ms = 300 };
    struct peer *peer = peer_new(hang, NULL, NULL);
    struct s3 *s3 = open_url(peer_url(peer), 4);
    int64_t before = clock_mono_ms();
    assert_int_equal(head(s3, &brief), S3_TIMEOUT);
    assert_int_equal(put(s3, &brief, "hello"), S3_UNKNOWN);
    int64_t took = clock_mono_ms() - before;
    assert_in_range(took, 600, 1500);
    s3_close(s3);
    peer_free(peer);
}

static void nobody_listening_is_unreachable_and_nothing_was_sent(void **state)
{
    (void)state;
    const struct s3_call brief = { .timeout_ms = 500 };
    struct peer *peer = peer_new(hang, NULL, NULL);
    char url[64];
    strcpy(url, peer_url(peer));
    peer_free(peer);
    struct s3 *s3 = open_url(url, 4);
    assert_int_equal(put(s3, &brief, "hello"), S3_UNREACHABLE);
    assert_string_equal(error.code, "ConnectionFailed");
    struct s3_stats stats;
    OPS.stats(s3, &stats);
    assert_int_equal(stats.requests[S3_KIND_PUT], 0);
    assert_int_equal(stats.last_error.outcome, S3_UNREACHABLE);
    s3_close(s3);
}

struct waiting {
    struct s3 *s3;
    struct s3_call call;
    enum s3_outcome outcome;
    bool mutation;
    _Atomic int64_t ended_ms;
    pthread_t thread;
};

static void *wait_for_answer(void *arg)
{
    struct waiting *waiting = arg;
    struct s3_error own;
    struct s3_object object = { 0 };
    struct s3_put_result result;
    const struct s3_put_request request = { .key = "k", .body = { .data = "x", .length = 1 } };
    waiting->outcome = waiting->mutation ? OPS.put(waiting->s3, &waiting->call, &request, &result, &own)
                                         : OPS.head(waiting->s3, &waiting->call, "k", &object, &own);
    s3_object_fini(&object);
    waiting->ended_ms = clock_mono_ms();
    return NULL;
}

static void start_waiting(struct waiting *waiting)
{
    assert_int_equal(pthread_create(&waiting->thread, NULL, wait_for_answer, waiting), 0);
}

static void a_cancel_ends_its_call_within_100_ms_and_no_other(void **state)
{
    (void)state;
    struct peer *peer = peer_new(hang, NULL, NULL);
    struct s3 *s3 = open_url(peer_url(peer), 4);
    struct s3_cancel cancel = { false };
    struct waiting one = { .s3 = s3, .call = { .timeout_ms = 5000, .cancel = &cancel } };
    struct waiting two = { .s3 = s3, .call = { .timeout_ms = 1000 } };
    start_waiting(&one);
    start_waiting(&two);
    assert_true(peer_wait_requests(peer, 2));
    int64_t fired = clock_mono_ms();
    s3_cancel_fire(&cancel);
    pthread_join(one.thread, NULL);
    assert_int_equal(one.outcome, S3_CANCELLED);
    assert_true(one.ended_ms - fired <= 100);
    pthread_join(two.thread, NULL);
    assert_int_equal(two.outcome, S3_TIMEOUT);
    s3_close(s3);
    peer_free(peer);
}

static void stop_ends_all_calls_and_refuses_later_ones(void **state)
{
    (void)state;
    struct peer *peer = peer_new(hang, NULL, NULL);
    struct s3 *s3 = open_url(peer_url(peer), 2);
    struct waiting calls[4] = { { .mutation = true }, { .mutation = true }, { .mutation = true }, { .mutation = true } };
    for (int i = 0; i < 4; i++) {
        calls[i].s3 = s3;
        calls[i].call.timeout_ms = 5000;
        start_waiting(&calls[i]);
    }
    assert_true(peer_wait_requests(peer, 2));
    int64_t before = clock_mono_ms();
    OPS.stop(s3);
    int unknown = 0, cancelled = 0;
    for (int i = 0; i < 4; i++) {
        pthread_join(calls[i].thread, NULL);
        unknown += calls[i].outcome == S3_UNKNOWN;
        cancelled += calls[i].outcome == S3_CANCELLED;
        assert_true(calls[i].ended_ms - before <= 100);
    }
    /* Two had been sent and two waited for a connection. */
    assert_int_equal(unknown, 2);
    assert_int_equal(cancelled, 2);
    assert_int_equal(head(s3, &call), S3_CANCELLED);
    s3_close(s3);
    peer_free(peer);
}

static enum peer_then hang_on_first_connection(void *arg, const struct peer_exchange *exchange)
{
    (void)arg;
    if (exchange->connection == 1)
        return PEER_HANG;
    peer_answer(exchange, 200, ETAG_HELLO, "hello");
    return PEER_KEEP;
}

static void after_a_reset_reads_go_on_over_new_connections(void **state)
{
    (void)state;
    struct peer *peer = peer_new(hang_on_first_connection, NULL, NULL);
    struct s3 *s3 = open_url(peer_url(peer), 4);
    struct waiting one = { .s3 = s3, .call = { .timeout_ms = 5000 } };
    start_waiting(&one);
    assert_true(peer_wait_requests(peer, 1));
    int64_t before = clock_mono_ms();
    OPS.reset(s3);
    pthread_join(one.thread, NULL);
    assert_int_equal(one.outcome, S3_OK);
    assert_true(one.ended_ms - before < 500);
    assert_int_equal(peer_connections(peer), 2);
    s3_close(s3);
    peer_free(peer);
}

static enum peer_then an_hour_ahead(void *arg, const struct peer_exchange *exchange)
{
    (void)arg;
    time_t later = time(NULL) + 3600;
    struct tm tm;
    char date[64], header[128], day[32];
    gmtime_r(&later, &tm);
    strftime(date, sizeof date, "%a, %d %b %Y %H:%M:%S GMT", &tm);
    strftime(day, sizeof day, "%Y%m%dT%H", &tm);
    snprintf(header, sizeof header, "Date: %s\r\n" ETAG_HELLO, date);
    if (strncmp(peer_header(exchange, "x-amz-date"), day, strlen(day)) == 0)
        peer_answer(exchange, 200, header, "");
    else
        peer_answer(exchange, 403, header, "<Error><Code>RequestTimeTooSkewed</Code></Error>");
    return PEER_KEEP;
}

static void a_skewed_clock_is_corrected_by_the_servers_date_and_stays_so(void **state)
{
    (void)state;
    struct peer *peer = peer_new(an_hour_ahead, NULL, NULL);
    struct s3 *s3 = open_url(peer_url(peer), 4);
    assert_int_equal(put(s3, &call, "hello"), S3_OK);
    assert_int_equal(peer_requests(peer), 2);
    assert_int_equal(put(s3, &call, "hello"), S3_OK);
    assert_int_equal(peer_requests(peer), 3);
    struct s3_stats stats;
    OPS.stats(s3, &stats);
    assert_in_range(stats.clock_offset_ms, 3590000, 3610000);
    s3_close(s3);
    peer_free(peer);
}

static enum peer_then always_skewed(void *arg, const struct peer_exchange *exchange)
{
    (void)arg;
    peer_answer(exchange, 403, "", "<Error><Code>RequestTimeTooSkewed</Code></Error>");
    return PEER_KEEP;
}

static void a_clock_that_cannot_be_corrected_is_said_so_after_one_retry(void **state)
{
    (void)state;
    struct peer *peer = peer_new(always_skewed, NULL, NULL);
    struct s3 *s3 = open_url(peer_url(peer), 4);
    assert_int_equal(put(s3, &call, "hello"), S3_CLOCK);
    assert_int_equal(peer_requests(peer), 2);
    s3_close(s3);
    peer_free(peer);
}

static enum peer_then expired_until_renewed(void *arg, const struct peer_exchange *exchange)
{
    const char *authorization = peer_header(exchange, "authorization");
    if (strstr(authorization, "Credential=NEW/")) {
        peer_answer(exchange, 200, ETAG_HELLO, "");
        return PEER_KEEP;
    }
    /* The new credentials arrive while the request is under way. */
    struct s3_cred cred = { .key_id = (char *)(uintptr_t)"NEW", .secret = (char *)(uintptr_t)"s", .token = (char *)(uintptr_t)"t" };
    s3_set_cred(*(struct s3 **)arg, &cred);
    peer_answer(exchange, 400, "", "<Error><Code>ExpiredToken</Code></Error>");
    return PEER_KEEP;
}

static void a_request_refused_while_the_credentials_were_renewed_is_signed_again(void **state)
{
    (void)state;
    struct s3 *s3 = NULL;
    struct peer *peer = peer_new(expired_until_renewed, &s3, NULL);
    s3 = open_url(peer_url(peer), 4);
    assert_int_equal(put(s3, &call, "hello"), S3_OK);
    assert_int_equal(peer_requests(peer), 2);
    s3_close(s3);
    peer_free(peer);
}

#define SLOW_HOST "slow.invalid"
#define SLOW_MS 3000

/* In libcurl's place of the C library's: a name server that does not answer for SLOW_HOST. */
int getaddrinfo(const char *node, const char *service, const struct addrinfo *hints, struct addrinfo **result)
{
    int (*next)(const char *, const char *, const struct addrinfo *, struct addrinfo **);
    if (node && !strcmp(node, SLOW_HOST)) {
        poll(NULL, 0, SLOW_MS);
        return EAI_AGAIN;
    }
    *(void **)&next = dlsym(RTLD_NEXT, "getaddrinfo");
    return next(node, service, hints, result);
}

static void a_name_server_that_does_not_answer_holds_up_nobody(void **state)
{
    (void)state;
    struct s3 *s3 = open_url("http://" SLOW_HOST, 4);
    const struct s3_call brief = { .timeout_ms = 300 };
    int64_t before = clock_mono_ms();
    assert_int_equal(head(s3, &brief), S3_UNREACHABLE);
    assert_true(clock_mono_ms() - before < SLOW_MS / 2);
    s3_close(s3);
    assert_true(clock_mono_ms() - before < SLOW_MS / 2);
}

static void uploads_leave_a_connection_for_a_program_that_waits(void **state)
{
    (void)state;
    struct peer *peer = peer_new(hang, NULL, NULL);
    struct s3 *s3 = open_url(peer_url(peer), 4);
    struct waiting uploads[6], read = { .s3 = s3, .call = { .timeout_ms = 1000, .priority = S3_NOW } };
    for (int i = 0; i < 6; i++) {
        uploads[i] = (struct waiting){ .s3 = s3, .call = { .timeout_ms = 1500, .priority = S3_LATER }, .mutation = true };
        start_waiting(&uploads[i]);
    }
    assert_true(peer_wait_requests(peer, 3));
    start_waiting(&read);
    assert_true(peer_wait_requests(peer, 4));
    pthread_join(read.thread, NULL);
    assert_int_equal(read.outcome, S3_TIMEOUT); /* sent, not left waiting (that would be unreachable) */
    assert_int_equal(peer_connections(peer), 4);
    for (int i = 0; i < 6; i++)
        pthread_join(uploads[i].thread, NULL);
    s3_close(s3);
    peer_free(peer);
}

/* ---- this machine ---- */

static enum peer_then say_hello(void *arg, const struct peer_exchange *exchange)
{
    (void)arg;
    peer_answer(exchange, 200, ETAG_HELLO, "hello");
    return PEER_KEEP;
}

static void a_request_waits_for_a_descriptor(void **state)
{
    (void)state;
    struct peer *peer = peer_new(say_hello, NULL, NULL);
    struct s3 *s3 = open_url(peer_url(peer), 4);
    struct rlimit before, low;
    getrlimit(RLIMIT_NOFILE, &before);
    low = before;
    low.rlim_cur = 64;
    setrlimit(RLIMIT_NOFILE, &low);
    int taken[64], count = 0;
    while (count < 64 && (taken[count] = open("/dev/null", O_RDONLY | O_CLOEXEC)) >= 0)
        count++;
    struct waiting one = { .s3 = s3, .call = { .timeout_ms = 5000 } };
    start_waiting(&one);
    poll(NULL, 0, 200); /* it must still be waiting, not have failed */
    assert_int_equal(one.ended_ms, 0);
    while (count)
        close(taken[--count]);
    pthread_join(one.thread, NULL);
    setrlimit(RLIMIT_NOFILE, &before);
    assert_int_equal(one.outcome, S3_OK);
    s3_close(s3);
    peer_free(peer);
}

static void no_descriptor_is_handed_on_to_a_child(void **state)
{
    (void)state;
    struct peer *peer = peer_new(say_hello, NULL, NULL);
    bool before[1024];
    for (int fd = 0; fd < 1024; fd++)
        before[fd] = fcntl(fd, F_GETFD) >= 0;
    struct s3 *s3 = open_url(peer_url(peer), 4);
    assert_int_equal(head(s3, &call), S3_OK);
    OPS.reset(s3);
    assert_int_equal(head(s3, &call), S3_OK);
    for (int fd = 0; fd < 1024; fd++) {
        int flags = before[fd] ? -1 : fcntl(fd, F_GETFD);
        if (flags >= 0)
            assert_true(flags & FD_CLOEXEC);
    }
    s3_close(s3);
    peer_free(peer);
}

static void what_a_header_cannot_carry_is_refused_before_it_is_sent(void **state)
{
    (void)state;
    struct peer *peer = peer_new(say_hello, NULL, NULL);
    struct s3 *s3 = open_url(peer_url(peer), 4);
    static const char *const values[] = { "\xc3\xbc", "a\nb", "a\r\nx: y", "=?utf-8?q?x?=", " a", "a ", "\x7f" };
    struct s3_put_result result;
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        struct s3_pair pair = { (char *)(uintptr_t)"name", (char *)(uintptr_t)values[i] };
        const struct s3_put_request request = { .key = "k", .body = { .data = "" }, .headers = { .meta = &pair, .meta_count = 1 } };
        assert_int_equal(OPS.put(s3, &call, &request, &result, &error), S3_INVALID);
    }
    char *large = calloc(1, S3_META_MAX + 1);
    memset(large, 'x', S3_META_MAX);
    struct s3_pair pair = { (char *)(uintptr_t)"n", large };
    const struct s3_put_request request = { .key = "k", .body = { .data = "" }, .headers = { .meta = &pair, .meta_count = 1 } };
    assert_int_equal(OPS.put(s3, &call, &request, &result, &error), S3_INVALID);
    free(large);
    char key[S3_KEY_MAX + 2];
    memset(key, 'k', sizeof key - 1);
    key[sizeof key - 1] = '\0';
    struct s3_object object;
    assert_int_equal(OPS.head(s3, &call, key, &object, &error), S3_INVALID);
    assert_int_equal(peer_requests(peer), 0);
    s3_close(s3);
    peer_free(peer);
}

static void bytes_are_counted_as_they_move(void **state)
{
    (void)state;
    _Atomic uint64_t moved = 0;
    const struct s3_call counted = { .timeout_ms = 5000, .moved = &moved };
    struct peer *peer = peer_new(say_hello, NULL, NULL);
    struct s3 *s3 = open_url(peer_url(peer), 4);
    char buffer[8];
    size_t got;
    assert_int_equal(get_into(s3, &counted, buffer, sizeof buffer, &got), S3_OK);
    assert_int_equal(moved, 5);
    assert_int_equal(put(s3, &counted, "0123456789"), S3_OK);
    assert_int_equal(moved, 5 + 10 + 5);
    s3_close(s3);
    peer_free(peer);
}

static enum peer_then keep_head(void *arg, const struct peer_exchange *exchange)
{
    snprintf(arg, 4096, "%s", exchange->head);
    peer_answer(exchange, 200, ETAG_HELLO, "");
    return PEER_KEEP;
}

static void a_request_carries_what_r2_wants_and_nothing_that_it_refuses(void **state)
{
    (void)state;
    char seen[4096] = "";
    struct peer *peer = peer_new(keep_head, seen, NULL);
    char url[128];
    snprintf(url, sizeof url, "%s/base/path/", peer_url(peer));
    struct s3 *s3 = open_url(url, 4);
    struct s3_put_result result;
    const struct s3_put_request request = { .key = "a b/../\xc3\xbc", .body = { .data = "hello", .length = 5 },
                                            .headers = { .content_type = "", .cache_control = NULL },
                                            .condition = { .if_absent = true } };
    assert_int_equal(OPS.put(s3, &call, &request, &result, &error), S3_OK);
    assert_non_null(strstr(seen, "PUT /base/path/b/a%20b/../%C3%BC HTTP/1.1\r\n"));
    assert_non_null(strstr(seen, "content-md5: XUFAKrxLKna5cZ2REBfFkg==\r\n"));
    assert_non_null(strstr(seen, "if-none-match: *\r\n"));
    assert_non_null(strstr(seen, "accept-encoding: identity\r\n"));
    assert_non_null(strstr(seen, "x-amz-content-sha256: 2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824\r\n"));
    assert_non_null(strstr(seen, "SignedHeaders=content-md5;host;if-none-match;x-amz-content-sha256;x-amz-date,"));
    assert_non_null(strstr(seen, "Content-Length: 5\r\n"));
    assert_null(strcasestr(seen, "expect:"));
    assert_null(strcasestr(seen, "content-type:"));
    assert_null(strcasestr(seen, "transfer-encoding:"));
    assert_null(strcasestr(seen, "x-amz-checksum"));
    s3_close(s3);
    peer_free(peer);
}

static void a_proxy_from_the_environment_is_used_but_not_for_whom_it_is_not(void **state)
{
    (void)state;
    char seen[4096] = "";
    struct peer *proxy = peer_new(keep_head, seen, NULL), *direct = peer_new(say_hello, NULL, NULL);
    setenv("http_proxy", peer_url(proxy), 1);
    setenv("NO_PROXY", "127.0.0.1", 1);
    struct s3 *s3 = open_url("http://bucket.invalid/s3", 4);
    assert_int_equal(put(s3, &call, "hello"), S3_OK);
    assert_non_null(strstr(seen, "PUT http://bucket.invalid/s3/b/k HTTP/1.1\r\n"));
    assert_non_null(strcasestr(seen, "host: bucket.invalid\r\n"));
    s3_close(s3);
    s3 = open_url(peer_url(direct), 4);
    assert_int_equal(put(s3, &call, "hello"), S3_OK);
    assert_int_equal(peer_requests(direct), 1);
    assert_int_equal(peer_requests(proxy), 1);
    s3_close(s3);
    unsetenv("http_proxy");
    unsetenv("NO_PROXY");
    peer_free(proxy);
    peer_free(direct);
}

static void a_configuration_that_cannot_work_is_refused_with_its_field(void **state)
{
    (void)state;
    struct s3 *s3 = NULL;
    struct s3_cred half = { .key_id = (char *)(uintptr_t)"ID" };
    const struct s3_config cases[] = {
        { .endpoint = "http://h", .bucket = "" },
        { .endpoint = "http://h", .bucket = "a/b" },
        { .endpoint = "ftp://h", .bucket = "b" },
        { .endpoint = "http://h", .bucket = "b", .region = "a/b" },
        { .endpoint = "http://h", .bucket = "b", .cred = &half },
    };
    static const char *const codes[] = { "Bucket", "Bucket", "Endpoint", "Region", "Secret" };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_int_equal(s3_open(&s3, &cases[i], &error), -EINVAL);
        assert_string_equal(error.code, codes[i]);
        assert_true(strlen(error.message) > 10);
    }
}

static void without_an_endpoint_it_is_amazons_of_the_region(void **state)
{
    (void)state;
    struct s3 *s3;
    struct s3_config config = { .bucket = "b", .region = "eu-west-1" };
    assert_int_equal(s3_open(&s3, &config, &error), 0);
    assert_string_equal(s3_endpoint(s3), "https://s3.eu-west-1.amazonaws.com");
    s3_close(s3);
    config.region = NULL;
    assert_int_equal(s3_open(&s3, &config, &error), 0);
    assert_string_equal(s3_endpoint(s3), "https://s3.us-east-1.amazonaws.com");
    s3_close(s3);
}

int main(void)
{
    /* The machine's own proxy must not come between the client and its peer. */
    static const char *const proxies[] = { "http_proxy", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY" };
    for (size_t i = 0; i < sizeof proxies / sizeof *proxies; i++)
        unsetenv(proxies[i]);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_body_that_is_cut_is_fetched_again_and_never_handed_out),
        cmocka_unit_test(bytes_that_fail_their_md5_are_corrupt_after_a_few_tries),
        cmocka_unit_test(a_read_whose_connection_is_reset_is_sent_again),
        cmocka_unit_test(a_get_never_writes_behind_its_buffer),
        cmocka_unit_test(a_range_answered_with_other_bytes_is_corrupt),
        cmocka_unit_test(what_was_decompressed_on_the_way_is_fetched_as_it_is_stored),
        cmocka_unit_test(a_404_in_html_is_no_deletion),
        cmocka_unit_test(a_200_counts_only_with_its_result),
        cmocka_unit_test(a_mutation_whose_connection_dies_is_unknown_and_was_sent_once),
        cmocka_unit_test(a_5xx_leaves_a_mutation_unknown_and_it_is_not_repeated),
        cmocka_unit_test(a_throttled_mutation_waits_as_long_as_the_server_asks),
        cmocka_unit_test(a_wait_beyond_the_deadline_ends_at_once),
        cmocka_unit_test(a_put_whose_body_did_not_leave_whole_had_no_effect_and_is_sent_again),
        cmocka_unit_test(permanent_refusals_are_not_repeated),
        cmocka_unit_test(a_redirect_is_not_followed),
        cmocka_unit_test(an_endless_error_body_is_cut_and_its_status_still_counts),
        cmocka_unit_test(every_call_ends_at_its_deadline),
        cmocka_unit_test(nobody_listening_is_unreachable_and_nothing_was_sent),
        cmocka_unit_test(a_cancel_ends_its_call_within_100_ms_and_no_other),
        cmocka_unit_test(stop_ends_all_calls_and_refuses_later_ones),
        cmocka_unit_test(after_a_reset_reads_go_on_over_new_connections),
        cmocka_unit_test(a_skewed_clock_is_corrected_by_the_servers_date_and_stays_so),
        cmocka_unit_test(a_clock_that_cannot_be_corrected_is_said_so_after_one_retry),
        cmocka_unit_test(a_request_refused_while_the_credentials_were_renewed_is_signed_again),
        cmocka_unit_test(a_name_server_that_does_not_answer_holds_up_nobody),
        cmocka_unit_test(uploads_leave_a_connection_for_a_program_that_waits),
        cmocka_unit_test(a_request_waits_for_a_descriptor),
        cmocka_unit_test(bytes_are_counted_as_they_move),
        cmocka_unit_test(no_descriptor_is_handed_on_to_a_child),
        cmocka_unit_test(what_a_header_cannot_carry_is_refused_before_it_is_sent),
        cmocka_unit_test(a_request_carries_what_r2_wants_and_nothing_that_it_refuses),
        cmocka_unit_test(a_proxy_from_the_environment_is_used_but_not_for_whom_it_is_not),
        cmocka_unit_test(a_configuration_that_cannot_work_is_refused_with_its_field),
        cmocka_unit_test(without_an_endpoint_it_is_amazons_of_the_region),
    };
    return cmocka_run_group_tests_name("client", tests, NULL, NULL);
}

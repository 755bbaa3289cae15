#include "fs/explain.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "s3/base/buf.h"

#define SENTENCE_MAX 2048

/* Outcomes in words. `what` follows the thing, `advice` the server's code. */
static const struct {
    enum s3_outcome outcome;
    enum exit_code code;
    const char *what, *advice;
} sentences[] = {
    { S3_NOT_FOUND, EXIT_MOUNT_FAILED, "does not have that key", "check the path" },
    { S3_PRECONDITION, EXIT_MOUNT_FAILED, "says that another client changed the object", "look at both versions" },
    { S3_NO_UPLOAD, EXIT_MOUNT_FAILED, "does not know that upload any more", "it is begun again" },
    { S3_NO_BUCKET, EXIT_MOUNT_FAILED, "has no such bucket", "check its name and the endpoint, or create it" },
    { S3_DENIED, EXIT_MOUNT_FAILED, "denies access", "check that the key may list, read and write this bucket and prefix, or mount --read-only" },
    { S3_BAD_KEY, EXIT_MOUNT_FAILED, "refuses the access key", "check key id, secret and session token, and that they are of this endpoint" },
    { S3_CLOCK, EXIT_MOUNT_FAILED, "says that this machine's clock is wrong", "set the clock" },
    { S3_QUOTA, EXIT_MOUNT_FAILED, "takes no more data", "look at the account's quota and bills" },
    { S3_INVALID, EXIT_MOUNT_FAILED, "refuses the request", "check bucket, endpoint and region" },
    { S3_UNSUPPORTED, EXIT_MOUNT_FAILED, "does not support the request", "r2fs needs ListObjectsV2, and writes with If-Match" },
    { S3_RANGE, EXIT_MOUNT_FAILED, "has fewer bytes than it said", "try again" },
    { S3_THROTTLED, EXIT_MOUNT_FAILED, "asks us to slow down", "try again later" },
    { S3_UNREACHABLE, EXIT_MOUNT_FAILED, "can't be reached", "check the endpoint's URL, the network and HTTPS_PROXY" },
    { S3_UNKNOWN, EXIT_MOUNT_FAILED, "did not answer", "what was sent may have taken effect; it is looked up before it is tried again" },
    { S3_TIMEOUT, EXIT_MOUNT_FAILED, "did not answer in time", "check the network, and try again" },
    { S3_CORRUPT, EXIT_MOUNT_FAILED, "gave an answer that makes no sense", "check that the endpoint speaks S3 and that no proxy stands between" },
    { S3_CANCELLED, EXIT_INTERRUPTED, "was not waited for", "it was interrupted" },
    { S3_LOCAL, EXIT_MACHINE, "could not be asked", "this machine is short of something" },
};

/* Codes that say more than their outcome does. */
static const struct {
    const char *code, *advice;
} code_advice[] = {
    { "InvalidAccessKeyId", "check the key id, and that it is of this endpoint" },
    { "SignatureDoesNotMatch", "check the secret access key, and the region" },
    { "ExpiredToken", "its session token has ended: get a new one" },
    { "InvalidToken", "check the session token" },
};

static const char *find_advice(const struct s3_error *error, const char *otherwise)
{
    for (size_t i = 0; i < sizeof code_advice / sizeof code_advice[0]; i++)
        if (!strcmp(code_advice[i].code, error->code))
            return code_advice[i].advice;
    return otherwise;
}

static const char *text(const char *string)
{
    return string && *string ? string : NULL;
}

/* The thing: what a person has to look at. */
static void put_subject(struct buf *out, const struct explain_where *where, enum s3_outcome outcome)
{
    const char *endpoint = text(where->endpoint) ? where->endpoint : "the endpoint";

    if (outcome == S3_NO_BUCKET && text(where->bucket))
        buf_printf(out, "bucket %s: %s ", where->bucket, endpoint);
    else if (outcome == S3_DENIED && text(where->bucket))
        buf_printf(out, "%s%s%s: %s ", where->bucket, text(where->prefix) ? "/" : "", text(where->prefix) ? where->prefix : "", endpoint);
    else
        buf_printf(out, "%s ", endpoint);
}

static void put_key(struct buf *out, const struct explain_where *where, const struct s3_error *error)
{
    if (error->outcome != S3_BAD_KEY && error->outcome != S3_DENIED)
        return;
    if (text(where->cred_from))
        buf_printf(out, " of %s", where->cred_from);
}

/* " (InvalidAccessKeyId, HTTP 403: The key does not exist)", as far as there is any of it. */
static void put_answer(struct buf *out, const struct s3_error *error)
{
    const char *before = " (";

    if (error->code[0]) {
        buf_printf(out, "%s%s", before, error->code);
        before = ", ";
    }
    if (error->http_status) {
        buf_printf(out, "%sHTTP %d", before, error->http_status);
        before = ": ";
    } else if (error->code[0]) {
        before = ": ";
    }
    size_t length = strlen(error->message);
    while (length > 0 && strchr(". \n", error->message[length - 1]))
        length--;
    if (length > 0) {
        buf_printf(out, "%s%.*s", before, (int)length, error->message);
        before = "";
    }
    if (strcmp(before, " (") != 0)
        buf_putc(out, ')');
}

void explain_s3(char *out, size_t capacity, const struct explain_where *where, const struct s3_error *error)
{
    struct buf sentence = BUF_INIT(SENTENCE_MAX);

    for (size_t i = 0; i < sizeof sentences / sizeof sentences[0]; i++) {
        if (sentences[i].outcome != error->outcome)
            continue;
        put_subject(&sentence, where, error->outcome);
        buf_puts(&sentence, sentences[i].what);
        put_key(&sentence, where, error);
        if (error->outcome == S3_LOCAL && error->local_errno)
            buf_printf(&sentence, " (%s%s%s)", strerror(error->local_errno), error->message[0] ? ": " : "", error->message);
        else
            put_answer(&sentence, error);
        buf_printf(&sentence, ": %s", find_advice(error, sentences[i].advice));
    }
    snprintf(out, capacity, "%s", sentence.data ? sentence.data : "");
    for (char *c = out; *c; c++)
        if ((unsigned char)*c < ' ' || *c == 127)
            *c = ' ';
    buf_fini(&sentence);
}

enum exit_code explain_exit(const struct s3_error *error)
{
    for (size_t i = 0; i < sizeof sentences / sizeof sentences[0]; i++)
        if (sentences[i].outcome == error->outcome)
            return sentences[i].code;
    return EXIT_GOOD;
}

void explain_print(const char *format, ...)
{
    struct buf line = BUF_INIT(8192);
    char *sentence;
    va_list list;

    va_start(list, format);
    int length = vasprintf(&sentence, format, list);
    va_end(list);
    if (length < 0)
        return;
    buf_printf(&line, "r2fs: %s\n", sentence);
    free(sentence);
    /* When it can't be written nobody is there to tell. */
    ssize_t written = line.data ? write(STDERR_FILENO, line.data, line.length) : 0;
    (void)written;
    buf_fini(&line);
}

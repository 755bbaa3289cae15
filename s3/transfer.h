/*
 * s3/transfer.h: one request while http.c drives it: its curl handle, its callbacks, and the reading of its end. All of it
 * runs on the network thread.
 */
#ifndef R2FS_S3_TRANSFER_H
#define R2FS_S3_TRANSFER_H

#include <curl/curl.h>
#include <pthread.h>

#include "s3/http.h"

struct http_lines {
    struct curl_slist *list;
};

struct transfer {
    const struct http_request *request;
    struct http_response *response;
    struct transfer *prev, *next; /* in a list of http.c */
    pthread_cond_t ended;
    bool done;                    /* under the lock of http.c */
    int64_t not_before_ms;
    int64_t moved_ms;             /* monotonic: the last byte either way */
    CURL *easy;                   /* NULL: waiting */
    struct http_lines lines;
    uint64_t body_at;             /* bytes of the body read so far */
    int starts;                   /* how often the request was about to leave */
    int read_errno;               /* the body could not be read */
    bool too_large, headers_too_large, refused_repeat, no_descriptor;
    char error[CURL_ERROR_SIZE];
};

struct transfer_options {
    const char *ca_file;
    int connect_timeout_ms;
};

/* Prepares easy (fresh or reset) for the request. 0 or -errno. */
int transfer_set_up(struct transfer *transfer, CURL *easy, const struct transfer_options *options);
/* Reads how it ended into the response. */
void transfer_finish(struct transfer *transfer, CURLcode code);
/* Releases what set_up made; the easy handle stays the caller's. */
void transfer_tear_down(struct transfer *transfer);
/* Is this process out of descriptors (now)? */
bool transfer_no_descriptors(void);

#endif

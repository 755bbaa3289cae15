#include "tools/r2sim/exchange.h"

#include "tools/r2sim/escape.h"
#include "tools/r2sim/sim.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static const struct {
	const char *name;
	bool mutates;
} exchange_kinds[KIND_COUNT] = {
    [KIND_LIST] = {"List", false},
    [KIND_GET] = {"Get", false},
    [KIND_HEAD] = {"Head", false},
    [KIND_PUT] = {"Put", true},
    [KIND_COPY] = {"Copy", true},
    [KIND_DELETE] = {"Delete", true},
    [KIND_DELETE_OBJECTS] = {"DeleteObjects", true},
    [KIND_CREATE_MULTIPART] = {"CreateMultipart", true},
    [KIND_UPLOAD_PART] = {"UploadPart", true},
    [KIND_UPLOAD_PART_COPY] = {"UploadPartCopy", true},
    [KIND_COMPLETE] = {"Complete", true},
    [KIND_ABORT] = {"Abort", true},
    [KIND_LIST_UPLOADS] = {"ListMultipartUploads", false},
    [KIND_LIST_PARTS] = {"ListParts", false},
    [KIND_HEAD_BUCKET] = {"HeadBucket", false},
    [KIND_LIST_BUCKETS] = {"ListBuckets", false},
    [KIND_CREATE_BUCKET] = {"CreateBucket", true},
    [KIND_DELETE_BUCKET] = {"DeleteBucket", true},
    [KIND_LOCATION] = {"GetBucketLocation", false},
    [KIND_OTHER] = {"Other", false},
};

const char *exchange_kind_name(enum kind kind) {
	return exchange_kinds[kind].name;
}

bool exchange_kind_mutates(enum kind kind) {
	return exchange_kinds[kind].mutates;
}

struct exchange *exchange_new(struct sim *sim, const char *uri) {
	struct exchange *ex = mem_zero(sizeof *ex);
	struct timespec ts;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	ex->started_us = (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
	ex->sim = sim;
	ex->blobs = &sim->store.blobs;
	atomic_init(&ex->refs, 1);
	ex->uri = mem_copy(uri);
	ex->kind = KIND_OTHER;
	ex->writer.fd = -1;
	return ex;
}

struct exchange *exchange_get(struct exchange *ex) {
	atomic_fetch_add(&ex->refs, 1);
	return ex;
}

void exchange_put(struct exchange *ex) {
	if (!ex || atomic_fetch_sub(&ex->refs, 1) != 1)
		return;
	blob_writer_abandon(&ex->writer);
	blob_put(ex->blob);
	EVP_MD_CTX_free(ex->md5);
	EVP_MD_CTX_free(ex->sha256);
	reply_reset(&ex->reply);
	text_free(&ex->intake);
	fields_free(&ex->headers);
	fields_free(&ex->query);
	free(ex->uri);
	free(ex->path);
	free(ex->method);
	free(ex->bucket);
	free(ex->key);
	free(ex);
}

const char *exchange_header(const struct exchange *ex, const char *lower_case_name) {
	return fields_get(&ex->headers, lower_case_name);
}

const char *exchange_query(const struct exchange *ex, const char *name) {
	return fields_get(&ex->query, name);
}

int64_t exchange_now_ms(const struct exchange *ex) {
	struct timespec ts;
	clock_gettime(CLOCK_REALTIME, &ts);
	return ((int64_t)ts.tv_sec + ex->set.clock_skew_s) * 1000 + ts.tv_nsec / 1000000;
}

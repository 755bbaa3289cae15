#include "tools/r2sim/receive.h"

#include "tools/r2sim/escape.h"
#include "tools/r2sim/verify.h"

#include <errno.h>
#include <microhttpd.h>
#include <stdlib.h>
#include <string.h>

/* The largest DeleteObjects: 1,000 keys of 1,024 bytes, each byte escaped. */
#define RECEIVE_INTAKE_MAX (8u << 20)

static enum MHD_Result receive_header(void *cls, enum MHD_ValueKind kind, const char *key, const char *value) {
	(void)kind;
	struct exchange *ex = cls;
	char *name = mem_copy(key);
	for (char *p = name; *p; p++)
		if (*p >= 'A' && *p <= 'Z')
			*p = (char)(*p - 'A' + 'a');
	const char *start = value ? value + strspn(value, " \t") : "";
	size_t len = strlen(start);
	while (len && (start[len - 1] == ' ' || start[len - 1] == '\t'))
		len--;
	char *trimmed = mem_copy_n(start, len);
	fields_add(&ex->headers, name, trimmed);
	free(name);
	free(trimmed);
	return MHD_YES;
}

void receive_headers(struct exchange *ex, struct MHD_Connection *connection) {
	MHD_get_connection_values(connection, MHD_HEADER_KIND, receive_header, ex);
}

void receive_begin(struct exchange *ex) {
	if (ex->discard)
		return;
	const char *sha256 = exchange_header(ex, "x-amz-content-sha256"), *length = exchange_header(ex, "content-length");
	ex->to_blob |= ex->kind == KIND_PUT || ex->kind == KIND_UPLOAD_PART;
	if (ex->to_blob)
		blob_writer_begin(&ex->writer, ex->blobs, length ? strtoull(length, NULL, 10) : 0);
	ex->md5 = EVP_MD_CTX_new();
	EVP_DigestInit_ex(ex->md5, EVP_md5(), NULL);
	if (!ex->control && strcmp(sha256, "UNSIGNED-PAYLOAD") != 0) {
		ex->sha256 = EVP_MD_CTX_new();
		EVP_DigestInit_ex(ex->sha256, EVP_sha256(), NULL);
	}
}

void receive_data(struct exchange *ex, const char *data, size_t len) {
	ex->received += len;
	if (ex->discard)
		return;
	EVP_DigestUpdate(ex->md5, data, len);
	if (ex->sha256)
		EVP_DigestUpdate(ex->sha256, data, len);
	if (ex->to_blob) {
		if (!ex->write_error)
			ex->write_error = blob_writer_write(&ex->writer, data, len);
	} else if (ex->intake.len + len <= RECEIVE_INTAKE_MAX) {
		text_add_n(&ex->intake, data, len);
	} else {
		ex->too_large = true;
	}
}

bool receive_end(struct exchange *ex) {
	unsigned char digest[32];
	if (ex->discard)
		return false;
	EVP_DigestFinal_ex(ex->md5, ex->md5_raw, NULL);
	escape_hex(ex->md5_hex, ex->md5_raw, sizeof ex->md5_raw);
	if (ex->sha256) {
		EVP_DigestFinal_ex(ex->sha256, digest, NULL);
		escape_hex(ex->sha256_hex, digest, sizeof digest);
	}
	if (ex->to_blob)
		ex->blob = blob_writer_finish(&ex->writer);
	if (ex->too_large) {
		reply_error(ex, "EntityTooLarge");
		return false;
	}
	if (ex->write_error) {
		reply_error_detail(ex, "InternalError", "The body could not be stored: %s", strerror(-ex->write_error));
		return false;
	}
	return ex->control || verify_body(ex);
}

#ifndef R2SIM_REPLY_H
#define R2SIM_REPLY_H
/* The answer to a request, before it is sent. */
#include "tools/r2sim/body.h"
#include "tools/r2sim/fields.h"
#include "tools/r2sim/text.h"

struct exchange;

struct reply {
	int status;
	char code[48]; /* of an error; empty when it is none */
	struct fields headers;
	struct text text;
	struct body *body; /* instead of text, its bytes [offset, offset + length) */
	uint64_t offset, length;
};

void reply_reset(struct reply *r);
void reply_header(struct exchange *ex, const char *name, const char *value);
/* The error as R2 words it; the status goes with the code. detail replaces the usual message. */
void reply_error(struct exchange *ex, const char *code);
void reply_error_detail(struct exchange *ex, const char *code, const char *detail, ...) __attribute__((format(printf, 3, 4)));
void reply_xml(struct exchange *ex, int status); /* empties the text and begins an XML document in it */
#endif

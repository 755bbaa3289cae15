#ifndef R2SIM_PARSE_H
#define R2SIM_PARSE_H
/* The two XML documents that clients send. Results are freed by the _free function, also after false (not well-formed, or another document). */
#include "tools/r2sim/mem.h"

struct parse_delete {
	struct parse_key {
		char *key, *etag; /* etag NULL where not given */
	} *keys;
	size_t n;
	bool quiet;
};
bool parse_delete(struct parse_delete *d, const char *xml, size_t len);
void parse_delete_free(struct parse_delete *d);

struct parse_complete {
	struct parse_part {
		unsigned number;
		char *etag;
	} *parts;
	size_t n;
};
bool parse_complete(struct parse_complete *c, const char *xml, size_t len);
void parse_complete_free(struct parse_complete *c);
#endif

#ifndef R2SIM_FIELDS_H
#define R2SIM_FIELDS_H
#include "tools/r2sim/mem.h"

/* Name-value pairs in the order they were added; `{0}` is an empty list. Names are compared as they are. */
struct field {
	char *name, *value;
};
struct fields {
	struct field *v;
	size_t n, size;
};
void fields_free(struct fields *f);
void fields_add(struct fields *f, const char *name, const char *value);
void fields_set(struct fields *f, const char *name, const char *value); /* replaces what has that name */
void fields_remove(struct fields *f, const char *name);
const char *fields_get(const struct fields *f, const char *name);       /* the first one, or NULL */
void fields_copy(struct fields *to, const struct fields *from);          /* adds all of from */
#endif

#ifndef R2SIM_TEXT_H
#define R2SIM_TEXT_H
#include "tools/r2sim/mem.h"

/* A growable string, always terminated once something was added; `{0}` is an empty one. */
struct text {
	char *data;
	size_t len, size;
};
void text_free(struct text *t);
void text_add_n(struct text *t, const void *data, size_t len);
void text_add(struct text *t, const char *s);
void text_char(struct text *t, char c);
void text_printf(struct text *t, const char *format, ...) __attribute__((format(printf, 2, 3)));
char *text_take(struct text *t); /* the string, never NULL, now the caller's; *t is empty again */
#endif

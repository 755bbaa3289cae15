#ifndef R2SIM_MEM_H
#define R2SIM_MEM_H
/*
 * Memory, growable text, and lists of name-value pairs.
 *
 * r2sim is a program for tests: when memory is exhausted it says so and ends, so none of these functions fails. Bodies of
 * objects are the exception; see body.h.
 */
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

void *mem_zero(size_t size);
void *mem_grow(void *old, size_t size);
char *mem_copy(const char *text); /* NULL stays NULL */
char *mem_copy_n(const char *text, size_t len);
char *mem_printf(const char *format, ...) __attribute__((format(printf, 1, 2)));

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

#include "tools/r2sim/mem.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void *mem_check(void *p) {
	if (!p) {
		fputs("r2sim: out of memory\n", stderr);
		abort();
	}
	return p;
}

void *mem_zero(size_t size) {
	return mem_check(calloc(1, size ? size : 1));
}

void *mem_grow(void *old, size_t size) {
	return mem_check(realloc(old, size ? size : 1));
}

char *mem_copy(const char *text) {
	return text ? mem_check(strdup(text)) : NULL;
}

char *mem_copy_n(const char *text, size_t len) {
	char *copy = mem_grow(NULL, len + 1);
	memcpy(copy, text, len);
	copy[len] = 0;
	return copy;
}

char *mem_printf(const char *format, ...) {
	va_list ap;
	va_start(ap, format);
	char *s = NULL;
	int n = vasprintf(&s, format, ap);
	va_end(ap);
	return mem_check(n < 0 ? NULL : s);
}

void text_free(struct text *t) {
	free(t->data);
	*t = (struct text){0};
}

static void text_room(struct text *t, size_t more) {
	if (t->len + more + 1 <= t->size)
		return;
	t->size = (t->len + more + 1) * 3 / 2 + 64;
	t->data = mem_grow(t->data, t->size);
}

void text_add_n(struct text *t, const void *data, size_t len) {
	text_room(t, len);
	if (len)
		memcpy(t->data + t->len, data, len);
	t->len += len;
	t->data[t->len] = 0;
}

void text_add(struct text *t, const char *s) {
	text_add_n(t, s, strlen(s));
}

void text_char(struct text *t, char c) {
	text_add_n(t, &c, 1);
}

void text_printf(struct text *t, const char *format, ...) {
	va_list ap;
	va_start(ap, format);
	char *s = NULL;
	int n = vasprintf(&s, format, ap);
	va_end(ap);
	mem_check(n < 0 ? NULL : s);
	text_add_n(t, s, (size_t)n);
	free(s);
}

char *text_take(struct text *t) {
	text_room(t, 0);
	t->data[t->len] = 0;
	char *s = t->data;
	*t = (struct text){0};
	return s;
}

void fields_free(struct fields *f) {
	for (size_t i = 0; i < f->n; i++) {
		free(f->v[i].name);
		free(f->v[i].value);
	}
	free(f->v);
	*f = (struct fields){0};
}

void fields_add(struct fields *f, const char *name, const char *value) {
	if (f->n == f->size) {
		f->size = f->size ? f->size * 2 : 8;
		f->v = mem_grow(f->v, f->size * sizeof *f->v);
	}
	f->v[f->n++] = (struct field){.name = mem_copy(name), .value = mem_copy(value)};
}

void fields_set(struct fields *f, const char *name, const char *value) {
	for (size_t i = 0; i < f->n; i++)
		if (!strcmp(f->v[i].name, name)) {
			char *copy = mem_copy(value);
			free(f->v[i].value);
			f->v[i].value = copy;
			return;
		}
	fields_add(f, name, value);
}

void fields_remove(struct fields *f, const char *name) {
	size_t kept = 0;
	for (size_t i = 0; i < f->n; i++) {
		if (strcmp(f->v[i].name, name) != 0) {
			f->v[kept++] = f->v[i];
			continue;
		}
		free(f->v[i].name);
		free(f->v[i].value);
	}
	f->n = kept;
}

const char *fields_get(const struct fields *f, const char *name) {
	for (size_t i = 0; i < f->n; i++)
		if (!strcmp(f->v[i].name, name))
			return f->v[i].value;
	return NULL;
}

void fields_copy(struct fields *to, const struct fields *from) {
	for (size_t i = 0; i < from->n; i++)
		fields_add(to, from->v[i].name, from->v[i].value);
}

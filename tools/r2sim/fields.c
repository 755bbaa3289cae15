#include "tools/r2sim/fields.h"

#include <stdlib.h>
#include <string.h>

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

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
	char *s = mem_vprintf(format, ap);
	va_end(ap);
	return s;
}

char *mem_vprintf(const char *format, va_list ap) {
	char *s = NULL;
	int n = vasprintf(&s, format, ap);
	return mem_check(n < 0 ? NULL : s);
}

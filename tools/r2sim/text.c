#include "tools/r2sim/text.h"

#include <stdlib.h>
#include <string.h>

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
	char *s = mem_vprintf(format, ap);
	va_end(ap);
	text_add(t, s);
	free(s);
}

char *text_take(struct text *t) {
	text_room(t, 0);
	t->data[t->len] = 0;
	char *s = t->data;
	*t = (struct text){0};
	return s;
}

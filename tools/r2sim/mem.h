#ifndef R2SIM_MEM_H
#define R2SIM_MEM_H
/*
 * Memory. r2sim is a program for tests: when memory is exhausted it says so and ends, so none of these functions fails, nor do
 * those of text.h and fields.h. Bodies of objects are the exception; see blob.h.
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
char *mem_vprintf(const char *format, va_list ap) __attribute__((format(printf, 1, 0)));
#endif

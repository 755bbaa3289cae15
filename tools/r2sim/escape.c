#include "tools/r2sim/escape.h"

#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>
#include <uninorm.h>
#include <unistr.h>

static const char digits_upper[] = "0123456789ABCDEF";
static const char digits_lower[] = "0123456789abcdef";

static bool escape_unreserved(unsigned char c) {
	return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '.' || c == '_' || c == '~';
}

void escape_percent(struct text *to, const char *s, bool keep_slash) {
	for (const unsigned char *p = (const unsigned char *)s; *p; p++) {
		if (escape_unreserved(*p) || (keep_slash && *p == '/')) {
			text_char(to, (char)*p);
			continue;
		}
		char code[3] = {'%', digits_upper[*p >> 4], digits_upper[*p & 15]};
		text_add_n(to, code, 3);
	}
}

static int escape_digit(char c) {
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

char *escape_unpercent(const char *s, size_t len, bool plus) {
	char *out = mem_grow(NULL, len + 1), *to = out;
	for (size_t i = 0; i < len; i++) {
		if (s[i] == '+' && plus) {
			*to++ = ' ';
		} else if (s[i] != '%') {
			*to++ = s[i];
		} else {
			int high = i + 2 < len ? escape_digit(s[i + 1]) : -1;
			int low = i + 2 < len ? escape_digit(s[i + 2]) : -1;
			if (high < 0 || low < 0 || !(high * 16 + low)) {
				free(out);
				return NULL;
			}
			*to++ = (char)(high * 16 + low);
			i += 2;
		}
	}
	*to = 0;
	return out;
}

void escape_hex(char *to, const void *data, size_t len) {
	const unsigned char *p = data;
	for (size_t i = 0; i < len; i++) {
		*to++ = digits_lower[p[i] >> 4];
		*to++ = digits_lower[p[i] & 15];
	}
	*to = 0;
}

void escape_base64(struct text *to, const void *data, size_t len) {
	char *out = mem_grow(NULL, len / 3 * 4 + 8);
	int n = EVP_EncodeBlock((unsigned char *)out, data, (int)len);
	text_add_n(to, out, (size_t)n);
	free(out);
}

int escape_unbase64(const char *s, void *to, size_t size) {
	size_t len = strlen(s);
	if (len % 4 || len > 16384)
		return -1;
	unsigned char *out = mem_grow(NULL, len + 4);
	int n = len ? EVP_DecodeBlock(out, (const unsigned char *)s, (int)len) : 0;
	for (size_t i = len; n > 0 && i > 0 && i + 2 >= len && s[i - 1] == '='; i--)
		n--;
	if (n >= 0 && (size_t)n <= size)
		memcpy(to, out, (size_t)n);
	else
		n = -1;
	free(out);
	return n;
}

void escape_xml(struct text *to, const char *s) {
	for (const unsigned char *p = (const unsigned char *)s; *p; p++) {
		if (*p == '&')
			text_add(to, "&amp;");
		else if (*p == '<')
			text_add(to, "&lt;");
		else if (*p == '>')
			text_add(to, "&gt;");
		else if (*p == '"')
			text_add(to, "&quot;");
		else if (*p < 0x20)
			/* Not legal in XML 1.0, but what S3 sends when encoding-type=url is not asked for. */
			text_printf(to, "&#x%x;", *p);
		else
			text_char(to, (char)*p);
	}
}

void escape_time_iso(char to[32], int64_t ms) {
	time_t s = (time_t)(ms / 1000);
	struct tm tm;
	gmtime_r(&s, &tm);
	size_t n = strftime(to, 32, "%Y-%m-%dT%H:%M:%S", &tm);
	snprintf(to + n, 32 - n, ".%03dZ", (int)(ms % 1000));
}

void escape_time_http(char to[32], int64_t ms) {
	time_t s = (time_t)(ms / 1000);
	struct tm tm;
	gmtime_r(&s, &tm);
	strftime(to, 32, "%a, %d %b %Y %H:%M:%S GMT", &tm);
}

static int64_t escape_untime(const char *s, const char *format) {
	struct tm tm = {0};
	const char *end = strptime(s, format, &tm);
	return end && !*end ? (int64_t)timegm(&tm) * 1000 : -1;
}

int64_t escape_untime_http(const char *s) {
	int64_t ms = escape_untime(s, "%a, %d %b %Y %H:%M:%S GMT");
	return ms >= 0 ? ms : escape_untime(s, "%Y-%m-%dT%H:%M:%SZ");
}

int64_t escape_untime_amz(const char *s) {
	return strlen(s) == 16 ? escape_untime(s, "%Y%m%dT%H%M%SZ") : -1;
}

bool escape_is_utf8(const char *s) {
	return !u8_check((const uint8_t *)s, strlen(s));
}

char *escape_nfc(const char *s) {
	size_t len = strlen(s), n = 0;
	bool ascii = true;
	for (size_t i = 0; i < len; i++)
		ascii &= (unsigned char)s[i] < 0x80;
	if (ascii)
		return mem_copy(s);
	uint8_t *norm = u8_normalize(UNINORM_NFC, (const uint8_t *)s, len, NULL, &n);
	if (!norm)
		return mem_copy(s);
	char *out = mem_copy_n((char *)norm, n);
	free(norm);
	return out;
}

static void escape_latin1(struct text *to, const char *s, size_t len) {
	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)s[i];
		char two[2] = {(char)(0xc0 | c >> 6), (char)(0x80 | (c & 0x3f))};
		if (c < 0x80)
			text_char(to, s[i]);
		else
			text_add_n(to, two, 2);
	}
}

char *escape_utf8(const char *s) {
	if (escape_is_utf8(s))
		return mem_copy(s);
	struct text to = {0};
	escape_latin1(&to, s, strlen(s));
	return text_take(&to);
}

static bool escape_unquoted(struct text *to, const char *s, size_t len) {
	for (size_t i = 0; i < len; i++) {
		if (s[i] == '_') {
			text_char(to, ' ');
		} else if (s[i] == '=') {
			int high = i + 2 < len ? escape_digit(s[i + 1]) : -1, low = i + 2 < len ? escape_digit(s[i + 2]) : -1;
			if (high < 0 || low < 0)
				return false;
			text_char(to, (char)(high * 16 + low));
			i += 2;
		} else {
			text_char(to, s[i]);
		}
	}
	return true;
}

/* One word "=?charset?encoding?text?=" at s: its length, and its text added to *to; 0 when it is none. */
static size_t escape_word(struct text *to, const char *s) {
	const char *charset = s + 2, *mark = strchr(charset, '?');
	if (!mark || !mark[1] || mark[2] != '?')
		return 0;
	const char *body = mark + 3, *end = strstr(body, "?=");
	if (!end || memchr(body, ' ', (size_t)(end - body)))
		return 0;
	struct text bytes = {0};
	char encoding = mark[1];
	bool ok = false;
	if (encoding == 'Q' || encoding == 'q') {
		ok = escape_unquoted(&bytes, body, (size_t)(end - body));
	} else if (encoding == 'B' || encoding == 'b') {
		char *copy = mem_copy_n(body, (size_t)(end - body)), raw[12288];
		int n = escape_unbase64(copy, raw, sizeof raw);
		ok = n >= 0;
		if (ok)
			text_add_n(&bytes, raw, (size_t)n);
		free(copy);
	}
	size_t name = (size_t)(mark - charset);
	if (ok && name == 10 && !strncasecmp(charset, "iso-8859-1", name))
		escape_latin1(to, bytes.len ? bytes.data : "", bytes.len);
	else if (ok && ((name == 5 && !strncasecmp(charset, "utf-8", name)) || (name == 8 && !strncasecmp(charset, "us-ascii", name))))
		text_add_n(to, bytes.len ? bytes.data : "", bytes.len);
	else
		ok = false;
	text_free(&bytes);
	return ok ? (size_t)(end + 2 - s) : 0;
}

char *escape_un2047(const char *s) {
	struct text to = {0};
	bool after_word = false;
	while (*s) {
		size_t gap = after_word ? strspn(s, " \t") : 0;
		size_t n = !strncmp(s + gap, "=?", 2) ? escape_word(&to, s + gap) : 0;
		/* White space between two words is not part of the text. */
		after_word = n > 0;
		if (n)
			s += gap + n;
		else
			text_char(&to, *s++);
	}
	return text_take(&to);
}

void escape_2047(struct text *to, const char *s) {
	for (const char *p = s; *p; p++)
		if ((unsigned char)*p >= 0x80) {
			text_add(to, "=?utf-8?B?");
			escape_base64(to, s, strlen(s));
			text_add(to, "?=");
			return;
		}
	text_add(to, s);
}

#ifndef R2SIM_ESCAPE_H
#define R2SIM_ESCAPE_H
/* The spellings that S3 uses: percent encoding, hexadecimal, base64, XML, times, RFC 2047, Unicode's NFC. Pure functions. */
#include "tools/r2sim/text.h"

/* RFC 3986: all but A-Z a-z 0-9 - . _ ~ (and '/' where keep_slash) becomes %XX. */
void escape_percent(struct text *to, const char *s, bool keep_slash);
/* Decodes len bytes; plus: '+' is a space. NULL when a % is not followed by two digits, or for %00. Result is the caller's. */
char *escape_unpercent(const char *s, size_t len, bool plus);

void escape_hex(char *to, const void *data, size_t len); /* writes 2 * len digits and a NUL */
void escape_base64(struct text *to, const void *data, size_t len);
/* Decodes into to (at most size bytes); the length, or -1 when it is no base64 or too long. */
int escape_unbase64(const char *s, void *to, size_t size);

void escape_xml(struct text *to, const char *s);

/* Times are milliseconds since 1970, UTC. */
void escape_time_iso(char to[32], int64_t ms);  /* 2024-05-06T07:08:09.012Z, as in listings */
void escape_time_http(char to[32], int64_t ms); /* Mon, 06 May 2024 07:08:09 GMT */
int64_t escape_untime_http(const char *s);      /* -1 when it is no date */
int64_t escape_untime_amz(const char *s);       /* 20240506T070809Z; -1 when it is no date */

bool escape_is_utf8(const char *s);
char *escape_nfc(const char *s);          /* valid UTF-8 in; the caller's */
char *escape_utf8(const char *s);         /* as it is when valid UTF-8, else each byte taken as Latin-1; the caller's */
char *escape_un2047(const char *s);       /* decodes =?charset?B|Q?...?= words of UTF-8, ASCII and Latin-1; the caller's */
void escape_2047(struct text *to, const char *s); /* ASCII as it is, else one =?utf-8?B?...?= word */
#endif

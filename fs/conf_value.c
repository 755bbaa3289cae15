#include "fs/conf_value.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "fs/conf.h"

int conf_value_flag(const char *text, bool *value)
{
    static const char *const yes[] = { "1", "t", "T", "true", "TRUE", "True" };
    static const char *const no[] = { "0", "f", "F", "false", "FALSE", "False" };

    for (size_t i = 0; i < sizeof yes / sizeof yes[0]; i++) {
        if (!strcmp(text, yes[i])) {
            *value = true;
            return 0;
        }
        if (!strcmp(text, no[i])) {
            *value = false;
            return 0;
        }
    }
    return -EINVAL;
}

/* Digits with at most one point and at least one digit. Not strtod alone: it takes hexadecimal, `inf`, exponents and a
 * leading blank. */
static const char *decimal(const char *text, double *value)
{
    size_t length = strspn(text, "0123456789.");
    char copy[40];

    if (length == 0 || length >= sizeof copy || strcspn(text, "0123456789") == length)
        return NULL;
    memcpy(copy, text, length);
    copy[length] = '\0';
    char *dot = strchr(copy, '.');
    if (dot && strchr(dot + 1, '.'))
        return NULL;
    *value = strtod(copy, NULL);
    return text + length;
}

/* The longest unit that the text starts with; its length, or 0. */
static size_t duration_unit(const char *text, double *ms)
{
    static const struct {
        const char *name;
        double ms;
    } units[] = {
        { "ns", 1e-6 }, { "us", 1e-3 }, { "\xc2\xb5s", 1e-3 }, { "\xce\xbcs", 1e-3 }, { "ms", 1 },
        { "s", 1e3 }, { "m", 60e3 }, { "h", 3600e3 }, { "d", 86400e3 }, { "w", 7 * 86400e3 },
        { "M", 30 * 86400e3 }, { "y", 365 * 86400e3 },
    };

    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++) {
        size_t length = strlen(units[i].name);
        if (!strncmp(text, units[i].name, length)) {
            *ms = units[i].ms;
            return length;
        }
    }
    return 0;
}

int conf_value_duration(const char *text, int64_t *ms)
{
    double sum = 0;

    if (!strcmp(text, "off")) {
        *ms = CONF_NEVER;
        return 0;
    }
    if (text[0] == '\0')
        return -EINVAL;
    for (const char *at = text; *at;) {
        double number, unit;
        const char *behind = decimal(at, &number);
        if (!behind)
            return -EINVAL;
        size_t length = duration_unit(behind, &unit);
        if (length == 0) {
            if (*behind || at != text)
                return -EINVAL;
            unit = 1e3;
        }
        sum += number * unit;
        at = behind + length;
    }
    if (sum >= (double)CONF_NEVER) {
        *ms = CONF_NEVER;
        return 0;
    }
    /* Up to the next millisecond, but 0.1 + 0.2 is not more than 0.3. */
    *ms = (int64_t)sum;
    if (sum - (double)*ms > 1e-7)
        ++*ms;
    return 0;
}

int conf_value_size(const char *text, uint64_t *bytes)
{
    static const char letters[] = "BKMGTPE";
    double number, factor = 1024;
    const char *at;

    if (!strcmp(text, "off")) {
        *bytes = CONF_UNLIMITED;
        return 0;
    }
    at = decimal(text, &number);
    if (!at)
        return -EINVAL;
    if (*at) {
        char upper = (char)(*at >= 'a' && *at <= 'z' ? *at - 'a' + 'A' : *at);
        const char *letter = strchr(letters, upper);
        if (!letter)
            return -EINVAL;
        factor = (double)(1ull << (letter - letters) * 10);
        at++;
        if (upper != 'B' && *at == 'i')
            at += at[1] == 'B' ? 2 : 1;
        if (*at)
            return -EINVAL;
    }
    number *= factor;
    if (number >= 0x1p63)
        return -EINVAL;
    *bytes = (uint64_t)number;
    return 0;
}

int conf_value_integer(const char *text, int64_t *value)
{
    char *end;

    if (text[strspn(text, "+-0123456789")] || !text[0])
        return -EINVAL;
    errno = 0;
    long long number = strtoll(text, &end, 10);
    if (errno || *end)
        return -EINVAL;
    *value = number;
    return 0;
}

int conf_value_number(const char *text, double *value)
{
    double number;
    bool negative = text[0] == '-';
    const char *end = decimal(text + negative, &number);

    if (!end || *end)
        return -EINVAL;
    *value = negative ? -number : number;
    return 0;
}

int conf_value_id(const char *text, int64_t *id)
{
    int64_t number;

    /* 2^32 - 1 is the kernel's "no change". */
    if (conf_value_integer(text, &number) || number < 0 || number >= UINT32_MAX)
        return -EINVAL;
    *id = number;
    return 0;
}

int conf_value_octal(const char *text, mode_t *mode)
{
    size_t length = strlen(text);

    if (length == 0 || length > 5 || strspn(text, "01234567") != length)
        return -EINVAL;
    unsigned long bits = strtoul(text, NULL, 8);
    if (bits > 07777)
        return -EINVAL;
    *mode = (mode_t)bits;
    return 0;
}

int conf_value_umask(const char *text, mode_t *mode)
{
    size_t length = strlen(text);
    mode_t bits;

    if (length == 0 || length > 5 || strspn(text, "0123456789") != length)
        return -EINVAL;
    if (text[0] == '0' || length == 1) {
        if (conf_value_octal(text, &bits))
            return -EINVAL;
    } else if (strpbrk(text, "89")) {
        bits = (mode_t)strtoul(text, NULL, 10);
    } else {
        return -EINVAL;
    }
    if (bits > 0777)
        return -EINVAL;
    *mode = bits;
    return 0;
}

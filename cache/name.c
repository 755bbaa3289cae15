#include "cache/name.h"

#include <errno.h>
#include <string.h>

#define INTERNAL ".r2fs"

static bool is_internal(const char *name, size_t length)
{
    return length == sizeof INTERNAL - 1 && memcmp(name, INTERNAL, length) == 0;
}

static bool is_dots(const char *name, size_t length)
{
    return (length == 1 && name[0] == '.') || (length == 2 && name[0] == '.' && name[1] == '.');
}

enum name_verdict name_check_key(const char *relative)
{
    size_t total = strlen(relative);
    if (total > S3_KEY_MAX)
        return NAME_TOO_LONG;
    if (total == 0) /* the root's own object */
        return NAME_OK;
    enum name_verdict verdict = NAME_OK;
    for (const char *at = relative;;) {
        size_t length = strcspn(at, "/");
        if (is_internal(at, length))
            return NAME_INTERNAL; /* whatever else is wrong with it: it is ours, and nobody misses it */
        if (length == 0 || length > CACHE_NAME_MAX || is_dots(at, length))
            verdict = NAME_NO_PATH;
        if (at[length] == '\0' || at[length + 1] == '\0')
            return verdict;
        at += length + 1;
    }
}

/* S3 keys are UTF-8, and servers refuse others. Overlong forms, surrogates and what lies above U+10FFFF are not UTF-8. */
static bool is_utf8(const unsigned char *at, size_t length)
{
    const unsigned char *end = at + length;
    while (at < end) {
        unsigned char c = *at++;
        size_t more = c < 0x80 ? 0 : c >= 0xc2 && c <= 0xdf ? 1 : (c & 0xf0) == 0xe0 ? 2 : c >= 0xf0 && c <= 0xf4 ? 3 : SIZE_MAX;
        if (more == SIZE_MAX || (size_t)(end - at) < more)
            return false;
        if ((c == 0xe0 && at[0] < 0xa0) || (c == 0xed && at[0] > 0x9f) || (c == 0xf0 && at[0] < 0x90) || (c == 0xf4 && at[0] > 0x8f))
            return false;
        for (size_t i = 0; i < more; i++)
            if ((at[i] & 0xc0) != 0x80)
                return false;
        at += more;
    }
    return true;
}

int name_check(const char *name, size_t length)
{
    if (length > CACHE_NAME_MAX)
        return -ENAMETOOLONG;
    if (length == 0 || is_dots(name, length) || memchr(name, '/', length))
        return -EINVAL;
    if (is_internal(name, length))
        return -EPERM;
    return is_utf8((const unsigned char *)name, length) ? 0 : -EILSEQ;
}

const char *name_relative(const struct cache *cache, const char *key)
{
    size_t length = strlen(cache->config.prefix);
    if (length == 0)
        return key;
    if (strncmp(key, cache->config.prefix, length) != 0 || key[length] != '/')
        return NULL;
    return key + length + 1;
}

#include "cache/push_name.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cache/cache.h"

static bool below_git(const char *path)
{
    for (const char *segment = path; *segment;) {
        size_t length = strcspn(segment, "/");
        if (length == 4 && memcmp(segment, ".git", 4) == 0)
            return true;
        segment += length + (segment[length] == '/');
    }
    return false;
}

/* At most max bytes of a name, not ending inside a UTF-8 character. */
static size_t cut(const char *name, size_t max)
{
    size_t length = strlen(name);
    if (length <= max)
        return length;
    length = max;
    while (length > 0 && ((unsigned char)name[length] & 0xc0) == 0x80)
        length--;
    return length;
}

char *push_name_conflict(const char *relative, const char *instance, int64_t seq, size_t path_max)
{
    char suffix[64], *path = NULL;
    snprintf(suffix, sizeof suffix, ".conflict-%.8s-%lld", instance, (long long)seq);
    const char *slash = strrchr(relative, '/');
    const char *name = slash ? slash + 1 : relative;
    int folder = (int)(name - relative);
    int kept = (int)cut(name, CACHE_NAME_MAX - strlen(suffix));
    bool aside = below_git(relative);
    if (asprintf(&path, "%s%.*s%.*s%s", aside ? PUSH_CONFLICT_FOLDER "/" : "", folder, relative, kept, name, suffix) < 0)
        return NULL;
    if (strlen(path) <= path_max)
        return path;
    free(path);
    size_t around = strlen(PUSH_CONFLICT_FOLDER) + 1 + strlen(suffix);
    kept = (int)cut(name, path_max < around ? 0 : path_max - around < (size_t)kept ? path_max - around : (size_t)kept);
    if (asprintf(&path, "%s/%.*s%s", PUSH_CONFLICT_FOLDER, kept, name, suffix) < 0)
        return NULL;
    return path;
}

/*
 * SOURCE: `bucket/prefix`, or `NAME:bucket/prefix` of a remote in rclone.conf when a colon stands before the first slash.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "fs/conf_option.h"
#include "fs/explain.h"

/* A key is at most S3_KEY_MAX bytes, and a prefix that leaves no room for a name is of no use. */
#define PREFIX_MAX (S3_KEY_MAX - 128)

static int bad(struct conf_error *error, const char *source, const char *why)
{
    return conf_fail(error, -EINVAL, EXIT_USAGE, "source '%s': %s; it is written BUCKET/PREFIX or REMOTE:BUCKET/PREFIX", source, why);
}

/* Why text is no prefix, or NULL. */
static const char *prefix_fault(const char *text)
{
    if (strlen(text) > PREFIX_MAX)
        return "its prefix is too long for keys of 1,024 bytes";
    while (*text) {
        size_t length = strcspn(text, "/");
        if (length == 0)
            return "its prefix has an empty segment (//)";
        if ((length == 1 && text[0] == '.') || (length == 2 && !strncmp(text, "..", 2)))
            return "its prefix has a segment . or ..";
        if (length == 5 && !strncmp(text, ".r2fs", 5))
            return "a segment .r2fs is r2fs's own and can't be mounted";
        text += length;
        if (*text == '/' && !*++text)
            return "its prefix has an empty segment (//)";
    }
    return NULL;
}

static bool is_bucket(const char *text, size_t length)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";

    return length > 0 && length <= 255 && strspn(text, letters) >= length && text[0] != '.' && text[0] != '-';
}

int conf_source_parse(struct conf *conf, struct conf_error *error)
{
    const char *source = conf->source, *rest = source, *fault;
    size_t colon = strcspn(source, ":/");

    if (source[colon] == ':') {
        if (colon == 0)
            return bad(error, source, "a remote written in place (:s3:) is not possible, name one of rclone.conf");
        if (memchr(source, ',', colon))
            return bad(error, source, "options in a remote's name (NAME,key=value:) are not possible");
        if (!strncmp(source + colon, "://", 3))
            return bad(error, source, "a URL is no source");
        conf->remote = strndup(source, colon);
        if (!conf->remote)
            goto memory;
        rest = source + colon + 1;
        if (*rest == '/')
            rest++;
    }
    size_t bucket = strcspn(rest, "/");
    if (bucket == 0)
        return bad(error, source, "it names no bucket");
    if (!is_bucket(rest, bucket))
        return bad(error, source, "that is no bucket's name");
    conf->bucket = strndup(rest, bucket);
    conf->prefix = strdup(rest[bucket] ? rest + bucket + 1 : "");
    if (!conf->bucket || !conf->prefix)
        goto memory;
    size_t length = strlen(conf->prefix);
    if (length > 1 && conf->prefix[length - 1] == '/')
        conf->prefix[length - 1] = '\0';
    fault = prefix_fault(conf->prefix);
    return fault ? bad(error, source, fault) : 0;
memory:
    return conf_fail(error, -ENOMEM, EXIT_MACHINE, "out of memory");
}

/* The parts of s3.h that need no network: names, and what frees what. */
#include "s3/s3.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const struct {
    const char *name;
    int error;
    bool permanent;
} outcomes[] = {
    [S3_OK] = { "ok", 0, false },
    [S3_NOT_FOUND] = { "not found", ENOENT, false },
    [S3_PRECONDITION] = { "precondition failed", ESTALE, false },
    [S3_NO_UPLOAD] = { "no such upload", EIO, false },
    /* Not ENOENT: a bucket that is gone must not look like a file that was deleted. */
    [S3_NO_BUCKET] = { "no such bucket", EIO, true },
    [S3_DENIED] = { "access denied", EACCES, true },
    [S3_BAD_KEY] = { "credentials refused", EACCES, true },
    [S3_CLOCK] = { "clock skew", EIO, true },
    [S3_QUOTA] = { "quota exceeded", EDQUOT, true },
    [S3_INVALID] = { "invalid request", EINVAL, true },
    [S3_UNSUPPORTED] = { "not supported by the endpoint", EOPNOTSUPP, true },
    [S3_RANGE] = { "range not satisfiable", EIO, false },
    [S3_THROTTLED] = { "throttled", ETIMEDOUT, false },
    [S3_UNREACHABLE] = { "endpoint unreachable", ETIMEDOUT, false },
    [S3_UNKNOWN] = { "outcome unknown", EIO, false },
    [S3_TIMEOUT] = { "timed out", ETIMEDOUT, false },
    [S3_CORRUPT] = { "corrupt answer", EIO, false },
    [S3_CANCELLED] = { "cancelled", EINTR, false },
    [S3_LOCAL] = { "local failure", EIO, false },
};

#define OUTCOME_COUNT (sizeof outcomes / sizeof outcomes[0])

const char *s3_outcome_name(enum s3_outcome outcome)
{
    return (size_t)outcome < OUTCOME_COUNT ? outcomes[outcome].name : "?";
}

int s3_outcome_errno(enum s3_outcome outcome)
{
    return (size_t)outcome < OUTCOME_COUNT ? outcomes[outcome].error : EIO;
}

bool s3_outcome_is_permanent(enum s3_outcome outcome)
{
    return (size_t)outcome < OUTCOME_COUNT && outcomes[outcome].permanent;
}

const char *s3_kind_name(enum s3_kind kind)
{
    static const char *const names[S3_KIND_COUNT] = {
        "list",   "get",           "head",        "put",              "copy",            "delete",       "delete_objects",
        "create_upload", "upload_part", "upload_part_copy", "complete_upload", "abort_upload", "list_uploads",
    };
    return (size_t)kind < S3_KIND_COUNT ? names[kind] : "?";
}

const char *s3_cap_name(enum s3_cap cap)
{
    static const char *const names[S3_CAP_COUNT] = { "put", "copy", "complete", "delete" };
    return (size_t)cap < S3_CAP_COUNT ? names[cap] : "?";
}

void s3_object_fini(struct s3_object *object)
{
    if (!object)
        return;
    free(object->content_type);
    free(object->content_encoding);
    free(object->content_disposition);
    free(object->content_language);
    free(object->cache_control);
    free(object->expires);
    for (size_t i = 0; i < object->meta_count; i++) {
        free(object->meta[i].name);
        free(object->meta[i].value);
    }
    free(object->meta);
    memset(object, 0, sizeof *object);
}

const char *s3_object_meta(const struct s3_object *object, const char *name)
{
    for (size_t i = 0; i < object->meta_count; i++)
        if (!strcmp(object->meta[i].name, name))
            return object->meta[i].value;
    return NULL;
}

void s3_list_page_fini(struct s3_list_page *page)
{
    if (!page)
        return;
    free(page->arena);
    free(page->next_token);
    memset(page, 0, sizeof *page);
}

void s3_upload_entries_free(struct s3_upload_entry *entries, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        free(entries[i].key);
        free(entries[i].upload_id);
    }
    free(entries);
}

/*
 * What each program writes, and what we read (the first that is there counts):
 *
 *   attribute  s3fs, ours                 geesefs            rclone                FSx, S3 File Gateway
 *   mode       mode, decimal              mode, decimal      mode, octal "0…"      file-permissions, octal
 *   owner      uid, gid                   uid, gid           uid, gid              file-owner, file-group
 *   times      mtime ctime atime          mtime              mtime                 file-mtime file-atime
 *              sec[.nnnnnnnnn]            sec                sec.fraction          "…ns", else milliseconds
 *   device     -                          rdev, decimal      -                     -
 *   symlink    body, mode 0120777         --symlink-target   name.rclonelink       -
 *
 * rclone's .rclonelink objects stay the plain files that they are.
 */
#include "cache/posix.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "cache/mime.h"

#define NS 1000000000ll
#define GEESEFS_TARGET "--symlink-target"
#define META_NONCE "r2fs-v"
#define META_LINK "r2fs-link"

/* ---- reading ---- */

static bool parse_number(const char *text, int base, uint64_t max, uint64_t *value)
{
    if (!text || !isdigit((unsigned char)text[0]))
        return false;
    char *end;
    errno = 0;
    unsigned long long number = strtoull(text, &end, base);
    if (errno || *end || number > max)
        return false;
    *value = number;
    return true;
}

static bool has_type(uint64_t mode)
{
    switch (mode & S_IFMT) {
    case S_IFREG: case S_IFDIR: case S_IFLNK: case S_IFIFO: case S_IFSOCK: case S_IFCHR: case S_IFBLK:
        return true;
    default:
        return false;
    }
}

/* A leading 0 is octal; else decimal when that gives a legal type (s3fs, geesefs); else octal (permissions as people write them). */
static bool parse_mode(const char *text, uint32_t *mode)
{
    uint64_t value;
    bool octal = text && text[0] == '0';
    if (!octal && parse_number(text, 10, S_IFMT | 07777, &value) && has_type(value)) {
        *mode = (uint32_t)value;
        return true;
    }
    if (!parse_number(text, 8, S_IFMT | 07777, &value) || ((value & S_IFMT) && !has_type(value)))
        return false;
    *mode = (uint32_t)value;
    return true;
}

/* sec[.fraction], the fraction cut to nanoseconds. Seconds below zero count as in struct timespec: -1.5 s is "-2.5". */
static bool parse_time(const char *text, int64_t *ns)
{
    bool negative = text && text[0] == '-';
    const char *digits = negative ? text + 1 : text;
    if (!digits || !isdigit((unsigned char)digits[0]))
        return false;
    char *end;
    errno = 0;
    long long seconds = strtoll(text, &end, 10);
    if (errno || seconds > INT64_MAX / NS - 1 || seconds < INT64_MIN / NS + 1)
        return false;
    int64_t fraction = 0, unit = NS / 10;
    if (*end == '.')
        for (end++; isdigit((unsigned char)*end); end++, unit /= 10)
            fraction += (*end - '0') * unit;
    if (*end)
        return false;
    *ns = seconds * NS + fraction;
    return true;
}

/* FSx: nanoseconds when it ends in "ns", else milliseconds. */
static bool parse_fsx_time(const char *text, int64_t *ns)
{
    if (!text || !isdigit((unsigned char)text[0]))
        return false;
    char *end;
    errno = 0;
    long long value = strtoll(text, &end, 10);
    if (errno)
        return false;
    if (strcmp(end, "ns") == 0) {
        *ns = value;
        return true;
    }
    if ((*end && *end != '.') || value > INT64_MAX / 1000000)
        return false;
    *ns = value * 1000000;
    return true;
}

static void decode_times(const struct s3_object *object, struct posix_attr *attr)
{
    bool mtime = parse_time(s3_object_meta(object, "mtime"), &attr->mtime) ||
                 parse_fsx_time(s3_object_meta(object, "file-mtime"), &attr->mtime);
    if (!mtime)
        attr->mtime = object->mtime_ms * 1000000;
    bool ctime = parse_time(s3_object_meta(object, "ctime"), &attr->ctime);
    if (!ctime)
        attr->ctime = object->mtime_ms * 1000000; /* when the bucket last heard of a change */
    bool atime = parse_time(s3_object_meta(object, "atime"), &attr->atime) ||
                 parse_fsx_time(s3_object_meta(object, "file-atime"), &attr->atime);
    if (!atime)
        attr->atime = attr->mtime;
    attr->carried |= (mtime ? CACHE_SET_MTIME : 0u) | (ctime ? CACHE_SET_CTIME : 0u) | (atime ? CACHE_SET_ATIME : 0u);
}

static void decode_owner(const struct cache *cache, const struct s3_object *object, struct posix_attr *attr)
{
    uint64_t id;
    attr->uid = cache->config.uid;
    attr->gid = cache->config.gid;
    /* (uid_t)-1 means "leave it" to chown, so it is no owner. */
    if (parse_number(s3_object_meta(object, "uid"), 10, UINT32_MAX - 1, &id) ||
        parse_number(s3_object_meta(object, "file-owner"), 10, UINT32_MAX - 1, &id)) {
        attr->uid = (uint32_t)id;
        attr->carried |= CACHE_SET_UID;
    }
    if (parse_number(s3_object_meta(object, "gid"), 10, UINT32_MAX - 1, &id) ||
        parse_number(s3_object_meta(object, "file-group"), 10, UINT32_MAX - 1, &id)) {
        attr->gid = (uint32_t)id;
        attr->carried |= CACHE_SET_GID;
    }
}

/* geesefs percent-encodes metadata values; a % that starts no such code stands for itself. */
static char *percent_decode(const char *text)
{
    char *decoded = malloc(strlen(text) + 1), *to = decoded;
    if (!decoded)
        return NULL;
    for (; *text; text++) {
        char code[3] = { 0 };
        if (text[0] == '%' && isxdigit((unsigned char)text[1]) && isxdigit((unsigned char)text[2]) &&
            memcmp(text + 1, "00", 2) != 0) {
            memcpy(code, text + 1, 2);
            *to++ = (char)strtol(code, NULL, 16);
            text += 2;
        } else {
            *to++ = *text;
        }
    }
    *to = '\0';
    return decoded;
}

static void decode_mode(const struct cache *cache, const char *key, const struct s3_object *object, struct posix_attr *attr)
{
    size_t length = strlen(key);
    bool directory = length > 0 && key[length - 1] == '/';
    uint32_t mode;
    bool carried = parse_mode(s3_object_meta(object, "mode"), &mode) ||
                   parse_mode(s3_object_meta(object, "file-permissions"), &mode);
    const char *target = s3_object_meta(object, GEESEFS_TARGET);
    if (carried)
        attr->carried |= CACHE_SET_MODE;
    else
        mode = directory ? cache->config.dir_mode : cache->config.file_mode;
    uint32_t type = mode & S_IFMT;
    /* A key says by its end whether it is a directory, whatever its metadata says. */
    if (directory)
        type = S_IFDIR;
    else if (target && target[0] && strlen(target) < PATH_MAX && (attr->target = percent_decode(target)))
        type = S_IFLNK;
    else if (type == S_IFLNK && object->size > 0 && object->size < PATH_MAX)
        attr->target_is_body = true;
    else if (type == 0 || type == S_IFDIR || type == S_IFLNK)
        type = S_IFREG;
    attr->mode = type | (type == S_IFLNK ? 0777 : mode & 07777);
    uint64_t rdev;
    if ((type == S_IFCHR || type == S_IFBLK) && parse_number(s3_object_meta(object, "rdev"), 10, UINT64_MAX, &rdev))
        attr->rdev = rdev;
}

static void copy_id(char *to, size_t size, const char *from)
{
    if (from && strlen(from) < size)
        memcpy(to, from, strlen(from) + 1);
}

void posix_decode(const struct cache *cache, const char *key, const struct s3_object *object, struct posix_attr *attr)
{
    *attr = (struct posix_attr){ 0 };
    decode_mode(cache, key, object, attr);
    decode_owner(cache, object, attr);
    decode_times(object, attr);
    copy_id(attr->nonce, sizeof attr->nonce, s3_object_meta(object, META_NONCE));
    copy_id(attr->link_id, sizeof attr->link_id, s3_object_meta(object, META_LINK));
}

/* ---- what others set ---- */

/* Metadata that posix_encode writes anew, in our names or in those of a program whose encoding ours replaces. */
static bool is_ours(const char *name)
{
    static const char *const names[] = {
        "mode", "uid", "gid", "mtime", "ctime", "atime", "rdev", META_NONCE, META_LINK, GEESEFS_TARGET,
        "file-permissions", "file-owner", "file-group", "file-mtime", "file-atime", "file-acl",
    };
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (strcmp(name, names[i]) == 0)
            return true;
    return false;
}

const char *posix_content_type(const char *key, uint32_t mode)
{
    if (S_ISDIR(mode))
        return "application/x-directory";
    return S_ISREG(mode) ? mime_type(key) : "application/octet-stream";
}

static void keep_string(json_t *kept, const char *name, const char *value)
{
    if (value && value[0])
        (void)json_object_set_new(kept, name, json_string(value));
}

static unsigned lacking(const char *key, const struct s3_object *object)
{
    static const struct cache no_options;
    struct posix_attr attr;
    posix_decode(&no_options, key, object, &attr);
    free(attr.target);
    return (CACHE_SET_MODE | CACHE_SET_UID | CACHE_SET_GID) & ~attr.carried;
}

unsigned posix_lacks(const char *kept)
{
    json_t *object = kept ? json_loads(kept, 0, NULL) : NULL;
    unsigned lacks = (unsigned)json_integer_value(json_object_get(object, "lacks"));
    json_decref(object);
    return lacks;
}

char *posix_keep(const char *key, const struct s3_object *object)
{
    json_t *kept = json_object(), *meta = json_object();
    size_t length = strlen(key);
    const char *by_name = posix_content_type(key, length > 0 && key[length - 1] == '/' ? S_IFDIR : S_IFREG);
    if (object->content_type && strcmp(object->content_type, by_name) != 0)
        keep_string(kept, "content_type", object->content_type);
    keep_string(kept, "content_encoding", object->content_encoding);
    keep_string(kept, "content_disposition", object->content_disposition);
    keep_string(kept, "content_language", object->content_language);
    keep_string(kept, "cache_control", object->cache_control);
    keep_string(kept, "expires", object->expires);
    for (size_t i = 0; i < object->meta_count; i++)
        if (!is_ours(object->meta[i].name))
            keep_string(meta, object->meta[i].name, object->meta[i].value);
    if (json_object_size(meta) > 0)
        (void)json_object_set(kept, "meta", meta);
    unsigned lacks = lacking(key, object);
    if (lacks)
        (void)json_object_set_new(kept, "lacks", json_integer(lacks));
    char *text = json_dumps(kept, JSON_COMPACT | JSON_SORT_KEYS);
    json_decref(meta);
    json_decref(kept);
    return text;
}

char *posix_keep_for_new_bytes(const char *kept)
{
    json_t *object = kept ? json_loads(kept, 0, NULL) : NULL;
    if (!object)
        return NULL;
    json_t *meta = json_object_get(object, "meta");
    (void)json_object_del(meta, "md5chksum"); /* rclone: the MD5 of a multipart object */
    if (json_object_size(meta) == 0)
        (void)json_object_del(object, "meta");
    char *text = json_dumps(object, JSON_COMPACT | JSON_SORT_KEYS);
    json_decref(object);
    return text;
}

/* ---- writing ---- */

#define OWN_PAIRS 10

struct arena {
    json_t *kept;
    size_t count, bytes;
    bool failed;
    struct s3_pair pairs[];
};

static char *base64(const char *text)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    size_t length = strlen(text);
    char *out = malloc(length / 3 * 4 + 5), *to = out;
    if (!out)
        return NULL;
    for (size_t i = 0; i < length; i += 3) {
        unsigned group = (unsigned)(unsigned char)text[i] << 16;
        group |= i + 1 < length ? (unsigned)(unsigned char)text[i + 1] << 8 : 0;
        group |= i + 2 < length ? (unsigned)(unsigned char)text[i + 2] : 0;
        *to++ = digits[group >> 18];
        *to++ = digits[group >> 12 & 63];
        *to++ = i + 1 < length ? digits[group >> 6 & 63] : '=';
        *to++ = i + 2 < length ? digits[group & 63] : '=';
    }
    *to = '\0';
    return out;
}

/* R2 hands out what an RFC 2047 word stood for; sent back as it came, other bytes than ASCII would not survive. */
static char *plain_ascii(const char *value)
{
    bool plain = true;
    for (const char *c = value; *c; c++)
        plain = plain && *c >= ' ' && *c < 0x7f;
    if (plain)
        return strdup(value);
    char *code = base64(value), *word = NULL;
    if (code && asprintf(&word, "=?UTF-8?B?%s?=", code) < 0)
        word = NULL;
    free(code);
    return word;
}

static void add(struct arena *arena, const char *name, const char *value)
{
    struct s3_pair pair = { .name = strdup(name), .value = plain_ascii(value) };
    if (!pair.name || !pair.value) {
        free(pair.name);
        free(pair.value);
        arena->failed = true;
        return;
    }
    arena->pairs[arena->count++] = pair;
    arena->bytes += strlen(pair.name) + strlen(pair.value);
}

static void add_number(struct arena *arena, const char *name, uint64_t value)
{
    char text[24];
    snprintf(text, sizeof text, "%" PRIu64, value);
    add(arena, name, text);
}

static void add_time(struct arena *arena, const char *name, int64_t ns)
{
    char text[48];
    int64_t seconds = ns / NS - (ns % NS < 0), fraction = ns - seconds * NS;
    if (fraction == 0)
        snprintf(text, sizeof text, "%" PRId64, seconds);
    else
        snprintf(text, sizeof text, "%" PRId64 ".%09" PRId64, seconds, fraction);
    add(arena, name, text);
}

static void add_own(struct arena *arena, const struct inode *inode, const char *nonce)
{
    add_number(arena, "mode", inode->mode);
    add_number(arena, "uid", inode->uid);
    add_number(arena, "gid", inode->gid);
    add_time(arena, "mtime", inode->mtime);
    add_time(arena, "ctime", inode->ctime);
    add_time(arena, "atime", inode->atime);
    if (S_ISCHR(inode->mode) || S_ISBLK(inode->mode))
        add_number(arena, "rdev", inode->rdev);
    if (nonce && nonce[0])
        add(arena, META_NONCE, nonce);
}

static const char *kept_string(const json_t *kept, const char *name)
{
    return json_string_value(json_object_get(kept, name));
}

int posix_encode(const struct cache *cache, const char *key, const struct inode *inode, const char *kept_text, const char *nonce,
                 struct posix_headers *headers)
{
    (void)cache;
    json_t *kept = kept_text ? json_loads(kept_text, 0, NULL) : NULL;
    json_t *meta = json_object_get(kept, "meta");
    struct arena *arena = calloc(1, sizeof *arena + (OWN_PAIRS + json_object_size(meta)) * sizeof arena->pairs[0]);
    if (!arena) {
        json_decref(kept);
        return -ENOMEM;
    }
    arena->kept = kept;
    *headers = (struct posix_headers){ .arena = arena };
    add_own(arena, inode, nonce);
    const char *name;
    json_t *value;
    json_object_foreach(meta, name, value) {
        if (json_is_string(value) && !is_ours(name))
            add(arena, name, json_string_value(value));
    }
    const char *type = kept_string(kept, "content_type");
    headers->s3 = (struct s3_headers){
        .content_type = type ? type : posix_content_type(key, inode->mode),
        .content_encoding = kept_string(kept, "content_encoding"),
        .content_disposition = kept_string(kept, "content_disposition"),
        .content_language = kept_string(kept, "content_language"),
        .cache_control = kept_string(kept, "cache_control"),
        .expires = kept_string(kept, "expires"),
        .meta = arena->pairs,
        .meta_count = arena->count,
    };
    int error = arena->failed ? -ENOMEM : arena->bytes > S3_META_MAX ? -E2BIG : 0;
    if (error)
        posix_headers_fini(headers);
    return error;
}

void posix_headers_fini(struct posix_headers *headers)
{
    struct arena *arena = headers->arena;
    if (!arena)
        return;
    for (size_t i = 0; i < arena->count; i++) {
        free(arena->pairs[i].name);
        free(arena->pairs[i].value);
    }
    json_decref(arena->kept);
    free(arena);
    *headers = (struct posix_headers){ 0 };
}

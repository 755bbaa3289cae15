/*
 * r2fs ls: what `rclone ls` prints, by flat listing pages of the bucket, without a mount.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fs/explain.h"
#include "tools/cmd.h"
#include "tools/target.h"

#define TIMEOUT_MS 10000 /* of one request with its retries; an endpoint that can't be reached is said so after this */

/* Is a segment of the path our own? */
static bool is_ours(const char *path)
{
    for (const char *at = path; (at = strstr(at, ".r2fs")); at += 5)
        if ((at == path || at[-1] == '/') && (at[5] == '\0' || at[5] == '/'))
            return true;
    return false;
}

static void print_page(const struct s3_list_page *page, size_t prefix_length)
{
    for (size_t i = 0; i < page->entry_count; i++) {
        const char *path = page->entries[i].key + prefix_length;
        size_t length = strlen(path);
        /* A key with a slash at its end is a directory's. */
        if (length > 0 && path[length - 1] != '/' && !is_ours(path))
            printf("%9" PRIu64 " %s\n", page->entries[i].size, path);
    }
}

/* All keys below prefix, which ends in a slash or is empty. *count: how many pages had any. */
static enum s3_outcome list_all(struct s3 *s3, const char *prefix, bool *any, struct s3_error *error)
{
    const struct s3_call call = { .timeout_ms = TIMEOUT_MS };
    struct s3_list_request request = { .prefix = prefix };
    char *token = NULL;
    enum s3_outcome outcome = S3_OK;

    do {
        struct s3_list_page page = { .entries = NULL };
        request.token = token;
        outcome = s3_network_ops.list(s3, &call, &request, &page, error);
        if (outcome != S3_OK)
            break;
        print_page(&page, strlen(prefix));
        *any |= page.entry_count > 0;
        free(token);
        token = page.next_token;
        page.next_token = NULL;
        s3_list_page_fini(&page);
    } while (token);
    free(token);
    return outcome;
}

/* SOURCE may name one object, as for rclone. */
static enum s3_outcome list_one(struct s3 *s3, const char *key, struct s3_error *error)
{
    const struct s3_call call = { .timeout_ms = TIMEOUT_MS };
    struct s3_object object = { .size = 0 };
    enum s3_outcome outcome = s3_network_ops.head(s3, &call, key, &object, error);

    if (outcome == S3_OK) {
        const char *slash = strrchr(key, '/');
        printf("%9" PRIu64 " %s\n", object.size, slash ? slash + 1 : key);
        s3_object_fini(&object);
    }
    return outcome == S3_NOT_FOUND ? S3_OK : outcome;
}

static enum s3_outcome list_source(struct s3 *s3, const char *source, struct s3_error *error)
{
    bool any = false;
    enum s3_outcome outcome;
    char *prefix;

    if (!*source)
        return list_all(s3, "", &any, error);
    if (asprintf(&prefix, "%s/", source) < 0) {
        *error = (struct s3_error) { .outcome = S3_LOCAL, .local_errno = ENOMEM };
        return S3_LOCAL;
    }
    outcome = list_all(s3, prefix, &any, error);
    free(prefix);
    return outcome == S3_OK && !any ? list_one(s3, source, error) : outcome;
}

int cmd_ls(struct conf *conf)
{
    struct explain_where where;
    struct s3_config config;
    struct conf_error bad;
    struct s3_error error = { .outcome = S3_OK };
    struct s3 *s3 = NULL;
    char sentence[1024];
    int r;

    target_interruptible("r2fs: ls was interrupted\n");
    if (conf_complete(conf, &bad)) {
        explain_print("%s", bad.message);
        return bad.exit_code;
    }
    log_open(NULL, 1, conf->log_level);
    conf_s3_config(conf, &config);
    r = s3_open(&s3, &config, &error);
    if (r) {
        explain_print("%s", error.message[0] ? error.message : strerror(-r));
        return r == -EINVAL ? EXIT_USAGE : EXIT_MACHINE;
    }
    if (list_source(s3, conf->prefix, &error) == S3_OK) {
        s3_close(s3);
        return EXIT_GOOD;
    }
    where = (struct explain_where) { s3_endpoint(s3), conf->bucket, conf->prefix, conf->cred_from };
    explain_s3(sentence, sizeof sentence, &where, &error);
    explain_print("%s: %s", conf->source, sentence);
    s3_close(s3);
    return (int)explain_exit(&error);
}

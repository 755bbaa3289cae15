/*
 * What an endpoint honours, by must-fail. A server that does not know a condition ignores it and answers 200, so only a
 * condition that is false, and is refused, proves anything. Each probe tries both kinds of condition that the pusher uses:
 * an ETag that the key does not have, and absence of a key that is there.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "s3/client.h"

#define FALSE_ETAG "0123456789abcdef0123456789abcdef"

struct probe {
    const struct s3_ops *ops;
    void *ctx;
    struct s3_call call;
    struct s3_error *error;
    char key[S3_KEY_MAX + 1], source[S3_KEY_MAX + 1];
};

static const struct s3_condition false_conditions[] = { { .if_match = FALSE_ETAG }, { .if_absent = true } };

static enum s3_outcome put(struct probe *probe, const char *key, const struct s3_condition *condition)
{
    struct s3_put_result result;
    struct s3_put_request request = { .key = key, .body = { .data = "r2fs", .length = 4 } };
    if (condition)
        request.condition = *condition;
    return probe->ops->put(probe->ctx, &probe->call, &request, &result, probe->error);
}

static enum s3_outcome copy(struct probe *probe, const struct s3_condition *condition)
{
    struct s3_put_result result;
    const struct s3_copy_request request = { .source = probe->source, .key = probe->key, .condition = *condition,
                                             .directive = S3_META_COPY };
    return probe->ops->copy(probe->ctx, &probe->call, &request, &result, probe->error);
}

static enum s3_outcome complete(struct probe *probe, const struct s3_condition *condition)
{
    char *id = NULL;
    struct s3_part part;
    struct s3_put_result result;
    struct s3_error ignored;
    const struct s3_upload_request create = { .key = probe->key };
    enum s3_outcome outcome = probe->ops->upload_create(probe->ctx, &probe->call, &create, &id, probe->error);
    if (outcome != S3_OK)
        return outcome;
    const struct s3_part_request upload = { .key = probe->key, .upload_id = id, .number = 1,
                                            .body = { .data = "r2fs", .length = 4 } };
    outcome = probe->ops->upload_part(probe->ctx, &probe->call, &upload, &part, probe->error);
    const struct s3_complete_request end = { .key = probe->key, .upload_id = id, .parts = &part, .part_count = 1,
                                             .condition = *condition };
    if (outcome == S3_OK)
        outcome = probe->ops->upload_complete(probe->ctx, &probe->call, &end, &result, probe->error);
    /* Where a refused Complete leaves the upload, it would cost storage for a week. */
    if (outcome != S3_OK)
        probe->ops->upload_abort(probe->ctx, &probe->call, probe->key, id, &ignored);
    free(id);
    return outcome;
}

static enum s3_outcome try_condition(struct probe *probe, enum s3_cap cap, const struct s3_condition *condition)
{
    const struct s3_delete_request remove = { .key = probe->key, .if_match = FALSE_ETAG };
    switch (cap) {
    case S3_CAP_PUT_CONDITION:
        return put(probe, probe->key, condition);
    case S3_CAP_COPY_CONDITION:
        return copy(probe, condition);
    case S3_CAP_COMPLETE_CONDITION:
        return complete(probe, condition);
    default:
        return probe->ops->remove(probe->ctx, &probe->call, &remove, probe->error);
    }
}

/* Both conditions must be refused. A server that does not know the header (501) has refused the request, not judged the
 * condition: for the caller that is the same as ignoring it, since the request must not carry one. */
static enum s3_outcome judge(struct probe *probe, enum s3_cap cap, enum s3_cap_state *state)
{
    size_t count = cap == S3_CAP_DELETE_CONDITION ? 1 : 2;
    for (size_t i = 0; i < count; i++) {
        enum s3_outcome outcome = try_condition(probe, cap, &false_conditions[i]);
        if (outcome == S3_OK || outcome == S3_UNSUPPORTED) {
            *state = S3_CAP_IGNORED;
            return S3_OK;
        }
        if (outcome != S3_PRECONDITION)
            return outcome;
    }
    *state = S3_CAP_HONOURED;
    return S3_OK;
}

static void remove_object(struct probe *probe, const char *key)
{
    struct s3_error ignored;
    const struct s3_delete_request request = { .key = key };
    probe->ops->remove(probe->ctx, &probe->call, &request, &ignored);
}

enum s3_outcome s3_cap_probe(const struct s3_ops *ops, void *ctx, enum s3_cap cap, const char *directory,
                             enum s3_cap_state *state, struct s3_error *error)
{
    struct probe probe = { .ops = ops, .ctx = ctx, .call = { .priority = S3_BACKGROUND }, .error = error };
    enum s3_cap_state found = S3_CAP_UNKNOWN;
    unsigned long long nonce = 0;
    if (getrandom(&nonce, sizeof nonce, 0) != (ssize_t)sizeof nonce)
        return client_refuse(error, S3_LOCAL, 0, "", "There are no random numbers.");
    if (strlen(directory) > S3_KEY_MAX - 64)
        return client_refuse(error, S3_INVALID, 0, "KeyTooLongError", "The prefix is too long to probe under it.");
    /* A name of its own: two machines that probe at once must not see each other's object. */
    snprintf(probe.key, sizeof probe.key, "%sprobe-%s-%016llx", directory, s3_cap_name(cap), nonce);
    snprintf(probe.source, sizeof probe.source, "%sprobe-source-%016llx", directory, nonce);
    enum s3_outcome outcome = put(&probe, probe.key, NULL);
    if (outcome == S3_OK && cap == S3_CAP_COPY_CONDITION)
        outcome = put(&probe, probe.source, NULL);
    if (outcome == S3_OK)
        outcome = judge(&probe, cap, &found);
    remove_object(&probe, probe.key);
    if (cap == S3_CAP_COPY_CONDITION)
        remove_object(&probe, probe.source);
    if (outcome == S3_OK) {
        memset(error, 0, sizeof *error);
        *state = found;
    }
    return outcome;
}

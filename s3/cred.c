#include "s3/cred.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static void wipe(char **string)
{
    if (*string)
        explicit_bzero(*string, strlen(*string));
    free(*string);
    *string = NULL;
}

void s3_cred_fini(struct s3_cred *cred)
{
    if (!cred)
        return;
    wipe(&cred->key_id);
    wipe(&cred->secret);
    wipe(&cred->token);
    cred->expires_ms = 0;
}

/* Empty counts as not set: an empty token must not be sent as a header. */
static int copy_string(char **to, const char *from)
{
    *to = NULL;
    if (!from || !*from)
        return 0;
    *to = strdup(from);
    return *to ? 0 : -ENOMEM;
}

int s3_cred_copy(struct s3_cred *to, const struct s3_cred *from)
{
    struct s3_cred copy = { .expires_ms = from->expires_ms };
    if (copy_string(&copy.key_id, from->key_id) || copy_string(&copy.secret, from->secret) ||
        copy_string(&copy.token, from->token)) {
        s3_cred_fini(&copy);
        return -ENOMEM;
    }
    *to = copy;
    return 0;
}

static struct cred_ref *ref_new(const struct s3_cred *cred)
{
    static const struct s3_cred none;
    struct cred_ref *ref = calloc(1, sizeof *ref);
    if (!ref)
        return NULL;
    ref->references = 1;
    if (s3_cred_copy(&ref->cred, cred ? cred : &none)) {
        free(ref);
        return NULL;
    }
    return ref;
}

int cred_init(struct cred_holder *holder, const struct s3_cred *cred)
{
    lock_init(&holder->lock, LOCK_HTTP);
    struct cred_ref *ref = ref_new(cred);
    lock_take(&holder->lock);
    holder->current = ref;
    lock_drop(&holder->lock);
    return ref ? 0 : -ENOMEM;
}

void cred_fini(struct cred_holder *holder)
{
    lock_take(&holder->lock);
    struct cred_ref *ref = holder->current;
    holder->current = NULL;
    lock_drop(&holder->lock);
    cred_put(holder, ref);
    lock_fini(&holder->lock);
}

int cred_set(struct cred_holder *holder, const struct s3_cred *cred)
{
    struct cred_ref *ref = ref_new(cred);
    if (!ref)
        return -ENOMEM;
    lock_take(&holder->lock);
    struct cred_ref *old = holder->current;
    holder->current = ref;
    lock_drop(&holder->lock);
    cred_put(holder, old);
    return 0;
}

struct cred_ref *cred_get(struct cred_holder *holder)
{
    lock_take(&holder->lock);
    struct cred_ref *ref = holder->current;
    ref->references++;
    lock_drop(&holder->lock);
    return ref;
}

void cred_put(struct cred_holder *holder, struct cred_ref *ref)
{
    if (!ref)
        return;
    lock_take(&holder->lock);
    bool last = --ref->references == 0;
    lock_drop(&holder->lock);
    if (last) {
        s3_cred_fini(&ref->cred);
        free(ref);
    }
}

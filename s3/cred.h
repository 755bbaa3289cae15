/*
 * s3/cred.h: the credentials in use, which may be replaced while requests are under way (temporary ones rotate).
 * A request takes a reference when it is signed, so that a rotation never mixes two pairs.
 */
#ifndef R2FS_S3_CRED_H
#define R2FS_S3_CRED_H

#include "s3/base/lock.h"
#include "s3/s3.h"

struct cred_ref {
    struct s3_cred cred;
    unsigned references;
};

struct cred_holder {
    struct lock lock;
    struct cred_ref *current; /* under lock, as the counts in it */
};

int cred_init(struct cred_holder *holder, const struct s3_cred *cred); /* 0 or -ENOMEM; cred NULL: unsigned requests */
void cred_fini(struct cred_holder *holder);
int cred_set(struct cred_holder *holder, const struct s3_cred *cred);  /* 0 or -ENOMEM, and then the old ones stay */
struct cred_ref *cred_get(struct cred_holder *holder);
void cred_put(struct cred_holder *holder, struct cred_ref *ref);

#endif

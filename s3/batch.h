/* s3/batch.h: DeleteObjects. ctx: a struct s3. */
#ifndef R2FS_S3_BATCH_H
#define R2FS_S3_BATCH_H

#include "s3/s3.h"

/* As struct s3_ops.remove_many. Keys that XML cannot carry (control characters, bytes that are no UTF-8) go one by one. */
enum s3_outcome batch_remove(void *ctx, const struct s3_call *call, struct s3_delete_entry *entries, size_t count,
                             struct s3_error *error);

#endif

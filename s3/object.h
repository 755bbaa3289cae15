/* s3/object.h: one function for each operation on an object; what they promise stands at struct s3_ops. ctx: a struct s3. */
#ifndef R2FS_S3_OBJECT_H
#define R2FS_S3_OBJECT_H

#include "s3/s3.h"

enum s3_outcome object_head(void *ctx, const struct s3_call *call, const char *key, struct s3_object *object,
                            struct s3_error *error);
enum s3_outcome object_get(void *ctx, const struct s3_call *call, const struct s3_get_request *request,
                           struct s3_object *object, size_t *got, struct s3_error *error);
enum s3_outcome object_put(void *ctx, const struct s3_call *call, const struct s3_put_request *request,
                           struct s3_put_result *result, struct s3_error *error);
enum s3_outcome object_copy(void *ctx, const struct s3_call *call, const struct s3_copy_request *request,
                            struct s3_put_result *result, struct s3_error *error);
enum s3_outcome object_remove(void *ctx, const struct s3_call *call, const struct s3_delete_request *request,
                              struct s3_error *error);

#endif

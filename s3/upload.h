/* s3/upload.h: multipart uploads, one function for each request; what they promise stands at struct s3_ops. ctx: a struct s3. */
#ifndef R2FS_S3_UPLOAD_H
#define R2FS_S3_UPLOAD_H

#include "s3/s3.h"

enum s3_outcome upload_create(void *ctx, const struct s3_call *call, const struct s3_upload_request *create, char **upload_id,
                              struct s3_error *error);
enum s3_outcome upload_part(void *ctx, const struct s3_call *call, const struct s3_part_request *part, struct s3_part *made,
                            struct s3_error *error);
enum s3_outcome upload_complete(void *ctx, const struct s3_call *call, const struct s3_complete_request *complete,
                                struct s3_put_result *result, struct s3_error *error);
enum s3_outcome upload_abort(void *ctx, const struct s3_call *call, const char *key, const char *upload_id,
                             struct s3_error *error);
enum s3_outcome upload_list(void *ctx, const struct s3_call *call, const char *prefix, struct s3_upload_entry **entries,
                            size_t *count, struct s3_error *error);

#endif

/* s3/list.h: one page of ListObjectsV2, and the checks that it must pass before anything above believes it. ctx: a struct s3. */
#ifndef R2FS_S3_LIST_H
#define R2FS_S3_LIST_H

#include <stddef.h>

#include "s3/s3.h"

enum s3_outcome list_page(void *ctx, const struct s3_call *call, const struct s3_list_request *request,
                          struct s3_list_page *page, struct s3_error *error);

/*
 * Reads an answer's body. S3_OK and *page; S3_CORRUPT with *problem a static sentence: not XML, not sorted, repeating, of
 * another prefix, not behind start_after, cut short without a token; or S3_LOCAL (memory). Pure.
 */
enum s3_outcome list_parse(const char *body, size_t length, const struct s3_list_request *request, struct s3_list_page *page,
                           const char **problem);

#endif

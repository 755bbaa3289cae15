/* s3/digest.h: MD5 and SHA-256 of bytes and of bodies, as S3 wants them written. By OpenSSL's EVP; 0 or -errno. */
#ifndef R2FS_S3_DIGEST_H
#define R2FS_S3_DIGEST_H

#include <stddef.h>

#include "s3/s3.h"

#define DIGEST_MD5_BASE64 25  /* with the NUL */
#define DIGEST_SHA256_HEX 65
#define DIGEST_EMPTY_SHA256 "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

void digest_hex(const unsigned char *bytes, size_t length, char *hex); /* 2 × length digits and a NUL */
int digest_sha256_hex(const void *data, size_t length, char hex[DIGEST_SHA256_HEX]);
int digest_md5_hex(const void *data, size_t length, char hex[33]);
int digest_hmac_sha256(const void *key, size_t key_length, const void *data, size_t length, unsigned char mac[32]);
/* 32 hex digits to base64; -EINVAL when they are not. */
int digest_md5_base64(const char *hex, char base64[DIGEST_MD5_BASE64]);

/*
 * Reads a body once for the digests asked for: md5 in base64 (NULL: not; taken from body->md5 where the caller knows it),
 * sha256 in hex (NULL: not). Blocks on the file. -EIO when the file is shorter than the body, else pread's error.
 */
int digest_body(const struct s3_body *body, char md5[DIGEST_MD5_BASE64], char sha256[DIGEST_SHA256_HEX]);
/* The ETag that a single PUT of this body gets where ETags are MD5s: 32 hex digits. Errors as digest_body. */
int digest_body_md5_hex(const struct s3_body *body, char hex[33]);

#endif

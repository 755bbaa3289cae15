#include "s3/digest.h"

#include <errno.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define READ_BYTES (128u << 10) /* a file is read in pieces of this */

void digest_hex(const unsigned char *bytes, size_t length, char *hex)
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < length; i++) {
        hex[2 * i] = digits[bytes[i] >> 4];
        hex[2 * i + 1] = digits[bytes[i] & 15];
    }
    hex[2 * length] = '\0';
}

static int digest_once(const EVP_MD *type, const void *data, size_t length, size_t size, char *hex)
{
    unsigned char bytes[EVP_MAX_MD_SIZE];
    if (!EVP_Digest(data, length, bytes, NULL, type, NULL))
        return -ENOMEM;
    digest_hex(bytes, size, hex);
    return 0;
}

int digest_sha256_hex(const void *data, size_t length, char hex[DIGEST_SHA256_HEX])
{
    return digest_once(EVP_sha256(), data, length, 32, hex);
}

int digest_md5_hex(const void *data, size_t length, char hex[33])
{
    return digest_once(EVP_md5(), data, length, 16, hex);
}

int digest_hmac_sha256(const void *key, size_t key_length, const void *data, size_t length, unsigned char mac[32])
{
    return HMAC(EVP_sha256(), key, (int)key_length, data, length, mac, NULL) ? 0 : -ENOMEM;
}

static void md5_base64(const unsigned char bytes[16], char base64[DIGEST_MD5_BASE64])
{
    EVP_EncodeBlock((unsigned char *)base64, bytes, 16);
}

int digest_md5_base64(const char *hex, char base64[DIGEST_MD5_BASE64])
{
    unsigned char bytes[16];
    if (strspn(hex, "0123456789abcdefABCDEF") != 32 || hex[32])
        return -EINVAL;
    for (size_t i = 0; i < 16; i++) {
        char digits[3] = { hex[2 * i], hex[2 * i + 1], '\0' };
        bytes[i] = (unsigned char)strtoul(digits, NULL, 16);
    }
    md5_base64(bytes, base64);
    return 0;
}

static int update(EVP_MD_CTX *md5, EVP_MD_CTX *sha256, const void *data, size_t length)
{
    if ((md5 && !EVP_DigestUpdate(md5, data, length)) || (sha256 && !EVP_DigestUpdate(sha256, data, length)))
        return -ENOMEM;
    return 0;
}

static int update_from_file(EVP_MD_CTX *md5, EVP_MD_CTX *sha256, const struct s3_body *body)
{
    char *piece = malloc(READ_BYTES);
    int rc = piece ? 0 : -ENOMEM;
    for (uint64_t at = 0; !rc && at < body->length;) {
        size_t want = body->length - at < READ_BYTES ? (size_t)(body->length - at) : READ_BYTES;
        ssize_t n = pread(body->fd, piece, want, (off_t)(body->offset + at));
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            rc = n < 0 ? -errno : -EIO;
        } else {
            rc = update(md5, sha256, piece, (size_t)n);
            at += (uint64_t)n;
        }
    }
    free(piece);
    return rc;
}

int digest_body(const struct s3_body *body, char md5[DIGEST_MD5_BASE64], char sha256[DIGEST_SHA256_HEX])
{
    EVP_MD_CTX *md5_ctx = NULL, *sha256_ctx = NULL;
    unsigned char bytes[EVP_MAX_MD_SIZE];
    int rc = -ENOMEM;
    if (md5 && body->md5) {
        rc = digest_md5_base64(body->md5, md5);
        if (rc || !sha256)
            return rc;
        rc = -ENOMEM;
    } else if (md5) {
        md5_ctx = EVP_MD_CTX_new();
        if (!md5_ctx || !EVP_DigestInit_ex(md5_ctx, EVP_md5(), NULL))
            goto out;
    }
    if (sha256) {
        sha256_ctx = EVP_MD_CTX_new();
        if (!sha256_ctx || !EVP_DigestInit_ex(sha256_ctx, EVP_sha256(), NULL))
            goto out;
    }
    if (md5_ctx || sha256_ctx) {
        rc = body->data ? update(md5_ctx, sha256_ctx, body->data, (size_t)body->length)
                        : update_from_file(md5_ctx, sha256_ctx, body);
        if (rc)
            goto out;
    }
    if (md5_ctx) {
        EVP_DigestFinal_ex(md5_ctx, bytes, NULL);
        md5_base64(bytes, md5);
    }
    if (sha256_ctx) {
        EVP_DigestFinal_ex(sha256_ctx, bytes, NULL);
        digest_hex(bytes, 32, sha256);
    }
    rc = 0;
out:
    EVP_MD_CTX_free(md5_ctx);
    EVP_MD_CTX_free(sha256_ctx);
    return rc;
}

int digest_body_md5_hex(const struct s3_body *body, char hex[33])
{
    char base64[DIGEST_MD5_BASE64];
    unsigned char bytes[18];
    int rc = digest_body(body, base64, NULL);
    if (rc)
        return rc;
    if (EVP_DecodeBlock(bytes, (const unsigned char *)base64, DIGEST_MD5_BASE64 - 1) != (int)sizeof bytes)
        return -EINVAL;
    digest_hex(bytes, 16, hex);
    return 0;
}

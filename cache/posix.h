/*
 * cache/posix.h: a file's attributes as x-amz-meta-*: s3fs's encoding (mode decimal with type bits, uid, gid, mtime, ctime,
 * atime as "sec.nnnnnnnnn"), read also in geesefs's, rclone's and FSx's. Sources: s3fs-fuse doc and metaheader.cpp,
 * geesefs README, rclone docs "s3 metadata" and "--links", AWS FSx "posix metadata"; see the table in posix.c.
 */
#ifndef R2FS_CACHE_POSIX_H
#define R2FS_CACHE_POSIX_H

#include "cache/inode.h"

struct posix_attr {
    uint32_t mode, uid, gid;      /* mode with type bits */
    uint64_t rdev;
    int64_t mtime, ctime, atime;  /* ns */
    bool target_is_body;          /* a symlink whose target is the object's body */
    char *target;                 /* a symlink whose target is in the metadata; the caller's */
    char nonce[40], link_id[40];  /* "" when not there */
    unsigned carried;             /* CACHE_SET_ bits of what the object really carried */
};
/* What an object (or `dir/` object) says of its file, defaults from the mount's configuration. Never fails: nonsense is ignored. */
void posix_decode(const struct cache *cache, const char *key, const struct s3_object *object, struct posix_attr *attr);
/* The headers for a Put or Copy of this inode: content type by name, our metadata, and of *kept (the JSON of remote.headers, may be
 * NULL) what another client set. Memory belongs to *headers' owner: posix_headers_fini. -E2BIG above S3_META_MAX. */
struct posix_headers {
    struct s3_headers s3;
    void *arena;
};
int posix_encode(const struct cache *cache, const char *key, const struct inode *inode, const char *kept, const char *nonce,
                 struct posix_headers *headers);
void posix_headers_fini(struct posix_headers *headers);
/* The JSON that remote.headers keeps of an object: what posix_encode would not write by itself; "{}" when that is nothing, so
 * that NULL there says that nobody has looked. The caller's; NULL: no memory. */
char *posix_keep(const char *key, const struct s3_object *object);
/* Of what posix_keep wrote: the CACHE_SET_ bits of mode, uid and gid that the object does not carry, so that the mount's options say them. */
unsigned posix_lacks(const char *kept);
/* What of it still holds when other bytes are written (not, for instance, rclone's md5chksum). The caller's. NULL for NULL. */
char *posix_keep_for_new_bytes(const char *kept);
/* The Content-Type that we give an object by its name, static or kept for ever. */
const char *posix_content_type(const char *key, uint32_t mode);

#endif

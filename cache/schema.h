/*
 * cache/schema.h: the tables of the index, and what each row means. Only cache/ reads or writes them, always inside a
 * transaction of cache/db.h. Times of files are nanoseconds since 1970, other times milliseconds of the wall clock.
 * A change here raises SCHEMA_VERSION and adds a step to db_migrate.
 */
#ifndef R2FS_CACHE_SCHEMA_H
#define R2FS_CACHE_SCHEMA_H

#define SCHEMA_VERSION 1

static const char schema_sql[] =
    /* small facts: schema, identity, instance, boot id, clean flag, high-water marks of numbers, caps */
    "CREATE TABLE setting(name TEXT PRIMARY KEY, value) WITHOUT ROWID;"

    /* ino: also the kernel's nodeid; never given out twice (high-water mark in setting).
     * data_version counts committed changes of the bytes, meta_version those of mode, owner, times set by hand, target,
     * xattrs: (ino, data_version, meta_version) is what a key of the bucket is compared with.
     * known 0: from a listing only; mode, owner and times are guesses that no program may see.
     * content: row of content, 0: none (directory, special file, or bytes not here at all and no base).
     * target: a symlink's. explicit: a directory whose mode, owner or times were set, so that it needs an object.
     * hole: bytes of size that are known to be zeros and take no space. dirty_ms: when it last went from clean to dirty, 0 clean.
     * synced: fsynced since then. A row is here only while a name (or a lookup of this run) leads to it. */
    "CREATE TABLE inode(ino INTEGER PRIMARY KEY, mode INT NOT NULL, uid INT NOT NULL, gid INT NOT NULL, rdev INT NOT NULL DEFAULT 0,"
    " size INT NOT NULL, hole INT NOT NULL DEFAULT 0, mtime INT NOT NULL, ctime INT NOT NULL, atime INT NOT NULL, nlink INT NOT NULL, content INT NOT NULL DEFAULT 0,"
    " data_version INT NOT NULL DEFAULT 0, meta_version INT NOT NULL DEFAULT 0, known INT NOT NULL DEFAULT 1, explicit INT NOT NULL DEFAULT 0,"
    " target BLOB, xattr BLOB, link_id TEXT, dirty_ms INT NOT NULL DEFAULT 0, synced INT NOT NULL DEFAULT 0);"

    /* id is the readdir cookie: upwards from 1, never reused. */
    "CREATE TABLE dentry(parent INT NOT NULL, id INT NOT NULL, name BLOB NOT NULL, ino INT NOT NULL, PRIMARY KEY(parent, id)) WITHOUT ROWID;"
    "CREATE UNIQUE INDEX dentry_name ON dentry(parent, name);"
    "CREATE INDEX dentry_ino ON dentry(ino);"

    /* What is known of a directory's listing. complete: every name of the bucket is a dentry. listed_ms: when the listing
     * that says so was asked for. used_ms: when a program last looked. */
    "CREATE TABLE directory(ino INTEGER PRIMARY KEY, complete INT NOT NULL DEFAULT 0, listed_ms INT NOT NULL DEFAULT 0,"
    " used_ms INT NOT NULL DEFAULT 0);"

    /* Bytes. A new id whenever all old bytes are given up (truncate to 0, a new remote version).
     * base_key, base_etag, base_size: the object that ranges which are not here can be read from; NULL: nothing is missing.
     * body: all bytes, when there are at most CONTENT_INLINE_MAX and none is missing; else NULL and block file id.
     * disk: bytes that it takes on disk or in body. used_ms: for eviction. epoch: setting "epoch" when it was last known to be
     * whole; the setting grows when the machine went down without our knowing, and older contents are verified at first use. */
    "CREATE TABLE content(id INTEGER PRIMARY KEY, ino INT NOT NULL, size INT NOT NULL, base_key BLOB, base_etag TEXT, base_size INT NOT NULL DEFAULT 0,"
    " body BLOB, disk INT NOT NULL DEFAULT 0, used_ms INT NOT NULL DEFAULT 0, epoch INT NOT NULL DEFAULT 0);"
    "CREATE INDEX content_used ON content(used_ms) WHERE disk > 0;"

    /* One row for each CHUNK of a block file: present, hole (present, zeros, not in the file) and dirty ranges (cache/ranges.h, relative
     * to the chunk), and for each BLOCK up to the last present one a CRC32C, little-endian, of its bytes that are present and no
     * hole, from the flush that committed it; 0: not known. */
    "CREATE TABLE block(content INT NOT NULL, chunk INT NOT NULL, present BLOB NOT NULL, hole BLOB NOT NULL, dirty BLOB NOT NULL, crc BLOB NOT NULL,"
    " PRIMARY KEY(content, chunk)) WITHOUT ROWID;"

    /* What the bucket holds under each key below the prefix (full key, prefix included), as far as we know.
     * ino, data_version, meta_version: what of ours it is (ino 0: nothing of ours). etag NULL: believed absent (row kept while
     * something is pending on it). gone: no name wants it any more; a todo row will delete it.
     * mtime_ms as listed, or coarse from a header. page: sequence number of the last news (page or own request).
     * headers: JSON {"content_type":…,"meta":{…}}: what another client set and a metadata change of ours must keep; NULL
     * unknown. nonce: the x-amz-meta-r2fs-v it carries when ours. */
    "CREATE TABLE remote(key BLOB PRIMARY KEY, etag TEXT, size INT NOT NULL DEFAULT 0, mtime_ms INT NOT NULL DEFAULT 0, coarse INT NOT NULL DEFAULT 0,"
    " ino INT NOT NULL DEFAULT 0, data_version INT NOT NULL DEFAULT 0, meta_version INT NOT NULL DEFAULT 0, gone INT NOT NULL DEFAULT 0,"
    " page INT NOT NULL DEFAULT 0, headers BLOB, nonce TEXT) WITHOUT ROWID;"
    "CREATE INDEX remote_ino ON remote(ino) WHERE ino != 0;"

    /* What is to be pushed (cache/todo.h). target: an ino for kinds INODE and TREE, a key for GONE and GONE_TREE.
     * first: sequence number since which it is wanted (others wait for it by this), last: of its newest change (it waits by this).
     * changed_ms, first_ms: wall clock of the newest and the first change. */
    "CREATE TABLE todo(kind INT NOT NULL, target BLOB NOT NULL, first INT NOT NULL, last INT NOT NULL, changed_ms INT NOT NULL,"
    " first_ms INT NOT NULL, publish INT NOT NULL DEFAULT 0, reason TEXT, PRIMARY KEY(kind, target)) WITHOUT ROWID;"

    /* A mutating request that is about to leave; deleted when its outcome is known. */
    "CREATE TABLE attempt(id INTEGER PRIMARY KEY, key BLOB NOT NULL, kind INT NOT NULL, ino INT NOT NULL DEFAULT 0, data_version INT NOT NULL DEFAULT 0,"
    " meta_version INT NOT NULL DEFAULT 0, source BLOB, condition TEXT, expected_etag TEXT, nonce TEXT, upload_id TEXT, part_size INT NOT NULL DEFAULT 0,"
    " parts BLOB, instance TEXT NOT NULL, started_ms INT NOT NULL);"
    "CREATE INDEX attempt_key ON attempt(key);";

#endif

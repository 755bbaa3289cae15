/*
 * Directories. The offset that the kernel sees is 1 behind `.`, 2 behind `..`, and a row's cookie plus 2 behind that row.
 *
 * READDIRPLUS hands out the attributes of each row as a LOOKUP would, so that a walk over a tree costs no request a name. A
 * row whose type and attributes are not known yet has nodeid 0 and DT_UNKNOWN: the program that wants them sends a LOOKUP,
 * and only that one waits.
 */
#include "fs/fs.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "fs/node.h"
#include "fs/notice.h"
#include "fs/park.h"

#define DOTS 2u
/* Bytes of the smallest row of each kind: what the kernel asks for never holds more rows than its size divided by this. */
#define ROW_MIN 32u
#define ROW_PLUS_MIN 160u

void fs_opendir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    struct fs *fs = fuse_req_userdata(req);
    fi->cache_readdir = 1;
    fi->keep_cache = node_listing_kept(fs->nodes, ino, cache_dir_version(fs->cache, ino));
    fuse_reply_open(req, fi);
}

void fs_releasedir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    (void)ino;
    (void)fi;
    fuse_reply_err(req, 0);
}

void fs_fsyncdir(fuse_req_t req, fuse_ino_t ino, int data_only, struct fuse_file_info *fi)
{
    fs_fsync(req, ino, data_only, fi);
}

/* One answer as it grows. */
struct rows {
    struct call *call;
    char *buffer;
    size_t used, size;
};

/* False: it does not fit. attr: what is known of it, only ino and type bits count where !known. */
static bool add(struct rows *rows, const char *name, const struct cache_attr *attr, bool known, uint64_t offset)
{
    fuse_req_t req = rows->call->req;
    size_t room = rows->size - rows->used, length;
    struct fuse_entry_param entry = { 0 };
    if (known) {
        fs_stat(attr, &entry.attr);
        entry.ino = attr->ino;
        entry.generation = attr->generation;
        entry.attr_timeout = fs_attr_timeout(rows->call->fs, attr);
        entry.entry_timeout = FS_TIMEOUT_S;
    } else {
        entry.attr.st_ino = attr->ino;
        entry.attr.st_mode = attr->mode & S_IFMT;
    }
    if (rows->call->plus)
        length = fuse_add_direntry_plus(req, rows->buffer + rows->used, room, name, &entry, (off_t)offset);
    else
        length = fuse_add_direntry(req, rows->buffer + rows->used, room, name, &entry.attr, (off_t)offset);
    if (length > room)
        return false;
    rows->used += length;
    return true;
}

/* `.` and `..` carry no nodeid: the kernel takes no lookup for them. */
static int add_dots(struct rows *rows)
{
    struct call *call = rows->call;
    struct cache_attr attr = { .ino = call->ino, .mode = S_IFDIR };
    if (call->offset < 1)
        add(rows, ".", &attr, false, 1);
    if (call->offset < DOTS) {
        int rc = cache_parent(call->fs->cache, call->ino, &attr.ino);
        if (rc != 0)
            return rc;
        add(rows, "..", &attr, false, DOTS);
    }
    return 0;
}

/* Adds what fits. Those that the kernel gets as a lookup are counted before the reply. Returns how many rows were added. */
static size_t add_entries(struct rows *rows, struct cache_dirent *entries, size_t count, uint64_t mark)
{
    struct call *call = rows->call;
    struct fs *fs = call->fs;
    for (size_t i = 0; i < count; i++) {
        struct cache_dirent *entry = &entries[i];
        bool counted = call->plus && entry->known && node_look(fs->nodes, entry->attr.ino) == 0;
        /* Without plus the attributes only tell the type. */
        bool known = call->plus ? counted : entry->known;
        entry->known = counted;
        if (!add(rows, entry->name, &entry->attr, known, entry->cookie + DOTS)) {
            if (counted)
                fs_drop(fs, entry->attr.ino, 1);
            return i;
        }
        if (counted)
            notice_since(fs->notices, mark, entry->attr.ino);
    }
    return count;
}

static int step_readdir(struct call *call)
{
    struct fs *fs = call->fs;
    char *scratch = park_scratch();
    if (!scratch)
        return -ENOMEM;
    /* The rows are built in front, what the cache says lies behind. */
    struct cache_dirent *entries = (struct cache_dirent *)(void *)(scratch + call->size);
    size_t fit = (PARK_SCRATCH - call->size) / sizeof *entries, want = call->size / (call->plus ? ROW_PLUS_MIN : ROW_MIN) + 1;
    size_t count;
    uint64_t mark = notice_mark(fs->notices), cookie = call->offset > DOTS ? call->offset - DOTS : 0;
    int rc = cache_readdir(fs->cache, call->ino, cookie, entries, want < fit ? want : fit, &count, &call->wait);
    if (rc != 0)
        return rc;

    struct rows rows = { .call = call, .buffer = scratch, .size = call->size };
    rc = add_dots(&rows);
    if (rc != 0)
        return rc;
    size_t added = add_entries(&rows, entries, count, mark);
    if (fuse_reply_buf(call->req, rows.buffer, rows.used) != 0) {
        for (size_t i = 0; i < added; i++)
            if (entries[i].known)
                fs_drop(fs, entries[i].attr.ino, 1);
    }
    return 0;
}

static void read_rows(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset, bool plus)
{
    struct call *call = park_begin(fuse_req_userdata(req), req, step_readdir);
    if (!call)
        return;
    call->ino = ino;
    /* A shorter answer than asked for is legal; it keeps room for the entries, and their alignment. */
    call->size = (size < FS_IO_MAX / 2 ? size : FS_IO_MAX / 2) & ~(size_t)15;
    call->offset = (uint64_t)offset;
    call->plus = plus;
    park_run(call);
}

void fs_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset, struct fuse_file_info *fi)
{
    (void)fi;
    read_rows(req, ino, size, offset, false);
}

void fs_readdirplus(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset, struct fuse_file_info *fi)
{
    (void)fi;
    read_rows(req, ino, size, offset, true);
}

/*
 * What is waited for, or fetched, before a key is put over or deleted: a transaction of SQLite's that is under way, and
 * programs that still read what the key holds.
 */
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "cache/block_internal.h"
#include "cache/db.h"
#include "cache/fetch.h"
#include "cache/push_run.h"
#include "s3/base/clock.h"

#define JOURNAL_MAX_MS 30000 /* after its last write a hot journal is a crashed program's, and holds back nothing */
#define NS_IN_MS 1000000

/* Format: sqlite.org/fileformat2.html, "The Rollback Journal". journal_mode=PERSIST zeroes it, TRUNCATE empties the file. */
static const unsigned char magic[8] = { 0xd9, 0xd5, 0x05, 0xf9, 0x20, 0xa1, 0x63, 0xd7 };

static struct inode *journal_of_tx(struct push_run *run)
{
    const char *slash = strrchr(run->look.key, '/'), *name = slash ? slash + 1 : run->look.key;
    char path[S3_KEY_MAX + 16];
    if (strlen(name) + strlen("-journal") > CACHE_NAME_MAX)
        return NULL;
    snprintf(path, sizeof path, "%s-journal", run->look.key);
    uint64_t ino = tree_find_tx(run->cache, path);
    return ino ? inode_get_tx(run->cache, ino) : NULL;
}

int64_t push_hold_journal(struct push_run *run)
{
    unsigned char start[sizeof magic];
    size_t got = 0;
    db_begin(run->cache);
    struct inode *journal = journal_of_tx(run);
    db_commit(run->cache);
    if (!journal)
        return 0;
    lock_take(&journal->lock);
    int64_t age_ms = clock_wall_ms() - journal->mtime / NS_IN_MS;
    bool file = S_ISREG(journal->mode) && journal->size >= sizeof magic;
    lock_drop(&journal->lock);
    /* What is not here was not written here. */
    bool hot = file && age_ms < JOURNAL_MAX_MS && age_ms > -JOURNAL_MAX_MS &&
               block_read(run->cache, journal, start, sizeof start, 0, &got) == 0 && got == sizeof start && memcmp(start, magic, sizeof magic) == 0;
    inode_put(run->cache, journal);
    return hot ? JOURNAL_MAX_MS - age_ms : 0;
}

void push_hold_readers(struct push_run *run)
{
    const struct push_facts *f = &run->look.facts;
    struct inode *old = f->present && f->have_ino && f->have_ino != f->ino ? inode_peek(run->cache, f->have_ino) : NULL;
    if (!old)
        return;
    lock_take(&old->lock);
    bool fetch = old->removed && old->opens > 0 && S_ISREG(old->mode) && old->size <= run->cache->config.keep_base_max;
    uint64_t size = old->size;
    lock_drop(&old->lock);
    /* Where it fails the reader gets ESTALE for what is missing, never other bytes. */
    if (fetch && size)
        (void)fetch_range_blocking(run->cache, old, 0, size);
    inode_put(run->cache, old);
}

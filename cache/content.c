#include "cache/content.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cache/block_internal.h"
#include "cache/db.h"
#include "s3/base/clock.h"

#define BLOCKS_IN_CHUNK (CHUNK_SIZE / BLOCK_SIZE)

struct block_chunk {
    uint64_t index;
    UT_hash_handle hh;
    uint32_t crc[BLOCKS_IN_CHUNK];
};

/* ---- life ---- */

struct content *content_new(uint64_t size)
{
    struct content *content = calloc(1, sizeof *content);
    if (!content)
        return NULL;
    content->size = size;
    content->fd = -1;
    content->used_ms = clock_wall_ms();
    content->references = 1;
    lock_cond_init(&content->written);
    return content;
}

void content_drop_crcs(struct content *content)
{
    struct block_chunk *chunk, *next;
    HASH_ITER(hh, content->chunks, chunk, next) {
        HASH_DEL(content->chunks, chunk);
        free(chunk);
    }
}

struct content *block_hold(struct content *content)
{
    atomic_fetch_add(&content->references, 1);
    return content;
}

void block_unload(struct cache *cache, struct content *content)
{
    if (!content || atomic_fetch_sub(&content->references, 1) > 1)
        return;
    if (content->fd >= 0)
        close(content->fd);
    if (content->doomed && content->file)
        block_discard(cache, content->id);
    struct ranges *sets[] = { &content->present, &content->hole, &content->dirty, &content->changed, &content->unchecked,
                              &content->unverified, &content->writing, &content->stale, &content->damaged };
    for (size_t i = 0; i < sizeof sets / sizeof *sets; i++)
        ranges_fini(sets[i]);
    content_drop_crcs(content);
    pthread_cond_destroy(&content->written);
    free(content->base_key);
    free(content->base_etag);
    free(content->body);
    free(content);
}

void block_doom(struct content *content)
{
    content->doomed = true;
}

int content_grow_body(struct content *content, uint64_t size)
{
    if (content->body && size <= content->body_capacity)
        return 0;
    size_t capacity = 512;
    while (capacity < size)
        capacity *= 2;
    uint8_t *body = realloc(content->body, capacity);
    if (!body)
        return -ENOMEM;
    memset(body + content->body_capacity, 0, capacity - content->body_capacity);
    content->body = body;
    content->body_capacity = capacity;
    return 0;
}

/* ---- what is where ---- */

enum content_kind content_kind_at(const struct content *content, uint64_t start, uint64_t end, uint64_t *run_end)
{
    struct range run;
    if (!ranges_next(&content->present, start, end, false, &run) || run.start > start) {
        uint64_t absent = ranges_next(&content->present, start, end, false, &run) ? run.start : end;
        if (!content->base_key || start >= content->base_size) {
            *run_end = absent;
            return CONTENT_HOLE;
        }
        *run_end = absent < content->base_size ? absent : content->base_size;
        return CONTENT_MISSING;
    }
    struct range hole;
    if (!ranges_next(&content->hole, run.start, run.end, false, &hole)) {
        *run_end = run.end;
        return CONTENT_DATA;
    }
    *run_end = hole.start > start ? hole.start : hole.end;
    return hole.start > start ? CONTENT_DATA : CONTENT_HOLE;
}

bool content_is_missing(const struct content *content, uint64_t start, uint64_t end, struct range *first)
{
    if (!content->base_key)
        return false;
    if (end > content->base_size)
        end = content->base_size;
    if (end > content->size)
        end = content->size;
    return start < end && ranges_next(&content->present, start, end, true, first);
}

uint64_t content_missing_bytes(const struct content *content)
{
    uint64_t limit = content->base_size < content->size ? content->base_size : content->size;
    return content->base_key ? limit - ranges_total_in(&content->present, 0, limit) : 0;
}

uint64_t block_hole_bytes(const struct content *content, uint64_t size)
{
    if (content->body)
        return 0;
    uint64_t data = ranges_total_in(&content->present, 0, size) - ranges_total_in(&content->hole, 0, size);
    uint64_t rest = size - data, missing = content_missing_bytes(content);
    return rest > missing ? rest - missing : 0;
}

uint64_t content_disk(const struct content *content)
{
    if (!content->file)
        return content->body ? content->size : 0;
    uint64_t bytes = ranges_total(&content->present) - ranges_total(&content->hole);
    return (bytes + 4095) / 4096 * 4096;
}

/* ---- checksums ---- */

static struct block_chunk *find_chunk(const struct content *content, uint64_t index)
{
    struct block_chunk *chunk;
    HASH_FIND(hh, content->chunks, &index, sizeof index, chunk);
    return chunk;
}

static struct block_chunk *make_chunk(struct content *content, uint64_t index)
{
    struct block_chunk *chunk = find_chunk(content, index);
    if (chunk)
        return chunk;
    chunk = calloc(1, sizeof *chunk);
    if (!chunk)
        return NULL;
    chunk->index = index;
    HASH_ADD(hh, content->chunks, index, sizeof chunk->index, chunk);
    return chunk;
}

uint32_t content_crc(const struct content *content, uint64_t block)
{
    struct block_chunk *chunk = find_chunk(content, block / BLOCKS_IN_CHUNK);
    return chunk ? chunk->crc[block % BLOCKS_IN_CHUNK] : 0;
}

int content_set_crc(struct content *content, uint64_t block, uint32_t crc)
{
    struct block_chunk *chunk = make_chunk(content, block / BLOCKS_IN_CHUNK);
    if (!chunk)
        return -ENOMEM;
    chunk->crc[block % BLOCKS_IN_CHUNK] = crc;
    return 0;
}

/* ---- rows ---- */

/* The part of a set that lies in a chunk, relative to it. The caller's; NULL and *failed without memory. */
static uint8_t *encode_part(const struct ranges *set, uint64_t chunk_start, size_t *size, bool *failed)
{
    struct ranges part = { 0 };
    struct range run;
    uint64_t end = chunk_start + CHUNK_SIZE;
    for (uint64_t at = chunk_start; ranges_next(set, at, end, false, &run); at = run.end)
        if (ranges_add(&part, run.start - chunk_start, run.end - chunk_start))
            *failed = true;
    *size = ranges_encode(&part, NULL, 0);
    uint8_t *blob = malloc(*size + 1);
    if (blob)
        ranges_encode(&part, blob, *size);
    else
        *failed = true;
    ranges_fini(&part);
    return blob;
}

static void save_chunk(struct cache *cache, const struct content *content, uint64_t index)
{
    uint64_t start = index * CHUNK_SIZE;
    size_t present_size = 0, hole_size = 0, dirty_size = 0, count = 0;
    bool failed = false;
    uint8_t crc[BLOCKS_IN_CHUNK * 4];
    uint8_t *present = encode_part(&content->present, start, &present_size, &failed);
    uint8_t *hole = encode_part(&content->hole, start, &hole_size, &failed);
    uint8_t *dirty = encode_part(&content->dirty, start, &dirty_size, &failed);
    for (uint64_t i = 0; i < BLOCKS_IN_CHUNK; i++) {
        uint64_t block = start / BLOCK_SIZE + i;
        bool stale = ranges_touch(&content->unchecked, block * BLOCK_SIZE, (block + 1) * BLOCK_SIZE);
        uint32_t value = stale ? 0 : content_crc(content, block);
        for (int k = 0; k < 4; k++)
            crc[i * 4 + (uint64_t)k] = (uint8_t)(value >> (8 * k));
        if (value)
            count = (size_t)i + 1;
    }
    if (failed)
        db_fail(cache, -ENOMEM);
    else if (!present_size)
        db_run(cache, "DELETE FROM block WHERE content = ? AND chunk = ?", "ii", (int64_t)content->id, (int64_t)index);
    else
        db_run(cache, "INSERT OR REPLACE INTO block(content, chunk, present, hole, dirty, crc) VALUES(?, ?, ?, ?, ?, ?)", "iibbbb",
               (int64_t)content->id, (int64_t)index, present, present_size, hole, hole_size, dirty, dirty_size, crc, count * 4);
    free(present);
    free(hole);
    free(dirty);
}

void content_save_tx(struct cache *cache, struct content *content, uint64_t ino)
{
    if (!content->id)
        content->id = (uint64_t)db_next(cache, DB_CONTENT);
    /* What is still to be verified stays of an older epoch. */
    int64_t epoch = !content->unverified.count && !content->damaged.count ? db_epoch(cache) : content->strict ? 0 : db_epoch(cache) - 1;
    bool whole = content->body && !content->file && !content_missing_bytes(content);
    const char *sql = whole ? "INSERT OR REPLACE INTO content(id, ino, size, base_key, base_etag, base_size, disk, used_ms, epoch, body) VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
                            : "INSERT OR REPLACE INTO content(id, ino, size, base_key, base_etag, base_size, disk, used_ms, epoch) VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?)";
    uint64_t disk = whole || content->file ? content_disk(content) : 0;
    db_run(cache, sql, whole ? "iiiztiiiib" : "iiiztiiii", (int64_t)content->id, (int64_t)ino, (int64_t)content->size, content->base_key,
           content->base_etag, (int64_t)content->base_size, (int64_t)disk, content->used_ms, epoch, content->body, (size_t)content->size);
    content->used_saved_ms = content->used_ms;
    if (!content->file)
        return;
    uint64_t done = 0;
    for (size_t i = 0; i < content->changed.count; i++) {
        uint64_t first = content->changed.items[i].start / CHUNK_SIZE, last = (content->changed.items[i].end - 1) / CHUNK_SIZE;
        /* Two ranges of one chunk write it once. */
        for (uint64_t index = first > done ? first : done; index <= last; index++)
            save_chunk(cache, content, index);
        done = last + 1;
    }
    /* A shrunken file has no rows behind its end. */
    if (content->stale.count)
        db_run(cache, "DELETE FROM block WHERE content = ? AND chunk >= ?", "ii", (int64_t)content->id,
               (int64_t)((content->size + CHUNK_SIZE - 1) / CHUNK_SIZE));
}

void content_delete_tx(struct cache *cache, uint64_t id)
{
    sqlite3_stmt *row = db_query(cache, "DELETE FROM content WHERE id = ? RETURNING disk", "i", (int64_t)id);
    while (db_step(cache, row))
        evict_account(cache, -sqlite3_column_int64(row, 0));
    db_run(cache, "DELETE FROM block WHERE content = ?", "i", (int64_t)id);
}

/* Adds a stored part of a set to the whole. false: the row is nonsense. */
static bool decode_part(sqlite3_stmt *row, int column, uint64_t chunk_start, struct ranges *set, bool *failed)
{
    struct ranges part = { 0 };
    int rc = ranges_decode(&part, sqlite3_column_blob(row, column), (size_t)sqlite3_column_bytes(row, column), CHUNK_SIZE);
    for (size_t i = 0; i < part.count && !rc; i++)
        rc = ranges_add(set, chunk_start + part.items[i].start, chunk_start + part.items[i].end);
    ranges_fini(&part);
    if (rc == -ENOMEM)
        *failed = true;
    return rc == 0;
}

static void load_chunks(struct cache *cache, struct content *content)
{
    bool failed = false, damaged = false;
    sqlite3_stmt *row = db_query(cache, "SELECT chunk, present, hole, dirty, crc FROM block WHERE content = ? ORDER BY chunk", "i", (int64_t)content->id);
    while (db_step(cache, row)) {
        uint64_t index = (uint64_t)sqlite3_column_int64(row, 0), start = index * CHUNK_SIZE;
        const uint8_t *crc = sqlite3_column_blob(row, 4);
        size_t count = (size_t)sqlite3_column_bytes(row, 4) / 4;
        content->file = true;
        if (index > CONTENT_SIZE_MAX / CHUNK_SIZE || count > BLOCKS_IN_CHUNK || !decode_part(row, 1, start, &content->present, &failed) ||
            !decode_part(row, 2, start, &content->hole, &failed) || !decode_part(row, 3, start, &content->dirty, &failed))
            damaged = true;
        struct block_chunk *chunk = !damaged && count ? make_chunk(content, index) : NULL;
        if (!damaged && count && !chunk)
            failed = true;
        for (size_t i = 0; chunk && i < count; i++)
            chunk->crc[i] = (uint32_t)crc[4 * i] | (uint32_t)crc[4 * i + 1] << 8 | (uint32_t)crc[4 * i + 2] << 16 | (uint32_t)crc[4 * i + 3] << 24;
    }
    if (damaged)
        db_fail(cache, -EUCLEAN);
    else if (failed)
        db_fail(cache, -ENOMEM);
}

static char *column_string(sqlite3_stmt *row, int column, bool *failed)
{
    if (sqlite3_column_type(row, column) == SQLITE_NULL)
        return NULL;
    const char *bytes = sqlite3_column_blob(row, column);
    char *copy = strndup(bytes ? bytes : "", (size_t)sqlite3_column_bytes(row, column));
    if (!copy)
        *failed = true;
    return copy;
}

struct content *content_load_tx(struct cache *cache, uint64_t id)
{
    bool failed = false;
    struct content *content = content_new(0);
    if (!content) {
        db_fail(cache, -ENOMEM);
        return NULL;
    }
    sqlite3_stmt *row = db_query(cache, "SELECT size, base_key, base_etag, base_size, body, disk, used_ms, epoch FROM content WHERE id = ?", "i", (int64_t)id);
    if (!db_step(cache, row)) {
        db_fail(cache, -EUCLEAN);
        block_unload(cache, content);
        return NULL;
    }
    content->id = id;
    content->size = (uint64_t)sqlite3_column_int64(row, 0);
    content->base_key = column_string(row, 1, &failed);
    content->base_etag = column_string(row, 2, &failed);
    content->base_size = (uint64_t)sqlite3_column_int64(row, 3);
    content->disk = (uint64_t)sqlite3_column_int64(row, 5);
    content->used_ms = content->used_saved_ms = sqlite3_column_int64(row, 6);
    bool verify = sqlite3_column_int64(row, 7) < db_epoch(cache);
    content->strict = sqlite3_column_int64(row, 7) < db_reboot_epoch(cache);
    if (sqlite3_column_type(row, 4) != SQLITE_NULL) {
        size_t length = (size_t)sqlite3_column_bytes(row, 4);
        if (length > CONTENT_INLINE_MAX || length != content->size)
            db_fail(cache, -EUCLEAN);
        else if (content_grow_body(content, length))
            failed = true;
        else if (length)
            memcpy(content->body, sqlite3_column_blob(row, 4), length);
        if (!failed && ranges_add(&content->present, 0, content->size))
            failed = true;
    }
    db_done(row);
    if (!content->body)
        load_chunks(cache, content);
    /* Whether a sync covers what was written before, nobody knows any more. */
    content->unsynced = content->new_entry = content->file;
    if (verify && content->file && (ranges_copy(&content->unverified, &content->present) || ranges_remove_all(&content->unverified, &content->hole)))
        failed = true;
    if (failed)
        db_fail(cache, -ENOMEM);
    return content;
}

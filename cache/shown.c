#include "cache/shown.h"

#include <stddef.h>
#include <stdlib.h>
#include <uthash.h>

#define CHUNK_BITS 1024u

struct shown_chunk {
    uint64_t index;
    unsigned count;
    uint64_t bits[CHUNK_BITS / 64];
    UT_hash_handle hh;
};

static struct shown_chunk *chunk_of(const struct shown *shown, uint64_t ino)
{
    uint64_t index = ino / CHUNK_BITS;
    struct shown_chunk *chunk;
    HASH_FIND(hh, shown->chunks, &index, sizeof index, chunk);
    return chunk;
}

static uint64_t *word_of(struct shown_chunk *chunk, uint64_t ino, uint64_t *bit)
{
    *bit = 1ull << (ino % 64);
    return &chunk->bits[ino % CHUNK_BITS / 64];
}

void shown_set(struct shown *shown, uint64_t ino)
{
    struct shown_chunk *chunk = chunk_of(shown, ino);
    if (!chunk) {
        chunk = calloc(1, sizeof *chunk);
        if (!chunk)
            return;
        chunk->index = ino / CHUNK_BITS;
        HASH_ADD(hh, shown->chunks, index, sizeof chunk->index, chunk);
    }
    uint64_t bit, *word = word_of(chunk, ino, &bit);
    chunk->count += !(*word & bit);
    *word |= bit;
}

void shown_clear(struct shown *shown, uint64_t ino)
{
    struct shown_chunk *chunk = chunk_of(shown, ino);
    if (!chunk)
        return;
    uint64_t bit, *word = word_of(chunk, ino, &bit);
    chunk->count -= !!(*word & bit);
    *word &= ~bit;
    if (!chunk->count) {
        HASH_DEL(shown->chunks, chunk);
        free(chunk);
    }
}

bool shown_has(const struct shown *shown, uint64_t ino)
{
    struct shown_chunk *chunk = chunk_of(shown, ino);
    if (!chunk)
        return false;
    uint64_t bit, *word = word_of(chunk, ino, &bit);
    return *word & bit;
}

void shown_fini(struct shown *shown)
{
    struct shown_chunk *chunk, *next;
    HASH_ITER(hh, shown->chunks, chunk, next) {
        HASH_DEL(shown->chunks, chunk);
        free(chunk);
    }
}

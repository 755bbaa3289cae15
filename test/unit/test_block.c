/* Random operations on one file against an array of bytes, with restarts, kills, pushes, evictions and a cold cache in between. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "cache/block.h"
#include "cache/db.h"
#include "cache/evict.h"
#include "cache/file.h"
#include "cache/fetch.h"
#include "test/unit/libcache.h"
#include "test/unit/libmount.h"

#define SPACE (400u << 10) /* offsets and sizes stay below */

struct model {
    struct libmount *m;
    struct cache_file *file;
    uint8_t data[SPACE];
    uint64_t size;
    unsigned seed;
    uint8_t next;
};

static unsigned roll(struct model *w, unsigned n)
{
    return (unsigned)rand_r(&w->seed) % n;
}

/* Offsets near the limits of blocks and of inline bodies are worth more than others. */
static uint64_t some_offset(struct model *w, uint64_t limit)
{
    static const uint64_t edges[] = { 0, 4096, 32768, 65536, 131072, 196608, 262144 };
    uint64_t offset = roll(w, 3) ? roll(w, SPACE) : edges[roll(w, 7)] + roll(w, 5) - 2;
    if (roll(w, 3) == 0)
        offset %= 40000;
    return limit ? offset % limit : 0;
}

static void reopen(struct model *w)
{
    assert_int_equal(libmount_open_file(w->m, "f", O_RDWR, &w->file), 0);
}

static void check(struct model *w, uint64_t offset, uint64_t size)
{
    uint8_t *back = malloc(size + 1);
    size_t got = 0, wanted = offset >= w->size ? 0 : w->size - offset < size ? w->size - offset : size;
    int rc = libmount_read(w->m, w->file, back, size, offset, &got);
    if (rc || got != wanted)
        fail_msg("read of %llu at %llu: %d, %zu bytes instead of %zu", (unsigned long long)size, (unsigned long long)offset, rc, got, wanted);
    for (size_t i = 0; i < got; i++)
        if (back[i] != w->data[offset + i])
            fail_msg("byte %llu is %02x instead of %02x (size %llu)", (unsigned long long)offset + i, back[i], w->data[offset + i], (unsigned long long)w->size);
    free(back);
}

static void do_write(struct model *w)
{
    uint64_t offset = some_offset(w, SPACE - 1), size = 1 + roll(w, roll(w, 2) ? 100 : 100000);
    if (size > SPACE - offset)
        size = SPACE - offset;
    uint8_t *data = malloc(size);
    memset(data, ++w->next, size);
    data[0] = (uint8_t)roll(w, 256);
    assert_int_equal(libmount_write(w->m, w->file, data, size, offset), 0);
    memcpy(w->data + offset, data, size);
    if (offset + size > w->size)
        w->size = offset + size;
    free(data);
}

static void do_truncate(struct model *w)
{
    uint64_t size = roll(w, 8) ? some_offset(w, SPACE) : 0;
    assert_int_equal(libmount_setattr(w->m, "f", CACHE_SET_SIZE, &(struct cache_attr){ .size = size }), 0);
    if (size < w->size)
        memset(w->data + size, 0, w->size - size);
    w->size = size;
}

static void do_punch(struct model *w)
{
    bool zero = roll(w, 2), keep = !zero || roll(w, 2);
    uint64_t offset = some_offset(w, SPACE - 1), size = 1 + roll(w, 100000);
    if (size > SPACE - offset)
        size = SPACE - offset;
    int mode = (zero ? FALLOC_FL_ZERO_RANGE : FALLOC_FL_PUNCH_HOLE) | (keep ? FALLOC_FL_KEEP_SIZE : 0);
    assert_int_equal(cache_fallocate(w->m->cache, w->file, mode, offset, size, NULL), 0);
    uint64_t end = offset + size;
    if (!keep && end > w->size)
        w->size = end;
    if (end > w->size)
        end = w->size;
    if (offset < end)
        memset(w->data + offset, 0, end - offset);
}

static void close_file(struct model *w)
{
    assert_int_equal(cache_flush(w->m->cache, w->file), 0);
    cache_release(w->m->cache, w->file);
}

static void check_bucket(struct model *w)
{
    size_t length = 0;
    char *body = membucket_load(w->m->bucket, "a/b/f", &length, NULL);
    assert_non_null(body);
    assert_int_equal(length, w->size);
    if (memcmp(body, w->data, length) != 0) {
        size_t i = 0;
        while ((uint8_t)body[i] == w->data[i])
            i++;
        fail_msg("byte %zu of the object is %02x instead of %02x", i, (uint8_t)body[i], w->data[i]);
    }
    free(body);
}

static void do_push(struct model *w)
{
    assert_int_equal(cache_flush(w->m->cache, w->file), 0);
    libmount_drain(w->m);
    check_bucket(w);
}

/* A snapshot keeps its bytes whatever is written meanwhile. */
static void do_snapshot(struct model *w)
{
    struct snapshot *snapshot;
    struct inode *inode = inode_get(w->m->cache, cache_file_ino(w->file));
    struct range missing;
    int rc;
    while ((rc = snapshot_take(w->m->cache, inode, &snapshot, &missing)) == -EAGAIN)
        assert_int_equal(fetch_range_blocking(w->m->cache, inode, missing.start, missing.end - missing.start), 0);
    assert_int_equal(rc, 0);
    uint64_t size = w->size;
    uint8_t *frozen = malloc(size + 1), *back = malloc(size + 1);
    memcpy(frozen, w->data, size);
    for (int i = 0; i < 5; i++)
        roll(w, 3) ? do_write(w) : do_punch(w);
    if (roll(w, 3) == 0)
        do_truncate(w);
    assert_int_equal(snapshot->size, size);
    assert_int_equal(snapshot_read(w->m->cache, snapshot, back, size, 0), 0);
    assert_memory_equal(back, frozen, size);
    snapshot_free(w->m->cache, snapshot);
    inode_put(w->m->cache, inode);
    free(frozen);
    free(back);
}

static void step(struct model *w, bool restarts)
{
    unsigned what = roll(w, restarts ? 24 : 16);
    switch (what) {
    case 0: case 1: case 2: case 3: case 4: case 5:
        do_write(w);
        break;
    case 6: case 7:
        do_truncate(w);
        break;
    case 8: case 9:
        do_punch(w);
        break;
    case 10: case 11: case 12: case 13:
        check(w, some_offset(w, SPACE), 1 + roll(w, 100000));
        break;
    case 14:
        assert_int_equal(cache_flush(w->m->cache, w->file), 0);
        break;
    case 15:
        do_snapshot(w);
        break;
    case 16: case 17:
        close_file(w);
        libmount_reopen(w->m);
        reopen(w);
        break;
    case 18: case 19:
        close_file(w);
        libmount_kill(w->m);
        reopen(w);
        break;
    case 20: case 21:
        do_push(w);
        break;
    case 22:
        do_push(w);
        close_file(w);
        evict_pass(w->m->cache, 1u << 30);
        reopen(w);
        break;
    default:
        do_push(w);
        close_file(w);
        libmount_close(w->m);
        libcache_remove(w->m->folder);
        w->m->folder = libcache_folder();
        libmount_open(w->m);
        reopen(w);
    }
}

static void run(struct libmount *m, unsigned seed, int steps, bool restarts)
{
    struct model *w = calloc(1, sizeof *w);
    w->m = m;
    w->seed = seed;
    assert_int_equal(libmount_create(m, "f", O_RDWR, &w->file), 0);
    for (int i = 0; i < steps; i++) {
        step(w, restarts);
        if (i % 8 == 0)
            check(w, 0, SPACE);
    }
    check(w, 0, SPACE);
    do_push(w);
    cache_release(m->cache, w->file);
    assert_int_equal(libmount_unlink(m, "f"), 0);
    libmount_drain(m);
    free(w);
}

static unsigned seed_of_run(unsigned otherwise)
{
    const char *given = getenv("R2FS_TEST_SEED");
    return given ? (unsigned)strtoul(given, NULL, 10) : otherwise;
}

static void random_changes_agree_with_an_array(void **state)
{
    for (unsigned seed = seed_of_run(1); seed < seed_of_run(1) + 6; seed++)
        run(*state, seed, 400, false);
}

static void random_changes_survive_restarts_kills_pushes_and_evictions(void **state)
{
    const char *steps = getenv("R2FS_TEST_STEPS");
    for (unsigned seed = seed_of_run(100); seed < seed_of_run(100) + 3; seed++)
        run(*state, seed, steps ? (int)strtol(steps, NULL, 10) : 60, true);
}

/* ---- large files: bytes saved aside instead of copied ---- */

#define LARGE (20u << 20)

static void a_snapshot_of_a_large_file_keeps_its_bytes_while_it_is_overwritten(void **state)
{
    struct libmount *m = *state;
    struct model *w = calloc(1, sizeof *w);
    struct cache_file *file;
    struct snapshot *snapshot;
    struct range missing;
    w->seed = 5;
    uint8_t *data = malloc(LARGE), *back = malloc(LARGE), *now = malloc(LARGE);
    for (size_t i = 0; i < LARGE; i++)
        data[i] = (uint8_t)(i / 4096 + i);
    memcpy(now, data, LARGE);
    assert_int_equal(libmount_create(m, "f", O_RDWR, &file), 0);
    assert_int_equal(libmount_write(m, file, data, LARGE, 0), 0);
    struct inode *inode = inode_get(m->cache, cache_file_ino(file));
    assert_int_equal(snapshot_take(m->cache, inode, &snapshot, &missing), 0);
    for (int i = 0; i < 200; i++) {
        uint8_t bytes[5000];
        uint64_t offset = roll(w, LARGE - sizeof bytes);
        memset(bytes, i + 1, sizeof bytes);
        if (i % 3 == 0) {
            assert_int_equal(cache_fallocate(m->cache, file, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, offset, sizeof bytes, NULL), 0);
            memset(bytes, 0, sizeof bytes);
        } else {
            assert_int_equal(libmount_write(m, file, bytes, sizeof bytes, offset), 0);
        }
        memcpy(now + offset, bytes, sizeof bytes);
        if (i % 50 == 0) {
            assert_int_equal(snapshot_read(m->cache, snapshot, back, LARGE, 0), 0);
            assert_memory_equal(back, data, LARGE);
        }
    }
    int fd;
    uint64_t fd_offset;
    assert_int_equal(snapshot_range_fd(m->cache, snapshot, 5 << 20, 5 << 20, &fd, &fd_offset), 0);
    assert_int_equal(pread(fd, back, 5 << 20, (off_t)fd_offset), 5 << 20);
    assert_memory_equal(back, data + (5 << 20), 5 << 20);
    close(fd);
    snapshot_free(m->cache, snapshot);
    size_t got;
    assert_int_equal(libmount_read(m, file, back, LARGE, 0, &got), 0);
    assert_memory_equal(back, now, LARGE);
    inode_put(m->cache, inode);
    cache_release(m->cache, file);
    libmount_drain(m);
    size_t length;
    char *body = membucket_load(m->bucket, "a/b/f", &length, NULL);
    assert_int_equal(length, LARGE);
    assert_memory_equal(body, now, LARGE);
    free(body);
    free(data);
    free(back);
    free(now);
    free(w);
}

/* ---- after the machine went down ---- */

static void pretend_a_reboot(struct libmount *m)
{
    db_begin(m->cache);
    db_setting_set(m->cache, "boot", "another boot");
    assert_int_equal(db_commit(m->cache), 0);
}

static void damage_block_files(struct libmount *m)
{
    char command[4300];
    snprintf(command, sizeof command, "for f in $(find %s/*/blocks -type f); do printf damaged | dd of=$f bs=1 seek=70000 conv=notrunc status=none; done", m->folder);
    assert_int_equal(WEXITSTATUS(pclose(popen(command, "r"))), 0);
}

static void clean_blocks_that_did_not_survive_a_reboot_are_fetched_again(void **state)
{
    struct libmount *m = *state;
    char *text = malloc(200001);
    memset(text, 'x', 200000);
    text[200000] = '\0';
    libmount_put(m, "f", text);
    libmount_drain(m);
    pretend_a_reboot(m);
    libmount_close(m);
    damage_block_files(m);
    libmount_open(m);
    uint64_t gets = membucket_client_calls(m->client, false);
    char *back = libmount_get(m, "f");
    assert_non_null(back);
    assert_string_equal(back, text);
    assert_true(membucket_client_calls(m->client, false) > gets);
    free(back);
    free(text);
}

static void a_dirty_file_that_did_not_survive_is_not_pushed_over_a_good_object(void **state)
{
    struct libmount *m = *state;
    char *text = malloc(200001);
    memset(text, 'x', 200000);
    text[200000] = '\0';
    libmount_put(m, "f", text);
    libmount_put(m, "synced", text);
    uint64_t synced = libmount_ino(m, "synced");
    assert_int_equal(cache_fsync(m->cache, synced, false, NULL), 0);
    pretend_a_reboot(m);
    libmount_close(m);
    damage_block_files(m);
    libmount_open(m);
    struct inode *inode = inode_get(m->cache, libmount_ino(m, "f"));
    struct snapshot *snapshot;
    struct range missing;
    assert_int_equal(snapshot_take(m->cache, inode, &snapshot, &missing), -EIO);
    assert_int_equal(snapshot_take(m->cache, inode, &snapshot, &missing), -EIO);
    inode_put(m->cache, inode);
    /* Also after a clean end, and also when other bytes of the block were written. */
    struct cache_file *file;
    assert_int_equal(libmount_open_file(m, "f", O_WRONLY, &file), 0);
    assert_int_equal(libmount_write(m, file, "x", 1, 66000), 0);
    cache_release(m->cache, file);
    libmount_reopen(m);
    inode = inode_get(m->cache, libmount_ino(m, "f"));
    assert_int_equal(snapshot_take(m->cache, inode, &snapshot, &missing), -EIO);
    inode_put(m->cache, inode);
    /* What fsync promised is trusted. */
    inode = inode_get(m->cache, synced);
    assert_int_equal(snapshot_take(m->cache, inode, &snapshot, &missing), 0);
    snapshot_free(m->cache, snapshot);
    inode_put(m->cache, inode);
    free(text);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, libmount_set_up_open, libmount_tear_down)
    const struct CMUnitTest tests[] = {
        TEST(random_changes_agree_with_an_array),
        TEST(random_changes_survive_restarts_kills_pushes_and_evictions),
        TEST(a_snapshot_of_a_large_file_keeps_its_bytes_while_it_is_overwritten),
        TEST(clean_blocks_that_did_not_survive_a_reboot_are_fetched_again),
        TEST(a_dirty_file_that_did_not_survive_is_not_pushed_over_a_good_object),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

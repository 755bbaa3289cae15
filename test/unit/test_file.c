/* Bytes of open files: what programs read back, what is kept when the process is killed, what it costs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <linux/falloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "cache/io.h"
#include "test/unit/libcache.h"
#include "test/unit/libmount.h"

static struct cache_attr attr_of(struct libmount *m, const char *path)
{
    struct cache_attr attr = { 0 };
    int rc = libmount_lookup(m, path, &attr);
    if (rc)
        fail_msg("%s: %d", path, rc);
    return attr;
}

static uint8_t *pattern(size_t size, unsigned seed)
{
    uint8_t *data = malloc(size + 1);
    assert_non_null(data);
    for (size_t i = 0; i < size; i++)
        data[i] = (uint8_t)(i * 31 + i / 251 + seed);
    return data;
}

static void put(struct libmount *m, const char *path, const void *data, size_t size)
{
    struct cache_file *file;
    assert_int_equal(libmount_create(m, path, O_RDWR | O_TRUNC, &file), 0);
    assert_int_equal(libmount_write(m, file, data, size, 0), 0);
    assert_int_equal(cache_flush(m->cache, file), 0);
    cache_release(m->cache, file);
}

static void expect(struct libmount *m, const char *path, const void *data, size_t size)
{
    struct cache_file *file;
    size_t got = 0;
    uint8_t *back = malloc(size + 1);
    assert_int_equal(libmount_open_file(m, path, O_RDONLY, &file), 0);
    assert_int_equal(libmount_read(m, file, back, size + 1, 0, &got), 0);
    assert_int_equal(got, size);
    assert_memory_equal(back, data, size);
    cache_release(m->cache, file);
    free(back);
}

static size_t block_files(struct libmount *m)
{
    char command[4200], line[64] = "";
    snprintf(command, sizeof command, "find %s/*/blocks -type f | wc -l", m->folder);
    FILE *pipe = popen(command, "r");
    assert_non_null(pipe);
    assert_non_null(fgets(line, sizeof line, pipe));
    pclose(pipe);
    return strtoul(line, NULL, 10);
}

static void files_of_every_size_come_back(void **state)
{
    struct libmount *m = *state;
    const size_t sizes[] = { 1, 100, 32767, 32768, 32769, 65536, 100000, 1 << 20, (20 << 20) + 5 };
    char path[32];
    for (int round = 0; round < 3; round++) {
        for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
            uint8_t *data = pattern(sizes[i], (unsigned)i);
            snprintf(path, sizeof path, "f%zu", i);
            if (round == 0)
                put(m, path, data, sizes[i]);
            expect(m, path, data, sizes[i]);
            assert_int_equal(attr_of(m, path).size, sizes[i]);
            free(data);
        }
        if (round == 0)
            libmount_reopen(m);
        if (round == 1)
            libmount_kill(m);
    }
    assert_int_equal(block_files(m), 5);
}

static void what_is_pushed_is_read_back_by_an_empty_cache(void **state)
{
    struct libmount *m = *state;
    uint8_t *data = pattern(3 << 20, 7);
    put(m, "large", data, 3 << 20);
    put(m, "small", data, 1000);
    libmount_drain(m);
    libmount_close(m);
    libcache_remove(m->folder);
    m->folder = libcache_folder();
    libmount_open(m);
    expect(m, "large", data, 3 << 20);
    expect(m, "small", data, 1000);
    free(data);
}

static void a_write_inside_a_foreign_file_keeps_its_other_bytes(void **state)
{
    struct libmount *m = *state;
    struct cache_file *file;
    uint8_t *data = pattern(1 << 20, 3);
    membucket_store(m->bucket, "a/b/f", data, 1 << 20, NULL, NULL);
    membucket_store(m->bucket, "a/b/small", data, 5000, NULL, NULL);
    libmount_reopen(m);
    memcpy(data + 100000, "changed", 7);
    assert_int_equal(libmount_open_file(m, "f", O_RDWR, &file), 0);
    assert_int_equal(libmount_write(m, file, "changed", 7, 100000), 0);
    cache_release(m->cache, file);
    expect(m, "f", data, 1 << 20);
    libmount_drain(m);
    size_t length;
    char *body = membucket_load(m->bucket, "a/b/f", &length, NULL);
    assert_int_equal(length, 1 << 20);
    assert_memory_equal(body, data, length);
    free(body);
    uint8_t *small = pattern(5000, 3);
    memcpy(small + 1, "xyz", 3);
    assert_int_equal(libmount_open_file(m, "small", O_RDWR, &file), 0);
    assert_int_equal(libmount_write(m, file, "xyz", 3, 1), 0);
    cache_release(m->cache, file);
    expect(m, "small", small, 5000);
    libmount_kill(m);
    expect(m, "small", small, 5000);
    free(small);
    free(data);
}

static void a_write_behind_the_end_leaves_zeros(void **state)
{
    struct libmount *m = *state;
    const uint64_t gaps[] = { 100, 40000, 5 << 20 };
    for (size_t i = 0; i < 3; i++) {
        struct cache_file *file;
        char path[16];
        size_t size = gaps[i] + 4;
        uint8_t *data = calloc(1, size);
        memcpy(data, "head", 4);
        memcpy(data + gaps[i], "tail", 4);
        snprintf(path, sizeof path, "f%zu", i);
        assert_int_equal(libmount_create(m, path, O_RDWR, &file), 0);
        assert_int_equal(libmount_write(m, file, "head", 4, 0), 0);
        assert_int_equal(libmount_write(m, file, "tail", 4, gaps[i]), 0);
        cache_release(m->cache, file);
        expect(m, path, data, size);
        libmount_kill(m);
        expect(m, path, data, size);
        free(data);
    }
}

static void holes_are_told_and_take_no_space(void **state)
{
    struct libmount *m = *state;
    struct cache_file *file;
    uint64_t at;
    char byte;
    size_t got;
    assert_int_equal(libmount_create(m, "f", O_RDWR, &file), 0);
    assert_int_equal(libmount_write(m, file, "x", 1, 10 << 20), 0);
    assert_int_equal(cache_flush(m->cache, file), 0);
    for (int round = 0; round < 3; round++) {
        assert_in_range(attr_of(m, "f").blocks, 1, 200);
        assert_int_equal(cache_seek(m->cache, file, 0, SEEK_DATA, &at), 0);
        assert_int_equal(at, 10 << 20);
        assert_int_equal(cache_seek(m->cache, file, 5, SEEK_HOLE, &at), 0);
        assert_int_equal(at, 5);
        assert_int_equal(cache_seek(m->cache, file, 10 << 20, SEEK_HOLE, &at), 0);
        assert_int_equal(at, (10 << 20) + 1);
        assert_int_equal(cache_seek(m->cache, file, (10 << 20) + 1, SEEK_DATA, &at), -ENXIO);
        assert_int_equal(libmount_read(m, file, &byte, 1, 77777, &got), 0);
        assert_int_equal(byte, 0);
        /* Also when the bucket has it, and then after a restart. */
        if (round == 0)
            libmount_drain(m);
        if (round == 1) {
            cache_release(m->cache, file);
            libmount_reopen(m);
            assert_int_equal(libmount_open_file(m, "f", O_RDWR, &file), 0);
        }
    }
    assert_int_equal(membucket_client_calls(m->client, false) > 20, 0);
    cache_release(m->cache, file);
}

static void what_was_not_fetched_counts_as_data(void **state)
{
    struct libmount *m = *state;
    struct cache_file *file;
    uint64_t at;
    uint8_t *zeros = calloc(1, 1 << 20);
    membucket_store(m->bucket, "a/b/f", zeros, 1 << 20, NULL, NULL);
    libmount_reopen(m);
    assert_int_equal(attr_of(m, "f").blocks, 2048);
    assert_int_equal(libmount_open_file(m, "f", O_RDONLY, &file), 0);
    assert_int_equal(cache_seek(m->cache, file, 0, SEEK_DATA, &at), 0);
    assert_int_equal(at, 0);
    assert_int_equal(cache_seek(m->cache, file, 0, SEEK_HOLE, &at), 0);
    assert_int_equal(at, 1 << 20);
    cache_release(m->cache, file);
    free(zeros);
}

static void bytes_cut_off_do_not_come_back(void **state)
{
    struct libmount *m = *state;
    const size_t sizes[] = { 1000, 200000 };
    for (size_t i = 0; i < 2; i++) {
        struct cache_file *file;
        uint8_t *data = pattern(sizes[i], 1);
        char path[16];
        snprintf(path, sizeof path, "f%zu", i);
        assert_int_equal(libmount_create(m, path, O_RDWR, &file), 0);
        assert_int_equal(libmount_write(m, file, data, sizes[i], 0), 0);
        assert_int_equal(libmount_setattr(m, path, CACHE_SET_SIZE, &(struct cache_attr){ .size = 500 }), 0);
        assert_int_equal(libmount_setattr(m, path, CACHE_SET_SIZE, &(struct cache_attr){ .size = sizes[i] }), 0);
        memset(data + 500, 0, sizes[i] - 500);
        expect(m, path, data, sizes[i]);
        cache_release(m->cache, file);
        libmount_kill(m);
        expect(m, path, data, sizes[i]);
        free(data);
    }
}

static void truncating_to_nothing_frees_the_block_file(void **state)
{
    struct libmount *m = *state;
    uint8_t *data = pattern(200000, 1);
    put(m, "f", data, 200000);
    assert_int_equal(block_files(m), 1);
    put(m, "f", data, 50);
    expect(m, "f", data, 50);
    libmount_close(m);
    assert_int_equal(block_files(m), 0);
    libmount_open(m);
    expect(m, "f", data, 50);
    free(data);
}

static void a_removed_file_frees_its_block_file(void **state)
{
    struct libmount *m = *state;
    struct cache_file *file;
    uint8_t *data = pattern(200000, 1);
    put(m, "closed", data, 200000);
    put(m, "open", data, 200000);
    assert_int_equal(libmount_open_file(m, "open", O_RDONLY, &file), 0);
    assert_int_equal(libmount_unlink(m, "closed"), 0);
    assert_int_equal(libmount_unlink(m, "open"), 0);
    uint8_t *back = malloc(200000);
    size_t got;
    assert_int_equal(libmount_read(m, file, back, 200000, 0, &got), 0);
    assert_memory_equal(back, data, 200000);
    cache_release(m->cache, file);
    libmount_close(m);
    assert_int_equal(block_files(m), 0);
    free(back);
    free(data);
}

static void orphans_are_removed_at_the_start(void **state)
{
    struct libmount *m = *state;
    struct cache_file *file;
    uint8_t *data = pattern(200000, 1);
    put(m, "kept", data, 200000);
    assert_int_equal(libmount_create(m, "new", O_RDWR, &file), 0);
    assert_int_equal(libmount_write(m, file, data, 200000, 0), 0);
    char *copy = libcache_copy(m->folder);
    cache_release(m->cache, file);
    libmount_close(m);
    libcache_remove(m->folder);
    m->folder = copy;
    assert_int_equal(block_files(m), 2);
    libmount_open(m);
    assert_int_equal(block_files(m), 1);
    expect(m, "kept", data, 200000);
    assert_int_equal(attr_of(m, "new").size, 0);
    free(data);
}

static void punched_bytes_are_zeros_and_pushed_as_such(void **state)
{
    struct libmount *m = *state;
    struct cache_file *file;
    uint8_t *data = pattern(1 << 20, 9);
    membucket_store(m->bucket, "a/b/f", data, 1 << 20, NULL, NULL);
    put(m, "g", data, 1 << 20);
    put(m, "h", data, 1000);
    libmount_reopen(m);
    const struct { const char *path; uint64_t offset, length; } holes[] = { { "f", 100, 300000 }, { "g", 70000, 500000 }, { "h", 10, 500 } };
    for (size_t i = 0; i < 3; i++) {
        size_t size = i == 2 ? 1000 : 1 << 20;
        uint8_t *wanted = pattern(size, 9);
        memset(wanted + holes[i].offset, 0, holes[i].length);
        assert_int_equal(libmount_open_file(m, holes[i].path, O_RDWR, &file), 0);
        assert_int_equal(cache_fallocate(m->cache, file, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, holes[i].offset, holes[i].length, NULL), 0);
        assert_int_equal(cache_flush(m->cache, file), 0);
        cache_release(m->cache, file);
        expect(m, holes[i].path, wanted, size);
        libmount_kill(m);
        expect(m, holes[i].path, wanted, size);
        libmount_drain(m);
        char key[16];
        size_t length;
        snprintf(key, sizeof key, "a/b/%s", holes[i].path);
        char *body = membucket_load(m->bucket, key, &length, NULL);
        assert_int_equal(length, size);
        assert_memory_equal(body, wanted, size);
        free(body);
        free(wanted);
    }
    free(data);
}

static void fallocate_keeps_or_grows_the_size_as_asked(void **state)
{
    struct libmount *m = *state;
    struct cache_file *file;
    put(m, "f", "0123456789", 10);
    assert_int_equal(libmount_open_file(m, "f", O_RDWR, &file), 0);
    assert_int_equal(cache_fallocate(m->cache, file, FALLOC_FL_KEEP_SIZE, 0, 100000, NULL), 0);
    assert_int_equal(attr_of(m, "f").size, 10);
    assert_int_equal(cache_fallocate(m->cache, file, 0, 0, 5, NULL), 0);
    assert_int_equal(attr_of(m, "f").size, 10);
    assert_int_equal(cache_fallocate(m->cache, file, 0, 5, 100000, NULL), 0);
    assert_int_equal(attr_of(m, "f").size, 100005);
    assert_int_equal(cache_fallocate(m->cache, file, FALLOC_FL_ZERO_RANGE, 5, 200000, NULL), 0);
    assert_int_equal(attr_of(m, "f").size, 200005);
    assert_int_equal(cache_fallocate(m->cache, file, FALLOC_FL_COLLAPSE_RANGE, 0, 4096, NULL), -EOPNOTSUPP);
    uint8_t *wanted = calloc(1, 200005);
    memcpy(wanted, "01234", 5);
    expect(m, "f", wanted, 200005);
    cache_release(m->cache, file);
    free(wanted);
}

static void appends_go_to_the_end(void **state)
{
    struct libmount *m = *state;
    struct cache_file *a, *b;
    assert_int_equal(libmount_create(m, "log", O_WRONLY | O_APPEND, &a), 0);
    assert_int_equal(libmount_open_file(m, "log", O_WRONLY | O_APPEND, &b), 0);
    uint8_t *wanted = malloc(2000 * 50);
    for (int i = 0; i < 2000; i++) {
        char line[51];
        snprintf(line, sizeof line, "%-49d\n", i);
        memcpy(wanted + i * 50, line, 50);
        struct cache_file *file = i % 2 ? a : b;
        assert_int_equal(cache_write(m->cache, cache_file_ino(file), file, line, 50, 7, true, NULL), 0);
    }
    cache_release(m->cache, a);
    cache_release(m->cache, b);
    expect(m, "log", wanted, 2000 * 50);
    free(wanted);
}

static void what_was_closed_survives_a_kill_and_what_was_not_does_no_harm(void **state)
{
    struct libmount *m = *state;
    struct cache_file *file;
    uint8_t *data = pattern(300000, 5);
    put(m, "f", data, 300000);
    libmount_drain(m);
    /* An overwrite in place that nobody flushed: either version of it may be there, but what is there is in the bucket in the end. */
    assert_int_equal(libmount_open_file(m, "f", O_RDWR, &file), 0);
    assert_int_equal(libmount_write(m, file, "unflushed", 9, 100000), 0);
    char *copy = libcache_copy(m->folder);
    cache_release(m->cache, file);
    libmount_close(m);
    libcache_remove(m->folder);
    m->folder = copy;
    libmount_open(m);
    libmount_drain(m);
    size_t length, got;
    char *body = membucket_load(m->bucket, "a/b/f", &length, NULL);
    uint8_t *back = malloc(300000);
    assert_int_equal(libmount_open_file(m, "f", O_RDONLY, &file), 0);
    assert_int_equal(libmount_read(m, file, back, 300000, 0, &got), 0);
    assert_int_equal(length, 300000);
    assert_memory_equal(body, back, 300000);
    memcpy(data + 100000, back + 100000, 9);
    assert_memory_equal(data, back, 300000);
    cache_release(m->cache, file);
    free(back);
    free(body);
    free(data);
}

static int no_sync(void *arg, const struct io_event *event)
{
    (void)arg;
    return event->op == IO_SYNC ? -EIO : 0;
}

static void a_failed_sync_of_the_bytes_poisons_the_file_until_it_is_in_the_bucket(void **state)
{
    struct libmount *m = *state;
    struct cache_file *file;
    uint8_t *data = pattern(300000, 5);
    assert_int_equal(libmount_create(m, "f", O_RDWR, &file), 0);
    uint64_t ino = cache_file_ino(file);
    assert_int_equal(libmount_write(m, file, data, 300000, 0), 0);
    io_set_hook(no_sync, NULL);
    assert_int_equal(cache_fsync(m->cache, ino, false, NULL), -EIO);
    io_set_hook(NULL, NULL);
    assert_int_equal(cache_fsync(m->cache, ino, false, NULL), -EIO);
    assert_int_equal(libmount_write(m, file, "x", 1, 0), -EIO);
    libmount_drain(m);
    assert_int_equal(cache_fsync(m->cache, ino, false, NULL), 0);
    assert_int_equal(libmount_write(m, file, "x", 1, 0), 0);
    cache_release(m->cache, file);
    free(data);
}

/* The first sync of bytes stays on the disk until it is let go, and then fails. */
struct slow_sync {
    atomic_bool begun, let_go;
};

static int hold_first_sync(void *arg, const struct io_event *event)
{
    struct slow_sync *slow = arg;
    if (event->op != IO_SYNC || atomic_exchange(&slow->begun, true))
        return 0;
    while (!atomic_load(&slow->let_go))
        poll(NULL, 0, 1);
    return -EIO;
}

struct syncing {
    struct libmount *m;
    uint64_t ino;
    pthread_t thread;
    atomic_bool ended;
    int result;
};

static void *sync_in_thread(void *arg)
{
    struct syncing *s = arg;
    s->result = cache_fsync(s->m->cache, s->ino, false, NULL);
    atomic_store(&s->ended, true);
    return NULL;
}

static void a_sync_waits_for_the_one_that_took_its_bytes(void **state)
{
    struct libmount *m = *state;
    struct cache_file *file;
    struct slow_sync slow = { .begun = false };
    uint8_t *data = pattern(300000, 5);
    assert_int_equal(libmount_create(m, "f", O_RDWR, &file), 0);
    assert_int_equal(libmount_write(m, file, data, 300000, 0), 0);
    struct syncing first = { .m = m, .ino = cache_file_ino(file) }, second = { .m = m, .ino = first.ino };
    io_set_hook(hold_first_sync, &slow);
    assert_int_equal(pthread_create(&first.thread, NULL, sync_in_thread, &first), 0);
    while (!atomic_load(&slow.begun))
        poll(NULL, 0, 1);
    assert_int_equal(pthread_create(&second.thread, NULL, sync_in_thread, &second), 0);
    for (int i = 0; i < 200 && !atomic_load(&second.ended); i++)
        poll(NULL, 0, 1);
    bool early = atomic_load(&second.ended);
    atomic_store(&slow.let_go, true);
    pthread_join(first.thread, NULL);
    pthread_join(second.thread, NULL);
    io_set_hook(NULL, NULL);
    assert_false(early);
    assert_int_equal(first.result, -EIO);
    assert_int_equal(second.result, -EIO);
    cache_release(m->cache, file);
    free(data);
}

static void a_sync_costs_nothing_when_nothing_changed(void **state)
{
    struct libmount *m = *state;
    struct cache_status before, after;
    uint8_t *data = pattern(300000, 5);
    put(m, "f", data, 300000);
    uint64_t ino = libmount_ino(m, "f");
    assert_int_equal(cache_fsync(m->cache, ino, false, NULL), 0);
    cache_get_status(m->cache, &before);
    assert_int_equal(cache_fsync(m->cache, ino, false, NULL), 0);
    cache_get_status(m->cache, &after);
    assert_int_equal(after.commits, before.commits);
    assert_int_equal(after.syncs, before.syncs);
    free(data);
}

static void pages_are_kept_while_the_content_is_the_same(void **state)
{
    struct libmount *m = *state;
    struct cache_file *file;
    bool keep;
    put(m, "f", "one", 3);
    uint64_t ino = libmount_ino(m, "f");
    assert_int_equal(cache_open_file(m->cache, ino, O_RDONLY, &file, &keep, NULL), 0);
    cache_release(m->cache, file);
    assert_int_equal(cache_open_file(m->cache, ino, O_RDWR, &file, &keep, NULL), 0);
    assert_true(keep);
    assert_int_equal(libmount_write(m, file, "two", 3, 0), 0);
    cache_release(m->cache, file);
    assert_int_equal(cache_open_file(m->cache, ino, O_RDONLY, &file, &keep, NULL), 0);
    assert_true(keep);
    cache_release(m->cache, file);
}

static void copies_between_files_are_bounded_and_exact(void **state)
{
    struct libmount *m = *state;
    struct cache_file *from, *to;
    uint64_t copied = 0, done = 0, size = (20 << 20) + 3;
    uint8_t *data = pattern(size, 2);
    put(m, "from", data, size);
    assert_int_equal(libmount_open_file(m, "from", O_RDONLY, &from), 0);
    assert_int_equal(libmount_create(m, "to", O_RDWR, &to), 0);
    do {
        assert_int_equal(cache_copy_range(m->cache, from, done, to, done, size, &copied, NULL), 0);
        assert_true(copied <= 16 << 20);
        done += copied;
    } while (copied);
    assert_int_equal(done, size);
    cache_release(m->cache, from);
    cache_release(m->cache, to);
    expect(m, "to", data, size);
    free(data);
}

static void a_file_larger_than_an_object_is_refused(void **state)
{
    struct libmount *m = *state;
    put(m, "f", "x", 1);
    assert_int_equal(libmount_setattr(m, "f", CACHE_SET_SIZE, &(struct cache_attr){ .size = 6ull << 40 }), -EFBIG);
    assert_int_equal(libmount_setattr(m, "f", CACHE_SET_SIZE, &(struct cache_attr){ .size = 4ull << 40 }), 0);
    assert_int_equal(attr_of(m, "f").size, 4ull << 40);
    assert_in_range(attr_of(m, "f").blocks, 1, 8);
    assert_int_equal(libmount_unlink(m, "f"), 0);
}

static atomic_uint unchecked_gets;

static enum s3_outcome watched_get(void *ctx, const struct s3_call *call, const struct s3_get_request *request, struct s3_object *object,
                                   size_t *got, struct s3_error *error)
{
    if (!request->verify)
        atomic_fetch_add(&unchecked_gets, 1);
    return membucket_ops.get(ctx, call, request, object, got, error);
}

/* Bytes of the bucket that are sent back with a change have to be the right ones: only a whole object can be checked by its ETag. */
static void the_base_of_a_changed_file_is_fetched_whole_and_checked(void **state)
{
    struct libmount *m = *state;
    enum { SIZE = 100000, CUT = 70000 };
    struct s3_ops watched = membucket_ops;
    char *body = malloc(SIZE);
    memset(body, 'b', SIZE);
    watched.get = watched_get;
    libmount_close(m);
    m->config.ops = &watched;
    membucket_store(m->bucket, "a/b/longer", body, SIZE, NULL, NULL);
    membucket_store(m->bucket, "a/b/cut", body, SIZE, NULL, NULL);
    libmount_open(m);
    atomic_store(&unchecked_gets, 0);
    struct cache_file *file;
    struct cache_attr size = { .size = CUT };
    assert_int_equal(libmount_open_file(m, "longer", O_WRONLY, &file), 0);
    assert_int_equal(libmount_write(m, file, "end", 3, SIZE), 0);
    cache_release(m->cache, file);
    assert_int_equal(libmount_setattr(m, "cut", CACHE_SET_SIZE, &size), 0);
    libmount_drain(m);
    struct s3_object object;
    size_t length;
    char *sent = membucket_load(m->bucket, "a/b/longer", &length, &object);
    assert_int_equal(length, SIZE + 3);
    assert_memory_equal(sent, body, SIZE);
    assert_memory_equal(sent + SIZE, "end", 3);
    free(sent);
    s3_object_fini(&object);
    sent = membucket_load(m->bucket, "a/b/cut", &length, &object);
    assert_int_equal(length, CUT);
    assert_memory_equal(sent, body, CUT);
    free(sent);
    s3_object_fini(&object);
    assert_int_equal(atomic_load(&unchecked_gets), 0);
    libmount_close(m);
    m->config.ops = &membucket_ops;
    free(body);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, libmount_set_up_open, libmount_tear_down)
    const struct CMUnitTest tests[] = {
        TEST(files_of_every_size_come_back),
        TEST(what_is_pushed_is_read_back_by_an_empty_cache),
        TEST(a_write_inside_a_foreign_file_keeps_its_other_bytes),
        TEST(a_write_behind_the_end_leaves_zeros),
        TEST(holes_are_told_and_take_no_space),
        TEST(what_was_not_fetched_counts_as_data),
        TEST(bytes_cut_off_do_not_come_back),
        TEST(truncating_to_nothing_frees_the_block_file),
        TEST(a_removed_file_frees_its_block_file),
        TEST(orphans_are_removed_at_the_start),
        TEST(punched_bytes_are_zeros_and_pushed_as_such),
        TEST(fallocate_keeps_or_grows_the_size_as_asked),
        TEST(appends_go_to_the_end),
        TEST(what_was_closed_survives_a_kill_and_what_was_not_does_no_harm),
        TEST(a_failed_sync_of_the_bytes_poisons_the_file_until_it_is_in_the_bucket),
        TEST(a_sync_waits_for_the_one_that_took_its_bytes),
        TEST(a_sync_costs_nothing_when_nothing_changed),
        TEST(pages_are_kept_while_the_content_is_the_same),
        TEST(copies_between_files_are_bounded_and_exact),
        TEST(a_file_larger_than_an_object_is_refused),
        TEST(the_base_of_a_changed_file_is_fetched_whole_and_checked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

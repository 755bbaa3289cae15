#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cache/crc32c.h"
#include "cache/ranges.h"

static void ranges_that_touch_become_one(void **state)
{
    (void)state;
    struct ranges r = { 0 };
    assert_int_equal(ranges_add(&r, 10, 20), 0);
    assert_int_equal(ranges_add(&r, 30, 40), 0);
    assert_int_equal(ranges_add(&r, 20, 30), 0);
    assert_int_equal(r.count, 1);
    assert_int_equal(r.items[0].start, 10);
    assert_int_equal(r.items[0].end, 40);
    ranges_fini(&r);
}

static void removing_the_middle_leaves_both_ends(void **state)
{
    (void)state;
    struct ranges r = { 0 };
    assert_int_equal(ranges_add(&r, 0, 100), 0);
    assert_int_equal(ranges_remove(&r, 40, 60), 0);
    assert_int_equal(r.count, 2);
    assert_true(ranges_cover(&r, 0, 40));
    assert_true(ranges_cover(&r, 60, 100));
    assert_false(ranges_touch(&r, 40, 60));
    assert_int_equal(ranges_total(&r), 80);
    assert_int_equal(ranges_total_in(&r, 30, 70), 20);
    ranges_fini(&r);
}

#define BYTES 300

/* The same operations on a set and on an array of flags. */
static void a_set_is_what_a_byte_array_says(void **state)
{
    (void)state;
    struct ranges r = { 0 };
    bool model[BYTES] = { false };
    srand(1);
    for (int step = 0; step < 20000; step++) {
        uint64_t start = (uint64_t)rand() % BYTES, end = start + (uint64_t)rand() % 40;
        if (end > BYTES)
            end = BYTES;
        bool add = rand() % 2;
        assert_int_equal(add ? ranges_add(&r, start, end) : ranges_remove(&r, start, end), 0);
        for (uint64_t i = start; i < end; i++)
            model[i] = add;
        uint64_t from = (uint64_t)rand() % BYTES, to = from + (uint64_t)rand() % (BYTES - from) + 1;
        for (int missing = 0; missing < 2; missing++) {
            struct range found = { 0, 0 };
            uint64_t i = from, k;
            while (i < to && model[i] == (bool)missing)
                i++;
            for (k = i; k < to && model[k] != (bool)missing;)
                k++;
            assert_int_equal(ranges_next(&r, from, to, missing, &found), i < to);
            if (i < to) {
                assert_int_equal(found.start, i);
                assert_int_equal(found.end, k);
            }
        }
        uint64_t total = 0;
        for (uint64_t i = from; i < to; i++)
            total += model[i];
        assert_int_equal(ranges_total_in(&r, from, to), total);
        assert_int_equal(ranges_cover(&r, from, to), total == to - from);
        assert_int_equal(ranges_touch(&r, from, to), total > 0);
        for (size_t i = 1; i < r.count; i++)
            assert_true(r.items[i - 1].end < r.items[i].start);
    }
    ranges_fini(&r);
}

static void what_is_encoded_is_decoded(void **state)
{
    (void)state;
    srand(2);
    for (int round = 0; round < 500; round++) {
        struct ranges r = { 0 }, back = { 0 };
        for (int i = 0; i < rand() % 20; i++) {
            uint64_t start = ((uint64_t)rand() << 20) + (uint64_t)rand();
            assert_int_equal(ranges_add(&r, start, start + (uint64_t)rand() + 1), 0);
        }
        uint8_t data[1024];
        size_t size = ranges_encode(&r, data, sizeof data);
        assert_true(size <= sizeof data);
        assert_int_equal(ranges_decode(&back, data, size, UINT64_MAX), 0);
        assert_int_equal(back.count, r.count);
        if (r.count)
            assert_memory_equal(back.items, r.items, r.count * sizeof *r.items);
        if (size)
            assert_int_equal(ranges_decode(&back, data, size - 1, UINT64_MAX), -117);
        ranges_fini(&r);
        ranges_fini(&back);
    }
}

static void nonsense_is_refused_when_decoding(void **state)
{
    (void)state;
    struct ranges r = { 0 };
    const uint8_t behind_the_end[] = { 5, 100 }, empty_range[] = { 5, 0 };
    uint8_t endless[20];
    memset(endless, 0xff, sizeof endless);
    assert_int_equal(ranges_decode(&r, behind_the_end, 2, 50), -117);
    assert_int_equal(ranges_decode(&r, empty_range, 2, 50), -117);
    assert_int_equal(ranges_decode(&r, endless, sizeof endless, UINT64_MAX), -117);
    ranges_fini(&r);
}

/* RFC 3720, B.4. */
static void crc32c_has_the_published_values(void **state)
{
    (void)state;
    uint8_t data[32] = { 0 };
    assert_int_equal(crc32c_extend(0, data, 32), 0x8a9136aau);
    memset(data, 0xff, 32);
    assert_int_equal(crc32c_extend(0, data, 32), 0x62a8ab43u);
    for (uint8_t i = 0; i < 32; i++)
        data[i] = i;
    assert_int_equal(crc32c_extend(0, data, 32), 0x46dd794eu);
    assert_int_equal(crc32c_extend(0, "123456789", 9), 0xe3069283u);
    assert_int_equal(crc32c_extend(crc32c_extend(0, "1234", 4), "56789", 5), 0xe3069283u);
}

static void crc32c_is_the_same_without_the_instruction(void **state)
{
    (void)state;
    uint8_t data[1000];
    srand(3);
    for (size_t i = 0; i < sizeof data; i++)
        data[i] = (uint8_t)rand();
    for (size_t start = 0; start < 9; start++)
        for (size_t size = 0; size < 900; size += 37)
            assert_int_equal(crc32c_extend(7, data + start, size), crc32c_portable(7, data + start, size));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ranges_that_touch_become_one),
        cmocka_unit_test(removing_the_middle_leaves_both_ends),
        cmocka_unit_test(a_set_is_what_a_byte_array_says),
        cmocka_unit_test(what_is_encoded_is_decoded),
        cmocka_unit_test(nonsense_is_refused_when_decoding),
        cmocka_unit_test(crc32c_has_the_published_values),
        cmocka_unit_test(crc32c_is_the_same_without_the_instruction),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

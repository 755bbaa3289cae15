/* Parked callers: each is woken exactly once, by the news, by time, or at the end. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

#include "cache/wait.h"
#include "s3/base/clock.h"

struct parked {
    struct cache_wait wait;
    atomic_int woken, error, order;
};

static atomic_int turn;

static void note(struct cache_wait *wait, int error)
{
    struct parked *p = (struct parked *)wait;
    p->error = error;
    p->order = atomic_fetch_add(&turn, 1);
    p->woken++;
}

static void park(struct cache *cache, struct wait_queue *queue, struct parked *p)
{
    *p = (struct parked){ .wait.wake = note };
    wait_add(cache, queue, &p->wait);
}

static int set_up(void **state)
{
    struct cache *cache = calloc(1, sizeof *cache);
    *state = cache;
    return waits_start(cache);
}

static int tear_down(void **state)
{
    struct cache *cache = *state;
    waits_stop(cache);
    free(cache);
    return 0;
}

static bool comes_true(atomic_int *value)
{
    for (int64_t until = clock_mono_ms() + 10000; *value == 0 && clock_mono_ms() < until;)
        usleep(1000);
    return *value != 0;
}

static void news_wakes_each_waiter_once_in_the_order_of_coming(void **state)
{
    struct cache *cache = *state;
    struct wait_queue queue = { 0 };
    struct parked p[3];
    turn = 0;
    for (int i = 0; i < 3; i++)
        park(cache, &queue, &p[i]);
    wait_wake(cache, &queue, -EIO);
    wait_wake(cache, &queue, 0);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(p[i].woken, 1);
        assert_int_equal(p[i].error, -EIO);
        assert_int_equal(p[i].order, i);
    }
}

static void one_that_was_taken_back_is_never_woken(void **state)
{
    struct cache *cache = *state;
    struct wait_queue queue = { 0 };
    struct parked p[3];
    for (int i = 0; i < 3; i++)
        park(cache, &queue, &p[i]);
    assert_true(cache_wait_cancel(cache, &p[1].wait));
    assert_false(cache_wait_cancel(cache, &p[1].wait));
    wait_wake(cache, &queue, 0);
    assert_int_equal(p[0].woken + p[2].woken, 2);
    assert_int_equal(p[1].woken, 0);
    assert_false(cache_wait_cancel(cache, &p[0].wait));
}

static void queues_are_apart(void **state)
{
    struct cache *cache = *state;
    struct wait_queue a = { 0 }, b = { 0 };
    struct parked p, q;
    park(cache, &a, &p);
    park(cache, &b, &q);
    wait_wake(cache, &b, 0);
    assert_int_equal(p.woken, 0);
    assert_int_equal(q.woken, 1);
    wait_wake(cache, &a, 0);
}

static void nobody_waits_for_ever(void **state)
{
    struct cache *cache = *state;
    struct wait_queue queue = { 0 };
    struct parked old, young;
    park(cache, &queue, &old);
    old.wait.since_ms -= WAIT_MAX_MS;
    park(cache, &queue, &young);
    assert_true(comes_true(&old.woken));
    assert_int_equal(old.error, -ETIMEDOUT);
    assert_int_equal(young.woken, 0);
    assert_true(cache_wait_cancel(cache, &young.wait));
}

static void stopping_wakes_everyone(void **state)
{
    struct cache *cache = *state;
    struct wait_queue queue = { 0 };
    struct parked p[2];
    park(cache, &queue, &p[0]);
    park(cache, &queue, &p[1]);
    waits_stop(cache);
    assert_int_equal(p[0].error, -ESHUTDOWN);
    assert_int_equal(p[1].woken, 1);
}

static void a_blocking_wait_ends_by_its_own_deadline_and_may_be_used_again(void **state)
{
    struct cache *cache = *state;
    struct wait_queue queue = { 0 };
    struct wait_blocking w;
    wait_blocking_init(&w);
    wait_add(cache, &queue, &w.wait);
    assert_int_equal(wait_blocking_run(cache, &w, 20), -ETIMEDOUT);
    assert_null(queue.first);
    wait_add(cache, &queue, &w.wait);
    wait_wake(cache, &queue, -ENOSPC);
    assert_int_equal(wait_blocking_run(cache, &w, -1), -ENOSPC);
    wait_blocking_fini(&w);
}

struct racer {
    struct cache *cache;
    struct wait_queue *queue;
    atomic_bool stop;
};

static void *keep_waking(void *arg)
{
    struct racer *r = arg;
    while (!r->stop)
        wait_wake(r->cache, r->queue, 0);
    return NULL;
}

static void taking_back_and_waking_at_once_never_lose_or_double_one(void **state)
{
    struct cache *cache = *state;
    struct wait_queue queue = { 0 };
    struct racer racer = { .cache = cache, .queue = &queue };
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, keep_waking, &racer), 0);
    for (int i = 0; i < 20000; i++) {
        struct parked p;
        park(cache, &queue, &p);
        bool ours = cache_wait_cancel(cache, &p.wait);
        if (ours)
            assert_int_equal(p.woken, 0);
        else
            assert_true(comes_true(&p.woken));
    }
    racer.stop = true;
    pthread_join(thread, NULL);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(news_wakes_each_waiter_once_in_the_order_of_coming),
        TEST(one_that_was_taken_back_is_never_woken),
        TEST(queues_are_apart),
        TEST(nobody_waits_for_ever),
        TEST(stopping_wakes_everyone),
        TEST(a_blocking_wait_ends_by_its_own_deadline_and_may_be_used_again),
        TEST(taking_back_and_waking_at_once_never_lose_or_double_one),
    };
    return cmocka_run_group_tests_name("wait", tests, NULL, NULL);
}

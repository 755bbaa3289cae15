/* Worker threads: every job runs once or is dropped once, the urgent ones first. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

#include "cache/pool.h"
#include "s3/base/clock.h"

struct job {
    struct pool_job job;
    atomic_int ran, dropped, order;
};

static atomic_int turn, running, running_most;
static atomic_bool gate; /* closed: jobs wait in it */

static void run(struct cache *cache, struct pool_job *job)
{
    (void)cache;
    struct job *j = (struct job *)job;
    j->order = atomic_fetch_add(&turn, 1);
    int now = atomic_fetch_add(&running, 1) + 1;
    for (int most = running_most; now > most && !atomic_compare_exchange_weak(&running_most, &most, now);)
        ;
    while (gate)
        usleep(500);
    running--;
    j->ran++;
}

static void drop(struct cache *cache, struct pool_job *job)
{
    (void)cache;
    ((struct job *)job)->dropped++;
}

static bool reaches(atomic_int *value, int wanted)
{
    for (int64_t until = clock_mono_ms() + 10000; *value < wanted && clock_mono_ms() < until;)
        usleep(500);
    return *value >= wanted;
}

static struct pool *pool_of(unsigned threads, bool closed)
{
    struct pool *pool;
    turn = running = running_most = 0;
    gate = closed;
    assert_int_equal(pool_new(&pool, NULL, threads), 0);
    return pool;
}

static void jobs_run_at_once_up_to_the_number_of_threads(void **state)
{
    (void)state;
    struct pool *pool = pool_of(4, true);
    struct job jobs[10] = { 0 };
    for (int i = 0; i < 10; i++) {
        jobs[i].job.run = run;
        pool_submit(pool, &jobs[i].job);
    }
    assert_true(reaches(&running_most, 4));
    gate = false;
    pool_stop(pool, drop);
    pool_free(pool);
    assert_int_equal(running_most, 4);
    for (int i = 0; i < 10; i++)
        assert_int_equal(jobs[i].ran + jobs[i].dropped, 1);
}

static void the_urgent_ones_go_first_and_a_waiting_one_can_be_raised(void **state)
{
    (void)state;
    struct pool *pool = pool_of(1, true);
    struct job jobs[5] = { 0 };
    const int priority[5] = { 0, 2, 1, 1, 2 };
    for (int i = 0; i < 5; i++) {
        jobs[i].job.run = run;
        jobs[i].job.priority = priority[i];
        pool_submit(pool, &jobs[i].job);
        assert_true(reaches(&turn, 1)); /* the first one holds the thread */
    }
    assert_true(pool_raise(pool, &jobs[4].job, 0));
    gate = false;
    for (int i = 0; i < 5; i++)
        assert_true(reaches(&jobs[i].ran, 1));
    pool_stop(pool, drop);
    pool_free(pool);
    assert_int_equal(jobs[0].order, 0);
    assert_int_equal(jobs[4].order, 1);
    assert_int_equal(jobs[2].order, 2);
    assert_int_equal(jobs[3].order, 3);
    assert_int_equal(jobs[1].order, 4);
}

static void stopping_waits_for_what_runs_and_drops_the_rest(void **state)
{
    (void)state;
    struct pool *pool = pool_of(1, false);
    struct job jobs[200] = { 0 };
    for (int i = 0; i < 200; i++) {
        jobs[i].job.run = run;
        pool_submit(pool, &jobs[i].job);
    }
    pool_stop(pool, drop);
    for (int i = 0; i < 200; i++)
        assert_int_equal(jobs[i].ran + jobs[i].dropped, 1);
    struct job late = { .job.run = run };
    pool_submit(pool, &late.job);
    assert_int_equal(late.dropped, 1);
    pool_free(pool);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(jobs_run_at_once_up_to_the_number_of_threads),
        cmocka_unit_test(the_urgent_ones_go_first_and_a_waiting_one_can_be_raised),
        cmocka_unit_test(stopping_waits_for_what_runs_and_drops_the_rest),
    };
    return cmocka_run_group_tests_name("pool", tests, NULL, NULL);
}

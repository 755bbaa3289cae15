#include "tools/r2sim/timer.h"

#include "tools/r2sim/mem.h"

#include <stdlib.h>
#include <time.h>
#include <utlist.h>

struct timer_call {
	int64_t at_us;
	void (*fn)(void *arg);
	void *arg;
	struct timer_call *prev, *next;
};

int64_t timer_now_us(void) {
	struct timespec ts;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

static void *timer_main(void *arg) {
	struct timer *t = arg;
	pthread_mutex_lock(&t->mutex);
	while (!t->stopping || t->calls) {
		struct timer_call *call = t->calls;
		if (!call) {
			pthread_cond_wait(&t->changed, &t->mutex);
		} else if (!t->stopping && call->at_us > timer_now_us()) {
			struct timespec until = {.tv_sec = (time_t)(call->at_us / 1000000), .tv_nsec = (long)(call->at_us % 1000000 * 1000)};
			pthread_cond_timedwait(&t->changed, &t->mutex, &until);
		} else {
			DL_DELETE(t->calls, call);
			pthread_mutex_unlock(&t->mutex);
			call->fn(call->arg);
			free(call);
			pthread_mutex_lock(&t->mutex);
		}
	}
	pthread_mutex_unlock(&t->mutex);
	return NULL;
}

int timer_start(struct timer *t) {
	*t = (struct timer){0};
	pthread_mutex_init(&t->mutex, NULL);
	pthread_condattr_t attr;
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&t->changed, &attr);
	pthread_condattr_destroy(&attr);
	return -pthread_create(&t->thread, NULL, timer_main, t);
}

void timer_add(struct timer *t, int64_t delay_us, void (*fn)(void *arg), void *arg) {
	struct timer_call *call = mem_zero(sizeof *call);
	*call = (struct timer_call){.at_us = timer_now_us() + delay_us, .fn = fn, .arg = arg};
	pthread_mutex_lock(&t->mutex);
	if (t->stopping) {
		pthread_mutex_unlock(&t->mutex);
		free(call);
		fn(arg);
		return;
	}
	/* Most delays are alike, so the place is near the end. */
	struct timer_call *after = t->calls ? t->calls->prev : NULL;
	while (after && after->at_us > call->at_us)
		after = after == t->calls ? NULL : after->prev;
	if (after)
		DL_APPEND_ELEM(t->calls, after, call);
	else
		DL_PREPEND(t->calls, call);
	pthread_cond_signal(&t->changed);
	pthread_mutex_unlock(&t->mutex);
}

void timer_stop(struct timer *t) {
	pthread_mutex_lock(&t->mutex);
	t->stopping = true;
	pthread_cond_signal(&t->changed);
	pthread_mutex_unlock(&t->mutex);
	pthread_join(t->thread, NULL);
}

#ifndef R2SIM_TIMER_H
#define R2SIM_TIMER_H
/* One thread that calls functions later, so that a delayed request holds no other thread. */
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

struct timer_call;
struct timer {
	pthread_mutex_t mutex;
	pthread_cond_t changed;
	pthread_t thread;
	struct timer_call *calls; /* by time */
	bool stopping;
};

int timer_start(struct timer *t); /* 0 or -errno */
/* Calls fn(arg) once, in the timer's thread, after delay_us or when the timer stops, whichever is first. */
void timer_add(struct timer *t, int64_t delay_us, void (*fn)(void *arg), void *arg);
void timer_stop(struct timer *t); /* makes the calls that are left, then ends the thread; later calls are made at once */
int64_t timer_now_us(void);       /* monotonic */
#endif

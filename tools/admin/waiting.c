/* SPDX-License-Identifier: BSD-2-Clause */
/* waiting.c - a lock, a condition on the monotonic clock, and a look at the signals. */
#include "admin/waiting.h"

#include <time.h>

#include "admin/long.h"

#define LOOK_NS 100000000L

void waiting_init(struct waiting *w)
{
	pthread_condattr_t attr;

	/* With these arguments none of the calls in this file fails. */
	(void)pthread_mutex_init(&w->lock, NULL);
	(void)pthread_condattr_init(&attr);
	(void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	(void)pthread_cond_init(&w->changed, &attr);
	(void)pthread_condattr_destroy(&attr);
}

void waiting_fini(struct waiting *w)
{
	(void)pthread_cond_destroy(&w->changed);
	(void)pthread_mutex_destroy(&w->lock);
}

void waiting_lock(struct waiting *w)
{
	(void)pthread_mutex_lock(&w->lock);
}

void waiting_unlock(struct waiting *w)
{
	(void)pthread_mutex_unlock(&w->lock);
}

void waiting_wake(struct waiting *w)
{
	(void)pthread_cond_signal(&w->changed);
}

void waiting_wait_on(struct waiting *w)
{
	(void)pthread_cond_wait(&w->changed, &w->lock);
}

int waiting_wait(struct waiting *w)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	ts.tv_nsec += LOOK_NS;
	if (ts.tv_nsec >= 1000000000L) {
		ts.tv_sec++;
		ts.tv_nsec -= 1000000000L;
	}
	(void)pthread_cond_timedwait(&w->changed, &w->lock, &ts);
	return admin_stopped() ? -1 : 0;
}

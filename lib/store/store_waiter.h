/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * store_waiter.h - one thread waits for one thing that another one ends.
 *
 * It lies on the waiter's stack: what comes of the thing is noted in what it is embedded in, before
 * lsvd_waiter_end(), and may be read after lsvd_waiter_wait().
 */
#ifndef STORE_STORE_WAITER_H
#define STORE_STORE_WAITER_H

#include <pthread.h>
#include <stdbool.h>

struct store_waiter {
	pthread_mutex_t lock;
	pthread_cond_t ended;
	bool over;                   /* protected by lock */
};

#define STORE_WAITER_INIT { PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, false }

/* Any thread, once. The waiter, and what it is embedded in, is gone when this returns. */
void lsvd_waiter_end(struct store_waiter *w);
/* Waits for that, and frees what the waiter holds. */
void lsvd_waiter_wait(struct store_waiter *w);

#endif

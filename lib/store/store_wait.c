/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * store_wait.c - the blocking form of an operation of which a driver has only the other one.
 *
 * The only wait in this folder that is not a network driver's own; the core never comes here.
 */
#include "store/store.h"

#include <pthread.h>
#include <stdio.h>

#include "base/err.h"

struct waiter {
	pthread_mutex_t lock;
	pthread_cond_t ended;
	/* protected by lock */
	bool over;
	int err;
	char text[512];              /* the failure's, which is another thread's */
};

static void wake(struct lsvd_store_request *r, int err)
{
	struct waiter *w = r->owner;

	pthread_mutex_lock(&w->lock);
	w->err = err;
	if (err < 0)
		(void)snprintf(w->text, sizeof w->text, "%s", lsvd_last_error()); /* is as long */
	w->over = true;
	/* Under the lock: the waiter, and what it waits on, is gone as soon as it sees `over`. */
	pthread_cond_signal(&w->ended);
	pthread_mutex_unlock(&w->lock);
}

int lsvd_store_wait(void (*submit)(void *ctx, struct lsvd_store_request *request), void *ctx,
		    struct lsvd_store_request *r)
{
	struct waiter w = { .lock = PTHREAD_MUTEX_INITIALIZER, .ended = PTHREAD_COND_INITIALIZER };

	r->owner = &w;
	r->done = wake;
	submit(ctx, r);
	pthread_mutex_lock(&w.lock);
	while (!w.over)
		pthread_cond_wait(&w.ended, &w.lock);
	pthread_mutex_unlock(&w.lock);
	pthread_cond_destroy(&w.ended);
	pthread_mutex_destroy(&w.lock);
	if (w.err < 0)
		lsvd_error_restore(w.text);
	return w.err;
}

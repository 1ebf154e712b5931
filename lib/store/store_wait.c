/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * store_wait.c - waiting: for another thread, and for an operation of which a driver has only the
 * form that does not wait.
 *
 * The only wait in this folder that is not a network driver's own; the core never comes here.
 */
#include "store/store.h"

#include <stdio.h>

#include "base/err.h"
#include "store/store_waiter.h"

void lsvd_waiter_end(struct store_waiter *w)
{
	pthread_mutex_lock(&w->lock);
	w->over = true;
	/* Under the lock: the waiter, and what it waits on, is gone as soon as it sees `over`. */
	pthread_cond_signal(&w->ended);
	pthread_mutex_unlock(&w->lock);
}

void lsvd_waiter_wait(struct store_waiter *w)
{
	pthread_mutex_lock(&w->lock);
	while (!w->over)
		pthread_cond_wait(&w->ended, &w->lock);
	pthread_mutex_unlock(&w->lock);
	pthread_cond_destroy(&w->ended);
	pthread_mutex_destroy(&w->lock);
}

struct outcome {
	struct store_waiter waiter;
	int err;
	char text[512];              /* the failure's, which is another thread's */
};

static void wake(struct lsvd_store_request *r, int err)
{
	struct outcome *o = r->owner;

	o->err = err;
	if (err < 0)
		(void)snprintf(o->text, sizeof o->text, "%s", lsvd_last_error()); /* is as long */
	lsvd_waiter_end(&o->waiter);
}

int lsvd_store_wait(void (*submit)(void *ctx, struct lsvd_store_request *request), void *ctx,
		    struct lsvd_store_request *r)
{
	struct outcome o = { .waiter = STORE_WAITER_INIT };

	r->owner = &o;
	r->done = wake;
	submit(ctx, r);
	lsvd_waiter_wait(&o.waiter);
	if (o.err < 0)
		lsvd_error_restore(o.text);
	return o.err;
}

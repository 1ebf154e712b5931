/* SPDX-License-Identifier: BSD-2-Clause */
/* jobs.c - a pool of named threads with one queue. */
#include "io/jobs.h"

#include <assert.h>
#include <stdio.h>

#include "base/err.h"

int lsvd_pool_init(struct pool *p, const char *name, unsigned max, pool_run_fn run, void *ctx)
{
	int err;

	assert(max >= 1 && max <= POOL_THREADS_MAX);
	*p = (struct pool){ .name = name, .max = max, .run = run, .ctx = ctx };
	list_init(&p->queue);
	err = pthread_mutex_init(&p->lock, NULL);
	if (err)
		return lsvd_fail_plain(-err);
	err = pthread_cond_init(&p->more, NULL);
	if (err) {
		(void)pthread_mutex_destroy(&p->lock); /* nobody holds it */
		return lsvd_fail_plain(-err);
	}
	return 0;
}

/* The next request, waited for; NULL when the pool ends and nothing is left. */
static struct io *next(struct pool *p)
{
	struct io *io = NULL;

	pthread_mutex_lock(&p->lock);
	while (list_empty(&p->queue) && !p->ending) {
		p->idle++;
		pthread_cond_wait(&p->more, &p->lock);
		p->idle--;
	}
	if (!list_empty(&p->queue)) {
		io = list_entry(list_pop(&p->queue), struct io, link);
		p->queued--;
	}
	pthread_mutex_unlock(&p->lock);
	return io;
}

static void *serve(void *arg)
{
	struct pool *p = arg;
	struct io *io;

	while ((io = next(p)))
		p->run(p->ctx, io);
	return NULL;
}

/*
 * One more thread, if the queue is longer than the waiting threads can take up. A woken thread
 * still counts as idle until it runs, and what it will take still counts as queued: so this is
 * exact.
 */
static int grow_locked(struct pool *p)
{
	char name[16];
	int err;

	if (p->queued <= p->idle || p->count == p->max)
		return 0;
	(void)snprintf(name, sizeof name, "%.12s-%u", p->name, p->count); /* fits */
	err = lsvd_thread_start(&p->threads[p->count], name, serve, p);
	if (err == 0)
		p->count++;
	return err;
}

void lsvd_pool_submit(struct pool *p, struct io *io)
{
	bool taken;
	int err;

	pthread_mutex_lock(&p->lock);
	list_add_tail(&p->queue, &io->link);
	p->queued++;
	err = grow_locked(p);
	taken = p->count > 0;
	if (taken) {
		pthread_cond_signal(&p->more);
	} else {
		list_del(&io->link);
		p->queued--;
	}
	pthread_mutex_unlock(&p->lock);
	if (err < 0)
		lsvd_report(LSVD_LOG_WARN, "%s: one more thread: %s", p->name, lsvd_strerror(err));
	if (!taken)
		p->run(p->ctx, io);
}

void lsvd_pool_fini(struct pool *p)
{
	pthread_mutex_lock(&p->lock);
	p->ending = true;
	pthread_cond_broadcast(&p->more);
	pthread_mutex_unlock(&p->lock);
	for (unsigned i = 0; i < p->count; i++)
		(void)pthread_join(p->threads[i], NULL); /* ours, joinable, joined once */
	(void)pthread_cond_destroy(&p->more);
	(void)pthread_mutex_destroy(&p->lock);
}

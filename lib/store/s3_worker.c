/* SPDX-License-Identifier: BSD-2-Clause */
/* s3_worker.c - one thread, one queue. */
#include "store/s3_worker.h"

#include "base/thread.h"

static struct list *next(struct s3_worker *w)
{
	struct list *node;

	pthread_mutex_lock(&w->lock);
	while (list_empty(&w->queue) && !w->ending)
		pthread_cond_wait(&w->more, &w->lock);
	node = list_pop(&w->queue);
	pthread_mutex_unlock(&w->lock);
	return node;
}

static void *serve(void *arg)
{
	struct s3_worker *w = arg;
	struct list *node;

	while ((node = next(w)))
		w->run(w->ctx, node);
	return NULL;
}

int lsvd_s3_worker_init(struct s3_worker *w, void (*run)(void *ctx, struct list *node), void *ctx)
{
	int err;

	w->run = run;
	w->ctx = ctx;
	w->ending = false;
	list_init(&w->queue);
	/* Neither can fail with these attributes. */
	(void)pthread_mutex_init(&w->lock, NULL);
	(void)pthread_cond_init(&w->more, NULL);
	err = lsvd_thread_start(&w->thread, "lsvd-s3-work", serve, w);
	if (err < 0) {
		pthread_cond_destroy(&w->more);
		pthread_mutex_destroy(&w->lock);
	}
	return err;
}

void lsvd_s3_worker_fini(struct s3_worker *w)
{
	pthread_mutex_lock(&w->lock);
	w->ending = true;
	pthread_cond_signal(&w->more);
	pthread_mutex_unlock(&w->lock);
	(void)pthread_join(w->thread, NULL); /* cannot fail: nobody else does */
	pthread_cond_destroy(&w->more);
	pthread_mutex_destroy(&w->lock);
}

void lsvd_s3_worker_add(struct s3_worker *w, struct list *node)
{
	pthread_mutex_lock(&w->lock);
	list_add_tail(&w->queue, node);
	pthread_cond_signal(&w->more);
	pthread_mutex_unlock(&w->lock);
}

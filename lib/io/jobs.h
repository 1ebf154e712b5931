/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * jobs.h - a pool of named threads that take requests from one queue, for what may sleep or
 * compute.
 *
 * Threads are started as they are needed, up to a maximum, and stay until the pool ends. Should the
 * system refuse the first of them, requests are run by whoever submits them: slower, never lost.
 * All signals are blocked in them, so that the program's handlers run on the program's threads.
 */
#ifndef IO_JOBS_H
#define IO_JOBS_H

#include <pthread.h>
#include <stdbool.h>

#include "base/thread.h"
#include "io/tables.h"

#define POOL_THREADS_MAX 16u

/* Does the work of a request and ends it with lsvd_port_finish(). */
typedef void (*pool_run_fn)(void *ctx, struct io *io);

struct pool {
	/* immutable after init */
	const char *name;            /* threads are called name-0, name-1, … */
	unsigned max;
	pool_run_fn run;
	void *ctx;

	pthread_mutex_t lock;
	pthread_cond_t more;         /* the queue has become longer, or the pool ends */
	/* protected by lock */
	struct list queue;
	unsigned queued;
	unsigned idle;               /* threads that wait for more */
	unsigned count;              /* threads there are */
	bool ending;
	pthread_t threads[POOL_THREADS_MAX];
};

/* `name` has at most 12 characters and outlives the pool; 1 <= max <= POOL_THREADS_MAX. */
int lsvd_pool_init(struct pool *p, const char *name, unsigned max, pool_run_fn run, void *ctx);
/* Runs what is queued, then joins the threads. */
void lsvd_pool_fini(struct pool *p);
/* Any thread, without locks that `run` takes. */
void lsvd_pool_submit(struct pool *p, struct io *io);

#endif

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * s3_worker.h - a thread that takes one thing after another: digests of bodies, reading
 * credentials.
 *
 * Both take long (8 MiB of SHA-256, a metadata service that does not answer), and neither whoever
 * submits a request nor the thread that moves bytes may wait for them.
 */
#ifndef STORE_S3_WORKER_H
#define STORE_S3_WORKER_H

#include <pthread.h>
#include <stdbool.h>

#include "base/list.h"

struct s3_worker {
	/* immutable after init */
	void (*run)(void *ctx, struct list *node);
	void *ctx;
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t more;
	/* protected by lock */
	struct list queue;
	bool ending;
};

/* 0 or -errno. */
int lsvd_s3_worker_init(struct s3_worker *w, void (*run)(void *ctx, struct list *node), void *ctx);
/* Runs what is queued, then ends the thread. */
void lsvd_s3_worker_fini(struct s3_worker *w);
/* Any thread. */
void lsvd_s3_worker_add(struct s3_worker *w, struct list *node);

#endif

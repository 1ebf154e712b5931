/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * real.h - what the parts of the real world share: world_real.c, blk_sync.c, blk_aio.c,
 * clk_real.c, rnd_real.c.
 *
 * Everything but the pools and the clock is immutable while the world is open.
 */
#ifndef IO_REAL_H
#define IO_REAL_H

#include "io/jobs.h"
#include "io/world_real.h"

/* Timers and the one thread that ends them. */
struct clock {
	pthread_mutex_t lock;
	pthread_cond_t changed;      /* waits by CLOCK_MONOTONIC */
	/* protected by lock */
	struct list armed;           /* struct timer_io, by at_ms */
	struct list ripe;            /* to be ended now */
	bool ending;
	pthread_t thread;
};

/* Long writes past the page cache; begins with the first of them. */
enum aio_state {
	AIO_NEW,
	AIO_RUNS,
	AIO_NONE,                    /* the system has none for us */
	AIO_ENDS,
};

struct aio {
	pthread_mutex_t lock;        /* held by who starts it */
	enum aio_state state;        /* atomic */
	unsigned long ring;          /* constant once it runs */
	pthread_t thread;
	uint64_t submitted;          /* atomic; orders what is queued before what ends */
};

struct real_world {
	struct world world;          /* first: a world is cast to it */
	struct lsvd_store *store;    /* NULL: every request fails */
	char *dir;                   /* of the cache; NULL: no file can be opened */
	int dir_fd;
	struct pool reads;           /* file reads that would sleep */
	struct pool syncs;           /* several: the log must not wait for the cache */
	struct pool gets;            /* reads of the store have threads of their own, so that … */
	struct pool puts;            /* … uploads in an outage never keep them waiting */
	struct pool jobs;
	struct aio aio;
	struct clock clock;
};

static inline struct real_world *real_world_of(struct world *w)
{
	return lsvd_container_of(w, struct real_world, world);
}

/* blk_sync.c */
extern const struct file_ops lsvd_file_ops_sync;
/* What the pools of reads and syncs run; ctx is not used. */
void lsvd_file_run(void *ctx, struct io *io);

/* A long write has ended with `res` bytes or -errno: sets io->io.err. */
void lsvd_file_written(struct file_io *io, int64_t res);

/* blk_aio.c; -errno */
int lsvd_aio_init(struct aio *a);
/* Nothing is in the world. */
void lsvd_aio_fini(struct aio *a);
/* False: the caller has to write it some other way. */
bool lsvd_aio_write(struct aio *a, int fd, struct file_io *io);

/* clk_real.c */
extern const struct clk_ops lsvd_clk_ops_real;
int lsvd_clock_init(struct clock *c);
void lsvd_clock_fini(struct clock *c);

/* rnd_real.c */
extern const struct rnd_ops lsvd_rnd_ops_real;

#endif

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * batch.c - submitted operations: many writes handed over at once, ended by callbacks.
 *
 *   cc batch.c $(pkg-config --cflags --libs lsvd) -pthread -o batch && ./batch /tmp/somewhere
 *
 * What is submitted together goes into the local log together: one write to the disk, however many
 * operations. A blocking caller gets that only from many threads.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <lsvd/lsvd.h>

#define BATCH 64
#define BLOCK 4096u

/* Counts down as operations end, on whatever thread that happens. */
struct countdown {
	pthread_mutex_t lock;
	pthread_cond_t zero;
	int left;
	int err; /* the first failure */
};

/* One operation and its data; the library leaves it alone once `ended` has been called. */
struct request {
	struct lsvd_io io;
	struct iovec iov;
	unsigned char data[BLOCK];
};

static void ended(struct lsvd_io *io)
{
	struct countdown *c = io->user;

	pthread_mutex_lock(&c->lock);
	if (io->err < 0 && !c->err)
		c->err = io->err;
	if (--c->left == 0)
		pthread_cond_signal(&c->zero);
	pthread_mutex_unlock(&c->lock);
}

static void prepare(struct request *r, unsigned block, struct countdown *c)
{
	memset(r, 0, sizeof *r);
	memset(r->data, (int)('a' + block % 26), sizeof r->data);
	r->iov.iov_base = r->data;
	r->iov.iov_len = sizeof r->data;
	r->io.kind = LSVD_IO_WRITE;
	r->io.off = (uint64_t)block * 17 * BLOCK; /* anywhere: the log is sequential all the same */
	r->io.len = sizeof r->data;
	r->io.iov = &r->iov;
	r->io.iovcnt = 1;
	r->io.done = ended;
	r->io.user = c;
}

static int write_batch(struct lsvd_volume *volume, struct request *requests)
{
	struct countdown c = { PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, BATCH, 0 };

	for (unsigned i = 0; i < BATCH; i++) {
		prepare(&requests[i], i, &c);
		requests[i].io.next = i + 1 < BATCH ? &requests[i + 1].io : NULL;
	}
	lsvd_volume_submit(volume, &requests[0].io);

	pthread_mutex_lock(&c.lock);
	while (c.left)
		pthread_cond_wait(&c.zero, &c.lock);
	pthread_mutex_unlock(&c.lock);
	return c.err;
}

static int use(struct lsvd_volume *volume)
{
	struct lsvd_stats stats = LSVD_STATS_INIT;
	struct request *requests = calloc(BATCH, sizeof *requests);
	int err;

	if (!requests)
		return 1;
	err = write_batch(volume, requests);
	free(requests);
	if (!err)
		err = lsvd_volume_flush(volume);
	if (!err)
		err = lsvd_volume_stats(volume, &stats);
	if (err < 0) {
		fprintf(stderr, "batch: %s\n", lsvd_strerror(err));
		return 1;
	}
	printf("%llu writes went to the log in %llu groups, %llu bytes\n",
	       (unsigned long long)stats.writes, (unsigned long long)stats.log_groups,
	       (unsigned long long)stats.log_bytes);
	return 0;
}

int main(int argc, char **argv)
{
	struct lsvd_volume_options options = LSVD_VOLUME_OPTIONS_INIT;
	struct lsvd_volume *volume;
	struct lsvd_store *store;
	int err, status = 1;

	if (argc != 2) {
		fprintf(stderr, "usage: batch DIR\n");
		return 2;
	}
	options.cache_dir = argv[1];
	options.log_bytes = 16u << 20;
	err = lsvd_store_open(&store, "mem:", NULL);
	if (err < 0) {
		fprintf(stderr, "batch: %s\n", lsvd_last_error());
		return 1;
	}
	err = lsvd_volume_create(store, "batch", UINT64_C(64) << 20, NULL, NULL);
	if (!err)
		err = lsvd_volume_open(&volume, store, "batch", &options);
	if (!err) {
		status = use(volume);
		err = lsvd_volume_close(volume, UINT32_MAX);
	}
	if (err)
		fprintf(stderr, "batch: %s\n", lsvd_last_error());
	lsvd_store_close(store);
	return err ? 1 : status;
}

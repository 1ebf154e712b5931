/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * loop_inner.h - what loop.c and session.c share and nobody else sees.
 *
 * loop.c makes the turns: it waits, gathers operations, submits them, takes completions and
 * messages. session.c is one client: its socket, its connection, its questions and its end. A
 * session tells its loop three things: that it wants to be served in this turn (loop_mark), that an
 * operation is to be submitted (loop_gather), and, from other threads, that something has happened
 * (loop_post).
 */
#ifndef NBD_LOOP_INNER_H
#define NBD_LOOP_INNER_H

#include <pthread.h>

#include "nbd/loop.h"

struct session;

struct message {
	struct message *next;
	void (*run)(struct loop *loop, struct message *message);
};

/* The operations for one volume that were gathered in this turn. */
struct batch {
	struct batch *next;
	struct lsvd_volume *volume;
	struct lsvd_io *first, **end;
};

struct loop {
	struct loop_config *config;
	unsigned number;
	pthread_t thread;
	int epoll_fd, event_fd;

	/* the loop's thread only */
	struct nbd_mem mem;
	struct session *sessions;
	struct session *dirty;
	struct batch *batches;
	struct lsvd_io *done, **done_end; /* completed inside a submission */
	uint64_t now_ms, tick_ms;
	uint64_t requests_at_tick, requests;
	bool starved; /* a session waits for the shared budget */
	uint32_t inflight;
	bool stopping, ending;
	struct lsvd_status_extent extents[NBD_EXTENTS_MAX]; /* of one answer at a time */

	/* from any thread */
	_Alignas(64) _Atomic(struct lsvd_io *) posted;
	atomic_bool asleep;
	atomic_uint load;
	atomic_bool quiet;
	pthread_mutex_t lock; /* guards the messages */
	struct message *messages, **messages_end;
	struct message stop, end;
	atomic_bool has_messages;
};

/* Has `message` run on the loop's thread, in the order of posting. Any thread. */
void loop_post(struct loop *loop, struct message *message);

/* The session is served in this turn. */
void loop_mark(struct loop *loop, struct session *session);

/* Where operations for a volume are gathered, for as long as the loop lives; NULL: no memory. */
struct batch *loop_batch(struct loop *loop, struct lsvd_volume *volume);

/* Adds an operation, whose `user` is its nbd_req, to those submitted in this turn. */
void loop_gather(struct loop *loop, struct batch *batch, struct lsvd_io *io);

#endif

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * port.h - the door between a core and its world: one lock, one queue of requests, one of calls.
 *
 * A core (an open volume, an open value log) is entered, changes state, queues what it wants
 * done, and is left. Leaving is the loop: requests are handed to the tables without the lock,
 * what ends on the spot re-enters at once, users are called back without the lock, until nothing
 * is queued. A core is never entered from inside a table, and a user's callback may call the core
 * again: it only queues, and the loop that is running takes it up. Hence no recursion and no lock
 * over I/O.
 *
 * Invariants:
 *  (1) done and every function marked "lock held" run with port->lock held by this thread.
 *  (2) A request is at most once in the world; it belongs to the core again in done.
 *  (3) Calls queued by one entry are made in order, by one thread at a time per entry.
 */
#ifndef IO_PORT_H
#define IO_PORT_H

#include <pthread.h>
#include <stdbool.h>

#include "io/tables.h"

/* A callback to make once the lock is given up. */
struct call {
	struct list link;
	void (*fn)(struct call *call);
};

struct port {
	struct world *world;
	pthread_mutex_t lock;
	pthread_cond_t changed;      /* for the world's wait; signalled only if waiters > 0 */
	unsigned waiters;
	/* protected by lock */
	struct list out;             /* requests to start */
	struct list calls;           /* callbacks to make */
	unsigned in_world;           /* requests started and not done */
	unsigned loops;              /* threads on their way out, lock given up or not */
	bool ending;                 /* lsvd_port_settle() waits for loops and waiters to be 0 */
};

int lsvd_port_init(struct port *p, struct world *w);
/*
 * Waits for the threads that are on their way out: one that ended the last request, one in a
 * callback, one that has waited and is about to return. Nothing may be queued or in the world. Then
 * what the core is made of may be freed.
 */
void lsvd_port_settle(struct port *p);
/* Settles it, and frees it. */
void lsvd_port_fini(struct port *p);

void lsvd_port_enter(struct port *p);
/*
 * Leaves and runs the loop. `may_wait`: this thread may do slow I/O itself, if it is all
 * there is.
 */
void lsvd_port_leave(struct port *p, bool may_wait);

/* lock held: queues a request. io->kind, io->done and the rest are set by the caller. */
void lsvd_port_start(struct port *p, struct io *io);
/* lock held: queues a callback. */
void lsvd_port_call(struct port *p, struct call *call);
/* lock held: wakes procedures that wait for a change. */
void lsvd_port_changed(struct port *p);

/* For tables, and who does an IO_OTHER; any thread, no lock: the request has ended with io->err. */
void lsvd_port_finish(struct io *io);

/*
 * lock held, procedures only: runs what is queued, then waits until something has happened. Call it
 * in a loop on the condition wanted.
 */
void lsvd_port_wait(struct port *p);

/*
 * Leaves the port and waits until the event is set: what a blocking call does, which waits for
 * nothing but its own end. It runs what is queued, I/O that sleeps included, but once its event is
 * set nothing that sleeps any more: that is for others and goes to the world's threads. Afterwards
 * the port is not touched again.
 */
void lsvd_port_leave_until(struct port *p, struct event *event);
/* In a callback, or lock held: whoever waits for the event goes on. It may be gone then. */
void lsvd_port_set_event(struct port *p, struct event *event);

/*
 * No lock, procedures only: starts `n` requests and waits for all. Sets their owner and done. The
 * first error in their order, with its text.
 */
int lsvd_port_run(struct port *p, struct io **ios, unsigned n);
int lsvd_port_run1(struct port *p, struct io *io);
/* No lock, procedures only: waits for so long. */
void lsvd_port_pause(struct port *p, uint64_t ms);

#endif

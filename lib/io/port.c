/* SPDX-License-Identifier: BSD-2-Clause */
/* port.c - entering and leaving a core; the loop that lies in leaving. */
#include "io/port.h"

#include <errno.h>
#include <stdio.h>

#include "base/err.h"
#include "base/lock.h"

/*
 * The loop this thread is in, innermost first. A request that ends inside its table's start, and a
 * callback that calls the core again, find their port here and leave the work to the loop.
 */
struct loop {
	struct port *port;
	struct list ended;           /* requests that ended on this thread meanwhile */
	struct loop *outer;
};

static _Thread_local struct loop *current;

static struct loop *loop_of(struct port *p)
{
	struct loop *l = current;

	while (l && l->port != p)
		l = l->outer;
	return l;
}

int lsvd_port_init(struct port *p, struct world *w)
{
	int err;

	p->world = w;
	p->waiters = 0;
	p->in_world = 0;
	p->loops = 0;
	p->ending = false;
	list_init(&p->out);
	list_init(&p->calls);
	err = lsvd_lock_init(&p->lock);
	if (err)
		return lsvd_fail_plain(err);
	err = pthread_cond_init(&p->changed, NULL);
	if (err) {
		pthread_mutex_destroy(&p->lock);
		return lsvd_fail_plain(-err);
	}
	return 0;
}

void lsvd_port_settle(struct port *p)
{
	lsvd_port_enter(p);
	p->ending = true;
	while (p->loops || p->waiters)
		lsvd_port_wait(p);
	pthread_mutex_unlock(&p->lock);
}

void lsvd_port_fini(struct port *p)
{
	lsvd_port_settle(p);
	pthread_cond_destroy(&p->changed);
	pthread_mutex_destroy(&p->lock);
}

void lsvd_port_enter(struct port *p)
{
	pthread_mutex_lock(&p->lock);
}

void lsvd_port_start(struct port *p, struct io *io)
{
	io->port = p;
	io->err = 0;
	p->in_world++;
	list_add_tail(&p->out, &io->link);
}

void lsvd_port_call(struct port *p, struct call *call)
{
	list_add_tail(&p->calls, &call->link);
}

void lsvd_port_changed(struct port *p)
{
	if (p->waiters)
		p->world->wait->wake(p->world, p);
}

static void hand_to_world(struct world *w, struct io *io, bool may_wait)
{
	if (io->prepare)
		io->prepare(io);
	switch (io->kind) {
	case IO_FILE_READ:
	case IO_FILE_WRITE:
	case IO_FILE_SYNC:
		w->file->start(lsvd_container_of(io, struct file_io, io), may_wait);
		break;
	case IO_PUT:
	case IO_GET:
	case IO_HEAD:
	case IO_LIST:
	case IO_REMOVE:
		w->obj->start(w, lsvd_container_of(io, struct obj_io, io), may_wait);
		break;
	case IO_JOB:
		w->cpu->start(w, lsvd_container_of(io, struct job_io, io));
		break;
	case IO_TIMER:
		w->clk->start(w, lsvd_container_of(io, struct timer_io, io));
		break;
	case IO_OTHER:
		lsvd_container_of(io, struct other_io, io)->start(
			lsvd_container_of(io, struct other_io, io));
		break;
	case IO_STEP:
		lsvd_port_finish(io);
		break;
	}
}

/* lock held */
static void take_up_ended(struct port *p, struct list *ended)
{
	struct list *node;

	if (list_empty(ended))
		return;
	while ((node = list_pop(ended))) {
		struct io *io = list_entry(node, struct io, link);

		p->in_world--;
		io->done(io);
	}
	lsvd_port_changed(p);
}

static void make_calls(struct list *calls)
{
	struct list *node;

	while ((node = list_pop(calls))) {
		struct call *call = list_entry(node, struct call, link);

		call->fn(call);
	}
}

static bool is_set(const struct event *event)
{
	return __atomic_load_n(&event->state, __ATOMIC_ACQUIRE) == EVENT_SET;
}

/*
 * lock held on entry and on return, given up in between. A request may be slow on this thread
 * only if nothing else waits for the thread: several go to the world's threads, and the last is
 * done here, unless what the thread came for (`until`, may be NULL) has happened.
 */
static void run_loop(struct port *p, bool may_wait, const struct event *until)
{
	struct loop loop = { .port = p, .ended = LIST_INIT(loop.ended), .outer = current };
	struct list out = LIST_INIT(out), calls = LIST_INIT(calls), *node;

	current = &loop;
	p->loops++;
	while (!list_empty(&p->out) || !list_empty(&p->calls)) {
		list_splice_tail(&out, &p->out);
		list_splice_tail(&calls, &p->calls);
		pthread_mutex_unlock(&p->lock);
		while ((node = list_pop(&out))) {
			bool last = list_empty(&out) && list_empty(&calls) &&
				    list_empty(&loop.ended);
			bool free = may_wait && !(until && is_set(until));

			hand_to_world(p->world, list_entry(node, struct io, link), free && last);
		}
		make_calls(&calls);
		pthread_mutex_lock(&p->lock);
		take_up_ended(p, &loop.ended);
	}
	p->loops--;
	if (p->loops == 0 && p->ending)
		lsvd_port_changed(p);
	current = loop.outer;
}

void lsvd_port_leave(struct port *p, bool may_wait)
{
	if (!loop_of(p))
		run_loop(p, may_wait, NULL);
	pthread_mutex_unlock(&p->lock);
}

void lsvd_port_finish(struct io *io)
{
	struct port *p = io->port;
	struct loop *l = loop_of(p);

	if (io->conclude)
		io->conclude(io);
	if (l) {
		list_add_tail(&l->ended, &io->link);
		return;
	}
	lsvd_port_enter(p);
	p->in_world--;
	io->done(io);
	lsvd_port_changed(p);
	lsvd_port_leave(p, false);
}

void lsvd_port_wait(struct port *p)
{
	if (!list_empty(&p->out) || !list_empty(&p->calls)) {
		run_loop(p, true, NULL);
		return; /* things have happened: look at the condition before sleeping */
	}
	p->waiters++;
	p->world->wait->wait(p->world, p);
	p->waiters--;
	if (p->ending)
		lsvd_port_changed(p);
}

void lsvd_port_leave_until(struct port *p, struct event *event)
{
	struct world *w = p->world;

	if (!list_empty(&p->out) || !list_empty(&p->calls))
		run_loop(p, true, event);
	pthread_mutex_unlock(&p->lock);
	if (!is_set(event))
		w->wait->wait_event(w, p, event);
}

void lsvd_port_set_event(struct port *p, struct event *event)
{
	if (__atomic_exchange_n(&event->state, EVENT_SET, __ATOMIC_ACQ_REL) == EVENT_AWAITED)
		p->world->wait->wake_event(p->world, p, event);
}

/* What lsvd_port_run() waits for, and the text of the first failure, taken where it happened. */
struct run {
	struct io **ios;
	unsigned left;
	unsigned failed;             /* index of the first one that failed so far */
	char text[512];
};

static void count_down(struct io *io)
{
	struct run *r = io->owner;

	r->left--;
	for (unsigned i = 0; io->err < 0 && i < r->failed; i++)
		if (r->ios[i] == io) {
			r->failed = i;
			(void)snprintf(r->text, sizeof r->text, "%s", lsvd_last_error());
		}
}

int lsvd_port_run(struct port *p, struct io **ios, unsigned n)
{
	struct run r = { .ios = ios, .left = n, .failed = n };

	lsvd_port_enter(p);
	for (unsigned i = 0; i < n; i++) {
		ios[i]->owner = &r;
		ios[i]->done = count_down;
		lsvd_port_start(p, ios[i]);
	}
	while (r.left)
		lsvd_port_wait(p);
	lsvd_port_leave(p, true);
	if (r.failed == n)
		return 0;
	lsvd_error_restore(r.text);
	return ios[r.failed]->err;
}

int lsvd_port_run1(struct port *p, struct io *io)
{
	return lsvd_port_run(p, &io, 1);
}

void lsvd_port_pause(struct port *p, uint64_t ms)
{
	struct world *w = p->world;
	struct timer_io timer = { .io = { .kind = IO_TIMER }, .at_ms = w->clk->now_ms(w) + ms };

	(void)lsvd_port_run1(p, &timer.io); /* a timer cannot fail; early would do as well */
}

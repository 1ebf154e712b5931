/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * clk_real.c - the system's clocks, and timers ended by one thread.
 *
 * A timer is in one of four states, which io.err and the list it is in tell apart, under the
 * clock's lock: on its way here (err 0, or -ECANCELED if it was canceled before it came), armed
 * (err ARMED, in c->armed), ripe (err final, in c->ripe), ended. Its owner cancels with the
 * port's lock held, hence never a timer whose done has run; and lsvd_port_finish() is called
 * without our lock, since it takes the port's.
 */
#include "io/real.h"

#include <errno.h>
#include <time.h>

#include "base/err.h"
#include "io/port.h"

#define ARMED 1

static uint64_t now_ms(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts); /* cannot fail: every system has it */
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

static struct timer_io *first_armed(struct clock *c)
{
	return list_empty(&c->armed) ? NULL : list_first(&c->armed, struct timer_io, io.link);
}

static void collect_ripe_locked(struct clock *c)
{
	uint64_t now = now_ms();
	struct timer_io *t;

	while ((t = first_armed(c)) && t->at_ms <= now) {
		list_del(&t->io.link);
		t->io.err = 0;
		list_add_tail(&c->ripe, &t->io.link);
	}
}

/* Waits for the first timer, or for a change. */
static void doze_locked(struct clock *c)
{
	struct timer_io *t = first_armed(c);
	struct timespec ts;

	if (!t || t->at_ms / 1000 > INT64_MAX / 2) {
		pthread_cond_wait(&c->changed, &c->lock);
		return;
	}
	ts.tv_sec = (time_t)(t->at_ms / 1000);
	ts.tv_nsec = (long)(t->at_ms % 1000) * 1000000;
	/* Why it returns does not matter: the caller looks at the clock. */
	(void)pthread_cond_timedwait(&c->changed, &c->lock, &ts);
}

static void *tick(void *arg)
{
	struct clock *c = arg;
	struct list *node;

	pthread_mutex_lock(&c->lock);
	while (!c->ending) {
		collect_ripe_locked(c);
		node = list_pop(&c->ripe);
		if (!node) {
			doze_locked(c);
			continue;
		}
		pthread_mutex_unlock(&c->lock);
		lsvd_port_finish(list_entry(node, struct io, link));
		pthread_mutex_lock(&c->lock);
	}
	pthread_mutex_unlock(&c->lock);
	return NULL;
}

static int init_changed(struct clock *c)
{
	pthread_condattr_t attr;
	int err;

	err = pthread_condattr_init(&attr);
	if (err)
		return -err;
	err = pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	if (!err)
		err = pthread_cond_init(&c->changed, &attr);
	(void)pthread_condattr_destroy(&attr);
	return -err;
}

int lsvd_clock_init(struct clock *c)
{
	int err;

	list_init(&c->armed);
	list_init(&c->ripe);
	c->ending = false;
	err = -pthread_mutex_init(&c->lock, NULL);
	if (err < 0)
		return lsvd_fail_plain(err);
	err = init_changed(c);
	if (err < 0)
		goto fail_lock;
	err = lsvd_thread_start(&c->thread, "lsvd-clock", tick, c);
	if (err < 0)
		goto fail_changed;
	return 0;
fail_changed:
	(void)pthread_cond_destroy(&c->changed);
fail_lock:
	(void)pthread_mutex_destroy(&c->lock);
	return lsvd_fail(err, "thread lsvd-clock: %s", lsvd_strerror(err));
}

void lsvd_clock_fini(struct clock *c)
{
	pthread_mutex_lock(&c->lock);
	c->ending = true;
	pthread_cond_signal(&c->changed);
	pthread_mutex_unlock(&c->lock);
	(void)pthread_join(c->thread, NULL); /* ours, joinable, joined once */
	(void)pthread_cond_destroy(&c->changed);
	(void)pthread_mutex_destroy(&c->lock);
}

/* Most timers are set later than those before them: the place is sought from the end. */
static void arm_locked(struct clock *c, struct timer_io *t)
{
	struct list *at = c->armed.prev;

	while (at != &c->armed && list_entry(at, struct timer_io, io.link)->at_ms > t->at_ms)
		at = at->prev;
	t->io.err = ARMED;
	list_add_tail(at->next, &t->io.link);
	if (at == &c->armed)
		pthread_cond_signal(&c->changed);
}

static uint64_t clk_now_ms(struct world *w)
{
	(void)w;
	return now_ms();
}

static int64_t clk_wall_ms(struct world *w)
{
	struct timespec ts;

	(void)w;
	(void)clock_gettime(CLOCK_REALTIME, &ts); /* cannot fail: every system has it */
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static void clk_start(struct world *w, struct timer_io *t)
{
	struct clock *c = &real_world_of(w)->clock;
	bool over;

	pthread_mutex_lock(&c->lock);
	over = t->io.err == -ECANCELED || t->at_ms <= now_ms();
	if (!over)
		arm_locked(c, t);
	pthread_mutex_unlock(&c->lock);
	if (over)
		lsvd_port_finish(&t->io);
}

static void clk_cancel(struct world *w, struct timer_io *t)
{
	struct clock *c = &real_world_of(w)->clock;

	pthread_mutex_lock(&c->lock);
	if (t->io.err == ARMED) {
		list_del(&t->io.link);
		list_add_tail(&c->ripe, &t->io.link);
		pthread_cond_signal(&c->changed);
	}
	t->io.err = -ECANCELED; /* else it is on its way here, or on its way back */
	pthread_mutex_unlock(&c->lock);
}

const struct clk_ops lsvd_clk_ops_real = {
	.now_ms = clk_now_ms,
	.wall_ms = clk_wall_ms,
	.start = clk_start,
	.cancel = clk_cancel,
};

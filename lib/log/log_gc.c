/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * log_gc.c - rounds of garbage collection, one at a time, by hand or by themselves.
 *
 * What a round is to do is chosen when it begins, from what there is then. A round that fails is
 * counted; the automatic machine tries again after a pause, and who runs it by hand is told. Pauses
 * grow from failure to failure, and are cut by chance: a round begins with several requests at
 * once, and nobody waits for it while the store is away.
 */
#include "log/log_gc.h"

#include <assert.h>
#include <errno.h>

#include "base/alloc.h"
#include "base/bytes.h"
#include "base/err.h"

#define AGAIN_MS 1000u     /* after a failure, or when there was nothing to choose */
#define AGAIN_MAX_MS 30000u /* after many */

static uint64_t now(const struct log_gc *gc)
{
	return gc->port->world->clk->now_ms(gc->port->world);
}

void lsvd_gc_init(struct log_gc *gc, struct port *port, const struct log_gc_options *options,
		  const struct log_gc_ops *ops, void *ctx)
{
	*gc = (struct log_gc){ .port = port, .ops = ops, .ctx = ctx, .options = *options };
}

/* ------------------------------------------------------------------------------------- the pace */

static double amplification(const struct gc_sums *s)
{
	return s->live > 0 ? s->data / s->live : 1;
}

/* Over the target by this share. */
static double excess(const struct log_gc *gc, const struct gc_sums *s)
{
	return amplification(s) / gc->options.policy.target - 1;
}

/* When the next round may begin, so that the pace is kept. */
static void pace(struct log_gc *gc)
{
	struct gc_sums s;
	double over, rate;

	gc->ops->sums(gc->ctx, &s);
	over = excess(gc, &s);
	gc->not_before_ms = 0;
	if (!gc->options.rate || s.pressed || over >= GC_URGENT)
		return;
	rate = (double)gc->options.rate * (1 + (over > 0 ? 3 * over / GC_URGENT : 0));
	gc->not_before_ms = lsvd_gc_due(gc->pass.began_ms, gc->pass.copied, rate);
}

static void timer_due(struct io *io);

/* Wakes at `at_ms`, or earlier if an earlier time was asked for already. */
static void arm(struct log_gc *gc, uint64_t at_ms)
{
	if (gc->stopped || (gc->timer_set && gc->timer_ms <= at_ms))
		return;
	gc->timer_ms = at_ms;
	if (gc->timer_set) { /* comes back soon, and what is asked for then is armed */
		gc->port->world->clk->cancel(gc->port->world, &gc->timer);
		return;
	}
	gc->timer_set = true;
	gc->timer.io = (struct io){ .kind = IO_TIMER, .done = timer_due, .owner = gc };
	gc->timer.at_ms = at_ms;
	lsvd_port_start(gc->port, &gc->timer.io);
}

/* -------------------------------------------------------------------------------------- a round */

static void consider(struct log_gc *gc);

/* What is damaged is pinned by now: the next round passes over it. */
static bool is_damage(int err)
{
	return err == LSVD_E_CORRUPT || err == -ENOENT;
}

static bool is_failure(int err)
{
	return err && err != -ECANCELED;
}

/* While space is scarce pauses do not grow: to be late costs more than to ask in vain. */
static void pause_after(struct log_gc *gc, int err)
{
	struct world *w = gc->port->world;
	struct gc_sums s;
	uint32_t chance;

	if (!is_failure(err) || is_damage(err))
		gc->again_ms = 0;
	if (!is_failure(err))
		return;
	gc->ops->sums(gc->ctx, &s);
	gc->again_ms = gc->again_ms && !s.pressed ?
		       (uint32_t)min_u64(2 * (uint64_t)gc->again_ms, AGAIN_MAX_MS) : AGAIN_MS;
	w->rnd->fill(w, &chance, sizeof chance);
	gc->not_before_ms = max_u64(gc->not_before_ms, now(gc) + gc->again_ms / 2 +
				    chance % (gc->again_ms / 2 + 1));
}

static void hand_over(struct log_gc *gc, int err)
{
	gc->by_hand = false;
	gc->cancelled = false;
	gc->err = err;
	lsvd_port_changed(gc->port);
}

static void round_over(struct log_gc *gc)
{
	const bool asked = gc->asked;
	int err = gc->pass.err;

	gc->running = false;
	gc->ops->end_round(gc->ctx);
	gc->rounds++;
	gc->failures += is_failure(err);
	gc->copied += gc->pass.copied;
	pace(gc);
	pause_after(gc, err);
	if (asked && err && !is_damage(err))
		hand_over(gc, err);
	lsvd_port_changed(gc->port);
	consider(gc);
}

/*
 * What can be begun. A survey or move that ends inside its own beginning leaves the
 * rest to this loop.
 */
static void drive(struct log_gc *gc)
{
	enum gc_next next;
	size_t i;

	if (gc->driving)
		return;
	gc->driving = true;
	while ((next = lsvd_gc_pass_next(&gc->pass, &i)) == GC_SURVEY || next == GC_MOVE) {
		if (next == GC_SURVEY)
			gc->ops->survey(gc->ctx, &gc->victims[i]);
		else
			gc->ops->move(gc->ctx);
	}
	gc->driving = false;
	if (next == GC_OVER)
		round_over(gc);
}

void lsvd_gc_surveyed(struct log_gc *gc)
{
	lsvd_gc_pass_surveyed(&gc->pass, 0, 0);
	drive(gc);
}

void lsvd_gc_moved(struct log_gc *gc, int err, uint64_t copied)
{
	lsvd_gc_pass_moved(&gc->pass, err, copied);
	drive(gc);
}

/* 1: a round has begun. 0: there is nothing to choose. */
static int begin(struct log_gc *gc, const struct gc_policy *policy)
{
	const struct gc_limits limits = { .at_once = GC_SURVEYS };
	struct gc_policy p = *policy;
	struct gc_segment *segments = NULL;
	unsigned n = 0;
	int err = gc->ops->describe(gc->ctx, &segments, &n, &p);

	if (!err)
		err = lsvd_gc_choose(segments, n, &p, gc->victims, GC_VICTIMS_MAX);
	lsvd_free(segments);
	if (err <= 0)
		return err;
	gc->victims_sum += (unsigned)err;
	lsvd_gc_pass_begin(&gc->pass, &limits, (size_t)err, now(gc));
	gc->running = true;
	gc->asked = gc->by_hand;
	drive(gc);
	return 1;
}

/* ------------------------------------------------------------------------------------- deciding */

static void consider_hand(struct log_gc *gc)
{
	struct gc_policy p = gc->options.policy;
	int err;

	p.target = gc->hand_target;
	p.stale = gc_stale_of(p.target);
	err = begin(gc, &p);
	if (err <= 0)
		hand_over(gc, err);
}

/* Too much is stored: a round now, or when the pace allows. */
static void consider_space(struct log_gc *gc)
{
	uint64_t t = now(gc);

	if (gc->not_before_ms > t) {
		arm(gc, gc->not_before_ms);
		return;
	}
	if (begin(gc, &gc->options.policy) <= 0)
		/* for the next poke: no use in asking each time */
		gc->not_before_ms = t + AGAIN_MS;
}

/* Nobody writes: what has little in it is packed. */
static void consider_packing(struct log_gc *gc, uint64_t write_ms)
{
	struct gc_policy p = gc->options.policy;
	uint64_t due = write_ms + gc->options.idle_ms, t = now(gc);

	if (!gc->pack_wanted || gc->options.idle_ms == UINT32_MAX)
		return;
	if (t < max_u64(due, gc->not_before_ms)) {
		arm(gc, max_u64(due, gc->not_before_ms));
		return;
	}
	if (gc->ops->idle)
		gc->ops->idle(gc->ctx);
	p.strategy = GC_PACK;
	gc->pack_wanted = begin(gc, &p) > 0;
	gc->packed += gc->pack_wanted;
}

static void consider(struct log_gc *gc)
{
	struct gc_sums s;

	if (gc->by_hand && gc->cancelled && !(gc->running && gc->asked))
		hand_over(gc, -ECANCELED);
	if (gc->running)
		return;
	if (gc->stopped || gc->paused)
		return;
	if (gc->by_hand) {
		consider_hand(gc);
		return;
	}
	if (!gc->options.automatic)
		return;
	gc->ops->sums(gc->ctx, &s);
	if (s.pressed || excess(gc, &s) > 0)
		consider_space(gc);
	if (!gc->running)
		consider_packing(gc, s.write_ms);
}

static void timer_due(struct io *io)
{
	struct log_gc *gc = io->owner;

	gc->timer_set = false; /* also if it was cancelled, for an earlier one */
	consider(gc);
}

void lsvd_gc_poke(struct log_gc *gc)
{
	gc->pack_wanted = true;
	consider(gc);
}

void lsvd_gc_run(struct log_gc *gc, double target)
{
	assert(!gc->by_hand);
	gc->by_hand = true;
	gc->cancelled = false;
	gc->hand_target = target;
	gc->err = 0;
	consider(gc);
}

void lsvd_gc_pause(struct log_gc *gc, bool paused)
{
	gc->paused = paused;
	consider(gc);
}

void lsvd_gc_cancel(struct log_gc *gc)
{
	gc->cancelled = gc->by_hand;
	if (gc->running && gc->asked)
		lsvd_gc_pass_cancel(&gc->pass);
	consider(gc);
}

void lsvd_gc_stop(struct log_gc *gc)
{
	gc->stopped = true;
	lsvd_gc_pass_cancel(&gc->pass);
	if (gc->timer_set)
		gc->port->world->clk->cancel(gc->port->world, &gc->timer);
}

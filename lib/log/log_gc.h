/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * log_gc.h - garbage collection that goes on by itself: when, of which segments, and how fast.
 *
 * It knows segments by their numbers and sums (gc_choose.h), not what is in them, nor how it is
 * copied. Its owner, a volume, has these parts. How it is used:
 *
 *   lsvd_gc_init()         once, with the owner's callbacks and a policy
 *   lsvd_gc_poke()         whenever there may be more garbage: a segment was stored, a snapshot
 *                          went, and once when all that describe() needs is there
 *   lsvd_gc_run()          by hand: until a target is reached
 *   lsvd_gc_stop()         before the end
 *
 * A round: the machine asks ops->describe() for what there is, chooses, and goes through the
 * victims in one pass (gc_pass.h), several at a time, with ops->survey(): the owner reads the
 * list of records of that segment and asks its index for each of them *is it alive, here*. Then
 * ops->move(): the owner reads what is alive, writes it anew, publishes that, and *relocates*
 * each record in its index by compare-and-swap: only where the index still has the old address;
 * what changed meanwhile stays what it is. Both end by a call, at once or later, with the lock
 * held. A victim in which nothing is alive any more the owner retires by its own rules; the
 * machine is told by nothing but the next describe().
 *
 *   idle -> running (one pass) -> idle     after it the pace decides about the next
 *
 * Automatic: begins when more than `target` is stored for each byte that is alive, and ends when no
 * more is. Between rounds it waits so that `rate` bytes a second are copied, more the further the
 * target is exceeded, and not at all from GC_URGENT over it or while space is scarce
 * (gc_sums.pressed). When nothing has been written for idle_ms, segments with little in them are
 * packed together. Nothing is armed while there is nothing to do.
 *
 * Threads: everything with the port's lock held; callbacks are made with it held.
 */
#ifndef LOG_LOG_GC_H
#define LOG_LOG_GC_H

#include "io/port.h"
#include "log/gc_choose.h"
#include "log/gc_pass.h"

#define GC_VICTIMS_MAX 64u
#define GC_SURVEYS 8u      /* at once */
#define GC_URGENT 0.04     /* so far over the target nothing is waited for */

struct log_gc;

/* What is cheap to know. */
struct gc_sums {
	double data, live;     /* bytes, of segments of which something is alive */
	uint64_t write_ms;     /* when a user last wrote, by the monotonic clock */
	bool pressed;          /* space is scarce: faster than the rate */
};

struct log_gc_ops {
	void (*sums)(void *ctx, struct gc_sums *ret);
	/*
	 * All segments, allocated with lsvd_malloc(), and in the policy what time it is. -ENOMEM;
	 * -EBUSY: nothing can be collected now, a poke follows when it can.
	 */
	int (*describe)(void *ctx, struct gc_segment **ret, unsigned *n, struct gc_policy *policy);
	/*
	 * Begins with a victim; ends with lsvd_gc_surveyed(). One that is damaged the owner pins,
	 * and reports: the round goes on without it.
	 */
	void (*survey)(void *ctx, const struct gc_choice *victim);
	/* Begins with what the surveys found; ends with lsvd_gc_moved(). */
	void (*move)(void *ctx);
	/* The round is over, however: what surveys and move have allocated. */
	void (*end_round)(void *ctx);
	/*
	 * Nothing has been written for idle_ms; what has little in it is packed after
	 * this. May be NULL.
	 */
	void (*idle)(void *ctx);
};

struct log_gc_options {
	bool automatic;
	struct gc_policy policy; /* strategy, stale, target, budget */
	uint64_t rate;           /* bytes a second that are copied; 0: as many as possible */
	uint32_t idle_ms;        /* UINT32_MAX: nothing is packed */
};

struct log_gc {
	struct port *port;
	const struct log_gc_ops *ops;
	void *ctx;
	struct log_gc_options options;

	bool running;            /* a round, */
	bool asked;              /* of the run by hand */
	bool paused, stopped;
	bool cancelled;          /* what is under way by hand is to end */
	bool by_hand;            /* lsvd_gc_run() waits */
	double hand_target;
	int err;                 /* what the last run by hand ended with */

	struct gc_choice victims[GC_VICTIMS_MAX];
	struct gc_pass pass;     /* over them */
	bool driving;            /* in the loop that asks it what is next */
	uint64_t not_before_ms;
	uint32_t again_ms;       /* the pause after the last failure; 0: none has been */
	bool pack_wanted;
	struct timer_io timer;
	bool timer_set;
	uint64_t timer_ms;       /* when it is to come: sooner than armed for, if cancelled */

	uint64_t rounds, failures, victims_sum, copied, packed; /* counters */
};

void lsvd_gc_init(struct log_gc *gc, struct port *port, const struct log_gc_options *options,
		  const struct log_gc_ops *ops, void *ctx);
/* There may be something to do. */
void lsvd_gc_poke(struct log_gc *gc);
/*
 * Rounds one after the other until the target is reached, nothing is left to choose, one fails, or
 * it is cancelled (gc->err is -ECANCELED): gc->by_hand is false then, and the port has changed. Not
 * while gc->by_hand.
 */
void lsvd_gc_run(struct log_gc *gc, double target);
/* No round is begun until it is resumed; the one on its way ends. */
void lsvd_gc_pause(struct log_gc *gc, bool paused);
/* What runs by hand ends after what is under way of it; a round that began by itself goes on. */
void lsvd_gc_cancel(struct log_gc *gc);
/* Nothing is begun any more. To be called until nothing of it is in the world: timers come back. */
void lsvd_gc_stop(struct log_gc *gc);

/* The owner's answers. */
void lsvd_gc_surveyed(struct log_gc *gc);
void lsvd_gc_moved(struct log_gc *gc, int err, uint64_t copied_bytes);

#endif

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * gc_pass.h - a pass of garbage collection over chosen segments: what is to be done next.
 *
 * Volumes and value logs collect in the same way: a victim is *surveyed*, which says what of it
 * lives and gathers that; when enough has been gathered it is *moved*: written, published, and each
 * record relocated. One round is some surveys and a move; a pass has as many as it takes. How many
 * surveys are under way at once, when a round is full, when the pass has copied enough, when it is
 * given up, and how fast it may go is decided here, for both. It is pure: no I/O, no lock, no
 * clock.
 *
 *   lsvd_gc_pass_begin()      with the number of victims and the limits
 *   lsvd_gc_pass_next()       again and again:
 *      GC_SURVEY              begin with victim *ret_index; ends with lsvd_gc_pass_surveyed()
 *      GC_MOVE                begin to move what has been gathered; ends with lsvd_gc_pass_moved()
 *      GC_WAIT                something has to end first
 *      GC_OVER                pass->err says how
 *
 * Who drives it: log_gc.c from callbacks with the port's lock held, for a volume, with timers
 * between passes; vlog_gc.c on the thread that called, which is where a program's index wants to be
 * asked.
 */
#ifndef LOG_GC_PASS_H
#define LOG_GC_PASS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct gc_limits {
	unsigned at_once;        /* surveys, 1 … */
	uint64_t round_bytes;    /* gathered, with which a round is full;
				  * 0: all victims are one round */
	uint64_t bytes;          /* gathered in all, with which it is enough; 0: all victims */
};

struct gc_pass {
	struct gc_limits limits;
	uint64_t began_ms;
	size_t count, next;      /* victims; those up to `next` have been begun with */
	unsigned out;            /* surveys under way, */
	bool moving;             /* or a move */
	bool open;               /* something has been surveyed that is not moved */
	bool cancelled;
	uint64_t gathered;       /* bytes, by this round */
	uint64_t copied;         /* by the rounds that are over */
	int err;                 /* of a survey or a move: it ends the pass */
};

enum gc_next { GC_SURVEY, GC_MOVE, GC_WAIT, GC_OVER };

void lsvd_gc_pass_begin(struct gc_pass *p, const struct gc_limits *limits, size_t victims,
			uint64_t now_ms);
enum gc_next lsvd_gc_pass_next(struct gc_pass *p, size_t *ret_index);
/* With so many bytes to be moved, as far as the limits are to count them. */
void lsvd_gc_pass_surveyed(struct gc_pass *p, int err, uint64_t gathered);
void lsvd_gc_pass_moved(struct gc_pass *p, int err, uint64_t copied);
/* What is under way ends; then it is over, with -ECANCELED unless all had been done. */
void lsvd_gc_pass_cancel(struct gc_pass *p);

/* When work of so many bytes that began at began_ms may be over, at `rate` bytes a second. */
uint64_t lsvd_gc_due(uint64_t began_ms, uint64_t bytes, double rate);

#endif

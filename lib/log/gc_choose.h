/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * gc_choose.h - which segments to collect, and with which others their live data belongs.
 *
 * Strategies over what is known of segments, whatever is in them: blocks of a volume, values of a
 * log. All of them copy what lives in the chosen segments elsewhere, so that these are dead; they
 * differ in which they choose and in how long they go on.
 *
 *   stale         those of which at least a share is dead, the most dead first
 *   space         the most dead first, until what is stored is at most so many times what lives
 *   cost-benefit  until the same; but of two that are equally dead the older one, for what has
 *                 lived long will go on to, while in the younger one more will have died in a
 *                 moment. A segment is as old as itself, not as its data
 *   pack          those with little in them, dead or not, the least first, so that few are left of
 *                 many
 *   every         all that are described and not pinned, in that order: for who has chosen already
 *
 * Streams (in the manner of SepBIT). What is in one segment is best when it dies together, or not
 * at all. So what users write is kept apart, if that is asked for, by how long that lived which it
 * replaces, hot and cold; and what was collected by its age, but for what comes out of hot
 * segments, which is most likely to die soon. How old is old follows from how long hot segments
 * lived until they were dead or collected.
 *
 * Pure but for memory: no I/O, no locks. Time is whatever the caller counts in, say bytes written.
 */
#ifndef LOG_GC_CHOOSE_H
#define LOG_GC_CHOOSE_H

#include <stdbool.h>
#include <stdint.h>

/* Streams that data is sorted into. */
enum gc_class {
	GC_HOT,                /* written by users over what was young, */
	GC_COLD,               /* over what was old */
	GC_OF_HOT,             /* collected out of hot ones */
	GC_YOUNG, GC_OLD, GC_OLDEST, /* out of all others, by age */
	GC_CLASSES,
};

struct gc_segment {
	uint64_t id;
	uint64_t data;         /* bytes that it was made with, */
	uint64_t live;         /* and of these those that are referred to */
	uint64_t sealed;       /* when it was made */
	uint64_t written;      /* when the newest of its data was written by a user */
	uint8_t class;         /* enum gc_class: the stream it is part of */
	bool pinned;           /* not to be touched: read, damaged, still being written,
				* a snapshot's */
};

enum gc_strategy {
	GC_STALE,
	GC_SPACE,
	GC_COST_BENEFIT,
	GC_PACK,
	GC_EVERY,
};

struct gc_policy {
	enum gc_strategy strategy;
	double stale;          /* GC_STALE: the least share that is dead, 0 … 1 */
	double target;         /* GC_SPACE, GC_COST_BENEFIT: data stored for each byte that
				* lives, 1 … */
	uint64_t budget;       /* live bytes to be copied, at most; one segment is always allowed */
	uint64_t now;
	uint64_t lifespan;     /* of hot segments, as gc_lifespan() has it; 0: not known */
};

struct gc_choice {
	uint64_t id;
	uint8_t class;         /* the stream its live data goes to, GC_OF_HOT … */
};

/*
 * The best first, at most `room` of them; what is entirely dead is not among them, since there is
 * nothing to copy. The number chosen, or -ENOMEM.
 */
int lsvd_gc_choose(const struct gc_segment *segments, unsigned n, const struct gc_policy *policy,
		   struct gc_choice *ret, unsigned room);

/*
 * How much is stored for each byte that lives; 1 if nothing does.
 * What is entirely dead is left out.
 */
double lsvd_gc_amplification(const struct gc_segment *segments, unsigned n);

/* The share of a segment that is dead when what is stored is `target` times what lives in it. */
static inline double gc_stale_of(double target)
{
	return 1 - 1 / target;
}

/*
 * The stream of what a user writes over data that was written at `written`; hot while nobody knows.
 */
static inline uint8_t gc_user_class(uint64_t now, uint64_t written, uint64_t lifespan)
{
	return !lifespan || now - written < lifespan ? GC_HOT : GC_COLD;
}

/* The running mean of how long hot segments lived, with one more. */
static inline uint64_t gc_lifespan(uint64_t mean, uint64_t lived)
{
	return mean ? mean - mean / 16 + lived / 16 : lived;
}

#endif

/* SPDX-License-Identifier: BSD-2-Clause */
/* gc_pass.c - surveys, moves, and when there have been enough of them (gc_pass.h). */
#include "log/gc_pass.h"

#include <assert.h>
#include <errno.h>

void lsvd_gc_pass_begin(struct gc_pass *p, const struct gc_limits *limits, size_t victims,
			uint64_t now_ms)
{
	assert(limits->at_once);
	*p = (struct gc_pass){ .limits = *limits, .began_ms = now_ms, .count = victims };
}

/* A limit that is passed is passed by one victim at most, so that there is always some progress. */
static bool is_enough(const struct gc_pass *p)
{
	return p->limits.bytes && p->copied + p->gathered >= p->limits.bytes;
}

static bool is_full(const struct gc_pass *p)
{
	return p->limits.round_bytes && p->gathered >= p->limits.round_bytes;
}

enum gc_next lsvd_gc_pass_next(struct gc_pass *p, size_t *ret_index)
{
	bool all = p->next == p->count || is_enough(p);

	if (p->moving)
		return GC_WAIT;
	if (p->cancelled && !p->err && (p->open || !all))
		p->err = -ECANCELED;
	if (!p->err && !all && !is_full(p) && p->out < p->limits.at_once) {
		p->out++;
		p->open = true;
		*ret_index = p->next++;
		return GC_SURVEY;
	}
	if (p->out)
		return GC_WAIT;
	if (p->err || !p->open)
		return GC_OVER;
	p->moving = true;
	return GC_MOVE;
}

void lsvd_gc_pass_surveyed(struct gc_pass *p, int err, uint64_t gathered)
{
	assert(p->out);
	p->out--;
	p->gathered += gathered;
	if (!p->err)
		p->err = err;
}

void lsvd_gc_pass_moved(struct gc_pass *p, int err, uint64_t copied)
{
	assert(p->moving);
	p->moving = p->open = false;
	p->copied += copied;
	p->gathered = 0;
	if (!p->err)
		p->err = err;
}

void lsvd_gc_pass_cancel(struct gc_pass *p)
{
	p->cancelled = true;
}

uint64_t lsvd_gc_due(uint64_t began_ms, uint64_t bytes, double rate)
{
	return began_ms + (uint64_t)((double)bytes * 1000 / rate);
}

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * gc_choose.c - segments by how much is gained by collecting them.
 *
 * With u the share of a segment that lives, collecting it frees 1 - u and costs u, to be read and
 * written. The score of the strategies stale and space is 1 - u. That of cost-benefit is
 * (1 - u) / (1 + u) * sqrt(age), of which the square orders just as well. The classic one of
 * log-structured file systems has the age itself, and collects what is old while most of it lives:
 * with a few very hot blocks and very many that are hardly written that costs more than it saves
 * (docs/adr/0039). To be packed are segments of which an eighth of half a budget is alive, or less,
 * if there are PACK_LEAST of them.
 */
#include "log/gc_choose.h"

#include <errno.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/err.h"

#define PACK_SHARE 16u
#define PACK_LEAST 4u

struct candidate {
	double score;
	unsigned index;
};

static bool is_candidate(const struct gc_segment *s, const struct gc_policy *p)
{
	if (s->pinned || s->live == 0)
		return false;
	if (p->strategy == GC_PACK)
		return s->live <= p->budget / PACK_SHARE;
	if (p->strategy == GC_EVERY)
		return true;
	if (s->live >= s->data)
		return false;
	return p->strategy != GC_STALE ||
	       (double)(s->data - s->live) >= p->stale * (double)s->data;
}

static double score(const struct gc_segment *s, const struct gc_policy *p)
{
	double u = (double)s->live / (double)s->data;
	double age = (double)(p->now > s->sealed ? p->now - s->sealed : 0) + 1.0;
	double gain = (1 - u) / (1 + u);

	if (p->strategy == GC_EVERY)
		return 0;
	if (p->strategy == GC_PACK)
		return -(double)s->live;
	return p->strategy == GC_COST_BENEFIT ? gain * gain * age : 1 - u;
}

static int by_score(const void *a, const void *b)
{
	const struct candidate *x = a, *y = b;

	if (x->score != y->score)
		return x->score > y->score ? -1 : 1;
	return x->index < y->index ? -1 : x->index > y->index;
}

static uint8_t class_of(const struct gc_segment *s, const struct gc_policy *p)
{
	uint64_t age = p->now > s->written ? p->now - s->written : 0;

	if (p->strategy == GC_PACK)
		return GC_YOUNG; /* together, or there would be no fewer of them */
	if (p->strategy == GC_EVERY)
		return GC_OLDEST; /* the same */
	if (s->class == GC_HOT)
		return GC_OF_HOT;
	if (!p->lifespan || age < 4 * p->lifespan)
		return GC_YOUNG;
	return age < 16 * p->lifespan ? GC_OLD : GC_OLDEST;
}

struct sums {
	double data, live;
};

static struct sums add_up(const struct gc_segment *segments, unsigned n, bool pinned)
{
	struct sums s = { 0, 0 };

	for (unsigned i = 0; i < n; i++) {
		if (segments[i].pinned && !pinned)
			continue;
		s.data += segments[i].live ? (double)segments[i].data : 0;
		s.live += (double)segments[i].live;
	}
	return s;
}

double lsvd_gc_amplification(const struct gc_segment *segments, unsigned n)
{
	struct sums s = add_up(segments, n, true);

	return s.live > 0 ? s.data / s.live : 1;
}

static bool has_target(enum gc_strategy s)
{
	return s == GC_SPACE || s == GC_COST_BENEFIT;
}

/*
 * Takes candidates from the best on until the policy is content. What is pinned does not count: if
 * it did, all that can be collected would be copied over and over for garbage that cannot.
 */
static unsigned take(const struct candidate *c, unsigned n, const struct gc_segment *segments,
		     unsigned all, const struct gc_policy *p, struct gc_choice *ret, unsigned room)
{
	struct sums s = add_up(segments, all, false);
	uint64_t copied = 0;
	unsigned taken = 0;

	for (unsigned i = 0; i < n && taken < room; i++) {
		const struct gc_segment *g = &segments[c[i].index];

		if (has_target(p->strategy) && s.data <= p->target * s.live)
			break;
		if (taken && g->live > p->budget - copied)
			break;
		ret[taken++] = (struct gc_choice){ g->id, class_of(g, p) };
		s.data -= (double)(g->data - g->live);
		copied += g->live;
		if (copied >= p->budget)
			break;
	}
	return p->strategy == GC_PACK && taken < PACK_LEAST ? 0 : taken;
}

int lsvd_gc_choose(const struct gc_segment *segments, unsigned n, const struct gc_policy *policy,
		   struct gc_choice *ret, unsigned room)
{
	struct candidate *c = lsvd_malloc(n * sizeof *c);
	unsigned count = 0, taken;

	if (!c)
		return lsvd_fail_plain(-ENOMEM);
	for (unsigned i = 0; i < n; i++)
		if (is_candidate(&segments[i], policy))
			c[count++] = (struct candidate){ score(&segments[i], policy), i };
	qsort(c, count, sizeof *c, by_score);
	taken = take(c, count, segments, n, policy, ret, room);
	lsvd_free(c);
	return (int)taken;
}

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vlog_choose.c - which segments a collection takes: the strategies of volumes, some more, the
 * program's.
 *
 * Of what is shared (log/gc_choose.h) only the terms are translated here: what a segment has, what
 * lives, how old it is. There is no budget: limits are the pass's.
 */
#include <errno.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/bytes.h"
#include "base/err.h"
#include "log/gc_choose.h"
#include "vlog/vlog_internal.h"

static uint64_t data_of(const struct lsvd_vlog_segment *s)
{
	return s->raw_bytes ? s->raw_bytes : s->record_bytes;
}

/* Of values without bytes one has to live for the segment not to be entirely stale. */
static uint64_t live_of(const struct lsvd_vlog_segment *s)
{
	uint64_t live = s->raw_bytes ? s->raw_bytes - s->stale_raw_bytes
				     : s->record_bytes - s->stale_bytes;

	return live || s->stale_items == s->items ? live : 1;
}

/* The strategies that volumes have, too. */
static int choose_common(const struct lsvd_vlog_segment *s, size_t n,
			 const struct gc_policy *policy, uint64_t *ids)
{
	struct gc_segment *in = lsvd_calloc(n + 1, sizeof *in);
	struct gc_choice *out = lsvd_calloc(n + 1, sizeof *out);
	int chosen = in && out ? 0 : lsvd_fail_plain(-ENOMEM);

	for (size_t i = 0; i < n && !chosen; i++)
		in[i] = (struct gc_segment){ .id = s[i].id, .data = data_of(&s[i]),
					     .live = live_of(&s[i]), .sealed = s[i].commit,
					     .written = s[i].commit,
					     .pinned = s[i].pins ||
						       s[i].flags & LSVD_VLOG_SEGMENT_DAMAGED };
	if (!chosen)
		chosen = lsvd_gc_choose(in, (unsigned)n, policy, out, (unsigned)n);
	for (int i = 0; i < chosen; i++)
		ids[i] = out[i].id;
	lsvd_free(in);
	lsvd_free(out);
	return chosen;
}

static int by_age(const void *a, const void *b)
{
	const struct lsvd_vlog_segment *x = a, *y = b;

	if (x->commit != y->commit)
		return x->commit < y->commit ? -1 : 1;
	return x->id < y->id ? -1 : x->id > y->id;
}

static int choose_oldest(struct lsvd_vlog_segment *s, size_t n, double share, uint64_t *ids)
{
	size_t most = (size_t)((double)n * share + 0.5);
	int chosen = 0;

	qsort(s, n, sizeof *s, by_age);
	for (size_t i = 0; i < n && i < most; i++)
		if (s[i].stale_items || s[i].flags & LSVD_VLOG_SEGMENT_UNCERTAIN)
			ids[chosen++] = s[i].id;
	return chosen;
}

static int by_number(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

/* Entirely stale ones cost nothing: they are among what any strategy picks. -ENOMEM. */
static int add_stale(const struct lsvd_vlog_segment *s, size_t n, uint64_t *ids, int chosen)
{
	size_t first = (size_t)chosen;
	uint64_t *there = lsvd_calloc(first + 1, sizeof *there);

	if (!there)
		return lsvd_fail_plain(-ENOMEM);
	for (size_t i = 0; i < first; i++)
		there[i] = ids[i];
	qsort(there, first, sizeof *there, by_number);
	for (size_t i = 0; i < n; i++)
		if (s[i].stale_items == s[i].items && !(s[i].flags & LSVD_VLOG_SEGMENT_UNCERTAIN) &&
		    !bsearch(&s[i].id, there, first, sizeof *there, by_number))
			ids[chosen++] = s[i].id;
	lsvd_free(there);
	return chosen;
}

int lsvd_vlog_choose(const struct lsvd_vlog_strategy *st, struct lsvd_vlog_segment *s, size_t n,
		     uint64_t *ids)
{
	struct gc_policy policy = { .stale = st->value, .target = st->value, .budget = UINT64_MAX };
	int chosen;

	for (size_t i = 0; i < n; i++)
		policy.now = max_u64(policy.now, s[i].commit);
	switch (st->kind) {
	case LSVD_VLOG_PICK_STALE:
		policy.strategy = GC_STALE;
		chosen = choose_common(s, n, &policy, ids);
		break;
	case LSVD_VLOG_PICK_SPACE:
		policy.strategy = GC_SPACE;
		chosen = choose_common(s, n, &policy, ids);
		break;
	case LSVD_VLOG_PICK_COST:
		policy.strategy = GC_COST_BENEFIT;
		chosen = choose_common(s, n, &policy, ids);
		break;
	case LSVD_VLOG_PICK_OLDEST:
		chosen = choose_oldest(s, n, st->value, ids);
		break;
	default:
		chosen = st->pick(st->ctx, s, n, ids);
		if (chosen < 0 || (size_t)chosen > n)
			return chosen < 0 ? chosen
					  : lsvd_fail(-EINVAL,
						      "a strategy picked %d of %zu segments",
						      chosen, n);
		break;
	}
	return chosen < 0 ? chosen : add_stale(s, n, ids, chosen);
}

int lsvd_vlog_strategy_check(const struct lsvd_vlog_strategy *st)
{
	bool share = st->kind == LSVD_VLOG_PICK_STALE || st->kind == LSVD_VLOG_PICK_OLDEST;
	bool factor = st->kind == LSVD_VLOG_PICK_SPACE || st->kind == LSVD_VLOG_PICK_COST;

	if (st->kind < LSVD_VLOG_PICK_STALE || st->kind > LSVD_VLOG_PICK_OWN ||
	    (st->kind == LSVD_VLOG_PICK_OWN && !st->pick))
		return lsvd_fail(-EINVAL, "there is no strategy %u, or it has no function",
				 st->kind);
	/* Written so that what is no number does not pass. */
	if ((share && !(st->value >= 0 && st->value <= 1)) || (factor && !(st->value >= 1)))
		return lsvd_fail(-EINVAL, "the strategy's value is %g, must be %s", st->value,
				 share ? "0 to 1" : "1 or more");
	return 0;
}

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vol_gc.c - what the machine of log/log_gc.h asks of a volume: what there is to collect.
 *
 * When, and of which objects, that machine decides. A round of it is the volume's again:
 * vol_gc_survey.c finds what lives in its victims, vol_gc_move.c copies that.
 *
 * By hand other objects are victims, too: those of a clone's ancestors (vol_flatten.c), and those
 * that are not full of what lives, to be packed.
 *
 * What does not verify is never copied: its object is marked, and left alone until the next open.
 * What is entirely dead is not read at all.
 *
 * Time is counted in bytes that users have written and that were stored (volume->written). It is
 * not stored itself: what is there at open is as old as its number says.
 */
#include <errno.h>

#include "base/alloc.h"
#include "base/err.h"
#include "volume/vol_gc_round.h"

#define BUDGET_SEGMENTS 2u
#define BY_HAND_SEGMENTS 4u    /* of what is copied to be together: one of so many is not full */
#define BUDGET_SHARE 4u        /* of the memory for data: a round has no more, if it is more
				* than a segment */
#define BY_HAND_SHARE 2u

static void sums(void *ctx, struct gc_sums *ret)
{
	const struct lsvd_volume *v = ctx;
	const struct object_table *t = &v->objects;

	ret->data = (double)t->data;
	ret->live = (double)t->live;
	ret->write_ms = v->last_write_ms;
	ret->pressed = v->opt.gc_space_bytes && t->data > t->live + v->opt.segment_bytes &&
		       t->bytes + t->meta_bytes > v->opt.gc_space_bytes / 8 * 7;
}

/* If it died now it would stay: copying what lives in it gives nothing back. */
static bool is_kept(const struct lsvd_volume *v, const struct object_entry *e)
{
	return lsvd_snapshots_needing(&v->snapshots, e) != NULL;
}

static bool is_full(const struct lsvd_volume *v, const struct object_entry *e)
{
	return e->live == e->data && e->data >= v->opt.segment_bytes / 4 * 3;
}

bool lsvd_vol_gc_takes(const struct lsvd_volume *v, uint64_t number, const struct object_entry *e,
		       enum gc_scope scope)
{
	if (!lsvd_object_is_data(e) || !e->data || !!e->ancestor != (scope == GC_ANCESTORS))
		return false;
	return scope != GC_NOT_FULL || (number < v->gc_below && !is_full(v, e));
}

static uint64_t budget(const struct lsvd_volume *v, unsigned segments, unsigned share)
{
	uint64_t bytes = min_u64(segments * v->opt.segment_bytes, v->opt.memory_bytes / share);

	return max_u64(bytes, v->opt.segment_bytes);
}

static int describe(void *ctx, struct gc_segment **ret, unsigned *ret_n, struct gc_policy *policy)
{
	struct lsvd_volume *v = ctx;
	const struct object_table *t = &v->objects;
	enum gc_scope scope = v->gc.by_hand ? v->gc_scope : GC_DEAD;
	struct gc_segment *s;
	unsigned n = 0;
	int err = lsvd_vol_refuse_rolling(v);

	if (err)
		return err;
	s = lsvd_malloc(t->used * sizeof *s);
	if (!s)
		return lsvd_fail_plain(-ENOMEM);
	/* Without checkpoints nothing is deleted any more: copies would only be added. */
	for (uint64_t i = lsvd_object_table_next(t, 0);
	     i != UINT64_MAX && !v->checkpoints_off;
	     i = lsvd_object_table_next(t, i + 1)) {
		const struct object_entry *e = lsvd_object_table_get(t, i);
		/* What is half in the map looks dead where it is not in yet. */
		bool pinned = e->damaged || e->died.epoch || i == v->applying_object ||
			      (scope != GC_ANCESTORS && is_kept(v, e));

		if (!lsvd_vol_gc_takes(v, i, e, scope))
			continue;
		s[n++] = (struct gc_segment){ .id = i, .data = e->data, .live = e->live,
					      .sealed = e->sealed, .written = e->written,
					      .class = e->class, .pinned = pinned };
	}
	policy->now = v->written;
	policy->lifespan = v->lifespan;
	if (scope != GC_DEAD) {
		policy->strategy = GC_EVERY;
		policy->budget = budget(v, BY_HAND_SEGMENTS, BY_HAND_SHARE);
	}
	*ret = s;
	*ret_n = n;
	return 0;
}

static void end_round(void *ctx)
{
	lsvd_vol_free_round(ctx);
}

static void idle(void *ctx)
{
	lsvd_vol_release_held(ctx);
}

static const struct log_gc_ops gc_ops = {
	.sums = sums,
	.describe = describe,
	.survey = lsvd_round_survey,
	.move = lsvd_round_move,
	.end_round = end_round,
	.idle = idle,
};

void lsvd_vol_gc_lost(struct lsvd_volume *v, const struct object_entry *e)
{
	if (e && !e->live && e->class == GC_HOT && e->home == HOME_CHAIN)
		v->lifespan = gc_lifespan(v->lifespan, v->written - e->written);
}

void lsvd_vol_gc_poke(struct lsvd_volume *v)
{
	if (v->closing || v->failed)
		return;
	lsvd_vol_release_held(v);
	lsvd_gc_poke(&v->gc);
}

/* Of what is dead: how much may leave after the next checkpoint, as far as it is known here. */
static uint64_t freed_bytes(const struct lsvd_volume *v)
{
	const struct object_table *t = &v->objects;
	uint64_t sum = 0;

	for (uint64_t i = lsvd_object_table_next(t, 0); i != UINT64_MAX;
	     i = lsvd_object_table_next(t, i + 1)) {
		const struct object_entry *e = lsvd_object_table_get(t, i);

		if (e->died.epoch && lsvd_object_is_data(e) && !e->ancestor && !is_kept(v, e))
			sum += e->bytes;
	}
	return sum;
}

/*
 * What died in an earlier open, or was a snapshot's alone: nothing else would ask for a checkpoint.
 */
void lsvd_vol_gc_look(struct lsvd_volume *v)
{
	uint64_t died = v->objects.died_bytes;

	if (!v->gc.options.automatic || v->closing || v->failed)
		return;
	v->died_at_root = died - max_u64(freed_bytes(v), died - v->died_at_root);
	lsvd_vol_maybe_checkpoint(v);
	lsvd_vol_gc_poke(v);
}

/* What was there before is of streams that nobody knows any more, and as old as its number says. */
static void guess_ages(struct lsvd_volume *v)
{
	const struct object_table *t = &v->objects;
	uint64_t last = 0;

	for (uint64_t i = lsvd_object_table_next(t, 0); i != UINT64_MAX;
	     i = lsvd_object_table_next(t, i + 1))
		last = i;
	v->written = max_u64(t->data, v->opt.segment_bytes);
	for (uint64_t i = lsvd_object_table_next(t, 0); i != UINT64_MAX;
	     i = lsvd_object_table_next(t, i + 1)) {
		struct object_entry *e = lsvd_object_table_get(t, i);

		e->class = e->home == HOME_CHAIN ? GC_COLD : GC_YOUNG;
		e->written = (uint64_t)((double)v->written * ((double)i / (double)(last + 1)));
		e->sealed = e->written;
	}
}

static const enum gc_strategy strategy_of[] = {
	[LSVD_GC_COST_BENEFIT] = GC_COST_BENEFIT,
	[LSVD_GC_SPACE] = GC_SPACE,
	[LSVD_GC_STALE] = GC_STALE,
	[LSVD_GC_SEPARATE] = GC_COST_BENEFIT,
};

void lsvd_vol_gc_init(struct lsvd_volume *v)
{
	const struct lsvd_volume_options *o = &v->opt;
	const struct log_gc_options options = {
		.automatic = o->gc == LSVD_GC_AUTO && v->log && !v->readonly && !v->rebuild,
		.policy = { .strategy = strategy_of[o->gc_strategy],
			    .target = o->gc_target_percent / 100.0,
			    .stale = gc_stale_of(o->gc_target_percent / 100.0),
			    .budget = budget(v, BUDGET_SEGMENTS, BUDGET_SHARE) },
		.rate = o->gc_bytes_per_second == UINT64_MAX ? 0 : o->gc_bytes_per_second,
		.idle_ms = o->gc_idle_ms,
	};

	lsvd_port_enter(&v->port);
	lsvd_gc_init(&v->gc, &v->port, &options, &gc_ops, v);
	guess_ages(v);
	v->last_write_ms = lsvd_vol_now(v); /* it has not been idle yet */
	lsvd_port_leave(&v->port, false);
}

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vol_collect.c - garbage collection as users see it: by hand, paused, how it stands.
 *
 * By hand: everything is stored; rounds until the target is reached; a checkpoint; what is dead
 * is deleted. Of the running epoch's chain only what lies before an anchor goes (log_delete.c),
 * so if that holds anything back an anchor is brought about (vol_delete.c), and what is left is
 * deleted. To pack is the same with other victims; to flatten a clone is in vol_flatten.c.
 *
 * One at a time: a second call is refused, so that whoever waits, gives up or has no more time
 * speaks of his own.
 */
#include <lsvd/gc.h>

#include <errno.h>
#include <limits.h>

#include "base/err.h"
#include "base/options.h"
#include "volume/vol_collect.h"
#include "volume/vol_orphans.h"

#define STATUS_FIRST sizeof(struct lsvd_gc_status)
#define COLLECT_FIRST sizeof(struct lsvd_collect_options)
#define FLAGS (LSVD_COLLECT_ORPHANS | LSVD_COLLECT_NO_COPY | LSVD_COLLECT_FLATTEN | \
	       LSVD_COLLECT_PACK)

/* -------------------------------------------------------------------------------- how it stands */

/* Objects in which data lives, and what lives in those that a run by hand copies out of. */
static void count_objects(const struct lsvd_volume *v, struct lsvd_gc_status *s)
{
	const bool counts = v->gc.by_hand && v->gc_scope != GC_DEAD;

	for (uint64_t i = lsvd_object_table_next(&v->objects, 0); i != UINT64_MAX;
	     i = lsvd_object_table_next(&v->objects, i + 1)) {
		const struct object_entry *e = lsvd_object_table_get(&v->objects, i);

		s->data_objects += lsvd_object_is_data(e) && !e->ancestor && e->live;
		if (counts && !e->damaged && lsvd_vol_gc_takes(v, i, e, v->gc_scope))
			s->left_bytes += e->live;
	}
}

static void fill_locked(struct lsvd_volume *v, struct lsvd_gc_status *s)
{
	const struct log_gc *gc = &v->gc;
	const struct object_table *t = &v->objects;

	*s = (struct lsvd_gc_status){
		.flags = (gc->options.automatic ? LSVD_GC_AUTOMATIC : 0) |
			 (gc->running ? LSVD_GC_RUNNING : 0) |
			 (gc->paused ? LSVD_GC_PAUSED : 0) |
			 (v->collect ? LSVD_GC_BY_HAND : 0),
		.target_percent = v->opt.gc_target_percent,
		.rounds = gc->rounds,
		.failed_rounds = gc->failures,
		.packed_rounds = gc->packed,
		.objects = gc->victims_sum,
		.copied_bytes = v->stats.gc_copied_bytes,
		.damaged_objects = v->stats.gc_damaged,
		.deleted_objects = v->stats.deleted_objects,
		.deleted_bytes = v->stats.deleted_bytes,
		.stored_bytes = t->bytes,
		.dead_bytes = t->dead_bytes,
		.data_bytes = t->data,
		.live_bytes = t->live,
		.map_bytes = t->meta_bytes,
		.orphans = v->orphans,
		.orphan_bytes = v->orphan_bytes,
	};
	count_objects(v, s);
}

int lsvd_volume_gc_status(struct lsvd_volume *v, struct lsvd_gc_status *ret)
{
	struct lsvd_gc_status s;

	lsvd_port_enter(&v->port);
	fill_locked(v, &s);
	lsvd_port_leave(&v->port, false);
	return lsvd_options_fill(ret, &s, sizeof s, STATUS_FIRST, "gc status");
}

/* Lock held. */
static void cancel(struct lsvd_volume *v)
{
	if (v->collect)
		v->collect->cancelled = true;
	lsvd_gc_cancel(&v->gc);
	lsvd_port_changed(&v->port);
}

int lsvd_volume_gc_control(struct lsvd_volume *v, uint32_t verb)
{
	if (v->readonly)
		return lsvd_fail(-EROFS, "volume %s is open read-only", v->name);
	if (verb < LSVD_GC_PAUSE || verb > LSVD_GC_CANCEL)
		return lsvd_fail(-EINVAL, "verb is %u, must be %u to %u", verb, LSVD_GC_PAUSE,
				 LSVD_GC_CANCEL);
	lsvd_port_enter(&v->port);
	if (verb == LSVD_GC_CANCEL)
		cancel(v);
	else
		lsvd_gc_pause(&v->gc, verb == LSVD_GC_PAUSE);
	lsvd_port_leave(&v->port, true);
	return 0;
}

/* -------------------------------------------------------------------------------------- by hand */

static int given_up(const struct collect *c)
{
	return lsvd_fail(-ECANCELED, "volume %s: garbage collection: given up", c->v->name);
}

int lsvd_collect_tell(struct collect *c)
{
	struct lsvd_gc_status s;

	if (!c->o.progress)
		return 0;
	lsvd_port_enter(&c->v->port);
	fill_locked(c->v, &s);
	lsvd_port_leave(&c->v->port, false);
	s.size = (uint32_t)sizeof s;
	if (c->o.progress(c->o.ctx, &s) == 0)
		return 0;
	lsvd_port_enter(&c->v->port);
	cancel(c->v);
	lsvd_port_leave(&c->v->port, true);
	return given_up(c);
}

int lsvd_collect_checkpoint(struct collect *c)
{
	int err = lsvd_vol_checkpoint_unless(c->v, c->o.timeout_ms, &c->cancelled);

	return err == -ECANCELED ? given_up(c) : err;
}

int lsvd_collect_wait(struct collect *c, vol_cond_fn holds)
{
	int err = c->cancelled ? 0 : lsvd_vol_wait(c->v, holds, c, c->o.timeout_ms);

	return !err && c->cancelled ? given_up(c) : err;
}

static bool is_over(const struct lsvd_volume *v, const struct collect *c)
{
	return v->failed || v->closing || c->cancelled;
}

static bool nobody_runs(struct lsvd_volume *v, const void *arg)
{
	return is_over(v, arg) || !v->gc.by_hand;
}

static bool run_has_moved(struct lsvd_volume *v, const void *arg)
{
	const struct collect *c = arg;

	return nobody_runs(v, c) || (c->o.progress && v->gc.rounds != c->rounds);
}

/* Lock held: until a round is over, or all of them. */
static int wait_for_round(struct collect *c)
{
	struct lsvd_volume *v = c->v;
	int err = lsvd_collect_wait(c, run_has_moved);

	if (err == -ETIMEDOUT) {
		lsvd_gc_cancel(&v->gc);
		return lsvd_fail(-ETIMEDOUT, "volume %s: garbage collection: not over within %u ms",
				 v->name, c->o.timeout_ms);
	}
	c->rounds = v->gc.rounds;
	return err;
}

static int run_failed(const struct collect *c, int err)
{
	return lsvd_fail(err, "volume %s: garbage collection: %s", c->v->name,
			 err == -EBUSY ? "it is being rolled back" : lsvd_strerror(err));
}

int lsvd_collect_copy(struct collect *c, enum gc_scope scope)
{
	struct lsvd_volume *v = c->v;
	int err;

	lsvd_port_enter(&v->port);
	err = lsvd_collect_wait(c, nobody_runs); /* the last round of one that was given up */
	if (!err) {
		v->gc_scope = scope;
		lsvd_gc_run(&v->gc, c->o.percent / 100.0);
	}
	while (!err && v->gc.by_hand) {
		err = wait_for_round(c);
		lsvd_port_leave(&v->port, true);
		if (!err)
			err = lsvd_collect_tell(c);
		lsvd_port_enter(&v->port);
	}
	if (!err && v->gc.err)
		err = run_failed(c, v->gc.err);
	lsvd_port_leave(&v->port, true);
	return err;
}

/* Are there objects that could be put together? *ret: so many. */
static bool is_loose(struct lsvd_volume *v, unsigned *ret)
{
	bool any_dead = false;
	unsigned n = 0;

	lsvd_port_enter(&v->port);
	v->gc_below = UINT64_MAX;
	for (uint64_t i = lsvd_object_table_next(&v->objects, 0); i != UINT64_MAX;
	     i = lsvd_object_table_next(&v->objects, i + 1)) {
		const struct object_entry *e = lsvd_object_table_get(&v->objects, i);

		if (e->died.epoch || e->damaged || lsvd_snapshots_needing(&v->snapshots, e) ||
		    !lsvd_vol_gc_takes(v, i, e, GC_NOT_FULL))
			continue;
		any_dead = any_dead || e->live < e->data;
		n++;
	}
	v->gc_below = lsvd_log_reserve_object(v->log);
	lsvd_port_leave(&v->port, false);
	*ret = n;
	return n > 1 || any_dead;
}

/*
 * What one round puts together ends with an object that is not full. So it is gone over again as
 * long as that leaves at most half as many of these.
 */
static int pack(struct collect *c)
{
	unsigned loose, before = UINT_MAX;
	int err = 0;

	while (!err && is_loose(c->v, &loose) && loose <= before / 2) {
		before = loose;
		err = lsvd_collect_copy(c, GC_NOT_FULL);
	}
	return err;
}

static bool all_is_deleted(struct lsvd_volume *v, const void *arg)
{
	return is_over(v, arg) || (!v->root_named_by && !v->deletion);
}

static bool anchor_is_there(struct lsvd_volume *v, const void *arg)
{
	return is_over(v, arg) || !v->anchoring;
}

static int delete_dead(struct collect *c)
{
	struct lsvd_volume *v = c->v;
	int err = lsvd_collect_checkpoint(c);

	if (err)
		return err;
	lsvd_port_enter(&v->port);
	err = lsvd_collect_wait(c, all_is_deleted);
	if (!err && lsvd_vol_anchor(v)) {
		err = lsvd_collect_wait(c, anchor_is_there);
		if (!err)
			err = lsvd_collect_wait(c, all_is_deleted);
	}
	lsvd_port_leave(&v->port, true);
	return err;
}

static int copy(struct collect *c)
{
	if (c->o.flags & LSVD_COLLECT_NO_COPY)
		return 0;
	return c->o.flags & LSVD_COLLECT_PACK ? pack(c) : lsvd_collect_copy(c, GC_DEAD);
}

static int collect(struct collect *c)
{
	struct lsvd_volume *v = c->v;
	int err = lsvd_vol_refuse_offline(v, "space is given back");

	if (!err)
		err = lsvd_vol_sync_unless(v, c->o.timeout_ms, &c->cancelled);
	if (err == -ECANCELED)
		return given_up(c);
	if (!err && c->o.flags & LSVD_COLLECT_FLATTEN)
		return lsvd_collect_flatten(c);
	if (!err)
		err = copy(c);
	if (!err)
		err = delete_dead(c);
	if (!err)
		err = lsvd_collect_tell(c);
	if (!err && c->o.flags & LSVD_COLLECT_ORPHANS)
		err = lsvd_vol_remove_orphans(v);
	return err ? err : lsvd_collect_tell(c);
}

static int check_options(struct collect *c, const struct lsvd_collect_options *given)
{
	struct lsvd_volume *v = c->v;
	int err = lsvd_options_copy(&c->o, sizeof c->o, given, COLLECT_FIRST, "collect options");

	if (err)
		return err;
	if (v->readonly)
		return lsvd_fail(-EROFS, "volume %s is open read-only", v->name);
	if (c->o.flags & ~FLAGS)
		return lsvd_fail(-EINVAL, "option flags is %#x, known are %#x", c->o.flags, FLAGS);
	if (c->o.flags & LSVD_COLLECT_FLATTEN && c->o.flags != LSVD_COLLECT_FLATTEN)
		return lsvd_fail(-EINVAL, "option flags is %#x: a clone is flattened, and "
				 "nothing else done", c->o.flags);
	if (c->o.flags & LSVD_COLLECT_PACK && c->o.flags & LSVD_COLLECT_NO_COPY)
		return lsvd_fail(-EINVAL, "option flags is %#x: nothing is packed "
				 "that is not copied", c->o.flags);
	if (!c->o.percent)
		c->o.percent = v->opt.gc_target_percent;
	if (!c->o.timeout_ms)
		c->o.timeout_ms = UINT32_MAX;
	if (c->o.percent < 100 || c->o.percent > 10000)
		return lsvd_fail(-EINVAL, "percent is %u, must be 100 to 10000", c->o.percent);
	return 0;
}

static int take_turn(struct collect *c)
{
	struct lsvd_volume *v = c->v;
	int err = 0;

	lsvd_port_enter(&v->port);
	if (v->collect)
		err = lsvd_fail(-EBUSY, "volume %s: garbage is being collected by hand already",
				v->name);
	else
		v->collect = c;
	lsvd_port_leave(&v->port, false);
	return err;
}

static void end_turn(struct lsvd_volume *v)
{
	lsvd_port_enter(&v->port);
	v->collect = NULL;
	lsvd_port_changed(&v->port); /* a close waits for it */
	lsvd_port_leave(&v->port, true);
}

int lsvd_volume_collect(struct lsvd_volume *v, const struct lsvd_collect_options *options,
			struct lsvd_gc_status *ret)
{
	struct collect c = { .v = v };
	int err = check_options(&c, options);

	if (!err)
		err = lsvd_options_check(ret, STATUS_FIRST, "gc status");
	if (!err)
		err = take_turn(&c);
	if (err)
		return err;
	err = collect(&c);
	if (!err && ret)
		err = lsvd_volume_gc_status(v, ret);
	end_turn(v);
	return err;
}

int lsvd_volume_gc(struct lsvd_volume *v, uint32_t percent, uint32_t timeout_ms)
{
	struct lsvd_collect_options o = LSVD_COLLECT_OPTIONS_INIT;

	o.percent = percent;
	o.timeout_ms = timeout_ms;
	if (!percent)
		return lsvd_fail(-EINVAL, "percent is %u, must be 100 to 10000", percent);
	return lsvd_volume_collect(v, &o, NULL);
}

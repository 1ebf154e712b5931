/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * check_repair.c - a new checkpoint where the old one is damaged or gone.
 *
 * First a check says that nothing else is wrong, and what the old table of objects said, if that is
 * whole. Then the volume is opened read-only on the chain alone, to see whether the map that comes
 * of it is certain. Only then it is taken over, as by any writer, and a checkpoint put. Nothing is
 * overwritten or deleted; what is left of the old checkpoint becomes an orphan.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/err.h"
#include "base/options.h"
#include "volume/vol_check.h"
#include "volume/vol_rebuild.h"

/* ------------------------------------------------------------------------------- is it certain? */

static int add_live(struct rebuild *r, uint64_t number, uint32_t live)
{
	if (r->count == r->room) {
		uint64_t room = r->room ? r->room * 2 : 256;
		struct rebuild_live *lives = lsvd_realloc(r->lives, room * sizeof *lives);

		if (!lives)
			return lsvd_fail_plain(-ENOMEM);
		r->lives = lives;
		r->room = room;
	}
	r->lives[r->count++] = (struct rebuild_live){ number, live };
	return 0;
}

int lsvd_rebuild_note(struct rebuild *r, const struct object_table *t, struct place at)
{
	int err = 0;

	for (uint64_t n = lsvd_object_table_next(t, 0); n != UINT64_MAX && !err;
	     n = lsvd_object_table_next(t, n + 1)) {
		const struct object_entry *e = lsvd_object_table_get(t, n);

		if (lsvd_object_is_data(e) && e->live)
			err = add_live(r, n, e->live);
	}
	r->at = at;
	r->known = !err;
	return err;
}

void lsvd_rebuild_fini(struct rebuild *r)
{
	lsvd_free(r->lives);
	r->lives = NULL;
	r->count = r->room = 0;
}

LSVD_PRINTF(2, 3) static void doubt(struct rebuild *r, const char *format, ...)
{
	va_list ap;

	if (r->doubtful)
		return;
	r->doubtful = true;
	va_start(ap, format);
	(void)vsnprintf(r->why, sizeof r->why, format, ap); /* cut at worst */
	va_end(ap);
}

static uint64_t count_alive(const struct object_table *t)
{
	uint64_t alive = 0;

	for (uint64_t n = lsvd_object_table_next(t, 0); n != UINT64_MAX;
	     n = lsvd_object_table_next(t, n + 1)) {
		const struct object_entry *e = lsvd_object_table_get(t, n);

		alive += lsvd_object_is_data(e) && e->live;
	}
	return alive;
}

static void compare(struct lsvd_volume *v)
{
	struct rebuild *r = v->rebuild;

	r->compared = true;
	for (uint64_t i = 0; i < r->count; i++) {
		const struct object_entry *e = lsvd_object_table_get(&v->objects,
								     r->lives[i].number);

		if (!e || e->live != r->lives[i].live)
			doubt(r, "object %llu would live by %u bytes, and lived by %u",
			      (unsigned long long)r->lives[i].number, e ? e->live : 0,
			      r->lives[i].live);
	}
	if (count_alive(&v->objects) != r->count)
		doubt(r, "%llu objects would live, and there were %llu",
		      (unsigned long long)count_alive(&v->objects), (unsigned long long)r->count);
}

void lsvd_rebuild_step(struct lsvd_volume *v, struct place at)
{
	const struct rebuild *r = v->rebuild;

	if (r->known && !r->compared && !place_at_or_before(at, r->at))
		compare(v);
}

void lsvd_rebuild_adopt(struct lsvd_volume *v, const struct seg_adopt *a)
{
	for (uint32_t i = 0; i < a->run_count; i++)
		if (a->runs[i].source && !lsvd_object_table_get(&v->objects, a->runs[i].source))
			doubt(v->rebuild, "object %llu has data that was moved out of object %llu, "
			      "which has been deleted", (unsigned long long)a->object,
			      (unsigned long long)a->runs[i].source);
}

int lsvd_rebuild_judge(struct lsvd_volume *v, uint64_t missing)
{
	struct rebuild *r = v->rebuild;

	if (v->snapshots.count)
		return lsvd_fail(LSVD_E_UNSUPPORTED, "volume %s: it has snapshots, whose "
				 "checkpoints cannot be made anew", v->name);
	if (v->base)
		return lsvd_fail(LSVD_E_UNSUPPORTED, "volume %s: it is a clone, whose checkpoints "
				 "cannot be made anew", v->name);
	if (missing == 0)
		return 0;
	if (r->known && !r->compared)
		compare(v);
	if (!r->known)
		doubt(r, "the old table of objects is lost, too, so nothing says "
		      "what they trimmed");
	if (!r->doubtful)
		return 0;
	return lsvd_fail(LSVD_E_UNSUPPORTED, "volume %s: %llu objects of its history have been "
			 "deleted, and without them it cannot be made anew for sure: %s", v->name,
			 (unsigned long long)missing, r->why);
}

/* ----------------------------------------------------------------------------------- the repair */

static int look(struct lsvd_store *store, const char *name, struct rebuild *r, bool *ret_sound)
{
	struct lsvd_check_report found = LSVD_CHECK_REPORT_INIT;
	int err = lsvd_check_for_rebuild(store, name, r, &found);

	*ret_sound = !err && !found.errors && found.complete;
	if (err || *ret_sound || found.repairable)
		return err;
	return lsvd_fail(LSVD_E_UNSUPPORTED, "volume %s: of %llu errors some are not in the "
			 "checkpoint: nothing was changed", name, (unsigned long long)found.errors);
}

/* Is it certain? Nothing is claimed or put to find out. */
static int try_it(struct lsvd_store *store, const char *name, struct rebuild *r)
{
	struct lsvd_volume_options o = LSVD_VOLUME_OPTIONS_INIT;
	struct lsvd_volume *v;
	int err;

	o.flags = LSVD_OPEN_READONLY;
	err = lsvd_vol_open_rebuilding(&v, store, name, &o, r);
	return err ? err : lsvd_volume_close(v, 0);
}

static int do_it(struct lsvd_store *store, const char *name, const struct lsvd_volume_options *o,
		 struct rebuild *r, struct lsvd_repair_report *ret)
{
	struct lsvd_volume *v;
	int err, end;

	r->compared = r->doubtful = false;
	err = lsvd_vol_open_rebuilding(&v, store, name, o, r);
	if (err)
		return err;
	err = lsvd_volume_checkpoint(v, UINT32_MAX);
	ret->epoch = v->opened.epoch;
	ret->replayed_objects = v->stats.replayed_segments;
	ret->pages = v->pages.used;
	ret->extents = lsvd_store_map_extents(v->map);
	end = lsvd_volume_close(v, UINT32_MAX);
	ret->repaired = !err && end == 0;
	return err ? err : end;
}

int lsvd_volume_repair(struct lsvd_store *store, const char *name,
		       const struct lsvd_volume_options *options, struct lsvd_repair_report *report)
{
	struct lsvd_repair_report r = LSVD_REPAIR_REPORT_INIT;
	struct rebuild rebuild = { .known = false };
	bool sound = false;
	int err = lsvd_options_check(report, sizeof *report, "repair report");

	if (!err)
		err = look(store, name, &rebuild, &sound);
	if (!err && !sound)
		err = try_it(store, name, &rebuild);
	if (!err && !sound)
		err = do_it(store, name, options, &rebuild, &r);
	lsvd_rebuild_fini(&rebuild);
	if (!err && report)
		err = lsvd_options_fill(report, &r, sizeof r, sizeof r, "repair report");
	return err;
}

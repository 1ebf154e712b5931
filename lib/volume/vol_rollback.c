/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vol_rollback.c - a volume becomes what it was at one of its snapshots.
 *
 * In the chain that is one note, which names a root made for it: of the snapshot's map, and of the
 * volume's table of objects and list of snapshots as they are, in which what only the map before
 * needed is dead, and what the snapshot needs lives again. All chain objects from the note on name
 * that root or a newer one, so no recovery goes across the note. Nothing is copied: what is read
 * and written is what changed between the snapshot and the root it is read from.
 *
 *   store    everything that is not stored yet, in service: the store may be away for long
 *   quiet    no operation, collection, checkpoint, deletion is on its way, and none is begun; all
 *            is stored
 *   load     the snapshot's map, in another volume's parts
 *   exchange the maps, and what the table says; the overlay, which only had hints by now, is empty
 *   root     put
 *   empty    the local log, and with it what the mirror says, is void: a superblock, synced
 *   note     put: from its acknowledgement on the volume is the snapshot's
 *
 * Before the note is in the store a crash leaves the volume as it was, which the store has all
 * of; after it, as it is then. The local log must be void before that: an offline open would put
 * its operations on top of the map of the mirror, and one of these would be of the other state.
 * In between an offline open is refused.
 *
 * Up to the exchange every failure leaves the volume as it was, and open. After it the volume waits
 * for what can be waited for, and if that is in vain it fails (ROLL_LOST): its parts are of the one
 * state and the chain perhaps of the other. An open finds out.
 */
#include <lsvd/snapshot.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/err.h"
#include "volume/vol_mirror.h"
#include "volume/volume_internal.h"

#define PAUSE_MS 100u
#define ASK_TRIES 10u

struct rollback {
	struct lsvd_volume *v;
	struct lsvd_volume *past;      /* the snapshot's parts */
	struct extent_map *overlay;    /* to be v's */
	struct snapshot s;
	struct log_place place;        /* of the note */
	struct place at;               /* the same */
	uint64_t root_before;
	uint32_t timeout_ms;
};

/* --------------------------------------------------------------------------------------- quiet */

static bool is_quiet(struct lsvd_volume *v, const void *arg)
{
	(void)arg;
	return v->failed || v->closing ||
	       (!v->gc.running && list_empty(&v->adoptions) && !v->checkpoint &&
		!v->deletion && !v->note_out && !v->anchoring && !v->applying && !v->frozen &&
		list_empty(&v->segments));
}

/* What is stopped comes back; a timer that is queued is not cancelled by the first call. */
static bool is_still(struct lsvd_volume *v, const void *arg)
{
	(void)arg;
	lsvd_mirror_stop(v);
	return v->failed || v->closing ||
	       (is_quiet(v, NULL) && lsvd_mirror_is_idle(v) && list_empty(&v->pager.loads) &&
		!v->pager.holders);
}

static int make_quiet(struct rollback *r)
{
	struct lsvd_volume *v = r->v;
	int err = lsvd_vol_store_all(v, r->timeout_ms);

	if (err)
		return err;
	if (v->ops)
		return lsvd_fail(-EBUSY, "volume %s: %u operations are in flight", v->name, v->ops);
	v->rolling = ROLL_ON;
	err = lsvd_vol_store_all(v, r->timeout_ms); /* what came meanwhile */
	if (!err)
		err = lsvd_vol_wait(v, is_quiet, NULL, r->timeout_ms);
	if (!err && v->checkpoints_off)
		err = lsvd_fail(LSVD_E_UNAVAILABLE, "volume %s: an earlier checkpoint failed, and "
				"this needs one: none until the next open", v->name);
	return err;
}

/* ---------------------------------------------------------------------------------------- load */

/*
 * What the past needs must be in the table, as the same object. Of data it may seem to need more
 * than it does, as long as pages of the map are away: what is not there was dead by then.
 */
static int check_past(const struct rollback *r)
{
	const struct object_table *past = &r->past->objects, *now = &r->v->objects;

	for (uint64_t n = lsvd_object_table_next(past, 0); n != UINT64_MAX;
	     n = lsvd_object_table_next(past, n + 1)) {
		const struct object_entry *e = lsvd_object_table_get(past, n);
		const struct object_entry *have = lsvd_object_table_get(now, n);

		if (!e->live || (!have && lsvd_object_is_data(e)))
			continue;
		if (!have || have->epoch != e->epoch || have->seq != e->seq ||
		    have->home != e->home)
			return lsvd_fail(LSVD_E_CORRUPT, "volume %s: object %llu, which its "
					 "snapshot \"%s\" needs, is not in its table", r->v->name,
					 (unsigned long long)n, r->s.name);
	}
	return 0;
}

/* The lock is free meanwhile. */
static void rest(struct lsvd_volume *v)
{
	lsvd_port_leave(&v->port, true);
	lsvd_port_pause(&v->port, PAUSE_MS);
	lsvd_port_enter(&v->port);
}

struct asking {
	struct log_look look;
	struct lsvd_volume *v;
	bool over;
	int err;
};

static void asked(struct log_look *look, int err)
{
	struct asking *a = look->owner;

	a->over = true;
	a->err = err;
	lsvd_port_changed(&a->v->port);
}

static int ask(struct lsvd_volume *v)
{
	struct asking a = { .look = { .done = asked, .owner = &a }, .v = v };

	lsvd_log_look(v->log, &a.look);
	while (!a.over)
		lsvd_port_wait(&v->port);
	return a.err;
}

/*
 * A newer writer deletes what he has no use for: LSVD_E_FENCED if there is one,
 * LSVD_E_UNAVAILABLE if that cannot be told, else what it was.
 */
static int because_fenced(struct lsvd_volume *v, int err)
{
	char text[512];
	int fenced = LSVD_E_UNAVAILABLE;

	if (err != LSVD_E_CORRUPT)
		return err;
	(void)snprintf(text, sizeof text, "%s", lsvd_last_error()); /* survives the question */
	for (unsigned i = 0; i < ASK_TRIES && fenced == LSVD_E_UNAVAILABLE; i++) {
		if (i)
			rest(v);
		fenced = ask(v);
	}
	if (fenced)
		return lsvd_fail_context(fenced, "volume %s", v->name);
	lsvd_error_restore(text);
	return err;
}

/* The lock is free meanwhile. */
static int load(struct rollback *r)
{
	int err;

	lsvd_port_leave(&r->v->port, true);
	err = lsvd_vol_load_past(&r->past, r->v, &r->s);
	if (!err)
		err = lsvd_extent_map_new(&r->overlay);
	lsvd_port_enter(&r->v->port);
	return err ? because_fenced(r->v, err) : check_past(r);
}

/* ------------------------------------------------------------------------------------ exchange */

/*
 * What had died by then may seem to live, until pages come: it stays dead, for it may have left
 * the store. No deletion chooses it before a root for which they have come.
 */
static void take_live(struct rollback *r, uint64_t number, struct object_entry *e, uint32_t live)
{
	const struct place died = e->died;

	lsvd_object_table_live(&r->v->objects, number, (int64_t)live - e->live, r->at);
	if (died.epoch && place_at_or_before(died, r->s.at))
		lsvd_object_table_died(&r->v->objects, number, died);
}

static void take_lives(struct rollback *r)
{
	struct object_table *t = &r->v->objects;

	for (uint64_t n = lsvd_object_table_next(t, 0); n != UINT64_MAX;
	     n = lsvd_object_table_next(t, n + 1)) {
		const struct object_entry *was = lsvd_object_table_get(&r->past->objects, n);
		struct object_entry *e = lsvd_object_table_get(t, n);

		if (lsvd_object_is_data(e))
			take_live(r, n, e, was ? was->live : 0);
		else if (e->home == HOME_PAGES)
			e->live = 0;
	}
}

static void count_blob(struct object_table *t, uint64_t object, uint32_t len)
{
	lsvd_object_table_live(t, object, len, (struct place){ 0, 0 });
	lsvd_object_table_revive(t, object);
}

/* Page objects live as far as what the next root will name lies in them. */
static void count_blobs(struct lsvd_volume *v)
{
	struct object_table *t = &v->objects;

	for (uint64_t i = 0; i < v->pages.count; i++) {
		const struct page_node *node = v->pages.nodes[i];

		for (unsigned j = 0; node && j < PAGE_NODE; j++)
			count_blob(t, node->refs[j].object, node->refs[j].len);
		if (node)
			count_blob(t, node->saved.object, node->saved.len);
	}
	for (uint64_t i = 0; i < t->count / OBJECT_NODE; i++)
		if (t->nodes[i])
			count_blob(t, t->nodes[i]->saved.object, t->nodes[i]->saved.len);
	for (unsigned i = 0; i < v->snapshots.node_count; i++)
		count_blob(t, v->snapshots.nodes[i]->saved.object,
			   v->snapshots.nodes[i]->saved.len);
}

static void exchange(struct rollback *r)
{
	struct lsvd_volume *v = r->v, *past = r->past;
	struct extent_map *overlay = v->overlay;
	struct store_map *map = v->map;
	struct page_table pages = v->pages;

	lsvd_log_reserve(v->log, &r->place);
	r->at = (struct place){ lsvd_log_epoch(v->log), r->place.seq };
	v->overlay = r->overlay;
	r->overlay = overlay;
	v->map = past->map;
	past->map = map;
	v->pages = past->pages;
	past->pages = pages;
	v->applying_at = r->at; /* what turns out to be dead when pages come is so from now on */
	take_lives(r);
	count_blobs(v);
}

/* ------------------------------------------------------------------------------- root and note */

static bool no_checkpoint(struct lsvd_volume *v, const void *arg)
{
	(void)arg;
	return v->failed || v->closing || !v->checkpoint;
}

/* Without memory, or a page that is to be saved, there is another try. */
static int put_root(struct rollback *r)
{
	struct lsvd_volume *v = r->v;
	uint64_t until = lsvd_vol_now(v) + r->timeout_ms;
	int err = 0;

	r->root_before = v->root_number;
	while (!err && v->root_number == r->root_before) {
		if (v->checkpoints_off || (r->timeout_ms != UINT32_MAX && lsvd_vol_now(v) >= until))
			return lsvd_fail(LSVD_E_UNAVAILABLE,
					 "volume %s: its checkpoint cannot be written", v->name);
		lsvd_vol_start_rolled_checkpoint(v, r->at, r->s.bytes);
		err = lsvd_vol_wait(v, no_checkpoint, NULL, r->timeout_ms);
		if (!err && v->root_number == r->root_before)
			rest(v);
	}
	return err;
}

static int empty_log(struct lsvd_volume *v)
{
	int err;

	lsvd_port_leave(&v->port, true);
	err = lsvd_wal_empty(v->wal);
	lsvd_port_enter(&v->port);
	return err;
}

static int put_note(struct rollback *r)
{
	const struct root_ref root = { r->at.epoch, r->v->root_number };
	int err = -ENOMEM;

	while (err == -ENOMEM) {
		err = lsvd_vol_put_rollback(r->v, &r->s, &r->place, root, r->timeout_ms);
		if (err == -ENOMEM)
			rest(r->v);
	}
	return err;
}

/* ------------------------------------------------------------------------------------ all of it */

/* That of the other state is void. The lock is free meanwhile. */
static void make_mirror_anew(struct lsvd_volume *v)
{
	bool was_there = lsvd_mirror_is_there(v);

	if (!v->mirror || v->stopping)
		return;
	lsvd_mirror_free(v);
	lsvd_port_leave(&v->port, true);
	lsvd_mirror_open(v);
	lsvd_port_enter(&v->port);
	/* Who could open the volume offline before can do so soon again. */
	lsvd_mirror_start(v, was_there);
}

/* The map is the past's, and the chain must become so. */
static int go_on(struct rollback *r)
{
	struct lsvd_volume *v = r->v;
	char why[sizeof v->status_text];
	int err;

	exchange(r);
	err = put_root(r);
	if (!err)
		err = empty_log(v);
	if (!err)
		err = put_note(r);
	if (!err)
		return 0;
	v->rolling = ROLL_LOST;
	(void)snprintf(why, sizeof why, "going back to snapshot \"%s\" failed half-way (%s): the "
		       "next open finds the volume before or after it", r->s.name,
		       lsvd_error_name(err));
	lsvd_vol_fail(v, LSVD_E_FAILED, why);
	return lsvd_fail(v->failed, "volume %s: %s", v->name, v->status_text);
}

static int run(struct rollback *r)
{
	struct lsvd_volume *v = r->v;
	int err = make_quiet(r);

	if (!err)
		err = load(r);
	if (err)
		return err;
	err = lsvd_vol_wait(v, is_still, NULL, r->timeout_ms);
	if (err) {
		lsvd_mirror_resume(v);
		return err;
	}
	err = go_on(r);
	if (!err)
		make_mirror_anew(v);
	return err;
}

/* What waited for the end begins. */
static void resume(struct lsvd_volume *v)
{
	if (v->rolling != ROLL_ON)
		return;
	v->rolling = ROLL_NONE;
	lsvd_port_changed(&v->port);
	lsvd_vol_maybe_checkpoint(v);
	if (v->root_named_by)
		lsvd_vol_delete_dead(v);
	lsvd_vol_gc_poke(v);
}

static int roll_back(struct lsvd_volume *v, const char *name, uint32_t timeout_ms)
{
	const struct snapshot *s = lsvd_snapshots_by_name(&v->snapshots, name);
	struct rollback r = { .v = v, .timeout_ms = timeout_ms };
	int err;

	if (!s)
		return lsvd_vol_no_such_snapshot(v, name);
	r.s = *s;
	err = run(&r);
	resume(v);
	lsvd_port_leave(&v->port, true);
	lsvd_extent_map_free(r.overlay);
	if (r.past)
		lsvd_vol_destroy(r.past);
	lsvd_port_enter(&v->port);
	if (!err)
		lsvd_report(LSVD_LOG_INFO,
			    "volume %s: went back to snapshot \"%s\", operation %llu", v->name,
			    name, (unsigned long long)r.s.op);
	return err;
}

int lsvd_snapshot_rollback(struct lsvd_volume *v, const char *name, uint32_t timeout_ms)
{
	int err = lsvd_vol_refuse_snapshot(v, name);

	if (err)
		return err;
	lsvd_port_enter(&v->port);
	err = lsvd_vol_begin_change(v, timeout_ms);
	if (!err) {
		err = roll_back(v, name, timeout_ms);
		lsvd_vol_end_change(v);
	}
	lsvd_port_leave(&v->port, true);
	return err;
}

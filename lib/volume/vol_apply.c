/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vol_apply.c - what the store has acknowledged, into the store map.
 *
 * In the order of the chain: segments, and between them what garbage collection has moved
 * (vol_adopt.c) and snapshots (vol_snapshot.c). A few hundred extents at a time, so that nobody
 * waits long for the lock; reads do not notice, for the overlay still answers for everything in a
 * segment.
 */
#include <assert.h>

#include "base/alloc.h"
#include "base/err.h"
#include "volume/vol_cold.h"
#include "volume/vol_mirror.h"

#define APPLY_EXTENTS 512u
#define ANNOUNCE_EXTENTS 32u
#define INSERT_SECTORS (UINT32_C(1) << 30) /* in one call: more does not fit an extent's length */

static void gone(void *ctx, const struct map_extent *e)
{
	struct lsvd_volume *v = ctx;

	/* What is of the object itself is there from a try that had no memory: not counted yet. */
	if (e->kind == MAP_ZERO || e->object == v->applying_object)
		return;
	lsvd_object_table_live(&v->objects, e->object, -(int64_t)e->len * (int64_t)SECTOR_BYTES,
			       v->applying_at);
	lsvd_vol_gc_lost(v, lsvd_object_table_get(&v->objects, e->object));
}

static int apply_range(struct lsvd_volume *v, uint64_t object, const struct seg_extent *e)
{
	struct map_extent m = { .lba = e->lba, .object = object, .off = e->off };
	uint64_t left = e->sectors;
	int err;

	m.kind = map_kind_of(e);
	if (m.kind == MAP_ZERO)
		m.object = m.off = 0;
	if (e->kind == SEG_HOLE) {
		/* Above lower volumes what was trimmed must not become what was never written. */
		left = e->lba < v->hides ? min_u64(left, v->hides - e->lba) : 0;
		err = lsvd_store_map_remove(v->map, e->lba + left, e->sectors - left, gone, v);
		if (err)
			return err;
	}
	for (; left; left -= m.len, m.lba += m.len) {
		/* Cut between pages of the map, so that what it has of zeroes stays as large. */
		m.len = (uint32_t)min_u64(left, INSERT_SECTORS - m.lba % STORE_MAP_PAGE_SECTORS);
		err = lsvd_store_map_insert(v->map, &m, gone, v);
		if (err)
			return err;
	}
	return 0;
}

int lsvd_vol_insert(struct lsvd_volume *v, const struct map_extent *e)
{
	return lsvd_store_map_insert(v->map, e, gone, v);
}

int lsvd_vol_apply_extent(struct lsvd_volume *v, uint64_t object, const struct seg_extent *e)
{
	bool data = e->kind == SEG_RAW || e->kind == SEG_UNIT;
	int err;

	err = apply_range(v, object, e);
	if (!err && data)
		lsvd_object_table_live(&v->objects, object, (int64_t)(e->sectors * SECTOR_BYTES),
				       v->applying_at);
	return err;
}

int lsvd_vol_apply_object(struct lsvd_volume *v, uint64_t object, const struct object_entry *entry)
{
	int err = lsvd_object_table_reserve(&v->objects, object);

	if (!err && !lsvd_object_table_get(&v->objects, object))
		lsvd_object_table_set(&v->objects, object, entry);
	v->applying_object = object;
	v->applying_at = entry->born;
	return err;
}

void lsvd_vol_note_is_in(struct lsvd_volume *v, const struct log_place *place, uint64_t bytes)
{
	const struct place at = { lsvd_log_epoch(v->log), place->seq };
	const struct object_entry e = { .epoch = at.epoch, .seq = at.seq, .born = at, .died = at,
					.bytes = (uint32_t)bytes, .home = HOME_NOTE };

	/* Else nobody knows of it until the chain is read again, or somebody looks for orphans. */
	if (!v->encoding && lsvd_object_table_reserve(&v->objects, place->object) == 0)
		lsvd_object_table_set(&v->objects, place->object, &e);
}

void lsvd_vol_applied(struct lsvd_volume *v, uint64_t object)
{
	const struct object_entry *e = lsvd_object_table_get(&v->objects, object);

	/* Of trims and zeroes alone: never of use to the map. */
	if (e->live == 0)
		lsvd_object_table_died(&v->objects, object, v->applying_at);
	v->applying_object = 0;
}

struct event_call {
	struct call call;
	struct lsvd_volume *v;
	struct lsvd_segment_event event;
};

static void tell(struct call *call)
{
	struct event_call *e = lsvd_container_of(call, struct event_call, call);

	e->v->opt.segment_fn(e->v->opt.segment_ctx, &e->event);
	lsvd_free(e);
}

static void queue_event(struct vseg *s)
{
	struct lsvd_volume *v = s->volume;
	struct event_call *e;
	uint64_t cold_bytes = 0;

	if (!v->opt.segment_fn)
		return;
	e = lsvd_malloc(sizeof *e);
	if (!e) {
		lsvd_report(LSVD_LOG_WARN, "volume %s: no memory to tell of a stored segment",
			    v->name);
		return;
	}
	e->v = v;
	e->call.fn = tell;
	if (s->cold)
		cold_bytes = s->cold->moved.built->header_bytes + s->cold->moved.built->body_bytes;
	e->event = (struct lsvd_segment_event){
		.epoch = lsvd_log_epoch(v->log), .seq = s->put.place.seq,
		.first_op = s->first_op, .last_op = s->last_op,
		.bytes = s->put.put_bytes + cold_bytes, .user_bytes = s->user_bytes,
	};
	lsvd_port_call(&v->port, &e->call);
}

static void segment_is_stored(struct vseg *s)
{
	struct lsvd_volume *v = s->volume;

	v->stored_op = s->last_op;
	v->stored_seq = s->put.place.seq;
	v->segments_since_root++;
	v->stats.segments++;
	queue_event(s);
	/* Before anything that may begin another mirror: that one begins with what is noted. */
	lsvd_mirror_note(v, s->last, s->last_op, s->built->header, s->built->header_bytes);
	lsvd_vseg_over(s);
	lsvd_port_changed(&v->port);
}

/* Tells the map of the next extents before they are looked up: the cache misses then overlap. */
static void announce(struct lsvd_volume *v, const struct segment *built, uint32_t from)
{
	uint32_t end = (uint32_t)min_u64(built->extent_count, (uint64_t)from + ANNOUNCE_EXTENTS);

	for (uint32_t i = from; i < end; i++)
		lsvd_store_map_prefetch(v->map, built->extents[i].lba);
}

/* What it replaces has lived until it was written. */
static void begin(struct vseg *s)
{
	s->volume->written += s->begun ? 0 : s->user_bytes;
	s->begun = true;
}

/* Some extents of the first acknowledged segment; true when it is all in the map. */
static int apply_some(struct vseg *s, bool *ret_all)
{
	struct lsvd_volume *v = s->volume;
	const struct place at = { lsvd_log_epoch(v->log), s->put.place.seq };
	const struct object_entry entry = { .epoch = at.epoch, .seq = at.seq, .born = at,
					    .bytes = (uint32_t)s->put.put_bytes,
					    .data = (uint32_t)s->built->data_bytes,
					    .written = v->written,
					    .sealed = v->written,
					    .home = HOME_CHAIN };
	uint32_t end;
	int err;

	assert(!v->frozen);
	err = lsvd_vol_apply_object(v, s->put.place.object, &entry);
	if (err)
		return err;
	end = (uint32_t)min_u64(s->built->extent_count, (uint64_t)s->applied + APPLY_EXTENTS);
	for (; s->applied < end; s->applied++) {
		if (s->applied % ANNOUNCE_EXTENTS == 0)
			announce(v, s->built, s->applied);
		err = lsvd_vol_apply_extent(v, s->put.place.object, &s->built->extents[s->applied]);
		if (err)
			return err;
	}
	if (s->applied < s->built->extent_count)
		return 0;
	lsvd_vol_applied(v, s->put.place.object);
	if (s->cold)
		return lsvd_vseg_apply_cold(s, at, ret_all);
	*ret_all = true;
	return 0;
}

bool lsvd_vol_is_between(const struct lsvd_volume *v)
{
	const struct vseg *s;

	if (lsvd_vol_adoption_is_between(v))
		return true;
	if (list_empty(&v->segments))
		return false;
	s = list_first(&v->segments, struct vseg, link);
	return s->begun;
}

static void apply_stepped(struct io *io)
{
	struct lsvd_volume *v = io->owner;

	v->applying = false;
	lsvd_vol_apply(v);
}

/* More of it, or the next one, after the lock has been free for a moment. */
static void apply_more(struct lsvd_volume *v)
{
	v->applying = true;
	v->apply_step = (struct io){ .kind = IO_STEP, .done = apply_stepped, .owner = v };
	lsvd_port_start(&v->port, &v->apply_step);
}

/* What garbage collection has moved takes its turn among the segments. */
static void apply_adoption(struct lsvd_volume *v)
{
	if (lsvd_vol_apply_adoption(v) < 0)
		lsvd_vol_destage_again(v);
	else
		apply_more(v);
	if (!lsvd_vol_adoption_is_between(v))
		lsvd_vol_maybe_checkpoint(v);
}

void lsvd_vol_apply(struct lsvd_volume *v)
{
	struct vseg *s;
	bool all = false;

	if (v->applying || v->frozen)
		return;
	if (lsvd_vol_snapshot_is_next(v)) {
		lsvd_vol_snapshot_apply(v);
		lsvd_vol_maybe_checkpoint(v);
		if (v->frozen)
			return;
	}
	if (lsvd_vol_adoption_is_next(v)) {
		apply_adoption(v);
		return;
	}
	if (list_empty(&v->segments))
		return;
	s = list_first(&v->segments, struct vseg, link);
	if (s->state != VSEG_ACKED)
		return;
	begin(s);
	if (apply_some(s, &all) < 0) {
		lsvd_vol_destage_again(v);
		return;
	}
	if (all) {
		segment_is_stored(s);
		lsvd_vol_stored_more(v);
		lsvd_vol_maybe_checkpoint(v);
		lsvd_vol_form_groups(v);
		/* it was stored before the newest root, and no other comes */
		lsvd_vol_delete_dead(v);
		lsvd_vol_gc_poke(v);
	}
	apply_more(v);
}

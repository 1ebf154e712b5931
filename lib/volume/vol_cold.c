/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vol_cold.c - what users write over what was old, in an object of its own.
 *
 * What replaces something that lived long will live long itself, most likely (gc_choose.h). If it
 * lay among what dies soon, collection would copy it out of there. So the records of a segment
 * are sorted: those over data older than hot segments get are its *cold part*, a moved object
 * that the segment adopts. Nothing of it means anything before the segment is in the chain; both
 * are one group, coalesced as one, published by one object. A record is judged by its first sector.
 *
 *   READY -> COLD -> PUTTING     it is put, and the segment after it
 *            COLD -> LOADING     it cannot be: its name is taken, or the adoption is too long; the
 *                                segment is built again, whole
 *
 * Sectors of both parts are never the same: a newer record hides an older one of the other part.
 * So it does not matter that a reader adopts after it has applied the segment's own extents.
 *
 * What is written for the first time stays where it is, and so does what lies on a page of the map
 * that is away. A small segment, one that is nearly all of one kind, and one of a volume that has
 * no garbage to collect are not divided: each part costs a request.
 */
#include "volume/vol_cold.h"

#include <errno.h>

#include "base/alloc.h"
#include "base/err.h"

#define RECORDS_MAX 4096u  /* to be looked up in one go, the lock held */
#define ANNOUNCE 32u
#define LEAST_SHARE 8u     /* of the segment's data, is either part */
#define NEAR_TARGET 0.9    /* of what collection allows: it will soon have something to do */

/* ------------------------------------------------------------------------------------- sorting */

static bool is_cold(const struct lsvd_volume *v, const struct wal_record *r, uint64_t now,
		    uint64_t lifespan)
{
	const struct object_entry *o;
	struct map_extent e;

	if (r->kind != WAL_DATA || lsvd_vol_away(v, r->lba, r->lba + 1) != UINT64_MAX)
		return false;
	if (!lsvd_store_map_find(v->map, r->lba, &e) || e.lba > r->lba || e.kind == MAP_ZERO)
		return false;
	o = lsvd_object_table_get(&v->objects, e.object);
	return o && o->written < now && gc_user_class(now, o->written, lifespan) == GC_COLD;
}

/* The map is told of what will be looked up: the cache misses then overlap. */
static void announce(const struct lsvd_volume *v, const struct wal_group *g, uint32_t from)
{
	if (from % ANNOUNCE == 0)
		for (uint32_t i = from; i < g->head.records && i < from + ANNOUNCE; i++)
			lsvd_store_map_prefetch(v->map, g->records[i].lba);
}

/* Bytes of records that are marked. */
static uint64_t mark(struct vseg *s, uint64_t lifespan)
{
	const struct lsvd_volume *v = s->volume;
	uint64_t now = v->written + s->user_bytes, bytes = 0;
	uint32_t n = 0;

	vseg_for_each_group(g, s)
		for (uint32_t i = 0; i < g->head.records; i++, n++) {
			announce(v, g, i);
			s->recs[n].cold = is_cold(v, &g->records[i], now, lifespan);
			if (s->recs[n].cold)
				bytes += g->records[i].sectors * SECTOR_BYTES;
		}
	return bytes;
}

static bool is_worth_it(const struct lsvd_volume *v, const struct vseg *s)
{
	const struct object_table *t = &v->objects;

	if (v->opt.gc_strategy != LSVD_GC_SEPARATE || s->whole || s->records > RECORDS_MAX ||
	    s->user_bytes < v->opt.segment_bytes / 2)
		return false;
	return v->tiny || (v->lifespan && (double)t->data >= NEAR_TARGET *
			   v->gc.options.policy.target * (double)t->live);
}

void lsvd_vseg_find_cold(struct vseg *s)
{
	struct lsvd_volume *v = s->volume;
	uint64_t lifespan = v->lifespan ? v->lifespan : v->opt.segment_bytes;
	uint64_t bytes;

	if (s->cold || !is_worth_it(v, s))
		return;
	bytes = mark(s, lifespan);
	if (bytes >= s->user_bytes / LEAST_SHARE &&
	    s->user_bytes - bytes >= s->user_bytes / LEAST_SHARE)
		s->cold = lsvd_calloc(1, sizeof *s->cold);
	if (!s->cold) { /* or there is no memory for it: whole is as good */
		for (uint32_t i = 0; i < s->records; i++)
			s->recs[i].cold = false;
		return;
	}
	s->cold->seg = s;
	s->cold->moved.class = GC_COLD;
	s->cold->moved.object = lsvd_log_reserve_object(v->log);
}

int lsvd_vseg_build_cold(struct vseg *s, unsigned records)
{
	struct lsvd_volume *v = s->volume;
	struct moved *m = &s->cold->moved;
	struct seg_options options = v->seg_opt;
	int err;

	options.moved = true;
	options.part = SEG_COLD;
	err = lsvd_segment_build(&m->built, s->recs, records, v->owner, m->object, &options);
	if (err)
		return err;
	m->runs = lsvd_calloc(1, sizeof *m->runs);
	if (!m->runs)
		return lsvd_fail_plain(-ENOMEM);
	m->run_count = 1;
	for (uint32_t i = 0; i < m->built->extent_count; i++)
		m->runs[0].sectors += m->built->extents[i].sectors;
	return 0;
}

/* --------------------------------------------------------------------------------- putting it */

void lsvd_vseg_free_cold(struct vseg *s)
{
	if (!s->cold)
		return;
	lsvd_moved_fini(&s->cold->moved);
	lsvd_free(s->cold);
	s->cold = NULL;
}

static void make_whole(struct vseg *s)
{
	lsvd_moved_abandon(s->volume, &s->cold->moved);
	lsvd_vseg_free_cold(s);
	lsvd_segment_free(s->built);
	s->built = NULL;
	s->whole = true;
	s->state = VSEG_LOADING;
	lsvd_vseg_load(s);
}

static void adopt(struct vseg *s)
{
	uint8_t *records = NULL;
	uint32_t bytes;
	int err = lsvd_moved_records(&records, &bytes, 0, &s->cold->moved, 1);

	if (!err)
		err = lsvd_segment_add_records(s->built, records, 1, bytes);
	lsvd_free(records);
	if (!err)
		lsvd_vseg_put(s);
	else if (err == -ENOMEM)
		lsvd_vol_destage_again(s->volume);
	else
		make_whole(s);
}

static void cold_put(struct log_free_put *put, int err)
{
	struct cold *c = put->owner;
	struct vseg *s = c->seg;
	struct lsvd_volume *v = s->volume;

	if (v->failed || (err && err != -EEXIST && err != LSVD_E_CORRUPT))
		return; /* fenced, or closing: said elsewhere */
	if (err) {
		make_whole(s);
		return;
	}
	c->stored = true;
	v->stats.data_puts++;
	v->stats.data_put_bytes += c->moved.built->header_bytes + c->moved.built->body_bytes;
	adopt(s);
}

void lsvd_vseg_put_cold(struct vseg *s)
{
	struct cold *c = s->cold;

	if (s->state == VSEG_COLD && c->stored) {
		adopt(s);
		return;
	}
	if (s->state == VSEG_COLD)
		return; /* on its way */
	s->state = VSEG_COLD;
	lsvd_moved_put(s->volume, &c->moved, cold_put, c);
}

int lsvd_vseg_apply_cold(struct vseg *s, struct place at, bool *ret_all)
{
	struct cold *c = s->cold;

	c->moved.written = s->volume->written;
	return lsvd_moved_apply(s->volume, &c->moved, at, &c->walk, ret_all);
}

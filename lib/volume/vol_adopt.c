/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vol_adopt.c - moved objects become part of the volume.
 *
 * A moved object is a free object with data: what garbage collection has copied, or the cold part
 * of what users wrote. It means nothing until a chain object adopts it, by a record that repeats
 * its extents and says of every sector where it was when it was copied, its *source*. The record
 * takes its turn among the segments: when its chain object and all before it are acknowledged and
 * in the store map, each sector that the map still has in its source gets its new place (compare
 * and swap); what was overwritten or trimmed meanwhile stays what it is. Sectors with source 0
 * are placed whatever there is. Replay does the same (lsvd_vol_record()).
 *
 * What adopts is a note (struct adoption), or the segment that the cold part belongs to
 * (vol_cold.c).
 */
#include "volume/vol_adopt.h"

#include <assert.h>
#include <errno.h>

#include "base/alloc.h"
#include "base/err.h"
#include "format/fmt_key.h"
#include "volume/vol_mirror.h"
#include "volume/vol_rebuild.h"

#define ADOPT_PIECES 512u
#define NOTE_PADDING 32u

/* ------------------------------------------------------------------------------------- applying */

struct map_extent lsvd_vol_extent_part(const struct map_extent *e, uint64_t lba, uint64_t end)
{
	struct map_extent part = *e;

	if (part.lba < lba)
		part = lsvd_map_extent_advance(&part, (uint32_t)(lba - part.lba));
	part.len = (uint32_t)min_u64(part.len, end - part.lba);
	return part;
}

static struct map_extent place_in(const struct seg_extent *e, uint64_t object, uint64_t skip,
				  uint32_t sectors)
{
	struct map_extent m = { .lba = e->lba, .len = (uint32_t)(skip + sectors), .off = e->off,
				.object = object };

	m.kind = map_kind_of(e);
	if (m.kind == MAP_ZERO)
		m.object = 0;
	return skip ? lsvd_map_extent_advance(&m, (uint32_t)skip) : m;
}

static int swap_extent(struct lsvd_volume *v, const struct map_extent *place)
{
	/* Within one page, as what it replaces: done whole or not at all. */
	int err = lsvd_vol_insert(v, place);

	if (!err && place->kind != MAP_ZERO)
		lsvd_object_table_live(&v->objects, place->object,
				       (int64_t)(place->len * SECTOR_BYTES), v->applying_at);
	return err;
}

/*
 * Counted as if all of it got in; what does not is counted off when the page comes. 0: it is here.
 */
static int swap_later(struct lsvd_volume *v, const struct map_extent *place, uint64_t source)
{
	int err = lsvd_store_map_swap_later(v->map, place, source);

	if (err == 1 && place->kind != MAP_ZERO)
		lsvd_object_table_live(&v->objects, place->object,
				       (int64_t)(place->len * SECTOR_BYTES), v->applying_at);
	return err;
}

/* The sectors get their new place where the map has them in the piece's source. */
static int adopt_piece(struct lsvd_volume *v, const struct seg_adopt *a, const struct seg_piece *p)
{
	uint64_t lba = p->extent->lba + p->skip, end = lba + p->sectors;
	struct map_extent e = place_in(p->extent, a->object, p->skip, (uint32_t)p->sectors);
	int err = swap_later(v, &e, p->source);

	if (err)
		return err < 0 ? err : 0;
	while (!err && lba < end && lsvd_store_map_find(v->map, lba, &e) && e.lba < end) {
		struct map_extent part = lsvd_vol_extent_part(&e, lba, end);

		lba = part.lba + part.len;
		if (part.kind == MAP_ZERO || part.object != p->source)
			continue;
		part = place_in(p->extent, a->object, part.lba - p->extent->lba, part.len);
		err = swap_extent(v, &part);
	}
	return err;
}

static int apply_piece(struct lsvd_volume *v, const struct seg_adopt *a, const struct seg_piece *p)
{
	struct map_extent e;

	if (p->source)
		return adopt_piece(v, a, p);
	e = place_in(p->extent, a->object, p->skip, (uint32_t)p->sectors);
	return swap_extent(v, &e); /* whatever is there */
}

/*
 * The next piece, or what of it lies in one page of the map: so that, when there is no memory for
 * it, nothing of it has been done and counted that would be done and counted again.
 */
static bool next_piece(const struct seg_adopt *a, struct seg_walk *walk, struct seg_piece *ret)
{
	const struct seg_walk before = *walk;
	uint64_t room;

	if (!lsvd_adopt_next(a, walk, ret))
		return false;
	room = STORE_MAP_PAGE_SECTORS - (ret->extent->lba + ret->skip) % STORE_MAP_PAGE_SECTORS;
	if (ret->sectors > room) {
		*walk = before;
		walk->in_extent += room;
		walk->in_run += room;
		ret->sectors = room;
	}
	return true;
}

static struct object_entry entry_of(const struct seg_adopt *a, struct place at, uint64_t data_bytes)
{
	return (struct object_entry){ .epoch = a->epoch, .seq = a->number, .born = at,
				      .bytes = (uint32_t)(a->header_bytes + a->body_bytes),
				      .data = (uint32_t)data_bytes, .home = HOME_MOVED };
}

int lsvd_moved_apply(struct lsvd_volume *v, const struct moved *m, struct place at,
		     struct seg_walk *walk, bool *ret_all)
{
	struct object_entry e = entry_of(&m->adopt, at, m->built->data_bytes);
	int err;

	e.written = m->written;
	e.sealed = v->written;
	e.class = m->class;
	err = lsvd_vol_apply_object(v, m->object, &e);
	for (unsigned i = 0; i < ADOPT_PIECES && !err; i++) {
		struct seg_walk before = *walk;
		struct seg_piece piece;

		if (!next_piece(&m->adopt, walk, &piece)) {
			lsvd_vol_applied(v, m->object);
			*ret_all = true;
			return 0;
		}
		err = apply_piece(v, &m->adopt, &piece);
		if (err)
			*walk = before;
	}
	return err;
}

int lsvd_vol_record(void *ctx, const struct object_head *head, const struct chain_part *chain,
		    const struct record *record)
{
	const struct place at = { head->epoch, head->seq };
	struct seg_walk walk = { .extent = 0 };
	struct lsvd_volume *v = ctx;
	struct object_entry e;
	struct seg_piece piece;
	struct seg_adopt a;
	char key[KEY_CAP];
	int err;

	if (record->type != RECORD_ADOPT)
		return lsvd_vol_snapshot_record(v, head, chain, record);
	if (v->listing)
		return 1;
	lsvd_key_chain(key, &v->uuid, head->epoch, head->seq);
	err = lsvd_adopt_decode(&a, record->payload, record->len,
				chain->volume_bytes / SECTOR_BYTES, key);
	if (err)
		return err;
	if (v->rebuild)
		lsvd_rebuild_adopt(v, &a);
	e = entry_of(&a, at, lsvd_segment_data_bytes(a.extents, a.extent_count));
	err = lsvd_vol_apply_object(v, a.object, &e);
	while (!err && next_piece(&a, &walk, &piece))
		err = apply_piece(v, &a, &piece);
	if (!err)
		lsvd_vol_applied(v, a.object);
	lsvd_adopt_free(&a);
	return err ? err : 1;
}

/* ----------------------------------------------------------------------------- the moved object */

static void describe(struct moved *m, uint64_t epoch)
{
	m->adopt = (struct seg_adopt){
		.object = m->object,
		.epoch = epoch,
		.number = m->object,
		.header_bytes = m->built->header_bytes,
		.body_bytes = m->built->body_bytes,
		.extents = m->built->extents,
		.extent_count = m->built->extent_count,
		.runs = m->runs,
		.run_count = m->run_count,
	};
}

void lsvd_moved_put(struct lsvd_volume *v, struct moved *m,
		    void (*done)(struct log_free_put *put, int err), void *owner)
{
	struct object_head head = { .volume = v->uuid, .epoch = lsvd_log_epoch(v->log),
				    .seq = m->object, .object = m->object };

	(void)lsvd_segment_finish_moved(m->built, &head); /* the sum stands in the header */
	describe(m, head.epoch);
	lsvd_key_free(m->put.key, &v->uuid, head.epoch, m->object);
	m->put.iov = m->built->iov;
	m->put.iovcnt = m->built->iovcnt;
	m->put.done = done;
	m->put.owner = owner;
	lsvd_log_put_free(v->log, &m->put);
}

int lsvd_moved_records(uint8_t **ret, uint32_t *ret_bytes, size_t room, const struct moved *m,
		       unsigned n)
{
	uint8_t *all = NULL, *one, *p;
	uint32_t bytes = 0, len;
	int err = 0;

	for (unsigned i = 0; i < n && !err; i++) {
		err = lsvd_adopt_encode(&one, &len, RECORD_HEAD_BYTES, m[i].built, &m[i].adopt,
					m[i].runs, m[i].run_count);
		if (err)
			break;
		p = lsvd_realloc(all, room + bytes + record_space(len) + NOTE_PADDING);
		if (p) {
			all = p;
			memcpy(p + room + bytes, one, RECORD_HEAD_BYTES + len);
			bytes += lsvd_record_frame(p + room + bytes, RECORD_ADOPT, 0, len);
			memset(p + room + bytes, 0, NOTE_PADDING);
		} else {
			err = lsvd_fail_plain(-ENOMEM);
		}
		lsvd_free(one);
	}
	if (!err && log_note_bytes(bytes) > OBJECT_HEADER_MAX)
		err = lsvd_fail(-E2BIG, "adoptions of %u bytes, expected at most %u", bytes,
				OBJECT_HEADER_MAX);
	if (err) {
		lsvd_free(all);
		return err;
	}
	*ret = all;
	*ret_bytes = bytes;
	return 0;
}

void lsvd_moved_abandon(struct lsvd_volume *v, const struct moved *m)
{
	const struct place now = { lsvd_log_epoch(v->log), v->stored_seq };
	struct object_entry e = entry_of(&m->adopt, now, 0);

	e.died = now;
	if (!v->encoding && lsvd_object_table_reserve(&v->objects, m->object) == 0)
		lsvd_object_table_set(&v->objects, m->object, &e);
	/* else nobody knows it, until somebody looks for orphans */
}

void lsvd_moved_fini(struct moved *m)
{
	lsvd_segment_free(m->built);
	lsvd_free(m->runs);
	m->built = NULL;
	m->runs = NULL;
}

/* ------------------------------------------------------------------------------------- the note */

static void over(struct adoption *a, int err)
{
	list_del(&a->link);
	lsvd_free(a->note);
	a->note = NULL;
	a->done(a, err);
}

static void note_acked(struct log_put *put, int err)
{
	struct adoption *a = put->owner;

	if (err) {
		over(a, err);
		return;
	}
	a->acked = true;
	lsvd_vol_apply(a->v);
}

int lsvd_vol_adopt(struct lsvd_volume *v, struct adoption *a)
{
	uint32_t bytes;
	int err = lsvd_moved_records(&a->note, &bytes, LOG_NOTE_RECORDS_AT, a->list, a->count);

	if (err)
		return err;
	memset(a->note, 0, LOG_NOTE_RECORDS_AT);
	a->v = v;
	a->acked = a->begun = false;
	a->next = 0;
	a->walk = (struct seg_walk){ .extent = 0 };
	a->put = (struct log_put){ .kind = OBJECT_NOTE, .note = a->note, .record_count = a->count,
				   .record_bytes = bytes, .acked = note_acked, .owner = a };
	lsvd_log_reserve(v->log, &a->put.place);
	list_add_tail(&v->adoptions, &a->link);
	lsvd_log_put(v->log, &a->put);
	return 0;
}

static struct adoption *first(const struct lsvd_volume *v)
{
	return list_empty(&v->adoptions) ? NULL : list_first(&v->adoptions, struct adoption, link);
}

bool lsvd_vol_adoption_is_next(const struct lsvd_volume *v)
{
	const struct adoption *a = first(v);
	const struct vseg *s;

	if (!a || !a->acked)
		return false;
	if (list_empty(&v->segments))
		return true;
	s = list_first(&v->segments, struct vseg, link);
	return s->state < VSEG_LOADING || s->put.place.seq > a->put.place.seq;
}

bool lsvd_vol_adoption_is_acked_before(const struct lsvd_volume *v, uint64_t seq)
{
	const struct adoption *a = first(v);

	return a && a->acked && a->put.place.seq < seq;
}

bool lsvd_vol_adoption_is_between(const struct lsvd_volume *v)
{
	const struct adoption *a = first(v);

	return a && a->begun;
}

/* All is adopted: the objects that it was copied from are dead, but for what could not be. */
static void adopted(struct adoption *a)
{
	struct lsvd_volume *v = a->v;

	v->stored_seq = a->put.place.seq;
	v->segments_since_root++;
	lsvd_vol_note_is_in(v, &a->put.place, a->put.put_bytes);
	lsvd_mirror_object(v, a->note, log_note_bytes(a->put.record_bytes));
	over(a, 0);
}

int lsvd_vol_apply_adoption(struct lsvd_volume *v)
{
	struct adoption *a = first(v);
	const struct place at = { lsvd_log_epoch(v->log), a->put.place.seq };
	bool all = false;
	int err;

	a->begun = true;
	err = lsvd_moved_apply(v, &a->list[a->next], at, &a->walk, &all);
	if (err || !all)
		return err;
	a->walk = (struct seg_walk){ .extent = 0 };
	if (++a->next == a->count)
		adopted(a);
	return 0;
}

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vol_gc.c - what lives in objects that mostly do not is copied, so that these can be deleted.
 *
 * One round at a time. It chooses objects (log/gc_choose.h), asks their headers what they were made
 * with and the store map what of that is still there, reads that, builds one *moved* object of it, and
 * puts it as a free object. Then a note that adopts it takes its turn in the chain. When the note is
 * acknowledged, and all objects before it are in the store map, each sector that the map still has in
 * the object it was copied from gets its new place; what was overwritten or trimmed meanwhile stays
 * what it is. Replay does the same (lsvd_vol_record()). The objects are dead by that, and leave after
 * the next checkpoint (vol_delete.c).
 *
 *   HEADERS -> READING -> BUILDING -> PUTTING -> NOTING -> ADOPTING -> over
 *      any -> over, with an error: nothing has happened, the moved object is garbage
 *
 * What does not verify is never copied: its object is marked, and left alone until the next open.
 * What is entirely dead is not read at all.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/err.h"
#include "base/hash.h"
#include "format/fmt_key.h"
#include "log/gc_choose.h"
#include "segment/seg_adopt.h"
#include "volume/vol_mirror.h"
#include "volume/vol_rebuild.h"
#include "volume/volume_internal.h"

#define VICTIMS_MAX 64u
#define HEADER_BYTES 65536u
#define ADOPT_PIECES 512u
#define NOTE_PADDING 32u

/* Sectors that live: where they are, and where they go to in the round's memory. */
struct gc_piece {
	struct map_extent e;
	uint64_t at;
};

struct gc {
	struct lsvd_volume *v;
	struct gc_choice victims[VICTIMS_MAX];
	unsigned victim_count, victim; /* the one whose header is read */
	struct obj_io get;
	uint8_t *header;
	size_t header_room;
	struct seg_extent *had;      /* what the victim was made with */
	uint32_t had_count, had_next;
	uint64_t had_done;           /* sectors of the next one */
	struct page_wait wait;       /* for a page of the map */
	struct io step;

	struct gc_piece *pieces;     /* by victim and offset, then by lba */
	uint64_t piece_count, piece_room;
	uint64_t bytes;              /* of all pieces */
	struct map_extent *extents;  /* of the read */
	uint8_t *buf;
	struct read_req req;

	struct job_io job;
	struct seg_record *records;
	uint64_t *hashes;
	struct seg_run *runs;
	uint32_t run_count;
	uint64_t object;
	struct segment *built;
	struct log_free_put put;
	uint8_t *note;
	struct log_put note_put;

	struct seg_adopt adopt;      /* the extents and runs above; owns nothing */
	struct seg_walk walk;
	bool acked, begun;
};

void lsvd_vol_free_gc(struct lsvd_volume *v)
{
	struct gc *g = v->gc;

	if (!g)
		return;
	v->gc = NULL;
	lsvd_free(g->header);
	lsvd_free(g->had);
	lsvd_free(g->pieces);
	lsvd_free(g->extents);
	lsvd_free(g->buf);
	lsvd_free(g->records);
	lsvd_free(g->hashes);
	lsvd_free(g->runs);
	lsvd_segment_free(g->built);
	lsvd_free(g->note);
	lsvd_free(g);
}

static void over(struct gc *g, int err)
{
	struct lsvd_volume *v = g->v;

	v->gc_err = err;
	v->gc_rounds++;
	lsvd_vol_free_gc(v);
	lsvd_port_changed(&v->port);
}

static void count_request(struct gc *g, uint64_t bytes)
{
	g->v->stats.gc_requests++;
	g->v->stats.gc_bytes += bytes;
}

/* Is there no point in going on? */
static bool is_futile(struct gc *g)
{
	struct lsvd_volume *v = g->v;

	if (!v->failed && !v->closing)
		return false;
	over(g, v->failed ? v->failed : LSVD_E_SHUTDOWN);
	return true;
}

static void leave_alone(struct gc *g, uint64_t object, int err)
{
	struct object_entry *e = lsvd_object_table_get(&g->v->objects, object);

	if (e && (err == LSVD_E_CORRUPT || err == -ENOENT))
		e->damaged = true;
	if (e && e->damaged)
		lsvd_report(LSVD_LOG_ERROR, "volume %s: object %llu is damaged: what lives in it is not "
			    "copied", g->v->name, (unsigned long long)object);
}

/* ------------------------------------------------------------------------------------ adopting */

/* The part of `e`, an extent of the map, that lies in [lba, end). */
static struct map_extent part_of(const struct map_extent *e, uint64_t lba, uint64_t end)
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

/* Counted as if all of it got in; what does not is counted off when the page comes. 0: it is here. */
static int swap_later(struct lsvd_volume *v, const struct map_extent *place, uint64_t source)
{
	int err = lsvd_store_map_swap_later(v->map, place, source);

	if (err == 1 && place->kind != MAP_ZERO)
		lsvd_object_table_live(&v->objects, place->object,
				       (int64_t)(place->len * SECTOR_BYTES), v->applying_at);
	return err;
}

/* The sectors of [lba, end), which lie in one page, get their new place if the map has them in the
 * piece's source. */
static int adopt_in_page(struct lsvd_volume *v, const struct seg_adopt *a, const struct seg_piece *p,
			 uint64_t lba, uint64_t end)
{
	struct map_extent e = place_in(p->extent, a->object, lba - p->extent->lba,
				       (uint32_t)(end - lba));
	int err = swap_later(v, &e, p->source);

	if (err)
		return err < 0 ? err : 0;
	while (!err && lba < end && lsvd_store_map_find(v->map, lba, &e) && e.lba < end) {
		struct map_extent part = part_of(&e, lba, end);

		lba = part.lba + part.len;
		if (part.kind == MAP_ZERO || part.object != p->source)
			continue;
		part = place_in(p->extent, a->object, part.lba - p->extent->lba, part.len);
		err = swap_extent(v, &part);
	}
	return err;
}

static uint64_t page_end(uint64_t lba)
{
	return (lba / STORE_MAP_PAGE_SECTORS + 1) * STORE_MAP_PAGE_SECTORS;
}

static int adopt_piece(struct lsvd_volume *v, const struct seg_adopt *a, const struct seg_piece *p)
{
	uint64_t lba = p->extent->lba + p->skip, end = lba + p->sectors, stop;
	int err = 0;

	for (; !err && lba < end; lba = stop) {
		stop = min_u64(end, page_end(lba));
		err = adopt_in_page(v, a, p, lba, stop);
	}
	return err;
}

/* Source 0: placed whatever is there. In steps of a page, each of which is done or not. */
static int place_piece(struct lsvd_volume *v, const struct seg_adopt *a, const struct seg_piece *p)
{
	uint64_t done = 0;
	int err = 0;

	while (!err && done < p->sectors) {
		uint64_t lba = p->extent->lba + p->skip + done;
		uint64_t n = min_u64(p->sectors - done,
				     STORE_MAP_PAGE_SECTORS - lba % STORE_MAP_PAGE_SECTORS);
		struct map_extent part = place_in(p->extent, a->object, p->skip + done,
						  (uint32_t)n);

		err = swap_extent(v, &part);
		done += n;
	}
	return err;
}

static int apply_piece(struct lsvd_volume *v, const struct seg_adopt *a, const struct seg_piece *p)
{
	return p->source ? adopt_piece(v, a, p) : place_piece(v, a, p);
}

static int apply_moved(struct lsvd_volume *v, const struct seg_adopt *a, struct place at,
		       uint64_t data_bytes)
{
	const struct object_entry e = { .epoch = a->epoch, .seq = a->number, .born = at,
					.bytes = (uint32_t)(a->header_bytes + a->body_bytes),
					.data = (uint32_t)data_bytes, .home = HOME_MOVED };

	return lsvd_vol_apply_object(v, a->object, &e);
}

int lsvd_vol_record(void *ctx, const struct object_head *head, const struct chain_part *chain,
		    const struct record *record)
{
	const struct place at = { head->epoch, head->seq };
	struct seg_walk walk = { .extent = 0 };
	struct lsvd_volume *v = ctx;
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
	err = apply_moved(v, &a, at, lsvd_segment_data_bytes(a.extents, a.extent_count));
	while (!err && lsvd_adopt_next(&a, &walk, &piece))
		err = apply_piece(v, &a, &piece);
	if (!err)
		lsvd_vol_applied(v, a.object);
	lsvd_adopt_free(&a);
	return err ? err : 1;
}

bool lsvd_vol_gc_is_next(const struct lsvd_volume *v)
{
	const struct gc *g = v->gc;
	const struct vseg *s;

	if (!g || !g->acked)
		return false;
	if (list_empty(&v->segments))
		return true;
	s = list_first(&v->segments, struct vseg, link);
	return s->state < VSEG_LOADING || s->put.place.seq > g->note_put.place.seq;
}

bool lsvd_vol_gc_is_acked_before(const struct lsvd_volume *v, uint64_t seq)
{
	return v->gc && v->gc->acked && v->gc->note_put.place.seq < seq;
}

bool lsvd_vol_gc_is_between(const struct lsvd_volume *v)
{
	return v->gc && v->gc->begun;
}

/* All is adopted: the objects that it was copied from are dead, but for what could not be. */
static void adopted(struct gc *g)
{
	struct lsvd_volume *v = g->v;

	lsvd_vol_applied(v, g->object);
	v->stored_seq = g->note_put.place.seq;
	v->segments_since_root++;
	v->stats.gc_copied_bytes += g->bytes;
	lsvd_mirror_object(v, g->note, log_note_bytes(g->note_put.record_bytes));
	over(g, 0);
}

int lsvd_vol_gc_apply(struct lsvd_volume *v)
{
	struct gc *g = v->gc;
	const struct place at = { lsvd_log_epoch(v->log), g->note_put.place.seq };
	int err;

	g->begun = true;
	err = apply_moved(v, &g->adopt, at, g->built->data_bytes);
	for (unsigned i = 0; i < ADOPT_PIECES && !err; i++) {
		struct seg_walk before = g->walk;
		struct seg_piece piece;

		if (!lsvd_adopt_next(&g->adopt, &g->walk, &piece)) {
			adopted(g);
			return 0;
		}
		err = apply_piece(v, &g->adopt, &piece);
		if (err)
			g->walk = before; /* again: what was done is not found in its source any more */
	}
	return err;
}

/* -------------------------------------------------------------------------- the note, the object */

static void note_acked(struct log_put *put, int err)
{
	struct gc *g = put->owner;

	count_request(g, put->put_bytes);
	if (err) {
		over(g, err);
		return;
	}
	g->acked = true;
	lsvd_vol_apply(g->v);
}

static int make_note(struct gc *g)
{
	const size_t room = LOG_NOTE_RECORDS_AT + RECORD_HEAD_BYTES;
	struct seg_adopt name = { .object = g->object, .epoch = lsvd_log_epoch(g->v->log),
				  .number = g->object };
	uint8_t *note;
	uint32_t len;
	int err;

	err = lsvd_adopt_encode(&g->note, &len, room, g->built, &name, g->runs, g->run_count);
	if (err)
		return err;
	note = lsvd_realloc(g->note, room + len + NOTE_PADDING);
	if (!note)
		return lsvd_fail_plain(-ENOMEM);
	memset(note + room + len, 0, NOTE_PADDING);
	memset(note, 0, LOG_NOTE_RECORDS_AT);
	g->note = note;
	g->note_put.record_count = 1;
	g->note_put.record_bytes = lsvd_record_frame(note + LOG_NOTE_RECORDS_AT, RECORD_ADOPT, 0, len);
	return log_note_bytes(g->note_put.record_bytes) <= OBJECT_HEADER_MAX ? 0 : -E2BIG;
}

static void describe_adoption(struct gc *g)
{
	g->adopt = (struct seg_adopt){
		.object = g->object,
		.epoch = lsvd_log_epoch(g->v->log),
		.number = g->object,
		.header_bytes = g->built->header_bytes,
		.body_bytes = g->built->body_bytes,
		.extents = g->built->extents,
		.extent_count = g->built->extent_count,
		.runs = g->runs,
		.run_count = g->run_count,
	};
}

static void moved_put(struct log_free_put *put, int err)
{
	struct gc *g = put->owner;

	count_request(g, g->built->header_bytes + g->built->body_bytes);

	if (!err && is_futile(g))
		return;
	if (!err)
		err = make_note(g);
	if (err) {
		over(g, err);
		return;
	}
	describe_adoption(g);
	g->note_put.kind = OBJECT_NOTE;
	g->note_put.note = g->note;
	g->note_put.acked = note_acked;
	g->note_put.owner = g;
	lsvd_log_reserve(g->v->log, &g->note_put.place);
	lsvd_log_put(g->v->log, &g->note_put);
}

static void put_moved(struct gc *g)
{
	struct lsvd_volume *v = g->v;
	struct object_head head = { .volume = v->uuid, .epoch = lsvd_log_epoch(v->log),
				    .seq = g->object, .object = g->object };

	(void)lsvd_segment_finish_moved(g->built, &head); /* the sum stands in the header */
	lsvd_key_free(g->put.key, &v->uuid, head.epoch, g->object);
	g->put.iov = g->built->iov;
	g->put.iovcnt = g->built->iovcnt;
	g->put.done = moved_put;
	g->put.owner = g;
	lsvd_log_put_free(v->log, &g->put);
}

/* -------------------------------------------------------------------------------------- building */

/* Neighbours are one record; how many there are. */
static unsigned make_records(struct gc *g)
{
	uint64_t *hashes = g->hashes;
	unsigned n = 0;

	for (uint64_t i = 0; i < g->piece_count; i++) {
		const struct gc_piece *p = &g->pieces[i];
		struct seg_record *last = n ? &g->records[n - 1] : NULL;

		if (last && last->lba + last->sectors == p->e.lba)
			last->sectors += p->e.len;
		else
			g->records[n++] = (struct seg_record){ .lba = p->e.lba,
				.sectors = p->e.len, .kind = SEG_RAW, .data = g->buf + p->at };
	}
	for (unsigned i = 0; i < n; i++) {
		uint64_t bytes = g->records[i].sectors * SECTOR_BYTES;

		g->records[i].hashes = hashes;
		for (uint64_t at = 0; at < bytes; at += BLOCK_BYTES)
			*hashes++ = lsvd_hash(g->records[i].data + at,
					      min_u64(BLOCK_BYTES, bytes - at));
	}
	return n;
}

static void make_runs(struct gc *g)
{
	for (uint64_t i = 0; i < g->piece_count; i++) {
		const struct map_extent *e = &g->pieces[i].e;
		struct seg_run *last = g->run_count ? &g->runs[g->run_count - 1] : NULL;

		if (last && last->source == e->object)
			last->sectors += e->len;
		else
			g->runs[g->run_count++] = (struct seg_run){ e->len, e->object };
	}
}

/* Without the lock. */
static void run_build(struct job_io *job)
{
	struct gc *g = lsvd_container_of(job, struct gc, job);
	struct seg_options options = g->v->seg_opt;

	options.moved = true;
	make_runs(g);
	job->io.err = lsvd_segment_build(&g->built, g->records, make_records(g), g->v->owner,
					 g->object, &options);
}

static void build_done(struct io *io)
{
	struct gc *g = lsvd_container_of(io, struct gc, job.io);

	if (is_futile(g))
		return;
	if (io->err)
		over(g, io->err);
	else
		put_moved(g);
}

static void start_build(struct gc *g)
{
	g->records = lsvd_malloc(g->piece_count * sizeof *g->records);
	g->runs = lsvd_malloc(g->piece_count * sizeof *g->runs);
	g->hashes = lsvd_malloc((g->bytes / BLOCK_BYTES + g->piece_count) * sizeof *g->hashes);
	if (!g->records || !g->runs || !g->hashes) {
		over(g, -ENOMEM);
		return;
	}
	g->object = lsvd_log_reserve_object(g->v->log);
	g->job.run = run_build;
	g->job.io.kind = IO_JOB;
	g->job.io.done = build_done;
	lsvd_port_start(&g->v->port, &g->job.io);
}

/* --------------------------------------------------------------------------------------- reading */

static int by_lba(const void *a, const void *b)
{
	const struct gc_piece *x = a, *y = b;

	return x->e.lba < y->e.lba ? -1 : x->e.lba > y->e.lba;
}

/* Without the lock: verified data of a piece, or of a part of one. */
static void take_data(struct read_req *req, uint64_t lba, const uint8_t *data, size_t bytes)
{
	struct gc *g = lsvd_container_of(req, struct gc, req);
	uint64_t lo = 0, hi = g->piece_count - 1;

	while (lo < hi) { /* the last piece that begins at lba or before it */
		uint64_t mid = hi - (hi - lo) / 2;

		if (g->pieces[mid].e.lba <= lba)
			lo = mid;
		else
			hi = mid - 1;
	}
	assert(lba >= g->pieces[lo].e.lba &&
	       lba + bytes / SECTOR_BYTES <= g->pieces[lo].e.lba + g->pieces[lo].e.len);
	memcpy(g->buf + g->pieces[lo].at + (lba - g->pieces[lo].e.lba) * SECTOR_BYTES, data, bytes);
}

static void read_done(struct read_req *req)
{
	struct gc *g = lsvd_container_of(req, struct gc, req);

	if (is_futile(g))
		return;
	if (req->err) {
		leave_alone(g, req->bad_object, req->err);
		over(g, req->err);
		return;
	}
	lsvd_free(g->extents);
	g->extents = NULL;
	start_build(g);
}

/* Objects may have died, and be gone, while headers and pages came. */
static void drop_dead(struct gc *g)
{
	uint64_t n = 0;

	g->bytes = 0;
	for (uint64_t i = 0; i < g->piece_count; i++) {
		const struct map_extent *e = &g->pieces[i].e;
		const struct object_entry *o = lsvd_object_table_get(&g->v->objects, e->object);

		if (!o || o->died.epoch)
			continue;
		g->bytes += e->len * SECTOR_BYTES;
		g->pieces[n++].e = *e;
	}
	g->piece_count = n;
}

static void start_read(struct gc *g)
{
	int err;

	drop_dead(g);
	if (!g->piece_count) {
		over(g, 0); /* all of it died meanwhile */
		return;
	}
	g->extents = lsvd_malloc(g->piece_count * sizeof *g->extents);
	g->buf = lsvd_malloc(g->bytes);
	if (!g->extents || !g->buf) {
		over(g, -ENOMEM);
		return;
	}
	for (uint64_t i = 0; i < g->piece_count; i++)
		g->extents[i] = g->pieces[i].e;
	qsort(g->pieces, g->piece_count, sizeof *g->pieces, by_lba);
	for (uint64_t i = 0, at = 0; i < g->piece_count; at += g->pieces[i++].e.len * SECTOR_BYTES)
		g->pieces[i].at = at;
	g->req = (struct read_req){ .v = g->v, .left = 1, .sink = take_data, .done = read_done };
	err = lsvd_vol_fetch(&g->req, g->extents, (unsigned)g->piece_count);
	lsvd_vol_read_part_done(&g->req, err);
}

/* --------------------------------------------------------------------------------------- headers */

static int add_piece(struct gc *g, const struct map_extent *e)
{
	if (g->piece_count == g->piece_room) {
		uint64_t room = g->piece_room ? g->piece_room * 2 : 1024;
		void *p = lsvd_realloc(g->pieces, room * sizeof *g->pieces);

		if (!p)
			return lsvd_fail_plain(-ENOMEM);
		g->pieces = p;
		g->piece_room = room;
	}
	g->pieces[g->piece_count++].e = *e;
	g->bytes += e->len * SECTOR_BYTES;
	return 0;
}

/* What the map still has of the victim in a range whose pages are here. */
static int add_live(struct gc *g, uint64_t victim, uint64_t lba, uint64_t end)
{
	struct map_extent e;
	int err = 0;

	while (!err && lba < end && lsvd_store_map_find(g->v->map, lba, &e) && e.lba < end) {
		struct map_extent part = part_of(&e, lba, end);

		lba = part.lba + part.len;
		if (part.kind != MAP_ZERO && part.object == victim)
			err = add_piece(g, &part);
	}
	return err;
}

/* The extents of the header, whole and verified; allocated. */
static int read_extents(struct gc *g, const struct object_head *head, struct seg_extent **ret,
			uint32_t *count)
{
	struct moved_part moved;
	struct chain_part chain;
	int err;

	if (head->kind == OBJECT_MOVED) {
		err = lsvd_moved_part_decode(&moved, g->header, head, g->get.key);
		return err ? err : lsvd_segment_moved_extents(ret, count, g->header, head, &moved,
							      g->get.key);
	}
	err = lsvd_chain_part_decode(&chain, g->header, head, g->get.key);
	return err ? err : lsvd_segment_extents(ret, count, g->header, head, &chain, g->get.key);
}

static int take_header(struct gc *g, const struct object_head *head, uint64_t victim)
{
	const struct object_entry *e = lsvd_object_table_get(&g->v->objects, victim);
	int err;

	g->had_count = g->had_next = 0;
	g->had_done = 0;
	if (!e || e->died.epoch)
		return 0; /* nothing is left of it by now */
	err = lsvd_object_head_expect(head, &g->v->uuid, 0, e->epoch, e->seq, g->get.key);
	if (!err && head->object != victim)
		err = lsvd_fail(LSVD_E_CORRUPT, "object %s: number %llu, expected %llu", g->get.key,
				(unsigned long long)head->object, (unsigned long long)victim);
	if (!err)
		err = read_extents(g, head, &g->had, &g->had_count);
	return err;
}

static void next_header(struct gc *g);

static void get_header(struct gc *g, size_t bytes);

static void header_step(struct io *io)
{
	struct gc *g = io->owner;

	if (!is_futile(g))
		next_header(g);
}

static void look_up(struct gc *g);

/* What lives in it cannot be known until the map is repaired: it is not chosen again. */
static void pass_over(struct gc *g, uint64_t victim)
{
	struct object_entry *e = lsvd_object_table_get(&g->v->objects, victim);

	if (e)
		e->damaged = true;
	lsvd_report(LSVD_LOG_ERROR, "volume %s: what lives in object %llu is not copied: a page of "
		    "the map is damaged", g->v->name, (unsigned long long)victim);
}

static void page_came(struct page_wait *w, int err)
{
	struct gc *g = lsvd_container_of(w, struct gc, wait);

	if (is_futile(g))
		return;
	if (err == LSVD_E_CORRUPT)
		pass_over(g, g->victims[g->victim].id);
	if (err)
		over(g, err);
	else
		look_up(g);
}

/* The pages of the extents that follow are away: they come together. */
static int bring_pages(struct gc *g, uint64_t page)
{
	struct lsvd_volume *v = g->v;
	int err;

	g->wait = (struct page_wait){ .page = page, .done = page_came };
	err = lsvd_vol_want_page(v, &g->wait);
	for (uint32_t i = g->had_next, n = 0; !err && i < g->had_count && n < PAGES_SOON; i++, n++)
		lsvd_vol_want_soon(v, g->had[i].lba, g->had[i].lba + g->had[i].sectors, 1);
	return err;
}

/* As much of an extent as there are pages for. 1: the rest is looked up when one has come. */
static int look_up_extent(struct gc *g, const struct seg_extent *e)
{
	uint64_t lba = e->lba + g->had_done, end = e->lba + e->sectors;
	uint64_t page = lsvd_vol_away(g->v, lba, end);
	int err;

	if (e->kind == SEG_HOLE || e->kind == SEG_ZERO)
		return 0; /* nothing to copy, however long */
	if (page != UINT64_MAX)
		end = max_u64(lba, page * STORE_MAP_PAGE_SECTORS);
	err = add_live(g, g->victims[g->victim].id, lba, end);
	g->had_done = end - e->lba;
	if (!err && page != UINT64_MAX)
		err = bring_pages(g, page);
	return err < 0 ? err : page != UINT64_MAX;
}

/* What of the victim is still there. */
static void look_up(struct gc *g)
{
	int err = 0;

	while (!err && g->had_next < g->had_count) {
		err = look_up_extent(g, &g->had[g->had_next]);
		if (err > 0)
			return;
		g->had_next++;
		g->had_done = 0;
	}
	lsvd_free(g->had);
	g->had = NULL;
	if (err) {
		over(g, err);
		return;
	}
	g->victim++;
	/* The next one after the lock has been free for a moment. */
	g->step = (struct io){ .kind = IO_STEP, .done = header_step, .owner = g };
	lsvd_port_start(&g->v->port, &g->step);
}

static void header_done(struct io *io)
{
	struct gc *g = lsvd_container_of(io, struct gc, get.io);
	uint64_t victim = g->victims[g->victim].id;
	struct object_head head = { .kind = 0 };
	int err = io->err;

	count_request(g, g->get.ret_len);
	if (is_futile(g))
		return;
	if (!err)
		err = lsvd_object_head_decode(&head, g->header, g->get.ret_len, g->get.key);
	if (err == -ENODATA && g->get.ret_len == g->header_room) {
		get_header(g, head.header_bytes);
		return;
	}
	if (err == -ENODATA)
		err = LSVD_E_CORRUPT;
	if (!err)
		err = take_header(g, &head, victim);
	if (err) {
		leave_alone(g, victim, err);
		over(g, err);
		return;
	}
	look_up(g);
}

static void get_header(struct gc *g, size_t bytes)
{
	if (bytes > g->header_room) {
		uint8_t *p = lsvd_realloc(g->header, bytes);

		if (!p) {
			over(g, -ENOMEM);
			return;
		}
		g->header = p;
		g->header_room = bytes;
	}
	g->get.io = (struct io){ .kind = IO_GET, .done = header_done };
	g->get.ret_len = 0;
	g->get.buf = g->header;
	g->get.len = g->header_room;
	lsvd_port_start(&g->v->port, &g->get.io);
}

static void next_header(struct gc *g)
{
	struct lsvd_volume *v = g->v;
	const struct object_entry *e = NULL;

	while (g->victim < g->victim_count && !e) {
		e = lsvd_object_table_get(&v->objects, g->victims[g->victim].id);
		if (!e || e->died.epoch) {
			g->victim++;
			e = NULL;
		}
	}
	if (!e) {
		start_read(g);
		return;
	}
	lsvd_vol_object_key(g->get.key, v, e);
	get_header(g, HEADER_BYTES);
}

/* -------------------------------------------------------------------------------------- choosing */

/* If it died now it would stay: copying what lives in it gives nothing back. */
static bool is_kept(const struct lsvd_volume *v, const struct object_entry *e)
{
	return lsvd_snapshots_needing(&v->snapshots, e) != NULL;
}

/* Object numbers are given away in order: they are the time here. */
static int describe_objects(struct lsvd_volume *v, struct gc_segment **ret, unsigned *ret_n)
{
	const struct object_table *t = &v->objects;
	struct gc_segment *s = lsvd_malloc(t->used * sizeof *s);
	unsigned n = 0;

	if (!s)
		return lsvd_fail_plain(-ENOMEM);
	for (uint64_t i = lsvd_object_table_next(t, 0); i != UINT64_MAX;
	     i = lsvd_object_table_next(t, i + 1)) {
		const struct object_entry *e = lsvd_object_table_get(t, i);

		if (!lsvd_object_is_data(e) || e->ancestor)
			continue;
		s[n++] = (struct gc_segment){ .id = i, .data = e->data, .live = e->live,
					      .sealed = i, .written = i,
					      .class = e->home == HOME_MOVED,
					      .pinned = e->damaged || e->died.epoch || is_kept(v, e) };
	}
	*ret = s;
	*ret_n = n;
	return 0;
}

int lsvd_vol_gc_start(struct lsvd_volume *v, double target)
{
	struct gc_policy policy = { .strategy = GC_COST_BENEFIT, .target = target,
				    .budget = v->opt.segment_bytes, .now = v->objects.count };
	struct gc_segment *segments = NULL;
	struct gc *g = lsvd_calloc(1, sizeof *g);
	unsigned n = 0;
	int err;

	assert(!v->gc);
	if (!g)
		return lsvd_fail_plain(-ENOMEM);
	err = describe_objects(v, &segments, &n);
	if (!err)
		err = lsvd_gc_choose(segments, n, &policy, g->victims, VICTIMS_MAX);
	lsvd_free(segments);
	if (err <= 0) {
		lsvd_free(g);
		return err;
	}
	g->v = v;
	g->victim_count = (unsigned)err;
	v->gc = g;
	v->gc_err = 0;
	next_header(g);
	return 1;
}

/* ------------------------------------------------------------------------------------- the call */

static bool round_is_over(struct lsvd_volume *v, const void *arg)
{
	(void)arg;
	return v->failed || v->closing || !v->gc;
}

static bool all_is_deleted(struct lsvd_volume *v, const void *arg)
{
	(void)arg;
	return v->failed || v->closing || (!v->root_named_by && !v->deletion);
}

/* Rounds until the target is reached, or there is nothing more to choose. */
static int run_rounds(struct lsvd_volume *v, double target, uint32_t timeout_ms)
{
	int err = lsvd_vol_wait(v, round_is_over, NULL, timeout_ms); /* another's */

	while (!err) {
		err = lsvd_vol_gc_start(v, target);
		if (err <= 0)
			return err;
		err = lsvd_vol_wait(v, round_is_over, NULL, timeout_ms);
		/* What is damaged is passed over by the next round. */
		if (!err && v->gc_err && v->gc_err != LSVD_E_CORRUPT && v->gc_err != -ENOENT)
			err = lsvd_fail(v->gc_err, "volume %s: garbage collection: %s", v->name,
					lsvd_strerror(v->gc_err));
	}
	return err;
}

int lsvd_volume_gc(struct lsvd_volume *v, uint32_t percent, uint32_t timeout_ms)
{
	int err;

	if (v->readonly)
		return lsvd_fail(-EROFS, "volume %s is open read-only", v->name);
	if (percent < 100 || percent > 10000)
		return lsvd_fail(-EINVAL, "percent is %u, must be 100 to 10000", percent);
	err = lsvd_vol_refuse_offline(v, "space is given back");
	if (!err)
		err = lsvd_volume_sync(v, timeout_ms);
	if (err)
		return err;
	lsvd_port_enter(&v->port);
	err = run_rounds(v, percent / 100.0, timeout_ms);
	lsvd_port_leave(&v->port, true);
	if (!err)
		err = lsvd_volume_checkpoint(v, timeout_ms);
	if (err)
		return err;
	lsvd_port_enter(&v->port);
	err = lsvd_vol_wait(v, all_is_deleted, NULL, timeout_ms);
	lsvd_port_leave(&v->port, true);
	return err;
}

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vol_gc_move.c - what lives in the victims of a round is copied, so that they can be deleted.
 *
 * What their surveys have found is read and built into *moved* objects: one for each
 * stream (gc_choose.h), in order of address whatever it came from, cut at the size of a segment.
 * They are put as free objects, and a note adopts them all (vol_adopt.c). The victims are dead by
 * that, and leave after the next checkpoint (vol_delete.c).
 *
 *   READING -> BUILDING -> PUTTING -> ADOPTING -> over
 *      any -> over, with an error: nothing has happened; objects that were put are abandoned
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/err.h"
#include "base/hash.h"
#include "volume/vol_gc_round.h"

/*
 * At once, and of a segment: what is read lies in memory beside the round's buffer
 * until it is verified.
 */
#define READ_BYTES (UINT64_C(4) << 20)
#define READ_SHARE 2u

void lsvd_vol_free_round(struct lsvd_volume *v)
{
	struct gc_round *g = v->gc_round;

	if (!g)
		return;
	v->gc_round = NULL;
	for (unsigned i = 0; i < GC_SURVEYS; i++) {
		lsvd_free(g->surveys[i].header);
		lsvd_free(g->surveys[i].had);
	}
	for (unsigned i = 0; i < g->output_count; i++)
		lsvd_moved_fini(&g->outputs[i]);
	lsvd_free(g->outputs);
	lsvd_free(g->pieces);
	lsvd_free(g->extents);
	lsvd_huge_free(g->buf, g->buf_bytes);
	lsvd_free(g->records);
	lsvd_free(g->hashes);
	lsvd_free(g);
}

uint64_t lsvd_vol_gc_memory(const struct lsvd_volume *v)
{
	return v->gc_round ? v->gc_round->buf_bytes : 0;
}

static void over(struct gc_round *g, int err)
{
	struct lsvd_volume *v = g->v;

	if (!err)
		v->stats.gc_copied_bytes += g->bytes;
	lsvd_gc_moved(&v->gc, err, err ? 0 : g->bytes);
	lsvd_vol_maybe_checkpoint(v);
}

void lsvd_round_count(struct gc_round *g, uint64_t bytes)
{
	g->v->stats.gc_requests++;
	g->v->stats.gc_bytes += bytes;
}

int lsvd_round_futile(const struct gc_round *g)
{
	const struct lsvd_volume *v = g->v;

	return v->failed ? v->failed : v->closing ? LSVD_E_SHUTDOWN : 0;
}

void lsvd_round_leave_alone(struct gc_round *g, uint64_t object, int err, const char *why)
{
	struct object_entry *e = lsvd_object_table_get(&g->v->objects, object);

	if (!e || e->died.epoch || e->damaged || (err != LSVD_E_CORRUPT && err != -ENOENT))
		return;
	e->damaged = true;
	g->v->stats.gc_damaged++;
	lsvd_report(LSVD_LOG_ERROR, "volume %s: what lives in object %llu is not copied: %s is "
		    "damaged", g->v->name, (unsigned long long)object, why);
}

/* ------------------------------------------------------------------------------------- adopting */

static void adopted(struct adoption *a, int err)
{
	struct gc_round *g = lsvd_container_of(a, struct gc_round, adoption);

	lsvd_round_count(g, a->put.put_bytes);
	over(g, err);
}

static void give_up(struct gc_round *g, int err)
{
	for (unsigned i = 0; i < g->output_count; i++)
		if (g->outputs[i].adopt.object)
			lsvd_moved_abandon(g->v, &g->outputs[i]);
	over(g, err);
}

static void moved_put(struct log_free_put *put, int err)
{
	struct gc_round *g = put->owner;
	struct moved *m = lsvd_container_of(put, struct moved, put);

	lsvd_round_count(g, m->built->header_bytes + m->built->body_bytes);
	if (err && !g->err)
		g->err = err;
	if (--g->puts_left)
		return;
	if (!g->err)
		g->err = lsvd_round_futile(g);
	g->adoption.list = g->outputs;
	g->adoption.count = g->output_count;
	g->adoption.done = adopted;
	if (!g->err)
		g->err = lsvd_vol_adopt(g->v, &g->adoption);
	if (g->err)
		give_up(g, g->err);
}

static void put_outputs(struct gc_round *g)
{
	g->puts_left = g->output_count;
	for (unsigned i = 0; i < g->output_count; i++)
		lsvd_moved_put(g->v, &g->outputs[i], moved_put, g);
}

/* ------------------------------------------------------------------------------------- building */

/* Neighbours are one record; how many there are. */
static unsigned make_records(struct gc_round *g, const struct gc_piece *pieces, uint64_t count)
{
	uint64_t *hashes = g->hashes;
	unsigned n = 0;

	for (uint64_t i = 0; i < count; i++) {
		const struct gc_piece *p = &pieces[i];
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

static int make_runs(struct moved *m, const struct gc_piece *pieces, uint64_t count)
{
	m->runs = lsvd_malloc(count * sizeof *m->runs);
	if (!m->runs)
		return lsvd_fail_plain(-ENOMEM);
	for (uint64_t i = 0; i < count; i++) {
		const struct map_extent *e = &pieces[i].e;
		struct seg_run *last = m->run_count ? &m->runs[m->run_count - 1] : NULL;

		if (last && last->source == e->object)
			last->sectors += e->len;
		else
			m->runs[m->run_count++] = (struct seg_run){ e->len, e->object };
	}
	return 0;
}

static int build(struct gc_round *g, struct moved *m, const struct gc_piece *pieces, uint64_t count)
{
	struct seg_options options = g->v->seg_opt;
	int err = make_runs(m, pieces, count);

	options.moved = true;
	if (!err)
		err = lsvd_segment_build(&m->built, g->records, make_records(g, pieces, count),
					 g->v->owner, m->object, &options);
	return err;
}

/* The pieces, by class and lba, that go into one object from `from` on; returns where they end. */
static uint64_t one_output(const struct gc_round *g, uint64_t from)
{
	uint64_t bytes = 0, i = from;

	while (i < g->piece_count && g->pieces[i].class == g->pieces[from].class &&
	       (i == from || bytes + g->pieces[i].e.len * SECTOR_BYTES <= g->v->opt.segment_bytes))
		bytes += g->pieces[i++].e.len * SECTOR_BYTES;
	return i;
}

static unsigned count_outputs(const struct gc_round *g)
{
	unsigned n = 0;

	for (uint64_t i = 0; i < g->piece_count; i = one_output(g, i))
		n++;
	return n;
}

/* Without the lock. */
static void run_build(struct job_io *job)
{
	struct gc_round *g = lsvd_container_of(job, struct gc_round, job);
	uint64_t from = 0;

	for (unsigned i = 0; i < g->output_count && !job->io.err; i++) {
		uint64_t end = one_output(g, from);

		job->io.err = build(g, &g->outputs[i], g->pieces + from, end - from);
		from = end;
	}
}

static void build_done(struct io *io)
{
	struct gc_round *g = lsvd_container_of(io, struct gc_round, job.io);
	int err = io->err ? io->err : lsvd_round_futile(g);

	lsvd_free(g->records);
	lsvd_free(g->hashes);
	g->records = NULL;
	g->hashes = NULL;
	if (err)
		over(g, err);
	else
		put_outputs(g);
}

static void start_build(struct gc_round *g)
{
	unsigned n = count_outputs(g);
	uint64_t from = 0;

	g->records = lsvd_malloc(g->piece_count * sizeof *g->records);
	g->hashes = lsvd_malloc((g->bytes / BLOCK_BYTES + g->piece_count) * sizeof *g->hashes);
	g->outputs = lsvd_calloc(n, sizeof *g->outputs);
	if (!g->records || !g->hashes || !g->outputs) {
		over(g, -ENOMEM);
		return;
	}
	g->output_count = n;
	for (unsigned i = 0; i < n; i++, from = one_output(g, from)) {
		struct moved *m = &g->outputs[i];

		m->class = g->pieces[from].class;
		m->written = g->written[m->class];
		m->object = lsvd_log_reserve_object(g->v->log);
	}
	g->job.run = run_build;
	g->job.io.kind = IO_JOB;
	g->job.io.done = build_done;
	lsvd_port_start(&g->v->port, &g->job.io);
}

/* -------------------------------------------------------------------------------------- reading */

static int by_lba(const void *a, const void *b)
{
	const struct gc_piece *x = a, *y = b;

	return x->e.lba < y->e.lba ? -1 : x->e.lba > y->e.lba;
}

static int by_class(const void *a, const void *b)
{
	const struct gc_piece *x = a, *y = b;

	return x->class != y->class ? (x->class < y->class ? -1 : 1) : by_lba(a, b);
}

/* Without the lock: verified data of a piece, or of a part of one. */
static void take_data(struct read_req *req, uint64_t lba, const uint8_t *data, size_t bytes)
{
	struct gc_round *g = lsvd_container_of(req, struct gc_round, req);
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

/* What dies meanwhile is not deleted before all is read. */
static void hold_victims(struct gc_round *g)
{
	for (uint64_t i = 0; i < g->piece_count; i++)
		if (i == 0 || g->extents[i].object != g->extents[i - 1].object)
			lsvd_object_table_get(&g->v->objects, g->extents[i].object)->readers++;
}

static void let_go_of_victims(struct gc_round *g)
{
	for (uint64_t i = 0; i < g->piece_count; i++)
		if (i == 0 || g->extents[i].object != g->extents[i - 1].object)
			lsvd_vol_read_is_over(g->v, g->extents[i].object);
}

static void read_some(struct gc_round *g);

static void read_done(struct read_req *req)
{
	struct gc_round *g = lsvd_container_of(req, struct gc_round, req);
	int err = req->err ? req->err : lsvd_round_futile(g);

	if (!err && g->extents_read < g->piece_count) {
		read_some(g);
		return;
	}
	let_go_of_victims(g);
	if (req->err)
		lsvd_round_leave_alone(g, req->bad_object, req->err, "it");
	if (err) {
		over(g, err);
		return;
	}
	lsvd_free(g->extents);
	g->extents = NULL;
	qsort(g->pieces, g->piece_count, sizeof *g->pieces, by_class);
	start_build(g);
}

/* Bytes that are read for one more extent, with those that lie before it. */
static uint64_t span(const struct gc_round *g, const struct map_extent *e, uint64_t i)
{
	uint64_t end = lsvd_vol_reach(g->v, e);

	if (i > 0 && e[-1].object == e->object && e->off > e[-1].off &&
	    e->off - e[-1].off <= GC_JOIN_GAP_BYTES)
		return end - e[-1].off;
	return end - e->off;
}

static void read_some(struct gc_round *g)
{
	const uint64_t most = min_u64(g->v->opt.segment_bytes / READ_SHARE, READ_BYTES);
	const struct map_extent *from = g->extents + g->extents_read;
	uint64_t n = 0;
	int err;

	for (uint64_t bytes = 0; bytes < most && g->extents_read + n < g->piece_count; n++)
		bytes += span(g, from + n, n);
	g->extents_read += n;
	g->req = (struct read_req){ .v = g->v, .left = 1, .sink = take_data, .done = read_done };
	err = lsvd_vol_fetch(&g->req, from, (unsigned)n);
	lsvd_vol_read_part_done(&g->req, err);
}

static int by_place(const void *a, const void *b)
{
	const struct map_extent *x = a, *y = b;

	if (x->object != y->object)
		return x->object < y->object ? -1 : 1;
	return x->off != y->off ? (x->off < y->off ? -1 : 1) : x->lba < y->lba ? -1
									       : x->lba > y->lba;
}

/* In memory they lie as they will in the objects; they are found by address. */
static void place_pieces(struct gc_round *g)
{
	qsort(g->pieces, g->piece_count, sizeof *g->pieces, by_class);
	for (uint64_t i = 0, at = 0; i < g->piece_count; at += g->pieces[i++].e.len * SECTOR_BYTES)
		g->pieces[i].at = at;
	qsort(g->pieces, g->piece_count, sizeof *g->pieces, by_lba);
}

/* Objects may have died, and be gone, while headers and pages came. */
static void drop_dead(struct gc_round *g)
{
	uint64_t n = 0;

	g->bytes = 0;
	for (uint64_t i = 0; i < g->piece_count; i++) {
		const struct map_extent *e = &g->pieces[i].e;
		const struct object_entry *o = lsvd_object_table_get(&g->v->objects, e->object);

		if (!o || o->died.epoch)
			continue;
		g->bytes += e->len * SECTOR_BYTES;
		g->pieces[n++] = g->pieces[i];
	}
	g->piece_count = n;
}

void lsvd_round_move(void *ctx)
{
	struct lsvd_volume *v = ctx;
	struct gc_round *g = v->gc_round;

	if (g)
		drop_dead(g);
	/* or all of it died meanwhile */
	if (!g || g->err || lsvd_round_futile(g) || !g->piece_count) {
		lsvd_gc_moved(&v->gc, !g ? -ENOMEM : g->err ? g->err : lsvd_round_futile(g), 0);
		return;
	}
	g->extents = lsvd_malloc(g->piece_count * sizeof *g->extents);
	g->buf = lsvd_huge_alloc(g->bytes);
	g->buf_bytes = g->bytes;
	if (!g->extents || !g->buf) {
		over(g, -ENOMEM);
		return;
	}
	for (uint64_t i = 0; i < g->piece_count; i++)
		g->extents[i] = g->pieces[i].e;
	/* Surveys that wait for pages of the map take turns. */
	qsort(g->extents, g->piece_count, sizeof *g->extents, by_place);
	hold_victims(g);
	place_pieces(g);
	read_some(g);
}

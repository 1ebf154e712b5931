/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vol_gc.c - what lives in objects that mostly do not is copied, so that these can be deleted.
 *
 * When, and of which objects, is decided by the machine of log/log_gc.h; this is the volume's
 * part of a round. The victims' headers, several at a time, say what they were made with, and the
 * store map, the pages of which are brought where they are away (vol_pages.c), what of that is
 * still there. That is read, in one go, and built into *moved* objects: one for each stream
 * (gc_choose.h), in order of address whatever it came from, cut at the size of a segment. They
 * are put as free objects, and a note adopts them all (vol_adopt.c). The victims are dead by
 * that, and leave after the next checkpoint (vol_delete.c).
 *
 *   surveys (headers, the map) -> move: READING -> BUILDING -> PUTTING -> ADOPTING -> over
 *      any -> over, with an error: nothing has happened; objects that were put are abandoned
 *
 * By hand other objects are victims, too: those of a clone's ancestors (vol_flatten.c), and those
 * that are not full of what lives, to be packed.
 *
 * What does not verify is never copied: its object is marked, and left alone until the next open.
 * What is entirely dead is not read at all.
 *
 * Time is counted in bytes that users have written and that were stored (volume->written). It is not
 * stored itself: what is there at open is as old as its number says.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/err.h"
#include "base/hash.h"
#include "format/fmt_key.h"
#include "volume/vol_adopt.h"

#define HEADER_BYTES 65536u
#define BUDGET_SEGMENTS 2u
#define BY_HAND_SEGMENTS 4u    /* of what is copied to be together: one of so many is not full */
#define PIECE_SHARE 8u         /* of an object, at most, is one piece: so little is left free */

/* Sectors that live: where they are, and where they go to in the round's memory. */
struct gc_piece {
	struct map_extent e;
	uint64_t at;
	uint8_t class;
};

/* A victim's header on its way. */
struct survey {
	struct gc_round *g;
	struct gc_choice victim;
	struct obj_io get;
	uint8_t *header;
	size_t room;
	struct seg_extent *had;      /* what the victim was made with */
	uint32_t had_count, had_next;
	uint64_t had_done;           /* sectors of the next one */
	struct page_wait wait;       /* for a page of the map */
	struct io step;
	bool busy;
};

struct gc_round {
	struct lsvd_volume *v;
	struct survey surveys[GC_SURVEYS];
	int err;
	uint64_t written[GC_CLASSES]; /* when the newest of a stream's data was */

	struct gc_piece *pieces;     /* by victim and offset, then by lba */
	uint64_t piece_count, piece_room;
	uint64_t bytes;              /* of all pieces */
	struct map_extent *extents;  /* of the read */
	uint8_t *buf;
	struct read_req req;

	struct job_io job;
	struct seg_record *records;
	uint64_t *hashes;
	struct moved *outputs;
	unsigned output_count, puts_left;
	struct adoption adoption;
};

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
	lsvd_free(g->buf);
	lsvd_free(g->records);
	lsvd_free(g->hashes);
	lsvd_free(g);
}

static void end_round(void *ctx)
{
	lsvd_vol_free_round(ctx);
}

static void over(struct gc_round *g, int err)
{
	struct lsvd_volume *v = g->v;

	if (!err)
		v->stats.gc_copied_bytes += g->bytes;
	lsvd_gc_moved(&v->gc, err, err ? 0 : g->bytes);
	lsvd_vol_maybe_checkpoint(v);
}

static void count_request(struct gc_round *g, uint64_t bytes)
{
	g->v->stats.gc_requests++;
	g->v->stats.gc_bytes += bytes;
}

/* Is there no point in going on? */
static int futile(const struct gc_round *g)
{
	const struct lsvd_volume *v = g->v;

	return v->failed ? v->failed : v->closing ? LSVD_E_SHUTDOWN : 0;
}

/* If that is what the error says: it is not chosen again. */
static void leave_alone(struct gc_round *g, uint64_t object, int err, const char *why)
{
	struct object_entry *e = lsvd_object_table_get(&g->v->objects, object);

	if (!e || e->died.epoch || e->damaged || (err != LSVD_E_CORRUPT && err != -ENOENT))
		return;
	e->damaged = true;
	g->v->stats.gc_damaged++;
	lsvd_report(LSVD_LOG_ERROR, "volume %s: what lives in object %llu is not copied: %s is "
		    "damaged", g->v->name, (unsigned long long)object, why);
}

/* -------------------------------------------------------------------------------------- adopting */

static void adopted(struct adoption *a, int err)
{
	struct gc_round *g = lsvd_container_of(a, struct gc_round, adoption);

	count_request(g, a->put.put_bytes);
	over(g, err);
}

static void give_up(struct gc_round *g, int err)
{
	for (unsigned i = 0; i < g->output_count; i++)
		if (g->outputs[i].adopt.object && !g->outputs[i].put.up.failing)
			lsvd_moved_abandon(g->v, &g->outputs[i]);
	over(g, err);
}

static void moved_put(struct log_free_put *put, int err)
{
	struct gc_round *g = put->owner;
	struct moved *m = lsvd_container_of(put, struct moved, put);

	count_request(g, m->built->header_bytes + m->built->body_bytes);
	if (err && !g->err)
		g->err = err;
	if (--g->puts_left)
		return;
	if (!g->err)
		g->err = futile(g);
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

/* -------------------------------------------------------------------------------------- building */

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
	int err = io->err ? io->err : futile(g);

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

/* --------------------------------------------------------------------------------------- reading */

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

static void read_done(struct read_req *req)
{
	struct gc_round *g = lsvd_container_of(req, struct gc_round, req);
	int err = req->err ? req->err : futile(g);

	if (req->err)
		leave_alone(g, req->bad_object, req->err, "it");
	if (err) {
		over(g, err);
		return;
	}
	lsvd_free(g->extents);
	g->extents = NULL;
	qsort(g->pieces, g->piece_count, sizeof *g->pieces, by_class);
	start_build(g);
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

static void move(void *ctx)
{
	struct lsvd_volume *v = ctx;
	struct gc_round *g = v->gc_round;
	int err;

	if (g)
		drop_dead(g);
	if (!g || g->err || futile(g) || !g->piece_count) { /* or all of it died meanwhile */
		lsvd_gc_moved(&v->gc, !g ? -ENOMEM : g->err ? g->err : futile(g), 0);
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
	place_pieces(g);
	g->req = (struct read_req){ .v = v, .left = 1, .sink = take_data, .done = read_done };
	err = lsvd_vol_fetch(&g->req, g->extents, (unsigned)g->piece_count);
	lsvd_vol_read_part_done(&g->req, err);
}

/* --------------------------------------------------------------------------------------- headers */

static int add_piece(struct gc_round *g, const struct map_extent *e, uint8_t class)
{
	if (g->piece_count == g->piece_room) {
		uint64_t room = g->piece_room ? g->piece_room * 2 : 1024;
		void *p = lsvd_realloc(g->pieces, room * sizeof *g->pieces);

		if (!p)
			return lsvd_fail_plain(-ENOMEM);
		g->pieces = p;
		g->piece_room = room;
	}
	g->pieces[g->piece_count++] = (struct gc_piece){ .e = *e, .class = class };
	g->bytes += e->len * SECTOR_BYTES;
	return 0;
}

/* What the map still has of the victim in a range whose pages are here. */
static int add_live(struct gc_round *g, const struct gc_choice *victim, uint64_t lba, uint64_t end)
{
	const uint64_t most = max_u64(g->v->opt.segment_bytes / PIECE_SHARE, BLOCK_BYTES) / SECTOR_BYTES;
	struct map_extent e;
	int err = 0;

	while (!err && lba < end && lsvd_store_map_find(g->v->map, lba, &e) && e.lba < end) {
		uint64_t from = max_u64(lba, e.lba);
		struct map_extent part = lsvd_vol_extent_part(&e, from, min_u64(end, from + most));

		lba = part.lba + part.len;
		if (part.kind != MAP_ZERO && part.object == victim->id)
			err = add_piece(g, &part, victim->class);
	}
	return err;
}

/* The extents of the header, whole and verified; allocated. */
static int read_extents(const struct survey *s, const struct object_head *head,
			struct seg_extent **ret, uint32_t *count)
{
	struct moved_part moved;
	struct chain_part chain;
	int err;

	if (head->kind == OBJECT_MOVED) {
		err = lsvd_moved_part_decode(&moved, s->header, head, s->get.key);
		return err ? err : lsvd_segment_moved_extents(ret, count, s->header, head, &moved,
							      s->get.key);
	}
	err = lsvd_chain_part_decode(&chain, s->header, head, s->get.key);
	return err ? err : lsvd_segment_extents(ret, count, s->header, head, &chain, s->get.key);
}

static int take_header(struct survey *s, const struct object_head *head)
{
	struct gc_round *g = s->g;
	const struct object_entry *e = lsvd_object_table_get(&g->v->objects, s->victim.id);
	int err;

	s->had_count = s->had_next = 0;
	s->had_done = 0;
	if (!e || e->died.epoch)
		return 0; /* nothing is left of it by now */
	err = lsvd_object_head_expect(head, lsvd_vol_uuid_of(g->v, s->victim.id), 0, e->epoch,
				      e->seq, s->get.key);
	if (!err && head->object != s->victim.id)
		err = lsvd_fail(LSVD_E_CORRUPT, "object %s: number %llu, expected %llu", s->get.key,
				(unsigned long long)head->object, (unsigned long long)s->victim.id);
	if (!err)
		err = read_extents(s, head, &s->had, &s->had_count);
	if (!err)
		g->written[s->victim.class] = max_u64(g->written[s->victim.class], e->written);
	return err;
}

static void survey_stepped(struct io *io)
{
	struct survey *s = io->owner;

	s->busy = false;
	lsvd_gc_surveyed(&s->g->v->gc);
}

/* The machine is told after the lock has been free for a moment. */
static void survey_over(struct survey *s, int err, const char *damaged)
{
	struct gc_round *g = s->g;

	lsvd_free(s->had);
	s->had = NULL;
	leave_alone(g, s->victim.id, err, damaged);
	if (err && err != LSVD_E_CORRUPT && err != -ENOENT && !g->err)
		g->err = err;
	s->step = (struct io){ .kind = IO_STEP, .done = survey_stepped, .owner = s };
	lsvd_port_start(&g->v->port, &s->step);
}

static void look_up(struct survey *s);

static void page_came(struct page_wait *w, int err)
{
	struct survey *s = lsvd_container_of(w, struct survey, wait);

	if (futile(s->g))
		err = futile(s->g);
	if (err)
		survey_over(s, err, "a page of the map");
	else
		look_up(s);
}

/* The pages of the extents that follow are away: they come together. */
static int bring_pages(struct survey *s, uint64_t page)
{
	struct lsvd_volume *v = s->g->v;
	int err;

	s->wait = (struct page_wait){ .page = page, .done = page_came };
	err = lsvd_vol_want_page(v, &s->wait);
	for (uint32_t i = s->had_next, n = 0; !err && i < s->had_count && n < PAGES_SOON; i++, n++)
		lsvd_vol_want_soon(v, s->had[i].lba, s->had[i].lba + s->had[i].sectors, 1);
	return err;
}

/* As much of an extent as there are pages for. 1: the rest is looked up when one has come. */
static int look_up_extent(struct survey *s, const struct seg_extent *e)
{
	uint64_t lba = e->lba + s->had_done, end = e->lba + e->sectors;
	uint64_t page = lsvd_vol_away(s->g->v, lba, end);
	int err;

	if (e->kind == SEG_HOLE || e->kind == SEG_ZERO)
		return 0; /* nothing to copy, however long */
	if (page != UINT64_MAX)
		end = max_u64(lba, page * STORE_MAP_PAGE_SECTORS);
	err = add_live(s->g, &s->victim, lba, end);
	s->had_done = end - e->lba;
	if (!err && page != UINT64_MAX)
		err = bring_pages(s, page);
	return err < 0 ? err : page != UINT64_MAX;
}

/* What of the victim is still there. */
static void look_up(struct survey *s)
{
	int err = 0;

	while (!err && s->had_next < s->had_count) {
		err = look_up_extent(s, &s->had[s->had_next]);
		if (err > 0)
			return;
		s->had_next++;
		s->had_done = 0;
	}
	survey_over(s, err, "it");
}

static void get_header(struct survey *s, size_t bytes);

static void header_done(struct io *io)
{
	struct survey *s = lsvd_container_of(io, struct survey, get.io);
	struct object_head head = { .kind = 0 };
	int err = io->err;

	count_request(s->g, s->get.ret_len);
	if (futile(s->g))
		err = futile(s->g);
	if (!err)
		err = lsvd_object_head_decode(&head, s->header, s->get.ret_len, s->get.key);
	if (err == -ENODATA && s->get.ret_len == s->room) {
		get_header(s, head.header_bytes);
		return;
	}
	if (err == -ENODATA)
		err = LSVD_E_CORRUPT;
	if (!err)
		err = take_header(s, &head);
	if (err)
		survey_over(s, err, "it");
	else
		look_up(s);
}

static void get_header(struct survey *s, size_t bytes)
{
	if (bytes > s->room) {
		uint8_t *p = lsvd_realloc(s->header, bytes);

		if (!p) {
			survey_over(s, -ENOMEM, "");
			return;
		}
		s->header = p;
		s->room = bytes;
	}
	s->get.io = (struct io){ .kind = IO_GET, .done = header_done };
	s->get.ret_len = 0;
	s->get.buf = s->header;
	s->get.len = s->room;
	lsvd_port_start(&s->g->v->port, &s->get.io);
}

static struct gc_round *this_round(struct lsvd_volume *v)
{
	if (!v->gc_round) {
		v->gc_round = lsvd_calloc(1, sizeof *v->gc_round);
		if (v->gc_round)
			v->gc_round->v = v;
	}
	return v->gc_round;
}

static void survey(void *ctx, const struct gc_choice *victim)
{
	struct lsvd_volume *v = ctx;
	const struct object_entry *e = lsvd_object_table_get(&v->objects, victim->id);
	struct gc_round *g = this_round(v);
	struct survey *s = g ? g->surveys : NULL;

	if (!g || g->err || !e || e->died.epoch) { /* or there is nothing left of it by now */
		lsvd_gc_surveyed(&v->gc);
		return;
	}
	while (s->busy)
		s++; /* the machine has no more out than there are */
	s->busy = true;
	s->g = g;
	s->victim = *victim;
	lsvd_vol_object_key(s->get.key, v, e);
	get_header(s, HEADER_BYTES);
}

/* ------------------------------------------------------------------------- what the machine asks */

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
		policy->budget = (uint64_t)BY_HAND_SEGMENTS * v->opt.segment_bytes;
	}
	*ret = s;
	*ret_n = n;
	return 0;
}

static const struct log_gc_ops gc_ops = {
	.sums = sums,
	.describe = describe,
	.survey = survey,
	.move = move,
	.end_round = end_round,
};

void lsvd_vol_gc_lost(struct lsvd_volume *v, const struct object_entry *e)
{
	if (e && !e->live && e->class == GC_HOT && e->home == HOME_CHAIN)
		v->lifespan = gc_lifespan(v->lifespan, v->written - e->written);
}

void lsvd_vol_gc_poke(struct lsvd_volume *v)
{
	if (!v->closing && !v->failed)
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

/* What died in an earlier open, or was a snapshot's alone: nothing else would ask for a checkpoint. */
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
};

void lsvd_vol_gc_init(struct lsvd_volume *v)
{
	const struct lsvd_volume_options *o = &v->opt;
	const struct log_gc_options options = {
		.automatic = o->gc == LSVD_GC_AUTO && v->log && !v->readonly && !v->rebuild,
		.policy = { .strategy = strategy_of[o->gc_strategy],
			    .target = o->gc_target_percent / 100.0,
			    .stale = gc_stale_of(o->gc_target_percent / 100.0),
			    .budget = (uint64_t)BUDGET_SEGMENTS * o->segment_bytes },
		.rate = o->gc_bytes_per_second == UINT64_MAX ? 0 : o->gc_bytes_per_second,
		.idle_ms = o->gc_idle_ms,
	};

	lsvd_port_enter(&v->port);
	lsvd_gc_init(&v->gc, &v->port, &options, &gc_ops, v);
	guess_ages(v);
	v->last_write_ms = lsvd_vol_now(v); /* it has not been idle yet */
	lsvd_port_leave(&v->port, false);
}

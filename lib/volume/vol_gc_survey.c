/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vol_gc_survey.c - what still lives in a victim.
 *
 * Its header says what it was made with; the store map, the pages of which are brought where they
 * are away (vol_pages.c), what of that is still there. Several at a time, each by itself:
 *
 *   header -> its extents in the map, page after page -> over
 *     | it is not there
 *     v
 *   look for a newer writer -> over: fenced; or damaged, if there is none; or to be tried again
 */
#include <errno.h>

#include "base/alloc.h"
#include "base/err.h"
#include "volume/vol_gc_round.h"

#define HEADER_BYTES 65536u
#define PIECE_SHARE 8u         /* of an object, at most, is one piece: so little is left free */

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
	const uint64_t most =
		max_u64(g->v->opt.segment_bytes / PIECE_SHARE, BLOCK_BYTES) / SECTOR_BYTES;
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
	lsvd_round_leave_alone(g, s->victim.id, err, damaged);
	if (err && err != LSVD_E_CORRUPT && err != -ENOENT && !g->err)
		g->err = err;
	s->step = (struct io){ .kind = IO_STEP, .done = survey_stepped, .owner = s };
	lsvd_port_start(&g->v->port, &s->step);
}

static void look_up(struct survey *s);

static void page_came(struct page_wait *w, int err)
{
	struct survey *s = lsvd_container_of(w, struct survey, wait);

	if (lsvd_round_futile(s->g))
		err = lsvd_round_futile(s->g);
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

/* A newer writer may have removed it. If nobody knows now, the next round asks again. */
static void looked(struct log_look *look, int err)
{
	survey_over(look->owner, err ? err : -ENOENT, "it");
}

static void get_header(struct survey *s, size_t bytes);

static void header_done(struct io *io)
{
	struct survey *s = lsvd_container_of(io, struct survey, get.io);
	struct object_head head = { .kind = 0 };
	int err = io->err;

	lsvd_round_count(s->g, s->get.ret_len);
	if (lsvd_round_futile(s->g))
		err = lsvd_round_futile(s->g);
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
	if (err == -ENOENT) {
		s->look = (struct log_look){ .done = looked, .owner = s };
		lsvd_log_look(s->g->v->log, &s->look);
	} else if (err) {
		survey_over(s, err, "it");
	} else {
		look_up(s);
	}
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

void lsvd_round_survey(void *ctx, const struct gc_choice *victim)
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

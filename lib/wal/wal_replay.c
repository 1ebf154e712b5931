/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * wal_replay.c - finding out what the log holds: which groups follow one another from the tail on.
 *
 * A group follows if its header verifies for its position, its operations continue those before it,
 * and its run does: the same run, or a newer one that names the run before it; from the place where
 * the newest run began only that run counts (what a cut tail left behind is void for ever, however
 * often one crashes before anything is written over it).
 *
 * Where nothing follows that verifies there is either the end of the log, torn or not, or damage.
 * So groups are looked for behind it, and what lies between is a *gap*. What it is depends on the
 * operations that are missing, and on what the store has, which is known only later
 * (lsvd_wal_settle):
 *
 *   - none is missing, or the store has them: damage that does not matter. What is stored was
 *     durable, so it was no torn tail, and what lies behind belongs to the same history.
 *   - else, if something vouches for what lay there (the superblock's durable mark, the watermark
 *     of a later group): damage, and operations are lost. That refuses the open, or is cut off if
 *     told so.
 *   - else it is a torn tail and is cut: what lies behind was never acknowledged as durable, and
 *     must not be taken without what it followed.
 *
 * Behind a gap a group of an older run may lie, void since a run that began before it: then the
 * groups of that run say so by going on from an earlier operation, and what was taken is let go.
 *
 * What no watermark vouches for is read again past the page cache: after a failed sync the page
 * cache shows bytes that the disk never got.
 */
#include "wal/wal_internal.h"

#include <assert.h>
#include <errno.h>

#include "base/alloc.h"
#include "base/err.h"
#include "base/hash.h"

#define WINDOW_BYTES (4u << 20)  /* read at once; a group fits in it wherever it starts */
#define SEARCH_BYTES (64u << 20) /* how far beyond a bad group a watermark is looked for */

struct scan {
	struct wal *w;
	uint8_t *window;
	uint64_t window_pos;         /* position of its first byte */
	uint64_t window_len;
	bool past_cache;
	uint64_t pos, op, run;       /* where the next group must continue */
	uint64_t mark;               /* the newest watermark in groups that were taken */
	uint64_t voucher;            /* and in headers behind them */
	const char *why;             /* why the chain ended */
	struct wal_group_head bad;   /* a group that follows, and whose data does not
				      * verify; or run 0 */
};

/*
 * Makes [pos, pos + len) readable in the window; it lies in one piece of the ring. -ENODATA if not.
 */
static int look_at(struct scan *s, uint64_t pos, uint64_t len, uint8_t **ret)
{
	struct wal *w = s->w;
	uint64_t to_end = w->ring_bytes - pos % w->ring_bytes;
	struct file_io io;
	int err;

	if (len > to_end || len > WINDOW_BYTES)
		return -ENODATA;
	if (pos < s->window_pos || pos + len > s->window_pos + s->window_len) {
		s->window_pos = pos;
		s->window_len = min_u64(WINDOW_BYTES, to_end);
		io = (struct file_io){ .io = { .kind = IO_FILE_READ }, .file = w->file,
				       .off = lsvd_wal_file_off(w, pos), .buf = s->window,
				       .len = s->window_len, .past_cache = s->past_cache };
		err = lsvd_port_run1(w->port, &io.io);
		if (err) {
			s->window_len = 0;
			return err;
		}
	}
	*ret = s->window + (pos - s->window_pos);
	return 0;
}

static bool continues(const struct scan *s, const struct wal_group_head *h)
{
	const struct wal_super *super = &s->w->super;

	if (h->run > super->run || (h->pos >= super->run_start && h->run != super->run))
		return false;
	if (h->first_op != s->op)
		return false;
	return h->run == s->run || (h->run > s->run && h->prev_run == s->run);
}

static bool data_matches(const struct scan *s, const struct wal_group *g, const uint8_t *data)
{
	for (uint32_t r = 0; r < g->head.records; r++) {
		const struct wal_record *rec = &g->records[r];

		for (uint32_t i = 0; i < wal_record_blocks(rec); i++)
			if (!lsvd_wal_verify(s->w, g, rec->block + i,
					     data + (size_t)(rec->block + i) * BLOCK_BYTES,
					     wal_block_bytes(rec, i)))
				return false;
	}
	return true;
}

/*
 * The group at s->pos: 0 and the group, 1 if there is none that follows and verifies, or a negative
 * code of reading.
 */
static int read_group(struct scan *s, struct wal_group **ret)
{
	struct wal *w = s->w;
	struct wal_group_head h;
	struct wal_group *g = NULL;
	uint8_t *p;
	int err;

	s->bad.run = 0;
	err = look_at(s, s->pos, BLOCK_BYTES, &p);
	if (err)
		return err;
	s->why = "no group there";
	if (!lsvd_wal_group_peek(&h, p, s->pos))
		return 1;
	err = look_at(s, s->pos, (uint64_t)h.header_bytes + h.data_bytes, &p);
	if (err)
		return err == -ENODATA ? 1 : err;
	g = lsvd_wal_group_new(w, h.records, h.data_bytes / BLOCK_BYTES);
	if (!g)
		return lsvd_fail_plain(-ENOMEM);
	g->head = h;
	g->bound = g->replayed = true;
	g->state = WAL_PUBLISHED;
	s->why = "its header does not verify";
	if (!lsvd_wal_group_decode(p, &h, g->records, g->hashes, w->owner))
		goto none;
	s->why = "it does not follow the group before it";
	if (!continues(s, &h))
		goto none;
	s->why = "its data does not verify";
	if (!data_matches(s, g, p + h.header_bytes)) {
		s->bad = h;
		goto none;
	}
	if (h.flags & WAL_GROUP_PAD)
		g->span = (uint32_t)(w->ring_bytes - h.pos % w->ring_bytes);
	*ret = g;
	return 0;
none:
	lsvd_wal_group_free(w, g);
	return 1;
}

static void advance(struct scan *s, const struct wal_group *g)
{
	s->pos += g->span;
	s->op += g->lost ? g->lost_ops : g->head.records;
	s->run = g->head.run;
	if (!g->lost)
		s->mark = max_u64(s->mark, g->head.durable);
}

/* ---------------------------------------------------------------------------------------- gaps */

/* From s->pos to `end`, where operation `op` of run `run` is next. */
static int add_gap(struct scan *s, uint64_t end, uint64_t op, uint64_t run)
{
	struct wal *w = s->w;
	struct wal_group *g = lsvd_wal_group_new(w, 0, 0);

	if (!g)
		return lsvd_fail_plain(-ENOMEM);
	assert(end - s->pos <= UINT32_MAX); /* a search, and an end of the ring */
	w->gaps[w->gap_count++] = (struct wal_gap){ .pos = s->pos, .end = end, .first_op = s->op,
						    .last_op = op - 1, .run = s->run, .why = s->why,
						    .known = s->bad.run };
	g->head.pos = s->pos;
	g->head.first_op = s->op;
	g->head.run = run;
	g->span = (uint32_t)(end - s->pos);
	g->lost = true;
	g->lost_ops = op - s->op;
	g->state = WAL_PUBLISHED;
	list_add_tail(&w->groups, &g->link);
	advance(s, g);
	return 0;
}

/* May a group with this header lie behind a gap at s->pos? */
static bool comes_later(const struct scan *s, const struct wal_group_head *h)
{
	const struct wal_super *super = &s->w->super;

	if (h->run < s->run || h->run > super->run ||
	    (h->pos >= super->run_start && h->run != super->run))
		return false;
	return h->pos > s->pos && h->first_op >= s->op;
}

/* Does it show that what was taken behind the newest gap is of a run that was void by then? */
static bool contradicts(const struct scan *s, const struct wal_group_head *h)
{
	const struct wal *w = s->w;

	return w->gap_count && h->run > s->run && h->run <= w->super.run && h->first_op < s->op &&
	       h->first_op >= w->gaps[w->gap_count - 1].first_op;
}

static void unwind(struct scan *s)
{
	struct wal *w = s->w;
	const struct wal_gap *gap = &w->gaps[--w->gap_count];

	while (!list_empty(&w->groups)) {
		struct wal_group *g = list_last(&w->groups, struct wal_group, link);

		if (g->head.pos < gap->pos)
			break;
		list_del(&g->link);
		lsvd_wal_group_free(w, g);
	}
	s->pos = gap->pos;
	s->op = gap->first_op;
	s->run = gap->run;
	s->why = gap->why;
}

struct look {
	struct wal_record *records;
	uint64_t *bound;
	struct wal_group_head head;
};

/* Is there a group's header at `pos`, and does it verify? 1: yes, it is in l->head. */
static int header_at(struct scan *s, struct look *l, uint64_t pos)
{
	uint8_t *p;
	int err = look_at(s, pos, BLOCK_BYTES, &p);

	if (err)
		return err;
	if (!lsvd_wal_group_peek(&l->head, p, pos))
		return 0;
	err = look_at(s, pos, l->head.header_bytes, &p);
	if (err)
		return err == -ENODATA ? 0 : err;
	return lsvd_wal_group_decode(p, &l->head, l->records, l->bound, s->w->owner);
}

/* The first group behind s->pos that can be read again: 1, in l->head; 0: none. */
static int find_next(struct scan *s, struct look *l)
{
	uint64_t limit = min_u64(s->w->super.tail + s->w->ring_bytes, s->pos + SEARCH_BYTES);
	const char *why = s->why;
	int err;

	for (uint64_t pos = s->pos; pos < limit; pos += BLOCK_BYTES) {
		err = header_at(s, l, pos);
		if (err < 0)
			return err;
		if (err && l->head.run >= s->run && l->head.run <= s->w->super.run)
			s->voucher = max_u64(s->voucher, l->head.durable);
		if (err && contradicts(s, &l->head)) {
			unwind(s);
			return 1;
		}
		if (err && comes_later(s, &l->head))
			return 1;
	}
	s->why = why;
	return 0;
}

static int search(struct scan *s, struct look *l)
{
	int err = -ENOMEM;

	l->records = lsvd_calloc(WAL_GROUP_RECORDS_MAX, sizeof *l->records);
	l->bound = lsvd_calloc(WAL_GROUP_DATA_MAX / BLOCK_BYTES, sizeof *l->bound);
	if (l->records && l->bound)
		err = find_next(s, l);
	else
		(void)lsvd_fail_plain(err);
	lsvd_free(l->records);
	lsvd_free(l->bound);
	return err;
}

/*
 * What is at s->pos does not follow. 1: something behind it does, and there is a gap; 0: nothing.
 */
static int step_over(struct scan *s)
{
	struct look l;
	int err;

	if (s->w->gap_count == WAL_GAPS_MAX)
		return 0;
	if (s->bad.run) {
		s->mark = max_u64(s->mark, s->bad.durable);
		err = add_gap(s, s->pos + s->bad.header_bytes + s->bad.data_bytes,
			      s->op + s->bad.records, s->bad.run);
		return err < 0 ? err : 1;
	}
	err = search(s, &l);
	if (err > 0)
		err = add_gap(s, l.head.pos, l.head.first_op, l.head.run) < 0 ? -ENOMEM : 1;
	return err;
}

/* The end: if something was durable there, it is damage, and nobody knows how much. */
static void end_of_chain(struct scan *s)
{
	struct wal *w = s->w;
	uint64_t durable = max_u64(s->mark, s->voucher);

	if (durable > s->pos || w->gap_count == WAL_GAPS_MAX)
		w->gaps[w->gap_count++] = (struct wal_gap){
			.pos = s->pos, .end = s->pos, .first_op = s->op, .last_op = UINT64_MAX,
			.run = s->run, .vouched = true, .why = s->why,
		};
	for (unsigned i = 0; i < w->gap_count; i++)
		w->gaps[i].vouched = w->gaps[i].vouched || durable > w->gaps[i].pos;
}

/* ----------------------------------------------------------------------------------- the log */

/* Reads groups until nothing follows. */
static int find_groups(struct scan *s)
{
	struct wal *w = s->w;
	struct wal_group *g;
	int err;

	for (;;) {
		if (s->pos - w->super.tail >= w->ring_bytes) {
			s->why = "the ring is full";
			return 0;
		}
		err = read_group(s, &g);
		if (err > 0) {
			err = step_over(s);
			if (err > 0)
				continue;
			return err;
		}
		if (err < 0)
			return err;
		list_add_tail(&w->groups, &g->link);
		lsvd_wal_group_index(w, g);
		advance(s, g);
	}
}

/* Groups and gaps from `pos` on are no part of the log. */
static void cut_at(struct wal *w, uint64_t pos)
{
	while (!list_empty(&w->groups)) {
		struct wal_group *g = list_last(&w->groups, struct wal_group, link);

		if (g->head.pos < pos)
			break;
		list_del(&g->link);
		lsvd_wal_group_free(w, g);
	}
	while (w->gap_count && w->gaps[w->gap_count - 1].pos >= pos)
		w->gap_count--;
}

/* Reads again, past the page cache, what lies above every watermark; cuts where that differs. */
static int confirm_unmarked(struct scan *s)
{
	struct wal *w = s->w;
	struct list *node = w->groups.next;
	struct wal_group *g, *again;
	bool damaged;
	int err = 0;

	s->past_cache = true;
	s->window_len = 0;
	s->pos = w->super.tail;
	s->op = w->super.tail_op;
	s->run = w->super.tail_run;
	while (node != &w->groups) {
		g = list_entry(node, struct wal_group, link);
		if (!g->lost && g->head.pos + g->span > s->mark) {
			err = read_group(s, &again);
			if (err)
				break;
			lsvd_wal_group_free(w, again);
		}
		advance(s, g);
		node = node->next;
	}
	if (err < 0)
		return err;
	if (node == &w->groups)
		return 0;
	damaged = w->gap_count && w->gaps[w->gap_count - 1].last_op == UINT64_MAX;
	cut_at(w, s->pos);
	if (damaged)
		w->gaps[w->gap_count++] = (struct wal_gap){
			.pos = s->pos, .end = s->pos, .first_op = s->op, .last_op = UINT64_MAX,
			.run = s->run, .vouched = true, .why = s->why,
		};
	return 0;
}

static void note_found(struct scan *s, struct wal_found *found)
{
	struct wal *w = s->w;

	w->head = w->published = w->dirty = s->pos;
	w->stored = w->given_up = w->super.tail;
	w->durable = min_u64(s->mark, s->pos);
	w->next_op = s->op;
	w->published_op = w->durable_op = s->op - 1;
	w->stored_op = w->super.tail_op - 1;
	w->stored_run = w->super.tail_run;
	w->last_run = s->run;
	w->marked = s->mark;
	*found = (struct wal_found){
		.fresh = w->super.flags & WAL_SUPER_EMPTY,
		.cache_id = w->super.cache_id,
		.epoch = w->super.epoch,
		.base_epoch = w->super.base_epoch,
		.run = w->super.run,
		.whole_run = w->super.whole_run,
		.offline_op = w->super.offline_op,
		.first_op = w->super.tail_op,
		.last_op = s->op - 1,
		.bytes = s->pos - w->super.tail,
		.gaps = w->gap_count,
	};
	list_for_each(n, &w->groups)
		found->groups++;
}

int lsvd_wal_replay(struct wal *w, struct wal_found *found)
{
	struct scan s = { .w = w, .pos = w->super.tail, .op = w->super.tail_op,
			  .run = w->super.tail_run, .mark = w->super.durable };
	uint64_t end;
	int err;

	if (w->unmade) {
		note_found(&s, found);
		return 0;
	}
	s.window = lsvd_aligned_alloc(BLOCK_BYTES, min_u64(WINDOW_BYTES, w->ring_bytes));
	if (!s.window)
		return lsvd_fail_plain(-ENOMEM);
	err = find_groups(&s);
	if (!err)
		end_of_chain(&s);
	end = s.pos;
	if (!err)
		err = confirm_unmarked(&s);
	if (!err)
		note_found(&s, found);
	if (!err)
		found->cut = s.pos != end;
	if (!err)
		lsvd_report(LSVD_LOG_DEBUG, "%s: operations %llu to %llu in %llu groups; ends "
			    "at %llu (%s)%s", w->name, (unsigned long long)found->first_op,
			    (unsigned long long)found->last_op, (unsigned long long)found->groups,
			    (unsigned long long)s.pos, s.why,
			    found->cut ? ", cut where the disk has something else" : "");
	lsvd_free(s.window);
	return err;
}

/* ---------------------------------------------------------------- once the store has been asked */

static int lost(const struct wal *w, const struct wal_gap *gap, uint64_t stored_op)
{
	return lsvd_fail(LSVD_E_CORRUPT, "%s: damaged at %llu (%s), below its durable mark: "
			 "operations from %llu on were flushed and cannot be read, and the store "
			 "has no more than %llu; accepting a rollback goes on before them", w->name,
			 (unsigned long long)gap->pos, gap->why, (unsigned long long)gap->first_op,
			 (unsigned long long)stored_op);
}

/* The first gap that matters, NULL if none does. */
static const struct wal_gap *first_loss(const struct wal *w, uint64_t stored_op)
{
	for (unsigned i = 0; i < w->gap_count; i++)
		if (w->gaps[i].last_op >= w->gaps[i].first_op && w->gaps[i].last_op > stored_op)
			return &w->gaps[i];
	return NULL;
}

int lsvd_wal_holds(const struct wal *w, uint64_t stored_op, bool cut, uint64_t *ret_last_op,
		   bool *ret_cut)
{
	const struct wal_gap *gap = first_loss(w, stored_op);

	if (gap && gap->vouched && !cut)
		return lost(w, gap, stored_op);
	*ret_last_op = gap ? gap->first_op - 1 : w->next_op - 1;
	*ret_cut = gap && gap->vouched;
	return 0;
}

/* The log ends before the gap. */
static void end_before(struct wal *w, const struct wal_gap *at)
{
	const struct wal_gap gap = *at;

	cut_at(w, gap.pos);
	w->head = w->published = w->dirty = gap.pos;
	w->durable = min_u64(w->durable, gap.pos);
	w->marked = min_u64(w->marked, gap.pos);
	w->next_op = gap.first_op;
	w->published_op = w->durable_op = gap.first_op - 1;
	w->last_run = gap.run;
}

static void cut_gap(struct wal *w, const struct wal_gap *gap)
{
	lsvd_report(gap->vouched ? LSVD_LOG_ERROR : LSVD_LOG_DEBUG,
		    "%s: %s at %llu (%s): cut there%s", w->name, gap->vouched ? "damaged" : "torn",
		    (unsigned long long)gap->pos, gap->why, gap->vouched ? ", as asked" : "");
	end_before(w, gap);
}

/* All of it is in the store. */
static void empty(struct wal *w)
{
	cut_at(w, w->super.tail);
	w->super.tail = w->stored = w->given_up = w->head;
	w->super.tail_op = w->next_op;
	w->super.stored_op = w->stored_op = w->next_op - 1;
}

/*
 * No gap that only what lay behind it has bounded may be the log's end. The next run begins with a
 * mark that vouches for all before it: whoever opens the log before another group has been written
 * would find that something durable is missing, and could not tell that it was nothing.
 */
static void leave_no_gap_last(struct wal *w)
{
	while (w->gap_count) {
		const struct wal_gap *gap = &w->gaps[w->gap_count - 1];

		if (gap->end != w->head || gap->known)
			break;
		if (gap->last_op < gap->first_op)
			end_before(w, gap);
		else
			empty(w);
	}
}

int lsvd_wal_settle(struct wal *w, uint64_t stored_op, bool cut)
{
	const struct wal_gap *gap = first_loss(w, stored_op);

	if (gap && gap->vouched && !cut)
		return lost(w, gap, stored_op);
	if (gap)
		cut_gap(w, gap);
	for (unsigned i = 0; i < w->gap_count; i++)
		lsvd_report(LSVD_LOG_WARN, "%s: damaged at %llu, %llu bytes (%s): passed over, %s",
			    w->name, (unsigned long long)w->gaps[i].pos,
			    (unsigned long long)(w->gaps[i].end - w->gaps[i].pos), w->gaps[i].why,
			    w->gaps[i].last_op < w->gaps[i].first_op
				    ? "no operation was there" : "the store has what was there");
	leave_no_gap_last(w);
	return 0;
}

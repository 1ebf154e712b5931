/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * wal_replay.c - finding out what the log holds: which groups follow one another from the tail on.
 *
 * A group follows if its header verifies for its position, its operations continue those before it,
 * and its run does: the same run, or a newer one that names the run before it; from the place where
 * the newest run began only that run counts (what a cut tail left behind is void for ever, however
 * often one crashes before anything is written over it).
 *
 * Where the chain of groups ends there is either the end of the log, torn or not, or damage. It is
 * damage if anything vouches for it: the superblock's durable mark, or the watermark of a later group
 * whose header verifies. Damage refuses the open; a torn tail is cut.
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
	uint64_t mark;               /* the newest watermark seen */
	const char *why;             /* why the chain ended */
};

/* Makes [pos, pos + len) readable in the window; it lies in one piece of the ring. -ENODATA if not. */
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
	if (!data_matches(s, g, p + h.header_bytes))
		goto none;
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
	s->op += g->head.records;
	s->run = g->head.run;
	s->mark = max_u64(s->mark, g->head.durable);
}

/* Does a later group's header vouch for what lies at s->pos? */
static int vouched_for(struct scan *s, bool *ret)
{
	uint64_t limit = min_u64(s->w->super.tail + s->w->ring_bytes, s->pos + SEARCH_BYTES);
	struct wal_record *records;
	uint64_t *bound;
	int err = 0;

	*ret = s->w->super.durable > s->pos;
	if (*ret)
		return 0;
	records = lsvd_calloc(WAL_GROUP_RECORDS_MAX, sizeof *records);
	bound = lsvd_calloc(WAL_GROUP_DATA_MAX / BLOCK_BYTES, sizeof *bound);
	if (!records || !bound) {
		err = lsvd_fail_plain(-ENOMEM);
		goto out;
	}
	for (uint64_t pos = s->pos + BLOCK_BYTES; pos < limit && !*ret; pos += BLOCK_BYTES) {
		struct wal_group_head h;
		uint8_t *p;

		err = look_at(s, pos, BLOCK_BYTES, &p);
		if (err)
			goto out;
		if (!lsvd_wal_group_peek(&h, p, pos) || h.durable <= s->pos || h.run < s->run ||
		    h.run > s->w->super.run)
			continue;
		err = look_at(s, pos, h.header_bytes, &p);
		if (err == -ENODATA)
			err = 0;
		else if (err)
			goto out;
		else
			*ret = lsvd_wal_group_decode(p, &h, records, bound, s->w->owner);
	}
out:
	lsvd_free(records);
	lsvd_free(bound);
	return err;
}

static int end_of_chain(struct scan *s, bool skip_damage)
{
	unsigned long long pos = s->pos;
	bool damage;
	int err = vouched_for(s, &damage);

	if (err)
		return err;
	if (damage && !skip_damage)
		return lsvd_fail(LSVD_E_CORRUPT, "%s: damaged at %llu (%s), below its durable mark: "
				 "operations from %llu on were flushed and cannot be read; "
				 "accepting a rollback goes on before them", s->w->name, pos, s->why,
				 (unsigned long long)s->op);
	if (damage)
		lsvd_report(LSVD_LOG_ERROR, "%s: damaged at %llu (%s): cut there, as asked",
			    s->w->name, pos, s->why);
	return 0;
}

/* Reads groups until the chain ends. */
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
		if (err)
			return err < 0 ? err : 0;
		list_add_tail(&w->groups, &g->link);
		lsvd_wal_group_index(w, g);
		advance(s, g);
	}
}

/* Reads again, past the page cache, what lies above every watermark; cuts where that differs. */
static int confirm_unmarked(struct scan *s)
{
	struct wal *w = s->w;
	struct list *node = w->groups.next;
	struct wal_group *g, *again;
	int err = 0;

	s->past_cache = true;
	s->window_len = 0;
	s->pos = w->super.tail;
	s->op = w->super.tail_op;
	s->run = w->super.tail_run;
	while (node != &w->groups) {
		g = list_entry(node, struct wal_group, link);
		if (g->head.pos + g->span > s->mark) {
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
	while (node != &w->groups) {
		struct list *next = node->next;

		list_del(node);
		lsvd_wal_group_free(w, list_entry(node, struct wal_group, link));
		node = next;
	}
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
		.first_op = w->super.tail_op,
		.last_op = s->op - 1,
		.bytes = s->pos - w->super.tail,
	};
	list_for_each(n, &w->groups)
		found->groups++;
}

int lsvd_wal_replay(struct wal *w, bool skip_damage, struct wal_found *found)
{
	struct scan s = { .w = w, .pos = w->super.tail, .op = w->super.tail_op,
			  .run = w->super.tail_run, .mark = w->super.durable };
	uint64_t end;
	int err;

	s.window = lsvd_aligned_alloc(BLOCK_BYTES, min_u64(WINDOW_BYTES, w->ring_bytes));
	if (!s.window)
		return lsvd_fail_plain(-ENOMEM);
	err = find_groups(&s);
	if (!err)
		err = end_of_chain(&s, skip_damage);
	end = s.pos;
	if (!err)
		err = confirm_unmarked(&s);
	if (!err)
		note_found(&s, found);
	if (!err)
		found->cut = s.pos != end;
	if (!err)
		lsvd_report(LSVD_LOG_DEBUG, "%s: operations %llu to %llu in %llu groups; ends at %llu "
			    "(%s)%s", w->name, (unsigned long long)found->first_op,
			    (unsigned long long)found->last_op, (unsigned long long)found->groups,
			    (unsigned long long)s.pos, s.why,
			    found->cut ? ", cut where the disk has something else" : "");
	lsvd_free(s.window);
	return err;
}

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vlog_gc.c - collection: what lives in segments that mostly do not is copied, and the index told.
 *
 * In rounds, of which the pass decides (log/gc_pass.h), driven on the thread that called: the
 * program's index may take as long as it likes, and call the log again. Of each victim the footer
 * is read and the index asked for every record; what lives is read, verified, and copied
 * compressed as it is, with a checksum for its new place. When enough has been copied to fill a
 * segment the round is ended:
 *
 *   commit the copies, naming the victims  a crash from here on leaves both uncertain: asked again
 *   relocate, finish                       the index goes over, where it still has the old handle
 *   the victims are stale                  and dropped by vlog_drop.c, which asks once more
 *
 * A copy that lost the race against a user's write is garbage in a new segment, and counted as
 * such. A record that does not verify is never copied: it stays where it is, in a segment that is
 * marked and left alone from then on. What is entirely stale is not read.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/bytes.h"
#include "base/err.h"
#include "base/options.h"
#include "log/gc_pass.h"
#include "vlog/vlog_internal.h"

#define RUN_BYTES_MAX (1u << 20)
#define MOVES_AT_ONCE 512u
#define LOOK_MS 100u             /* so often a collection that waits asks whether it is cancelled */

struct moves {
	struct lsvd_vlog_move *at;
	size_t count, room;
	uint8_t **keys;              /* memory that the keys of victims lie in */
	size_t key_count;
};

struct gc {
	struct lsvd_vlog *log;
	const struct lsvd_vlog_index *index;
	struct lsvd_vlog_gc_limits limits;
	struct lsvd_vlog_gc_result *r;
	struct gc_pass pass;
	/* of the round */
	struct lsvd_vlog_writer *writer;
	struct lsvd_vlog_pin **pins; /* of the victims */
	size_t pin_count;
	struct moves moves;
	struct victim {
		uint64_t id;
		uint64_t left_items, left_raw, left_records; /* alive, and damaged: not copied */
	} *victims;
	size_t victim_count, victim_room;
	struct vlog_window window;
};

/* --------------------------------------------------------------------------------------- limits */

static bool is_cancelled(const struct gc *g)
{
	return g->limits.cancel && __atomic_load_n(g->limits.cancel, __ATOMIC_RELAXED);
}

/* Waits until so many bytes may have been read and written. -ECANCELED. */
static int pace(const struct gc *g)
{
	struct world *w = g->log->world;
	uint64_t due = 0;

	if (g->limits.bytes_per_s)
		due = lsvd_gc_due(g->pass.began_ms, g->r->read_bytes + g->r->written_bytes,
				  (double)g->limits.bytes_per_s);
	while (!is_cancelled(g) && due > w->clk->now_ms(w))
		lsvd_vlog_pause(g->log, min_u64(due - w->clk->now_ms(w), LOOK_MS));
	return is_cancelled(g) ? -ECANCELED : 0;
}

/* -------------------------------------------------------------------------------------- copying */

static int by_offset(const void *a, const void *b)
{
	const struct lsvd_vlog_query *x = *(struct lsvd_vlog_query *const *)a;
	const struct lsvd_vlog_query *y = *(struct lsvd_vlog_query *const *)b;

	return x->handle.offset < y->handle.offset ? -1 : x->handle.offset > y->handle.offset;
}

static int add_move(struct gc *g, const struct lsvd_vlog_query *q,
		    const struct lsvd_vlog_handle *to)
{
	struct moves *m = &g->moves;

	if (m->count == m->room) {
		size_t room = m->room ? m->room * 2 : 256;
		void *p = lsvd_realloc(m->at, room * sizeof *m->at);

		if (!p)
			return lsvd_fail_plain(-ENOMEM);
		m->at = p;
		m->room = room;
	}
	m->at[m->count++] = (struct lsvd_vlog_move){ .key = q->key, .from = q->handle, .to = *to,
						     .raw_bytes = q->raw_bytes };
	return 0;
}

/* Where the run ends that begins with the first of these: near ones are read together. */
static uint64_t run_end(const struct gc *g, struct lsvd_vlog_query **live, size_t n)
{
	uint64_t begin = live[0]->handle.offset, end = begin + live[0]->handle.size;

	for (size_t i = 1; i < n; i++) {
		const struct lsvd_vlog_handle *h = &live[i]->handle;

		if (h->offset > end + g->log->join_bytes ||
		    h->offset + h->size > begin + RUN_BYTES_MAX)
			break;
		end = h->offset + h->size;
	}
	return end;
}

static int copy_record(struct gc *g, struct lsvd_vlog_query **live, size_t n, uint64_t commit,
		       struct victim *v)
{
	const struct lsvd_vlog_query *q = live[0];
	const uint64_t window = g->window.segment ? g->window.off + g->window.len : 0;
	struct lsvd_vlog_handle to;
	struct vlog_record r;
	const uint8_t *p;
	uint64_t hash;
	int err = lsvd_vlog_window_get(g->log, &g->window, &q->handle, run_end(g, live, n), &r, &p,
				       &hash);

	if (g->window.segment && g->window.off + g->window.len != window)
		g->r->read_bytes += g->window.len;
	/* What the index of the segment says has to be what the record says. */
	if (!err && (r.key_len != q->key.size || r.raw != q->raw_bytes ||
		     memcmp(p + VLOG_RECORD_HEAD, q->key.data, r.key_len) != 0))
		err = lsvd_fail(LSVD_E_CORRUPT, "segment %llu: the record at %llu is not what "
				"the index says", (unsigned long long)q->handle.segment,
				(unsigned long long)q->handle.offset);
	if (err == LSVD_E_CORRUPT) {
		lsvd_report(LSVD_LOG_ERROR, "value log %s: not copied: %s", g->log->name,
			    lsvd_last_error());
		v->left_items++;
		v->left_raw += q->raw_bytes;
		v->left_records += q->handle.size;
		return 0;
	}
	if (!err)
		err = lsvd_vlog_writer_copy(g->writer, &r, p, hash, commit, &to);
	return err ? err : add_move(g, q, &to);
}

static int copy_live(struct gc *g, struct victim *v, struct lsvd_vlog_query *q, size_t n,
		     const uint64_t *commits, uint64_t own_commit)
{
	struct lsvd_vlog_query **live = lsvd_calloc(n + 1, sizeof(*live));
	size_t count = 0;
	int err = 0;

	if (!live)
		return lsvd_fail_plain(-ENOMEM);
	for (size_t i = 0; i < n; i++)
		if (q[i].live)
			live[count++] = &q[i];
	qsort(live, count, sizeof(*live), by_offset);
	for (size_t i = 0; i < count && !err; i++) {
		uint64_t commit = commits[live[i] - q];

		err = copy_record(g, live + i, count - i, commit ? commit : own_commit, v);
		if (!err)
			err = pace(g);
	}
	lsvd_free(live);
	return err;
}

static int add_keys(struct moves *m, size_t bytes, uint8_t **ret)
{
	uint8_t **p = lsvd_realloc(m->keys, (m->key_count + 1) * sizeof(*m->keys));

	if (!p)
		return lsvd_fail_plain(-ENOMEM);
	m->keys = p;
	*ret = p[m->key_count] = lsvd_malloc(bytes + 1);
	if (!*ret)
		return lsvd_fail_plain(-ENOMEM);
	m->key_count++;
	return 0;
}

/* Of what lives the keys are needed until the round is over; it may be a few out of very many. */
static int keep_keys(struct moves *m, struct lsvd_vlog_query *q, size_t n)
{
	size_t bytes = 0;
	uint8_t *to;
	int err;

	for (size_t i = 0; i < n; i++)
		bytes += q[i].live ? q[i].key.size : 0;
	err = add_keys(m, bytes, &to);
	for (size_t i = 0; i < n && !err; i++) {
		if (!q[i].live)
			continue;
		memcpy(to, q[i].key.data, q[i].key.size);
		q[i].key.data = to;
		to += q[i].key.size;
	}
	return err;
}

static struct victim *add_victim(struct gc *g, uint64_t id)
{
	if (g->victim_count == g->victim_room) {
		size_t room = g->victim_room ? g->victim_room * 2 : 16;
		void *p = lsvd_realloc(g->victims, room * sizeof *g->victims);

		if (!p)
			return NULL;
		g->victims = p;
		g->victim_room = room;
	}
	g->victims[g->victim_count] = (struct victim){ .id = id };
	return &g->victims[g->victim_count++];
}

/* A writer for the round. */
static int begin_round(struct gc *g)
{
	return g->writer ? 0 : lsvd_vlog_writer_open(g->log, &g->writer);
}

/* All that lives in a victim. */
static int copy_victim(struct gc *g, uint64_t id, uint64_t own_commit, struct vlog_survey *s)
{
	const struct vlog_footer *f = &s->footer;
	struct victim *v = NULL;
	int err;

	g->r->read_bytes += f->index_bytes + f->metadata_bytes + VLOG_TAIL_BYTES;
	err = lsvd_vlog_ask(g->index, s->queries, f->items);
	if (!err)
		err = keep_keys(&g->moves, s->queries, f->items);
	if (!err)
		err = begin_round(g);
	if (!err)
		err = lsvd_vlog_writer_set_apart(g->writer, f->metadata, f->metadata_bytes);
	if (!err) {
		v = add_victim(g, id);
		err = v ? 0 : lsvd_fail_plain(-ENOMEM);
	}
	return err ? err : copy_live(g, v, s->queries, f->items, s->commits, own_commit);
}

/* -------------------------------------------------------------------------------------- a round */

static void forget_moves(struct moves *m)
{
	for (size_t i = 0; i < m->key_count; i++)
		lsvd_free(m->keys[i]);
	lsvd_free(m->keys);
	lsvd_free(m->at);
	*m = (struct moves){ .at = NULL };
}

static int tell_index(struct gc *g, uint64_t *applied)
{
	const struct lsvd_vlog_index *index = g->index;
	const struct moves *m = &g->moves;
	int err = 0;

	for (size_t i = 0; i < m->count && err >= 0; i += MOVES_AT_ONCE)
		err = index->relocate(index->ctx, m->at + i,
				      m->count - i < MOVES_AT_ONCE ? m->count - i : MOVES_AT_ONCE);
	if (err >= 0)
		err = index->finish(index->ctx, applied);
	else if (index->abort)
		index->abort(index->ctx);
	return err < 0 ? err : 0;
}

/* lock held: the index has gone over; what could not be copied still lives. */
static void make_victims_stale(struct gc *g)
{
	for (size_t i = 0; i < g->victim_count; i++) {
		const struct victim *v = &g->victims[i];
		struct vlog_segment *s = lsvd_vlog_table_find(&g->log->table, v->id);

		if (!s)
			continue;
		lsvd_vlog_all_stale(s);
		s->stale_items -= min_u64(v->left_items, s->stale_items);
		s->stale_raw -= min_u64(v->left_raw, s->stale_raw);
		s->stale_records -= min_u64(v->left_records, s->stale_records);
		s->uncertain = false;
		if (v->left_items) {
			s->damaged = true;
			g->r->damaged++;
		} else {
			g->r->reclaimable_bytes += s->object_bytes;
		}
	}
	g->log->dirty = true;
}

/* Which copies has the index not taken? They are stale where they are. */
static int count_lost(struct gc *g)
{
	struct lsvd_vlog_query *q = lsvd_calloc(g->moves.count + 1, sizeof *q);
	int err = q ? 0 : lsvd_fail_plain(-ENOMEM);

	for (size_t i = 0; i < g->moves.count && !err; i++)
		q[i] = (struct lsvd_vlog_query){ .key = g->moves.at[i].key,
						 .handle = g->moves.at[i].to,
						 .raw_bytes = g->moves.at[i].raw_bytes };
	if (!err)
		err = lsvd_vlog_ask(g->index, q, g->moves.count);
	for (size_t i = 0; i < g->moves.count && !err; i++)
		if (!q[i].live)
			err = lsvd_vlog_note_stale(g->log, &q[i].handle, q[i].raw_bytes);
	lsvd_free(q);
	return err;
}

/* The copies are of no use: whether the index has gone over after all, a drop will ask. */
static void give_copies_up(struct gc *g, const struct lsvd_vlog_pin *pin)
{
	lsvd_port_enter(&g->log->port);
	for (size_t i = 0; i < pin->count; i++) {
		lsvd_vlog_all_stale(pin->segments[i]);
		pin->segments[i]->uncertain = true;
	}
	for (size_t i = 0; i < g->victim_count; i++) {
		struct vlog_segment *s = lsvd_vlog_table_find(&g->log->table, g->victims[i].id);

		if (s)
			s->uncertain = true;
	}
	lsvd_port_leave(&g->log->port, false);
}

static int commit_round(struct gc *g, struct lsvd_vlog_pin **ret)
{
	uint64_t *ids = lsvd_calloc(g->victim_count + 1, sizeof *ids);
	struct lsvd_vlog_writer *w = g->writer;
	int err;

	g->writer = NULL; /* it goes, whatever happens */
	if (!ids) {
		lsvd_vlog_abort(w);
		return lsvd_fail_plain(-ENOMEM);
	}
	for (size_t i = 0; i < g->victim_count; i++)
		ids[i] = g->victims[i].id;
	err = lsvd_vlog_commit_collected(w, ids, g->victim_count, ret);
	lsvd_free(ids);
	return err;
}

static void count_round(struct gc *g, const struct lsvd_vlog_pin *pin, uint64_t applied)
{
	g->r->rounds++;
	g->r->moved_items += g->moves.count;
	for (size_t i = 0; i < g->moves.count; i++)
		g->r->moved_bytes += g->moves.at[i].to.size;
	for (size_t i = 0; i < pin->count; i++)
		g->r->written_bytes += pin->segments[i]->object_bytes;
	if (applied < g->moves.count)
		g->r->lost_races += g->moves.count - applied;
}

static int move_over(struct gc *g)
{
	struct lsvd_vlog_pin *pin = NULL;
	uint64_t applied = 0;
	int err = commit_round(g, &pin);

	if (err)
		return err;
	err = tell_index(g, &applied);
	if (err) {
		give_copies_up(g, pin);
		lsvd_vlog_pin_release(pin);
		return err;
	}
	count_round(g, pin, applied);
	lsvd_port_enter(&g->log->port);
	make_victims_stale(g);
	lsvd_port_leave(&g->log->port, false);
	if (applied < g->moves.count)
		err = count_lost(g);
	lsvd_vlog_pin_release(pin);
	return err;
}

static void forget_round(struct gc *g)
{
	lsvd_vlog_abort(g->writer); /* unless it has been committed */
	g->writer = NULL;
	forget_moves(&g->moves);
	g->victim_count = 0;
	while (g->pin_count)
		lsvd_vlog_pin_release(g->pins[--g->pin_count]);
}

/* What has been copied so far goes over. */
static int end_round(struct gc *g)
{
	int err = 0;

	if (g->moves.count) {
		err = move_over(g);
	} else if (g->victim_count) { /* nothing lives, or nothing that can be copied */
		lsvd_port_enter(&g->log->port);
		make_victims_stale(g);
		lsvd_port_leave(&g->log->port, false);
	}
	forget_round(g);
	return err;
}

/* ----------------------------------------------------------------------------------- collecting */

enum verdict { TAKE, PASS_OVER };

/* Is there anything to be copied? *ret_commit: of its own records. The victim is pinned then. */
static enum verdict look_at(struct gc *g, uint64_t id, uint64_t *ret_commit,
			    struct lsvd_vlog_pin **ret_pin)
{
	struct lsvd_vlog *log = g->log;
	enum verdict verdict = PASS_OVER;
	struct vlog_segment *s;

	lsvd_port_enter(&log->port);
	s = lsvd_vlog_table_find(&log->table, id);
	if (!s || s->doomed) {
		g->r->gone++;
	} else if (s->pins) {
		g->r->pinned++;
	} else if (s->damaged) {
		g->r->damaged++;
	} else if (vlog_entirely_stale(s) && !s->uncertain) {
		g->r->picked++;
		g->r->reclaimable_bytes += s->object_bytes;
	} else {
		*ret_commit = s->commit;
		verdict = TAKE;
	}
	lsvd_port_leave(&log->port, false);
	if (verdict == TAKE && lsvd_vlog_pin_ids(log, &id, 1, ret_pin) < 0)
		verdict = PASS_OVER;
	return verdict;
}

/* Held until the round is over. */
static int keep_pin(struct gc *g, struct lsvd_vlog_pin *pin)
{
	struct lsvd_vlog_pin **p = lsvd_realloc(g->pins, (g->pin_count + 1) * sizeof(*p));

	if (!p) {
		lsvd_vlog_pin_release(pin);
		return lsvd_fail_plain(-ENOMEM);
	}
	g->pins = p;
	p[g->pin_count++] = pin;
	return 0;
}

static int collect_one(struct gc *g, uint64_t id)
{
	struct lsvd_vlog_pin *pin = NULL;
	struct vlog_survey s;
	uint64_t commit = 0;
	int err;

	if (look_at(g, id, &commit, &pin) == PASS_OVER)
		return 0;
	err = keep_pin(g, pin);
	if (!err)
		err = lsvd_vlog_survey(g->log, id, &s);
	if (err == LSVD_E_CORRUPT) {
		g->r->damaged++; /* what is in it nobody knows */
		return 0;
	}
	if (err)
		return err;
	err = copy_victim(g, id, commit, &s);
	lsvd_vlog_survey_fini(&s);
	g->r->picked += !err;
	return err;
}

static uint64_t gathered(const struct gc *g)
{
	return g->writer ? lsvd_vlog_writer_bytes(g->writer) : 0;
}

/* The pass (log/gc_pass.h), driven on this thread. */
static int collect(struct gc *g, const uint64_t *ids, size_t n)
{
	const struct gc_limits limits = { .at_once = 1, .round_bytes = g->log->segment_bytes,
					  .bytes = g->limits.bytes };
	enum gc_next next;
	uint64_t before;
	size_t i;
	int err;

	lsvd_gc_pass_begin(&g->pass, &limits, n, g->log->world->clk->now_ms(g->log->world));
	do {
		if (is_cancelled(g))
			lsvd_gc_pass_cancel(&g->pass);
		next = lsvd_gc_pass_next(&g->pass, &i);
		if (next == GC_SURVEY) {
			before = gathered(g);
			err = collect_one(g, ids[i]);
			lsvd_gc_pass_surveyed(&g->pass, err, gathered(g) - before);
		} else if (next == GC_MOVE) {
			before = g->r->moved_bytes;
			err = end_round(g);
			lsvd_gc_pass_moved(&g->pass, err, g->r->moved_bytes - before);
		}
	} while (next != GC_OVER);
	forget_round(g);
	lsvd_free(g->pins);
	lsvd_free(g->victims);
	lsvd_vlog_window_fini(&g->window);
	if (g->pass.err == -ECANCELED)
		return lsvd_fail(-ECANCELED, "value log %s: collection was cancelled",
				 g->log->name);
	return g->pass.err;
}

/* ---------------------------------------------------------------------------------------- calls */

static int run(struct lsvd_vlog *log, const uint64_t *ids, size_t n,
	       const struct lsvd_vlog_index *index, const struct lsvd_vlog_gc_limits *limits,
	       struct lsvd_vlog_gc_result *r)
{
	struct gc g = { .log = log, .index = index, .r = r };
	int err = lsvd_options_copy(&g.limits, sizeof g.limits, limits, sizeof g.limits,
				    "collection limits");

	return err ? err : collect(&g, ids, n);
}

int lsvd_vlog_gc(struct lsvd_vlog *log, const struct lsvd_vlog_strategy *strategy,
		 const struct lsvd_vlog_index *index, const struct lsvd_vlog_gc_limits *limits,
		 struct lsvd_vlog_gc_result *ret)
{
	struct lsvd_vlog_gc_result r = { .size = sizeof r };
	struct lsvd_vlog_segment *s = NULL;
	struct lsvd_vlog_strategy st;
	uint64_t *ids = NULL;
	size_t n = 0;
	int err, chosen = 0;

	err = lsvd_options_copy(&st, sizeof st, strategy, sizeof st, "strategy");
	if (!err)
		err = lsvd_vlog_strategy_check(&st);
	if (!err)
		err = lsvd_vlog_collection_check(index, ret);
	if (!err)
		err = lsvd_vlog_collection_begin(log);
	if (err)
		return err;
	err = lsvd_vlog_all_segments(log, &s, &n);
	if (!err)
		ids = lsvd_calloc(2 * n + 1, sizeof *ids);
	if (!err && !ids)
		err = lsvd_fail_plain(-ENOMEM);
	if (!err)
		chosen = lsvd_vlog_choose(&st, s, n, ids);
	if (!err)
		err = chosen < 0 ? chosen : run(log, ids, (size_t)chosen, index, limits, &r);
	lsvd_vlog_collection_end(log);
	lsvd_free(s);
	lsvd_free(ids);
	return lsvd_vlog_give_result(ret, &r, err);
}

int lsvd_vlog_rollover(struct lsvd_vlog *log, const uint64_t *ids, size_t n,
		       const struct lsvd_vlog_index *index,
		       const struct lsvd_vlog_gc_limits *limits, struct lsvd_vlog_gc_result *ret)
{
	struct lsvd_vlog_gc_result r = { .size = sizeof r };
	uint64_t *all = NULL;
	int err = lsvd_vlog_collection_check(index, ret);

	if (!err)
		err = lsvd_vlog_collection_begin(log);
	if (err)
		return err;
	if (!ids)
		err = lsvd_vlog_list_ids(log, NULL, &all, &n);
	if (!err)
		err = run(log, ids ? ids : all, n, index, limits, &r);
	if (!err && n && r.gone == n)
		err = lsvd_fail(LSVD_E_STALE, "value log %s: none of the %zu segments is there",
				log->name, n);
	lsvd_vlog_collection_end(log);
	lsvd_free(all);
	return lsvd_vlog_give_result(ret, &r, err);
}

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vlog_gc.c - collection: what lives in segments that mostly do not is copied, and the index told.
 *
 * In rounds, of which the pass decides (log/gc_pass.h), driven on the thread that called: the
 * program's index may take as long as it likes, and call the log again. Of each victim the footer
 * is read, and what lives in it is copied (vlog_gc_copy.c). When enough has been copied to fill a
 * segment the round is ended (vlog_gc_round.c).
 *
 * Invariants:
 *  (1) A victim is pinned from the look at it to the end of the round.
 *  (2) What is entirely stale is not read. A segment with a damaged record is marked, and left
 *      alone from then on.
 *
 * Deliberately absent: a thread; deleting, which is vlog_drop.c.
 */
#include <errno.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/err.h"
#include "base/options.h"
#include "vlog/vlog_gc_round.h"

/* ------------------------------------------------------------------------------------ a victim */

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
	err = lsvd_vlog_gc_copy(g, id, commit, &s);
	lsvd_vlog_survey_fini(&s);
	g->r->picked += !err;
	return err;
}

/* --------------------------------------------------------------------------------- all of them */

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
		if (gc_is_cancelled(g))
			lsvd_gc_pass_cancel(&g->pass);
		next = lsvd_gc_pass_next(&g->pass, &i);
		if (next == GC_SURVEY) {
			before = gathered(g);
			err = collect_one(g, ids[i]);
			lsvd_gc_pass_surveyed(&g->pass, err, gathered(g) - before);
		} else if (next == GC_MOVE) {
			before = g->r->moved_bytes;
			err = lsvd_vlog_gc_end_round(g);
			lsvd_gc_pass_moved(&g->pass, err, g->r->moved_bytes - before);
		}
	} while (next != GC_OVER);
	lsvd_vlog_gc_forget_round(g);
	lsvd_free(g->pins);
	lsvd_free(g->victims);
	lsvd_vlog_window_fini(&g->window);
	if (g->pass.err == -ECANCELED)
		return lsvd_fail(-ECANCELED, "value log %s: collection was cancelled",
				 g->log->name);
	return g->pass.err;
}

static int run(struct lsvd_vlog *log, const uint64_t *ids, size_t n,
	       const struct lsvd_vlog_index *index, const struct lsvd_vlog_gc_limits *limits,
	       struct lsvd_vlog_gc_result *r)
{
	struct gc g = { .log = log, .index = index, .r = r };
	int err = lsvd_options_copy(&g.limits, sizeof g.limits, limits, sizeof g.limits,
				    "collection limits");

	return err ? err : collect(&g, ids, n);
}

/* --------------------------------------------------------------------------------------- calls */

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

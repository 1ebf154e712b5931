/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vlog_gc_round.c - the end of a round: the copies are committed, and the index goes over to them.
 *
 *   commit the copies, naming the victims  a crash from here on leaves both uncertain: asked again
 *   relocate, finish                       the index goes over, where it still has the old handle
 *   the victims are stale                  and dropped by vlog_drop.c, which asks once more
 *
 * If the index fails, nobody knows what it has taken: copies and victims are uncertain then, as
 * after a crash. A copy that lost the race against a user's write is garbage in a new segment,
 * and counted as such.
 */
#include <errno.h>

#include "base/alloc.h"
#include "base/bytes.h"
#include "base/err.h"
#include "vlog/vlog_gc_round.h"

#define MOVES_AT_ONCE 512u

static void forget_moves(struct moves *m)
{
	for (size_t i = 0; i < m->key_count; i++)
		lsvd_free(m->keys[i]);
	lsvd_free(m->keys);
	lsvd_free(m->at);
	*m = (struct moves){ .at = NULL };
}

/* ---------------------------------------------------------------------------------- going over */

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

/* ------------------------------------------------------------------------------------- the end */

void lsvd_vlog_gc_forget_round(struct gc *g)
{
	lsvd_vlog_abort(g->writer); /* unless it has been committed */
	g->writer = NULL;
	forget_moves(&g->moves);
	g->victim_count = 0;
	while (g->pin_count)
		lsvd_vlog_pin_release(g->pins[--g->pin_count]);
}

int lsvd_vlog_gc_end_round(struct gc *g)
{
	int err = 0;

	if (g->moves.count) {
		err = move_over(g);
	} else if (g->victim_count) { /* nothing lives, or nothing that can be copied */
		lsvd_port_enter(&g->log->port);
		make_victims_stale(g);
		lsvd_port_leave(&g->log->port, false);
	}
	lsvd_vlog_gc_forget_round(g);
	return err;
}

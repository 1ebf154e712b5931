/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vlog_gc_copy.c - what lives in a victim, copied into the segments of the round.
 *
 * The index is asked for every record that the footer tells of; what lives is read, near ones
 * together, verified, and copied compressed as it is, with a checksum for its new place. A record
 * that does not verify, or is not what the footer says, is never copied: it is counted, and stays
 * where it is.
 *
 * Keys of what lives are kept until the round is over: the index is told by them.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/bytes.h"
#include "base/err.h"
#include "vlog/vlog_gc_round.h"

#define RUN_BYTES_MAX (1u << 20)
#define LOOK_MS 100u             /* so often a collection that waits asks whether it is cancelled */

/* ------------------------------------------------------------------------------------- records */

/* Waits until so many bytes may have been read and written. -ECANCELED. */
static int pace(const struct gc *g)
{
	struct world *w = g->log->world;
	uint64_t due = 0;

	if (g->limits.bytes_per_s)
		due = lsvd_gc_due(g->pass.began_ms, g->r->read_bytes + g->r->written_bytes,
				  (double)g->limits.bytes_per_s);
	while (!gc_is_cancelled(g) && due > w->clk->now_ms(w))
		lsvd_vlog_pause(g->log, min_u64(due - w->clk->now_ms(w), LOOK_MS));
	return gc_is_cancelled(g) ? -ECANCELED : 0;
}

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

/* ---------------------------------------------------------------------------------------- keys */

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

/* ------------------------------------------------------------------------------------ a victim */

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

int lsvd_vlog_gc_copy(struct gc *g, uint64_t id, uint64_t own_commit, struct vlog_survey *s)
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

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vlog_drop.c - what is entirely stale leaves the log, and then the store.
 *
 * The statistics only say where to look. Before a segment is dropped the index is asked for every
 * record that its footer has; if one lives the statistics are put right, and it stays. Segments
 * whose commit holds them are not looked at: their index is not durable yet. Between the answer and
 * the record that drops a segment nothing in it can come to life: what the index does not have,
 * only a commit can bring.
 *
 * Then: a record in the chain; a root without the segments; the removal of their objects, and of
 * what no record ever knew: segments of writers that died, or were fenced, before they committed,
 * and roots that they put and no chain object names. Those of earlier epochs can never be committed
 * any more: their chain has ended.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/err.h"
#include "base/options.h"
#include "vlog/vlog_internal.h"

#define BATCH 512u

/* -------------------------------------------------------------------------------- one at a time */

int lsvd_vlog_collection_begin(struct lsvd_vlog *log)
{
	int err;

	lsvd_port_enter(&log->port);
	while (log->collecting)
		lsvd_port_wait(&log->port);
	err = lsvd_vlog_refuse_write(log);
	log->collecting = !err;
	lsvd_port_leave(&log->port, true);
	return err;
}

void lsvd_vlog_collection_end(struct lsvd_vlog *log)
{
	lsvd_port_enter(&log->port);
	log->collecting = false;
	lsvd_port_changed(&log->port);
	lsvd_port_leave(&log->port, true);
}

/* ----------------------------------------------------------------------------- asking the index */

int lsvd_vlog_collection_check(const struct lsvd_vlog_index *index,
			       const struct lsvd_vlog_gc_result *ret)
{
	if (!index || index->size < sizeof *index || !index->is_live || !index->relocate ||
	    !index->finish)
		return lsvd_fail(-EINVAL, "an index needs its size, is_live, relocate and finish");
	return lsvd_options_check(ret, sizeof *ret, "collection result");
}

int lsvd_vlog_ask(const struct lsvd_vlog_index *index, struct lsvd_vlog_query *q, size_t n)
{
	int err = 0;

	for (size_t i = 0; i < n && err >= 0; i += BATCH)
		err = index->is_live(index->ctx, q + i, n - i < BATCH ? n - i : BATCH);
	return err < 0 ? err : 0;
}

static int grow_keys(uint8_t **keys, size_t *room, size_t want)
{
	uint8_t *p;

	if (want <= *room)
		return 0;
	*room = want * 2 + 4096;
	p = lsvd_realloc(*keys, *room);
	if (!p)
		return lsvd_fail_plain(-ENOMEM);
	*keys = p;
	return 0;
}

/* Keys are put behind one another first, for the memory may move: pointers are set at the end. */
static int collect_entries(struct vlog_cursor *c, struct lsvd_vlog_query *q, uint64_t *commits,
			   uint8_t **keys)
{
	size_t room = 0, used = 0, n = 0;
	int more, err = 0;

	while (!err && (more = lsvd_vlog_cursor_next(c)) != 0) {
		const struct vlog_entry *e = &c->entry;

		err = more < 0 ? more : grow_keys(keys, &room, used + e->key_len);
		if (err)
			return err;
		memcpy(*keys + used, e->key, e->key_len);
		used += e->key_len;
		q[n].key.size = e->key_len;
		q[n].handle = (struct lsvd_vlog_handle){ c->segment, e->offset, e->size };
		q[n].raw_bytes = e->raw;
		commits[n++] = e->commit;
	}
	used = 0;
	for (size_t i = 0; i < n; i++) {
		q[i].key.data = *keys + used;
		used += q[i].key.size;
	}
	return err;
}

static int make_queries(struct vlog_survey *s, uint64_t segment, uint64_t footer_at)
{
	const struct vlog_footer *f = &s->footer;
	struct vlog_cursor c;
	int err;

	if (f->items > f->index_bytes)
		return lsvd_fail(LSVD_E_CORRUPT, "segment %llu: index: %llu entries in %zu bytes",
				 (unsigned long long)segment, (unsigned long long)f->items,
				 f->index_bytes);
	s->queries = lsvd_calloc(f->items + 1, sizeof *s->queries);
	s->commits = lsvd_calloc(f->items + 1, sizeof *s->commits);
	if (!s->queries || !s->commits)
		return lsvd_fail_plain(-ENOMEM);
	lsvd_vlog_cursor_init(&c, f, segment, footer_at);
	err = collect_entries(&c, s->queries, s->commits, &s->keys);
	lsvd_vlog_cursor_fini(&c);
	return err;
}

int lsvd_vlog_survey(struct lsvd_vlog *log, uint64_t id, struct vlog_survey *ret)
{
	struct vlog_survey s = { .queries = NULL };
	uint64_t footer_at;
	int err = lsvd_vlog_footer_get(log, id, &s.footer, &footer_at);

	if (err)
		return err;
	err = make_queries(&s, id, footer_at);
	if (err) {
		lsvd_vlog_survey_fini(&s);
		return err;
	}
	*ret = s;
	return 0;
}

void lsvd_vlog_survey_fini(struct vlog_survey *s)
{
	lsvd_vlog_footer_free(&s->footer);
	lsvd_free(s->queries);
	lsvd_free(s->commits);
	lsvd_free(s->keys);
}

/* lock held: what the answers say of a segment. */
static void take_answers(struct vlog_segment *s, const struct lsvd_vlog_query *q, size_t n)
{
	s->stale_items = s->stale_raw = s->stale_records = 0;
	for (size_t i = 0; i < n; i++)
		if (!q[i].live)
			lsvd_vlog_add_stale(s, 1, q[i].raw_bytes, q[i].handle.size);
	s->uncertain = false;
}

/*
 * Asks for all of a segment; its statistics are right then. *ret_stale: nothing of it lives. So the
 * answers say, not the statistics, which somebody may be adding to what the answers had in them.
 */
static int recount(struct lsvd_vlog *log, uint64_t id, const struct vlog_survey *survey,
		   const struct lsvd_vlog_index *index, bool *ret_stale)
{
	const size_t n = survey->footer.items;
	struct vlog_segment *s;
	size_t live = 0;
	int err = lsvd_vlog_ask(index, survey->queries, n);

	if (err)
		return err;
	for (size_t i = 0; i < n; i++)
		live += survey->queries[i].live != 0;
	lsvd_port_enter(&log->port);
	s = lsvd_vlog_table_find(&log->table, id);
	if (s)
		take_answers(s, survey->queries, n);
	log->dirty = true;
	lsvd_port_leave(&log->port, false);
	*ret_stale = live == 0;
	return 0;
}

/* Of these, those of which nothing lives stay; the others become 0. */
static int ask_for_each(struct lsvd_vlog *log, uint64_t *ids, size_t n,
			const struct lsvd_vlog_index *index, struct lsvd_vlog_gc_result *r)
{
	for (size_t i = 0; i < n; i++) {
		struct vlog_survey s;
		bool stale = false;
		int err = lsvd_vlog_survey(log, ids[i], &s);

		if (err == LSVD_E_CORRUPT || err == LSVD_E_STALE) {
			r->damaged += err == LSVD_E_CORRUPT; /* nothing is deleted on its word */
		} else if (err) {
			return err;
		} else {
			err = recount(log, ids[i], &s, index, &stale);
			lsvd_vlog_survey_fini(&s);
			if (err)
				return err;
		}
		if (!stale)
			ids[i] = 0;
	}
	return 0;
}

/* ------------------------------------------------------------------------------------- choosing */

static bool nobody_has(const struct vlog_segment *s)
{
	return !s->pins && !s->doomed;
}

static bool may_drop(const struct vlog_segment *s)
{
	return nobody_has(s) && (vlog_entirely_stale(s) || s->uncertain);
}

int lsvd_vlog_list_ids(struct lsvd_vlog *log, bool (*fits)(const struct vlog_segment *s),
		       uint64_t **ret, size_t *ret_n)
{
	uint64_t *ids;
	size_t n = 0;

	lsvd_port_enter(&log->port);
	ids = lsvd_calloc(log->table.count + 1, sizeof *ids);
	for (size_t i = 0; ids && i < log->table.count; i++)
		if (!fits || fits(log->table.at[i]))
			ids[n++] = log->table.at[i]->id;
	lsvd_port_leave(&log->port, false);
	if (!ids)
		return lsvd_fail_plain(-ENOMEM);
	*ret = ids;
	*ret_n = n;
	return 0;
}

/* Of these, those that may go now, which nobody can pin from here on. */
static size_t doom(struct lsvd_vlog *log, uint64_t *ids, size_t n)
{
	size_t kept = 0;

	lsvd_port_enter(&log->port);
	for (size_t i = 0; i < n; i++) {
		struct vlog_segment *s = lsvd_vlog_table_find(&log->table, ids[i]);

		if (!s || !nobody_has(s))
			continue;
		s->doomed = true;
		ids[kept++] = ids[i];
	}
	lsvd_port_leave(&log->port, false);
	return kept;
}

/* They stay after all. */
static void spare(struct lsvd_vlog *log, const uint64_t *ids, size_t n)
{
	lsvd_port_enter(&log->port);
	for (size_t i = 0; i < n; i++) {
		struct vlog_segment *s = lsvd_vlog_table_find(&log->table, ids[i]);

		if (s)
			s->doomed = false;
	}
	lsvd_port_leave(&log->port, false);
}

/* Those of which nobody has one leave the log; *ret_n: how many those are. */
static int retire(struct lsvd_vlog *log, uint64_t *ids, size_t n, size_t *ret_n)
{
	struct vlog_change c = { .ids = NULL };
	bool sent;
	int err;

	c.ids = lsvd_calloc(n + 1, sizeof *ids);
	if (!c.ids)
		return lsvd_fail_plain(-ENOMEM);
	*ret_n = n = c.id_count = doom(log, ids, n);
	if (!n) {
		lsvd_vlog_change_fini(&c);
		return 0;
	}
	memcpy(c.ids, ids, n * sizeof *ids);
	err = lsvd_vlog_note(log, RECORD_VLOG_RETIRE, &c, &sent);
	if (err && !sent)
		spare(log, ids, n);
	for (size_t i = 0; !err && i < n; i++)
		lsvd_vlog_cache_drop(log->cache, log->id, ids[i]);
	return err;
}

/* -------------------------------------------------------------------------------------- orphans */

struct orphans {
	struct lsvd_vlog *log;
	struct vlog_dead *at;
	size_t count, room;
	int err;
};

/* No lock, on a thread of the store's. */
static int note_orphan(void *ctx, const struct lsvd_object_info *info)
{
	struct orphans *o = ctx;
	struct key_parts k;

	if (!lsvd_key_parse(&k, info->key) || (k.kind != KEY_FREE && k.kind != KEY_ROOT) ||
	    k.epoch >= lsvd_log_epoch(o->log->log))
		return 0;
	if (o->count == o->room) {
		size_t room = o->room ? o->room * 2 : 64;
		void *p = lsvd_realloc(o->at, room * sizeof *o->at);

		if (!p) {
			o->err = -ENOMEM;
			return 1;
		}
		o->at = p;
		o->room = room;
	}
	o->at[o->count++] = (struct vlog_dead){ .kind = k.kind, .epoch = k.epoch,
						.number = k.number, .bytes = info->bytes };
	return 0;
}

/* lock held */
static bool is_known(const struct lsvd_vlog *log, const struct vlog_dead *o)
{
	const struct vlog_table *t = &log->table;

	if (o->kind == KEY_FREE && lsvd_vlog_table_find(t, o->number))
		return true;
	if (o->kind == KEY_ROOT && o->epoch == log->root.epoch && o->number == log->root.number)
		return true;
	for (size_t i = 0; i < t->dead_count; i++)
		if (t->dead[i].kind == o->kind && t->dead[i].epoch == o->epoch &&
		    t->dead[i].number == o->number)
			return true;
	return false;
}

/* What the table has, or has had and is about to remove, is none; nor is the newest root. */
static void leave_known(struct lsvd_vlog *log, struct orphans *o)
{
	size_t kept = 0;

	lsvd_port_enter(&log->port);
	for (size_t i = 0; i < o->count; i++)
		if (!is_known(log, &o->at[i]))
			o->at[kept++] = o->at[i];
	lsvd_port_leave(&log->port, false);
	o->count = kept;
}

static int list_orphans(struct lsvd_vlog *log, struct orphans *o, int kind)
{
	struct obj_io io = { .io = { .kind = IO_LIST }, .list_fn = note_orphan, .list_ctx = o };
	int err;

	lsvd_key_prefix(io.key, &log->uuid, kind);
	err = lsvd_port_run1(&log->port, &io.io);
	return err ? err : o->err;
}

static int remove_orphans(struct lsvd_vlog *log, struct lsvd_vlog_gc_result *r)
{
	struct orphans o = { .log = log };
	int err = list_orphans(log, &o, KEY_FREE);

	if (!err)
		err = list_orphans(log, &o, KEY_ROOT);
	if (!err) {
		leave_known(log, &o);
		if (o.count)
			err = lsvd_vlog_remove_free(log, o.at, o.count);
		r->orphans += err ? 0 : o.count;
		for (size_t i = 0; i < o.count && !err; i++)
			r->freed_bytes += o.at[i].bytes;
	}
	lsvd_free(o.at);
	return err;
}

/* ---------------------------------------------------------------------------------------- calls */

static int drop(struct lsvd_vlog *log, const struct lsvd_vlog_index *index,
		struct lsvd_vlog_gc_result *r)
{
	uint64_t *ids = NULL;
	size_t n = 0, dropped = 0;
	int err = lsvd_vlog_list_ids(log, may_drop, &ids, &n);

	if (!err)
		err = ask_for_each(log, ids, n, index, r);
	if (!err)
		err = retire(log, ids, n, &dropped);
	lsvd_free(ids);
	if (!err) {
		r->dropped += dropped;
		err = lsvd_vlog_remove_dead(log, &r->freed_bytes);
	}
	return err ? err : remove_orphans(log, r);
}

int lsvd_vlog_give_result(struct lsvd_vlog_gc_result *ret, const struct lsvd_vlog_gc_result *r,
			  int err)
{
	int bad = ret ? lsvd_options_fill(ret, r, sizeof *r, sizeof *r, "collection result") : 0;

	return err ? err : bad;
}

int lsvd_vlog_drop_stale(struct lsvd_vlog *log, const struct lsvd_vlog_index *index,
			 struct lsvd_vlog_gc_result *ret)
{
	struct lsvd_vlog_gc_result r = { .size = sizeof r };
	int err = lsvd_vlog_collection_check(index, ret);

	if (!err)
		err = lsvd_vlog_collection_begin(log);
	if (err)
		return err;
	err = drop(log, index, &r);
	lsvd_vlog_collection_end(log);
	return lsvd_vlog_give_result(ret, &r, err);
}

/* Those that somebody has pinned: the next drop takes them. */
static void make_rest_stale(struct lsvd_vlog *log)
{
	lsvd_port_enter(&log->port);
	for (size_t i = 0; i < log->table.count; i++)
		if (!log->table.at[i]->unconfirmed)
			lsvd_vlog_all_stale(log->table.at[i]);
	log->dirty = true;
	lsvd_port_leave(&log->port, false);
}

int lsvd_vlog_clear(struct lsvd_vlog *log)
{
	uint64_t *ids = NULL;
	size_t n = 0;
	int err = lsvd_vlog_collection_begin(log);

	if (err)
		return err;
	err = lsvd_vlog_list_ids(log, nobody_has, &ids, &n);
	if (!err)
		err = retire(log, ids, n, &n);
	lsvd_free(ids);
	if (!err) {
		make_rest_stale(log);
		err = lsvd_vlog_remove_dead(log, NULL);
	}
	lsvd_vlog_collection_end(log);
	return err;
}

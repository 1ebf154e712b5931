/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vol_orphans.c - objects that no table knows: found by listing, and removed.
 *
 * They come from what was cut off: copies that nothing adopted, pages without a root, uploads that
 * landed behind the end of their chain, or whose name had been given back already.
 *
 * What is one? The table knows all that the history needs, from the root on to its end, and what is
 * dead and not yet removed. Of an epoch before this open's nothing can become part of the history
 * any more: its chain has an end, which the fence keeps. So what such an epoch has put, and the
 * table does not know, nobody will ever ask for: there is no age to wait for. What lands later
 * the next search finds. Of this epoch nothing is touched: some of it is on its way. Of chains
 * only data goes; anchors, fences, notes and ends stay, since they may be probed.
 *
 * The listing may be old: it only says what to remove, and names are never used again. The removals
 * go through the log, which looks first whether this writer is still the one.
 */
#include "volume/vol_orphans.h"

#include <errno.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/err.h"
#include "format/fmt_key.h"

struct orphan {
	enum key_kind kind;
	uint64_t epoch, number, bytes;
};

struct search {
	struct lsvd_volume *v;
	uint64_t epoch;              /* this one's: not looked at */
	struct orphan *list;
	uint64_t count, room;
	struct orphan *chain;        /* of the table: chain objects it knows, sorted */
	uint64_t chain_count;
	struct log_delete d;
	bool over;
	int err;
};

/* -------------------------------------------------------------------------------------- listing */

static int note_key(void *ctx, const struct lsvd_object_info *info)
{
	struct search *s = ctx;
	struct key_parts parts;

	if (!lsvd_key_parse(&parts, info->key) || parts.epoch >= s->epoch)
		return 0;
	if (s->count == s->room) {
		uint64_t room = s->room ? s->room * 2 : 1024;
		void *p = lsvd_realloc(s->list, room * sizeof *s->list);

		if (!p)
			return lsvd_fail_plain(-ENOMEM);
		s->list = p;
		s->room = room;
	}
	s->list[s->count++] = (struct orphan){ parts.kind, parts.epoch, parts.number, info->bytes };
	return 0;
}

static int list_kind(struct search *s, enum key_kind kind)
{
	struct obj_io io = { .io = { .kind = IO_LIST } };
	uint64_t before = s->count;
	int err = LSVD_E_UNAVAILABLE;

	lsvd_key_prefix(io.key, &s->v->uuid, (int)kind);
	io.list_fn = note_key;
	io.list_ctx = s;
	for (unsigned tries = 0; tries < 3 && err == LSVD_E_UNAVAILABLE; tries++) {
		s->count = before;
		err = lsvd_port_run1(&s->v->port, &io.io);
	}
	return err;
}

/* -------------------------------------------------------------------------------------- judging */

static int by_name(const void *a, const void *b)
{
	const struct orphan *x = a, *y = b;

	if (x->epoch != y->epoch)
		return x->epoch < y->epoch ? -1 : 1;
	return x->number < y->number ? -1 : x->number > y->number;
}

/* Lock held: the chain objects of the table. */
static int list_chain(struct search *s)
{
	const struct object_table *t = &s->v->objects;

	s->chain = lsvd_malloc(t->used * sizeof *s->chain);
	if (!s->chain)
		return lsvd_fail_plain(-ENOMEM);
	for (uint64_t n = lsvd_object_table_next(t, 0); n != UINT64_MAX;
	     n = lsvd_object_table_next(t, n + 1)) {
		const struct object_entry *e = lsvd_object_table_get(t, n);

		if (lsvd_object_is_in_chain(e) && !e->ancestor)
			s->chain[s->chain_count++] = (struct orphan){ .epoch = e->epoch,
								      .number = e->seq };
	}
	qsort(s->chain, s->chain_count, sizeof *s->chain, by_name);
	return 0;
}

static bool is_known(const struct search *s, const struct orphan *o)
{
	const struct object_entry *e;

	if (o->kind == KEY_CHAIN)
		return bsearch(o, s->chain, s->chain_count, sizeof *o, by_name) != NULL;
	e = lsvd_object_table_get(&s->v->objects, o->number);
	return e && !e->ancestor && !lsvd_object_is_in_chain(e) && e->epoch == o->epoch &&
	       e->seq == o->number;
}

/* Lock held. */
static int drop_known(struct search *s)
{
	uint64_t kept = 0;
	int err = list_chain(s);

	for (uint64_t i = 0; i < s->count && !err; i++)
		if (!is_known(s, &s->list[i]))
			s->list[kept++] = s->list[i];
	if (!err)
		s->count = kept;
	return err;
}

/* Is it data of a chain, whole or not? */
static int is_data(struct search *s, const struct orphan *o, bool *ret)
{
	uint8_t header[OBJECT_HEAD_BYTES];
	struct obj_io io = { .io = { .kind = IO_GET }, .buf = header, .len = sizeof header };
	struct object_head head = { .kind = 0 };
	int err;

	*ret = false;
	if (o->number < 2)
		return 0;
	lsvd_key_chain(io.key, &s->v->uuid, o->epoch, o->number);
	err = lsvd_port_run1(&s->v->port, &io.io);
	if (err == -ENOENT)
		return 0;
	if (!err && io.ret_len == sizeof header) {
		err = lsvd_object_head_decode(&head, header, sizeof header, io.key);
		*ret = (err == 0 || err == -ENODATA) && head.kind == OBJECT_DATA;
		err = 0; /* what does not verify is left */
	}
	return err;
}

/* A close does not wait for a search. */
static int is_over(struct search *s)
{
	bool over;

	lsvd_port_enter(&s->v->port);
	over = s->v->closing || s->v->failed;
	lsvd_port_leave(&s->v->port, false);
	return over ? LSVD_E_SHUTDOWN : 0;
}

static int drop_what_stays(struct search *s)
{
	uint64_t kept = 0;
	bool data = true;
	int err = 0;

	for (uint64_t i = 0; i < s->count && !err; i++) {
		err = is_over(s);
		if (err)
			break;
		data = true;
		if (s->list[i].kind == KEY_CHAIN)
			err = is_data(s, &s->list[i], &data);
		if (data)
			s->list[kept++] = s->list[i];
	}
	s->count = kept;
	return err;
}

/* ------------------------------------------------------------------------------------- removing */

static void removed(struct log_delete *d, int err)
{
	struct search *s = d->owner;

	s->over = true;
	s->err = err;
	lsvd_port_changed(&s->v->port);
}

static void count_removed(struct search *s)
{
	for (uint64_t i = 0; i < s->count; i++) {
		if (!s->d.victims[i].gone)
			continue;
		s->v->orphans++;
		s->v->orphan_bytes += s->list[i].bytes;
	}
}

/* Not given up before it is over: it is in our memory. */
static int remove_all(struct search *s)
{
	struct lsvd_volume *v = s->v;

	s->d.victims = lsvd_calloc(s->count, sizeof *s->d.victims);
	if (!s->d.victims)
		return lsvd_fail_plain(-ENOMEM);
	for (uint64_t i = 0; i < s->count; i++)
		s->d.victims[i] = (struct log_victim){ s->list[i].kind, s->list[i].epoch,
						       s->list[i].number, false };
	s->d.count = (unsigned)s->count;
	s->d.done = removed;
	s->d.owner = s;
	lsvd_port_enter(&v->port);
	if (v->failed || v->closing) {
		s->over = true;
		s->err = v->failed ? v->failed : LSVD_E_SHUTDOWN;
	} else {
		s->d.seq = lsvd_log_acked_seq(v->log);
		lsvd_log_delete(v->log, &s->d);
	}
	while (!s->over)
		lsvd_port_wait(&v->port);
	count_removed(s);
	lsvd_port_leave(&v->port, true);
	return s->err;
}

static int find(struct search *s)
{
	int err = list_kind(s, KEY_FREE);

	if (!err)
		err = list_kind(s, KEY_ROOT);
	if (!err)
		err = list_kind(s, KEY_CHAIN);
	if (err)
		return err;
	lsvd_port_enter(&s->v->port);
	err = drop_known(s);
	lsvd_port_leave(&s->v->port, false);
	return err ? err : drop_what_stays(s);
}

int lsvd_vol_remove_orphans(struct lsvd_volume *v)
{
	struct search s = { .v = v, .epoch = lsvd_log_epoch(v->log) };
	int err = find(&s);

	if (!err && s.count)
		err = remove_all(&s);
	if (err)
		err = lsvd_fail(err, "volume %s: orphans: %s", v->name, lsvd_error_name(err));
	lsvd_free(s.list);
	lsvd_free(s.chain);
	lsvd_free(s.d.victims);
	return err;
}

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vol_space.c - what a volume's space in the store is for.
 *
 * Every object of the table is in one row: alive (and then shared out between what is read and what
 * is not), needed by a snapshot alone, or waiting to be deleted. An object that several snapshots
 * need is counted at the oldest, so that the rows add up. What belongs to the bases of a clone is
 * not its own space, and in a row of its own.
 */
#include <lsvd/usage.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/err.h"
#include "volume/volume_internal.h"

struct space {
	struct lsvd_space_row live, stale, waiting, map, base;
	struct lsvd_space_row *snapshots; /* in the order of the volume's */
	uint64_t count;
};

static void add(struct lsvd_space_row *row, uint64_t bytes)
{
	row->objects++;
	row->bytes += bytes;
}

/* The row of a snapshot; objects come in no order of theirs. There is room for all of them. */
static struct lsvd_space_row *row_of(struct space *s, const struct snapshot *needing)
{
	struct lsvd_space_row *row;

	for (uint64_t i = s->count; i-- > 0;)
		if (strcmp(s->snapshots[i].snapshot, needing->name) == 0)
			return &s->snapshots[i];
	row = &s->snapshots[s->count++];
	memset(row, 0, sizeof *row);
	(void)snprintf(row->snapshot, sizeof row->snapshot, "%s", needing->name); /* fits */
	return row;
}

/* What a snapshot needs is not collected, however little of it lives. */
static void add_live(struct lsvd_volume *v, struct space *s, const struct object_entry *e)
{
	const struct snapshot *needing = lsvd_snapshots_needing(&v->snapshots, e);
	uint64_t live = e->data ? (uint64_t)e->bytes * e->live / e->data : 0;

	live = min_u64(live, e->bytes);
	add(&s->live, live);
	s->stale.bytes += e->bytes - live;
	if (needing && live < e->bytes)
		row_of(s, needing)->held_bytes += e->bytes - live;
}

static void count(struct lsvd_volume *v, struct space *s, const struct object_entry *e)
{
	const struct snapshot *needing;

	if (e->ancestor) {
		add(&s->base, e->bytes);
		return;
	}
	if (!e->died.epoch && (e->home == HOME_PAGES || e->home == HOME_ROOT)) {
		add(&s->map, e->bytes);
		return;
	}
	if (!e->died.epoch) {
		add_live(v, s, e);
		return;
	}
	needing = lsvd_snapshots_needing(&v->snapshots, e);
	add(needing ? row_of(s, needing) : &s->waiting, e->bytes);
}

static int count_all(struct lsvd_volume *v, struct space *s)
{
	int err = 0;

	lsvd_port_enter(&v->port);
	s->snapshots = lsvd_calloc(v->snapshots.count + 1, sizeof *s->snapshots);
	if (!s->snapshots)
		err = lsvd_fail_plain(-ENOMEM);
	for (uint64_t n = lsvd_object_table_next(&v->objects, 0); n != UINT64_MAX && !err;
	     n = lsvd_object_table_next(&v->objects, n + 1))
		count(v, s, lsvd_object_table_get(&v->objects, n));
	lsvd_port_leave(&v->port, false);
	return err;
}

static bool show(struct lsvd_space_row *row, enum lsvd_space_kind kind, lsvd_space_fn fn, void *ctx)
{
	row->size = sizeof *row;
	row->kind = kind;
	return (!row->objects && !row->bytes && !row->held_bytes) || fn(ctx, row) == 0;
}

static void show_all(struct space *s, lsvd_space_fn fn, void *ctx)
{
	bool more = show(&s->live, LSVD_SPACE_LIVE, fn, ctx) &&
		    show(&s->stale, LSVD_SPACE_STALE, fn, ctx);

	for (uint64_t i = 0; i < s->count && more; i++)
		more = show(&s->snapshots[i], LSVD_SPACE_SNAPSHOT, fn, ctx);
	if (more && show(&s->waiting, LSVD_SPACE_WAITING, fn, ctx) &&
	    show(&s->map, LSVD_SPACE_MAP, fn, ctx))
		(void)show(&s->base, LSVD_SPACE_BASE, fn, ctx); /* the last */
}

int lsvd_volume_space(struct lsvd_volume *v, lsvd_space_fn fn, void *ctx)
{
	struct space s = { .count = 0 };
	int err = count_all(v, &s);

	if (!err)
		show_all(&s, fn, ctx);
	lsvd_free(s.snapshots);
	return err;
}

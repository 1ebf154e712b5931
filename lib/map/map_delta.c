/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * map_delta.c - the changes to an absent page as a list, in the order in which they were made.
 *
 * Nothing is compared and nothing joined: what a change replaces is in the page, and that is not
 * here. So all of it is found out, and reported, when the page comes: until then, whoever counts
 * what is gone counts too little of it, never too much.
 */
#include "map/map_delta.h"

#include <errno.h>
#include <string.h>

#include "base/alloc.h"
#include "base/bytes.h"

#define NOTHING 3u                 /* in place of a kind: the range becomes a hole */

struct delta {
	uint64_t object, source;
	uint32_t off;
	uint16_t lo, len;
	uint8_t sub, kind;
};

struct map_deltas {
	uint32_t n, room;
	struct delta list[];
};

static size_t bytes_for(uint32_t room)
{
	return map_footprint(sizeof(struct map_deltas) + room * sizeof(struct delta));
}

size_t lsvd_map_deltas_memory(const struct map_deltas *d)
{
	return d ? bytes_for(d->room) : 0;
}

void lsvd_map_deltas_free(struct map_deltas *d)
{
	lsvd_free(d);
}

static int grow(struct map_deltas **deltas)
{
	struct map_deltas *d = *deltas;
	uint32_t room = d ? d->room * 2 : 2;

	if (d && d->n < d->room)
		return 0;
	d = lsvd_realloc(d, sizeof *d + room * sizeof *d->list);
	if (!d)
		return -ENOMEM;
	if (!*deltas)
		d->n = 0;
	d->room = room;
	*deltas = d;
	return 0;
}

static bool same(const struct delta *a, const struct delta *b)
{
	return a->lo == b->lo && a->len == b->len && a->kind == b->kind && a->off == b->off &&
	       a->sub == b->sub && a->object == b->object && a->source == b->source;
}

int lsvd_map_deltas_add(struct map_deltas **deltas, uint32_t lo, uint32_t hi,
			const struct map_extent *put, uint64_t source)
{
	struct delta new = { .source = source, .lo = (uint16_t)lo, .len = (uint16_t)(hi - lo),
			     .kind = NOTHING };
	int err;

	if (put) {
		new.object = put->object;
		new.off = put->off;
		new.sub = (uint8_t)put->sub;
		new.kind = put->kind;
	}
	if (*deltas && same(&(*deltas)->list[(*deltas)->n - 1], &new))
		return 0;
	err = grow(deltas);
	if (err)
		return err;
	(*deltas)->list[(*deltas)->n++] = new;
	return 1;
}

/* ------------------------------------------------------------------------------------- applying */

/* What has gone so far: it counts only if all changes can be made. */
struct gathered {
	struct map_extent *list;
	size_t n, room;
	int err;
};

static void gather(void *ctx, const struct map_extent *e)
{
	struct gathered *g = ctx;

	if (g->n == g->room) {
		size_t room = g->room ? g->room * 2 : 16;
		struct map_extent *list = lsvd_realloc(g->list, room * sizeof *list);

		if (!list) {
			g->err = -ENOMEM;
			return;
		}
		g->list = list;
		g->room = room;
	}
	g->list[g->n++] = *e;
}

static struct map_extent part_of(const struct map_extent *e, uint32_t lo, uint32_t hi)
{
	struct map_extent part = *e;

	if (lo > e->lba)
		part = lsvd_map_extent_advance(e, lo - (uint32_t)e->lba);
	part.len = hi - lo;
	return part;
}

/* Where the page has `source` the new extent takes its place; the rest of it is gone at once. */
static int swap(struct map_page **page, const struct map_extent *put, uint64_t source,
		const struct map_gone *gone)
{
	uint32_t at = (uint32_t)put->lba, end = at + put->len, stop;
	int err = 0;

	for (; at < end && err >= 0; at = stop) {
		struct map_extent e, part;
		bool found = *page && lsvd_map_page_find(*page, at, &e) && e.lba < end;
		bool match = found && e.lba <= at && e.kind != MAP_ZERO && e.object == source;

		stop = !found ? end : e.lba > at ? (uint32_t)e.lba
						 : (uint32_t)min_u64(end, e.lba + e.len);
		part = part_of(put, at, stop);
		if (match)
			err = lsvd_map_page_replace(page, at, stop, &part, gone);
		else
			gone->fn(gone->ctx, &part);
	}
	return err;
}

static int apply_one(const struct delta *d, struct map_page **page, const struct map_gone *gone)
{
	const struct map_extent put = { .lba = d->lo, .len = d->len, .off = d->off,
					.object = d->object, .sub = d->sub, .kind = d->kind };

	if (d->source)
		return swap(page, &put, d->source, gone);
	return lsvd_map_page_replace(page, d->lo, (uint32_t)d->lo + d->len,
				     d->kind == NOTHING ? NULL : &put, gone);
}

int lsvd_map_deltas_apply(const struct map_deltas *d, struct map_page **page,
			  const struct map_gone *gone)
{
	struct gathered all = { .list = NULL };
	const struct map_gone into = { .fn = gather, .ctx = &all };
	int err = 0;

	for (uint32_t i = 0; d && i < d->n && err >= 0; i++) {
		err = apply_one(&d->list[i], page, &into);
		if (err >= 0)
			err = all.err;
	}
	for (size_t i = 0; i < all.n && err >= 0 && gone->fn; i++) {
		all.list[i].lba += gone->base;
		gone->fn(gone->ctx, &all.list[i]);
	}
	lsvd_free(all.list);
	return err < 0 ? err : 0;
}

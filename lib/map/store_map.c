/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * store_map.c - where each stored sector lies: a directory of pages of packed extents.
 *
 *   store_map.c        extents: put in, taken out, found
 *   store_map_pages.c  pages: saved, loaded, sent away
 *   store_map_dir.c    the directory (store_map_dir.h)
 *   store_map_check.c  are the invariants true?
 *
 * A page that lost its last extent is freed at once; its dirty bit stays until it is saved.
 * Changes to a page that is away lie in its slot (map_delta.h), and make it dirty, until it is
 * loaded and they are made to it.
 *
 * A change to one page is done entirely or not at all, and reported only when it is done: when a
 * call fails for want of memory, the pages before the failing one have changed and been reported,
 * and are found changed when the call is repeated.
 *
 * Deliberately absent: joining of extents; a lock (the volume's serves).
 */
#include "map/store_map_dir.h"

#include <errno.h>
#include <inttypes.h>

#include "base/alloc.h"
#include "base/bytes.h"
#include "base/compiler.h"
#include "base/err.h"

/* -------------------------------------------------------------------------------------- change */

/* Replaces [lo, hi) of the path's page. -ENOMEM: nothing of it was changed. */
static int page_replace(struct store_map *m, struct map_path *p, uint32_t lo, uint32_t hi,
			const struct map_extent *put, map_gone_fn gone, void *ctx)
{
	struct map_gone g = { .fn = gone, .ctx = ctx, .base = p->page << PAGE_SHIFT };
	struct map_dir *leaf = p->node[0];
	uint64_t bit = bit_of(p->page, 0);
	struct map_page *page = leaf->slot[slot_of(p->page, 0)];
	unsigned extents;
	size_t bytes;
	int err;

	map_page_prefetch(page);
	extents = lsvd_map_page_count(page);
	bytes = lsvd_map_page_memory(page);
	err = lsvd_map_page_replace(&page, lo, hi, put, &g);
	if (err > 0) {
		if (!(leaf->dirty & bit))
			m->clean -= bytes;
		leaf->slot[slot_of(p->page, 0)] = page;
		bit_set(&leaf->present, bit, page != NULL);
		leaf->dirty |= bit;
		m->extents += lsvd_map_page_count(page);
		m->extents -= extents;
		m->memory += lsvd_map_page_memory(page);
		m->memory -= bytes;
	}
	lsvd_map_dir_update(m, p);
	return err < 0 ? err : 0;
}

/* The same for a page that is away: 1: it is noted; 0: it was. */
static int page_defer(struct store_map *m, struct map_path *p, uint32_t lo, uint32_t hi,
		      const struct map_extent *put, uint64_t source)
{
	struct map_dir *leaf = p->node[0];
	struct map_deltas *deltas = leaf->slot[slot_of(p->page, 0)];
	size_t bytes = lsvd_map_deltas_memory(deltas);
	int err = lsvd_map_deltas_add(&deltas, lo, hi, put, source);

	if (err < 0)
		return err;
	leaf->slot[slot_of(p->page, 0)] = deltas;
	m->memory += lsvd_map_deltas_memory(deltas) - bytes;
	leaf->dirty |= bit_of(p->page, 0);
	lsvd_map_dir_update(m, p);
	return err;
}

static int page_change(struct store_map *m, struct map_path *p, uint32_t lo, uint32_t hi,
		       const struct map_extent *put, map_gone_fn gone, void *ctx)
{
	int err;

	if (!(p->node[0]->away & bit_of(p->page, 0)))
		return page_replace(m, p, lo, hi, put, gone, ctx);
	err = page_defer(m, p, lo, hi, put, 0);
	return err < 0 ? err : 0;
}

/* What of [lba, end) lies in lba's page, as sectors of the page. */
static void page_range(uint64_t lba, uint64_t end, uint32_t *ret_lo, uint32_t *ret_hi)
{
	*ret_lo = (uint32_t)(lba % STORE_MAP_PAGE_SECTORS);
	*ret_hi = (uint32_t)min_u64(end - lba + *ret_lo, STORE_MAP_PAGE_SECTORS);
}

/* Does e keep to the bounds of store_map.h? What did not could not be saved and loaded again. */
static bool extent_sound(const struct map_extent *e)
{
	uint64_t end = (uint64_t)e->sub + e->len;

	if (e->len == 0 || e->len > UINT64_MAX - e->lba)
		return false;
	if (e->kind == MAP_ZERO)
		return e->object == 0 && e->off == 0 && e->sub == 0;
	if (e->object == 0 || e->object >= STORE_MAP_OBJECT_LIMIT)
		return false;
	if (e->off >= STORE_MAP_OFF_LIMIT || e->off % 16 != 0)
		return false;
	if (e->kind == MAP_UNIT)
		return end <= STORE_MAP_UNIT_SECTORS;
	return e->kind == MAP_RAW && e->sub < BLOCK_SECTORS &&
	       e->off + (end - 1) / BLOCK_SECTORS * STORE_MAP_RAW_SPACE < STORE_MAP_OFF_LIMIT;
}

/* e's part in the page that it begins in; *ret_len: how much that was. */
static int insert_in_page(struct store_map *m, const struct map_extent *e, map_gone_fn gone,
			  void *ctx, uint32_t *ret_len)
{
	struct map_extent part = *e;
	struct map_path p;
	uint32_t lo, hi;
	int err = lsvd_map_dir_make(m, e->lba >> PAGE_SHIFT, &p);

	if (err < 0)
		return err;
	page_range(e->lba, e->lba + e->len, &lo, &hi);
	part.lba = lo;
	part.len = hi - lo;
	*ret_len = part.len;
	return page_change(m, &p, lo, hi, &part, gone, ctx);
}

/* Whole pages of zeroes become holes, unless they are kept; what they cost is what was there. */
static int insert_zeroes(struct store_map *m, const struct map_extent *e, map_gone_fn gone,
			 void *ctx)
{
	uint64_t whole = round_up(max_u64(e->lba, m->keep), STORE_MAP_PAGE_SECTORS);
	uint64_t end = e->lba + e->len, whole_end = round_down(end, STORE_MAP_PAGE_SECTORS);
	struct map_extent part = *e;
	uint32_t len;
	int err = 0;

	if (whole >= whole_end) /* nothing, or part of a page or two */
		whole = whole_end = end;
	for (; part.lba < min_u64(whole, end) && !err; part.lba += len) {
		part.len = (uint32_t)(min_u64(whole, end) - part.lba);
		err = insert_in_page(m, &part, gone, ctx, &len);
	}
	if (!err)
		err = lsvd_store_map_remove(m, whole, whole_end - whole, gone, ctx);
	part.lba = whole_end;
	part.len = (uint32_t)(end - whole_end);
	return err || !part.len ? err : insert_in_page(m, &part, gone, ctx, &len);
}

int lsvd_store_map_insert(struct store_map *m, const struct map_extent *e, map_gone_fn gone,
			  void *ctx)
{
	struct map_extent rest = *e;

	if (lsvd_unlikely(!extent_sound(e)))
		return lsvd_fail(-EINVAL,
				 "map extent %" PRIu64 " +%" PRIu32 ": kind %u, object %" PRIu64
				 ", offset %" PRIu32 ", sub %u are out of bounds",
				 e->lba, e->len, e->kind, e->object, e->off, e->sub);
	if (e->kind == MAP_ZERO && e->len >= STORE_MAP_PAGE_SECTORS)
		return insert_zeroes(m, e, gone, ctx);
	for (;;) {
		uint32_t len;
		int err = insert_in_page(m, &rest, gone, ctx, &len);

		if (err < 0)
			return err;
		if (len == rest.len)
			return 0;
		rest = lsvd_map_extent_advance(&rest, len);
	}
}

int lsvd_store_map_remove(struct store_map *m, uint64_t lba, uint64_t len, map_gone_fn gone,
			  void *ctx)
{
	uint64_t end = len < UINT64_MAX - lba ? lba + len : UINT64_MAX;

	while (lba < end) {
		uint64_t page = lsvd_map_dir_next(m, lba >> PAGE_SHIFT, MAP_KNOWN);
		struct map_path p;
		uint32_t lo, hi;
		int err;

		if (page == NO_PAGE || page > (end - 1) >> PAGE_SHIFT)
			break;
		lba = max_u64(lba, page << PAGE_SHIFT);
		page_range(lba, end, &lo, &hi);
		(void)lsvd_map_dir_find(m, page, &p); /* it is there */
		err = page_change(m, &p, lo, hi, NULL, gone, ctx);
		if (err < 0)
			return err;
		lba += hi - lo;
	}
	return 0;
}

int lsvd_store_map_swap_later(struct store_map *m, const struct map_extent *e, uint64_t source)
{
	struct map_extent part = *e;
	struct map_path p;
	uint32_t lo, hi;
	int err;

	if (!lsvd_map_dir_find(m, e->lba >> PAGE_SHIFT, &p) ||
	    !(p.node[0]->away & bit_of(p.page, 0)))
		return 0;
	page_range(e->lba, e->lba + e->len, &lo, &hi);
	part.lba = lo;
	err = page_defer(m, &p, lo, hi, &part, source);
	return err < 0 ? err : err ? 1 : 2;
}

/* -------------------------------------------------------------------------------------- search */

bool lsvd_store_map_find(const struct store_map *m, uint64_t lba, struct map_extent *ret)
{
	uint64_t page = lba >> PAGE_SHIFT;
	struct map_dir *leaf = leaf_get(m, page);
	const struct map_page *p = NULL;
	struct map_extent e;

	if (leaf && leaf->present & bit_of(page, 0)) {
		p = leaf->slot[slot_of(page, 0)];
		leaf->used |= bit_of(page, 0);
	}
	map_page_prefetch(p);
	if (!p || !lsvd_map_page_find(p, (uint32_t)(lba % STORE_MAP_PAGE_SECTORS), &e)) {
		page = lsvd_map_dir_next(m, page + 1, MAP_HERE);
		if (page == NO_PAGE)
			return false;
		(void)lsvd_map_page_find(page_get(m, page), 0, &e); /* no page is empty */
	}
	*ret = e;
	ret->lba += page << PAGE_SHIFT;
	return true;
}

void lsvd_store_map_prefetch(const struct store_map *m, uint64_t lba)
{
	map_page_prefetch(page_get(m, lba >> PAGE_SHIFT));
}

uint64_t lsvd_store_map_extents(const struct store_map *m)
{
	return m->extents;
}

uint64_t lsvd_store_map_memory(const struct store_map *m)
{
	return m->memory;
}

/* ---------------------------------------------------------------------------------------- life */

void lsvd_store_map_keep_zeroes(struct store_map *m, uint64_t sectors)
{
	m->keep = sectors;
}

int lsvd_store_map_new(struct store_map **ret)
{
	struct store_map *m = lsvd_calloc(1, sizeof(*m));

	if (!m)
		return -ENOMEM;
	m->memory = map_footprint(sizeof(*m));
	if (lsvd_map_dir_init(m) < 0) {
		lsvd_free(m);
		return -ENOMEM;
	}
	*ret = m;
	return 0;
}

void lsvd_store_map_free(struct store_map *m)
{
	if (!m)
		return;
	lsvd_map_dir_fini(m);
	lsvd_free(m);
}

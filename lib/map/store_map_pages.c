/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * store_map_pages.c - pages of the store map: to bytes for a checkpoint, from bytes, and out of
 * memory.
 *
 *   (unknown) -> AWAY      a root names it: lsvd_store_map_set_away()
 *   (unknown) -> CLEAN     it is decoded
 *   CLEAN -> DIRTY         a change
 *   DIRTY -> CLEAN         it has been saved
 *   CLEAN -> AWAY          eviction
 *   AWAY -> CHANGED_AWAY   a change, which is noted
 *   AWAY -> CLEAN, CHANGED_AWAY -> DIRTY    it is loaded, and what was noted is made
 *
 * Which pages are sent away a clock's hand says, which goes round over all leaves and passes over
 * what was used since it came by last. It goes over EVICT_LEAVES leaves in one call.
 *
 * Deliberately absent: where saved pages are; the caller knows, and brings them.
 */
#include "map/store_map_dir.h"

#include <errno.h>
#include <inttypes.h>

#include "base/err.h"
#include "map/map_wire.h"

#define EVICT_LEAVES 4096u        /* looked at in one call */

/* ------------------------------------------------------------------------------- what they are */

uint64_t lsvd_store_map_next_page(const struct store_map *m, uint64_t page, enum map_pages sort)
{
	return lsvd_map_dir_next(m, page, sort);
}

bool lsvd_store_map_page_dirty(const struct store_map *m, uint64_t page)
{
	const struct map_dir *leaf = leaf_get(m, page);

	return leaf && leaf->dirty & bit_of(page, 0);
}

bool lsvd_store_map_page_present(const struct store_map *m, uint64_t page)
{
	return page_get(m, page) != NULL;
}

bool lsvd_store_map_is_away(const struct store_map *m, uint64_t page)
{
	const struct map_dir *leaf = leaf_get(m, page);

	return leaf && leaf->away & bit_of(page, 0);
}

/* --------------------------------------------------------------------------------------- bytes */

int lsvd_store_map_encode_page(const struct store_map *m, uint64_t page, void *buf, size_t cap)
{
	return lsvd_map_wire_encode(page_get(m, page), buf, cap);
}

/* A place for a page that the map knows nothing of. */
static int new_place(struct store_map *m, uint64_t page, struct map_path *ret)
{
	if (page > UINT64_MAX >> PAGE_SHIFT)
		return lsvd_fail(-EINVAL, "map page %" PRIu64 ": expected at most %" PRIu64, page,
				 UINT64_MAX >> PAGE_SHIFT);
	if (lsvd_store_map_page_present(m, page) || lsvd_store_map_page_dirty(m, page) ||
	    lsvd_store_map_is_away(m, page))
		return lsvd_fail(-EEXIST, "map page %" PRIu64 ": in the map already", page);
	return lsvd_map_dir_make(m, page, ret);
}

/* The path's slot, which is empty, gets a page; or none. */
static void put_page(struct store_map *m, struct map_path *p, struct map_page *page)
{
	struct map_dir *leaf = p->node[0];
	uint64_t bit = bit_of(p->page, 0);

	leaf->slot[slot_of(p->page, 0)] = page;
	bit_set(&leaf->present, bit, page != NULL);
	leaf->away &= ~bit;
	leaf->used |= bit;
	m->extents += lsvd_map_page_count(page);
	m->memory += lsvd_map_page_memory(page);
	if (!(leaf->dirty & bit))
		m->clean += lsvd_map_page_memory(page);
	lsvd_map_dir_update(m, p);
}

int lsvd_store_map_decode_page(struct store_map *m, uint64_t page, const void *buf, size_t len)
{
	struct map_page *new;
	struct map_path p;
	int err = lsvd_map_wire_decode(&new, buf, len, page);

	if (err < 0)
		return err;
	err = new_place(m, page, &p);
	if (err < 0)
		lsvd_map_page_free(new);
	else
		put_page(m, &p, new);
	return err;
}

int lsvd_store_map_set_away(struct store_map *m, uint64_t page)
{
	struct map_path p;
	int err = new_place(m, page, &p);

	if (err < 0)
		return err;
	p.node[0]->away |= bit_of(page, 0);
	lsvd_map_dir_update(m, &p);
	return 0;
}

int lsvd_store_map_load_page(struct store_map *m, uint64_t page, const void *buf, size_t len,
			     map_gone_fn gone, void *ctx)
{
	struct map_gone g = { .fn = gone, .ctx = ctx, .base = page << PAGE_SHIFT };
	struct map_deltas *deltas;
	struct map_page *new;
	struct map_path p;
	int err;

	if (!lsvd_store_map_is_away(m, page))
		return -ENOENT;
	err = lsvd_map_wire_decode(&new, buf, len, page);
	if (err < 0)
		return err;
	(void)lsvd_map_dir_find(m, page, &p); /* it is there */
	deltas = p.node[0]->slot[slot_of(page, 0)];
	err = lsvd_map_deltas_apply(deltas, &new, &g);
	if (err < 0) {
		lsvd_map_page_free(new);
		return err;
	}
	m->memory -= lsvd_map_deltas_memory(deltas);
	lsvd_map_deltas_free(deltas);
	put_page(m, &p, new);
	return 0;
}

void lsvd_store_map_page_clean(struct store_map *m, uint64_t page)
{
	struct map_path p;

	if (!lsvd_map_dir_find(m, page, &p) || !(p.node[0]->dirty & bit_of(page, 0)))
		return;
	p.node[0]->dirty &= ~bit_of(page, 0);
	m->clean += lsvd_map_page_memory(page_get(m, page));
	lsvd_map_dir_update(m, &p);
}

/* ------------------------------------------------------------------------------------ eviction */

static void send_away(struct store_map *m, struct map_dir *leaf, unsigned i)
{
	struct map_page *page = leaf->slot[i];

	m->extents -= lsvd_map_page_count(page);
	m->memory -= lsvd_map_page_memory(page);
	m->clean -= lsvd_map_page_memory(page);
	lsvd_map_page_free(page);
	leaf->slot[i] = NULL;
	leaf->present &= ~(UINT64_C(1) << i);
	leaf->away |= UINT64_C(1) << i;
}

/* The hand goes over one leaf, or into it as far as it has to. */
static void evict_leaf(struct store_map *m, struct map_path *p, uint64_t bytes)
{
	struct map_dir *leaf = p->node[0];
	uint64_t clean = leaf->present & ~leaf->dirty;

	for (uint64_t left = clean & ~leaf->used; left && m->memory > bytes; left &= left - 1)
		send_away(m, leaf, (unsigned)__builtin_ctzll(left));
	if (m->memory > bytes) {
		leaf->used &= ~clean;
		m->hand = (p->page | (SLOTS - 1)) + 1;
	}
	lsvd_map_dir_update(m, p);
}

void lsvd_store_map_evict(struct store_map *m, uint64_t bytes)
{
	struct map_path p;

	for (unsigned i = 0; i < EVICT_LEAVES && m->memory > bytes && m->clean; i++) {
		uint64_t page = lsvd_map_dir_next(m, m->hand, MAP_HERE);

		if (page == NO_PAGE) {
			m->hand = 0;
			continue;
		}
		(void)lsvd_map_dir_find(m, page, &p); /* it is there */
		evict_leaf(m, &p, bytes);
	}
}

uint64_t lsvd_store_map_clean_memory(const struct store_map *m)
{
	return m->clean;
}

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * store_map.c - where each stored sector lies: a directory of pages of packed extents.
 *
 * The directory is a radix tree over page numbers, 64 children a node, as high as the largest page
 * number so far asks for: one mapped page costs one node a level. A node has two bit masks beside
 * its slots, so that a walk steps over what is absent without looking at it:
 *
 *   present   of a leaf: the page has extents; of an inner node: a page below the child has
 *   dirty     of a leaf: the page changed since it was saved or loaded; of an inner node likewise
 *   away      of a leaf: the page was saved and is not here; of an inner node likewise
 *
 * A page that lost its last extent is freed at once; its dirty bit stays until it is saved. Pages
 * that are not dirty can be sent away; a clock's hand, which goes round over all leaves and passes
 * over what was used since it came by last, says which. Changes to a page that is away lie in its
 * slot (map_delta.h), and make it dirty, until it is loaded and they are made to it.
 *
 * Invariants (lsvd_store_map_check() asserts them):
 *  (1) A leaf's slot is a page with at least one extent if present is set, deltas if away and dirty
 *      are, else NULL. No page is both present and away.
 *  (2) An inner node's slot is NULL exactly if none of its bits is set; its bits are the ors of
 *      the child's. Hence no node but the root is empty.
 *  (3) extents, memory and clean are the sums over all pages and nodes.
 *
 * A change to one page is done entirely or not at all, and reported only when it is done: when a
 * call fails for want of memory, the pages before the failing one have changed and been reported,
 * and are found changed when the call is repeated.
 *
 * Deliberately absent: joining of extents; a lock (the volume's serves); where saved pages are (the
 * caller knows, and brings them).
 */
#include "map/store_map.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "base/alloc.h"
#include "base/bytes.h"
#include "base/compiler.h"
#include "base/err.h"
#include "map/map_delta.h"
#include "map/map_page.h"
#include "map/map_wire.h"

#define SLOT_BITS 6u
#define SLOTS (1u << SLOT_BITS)
#define PAGE_SHIFT 13             /* sectors to pages */
#define LEVELS_MAX 9u             /* 9 * 6 bits: all pages of a 64-bit sector number */
#define NO_PAGE UINT64_MAX
#define EVICT_LEAVES 4096u        /* looked at in one call */

_Static_assert(STORE_MAP_PAGE_SECTORS == 1u << PAGE_SHIFT, "a page is a power of two");

struct dir {
	uint64_t present, dirty, away;
	uint64_t used;            /* leaf: since the hand came by */
	void *slot[SLOTS];        /* leaf: struct map_page or map_deltas; inner: struct dir */
};

struct store_map {
	struct dir *root;
	unsigned levels;          /* of the tree, at least 1 */
	uint64_t extents;
	uint64_t memory;
	uint64_t clean;           /* of that, pages that can be sent away */
	uint64_t hand;            /* the page at which eviction goes on */
	uint64_t keep;            /* sectors below which pages of zeroes are mapped */
};

/* The nodes from a leaf, node[0], up to the root. */
struct path {
	uint64_t page;
	struct dir *node[LEVELS_MAX];
};

/* ---------------------------------------------------------------------------------- directory */

static unsigned slot_of(uint64_t page, unsigned level)
{
	return (unsigned)(page >> (level * SLOT_BITS)) & (SLOTS - 1);
}

static uint64_t bit_of(uint64_t page, unsigned level)
{
	return UINT64_C(1) << slot_of(page, level);
}

/* Is the tree too low for the page? */
static bool beyond(const struct store_map *m, uint64_t page)
{
	return page >> (m->levels * SLOT_BITS) != 0;
}

static bool is_empty(const struct dir *d)
{
	return (d->present | d->dirty | d->away) == 0;
}

static void bit_set(uint64_t *mask, uint64_t bit, bool on)
{
	*mask = on ? *mask | bit : *mask & ~bit;
}

static struct dir *dir_new(struct store_map *m)
{
	struct dir *d = lsvd_calloc(1, sizeof(*d));

	if (d)
		m->memory += map_footprint(sizeof(*d));
	return d;
}

static void dir_free(struct store_map *m, struct dir *d)
{
	m->memory -= map_footprint(sizeof(*d));
	lsvd_free(d);
}

/* Makes the tree high enough for the page. */
static int grow_up(struct store_map *m, uint64_t page)
{
	while (beyond(m, page)) {
		if (!is_empty(m->root)) {
			struct dir *d = dir_new(m);

			if (!d)
				return -ENOMEM;
			d->slot[0] = m->root;
			d->present = m->root->present != 0;
			d->dirty = m->root->dirty != 0;
			d->away = m->root->away != 0;
			m->root = d;
		}
		m->levels++;
	}
	return 0;
}

/*
 * Makes the bits of the path's nodes agree with its leaf, and frees those that are empty. Where a
 * node's bits did not change the ancestors' need not.
 */
static void path_update(struct store_map *m, struct path *p)
{
	for (unsigned level = 1; level < m->levels; level++) {
		struct dir *d = p->node[level], *child = p->node[level - 1];
		uint64_t bit = bit_of(p->page, level);
		uint64_t present = d->present, dirty = d->dirty, away = d->away;

		bit_set(&d->present, bit, child->present != 0);
		bit_set(&d->dirty, bit, child->dirty != 0);
		bit_set(&d->away, bit, child->away != 0);
		if (is_empty(child)) {
			d->slot[slot_of(p->page, level)] = NULL;
			dir_free(m, child);
		} else if (d->present == present && d->dirty == dirty && d->away == away) {
			return;
		}
	}
}

/* The path to a page's leaf; false if there is none. */
static bool path_find(const struct store_map *m, uint64_t page, struct path *p)
{
	struct dir *d = m->root;

	if (beyond(m, page))
		return false;
	p->page = page;
	for (unsigned level = m->levels - 1; d; level--) {
		p->node[level] = d;
		if (level == 0)
			return true;
		d = d->slot[slot_of(page, level)];
	}
	return false;
}

/* The same, making the nodes that are missing. */
static int path_make(struct store_map *m, uint64_t page, struct path *p)
{
	unsigned level;
	int err = grow_up(m, page);

	if (err < 0)
		return err;
	p->page = page;
	p->node[m->levels - 1] = m->root;
	for (level = m->levels - 1; level > 0; level--) {
		void **slot = &p->node[level]->slot[slot_of(page, level)];

		if (!*slot)
			*slot = dir_new(m);
		if (!*slot)
			break;
		p->node[level - 1] = *slot;
	}
	if (level == 0)
		return 0;
	/* What was made is empty and goes again: it ends where the path ends now. */
	for (; level + 1 < m->levels && is_empty(p->node[level]); level++) {
		p->node[level + 1]->slot[slot_of(page, level + 1)] = NULL;
		dir_free(m, p->node[level]);
	}
	return -ENOMEM;
}

static struct dir *leaf_get(const struct store_map *m, uint64_t page)
{
	struct dir *d = m->root;

	if (beyond(m, page))
		return NULL;
	for (unsigned level = m->levels - 1; level > 0 && d; level--)
		d = d->slot[slot_of(page, level)];
	return d;
}

/* NULL: it has no extents, or is away. */
static struct map_page *page_get(const struct store_map *m, uint64_t page)
{
	struct dir *d = leaf_get(m, page);

	return d && d->present & bit_of(page, 0) ? d->slot[slot_of(page, 0)] : NULL;
}

/* Which of d's children are, or may have, pages of that sort. */
static uint64_t mask_of(const struct dir *d, enum map_pages sort)
{
	switch (sort) {
	case MAP_HERE:
		return d->present;
	case MAP_DIRTY:
		return d->dirty;
	case MAP_AWAY:
		return d->away;
	case MAP_CHANGED_AWAY:
		return d->away & d->dirty;
	default:
		return d->present | d->away;
	}
}

/*
 * The first page >= `page` under d of that sort. `page` is a number below d: its higher bits belong
 * to d's ancestors.
 */
static uint64_t next_below(const struct dir *d, unsigned level, uint64_t page, enum map_pages sort)
{
	uint64_t span = UINT64_C(1) << (level * SLOT_BITS);
	uint64_t mask = mask_of(d, sort) & UINT64_MAX << (page / span);

	while (mask) {
		uint64_t i = (uint64_t)__builtin_ctzll(mask);
		uint64_t from = page > i * span ? page - i * span : 0;
		uint64_t found;

		found = level > 0 ? next_below(d->slot[i], level - 1, from, sort) : 0;
		if (found != NO_PAGE)
			return i * span + found;
		mask &= mask - 1;
	}
	return NO_PAGE;
}

static uint64_t next_page(const struct store_map *m, uint64_t page, enum map_pages sort)
{
	return beyond(m, page) ? NO_PAGE : next_below(m->root, m->levels - 1, page, sort);
}

/* ------------------------------------------------------------------------------------- change */

/* Replaces [lo, hi) of the path's page. -ENOMEM: nothing of it was changed. */
static int page_replace(struct store_map *m, struct path *p, uint32_t lo, uint32_t hi,
			const struct map_extent *put, map_gone_fn gone, void *ctx)
{
	struct map_gone g = { .fn = gone, .ctx = ctx, .base = p->page << PAGE_SHIFT };
	struct dir *leaf = p->node[0];
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
	path_update(m, p);
	return err < 0 ? err : 0;
}

/* The same for a page that is away: 1: it is noted; 0: it was. */
static int page_defer(struct store_map *m, struct path *p, uint32_t lo, uint32_t hi,
		      const struct map_extent *put, uint64_t source)
{
	struct dir *leaf = p->node[0];
	struct map_deltas *deltas = leaf->slot[slot_of(p->page, 0)];
	size_t bytes = lsvd_map_deltas_memory(deltas);
	int err = lsvd_map_deltas_add(&deltas, lo, hi, put, source);

	if (err < 0)
		return err;
	leaf->slot[slot_of(p->page, 0)] = deltas;
	m->memory += lsvd_map_deltas_memory(deltas) - bytes;
	leaf->dirty |= bit_of(p->page, 0);
	path_update(m, p);
	return err;
}

static int page_change(struct store_map *m, struct path *p, uint32_t lo, uint32_t hi,
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
	struct path p;
	uint32_t lo, hi;
	int err = path_make(m, e->lba >> PAGE_SHIFT, &p);

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
		uint64_t page = next_page(m, lba >> PAGE_SHIFT, MAP_KNOWN);
		struct path p;
		uint32_t lo, hi;
		int err;

		if (page == NO_PAGE || page > (end - 1) >> PAGE_SHIFT)
			break;
		lba = max_u64(lba, page << PAGE_SHIFT);
		page_range(lba, end, &lo, &hi);
		(void)path_find(m, page, &p); /* it is there */
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
	struct path p;
	uint32_t lo, hi;
	int err;

	if (!path_find(m, e->lba >> PAGE_SHIFT, &p) || !(p.node[0]->away & bit_of(p.page, 0)))
		return 0;
	page_range(e->lba, e->lba + e->len, &lo, &hi);
	part.lba = lo;
	err = page_defer(m, &p, lo, hi, &part, source);
	return err < 0 ? err : err ? 1 : 2;
}

/* ------------------------------------------------------------------------------------- search */

bool lsvd_store_map_find(const struct store_map *m, uint64_t lba, struct map_extent *ret)
{
	uint64_t page = lba >> PAGE_SHIFT;
	struct dir *leaf = leaf_get(m, page);
	const struct map_page *p = NULL;
	struct map_extent e;

	if (leaf && leaf->present & bit_of(page, 0)) {
		p = leaf->slot[slot_of(page, 0)];
		leaf->used |= bit_of(page, 0);
	}
	map_page_prefetch(p);
	if (!p || !lsvd_map_page_find(p, (uint32_t)(lba % STORE_MAP_PAGE_SECTORS), &e)) {
		page = next_page(m, page + 1, MAP_HERE);
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

/* ---------------------------------------------------------------------------------- life */

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
	m->levels = 1;
	m->root = dir_new(m);
	if (!m->root) {
		lsvd_free(m);
		return -ENOMEM;
	}
	*ret = m;
	return 0;
}

static void free_below(struct dir *d, unsigned level)
{
	for (unsigned i = 0; i < SLOTS; i++) {
		if (!d->slot[i])
			continue;
		if (level > 0)
			free_below(d->slot[i], level - 1);
		else if (d->present >> i & 1)
			lsvd_map_page_free(d->slot[i]);
		else
			lsvd_map_deltas_free(d->slot[i]);
	}
	lsvd_free(d);
}

void lsvd_store_map_free(struct store_map *m)
{
	if (!m)
		return;
	free_below(m->root, m->levels - 1);
	lsvd_free(m);
}

/* --------------------------------------------------------------------------------- checkpoints */

uint64_t lsvd_store_map_next_page(const struct store_map *m, uint64_t page, enum map_pages sort)
{
	return next_page(m, page, sort);
}

bool lsvd_store_map_page_dirty(const struct store_map *m, uint64_t page)
{
	const struct dir *leaf = leaf_get(m, page);

	return leaf && leaf->dirty & bit_of(page, 0);
}

bool lsvd_store_map_page_present(const struct store_map *m, uint64_t page)
{
	return page_get(m, page) != NULL;
}

bool lsvd_store_map_is_away(const struct store_map *m, uint64_t page)
{
	const struct dir *leaf = leaf_get(m, page);

	return leaf && leaf->away & bit_of(page, 0);
}

int lsvd_store_map_encode_page(const struct store_map *m, uint64_t page, void *buf, size_t cap)
{
	return lsvd_map_wire_encode(page_get(m, page), buf, cap);
}

/* A place for a page that the map knows nothing of. */
static int new_place(struct store_map *m, uint64_t page, struct path *ret)
{
	if (page > UINT64_MAX >> PAGE_SHIFT)
		return lsvd_fail(-EINVAL, "map page %" PRIu64 ": expected at most %" PRIu64, page,
				 UINT64_MAX >> PAGE_SHIFT);
	if (lsvd_store_map_page_present(m, page) || lsvd_store_map_page_dirty(m, page) ||
	    lsvd_store_map_is_away(m, page))
		return lsvd_fail(-EEXIST, "map page %" PRIu64 ": in the map already", page);
	return path_make(m, page, ret);
}

/* The path's slot, which is empty, gets a page; or none. */
static void put_page(struct store_map *m, struct path *p, struct map_page *page)
{
	struct dir *leaf = p->node[0];
	uint64_t bit = bit_of(p->page, 0);

	leaf->slot[slot_of(p->page, 0)] = page;
	bit_set(&leaf->present, bit, page != NULL);
	leaf->away &= ~bit;
	leaf->used |= bit;
	m->extents += lsvd_map_page_count(page);
	m->memory += lsvd_map_page_memory(page);
	if (!(leaf->dirty & bit))
		m->clean += lsvd_map_page_memory(page);
	path_update(m, p);
}

int lsvd_store_map_decode_page(struct store_map *m, uint64_t page, const void *buf, size_t len)
{
	struct map_page *new;
	struct path p;
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
	struct path p;
	int err = new_place(m, page, &p);

	if (err < 0)
		return err;
	p.node[0]->away |= bit_of(page, 0);
	path_update(m, &p);
	return 0;
}

int lsvd_store_map_load_page(struct store_map *m, uint64_t page, const void *buf, size_t len,
			     map_gone_fn gone, void *ctx)
{
	struct map_gone g = { .fn = gone, .ctx = ctx, .base = page << PAGE_SHIFT };
	struct map_deltas *deltas;
	struct map_page *new;
	struct path p;
	int err;

	if (!lsvd_store_map_is_away(m, page))
		return -ENOENT;
	err = lsvd_map_wire_decode(&new, buf, len, page);
	if (err < 0)
		return err;
	(void)path_find(m, page, &p); /* it is there */
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
	struct path p;

	if (!path_find(m, page, &p) || !(p.node[0]->dirty & bit_of(page, 0)))
		return;
	p.node[0]->dirty &= ~bit_of(page, 0);
	m->clean += lsvd_map_page_memory(page_get(m, page));
	path_update(m, &p);
}

/* ----------------------------------------------------------------------------------- eviction */

static void send_away(struct store_map *m, struct dir *leaf, unsigned i)
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
static void evict_leaf(struct store_map *m, struct path *p, uint64_t bytes)
{
	struct dir *leaf = p->node[0];
	uint64_t clean = leaf->present & ~leaf->dirty;

	for (uint64_t left = clean & ~leaf->used; left && m->memory > bytes; left &= left - 1)
		send_away(m, leaf, (unsigned)__builtin_ctzll(left));
	if (m->memory > bytes) {
		leaf->used &= ~clean;
		m->hand = (p->page | (SLOTS - 1)) + 1;
	}
	path_update(m, p);
}

void lsvd_store_map_evict(struct store_map *m, uint64_t bytes)
{
	struct path p;

	for (unsigned i = 0; i < EVICT_LEAVES && m->memory > bytes && m->clean; i++) {
		uint64_t page = next_page(m, m->hand, MAP_HERE);

		if (page == NO_PAGE) {
			m->hand = 0;
			continue;
		}
		(void)path_find(m, page, &p); /* it is there */
		evict_leaf(m, &p, bytes);
	}
}

uint64_t lsvd_store_map_clean_memory(const struct store_map *m)
{
	return m->clean;
}

/* --------------------------------------------------------------------------------- check, dump */

void lsvd_store_map_dump(const struct store_map *m, FILE *out)
{
	static const char *const kinds[] = { "raw", "unit", "zero" };
	struct map_extent e = { .lba = 0 };
	char line[96];

	while (lsvd_store_map_find(m, e.lba + e.len, &e)) {
		int len = snprintf(line, sizeof(line),
				   "%" PRIu64 " +%" PRIu32 " %s %" PRIu64 ":%" PRIu32 "+%u\n",
				   e.lba, e.len, kinds[e.kind], e.object, e.off, e.sub);

		(void)fwrite(line, 1, (size_t)len, out); /* a dump is for people */
	}
}

/* What follows is for tests and is meant to assert in every build. */
#undef NDEBUG
#include <assert.h>

struct sums {
	uint64_t extents, memory, clean;
};

static void check_leaf(const struct dir *d, struct sums *sums)
{
	assert((d->present & d->away) == 0);
	for (unsigned i = 0; i < SLOTS; i++) {
		const struct map_page *page = d->present >> i & 1 ? d->slot[i] : NULL;

		assert((d->slot[i] != NULL) ==
		       (((d->present | (d->away & d->dirty)) >> i & 1) != 0));
		if (!page) {
			sums->memory += lsvd_map_deltas_memory(d->slot[i]);
			continue;
		}
		lsvd_map_page_check(page);
		sums->extents += lsvd_map_page_count(page);
		sums->memory += lsvd_map_page_memory(page);
		if (!(d->dirty >> i & 1))
			sums->clean += lsvd_map_page_memory(page);
	}
}

static void check_below(const struct dir *d, unsigned level, struct sums *sums)
{
	sums->memory += map_footprint(sizeof(*d));
	if (level == 0) {
		check_leaf(d, sums);
		return;
	}
	for (unsigned i = 0; i < SLOTS; i++) {
		const struct dir *child = d->slot[i];

		assert((child && child->present) == (d->present >> i & 1));
		assert((child && child->dirty) == (d->dirty >> i & 1));
		assert((child && child->away) == (d->away >> i & 1));
		assert(!child || !is_empty(child));
		if (child)
			check_below(child, level - 1, sums);
	}
}

void lsvd_store_map_check(const struct store_map *m)
{
	struct sums sums = { .memory = map_footprint(sizeof(*m)) };

	assert(m->levels >= 1 && m->levels <= LEVELS_MAX);
	check_below(m->root, m->levels - 1, &sums);
	assert(sums.extents == m->extents);
	assert(sums.memory == m->memory);
	assert(sums.clean == m->clean);
}

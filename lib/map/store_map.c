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
 *
 * A page that lost its last extent is freed at once; its dirty bit stays until it is saved.
 *
 * Invariants (lsvd_store_map_check() asserts them):
 *  (1) A leaf's slot is NULL or a page with at least one extent; present tells which.
 *  (2) An inner node's slot is NULL exactly if neither of its bits is set; its bits are the ors of
 *      the child's. Hence no node but the root is empty.
 *  (3) extents and memory are the sums over all pages and nodes.
 *
 * A change to one page is done entirely or not at all, and reported only when it is done: when a
 * call fails for want of memory, the pages before the failing one have changed and been reported,
 * and are found changed when the call is repeated.
 *
 * Deliberately absent: joining of extents; a lock (the volume's serves); loading on demand (the
 * caller knows where saved pages are).
 */
#include "map/store_map.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "base/alloc.h"
#include "base/bytes.h"
#include "base/compiler.h"
#include "base/err.h"
#include "map/map_page.h"
#include "map/map_wire.h"

#define SLOT_BITS 6u
#define SLOTS (1u << SLOT_BITS)
#define PAGE_SHIFT 13             /* sectors to pages */
#define LEVELS_MAX 9u             /* 9 * 6 bits: all pages of a 64-bit sector number */
#define NO_PAGE UINT64_MAX

_Static_assert(STORE_MAP_PAGE_SECTORS == 1u << PAGE_SHIFT, "a page is a power of two");

struct dir {
	uint64_t present, dirty;
	void *slot[SLOTS];        /* leaf: struct map_page; inner: struct dir */
};

struct store_map {
	struct dir *root;
	unsigned levels;          /* of the tree, at least 1 */
	uint64_t extents;
	uint64_t memory;
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
	return (d->present | d->dirty) == 0;
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
		uint64_t present = d->present, dirty = d->dirty;

		bit_set(&d->present, bit, child->present != 0);
		bit_set(&d->dirty, bit, child->dirty != 0);
		if (is_empty(child)) {
			d->slot[slot_of(p->page, level)] = NULL;
			dir_free(m, child);
		} else if (d->present == present && d->dirty == dirty) {
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

static struct map_page *page_get(const struct store_map *m, uint64_t page)
{
	const struct dir *d = m->root;

	if (beyond(m, page))
		return NULL;
	for (unsigned level = m->levels - 1; level > 0 && d; level--)
		d = d->slot[slot_of(page, level)];
	return d ? d->slot[slot_of(page, 0)] : NULL;
}

/*
 * The first page >= `page` under d that is present (or dirty, if that is asked for). `page` is a
 * number below d: its higher bits belong to d's ancestors.
 */
static uint64_t next_below(const struct dir *d, unsigned level, uint64_t page, bool dirty)
{
	uint64_t span = UINT64_C(1) << (level * SLOT_BITS);
	uint64_t mask = dirty ? d->dirty : d->present;

	mask &= UINT64_MAX << (page / span);
	while (mask) {
		uint64_t i = (uint64_t)__builtin_ctzll(mask);
		uint64_t from = page > i * span ? page - i * span : 0;
		uint64_t found;

		found = level > 0 ? next_below(d->slot[i], level - 1, from, dirty) : 0;
		if (found != NO_PAGE)
			return i * span + found;
		mask &= mask - 1;
	}
	return NO_PAGE;
}

static uint64_t next_page(const struct store_map *m, uint64_t page, bool dirty)
{
	return beyond(m, page) ? NO_PAGE : next_below(m->root, m->levels - 1, page, dirty);
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

int lsvd_store_map_insert(struct store_map *m, const struct map_extent *e, map_gone_fn gone,
			  void *ctx)
{
	struct map_extent rest = *e;

	if (lsvd_unlikely(!extent_sound(e)))
		return lsvd_fail(-EINVAL,
				 "map extent %" PRIu64 " +%" PRIu32 ": kind %u, object %" PRIu64
				 ", offset %" PRIu32 ", sub %u are out of bounds",
				 e->lba, e->len, e->kind, e->object, e->off, e->sub);
	for (;;) {
		struct map_extent part = rest;
		struct path p;
		uint32_t lo, hi;
		int err = path_make(m, rest.lba >> PAGE_SHIFT, &p);

		if (err < 0)
			return err;
		page_range(rest.lba, rest.lba + rest.len, &lo, &hi);
		part.lba = lo;
		part.len = hi - lo;
		err = page_replace(m, &p, lo, hi, &part, gone, ctx);
		if (err < 0)
			return err;
		if (part.len == rest.len)
			return 0;
		rest = lsvd_map_extent_advance(&rest, part.len);
	}
}

int lsvd_store_map_remove(struct store_map *m, uint64_t lba, uint64_t len, map_gone_fn gone,
			  void *ctx)
{
	uint64_t end = len < UINT64_MAX - lba ? lba + len : UINT64_MAX;

	while (lba < end) {
		uint64_t page = next_page(m, lba >> PAGE_SHIFT, false);
		struct path p;
		uint32_t lo, hi;
		int err;

		if (page == NO_PAGE || page > (end - 1) >> PAGE_SHIFT)
			break;
		lba = max_u64(lba, page << PAGE_SHIFT);
		page_range(lba, end, &lo, &hi);
		(void)path_find(m, page, &p); /* it is there */
		err = page_replace(m, &p, lo, hi, NULL, gone, ctx);
		if (err < 0)
			return err;
		lba += hi - lo;
	}
	return 0;
}

/* ------------------------------------------------------------------------------------- search */

bool lsvd_store_map_find(const struct store_map *m, uint64_t lba, struct map_extent *ret)
{
	uint64_t page = lba >> PAGE_SHIFT;
	const struct map_page *p = page_get(m, page);
	struct map_extent e;

	map_page_prefetch(p);
	if (!p || !lsvd_map_page_find(p, (uint32_t)(lba % STORE_MAP_PAGE_SECTORS), &e)) {
		page = next_page(m, page + 1, false);
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
		else
			lsvd_map_page_free(d->slot[i]);
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

uint64_t lsvd_store_map_next_page(const struct store_map *m, uint64_t page, bool dirty_only)
{
	return next_page(m, page, dirty_only);
}

bool lsvd_store_map_page_dirty(const struct store_map *m, uint64_t page)
{
	struct path p;

	return path_find(m, page, &p) && (p.node[0]->dirty & bit_of(page, 0));
}

bool lsvd_store_map_page_present(const struct store_map *m, uint64_t page)
{
	return page_get(m, page) != NULL;
}

int lsvd_store_map_encode_page(const struct store_map *m, uint64_t page, void *buf, size_t cap)
{
	return lsvd_map_wire_encode(page_get(m, page), buf, cap);
}

int lsvd_store_map_decode_page(struct store_map *m, uint64_t page, const void *buf, size_t len)
{
	struct map_page *new;
	struct path p;
	int err;

	if (page > UINT64_MAX >> PAGE_SHIFT)
		return lsvd_fail(-EINVAL, "map page %" PRIu64 ": expected at most %" PRIu64, page,
				 UINT64_MAX >> PAGE_SHIFT);
	if (lsvd_store_map_page_present(m, page) || lsvd_store_map_page_dirty(m, page))
		return lsvd_fail(-EEXIST, "map page %" PRIu64 ": in the map already", page);
	err = lsvd_map_wire_decode(&new, buf, len, page);
	if (err < 0 || !new)
		return err;
	err = path_make(m, page, &p);
	if (err < 0) {
		lsvd_map_page_free(new);
		return err;
	}
	p.node[0]->slot[slot_of(page, 0)] = new;
	p.node[0]->present |= bit_of(page, 0);
	m->extents += lsvd_map_page_count(new);
	m->memory += lsvd_map_page_memory(new);
	path_update(m, &p);
	return 0;
}

void lsvd_store_map_page_clean(struct store_map *m, uint64_t page)
{
	struct path p;

	if (!path_find(m, page, &p))
		return;
	p.node[0]->dirty &= ~bit_of(page, 0);
	path_update(m, &p);
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
	uint64_t extents, memory;
};

static void check_leaf(const struct dir *d, struct sums *sums)
{
	for (unsigned i = 0; i < SLOTS; i++) {
		const struct map_page *page = d->slot[i];

		assert((page != NULL) == (d->present >> i & 1));
		if (page)
			lsvd_map_page_check(page);
		sums->extents += lsvd_map_page_count(page);
		sums->memory += lsvd_map_page_memory(page);
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
}

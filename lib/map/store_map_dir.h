/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * store_map_dir.h - the directory of the store map: a radix tree over page numbers.
 *
 * It is 64 children a node, as high as the largest page number so far asks for: one mapped page
 * costs one node a level. A node has bit masks beside its slots, so that a walk steps over what
 * is absent without looking at it:
 *
 *   present   of a leaf: the page has extents; of an inner node: a page below the child has
 *   dirty     of a leaf: the page changed since it was saved or loaded; of an inner node likewise
 *   away      of a leaf: the page was saved and is not here; of an inner node likewise
 *
 * Who changes a leaf calls lsvd_map_dir_update() then, and only that changes inner nodes.
 *
 * Invariants (lsvd_store_map_check() asserts them):
 *  (1) A leaf's slot is a page with at least one extent if present is set, deltas if away and dirty
 *      are, else NULL. No page is both present and away.
 *  (2) An inner node's slot is NULL exactly if none of its bits is set; its bits are the ors of
 *      the child's. Hence no node but the root is empty.
 *  (3) extents, memory and clean are the sums over all pages and nodes.
 *
 * For the files of the store map alone; a step of a search is inline, since every read and write
 * takes it.
 */
#ifndef MAP_STORE_MAP_DIR_H
#define MAP_STORE_MAP_DIR_H

#include "map/map_delta.h"
#include "map/map_page.h"
#include "map/store_map.h"

#define SLOT_BITS 6u
#define SLOTS (1u << SLOT_BITS)
#define PAGE_SHIFT 13             /* sectors to pages */
#define LEVELS_MAX 9u             /* 9 * 6 bits: all pages of a 64-bit sector number */
#define NO_PAGE UINT64_MAX

_Static_assert(STORE_MAP_PAGE_SECTORS == 1u << PAGE_SHIFT, "a page is a power of two");

struct map_dir {
	uint64_t present, dirty, away;
	uint64_t used;            /* leaf: since the hand came by */
	void *slot[SLOTS];        /* leaf: struct map_page or map_deltas; inner: struct map_dir */
};

struct store_map {
	struct map_dir *root;
	unsigned levels;          /* of the tree, at least 1 */
	uint64_t extents;
	uint64_t memory;
	uint64_t clean;           /* of that, pages that can be sent away */
	uint64_t hand;            /* the page at which eviction goes on */
	uint64_t keep;            /* sectors below which pages of zeroes are mapped */
};

/* The nodes from a leaf, node[0], up to the root. */
struct map_path {
	uint64_t page;
	struct map_dir *node[LEVELS_MAX];
};

static inline unsigned slot_of(uint64_t page, unsigned level)
{
	return (unsigned)(page >> (level * SLOT_BITS)) & (SLOTS - 1);
}

static inline uint64_t bit_of(uint64_t page, unsigned level)
{
	return UINT64_C(1) << slot_of(page, level);
}

/* Is the tree too low for the page? */
static inline bool beyond(const struct store_map *m, uint64_t page)
{
	return page >> (m->levels * SLOT_BITS) != 0;
}

static inline bool is_empty(const struct map_dir *d)
{
	return (d->present | d->dirty | d->away) == 0;
}

static inline void bit_set(uint64_t *mask, uint64_t bit, bool on)
{
	*mask = on ? *mask | bit : *mask & ~bit;
}

static inline struct map_dir *leaf_get(const struct store_map *m, uint64_t page)
{
	struct map_dir *d = m->root;

	if (beyond(m, page))
		return NULL;
	for (unsigned level = m->levels - 1; level > 0 && d; level--)
		d = d->slot[slot_of(page, level)];
	return d;
}

/* NULL: it has no extents, or is away. */
static inline struct map_page *page_get(const struct store_map *m, uint64_t page)
{
	struct map_dir *d = leaf_get(m, page);

	return d && d->present & bit_of(page, 0) ? d->slot[slot_of(page, 0)] : NULL;
}

/* The path to a page's leaf; false if there is none. */
bool lsvd_map_dir_find(const struct store_map *m, uint64_t page, struct map_path *p);
/* The same, making the nodes that are missing. -ENOMEM: the directory is what it was. */
int lsvd_map_dir_make(struct store_map *m, uint64_t page, struct map_path *p);
/*
 * Makes the bits of the path's nodes agree with its leaf, and frees those that are empty: the
 * path is of no use any more.
 */
void lsvd_map_dir_update(struct store_map *m, struct map_path *p);
/* The first page >= `page` of that sort; NO_PAGE: none. */
uint64_t lsvd_map_dir_next(const struct store_map *m, uint64_t page, enum map_pages sort);
/* A root without anything in it; and all there is, pages included, to the allocator. */
int lsvd_map_dir_init(struct store_map *m);
void lsvd_map_dir_fini(struct store_map *m);

#endif

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * store_map_dir.c - the directory of the store map: paths to leaves, and walks over them.
 *
 * A node whose last bit goes is freed at once, on the way from the leaf up; where a node's bits
 * did not change the ancestors' need not. A node that was made and is not used, since another
 * could not be made, goes again.
 *
 * Deliberately absent: making the tree lower again.
 */
#include "map/store_map_dir.h"

#include <errno.h>

#include "base/alloc.h"

/* --------------------------------------------------------------------------------------- nodes */

static struct map_dir *dir_new(struct store_map *m)
{
	struct map_dir *d = lsvd_calloc(1, sizeof(*d));

	if (d)
		m->memory += map_footprint(sizeof(*d));
	return d;
}

static void dir_free(struct store_map *m, struct map_dir *d)
{
	m->memory -= map_footprint(sizeof(*d));
	lsvd_free(d);
}

/* Makes the tree high enough for the page. */
static int grow_up(struct store_map *m, uint64_t page)
{
	while (beyond(m, page)) {
		if (!is_empty(m->root)) {
			struct map_dir *d = dir_new(m);

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

int lsvd_map_dir_init(struct store_map *m)
{
	m->levels = 1;
	m->root = dir_new(m);
	return m->root ? 0 : -ENOMEM;
}

static void free_below(struct map_dir *d, unsigned level)
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

void lsvd_map_dir_fini(struct store_map *m)
{
	free_below(m->root, m->levels - 1);
}

/* --------------------------------------------------------------------------------------- paths */

bool lsvd_map_dir_find(const struct store_map *m, uint64_t page, struct map_path *p)
{
	struct map_dir *d = m->root;

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

int lsvd_map_dir_make(struct store_map *m, uint64_t page, struct map_path *p)
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

void lsvd_map_dir_update(struct store_map *m, struct map_path *p)
{
	for (unsigned level = 1; level < m->levels; level++) {
		struct map_dir *d = p->node[level], *child = p->node[level - 1];
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

/* --------------------------------------------------------------------------------------- walks */

/* Which of d's children are, or may have, pages of that sort. */
static uint64_t mask_of(const struct map_dir *d, enum map_pages sort)
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
static uint64_t next_below(const struct map_dir *d, unsigned level, uint64_t page,
			   enum map_pages sort)
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

uint64_t lsvd_map_dir_next(const struct store_map *m, uint64_t page, enum map_pages sort)
{
	return beyond(m, page) ? NO_PAGE : next_below(m->root, m->levels - 1, page, sort);
}

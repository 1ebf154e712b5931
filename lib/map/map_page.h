/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * map_page.h - the extents of one page of the store map, packed.
 *
 * Addresses here are sectors from the page's beginning, 0 … STORE_MAP_PAGE_SECTORS. An empty page
 * is NULL. map_page.c says how extents are packed; nobody else knows.
 *
 * Memory only, no locks, no I/O.
 */
#ifndef MAP_MAP_PAGE_H
#define MAP_MAP_PAGE_H

#include "map/store_map.h"

struct map_page;

/* What there is to know of the extents of a page before it can be made. Begin with all zero. */
struct map_shape {
	uint32_t n;
	uint32_t len_min, len_max;
	uint32_t off_max;
	uint32_t sub_max;
	uint32_t kinds;            /* bit 1 << kind for each that occurs */
	uint64_t object_min, object_max; /* of those that are not MAP_ZERO */
	bool uneven;               /* one is not exactly a 4 KiB block */
};

void lsvd_map_shape_add(struct map_shape *s, const struct map_extent *e);

/* An empty page for s->n extents of that shape; NULL in *ret if s->n is 0. -ENOMEM. */
int lsvd_map_page_new(struct map_page **ret, const struct map_shape *s);

/* The next of the extents the page was made for, in order of their addresses. */
void lsvd_map_page_append(struct map_page *p, const struct map_extent *e);

void lsvd_map_page_free(struct map_page *p);

/* Who is told of what goes away, and what to add to its lba. */
struct map_gone {
	map_gone_fn fn;            /* or NULL */
	void *ctx;
	uint64_t base;
};

/*
 * Replaces what lies in [lo, hi) by `put`, which covers just that, or by nothing. *page may move,
 * come into being or become NULL. 1: changed; 0: there was nothing to remove; -ENOMEM: nothing was
 * changed and nothing reported.
 */
int lsvd_map_page_replace(struct map_page **page, uint32_t lo, uint32_t hi,
			  const struct map_extent *put, const struct map_gone *gone);

/* The first extent that ends after lba, whole; false if there is none, and *ret is of no use. */
bool lsvd_map_page_find(const struct map_page *p, uint32_t lba, struct map_extent *ret);

unsigned lsvd_map_page_count(const struct map_page *p);
size_t lsvd_map_page_memory(const struct map_page *p);

/* Asserts the invariants; for tests. */
void lsvd_map_page_check(const struct map_page *p);

/* Starts to bring a page into the cache; no more than random 4 KiB writes make of one. */
static inline void map_page_prefetch(const struct map_page *p)
{
	for (unsigned at = 0; at < 320; at += 64)
		__builtin_prefetch((const char *)p + at);
}

/* What the C library takes for an allocation of so many bytes: 8 more, in steps of 16. */
static inline size_t map_footprint(size_t bytes)
{
	return (bytes + 8 + 15) & ~(size_t)15;
}

#endif

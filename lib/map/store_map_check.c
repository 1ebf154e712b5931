/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * store_map_check.c - for tests: are the store map's invariants true, and what is in it, for
 * people.
 *
 * The check is meant to assert in every build.
 */
#undef NDEBUG
#include <assert.h>
#include <inttypes.h>

#include "map/store_map_dir.h"

struct sums {
	uint64_t extents, memory, clean;
};

static void check_leaf(const struct map_dir *d, struct sums *sums)
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

static void check_below(const struct map_dir *d, unsigned level, struct sums *sums)
{
	sums->memory += map_footprint(sizeof(*d));
	if (level == 0) {
		check_leaf(d, sums);
		return;
	}
	for (unsigned i = 0; i < SLOTS; i++) {
		const struct map_dir *child = d->slot[i];

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

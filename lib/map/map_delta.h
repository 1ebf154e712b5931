/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * map_delta.h - changes to a page of the store map that is not in memory, until it is.
 *
 * Addresses are sectors from the page's beginning, as in map_page.h. Memory only, no locks.
 */
#ifndef MAP_MAP_DELTA_H
#define MAP_MAP_DELTA_H

#include "map/map_page.h"

struct map_deltas;

/*
 * Notes that [lo, hi) is replaced by *put, which covers just that, or by nothing (NULL); with
 * `source`, only where it lies in that object. *deltas, NULL at first, may move. 1; 0: that was
 * noted last and is not noted twice, so that a call may be repeated; -ENOMEM: nothing is noted.
 */
int lsvd_map_deltas_add(struct map_deltas **deltas, uint32_t lo, uint32_t hi,
			const struct map_extent *put, uint64_t source);

/*
 * Makes the changes to *page, in order. Reported is what goes away by that, changes among it that
 * later ones undid, and what of a change with a source did not find it. -ENOMEM: nothing is
 * reported, and the page is of no use.
 */
int lsvd_map_deltas_apply(const struct map_deltas *deltas, struct map_page **page,
			  const struct map_gone *gone);

void lsvd_map_deltas_free(struct map_deltas *deltas);
size_t lsvd_map_deltas_memory(const struct map_deltas *deltas);

#endif

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vol_pages.h - pages of the store map that are away, for those who need them.
 *
 * Lock held everywhere: the port's.
 */
#ifndef VOLUME_VOL_PAGES_H
#define VOLUME_VOL_PAGES_H

#include <stdint.h>

#include "base/list.h"
#include "io/tables.h"

struct lsvd_volume;

/* One who waits for a page. */
struct page_wait {
	struct list link;
	uint64_t page;
	/*
	 * 0: the page is here, for as long as the callback lasts. An error of the store, or
	 * LSVD_E_CORRUPT: it cannot be had now. Never called inside lsvd_vol_want_page().
	 */
	void (*done)(struct page_wait *w, int err);
};

/* Part of struct lsvd_volume. */
struct pager {
	struct list loads;       /* on their way, or waiting for the encoder */
	unsigned holders;        /* of all pages: as long as there are any, none goes */
	struct io trim_step;
	bool trimming;
};

/* The first page that is away of those that have a part of [lba, end); UINT64_MAX: all are here. */
uint64_t lsvd_vol_away(const struct lsvd_volume *v, uint64_t lba, uint64_t end);
/* w->page is away, and is brought. -ENOMEM: it is not. */
int lsvd_vol_want_page(struct lsvd_volume *v, struct page_wait *w);
/* The first `most` pages that are away of those with a part of [lba, end) will soon be needed. */
void lsvd_vol_want_soon(struct lsvd_volume *v, uint64_t lba, uint64_t end, unsigned most);
#define PAGES_SOON 16u

/* Blocks, with the lock given up meanwhile. Between hold and release: what came stays. */
int lsvd_vol_wait_page(struct lsvd_volume *v, uint64_t page);
void lsvd_vol_hold_pages(struct lsvd_volume *v);
void lsvd_vol_release_pages(struct lsvd_volume *v);

/* Nothing encodes the map any more: what came meanwhile goes in. */
void lsvd_vol_pages_thawed(struct lsvd_volume *v);
/* Pages go away if the map takes more memory than it may. */
void lsvd_vol_trim_map(struct lsvd_volume *v);

#endif

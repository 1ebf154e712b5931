/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * page_table.h - where the saved pages of the store map lie: by page number, in nodes of PAGE_NODE.
 *
 * As the newest root has it, or the one that is being written. Nodes without pages are absent.
 */
#ifndef VOLUME_PAGE_TABLE_H
#define VOLUME_PAGE_TABLE_H

#include "volume/object_table.h"

#define PAGE_NODE 1024u

/* Object 0: the page is not saved, it has no extents. */
struct page_ref {
	uint64_t object;
	uint64_t hash;
	uint32_t off, len;
};

struct page_node {
	struct blob_ref saved;
	uint32_t used;
	struct page_ref refs[PAGE_NODE];
};

struct page_table {
	struct page_node **nodes;
	uint64_t count;        /* nodes with a place in the array */
	uint64_t used;         /* pages */
};

void lsvd_page_table_fini(struct page_table *t);
/* Room for the page, so that set cannot fail. -ENOMEM. */
int lsvd_page_table_reserve(struct page_table *t, uint64_t page);
/* Sets it to *ref, or with NULL to none; what it was is *ret_old. */
void lsvd_page_table_set(struct page_table *t, uint64_t page, const struct page_ref *ref,
			 struct page_ref *ret_old);
struct page_node *lsvd_page_table_node(const struct page_table *t, uint64_t index);
/* Frees a node that has no pages. */
void lsvd_page_table_drop_node(struct page_table *t, uint64_t index);

#endif

/* SPDX-License-Identifier: BSD-2-Clause */
/* page_table.c - the array of nodes of references to pages. */
#include "volume/page_table.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#include "base/alloc.h"
#include "base/bytes.h"
#include "base/err.h"

void lsvd_page_table_fini(struct page_table *t)
{
	for (uint64_t i = 0; i < t->count; i++)
		lsvd_free(t->nodes[i]);
	lsvd_free(t->nodes);
	memset(t, 0, sizeof *t);
}

static int grow(struct page_table *t, uint64_t index)
{
	uint64_t count = max_u64(index + 1, t->count + t->count / 2 + 4);
	struct page_node **nodes = lsvd_realloc(t->nodes, count * sizeof *nodes);

	if (!nodes)
		return lsvd_fail_plain(-ENOMEM);
	memset(nodes + t->count, 0, (count - t->count) * sizeof *nodes);
	t->nodes = nodes;
	t->count = count;
	return 0;
}

int lsvd_page_table_reserve(struct page_table *t, uint64_t page)
{
	uint64_t index = page / PAGE_NODE;
	int err = index < t->count ? 0 : grow(t, index);

	if (err || t->nodes[index])
		return err;
	t->nodes[index] = lsvd_calloc(1, sizeof **t->nodes);
	return t->nodes[index] ? 0 : lsvd_fail_plain(-ENOMEM);
}

struct page_node *lsvd_page_table_node(const struct page_table *t, uint64_t index)
{
	return index < t->count ? t->nodes[index] : NULL;
}

void lsvd_page_table_set(struct page_table *t, uint64_t page, const struct page_ref *ref,
			 struct page_ref *ret_old)
{
	struct page_node *node = lsvd_page_table_node(t, page / PAGE_NODE);
	struct page_ref *to;

	*ret_old = (struct page_ref){ .object = 0 };
	if (!node && !ref)
		return;
	assert(node);
	to = &node->refs[page % PAGE_NODE];
	*ret_old = *to;
	*to = ref ? *ref : (struct page_ref){ .object = 0 };
	node->used += (to->object != 0);
	node->used -= (ret_old->object != 0);
	t->used += (to->object != 0);
	t->used -= (ret_old->object != 0);
}

void lsvd_page_table_drop_node(struct page_table *t, uint64_t index)
{
	assert(index < t->count && t->nodes[index] && !t->nodes[index]->used);
	lsvd_free(t->nodes[index]);
	t->nodes[index] = NULL;
}

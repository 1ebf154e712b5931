/* SPDX-License-Identifier: BSD-2-Clause */
/* chunk.c - slices of large blocks of memory. */
#include "wal/chunk.h"

#include <assert.h>
#include <errno.h>

#include "base/alloc.h"
#include "base/bytes.h"
#include "base/err.h"

/* Free chunks kept while others are used, and when none is; more are given back to the system. */
#define FREE_MAX 16u
#define FREE_AT_REST 4u

void lsvd_chunk_pool_init(struct chunk_pool *p)
{
	p->open = NULL;
	p->free_count = 0;
	p->count = 0;
	list_init(&p->free);
}

static void destroy(struct chunk_pool *p, struct chunk *c)
{
	lsvd_huge_free(c->data, CHUNK_BYTES);
	lsvd_free(c);
	p->count--;
}

/* Is none of them used, but the open one? */
static bool at_rest(const struct chunk_pool *p)
{
	return p->count - p->free_count == (p->open ? 1 : 0);
}

static void drop(struct chunk_pool *p, struct chunk *c)
{
	if (--c->slices)
		return;
	if (p->free_count >= FREE_MAX) {
		destroy(p, c);
		return;
	}
	c->used = 0;
	list_add_tail(p->free.next, &c->link); /* in front: the newest is the warmest */
	p->free_count++;
	while (p->free_count > FREE_AT_REST && at_rest(p)) {
		struct chunk *coldest = list_last(&p->free, struct chunk, link);

		list_del(&coldest->link);
		p->free_count--;
		destroy(p, coldest);
	}
}

void lsvd_chunk_pool_fini(struct chunk_pool *p)
{
	struct list *node;

	if (p->open)
		drop(p, p->open);
	p->open = NULL;
	while ((node = list_pop(&p->free)))
		destroy(p, list_entry(node, struct chunk, link));
	p->free_count = 0;
	assert(p->count == 0);
}

static struct chunk *fresh(struct chunk_pool *p)
{
	struct list *node = list_pop(&p->free);
	struct chunk *c;

	if (node) {
		p->free_count--;
		c = list_entry(node, struct chunk, link);
		c->slices = 1;
		return c;
	}
	c = lsvd_calloc(1, sizeof *c);
	if (!c)
		return NULL;
	c->data = lsvd_huge_alloc(CHUNK_BYTES);
	if (!c->data) {
		lsvd_free(c);
		return NULL;
	}
	c->slices = 1;
	p->count++;
	return c;
}

int lsvd_slice_get(struct chunk_pool *p, struct slice *ret, uint32_t bytes)
{
	assert(bytes <= CHUNK_BYTES && bytes % BLOCK_BYTES == 0);
	if (!p->open || p->open->used + bytes > CHUNK_BYTES) {
		struct chunk *c = fresh(p);

		if (!c)
			return lsvd_fail(-ENOMEM, "no memory for %u bytes of log data",
					 CHUNK_BYTES);
		if (p->open)
			drop(p, p->open);
		p->open = c;
	}
	ret->chunk = p->open;
	ret->data = p->open->data + p->open->used;
	p->open->used += bytes;
	p->open->slices++;
	return 0;
}

void lsvd_slice_put(struct chunk_pool *p, struct slice *s)
{
	if (s->chunk)
		drop(p, s->chunk);
	s->chunk = NULL;
	s->data = NULL;
}

uint64_t lsvd_chunk_pool_used(const struct chunk_pool *p)
{
	return (uint64_t)(p->count - p->free_count) * CHUNK_BYTES;
}

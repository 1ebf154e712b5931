/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * seg_arena.c - memory of a built segment: chunks that never move, since the iov points into them.
 *
 * What is reserved is there to be written; only what is taken is kept, so that a unit that did
 * not pay leaves no hole.
 */
#include "segment/seg_arena.h"

#include <assert.h>
#include <errno.h>

#include "base/alloc.h"
#include "base/err.h"

struct chunk {
	struct chunk *next;
	uint32_t used;
	_Alignas(16) uint8_t bytes[ARENA_CHUNK_BYTES];
};

uint8_t *lsvd_seg_arena_reserve(struct segment *s, uint32_t bytes)
{
	struct chunk *c = s->arena;

	assert(bytes <= ARENA_CHUNK_BYTES);
	if (c && ARENA_CHUNK_BYTES - c->used >= bytes)
		return c->bytes + c->used;
	c = lsvd_malloc(sizeof *c);
	if (!c) {
		(void)lsvd_fail_plain(-ENOMEM); /* for its text; the caller returns the code */
		return NULL;
	}
	c->next = s->arena;
	c->used = 0;
	s->arena = c;
	return c->bytes;
}

void lsvd_seg_arena_take(struct segment *s, uint32_t bytes)
{
	struct chunk *c = s->arena;

	assert(bytes % 16 == 0 && bytes <= ARENA_CHUNK_BYTES - c->used);
	c->used += bytes;
}

void lsvd_seg_arena_free(struct segment *s)
{
	struct chunk *c = s->arena;

	while (c) {
		struct chunk *next = c->next;

		lsvd_free(c);
		c = next;
	}
}

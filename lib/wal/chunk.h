/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * chunk.h - memory for data on its way: large blocks, carved into slices that are given back whole.
 *
 * A slice keeps its chunk alive; a chunk without slices goes to a free list and is used again, so
 * that the steady state neither allocates nor faults pages in. Protected by the owner's lock.
 */
#ifndef WAL_CHUNK_H
#define WAL_CHUNK_H

#include <stdint.h>

#include "base/list.h"

#define CHUNK_BYTES (4u << 20)

struct chunk {
	struct list link;     /* the pool's free list */
	unsigned slices;
	uint32_t used;
	uint8_t *data;        /* CHUNK_BYTES, aligned to 4 KiB */
};

struct chunk_pool {
	struct chunk *open;   /* being carved; counted as one slice */
	struct list free;
	unsigned free_count;
	unsigned count;       /* chunks in all */
};

struct slice {
	struct chunk *chunk;  /* NULL: an empty slice */
	uint8_t *data;
};

void lsvd_chunk_pool_init(struct chunk_pool *p);
void lsvd_chunk_pool_fini(struct chunk_pool *p);  /* all slices must be back */
/* `bytes`: a multiple of 4 KiB, at most CHUNK_BYTES. -ENOMEM. */
int lsvd_slice_get(struct chunk_pool *p, struct slice *ret, uint32_t bytes);
void lsvd_slice_put(struct chunk_pool *p, struct slice *s);
/* Bytes held, free chunks not counted. */
uint64_t lsvd_chunk_pool_used(const struct chunk_pool *p);

#endif

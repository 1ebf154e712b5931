/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * seg_arena.h - memory of a built segment: frames and compressed bytes, which its iov points to.
 */
#ifndef SEGMENT_SEG_ARENA_H
#define SEGMENT_SEG_ARENA_H

#include <stdint.h>

#include "segment/segment.h"

#define ARENA_CHUNK_BYTES (256u << 10)

/* `bytes` bytes that may be used; what is used must then be taken. NULL: no memory. */
uint8_t *lsvd_seg_arena_reserve(struct segment *s, uint32_t bytes);
void lsvd_seg_arena_take(struct segment *s, uint32_t bytes);
void lsvd_seg_arena_free(struct segment *s);

#endif

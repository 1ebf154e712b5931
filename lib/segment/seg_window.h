/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * seg_window.h - pieces of data made into the units of an object.
 *
 * For seg_builder.c alone, which gives it what is left of a group's records, in order of lba.
 */
#ifndef SEGMENT_SEG_WINDOW_H
#define SEGMENT_SEG_WINDOW_H

#include <stdbool.h>

#include "segment/seg_codec.h"
#include "segment/segment.h"

#define WINDOW_PIECES (UNIT_MAX_BYTES / SECTOR_BYTES)

/* What is left of a 4 KiB piece of a record. */
struct piece {
	uint64_t lba;
	const uint8_t *data;     /* of the part that is left */
	uint64_t hash;           /* of the piece as it came */
	uint8_t sectors;         /* left, 1 … 8 */
	uint8_t before;          /* cut off in front */
	uint8_t came;            /* sectors of the piece as it came */
};

struct builder {
	struct segment *s;
	const struct seg_record *records;
	uint64_t owner, object;
	struct seg_options options;

	struct piece window[WINDOW_PIECES];
	unsigned pieces;
	uint32_t window_bytes;

	uint64_t off;            /* body bytes so far */
	uint32_t *stored;        /* of each extent that is a SEG_UNIT */
	struct compressor *compressor;
	uint8_t *scratch;        /* UNIT_MAX_BYTES, to gather in */
	uint32_t misses, pause;
	uint64_t zero_hash[BLOCK_SECTORS + 1]; /* of so many sectors of zeroes */
};

void lsvd_seg_window_init(struct builder *b);
/* Another piece behind those before; it may end a window. */
int lsvd_seg_window_add(struct builder *b, const struct piece *p);
/* Makes units of what is in the window. */
int lsvd_seg_window_flush(struct builder *b);
/* To be called before the body is added; `stored` is for SEG_UNIT. */
void lsvd_seg_add_extent(struct builder *b, uint64_t lba, uint64_t sectors, int kind,
			 uint32_t stored);

#endif

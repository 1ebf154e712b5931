/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * seg_adopt.h - the record that makes a MOVED part of the history (docs/format.md, "Adoption").
 *
 * It names the object and repeats its extents, so that replay needs not read it, and says for every
 * sector where the data was when it was copied: the *source*, an object number. Whoever applies it
 * gives a sector its new place only if the map still has it in its source (compare and swap: an
 * address occurs at most once in an object, so the number decides); source 0 stands for data that
 * was in no object, and is placed whatever the map has.
 *
 * Pure but for allocation.
 */
#ifndef SEGMENT_SEG_ADOPT_H
#define SEGMENT_SEG_ADOPT_H

#include "segment/segment.h"

/* So many sectors of the extents, in their order, are from one source. */
struct seg_run {
	uint64_t sectors;
	uint64_t source;
};

struct seg_adopt {
	uint64_t object, epoch, number; /* the MOVED: its number in the lineage, and its name */
	uint32_t header_bytes;
	uint64_t body_bytes;
	struct seg_extent *extents;
	uint32_t extent_count;
	struct seg_run *runs;
	uint32_t run_count;
};

/* Sectors of one extent and one source. */
struct seg_piece {
	const struct seg_extent *extent;
	uint64_t skip;               /* sectors of the extent before the piece */
	uint64_t sectors;
	uint64_t source;
};

/*
 * The payload of the record for a built MOVED: into allocated memory with `room` bytes in front of
 * it for whoever frames it. The runs' sectors are those of its extents. -ENOMEM.
 */
int lsvd_adopt_encode(uint8_t **ret, uint32_t *ret_len, size_t room, const struct segment *moved,
		      const struct seg_adopt *name, const struct seg_run *runs, uint32_t run_count);

/* Fails with LSVD_E_CORRUPT, LSVD_E_VERSION, -ENOMEM; `what` names the object for texts. */
int lsvd_adopt_decode(struct seg_adopt *ret, const uint8_t *payload, uint32_t len,
		      uint64_t volume_sectors, const char *what);
void lsvd_adopt_free(struct seg_adopt *a);

/* The pieces, in order of lba; begin with an all-zero walk. False: there are no more. */
struct seg_walk {
	uint32_t extent, run;
	uint64_t in_extent, in_run;
};
bool lsvd_adopt_next(const struct seg_adopt *a, struct seg_walk *w, struct seg_piece *ret);

#endif

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fmt_chain.h - what chain objects, and moved ones, say of themselves behind the fixed part of
 * their header.
 *
 * Pure, as fmt_object.h.
 */
#ifndef FORMAT_FMT_CHAIN_H
#define FORMAT_FMT_CHAIN_H

#include "format/fmt_object.h"

/*
 * Every so many-th place of a chain is an anchor: a NOTE that the log itself puts. Anchors are
 * never deleted, so the end of a chain can be sought among them; data, which may be, is never at
 * one.
 */
#define CHAIN_ANCHOR_EVERY 64u

/* The part that all chain objects (BASE, DATA, FENCE, CLOSE, NOTE) have. */
#define CHAIN_PART_BYTES 128u
struct chain_part {
	uint64_t prev_checksum; /* header checksum of the chain object before; 0: there is none */
	uint64_t first_op, last_op; /* history it holds; last_op = first_op - 1: none */
	uint64_t acked_seq;     /* all of this epoch's chain up to here was acknowledged */
	struct root_ref root;   /* the newest root known acknowledged */
	uint64_t volume_bytes;
	uint64_t next_object;   /* first object number not yet given away */
	uint64_t base_epoch, base_seq; /* BASE: what this epoch goes on from; 0, 0: from nothing */
	uint64_t fenced_by;     /* FENCE: the epoch */
	uint32_t flags;         /* CHAIN_… */
	uint32_t extents;       /* DATA: how many follow */
	uint32_t extent_bytes;  /* DATA: their encoded length */
	uint32_t records;       /* DATA, NOTE: how many there are (fmt_record.h), */
	uint32_t record_bytes;  /* and their length, a multiple of 8 */
};
#define CHAIN_FLUSH_REMOTE 1u  /* the writer ran with LSVD_FLUSH_REMOTE */

void lsvd_chain_part_encode(void *at, const struct chain_part *c);
/* `header` is a whole verified header of a chain object. */
int lsvd_chain_part_decode(struct chain_part *ret, const void *header, const struct object_head *h,
			   const char *what);

/* Where the records of a DATA or NOTE begin in its header. */
static inline uint32_t chain_records_at(const struct chain_part *c)
{
	return OBJECT_HEAD_BYTES + CHAIN_PART_BYTES + ((c->extent_bytes + 7) & ~UINT32_C(7));
}

/* ---- the part of a MOVED, behind the fixed one; extents follow, as in a DATA */
#define MOVED_PART_BYTES 16u
struct moved_part {
	uint32_t extents;
	uint32_t extent_bytes;
};
void lsvd_moved_part_encode(void *at, const struct moved_part *m);
/* `header` is a whole verified header of a MOVED. */
int lsvd_moved_part_decode(struct moved_part *ret, const void *header, const struct object_head *h,
			   const char *what);

#endif

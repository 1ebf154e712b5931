/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fmt_record.h - records in the headers of chain objects: what the log carries for its owner.
 *
 * A record is {u16 type, u16 flags, u32 length}, so many bytes of payload, and zeroes up to a
 * multiple of 8 (docs/format.md, "Records"). They take effect after the object's own extents, in
 * order.
 *
 * Pure: the bytes are those of a verified header; what they say is checked.
 */
#ifndef FORMAT_FMT_RECORD_H
#define FORMAT_FMT_RECORD_H

#include "format/fmt_chain.h"

enum record_type {
	RECORD_ADOPT = 1,
	RECORD_SNAPSHOT = 2,
	RECORD_SNAPSHOT_GONE = 3,
	RECORD_ROLLBACK = 4,
};

#define RECORD_OPTIONAL 1u      /* flag: who does not know the type may pass over it */
#define RECORD_HEAD_BYTES 8u

struct record {
	uint16_t type, flags;
	uint32_t len;
	const uint8_t *payload;
};

/* Bytes a record with `len` bytes of payload takes. */
static inline uint64_t record_space(uint64_t len)
{
	return RECORD_HEAD_BYTES + ((len + 7) & ~UINT64_C(7));
}

/* Writes all but the payload, which belongs at RECORD_HEAD_BYTES; returns the space. */
uint32_t lsvd_record_frame(uint8_t *at, int type, unsigned flags, uint32_t len);

/* The records of a whole, verified header of a DATA or NOTE. */
struct record_walk {
	const uint8_t *p, *end;
	uint32_t left;
	const char *what;
};
void lsvd_record_walk(struct record_walk *w, const uint8_t *header, const struct chain_part *chain,
		      const char *what);
/* 1: *ret is the next one; 0: there are no more; LSVD_E_CORRUPT. */
int lsvd_record_next(struct record_walk *w, struct record *ret);

#endif

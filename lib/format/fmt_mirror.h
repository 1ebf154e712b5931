/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fmt_mirror.h - the bytes of a mirror: the store map, kept in the cache directory (docs/format.md,
 * "Mirrors").
 *
 * A file is a head of 4 KiB and records behind it, each on fresh blocks of 4 KiB and bound to its
 * place and to this making of the file (the nonce), so that what an older making left there is
 * never taken for a part of this one. The snapshot (pages and objects) reaches to
 * head.snapshot_end, and is whole once the head says MIRROR_COMPLETE; records of chain objects lie
 * among it and follow it, up to the first that does not verify.
 *
 * Pure: bytes in, structs out, and back.
 */
#ifndef FORMAT_FMT_MIRROR_H
#define FORMAT_FMT_MIRROR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/uuid.h"

#define MIRROR_VERSION 1u
#define MIRROR_HEAD_BYTES 4096u
#define MIRROR_RECORD_BYTES 48u
#define MIRROR_PAYLOAD_MAX (17u << 20)    /* a chain object's header is at most 16 MiB */
#define MIRROR_PAGE_ENTRY_BYTES 16u       /* u64 page, u32 bytes, u32 0; the bytes follow */
#define MIRROR_OBJECT_ENTRY_BYTES 48u     /* docs/format.md, "Mirrors" */

struct mirror_head {
	uint32_t flags;        /* MIRROR_… */
	uint64_t generation;   /* the greater of two complete files is tried first */
	struct uuid volume;
	struct uuid cache_id;  /* of the local log that it belongs to */
	uint64_t run;          /* of that log when the file was begun */
	uint64_t nonce;
	uint64_t volume_bytes;
	uint64_t epoch, seq;   /* the chain object whose state the snapshot was begun at */
	uint64_t last_op;      /* the newest operation in that */
	uint64_t next_object;  /* no object that the snapshot names has this number or
				* a greater one */
	uint64_t snapshot_end; /* offset; all records before it are needed */
};
#define MIRROR_COMPLETE 1u

void lsvd_mirror_head_encode(uint8_t buf[MIRROR_HEAD_BYTES], const struct mirror_head *h);
/* LSVD_E_CORRUPT or LSVD_E_VERSION. */
int lsvd_mirror_head_decode(struct mirror_head *ret, const uint8_t buf[MIRROR_HEAD_BYTES],
			    const char *what);

enum mirror_kind {
	MIRROR_PAGES = 1,      /* pages of the map, as they are in checkpoints */
	MIRROR_OBJECTS = 2,    /* data objects */
	MIRROR_CHAIN = 3,      /* the whole header of a chain object */
	MIRROR_MARK = 4,       /* how far the records before it have got */
};

/*
 * All chain objects up to this one that change the map are among what is before it. Records after
 * it carry its nonce: where a file is gone on with, what was torn off it earlier never follows
 * again.
 */
struct mirror_mark {
	uint64_t epoch, seq, last_op, nonce;
};
#define MIRROR_MARK_BYTES 32u

void lsvd_mirror_mark_encode(uint8_t *payload, const struct mirror_mark *m);
void lsvd_mirror_mark_decode(struct mirror_mark *ret, const uint8_t *payload);

/* What a record takes in the file. */
static inline uint64_t mirror_span(uint32_t payload_bytes)
{
	return round_up(MIRROR_RECORD_BYTES + (uint64_t)payload_bytes, BLOCK_BYTES);
}

/*
 * Finishes a record in place: `buf` has mirror_span(bytes) bytes, the payload at
 * MIRROR_RECORD_BYTES, zeroes behind it.
 */
void lsvd_mirror_record_encode(uint8_t *buf, const struct mirror_head *h, uint64_t off,
			       enum mirror_kind kind, uint32_t bytes);

/* Looks at the first MIRROR_RECORD_BYTES: false if no record of this file begins there. */
bool lsvd_mirror_record_peek(const uint8_t *buf, const struct mirror_head *h, uint64_t off,
			     uint32_t *ret_kind, uint32_t *ret_bytes);
/* Verifies a whole record that peek has liked; `buf` is unchanged in the end, not meanwhile. */
bool lsvd_mirror_record_verify(uint8_t *buf, const struct mirror_head *h, uint32_t bytes);

#endif

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fmt_object.h - what the objects of a volume begin with (docs/format.md, "Objects").
 *
 * Every object is a header and a body. The header starts with 80 fixed bytes (struct object_head),
 * goes on with a part that belongs to its kind, and is padded with zeroes to a multiple of 16; its
 * checksum, seeded with the volume, covers all of it. The body is verified by its own frames or
 * checksums. The parts of the kinds: fmt_chain.h, fmt_volume.h, fmt_claim.h, fmt_slot.h.
 *
 * Pure: bytes in, structs out, and back. A decoder may be given any bytes at all; it fails with
 * LSVD_E_CORRUPT or LSVD_E_VERSION and a text that names both values, never reads beyond `len`.
 */
#ifndef FORMAT_FMT_OBJECT_H
#define FORMAT_FMT_OBJECT_H

#include <stddef.h>
#include <stdint.h>

#include "base/uuid.h"

enum object_kind {
	OBJECT_VOLUME = 1,  /* volumes/<name>: struct fmt_volume */
	OBJECT_CLAIM = 2,   /* struct fmt_claim */
	OBJECT_BASE = 3,    /* object 1 of an epoch: chain part with base_epoch, base_seq */
	OBJECT_DATA = 4,    /* chain part, extents, body of units */
	OBJECT_FENCE = 5,   /* chain part: the epoch that fenced, in fenced_by; ends a chain */
	OBJECT_CLOSE = 6,   /* chain part: ends a chain cleanly */
	OBJECT_PAGES = 7,   /* map pages: struct fmt_page_ref list, body of pages */
	OBJECT_ROOT = 8,    /* the root of a checkpoint */
	OBJECT_NOTE = 9,    /* chain part, records: a chain object without operations */
	OBJECT_MOVED = 10,  /* moved part, extents, body of units: nothing until it is adopted */
	OBJECT_VALUES = 11, /* a value log's segment: nothing until it is committed */
	OBJECT_VLOG = 12,   /* vlogs/<name>: struct fmt_volume */
	OBJECT_SLOT = 13,   /* struct fmt_slot */
};

#define OBJECT_HEAD_BYTES 80u
#define OBJECT_HEADER_MAX (16u << 20)   /* nobody writes, and no decoder accepts, a longer header */
#define OBJECT_VERSION 1u
#define OBJECT_NUMBER_LIMIT (UINT64_C(1) << 40) /* object numbers are below it */
#define OBJECT_INCOMPAT_LOWERS 1u   /* a feature bit of a volume's record: it has lowers */

struct object_head {
	uint16_t kind;
	uint32_t header_bytes;  /* the whole header, a multiple of 16 */
	uint32_t compat, incompat; /* feature bits; an unknown incompat bit is LSVD_E_VERSION */
	struct uuid volume;
	uint64_t epoch;
	uint64_t seq;           /* chain: place in the epoch's chain; else the key's number */
	uint64_t object;        /* number in the lineage, 0 if it has none */
	uint64_t body_bytes;
	uint64_t checksum;      /* of the header: filled by encode, verified by decode */
};

/* Where a root is; epoch 0: there is none. */
struct root_ref {
	uint64_t epoch, number;
};

/*
 * Finishes a header in place: `buf` holds header_bytes bytes with the kind's own part already at
 * OBJECT_HEAD_BYTES; writes the fixed part and the checksum, and returns the checksum in h too.
 */
void lsvd_object_head_encode(void *buf, struct object_head *h);

/*
 * Reads and checks the fixed part of at least OBJECT_HEAD_BYTES bytes. If `len` covers the whole
 * header its checksum is verified, else -ENODATA with *ret filled: read header_bytes and call
 * again. `what` names the object in texts.
 */
int lsvd_object_head_decode(struct object_head *ret, const void *buf, size_t len, const char *what);

/* What kind it says it is, before anything else of it is looked at; 0: `len` is too short. */
uint16_t lsvd_object_kind_of(const void *buf, size_t len);

/* Fails with LSVD_E_CORRUPT unless head is of the volume, kind (0: any), epoch and seq expected. */
int lsvd_object_head_expect(const struct object_head *h, const struct uuid *volume, int kind,
			    uint64_t epoch, uint64_t seq, const char *what);

#endif

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fmt_object.h - what the objects of a volume begin with (docs/format.md, "Objects").
 *
 * Every object is a header and a body. The header starts with 80 fixed bytes (struct object_head),
 * goes on with a part that belongs to its kind, and is padded with zeroes to a multiple of 16; its
 * checksum, seeded with the volume, covers all of it. The body is verified by its own frames or
 * checksums.
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

/* Fails with LSVD_E_CORRUPT unless head is of the volume, kind (0: any), epoch and seq expected. */
int lsvd_object_head_expect(const struct object_head *h, const struct uuid *volume, int kind,
			    uint64_t epoch, uint64_t seq, const char *what);

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

/* ---- the record of a volume, or of a value log */
#define FMT_ANCESTORS_MAX 64u
/* What a clone began as: a snapshot of its base, which may be a clone itself. */
struct fmt_base {
	uint32_t ancestors;     /* volumes whose objects it may use, oldest first; the last is the
				 * base. 0: it is no clone */
	uint64_t own_first;     /* its own objects have this number and greater ones */
	struct uuid snapshot;
	struct root_ref root;   /* as the snapshot's note names it */
	uint64_t at_epoch, at_seq; /* that note */
	struct fmt_ancestor {
		uint64_t first; /* objects from here up to the next one's are of */
		struct uuid volume;
	} list[FMT_ANCESTORS_MAX];
};
#define FMT_LOWERS_MAX 32u
/*
 * Snapshots of other volumes that show where nothing was ever written; the last is the uppermost.
 */
struct fmt_lowers {
	uint32_t count;
	struct fmt_lower {
		struct uuid volume, snapshot;
		uint64_t bytes; /* the size of the snapshot */
		char name[65], snapshot_name[65];
	} list[FMT_LOWERS_MAX];
};
struct fmt_volume {
	uint16_t kind;          /* OBJECT_VOLUME, OBJECT_VLOG */
	struct uuid uuid;
	char name[65];
	uint64_t bytes;         /* 0 of a value log */
	int64_t created_ms;
	struct fmt_base base;
	struct fmt_lowers lowers;
};
#define OBJECT_INCOMPAT_LOWERS 1u   /* a feature bit of a volume's record: it has lowers */
#define FMT_VOLUME_BYTES 256u       /* of neither a clone nor one with lowers; ancestors follow, */
#define FMT_LOWER_BYTES 192u        /* then lowers, at a multiple of 16 */
#define FMT_VOLUME_BYTES_MAX (FMT_VOLUME_BYTES + 24u * FMT_ANCESTORS_MAX + \
			      FMT_LOWER_BYTES * FMT_LOWERS_MAX)
static inline uint32_t fmt_volume_lowers_at(uint32_t ancestors)
{
	return (FMT_VOLUME_BYTES + 24u * ancestors + 15) & ~UINT32_C(15);
}
/* The bytes it takes. */
static inline uint32_t fmt_volume_bytes(const struct fmt_volume *v)
{
	return fmt_volume_lowers_at(v->base.ancestors) + FMT_LOWER_BYTES * v->lowers.count;
}
void lsvd_volume_record_encode(uint8_t *buf, const struct fmt_volume *v);
int lsvd_volume_record_decode(struct fmt_volume *ret, const void *buf, size_t len,
			      const char *what);

/* ---- a slot: who uses a snapshot; s/<snapshot>.<number> of the base */
enum slot_what {
	SLOT_ADD = 1,           /* a clone does */
	SLOT_DROP = 2,          /* that one does not any more */
	SLOT_CLOSE = 3,         /* nobody may any more: the snapshot is about to go */
	SLOT_DOUBT = 4,         /* is there such a clone? If it is made after this, it is none */
};
struct fmt_slot {
	enum slot_what what;
	struct uuid clone;
	char name[65];          /* of the clone */
};
#define FMT_SLOT_BYTES 192u
void lsvd_slot_encode(uint8_t buf[FMT_SLOT_BYTES], const struct uuid *volume, uint64_t number,
		      const struct fmt_slot *s);
int lsvd_slot_decode(struct fmt_slot *ret, const struct uuid *volume, uint64_t number,
		     const void *buf, size_t len, const char *what);

/* ---- a claim */
struct fmt_claim {
	struct uuid cache_id;   /* of the cache of who claims; all zero without one */
	char host[65];          /* for people */
	uint64_t pid;
	int64_t created_ms;
	uint64_t nonce;         /* random: no two attempts have the same bytes */
	/*
	 * The claim is void as soon as an epoch from here up to the one before its own is
	 * activated; 0: it never is.
	 */
	uint64_t void_from;
};
#define FMT_CLAIM_BYTES 256u
void lsvd_claim_encode(uint8_t buf[FMT_CLAIM_BYTES], const struct uuid *volume, uint64_t epoch,
		       const struct fmt_claim *c);
int lsvd_claim_decode(struct fmt_claim *ret, const struct uuid *volume, uint64_t epoch,
		      const void *buf, size_t len, const char *what);

/* ---- variable-length integers of extents: LEB128, unsigned, at most 10 bytes */
size_t lsvd_varint_put(uint8_t *p, uint64_t v);               /* bytes written, <= 10 */
size_t lsvd_varint_get(const uint8_t *p, size_t len, uint64_t *ret); /* 0: malformed or cut */

#endif

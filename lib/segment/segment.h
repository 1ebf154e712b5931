/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * segment.h - a data object: built from the records of a group, and its header read back.
 *
 * Building. The records of a group, in the order of the history, are laid over one another: what a
 * later record of the same group covers is dropped (coalescing is legal within an object, which is
 * published atomically, never across). What is left is stored in order of lba: data as units
 * (unit.h), zeroes and holes as extents without body. Data that is all zero becomes a zero extent.
 * A compressor that does not pay is asked only now and then.
 *
 * The header of the object: struct object_head, struct chain_part, then the extents: for each the
 * unsigned varints (zigzag lba distance from the end of the extent before, sectors * 4 + kind), and
 * for a compressed unit its stored length. Bodies follow one another in that order, so offsets are
 * not written down (docs/format.md, "Segments").
 *
 * Pure but for allocation: no I/O, no locks; lsvd_segment_build() is run as a job.
 */
#ifndef SEGMENT_SEGMENT_H
#define SEGMENT_SEGMENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "format/fmt_chain.h"
#include "segment/unit.h"

enum seg_kind {
	SEG_RAW = 0,    /* units of 4 KiB each, the last may be shorter */
	SEG_UNIT = 1,   /* one compressed unit */
	SEG_ZERO = 2,   /* reads as zeroes, allocated */
	SEG_HOLE = 3,   /* reads as zeroes, not allocated */
};

struct seg_extent {
	uint64_t lba;
	uint64_t sectors;    /* SEG_UNIT: at most 128 */
	uint32_t off;        /* bytes into the object of the first unit's frame; 0 without a body */
	uint8_t kind;        /* enum seg_kind */
};

static inline bool seg_has_body(const struct seg_extent *e)
{
	return e->kind == SEG_RAW || e->kind == SEG_UNIT;
}

/* No object with a body of units is longer: extents hold offsets of 27 bits. */
#define SEG_OBJECT_MAX (UINT32_C(1) << 27)
/* A group has at most so many records. */
#define SEG_RECORDS_MAX (1u << 22)

/* One operation, or a part of one. */
struct seg_record {
	uint64_t lba, sectors;
	uint8_t kind;            /* SEG_RAW for data, SEG_ZERO, SEG_HOLE */
	const uint8_t *data;     /* sectors * 512 bytes; must stay until the segment is freed */
	const uint64_t *hashes;  /* lsvd_hash() of each 4 KiB piece from `data` on */
	bool cold;               /* it belongs to the part SEG_COLD; only data does */
};

/* A group may be two objects: what is left of each record is in one of them. */
enum seg_part {
	SEG_ALL,
	SEG_NOT_COLD,
	SEG_COLD,
};

struct seg_options {
	enum codec codec;
	uint32_t unit_bytes;     /* 4096 … 65536, a power of two */
	bool moved;              /* a MOVED is built: there is no hole */
	enum seg_part part;      /* of the records, what is built */
};

/* A built object. */
struct segment {
	uint8_t *header;         /* header_bytes bytes; fixed and chain part are set by finish */
	uint32_t header_bytes;
	uint64_t body_bytes;
	struct seg_extent *extents; /* in order of lba, offsets into the object */
	uint32_t extent_count;
	uint32_t extent_bytes;      /* their encoded length in the header */
	uint32_t record_count, record_bytes; /* behind the extents */
	struct iovec *iov;       /* header first, then the body: ready for PUT after finish */
	int iovcnt;
	uint64_t user_bytes;     /* data of all records */
	uint64_t data_bytes;     /* of these, what is in the extents */
	uint64_t coalesced_bytes;/* of these, overwritten within the group */
	uint64_t compressed_from, compressed_to; /* of compressed units: raw and stored bytes */
	void *arena;             /* frames and compressed bytes */
};

/*
 * Builds object number `object` of the volume with seed `owner`. -ENOMEM; LSVD_E_CORRUPT if a
 * record's data no longer matches its hashes where it had to be hashed again; -E2BIG if the group
 * is beyond SEG_RECORDS_MAX or SEG_OBJECT_MAX.
 */
int lsvd_segment_build(struct segment **ret, const struct seg_record *records, unsigned n,
		       uint64_t owner, uint64_t object, const struct seg_options *options);

/*
 * Writes the fixed part, the chain part and the checksum into the header: called when the object's
 * turn in the chain has come. Returns the header's checksum.
 */
uint64_t lsvd_segment_finish(struct segment *s, struct object_head *head, struct chain_part *chain);

/*
 * Puts records (fmt_record.h) behind the extents: of a DATA that is not finished, at most once.
 * -ENOMEM, -E2BIG; then nothing is changed.
 */
int lsvd_segment_add_records(struct segment *s, const uint8_t *records, uint32_t count,
			     uint32_t bytes);

/* The same as finish, of a MOVED: all of its header. */
uint64_t lsvd_segment_finish_moved(struct segment *s, struct object_head *head);

void lsvd_segment_free(struct segment *s);

/* Data that the extents hold: not zeroes, not holes. */
uint64_t lsvd_segment_data_bytes(const struct seg_extent *extents, uint32_t n);

/* The extents of a whole, verified header of a DATA object; allocated, the caller frees. */
int lsvd_segment_extents(struct seg_extent **ret, uint32_t *ret_count, const uint8_t *header,
			 const struct object_head *head, const struct chain_part *chain,
			 const char *what);
/* Of a MOVED. */
int lsvd_segment_moved_extents(struct seg_extent **ret, uint32_t *ret_count, const uint8_t *header,
			       const struct object_head *head, const struct moved_part *moved,
			       const char *what);

/*
 * `count` encoded extents in `bytes` bytes at `p`, of an object with these lengths of header and
 * body; allocated, the caller frees.
 */
struct seg_encoded {
	const uint8_t *p;
	uint32_t bytes, count;
	uint64_t volume_sectors;     /* they end by there */
	uint32_t header_bytes;
	uint64_t body_bytes;
};
int lsvd_segment_decode_extents(struct seg_extent **ret, const struct seg_encoded *e,
				const char *what);

#endif

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fmt_wal.h - the bytes of the local log (docs/format.md, "Local log").
 *
 * The file: two superblock slots of 4 KiB at 0 and 4096, nothing up to WAL_RING_START, then the
 * ring. Positions in the log are bytes since it was made and never go back; position p lies at
 * WAL_RING_START + p % ring_bytes. A group is a header (a multiple of 4 KiB) and data blocks, lies
 * in one piece (a pad group skips the end of the ring), and starts on a fresh 4 KiB block.
 *
 * Pure: bytes in, structs out, and back.
 */
#ifndef FORMAT_FMT_WAL_H
#define FORMAT_FMT_WAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/uuid.h"

#define WAL_SLOT_BYTES 4096u
#define WAL_RING_START 65536u
/* Smaller rings could not hold the largest group wherever it starts; larger ones nobody makes. */
#define WAL_RING_MIN_BYTES (UINT64_C(64) << 10)
#define WAL_RING_MAX_BYTES (UINT64_C(1) << 40)
#define WAL_POS_MAX (UINT64_C(1) << 62)
#define WAL_VERSION 1u

struct wal_super {
	uint64_t generation;   /* the greater of two valid slots counts */
	struct uuid volume;
	struct uuid cache_id;  /* made with the file */
	uint64_t run;          /* of the newest open; grows by at least 1 with every open */
	uint64_t run_start;    /* where that run begins: what lies there of older runs is void */
	uint64_t epoch;        /* fencing: the newest epoch this cache took, 0: none */
	uint64_t base_epoch;   /* the activated epoch that one goes on from */
	uint64_t ring_bytes;
	uint64_t tail;         /* where replay starts */
	uint64_t tail_op;      /* the first operation at the tail */
	uint64_t tail_run;     /* run of the group before the tail, 0: none */
	uint64_t durable;      /* everything below was synced when this was written */
	uint64_t stored_op;    /* R when this was written */
	uint64_t whole_run;    /* the run that voided what was there before it, 0: none did */
	uint64_t offline_op;   /* the first operation written offline since the newest
				* epoch, 0: none */
	uint32_t flags;        /* WAL_SUPER_… */
};
#define WAL_SUPER_EMPTY 1u  /* nothing was ever acknowledged from this file */

void lsvd_wal_super_encode(uint8_t slot[WAL_SLOT_BYTES], const struct wal_super *s);
/* LSVD_E_CORRUPT (also for a slot of zeroes) or LSVD_E_VERSION. */
int lsvd_wal_super_decode(struct wal_super *ret, const uint8_t slot[WAL_SLOT_BYTES],
			  const char *what);

enum wal_kind {
	WAL_DATA = 0,  /* sectors of data follow in data blocks, from a fresh block */
	WAL_ZERO = 1,
	WAL_HOLE = 2,
};

struct wal_record {
	uint64_t lba, sectors;
	uint32_t kind;         /* enum wal_kind */
	uint32_t block;        /* its first data block in the group; derived, not stored */
};

/* Data blocks a record takes, each with one checksum. */
static inline uint32_t wal_record_blocks(const struct wal_record *r)
{
	if (r->kind != WAL_DATA)
		return 0;
	return (uint32_t)((r->sectors + BLOCK_SECTORS - 1) / BLOCK_SECTORS);
}

/* Bytes of data in block `i` of a record: 4096 but in the last one. */
static inline uint32_t wal_block_bytes(const struct wal_record *r, uint32_t i)
{
	return (uint32_t)min_u64(BLOCK_BYTES,
				 r->sectors * SECTOR_BYTES - (uint64_t)i * BLOCK_BYTES);
}

#define WAL_GROUP_HEAD_BYTES 96u
#define WAL_RECORD_BYTES 24u
#define WAL_GROUP_RECORDS_MAX 4096u
#define WAL_GROUP_DATA_MAX (2u << 20)

struct wal_group_head {
	uint64_t pos;          /* its own */
	uint64_t run;
	uint64_t prev_run;     /* of the group before it in the log, 0: none */
	uint64_t epoch;
	uint64_t first_op;     /* record i is operation first_op + i */
	uint64_t durable;      /* watermark: the log below was synced when this was made */
	uint64_t stored_op;    /* R then */
	uint32_t records;
	uint32_t header_bytes; /* a multiple of 4 KiB */
	uint32_t data_bytes;   /* a multiple of 4 KiB */
	uint32_t flags;        /* WAL_GROUP_PAD */
};
#define WAL_GROUP_PAD 1u /* no records; the next group is at the ring's beginning */

/* The header bytes of a group of `records` records with `blocks` data blocks. */
static inline uint32_t wal_header_bytes(uint32_t records, uint32_t blocks)
{
	return (uint32_t)round_up(WAL_GROUP_HEAD_BYTES + (uint64_t)records * WAL_RECORD_BYTES +
				  (uint64_t)blocks * 8, BLOCK_BYTES);
}

/*
 * Writes a whole header. `hashes` are the plain hashes of the data blocks; they are bound to the
 * owner, the run and each block's position on the way out.
 */
void lsvd_wal_group_encode(uint8_t *buf, const struct wal_group_head *h,
			   const struct wal_record *records, const uint64_t *hashes,
			   uint64_t owner);

/*
 * Looks at the first WAL_GROUP_HEAD_BYTES at `buf`: false if it is no group header for `pos` or its
 * sizes are out of bounds. Nothing is verified yet.
 */
bool lsvd_wal_group_peek(struct wal_group_head *ret, const uint8_t *buf, uint64_t pos);

/*
 * Verifies a whole header of h->header_bytes and reads its records and bound checksums (arrays of
 * h->records and h->data_bytes / 4096). False if it does not verify. `buf` is unchanged in the end,
 * but its checksum field is zero for a moment.
 */
bool lsvd_wal_group_decode(uint8_t *buf, const struct wal_group_head *h,
			   struct wal_record *records, uint64_t *bound, uint64_t owner);

/* The bound checksum of the data block at position `pos`. */
uint64_t lsvd_wal_bind(uint64_t hash, uint64_t owner, uint64_t run, uint64_t pos);

#endif

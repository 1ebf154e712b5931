/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vlog_record.h - a record of a value log: a key and its value, provable by itself.
 *
 *    0  u64  checksum of all that follows in the record but the pieces, bound to where it is
 *    8  u8   codec, 0: the value is stored as it is
 *    9  u8   flags: VLOG_PIECES
 *   10  u16  length of the key
 *   12  u32  length of the value
 *   16  u64  length of what is stored of it, the table of pieces not counted
 *   24       key; with PIECES the table; the stored value
 *
 * The checksum is lsvd_hash_bind(H, owner, segment, offset), H the hash of the bytes from 8 on: so
 * a record in another place, of another segment or log does not verify, and one that is moved as it
 * is needs not be hashed again.
 *
 * A value longer than VLOG_PIECED_BYTES is stored in pieces of VLOG_PIECE_BYTES, each compressed
 * or not by itself. The table has for each {u32 stored length, u64 hash of the stored bytes}, and
 * is covered by the record's checksum: a part of the value can be read and verified with head,
 * key and table alone.
 *
 * Pure but for memory: bytes in, structs out. A decoder may be given any bytes at all.
 */
#ifndef VLOG_VLOG_RECORD_H
#define VLOG_VLOG_RECORD_H

#include <stdbool.h>

#include <lsvd/vlog.h>

#define VLOG_RECORD_HEAD 24u
#define VLOG_PIECED_BYTES (1u << 20)
#define VLOG_PIECE_BYTES (64u << 10)
#define VLOG_PIECE_ENTRY 12u
#define VLOG_PIECES 1u           /* flag */
#define VLOG_RECORD_LIMIT (UINT64_C(1) << 33) /* no record is longer */

struct vlog_record {
	uint8_t codec, flags;
	uint16_t key_len;
	uint32_t raw;            /* bytes of the value */
	uint64_t stored;         /* and as it is stored, without the table */
};

/* Where a record is; owner: lsvd_uuid_seed() of the log. */
struct vlog_place {
	uint64_t owner, segment, offset;
};

static inline uint32_t vlog_piece_count(uint32_t raw)
{
	return (uint32_t)(((uint64_t)raw + VLOG_PIECE_BYTES - 1) / VLOG_PIECE_BYTES);
}

/* Head, key and table: what the checksum covers of a record in pieces. */
static inline uint64_t vlog_prefix_bytes(const struct vlog_record *r)
{
	uint64_t table = r->flags & VLOG_PIECES
				 ? vlog_piece_count(r->raw) * (uint64_t)VLOG_PIECE_ENTRY : 0;

	return VLOG_RECORD_HEAD + r->key_len + table;
}

static inline uint64_t vlog_record_bytes(const struct vlog_record *r)
{
	return vlog_prefix_bytes(r) + r->stored;
}

/* Writes the head, but for the checksum. */
void lsvd_vlog_record_encode(uint8_t *p, const struct vlog_record *r);
/* H of a whole record, or of one's prefix if it is in pieces. */
uint64_t lsvd_vlog_record_hash(const uint8_t *p, const struct vlog_record *r);
/* Writes the checksum of a record with hash H that belongs there. */
void lsvd_vlog_record_bind(uint8_t *p, uint64_t hash, const struct vlog_place *place);

/*
 * The head of a record of which at least VLOG_RECORD_HEAD bytes are at `p`. `size`: how long the
 * record should be, or 0. LSVD_E_CORRUPT: it cannot be one.
 */
int lsvd_vlog_record_decode(struct vlog_record *ret, const uint8_t *p, uint64_t size,
			    const struct vlog_place *place, const char *what);
/*
 * Does it verify? `len` bytes are at `p`: all of it, or all of its prefix: then pieces are not
 * looked at. *ret_hash (may be NULL): H.
 */
int lsvd_vlog_record_verify(const struct vlog_record *r, const uint8_t *p, uint64_t len,
			    const struct vlog_place *place, uint64_t *ret_hash, const char *what);

/* One piece of a value: where it is in the record, and its lengths. */
struct vlog_piece {
	uint64_t at;
	uint32_t stored, raw;
	uint64_t hash;
};
/* Walks the table of a verified prefix, in order; begin with *piece all zero and i 0. */
int lsvd_vlog_piece_next(const struct vlog_record *r, const uint8_t *p, uint32_t i,
			 struct vlog_piece *piece, const char *what);
int lsvd_vlog_piece_verify(const struct vlog_piece *piece, const uint8_t *stored, const char *what);

#endif

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * unit.h - the unit: the smallest thing in an object that can be read and verified by itself.
 *
 * A unit is a 16-byte frame and the stored bytes, padded with zeroes to a multiple of 16. The frame
 * is {u32 low half of the lba, u16 stored bytes - 1, u8 sectors - 1, u8 codec, u64 checksum}. The
 * checksum is lsvd_hash_bind(H, owner, object, lba), where owner is the seed of the owning volume's
 * uuid and H the hash of the raw data: of up to 4 KiB directly, of more as the hash of the
 * (little-endian) hashes of its 4 KiB pieces. So one ranged GET proves itself: a unit of another
 * volume, another object (an older version of the block) or another address does not verify.
 *
 * Pure: no I/O, no locks.
 */
#ifndef SEGMENT_UNIT_H
#define SEGMENT_UNIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"

#define UNIT_FRAME_BYTES 16u
#define UNIT_MAX_BYTES 65536u    /* raw data of one unit */
#define UNIT_RAW_BYTES 4096u     /* raw data of a unit stored raw */

enum codec {
	CODEC_RAW = 0,
	CODEC_LZ4 = 1,
	CODEC_ZLIB = 2,
};

/* H of a unit from the hashes of its pieces (n >= 1). */
uint64_t lsvd_unit_hash(const uint64_t *pieces, unsigned n);

struct unit_frame {
	uint32_t stored;     /* bytes, 1 … 65536 */
	uint32_t sectors;    /* 1 … 128 */
	enum codec codec;
	uint64_t checksum;
};

void lsvd_unit_frame_encode(uint8_t frame[UNIT_FRAME_BYTES], uint64_t lba,
			    const struct unit_frame *f);

/* Bytes a unit takes in an object: frame, stored bytes, padding. */
static inline uint32_t unit_space(uint32_t stored)
{
	return (uint32_t)round_up(UNIT_FRAME_BYTES + stored, 16);
}

/*
 * Verifies the unit at `buf` (at most `len` bytes are there) which should hold `lba` as its first
 * sector, and gives its raw data: *ret_data points into `buf` for a raw unit, else into `scratch`
 * (UNIT_MAX_BYTES; NULL: only a raw unit is expected). LSVD_E_CORRUPT with both values in the
 * text. -ENODATA: `len` is too short for what the frame says. *ret_need is how many bytes the
 * unit takes, in both cases. -ENOMEM.
 */
int lsvd_unit_open(const uint8_t *buf, size_t len, uint64_t owner, uint64_t object, uint64_t lba,
		   uint8_t *scratch, const uint8_t **ret_data, uint32_t *ret_bytes,
		   uint32_t *ret_need, const char *what);

#endif

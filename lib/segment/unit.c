/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * unit.c - units: frames written, units verified and unpacked (docs/format.md, "Units").
 *
 * The checksum covers the raw data and its place, not the stored bytes: it can be made without
 * hashing anything a second time, and it proves the decompressor's work too. What else is in a unit
 * is checked by being the only value that fits: lba by the asker, stored length and codec by each
 * other and by the decompressor, padding by being zero.
 */
#include "segment/unit.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>

#include "base/err.h"
#include "base/hash.h"
#include "segment/seg_codec.h"

#define PIECES_MAX (UNIT_MAX_BYTES / BLOCK_BYTES)

enum frame_at {
	FRAME_LBA = 0,
	FRAME_STORED = 4,
	FRAME_SECTORS = 6,
	FRAME_CODEC = 7,
	FRAME_CHECKSUM = 8,
};

uint64_t lsvd_unit_hash(const uint64_t *pieces, unsigned n)
{
	uint8_t bytes[8 * PIECES_MAX];

	assert(n >= 1 && n <= PIECES_MAX);
	if (n == 1)
		return pieces[0];
	for (unsigned i = 0; i < n; i++)
		le64_put(bytes + 8 * i, pieces[i]);
	return lsvd_hash(bytes, 8 * n);
}

static uint64_t hash_data(const uint8_t *data, uint32_t bytes)
{
	uint64_t pieces[PIECES_MAX];
	unsigned n = 0;

	for (uint32_t at = 0; at < bytes; at += BLOCK_BYTES)
		pieces[n++] = lsvd_hash(data + at, min_u64(BLOCK_BYTES, bytes - at));
	return lsvd_unit_hash(pieces, n);
}

void lsvd_unit_frame_encode(uint8_t frame[UNIT_FRAME_BYTES], uint64_t lba,
			    const struct unit_frame *f)
{
	assert(f->stored >= 1 && f->stored <= UNIT_MAX_BYTES);
	assert(f->sectors >= 1 && f->sectors <= UNIT_MAX_BYTES / SECTOR_BYTES);
	le32_put(frame + FRAME_LBA, (uint32_t)lba);
	le16_put(frame + FRAME_STORED, (uint16_t)(f->stored - 1));
	frame[FRAME_SECTORS] = (uint8_t)(f->sectors - 1);
	frame[FRAME_CODEC] = (uint8_t)f->codec;
	le64_put(frame + FRAME_CHECKSUM, f->checksum);
}

static void frame_decode(struct unit_frame *f, const uint8_t *frame)
{
	f->stored = le16_get(frame + FRAME_STORED) + 1u;
	f->sectors = frame[FRAME_SECTORS] + 1u;
	f->codec = (enum codec)frame[FRAME_CODEC];
	f->checksum = le64_get(frame + FRAME_CHECKSUM);
}

static int check_frame(const struct unit_frame *f, const char *what, uint64_t lba)
{
	uint32_t raw = f->sectors * SECTOR_BYTES;

	if (f->codec > CODEC_ZLIB)
		return lsvd_fail(LSVD_E_CORRUPT,
				 "object %s: unit of sector %" PRIu64
				 ": codec %u, expected 0 to %u",
				 what, lba, f->codec, CODEC_ZLIB);
	if (raw > (f->codec == CODEC_RAW ? UNIT_RAW_BYTES : UNIT_MAX_BYTES))
		return lsvd_fail(LSVD_E_CORRUPT,
				 "object %s: unit of sector %" PRIu64
				 ": %u sectors with codec %u, expected at most %u",
				 what, lba, f->sectors, f->codec,
				 f->codec == CODEC_RAW ? BLOCK_SECTORS :
							 UNIT_MAX_BYTES / SECTOR_BYTES);
	if (f->codec == CODEC_RAW ? f->stored != raw : f->stored >= raw)
		return lsvd_fail(LSVD_E_CORRUPT,
				 "object %s: unit of sector %" PRIu64
				 ": %u bytes stored with codec %u, expected %s%u",
				 what, lba, f->stored, f->codec,
				 f->codec == CODEC_RAW ? "" : "less than ", raw);
	return 0;
}

static int check_padding(const uint8_t *buf, const struct unit_frame *f, const char *what,
			 uint64_t lba)
{
	for (uint32_t i = UNIT_FRAME_BYTES + f->stored; i < unit_space(f->stored); i++)
		if (buf[i])
			return lsvd_fail(LSVD_E_CORRUPT,
					 "object %s: unit of sector %" PRIu64
					 ": padding byte %u is %02x, expected 00",
					 what, lba, i, buf[i]);
	return 0;
}

/* The raw data: in place, or unpacked into `scratch`. */
static int unpack(const uint8_t **ret, uint8_t *scratch, const uint8_t *buf,
		  const struct unit_frame *f, const char *what, uint64_t lba)
{
	const uint8_t *stored = buf + UNIT_FRAME_BYTES;
	int err;

	*ret = f->codec == CODEC_RAW ? stored : scratch;
	if (f->codec == CODEC_RAW)
		return 0;
	err = lsvd_decompress(f->codec, scratch, f->sectors * SECTOR_BYTES, stored, f->stored);
	if (err == -EBADMSG)
		return lsvd_fail(LSVD_E_CORRUPT,
				 "object %s: unit of sector %" PRIu64
				 ": %u bytes of codec %u do not unpack to the expected %u",
				 what, lba, f->stored, f->codec, f->sectors * SECTOR_BYTES);
	return err;
}

static int open_whole(const uint8_t *buf, const struct unit_frame *f, uint64_t owner,
		      uint64_t object, uint64_t lba, uint8_t *scratch, const uint8_t **ret_data,
		      const char *what)
{
	const uint8_t *data;
	uint64_t sum;
	int err;

	err = check_padding(buf, f, what, lba);
	if (err < 0)
		return err;
	err = unpack(&data, scratch, buf, f, what, lba);
	if (err < 0)
		return err;
	sum = lsvd_hash_bind(hash_data(data, f->sectors * SECTOR_BYTES), owner, object, lba);
	if (sum != f->checksum)
		return lsvd_fail(LSVD_E_CORRUPT,
				 "object %s: unit of sector %" PRIu64 ": checksum %016" PRIx64
				 ", expected %016" PRIx64,
				 what, lba, f->checksum, sum);
	*ret_data = data;
	return 0;
}

int lsvd_unit_open(const uint8_t *buf, size_t len, uint64_t owner, uint64_t object, uint64_t lba,
		   uint8_t *scratch, const uint8_t **ret_data, uint32_t *ret_bytes,
		   uint32_t *ret_need, const char *what)
{
	struct unit_frame f;
	int err;

	if (len < UNIT_FRAME_BYTES) {
		*ret_need = UNIT_FRAME_BYTES;
		return -ENODATA;
	}
	if (le32_get(buf + FRAME_LBA) != (uint32_t)lba)
		return lsvd_fail(LSVD_E_CORRUPT,
				 "object %s: unit of a sector ending in %08x, expected %" PRIu64
				 " (%08x)",
				 what, le32_get(buf + FRAME_LBA), lba, (uint32_t)lba);
	frame_decode(&f, buf);
	err = check_frame(&f, what, lba);
	if (err < 0)
		return err;
	if (!scratch && f.codec != CODEC_RAW)
		return lsvd_fail(LSVD_E_CORRUPT,
				 "object %s: unit of sector %" PRIu64
				 " has codec %u, expected a raw one", what, lba, (unsigned)f.codec);
	*ret_need = unit_space(f.stored);
	if (len < *ret_need)
		return -ENODATA;
	err = open_whole(buf, &f, owner, object, lba, scratch, ret_data, what);
	if (err == 0)
		*ret_bytes = f.sectors * SECTOR_BYTES;
	return err;
}

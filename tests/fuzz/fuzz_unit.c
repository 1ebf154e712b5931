/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fuzz_unit.c - any bytes as a unit.
 *
 * The unit is opened as it stands, and once more as the unit that its frame says it is, with the
 * checksum that its data, if it unpacks, ought to have: then it must open.
 */
#include "fuzz.h"

#include <errno.h>
#include <string.h>

#include <lsvd/error.h>

#include "base/hash.h"
#include "segment/seg_codec.h"
#include "segment/unit.h"

#define OWNER 1u
#define OBJECT 2u

static uint8_t scratch[UNIT_MAX_BYTES];

/* 0, -ENODATA or LSVD_E_CORRUPT, and in bounds; *ret_data as lsvd_unit_open() gives it. */
static int open_unit(const uint8_t *unit, size_t len, const uint8_t **ret_data, uint32_t *ret_bytes)
{
	uint64_t lba = len >= 4 ? le32_get(unit) : 0;
	uint32_t need = 0;
	int err = lsvd_unit_open(unit, len, OWNER, OBJECT, lba, scratch, ret_data, ret_bytes, &need,
				 "x");

	FUZZ_CHECK(err == 0 || err == -ENODATA || err == LSVD_E_CORRUPT);
	if (err == -ENODATA)
		FUZZ_CHECK(need > len);
	if (err == 0) {
		FUZZ_CHECK(need <= len && need % 16 == 0);
		FUZZ_CHECK(*ret_bytes == (unit[6] + 1u) * SECTOR_BYTES);
		FUZZ_CHECK(*ret_data == scratch || *ret_data == unit + UNIT_FRAME_BYTES);
	}
	return err;
}

static uint64_t sum_of(const uint8_t *data, uint32_t bytes, uint64_t lba)
{
	uint64_t pieces[UNIT_MAX_BYTES / BLOCK_BYTES];
	unsigned n = 0;

	for (uint32_t at = 0; at < bytes; at += BLOCK_BYTES)
		pieces[n++] = lsvd_hash(data + at, min_u64(BLOCK_BYTES, bytes - at));
	return lsvd_hash_bind(lsvd_unit_hash(pieces, n), OWNER, OBJECT, lba);
}

/* The raw data of a unit of which nothing but the checksum and the padding is wrong; or NULL. */
static const uint8_t *unpacked(const uint8_t *unit, size_t len, uint32_t raw, uint32_t stored)
{
	static uint8_t data[UNIT_MAX_BYTES];
	int codec = unit[7];

	if (len < unit_space(stored))
		return NULL;
	if (codec == CODEC_RAW)
		return stored == raw && raw <= UNIT_RAW_BYTES ? unit + UNIT_FRAME_BYTES : NULL;
	if (codec > CODEC_ZLIB || raw > UNIT_MAX_BYTES || stored >= raw)
		return NULL;
	return lsvd_decompress((enum codec)codec, data, raw, unit + UNIT_FRAME_BYTES, stored) == 0 ?
		       data : NULL;
}

static void open_sealed(uint8_t *unit, size_t len)
{
	uint32_t raw = (unit[6] + 1u) * SECTOR_BYTES, stored = le16_get(unit + 4) + 1u, bytes;
	const uint8_t *data = unpacked(unit, len, raw, stored), *opened;

	if (!data)
		return;
	le64_put(unit + 8, sum_of(data, raw, le32_get(unit)));
	memset(unit + UNIT_FRAME_BYTES + stored, 0, unit_space(stored) - UNIT_FRAME_BYTES - stored);
	FUZZ_CHECK(open_unit(unit, len, &opened, &bytes) == 0);
	FUZZ_CHECK(bytes == raw && memcmp(opened, data, raw) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	const uint8_t *data;
	uint32_t n;
	uint8_t *copy;

	(void)open_unit(bytes, len, &data, &n); /* checks for itself */
	if (len < UNIT_FRAME_BYTES)
		return 0;
	copy = malloc(len);
	if (!copy)
		abort();
	memcpy(copy, bytes, len);
	open_sealed(copy, len);
	free(copy);
	return 0;
}

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fuzz_segment.c - any bytes as a group of records: the object made of them is read back and must
 * equal the records written one by one into an array.
 *
 * The first byte chooses codec and unit size; then five bytes a record: lba (2), sectors (1), kind
 * and how the data looks (1), a seed (1).
 */
#include "fuzz.h"

#include <string.h>

#include "t_segment.h"

#define SECTORS 512u

static const struct uuid volume = { { 1 } };
static struct t_group group;
static struct t_array wanted, got;

/* Zeroes, one byte repeated, chance, or a block of zeroes and a block of chance in turn. */
static void fill(uint8_t *data, size_t bytes, unsigned look, unsigned seed)
{
	uint32_t state = seed * 2654435761u + 1;

	for (size_t i = 0; i < bytes; i++) {
		state = state * 1664525u + 1013904223u;
		if (look == 1)
			data[i] = (uint8_t)seed;
		else if (look == 2 || (look == 3 && i / BLOCK_BYTES % 2))
			data[i] = (uint8_t)(state >> 24);
	}
}

static void take_record(const uint8_t *p)
{
	uint64_t lba = le16_get(p) % SECTORS;
	uint64_t sectors = min_u64(p[2], SECTORS - lba);
	unsigned kind = p[3] & 3;

	if (kind == SEG_ZERO || kind == SEG_HOLE) {
		t_group_blank(&group, lba, sectors, (int)kind);
		return;
	}
	fill(t_group_data(&group, lba, sectors, NULL), sectors * SECTOR_BYTES, p[3] >> 2 & 3, p[4]);
	t_group_rehash(&group, group.n - 1);
}

static void check(const struct seg_options *options)
{
	struct object_head head = { .volume = volume, .epoch = 1, .seq = 2, .object = 3 };
	struct chain_part chain = { .volume_bytes = SECTORS * SECTOR_BYTES, .first_op = 1 };
	struct segment *s;
	struct t_object o;

	FUZZ_CHECK(lsvd_segment_build(&s, group.records, group.n, lsvd_uuid_seed(&volume), 3,
				      options) == 0);
	(void)lsvd_segment_finish(s, &head, &chain); /* the sum stands in the header */
	o = t_object_of(s);
	lsvd_segment_free(s);
	t_array_clear(&wanted, SECTORS);
	t_array_apply(&wanted, &group);
	t_array_clear(&got, SECTORS);
	FUZZ_CHECK(t_array_read(&got, &o, lsvd_uuid_seed(&volume), 3) == 0);
	FUZZ_CHECK(t_array_differs(&wanted, &got) < 0);
	t_object_free(&o);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	struct seg_options options = { .moved = false };

	if (len == 0)
		return 0;
	options.codec = (enum codec)(bytes[0] % 3);
	options.unit_bytes = BLOCK_BYTES << (bytes[0] / 3 % 5);
	for (size_t i = 1; i + 5 <= len && group.n < T_GROUP_MAX; i += 5)
		take_record(bytes + i);
	check(&options);
	t_group_free(&group);
	return 0;
}

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Tests of the bytes of the local log: superblocks and group headers, there and back, and altered.
 */
#include <lsvd/error.h>

#include "base/hash.h"
#include "format/fmt_wal.h"
#include "t_check.h"

#define OWNER UINT64_C(0x1234567890abcdef)

/* -------------------------------------------------------------------------------- superblocks */

static struct wal_super a_super(void)
{
	struct wal_super s = {
		.generation = 9, .run = 4, .run_start = 12 << 12, .epoch = 3, .base_epoch = 2,
		.ring_bytes = 1u << 20, .tail = 8 << 12, .tail_op = 77, .tail_run = 3,
		.durable = 11 << 12, .stored_op = 76, .flags = WAL_SUPER_EMPTY,
	};

	t_fill(s.volume.b, sizeof s.volume.b, 1);
	t_fill(s.cache_id.b, sizeof s.cache_id.b, 2);
	return s;
}

START_TEST(fmt_wal_superblock_comes_back_as_it_was)
{
	struct wal_super s = a_super(), back;
	uint8_t slot[WAL_SLOT_BYTES];

	memset(&back, 0xff, sizeof back);
	lsvd_wal_super_encode(slot, &s);
	ck_assert_ok(lsvd_wal_super_decode(&back, slot, "slot"));
	ck_assert_uint_eq(back.generation, s.generation);
	ck_assert_mem_eq(&back.volume, &s.volume, sizeof s.volume);
	ck_assert_mem_eq(&back.cache_id, &s.cache_id, sizeof s.cache_id);
	ck_assert_uint_eq(back.run, s.run);
	ck_assert_uint_eq(back.run_start, s.run_start);
	ck_assert_uint_eq(back.epoch, s.epoch);
	ck_assert_uint_eq(back.base_epoch, s.base_epoch);
	ck_assert_uint_eq(back.ring_bytes, s.ring_bytes);
	ck_assert_uint_eq(back.tail, s.tail);
	ck_assert_uint_eq(back.tail_op, s.tail_op);
	ck_assert_uint_eq(back.tail_run, s.tail_run);
	ck_assert_uint_eq(back.durable, s.durable);
	ck_assert_uint_eq(back.stored_op, s.stored_op);
	ck_assert_uint_eq(back.flags, s.flags);
}
END_TEST

START_TEST(fmt_wal_superblock_with_any_bit_flipped_is_refused)
{
	struct wal_super s = a_super(), back;
	uint8_t slot[WAL_SLOT_BYTES];

	lsvd_wal_super_encode(slot, &s);
	for (unsigned bit = 0; bit < WAL_SLOT_BYTES * 8; bit += bit < 2048 ? 1 : 37) {
		int err;

		slot[bit / 8] ^= (uint8_t)(1 << bit % 8);
		err = lsvd_wal_super_decode(&back, slot, "slot");
		ck_assert_msg(err == LSVD_E_CORRUPT || err == LSVD_E_VERSION, "bit %u: %s", bit,
			      lsvd_error_name(err));
		ck_assert_error_says("slot");
		slot[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
	memset(slot, 0, sizeof slot);
	ck_assert_err(lsvd_wal_super_decode(&back, slot, "slot"), LSVD_E_CORRUPT);
}
END_TEST

/* ------------------------------------------------------------------------------------- groups */

#define RECORDS 5u
#define DATA_BLOCKS 6u

struct group {
	struct wal_group_head head;
	struct wal_record records[RECORDS];
	uint64_t hashes[DATA_BLOCKS];
	uint8_t bytes[8192];
};

static struct group a_group(void)
{
	static const struct wal_record records[RECORDS] = {
		{ 100, 16, WAL_DATA, 0 },           { UINT64_C(1) << 40, 9, WAL_DATA, 2 },
		{ 0, UINT64_C(1) << 41, WAL_HOLE, 4 }, { 7, 1, WAL_DATA, 4 },
		{ 9, 8, WAL_DATA, 5 },
	};
	struct group g = { .head = { .pos = 40960, .run = 3, .prev_run = 2, .epoch = 5,
				     .first_op = 1000, .durable = 36864, .stored_op = 900,
				     .records = RECORDS, .data_bytes = DATA_BLOCKS * 4096 } };

	g.head.header_bytes = wal_header_bytes(RECORDS, DATA_BLOCKS);
	memcpy(g.records, records, sizeof records);
	for (unsigned i = 0; i < DATA_BLOCKS; i++)
		g.hashes[i] = lsvd_hash(&i, sizeof i);
	ck_assert_uint_le(g.head.header_bytes, sizeof g.bytes);
	lsvd_wal_group_encode(g.bytes, &g.head, g.records, g.hashes, OWNER);
	return g;
}

START_TEST(fmt_wal_group_comes_back_as_it_was)
{
	struct group g = a_group();
	struct wal_group_head h;
	struct wal_record records[RECORDS];
	uint64_t bound[DATA_BLOCKS];

	ck_assert(lsvd_wal_group_peek(&h, g.bytes, g.head.pos));
	ck_assert_uint_eq(h.records, RECORDS);
	ck_assert_uint_eq(h.data_bytes, g.head.data_bytes);
	ck_assert_uint_eq(h.header_bytes, g.head.header_bytes);
	ck_assert_uint_eq(h.run, 3);
	ck_assert_uint_eq(h.prev_run, 2);
	ck_assert_uint_eq(h.epoch, 5);
	ck_assert_uint_eq(h.first_op, 1000);
	ck_assert_uint_eq(h.durable, 36864);
	ck_assert_uint_eq(h.stored_op, 900);
	ck_assert(lsvd_wal_group_decode(g.bytes, &h, records, bound, OWNER));
	for (unsigned i = 0; i < RECORDS; i++) {
		ck_assert_uint_eq(records[i].lba, g.records[i].lba);
		ck_assert_uint_eq(records[i].sectors, g.records[i].sectors);
		ck_assert_uint_eq(records[i].kind, g.records[i].kind);
		ck_assert_uint_eq(records[i].block, g.records[i].block);
	}
	for (unsigned i = 0; i < DATA_BLOCKS; i++)
		ck_assert_uint_eq(bound[i], lsvd_wal_bind(g.hashes[i], OWNER, 3,
							  g.head.pos + g.head.header_bytes +
							  i * 4096));
}
END_TEST

START_TEST(fmt_wal_group_verifies_only_for_its_owner_and_place)
{
	struct group g = a_group();
	struct wal_group_head h;
	struct wal_record records[RECORDS];
	uint64_t bound[DATA_BLOCKS];

	ck_assert(!lsvd_wal_group_peek(&h, g.bytes, g.head.pos + 4096));
	ck_assert(!lsvd_wal_group_peek(&h, g.bytes, 0));
	ck_assert(lsvd_wal_group_peek(&h, g.bytes, g.head.pos));
	ck_assert(!lsvd_wal_group_decode(g.bytes, &h, records, bound, OWNER + 1));
	ck_assert(lsvd_wal_group_decode(g.bytes, &h, records, bound, OWNER));
}
END_TEST

START_TEST(fmt_wal_group_with_any_bit_flipped_does_not_verify)
{
	struct group g = a_group();
	static struct wal_record records[WAL_GROUP_RECORDS_MAX];
	static uint64_t bound[WAL_GROUP_DATA_MAX / 4096];
	static uint8_t buf[1u << 20];
	struct wal_group_head h;

	for (unsigned bit = 0; bit < g.head.header_bytes * 8; bit++) {
		memset(buf, 0, 65536);
		memcpy(buf, g.bytes, g.head.header_bytes);
		buf[bit / 8] ^= (uint8_t)(1 << bit % 8);
		if (lsvd_wal_group_peek(&h, buf, g.head.pos) && h.header_bytes <= sizeof buf)
			ck_assert_msg(!lsvd_wal_group_decode(buf, &h, records, bound, OWNER),
				      "bit %u", bit);
	}
}
END_TEST

START_TEST(fmt_wal_peek_bounds_whatever_it_is_given)
{
	uint64_t seed = t_seed();
	struct group g = a_group();
	struct wal_group_head h;

	for (unsigned i = 0; i < 20000; i++) {
		uint8_t buf[WAL_GROUP_HEAD_BYTES];

		memcpy(buf, g.bytes, sizeof buf);
		for (unsigned n = 0; n < 3; n++)
			buf[t_random_below(&seed, sizeof buf)] = (uint8_t)t_random(&seed);
		if (!lsvd_wal_group_peek(&h, buf, g.head.pos))
			continue;
		ck_assert_uint_le(h.records, WAL_GROUP_RECORDS_MAX);
		ck_assert_uint_le(h.data_bytes, WAL_GROUP_DATA_MAX);
		ck_assert_uint_eq(h.data_bytes % 4096, 0);
		ck_assert_uint_eq(h.header_bytes,
				  wal_header_bytes(h.records, h.data_bytes / 4096));
	}
}
END_TEST

static Suite *fmt_wal_suite(void)
{
	Suite *s = suite_create("fmt_wal");
	TCase *c = tcase_create("bytes");

	tcase_add_test(c, fmt_wal_superblock_comes_back_as_it_was);
	tcase_add_test(c, fmt_wal_superblock_with_any_bit_flipped_is_refused);
	tcase_add_test(c, fmt_wal_group_comes_back_as_it_was);
	tcase_add_test(c, fmt_wal_group_verifies_only_for_its_owner_and_place);
	tcase_add_test(c, fmt_wal_group_with_any_bit_flipped_does_not_verify);
	tcase_add_test(c, fmt_wal_peek_bounds_whatever_it_is_given);
	suite_add_tcase(s, c);
	return s;
}

T_MAIN(fmt_wal_suite)

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Tests of the bytes of mirrors: heads and records, there and back, altered,
 * and well sealed nonsense.
 */
#include <lsvd/error.h>
#include <lsvd/volume.h>

#include "base/hash.h"
#include "format/fmt_mirror.h"
#include "format/fmt_object.h"
#include "t_check.h"

#define PAYLOAD 5000u

static struct mirror_head a_head(void)
{
	struct mirror_head h = {
		.flags = MIRROR_COMPLETE, .generation = 7, .run = 4, .nonce = 0x1122334455667788,
		.volume_bytes = 1u << 30, .epoch = 3, .seq = 9, .last_op = 1234, .next_object = 77,
		.snapshot_end = 3 * MIRROR_HEAD_BYTES,
	};

	t_fill(h.volume.b, sizeof h.volume.b, 1);
	t_fill(h.cache_id.b, sizeof h.cache_id.b, 2);
	return h;
}

static int there_and_back(struct mirror_head *ret, const struct mirror_head *h)
{
	uint8_t buf[MIRROR_HEAD_BYTES];

	lsvd_mirror_head_encode(buf, h);
	return lsvd_mirror_head_decode(ret, buf, "mirror");
}

START_TEST(fmt_mirror_head_comes_back_as_it_was)
{
	struct mirror_head h = a_head(), back;

	memset(&back, 0xff, sizeof back);
	ck_assert_ok(there_and_back(&back, &h));
	ck_assert_uint_eq(back.flags, h.flags);
	ck_assert_uint_eq(back.generation, h.generation);
	ck_assert_mem_eq(&back.volume, &h.volume, sizeof h.volume);
	ck_assert_mem_eq(&back.cache_id, &h.cache_id, sizeof h.cache_id);
	ck_assert_uint_eq(back.run, h.run);
	ck_assert_uint_eq(back.nonce, h.nonce);
	ck_assert_uint_eq(back.volume_bytes, h.volume_bytes);
	ck_assert_uint_eq(back.epoch, h.epoch);
	ck_assert_uint_eq(back.seq, h.seq);
	ck_assert_uint_eq(back.last_op, h.last_op);
	ck_assert_uint_eq(back.next_object, h.next_object);
	ck_assert_uint_eq(back.snapshot_end, h.snapshot_end);
}
END_TEST

START_TEST(fmt_mirror_mark_comes_back_as_it_was)
{
	const struct mirror_mark m = { 3, 4, UINT64_MAX - 5, 6 };
	struct mirror_mark back = { .epoch = 0 };
	uint8_t payload[MIRROR_MARK_BYTES];

	lsvd_mirror_mark_encode(payload, &m);
	lsvd_mirror_mark_decode(&back, payload);
	ck_assert_uint_eq(back.epoch, m.epoch);
	ck_assert_uint_eq(back.seq, m.seq);
	ck_assert_uint_eq(back.last_op, m.last_op);
	ck_assert_uint_eq(back.nonce, m.nonce);
}
END_TEST

START_TEST(fmt_mirror_head_with_any_bit_flipped_is_refused)
{
	struct mirror_head h = a_head(), back;
	uint8_t buf[MIRROR_HEAD_BYTES];

	lsvd_mirror_head_encode(buf, &h);
	for (unsigned bit = 0; bit < MIRROR_HEAD_BYTES * 8; bit += bit < 1024 ? 1 : 37) {
		buf[bit / 8] ^= (uint8_t)(1 << bit % 8);
		ck_assert_err(lsvd_mirror_head_decode(&back, buf, "mirror"), LSVD_E_CORRUPT);
		buf[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
}
END_TEST

START_TEST(fmt_mirror_head_of_another_version_is_named)
{
	struct mirror_head h = a_head(), back;
	uint8_t buf[MIRROR_HEAD_BYTES];

	lsvd_mirror_head_encode(buf, &h);
	le32_put(buf + 8, MIRROR_VERSION + 1);
	le64_put(buf + MIRROR_HEAD_BYTES - 8, lsvd_hash(buf, MIRROR_HEAD_BYTES - 8));
	ck_assert_err(lsvd_mirror_head_decode(&back, buf, "mirror"), LSVD_E_VERSION);
	ck_assert_error_says("version 2");
}
END_TEST

START_TEST(fmt_mirror_head_that_makes_no_sense_is_refused_though_well_sealed)
{
	const struct {
		uint64_t volume_bytes, next_object, generation;
	} bad[] = {
		{ 0, 1, 1 },
		{ 513, 1, 1 },
		{ LSVD_VOLUME_MAX_BYTES + 512, 1, 1 },
		{ 512, OBJECT_NUMBER_LIMIT + 1, 1 },
		{ 512, 1, 0 },
		{ 512, 1, UINT64_MAX },
	};
	struct mirror_head h = a_head(), back;

	h.volume_bytes = LSVD_VOLUME_MAX_BYTES;
	h.next_object = OBJECT_NUMBER_LIMIT;
	ck_assert_ok(there_and_back(&back, &h));
	for (unsigned i = 0; i < sizeof bad / sizeof *bad; i++) {
		h.volume_bytes = bad[i].volume_bytes;
		h.next_object = bad[i].next_object;
		h.generation = bad[i].generation;
		ck_assert_err(there_and_back(&back, &h), LSVD_E_CORRUPT);
	}
}
END_TEST

static uint8_t record[2 * BLOCK_BYTES];

static void a_record(const struct mirror_head *h, uint64_t off)
{
	ck_assert_uint_eq(mirror_span(PAYLOAD), sizeof record);
	t_fill(record + MIRROR_RECORD_BYTES, PAYLOAD, 5);
	memset(record + MIRROR_RECORD_BYTES + PAYLOAD, 0,
	       sizeof record - MIRROR_RECORD_BYTES - PAYLOAD);
	lsvd_mirror_record_encode(record, h, off, MIRROR_CHAIN, PAYLOAD);
}

static bool is_record(const struct mirror_head *h, uint64_t off)
{
	uint32_t kind, bytes;

	return lsvd_mirror_record_peek(record, h, off, &kind, &bytes) && kind == MIRROR_CHAIN &&
	       bytes == PAYLOAD && lsvd_mirror_record_verify(record, h, bytes);
}

START_TEST(fmt_mirror_record_counts_only_in_its_place_its_making_and_its_volume)
{
	struct mirror_head h = a_head(), other = a_head();
	uint8_t before[sizeof record];

	a_record(&h, 8192);
	memcpy(before, record, sizeof record);
	ck_assert(is_record(&h, 8192));
	ck_assert_mem_eq(before, record, sizeof record);
	ck_assert(!is_record(&h, 4096));
	other.nonce++;
	ck_assert(!is_record(&other, 8192));
	other = h;
	other.volume.b[3] ^= 1;
	ck_assert(!is_record(&other, 8192));
}
END_TEST

START_TEST(fmt_mirror_record_with_any_bit_flipped_is_none)
{
	struct mirror_head h = a_head();

	a_record(&h, 8192);
	for (unsigned bit = 0; bit < (MIRROR_RECORD_BYTES + PAYLOAD) * 8;
	     bit += bit < 1024 ? 1 : 41) {
		record[bit / 8] ^= (uint8_t)(1 << bit % 8);
		ck_assert_msg(!is_record(&h, 8192), "bit %u", bit);
		record[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
}
END_TEST

START_TEST(fmt_mirror_record_that_says_it_is_endless_is_none)
{
	struct mirror_head h = a_head();
	uint32_t kind, bytes;

	a_record(&h, 8192);
	le32_put(record + 28, MIRROR_PAYLOAD_MAX);
	ck_assert(lsvd_mirror_record_peek(record, &h, 8192, &kind, &bytes));
	le32_put(record + 28, MIRROR_PAYLOAD_MAX + 1);
	ck_assert(!lsvd_mirror_record_peek(record, &h, 8192, &kind, &bytes));
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("fmt_mirror");
	TCase *c = tcase_create("head");

	tcase_add_test(c, fmt_mirror_head_comes_back_as_it_was);
	tcase_add_test(c, fmt_mirror_mark_comes_back_as_it_was);
	tcase_add_test(c, fmt_mirror_head_with_any_bit_flipped_is_refused);
	tcase_add_test(c, fmt_mirror_head_of_another_version_is_named);
	tcase_add_test(c, fmt_mirror_head_that_makes_no_sense_is_refused_though_well_sealed);
	suite_add_tcase(s, c);
	c = tcase_create("record");
	tcase_add_test(c, fmt_mirror_record_counts_only_in_its_place_its_making_and_its_volume);
	tcase_add_test(c, fmt_mirror_record_with_any_bit_flipped_is_none);
	tcase_add_test(c, fmt_mirror_record_that_says_it_is_endless_is_none);
	suite_add_tcase(s, c);
	return s;
}

T_MAIN(suite)

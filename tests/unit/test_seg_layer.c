/* SPDX-License-Identifier: BSD-2-Clause */
/* test_seg_layer.c - records laid over one another: the newest is seen, in order, and once. */
#include "t_check.h"

#include <lsvd/volume.h>

#include "base/alloc.h"
#include "segment/seg_layer.h"

#define SPACE 200u
#define NOBODY UINT32_MAX

static struct seg_record record(uint64_t lba, uint64_t sectors)
{
	return (struct seg_record){ .lba = lba, .sectors = sectors, .kind = SEG_HOLE };
}

/* The fragments must cover exactly what the records cover, each sector with its newest record. */
static void check_against_array(const struct seg_record *records, unsigned n)
{
	uint32_t newest[SPACE], seen[SPACE], count;
	struct seg_fragment *f;
	uint64_t at = 0;

	memset(newest, 0xff, sizeof newest);
	memset(seen, 0xff, sizeof seen);
	for (unsigned i = 0; i < n; i++)
		for (uint64_t j = 0; j < records[i].sectors; j++)
			newest[records[i].lba + j] = i;
	ck_assert_ok(lsvd_seg_layer(&f, &count, records, n));
	ck_assert_uint_le(count, 2 * n);
	for (uint32_t i = 0; i < count; i++) {
		ck_assert_uint_ge(f[i].lba, at);
		ck_assert_uint_gt(f[i].sectors, 0);
		at = f[i].lba + f[i].sectors;
		for (uint64_t j = f[i].lba; j < at; j++)
			seen[j] = f[i].record;
	}
	lsvd_free(f);
	ck_assert_mem_eq(seen, newest, sizeof seen);
}

static void expect(const struct seg_record *records, unsigned n, const struct seg_fragment *wanted,
		   uint32_t wanted_count)
{
	struct seg_fragment *f;
	uint32_t count;

	ck_assert_ok(lsvd_seg_layer(&f, &count, records, n));
	ck_assert_uint_eq(count, wanted_count);
	for (uint32_t i = 0; i < count; i++) {
		ck_assert_uint_eq(f[i].lba, wanted[i].lba);
		ck_assert_uint_eq(f[i].sectors, wanted[i].sectors);
		ck_assert_uint_eq(f[i].record, wanted[i].record);
	}
	lsvd_free(f);
}

START_TEST(nothing_laid_over_nothing_is_nothing)
{
	expect(NULL, 0, NULL, 0);
}
END_TEST

START_TEST(records_apart_stay_as_they_are_in_order)
{
	const struct seg_record r[] = { record(90, 5), record(10, 5), record(50, 5) };
	const struct seg_fragment f[] = { { 10, 5, 1 }, { 50, 5, 2 }, { 90, 5, 0 } };

	expect(r, 3, f, 3);
}
END_TEST

START_TEST(overwrite_inside_a_record_splits_it)
{
	const struct seg_record r[] = { record(10, 10), record(14, 2) };
	const struct seg_fragment f[] = { { 10, 4, 0 }, { 14, 2, 1 }, { 16, 4, 0 } };

	expect(r, 2, f, 3);
}
END_TEST

START_TEST(a_record_written_over_whole_is_gone)
{
	const struct seg_record r[] = { record(14, 2), record(10, 10), record(10, 10) };
	const struct seg_fragment f[] = { { 10, 10, 2 } };

	expect(r, 3, f, 1);
}
END_TEST

START_TEST(a_record_over_many_older_ones_is_one_fragment)
{
	const struct seg_record r[] = { record(10, 2), record(13, 2), record(16, 2),
					record(11, 6) };
	const struct seg_fragment f[] = { { 10, 1, 0 }, { 11, 6, 3 }, { 17, 1, 2 } };

	expect(r, 4, f, 3);
}
END_TEST

START_TEST(records_of_no_length_leave_nothing)
{
	const struct seg_record r[] = { record(10, 0), record(10, 2), record(11, 0) };
	const struct seg_fragment f[] = { { 10, 2, 1 } };

	expect(r, 3, f, 1);
}
END_TEST

/* The far end of the largest volume, where the sort's keys use all their bits. */
START_TEST(the_last_sectors_of_the_largest_volume_can_be_written)
{
	const uint64_t end = LSVD_VOLUME_MAX_BYTES / SECTOR_BYTES;
	const struct seg_record r[] = { record(end - 1, 1), record(0, end), record(end - 2, 2) };
	const struct seg_fragment f[] = { { 0, end - 2, 1 }, { end - 2, 2, 2 } };

	expect(r, 3, f, 2);
}
END_TEST

START_TEST(a_record_beyond_the_largest_volume_is_refused)
{
	const uint64_t end = LSVD_VOLUME_MAX_BYTES / SECTOR_BYTES;
	struct seg_record r = record(end - 1, 2);
	struct seg_fragment *f;
	uint32_t count;

	ck_assert_err(lsvd_seg_layer(&f, &count, &r, 1), -EINVAL);
	r = record(UINT64_MAX, 2);
	ck_assert_err(lsvd_seg_layer(&f, &count, &r, 1), -EINVAL);
	r = record(1, UINT64_MAX);
	ck_assert_err(lsvd_seg_layer(&f, &count, &r, 1), -EINVAL);
	ck_assert_err(lsvd_seg_layer(&f, &count, NULL, SEG_RECORDS_MAX + 1), -E2BIG);
}
END_TEST

START_TEST(three_records_in_every_position_equal_the_array)
{
	struct seg_record r[3];

	for (unsigned bits = 0; bits < 1u << 15; bits++) {
		for (unsigned i = 0; i < 3; i++) {
			unsigned b = bits >> 5 * i;

			r[i] = record(b & 7, b >> 3 & 3 ? 2 * (b >> 3 & 3) : 1);
		}
		check_against_array(r, 3);
	}
}
END_TEST

START_TEST(random_records_equal_the_array)
{
	uint64_t state = t_seed();
	struct seg_record r[300];

	for (int round = 0; round < 3000; round++) {
		unsigned n = (unsigned)t_random_below(&state, 300);
		uint64_t longest = 1 + t_random_below(&state, SPACE);

		for (unsigned i = 0; i < n; i++) {
			r[i].lba = t_random_below(&state, SPACE);
			r[i].sectors = min_u64(t_random_below(&state, longest + 1),
					       SPACE - r[i].lba);
		}
		check_against_array(r, n);
	}
}
END_TEST

static Suite *seg_layer_suite(void)
{
	Suite *s = suite_create("seg_layer");
	TCase *one = tcase_create("situations"), *all = tcase_create("array");

	tcase_add_test(one, nothing_laid_over_nothing_is_nothing);
	tcase_add_test(one, records_apart_stay_as_they_are_in_order);
	tcase_add_test(one, overwrite_inside_a_record_splits_it);
	tcase_add_test(one, a_record_written_over_whole_is_gone);
	tcase_add_test(one, a_record_over_many_older_ones_is_one_fragment);
	tcase_add_test(one, records_of_no_length_leave_nothing);
	tcase_add_test(one, the_last_sectors_of_the_largest_volume_can_be_written);
	tcase_add_test(one, a_record_beyond_the_largest_volume_is_refused);
	suite_add_tcase(s, one);
	tcase_set_timeout(all, 60);
	tcase_add_test(all, three_records_in_every_position_equal_the_array);
	tcase_add_test(all, random_records_equal_the_array);
	suite_add_tcase(s, all);
	return s;
}

T_MAIN(seg_layer_suite)

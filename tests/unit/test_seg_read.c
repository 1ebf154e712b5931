/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_seg_read.c - extents read from headers, whoever wrote them.
 *
 * The headers here are well summed, so that nothing but the reader's own checks stands between them
 * and the map.
 */
#include "format/fmt_varint.h"
#include "t_check.h"

#include "base/alloc.h"
#include "base/bytes.h"
#include "segment/segment.h"

static const struct uuid volume = { { 7, 7, 7 } };
#define VOLUME_SECTORS UINT64_C(1000000)
#define EXTENTS_AT (OBJECT_HEAD_BYTES + CHAIN_PART_BYTES)
#define AS_IT_IS UINT32_MAX

/* A header in the making. */
static struct {
	uint8_t bytes[8192];
	uint32_t extent_bytes, extents;
	uint64_t body_bytes;
} made;

static void number(uint64_t v)
{
	made.extent_bytes += (uint32_t)lsvd_varint_put(made.bytes + EXTENTS_AT + made.extent_bytes,
						       v);
}

static void extent(uint64_t gap, uint64_t sectors, int kind)
{
	number(gap << 1);
	number(sectors << 2 | (unsigned)kind);
	made.extents++;
}

static void unit(uint64_t gap, uint64_t sectors, uint32_t stored)
{
	extent(gap, sectors, SEG_UNIT);
	number(stored);
}

static void fresh(void)
{
	memset(&made, 0, sizeof made);
}

static int read_made(struct seg_extent **ret, uint32_t *count, uint32_t extents)
{
	struct object_head head = { .kind = OBJECT_DATA, .volume = volume, .epoch = 3, .seq = 9,
				    .object = 5, .body_bytes = made.body_bytes };
	struct chain_part chain = { .volume_bytes = VOLUME_SECTORS * 512, .first_op = 1,
				    .last_op = 1, .extents = made.extents,
				    .extent_bytes = made.extent_bytes };
	int err;

	if (extents != AS_IT_IS)
		chain.extents = extents;
	head.header_bytes = (uint32_t)round_up(EXTENTS_AT + made.extent_bytes, 16);
	lsvd_chain_part_encode(made.bytes + OBJECT_HEAD_BYTES, &chain);
	lsvd_object_head_encode(made.bytes, &head);
	err = lsvd_object_head_decode(&head, made.bytes, head.header_bytes, "x");
	if (err == 0)
		err = lsvd_chain_part_decode(&chain, made.bytes, &head, "x");
	if (err == 0)
		err = lsvd_segment_extents(ret, count, made.bytes, &head, &chain, "x");
	return err;
}

static void refused_count(uint32_t extents, const char *text)
{
	struct seg_extent *e = NULL;
	uint32_t count;

	ck_assert_err(read_made(&e, &count, extents), LSVD_E_CORRUPT);
	ck_assert_error_says("object x: ");
	ck_assert_error_says(text);
	ck_assert_ptr_null(e);
}

static void refused(const char *text)
{
	refused_count(AS_IT_IS, text);
}

static void accepted(void)
{
	struct seg_extent *e;
	uint32_t count;

	ck_assert_ok(read_made(&e, &count, AS_IT_IS));
	ck_assert_uint_eq(count, made.extents);
	lsvd_free(e);
}

START_TEST(extents_and_their_places_are_read)
{
	const uint32_t header = 224;
	const struct seg_extent wanted[] = {
		{ 0, 17, header, SEG_RAW },
		{ 17, 5, 0, SEG_HOLE },
		{ 30, 32, header + 2 * 4112 + 528, SEG_UNIT },
		{ 62, 9, 0, SEG_ZERO },
		{ 71, 8, header + 2 * 4112 + 528 + 1024, SEG_RAW },
	};
	struct seg_extent *e;
	uint32_t count;

	fresh();
	extent(0, 17, SEG_RAW);
	extent(0, 5, SEG_HOLE);
	unit(8, 32, 1001);
	extent(0, 9, SEG_ZERO);
	extent(0, 8, SEG_RAW);
	made.body_bytes = 2 * 4112 + 528 + 1024 + 4112;
	ck_assert_ok(read_made(&e, &count, AS_IT_IS));
	ck_assert_uint_eq(count, 5);
	for (unsigned i = 0; i < 5; i++) {
		ck_assert_uint_eq(e[i].lba, wanted[i].lba);
		ck_assert_uint_eq(e[i].sectors, wanted[i].sectors);
		ck_assert_uint_eq(e[i].off, wanted[i].off);
		ck_assert_uint_eq(e[i].kind, wanted[i].kind);
	}
	lsvd_free(e);
}
END_TEST

START_TEST(an_extent_may_end_where_the_volume_does_and_not_beyond)
{
	fresh();
	extent(0, VOLUME_SECTORS, SEG_HOLE);
	accepted();
	fresh();
	extent(1, VOLUME_SECTORS, SEG_HOLE);
	refused("expected to end by 1000000");
	fresh();
	extent(VOLUME_SECTORS, 1, SEG_ZERO);
	refused("expected to end by");
	fresh();
	extent(0, VOLUME_SECTORS, SEG_HOLE);
	extent(0, 1, SEG_HOLE);
	refused("expected to end by");
	fresh();
	extent(UINT64_MAX >> 2, UINT64_MAX >> 2, SEG_HOLE);
	refused("expected to end by");
	fresh();
	extent(1000, UINT64_MAX >> 2, SEG_RAW);
	refused("expected to end by");
}
END_TEST

START_TEST(extents_that_overlap_or_go_back_are_refused)
{
	fresh();
	extent(10, 10, SEG_HOLE);
	number(1); /* zigzag of -1 */
	number(4 * 5 + SEG_HOLE);
	made.extents++;
	refused("extent -1 sectors from the end of the one before it at 20, expected 0 or more");
	fresh();
	number(UINT64_MAX); /* of INT64_MIN */
	number(4 * 5 + SEG_HOLE);
	made.extents++;
	refused("expected 0 or more");
}
END_TEST

START_TEST(an_extent_of_no_length_is_refused)
{
	for (int kind = SEG_RAW; kind <= SEG_HOLE; kind++) {
		fresh();
		extent(0, 0, kind);
		number(77);
		refused("extent of 0 sectors");
	}
}
END_TEST

START_TEST(units_of_impossible_size_are_refused)
{
	fresh();
	unit(0, 128, 65535);
	made.body_bytes = 65552;
	accepted();
	fresh();
	unit(0, 129, 65535);
	made.body_bytes = 65552;
	refused("unit of 66048 bytes");
	fresh();
	unit(0, 128, 65536);
	made.body_bytes = 65552;
	refused("stored in 65536");
	fresh();
	unit(0, 8, 0);
	made.body_bytes = 16;
	refused("stored in 0");
	fresh();
	unit(0, 8, UINT32_MAX);
	refused("stored in 4294967295");
}
END_TEST

START_TEST(bodies_must_fill_the_object_exactly)
{
	fresh();
	extent(0, 8, SEG_RAW);
	made.body_bytes = 4112;
	accepted();
	made.body_bytes = 4096;
	refused("takes 4112 bytes");
	made.body_bytes = 4128;
	refused("extents end at 4336, expected 4352");
	fresh();
	made.body_bytes = 16;
	refused("extents end at 208, expected 224");
	fresh();
	extent(0, 8, SEG_HOLE);
	made.body_bytes = 4112;
	refused("extents end at");
}
END_TEST

START_TEST(an_object_longer_than_offsets_reach_is_refused)
{
	fresh();
	extent(0, 8, SEG_RAW);
	made.body_bytes = SEG_OBJECT_MAX;
	refused("body of 134217728 bytes");
	made.body_bytes = UINT64_MAX;
	refused("body of");
}
END_TEST

START_TEST(the_count_must_be_that_of_the_extents)
{
	fresh();
	extent(0, 8, SEG_HOLE);
	extent(1, 8, SEG_HOLE);
	refused_count(1, "2 bytes after the last extent");
	fresh();
	extent(0, 200, SEG_HOLE); /* three bytes */
	extent(1, 200, SEG_HOLE);
	refused_count(3, "ends in no byte of the 0 left");
}
END_TEST

static void *refuse(size_t align, size_t size)
{
	(void)align;
	ck_abort_msg("asked for %zu bytes", size);
	return NULL;
}

START_TEST(a_count_is_not_believed_before_it_is_checked)
{
	static const struct alloc_ops none = { .alloc = refuse };

	fresh();
	extent(0, 8, SEG_HOLE);
	lsvd_alloc_set(&none);
	refused_count(2, "2 extents in 2 bytes");
	refused_count(UINT32_MAX - 1, "extents in 2 bytes");
	lsvd_alloc_set(NULL);
}
END_TEST

static void *none_left(size_t align, size_t size)
{
	(void)align;
	(void)size;
	return NULL;
}

START_TEST(without_memory_nothing_is_returned)
{
	static const struct alloc_ops none = { .alloc = none_left };
	struct seg_extent *e = NULL;
	uint32_t count;

	fresh();
	extent(0, 8, SEG_HOLE);
	lsvd_alloc_set(&none);
	ck_assert_err(read_made(&e, &count, AS_IT_IS), -ENOMEM);
	lsvd_alloc_set(NULL);
	ck_assert_ptr_null(e);
}
END_TEST

START_TEST(numbers_cut_off_or_too_long_are_refused)
{
	fresh();
	number(0);
	made.bytes[EXTENTS_AT + 1] = 0x80;
	made.extent_bytes = 2;
	made.extents = 1;
	refused("ends in no byte of the 1 left");
	memset(made.bytes + EXTENTS_AT, 0xff, 30);
	made.extent_bytes = 30;
	refused("ends in no byte of the 30 left");
}
END_TEST

START_TEST(only_data_objects_have_extents)
{
	struct object_head head = { .kind = OBJECT_CLOSE, .header_bytes = EXTENTS_AT };
	struct chain_part chain = { .volume_bytes = 512 };
	struct seg_extent *e;
	uint32_t count;

	ck_assert_err(lsvd_segment_extents(&e, &count, made.bytes, &head, &chain, "x"),
		      LSVD_E_CORRUPT);
	ck_assert_error_says("kind 6, expected 4");
}
END_TEST

/* Whatever is accepted is in order, within the volume and within the object. */
static void check_sane(const struct seg_extent *e, uint32_t count, uint32_t header_bytes)
{
	uint64_t at = 0, off = header_bytes;

	for (uint32_t i = 0; i < count; i++) {
		ck_assert_uint_ge(e[i].lba, at);
		ck_assert_uint_gt(e[i].sectors, 0);
		ck_assert_uint_le(e[i].sectors, VOLUME_SECTORS - e[i].lba);
		at = e[i].lba + e[i].sectors;
		if (e[i].kind == SEG_RAW || e[i].kind == SEG_UNIT) {
			ck_assert_uint_ge(e[i].off, off);
			ck_assert_uint_eq(e[i].off % 16, 0);
			off = e[i].off + 16;
		} else {
			ck_assert_uint_eq(e[i].off, 0);
		}
	}
	ck_assert_uint_le(off, header_bytes + made.body_bytes + (count == 0));
}

START_TEST(random_extents_are_refused_or_sane)
{
	uint64_t state = t_seed();
	unsigned good = 0;

	for (int i = 0; i < 100000; i++) {
		struct seg_extent *e;
		uint32_t count, before;

		fresh();
		for (uint64_t n = t_random_below(&state, 6); n; n--)
			extent(t_random_below(&state, 4), 1 + t_random_below(&state, 20),
			       SEG_ZERO + (int)t_random_below(&state, 2));
		before = made.extent_bytes;
		if (before && i % 2)
			made.bytes[EXTENTS_AT + t_random_below(&state, before)] =
				(uint8_t)t_random(&state);
		made.body_bytes = t_random_below(&state, 4) ? 0 : 4112;
		if (read_made(&e, &count, AS_IT_IS) < 0)
			continue;
		good++;
		check_sane(e, count, (uint32_t)round_up(EXTENTS_AT + before, 16));
		lsvd_free(e);
	}
	ck_assert_uint_gt(good, 1000);
}
END_TEST

static Suite *seg_read_suite(void)
{
	Suite *s = suite_create("seg_read");
	TCase *c = tcase_create("extents");

	tcase_set_timeout(c, 60);
	tcase_add_test(c, extents_and_their_places_are_read);
	tcase_add_test(c, an_extent_may_end_where_the_volume_does_and_not_beyond);
	tcase_add_test(c, extents_that_overlap_or_go_back_are_refused);
	tcase_add_test(c, an_extent_of_no_length_is_refused);
	tcase_add_test(c, units_of_impossible_size_are_refused);
	tcase_add_test(c, bodies_must_fill_the_object_exactly);
	tcase_add_test(c, an_object_longer_than_offsets_reach_is_refused);
	tcase_add_test(c, the_count_must_be_that_of_the_extents);
	tcase_add_test(c, a_count_is_not_believed_before_it_is_checked);
	tcase_add_test(c, without_memory_nothing_is_returned);
	tcase_add_test(c, numbers_cut_off_or_too_long_are_refused);
	tcase_add_test(c, only_data_objects_have_extents);
	tcase_add_test(c, random_extents_are_refused_or_sane);
	suite_add_tcase(s, c);
	return s;
}

T_MAIN(seg_read_suite)

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_seg_build.c - groups of records made into objects, and what can be read from these.
 *
 * Most tests build a group, turn the segment into the bytes a store would get, read those back over
 * a plain array and compare it with the array that had the records written one by one.
 */
#include "t_check.h"

#include "base/alloc.h"
#include "t_segment.h"

static const struct uuid volume = { { 7, 7, 7 } };
#define OBJECT 42u
#define HEADER_FIXED (OBJECT_HEAD_BYTES + CHAIN_PART_BYTES)

static struct t_group group;
static struct t_array wanted, got;
static uint8_t noise[UNIT_MAX_BYTES * 32];

static void fresh(void)
{
	t_group_free(&group);
	if (!noise[0])
		t_fill(noise, sizeof noise, 99);
}

static uint64_t owner(void)
{
	return lsvd_uuid_seed(&volume);
}

/* Data that an LZ4 makes about half of. */
static const uint8_t *halves(void)
{
	static uint8_t data[sizeof noise];

	for (size_t i = 0; i < sizeof data; i += 256)
		t_fill(data + i, 128, i);
	return data;
}

static int build(struct segment **ret, enum codec codec, uint32_t unit_bytes)
{
	struct seg_options options = { .codec = codec, .unit_bytes = unit_bytes };

	return lsvd_segment_build(ret, group.records, group.n, owner(), OBJECT, &options);
}

static void finish(struct segment *s)
{
	struct object_head head = { .volume = volume, .epoch = 3, .seq = 9, .object = OBJECT };
	struct chain_part chain = { .volume_bytes = T_ARRAY_SECTORS * SECTOR_BYTES, .first_op = 1,
				    .last_op = group.n, .next_object = OBJECT + 1 };

	(void)lsvd_segment_finish(s, &head, &chain); /* the sum is in the header, too */
}

static struct segment *built(enum codec codec, uint32_t unit_bytes)
{
	struct segment *s = NULL;

	ck_assert_ok(build(&s, codec, unit_bytes));
	finish(s);
	return s;
}

static void check_extents(const struct segment *s, const struct t_object *o)
{
	struct t_header h;

	ck_assert_ok(t_header_read(&h, o->bytes, o->len));
	ck_assert_uint_eq(h.count, s->extent_count);
	for (uint32_t i = 0; i < h.count; i++) {
		ck_assert_uint_eq(h.extents[i].lba, s->extents[i].lba);
		ck_assert_uint_eq(h.extents[i].sectors, s->extents[i].sectors);
		ck_assert_uint_eq(h.extents[i].off, s->extents[i].off);
		ck_assert_uint_eq(h.extents[i].kind, s->extents[i].kind);
	}
	lsvd_free(h.extents);
}

/* The object read back is the volume after the group; over `sectors` of it. */
static void check_equals_array(const struct segment *s, unsigned sectors)
{
	struct t_object o = t_object_of(s);
	long at;

	ck_assert_uint_eq(o.len, s->header_bytes + s->body_bytes);
	check_extents(s, &o);
	t_array_clear(&wanted, sectors);
	t_array_apply(&wanted, &group);
	t_array_clear(&got, sectors);
	ck_assert_ok(t_array_read(&got, &o, owner(), OBJECT));
	at = t_array_differs(&wanted, &got);
	ck_assert_msg(at < 0, "sector %ld: kind %d, expected %d; or its data", at, got.kind[at],
		      wanted.kind[at]);
	t_object_free(&o);
}

static void expect_extents(const struct segment *s, const struct seg_extent *e, uint32_t n)
{
	ck_assert_uint_eq(s->extent_count, n);
	for (uint32_t i = 0; i < n; i++) {
		ck_assert_uint_eq(s->extents[i].lba, e[i].lba);
		ck_assert_uint_eq(s->extents[i].sectors, e[i].sectors);
		ck_assert_uint_eq(s->extents[i].kind, e[i].kind);
	}
}

/* -------------------------------------------------------------------------------- segment bytes */

START_TEST(an_empty_group_is_a_header_alone)
{
	struct segment *s;

	fresh();
	s = built(CODEC_LZ4, 16384);
	ck_assert_uint_eq(s->header_bytes, HEADER_FIXED);
	ck_assert_uint_eq(s->body_bytes, 0);
	check_equals_array(s, 64);
	lsvd_segment_free(s);
}
END_TEST

START_TEST(count_lengths_and_integers_are_as_specified)
{
	static const uint8_t extents[] = {
		0x80, 0x04, 8 * 4,        /* 256 sectors on, 8 sectors, raw */
		2, 0x81, 0x01, 0,         /* 1 on, 32 sectors, a unit; its stored length: below */
		0, 2 * 4 + 2,             /* at once, 2 sectors, zero */
		10, 0x83, 0xea, 0x30,     /* 5 on, 200000 sectors, hole */
	};
	struct segment *s;
	struct t_object o;

	fresh();
	t_group_data(&group, 256, 8, noise);
	memset(t_group_data(&group, 265, 32, NULL), 'x', 32 * SECTOR_BYTES);
	t_group_rehash(&group, 1);
	t_group_blank(&group, 297, 2, SEG_ZERO);
	t_group_blank(&group, 304, 200000, SEG_HOLE);
	s = built(CODEC_LZ4, 16384);
	o = t_object_of(s);
	ck_assert_uint_eq(le32_get(o.bytes + 12), s->header_bytes);
	ck_assert_uint_eq(le32_get(o.bytes + 172), 4);
	ck_assert_uint_eq(s->header_bytes, 224);
	ck_assert_uint_eq(le32_get(o.bytes + 176), s->extent_bytes);
	ck_assert_uint_eq(s->extent_bytes, sizeof extents);
	ck_assert_mem_eq(o.bytes + 208, extents, 6);
	ck_assert_uint_eq(o.bytes[214], le16_get(o.bytes + s->extents[1].off + 4) + 1);
	ck_assert_mem_eq(o.bytes + 215, extents + 7, 6);
	lsvd_segment_free(s);
	t_object_free(&o);
}
END_TEST

START_TEST(incompressible_data_is_stored_raw_and_readable)
{
	struct segment *s;

	fresh();
	t_group_data(&group, 0, 2048, noise);
	s = built(CODEC_LZ4, 16384);
	expect_extents(s, &(struct seg_extent){ 0, 2048, 0, SEG_RAW }, 1);
	ck_assert_uint_eq(s->body_bytes, 256 * (4096 + 16));
	ck_assert_uint_eq(s->compressed_from, 0);
	check_equals_array(s, 2048);
	lsvd_segment_free(s);
}
END_TEST

START_TEST(compressible_data_is_stored_in_units_of_the_size_asked_for)
{
	uint32_t unit_bytes = BLOCK_BYTES << _i, units = (1u << 20) / unit_bytes;
	struct segment *s;

	fresh();
	t_group_data(&group, 8, 2048, halves());
	s = built(CODEC_LZ4, unit_bytes);
	ck_assert_uint_eq(s->extent_count, units);
	for (uint32_t i = 0; i < units; i++) {
		ck_assert_uint_eq(s->extents[i].kind, SEG_UNIT);
		ck_assert_uint_eq(s->extents[i].sectors, unit_bytes / SECTOR_BYTES);
	}
	ck_assert_uint_eq(s->compressed_from, 1u << 20);
	ck_assert_uint_lt(s->compressed_to, 700000);
	check_equals_array(s, T_ARRAY_SECTORS);
	lsvd_segment_free(s);
}
END_TEST

START_TEST(compressed_data_takes_an_eighth_less_or_stays_raw)
{
	struct segment *s;
	uint8_t data[4096];

	fresh();
	memcpy(data, noise, sizeof data);
	memset(data, 0, 400); /* too little to pay */
	t_group_data(&group, 0, 8, data);
	s = built(CODEC_LZ4, 4096);
	ck_assert_uint_eq(s->extents[0].kind, SEG_RAW);
	ck_assert_uint_eq(s->body_bytes, 4112);
	lsvd_segment_free(s);
	memset(data, 0, 700);
	t_group_data(&group, 0, 8, data);
	s = built(CODEC_LZ4, 4096);
	ck_assert_uint_eq(s->extents[0].kind, SEG_UNIT);
	ck_assert_uint_le(s->body_bytes, 4112 - 4112 / 8);
	lsvd_segment_free(s);
}
END_TEST

START_TEST(zlib_units_are_read_back)
{
	struct segment *s;

	fresh();
	t_group_data(&group, 8, 2048, halves());
	s = built(CODEC_ZLIB, 65536);
	ck_assert_uint_eq(s->extent_count, 16);
	check_equals_array(s, T_ARRAY_SECTORS);
	lsvd_segment_free(s);
}
END_TEST

START_TEST(data_that_is_all_zero_is_stored_without_a_body)
{
	struct segment *s;

	fresh();
	t_group_data(&group, 3, 1000, NULL);
	t_group_data(&group, 2000, 1, NULL);
	s = built(_i ? CODEC_LZ4 : CODEC_RAW, 16384);
	expect_extents(s, (struct seg_extent[]){ { 3, 1000, 0, SEG_ZERO },
						 { 2000, 1, 0, SEG_ZERO } }, 2);
	ck_assert_uint_eq(s->body_bytes, 0);
	check_equals_array(s, T_ARRAY_SECTORS);
	lsvd_segment_free(s);
}
END_TEST

START_TEST(zero_pieces_within_data_are_found)
{
	struct segment *s;

	fresh();
	memset(t_group_data(&group, 0, 40, noise) + 4096, 0, 8192);
	t_group_rehash(&group, 0);
	s = built(CODEC_RAW, 4096);
	expect_extents(s, (struct seg_extent[]){ { 0, 8, 0, SEG_RAW }, { 8, 16, 0, SEG_ZERO },
						 { 24, 16, 0, SEG_RAW } }, 3);
	check_equals_array(s, 64);
	lsvd_segment_free(s);
}
END_TEST

/* Whoever knows the hash can make data that has it: then it must not become zeroes. */
START_TEST(data_that_only_hashes_like_zeroes_is_kept)
{
	static const uint8_t zeroes[BLOCK_BYTES];
	struct segment *s;
	struct t_object o;

	fresh();
	t_group_data(&group, 0, 8, noise);
	group.hashes[0][0] = lsvd_hash(zeroes, sizeof zeroes);
	s = built(CODEC_RAW, 4096);
	expect_extents(s, &(struct seg_extent){ 0, 8, 0, SEG_RAW }, 1);
	o = t_object_of(s);
	ck_assert_mem_eq(o.bytes + s->extents[0].off + UNIT_FRAME_BYTES, noise, 4096);
	t_object_free(&o);
	lsvd_segment_free(s);
}
END_TEST

START_TEST(trims_and_zeroes_of_any_length_are_one_extent)
{
	struct segment *s;
	const uint64_t huge = UINT64_C(1) << 40;

	fresh();
	t_group_blank(&group, 0, huge, SEG_HOLE);
	t_group_blank(&group, huge, huge, SEG_ZERO);
	s = built(CODEC_LZ4, 16384);
	expect_extents(s, (struct seg_extent[]){ { 0, huge, 0, SEG_HOLE },
						 { huge, huge, 0, SEG_ZERO } }, 2);
	ck_assert_uint_eq(s->header_bytes, HEADER_FIXED + 16);
	lsvd_segment_free(s);
}
END_TEST

START_TEST(neighbours_of_one_kind_become_one_extent)
{
	struct segment *s;

	fresh();
	for (unsigned i = 0; i < 8; i++) {
		t_group_data(&group, 8 * i, 8, noise + 4096 * i);
		t_group_blank(&group, 100 + 5 * i, 5, SEG_HOLE);
		t_group_blank(&group, 140 + 5 * i, 5, SEG_ZERO);
	}
	s = built(CODEC_RAW, 4096);
	expect_extents(s, (struct seg_extent[]){ { 0, 64, 0, SEG_RAW }, { 100, 40, 0, SEG_HOLE },
						 { 140, 40, 0, SEG_ZERO } }, 3);
	check_equals_array(s, 256);
	lsvd_segment_free(s);
}
END_TEST

START_TEST(only_the_last_unit_of_a_raw_extent_is_short)
{
	struct segment *s;

	fresh();
	t_group_data(&group, 0, 8, noise);
	t_group_data(&group, 8, 3, noise + 4096);
	t_group_data(&group, 11, 8, noise + 8192);
	s = built(CODEC_RAW, 4096);
	expect_extents(s, (struct seg_extent[]){ { 0, 11, 0, SEG_RAW }, { 11, 8, 0, SEG_RAW } }, 2);
	ck_assert_uint_eq(s->extents[1].off, s->extents[0].off + 4112 + 16 + 1536);
	check_equals_array(s, 64);
	lsvd_segment_free(s);
}
END_TEST

START_TEST(short_neighbours_share_a_unit)
{
	struct segment *s;

	fresh();
	for (unsigned i = 0; i < 16; i++)
		t_group_data(&group, 100 + i, 1, noise + 512 * i);
	s = built(CODEC_RAW, 4096);
	expect_extents(s, &(struct seg_extent){ 100, 16, 0, SEG_RAW }, 1);
	ck_assert_uint_eq(s->body_bytes, 2 * 4112);
	check_equals_array(s, 256);
	lsvd_segment_free(s);
}
END_TEST

START_TEST(whole_pieces_are_neither_copied_nor_hashed)
{
	struct segment *s;
	unsigned found = 0;

	fresh();
	t_group_data(&group, 5, 64, noise);
	group.hashes[0][3] ^= 1; /* would be noticed if it were looked at */
	s = built(CODEC_LZ4, 16384);
	for (int i = 1; i < s->iovcnt; i++)
		found += (uint8_t *)s->iov[i].iov_base >= group.data[0] &&
			 (uint8_t *)s->iov[i].iov_base < group.data[0] + 64 * SECTOR_BYTES;
	ck_assert_uint_eq(found, 8);
	lsvd_segment_free(s);
}
END_TEST

START_TEST(what_is_overwritten_in_the_group_is_not_stored)
{
	struct segment *s;

	fresh();
	for (unsigned i = 0; i < 10; i++)
		t_group_data(&group, 16, 8, noise + 4096 * i);
	t_group_data(&group, 100, 8, noise);
	t_group_blank(&group, 96, 8, SEG_HOLE);
	s = built(CODEC_RAW, 4096);
	expect_extents(s, (struct seg_extent[]){ { 16, 8, 0, SEG_RAW }, { 96, 8, 0, SEG_HOLE },
						 { 104, 4, 0, SEG_RAW } }, 3);
	ck_assert_uint_eq(s->body_bytes, 4112 + 16 + 2048);
	ck_assert_uint_eq(s->user_bytes, 11 * 4096);
	ck_assert_uint_eq(s->coalesced_bytes, 9 * 4096 + 2048);
	check_equals_array(s, 256);
	lsvd_segment_free(s);
}
END_TEST

/* 8 MiB that does not compress, then 8 MiB that does: the compressor must be asked again. */
START_TEST(a_compressor_that_did_not_pay_gets_another_chance)
{
	uint64_t tried_late = 0;
	struct segment *s;

	fresh();
	for (unsigned i = 0; i < 4; i++)
		t_group_data(&group, 4096 * i, 4096, noise);
	for (unsigned i = 4; i < 8; i++)
		t_group_data(&group, 4096 * i, 4096, halves());
	s = built(CODEC_LZ4, 16384);
	for (uint32_t i = 0; i < s->extent_count; i++)
		if (s->extents[i].kind == SEG_UNIT)
			tried_late += s->extents[i].sectors;
	ck_assert_uint_ge(tried_late, 4 * 4096 - 16 * 32);
	lsvd_segment_free(s);
}
END_TEST

/* --------------------------------------------------------------------------------------- damage */

/* The first of two records is cut by the second, so its border piece has to be hashed again. */
static void make_cut_group(void)
{
	fresh();
	t_group_data(&group, 0, 32, noise);
	t_group_data(&group, 13, 2, noise + 99 * 512);
}

START_TEST(a_buffer_damaged_in_a_cut_piece_is_refused)
{
	struct segment *s = NULL;

	make_cut_group();
	group.data[0][9 * 512] ^= 4; /* in what is left of the piece */
	ck_assert_err(build(&s, CODEC_RAW, 4096), LSVD_E_CORRUPT);
	ck_assert_error_says("checksum");
	make_cut_group();
	group.data[0][13 * 512] ^= 4; /* in what is cut out of it */
	ck_assert_err(build(&s, CODEC_RAW, 4096), LSVD_E_CORRUPT);
	make_cut_group();
	memset(group.data[0], 'x', 32 * 512);
	ck_assert_err(build(&s, CODEC_LZ4, 16384), LSVD_E_CORRUPT);
	ck_assert_ptr_null(s);
}
END_TEST

START_TEST(a_buffer_damaged_elsewhere_is_found_by_who_reads_it)
{
	struct segment *s;
	struct t_object o;

	fresh();
	t_group_data(&group, 0, 32, _i ? halves() : noise);
	group.data[0][5000] ^= 4;
	s = built(_i ? CODEC_LZ4 : CODEC_RAW, 16384);
	o = t_object_of(s);
	t_array_clear(&got, 64);
	ck_assert_err(t_array_read(&got, &o, owner(), OBJECT), LSVD_E_CORRUPT);
	t_object_free(&o);
	lsvd_segment_free(s);
}
END_TEST

START_TEST(units_do_not_verify_as_another_volumes_or_objects)
{
	struct segment *s;
	struct t_object o;

	fresh();
	t_group_data(&group, 0, 32, noise);
	s = built(CODEC_RAW, 4096);
	o = t_object_of(s);
	t_array_clear(&got, 64);
	ck_assert_ok(t_array_read(&got, &o, owner(), OBJECT));
	ck_assert_err(t_array_read(&got, &o, owner() + 1, OBJECT), LSVD_E_CORRUPT);
	ck_assert_err(t_array_read(&got, &o, owner(), OBJECT + 1), LSVD_E_CORRUPT);
	t_object_free(&o);
	lsvd_segment_free(s);
}
END_TEST

START_TEST(a_group_beyond_the_largest_object_is_refused)
{
	struct segment *s;

	fresh();
	t_group_data(&group, 0, 8, noise);
	group.records[0].sectors = SEG_OBJECT_MAX / SECTOR_BYTES; /* refused before it is read */
	ck_assert_err(build(&s, CODEC_RAW, 4096), -E2BIG);
	ck_assert_error_says("expected at most 134217728");
	group.records[0].sectors = 8;
}
END_TEST

/* ---------------------------------------------------------------------------------------- model */

static const enum codec codecs[] = { CODEC_RAW, CODEC_LZ4, CODEC_ZLIB };

/* Two records, of any two kinds, in every position to each other within two blocks. */
START_TEST(two_records_in_every_position_equal_the_array)
{
	static const int kinds[] = { SEG_RAW, SEG_ZERO, SEG_HOLE };

	for (unsigned i = 0; i < 9 * 64; i++) {
		unsigned lba = i / 9 % 8, sectors = 1 + i / 72 * 2;
		struct segment *s;

		fresh();
		for (unsigned k = 0; k < 2; k++) {
			uint64_t at = k ? lba : (unsigned)_i % 8;
			uint64_t n = k ? sectors : 1 + (unsigned)_i / 8 * 2;
			int kind = kinds[k ? i % 3 : i / 3 % 3];

			if (kind == SEG_RAW)
				t_group_data(&group, at, n, noise + 32768 * k);
			else
				t_group_blank(&group, at, n, kind);
		}
		s = built(codecs[(i + (unsigned)_i) % 2], 4096);
		check_equals_array(s, 32);
		lsvd_segment_free(s);
	}
}
END_TEST

/* Noise, zeroes, text, or one after the other; noise is the fresh() one. */
static void random_data(uint8_t *data, uint64_t sectors, uint64_t *state)
{
	uint64_t what = t_random_below(state, 5);

	for (uint64_t i = 0; i < sectors; i++) {
		uint64_t now = what < 3 ? what : t_random_below(state, 3);

		if (now == 0)
			t_fill(data + i * SECTOR_BYTES, SECTOR_BYTES, t_random(state));
		else
			memset(data + i * SECTOR_BYTES, now == 1 ? 0 : (int)(i / 4), SECTOR_BYTES);
	}
}

static void random_record(uint64_t space, uint64_t *state)
{
	uint64_t lba = t_random_below(state, space);
	uint64_t most = min_u64(t_random_below(state, 3) ? 16 : 300, T_ARRAY_SECTORS - lba);
	uint64_t sectors = t_random_below(state, most + 1);
	uint64_t kind = t_random_below(state, 8);

	if (kind == SEG_ZERO || kind == SEG_HOLE) {
		t_group_blank(&group, lba, sectors, (int)kind);
		return;
	}
	random_data(t_group_data(&group, lba, sectors, NULL), sectors, state);
	t_group_rehash(&group, group.n - 1);
}

START_TEST(random_groups_equal_the_array)
{
	uint64_t state = t_seed();

	for (int round = 0; round < 500; round++) {
		uint64_t space = 1 + t_random_below(&state, T_ARRAY_SECTORS);
		enum codec codec = codecs[t_random_below(&state, 3)];
		struct segment *s;

		t_group_free(&group);
		for (uint64_t n = t_random_below(&state, 60); n; n--)
			random_record(space, &state);
		s = built(codec, BLOCK_BYTES << t_random_below(&state, 5));
		check_equals_array(s, T_ARRAY_SECTORS);
		lsvd_segment_free(s);
	}
	t_group_free(&group);
}
END_TEST

START_TEST(damaged_objects_never_give_wrong_data)
{
	uint64_t state = t_seed();
	struct segment *s;
	struct t_object o;
	unsigned refused = 0;

	t_group_free(&group);
	while (group.n < 60)
		random_record(1000, &state);
	s = built(CODEC_LZ4, 16384);
	o = t_object_of(s);
	t_array_clear(&wanted, 2048);
	t_array_apply(&wanted, &group);
	for (int i = 0; i < 2000; i++) {
		size_t bit = t_random_below(&state, o.len * 8), len = o.len;

		if (i % 4 == 0)
			o.len = t_random_below(&state, o.len);
		else
			o.bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
		t_array_clear(&got, 2048);
		if (t_array_read(&got, &o, owner(), OBJECT) < 0)
			refused++;
		else
			ck_assert_int_lt(t_array_differs(&wanted, &got), 0);
		if (i % 4)
			o.bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
		o.len = len;
	}
	ck_assert_uint_gt(refused, 1000); /* few bits mean nothing to LZ4 */
	t_object_free(&o);
	lsvd_segment_free(s);
	t_group_free(&group);
}
END_TEST

/* --------------------------------------------------------------------------------------- memory */

static int allocations_left, in_use;

static void *counted_alloc(size_t align, size_t size)
{
	void *p = NULL;

	if (allocations_left-- > 0)
		p = aligned_alloc(align, round_up(size, align));
	in_use += p != NULL;
	return p;
}

static void counted_release(void *p)
{
	in_use -= p != NULL;
	free(p);
}

/* How the build goes when the k-th allocation is refused; nothing may stay behind. */
static int build_with(int allocations, enum codec codec)
{
	static const struct alloc_ops counted = { .alloc = counted_alloc,
						  .release = counted_release };
	struct segment *s = NULL;
	int err;

	allocations_left = allocations;
	in_use = 0;
	lsvd_alloc_set(&counted);
	err = build(&s, codec, 16384);
	if (err < 0)
		ck_assert_ptr_null(s);
	lsvd_segment_free(s);
	lsvd_alloc_set(NULL);
	ck_assert_int_eq(in_use, 0);
	return err;
}

START_TEST(any_allocation_may_fail)
{
	int k = 0;

	fresh();
	for (unsigned i = 0; i < 8; i++) {
		t_group_data(&group, 4096 * i, 3000, i % 2 ? noise : halves());
		t_group_data(&group, 4096 * i + 77, 1, noise);
	}
	while (build_with(k, codecs[_i]) == -ENOMEM)
		k++;
	ck_assert_int_gt(k, 5);
	ck_assert_ok(build_with(k, codecs[_i]));
}
END_TEST

static void add_byte_tests(TCase *c)
{
	tcase_add_test(c, an_empty_group_is_a_header_alone);
	tcase_add_test(c, count_lengths_and_integers_are_as_specified);
	tcase_add_test(c, incompressible_data_is_stored_raw_and_readable);
	tcase_add_loop_test(c, compressible_data_is_stored_in_units_of_the_size_asked_for, 0, 5);
	tcase_add_test(c, compressed_data_takes_an_eighth_less_or_stays_raw);
	tcase_add_test(c, zlib_units_are_read_back);
	tcase_add_loop_test(c, data_that_is_all_zero_is_stored_without_a_body, 0, 2);
	tcase_add_test(c, zero_pieces_within_data_are_found);
	tcase_add_test(c, data_that_only_hashes_like_zeroes_is_kept);
	tcase_add_test(c, trims_and_zeroes_of_any_length_are_one_extent);
	tcase_add_test(c, neighbours_of_one_kind_become_one_extent);
	tcase_add_test(c, only_the_last_unit_of_a_raw_extent_is_short);
	tcase_add_test(c, short_neighbours_share_a_unit);
	tcase_add_test(c, whole_pieces_are_neither_copied_nor_hashed);
	tcase_add_test(c, what_is_overwritten_in_the_group_is_not_stored);
	tcase_add_test(c, a_compressor_that_did_not_pay_gets_another_chance);
}

static void add_damage_tests(TCase *c)
{
	tcase_add_test(c, a_buffer_damaged_in_a_cut_piece_is_refused);
	tcase_add_loop_test(c, a_buffer_damaged_elsewhere_is_found_by_who_reads_it, 0, 2);
	tcase_add_test(c, units_do_not_verify_as_another_volumes_or_objects);
	tcase_add_test(c, a_group_beyond_the_largest_object_is_refused);
	tcase_add_test(c, damaged_objects_never_give_wrong_data);
}

static Suite *seg_build_suite(void)
{
	Suite *s = suite_create("seg_build");
	TCase *bytes = tcase_create("segment bytes"), *damage = tcase_create("damage");
	TCase *model = tcase_create("model"), *memory = tcase_create("memory");

	add_byte_tests(bytes);
	suite_add_tcase(s, bytes);
	tcase_set_timeout(damage, 60);
	add_damage_tests(damage);
	suite_add_tcase(s, damage);
	tcase_set_timeout(model, 60);
	tcase_add_loop_test(model, two_records_in_every_position_equal_the_array, 0, 64);
	tcase_add_test(model, random_groups_equal_the_array);
	suite_add_tcase(s, model);
	tcase_add_loop_test(memory, any_allocation_may_fail, 0, 3);
	suite_add_tcase(s, memory);
	return s;
}

T_MAIN(seg_build_suite)

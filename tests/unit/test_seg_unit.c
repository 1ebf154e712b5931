/* SPDX-License-Identifier: BSD-2-Clause */
/* test_seg_unit.c - units: opened where they belong, refused everywhere else and when damaged. */
#include "t_check.h"

#include "base/alloc.h"
#include "base/hash.h"
#include "segment/seg_codec.h"
#include "segment/unit.h"

#define OWNER UINT64_C(0x1234567890abcdef)
#define OBJECT 77u
#define LBA UINT64_C(0x12345678a)

static uint8_t scratch[UNIT_MAX_BYTES];

/* A unit as bytes, and the raw data it holds. */
struct made {
	uint8_t raw[UNIT_MAX_BYTES];
	uint32_t raw_bytes;
	uint8_t unit[UNIT_FRAME_BYTES + UNIT_MAX_BYTES + 16];
	uint32_t space;
};

static uint64_t hash_of(const uint8_t *raw, uint32_t bytes)
{
	uint64_t pieces[UNIT_MAX_BYTES / BLOCK_BYTES];
	unsigned n = 0;

	for (uint32_t at = 0; at < bytes; at += BLOCK_BYTES)
		pieces[n++] = lsvd_hash(raw + at, min_u64(BLOCK_BYTES, bytes - at));
	return lsvd_unit_hash(pieces, n);
}

static uint32_t store(struct made *m, enum codec codec)
{
	struct compressor *c;
	uint32_t stored;

	if (codec == CODEC_RAW) {
		memcpy(m->unit + UNIT_FRAME_BYTES, m->raw, m->raw_bytes);
		return m->raw_bytes;
	}
	ck_assert_ok(lsvd_compressor_new(&c, codec));
	stored = lsvd_compress(c, m->unit + UNIT_FRAME_BYTES, m->raw_bytes - 1, m->raw,
			       m->raw_bytes);
	lsvd_compressor_free(c);
	ck_assert_uint_gt(stored, 0);
	return stored;
}

/* Half of the data is chance, so that it compresses, but not to nothing. */
static void make(struct made *m, enum codec codec, uint32_t sectors)
{
	struct unit_frame f = { .sectors = sectors, .codec = codec };

	memset(m, 0, sizeof *m);
	m->raw_bytes = sectors * SECTOR_BYTES;
	for (uint32_t i = 0; i < sectors; i++)
		t_fill(m->raw + i * SECTOR_BYTES, SECTOR_BYTES / 2, i + 1);
	f.stored = store(m, codec);
	f.checksum = lsvd_hash_bind(hash_of(m->raw, m->raw_bytes), OWNER, OBJECT, LBA);
	lsvd_unit_frame_encode(m->unit, LBA, &f);
	m->space = unit_space(f.stored);
}

static int open_as(const struct made *m, uint64_t owner, uint64_t object, uint64_t lba)
{
	const uint8_t *data;
	uint32_t bytes, need;

	return lsvd_unit_open(m->unit, m->space, owner, object, lba, scratch, &data, &bytes, &need,
			      "x");
}

/* 0 and the right data, or an error; never 0 and other data. */
static int open_changed(const struct made *m, size_t len)
{
	const uint8_t *data;
	uint32_t bytes, need;
	int err = lsvd_unit_open(m->unit, len, OWNER, OBJECT, LBA, scratch, &data, &bytes, &need,
				 "x");

	if (err == 0) {
		ck_assert_uint_eq(bytes, m->raw_bytes);
		ck_assert_mem_eq(data, m->raw, bytes);
	}
	return err;
}

static const struct shape {
	enum codec codec;
	uint32_t sectors;
} shapes[] = {
	{ CODEC_RAW, 1 },  { CODEC_RAW, 7 },    { CODEC_RAW, 8 },   { CODEC_LZ4, 1 },
	{ CODEC_LZ4, 8 },  { CODEC_LZ4, 9 },    { CODEC_LZ4, 32 },  { CODEC_LZ4, 128 },
	{ CODEC_ZLIB, 1 }, { CODEC_ZLIB, 31 },  { CODEC_ZLIB, 128 },
};
#define SHAPES (int)(sizeof shapes / sizeof shapes[0])

static struct made made;

START_TEST(a_unit_opened_gives_its_data)
{
	const struct shape *shape = &shapes[_i];
	const uint8_t *data;
	uint32_t bytes, need;

	make(&made, shape->codec, shape->sectors);
	ck_assert_ok(lsvd_unit_open(made.unit, made.space, OWNER, OBJECT, LBA, scratch, &data,
				    &bytes, &need, "x"));
	ck_assert_uint_eq(bytes, made.raw_bytes);
	ck_assert_mem_eq(data, made.raw, bytes);
	ck_assert_uint_eq(need, made.space);
	ck_assert_uint_eq(need % 16, 0);
}
END_TEST

START_TEST(raw_data_is_not_copied)
{
	const uint8_t *data;
	uint32_t bytes, need;

	make(&made, CODEC_RAW, 8);
	ck_assert_ok(lsvd_unit_open(made.unit, made.space, OWNER, OBJECT, LBA, NULL, &data, &bytes,
				    &need, "x"));
	ck_assert_ptr_eq(data, made.unit + UNIT_FRAME_BYTES);
}
END_TEST

START_TEST(a_unit_of_another_place_does_not_verify)
{
	make(&made, shapes[_i].codec, shapes[_i].sectors);
	ck_assert_ok(open_as(&made, OWNER, OBJECT, LBA));
	ck_assert_err(open_as(&made, OWNER + 1, OBJECT, LBA), LSVD_E_CORRUPT);
	ck_assert_error_says("checksum");
	ck_assert_err(open_as(&made, OWNER, OBJECT - 1, LBA), LSVD_E_CORRUPT);
	ck_assert_error_says("checksum");
	ck_assert_err(open_as(&made, OWNER, OBJECT, LBA + 8), LSVD_E_CORRUPT);
	ck_assert_error_says("expected 4886718354");
	ck_assert_err(open_as(&made, OWNER, OBJECT, LBA + (UINT64_C(1) << 32)), LSVD_E_CORRUPT);
	ck_assert_error_says("checksum");
}
END_TEST

START_TEST(a_unit_that_is_cut_off_says_what_it_needs)
{
	make(&made, shapes[_i].codec, shapes[_i].sectors);
	for (uint32_t len = 0; len < made.space; len += len < 32 ? 1 : 16) {
		const uint8_t *data;
		uint32_t bytes, need = 0;

		ck_assert_err(lsvd_unit_open(made.unit, len, OWNER, OBJECT, LBA, scratch, &data,
					     &bytes, &need, "x"), -ENODATA);
		ck_assert_uint_eq(need, len < UNIT_FRAME_BYTES ? UNIT_FRAME_BYTES : made.space);
	}
}
END_TEST

/* A bit of a compressed unit may mean nothing to the decompressor; then the data must be right. */
START_TEST(any_flipped_bit_is_noticed_or_harmless)
{
	uint32_t step;

	make(&made, shapes[_i].codec, shapes[_i].sectors);
	step = made.space * 8 / 2000 | 1;
	for (uint32_t bit = 0; bit < made.space * 8; bit += bit < 256 ? 1 : step) {
		int err;

		made.unit[bit / 8] ^= (uint8_t)(1u << bit % 8);
		err = open_changed(&made, made.space);
		ck_assert_msg(err == LSVD_E_CORRUPT || err == -ENODATA ||
			      (err == 0 && shapes[_i].codec != CODEC_RAW &&
			       bit >= UNIT_FRAME_BYTES * 8), "bit %u: %d", bit, err);
		made.unit[bit / 8] ^= (uint8_t)(1u << bit % 8);
	}
	ck_assert_ok(open_as(&made, OWNER, OBJECT, LBA));
}
END_TEST

START_TEST(random_damage_is_never_taken_for_data)
{
	uint64_t state = t_seed();

	for (int i = 0; i < 2000; i++) {
		const struct shape *shape = &shapes[t_random_below(&state, (uint64_t)SHAPES)];
		size_t at, n;

		make(&made, shape->codec, shape->sectors);
		at = t_random_below(&state, made.space);
		n = 1 + t_random_below(&state, made.space - at);
		t_fill(made.unit + at, n, t_random(&state));
		(void)open_changed(&made, t_random_below(&state, made.space + 1)); /* asserts */
	}
}
END_TEST

/* Everything fits but what the frame says. */
static void refused(uint32_t stored, uint32_t sectors, int codec, const char *text)
{
	const uint8_t *data;
	uint32_t bytes, need;
	struct unit_frame f = { stored, 1, (enum codec)codec, 0 };

	lsvd_unit_frame_encode(made.unit, LBA, &f);
	made.unit[6] = (uint8_t)(sectors - 1);
	ck_assert_err(lsvd_unit_open(made.unit, sizeof made.unit, OWNER, OBJECT, LBA, scratch,
				     &data, &bytes, &need, "x"), LSVD_E_CORRUPT);
	ck_assert_error_says(text);
}

START_TEST(frames_that_contradict_themselves_are_refused)
{
	make(&made, CODEC_RAW, 8);
	refused(4096, 8, 3, "codec 3, expected 0 to 2");
	refused(4096, 8, 255, "codec 255");
	refused(4608, 9, CODEC_RAW, "9 sectors with codec 0, expected at most 8");
	refused(65536, 129, CODEC_LZ4, "129 sectors");
	refused(4095, 8, CODEC_RAW, "4095 bytes stored with codec 0, expected 4096");
	refused(4096, 7, CODEC_RAW, "expected 3584");
	refused(4096, 8, CODEC_LZ4, "expected less than 4096");
	refused(65536, 128, CODEC_ZLIB, "expected less than 65536");
}
END_TEST

START_TEST(padding_that_is_not_zero_is_refused)
{
	make(&made, CODEC_LZ4, 8);
	for (uint32_t stored = 1; unit_space(le16_get(made.unit + 4) + 1u) ==
				  UNIT_FRAME_BYTES + le16_get(made.unit + 4) + 1u; stored++)
		make(&made, CODEC_LZ4, 8 + stored);
	made.unit[made.space - 1] = 1;
	ck_assert_err(open_as(&made, OWNER, OBJECT, LBA), LSVD_E_CORRUPT);
	ck_assert_error_says("padding");
}
END_TEST

/* Sixteen bytes that unpack to 64 KiB, in a unit of one sector. */
START_TEST(data_that_unpacks_to_more_than_was_said_stays_in_bounds)
{
	struct unit_frame f = { .sectors = 1, .codec = (enum codec)_i };
	const uint8_t *data;
	uint32_t bytes, need;
	struct compressor *c;
	uint8_t *small = malloc(SECTOR_BYTES);

	memset(&made, 0, sizeof made);
	ck_assert_ptr_nonnull(small);
	ck_assert_ok(lsvd_compressor_new(&c, f.codec));
	f.stored = lsvd_compress(c, made.unit + UNIT_FRAME_BYTES, 500, made.raw, UNIT_MAX_BYTES);
	lsvd_compressor_free(c);
	ck_assert_uint_gt(f.stored, 0);
	lsvd_unit_frame_encode(made.unit, LBA, &f);
	ck_assert_err(lsvd_unit_open(made.unit, sizeof made.unit, OWNER, OBJECT, LBA, small, &data,
				     &bytes, &need, "x"), LSVD_E_CORRUPT);
	ck_assert_error_says("do not unpack to the expected 512");
	free(small);
}
END_TEST

START_TEST(the_hash_of_a_long_unit_is_that_of_its_pieces_hashes)
{
	static const uint64_t pieces[3] = { 1, UINT64_C(0x0203040506070809), 3 };
	static const uint8_t bytes[24] = { 1, 0, 0, 0, 0, 0, 0, 0, 9, 8, 7, 6, 5, 4, 3, 2, 3 };

	ck_assert_uint_eq(lsvd_unit_hash(pieces, 1), 1);
	ck_assert_uint_eq(lsvd_unit_hash(pieces, 3), lsvd_hash(bytes, 24));
}
END_TEST

static void *refuse(size_t align, size_t size)
{
	(void)align;
	(void)size;
	return NULL;
}

static void release_nothing(void *p)
{
	ck_assert_ptr_null(p);
}

START_TEST(without_memory_to_unpack_a_unit_says_so)
{
	static const struct alloc_ops none = { .alloc = refuse, .release = release_nothing };

	make(&made, CODEC_ZLIB, 8);
	lsvd_alloc_set(&none);
	ck_assert_err(open_as(&made, OWNER, OBJECT, LBA), -ENOMEM);
	lsvd_alloc_set(NULL);
	ck_assert_ok(open_as(&made, OWNER, OBJECT, LBA));
}
END_TEST

static Suite *seg_unit_suite(void)
{
	Suite *s = suite_create("seg_unit");
	TCase *good = tcase_create("whole"), *bad = tcase_create("damaged");

	tcase_add_loop_test(good, a_unit_opened_gives_its_data, 0, SHAPES);
	tcase_add_test(good, raw_data_is_not_copied);
	tcase_add_test(good, the_hash_of_a_long_unit_is_that_of_its_pieces_hashes);
	suite_add_tcase(s, good);
	tcase_set_timeout(bad, 60);
	tcase_add_loop_test(bad, a_unit_of_another_place_does_not_verify, 0, SHAPES);
	tcase_add_loop_test(bad, a_unit_that_is_cut_off_says_what_it_needs, 0, SHAPES);
	tcase_add_loop_test(bad, any_flipped_bit_is_noticed_or_harmless, 0, SHAPES);
	tcase_add_test(bad, random_damage_is_never_taken_for_data);
	tcase_add_test(bad, frames_that_contradict_themselves_are_refused);
	tcase_add_test(bad, padding_that_is_not_zero_is_refused);
	tcase_add_loop_test(bad, data_that_unpacks_to_more_than_was_said_stays_in_bounds, CODEC_LZ4,
			    CODEC_ZLIB + 1);
	tcase_add_test(bad, without_memory_to_unpack_a_unit_says_so);
	suite_add_tcase(s, bad);
	return s;
}

T_MAIN(seg_unit_suite)

/* SPDX-License-Identifier: BSD-2-Clause */
/* test_map_wire.c - pages of the store map as bytes: there and back, and what is refused. */
#include "map/store_map.h"

#include "t_alloc.h"
#include "t_check.h"

#define PAGE STORE_MAP_PAGE_SECTORS
#define NUMBER 77u                /* of the page under test */
#define BASE ((uint64_t)NUMBER * PAGE)

static struct store_map *map, *copy;
static uint8_t bytes[STORE_MAP_PAGE_MAX_BYTES], again[STORE_MAP_PAGE_MAX_BYTES];

static void setup(void)
{
	ck_assert_ok(lsvd_store_map_new(&map));
	ck_assert_ok(lsvd_store_map_new(&copy));
}

static void teardown(void)
{
	lsvd_store_map_check(map);
	lsvd_store_map_check(copy);
	lsvd_store_map_free(map);
	lsvd_store_map_free(copy);
}

static void put(uint32_t lba, uint32_t len, uint64_t object, uint32_t off, uint16_t sub,
		enum map_kind kind)
{
	struct map_extent e = { BASE + lba, len, off, object, sub, (uint8_t)kind };

	ck_assert_ok(lsvd_store_map_insert(map, &e, NULL, NULL));
}

static size_t encode(const struct store_map *m, uint8_t *buf)
{
	int len = lsvd_store_map_encode_page(m, NUMBER, buf, STORE_MAP_PAGE_MAX_BYTES);

	ck_assert_ok(len);
	return (size_t)len;
}

static void assert_same_extents(void)
{
	struct map_extent a = { .lba = 0 }, b = { .lba = 0 };

	while (lsvd_store_map_find(map, a.lba + a.len, &a)) {
		ck_assert(lsvd_store_map_find(copy, b.lba + b.len, &b));
		ck_assert(a.lba == b.lba && a.len == b.len && a.object == b.object &&
			  a.off == b.off && a.sub == b.sub && a.kind == b.kind);
	}
	ck_assert(!lsvd_store_map_find(copy, b.lba + b.len, &b));
	ck_assert_uint_eq(lsvd_store_map_extents(map), lsvd_store_map_extents(copy));
}

/* Returns the encoded length. */
static size_t assert_round_trip(void)
{
	size_t len = encode(map, bytes);

	ck_assert_ok(lsvd_store_map_decode_page(copy, NUMBER, bytes, len));
	lsvd_store_map_check(copy);
	assert_same_extents();
	ck_assert_uint_eq(encode(copy, again), len);
	ck_assert(memcmp(bytes, again, len) == 0);
	return len;
}

/* ------------------------------------------------------------------------------- there and back */

START_TEST(the_encoding_is_what_the_format_says)
{
	static const uint8_t expected[] = {
		1, 3,                         /* format, extents */
		8, 7 << 2 | 0,                /* gap 8, 8 sectors, raw */
		0x80 | (600 & 0x7f), 600 >> 7, /* object 0 + 300, zigzag */
		4 << 1,                       /* off 64 */
		0, 3 << 2 | 2,                /* no gap, 4 sectors of zeroes */
		4, 15 << 2 | 1,               /* gap 4, 16 sectors of a unit */
		9,                            /* object 300 - 5, zigzag */
		2 << 1 | 1, 112,              /* off 32, sub follows */
	};

	put(8, 8, 300, 64, 0, MAP_RAW);
	put(16, 4, 0, 0, 0, MAP_ZERO);
	put(24, 16, 295, 32, 112, MAP_UNIT);
	ck_assert_uint_eq(assert_round_trip(), sizeof(expected));
	ck_assert(memcmp(bytes, expected, sizeof(expected)) == 0);
}
END_TEST

START_TEST(an_absent_page_is_encoded_as_one_without_extents)
{
	ck_assert_uint_eq(assert_round_trip(), 2);
	ck_assert(!lsvd_store_map_page_present(copy, NUMBER));
	ck_assert_uint_eq(lsvd_store_map_memory(copy), lsvd_store_map_memory(map));
}
END_TEST

START_TEST(a_page_of_zeroes_comes_back)
{
	put(0, PAGE, 0, 0, 0, MAP_ZERO);
	(void)assert_round_trip(); /* its length is not of interest */
}
END_TEST

START_TEST(the_largest_values_come_back)
{
	put(0, 1, (UINT64_C(1) << 40) - 1, (1u << 27) - 16, 127, MAP_UNIT);
	put(1, 1, 1, (1u << 27) - 16, 7, MAP_RAW);
	put(2, 128, (UINT64_C(1) << 40) - 1, 0, 0, MAP_UNIT);
	put(PAGE - 1, 1, 2, 0, 0, MAP_UNIT);
	(void)assert_round_trip(); /* its length is not of interest */
}
END_TEST

START_TEST(a_page_of_8192_extents_fits_the_largest_encoding)
{
	uint64_t rng = t_seed();

	for (uint32_t i = 0; i < PAGE; i++)
		put(i, 1, 1 + t_random_below(&rng, (UINT64_C(1) << 40) - 1),
		    (uint32_t)t_random_below(&rng, 1u << 23) * 16, 1 + i % 127, MAP_UNIT);
	ck_assert_uint_le(assert_round_trip(), STORE_MAP_PAGE_MAX_BYTES);
}
END_TEST

START_TEST(scattered_blocks_take_about_8_bytes_dense_ones_less)
{
	size_t len;

	for (uint32_t i = 0; i < 38; i++)
		put(i * 27 * 8, 8, 1000 + i * 131 % 4000, i * 5003 % 2000 * 4112, 0, MAP_RAW);
	len = assert_round_trip();
	ck_assert_uint_le(len, 38 * 9);
	teardown();
	setup();
	for (uint32_t i = 0; i < 1024; i++)
		put(i * 8, 8, 1000 + i / 300, i % 300 * 4112, 0, MAP_RAW);
	len = assert_round_trip();
	ck_assert_uint_le(len, 1024 * 6 + 8);
}
END_TEST

/* Pages of every density and mixture. */
static void random_page(uint64_t *rng)
{
	unsigned n = (unsigned)t_random_below(rng, 1 + t_random_below(rng, 1200));
	uint32_t longest = 1 + (uint32_t)t_random_below(rng, t_random_below(rng, 3) ? 16 : 500);

	for (unsigned i = 0; i < n; i++) {
		uint32_t len = 1 + (uint32_t)t_random_below(rng, longest);
		uint32_t lba = (uint32_t)t_random_below(rng, PAGE - len);
		uint32_t off = (uint32_t)t_random_below(rng, 1u << 20) * 16;
		uint64_t object = 1 + t_random_below(rng, 100000);

		switch (t_random_below(rng, 5)) {
		case 0:
			put(lba, len, 0, 0, 0, MAP_ZERO);
			break;
		case 1:
			len = len > 128 ? 128 : len;
			put(lba, len, object, off,
			    (uint16_t)t_random_below(rng, 129 - len), MAP_UNIT);
			break;
		default:
			put(lba, len, object, off, (uint16_t)t_random_below(rng, 8), MAP_RAW);
		}
	}
}

START_TEST(random_pages_come_back)
{
	uint64_t rng = t_seed();

	for (unsigned i = 0; i < 200; i++) {
		random_page(&rng);
		(void)assert_round_trip(); /* its length is not of interest */
		teardown();
		setup();
	}
}
END_TEST

/* -------------------------------------------------------------------------------- into the map */

START_TEST(a_loaded_page_is_present_and_clean)
{
	put(8, 8, 300, 64, 0, MAP_RAW);
	(void)assert_round_trip(); /* its length is not of interest */
	ck_assert(lsvd_store_map_page_present(copy, NUMBER));
	ck_assert(!lsvd_store_map_page_dirty(copy, NUMBER));
	ck_assert_uint_eq(lsvd_store_map_next_page(copy, 0, true), UINT64_MAX);
	ck_assert_uint_eq(lsvd_store_map_next_page(copy, 0, false), NUMBER);
}
END_TEST

START_TEST(a_page_is_not_loaded_over_one_that_is_there)
{
	size_t len;

	put(8, 8, 300, 64, 0, MAP_RAW);
	len = encode(map, bytes);
	ck_assert_err(lsvd_store_map_decode_page(map, NUMBER, bytes, len), -EEXIST);
	/* Nor over one that was there and is not saved: that would bring back what was removed. */
	ck_assert_ok(lsvd_store_map_remove(map, BASE, PAGE, NULL, NULL));
	ck_assert_err(lsvd_store_map_decode_page(map, NUMBER, bytes, len), -EEXIST);
	ck_assert_error_says("map page 77");
}
END_TEST

START_TEST(a_page_number_beyond_all_addresses_is_refused)
{
	static const uint8_t empty[] = { 1, 0 };

	ck_assert_err(lsvd_store_map_decode_page(map, UINT64_MAX / PAGE + 1, empty, 2), -EINVAL);
}
END_TEST

START_TEST(loading_without_memory_changes_nothing)
{
	uint64_t before = lsvd_store_map_memory(copy);
	unsigned k = 0;
	size_t len;
	int err;

	put(8, 8, 300, 64, 0, MAP_RAW);
	len = encode(map, bytes);
	do {
		ck_assert_uint_eq(lsvd_store_map_memory(copy), before);
		t_alloc_refuse_at(k++);
		err = lsvd_store_map_decode_page(copy, NUMBER, bytes, len);
		(void)t_alloc_forgive(); /* err says whether it mattered */
		lsvd_store_map_check(copy);
		ck_assert(err == 0 || err == -ENOMEM);
		/* The tree may have become higher. */
		before = k == 1 ? lsvd_store_map_memory(copy) : before;
	} while (err < 0);
	ck_assert_uint_gt(k, 1);
	assert_same_extents();
}
END_TEST

START_TEST(a_buffer_too_small_is_said_to_be)
{
	size_t len;

	put(8, 8, 300, 64, 0, MAP_RAW);
	put(24, 8, 300, 64, 0, MAP_RAW);
	len = encode(map, bytes);
	for (size_t cap = 0; cap < len; cap++)
		ck_assert_int_eq(lsvd_store_map_encode_page(map, NUMBER, bytes, cap), -ENOBUFS);
	ck_assert_int_eq(lsvd_store_map_encode_page(map, NUMBER, bytes, len), (int)len);
}
END_TEST

/* ------------------------------------------------------------------------------ what is refused */

static const struct {
	const char *what;          /* part of the text */
	uint8_t len;
	uint8_t bytes[24];
} bad[] = {
	{ "format 0", 0, { 0 } },
	{ "format 2", 2, { 2, 0 } },
	{ "count of extents", 1, { 1 } },
	{ "count of extents 8193", 3, { 1, 0x81, 0x40 } },
	{ "too long", 3, { 1, 0x80, 0 } },
	{ "too long", 12, { 1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1 } },
	{ "1 bytes after its 0 extents", 3, { 1, 0, 0 } },
	{ "1 bytes after its 1 extents", 5, { 1, 1, 0, 2, 0 } },
	{ "ends within its gap", 2, { 1, 1 } },
	{ "ends within its length", 3, { 1, 1, 0 } },
	{ "ends within its object", 4, { 1, 1, 0, 0 } },
	{ "ends within its offset", 5, { 1, 1, 0, 0, 2 } },
	{ "bytes of sub missing", 6, { 1, 1, 0, 0, 2, 1 } },
	{ "gap 8192", 5, { 1, 1, 0x80, 0x40, 2 } },
	{ "length 4", 5, { 1, 1, 0xff, 0x3f, 4 } }, /* 2 sectors from 8191 */
	{ "kind 3", 4, { 1, 1, 0, 3 } },
	{ "object number 0", 6, { 1, 1, 0, 0, 0, 0 } },
	{ "object number 18446744073709551615", 6, { 1, 1, 0, 0, 1, 0 } },
	{ "object number 1099511627776", 11,
	  { 1, 1, 0, 0, 0x80, 0x80, 0x80, 0x80, 0x80, 0x40, 0 } },
	{ "sub of 0", 7, { 1, 1, 0, 0, 2, 1, 0 } },
	{ "sub 8", 7, { 1, 1, 0, 0, 2, 1, 8 } },
	{ "end in its unit 129", 7, { 1, 1, 0, 7 << 2 | 1, 2, 1, 121 } },
	{ "offset 16777216", 9, { 1, 1, 0, 0, 2, 0x80, 0x80, 0x80, 8 } },
	/* 9 sectors whose second unit begins at 2^27 - 16 + 4112 */
	{ "offset of the last unit", 9, { 1, 1, 0, 8 << 2, 2, 0xfe, 0xff, 0xff, 7 } },
	{ "index 1", 6, { 1, 2, 0, 0xfe, 0xff, 1 } },
};

START_TEST(what_does_not_follow_the_format_is_refused)
{
	int err = lsvd_store_map_decode_page(copy, NUMBER, bad[_i].bytes, bad[_i].len);

	ck_assert_err(err, LSVD_E_CORRUPT);
	ck_assert_error_says("map page 77");
	ck_assert_error_says(bad[_i].what);
	ck_assert_uint_eq(lsvd_store_map_extents(copy), 0);
}
END_TEST

/*
 * Whatever the bytes are, they are refused, or they are the encoding of what was made of them. The
 * buffer is on the heap and exactly so long, so that a sanitizer sees a byte read too many.
 */
static void assert_refused_or_meant(const uint8_t *from, size_t len)
{
	uint8_t *exact = malloc(len ? len : 1);
	int err;

	ck_assert_ptr_nonnull(exact);
	memcpy(exact, from, len);
	err = lsvd_store_map_decode_page(copy, NUMBER, exact, len);
	lsvd_store_map_check(copy);
	if (err < 0) {
		ck_assert_err(err, LSVD_E_CORRUPT);
		ck_assert_error_says("map page 77");
	} else {
		ck_assert_uint_eq(encode(copy, again), len);
		ck_assert(memcmp(exact, again, len) == 0);
		ck_assert_ok(lsvd_store_map_remove(copy, 0, UINT64_MAX, NULL, NULL));
		lsvd_store_map_page_clean(copy, NUMBER);
	}
	free(exact);
}

START_TEST(a_page_cut_short_is_refused_at_every_length)
{
	uint64_t rng = t_seed();
	size_t len;

	do {
		random_page(&rng);
		len = encode(map, bytes);
	} while (len < 1000);
	for (size_t n = 0; n < len; n++) {
		ck_assert_err(lsvd_store_map_decode_page(copy, NUMBER, bytes, n), LSVD_E_CORRUPT);
		assert_refused_or_meant(bytes, n);
	}
}
END_TEST

START_TEST(a_page_with_any_bit_flipped_is_refused_or_a_page_of_its_own)
{
	size_t len;

	for (uint32_t i = 0; i < 60; i++)
		put(i * 13, 1 + i % 12, i % 7 == 0 ? 0 : 1 + i * 17 % 60, i % 7 == 0 ? 0 : i * 4112,
		    i % 7 && i % 3 ? i % 8 : 0,
		    i % 7 == 0 ? MAP_ZERO : i % 2 ? MAP_UNIT : MAP_RAW);
	len = encode(map, bytes);
	for (size_t bit = 0; bit < len * 8; bit++) {
		bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
		assert_refused_or_meant(bytes, len);
		bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
	}
}
END_TEST

START_TEST(random_bytes_are_refused_or_a_page_of_their_own)
{
	uint64_t rng = t_seed();

	for (unsigned i = 0; i < 20000; i++) {
		size_t len = t_random_below(&rng, 80);

		t_fill(bytes, len, t_random(&rng));
		/* Small numbers get further than large ones. */
		for (size_t k = 0; k < len; k++)
			bytes[k] = t_random_below(&rng, 3) ? bytes[k] % 32 : bytes[k];
		bytes[0] = 1;
		assert_refused_or_meant(bytes, len);
	}
}
END_TEST

/* ---------------------------------------------------------------------------------------- suite */

static TCase *new_case(Suite *s, const char *name)
{
	TCase *c = tcase_create(name);

	tcase_add_checked_fixture(c, setup, teardown);
	tcase_set_timeout(c, 60);
	suite_add_tcase(s, c);
	return c;
}

static Suite *make_suite(void)
{
	Suite *s = suite_create("map_wire");
	TCase *back = new_case(s, "there and back"), *load = new_case(s, "into the map");
	TCase *refused = new_case(s, "refused");

	tcase_add_test(back, the_encoding_is_what_the_format_says);
	tcase_add_test(back, an_absent_page_is_encoded_as_one_without_extents);
	tcase_add_test(back, a_page_of_zeroes_comes_back);
	tcase_add_test(back, the_largest_values_come_back);
	tcase_add_test(back, a_page_of_8192_extents_fits_the_largest_encoding);
	tcase_add_test(back, scattered_blocks_take_about_8_bytes_dense_ones_less);
	tcase_add_test(back, random_pages_come_back);
	tcase_add_test(load, a_loaded_page_is_present_and_clean);
	tcase_add_test(load, a_page_is_not_loaded_over_one_that_is_there);
	tcase_add_test(load, a_page_number_beyond_all_addresses_is_refused);
	tcase_add_test(load, loading_without_memory_changes_nothing);
	tcase_add_test(load, a_buffer_too_small_is_said_to_be);
	tcase_add_loop_test(refused, what_does_not_follow_the_format_is_refused, 0,
			    sizeof(bad) / sizeof(*bad));
	tcase_add_test(refused, a_page_cut_short_is_refused_at_every_length);
	tcase_add_test(refused, a_page_with_any_bit_flipped_is_refused_or_a_page_of_its_own);
	tcase_add_test(refused, random_bytes_are_refused_or_a_page_of_their_own);
	return s;
}

T_MAIN(make_suite)

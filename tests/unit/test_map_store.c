/* SPDX-License-Identifier: BSD-2-Clause */
/* test_map_store.c - the store map: places of sectors, their pages, their memory. */
#include "map/store_map.h"

#include "base/bytes.h"

#include "t_alloc.h"
#include "t_check.h"

#define LOG_MAX 65536
#define PAGE STORE_MAP_PAGE_SECTORS
#define TIB_SECTORS (UINT64_C(1) << 31)
#define PIB_SECTORS (UINT64_C(1) << 41)
#define RAW_SPACE 4112u           /* of a raw unit in an object */

static struct store_map *map;
static struct map_extent gone[LOG_MAX]; /* what the last call reported */
static unsigned gone_n;

static void setup(void)
{
	ck_assert_ok(lsvd_store_map_new(&map));
	gone_n = 0;
}

static void teardown(void)
{
	lsvd_store_map_check(map);
	lsvd_store_map_free(map);
}

static void log_gone(void *ctx, const struct map_extent *e)
{
	ck_assert_ptr_eq(ctx, &gone_n);
	ck_assert_uint_lt(gone_n, LOG_MAX);
	gone[gone_n++] = *e;
}

/* lba, len, object, off, sub of an extent of each kind */
#define RAW(lba, len, object, off, sub) { lba, len, off, object, sub, MAP_RAW }
#define UNIT(lba, len, object, off, sub) { lba, len, off, object, sub, MAP_UNIT }
#define ZERO(lba, len) { lba, len, 0, 0, 0, MAP_ZERO }
#define ONE(extent) (&(const struct map_extent)extent)

static void put(const struct map_extent *e)
{
	gone_n = 0;
	ck_assert_ok(lsvd_store_map_insert(map, e, log_gone, &gone_n));
	lsvd_store_map_check(map);
}

static void cut(uint64_t lba, uint64_t len)
{
	gone_n = 0;
	ck_assert_ok(lsvd_store_map_remove(map, lba, len, log_gone, &gone_n));
	lsvd_store_map_check(map);
}

/* For many at a time: nothing is reported, the map is checked at the end of the test. */
static void add(const struct map_extent *e)
{
	ck_assert_ok(lsvd_store_map_insert(map, e, NULL, NULL));
}

static void assert_extent(const struct map_extent *e, const struct map_extent *expected)
{
	ck_assert_uint_eq(e->lba, expected->lba);
	ck_assert_uint_eq(e->len, expected->len);
	ck_assert_uint_eq(e->object, expected->object);
	ck_assert_uint_eq(e->off, expected->off);
	ck_assert_uint_eq(e->sub, expected->sub);
	ck_assert_uint_eq(e->kind, expected->kind);
}

static void assert_map(const struct map_extent *expected, unsigned n)
{
	struct map_extent e = { .lba = 0 };

	for (unsigned i = 0; i < n; i++) {
		ck_assert_msg(lsvd_store_map_find(map, e.lba + e.len, &e), "only %u of %u extents",
			      i, n);
		assert_extent(&e, &expected[i]);
	}
	ck_assert_msg(!lsvd_store_map_find(map, e.lba + e.len, &e),
		      "an extent too many, at %" PRIu64, e.lba);
	ck_assert_uint_eq(lsvd_store_map_extents(map), n);
}

static void assert_gone(const struct map_extent *expected, unsigned n)
{
	ck_assert_uint_eq(gone_n, n);
	for (unsigned i = 0; i < n; i++)
		assert_extent(&gone[i], &expected[i]);
}

/* The whole map, or all that the last call reported, is that list and nothing else. */
#define LIST(...) ((const struct map_extent[]){ __VA_ARGS__ })
#define LENGTH(...) (unsigned)(sizeof(LIST(__VA_ARGS__)) / sizeof(struct map_extent))
#define assert_map_is(...) assert_map(LIST(__VA_ARGS__), LENGTH(__VA_ARGS__))
#define assert_gone_is(...) assert_gone(LIST(__VA_ARGS__), LENGTH(__VA_ARGS__))
#define assert_nothing_gone() assert_gone(NULL, 0)
#define assert_map_is_empty() assert_map(NULL, 0)

/* ------------------------------------------------------------------------------------- cutting */

START_TEST(a_row_of_raw_units_advances_from_unit_to_unit)
{
	struct map_extent row = RAW(100, 30, 7, 160, 3), e;

	e = lsvd_map_extent_advance(&row, 0);
	assert_extent(&e, &row);
	e = lsvd_map_extent_advance(&row, 4);
	assert_extent(&e, ONE(RAW(104, 26, 7, 160, 7)));
	e = lsvd_map_extent_advance(&row, 5);
	assert_extent(&e, ONE(RAW(105, 25, 7, 160 + RAW_SPACE, 0)));
	e = lsvd_map_extent_advance(&row, 29);
	assert_extent(&e, ONE(RAW(129, 1, 7, 160 + 4 * RAW_SPACE, 0)));
}
END_TEST

START_TEST(a_compressed_unit_advances_within_itself)
{
	struct map_extent unit = UNIT(100, 32, 7, 160, 90), e;

	e = lsvd_map_extent_advance(&unit, 31);
	assert_extent(&e, ONE(UNIT(131, 1, 7, 160, 121)));
}
END_TEST

START_TEST(zeroes_advance_to_zeroes)
{
	struct map_extent zero = ZERO(100, 4000000000u), e;

	e = lsvd_map_extent_advance(&zero, 3999999999u);
	assert_extent(&e, ONE(ZERO(4000000099u, 1)));
}
END_TEST

START_TEST(advancing_twice_is_advancing_by_the_sum)
{
	struct map_extent row = RAW(0, 400, 7, 4096, 5), once, twice;

	for (uint32_t a = 0; a < 40; a++)
		for (uint32_t b = 0; b < 40; b++) {
			once = lsvd_map_extent_advance(&row, a + b);
			twice = lsvd_map_extent_advance(&row, a);
			twice = lsvd_map_extent_advance(&twice, b);
			assert_extent(&twice, &once);
		}
}
END_TEST

/* ------------------------------------------------------------------------------------ covering */

START_TEST(an_empty_map_finds_nothing)
{
	struct map_extent e;

	ck_assert(!lsvd_store_map_find(map, 0, &e));
	ck_assert(!lsvd_store_map_find(map, UINT64_MAX, &e));
	cut(0, PIB_SECTORS);
	assert_nothing_gone();
	assert_map_is_empty();
}
END_TEST

START_TEST(an_insert_beside_an_extent_leaves_it_alone)
{
	put(ONE(RAW(47, 5, 1, 16, 0)));
	put(ONE(UNIT(1, 10, 2, 32, 0)));
	assert_nothing_gone();
	put(ONE(ZERO(60, 10)));
	assert_nothing_gone();
	assert_map_is(UNIT(1, 10, 2, 32, 0), RAW(47, 5, 1, 16, 0), ZERO(60, 10));
}
END_TEST

START_TEST(overwrite_inside_an_extent_divides_it)
{
	put(ONE(RAW(0, 96, 1, 16, 0)));
	put(ONE(UNIT(40, 20, 2, 32, 0)));
	assert_gone_is(RAW(40, 20, 1, 16 + 5 * RAW_SPACE, 0));
	assert_map_is(RAW(0, 40, 1, 16, 0), UNIT(40, 20, 2, 32, 0),
		      RAW(60, 36, 1, 16 + 7 * RAW_SPACE, 4));
}
END_TEST

START_TEST(overwrite_wipes_a_smaller_extent)
{
	put(ONE(RAW(10, 5, 1, 16, 0)));
	put(ONE(RAW(0, 50, 2, 32, 0)));
	assert_gone_is(RAW(10, 5, 1, 16, 0));
	assert_map_is(RAW(0, 50, 2, 32, 0));
}
END_TEST

START_TEST(overwrite_trims_the_end_of_the_extent_before)
{
	put(ONE(UNIT(0, 20, 1, 16, 0)));
	put(ONE(UNIT(15, 20, 2, 32, 0)));
	assert_gone_is(UNIT(15, 5, 1, 16, 15));
	assert_map_is(UNIT(0, 15, 1, 16, 0), UNIT(15, 20, 2, 32, 0));
}
END_TEST

START_TEST(overwrite_trims_the_beginning_of_the_extent_after)
{
	put(ONE(UNIT(20, 20, 1, 16, 0)));
	put(ONE(UNIT(10, 15, 2, 32, 0)));
	assert_gone_is(UNIT(20, 5, 1, 16, 0));
	assert_map_is(UNIT(10, 15, 2, 32, 0), UNIT(25, 15, 1, 16, 5));
}
END_TEST

START_TEST(overwrite_that_ends_where_the_extent_ends_leaves_its_beginning)
{
	put(ONE(RAW(16, 16, 1, 16, 0)));
	put(ONE(RAW(24, 8, 2, 32, 0)));
	assert_gone_is(RAW(24, 8, 1, 16 + RAW_SPACE, 0));
	assert_map_is(RAW(16, 8, 1, 16, 0), RAW(24, 8, 2, 32, 0));
}
END_TEST

START_TEST(a_larger_overwrite_from_the_same_start_removes_the_extent)
{
	put(ONE(RAW(16, 8, 1, 16, 0)));
	put(ONE(RAW(16, 16, 2, 32, 0)));
	assert_gone_is(RAW(16, 8, 1, 16, 0));
	assert_map_is(RAW(16, 16, 2, 32, 0));
}
END_TEST

START_TEST(adjacent_extents_are_neither_removed_nor_joined)
{
	put(ONE(RAW(0, 8, 1, 16, 0)));
	put(ONE(RAW(16, 8, 1, 16 + 2 * RAW_SPACE, 0)));
	put(ONE(RAW(8, 8, 1, 16 + RAW_SPACE, 0)));
	assert_nothing_gone();
	put(ONE(RAW(8, 8, 1, 16 + RAW_SPACE, 0)));
	assert_gone_is(RAW(8, 8, 1, 16 + RAW_SPACE, 0));
	assert_map_is(RAW(0, 8, 1, 16, 0), RAW(8, 8, 1, 16 + RAW_SPACE, 0),
		      RAW(16, 8, 1, 16 + 2 * RAW_SPACE, 0));
}
END_TEST

START_TEST(one_overwrite_removes_many_extents_and_trims_both_outer_ones)
{
	for (uint32_t i = 0; i < 300; i++)
		add(ONE(UNIT(i * 4, 4, 1 + i, 16, 0)));
	put(ONE(RAW(2, 1195, 9000, 32, 0)));
	ck_assert_uint_eq(gone_n, 300);
	assert_extent(&gone[0], ONE(UNIT(2, 2, 1, 16, 2)));
	assert_extent(&gone[150], ONE(UNIT(600, 4, 151, 16, 0)));
	assert_extent(&gone[299], ONE(UNIT(1196, 1, 300, 16, 0)));
	assert_map_is(UNIT(0, 2, 1, 16, 0), RAW(2, 1195, 9000, 32, 0),
		      UNIT(1197, 3, 300, 16, 1));
}
END_TEST

START_TEST(what_goes_away_is_reported_once_cut_to_the_range_and_in_order)
{
	put(ONE(RAW(0, 10, 1, 16, 0)));
	put(ONE(ZERO(10, 10)));
	put(ONE(UNIT(25, 10, 2, 32, 50)));
	cut(5, 25);
	assert_gone_is(RAW(5, 5, 1, 16, 5), ZERO(10, 10), UNIT(25, 5, 2, 32, 50));
	assert_map_is(RAW(0, 5, 1, 16, 0), UNIT(30, 5, 2, 32, 55));
}
END_TEST

START_TEST(removing_a_part_leaves_the_rest)
{
	put(ONE(UNIT(0, 100, 1, 16, 0)));
	cut(60, 10);
	cut(20, 10);
	cut(25, 10);
	assert_gone_is(UNIT(30, 5, 1, 16, 30));
	cut(95, 100);
	assert_map_is(UNIT(0, 20, 1, 16, 0), UNIT(35, 25, 1, 16, 35), UNIT(70, 25, 1, 16, 70));
	cut(0, 100);
	ck_assert_uint_eq(gone_n, 3);
	assert_map_is_empty();
}
END_TEST

START_TEST(removing_where_nothing_is_does_nothing)
{
	put(ONE(RAW(10, 10, 1, 16, 0)));
	lsvd_store_map_page_clean(map, 0);
	cut(0, 10);
	cut(20, PAGE);
	assert_nothing_gone();
	ck_assert(!lsvd_store_map_page_dirty(map, 0));
	ck_assert(!lsvd_store_map_page_dirty(map, 1));
	assert_map_is(RAW(10, 10, 1, 16, 0));
}
END_TEST

START_TEST(find_gives_the_extent_that_covers_the_address_or_the_next)
{
	struct map_extent e;

	put(ONE(RAW(10, 10, 1, 16, 0)));
	put(ONE(RAW(5 * PAGE + 7, 10, 2, 32, 0)));
	ck_assert(lsvd_store_map_find(map, 19, &e));
	assert_extent(&e, ONE(RAW(10, 10, 1, 16, 0)));
	ck_assert(lsvd_store_map_find(map, 20, &e));
	assert_extent(&e, ONE(RAW(5 * PAGE + 7, 10, 2, 32, 0)));
	ck_assert(!lsvd_store_map_find(map, 5 * PAGE + 17, &e));
}
END_TEST

START_TEST(a_callback_is_not_needed)
{
	add(ONE(RAW(0, 16, 1, 16, 0)));
	add(ONE(RAW(4, 8, 2, 32, 0)));
	ck_assert_ok(lsvd_store_map_remove(map, 6, 2, NULL, NULL));
	ck_assert_uint_eq(lsvd_store_map_extents(map), 4);
}
END_TEST

/* -------------------------------------------------------------------------- values of all sizes */

START_TEST(the_largest_values_survive)
{
	uint64_t object = (UINT64_C(1) << 40) - 1;
	uint32_t off = (1u << 27) - 16;

	put(ONE(UNIT(0, 1, object, off, 127)));
	put(ONE(RAW(PAGE - 1, 1, 1, 0, 7)));
	put(ONE(UNIT(8, 128, object, 0, 0)));
	assert_map_is(UNIT(0, 1, object, off, 127), UNIT(8, 128, object, 0, 0),
		      RAW(PAGE - 1, 1, 1, 0, 7));
}
END_TEST

START_TEST(a_place_out_of_bounds_is_refused_and_named)
{
	static const struct map_extent bad[] = {
		RAW(8, 0, 1, 16, 0),
		RAW(UINT64_MAX - 8, 9, 1, 16, 0),
		RAW(8, 8, 0, 16, 0),
		RAW(8, 8, UINT64_C(1) << 40, 16, 0),
		RAW(8, 8, 1, 24, 0),
		RAW(8, 8, 1, 1u << 27, 0),
		RAW(8, 8, 1, 16, 8),
		RAW(8, 9, 1, (1u << 27) - RAW_SPACE, 0),
		RAW(8, UINT32_MAX, 1, 16, 0),
		UNIT(8, 129, 1, 16, 0),
		UNIT(8, 2, 1, 16, 127),
		{ 8, 8, 0, 1, 0, MAP_ZERO },
		{ 8, 8, 16, 0, 0, MAP_ZERO },
		{ 8, 8, 0, 0, 1, MAP_ZERO },
		{ 8, 8, 16, 1, 0, 3 },
	};

	for (unsigned i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		ck_assert_err(lsvd_store_map_insert(map, &bad[i], NULL, NULL), -EINVAL);
		ck_assert_error_says("out of bounds");
	}
	ck_assert_error_says("map extent 8 +8: kind 3, object 1, offset 16, sub 0");
	assert_map_is_empty();
}
END_TEST

/* A dense page meets, one after the other, everything that does not fit it. */
START_TEST(a_page_of_blocks_takes_whatever_comes)
{
	static const struct map_extent odd[] = {
		UNIT(8 * 500, 8, 3000, 16, 0),  UNIT(8 * 501, 8, 3000, 16, 120),
		ZERO(8 * 502, 8),               RAW(8 * 503, 8, 5000000, 16, 0),
		RAW(8 * 504, 8, 1, 16, 0),      RAW(8 * 505, 8, 7, (1u << 27) - 16, 0),
		RAW(8 * 506, 8, 7, 16, 5),      RAW(8 * 507, 16, 9, 16, 0),
		RAW(8 * 510 + 3, 1, 9, 32, 0),  RAW(8 * 512 + 4, 8, 10, 32, 0),
	};
	struct map_extent e;

	for (uint32_t i = 0; i < 1024; i++)
		add(ONE(RAW(i * 8, 8, 2000 + i, i * RAW_SPACE, 0)));
	for (unsigned i = 0; i < sizeof(odd) / sizeof(*odd); i++) {
		put(&odd[i]);
		ck_assert(lsvd_store_map_find(map, odd[i].lba, &e));
		assert_extent(&e, &odd[i]);
	}
	ck_assert(lsvd_store_map_find(map, 8 * 511, &e));
	assert_extent(&e, ONE(RAW(8 * 511, 8, 2511, 511 * RAW_SPACE, 0)));
	ck_assert(lsvd_store_map_find(map, 8 * 510 + 4, &e));
	assert_extent(&e, ONE(RAW(8 * 510 + 4, 4, 2510, 510 * RAW_SPACE, 4)));
	cut(0, PAGE);
	ck_assert_uint_eq(gone_n, 1024 - 1 + 2 + 1);
}
END_TEST

START_TEST(a_page_of_blocks_is_emptied_block_by_block)
{
	struct map_extent e;

	for (uint32_t i = 0; i < 1024; i++)
		add(ONE(RAW(i * 8, 8, 2000 + i, i * RAW_SPACE, 0)));
	for (uint32_t i = 0; i < 1024; i++) {
		uint32_t block = i * 389 % 1024;

		cut(block * 8, 8);
		assert_gone_is(RAW(block * 8, 8, 2000 + block, block * RAW_SPACE, 0));
		ck_assert_uint_eq(lsvd_store_map_extents(map), 1023 - i);
		ck_assert(!lsvd_store_map_find(map, block * 8, &e) || e.lba > block * 8);
	}
	assert_map_is_empty();
}
END_TEST

START_TEST(a_page_of_single_sectors_holds_8192)
{
	for (uint32_t i = 0; i < PAGE; i++)
		add(ONE(UNIT(i * 4099 % PAGE, 1, 1 + i, i * 16, i % 128)));
	ck_assert_uint_eq(lsvd_store_map_extents(map), PAGE);
	lsvd_store_map_check(map);
	cut(0, PAGE);
	ck_assert_uint_eq(gone_n, PAGE);
}
END_TEST

/* ----------------------------------------------------------------------------- page boundaries */

START_TEST(an_extent_over_a_page_boundary_is_cut_there)
{
	put(ONE(RAW(PAGE - 12, 24, 1, 16, 2)));
	assert_map_is(RAW(PAGE - 12, 12, 1, 16, 2), RAW(PAGE, 12, 1, 16 + RAW_SPACE, 6));
	put(ONE(ZERO(PAGE - 4, 8)));
	assert_gone_is(RAW(PAGE - 4, 4, 1, 16 + RAW_SPACE, 2),
		       RAW(PAGE, 4, 1, 16 + RAW_SPACE, 6));
}
END_TEST

START_TEST(a_compressed_unit_over_a_page_boundary_is_cut_there)
{
	put(ONE(UNIT(PAGE - 1, 128, 1, 16, 0)));
	assert_map_is(UNIT(PAGE - 1, 1, 1, 16, 0), UNIT(PAGE, 127, 1, 16, 1));
}
END_TEST

START_TEST(a_long_extent_fills_whole_pages)
{
	put(ONE(RAW(8, 3 * PAGE, 5, 0, 0)));
	assert_map_is(RAW(8, PAGE - 8, 5, 0, 0), RAW(PAGE, PAGE, 5, 1023 * RAW_SPACE, 0),
		      RAW(2 * PAGE, PAGE, 5, 2047 * RAW_SPACE, 0),
		      RAW(3 * PAGE, 8, 5, 3071 * RAW_SPACE, 0));
	cut(PAGE, PAGE);
	assert_gone_is(RAW(PAGE, PAGE, 5, 1023 * RAW_SPACE, 0));
	ck_assert(!lsvd_store_map_page_present(map, 1));
	ck_assert(lsvd_store_map_page_present(map, 2));
}
END_TEST

START_TEST(zeroing_a_pib_takes_no_more_than_its_ends)
{
	uint64_t bytes = lsvd_store_map_memory(map), at = 3 * PAGE + 8;
	const uint32_t most = UINT32_C(1) << 30;

	add(ONE(RAW(TIB_SECTORS / 2 + 5, 8, 1, 16, 0)));
	add(ONE(ZERO(at, PAGE - 8)));
	for (uint64_t done = PAGE - 8; done < PIB_SECTORS; done += most)
		add(ONE(ZERO(at + done, most)));
	assert_map_is(ZERO(at, PAGE - 8));
	ck_assert_uint_lt(lsvd_store_map_memory(map), bytes + 16384);
}
END_TEST

START_TEST(a_page_zeroed_as_a_whole_is_a_hole)
{
	add(ONE(RAW(0, 3 * PAGE, 1, 0, 0)));
	put(ONE(ZERO(PAGE - 8, 2 * PAGE)));
	assert_map_is(RAW(0, PAGE - 8, 1, 0, 0), ZERO(PAGE - 8, 8), ZERO(2 * PAGE, PAGE - 8),
		      RAW(3 * PAGE - 8, 8, 1, (3 * PAGE - 8) / 8 * RAW_SPACE, 0));
	put(ONE(ZERO(0, 100)));
	assert_gone_is(RAW(0, 100, 1, 0, 0));
}
END_TEST

/* ------------------------------------------------------------------------------- far addresses */

START_TEST(addresses_beyond_16_tib_keep_all_their_bits)
{
	uint64_t at = 16 * TIB_SECTORS;

	put(ONE(RAW(at - 8, 16, 1, 16, 0)));
	put(ONE(RAW(64 * TIB_SECTORS, 8, 2, 32, 0)));
	put(ONE(RAW(0, 8, 3, 48, 0)));
	put(ONE(RAW(PIB_SECTORS - 8, 8, 4, 64, 0)));
	assert_map_is(RAW(0, 8, 3, 48, 0), RAW(at - 8, 8, 1, 16, 0),
		      RAW(at, 8, 1, 16 + RAW_SPACE, 0), RAW(64 * TIB_SECTORS, 8, 2, 32, 0),
		      RAW(PIB_SECTORS - 8, 8, 4, 64, 0));
}
END_TEST

START_TEST(a_lone_page_far_away_costs_little)
{
	uint64_t bytes = lsvd_store_map_memory(map);

	put(ONE(RAW(PIB_SECTORS - 8, 8, 4, 64, 0)));
	ck_assert_uint_lt(lsvd_store_map_memory(map) - bytes, 4096);
	cut(0, PIB_SECTORS);
	lsvd_store_map_page_clean(map, (PIB_SECTORS - 1) / PAGE);
	lsvd_store_map_check(map);
	ck_assert_uint_eq(lsvd_store_map_memory(map), bytes);
}
END_TEST

START_TEST(one_call_removes_a_whole_pib)
{
	for (uint64_t i = 0; i < 1000; i++)
		add(ONE(RAW(i * (PIB_SECTORS / 1000) / 8 * 8, 8, 1 + i, 16, 0)));
	cut(0, PIB_SECTORS);
	ck_assert_uint_eq(gone_n, 1000);
	for (unsigned i = 0; i < 1000; i++)
		ck_assert_uint_eq(gone[i].object, 1 + i);
	assert_map_is_empty();
}
END_TEST

START_TEST(the_last_sector_there_can_be_is_mapped)
{
	put(ONE(RAW(UINT64_MAX - 1, 1, 1, 16, 0)));
	assert_map_is(RAW(UINT64_MAX - 1, 1, 1, 16, 0));
	cut(7, UINT64_MAX);
	assert_gone_is(RAW(UINT64_MAX - 1, 1, 1, 16, 0));
}
END_TEST

/* --------------------------------------------------------------------------- pages, checkpoints */

static void assert_pages(bool dirty_only, const uint64_t *expected, unsigned n)
{
	uint64_t page = 0;

	for (unsigned i = 0; i < n; i++, page++) {
		page = lsvd_store_map_next_page(map, page, dirty_only);
		ck_assert_uint_eq(page, expected[i]);
	}
	ck_assert_uint_eq(lsvd_store_map_next_page(map, page, dirty_only), UINT64_MAX);
}

#define PAGES(...) ((const uint64_t[]){ __VA_ARGS__ })

START_TEST(pages_are_walked_in_order_over_any_gaps)
{
	static const uint64_t pages[] = { 0, 1, 63, 64, 4095, 4096, 300000, 1 << 27 };
	unsigned n = sizeof(pages) / sizeof(*pages);

	for (unsigned i = n; i-- > 0;)
		add(ONE(RAW(pages[i] * PAGE + 8, 8, 1, 16, 0)));
	assert_pages(false, pages, n);
	assert_pages(true, pages, n);
	ck_assert_uint_eq(lsvd_store_map_next_page(map, 65, false), 4095);
	ck_assert_uint_eq(lsvd_store_map_next_page(map, UINT64_MAX, false), UINT64_MAX);
}
END_TEST

START_TEST(a_page_is_dirty_from_its_change_to_its_save)
{
	put(ONE(RAW(0, 8, 1, 16, 0)));
	put(ONE(RAW(100 * PAGE, 8, 1, 32, 0)));
	assert_pages(true, PAGES(0, 100), 2);
	lsvd_store_map_page_clean(map, 0);
	assert_pages(true, PAGES(100), 1);
	lsvd_store_map_page_clean(map, 100);
	assert_pages(true, NULL, 0);
	assert_pages(false, PAGES(0, 100), 2);
	put(ONE(RAW(0, 8, 2, 16, 0)));
	assert_pages(true, PAGES(0), 1);
	ck_assert(lsvd_store_map_page_dirty(map, 0));
	ck_assert(!lsvd_store_map_page_dirty(map, 100));
}
END_TEST

START_TEST(a_page_that_lost_all_its_extents_is_absent_but_dirty_until_saved)
{
	put(ONE(RAW(70 * PAGE, 8, 1, 16, 0)));
	lsvd_store_map_page_clean(map, 70);
	cut(70 * PAGE, PAGE);
	ck_assert(!lsvd_store_map_page_present(map, 70));
	ck_assert(lsvd_store_map_page_dirty(map, 70));
	assert_pages(false, NULL, 0);
	assert_pages(true, PAGES(70), 1);
	lsvd_store_map_page_clean(map, 70);
	lsvd_store_map_check(map);
	assert_pages(true, NULL, 0);
}
END_TEST

START_TEST(a_large_removal_makes_exactly_the_pages_dirty_that_held_something)
{
	put(ONE(RAW(3 * PAGE, 8, 1, 16, 0)));
	put(ONE(RAW(900 * PAGE, 8, 1, 32, 0)));
	put(ONE(RAW(901 * PAGE, 8, 1, 48, 0)));
	for (uint64_t page = 0; page != UINT64_MAX;
	     page = lsvd_store_map_next_page(map, page, true))
		lsvd_store_map_page_clean(map, page);
	cut(0, 901 * PAGE);
	assert_pages(true, PAGES(3, 900), 2);
	assert_pages(false, PAGES(901), 1);
}
END_TEST

START_TEST(cleaning_a_page_that_never_was_does_nothing)
{
	uint64_t bytes = lsvd_store_map_memory(map);

	lsvd_store_map_page_clean(map, 5);
	lsvd_store_map_page_clean(map, UINT64_C(1) << 40);
	ck_assert_uint_eq(lsvd_store_map_memory(map), bytes);
}
END_TEST

/* -------------------------------------------------------------------------------------- memory */

/* A 4 KiB block, and the number of objects written between one block and the next. */
static void add_block(uint64_t block, uint64_t k, uint64_t spread)
{
	add(ONE(RAW(block * 8, 8, 1 + k * spread, 8192 + (uint32_t)(k % 2000) * RAW_SPACE, 0)));
}

START_TEST(scattered_blocks_take_at_most_10_bytes_each)
{
	uint64_t rng = t_seed(), blocks = 1u << 20; /* 4 GiB, one block in 27: 38 a page */

	for (uint64_t k = 0; lsvd_store_map_extents(map) < blocks / 27; k++)
		add_block(t_random_below(&rng, blocks), k, 2);
	ck_assert_uint_le(lsvd_store_map_memory(map), lsvd_store_map_extents(map) * 10);
}
END_TEST

START_TEST(a_dense_region_takes_at_most_5_2_bytes_a_block)
{
	uint64_t rng = t_seed(), blocks = 64 * 1024;

	for (uint64_t k = 0; k < blocks; k++)
		add_block(k, k, 1);
	/* Each block is written again some time, in any of a million objects. */
	for (uint64_t k = 0; k < 4 * blocks; k++)
		add_block(t_random_below(&rng, blocks), k, 4);
	ck_assert_uint_eq(lsvd_store_map_extents(map), blocks);
	ck_assert_uint_le(lsvd_store_map_memory(map), blocks * 52 / 10);
}
END_TEST

START_TEST(memory_is_given_back_when_extents_go)
{
	uint64_t empty = lsvd_store_map_memory(map);

	for (uint64_t k = 0; k < 20000; k++)
		add_block(k * 7, k, 1);
	for (uint64_t i = 0; i < 20; i++)
		cut(i * 64 * PAGE + PAGE, 63 * PAGE);
	ck_assert_uint_lt(lsvd_store_map_memory(map), empty + 20 * 3000);
	cut(0, PIB_SECTORS);
	for (uint64_t page = 0; page != UINT64_MAX;
	     page = lsvd_store_map_next_page(map, page, true))
		lsvd_store_map_page_clean(map, page);
	ck_assert_uint_eq(lsvd_store_map_memory(map), empty);
}
END_TEST

/* ----------------------------------------------------------------------------- against an array */

#define SPACE (3u * PAGE)

struct cell {
	uint64_t object;
	uint32_t off;
	uint16_t sub;
	int16_t kind;              /* -1: not mapped */
};

static struct cell model[SPACE], before[SPACE], reported[SPACE], found[SPACE];

static void wipe(struct cell *cells, uint64_t n)
{
	for (uint64_t i = 0; i < n; i++)
		cells[i] = (struct cell){ .kind = -1 };
}

static void paint(struct cell *cells, const struct map_extent *e)
{
	for (uint32_t i = 0; i < e->len; i++) {
		struct map_extent s = lsvd_map_extent_advance(e, i);

		cells[s.lba] = (struct cell){ s.object, s.off, s.sub, s.kind };
	}
}

static void report_to_model(void *ctx, const struct map_extent *e)
{
	uint64_t *end = ctx;

	ck_assert_uint_ge(e->lba, *end);
	*end = e->lba + e->len;
	paint(reported, e);
}

/* What was reported since `reported` was wiped is what `before` says of the range. */
static void assert_reported(uint64_t lba, uint64_t len)
{
	static struct cell expected[SPACE];

	wipe(expected, SPACE);
	memcpy(expected + lba, before + lba, len * sizeof(*expected));
	ck_assert(memcmp(expected, reported, sizeof(expected)) == 0);
}

static void assert_equals_model(void)
{
	struct map_extent e = { .lba = 0 };
	uint64_t n = 0;

	wipe(found, SPACE);
	for (; lsvd_store_map_find(map, e.lba + e.len, &e); n++)
		paint(found, &e);
	ck_assert(memcmp(found, model, sizeof(found)) == 0);
	ck_assert_uint_eq(n, lsvd_store_map_extents(map));
	lsvd_store_map_check(map);
}

/* What the random calls are like. */
struct mix {
	unsigned removals;         /* of 100 calls */
	uint32_t longest;          /* in units of `align` */
	uint32_t align;            /* of lba and len: 8 for blocks */
	unsigned odd;              /* of 1000 calls: any length, any alignment, any value */
};

static const struct mix mixes[] = {
	{ 12, 1, 8, 0 },    /* blocks: pages become dense */
	{ 12, 1, 8, 10 },   /* and are disturbed */
	{ 70, 1, 8, 5 },    /* and drain */
	{ 20, 16, 1, 0 },   /* short, unaligned */
	{ 30, 3, 1, 100 },
	{ 15, 2000, 8, 20 },
};

static struct map_extent random_extent(uint64_t *rng, const struct mix *mix, uint64_t call)
{
	bool odd = t_random_below(rng, 1000) < mix->odd;
	uint32_t align = odd ? 1 : mix->align;
	uint32_t longest = odd ? 9000 : mix->longest;
	struct map_extent e = { .kind = (uint8_t)t_random_below(rng, 8) };

	e.len = (1 + (uint32_t)t_random_below(rng, longest)) * align;
	e.lba = t_random_below(rng, (SPACE - e.len) / align) * align;
	e.kind = e.kind > 2 || (e.kind == MAP_UNIT && e.len > 128) ? MAP_RAW : e.kind;
	if (e.kind == MAP_ZERO)
		return e;
	e.object = call + 1;
	if (odd && t_random_below(rng, 4) == 0)
		e.object = 1 + t_random_below(rng, 1u << 30);
	e.off = (uint32_t)t_random_below(rng, odd ? 1u << 22 : 1u << 19) * 16;
	if (e.kind == MAP_UNIT && t_random_below(rng, 4) == 0)
		e.sub = (uint16_t)t_random_below(rng, 129 - e.len);
	else if (odd)
		e.sub = (uint16_t)t_random_below(rng,
						 e.kind == MAP_RAW || e.len <= 121 ? 8
										   : 129 - e.len);
	return e;
}

/* Whole pages of zeroes are not mapped. */
static void paint_as_stored(const struct map_extent *e)
{
	uint64_t end = e->lba + e->len;

	paint(model, e);
	for (uint64_t at = 0; at < SPACE; at += PAGE)
		if (e->kind == MAP_ZERO && e->lba <= at && at + PAGE <= end)
			wipe(model + at, PAGE);
}

/* Does what e says to map and model; with `refuse`, first without some of the memory it takes. */
static void call_both(const struct map_extent *e, bool removal, bool refuse)
{
	uint64_t end = 0, k = 0;
	int err;

	memcpy(before, model, sizeof(before));
	wipe(reported, SPACE);
	if (removal)
		wipe(model + e->lba, e->len);
	else
		paint_as_stored(e);
	do {
		if (refuse)
			t_alloc_refuse_at(k++);
		err = removal ? lsvd_store_map_remove(map, e->lba, e->len, report_to_model, &end)
			      : lsvd_store_map_insert(map, e, report_to_model, &end);
		(void)t_alloc_forgive(); /* err says whether it mattered */
		lsvd_store_map_check(map);
		ck_assert(err == 0 || (refuse && err == -ENOMEM));
		/* What was already covered with e is reported again by the repeated call. */
		end = 0;
	} while (err < 0);
	if (k <= 1)
		assert_reported(e->lba, e->len);
}

START_TEST(random_calls_agree_with_an_array_of_sectors)
{
	uint64_t rng = t_seed();

	wipe(model, SPACE);
	for (unsigned i = 0; i < 3000; i++) {
		struct map_extent e = random_extent(&rng, &mixes[_i], i);
		unsigned removals = i / 750 % 2 && _i == 2 ? 5 : mixes[_i].removals;

		call_both(&e, t_random_below(&rng, 100) < removals, false);
		if (i % 20 == 0)
			assert_equals_model();
	}
	assert_equals_model();
}
END_TEST

START_TEST(a_call_refused_memory_leaves_the_map_valid_and_may_be_repeated)
{
	uint64_t rng = t_seed();

	wipe(model, SPACE);
	for (unsigned i = 0; i < 600; i++) {
		struct map_extent e = random_extent(&rng, &mixes[_i], i);

		call_both(&e, t_random_below(&rng, 100) < mixes[_i].removals, true);
		assert_equals_model();
	}
}
END_TEST

START_TEST(a_failed_call_reports_only_what_it_changed)
{
	add(ONE(RAW(0, 2 * PAGE, 1, 0, 0)));
	memset(model, 0, sizeof(model));
	wipe(model, SPACE);
	paint(model, ONE(RAW(0, 2 * PAGE, 1, 0, 0)));
	for (unsigned k = 0;; k++) {
		struct map_extent e = UNIT(PAGE - 2, 4, 9 + k, 160, 0);
		uint64_t end = 0;
		int err;

		memcpy(before, model, sizeof(before));
		wipe(reported, SPACE);
		t_alloc_refuse_at(k);
		err = lsvd_store_map_insert(map, &e, report_to_model, &end);
		(void)t_alloc_forgive(); /* err says whether it mattered */
		if (err == 0)
			break;
		/* Each sector reported is one that holds the new place now. */
		wipe(found, SPACE);
		for (struct map_extent f = { .lba = 0 };
		     lsvd_store_map_find(map, f.lba + f.len, &f);)
			paint(found, &f);
		for (uint64_t i = 0; i < SPACE; i++)
			if ((reported[i].kind >= 0) != (found[i].object == e.object))
				ck_abort_msg("k = %u: sector %" PRIu64, k, i);
		memcpy(model, found, sizeof(model));
	}
}
END_TEST

/* -------------------------------------------------------------------------- pages that are away */

#define OBJECTS 4096u

static uint8_t saved[SPACE / PAGE][STORE_MAP_PAGE_MAX_BYTES];
static size_t saved_len[SPACE / PAGE];
static int64_t counted[OBJECTS];   /* sectors, as whoever is told of what is gone has them */

static void count_off(void *ctx, const struct map_extent *e)
{
	(void)ctx;
	if (e->kind != MAP_ZERO)
		counted[e->object] -= e->len;
}

static void save_page(uint64_t page)
{
	int len = lsvd_store_map_encode_page(map, page, saved[page], sizeof saved[page]);

	ck_assert_int_gt(len, 0);
	saved_len[page] = (size_t)len;
	lsvd_store_map_page_clean(map, page);
}

static int load_page(uint64_t page)
{
	return lsvd_store_map_load_page(map, page, saved[page], saved_len[page], count_off, NULL);
}

static void send_all_away(void)
{
	for (uint64_t page = 0; page < SPACE / PAGE; page++)
		if (lsvd_store_map_page_present(map, page) && lsvd_store_map_page_dirty(map, page))
			save_page(page);
	lsvd_store_map_evict(map, 0);
	ck_assert_uint_eq(lsvd_store_map_clean_memory(map), 0);
	lsvd_store_map_check(map);
}

START_TEST(a_page_sent_away_comes_back_as_it_was)
{
	add(ONE(RAW(16, 8, 1, 16, 0)));
	add(ONE(UNIT(PAGE + 3, 5, 2, 160, 1)));
	send_all_away();
	ck_assert(lsvd_store_map_is_away(map, 0));
	ck_assert_uint_eq(lsvd_store_map_next_page(map, 0, MAP_KNOWN), 0);
	ck_assert_uint_eq(lsvd_store_map_next_page(map, 0, MAP_HERE), UINT64_MAX);
	assert_map_is_empty();
	ck_assert_ok(load_page(1));
	assert_map_is(UNIT(PAGE + 3, 5, 2, 160, 1));
	ck_assert_ok(load_page(0));
	assert_map_is(RAW(16, 8, 1, 16, 0), UNIT(PAGE + 3, 5, 2, 160, 1));
	ck_assert(!lsvd_store_map_page_dirty(map, 0));
	ck_assert_err(load_page(0), -ENOENT);
}
END_TEST

START_TEST(a_change_to_a_page_that_is_away_is_made_and_counted_when_it_comes)
{
	add(ONE(RAW(0, 64, 1, 16, 0)));
	send_all_away();
	put(ONE(RAW(8, 8, 2, 32, 0)));
	cut(8, 4);
	cut(60, 100);
	ck_assert_uint_eq(gone_n, 0);
	ck_assert(lsvd_store_map_page_dirty(map, 0));
	ck_assert_uint_eq(lsvd_store_map_next_page(map, 0, MAP_CHANGED_AWAY), 0);
	gone_n = 0;
	ck_assert_ok(lsvd_store_map_load_page(map, 0, saved[0], saved_len[0], log_gone, &gone_n));
	assert_gone_is(RAW(8, 8, 1, 16 + RAW_SPACE, 0), RAW(8, 4, 2, 32, 0),
		       RAW(60, 4, 1, 16 + 7 * RAW_SPACE, 4));
	assert_map_is(RAW(0, 8, 1, 16, 0), RAW(12, 4, 2, 32, 4),
		      RAW(16, 44, 1, 16 + 2 * RAW_SPACE, 0));
	ck_assert(lsvd_store_map_page_dirty(map, 0));
}
END_TEST

START_TEST(a_swap_in_a_page_that_is_away_takes_only_what_its_source_still_has)
{
	add(ONE(RAW(0, 8, 1, 16, 0)));
	add(ONE(RAW(8, 8, 2, 16, 0)));
	ck_assert_int_eq(lsvd_store_map_swap_later(map, ONE(RAW(0, 24, 9, 16, 0)), 1), 0);
	send_all_away();
	ck_assert_int_eq(lsvd_store_map_swap_later(map, ONE(RAW(0, 24, 9, 16, 0)), 1), 1);
	ck_assert_int_eq(lsvd_store_map_swap_later(map, ONE(RAW(0, 24, 9, 16, 0)), 1), 2);
	gone_n = 0;
	ck_assert_ok(lsvd_store_map_load_page(map, 0, saved[0], saved_len[0], log_gone, &gone_n));
	assert_gone_is(RAW(0, 8, 1, 16, 0), RAW(8, 8, 9, 16 + RAW_SPACE, 0),
		       RAW(16, 8, 9, 16 + 2 * RAW_SPACE, 0));
	assert_map_is(RAW(0, 8, 9, 16, 0), RAW(8, 8, 2, 16, 0));
}
END_TEST

START_TEST(a_page_that_cannot_be_loaded_stays_away_with_its_changes)
{
	uint8_t bad = 77;
	unsigned refused;

	add(ONE(RAW(0, 64, 1, 16, 0)));
	send_all_away();
	put(ONE(RAW(8, 8, 2, 32, 0)));
	ck_assert_err(lsvd_store_map_load_page(map, 0, &bad, 1, log_gone, &gone_n), LSVD_E_CORRUPT);
	for (refused = 0;; refused++) {
		int err;

		t_alloc_refuse_at(refused);
		err = lsvd_store_map_load_page(map, 0, saved[0], saved_len[0], log_gone, &gone_n);
		(void)t_alloc_forgive(); /* err says whether it mattered */
		lsvd_store_map_check(map);
		if (!err)
			break;
		ck_assert_err(err, -ENOMEM);
		ck_assert_uint_eq(gone_n, 0);
		ck_assert(lsvd_store_map_is_away(map, 0));
	}
	ck_assert_uint_gt(refused, 0);
	assert_gone_is(RAW(8, 8, 1, 16 + RAW_SPACE, 0));
}
END_TEST

START_TEST(what_was_used_lately_is_sent_away_last)
{
	struct map_extent e;
	uint64_t page;

	for (page = 0; page < 64; page++) {
		add(ONE(RAW(page * PAGE, 8, 1, 16, 0)));
		lsvd_store_map_page_clean(map, page);
	}
	ck_assert(lsvd_store_map_find(map, 7 * PAGE, &e));
	lsvd_store_map_evict(map, lsvd_store_map_memory(map) - 1);
	ck_assert(lsvd_store_map_is_away(map, 0));
	lsvd_store_map_evict(map, lsvd_store_map_memory(map) -
				  lsvd_store_map_clean_memory(map) / 2);
	ck_assert(lsvd_store_map_page_present(map, 7));
	lsvd_store_map_evict(map, 0);
	ck_assert_uint_eq(lsvd_store_map_next_page(map, 0, MAP_HERE), UINT64_MAX);
	ck_assert_uint_eq(lsvd_store_map_extents(map), 0);
}
END_TEST

/* What garbage collection does where the page is here. */
static void swap_here(const struct map_extent *to, uint64_t source)
{
	struct map_extent e;
	uint64_t at = to->lba, end = to->lba + to->len;

	while (at < end && lsvd_store_map_find(map, at, &e) && e.lba < end) {
		struct map_extent part = *to;
		uint64_t from = e.lba > at ? e.lba : at;
		uint64_t stop = e.lba + e.len < end ? e.lba + e.len : end;

		at = stop;
		if (e.kind == MAP_ZERO || e.object != source)
			continue;
		if (from > to->lba)
			part = lsvd_map_extent_advance(to, (uint32_t)(from - to->lba));
		part.len = (uint32_t)(stop - from);
		ck_assert_ok(lsvd_store_map_insert(map, &part, count_off, NULL));
		counted[to->object] += part.len;
	}
}

static void swap_both(const struct map_extent *e, uint64_t source)
{
	int err = lsvd_store_map_swap_later(map, e, source);

	ck_assert_int_ge(err, 0);
	if (err == 1)
		counted[e->object] += e->len;
	else if (err == 0)
		swap_here(e, source);
	for (uint32_t i = 0; i < e->len; i++)
		if (model[e->lba + i].kind >= 0 && model[e->lba + i].kind != MAP_ZERO &&
		    model[e->lba + i].object == source) {
			struct map_extent s = lsvd_map_extent_advance(e, i);

			s.len = 1;
			paint(model, &s);
		}
}

static void change_both(const struct map_extent *e, bool removal)
{
	if (removal) {
		wipe(model + e->lba, e->len);
		ck_assert_ok(lsvd_store_map_remove(map, e->lba, e->len, count_off, NULL));
		return;
	}
	paint_as_stored(e);
	ck_assert_ok(lsvd_store_map_insert(map, e, count_off, NULL));
	if (e->kind != MAP_ZERO)
		counted[e->object] += e->len;
}

/* One of the objects that some sector of e's range has, or one that none has. */
static uint64_t some_source(uint64_t *rng, const struct map_extent *e)
{
	const struct cell *c = &model[e->lba + t_random_below(rng, e->len)];

	return c->kind >= 0 && c->kind != MAP_ZERO ? c->object : 1;
}

static void come_and_go(uint64_t *rng)
{
	uint64_t page = t_random_below(rng, SPACE / PAGE);

	if (lsvd_store_map_is_away(map, page))
		ck_assert_ok(load_page(page));
	else if (t_random_below(rng, 2))
		send_all_away();
}

static void assert_counts(bool exactly)
{
	static int64_t lives[OBJECTS];

	memset(lives, 0, sizeof lives);
	for (uint64_t i = 0; i < SPACE; i++)
		if (model[i].kind >= 0 && model[i].kind != MAP_ZERO)
			lives[model[i].object]++;
	for (unsigned i = 1; i < OBJECTS; i++)
		if (exactly ? counted[i] != lives[i] : counted[i] < lives[i])
			ck_abort_msg("object %u: counted %" PRId64 ", %" PRId64 " live", i,
				     counted[i], lives[i]);
}

START_TEST(pages_that_come_and_go_at_random_lose_nothing_and_are_counted)
{
	uint64_t rng = t_seed();

	wipe(model, SPACE);
	memset(counted, 0, sizeof counted);
	for (unsigned i = 0; i < 3000; i++) {
		struct map_extent e = random_extent(&rng, &mixes[_i], i);

		if (e.kind != MAP_ZERO)
			e.object = i + 1;
		if (e.kind != MAP_ZERO && t_random_below(&rng, 4) == 0 &&
		    e.lba / PAGE == (e.lba + e.len - 1) / PAGE)
			swap_both(&e, some_source(&rng, &e));
		else
			change_both(&e, t_random_below(&rng, 100) < mixes[_i].removals);
		if (t_random_below(&rng, 10) == 0)
			come_and_go(&rng);
		if (i % 50 == 0)
			assert_counts(false);
		lsvd_store_map_check(map);
	}
	for (uint64_t page = 0; page < SPACE / PAGE; page++)
		if (lsvd_store_map_is_away(map, page))
			ck_assert_ok(load_page(page));
	assert_equals_model();
	assert_counts(true);
}
END_TEST

START_TEST(a_new_map_without_memory_is_refused)
{
	struct store_map *none = NULL;

	for (unsigned k = 0; k < 2; k++) {
		t_alloc_refuse_at(k);
		ck_assert_err(lsvd_store_map_new(&none), -ENOMEM);
		(void)t_alloc_forgive(); /* both were meant to be refused */
		ck_assert_ptr_null(none);
	}
}
END_TEST

START_TEST(a_far_page_refused_memory_leaves_no_trace)
{
	uint64_t bytes;

	put(ONE(RAW(0, 8, 1, 16, 0)));
	bytes = lsvd_store_map_memory(map);
	for (unsigned k = 0; k < 5; k++) {
		t_alloc_refuse_at(k);
		ck_assert_err(lsvd_store_map_insert(map, ONE(RAW(PIB_SECTORS - 8, 8, 4, 64, 0)),
						    NULL, NULL),
			      -ENOMEM);
		ck_assert_uint_gt(t_alloc_forgive(), 0);
		lsvd_store_map_check(map);
		assert_map_is(RAW(0, 8, 1, 16, 0));
	}
	/* The tree may have become higher: a node a level, no more. */
	ck_assert_uint_le(lsvd_store_map_memory(map), bytes + 4 * 560);
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

static void add_covering(TCase *cutting, TCase *c)
{
	tcase_add_test(cutting, a_row_of_raw_units_advances_from_unit_to_unit);
	tcase_add_test(cutting, a_compressed_unit_advances_within_itself);
	tcase_add_test(cutting, zeroes_advance_to_zeroes);
	tcase_add_test(cutting, advancing_twice_is_advancing_by_the_sum);
	tcase_add_test(c, an_empty_map_finds_nothing);
	tcase_add_test(c, an_insert_beside_an_extent_leaves_it_alone);
	tcase_add_test(c, overwrite_inside_an_extent_divides_it);
	tcase_add_test(c, overwrite_wipes_a_smaller_extent);
	tcase_add_test(c, overwrite_trims_the_end_of_the_extent_before);
	tcase_add_test(c, overwrite_trims_the_beginning_of_the_extent_after);
	tcase_add_test(c, overwrite_that_ends_where_the_extent_ends_leaves_its_beginning);
	tcase_add_test(c, a_larger_overwrite_from_the_same_start_removes_the_extent);
	tcase_add_test(c, adjacent_extents_are_neither_removed_nor_joined);
	tcase_add_test(c, one_overwrite_removes_many_extents_and_trims_both_outer_ones);
	tcase_add_test(c, what_goes_away_is_reported_once_cut_to_the_range_and_in_order);
	tcase_add_test(c, removing_a_part_leaves_the_rest);
	tcase_add_test(c, removing_where_nothing_is_does_nothing);
	tcase_add_test(c, find_gives_the_extent_that_covers_the_address_or_the_next);
	tcase_add_test(c, a_callback_is_not_needed);
}

static void add_pages(TCase *values, TCase *bounds, TCase *far, TCase *pages)
{
	tcase_add_test(values, the_largest_values_survive);
	tcase_add_test(values, a_place_out_of_bounds_is_refused_and_named);
	tcase_add_test(values, a_page_of_blocks_takes_whatever_comes);
	tcase_add_test(values, a_page_of_blocks_is_emptied_block_by_block);
	tcase_add_test(values, a_page_of_single_sectors_holds_8192);
	tcase_add_test(bounds, an_extent_over_a_page_boundary_is_cut_there);
	tcase_add_test(bounds, a_compressed_unit_over_a_page_boundary_is_cut_there);
	tcase_add_test(bounds, a_long_extent_fills_whole_pages);
	tcase_add_test(bounds, zeroing_a_pib_takes_no_more_than_its_ends);
	tcase_add_test(bounds, a_page_zeroed_as_a_whole_is_a_hole);
	tcase_add_test(far, addresses_beyond_16_tib_keep_all_their_bits);
	tcase_add_test(far, a_lone_page_far_away_costs_little);
	tcase_add_test(far, one_call_removes_a_whole_pib);
	tcase_add_test(far, the_last_sector_there_can_be_is_mapped);
	tcase_add_test(pages, pages_are_walked_in_order_over_any_gaps);
	tcase_add_test(pages, a_page_is_dirty_from_its_change_to_its_save);
	tcase_add_test(pages, a_page_that_lost_all_its_extents_is_absent_but_dirty_until_saved);
	tcase_add_test(pages,
		       a_large_removal_makes_exactly_the_pages_dirty_that_held_something);
	tcase_add_test(pages, cleaning_a_page_that_never_was_does_nothing);
}

static void add_away(TCase *c, int n)
{
	tcase_add_test(c, a_page_sent_away_comes_back_as_it_was);
	tcase_add_test(c, a_change_to_a_page_that_is_away_is_made_and_counted_when_it_comes);
	tcase_add_test(c, a_swap_in_a_page_that_is_away_takes_only_what_its_source_still_has);
	tcase_add_test(c, a_page_that_cannot_be_loaded_stays_away_with_its_changes);
	tcase_add_test(c, what_was_used_lately_is_sent_away_last);
	tcase_add_loop_test(c, pages_that_come_and_go_at_random_lose_nothing_and_are_counted, 0, n);
}

static Suite *make_suite(void)
{
	Suite *s = suite_create("map_store");
	TCase *cutting = new_case(s, "cutting"), *values, *bounds, *far, *memory, *random;
	int n = sizeof(mixes) / sizeof(*mixes);

	add_covering(cutting, new_case(s, "covering"));
	values = new_case(s, "values");
	bounds = new_case(s, "page boundaries");
	far = new_case(s, "far addresses");
	add_pages(values, bounds, far, new_case(s, "pages"));
	memory = new_case(s, "memory");
	tcase_add_test(memory, scattered_blocks_take_at_most_10_bytes_each);
	tcase_add_test(memory, a_dense_region_takes_at_most_5_2_bytes_a_block);
	tcase_add_test(memory, memory_is_given_back_when_extents_go);
	tcase_add_test(memory, a_failed_call_reports_only_what_it_changed);
	tcase_add_test(memory, a_new_map_without_memory_is_refused);
	tcase_add_test(memory, a_far_page_refused_memory_leaves_no_trace);
	random = new_case(s, "random calls");
	add_away(new_case(s, "away"), n);
	tcase_add_loop_test(random, random_calls_agree_with_an_array_of_sectors, 0, n);
	tcase_add_loop_test(random,
			    a_call_refused_memory_leaves_the_map_valid_and_may_be_repeated, 0, n);
	return s;
}

T_MAIN(make_suite)

/* SPDX-License-Identifier: BSD-2-Clause */
/* test_map_extent.c - the overlay's index: what an insert covers, cuts, divides and reports. */
#include "map/extent_map.h"

#include "t_alloc.h"
#include "t_check.h"

#define LOG_MAX 65536
#define TIB_SECTORS (UINT64_C(1) << 31)
#define PIB_SECTORS (UINT64_C(1) << 41)

static struct extent_map *map;
static struct extent gone[LOG_MAX]; /* what the last call reported */
static unsigned gone_n;

static void setup(void)
{
	ck_assert_ok(lsvd_extent_map_new(&map));
	gone_n = 0;
}

static void teardown(void)
{
	lsvd_extent_map_check(map);
	lsvd_extent_map_free(map);
}

static void log_gone(void *ctx, const struct extent *e)
{
	ck_assert_ptr_eq(ctx, &gone_n);
	ck_assert_uint_lt(gone_n, LOG_MAX);
	gone[gone_n++] = *e;
}

/* For many at a time: nothing is reported, the map is checked at the end of the test. */
static void add(uint64_t lba, uint64_t len, uint64_t value)
{
	struct extent e = { lba, len, value, EXTENT_DATA };

	ck_assert_ok(lsvd_extent_map_reserve(map, 1));
	lsvd_extent_map_insert(map, &e, NULL, NULL);
}

static void put_kind(uint64_t lba, uint64_t len, uint64_t value, enum extent_kind kind)
{
	struct extent e = { lba, len, value, kind };

	ck_assert_ok(lsvd_extent_map_reserve(map, 1));
	gone_n = 0;
	lsvd_extent_map_insert(map, &e, log_gone, &gone_n);
	lsvd_extent_map_check(map);
}

static void put(uint64_t lba, uint64_t len, uint64_t value)
{
	put_kind(lba, len, value, EXTENT_DATA);
}

static void cut(uint64_t lba, uint64_t len)
{
	ck_assert_ok(lsvd_extent_map_reserve(map, 1));
	gone_n = 0;
	lsvd_extent_map_remove(map, lba, len, log_gone, &gone_n);
	lsvd_extent_map_check(map);
}

static void assert_extent(const struct extent *e, const struct extent *expected)
{
	ck_assert_uint_eq(e->lba, expected->lba);
	ck_assert_uint_eq(e->len, expected->len);
	ck_assert_uint_eq(e->value, expected->value);
	ck_assert_int_eq(e->kind, expected->kind);
}

static void assert_map(const struct extent *expected, unsigned n)
{
	struct extent e;
	uint64_t at = 0;

	for (unsigned i = 0; i < n; i++) {
		ck_assert_msg(lsvd_extent_map_find(map, at, &e), "only %u of %u entries", i, n);
		assert_extent(&e, &expected[i]);
		at = e.lba + e.len;
	}
	ck_assert_msg(!lsvd_extent_map_find(map, at, &e), "an entry too many, at %" PRIu64, e.lba);
	ck_assert_uint_eq(lsvd_extent_map_count(map), n);
}

static void assert_gone(const struct extent *expected, unsigned n)
{
	ck_assert_uint_eq(gone_n, n);
	for (unsigned i = 0; i < n; i++)
		assert_extent(&gone[i], &expected[i]);
}

#define DATA(lba, len, value) { lba, len, value, EXTENT_DATA }
#define ZEROES(lba, len, value) { lba, len, value, EXTENT_ZERO }
#define HOLES(lba, len, value) { lba, len, value, EXTENT_HOLE }

/* The whole map, or all that the last call reported, is that list and nothing else. */
#define LIST(...) ((const struct extent[]){ __VA_ARGS__ })
#define LENGTH(...) (unsigned)(sizeof(LIST(__VA_ARGS__)) / sizeof(struct extent))
#define assert_map_is(...) assert_map(LIST(__VA_ARGS__), LENGTH(__VA_ARGS__))
#define assert_gone_is(...) assert_gone(LIST(__VA_ARGS__), LENGTH(__VA_ARGS__))
#define assert_nothing_gone() assert_gone(NULL, 0)

/* ------------------------------------------------------------------------------------ covering */

START_TEST(an_empty_map_finds_nothing)
{
	struct extent e;

	ck_assert(!lsvd_extent_map_find(map, 0, &e));
	ck_assert(!lsvd_extent_map_find(map, UINT64_MAX, &e));
	cut(0, PIB_SECTORS);
	assert_nothing_gone();
	ck_assert_uint_eq(lsvd_extent_map_count(map), 0);
}
END_TEST

START_TEST(an_insert_before_an_entry_leaves_it_alone)
{
	put(47, 5, 1000);
	put(1, 10, 2000);
	assert_nothing_gone();
	assert_map_is(DATA(1, 10, 2000), DATA(47, 5, 1000));
}
END_TEST

START_TEST(an_insert_after_an_entry_leaves_it_alone)
{
	put(1, 10, 2000);
	put(47, 5, 1000);
	assert_nothing_gone();
	assert_map_is(DATA(1, 10, 2000), DATA(47, 5, 1000));
}
END_TEST

START_TEST(overwrite_inside_an_entry_divides_it)
{
	put(0, 100, 5000);
	put(40, 20, 9000);
	assert_gone_is(DATA(40, 20, 5040));
	assert_map_is(DATA(0, 40, 5000), DATA(40, 20, 9000), DATA(60, 40, 5060));
}
END_TEST

START_TEST(overwrite_wipes_a_smaller_entry)
{
	put(10, 5, 100);
	put(0, 50, 900);
	assert_gone_is(DATA(10, 5, 100));
	assert_map_is(DATA(0, 50, 900));
}
END_TEST

START_TEST(overwrite_trims_the_end_of_the_entry_before)
{
	put(0, 20, 100);
	put(15, 20, 900);
	assert_gone_is(DATA(15, 5, 115));
	assert_map_is(DATA(0, 15, 100), DATA(15, 20, 900));
}
END_TEST

START_TEST(overwrite_trims_the_beginning_of_the_entry_after)
{
	put(20, 20, 100);
	put(10, 15, 900);
	assert_gone_is(DATA(20, 5, 100));
	assert_map_is(DATA(10, 15, 900), DATA(25, 15, 105));
}
END_TEST

START_TEST(overwrite_that_ends_where_the_entry_ends_leaves_its_beginning)
{
	put(20, 20, 100);
	put(30, 10, 900);
	assert_gone_is(DATA(30, 10, 110));
	assert_map_is(DATA(20, 10, 100), DATA(30, 10, 900));
}
END_TEST

START_TEST(overwrite_that_begins_where_the_entry_begins_leaves_its_end)
{
	put(20, 20, 100);
	put(20, 8, 900);
	assert_gone_is(DATA(20, 8, 100));
	assert_map_is(DATA(20, 8, 900), DATA(28, 12, 108));
}
END_TEST

START_TEST(a_larger_overwrite_from_the_same_start_removes_the_entry)
{
	put(20, 8, 100);
	put(20, 20, 900);
	assert_gone_is(DATA(20, 8, 100));
	assert_map_is(DATA(20, 20, 900));
}
END_TEST

START_TEST(overwrite_of_exactly_an_entry_replaces_it)
{
	put(20, 8, 100);
	put(20, 8, 900);
	assert_gone_is(DATA(20, 8, 100));
	assert_map_is(DATA(20, 8, 900));
}
END_TEST

START_TEST(overwrite_of_an_end_and_more_removes_it_and_trims_the_next)
{
	put(0, 10, 100);
	put(10, 10, 200);
	put(5, 10, 900);
	assert_gone_is(DATA(5, 5, 105), DATA(10, 5, 200));
	assert_map_is(DATA(0, 5, 100), DATA(5, 10, 900), DATA(15, 5, 205));
}
END_TEST

START_TEST(adjacent_entries_are_neither_removed_nor_joined)
{
	put(0, 10, 100);
	put(20, 10, 120);
	put(10, 10, 110);
	assert_nothing_gone();
	assert_map_is(DATA(0, 10, 100), DATA(10, 10, 110), DATA(20, 10, 120));
}
END_TEST

START_TEST(the_same_insert_again_reports_itself_and_changes_nothing)
{
	put(0, 10, 100);
	put(10, 10, 110);
	put(10, 10, 110);
	assert_gone_is(DATA(10, 10, 110));
	assert_map_is(DATA(0, 10, 100), DATA(10, 10, 110));
}
END_TEST

START_TEST(one_overwrite_removes_many_entries)
{
	for (uint64_t i = 0; i < 500; i++)
		add(i * 4, 3, i);
	put(0, 2000, 9000);
	ck_assert_uint_eq(gone_n, 500);
	for (unsigned i = 0; i < 500; i++)
		assert_extent(&gone[i], LIST(DATA(i * 4u, 3, i)));
	assert_map_is(DATA(0, 2000, 9000));
}
END_TEST

START_TEST(one_overwrite_removes_many_entries_and_trims_both_outer_ones)
{
	for (uint64_t i = 0; i < 300; i++)
		add(i * 4, 4, i * 100);
	put(2, 1195, 90000);
	ck_assert_uint_eq(gone_n, 300);
	assert_extent(&gone[0], LIST(DATA(2, 2, 2)));
	assert_extent(&gone[299], LIST(DATA(1196, 1, 29900)));
	assert_map_is(DATA(0, 2, 0), DATA(2, 1195, 90000), DATA(1197, 3, 29901));
}
END_TEST

START_TEST(what_goes_away_is_reported_once_cut_to_the_range_and_in_order)
{
	put(0, 10, 100);
	put_kind(10, 10, 7, EXTENT_ZERO);
	put(25, 10, 200);
	put_kind(35, 10, 8, EXTENT_HOLE);
	cut(5, 35);
	assert_gone_is(DATA(5, 5, 105), ZEROES(10, 10, 7), DATA(25, 10, 200), HOLES(35, 5, 8));
	assert_map_is(DATA(0, 5, 100), HOLES(40, 5, 8));
}
END_TEST

START_TEST(values_advance_in_data_and_stay_in_zeroes_and_holes)
{
	put(0, 30, 1000);
	put_kind(30, 30, 2000, EXTENT_ZERO);
	put_kind(60, 30, 3000, EXTENT_HOLE);
	cut(10, 10);
	cut(40, 10);
	cut(70, 10);
	assert_map_is(DATA(0, 10, 1000), DATA(20, 10, 1020), ZEROES(30, 10, 2000),
		      ZEROES(50, 10, 2000), HOLES(60, 10, 3000), HOLES(80, 10, 3000));
}
END_TEST

START_TEST(a_callback_is_not_needed)
{
	struct extent e = { 5, 10, 100, EXTENT_DATA };

	put(0, 20, 1);
	ck_assert_ok(lsvd_extent_map_reserve(map, 2));
	lsvd_extent_map_insert(map, &e, NULL, NULL);
	lsvd_extent_map_remove(map, 0, 5, NULL, NULL);
	assert_map_is(DATA(5, 10, 100), DATA(15, 5, 16));
}
END_TEST

/* ------------------------------------------------------------------------------------ removing */

START_TEST(removing_exactly_an_entry_takes_it_out)
{
	put(10, 10, 100);
	cut(10, 10);
	assert_gone_is(DATA(10, 10, 100));
	ck_assert_uint_eq(lsvd_extent_map_count(map), 0);
}
END_TEST

START_TEST(removing_more_than_an_entry_takes_it_out)
{
	put(10, 10, 100);
	cut(5, 30);
	assert_gone_is(DATA(10, 10, 100));
	ck_assert_uint_eq(lsvd_extent_map_count(map), 0);
}
END_TEST

START_TEST(removing_an_end_leaves_the_rest)
{
	put(10, 10, 100);
	cut(15, 10);
	assert_gone_is(DATA(15, 5, 105));
	cut(8, 4);
	assert_gone_is(DATA(10, 2, 100));
	assert_map_is(DATA(12, 3, 102));
}
END_TEST

START_TEST(removing_several_parts_leaves_what_lies_between)
{
	put(0, 100, 1000);
	cut(60, 10);
	cut(20, 10);
	cut(25, 10);
	assert_gone_is(DATA(30, 5, 1030));
	assert_map_is(DATA(0, 20, 1000), DATA(35, 25, 1035), DATA(70, 30, 1070));
}
END_TEST

START_TEST(removing_where_nothing_is_does_nothing)
{
	put(10, 10, 100);
	cut(0, 10);
	cut(20, 10);
	assert_nothing_gone();
	assert_map_is(DATA(10, 10, 100));
}
END_TEST

START_TEST(large_ranges_removed_back_to_back_leave_nothing_behind)
{
	for (uint64_t i = 0; i < 2000; i++)
		add(i * 3000, 2000, i);
	for (uint64_t i = 0; i < 3; i++)
		cut(i * 2000000, 2000000);
	ck_assert_uint_eq(lsvd_extent_map_count(map), 0);
}
END_TEST

/* -------------------------------------------------------------------------------------- finding */

static void assert_found(uint64_t lba, const struct extent *expected)
{
	struct extent e;

	ck_assert(lsvd_extent_map_find(map, lba, &e));
	assert_extent(&e, expected);
}

START_TEST(find_gives_the_entry_that_covers_the_address_uncut)
{
	put(10, 10, 100);
	assert_found(10, LIST(DATA(10, 10, 100)));
	assert_found(15, LIST(DATA(10, 10, 100)));
	assert_found(19, LIST(DATA(10, 10, 100)));
}
END_TEST

START_TEST(find_gives_the_next_entry_if_none_covers_the_address)
{
	struct extent e;

	put(10, 10, 100);
	put(30, 10, 200);
	assert_found(0, LIST(DATA(10, 10, 100)));
	assert_found(20, LIST(DATA(30, 10, 200)));
	assert_found(29, LIST(DATA(30, 10, 200)));
	ck_assert(!lsvd_extent_map_find(map, 40, &e));
}
END_TEST

START_TEST(a_range_over_several_entries_and_gaps_is_walked_in_order)
{
	put(100, 10, 1000);
	put(120, 10, 2000);
	put(130, 10, 3000);
	assert_found(105, LIST(DATA(100, 10, 1000)));
	assert_found(110, LIST(DATA(120, 10, 2000)));
	assert_found(130, LIST(DATA(130, 10, 3000)));
}
END_TEST

/* Overlapping writes of several lengths around one address: none may show through another. */
START_TEST(a_read_between_overlapping_writes_sees_the_latest_of_each_sector)
{
	put(5799956, 8, 100);
	put(5799948, 24, 200);
	put(5799960, 2, 300);
	put(5799964, 40, 400);
	assert_map_is(DATA(5799948, 12, 200), DATA(5799960, 2, 300), DATA(5799962, 2, 214),
		      DATA(5799964, 40, 400));
	cut(5799956, 8);
	assert_map_is(DATA(5799948, 8, 200), DATA(5799964, 40, 400));
}
END_TEST

START_TEST(an_entry_that_reaches_into_a_later_neighbourhood_is_found_from_there)
{
	/* Enough neighbours that both ends of the long entry are far apart in the tree. */
	for (uint64_t i = 0; i < 1000; i++)
		add(7234450 + i * 8, 8, i * 8);
	put(7234453, 7000, 900000);
	assert_found(7234450 + 6999, LIST(DATA(7234453, 7000, 900000)));
	cut(7234460, 6980);
	assert_gone_is(DATA(7234460, 6980, 900007));
	assert_found(7234460, LIST(DATA(7234440 + 7000, 13, 906987)));
	assert_found(7234453, LIST(DATA(7234453, 7, 900000)));
}
END_TEST

/* ------------------------------------------------------------------------------- far addresses */

START_TEST(addresses_beyond_16_tib_keep_all_their_bits)
{
	uint64_t at = 16 * TIB_SECTORS;

	put(at - 8, 8, 1);
	put(at, 8, 100);
	put(64 * TIB_SECTORS, 8, 200);
	put(0, 8, 300);
	assert_map_is(DATA(0, 8, 300), DATA(at - 8, 8, 1), DATA(at, 8, 100),
		      DATA(64 * TIB_SECTORS, 8, 200));
	put(at - 4, 8, 900);
	assert_gone_is(DATA(at - 4, 4, 5), DATA(at, 4, 100));
}
END_TEST

START_TEST(one_call_covers_a_whole_pib)
{
	put(PIB_SECTORS - 8, 8, 1);
	put(3 * TIB_SECTORS, 8, 2);
	put_kind(0, PIB_SECTORS, 0, EXTENT_HOLE);
	assert_gone_is(DATA(3 * TIB_SECTORS, 8, 2), DATA(PIB_SECTORS - 8, 8, 1));
	assert_map_is(HOLES(0, PIB_SECTORS, 0));
	put(TIB_SECTORS, 8, 9);
	cut(0, PIB_SECTORS);
	assert_gone_is(HOLES(0, TIB_SECTORS, 0), DATA(TIB_SECTORS, 8, 9),
		       HOLES(TIB_SECTORS + 8, PIB_SECTORS - TIB_SECTORS - 8, 0));
	ck_assert_uint_eq(lsvd_extent_map_count(map), 0);
}
END_TEST

START_TEST(the_largest_value_survives)
{
	uint64_t value = (UINT64_C(1) << 62) - 1;

	put_kind(0, 8, value, EXTENT_HOLE);
	assert_map_is(HOLES(0, 8, value));
}
END_TEST

/* -------------------------------------------------------------------------------------- memory */

START_TEST(memory_is_given_back_when_entries_go)
{
	uint64_t empty = lsvd_extent_map_memory(map), full;

	for (uint64_t i = 0; i < 50000; i++)
		add(i * 8 % 400009 * 8, 8, i);
	full = lsvd_extent_map_memory(map);
	ck_assert_uint_lt(full / lsvd_extent_map_count(map), 64);
	cut(0, PIB_SECTORS);
	ck_assert_uint_lt(lsvd_extent_map_memory(map), empty + (256u << 10));
}
END_TEST

START_TEST(sequential_entries_fill_nodes_to_the_brim)
{
	for (uint64_t i = 0; i < 20000; i++)
		add(i * 8, 8, i);
	ck_assert_uint_lt(lsvd_extent_map_memory(map) / 20000, 30);
}
END_TEST

START_TEST(one_entry_left_of_each_neighbourhood_does_not_keep_them_all_in_memory)
{
	for (uint64_t i = 0; i < 50000; i++)
		add(i * 8, 8, i);
	for (uint64_t i = 0; i < 1000; i++)
		cut(i * 400, 392);
	ck_assert_uint_eq(lsvd_extent_map_count(map), 1000);
	ck_assert_uint_lt(lsvd_extent_map_memory(map) / 1000, 256);
}
END_TEST

/* Calls that were reserved, on a tree as full as it gets, while there is no memory at all. */
static void do_reserved_calls(unsigned calls, uint64_t step)
{
	ck_assert_ok(lsvd_extent_map_reserve(map, calls));
	t_alloc_refuse_at(0);
	for (uint64_t i = 0; i < calls; i++) {
		struct extent e = { i * step * 8 % 960000 + 3, 2, i, EXTENT_DATA };

		lsvd_extent_map_insert(map, &e, NULL, NULL);
	}
	ck_assert_uint_eq(t_alloc_forgive(), 0);
	lsvd_extent_map_check(map);
}

START_TEST(reserved_calls_need_no_memory)
{
	/* Sequential: all nodes are full, and each call divides an entry, adding two. */
	for (uint64_t i = 0; i < 120000; i++)
		add(i * 8, 8, i);
	lsvd_extent_map_check(map);
	for (unsigned i = 0; i < 200; i++)
		do_reserved_calls(1, 1 + i);
	do_reserved_calls(30, 1);
	do_reserved_calls(64, 61);
	do_reserved_calls(1000, 7919);
	do_reserved_calls(10000, 7919);
}
END_TEST

START_TEST(what_a_large_reservation_took_is_given_back_by_small_ones)
{
	uint64_t before;

	for (uint64_t i = 0; i < 100000; i++)
		add(i * 8, 8, i);
	before = lsvd_extent_map_memory(map);
	ck_assert_ok(lsvd_extent_map_reserve(map, 5000));
	ck_assert_uint_gt(lsvd_extent_map_memory(map), before + (1u << 20));
	for (uint64_t i = 0; i < 15000; i++)
		add(i * 8, 8, i);
	ck_assert_uint_lt(lsvd_extent_map_memory(map), before + (64u << 10));
}
END_TEST

START_TEST(a_reservation_that_fails_changes_nothing_and_may_be_repeated)
{
	unsigned k = 0;
	int err;

	for (uint64_t i = 0; i < 10000; i++)
		add(i * 8, 8, i);
	do {
		t_alloc_refuse_at(k++);
		err = lsvd_extent_map_reserve(map, 50);
		(void)t_alloc_forgive(); /* err says whether any was refused */
		lsvd_extent_map_check(map);
		ck_assert(err == 0 || err == -ENOMEM);
	} while (err < 0);
	ck_assert_uint_gt(k, 1);
	ck_assert_uint_eq(lsvd_extent_map_count(map), 10000);
}
END_TEST

START_TEST(a_new_map_without_memory_is_refused)
{
	struct extent_map *none = NULL;

	for (unsigned k = 0; k < 2; k++) {
		t_alloc_refuse_at(k);
		ck_assert_err(lsvd_extent_map_new(&none), -ENOMEM);
		(void)t_alloc_forgive(); /* both were meant to be refused */
		ck_assert_ptr_null(none);
	}
}
END_TEST

/* ----------------------------------------------------------------------------- against an array */

#define SPACE 5000u
#define NONE (-1)

/* What a sector holds: kind << 48 | value of this very sector; NONE. */
static int64_t model[SPACE], before[SPACE], reported[SPACE];

static int64_t sector(const struct extent *e, uint64_t i)
{
	return (int64_t)e->kind << 48 |
	       (int64_t)(e->value + (e->kind == EXTENT_DATA ? i : 0));
}

static void paint(int64_t *cells, const struct extent *e)
{
	for (uint64_t i = 0; i < e->len; i++)
		cells[e->lba + i] = sector(e, i);
}

static void report_to_model(void *ctx, const struct extent *e)
{
	uint64_t *end = ctx;

	ck_assert_uint_ge(e->lba, *end);
	*end = e->lba + e->len;
	paint(reported, e);
}

static void random_call(uint64_t *rng, uint64_t removals, uint64_t longest)
{
	struct extent e = { .len = 1 + t_random_below(rng, longest) };
	uint64_t end = 0;

	e.lba = t_random_below(rng, SPACE - e.len);
	e.kind = (enum extent_kind)t_random_below(rng, 3);
	e.value = t_random_below(rng, UINT64_C(1) << 40);
	memcpy(before, model, sizeof(before));
	memset(reported, 0xff, sizeof(reported));
	ck_assert_ok(lsvd_extent_map_reserve(map, 1));
	if (t_random_below(rng, 100) < removals) {
		lsvd_extent_map_remove(map, e.lba, e.len, report_to_model, &end);
		memset(model + e.lba, 0xff, e.len * sizeof(*model));
	} else {
		lsvd_extent_map_insert(map, &e, report_to_model, &end);
		paint(model, &e);
	}
	/* What was reported is what lay in the range, and nothing beside it. */
	for (uint64_t i = 0; i < SPACE; i++)
		if (reported[i] != (i >= e.lba && i < e.lba + e.len ? before[i] : NONE))
			ck_abort_msg("sector %" PRIu64 ": reported %" PRId64 ", was %" PRId64, i,
				     reported[i], before[i]);
}

static void assert_equals_model(void)
{
	int64_t cells[SPACE];
	uint64_t at = 0, n = 0;
	struct extent e;

	memset(cells, 0xff, sizeof(cells));
	for (; lsvd_extent_map_find(map, at, &e); at = e.lba + e.len, n++)
		paint(cells, &e);
	ck_assert(memcmp(cells, model, sizeof(cells)) == 0);
	ck_assert_uint_eq(n, lsvd_extent_map_count(map));
	lsvd_extent_map_check(map);
}

/* _i: mostly small, many removals, large overlaps, fill and drain */
static const struct {
	uint64_t removals, longest;
} mixes[] = { { 10, 4 }, { 50, 20 }, { 10, 900 }, { 85, 6 } };

START_TEST(random_calls_agree_with_an_array_of_sectors)
{
	uint64_t rng = t_seed();

	memset(model, 0xff, sizeof(model));
	for (unsigned i = 0; i < 3000; i++) {
		/* The draining mix is filled up from time to time. */
		uint64_t removals = i / 500 % 2 && _i == 3 ? 0 : mixes[_i].removals;

		random_call(&rng, removals, mixes[_i].longest);
		assert_equals_model();
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

static void add_covering(TCase *c)
{
	tcase_add_test(c, an_empty_map_finds_nothing);
	tcase_add_test(c, an_insert_before_an_entry_leaves_it_alone);
	tcase_add_test(c, an_insert_after_an_entry_leaves_it_alone);
	tcase_add_test(c, overwrite_inside_an_entry_divides_it);
	tcase_add_test(c, overwrite_wipes_a_smaller_entry);
	tcase_add_test(c, overwrite_trims_the_end_of_the_entry_before);
	tcase_add_test(c, overwrite_trims_the_beginning_of_the_entry_after);
	tcase_add_test(c, overwrite_that_ends_where_the_entry_ends_leaves_its_beginning);
	tcase_add_test(c, overwrite_that_begins_where_the_entry_begins_leaves_its_end);
	tcase_add_test(c, a_larger_overwrite_from_the_same_start_removes_the_entry);
	tcase_add_test(c, overwrite_of_exactly_an_entry_replaces_it);
	tcase_add_test(c, overwrite_of_an_end_and_more_removes_it_and_trims_the_next);
	tcase_add_test(c, adjacent_entries_are_neither_removed_nor_joined);
	tcase_add_test(c, the_same_insert_again_reports_itself_and_changes_nothing);
	tcase_add_test(c, one_overwrite_removes_many_entries);
	tcase_add_test(c, one_overwrite_removes_many_entries_and_trims_both_outer_ones);
	tcase_add_test(c, what_goes_away_is_reported_once_cut_to_the_range_and_in_order);
	tcase_add_test(c, values_advance_in_data_and_stay_in_zeroes_and_holes);
	tcase_add_test(c, a_callback_is_not_needed);
}

static void add_removing_and_finding(TCase *removing, TCase *finding)
{
	tcase_add_test(removing, removing_exactly_an_entry_takes_it_out);
	tcase_add_test(removing, removing_more_than_an_entry_takes_it_out);
	tcase_add_test(removing, removing_an_end_leaves_the_rest);
	tcase_add_test(removing, removing_several_parts_leaves_what_lies_between);
	tcase_add_test(removing, removing_where_nothing_is_does_nothing);
	tcase_add_test(removing, large_ranges_removed_back_to_back_leave_nothing_behind);
	tcase_add_test(finding, find_gives_the_entry_that_covers_the_address_uncut);
	tcase_add_test(finding, find_gives_the_next_entry_if_none_covers_the_address);
	tcase_add_test(finding, a_range_over_several_entries_and_gaps_is_walked_in_order);
	tcase_add_test(finding, a_read_between_overlapping_writes_sees_the_latest_of_each_sector);
	tcase_add_test(finding,
		       an_entry_that_reaches_into_a_later_neighbourhood_is_found_from_there);
}

static Suite *make_suite(void)
{
	Suite *s = suite_create("map_extent");
	TCase *far, *memory, *random;

	add_covering(new_case(s, "covering"));
	add_removing_and_finding(new_case(s, "removing"), new_case(s, "finding"));
	far = new_case(s, "far addresses");
	tcase_add_test(far, addresses_beyond_16_tib_keep_all_their_bits);
	tcase_add_test(far, one_call_covers_a_whole_pib);
	tcase_add_test(far, the_largest_value_survives);
	memory = new_case(s, "memory");
	tcase_add_test(memory, memory_is_given_back_when_entries_go);
	tcase_add_test(memory, sequential_entries_fill_nodes_to_the_brim);
	tcase_add_test(memory,
		       one_entry_left_of_each_neighbourhood_does_not_keep_them_all_in_memory);
	tcase_add_test(memory, reserved_calls_need_no_memory);
	tcase_add_test(memory, what_a_large_reservation_took_is_given_back_by_small_ones);
	tcase_add_test(memory, a_reservation_that_fails_changes_nothing_and_may_be_repeated);
	tcase_add_test(memory, a_new_map_without_memory_is_refused);
	random = new_case(s, "random calls");
	tcase_add_loop_test(random, random_calls_agree_with_an_array_of_sectors, 0,
			    sizeof(mixes) / sizeof(*mixes));
	return s;
}

T_MAIN(make_suite)

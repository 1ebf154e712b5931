/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_volume_tables.c - the tables of objects and of pages, and their nodes as bytes.
 */
#include "t_check.h"

#include "volume/checkpoint.h"

static const struct place early = { 3, 10 }, late = { 4, 2 };

static void add(struct object_table *t, uint64_t number, int home, uint32_t data)
{
	const struct object_entry e = { .epoch = 3, .seq = number + 1000, .born = early,
					.bytes = data + 100, .data = data, .home = (uint8_t)home };

	ck_assert_ok(lsvd_object_table_reserve(t, number));
	lsvd_object_table_set(t, number, &e);
}

START_TEST(places_are_ordered_by_epoch_then_seq)
{
	ck_assert(place_at_or_before(early, early));
	ck_assert(place_at_or_before(early, late));
	ck_assert(!place_at_or_before(late, early));
	ck_assert(!place_at_or_before((struct place){ 3, 11 }, early));
}
END_TEST

START_TEST(data_dies_when_nothing_of_it_is_left_and_lives_again_with_more)
{
	struct object_table t = { .nodes = NULL };

	add(&t, 5, HOME_CHAIN, 8192);
	lsvd_object_table_live(&t, 5, 8192, early);
	ck_assert_uint_eq(t.live, 8192);
	ck_assert_uint_eq(t.bytes, 8292);
	lsvd_object_table_live(&t, 5, -4096, early);
	ck_assert_uint_eq(lsvd_object_table_get(&t, 5)->died.epoch, 0);
	lsvd_object_table_live(&t, 5, -4096, late);
	ck_assert_uint_eq(lsvd_object_table_get(&t, 5)->died.epoch, late.epoch);
	ck_assert_uint_eq(lsvd_object_table_get(&t, 5)->died.seq, late.seq);
	lsvd_object_table_live(&t, 5, 512, late);
	ck_assert_uint_eq(lsvd_object_table_get(&t, 5)->died.epoch, 0);
	lsvd_object_table_live(&t, 6, 512, late); /* not there: nothing happens */
	lsvd_object_table_clear(&t, 5);
	lsvd_object_table_clear(&t, 5);
	ck_assert_ptr_null(lsvd_object_table_get(&t, 5));
	ck_assert_uint_eq(t.live, 0);
	ck_assert_uint_eq(t.bytes, 0);
	ck_assert_uint_eq(t.used, 0);
	lsvd_object_table_fini(&t);
}
END_TEST

START_TEST(what_has_died_stays_dead_at_its_first_place)
{
	struct object_table t = { .nodes = NULL };

	add(&t, 1, HOME_ROOT, 0);
	lsvd_object_table_died(&t, 1, early);
	lsvd_object_table_died(&t, 1, late);
	ck_assert_uint_eq(lsvd_object_table_get(&t, 1)->died.epoch, early.epoch);
	lsvd_object_table_died(&t, 77777, late); /* not there */
	ck_assert_uint_eq(t.meta_bytes, 100);
	lsvd_object_table_fini(&t);
}
END_TEST

START_TEST(the_next_object_is_found_over_gaps)
{
	static const uint64_t numbers[] = { 0, 255, 256, 700, 100000, 100001 };
	struct object_table t = { .nodes = NULL };
	uint64_t at = 0;

	ck_assert_uint_eq(lsvd_object_table_next(&t, 0), UINT64_MAX);
	for (unsigned i = 6; i-- > 0;)
		add(&t, numbers[i], HOME_MOVED, 1);
	for (unsigned i = 0; i < 6; i++, at++) {
		at = lsvd_object_table_next(&t, at);
		ck_assert_uint_eq(at, numbers[i]);
	}
	ck_assert_uint_eq(lsvd_object_table_next(&t, at), UINT64_MAX);
	lsvd_object_table_clear(&t, 700);
	ck_assert_uint_eq(lsvd_object_table_next(&t, 257), 100000);
	lsvd_object_table_drop_node(&t, 700 / OBJECT_NODE);
	ck_assert_ptr_null(lsvd_object_table_get(&t, 700));
	ck_assert_uint_eq(lsvd_object_table_next(&t, 257), 100000);
	lsvd_object_table_fini(&t);
}
END_TEST

START_TEST(a_node_of_objects_read_back_is_the_same)
{
	struct object_table t = { .nodes = NULL }, got = { .nodes = NULL };
	static uint8_t bytes[OBJECT_NODE_BYTES_MAX];
	size_t len;

	for (unsigned i = 0; i < OBJECT_NODE; i += 1 + i % 7)
		add(&t, 3 * OBJECT_NODE + i, 1 + (int)(i % 4), i * 1000);
	lsvd_object_table_died(&t, lsvd_object_table_next(&t, 800), late);
	len = lsvd_object_node_encode(bytes, t.nodes[3]);
	ck_assert_uint_le(len, sizeof bytes);
	ck_assert_ok(lsvd_object_table_reserve(&got, 3 * OBJECT_NODE));
	ck_assert_ok(lsvd_object_node_decode(&got, 3, bytes, len, 4 * OBJECT_NODE));
	for (uint64_t n = 0; (n = lsvd_object_table_next(&t, n)) != UINT64_MAX; n++) {
		const struct object_entry *a = lsvd_object_table_get(&t, n);
		const struct object_entry *b = lsvd_object_table_get(&got, n);

		ck_assert_ptr_nonnull(b);
		ck_assert_uint_eq(a->epoch, b->epoch);
		ck_assert_uint_eq(a->seq, b->seq);
		ck_assert_uint_eq(a->bytes, b->bytes);
		ck_assert_uint_eq(a->home, b->home);
		ck_assert_uint_eq(a->died.epoch, b->died.epoch);
		ck_assert_uint_eq(a->died.seq, b->died.seq);
		/* A chain object is born in its own place. */
		ck_assert_uint_eq(b->born.seq, a->home == HOME_CHAIN ? a->seq : a->born.seq);
	}
	ck_assert_uint_eq(got.used, t.used);
	for (size_t cut = 0; cut < len; cut += 3) {
		struct object_table cut_off = { .nodes = NULL };

		ck_assert_ok(lsvd_object_table_reserve(&cut_off, 3 * OBJECT_NODE));
		ck_assert_err(lsvd_object_node_decode(&cut_off, 3, bytes, cut, 4 * OBJECT_NODE),
			      LSVD_E_CORRUPT);
		lsvd_object_table_fini(&cut_off);
	}
	lsvd_object_table_fini(&got);
	ck_assert_ok(lsvd_object_table_reserve(&got, 3 * OBJECT_NODE));
	ck_assert_err(lsvd_object_node_decode(&got, 3, bytes, len, 3 * OBJECT_NODE + 9),
		      LSVD_E_CORRUPT);
	lsvd_object_table_fini(&got);
	lsvd_object_table_fini(&t);
}
END_TEST

START_TEST(a_node_of_pages_read_back_is_the_same)
{
	struct page_table t = { .nodes = NULL }, got = { .nodes = NULL };
	static uint8_t bytes[PAGE_NODE_BYTES_MAX];
	struct page_ref old;
	size_t len;

	for (unsigned i = 0; i < PAGE_NODE; i += 1 + i % 5) {
		const struct page_ref ref = { OBJECT_NUMBER_LIMIT - 1 - i, UINT64_MAX - i,
					      UINT32_MAX - i, STORE_MAP_PAGE_MAX_BYTES };

		ck_assert_ok(lsvd_page_table_reserve(&t, 2 * PAGE_NODE + i));
		lsvd_page_table_set(&t, 2 * PAGE_NODE + i, &ref, &old);
		ck_assert_uint_eq(old.object, 0);
	}
	len = lsvd_page_node_encode(bytes, lsvd_page_table_node(&t, 2)->refs);
	ck_assert_uint_le(len, sizeof bytes);
	ck_assert_ok(lsvd_page_table_reserve(&got, 2 * PAGE_NODE));
	ck_assert_ok(lsvd_page_node_decode(&got, 2, bytes, len, 3 * PAGE_NODE));
	ck_assert_mem_eq(lsvd_page_table_node(&got, 2)->refs, lsvd_page_table_node(&t, 2)->refs,
			 sizeof lsvd_page_table_node(&t, 2)->refs);
	ck_assert_uint_eq(got.used, t.used);
	lsvd_page_table_set(&got, 2 * PAGE_NODE, NULL, &old);
	ck_assert_uint_eq(old.object, OBJECT_NUMBER_LIMIT - 1);
	ck_assert_uint_eq(got.used, t.used - 1);
	lsvd_page_table_set(&got, 9999999, NULL, &old); /* none before, none now */
	ck_assert_uint_eq(old.object, 0);
	lsvd_page_table_fini(&got);
	ck_assert_ok(lsvd_page_table_reserve(&got, 2 * PAGE_NODE));
	ck_assert_err(lsvd_page_node_decode(&got, 2, bytes, len, 2 * PAGE_NODE + 5),
		      LSVD_E_CORRUPT);
	lsvd_page_table_fini(&got);
	lsvd_page_table_fini(&t);
}
END_TEST

/* A node of one snapshot, as it is encoded. */
static size_t encode_one(uint8_t to[SNAPSHOT_NODE_BYTES_MAX], const struct snapshot *s)
{
	static struct snapshot_node node;

	node.count = 1;
	node.list[0] = *s;
	return lsvd_snapshot_node_encode(to, &node);
}

static int take_node(struct snapshot_table *t, uint64_t number, const struct snapshot *s)
{
	static uint8_t buf[SNAPSHOT_NODE_BYTES_MAX];

	return lsvd_snapshot_node_decode(t, number, buf, encode_one(buf, s));
}

static const struct snapshot some_snapshot = { .id = { { 7 } }, .name = "daily", .created_ms = -3,
					       .op = 12, .bytes = 4096, .at = { 2, 9 },
					       .root = { 2, 77 }, .root_at = { 2, 8 } };

START_TEST(a_node_of_snapshots_read_back_is_the_same)
{
	struct snapshot_table t = { .nodes = NULL };
	const struct snapshot *s;

	ck_assert_ok(take_node(&t, 5, &some_snapshot));
	ck_assert_uint_eq(t.count, 1);
	ck_assert_uint_eq(t.next_node, 6);
	s = lsvd_snapshots_by_name(&t, "daily");
	ck_assert_ptr_nonnull(s);
	ck_assert_mem_eq(s, &some_snapshot, sizeof *s);
	ck_assert_ok(lsvd_snapshots_verify(&t));
	lsvd_snapshots_fini(&t);
}
END_TEST

START_TEST(a_node_of_snapshots_that_cannot_be_is_refused)
{
	struct snapshot bad[] = { some_snapshot, some_snapshot, some_snapshot, some_snapshot,
				  some_snapshot };
	struct snapshot_table t = { .nodes = NULL };
	static uint8_t buf[SNAPSHOT_NODE_BYTES_MAX];
	size_t n = encode_one(buf, &some_snapshot);

	bad[0].bytes = 0;
	bad[1].bytes = 4097;
	bad[2].at.epoch = 0;
	bad[3].root_at = (struct place){ 2, 10 };
	memcpy(bad[4].name, "-x", 3);
	for (unsigned i = 0; i < 5; i++)
		ck_assert_err(take_node(&t, 0, &bad[i]), LSVD_E_CORRUPT);
	for (size_t cut = 0; cut < n; cut++)
		ck_assert_err(lsvd_snapshot_node_decode(&t, 0, buf, cut), LSVD_E_CORRUPT);
	ck_assert_err(lsvd_snapshot_node_decode(&t, 0, buf, n + 1), LSVD_E_CORRUPT);
	buf[0] = 2; /* snapshots, of which there is one */
	ck_assert_err(lsvd_snapshot_node_decode(&t, 0, buf, n), LSVD_E_CORRUPT);
	buf[0] = 1;
	buf[1 + 16 + 8 + 1 + 3] = 0; /* in the name, and so its end */
	ck_assert_err(lsvd_snapshot_node_decode(&t, 0, buf, n), LSVD_E_CORRUPT);
	ck_assert_uint_eq(t.count, 0);
	lsvd_snapshots_fini(&t);
}
END_TEST

START_TEST(snapshots_that_go_back_are_refused)
{
	struct snapshot second = some_snapshot;
	struct snapshot_table t = { .nodes = NULL };

	ck_assert_ok(take_node(&t, 5, &some_snapshot));
	ck_assert_err(take_node(&t, 5, &second), LSVD_E_CORRUPT);
	second.at.seq = 8;
	ck_assert_ok(take_node(&t, 6, &second));
	ck_assert_err(lsvd_snapshots_verify(&t), LSVD_E_CORRUPT);
	lsvd_snapshots_fini(&t);
}
END_TEST

static Suite *volume_tables_suite(void)
{
	Suite *s = suite_create("volume_tables");
	TCase *c = tcase_create("objects");

	tcase_add_test(c, places_are_ordered_by_epoch_then_seq);
	tcase_add_test(c, data_dies_when_nothing_of_it_is_left_and_lives_again_with_more);
	tcase_add_test(c, what_has_died_stays_dead_at_its_first_place);
	tcase_add_test(c, the_next_object_is_found_over_gaps);
	suite_add_tcase(s, c);
	c = tcase_create("nodes");
	tcase_add_test(c, a_node_of_objects_read_back_is_the_same);
	tcase_add_test(c, a_node_of_pages_read_back_is_the_same);
	tcase_add_test(c, a_node_of_snapshots_read_back_is_the_same);
	tcase_add_test(c, a_node_of_snapshots_that_cannot_be_is_refused);
	tcase_add_test(c, snapshots_that_go_back_are_refused);
	suite_add_tcase(s, c);
	return s;
}

T_MAIN(volume_tables_suite)

/* SPDX-License-Identifier: BSD-2-Clause */
/* test_vlog_cache.c - the cache of values: what it keeps, what it lets go, whom it serves. */
#include <pthread.h>

#include "t_check.h"
#include "vlog/vlog_cache.h"

#define VALUE_BYTES 1000u

static struct lsvd_vlog_handle at(uint64_t segment, uint64_t offset)
{
	return (struct lsvd_vlog_handle){ segment, offset, VALUE_BYTES };
}

/* A value that tells which handle it was put under. */
static void put(struct lsvd_vlog_cache *c, uint64_t log, uint64_t segment, uint64_t offset,
		size_t len)
{
	struct lsvd_vlog_handle h = at(segment, offset);
	unsigned char *bytes = malloc(len);
	struct lsvd_vlog_value *v;

	ck_assert_ptr_nonnull(bytes);
	t_fill(bytes, len, log * 1000003 + segment * 1009 + offset);
	v = lsvd_vlog_value_new(bytes, len);
	free(bytes);
	ck_assert_ptr_nonnull(v);
	lsvd_vlog_cache_insert(c, log, &h, v);
	lsvd_vlog_value_unref(v);
}

static bool has(struct lsvd_vlog_cache *c, uint64_t log, uint64_t segment, uint64_t offset)
{
	struct lsvd_vlog_handle h = at(segment, offset);
	struct lsvd_vlog_value *v = lsvd_vlog_cache_get(c, log, &h);
	unsigned char bytes[VALUE_BYTES];

	if (!v)
		return false;
	t_fill(bytes, sizeof bytes, log * 1000003 + segment * 1009 + offset);
	ck_assert_uint_eq(lsvd_vlog_value_size(v), sizeof bytes);
	ck_assert_mem_eq(lsvd_vlog_value_data(v), bytes, sizeof bytes);
	lsvd_vlog_value_unref(v);
	return true;
}

static struct lsvd_vlog_cache_stats stats_of(struct lsvd_vlog_cache *c)
{
	struct lsvd_vlog_cache_stats st = { .size = sizeof st };

	ck_assert_ok(lsvd_vlog_cache_stats(c, &st));
	return st;
}

static struct lsvd_vlog_cache *cache_of(uint64_t bytes)
{
	struct lsvd_vlog_cache *c = NULL;

	ck_assert_ok(lsvd_vlog_cache_new(&c, bytes));
	return c;
}

START_TEST(what_was_put_is_found)
{
	struct lsvd_vlog_cache *c = cache_of(1 << 20);

	put(c, 1, 2, 3, VALUE_BYTES);
	ck_assert(has(c, 1, 2, 3));
	ck_assert(!has(c, 1, 2, 4));
	ck_assert(!has(c, 1, 3, 3));
	ck_assert(!has(c, 2, 2, 3));
	ck_assert_uint_eq(stats_of(c).hits, 1);
	ck_assert_uint_eq(stats_of(c).misses, 3);
	ck_assert_uint_eq(stats_of(c).values, 1);
	lsvd_vlog_cache_free(c);
}
END_TEST

START_TEST(what_was_used_longest_ago_goes_first)
{
	struct lsvd_vlog_cache *c = cache_of(10 * (VALUE_BYTES + 128));

	for (unsigned i = 0; i < 8; i++)
		put(c, 1, 1, i, VALUE_BYTES);
	ck_assert(has(c, 1, 1, 0));
	for (unsigned i = 8; i < 14; i++)
		put(c, 1, 1, i, VALUE_BYTES);
	ck_assert(has(c, 1, 1, 0));
	ck_assert(!has(c, 1, 1, 1));
	ck_assert(has(c, 1, 1, 13));
	ck_assert_uint_gt(stats_of(c).evictions, 0);
	lsvd_vlog_cache_free(c);
}
END_TEST

/* Missed, and read then: as a get does it. */
static bool ask(struct lsvd_vlog_cache *c, uint64_t offset)
{
	bool there = has(c, 1, 1, offset);

	if (!there)
		put(c, 1, 1, offset, VALUE_BYTES);
	return there;
}

START_TEST(what_is_read_once_does_not_push_out_what_is_asked_for_again)
{
	struct lsvd_vlog_cache *c = cache_of(10 * (VALUE_BYTES + 128));
	uint64_t evictions;

	for (unsigned round = 0; round < 3; round++)
		for (unsigned i = 0; i < 8; i++)
			ck_assert_int_eq(ask(c, i), round > 0);
	evictions = stats_of(c).evictions;
	for (unsigned i = 100; i < 140; i++)
		(void)ask(c, i);
	for (unsigned i = 0; i < 8; i++)
		ck_assert(ask(c, i));
	ck_assert_uint_le(stats_of(c).evictions, evictions + 3); /* what there was room for */
	/* But it does not stay for ever: what is asked for more often by now comes in. */
	for (unsigned round = 0; round < 20; round++)
		for (unsigned i = 200; i < 208; i++)
			(void)ask(c, i);
	for (unsigned i = 200; i < 208; i++)
		ck_assert(ask(c, i));
	lsvd_vlog_cache_free(c);
}
END_TEST

START_TEST(what_was_prefetched_is_taken_as_it_comes)
{
	struct lsvd_vlog_cache *c = cache_of(10 * (VALUE_BYTES + 128));
	struct lsvd_vlog_handle h = at(1, 1000);
	char bytes[VALUE_BYTES] = "";
	struct lsvd_vlog_value *v = lsvd_vlog_value_new(bytes, sizeof bytes), *got;

	ck_assert_ptr_nonnull(v);
	for (unsigned round = 0; round < 3; round++)
		for (unsigned i = 0; i < 20; i++)
			(void)ask(c, i);
	ck_assert_ptr_null(lsvd_vlog_cache_get(c, 1, &h));
	lsvd_vlog_cache_insert(c, 1, &h, v);
	ck_assert_ptr_null(lsvd_vlog_cache_get(c, 1, &h)); /* it is asked for less */
	lsvd_vlog_cache_bring(c, 1, &h, v);
	got = lsvd_vlog_cache_get(c, 1, &h);
	ck_assert_ptr_nonnull(got);
	lsvd_vlog_value_unref(got);
	lsvd_vlog_value_unref(v);
	lsvd_vlog_cache_free(c);
}
END_TEST

START_TEST(no_more_is_kept_than_was_given)
{
	const uint64_t bytes = 64u << 20;
	struct lsvd_vlog_cache *c = cache_of(bytes);
	uint64_t rng = t_seed();

	for (unsigned i = 0; i < 20000; i++) {
		put(c, t_random_below(&rng, 3), t_random_below(&rng, 50), t_random(&rng),
		    (size_t)t_random_below(&rng, 20000));
		ck_assert_uint_le(stats_of(c).bytes, bytes);
	}
	ck_assert_uint_gt(stats_of(c).evictions, 0);
	ck_assert_uint_gt(stats_of(c).bytes, bytes / 2);
	lsvd_vlog_cache_free(c);
}
END_TEST

START_TEST(small_values_count_with_what_they_cost)
{
	struct lsvd_vlog_cache *c = cache_of(1 << 20);

	for (unsigned i = 0; i < 100000; i++)
		put(c, 1, 1, i, 1);
	ck_assert_uint_lt(stats_of(c).values, (1 << 20) / 64);
	lsvd_vlog_cache_free(c);
}
END_TEST

START_TEST(value_larger_than_the_cache_is_not_kept)
{
	struct lsvd_vlog_cache *c = cache_of(VALUE_BYTES);

	put(c, 1, 1, 1, VALUE_BYTES);
	ck_assert(!has(c, 1, 1, 1));
	ck_assert_uint_eq(stats_of(c).values, 0);
	lsvd_vlog_cache_free(c);
}
END_TEST

START_TEST(value_outlives_its_entry_and_its_cache)
{
	struct lsvd_vlog_cache *c = cache_of(1 << 20);
	struct lsvd_vlog_handle h = at(1, 1);
	struct lsvd_vlog_value *v;
	unsigned char bytes[VALUE_BYTES];

	put(c, 1, 1, 1, VALUE_BYTES);
	v = lsvd_vlog_cache_get(c, 1, &h);
	ck_assert_ptr_nonnull(v);
	lsvd_vlog_cache_free(c);
	t_fill(bytes, sizeof bytes, 1000003 + 1009 + 1);
	ck_assert_mem_eq(lsvd_vlog_value_data(v), bytes, sizeof bytes);
	lsvd_vlog_value_unref(v);
}
END_TEST

START_TEST(dropped_segment_is_gone_and_others_are_not)
{
	struct lsvd_vlog_cache *c = cache_of(64u << 20);

	for (unsigned i = 0; i < 1000; i++) {
		put(c, 1, i % 2, i, VALUE_BYTES);
		put(c, 2, i % 2, i, VALUE_BYTES);
	}
	lsvd_vlog_cache_drop(c, 1, 0);
	for (unsigned i = 0; i < 1000; i++) {
		ck_assert_int_eq(has(c, 1, i % 2, i), i % 2 == 1);
		ck_assert(has(c, 2, i % 2, i));
	}
	lsvd_vlog_cache_drop(c, 2, UINT64_MAX);
	ck_assert_uint_eq(stats_of(c).values, 500);
	lsvd_vlog_cache_free(c);
}
END_TEST

START_TEST(value_put_twice_is_kept_once)
{
	struct lsvd_vlog_cache *c = cache_of(1 << 20);

	put(c, 1, 1, 1, VALUE_BYTES);
	put(c, 1, 1, 1, VALUE_BYTES);
	ck_assert_uint_eq(stats_of(c).values, 1);
	ck_assert_uint_eq(stats_of(c).inserts, 1);
	lsvd_vlog_cache_free(c);
}
END_TEST

START_TEST(no_cache_keeps_nothing)
{
	struct lsvd_vlog_handle h = at(1, 1);

	put(NULL, 1, 1, 1, 1);
	ck_assert_ptr_null(lsvd_vlog_cache_get(NULL, 1, &h));
	lsvd_vlog_cache_drop(NULL, 1, 1);
	lsvd_vlog_cache_free(NULL);
}
END_TEST

static void *use(void *ctx)
{
	struct lsvd_vlog_cache *c = ctx;
	uint64_t rng = (uint64_t)(uintptr_t)&rng, found = 0;

	for (unsigned i = 0; i < 20000; i++) {
		uint64_t offset = t_random_below(&rng, 400);

		if (has(c, 1, offset % 7, offset))
			found++;
		else
			put(c, 1, offset % 7, offset, VALUE_BYTES);
		if (i % 1000 == 999)
			lsvd_vlog_cache_drop(c, 1, i / 1000 % 7);
	}
	return found ? ctx : NULL;
}

START_TEST(threads_share_it)
{
	struct lsvd_vlog_cache *c = cache_of(300 * VALUE_BYTES);
	pthread_t threads[4];
	void *found;

	for (unsigned i = 0; i < 4; i++)
		ck_assert_int_eq(pthread_create(&threads[i], NULL, use, c), 0);
	for (unsigned i = 0; i < 4; i++) {
		ck_assert_int_eq(pthread_join(threads[i], &found), 0);
		ck_assert_ptr_eq(found, c);
	}
	lsvd_vlog_cache_free(c);
}
END_TEST

/* ---------------------------------------------------------------------------- the program's own */

struct own {
	unsigned gets, inserts, drops, closes;
};

static void own_insert(void *ctx, uint64_t log, const struct lsvd_vlog_handle *h,
		       struct lsvd_vlog_value *value)
{
	(void)log;
	(void)h;
	(void)value;
	((struct own *)ctx)->inserts++;
}

static struct lsvd_vlog_value *own_get(void *ctx, uint64_t log, const struct lsvd_vlog_handle *h)
{
	(void)log;
	(void)h;
	((struct own *)ctx)->gets++;
	return NULL;
}

static void own_drop(void *ctx, uint64_t log, uint64_t segment)
{
	(void)log;
	(void)segment;
	((struct own *)ctx)->drops++;
}

static void own_close(void *ctx)
{
	((struct own *)ctx)->closes++;
}

START_TEST(own_table_is_called)
{
	struct lsvd_vlog_cache_ops ops = { .size = sizeof ops, .insert = own_insert, .get = own_get,
					   .drop = own_drop, .close = own_close };
	struct lsvd_vlog_cache *c = NULL;
	struct own own = { 0 };

	ck_assert_ok(lsvd_vlog_cache_new_ops(&c, &ops, &own));
	put(c, 1, 1, 1, 10);
	ck_assert(!has(c, 1, 1, 1));
	lsvd_vlog_cache_drop(c, 1, 1);
	ck_assert_uint_eq(stats_of(c).values, 0);
	lsvd_vlog_cache_free(c);
	ck_assert_uint_eq(own.inserts, 1);
	ck_assert_uint_eq(own.gets, 1);
	ck_assert_uint_eq(own.drops, 1);
	ck_assert_uint_eq(own.closes, 1);
}
END_TEST

START_TEST(own_table_may_lack_all_but_insert_and_get)
{
	struct lsvd_vlog_cache_ops ops = { .size = sizeof ops, .insert = own_insert,
					   .get = own_get };
	struct lsvd_vlog_cache *c = NULL;
	struct own own = { 0 };

	ck_assert_ok(lsvd_vlog_cache_new_ops(&c, &ops, &own));
	lsvd_vlog_cache_drop(c, 1, 1);
	ck_assert_uint_eq(stats_of(c).values, 0);
	lsvd_vlog_cache_free(c);
	ops.get = NULL;
	ck_assert_err(lsvd_vlog_cache_new_ops(&c, &ops, &own), -EINVAL);
	ops.get = own_get;
	ops.size = 8;
	ck_assert_err(lsvd_vlog_cache_new_ops(&c, &ops, &own), -EINVAL);
}
END_TEST

static Suite *make_suite(void)
{
	Suite *s = suite_create("vlog_cache");
	TCase *t = tcase_create("built in");

	tcase_add_test(t, what_was_put_is_found);
	tcase_add_test(t, what_was_used_longest_ago_goes_first);
	tcase_add_test(t, what_is_read_once_does_not_push_out_what_is_asked_for_again);
	tcase_add_test(t, what_was_prefetched_is_taken_as_it_comes);
	tcase_add_test(t, no_more_is_kept_than_was_given);
	tcase_add_test(t, small_values_count_with_what_they_cost);
	tcase_add_test(t, value_larger_than_the_cache_is_not_kept);
	tcase_add_test(t, value_outlives_its_entry_and_its_cache);
	tcase_add_test(t, dropped_segment_is_gone_and_others_are_not);
	tcase_add_test(t, value_put_twice_is_kept_once);
	tcase_add_test(t, no_cache_keeps_nothing);
	tcase_add_test(t, threads_share_it);
	tcase_set_timeout(t, 60);
	suite_add_tcase(s, t);
	t = tcase_create("the program's own");
	tcase_add_test(t, own_table_is_called);
	tcase_add_test(t, own_table_may_lack_all_but_insert_and_get);
	suite_add_tcase(s, t);
	return s;
}

T_MAIN(make_suite)

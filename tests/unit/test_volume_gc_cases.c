/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Cases of garbage collection, one each: what lies where before, and what must be there afterwards.
 * The rules of collection are in test_volume_gc.c; these are the places where collectors go wrong.
 * lsvd-test: timeout=120 labels=tsan
 */
#include <pthread.h>
#include <stdatomic.h>

#include <lsvd/gc.h>

#include "t_volume.h"

#define SEGMENT (128u << 10)

static struct tv *fresh(void)
{
	struct tv *t = tv_new();

	t->o.compression = LSVD_COMPRESS_NONE;
	tv_open(t);
	return t;
}

/* What was written so far is an object, or several, of its own. */
static void seal(struct tv *t)
{
	ck_assert_ok(lsvd_volume_seal(t->v));
	tv_sync(t);
}

static void collect(struct tv *t)
{
	ck_assert_ok(lsvd_volume_gc(t->v, 100, UINT32_MAX));
}

/* Everything from the store, by another machine. */
static void check_elsewhere(struct tv *t)
{
	tv_close(t);
	tv_run("rm -rf '%s'", t->cache, NULL);
	tv_open(t);
	tv_check_all(t);
}

/* Objects with data: bases, ends and notes of the chain are small. */
static unsigned data_objects(struct tv *t)
{
	static const enum key_kind kinds[] = { KEY_CHAIN, KEY_FREE };
	unsigned n = 0;

	for (unsigned i = 0; i < 2; i++) {
		struct tv_keys *k = tv_keys(t, kinds[i]);

		for (unsigned j = 0; j < k->count; j++)
			n += k->bytes[j] >= TV_BLOCK;
		free(k);
	}
	return n;
}

/* ---------------------------------------------------------------------------- what is collected */

START_TEST(a_victim_is_deleted_and_its_data_is_there_after_an_open)
{
	struct tv *t = fresh();
	struct tv_keys *before, *after;

	tv_write(t, 0, SEGMENT / 2, 1);
	seal(t);
	before = tv_keys(t, KEY_CHAIN);
	tv_write(t, 0, SEGMENT / 4, 2);
	tv_reopen(t);
	collect(t);
	after = tv_keys(t, KEY_CHAIN);
	for (unsigned i = 0; i < before->count; i++)
		for (unsigned j = 0; j < after->count && before->bytes[i] > SEGMENT / 2; j++)
			ck_assert_str_ne(before->keys[i], after->keys[j]);
	check_elsewhere(t);
	free(before);
	free(after);
	tv_free(t);
}
END_TEST

START_TEST(of_an_extent_of_four_blocks_only_the_living_one_is_copied)
{
	struct tv *t = fresh();

	for (uint64_t i = 0; i < 32; i++)
		tv_write(t, i * 16384, 16384, i);
	seal(t);
	for (uint64_t i = 0; i < 32; i++)
		tv_write(t, i * 16384 + 4096, 12288, 100 + i);
	tv_reopen(t);
	collect(t);
	/* A quarter of the first lot; of the second, what shared an object with something. */
	ck_assert_uint_ge(tv_stats(t).gc_copied_bytes, 32 * 4096);
	ck_assert_uint_le(tv_stats(t).gc_copied_bytes, 32 * 4096 + SEGMENT);
	check_elsewhere(t);
	tv_free(t);
}
END_TEST

START_TEST(the_first_of_three_overlapping_objects_goes_and_the_others_shine_through)
{
	struct tv *t = fresh();

	tv_write(t, 0, 12 * 4096, 1);
	seal(t);
	tv_write(t, 2 * 4096, 2 * 4096, 2);
	seal(t);
	tv_write(t, 8 * 4096, 2 * 4096, 3);
	tv_reopen(t);
	collect(t);
	ck_assert_uint_ge(tv_stats(t).gc_copied_bytes, 8 * 4096); /* what lives of the first */
	tv_check_all(t);
	tv_trim(t, 3 * 4096, 6 * 4096);
	tv_reopen(t);
	collect(t);
	check_elsewhere(t);
	tv_free(t);
}
END_TEST

START_TEST(density_rises)
{
	struct tv *t = fresh();
	struct lsvd_stats before, after;

	for (uint64_t i = 0; i < 64; i++)
		tv_write(t, i * 16384, 16384, i);
	seal(t);
	for (uint64_t i = 0; i < 64; i += 2)
		tv_write(t, i * 16384, 16384, 100 + i);
	tv_reopen(t);
	before = tv_stats(t);
	collect(t);
	after = tv_stats(t);
	ck_assert_uint_eq(before.live_bytes, after.live_bytes);
	ck_assert_uint_gt(before.stored_bytes, before.live_bytes * 14 / 10);
	ck_assert_uint_lt(after.stored_bytes, after.live_bytes * 11 / 10);
	tv_check_all(t);
	tv_free(t);
}
END_TEST

START_TEST(a_dead_object_is_deleted_without_being_read)
{
	struct tv *t = fresh();
	struct tv_keys *k;

	tv_write(t, 0, SEGMENT / 2, 1);
	seal(t);
	k = tv_keys(t, KEY_CHAIN);
	tv_write(t, 0, SEGMENT / 2, 2);
	tv_reopen(t);
	ck_assert_uint_eq(data_objects(t), 2);
	for (unsigned i = 0; i < k->count; i++)
		if (k->bytes[i] > SEGMENT / 2)
			tv_fault(t, (struct fault_rule){ .verbs = FAULT_GET, .key = k->keys[i],
							 .err = -EACCES });
	collect(t);
	ck_assert_uint_eq(store_fault_hits(t->fault, FAULT_FAIL), 0);
	ck_assert_uint_eq(data_objects(t), 1);
	free(k);
	check_elsewhere(t);
	tv_free(t);
}
END_TEST

/* More than fits into one object of output: each has a name and its own data. */
START_TEST(what_lives_in_many_objects_is_collected_at_once)
{
	struct tv *t = fresh();

	for (uint64_t i = 0; i < 256; i++)
		tv_write(t, i * 16384, 16384, i);
	seal(t);
	for (uint64_t i = 0; i < 256; i++)
		tv_write(t, i * 16384, 8192, 1000 + i);
	tv_reopen(t);
	collect(t);
	ck_assert_uint_ge(tv_stats(t).gc_copied_bytes, 8 * SEGMENT);
	ck_assert_uint_ge(data_objects(t), 2 * 256 * 8192 / SEGMENT);
	check_elsewhere(t);
	tv_free(t);
}
END_TEST

START_TEST(dead_little_objects_and_nothing_alive_keep_nobody_waiting)
{
	struct tv *t = fresh();

	for (uint64_t i = 0; i < 4; i++) {
		tv_write(t, 0, 8192, i);
		seal(t);
	}
	tv_trim(t, 0, 8192);
	tv_reopen(t);
	collect(t);
	ck_assert_uint_eq(tv_stats(t).stored_bytes, 0);
	ck_assert_uint_eq(data_objects(t), 0);
	collect(t);
	/* More than the log holds: writes go on, and are stored. */
	for (uint64_t i = 0; i < 4u << 20; i += 65536)
		tv_write(t, i, 65536, 50 + i);
	check_elsewhere(t);
	tv_free(t);
}
END_TEST

/* How many of these are still there. */
static unsigned left_of(struct tv *t, const struct tv_keys *k)
{
	struct tv_keys *now = tv_keys(t, k->kind);
	unsigned n = 0;

	for (unsigned i = 0; i < k->count; i++)
		for (unsigned j = 0; j < now->count && k->bytes[i] >= TV_BLOCK; j++)
			n += strcmp(k->keys[i], now->keys[j]) == 0;
	free(now);
	return n;
}

START_TEST(little_objects_are_packed_by_themselves_when_nothing_is_written)
{
	struct tv *t = fresh();
	struct tv_keys *k;

	for (uint64_t i = 0; i < 12; i++) {
		tv_write(t, i * 16384, TV_BLOCK, i);
		seal(t);
	}
	k = tv_keys(t, KEY_CHAIN);
	ck_assert_uint_eq(left_of(t, k), 12);
	tv_close(t);
	t->o.gc = LSVD_GC_AUTO;
	t->o.gc_idle_ms = 1;
	tv_open(t);
	tv_wait_for(tv_stats(t).gc_copied_bytes >= 12 * TV_BLOCK);
	/* So little is not worth a checkpoint of its own: the next one frees it. */
	ck_assert_ok(lsvd_volume_checkpoint(t->v, UINT32_MAX));
	tv_wait_for(left_of(t, k) == 0);
	ck_assert_uint_eq(data_objects(t), 1);
	free(k);
	check_elsewhere(t);
	tv_free(t);
}
END_TEST

/* ------------------------------------------------------------------------------------ crashes */

struct run {
	struct tv *t;
	atomic_bool ended;
};

static unsigned hold_from; /* the n-th thing that a collection puts or removes */

static void *collect_in_vain(void *arg)
{
	struct run *r = arg;

	/* the process dies first, or it ends well */
	(void)!lsvd_volume_gc(r->t->v, 100, UINT32_MAX);
	atomic_store(&r->ended, true);
	return NULL;
}

/*
 * User data is written and flushed while a collection stands still half-way; then the process dies.
 */
static void die_in_a_collection(struct tv *t)
{
	struct run r = { .t = t };
	pthread_t thread;

	tv_open(t);
	tv_fault(t, (struct fault_rule){ .verbs = FAULT_WRITES, .from = hold_from,
					 .kind = FAULT_HOLD });
	ck_assert_int_eq(pthread_create(&thread, NULL, collect_in_vain, &r), 0);
	tv_wait_for(store_fault_hits(t->fault, FAULT_HOLD) || atomic_load(&r.ended));
	for (uint64_t i = 0; i < 16; i++)
		tv_write(t, i * 49152 + 4096, 12288, 500 + i);
	tv_trim(t, 900u << 10, 16384);
	tv_flush(t);
}

START_TEST(a_crash_in_a_collection_loses_nothing_flushed_and_shows_nothing_old)
{
	struct tv *t = fresh();

	hold_from = 1 + (unsigned)_i;
	for (uint64_t i = 0; i < 64; i++)
		tv_write(t, i * 16384, 16384, i);
	seal(t);
	for (uint64_t i = 0; i < 64; i++)
		tv_write(t, i * 16384, 8192, 200 + i);
	tv_close(t);
	tv_killed(t, die_in_a_collection);
	tv_open(t);
	tv_check_all(t);
	/* Nor does what it left come up later. */
	collect(t);
	tv_check_all(t);
	tv_reopen(t);
	check_elsewhere(t);
	tv_free(t);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("volume_gc_cases");
	TCase *c = tcase_create("cases"), *crash = tcase_create("crash");

	tcase_set_timeout(c, 60);
	tcase_add_test(c, a_victim_is_deleted_and_its_data_is_there_after_an_open);
	tcase_add_test(c, of_an_extent_of_four_blocks_only_the_living_one_is_copied);
	tcase_add_test(c, the_first_of_three_overlapping_objects_goes_and_the_others_shine_through);
	tcase_add_test(c, density_rises);
	tcase_add_test(c, a_dead_object_is_deleted_without_being_read);
	tcase_add_test(c, what_lives_in_many_objects_is_collected_at_once);
	tcase_add_test(c, dead_little_objects_and_nothing_alive_keep_nobody_waiting);
	tcase_add_test(c, little_objects_are_packed_by_themselves_when_nothing_is_written);
	suite_add_tcase(s, c);
	tcase_set_timeout(crash, 60);
	tcase_add_loop_test(crash,
			    a_crash_in_a_collection_loses_nothing_flushed_and_shows_nothing_old,
			    0, 16);
	suite_add_tcase(s, crash);
	return s;
}

T_MAIN(suite)

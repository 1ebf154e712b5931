/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Tests of reads that need the store: what the read cache keeps, what is asked for once, what is
 * verified, and what becomes of damage. lsvd-test: timeout=300 labels=tsan
 */
#include "t_volume.h"

#define OWN_CACHE (64u << 20) /* sparse: so large that no set of it overflows */

/* 2 MiB of data in objects, nothing of it in the log: a second, clean open. */
static struct tv *stored_of(uint64_t rcache_bytes, uint32_t compression)
{
	struct tv *t = tv_new();

	t->o.compression = compression;
	t->o.rcache_bytes = rcache_bytes;
	tv_open(t);
	for (unsigned i = 0; i < 16; i++) {
		if (i & 1)
			tv_write_text(t, i * 131072, 131072, i);
		else
			tv_write(t, i * 131072, 131072, i);
	}
	tv_reopen(t);
	tv_bring_map(t);
	store_fault_reset_counts(t->fault);
	return t;
}

static struct tv *stored(uint64_t rcache_bytes)
{
	return stored_of(rcache_bytes, LSVD_COMPRESS_DEFAULT);
}

static uint64_t gets(struct tv *t)
{
	return store_fault_calls(t->fault, FAULT_GET);
}

/* Fills end in the background, after the read they belong to. */
static void wait_for_fills(struct tv *t)
{
	uint64_t n = 0;

	tv_wait_for((n = tv_stats(t).rcache_writes) > 0);
	tv_close(t); /* waits for them */
	tv_open(t);
	tv_bring_map(t);
	store_fault_reset_counts(t->fault);
}

/* ------------------------------------------------------------------------------------ the cache */

START_TEST(a_range_is_fetched_from_the_store_once)
{
	struct tv *t = stored(OWN_CACHE);

	tv_check(t, 8192, 4096);
	ck_assert_uint_eq(gets(t), 1);
	wait_for_fills(t);
	for (unsigned i = 0; i < 10; i++)
		tv_check(t, 8192, 4096);
	ck_assert_uint_eq(gets(t), 0);
	ck_assert_uint_gt(tv_stats(t).read_rcache_bytes, 0);
	tv_free(t);
}
END_TEST

START_TEST(reads_within_and_across_lines_of_the_cache_are_right)
{
	struct tv *t = stored(OWN_CACHE);

	tv_check_all(t);
	wait_for_fills(t);
	for (uint32_t at = 0; at + 70000 < 2u << 20; at += 33 * 512) {
		tv_check(t, at, 512);
		tv_check(t, at, 69632);
	}
	ck_assert_uint_eq(gets(t), 0);
	tv_free(t);
}
END_TEST

START_TEST(the_cache_is_warm_after_a_restart)
{
	struct tv *t = stored(OWN_CACHE);

	tv_check_all(t);
	for (unsigned i = 0; i < 3; i++) {
		tv_reopen(t);
		store_fault_reset_counts(t->fault);
		tv_check_all(t);
		ck_assert_uint_eq(gets(t), 0);
	}
	tv_free(t);
}
END_TEST

START_TEST(the_cache_stays_within_its_size_and_gives_old_lines_up)
{
	struct tv *t = stored(8 * 65536);
	char *path = tmpdir_path(t->cache, "rcache.0");

	for (unsigned i = 0; i < 3; i++)
		tv_check_all(t);
	ck_assert_uint_le(tv_file_size(path), 8 * 65536 + 4096);
	ck_assert_uint_gt(tv_stats(t).rcache_writes, 24);
	tv_reopen(t);
	store_fault_reset_counts(t->fault);
	tv_check_all(t);
	ck_assert_uint_gt(gets(t), 0);
	free(path);
	tv_free(t);
}
END_TEST

START_TEST(without_a_cache_no_file_is_made)
{
	struct tv *t = stored(UINT64_MAX);
	char *path = tmpdir_path(t->cache, "rcache.0");

	tv_check_all(t);
	tv_check_all(t);
	ck_assert_int_ne(access(path, F_OK), 0);
	ck_assert_uint_eq(tv_stats(t).rcache_writes, 0);
	free(path);
	tv_free(t);
}
END_TEST

START_TEST(incompressible_reads_from_the_read_cache_are_right)
{
	struct tv *t = stored_of(OWN_CACHE, LSVD_COMPRESS_NONE);
	uint64_t seed = t_seed();

	tv_check_all(t);
	wait_for_fills(t);
	for (unsigned i = 0; i < 3000; i++)
		tv_check(t, 512 * t_random_below(&seed, (2u << 20) / 512 - 128), 65536);
	ck_assert_uint_eq(gets(t), 0);
	tv_free(t);
}
END_TEST

START_TEST(overwritten_data_is_not_served_from_the_cache)
{
	struct tv *t = stored(OWN_CACHE);

	tv_check_all(t);
	wait_for_fills(t);
	for (uint64_t i = 0; i < 5; i++) {
		tv_write(t, 4096, 65536, 100 + i);
		tv_trim(t, 131072 + 4096 * i, 4096);
		tv_check(t, 0, 262144);
		tv_reopen(t);
		tv_check_all(t);
	}
	tv_free(t);
}
END_TEST

START_TEST(volumes_of_a_process_share_one_cache)
{
	struct tv *t = stored(OWN_CACHE);
	char *first = tmpdir_path(t->cache, "rcache.0"),
		*second = tmpdir_path(t->cache, "rcache.1");
	struct lsvd_volume *other;
	uint8_t data[65536], back[65536];

	ck_assert_ok(lsvd_volume_create(t->store, "other", 1u << 20, NULL, NULL));
	for (unsigned i = 0; i < 2; i++) {
		ck_assert_ok(lsvd_volume_open(&other, t->store, "other", &t->o));
		t_fill(data, sizeof data, 5);
		ck_assert_ok(lsvd_volume_write(other, data, 0, sizeof data, 0));
		ck_assert_int_eq(lsvd_volume_close(other, UINT32_MAX), 0);
	}
	ck_assert_ok(lsvd_volume_open(&other, t->store, "other", &t->o));
	for (unsigned i = 0; i < 3; i++) {
		tv_check(t, 0, 1u << 20);
		ck_assert_ok(lsvd_volume_read(other, back, 0, sizeof back));
		ck_assert_mem_eq(data, back, sizeof back);
	}
	tv_close(t); /* the other one goes on */
	ck_assert_ok(lsvd_volume_read(other, back, 0, sizeof back));
	ck_assert_mem_eq(data, back, sizeof back);
	ck_assert_int_eq(access(first, F_OK), 0);
	ck_assert_int_ne(access(second, F_OK), 0);
	ck_assert_int_eq(lsvd_volume_close(other, UINT32_MAX), 0);
	free(first);
	free(second);
	tv_free(t);
}
END_TEST

static void prefetched(struct lsvd_io *io)
{
	__atomic_store_n((int *)io->user, 1, __ATOMIC_RELEASE);
}

START_TEST(prefetch_brings_a_range_into_the_cache)
{
	struct tv *t = stored(OWN_CACHE);
	int over = 0;
	struct lsvd_io io = { .kind = LSVD_IO_PREFETCH, .len = 1u << 20, .done = prefetched,
			      .user = &over };

	lsvd_volume_submit(t->v, &io);
	tv_wait_for(__atomic_load_n(&over, __ATOMIC_ACQUIRE));
	ck_assert_int_eq(io.err, 0);
	ck_assert_uint_eq(tv_stats(t).prefetches, 1);
	wait_for_fills(t);
	tv_check(t, 0, 1u << 20);
	ck_assert_uint_eq(gets(t), 0);
	tv_free(t);
}
END_TEST

/* -------------------------------------------------------------------------- damage to the cache */

enum { DAMAGE_DATA, DAMAGE_ALL, DAMAGE_INDEX, DAMAGE_SHORT, DAMAGE_EMPTY, DAMAGE_GONE, DAMAGES };

static void damage_cache(struct tv *t, int how)
{
	char *path = tmpdir_path(t->cache, "rcache.0");
	size_t len;
	uint8_t *p = tv_slurp(path, &len);
	size_t from = how == DAMAGE_INDEX ? 0 : 4096, end = how == DAMAGE_INDEX ? 4096 : len;

	if (how == DAMAGE_DATA)
		for (size_t i = from; i < end; i += 3001)
			p[i] ^= 4;
	else if (how == DAMAGE_ALL || how == DAMAGE_INDEX)
		t_fill(p + from, end - from, 8);
	if (how <= DAMAGE_INDEX)
		tv_poke(path, p, len, 0);
	else if (how == DAMAGE_GONE)
		ck_assert_int_eq(unlink(path), 0);
	else
		tv_truncate(path, how == DAMAGE_EMPTY ? 0 : len / 2);
	free(p);
	free(path);
}

START_TEST(a_damaged_read_cache_is_fetched_again)
{
	struct tv *t = stored(OWN_CACHE);

	tv_check_all(t);
	tv_close(t);
	damage_cache(t, _i);
	tv_open(t);
	store_fault_reset_counts(t->fault);
	tv_check_all(t);
	ck_assert_uint_gt(gets(t), 0);
	ck_assert_uint_eq(tv_stats(t).corrupt, 0);
	/* What was fetched again is good again. */
	tv_reopen(t);
	store_fault_reset_counts(t->fault);
	tv_check_all(t);
	ck_assert_uint_eq(gets(t), 0);
	tv_free(t);
}
END_TEST

/* ------------------------------------------------------------------------- damage in the store */

/* Every sector that can be read is right; returns how many cannot. */
static unsigned count_unreadable(struct tv *t, uint64_t off, uint64_t len)
{
	uint8_t buf[512];
	unsigned bad = 0;

	for (uint64_t at = off; at < off + len; at += 512) {
		int err = lsvd_volume_read(t->v, buf, at, 512);

		if (err == 0) {
			ck_assert_mem_eq(buf, t->model + at, 512);
			continue;
		}
		ck_assert_err(err, LSVD_E_CORRUPT);
		bad++;
	}
	return bad;
}

START_TEST(flipped_bit_in_an_object_is_an_error_of_exactly_its_unit)
{
	struct tv *t = stored(_i & 1 ? OWN_CACHE : UINT64_MAX);
	char *path = tv_chain_path(t, 1, 2); /* the first 128 KiB, stored raw */
	unsigned bad;

	tv_flip(path, tv_file_size(path) / 2);
	bad = count_unreadable(t, 0, 131072);
	ck_assert_uint_ge(bad, 1);
	ck_assert_uint_le(bad, 8); /* 4 KiB */
	ck_assert_uint_eq(count_unreadable(t, 0, 131072), bad);
	tv_check(t, 131072, 131072);
	ck_assert_uint_gt(tv_stats(t).corrupt, 0);
	/* Written again it can be read again. */
	tv_write(t, 0, 131072, 77);
	tv_check(t, 0, 262144);
	tv_reopen(t);
	tv_check_all(t);
	free(path);
	tv_free(t);
}
END_TEST

START_TEST(every_damage_of_an_object_is_an_error_or_harmless)
{
	struct tv *t = stored(UINT64_MAX);
	uint64_t seed = t_seed();

	for (unsigned i = 0; i < 60; i++) {
		uint64_t seq = 2 + t_random_below(&seed, 16), at;
		char *path = tv_chain_path(t, 1, seq);

		at = t_random_below(&seed, tv_file_size(path));
		tv_flip(path, at);
		(void)count_unreadable(t, (seq - 2) * 131072, 131072); /* any count will do */
		tv_flip(path, at);
		free(path);
	}
	tv_check_all(t);
	tv_free(t);
}
END_TEST

START_TEST(a_truncated_or_missing_object_is_an_error_of_its_range_alone)
{
	struct tv *t = stored(UINT64_MAX);
	char *path = tv_chain_path(t, 1, 4);

	if (_i)
		ck_assert_int_eq(unlink(path), 0);
	else
		tv_truncate(path, tv_file_size(path) / 2);
	ck_assert_uint_ge(count_unreadable(t, 2 * 131072, 131072), 120);
	tv_check(t, 0, 2 * 131072);
	tv_check(t, 3 * 131072, 131072);
	free(path);
	tv_free(t);
}
END_TEST

START_TEST(objects_exchanged_for_each_other_do_not_verify)
{
	struct tv *t = stored(UINT64_MAX);
	char *a = tv_chain_path(t, 1, 2), *b = tv_chain_path(t, 1, 4);

	tv_run("cp '%s' '%s'", a, b);
	ck_assert_uint_eq(count_unreadable(t, 2 * 131072, 131072), 256);
	tv_check(t, 0, 131072);
	free(a);
	free(b);
	tv_free(t);
}
END_TEST

START_TEST(a_reply_damaged_once_is_asked_for_again)
{
	static const enum fault_kind kinds[] = { FAULT_FLIP, FAULT_ZERO, FAULT_TRUNCATE };
	struct tv *t = stored(OWN_CACHE);

	for (unsigned i = 0; i < 16; i++) {
		tv_fault(t, (struct fault_rule){ .verbs = FAULT_GET, .times = 1,
						 .kind = kinds[_i] });
		tv_check(t, i * 131072, 131072);
		store_fault_clear(t->fault);
	}
	ck_assert_uint_ge(store_fault_hits(t->fault, kinds[_i]), 16);
	ck_assert_uint_eq(tv_stats(t).corrupt, 0);
	tv_reopen(t);
	tv_check_all(t);
	tv_free(t);
}
END_TEST

START_TEST(damaged_replies_never_get_into_the_cache)
{
	struct tv *t = stored(OWN_CACHE);
	uint8_t *buf = tv_buffer(131072);

	tv_fault(t, (struct fault_rule){ .verbs = FAULT_GET, .kind = FAULT_ZERO });
	for (unsigned i = 0; i < 16; i++)
		ck_assert_err(lsvd_volume_read(t->v, buf, i * 131072, 131072), LSVD_E_CORRUPT);
	store_fault_clear(t->fault);
	tv_check_all(t);
	ck_assert_uint_ge(tv_stats(t).corrupt, 16);
	free(buf);
	tv_free(t);
}
END_TEST

/* ------------------------------------------------------------------------------- the store away */

START_TEST(reads_that_fail_for_a_moment_are_tried_again)
{
	struct tv *t = stored(UINT64_MAX);

	tv_fault(t, (struct fault_rule){ .verbs = FAULT_GET, .times = 3, .kind = FAULT_FAIL,
					 .err = _i ? -EIO : LSVD_E_UNAVAILABLE });
	tv_check(t, 0, 131072);
	ck_assert_uint_ge(tv_stats(t).retries, 3);
	tv_free(t);
}
END_TEST

START_TEST(reads_give_up_after_their_timeout_and_go_on_when_the_store_is_back)
{
	struct tv *t = stored(OWN_CACHE);
	uint8_t buf[4096];
	int err;

	tv_check(t, 0, 131072);
	wait_for_fills(t);
	tv_close(t);
	t->o.read_timeout_ms = 200;
	tv_open(t);
	ck_assert_ok(store_fault_cut(t->fault, 1));
	err = lsvd_volume_read(t->v, buf, 10 * 131072, 4096);
	ck_assert_msg(err == LSVD_E_UNAVAILABLE || err == -EIO, "%s", lsvd_error_name(err));
	tv_check(t, 0, 4096);                    /* from the cache */
	tv_check(t, TV_BYTES - 4096, 4096);      /* never written */
	tv_write(t, 5 * 131072, 8192, 9);
	tv_check(t, 5 * 131072, 8192);           /* from memory */
	store_fault_clear(t->fault);
	tv_check_all(t);
	tv_free(t);
}
END_TEST

START_TEST(a_refused_read_is_an_error_at_once)
{
	struct tv *t = stored(UINT64_MAX);
	uint8_t buf[4096];

	tv_fault(t, (struct fault_rule){ .verbs = FAULT_GET, .kind = FAULT_FAIL, .err = -EACCES });
	ck_assert_err(lsvd_volume_read(t->v, buf, 1, 4096), -EINVAL);
	ck_assert_ptr_nonnull(strstr(lsvd_last_error(), "multiples"));
	ck_assert_err(lsvd_volume_read(t->v, buf, 0, 4096), -EACCES);
	/* The failure was met on another thread; the text is this call's all the same. */
	ck_assert_msg(strstr(lsvd_last_error(), "/d/") != NULL, "%s", lsvd_last_error());
	store_fault_clear(t->fault);
	tv_check(t, 0, 4096);
	tv_free(t);
}
END_TEST

/* ----------------------------------------------------------------------------- codecs and units */

START_TEST(every_codec_and_unit_size_is_read_back)
{
	struct tv *t = tv_new();
	uint64_t seed = t_seed();

	t->o.compression = 1 + (uint32_t)_i % 3;
	t->o.unit_bytes = 4096u << _i / 3;
	tv_open(t);
	for (unsigned i = 0; i < 60; i++) {
		uint32_t len = (uint32_t)(512 * (1 + t_random_below(&seed, 300)));
		uint64_t off = 512 * t_random_below(&seed, (4u << 20) / 512);

		if (i % 3)
			tv_write_text(t, off, len, i);
		else
			tv_write(t, off, len, i);
	}
	tv_reopen(t);
	tv_check_all(t);
	for (unsigned i = 0; i < 100; i++)
		tv_check(t, 512 * t_random_below(&seed, (4u << 20) / 512), 1536);
	tv_free(t);
}
END_TEST

/* -------------------------------------------------------------------------------------- suite */

static Suite *volume_cache_suite(void)
{
	Suite *s = suite_create("volume_cache");
	TCase *cache = tcase_create("cache"), *store = tcase_create("store");

	tcase_set_timeout(cache, 60);
	tcase_add_test(cache, a_range_is_fetched_from_the_store_once);
	tcase_add_test(cache, reads_within_and_across_lines_of_the_cache_are_right);
	tcase_add_test(cache, the_cache_is_warm_after_a_restart);
	tcase_add_test(cache, the_cache_stays_within_its_size_and_gives_old_lines_up);
	tcase_add_test(cache, without_a_cache_no_file_is_made);
	tcase_add_test(cache, incompressible_reads_from_the_read_cache_are_right);
	tcase_add_test(cache, overwritten_data_is_not_served_from_the_cache);
	tcase_add_test(cache, volumes_of_a_process_share_one_cache);
	tcase_add_test(cache, prefetch_brings_a_range_into_the_cache);
	tcase_add_loop_test(cache, a_damaged_read_cache_is_fetched_again, 0, DAMAGES);
	suite_add_tcase(s, cache);
	tcase_set_timeout(store, 60);
	tcase_add_loop_test(store, flipped_bit_in_an_object_is_an_error_of_exactly_its_unit, 0, 2);
	tcase_add_test(store, every_damage_of_an_object_is_an_error_or_harmless);
	tcase_add_loop_test(store, a_truncated_or_missing_object_is_an_error_of_its_range_alone, 0,
			    2);
	tcase_add_test(store, objects_exchanged_for_each_other_do_not_verify);
	tcase_add_loop_test(store, a_reply_damaged_once_is_asked_for_again, 0, 3);
	tcase_add_test(store, damaged_replies_never_get_into_the_cache);
	tcase_add_loop_test(store, reads_that_fail_for_a_moment_are_tried_again, 0, 2);
	tcase_add_test(store, reads_give_up_after_their_timeout_and_go_on_when_the_store_is_back);
	tcase_add_test(store, a_refused_read_is_an_error_at_once);
	tcase_add_loop_test(store, every_codec_and_unit_size_is_read_back, 0, 15);
	suite_add_tcase(s, store);
	return s;
}

T_MAIN(volume_cache_suite)

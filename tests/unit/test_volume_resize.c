/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Tests of volumes that become larger and smaller.
 * lsvd-test: timeout=120 labels=tsan
 */
#include "t_volume.h"

#define MIB (UINT64_C(1) << 20)

static struct tv *fresh(void)
{
	struct tv *t = tv_new_of(TV_BYTES);

	tv_open(t);
	return t;
}

static void resize(struct tv *t, uint64_t bytes, uint32_t flags)
{
	ck_assert_ok(lsvd_volume_resize(t->v, bytes, flags));
	if (bytes < t->bytes)
		memset(t->model + bytes, 0, TV_BYTES - bytes);
	t->bytes = bytes;
	ck_assert_uint_eq(lsvd_volume_bytes(t->v), bytes);
}

static int read_block(struct tv *t, uint64_t off)
{
	uint8_t block[TV_BLOCK];

	return lsvd_volume_read(t->v, block, off, sizeof block);
}

static int write_block(struct tv *t, uint64_t off)
{
	uint8_t block[TV_BLOCK] = { 7 };

	return lsvd_volume_write(t->v, block, off, sizeof block, 0);
}

static void reopen_elsewhere(struct tv *t)
{
	tv_close(t);
	tv_run("rm -rf %s", t->cache, NULL);
	tv_open(t);
}

START_TEST(what_is_grown_can_be_written_and_reads_as_zeroes_until_then)
{
	struct tv *t = tv_new_of(4 * MIB);

	tv_open(t);
	tv_write(t, 4 * MIB - TV_BLOCK, TV_BLOCK, 1);
	ck_assert_err(write_block(t, 4 * MIB), -ENOSPC);
	resize(t, 9 * MIB + 512, 0);
	tv_check_all(t);
	tv_write(t, 9 * MIB - TV_BLOCK + 512, TV_BLOCK, 2);
	ck_assert_err(write_block(t, 9 * MIB), -ENOSPC);
	tv_reopen(t);
	ck_assert_uint_eq(lsvd_volume_bytes(t->v), 9 * MIB + 512);
	tv_check(t, 8 * MIB + 512, MIB);
	ck_assert_ok(lsvd_volume_checkpoint(t->v, UINT32_MAX));
	reopen_elsewhere(t);
	ck_assert_uint_eq(lsvd_volume_bytes(t->v), 9 * MIB + 512);
	tv_check(t, 0, MIB);
	tv_check(t, 8 * MIB + 512, MIB);
	tv_free(t);
}
END_TEST

START_TEST(what_lies_beyond_the_new_end_is_refused)
{
	struct lsvd_status_extent e[4];
	struct tv *t = fresh();

	resize(t, 8 * MIB, 0);
	ck_assert_err(read_block(t, 8 * MIB), -EINVAL);
	ck_assert_err(read_block(t, 8 * MIB - 512), -EINVAL);
	ck_assert_err(write_block(t, 8 * MIB), -ENOSPC);
	ck_assert_err(lsvd_volume_trim(t->v, 8 * MIB, TV_BLOCK, 0), -ENOSPC);
	ck_assert_err(lsvd_volume_block_status(t->v, 8 * MIB, TV_BLOCK, e, 4), -EINVAL);
	ck_assert_ok(read_block(t, 8 * MIB - TV_BLOCK));
	ck_assert_ok(write_block(t, 8 * MIB - TV_BLOCK));
	tv_free(t);
}
END_TEST

START_TEST(data_is_not_cut_off_unless_that_is_said)
{
	struct tv *t = fresh();

	tv_write(t, 10 * MIB, TV_BLOCK, 1);
	ck_assert_err(lsvd_volume_resize(t->v, 10 * MIB, 0), -ENOTEMPTY);
	ck_assert_error_says("data at byte 10485760");
	ck_assert_error_says("force");
	ck_assert_uint_eq(lsvd_volume_bytes(t->v), TV_BYTES);
	tv_check_all(t);
	tv_write(t, 12 * MIB, TV_BLOCK, 2); /* it is as before */
	tv_check_all(t);
	resize(t, 10 * MIB, LSVD_RESIZE_CUT);
	tv_check_all(t);
	tv_free(t);
}
END_TEST

START_TEST(what_was_trimmed_does_not_keep_a_volume_from_shrinking)
{
	struct tv *t = fresh();

	tv_write(t, 10 * MIB, MIB, 1);
	tv_sync(t);
	tv_trim(t, 10 * MIB, MIB);
	resize(t, 4 * MIB, 0);
	tv_free(t);
}
END_TEST

START_TEST(grown_again_after_a_cut_it_reads_zeroes)
{
	struct tv *t = fresh();

	for (unsigned i = 0; i < 3; i++) {
		tv_write(t, 3 * MIB, 5 * MIB, i);
		if (i == 1)
			tv_sync(t);
		if (i == 2)
			ck_assert_ok(lsvd_volume_checkpoint(t->v, UINT32_MAX));
		resize(t, 4 * MIB + 1536, LSVD_RESIZE_CUT);
		if (_i == 1)
			tv_reopen(t);
		if (_i == 2)
			reopen_elsewhere(t);
		resize(t, TV_BYTES, 0);
		tv_check_all(t);
		tv_reopen(t);
		tv_check_all(t);
	}
	tv_free(t);
}
END_TEST

static void die_resized(struct tv *t)
{
	tv_open(t);
	tv_write(t, 0, 6 * MIB, 3);
	resize(t, 4 * MIB, LSVD_RESIZE_CUT);
}

START_TEST(a_killed_process_has_resized_it_once_the_call_returned)
{
	struct tv *t = tv_new();

	tv_killed(t, die_resized);
	t->bytes = 4 * MIB;
	tv_open(t);
	ck_assert_uint_eq(lsvd_volume_bytes(t->v), 4 * MIB);
	tv_check_all(t);
	tv_free(t);
}
END_TEST

START_TEST(a_volume_opened_offline_has_its_new_size)
{
	struct tv *t = fresh();

	tv_write(t, 0, MIB, 3);
	resize(t, 8 * MIB, 0);
	tv_close(t);
	t->o.flags = LSVD_OPEN_OFFLINE;
	tv_open(t);
	ck_assert_uint_eq(lsvd_volume_bytes(t->v), 8 * MIB);
	ck_assert_err(lsvd_volume_resize(t->v, 4 * MIB, 0), LSVD_E_UNAVAILABLE);
	tv_free(t);
}
END_TEST

START_TEST(a_snapshot_keeps_its_size_and_its_data)
{
	struct lsvd_volume_options o = LSVD_VOLUME_OPTIONS_INIT;
	struct tv *t = fresh();
	struct lsvd_volume *v;
	uint8_t *buf = tv_buffer(MIB), *was = tv_buffer(MIB);

	tv_write(t, 15 * MIB, MIB, 3);
	memcpy(was, t->model + 15 * MIB, MIB);
	ck_assert_ok(lsvd_snapshot_create(t->v, "large", UINT32_MAX, NULL));
	resize(t, MIB, LSVD_RESIZE_CUT);
	tv_reopen(t);
	ck_assert_ok(lsvd_volume_gc(t->v, 100, UINT32_MAX));
	o.flags = LSVD_OPEN_READONLY;
	o.snapshot = "large";
	ck_assert_ok(lsvd_volume_open(&v, t->store, TV_NAME, &o));
	ck_assert_uint_eq(lsvd_volume_bytes(v), TV_BYTES);
	ck_assert_ok(lsvd_volume_read(v, buf, 15 * MIB, MIB));
	ck_assert_mem_eq(buf, was, MIB);
	ck_assert_err(lsvd_volume_close(v, 0), 0);
	free(buf);
	free(was);
	tv_free(t);
}
END_TEST

START_TEST(the_store_tells_the_size_that_it_has_now)
{
	struct lsvd_volume_usage u = { .size = sizeof u };
	struct tv *t = fresh();

	resize(t, 8 * MIB, 0);
	ck_assert_ok(lsvd_volume_usage(t->store, TV_NAME, &u));
	ck_assert_uint_eq(u.volume_bytes, 8 * MIB);
	tv_free(t);
}
END_TEST

START_TEST(wrong_calls_are_refused)
{
	struct tv *t = fresh();

	ck_assert_err(lsvd_volume_resize(t->v, 0, 0), -EINVAL);
	ck_assert_err(lsvd_volume_resize(t->v, 1000, 0), -EINVAL);
	ck_assert_err(lsvd_volume_resize(t->v, 2 * LSVD_VOLUME_MAX_BYTES, 0), -EINVAL);
	ck_assert_err(lsvd_volume_resize(t->v, MIB, 2), -EINVAL);
	ck_assert_ok(lsvd_volume_resize(t->v, TV_BYTES, 0)); /* as it is */
	tv_close(t);
	t->o.flags = LSVD_OPEN_READONLY;
	tv_open(t);
	ck_assert_err(lsvd_volume_resize(t->v, MIB, 0), -EROFS);
	tv_free(t);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("volume_resize");
	TCase *c = tcase_create("resize");

	tcase_set_timeout(c, 60);
	tcase_add_test(c, what_is_grown_can_be_written_and_reads_as_zeroes_until_then);
	tcase_add_test(c, what_lies_beyond_the_new_end_is_refused);
	tcase_add_test(c, data_is_not_cut_off_unless_that_is_said);
	tcase_add_test(c, what_was_trimmed_does_not_keep_a_volume_from_shrinking);
	tcase_add_loop_test(c, grown_again_after_a_cut_it_reads_zeroes, 0, 3);
	tcase_add_test(c, a_killed_process_has_resized_it_once_the_call_returned);
	tcase_add_test(c, a_volume_opened_offline_has_its_new_size);
	tcase_add_test(c, a_snapshot_keeps_its_size_and_its_data);
	tcase_add_test(c, the_store_tells_the_size_that_it_has_now);
	tcase_add_test(c, wrong_calls_are_refused);
	suite_add_tcase(s, c);
	return s;
}

T_MAIN(suite)

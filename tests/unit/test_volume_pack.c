/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Tests of packing: all that is alive is in few objects afterwards, reads the same, and is not
 * packed again.
 * lsvd-test: timeout=120 labels=tsan
 */
#include "t_clone.h"
#include "volume/volume_internal.h"

static struct lsvd_gc_status status_of(struct tv *t)
{
	struct lsvd_gc_status s = LSVD_GC_STATUS_INIT;

	ck_assert_ok(lsvd_volume_gc_status(t->v, &s));
	return s;
}

static struct lsvd_gc_status pack(struct tv *t)
{
	struct lsvd_collect_options o = LSVD_COLLECT_OPTIONS_INIT;
	struct lsvd_gc_status s = LSVD_GC_STATUS_INIT;

	o.flags = LSVD_COLLECT_PACK;
	ck_assert_ok(lsvd_volume_collect(t->v, &o, &s));
	ck_assert_uint_eq(s.dead_bytes, 0);
	return s;
}

/* Many objects, each with some blocks, and of those some dead. */
static struct tv *scattered(void)
{
	struct tv *t = fresh();

	for (unsigned i = 0; i < 120; i++) {
		scatter(t, 8, i);
		tv_write_text(t, (uint64_t)(i % 7) << 20, 65536, i);
		ck_assert_ok(lsvd_volume_seal(t->v));
	}
	tv_sync(t);
	return t;
}

/* Of objects as full as they are made, with the most that one which is not leaves over. */
static uint64_t few(const struct tv *t, const struct lsvd_gc_status *s)
{
	return s->live_bytes / (t->o.segment_bytes / 4 * 3) + 2;
}

START_TEST(what_is_scattered_over_many_objects_is_in_few_and_reads_the_same)
{
	struct tv *t = scattered();
	struct lsvd_gc_status before = status_of(t), s = pack(t), again;

	ck_assert_uint_ge(before.data_objects, 100);
	ck_assert_uint_le(s.data_objects, few(t, &s));
	ck_assert_uint_lt(s.stored_bytes, before.stored_bytes);
	ck_assert_uint_eq(s.live_bytes, before.live_bytes);
	ck_assert_uint_eq(s.data_bytes, s.live_bytes);
	tv_check_all(t);
	lsvd_vol_check_parts(t->v);
	again = pack(t);
	ck_assert_uint_eq(again.copied_bytes, s.copied_bytes); /* nothing more */
	tv_close(t);
	tv_run("rm -rf '%s'", t->cache, NULL);
	tv_open(t);
	tv_check_all(t);
	again = pack(t);
	ck_assert_uint_eq(again.copied_bytes, 0);
	ck_assert_uint_eq(again.data_objects, s.data_objects);
	tv_free(t);
}
END_TEST

/* Of what is larger than half an object two do not fit into one: they are cut. */
START_TEST(long_extents_are_packed_as_well_as_short_ones)
{
	struct tv *t = fresh();
	const uint32_t len = t->o.segment_bytes / 8 * 5;
	struct lsvd_gc_status s;

	for (uint64_t i = 0; i < 24; i++) {
		tv_write(t, i * 4 * t->o.segment_bytes, len, i);
		ck_assert_ok(lsvd_volume_seal(t->v));
	}
	s = pack(t);
	ck_assert_uint_le(s.data_objects, few(t, &s));
	tv_check_all(t);
	ck_assert_uint_eq(pack(t).copied_bytes, s.copied_bytes); /* nothing more */
	tv_free(t);
}
END_TEST

/* What there is in an object whose snapshot keeps it would only be there twice. */
START_TEST(what_a_snapshot_keeps_is_not_copied)
{
	struct tv *t = scattered();
	struct lsvd_gc_status s;

	snapshot(t, "s");
	ck_assert_uint_eq(pack(t).copied_bytes, 0);
	for (unsigned i = 0; i < 40; i++) {
		scatter(t, 4, 1000 + i);
		ck_assert_ok(lsvd_volume_seal(t->v));
	}
	s = pack(t);
	ck_assert_uint_gt(s.copied_bytes, 0);
	ck_assert_uint_le(s.copied_bytes, 40 * 4 * TV_BLOCK);
	tv_check_all(t);
	ck_assert_ok(lsvd_snapshot_delete(t->v, "s", EVER));
	s = pack(t);
	ck_assert_uint_le(s.data_objects, few(t, &s));
	tv_check_all(t);
	tv_free(t);
}
END_TEST

static int stop_at_third(void *ctx, const struct lsvd_gc_status *s)
{
	unsigned *calls = ctx;

	(void)s;
	return ++*calls == 3;
}

START_TEST(what_was_packed_when_it_was_stopped_stays_so)
{
	struct lsvd_collect_options o = LSVD_COLLECT_OPTIONS_INIT;
	struct tv *t = scattered();
	struct lsvd_gc_status s;
	unsigned stops = 0;
	int err;

	do {
		unsigned calls = 0;

		o.flags = LSVD_COLLECT_PACK;
		o.progress = stop_at_third;
		o.ctx = &calls;
		err = lsvd_volume_collect(t->v, &o, NULL);
		ck_assert(err == 0 || err == -ECANCELED);
		stops += err != 0;
		ck_assert_uint_lt(stops, 100);
		tv_check_all(t);
	} while (err);
	ck_assert_uint_gt(stops, 0);
	s = pack(t);
	ck_assert_uint_le(s.data_objects, few(t, &s));
	tv_free(t);
}
END_TEST

START_TEST(a_clone_packs_its_own_and_leaves_what_is_its_base_s)
{
	struct tv *t = scattered();
	struct lsvd_gc_status s;
	struct other *c;

	snapshot(t, "s");
	c = clone_of(t, TV_NAME, "s", "c");
	for (unsigned i = 0; i < 30; i++) {
		scatter(&c->t, 3, 2000 + i);
		ck_assert_ok(lsvd_volume_seal(c->t.v));
	}
	s = pack(&c->t);
	ck_assert_uint_le(s.copied_bytes, 30 * 3 * TV_BLOCK);
	ck_assert_uint_le(s.data_objects, few(&c->t, &s));
	tv_check_all(&c->t);
	reopen_other(c);
	tv_check_all(&c->t);
	end_other(c);
	tv_free(t);
}
END_TEST

START_TEST(wrong_calls_are_refused)
{
	struct lsvd_collect_options o = LSVD_COLLECT_OPTIONS_INIT;
	struct tv *t = fresh();

	o.flags = LSVD_COLLECT_PACK | LSVD_COLLECT_NO_COPY;
	ck_assert_err(lsvd_volume_collect(t->v, &o, NULL), -EINVAL);
	ck_assert_uint_eq(pack(t).copied_bytes, 0); /* there is nothing */
	tv_free(t);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("volume_pack");
	TCase *c = tcase_create("pack");

	tcase_set_timeout(c, 60);
	tcase_add_test(c, what_is_scattered_over_many_objects_is_in_few_and_reads_the_same);
	tcase_add_test(c, long_extents_are_packed_as_well_as_short_ones);
	tcase_add_test(c, what_a_snapshot_keeps_is_not_copied);
	tcase_add_test(c, what_was_packed_when_it_was_stopped_stays_so);
	tcase_add_test(c, a_clone_packs_its_own_and_leaves_what_is_its_base_s);
	tcase_add_test(c, wrong_calls_are_refused);
	suite_add_tcase(s, c);
	return s;
}

T_MAIN(suite)

/* SPDX-License-Identifier: BSD-2-Clause */
/* test_gc_pass.c - what a pass over victims does next, whoever drives it. */
#include "t_check.h"

#include <errno.h>

#include "log/gc_pass.h"

static void begin(struct gc_pass *p, struct gc_limits limits, size_t victims)
{
	lsvd_gc_pass_begin(p, &limits, victims, 1000);
}

/* One victim at a time, of which `bytes` live: a letter for each step. */
static void drive(struct gc_pass *p, uint64_t bytes, char *steps)
{
	enum gc_next next;
	uint64_t gathered = 0;
	size_t i, expected = p->next;

	while ((next = lsvd_gc_pass_next(p, &i)) != GC_OVER) {
		ck_assert_int_ne(next, GC_WAIT);
		*steps++ = next == GC_SURVEY ? 's' : 'M';
		if (next == GC_SURVEY) {
			ck_assert_uint_eq(i, expected++);
			gathered += bytes;
			lsvd_gc_pass_surveyed(p, 0, bytes);
		} else {
			lsvd_gc_pass_moved(p, 0, gathered);
			gathered = 0;
		}
	}
	*steps = '\0';
}

START_TEST(rounds_are_as_long_as_they_may_be_and_nothing_is_left_unmoved)
{
	struct gc_pass p;
	char steps[32];

	begin(&p, (struct gc_limits){ .at_once = 1, .round_bytes = 20 }, 5);
	drive(&p, 10, steps);
	ck_assert_str_eq(steps, "ssMssMsM");
	ck_assert_uint_eq(p.copied, 50);
	ck_assert_int_eq(p.err, 0);

	begin(&p, (struct gc_limits){ .at_once = 1 }, 3);
	drive(&p, 10, steps);
	ck_assert_str_eq(steps, "sssM");

	begin(&p, (struct gc_limits){ .at_once = 1 }, 0);
	drive(&p, 10, steps);
	ck_assert_str_eq(steps, "");
}
END_TEST

START_TEST(a_limit_ends_the_pass_after_the_victim_that_reaches_it)
{
	struct gc_pass p;
	char steps[32];

	begin(&p, (struct gc_limits){ .at_once = 1, .round_bytes = 20, .bytes = 25 }, 9);
	drive(&p, 10, steps);
	ck_assert_str_eq(steps, "ssMsM");
	begin(&p, (struct gc_limits){ .at_once = 1, .bytes = 1 }, 9);
	drive(&p, 10, steps);
	ck_assert_str_eq(steps, "sM");
}
END_TEST

START_TEST(several_are_surveyed_at_once_and_the_move_waits_for_all)
{
	struct gc_pass p;
	size_t i;

	begin(&p, (struct gc_limits){ .at_once = 2 }, 3);
	ck_assert_int_eq(lsvd_gc_pass_next(&p, &i), GC_SURVEY);
	ck_assert_int_eq(lsvd_gc_pass_next(&p, &i), GC_SURVEY);
	ck_assert_int_eq(lsvd_gc_pass_next(&p, &i), GC_WAIT);
	lsvd_gc_pass_surveyed(&p, 0, 1);
	ck_assert_int_eq(lsvd_gc_pass_next(&p, &i), GC_SURVEY);
	ck_assert_uint_eq(i, 2);
	lsvd_gc_pass_surveyed(&p, 0, 1);
	ck_assert_int_eq(lsvd_gc_pass_next(&p, &i), GC_WAIT);
	lsvd_gc_pass_surveyed(&p, 0, 1);
	ck_assert_int_eq(lsvd_gc_pass_next(&p, &i), GC_MOVE);
	ck_assert_int_eq(lsvd_gc_pass_next(&p, &i), GC_WAIT);
	lsvd_gc_pass_moved(&p, -EIO, 0);
	ck_assert_int_eq(lsvd_gc_pass_next(&p, &i), GC_OVER);
	ck_assert_int_eq(p.err, -EIO);
}
END_TEST

START_TEST(an_error_of_a_survey_ends_the_pass_without_a_move)
{
	struct gc_pass p;
	size_t i;

	begin(&p, (struct gc_limits){ .at_once = 2 }, 9);
	(void)lsvd_gc_pass_next(&p, &i);
	(void)lsvd_gc_pass_next(&p, &i);
	lsvd_gc_pass_surveyed(&p, -EIO, 0);
	ck_assert_int_eq(lsvd_gc_pass_next(&p, &i), GC_WAIT);
	lsvd_gc_pass_surveyed(&p, -ENOMEM, 0);
	ck_assert_int_eq(lsvd_gc_pass_next(&p, &i), GC_OVER);
	ck_assert_int_eq(p.err, -EIO); /* the first */
}
END_TEST

START_TEST(a_cancelled_pass_ends_what_is_under_way_and_says_so_unless_all_was_done)
{
	struct gc_pass p;
	size_t i;

	begin(&p, (struct gc_limits){ .at_once = 1, .round_bytes = 1 }, 2);
	(void)lsvd_gc_pass_next(&p, &i);
	lsvd_gc_pass_cancel(&p);
	ck_assert_int_eq(lsvd_gc_pass_next(&p, &i), GC_WAIT);
	lsvd_gc_pass_surveyed(&p, 0, 5);
	ck_assert_int_eq(lsvd_gc_pass_next(&p, &i), GC_OVER);
	ck_assert_int_eq(p.err, -ECANCELED);

	begin(&p, (struct gc_limits){ .at_once = 1, .round_bytes = 1 }, 1);
	(void)lsvd_gc_pass_next(&p, &i);
	lsvd_gc_pass_surveyed(&p, 0, 5);
	ck_assert_int_eq(lsvd_gc_pass_next(&p, &i), GC_MOVE);
	lsvd_gc_pass_cancel(&p); /* too late */
	lsvd_gc_pass_moved(&p, 0, 5);
	ck_assert_int_eq(lsvd_gc_pass_next(&p, &i), GC_OVER);
	ck_assert_int_eq(p.err, 0);
	ck_assert_uint_eq(p.copied, 5);
}
END_TEST

START_TEST(work_is_due_when_its_rate_allows)
{
	ck_assert_uint_eq(lsvd_gc_due(1000, 0, 100), 1000);
	ck_assert_uint_eq(lsvd_gc_due(1000, 250, 100), 3500);
	ck_assert_uint_eq(lsvd_gc_due(0, 1ull << 60, 0x1p60), 1000); /* no product overflows */
}
END_TEST

static Suite *gc_pass_suite(void)
{
	Suite *s = suite_create("gc_pass");
	TCase *c = tcase_create("steps");

	tcase_add_test(c, rounds_are_as_long_as_they_may_be_and_nothing_is_left_unmoved);
	tcase_add_test(c, a_limit_ends_the_pass_after_the_victim_that_reaches_it);
	tcase_add_test(c, several_are_surveyed_at_once_and_the_move_waits_for_all);
	tcase_add_test(c, an_error_of_a_survey_ends_the_pass_without_a_move);
	tcase_add_test(c, a_cancelled_pass_ends_what_is_under_way_and_says_so_unless_all_was_done);
	tcase_add_test(c, work_is_due_when_its_rate_allows);
	suite_add_tcase(s, c);
	return s;
}

T_MAIN(gc_pass_suite)

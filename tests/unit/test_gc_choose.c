/* SPDX-License-Identifier: BSD-2-Clause */
/* test_gc_choose.c - which segments are collected, and what that costs. */
#include "t_check.h"

#include "gc_model.h"

static const struct gc_segment some[] = {
	{ .id = 1, .data = 100, .live = 90, .sealed = 10, .written = 10 },
	{ .id = 2, .data = 100, .live = 20, .sealed = 990, .written = 990 },
	{ .id = 3, .data = 100, .live = 0, .sealed = 10, .written = 10 },
	{ .id = 4, .data = 100, .live = 25, .sealed = 100, .written = 100, .class = GC_YOUNG },
	{ .id = 5, .data = 100, .live = 5, .sealed = 10, .written = 10, .pinned = true },
	{ .id = 6, .data = 100, .live = 100, .sealed = 1, .written = 1 },
	{ .id = 7, .data = 100, .live = 60, .sealed = 500, .written = 500, .class = GC_OLD },
};
#define N 7u

static void expect(const struct gc_policy *p, unsigned room, const uint64_t *ids, int n)
{
	struct gc_choice got[N];

	ck_assert_int_eq(lsvd_gc_choose(some, N, p, got, room), n);
	for (int i = 0; i < n; i++)
		ck_assert_uint_eq(got[i].id, ids[i]);
}

START_TEST(the_stale_strategy_takes_what_is_stale_enough_the_most_stale_first)
{
	struct gc_policy p = { .strategy = GC_STALE, .stale = 0.4, .budget = 1000, .now = 1000 };

	expect(&p, N, (uint64_t[]){ 2, 4, 7 }, 3);
	p.stale = 0.78;
	expect(&p, N, (uint64_t[]){ 2 }, 1);
	p.stale = 0;
	expect(&p, N, (uint64_t[]){ 2, 4, 7, 1 }, 4);
	expect(&p, 2, (uint64_t[]){ 2, 4 }, 2);
	p.budget = 50;
	expect(&p, N, (uint64_t[]){ 2, 4 }, 2);
	p.budget = 1; /* one is always taken, or nothing would ever get better */
	expect(&p, N, (uint64_t[]){ 2 }, 1);
}
END_TEST

START_TEST(every_one_that_lives_and_is_not_pinned_is_taken_in_order_until_the_budget_is_spent)
{
	struct gc_policy p = { .strategy = GC_EVERY, .target = 2.1, .budget = 1000, .now = 1000 };

	expect(&p, N, (uint64_t[]){ 1, 2, 4, 6, 7 }, 5);
	expect(&p, 2, (uint64_t[]){ 1, 2 }, 2);
	p.budget = 120;
	expect(&p, N, (uint64_t[]){ 1, 2 }, 2);
}
END_TEST

START_TEST(the_space_strategy_stops_when_the_target_is_reached)
{
	struct gc_policy p = { .strategy = GC_SPACE, .target = 2.1, .budget = 1000, .now = 1000 };

	ck_assert_double_eq_tol(lsvd_gc_amplification(some, N), 600.0 / 300, 1e-9);
	expect(&p, N, NULL, 0);
	p.target = 1.7; /* without what is pinned: 500 / 295 */
	expect(&p, N, NULL, 0);
	p.target = 1.5;
	expect(&p, N, (uint64_t[]){ 2 }, 1); /* 420 / 295 */
	p.target = 1.4;
	expect(&p, N, (uint64_t[]){ 2, 4 }, 2); /* 345 / 295 */
	p.target = 1;
	expect(&p, N, (uint64_t[]){ 2, 4, 7, 1 }, 4);
}
END_TEST

START_TEST(cost_benefit_prefers_what_has_been_left_alone)
{
	struct gc_policy p = { .strategy = GC_COST_BENEFIT, .target = 1, .budget = 1000,
			       .now = 1000 };

	expect(&p, N, (uint64_t[]){ 4, 7, 2, 1 }, 4);
	p.now = 100000; /* all of them have been: least lives in 2 */
	expect(&p, N, (uint64_t[]){ 2, 4, 7, 1 }, 4);
}
END_TEST

START_TEST(what_was_collected_before_is_sorted_by_age)
{
	struct gc_policy p = { .strategy = GC_STALE, .stale = 0, .budget = 1000, .now = 1000,
			       .lifespan = 100 };
	struct gc_choice got[N];

	ck_assert_int_eq(lsvd_gc_choose(some, N, &p, got, N), 4);
	ck_assert_uint_eq(got[0].class, GC_OF_HOT); /* 2: a user's */
	ck_assert_uint_eq(got[1].class, GC_OLD); /* 4: 900 old */
	ck_assert_uint_eq(got[2].class, GC_OLD); /* 7: 500 old */
	p.now = 5000;
	ck_assert_int_eq(lsvd_gc_choose(some, N, &p, got, N), 4);
	ck_assert_uint_eq(got[1].class, GC_OLDEST);
	p.lifespan = 0;
	ck_assert_int_eq(lsvd_gc_choose(some, N, &p, got, N), 4);
	ck_assert_uint_eq(got[1].class, GC_YOUNG);
}
END_TEST

START_TEST(what_holds_little_is_packed_if_it_is_worth_it)
{
	struct gc_policy p = { .strategy = GC_PACK, .target = 1, .budget = 16 * 60, .now = 1000 };

	expect(&p, N, NULL, 0); /* 2, 4, 7: three are too few */
	p.budget = 16 * 90;
	expect(&p, N, (uint64_t[]){ 2, 4, 7, 1 }, 4);
	p.budget = 16 * 100;
	expect(&p, N, (uint64_t[]){ 2, 4, 7, 1, 6 }, 5); /* also what is wholly alive */
}
END_TEST

START_TEST(nothing_at_all_is_well_collected)
{
	struct gc_policy p = { .strategy = GC_SPACE, .target = 1, .budget = 1 };
	struct gc_choice got;

	ck_assert_int_eq(lsvd_gc_choose(some, 0, &p, &got, 1), 0);
	ck_assert_double_eq_tol(lsvd_gc_amplification(some, 0), 1, 1e-9);
}
END_TEST

/* What theory says of uniform writes, with a share x of the space live: u = (x - 1) / ln x dies. */
START_TEST(uniform_writes_cost_what_theory_says)
{
	static const struct {
		double share, cost;
	} theory[] = { { 0.7, 1.88 }, { 0.8, 2.69 } };
	static const enum gc_strategy strategies[] = { GC_SPACE, GC_COST_BENEFIT };
	struct gc_policy p = { .strategy = strategies[_i % 2], .target = 1 / theory[_i / 2].share,
			       .budget = UINT64_MAX };
	struct gc_model m;
	double cost;

	gc_model_init(&m, 1u << 16, 0, &p);
	gc_model_fill(&m);
	(void)gc_model_run(&m, 3); /* until it has settled */
	cost = gc_model_run(&m, 3);
	ck_assert_double_le(lsvd_gc_amplification(m.segments, m.count), p.target * 1.01);
	ck_assert_double_eq_tol(cost, theory[_i / 2].cost, 0.04 * theory[_i / 2].cost);
	gc_model_free(&m);
}
END_TEST

START_TEST(skewed_writes_cost_less_with_ages_than_without)
{
	struct gc_policy p = { .strategy = GC_SPACE, .target = 1 / 0.7, .budget = UINT64_MAX };
	double cost[2];

	for (int i = 0; i < 2; i++) {
		struct gc_model m;

		p.strategy = i ? GC_COST_BENEFIT : GC_SPACE;
		gc_model_init(&m, 1u << 16, 0.99, &p);
		gc_model_fill(&m);
		(void)gc_model_run(&m, 6);
		cost[i] = gc_model_run(&m, 3);
		gc_model_free(&m);
	}
	printf("zipf 0.99 at 70 %%: space %.2f, cost-benefit %.2f\n", cost[0], cost[1]);
	ck_assert_double_lt(cost[1], cost[0]);
	ck_assert_double_lt(cost[1], 1.6);
}
END_TEST

static Suite *gc_choose_suite(void)
{
	Suite *s = suite_create("gc_choose");
	TCase *c = tcase_create("choices");

	tcase_add_test(c, the_stale_strategy_takes_what_is_stale_enough_the_most_stale_first);
	tcase_add_test(
		c,
		every_one_that_lives_and_is_not_pinned_is_taken_in_order_until_the_budget_is_spent);
	tcase_add_test(c, the_space_strategy_stops_when_the_target_is_reached);
	tcase_add_test(c, cost_benefit_prefers_what_has_been_left_alone);
	tcase_add_test(c, what_was_collected_before_is_sorted_by_age);
	tcase_add_test(c, what_holds_little_is_packed_if_it_is_worth_it);
	tcase_add_test(c, nothing_at_all_is_well_collected);
	suite_add_tcase(s, c);

	c = tcase_create("model");
	tcase_set_timeout(c, 120);
	tcase_add_loop_test(c, uniform_writes_cost_what_theory_says, 0, 4);
	tcase_add_test(c, skewed_writes_cost_less_with_ages_than_without);
	suite_add_tcase(s, c);
	return s;
}

T_MAIN(gc_choose_suite)

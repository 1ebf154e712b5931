/* SPDX-License-Identifier: BSD-2-Clause */
/* test_io_clock.c - timers of the real clock: when they end, in which order, and being canceled. */
#include <pthread.h>

#include "io/port.h"
#include "io/world_real.h"
#include "t_check.h"

static struct world *world;
static struct port port;

static void setup(void)
{
	ck_assert_ok(lsvd_world_real_open(&world, NULL, NULL, false));
	ck_assert_ok(lsvd_port_init(&port, world));
}

static void teardown(void)
{
	lsvd_port_fini(&port);
	lsvd_world_real_close(world);
}

#define FAR_MS 3600000u

struct alarm {
	struct timer_io timer;
	uint64_t ended_ms;
	unsigned place;              /* the how-manieth to end */
};

static unsigned ended;

static void note_end(struct io *io)
{
	struct alarm *a = lsvd_container_of(io, struct alarm, timer.io);

	a->ended_ms = world->clk->now_ms(world);
	a->place = ended++;
}

static void start_locked(struct alarm *a, uint64_t at_ms)
{
	a->timer = (struct timer_io){ .io = { .kind = IO_TIMER, .done = note_end },
				      .at_ms = at_ms };
	lsvd_port_start(&port, &a->timer.io);
}

static void wait_for(unsigned n)
{
	lsvd_port_enter(&port);
	while (ended < n)
		lsvd_port_wait(&port);
	lsvd_port_leave(&port, true);
}

START_TEST(io_clock_timer_ends_at_its_time_or_later_never_before)
{
	struct alarm a;

	ended = 0;
	lsvd_port_enter(&port);
	start_locked(&a, world->clk->now_ms(world) + 30);
	lsvd_port_leave(&port, false);
	wait_for(1);
	ck_assert_int_eq(a.timer.io.err, 0);
	ck_assert_uint_ge(a.ended_ms, a.timer.at_ms);
}
END_TEST

START_TEST(io_clock_timer_of_the_past_ends_at_once)
{
	struct alarm a;

	ended = 0;
	lsvd_port_enter(&port);
	start_locked(&a, 0);
	lsvd_port_leave(&port, false);
	ck_assert_uint_eq(ended, 1);
	ck_assert_int_eq(a.timer.io.err, 0);
}
END_TEST

START_TEST(io_clock_timers_end_in_the_order_of_their_times)
{
	enum { N = 200 };
	static struct alarm alarms[N];
	uint64_t seed = t_seed(), now, lead = 50;

	/* All must have been started before the first is due: until we were quick enough. */
	do {
		ended = 0;
		lsvd_port_enter(&port);
		now = world->clk->now_ms(world);
		for (unsigned i = 0; i < N; i++)
			start_locked(&alarms[i], now + lead + t_random_below(&seed, 50));
		lsvd_port_leave(&port, false);
		lead = world->clk->now_ms(world) >= now + lead ? 2 * lead : 0;
		wait_for(N);
	} while (lead);
	for (unsigned i = 0; i < N; i++) {
		ck_assert_int_eq(alarms[i].timer.io.err, 0);
		ck_assert_uint_ge(alarms[i].ended_ms, alarms[i].timer.at_ms);
		for (unsigned j = 0; j < N; j++)
			if (alarms[i].timer.at_ms < alarms[j].timer.at_ms)
				ck_assert_uint_lt(alarms[i].place, alarms[j].place);
	}
}
END_TEST

START_TEST(io_clock_canceled_timer_ends_early_with_ecanceled)
{
	struct alarm a, b;

	ended = 0;
	lsvd_port_enter(&port);
	start_locked(&a, world->clk->now_ms(world) + FAR_MS);
	start_locked(&b, world->clk->now_ms(world) + FAR_MS + 1);
	lsvd_port_leave(&port, false);
	lsvd_port_enter(&port);
	world->clk->cancel(world, &b.timer);
	world->clk->cancel(world, &b.timer); /* once more is once */
	world->clk->cancel(world, &a.timer);
	ck_assert_uint_eq(ended, 0); /* not inside the call */
	lsvd_port_leave(&port, false);
	wait_for(2);
	ck_assert_int_eq(a.timer.io.err, -ECANCELED);
	ck_assert_int_eq(b.timer.io.err, -ECANCELED);
}
END_TEST

START_TEST(io_clock_timer_canceled_before_it_was_started_ends_with_ecanceled)
{
	struct alarm a;

	ended = 0;
	lsvd_port_enter(&port);
	start_locked(&a, world->clk->now_ms(world) + FAR_MS);
	world->clk->cancel(world, &a.timer);
	lsvd_port_leave(&port, false);
	wait_for(1);
	ck_assert_int_eq(a.timer.io.err, -ECANCELED);
}
END_TEST

START_TEST(io_clock_canceled_timer_can_be_started_again)
{
	struct alarm a;

	for (unsigned i = 0; i < 100; i++) {
		ended = 0;
		lsvd_port_enter(&port);
		start_locked(&a, world->clk->now_ms(world) + FAR_MS);
		lsvd_port_leave(&port, false);
		lsvd_port_enter(&port);
		world->clk->cancel(world, &a.timer);
		lsvd_port_leave(&port, false);
		wait_for(1);
		ck_assert_int_eq(a.timer.io.err, -ECANCELED);
	}
}
END_TEST

enum { THREADS = 4, ROUNDS = 500 };

struct user {
	pthread_t thread;
	uint64_t seed;
};

/* Cancels race with timers that end by themselves: each ends once, one way or the other. */
static void *start_and_cancel(void *arg)
{
	struct user *u = arg;

	for (unsigned i = 0; i < ROUNDS; i++) {
		struct alarm a = { .ended_ms = 0 };

		lsvd_port_enter(&port);
		start_locked(&a, world->clk->now_ms(world) + t_random_below(&u->seed, 2));
		lsvd_port_leave(&port, false);
		lsvd_port_enter(&port);
		if (!a.ended_ms)
			world->clk->cancel(world, &a.timer);
		while (!a.ended_ms)
			lsvd_port_wait(&port);
		ck_assert(a.timer.io.err == 0 || a.timer.io.err == -ECANCELED);
		lsvd_port_leave(&port, true);
	}
	return NULL;
}

START_TEST(io_clock_cancel_races_with_the_end_and_each_timer_ends_once)
{
	struct user users[THREADS];
	uint64_t seed = t_seed();

	ended = 0;
	for (unsigned i = 0; i < THREADS; i++) {
		users[i].seed = t_random(&seed);
		ck_assert_int_eq(
			pthread_create(&users[i].thread, NULL, start_and_cancel, &users[i]), 0);
	}
	for (unsigned i = 0; i < THREADS; i++)
		ck_assert_int_eq(pthread_join(users[i].thread, NULL), 0);
	ck_assert_uint_eq(ended, THREADS * ROUNDS);
}
END_TEST

START_TEST(io_clock_wall_time_is_the_systems)
{
	int64_t ms = world->clk->wall_ms(world), now = (int64_t)time(NULL) * 1000;

	ck_assert_int_ge(ms, now - 5000);
	ck_assert_int_le(ms, now + 5000);
}
END_TEST

START_TEST(io_random_bytes_differ_and_fill_the_whole)
{
	uint8_t a[1000] = { 0 }, b[1000] = { 0 };
	unsigned zeroes = 0;

	world->rnd->fill(world, a, sizeof a);
	world->rnd->fill(world, b, sizeof b);
	ck_assert_int_ne(memcmp(a, b, sizeof a), 0);
	for (unsigned i = 0; i < sizeof a; i++)
		zeroes += a[i] == 0;
	ck_assert_uint_lt(zeroes, 40); /* four expected */
}
END_TEST

static Suite *io_clock_suite(void)
{
	Suite *s = suite_create("io clock");
	TCase *t = tcase_create("timers");

	tcase_set_timeout(t, 60);
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, io_clock_timer_ends_at_its_time_or_later_never_before);
	tcase_add_test(t, io_clock_timer_of_the_past_ends_at_once);
	tcase_add_test(t, io_clock_timers_end_in_the_order_of_their_times);
	tcase_add_test(t, io_clock_canceled_timer_ends_early_with_ecanceled);
	tcase_add_test(t, io_clock_timer_canceled_before_it_was_started_ends_with_ecanceled);
	tcase_add_test(t, io_clock_canceled_timer_can_be_started_again);
	tcase_add_test(t, io_clock_cancel_races_with_the_end_and_each_timer_ends_once);
	tcase_add_test(t, io_clock_wall_time_is_the_systems);
	tcase_add_test(t, io_random_bytes_differ_and_fill_the_whole);
	suite_add_tcase(s, t);
	return s;
}

T_MAIN(io_clock_suite)

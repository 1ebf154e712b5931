/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_nbd_limits.c - what a client can make the server hold: counts and bytes of one connection,
 * the budget of all, and that whoever waits goes on by itself when there is room again.
 */
#include "nbd_peer.h"

#define MIB (UINT32_C(1) << 20)

static struct peer t;

static void set_up(void)
{
	peer_init(&t);
	peer_go(&t, "disk", false);
	t.hold = true;
}

static void tear_down(void)
{
	peer_fini(&t);
}

static void finish_all(void)
{
	while (t.held_count) {
		peer_finish_one(&t, 0);
		peer_run(&t);
	}
}

static void expect_writes(uint64_t count)
{
	for (uint64_t i = 0; i < count; i++)
		expect_simple(&t, i, 0);
	ck_assert_uint_eq(said(&t), 0);
}

START_TEST(requests_beyond_the_count_wait_and_go_on)
{
	for (uint64_t i = 0; i < 500; i++)
		say_request(&t, NBD_CMD_FLUSH, 0, i, 0, 0);
	peer_run(&t);
	ck_assert_uint_eq(t.held_count, 128);
	ck_assert_int_eq(t.conn.pause, NBD_PAUSE_OWN);
	finish_all();
	expect_writes(500);
}
END_TEST

START_TEST(replies_not_taken_count_too)
{
	t.hold = false;
	t.deaf = true;
	for (uint64_t i = 0; i < 500; i++)
		say_request(&t, NBD_CMD_READ, 0, i, 0, 4096);
	peer_run(&t);
	ck_assert_uint_eq(t.conn.inflight, 128);
	ck_assert_uint_eq(t.conn.bytes, 128 * 4096);
	t.deaf = false;
	peer_run(&t);
	ck_assert_uint_eq(said(&t), 500 * (16 + 4096));
	ck_assert_uint_eq(t.conn.bytes, 0);
}
END_TEST

START_TEST(reads_beyond_the_bytes_wait)
{
	for (uint64_t i = 0; i < 20; i++)
		say_request(&t, NBD_CMD_READ, 0, i, 0, 16 * MIB);
	peer_run(&t);
	ck_assert_uint_eq(t.held_count, 4);
	peer_finish_one(&t, 0);
	ck_assert_uint_eq(t.held_count, 3);
	peer_run(&t);
	ck_assert_uint_eq(t.held_count, 4);
}
END_TEST

START_TEST(one_largest_request_is_served)
{
	say_request(&t, NBD_CMD_READ, 0, 1, 512, 64 * MIB);
	peer_run(&t);
	ck_assert_uint_eq(t.held_count, 1);
	finish_all();
	expect_simple(&t, 1, 0);
	ck_assert_uint_eq(said(&t), 64 * MIB);
	(void)take_bytes(&t, 64 * MIB);
	say_write(&t, 2, 0, 64 * MIB, 5);
	peer_run(&t);
	finish_all();
	expect_simple(&t, 2, 0);
}
END_TEST

START_TEST(write_that_waits_is_not_received)
{
	say_request(&t, NBD_CMD_READ, 0, 0, 0, 60 * MIB);
	say_write(&t, 1, 0, 10 * MIB, 1);
	peer_run(&t);
	ck_assert_uint_eq(t.held_count, 1);
	ck_assert_uint_lt(t.in_at, NBD_CHUNK_ROOM + 4096); /* no more than lay in the buffer */
	finish_all();
	expect_simple(&t, 0, 0);
	(void)take_bytes(&t, 60 * MIB);
	expect_simple(&t, 1, 0);
}
END_TEST

START_TEST(receive_memory_is_bounded_while_nothing_ends)
{
	/* Each write of 32 KiB pins its chunk. */
	for (uint64_t i = 0; i < 128; i++)
		say_write(&t, i, i * 32768, 32768, i);
	peer_run(&t);
	ck_assert_uint_le(t.conn.chunks, NBD_CHUNKS_MAX);
	ck_assert_uint_gt(t.held_count, 64);
	finish_all();
	expect_writes(128);
}
END_TEST

START_TEST(idle_connection_holds_nothing)
{
	t.hold = false;
	say_write(&t, 0, 0, 4096, 1);
	say_write(&t, 1, 0, MIB, 1);
	peer_run(&t);
	ck_assert_uint_eq(t.mem.lent, 0);
	ck_assert_uint_eq(t.conn.bytes, 0);
	ck_assert_ptr_null(t.conn.chunk);
}
END_TEST

/* Two connections under one budget. */
static struct peer other;

static void set_up_two(void)
{
	set_up();
	peer_init(&other);
	other.mem.budget = &t.budget;
	peer_go(&other, "disk", false);
	other.hold = true;
	t.budget.max = 64 * MIB;
}

static void tear_down_two(void)
{
	nbd_conn_kill(&other.conn, "");
	while (other.held_count)
		peer_finish_one(&other, 0);
	nbd_conn_fini(&other.conn);
	ck_assert_uint_eq(other.mem.lent, 0);
	nbd_mem_fini(&other.mem);
	free(other.in.p);
	free(other.out.p);
	(void)munmap(other.disk, DISK_BYTES); /* ours, mapped in peer_init() */
	tear_down();
}

START_TEST(greedy_client_makes_other_greedy_ones_wait)
{
	for (uint64_t i = 0; i < 4; i++)
		say_request(&t, NBD_CMD_READ, 0, i, 0, 16 * MIB);
	peer_run(&t);
	ck_assert_uint_eq(t.held_count, 4);
	say_request(&other, NBD_CMD_READ, 0, 1, 0, 8 * MIB);
	peer_run(&other);
	ck_assert_uint_eq(other.held_count, 0);
	ck_assert_int_eq(other.conn.pause, NBD_PAUSE_SHARED);
	finish_all();
	peer_run(&other);
	ck_assert_uint_eq(other.held_count, 1);
}
END_TEST

START_TEST(modest_client_is_served_whatever_others_hold)
{
	for (uint64_t i = 0; i < 4; i++)
		say_request(&t, NBD_CMD_READ, 0, i, 0, 16 * MIB);
	peer_run(&t);
	for (uint64_t i = 0; i < 100; i++)
		say_request(&other, NBD_CMD_READ, 0, i, 0, 8192);
	peer_run(&other);
	ck_assert_uint_eq(other.held_count, 100);
}
END_TEST

START_TEST(what_a_dead_connection_held_is_given_back)
{
	for (uint64_t i = 0; i < 3; i++)
		say_request(&t, NBD_CMD_READ, 0, i, 0, 16 * MIB);
	say_request(&t, NBD_CMD_WRITE, 0, 3, 0, 8 * MIB); /* and its data never comes */
	peer_run(&t);
	ck_assert_uint_eq(atomic_load(&t.budget.used), 55 * MIB);
	nbd_conn_kill(&t.conn, "gone");
	ck_assert_uint_eq(atomic_load(&t.budget.used), 47 * MIB);
	while (t.held_count)
		peer_finish_one(&t, 0);
	ck_assert_uint_eq(atomic_load(&t.budget.used), 0);
}
END_TEST

START_TEST(random_sessions_end_with_nothing_held)
{
	uint64_t seed = t_seed();

	for (int round = 0; round < 200; round++) {
		peer_init(&t);
		peer_go(&t, "disk", t_random_below(&seed, 2));
		t.hold = true;
		t.limits.inflight = 1 + (uint32_t)t_random_below(&seed, 20);
		t.in_step = t_random_below(&seed, 3) ? 0 : 1 + t_random_below(&seed, 5000);
		for (int i = 0; i < 40; i++) {
			uint64_t off = t_random_below(&seed, 1000) * 512;
			uint32_t len = (uint32_t)t_random_below(&seed, 200) * 512;

			if (t_random_below(&seed, 2))
				say_write(&t, (uint64_t)i, off, len, seed);
			else
				say_request(&t, (uint16_t)t_random_below(&seed, 9), 0, (uint64_t)i,
					    off, len);
			if (t_random_below(&seed, 3) == 0)
				peer_run(&t);
			if (t.held_count && t_random_below(&seed, 2))
				peer_finish_one(&t, t_random_below(&seed, t.held_count));
		}
		if (t_random_below(&seed, 2))
			nbd_conn_kill(&t.conn, "at any point");
		peer_fini(&t);
	}
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("nbd_limits");
	TCase *c;

	c = tcase_create("one connection");
	tcase_add_checked_fixture(c, set_up, tear_down);
	tcase_set_timeout(c, 30);
	tcase_add_test(c, requests_beyond_the_count_wait_and_go_on);
	tcase_add_test(c, replies_not_taken_count_too);
	tcase_add_test(c, reads_beyond_the_bytes_wait);
	tcase_add_test(c, one_largest_request_is_served);
	tcase_add_test(c, write_that_waits_is_not_received);
	tcase_add_test(c, receive_memory_is_bounded_while_nothing_ends);
	tcase_add_test(c, idle_connection_holds_nothing);
	suite_add_tcase(s, c);

	c = tcase_create("several connections");
	tcase_add_checked_fixture(c, set_up_two, tear_down_two);
	tcase_add_test(c, greedy_client_makes_other_greedy_ones_wait);
	tcase_add_test(c, modest_client_is_served_whatever_others_hold);
	tcase_add_test(c, what_a_dead_connection_held_is_given_back);
	suite_add_tcase(s, c);

	c = tcase_create("random");
	tcase_set_timeout(c, 60);
	tcase_add_test(c, random_sessions_end_with_nothing_held);
	suite_add_tcase(s, c);
	return s;
}

T_MAIN(suite)

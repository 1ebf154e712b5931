/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Tests of a volume used by many threads, and of many volumes in one process.
 * lsvd-test: timeout=300 labels=tsan
 */
#include <pthread.h>

#include "t_volume.h"

#include <sched.h>

#define THREADS 4u

struct worker {
	struct tv *t;
	unsigned number;
	uint64_t seed;
	pthread_t thread;
	int *stop;
};

static void start_all(struct worker *w, unsigned n, struct tv *t, void *(*fn)(void *ctx), int *stop)
{
	uint64_t seed = t_seed();

	for (unsigned i = 0; i < n; i++) {
		w[i] = (struct worker){ .t = t, .number = i, .seed = seed + i, .stop = stop };
		ck_assert_int_eq(pthread_create(&w[i].thread, NULL, fn, &w[i]), 0);
	}
}

static void join_all(struct worker *w, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		ck_assert_int_eq(pthread_join(w[i].thread, NULL), 0);
}

static bool stopped(const struct worker *w)
{
	return __atomic_load_n(w->stop, __ATOMIC_ACQUIRE);
}

static void stop(int *flag)
{
	__atomic_store_n(flag, 1, __ATOMIC_RELEASE);
}

/* A small log and small segments, so that everything is on the move all the time. */
static struct tv *busy(void)
{
	struct tv *t = tv_new();

	t->o.log_bytes = 1u << 20;
	t->o.segment_bytes = 64u << 10;
	t->o.checkpoint_segments = 4;
	t->o.rcache_bytes = 1u << 20;
	tv_open(t);
	return t;
}

/* ------------------------------------------------------------------------------ disjoint ranges */

static void *work_in_own_range(void *ctx)
{
	struct worker *w = ctx;
	uint64_t base = (uint64_t)w->number << 20;

	for (unsigned i = 0; i < 200; i++) {
		uint32_t len = (uint32_t)(512 * (1 + t_random_below(&w->seed, 48)));
		uint64_t off = base + 512 * t_random_below(&w->seed, ((1u << 20) - len) / 512);

		switch (t_random_below(&w->seed, 8)) {
		case 0:
			tv_trim(w->t, off, len);
			break;
		case 1:
			tv_flush(w->t);
			break;
		case 2:
		case 3:
		case 4:
			tv_check(w->t, off, len);
			break;
		case 5:
			tv_write_text(w->t, off, len, i);
			break;
		default:
			tv_write_flags(w->t, off, len, t_random(&w->seed),
				       i % 16 ? 0 : LSVD_IO_FUA);
		}
	}
	return NULL;
}

START_TEST(threads_in_ranges_of_their_own_see_what_they_wrote)
{
	struct worker w[THREADS];
	struct tv *t = busy();

	start_all(w, THREADS, t, work_in_own_range, NULL);
	join_all(w, THREADS);
	tv_check_all(t);
	tv_reopen(t);
	tv_check_all(t);
	tv_free(t);
}
END_TEST

/* --------------------------------------------------------------------------- overlapping ranges */

#define SHARED_BLOCKS 64u

static uint64_t versions[SHARED_BLOCKS]; /* newest acknowledged, of each block */

static void fill_block(uint64_t *block, uint64_t version, unsigned number)
{
	for (unsigned i = 0; i < 512; i++)
		block[i] = version * SHARED_BLOCKS + number;
}

/* Each block has one writer, which says what it got acknowledged. */
static void *write_versions(void *ctx)
{
	struct worker *w = ctx;
	uint64_t block[512];

	for (uint64_t version = 1; version <= 60; version++) {
		for (unsigned b = w->number; b < SHARED_BLOCKS; b += 2) {
			fill_block(block, version, b);
			ck_assert_ok(lsvd_volume_write(w->t->v, block, b * 4096, 4096, 0));
			__atomic_store_n(&versions[b], version, __ATOMIC_RELEASE);
		}
	}
	return NULL;
}

/* What was acknowledged before a read began is seen by it, and every block is one whole write. */
static void *read_versions(void *ctx)
{
	struct worker *w = ctx;
	uint64_t *buf = tv_buffer(16384);

	while (!stopped(w)) {
		unsigned first = (unsigned)t_random_below(&w->seed, SHARED_BLOCKS - 4);
		uint64_t least[4];

		for (unsigned i = 0; i < 4; i++)
			least[i] = __atomic_load_n(&versions[first + i], __ATOMIC_ACQUIRE);
		ck_assert_ok(lsvd_volume_read(w->t->v, buf, first * 4096, 16384));
		for (unsigned i = 0; i < 4; i++) {
			const uint64_t *block = buf + 512 * i;

			for (unsigned j = 1; j < 512; j++)
				ck_assert_uint_eq(block[j], block[0]);
			ck_assert_uint_ge(block[0] / SHARED_BLOCKS, least[i]);
			ck_assert(block[0] == 0 || block[0] % SHARED_BLOCKS == first + i);
		}
	}
	free(buf);
	return NULL;
}

START_TEST(an_acknowledged_write_is_seen_by_every_later_read)
{
	struct worker writers[2], readers[2];
	struct tv *t = busy();
	int flag = 0;

	start_all(writers, 2, t, write_versions, NULL);
	start_all(readers, 2, t, read_versions, &flag);
	join_all(writers, 2);
	stop(&flag);
	join_all(readers, 2);
	tv_free(t);
}
END_TEST

static void *write_anywhere(void *ctx)
{
	struct worker *w = ctx;
	uint64_t block[512];

	for (uint64_t i = 0; i < 300; i++) {
		unsigned b = (unsigned)t_random_below(&w->seed, 8);

		fill_block(block, i * THREADS + w->number, b);
		ck_assert_ok(lsvd_volume_write(w->t->v, block, b * 4096, 4096, 0));
	}
	return NULL;
}

START_TEST(the_order_that_was_seen_is_the_order_that_stays)
{
	struct worker w[THREADS];
	struct tv *t = busy();
	uint64_t *seen = tv_buffer(32768), *later = tv_buffer(32768);

	start_all(w, THREADS, t, write_anywhere, NULL);
	join_all(w, THREADS);
	ck_assert_ok(lsvd_volume_read(t->v, seen, 0, 32768));
	for (unsigned b = 0; b < 8; b++)
		for (unsigned i = 1; i < 512; i++)
			ck_assert_uint_eq(seen[b * 512 + i], seen[b * 512]);
	for (unsigned i = 0; i < 3; i++) {
		tv_sync(t);
		tv_reopen(t);
		ck_assert_ok(lsvd_volume_read(t->v, later, 0, 32768));
		ck_assert_mem_eq(seen, later, 32768);
	}
	free(seen);
	free(later);
	tv_free(t);
}
END_TEST

/* ----------------------------------------------------------------- reads while things are moved */

static void *read_the_same(void *ctx)
{
	struct worker *w = ctx;

	while (!stopped(w))
		tv_check(w->t, 512 * t_random_below(&w->seed, 768), 65536);
	return NULL;
}

START_TEST(read_while_a_segment_becomes_stored)
{
	struct worker w[2];
	struct tv *t = busy();
	int flag = 0;

	for (unsigned i = 0; i < 8; i++)
		tv_write(t, i * 65536, 65536, i);
	start_all(w, 2, t, read_the_same, &flag);
	/* The same bytes again and again, so that they lie everywhere and always read the same. */
	for (unsigned round = 0; round < 60; round++) {
		ck_assert_ok(lsvd_volume_write(t->v, t->model + round % 8 * 65536,
					       round % 8 * 65536, 65536, 0));
		tv_write(t, (8 + round % 32) * 65536, 65536, round);
		if (round % 3 == 0)
			ck_assert_ok(lsvd_volume_seal(t->v));
		if (round % 10 == 0)
			tv_sync(t);
	}
	stop(&flag);
	join_all(w, 2);
	tv_check_all(t);
	tv_free(t);
}
END_TEST

static void *ask(void *ctx)
{
	struct worker *w = ctx;
	struct lsvd_status_extent extents[8];
	char text[64];

	while (!stopped(w)) {
		struct lsvd_stats s = tv_stats(w->t);

		ck_assert_uint_le(s.stored_op, s.last_op);
		ck_assert_uint_le(s.durable_op, s.last_op);
		ck_assert_uint_le(s.log_used, s.log_capacity);
		ck_assert_int_eq(lsvd_volume_status(w->t->v, text, sizeof text), 0);
		ck_assert_int_gt(lsvd_volume_block_status(w->t->v, 0, TV_BYTES, extents, 8), 0);
		if (w->number == 0)
			ck_assert_ok(lsvd_volume_seal(w->t->v));
		else
			ck_assert_ok(lsvd_volume_checkpoint(w->t->v, UINT32_MAX));
	}
	return NULL;
}

START_TEST(questions_and_orders_may_come_at_any_time)
{
	struct worker askers[2], workers[2];
	struct tv *t = busy();
	int flag = 0;

	start_all(askers, 2, t, ask, &flag);
	start_all(workers, 2, t, work_in_own_range, NULL);
	join_all(workers, 2);
	stop(&flag);
	join_all(askers, 2);
	tv_check_all(t);
	tv_free(t);
}
END_TEST

static void *read_cold(void *ctx)
{
	struct worker *w = ctx;

	for (unsigned i = 0; i < 60; i++)
		tv_check(w->t, 512 * t_random_below(&w->seed, (2u << 20) / 512 - 256), 131072);
	return NULL;
}

START_TEST(cold_ranges_may_be_read_by_many_at_once)
{
	struct worker w[THREADS];
	struct tv *t = busy();

	for (unsigned i = 0; i < 32; i++)
		tv_write(t, i * 65536, 65536, i);
	tv_reopen(t);
	start_all(w, THREADS, t, read_cold, NULL);
	join_all(w, THREADS);
	tv_free(t);
}
END_TEST

/* -------------------------------------------------------------------------------------- flushes */

static void *write_and_flush(void *ctx)
{
	struct worker *w = ctx;

	for (unsigned i = 0; i < 20; i++) {
		uint64_t acknowledged;

		tv_write(w->t, ((uint64_t)w->number << 16) + i % 4 * 4096, 4096, i);
		acknowledged = tv_stats(w->t).last_op;
		tv_flush(w->t);
		ck_assert_uint_ge(tv_stats(w->t).durable_op, acknowledged);
	}
	return NULL;
}

START_TEST(flushes_of_many_threads_share_syncs)
{
	struct worker w[16];
	struct tv *t = busy();
	struct lsvd_stats s;

	start_all(w, 16, t, write_and_flush, NULL);
	join_all(w, 16);
	s = tv_stats(t);
	ck_assert_uint_eq(s.flushes, 320);
	ck_assert_uint_eq(s.durable_op, s.last_op);
	ck_assert_uint_lt(s.log_syncs, 320);
	tv_check_all(t);
	tv_free(t);
}
END_TEST

/* ----------------------------------------------------------------------------------- submission */

struct chain {
	struct lsvd_io io;
	struct iovec iov;
	struct tv *t;
	uint8_t data[4096];
	unsigned number, left;
	int err, over;
};

static void chain_next(struct lsvd_io *io)
{
	struct chain *c = io->user;

	if (io->err && !c->err)
		c->err = io->err;
	if (c->left == 0 || c->err) {
		__atomic_store_n(&c->over, 1, __ATOMIC_RELEASE);
		return;
	}
	c->left--;
	t_fill(c->data, sizeof c->data, c->number * 1000 + c->left);
	c->iov = (struct iovec){ c->data, sizeof c->data };
	c->io = (struct lsvd_io){ .kind = c->left % 7 ? LSVD_IO_WRITE : LSVD_IO_FLUSH,
				  .off = ((uint64_t)c->number << 16) + c->left % 16 * 4096,
				  .len = c->left % 7 ? 4096 : 0, .iov = &c->iov, .iovcnt = 1,
				  .done = chain_next, .user = c };
	if (c->left % 7)
		memcpy(c->t->model + c->io.off, c->data, 4096);
	lsvd_volume_submit(c->t->v, &c->io);
}

START_TEST(many_chains_of_callbacks_run_at_once)
{
	struct tv *t = busy();
	struct chain *c = calloc(16, sizeof *c);

	ck_assert_ptr_nonnull(c);
	for (unsigned i = 0; i < 16; i++) {
		c[i].t = t;
		c[i].number = i;
		c[i].left = 200;
		c[i].io.user = &c[i];
		chain_next(&c[i].io);
	}
	for (unsigned i = 0; i < 16; i++) {
		tv_wait_for(__atomic_load_n(&c[i].over, __ATOMIC_ACQUIRE));
		ck_assert_int_eq(c[i].err, 0);
	}
	tv_check_all(t);
	free(c);
	tv_free(t);
}
END_TEST

/* --------------------------------------------------------------------------------- many volumes */

static void *live_a_life(void *ctx)
{
	struct worker *w = ctx;
	struct lsvd_volume_options o = w->t->o;
	uint8_t *data = tv_buffer(262144), *back = tv_buffer(262144);
	char name[16];

	(void)snprintf(name, sizeof name, "vol%u", w->number); /* fits */
	ck_assert_ok(lsvd_volume_create(w->t->store, name, 4u << 20, NULL, NULL));
	for (unsigned round = 0; round < 5; round++) {
		struct lsvd_volume *v;

		ck_assert_ok(lsvd_volume_open(&v, w->t->store, name, &o));
		if (round) {
			ck_assert_ok(lsvd_volume_read(v, back, 4096, 262144));
			ck_assert_mem_eq(data, back, 262144);
		}
		t_fill(data, 262144, w->number * 100 + round);
		ck_assert_ok(lsvd_volume_write(v, data, 4096, 262144, 0));
		ck_assert_int_eq(lsvd_volume_close(v, UINT32_MAX), 0);
	}
	free(data);
	free(back);
	return NULL;
}

START_TEST(many_volumes_share_a_process_and_its_cache)
{
	struct worker w[6];
	struct tv *t = busy();

	start_all(w, 6, t, live_a_life, NULL);
	tv_write(t, 0, 65536, 1);
	join_all(w, 6);
	tv_check_all(t);
	tv_free(t);
}
END_TEST

START_TEST(many_volumes_come_and_go_while_nothing_else_is_open)
{
	struct worker w[THREADS];
	struct tv *t = busy();

	tv_close(t); /* the shared cache is opened and closed by them */
	start_all(w, THREADS, t, live_a_life, NULL);
	join_all(w, THREADS);
	tv_free(t);
}
END_TEST

#define MANY 3000u /* extents of one object: several times what is applied at once */

static void count_down(struct lsvd_io *io)
{
	(void)__atomic_sub_fetch((unsigned *)io->user, 1, __ATOMIC_RELEASE);
}

/* Objects of many small extents, one after the other. */
static void *make_extents(void *ctx)
{
	struct worker *w = ctx;
	struct lsvd_io *ios = calloc(MANY, sizeof *ios);

	ck_assert_ptr_nonnull(ios);
	for (unsigned round = 0; round < 100; round++) {
		unsigned left = MANY;

		for (unsigned i = 0; i < MANY; i++)
			ios[i] = (struct lsvd_io){
				.kind = LSVD_IO_WRITE_ZEROES, .flags = LSVD_IO_NO_HOLE,
				.off = i * 1024, .len = 512, .done = count_down, .user = &left,
				.next = i + 1 < MANY ? &ios[i + 1] : NULL,
			};
		lsvd_volume_submit(w->t->v, ios);
		while (__atomic_load_n(&left, __ATOMIC_ACQUIRE))
			sched_yield();
		ck_assert_ok(lsvd_volume_seal(w->t->v));
	}
	free(ios);
	return NULL;
}

/* The library asserts that a checkpoint is begun between two objects only. */
START_TEST(checkpoints_at_any_time_stand_between_two_objects)
{
	struct worker askers[2], makers[1];
	struct tv *t = busy();
	int flag = 0;

	start_all(makers, 1, t, make_extents, NULL);
	start_all(askers, 2, t, ask, &flag);
	join_all(makers, 1);
	stop(&flag);
	join_all(askers, 2);
	tv_reopen(t);
	tv_check_all(t);
	tv_free(t);
}
END_TEST

static void *wait_for_the_store(void *ctx)
{
	struct worker *w = ctx;

	ck_assert_err(lsvd_volume_sync(w->t->v, UINT32_MAX), LSVD_E_SHUTDOWN);
	return NULL;
}

START_TEST(a_sync_that_waits_ends_when_the_volume_is_closed)
{
	struct worker w[1];
	struct tv *t = tv_new();
	struct lsvd_volume *v;

	tv_open(t);
	tv_fault(t, (struct fault_rule){ .verbs = FAULT_PUT, .key = "/d/",
					 .kind = FAULT_FAIL, .err = LSVD_E_UNAVAILABLE });
	tv_write(t, 0, 65536, 1);
	start_all(w, 1, t, wait_for_the_store, NULL);
	while (tv_stats(t).retries == 0)
		sched_yield(); /* it has sealed the segment, and waits */
	v = t->v;
	ck_assert_int_eq(lsvd_volume_close(v, 0), 1);
	join_all(w, 1);
	t->v = NULL;
	tv_free(t);
}
END_TEST

/* -------------------------------------------------------------------------------------- suite */

static Suite *volume_threads_suite(void)
{
	Suite *s = suite_create("volume_threads");
	TCase *c = tcase_create("threads");

	tcase_set_timeout(c, 120);
	tcase_add_test(c, threads_in_ranges_of_their_own_see_what_they_wrote);
	tcase_add_test(c, an_acknowledged_write_is_seen_by_every_later_read);
	tcase_add_test(c, the_order_that_was_seen_is_the_order_that_stays);
	tcase_add_test(c, read_while_a_segment_becomes_stored);
	tcase_add_test(c, questions_and_orders_may_come_at_any_time);
	tcase_add_test(c, checkpoints_at_any_time_stand_between_two_objects);
	tcase_add_test(c, a_sync_that_waits_ends_when_the_volume_is_closed);
	tcase_add_test(c, cold_ranges_may_be_read_by_many_at_once);
	tcase_add_test(c, flushes_of_many_threads_share_syncs);
	tcase_add_test(c, many_chains_of_callbacks_run_at_once);
	tcase_add_test(c, many_volumes_share_a_process_and_its_cache);
	tcase_add_test(c, many_volumes_come_and_go_while_nothing_else_is_open);
	suite_add_tcase(s, c);
	return s;
}

T_MAIN(volume_threads_suite)

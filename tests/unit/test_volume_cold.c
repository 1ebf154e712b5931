/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Tests of cold reads: one GET for all who miss the same bytes, neighbours fetched together, what
 * is
 * read ahead of a sequential stream and what is not. lsvd-test: timeout=300 labels=tsan
 */
#include <pthread.h>

#include "t_volume.h"

#define OWN_CACHE (64u << 20) /* sparse: so large that no set of it overflows */
#define DATA_BYTES (8u << 20)

/* 8 MiB of data in objects of 128 KiB, nothing of it in the log: a second, clean open. */
static struct tv *stored_in(uint64_t rcache_bytes, uint32_t ahead, uint32_t compression,
			    uint32_t step)
{
	struct tv *t = tv_new();

	t->o.rcache_bytes = rcache_bytes;
	t->o.read_ahead_bytes = ahead;
	t->o.compression = compression;
	tv_open(t);
	for (uint32_t off = 0; off < DATA_BYTES; off += step) {
		if (compression == LSVD_COMPRESS_NONE)
			tv_write(t, off, step, off + 1);
		else
			tv_write_text(t, off, step, off + 1);
	}
	tv_reopen(t);
	tv_bring_map(t);
	store_fault_reset_counts(t->fault);
	return t;
}

static struct tv *stored(uint64_t rcache_bytes, uint32_t ahead)
{
	return stored_in(rcache_bytes, ahead, LSVD_COMPRESS_NONE, 65536);
}

static uint64_t gets(struct tv *t)
{
	return store_fault_calls(t->fault, FAULT_GET);
}

static void hold_gets(struct tv *t, unsigned times)
{
	tv_fault(t, (struct fault_rule){ .verbs = FAULT_GET, .times = times, .kind = FAULT_HOLD });
}

/* ------------------------------------------------------------------------- operations in flight */

#define READS 8

struct reads {
	struct lsvd_io io[READS];
	struct iovec iov[READS];
	uint8_t *buf[READS];
	unsigned left;
};

static void read_done(struct lsvd_io *io)
{
	(void)__atomic_sub_fetch((unsigned *)io->user, 1, __ATOMIC_ACQ_REL);
}

static void set_read(struct reads *r, unsigned i, uint64_t off, uint32_t len)
{
	r->buf[i] = tv_buffer(len);
	r->iov[i] = (struct iovec){ r->buf[i], len };
	r->io[i] = (struct lsvd_io){ .kind = LSVD_IO_READ, .off = off, .len = len,
				     .iov = &r->iov[i], .iovcnt = 1, .done = read_done,
				     .user = &r->left };
}

/* Together, or each by itself. */
static void submit(struct tv *t, struct reads *r, unsigned n, bool together)
{
	__atomic_store_n(&r->left, n, __ATOMIC_RELEASE);
	for (unsigned i = 0; together && i + 1 < n; i++)
		r->io[i].next = &r->io[i + 1];
	for (unsigned i = 0; i < (together ? 1 : n); i++)
		lsvd_volume_submit(t->v, &r->io[i]);
}

static void wait_reads(struct tv *t, struct reads *r, unsigned n, int want)
{
	tv_wait_for(__atomic_load_n(&r->left, __ATOMIC_ACQUIRE) == 0);
	for (unsigned i = 0; i < n; i++) {
		ck_assert_err(r->io[i].err, want);
		if (!want)
			ck_assert_mem_eq(r->buf[i], t->model + r->io[i].off, r->io[i].len);
		free(r->buf[i]);
	}
}

/* -------------------------------------------------------------------------------- single flight */

START_TEST(reads_of_the_same_missing_bytes_make_one_get)
{
	struct tv *t = stored(_i ? OWN_CACHE : UINT64_MAX, UINT32_MAX);
	struct reads r = { .left = 0 };

	hold_gets(t, 1);
	for (unsigned i = 0; i < READS; i++)
		set_read(&r, i, 12288, 4096);
	submit(t, &r, READS, false);
	store_fault_wait_held(t->fault, 1);
	store_fault_release(t->fault);
	wait_reads(t, &r, READS, 0);
	ck_assert_uint_eq(gets(t), 1);
	ck_assert_uint_eq(tv_stats(t).shared_gets, READS - 1);
	tv_free(t);
}
END_TEST

START_TEST(a_part_of_what_is_being_fetched_is_not_fetched_again)
{
	struct tv *t = stored(UINT64_MAX, UINT32_MAX);
	struct reads r = { .left = 0 };

	hold_gets(t, 1);
	set_read(&r, 0, 0, 65536);
	for (unsigned i = 1; i < READS; i++)
		set_read(&r, i, i * 4096 + 512, 2048);
	submit(t, &r, READS, false);
	store_fault_wait_held(t->fault, 1);
	store_fault_release(t->fault);
	wait_reads(t, &r, READS, 0);
	ck_assert_uint_eq(gets(t), 1);
	tv_free(t);
}
END_TEST

START_TEST(an_error_of_a_shared_get_reaches_all_who_wait)
{
	struct tv *t = stored(UINT64_MAX, UINT32_MAX);
	struct reads r = { .left = 0 };

	tv_fault(t, (struct fault_rule){ .verbs = FAULT_GET, .kind = FAULT_FAIL, .err = -EPROTO });
	for (unsigned i = 0; i < READS; i++)
		set_read(&r, i, 8192, 4096);
	submit(t, &r, READS, true);
	wait_reads(t, &r, READS, -EPROTO);
	ck_assert_uint_eq(gets(t), 1);
	store_fault_clear(t->fault);
	tv_check(t, 8192, 4096);
	tv_free(t);
}
END_TEST

START_TEST(damage_in_a_shared_get_is_asked_for_again_by_all)
{
	struct tv *t = stored(OWN_CACHE, UINT32_MAX);
	struct reads r = { .left = 0 };

	tv_fault(t, (struct fault_rule){ .verbs = FAULT_GET, .times = 1, .kind = FAULT_FLIP });
	for (unsigned i = 0; i < READS; i++)
		set_read(&r, i, 8192, 4096);
	submit(t, &r, READS, true);
	wait_reads(t, &r, READS, 0);
	ck_assert_uint_ge(gets(t), 2);
	ck_assert_uint_eq(tv_stats(t).corrupt, 0);
	tv_free(t);
}
END_TEST

START_TEST(neighbours_of_one_batch_are_one_get)
{
	struct tv *t = stored(UINT64_MAX, UINT32_MAX);
	struct reads r = { .left = 0 };

	for (unsigned i = 0; i < READS; i++)
		set_read(&r, i, 4096 * (READS - 1 - i), 4096);
	submit(t, &r, READS, true);
	wait_reads(t, &r, READS, 0);
	ck_assert_uint_eq(gets(t), 1);
	ck_assert_uint_le(store_fault_bytes(t->fault, FAULT_GET), READS * 4112);
	tv_free(t);
}
END_TEST

START_TEST(reads_far_apart_are_not_joined)
{
	struct tv *t = stored(UINT64_MAX, UINT32_MAX);
	struct reads r = { .left = 0 };

	for (unsigned i = 0; i < READS; i++)
		set_read(&r, i, UINT64_C(16384) * i, 4096);
	submit(t, &r, READS, true);
	wait_reads(t, &r, READS, 0);
	ck_assert_uint_eq(gets(t), READS);
	ck_assert_uint_le(store_fault_bytes(t->fault, FAULT_GET), READS * 4112);
	tv_free(t);
}
END_TEST

/* N12: written in 4 KiB or stored raw, at most twice the bytes; else one unit. */
START_TEST(a_cold_read_fetches_at_most_twice_its_bytes_or_one_unit)
{
	const struct {
		uint32_t compression, step, most;
	} how[] = {
		{ LSVD_COMPRESS_NONE, 4096, 2 * 4096 },
		{ LSVD_COMPRESS_NONE, 65536, 2 * 4096 },
		{ LSVD_COMPRESS_LZ4, 4096, 2 * 4096 },
		{ LSVD_COMPRESS_LZ4, 65536, 16384 + 16 },
	};
	struct tv *t = stored_in(UINT64_MAX, 0, how[_i].compression, how[_i].step);
	uint64_t s = 77;

	for (unsigned i = 0; i < 100; i++) {
		uint64_t before = store_fault_bytes(t->fault, FAULT_GET), calls = gets(t);

		s = s * 6364136223846793005u + 1442695040888963407u;
		tv_check(t, (s >> 33) % (DATA_BYTES / 4096) * 4096, 4096);
		ck_assert_uint_le(store_fault_bytes(t->fault, FAULT_GET) - before, how[_i].most);
		ck_assert_uint_eq(gets(t) - calls, 1);
	}
	tv_free(t);
}
END_TEST

/* ----------------------------------------------------------------------------------- read-ahead */

static void wait_idle(struct tv *t)
{
	tv_wait_for(store_fault_in_flight(t->fault, NULL) == 0);
}

START_TEST(a_sequential_stream_is_read_ahead)
{
	struct tv *t = stored(_i ? OWN_CACHE : UINT64_MAX, 1u << 20);
	struct lsvd_stats st;

	for (uint32_t off = 0; off < DATA_BYTES; off += 16384) {
		tv_check(t, off, 16384);
		wait_idle(t);
	}
	st = tv_stats(t);
	ck_assert_uint_gt(st.ahead_gets, 0);
	ck_assert_uint_ge(st.ahead_get_bytes, DATA_BYTES * UINT64_C(9) / 10);
	ck_assert_uint_eq(st.data_gets, gets(t));
	/* Nothing twice, and nearly nothing that somebody had to wait for. */
	ck_assert_uint_le(st.data_get_bytes, DATA_BYTES * UINT64_C(105) / 100);
	ck_assert_uint_le(st.data_gets, st.ahead_gets + 16);
	tv_free(t);
}
END_TEST

START_TEST(several_streams_are_read_ahead_side_by_side)
{
	struct tv *t = stored(OWN_CACHE, 512u << 10);
	struct lsvd_stats st;

	for (uint32_t off = 0; off < DATA_BYTES / 4; off += 32768)
		for (uint32_t i = 0; i < 4; i++) {
			tv_check(t, i * (DATA_BYTES / 4) + off, 32768);
			wait_idle(t);
		}
	st = tv_stats(t);
	ck_assert_uint_le(st.data_gets, st.ahead_gets + 4 * 8);
	tv_free(t);
}
END_TEST

START_TEST(random_reads_read_nothing_ahead)
{
	struct tv *t = stored(OWN_CACHE, 0);
	uint64_t s = 5;

	for (unsigned i = 0; i < 300; i++) {
		s = s * 6364136223846793005u + 1442695040888963407u;
		/* Every fourth block only: no two reads touch, whatever chance says. */
		tv_check(t, (s >> 33) % (DATA_BYTES / 16384) * 16384, 4096);
	}
	ck_assert_uint_eq(tv_stats(t).ahead_gets, 0);
	tv_free(t);
}
END_TEST

START_TEST(read_ahead_can_be_switched_off)
{
	struct tv *t = stored(OWN_CACHE, UINT32_MAX);

	for (uint32_t off = 0; off < DATA_BYTES; off += 65536)
		tv_check(t, off, 65536);
	ck_assert_uint_eq(tv_stats(t).ahead_gets, 0);
	tv_free(t);
}
END_TEST

START_TEST(a_stream_that_ends_leaves_little_unread)
{
	struct tv *t = stored(OWN_CACHE, 8u << 20);

	for (uint32_t off = 0; off < 262144; off += 16384) {
		tv_check(t, off, 16384);
		wait_idle(t);
	}
	for (uint32_t off = DATA_BYTES / 2; off < DATA_BYTES; off += 131072)
		tv_check(t, off, 4096);
	wait_idle(t);
	/* The window was doubled a few times, from 64 KiB. */
	ck_assert_uint_le(tv_stats(t).ahead_get_bytes, 2u << 20);
	tv_free(t);
}
END_TEST

START_TEST(what_is_in_the_cache_is_not_read_ahead_for_ever)
{
	struct tv *t = stored(OWN_CACHE, 1u << 20);
	uint64_t before;

	for (uint32_t off = 0; off < DATA_BYTES; off += 65536)
		tv_check(t, off, 65536);
	tv_reopen(t); /* waits for the fills */
	before = gets(t);
	for (uint32_t off = 0; off < DATA_BYTES; off += 65536)
		tv_check(t, off, 65536);
	ck_assert_uint_eq(gets(t), before);
	ck_assert_uint_eq(tv_stats(t).ahead_gets, 0);
	tv_free(t);
}
END_TEST

/*
 * Object i holds the i-th 128 KiB and is number i + 2 of its chain: what these two reads have read
 * ahead are the 16 objects after them, whose keys tell them from all others. Of their GETs eight
 * are made at once.
 */
#define STREAM_READ (2u << 20)
#define STREAM_AT (0x30u * 131072u - 262144u - 2 * STREAM_READ)
#define AHEAD_AT (STREAM_AT + 2 * STREAM_READ)
#define AHEAD_KEYS ".000000000000003"
#define AHEAD_AT_ONCE 8u

static void read_a_stream(struct tv *t)
{
	tv_check(t, STREAM_AT, STREAM_READ);
	tv_check(t, STREAM_AT + STREAM_READ, STREAM_READ);
}

/* What is read ahead hangs: half of it has been sent. */
static struct tv *hanging_ahead(void)
{
	struct tv *t = stored(OWN_CACHE, 8u << 20);

	tv_fault(t, (struct fault_rule){ .verbs = FAULT_GET, .key = AHEAD_KEYS,
					 .kind = FAULT_HOLD });
	read_a_stream(t);
	store_fault_wait_held(t->fault, AHEAD_AT_ONCE);
	return t;
}

START_TEST(a_read_is_not_kept_waiting_by_what_is_read_ahead)
{
	struct tv *t = hanging_ahead();

	for (uint32_t off = 0; off < STREAM_AT; off += 131072)
		tv_check(t, off, 4096);
	store_fault_clear(t->fault);
	tv_check(t, AHEAD_AT, STREAM_READ);
	tv_free(t);
}
END_TEST

/* What hangs is let go once the close has its object in the store: it has begun, then. */
static void *let_go_when_closing(void *arg)
{
	struct tv *t = arg;

	tv_wait_for(store_fault_calls(t->fault, FAULT_PUT) > 0);
	store_fault_clear(t->fault);
	return NULL;
}

START_TEST(a_close_does_not_wait_for_what_was_to_be_read_ahead)
{
	struct tv *t = hanging_ahead();
	uint64_t before = gets(t);
	pthread_t thread;

	ck_assert_int_eq(pthread_create(&thread, NULL, let_go_when_closing, t), 0);
	tv_close(t);
	ck_assert_int_eq(pthread_join(thread, NULL), 0);
	ck_assert_uint_eq(gets(t), before);
	tv_free(t);
}
END_TEST

START_TEST(errors_of_what_is_read_ahead_are_nobodys)
{
	struct tv *t = stored(OWN_CACHE, 8u << 20);

	tv_fault(t, (struct fault_rule){ .verbs = FAULT_GET, .key = AHEAD_KEYS, .times = 3,
					 .kind = FAULT_FAIL, .err = -EACCES });
	read_a_stream(t);
	tv_wait_for(store_fault_hits(t->fault, FAULT_FAIL) == 3);
	tv_check(t, AHEAD_AT, STREAM_READ);
	ck_assert_uint_eq(tv_stats(t).errors, 0);
	tv_free(t);
}
END_TEST

START_TEST(overwritten_data_is_not_served_from_what_was_read_ahead)
{
	struct tv *t = stored(_i ? OWN_CACHE : UINT64_MAX, 8u << 20);

	for (uint32_t off = 0; off < DATA_BYTES / 2; off += 16384)
		tv_check(t, off, 16384);
	for (uint32_t off = 0; off < DATA_BYTES; off += 8192)
		tv_write(t, off, 4096, off + 9);
	tv_sync(t);
	tv_check_all(t);
	tv_free(t);
}
END_TEST

struct reader {
	struct tv *t;
	pthread_t thread;
	uint64_t seed;
};

static void *read_streams(void *arg)
{
	struct reader *r = arg;

	for (unsigned i = 0; i < 20; i++) {
		uint64_t off;

		r->seed = r->seed * 6364136223846793005u + 1442695040888963407u;
		off = (r->seed >> 33) % (DATA_BYTES / 4096) * 4096;
		for (unsigned n = 0; n < 24 && off + 12288 <= DATA_BYTES; n++, off += 12288)
			tv_check(r->t, off, 12288);
	}
	return NULL;
}

START_TEST(readers_on_many_threads_get_the_right_bytes)
{
	struct tv *t = stored_in(_i & 1 ? 2u << 20 : UINT64_MAX, 2u << 20,
				 _i & 2 ? LSVD_COMPRESS_LZ4 : LSVD_COMPRESS_NONE, 65536);
	struct reader r[6];

	for (unsigned i = 0; i < 6; i++) {
		r[i] = (struct reader){ .t = t, .seed = t_seed() + i };
		ck_assert_int_eq(pthread_create(&r[i].thread, NULL, read_streams, &r[i]), 0);
	}
	for (unsigned i = 0; i < 6; i++)
		ck_assert_int_eq(pthread_join(r[i].thread, NULL), 0);
	tv_check_all(t);
	tv_free(t);
}
END_TEST

/* ------------------------------------------------------------------------------------ the cache */

START_TEST(a_reader_uses_and_fills_the_cache_if_asked)
{
	struct tv *t = stored(OWN_CACHE, UINT32_MAX);

	tv_close(t);
	t->o.flags = LSVD_OPEN_READONLY | LSVD_OPEN_RCACHE;
	tv_open(t);
	tv_check(t, 0, 1u << 20);
	tv_reopen(t);
	tv_bring_map(t);
	store_fault_reset_counts(t->fault);
	tv_check(t, 0, 1u << 20);
	ck_assert_uint_eq(gets(t), 0);
	ck_assert_uint_eq(store_fault_calls(t->fault, FAULT_WRITES), 0);
	tv_free(t);
}
END_TEST

START_TEST(cache_status_tells_what_the_cache_has)
{
	struct tv *t = stored(OWN_CACHE, UINT32_MAX);
	struct lsvd_status_extent e[8];
	int n;

	ck_assert_int_eq(lsvd_volume_cache_status(t->v, 0, TV_BYTES, e, 8), 1);
	ck_assert_uint_eq(e[0].flags, 0);
	ck_assert_uint_eq(e[0].len, TV_BYTES);
	tv_check(t, 2u << 20, 1u << 20);
	tv_reopen(t);
	n = lsvd_volume_cache_status(t->v, 0, TV_BYTES, e, 8);
	ck_assert_int_eq(n, 3);
	ck_assert_uint_eq(e[1].flags, LSVD_STATUS_CACHED);
	/* Objects and lines do not end where the read did. */
	ck_assert_uint_le(e[0].len, 2u << 20);
	ck_assert_uint_ge(e[0].len + e[1].len, 3u << 20);
	ck_assert_uint_le(e[1].len, (1u << 20) + 4 * 65536);
	ck_assert_err(lsvd_volume_cache_status(t->v, 0, TV_BYTES + 512, e, 8), -EINVAL);
	ck_assert_err(lsvd_volume_cache_status(t->v, 0, 512, e, 0), -EINVAL);
	tv_close(t);
	t->o.rcache_bytes = UINT64_MAX;
	tv_open(t);
	ck_assert_err(lsvd_volume_cache_status(t->v, 0, 512, e, 8), -EINVAL);
	tv_free(t);
}
END_TEST

static Suite *volume_cold_suite(void)
{
	Suite *s = suite_create("volume_cold");
	TCase *flight = tcase_create("single flight");
	TCase *ahead = tcase_create("read-ahead");
	TCase *cache = tcase_create("cache");

	tcase_set_timeout(flight, 60);
	tcase_add_loop_test(flight, reads_of_the_same_missing_bytes_make_one_get, 0, 2);
	tcase_add_test(flight, a_part_of_what_is_being_fetched_is_not_fetched_again);
	tcase_add_test(flight, an_error_of_a_shared_get_reaches_all_who_wait);
	tcase_add_test(flight, damage_in_a_shared_get_is_asked_for_again_by_all);
	tcase_add_test(flight, neighbours_of_one_batch_are_one_get);
	tcase_add_test(flight, reads_far_apart_are_not_joined);
	tcase_add_loop_test(flight, a_cold_read_fetches_at_most_twice_its_bytes_or_one_unit, 0, 4);
	suite_add_tcase(s, flight);
	tcase_set_timeout(ahead, 60);
	tcase_add_loop_test(ahead, a_sequential_stream_is_read_ahead, 0, 2);
	tcase_add_test(ahead, several_streams_are_read_ahead_side_by_side);
	tcase_add_test(ahead, random_reads_read_nothing_ahead);
	tcase_add_test(ahead, read_ahead_can_be_switched_off);
	tcase_add_test(ahead, a_stream_that_ends_leaves_little_unread);
	tcase_add_test(ahead, what_is_in_the_cache_is_not_read_ahead_for_ever);
	tcase_add_test(ahead, a_read_is_not_kept_waiting_by_what_is_read_ahead);
	tcase_add_test(ahead, a_close_does_not_wait_for_what_was_to_be_read_ahead);
	tcase_add_test(ahead, errors_of_what_is_read_ahead_are_nobodys);
	tcase_add_loop_test(ahead, overwritten_data_is_not_served_from_what_was_read_ahead, 0, 2);
	tcase_add_loop_test(ahead, readers_on_many_threads_get_the_right_bytes, 0, 4);
	suite_add_tcase(s, ahead);
	tcase_set_timeout(cache, 60);
	tcase_add_test(cache, a_reader_uses_and_fills_the_cache_if_asked);
	tcase_add_test(cache, cache_status_tells_what_the_cache_has);
	suite_add_tcase(s, cache);
	return s;
}

T_MAIN(volume_cold_suite)

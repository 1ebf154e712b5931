/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_vlog_threads.c - a value log used by many threads: written, read,
 * collected at the same time.
 */
#include <pthread.h>

#include "t_vlog.h"

#define WRITERS 3u
#define READERS 2u
#define ROUNDS 40u

static struct t_vlog t;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* the index's own */
static uint64_t seeds[WRITERS][5];                       /* protected by lock */
static bool over;                                        /* protected by lock */

static int is_live(void *ctx, struct lsvd_vlog_query *q, size_t n)
{
	int err;

	pthread_mutex_lock(&lock);
	err = t_index_is_live(ctx, q, n);
	pthread_mutex_unlock(&lock);
	return err;
}

static int relocate(void *ctx, const struct lsvd_vlog_move *m, size_t n)
{
	int err;

	pthread_mutex_lock(&lock);
	err = t_index_relocate(ctx, m, n);
	pthread_mutex_unlock(&lock);
	return err;
}

static int finish(void *ctx, uint64_t *applied)
{
	int err;

	pthread_mutex_lock(&lock);
	err = t_index_finish(ctx, applied);
	pthread_mutex_unlock(&lock);
	return err;
}

static bool is_over(void)
{
	bool is;

	pthread_mutex_lock(&lock);
	is = over;
	pthread_mutex_unlock(&lock);
	return is;
}

static void *write_rounds(void *arg)
{
	const unsigned me = *(const unsigned *)arg;
	uint64_t random = me + 1;

	for (unsigned i = 0; i < ROUNDS; i++) {
		struct lsvd_vlog_writer *w = t_writer(&t);
		struct lsvd_vlog_pin *pin = NULL;

		for (unsigned k = 0; k < 5; k++) {
			const char key[3] = { (char)('A' + me), (char)('a' + k), 0 };
			uint64_t seed = t_random(&random);
			struct lsvd_vlog_handle h = t_put(w, key, 500, seed);
			struct lsvd_vlog_handle old = { 0, 0, 0 };
			struct t_entry *e;

			/* Each key once a commit: the index may have it only after that. */
			if (k != i % 5)
				continue;
			ck_assert_ok(lsvd_vlog_commit(w, &pin));
			pthread_mutex_lock(&lock);
			e = t_index_find(&t.ix, key, 2);
			if (e)
				old = e->h;
			t_index_set(&t.ix, key, 2, &h, 500);
			seeds[me][k] = seed;
			pthread_mutex_unlock(&lock);
			lsvd_vlog_pin_release(pin);
			if (old.segment) {
				int err = lsvd_vlog_note_stale(t.log, &old, 500);

				ck_assert(err == 0 || err == LSVD_E_STALE);
			}
			break;
		}
	}
	return NULL;
}

static void *read_on(void *arg)
{
	uint64_t random = 99;

	(void)arg;
	while (!is_over()) {
		struct lsvd_vlog_handle h = { 0, 0, 0 };
		unsigned me = (unsigned)t_random_below(&random, WRITERS);
		unsigned k = (unsigned)t_random_below(&random, 5);
		const char key[3] = { (char)('A' + me), (char)('a' + k), 0 };
		struct lsvd_vlog_pin *pin;
		struct t_entry *e;
		uint64_t seed;

		pthread_mutex_lock(&lock); /* a snapshot of both at one moment */
		ck_assert_ok(lsvd_vlog_snapshot(t.log, &pin));
		e = t_index_find(&t.ix, key, 2);
		if (e)
			h = e->h;
		seed = seeds[me][k];
		pthread_mutex_unlock(&lock);
		if (h.segment)
			t_reads(&t, &h, 500, seed);
		lsvd_vlog_pin_release(pin);
	}
	return NULL;
}

static void *collect_on(void *arg)
{
	(void)arg;
	while (!is_over()) {
		(void)t_gc(&t, LSVD_VLOG_PICK_SPACE, 1.2);
		(void)t_drop(&t);
	}
	return NULL;
}

START_TEST(writers_readers_and_a_collector_do_not_disturb_one_another)
{
	pthread_t writers[WRITERS], readers[READERS], collector;
	unsigned numbers[WRITERS];

	t_vlog_init(&t, "mem:");
	t.ops.is_live = is_live;
	t.ops.relocate = relocate;
	t.ops.finish = finish;
	for (unsigned i = 0; i < WRITERS; i++) {
		numbers[i] = i;
		ck_assert_int_eq(pthread_create(&writers[i], NULL, write_rounds, &numbers[i]), 0);
	}
	for (unsigned i = 0; i < READERS; i++)
		ck_assert_int_eq(pthread_create(&readers[i], NULL, read_on, NULL), 0);
	ck_assert_int_eq(pthread_create(&collector, NULL, collect_on, NULL), 0);
	for (unsigned i = 0; i < WRITERS; i++)
		(void)pthread_join(writers[i], NULL);
	pthread_mutex_lock(&lock);
	over = true;
	pthread_mutex_unlock(&lock);
	for (unsigned i = 0; i < READERS; i++)
		(void)pthread_join(readers[i], NULL);
	(void)pthread_join(collector, NULL);
	t_vlog_reopen(&t);
	ck_assert_uint_eq(t.ix.count, WRITERS * 5);
	for (unsigned i = 0; i < WRITERS; i++)
		for (unsigned k = 0; k < 5; k++)
			t_key_reads(&t, (char[]){ (char)('A' + i), (char)('a' + k), 0 }, 500,
				    seeds[i][k]);
	t_vlog_fini(&t);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("vlog_threads");
	TCase *c = tcase_create("threads");

	tcase_set_timeout(c, 100);
	tcase_add_test(c, writers_readers_and_a_collector_do_not_disturb_one_another);
	suite_add_tcase(s, c);
	return s;
}

T_MAIN(suite)

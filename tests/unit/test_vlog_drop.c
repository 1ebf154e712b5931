/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_vlog_drop.c - what leaves a value log and its store, and what must not,
 * while others are at work.
 */
#include <errno.h>
#include <pthread.h>
#include <sched.h>

#include "t_vlog.h"

static struct t_vlog t;

static void setup(void)
{
	t_vlog_init(&t, "mem:");
}

static void teardown(void)
{
	t_vlog_fini(&t);
}

/*
 * Whoever overwrites a key tells the index first and the log then; in between the index is asked.
 */
static struct lsvd_vlog_handle late;

static int is_live_and_then_noted(void *ctx, struct lsvd_vlog_query *q, size_t n)
{
	if (q[0].handle.segment != late.segment)
		ck_assert_ok(lsvd_vlog_note_stale(t.log, &late, 1000));
	return t_index_is_live(ctx, q, n);
}

START_TEST(what_is_noted_as_stale_behind_the_answer_of_the_index_costs_nothing)
{
	struct lsvd_vlog_index index = t.ops;
	struct lsvd_vlog_gc_result r = LSVD_VLOG_GC_RESULT_INIT;
	struct lsvd_vlog_handle other;

	index.is_live = is_live_and_then_noted;
	t_store_letters(&t, 2, 1000, 0); /* a, and b, which lives */
	late = t_index_find(&t.ix, "a", 1)->h;
	(void)t_store(&t, "a", 1000, 7);
	other = t_store(&t, "z", 1000, 8);
	/* Both are looked at: the statistics are wrong, as they may be after a crash. */
	for (unsigned i = 0; i < 2; i++)
		ck_assert_ok(lsvd_vlog_note_stale(t.log, &late, 1000));
	ck_assert_ok(lsvd_vlog_note_stale(t.log, &other, 1000));
	ck_assert_ok(lsvd_vlog_drop_stale(t.log, &index, &r));
	ck_assert_uint_eq(r.dropped, 0);
	t_key_reads(&t, "b", 1000, 'b');
	t_key_reads(&t, "z", 1000, 8);
}
END_TEST

START_TEST(an_error_of_the_index_is_the_error_of_the_call)
{
	struct lsvd_vlog_gc_result r = LSVD_VLOG_GC_RESULT_INIT;
	struct lsvd_vlog_handle h = t_store(&t, "a", 1000, 1);

	ck_assert_ok(lsvd_vlog_note_stale(t.log, &h, 1000));
	/* Also one that the log itself would pass over. */
	t.ix.fail_ask = _i ? LSVD_E_STALE : LSVD_E_CORRUPT;
	ck_assert_err(lsvd_vlog_drop_stale(t.log, &t.ops, &r), t.ix.fail_ask);
	ck_assert_uint_eq(r.damaged, 0);
	(void)t_store(&t, "b", 1000, 2);
	ck_assert_err(lsvd_vlog_rollover(t.log, NULL, 0, &t.ops, NULL, &r), t.ix.fail_ask);
	ck_assert_uint_eq(r.damaged, 0);
	t.ix.fail_ask = 0;
	ck_assert_uint_eq(t_drop(&t).dropped, 0);
	t_key_reads(&t, "a", 1000, 1);
}
END_TEST

START_TEST(notes_and_roots_do_not_pile_up_in_a_log_that_is_only_written_to)
{
	size_t notes, roots;

	t_vlog_close(&t);
	t.options.checkpoint_commits = 8;
	t_vlog_open(&t);
	for (unsigned i = 0; i < 200; i++)
		(void)t_store(&t, "key", 100, i);
	notes = t_objects(&t, 'd')->count;
	roots = t_objects(&t, 'k')->count;
	/* Two turns of them; anchors, one in 64, stay. */
	ck_assert_uint_le(notes, 2 * 8 + 200 / 64 + 3);
	ck_assert_uint_le(roots, 2);
	t_vlog_reopen(&t);
	ck_assert_uint_eq(lsvd_vlog_segment_count(t.log), 200);
	t_key_reads(&t, "key", 100, 199);
}
END_TEST

START_TEST(a_root_that_nothing_names_goes_with_a_drop)
{
	char key[LSVD_KEY_MAX + 1], *digit;
	unsigned char *bytes;
	size_t len;

	(void)t_store(&t, "a", 1000, 1);
	t_vlog_close(&t);
	memcpy(key, t_objects(&t, 'k')->keys[0], sizeof key);
	bytes = t_object_get(&t, key, &len);
	digit = &key[strlen(key) - 1];
	*digit = *digit == 'f' ? 'e' : 'f';
	ck_assert_ok(lsvd_store_put_if_absent(t.store, key, &(struct iovec){ bytes, len }, 1));
	free(bytes);
	t_vlog_open(&t);
	ck_assert_uint_eq(t_drop(&t).orphans, 1);
	ck_assert_uint_eq(t_objects(&t, 'k')->count, 1);
	t_vlog_reopen(&t);
	t_key_reads(&t, "a", 1000, 1);
}
END_TEST

static void with_metadata(const char *key, uint64_t seed, const char *metadata)
{
	struct lsvd_vlog_writer *w = t_writer(&t);
	struct lsvd_vlog_handle h = t_put(w, key, 1000, seed);
	struct lsvd_vlog_pin *pin = NULL;

	ck_assert_ok(lsvd_vlog_writer_metadata(w, metadata, strlen(metadata)));
	ck_assert_ok(lsvd_vlog_commit(w, &pin));
	t_index_set(&t.ix, key, strlen(key), &h, 1000);
	lsvd_vlog_pin_release(pin);
}

static void metadata_is(const char *key, const char *want)
{
	struct lsvd_vlog_value *v = NULL;
	const struct t_entry *e = t_index_find(&t.ix, key, strlen(key));

	ck_assert_ok(lsvd_vlog_segment_info(t.log, e->h.segment, &v, NULL, NULL));
	ck_assert_uint_eq(lsvd_vlog_value_size(v), strlen(want));
	ck_assert(memcmp(lsvd_vlog_value_data(v), want, strlen(want)) == 0);
	lsvd_vlog_value_unref(v);
}

START_TEST(what_is_collected_keeps_the_metadata_of_its_segment)
{
	with_metadata("a", 1, "seqno 1..7");
	with_metadata("b", 2, "seqno 1..7");
	with_metadata("c", 3, "");
	with_metadata("d", 4, "seqno 8..9");
	ck_assert_uint_eq(t_compact(&t).moved_items, 4);
	ck_assert_uint_eq(t_drop(&t).dropped, 4);
	ck_assert_uint_eq(lsvd_vlog_segment_count(t.log), 3); /* a and b are together */
	metadata_is("a", "seqno 1..7");
	metadata_is("b", "seqno 1..7");
	metadata_is("c", "");
	metadata_is("d", "seqno 8..9");
}
END_TEST

static volatile int cancel;

/* Once the collection has read what it is going to wait for. */
static void *cancel_it(void *ctx)
{
	struct lsvd_vlog_stats st = { .size = sizeof st };
	uint64_t *before = ctx;

	do {
		(void)sched_yield();
		ck_assert_ok(lsvd_vlog_stats(t.log, &st));
	} while (st.get_request_bytes < *before + 2000);
	__atomic_store_n(&cancel, 1, __ATOMIC_RELAXED);
	return NULL;
}

START_TEST(a_collection_that_waits_for_its_rate_can_be_cancelled)
{
	/* It would wait for days. */
	const struct lsvd_vlog_gc_limits l = { .size = sizeof l, .cancel = &cancel,
					       .bytes_per_s = 1 };
	struct lsvd_vlog_gc_result r = LSVD_VLOG_GC_RESULT_INIT;
	struct lsvd_vlog_stats st = { .size = sizeof st };
	pthread_t thread;

	(void)t_store(&t, "a", 100000, 1);
	ck_assert_ok(lsvd_vlog_stats(t.log, &st));
	cancel = 0;
	ck_assert_int_eq(pthread_create(&thread, NULL, cancel_it, &st.get_request_bytes), 0);
	ck_assert_err(lsvd_vlog_rollover(t.log, NULL, 0, &t.ops, &l, &r), -ECANCELED);
	ck_assert_int_eq(pthread_join(thread, NULL), 0);
	ck_assert_uint_eq(r.moved_items, 0);
	t_key_reads(&t, "a", 100000, 1);
}
END_TEST

START_TEST(absurd_lengths_noted_as_stale_are_cut_at_what_there_is)
{
	struct lsvd_vlog_handle h = t_store(&t, "a", 1000, 1);
	struct lsvd_vlog_report r;

	for (unsigned i = 0; i < 3; i++)
		ck_assert_ok(lsvd_vlog_note_stale(t.log, &h, UINT64_MAX - i));
	r = t_report(&t);
	ck_assert_uint_eq(r.stale_raw_bytes, 1000);
	ck_assert_uint_eq(r.stale_bytes, r.record_bytes);
	t_index_set(&t.ix, "a", 1, &h, UINT64_MAX);
	t_index_set(&t.ix, "also", 4, &h, UINT64_MAX);
	r = t_scan(&t);
	ck_assert_uint_eq(r.stale_raw_bytes, 0);
	ck_assert_uint_eq(r.doubled, 1);
}
END_TEST

START_TEST(a_result_whose_size_is_none_is_refused_before_anything_is_collected)
{
	struct lsvd_vlog_gc_result r = { .size = 4 };
	struct lsvd_vlog_report report = { .size = 0 };
	struct lsvd_vlog_handle h = t_store(&t, "a", 1000, 1);

	t_index_del(&t.ix, "a", 1);
	ck_assert_ok(lsvd_vlog_note_stale(t.log, &h, 1000));
	ck_assert_err(lsvd_vlog_drop_stale(t.log, &t.ops, &r), -EINVAL);
	ck_assert_err(lsvd_vlog_rollover(t.log, NULL, 0, &t.ops, NULL, &r), -EINVAL);
	ck_assert_err(lsvd_vlog_scan_for_stats(t.log, t_index_next, &t.ix, &report), -EINVAL);
	ck_assert_uint_eq(lsvd_vlog_segment_count(t.log), 1);
	ck_assert_uint_eq(t_drop(&t).dropped, 1);
}
END_TEST

static Suite *vlog_drop_suite(void)
{
	Suite *s = suite_create("vlog_drop");
	TCase *c = tcase_create("dropping");

	tcase_add_checked_fixture(c, setup, teardown);
	tcase_add_test(c, what_is_noted_as_stale_behind_the_answer_of_the_index_costs_nothing);
	tcase_add_loop_test(c, an_error_of_the_index_is_the_error_of_the_call, 0, 2);
	tcase_add_test(c, notes_and_roots_do_not_pile_up_in_a_log_that_is_only_written_to);
	tcase_add_test(c, a_root_that_nothing_names_goes_with_a_drop);
	tcase_add_test(c, what_is_collected_keeps_the_metadata_of_its_segment);
	tcase_add_test(c, a_collection_that_waits_for_its_rate_can_be_cancelled);
	tcase_add_test(c, absurd_lengths_noted_as_stale_are_cut_at_what_there_is);
	tcase_add_test(c, a_result_whose_size_is_none_is_refused_before_anything_is_collected);
	suite_add_tcase(s, c);
	return s;
}

T_MAIN(vlog_drop_suite)

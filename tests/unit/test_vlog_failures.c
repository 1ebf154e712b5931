/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_vlog_failures.c - a value log when memory, or an answer of the store, is refused at any one
 * moment.
 *
 * One program is run again and again, each time with the next allocation refused, or the next
 * answer of the store damaged. Whatever its calls return: what its index has is there afterwards.
 */
#include <errno.h>

#include "store_fault.h"
#include "t_alloc.h"
#include "t_vlog.h"

static struct t_vlog t;
static struct store_fault *faults;

static void setup(void)
{
	struct lsvd_store *inner;

	memset(&t, 0, sizeof t);
	ck_assert_ok(lsvd_store_open(&inner, "mem:", NULL));
	ck_assert_ok(store_fault_open(&t.store, &faults, inner, 1));
	t.options = (struct lsvd_vlog_options)LSVD_VLOG_OPTIONS_INIT;
	t.options.flags = LSVD_VLOG_CREATE;
	t.options.segment_bytes = 4096;
	t.options.checkpoint_commits = 3;
	t.options.codec = LSVD_VLOG_CODEC_LZ4;
	t.ops = t_index_ops(&t.ix);
	t_vlog_open(&t);
}

static void teardown(void)
{
	t_vlog_fini(&t);
}

/* What stays for that is in the way of nothing: an open has no more to read than before. */
START_TEST(a_store_that_removes_nothing_does_not_keep_the_log_from_its_roots)
{
	size_t roots = 0, least;

	for (unsigned i = 0; i < 12; i++)
		(void)t_store(&t, "key", 1000, i);
	least = t_objects(&t, 'k')->count;
	ck_assert_ok(store_fault_add(faults, &(struct fault_rule){ .verbs = FAULT_REMOVE,
								   .err = -EACCES }));
	for (unsigned i = 0; i < 12; i++)
		(void)t_store(&t, "key", 1000, 20 + i);
	roots = t_objects(&t, 'k')->count;
	ck_assert_uint_gt(store_fault_hits(faults, FAULT_FAIL), 0);
	ck_assert_uint_ge(roots, least + 3); /* one in three commits, and none is removed */
	store_fault_clear(faults);
	t_vlog_reopen(&t);
	t_key_reads(&t, "key", 1000, 31);
}
END_TEST

/* ---------------------------------------------------------------------------------- the program */


static void put_some(uint64_t seed)
{
	struct lsvd_vlog_writer *w = NULL;
	struct lsvd_vlog_handle h[6];
	struct lsvd_vlog_pin *pin = NULL;
	unsigned n = 0;

	if (lsvd_vlog_writer_open(t.log, &w) < 0)
		return;
	for (; n < 6; n++) {
		unsigned char *v = t_value(1500, seed + n);
		int err = lsvd_vlog_put(w, &"abcdef"[n], 1, v, 1500, &h[n]);

		free(v);
		if (err) {
			lsvd_vlog_abort(w);
			return;
		}
	}
	if (lsvd_vlog_commit(w, &pin) < 0)
		return;
	for (unsigned i = 0; i < 6; i++) {
		const struct t_entry *e = t_index_find(&t.ix, &"abcdef"[i], 1);
		struct lsvd_vlog_handle old = e ? e->h : h[i];

		t_index_set(&t.ix, &"abcdef"[i], 1, &h[i], 1500);
		t_index_find(&t.ix, &"abcdef"[i], 1)->raw = seed + i; /* the value it has to have */
		if (e)
			(void)!lsvd_vlog_note_stale(t.log, &old, 1500); /* an estimate */
	}
	lsvd_vlog_pin_release(pin);
}

/* What is answered is right; not all is. */
static void read_all(void)
{
	struct lsvd_vlog_request q[6];
	unsigned char part[100];
	size_t got;

	memset(q, 0, sizeof q);
	for (unsigned i = 0; i < 6; i++) {
		struct t_entry *e = t_index_find(&t.ix, &"abcdef"[i], 1);
		struct lsvd_vlog_value *v = NULL;

		q[i].handle = e->h;
		if (lsvd_vlog_get(t.log, &e->h, &v) == 0)
			t_same(v, 1500, e->raw);
		lsvd_vlog_value_unref(v);
		if (lsvd_vlog_read_range(t.log, &e->h, 1450, part, 100, &got) == 0)
			ck_assert_uint_eq(got, 50);
	}
	if (lsvd_vlog_get_many(t.log, q, 6) < 0)
		return;
	for (unsigned i = 0; i < 6; i++) {
		ck_assert((q[i].err == 0) == (q[i].value != NULL));
		if (q[i].value)
			t_same(q[i].value, 1500, t_index_find(&t.ix, &"abcdef"[i], 1)->raw);
		lsvd_vlog_value_unref(q[i].value);
	}
}

static void scan_all(void)
{
	struct lsvd_vlog_iter *it;
	struct lsvd_vlog_item item;
	uint64_t bad;

	if (lsvd_vlog_iter_open(t.log, NULL, &it) == 0) {
		while (lsvd_vlog_iter_next(it, &item) > 0)
			ck_assert_uint_eq(item.value.size, 1500);
		lsvd_vlog_iter_close(it);
	}
	if (lsvd_vlog_verify(t.log, NULL, NULL, &bad) == 0)
		ck_assert_uint_eq(bad, 0);
}

static void collect_all(void)
{
	struct lsvd_vlog_gc_result r = LSVD_VLOG_GC_RESULT_INIT;
	const struct lsvd_vlog_strategy half = { .size = sizeof half, .kind = LSVD_VLOG_PICK_STALE,
						 .value = 0.5 };

	(void)!lsvd_vlog_gc(t.log, &half, &t.ops, NULL, &r);
	(void)!lsvd_vlog_rollover(t.log, NULL, 0, &t.ops, NULL, &r);
	(void)!lsvd_vlog_drop_stale(t.log, &t.ops, &r);
	(void)!lsvd_vlog_checkpoint(t.log);
}

static void the_program(uint64_t seed)
{
	put_some(seed);
	read_all();
	put_some(seed + 100);
	scan_all();
	collect_all();
	put_some(seed + 200);
	read_all();
}

static void all_is_there(void)
{
	uint64_t bad = 1;

	for (unsigned i = 0; i < 6; i++) {
		const struct t_entry *e = t_index_find(&t.ix, &"abcdef"[i], 1);

		t_reads(&t, &e->h, 1500, e->raw);
	}
	ck_assert_ok(lsvd_vlog_verify(t.log, NULL, NULL, &bad));
	ck_assert_uint_eq(bad, 0);
}

static void it_is_still_a_log(void)
{
	all_is_there();
	t_vlog_reopen(&t);
	all_is_there();
	(void)t_compact(&t);
	(void)t_drop(&t);
	all_is_there();
	/* Nothing is left of what failed: what lives is six records in two or three segments. */
	t_vlog_reopen(&t);
	(void)t_drop(&t);
	ck_assert_uint_le(lsvd_vlog_segment_count(t.log), 3);
	ck_assert_uint_eq(t_objects(&t, 'f')->count, lsvd_vlog_segment_count(t.log));
}

/* --------------------------------------------------------------------------------------- memory */

START_TEST(refused_memory_loses_nothing_wherever_it_is_refused)
{
	uint64_t k = (uint64_t)_i;
	bool refused = true;

	put_some(1);
	/* Each case takes every eighth. */
	for (; refused; k += 8) {
		t_alloc_refuse_only(k);
		the_program(10 + k);
		refused = t_alloc_forgive() > 0;
		all_is_there();
	}
	ck_assert_uint_gt(k, 200);
	it_is_still_a_log();
}
END_TEST

START_TEST(an_open_without_memory_leaves_a_log_that_can_be_opened)
{
	uint64_t k = 0;
	int err;

	put_some(1);
	put_some(2);
	t_vlog_close(&t);
	do {
		struct lsvd_vlog *log = NULL;

		t_alloc_refuse_only(k++);
		err = lsvd_vlog_open(&log, t.store, "log", &t.options);
		(void)t_alloc_forgive();
		(void)lsvd_vlog_close(log);
		ck_assert(!err || err == -ENOMEM);
	} while (err);
	ck_assert_uint_gt(k, 10);
	t_vlog_open(&t);
	it_is_still_a_log();
}
END_TEST

/* -------------------------------------------------------------------------- the store's answers */

static const struct {
	enum fault_kind kind;
	int err;
} damage[] = { { FAULT_FLIP, 0 }, { FAULT_TRUNCATE, 0 }, { FAULT_ZERO, 0 }, { FAULT_FAIL, -EIO } };

START_TEST(a_damaged_answer_loses_nothing_whichever_it_is)
{
	struct fault_rule rule = { .verbs = FAULT_GET, .times = 1, .kind = damage[_i].kind,
				   .err = damage[_i].err };
	uint64_t hits;

	put_some(1);
	do {
		hits = store_fault_hits(faults, rule.kind);
		rule.from++;
		ck_assert_int_eq(store_fault_add(faults, &rule), 0);
		the_program(10 + rule.from);
		store_fault_clear(faults);
		all_is_there();
	} while (store_fault_hits(faults, rule.kind) > hits);
	ck_assert_uint_gt(rule.from, 20);
	it_is_still_a_log();
}
END_TEST

static Suite *vlog_failures_suite(void)
{
	Suite *s = suite_create("vlog_failures");
	TCase *c = tcase_create("failures");

	tcase_add_checked_fixture(c, setup, teardown);
	tcase_set_timeout(c, 120);
	tcase_add_test(c, a_store_that_removes_nothing_does_not_keep_the_log_from_its_roots);
	tcase_add_loop_test(c, refused_memory_loses_nothing_wherever_it_is_refused, 0, 8);
	tcase_add_test(c, an_open_without_memory_leaves_a_log_that_can_be_opened);
	tcase_add_loop_test(c, a_damaged_answer_loses_nothing_whichever_it_is, 0,
			    (int)(sizeof damage / sizeof damage[0]));
	suite_add_tcase(s, c);
	return s;
}

T_MAIN(vlog_failures_suite)

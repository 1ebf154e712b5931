/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_vlog_faults.c - a value log when things go wrong: damage, races, misuse, other openers.
 *
 * lsvd-test: labels=tsan
 */
#include <dirent.h>
#include <errno.h>

#include "t_vlog.h"
#include "tmpdir.h"

static struct t_vlog t;

static void setup(void)
{
	t_vlog_init(&t, "mem:");
}

static void teardown(void)
{
	t_vlog_fini(&t);
}

/* ----------------------------------------------------------------------------------- collection */

START_TEST(of_two_records_of_a_key_in_one_writer_the_newer_one_stays)
{
	struct lsvd_vlog_writer *w = t_writer(&t);
	struct lsvd_vlog_handle older, newer;
	struct lsvd_vlog_pin *pin;

	older = t_put(w, "key", 1000, 1);
	newer = t_put(w, "key", 1000, 2);
	ck_assert_ok(lsvd_vlog_commit(w, &pin));
	t_index_set(&t.ix, "key", 3, &newer, 1000);
	lsvd_vlog_pin_release(pin);
	t_reads(&t, &older, 1000, 1);
	ck_assert_uint_eq(t_compact(&t).moved_items, 1);
	(void)t_drop(&t);
	t_key_reads(&t, "key", 1000, 2);
	ck_assert_err(t_get(&t, &older), LSVD_E_STALE);
}
END_TEST

START_TEST(collection_leaves_alone_what_the_index_never_had)
{
	struct lsvd_vlog_writer *w = t_writer(&t);
	struct lsvd_vlog_pin *pin;
	struct lsvd_vlog_handle phantom;

	(void)t_store(&t, "a", 1000, 1);
	phantom = t_put(w, "phantom", 1000, 2);
	ck_assert_ok(lsvd_vlog_commit(w, &pin));
	lsvd_vlog_pin_release(pin); /* and the index is never told */
	ck_assert_uint_eq(t_compact(&t).moved_items, 1);
	ck_assert_uint_eq(t.ix.count, 1);
	(void)t_drop(&t);
	ck_assert_err(t_get(&t, &phantom), LSVD_E_STALE);
	t_key_reads(&t, "a", 1000, 1);
}
END_TEST

START_TEST(a_writer_that_outlives_a_collection_wins)
{
	struct lsvd_vlog_writer *w;
	struct lsvd_vlog_handle h;
	struct lsvd_vlog_pin *pin;

	(void)t_store(&t, "key", 1000, 1);
	w = t_writer(&t);
	h = t_put(w, "key", 1000, 2);
	ck_assert_uint_eq(t_compact(&t).moved_items, 1);
	(void)t_drop(&t);
	ck_assert_ok(lsvd_vlog_commit(w, &pin));
	t_index_set(&t.ix, "key", 3, &h, 1000);
	lsvd_vlog_pin_release(pin);
	(void)t_compact(&t);
	(void)t_drop(&t);
	t_key_reads(&t, "key", 1000, 2);
	ck_assert_uint_eq(t_report(&t).items, 1);
}
END_TEST

static void overwrite(void *ctx)
{
	(void)ctx;
	t.ix.before_finish = NULL;
	(void)t_store(&t, "b", 1000, 77);
}

START_TEST(a_write_during_a_collection_wins)
{
	struct lsvd_vlog_gc_result r;

	t_store_letters(&t, 3, 1000, 0);
	t.ix.before_finish = overwrite;
	r = t_compact(&t);
	ck_assert_uint_eq(r.moved_items, 3);
	ck_assert_uint_eq(r.lost_races, 1);
	t_key_reads(&t, "b", 1000, 77);
	t_key_reads(&t, "a", 1000, 'a');
	/* The copy that lost is known to be garbage. */
	ck_assert_uint_eq(t_report(&t).stale_items, 3 + 1);
	(void)t_drop(&t);
	(void)t_compact(&t);
	(void)t_drop(&t);
	ck_assert_uint_eq(t_report(&t).items, 3);
	t_key_reads(&t, "b", 1000, 77);
}
END_TEST

START_TEST(what_is_committed_is_pinned_until_the_index_is_durable)
{
	struct lsvd_vlog_writer *w = t_writer(&t);
	struct lsvd_vlog_handle h = t_put(w, "key", 1000, 1);
	struct lsvd_vlog_pin *pin;

	ck_assert_ok(lsvd_vlog_commit(w, &pin));
	(void)t_scan(&t); /* which does not see it */
	ck_assert_uint_eq(t_drop(&t).dropped, 0);
	ck_assert_uint_eq(t_compact(&t).pinned, 1);
	ck_assert_uint_eq(t_drop(&t).dropped, 0);
	t_index_set(&t.ix, "key", 3, &h, 1000);
	lsvd_vlog_pin_release(pin);
	(void)t_scan(&t);
	ck_assert_uint_eq(t_drop(&t).dropped, 0);
	t_reads(&t, &h, 1000, 1);
}
END_TEST

START_TEST(a_pinned_snapshot_still_reads_what_was_collected)
{
	struct lsvd_vlog_handle old;
	struct lsvd_vlog_pin *pin;

	old = t_store(&t, "key", 1000, 1);
	ck_assert_ok(lsvd_vlog_snapshot(t.log, &pin));
	(void)t_store(&t, "key", 1000, 2);
	(void)t_scan(&t);
	ck_assert_uint_eq(t_drop(&t).dropped, 0);
	t_reads(&t, &old, 1000, 1);
	lsvd_vlog_pin_release(pin);
	ck_assert_uint_eq(t_drop(&t).dropped, 1);
	ck_assert_err(t_get(&t, &old), LSVD_E_STALE);
}
END_TEST

START_TEST(entirely_stale_segments_are_picked_by_ratio_one_and_never_read)
{
	struct lsvd_vlog_gc_result r;

	(void)t_store(&t, "key", 1000, 1);
	(void)t_store(&t, "key", 1000, 2);
	(void)t_scan(&t);
	r = t_gc(&t, LSVD_VLOG_PICK_STALE, 1.0);
	ck_assert_uint_eq(r.picked, 1);
	ck_assert_uint_eq(r.read_bytes, 0);
	ck_assert_uint_eq(r.moved_items, 0);
	ck_assert_uint_gt(r.reclaimable_bytes, 1000);
	ck_assert_uint_eq(t_drop(&t).dropped, 1);
}
END_TEST

START_TEST(values_of_strategies_are_checked)
{
	const struct {
		uint32_t kind;
		double value;
	} bad[] = { { LSVD_VLOG_PICK_STALE, -0.1 }, { LSVD_VLOG_PICK_STALE, 1.1 },
		    { LSVD_VLOG_PICK_SPACE, 0.9 }, { LSVD_VLOG_PICK_COST, 0.0 / 0.0 },
		    { LSVD_VLOG_PICK_OWN, 1 }, { 0, 1 }, { 99, 1 } };

	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
		const struct lsvd_vlog_strategy s = { .size = sizeof s, .kind = bad[i].kind,
						      .value = bad[i].value };

		ck_assert_err(lsvd_vlog_gc(t.log, &s, &t.ops, NULL, NULL), -EINVAL);
	}
}
END_TEST

static int pick_last(void *ctx, const struct lsvd_vlog_segment *s, size_t n, uint64_t *ret)
{
	++*(unsigned *)ctx;
	ret[0] = s[n - 1].id;
	return 1;
}

START_TEST(a_strategy_of_the_programs_own_sees_every_segment)
{
	unsigned calls = 0;
	const struct lsvd_vlog_strategy own = { .size = sizeof own, .kind = LSVD_VLOG_PICK_OWN,
						.pick = pick_last, .ctx = &calls };
	struct lsvd_vlog_gc_result r = LSVD_VLOG_GC_RESULT_INIT;

	(void)t_store(&t, "a", 1000, 1);
	(void)t_store(&t, "b", 1000, 2);
	ck_assert_ok(lsvd_vlog_gc(t.log, &own, &t.ops, NULL, &r));
	ck_assert_uint_eq(calls, 1);
	ck_assert_uint_eq(r.picked, 1);
	ck_assert_uint_eq(r.moved_items, 1);
	t_key_reads(&t, "b", 1000, 2);
}
END_TEST

START_TEST(collecting_what_is_gone_says_so)
{
	struct lsvd_vlog_gc_result r = LSVD_VLOG_GC_RESULT_INIT;
	struct lsvd_vlog_handle h = t_store(&t, "a", 1000, 1);
	const uint64_t ids[] = { h.segment, 9999 };

	ck_assert_ok(lsvd_vlog_rollover(t.log, ids, 2, &t.ops, NULL, &r));
	ck_assert_uint_eq(r.gone, 1);
	ck_assert_uint_eq(r.picked, 1);
	(void)t_drop(&t);
	ck_assert_err(lsvd_vlog_rollover(t.log, ids, 2, &t.ops, NULL, &r), LSVD_E_STALE);
	ck_assert_uint_eq(r.gone, 2);
}
END_TEST

START_TEST(a_collection_that_fails_leaves_no_objects_behind)
{
	struct lsvd_vlog_gc_result r = LSVD_VLOG_GC_RESULT_INIT;

	t_store_letters(&t, 5, 1000, 0);
	t.ix.fail_ask = -EIO;
	ck_assert_err(lsvd_vlog_rollover(t.log, NULL, 0, &t.ops, NULL, &r), -EIO);
	t.ix.fail_ask = 0;
	ck_assert_uint_eq(t_objects(&t, 'f')->count, 1);
	/* After the commit the copies are in the log; the next drop finds them. */
	t.ix.fail_relocate = -EIO;
	ck_assert_err(lsvd_vlog_rollover(t.log, NULL, 0, &t.ops, NULL, &r), -EIO);
	t.ix.fail_relocate = 0;
	ck_assert_uint_eq(t_drop(&t).dropped, 1);
	ck_assert_uint_eq(t_objects(&t, 'f')->count, 1);
	t_key_reads(&t, "c", 1000, 'c');
}
END_TEST

START_TEST(a_cancelled_collection_has_done_nothing)
{
	volatile int cancel = 1;
	const struct lsvd_vlog_gc_limits l = { .size = sizeof l, .cancel = &cancel };
	struct lsvd_vlog_gc_result r = LSVD_VLOG_GC_RESULT_INIT;

	t_store_letters(&t, 5, 1000, 0);
	ck_assert_err(lsvd_vlog_rollover(t.log, NULL, 0, &t.ops, &l, &r), -ECANCELED);
	ck_assert_uint_eq(r.moved_items, 0);
	ck_assert_uint_eq(t_objects(&t, 'f')->count, 1);
}
END_TEST

START_TEST(a_limit_of_bytes_ends_a_collection_between_segments)
{
	const struct lsvd_vlog_gc_limits l = { .size = sizeof l, .bytes = 1500 };
	struct lsvd_vlog_gc_result r = LSVD_VLOG_GC_RESULT_INIT;

	for (unsigned i = 0; i < 5; i++)
		(void)t_store(&t, (char[]){ (char)('a' + i), 0 }, 1000, i);
	ck_assert_ok(lsvd_vlog_rollover(t.log, NULL, 0, &t.ops, &l, &r));
	ck_assert_uint_eq(r.moved_items, 2);
	ck_assert_uint_eq(r.picked, 2);
}
END_TEST

static unsigned drops;

/* In the middle of the scan everything that is stale is dropped. */
static int next_with_drop(void *ctx, struct lsvd_vlog_handle *h, uint64_t *raw)
{
	if (drops++ == 0)
		ck_assert_uint_eq(t_drop(&t).dropped, 1);
	return t_index_next(ctx, h, raw);
}

START_TEST(a_drop_during_a_scan_is_passed_over)
{
	struct lsvd_vlog_report r = LSVD_VLOG_REPORT_INIT;

	(void)t_store(&t, "a", 1000, 1);
	(void)t_store(&t, "a", 1000, 2);
	(void)t_scan(&t);
	drops = 0;
	ck_assert_ok(lsvd_vlog_scan_for_stats(t.log, next_with_drop, &t.ix, &r));
	ck_assert_uint_eq(r.segments, 1);
	ck_assert_uint_eq(r.stale_items, 0);
}
END_TEST

START_TEST(references_that_dangle_or_are_double_are_counted)
{
	const struct lsvd_vlog_handle nowhere = { 12345, 100, 1000 };
	struct lsvd_vlog_handle h = t_store(&t, "a", 1000, 1);
	struct lsvd_vlog_report r;

	t_index_set(&t.ix, "copy", 4, &h, 1000);
	t_index_set(&t.ix, "lost", 4, &nowhere, 1000);
	r = t_scan(&t);
	ck_assert_uint_eq(r.doubled, 1);
	ck_assert_uint_eq(r.dangling, 1);
	ck_assert_uint_eq(r.stale_items, 0);
	ck_assert_double_eq(lsvd_vlog_report_space_amp(&r), 1);
}
END_TEST

START_TEST(a_statistic_that_is_wrong_deletes_nothing)
{
	struct lsvd_vlog_handle h = t_store(&t, "a", 1000, 1);

	for (unsigned i = 0; i < 3; i++)
		ck_assert_ok(lsvd_vlog_note_stale(t.log, &h, 1000));
	ck_assert_uint_eq(t_report(&t).stale_segments, 1);
	t_vlog_reopen(&t);
	ck_assert_uint_eq(t_report(&t).stale_segments, 1);
	ck_assert_uint_eq(t_drop(&t).dropped, 0);
	ck_assert_uint_eq(t_report(&t).stale_items, 0);
	t_reads(&t, &h, 1000, 1);
}
END_TEST

START_TEST(noted_statistics_are_there_after_a_reopen_without_a_scan)
{
	struct lsvd_vlog_handle h = t_store(&t, "a", 1000, 1);

	(void)t_store(&t, "b", 1000, 2);
	t_index_del(&t.ix, "a", 1);
	ck_assert_ok(lsvd_vlog_note_stale(t.log, &h, 1000));
	t_vlog_reopen(&t);
	ck_assert_uint_eq(t_report(&t).stale_items, 1);
	ck_assert_uint_eq(t_drop(&t).dropped, 1);
	ck_assert_uint_eq(lsvd_vlog_segment_count(t.log), 1);
}
END_TEST

/* --------------------------------------------------------------------------------------- damage */

static void flip_record(const struct lsvd_vlog_handle *h, uint64_t at)
{
	const struct t_keys *k = t_objects(&t, 'f');

	for (size_t i = 0; i < k->count; i++)
		if (strtoull(strrchr(k->keys[i], '.') + 1, NULL, 16) == h->segment)
			t_object_flip(&t, k->keys[i], h->offset + at);
}

START_TEST(a_flipped_byte_is_an_error_of_that_value_alone)
{
	struct lsvd_vlog_value *v;

	t_store_letters(&t, 3, 1000, 0);
	flip_record(&t.ix.at[1].h, 500);
	ck_assert_err(t_get(&t, &t.ix.at[1].h), LSVD_E_CORRUPT);
	ck_assert_error_says("checksum");
	t_key_reads(&t, "a", 1000, 'a');
	t_key_reads(&t, "c", 1000, 'c');
	/* Nor does it fail who prefetches beyond it. */
	ck_assert_ok(lsvd_vlog_get_prefetch(t.log, &t.ix.at[0].h, 2, &v));
	lsvd_vlog_value_unref(v);
}
END_TEST

START_TEST(prefetching_into_damage_fails_in_silence)
{
	struct lsvd_vlog_value *v;

	t_vlog_close(&t);
	ck_assert_ok(lsvd_vlog_cache_new(&t.options.cache, 1u << 20));
	t_vlog_open(&t);
	t_store_letters(&t, 3, 1000, 0);
	flip_record(&t.ix.at[1].h, 500);
	ck_assert_ok(lsvd_vlog_get_prefetch(t.log, &t.ix.at[0].h, 2, &v));
	lsvd_vlog_value_unref(v);
	lsvd_vlog_prefetch(t.log, &t.ix.at[1].h, 1);
	ck_assert_err(t_get(&t, &t.ix.at[1].h), LSVD_E_CORRUPT);
	t_vlog_close(&t);
	lsvd_vlog_cache_free(t.options.cache);
	t.options.cache = NULL;
	t_vlog_open(&t);
}
END_TEST

START_TEST(verify_looks_at_every_record)
{
	struct lsvd_vlog_handle old;
	uint64_t bad = 99;

	old = t_store(&t, "a", 1000, 1);
	(void)t_store(&t, "a", 1000, 2);
	t_store_letters(&t, 3, 1000, 0);
	ck_assert_ok(lsvd_vlog_verify(t.log, NULL, NULL, &bad));
	ck_assert_uint_eq(bad, 0);
	flip_record(&old, 100); /* shadowed by newer ones */
	flip_record(&t.ix.at[1].h, 10);
	flip_record(&t.ix.at[2].h, 900);
	ck_assert_ok(lsvd_vlog_verify(t.log, NULL, NULL, &bad));
	ck_assert_uint_eq(bad, 3);
}
END_TEST

START_TEST(what_is_damaged_is_never_copied_and_never_dropped)
{
	struct lsvd_vlog_gc_result r;

	t_store_letters(&t, 3, 1000, 0);
	flip_record(&t.ix.at[1].h, 500);
	r = t_compact(&t);
	ck_assert_uint_eq(r.moved_items, 2);
	ck_assert_uint_eq(r.damaged, 1);
	ck_assert_uint_eq(t_drop(&t).dropped, 0);
	t_key_reads(&t, "a", 1000, 'a');
	t_key_reads(&t, "c", 1000, 'c');
	ck_assert_err(t_get(&t, &t_index_find(&t.ix, "b", 1)->h), LSVD_E_CORRUPT);
}
END_TEST

START_TEST(a_handle_that_points_nowhere_has_an_error_of_its_own)
{
	struct lsvd_vlog_handle h, bad;

	t_store_letters(&t, 3, 1000, 0);
	h = t.ix.at[1].h;
	bad = h;
	bad.offset += 8;
	ck_assert_err(t_get(&t, &bad), -ENOENT); /* into the middle */
	bad = h;
	bad.size -= 1;
	ck_assert_err(t_get(&t, &bad), -ENOENT);
	bad.size = 5;
	ck_assert_err(t_get(&t, &bad), -ENOENT);
	bad = h;
	bad.offset = 1u << 30;
	ck_assert_err(t_get(&t, &bad), -ENOENT); /* beyond the end */
	bad = h;
	bad.offset = 0;
	ck_assert_err(t_get(&t, &bad), -ENOENT); /* the header */
	bad = h;
	bad.segment = 1u << 20;
	ck_assert_err(t_get(&t, &bad), -ENOENT); /* a number never given */
	bad = (struct lsvd_vlog_handle){ 0, 0, 0 };
	ck_assert_err(t_get(&t, &bad), -ENOENT);
}
END_TEST

START_TEST(an_old_handle_is_stale_for_ever)
{
	struct lsvd_vlog_handle old = t_store(&t, "a", 1000, 1);

	t_index_clear(&t.ix);
	(void)t_scan(&t);
	ck_assert_uint_eq(t_drop(&t).dropped, 1);
	for (unsigned i = 0; i < 5; i++) {
		t_vlog_reopen(&t);
		ck_assert_uint_gt(t_store(&t, "a", 1000, 10 + i).segment, old.segment);
		ck_assert_err(t_get(&t, &old), LSVD_E_STALE);
	}
}
END_TEST

START_TEST(a_missing_segment_is_corruption_and_named)
{
	struct lsvd_vlog_handle h;
	uint64_t bad = 0;

	h = t_store(&t, "a", 1000, 1);
	(void)t_store(&t, "b", 1000, 2);
	ck_assert_ok(lsvd_store_remove(t.store, t_objects(&t, 'f')->keys[0]));
	t_vlog_reopen(&t); /* its neighbours are as good as ever */
	ck_assert_err(t_get(&t, &h), LSVD_E_CORRUPT);
	ck_assert_error_says("missing");
	ck_assert_error_says("/f/");
	t_key_reads(&t, "b", 1000, 2);
	ck_assert_ok(lsvd_vlog_verify(t.log, NULL, NULL, &bad));
	ck_assert_uint_eq(bad, 1);
	t_index_clear(&t.ix);
	(void)t_scan(&t);
	ck_assert_uint_eq(t_drop(&t).damaged, 1); /* what cannot be asked about stays */
	ck_assert_uint_eq(lsvd_vlog_segment_count(t.log), 1);
}
END_TEST

START_TEST(a_segment_cut_short_or_exchanged_is_corruption)
{
	struct lsvd_vlog_handle a, b;
	const struct t_keys *k;
	unsigned char *bytes;
	size_t len;

	a = t_store(&t, "a", 1000, 1);
	b = t_store(&t, "b", 1000, 2);
	k = t_objects(&t, 'f');
	ck_assert_uint_eq(k->count, 2);
	bytes = t_object_get(&t, k->keys[1], &len);
	t_object_set(&t, k->keys[0], bytes, len); /* a foreign one under this name */
	ck_assert_err(t_get(&t, &a), LSVD_E_CORRUPT);
	t_object_set(&t, k->keys[1], bytes, 500);
	ck_assert_err(t_get(&t, &b), LSVD_E_CORRUPT);
	ck_assert_error_says("ends at 500");
	free(bytes);
}
END_TEST

START_TEST(a_damaged_root_deletes_nothing)
{
	const struct t_keys *k;
	unsigned char zero[200] = { 0 };
	struct lsvd_vlog_handle h = t_store(&t, "a", 1000, 1);
	unsigned char *bytes;
	char key[LSVD_KEY_MAX + 1];
	size_t len;

	t_vlog_close(&t);
	k = t_objects(&t, 'k');
	ck_assert_uint_eq(k->count, 1);
	memcpy(key, k->keys[0], sizeof key);
	bytes = t_object_get(&t, key, &len);
	switch (_i) {
	case 0:
		t_object_set(&t, key, zero, len < sizeof zero ? len : sizeof zero);
		break;
	case 1:
		t_object_set(&t, key, bytes, len - 1);
		break;
	case 2:
		t_object_flip(&t, key, len - 1);
		break;
	default:
		ck_assert_ok(lsvd_store_remove(t.store, key));
	}
	ck_assert_err(lsvd_vlog_open(&t.log, t.store, "log", &t.options), LSVD_E_CORRUPT);
	ck_assert_error_says("/k/");
	ck_assert_uint_eq(t_objects(&t, 'f')->count, 1);
	if (_i < 3)
		ck_assert_ok(lsvd_store_remove(t.store, key));
	const struct iovec iov = { bytes, len };

	ck_assert_ok(lsvd_store_put_if_absent(t.store, key, &iov, 1));
	free(bytes);
	t_vlog_open(&t);
	t_reads(&t, &h, 1000, 1);
}
END_TEST

START_TEST(strange_objects_are_ignored)
{
	const char *names[] = { "f/.DS_Store", "f/00000001.zz", "stray", "f/x/y" };
	struct lsvd_vlog_info info = { .size = sizeof info };
	struct iovec iov = { (void *)(uintptr_t)"x", 1 };

	(void)t_store(&t, "a", 1000, 1);
	ck_assert_ok(lsvd_vlog_lookup(t.store, "log", &info));
	for (size_t i = 0; i < 4; i++) {
		char key[LSVD_KEY_MAX + 1];

		(void)snprintf(key, sizeof key, "v/%s/%s", info.uuid, names[i]);
		ck_assert_ok(lsvd_store_put_if_absent(t.store, key, &iov, 1));
	}
	t_vlog_reopen(&t);
	ck_assert_uint_eq(t_drop(&t).orphans, 0);
	ck_assert_uint_eq(t_objects(&t, 'f')->count, 4);
	t_key_reads(&t, "a", 1000, 1);
}
END_TEST

START_TEST(clear_empties_what_the_cache_would_answer)
{
	struct lsvd_vlog_handle h;

	t_vlog_close(&t);
	ck_assert_ok(lsvd_vlog_cache_new(&t.options.cache, 1u << 20));
	t_vlog_open(&t);
	h = t_store(&t, "a", 1000, 1);
	t_reads(&t, &h, 1000, 1);
	t_reads(&t, &h, 1000, 1);
	t_index_clear(&t.ix);
	ck_assert_ok(lsvd_vlog_clear(t.log));
	ck_assert_err(t_get(&t, &h), LSVD_E_STALE);
	t_vlog_close(&t);
	lsvd_vlog_cache_free(t.options.cache);
	t.options.cache = NULL;
	t_vlog_open(&t);
}
END_TEST

/* -------------------------------------------------------------------------------- other openers */

START_TEST(a_second_opener_fences_the_first_and_nothing_is_lost)
{
	struct lsvd_vlog_writer *w;
	struct lsvd_vlog *second;
	struct lsvd_vlog_handle h;
	struct lsvd_vlog_pin *pin;
	struct lsvd_vlog_value *v;

	h = t_store(&t, "a", 1000, 1);
	w = t_writer(&t);
	(void)t_put(w, "b", 1000, 2);
	ck_assert_ok(lsvd_vlog_open(&second, t.store, "log", &t.options));
	ck_assert_err(lsvd_vlog_commit(w, &pin), LSVD_E_FENCED);
	ck_assert_err(lsvd_vlog_clear(t.log), LSVD_E_FENCED);
	ck_assert_err(lsvd_vlog_writer_open(t.log, &w), LSVD_E_FENCED);
	t_reads(&t, &h, 1000, 1);
	ck_assert_uint_eq(lsvd_vlog_segment_count(second), 1);
	ck_assert_ok(lsvd_vlog_get(second, &h, &v));
	lsvd_vlog_value_unref(v);
	(void)lsvd_vlog_close(t.log); /* which has nothing more to say */
	t.log = second;
}
END_TEST

START_TEST(a_reader_disturbs_nobody_and_changes_nothing)
{
	struct lsvd_vlog_options o = LSVD_VLOG_OPTIONS_INIT;
	struct lsvd_vlog_writer *w;
	struct lsvd_vlog_value *v;
	struct lsvd_vlog *reader;
	struct lsvd_vlog_handle h;

	h = t_store(&t, "a", 1000, 1);
	o.flags = LSVD_VLOG_READONLY;
	ck_assert_ok(lsvd_vlog_open(&reader, t.store, "log", &o));
	ck_assert_ok(lsvd_vlog_get(reader, &h, &v));
	lsvd_vlog_value_unref(v);
	ck_assert_err(lsvd_vlog_writer_open(reader, &w), -EROFS);
	ck_assert_err(lsvd_vlog_clear(reader), -EROFS);
	(void)t_store(&t, "a", 1000, 2); /* the writer is not fenced */
	(void)t_scan(&t);
	(void)t_drop(&t);
	ck_assert_err(lsvd_vlog_get(reader, &h, &v), LSVD_E_STALE);
	ck_assert_ok(lsvd_vlog_close(reader));
}
END_TEST

/* ------------------------------------------------------------------------------- on a directory */

static unsigned open_files(void)
{
	DIR *d = opendir("/proc/self/fd");
	unsigned n = 0;

	while (d && readdir(d))
		n++;
	if (d)
		(void)closedir(d);
	return n;
}

START_TEST(descriptors_are_bounded_while_many_segments_are_written)
{
	struct lsvd_vlog_writer *w;
	struct lsvd_vlog_pin *pin;
	char *dir = tmpdir_new(), url[300];
	unsigned most = 0;

	teardown();
	(void)snprintf(url, sizeof url, "dir:%s", dir);
	t_vlog_init(&t, url);
	t_vlog_close(&t);
	t.options.segment_bytes = 4096;
	t_vlog_open(&t);
	w = t_writer(&t);
	for (unsigned i = 0; i < 200; i++) {
		char key[8];
		struct lsvd_vlog_handle h;
		unsigned n;

		(void)snprintf(key, sizeof key, "%03u", i);
		h = t_put(w, key, 4200, i);
		t_index_set(&t.ix, key, 3, &h, 4200);
		n = open_files();
		most = n > most ? n : most;
	}
	ck_assert_ok(lsvd_vlog_commit(w, &pin));
	lsvd_vlog_pin_release(pin);
	ck_assert_uint_eq(lsvd_vlog_segment_count(t.log), 200);
	for (unsigned i = 0; i < 200; i++) {
		char key[8];

		(void)snprintf(key, sizeof key, "%03u", i);
		t_key_reads(&t, key, 4200, i);
	}
	ck_assert_uint_lt(most, 40);
	ck_assert_uint_lt(open_files(), 150);
	teardown();
	tmpdir_free(dir);
	setup();
}
END_TEST

START_TEST(gets_of_one_segment_open_it_once)
{
	struct lsvd_store_counters before = LSVD_STORE_COUNTERS_INIT, after = before;
	char *dir = tmpdir_new(), url[300];

	teardown();
	(void)snprintf(url, sizeof url, "dir:%s", dir);
	t_vlog_init(&t, url);
	t_store_letters(&t, 5, 1000, 0);
	ck_assert_ok(lsvd_store_counters(t.store, &before));
	for (char c = 'a'; c <= 'e'; c++)
		t_key_reads(&t, (char[]){ c, 0 }, 1000, (uint64_t)c);
	ck_assert_ok(lsvd_store_counters(t.store, &after));
	ck_assert_uint_eq(after.opened - before.opened, 1);
	ck_assert_uint_eq(after.reused - before.reused, 4);
	/* What is dropped is let go. */
	t_index_clear(&t.ix);
	(void)t_scan(&t);
	ck_assert_uint_eq(t_drop(&t).dropped, 1);
	ck_assert_uint_eq(t_objects(&t, 'f')->count, 0);
	teardown();
	tmpdir_free(dir);
	setup();
}
END_TEST

static Suite *vlog_faults_suite(void)
{
	Suite *s = suite_create("vlog_faults");
	TCase *gc = tcase_create("collection"), *damage = tcase_create("damage");
	TCase *others = tcase_create("others"), *directory = tcase_create("directory");
	TCase *cases[] = { gc, damage, others, directory };

	tcase_add_test(gc, of_two_records_of_a_key_in_one_writer_the_newer_one_stays);
	tcase_add_test(gc, collection_leaves_alone_what_the_index_never_had);
	tcase_add_test(gc, a_writer_that_outlives_a_collection_wins);
	tcase_add_test(gc, a_write_during_a_collection_wins);
	tcase_add_test(gc, what_is_committed_is_pinned_until_the_index_is_durable);
	tcase_add_test(gc, a_pinned_snapshot_still_reads_what_was_collected);
	tcase_add_test(gc, entirely_stale_segments_are_picked_by_ratio_one_and_never_read);
	tcase_add_test(gc, values_of_strategies_are_checked);
	tcase_add_test(gc, a_strategy_of_the_programs_own_sees_every_segment);
	tcase_add_test(gc, collecting_what_is_gone_says_so);
	tcase_add_test(gc, a_collection_that_fails_leaves_no_objects_behind);
	tcase_add_test(gc, a_cancelled_collection_has_done_nothing);
	tcase_add_test(gc, a_limit_of_bytes_ends_a_collection_between_segments);
	tcase_add_test(gc, a_drop_during_a_scan_is_passed_over);
	tcase_add_test(gc, references_that_dangle_or_are_double_are_counted);
	tcase_add_test(gc, a_statistic_that_is_wrong_deletes_nothing);
	tcase_add_test(gc, noted_statistics_are_there_after_a_reopen_without_a_scan);
	tcase_add_test(damage, a_flipped_byte_is_an_error_of_that_value_alone);
	tcase_add_test(damage, prefetching_into_damage_fails_in_silence);
	tcase_add_test(damage, verify_looks_at_every_record);
	tcase_add_test(damage, what_is_damaged_is_never_copied_and_never_dropped);
	tcase_add_test(damage, a_handle_that_points_nowhere_has_an_error_of_its_own);
	tcase_add_test(damage, an_old_handle_is_stale_for_ever);
	tcase_add_test(damage, a_missing_segment_is_corruption_and_named);
	tcase_add_test(damage, a_segment_cut_short_or_exchanged_is_corruption);
	tcase_add_loop_test(damage, a_damaged_root_deletes_nothing, 0, 4);
	tcase_add_test(damage, strange_objects_are_ignored);
	tcase_add_test(damage, clear_empties_what_the_cache_would_answer);
	tcase_add_test(others, a_second_opener_fences_the_first_and_nothing_is_lost);
	tcase_add_test(others, a_reader_disturbs_nobody_and_changes_nothing);
	tcase_add_test(directory, descriptors_are_bounded_while_many_segments_are_written);
	tcase_add_test(directory, gets_of_one_segment_open_it_once);
	tcase_set_timeout(directory, 60);
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		tcase_add_checked_fixture(cases[i], setup, teardown);
		suite_add_tcase(s, cases[i]);
	}
	return s;
}

T_MAIN(vlog_faults_suite)

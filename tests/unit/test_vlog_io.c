/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_vlog_io.c - a value log in use: writing, reading, collecting, reopening.
 *
 * lsvd-test: labels=tsan
 */
#include <errno.h>
#include <malloc.h>

#include "base/alloc.h"
#include "base/hash.h"
#include "store_fault.h"
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

/* --------------------------------------------------------------------------------- in daily use */

START_TEST(what_was_committed_is_read_after_a_reopen)
{
	struct lsvd_vlog_value *first = NULL, *last = NULL;
	struct lsvd_vlog_segment s[64];

	t_store_letters(&t, 5, 10000, 0);
	t_vlog_reopen(&t);
	ck_assert_uint_eq(t_segments(&t, s), 1);
	ck_assert_uint_eq(s[0].items, 5);
	ck_assert_ok(lsvd_vlog_segment_info(t.log, s[0].id, NULL, &first, &last));
	ck_assert_mem_eq(lsvd_vlog_value_data(first), "a", 1);
	ck_assert_mem_eq(lsvd_vlog_value_data(last), "e", 1);
	lsvd_vlog_value_unref(first);
	lsvd_vlog_value_unref(last);
	ck_assert_uint_eq(t_scan(&t).items, 5);
	for (char c = 'a'; c <= 'e'; c++)
		t_key_reads(&t, (char[]){ c, 0 }, 10000, (uint64_t)c);
}
END_TEST

START_TEST(a_compaction_and_a_drop_leave_one_segment_of_what_lives)
{
	struct lsvd_vlog_gc_result r;

	t_store_letters(&t, 5, 10000, 0);
	t_store_letters(&t, 5, 10000, 100);
	ck_assert_uint_eq(lsvd_vlog_segment_count(t.log), 2);
	r = t_compact(&t);
	ck_assert_uint_eq(r.moved_items, 5);
	ck_assert_uint_eq(r.lost_races, 0);
	ck_assert_uint_gt(r.moved_bytes, 50000);
	ck_assert_uint_gt(r.reclaimable_bytes, 100000);
	r = t_drop(&t);
	ck_assert_uint_eq(r.dropped, 2);
	ck_assert_uint_gt(r.freed_bytes, 100000);
	ck_assert_uint_eq(t_report(&t).segments, 1);
	ck_assert_uint_eq(t_report(&t).items, 5);
	ck_assert_uint_eq(t_scan(&t).stale_items, 0);
	ck_assert_uint_eq(t_objects(&t, 'f')->count, 1);
	for (char c = 'a'; c <= 'e'; c++)
		t_key_reads(&t, (char[]){ c, 0 }, 10000, 100 + (uint64_t)c);
}
END_TEST

START_TEST(collection_for_space_reaches_its_target)
{
	const double targets[] = { 8, 2 };

	for (unsigned i = 0; i < 10; i++) {
		struct lsvd_vlog_writer *w = t_writer(&t);
		const char key[3] = { 'u', (char)('0' + i), 0 };
		struct lsvd_vlog_handle big, own;
		struct lsvd_vlog_pin *pin;

		big = t_put(w, "key", 100000, i);
		own = t_put(w, key, 25000, i);
		ck_assert_ok(lsvd_vlog_commit(w, &pin));
		t_index_set(&t.ix, "key", 3, &big, 100000);
		t_index_set(&t.ix, key, 2, &own, 25000);
		lsvd_vlog_pin_release(pin);
	}
	(void)t_scan(&t);
	ck_assert_double_eq_tol(lsvd_vlog_space_amp(t.log), 1250000.0 / 350000, 1e-9);
	for (unsigned i = 0; i < 2; i++) {
		(void)t_gc(&t, LSVD_VLOG_PICK_SPACE, targets[i]);
		(void)t_drop(&t);
		(void)t_scan(&t);
		ck_assert_double_le(lsvd_vlog_space_amp(t.log), targets[i]);
	}
	t_key_reads(&t, "key", 100000, 9);
	t_key_reads(&t, "u3", 25000, 3);
}
END_TEST

START_TEST(one_key_written_again_and_again_is_that_much_amplified)
{
	struct lsvd_vlog_report r;

	ck_assert_double_eq(lsvd_vlog_space_amp(t.log), 0);
	for (unsigned x = 1; x <= 10; x++) {
		(void)t_store(&t, "key", 10000, x);
		r = t_scan(&t);
		ck_assert_double_eq(lsvd_vlog_report_space_amp(&r), x);
		ck_assert_double_eq_tol(lsvd_vlog_report_stale_ratio(&r), 1 - 1.0 / x, 1e-12);
	}
	t_index_clear(&t.ix);
	r = t_scan(&t);
	ck_assert_double_eq(lsvd_vlog_report_space_amp(&r), 0);
	ck_assert_double_eq(lsvd_vlog_report_stale_ratio(&r), 1);
	(void)t_drop(&t);
	r = t_scan(&t);
	ck_assert_double_eq(lsvd_vlog_report_space_amp(&r), 0);
	ck_assert_double_eq(lsvd_vlog_report_stale_ratio(&r), 0);
}
END_TEST

START_TEST(distinct_keys_are_not_amplified)
{
	for (unsigned i = 0; i < 100; i++) {
		char key[8];
		struct lsvd_vlog_report r;

		(void)snprintf(key, sizeof key, "k%u", i);
		(void)t_store(&t, key, 1000, i);
		if (i % 10 != 9)
			continue;
		r = t_scan(&t);
		ck_assert_double_eq(lsvd_vlog_report_space_amp(&r), 1);
		ck_assert_double_eq(lsvd_vlog_report_stale_ratio(&r), 0);
	}
}
END_TEST

static void store_text(const char *key)
{
	struct lsvd_vlog_writer *w = t_writer(&t);
	struct lsvd_vlog_pin *pin;
	struct lsvd_vlog_handle h;
	char text[161];

	for (unsigned i = 0; i < 10; i++)
		memcpy(text + i * 16, "all work, no pla", 16);
	ck_assert_ok(lsvd_vlog_put(w, key, strlen(key), text, 160, &h));
	ck_assert_ok(lsvd_vlog_commit(w, &pin));
	t_index_set(&t.ix, key, strlen(key), &h, 160);
	lsvd_vlog_pin_release(pin);
}

START_TEST(values_are_compressed_and_collected_compressed_as_they_are)
{
	const uint32_t codecs[] = { LSVD_VLOG_CODEC_LZ4, LSVD_VLOG_CODEC_ZLIB };
	struct lsvd_vlog_segment s[64], after[64];

	t_vlog_close(&t);
	t.options.codec = codecs[_i];
	t_vlog_open(&t);
	store_text("key");
	ck_assert_uint_eq(t_segments(&t, s), 1);
	ck_assert_uint_eq(s[0].raw_bytes, 160);
	ck_assert_uint_lt(s[0].stored_bytes, 60);
	/* Who collects need not even compress. */
	t_vlog_close(&t);
	t.options.codec = LSVD_VLOG_CODEC_NONE;
	t_vlog_open(&t);
	ck_assert_uint_eq(t_compact(&t).moved_items, 1);
	(void)t_drop(&t);
	ck_assert_uint_eq(t_segments(&t, after), 1);
	ck_assert_uint_ne(after[0].id, s[0].id);
	ck_assert_uint_eq(after[0].raw_bytes, 160);
	ck_assert_uint_eq(after[0].stored_bytes, s[0].stored_bytes);

	struct lsvd_vlog_value *v = NULL;

	ck_assert_ok(lsvd_vlog_get(t.log, &t_index_find(&t.ix, "key", 3)->h, &v));
	ck_assert_uint_eq(lsvd_vlog_value_size(v), 160);
	ck_assert_mem_eq((const char *)lsvd_vlog_value_data(v) + 144, "all work, no pla", 16);
	lsvd_vlog_value_unref(v);
}
END_TEST

START_TEST(zstd_is_there_or_says_that_it_is_not)
{
	int err;

	t_vlog_close(&t);
	t.options.codec = LSVD_VLOG_CODEC_ZSTD;
	err = lsvd_vlog_open(&t.log, t.store, "log", &t.options);
	if (err == LSVD_E_UNSUPPORTED) {
		t.options.codec = 0;
		t_vlog_open(&t);
		return;
	}
	ck_assert_ok(err);
	store_text("key");
	ck_assert_uint_lt(t_report(&t).record_bytes, 100);
	t_vlog_reopen(&t);
	ck_assert_ok(t_get(&t, &t_index_find(&t.ix, "key", 3)->h));
}
END_TEST

static size_t xor_compress(void *ctx, const void *src, size_t len, void *dst, size_t cap)
{
	const unsigned char *p = src;

	(void)ctx;
	for (size_t i = 0; i < len / 2; i++)
		if (p[i] != p[i + len / 2])
			return 0;
	if (len % 2 || len / 2 > cap)
		return 0;
	memcpy(dst, src, len / 2);
	return len / 2;
}

static int xor_decompress(void *ctx, const void *src, size_t len, void *dst, size_t raw)
{
	(void)ctx;
	if (raw != 2 * len)
		return -1;
	memcpy(dst, src, len);
	memcpy((char *)dst + len, src, len);
	return 0;
}

START_TEST(a_codec_of_the_programs_own_is_used_and_missed_when_it_is_not_there)
{
	const struct lsvd_vlog_codec_ops twice = { sizeof twice, 77, xor_compress, xor_decompress };
	struct lsvd_vlog_segment s[64];

	t_vlog_close(&t);
	t.options.codecs = &twice;
	t.options.codec_count = 1;
	t.options.codec = 77;
	t_vlog_open(&t);
	store_text("key");
	ck_assert_uint_eq(t_segments(&t, s), 1);
	ck_assert_uint_eq(s[0].stored_bytes, 80);
	ck_assert_ok(t_get(&t, &t_index_find(&t.ix, "key", 3)->h));
	t_vlog_close(&t);
	t.options.codec_count = t.options.codec = 0;
	t_vlog_open(&t);
	ck_assert_err(t_get(&t, &t_index_find(&t.ix, "key", 3)->h), LSVD_E_UNSUPPORTED);
}
END_TEST

struct late {
	struct t_index *ix;
	bool done;
	struct lsvd_vlog_handle h;
};

/* In the middle of the scan somebody commits, and has not told the index yet. */
static int next_with_commit(void *ctx, struct lsvd_vlog_handle *h, uint64_t *raw)
{
	struct late *l = ctx;

	if (!l->done) {
		l->done = true;
		l->h = t_store(&t, "late", 1000, 1);
		t_index_del(&t.ix, "late", 4);
	}
	return t_index_next(l->ix, h, raw);
}

START_TEST(a_segment_committed_during_a_scan_is_left_alone_by_it)
{
	struct late l = { .ix = &t.ix };
	struct lsvd_vlog_report r = LSVD_VLOG_REPORT_INIT;

	t_store_letters(&t, 3, 1000, 0);
	ck_assert_ok(lsvd_vlog_scan_for_stats(t.log, next_with_commit, &l, &r));
	ck_assert_uint_eq(r.segments, 2);
	ck_assert_uint_eq(r.stale_items, 0);
	t_index_set(&t.ix, "late", 4, &l.h, 1000);
	ck_assert_uint_eq(t_drop(&t).dropped, 0);
	t_key_reads(&t, "late", 1000, 1);
}
END_TEST

START_TEST(an_index_that_cannot_finish_loses_nothing)
{
	struct lsvd_vlog_gc_result r = LSVD_VLOG_GC_RESULT_INIT;
	struct lsvd_vlog_segment s[64];
	uint64_t id;

	t_store_letters(&t, 5, 10000, 0);
	ck_assert_uint_eq(t_segments(&t, s), 1);
	id = s[0].id;
	for (char c = 'a'; c <= 'd'; c++)
		t_index_del(&t.ix, &c, 1);
	ck_assert_double_eq_tol(t_scan(&t).stale_raw_bytes / 50000.0, 0.8, 1e-12);
	t.ix.fail_finish = -EIO;
	ck_assert_err(lsvd_vlog_rollover(t.log, &id, 1, &t.ops, NULL, &r), -EIO);
	t.ix.fail_finish = 0;
	ck_assert_uint_eq(lsvd_vlog_segment_count(t.log), 2);
	t_key_reads(&t, "e", 10000, 'e');
	(void)t_scan(&t);
	ck_assert_uint_eq(t_drop(&t).dropped, 1);
	ck_assert_uint_eq(t_segments(&t, s), 1);
	ck_assert_uint_eq(s[0].id, id);
	t_key_reads(&t, "e", 10000, 'e');
	t_index_clear(&t.ix);
	(void)t_scan(&t);
	ck_assert_uint_eq(t_drop(&t).dropped, 1);
	ck_assert_uint_eq(lsvd_vlog_segment_count(t.log), 0);
	ck_assert_double_eq(lsvd_vlog_space_amp(t.log), 0);
}
END_TEST

START_TEST(what_a_dead_writer_left_is_no_part_of_the_log_and_goes_with_a_drop)
{
	struct iovec iov = { (void *)(uintptr_t)"left", 4 };
	struct lsvd_vlog_info info = { .size = sizeof info };
	char key[LSVD_KEY_MAX + 1];

	t_store_letters(&t, 5, 1000, 0);
	ck_assert_ok(lsvd_vlog_lookup(t.store, "log", &info));
	(void)snprintf(key, sizeof key, "v/%s/f/%08x.%016x", info.uuid, 1, 73);
	ck_assert_ok(lsvd_store_put_if_absent(t.store, key, &iov, 1));
	t_vlog_reopen(&t);
	ck_assert_uint_eq(lsvd_vlog_segment_count(t.log), 1);
	ck_assert_uint_eq(t_drop(&t).orphans, 1);
	ck_assert_uint_eq(t_objects(&t, 'f')->count, 1);
	t_vlog_reopen(&t);
	ck_assert_uint_eq(lsvd_vlog_segment_count(t.log), 1);
	t_key_reads(&t, "c", 1000, 'c');
}
END_TEST

START_TEST(clear_leaves_nothing_and_can_be_repeated)
{
	for (unsigned i = 0; i < 5; i++)
		t_store_letters(&t, 2, 1000, i);
	ck_assert_uint_eq(lsvd_vlog_segment_count(t.log), 5);
	t_index_clear(&t.ix);
	ck_assert_ok(lsvd_vlog_clear(t.log));
	ck_assert_uint_eq(lsvd_vlog_segment_count(t.log), 0);
	ck_assert_uint_eq(t_objects(&t, 'f')->count, 0);
	t_vlog_reopen(&t);
	ck_assert_uint_eq(t_scan(&t).items, 0);
	ck_assert_ok(lsvd_vlog_clear(t.log));
	ck_assert_uint_eq(lsvd_vlog_segment_count(t.log), 0);
}
END_TEST

/* -------------------------------------------------------------------------------------- writing */

START_TEST(the_handle_is_known_before_the_record_is_written)
{
	struct lsvd_vlog_writer *w = t_writer(&t);
	struct lsvd_vlog_pin *pin;

	for (unsigned i = 0; i < 20; i++) {
		struct lsvd_vlog_handle before, h;
		char key[8];

		(void)snprintf(key, sizeof key, "%02u", i);
		ck_assert_ok(lsvd_vlog_next_handle(w, &before));
		ck_assert_uint_eq(before.size, 0);
		h = t_put(w, key, 100 * i, i);
		ck_assert_uint_eq(before.segment, h.segment);
		ck_assert_uint_eq(before.offset, h.offset);
	}
	ck_assert_ok(lsvd_vlog_commit(w, &pin));
	lsvd_vlog_pin_release(pin);
}
END_TEST

START_TEST(a_writer_goes_on_in_a_new_segment_when_one_is_full)
{
	struct lsvd_vlog_writer *w;
	struct lsvd_vlog_pin *pin;

	t_vlog_close(&t);
	t.options.segment_bytes = 4096;
	t_vlog_open(&t);
	w = t_writer(&t);
	for (unsigned i = 0; i < 50; i++) {
		char key[8];
		struct lsvd_vlog_handle h;

		(void)snprintf(key, sizeof key, "%02u", i);
		h = t_put(w, key, 1000, i);
		t_index_set(&t.ix, key, 2, &h, 1000);
		ck_assert_err(t_get(&t, &h), LSVD_E_STALE); /* not committed yet */
	}
	ck_assert_ok(lsvd_vlog_commit(w, &pin));
	lsvd_vlog_pin_release(pin);
	ck_assert_uint_eq(lsvd_vlog_segment_count(t.log), 13);
	t_vlog_reopen(&t);
	for (unsigned i = 0; i < 50; i++) {
		char key[8];

		(void)snprintf(key, sizeof key, "%02u", i);
		t_key_reads(&t, key, 1000, i);
	}
}
END_TEST

START_TEST(an_empty_writer_commits_and_an_aborted_one_leaves_nothing)
{
	struct lsvd_vlog_writer *w = t_writer(&t);
	struct lsvd_vlog_pin *pin = NULL;
	struct lsvd_vlog_handle h;

	ck_assert_ok(lsvd_vlog_commit(w, &pin));
	lsvd_vlog_pin_release(pin);
	ck_assert_uint_eq(lsvd_vlog_segment_count(t.log), 0);
	t_vlog_close(&t);
	t.options.segment_bytes = 4096;
	t_vlog_open(&t);
	w = t_writer(&t);
	for (unsigned i = 0; i < 20; i++)
		h = t_put(w, "key", 1000, i);
	lsvd_vlog_abort(w);
	ck_assert_uint_eq(t_objects(&t, 'f')->count, 0);
	ck_assert_err(t_get(&t, &h), LSVD_E_STALE);
}
END_TEST

START_TEST(limits_of_keys_and_values_are_errors_and_the_writer_goes_on)
{
	struct lsvd_vlog_writer *w = t_writer(&t);
	struct lsvd_vlog_handle h, longest;
	struct lsvd_vlog_pin *pin;
	unsigned char *key = t_value(LSVD_VLOG_KEY_MAX + 1, 1);

	ck_assert_err(lsvd_vlog_put(w, "", 0, "x", 1, &h), -EINVAL);
	ck_assert_err(lsvd_vlog_put(w, key, LSVD_VLOG_KEY_MAX + 1, "x", 1, &h), -E2BIG);
	ck_assert_err(lsvd_vlog_put(w, "key", 3, key, LSVD_VLOG_VALUE_MAX + 1, &h), -E2BIG);
	ck_assert_err(lsvd_vlog_put(w, NULL, 3, "x", 1, &h), -EINVAL);
	ck_assert_err(lsvd_vlog_put(w, "key", 3, NULL, 1, &h), -EINVAL);
	ck_assert_error_says("value at NULL");
	ck_assert_err(lsvd_vlog_writer_metadata(w, NULL, 5), -EINVAL);
	ck_assert_ok(lsvd_vlog_writer_metadata(w, NULL, 0));
	ck_assert_ok(lsvd_vlog_put(w, key, LSVD_VLOG_KEY_MAX, NULL, 0, &longest));
	ck_assert_ok(lsvd_vlog_put(w, "k", 1, "", 0, &h));
	ck_assert_ok(lsvd_vlog_commit(w, &pin));
	lsvd_vlog_pin_release(pin);
	t_reads(&t, &longest, 0, 0);
	t_reads(&t, &h, 0, 0);
	free(key);
}
END_TEST

START_TEST(a_value_longer_than_a_segment_is_whole)
{
	struct lsvd_vlog_handle h;

	t_vlog_close(&t);
	t.options.segment_bytes = 65536;
	t.options.codec = _i ? LSVD_VLOG_CODEC_LZ4 : 0;
	t_vlog_open(&t);
	h = t_store(&t, "large", (5u << 20) + 77, 3);
	(void)t_store(&t, "small", 10, 4);
	t_vlog_reopen(&t);
	t_reads(&t, &h, (5u << 20) + 77, 3);
	ck_assert_uint_eq(t_compact(&t).moved_items, 2);
	(void)t_drop(&t);
	t_key_reads(&t, "large", (5u << 20) + 77, 3);
	t_key_reads(&t, "small", 10, 4);
}
END_TEST

START_TEST(metadata_stays_with_its_segment)
{
	struct lsvd_vlog_writer *w = t_writer(&t);
	struct lsvd_vlog_segment s[64];
	struct lsvd_vlog_value *v = NULL;
	struct lsvd_vlog_pin *pin;
	struct lsvd_vlog_handle h;

	ck_assert_err(lsvd_vlog_writer_metadata(w, "x", LSVD_VLOG_METADATA_MAX + 1), -E2BIG);
	ck_assert_ok(lsvd_vlog_writer_metadata(w, "seqno 1..7", 10));
	h = t_put(w, "key", 10, 1);
	ck_assert_ok(lsvd_vlog_commit(w, &pin));
	t_index_set(&t.ix, "key", 3, &h, 10);
	lsvd_vlog_pin_release(pin);
	t_vlog_reopen(&t);
	ck_assert_uint_eq(t_segments(&t, s), 1);
	ck_assert_ok(lsvd_vlog_segment_info(t.log, s[0].id, &v, NULL, NULL));
	ck_assert_uint_eq(lsvd_vlog_value_size(v), 10);
	ck_assert_mem_eq(lsvd_vlog_value_data(v), "seqno 1..7", 10);
	lsvd_vlog_value_unref(v);
}
END_TEST

/* -------------------------------------------------------------------------------------- reading */

START_TEST(a_get_may_ask_for_the_key)
{
	struct lsvd_vlog_handle h = t_store(&t, "key", 100, 1);
	struct lsvd_vlog_value *v = NULL;

	ck_assert_ok(lsvd_vlog_get_checked(t.log, &h, "key", 3, &v));
	lsvd_vlog_value_unref(v);
	ck_assert_err(lsvd_vlog_get_checked(t.log, &h, "kex", 3, &v), -ENOENT);
	ck_assert_err(lsvd_vlog_get_checked(t.log, &h, "ke", 2, &v), -ENOENT);
}
END_TEST

static size_t largest;

static void *note_alloc(size_t align, size_t size)
{
	void *p = NULL;

	largest = size > largest ? size : largest;
	return posix_memalign(&p, align < sizeof p ? sizeof p : align, size) == 0 ? p : NULL;
}

START_TEST(a_handle_that_points_nowhere_takes_no_memory_for_what_it_says)
{
	static const struct alloc_ops noting = { note_alloc, realloc, free };
	struct lsvd_vlog_handle h = t_store(&t, "key", 100, 1), wrong = h;
	struct lsvd_vlog_value *v = NULL;
	uint8_t byte;
	size_t len;

	wrong.size = 3u << 30;
	largest = 0;
	lsvd_alloc_set(&noting);
	ck_assert_err(lsvd_vlog_get(t.log, &wrong, &v), -ENOENT);
	ck_assert_err(lsvd_vlog_read_range(t.log, &wrong, 0, &byte, 1, &len), -ENOENT);
	lsvd_alloc_set(NULL);
	ck_assert_uint_lt(largest, 64u << 20);
	ck_assert_ok(lsvd_vlog_get(t.log, &h, &v));
	lsvd_vlog_value_unref(v);
}
END_TEST

START_TEST(many_near_records_are_one_request)
{
	struct lsvd_vlog_request q[9];
	struct lsvd_vlog_stats before = { .size = sizeof before }, after = before;

	t_store_letters(&t, 8, 1000, 0);
	for (unsigned i = 0; i < 8; i++)
		q[i] = (struct lsvd_vlog_request){ .handle = t.ix.at[7 - i].h,
						   .key = { t.ix.at[7 - i].key, 1 } };
	q[8] = (struct lsvd_vlog_request){ .handle = { 99, 100, 100 } };
	q[3].key.data = "z";
	ck_assert_ok(lsvd_vlog_stats(t.log, &before));
	ck_assert_ok(lsvd_vlog_get_many(t.log, q, 9));
	ck_assert_ok(lsvd_vlog_stats(t.log, &after));
	ck_assert_uint_eq(after.get_requests - before.get_requests, 1);
	for (unsigned i = 0; i < 8; i++) {
		if (i == 3) {
			ck_assert_int_eq(q[i].err, -ENOENT);
			continue;
		}
		ck_assert_int_eq(q[i].err, 0);
		t_same(q[i].value, 1000, 'h' - i);
		lsvd_vlog_value_unref(q[i].value);
	}
	ck_assert_int_eq(q[8].err, -ENOENT);
}
END_TEST

START_TEST(a_range_of_a_large_value_reads_only_its_pieces)
{
	const size_t len = (3u << 20) + 5;
	unsigned char *all = t_value(len, 9), *part = malloc(200000);
	struct lsvd_vlog_stats before = { .size = sizeof before }, after = before;
	struct lsvd_vlog_handle h;
	uint64_t random = 1;
	size_t got;

	t_vlog_close(&t);
	t.options.codec = _i ? LSVD_VLOG_CODEC_ZLIB : 0;
	t_vlog_open(&t);
	if (_i)
		memset(all + 65536, 7, 300000);
	struct lsvd_vlog_writer *w = t_writer(&t);
	struct lsvd_vlog_pin *pin;

	ck_assert_ok(lsvd_vlog_put(w, "key", 3, all, len, &h));
	ck_assert_ok(lsvd_vlog_commit(w, &pin));
	lsvd_vlog_pin_release(pin);
	for (unsigned i = 0; i < 50; i++) {
		uint64_t off = t_random_below(&random, len);
		size_t n = t_random_below(&random, 200000);

		ck_assert_ok(lsvd_vlog_read_range(t.log, &h, off, part, n, &got));
		ck_assert_uint_eq(got, n < len - off ? n : len - off);
		ck_assert(memcmp(part, all + off, got) == 0);
	}
	ck_assert_ok(lsvd_vlog_read_range(t.log, &h, len, part, 10, &got));
	ck_assert_uint_eq(got, 0);
	ck_assert_ok(lsvd_vlog_stats(t.log, &before));
	ck_assert_ok(lsvd_vlog_read_range(t.log, &h, 1u << 20, part, 100, &got));
	ck_assert_ok(lsvd_vlog_stats(t.log, &after));
	ck_assert_uint_lt(after.get_request_bytes - before.get_request_bytes, 80000);
	free(all);
	free(part);
}
END_TEST

START_TEST(a_cache_answers_without_the_store_and_prefetch_fills_it)
{
	struct lsvd_vlog_stats before = { .size = sizeof before }, after = before;
	struct lsvd_vlog_value *v = NULL;

	t_vlog_close(&t);
	ck_assert_ok(lsvd_vlog_cache_new(&t.options.cache, 1u << 20));
	t_vlog_open(&t);
	t_store_letters(&t, 10, 1000, 0);
	ck_assert_ok(lsvd_vlog_get_prefetch(t.log, &t.ix.at[0].h, 9, &v));
	lsvd_vlog_value_unref(v);
	do
		ck_assert_ok(lsvd_vlog_stats(t.log, &before));
	while (before.prefetches + before.prefetch_failures < 9);
	for (unsigned i = 0; i < 10; i++)
		t_reads(&t, &t.ix.at[i].h, 1000, 'a' + i);
	ck_assert_ok(lsvd_vlog_stats(t.log, &after));
	ck_assert_uint_eq(after.get_requests, before.get_requests);
	ck_assert_uint_eq(after.cache_hits, 10);
	t_vlog_close(&t);
	lsvd_vlog_cache_free(t.options.cache);
	t.options.cache = NULL;
	t_vlog_open(&t);
}
END_TEST

static struct lsvd_vlog_stats stats_of(struct lsvd_vlog *log)
{
	struct lsvd_vlog_stats s = { .size = sizeof s };

	ck_assert_ok(lsvd_vlog_stats(log, &s));
	return s;
}

/* Both number their segments from 1 on, and have a record of the same length at the same place. */
START_TEST(two_logs_on_one_cache_never_get_each_others_values)
{
	struct t_vlog one = { .store = t.store, .ops = t.ops }, other = one;
	struct lsvd_vlog_options o = t.options;
	struct lsvd_vlog_handle a, b;
	uint64_t requests;

	ck_assert_ok(lsvd_vlog_cache_new(&o.cache, 1u << 20));
	ck_assert_ok(lsvd_vlog_open(&one.log, t.store, "one", &o));
	ck_assert_ok(lsvd_vlog_open(&other.log, t.store, "other", &o));
	a = t_store(&one, "key", 1000, 1);
	b = t_store(&other, "key", 1000, 2);
	ck_assert(memcmp(&a, &b, sizeof a) == 0);
	t_reads(&one, &a, 1000, 1);
	t_reads(&other, &b, 1000, 2);
	requests = stats_of(one.log).get_requests + stats_of(other.log).get_requests;
	t_reads(&one, &a, 1000, 1);
	t_reads(&other, &b, 1000, 2);
	ck_assert_uint_eq(stats_of(one.log).get_requests + stats_of(other.log).get_requests,
			  requests);
	ck_assert_uint_eq(stats_of(one.log).cache_hits, 1);
	ck_assert_uint_eq(stats_of(other.log).cache_hits, 1);
	/* What one log drops the other still has. */
	ck_assert_ok(lsvd_vlog_clear(one.log));
	ck_assert_err(t_get(&one, &a), LSVD_E_STALE);
	t_reads(&other, &b, 1000, 2);
	ck_assert_uint_eq(stats_of(other.log).cache_hits, 2);
	ck_assert_ok(lsvd_vlog_close(one.log));
	ck_assert_ok(lsvd_vlog_close(other.log));
	lsvd_vlog_cache_free(o.cache);
	t_index_fini(&one.ix);
	t_index_fini(&other.ix);
}
END_TEST

/* ------------------------------------------------------------------------------------- scanning */

static unsigned walk(const struct lsvd_vlog_scan *scan, char *order)
{
	struct lsvd_vlog_iter *it;
	struct lsvd_vlog_item item;
	unsigned n = 0;
	int more;

	ck_assert_ok(lsvd_vlog_iter_open(t.log, scan, &it));
	while ((more = lsvd_vlog_iter_next(it, &item)) > 0)
		order[n++] = *(const char *)item.key.data;
	ck_assert_ok(more);
	for (int i = 0; i < 3; i++) /* the end stays the end */
		ck_assert_int_eq(lsvd_vlog_iter_next(it, &item), 0);
	lsvd_vlog_iter_close(it);
	order[n] = 0;
	return n;
}

START_TEST(a_merged_scan_has_the_newest_of_each_key_in_order)
{
	const struct lsvd_vlog_scan all = { .size = sizeof all, .flags = LSVD_VLOG_SCAN_ALL };
	const struct lsvd_vlog_scan some = { .size = sizeof some, .first = { "b", 1 },
					     .last = { "d", 1 } };
	struct lsvd_vlog_iter *it;
	struct lsvd_vlog_item item;
	char order[64];

	t_store_letters(&t, 5, 1000, 0);
	(void)t_store(&t, "c", 1000, 500);
	(void)t_store(&t, "x", 1000, 600);
	ck_assert_uint_eq(walk(NULL, order), 6);
	ck_assert_str_eq(order, "abcdex");
	ck_assert_uint_eq(walk(&all, order), 7);
	ck_assert_str_eq(order, "abccdex");
	ck_assert_uint_eq(walk(&some, order), 3);
	ck_assert_str_eq(order, "bcd");
	/* Collection keeps what is newer than what. */
	t_index_set(&t.ix, "c", 1, &t_index_find(&t.ix, "c", 1)->h, 1000);
	(void)t_compact(&t);
	ck_assert_ok(lsvd_vlog_iter_open(t.log, NULL, &it));
	while (lsvd_vlog_iter_next(it, &item) > 0) {
		unsigned char *want = t_value(1000, *(const char *)item.key.data == 'c' ? 500
						    : *(const char *)item.key.data == 'x' ? 600
						    : (uint64_t)*(const char *)item.key.data);

		ck_assert_uint_eq(item.value.size, 1000);
		ck_assert(memcmp(item.value.data, want, 1000) == 0);
		free(want);
	}
	lsvd_vlog_iter_close(it);
}
END_TEST

/*
 * Keys that several segments have, one of them long, and little values:
 * indices larger than they are.
 */
static void store_many(unsigned segments, unsigned keys)
{
	char key[3001];

	for (unsigned s = 0; s < segments; s++) {
		struct lsvd_vlog_writer *w = t_writer(&t);
		struct lsvd_vlog_pin *pin = NULL;

		for (unsigned i = s; i < keys; i += 1 + s % 2) {
			memset(key, 'x', sizeof key);
			(void)snprintf(key, sizeof key, "key %08u", i);
			if (i == keys / 2)
				key[12] = 'x', key[3000] = '\0';
			(void)t_put(w, key, 8, s * keys + i);
		}
		ck_assert_ok(lsvd_vlog_commit(w, &pin));
		lsvd_vlog_pin_release(pin);
	}
}

static size_t held, held_most;

static void hold(size_t n)
{
	size_t now = __atomic_add_fetch(&held, n, __ATOMIC_SEQ_CST);

	if (now > __atomic_load_n(&held_most, __ATOMIC_SEQ_CST))
		__atomic_store_n(&held_most, now, __ATOMIC_SEQ_CST);
}

static void *counted_alloc(size_t align, size_t size)
{
	void *p = NULL;

	if (posix_memalign(&p, align < 16 ? 16 : align, size) != 0)
		return NULL;
	hold(malloc_usable_size(p));
	return p;
}

static void *counted_resize(void *p, size_t size)
{
	size_t before = p ? malloc_usable_size(p) : 0;
	void *q = realloc(p, size);

	if (q)
		hold(malloc_usable_size(q) - before);
	return q;
}

static void counted_release(void *p)
{
	(void)__atomic_sub_fetch(&held, p ? malloc_usable_size(p) : 0, __ATOMIC_SEQ_CST);
	free(p);
}

/*
 * A hash of all items and how many; *ret_most: the most memory that was held beyond
 * that at the beginning.
 */
static uint64_t scan_within(uint64_t memory, uint32_t flags, size_t *ret_items, size_t *ret_most)
{
	static const struct alloc_ops counted = { counted_alloc, counted_resize, counted_release };
	const struct lsvd_vlog_scan scan = { .size = sizeof scan, .flags = flags,
					     .memory_bytes = memory };
	struct lsvd_vlog_iter *it;
	struct lsvd_vlog_item item;
	uint64_t hash = 0;
	int more;

	lsvd_alloc_set(&counted);
	held = held_most = 1u << 20; /* what was there before may be freed meanwhile */
	ck_assert_ok(lsvd_vlog_iter_open(t.log, &scan, &it));
	held_most = held; /* to verify an index all of it is needed, once */
	for (*ret_items = 0; (more = lsvd_vlog_iter_next(it, &item)) > 0; ++*ret_items) {
		hash = lsvd_hash_seeded(item.key.data, item.key.size, hash);
		hash = lsvd_hash_seeded(item.value.data, item.value.size,
					hash + item.handle.offset);
	}
	ck_assert_int_eq(more, 0);
	*ret_most = held_most - (1u << 20);
	lsvd_vlog_iter_close(it);
	lsvd_alloc_set(NULL);
	return hash;
}

START_TEST(a_scan_keeps_within_its_memory_and_sees_the_same)
{
	const uint32_t flags = _i ? LSVD_VLOG_SCAN_ALL : LSVD_VLOG_SCAN_NEWEST;
	size_t items, same, most, least;
	uint64_t hash;

	store_many(6, 8000);
	hash = scan_within(0, flags, &items, &most);
	ck_assert(scan_within(1, flags, &same, &least) == hash);
	ck_assert_uint_eq(items, same);
	ck_assert_uint_gt(items, 7999);
	/* For each segment a part of the index with its longest entry, and a window. */
	ck_assert_uint_lt(least, 6 * (2 * 4096 + 2 * 3100 + 4096));
	ck_assert_uint_gt(most, 3 * least);
}
END_TEST

START_TEST(a_scan_with_unknown_flags_is_refused)
{
	const struct lsvd_vlog_scan scan = { .size = sizeof scan, .flags = 0x10 };
	struct lsvd_vlog_iter *it;

	ck_assert_err(lsvd_vlog_iter_open(t.log, &scan, &it), -EINVAL);
}
END_TEST

START_TEST(a_stored_scan_with_bounds_is_refused)
{
	struct lsvd_vlog_scan scan = { .size = sizeof scan, .flags = LSVD_VLOG_SCAN_STORED,
				       .first = { "a", 1 } };
	struct lsvd_vlog_iter *it;

	ck_assert_err(lsvd_vlog_iter_open(t.log, &scan, &it), -EINVAL);
	scan.first.data = NULL;
	scan.last = (struct lsvd_vlog_slice){ "z", 1 };
	ck_assert_err(lsvd_vlog_iter_open(t.log, &scan, &it), -EINVAL);
	ck_assert_error_says("bounds");
}
END_TEST

START_TEST(a_stored_scan_is_in_the_order_of_writing)
{
	const struct lsvd_vlog_scan stored = { .size = sizeof stored,
					       .flags = LSVD_VLOG_SCAN_STORED };
	struct lsvd_vlog_writer *w = t_writer(&t);
	struct lsvd_vlog_pin *pin;
	char order[64];

	(void)t_put(w, "c", 10, 1);
	(void)t_put(w, "a", 200000, 2);
	(void)t_put(w, "c", 0, 3);
	(void)t_put(w, "b", 10, 4);
	ck_assert_ok(lsvd_vlog_commit(w, &pin));
	lsvd_vlog_pin_release(pin);
	ck_assert_uint_eq(walk(&stored, order), 4);
	ck_assert_str_eq(order, "cacb");
	ck_assert_uint_eq(walk(NULL, order), 3);
	ck_assert_str_eq(order, "abc");
}
END_TEST

/* ---------------------------------------------------------------------------------------- names */

static int count_info(void *ctx, const struct lsvd_vlog_info *info)
{
	(void)info;
	++*(unsigned *)ctx;
	return 0;
}

START_TEST(logs_are_created_listed_and_deleted)
{
	struct lsvd_vlog_info info = { .size = sizeof info };
	unsigned n = 0;

	ck_assert_err(lsvd_vlog_create(t.store, "log"), -EEXIST);
	ck_assert_err(lsvd_vlog_create(t.store, "../x"), -EINVAL);
	ck_assert_ok(lsvd_vlog_create(t.store, "other"));
	ck_assert_ok(lsvd_vlog_list(t.store, count_info, &n));
	ck_assert_uint_eq(n, 2);
	ck_assert_ok(lsvd_vlog_delete(t.store, "other"));
	ck_assert_err(lsvd_vlog_lookup(t.store, "other", &info), -ENOENT);
	ck_assert_err(lsvd_vlog_delete(t.store, "other"), -ENOENT);
}
END_TEST

START_TEST(a_deletion_that_leaves_objects_says_whose_they_are)
{
	struct t_vlog doomed = { .options = t.options, .ops = t.ops };
	struct lsvd_vlog_info info = { .size = sizeof info };
	struct lsvd_store *inner, *store;
	struct store_fault *f;

	ck_assert_ok(lsvd_store_open(&inner, "mem:", NULL));
	ck_assert_ok(store_fault_open(&store, &f, inner, 1));
	ck_assert_ok(lsvd_vlog_open(&doomed.log, store, "doomed", &doomed.options));
	(void)t_store(&doomed, "key", 100, 1);
	ck_assert_ok(lsvd_vlog_close(doomed.log));
	t_index_fini(&doomed.ix);
	ck_assert_ok(lsvd_vlog_lookup(store, "doomed", &info));
	ck_assert_ok(store_fault_add(f, &(struct fault_rule){ .verbs = FAULT_REMOVE, .key = "v/",
							      .kind = FAULT_FAIL, .err = -EIO }));
	ck_assert_int_lt(lsvd_vlog_delete(store, "doomed"), 0);
	ck_assert_ptr_nonnull(strstr(lsvd_last_error(), info.uuid));
	ck_assert_ptr_nonnull(strstr(lsvd_last_error(), "doomed"));
	ck_assert_err(lsvd_vlog_lookup(store, "doomed", &info), -ENOENT);
	lsvd_store_close(store);
}
END_TEST

START_TEST(reports_are_text_and_json)
{
	struct lsvd_vlog_report r;
	char buf[1024];

	t_store_letters(&t, 2, 1000, 0);
	r = t_report(&t);
	ck_assert_int_gt(lsvd_vlog_report_text(&r, buf, sizeof buf), 100);
	ck_assert_ptr_nonnull(strstr(buf, "records           2 (0 stale)"));
	ck_assert_int_gt(lsvd_vlog_report_json(&r, buf, sizeof buf), 100);
	ck_assert_ptr_nonnull(strstr(buf, "\"items\":2,"));
	ck_assert_int_gt(lsvd_vlog_report_json(&r, buf, 10), 100);
	ck_assert_uint_eq(strlen(buf), 9);
}
END_TEST

static Suite *vlog_suite(void)
{
	Suite *s = suite_create("vlog_io");
	TCase *use = tcase_create("use"), *writing = tcase_create("writing");
	TCase *reading = tcase_create("reading"), *scanning = tcase_create("scanning");
	TCase *names = tcase_create("names");
	TCase *cases[] = { use, writing, reading, scanning, names };

	tcase_add_test(use, what_was_committed_is_read_after_a_reopen);
	tcase_add_test(use, a_compaction_and_a_drop_leave_one_segment_of_what_lives);
	tcase_add_test(use, collection_for_space_reaches_its_target);
	tcase_add_test(use, one_key_written_again_and_again_is_that_much_amplified);
	tcase_add_test(use, distinct_keys_are_not_amplified);
	tcase_add_loop_test(use, values_are_compressed_and_collected_compressed_as_they_are, 0, 2);
	tcase_add_test(use, zstd_is_there_or_says_that_it_is_not);
	tcase_add_test(use, a_codec_of_the_programs_own_is_used_and_missed_when_it_is_not_there);
	tcase_add_test(use, a_segment_committed_during_a_scan_is_left_alone_by_it);
	tcase_add_test(use, an_index_that_cannot_finish_loses_nothing);
	tcase_add_test(use, what_a_dead_writer_left_is_no_part_of_the_log_and_goes_with_a_drop);
	tcase_add_test(use, clear_leaves_nothing_and_can_be_repeated);
	tcase_add_test(writing, the_handle_is_known_before_the_record_is_written);
	tcase_add_test(writing, a_writer_goes_on_in_a_new_segment_when_one_is_full);
	tcase_add_test(writing, an_empty_writer_commits_and_an_aborted_one_leaves_nothing);
	tcase_add_test(writing, limits_of_keys_and_values_are_errors_and_the_writer_goes_on);
	tcase_add_loop_test(writing, a_value_longer_than_a_segment_is_whole, 0, 2);
	tcase_add_test(writing, metadata_stays_with_its_segment);
	tcase_add_test(reading, a_get_may_ask_for_the_key);
	tcase_add_test(reading, a_handle_that_points_nowhere_takes_no_memory_for_what_it_says);
	tcase_add_test(reading, many_near_records_are_one_request);
	tcase_add_loop_test(reading, a_range_of_a_large_value_reads_only_its_pieces, 0, 2);
	tcase_add_test(reading, a_cache_answers_without_the_store_and_prefetch_fills_it);
	tcase_add_test(reading, two_logs_on_one_cache_never_get_each_others_values);
	tcase_add_test(scanning, a_merged_scan_has_the_newest_of_each_key_in_order);
	tcase_add_loop_test(scanning, a_scan_keeps_within_its_memory_and_sees_the_same, 0, 2);
	tcase_add_test(scanning, a_scan_with_unknown_flags_is_refused);
	tcase_add_test(scanning, a_stored_scan_with_bounds_is_refused);
	tcase_add_test(scanning, a_stored_scan_is_in_the_order_of_writing);
	tcase_add_test(names, logs_are_created_listed_and_deleted);
	tcase_add_test(names, a_deletion_that_leaves_objects_says_whose_they_are);
	tcase_add_test(names, reports_are_text_and_json);
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		tcase_add_checked_fixture(cases[i], setup, teardown);
		suite_add_tcase(s, cases[i]);
	}
	return s;
}

T_MAIN(vlog_suite)

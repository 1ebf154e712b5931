/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_s3_vlog.c - a value log whose home is a bucket of a real server.
 * lsvd-test: s3 timeout=120
 */
#include <errno.h>
#include <unistd.h>

#include "t_vlog.h"

static struct t_vlog t;

/* s3://BUCKET?… becomes s3://BUCKET/vlog-PID?… */
static void setup(void)
{
	const char *url = getenv("LSVD_TEST_S3_URL"), *query = url ? strchr(url, '?') : NULL;
	char own[1024];

	ck_assert_msg(query != NULL, "LSVD_TEST_S3_URL is not set");
	ck_assert_int_lt(snprintf(own, sizeof own, "%.*s/vlog-%d%s", (int)(query - url), url,
				  (int)getpid(), query), (int)sizeof own);
	t_vlog_init(&t, own);
}

static int remove_it(void *ctx, const struct lsvd_object_info *info)
{
	(void)ctx;
	ck_assert_ok(lsvd_store_remove(t.store, info->key));
	return 0;
}

static void teardown(void)
{
	ck_assert_ok(lsvd_store_list(t.store, "", remove_it, NULL));
	t_vlog_fini(&t);
}

/* Bytes, not requests: of those one more is no mistake if the server was busy. */
static uint64_t read_bytes(void)
{
	struct lsvd_vlog_stats st = { .size = sizeof st };

	ck_assert_ok(lsvd_vlog_stats(t.log, &st));
	return st.get_request_bytes;
}

static void all_are_there(void)
{
	t_key_reads(&t, "a", 200000, 'a' + 50);
	for (unsigned i = 1; i < 8; i++)
		t_key_reads(&t, (char[]){ (char)('a' + i), 0 }, 100000, 'a' + i);
}

START_TEST(values_are_committed_read_collected_and_dropped)
{
	struct lsvd_vlog_gc_result r;
	uint64_t bad = 1;

	t_vlog_close(&t);
	t.options.segment_bytes = 256 << 10;
	t.options.codec = LSVD_VLOG_CODEC_LZ4;
	t_vlog_open(&t);
	t_store_letters(&t, 8, 100000, 0);
	(void)t_store(&t, "a", 200000, 'a' + 50);
	t_vlog_reopen(&t);
	all_are_there();
	r = t_compact(&t);
	ck_assert_uint_eq(r.moved_items, 8);
	ck_assert_uint_gt(r.reclaimable_bytes, 900000);
	ck_assert_uint_eq(t_drop(&t).freed_bytes, r.reclaimable_bytes);
	all_are_there();
	ck_assert_uint_eq(t_objects(&t, 'f')->count, lsvd_vlog_segment_count(t.log));
	t_vlog_reopen(&t);
	all_are_there();
	ck_assert_ok(lsvd_vlog_verify(t.log, NULL, NULL, &bad));
	ck_assert_uint_eq(bad, 0);
	ck_assert_ok(lsvd_vlog_clear(t.log));
	ck_assert_uint_eq(t_objects(&t, 'f')->count, 0);
}
END_TEST

START_TEST(what_is_read_is_what_is_asked_for)
{
	struct lsvd_vlog_request q[8];
	unsigned char part[1000], *want = t_value(2 << 20, 9);
	struct lsvd_vlog_handle large = t_store(&t, "large", 2 << 20, 9);
	uint64_t before;
	size_t got = 0;

	t_store_letters(&t, 8, 1000, 0);
	before = read_bytes();
	t_key_reads(&t, "d", 1000, 'd');
	ck_assert_uint_eq(read_bytes() - before, t_index_find(&t.ix, "d", 1)->h.size);
	memset(q, 0, sizeof q);
	for (unsigned i = 0; i < 8; i++)
		q[i].handle = t_index_find(&t.ix, &"abcdefgh"[i], 1)->h;
	before = read_bytes();
	ck_assert_ok(lsvd_vlog_get_many(t.log, q, 8));
	ck_assert_uint_eq(read_bytes() - before,
			  q[7].handle.offset + q[7].handle.size - q[0].handle.offset);
	for (unsigned i = 0; i < 8; i++) {
		ck_assert_ok(q[i].err);
		t_same(q[i].value, 1000, 'a' + i);
		lsvd_vlog_value_unref(q[i].value);
	}
	/* A part of a large value: its table, and one piece. */
	before = read_bytes();
	ck_assert_ok(lsvd_vlog_read_range(t.log, &large, 1 << 20, part, sizeof part, &got));
	ck_assert_uint_eq(got, sizeof part);
	ck_assert(memcmp(part, want + (1 << 20), sizeof part) == 0);
	ck_assert_uint_lt(read_bytes() - before, 80000);
	free(want);
}
END_TEST

START_TEST(a_second_opener_fences_the_first_and_nothing_is_lost)
{
	struct lsvd_vlog *other = NULL;
	struct lsvd_vlog_writer *w;
	struct lsvd_vlog_pin *pin = NULL;

	(void)t_store(&t, "a", 1000, 1);
	w = t_writer(&t);
	(void)t_put(w, "b", 1000, 2);
	ck_assert_ok(lsvd_vlog_open(&other, t.store, "log", &t.options));
	ck_assert_err(lsvd_vlog_commit(w, &pin), LSVD_E_FENCED);
	ck_assert_int_eq(lsvd_vlog_close(t.log), 0);
	t.log = other;
	t_key_reads(&t, "a", 1000, 1);
	(void)t_drop(&t); /* what the fenced writer had put goes */
	ck_assert_uint_eq(t_objects(&t, 'f')->count, 1);
	(void)t_store(&t, "c", 1000, 3);
	t_vlog_reopen(&t);
	t_key_reads(&t, "a", 1000, 1);
	t_key_reads(&t, "c", 1000, 3);
}
END_TEST

static Suite *s3_vlog_suite(void)
{
	Suite *s = suite_create("s3_vlog");
	TCase *c = tcase_create("bucket");

	tcase_add_checked_fixture(c, setup, teardown);
	tcase_set_timeout(c, 60);
	tcase_add_test(c, values_are_committed_read_collected_and_dropped);
	tcase_add_test(c, what_is_read_is_what_is_asked_for);
	tcase_add_test(c, a_second_opener_fences_the_first_and_nothing_is_lost);
	suite_add_tcase(s, c);
	return s;
}

T_MAIN(s3_vlog_suite)

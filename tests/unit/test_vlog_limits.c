/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_vlog_limits.c - the largest that a value log takes: values, keys, segments of one commit.
 *
 * lsvd-test: timeout=300
 *
 * A value of 2^32 - 1 bytes takes next to no memory: it is zeroes that nobody has written, and is
 * read back in parts. LSVD_TEST_LARGE=1 reads it whole as well, which takes 4 GiB.
 */
#include <sys/mman.h>

#include "t_vlog.h"
#include "vlog/vlog_internal.h"

#define MANY 104000u     /* segments: more than a hundred thousand, and what one record takes */
#define TOO_MANY 105000u
#define SOME 3000u       /* under a sanitizer, where many take minutes */

static struct t_vlog t;

static void setup(void)
{
	t_vlog_init(&t, "mem:");
}

static void teardown(void)
{
	t_vlog_fini(&t);
}

static void reads_zeroes(const struct lsvd_vlog_handle *h, uint64_t off, size_t want)
{
	static const unsigned char zeroes[100000];
	static unsigned char buf[100000];
	size_t got = 0;

	memset(buf, 1, sizeof buf);
	ck_assert_ok(lsvd_vlog_read_range(t.log, h, off, buf, sizeof buf, &got));
	ck_assert_uint_eq(got, want);
	ck_assert(memcmp(buf, zeroes, want) == 0);
}

START_TEST(the_longest_value_is_read_back_after_a_reopen)
{
	const size_t len = (size_t)LSVD_VLOG_VALUE_MAX;
	struct lsvd_vlog_writer *w;
	struct lsvd_vlog_handle h;
	struct lsvd_vlog_value *v = NULL;
	struct lsvd_vlog_pin *pin;
	unsigned char *key = t_value(LSVD_VLOG_KEY_MAX, 1);
	void *zeroes = mmap(NULL, len, PROT_READ,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	ck_assert_uint_eq(len, UINT32_MAX);
	ck_assert_ptr_ne(zeroes, MAP_FAILED);
	t_vlog_close(&t);
	t.options.codec = LSVD_VLOG_CODEC_LZ4;
	t_vlog_open(&t);
	w = t_writer(&t);
	ck_assert_ok(lsvd_vlog_put(w, key, LSVD_VLOG_KEY_MAX, zeroes, len, &h));
	ck_assert_ok(lsvd_vlog_commit(w, &pin));
	t_index_set(&t.ix, key, LSVD_VLOG_KEY_MAX, &h, len);
	lsvd_vlog_pin_release(pin);
	t_vlog_reopen(&t);
	reads_zeroes(&h, 0, 100000);
	reads_zeroes(&h, (UINT64_C(2) << 30) - 50000, 100000); /* where a signed number would end */
	reads_zeroes(&h, len - 7, 7);
	reads_zeroes(&h, len, 0);
	ck_assert_uint_eq(t_report(&t).raw_bytes, len);
	if (getenv("LSVD_TEST_LARGE")) {
		ck_assert_ok(lsvd_vlog_get_checked(t.log, &h, key, LSVD_VLOG_KEY_MAX, &v));
		ck_assert_uint_eq(lsvd_vlog_value_size(v), len);
		ck_assert(memcmp(lsvd_vlog_value_data(v), zeroes, len) == 0);
		lsvd_vlog_value_unref(v);
	}
	free(key);
	ck_assert_int_eq(munmap(zeroes, len), 0);
}
END_TEST

/* So many segments of one record each: what has other metadata lies in another segment. */
static struct lsvd_vlog_writer *write_segments(unsigned n, struct lsvd_vlog_handle *at)
{
	struct lsvd_vlog_writer *w = t_writer(&t);

	for (unsigned i = 0; i < n; i++) {
		unsigned char key[4] = { (unsigned char)(i >> 16), (unsigned char)(i >> 8),
					 (unsigned char)i, 1 };

		ck_assert_ok(lsvd_vlog_writer_set_apart(w, &i, sizeof i));
		ck_assert_ok(lsvd_vlog_put(w, key, sizeof key, &i, sizeof i, &at[i]));
	}
	return w;
}

static void reads_number(const struct lsvd_vlog_handle *h, unsigned want)
{
	struct lsvd_vlog_value *v = NULL;
	unsigned got;

	ck_assert_ok(lsvd_vlog_get(t.log, h, &v));
	ck_assert_uint_eq(lsvd_vlog_value_size(v), sizeof got);
	memcpy(&got, lsvd_vlog_value_data(v), sizeof got);
	ck_assert_uint_eq(got, want);
	lsvd_vlog_value_unref(v);
}

START_TEST(more_than_a_hundred_thousand_segments_are_one_commit)
{
	const unsigned many = getenv("LSVD_SANITIZE") ? SOME : MANY;
	struct lsvd_vlog_handle *at = calloc(many, sizeof *at);
	struct lsvd_vlog_pin *pin = NULL;

	printf("%u segments\n", many);
	ck_assert_ptr_nonnull(at);
	ck_assert_ok(lsvd_vlog_commit(write_segments(many, at), &pin));
	lsvd_vlog_pin_release(pin);
	t_vlog_reopen(&t); /* from the record */
	ck_assert_uint_eq(t_report(&t).segments, many);
	for (unsigned i = 0; i < many; i += 1009)
		reads_number(&at[i], i);
	ck_assert_ok(lsvd_vlog_checkpoint(t.log));
	t_vlog_reopen(&t); /* from the root */
	ck_assert_uint_eq(t_report(&t).segments, many);
	reads_number(&at[many - 1], many - 1);
	ck_assert_ok(lsvd_vlog_clear(t.log));
	ck_assert_uint_eq(t_report(&t).segments, 0);
	ck_assert_err(t_get(&t, &at[0]), LSVD_E_STALE);
	free(at);
}
END_TEST

START_TEST(too_many_segments_for_one_commit_are_an_error_and_nothing_stays)
{
	struct lsvd_vlog_handle *at = calloc(TOO_MANY, sizeof *at);
	struct lsvd_vlog_pin *pin = NULL;

	ck_assert_ptr_nonnull(at);
	ck_assert_err(lsvd_vlog_commit(write_segments(TOO_MANY, at), &pin), -E2BIG);
	ck_assert_err(t_get(&t, &at[0]), LSVD_E_STALE);
	(void)t_store(&t, "key", 10, 1);
	t_vlog_reopen(&t);
	ck_assert_uint_eq(t_report(&t).segments, 1);
	t_key_reads(&t, "key", 10, 1);
	free(at);
}
END_TEST

static Suite *vlog_limits_suite(void)
{
	Suite *s = suite_create("vlog_limits");
	TCase *c = tcase_create("limits");

	tcase_set_timeout(c, 200);
	tcase_add_checked_fixture(c, setup, teardown);
	tcase_add_test(c, the_longest_value_is_read_back_after_a_reopen);
	tcase_add_test(c, more_than_a_hundred_thousand_segments_are_one_commit);
	if (!getenv("LSVD_SANITIZE"))
		tcase_add_test(c, too_many_segments_for_one_commit_are_an_error_and_nothing_stays);
	suite_add_tcase(s, c);
	return s;
}

T_MAIN(vlog_limits_suite)

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_store.c - opening stores by URL, stores of one's own, the texts of failures, named memory
 * stores; and the two stores of the tests themselves, which must do what they say.
 */
#include <pthread.h>

#include <lsvd/store.h>
#include <lsvd/store_driver.h>

#include "base/err.h"
#include "store_fault.h"
#include "store_null.h"
#include "t_check.h"

static struct lsvd_store *open_url(const char *url)
{
	struct lsvd_store *s;

	ck_assert_ok(lsvd_store_open(&s, url, NULL));
	return s;
}

static int put_text(struct lsvd_store *s, const char *key, const char *text)
{
	struct iovec iov = { (void *)(uintptr_t)text, strlen(text) };

	return lsvd_store_put_if_absent(s, key, &iov, 1);
}

/* --------------------------------------------------------------------------------------- by URL */

START_TEST(store_url_of_no_known_kind_is_a_configuration_error_that_shows_no_secret)
{
	static const char *const bad[] = { "", "dir", "/srv/lsvd", "dir:", "DIR:/x", "http://x/y",
					   "s4://AKIAKEY:secret@bucket/x", ":", "memory:" };
	struct lsvd_store *s;

	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
		ck_assert_err(lsvd_store_open(&s, bad[i], NULL), LSVD_E_CONFIG);
		ck_assert_ptr_null(strstr(lsvd_last_error(), "secret"));
		ck_assert_ptr_null(strstr(lsvd_last_error(), "AKIAKEY"));
	}
	ck_assert_err(lsvd_store_open(&s, NULL, NULL), -EINVAL);
}
END_TEST

START_TEST(store_options_of_another_size_or_with_unknown_flags_are_refused)
{
	struct lsvd_store_options o = LSVD_STORE_OPTIONS_INIT;
	struct lsvd_store *s;

	o.size = 4;
	ck_assert_err(lsvd_store_open(&s, "mem:", &o), -EINVAL);
	o.size = sizeof o;
	o.flags = 0x80;
	ck_assert_err(lsvd_store_open(&s, "mem:", &o), -EINVAL);
	o.flags = 0;
	o.reserved[3] = 1;
	ck_assert_err(lsvd_store_open(&s, "mem:", &o), -EINVAL);
}
END_TEST

START_TEST(store_url_is_kept)
{
	struct lsvd_store *s = open_url("mem:a name");

	ck_assert_str_eq(lsvd_store_url(s), "mem:a name");
	ck_assert_uint_eq(lsvd_store_caps(s), LSVD_STORE_CAP_CREATE | LSVD_STORE_CAP_INLINE);
	lsvd_store_close(s);
	lsvd_store_close(NULL);
}
END_TEST

START_TEST(store_mem_of_one_name_is_one_store_until_the_last_close)
{
	struct lsvd_store *a = open_url("mem:x"), *b = open_url("mem:x");
	struct lsvd_store *other = open_url("mem:y");
	struct lsvd_store *private1 = open_url("mem:"), *private2 = open_url("mem:");
	uint64_t bytes;

	ck_assert_ok(put_text(a, "k", "v"));
	ck_assert_ok(put_text(private1, "k", "v"));
	ck_assert_ok(lsvd_store_head(b, "k", &bytes));
	ck_assert_err(put_text(b, "k", "w"), -EEXIST);
	ck_assert_err(lsvd_store_head(other, "k", &bytes), -ENOENT);
	ck_assert_err(lsvd_store_head(private2, "k", &bytes), -ENOENT);
	lsvd_store_close(a);
	ck_assert_ok(lsvd_store_head(b, "k", &bytes));
	lsvd_store_close(b);
	a = open_url("mem:x");
	ck_assert_err(lsvd_store_head(a, "k", &bytes), -ENOENT);
	lsvd_store_close(a);
	lsvd_store_close(other);
	lsvd_store_close(private1);
	lsvd_store_close(private2);
}
END_TEST

START_TEST(store_mem_read_only_refuses_what_another_handle_may_do)
{
	struct lsvd_store_options o = LSVD_STORE_OPTIONS_INIT;
	struct lsvd_store *rw = open_url("mem:ro"), *ro;
	uint64_t bytes;

	o.flags = LSVD_STORE_READONLY;
	ck_assert_ok(lsvd_store_open(&ro, "mem:ro", &o));
	ck_assert_ok(put_text(rw, "k", "v"));
	ck_assert_ok(lsvd_store_head(ro, "k", &bytes));
	ck_assert_err(put_text(ro, "l", "v"), -EROFS);
	ck_assert_err(lsvd_store_remove(ro, "k"), -EROFS);
	ck_assert_error_says("read-only");
	lsvd_store_close(ro);
	lsvd_store_close(rw);
}
END_TEST

/*
 * -------------------------------------------------------------------------- a store of
 * one's own
 */

static int silent_put(void *ctx, const char *key, const struct iovec *iov, int iovcnt)
{
	(void)ctx;
	(void)key;
	(void)iov;
	(void)iovcnt;
	return -ENOSPC;
}

static int lying_get(void *ctx, const char *key, uint64_t off, void *buf, size_t len,
		     size_t *ret_len)
{
	(void)ctx;
	(void)off;
	(void)buf;
	*ret_len = len + 1;
	if (strcmp(key, "told") == 0)
		return lsvd_store_fail(-EIO, "get %s: the tape is torn", key);
	return 0;
}

static int silent_head(void *ctx, const char *key, uint64_t *ret_bytes)
{
	(void)ctx;
	(void)key;
	*ret_bytes = 5;
	return LSVD_E_UNAVAILABLE;
}

static int wild_list(void *ctx, const char *prefix, lsvd_object_fn fn, void *fn_ctx)
{
	static const char *const keys[] = { "../../etc/passwd", "v/good", "other", "v/b\nd", "v/",
					    "v/last", "v/never" };

	(void)ctx;
	(void)prefix;
	for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
		struct lsvd_object_info info = { keys[i], 1, 0 };

		if (fn(fn_ctx, &info))
			break;
	}
	return 0;
}

static int silent_remove(void *ctx, const char *key)
{
	(void)ctx;
	(void)key;
	return -EACCES;
}

static void count_close(void *ctx)
{
	(*(unsigned *)ctx)++;
}

static struct lsvd_store_ops own_ops(void)
{
	return (struct lsvd_store_ops){
		.size = sizeof(struct lsvd_store_ops),
		.put_if_absent = silent_put,
		.get = lying_get,
		.head = silent_head,
		.list = wild_list,
		.remove = silent_remove,
		.close = count_close,
	};
}

START_TEST(store_driver_that_lacks_an_operation_is_refused_and_stays_the_callers)
{
	struct lsvd_store_ops ops;
	struct lsvd_store *s;
	unsigned closed = 0;

#define LACKING(op) \
	ops = own_ops(); \
	ops.op = NULL; \
	ck_assert_err(lsvd_store_new(&s, "own:", &ops, &closed), -EINVAL)
	LACKING(put_if_absent);
	LACKING(get);
	LACKING(head);
	LACKING(list);
	LACKING(remove);
	ops = own_ops();
	ops.size = 8;
	ck_assert_err(lsvd_store_new(&s, "own:", &ops, &closed), -EINVAL);
	ck_assert_err(lsvd_store_new(&s, NULL, &ops, &closed), -EINVAL);
	ck_assert_err(lsvd_store_new(&s, "own:", NULL, &closed), -EINVAL);
	ck_assert_uint_eq(closed, 0);
	ops = own_ops();
	ck_assert_ok(lsvd_store_new(&s, "own:", &ops, &closed));
	lsvd_store_close(s);
	ck_assert_uint_eq(closed, 1);
	ops.close = NULL;
	ck_assert_ok(lsvd_store_new(&s, "own:", &ops, &closed));
	lsvd_store_close(s);
	ck_assert_uint_eq(closed, 1);
}
END_TEST

START_TEST(store_failure_without_a_text_gets_one_and_a_drivers_text_stays)
{
	struct lsvd_store_ops ops = own_ops();
	struct lsvd_store *s;
	unsigned closed = 0;
	uint64_t bytes = 77;
	size_t got = 77;
	char c;

	ck_assert_ok(lsvd_store_new(&s, "own:place", &ops, &closed));
	(void)lsvd_fail(-1, "an older text");
	ck_assert_err(put_text(s, "k", "v"), -ENOSPC);
	ck_assert_error_says("own:place: put k: No space left on device");
	ck_assert_err(lsvd_store_head(s, "k", &bytes), LSVD_E_UNAVAILABLE);
	ck_assert_error_says("own:place: head k");
	ck_assert_uint_eq(bytes, 77);
	ck_assert_err(lsvd_store_remove(s, "k"), -EACCES);
	ck_assert_error_says("own:place: remove k");
	ck_assert_err(lsvd_store_get(s, "told", 0, &c, 1, &got), -EIO);
	ck_assert_str_eq(lsvd_last_error(), "get told: the tape is torn");
	/* A read longer than the buffer is the driver's fault, not the caller's data. */
	ck_assert_err(lsvd_store_get(s, "k", 0, &c, 1, &got), -EIO);
	ck_assert_error_says("2 bytes of 1");
	ck_assert_uint_eq(got, 77);
	lsvd_store_close(s);
}
END_TEST

START_TEST(store_success_leaves_the_text_of_an_older_failure)
{
	struct lsvd_store *s = open_url("mem:");
	uint64_t bytes;

	ck_assert_ok(put_text(s, "k", "v"));
	ck_assert_err(lsvd_store_head(s, "gone", &bytes), -ENOENT);
	ck_assert_ok(lsvd_store_head(s, "k", &bytes));
	ck_assert_error_says("gone");
	lsvd_store_close(s);
}
END_TEST

static int note(void *ctx, const struct lsvd_object_info *info)
{
	char *text = ctx;
	size_t len = strlen(text);

	(void)snprintf(text + len, 256 - len, "%s=%u ", info->key, (unsigned)info->bytes);
	return strcmp(info->key, "v/last") == 0;
}

START_TEST(store_list_of_a_driver_is_cleaned_of_what_is_no_key_or_not_asked_for)
{
	struct lsvd_store_ops ops = own_ops();
	struct lsvd_store *s;
	unsigned closed = 0;
	char text[256] = "";

	ck_assert_ok(lsvd_store_new(&s, "own:", &ops, &closed));
	ck_assert_ok(lsvd_store_list(s, "v/", note, text));
	ck_assert_str_eq(text, "v/good=1 v/last=1 ");
	lsvd_store_close(s);
}
END_TEST

/*
 * ------------------------------------------------------------------------ the store that
 * keeps little
 */

START_TEST(store_null_keeps_length_and_beginning_and_zeroes_the_rest)
{
	struct lsvd_store *s;
	char body[300], back[400];
	struct iovec iov[3] = { { body, 50 }, { body + 50, 100 }, { body + 150, 150 } };
	char text[256] = "";
	uint64_t bytes;
	size_t got;

	t_fill(body, sizeof body, 3);
	ck_assert_ok(store_null_open(&s, 120));
	ck_assert_ok(lsvd_store_put_if_absent(s, "v/k", iov, 3));
	ck_assert_err(lsvd_store_put_if_absent(s, "v/k", iov, 3), -EEXIST);
	ck_assert_ok(lsvd_store_head(s, "v/k", &bytes));
	ck_assert_uint_eq(bytes, 300);
	memset(body + 120, 0, 180);
	ck_assert_ok(lsvd_store_get(s, "v/k", 0, back, 400, &got));
	ck_assert_uint_eq(got, 300);
	ck_assert_int_eq(memcmp(back, body, 300), 0);
	ck_assert_ok(lsvd_store_get(s, "v/k", 100, back, 40, &got));
	ck_assert_uint_eq(got, 40);
	ck_assert_int_eq(memcmp(back, body + 100, 40), 0);
	ck_assert_ok(lsvd_store_get(s, "v/k", 290, back, 40, &got));
	ck_assert_uint_eq(got, 10);
	ck_assert_ok(lsvd_store_list(s, "v/", note, text));
	ck_assert_str_eq(text, "v/k=300 ");
	ck_assert_ok(lsvd_store_remove(s, "v/k"));
	ck_assert_err(lsvd_store_head(s, "v/k", &bytes), -ENOENT);
	lsvd_store_close(s);
}
END_TEST

/*
 * ------------------------------------------------------------------------- the store that
 * misbehaves
 */

static struct lsvd_store *faulty;
static struct store_fault *fault;

static void setup_fault(void)
{
	ck_assert_ok(store_fault_open(&faulty, &fault, open_url("mem:"), 7));
}

static void teardown_fault(void)
{
	lsvd_store_close(faulty);
}

static void add(struct fault_rule rule)
{
	ck_assert_ok(store_fault_add(fault, &rule));
}

START_TEST(store_fault_fails_the_calls_it_is_told_to_and_counts)
{
	uint64_t bytes;

	add((struct fault_rule){ .verbs = FAULT_PUT, .key = "v/", .from = 2, .times = 2,
				 .kind = FAULT_FAIL, .err = -EACCES });
	ck_assert_ok(put_text(faulty, "v/1", "x"));
	ck_assert_err(put_text(faulty, "v/2", "x"), -EACCES);
	ck_assert_ok(put_text(faulty, "w/3", "x"));
	ck_assert_err(put_text(faulty, "v/2", "x"), -EACCES);
	ck_assert_ok(put_text(faulty, "v/2", "xyz"));
	ck_assert_ok(lsvd_store_head(faulty, "v/2", &bytes));
	ck_assert_uint_eq(store_fault_calls(fault, FAULT_PUT), 5);
	ck_assert_uint_eq(store_fault_calls(fault, FAULT_HEAD | FAULT_GET), 1);
	ck_assert_uint_eq(store_fault_calls(fault, FAULT_ANY), 6);
	ck_assert_uint_eq(store_fault_hits(fault, FAULT_FAIL), 2);
	ck_assert_uint_eq(store_fault_bytes(fault, FAULT_PUT), 5);
	store_fault_reset_counts(fault);
	ck_assert_uint_eq(store_fault_calls(fault, FAULT_ANY), 0);
}
END_TEST

START_TEST(store_fault_loses_the_reply_of_what_it_has_done)
{
	uint64_t bytes;

	add((struct fault_rule){ .verbs = FAULT_PUT, .times = 1, .kind = FAULT_LOSE_REPLY });
	ck_assert_err(put_text(faulty, "k", "value"), LSVD_E_UNAVAILABLE);
	ck_assert_ok(lsvd_store_head(faulty, "k", &bytes));
	ck_assert_uint_eq(bytes, 5);
	ck_assert_err(put_text(faulty, "k", "value"), -EEXIST);
}
END_TEST

static unsigned differences(const unsigned char *a, const unsigned char *b, size_t len)
{
	unsigned n = 0;

	for (size_t i = 0; i < len; i++)
		n += (unsigned)__builtin_popcount(a[i] ^ b[i]);
	return n;
}

START_TEST(store_fault_garbles_what_is_read_and_not_what_is_stored)
{
	unsigned char data[1000], back[1000];
	struct iovec iov = { data, sizeof data };
	size_t got;

	memset(data, 0xa5, sizeof data);
	ck_assert_ok(lsvd_store_put_if_absent(faulty, "k", &iov, 1));
	add((struct fault_rule){ .verbs = FAULT_GET, .times = 1, .kind = FAULT_FLIP });
	add((struct fault_rule){ .verbs = FAULT_GET, .times = 1, .kind = FAULT_TRUNCATE });
	add((struct fault_rule){ .verbs = FAULT_GET, .times = 1, .kind = FAULT_ZERO });
	ck_assert_ok(lsvd_store_get(faulty, "k", 0, back, 1000, &got));
	ck_assert_uint_eq(got, 1000);
	ck_assert_uint_eq(differences(data, back, 1000), 1);
	ck_assert_ok(lsvd_store_get(faulty, "k", 0, back, 1000, &got));
	ck_assert_uint_eq(got, 500);
	ck_assert_ok(lsvd_store_get(faulty, "k", 0, back, 1000, &got));
	ck_assert_uint_eq(got, 1000);
	ck_assert_uint_gt(differences(data, back, 1000), 0);
	ck_assert_ok(lsvd_store_get(faulty, "k", 0, back, 1000, &got));
	ck_assert_int_eq(memcmp(data, back, 1000), 0);
}
END_TEST

START_TEST(store_fault_cut_ends_the_store_until_the_rules_are_cleared)
{
	uint64_t bytes;

	ck_assert_ok(put_text(faulty, "a", "x"));
	ck_assert_ok(store_fault_cut(fault, 2));
	ck_assert_ok(lsvd_store_head(faulty, "a", &bytes));
	ck_assert_err(lsvd_store_head(faulty, "a", &bytes), LSVD_E_UNAVAILABLE);
	ck_assert_err(lsvd_store_remove(faulty, "a"), LSVD_E_UNAVAILABLE);
	ck_assert_err(put_text(faulty, "b", "x"), LSVD_E_UNAVAILABLE);
	store_fault_clear(fault);
	ck_assert_ok(lsvd_store_head(faulty, "a", &bytes));
	ck_assert_err(lsvd_store_head(faulty, "b", &bytes), -ENOENT);
}
END_TEST

static void *put_one(void *arg)
{
	ck_assert_ok(put_text(arg, "held", "x"));
	return NULL;
}

START_TEST(store_fault_holds_a_call_until_it_is_released)
{
	pthread_t thread;
	uint64_t bytes;
	unsigned most;

	add((struct fault_rule){ .verbs = FAULT_PUT, .kind = FAULT_HOLD });
	ck_assert_int_eq(pthread_create(&thread, NULL, put_one, faulty), 0);
	store_fault_wait_held(fault, 1);
	ck_assert_err(lsvd_store_head(faulty, "held", &bytes), -ENOENT);
	ck_assert_uint_eq(store_fault_in_flight(fault, &most), 1);
	ck_assert_uint_eq(most, 2);
	store_fault_release(fault);
	ck_assert_int_eq(pthread_join(thread, NULL), 0);
	ck_assert_ok(lsvd_store_head(faulty, "held", &bytes));
}
END_TEST

/* What fails is a matter of the seed and of nothing else. */
static uint64_t fates(uint64_t seed)
{
	struct lsvd_store *s;
	struct store_fault *f;
	struct fault_rule rule = { .permille = 300, .kind = FAULT_FAIL };
	uint64_t failed = 0, bytes;

	ck_assert_ok(store_fault_open(&s, &f, open_url("mem:"), seed));
	ck_assert_ok(store_fault_add(f, &rule));
	for (unsigned i = 0; i < 64; i++)
		if (lsvd_store_head(s, "k", &bytes) == LSVD_E_UNAVAILABLE)
			failed |= UINT64_C(1) << i;
	lsvd_store_close(s);
	return failed;
}

START_TEST(store_fault_chance_is_the_seeds)
{
	uint64_t seed = t_seed();

	ck_assert_uint_eq(fates(seed), fates(seed));
	ck_assert_uint_ne(fates(seed), fates(seed + 1));
	ck_assert_int_gt(__builtin_popcountll(fates(seed)), 2);
	ck_assert_int_lt(__builtin_popcountll(fates(seed)), 50);
}
END_TEST

static Suite *store_suite(void)
{
	Suite *s = suite_create("store");
	TCase *t = tcase_create("open");

	tcase_add_test(t, store_url_of_no_known_kind_is_a_configuration_error_that_shows_no_secret);
	tcase_add_test(t, store_options_of_another_size_or_with_unknown_flags_are_refused);
	tcase_add_test(t, store_url_is_kept);
	tcase_add_test(t, store_mem_of_one_name_is_one_store_until_the_last_close);
	tcase_add_test(t, store_mem_read_only_refuses_what_another_handle_may_do);
	suite_add_tcase(s, t);

	t = tcase_create("drivers");
	tcase_add_test(t, store_driver_that_lacks_an_operation_is_refused_and_stays_the_callers);
	tcase_add_test(t, store_failure_without_a_text_gets_one_and_a_drivers_text_stays);
	tcase_add_test(t, store_success_leaves_the_text_of_an_older_failure);
	tcase_add_test(t, store_list_of_a_driver_is_cleaned_of_what_is_no_key_or_not_asked_for);
	suite_add_tcase(s, t);

	t = tcase_create("null");
	tcase_add_test(t, store_null_keeps_length_and_beginning_and_zeroes_the_rest);
	suite_add_tcase(s, t);

	t = tcase_create("fault");
	tcase_add_checked_fixture(t, setup_fault, teardown_fault);
	tcase_add_test(t, store_fault_fails_the_calls_it_is_told_to_and_counts);
	tcase_add_test(t, store_fault_loses_the_reply_of_what_it_has_done);
	tcase_add_test(t, store_fault_garbles_what_is_read_and_not_what_is_stored);
	tcase_add_test(t, store_fault_cut_ends_the_store_until_the_rules_are_cleared);
	tcase_add_test(t, store_fault_holds_a_call_until_it_is_released);
	tcase_add_test(t, store_fault_chance_is_the_seeds);
	suite_add_tcase(s, t);
	return s;
}

T_MAIN(store_suite)

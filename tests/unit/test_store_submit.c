/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_store_submit.c - requests that are not waited for: drivers that can, drivers that cannot,
 * and the world in front of them.
 */
#include <pthread.h>

#include <lsvd/store.h>
#include <lsvd/store_driver.h>

#include "io/port.h"
#include "io/world_real.h"
#include "t_check.h"

/* -------------------------------------------------- a driver that ends things on its own thread */

static struct lsvd_store *mem;
static unsigned submitted, live;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t ended = PTHREAD_COND_INITIALIZER;
static bool inside;                /* end requests inside submit */
static bool silent;                /* fail without a text */

static void serve(struct lsvd_store_request *r)
{
	int err = -EIO;

	if (silent) {
		lsvd_store_done(r, -EACCES);
		return;
	}
	switch (r->verb) {
	case LSVD_STORE_PUT:
		err = lsvd_store_put_if_absent(mem, r->key, r->iov, r->iovcnt);
		break;
	case LSVD_STORE_GET:
		err = lsvd_store_get(mem, r->key, r->off, r->buf, r->len, &r->ret_len);
		break;
	case LSVD_STORE_HEAD:
		err = lsvd_store_head(mem, r->key, &r->ret_bytes);
		break;
	case LSVD_STORE_LIST:
		err = lsvd_store_list(mem, r->key, r->fn, r->fn_ctx);
		break;
	case LSVD_STORE_REMOVE:
		err = lsvd_store_remove(mem, r->key);
		break;
	default:
		ck_abort_msg("verb %u", r->verb);
	}
	lsvd_store_done(r, err < 0 ? lsvd_store_fail(err, "the driver's own: %s", r->key) : 0);
}

static void *serve_later(void *arg)
{
	serve(arg);
	pthread_mutex_lock(&lock);
	live--;
	pthread_cond_signal(&ended);
	pthread_mutex_unlock(&lock);
	return NULL;
}

static void submit(void *ctx, struct lsvd_store_request *r)
{
	pthread_t thread;

	(void)ctx;
	(void)__atomic_fetch_add(&submitted, 1u, __ATOMIC_RELAXED);
	if (inside) {
		serve(r);
		return;
	}
	pthread_mutex_lock(&lock);
	live++;
	pthread_mutex_unlock(&lock);
	ck_assert_int_eq(pthread_create(&thread, NULL, serve_later, r), 0);
	ck_assert_int_eq(pthread_detach(thread), 0);
}

static int list(void *ctx, const char *prefix, lsvd_object_fn fn, void *fn_ctx)
{
	(void)ctx;
	return lsvd_store_list(mem, prefix, fn, fn_ctx);
}

static const struct lsvd_store_ops ops = {
	.size = sizeof ops, .caps = LSVD_STORE_CAP_CREATE, .list = list, .submit = submit,
};

static struct lsvd_store *store;

static void setup(void)
{
	inside = silent = false;
	submitted = 0;
	ck_assert_ok(lsvd_store_open(&mem, "mem:", NULL));
	ck_assert_ok(lsvd_store_new(&store, "own:", &ops, NULL));
}

static void teardown(void)
{
	pthread_mutex_lock(&lock);
	while (live)
		pthread_cond_wait(&ended, &lock);
	pthread_mutex_unlock(&lock);
	lsvd_store_close(store);
	lsvd_store_close(mem);
}

static int put(struct lsvd_store *s, const char *key, const char *text)
{
	struct iovec iov = { (void *)(uintptr_t)text, strlen(text) };

	return lsvd_store_put_if_absent(s, key, &iov, 1);
}

/* ---------------------------------------------------------------------------- the blocking form */

static void use_all(void)
{
	uint64_t bytes = 0;
	size_t got = 0;
	char buf[8];

	ck_assert_ok(put(store, "a/b", "hello"));
	ck_assert_err(put(store, "a/b", "again"), -EEXIST);
	ck_assert_str_eq(lsvd_last_error(), "the driver's own: a/b");
	ck_assert_ok(lsvd_store_get(store, "a/b", 1, buf, sizeof buf, &got));
	ck_assert_uint_eq(got, 4);
	ck_assert_int_eq(memcmp(buf, "ello", 4), 0);
	ck_assert_ok(lsvd_store_head(store, "a/b", &bytes));
	ck_assert_uint_eq(bytes, 5);
	ck_assert_ok(lsvd_store_remove(store, "a/b"));
	got = bytes = 77;
	ck_assert_err(lsvd_store_head(store, "a/b", &bytes), -ENOENT);
	ck_assert_err(lsvd_store_get(store, "a/b", 0, buf, 1, &got), -ENOENT);
	ck_assert_uint_eq(bytes, 77);
	ck_assert_uint_eq(got, 77);
	ck_assert_uint_eq(submitted, 7);
}

START_TEST(store_submit_alone_is_enough_for_calls_that_wait)
{
	ck_assert_uint_eq(lsvd_store_caps(store), LSVD_STORE_CAP_CREATE | LSVD_STORE_CAP_SUBMIT);
	inside = _i;
	use_all();
}
END_TEST

START_TEST(store_submit_without_a_text_gets_one)
{
	uint64_t bytes;

	silent = true;
	inside = _i;
	ck_assert_err(lsvd_store_head(store, "a/b", &bytes), -EACCES);
	ck_assert_error_says("own:: head a/b");
	ck_assert_err(lsvd_store_remove(store, "c"), -EACCES);
	ck_assert_error_says("own:: remove c");
}
END_TEST

enum { THREADS = 8, ROUNDS = 50 };

static void *put_and_get(void *arg)
{
	for (unsigned i = 0; i < ROUNDS; i++) {
		char key[32], text[64], back[64];
		size_t got;

		(void)snprintf(key, sizeof key, "k/%u/%u", (unsigned)(uintptr_t)arg, i);
		(void)snprintf(text, sizeof text, "%s of its own", key);
		ck_assert_ok(put(store, key, text));
		ck_assert_ok(lsvd_store_get(store, key, 0, back, sizeof back, &got));
		ck_assert_uint_eq(got, strlen(text));
		ck_assert_int_eq(memcmp(back, text, got), 0);
	}
	return NULL;
}

START_TEST(store_submit_by_many_threads_brings_each_its_own_answer)
{
	pthread_t threads[THREADS];

	for (uintptr_t i = 0; i < THREADS; i++)
		ck_assert_int_eq(pthread_create(&threads[i], NULL, put_and_get, (void *)i), 0);
	for (unsigned i = 0; i < THREADS; i++)
		ck_assert_int_eq(pthread_join(threads[i], NULL), 0);
	ck_assert_uint_eq(submitted, THREADS * ROUNDS * 2);
}
END_TEST

/* ------------------------------------------------------------------------------------ submitted */

static pthread_t caller;
static int result;
static unsigned called;

static void note(struct lsvd_store_request *r, int err)
{
	(void)r;
	caller = pthread_self();
	result = err;
	called++;
}

START_TEST(store_submit_to_a_driver_that_cannot_is_over_when_it_returns)
{
	struct iovec iov = { "x", 1 };
	struct lsvd_store_request r = {
		.verb = LSVD_STORE_PUT, .key = "k", .iov = &iov, .iovcnt = 1, .done = note,
	};

	ck_assert_uint_eq(lsvd_store_caps(mem) & LSVD_STORE_CAP_SUBMIT, 0);
	called = 0;
	lsvd_store_submit(mem, &r);
	ck_assert_uint_eq(called, 1);
	ck_assert_int_eq(result, 0);
	lsvd_store_submit(mem, &r);
	ck_assert_int_eq(result, -EEXIST);
	ck_assert_error_says("k");
	r = (struct lsvd_store_request){ .verb = LSVD_STORE_HEAD, .key = "k", .done = note };
	lsvd_store_submit(mem, &r);
	ck_assert_int_eq(result, 0);
	ck_assert_uint_eq(r.ret_bytes, 1);
}
END_TEST

START_TEST(store_submit_of_what_cannot_be_is_told_by_done)
{
	struct lsvd_store_request wrong[] = {
		{ .verb = LSVD_STORE_HEAD, .key = "../x" },
		{ .verb = LSVD_STORE_HEAD, .key = NULL },
		{ .verb = LSVD_STORE_PUT, .key = "k", .iovcnt = 1 },
		{ .verb = LSVD_STORE_GET, .key = "k", .len = 1 },
		{ .verb = LSVD_STORE_LIST, .key = "" },
		{ .verb = 0, .key = "k" },
		{ .verb = 6, .key = "k" },
	};

	for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
		called = 0;
		wrong[i].done = note;
		lsvd_store_submit(store, &wrong[i]);
		ck_assert_uint_eq(called, 1);
		ck_assert_int_eq(result, -EINVAL);
	}
	ck_assert_uint_eq(submitted, 0);
}
END_TEST

static int count(void *ctx, const struct lsvd_object_info *info)
{
	ck_assert_ptr_nonnull(info->key);
	(*(unsigned *)ctx)++;
	return 0;
}

START_TEST(store_submitted_listing_is_cleaned_of_what_was_not_asked_for)
{
	unsigned n = 0;
	struct lsvd_store_request r = {
		.verb = LSVD_STORE_LIST, .key = "v/", .fn = count, .fn_ctx = &n, .done = note,
	};

	ck_assert_ok(put(store, "v/a", "1"));
	ck_assert_ok(put(store, "v/b", "1"));
	ck_assert_ok(put(store, "w", "1"));
	inside = true;
	lsvd_store_submit(store, &r);
	ck_assert_int_eq(result, 0);
	ck_assert_uint_eq(n, 2);
	ck_assert_ptr_eq(r.fn_ctx, &n);
}
END_TEST

/* --------------------------------------------------------------------------- what else there is */

START_TEST(store_remove_many_goes_on_after_a_failure_and_tells_the_first)
{
	const char *const keys[] = { "a", "b", "c" }, *const bad[] = { "a", "/b" };

	ck_assert_ok(put(store, "a", "1"));
	ck_assert_ok(put(store, "c", "1"));
	ck_assert_ok(lsvd_store_remove_many(store, keys, 3));
	ck_assert_ok(put(store, "a", "2"));
	ck_assert_ok(lsvd_store_remove_many(store, keys, 0));
	ck_assert_err(lsvd_store_remove_many(store, bad, 2), -EINVAL);
	ck_assert_err(lsvd_store_remove_many(store, NULL, 1), -EINVAL);
	ck_assert_err(put(store, "a", "3"), -EEXIST); /* nothing is removed if a key is none */
	silent = true;
	submitted = 0;
	ck_assert_err(lsvd_store_remove_many(store, keys, 3), -EACCES);
	ck_assert_error_says("remove a");
	ck_assert_uint_eq(submitted, 3);
}
END_TEST

START_TEST(store_without_counters_or_credentials_has_zeroes_and_nothing_to_read)
{
	struct lsvd_store_counters c = LSVD_STORE_COUNTERS_INIT;

	c.puts = 77;
	ck_assert_ok(lsvd_store_counters(mem, &c));
	ck_assert_uint_eq(c.puts, 0);
	c.size = 16;
	ck_assert_err(lsvd_store_counters(mem, &c), -EINVAL);
	ck_assert_ok(lsvd_store_reload(mem));
	ck_assert_err(lsvd_store_reload(NULL), -EINVAL);
}
END_TEST

static int old_put(void *ctx, const char *key, const struct iovec *iov, int n)
{
	(void)ctx;
	return lsvd_store_put_if_absent(mem, key, iov, n);
}

static int old_get(void *ctx, const char *key, uint64_t off, void *buf, size_t len, size_t *ret)
{
	(void)ctx;
	return lsvd_store_get(mem, key, off, buf, len, ret);
}

static int old_head(void *ctx, const char *key, uint64_t *ret)
{
	(void)ctx;
	return lsvd_store_head(mem, key, ret);
}

static int old_remove(void *ctx, const char *key)
{
	(void)ctx;
	return lsvd_store_remove(mem, key);
}

START_TEST(store_driver_table_of_the_first_release_is_taken)
{
	/* What lies behind the first six operations is somebody else's memory. */
	struct lsvd_store_ops old;
	struct lsvd_store *s;

	memset(&old, 0xff, sizeof old);
	old.size = offsetof(struct lsvd_store_ops, submit);
	old.caps = LSVD_STORE_CAP_CREATE;
	old.put_if_absent = old_put;
	old.get = old_get;
	old.head = old_head;
	old.list = list;
	old.remove = old_remove;
	old.close = NULL;
	ck_assert_ok(lsvd_store_new(&s, "old:", &old, NULL));
	ck_assert_uint_eq(lsvd_store_caps(s), LSVD_STORE_CAP_CREATE);
	ck_assert_ok(put(s, "k", "v"));
	ck_assert_ok(lsvd_store_remove_many(s, &(const char *){ "k" }, 1));
	ck_assert_ok(lsvd_store_reload(s));
	lsvd_store_close(s);
}
END_TEST

/* ---------------------------------------------------------------------------- through the world */

START_TEST(store_submit_through_the_world_needs_no_thread_of_it)
{
	struct iovec iov = { "hello", 5 };
	struct obj_io head = { .io.kind = IO_HEAD, .key = "a" };
	struct obj_io puts = { .io.kind = IO_PUT, .key = "a", .iov = &iov, .iovcnt = 1 };
	struct world *world;
	struct port port;

	inside = _i;
	ck_assert_ok(lsvd_world_real_open(&world, store, NULL, false));
	ck_assert_ok(lsvd_port_init(&port, world));
	ck_assert_err(lsvd_port_run1(&port, &head.io), -ENOENT);
	ck_assert_str_eq(lsvd_last_error(), "the driver's own: a");
	ck_assert_ok(lsvd_port_run1(&port, &puts.io));
	ck_assert_ok(lsvd_port_run1(&port, &head.io));
	ck_assert_uint_eq(head.ret_bytes, 5);
	lsvd_port_fini(&port);
	lsvd_world_real_close(world);
}
END_TEST

static Suite *store_submit_suite(void)
{
	Suite *s = suite_create("store submit");
	TCase *t = tcase_create("submit");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_loop_test(t, store_submit_alone_is_enough_for_calls_that_wait, 0, 2);
	tcase_add_loop_test(t, store_submit_without_a_text_gets_one, 0, 2);
	tcase_add_test(t, store_submit_by_many_threads_brings_each_its_own_answer);
	tcase_add_test(t, store_submit_to_a_driver_that_cannot_is_over_when_it_returns);
	tcase_add_test(t, store_submit_of_what_cannot_be_is_told_by_done);
	tcase_add_test(t, store_submitted_listing_is_cleaned_of_what_was_not_asked_for);
	tcase_add_test(t, store_remove_many_goes_on_after_a_failure_and_tells_the_first);
	tcase_add_test(t, store_without_counters_or_credentials_has_zeroes_and_nothing_to_read);
	tcase_add_test(t, store_driver_table_of_the_first_release_is_taken);
	tcase_add_loop_test(t, store_submit_through_the_world_needs_no_thread_of_it, 0, 2);
	suite_add_tcase(s, t);
	return s;
}

T_MAIN(store_submit_suite)

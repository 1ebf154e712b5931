/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_store_contract.c - what every store promises (include/lsvd/store_driver.h), asked of each.
 *
 * lsvd-test: timeout=180
 *
 * Each test runs once for every row of `kinds`. A new driver gets a row and nothing else. What
 * only a directory can be asked stands in a case of its own. The last row is a bucket: with
 * LSVD_TEST_S3_URL set (tests/support/radosgw) it runs alone, below a directory of its own in it.
 */
#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <lsvd/store.h>
#include <lsvd/store_driver.h>

#include "store/store.h"
#include "store_fault.h"
#include "t_check.h"
#include "tmpdir.h"

/* ----------------------------------------------------------------------------------- the stores */

static char *dir;
static struct lsvd_store *store;

static void open_dir(const char *path)
{
	ck_assert_ok(lsvd_store_dir_open(&store, "dir:test", path, 0));
}

static void open_dir_old_ways(const char *path)
{
	ck_assert_ok(lsvd_store_dir_open(&store, "dir:old", path,
					 STORE_DIR_NO_OPENAT2 | STORE_DIR_NO_TMPFILE |
					 STORE_DIR_NO_DIRECT));
}

static void open_dir_for_reading(const char *path)
{
	open_dir(path);
	lsvd_store_keep_open(store, 8);
}

static void open_mem(const char *path)
{
	(void)path;
	ck_assert_ok(lsvd_store_open(&store, "mem:", NULL));
}

static void open_fault(const char *path)
{
	struct lsvd_store *inner;
	struct store_fault *f;

	(void)path;
	ck_assert_ok(lsvd_store_open(&inner, "mem:", NULL));
	ck_assert_ok(store_fault_open(&store, &f, inner, 1));
}

/* s3://BUCKET?… becomes s3://BUCKET/contract-PID?… */
static void open_s3(const char *path)
{
	const char *url = getenv("LSVD_TEST_S3_URL"), *query = strchr(url, '?');
	char own[1024];

	(void)path;
	ck_assert_ptr_nonnull(query);
	ck_assert_int_lt(snprintf(own, sizeof own, "%.*s/contract-%d%s", (int)(query - url), url,
				  (int)getpid(), query), (int)sizeof own);
	ck_assert_ok(lsvd_store_open(&store, own, NULL));
}

static const struct {
	const char *name;
	void (*open)(const char *path);
} kinds[] = {
	{ "dir", open_dir },
	{ "dir without openat2 and O_TMPFILE", open_dir_old_ways },
	{ "dir whose objects stay open", open_dir_for_reading },
	{ "mem", open_mem },
	{ "fault around mem", open_fault },
	{ "s3", open_s3 },
};
#define ROWS ((int)(sizeof kinds / sizeof kinds[0]))
#define WITH_S3 (getenv("LSVD_TEST_S3_URL") != NULL)
#define KIND_0 (WITH_S3 ? ROWS - 1 : 0)
#define KINDS (WITH_S3 ? ROWS : ROWS - 1)

static void setup(void)
{
	dir = tmpdir_new();
}

static int remove_it(void *ctx, const struct lsvd_object_info *info)
{
	(void)ctx;
	ck_assert_ok(lsvd_store_remove(store, info->key));
	return 0;
}

static void teardown(void)
{
	if (store && strncmp(lsvd_store_url(store), "s3:", 3) == 0)
		ck_assert_ok(lsvd_store_list(store, "", remove_it, NULL));
	lsvd_store_close(store);
	store = NULL;
	tmpdir_free(dir);
}

static int put(const char *key, const void *data, size_t len)
{
	struct iovec iov = { (void *)(uintptr_t)data, len };

	return lsvd_store_put_if_absent(store, key, &iov, 1);
}

static int put_text(const char *key, const char *text)
{
	return put(key, text, strlen(text));
}

static void assert_holds(const char *key, const void *data, size_t len)
{
	uint64_t bytes = 0;
	size_t got = 0;
	char *buf = malloc(len + 1);

	ck_assert_ptr_nonnull(buf);
	ck_assert_ok(lsvd_store_head(store, key, &bytes));
	ck_assert_uint_eq(bytes, len);
	ck_assert_ok(lsvd_store_get(store, key, 0, buf, len + 1, &got));
	ck_assert_uint_eq(got, len);
	ck_assert_int_eq(memcmp(buf, data, len), 0);
	free(buf);
}

static void assert_absent(const char *key)
{
	uint64_t bytes = 77;
	size_t got = 77;
	char c;

	ck_assert_err(lsvd_store_head(store, key, &bytes), -ENOENT);
	ck_assert_err(lsvd_store_get(store, key, 0, &c, 1, &got), -ENOENT);
	ck_assert_uint_eq(bytes, 77);
	ck_assert_uint_eq(got, 77);
}

/* What list says, one "key=bytes" after another. */
struct listed {
	char text[4096];
	unsigned count, stop_at;
};

static int note(void *ctx, const struct lsvd_object_info *info)
{
	struct listed *l = ctx;
	size_t len = strlen(l->text);

	(void)snprintf(l->text + len, sizeof l->text - len, "%s=%u ", info->key,
		       (unsigned)info->bytes);
	return ++l->count == l->stop_at;
}

static void assert_lists(const char *prefix, const char *expected)
{
	struct listed l = { .count = 0 };

	ck_assert_ok(lsvd_store_list(store, prefix, note, &l));
	ck_assert_str_eq(l.text, expected);
}

/* ---------------------------------------------------------------------------- creating, reading */

START_TEST(store_put_object_is_read_back)
{
	kinds[_i].open(dir);
	ck_assert_ok(put_text("v/1/d/0001", "hello"));
	assert_holds("v/1/d/0001", "hello", 5);
}
END_TEST

START_TEST(store_empty_object_exists_and_has_no_bytes)
{
	kinds[_i].open(dir);
	ck_assert_ok(lsvd_store_put_if_absent(store, "a/empty", NULL, 0));
	ck_assert_ok(put("a/none", NULL, 0));
	assert_holds("a/empty", "", 0);
	assert_holds("a/none", "", 0);
	ck_assert_err(lsvd_store_put_if_absent(store, "a/empty", NULL, 0), -EEXIST);
}
END_TEST

START_TEST(store_missing_object_is_enoent_and_outputs_are_untouched)
{
	kinds[_i].open(dir);
	assert_absent("x");
	assert_absent("v/1/d/0001");
	ck_assert_error_says("v/1/d/0001");
	ck_assert_ok(put_text("v/1/d/0002", "b"));
	assert_absent("v/1/d/0001");
	assert_absent("v/1/d");
	assert_absent("v/1/d/0002/more");
}
END_TEST

START_TEST(store_second_put_is_eexist_and_changes_nothing)
{
	kinds[_i].open(dir);
	ck_assert_ok(put_text("v/one", "first"));
	ck_assert_err(put_text("v/one", "second, longer"), -EEXIST);
	ck_assert_error_says("v/one");
	ck_assert_err(put_text("v/one", "first"), -EEXIST);
	assert_holds("v/one", "first", 5);
}
END_TEST

START_TEST(store_ranges_end_where_the_object_ends)
{
	static const struct {
		uint64_t off;
		size_t len, expected;
	} cases[] = {
		{ 0, 10, 10 }, { 0, 0, 0 },	{ 3, 4, 4 },	      { 9, 1, 1 },
		{ 9, 2, 1 },   { 0, 11, 10 },	{ 10, 1, 0 },	      { 11, 100, 0 },
		{ 5, 100, 5 }, { 1u << 31, 1, 0 }, { UINT64_MAX, 1, 0 }, { INT64_MAX, 100, 0 },
	};
	static const char text[] = "0123456789";
	char buf[128];

	kinds[_i].open(dir);
	ck_assert_ok(put_text("r", text));
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		size_t got = 99;

		memset(buf, 'x', sizeof buf);
		ck_assert_ok(lsvd_store_get(store, "r", cases[i].off, buf, cases[i].len, &got));
		ck_assert_uint_eq(got, cases[i].expected);
		ck_assert_int_eq(memcmp(buf, &text[got ? cases[i].off : 0], got), 0);
		ck_assert_int_eq(buf[cases[i].len < 127 ? cases[i].len : 127], 'x');
	}
}
END_TEST

START_TEST(store_big_object_is_whole)
{
	size_t len = (20u << 20) + 4097, got;
	unsigned char *data = malloc(len), *back = malloc(len);

	kinds[_i].open(dir);
	ck_assert(data && back);
	t_fill(data, len, 1);
	ck_assert_ok(put("big/object", data, len));
	ck_assert_ok(lsvd_store_get(store, "big/object", 0, back, len, &got));
	ck_assert_uint_eq(got, len);
	ck_assert_int_eq(memcmp(data, back, len), 0);
	ck_assert_ok(lsvd_store_get(store, "big/object", len - 5000, back, len, &got));
	ck_assert_uint_eq(got, 5000);
	ck_assert_int_eq(memcmp(data + len - 5000, back, got), 0);
	free(data);
	free(back);
}
END_TEST

START_TEST(store_vector_of_more_elements_than_one_call_takes_is_whole)
{
	int n = 3 * IOV_MAX + 7;
	struct iovec *iov = calloc((size_t)n, sizeof *iov);
	unsigned char *data = malloc((size_t)n * 16);
	size_t len = 0;

	kinds[_i].open(dir);
	ck_assert(iov && data);
	t_fill(data, (size_t)n * 16, 2);
	/* Lengths 0 … 12, laid end to end: the object is the array. */
	for (int i = 0; i < n; i++) {
		iov[i] = (struct iovec){ data + len, (size_t)i % 13 };
		len += iov[i].iov_len;
	}
	ck_assert_ok(lsvd_store_put_if_absent(store, "vector", iov, n));
	assert_holds("vector", data, len);
	free(iov);
	free(data);
}
END_TEST

/* As segments are: 16 bytes, 4096 bytes, 16 bytes …; some end at a border of 1 MiB or beside it. */
START_TEST(store_long_vector_of_short_and_long_pieces_is_whole)
{
	static const size_t lens[] = { 256u << 10, (1u << 20) - 1, 1u << 20, (1u << 20) + 1,
				       (3u << 20) + 777 };
	unsigned char *data = malloc(4u << 20);
	struct iovec *iov = calloc(2048, sizeof *iov);
	char key[16];

	kinds[_i].open(dir);
	ck_assert(data && iov);
	t_fill(data, 4u << 20, 3);
	for (size_t k = 0; k < sizeof lens / sizeof lens[0]; k++) {
		size_t at = 0;
		int n = 0;

		for (; at < lens[k]; n++) {
			size_t piece = n % 2 ? 4096 : 16;

			if (piece > lens[k] - at)
				piece = lens[k] - at;
			iov[n] = (struct iovec){ data + at, piece };
			at += piece;
		}
		(void)snprintf(key, sizeof key, "units/%zu", k); /* fits */
		ck_assert_ok(lsvd_store_put_if_absent(store, key, iov, n));
		assert_holds(key, data, lens[k]);
	}
	free(iov);
	free(data);
}
END_TEST

START_TEST(store_impossible_vectors_are_refused)
{
	struct iovec null = { NULL, 1 }, endless[2] = { { dir, SIZE_MAX }, { dir, 2 } };

	kinds[_i].open(dir);
	ck_assert_err(lsvd_store_put_if_absent(store, "k", NULL, 1), -EINVAL);
	ck_assert_err(lsvd_store_put_if_absent(store, "k", &null, 1), -EINVAL);
	ck_assert_err(lsvd_store_put_if_absent(store, "k", &null, -1), -EINVAL);
	ck_assert_err(lsvd_store_put_if_absent(store, "k", endless, 2), -EINVAL);
	assert_absent("k");
}
END_TEST

/* ----------------------------------------------------------------------------------------- keys */

START_TEST(store_keys_of_the_grammar_are_taken)
{
	char longest[LSVD_KEY_MAX + 1], parts[LSVD_KEY_MAX + 1];
	const char *good[] = { "a", "Z9", ".hidden", "...", "..a", "a..", "q/.b/-c/_d", "-",
			       longest, parts };

	kinds[_i].open(dir);
	memset(longest, 'k', LSVD_KEY_MAX);
	longest[LSVD_KEY_MAX] = '\0';
	for (size_t i = 0; i < LSVD_KEY_MAX; i++)
		parts[i] = i % 2 ? '/' : 'p';
	parts[LSVD_KEY_MAX] = '\0';
	for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
		ck_assert_ok(put_text(good[i], good[i]));
		assert_holds(good[i], good[i], strlen(good[i]));
	}
}
END_TEST

START_TEST(store_keys_outside_the_grammar_are_refused_by_every_operation)
{
	char too_long[LSVD_KEY_MAX + 2];
	const char *bad[] = { "", "/", "/a", "a/", "a//b", ".", "..", "../a", "a/..", "a/../b",
			      "./a", "a/.", "a b", "a\nb", "a\tb", "\x01", "a\x7f", "a~",
			      "a%2e%2e", "a\\b", "a:b", "\xc3\xa4", "a\xff", "a*", "a\"",
			      too_long };
	uint64_t bytes;
	size_t got;
	char c;

	kinds[_i].open(dir);
	memset(too_long, 'k', sizeof too_long - 1);
	too_long[sizeof too_long - 1] = '\0';
	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
		ck_assert_err(put_text(bad[i], "x"), -EINVAL);
		ck_assert_err(lsvd_store_get(store, bad[i], 0, &c, 1, &got), -EINVAL);
		ck_assert_err(lsvd_store_head(store, bad[i], &bytes), -EINVAL);
		ck_assert_err(lsvd_store_remove(store, bad[i]), -EINVAL);
	}
	ck_assert_err(lsvd_store_head(store, NULL, &bytes), -EINVAL);
	assert_lists("", "");
}
END_TEST

START_TEST(store_message_about_a_key_holds_no_control_characters)
{
	uint64_t bytes;

	kinds[_i].open(dir);
	ck_assert_err(lsvd_store_head(store, "evil\n\x1b[2Jkey", &bytes), -EINVAL);
	ck_assert_error_says("evil??[2Jkey");
	for (const char *p = lsvd_last_error(); *p; p++)
		ck_assert(*p >= ' ' && *p <= '~');
}
END_TEST

START_TEST(store_list_prefixes_outside_the_grammar_are_refused)
{
	const char *bad[] = { "/", "/a", "a//", "../", "a/../", "./", "a b", "\n", "~tmp" };
	struct listed l = { .count = 0 };

	kinds[_i].open(dir);
	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
		ck_assert_err(lsvd_store_list(store, bad[i], note, &l), -EINVAL);
	ck_assert_uint_eq(l.count, 0);
}
END_TEST

/* -------------------------------------------------------------------------------------- listing */

static void put_some(void)
{
	/* In no order; '-' and '.' sort before '/', digits and letters after it. */
	static const char *const keys[] = { "v/b/2", "v/b-1", "v/b.x/1", "v/b/10", "v/b/1",  "w",
					    "v/b0",  "v/a",   "a/x",	 "v/b/x/y", "v.b/1" };

	for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++)
		ck_assert_ok(put(keys[i], "abcdefghijk", i));
}

START_TEST(store_list_is_in_byte_order_of_the_keys)
{
	kinds[_i].open(dir);
	put_some();
	assert_lists("", "a/x=8 v.b/1=10 v/a=7 v/b-1=1 v/b.x/1=2 v/b/1=4 v/b/10=3 v/b/2=0 "
			 "v/b/x/y=9 v/b0=6 w=5 ");
}
END_TEST

START_TEST(store_list_reports_what_begins_with_the_prefix)
{
	kinds[_i].open(dir);
	put_some();
	assert_lists("v/b/", "v/b/1=4 v/b/10=3 v/b/2=0 v/b/x/y=9 ");
	assert_lists("v/b", "v/b-1=1 v/b.x/1=2 v/b/1=4 v/b/10=3 v/b/2=0 v/b/x/y=9 v/b0=6 ");
	assert_lists("v/b/1", "v/b/1=4 v/b/10=3 ");
	assert_lists("v/b/x", "v/b/x/y=9 ");
	assert_lists("w", "w=5 ");
	assert_lists("v", "v.b/1=10 v/a=7 v/b-1=1 v/b.x/1=2 v/b/1=4 v/b/10=3 v/b/2=0 v/b/x/y=9 "
			  "v/b0=6 ");
	assert_lists(".", "");
	assert_lists("w/", "");
	assert_lists("zzz", "");
	assert_lists("nowhere/at/all", "");
}
END_TEST

START_TEST(store_list_ends_early_when_told)
{
	struct listed l = { .stop_at = 3 };

	kinds[_i].open(dir);
	put_some();
	ck_assert_ok(lsvd_store_list(store, "v/", note, &l));
	ck_assert_str_eq(l.text, "v/a=7 v/b-1=1 v/b.x/1=2 ");
}
END_TEST

START_TEST(store_list_of_thousands_is_complete_and_ordered)
{
	enum { N = 1200 }; /* more than one page of a listing of S3 */
	struct listed l = { .count = 0 };

	kinds[_i].open(dir);
	for (unsigned i = 0; i < N; i++) {
		char key[40];

		/* 7 and N have no common factor: every number once, in a mixed order. */
		(void)snprintf(key, sizeof key, "m/%04x", i * 7 % N);
		ck_assert_ok(put(key, NULL, 0));
	}
	/* The text is cut long before the end; the count is not. */
	ck_assert_ok(lsvd_store_list(store, "m/", note, &l));
	ck_assert_uint_eq(l.count, N);
	ck_assert_int_eq(strncmp(l.text, "m/0000=0 m/0001=0 m/0002=0 ", 27), 0);
	assert_lists("m/00f", "m/00f0=0 m/00f1=0 m/00f2=0 m/00f3=0 m/00f4=0 m/00f5=0 m/00f6=0 "
			      "m/00f7=0 m/00f8=0 m/00f9=0 m/00fa=0 m/00fb=0 m/00fc=0 m/00fd=0 "
			      "m/00fe=0 m/00ff=0 ");
}
END_TEST

START_TEST(store_list_function_may_remove_what_it_is_told_of)
{
	kinds[_i].open(dir);
	put_some();
	ck_assert_ok(lsvd_store_list(store, "v/", remove_it, NULL));
	assert_lists("", "a/x=8 v.b/1=10 w=5 ");
}
END_TEST

static int note_age(void *ctx, const struct lsvd_object_info *info)
{
	*(int64_t *)ctx = info->modified_ms;
	return 0;
}

START_TEST(store_list_tells_the_stores_own_time)
{
	int64_t ms = -1;

	kinds[_i].open(dir);
	ck_assert_ok(put_text("t", "x"));
	ck_assert_ok(lsvd_store_list(store, "t", note_age, &ms));
	ck_assert(ms == 0 || (ms / 1000 >= time(NULL) - 600 && ms / 1000 <= time(NULL) + 600));
}
END_TEST

/* ------------------------------------------------------------------------------------- removing */

START_TEST(store_removed_object_is_gone_and_may_come_again)
{
	kinds[_i].open(dir);
	ck_assert_ok(put_text("a/b", "old"));
	ck_assert_ok(lsvd_store_remove(store, "a/b"));
	assert_absent("a/b");
	assert_lists("", "");
	ck_assert_ok(put_text("a/b", "new"));
	assert_holds("a/b", "new", 3);
}
END_TEST

START_TEST(store_removing_what_is_not_there_is_no_error)
{
	kinds[_i].open(dir);
	ck_assert_ok(lsvd_store_remove(store, "a/b"));
	ck_assert_ok(put_text("a/b", "x"));
	ck_assert_ok(lsvd_store_remove(store, "a/c"));
	ck_assert_ok(lsvd_store_remove(store, "a"));
	ck_assert_ok(lsvd_store_remove(store, "a/b/c"));
	ck_assert_ok(lsvd_store_remove(store, "a/b"));
	ck_assert_ok(lsvd_store_remove(store, "a/b"));
}
END_TEST

/* ---------------------------------------------------------------------------------------- races */

enum { RACERS = 8, ROUNDS = 40 };

struct racer {
	pthread_t thread;
	pthread_barrier_t *start;
	unsigned id, wins, losses;
};

static void *race(void *arg)
{
	struct racer *r = arg;
	unsigned char body[8192];

	memset(body, (int)r->id + 1, sizeof body);
	for (unsigned i = 0; i < ROUNDS; i++) {
		char key[40];
		int err;

		/* A new directory every ten rounds: making it is part of the race. */
		(void)snprintf(key, sizeof key, "race/%u/x/%u", i / 10, i);
		(void)pthread_barrier_wait(r->start);
		err = put(key, body, sizeof body - r->id);
		ck_assert_msg(err == 0 || err == -EEXIST, "%s", lsvd_last_error());
		r->wins += err == 0;
		r->losses += err == -EEXIST;
	}
	return NULL;
}

/* Each object is one racer's, whole. */
static void assert_whole(unsigned round)
{
	unsigned char body[8192];
	char key[40];
	size_t got;

	(void)snprintf(key, sizeof key, "race/%u/x/%u", round / 10, round);
	ck_assert_ok(lsvd_store_get(store, key, 0, body, sizeof body, &got));
	ck_assert_uint_gt(got, sizeof body - RACERS);
	for (size_t i = 0; i < got; i++)
		ck_assert_uint_eq(body[i], sizeof body - got + 1);
}

START_TEST(store_race_of_creators_has_one_winner)
{
	struct racer racers[RACERS];
	pthread_barrier_t start;
	unsigned wins = 0, losses = 0;

	kinds[_i].open(dir);
	if (WITH_S3 && strstr(getenv("LSVD_TEST_S3_URL"), "client=libs3")) {
		/* It cannot, and must not say that it can. */
		ck_assert_uint_eq(lsvd_store_caps(store) & LSVD_STORE_CAP_CREATE, 0);
		return;
	}
	ck_assert_uint_eq(lsvd_store_caps(store) & LSVD_STORE_CAP_CREATE, LSVD_STORE_CAP_CREATE);
	ck_assert_int_eq(pthread_barrier_init(&start, NULL, RACERS), 0);
	for (unsigned i = 0; i < RACERS; i++) {
		racers[i] = (struct racer){ .start = &start, .id = i };
		ck_assert_int_eq(pthread_create(&racers[i].thread, NULL, race, &racers[i]), 0);
	}
	for (unsigned i = 0; i < RACERS; i++) {
		ck_assert_int_eq(pthread_join(racers[i].thread, NULL), 0);
		wins += racers[i].wins;
		losses += racers[i].losses;
	}
	ck_assert_uint_eq(wins, ROUNDS);
	ck_assert_uint_eq(losses, ROUNDS * (RACERS - 1));
	for (unsigned i = 0; i < ROUNDS; i++)
		assert_whole(i);
	(void)pthread_barrier_destroy(&start);
}
END_TEST

struct watcher {
	pthread_t thread;
	bool *stop;
	unsigned seen;
};

/* An object that is there is there whole, at any moment. */
static void *watch(void *arg)
{
	struct watcher *w = arg;

	while (!__atomic_load_n(w->stop, __ATOMIC_RELAXED)) {
		uint64_t bytes = 0;
		int err = lsvd_store_head(store, "watched/object", &bytes);

		ck_assert_msg(err == 0 || err == -ENOENT, "%s", lsvd_last_error());
		ck_assert(err == -ENOENT || bytes == 1u << 20);
		w->seen++;
	}
	return NULL;
}

START_TEST(store_object_appears_whole_or_not_at_all)
{
	enum { TIMES = 20 };
	unsigned char *data = calloc(1, 1u << 20);
	struct iovec iov[64];
	bool stop = false;
	struct watcher w = { .stop = &stop };

	kinds[_i].open(dir);
	ck_assert_ptr_nonnull(data);
	for (unsigned i = 0; i < 64; i++)
		iov[i] = (struct iovec){ data + i * 16384, 16384 };
	ck_assert_int_eq(pthread_create(&w.thread, NULL, watch, &w), 0);
	for (unsigned i = 0; i < TIMES; i++) {
		ck_assert_ok(lsvd_store_put_if_absent(store, "watched/object", iov, 64));
		ck_assert_ok(lsvd_store_remove(store, "watched/object"));
	}
	__atomic_store_n(&stop, true, __ATOMIC_RELAXED);
	ck_assert_int_eq(pthread_join(w.thread, NULL), 0);
	free(data);
}
END_TEST

/* -------------------------------------------------------------------------------- the directory */

static char *path_of(const char *name)
{
	return tmpdir_path(dir, name);
}

static void write_file(const char *name, const char *text)
{
	char *path = path_of(name);
	FILE *f = fopen(path, "w");

	ck_assert_ptr_nonnull(f);
	ck_assert_int_ge(fputs(text, f), 0);
	ck_assert_int_eq(fclose(f), 0);
	free(path);
}

static void make_dir(const char *name)
{
	char *path = path_of(name);

	ck_assert_int_eq(mkdir(path, 0700), 0);
	free(path);
}

static unsigned mode_of(const char *name)
{
	char *path = path_of(name);
	struct stat st;

	ck_assert_int_eq(stat(path, &st), 0);
	free(path);
	return (unsigned)st.st_mode & 07777;
}

static unsigned entries_of(const char *name)
{
	char *path = path_of(name);
	DIR *d = opendir(path);
	unsigned n = 0;

	free(path);
	if (!d)
		return 0;
	while (readdir(d))
		n++;
	(void)closedir(d);
	return n - 2; /* "." and ".." */
}

/* The root is a sub-directory: what lies beside it must stay out of reach. */
static void open_confined(int kind)
{
	char *root = path_of("root");

	make_dir("root");
	make_dir("outside");
	write_file("outside/secret", "secret");
	kinds[kind].open(root);
	free(root);
}

static void plant_link(const char *name, const char *target)
{
	char *path = path_of(name);

	ck_assert_int_eq(symlink(target, path), 0);
	free(path);
}

static void assert_secret_is_safe(void)
{
	char *path = path_of("outside/secret"), text[16] = "";
	FILE *f = fopen(path, "r");

	ck_assert_ptr_nonnull(f);
	ck_assert_ptr_nonnull(fgets(text, sizeof text, f));
	ck_assert_str_eq(text, "secret");
	ck_assert_uint_eq(entries_of("outside"), 1);
	(void)fclose(f);
	free(path);
}

/* Refused or not there, but never read. */
static void assert_out_of_reach(const char *key)
{
	uint64_t bytes;
	size_t got;
	char c;
	int err;

	err = lsvd_store_get(store, key, 0, &c, 1, &got);
	ck_assert_msg(err == -EACCES || err == -ENOENT, "get: %d", err);
	err = lsvd_store_head(store, key, &bytes);
	ck_assert_msg(err == -EACCES || err == -ENOENT, "head: %d", err);
}

START_TEST(store_dir_link_in_place_of_a_directory_is_not_followed)
{
	static const char *const targets[] = { "../outside", "/", "..", "." };

	open_confined(_i);
	for (size_t i = 0; i < sizeof targets / sizeof targets[0]; i++) {
		char name[16], key[32];

		(void)snprintf(name, sizeof name, "root/v%zu", i);
		plant_link(name, targets[i]);
		(void)snprintf(key, sizeof key, "v%zu/secret", i);
		assert_out_of_reach(key);
		ck_assert_int_lt(put_text(key, "overwritten"), 0);
		(void)snprintf(key, sizeof key, "v%zu/new", i);
		ck_assert_int_lt(put_text(key, "new"), 0);
		(void)snprintf(key, sizeof key, "v%zu/deep/new", i);
		ck_assert_int_lt(put_text(key, "new"), 0);
		(void)snprintf(key, sizeof key, "v%zu/secret", i);
		ck_assert_int_le(lsvd_store_remove(store, key), 0);
		(void)snprintf(key, sizeof key, "v%zu/", i);
		assert_lists(key, "");
	}
	assert_lists("", "");
	assert_secret_is_safe();
}
END_TEST

START_TEST(store_dir_link_in_place_of_an_object_is_not_followed)
{
	open_confined(_i);
	plant_link("root/object", "../outside/secret");
	plant_link("root/dangling", "../outside/made");
	assert_out_of_reach("object");
	ck_assert_err(put_text("object", "overwritten"), -EEXIST);
	ck_assert_err(put_text("dangling", "made"), -EEXIST);
	assert_lists("", "");
	ck_assert_ok(lsvd_store_remove(store, "object"));
	assert_secret_is_safe();
}
END_TEST

START_TEST(store_dir_what_is_no_file_is_no_object)
{
	char *path = path_of("root/fifo");

	open_confined(_i);
	ck_assert_int_eq(mkfifo(path, 0600), 0);
	make_dir("root/directory");
	assert_absent("fifo"); /* and does not wait for a writer */
	assert_absent("directory");
	assert_lists("", "");
	ck_assert_ok(lsvd_store_remove(store, "directory"));
	ck_assert_err(put_text("directory", "x"), -EEXIST);
	free(path);
}
END_TEST

START_TEST(store_dir_object_and_directory_of_one_name_exclude_each_other)
{
	open_confined(_i);
	ck_assert_ok(put_text("a/b", "x"));
	ck_assert_err(put_text("a", "y"), -EEXIST);
	ck_assert_err(put_text("a/b/c", "z"), -ENOTDIR);
	ck_assert_error_says("a/b/c");
	assert_lists("", "a/b=1 ");
}
END_TEST

START_TEST(store_dir_files_are_the_owners_alone)
{
	mode_t old = umask(0);

	open_confined(_i);
	ck_assert_ok(put_text("v/1/d/0001", "x"));
	(void)umask(old);
	ck_assert_uint_eq(mode_of("root/v"), 0700);
	ck_assert_uint_eq(mode_of("root/v/1/d"), 0700);
	ck_assert_uint_eq(mode_of("root/v/1/d/0001"), 0600);
}
END_TEST

START_TEST(store_dir_cleared_away_is_made_again)
{
	char *path = path_of("root/v");

	open_confined(_i);
	ck_assert_ok(put_text("v/1/d/0001", "x"));
	tmpdir_remove(path);
	ck_assert_ok(put_text("v/1/d/0002", "y"));
	assert_lists("", "v/1/d/0002=1 ");
	free(path);
}
END_TEST

START_TEST(store_dir_write_that_fails_half_way_leaves_nothing_behind)
{
	struct rlimit old, small;
	unsigned char *data = calloc(1, 1u << 20);
	int err;

	open_confined(_i);
	ck_assert_ptr_nonnull(data);
	ck_assert_int_eq(getrlimit(RLIMIT_FSIZE, &old), 0);
	small = old;
	small.rlim_cur = 300000;
	(void)signal(SIGXFSZ, SIG_IGN);
	ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &small), 0);
	err = put("v/big", data, 1u << 20);
	ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &old), 0);
	ck_assert_err(err, -EFBIG);
	ck_assert_error_says("v/big");
	assert_absent("v/big");
	ck_assert_uint_eq(entries_of("root/v"), 0);
	ck_assert_uint_eq(entries_of("root/~tmp"), 0);
	ck_assert_ok(put("v/big", data, 1u << 20));
	free(data);
}
END_TEST

START_TEST(store_dir_leftovers_are_not_listed_and_are_gone_after_the_next_opening)
{
	char *root = path_of("root"), *used = path_of("root/~tmp/in-use");
	int fd;

	open_confined(_i);
	make_dir("root/~tmp");
	write_file("root/~tmp/12345.0", "half an obj");
	write_file("root/~tmp/in-use", "half an obj");
	fd = open(used, O_RDONLY | O_CLOEXEC);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(flock(fd, LOCK_EX), 0);
	assert_lists("", "");
	lsvd_store_close(store);
	ck_assert_ok(lsvd_store_dir_open(&store, "dir:ro", root, LSVD_STORE_READONLY));
	ck_assert_uint_eq(entries_of("root/~tmp"), 2);
	lsvd_store_close(store);
	kinds[_i].open(root);
	ck_assert_uint_eq(entries_of("root/~tmp"), 1); /* the one that is being written */
	(void)close(fd);
	free(used);
	free(root);
}
END_TEST

/* ------------------------------------------------------------------------ by URL, and read-only */

static int open_url(const char *path, unsigned flags)
{
	struct lsvd_store_options o = LSVD_STORE_OPTIONS_INIT;
	size_t size = strlen(path) + 5;
	char *url = malloc(size);
	int err;

	ck_assert_ptr_nonnull(url);
	ck_assert_int_lt(snprintf(url, size, "dir:%s", path), (int)size);
	o.flags = flags;
	err = lsvd_store_open(&store, url, &o);
	free(url);
	return err;
}

START_TEST(store_dir_is_made_when_asked_and_only_then)
{
	char *path = path_of("new"), *deep = path_of("no/such/parent");

	ck_assert_err(open_url(path, 0), -ENOENT);
	ck_assert_error_says(path);
	ck_assert_err(open_url(path, LSVD_STORE_READONLY | LSVD_STORE_CREATE), -ENOENT);
	ck_assert_err(open_url(deep, LSVD_STORE_CREATE), -ENOENT);
	ck_assert_ok(open_url(path, LSVD_STORE_CREATE));
	ck_assert_uint_eq(mode_of("new"), 0700);
	ck_assert_ok(put_text("k", "v"));
	lsvd_store_close(store);
	ck_assert_ok(open_url(path, LSVD_STORE_CREATE));
	assert_holds("k", "v", 1);
	free(path);
	free(deep);
}
END_TEST

START_TEST(store_dir_that_is_a_file_is_enotdir)
{
	char *path = path_of("file");

	write_file("file", "x");
	ck_assert_err(open_url(path, 0), -ENOTDIR);
	ck_assert_err(open_url(path, LSVD_STORE_CREATE), -ENOTDIR);
	free(path);
}
END_TEST

START_TEST(store_dir_that_cannot_be_written_is_eacces_unless_read_only)
{
	char *path = path_of("closed");
	uid_t me = geteuid();

	make_dir("closed");
	write_file("closed/k", "v");
	ck_assert_int_eq(chmod(dir, 0755), 0);
	ck_assert_int_eq(chmod(path, 0555), 0);
	/* The superuser may everything: be somebody else for a moment. */
	if (me == 0)
		ck_assert_int_eq(seteuid(65534), 0);
	ck_assert_err(open_url(path, 0), -EACCES);
	ck_assert_ok(open_url(path, LSVD_STORE_READONLY));
	if (me == 0)
		ck_assert_int_eq(seteuid(0), 0);
	assert_lists("", "k=1 ");
	free(path);
}
END_TEST

START_TEST(store_dir_read_only_changes_nothing)
{
	char *path = path_of("root");

	make_dir("root");
	ck_assert_ok(open_url(path, 0));
	ck_assert_ok(put_text("v/1", "one"));
	lsvd_store_close(store);
	ck_assert_ok(open_url(path, LSVD_STORE_READONLY));
	assert_holds("v/1", "one", 3);
	ck_assert_err(put_text("v/2", "two"), -EROFS);
	ck_assert_err(put_text("v/1", "two"), -EROFS);
	ck_assert_err(put_text("w/1", "two"), -EROFS);
	ck_assert_err(lsvd_store_remove(store, "v/1"), -EROFS);
	assert_lists("", "v/1=3 ");
	ck_assert_uint_eq(entries_of("root"), 1);
	free(path);
}
END_TEST

/* ---------------------------------------------------------------------------------------- suite */

static TCase *every_kind(Suite *s, const char *name)
{
	TCase *t = tcase_create(name);

	tcase_set_timeout(t, 60);
	tcase_add_checked_fixture(t, setup, teardown);
	suite_add_tcase(s, t);
	return t;
}

static void add_contract(Suite *s)
{
	TCase *t = every_kind(s, "create and read");

	tcase_add_loop_test(t, store_put_object_is_read_back, KIND_0, KINDS);
	tcase_add_loop_test(t, store_empty_object_exists_and_has_no_bytes, KIND_0, KINDS);
	tcase_add_loop_test(t, store_missing_object_is_enoent_and_outputs_are_untouched,
			    KIND_0, KINDS);
	tcase_add_loop_test(t, store_second_put_is_eexist_and_changes_nothing, KIND_0, KINDS);
	tcase_add_loop_test(t, store_ranges_end_where_the_object_ends, KIND_0, KINDS);
	tcase_add_loop_test(t, store_big_object_is_whole, KIND_0, KINDS);
	tcase_add_loop_test(t, store_vector_of_more_elements_than_one_call_takes_is_whole, KIND_0,
			    KINDS);
	tcase_add_loop_test(t, store_long_vector_of_short_and_long_pieces_is_whole, KIND_0, KINDS);
	tcase_add_loop_test(t, store_impossible_vectors_are_refused, KIND_0, KINDS);

	t = every_kind(s, "keys");
	tcase_add_loop_test(t, store_keys_of_the_grammar_are_taken, KIND_0, KINDS);
	tcase_add_loop_test(t, store_keys_outside_the_grammar_are_refused_by_every_operation,
			    KIND_0, KINDS);
	tcase_add_loop_test(t, store_message_about_a_key_holds_no_control_characters,
			    KIND_0, KINDS);
	tcase_add_loop_test(t, store_list_prefixes_outside_the_grammar_are_refused, KIND_0, KINDS);

	t = every_kind(s, "list");
	tcase_add_loop_test(t, store_list_is_in_byte_order_of_the_keys, KIND_0, KINDS);
	tcase_add_loop_test(t, store_list_reports_what_begins_with_the_prefix, KIND_0, KINDS);
	tcase_add_loop_test(t, store_list_ends_early_when_told, KIND_0, KINDS);
	tcase_add_loop_test(t, store_list_of_thousands_is_complete_and_ordered, KIND_0, KINDS);
	tcase_add_loop_test(t, store_list_function_may_remove_what_it_is_told_of, KIND_0, KINDS);
	tcase_add_loop_test(t, store_list_tells_the_stores_own_time, KIND_0, KINDS);

	t = every_kind(s, "remove");
	tcase_add_loop_test(t, store_removed_object_is_gone_and_may_come_again, KIND_0, KINDS);
	tcase_add_loop_test(t, store_removing_what_is_not_there_is_no_error, KIND_0, KINDS);

	t = every_kind(s, "races");
	tcase_add_loop_test(t, store_race_of_creators_has_one_winner, KIND_0, KINDS);
	tcase_add_loop_test(t, store_object_appears_whole_or_not_at_all, KIND_0, KINDS);
}

#define DIR_KINDS 2 /* the first rows */

static void add_directory(Suite *s)
{
	TCase *t = every_kind(s, "directory");

	tcase_add_loop_test(t, store_dir_link_in_place_of_a_directory_is_not_followed, 0,
			    DIR_KINDS);
	tcase_add_loop_test(t, store_dir_link_in_place_of_an_object_is_not_followed, 0, DIR_KINDS);
	tcase_add_loop_test(t, store_dir_what_is_no_file_is_no_object, 0, DIR_KINDS);
	tcase_add_loop_test(t, store_dir_object_and_directory_of_one_name_exclude_each_other, 0,
			    DIR_KINDS);
	tcase_add_loop_test(t, store_dir_files_are_the_owners_alone, 0, DIR_KINDS);
	tcase_add_loop_test(t, store_dir_cleared_away_is_made_again, 0, DIR_KINDS);
	tcase_add_loop_test(t, store_dir_write_that_fails_half_way_leaves_nothing_behind, 0,
			    DIR_KINDS);
	tcase_add_loop_test(t,
			    store_dir_leftovers_are_not_listed_and_are_gone_after_the_next_opening,
			    0, DIR_KINDS);

	t = every_kind(s, "directory by URL");
	tcase_add_test(t, store_dir_is_made_when_asked_and_only_then);
	tcase_add_test(t, store_dir_that_is_a_file_is_enotdir);
	tcase_add_test(t, store_dir_that_cannot_be_written_is_eacces_unless_read_only);
	tcase_add_test(t, store_dir_read_only_changes_nothing);
}

static Suite *store_contract_suite(void)
{
	Suite *s = suite_create("store contract");

	add_contract(s);
	if (!WITH_S3)
		add_directory(s);
	return s;
}

T_MAIN(store_contract_suite)

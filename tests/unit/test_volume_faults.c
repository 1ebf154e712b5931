/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Tests of what an open volume makes of each thing a store can do to it, one by one: the rows of
 * the table in docs/s3.md above the driver; and of what a volume asks of a store while it has
 * nothing to ask. The rows of the chain itself (whose object is that, parts of objects) are in
 * tests/sim.
 */
#include "t_volume.h"
#include "volume/volume_internal.h"

static struct {
	unsigned errors, warnings, back;
	char error[512];
} said;

static void listen(void *ctx, enum lsvd_log_level level, const char *text)
{
	(void)ctx;
	if (level == LSVD_LOG_ERROR) {
		(void)snprintf(said.error, sizeof said.error, "%s", text); /* a beginning will do */
		__atomic_add_fetch(&said.errors, 1, __ATOMIC_RELAXED);
	}
	if (level == LSVD_LOG_WARN)
		__atomic_add_fetch(&said.warnings, 1, __ATOMIC_RELAXED);
	if (strstr(text, "is back"))
		__atomic_add_fetch(&said.back, 1, __ATOMIC_RELAXED);
}

static struct tv *listening(void)
{
	struct tv *t = tv_new();

	memset(&said, 0, sizeof said);
	lsvd_set_log(listen, NULL, LSVD_LOG_INFO);
	return t;
}

static void leave(struct tv *t)
{
	tv_free(t);
	lsvd_set_log(NULL, NULL, LSVD_LOG_ERROR);
}

static unsigned calls(struct tv *t)
{
	return (unsigned)store_fault_calls(t->fault, FAULT_ANY);
}

/* -------------------------------------------------------------------------------------- uploads */

START_TEST(access_denied_is_one_alarm_and_passes_by_itself)
{
	struct tv *t = listening();
	char text[256];

	t->o.denied_retry_ms = 200;
	tv_open(t);
	tv_write(t, 0, 65536, 1);
	tv_sync(t);
	tv_fault(t, (struct fault_rule){ .verbs = FAULT_PUT, .kind = FAULT_FAIL,
					 .err = _i ? LSVD_E_CONFIG : -EACCES });
	for (unsigned i = 0; i < 8; i++)
		tv_write(t, i * 65536, 65536, 10 + i);
	ck_assert_ok(lsvd_volume_seal(t->v));
	tv_wait_for(tv_stats(t).store_denied > 8);
	ck_assert_err(lsvd_volume_status(t->v, text, sizeof text), _i ? LSVD_E_CONFIG : -EACCES);
	ck_assert_ptr_nonnull(strstr(text, "refused, on purpose"));
	ck_assert_uint_eq(said.errors, 1);
	ck_assert_ptr_nonnull(strstr(said.error, "refused, on purpose"));
	tv_check_all(t); /* and goes on serving */
	tv_flush(t);
	store_fault_clear(t->fault);
	tv_sync(t);
	ck_assert_err(lsvd_volume_status(t->v, NULL, 0), 0);
	ck_assert_uint_eq(said.errors, 1);
	ck_assert_uint_eq(said.back, 1);
	ck_assert_uint_eq(tv_stats(t).store_away, 0);
	tv_reopen(t);
	tv_check_all(t);
	leave(t);
}
END_TEST

START_TEST(an_outage_is_counted_and_no_alarm)
{
	struct tv *t = listening();

	tv_open(t);
	tv_fault(t, (struct fault_rule){ .verbs = FAULT_PUT, .times = 3, .kind = FAULT_FAIL });
	tv_write(t, 0, 65536, 1);
	tv_sync(t);
	ck_assert_uint_eq(tv_stats(t).store_away, 3);
	ck_assert_uint_eq(tv_stats(t).retries, 3);
	ck_assert_uint_eq(said.errors, 0);
	ck_assert_uint_eq(said.warnings, 1);
	ck_assert_uint_eq(said.back, 1);
	leave(t);
}
END_TEST

START_TEST(a_lost_answer_is_read_back)
{
	struct tv *t = listening();

	tv_open(t);
	tv_fault(t, (struct fault_rule){ .verbs = FAULT_PUT, .times = 1,
					 .kind = FAULT_LOSE_REPLY });
	tv_write(t, 0, 65536, 1);
	tv_sync(t);
	ck_assert_uint_eq(tv_stats(t).read_backs, 1);
	ck_assert_uint_eq(tv_stats(t).segments, 1);
	leave(t);
}
END_TEST

/* ---------------------------------------------------------------------------------------- reads */

#define QUICKLY_MS 500u

/* Two objects, the data of neither in memory or in the log. */
static struct tv *two_objects_within(uint32_t read_timeout_ms)
{
	struct tv *t = listening();

	tv_open(t);
	tv_write(t, 0, 65536, 1);
	tv_sync(t);
	tv_write(t, 65536, 65536, 2);
	tv_sync(t);
	tv_close(t);
	tv_run("rm -r '%s%s'", t->cache, "");
	t->o.read_timeout_ms = read_timeout_ms;
	tv_open(t);
	return t;
}

static struct tv *two_objects(void)
{
	return two_objects_within(QUICKLY_MS);
}

static int read_at(struct tv *t, uint64_t off, uint32_t len)
{
	uint8_t *buf = tv_buffer(len);
	int err = lsvd_volume_read(t->v, buf, off, len);

	free(buf);
	return err;
}

START_TEST(a_missing_object_is_damage_for_its_ranges_only)
{
	struct tv *t = two_objects();
	char *path = tv_chain_path(t, 1, 2);

	ck_assert_int_eq(unlink(path), 0);
	ck_assert_err(read_at(t, 4096, 4096), LSVD_E_CORRUPT);
	ck_assert_uint_eq(tv_stats(t).missing_objects, 1);
	ck_assert_uint_eq(tv_stats(t).corrupt, 1);
	ck_assert_uint_eq(said.errors, 1);
	tv_check(t, 65536, 65536);
	ck_assert_err(lsvd_volume_status(t->v, NULL, 0), 0);
	free(path);
	leave(t);
}
END_TEST

START_TEST(a_missing_object_under_a_newer_claim_is_a_fence)
{
	struct tv *t = two_objects();
	struct uuid u = tv_uuid(t);
	struct iovec iov = { (void *)(uintptr_t)"claim", 5 };
	char *path = tv_chain_path(t, 1, 2), key[KEY_CAP];

	ck_assert_int_eq(unlink(path), 0);
	lsvd_key_claim(key, &u, tv_stats(t).epoch + 1);
	ck_assert_ok(lsvd_store_put_if_absent(t->store, key, &iov, 1));
	ck_assert_err(read_at(t, 4096, 4096), LSVD_E_FENCED);
	ck_assert_err(lsvd_volume_status(t->v, NULL, 0), LSVD_E_FENCED);
	ck_assert_uint_eq(tv_stats(t).missing_objects, 0);
	free(path);
	leave(t);
}
END_TEST

/* Whether there is a claim is not known at once: so it is not damage at once, either. */
START_TEST(a_missing_object_is_no_damage_before_the_claims_have_been_looked_at)
{
	struct tv *t = two_objects_within(60000);
	struct uuid u = tv_uuid(t);
	struct iovec iov = { (void *)(uintptr_t)"claim", 5 };
	char *path = tv_chain_path(t, 1, 2), key[KEY_CAP];

	ck_assert_int_eq(unlink(path), 0);
	lsvd_key_claim(key, &u, tv_stats(t).epoch + 1);
	ck_assert_ok(lsvd_store_put_if_absent(t->store, key, &iov, 1));
	tv_fault(t, (struct fault_rule){ .verbs = FAULT_HEAD, .times = 2, .kind = FAULT_FAIL });
	ck_assert_err(read_at(t, 4096, 4096), LSVD_E_FENCED);
	ck_assert_uint_eq(tv_stats(t).missing_objects, 0);
	free(path);
	leave(t);
}
END_TEST

/* The object's file; it is put aside, and no claim is found. */
static char *hide_first(struct tv *t)
{
	char *path = tv_chain_path(t, 1, 2);

	tv_run("mv '%s' '%s.aside'", path, path);
	tv_fault(t, (struct fault_rule){ .verbs = FAULT_HEAD, .kind = FAULT_FAIL });
	return path;
}

static void show_first(struct tv *t, char *path)
{
	store_fault_clear(t->fault);
	tv_run("mv '%s.aside' '%s'", path, path);
	free(path);
}

START_TEST(a_missing_object_is_no_damage_while_the_claims_cannot_be_looked_at)
{
	struct tv *t = two_objects();
	char *path = hide_first(t);

	ck_assert_err(read_at(t, 4096, 4096), LSVD_E_UNAVAILABLE);
	ck_assert_uint_eq(tv_stats(t).missing_objects, 0);
	ck_assert_uint_eq(tv_stats(t).corrupt, 0);
	show_first(t, path);
	tv_check(t, 0, 65536);
	leave(t);
}
END_TEST

START_TEST(a_collection_copies_later_what_a_store_in_trouble_does_not_have)
{
	struct lsvd_collect_options o = LSVD_COLLECT_OPTIONS_INIT;
	struct tv *t = two_objects();
	char *path = hide_first(t);

	tv_write(t, 0, 32768, 3); /* half of it is dead */
	tv_sync(t);
	o.timeout_ms = 3000;
	o.percent = 100;
	ck_assert_int_ne(lsvd_volume_collect(t->v, &o, NULL), 0);
	ck_assert_uint_eq(tv_stats(t).gc_damaged, 0);
	ck_assert_uint_eq(tv_stats(t).missing_objects, 0);
	show_first(t, path);
	o.timeout_ms = 60000;
	ck_assert_ok(lsvd_volume_collect(t->v, &o, NULL));
	ck_assert_uint_gt(tv_stats(t).gc_copied_bytes, 0);
	tv_check_all(t);
	leave(t);
}
END_TEST

static const enum fault_kind damages[] = { FAULT_FLIP, FAULT_TRUNCATE, FAULT_ZERO };

START_TEST(a_damaged_answer_is_asked_for_once_more)
{
	struct tv *t = two_objects();

	tv_fault(t, (struct fault_rule){ .verbs = FAULT_GET, .times = 1, .kind = damages[_i] });
	tv_check(t, 0, 65536);
	ck_assert_uint_eq(tv_stats(t).bad_gets, 1);
	ck_assert_uint_eq(tv_stats(t).corrupt, 0);
	ck_assert_uint_eq(said.errors, 0);
	leave(t);
}
END_TEST

START_TEST(damage_that_stays_is_an_alarm_and_an_error_for_its_ranges_only)
{
	struct tv *t = two_objects();

	tv_fault(t, (struct fault_rule){ .verbs = FAULT_GET, .key = "0002", .times = 2,
					 .kind = damages[_i] });
	ck_assert_err(read_at(t, 0, 65536), LSVD_E_CORRUPT);
	ck_assert_uint_eq(tv_stats(t).bad_gets, 1);
	ck_assert_uint_eq(tv_stats(t).corrupt, 1);
	ck_assert_uint_eq(said.errors, 1);
	tv_check(t, 65536, 65536);
	leave(t);
}
END_TEST

START_TEST(a_read_waits_for_access_as_for_a_store_that_is_away)
{
	struct tv *t = two_objects_within(0); /* the default: it is not a matter of time */

	tv_fault(t, (struct fault_rule){ .verbs = FAULT_GET, .times = 2, .kind = FAULT_FAIL,
					 .err = _i ? LSVD_E_UNAVAILABLE : -EACCES });
	tv_check(t, 0, 65536);
	ck_assert_uint_eq(_i ? tv_stats(t).store_away : tv_stats(t).store_denied, 2);
	tv_close(t);
	t->o.read_timeout_ms = QUICKLY_MS;
	tv_open(t);
	tv_bring_map(t);
	tv_fault(t, (struct fault_rule){ .verbs = FAULT_GET, .kind = FAULT_FAIL,
					 .err = _i ? LSVD_E_UNAVAILABLE : -EACCES });
	ck_assert_err(read_at(t, 65536, 4096), _i ? LSVD_E_UNAVAILABLE : -EACCES);
	leave(t);
}
END_TEST

/* ---------------------------------------------------------------------------------------- opens */

START_TEST(a_damaged_answer_at_an_open_is_asked_for_once_more)
{
	static const struct {
		const char *key;
		bool counted;
	} objects[] = { { "volumes/", false }, { "/d/", true }, { "/k/", true }, { "/f/", true } };
	enum fault_kind kind = objects[_i].key[1] == 'f' ? FAULT_TRUNCATE : FAULT_FLIP;
	struct tv *t = listening();
	bool seen = false;

	tv_open(t);
	for (unsigned i = 0; i < 40; i++)
		tv_write(t, i * 131072, 8192, i);
	tv_sync(t);
	ck_assert_ok(lsvd_volume_checkpoint(t->v, UINT32_MAX));
	tv_close(t);
	/*
	 * Of an object of pages only what is in use is verified, of a segment its header: a bit may
	 * be anywhere, so it takes a few opens until one is damaged where it is seen.
	 */
	for (unsigned n = 1; n <= 64; n++) {
		tv_fault(t, (struct fault_rule){ .verbs = FAULT_GET, .key = objects[_i].key,
						 .times = 1, .kind = kind });
		tv_open(t);
		ck_assert_uint_eq(store_fault_hits(t->fault, kind), n);
		tv_check_all(t);
		seen = tv_stats(t).bad_gets == 1;
		if (seen || !objects[_i].counted)
			break;
		tv_close(t);
	}
	ck_assert_int_eq(seen, objects[_i].counted);
	leave(t);
}
END_TEST

START_TEST(denial_at_an_open_fails_at_once_with_the_stores_own_text)
{
	struct tv *t = listening();
	unsigned before;

	tv_fault(t, (struct fault_rule){ .verbs = _i ? FAULT_PUT : FAULT_ANY, .kind = FAULT_FAIL,
					 .err = -EACCES });
	before = calls(t);
	ck_assert_err(tv_try_open(t), -EACCES);
	ck_assert_error_says("refused, on purpose");
	ck_assert_uint_le(calls(t) - before, _i ? 40 : 1);
	leave(t);
}
END_TEST

START_TEST(a_volume_created_under_a_lost_answer_is_created_once)
{
	struct tv *t = listening();

	tv_fault(t, (struct fault_rule){ .verbs = FAULT_PUT, .times = 1,
					 .kind = FAULT_LOSE_REPLY });
	ck_assert_ok(lsvd_volume_create(t->store, "another", TV_BYTES, NULL, NULL));
	tv_fault(t, (struct fault_rule){ .verbs = FAULT_PUT, .times = 1, .kind = FAULT_FAIL });
	ck_assert_err(lsvd_volume_create(t->store, "another", TV_BYTES, NULL, NULL), -EEXIST);
	leave(t);
}
END_TEST

START_TEST(listing_counting_and_deleting_outlive_short_outages)
{
	struct lsvd_volume_usage u = { .size = sizeof u };
	struct tv *t = listening();

	tv_open(t);
	tv_write(t, 0, 65536, 1);
	tv_close(t);
	tv_fault(t, (struct fault_rule){ .verbs = FAULT_LIST, .times = 2, .kind = FAULT_FAIL });
	ck_assert_ok(lsvd_volume_usage(t->store, TV_NAME, &u));
	ck_assert_uint_eq(u.segments, 1);
	ck_assert_uint_gt(u.segment_bytes, 65536);
	ck_assert_uint_eq(u.claims, 1);
	tv_fault(t, (struct fault_rule){ .verbs = FAULT_ANY, .permille = 200, .times = 5,
					 .kind = FAULT_FAIL });
	ck_assert_ok(lsvd_volume_delete(t->store, TV_NAME));
	store_fault_clear(t->fault);
	ck_assert_uint_eq(tv_count(t, KEY_CHAIN), 0);
	leave(t);
}
END_TEST

/*
 * What is left of a deletion that fails: _i 0: its name's removal is done, but the answer is an
 * error; 1: the name goes, an object does not. The text says how to go on, and that ends it.
 */
START_TEST(a_deletion_that_fails_in_the_middle_says_how_to_end_it)
{
	struct tv *t = listening();
	char uuid[UUID_TEXT_LEN + 1];
	struct uuid u;

	tv_open(t);
	tv_write(t, 0, 65536, 1);
	tv_close(t);
	u = tv_uuid(t);
	lsvd_uuid_format(&u, uuid);
	tv_fault(t, (struct fault_rule){ .verbs = FAULT_REMOVE, .key = _i ? "/d/" : "volumes/",
					 .kind = _i ? FAULT_FAIL : FAULT_LOSE_REPLY,
					 .err = -EACCES });
	ck_assert_err(lsvd_volume_delete(t->store, TV_NAME), -EACCES);
	ck_assert_error_says(uuid);
	store_fault_clear(t->fault);
	ck_assert_err(lsvd_volume_delete(t->store, TV_NAME), -ENOENT);
	ck_assert_uint_gt(tv_count(t, KEY_CHAIN), 0);
	ck_assert_ok(lsvd_volume_purge(t->store, uuid));
	ck_assert_uint_eq(tv_count(t, KEY_CHAIN), 0);
	leave(t);
}
END_TEST

/* _i 0: for a moment only; 1: for good. */
START_TEST(what_is_removed_and_still_listed_is_not_removed_without_end)
{
	struct tv *t = listening();
	uint64_t lists;
	int err;

	tv_open(t);
	tv_write(t, 0, 65536, 1);
	tv_close(t);
	tv_fault(t, (struct fault_rule){ .verbs = FAULT_REMOVE, .key = "/d/", .times = _i ? 0 : 3,
					 .kind = FAULT_STALE });
	lists = store_fault_calls(t->fault, FAULT_LIST);
	err = lsvd_volume_delete(t->store, TV_NAME);
	ck_assert_err(err, _i ? LSVD_E_UNAVAILABLE : 0);
	if (_i)
		ck_assert_error_says("still listed");
	ck_assert_uint_lt(store_fault_calls(t->fault, FAULT_LIST) - lists, 20);
	leave(t);
}
END_TEST

/* ----------------------------------------------------------------------------------------- cost */

/* Two looks at the clock of a timer that would have been due long ago. */
static void pass_ms(unsigned ms)
{
	struct timespec now, until;

	ck_assert_int_eq(clock_gettime(CLOCK_MONOTONIC, &until), 0);
	until.tv_nsec += (long)ms * 1000000;
	until.tv_sec += until.tv_nsec / 1000000000;
	until.tv_nsec %= 1000000000;
	do
		ck_assert_int_eq(clock_gettime(CLOCK_MONOTONIC, &now), 0);
	while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL) != 0);
}

/* For a newer claim, because of the last write. */
static bool is_looking(struct tv *t)
{
	bool looking;

	lsvd_port_enter(&t->v->port);
	looking = t->v->lease_looking;
	lsvd_port_leave(&t->v->port, false);
	return looking;
}

START_TEST(an_idle_volume_asks_nothing_of_the_store)
{
	struct tv *t = listening();
	unsigned before;

	t->o.lease_check_ms = 1; /* any timer of its own would be due all the time */
	t->o.seal_after_ms = 10;
	tv_open(t);
	tv_write(t, 0, 65536, 1);
	tv_sync(t);
	tv_wait_for(!is_looking(t));
	before = calls(t);
	for (unsigned i = 0; i < 20; i++) {
		tv_check(t, 0, 65536); /* from memory */
		pass_ms(5);
	}
	ck_assert_uint_eq(calls(t), before);
	leave(t);
}
END_TEST

START_TEST(a_local_flush_asks_nothing_and_a_remote_one_puts_and_looks_once)
{
	struct tv *t = listening();
	unsigned before, puts, heads;

	t->o.flush = _i ? LSVD_FLUSH_REMOTE : LSVD_FLUSH_LOCAL;
	tv_open(t);
	tv_write(t, 0, 65536, 1);
	tv_sync(t);
	before = calls(t);
	puts = (unsigned)store_fault_calls(t->fault, FAULT_PUT);
	heads = (unsigned)store_fault_calls(t->fault, FAULT_HEAD);
	for (unsigned i = 1; i <= 5; i++) {
		tv_write(t, 0, 4096, i);
		tv_flush(t);
	}
	if (_i) {
		ck_assert_uint_eq(store_fault_calls(t->fault, FAULT_PUT) - puts, 5);
		ck_assert_uint_eq(store_fault_calls(t->fault, FAULT_HEAD) - heads, 5);
	}
	ck_assert_uint_eq(calls(t) - before, _i ? 10 : 0);
	leave(t);
}
END_TEST

START_TEST(a_writer_looks_for_a_claim_when_the_last_look_is_old_and_not_before)
{
	struct tv *t = listening();
	unsigned before;

	t->o.lease_check_ms = 60000;
	tv_open(t);
	before = calls(t);
	for (unsigned i = 0; i < 20; i++)
		tv_write(t, 0, 4096, i);
	tv_flush(t);
	ck_assert_uint_eq(calls(t), before);
	tv_close(t);
	t->o.lease_check_ms = 1;
	tv_open(t);
	before = (unsigned)store_fault_calls(t->fault, FAULT_HEAD);
	pass_ms(3);
	tv_write(t, 0, 4096, 1);
	tv_wait_for(store_fault_calls(t->fault, FAULT_HEAD) > before);
	leave(t);
}
END_TEST

static Suite *volume_faults_suite(void)
{
	Suite *s = suite_create("volume_faults");
	TCase *u = tcase_create("upload"), *r = tcase_create("read"), *o = tcase_create("open"),
	      *c = tcase_create("cost");

	tcase_set_timeout(u, 60);
	tcase_add_loop_test(u, access_denied_is_one_alarm_and_passes_by_itself, 0, 2);
	tcase_add_test(u, an_outage_is_counted_and_no_alarm);
	tcase_add_test(u, a_lost_answer_is_read_back);
	suite_add_tcase(s, u);
	tcase_set_timeout(r, 60);
	tcase_add_test(r, a_missing_object_is_damage_for_its_ranges_only);
	tcase_add_test(r, a_missing_object_under_a_newer_claim_is_a_fence);
	tcase_add_test(r, a_missing_object_is_no_damage_before_the_claims_have_been_looked_at);
	tcase_add_test(r, a_missing_object_is_no_damage_while_the_claims_cannot_be_looked_at);
	tcase_add_test(r, a_collection_copies_later_what_a_store_in_trouble_does_not_have);
	tcase_add_loop_test(r, a_damaged_answer_is_asked_for_once_more, 0, 3);
	tcase_add_loop_test(r, damage_that_stays_is_an_alarm_and_an_error_for_its_ranges_only,
			    0, 3);
	tcase_add_loop_test(r, a_read_waits_for_access_as_for_a_store_that_is_away, 0, 2);
	suite_add_tcase(s, r);
	tcase_set_timeout(o, 60);
	tcase_add_loop_test(o, a_damaged_answer_at_an_open_is_asked_for_once_more, 0, 4);
	tcase_add_loop_test(o, denial_at_an_open_fails_at_once_with_the_stores_own_text, 0, 2);
	tcase_add_test(o, a_volume_created_under_a_lost_answer_is_created_once);
	tcase_add_test(o, listing_counting_and_deleting_outlive_short_outages);
	tcase_add_loop_test(o, a_deletion_that_fails_in_the_middle_says_how_to_end_it, 0, 2);
	tcase_add_loop_test(o, what_is_removed_and_still_listed_is_not_removed_without_end, 0, 2);
	suite_add_tcase(s, o);
	tcase_set_timeout(c, 60);
	tcase_add_test(c, an_idle_volume_asks_nothing_of_the_store);
	tcase_add_loop_test(c, a_local_flush_asks_nothing_and_a_remote_one_puts_and_looks_once,
			    0, 2);
	tcase_add_test(c, a_writer_looks_for_a_claim_when_the_last_look_is_old_and_not_before);
	suite_add_tcase(s, c);
	return s;
}

T_MAIN(volume_faults_suite)

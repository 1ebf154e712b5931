/* SPDX-License-Identifier: BSD-2-Clause */
/* Tests of the probe of a store, and of who may write on which store. */
#include "t_volume.h"

#include <lsvd/snapshot.h>
#include <lsvd/vlog.h>

static int note_object(void *ctx, const struct lsvd_object_info *info)
{
	(void)info;
	++*(unsigned *)ctx;
	return 0;
}

static unsigned count_probe_objects(struct lsvd_store *store)
{
	unsigned n = 0;

	ck_assert_ok(lsvd_store_list(store, "probe/", note_object, &n));
	return n;
}

static struct lsvd_store_probe probe_of(struct lsvd_store *store, int expected)
{
	struct lsvd_store_probe p = LSVD_STORE_PROBE_INIT;

	ck_assert_err(lsvd_store_probe(store, &p), expected);
	return p;
}

/* A volume's things on a store whose promises are a server's, or that promises nothing. */
static struct tv *on_caps(uint32_t caps)
{
	struct lsvd_store_options o = LSVD_STORE_OPTIONS_INIT;
	struct lsvd_store *inner;
	struct tv *t = tv_blank();
	char url[512];

	(void)snprintf(url, sizeof url, "dir:%s", t->store_dir); /* fits */
	o.flags = LSVD_STORE_CREATE;
	ck_assert_ok(lsvd_store_open(&inner, url, &o));
	ck_assert_ok(store_fault_open_caps(&t->store, &t->fault, inner, 1, caps));
	return t;
}

#define CLAIMS (LSVD_STORE_CAP_CREATE | LSVD_STORE_CAP_PROBE)

/* ------------------------------------------------------------------------------------ the probe */

START_TEST(probe_finds_the_built_in_stores_good_and_leaves_nothing)
{
	struct tv *t = tv_new();
	struct lsvd_store *mem;
	struct lsvd_store_probe p;

	ck_assert_ok(lsvd_store_open(&mem, "mem:", NULL));
	for (unsigned i = 0; i < 2; i++) {
		struct lsvd_store *store = i ? mem : t->store;

		p = probe_of(store, 0);
		ck_assert_uint_eq(p.create, LSVD_PROBE_GOOD);
		ck_assert_uint_eq(p.refuse, LSVD_PROBE_GOOD);
		ck_assert_uint_eq(p.read_back, LSVD_PROBE_GOOD);
		ck_assert_uint_eq(p.ranges, LSVD_PROBE_GOOD);
		ck_assert_uint_eq(p.length, LSVD_PROBE_GOOD);
		ck_assert_uint_eq(p.list, LSVD_PROBE_GOOD);
		ck_assert_uint_eq(p.removed, LSVD_PROBE_GOOD);
		ck_assert_str_eq(p.text, "");
		ck_assert_uint_gt(p.requests, 32);
		ck_assert_uint_eq(count_probe_objects(store), 0);
	}
	lsvd_store_close(mem);
	tv_free(t);
}
END_TEST

START_TEST(probe_finds_a_store_that_creates_what_is_there)
{
	struct tv *t = tv_new();
	struct lsvd_store_probe p;

	/* In the race only one gets through; the one that comes later does, too. */
	tv_fault(t, (struct fault_rule){ .verbs = FAULT_PUT, .key = "race-0", .from = 9,
					 .kind = FAULT_OVERWRITE });
	p = probe_of(t->store, LSVD_E_UNSUPPORTED);
	ck_assert_uint_eq(p.create, LSVD_PROBE_GOOD);
	ck_assert_uint_eq(p.refuse, LSVD_PROBE_BAD);
	ck_assert_error_says("was created again");
	store_fault_clear(t->fault);
	tv_fault(t, (struct fault_rule){ .verbs = FAULT_PUT, .key = "race-3",
					 .kind = FAULT_OVERWRITE });
	p = probe_of(t->store, LSVD_E_UNSUPPORTED);
	ck_assert_uint_eq(p.create, LSVD_PROBE_BAD);
	ck_assert_uint_eq(p.refuse, LSVD_PROBE_GOOD);
	ck_assert_error_says("at the same time");
	ck_assert_uint_eq(count_probe_objects(t->store), 0);
	tv_free(t);
}
END_TEST

START_TEST(probe_finds_wrong_ranges_and_what_is_not_read_at_once)
{
	struct tv *t = tv_new();
	struct lsvd_store_probe p;

	tv_fault(t, (struct fault_rule){ .verbs = FAULT_GET, .key = "ranged",
					 .kind = _i ? FAULT_TRUNCATE : FAULT_FLIP });
	p = probe_of(t->store, LSVD_E_UNSUPPORTED);
	ck_assert_uint_eq(p.ranges, LSVD_PROBE_BAD);
	ck_assert_uint_eq(p.create, LSVD_PROBE_GOOD);
	store_fault_clear(t->fault);
	tv_fault(t, (struct fault_rule){ .verbs = FAULT_GET, .key = "race-1", .times = 1,
					 .kind = FAULT_STALE });
	p = probe_of(t->store, LSVD_E_UNSUPPORTED);
	ck_assert_uint_eq(p.read_back, LSVD_PROBE_BAD);
	ck_assert_error_says("is not there");
	tv_free(t);
}
END_TEST

START_TEST(probe_takes_an_old_listing_for_a_help_that_fails)
{
	struct tv *t = tv_new();
	struct lsvd_store_probe p;

	tv_fault(t, (struct fault_rule){ .verbs = FAULT_LIST, .times = 1, .kind = FAULT_STALE });
	p = probe_of(t->store, 0);
	ck_assert_uint_eq(p.list, LSVD_PROBE_BAD);
	tv_free(t);
}
END_TEST

START_TEST(probe_outlives_lost_answers_and_cleans_up)
{
	struct tv *t = tv_new();
	struct lsvd_store_probe p;

	tv_fault(t, (struct fault_rule){ .verbs = FAULT_ANY, .permille = 100,
					 .kind = FAULT_LOSE_REPLY });
	p = probe_of(t->store, 0);
	ck_assert_uint_eq(p.removed, LSVD_PROBE_GOOD);
	ck_assert_uint_gt(store_fault_hits(t->fault, FAULT_LOSE_REPLY), 0);
	store_fault_clear(t->fault);
	ck_assert_uint_eq(count_probe_objects(t->store), 0);
	tv_free(t);
}
END_TEST

START_TEST(probe_of_a_store_that_refuses_says_so)
{
	struct tv *t = tv_new();
	struct lsvd_store_probe p = LSVD_STORE_PROBE_INIT;

	tv_fault(t, (struct fault_rule){ .verbs = FAULT_PUT, .kind = FAULT_FAIL, .err = -EACCES });
	p = probe_of(t->store, -EACCES);
	ck_assert_uint_eq(p.create, LSVD_PROBE_UNTRIED);
	ck_assert_error_says("refused, on purpose");
	p.races = 1001;
	ck_assert_err(lsvd_store_probe(t->store, &p), -EINVAL);
	p.size = 3;
	ck_assert_err(lsvd_store_probe(t->store, &p), -EINVAL);
	tv_free(t);
}
END_TEST

/* ----------------------------------------------------------------- who may write on which store */

START_TEST(probe_is_made_at_creation_and_once_for_a_cache_directory)
{
	struct tv *t = on_caps(CLAIMS);
	uint64_t puts;

	ck_assert_ok(lsvd_volume_create(t->store, TV_NAME, TV_BYTES, NULL, NULL));
	puts = store_fault_calls(t->fault, FAULT_PUT);
	ck_assert_uint_gt(puts, 32);
	tv_open(t);
	ck_assert_uint_gt(tv_stats(t).probe_requests, 16); /* one race is enough here */
	ck_assert_uint_gt(tv_stats(t).probe_bytes, 70000);
	tv_close(t);
	for (unsigned i = 0; i < 2; i++) {
		tv_open(t);
		ck_assert_uint_eq(tv_stats(t).probe_requests, 0);
		tv_close(t);
	}
	tv_run("rm -r '%s%s'", t->cache, "");
	tv_open(t);
	ck_assert_uint_gt(tv_stats(t).probe_requests, 16);
	tv_close(t);
	ck_assert_uint_eq(count_probe_objects(t->store), 0);
	tv_free(t);
}
END_TEST

START_TEST(probe_is_not_made_by_readers_nor_where_the_driver_knows)
{
	struct tv *t = on_caps(CLAIMS);
	uint64_t puts;

	ck_assert_ok(lsvd_volume_create(t->store, TV_NAME, TV_BYTES, NULL, NULL));
	puts = store_fault_calls(t->fault, FAULT_WRITES);
	t->o.flags = LSVD_OPEN_READONLY;
	t->o.cache_dir = NULL;
	tv_open(t);
	ck_assert_err(tv_close_in(t, 0), 0);
	ck_assert_uint_eq(store_fault_calls(t->fault, FAULT_WRITES), puts);
	tv_free(t);
	t = on_caps(LSVD_STORE_CAP_CREATE);
	ck_assert_ok(lsvd_volume_create(t->store, TV_NAME, TV_BYTES, NULL, NULL));
	ck_assert_uint_eq(store_fault_calls(t->fault, FAULT_PUT), 1);
	tv_open(t);
	ck_assert_uint_eq(tv_stats(t).probe_requests, 0);
	tv_free(t);
}
END_TEST

static struct {
	unsigned warnings;
	char text[512];
} said;

static void listen(void *ctx, enum lsvd_log_level level, const char *text)
{
	(void)ctx;
	if (level > LSVD_LOG_WARN || !strstr(text, "UNSAFE"))
		return;
	said.warnings++;
	(void)snprintf(said.text, sizeof said.text, "%s", text); /* a beginning will do */
}

/* _i 0: it promises nothing; 1: it promises, and overwrites. */
START_TEST(probe_or_driver_says_no_and_only_unsafe_store_overrules_it)
{
	struct tv *t = on_caps(_i ? CLAIMS : 0);
	const struct fault_rule overwrite = { .verbs = FAULT_PUT, .key = "race",
					      .kind = FAULT_OVERWRITE };

	lsvd_set_log(listen, NULL, LSVD_LOG_WARN);
	said.warnings = 0;
	if (_i)
		tv_fault(t, overwrite);
	ck_assert_err(lsvd_volume_create(t->store, TV_NAME, TV_BYTES, NULL, NULL),
		      LSVD_E_UNSUPPORTED);
	ck_assert_error_says("--unsafe-store");
	ck_assert_err(lsvd_volume_lookup(t->store, TV_NAME, &(struct lsvd_volume_info)
					 LSVD_VOLUME_INFO_INIT), -ENOENT);
	ck_assert_ok(lsvd_volume_create_flags(t->store, TV_NAME, TV_BYTES, NULL,
					      LSVD_OPEN_UNSAFE_STORE, NULL));
	ck_assert_uint_eq(said.warnings, 1);
	ck_assert_err(tv_try_open(t), LSVD_E_UNSUPPORTED);
	ck_assert_error_says("--unsafe-store");
	t->o.flags = LSVD_OPEN_UNSAFE_STORE;
	tv_open(t);
	tv_write(t, 0, 65536, 1);
	tv_reopen(t);
	tv_check_all(t);
	ck_assert_ok(lsvd_snapshot_create(t->v, "s", UINT32_MAX, NULL));
	ck_assert_uint_eq(said.warnings, 3); /* at each open, whatever was found the last time */
	tv_close(t);
	t->o.flags = LSVD_OPEN_READONLY;
	tv_open(t);
	tv_check_all(t);
	ck_assert_err(tv_close_in(t, 0), 0);
	if (!_i)
		ck_assert_err(lsvd_volume_clone(t->store, TV_NAME, "s", "clone", NULL, NULL),
			      LSVD_E_UNSUPPORTED);
	t->o.flags = LSVD_OPEN_UNSAFE_STORE;
	ck_assert_ok(lsvd_volume_clone(t->store, TV_NAME, "s", "clone", &t->o, NULL));
	ck_assert_ok(lsvd_volume_delete_flags(t->store, "clone", LSVD_OPEN_UNSAFE_STORE));
	if (!_i)
		ck_assert_err(lsvd_volume_delete(t->store, TV_NAME), LSVD_E_UNSUPPORTED);
	ck_assert_ok(lsvd_volume_delete_flags(t->store, TV_NAME, LSVD_OPEN_UNSAFE_STORE));
	ck_assert_err(lsvd_volume_delete_flags(t->store, TV_NAME, 1), -EINVAL);
	lsvd_set_log(NULL, NULL, LSVD_LOG_ERROR);
	tv_free(t);
}
END_TEST

/* _i as above. */
START_TEST(probe_of_a_value_logs_store_says_no_and_only_its_flag_overrules_it)
{
	struct tv *t = on_caps(_i ? CLAIMS : 0);
	const struct fault_rule overwrite = { .verbs = FAULT_PUT, .key = "race",
					      .kind = FAULT_OVERWRITE };
	struct lsvd_vlog_options o = LSVD_VLOG_OPTIONS_INIT;
	struct lsvd_vlog *log;

	if (_i)
		tv_fault(t, overwrite);
	ck_assert_err(lsvd_vlog_create(t->store, "log"), LSVD_E_UNSUPPORTED);
	ck_assert_err(lsvd_vlog_create_flags(t->store, "log", 1), -EINVAL);
	o.flags = LSVD_VLOG_CREATE;
	ck_assert_err(lsvd_vlog_open(&log, t->store, "log", &o), LSVD_E_UNSUPPORTED);
	o.flags = LSVD_VLOG_CREATE | LSVD_VLOG_UNSAFE_STORE;
	ck_assert_ok(lsvd_vlog_open(&log, t->store, "log", &o));
	ck_assert_ok(lsvd_vlog_close(log));
	ck_assert_err(lsvd_vlog_open(&log, t->store, "log", NULL), LSVD_E_UNSUPPORTED);
	if (!_i)
		ck_assert_err(lsvd_vlog_delete(t->store, "log"), LSVD_E_UNSUPPORTED);
	ck_assert_ok(lsvd_vlog_delete_flags(t->store, "log", LSVD_VLOG_UNSAFE_STORE));
	tv_free(t);
}
END_TEST

static Suite *volume_probe_suite(void)
{
	Suite *s = suite_create("volume_probe");
	TCase *c = tcase_create("probe"), *w = tcase_create("who");

	tcase_set_timeout(c, 60);
	tcase_add_test(c, probe_finds_the_built_in_stores_good_and_leaves_nothing);
	tcase_add_test(c, probe_finds_a_store_that_creates_what_is_there);
	tcase_add_loop_test(c, probe_finds_wrong_ranges_and_what_is_not_read_at_once, 0, 2);
	tcase_add_test(c, probe_takes_an_old_listing_for_a_help_that_fails);
	tcase_add_test(c, probe_outlives_lost_answers_and_cleans_up);
	tcase_add_test(c, probe_of_a_store_that_refuses_says_so);
	suite_add_tcase(s, c);
	tcase_set_timeout(w, 60);
	tcase_add_test(w, probe_is_made_at_creation_and_once_for_a_cache_directory);
	tcase_add_test(w, probe_is_not_made_by_readers_nor_where_the_driver_knows);
	tcase_add_loop_test(w, probe_or_driver_says_no_and_only_unsafe_store_overrules_it, 0, 2);
	tcase_add_loop_test(w, probe_of_a_value_logs_store_says_no_and_only_its_flag_overrules_it,
			    0, 2);
	suite_add_tcase(s, w);
	return s;
}

T_MAIN(volume_probe_suite)

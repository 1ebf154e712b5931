/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_sim_volume.c - a whole volume in the simulator, crashed everywhere, compared with a model.
 *
 * How it is done stands in tester.h.
 *
 * lsvd-test: timeout=600
 */
#include "tester.h"

/* What the crashes are tried in is one rollback. */
static void rolling_life(void *arg)
{
	struct tester *t = arg;
	uint64_t before = t->rollbacks;

	if (create_and_open(t)) {
		for (unsigned i = 0; i < 40; i++)
			if (i % 10 == 9)
				change_snapshot(t);
			else
				submit_one(t);
		wait_all(t);
		t->from = sim_boundaries(t->sim);
		for (unsigned i = 0; i < 20 && t->rollbacks == before && !t->failed; i++)
			roll_back(t);
		t->to = t->rollbacks > before ? sim_boundaries(t->sim) : t->from;
		check_now(t);
	}
	t->finished = true;
}

static void flatten_it(void *arg)
{
	struct tester *h = arg;

	while (!h->failed && flatten(h) == LSVD_E_UNAVAILABLE)
		sim_sleep(h->host, 1000);
	h->visited = false;
}

/* What the crashes are tried in is a clone that is made flat while it is written to. */
static void flattening_life(void *arg)
{
	struct tester *t = arg, *h = heir_of(t, CLONES - 1);
	static const enum deed deeds[] = { DEED_WRITE, DEED_SEAL, DEED_WRITE, DEED_WRITE,
					   DEED_CHECKPOINT, DEED_WRITE, DEED_WRITE, DEED_SNAPSHOT,
					   DEED_WRITE, DEED_CLONE };

	t->scripted = true;
	if (create_and_open(t)) {
		for (unsigned i = 0; i < sizeof deeds / sizeof deeds[0] && !t->failed; i++)
			(void)do_deed(t, deeds[i]);
		wait_for_operator(t);
	}
	t->scripted = false;
	h = heir_of(t, CLONES - 1); /* by its name */
	if (!t->failed && t->m.clones[CLONES - 1].state == CLONE_THERE &&
	    open_volume(h, h->host, 0)) {
		submit_one(h);
		if (t->seed % 2)
			checkpoint(h);
		t->from = sim_boundaries(t->sim);
		h->visited = true;
		sim_spawn(h->host, flatten_it, h);
		for (unsigned i = 0; i < 3; i++)
			submit_one(h);
		while (h->visited)
			sim_sleep(h->host, 1);
		t->to = sim_boundaries(t->sim);
		check_now(h);
	}
	t->finished = true;
}

/* It goes on where it was, and then the base goes. */
static void finish_flattening(struct tester *h, struct sim_host *host)
{
	int err = LSVD_E_UNAVAILABLE;

	for (unsigned i = 0; i < 50 && err == LSVD_E_UNAVAILABLE && !h->failed; i++)
		err = flatten(h);
	check_now(h);
	if (err)
		complain(h, "flatten after a crash: %s", lsvd_last_error());
	if (!h->failed && delete_patiently(h->base, host) == -EBUSY)
		complain(h, "the base of a flat clone: %s", lsvd_last_error());
}

/* The base goes at once, if nothing keeps it: then the clone has no use for it. */
static void leave_base_behind(struct tester *t, struct sim_host *host)
{
	struct tester *h = heir_of(t, CLONES - 1);
	int err;

	close_volume(t);
	err = t->failed ? 0 : delete_patiently(t, host);
	t->bases_left += !err;
	if (t->failed ||
	    !open_volume(h, host, h->bound == BY_STORE ? LSVD_OPEN_ACCEPT_ROLLBACK : 0) ||
	    !check_recovered(h))
		return;
	if (err)
		finish_flattening(h, host);
	for (unsigned i = 0; i < 2 && !h->failed; i++)
		submit_one(h);
	check_now(h);
	if (!h->failed)
		close_volume(h);
	if (!h->failed && t->states % CHECK_EVERY == 0)
		check_store(h, host);
}

static void recover_and_leave(void *arg)
{
	struct tester *t = arg;
	struct sim_host *host = t->bound == BY_STORE ? t->other : t->host;

	t->finished = false;
	settle_clones(t);
	if (open_volume(t, host, t->bound == BY_STORE ? LSVD_OPEN_ACCEPT_ROLLBACK : 0) &&
	    check_recovered(t))
		leave_base_behind(t, host);
	t->finished = !t->failed;
}

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define ROLLBACK_SEEDS 1
#define FLATTEN_SEEDS 1
#define SCRIPT_STRIDE 15
#else
#define ROLLBACK_SEEDS 3
#define FLATTEN_SEEDS 2
#define SCRIPT_STRIDE 2
#endif

START_TEST(a_workload_without_a_crash_reads_what_it_wrote)
{
	struct tester *t = &tester;

	for (uint64_t seed = 1; seed <= 40; seed++) {
		run_case(t, seed, 0, 0);
		expect_well(t, seed, 0);
		halt_all(t);
		sim_free(t->sim);
	}
}
END_TEST

START_TEST(the_same_seed_gives_the_same_digest)
{
	struct tester *t = &tester;
	uint64_t digest[2];

	for (unsigned i = 0; i < 2; i++) {
		t->states = 0; /* by it, some are checked */
		run_case(t, 5, 400, 1);
		expect_well(t, 5, 400);
		digest[i] = sim_digest(t->sim);
		sim_free(t->sim);
	}
	ck_assert_uint_eq(digest[0], digest[1]);
}
END_TEST

#define SCRIPT_TRIES 20u /* each line of the script may fail, but not in all of them */

/*
 * All that the operator can do is in it, in an order in which each has to do with the one before.
 * So many requests are passed over each time: LSVD_SIM_STRIDE=1 leaves none out.
 */
START_TEST(a_crash_anywhere_in_one_workload_leaves_a_prefix)
{
	struct tester *t = &tester;
	uint64_t seed = env_u64("LSVD_SIM_SEED", 1),
		stride = env_u64("LSVD_SIM_STRIDE", SCRIPT_STRIDE), n;

	maybe_trace();
	t->scripted = true;
	reset_counts(t);
	for (uint64_t other = 1; other <= SCRIPT_TRIES; other++)
		(void)boundaries_of(t, seed + other);
	ck_assert_uint_gt(t->clones_written, 0);
	ck_assert_uint_gt(t->clones_deleted, 0);
	ck_assert_uint_gt(t->clones_of_clones, 0);
	ck_assert_uint_gt(t->flattened, 0);
	ck_assert_uint_gt(t->bases_refused, 0);
	ck_assert_uint_gt(t->sizes, 0);
	ck_assert_uint_gt(t->rollbacks, 0);
	n = boundaries_of(t, seed);
	for (uint64_t at = env_u64("LSVD_SIM_AT", 1); at <= n; at += stride) {
		run_case(t, seed, at, 0);
		expect_well(t, seed, at);
		halt_all(t);
		sim_free(t->sim);
	}
	t->scripted = false;
	printf("%" PRIu64 " crash points, %" PRIu64 " states\n", t->points, t->states);
}
END_TEST

/*
 * So many lives, crashed at every request of what they are about. One that did not get that far,
 * since a request failed before, is none.
 */
static void crash_lives(struct tester *t, uint64_t first, unsigned lives)
{
	for (uint64_t seed = first; lives && seed < first + 50; seed++) {
		uint64_t to;

		t->from = t->to = 0;
		(void)boundaries_of(t, seed);
		to = t->to;
		lives -= to > t->from;
		for (uint64_t at = env_u64("LSVD_SIM_AT", t->from + 1); at <= to; at++) {
			run_case(t, seed, at, 0);
			expect_well(t, seed, at);
			halt_all(t);
			sim_free(t->sim);
		}
	}
}

START_TEST(a_crash_at_every_request_of_a_rollback_leaves_what_was_or_what_is_then)
{
	struct tester *t = &tester;
	uint64_t first = env_u64("LSVD_SIM_SEED", 1);

	t->first = rolling_life;
	reset_counts(t);
	crash_lives(t, first, ROLLBACK_SEEDS);
	t->first = NULL;
	printf("%" PRIu64 " crash points, %" PRIu64 " states, %" PRIu64 " of them rolled back\n",
	       t->points, t->states, t->rollbacks_found);
	ck_assert_uint_gt(t->rollbacks_found, 0);
}
END_TEST

START_TEST(a_crash_at_every_request_of_a_flattening_leaves_what_the_clone_needs)
{
	struct tester *t = &tester;
	uint64_t first = env_u64("LSVD_SIM_SEED", 1);

	maybe_trace();
	t->first = flattening_life;
	t->judge = recover_and_leave;
	reset_counts(t);
	crash_lives(t, first, FLATTEN_SEEDS);
	t->first = NULL;
	t->judge = NULL;
	printf("%" PRIu64 " crash points, %" PRIu64 " states, in %" PRIu64
	       " of them the base was left\n", t->points, t->states, t->bases_left);
	ck_assert_uint_gt(t->bases_left, 0);
	ck_assert_uint_gt(t->states, t->bases_left);
	ck_assert_uint_gt(t->flattened, 0);
}
END_TEST

/*
 * That the workloads do all they can do. A few of them need not: which ones do what changes with
 * every request more or less that the library makes.
 */
static void expect_variety(const struct tester *t, uint64_t runs)
{
	if (runs < 200)
		return;
	ck_assert_uint_gt(t->snapshots_read, 0);
	ck_assert_uint_gt(t->sizes, 0);
	ck_assert_uint_gt(t->clones_read, 0);
	ck_assert_uint_gt(t->clones_written, 0);
	ck_assert_uint_gt(t->offline_opens, 0);
	ck_assert_uint_gt(t->checks, 0);
	ck_assert_uint_gt(t->rots, 0);
}

/* The same numbers always: what CI tries is what was tried before. LSVD_SIM_RUNS for more. */
START_TEST(crashes_of_crashes_of_random_workloads_leave_a_prefix)
{
	struct tester *t = &tester;
	uint64_t first = env_u64("LSVD_TEST_SEED", 1000),
		runs = env_u64("LSVD_SIM_RUNS", USUAL_RUNS);

	maybe_trace();
	reset_counts(t);
	for (uint64_t seed = first; seed < first + runs; seed++) {
		uint64_t at = 1 + lsvd_hash_bind(seed, 1, 2, 3) % 1500;

		run_case(t, seed, at, DEPTH_MAX);
		expect_well(t, seed, at);
		halt_all(t);
		sim_free(t->sim);
	}
	printf("%" PRIu64 " runs, %" PRIu64 " crash points, %" PRIu64 " of them after a recovery, "
	       "%" PRIu64 " states, %" PRIu64 " opened offline, %" PRIu64 " with rot, %" PRIu64
	       " snapshots read; clones: %" PRIu64 " read, %" PRIu64 " written, %" PRIu64
	       " deleted, %" PRIu64 " of clones, %" PRIu64 " of a base that stayed; %" PRIu64
	       " rollbacks, %" PRIu64 " found after a crash\n", runs, t->points, t->deep, t->states,
	       t->offline_opens, t->rots, t->snapshots_read, t->clones_read, t->clones_written,
	       t->clones_deleted, t->clones_of_clones, t->bases_refused, t->rollbacks,
	       t->rollbacks_found);
	expect_variety(t, runs);
}
END_TEST

START_TEST(crashes_of_a_volume_over_a_lower_one_leave_a_prefix_over_what_that_shows)
{
	struct tester *t = &tester;
	uint64_t first = env_u64("LSVD_TEST_SEED", 5000);
	uint64_t runs = env_u64("LSVD_SIM_RUNS", USUAL_RUNS) / 5;

	maybe_trace();
	reset_counts(t);
	t->over = true;
	for (uint64_t seed = first; seed < first + runs; seed++) {
		uint64_t at = 1 + lsvd_hash_bind(seed, 1, 2, 3) % 1500;

		run_case(t, seed, at, DEPTH_MAX);
		expect_well(t, seed, at);
		halt_all(t);
		sim_free(t->sim);
	}
	t->over = false;
	printf("%" PRIu64 " runs over a lower volume, %" PRIu64 " crash points, %" PRIu64
	       " states, %" PRIu64 " snapshots and %" PRIu64 " clones read, %" PRIu64
	       " made flat, %" PRIu64 " rollbacks\n", runs, t->points, t->states, t->snapshots_read,
	       t->clones_read, t->flattened, t->rollbacks);
	ck_assert_uint_gt(t->states, 0);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("sim_volume");

	add_case(s, "workload", a_workload_without_a_crash_reads_what_it_wrote);
	add_case(s, "digest", the_same_seed_gives_the_same_digest);
	add_case(s, "script", a_crash_anywhere_in_one_workload_leaves_a_prefix);
	add_case(s, "rollback",
		 a_crash_at_every_request_of_a_rollback_leaves_what_was_or_what_is_then);
	add_case(s, "flatten",
		 a_crash_at_every_request_of_a_flattening_leaves_what_the_clone_needs);
	add_case(s, "lower",
		 crashes_of_a_volume_over_a_lower_one_leave_a_prefix_over_what_that_shows);
	add_case(s, "random", crashes_of_crashes_of_random_workloads_leave_a_prefix);
	return s;
}

T_MAIN(suite)

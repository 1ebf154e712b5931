/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_sim_hardship.c - a volume in the simulator whose host has no memory, whose disk fails, whose
 * store is away: what it keeps, what it says, and how often it asks.
 *
 * How it is done stands in tester.h.
 *
 * lsvd-test: timeout=600
 */
#include "tester.h"

#include "log/log.h"

/* The store goes away and comes back, now and then for longer than the log has room. */
static void weather(void *arg)
{
	struct tester *t = arg;

	while (!t->finished && !t->failed) {
		sim_sleep(t->other, below(t, 3000));
		sim_store_away(t->sim, true);
		sim_sleep(t->other, below(t, 4) ? below(t, 500) : below(t, 100000));
		sim_store_away(t->sim, false);
	}
}

static void hard_life(void *arg)
{
	struct tester *t = arg;
	enum hardship hard = t->hard;

	t->hard = HARD_NOTHING;
	first_life(t);
	t->finished = false;
	if (!t->failed && t->volume)
		close_volume(t);
	t->hard = hard;
	if (hard != HARD_OUTAGE)
		t->m.mirrored = false; /* it may be given up, until the next open */
	if (hard == HARD_OUTAGE)
		sim_spawn(t->other, weather, t);
	if (!t->failed && open_volume(t, t->host, 0) && !t->broken)
		work(t);
	sim_host_fail_alloc(t->host, 0, 0);
	sim_host_fail_write(t->host, 0);
	sim_host_fail_sync(t->host, 0);
	if (t->volume && lsvd_volume_status(t->volume, NULL, 0) == LSVD_E_FAILED)
		t->broken = true; /* nobody may have noticed yet */
	if (t->broken && t->volume && !t->failed)
		check_broken(t);
	t->hard = HARD_NOTHING;
	if (!t->failed && t->volume)
		close_volume(t);
	t->bound = BY_FLUSH;
	t->broken = false;
	if (!t->failed)
		recover_and_write(t);
	t->finished = true;
}

static void run_hard(struct tester *t, uint64_t seed, enum hardship hard)
{
	struct sim_options o = usual_rates;

	o.seed = seed;
	o.inline_files = seed % 5 == 0 ? 1000 : o.inline_files;
	new_model(t);
	t->sim = sim_new(&o);
	t->host = sim_host_new(t->sim, "a");
	t->other = sim_host_new(t->sim, "b");
	t->remote = seed % 4 == 3;
	t->seed = seed;
	t->collects = seed % 8 != 5;
	t->compression = 1 + seed % 3;
	t->tight = seed / 3 % 3;
	t->hard = hard;
	t->broken = t->failed = false;
	t->ops_wanted = 60;
	run_phase(t, hard_life, t->host);
	if (sim_run_until(t->sim, phase_over, t) != SIM_MORE)
		complain(t, "the workload hangs");
	expect_well(t, seed, 0);
	halt_all(t);
	sim_free(t->sim);
	t->hard = HARD_NOTHING;
}

static void run_hardships(enum hardship hard)
{
	uint64_t first = env_u64("LSVD_TEST_SEED", 1000),
		runs = env_u64("LSVD_SIM_RUNS", USUAL_RUNS);

	maybe_trace();
	for (uint64_t seed = first; seed < first + runs; seed++)
		run_hard(&tester, seed, hard);
}

START_TEST(allocations_that_fail_lose_nothing_and_hang_nothing)
{
	run_hardships(HARD_MEMORY);
}
END_TEST

START_TEST(a_local_disk_that_fails_ends_writing_and_keeps_what_was_flushed)
{
	run_hardships(HARD_DISK);
}
END_TEST

START_TEST(outages_are_waited_out_also_when_the_log_is_full)
{
	run_hardships(HARD_OUTAGE);
}
END_TEST

/* Claims cannot be asked for; everything else is as usual. */
static int refuse_looks(void *ctx, struct sim_host *h, enum io_kind kind, const char *key,
			const uint8_t *bytes, size_t len)
{
	(void)h, (void)key, (void)bytes, (void)len;
	if (kind != IO_HEAD)
		return SIM_AS_USUAL;
	++*(unsigned *)ctx;
	return LSVD_E_UNAVAILABLE;
}

static void count_looks(struct tester *t, unsigned *looks)
{
	sim_store_watch(t->sim, refuse_looks, looks);
	if (t->remote)
		submit_this(t, true); /* chance may want none */
	for (unsigned i = 0; i < 600 && !t->failed; i++) {
		if (t->m.issued < OPS_MAX && !(t->remote && i + 1 >= IN_FLIGHT))
			submit_one(t); /* what flushes must not wait for a place: none ends */
		sim_sleep(t->host, 100);
	}
	sim_store_watch(t->sim, NULL, NULL);
}

static void looking_life(void *arg)
{
	struct tester *t = arg;
	unsigned looks = 0;

	t->ops_wanted = 10;
	first_life(t);
	t->finished = false;
	if (!t->failed && !t->volume)
		(void)open_volume(t, t->host, 0);
	if (!t->failed)
		count_looks(t, &looks);
	if (!t->failed)
		close_volume(t);
	if (looks > 60)
		complain(t, "%u looks in a minute", looks);
	if (!looks)
		complain(t, "no looks at all");
	t->finished = true;
}

START_TEST(a_flush_that_cannot_look_for_a_claim_asks_ever_more_rarely)
{
	run_plain(looking_life, true);
}
END_TEST

START_TEST(a_writer_that_cannot_look_for_a_claim_asks_no_more_often)
{
	run_plain(looking_life, false);
}
END_TEST

#define STALL_MS 10000u

/*
 * Away; back for half a second, nine seconds later; and away again for less than a stall may take.
 */
static void two_outages(void *arg)
{
	struct tester *t = arg;

	sim_store_away(t->sim, true);
	sim_sleep(t->other, 9000);
	sim_store_away(t->sim, false);
	lsvd_port_enter(&t->volume->port); /* a pause may be longer than the store is back */
	lsvd_log_retry(t->volume->log);
	lsvd_port_leave(&t->volume->port, false);
	sim_sleep(t->other, 500);
	sim_store_away(t->sim, true);
	sim_sleep(t->other, 4000);
	sim_store_away(t->sim, false);
}

/* Writes for so long, ten a second; the first error. */
static int write_for(struct tester *t, uint64_t ms)
{
	uint64_t until = sim_now_ms(t->sim) + ms;
	static uint8_t data[16384];
	int err = 0;

	while (!err && sim_now_ms(t->sim) < until) {
		sim_sleep(t->host, 10);
		err = lsvd_volume_write(t->volume, data, place_of(0), sizeof data, 0);
	}
	return err;
}

static void stalling_life(void *arg)
{
	struct tester *t = arg;
	struct lsvd_volume_options o = options_of(t, 0);
	uint64_t began;

	o.stall_timeout_ms = STALL_MS;
	if (lsvd_volume_create_world(sim_host_world(t->host), "v", BYTES, NULL, NULL) < 0 ||
	    lsvd_volume_open_world(&t->volume, sim_host_world(t->host), "v", &o) < 0)
		complain(t, "open: %s", lsvd_last_error());
	if (t->failed)
		return;
	sim_spawn(t->other, two_outages, t);
	if (write_for(t, 20000))
		complain(t, "a write failed in a stall of less than its time: %s",
			 lsvd_last_error());
	sim_store_away(t->sim, true);
	if (write_for(t, 20000) != -EIO)
		complain(t, "no write gave up");
	began = sim_now_ms(t->sim);
	if (write_for(t, 20000) != -EIO || sim_now_ms(t->sim) < began + STALL_MS)
		complain(t, "the next write did not wait as long: %" PRIu64 " ms",
			 sim_now_ms(t->sim) - began);
	sim_store_away(t->sim, false);
	if (!t->failed && lsvd_volume_close(t->volume, UINT32_MAX) != 0)
		complain(t, "close: %s", lsvd_last_error());
	t->finished = true;
}

START_TEST(each_stall_has_its_own_time)
{
	run_plain(stalling_life, false);
}
END_TEST

/* After so many GETs that are answered nothing is, of any kind. */
struct silence {
	unsigned answered, gets;
};

static int fall_silent(void *ctx, struct sim_host *h, enum io_kind kind, const char *key,
		       const uint8_t *bytes, size_t len)
{
	struct silence *s = ctx;

	(void)h, (void)key, (void)bytes, (void)len;
	s->gets += kind == IO_GET;
	return s->gets <= s->answered ? SIM_AS_USUAL : LSVD_E_UNAVAILABLE;
}

static void write_twice(struct tester *t)
{
	static uint8_t data[SECTOR_BYTES];
	int err = lsvd_volume_gc_control(t->volume, LSVD_GC_PAUSE);

	for (unsigned turn = 0; turn < 2; turn++)
		for (uint32_t i = 0; i < SECTORS && !err; i += 1 + turn) {
			fill_sector(data, turn, i);
			err = lsvd_volume_write(t->volume, data, place_of(i), sizeof data, 0);
		}
	if (!err)
		err = lsvd_volume_sync(t->volume, UINT32_MAX);
	if (err)
		complain(t, "%s", lsvd_last_error());
}

static struct lsvd_gc_status collection_of(struct tester *t)
{
	struct lsvd_gc_status s = { .size = sizeof s };

	if (lsvd_volume_gc_status(t->volume, &s) < 0)
		complain(t, "%s", lsvd_last_error());
	return s;
}

/* Half of what is stored is dead when the store falls silent. */
static void collect_in_silence(struct tester *t, unsigned answered)
{
	struct silence silence = { .answered = answered };
	struct lsvd_gc_status before, after;

	write_twice(t);
	before = collection_of(t);
	sim_store_watch(t->sim, fall_silent, &silence);
	if (lsvd_volume_gc_control(t->volume, LSVD_GC_RESUME) < 0)
		complain(t, "%s", lsvd_last_error());
	sim_sleep(t->host, 90000);
	after = collection_of(t);
	sim_store_watch(t->sim, NULL, NULL);
	if (after.failed_rounds < before.failed_rounds + 2)
		complain(t, "it is not tried again");
	if (silence.gets > answered + 130)
		complain(t, "%u GETs in 90 s without an answer", silence.gets - answered);
	sim_sleep(t->host, 60000);
	before = after;
	after = collection_of(t);
	if (after.rounds - after.failed_rounds <= before.rounds - before.failed_rounds)
		complain(t, "no round succeeds when the store is back");
}

static void collecting_life(void *arg)
{
	struct tester *t = arg;

	t->collects = true;
	if (create_and_open(t))
		for (unsigned answered = 0; answered <= 12 && !t->failed; answered += 6)
			collect_in_silence(t, answered);
	if (!t->failed)
		close_volume(t);
	t->finished = true;
}

START_TEST(garbage_collection_asks_ever_more_rarely_while_the_store_is_away)
{
	run_plain(collecting_life, false);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("sim_hardship");

	add_case(s, "memory", allocations_that_fail_lose_nothing_and_hang_nothing);
	add_case(s, "disk", a_local_disk_that_fails_ends_writing_and_keeps_what_was_flushed);
	add_case(s, "outage", outages_are_waited_out_also_when_the_log_is_full);
	add_case(s, "look", a_flush_that_cannot_look_for_a_claim_asks_ever_more_rarely);
	add_case(s, "lease", a_writer_that_cannot_look_for_a_claim_asks_no_more_often);
	add_case(s, "stall", each_stall_has_its_own_time);
	add_case(s, "silence", garbage_collection_asks_ever_more_rarely_while_the_store_is_away);
	return s;
}

T_MAIN(suite)

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_sim_rival.c - two hosts at one volume in the simulator: both write to it, or one deletes
 * what the other opens, or makes a clone of.
 *
 * How it is done stands in tester.h.
 *
 * lsvd-test: timeout=600
 */
#include "tester.h"

#include "log/lineage.h"
#include "volume/vol_clone.h"

#define ENOUGH_RUNS 20 /* for some of all that may come of it; it is half of them, or a tenth */

static struct tester rival_heirs[CLONES];
static struct tester rival = { .name = "v", .heirs = rival_heirs };

/* The first writer is stopped in its tracks now and then, while it lasts. */
static void freezer(void *arg)
{
	struct tester *t = arg;
	while (!t->finished && !t->failed) {
		sim_sleep(t->other, below(t, 2000));
		sim_host_freeze(t->host, true);
		sim_sleep(t->other, below(t, 20000));
		sim_host_freeze(t->host, false);
	}
}

static void first_writer(void *arg)
{
	struct tester *t = arg;

	t->hard = HARD_RIVAL;
	while (!t->failed && !t->broken && t->m.issued + 50 < OPS_MAX) {
		work(t);
		if (t->remote && !t->broken)
			sim_sleep(t->host, below(t, 5000));
	}
	if (!t->failed && lsvd_volume_status(t->volume, NULL, 0) == LSVD_E_FENCED)
		t->broken = true;
	if (!t->failed && t->broken)
		check_broken(t);
	else if (!t->failed)
		close_volume(t);
	t->finished = true;
}

/* The second takes the volume over, and goes on from what it finds. */
static void second_writer(void *arg)
{
	struct tester *t = arg, *first = &tester;
	struct lsvd_stats stats = LSVD_STATS_INIT;
	static struct memory known;

	sim_sleep(t->host, below(t, 10000));
	t->m.chunks = 0; /* not known */
	if (!open_volume(t, t->host, LSVD_OPEN_ACCEPT_ROLLBACK))
		return;
	if (lsvd_volume_stats(t->volume, &stats) < 0)
		complain(t, "no statistics");
	remember(&known, first);
	recall(t, &known);
	check_size(t);
	t->m.tags = 1u << 20;
	cut_history(t, (uint32_t)stats.last_op);
	t->m.flushed = t->m.stored = t->m.issued;
	if (!read_image(t))
		return;
	settle_rollback(t, t->m.issued);
	if (distance(t, t->m.issued, false))
		explain(t, t->m.issued);
	t->ops_wanted = 40;
	if (!t->failed)
		work(t);
	if (!t->failed)
		close_volume(t);
	t->finished = true;
}

/*
 * The first one's cache comes back: it is refused, or shows what the second one made. What either
 * has deleted is needed by nothing, be it the volume, a snapshot or a clone.
 */
static void come_back(void *arg)
{
	struct tester *t = arg;
	struct lsvd_volume_options o;
	int err = LSVD_E_UNAVAILABLE;

	check_store(t, t->other);
	for (unsigned i = 0; i < CLONES && !t->failed; i++)
		if (t->m.clones[i].state == CLONE_THERE)
			check_store(heir_of(t, i), t->other);
	t->remote = tester.remote;
	o = options_of(t, 0);
	for (unsigned i = 0; err == LSVD_E_UNAVAILABLE && i < 50; i++)
		err = lsvd_volume_open_world(&t->volume, sim_host_world(t->other), "v", &o);
	if (!err)
		check_now(t);
	else if (err != LSVD_E_FOREIGN_CACHE)
		complain(t, "the old cache: %s: %s", lsvd_error_name(err), lsvd_last_error());
	t->finished = true;
}

static bool both_over(void *ctx)
{
	(void)ctx;
	return (tester.finished && rival.finished) || tester.failed || rival.failed;
}

static bool rival_over(void *ctx)
{
	(void)ctx;
	return rival.finished || rival.failed;
}

static void check_duel(struct tester *t, uint32_t taken_at)
{
	if (t->m.stored > taken_at)
		complain(t, "operation %u was stored, the second writer begins after %u",
			 t->m.stored, taken_at);
	if (t->remote && t->m.flushed > taken_at)
		complain(t, "operation %u was flushed to the store, the second writer begins "
			 "after %u", t->m.flushed, taken_at);
}

static void run_duel(uint64_t seed)
{
	struct tester *t = &tester;
	struct sim_options o = usual_rates;

	o.seed = seed;
	new_model(t);
	t->sim = rival.sim = sim_new(&o);
	t->host = rival.other = sim_host_new(t->sim, "a");
	t->other = rival.host = sim_host_new(t->sim, "b");
	t->remote = rival.remote = seed % 2;
	t->seed = rival.seed = seed;
	t->collects = rival.collects = true;
	t->compression = rival.compression = LSVD_COMPRESS_LZ4;
	t->broken = t->failed = rival.failed = rival.finished = false;
	t->hard = rival.hard = HARD_NOTHING;
	t->in_duel = rival.in_duel = true;
	cloned_in_duel = false;
	t->ops_wanted = 20;
	t->volume = NULL;
	run_phase(t, first_life, t->host);
	(void)sim_run_until(t->sim, phase_over, t);
	if (!t->failed && !t->volume) {
		halt_all(t);
		sim_free(t->sim);
		t->in_duel = cloned_in_duel = false;
		return; /* closed: there is nobody to be fenced */
	}
	t->finished = false;
	begin_phases(&rival);
	sim_spawn(t->host, first_writer, t);
	sim_spawn(t->other, freezer, t);
	sim_spawn(rival.host, second_writer, &rival);
	if (sim_run_until(t->sim, both_over, t) != SIM_MORE)
		complain(t, "the writers hang");
	expect_well(&rival, seed, 0);
	check_duel(t, rival.recovered);
	t->points += t->broken;
	expect_well(t, seed, 0);
	rival.finished = false;
	sim_spawn(t->host, come_back, &rival);
	if (sim_run_until(t->sim, rival_over, t) != SIM_MORE)
		complain(&rival, "coming back hangs");
	expect_well(&rival, seed, 0);
	halt_all(t);
	sim_free(t->sim);
	t->hard = HARD_NOTHING;
	t->in_duel = cloned_in_duel = false;
}

START_TEST(a_second_writer_loses_nothing_that_the_first_was_promised)
{
	uint64_t first = env_u64("LSVD_TEST_SEED", 1000),
		runs = env_u64("LSVD_SIM_RUNS", USUAL_RUNS);

	maybe_trace();
	tester.points = 0;
	for (uint64_t seed = first; seed < first + runs; seed++)
		run_duel(seed);
	printf("%" PRIu64 " duels, %" PRIu64 " of them fenced a writer\n", runs, tester.points);
	ck_assert(runs < ENOUGH_RUNS || tester.points);
}
END_TEST

/* What is known of it; 1: not yet, or never. */
static struct {
	int cloned, deleted, also_deleted;
	bool of_snapshot;        /* that is what is deleted, else the volume */
	struct uuid uuid;        /* the volume's */
} quarrel;

static void prepare_quarrel(void *arg)
{
	struct tester *t = arg;

	t->ops_wanted = 6;
	first_life(t);
	t->finished = false;
	if (!t->failed && !t->volume)
		(void)open_volume(t, t->host, 0);
	t->scripted = true; /* the snapshot that clones are made of */
	for (unsigned i = 0; i < 20 && !t->failed &&
			     t->m.snapshots[SNAPSHOTS - 1].state != SNAP_THERE; i++)
		change_snapshot(t);
	t->scripted = false;
	if (!t->failed)
		quarrel.uuid = t->volume->uuid;
	if (!t->failed && !quarrel.of_snapshot)
		close_volume(t);
	t->finished = true;
}

static void quarrel_delete(void *arg)
{
	struct tester *t = arg;
	char name[8];

	sim_sleep(t->host, below(t, quarrel.also_deleted > 0 ? 30 : 120));
	snapshot_name(name, SNAPSHOTS - 1);
	quarrel.deleted = quarrel.of_snapshot
				  ? lsvd_snapshot_delete(t->volume, name, UINT32_MAX)
				  : lsvd_volume_delete_world(sim_host_world(t->host), t->name);
}

static void quarrel_delete_too(void *arg)
{
	struct tester *t = arg;

	sim_sleep(t->other, below(t, 30));
	quarrel.also_deleted = lsvd_volume_delete_world(sim_host_world(t->other), t->name);
}

static void quarrel_clone(void *arg)
{
	struct tester *t = arg;
	char name[8];

	sim_sleep(t->other, below(t, 30));
	snapshot_name(name, SNAPSHOTS - 1);
	quarrel.cloned = lsvd_volume_clone_world(sim_host_world(t->other), t->name, name,
						 t->heirs[0].name);
}

static bool quarrel_over(void *ctx)
{
	struct tester *t = ctx;

	return t->failed ||
	       (quarrel.cloned <= 0 && quarrel.deleted <= 0 && quarrel.also_deleted <= 0);
}

/*
 * What a deleter gave back must be whole, and what one has deleted must be nowhere. What had no
 * answer, or is of one that died, may come late, be it a claim or the removal of a name: no store
 * has one on condition.
 */
static void check_kept(struct tester *t)
{
	bool gone = quarrel.deleted == 0 || quarrel.also_deleted == 0;
	bool refused = quarrel.deleted == -EBUSY && quarrel.also_deleted == -EBUSY;
	struct lsvd_volume_options o = LSVD_VOLUME_OPTIONS_INIT;
	struct sim_stats stats;
	struct lsvd_volume *v;
	int err;

	sim_stats(t->sim, &stats);
	o.flags = LSVD_OPEN_READONLY;
	o.read_timeout_ms = 3600000;
	err = lsvd_volume_open_world(&v, sim_host_world(t->other), t->name, &o);
	if (err == -ENOENT && refused && !stats.ghosts)
		complain(t, "whose deletion is refused is not there: %s", lsvd_last_error());
	if (err)
		return;
	if (gone)
		complain(t, "what was deleted is there");
	else if (read_from(t, v) && distance(t, t->m.issued, false))
		complain(t, "what was given back is not whole");
	(void)lsvd_volume_close(v, 0); /* a reader has nothing to lose */
}

/* Wherever the deleters died: what has no name does not come back, and may go without one. */
static void check_name(struct tester *t)
{
	struct visit visit;
	bool gone = false;
	int err;

	if (exists(t))
		return;
	err = lsvd_visit_begin_world(&visit, sim_host_world(t->other));
	if (err) {
		complain(t, "no memory to look");
		return;
	}
	for (unsigned i = 0; i < 50 && !gone; i++)
		gone = lsvd_lineage_is_gone(&visit.port, &quarrel.uuid); /* or nobody could tell */
	lsvd_visit_end(&visit);
	if (!gone)
		complain(t, "it has no name, and was not deleted for good");
}

/*
 * The record of a clone that was not made may be there, come late:
 * then it leads to the clone, or nowhere.
 */
static void check_quarrel(void *arg)
{
	struct lsvd_volume_options o = LSVD_VOLUME_OPTIONS_INIT;
	struct tester *t = arg, *h = &t->heirs[0];
	struct lsvd_volume *v = NULL;

	o.flags = LSVD_OPEN_READONLY;
	check_name(t);
	/* Whoever died in the middle of the deletion, the next one finds the clone's entry. */
	if (quarrel.cloned == 0 && lsvd_volume_delete_world(sim_host_world(t->other), t->name) == 0)
		complain(t, "what a clone stands on was deleted by the next one");
	if (quarrel.cloned == 0 ||
	    lsvd_volume_open_world(&v, sim_host_world(t->other), h->name, &o) == 0)
		check_past(h, t->other, NULL, h->m.issued);
	if (v)
		(void)lsvd_volume_close(v, 0); /* a reader has nothing to lose */
	if (!quarrel.of_snapshot && !t->failed)
		check_kept(t);
	t->finished = true;
}

static void run_quarrel(struct tester *t, uint64_t seed, bool two, uint64_t *cloned,
			uint64_t *deleted)
{
	static const struct sim_loss killed = { .keep = SIM_KILLED };
	struct sim_options o = usual_rates;

	o.seed = seed;
	o.fail_late = 30;
	new_model(t);
	t->sim = sim_new(&o);
	t->host = sim_host_new(t->sim, "a");
	t->other = sim_host_new(t->sim, "b");
	t->remote = false;
	t->compression = LSVD_COMPRESS_LZ4;
	t->failed = false;
	quarrel.of_snapshot = !two && seed % 2;
	quarrel.cloned = quarrel.deleted = 1;
	quarrel.also_deleted = two ? 1 : -1;
	run_phase(t, prepare_quarrel, t->host);
	(void)sim_run_until(t->sim, phase_over, t);
	t->m.clones[0].generation = 900; /* a name that the life before has not given */
	(void)heir_of(t, 0);
	inherit(&t->heirs[0], t, t->m.snapshots[SNAPSHOTS - 1].op);
	sim_spawn(t->host, quarrel_delete, t);
	sim_spawn(t->other, quarrel_clone, t);
	if (two)
		sim_spawn(t->other, quarrel_delete_too, t);
	sim_stop_at(t->sim, seed % 3 ? sim_boundaries(t->sim) + 1 + below(t, 200) : 0);
	(void)sim_run_until(t->sim, quarrel_over, t);
	sim_stop_at(t->sim, 0);
	halt_all(t);
	settle_both(t, &killed);
	if (below(t, 2))
		sim_ghosts_land(t->sim);
	if (!t->failed && quarrel.cloned == 0 &&
	    (quarrel.deleted == 0 || quarrel.also_deleted == 0))
		complain(t, "it is deleted, and there is a clone of it");
	if (!t->failed && quarrel.cloned == 0 && !exists(&t->heirs[0]))
		complain(t, "the clone is gone");
	*cloned += quarrel.cloned == 0;
	*deleted += quarrel.deleted == 0 || quarrel.also_deleted == 0;
	run_phase(t, check_quarrel, t->other);
	if (!t->failed && sim_run_until(t->sim, phase_over, t) != SIM_MORE)
		complain(t, "the clone cannot be opened");
	expect_well(t, seed, 0);
	halt_all(t);
	sim_free(t->sim);
}

static void run_quarrels(bool two)
{
	uint64_t first = env_u64("LSVD_TEST_SEED", 1000), cloned = 0, deleted = 0;
	uint64_t runs = (two ? 10 : 25) * env_u64("LSVD_SIM_RUNS", USUAL_RUNS); /* each is short */

	maybe_trace();
	for (uint64_t seed = first; seed < first + runs; seed++)
		run_quarrel(&tester, seed, two, &cloned, &deleted);
	printf("%" PRIu64 " quarrels: %" PRIu64 " clones made, %" PRIu64 " deletions\n", runs,
	       cloned, deleted);
	ck_assert(runs < 25 * ENOUGH_RUNS || (cloned && deleted));
}

START_TEST(what_is_deleted_while_it_is_cloned_goes_or_has_a_clone)
{
	run_quarrels(false);
}
END_TEST

START_TEST(what_one_deleter_gives_back_the_other_does_not_take)
{
	run_quarrels(true);
}
END_TEST

/* ---- one opens what another deletes */

/* What is known of either; 1: not yet, or never. */
static struct {
	int opened, deleted;
	bool reads;
	uint64_t served, refused, deletions;
} eviction;

static void evict_delete(void *arg)
{
	struct tester *t = arg;

	sim_sleep(t->host, below(t, 60));
	eviction.deleted = lsvd_volume_delete_world(sim_host_world(t->host), t->name);
}

/* 0 or the reason why there is none: that it is going, or what may happen to any opener. */
static int open_going(struct tester *t, struct sim_host *host, bool reads, struct lsvd_volume **ret)
{
	struct lsvd_volume_options o = options_of(t, reads ? LSVD_OPEN_READONLY
							   : LSVD_OPEN_ACCEPT_ROLLBACK);
	int err;

	o.cache_dir = reads ? NULL : o.cache_dir;
	o.flush = LSVD_FLUSH_REMOTE;
	o.gc = LSVD_GC_OFF;
	o.segment_fn = NULL;
	*ret = NULL;
	err = lsvd_volume_open_world(ret, sim_host_world(host), t->name, &o);
	if (err && err != -ENOENT && err != LSVD_E_UNAVAILABLE && (err != LSVD_E_FENCED || reads))
		complain(t, "open of what is being deleted: %s: %s", lsvd_error_name(err),
			 lsvd_last_error());
	return err;
}

/* Who got in writes when the deletion is over: nobody is told that the store has it. */
static void evict_open(void *arg)
{
	static const uint8_t block[4096];
	struct tester *t = arg;
	struct lsvd_volume *v;
	int err;

	sim_sleep(t->other, below(t, 120));
	err = open_going(t, t->other, eviction.reads, &v);
	if (v && !eviction.reads) {
		while (eviction.deleted > 0)
			sim_sleep(t->other, 10);
		if (eviction.deleted == 0 && lsvd_volume_write(v, block, 0, sizeof block, 0) == 0 &&
		    lsvd_volume_flush(v) == 0)
			complain(t, "a flush to the store of what is deleted");
	}
	if (v)
		(void)lsvd_volume_close(v, 0); /* it may be in the way of a deletion */
	eviction.opened = err;
}

static bool eviction_over(void *ctx)
{
	struct tester *t = ctx;

	return t->failed || (eviction.opened <= 0 && eviction.deleted <= 0);
}

/* It is there, whole, or it is not. */
static int look_at_evicted(struct tester *t, struct sim_host *host, bool reads)
{
	int err = LSVD_E_UNAVAILABLE;
	struct lsvd_volume *v;

	for (unsigned i = 0; i < 50 && err == LSVD_E_UNAVAILABLE && !t->failed; i++) {
		sim_sleep(host, 1000 * i);
		err = open_going(t, host, reads, &v);
	}
	if (err)
		return err;
	if (read_from(t, v) && distance(t, t->m.issued, false))
		explain(t, t->m.issued);
	(void)lsvd_volume_close(v, 0); /* nothing was written */
	return 0;
}

static void check_evicted(void *arg)
{
	struct tester *t = arg;
	int first = look_at_evicted(t, t->other, true), second;

	second = t->failed ? 0 : look_at_evicted(t, t->other, false);
	/* The claim of a deleter who died may come late. */
	if ((first == -ENOENT || eviction.deleted == 0) && second != -ENOENT)
		complain(t, "a deletion (%d): a reader finds %d, a writer %d", eviction.deleted,
			 first, second);
	if (!t->failed && exists(t) && delete_patiently(t, t->other) == 0 &&
	    look_at_evicted(t, t->other, true) != -ENOENT)
		complain(t, "what is deleted can be opened");
	t->finished = true;
}

static void run_eviction(struct tester *t, uint64_t seed)
{
	static const struct sim_loss killed = { .keep = SIM_KILLED };
	struct sim_options o = usual_rates;

	o.seed = seed;
	new_model(t);
	t->sim = sim_new(&o);
	t->host = sim_host_new(t->sim, "a");
	t->other = sim_host_new(t->sim, "b");
	t->remote = t->failed = quarrel.of_snapshot = false;
	t->compression = LSVD_COMPRESS_LZ4;
	eviction.reads = seed % 2;
	eviction.opened = eviction.deleted = 1;
	run_phase(t, prepare_quarrel, t->host);
	(void)sim_run_until(t->sim, phase_over, t);
	sim_spawn(t->host, evict_delete, t);
	sim_spawn(t->other, evict_open, t);
	sim_stop_at(t->sim, seed % 5 ? sim_boundaries(t->sim) + 1 + below(t, 400) : 0);
	if (sim_run_until(t->sim, eviction_over, t) == SIM_IDLE)
		complain(t, "deletion and open hang");
	sim_stop_at(t->sim, 0);
	halt_all(t);
	settle_both(t, &killed);
	if (below(t, 2))
		sim_ghosts_land(t->sim);
	eviction.served += eviction.opened == 0;
	eviction.refused += eviction.opened < 0;
	eviction.deletions += eviction.deleted == 0;
	if (!t->failed && t->m.stored == t->m.issued) { /* else it was not closed */
		run_phase(t, check_evicted, t->other);
		if (sim_run_until(t->sim, phase_over, t) != SIM_MORE)
			complain(t, "what was being deleted: an opener hangs");
	}
	expect_well(t, seed, 0);
	halt_all(t);
	sim_free(t->sim);
}

START_TEST(what_is_being_deleted_is_opened_whole_or_not_at_all)
{
	uint64_t first = env_u64("LSVD_TEST_SEED", 1000);
	uint64_t runs = 10 * env_u64("LSVD_SIM_RUNS", USUAL_RUNS); /* each is short */

	maybe_trace();
	eviction.served = eviction.refused = eviction.deletions = 0;
	for (uint64_t seed = first; seed < first + runs; seed++)
		run_eviction(&tester, seed);
	printf("%" PRIu64 " evictions: %" PRIu64 " opened, %" PRIu64 " refused, %" PRIu64
	       " deletions\n", runs, eviction.served, eviction.refused, eviction.deletions);
	ck_assert_uint_gt(eviction.served, 0);
	ck_assert_uint_gt(eviction.refused, 0);
	ck_assert_uint_gt(eviction.deletions, 0);
}
END_TEST

/* ---- the store shows what has been removed */

static struct {
	struct sim *sim;
	char prefix[KEY_CAP], one[KEY_CAP], other[KEY_CAP];
	unsigned lists;
} turns;

/* Now the one object is listed, now the other, however often they are removed. */
static int list_by_turns(void *ctx, struct sim_host *h, enum io_kind kind, const char *key,
			 const uint8_t *bytes, size_t len)
{
	(void)ctx, (void)h, (void)bytes, (void)len;
	if (kind != IO_LIST || strcmp(key, turns.prefix) != 0)
		return SIM_AS_USUAL;
	ck_assert_uint_lt(++turns.lists, 100);
	sim_store_remove(turns.sim, turns.lists % 2 ? turns.other : turns.one);
	sim_store_put(turns.sim, turns.lists % 2 ? turns.one : turns.other, "x", 1);
	return SIM_AS_USUAL;
}

START_TEST(a_deletion_ends_though_old_listings_take_turns)
{
	struct lsvd_volume_info info = LSVD_VOLUME_INFO_INIT;
	struct sim_host *h;
	struct world *w;
	struct uuid u;

	turns.sim = sim_new(&(struct sim_options){ .seed = 1 });
	turns.lists = 0;
	h = sim_host_new(turns.sim, "a");
	w = sim_host_world(h);
	(void)sim_act_as(h);
	ck_assert_ok(lsvd_volume_create_world(w, "v", BYTES, NULL, &info));
	ck_assert(lsvd_uuid_parse(&u, info.uuid));
	lsvd_key_prefix(turns.prefix, &u, 0);
	lsvd_key_free(turns.one, &u, 1, 1);
	lsvd_key_free(turns.other, &u, 1, 2);
	sim_store_watch(turns.sim, list_by_turns, NULL);
	ck_assert_err(lsvd_volume_delete_world(w, "v"), LSVD_E_UNAVAILABLE);
	ck_assert_error_says("still listed");
	(void)sim_act_as(NULL);
	sim_free(turns.sim);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("sim_rival");

	add_case(s, "rival", a_second_writer_loses_nothing_that_the_first_was_promised);
	add_case(s, "eviction", what_is_being_deleted_is_opened_whole_or_not_at_all);
	add_case(s, "quarrel", what_is_deleted_while_it_is_cloned_goes_or_has_a_clone);
	add_case(s, "quarrel", what_one_deleter_gives_back_the_other_does_not_take);
	add_case(s, "listings", a_deletion_ends_though_old_listings_take_turns);
	return s;
}

T_MAIN(suite)

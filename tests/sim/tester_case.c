/* SPDX-License-Identifier: BSD-2-Clause */
/* tester_case.c - one run: a life up to a crash, each loss that may come of it, the next life. */
#include "tester.h"

static void begin_phase(struct tester *t)
{
	t->volume = NULL;
	t->finished = t->offline = t->unseen = t->visited = false;
	t->errand = ERRAND_NONE;
	memset(t->slots, 0, sizeof t->slots);
}

/* A clone is worked on as its base is, from the same host. */
void begin_phases(struct tester *t)
{
	begin_phase(t);
	for (unsigned i = 0; i < CLONES; i++) {
		struct tester *h = &t->heirs[i];

		begin_phase(h);
		h->base = t;
		h->sim = t->sim;
		h->host = t->host;
		h->other = t->other;
		h->remote = t->remote;
		h->seed = t->seed;
		h->collects = t->collects;
		h->compression = t->compression;
		h->tight = t->tight;
		h->failed = h->scripted = false;
		h->hard = HARD_NOTHING;
	}
}

void run_phase(struct tester *t, void (*life)(void *), struct sim_host *host)
{
	begin_phases(t);
	sim_store_watch(t->sim, NULL, NULL);
	sim_spawn(host, life, t);
}

void halt_all(struct tester *t)
{
	sim_host_halt(t->host);
	sim_host_halt(t->other);
}

const struct sim_options usual_rates = {
	.fail_before = 10, .fail_after = 10, .fail_late = 5, .slow = 5, .inline_files = 300,
	.ghosts = 20,
};

bool phase_over(void *ctx)
{
	struct tester *t = ctx;

	return t->finished || t->failed;
}

/*
 * One state: restored, settled by the loss, recovered. Deep states go on with another life that is
 * crashed in its turn.
 */
static void try_state(struct tester *t, const struct memory *before, const struct sim_image *image,
		      const struct sim_loss *loss, bool lost_cache)
{
	struct sim_host *host = lost_cache ? t->other : t->host;

	sim_image_restore(t->sim, image);
	sim_host_settle(t->host, loss);
	sim_host_settle(t->other, loss);
	recall(t, before);
	t->bound = lost_cache ? BY_STORE : loss->keep == SIM_KILLED ? BY_ACK : BY_FLUSH;
	run_phase(t, t->judge ? t->judge : recover_and_write, host);
	(void)sim_run_until(t->sim, phase_over, t);
	t->states++;
	if (!t->failed && !t->finished)
		complain(t, "recovery hangs");
	halt_all(t);
}

void settle_both(struct tester *t, const struct sim_loss *loss)
{
	sim_host_settle(t->host, loss);
	sim_host_settle(t->other, loss);
}

/*
 * The run stands at a crash point, machines off: every loss is tried from here, then one of them is
 * taken for the next life. False when a check failed.
 */
static bool try_point(struct tester *t, struct sim_loss *taken)
{
	struct sim_loss losses[LOSSES_MAX];
	struct sim_image *image = sim_image_take(t->sim);
	struct memory before;
	unsigned n = sim_losses(t->host, losses, LOSSES_MAX - 2);
	static const struct sim_loss killed = { .keep = SIM_KILLED };

	remember(&before, t);
	losses[n++] = killed;
	t->points++;
	for (unsigned i = 0; i < n && !t->failed; i++) {
		try_state(t, &before, image, &losses[i], false);
		if (t->failed)
			(void)fprintf(stderr, "loss: keep %d which %u tear %d objects %d\n",
				      losses[i].keep, losses[i].which, losses[i].tear,
				      losses[i].objects);
	}
	if (!t->failed)
		try_state(t, &before, image, &losses[below(t, n)], true);
	*taken = losses[below(t, n)];
	if (!t->failed) {
		sim_image_restore(t->sim, image);
		recall(t, &before);
	}
	sim_image_free(image);
	return !t->failed;
}

static struct tester heirs[CLONES];
struct tester tester = { .name = "v", .heirs = heirs };

/* Before what is to be crashed. */
static void found_lower(void *arg)
{
	struct tester *t = arg;
	struct lsvd_volume_options o = options_of(t, 0);
	struct world *w = sim_host_world(t->host);
	struct lsvd_volume *v = NULL;
	uint8_t data[SECTOR_BYTES];
	int err = LSVD_E_UNAVAILABLE;

	o.segment_fn = NULL;
	for (unsigned i = 0; err == LSVD_E_UNAVAILABLE && i < 50; i++)
		err = lsvd_volume_create_world(w, "low", LOWER_SECTORS / CHUNK * CHUNK_SPAN, NULL,
					       NULL);
	err = LSVD_E_UNAVAILABLE;
	for (unsigned i = 0; err == LSVD_E_UNAVAILABLE && i < 50; i++)
		err = lsvd_volume_open_world(&v, w, "low", &o);
	for (uint32_t i = 0; i < LOWER_SECTORS && !err; i++) {
		fill_sector(data, LOWER_TAG, i);
		err = lsvd_volume_write(v, data, place_of(i), SECTOR_BYTES, 0);
	}
	if (!err)
		err = lsvd_snapshot_create(v, "s", UINT32_MAX, NULL);
	if (!err)
		err = lsvd_volume_close(v, UINT32_MAX);
	if (err)
		complain(t, "lower volume: %s: %s", lsvd_error_name(err), lsvd_last_error());
	t->finished = true;
}

/* Runs the first life to boundary `at` (0: to its end), then the losses, then lives on top. */
void run_case(struct tester *t, uint64_t seed, uint64_t at, unsigned depth)
{
	struct sim_options o = usual_rates;
	struct sim_loss taken;

	o.seed = seed;
	new_model(t);
	t->sim = sim_new(&o);
	t->host = sim_host_new(t->sim, "a");
	t->other = sim_host_new(t->sim, "b");
	t->remote = seed % 4 == 3;
	t->seed = seed;
	t->collects = seed % 8 != 5;
	t->compression = 1 + seed % 3;
	t->tight = seed / 3 % 3;
	t->ops_wanted = 60;
	t->failed = false;
	if (t->over) {
		run_phase(t, found_lower, t->host);
		(void)sim_run_until(t->sim, phase_over, t);
	}
	if (!t->failed && depth && seed % 2) {
		run_phase(t, found_family, t->host);
		(void)sim_run_until(t->sim, phase_over, t);
	}
	if (!t->failed)
		run_phase(t, t->first ? t->first : depth && seed % 2 ? later_life : first_life,
			  t->host);
	sim_stop_at(t->sim, at ? sim_boundaries(t->sim) + at : 0);
	(void)sim_run_until(t->sim, phase_over, t);
	sim_stop_at(t->sim, 0);
	for (unsigned d = 0; !t->failed && at; d++) {
		halt_all(t);
		if (!try_point(t, &taken) || d == depth)
			break;
		t->bound = taken.keep == SIM_KILLED ? BY_ACK : BY_FLUSH;
		lower_bounds(t);
		settle_both(t, &taken);
		t->ops_wanted = 25;
		t->deep++;
		run_phase(t, next_life, t->host);
		sim_stop_at(t->sim, sim_boundaries(t->sim) + 1 + below(t, 500));
		(void)sim_run_until(t->sim, phase_over, t);
		sim_stop_at(t->sim, 0);
	}
	if (!t->failed && !at && !t->finished)
		complain(t, "the workload hangs");
}

uint64_t env_u64(const char *name, uint64_t usual)
{
	const char *text = getenv(name);

	return text && *text ? strtoull(text, NULL, 0) : usual;
}

void expect_well(struct tester *t, uint64_t seed, uint64_t at)
{
	ck_assert_msg(!t->failed, "seed %" PRIu64 ", boundary %" PRIu64 ": %s "
		      "(issued %u, acknowledged %u, flushed %u, stored %u)", seed, at, t->why,
		      t->m.issued, t->m.acked, t->m.flushed, t->m.stored);
}

static void trace(void *ctx, enum lsvd_log_level level, const char *text)
{
	(void)ctx;
	(void)fprintf(stderr, "[%d] %s\n", (int)level, text);
}

/* LSVD_SIM_TRACE=1 shows what the library says; for looking at one seed. */
void maybe_trace(void)
{
	if (env_u64("LSVD_SIM_TRACE", 0))
		lsvd_set_log(trace, NULL, LSVD_LOG_DEBUG);
}

uint64_t boundaries_of(struct tester *t, uint64_t seed)
{
	uint64_t n;

	run_case(t, seed, 0, 0);
	expect_well(t, seed, 0);
	n = sim_boundaries(t->sim);
	halt_all(t);
	sim_free(t->sim);
	return n;
}

void reset_counts(struct tester *t)
{
	t->states = t->points = t->deep = t->offline_opens = t->rots = t->checks = 0;
	t->snapshots_read = t->sizes = t->clones_read = t->clones_written = t->clones_deleted = 0;
	t->clones_of_clones = t->bases_refused = t->rollbacks = t->rollbacks_found = 0;
	t->flattened = t->bases_left = 0;
}

/* One life without chance. */
void run_plain(void (*life)(void *), bool remote)
{
	struct tester *t = &tester;

	new_model(t);
	t->sim = sim_new(&(struct sim_options){ .seed = 1 });
	t->host = sim_host_new(t->sim, "a");
	t->other = sim_host_new(t->sim, "b");
	t->remote = remote;
	t->seed = 0;
	t->tight = false;
	t->collects = false; /* its deletions look, too */
	t->compression = LSVD_COMPRESS_LZ4;
	t->failed = false;
	run_phase(t, life, t->host);
	if (sim_run_until(t->sim, phase_over, t) != SIM_MORE)
		complain(t, "the workload hangs");
	expect_well(t, 1, 0);
	halt_all(t);
	sim_free(t->sim);
}

void add_case(Suite *s, const char *name, const TTest *test)
{
	TCase *c = tcase_create(name);

	tcase_set_timeout(c, 1500);
	tcase_add_test(c, test);
	suite_add_tcase(s, c);
}

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_sim_vlog.c - a value log and the index of a program in the simulator, crashed anywhere.
 *
 * lsvd-test: timeout=300
 *
 * The program is as <lsvd/vlog.h> wants it. Its index is durable: it changes in one moment, between
 * two of which anything may happen, and takes changes only from the newest opener. One fiber
 * writes: commit, then index, then release; it deletes, reads under a snapshot, counts, gives up.
 * Another one collects and drops meanwhile. The machine dies at any event, or stands still while
 * another takes over and goes on; requests are lost, late, doubled.
 *
 * What must hold: whatever the index refers to is read, whole, by whoever has the log open; and at
 * the end, when all that was on its way has landed, a drop leaves exactly the segments of the log.
 *
 * The same runs with a program that does one thing wrong must fail: the checks can.
 */
#include "sim_world.h"

#include <errno.h>
#include <stdarg.h>

#include <lsvd/vlog.h>

#include "t_check.h"

#include "base/alloc.h"
#include "format/fmt_key.h"
#include "vlog/vlog_internal.h"

#define KEYS 10u
#define MOVES_MAX 64u
#define PROCESSES 16u
#define USUAL_RUNS 150u

enum plant {
	PLANT_NOTHING,
	PLANT_PIN_IS_RELEASED_EARLY,
	PLANT_RELOCATES_WHATEVER_IS_THERE,
	PLANT_NOTHING_LIVES,
	PLANT_INDEX_BEFORE_COMMIT,
	PLANT_OLD_OPENER_WRITES_THE_INDEX,
	PLANTS,
};

static const char *const plant_names[PLANTS] = {
	"nothing", "the pin is released before the index is durable",
	"relocation does not look at what is there", "the index says that nothing lives",
	"the index is durable before the commit", "who was fenced still writes the index",
};

struct entry {
	bool there;
	struct lsvd_vlog_handle h;
	uint64_t raw, seed;
};

struct run;

struct process {
	struct run *run;
	struct sim_host *host;
	struct lsvd_vlog *log;
	uint64_t epoch;
	unsigned ops;
	bool careful;            /* no failures: everything has to work */
	bool opened, user_over, collector_over, over;
	struct {
		unsigned key;
		struct lsvd_vlog_handle from, to;
	} moves[MOVES_MAX];
	unsigned move_count;
};

struct run {
	struct sim *sim;
	enum plant plant;
	struct sim_host *hosts[2];
	struct process *on[2];   /* NULL: nothing runs there */
	bool frozen[2];
	struct process processes[PROCESSES];
	unsigned process_count;
	struct entry index[KEYS];
	uint64_t owner;          /* the newest epoch that has the index */
	uint64_t seeds;
	unsigned commits, moved, dropped, opens, reads, crashes, fenced;
	char violation[512];
};

__attribute__((format(printf, 2, 3))) static void violated(struct run *r, const char *format, ...)
{
	va_list args;

	if (r->violation[0])
		return;
	va_start(args, format);
	(void)vsnprintf(r->violation, sizeof r->violation, format, args);
	va_end(args);
}

static uint64_t below(struct run *r, uint64_t n)
{
	return sim_random_below(r->sim, n);
}

/* ------------------------------------------------------------------------------------ the index */

static unsigned key_of(const struct lsvd_vlog_slice *key)
{
	return key->size == 2 ? (unsigned)(((const char *)key->data)[1] - 'a') : KEYS;
}

static bool may_write(const struct process *p)
{
	return p->epoch >= p->run->owner || p->run->plant == PLANT_OLD_OPENER_WRITES_THE_INDEX;
}

static bool same(const struct lsvd_vlog_handle *a, const struct lsvd_vlog_handle *b)
{
	return a->segment == b->segment && a->offset == b->offset && a->size == b->size;
}

static int is_live(void *ctx, struct lsvd_vlog_query *q, size_t n)
{
	struct process *p = ctx;
	struct run *r = p->run;

	sim_yield(p->host);
	for (size_t i = 0; i < n; i++) {
		const struct entry *e = &r->index[key_of(&q[i].key)];

		q[i].live = e->there && same(&e->h, &q[i].handle) &&
			    r->plant != PLANT_NOTHING_LIVES;
	}
	return 0;
}

static int relocate(void *ctx, const struct lsvd_vlog_move *m, size_t n)
{
	struct process *p = ctx;

	for (size_t i = 0; i < n && p->move_count < MOVES_MAX; i++) {
		p->moves[p->move_count].key = key_of(&m[i].key);
		p->moves[p->move_count].from = m[i].from;
		p->moves[p->move_count++].to = m[i].to;
	}
	return 0;
}

static void forget(void *ctx)
{
	((struct process *)ctx)->move_count = 0;
}

static int finish(void *ctx, uint64_t *ret_applied)
{
	struct process *p = ctx;
	struct run *r = p->run;
	uint64_t applied = 0;

	sim_yield(p->host);
	if (!may_write(p)) {
		p->move_count = 0;
		return -EPERM;
	}
	for (unsigned i = 0; i < p->move_count; i++) {
		struct entry *e = &r->index[p->moves[i].key];

		if (r->plant != PLANT_RELOCATES_WHATEVER_IS_THERE &&
		    !(e->there && same(&e->h, &p->moves[i].from)))
			continue;
		e->h = p->moves[i].to;
		applied++;
	}
	r->moved += (unsigned)applied;
	p->move_count = 0;
	sim_yield(p->host);
	*ret_applied = applied;
	return 0;
}

static struct lsvd_vlog_index index_of(struct process *p)
{
	return (struct lsvd_vlog_index){ .size = sizeof(struct lsvd_vlog_index), .ctx = p,
					 .is_live = is_live, .relocate = relocate,
					 .finish = finish, .abort = forget };
}

/* -------------------------------------------------------------------------------------- reading */

/* Who has been succeeded has an old view of the log, and the index is a newer one's. */
static bool is_excused(const struct process *p, int err)
{
	return p->epoch < p->run->owner ||
	       (!p->careful && (err == LSVD_E_UNAVAILABLE || err == LSVD_E_FENCED));
}

static void check_value(struct process *p, unsigned key, const struct entry *e)
{
	unsigned char *want;
	struct lsvd_vlog_value *v = NULL;
	int err = lsvd_vlog_get(p->log, &e->h, &v);

	p->run->reads++;
	if (err) {
		if (!is_excused(p, err))
			violated(p->run, "epoch %" PRIu64 ", key %u, segment %" PRIu64 " at %"
				 PRIu64 ": %s", p->epoch, key, e->h.segment, e->h.offset,
				 lsvd_last_error());
		return;
	}
	want = malloc(e->raw + 1);
	t_fill(want, e->raw, e->seed);
	if (lsvd_vlog_value_size(v) != e->raw ||
	    memcmp(lsvd_vlog_value_data(v), want, e->raw) != 0)
		violated(p->run, "epoch %" PRIu64 ", key %u: another value", p->epoch, key);
	free(want);
	lsvd_vlog_value_unref(v);
}

/* What the snapshot pins cannot go while it is read. */
static void read_all(struct process *p)
{
	struct entry now[KEYS];
	struct lsvd_vlog_pin *pin;

	if (lsvd_vlog_snapshot(p->log, &pin) < 0)
		return;
	memcpy(now, p->run->index, sizeof now);
	if (!p->careful && below(p->run, 2) == 0)
		sim_sleep(p->host, below(p->run, 5000)); /* a slow reader */
	for (unsigned i = 0; i < KEYS; i++)
		if (now[i].there)
			check_value(p, i, &now[i]);
	lsvd_vlog_pin_release(pin);
}

/* -------------------------------------------------------------------------------------- writing */

struct batch {
	struct entry e[KEYS];
	bool in[KEYS];
};

static int put_batch(struct process *p, struct lsvd_vlog_writer *w, struct batch *b)
{
	struct run *r = p->run;
	int err = 0;

	for (unsigned n = 1 + (unsigned)below(r, 5); n && !err; n--) {
		unsigned k = (unsigned)below(r, KEYS);
		const char key[2] = { 'k', (char)('a' + k) };
		uint64_t raw = below(r, 20) ? below(r, 3000) : below(r, 30000);
		unsigned char *v = malloc(raw + 1);

		b->e[k] = (struct entry){ .there = true, .raw = raw, .seed = ++r->seeds };
		t_fill(v, raw, b->e[k].seed);
		err = lsvd_vlog_put(w, key, 2, v, raw, &b->e[k].h);
		free(v);
		b->in[k] = !err;
	}
	return err;
}

/* The moment in which the index is durable; `old` receives what it had. */
static bool write_index(struct process *p, const struct batch *b, struct batch *old)
{
	if (!may_write(p))
		return false;
	for (unsigned k = 0; k < KEYS; k++) {
		if (!b->in[k])
			continue;
		old->e[k] = p->run->index[k];
		old->in[k] = old->e[k].there;
		p->run->index[k] = b->e[k];
	}
	return true;
}

static int note_old(struct process *p, const struct batch *old)
{
	int err = 0;

	for (unsigned k = 0; k < KEYS; k++)
		if (old->in[k]) {
			err = lsvd_vlog_note_stale(p->log, &old->e[k].h, old->e[k].raw);
			if (err && err != LSVD_E_STALE && !is_excused(p, err))
				violated(p->run, "a note: %s", lsvd_last_error());
		}
	return 0;
}

static int write_batch(struct process *p)
{
	struct batch b = { .in = { false } }, old = b;
	struct lsvd_vlog_pin *pin = NULL;
	struct lsvd_vlog_writer *w;
	int err = lsvd_vlog_writer_open(p->log, &w);

	if (err)
		return err;
	err = put_batch(p, w, &b);
	if (err || below(p->run, 8) == 0) {
		lsvd_vlog_abort(w);
		return err;
	}
	if (p->run->plant == PLANT_INDEX_BEFORE_COMMIT)
		(void)write_index(p, &b, &old);
	err = lsvd_vlog_commit(w, &pin);
	if (err)
		return err;
	p->run->commits++;
	if (p->run->plant == PLANT_PIN_IS_RELEASED_EARLY) {
		lsvd_vlog_pin_release(pin);
		pin = NULL;
		sim_sleep(p->host, below(p->run, 2000));
	}
	sim_yield(p->host);
	if (below(p->run, 4) == 0)
		sim_sleep(p->host, below(p->run, 500));
	if (p->run->plant != PLANT_INDEX_BEFORE_COMMIT && !write_index(p, &b, &old)) {
		lsvd_vlog_pin_release(pin);
		return -EPERM;
	}
	sim_yield(p->host);
	lsvd_vlog_pin_release(pin);
	return note_old(p, &old);
}

static int delete_key(struct process *p)
{
	struct batch b = { .in = { false } }, old = b;
	unsigned k = (unsigned)below(p->run, KEYS);

	b.in[k] = true;
	if (!write_index(p, &b, &old))
		return -EPERM;
	return note_old(p, &old);
}

struct counting {
	struct entry e[KEYS];
	unsigned at;
	struct sim_host *host;
};

static int next_reference(void *ctx, struct lsvd_vlog_handle *h, uint64_t *raw)
{
	struct counting *c = ctx;

	while (c->at < KEYS && !c->e[c->at].there)
		c->at++;
	if (c->at == KEYS)
		return 0;
	sim_yield(c->host);
	*h = c->e[c->at].h;
	*raw = c->e[c->at++].raw;
	return 1;
}

static int count_anew(struct process *p)
{
	struct counting c = { .host = p->host };

	memcpy(c.e, p->run->index, sizeof c.e);
	return lsvd_vlog_scan_for_stats(p->log, next_reference, &c, NULL);
}

static int user_step(struct process *p)
{
	switch (below(p->run, 12)) {
	case 0:
		return delete_key(p);
	case 1:
		read_all(p);
		return 0;
	case 2:
		return lsvd_vlog_checkpoint(p->log);
	case 3:
		return count_anew(p);
	case 4:
		sim_sleep(p->host, below(p->run, 3000));
		return 0;
	default:
		return write_batch(p);
	}
}

/* ----------------------------------------------------------------------------------- collecting */

static int collect(struct process *p)
{
	struct lsvd_vlog_gc_result r = LSVD_VLOG_GC_RESULT_INIT;
	const struct lsvd_vlog_index index = index_of(p);
	struct lsvd_vlog_strategy s = { .size = sizeof s };
	int err;

	s.kind = 1 + (uint32_t)below(p->run, 4);
	s.value = s.kind == LSVD_VLOG_PICK_STALE ? 0.3
						 : s.kind == LSVD_VLOG_PICK_OLDEST ? 0.5 : 1.2;
	if (below(p->run, 4) == 0)
		err = lsvd_vlog_rollover(p->log, NULL, 0, &index, NULL, &r);
	else
		err = lsvd_vlog_gc(p->log, &s, &index, NULL, &r);
	if (!err && r.damaged)
		violated(p->run, "epoch %" PRIu64 ": collection finds damage", p->epoch);
	if (err == LSVD_E_CORRUPT)
		violated(p->run, "collection: %s", lsvd_last_error());
	return err;
}

static int drop(struct process *p)
{
	struct lsvd_vlog_gc_result r = LSVD_VLOG_GC_RESULT_INIT;
	const struct lsvd_vlog_index index = index_of(p);
	int err = lsvd_vlog_drop_stale(p->log, &index, &r);

	p->run->dropped += (unsigned)r.dropped;
	if (err == LSVD_E_CORRUPT || r.damaged)
		violated(p->run, "drop: damage: %s", lsvd_last_error());
	return err;
}

static void collector(void *arg)
{
	struct process *p = arg;
	int err = 0;

	while (!p->user_over && err != LSVD_E_FENCED) {
		sim_sleep(p->host, below(p->run, 2000));
		err = below(p->run, 2) ? collect(p) : drop(p);
	}
	p->collector_over = true;
}

/* -------------------------------------------------------------------------------- the processes */

static int open_log(struct process *p)
{
	struct lsvd_vlog_options o = LSVD_VLOG_OPTIONS_INIT;
	int err = LSVD_E_UNAVAILABLE;

	o.flags = LSVD_VLOG_CREATE;
	o.segment_bytes = 4096;
	o.checkpoint_commits = 3;
	for (unsigned i = 0; i < 20 && err == LSVD_E_UNAVAILABLE; i++) {
		err = lsvd_vlog_open_world(&p->log, sim_host_world(p->host), "log", &o);
		if (err == LSVD_E_UNAVAILABLE)
			sim_sleep(p->host, 1000);
	}
	if (err && err != LSVD_E_UNAVAILABLE && err != LSVD_E_FENCED)
		violated(p->run, "open: %s", lsvd_last_error());
	return err;
}

static void life(void *arg)
{
	struct process *p = arg;
	struct run *r = p->run;
	int err = open_log(p);

	if (err) {
		p->over = true;
		return;
	}
	p->epoch = p->log->opened.epoch;
	if (p->epoch > r->owner)
		r->owner = p->epoch; /* from here on nobody older changes the index */
	p->opened = true;
	r->opens++;
	read_all(p);
	sim_spawn(p->host, collector, p);
	for (unsigned i = 0; i < p->ops && err != LSVD_E_FENCED && err != -EPERM; i++)
		err = user_step(p);
	r->fenced += err == LSVD_E_FENCED;
	p->user_over = true;
	while (!p->collector_over)
		sim_sleep(p->host, 10);
	err = lsvd_vlog_close(p->log);
	if (err == LSVD_E_CORRUPT)
		violated(r, "close: %s", lsvd_last_error());
	p->over = true;
}

static size_t objects_of(struct run *r, enum key_kind kind)
{
	struct key_parts k;
	size_t n = 0;

	for (size_t i = 0; i < sim_store_count(r->sim); i++)
		n += lsvd_key_parse(&k, sim_store_key(r->sim, i)) && k.kind == kind;
	return n;
}

/* Nothing fails any more: what is left is right, and all of it is used. */
static void last_life(void *arg)
{
	struct process *p = arg;
	struct run *r = p->run;
	uint64_t bad = 0;

	if (open_log(p) == 0) {
		p->epoch = p->log->opened.epoch;
		r->owner = p->epoch;
		p->opened = true;
		read_all(p);
		if (collect(p) || drop(p) || drop(p))
			violated(r, "the last collection: %s", lsvd_last_error());
		read_all(p);
		if (lsvd_vlog_verify(p->log, NULL, NULL, &bad) || bad)
			violated(r, "the last verification: %" PRIu64 " bad", bad);
		if (objects_of(r, KEY_FREE) != lsvd_vlog_segment_count(p->log))
			violated(r, "%zu segments are stored, %zu are there",
				 objects_of(r, KEY_FREE), lsvd_vlog_segment_count(p->log));
		if (lsvd_vlog_close(p->log))
			violated(r, "the last close: %s", lsvd_last_error());
	}
	p->over = true;
}

/* ----------------------------------------------------------------------------------------- runs */

static struct process *new_process(struct run *r, unsigned host, void (*fn)(void *))
{
	struct process *p = &r->processes[r->process_count++];

	*p = (struct process){ .run = r, .host = r->hosts[host] };
	p->ops = 2 + (unsigned)below(r, 25);
	p->careful = fn == last_life;
	r->on[host] = p;
	sim_spawn(p->host, fn, p);
	return p;
}

static void crash(struct run *r, unsigned host)
{
	sim_host_freeze(r->hosts[host], false);
	sim_host_crash(r->hosts[host], SIM_KEEP_ALL);
	r->on[host] = NULL;
	r->frozen[host] = false;
	r->crashes++;
}

static void settle_over(struct run *r)
{
	for (unsigned i = 0; i < 2; i++)
		if (r->on[i] && r->on[i]->over)
			r->on[i] = NULL;
}

/* Something that happens to one of the machines. */
static void happening(struct run *r)
{
	unsigned i = (unsigned)below(r, 2);

	settle_over(r);
	if (r->frozen[i] && below(r, 2)) {
		sim_host_freeze(r->hosts[i], false);
		r->frozen[i] = false;
	} else if (!r->on[i]) {
		if (r->process_count < PROCESSES - 2)
			(void)new_process(r, i, life);
	} else if (below(r, 2)) {
		crash(r, i);
	} else if (below(r, 3) == 0 && !r->frozen[i]) {
		sim_host_freeze(r->hosts[i], true);
		r->frozen[i] = true;
	}
}

static bool last_is_over(void *ctx)
{
	struct process *p = ctx;

	return p->over;
}

static void finish_run(struct run *r)
{
	static const struct sim_options calm = { .ghosts = 0 };
	struct process *p;

	for (unsigned i = 0; i < 2; i++)
		if (r->on[i])
			crash(r, i);
	sim_set_rates(r->sim, &calm);
	sim_ghosts_land(r->sim);
	p = new_process(r, (unsigned)below(r, 2), last_life);
	if (sim_run_until(r->sim, last_is_over, p) != SIM_MORE && !p->over)
		violated(r, "the last process does not end");
	if (!p->opened)
		violated(r, "the last process cannot open the log: %s", lsvd_last_error());
}

static void begin_run(struct run *r, enum plant plant, uint64_t seed,
		      const struct sim_options *rates)
{
	struct sim_options o = *rates;

	memset(r, 0, sizeof *r);
	r->plant = plant;
	o.seed = seed;
	r->sim = sim_new(&o);
	r->hosts[0] = sim_host_new(r->sim, "a");
	r->hosts[1] = sim_host_new(r->sim, "b");
}

static const struct sim_options rough = {
	.fail_before = 20, .fail_after = 20, .fail_late = 10, .slow = 5, .ghosts = 5,
};

static void random_run(struct run *r, enum plant plant, uint64_t seed)
{
	begin_run(r, plant, seed, &rough);
	if (seed % 3 == 0)
		sim_set_rates(r->sim, &(struct sim_options){ .ghosts = 5 });
	for (unsigned i = 0; i < 24 && !r->violation[0]; i++) {
		happening(r);
		(void)sim_run_steps(r->sim, below(r, 3) ? below(r, 300) : below(r, 4000));
	}
	if (!r->violation[0])
		finish_run(r);
}

static uint64_t seed_wanted(void)
{
	const char *text = getenv("LSVD_TEST_SEED");

	return text && *text ? strtoull(text, NULL, 0) : 1;
}

static uint64_t runs_wanted(uint64_t usual)
{
	const char *text = getenv("LSVD_SIM_RUNS");

	return text && *text ? strtoull(text, NULL, 0) : usual;
}

static struct run the_run;

START_TEST(a_program_that_is_crashed_anywhere_reads_all_that_its_index_has)
{
	struct run *r = &the_run;
	unsigned commits = 0, moved = 0, dropped = 0, opens = 0, reads = 0, crashes = 0, fenced = 0;
	uint64_t runs = runs_wanted(USUAL_RUNS), seed = seed_wanted(), states = 0;

	for (uint64_t i = 0; i < runs; i++) {
		random_run(r, PLANT_NOTHING, seed + i);
		commits += r->commits;
		moved += r->moved;
		dropped += r->dropped;
		opens += r->opens;
		reads += r->reads;
		crashes += r->crashes;
		fenced += r->fenced;
		states += sim_boundaries(r->sim);
		ck_assert_msg(!r->violation[0], "LSVD_TEST_SEED=%" PRIu64 " LSVD_SIM_RUNS=1: %s",
			      seed + i, r->violation);
		sim_free(r->sim);
	}
	printf("%" PRIu64 " runs, %" PRIu64 " boundaries: %u opens, %u crashes, %u fenced, %u "
	       "commits, %u moved, %u segments dropped, %u reads\n", runs, states, opens, crashes,
	       fenced, commits, moved, dropped, reads);
	if (runs < USUAL_RUNS)
		return;
	ck_assert_uint_gt(commits, 0);
	ck_assert_uint_gt(moved, 0);
	ck_assert_uint_gt(dropped, 0);
	ck_assert_uint_gt(crashes, 0);
	ck_assert_uint_gt(fenced, 0);
}
END_TEST

START_TEST(a_program_that_does_one_thing_wrong_is_found)
{
	struct run *r = &the_run;
	uint64_t found = 0, seed = seed_wanted();

	for (uint64_t i = 0; i < runs_wanted(3000) && !found; i++) {
		random_run(r, (enum plant)_i, seed + i);
		if (r->violation[0])
			found = i + 1;
		sim_free(r->sim);
	}
	printf("%s: found in run %" PRIu64 ": %s\n", plant_names[_i], found, r->violation);
	ck_assert_msg(found, "%s: not found", plant_names[_i]);
}
END_TEST

/* ------------------------------------------------------------------------ every single boundary */

/* A short life in which everything happens once, in one order. */
static void short_life(void *arg)
{
	struct process *p = arg;
	int err = open_log(p);

	if (!err) {
		p->epoch = p->log->opened.epoch;
		p->run->owner = p->epoch;
		p->opened = true;
		for (unsigned i = 0; i < 3 && !err; i++)
			err = write_batch(p);
		if (!err)
			err = collect(p);
		if (!err)
			err = write_batch(p);
		if (!err)
			err = drop(p);
		if (!err)
			err = lsvd_vlog_rollover(p->log, NULL, 0, &(struct lsvd_vlog_index){
				.size = sizeof(struct lsvd_vlog_index), .ctx = p,
				.is_live = is_live, .relocate = relocate,
				.finish = finish }, NULL, NULL);
		if (!err)
			err = drop(p);
		if (!err)
			err = lsvd_vlog_close(p->log);
	}
	if (err)
		violated(p->run, "a short life: %s", lsvd_last_error());
	p->over = true;
}

static void crash_at(struct run *r, uint64_t seed, uint64_t boundary, enum sim_objects objects)
{
	static const struct sim_options calm = { .ghosts = 0 };
	const struct sim_loss loss = { .keep = SIM_KEEP_ALL, .objects = objects, .seed = boundary };
	struct process *p;

	begin_run(r, PLANT_NOTHING, seed, &calm);
	p = new_process(r, 0, short_life);
	sim_stop_at(r->sim, boundary);
	(void)sim_run_until(r->sim, last_is_over, p);
	sim_stop_at(r->sim, 0);
	if (!p->over) {
		sim_host_halt(r->hosts[0]);
		sim_host_settle(r->hosts[0], &loss);
	}
	r->on[0] = NULL;
	if (!r->violation[0])
		finish_run(r);
}

START_TEST(a_crash_at_every_boundary_leaves_garbage_at_worst)
{
	struct run *r = &the_run;
	uint64_t seed = seed_wanted(), last, states = 0;

	crash_at(r, seed, 0, SIM_OBJECTS_LOST);
	ck_assert_msg(!r->violation[0], "%s", r->violation);
	last = sim_boundaries(r->sim);
	sim_free(r->sim);
	for (uint64_t at = 1; at <= last; at++)
		for (int objects = SIM_OBJECTS_RANDOM; objects <= SIM_OBJECTS_GHOSTS; objects++) {
			crash_at(r, seed, at, (enum sim_objects)objects);
			ck_assert_msg(!r->violation[0], "seed %" PRIu64 ", boundary %" PRIu64
				      ", objects %d: %s", seed, at, objects, r->violation);
			sim_free(r->sim);
			states++;
		}
	printf("%" PRIu64 " boundaries, %" PRIu64 " states\n", last, states);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("sim_vlog");
	TCase *c = tcase_create("crashes");

	tcase_set_timeout(c, 240);
	tcase_add_test(c, a_program_that_is_crashed_anywhere_reads_all_that_its_index_has);
	tcase_add_test(c, a_crash_at_every_boundary_leaves_garbage_at_worst);
	tcase_add_loop_test(c, a_program_that_does_one_thing_wrong_is_found, 1, PLANTS);
	suite_add_tcase(s, c);
	return s;
}

T_MAIN(suite)

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * sim_world.c - the pool of what may happen, steps, the clock, hosts.
 *
 * Nothing here depends on an address, on time or on anything but the seed: what is drawn from is
 * always an array whose order is itself made by earlier draws.
 */
#include "sim_internal.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <lsvd/store_driver.h>

#include "base/hash.h"

/* --------------------------------------------------------------------------------- small things */

_Noreturn void sim_die(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	(void)fputs("sim: ", stderr);
	(void)vfprintf(stderr, format, args);
	(void)fputc('\n', stderr);
	va_end(args);
	abort();
}

void *sim_grow(void *p, size_t bytes)
{
	p = realloc(p, bytes);
	if (!p)
		sim_die("no memory for %zu bytes", bytes);
	return p;
}

struct blob *sim_blob_new(const void *bytes, size_t len)
{
	struct blob *b = sim_grow(NULL, sizeof *b + len);

	b->refs = 1;
	b->len = len;
	if (bytes)
		memcpy(b->bytes, bytes, len);
	return b;
}

struct blob *sim_blob_ref(struct blob *b)
{
	b->refs++;
	return b;
}

void sim_blob_unref(struct blob *b)
{
	if (--b->refs == 0)
		free(b);
}

uint64_t sim_random(struct sim *s)
{
	uint64_t z = s->random += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return z ^ (z >> 31);
}

uint64_t sim_random_below(struct sim *s, uint64_t n)
{
	return sim_random(s) % n;
}

bool sim_chance(struct sim *s, unsigned of_1000)
{
	return of_1000 && sim_random_below(s, 1000) < of_1000;
}

void sim_note(struct sim *s, unsigned what, const struct sim_host *h, uint64_t a, uint64_t b)
{
	const uint64_t event[4] = { what, h ? h->index + 1u : 0, a, b };

	s->digest = lsvd_hash_seeded(event, sizeof event, s->digest);
}

void sim_boundary(struct sim *s)
{
	if (++s->boundaries == s->stop_at)
		s->stopped = true;
}

/* --------------------------------------------------------------------------------------- events */

void sim_list_add(struct event_list *l, struct sim_event *e)
{
	if (l->count == l->room) {
		l->room = l->room ? l->room * 2 : 32;
		l->at = sim_grow(l->at, l->room * sizeof *l->at);
	}
	l->at[l->count++] = e;
}

struct sim_event *sim_list_take(struct event_list *l, size_t i)
{
	struct sim_event *e = l->at[i];

	l->at[i] = l->at[--l->count];
	return e;
}

struct sim_event *sim_event_new(struct sim *s, enum event_kind kind, struct sim_host *h,
				struct io *io)
{
	struct sim_event *e;

	if (s->spare.count)
		e = sim_list_take(&s->spare, s->spare.count - 1);
	else
		e = sim_grow(NULL, sizeof *e);
	e->kind = kind;
	e->host = h;
	e->io = io;
	e->at_ms = 0;
	e->blob = NULL;
	e->half = false;
	return e;
}

void sim_event_free(struct sim *s, struct sim_event *e)
{
	if (e->blob)
		sim_blob_unref(e->blob);
	e->blob = NULL;
	sim_list_add(&s->spare, e);
}

/* ---------------------------------------------------------------------------------------- steps */

static bool may_happen(const struct sim *s, const struct sim_event *e)
{
	/* A frozen host's requests are in the network already: they land, it hears nothing. */
	if (e->host->frozen && e->kind != EVENT_EFFECT)
		return false;
	return e->at_ms <= s->now_ms;
}

static size_t count_possible(const struct sim *s)
{
	size_t n = 0;

	for (size_t i = 0; i < s->pool.count; i++)
		n += may_happen(s, s->pool.at[i]);
	return n;
}

static struct sim_event *take_possible(struct sim *s, size_t which)
{
	for (size_t i = 0;; i++) {
		if (!may_happen(s, s->pool.at[i]))
			continue;
		if (which-- == 0)
			return sim_list_take(&s->pool, i);
	}
}

/* On to the next moment at which something may happen. */
static bool advance_clock(struct sim *s)
{
	uint64_t next = UINT64_MAX;

	for (size_t i = 0; i < s->pool.count; i++) {
		const struct sim_event *e = s->pool.at[i];

		if (e->at_ms > s->now_ms && e->at_ms < next &&
		    (!e->host->frozen || e->kind == EVENT_EFFECT))
			next = e->at_ms;
	}
	if (next == UINT64_MAX)
		return false;
	s->now_ms = next;
	return true;
}

static void run_job(struct sim_event *e)
{
	struct job_io *job = lsvd_container_of(e->io, struct job_io, io);

	e->host->sim->stats.jobs++;
	job->run(job);
	lsvd_port_finish(e->io);
}

/* Lets it happen. True: the event is still in use. */
static bool happen(struct sim_event *e)
{
	switch (e->kind) {
	case EVENT_FIBER:
		sim_fiber_run(e->fiber);
		return false;
	case EVENT_FILE:
		sim_file_event(e);
		return false;
	case EVENT_EFFECT:
		sim_store_effect(e);
		return true;
	case EVENT_ANSWER:
		sim_store_answer(e);
		return false;
	case EVENT_JOB:
		run_job(e);
		return false;
	case EVENT_TIMER:
		e->host->sim->stats.timers++;
		lsvd_port_finish(e->io);
		return false;
	case EVENT_GHOST:
		sim_ghost_effect(e);
		return true;
	}
	return false;
}

static void run_event(struct sim *s, struct sim_event *e)
{
	struct sim_host *before = sim_act_as(e->host);

	s->stats.steps++;
	sim_note(s, 200u + e->kind, e->host, s->now_ms, s->pool.count);
	if (!happen(e))
		sim_event_free(s, e);
	(void)sim_act_as(before);
}

bool sim_ghost_land(struct sim *s)
{
	if (!s->ghosts.count)
		return false;
	run_event(s, sim_list_take(&s->ghosts, (size_t)sim_random_below(s, s->ghosts.count)));
	return true;
}

void sim_ghosts_land(struct sim *s)
{
	while (sim_ghost_land(s))
		;
}

enum sim_result sim_step(struct sim *s)
{
	size_t n;

	while ((n = count_possible(s)) == 0)
		if (!advance_clock(s))
			return SIM_IDLE;
	if (s->ghosts.count && sim_chance(s, s->options.ghosts))
		(void)sim_ghost_land(s); /* there is one */
	else
		run_event(s, take_possible(s, (size_t)sim_random_below(s, n)));
	return s->stopped ? SIM_STOPPED : SIM_MORE;
}

enum sim_result sim_run(struct sim *s)
{
	enum sim_result r = s->stopped ? SIM_STOPPED : SIM_MORE;

	while (r == SIM_MORE)
		r = sim_step(s);
	return r;
}

enum sim_result sim_run_until(struct sim *s, bool (*done)(void *ctx), void *ctx)
{
	enum sim_result r = s->stopped ? SIM_STOPPED : SIM_MORE;

	while (r == SIM_MORE && !done(ctx))
		r = sim_step(s);
	return r;
}

enum sim_result sim_run_steps(struct sim *s, uint64_t steps)
{
	enum sim_result r = s->stopped ? SIM_STOPPED : SIM_MORE;

	while (r == SIM_MORE && steps--)
		r = sim_step(s);
	return r;
}

uint64_t sim_boundaries(const struct sim *s)
{
	return s->boundaries;
}

void sim_stop_at(struct sim *s, uint64_t boundary)
{
	s->stop_at = boundary;
	s->stopped = false;
}

/* ---------------------------------------------------------------- the clock, chance, processors */

static uint64_t clk_now_ms(struct world *w)
{
	return sim_host_of(w)->sim->now_ms;
}

static int64_t clk_wall_ms(struct world *w)
{
	return INT64_C(1700000000000) + (int64_t)sim_host_of(w)->sim->now_ms;
}

/* The table's rule: one that was canceled on its way here ends at once. */
static void clk_start(struct world *w, struct timer_io *t)
{
	struct sim_host *h = sim_host_of(w);
	struct sim_event *e = sim_event_new(h->sim, EVENT_TIMER, h, &t->io);

	if (t->io.err != -ECANCELED)
		e->at_ms = t->at_ms;
	sim_list_add(&h->sim->pool, e);
}

static void clk_cancel(struct world *w, struct timer_io *t)
{
	struct sim *s = sim_host_of(w)->sim;

	t->io.err = -ECANCELED;
	for (size_t i = 0; i < s->pool.count; i++)
		if (s->pool.at[i]->io == &t->io)
			s->pool.at[i]->at_ms = 0;
}

static const struct clk_ops clk_ops = {
	.now_ms = clk_now_ms,
	.wall_ms = clk_wall_ms,
	.start = clk_start,
	.cancel = clk_cancel,
};

static void rnd_fill(struct world *w, void *buf, size_t len)
{
	uint8_t *p = buf;

	for (size_t i = 0; i < len; i++)
		p[i] = (uint8_t)sim_random(sim_host_of(w)->sim);
}

static const struct rnd_ops rnd_ops = { .fill = rnd_fill };

static void cpu_start(struct world *w, struct job_io *job)
{
	struct sim_host *h = sim_host_of(w);

	sim_list_add(&h->sim->pool, sim_event_new(h->sim, EVENT_JOB, h, &job->io));
}

static const struct cpu_ops cpu_ops = { .start = cpu_start };

/* ------------------------------------------------------------------------------------ the world */

struct sim *sim_new(const struct sim_options *options)
{
	struct sim *s = sim_grow(NULL, sizeof *s);

	memset(s, 0, sizeof *s);
	s->options = *options;
	s->random = options->seed;
	s->now_ms = 1000;
	s->caps = LSVD_STORE_CAP_CREATE;
	list_init(&s->main_waits);
	sim_alloc_use(s);
	return s;
}

void sim_set_rates(struct sim *s, const struct sim_options *options)
{
	s->options = *options;
}

struct sim_host *sim_host_new(struct sim *s, const char *name)
{
	struct sim_host *h = sim_grow(NULL, sizeof *h);

	if (s->host_count == SIM_HOSTS_MAX)
		sim_die("more than %u hosts", SIM_HOSTS_MAX);
	memset(h, 0, sizeof *h);
	h->world = (struct world){
		.file = &sim_file_ops,
		.obj = &sim_obj_ops,
		.clk = &clk_ops,
		.rnd = &rnd_ops,
		.cpu = &cpu_ops,
		.wait = &sim_wait_ops,
	};
	h->sim = s;
	(void)snprintf(h->name, sizeof h->name, "%s", name); /* cut if it must be */
	h->index = s->host_count;
	list_init(&h->files);
	list_init(&h->handles);
	list_init(&h->memory);
	list_init(&h->waiting);
	s->hosts[s->host_count++] = h;
	return h;
}

static void free_list(struct event_list *l)
{
	for (size_t i = 0; i < l->count; i++) {
		if (l->at[i]->blob)
			sim_blob_unref(l->at[i]->blob);
		free(l->at[i]);
	}
	free(l->at);
}

static void host_free(struct sim_host *h)
{
	sim_files_free(&h->files);
	free_list(&h->limbo);
	free(h);
}

void sim_free(struct sim *s)
{
	if (!s)
		return;
	for (unsigned i = 0; i < s->host_count; i++)
		sim_host_halt(s->hosts[i]);
	for (unsigned i = 0; i < s->host_count; i++)
		host_free(s->hosts[i]);
	free_list(&s->ghosts);
	free_list(&s->pool);
	free_list(&s->spare);
	sim_store_clear(&s->store);
	sim_alloc_use(NULL);
	free(s);
}

struct world *sim_host_world(struct sim_host *h)
{
	return &h->world;
}

const char *sim_host_name(const struct sim_host *h)
{
	return h->name;
}

void sim_host_freeze(struct sim_host *h, bool frozen)
{
	h->frozen = frozen;
}

void sim_host_fail_write(struct sim_host *h, uint64_t n)
{
	h->writes_to_fail = n;
}

void sim_host_fail_sync(struct sim_host *h, uint64_t n)
{
	h->syncs_to_fail = n;
}

uint64_t sim_digest(const struct sim *s)
{
	return s->digest;
}

uint64_t sim_now_ms(const struct sim *s)
{
	return s->now_ms;
}

void sim_stats(const struct sim *s, struct sim_stats *ret)
{
	*ret = s->stats;
}

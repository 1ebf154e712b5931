/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * log_probe.c - may a volume be written on this store? By a probe (log_probe_ask.c), or by what is
 * remembered of one.
 *
 * Who passed is remembered in the cache directory, in a file named by the store's URL and what it
 * promises: a probe costs some twenty requests, and a server does not change from one open to the
 * next. It is never asked at a read-only open, which puts nothing.
 *
 * An open does not wait for its probe before it has to: it begins as a job of the world's, which
 * has nothing else to compute at that time, while the open looks at the chain, and it has to be
 * over before the open claims anything.
 */
#include "log/log_probe.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/err.h"
#include "base/hash.h"
#include "base/options.h"
#include "io/world_real.h"
#include "log/lineage.h"

#define RACES 4u
#define RACERS 8u

static int set_defaults(struct lsvd_store_probe *p, const struct lsvd_store_probe *asked)
{
	*p = (struct lsvd_store_probe)LSVD_STORE_PROBE_INIT;
	p->races = asked->races ? asked->races : RACES;
	p->racers = asked->racers ? asked->racers : RACERS;
	if (p->races > PROBE_RACES_MAX || p->racers > PROBE_RACERS_MAX || p->racers < 2)
		return lsvd_fail(-EINVAL, "probe of %u races by %u, must be at most %u, by 2 to %u",
				 p->races, p->racers, PROBE_RACES_MAX,
				 PROBE_RACERS_MAX);
	return 0;
}

int lsvd_store_probe(struct lsvd_store *store, struct lsvd_store_probe *ret)
{
	struct lsvd_store_probe asked, probe;
	struct world *world;
	struct port port;
	int err, end;

	if (!store || !ret)
		return lsvd_fail(-EINVAL, "probe: store or result is NULL");
	err = lsvd_options_copy(&asked, sizeof asked, ret, sizeof asked, "store probe");
	if (!err)
		err = set_defaults(&probe, &asked);
	if (!err)
		err = lsvd_world_real_open(&world, store, NULL, false);
	if (err)
		return err;
	err = lsvd_port_init(&port, world);
	if (!err) {
		err = lsvd_probe_store(&port, &probe, NULL, NULL);
		lsvd_port_fini(&port);
	}
	lsvd_world_real_close(world);
	end = lsvd_options_fill(ret, &probe, sizeof probe, sizeof probe, "store probe");
	return err ? err : end;
}

/* ---------------------------------------------------------------------------------- remembering */

#define MEMORY_BYTES 64u

/* The file, and what stands in it, for a store that passed. */
static void describe_memory(struct world *w, char name[32], char text[MEMORY_BYTES])
{
	const char *url = w->obj->name(w);
	uint64_t h = lsvd_hash_seeded(url, strlen(url), w->obj->caps(w));

	(void)snprintf(name, 32, "probed-%016" PRIx64, h); /* fits */
	memset(text, 0, MEMORY_BYTES);
	(void)snprintf(text, MEMORY_BYTES, "lsvd probe 1: store %016" PRIx64 " passed\n", h);
}

static int move(struct port *port, struct file *file, enum io_kind kind, void *buf)
{
	struct file_io io = { .io = { .kind = kind }, .file = file, .buf = buf,
			      .len = kind == IO_FILE_SYNC ? 0 : MEMORY_BYTES };

	return lsvd_port_run1(port, &io.io);
}

static bool remembered(struct port *port)
{
	char name[32], text[MEMORY_BYTES], there[MEMORY_BYTES];
	struct world *w = port->world;
	struct file *file;
	uint64_t bytes = 0;
	bool yes;

	describe_memory(w, name, text);
	if (w->file->open(w, name, FILE_READONLY, &file) < 0)
		return false;
	yes = w->file->size(file, &bytes) == 0 && bytes == MEMORY_BYTES &&
	      move(port, file, IO_FILE_READ, there) == 0 && memcmp(text, there, sizeof text) == 0;
	w->file->close(file);
	return yes;
}

/* A memory that fails is a probe the next time. */
static void remember(struct port *port)
{
	char name[32], text[MEMORY_BYTES];
	struct world *w = port->world;
	struct file *file;

	describe_memory(w, name, text);
	if (w->file->open(w, name, FILE_CREATE, &file) < 0)
		return;
	if (move(port, file, IO_FILE_WRITE, text) == 0)
		(void)move(port, file, IO_FILE_SYNC, NULL);
	w->file->close(file);
}

/* --------------------------------------------------------------------------- may it be written? */

#define ADVICE "use a store that can, or say --unsafe-store (LSVD_OPEN_UNSAFE_STORE) and see to " \
	"it yourself that a volume never has two writers"

static int refuse_or_warn(struct world *w, bool unsafe, const char *why)
{
	if (!unsafe)
		return lsvd_fail(LSVD_E_UNSUPPORTED, "store %s %s; %s", w->obj->name(w),
				 why, ADVICE);
	lsvd_report(LSVD_LOG_ERROR, "store %s %s: opened as asked, UNSAFE: nothing keeps a second "
		    "writer from destroying the volume", w->obj->name(w), why);
	return 0;
}

/* ---- the job */

static void set_known(void *ctx, int err)
{
	struct probe_check *c = ctx;

	if (err == LSVD_E_UNSUPPORTED)
		err = refuse_or_warn(c->port->world, c->flags & LSVD_OPEN_UNSAFE_STORE,
				     c->probe.text);
	lsvd_port_enter(c->port);
	c->known = true;
	c->err = err;
	(void)snprintf(c->text, sizeof c->text, "%s", lsvd_last_error()); /* is as long */
	lsvd_port_changed(c->port);
	lsvd_port_leave(c->port, false);
}

static void run_check(struct job_io *job)
{
	struct probe_check *c = lsvd_container_of(job, struct probe_check, job);
	int err = lsvd_probe_store(c->port, &c->probe, set_known, c);

	if (!err && c->cache)
		remember(c->port);
}

static void check_over(struct io *io)
{
	lsvd_container_of(io, struct probe_check, job.io)->over = true;
}

static void start_check(struct probe_check *c)
{
	c->job.io = (struct io){ .kind = IO_JOB, .done = check_over };
	c->job.run = run_check;
	lsvd_port_enter(c->port);
	lsvd_port_start(c->port, &c->job.io);
	lsvd_port_leave(c->port, false);
}

int lsvd_probe_check_begin(struct probe_check *c, struct port *port, uint32_t flags, bool cache,
			 uint32_t races)
{
	struct world *w = port->world;
	uint32_t caps = w->obj->caps(w);

	*c = (struct probe_check){ .port = port, .flags = flags, .cache = cache,
				 .probe = LSVD_STORE_PROBE_INIT };
	c->probe.races = races;
	c->probe.racers = RACERS;
	c->known = c->over = true;      /* unless it turns out that something has to be asked */
	if (!(caps & LSVD_STORE_CAP_CREATE))
		return refuse_or_warn(w, flags & LSVD_OPEN_UNSAFE_STORE,
				      "cannot create an object only if it is absent");
	if (!(caps & LSVD_STORE_CAP_PROBE) || (flags & CHECK_NO_PROBE) ||
	    (cache && remembered(port)))
		return 0;
	c->known = c->over = false;
	start_check(c);
	return 0;
}

int lsvd_probe_check_known(struct probe_check *c)
{
	if (!c->port)
		return 0;
	lsvd_port_enter(c->port);
	while (!c->known)
		lsvd_port_wait(c->port);
	lsvd_port_leave(c->port, true);
	if (c->err)
		lsvd_error_restore(c->text);
	return c->err;
}

void lsvd_probe_check_end(struct probe_check *c)
{
	char text[512];

	if (!c->port || c->over)
		return;
	(void)snprintf(text, sizeof text, "%s", lsvd_last_error()); /* is as long */
	lsvd_port_enter(c->port);
	while (!c->over)
		lsvd_port_wait(c->port);
	lsvd_port_leave(c->port, true);
	lsvd_error_restore(text);
}

int lsvd_probe_check(struct port *port, uint32_t flags, bool cache)
{
	struct probe_check c;
	int err = lsvd_probe_check_begin(&c, port, flags, cache, RACES);

	if (!err)
		err = lsvd_probe_check_known(&c);
	lsvd_probe_check_end(&c);
	return err;
}

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * log_probe.c - does the store do what a volume stands on? (include/lsvd/probe.h)
 *
 * A race is as many requests as there are racers, in the world at once, each with bytes of its own:
 * exactly one may be told that it created, and its bytes are what is there afterwards. A racer whose
 * answer is lost may have won; then nobody else has, and the bytes tell. What is put lies below
 * probe/ under names with a UUID, and is removed at the end, whatever was found.
 *
 * Who passed is remembered in the cache directory, in a file named by the store's URL and what it
 * promises: a probe costs some forty requests, and a server does not change from one open to the
 * next. It is never asked at a read-only open, which puts nothing.
 */
#include "log/log_probe.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/err.h"
#include "base/hash.h"
#include "base/options.h"
#include "base/uuid.h"
#include "io/world_real.h"
#include "log/lineage.h"

#define RACES 4u
#define RACES_MAX 1000u
#define RACERS 8u
#define RACERS_MAX 32u
#define BODY_BYTES 64u
#define RANGED_BYTES 70000u

struct probe {
	struct port *port;
	struct lsvd_store_probe *ret;
	char dir[64];                  /* "probe/<uuid>-" */
	unsigned races_put;            /* names to be removed */
	bool ranged_put;
	uint8_t *ranged;
};

/* Notes what is bad, the first thing only. */
LSVD_PRINTF(3, 4)
static void bad(struct probe *p, uint32_t *result, const char *format, ...)
{
	va_list ap;

	*result = LSVD_PROBE_BAD;
	if (p->ret->text[0])
		return;
	va_start(ap, format);
	(void)vsnprintf(p->ret->text, sizeof p->ret->text, format, ap); /* cut at worst */
	va_end(ap);
}

static void good(uint32_t *result)
{
	if (*result == LSVD_PROBE_UNTRIED)
		*result = LSVD_PROBE_GOOD;
}

static void race_key(const struct probe *p, char *key, unsigned race)
{
	(void)snprintf(key, LSVD_KEY_MAX + 1, "%srace-%u", p->dir, race); /* fits */
}

static void ranged_key(const struct probe *p, char *key)
{
	(void)snprintf(key, LSVD_KEY_MAX + 1, "%sranged", p->dir); /* fits */
}

/* ---------------------------------------------------------------------------------------- requests */

static int run(struct probe *p, struct obj_io *io)
{
	p->ret->requests++;
	return lsvd_lineage_run(p->port, io);
}

static int get(struct probe *p, const char *key, uint64_t off, void *buf, size_t len,
	       size_t *ret_len)
{
	struct obj_io io = { .io = { .kind = IO_GET }, .off = off, .buf = buf, .len = len };
	int err;

	memcpy(io.key, key, strlen(key) + 1);
	err = run(p, &io);
	*ret_len = io.ret_len;
	p->ret->get_bytes += err ? 0 : io.ret_len;
	return err;
}

/* *ret_unsure: an answer was lost on the way, so that -EEXIST may be one's own. */
static int put(struct probe *p, const char *key, const void *bytes, size_t len, bool *ret_unsure)
{
	struct iovec iov = { (void *)(uintptr_t)bytes, len };
	struct obj_io io = { .io = { .kind = IO_PUT }, .iov = &iov, .iovcnt = 1 };
	int err;

	memcpy(io.key, key, strlen(key) + 1);
	p->ret->requests++;
	p->ret->put_bytes += len;
	err = lsvd_port_run1(p->port, &io.io);
	*ret_unsure = err == LSVD_E_UNAVAILABLE;
	return *ret_unsure ? run(p, &io) : err;
}

/* ------------------------------------------------------------------------------------------- races */

struct racer {
	struct obj_io io;
	struct iovec iov;
	uint8_t body[BODY_BYTES];
};

static void body_of(uint8_t body[BODY_BYTES], unsigned race, unsigned racer)
{
	for (unsigned i = 0; i < BODY_BYTES; i++)
		body[i] = (uint8_t)(i * 7 + race * 31 + racer);
	body[0] = (uint8_t)racer;
}

static void start_racers(struct probe *p, struct racer *racers, unsigned n, unsigned race)
{
	struct io *ios[RACERS_MAX];

	memset(racers, 0, n * sizeof *racers);
	for (unsigned i = 0; i < n; i++) {
		struct racer *r = &racers[i];

		body_of(r->body, race, i);
		race_key(p, r->io.key, race);
		r->iov = (struct iovec){ r->body, BODY_BYTES };
		r->io.io.kind = IO_PUT;
		r->io.iov = &r->iov;
		r->io.iovcnt = 1;
		ios[i] = &r->io.io;
	}
	p->races_put = race + 1;
	p->ret->requests += n;
	p->ret->put_bytes += n * BODY_BYTES;
	(void)lsvd_port_run(p->port, ios, n); /* each has its own result */
}

/* How many were told that they created, and how many were told nothing; or what stops the probe. */
static int count_racers(const struct racer *racers, unsigned n, unsigned *ret_won,
			unsigned *ret_unsure)
{
	*ret_won = *ret_unsure = 0;
	for (unsigned i = 0; i < n; i++) {
		int err = racers[i].io.io.err;

		*ret_won += err == 0;
		*ret_unsure += err == LSVD_E_UNAVAILABLE;
		if (err < 0 && err != -EEXIST && err != LSVD_E_UNAVAILABLE)
			return err;
	}
	return 0;
}

/* The object must be one racer's; that of the one that was told so. */
static int check_winner(struct probe *p, const struct racer *racers, unsigned n, unsigned race,
			unsigned won)
{
	uint8_t there[BODY_BYTES + 1];
	char key[LSVD_KEY_MAX + 1];
	size_t len = 0;
	int err;

	race_key(p, key, race);
	err = get(p, key, 0, there, sizeof there, &len);
	if (err == -ENOENT) {
		bad(p, &p->ret->read_back, "%s was created and is not there", key);
		return 0;
	}
	if (err)
		return err;
	if (len != BODY_BYTES || there[0] >= n ||
	    memcmp(there, racers[there[0]].body, BODY_BYTES) != 0)
		bad(p, &p->ret->read_back, "%s: %zu bytes that nobody put", key, len);
	else if (won && racers[there[0]].io.io.err)
		bad(p, &p->ret->create, "%s is what a creator put who was told that another was "
		    "there first", key);
	else
		good(&p->ret->read_back);
	return 0;
}

static int race(struct probe *p, struct racer *racers, unsigned n, unsigned number)
{
	unsigned won, unsure;
	int err;

	start_racers(p, racers, n, number);
	err = count_racers(racers, n, &won, &unsure);
	if (err)
		return err;
	if (won > 1)
		bad(p, &p->ret->create, "%u of %u creators of one object at the same time were told "
		    "that they created it: it is not created only if absent", won, n);
	else if (!won && !unsure)
		bad(p, &p->ret->create, "none of %u creators of a new object created it", n);
	if (!won && unsure == n)
		return LSVD_E_UNAVAILABLE;
	return check_winner(p, racers, n, number, won);
}

static int run_races(struct probe *p, unsigned races, unsigned n)
{
	struct racer *racers = lsvd_calloc(n, sizeof *racers);
	int err = 0;

	if (!racers)
		return lsvd_fail_plain(-ENOMEM);
	for (unsigned i = 0; i < races && !err; i++)
		err = race(p, racers, n, i);
	if (!err)
		good(&p->ret->create);
	lsvd_free(racers);
	return err;
}

/* ---------------------------------------------------------------------------- one after the other */

static int try_second(struct probe *p)
{
	uint8_t mine[BODY_BYTES], before[BODY_BYTES], after[BODY_BYTES];
	char key[LSVD_KEY_MAX + 1];
	size_t len;
	bool unsure;
	int err;

	race_key(p, key, 0);
	body_of(mine, 0, RACERS_MAX);
	err = get(p, key, 0, before, sizeof before, &len);
	if (err)
		return err == -ENOENT ? 0 : err; /* that is noted */
	err = put(p, key, mine, sizeof mine, &unsure);
	if (err == 0)
		bad(p, &p->ret->refuse, "%s is there and was created again: If-None-Match, or what "
		    "the driver does in its place, has no effect", key);
	else if (err != -EEXIST)
		return err;
	err = get(p, key, 0, after, sizeof after, &len);
	if (err)
		return err;
	if (memcmp(before, after, sizeof before) != 0)
		bad(p, &p->ret->refuse, "%s has changed", key);
	good(&p->ret->refuse);
	return 0;
}

struct range {
	uint64_t off;
	size_t len, there;
};

static int try_range(struct probe *p, const char *key, uint8_t *buf, const struct range *r)
{
	size_t len = 0;
	int err = get(p, key, r->off, buf, r->len, &len);

	if (err)
		return err;
	if (len != r->there)
		bad(p, &p->ret->ranges, "%s: %zu bytes from %" PRIu64 " of %u are %zu, expected %zu",
		    key, r->len, r->off, RANGED_BYTES, len, r->there);
	else if (memcmp(buf, p->ranged + r->off, len) != 0)
		bad(p, &p->ret->ranges, "%s: %zu bytes from %" PRIu64 " are not what was put there",
		    key, len, r->off);
	return 0;
}

static int try_ranges(struct probe *p, const char *key)
{
	static const struct range ranges[] = {
		{ 0, 512, 512 },
		{ 65000, 1000, 1000 },
		{ RANGED_BYTES - 1, 1, 1 },
		{ RANGED_BYTES - 10, 100, 10 },
		{ RANGED_BYTES, 100, 0 },
		{ 0, RANGED_BYTES + 1, RANGED_BYTES },
	};
	uint8_t *buf = lsvd_malloc(RANGED_BYTES + 1);
	int err = buf ? 0 : lsvd_fail_plain(-ENOMEM);

	for (size_t i = 0; i < LSVD_ARRAY_LEN(ranges) && !err; i++)
		err = try_range(p, key, buf, &ranges[i]);
	if (!err)
		good(&p->ret->ranges);
	lsvd_free(buf);
	return err;
}

static int try_length(struct probe *p, const char *key)
{
	struct obj_io io = { .io = { .kind = IO_HEAD } };
	int err;

	memcpy(io.key, key, strlen(key) + 1);
	err = run(p, &io);
	if (err)
		return err;
	if (io.ret_bytes != RANGED_BYTES)
		bad(p, &p->ret->length, "%s: is said to have %" PRIu64 " bytes, expected %u", key,
		    io.ret_bytes, RANGED_BYTES);
	good(&p->ret->length);
	return 0;
}

/* A body no compressor and no cache would guess. */
static int make_ranged(struct probe *p)
{
	p->ranged = lsvd_malloc(RANGED_BYTES);
	if (!p->ranged)
		return lsvd_fail_plain(-ENOMEM);
	p->port->world->rnd->fill(p->port->world, p->ranged, RANGED_BYTES);
	return 0;
}

static int try_object(struct probe *p)
{
	char key[LSVD_KEY_MAX + 1];
	bool unsure;
	int err = make_ranged(p);

	if (err)
		return err;
	ranged_key(p, key);
	err = put(p, key, p->ranged, RANGED_BYTES, &unsure);
	p->ranged_put = err == 0 || unsure; /* else it was refused, and is not there */
	if (err && !(unsure && err == -EEXIST))
		return err;
	err = try_ranges(p, key);
	return err ? err : try_length(p, key);
}

/* -------------------------------------------------------------------------- listing and removing */

static int count_listed(void *ctx, const struct lsvd_object_info *info)
{
	unsigned *n = ctx;

	(void)info;
	++*n;
	return 0;
}

static void try_list(struct probe *p)
{
	unsigned listed = 0, put_here = p->races_put + p->ranged_put;
	struct obj_io io = { .io = { .kind = IO_LIST }, .list_fn = count_listed,
			     .list_ctx = &listed };

	(void)snprintf(io.key, sizeof io.key, "%s", p->dir); /* fits */
	p->ret->requests++;
	/* A listing is a hint: one that fails, or is old, stops nothing. */
	p->ret->list = lsvd_port_run1(p->port, &io.io) == 0 && listed == put_here
			       ? LSVD_PROBE_GOOD : LSVD_PROBE_BAD;
}

static int remove_one(struct probe *p, const char *key)
{
	struct obj_io io = { .io = { .kind = IO_REMOVE } };
	int err;

	memcpy(io.key, key, strlen(key) + 1);
	err = run(p, &io);
	if (err)
		bad(p, &p->ret->removed, "%s: not removed: %s", key, lsvd_error_name(err));
	return err;
}

/* As much as can be; the first error. */
static int remove_all(struct probe *p)
{
	char key[LSVD_KEY_MAX + 1];
	int err = 0;

	for (unsigned i = 0; i < p->races_put; i++) {
		race_key(p, key, i);
		err = err ? err : remove_one(p, key);
	}
	if (p->ranged_put && !err) {
		ranged_key(p, key);
		err = remove_one(p, key);
	}
	if (!err)
		good(&p->ret->removed);
	return err;
}

/* ------------------------------------------------------------------------------------- the probe */

static void name_dir(struct probe *p)
{
	char text[UUID_TEXT_LEN + 1];
	struct uuid u;

	p->port->world->rnd->fill(p->port->world, u.b, sizeof u.b);
	lsvd_uuid_stamp(&u);
	lsvd_uuid_format(&u, text);
	(void)snprintf(p->dir, sizeof p->dir, "probe/%s-", text); /* fits */
}

static bool is_fit(const struct lsvd_store_probe *r)
{
	return r->create == LSVD_PROBE_GOOD && r->refuse == LSVD_PROBE_GOOD &&
	       r->read_back == LSVD_PROBE_GOOD && r->ranges == LSVD_PROBE_GOOD &&
	       r->length == LSVD_PROBE_GOOD;
}

int lsvd_probe_store(struct port *port, struct lsvd_store_probe *ret)
{
	struct probe p = { .port = port, .ret = ret };
	char text[512] = "";
	int err;

	name_dir(&p);
	err = try_object(&p);
	if (!err)
		err = run_races(&p, ret->races, ret->racers);
	if (!err)
		err = try_second(&p);
	if (!err)
		try_list(&p);
	if (err)
		(void)snprintf(text, sizeof text, "%s", lsvd_last_error()); /* survives the rest */
	(void)remove_all(&p); /* noted; what the probe found stands */
	lsvd_free(p.ranged);
	if (err) {
		lsvd_error_restore(text);
		return err;
	}
	return is_fit(ret) ? 0 : lsvd_fail(LSVD_E_UNSUPPORTED, "%s: %s",
					   port->world->obj->name(port->world), ret->text);
}

static int set_defaults(struct lsvd_store_probe *p, const struct lsvd_store_probe *asked)
{
	*p = (struct lsvd_store_probe)LSVD_STORE_PROBE_INIT;
	p->races = asked->races ? asked->races : RACES;
	p->racers = asked->racers ? asked->racers : RACERS;
	if (p->races > RACES_MAX || p->racers > RACERS_MAX || p->racers < 2)
		return lsvd_fail(-EINVAL, "probe of %u races by %u, must be at most %u, by 2 to %u",
				 p->races, p->racers, RACES_MAX, RACERS_MAX);
	return 0;
}

int lsvd_store_probe(struct lsvd_store *store, struct lsvd_store_probe *ret)
{
	struct lsvd_store_probe asked, probe;
	struct world *world;
	struct port port;
	int err, end;

	err = lsvd_options_copy(&asked, sizeof asked, ret, sizeof asked, "store probe");
	if (!err)
		err = set_defaults(&probe, &asked);
	if (!err)
		err = lsvd_world_real_open(&world, store, NULL, false);
	if (err)
		return err;
	err = lsvd_port_init(&port, world);
	if (!err) {
		err = lsvd_probe_store(&port, &probe);
		lsvd_port_fini(&port);
	}
	lsvd_world_real_close(world);
	end = lsvd_options_fill(ret, &probe, sizeof probe, sizeof probe, "store probe");
	return err ? err : end;
}

/* ------------------------------------------------------------------------------------ remembering */

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

/* ------------------------------------------------------------------------------ may it be written? */

#define ADVICE "use a store that can, or say --unsafe-store (LSVD_OPEN_UNSAFE_STORE) and see to it " \
	"yourself that a volume never has two writers"

static int refuse_or_warn(struct world *w, bool unsafe, const char *why)
{
	if (!unsafe)
		return lsvd_fail(LSVD_E_UNSUPPORTED, "store %s %s; %s", w->obj->name(w), why, ADVICE);
	lsvd_report(LSVD_LOG_ERROR, "store %s %s: opened as asked, UNSAFE: nothing keeps a second "
		    "writer from destroying the volume", w->obj->name(w), why);
	return 0;
}

static int probe_now(struct port *port, bool unsafe, struct lsvd_store_probe *probe)
{
	int err = lsvd_probe_store(port, probe);

	if (err != LSVD_E_UNSUPPORTED)
		return err;
	return refuse_or_warn(port->world, unsafe, probe->text);
}

int lsvd_probe_check(struct port *port, uint32_t flags, bool cache,
			 struct lsvd_store_probe *probe)
{
	struct world *w = port->world;
	bool unsafe = flags & LSVD_OPEN_UNSAFE_STORE;
	uint32_t caps = w->obj->caps(w);
	int err;

	*probe = (struct lsvd_store_probe)LSVD_STORE_PROBE_INIT;
	probe->races = RACES;
	probe->racers = RACERS;
	if (!(caps & LSVD_STORE_CAP_CREATE))
		return refuse_or_warn(w, unsafe, "cannot create an object only if it is absent");
	if (!(caps & LSVD_STORE_CAP_PROBE) || (flags & CHECK_NO_PROBE) ||
	    (cache && remembered(port)))
		return 0;
	err = probe_now(port, unsafe, probe);
	if (!err && cache && is_fit(probe))
		remember(port);
	return err;
}

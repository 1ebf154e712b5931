/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * log_probe_ask.c - does the store do what a volume stands on? (include/lsvd/probe.h)
 *
 * A race is as many requests as there are racers, in the world at once, each with bytes of its own:
 * exactly one may be told that it created, and its bytes are what is there afterwards. A racer
 * whose answer is lost may have won; then nobody else has, and the bytes tell. What is put lies
 * below probe/ under names with a UUID, and is removed at the end, whatever was found.
 *
 * What does not depend on each other is asked at the same time, so that a short probe is four round
 * trips:
 *
 *   create   the races, and an object with something to read in it
 *   look     at the winners, at ranges, at the length; and the first winner's name is tried again
 *   after    is it still what the winner put? And a listing
 *   remove   all of it
 */
#include "log/log_probe.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/err.h"
#include "base/uuid.h"
#include "log/lineage.h"

#define RACES_AT_ONCE 4u
#define BODY_BYTES 64u
#define RANGED_BYTES 70000u
#define REMOVALS_AT_ONCE 32u

struct racer {
	struct obj_io io;
	struct iovec iov;
	uint8_t body[BODY_BYTES];
};

/* Of a race: who has won, as far as anybody was told. */
struct race {
	unsigned number;
	struct racer *racers;
	unsigned won, unsure;
	struct obj_io look;
	uint8_t there[BODY_BYTES + 1];
};

/* A range of the object to be read, and how much of it there is. */
struct range {
	uint64_t off;
	size_t len, there;
};

static const struct range ranges[] = {
	{ 0, 512, 512 },
	{ 65000, 1000, 1000 },
	{ RANGED_BYTES - 1, 1, 1 },
	{ RANGED_BYTES - 10, 100, 10 },
	{ RANGED_BYTES, 100, 0 },
	{ 0, RANGED_BYTES + 1, RANGED_BYTES },
};
#define RANGES LSVD_ARRAY_LEN(ranges)

struct probe {
	struct port *port;
	struct lsvd_store_probe *ret;
	char dir[64];                  /* "probe/<uuid>-" */
	unsigned races_put;            /* names to be removed */
	bool ranged_put;
	uint8_t *ranged;
	struct racer *racers;          /* of the races of one time, race by race */
	struct race races[RACES_AT_ONCE];
	/* the object with ranges */
	struct obj_io ranged_io, length_io, range_io[RANGES];
	struct iovec ranged_iov;
	uint8_t *range_buf[RANGES];
	/* the name that is tried a second time: race 0's */
	struct obj_io second_io;
	struct iovec second_iov;
	uint8_t second_body[BODY_BYTES];
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

/* ------------------------------------------------------------------------------------- requests */

static void init_put(struct obj_io *io, struct iovec *iov, const void *bytes, size_t len)
{
	*iov = (struct iovec){ (void *)(uintptr_t)bytes, len };
	*io = (struct obj_io){ .io = { .kind = IO_PUT }, .iov = iov, .iovcnt = 1 };
}

static void init_get(struct obj_io *io, uint64_t off, void *buf, size_t len)
{
	*io = (struct obj_io){ .io = { .kind = IO_GET }, .off = off, .buf = buf, .len = len };
}

/* All at once; what may pass is tried again. What is there or not is an answer. */
static int run_all(struct probe *p, struct obj_io **ios, unsigned n)
{
	int err = lsvd_lineage_run_all(p->port, ios, n);

	p->ret->requests += n;
	for (unsigned i = 0; i < n; i++) {
		if (ios[i]->io.kind == IO_GET && !ios[i]->io.err)
			p->ret->get_bytes += ios[i]->ret_len;
		if (ios[i]->io.kind == IO_PUT)
			p->ret->put_bytes += ios[i]->iov->iov_len;
	}
	return err;
}

/* --------------------------------------------------------------------------------------- create */

static void body_of(uint8_t body[BODY_BYTES], unsigned race, unsigned racer)
{
	for (unsigned i = 0; i < BODY_BYTES; i++)
		body[i] = (uint8_t)(i * 7 + race * 31 + racer);
	body[0] = (uint8_t)racer;
}

static unsigned add_racers(struct probe *p, struct race *r, struct io **ios)
{
	const unsigned n = p->ret->racers;

	for (unsigned i = 0; i < n; i++) {
		struct racer *racer = &r->racers[i];

		body_of(racer->body, r->number, i);
		init_put(&racer->io, &racer->iov, racer->body, BODY_BYTES);
		race_key(p, racer->io.key, r->number);
		ios[i] = &racer->io.io;
	}
	p->races_put = r->number + 1;
	p->ret->requests += n;
	p->ret->put_bytes += n * BODY_BYTES;
	return n;
}

static void add_ranged(struct probe *p)
{
	init_put(&p->ranged_io, &p->ranged_iov, p->ranged, RANGED_BYTES);
	ranged_key(p, p->ranged_io.key);
	p->ranged_put = true;
	p->ret->requests++;
	p->ret->put_bytes += RANGED_BYTES;
}

/* How many were told that they created, and how many were told nothing; or what stops the probe. */
static int count_racers(struct probe *p, struct race *r)
{
	const unsigned n = p->ret->racers;

	r->won = r->unsure = 0;
	for (unsigned i = 0; i < n; i++) {
		int err = r->racers[i].io.io.err;

		r->won += err == 0;
		r->unsure += err == LSVD_E_UNAVAILABLE;
		if (err < 0 && err != -EEXIST && err != LSVD_E_UNAVAILABLE)
			return lsvd_fail(err, "%s: %s", r->racers[i].io.key, lsvd_strerror(err));
	}
	if (r->won > 1)
		bad(p, &p->ret->create, "%u of %u creators of one object at the same time were "
		    "told that they created it: it is not created only if absent", r->won, n);
	else if (!r->won && !r->unsure)
		bad(p, &p->ret->create, "none of %u creators of a new object created it", n);
	return !r->won && r->unsure == n
		       ? lsvd_fail(LSVD_E_UNAVAILABLE, "%s: none of %u creators of an object was "
				   "answered", p->port->world->obj->name(p->port->world), n)
		       : 0;
}

/* Its answer was lost: whatever is there is read, and is it or is not. */
static int ranged_again(struct probe *p)
{
	struct obj_io *io = &p->ranged_io;
	int err = io->io.err;

	if (err == LSVD_E_UNAVAILABLE)
		err = lsvd_lineage_run(p->port, io);
	if (err == -EEXIST)
		err = 0;
	p->ranged_put = err == 0 || err == LSVD_E_UNAVAILABLE; /* else it was refused: not there */
	return err;
}

/* `k` races from p->races[0] on, and with the first of all the object with ranges. */
static int create(struct probe *p, unsigned k)
{
	struct io *ios[RACES_AT_ONCE * PROBE_RACERS_MAX + 1];
	bool first = p->races[0].number == 0;
	unsigned n = 0;
	int err = 0, failed;

	if (first) {
		add_ranged(p);
		ios[n++] = &p->ranged_io.io;
	}
	for (unsigned i = 0; i < k; i++)
		n += add_racers(p, &p->races[i], ios + n);
	failed = lsvd_port_run(p->port, ios, n); /* each has its own result */
	if (failed && failed != -EEXIST && failed != LSVD_E_UNAVAILABLE)
		return failed; /* the text is this one's */
	if (first)
		err = ranged_again(p);
	for (unsigned i = 0; i < k && !err; i++)
		err = count_racers(p, &p->races[i]);
	return err;
}

/* ----------------------------------------------------------------------------------------- look */

static void add_winner(struct probe *p, struct race *r, struct obj_io **io)
{
	init_get(&r->look, 0, r->there, sizeof r->there);
	race_key(p, r->look.key, r->number);
	*io = &r->look;
}

/* The object must be one racer's; that of the one that was told so. */
static void check_winner(struct probe *p, const struct race *r)
{
	const char *key = r->look.key;

	if (r->look.io.err) {
		bad(p, &p->ret->read_back, "%s was created and is not there", key);
		return;
	}
	if (r->look.ret_len != BODY_BYTES || r->there[0] >= p->ret->racers ||
	    memcmp(r->there, r->racers[r->there[0]].body, BODY_BYTES) != 0)
		bad(p, &p->ret->read_back, "%s: %zu bytes that nobody put", key, r->look.ret_len);
	else if (r->won && r->racers[r->there[0]].io.io.err)
		bad(p, &p->ret->create, "%s is what a creator put who was told that another was "
		    "there first", key);
	else
		good(&p->ret->read_back);
}

static unsigned add_looks_at_ranged(struct probe *p, struct obj_io **ios)
{
	for (size_t i = 0; i < RANGES; i++) {
		init_get(&p->range_io[i], ranges[i].off, p->range_buf[i], ranges[i].len);
		ranged_key(p, p->range_io[i].key);
		ios[i] = &p->range_io[i];
	}
	p->length_io = (struct obj_io){ .io = { .kind = IO_HEAD } };
	ranged_key(p, p->length_io.key);
	ios[RANGES] = &p->length_io;
	return RANGES + 1;
}

static void check_range(struct probe *p, const struct range *r, const struct obj_io *io)
{
	if (io->io.err)
		bad(p, &p->ret->read_back, "%s was created and is not there", io->key);
	else if (io->ret_len != r->there)
		bad(p, &p->ret->ranges,
		    "%s: %zu bytes from %" PRIu64 " of %u are %zu, expected %zu", io->key, r->len,
		    r->off, RANGED_BYTES, io->ret_len, r->there);
	else if (memcmp(io->buf, p->ranged + r->off, io->ret_len) != 0)
		bad(p, &p->ret->ranges, "%s: %zu bytes from %" PRIu64 " are not what was put there",
		    io->key, io->ret_len, r->off);
}

static void check_ranged(struct probe *p)
{
	for (size_t i = 0; i < RANGES; i++)
		check_range(p, &ranges[i], &p->range_io[i]);
	good(&p->ret->ranges);
	if (p->length_io.io.err)
		bad(p, &p->ret->read_back, "%s was created and is not there", p->length_io.key);
	else if (p->length_io.ret_bytes != RANGED_BYTES)
		bad(p, &p->ret->length, "%s: is said to have %" PRIu64 " bytes, expected %u",
		    p->length_io.key, p->length_io.ret_bytes, RANGED_BYTES);
	good(&p->ret->length);
}

/* Bytes unlike those of any racer. */
static void add_second(struct probe *p, struct obj_io **io)
{
	body_of(p->second_body, 0, PROBE_RACERS_MAX);
	init_put(&p->second_io, &p->second_iov, p->second_body, BODY_BYTES);
	race_key(p, p->second_io.key, 0);
	*io = &p->second_io;
}

/* The winner of race 0 is looked at afterwards, when its name has been tried again. */
static int look(struct probe *p, unsigned k)
{
	struct obj_io *ios[RACES_AT_ONCE + RANGES + 2];
	bool first = p->races[0].number == 0;
	unsigned n = 0;
	int err;

	if (first) {
		n = add_looks_at_ranged(p, ios);
		add_second(p, &ios[n++]);
	}
	for (unsigned i = first; i < k; i++)
		add_winner(p, &p->races[i], &ios[n++]);
	err = run_all(p, ios, n);
	if (err)
		return err;
	if (first)
		check_ranged(p);
	for (unsigned i = first; i < k; i++)
		check_winner(p, &p->races[i]);
	return 0;
}

/* ---------------------------------------------------------------------------------------- after */

static int count_listed(void *ctx, const struct lsvd_object_info *info)
{
	unsigned *n = ctx;

	(void)info;
	++*n;
	return 0;
}

/* A listing is a hint: one that fails, or is old, stops nothing. */
static void check_list(struct probe *p, const struct obj_io *list, unsigned listed)
{
	p->ret->list = !list->io.err && listed == p->races_put + p->ranged_put ? LSVD_PROBE_GOOD
									      : LSVD_PROBE_BAD;
}

static void check_second(struct probe *p)
{
	const struct race *r = &p->races[0];

	if (!p->second_io.io.err)
		bad(p, &p->ret->refuse, "%s is there and was created again: If-None-Match, or what "
		    "the driver does in its place, has no effect", p->second_io.key);
	else if (!r->look.io.err && memcmp(r->there, p->second_body, BODY_BYTES) == 0)
		bad(p, &p->ret->refuse, "%s has changed", p->second_io.key);
	good(&p->ret->refuse);
}

static int after(struct probe *p)
{
	struct race *r = &p->races[0];
	unsigned listed = 0;
	struct obj_io list = { .io = { .kind = IO_LIST }, .list_fn = count_listed,
			       .list_ctx = &listed };
	struct obj_io *winner;
	int err;

	(void)snprintf(list.key, sizeof list.key, "%s", p->dir); /* fits */
	add_winner(p, r, &winner);
	p->ret->requests += 2;
	(void)lsvd_port_run(p->port, (struct io *[]){ &winner->io, &list.io }, 2); /* see below */
	check_list(p, &list, listed);
	err = winner->io.err;
	if (err == LSVD_E_UNAVAILABLE)
		err = lsvd_lineage_run(p->port, winner);
	if (err && err != -ENOENT)
		return lsvd_fail(err, "%s: %s", winner->key, lsvd_strerror(err));
	p->ret->get_bytes += winner->ret_len;
	check_second(p);
	if (p->ret->refuse == LSVD_PROBE_GOOD)
		check_winner(p, r); /* else there is no telling what should be there */
	return 0;
}

/* --------------------------------------------------------------------------------------- remove */

static void name_victim(const struct probe *p, char *key, unsigned i)
{
	if (i < p->races_put)
		race_key(p, key, i);
	else
		ranged_key(p, key);
}

static void remove_some(struct probe *p, struct obj_io *ios, unsigned first, unsigned n)
{
	struct obj_io *list[REMOVALS_AT_ONCE];

	for (unsigned i = 0; i < n; i++) {
		ios[i] = (struct obj_io){ .io = { .kind = IO_REMOVE } };
		name_victim(p, ios[i].key, first + i);
		list[i] = &ios[i];
	}
	(void)run_all(p, list, n); /* each has its own result */
	for (unsigned i = 0; i < n; i++)
		if (ios[i].io.err && ios[i].io.err != -ENOENT)
			bad(p, &p->ret->removed, "%s: not removed: %s", ios[i].key,
			    lsvd_error_name(ios[i].io.err));
}

/* As much as can be; after a failure no more is tried. */
static void remove_all(struct probe *p)
{
	unsigned all = p->races_put + p->ranged_put;
	struct obj_io *ios = lsvd_calloc(REMOVALS_AT_ONCE, sizeof *ios);

	if (!ios) {
		bad(p, &p->ret->removed, "nothing removed: %s", lsvd_strerror(-ENOMEM));
		return;
	}
	for (unsigned i = 0; i < all && p->ret->removed != LSVD_PROBE_BAD; i += REMOVALS_AT_ONCE)
		remove_some(p, ios, i, all - i < REMOVALS_AT_ONCE ? all - i : REMOVALS_AT_ONCE);
	good(&p->ret->removed);
	lsvd_free(ios);
}

/* ------------------------------------------------------------------------------------ the probe */

static void name_dir(struct probe *p)
{
	char text[UUID_TEXT_LEN + 1];
	struct uuid u;

	p->port->world->rnd->fill(p->port->world, u.b, sizeof u.b);
	lsvd_uuid_stamp(&u);
	lsvd_uuid_format(&u, text);
	(void)snprintf(p->dir, sizeof p->dir, "probe/%s-", text); /* fits */
}

static void free_probe(struct probe *p)
{
	for (size_t i = 0; p && i < RANGES; i++)
		lsvd_free(p->range_buf[i]);
	if (p) {
		lsvd_free(p->ranged);
		lsvd_free(p->racers);
	}
	lsvd_free(p);
}

static struct probe *new_probe(struct port *port, struct lsvd_store_probe *ret)
{
	struct probe *p = lsvd_calloc(1, sizeof *p);
	bool ok = p != NULL;

	if (!p)
		return NULL;
	p->port = port;
	p->ret = ret;
	p->racers = lsvd_calloc((size_t)RACES_AT_ONCE * ret->racers, sizeof *p->racers);
	p->ranged = lsvd_malloc(RANGED_BYTES);
	ok = p->racers && p->ranged;
	for (size_t i = 0; i < RANGES; i++) {
		p->range_buf[i] = lsvd_malloc(ranges[i].len);
		ok = ok && p->range_buf[i];
	}
	if (!ok) {
		free_probe(p);
		return NULL;
	}
	/* A body no compressor and no cache would guess. */
	port->world->rnd->fill(port->world, p->ranged, RANGED_BYTES);
	name_dir(p);
	return p;
}

static int run_races(struct probe *p, unsigned first, unsigned k)
{
	int err;

	for (unsigned i = 0; i < k; i++)
		p->races[i] = (struct race){ .number = first + i,
					     .racers = p->racers + i * p->ret->racers };
	err = create(p, k);
	if (!err)
		err = look(p, k);
	if (!err && first == 0)
		err = after(p);
	return err;
}

static int ask(struct probe *p)
{
	int err = 0;

	for (unsigned i = 0; i < p->ret->races && !err; i += RACES_AT_ONCE)
		err = run_races(p, i, p->ret->races - i < RACES_AT_ONCE ? p->ret->races - i
									: RACES_AT_ONCE);
	if (!err)
		good(&p->ret->create);
	return err;
}

bool lsvd_probe_fit(const struct lsvd_store_probe *r)
{
	return r->create == LSVD_PROBE_GOOD && r->refuse == LSVD_PROBE_GOOD &&
	       r->read_back == LSVD_PROBE_GOOD && r->ranges == LSVD_PROBE_GOOD &&
	       r->length == LSVD_PROBE_GOOD;
}

static int verdict(const struct probe *p)
{
	return lsvd_probe_fit(p->ret) ? 0 : lsvd_fail(LSVD_E_UNSUPPORTED, "%s: %s",
		p->port->world->obj->name(p->port->world), p->ret->text);
}

int lsvd_probe_store(struct port *port, struct lsvd_store_probe *ret,
			 void (*known)(void *ctx, int err), void *ctx)
{
	struct probe *p = new_probe(port, ret);
	char text[512] = "";
	int err = p ? ask(p) : lsvd_fail_plain(-ENOMEM);

	if (!err)
		err = verdict(p);
	if (err)
		(void)snprintf(text, sizeof text, "%s", lsvd_last_error()); /* survives the rest */
	if (known)
		known(ctx, err);
	if (p)
		remove_all(p); /* noted; what the probe found stands */
	free_probe(p);
	if (err)
		lsvd_error_restore(text);
	return err;
}

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * check_store.c - what a check asks of the store: one listing, and then objects, several at once.
 *
 * A listing may be old. So what is not listed and should be there is asked for by its name before
 * it is called missing, and only the lengths of objects are taken from the listing.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/err.h"
#include "format/fmt_key.h"
#include "volume/vol_check.h"

#define TRIES 6u
#define PAUSE_MS 100u
#define GUESS_BYTES 65536u   /* of a chain object at first: its header, nearly always */

/* ---------------------------------------------------------------------------------- the listing */

static int by_name(const void *a, const void *b)
{
	const struct check_object *x = a, *y = b;

	if (x->ancestor != y->ancestor)
		return x->ancestor < y->ancestor ? -1 : 1;

	if (x->kind != y->kind)
		return x->kind < y->kind ? -1 : 1;
	if (x->epoch != y->epoch)
		return x->epoch < y->epoch ? -1 : 1;
	return x->number < y->number ? -1 : x->number > y->number;
}

static int add_object(struct check *c, const struct check_object *o)
{
	if (c->count == c->room) {
		size_t room = c->room ? c->room * 2 : 1024;
		struct check_object *objects = lsvd_realloc(c->objects, room * sizeof *objects);

		if (!objects)
			return lsvd_fail_plain(-ENOMEM);
		c->objects = objects;
		c->room = room;
	}
	c->objects[c->count++] = *o;
	return 0;
}

/* Where its name belongs. */
static int insert_object(struct check *c, const struct check_object *o)
{
	size_t at = c->count;
	int err = add_object(c, o);

	if (err)
		return err;
	for (; at && by_name(&c->objects[at - 1], o) > 0; at--)
		c->objects[at] = c->objects[at - 1];
	c->objects[at] = *o;
	return 0;
}

/* Names that are none of ours are nobody's business: whoever put them knows why. */
static int note_object(void *ctx, const struct lsvd_object_info *info)
{
	struct check *c = ctx;
	/* Of another's objects it does not matter what leads to them. */
	struct check_object o = { .bytes = info->bytes, .ancestor = (uint8_t)c->listing,
				  .used = c->listing > 0 };
	struct key_parts k;

	if (!lsvd_key_parse(&k, info->key))
		return 0;
	o.kind = (uint8_t)k.kind;
	o.epoch = k.epoch;
	o.number = k.number;
	c->list_err = add_object(c, &o);
	return c->list_err < 0;
}

static void pause_for(struct check *c, uint64_t ms)
{
	struct timer_io t = { .io = { .kind = IO_TIMER } };

	t.at_ms = lsvd_vol_now(c->v) + ms;
	(void)lsvd_port_run1(&c->v->port, &t.io); /* a timer ends; early would do as well */
}

/* Adds the objects of one volume. */
static int list_volume(struct check *c, const struct uuid *u)
{
	const size_t before = c->count;
	struct obj_io io;
	int err = LSVD_E_UNAVAILABLE;

	for (unsigned i = 0; i < TRIES && err == LSVD_E_UNAVAILABLE; i++) {
		if (i)
			pause_for(c, (uint64_t)PAUSE_MS << i);
		c->count = before;
		c->list_err = 0;
		io = (struct obj_io){ .io = { .kind = IO_LIST }, .list_fn = note_object,
				      .list_ctx = c };
		lsvd_key_prefix(io.key, u, 0);
		err = lsvd_port_run1(&c->v->port, &io.io);
	}
	return err ? err : c->list_err;
}

int lsvd_check_list(struct check *c)
{
	const struct lsvd_volume *v = c->v;
	int err = list_volume(c, &v->uuid);

	c->report.objects = c->count;
	for (size_t i = 0; i < c->count; i++)
		c->report.bytes += c->objects[i].bytes;
	for (unsigned i = 0; v->ancestry && i < v->ancestry->count && !err; i++) {
		c->listing = i + 1;
		err = list_volume(c, &v->ancestry->list[i].volume);
	}
	if (!err && c->count)
		qsort(c->objects, c->count, sizeof *c->objects, by_name);
	return err;
}

int lsvd_check_key_kind(const struct object_entry *e)
{
	if (lsvd_object_is_in_chain(e))
		return KEY_CHAIN;
	return e->home == HOME_ROOT ? KEY_ROOT : KEY_FREE;
}

void lsvd_check_entry_key(const struct check *c, char key[KEY_CAP], const struct object_entry *e)
{
	if (e->home == HOME_ROOT)
		lsvd_check_key(c, key, KEY_ROOT, e->epoch, e->seq);
	else
		lsvd_vol_object_key(key, c->v, e);
}

static struct check_object *find(const struct check *c, const struct check_object *key)
{
	return c->count ? bsearch(key, c->objects, c->count, sizeof *key, by_name) : NULL;
}

struct check_object *lsvd_check_find(const struct check *c, int kind, uint64_t epoch,
				     uint64_t number)
{
	const struct check_object key = { .epoch = epoch, .number = number,
					  .kind = (uint8_t)kind };

	return find(c, &key);
}

size_t lsvd_check_first(const struct check *c, int kind, uint64_t epoch)
{
	const struct check_object key = { .epoch = epoch, .kind = (uint8_t)kind };
	size_t lo = 0, hi = c->count;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (by_name(&c->objects[mid], &key) < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

void lsvd_check_key(const struct check *c, char key[KEY_CAP], int kind, uint64_t epoch,
		    uint64_t number)
{
	const struct uuid *u = &c->v->uuid;

	if (kind == KEY_CLAIM)
		lsvd_key_claim(key, u, epoch);
	else if (kind == KEY_CHAIN)
		lsvd_key_chain(key, u, epoch, number);
	else if (kind == KEY_ROOT)
		lsvd_key_root(key, u, epoch, number);
	else
		lsvd_key_free(key, u, epoch, number);
}

/* Is it there? If it was not listed, under this name? Then it is as if it had been. */
static int ask_by_name(struct check *c, const struct check_object *key, const char *name, bool *ret)
{
	struct check_get get = { .err = 0 };
	struct check_object o = *key;
	int err;

	*ret = find(c, key) != NULL;
	if (*ret)
		return 0;
	memcpy(get.io.key, name, KEY_CAP);
	err = lsvd_check_run(c, &get, 1, IO_HEAD);
	if (err || get.err)
		return err;
	o.bytes = get.io.ret_bytes;
	*ret = true;
	return insert_object(c, &o);
}

int lsvd_check_there(struct check *c, int kind, uint64_t epoch, uint64_t number, bool *ret)
{
	const struct check_object key = { .epoch = epoch, .number = number, .kind = (uint8_t)kind };
	char name[KEY_CAP];

	lsvd_check_key(c, name, kind, epoch, number);
	return ask_by_name(c, &key, name, ret);
}

int lsvd_check_entry(struct check *c, const struct object_entry *e, struct check_object **ret)
{
	const struct check_object key = { .epoch = e->epoch, .number = e->seq,
					  .ancestor = e->ancestor,
					  .kind = (uint8_t)lsvd_check_key_kind(e) };
	char name[KEY_CAP];
	bool there;
	int err = 0;

	lsvd_check_entry_key(c, name, e);
	if (lsvd_check_needs(c, e))
		err = ask_by_name(c, &key, name, &there);
	*ret = find(c, &key);
	return err;
}

/* ------------------------------------------------------------------------------------- requests */

/* Sends those that have no answer (err 1); how many still have none? */
static unsigned send(struct check *c, struct check_get *gets, unsigned n, enum io_kind kind)
{
	struct io *ios[CHECK_AT_ONCE];
	unsigned sent = 0, left = 0;

	for (unsigned i = 0; i < n; i++) {
		struct io *io = &gets[i].io.io;

		if (gets[i].err <= 0)
			continue;
		io->kind = kind;
		gets[i].io.ret_len = 0;
		ios[sent++] = io;
	}
	(void)lsvd_port_run(&c->v->port, ios, sent); /* each has its own result */
	for (unsigned i = 0; i < n; i++) {
		if (gets[i].err <= 0)
			continue;
		gets[i].err = gets[i].io.io.err == LSVD_E_UNAVAILABLE ? 1 : gets[i].io.io.err;
		left += gets[i].err > 0;
		c->v->stats.recovery_gets++;
		c->v->stats.recovery_get_bytes += gets[i].io.ret_len;
	}
	return left;
}

static bool is_answer(int err)
{
	return err == 0 || err == -ENOENT || err == -EIO || err == LSVD_E_CORRUPT;
}

int lsvd_check_run(struct check *c, struct check_get *gets, unsigned n, enum io_kind kind)
{
	unsigned left = n;

	for (unsigned i = 0; i < n; i++)
		gets[i].err = 1;
	for (unsigned i = 0; i < TRIES && left; i++) {
		if (i)
			pause_for(c, (uint64_t)PAUSE_MS << i);
		left = send(c, gets, n, kind);
	}
	for (unsigned i = 0; i < n; i++) {
		if (gets[i].err > 0)
			return lsvd_fail(LSVD_E_UNAVAILABLE,
					 "volume %s: object %s cannot be read now", c->v->name,
					 gets[i].io.key);
		if (!is_answer(gets[i].err))
			return lsvd_fail(gets[i].err, "volume %s: object %s: %s", c->v->name,
					 gets[i].io.key, lsvd_strerror(gets[i].err));
	}
	return 0;
}

/* ------------------------------------------------------------------------- headers of the chain */

/* -ENODATA: it ends within its header. */
static int decode(const struct check *c, struct check_header *h, const struct check_get *g)
{
	const char *what = g->io.key;
	int err;

	if (g->io.ret_len < OBJECT_HEAD_BYTES)
		return lsvd_fail(-ENODATA, "object %s: has %zu bytes, fewer than its header", what,
				 g->io.ret_len);
	err = lsvd_object_head_decode(&h->head, h->bytes, g->io.ret_len, what);
	if (err == -ENODATA)
		return lsvd_fail(err, "object %s: has %zu bytes, a part of its header of %u", what,
				 g->io.ret_len, h->head.header_bytes);
	if (err)
		return err;
	err = lsvd_object_head_expect(&h->head, &c->v->uuid, 0, h->epoch, h->seq, what);
	if (err)
		return err == LSVD_E_CORRUPT ? -ESTALE : err;
	return lsvd_chain_part_decode(&h->chain, h->bytes, &h->head, what);
}

/* Reads the first `len` bytes of those in `again`, which say which of the headers they are of. */
static int read_begin(struct check *c, struct check_header *headers, const unsigned *which,
		      unsigned n, struct check_get *gets)
{
	memset(gets, 0, n * sizeof *gets);
	for (unsigned i = 0; i < n; i++) {
		struct check_header *h = &headers[which[i]];
		size_t len = max_u64(GUESS_BYTES, h->head.header_bytes);
		uint8_t *bytes = lsvd_realloc(h->bytes, len);

		if (!bytes)
			return lsvd_fail_plain(-ENOMEM);
		h->bytes = bytes;
		gets[i].io.buf = bytes;
		gets[i].io.len = len;
		lsvd_key_chain(gets[i].io.key, &c->v->uuid, h->epoch, h->seq);
	}
	return lsvd_check_run(c, gets, n, IO_GET);
}

static void say_bad(struct check *c, const struct check_header *h, int err, const char *key)
{
	struct check_fault f = { .severity = LSVD_CHECK_ERROR, .kind = lsvd_check_kind_of(err),
				 .object = key, .advice = lsvd_check_advice_chain };

	if (err == -ENODATA)
		f.kind = LSVD_CHECK_LENGTH;
	else if (err == -ESTALE)
		f.kind = LSVD_CHECK_FOREIGN;
	else if (err == LSVD_E_VERSION)
		f.advice = "use a newer version of this program";
	else
		f.len = h->head.header_bytes;
	lsvd_check_found_last(c, &f);
}

/* 1: read again, for an answer may be damaged, or its header is longer than was read. */
static int take(struct check *c, struct check_header *h, const struct check_get *g, bool last,
		bool quiet)
{
	h->err = g->err;
	if (g->err == 0)
		h->err = decode(c, h, g);
	else if (g->err != -ENOENT)
		h->err = lsvd_fail(g->err, "object %s: the store cannot read it", g->io.key);
	if (h->err == 0 || h->err == -ENOENT)
		return 0;
	if (!last)
		return 1;
	if (!quiet)
		say_bad(c, h, h->err, g->io.key);
	return 0;
}

int lsvd_check_headers(struct check *c, struct check_header *headers, unsigned n, bool quiet)
{
	struct check_get *gets = lsvd_malloc(CHECK_AT_ONCE * sizeof *gets);
	unsigned which[CHECK_AT_ONCE], left = 0;
	int err = gets ? 0 : lsvd_fail_plain(-ENOMEM);

	for (unsigned i = 0; i < n; i++) {
		headers[i].bytes = NULL;
		headers[i].head.header_bytes = 0;
		which[left++] = i;
	}
	for (unsigned round = 0; round < 3 && left && !err; round++) {
		unsigned again = 0;

		err = read_begin(c, headers, which, left, gets);
		for (unsigned i = 0; i < left && !err; i++)
			if (take(c, &headers[which[i]], &gets[i], round == 2, quiet))
				which[again++] = which[i];
		left = again;
	}
	lsvd_free(gets);
	if (err)
		lsvd_check_free_headers(headers, n);
	return err;
}

void lsvd_check_free_headers(struct check_header *headers, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		lsvd_free(headers[i].bytes);
		headers[i].bytes = NULL;
	}
}

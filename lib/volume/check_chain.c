/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * check_chain.c - claims, and the path of the history: which objects of which epochs it goes
 * through.
 *
 * The path is found as an open finds it: from the newest activated epoch's last object back through
 * the bases. Headers are read here only to find the way; what is wrong with them is said when the
 * path is gone along (check_replay.c).
 */
#include <errno.h>
#include <string.h>

#include "base/alloc.h"
#include "base/err.h"
#include "format/fmt_claim.h"
#include "format/fmt_key.h"
#include "volume/vol_check.h"

/* So many claims may be missing in a row. */
#define EPOCHS_MISSING_MAX 1024u

/* --------------------------------------------------------------------------------------- claims */

static const char *const advice_claim =
	"restore it from a copy of the store: without it two writers may take the same epoch";

static int decode_claim(struct check *c, const struct check_get *g, uint64_t epoch)
{
	struct fmt_claim claim;
	int err = g->err;

	if (err == -ENOENT)
		(void)lsvd_fail(err, "claim %s is missing, and there are later ones", g->io.key);
	else if (err)
		(void)lsvd_fail(err, "claim %s: the store cannot read it", g->io.key);
	else
		err = lsvd_claim_decode(&claim, &c->v->uuid, epoch, g->io.buf, g->io.ret_len,
					g->io.key);
	if (!err && g->io.ret_len != FMT_CLAIM_BYTES)
		err = lsvd_fail(LSVD_E_CORRUPT, "claim %s has %zu bytes or more, expected %u",
				g->io.key, g->io.ret_len, FMT_CLAIM_BYTES);
	return err;
}

/* What does not verify is asked for once more: an answer may be damaged. */
static int check_claim(struct check *c, struct check_get *g, uint64_t epoch)
{
	struct check_fault f = { .severity = LSVD_CHECK_ERROR, .object = g->io.key,
				 .advice = advice_claim };
	int bad = decode_claim(c, g, epoch), err;

	if (bad && bad != -ENOENT) {
		err = lsvd_check_run(c, g, 1, IO_GET);
		if (err)
			return err;
		bad = decode_claim(c, g, epoch);
	}
	f.kind = lsvd_check_kind_of(bad);
	if (bad)
		lsvd_check_found_last(c, &f);
	return 0;
}

/* Claims first … first + n - 1. */
static int check_claims(struct check *c, uint64_t first, unsigned n)
{
	struct check_get *gets = lsvd_calloc(n, sizeof *gets);
	uint8_t *bytes = lsvd_malloc(n * 2 * FMT_CLAIM_BYTES);
	int err = gets && bytes ? 0 : lsvd_fail_plain(-ENOMEM);

	for (unsigned i = 0; i < n && !err; i++) {
		gets[i].io.buf = bytes + i * 2 * FMT_CLAIM_BYTES;
		gets[i].io.len = 2 * FMT_CLAIM_BYTES;
		lsvd_key_claim(gets[i].io.key, &c->v->uuid, first + i);
	}
	if (!err)
		err = lsvd_check_run(c, gets, n, IO_GET);
	for (unsigned i = 0; i < n && !err; i++)
		err = check_claim(c, &gets[i], first + i);
	lsvd_free(gets);
	lsvd_free(bytes);
	return err;
}

static void tell_astray(struct check *c, struct check_object *o)
{
	struct check_fault f = { .severity = LSVD_CHECK_WARNING, .kind = LSVD_CHECK_ASTRAY,
				 .advice = "nothing: no open comes that far" };
	char key[KEY_CAP];

	lsvd_check_key(c, key, o->kind, o->epoch, o->number);
	f.object = key;
	o->used = true;
	lsvd_check_found(c, &f, "object %s: its epoch is far beyond the newest, %llu", key,
			 (unsigned long long)c->newest_claim);
}

/*
 * The newest epoch of which objects are listed. Epochs are numbered without gaps: a few claims may
 * be missing, but an object far beyond them is of no epoch that was.
 */
static void find_newest_listed(struct check *c, int kind)
{
	for (size_t i = lsvd_check_first(c, kind, 0); i < c->count; i++) {
		struct check_object *o = &c->objects[i];

		if (o->kind != kind || o->ancestor)
			break;
		if (o->epoch > c->newest_claim && o->epoch - c->newest_claim > EPOCHS_MISSING_MAX) {
			tell_astray(c, o);
			continue;
		}
		c->newest_claim = max_u64(c->newest_claim, o->epoch);
	}
}

/* Where there are chain objects there was a claim. */
static int find_newest_claim(struct check *c)
{
	bool there = true;
	int err = 0;

	find_newest_listed(c, KEY_CLAIM);
	find_newest_listed(c, KEY_CHAIN);
	while (!err && there) {
		err = lsvd_check_there(c, KEY_CLAIM, c->newest_claim + 1, 0, &there);
		c->newest_claim += !err && there;
	}
	return err;
}

int lsvd_check_claims(struct check *c)
{
	int err = find_newest_claim(c);

	for (uint64_t e = 1; e <= c->newest_claim && !err; e += CHECK_AT_ONCE) {
		err = lsvd_check_progress(c, LSVD_CHECK_CLAIMS, e - 1, c->newest_claim);
		if (!err)
			err = check_claims(c, e, (unsigned)min_u64(CHECK_AT_ONCE,
								   c->newest_claim - e + 1));
	}
	for (size_t i = 0; i < c->count; i++)
		if (c->objects[i].kind == KEY_CLAIM)
			c->objects[i].used = true;
	return err;
}

/* --------------------------------------------------------------------------- the end of a chain */

/* Is there a later object of the epoch that calls `seq` acknowledged? */
static int acked_later(struct check *c, uint64_t epoch, uint64_t seq, bool *ret)
{
	struct check_header headers[CHECK_AT_ONCE];
	size_t i = lsvd_check_first(c, KEY_CHAIN, epoch);
	unsigned n = 1;
	int err = 0;

	*ret = false;
	while (!err && n && !*ret) {
		for (n = 0; n < CHECK_AT_ONCE && i < c->count && c->objects[i].kind == KEY_CHAIN &&
			    c->objects[i].epoch == epoch && !c->objects[i].ancestor; i++)
			if (c->objects[i].number > seq)
				headers[n++] = (struct check_header){ .epoch = epoch,
								.seq = c->objects[i].number };
		err = lsvd_check_headers(c, headers, n, true);
		if (err)
			break;
		for (unsigned j = 0; j < n; j++)
			*ret |= headers[j].err == 0 && headers[j].chain.acked_seq >= seq;
		lsvd_check_free_headers(headers, n);
	}
	return err;
}

static bool is_short(const struct check *c, const struct check_header *h)
{
	const struct check_object *o = lsvd_check_find(c, KEY_CHAIN, h->epoch, h->seq);

	return h->err == -ENODATA ||
	       (h->err == 0 && o && o->bytes < h->head.header_bytes + h->head.body_bytes);
}

/* What is put last may be there in part; nobody was told that it is there. */
static void say_torn(struct check *c, uint64_t epoch, uint64_t seq)
{
	struct check_fault f = { .severity = LSVD_CHECK_WARNING, .kind = LSVD_CHECK_TORN };
	struct check_object *o = lsvd_check_find(c, KEY_CHAIN, epoch, seq);
	char key[KEY_CAP];

	lsvd_check_key(c, key, KEY_CHAIN, epoch, seq);
	f.object = key;
	f.advice = "nothing: it was never acknowledged, and the next writer goes on before it";
	lsvd_check_found(c, &f, "object %s is there in part only, at the end of the chain", key);
	if (o)
		o->used = true;
}

/* *ret_more false: the chain ends before h. */
static int take_next(struct check *c, struct check_leg *leg, const struct check_header *h,
		     bool *ret_more)
{
	bool acked = false;
	int err = 0;

	*ret_more = false;
	if (h->err == 0 && h->head.kind == OBJECT_FENCE) {
		c->open_end = false;
		return 0;
	}
	if (h->err == -ENOENT || is_short(c, h)) {
		err = acked_later(c, h->epoch, h->seq, &acked);
		if (!err && !acked && h->err != -ENOENT) {
			say_torn(c, h->epoch, h->seq);
			c->open_end = false;
		}
		if (err || !acked)
			return err;
	}
	leg->last = h->seq;
	if (h->err == 0 && h->chain.root.epoch)
		c->root = h->chain.root;
	c->open_end = !(h->err == 0 && h->head.kind == OBJECT_CLOSE);
	*ret_more = c->open_end;
	return 0;
}

static int walk_to_end(struct check *c, struct check_leg *leg, uint64_t seq)
{
	struct check_header headers[CHECK_AT_ONCE];
	bool more = true;
	int err = 0;

	while (more && !err) {
		for (unsigned i = 0; i < CHECK_AT_ONCE; i++)
			headers[i] = (struct check_header){ .epoch = leg->epoch, .seq = seq + i };
		err = lsvd_check_headers(c, headers, CHECK_AT_ONCE, true);
		if (err)
			return err;
		for (unsigned i = 0; i < CHECK_AT_ONCE && more && !err; i++)
			err = take_next(c, leg, &headers[i], &more);
		lsvd_check_free_headers(headers, CHECK_AT_ONCE);
		seq += CHECK_AT_ONCE;
	}
	return err;
}

/* Where the newest anchor says that everything was acknowledged, or the beginning. */
static int find_start(struct check *c, uint64_t epoch, uint64_t *ret)
{
	struct check_header h = { .epoch = epoch };
	uint64_t anchor = 0;
	bool there = true;
	int err = 0;

	for (size_t i = lsvd_check_first(c, KEY_CHAIN, epoch);
	     i < c->count && c->objects[i].kind == KEY_CHAIN && c->objects[i].epoch == epoch &&
	     !c->objects[i].ancestor; i++)
		if (c->objects[i].number % c->anchor_every == 0)
			anchor = c->objects[i].number;
	while (!err && there) {
		err = lsvd_check_there(c, KEY_CHAIN, epoch, anchor + c->anchor_every, &there);
		anchor += !err && there ? c->anchor_every : 0;
	}
	*ret = 1;
	if (err || !anchor)
		return err;
	h.seq = anchor;
	err = lsvd_check_headers(c, &h, 1, true);
	if (err)
		return err;
	*ret = h.err ? anchor : max_u64(h.chain.acked_seq, 1);
	lsvd_check_free_headers(&h, 1);
	return 0;
}

static int find_end(struct check *c, struct check_leg *leg)
{
	uint64_t start = 1;
	int err = find_start(c, leg->epoch, &start);

	return err ? err : walk_to_end(c, leg, start);
}

/* ------------------------------------------------------------------------------------- the path */

static int add_leg(struct check *c, const struct check_leg *leg)
{
	if (c->leg_count == c->leg_room) {
		unsigned room = c->leg_room ? c->leg_room * 2 : 16;
		struct check_leg *legs = lsvd_realloc(c->legs, room * sizeof *legs);

		if (!legs)
			return lsvd_fail_plain(-ENOMEM);
		c->legs = legs;
		c->leg_room = room;
	}
	c->legs[c->leg_count++] = *leg;
	return 0;
}

static bool is_on_path(const struct check *c, uint64_t epoch)
{
	for (unsigned i = 0; i < c->leg_count; i++)
		if (c->legs[i].epoch == epoch)
			return true;
	return false;
}

/* Is there a fence in the place of the epoch's base? */
static int is_fence(struct check *c, uint64_t epoch, bool *ret)
{
	struct check_header h = { .epoch = epoch, .seq = 1 };
	int err = lsvd_check_headers(c, &h, 1, true);

	*ret = !err && !h.err && h.head.kind == OBJECT_FENCE;
	lsvd_check_free_headers(&h, 1);
	return err;
}

/* An epoch whose base is lost has other objects. */
static int is_activated(struct check *c, uint64_t epoch, bool *ret)
{
	bool fence = false;
	size_t i;
	int err = lsvd_check_there(c, KEY_CHAIN, epoch, 1, ret);

	if (!err && *ret)
		err = is_fence(c, epoch, &fence);
	i = lsvd_check_first(c, KEY_CHAIN, epoch);
	if (!*ret)
		*ret = i < c->count && c->objects[i].kind == KEY_CHAIN && !c->objects[i].ancestor &&
		       c->objects[i].epoch == epoch;
	*ret &= !fence;
	return err;
}

/* The newest activated epoch; 0: there is none. What is behind an object 1 was put after it. */
static int find_activated(struct check *c, uint64_t *ret)
{
	bool activated = false;
	int err = 0;

	for (*ret = c->newest_claim; *ret && !err; (*ret)--) {
		err = is_activated(c, *ret, &activated);
		if (!err && activated)
			return 0;
	}
	return err;
}

/*
 * In the place of a base, of epochs that never came to have one: whoever outran them put it there.
 */
static int use_first_fences(struct check *c)
{
	int err = 0;

	for (size_t i = lsvd_check_first(c, KEY_CHAIN, 0);
	     i < c->count && c->objects[i].kind == KEY_CHAIN && !c->objects[i].ancestor &&
	     !err; i++) {
		struct check_object *o = &c->objects[i];
		bool fence = false;

		if (o->number != 1 || o->used || is_on_path(c, o->epoch))
			continue;
		err = is_fence(c, o->epoch, &fence);
		o->used = fence;
	}
	return err;
}

/* Follows the bases of epochs *epoch, *epoch - 1, … of which `n` were read. */
static int follow(struct check *c, const struct check_header *bases, unsigned n,
		  struct check_leg *leg, bool *ret_lost)
{
	uint64_t newest = leg->epoch;
	int err = 0;

	while (leg->epoch && newest - leg->epoch < n && !err) {
		const struct check_header *b = &bases[newest - leg->epoch];

		err = add_leg(c, leg);
		*ret_lost = b->err || b->head.kind != OBJECT_BASE;
		if (err || *ret_lost)
			break;
		*leg = (struct check_leg){ b->chain.base_epoch, b->chain.base_seq };
	}
	return err;
}

static int find_path(struct check *c, struct check_leg leg)
{
	struct check_header bases[CHECK_AT_ONCE];
	bool lost = false;
	int err = 0;

	while (leg.epoch && !lost && !err) {
		unsigned n = (unsigned)min_u64(CHECK_AT_ONCE, leg.epoch);

		for (unsigned i = 0; i < n; i++)
			bases[i] = (struct check_header){ .epoch = leg.epoch - i, .seq = 1 };
		err = lsvd_check_headers(c, bases, n, true);
		if (err)
			break;
		err = follow(c, bases, n, &leg, &lost);
		lsvd_check_free_headers(bases, n);
	}
	c->partial |= lost;
	return err;
}

int lsvd_check_path(struct check *c)
{
	struct check_leg leg = { .last = 1 };
	int err = find_activated(c, &leg.epoch);

	if (err || !leg.epoch)
		return err ? err : use_first_fences(c);
	err = find_end(c, &leg);
	if (!err)
		err = find_path(c, leg);
	return err ? err : use_first_fences(c);
}

int lsvd_check_unchanged(struct check *c)
{
	bool claimed = false, grown = false;
	int err = lsvd_check_there(c, KEY_CLAIM, c->newest_claim + 1, 0, &claimed);

	if (!err && c->leg_count && c->open_end)
		err = lsvd_check_there(c, KEY_CHAIN, c->legs[0].epoch, c->legs[0].last + 1, &grown);
	if (!err && (claimed || grown))
		err = lsvd_fail(-EBUSY, "volume %s: it was written while it was checked: what was "
				"found means nothing; check it again when nobody serves it",
				c->v->name);
	return err;
}

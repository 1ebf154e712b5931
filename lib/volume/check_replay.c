/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * check_replay.c - the path of the history, object by object, from its beginning to its end.
 *
 * Up to the root's place every object is read that is there and not known as data: bases, notes,
 * fences, closes. Data and notes may have been deleted there; anchors, and what begins and ends
 * an epoch, never are. After it all must be there, is linked to the one before by its checksum,
 * and goes into the map, as an open does it.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/err.h"
#include "format/fmt_key.h"
#include "volume/vol_check.h"

/* Where the walk is. */
struct walk {
	struct check *c;
	uint64_t seq;            /* the next one of it */
	uint64_t done;
	/* the object before, if it was whole and in its place */
	struct object_head head;
	struct chain_part chain;
	bool known;
};

static bool is_after_root(const struct check *c, uint64_t epoch, uint64_t seq)
{
	const struct place at = { epoch, seq };

	return !place_at_or_before(at, c->root_at);
}

/* -------------------------------------------------------------------------------- what is wrong */

static struct check_fault fault_of(const struct check *c, char key[KEY_CAP],
				   const struct check_header *h, enum lsvd_check_kind kind)
{
	lsvd_check_key(c, key, KEY_CHAIN, h->epoch, h->seq);
	return (struct check_fault){ .severity = LSVD_CHECK_ERROR, .kind = kind, .object = key,
				     .advice = lsvd_check_advice_chain };
}

static void say_missing(struct check *c, const struct check_header *h)
{
	char key[KEY_CAP];
	struct check_fault f = fault_of(c, key, h, LSVD_CHECK_MISSING);

	lsvd_check_found(c, &f, "object %s is missing, and is part of the history", key);
}

LSVD_PRINTF(3, 4) static void astray(struct check *c, const struct check_header *h,
				     const char *format, ...)
{
	char key[KEY_CAP], text[256];
	struct check_fault f = fault_of(c, key, h, LSVD_CHECK_ASTRAY);
	va_list ap;

	va_start(ap, format);
	(void)vsnprintf(text, sizeof text, format, ap); /* cut at worst */
	va_end(ap);
	lsvd_check_found(c, &f, "object %s: %s", key, text);
}

static void check_length(struct check *c, const struct check_header *h)
{
	struct check_object *o = lsvd_check_find(c, KEY_CHAIN, h->epoch, h->seq);
	uint64_t want = h->head.header_bytes + h->head.body_bytes;
	char key[KEY_CAP];
	struct check_fault f = fault_of(c, key, h, LSVD_CHECK_LENGTH);

	/* Of data the map says what cannot be read, when it is known. */
	if (!o || o->bytes == want || h->head.kind == OBJECT_DATA)
		return;
	f.off = min_u64(o->bytes, want);
	f.len = max_u64(o->bytes, want) - f.off;
	lsvd_check_found(c, &f, "object %s has %llu bytes, its header says %llu", key,
			 (unsigned long long)o->bytes, (unsigned long long)want);
}

/* May an object of this kind be there? */
static void check_place(struct walk *w, const struct check_header *h, uint64_t last)
{
	uint16_t kind = h->head.kind;

	if ((kind == OBJECT_BASE) != (h->seq == 1))
		astray(w->c, h, "is of kind %u, and a base is first in its epoch", kind);
	else if (kind == OBJECT_FENCE && h->seq <= last)
		astray(w->c, h, "is a fence, and the history goes on behind it");
	else if (kind == OBJECT_CLOSE && h->seq < last)
		astray(w->c, h, "is a close, and the history goes on behind it");
	else if (kind == OBJECT_DATA && h->seq % w->c->anchor_every == 0)
		astray(w->c, h, "is data, in the place of an anchor");
}

static void check_link(struct walk *w, const struct check_header *h)
{
	const struct chain_part *before = &w->chain;

	if (!w->known || h->seq != w->head.seq + 1 || h->epoch != w->head.epoch)
		return;
	if (h->chain.prev_checksum && h->chain.prev_checksum != w->head.checksum)
		astray(w->c, h, "follows a header with checksum %016llx, expected %016llx",
		       (unsigned long long)h->chain.prev_checksum,
		       (unsigned long long)w->head.checksum);
	else if (h->head.kind == OBJECT_DATA && h->chain.first_op != before->last_op + 1)
		astray(w->c, h, "begins with operation %llu, the one before ends with %llu",
		       (unsigned long long)h->chain.first_op, (unsigned long long)before->last_op);
	else if (h->chain.next_object < before->next_object && h->head.kind != OBJECT_FENCE)
		astray(w->c, h, "gives away object numbers from %llu on, the one "
		       "before from %llu on", (unsigned long long)h->chain.next_object,
		       (unsigned long long)before->next_object);
}

/* --------------------------------------------------------------------------------- into the map */

static int apply_records(struct check *c, const struct check_header *h, const char *key)
{
	struct record_walk walk;
	struct record record;
	int err;

	lsvd_record_walk(&walk, h->bytes, &h->chain, key);
	while ((err = lsvd_record_next(&walk, &record)) > 0) {
		int known = lsvd_vol_record(c->v, &h->head, &h->chain, &record);

		if (known < 0)
			return known;
		if (!known && !(record.flags & RECORD_OPTIONAL))
			return lsvd_fail(LSVD_E_VERSION, "object %s: record of type %u, which this "
					 "library does not know", key, record.type);
	}
	return err;
}

static int apply(struct check *c, const struct check_header *h, const char *key)
{
	struct seg_extent *extents = NULL;
	uint32_t count = 0;
	int err = 0;

	if (h->head.kind == OBJECT_DATA)
		err = lsvd_segment_extents(&extents, &count, h->bytes, &h->head, &h->chain, key);
	if (!err)
		err = lsvd_vol_replay(c->v, &h->head, &h->chain, extents, count);
	lsvd_free(extents);
	if (!err && (h->head.kind == OBJECT_DATA || h->head.kind == OBJECT_NOTE))
		err = apply_records(c, h, key);
	return err;
}

/* What does not fit is named; the map is then not all of it. */
static int apply_or_say(struct check *c, const struct check_header *h)
{
	char key[KEY_CAP];
	struct check_fault f = fault_of(c, key, h, LSVD_CHECK_DAMAGED);
	int err = apply(c, h, key);

	if (err != LSVD_E_CORRUPT && err != LSVD_E_VERSION)
		return err;
	f.kind = lsvd_check_kind_of(err);
	lsvd_check_found_last(c, &f);
	c->partial = true;
	return 0;
}

/* An opener's fence, in the name of an object that had been deleted just before (log_fence.c). */
static bool means_nothing(const struct walk *w, const struct check_header *h, uint64_t last)
{
	return !h->err && h->head.kind == OBJECT_FENCE && h->seq > 1 && h->seq <= last &&
	       (w->c->root_lost || !is_after_root(w->c, h->epoch, h->seq));
}

static int take(struct walk *w, const struct check_header *h, uint64_t last)
{
	struct check_object *o = lsvd_check_find(w->c, KEY_CHAIN, h->epoch, h->seq);
	bool after = h->seq <= last && is_after_root(w->c, h->epoch, h->seq);
	int err;

	if (o)
		o->used = true;
	if (means_nothing(w, h, last)) {
		w->known = false;
		return 0;
	}
	w->c->report.chain_objects += !h->err;
	if (h->err) {
		w->known = false;
		w->c->partial |= after;
		if (h->err == -ENOENT)
			say_missing(w->c, h);
		return 0;
	}
	check_length(w->c, h);
	check_place(w, h, last);
	check_link(w, h);
	w->head = h->head;
	w->chain = h->chain;
	w->known = true;
	err = after ? apply_or_say(w->c, h) : 0;
	w->c->v->sectors = h->chain.volume_bytes / SECTOR_BYTES;
	return err;
}

/* ------------------------------------------------------------------------------------- the walk */

/* Must it be there, and be read? */
static bool wanted(const struct check *c, uint64_t epoch, uint64_t seq)
{
	const struct check_object *o = lsvd_check_find(c, KEY_CHAIN, epoch, seq);
	bool may_be_deleted = seq > 1 && seq % c->anchor_every != 0 &&
			      (c->root_lost || !is_after_root(c, epoch, seq));

	return o ? !may_be_deleted || !o->used : !may_be_deleted;
}

/* The next of a leg, at most CHECK_AT_ONCE. */
static unsigned next_places(struct walk *w, const struct check_leg *leg, struct check_header *ret)
{
	unsigned n = 0;

	for (; n < CHECK_AT_ONCE && w->seq <= leg->last; w->seq++, w->done++)
		if (wanted(w->c, leg->epoch, w->seq))
			ret[n++] = (struct check_header){ .epoch = leg->epoch, .seq = w->seq };
	return n;
}

static int walk_places(struct walk *w, struct check_header *headers, unsigned n, uint64_t last)
{
	int err = lsvd_check_headers(w->c, headers, n, false);

	if (err)
		return err;
	for (unsigned i = 0; i < n && !err; i++)
		err = take(w, &headers[i], last);
	lsvd_check_free_headers(headers, n);
	return err;
}

/* What ends an older epoch's chain: behind its last object a fence, or what has taken its place. */
static int check_end(struct walk *w, const struct check_leg *leg, bool newest)
{
	struct check_header h = { .epoch = leg->epoch, .seq = leg->last + 1 };
	struct check_object *o;
	bool there = false;
	int err;

	err = lsvd_check_there(w->c, KEY_CHAIN, h.epoch, h.seq, &there);
	o = lsvd_check_find(w->c, KEY_CHAIN, h.epoch, h.seq);
	if (err || (!there && newest) || (o && o->used))
		return err;
	if (there)
		err = lsvd_check_headers(w->c, &h, 1, true);
	else
		h.err = -ENOENT;
	if (err)
		return err;
	if (h.err == 0 && h.head.kind == OBJECT_FENCE) {
		err = take(w, &h, leg->last);
	} else if (h.err == -ENOENT) {
		char key[KEY_CAP];
		struct check_fault f = fault_of(w->c, key, &h, LSVD_CHECK_MISSING);

		f.advice = "restore it from a copy of the store: a writer of that "
			   "epoch could go on";
		lsvd_check_found(w->c, &f,
				 "fence %s is missing: nothing ends the chain of epoch %llu", key,
				 (unsigned long long)h.epoch);
	} else if (h.err != -ENODATA) {
		char key[KEY_CAP];
		struct check_fault f = fault_of(w->c, key, &h, LSVD_CHECK_DAMAGED);

		f.advice = "restore it from a copy of the store; the history does not depend on it";
		lsvd_check_found(w->c, &f,
				 "object %s should be the fence of epoch %llu, and is not", key,
				 (unsigned long long)h.epoch);
		o->used = true;
	}
	lsvd_check_free_headers(&h, 1);
	return err;
}

static int walk_leg(struct walk *w, const struct check_leg *leg, uint64_t total)
{
	struct check_header headers[CHECK_AT_ONCE];
	unsigned n;
	int err = 0;

	w->seq = 1;
	w->known = false;
	while (!err && w->seq <= leg->last) {
		err = lsvd_check_progress(w->c, LSVD_CHECK_CHAIN, w->done, total);
		if (err)
			break;
		n = next_places(w, leg, headers);
		err = walk_places(w, headers, n, leg->last);
	}
	return err ? err : check_end(w, leg, leg == &w->c->legs[0]);
}

int lsvd_check_replay(struct check *c)
{
	struct walk w = { .c = c };
	uint64_t total = 0;
	int err = 0;

	for (unsigned i = 0; i < c->leg_count; i++)
		total += c->legs[i].last;
	for (unsigned i = c->leg_count; i-- > 0 && !err;)
		err = walk_leg(&w, &c->legs[i], total);
	return err;
}

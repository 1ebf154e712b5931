/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * check_data.c - every byte of every data object that lives, or that a snapshot needs, against its
 * checksums.
 *
 * Objects are read whole, several at once, as many as the memory holds that was granted; each is
 * verified on the thread that has read it: header, extents, and each unit with its frame and
 * padding, so that no byte of it is left out. Then, with nothing else going on, its extents are
 * held against the map: all that the map has in an object must be where the object says.
 */
#include <errno.h>
#include <string.h>

#include "base/alloc.h"
#include "base/err.h"
#include "format/fmt_key.h"
#include "volume/vol_check.h"

#define OBJECTS_AT_ONCE 8u
#define UNITS_NAMED 64u      /* of one object; the others are counted */

struct bad_unit {
	uint64_t lba, sectors;
	uint64_t off, len;
	char text[160];
};

/* An object being read and verified. */
struct object {
	struct check_get *get;
	const struct check *c;
	uint64_t number;
	struct object_entry entry;
	struct object_head head;
	int err;                 /* of the header: nothing in it can be used */
	char text[256];
	struct seg_extent *extents;
	uint32_t count;
	struct bad_unit bad[UNITS_NAMED];
	unsigned bad_count;
	uint64_t bad_more;
};

/* ------------------------------------------------------------------------------------ verifying */

static int get_extents(struct object *o)
{
	const uint8_t *bytes = o->get->io.buf;
	const char *what = o->get->io.key;
	struct moved_part moved;
	struct chain_part chain;
	int err;

	if (o->entry.home == HOME_MOVED) {
		err = lsvd_moved_part_decode(&moved, bytes, &o->head, what);
		return err ? err : lsvd_segment_moved_extents(&o->extents, &o->count, bytes,
							      &o->head, &moved, what);
	}
	err = lsvd_chain_part_decode(&chain, bytes, &o->head, what);
	return err ? err : lsvd_segment_extents(&o->extents, &o->count, bytes, &o->head,
						&chain, what);
}

static int verify_header(struct object *o)
{
	int kind = o->entry.home == HOME_MOVED ? OBJECT_MOVED : OBJECT_DATA;
	const char *what = o->get->io.key;
	int err = lsvd_object_head_decode(&o->head, o->get->io.buf, o->get->io.ret_len, what);

	if (err == -ENODATA)
		return lsvd_fail(err, "object %s: has %zu bytes, a part of its header of %u", what,
				 o->get->io.ret_len, o->head.header_bytes);
	if (err)
		return err;
	err = lsvd_object_head_expect(&o->head, lsvd_vol_uuid_of(o->c->v, o->number), kind,
				      o->entry.epoch, o->entry.seq, what);
	if (!err && o->head.object != o->number)
		err = lsvd_fail(LSVD_E_CORRUPT, "object %s: has number %llu, expected %llu", what,
				(unsigned long long)o->head.object, (unsigned long long)o->number);
	if (err)
		return err == LSVD_E_CORRUPT ? -ESTALE : err;
	return get_extents(o);
}

static void note_bad(struct object *o, uint64_t lba, uint64_t sectors, uint64_t off, uint64_t len)
{
	struct bad_unit *b = &o->bad[o->bad_count];

	if (o->bad_count == UNITS_NAMED) {
		o->bad_more++;
		return;
	}
	*b = (struct bad_unit){ .lba = lba, .sectors = sectors, .off = off, .len = len };
	(void)snprintf(b->text, sizeof b->text, "%s", lsvd_last_error()); /* cut at worst */
	o->bad_count++;
}

/* One unit of `sectors` sectors at `off`; its bytes are `len` at most. */
static void verify_unit(struct object *o, uint64_t lba, uint64_t sectors, uint64_t off,
			uint64_t len, uint8_t *scratch)
{
	const uint8_t *data;
	uint32_t bytes = 0, need = 0;
	uint64_t have = o->get->io.ret_len;
	int err;

	if (off >= have) {
		(void)lsvd_fail(LSVD_E_CORRUPT, "object %s: ends at %llu, before this",
				o->get->io.key, (unsigned long long)have);
		note_bad(o, lba, sectors, off, len);
		return;
	}
	err = lsvd_unit_open((const uint8_t *)o->get->io.buf + off, min_u64(len, have - off),
			     lsvd_vol_owner_of(o->c->v, o->number), o->number, lba, scratch, &data,
			     &bytes, &need, o->get->io.key);
	if (!err && bytes != sectors * SECTOR_BYTES)
		err = lsvd_fail(LSVD_E_CORRUPT, "object %s: unit of %u bytes, its header says %llu",
				o->get->io.key, bytes, (unsigned long long)sectors * SECTOR_BYTES);
	else if (err == -ENODATA)
		err = lsvd_fail(LSVD_E_CORRUPT, "object %s: unit of %u bytes in %llu",
				o->get->io.key, need, (unsigned long long)min_u64(len, have - off));
	if (err)
		note_bad(o, lba, sectors, off, len);
}

static void verify_extent(struct object *o, const struct seg_extent *e, uint64_t end,
			  uint8_t *scratch)
{
	uint64_t step = unit_space(UNIT_RAW_BYTES);

	if (e->kind == SEG_UNIT) {
		verify_unit(o, e->lba, e->sectors, e->off, end - e->off, scratch);
		return;
	}
	for (uint64_t s = 0, off = e->off; s < e->sectors; s += BLOCK_SECTORS, off += step) {
		uint64_t n = min_u64(BLOCK_SECTORS, e->sectors - s);

		verify_unit(o, e->lba + s, n, off,
			    unit_space((uint32_t)(n * SECTOR_BYTES)), scratch);
	}
}

static bool has_body(const struct seg_extent *e)
{
	return e->kind == SEG_RAW || e->kind == SEG_UNIT;
}

/* Bodies follow one another up to the object's end. */
static void verify_body(struct object *o, uint8_t *scratch)
{
	uint64_t end = o->head.header_bytes + o->head.body_bytes;

	for (uint32_t i = o->count; i-- > 0;) {
		if (!has_body(&o->extents[i]))
			continue;
		verify_extent(o, &o->extents[i], end, scratch);
		end = o->extents[i].off;
	}
}

/* Without the lock, on the thread that has read it. */
static void verify(struct io *io)
{
	struct object *o = lsvd_container_of(io, struct check_get, io.io)->of;
	uint8_t *scratch;

	if (io->err)
		return;
	lsvd_free(o->extents);
	o->extents = NULL;
	o->bad_count = 0;
	o->bad_more = 0;
	o->text[0] = '\0';
	scratch = lsvd_malloc(UNIT_MAX_BYTES);
	if (!scratch) {
		io->err = -ENOMEM;
		return;
	}
	o->err = verify_header(o);
	if (o->err)
		(void)snprintf(o->text, sizeof o->text, "%s", lsvd_last_error()); /* cut at worst */
	else
		verify_body(o, scratch);
	lsvd_free(scratch);
}

/* ------------------------------------------------------------------------------ against the map */

/* Sectors of [lba, lba + n) that the map has in this object. */
static uint64_t live_in(const struct object *o, uint64_t lba, uint64_t n, struct check_ranges *r)
{
	const struct store_map *map = o->c->v->map;
	uint64_t end = lba + n, sectors = 0;
	struct map_extent e;

	while (lba < end && lsvd_store_map_find(map, lba, &e) && e.lba < end) {
		uint64_t from = max_u64(e.lba, lba), to = min_u64(e.lba + e.len, end);

		lba = to;
		if (e.kind == MAP_ZERO || e.object != o->number)
			continue;
		sectors += to - from;
		lsvd_check_add_range(r, from, to - from);
	}
	return sectors;
}

/* Does the map have the sectors of e that lie in this object where e says? */
static bool lies_right(const struct object *o, const struct seg_extent *s,
		       const struct map_extent *e)
{
	struct map_extent want = { .lba = s->lba, .off = s->off, .object = o->number,
				   .len = (uint32_t)min_u64(s->sectors, UINT32_MAX),
				   .kind = map_kind_of(s) };
	uint64_t from = max_u64(e->lba, s->lba);
	struct map_extent part = *e;

	if (from > s->lba)
		want = lsvd_map_extent_advance(&want, (uint32_t)(from - s->lba));
	if (from > e->lba)
		part = lsvd_map_extent_advance(&part, (uint32_t)(from - e->lba));
	return want.kind == part.kind && want.off == part.off && want.sub == part.sub;
}

/* Counts what lives, and what of it the object has elsewhere. */
static void compare_extent(const struct object *o, const struct seg_extent *s, uint64_t *live,
			   struct check_ranges *wrong)
{
	uint64_t lba = s->lba, end = s->lba + s->sectors;
	struct map_extent e;

	while (lba < end && lsvd_store_map_find(o->c->v->map, lba, &e) && e.lba < end) {
		uint64_t from = max_u64(e.lba, lba), to = min_u64(e.lba + e.len, end);

		lba = to;
		if (e.kind == MAP_ZERO || e.object != o->number)
			continue;
		*live += (to - from) * SECTOR_BYTES;
		if (!lies_right(o, s, &e))
			lsvd_check_add_range(wrong, from, to - from);
	}
}

static void compare(struct check *c, const struct object *o)
{
	struct check_fault f = { .severity = LSVD_CHECK_ERROR, .kind = LSVD_CHECK_ASTRAY,
				 .object = o->get->io.key, .checkpoint = true,
				 .advice = "'lsvd-admin check --repair' makes a new map from the "
					   "objects, if that can be done for sure" };
	struct check_ranges wrong = { .count = 0 };
	uint64_t live = 0;

	for (uint32_t i = 0; i < o->count; i++)
		if (has_body(&o->extents[i]))
			compare_extent(o, &o->extents[i], &live, &wrong);
	f.ranges = wrong.at;
	f.range_count = wrong.count;
	f.affected = wrong.bytes;
	if (wrong.bytes) {
		c->checkpoint_bad = true;
		lsvd_check_found(c, &f, "object %s: the map has %llu bytes elsewhere in it than "
				 "its header says", o->get->io.key,
				 (unsigned long long)wrong.bytes);
	} else if (live < o->entry.live && !c->partial) {
		c->checkpoint_bad = true;
		lsvd_check_found(c, &f, "object %s: the map has %u bytes in it, its header "
				 "covers %llu of them", o->get->io.key, o->entry.live,
				 (unsigned long long)live);
	}
}

/* ------------------------------------------------------------------------------- what was found */

static void say_header(struct check *c, const struct object *o)
{
	struct check_fault f = { .severity = LSVD_CHECK_ERROR, .kind = lsvd_check_kind_of(o->err),
				 .object = o->get->io.key, .len = o->head.header_bytes,
				 .advice = lsvd_check_advice_data };
	struct check_ranges ranges = { .count = 0 };

	if (o->err == -ESTALE) {
		f.kind = LSVD_CHECK_FOREIGN;
		f.len = 0;
	} else if (o->err == -ENODATA) {
		f.kind = LSVD_CHECK_LENGTH;
		f.off = o->get->io.ret_len;
	}
	/* Reads do not need the header, but what is foreign has none of the data either. */
	if (o->err == -ESTALE || o->err == -ENODATA)
		(void)live_in(o, 0, c->v->sectors, &ranges);
	f.ranges = ranges.at;
	f.range_count = ranges.count;
	f.affected = ranges.bytes;
	lsvd_check_found(c, &f, "%s", o->text);
}

static void say_units(struct check *c, const struct object *o)
{
	struct check_fault f = { .kind = LSVD_CHECK_DAMAGED, .object = o->get->io.key };

	for (unsigned i = 0; i < o->bad_count; i++) {
		const struct bad_unit *b = &o->bad[i];
		struct check_ranges ranges = { .count = 0 };
		/* What of an object a snapshot needs is not looked for: it may be this. */
		bool lives = live_in(o, b->lba, b->sectors, &ranges) > 0 ||
			     lsvd_snapshots_needing(&c->v->snapshots, &o->entry);

		f.severity = lives ? LSVD_CHECK_ERROR : LSVD_CHECK_WARNING;
		f.advice = lives ? lsvd_check_advice_data
				 : "nothing: it has been overwritten since";
		f.off = b->off;
		f.len = b->len;
		f.ranges = ranges.at;
		f.range_count = ranges.count;
		f.affected = ranges.bytes;
		lsvd_check_found(c, &f, "%s", b->text);
	}
	if (!o->bad_more)
		return;
	f = (struct check_fault){ .severity = LSVD_CHECK_ERROR, .kind = LSVD_CHECK_DAMAGED,
				  .object = o->get->io.key, .advice = lsvd_check_advice_data };
	lsvd_check_found(c, &f, "object %s: %llu units more are damaged", o->get->io.key,
			 (unsigned long long)o->bad_more);
}

/* It is listed, and cannot be read: not now, or never again. */
static void say_unread(struct check *c, const struct object *o)
{
	int err = o->get->err;
	struct check_fault f = { .severity = LSVD_CHECK_ERROR,
				 .kind = err == -ENOENT ? LSVD_CHECK_MISSING : LSVD_CHECK_DAMAGED,
				 .object = o->get->io.key, .advice = lsvd_check_advice_data };
	struct check_ranges ranges = { .count = 0 };

	(void)live_in(o, 0, c->v->sectors, &ranges);
	f.ranges = ranges.at;
	f.range_count = ranges.count;
	f.affected = ranges.bytes;
	lsvd_check_found(c, &f, "object %s cannot be read: %s", o->get->io.key,
			 lsvd_error_name(err));
}

/*
 * What is not in the listing has been said to be missing, and what a base lacks
 * is said of the base.
 */
static bool is_said(const struct check *c, const struct object *o)
{
	const struct object_entry *e = &o->entry;

	return o->get->err == -ENOENT &&
	       (e->ancestor || !lsvd_check_find(c, lsvd_check_key_kind(e), e->epoch, e->seq));
}

static void judge(struct check *c, struct object *o)
{
	if (o->get->err) {
		if (!is_said(c, o))
			say_unread(c, o);
		return;
	}
	c->report.verified_objects++;
	c->report.verified_bytes += o->get->io.ret_len;
	if (o->err) {
		say_header(c, o);
		return;
	}
	say_units(c, o);
	compare(c, o);
}

/* ------------------------------------------------------------------------------------- the walk */

/* Objects that are read together. */
struct batch {
	struct check *c;
	struct object objects[OBJECTS_AT_ONCE];
	struct check_get gets[OBJECTS_AT_ONCE];
	unsigned n;
	uint64_t bytes;
};

static int add_object(struct batch *b, uint64_t number, const struct object_entry *e)
{
	struct object *o = &b->objects[b->n];
	struct check_get *g = &b->gets[b->n];

	*o = (struct object){ .c = b->c, .get = g, .number = number, .entry = *e };
	*g = (struct check_get){ .of = o };
	g->io.len = e->bytes;
	g->io.buf = lsvd_malloc(g->io.len ? g->io.len : 1);
	if (!g->io.buf)
		return lsvd_fail_plain(-ENOMEM);
	g->io.io.conclude = verify;
	lsvd_vol_object_key(g->io.key, b->c->v, e);
	b->bytes += e->bytes;
	b->n++;
	return 0;
}

static void free_batch(struct batch *b)
{
	for (unsigned i = 0; i < b->n; i++) {
		lsvd_free(b->gets[i].io.buf);
		lsvd_free(b->objects[i].extents);
	}
	b->n = 0;
	b->bytes = 0;
}

/* What does not verify is asked for once more: an answer may be damaged. */
static int read_again(struct batch *b)
{
	int err = 0;

	for (unsigned i = 0; i < b->n && !err; i++)
		if (!b->gets[i].err && (b->objects[i].err || b->objects[i].bad_count))
			err = lsvd_check_run(b->c, &b->gets[i], 1, IO_GET);
	return err;
}

static int run_batch(struct batch *b)
{
	int err = lsvd_check_run(b->c, b->gets, b->n, IO_GET);

	if (!err)
		err = read_again(b);
	for (unsigned i = 0; i < b->n && !err; i++)
		judge(b->c, &b->objects[i]);
	free_batch(b);
	return err;
}

static bool is_wanted(const struct check *c, const struct object_entry *e)
{
	return lsvd_object_is_data(e) && lsvd_check_needs(c, e);
}

/* The next that lives, or that a snapshot needs, from `n` on. */
static uint64_t next_alive(const struct check *c, uint64_t n)
{
	const struct object_table *t = &c->v->objects;

	for (n = lsvd_object_table_next(t, n); n != UINT64_MAX;
	     n = lsvd_object_table_next(t, n + 1))
		if (is_wanted(c, lsvd_object_table_get(t, n)))
			break;
	return n;
}

static uint64_t sum(const struct check *c)
{
	uint64_t bytes = 0;

	for (uint64_t n = next_alive(c, 0); n != UINT64_MAX; n = next_alive(c, n + 1))
		bytes += lsvd_object_table_get(&c->v->objects, n)->bytes;
	return bytes;
}

static int run_all(struct batch *b)
{
	const struct object_table *t = &b->c->v->objects;
	uint64_t total = sum(b->c), done = 0, n = next_alive(b->c, 0);
	int err = 0;

	while (n != UINT64_MAX && !err) {
		err = lsvd_check_progress(b->c, LSVD_CHECK_DATA, done, total);
		while (n != UINT64_MAX && b->n < OBJECTS_AT_ONCE && !err) {
			const struct object_entry *e = lsvd_object_table_get(t, n);

			if (b->n && b->bytes + e->bytes > b->c->opt.memory_bytes)
				break;
			err = add_object(b, n, e);
			n = next_alive(b->c, n + 1);
		}
		done += b->bytes;
		if (!err)
			err = run_batch(b);
	}
	free_batch(b);
	return err ? err : lsvd_check_progress(b->c, LSVD_CHECK_DATA, done, total);
}

int lsvd_check_data(struct check *c)
{
	struct batch *b = lsvd_calloc(1, sizeof *b);
	int err;

	if (!b)
		return lsvd_fail_plain(-ENOMEM);
	b->c = c;
	err = run_all(b);
	lsvd_free(b);
	return err;
}

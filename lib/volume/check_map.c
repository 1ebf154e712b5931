/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * check_map.c - the root, and then the map, the table of objects and the listing against each
 * other.
 *
 * The root is loaded by the code that an open uses, which is told to go on without the pages and
 * nodes that are not whole. Of what the map then has, every extent must lie in an object that
 * lives, is there and has its length; and every object must live by just as many bytes as the map
 * refers to.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/err.h"
#include "format/fmt_key.h"
#include "volume/vol_blobs.h"
#include "volume/vol_check.h"
#include "volume/vol_rebuild.h"

#define ROOT_MAX_BYTES (UINT64_C(1) << 30)
#define ASTRAY_MAX 16u       /* extents named by themselves */
#define PROGRESS_EVERY 65536u

static const char *const advice_checkpoint =
	"'lsvd-admin check --repair' makes a new checkpoint from the objects, if that can "
	"be done for sure";

static const char *const advice_base =
	"the object is its base's: check that volume, and restore the object from a copy of the "
	"store";

/* ------------------------------------------------------------------------------------- the root */

static bool is_of_base(const struct lsvd_volume *v, const char *key)
{
	char own[KEY_CAP];

	lsvd_key_prefix(own, &v->uuid, 0);
	return strncmp(key, own, strlen(own)) != 0;
}

static int blob_is_bad(struct lsvd_volume *v, const struct blob_want *want,
		       const char *key, int err)
{
	struct check *c = v->check;
	struct check_fault f = { .severity = LSVD_CHECK_ERROR, .kind = lsvd_check_kind_of(err),
				 .object = key, .advice = advice_checkpoint, .checkpoint = true };
	struct lsvd_check_range range;

	if (key && is_of_base(v, key))
		f.advice = advice_base;
	c->checkpoint_bad = true;
	c->table_bad |= want && want->kind != BLOB_PAGE;
	c->partial |= want || !key || err == -ENOENT || err == -EIO;
	if (!key)
		return 0; /* it follows from a node that is bad */
	if (err == -ENOENT && want)
		return 0; /* said once, of the object */
	if (want) {
		f.off = want->ref.off;
		f.len = want->ref.len;
	} else if (err == LSVD_E_CORRUPT || err == LSVD_E_VERSION) {
		f.len = OBJECT_HEAD_BYTES;
	} else {
		(void)lsvd_fail(err, "object %s of the checkpoint %s", key,
				err == -ENOENT ? "is missing" : "cannot be read");
	}
	if (want && want->kind == BLOB_PAGE) {
		range.off = want->index * STORE_MAP_PAGE_SECTORS * SECTOR_BYTES;
		range.len = min_u64((uint64_t)STORE_MAP_PAGE_SECTORS * SECTOR_BYTES,
				    v->sectors * SECTOR_BYTES - range.off);
		f.ranges = &range;
		f.range_count = 1;
		f.affected = range.len;
	}
	lsvd_check_found_last(c, &f);
	return 0;
}

static void root_is_bad(struct check *c, const char *key, enum lsvd_check_kind kind, uint64_t len)
{
	struct check_fault f = { .severity = LSVD_CHECK_ERROR, .kind = kind, .object = key,
				 .len = len, .advice = advice_checkpoint, .checkpoint = true };

	if (kind == LSVD_CHECK_NEWER)
		f.advice = "use a newer version of this program";
	lsvd_check_found_last(c, &f);
	c->root_lost = c->checkpoint_bad = c->partial = true;
}

static bool is_on_path(const struct check *c, struct place at)
{
	for (unsigned i = 0; i < c->leg_count; i++)
		if (c->legs[i].epoch == at.epoch)
			return at.seq && at.seq <= c->legs[i].last;
	return false;
}

/* Verifies the header, and where the root stands; a root that will be taken. */
static int decode_root(struct check *c, const struct check_get *g, const uint8_t *bytes,
		       struct object_head *head, struct root_part *part)
{
	const char *key = g->io.key;
	int err = lsvd_object_head_decode(head, bytes, g->io.ret_len, key);

	if (err == -ENODATA || (!err && head->header_bytes + head->body_bytes > g->io.ret_len))
		return lsvd_fail(-ENODATA, "object %s: has %zu bytes, its header says %llu", key,
				 g->io.ret_len,
				 (unsigned long long)(head->header_bytes + head->body_bytes));
	if (err)
		return err;
	err = lsvd_object_head_expect(head, &c->v->uuid, OBJECT_ROOT, c->root.epoch, c->root.number,
				      key);
	if (err)
		return err == LSVD_E_CORRUPT ? -ESTALE : err;
	if (head->header_bytes != ROOT_HEADER_BYTES ||
	    head->header_bytes + head->body_bytes != g->io.ret_len)
		return lsvd_fail(-ENODATA, "object %s: has %zu bytes and a header of %u, "
				 "expected %llu and %u", key, g->io.ret_len, head->header_bytes,
				 (unsigned long long)(head->header_bytes + head->body_bytes),
				 ROOT_HEADER_BYTES);
	lsvd_root_part_decode(part, bytes);
	if (is_on_path(c, part->at))
		return 0;
	return lsvd_fail(-ELOOP, "object %s: stands at object %llu of epoch %llu, which is not "
			 "part of the history", key, (unsigned long long)part->at.seq,
			 (unsigned long long)part->at.epoch);
}

static enum lsvd_check_kind kind_of_root_error(int err)
{
	return err == -ENODATA ? LSVD_CHECK_LENGTH : err == -ESTALE ? LSVD_CHECK_FOREIGN
	       : err == -ELOOP ? LSVD_CHECK_ASTRAY : lsvd_check_kind_of(err);
}

static int load_root(struct check *c, const struct check_get *g, const uint8_t *bytes, bool last)
{
	struct object_head head = { .header_bytes = 0 };
	struct root_part part;
	int err = decode_root(c, g, bytes, &head, &part);

	if (err && !last)
		return 1;
	if (err) {
		root_is_bad(c, g->io.key, kind_of_root_error(err), head.header_bytes);
		return 0;
	}
	err = lsvd_vol_load_root(c->v, &head, bytes, g->io.ret_len);
	if (err == -EBADMSG && !last)
		return 1;
	if (err == -EBADMSG || err == LSVD_E_CORRUPT) {
		root_is_bad(c, g->io.key,
			    err == -EBADMSG ? LSVD_CHECK_DAMAGED : LSVD_CHECK_ASTRAY, 0);
		return lsvd_vol_forget_map(c->v);
	}
	if (err)
		return err;
	c->root_at = part.at;
	return c->rebuild && !c->table_bad ? lsvd_rebuild_note(c->rebuild, &c->v->objects, part.at)
					   : 0;
}

/* 1: once more, for an answer may be damaged. */
static int read_root(struct check *c, uint64_t len, bool last)
{
	struct check_get g = { .err = 0 };
	int err;

	lsvd_check_key(c, g.io.key, KEY_ROOT, c->root.epoch, c->root.number);
	g.io.len = min_u64(len, ROOT_MAX_BYTES) + 1;
	g.io.buf = lsvd_malloc(g.io.len);
	if (!g.io.buf)
		return lsvd_fail_plain(-ENOMEM);
	err = lsvd_check_run(c, &g, 1, IO_GET);
	if (!err && g.err) {
		(void)lsvd_fail(g.err, "object %s: %s", g.io.key, g.err == -ENOENT
				? "is missing, and is the newest root"
				: "the store cannot read it");
		root_is_bad(c, g.io.key, lsvd_check_kind_of(g.err), 0);
	} else if (!err) {
		err = load_root(c, &g, g.io.buf, last);
	}
	lsvd_free(g.io.buf);
	return err;
}

/* What is in the table is not for the walk along the chain to read, nor an orphan. */
static void mark_used(struct check *c)
{
	const struct object_table *t = &c->v->objects;

	for (uint64_t n = lsvd_object_table_next(t, 0); n != UINT64_MAX;
	     n = lsvd_object_table_next(t, n + 1)) {
		const struct object_entry *e = lsvd_object_table_get(t, n);
		struct check_object *o = e->ancestor ? NULL :
			lsvd_check_find(c, lsvd_check_key_kind(e), e->epoch, e->seq);

		if (o)
			o->used = true;
	}
}

/* A clone without a root of its own begins as the snapshot that it is of. */
static int load_base(struct check *c)
{
	static const struct log_ops ops = {
		.load_root = lsvd_vol_load_root,
		.replay = lsvd_vol_replay,
		.record = lsvd_vol_record,
	};
	struct check_fault f = { .severity = LSVD_CHECK_ERROR, .kind = LSVD_CHECK_DAMAGED,
				 .advice = "check the base" };
	char key[KEY_CAP];
	int err = lsvd_vol_load_base(c->v, &ops);

	if (err != LSVD_E_CORRUPT && err != -ENOENT)
		return err;
	lsvd_key_record(key, OBJECT_VOLUME, c->v->name);
	f.object = key;
	lsvd_check_found_last(c, &f);
	c->partial = true;
	return lsvd_vol_forget_map(c->v);
}

int lsvd_check_root(struct check *c)
{
	bool there = false;
	int err;

	if (!c->root.epoch)
		return c->v->base ? load_base(c) : 0;
	err = lsvd_check_progress(c, LSVD_CHECK_MAP, 0, 0);
	if (!err)
		err = lsvd_check_there(c, KEY_ROOT, c->root.epoch, c->root.number, &there);
	c->v->check = c;
	c->v->bad_blob = blob_is_bad;
	for (unsigned i = 0; i < 2 && !err; i++) {
		const struct check_object *o = lsvd_check_find(c, KEY_ROOT, c->root.epoch,
							       c->root.number);

		err = read_root(c, o ? o->bytes : 0, i == 1);
		if (err <= 0)
			break;
		err = 0;
	}
	if (err)
		return err;
	c->report.pages = c->v->pages.used;
	mark_used(c);
	return 0;
}

/* -------------------------------------------------------------------------------------- objects */

/* What the map has of an object; by number, in nodes as the table has them. */
struct tally {
	uint64_t live;
	uint32_t bad;            /* 1 + its place in `bads`; 0: none */
};

/* A living object that is not as it should be. */
struct bad {
	uint64_t number;
	enum lsvd_check_kind kind;
	uint64_t have;           /* bytes of it that are there */
	struct check_ranges ranges;
};

struct maps {
	struct check *c;
	struct tally **nodes;
	uint64_t node_count;
	struct bad *bads;
	unsigned bad_count, bad_room;
	unsigned astray;
};

static struct tally *tally_of(const struct maps *m, uint64_t number)
{
	return &m->nodes[number / OBJECT_NODE][number % OBJECT_NODE];
}

static int new_tallies(struct maps *m)
{
	const struct object_table *t = &m->c->v->objects;

	m->node_count = t->count / OBJECT_NODE;
	m->nodes = lsvd_calloc(m->node_count ? m->node_count : 1, sizeof *m->nodes);
	if (!m->nodes)
		return lsvd_fail_plain(-ENOMEM);
	for (uint64_t i = 0; i < m->node_count; i++) {
		if (!t->nodes[i])
			continue;
		m->nodes[i] = lsvd_calloc(OBJECT_NODE, sizeof **m->nodes);
		if (!m->nodes[i])
			return lsvd_fail_plain(-ENOMEM);
	}
	return 0;
}

static void free_maps(struct maps *m)
{
	for (uint64_t i = 0; m->nodes && i < m->node_count; i++)
		lsvd_free(m->nodes[i]);
	lsvd_free(m->nodes);
	lsvd_free(m->bads);
}

static int add_bad(struct maps *m, uint64_t number, enum lsvd_check_kind kind, uint64_t have)
{
	if (m->bad_count == m->bad_room) {
		unsigned room = m->bad_room ? m->bad_room * 2 : 16;
		struct bad *bads = lsvd_realloc(m->bads, room * sizeof *bads);

		if (!bads)
			return lsvd_fail_plain(-ENOMEM);
		m->bads = bads;
		m->bad_room = room;
	}
	m->bads[m->bad_count++] = (struct bad){ .number = number, .kind = kind, .have = have };
	tally_of(m, number)->bad = m->bad_count;
	return 0;
}

bool lsvd_check_needs(const struct check *c, const struct object_entry *e)
{
	return !e->died.epoch || lsvd_snapshots_needing(&c->v->snapshots, e);
}

static int check_object(struct maps *m, uint64_t number, const struct object_entry *e)
{
	struct check *c = m->c;
	struct check_object *o = NULL;
	int err;

	if (e->ancestor && (!lsvd_object_is_data(e) || e->died.epoch))
		return 0; /* the ancestor's own */
	err = lsvd_check_entry(c, e, &o);
	if (o)
		o->used = true;
	if (err || !lsvd_check_needs(c, e)) {
		c->report.dead_objects += o != NULL;
		c->report.dead_bytes += o ? o->bytes : 0;
		return err;
	}
	c->report.data_objects += lsvd_object_is_data(e);
	if (!o && (lsvd_object_is_data(e) || e->died.epoch))
		return add_bad(m, number, LSVD_CHECK_MISSING, 0);
	if (o && o->bytes != e->bytes)
		return add_bad(m, number, LSVD_CHECK_LENGTH, o->bytes);
	return 0; /* pages and roots have been read */
}

static int check_objects(struct maps *m)
{
	const struct object_table *t = &m->c->v->objects;
	int err = 0;

	for (uint64_t n = lsvd_object_table_next(t, 0); n != UINT64_MAX && !err;
	     n = lsvd_object_table_next(t, n + 1))
		err = check_object(m, n, lsvd_object_table_get(t, n));
	return err;
}

/* -------------------------------------------------------------------------------------- the map */

static void extent_astray(struct maps *m, const struct map_extent *e, const char *why)
{
	const struct lsvd_check_range range = { e->lba * SECTOR_BYTES,
						(uint64_t)e->len * SECTOR_BYTES };
	struct check_fault f = { .severity = LSVD_CHECK_ERROR, .kind = LSVD_CHECK_ASTRAY,
				 .ranges = &range, .range_count = 1, .affected = range.len,
				 .advice = advice_checkpoint, .checkpoint = true };
	const struct object_entry *o = lsvd_object_table_get(&m->c->v->objects, e->object);
	char key[KEY_CAP] = "";

	if (++m->astray > ASTRAY_MAX)
		f.range_count = 0;
	if (o)
		lsvd_check_entry_key(m->c, key, o);
	f.object = key;
	f.off = o ? e->off : 0;
	m->c->checkpoint_bad = true;
	lsvd_check_found(m->c, &f, "the map has %llu bytes at %llu in object %llu at %u, %s",
			 (unsigned long long)range.len, (unsigned long long)range.off,
			 (unsigned long long)e->object, e->off, why);
}

static void take_extent(struct maps *m, const struct map_extent *e)
{
	struct lsvd_volume *v = m->c->v;
	const struct object_entry *o = lsvd_object_table_get(&v->objects, e->object);
	struct tally *t;

	if (e->lba + e->len > v->sectors) {
		extent_astray(m, e, "beyond the volume's end");
		return;
	}
	if (e->kind == MAP_ZERO)
		return;
	m->c->report.live_bytes += (uint64_t)e->len * SECTOR_BYTES;
	if (!o) {
		if (!m->c->partial)
			extent_astray(m, e, "which is in no table");
		return;
	}
	t = tally_of(m, e->object);
	t->live += (uint64_t)e->len * SECTOR_BYTES;
	if (!lsvd_object_is_data(o) || o->died.epoch)
		extent_astray(m, e, lsvd_object_is_data(o) ? "which is called dead"
							   : "which has no data");
	else if (e->off + UNIT_FRAME_BYTES >= o->bytes || lsvd_vol_reach(v, e) > o->bytes)
		extent_astray(m, e, "beyond the object's end");
	else if (t->bad && lsvd_vol_reach(v, e) > m->bads[t->bad - 1].have)
		lsvd_check_add_range(&m->bads[t->bad - 1].ranges, e->lba, e->len);
}

static int walk_map(struct maps *m)
{
	uint64_t lba = 0, total = m->c->v->sectors;
	struct map_extent e;
	int err = 0;

	while (!err && lsvd_store_map_find(m->c->v->map, lba, &e)) {
		lba = e.lba + e.len;
		take_extent(m, &e);
		if (m->c->report.extents++ % PROGRESS_EVERY == 0)
			err = lsvd_check_progress(m->c, LSVD_CHECK_MAP, lba, total);
	}
	return err;
}

/* --------------------------------------------------------------------------------- what it says */

static void say_bad(struct maps *m, const struct bad *b)
{
	const struct object_entry *e = lsvd_object_table_get(&m->c->v->objects, b->number);
	struct check_fault f = { .severity = LSVD_CHECK_ERROR, .kind = b->kind,
				 .ranges = b->ranges.at, .range_count = b->ranges.count,
				 .affected = b->ranges.bytes, .advice = lsvd_check_advice_data };
	char key[KEY_CAP];

	lsvd_check_entry_key(m->c, key, e);
	f.object = key;
	if (e->died.epoch)
		f.advice = "restore the object from a copy of the store, or delete the "
			   "snapshots that need it";
	if (b->kind == LSVD_CHECK_MISSING && e->died.epoch) {
		f.len = e->bytes;
		lsvd_check_found(m->c, &f, "object %s is missing, and snapshot %s needs it", key,
				 lsvd_snapshots_needing(&m->c->v->snapshots, e)->name);
		return;
	}
	if (b->kind == LSVD_CHECK_MISSING) {
		f.len = e->bytes;
		lsvd_check_found(m->c, &f, "object %s is missing, with %u bytes that live", key,
				 e->live);
		return;
	}
	f.off = min_u64(b->have, e->bytes);
	f.len = max_u64(b->have, e->bytes) - f.off;
	lsvd_check_found(m->c, &f, "object %s has %llu bytes, expected %u", key,
			 (unsigned long long)b->have, e->bytes);
}

/* Too few live bytes, and it will be deleted though it is needed; too many only keep it longer. */
static void compare_live(struct maps *m, uint64_t number, const struct object_entry *e)
{
	uint64_t live = tally_of(m, number)->live;
	struct check_fault f = { .severity = live > e->live ? LSVD_CHECK_ERROR : LSVD_CHECK_WARNING,
				 .kind = LSVD_CHECK_ASTRAY, .advice = advice_checkpoint,
				 .checkpoint = true };
	char key[KEY_CAP];

	if (live == e->live)
		return;
	if (live < e->live)
		f.advice = "nothing: garbage collection copies it when its turn comes";
	else
		m->c->checkpoint_bad = true;
	lsvd_check_entry_key(m->c, key, e);
	f.object = key;
	lsvd_check_found(m->c, &f, "object %s: %u bytes are said to live, the map has %llu in it",
			 key, e->live, (unsigned long long)live);
}

static void compare_lives(struct maps *m)
{
	const struct object_table *t = &m->c->v->objects;

	if (m->c->partial)
		return; /* what the map lacks it cannot count */
	for (uint64_t n = lsvd_object_table_next(t, 0); n != UINT64_MAX;
	     n = lsvd_object_table_next(t, n + 1)) {
		const struct object_entry *e = lsvd_object_table_get(t, n);

		if (lsvd_object_is_data(e))
			compare_live(m, n, e);
	}
}

static void say_orphans(struct check *c)
{
	char key[KEY_CAP];

	if (c->partial)
		return; /* what is not known may lead to them */
	for (size_t i = 0; i < c->count; i++) {
		const struct check_object *o = &c->objects[i];
		const struct check_fault f = {
			.severity = LSVD_CHECK_INFO, .kind = LSVD_CHECK_ORPHAN, .object = key,
			.len = o->bytes,
		};

		if (o->used)
			continue;
		c->report.orphans++;
		c->report.orphan_bytes += o->bytes;
		lsvd_check_key(c, key, o->kind, o->epoch, o->number);
		lsvd_check_found(c, &f, "object %s: nothing leads to its %llu bytes", key,
				 (unsigned long long)o->bytes);
	}
}

int lsvd_check_map(struct check *c)
{
	struct maps m = { .c = c };
	int err = new_tallies(&m);

	if (!err)
		err = check_objects(&m);
	if (!err)
		err = walk_map(&m);
	if (!err) {
		for (unsigned i = 0; i < m.bad_count; i++)
			say_bad(&m, &m.bads[i]);
		compare_lives(&m);
		say_orphans(c);
	}
	free_maps(&m);
	return err;
}

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vol_flatten.c - a clone gets a copy of what it still needs of its base, and leaves it.
 *
 * What it needs are data objects of ancestors, out of which garbage collection copies what the map
 * still has there, as it does out of objects that are mostly dead; and ancestors' page objects,
 * which checkpoints empty. Reads and writes go on, and each step is an ordinary one: after a crash
 * in any of them the clone is a clone that needs less.
 *
 *   copy      rounds of collection, the victims of which are the ancestors' objects
 *   empty     checkpoints, each of which empties some page objects, until none is left that lives
 *   forget    the table has no object of an ancestor any more
 *   name      a checkpoint of that; a chain object that names its root is acknowledged: from then
 *             on no open reads an older root, or what lies before it
 *   leave     the clone's entry at the base is dropped
 *
 * Only the last step lets the base go, and what is deleted there nobody looks for any more. The
 * record still says what the clone was made of, since the numbers of its own objects begin there;
 * of that nothing is read as long as there is a root, and there is one.
 *
 * The clone's snapshots need the base as long as they are there, if they were made before all
 * this, and so do its own clones, which are clones of its snapshots. Whether one does is asked of
 * its own state, as for going back to it. None is made and none comes back while that is looked
 * at, and after it.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <lsvd/snapshot.h>

#include "base/alloc.h"
#include "base/err.h"
#include "volume/vol_collect.h"

/* ------------------------------------------------------------------------- what is still needed */

struct needs {
	uint64_t data, map;        /* bytes in objects of ancestors, */
	unsigned damaged;          /* and of these objects so many */
};

/* Of data it may be less, as long as pages of the map are away; after a checkpoint it is not. */
static struct needs needs_of(const struct lsvd_volume *v)
{
	struct needs n = { 0, 0, 0 };

	for (uint64_t i = lsvd_object_table_next(&v->objects, 0); i != UINT64_MAX;
	     i = lsvd_object_table_next(&v->objects, i + 1)) {
		const struct object_entry *e = lsvd_object_table_get(&v->objects, i);

		if (!e->ancestor || e->died.epoch)
			continue;
		if (lsvd_object_is_data(e))
			n.data += e->live;
		else if (e->home == HOME_PAGES)
			n.map += e->live;
		n.damaged += e->damaged && e->live;
	}
	return n;
}

static struct needs needs_now(struct lsvd_volume *v)
{
	struct needs n;

	lsvd_port_enter(&v->port);
	n = needs_of(v);
	lsvd_port_leave(&v->port, false);
	return n;
}

/* ------------------------------------------------------------------------------------ snapshots */

static int list_snapshots(struct lsvd_volume *v, struct snapshot **ret, size_t *ret_n)
{
	const struct snapshot_table *t = &v->snapshots;
	struct snapshot *all;
	size_t n = 0;

	lsvd_port_enter(&v->port);
	all = lsvd_malloc((t->count + 1) * sizeof *all);
	for (unsigned i = 0; all && i < t->node_count; i++)
		for (unsigned j = 0; j < t->nodes[i]->count; j++)
			all[n++] = t->nodes[i]->list[j];
	lsvd_port_leave(&v->port, false);
	*ret = all;
	*ret_n = n;
	return all ? 0 : lsvd_fail_plain(-ENOMEM);
}

static int needs_base(struct lsvd_volume *v, const struct snapshot *s, bool *ret)
{
	struct lsvd_volume *past;
	struct needs n;
	int err = lsvd_vol_load_past(&past, v, s);

	if (err)
		return err;
	n = needs_of(past); /* nobody else has it */
	*ret = n.data || n.map;
	lsvd_vol_destroy(past);
	return 0;
}

/*
 * Snapshots come oldest first. What lies between two of one root can only take from what the older
 * needs of the base, for nothing that is written later lies there: so if that needs nothing, nor
 * does the other.
 */
static bool same_root(const struct snapshot *a, const struct snapshot *b)
{
	return a->root.epoch == b->root.epoch && a->root.number == b->root.number;
}

static int refuse_list(struct lsvd_volume *v, const struct snapshot *all, size_t n)
{
	char names[256] = "";
	size_t at = 0;

	for (size_t i = 0; i < n && at < sizeof names - 1; i++)
		at += (size_t)snprintf(names + at, sizeof names - at, "%s%s", i ? ", " : "",
				       all[i].name);
	return lsvd_fail(-EBUSY, "volume %s: its base is needed by %zu of its snapshots, too: %s",
			 v->name, n, names);
}

/* Nobody makes or deletes snapshots. -EBUSY: some need the base. */
static int refuse_snapshots(struct lsvd_volume *v)
{
	struct snapshot *all, sound = { .root = { 0, 0 } };
	size_t n = 0, needing = 0;
	int err = list_snapshots(v, &all, &n);

	for (size_t i = 0; i < n && !err; i++) {
		bool needs = true;

		if (sound.root.epoch && same_root(&sound, &all[i]))
			continue;
		err = needs_base(v, &all[i], &needs);
		if (needs)
			all[needing++] = all[i];
		else
			sound = all[i];
	}
	if (!err && needing)
		err = refuse_list(v, all, needing);
	lsvd_free(all);
	return err;
}

/* -------------------------------------------------------------------------------------- the map */

static int empty_pages(struct collect *c)
{
	int err = lsvd_collect_checkpoint(c);

	return err ? err : lsvd_collect_tell(c);
}

static int no_progress(const struct lsvd_volume *v, const struct needs *n)
{
	if (n->damaged)
		return lsvd_fail(LSVD_E_CORRUPT, "volume %s: %u objects of its base are damaged, "
				 "and are still needed: they were left as they are",
				 v->name, n->damaged);
	return lsvd_fail(LSVD_E_UNAVAILABLE,
			 "volume %s: %llu bytes of data and %llu of its map are still in its base",
			 v->name, (unsigned long long)n->data, (unsigned long long)n->map);
}

/* A checkpoint first: after it the table is exact. */
static int take_all(struct collect *c)
{
	struct needs n, before = { UINT64_MAX, UINT64_MAX, 0 };
	int err = empty_pages(c);

	while (!err) {
		n = needs_now(c->v);
		if (!n.data && !n.map)
			break;
		if (n.data >= before.data && n.map >= before.map)
			return no_progress(c->v, &n);
		before = n;
		if (n.data)
			err = lsvd_collect_copy(c, GC_ANCESTORS);
		if (!err)
			err = empty_pages(c);
	}
	return err;
}

/* -------------------------------------------------------------------------------------- leaving */

/* May objects of ancestors leave the table: does nobody encode it, or read one of them? */
static bool may_forget(struct lsvd_volume *v, const void *arg)
{
	const struct collect *c = arg;

	if (v->failed || v->closing || c->cancelled)
		return true;
	if (v->frozen)
		return false;
	for (uint64_t i = lsvd_object_table_next(&v->objects, 0); i != UINT64_MAX;
	     i = lsvd_object_table_next(&v->objects, i + 1)) {
		const struct object_entry *e = lsvd_object_table_get(&v->objects, i);

		if (e->ancestor && e->readers)
			return false;
	}
	return true;
}

static int forget(struct collect *c)
{
	struct lsvd_volume *v = c->v;
	int err;

	lsvd_port_enter(&v->port);
	err = lsvd_collect_wait(c, may_forget);
	for (uint64_t i = lsvd_object_table_next(&v->objects, 0); i != UINT64_MAX && !err;
	     i = lsvd_object_table_next(&v->objects, i + 1))
		if (lsvd_object_table_get(&v->objects, i)->ancestor)
			lsvd_object_table_clear(&v->objects, i);
	lsvd_port_leave(&v->port, true);
	return err;
}

static bool is_named(struct lsvd_volume *v, const void *arg)
{
	const struct collect *c = arg;

	return v->failed || v->closing || c->cancelled || lsvd_vol_root_is_named(v);
}

static int name_root(struct collect *c)
{
	struct lsvd_volume *v = c->v;
	int err = lsvd_collect_checkpoint(c);

	if (err)
		return err;
	lsvd_port_enter(&v->port);
	lsvd_vol_seal(v); /* or what is written slowly would name it late */
	lsvd_vol_name_root(v);
	err = lsvd_collect_wait(c, is_named);
	lsvd_port_leave(&v->port, true);
	return err;
}

static int leave(struct collect *c)
{
	int err = refuse_snapshots(c->v);

	if (!err)
		err = forget(c);
	if (!err)
		err = name_root(c);
	return err ? err : lsvd_vol_drop_base(c->v);
}

/* ------------------------------------------------------------------------------------ all of it */

/* While it runs no snapshot comes, goes, or is gone back to. */
static int alone(struct collect *c, int (*run)(struct collect *c))
{
	struct lsvd_volume *v = c->v;
	int err;

	lsvd_port_enter(&v->port);
	err = lsvd_vol_begin_change(v, c->o.timeout_ms);
	lsvd_port_leave(&v->port, false);
	if (err)
		return err;
	err = run(c);
	lsvd_port_enter(&v->port);
	lsvd_vol_end_change(v);
	lsvd_port_leave(&v->port, true);
	return err;
}

static int look(struct collect *c)
{
	return refuse_snapshots(c->v);
}

/* A checkpoint that begins by itself looks at it. */
static void set_leaving(struct lsvd_volume *v, bool leaving)
{
	lsvd_port_enter(&v->port);
	v->leaving_base = leaving;
	lsvd_port_leave(&v->port, false);
}

static int finish(struct collect *c)
{
	int err;

	set_leaving(c->v, true);
	err = take_all(c);
	if (!err)
		err = leave(c);
	set_leaving(c->v, false);
	return err;
}

int lsvd_collect_flatten(struct collect *c)
{
	int err;

	if (!c->v->ancestry)
		return 0;
	err = alone(c, look); /* before much is copied in vain */
	if (!err)
		err = lsvd_collect_copy(c, GC_ANCESTORS);
	return err ? err : alone(c, finish);
}

int lsvd_volume_flatten(struct lsvd_volume *v, uint32_t timeout_ms)
{
	struct lsvd_collect_options o = LSVD_COLLECT_OPTIONS_INIT;

	o.flags = LSVD_COLLECT_FLATTEN;
	o.timeout_ms = timeout_ms ? timeout_ms : 1;
	return v->ancestry ? lsvd_volume_collect(v, &o, NULL) : 0;
}

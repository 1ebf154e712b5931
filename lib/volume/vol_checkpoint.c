/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vol_checkpoint.c - saving the store map: the pages that changed, the nodes that refer to them or
 * to objects that changed, and a root that names all nodes.
 *
 * A checkpoint is the store map after exactly one chain object: it waits while an object is in the
 * map in part. First the pages come that have changed while they were away, and those that lie in
 * page objects to be emptied (vol_pages.c): then the map is whole where it matters, and what
 * objects live of is counted exactly. Until then and while what changed is encoded (on a
 * processor's thread) nothing is applied to the map and nothing leaves the table of objects:
 * acknowledged segments wait, and reads do not notice, for the overlay has them; only those that
 * need a page that is away wait for the encoder. Then the map moves on while page objects, and
 * after them the root, are put. Only when the root is acknowledged do chain objects name it, and
 * only when one of these is acknowledged is what the root has made dead deleted (vol_delete.c).
 *
 *   GATHERING -> ENCODING -> PAGES (putting) -> ROOT (putting) -> done
 *
 * A page that cannot be had now ends the checkpoint; the next segment brings another try. One that
 * is damaged ends all of this open.
 *
 * Page objects in which less than half is still referred to are emptied: what lives in them is
 * saved anew, as if it had changed. So what checkpoints leave behind is bounded by what they need.
 * When a clone leaves its base (vol_flatten.c), page objects of ancestors are emptied likewise.
 *
 * The encoding changes nothing but the checkpoint's own memory: when it fails there will be
 * another. A put that fails for good ends checkpoints for this open: what was marked saved is not.
 * Nothing is lost by that but time at the next open.
 *
 * docs/format.md, "Pages" and "Roots", has the bytes.
 */
#include <assert.h>
#include <errno.h>

#include "base/alloc.h"
#include "base/err.h"
#include "format/fmt_key.h"
#include "volume/checkpoint_internal.h"

#define EXTENT_BYTES_MAX 17u           /* of a page */
#define DIED_SHARE 50u                 /* of what lives: when it has died it is deleted, */
#define DIED_SEGMENTS UINT64_C(4)      /* but not fewer bytes than of so many segments */
#define EMPTIED_BYTES_MAX (8u << 20)   /* what lives in page objects that one checkpoint empties */

static void free_checkpoint(struct checkpoint *c)
{
	for (unsigned i = 0; i < c->object_count; i++)
		lsvd_huge_free(c->objects[i].bytes, c->objects[i].room);
	lsvd_free(c->objects);
	lsvd_free(c->pages);
	lsvd_free(c->saved);
	lsvd_free(c->page_nodes.list);
	lsvd_free(c->object_nodes.list);
	lsvd_free(c->snapshot_nodes.list);
	lsvd_free(c->root);
	lsvd_free(c);
}

/* ------------------------------------------------------------------------------------- putting */

static void give_up(struct checkpoint *c, int err)
{
	struct lsvd_volume *v = c->v;

	if (!v->failed && !v->closing)
		lsvd_report(LSVD_LOG_WARN, "volume %s: checkpoint at object %llu failed (%s): none "
			    "until the next open", v->name, (unsigned long long)c->at.seq,
			    lsvd_error_name(err));
	v->checkpoints_off = v->pages_lost = true;
	v->checkpoint = NULL;
	free_checkpoint(c);
	lsvd_port_changed(&v->port);
}

/* What roots are for, and what they are made of, has its time in roots. */
static struct place root_time(const struct checkpoint *c)
{
	return (struct place){ c->at.epoch, c->root_number };
}

/* The root before it is dead, and so are page objects in which nothing is left. */
static void bury(struct checkpoint *c)
{
	struct object_table *t = &c->v->objects;

	lsvd_object_table_died(t, c->v->root_number, root_time(c));
	for (uint64_t n = lsvd_object_table_next(t, 0); n != UINT64_MAX;
	     n = lsvd_object_table_next(t, n + 1)) {
		const struct object_entry *e = lsvd_object_table_get(t, n);

		if (e->home == HOME_PAGES && e->live == 0)
			lsvd_object_table_died(t, n, root_time(c));
	}
}

static void root_put(struct log_free_put *put, int err)
{
	struct checkpoint *c = put->owner;
	struct lsvd_volume *v = c->v;
	const struct object_entry root = { .epoch = c->at.epoch, .seq = c->root_number,
					   .born = c->at, .bytes = (uint32_t)c->root_len,
					   .live = 1, .home = HOME_ROOT };

	if (err) {
		give_up(c, err);
		return;
	}
	v->stats.checkpoint_puts++;
	v->stats.checkpoint_put_bytes += c->root_len;
	bury(c);
	lsvd_object_table_set(&v->objects, c->root_number, &root);
	v->checkpoints++;
	v->root_number = c->root_number;
	v->root_at = c->at;
	v->root_first_seq = c->rolled ? c->at.seq
				     : lsvd_log_set_root(v->log, (struct root_ref){ c->at.epoch,
									c->root_number });
	v->root_named_by = v->root_first_seq;
	v->checkpoint = NULL;
	free_checkpoint(c);
	lsvd_port_changed(&v->port);
	lsvd_vol_trim_map(v);
	lsvd_vol_maybe_checkpoint(v);
	lsvd_vol_root_is_put(v);
}

static void put_root(struct checkpoint *c)
{
	if (c->err) {
		give_up(c, c->err);
		return;
	}
	lsvd_key_root(c->root_put.key, &c->v->uuid, c->at.epoch, c->root_number);
	c->root_iov = (struct iovec){ c->root, c->root_len };
	c->root_put.iov = &c->root_iov;
	c->root_put.iovcnt = 1;
	c->root_put.done = root_put;
	c->root_put.owner = c;
	lsvd_log_put_free(c->v->log, &c->root_put);
}

static void pages_put(struct log_free_put *put, int err)
{
	struct checkpoint *c = put->owner;

	if (err) {
		c->err = err;
	} else {
		c->v->stats.checkpoint_puts++;
		c->v->stats.checkpoint_put_bytes += put->iov->iov_len;
	}
	if (--c->puts_left == 0)
		put_root(c);
}

static void put_pages(struct checkpoint *c)
{
	c->puts_left = c->object_count + 1;
	for (unsigned i = 0; i < c->object_count; i++) {
		struct page_object *o = &c->objects[i];

		lsvd_key_free(o->put.key, &c->v->uuid, c->at.epoch, o->number);
		o->iov = (struct iovec){ o->bytes, o->len };
		o->put.iov = &o->iov;
		o->put.iovcnt = 1;
		o->put.done = pages_put;
		o->put.owner = c;
		lsvd_log_put_free(c->v->log, &o->put);
	}
	if (--c->puts_left == 0)
		put_root(c);
}

/* --------------------------------------------------------------------------- encoded: it counts */

static void move_blob(struct checkpoint *c, uint64_t from, uint32_t from_len, uint64_t to,
		      uint32_t to_len)
{
	struct object_table *t = &c->v->objects;

	lsvd_object_table_live(t, from, -(int64_t)from_len, c->at);
	lsvd_object_table_live(t, to, to_len, c->at);
}

static void move_node(struct checkpoint *c, struct blob_ref *saved, const struct blob_ref *ref)
{
	move_blob(c, saved->object, saved->len, ref->object, ref->len);
	*saved = *ref;
}

/* Nodes are saved; those that get entries by this are not. */
static void register_objects(struct checkpoint *c)
{
	struct object_table *t = &c->v->objects;

	for (uint64_t i = 0; i < c->object_nodes.count; i++)
		t->nodes[c->object_nodes.list[i].index]->dirty = false;
	for (unsigned i = 0; i < c->object_count; i++) {
		const struct page_object *o = &c->objects[i];
		const struct object_entry e = { .epoch = c->at.epoch, .seq = o->number,
						.born = root_time(c), .bytes = o->len,
						.home = HOME_PAGES };

		lsvd_object_table_set(t, o->number, &e);
	}
}

static void take_pages(struct checkpoint *c)
{
	struct lsvd_volume *v = c->v;

	for (uint64_t i = 0; i < c->page_count; i++) {
		const struct page_change *p = &c->pages[i];
		struct page_ref old;

		lsvd_page_table_set(&v->pages, p->page, p->ref.object ? &p->ref : NULL, &old);
		move_blob(c, old.object, old.len, p->ref.object, p->ref.len);
	}
	for (uint64_t i = 0; i < c->saved_count; i++)
		lsvd_store_map_page_clean(v->map, c->saved[i]);
}

static void take_nodes(struct checkpoint *c)
{
	struct lsvd_volume *v = c->v;

	for (uint64_t i = 0; i < c->page_nodes.count; i++) {
		const struct node_change *n = &c->page_nodes.list[i];
		struct page_node *node = lsvd_page_table_node(&v->pages, n->index);

		if (!node)
			continue; /* there was and is nothing */
		move_node(c, &node->saved, &n->ref);
		if (!node->used)
			lsvd_page_table_drop_node(&v->pages, n->index);
	}
	for (uint64_t i = 0; i < c->snapshot_nodes.count; i++) {
		const struct node_change *n = &c->snapshot_nodes.list[i];
		struct snapshot_node *node = lsvd_snapshots_node(&v->snapshots, n->index);

		move_node(c, &node->saved, &n->ref);
		node->dirty = false;
		if (!node->count)
			lsvd_snapshots_drop_node(&v->snapshots, n->index);
	}
	for (uint64_t i = 0; i < c->object_nodes.count; i++) {
		const struct node_change *n = &c->object_nodes.list[i];
		struct object_node *node = v->objects.nodes[n->index];

		move_node(c, &node->saved, &n->ref);
		if (!node->used && !node->dirty && n->index != c->root_number / OBJECT_NODE)
			lsvd_object_table_drop_node(&v->objects, n->index);
	}
}

/* Nothing has been marked saved: the next segment brings another try. */
static void not_now(struct checkpoint *c, int err)
{
	struct lsvd_volume *v = c->v;

	if (!v->failed && !v->closing)
		lsvd_report(LSVD_LOG_WARN, "volume %s: no checkpoint now: %s", v->name,
			    lsvd_error_name(err));
	v->frozen = false;
	v->checkpoint_err = err;
	v->checkpoint = NULL;
	v->checkpoint_wanted = false;
	if (err == LSVD_E_CORRUPT)
		v->checkpoints_off = true;
	free_checkpoint(c);
}

static void thaw(struct lsvd_volume *v)
{
	lsvd_vol_pages_thawed(v);
	lsvd_port_changed(&v->port);
	lsvd_vol_deleted_more(v);
	lsvd_vol_apply(v);
}

static void encoded(struct io *io)
{
	struct checkpoint *c = lsvd_container_of(io, struct checkpoint, job.io);
	struct lsvd_volume *v = c->v;

	v->encoding = false;
	if (io->err) {
		not_now(c, io->err);
	} else {
		v->frozen = false;
		register_objects(c);
		take_pages(c);
		take_nodes(c);
		v->segments_since_root = 0;
		put_pages(c);
	}
	thaw(v);
}

/* ----------------------------------------------------------------------------------- beginning */

/* How many page objects it takes at most, if everything is saved anew. */
static uint64_t most_objects(const struct lsvd_volume *v)
{
	uint64_t pages = v->pages.count * PAGE_NODE, nodes = v->objects.count / OBJECT_NODE;
	uint64_t bytes = lsvd_store_map_extents(v->map) * EXTENT_BYTES_MAX + pages * 8 +
			 v->pages.count * PAGE_NODE_BYTES_MAX + nodes * OBJECT_NODE_BYTES_MAX +
			 (uint64_t)v->snapshots.node_count * SNAPSHOT_NODE_BYTES_MAX;

	/*
	 * What does not fit any more leaves less than one page's room at the end of each. Pages
	 * that are not in the table yet have an extent at least, and there is a node for 1024 of
	 * them.
	 */
	bytes += (lsvd_store_map_extents(v->map) / PAGE_NODE + 1) * PAGE_NODE_BYTES_MAX +
		 lsvd_store_map_extents(v->map) * 8;
	return bytes / (PAGES_OBJECT_BYTES - STORE_MAP_PAGE_MAX_BYTES) + 2;
}

/* Numbers for the root and for its page objects, with room for them in the table. */
static int reserve_numbers(struct checkpoint *c)
{
	struct lsvd_volume *v = c->v;
	int err = 0;

	c->number_count = most_objects(v);
	c->root_number = lsvd_log_reserve_object(v->log);
	c->first_number = c->root_number + 1;
	for (uint64_t i = 1; i < c->number_count; i++)
		(void)lsvd_log_reserve_object(v->log); /* they follow one another */
	c->next_object = lsvd_log_reserve_object(v->log) + 1;
	for (uint64_t n = c->root_number; !err && n < c->next_object; n++)
		err = lsvd_object_table_reserve(&v->objects, n);
	return err;
}

static void run_job(struct job_io *job)
{
	struct checkpoint *c = lsvd_container_of(job, struct checkpoint, job);

	job->io.err = c->err ? c->err : lsvd_checkpoint_encode(c);
}

/* Or only the job's end, if there is an error already: callers are not entered again from here. */
static void start_encoding(struct checkpoint *c)
{
	struct lsvd_volume *v = c->v;

	if (!c->err)
		c->err = reserve_numbers(c);
	v->encoding = true;
	c->job.run = run_job;
	c->job.io.kind = IO_JOB;
	c->job.io.done = encoded;
	lsvd_port_start(&v->port, &c->job.io);
}

/* ----------------------------------------------------------------------------------- gathering */

static bool is_to_be_emptied(const struct checkpoint *c, const struct object_entry *e)
{
	if (e->home != HOME_PAGES || e->died.epoch)
		return false;
	return e->live < e->bytes / 2 || (c->v->leaving_base && e->ancestor);
}

/* Those of ancestors have the lowest numbers. */
static void choose_emptied(struct checkpoint *c)
{
	const struct object_table *t = &c->v->objects;
	uint64_t sum = 0;

	for (uint64_t n = lsvd_object_table_next(t, 0);
	     n != UINT64_MAX && c->emptied_count < EMPTIED_MAX;
	     n = lsvd_object_table_next(t, n + 1)) {
		const struct object_entry *e = lsvd_object_table_get(t, n);

		if (!is_to_be_emptied(c, e) || sum + e->live > EMPTIED_BYTES_MAX)
			continue;
		sum += e->live;
		c->emptied[c->emptied_count++] = n;
	}
}

static uint64_t next_emptied(const struct checkpoint *c, uint64_t page)
{
	const struct page_table *t = &c->v->pages;

	for (; c->emptied_count && page < t->count * PAGE_NODE; page++) {
		const struct page_node *node = t->nodes[page / PAGE_NODE];

		if (!node)
			page |= PAGE_NODE - 1;
		else if (node->refs[page % PAGE_NODE].object &&
			 lsvd_checkpoint_empties(c, node->refs[page % PAGE_NODE].object) &&
			 lsvd_store_map_is_away(c->v->map, page))
			return page;
	}
	return UINT64_MAX;
}

/* The next page that is to come: first those that changed, then those of emptied objects. */
static uint64_t next_gathered(struct checkpoint *c)
{
	uint64_t page = UINT64_MAX;

	if (!c->gathers_emptied)
		page = lsvd_store_map_next_page(c->v->map, c->gather_at, MAP_CHANGED_AWAY);
	if (page == UINT64_MAX) {
		if (!c->gathers_emptied)
			c->gather_at = 0;
		c->gathers_emptied = true;
		page = next_emptied(c, c->gather_at);
	}
	c->gather_at = page == UINT64_MAX ? page : page + 1;
	return page;
}

static void gather(struct checkpoint *c);

static void page_came(struct page_wait *w, int err)
{
	struct gathered *g = lsvd_container_of(w, struct gathered, wait);
	struct checkpoint *c = g->c;

	g->busy = false;
	c->gathered_out--;
	if (err && g->emptied)
		c->emptied_count = 0; /* another time: what changed is saved all the same */
	else if (err && !c->err)
		c->err = err;
	gather(c);
}

static struct gathered *free_place(struct checkpoint *c)
{
	for (unsigned i = 0; i < GATHERED_AT_ONCE; i++)
		if (!c->gathered[i].busy)
			return &c->gathered[i];
	return NULL;
}

static void gather(struct checkpoint *c)
{
	struct lsvd_volume *v = c->v;
	struct gathered *g;
	uint64_t page;

	if (!c->err && v->stopping)
		c->err = LSVD_E_SHUTDOWN;
	while (!c->err && (g = free_place(c)) && (page = next_gathered(c)) != UINT64_MAX) {
		*g = (struct gathered){ { .page = page, .done = page_came }, c, true,
					c->gathers_emptied };
		c->err = lsvd_vol_want_page(v, &g->wait);
		g->busy = !c->err;
		c->gathered_out += g->busy;
	}
	if (!c->gathered_out)
		start_encoding(c);
}

static struct checkpoint *new_checkpoint(struct lsvd_volume *v)
{
	struct checkpoint *c = lsvd_calloc(1, sizeof *c);

	if (!c)
		return NULL;
	c->v = v;
	c->at = (struct place){ lsvd_log_epoch(v->log), v->stored_seq };
	c->last_op = v->stored_op;
	c->volume_bytes = v->chain_bytes;
	return c;
}

static void start(struct checkpoint *c)
{
	struct lsvd_volume *v = c->v;

	v->checkpoint = c;
	v->frozen = true;
	v->died_at_root = v->objects.died_bytes;
	choose_emptied(c);
	gather(c);
}

void lsvd_vol_start_checkpoint(struct lsvd_volume *v)
{
	struct checkpoint *c;

	if (v->checkpoint || v->checkpoints_off || v->failed || !v->log || v->rolling)
		return;
	v->checkpoint_wanted = lsvd_vol_is_between(v);
	if (v->checkpoint_wanted)
		return; /* begun when the rest of that object is in the map */
	c = new_checkpoint(v);
	if (c)
		start(c);
}

void lsvd_vol_start_rolled_checkpoint(struct lsvd_volume *v, struct place at, uint64_t bytes)
{
	struct checkpoint *c = new_checkpoint(v);

	assert(v->rolling && !v->checkpoint);
	if (!c)
		return;
	c->rolled = true;
	c->at = at;
	c->volume_bytes = bytes;
	start(c);
}

/* So much that it should be deleted; what checkpoints cost is little beside it. */
static bool much_has_died(const struct lsvd_volume *v)
{
	uint64_t died = v->objects.died_bytes - v->died_at_root;

	return v->gc.options.automatic &&
	       died > max_u64(v->objects.live / DIED_SHARE, DIED_SEGMENTS * v->opt.segment_bytes);
}

void lsvd_vol_maybe_checkpoint(struct lsvd_volume *v)
{
	if (v->checkpoint_wanted || v->segments_since_root >= v->opt.checkpoint_segments ||
	    much_has_died(v))
		lsvd_vol_start_checkpoint(v);
}

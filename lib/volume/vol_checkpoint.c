/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vol_checkpoint.c - saving the store map: the pages that changed, the nodes that refer to them or to
 * objects that changed, and a root that names all nodes.
 *
 * A checkpoint is the store map after exactly one chain object: it waits while an object is in the
 * map in part. First the pages come that have changed while they were away, and those that lie in page
 * objects to be emptied (vol_pages.c): then the map is whole where it matters, and what objects live
 * of is counted exactly. Until then and while what changed is encoded (on a processor's thread) nothing
 * is applied to the map and nothing leaves the table of objects: acknowledged segments wait, and
 * reads do not notice, for the overlay has them; only those that need a page that is away wait for
 * the encoder. Then the map moves on while page objects, and after them the root, are put.
 * Only when the root is acknowledged do chain objects name it, and only when one of these is
 * acknowledged is what the root has made dead deleted (vol_delete.c).
 *
 *   GATHERING -> ENCODING -> PAGES (putting) -> ROOT (putting) -> done
 *
 * A page that cannot be had now ends the checkpoint; the next segment brings another try. One that is
 * damaged ends all of this open.
 *
 * Page objects in which less than half is still referred to are emptied: what lives in them is saved
 * anew, as if it had changed. So what checkpoints leave behind is bounded by what they need.
 *
 * The encoding changes nothing but the checkpoint's own memory: when it fails there will be another.
 * A put that fails for good ends checkpoints for this open: what was marked saved is not. Nothing is
 * lost by that but time at the next open.
 *
 * docs/format.md, "Pages" and "Roots", has the bytes.
 */
#include <assert.h>
#include <errno.h>

#include "base/alloc.h"
#include "base/err.h"
#include "base/hash.h"
#include "format/fmt_key.h"
#include "volume/checkpoint.h"

#define PAGES_OBJECT_BYTES (8u << 20)
#define EXTENT_BYTES_MAX 17u           /* of a page */
#define DIED_SHARE 50u                 /* of what lives: when it has died it is deleted, */
#define DIED_SEGMENTS UINT64_C(4)      /* but not fewer bytes than of so many segments */
#define EMPTIED_MAX 16u                /* page objects emptied by one checkpoint, */
#define EMPTIED_BYTES_MAX (8u << 20)   /* and what lives in them */
#define GATHERED_AT_ONCE 128u          /* pages on their way */

struct page_object {
	uint8_t *bytes;            /* header and body */
	uint32_t len, room;
	uint64_t number;
	struct iovec iov;
	struct log_free_put put;
};

struct page_change {
	uint64_t page;
	struct page_ref ref;       /* object 0: the page is gone */
};

struct node_change {
	uint64_t index;
	struct blob_ref ref;       /* object 0: the node is gone */
};

struct node_changes {
	struct node_change *list;  /* in order of index */
	uint64_t count, room;
};

/* A page that is waited for. */
struct gathered {
	struct page_wait wait;
	struct checkpoint *c;
	bool busy;
	bool emptied;              /* only because its object is to be emptied */
};

struct checkpoint {
	struct lsvd_volume *v;
	struct gathered gathered[GATHERED_AT_ONCE];
	unsigned gathered_out;
	uint64_t gather_at;          /* pages before this one are here, or on their way */
	bool gathers_emptied;
	struct job_io job;
	struct place at;             /* the chain object it stands at */
	uint64_t last_op;            /* and R there */
	uint64_t volume_bytes;
	bool rolled;                 /* a rollback's: `at` is yet to be put, and to name it */
	uint64_t root_number, first_number, number_count, next_object;
	uint64_t emptied[EMPTIED_MAX];
	unsigned emptied_count;
	struct page_object *objects;
	unsigned object_count;
	unsigned puts_left;
	struct page_change *pages;
	uint64_t page_count, page_room;
	uint64_t *saved;             /* page numbers encoded because they had changed */
	uint64_t saved_count, saved_room;
	struct node_changes page_nodes, object_nodes, snapshot_nodes;
	struct page_ref node[PAGE_NODE]; /* the node of pages that is being made */
	uint8_t *root;
	size_t root_len;
	struct iovec root_iov;
	struct log_free_put root_put;
	int err;
};

static void free_checkpoint(struct checkpoint *c)
{
	for (unsigned i = 0; i < c->object_count; i++)
		lsvd_free(c->objects[i].bytes);
	lsvd_free(c->objects);
	lsvd_free(c->pages);
	lsvd_free(c->saved);
	lsvd_free(c->page_nodes.list);
	lsvd_free(c->object_nodes.list);
	lsvd_free(c->snapshot_nodes.list);
	lsvd_free(c->root);
	lsvd_free(c);
}

/* ---------------------------------------------------------------------- encoding, without the lock */

static int grow(void **array, uint64_t *room, uint64_t count, size_t size)
{
	uint64_t want = *room ? *room * 2 : 64;
	void *p;

	if (count < *room)
		return 0;
	p = lsvd_realloc(*array, want * size);
	if (!p)
		return lsvd_fail_plain(-ENOMEM);
	*array = p;
	*room = want;
	return 0;
}

static struct page_object *new_object(struct checkpoint *c)
{
	struct page_object *o;
	void *p = lsvd_realloc(c->objects, (c->object_count + 1) * sizeof *c->objects);

	if (!p)
		return NULL;
	c->objects = p;
	assert(c->object_count < c->number_count); /* most_objects() counted well */
	o = &c->objects[c->object_count];
	memset(o, 0, sizeof *o);
	o->room = PAGES_OBJECT_BYTES;
	o->bytes = lsvd_malloc(o->room);
	if (!o->bytes)
		return NULL;
	memset(o->bytes, 0, OBJECT_HEAD_BYTES);
	o->len = OBJECT_HEAD_BYTES;
	o->number = c->first_number + c->object_count++;
	return o;
}

static struct page_object *object_with_room(struct checkpoint *c, uint32_t bytes)
{
	struct page_object *o = c->object_count ? &c->objects[c->object_count - 1] : NULL;

	return o && o->len + bytes <= o->room ? o : new_object(c);
}

/* The blob of `len` bytes at the end of the object joins it. */
static struct blob_ref take_blob(struct checkpoint *c, struct page_object *o, enum blob_kind kind,
				 uint64_t index, size_t len)
{
	struct blob_ref ref = {
		.epoch = c->at.epoch,
		.object = o->number,
		.off = o->len,
		.len = (uint32_t)len,
		.hash = lsvd_blob_hash(c->v, kind, index, o->number, o->bytes + o->len, len),
	};

	o->len += (uint32_t)len;
	return ref;
}

static bool is_emptied(const struct checkpoint *c, uint64_t object)
{
	for (unsigned i = 0; i < c->emptied_count; i++)
		if (c->emptied[i] == object)
			return true;
	return false;
}

static void choose_emptied(struct checkpoint *c)
{
	const struct object_table *t = &c->v->objects;
	uint64_t sum = 0;

	for (uint64_t n = lsvd_object_table_next(t, 0);
	     n != UINT64_MAX && c->emptied_count < EMPTIED_MAX;
	     n = lsvd_object_table_next(t, n + 1)) {
		const struct object_entry *e = lsvd_object_table_get(t, n);

		if (e->home != HOME_PAGES || e->died.epoch || e->live >= e->bytes / 2 ||
		    sum + e->live > EMPTIED_BYTES_MAX)
			continue;
		sum += e->live;
		c->emptied[c->emptied_count++] = n;
	}
}

/* Saves a page, if it has extents, and notes where. */
static int save_page(struct checkpoint *c, uint64_t page)
{
	struct page_ref ref = { .object = 0 };
	int err = 0, n;

	assert(!lsvd_store_map_is_away(c->v->map, page)); /* gather() has seen to it */
	if (lsvd_store_map_page_present(c->v->map, page)) {
		struct page_object *o = object_with_room(c, STORE_MAP_PAGE_MAX_BYTES);
		struct blob_ref blob;

		if (!o)
			return lsvd_fail_plain(-ENOMEM);
		n = lsvd_store_map_encode_page(c->v->map, page, o->bytes + o->len,
					       o->room - o->len);
		if (n < 0)
			return n;
		blob = take_blob(c, o, BLOB_PAGE, page, (size_t)n);
		ref = (struct page_ref){ blob.object, blob.hash, blob.off, blob.len };
	}
	c->node[page % PAGE_NODE] = ref;
	err = grow((void **)&c->pages, &c->page_room, c->page_count, sizeof *c->pages);
	if (!err)
		err = lsvd_page_table_reserve(&c->v->pages, page);
	if (!err)
		c->pages[c->page_count++] = (struct page_change){ page, ref };
	return err;
}

static int note_saved(struct checkpoint *c, uint64_t page)
{
	int err = grow((void **)&c->saved, &c->saved_room, c->saved_count, sizeof *c->saved);

	if (!err)
		c->saved[c->saved_count++] = page;
	return err;
}

static int note_node(struct node_changes *n, uint64_t index, const struct blob_ref *ref)
{
	int err = grow((void **)&n->list, &n->room, n->count, sizeof *n->list);

	if (!err)
		n->list[n->count++] = (struct node_change){ index, *ref };
	return err;
}

/* The changed pages from *page on that are in the node, which is in c->node. */
static int save_changed(struct checkpoint *c, uint64_t index, uint64_t *page)
{
	int err = 0;

	while (!err && *page / PAGE_NODE == index) {
		err = save_page(c, *page);
		if (!err)
			err = note_saved(c, *page);
		*page = lsvd_store_map_next_page(c->v->map, *page + 1, MAP_DIRTY);
	}
	return err;
}

static int save_emptied(struct checkpoint *c, uint64_t index)
{
	int err = 0;

	for (unsigned i = 0; i < PAGE_NODE && !err && c->emptied_count; i++)
		if (c->node[i].object && is_emptied(c, c->node[i].object))
			err = save_page(c, index * PAGE_NODE + i);
	return err;
}

static int save_page_node(struct checkpoint *c, uint64_t index)
{
	struct blob_ref ref = { .object = 0 };
	struct page_object *o;
	bool used = false;

	for (unsigned i = 0; i < PAGE_NODE && !used; i++)
		used = c->node[i].object != 0;
	if (used) {
		o = object_with_room(c, PAGE_NODE_BYTES_MAX);
		if (!o)
			return lsvd_fail_plain(-ENOMEM);
		ref = take_blob(c, o, BLOB_PAGE_NODE, index,
				lsvd_page_node_encode(o->bytes + o->len, c->node));
	}
	return note_node(&c->page_nodes, index, &ref);
}

/* The changed pages of one node, and the node itself if it changes by that or is to be moved. */
static int encode_page_node(struct checkpoint *c, uint64_t index, uint64_t *page)
{
	const struct page_node *node = lsvd_page_table_node(&c->v->pages, index);
	uint64_t before = c->page_count;
	int err;

	if (node)
		memcpy(c->node, node->refs, sizeof c->node);
	else
		memset(c->node, 0, sizeof c->node);
	err = save_changed(c, index, page);
	if (!err)
		err = save_emptied(c, index);
	if (!err && (c->page_count > before || (node && is_emptied(c, node->saved.object))))
		err = save_page_node(c, index);
	return err;
}

static int encode_pages(struct checkpoint *c)
{
	const struct lsvd_volume *v = c->v;
	uint64_t page = lsvd_store_map_next_page(v->map, 0, MAP_DIRTY), index = 0;
	int err = 0;

	while (!err && (page != UINT64_MAX || index < v->pages.count)) {
		bool changed = page / PAGE_NODE == index;

		if (changed || (c->emptied_count && lsvd_page_table_node(&v->pages, index)))
			err = encode_page_node(c, index, &page);
		index++;
		if (index >= v->pages.count && page != UINT64_MAX)
			index = max_u64(index, page / PAGE_NODE);
	}
	return err;
}

static int save_object_node(struct checkpoint *c, uint64_t index, const struct object_node *node)
{
	struct blob_ref ref = { .object = 0 };

	if (node->used) {
		struct page_object *o = object_with_room(c, OBJECT_NODE_BYTES_MAX);

		if (!o)
			return lsvd_fail_plain(-ENOMEM);
		ref = take_blob(c, o, BLOB_OBJECT_NODE, index,
				lsvd_object_node_encode(o->bytes + o->len, node));
	}
	return note_node(&c->object_nodes, index, &ref);
}

static int encode_objects(struct checkpoint *c)
{
	const struct object_table *t = &c->v->objects;
	int err = 0;

	for (uint64_t i = 0; i < t->count / OBJECT_NODE && !err; i++) {
		const struct object_node *node = t->nodes[i];

		if (node && (node->dirty || is_emptied(c, node->saved.object)))
			err = save_object_node(c, i, node);
	}
	return err;
}

static int save_snapshot_node(struct checkpoint *c, const struct snapshot_node *node)
{
	struct blob_ref ref = { .object = 0 };

	if (node->count) {
		struct page_object *o = object_with_room(c, SNAPSHOT_NODE_BYTES_MAX);

		if (!o)
			return lsvd_fail_plain(-ENOMEM);
		ref = take_blob(c, o, BLOB_SNAPSHOT_NODE, node->number,
				lsvd_snapshot_node_encode(o->bytes + o->len, node));
	}
	return note_node(&c->snapshot_nodes, node->number, &ref);
}

static int encode_snapshots(struct checkpoint *c)
{
	const struct snapshot_table *t = &c->v->snapshots;
	int err = 0;

	for (unsigned i = 0; i < t->node_count && !err; i++)
		if (t->nodes[i]->dirty || is_emptied(c, t->nodes[i]->saved.object))
			err = save_snapshot_node(c, t->nodes[i]);
	return err;
}

static void finish_objects(struct checkpoint *c)
{
	for (unsigned i = 0; i < c->object_count; i++) {
		struct page_object *o = &c->objects[i];
		struct object_head head = {
			.kind = OBJECT_PAGES, .header_bytes = OBJECT_HEAD_BYTES,
			.volume = c->v->uuid, .epoch = c->at.epoch, .seq = o->number,
			.object = o->number, .body_bytes = o->len - OBJECT_HEAD_BYTES,
		};

		lsvd_object_head_encode(o->bytes, &head);
	}
}

/* ------------------------------------------------------------------------------------ the root */

/* Where a node is saved, and whether it is: as this checkpoint changes it, or as it was. */
static const struct blob_ref *place_of(const struct node_changes *n, uint64_t *next, uint64_t index,
				       const struct blob_ref *was)
{
	const struct blob_ref *ref = was;

	if (*next < n->count && n->list[*next].index == index)
		ref = &n->list[(*next)++].ref;
	return ref && ref->object ? ref : NULL;
}

/* The page nodes, in order, at p (NULL: only counted). */
static uint64_t list_page_nodes(const struct checkpoint *c, uint8_t *p)
{
	const struct page_table *t = &c->v->pages;
	uint64_t next = 0, n = 0;

	for (uint64_t i = 0; i < t->count; i++) {
		const struct blob_ref *ref = place_of(&c->page_nodes, &next, i,
						      t->nodes[i] ? &t->nodes[i]->saved : NULL);

		if (ref && p)
			lsvd_root_node_encode(p + n * ROOT_NODE_BYTES, i, ref);
		n += ref != NULL;
	}
	return n;
}

static uint64_t list_object_nodes(const struct checkpoint *c, uint8_t *p)
{
	const struct object_table *t = &c->v->objects;
	uint64_t next = 0, n = 0;

	for (uint64_t i = 0; i < t->count / OBJECT_NODE; i++) {
		const struct blob_ref *ref = place_of(&c->object_nodes, &next, i,
						      t->nodes[i] ? &t->nodes[i]->saved : NULL);

		if (ref && p)
			lsvd_root_node_encode(p + n * ROOT_NODE_BYTES, i, ref);
		n += ref != NULL;
	}
	return n;
}

static uint64_t list_snapshot_nodes(const struct checkpoint *c, uint8_t *p)
{
	const struct snapshot_table *t = &c->v->snapshots;
	uint64_t next = 0, n = 0;

	for (unsigned i = 0; i < t->node_count; i++) {
		const struct blob_ref *ref = place_of(&c->snapshot_nodes, &next, t->nodes[i]->number,
						      &t->nodes[i]->saved);

		if (ref && p)
			lsvd_root_node_encode(p + n * ROOT_NODE_BYTES, t->nodes[i]->number, ref);
		n += ref != NULL;
	}
	return n;
}

static void list_new_objects(const struct checkpoint *c, uint8_t *p)
{
	for (unsigned i = 0; i < c->object_count; i++) {
		le64_put(p + i * ROOT_NEW_BYTES, c->objects[i].number);
		le64_put(p + i * ROOT_NEW_BYTES + 8, c->objects[i].len);
	}
}

static int encode_root(struct checkpoint *c)
{
	const struct lsvd_volume *v = c->v;
	struct root_part part = { .at = c->at, .last_op = c->last_op,
				  .next_object = c->next_object, .volume_bytes = c->volume_bytes,
				  .page_nodes = list_page_nodes(c, NULL),
				  .object_nodes = list_object_nodes(c, NULL),
				  .snapshot_nodes = list_snapshot_nodes(c, NULL),
				  .new_objects = c->object_count };
	size_t nodes = part.page_nodes + part.object_nodes + part.snapshot_nodes;
	size_t body = nodes * ROOT_NODE_BYTES + part.new_objects * ROOT_NEW_BYTES;
	struct object_head head = { .kind = OBJECT_ROOT, .header_bytes = ROOT_HEADER_BYTES,
				    .volume = v->uuid, .epoch = c->at.epoch,
				    .seq = c->root_number, .object = c->root_number,
				    .body_bytes = body };
	uint8_t *p;

	c->root_len = ROOT_HEADER_BYTES + body;
	c->root = lsvd_malloc(c->root_len);
	if (!c->root)
		return lsvd_fail_plain(-ENOMEM);
	p = c->root + ROOT_HEADER_BYTES;
	(void)list_page_nodes(c, p); /* as many as were counted */
	(void)list_object_nodes(c, p + part.page_nodes * ROOT_NODE_BYTES);
	(void)list_snapshot_nodes(c, p + (part.page_nodes + part.object_nodes) * ROOT_NODE_BYTES);
	list_new_objects(c, p + nodes * ROOT_NODE_BYTES);
	part.body_checksum = lsvd_hash_seeded(p, body, v->owner);
	lsvd_root_part_encode(c->root, &part);
	lsvd_object_head_encode(c->root, &head);
	return 0;
}

static void run_job(struct job_io *job)
{
	struct checkpoint *c = lsvd_container_of(job, struct checkpoint, job);
	int err = c->err;

	if (!err)
		err = encode_pages(c);
	if (!err)
		err = encode_objects(c);
	if (!err)
		err = encode_snapshots(c);
	finish_objects(c);
	if (!err)
		err = encode_root(c);
	job->io.err = err;
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

/* ----------------------------------------------------------------------------- encoded: it counts */

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

	/* What does not fit any more leaves less than one page's room at the end of each. Pages that
	 * are not in the table yet have an extent at least, and there is a node for 1024 of them. */
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

static uint64_t next_emptied(const struct checkpoint *c, uint64_t page)
{
	const struct page_table *t = &c->v->pages;

	for (; c->emptied_count && page < t->count * PAGE_NODE; page++) {
		const struct page_node *node = t->nodes[page / PAGE_NODE];

		if (!node)
			page |= PAGE_NODE - 1;
		else if (node->refs[page % PAGE_NODE].object &&
			 is_emptied(c, node->refs[page % PAGE_NODE].object) &&
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

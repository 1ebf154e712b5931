/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * checkpoint_encode.c - pages that changed, nodes that refer to them or to objects that changed,
 * and the root that names all nodes, as bytes (docs/format.md, "Pages" and "Roots").
 */
#include <assert.h>
#include <errno.h>

#include "base/alloc.h"
#include "base/err.h"
#include "base/hash.h"
#include "volume/checkpoint_internal.h"

/* ----------------------------------------------------------------------------- objects of pages */

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
	o->bytes = lsvd_huge_alloc(o->room);
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

bool lsvd_checkpoint_empties(const struct checkpoint *c, uint64_t object)
{
	for (unsigned i = 0; i < c->emptied_count; i++)
		if (c->emptied[i] == object)
			return true;
	return false;
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
		if (c->node[i].object && lsvd_checkpoint_empties(c, c->node[i].object))
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
	if (!err &&
	    (c->page_count > before || (node && lsvd_checkpoint_empties(c, node->saved.object))))
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

		if (node && (node->dirty || lsvd_checkpoint_empties(c, node->saved.object)))
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
		if (t->nodes[i]->dirty || lsvd_checkpoint_empties(c, t->nodes[i]->saved.object))
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
		const struct blob_ref *ref = place_of(&c->snapshot_nodes, &next,
						      t->nodes[i]->number, &t->nodes[i]->saved);

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

int lsvd_checkpoint_encode(struct checkpoint *c)
{
	int err = encode_pages(c);

	if (!err)
		err = encode_objects(c);
	if (!err)
		err = encode_snapshots(c);
	finish_objects(c);
	return err ? err : encode_root(c);
}

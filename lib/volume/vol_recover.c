/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vol_recover.c - the store map again: from a root and its pages, and the chain objects after it.
 *
 * Procedures, called by lsvd_log_recover() before the volume is shared. Every count, place and
 * length comes from outside and is checked before it is used.
 */
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/err.h"
#include "base/hash.h"
#include "format/fmt_key.h"
#include "volume/checkpoint.h"
#include "volume/vol_blobs.h"
#include "volume/vol_rebuild.h"

/* ---------------------------------------------------------------------------------------- roots */

/* A root that is being loaded. */
struct loading {
	struct lsvd_volume *v;
	const struct object_head *head;
	struct root_part part;
	const uint8_t *nodes;      /* of pages, then of objects, then of snapshots */
	uint64_t node_count;
	const uint8_t *new_objects;
	uint64_t pages;            /* in the volume */
};

static int corrupt_root(const struct object_head *head, const char *what, uint64_t have,
			uint64_t want)
{
	return lsvd_fail(LSVD_E_CORRUPT, "root %llu of epoch %llu: %s %llu, expected %llu",
			 (unsigned long long)head->seq, (unsigned long long)head->epoch, what,
			 (unsigned long long)have, (unsigned long long)want);
}

/* Nothing has been taken from it yet: it may be read again. */
static int body_damaged(const struct object_head *head, uint64_t is, uint64_t expected)
{
	(void)corrupt_root(head, "body checksum", is, expected); /* for its text */
	return -EBADMSG;
}

static int check_lengths(const struct loading *l)
{
	const struct root_part *r = &l->part;
	uint64_t body = l->head->body_bytes, most = body / ROOT_NEW_BYTES;
	uint64_t want;

	if (r->page_nodes > most || r->object_nodes > most || r->new_objects > most ||
	    r->snapshot_nodes > most || r->next_object > OBJECT_NUMBER_LIMIT ||
	    r->volume_bytes > LSVD_VOLUME_MAX_BYTES)
		return corrupt_root(l->head, "entries",
				    max_u64(r->page_nodes, max_u64(r->object_nodes,
								   r->new_objects)), most);
	want = (r->page_nodes + r->object_nodes + r->snapshot_nodes) * ROOT_NODE_BYTES +
	       r->new_objects * ROOT_NEW_BYTES;
	return want == body ? 0 : corrupt_root(l->head, "body length", body, want);
}

static int take_new_objects(struct loading *l)
{
	struct object_table *t = &l->v->objects;
	int err = 0;

	for (uint64_t i = 0; i < l->part.new_objects && !err; i++) {
		const uint8_t *p = l->new_objects + i * ROOT_NEW_BYTES;
		uint64_t number = le64_get(p);
		struct object_entry e = { .epoch = l->head->epoch, .seq = number,
					  .born = { l->head->epoch, l->head->seq },
					  .bytes = (uint32_t)le64_get(p + 8), .home = HOME_PAGES };

		if (number >= l->part.next_object || lsvd_object_table_get(t, number))
			return corrupt_root(l->head, "object number", number, l->part.next_object);
		err = lsvd_object_table_reserve(t, number);
		if (!err)
			lsvd_object_table_set(t, number, &e);
	}
	return err;
}

static int take_root_itself(struct loading *l)
{
	struct object_table *t = &l->v->objects;
	struct object_entry e = { .epoch = l->head->epoch, .seq = l->head->seq,
				  .born = l->part.at, .live = 1, .home = HOME_ROOT,
				  .bytes = (uint32_t)(l->head->header_bytes +
						      l->head->body_bytes) };
	int err;

	if (l->head->seq >= l->part.next_object || lsvd_object_table_get(t, l->head->seq))
		return corrupt_root(l->head, "its own number", l->head->seq, l->part.next_object);
	err = lsvd_object_table_reserve(t, l->head->seq);
	if (!err)
		lsvd_object_table_set(t, l->head->seq, &e);
	return err;
}

/* ---------------------------------------------------------------------------------------- nodes */

static int take_snapshots(struct lsvd_volume *v, const struct blob_want *w, const uint8_t *bytes)
{
	struct snapshot_node *node;
	int err = lsvd_snapshot_node_decode(&v->snapshots, w->index, bytes, w->ref.len);

	if (err)
		return err;
	node = lsvd_snapshots_node(&v->snapshots, w->index);
	node->saved = w->ref;
	return 0;
}

static int take_node(struct lsvd_volume *v, const struct blob_want *w, const uint8_t *bytes)
{
	uint64_t pages = (v->root_bytes / SECTOR_BYTES + STORE_MAP_PAGE_SECTORS - 1) /
			 STORE_MAP_PAGE_SECTORS;
	int err;

	if (w->kind == BLOB_SNAPSHOT_NODE)
		return take_snapshots(v, w, bytes);
	if (w->kind == BLOB_PAGE_NODE) {
		err = lsvd_page_table_reserve(&v->pages, w->index * PAGE_NODE);
		if (err)
			return err;
		lsvd_page_table_node(&v->pages, w->index)->saved = w->ref;
		return lsvd_page_node_decode(&v->pages, w->index, bytes, w->ref.len, pages);
	}
	err = lsvd_object_table_reserve(&v->objects, w->index * OBJECT_NODE);
	if (!err)
		err = lsvd_object_node_decode(&v->objects, w->index, bytes, w->ref.len,
					      OBJECT_NUMBER_LIMIT);
	if (err)
		return err;
	v->objects.nodes[w->index]->saved = w->ref;
	v->objects.nodes[w->index]->dirty = false;
	return 0;
}

/* The list of one kind of nodes, in order of index, each once. */
static int want_nodes(const struct loading *l, struct blob_want *wants, enum blob_kind kind,
		      const uint8_t *p, uint64_t n, uint64_t limit)
{
	for (uint64_t i = 0; i < n; i++, p += ROOT_NODE_BYTES) {
		struct blob_want *w = &wants[i];

		w->kind = kind;
		w->bad = false;
		lsvd_root_node_decode(&w->index, &w->ref, p);
		if (w->index >= limit || (i && w->index <= wants[i - 1].index) || !w->ref.object ||
		    !w->ref.len || w->ref.len > PAGE_NODE_BYTES_MAX + OBJECT_NODE_BYTES_MAX)
			return corrupt_root(l->head, "node", w->index, limit);
	}
	return 0;
}

static int load_nodes(struct loading *l)
{
	const struct root_part *r = &l->part;
	uint64_t others = r->page_nodes + r->object_nodes, n = others + r->snapshot_nodes;
	struct blob_want *wants = lsvd_malloc(n * sizeof *wants);
	int err;

	if (!wants)
		return lsvd_fail_plain(-ENOMEM);
	err = want_nodes(l, wants + others, BLOB_SNAPSHOT_NODE,
			 l->nodes + others * ROOT_NODE_BYTES, r->snapshot_nodes,
			 OBJECT_NUMBER_LIMIT);
	if (!err && l->v->listing)
		err = lsvd_vol_fetch_blobs(l->v, wants + others, r->snapshot_nodes, take_node);
	if (!err && !l->v->listing)
		err = want_nodes(l, wants, BLOB_PAGE_NODE, l->nodes, r->page_nodes,
			 (l->pages + PAGE_NODE - 1) / PAGE_NODE);
	if (!err && !l->v->listing)
		err = want_nodes(l, wants + r->page_nodes, BLOB_OBJECT_NODE,
				 l->nodes + r->page_nodes * ROOT_NODE_BYTES, r->object_nodes,
				 (r->next_object + OBJECT_NODE - 1) / OBJECT_NODE);
	if (!err && !l->v->listing)
		err = lsvd_vol_fetch_blobs(l->v, wants, n, take_node);
	lsvd_free(wants);
	return err ? err : lsvd_snapshots_verify(&l->v->snapshots);
}

/* ---------------------------------------------------------------------------------------- pages */

static int take_page(struct lsvd_volume *v, const struct blob_want *w, const uint8_t *bytes)
{
	int err = lsvd_store_map_decode_page(v->map, w->index, bytes, w->ref.len);

	if (!err)
		lsvd_store_map_page_clean(v->map, w->index);
	return err;
}

/* Page objects live as far as pages and nodes in them are referred to. */
static int count_blob(struct loading *l, uint64_t object, uint32_t len, uint64_t *ret_epoch)
{
	struct object_entry *e = lsvd_object_table_get(&l->v->objects, object);

	if (!e && l->v->bad_blob) /* it is in a node that the check has been told of */
		return l->v->bad_blob(l->v, NULL, NULL, -ENOENT);
	if (!e || e->home != HOME_PAGES || e->died.epoch)
		return lsvd_fail(LSVD_E_CORRUPT,
				 "root %llu of epoch %llu: object %llu has pages or nodes, and is "
				 "no living page object", (unsigned long long)l->head->seq,
				 (unsigned long long)l->head->epoch, (unsigned long long)object);
	e->live += len;
	*ret_epoch = e->epoch;
	return 0;
}

static int count_nodes(struct loading *l)
{
	const uint8_t *p = l->nodes;
	int err = 0;

	for (uint64_t i = 0; i < l->node_count && !err; i++) {
		uint64_t index, epoch;
		struct blob_ref ref;

		lsvd_root_node_decode(&index, &ref, p + i * ROOT_NODE_BYTES);
		err = count_blob(l, ref.object, ref.len, &epoch);
	}
	return err;
}

/* What is not read now stays where it is until it is needed. */
static bool reads_all_pages(const struct lsvd_volume *v)
{
	return v->readonly;
}

/* Counts all pages; those that are to be read now are in `wants` then. */
static int want_pages(struct loading *l, struct blob_want *wants, uint64_t *ret_n)
{
	const struct page_table *t = &l->v->pages;
	int err = 0;

	*ret_n = 0;
	for (uint64_t page = 0; page < t->count * PAGE_NODE && !err; page++) {
		const struct page_node *node = t->nodes[page / PAGE_NODE];
		const struct page_ref *ref;
		uint64_t epoch = 0;

		if (!node) {
			page += PAGE_NODE - 1;
			continue;
		}
		ref = &node->refs[page % PAGE_NODE];
		if (!ref->object)
			continue;
		err = count_blob(l, ref->object, ref->len, &epoch);
		if (!epoch)
			continue;
		if (wants)
			wants[(*ret_n)++] = (struct blob_want){ { epoch, ref->object, ref->off,
								  ref->len, ref->hash },
								BLOB_PAGE, page, false };
		else
			err = lsvd_store_map_set_away(l->v->map, page);
	}
	return err;
}

static int load_pages(struct loading *l)
{
	uint64_t n = l->v->pages.used;
	struct blob_want *wants = NULL;
	int err;

	if (reads_all_pages(l->v)) {
		wants = lsvd_malloc(n * sizeof *wants);
		if (!wants)
			return lsvd_fail_plain(-ENOMEM);
	}
	err = want_pages(l, wants, &n);
	if (!err && n)
		err = lsvd_vol_fetch_blobs(l->v, wants, n, take_page);
	lsvd_free(wants);
	return err;
}

/* What this root has replaced is dead, though no root says so yet. */
static void bury_older(struct loading *l)
{
	const struct place at = { l->head->epoch, l->head->seq };
	struct object_table *t = &l->v->objects;

	for (uint64_t n = lsvd_object_table_next(t, 0); n != UINT64_MAX;
	     n = lsvd_object_table_next(t, n + 1)) {
		const struct object_entry *e = lsvd_object_table_get(t, n);

		if ((e->home == HOME_ROOT && n != l->head->seq) ||
		    (e->home == HOME_PAGES && e->live == 0))
			lsvd_object_table_died(t, n, at);
	}
}

static int load_parts(struct loading *l)
{
	int err = load_nodes(l);

	if (err || l->v->listing)
		return err;
	if (!err)
		err = take_new_objects(l);
	if (!err)
		err = take_root_itself(l);
	if (!err)
		err = count_nodes(l);
	if (!err)
		err = load_pages(l);
	if (!err)
		bury_older(l);
	return err;
}

int lsvd_vol_load_root(void *ctx, const struct object_head *head, const uint8_t *object, size_t len)
{
	struct loading l = { .v = ctx, .head = head };
	const uint8_t *body = object + ROOT_HEADER_BYTES;
	uint64_t sum;
	int err;

	if (head->header_bytes != ROOT_HEADER_BYTES || len < ROOT_HEADER_BYTES ||
	    head->body_bytes != len - ROOT_HEADER_BYTES)
		return corrupt_root(head, "length", len, ROOT_HEADER_BYTES + head->body_bytes);
	lsvd_root_part_decode(&l.part, object);
	err = check_lengths(&l);
	if (err)
		return err;
	sum = lsvd_hash_seeded(body, head->body_bytes, lsvd_uuid_seed(&head->volume));
	if (sum != l.part.body_checksum)
		return body_damaged(head, sum, l.part.body_checksum);
	l.nodes = body;
	l.node_count = l.part.page_nodes + l.part.object_nodes + l.part.snapshot_nodes;
	l.new_objects = body + l.node_count * ROOT_NODE_BYTES;
	/* Not those of the volume: it may have become smaller since. */
	l.pages = (l.part.volume_bytes / SECTOR_BYTES + STORE_MAP_PAGE_SECTORS - 1) /
		  STORE_MAP_PAGE_SECTORS;
	l.v->root_bytes = l.part.volume_bytes;
	err = load_parts(&l);
	l.v->root_number = head->seq;
	l.v->root_at = l.part.at;
	return err;
}

/* -------------------------------------------------------------------------------- chain objects */

int lsvd_vol_replay(void *ctx, const struct object_head *head, const struct chain_part *chain,
		    const struct seg_extent *extents, uint32_t count)
{
	struct lsvd_volume *v = ctx;
	struct object_entry entry = { .epoch = head->epoch, .seq = head->seq,
				      .born = { head->epoch, head->seq }, .home = HOME_CHAIN };
	uint64_t bytes = head->header_bytes + head->body_bytes;
	int err;

	(void)chain;
	if (v->rebuild)
		lsvd_rebuild_step(v, entry.born);
	if (v->listing)
		return 0;
	if (head->kind == OBJECT_NOTE && head->object && head->object < OBJECT_NUMBER_LIMIT) {
		entry.home = HOME_NOTE;
		entry.died = entry.born;
		entry.bytes = head->header_bytes;
		return lsvd_vol_apply_object(v, head->object, &entry);
	}
	if (head->kind != OBJECT_DATA)
		return 0;
	if (head->object == 0 || head->object >= OBJECT_NUMBER_LIMIT)
		return lsvd_fail(LSVD_E_CORRUPT,
				 "object %llu of epoch %llu: number %llu in the lineage",
				 (unsigned long long)head->seq, (unsigned long long)head->epoch,
				 (unsigned long long)head->object);
	entry.data = (uint32_t)lsvd_segment_data_bytes(extents, count);
	entry.bytes = (uint32_t)bytes; /* less than 2^27: the extents fit */
	err = lsvd_vol_apply_object(v, head->object, &entry);
	for (uint32_t i = 0; i < count && !err; i++)
		err = lsvd_vol_apply_extent(v, head->object, &extents[i]);
	if (!err)
		lsvd_vol_applied(v, head->object);
	v->stats.replayed_segments++;
	return err;
}

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * root_codec.c - roots and their nodes: structs to bytes and back (docs/format.md, "Roots").
 *
 * All kinds of nodes are a number of entries and then the entries, in order; those of pages and
 * objects begin with how many empty places lie before them.
 */
#include <errno.h>
#include <string.h>

#include "base/alloc.h"
#include "base/bytes.h"
#include "base/err.h"
#include "base/hash.h"
#include "format/fmt_varint.h"
#include "volume/checkpoint.h"

/* ---------------------------------------------------------------------------------- fixed parts */

void lsvd_root_part_encode(uint8_t *header, const struct root_part *r)
{
	uint8_t *p = header + OBJECT_HEAD_BYTES;

	memset(p, 0, ROOT_HEADER_BYTES - OBJECT_HEAD_BYTES);
	le64_put(p, r->at.epoch);
	le64_put(p + 8, r->at.seq);
	le64_put(p + 16, r->last_op);
	le64_put(p + 24, r->next_object);
	le64_put(p + 32, r->volume_bytes);
	le64_put(p + 40, r->page_nodes);
	le64_put(p + 48, r->object_nodes);
	le64_put(p + 56, r->new_objects);
	le64_put(p + 64, r->body_checksum);
	le64_put(p + 72, r->snapshot_nodes);
}

void lsvd_root_part_decode(struct root_part *ret, const uint8_t *header)
{
	const uint8_t *p = header + OBJECT_HEAD_BYTES;

	*ret = (struct root_part){
		.at = { le64_get(p), le64_get(p + 8) },
		.last_op = le64_get(p + 16),
		.next_object = le64_get(p + 24),
		.volume_bytes = le64_get(p + 32),
		.page_nodes = le64_get(p + 40),
		.object_nodes = le64_get(p + 48),
		.new_objects = le64_get(p + 56),
		.body_checksum = le64_get(p + 64),
		.snapshot_nodes = le64_get(p + 72),
	};
}

void lsvd_root_node_encode(uint8_t at[ROOT_NODE_BYTES], uint64_t index, const struct blob_ref *b)
{
	le64_put(at, index);
	le64_put(at + 8, b->epoch);
	le64_put(at + 16, b->object);
	le32_put(at + 24, b->off);
	le32_put(at + 28, b->len);
	le64_put(at + 32, b->hash);
}

void lsvd_root_node_decode(uint64_t *ret_index, struct blob_ref *ret, const uint8_t *at)
{
	*ret_index = le64_get(at);
	*ret = (struct blob_ref){ .epoch = le64_get(at + 8), .object = le64_get(at + 16),
				  .off = le32_get(at + 24), .len = le32_get(at + 28),
				  .hash = le64_get(at + 32) };
}

uint64_t lsvd_blob_hash(const struct lsvd_volume *v, enum blob_kind kind, uint64_t index,
			uint64_t object, const void *bytes, size_t len)
{
	return lsvd_hash_bind(lsvd_hash(bytes, len), lsvd_vol_owner_of(v, object),
			      index * 4 + kind, object);
}

/* ------------------------------------------------------------------------------------- encoding */

size_t lsvd_page_node_encode(uint8_t *to, const struct page_ref refs[PAGE_NODE])
{
	unsigned used = 0, gap = 0;
	uint8_t *p = to;

	for (unsigned i = 0; i < PAGE_NODE; i++)
		used += refs[i].object != 0;
	p += lsvd_varint_put(p, used);
	for (unsigned i = 0; i < PAGE_NODE; i++, gap++) {
		if (!refs[i].object)
			continue;
		p += lsvd_varint_put(p, gap);
		p += lsvd_varint_put(p, refs[i].object);
		p += lsvd_varint_put(p, refs[i].off);
		p += lsvd_varint_put(p, refs[i].len);
		le64_put(p, refs[i].hash);
		p += 8;
		gap = UINT32_MAX; /* 0 at the next */
	}
	return (size_t)(p - to);
}

/*
 * A page object's live bytes are counted anew by whoever loads it, and a chain object is born in
 * its own place.
 */
static uint8_t *put_entry(uint8_t *p, const struct object_entry *e)
{
	p += lsvd_varint_put(p, e->home);
	p += lsvd_varint_put(p, e->epoch);
	p += lsvd_varint_put(p, e->seq);
	p += lsvd_varint_put(p, e->bytes);
	p += lsvd_varint_put(p, e->died.epoch);
	if (e->died.epoch)
		p += lsvd_varint_put(p, e->died.seq);
	if (!lsvd_object_is_in_chain(e)) {
		p += lsvd_varint_put(p, e->born.epoch);
		p += lsvd_varint_put(p, e->born.seq);
	}
	if (lsvd_object_is_data(e)) {
		p += lsvd_varint_put(p, e->data);
		p += lsvd_varint_put(p, e->live);
	}
	return p;
}

size_t lsvd_object_node_encode(uint8_t *to, const struct object_node *node)
{
	unsigned gap = 0;
	uint8_t *p = to;

	p += lsvd_varint_put(p, node->used);
	for (unsigned i = 0; i < OBJECT_NODE; i++, gap++) {
		if (!node->entries[i].epoch)
			continue;
		p += lsvd_varint_put(p, gap);
		p = put_entry(p, &node->entries[i]);
		gap = UINT32_MAX;
	}
	return (size_t)(p - to);
}

static uint8_t *put_place(uint8_t *p, uint64_t epoch, uint64_t seq)
{
	p += lsvd_varint_put(p, epoch);
	return p + lsvd_varint_put(p, seq);
}

static uint8_t *put_snapshot(uint8_t *p, const struct snapshot *s)
{
	size_t len = strlen(s->name);

	memcpy(p, s->id.b, sizeof s->id.b);
	le64_put(p + sizeof s->id.b, (uint64_t)s->created_ms);
	p += sizeof s->id.b + 8;
	p += lsvd_varint_put(p, len);
	memcpy(p, s->name, len);
	p += len;
	p += lsvd_varint_put(p, s->op);
	p += lsvd_varint_put(p, s->bytes);
	p = put_place(p, s->at.epoch, s->at.seq);
	p = put_place(p, s->root.epoch, s->root.number);
	return put_place(p, s->root_at.epoch, s->root_at.seq);
}

size_t lsvd_snapshot_node_encode(uint8_t *to, const struct snapshot_node *node)
{
	uint8_t *p = to + lsvd_varint_put(to, node->count);

	for (unsigned i = 0; i < node->count; i++)
		p = put_snapshot(p, &node->list[i]);
	return (size_t)(p - to);
}

/* ------------------------------------------------------------------------------------- decoding */

struct node_reader {
	const uint8_t *p, *end;
	bool bad;              /* a number was none, or beyond its bound: all that follow are 0 */
};

/* A number of at most `most`. */
static uint64_t get(struct node_reader *r, uint64_t most)
{
	uint64_t v = 0;
	size_t n = r->bad ? 0 : lsvd_varint_get(r->p, (size_t)(r->end - r->p), &v);

	if (n == 0 || v > most) {
		r->bad = true;
		return 0;
	}
	r->p += n;
	return v;
}

/* So many bytes as they are; zeroes if there are fewer. */
static void get_bytes(struct node_reader *r, void *to, size_t len)
{
	memset(to, 0, len);
	r->bad |= (size_t)(r->end - r->p) < len;
	if (r->bad)
		return;
	memcpy(to, r->p, len);
	r->p += len;
}

static uint64_t get_hash(struct node_reader *r)
{
	uint8_t bytes[8];

	get_bytes(r, bytes, sizeof bytes);
	return le64_get(bytes);
}

static int bad_node(const char *what, uint64_t index, size_t at)
{
	return lsvd_fail(LSVD_E_CORRUPT, "%s node %llu: what it says at byte %zu cannot be", what,
			 (unsigned long long)index, at);
}

static void get_page(struct node_reader *r, struct page_ref *ref)
{
	ref->object = get(r, OBJECT_NUMBER_LIMIT - 1);
	ref->off = (uint32_t)get(r, UINT32_MAX);
	ref->len = (uint32_t)get(r, STORE_MAP_PAGE_MAX_BYTES);
	ref->hash = get_hash(r);
	r->bad |= !ref->object || !ref->len;
}

int lsvd_page_node_decode(struct page_table *t, uint64_t index, const uint8_t *bytes, size_t len,
			  uint64_t pages)
{
	struct node_reader r = { bytes, bytes + len, false };
	uint64_t page = index * PAGE_NODE, count = get(&r, PAGE_NODE);

	for (uint64_t i = 0; i < count && !r.bad; i++, page++) {
		struct page_ref ref, old;

		page += get(&r, PAGE_NODE);
		get_page(&r, &ref);
		if (r.bad || page >= pages || page / PAGE_NODE != index)
			return bad_node("page", index, (size_t)(r.p - bytes));
		lsvd_page_table_set(t, page, &ref, &old);
	}
	if (r.bad || r.p != r.end)
		return bad_node("page", index, (size_t)(r.p - bytes));
	return 0;
}

static void get_entry(struct node_reader *r, struct object_entry *e)
{
	*e = (struct object_entry){ .home = (uint8_t)get(r, HOME_NOTE) };
	e->epoch = get(r, UINT64_MAX);
	e->seq = get(r, UINT64_MAX);
	e->bytes = (uint32_t)get(r, UINT32_MAX);
	e->died.epoch = get(r, UINT64_MAX);
	if (e->died.epoch)
		e->died.seq = get(r, UINT64_MAX);
	e->born = (struct place){ e->epoch, e->seq };
	if (!lsvd_object_is_in_chain(e)) {
		e->born.epoch = get(r, UINT64_MAX);
		e->born.seq = get(r, UINT64_MAX);
	}
	if (lsvd_object_is_data(e)) {
		e->data = (uint32_t)get(r, UINT32_MAX);
		e->live = (uint32_t)get(r, UINT32_MAX);
	}
	r->bad |= !e->home || !e->epoch;
}

int lsvd_object_node_decode(struct object_table *t, uint64_t index, const uint8_t *bytes,
			    size_t len, uint64_t next_object)
{
	struct node_reader r = { bytes, bytes + len, false };
	uint64_t number = index * OBJECT_NODE, count = get(&r, OBJECT_NODE);

	for (uint64_t i = 0; i < count && !r.bad; i++, number++) {
		struct object_entry e;

		number += get(&r, OBJECT_NODE);
		get_entry(&r, &e);
		if (r.bad || number >= next_object || number / OBJECT_NODE != index)
			return bad_node("object", index, (size_t)(r.p - bytes));
		lsvd_object_table_set(t, number, &e);
	}
	if (r.bad || r.p != r.end)
		return bad_node("object", index, (size_t)(r.p - bytes));
	return 0;
}

static void get_snapshot(struct node_reader *r, struct snapshot *s)
{
	size_t name;

	*s = (struct snapshot){ .op = 0 };
	get_bytes(r, s->id.b, sizeof s->id.b);
	s->created_ms = (int64_t)get_hash(r);
	name = (size_t)get(r, LSVD_NAME_MAX);
	get_bytes(r, s->name, name);
	s->op = get(r, UINT64_MAX);
	s->bytes = get(r, LSVD_VOLUME_MAX_BYTES);
	s->at = (struct place){ get(r, UINT64_MAX), 0 };
	s->at.seq = get(r, UINT64_MAX);
	s->root = (struct root_ref){ get(r, UINT64_MAX), 0 };
	s->root.number = get(r, OBJECT_NUMBER_LIMIT - 1);
	s->root_at = (struct place){ get(r, UINT64_MAX), 0 };
	s->root_at.seq = get(r, UINT64_MAX);
	r->bad |= !lsvd_name_valid(s->name) || strlen(s->name) != name || !s->at.epoch ||
		  !s->bytes || s->bytes % SECTOR_BYTES || !place_at_or_before(s->root_at, s->at);
}

int lsvd_snapshot_node_decode(struct snapshot_table *t, uint64_t number, const uint8_t *bytes,
			      size_t len)
{
	struct node_reader r = { bytes, bytes + len, false };
	struct snapshot_node *node = lsvd_calloc(1, sizeof *node);
	int err = 0;

	if (!node)
		return lsvd_fail_plain(-ENOMEM);
	node->number = number;
	node->count = (unsigned)get(&r, SNAPSHOT_NODE);
	for (unsigned i = 0; i < node->count && !r.bad; i++)
		get_snapshot(&r, &node->list[i]);
	if (r.bad || r.p != r.end)
		err = bad_node("snapshot", number, (size_t)(r.p - bytes));
	if (!err)
		err = lsvd_snapshots_add_node(t, node);
	if (err)
		lsvd_free(node);
	return err;
}

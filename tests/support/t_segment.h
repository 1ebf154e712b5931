/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * t_segment.h - groups of records, the objects made of them, and the plain array they must equal.
 *
 * For tests and fuzzers: nothing here asserts; what can fail says so.
 */
#ifndef T_SEGMENT_H
#define T_SEGMENT_H

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <lsvd/error.h>

#include "base/alloc.h"
#include "base/err.h"
#include "base/hash.h"
#include "segment/segment.h"

#define T_GROUP_MAX 256u

/* Records, with the data they own. */
struct t_group {
	struct seg_record records[T_GROUP_MAX];
	uint8_t *data[T_GROUP_MAX];
	uint64_t *hashes[T_GROUP_MAX];
	unsigned n;
};

static inline void t_group_free(struct t_group *g)
{
	for (unsigned i = 0; i < g->n; i++) {
		free(g->data[i]);
		free(g->hashes[i]);
	}
	g->n = 0;
}

static inline void t_group_blank(struct t_group *g, uint64_t lba, uint64_t sectors, int kind)
{
	g->data[g->n] = NULL;
	g->hashes[g->n] = NULL;
	g->records[g->n++] = (struct seg_record){ .lba = lba, .sectors = sectors,
						  .kind = (uint8_t)kind };
}

static inline void t_group_rehash(struct t_group *g, unsigned i)
{
	size_t bytes = g->records[i].sectors * SECTOR_BYTES;

	for (size_t at = 0; at < bytes; at += BLOCK_BYTES)
		g->hashes[i][at / BLOCK_BYTES] =
			lsvd_hash(g->data[i] + at, min_u64(BLOCK_BYTES, bytes - at));
}

/* A data record with a copy of `data`, or of zeroes. No memory ends the program. */
static inline uint8_t *t_group_data(struct t_group *g, uint64_t lba, uint64_t sectors,
				    const void *data)
{
	size_t bytes = sectors * SECTOR_BYTES;

	t_group_blank(g, lba, sectors, SEG_RAW);
	g->data[g->n - 1] = calloc(1, bytes + 1);
	g->hashes[g->n - 1] = calloc(bytes / BLOCK_BYTES + 1, sizeof(uint64_t));
	if (!g->data[g->n - 1] || !g->hashes[g->n - 1])
		abort();
	if (data)
		memcpy(g->data[g->n - 1], data, bytes);
	g->records[g->n - 1].data = g->data[g->n - 1];
	g->records[g->n - 1].hashes = g->hashes[g->n - 1];
	t_group_rehash(g, g->n - 1);
	return g->data[g->n - 1];
}

/* ---- the plain array */

#define T_ARRAY_SECTORS 4096u
#define T_UNTOUCHED 0xffu

struct t_array {
	unsigned sectors;              /* in use */
	uint8_t data[T_ARRAY_SECTORS * SECTOR_BYTES];
	uint8_t kind[T_ARRAY_SECTORS]; /* enum seg_kind of the newest record, or T_UNTOUCHED */
};

static inline void t_array_clear(struct t_array *a, unsigned sectors)
{
	a->sectors = sectors;
	memset(a->data, 0, sectors * SECTOR_BYTES);
	memset(a->kind, T_UNTOUCHED, sectors);
}

static inline void t_array_apply(struct t_array *a, const struct t_group *g)
{
	for (unsigned i = 0; i < g->n; i++) {
		const struct seg_record *r = &g->records[i];

		if (r->kind == SEG_RAW && r->sectors)
			memcpy(a->data + r->lba * SECTOR_BYTES, r->data, r->sectors * SECTOR_BYTES);
		else
			memset(a->data + r->lba * SECTOR_BYTES, 0, r->sectors * SECTOR_BYTES);
		memset(a->kind + r->lba, r->kind, r->sectors);
	}
}

/* ---- objects as bytes */

struct t_object {
	uint8_t *bytes;
	size_t len;
};

static inline void t_object_free(struct t_object *o)
{
	free(o->bytes);
	o->bytes = NULL;
}

/* The bytes a store would be given; `s` must be finished. No memory ends the program. */
static inline struct t_object t_object_of(const struct segment *s)
{
	struct t_object o = { malloc(s->header_bytes + s->body_bytes), 0 };

	if (!o.bytes)
		abort();
	for (int i = 0; i < s->iovcnt; i++) {
		memcpy(o.bytes + o.len, s->iov[i].iov_base, s->iov[i].iov_len);
		o.len += s->iov[i].iov_len;
	}
	return o;
}

/* An object's header, verified and read; 0 or what the library said. The caller frees extents. */
struct t_header {
	struct object_head head;
	struct chain_part chain;
	struct seg_extent *extents;
	uint32_t count;
};

static inline int t_header_read(struct t_header *h, const uint8_t *bytes, size_t len)
{
	int err;

	h->extents = NULL;
	err = lsvd_object_head_decode(&h->head, bytes, len, "t");
	if (err == 0)
		err = lsvd_chain_part_decode(&h->chain, bytes, &h->head, "t");
	if (err == 0)
		err = lsvd_segment_extents(&h->extents, &h->count, bytes, &h->head, &h->chain, "t");
	return err;
}

static inline int t_read_units(struct t_array *a, const struct seg_extent *e,
			       const struct t_object *o, uint64_t owner, uint64_t number)
{
	static uint8_t scratch[UNIT_MAX_BYTES];
	uint64_t lba = e->lba;
	size_t off = e->off;

	while (lba < e->lba + e->sectors) {
		const uint8_t *data;
		uint32_t bytes, need;
		int err = lsvd_unit_open(o->bytes + off, o->len - off, owner, number, lba, scratch,
					 &data, &bytes, &need, "t");

		if (err < 0)
			return err;
		if (lba + bytes / SECTOR_BYTES > e->lba + e->sectors)
			return lsvd_fail(LSVD_E_CORRUPT, "a unit goes beyond its extent");
		memcpy(a->data + lba * SECTOR_BYTES, data, bytes);
		lba += bytes / SECTOR_BYTES;
		off += need;
	}
	return 0;
}

/* Lays a whole object over the array. */
static inline int t_array_read(struct t_array *a, const struct t_object *o, uint64_t owner,
			       uint64_t number)
{
	struct t_header h;
	int err = t_header_read(&h, o->bytes, o->len);

	for (uint32_t i = 0; err == 0 && i < h.count; i++) {
		const struct seg_extent *e = &h.extents[i];

		if (e->lba + e->sectors > a->sectors) {
			err = lsvd_fail(-ERANGE, "an extent ends beyond the array");
			break;
		}
		memset(a->kind + e->lba, e->kind == SEG_UNIT ? SEG_RAW : e->kind, e->sectors);
		memset(a->data + e->lba * SECTOR_BYTES, 0, e->sectors * SECTOR_BYTES);
		if (e->kind == SEG_RAW || e->kind == SEG_UNIT)
			err = t_read_units(a, e, o, owner, number);
	}
	lsvd_free(h.extents);
	return err;
}

/*
 * The first sector in which `got` is not what `wanted` says, or -1. Zeroes may have been found in
 * data: that is the one liberty.
 */
static inline long t_array_differs(const struct t_array *wanted, const struct t_array *got)
{
	for (unsigned i = 0; i < wanted->sectors; i++) {
		bool found_zero = wanted->kind[i] == SEG_RAW && got->kind[i] == SEG_ZERO;

		if ((wanted->kind[i] != got->kind[i] && !found_zero) ||
		    memcmp(wanted->data + i * SECTOR_BYTES, got->data + i * SECTOR_BYTES,
			   SECTOR_BYTES) != 0)
			return (long)i;
	}
	return -1;
}

#endif

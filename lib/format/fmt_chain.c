/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fmt_chain.c - the part of a chain object's header, and of a moved object's, that tells of its
 * place and content (docs/format.md, "Objects").
 *
 * Lengths of lists have to add up to that of the header exactly, so that nothing lies between
 * them that nobody has looked at. What the lists say is for who reads them (segment.h,
 * fmt_record.h).
 */
#include "format/fmt_chain.h"

#include <inttypes.h>
#include <stdbool.h>
#include <string.h>

#include <lsvd/volume.h>

#include "base/bytes.h"
#include "base/err.h"
#include "format/fmt_small.h"

enum chain_at {
	CHAIN_PREV_CHECKSUM = 0,
	CHAIN_FIRST_OP = 8,
	CHAIN_LAST_OP = 16,
	CHAIN_ACKED_SEQ = 24,
	CHAIN_ROOT_EPOCH = 32,
	CHAIN_ROOT_NUMBER = 40,
	CHAIN_VOLUME_BYTES = 48,
	CHAIN_NEXT_OBJECT = 56,
	CHAIN_BASE_EPOCH = 64,
	CHAIN_BASE_SEQ = 72,
	CHAIN_FENCED_BY = 80,
	CHAIN_FLAGS = 88,
	CHAIN_EXTENTS = 92,
	CHAIN_EXTENT_BYTES = 96,
	CHAIN_RECORDS = 100,
	CHAIN_RECORD_BYTES = 104,
};

enum moved_at {
	MOVED_EXTENTS = 0,
	MOVED_EXTENT_BYTES = 4,
};

/* ------------------------------------------------------------------------------ the chain part */

void lsvd_chain_part_encode(void *at, const struct chain_part *c)
{
	uint8_t *p = at;

	memset(p, 0, CHAIN_PART_BYTES);
	le64_put(p + CHAIN_PREV_CHECKSUM, c->prev_checksum);
	le64_put(p + CHAIN_FIRST_OP, c->first_op);
	le64_put(p + CHAIN_LAST_OP, c->last_op);
	le64_put(p + CHAIN_ACKED_SEQ, c->acked_seq);
	le64_put(p + CHAIN_ROOT_EPOCH, c->root.epoch);
	le64_put(p + CHAIN_ROOT_NUMBER, c->root.number);
	le64_put(p + CHAIN_VOLUME_BYTES, c->volume_bytes);
	le64_put(p + CHAIN_NEXT_OBJECT, c->next_object);
	le64_put(p + CHAIN_BASE_EPOCH, c->base_epoch);
	le64_put(p + CHAIN_BASE_SEQ, c->base_seq);
	le64_put(p + CHAIN_FENCED_BY, c->fenced_by);
	le32_put(p + CHAIN_FLAGS, c->flags);
	le32_put(p + CHAIN_EXTENTS, c->extents);
	le32_put(p + CHAIN_EXTENT_BYTES, c->extent_bytes);
	le32_put(p + CHAIN_RECORDS, c->records);
	le32_put(p + CHAIN_RECORD_BYTES, c->record_bytes);
}

static void read_chain_part(struct chain_part *c, const uint8_t *p)
{
	c->prev_checksum = le64_get(p + CHAIN_PREV_CHECKSUM);
	c->first_op = le64_get(p + CHAIN_FIRST_OP);
	c->last_op = le64_get(p + CHAIN_LAST_OP);
	c->acked_seq = le64_get(p + CHAIN_ACKED_SEQ);
	c->root.epoch = le64_get(p + CHAIN_ROOT_EPOCH);
	c->root.number = le64_get(p + CHAIN_ROOT_NUMBER);
	c->volume_bytes = le64_get(p + CHAIN_VOLUME_BYTES);
	c->next_object = le64_get(p + CHAIN_NEXT_OBJECT);
	c->base_epoch = le64_get(p + CHAIN_BASE_EPOCH);
	c->base_seq = le64_get(p + CHAIN_BASE_SEQ);
	c->fenced_by = le64_get(p + CHAIN_FENCED_BY);
	c->flags = le32_get(p + CHAIN_FLAGS);
	c->extents = le32_get(p + CHAIN_EXTENTS);
	c->extent_bytes = le32_get(p + CHAIN_EXTENT_BYTES);
	c->records = le32_get(p + CHAIN_RECORDS);
	c->record_bytes = le32_get(p + CHAIN_RECORD_BYTES);
}

static int check_chain(const struct chain_part *c, const struct object_head *h, const char *what)
{
	if (!volume_bytes_valid(c->volume_bytes))
		return lsvd_fail(LSVD_E_CORRUPT,
				 "object %s: volume of %" PRIu64
				 " bytes, expected whole sectors up to %" PRIu64,
				 what, c->volume_bytes, (uint64_t)LSVD_VOLUME_MAX_BYTES);
	if (c->first_op && c->last_op < c->first_op - 1)
		return lsvd_fail(LSVD_E_CORRUPT,
				 "object %s: last operation %" PRIu64
				 ", expected at least %" PRIu64,
				 what, c->last_op, c->first_op - 1);
	if (c->next_object > OBJECT_NUMBER_LIMIT)
		return lsvd_fail(LSVD_E_CORRUPT,
				 "object %s: next object %" PRIu64 ", expected at most %" PRIu64,
				 what, c->next_object, OBJECT_NUMBER_LIMIT);
	if (c->acked_seq >= h->seq)
		return lsvd_fail(LSVD_E_CORRUPT,
				 "object %s: acknowledged up to %" PRIu64
				 ", expected less than its own %" PRIu64,
				 what, c->acked_seq, h->seq);
	return 0;
}

static int check_base(const struct chain_part *c, const struct object_head *h, const char *what)
{
	if (h->seq == 1 && c->base_epoch < h->epoch && !c->base_epoch == !c->base_seq)
		return 0;
	return lsvd_fail(LSVD_E_CORRUPT,
			 "object %s: base with seq %" PRIu64 " of epoch %" PRIu64
			 " on epoch %" PRIu64 " seq %" PRIu64
			 ", expected seq 1 on an earlier epoch or on nothing",
			 what, h->seq, h->epoch, c->base_epoch, c->base_seq);
}

static int check_fence(const struct chain_part *c, const struct object_head *h, const char *what)
{
	if (c->fenced_by > h->epoch)
		return 0;
	return lsvd_fail(LSVD_E_CORRUPT,
			 "object %s: epoch %" PRIu64 " fenced by %" PRIu64
			 ", expected a later one",
			 what, h->epoch, c->fenced_by);
}

static int check_header_bytes(const struct object_head *h, uint64_t wanted, uint64_t extent_bytes,
			      uint64_t record_bytes, const char *what)
{
	if (h->header_bytes == wanted)
		return 0;
	return lsvd_fail(LSVD_E_CORRUPT,
			 "object %s: header of %u bytes, expected %" PRIu64 " for %" PRIu64
			 " bytes of extents and %" PRIu64 " of records",
			 what, h->header_bytes, wanted, extent_bytes, record_bytes);
}

/* Extents and records, of which a record takes at least its own head. */
static int check_lists(const struct chain_part *c, const struct object_head *h, const char *what)
{
	uint64_t at = OBJECT_HEAD_BYTES + CHAIN_PART_BYTES + round_up(c->extent_bytes, 8);

	if (c->record_bytes % 8 || c->records > c->record_bytes / 8)
		return lsvd_fail(LSVD_E_CORRUPT,
				 "object %s: %u records in %u bytes, expected 8 bytes each, in "
				 "steps of 8", what, c->records, c->record_bytes);
	return check_header_bytes(h, round_up(at + c->record_bytes, 16), c->extent_bytes,
				  c->record_bytes, what);
}

static int check_data(const struct chain_part *c, const struct object_head *h, const char *what)
{
	int err = check_lists(c, h, what);

	if (err == 0 && h->object == 0)
		err = lsvd_fail(LSVD_E_CORRUPT, "object %s: number 0, expected at least 1", what);
	return err;
}

static int check_note(const struct chain_part *c, const struct object_head *h, const char *what)
{
	if (c->extents || c->extent_bytes || h->body_bytes || c->last_op + 1 != c->first_op)
		return lsvd_fail(LSVD_E_CORRUPT,
				 "object %s: note with %u extents, %" PRIu64 " bytes of body and "
				 "operations %" PRIu64 " to %" PRIu64 ", expected none", what,
				 c->extents, h->body_bytes, c->first_op, c->last_op);
	return check_lists(c, h, what);
}

static bool in_chain(int kind)
{
	return (kind >= OBJECT_BASE && kind <= OBJECT_CLOSE) || kind == OBJECT_NOTE;
}

int lsvd_chain_part_decode(struct chain_part *ret, const void *header, const struct object_head *h,
			   const char *what)
{
	struct chain_part c;
	int err;

	if (!in_chain(h->kind))
		return lsvd_fail(LSVD_E_CORRUPT, "object %s: kind %u, expected %u to %u or %u",
				 what, h->kind, OBJECT_BASE, OBJECT_CLOSE, OBJECT_NOTE);
	if (h->header_bytes < OBJECT_HEAD_BYTES + CHAIN_PART_BYTES)
		return lsvd_fail(LSVD_E_CORRUPT, "object %s: header of %u bytes, expected %u", what,
				 h->header_bytes, OBJECT_HEAD_BYTES + CHAIN_PART_BYTES);
	read_chain_part(&c, (const uint8_t *)header + OBJECT_HEAD_BYTES);
	err = check_chain(&c, h, what);
	if (err == 0 && h->kind == OBJECT_BASE)
		err = check_base(&c, h, what);
	if (err == 0 && h->kind == OBJECT_FENCE)
		err = check_fence(&c, h, what);
	if (err == 0 && h->kind == OBJECT_DATA)
		err = check_data(&c, h, what);
	if (err == 0 && h->kind == OBJECT_NOTE)
		err = check_note(&c, h, what);
	if (err == 0)
		*ret = c;
	return err;
}

/* ------------------------------------------------------------------------------ the moved part */

void lsvd_moved_part_encode(void *at, const struct moved_part *m)
{
	uint8_t *p = at;

	memset(p, 0, MOVED_PART_BYTES);
	le32_put(p + MOVED_EXTENTS, m->extents);
	le32_put(p + MOVED_EXTENT_BYTES, m->extent_bytes);
}

int lsvd_moved_part_decode(struct moved_part *ret, const void *header, const struct object_head *h,
			   const char *what)
{
	const uint8_t *p = (const uint8_t *)header + OBJECT_HEAD_BYTES;
	struct moved_part m;
	int err;

	if (h->kind != OBJECT_MOVED || h->object == 0)
		return lsvd_fail(LSVD_E_CORRUPT,
				 "object %s: kind %u with number %" PRIu64 ", expected %u with one",
				 what, h->kind, h->object, OBJECT_MOVED);
	if (h->header_bytes < OBJECT_HEAD_BYTES + MOVED_PART_BYTES)
		return lsvd_fail(LSVD_E_CORRUPT, "object %s: header of %u bytes, expected %u", what,
				 h->header_bytes, OBJECT_HEAD_BYTES + MOVED_PART_BYTES);
	m.extents = le32_get(p + MOVED_EXTENTS);
	m.extent_bytes = le32_get(p + MOVED_EXTENT_BYTES);
	err = check_header_bytes(h, round_up(OBJECT_HEAD_BYTES + MOVED_PART_BYTES +
					     (uint64_t)m.extent_bytes, 16),
				 m.extent_bytes, 0, what);
	if (err == 0)
		*ret = m;
	return err;
}

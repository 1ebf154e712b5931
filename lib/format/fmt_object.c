/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fmt_object.c - headers of objects: bytes to structs and back (docs/format.md, "Objects").
 *
 * The layouts are the tables of docs/format.md; the enums below are their only copy in code. What a
 * table calls reserved is written as zero and not looked at.
 *
 * A decoder looks in this order: magic, version (a newer one may have another checksum), length,
 * checksum, and only then at what the rest means. So a damaged header is LSVD_E_CORRUPT, and
 * LSVD_E_VERSION is said only of a header that somebody wrote that way, or whose version field
 * itself was hit.
 */
#include "format/fmt_object.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <string.h>

#include <lsvd/volume.h>

#include "base/bytes.h"
#include "base/err.h"
#include "base/hash.h"
#include "format/fmt_key.h"

/* Of all kinds of objects but one there are none. */
static uint32_t known_incompat(uint16_t kind)
{
	return kind == OBJECT_VOLUME ? OBJECT_INCOMPAT_LOWERS : 0;
}

static const char magic[8] = "LSVDOBJ";

enum head_at {
	HEAD_MAGIC = 0,
	HEAD_VERSION = 8,
	HEAD_KIND = 10,
	HEAD_HEADER_BYTES = 12,
	HEAD_COMPAT = 16,
	HEAD_INCOMPAT = 20,
	HEAD_VOLUME = 24,
	HEAD_EPOCH = 40,
	HEAD_SEQ = 48,
	HEAD_OBJECT = 56,
	HEAD_BODY_BYTES = 64,
	HEAD_CHECKSUM = 72,
};

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

/* The volume record and the claim, counted from the beginning of the object. */
enum record_at {
	VOLUME_BYTES = 80,
	VOLUME_CREATED_MS = 88,
	VOLUME_NAME = 96,
	VOLUME_ANCESTORS = 168,
	VOLUME_OWN_FIRST = 176,
	VOLUME_SNAPSHOT = 184,
	VOLUME_ROOT = 200,
	VOLUME_AT = 216,
	VOLUME_LOWERS = 232,
	VOLUME_LIST = 256,
	LOWER_VOLUME = 0,
	LOWER_SNAPSHOT = 16,
	LOWER_BYTES = 32,
	LOWER_NAME = 48,
	LOWER_SNAPSHOT_NAME = 120,
	SLOT_WHAT = 80,
	SLOT_CLONE = 88,
	SLOT_NAME = 104,
	CLAIM_CACHE_ID = 80,
	CLAIM_PID = 96,
	CLAIM_CREATED_MS = 104,
	CLAIM_HOST = 112,
	CLAIM_NONCE = 184,
	CLAIM_VOID_FROM = 192,
};

/* ------------------------------------------------------------------------------- the fixed part */

/* The checksum of a header whose checksum field may hold anything. Hashed in two halves, so that
 * neither a copy nor a change of the caller's bytes is needed: docs/format.md, "Checksums". */
static uint64_t header_checksum(const uint8_t *header, uint32_t header_bytes,
				const struct uuid *volume)
{
	uint64_t seed = lsvd_uuid_seed(volume);
	uint64_t rest = lsvd_hash_seeded(header + OBJECT_HEAD_BYTES,
					 header_bytes - OBJECT_HEAD_BYTES, seed);
	uint8_t head[OBJECT_HEAD_BYTES];

	memcpy(head, header, sizeof head);
	le64_put(head + HEAD_CHECKSUM, rest);
	return lsvd_hash_seeded(head, sizeof head, seed);
}

void lsvd_object_head_encode(void *buf, struct object_head *h)
{
	uint8_t *p = buf;

	assert(h->header_bytes >= OBJECT_HEAD_BYTES && h->header_bytes <= OBJECT_HEADER_MAX);
	assert(h->header_bytes % 16 == 0);
	memcpy(p + HEAD_MAGIC, magic, sizeof magic);
	le16_put(p + HEAD_VERSION, OBJECT_VERSION);
	le16_put(p + HEAD_KIND, h->kind);
	le32_put(p + HEAD_HEADER_BYTES, h->header_bytes);
	le32_put(p + HEAD_COMPAT, h->compat);
	le32_put(p + HEAD_INCOMPAT, h->incompat);
	memcpy(p + HEAD_VOLUME, h->volume.b, sizeof h->volume.b);
	le64_put(p + HEAD_EPOCH, h->epoch);
	le64_put(p + HEAD_SEQ, h->seq);
	le64_put(p + HEAD_OBJECT, h->object);
	le64_put(p + HEAD_BODY_BYTES, h->body_bytes);
	h->checksum = header_checksum(p, h->header_bytes, &h->volume);
	le64_put(p + HEAD_CHECKSUM, h->checksum);
}

static void read_head(struct object_head *h, const uint8_t *p)
{
	h->kind = le16_get(p + HEAD_KIND);
	h->header_bytes = le32_get(p + HEAD_HEADER_BYTES);
	h->compat = le32_get(p + HEAD_COMPAT);
	h->incompat = le32_get(p + HEAD_INCOMPAT);
	memcpy(h->volume.b, p + HEAD_VOLUME, sizeof h->volume.b);
	h->epoch = le64_get(p + HEAD_EPOCH);
	h->seq = le64_get(p + HEAD_SEQ);
	h->object = le64_get(p + HEAD_OBJECT);
	h->body_bytes = le64_get(p + HEAD_BODY_BYTES);
	h->checksum = le64_get(p + HEAD_CHECKSUM);
}

/* What can be said before the whole header is there. */
static int check_outline(const uint8_t *p, size_t len, const char *what)
{
	uint32_t header_bytes;
	uint16_t version;

	if (len < OBJECT_HEAD_BYTES)
		return lsvd_fail(LSVD_E_CORRUPT, "object %s: %zu bytes, expected at least %u", what,
				 len, OBJECT_HEAD_BYTES);
	if (memcmp(p + HEAD_MAGIC, magic, sizeof magic) != 0)
		return lsvd_fail(LSVD_E_CORRUPT,
				 "object %s: magic %016" PRIx64 ", expected %016" PRIx64, what,
				 le64_get(p + HEAD_MAGIC), le64_get(magic));
	version = le16_get(p + HEAD_VERSION);
	if (version > OBJECT_VERSION)
		return lsvd_fail(LSVD_E_VERSION, "object %s: version %u, this library knows %u",
				 what, version, OBJECT_VERSION);
	if (version == 0)
		return lsvd_fail(LSVD_E_CORRUPT, "object %s: version 0, expected %u", what,
				 OBJECT_VERSION);
	header_bytes = le32_get(p + HEAD_HEADER_BYTES);
	if (header_bytes < OBJECT_HEAD_BYTES || header_bytes > OBJECT_HEADER_MAX ||
	    header_bytes % 16)
		return lsvd_fail(LSVD_E_CORRUPT,
				 "object %s: header of %u bytes, expected %u to %u in steps of 16",
				 what, header_bytes, OBJECT_HEAD_BYTES, OBJECT_HEADER_MAX);
	return 0;
}

static int check_known(const struct object_head *h, const char *what)
{
	if (h->incompat & ~known_incompat(h->kind))
		return lsvd_fail(LSVD_E_VERSION,
				 "object %s: incompatible features %08x, this library knows %08x",
				 what, h->incompat, known_incompat(h->kind));
	if (h->kind < OBJECT_VOLUME || h->kind > OBJECT_SLOT)
		return lsvd_fail(LSVD_E_VERSION, "object %s: kind %u, this library knows %u to %u",
				 what, h->kind, OBJECT_VOLUME, OBJECT_SLOT);
	return 0;
}

int lsvd_object_head_decode(struct object_head *ret, const void *buf, size_t len, const char *what)
{
	struct object_head h;
	uint64_t sum;
	int err;

	err = check_outline(buf, len, what);
	if (err < 0)
		return err;
	read_head(&h, buf);
	if (h.header_bytes > len) {
		*ret = h;
		return -ENODATA;
	}
	sum = header_checksum(buf, h.header_bytes, &h.volume);
	if (sum != h.checksum)
		return lsvd_fail(LSVD_E_CORRUPT,
				 "object %s: header checksum %016" PRIx64 ", expected %016" PRIx64,
				 what, h.checksum, sum);
	err = check_known(&h, what);
	if (err < 0)
		return err;
	*ret = h;
	return 0;
}

int lsvd_object_head_expect(const struct object_head *h, const struct uuid *volume, int kind,
			    uint64_t epoch, uint64_t seq, const char *what)
{
	char is[UUID_TEXT_LEN + 1], wanted[UUID_TEXT_LEN + 1];

	if (!lsvd_uuid_equal(&h->volume, volume)) {
		lsvd_uuid_format(&h->volume, is);
		lsvd_uuid_format(volume, wanted);
		return lsvd_fail(LSVD_E_CORRUPT, "object %s: of volume %s, expected %s", what, is,
				 wanted);
	}
	if (kind && h->kind != kind)
		return lsvd_fail(LSVD_E_CORRUPT, "object %s: kind %u, expected %d", what, h->kind,
				 kind);
	if (h->epoch != epoch || h->seq != seq)
		return lsvd_fail(LSVD_E_CORRUPT,
				 "object %s: epoch %" PRIu64 " seq %" PRIu64
				 ", expected epoch %" PRIu64 " seq %" PRIu64,
				 what, h->epoch, h->seq, epoch, seq);
	return 0;
}

/* ------------------------------------------------------------------------------- the chain part */

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

static bool volume_bytes_valid(uint64_t bytes)
{
	return bytes && bytes % SECTOR_BYTES == 0 && bytes <= LSVD_VOLUME_MAX_BYTES;
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

/* ------------------------------------------------------------------------------- the moved part */

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

/* -------------------------------------------------------------------- the volume record, claims */

/* The whole of a small object without a body. */
static int decode_small(struct object_head *ret, const void *buf, size_t len, int kind,
			uint32_t bytes, const char *what)
{
	struct object_head h;
	int err;

	err = lsvd_object_head_decode(&h, buf, len, what);
	if (err == -ENODATA || (err == 0 && h.header_bytes < bytes))
		return lsvd_fail(LSVD_E_CORRUPT,
				 "object %s: %zu bytes with a header of %u, expected %u", what, len,
				 h.header_bytes, bytes);
	if (err < 0)
		return err;
	if (h.kind != kind)
		return lsvd_fail(LSVD_E_CORRUPT, "object %s: kind %u, expected %d", what, h.kind,
				 kind);
	*ret = h;
	return 0;
}

static void put_text(uint8_t *p, const char *text)
{
	memcpy(p, text, strnlen(text, LSVD_NAME_MAX));
}

/* False if the text does not end where it must. */
static bool get_text(char ret[LSVD_NAME_MAX + 1], const uint8_t *p)
{
	memcpy(ret, p, LSVD_NAME_MAX + 1);
	return ret[LSVD_NAME_MAX] == '\0';
}

static void encode_base(uint8_t *buf, const struct fmt_base *b)
{
	le32_put(buf + VOLUME_ANCESTORS, b->ancestors);
	le64_put(buf + VOLUME_OWN_FIRST, b->own_first);
	memcpy(buf + VOLUME_SNAPSHOT, b->snapshot.b, sizeof b->snapshot.b);
	le64_put(buf + VOLUME_ROOT, b->root.epoch);
	le64_put(buf + VOLUME_ROOT + 8, b->root.number);
	le64_put(buf + VOLUME_AT, b->at_epoch);
	le64_put(buf + VOLUME_AT + 8, b->at_seq);
	for (uint32_t i = 0; i < b->ancestors; i++) {
		uint8_t *p = buf + VOLUME_LIST + 24u * i;

		le64_put(p, b->list[i].first);
		memcpy(p + 8, b->list[i].volume.b, sizeof b->list[i].volume.b);
	}
}

static int decode_base(struct fmt_base *ret, const uint8_t *p, const struct object_head *h,
		       const char *what)
{
	uint32_t n = le32_get(p + VOLUME_ANCESTORS);
	uint64_t last = 0;

	memset(ret, 0, sizeof *ret);
	if (n > FMT_ANCESTORS_MAX || (n && h->header_bytes < VOLUME_LIST + 24u * n))
		return lsvd_fail(LSVD_E_CORRUPT, "object %s: %u ancestors in %u bytes", what, n,
				 h->header_bytes);
	ret->ancestors = n;
	ret->own_first = le64_get(p + VOLUME_OWN_FIRST);
	memcpy(ret->snapshot.b, p + VOLUME_SNAPSHOT, sizeof ret->snapshot.b);
	ret->root = (struct root_ref){ le64_get(p + VOLUME_ROOT), le64_get(p + VOLUME_ROOT + 8) };
	ret->at_epoch = le64_get(p + VOLUME_AT);
	ret->at_seq = le64_get(p + VOLUME_AT + 8);
	for (uint32_t i = 0; i < n; i++) {
		struct fmt_ancestor *a = &ret->list[i];

		a->first = le64_get(p + VOLUME_LIST + 24u * i);
		memcpy(a->volume.b, p + VOLUME_LIST + 24u * i + 8, sizeof a->volume.b);
		if (a->first < last || a->first > ret->own_first)
			return lsvd_fail(LSVD_E_CORRUPT, "object %s: ancestor %u begins at object "
					 "%" PRIu64 ", expected %" PRIu64 " to %" PRIu64, what, i,
					 a->first, last, ret->own_first);
		last = a->first;
	}
	if (n && (ret->own_first >= OBJECT_NUMBER_LIMIT || !ret->at_epoch))
		return lsvd_fail(LSVD_E_CORRUPT, "object %s: a clone whose objects begin at %"
				 PRIu64, what, ret->own_first);
	return 0;
}

static void encode_lowers(uint8_t *buf, const struct fmt_volume *v)
{
	uint8_t *p = buf + fmt_volume_lowers_at(v->base.ancestors);

	le32_put(buf + VOLUME_LOWERS, v->lowers.count);
	for (uint32_t i = 0; i < v->lowers.count; i++, p += FMT_LOWER_BYTES) {
		const struct fmt_lower *l = &v->lowers.list[i];

		memcpy(p + LOWER_VOLUME, l->volume.b, sizeof l->volume.b);
		memcpy(p + LOWER_SNAPSHOT, l->snapshot.b, sizeof l->snapshot.b);
		le64_put(p + LOWER_BYTES, l->bytes);
		put_text(p + LOWER_NAME, l->name);
		put_text(p + LOWER_SNAPSHOT_NAME, l->snapshot_name);
	}
}

/*
 * A list without its feature bit, or the bit without a list:
 * whoever did not know it would not see it.
 */
static int check_lowers(uint32_t n, uint32_t at, const struct object_head *h, const char *what)
{
	if (n > FMT_LOWERS_MAX || h->header_bytes < at + FMT_LOWER_BYTES * n ||
	    !(h->incompat & OBJECT_INCOMPAT_LOWERS) != !n)
		return lsvd_fail(LSVD_E_CORRUPT,
				 "object %s: %u lower volumes in %u bytes, features %08x", what, n,
				 h->header_bytes, h->incompat);
	return 0;
}

static int decode_lowers(struct fmt_volume *v, const uint8_t *buf, const struct object_head *h,
			 const char *what)
{
	uint32_t at = fmt_volume_lowers_at(v->base.ancestors), n = le32_get(buf + VOLUME_LOWERS);
	const uint8_t *p = buf + at;
	int err = check_lowers(n, at, h, what);

	memset(&v->lowers, 0, sizeof v->lowers);
	for (uint32_t i = 0; i < n && !err; i++, p += FMT_LOWER_BYTES) {
		struct fmt_lower *l = &v->lowers.list[i];

		memcpy(l->volume.b, p + LOWER_VOLUME, sizeof l->volume.b);
		memcpy(l->snapshot.b, p + LOWER_SNAPSHOT, sizeof l->snapshot.b);
		l->bytes = le64_get(p + LOWER_BYTES);
		if (!get_text(l->name, p + LOWER_NAME) || !lsvd_name_valid(l->name) ||
		    !get_text(l->snapshot_name, p + LOWER_SNAPSHOT_NAME) ||
		    !lsvd_name_valid(l->snapshot_name) || !volume_bytes_valid(l->bytes))
			err = lsvd_fail(LSVD_E_CORRUPT, "object %s: lower volume %u "
					"has no name, or %" PRIu64 " bytes", what, i, l->bytes);
	}
	v->lowers.count = n;
	return err;
}

void lsvd_volume_record_encode(uint8_t *buf, const struct fmt_volume *v)
{
	struct object_head h = {
		.kind = v->kind,
		.header_bytes = fmt_volume_bytes(v),
		.incompat = v->lowers.count ? OBJECT_INCOMPAT_LOWERS : 0,
		.volume = v->uuid,
	};

	memset(buf, 0, h.header_bytes);
	encode_base(buf, &v->base);
	encode_lowers(buf, v);
	le64_put(buf + VOLUME_BYTES, v->bytes);
	le64_put(buf + VOLUME_CREATED_MS, (uint64_t)v->created_ms);
	put_text(buf + VOLUME_NAME, v->name);
	lsvd_object_head_encode(buf, &h);
}

static bool is_vlog(const uint8_t *p, size_t len)
{
	return len >= OBJECT_HEAD_BYTES && le16_get(p + HEAD_KIND) == OBJECT_VLOG;
}

int lsvd_volume_record_decode(struct fmt_volume *ret, const void *buf, size_t len, const char *what)
{
	const uint8_t *p = buf;
	struct object_head h;
	struct fmt_volume v;
	int err;

	/* Its kind may be either: it stands where only these two are. */
	err = decode_small(&h, buf, len, is_vlog(buf, len) ? OBJECT_VLOG : OBJECT_VOLUME,
			   FMT_VOLUME_BYTES, what);
	if (err < 0)
		return err;
	v.kind = h.kind;
	v.uuid = h.volume;
	v.bytes = le64_get(p + VOLUME_BYTES);
	v.created_ms = (int64_t)le64_get(p + VOLUME_CREATED_MS);
	if (!get_text(v.name, p + VOLUME_NAME) || !lsvd_name_valid(v.name))
		return lsvd_fail(LSVD_E_CORRUPT, "object %s: the volume's name is not one", what);
	if (v.kind == OBJECT_VOLUME && !volume_bytes_valid(v.bytes))
		return lsvd_fail(LSVD_E_CORRUPT,
				 "object %s: volume of %" PRIu64
				 " bytes, expected whole sectors up to %" PRIu64,
				 what, v.bytes, (uint64_t)LSVD_VOLUME_MAX_BYTES);
	err = decode_base(&v.base, p, &h, what);
	if (err == 0)
		err = decode_lowers(&v, p, &h, what);
	if (err < 0)
		return err;
	*ret = v;
	return 0;
}

void lsvd_slot_encode(uint8_t buf[FMT_SLOT_BYTES], const struct uuid *volume, uint64_t number,
		      const struct fmt_slot *s)
{
	struct object_head h = {
		.kind = OBJECT_SLOT,
		.header_bytes = FMT_SLOT_BYTES,
		.volume = *volume,
		.seq = number,
	};

	memset(buf, 0, FMT_SLOT_BYTES);
	le32_put(buf + SLOT_WHAT, (uint32_t)s->what);
	memcpy(buf + SLOT_CLONE, s->clone.b, sizeof s->clone.b);
	put_text(buf + SLOT_NAME, s->name);
	lsvd_object_head_encode(buf, &h);
}

int lsvd_slot_decode(struct fmt_slot *ret, const struct uuid *volume, uint64_t number,
		     const void *buf, size_t len, const char *what)
{
	const uint8_t *p = buf;
	struct object_head h;
	int err = decode_small(&h, buf, len, OBJECT_SLOT, FMT_SLOT_BYTES, what);

	if (err == 0)
		err = lsvd_object_head_expect(&h, volume, OBJECT_SLOT, 0, number, what);
	if (err < 0)
		return err;
	ret->what = (enum slot_what)le32_get(p + SLOT_WHAT);
	memcpy(ret->clone.b, p + SLOT_CLONE, sizeof ret->clone.b);
	if (!get_text(ret->name, p + SLOT_NAME) || ret->what < SLOT_ADD || ret->what > SLOT_DOUBT ||
	    (ret->what != SLOT_CLOSE && !lsvd_name_valid(ret->name))) /* it is shown */
		return lsvd_fail(LSVD_E_CORRUPT, "object %s: slot of kind %u", what,
				 (unsigned)ret->what);
	return 0;
}

void lsvd_claim_encode(uint8_t buf[FMT_CLAIM_BYTES], const struct uuid *volume, uint64_t epoch,
		       const struct fmt_claim *c)
{
	struct object_head h = {
		.kind = OBJECT_CLAIM,
		.header_bytes = FMT_CLAIM_BYTES,
		.volume = *volume,
		.epoch = epoch,
	};

	memset(buf, 0, FMT_CLAIM_BYTES);
	memcpy(buf + CLAIM_CACHE_ID, c->cache_id.b, sizeof c->cache_id.b);
	le64_put(buf + CLAIM_PID, c->pid);
	le64_put(buf + CLAIM_CREATED_MS, (uint64_t)c->created_ms);
	put_text(buf + CLAIM_HOST, c->host);
	le64_put(buf + CLAIM_NONCE, c->nonce);
	le64_put(buf + CLAIM_VOID_FROM, c->void_from);
	lsvd_object_head_encode(buf, &h);
}

/* A host's name is shown to people and chosen by a stranger: nothing but plain text gets out. */
static void make_plain(char *text)
{
	for (; *text; text++)
		if (*text < ' ' || *text > '~')
			*text = '?';
}

int lsvd_claim_decode(struct fmt_claim *ret, const struct uuid *volume, uint64_t epoch,
		      const void *buf, size_t len, const char *what)
{
	const uint8_t *p = buf;
	struct object_head h;
	struct fmt_claim c;
	int err;

	err = decode_small(&h, buf, len, OBJECT_CLAIM, FMT_CLAIM_BYTES, what);
	if (err == 0)
		err = lsvd_object_head_expect(&h, volume, OBJECT_CLAIM, epoch, 0, what);
	if (err < 0)
		return err;
	memcpy(c.cache_id.b, p + CLAIM_CACHE_ID, sizeof c.cache_id.b);
	c.pid = le64_get(p + CLAIM_PID);
	c.created_ms = (int64_t)le64_get(p + CLAIM_CREATED_MS);
	c.nonce = le64_get(p + CLAIM_NONCE);
	c.void_from = le64_get(p + CLAIM_VOID_FROM);
	if (c.void_from > epoch)
		return lsvd_fail(LSVD_E_CORRUPT, "object %s: void from epoch %" PRIu64
				 " on, and is the claim of %" PRIu64, what, c.void_from, epoch);
	if (!get_text(c.host, p + CLAIM_HOST))
		return lsvd_fail(LSVD_E_CORRUPT, "object %s: the host's name does not end", what);
	make_plain(c.host);
	*ret = c;
	return 0;
}

/* ------------------------------------------------------------------------------------- integers */

size_t lsvd_varint_put(uint8_t *p, uint64_t v)
{
	size_t n = 0;

	for (; v >= 0x80; v >>= 7)
		p[n++] = (uint8_t)(v | 0x80);
	p[n++] = (uint8_t)v;
	return n;
}

/* Only the shortest form of a number is one: two encodings of the same header cannot both be. */
size_t lsvd_varint_get(const uint8_t *p, size_t len, uint64_t *ret)
{
	uint64_t v = 0;

	for (size_t n = 0; n < len && n < 10; n++) {
		uint64_t bits = p[n] & 0x7f;

		if (n == 9 && bits > 1)
			return 0;
		v |= bits << (7 * n);
		if (p[n] & 0x80)
			continue;
		if (n && p[n] == 0)
			return 0;
		*ret = v;
		return n + 1;
	}
	return 0;
}

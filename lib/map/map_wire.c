/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * map_wire.c - a page of the store map as bytes, for checkpoints.
 *
 * The form at rest knows nothing of the form in memory. Numbers are varints: seven bits a byte, the
 * lowest first, the top bit set in all bytes but the last, never longer than needed. A page is
 *
 *     byte    format, 1
 *     varint  number of extents, 0 … 8192
 *     then for each extent, in order of address:
 *       varint  gap: sectors from the end of the extent before (the page's beginning) to this one
 *       varint  (len - 1) << 2 | kind: len in sectors; kind 0 raw, 1 unit, 2 zero, 3 is not used
 *       and unless its kind is zero:
 *         varint  the object number minus that of the last extent that had one (at first: minus 0),
 *                 as zigzag: 2d for d >= 0, -2d - 1 for d < 0
 *         varint  (off / 16) << 1 | s: off is the unit's offset in the object, in bytes
 *         byte    only if s is 1: sub, sectors into the unit, 1 … 127; else sub is 0
 *
 * and ends there. An extent lies within the page (8192 sectors). Object numbers are 1 … 2^40 - 1,
 * off is below 2^27. Raw: sub <= 7, and the last unit of its row begins below 2^27 too. Unit: sub +
 * len <= 128. A random 4 KiB write takes 8 bytes, the next block of a sequential one 6.
 *
 * There is one encoding of a page; a decoder takes no other. It checks everything before it makes
 * anything.
 */
#include "map/map_wire.h"

#include <errno.h>

#include "base/bytes.h"
#include "base/err.h"

#define WIRE_FORMAT 1u
#define VARINT_MAX_BYTES 8u        /* no number of a page needs more than 6 */
#define EXTENT_MAX_BYTES 16u      /* 2 + 3 + 6 + 4 + 1: gap, len, object, off, sub */
#define OFF_SHIFT 4

/* ------------------------------------------------------------------------------------ encoding */

static uint8_t *varint_put(uint8_t *at, uint64_t v)
{
	for (; v >= 0x80; v >>= 7)
		*at++ = (uint8_t)(v | 0x80);
	*at++ = (uint8_t)v;
	return at;
}

static uint64_t zigzag(uint64_t to, uint64_t from)
{
	return to >= from ? (to - from) << 1 : ((from - to) << 1) - 1;
}

static uint8_t *extent_put(uint8_t *at, const struct map_extent *e, uint64_t end, uint64_t object)
{
	at = varint_put(at, e->lba - end);
	at = varint_put(at, (uint64_t)(e->len - 1) << 2 | e->kind);
	if (e->kind == MAP_ZERO)
		return at;
	at = varint_put(at, zigzag(e->object, object));
	at = varint_put(at, (uint64_t)(e->off >> OFF_SHIFT) << 1 | (e->sub != 0));
	if (e->sub)
		*at++ = (uint8_t)e->sub;
	return at;
}

int lsvd_map_wire_encode(const struct map_page *p, void *buf, size_t cap)
{
	uint8_t tmp[EXTENT_MAX_BYTES];
	uint8_t *at = tmp, *out = buf;
	struct map_extent e = { .lba = 0 };
	uint64_t object = 0;
	size_t len = 0;

	*at++ = WIRE_FORMAT;
	at = varint_put(at, lsvd_map_page_count(p));
	for (;;) {
		uint32_t end = (uint32_t)e.lba + e.len;

		if ((size_t)(at - tmp) > cap - len)
			return -ENOBUFS;
		memcpy(out + len, tmp, (size_t)(at - tmp));
		len += (size_t)(at - tmp);
		if (!p || !lsvd_map_page_find(p, end, &e))
			return (int)len;
		at = extent_put(tmp, &e, end, object);
		if (e.kind != MAP_ZERO)
			object = e.object;
	}
}

/* ------------------------------------------------------------------------------------ decoding */

struct reader {
	const uint8_t *at, *end;
	uint64_t number;           /* of the page, for texts */
	uint64_t lba, object;      /* end of the extent before; object of the last that had one */
	uint64_t index;            /* of the extent, for texts */
};

static int bad(const struct reader *r, const char *what, uint64_t value, uint64_t limit)
{
	return lsvd_fail(LSVD_E_CORRUPT,
			 "map page %llu: extent %llu: %s %llu, expected at most %llu",
			 (unsigned long long)r->number, (unsigned long long)r->index, what,
			 (unsigned long long)value, (unsigned long long)limit);
}

static int varint_get(struct reader *r, const char *what, uint64_t limit, uint64_t *ret)
{
	const uint8_t *from = r->at;
	uint64_t v = 0;
	uint8_t byte;

	do {
		unsigned shift = 7u * (unsigned)(r->at - from);

		if (r->at == r->end)
			return lsvd_fail(LSVD_E_CORRUPT,
					 "map page %llu: extent %llu: ends within its %s",
					 (unsigned long long)r->number,
					 (unsigned long long)r->index, what);
		byte = *r->at++;
		v |= (uint64_t)(byte & 0x7f) << shift;
		if (shift == 7 * VARINT_MAX_BYTES || (byte == 0 && shift > 0))
			return lsvd_fail(LSVD_E_CORRUPT,
					 "map page %llu: extent %llu: %s of %u bytes, too long",
					 (unsigned long long)r->number,
					 (unsigned long long)r->index, what, shift / 7 + 1);
	} while (byte & 0x80);
	if (v > limit)
		return bad(r, what, v, limit);
	*ret = v;
	return 0;
}

static int read_object(struct reader *r, struct map_extent *e)
{
	uint64_t z, limit = STORE_MAP_OBJECT_LIMIT - 1;
	int err = varint_get(r, "object difference", STORE_MAP_OBJECT_LIMIT << 1, &z);

	if (err < 0)
		return err;
	e->object = z & 1 ? r->object - (z >> 1) - 1 : r->object + (z >> 1);
	/* 0 and what is below it become too large. */
	if (e->object - 1 >= limit)
		return bad(r, "object number", e->object, limit);
	r->object = e->object;
	return 0;
}

static int read_place(struct reader *r, struct map_extent *e)
{
	const uint32_t limit = STORE_MAP_OFF_LIMIT - 1;
	uint64_t off, last;
	int err = varint_get(r, "offset", limit >> (OFF_SHIFT - 1), &off);

	if (err < 0)
		return err;
	e->off = (uint32_t)(off >> 1) << OFF_SHIFT;
	if (off & 1) {
		if (r->at == r->end)
			return bad(r, "bytes of sub missing", 1, 0);
		e->sub = *r->at++;
		if (e->sub == 0)
			return bad(r, "sub of 0 written out", 1, 0);
	}
	if (e->kind == MAP_UNIT && e->sub + e->len > STORE_MAP_UNIT_SECTORS)
		return bad(r, "end in its unit", e->sub + e->len, STORE_MAP_UNIT_SECTORS);
	if (e->kind == MAP_RAW && e->sub >= BLOCK_SECTORS)
		return bad(r, "sub", e->sub, BLOCK_SECTORS - 1);
	last = e->kind == MAP_RAW ? lsvd_map_extent_advance(e, e->len - 1).off : e->off;
	return last <= limit ? 0 : bad(r, "offset of the last unit", last, limit);
}

static int read_extent(struct reader *r, struct map_extent *e)
{
	uint64_t gap, len;
	int err;

	*e = (struct map_extent){ .lba = r->lba };
	err = varint_get(r, "gap", STORE_MAP_PAGE_SECTORS - 1 - r->lba, &gap);
	if (err < 0)
		return err;
	e->lba += gap;
	err = varint_get(r, "length", (STORE_MAP_PAGE_SECTORS - e->lba) * 4 - 1, &len);
	if (err < 0)
		return err;
	e->len = (uint32_t)(len >> 2) + 1;
	e->kind = len & 3;
	if (e->kind > MAP_ZERO)
		return bad(r, "kind", e->kind, MAP_ZERO);
	r->lba = e->lba + e->len;
	if (e->kind == MAP_ZERO)
		return 0;
	err = read_object(r, e);
	return err < 0 ? err : read_place(r, e);
}

/* Reads `n` extents; `page` NULL: only checks them and adds up their shape. */
static int read_extents(struct reader r, uint64_t n, struct map_shape *shape,
			struct map_page *page)
{
	struct map_extent e;

	for (r.index = 0; r.index < n; r.index++) {
		int err;

		if (r.lba == STORE_MAP_PAGE_SECTORS)
			return bad(&r, "index", r.index, r.index - 1);
		err = read_extent(&r, &e);
		if (err < 0)
			return err;
		if (page)
			lsvd_map_page_append(page, &e);
		else
			lsvd_map_shape_add(shape, &e);
	}
	if (r.at != r.end)
		return lsvd_fail(LSVD_E_CORRUPT, "map page %llu: %zu bytes after its %llu extents",
				 (unsigned long long)r.number, (size_t)(r.end - r.at),
				 (unsigned long long)n);
	return 0;
}

int lsvd_map_wire_decode(struct map_page **ret, const void *buf, size_t len, uint64_t number)
{
	struct reader r = { .at = buf, .end = (const uint8_t *)buf + len, .number = number };
	struct map_shape shape = { .n = 0 };
	struct map_page *p;
	uint64_t n;
	int err;

	if (len == 0 || *r.at != WIRE_FORMAT)
		return lsvd_fail(LSVD_E_CORRUPT,
				 "map page %llu: format %u, expected %u (%zu bytes)",
				 (unsigned long long)number, len ? *r.at : 0u, WIRE_FORMAT, len);
	r.at++;
	err = varint_get(&r, "count of extents", STORE_MAP_PAGE_SECTORS, &n);
	if (err < 0)
		return err;
	err = read_extents(r, n, &shape, NULL);
	if (err < 0)
		return err;
	err = lsvd_map_page_new(&p, &shape);
	if (err < 0)
		return err;
	err = p ? read_extents(r, n, NULL, p) : 0;
	if (err < 0) {
		lsvd_map_page_free(p);
		return err;
	}
	*ret = p;
	return 0;
}

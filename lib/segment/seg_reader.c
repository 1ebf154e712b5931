/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * seg_reader.c - the extents of a data object, read back from its header and checked.
 *
 * Offsets are not stored: bodies follow one another in the order of the extents, so an offset is
 * the header's length and the space of all bodies before. seg_window.c counts by the same rule,
 * and the sum must come out at the body's length.
 */
#include <errno.h>
#include <inttypes.h>

#include <lsvd/volume.h>

#include "base/alloc.h"
#include "base/err.h"
#include "format/fmt_varint.h"
#include "segment/segment.h"

#define EXTENTS_AT (OBJECT_HEAD_BYTES + CHAIN_PART_BYTES)
#define MOVED_EXTENTS_AT (OBJECT_HEAD_BYTES + MOVED_PART_BYTES)

struct reader {
	const uint8_t *p, *end;
	uint64_t volume_sectors;
	uint64_t at;             /* lba where the extent before ended */
	uint64_t off, object_bytes;
	const char *what;
};

static int get(struct reader *r, uint64_t *ret)
{
	size_t n = lsvd_varint_get(r->p, (size_t)(r->end - r->p), ret);

	if (n == 0)
		return lsvd_fail(LSVD_E_CORRUPT,
				 "object %s: an extent's number ends in no byte of the %td left",
				 r->what, r->end - r->p);
	r->p += n;
	return 0;
}

static int64_t unzigzag(uint64_t v)
{
	return (int64_t)(v >> 1) ^ -(int64_t)(v & 1);
}

static uint64_t raw_space(uint64_t sectors)
{
	uint64_t units = sectors / BLOCK_SECTORS + (sectors % BLOCK_SECTORS != 0);

	return units * UNIT_FRAME_BYTES + sectors * SECTOR_BYTES;
}

static int check_place(const struct reader *r, int64_t gap, uint64_t sectors)
{
	/* The gap is signed so that kinds of objects to come need not be sorted; these are. */
	if (gap < 0)
		return lsvd_fail(LSVD_E_CORRUPT,
				 "object %s: extent %" PRId64 " sectors from the end of the one "
				 "before it at %" PRIu64 ", expected 0 or more",
				 r->what, gap, r->at);
	if (sectors == 0 || !range_within((uint64_t)gap, sectors, r->volume_sectors - r->at))
		return lsvd_fail(LSVD_E_CORRUPT,
				 "object %s: extent of %" PRIu64 " sectors, %" PRId64
				 " after sector %" PRIu64 ", expected to end by %" PRIu64,
				 r->what, sectors, gap, r->at, r->volume_sectors);
	return 0;
}

/* Bytes the extent's body takes in the object. */
static int body_space(struct reader *r, const struct seg_extent *e, uint64_t *ret)
{
	uint64_t stored, raw = e->sectors * SECTOR_BYTES;
	int err;

	*ret = e->kind == SEG_RAW ? raw_space(e->sectors) : 0;
	if (e->kind != SEG_UNIT)
		return 0;
	err = get(r, &stored);
	if (err < 0)
		return err;
	if (raw > UNIT_MAX_BYTES || stored == 0 || stored >= raw)
		return lsvd_fail(LSVD_E_CORRUPT,
				 "object %s: unit of %" PRIu64 " bytes stored in %" PRIu64
				 ", expected at most %u in fewer",
				 r->what, raw, stored, UNIT_MAX_BYTES);
	*ret = unit_space((uint32_t)stored);
	return 0;
}

static int place_body(struct reader *r, struct seg_extent *e)
{
	uint64_t space;
	int err;

	err = body_space(r, e, &space);
	if (err < 0)
		return err;
	if (space > r->object_bytes - r->off)
		return lsvd_fail(LSVD_E_CORRUPT,
				 "object %s: extent at sector %" PRIu64 " takes %" PRIu64
				 " bytes at %" PRIu64 ", expected to end by %" PRIu64,
				 r->what, e->lba, space, r->off, r->object_bytes);
	e->off = space ? (uint32_t)r->off : 0;
	r->off += space;
	return 0;
}

static int read_extent(struct reader *r, struct seg_extent *ret)
{
	struct seg_extent e = { 0 };
	uint64_t distance, length;
	int err;

	err = get(r, &distance);
	if (err == 0)
		err = get(r, &length);
	if (err == 0)
		err = check_place(r, unzigzag(distance), length >> 2);
	if (err < 0)
		return err;
	e.lba = r->at + (distance >> 1);
	e.sectors = length >> 2;
	e.kind = (uint8_t)(length & 3);
	r->at = e.lba + e.sectors;
	err = place_body(r, &e);
	if (err == 0)
		*ret = e;
	return err;
}

static int check_end(const struct reader *r)
{
	if (r->p != r->end)
		return lsvd_fail(LSVD_E_CORRUPT,
				 "object %s: %td bytes after the last extent, expected 0", r->what,
				 r->end - r->p);
	if (r->off != r->object_bytes)
		return lsvd_fail(LSVD_E_CORRUPT,
				 "object %s: extents end at %" PRIu64 ", expected %" PRIu64,
				 r->what, r->off, r->object_bytes);
	return 0;
}

/* What must be known before memory is taken or a byte of the extents is read. */
static int check_counts(const struct seg_encoded *e, const char *what)
{
	if (e->count > e->bytes / 2)
		return lsvd_fail(LSVD_E_CORRUPT,
				 "object %s: %u extents in %u bytes of a header of %u, expected 2 "
				 "bytes each within it",
				 what, e->count, e->bytes, e->header_bytes);
	if (e->header_bytes > SEG_OBJECT_MAX || e->body_bytes > SEG_OBJECT_MAX - e->header_bytes)
		return lsvd_fail(LSVD_E_CORRUPT,
				 "object %s: body of %" PRIu64
				 " bytes after a header of %u, expected at most %u together", what,
				 e->body_bytes, e->header_bytes, SEG_OBJECT_MAX);
	return 0;
}

int lsvd_segment_decode_extents(struct seg_extent **ret, const struct seg_encoded *e,
				const char *what)
{
	struct seg_extent *extents;
	struct reader r = {
		.p = e->p,
		.end = e->p + e->bytes,
		.volume_sectors = e->volume_sectors,
		.off = e->header_bytes,
		.object_bytes = e->header_bytes + e->body_bytes,
		.what = what,
	};
	int err;

	err = check_counts(e, what);
	if (err < 0)
		return err;
	extents = lsvd_malloc(e->count * sizeof *extents);
	if (!extents)
		return lsvd_fail_plain(-ENOMEM);
	for (uint32_t i = 0; err == 0 && i < e->count; i++)
		err = read_extent(&r, &extents[i]);
	if (err == 0)
		err = check_end(&r);
	if (err < 0)
		lsvd_free(extents);
	else
		*ret = extents;
	return err;
}

/* A kind that has extents, and they lie within the header. */
static int check_outline(const struct object_head *head, int kind, const struct seg_encoded *e,
			 uint32_t at, const char *what)
{
	if (head->kind != kind)
		return lsvd_fail(LSVD_E_CORRUPT, "object %s: kind %u, expected %d", what,
				 head->kind, kind);
	if (!range_within(at, e->bytes, head->header_bytes))
		return lsvd_fail(LSVD_E_CORRUPT,
				 "object %s: %u extents in %u bytes of a header of %u, expected 2 "
				 "bytes each within it",
				 what, e->count, e->bytes, head->header_bytes);
	return 0;
}

uint64_t lsvd_segment_data_bytes(const struct seg_extent *extents, uint32_t n)
{
	uint64_t sectors = 0;

	for (uint32_t i = 0; i < n; i++)
		if (extents[i].kind == SEG_RAW || extents[i].kind == SEG_UNIT)
			sectors += extents[i].sectors;
	return sectors * SECTOR_BYTES;
}

int lsvd_segment_extents(struct seg_extent **ret, uint32_t *ret_count, const uint8_t *header,
			 const struct object_head *head, const struct chain_part *chain,
			 const char *what)
{
	const struct seg_encoded e = {
		.p = header + EXTENTS_AT,
		.bytes = chain->extent_bytes,
		.count = chain->extents,
		.volume_sectors = chain->volume_bytes / SECTOR_BYTES,
		.header_bytes = head->header_bytes,
		.body_bytes = head->body_bytes,
	};
	int err = check_outline(head, OBJECT_DATA, &e, EXTENTS_AT, what);

	if (err == 0)
		err = lsvd_segment_decode_extents(ret, &e, what);
	if (err == 0)
		*ret_count = e.count;
	return err;
}

int lsvd_segment_moved_extents(struct seg_extent **ret, uint32_t *ret_count, const uint8_t *header,
			       const struct object_head *head, const struct moved_part *moved,
			       const char *what)
{
	const struct seg_encoded e = {
		.p = header + MOVED_EXTENTS_AT,
		.bytes = moved->extent_bytes,
		.count = moved->extents,
		.volume_sectors = LSVD_VOLUME_MAX_BYTES / SECTOR_BYTES,
		.header_bytes = head->header_bytes,
		.body_bytes = head->body_bytes,
	};
	int err = check_outline(head, OBJECT_MOVED, &e, MOVED_EXTENTS_AT, what);

	if (err == 0)
		err = lsvd_segment_decode_extents(ret, &e, what);
	if (err == 0)
		*ret_count = e.count;
	return err;
}

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * seg_builder.c - a group of records made into one data object.
 *
 * Fragments (seg_layer.h) are cut into pieces at the borders of their record's 4 KiB pieces, so
 * that a piece that nobody cut still has the hash it came with. Of pieces the window makes units
 * (seg_window.h). When all are in, the extents are written into the header; what it says of the
 * object's place in the chain comes later (seg_finish.c).
 *
 * Invariants:
 *  (1) Extents are in order of lba and do not overlap; bodies lie in the order of their extents.
 *  (2) off is the length of all bodies so far, a multiple of 16.
 *  (3) Extents, iov and lengths were allocated for the most that can come: adding cannot fail.
 */
#include <assert.h>
#include <errno.h>
#include <inttypes.h>

#include "base/alloc.h"
#include "base/err.h"
#include "format/fmt_varint.h"
#include "segment/seg_layer.h"
#include "segment/seg_window.h"

#define EXTENTS_AT (OBJECT_HEAD_BYTES + CHAIN_PART_BYTES)
#define MOVED_EXTENTS_AT (OBJECT_HEAD_BYTES + MOVED_PART_BYTES)
#define EXTENT_BYTES_MAX (10u + 10u + 3u)

/* ----------------------------------------------------------------------------------- fragments */

static int add_fragment(struct builder *b, const struct seg_fragment *f)
{
	const struct seg_record *r = &b->records[f->record];
	uint64_t at = f->lba - r->lba, end = at + f->sectors;
	int err = 0;

	if (r->kind != SEG_RAW) {
		err = lsvd_seg_window_flush(b);
		if (err == 0)
			lsvd_seg_add_extent(b, f->lba, f->sectors, r->kind, 0);
		return err;
	}
	while (err == 0 && at < end) {
		uint64_t first = round_down(at, BLOCK_SECTORS);
		uint64_t stop = min_u64(first + BLOCK_SECTORS, end);
		struct piece p = {
			.lba = r->lba + at,
			.data = r->data + at * SECTOR_BYTES,
			.hash = r->hashes[first / BLOCK_SECTORS],
			.sectors = (uint8_t)(stop - at),
			.before = (uint8_t)(at - first),
			.came = (uint8_t)min_u64(BLOCK_SECTORS, r->sectors - first),
		};

		err = lsvd_seg_window_add(b, &p);
		at = stop;
	}
	return err;
}

/* -------------------------------------------------------------------------- room for all of it */

/* What the fragments can become at most, and what the records were. */
struct tally {
	uint64_t extents, pieces, live_bytes, object_bytes;
};

static void count(struct tally *t, const struct seg_record *records,
		  const struct seg_fragment *fragments, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++) {
		const struct seg_fragment *f = &fragments[i];
		const struct seg_record *r = &records[f->record];
		uint64_t at = f->lba - r->lba, pieces = 0;

		if (r->kind == SEG_RAW) {
			pieces = (at + f->sectors - 1) / BLOCK_SECTORS - at / BLOCK_SECTORS + 1;
			t->live_bytes += f->sectors * SECTOR_BYTES;
		}
		t->pieces += pieces;
		t->extents += pieces ? pieces : 1;
	}
	t->object_bytes = EXTENTS_AT + t->extents * EXTENT_BYTES_MAX + 16 + t->live_bytes +
			  t->pieces * UNIT_FRAME_BYTES;
}

static int allocate(struct builder *b, const struct tally *t)
{
	struct segment *s = b->s;

	if (t->object_bytes > SEG_OBJECT_MAX)
		return lsvd_fail(-E2BIG,
				 "segment: object of up to %" PRIu64 " bytes, expected at most %u",
				 t->object_bytes, SEG_OBJECT_MAX);
	s->extents = lsvd_malloc(t->extents * sizeof *s->extents);
	s->iov = lsvd_malloc((1 + 2 * t->pieces) * sizeof *s->iov);
	b->stored = lsvd_malloc(t->extents * sizeof *b->stored);
	if (!s->extents || !s->iov || !b->stored)
		return lsvd_fail_plain(-ENOMEM);
	s->iovcnt = 1;
	if (b->options.codec == CODEC_RAW || !t->pieces)
		return 0;
	b->scratch = lsvd_malloc(b->options.unit_bytes);
	if (!b->scratch)
		return lsvd_fail_plain(-ENOMEM);
	return lsvd_compressor_new(&b->compressor, b->options.codec);
}

/* ---------------------------------------------------------------------------------- the header */

static uint32_t encode_extents(const struct builder *b, uint8_t *p)
{
	const uint8_t *start = p;
	uint64_t at = 0;

	for (uint32_t i = 0; i < b->s->extent_count; i++) {
		const struct seg_extent *e = &b->s->extents[i];

		p += lsvd_varint_put(p, (e->lba - at) << 1); /* zigzag of what is never negative */
		p += lsvd_varint_put(p, e->sectors << 2 | e->kind);
		if (e->kind == SEG_UNIT)
			p += lsvd_varint_put(p, b->stored[i]);
		at = e->lba + e->sectors;
	}
	return (uint32_t)(p - start);
}

static int make_header(struct builder *b)
{
	struct segment *s = b->s;
	uint32_t extents_at = b->options.moved ? MOVED_EXTENTS_AT : EXTENTS_AT;
	size_t most = extents_at + (size_t)s->extent_count * EXTENT_BYTES_MAX + 16;

	s->header = lsvd_calloc(1, most);
	if (!s->header)
		return lsvd_fail_plain(-ENOMEM);
	s->extent_bytes = encode_extents(b, s->header + extents_at);
	s->header_bytes = (uint32_t)round_up(extents_at + s->extent_bytes, 16);
	s->body_bytes = b->off;
	s->data_bytes = lsvd_segment_data_bytes(s->extents, s->extent_count);
	if (s->header_bytes > OBJECT_HEADER_MAX)
		return lsvd_fail(-E2BIG, "segment: header of %u bytes, expected at most %u",
				 s->header_bytes, OBJECT_HEADER_MAX);
	for (uint32_t i = 0; i < s->extent_count; i++)
		if (seg_has_body(&s->extents[i]))
			s->extents[i].off += s->header_bytes;
	s->iov[0] = (struct iovec){ s->header, s->header_bytes };
	return 0;
}

/* ----------------------------------------------------------------------------------- the whole */

static uint64_t data_bytes(const struct seg_record *records, unsigned n)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < n; i++)
		if (records[i].kind == SEG_RAW)
			sum += records[i].sectors * SECTOR_BYTES;
	return sum;
}

/* Those of the part that is built. */
static uint32_t keep_part(const struct builder *b, struct seg_fragment *fragments, uint32_t n)
{
	uint32_t kept = 0;

	for (uint32_t i = 0; i < n; i++)
		if (b->records[fragments[i].record].cold == (b->options.part == SEG_COLD))
			fragments[kept++] = fragments[i];
	return kept;
}

static int build(struct builder *b, unsigned records, struct seg_fragment *fragments, uint32_t n)
{
	struct tally t = { 0 };
	int err;

	count(&t, b->records, fragments, n);
	b->s->user_bytes = data_bytes(b->records, records);
	b->s->coalesced_bytes = b->s->user_bytes - t.live_bytes;
	if (b->options.part != SEG_ALL)
		n = keep_part(b, fragments, n);
	err = allocate(b, &t);
	for (uint32_t i = 0; err == 0 && i < n; i++)
		err = add_fragment(b, &fragments[i]);
	if (err == 0)
		err = lsvd_seg_window_flush(b);
	if (err == 0)
		err = make_header(b);
	return err;
}

static void check_options(const struct seg_options *o)
{
	assert(o->codec <= CODEC_ZLIB);
	assert(o->unit_bytes >= BLOCK_BYTES && o->unit_bytes <= UNIT_MAX_BYTES);
	assert((o->unit_bytes & (o->unit_bytes - 1)) == 0);
	(void)o; /* unused without assert */
}

static struct builder *builder_new(const struct seg_record *records, uint64_t owner,
				   uint64_t object, const struct seg_options *options)
{
	struct builder *b = lsvd_calloc(1, sizeof *b);

	if (!b)
		return NULL;
	b->records = records;
	b->owner = owner;
	b->object = object;
	b->options = *options;
	lsvd_seg_window_init(b);
	b->s = lsvd_calloc(1, sizeof *b->s);
	if (!b->s) {
		lsvd_free(b);
		return NULL;
	}
	return b;
}

static void builder_free(struct builder *b)
{
	lsvd_segment_free(b->s);
	lsvd_compressor_free(b->compressor);
	lsvd_free(b->scratch);
	lsvd_free(b->stored);
	lsvd_free(b);
}

int lsvd_segment_build(struct segment **ret, const struct seg_record *records, unsigned n,
		       uint64_t owner, uint64_t object, const struct seg_options *options)
{
	struct seg_fragment *fragments = NULL;
	uint32_t count_of_fragments = 0;
	struct builder *b;
	int err;

	check_options(options);
	b = builder_new(records, owner, object, options);
	if (!b)
		return lsvd_fail_plain(-ENOMEM);
	err = lsvd_seg_layer(&fragments, &count_of_fragments, records, n);
	if (err == 0)
		err = build(b, n, fragments, count_of_fragments);
	if (err == 0) {
		*ret = b->s;
		b->s = NULL;
	}
	lsvd_free(fragments);
	builder_free(b);
	return err;
}

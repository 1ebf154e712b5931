/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * seg_builder.c - a group of records made into one data object.
 *
 * Fragments (seg_layer.h) are cut into pieces at the borders of their record's 4 KiB pieces, so
 * that a piece that nobody cut still has the hash it came with. Pieces that follow one another
 * gather in a window, and a window becomes either one compressed unit or raw units:
 *
 *   whole piece       raw: its frame goes to the arena, its data stays where it is; nothing is
 *                     hashed or copied. This is the fast path.
 *   shorter pieces    cut by an overwrite, or the end of a record: neighbours that fit into 4 KiB
 *                     together are copied into one unit. What is hashed again is first compared
 *                     with the hash it came with, so that a damaged buffer is noticed.
 *   zero pieces       never get into a window; found by their hash, which costs nothing.
 *
 * A window ends where the addresses have a gap, at a zero piece, at a zero or hole record, and when
 * it has unit_bytes. A unit is kept compressed if it takes at least an eighth less space than raw.
 *
 * A compressor that does not pay is asked less: after TRIES_IN_VAIN windows in a row that did not
 * shrink only every 2nd is tried, then every 4th, 8th and at last every 16th, until one does.
 *
 * Invariants:
 *  (1) Extents are in order of lba and do not overlap; bodies lie in the order of their extents.
 *  (2) off is the length of all bodies so far, a multiple of 16.
 *  (3) Extents, iov and lengths were allocated for the most that can come: adding cannot fail.
 *
 * Deliberately absent: cutting a whole piece to make units meet 4 KiB borders of the volume. It
 * would cost a hash and a copy, and nothing reads by those borders.
 */
#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "base/alloc.h"
#include "base/err.h"
#include "base/hash.h"
#include "segment/seg_codec.h"
#include "segment/seg_layer.h"
#include "segment/segment.h"

#define EXTENTS_AT (OBJECT_HEAD_BYTES + CHAIN_PART_BYTES)
#define MOVED_EXTENTS_AT (OBJECT_HEAD_BYTES + MOVED_PART_BYTES)
#define EXTENT_BYTES_MAX (10u + 10u + 3u)
#define WINDOW_PIECES (UNIT_MAX_BYTES / SECTOR_BYTES)
#define ARENA_CHUNK_BYTES (256u << 10)
#define TRIES_IN_VAIN 8u
#define PAUSE_SHIFT_MAX 4u

static const uint8_t zeroes[BLOCK_BYTES];

/* What is left of a 4 KiB piece of a record. */
struct piece {
	uint64_t lba;
	const uint8_t *data;     /* of the part that is left */
	uint64_t hash;           /* of the piece as it came */
	uint8_t sectors;         /* left, 1 … 8 */
	uint8_t before;          /* cut off in front */
	uint8_t came;            /* sectors of the piece as it came */
};

/* Memory of frames and compressed bytes: chunks that never move, since the iov points into them. */
struct chunk {
	struct chunk *next;
	uint32_t used;
	_Alignas(16) uint8_t bytes[ARENA_CHUNK_BYTES];
};

struct builder {
	struct segment *s;
	const struct seg_record *records;
	uint64_t owner, object;
	struct seg_options options;

	struct piece window[WINDOW_PIECES];
	unsigned pieces;
	uint32_t window_bytes;

	uint64_t off;            /* body bytes so far */
	uint32_t *stored;        /* of each extent that is a SEG_UNIT */
	struct compressor *compressor;
	uint8_t *scratch;        /* UNIT_MAX_BYTES, to gather in */
	uint32_t misses, pause;
	uint64_t zero_hash[BLOCK_SECTORS + 1]; /* of so many sectors of zeroes */
};

/* ---------------------------------------------------------------------------------------- arena */

/* `bytes` bytes that may be used; what is used must then be taken. NULL: no memory. */
static uint8_t *arena_reserve(struct segment *s, uint32_t bytes)
{
	struct chunk *c = s->arena;

	assert(bytes <= ARENA_CHUNK_BYTES);
	if (c && ARENA_CHUNK_BYTES - c->used >= bytes)
		return c->bytes + c->used;
	c = lsvd_malloc(sizeof *c);
	if (!c) {
		(void)lsvd_fail_plain(-ENOMEM); /* for its text; the caller returns the code */
		return NULL;
	}
	c->next = s->arena;
	c->used = 0;
	s->arena = c;
	return c->bytes;
}

static void arena_take(struct segment *s, uint32_t bytes)
{
	struct chunk *c = s->arena;

	assert(bytes % 16 == 0 && bytes <= ARENA_CHUNK_BYTES - c->used);
	c->used += bytes;
}

/* ----------------------------------------------------------------------------- extents and body */

static void add_iov(struct builder *b, const uint8_t *base, uint32_t bytes)
{
	struct iovec *last = &b->s->iov[b->s->iovcnt - 1];

	b->off += bytes;
	if (b->s->iovcnt > 1 && (const uint8_t *)last->iov_base + last->iov_len == base) {
		last->iov_len += bytes;
		return;
	}
	last++;
	last->iov_base = (void *)(uintptr_t)base; /* iovecs are not const; nobody writes there */
	last->iov_len = bytes;
	b->s->iovcnt++;
}

/* May an extent go on with what follows at `lba`? A raw one only as long as its units are full. */
static bool goes_on(const struct seg_extent *e, uint64_t lba, int kind)
{
	return e->lba + e->sectors == lba && e->kind == kind && kind != SEG_UNIT &&
	       (kind != SEG_RAW || e->sectors % BLOCK_SECTORS == 0);
}

/* To be called before the body is added; `stored` is for SEG_UNIT. */
static void add_extent(struct builder *b, uint64_t lba, uint64_t sectors, int kind, uint32_t stored)
{
	struct segment *s = b->s;
	struct seg_extent *e = &s->extents[s->extent_count];
	bool body = kind == SEG_RAW || kind == SEG_UNIT;

	if (s->extent_count && goes_on(e - 1, lba, kind)) {
		e[-1].sectors += sectors;
		return;
	}
	b->stored[s->extent_count++] = stored;
	*e = (struct seg_extent){ lba, sectors, body ? (uint32_t)b->off : 0, (uint8_t)kind };
}

/* --------------------------------------------------------------------------------------- pieces */

static bool whole(const struct piece *p)
{
	return p->sectors == p->came;
}

static uint32_t piece_bytes(const struct piece *p)
{
	return p->sectors * SECTOR_BYTES;
}

/* Is the piece as it came still what was hashed then? */
static int verify(const struct piece *p)
{
	uint64_t now = lsvd_hash(p->data - p->before * SECTOR_BYTES, p->came * SECTOR_BYTES);

	if (now == p->hash)
		return 0;
	return lsvd_fail(LSVD_E_CORRUPT,
			 "data of sector %" PRIu64 " in memory: checksum %016" PRIx64
			 ", expected %016" PRIx64,
			 p->lba, now, p->hash);
}

static int verify_all(const struct piece *p, unsigned n)
{
	int err = 0;

	for (unsigned i = 0; err == 0 && i < n; i++)
		err = verify(&p[i]);
	return err;
}

static uint32_t gather(uint8_t *to, const struct piece *p, unsigned n)
{
	uint32_t bytes = 0;

	for (unsigned i = 0; i < n; i++) {
		memcpy(to + bytes, p[i].data, piece_bytes(&p[i]));
		bytes += piece_bytes(&p[i]);
	}
	return bytes;
}

/* ------------------------------------------------------------------------------------ raw units */

static uint64_t bind(const struct builder *b, uint64_t h, uint64_t lba)
{
	return lsvd_hash_bind(h, b->owner, b->object, lba);
}

static int add_raw_unit(struct builder *b, uint64_t lba, uint32_t sectors, const uint8_t *data,
			uint64_t hash)
{
	uint8_t *frame = arena_reserve(b->s, UNIT_FRAME_BYTES);
	struct unit_frame f = {
		.stored = sectors * SECTOR_BYTES,
		.sectors = sectors,
		.codec = CODEC_RAW,
		.checksum = bind(b, hash, lba),
	};

	if (!frame)
		return -ENOMEM;
	arena_take(b->s, UNIT_FRAME_BYTES);
	lsvd_unit_frame_encode(frame, lba, &f);
	add_extent(b, lba, sectors, SEG_RAW, 0);
	add_iov(b, frame, UNIT_FRAME_BYTES);
	add_iov(b, data, f.stored);
	return 0;
}

/* One unit, or zeroes, of pieces of which at least one is cut or short. */
static int add_gathered_unit(struct builder *b, const struct piece *p, unsigned n)
{
	const uint8_t *data = p->data;
	uint32_t bytes = piece_bytes(p);
	uint64_t hash;
	int err;

	err = verify_all(p, n);
	if (err < 0)
		return err;
	if (n > 1) {
		uint8_t *copy = arena_reserve(b->s, UNIT_RAW_BYTES);

		if (!copy)
			return -ENOMEM;
		bytes = gather(copy, p, n);
		data = copy;
	}
	hash = lsvd_hash(data, bytes);
	if (hash == b->zero_hash[bytes / SECTOR_BYTES] && memcmp(data, zeroes, bytes) == 0) {
		add_extent(b, p->lba, bytes / SECTOR_BYTES, SEG_ZERO, 0);
		return 0;
	}
	if (n > 1)
		arena_take(b->s, bytes);
	return add_raw_unit(b, p->lba, bytes / SECTOR_BYTES, data, hash);
}

/* How many pieces from the first on share a raw unit: short neighbours that fit into one. */
static unsigned sharing(const struct piece *p, unsigned n)
{
	unsigned sectors = p->sectors, i = 1;

	if (sectors == BLOCK_SECTORS)
		return 1;
	while (i < n && sectors + p[i].sectors <= BLOCK_SECTORS)
		sectors += p[i++].sectors;
	return i;
}

static int store_raw(struct builder *b)
{
	const struct piece *p = b->window, *end = p + b->pieces;
	int err = 0;

	while (err == 0 && p < end) {
		unsigned n = sharing(p, (unsigned)(end - p));

		if (n == 1 && whole(p))
			err = add_raw_unit(b, p->lba, p->sectors, p->data, p->hash);
		else
			err = add_gathered_unit(b, p, n);
		p += n;
	}
	return err;
}

/* ----------------------------------------------------------------------------- compressed units */

/* The most stored bytes with which a unit of `raw` bytes takes an eighth less space than raw. */
static uint32_t most_that_pays(uint32_t raw)
{
	uint32_t units = (raw + UNIT_RAW_BYTES - 1) / UNIT_RAW_BYTES;
	uint32_t space = raw + units * UNIT_FRAME_BYTES;

	return (uint32_t)round_down(space - space / 8, 16) - UNIT_FRAME_BYTES;
}

static bool worth_a_try(struct builder *b)
{
	if (!b->compressor)
		return false;
	if (!b->pause)
		return true;
	b->pause--;
	return false;
}

static void note_miss(struct builder *b)
{
	if (++b->misses >= TRIES_IN_VAIN)
		b->pause = (1u << min_u64(b->misses - TRIES_IN_VAIN + 1, PAUSE_SHIFT_MAX)) - 1;
}

/* Do the pieces' hashes serve as those of the unit's 4 KiB pieces? */
static bool hashes_serve(const struct piece *p, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		if (!whole(&p[i]) || (i + 1 < n && p[i].sectors != BLOCK_SECTORS))
			return false;
	return true;
}

static int window_hash(const struct builder *b, const uint8_t *data, uint64_t *ret)
{
	uint64_t hashes[UNIT_MAX_BYTES / BLOCK_BYTES];
	unsigned n = 0;
	int err;

	if (hashes_serve(b->window, b->pieces)) {
		for (; n < b->pieces; n++)
			hashes[n] = b->window[n].hash;
	} else {
		err = verify_all(b->window, b->pieces);
		if (err < 0)
			return err;
		for (uint32_t at = 0; at < b->window_bytes; at += BLOCK_BYTES)
			hashes[n++] = lsvd_hash(data + at,
						min_u64(BLOCK_BYTES, b->window_bytes - at));
	}
	*ret = lsvd_unit_hash(hashes, n);
	return 0;
}

/* The window's data in one piece: where it is, if it lies so, else gathered. */
static const uint8_t *window_data(const struct builder *b)
{
	const struct piece *p = b->window;

	for (unsigned i = 1; i < b->pieces; i++)
		if (p[i].data != p[i - 1].data + piece_bytes(&p[i - 1])) {
			(void)gather(b->scratch, p, b->pieces); /* window_bytes, as we know */
			return b->scratch;
		}
	return p->data;
}

static int add_compressed_unit(struct builder *b, uint8_t *unit, uint32_t stored,
			       const uint8_t *data)
{
	uint64_t lba = b->window[0].lba;
	struct unit_frame f = {
		.stored = stored,
		.sectors = b->window_bytes / SECTOR_BYTES,
		.codec = b->options.codec,
	};
	uint32_t space = unit_space(stored);
	uint64_t hash;
	int err;

	err = window_hash(b, data, &hash);
	if (err < 0)
		return err;
	f.checksum = bind(b, hash, lba);
	lsvd_unit_frame_encode(unit, lba, &f);
	memset(unit + UNIT_FRAME_BYTES + stored, 0, space - UNIT_FRAME_BYTES - stored);
	arena_take(b->s, space);
	add_extent(b, lba, f.sectors, SEG_UNIT, stored);
	add_iov(b, unit, space);
	b->s->compressed_from += b->window_bytes;
	b->s->compressed_to += stored;
	return 0;
}

/* 1: the window is stored compressed; 0: it does not pay. */
static int store_compressed(struct builder *b)
{
	uint32_t cap = most_that_pays(b->window_bytes), stored;
	uint8_t *unit = arena_reserve(b->s, UNIT_FRAME_BYTES + cap);
	const uint8_t *data = window_data(b);
	int err;

	if (!unit)
		return -ENOMEM;
	stored = lsvd_compress(b->compressor, unit + UNIT_FRAME_BYTES, cap, data, b->window_bytes);
	if (!stored) {
		note_miss(b);
		return 0;
	}
	b->misses = 0;
	err = add_compressed_unit(b, unit, stored, data);
	return err < 0 ? err : 1;
}

/* ----------------------------------------------------------------------------------- the window */

static int flush_window(struct builder *b)
{
	int done = 0;

	if (!b->pieces)
		return 0;
	if (worth_a_try(b))
		done = store_compressed(b);
	if (done == 0)
		done = store_raw(b);
	b->pieces = 0;
	b->window_bytes = 0;
	return done < 0 ? done : 0;
}

static bool fits(const struct builder *b, const struct piece *p)
{
	const struct piece *last = &b->window[b->pieces - 1];

	return last->lba + last->sectors == p->lba &&
	       b->window_bytes + piece_bytes(p) <= b->options.unit_bytes;
}

/* Known by its hash; but whoever can choose data can choose one with that hash, so look, too. */
static bool is_zero(const struct builder *b, const struct piece *p)
{
	return p->hash == b->zero_hash[p->came] &&
	       memcmp(p->data, zeroes, piece_bytes(p)) == 0;
}

static int add_piece(struct builder *b, const struct piece *p)
{
	bool zero = is_zero(b, p);
	int err = 0;

	if (b->pieces && (zero || !fits(b, p)))
		err = flush_window(b);
	if (err < 0)
		return err;
	if (zero) {
		add_extent(b, p->lba, p->sectors, SEG_ZERO, 0);
		return 0;
	}
	b->window[b->pieces++] = *p;
	b->window_bytes += piece_bytes(p);
	return 0;
}

static int add_fragment(struct builder *b, const struct seg_fragment *f)
{
	const struct seg_record *r = &b->records[f->record];
	uint64_t at = f->lba - r->lba, end = at + f->sectors;
	int err = 0;

	if (r->kind != SEG_RAW) {
		err = flush_window(b);
		if (err == 0)
			add_extent(b, f->lba, f->sectors, r->kind, 0);
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

		err = add_piece(b, &p);
		at = stop;
	}
	return err;
}

/* ------------------------------------------------------------------------------------ the whole */

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

static bool has_body(const struct seg_extent *e)
{
	return e->kind == SEG_RAW || e->kind == SEG_UNIT;
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
		if (has_body(&s->extents[i]))
			s->extents[i].off += s->header_bytes;
	s->iov[0] = (struct iovec){ s->header, s->header_bytes };
	return 0;
}

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
		err = flush_window(b);
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
	for (unsigned i = 1; i <= BLOCK_SECTORS; i++)
		b->zero_hash[i] = lsvd_hash(zeroes, i * SECTOR_BYTES);
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

uint64_t lsvd_segment_finish(struct segment *s, struct object_head *head, struct chain_part *chain)
{
	head->kind = OBJECT_DATA;
	head->header_bytes = s->header_bytes;
	head->body_bytes = s->body_bytes;
	chain->extents = s->extent_count;
	chain->extent_bytes = s->extent_bytes;
	chain->records = s->record_count;
	chain->record_bytes = s->record_bytes;
	lsvd_chain_part_encode(s->header + OBJECT_HEAD_BYTES, chain);
	lsvd_object_head_encode(s->header, head);
	return head->checksum;
}

int lsvd_segment_add_records(struct segment *s, const uint8_t *records, uint32_t count,
			     uint32_t bytes)
{
	uint32_t at = (uint32_t)round_up(EXTENTS_AT + s->extent_bytes, 8);
	uint64_t header_bytes = round_up((uint64_t)at + bytes, 16);
	uint8_t *header;

	assert(!s->record_count && bytes % 8 == 0);
	if (header_bytes > OBJECT_HEADER_MAX || header_bytes + s->body_bytes > SEG_OBJECT_MAX)
		return lsvd_fail(-E2BIG, "segment: header of %" PRIu64 " bytes with its records, "
				 "expected at most %u", header_bytes, OBJECT_HEADER_MAX);
	header = lsvd_realloc(s->header, header_bytes);
	if (!header)
		return lsvd_fail_plain(-ENOMEM);
	memcpy(header + at, records, bytes);
	memset(header + at + bytes, 0, header_bytes - at - bytes);
	for (uint32_t i = 0; i < s->extent_count; i++)
		if (has_body(&s->extents[i]))
			s->extents[i].off += (uint32_t)header_bytes - s->header_bytes;
	s->header = header;
	s->header_bytes = (uint32_t)header_bytes;
	s->record_count = count;
	s->record_bytes = bytes;
	s->iov[0] = (struct iovec){ header, header_bytes };
	return 0;
}

uint64_t lsvd_segment_finish_moved(struct segment *s, struct object_head *head)
{
	const struct moved_part part = { s->extent_count, s->extent_bytes };

	head->kind = OBJECT_MOVED;
	head->header_bytes = s->header_bytes;
	head->body_bytes = s->body_bytes;
	lsvd_moved_part_encode(s->header + OBJECT_HEAD_BYTES, &part);
	lsvd_object_head_encode(s->header, head);
	return head->checksum;
}

void lsvd_segment_free(struct segment *s)
{
	struct chunk *c;

	if (!s)
		return;
	c = s->arena;
	while (c) {
		struct chunk *next = c->next;

		lsvd_free(c);
		c = next;
	}
	lsvd_free(s->header);
	lsvd_free(s->extents);
	lsvd_free(s->iov);
	lsvd_free(s);
}

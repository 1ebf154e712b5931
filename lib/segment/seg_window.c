/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * seg_window.c - the window: pieces that follow one another, until they are units.
 *
 * A window becomes either one compressed unit or raw units:
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
 * Deliberately absent: cutting a whole piece to make units meet 4 KiB borders of the volume. It
 * would cost a hash and a copy, and nothing reads by those borders.
 */
#include "segment/seg_window.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "base/err.h"
#include "base/hash.h"
#include "segment/seg_arena.h"

#define TRIES_IN_VAIN 8u
#define PAUSE_SHIFT_MAX 4u

static const uint8_t zeroes[BLOCK_BYTES];

void lsvd_seg_window_init(struct builder *b)
{
	for (unsigned i = 1; i <= BLOCK_SECTORS; i++)
		b->zero_hash[i] = lsvd_hash(zeroes, i * SECTOR_BYTES);
}

/* ---------------------------------------------------------------------------- extents and body */

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

void lsvd_seg_add_extent(struct builder *b, uint64_t lba, uint64_t sectors, int kind,
			 uint32_t stored)
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

/* -------------------------------------------------------------------------------------- pieces */

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

/* ----------------------------------------------------------------------------------- raw units */

static uint64_t bind(const struct builder *b, uint64_t h, uint64_t lba)
{
	return lsvd_hash_bind(h, b->owner, b->object, lba);
}

static int add_raw_unit(struct builder *b, uint64_t lba, uint32_t sectors, const uint8_t *data,
			uint64_t hash)
{
	uint8_t *frame = lsvd_seg_arena_reserve(b->s, UNIT_FRAME_BYTES);
	struct unit_frame f = {
		.stored = sectors * SECTOR_BYTES,
		.sectors = sectors,
		.codec = CODEC_RAW,
		.checksum = bind(b, hash, lba),
	};

	if (!frame)
		return -ENOMEM;
	lsvd_seg_arena_take(b->s, UNIT_FRAME_BYTES);
	lsvd_unit_frame_encode(frame, lba, &f);
	lsvd_seg_add_extent(b, lba, sectors, SEG_RAW, 0);
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
		uint8_t *copy = lsvd_seg_arena_reserve(b->s, UNIT_RAW_BYTES);

		if (!copy)
			return -ENOMEM;
		bytes = gather(copy, p, n);
		data = copy;
	}
	hash = lsvd_hash(data, bytes);
	if (hash == b->zero_hash[bytes / SECTOR_BYTES] && memcmp(data, zeroes, bytes) == 0) {
		lsvd_seg_add_extent(b, p->lba, bytes / SECTOR_BYTES, SEG_ZERO, 0);
		return 0;
	}
	if (n > 1)
		lsvd_seg_arena_take(b->s, bytes);
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

/* ---------------------------------------------------------------------------- compressed units */

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
	lsvd_seg_arena_take(b->s, space);
	lsvd_seg_add_extent(b, lba, f.sectors, SEG_UNIT, stored);
	add_iov(b, unit, space);
	b->s->compressed_from += b->window_bytes;
	b->s->compressed_to += stored;
	return 0;
}

/* 1: the window is stored compressed; 0: it does not pay. */
static int store_compressed(struct builder *b)
{
	uint32_t cap = most_that_pays(b->window_bytes), stored;
	uint8_t *unit = lsvd_seg_arena_reserve(b->s, UNIT_FRAME_BYTES + cap);
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

/* ---------------------------------------------------------------------------------- the window */

int lsvd_seg_window_flush(struct builder *b)
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

int lsvd_seg_window_add(struct builder *b, const struct piece *p)
{
	bool zero = is_zero(b, p);
	int err = 0;

	if (b->pieces && (zero || !fits(b, p)))
		err = lsvd_seg_window_flush(b);
	if (err < 0)
		return err;
	if (zero) {
		lsvd_seg_add_extent(b, p->lba, p->sectors, SEG_ZERO, 0);
		return 0;
	}
	b->window[b->pieces++] = *p;
	b->window_bytes += piece_bytes(p);
	return 0;
}

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * seg_adopt.c - the record of an adoption: encoded, decoded, cut into pieces.
 *
 * Layout (docs/format.md, "Adoption"): a fixed part; the extents exactly as in the MOVED's header,
 * from which their places follow; the sources, in ascending order, each once; the runs, each of so
 * many sectors and the index of its source.
 */
#include "segment/seg_adopt.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/bytes.h"
#include "base/err.h"
#include "format/fmt_varint.h"

#define MOVED_EXTENTS_AT (OBJECT_HEAD_BYTES + MOVED_PART_BYTES)
#define RUN_BYTES_MAX 15u

enum adopt_at {
	ADOPT_OBJECT = 0,
	ADOPT_EPOCH = 8,
	ADOPT_NUMBER = 16,
	ADOPT_HEADER_BYTES = 24,
	ADOPT_FLAGS = 28,
	ADOPT_BODY_BYTES = 32,
	ADOPT_EXTENTS = 40,
	ADOPT_EXTENT_BYTES = 44,
	ADOPT_SOURCES = 48,
	ADOPT_RUNS = 52,
	ADOPT_LISTS = 56,
};

/* ------------------------------------------------------------------------------------ encoding */

static int by_number(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;

	return *x < *y ? -1 : *x > *y;
}

/* The sources, each once; returns how many. */
static uint32_t collect(uint64_t *sources, const struct seg_run *runs, uint32_t n)
{
	uint32_t count = 0;

	for (uint32_t i = 0; i < n; i++)
		sources[i] = runs[i].source;
	qsort(sources, n, sizeof *sources, by_number);
	for (uint32_t i = 0; i < n; i++)
		if (i == 0 || sources[i] != sources[count - 1])
			sources[count++] = sources[i];
	return count;
}

static uint8_t *put_sources(uint8_t *p, const uint64_t *sources, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		p += lsvd_varint_put(p, i ? sources[i] - sources[i - 1] - 1 : sources[0]);
	return p;
}

static uint8_t *put_runs(uint8_t *p, const struct seg_run *runs, uint32_t n,
			 const uint64_t *sources, uint32_t source_count)
{
	for (uint32_t i = 0; i < n; i++) {
		const uint64_t *s = bsearch(&runs[i].source, sources, source_count,
					    sizeof *sources, by_number);

		p += lsvd_varint_put(p, runs[i].sectors);
		p += lsvd_varint_put(p, (uint64_t)(s - sources));
	}
	return p;
}

int lsvd_adopt_encode(uint8_t **ret, uint32_t *ret_len, size_t room, const struct segment *moved,
		      const struct seg_adopt *name, const struct seg_run *runs, uint32_t run_count)
{
	size_t most = room + ADOPT_LISTS + moved->extent_bytes + (size_t)run_count * 10 +
		      (size_t)run_count * RUN_BYTES_MAX;
	uint64_t *sources = lsvd_malloc(run_count * sizeof *sources);
	uint8_t *bytes = lsvd_malloc(most), *start, *p;
	uint32_t source_count;

	if (!bytes || !sources) {
		lsvd_free(bytes);
		lsvd_free(sources);
		return lsvd_fail_plain(-ENOMEM);
	}
	source_count = collect(sources, runs, run_count);
	start = bytes + room;
	le64_put(start + ADOPT_OBJECT, name->object);
	le64_put(start + ADOPT_EPOCH, name->epoch);
	le64_put(start + ADOPT_NUMBER, name->number);
	le32_put(start + ADOPT_HEADER_BYTES, moved->header_bytes);
	le32_put(start + ADOPT_FLAGS, 0);
	le64_put(start + ADOPT_BODY_BYTES, moved->body_bytes);
	le32_put(start + ADOPT_EXTENTS, moved->extent_count);
	le32_put(start + ADOPT_EXTENT_BYTES, moved->extent_bytes);
	le32_put(start + ADOPT_SOURCES, source_count);
	le32_put(start + ADOPT_RUNS, run_count);
	p = start + ADOPT_LISTS;
	memcpy(p, moved->header + MOVED_EXTENTS_AT, moved->extent_bytes);
	p = put_sources(p + moved->extent_bytes, sources, source_count);
	p = put_runs(p, runs, run_count, sources, source_count);
	assert(p <= bytes + most);
	lsvd_free(sources);
	*ret = bytes;
	*ret_len = (uint32_t)(p - start);
	return 0;
}

/* ------------------------------------------------------------------------------------ decoding */

struct list_reader {
	const uint8_t *p, *end;
	const char *what;
};

static int get(struct list_reader *r, uint64_t *ret)
{
	size_t n = lsvd_varint_get(r->p, (size_t)(r->end - r->p), ret);

	if (n == 0)
		return lsvd_fail(LSVD_E_CORRUPT,
				 "object %s: adoption: a number ends in no byte of the %td left",
				 r->what, r->end - r->p);
	r->p += n;
	return 0;
}

static int read_sources(struct list_reader *r, uint64_t *sources, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++) {
		uint64_t least = i ? sources[i - 1] + 1 : 0, more;
		int err = get(r, &more);

		if (err < 0)
			return err;
		if (more >= OBJECT_NUMBER_LIMIT || least + more >= OBJECT_NUMBER_LIMIT)
			return lsvd_fail(LSVD_E_CORRUPT, "object %s: adoption: source %" PRIu64
					 " after %" PRIu64 ", expected less than %" PRIu64, r->what,
					 more, least, OBJECT_NUMBER_LIMIT);
		sources[i] = least + more;
	}
	return 0;
}

static int read_run(struct list_reader *r, struct seg_run *run, const uint64_t *sources,
		    uint32_t source_count)
{
	uint64_t index = 0;
	int err = get(r, &run->sectors);

	if (err == 0)
		err = get(r, &index);
	if (err < 0)
		return err;
	if (index >= source_count || run->sectors == 0)
		return lsvd_fail(LSVD_E_CORRUPT, "object %s: adoption: %" PRIu64
				 " sectors from source %" PRIu64 " of %u", r->what, run->sectors,
				 index, source_count);
	run->source = sources[index];
	return 0;
}

static uint64_t extent_sectors(const struct seg_adopt *a)
{
	uint64_t sum = 0;

	for (uint32_t i = 0; i < a->extent_count; i++)
		sum += a->extents[i].sectors;
	return sum;
}

static int read_runs(struct list_reader *r, struct seg_adopt *a, const uint64_t *sources,
		     uint32_t source_count)
{
	uint64_t left = extent_sectors(a);
	int err = 0;

	for (uint32_t i = 0; err == 0 && i < a->run_count; i++) {
		err = read_run(r, &a->runs[i], sources, source_count);
		if (err == 0 && a->runs[i].sectors > left)
			return lsvd_fail(LSVD_E_CORRUPT, "object %s: adoption: run of %" PRIu64
					 " sectors, expected at most %" PRIu64, r->what,
					 a->runs[i].sectors, left);
		left -= err == 0 ? a->runs[i].sectors : 0;
	}
	if (err == 0 && (left || r->p != r->end))
		return lsvd_fail(LSVD_E_CORRUPT, "object %s: adoption: %" PRIu64 " sectors and %td "
				 "bytes after the last run, expected none", r->what, left,
				 r->end - r->p);
	return err;
}

static int read_lists(struct list_reader *r, struct seg_adopt *a, uint32_t source_count)
{
	size_t left = (size_t)(r->end - r->p);
	uint64_t *sources;
	int err;

	if (source_count > left || a->run_count > left / 2)
		return lsvd_fail(LSVD_E_CORRUPT,
				 "object %s: adoption: %u sources and %u runs in %zu bytes",
				 r->what, source_count, a->run_count, left);
	sources = lsvd_malloc(source_count * sizeof *sources);
	a->runs = lsvd_malloc(a->run_count * sizeof *a->runs);
	if (!sources || !a->runs)
		err = lsvd_fail_plain(-ENOMEM);
	else
		err = read_sources(r, sources, source_count);
	if (err == 0)
		err = read_runs(r, a, sources, source_count);
	lsvd_free(sources);
	return err;
}

/* The fixed part; extents are there, but not read. */
static int read_fixed(struct seg_adopt *a, struct seg_encoded *e, const uint8_t *p, uint32_t len,
		      const char *what)
{
	if (len < ADOPT_LISTS || le32_get(p + ADOPT_EXTENT_BYTES) > len - ADOPT_LISTS)
		return lsvd_fail(LSVD_E_CORRUPT,
				 "object %s: adoption of %u bytes, expected %u and the extents",
				 what, len, ADOPT_LISTS);
	if (le32_get(p + ADOPT_FLAGS))
		return lsvd_fail(LSVD_E_VERSION,
				 "object %s: adoption with flags %08x, this library knows none",
				 what, le32_get(p + ADOPT_FLAGS));
	*a = (struct seg_adopt){
		.object = le64_get(p + ADOPT_OBJECT),
		.epoch = le64_get(p + ADOPT_EPOCH),
		.number = le64_get(p + ADOPT_NUMBER),
		.header_bytes = le32_get(p + ADOPT_HEADER_BYTES),
		.body_bytes = le64_get(p + ADOPT_BODY_BYTES),
		.extent_count = le32_get(p + ADOPT_EXTENTS),
		.run_count = le32_get(p + ADOPT_RUNS),
	};
	if (a->object == 0 || a->object >= OBJECT_NUMBER_LIMIT || a->epoch == 0)
		return lsvd_fail(LSVD_E_CORRUPT, "object %s: adoption of object %" PRIu64
				 " of epoch %" PRIu64, what, a->object, a->epoch);
	*e = (struct seg_encoded){
		.p = p + ADOPT_LISTS,
		.bytes = le32_get(p + ADOPT_EXTENT_BYTES),
		.count = a->extent_count,
		.header_bytes = a->header_bytes,
		.body_bytes = a->body_bytes,
	};
	return 0;
}

static int check_holes(const struct seg_adopt *a, const char *what)
{
	for (uint32_t i = 0; i < a->extent_count; i++)
		if (a->extents[i].kind == SEG_HOLE)
			return lsvd_fail(LSVD_E_CORRUPT,
					 "object %s: adoption with a hole at sector %" PRIu64, what,
					 a->extents[i].lba);
	return 0;
}

int lsvd_adopt_decode(struct seg_adopt *ret, const uint8_t *payload, uint32_t len,
		      uint64_t volume_sectors, const char *what)
{
	struct list_reader r = { .end = payload + len, .what = what };
	struct seg_adopt a = { .object = 0 };
	struct seg_encoded e;
	int err;

	err = read_fixed(&a, &e, payload, len, what);
	if (err < 0)
		return err;
	e.volume_sectors = volume_sectors;
	err = lsvd_segment_decode_extents(&a.extents, &e, what);
	if (err < 0)
		return err;
	r.p = e.p + e.bytes;
	err = check_holes(&a, what);
	if (err == 0)
		err = read_lists(&r, &a, le32_get(payload + ADOPT_SOURCES));
	if (err < 0)
		lsvd_adopt_free(&a);
	else
		*ret = a;
	return err;
}

void lsvd_adopt_free(struct seg_adopt *a)
{
	lsvd_free(a->extents);
	lsvd_free(a->runs);
	a->extents = NULL;
	a->runs = NULL;
}

bool lsvd_adopt_next(const struct seg_adopt *a, struct seg_walk *w, struct seg_piece *ret)
{
	const struct seg_extent *e;
	const struct seg_run *run;

	if (w->extent == a->extent_count)
		return false;
	e = &a->extents[w->extent];
	run = &a->runs[w->run];
	*ret = (struct seg_piece){ e, w->in_extent,
				   min_u64(e->sectors - w->in_extent, run->sectors - w->in_run),
				   run->source };
	w->in_extent += ret->sectors;
	w->in_run += ret->sectors;
	if (w->in_extent == e->sectors) {
		w->extent++;
		w->in_extent = 0;
	}
	if (w->in_run == run->sectors) {
		w->run++;
		w->in_run = 0;
	}
	return true;
}

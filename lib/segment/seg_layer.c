/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * seg_layer.c - records laid over one another, the newest on top.
 *
 * A sweep over the addresses: a heap holds the records that began at or before the current sector,
 * the newest on top, which is the one that is seen. What is seen can change only where a record
 * begins or where the top one ends. Records that ended below the top stay in the heap until they
 * surface. So n records take O(n log n), however they lie, and memory is known beforehand.
 *
 * The records are sorted by one 64-bit key each, lba above index: 2^41 sectors are the largest
 * volume, which leaves 23 bits for the index. Sequential writes come sorted and are seen to be.
 */
#include "segment/seg_layer.h"

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>

#include <lsvd/volume.h>

#include "base/alloc.h"
#include "base/err.h"

#define INDEX_BITS 23
#define INDEX_MASK ((UINT64_C(1) << INDEX_BITS) - 1)
#define SECTORS_MAX (LSVD_VOLUME_MAX_BYTES / SECTOR_BYTES)

_Static_assert(SEG_RECORDS_MAX <= INDEX_MASK, "an index must fit beside the lba");
_Static_assert(SECTORS_MAX <= UINT64_C(1) << (64 - INDEX_BITS), "an lba must fit above the index");

struct sweep {
	const struct seg_record *records;
	uint64_t *keys;          /* sorted */
	uint32_t n, next;        /* of the keys */
	uint32_t *heap;          /* indices of records, the largest first */
	uint32_t depth;
	struct seg_fragment *out;
	uint32_t count;
};

static uint64_t end_of(const struct seg_record *r)
{
	return r->lba + r->sectors;
}

/* -------------------------------------------------------------------------------------- sorting */

static bool sorted(const uint64_t *keys, uint32_t n)
{
	for (uint32_t i = 1; i < n; i++)
		if (keys[i - 1] > keys[i])
			return false;
	return true;
}

/* One stable pass over the byte at `shift`; false (and nothing done) if all keys agree in it. */
static bool radix_pass(uint64_t *to, const uint64_t *from, uint32_t n, unsigned shift)
{
	uint32_t at[256] = { 0 }, sum = 0;

	for (uint32_t i = 0; i < n; i++)
		at[from[i] >> shift & 0xff]++;
	if (at[from[0] >> shift & 0xff] == n)
		return false;
	for (unsigned d = 0; d < 256; d++) {
		uint32_t here = at[d];

		at[d] = sum;
		sum += here;
	}
	for (uint32_t i = 0; i < n; i++)
		to[at[from[i] >> shift & 0xff]++] = from[i];
	return true;
}

/* The keys begin in the order of their indices, so only the lba's bits are looked at. */
static uint64_t *radix_sort(uint64_t *keys, uint64_t *spare, uint32_t n)
{
	for (unsigned shift = INDEX_BITS; shift < 64; shift += 8)
		if (radix_pass(spare, keys, n, shift)) {
			uint64_t *t = keys;

			keys = spare;
			spare = t;
		}
	return keys;
}

/* ----------------------------------------------------------------------------------------- heap */

static void heap_push(struct sweep *s, uint32_t record)
{
	uint32_t i = s->depth++;

	for (; i && s->heap[(i - 1) / 2] < record; i = (i - 1) / 2)
		s->heap[i] = s->heap[(i - 1) / 2];
	s->heap[i] = record;
}

static void heap_pop(struct sweep *s)
{
	uint32_t last = s->heap[--s->depth], i = 0;

	for (;;) {
		uint32_t child = 2 * i + 1;

		if (child + 1 < s->depth && s->heap[child + 1] > s->heap[child])
			child++;
		if (child >= s->depth || s->heap[child] <= last)
			break;
		s->heap[i] = s->heap[child];
		i = child;
	}
	s->heap[i] = last;
}

/* ---------------------------------------------------------------------------------------- sweep */

static uint64_t next_start(const struct sweep *s)
{
	return s->next < s->n ? s->keys[s->next] >> INDEX_BITS : UINT64_MAX;
}

static void drop_ended(struct sweep *s, uint64_t at)
{
	while (s->depth && end_of(&s->records[s->heap[0]]) <= at)
		heap_pop(s);
}

static void take_starting(struct sweep *s, uint64_t at)
{
	while (next_start(s) == at)
		heap_push(s, (uint32_t)(s->keys[s->next++] & INDEX_MASK));
}

static void emit(struct sweep *s, uint64_t lba, uint64_t end, uint32_t record)
{
	struct seg_fragment *f = s->count ? &s->out[s->count - 1] : NULL;

	if (f && f->record == record && f->lba + f->sectors == lba) {
		f->sectors += end - lba;
		return;
	}
	s->out[s->count++] = (struct seg_fragment){ lba, end - lba, record };
}

static void run(struct sweep *s)
{
	uint64_t at = 0;

	for (;;) {
		uint64_t end;

		drop_ended(s, at);
		if (!s->depth)
			at = next_start(s);
		if (at == UINT64_MAX)
			return;
		take_starting(s, at);
		end = min_u64(end_of(&s->records[s->heap[0]]), next_start(s));
		emit(s, at, end, s->heap[0]);
		at = end;
	}
}

static int make_keys(struct sweep *s, uint64_t *keys, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		const struct seg_record *r = &s->records[i];

		if (!range_within(r->lba, r->sectors, SECTORS_MAX))
			return lsvd_fail(-EINVAL,
					 "segment: record of sectors %" PRIu64 "+%" PRIu64
					 ", expected none beyond %" PRIu64,
					 r->lba, r->sectors, (uint64_t)SECTORS_MAX);
		if (r->sectors)
			keys[s->n++] = r->lba << INDEX_BITS | i;
	}
	return 0;
}

int lsvd_seg_layer(struct seg_fragment **ret, uint32_t *ret_count,
		   const struct seg_record *records, unsigned n)
{
	struct sweep s = { .records = records };
	uint64_t *keys = NULL;
	int err;

	if (n > SEG_RECORDS_MAX)
		return lsvd_fail(-E2BIG, "segment: %u records, expected at most %u", n,
				 SEG_RECORDS_MAX);
	keys = lsvd_malloc((size_t)n * 2 * sizeof *keys);
	s.heap = lsvd_malloc((size_t)n * sizeof *s.heap);
	s.out = lsvd_malloc((size_t)n * 2 * sizeof *s.out);
	err = keys && s.heap && s.out ? 0 : lsvd_fail_plain(-ENOMEM);
	if (err == 0)
		err = make_keys(&s, keys, n);
	if (err < 0)
		goto out;
	s.keys = sorted(keys, s.n) ? keys : radix_sort(keys, keys + n, s.n);
	run(&s);
	*ret = s.out;
	*ret_count = s.count;
	s.out = NULL;
out:
	lsvd_free(keys);
	lsvd_free(s.heap);
	lsvd_free(s.out);
	return err;
}

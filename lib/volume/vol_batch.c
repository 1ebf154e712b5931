/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vol_batch.c - what a read finds in objects, made into fetches: few, and none too large.
 *
 * Extents that follow one another are one fetch if they lie in one object, in order, with little
 * between them (JOIN_GAP_BYTES; GC_JOIN_GAP_BYTES for collection), within FETCH_MAX_BYTES; and if
 * the same miss
 * (vol_miss.h) has all of them, or none has any. A long row of raw units is cut, so that one
 * fetch stays bounded and several go in parallel.
 *
 * How far an extent reaches in its object is certain of raw units and of blobs. Where a
 * compressed unit ends only its frame says, which is not here yet: it is guessed, generously,
 * from what the map has.
 */
#include "base/err.h"
#include "segment/unit.h"
#include "volume/vol_fetch.h"

#define JOIN_GAP_BYTES 16384u
#define FETCH_MAX_BYTES MISS_MAX_BYTES

/* ------------------------------------------------------------------- how far an extent reaches */

/*
 * Where a compressed unit ends at the latest: it takes no more than its raw data, and what
 * follows it in the address most often follows it in the object, too. A guess that is too short
 * costs a second GET; the extent, which may have been cut to what is read, says less than the map
 * does.
 */
static uint64_t unit_end(const struct lsvd_volume *v, const struct map_extent *e)
{
	struct map_extent whole = *e, next;
	uint64_t end;

	/* The map may say another thing by now: what collection reads takes a while. */
	if (!lsvd_store_map_find(v->map, e->lba, &whole) || whole.object != e->object ||
	    whole.off != e->off)
		whole = *e;
	end = e->off + unit_space((uint32_t)min_u64((whole.sub + (uint64_t)whole.len) *
						    SECTOR_BYTES, UNIT_MAX_BYTES));
	if (lsvd_store_map_find(v->map, whole.lba + whole.len, &next) && next.kind != MAP_ZERO &&
	    next.object == e->object && next.off > e->off)
		end = min_u64(end, next.off);
	return end;
}

static uint64_t raw_end(const struct map_extent *e)
{
	uint64_t sectors = (uint64_t)e->sub + e->len;

	return e->off + (sectors + BLOCK_SECTORS - 1) / BLOCK_SECTORS * unit_space(UNIT_RAW_BYTES);
}

uint64_t lsvd_vol_reach(const struct lsvd_volume *v, const struct map_extent *e)
{
	const struct object_entry *o = lsvd_object_table_get(&v->objects, e->object);
	uint64_t end = e->kind == FETCH_BLOB ? (uint64_t)e->off + e->len
		       : e->kind == MAP_RAW  ? raw_end(e)
					     : unit_end(v, e);

	/* Beyond the object there may be a line of the cache that can never be filled. */
	return o && o->bytes > e->off ? min_u64(end, o->bytes) : end;
}

/* -------------------------------------------------------------------------- extents to fetches */

/* Extents that become one fetch. */
struct batch {
	struct map_extent extents[256];
	unsigned n;
	uint64_t gap;                 /* bytes between two of them, at most */
	uint64_t end;
	struct miss *miss;            /* has, or will have, all of them; NULL: none */
};

static bool joins(const struct batch *b, const struct map_extent *next, uint64_t next_end,
		  const struct miss *miss)
{
	const struct map_extent *first = &b->extents[0];

	return b->n < LSVD_ARRAY_LEN(b->extents) && miss == b->miss &&
	       next->object == first->object && next->off >= first->off &&
	       next->off <= b->end + b->gap && next_end - first->off <= FETCH_MAX_BYTES;
}

static int start_batch(struct read_req *req, struct batch *b)
{
	unsigned n = b->n;

	b->n = 0;
	return n ? lsvd_fetch_start(req, b->extents, n) : 0;
}

/*
 * A long raw extent is cut, so that one fetch stays bounded and several go in parallel; and where a
 * miss ends that has the beginning of it.
 */
static struct map_extent head_of(struct lsvd_volume *v, const struct map_extent *e)
{
	uint64_t max = FETCH_MAX_BYTES / unit_space(UNIT_RAW_BYTES);
	struct map_extent head = *e;
	uint64_t end;

	if (e->kind != MAP_RAW)
		return head;
	end = lsvd_miss_end(v, e->object, e->off);
	if (end && (end - e->off) / unit_space(UNIT_RAW_BYTES) > 0)
		max = min_u64(max, (end - e->off) / unit_space(UNIT_RAW_BYTES));
	if (e->sub + (uint64_t)e->len > max * BLOCK_SECTORS)
		head.len = (uint32_t)(max * BLOCK_SECTORS) - e->sub;
	return head;
}

static int add_extent(struct read_req *req, struct batch *b, const struct map_extent *e)
{
	uint64_t end = lsvd_vol_reach(req->v, e);
	struct miss *miss = lsvd_miss_covering(req->v, e->object, e->off, end);
	int err = 0;

	if (b->n && !joins(b, e, end, miss))
		err = start_batch(req, b);
	if (!b->n) {
		b->miss = miss;
		b->end = end;
	}
	b->extents[b->n++] = *e;
	b->end = max_u64(b->end, end);
	return err;
}

int lsvd_vol_fetch(struct read_req *req, const struct map_extent *extents, unsigned n)
{
	struct batch b; /* not cleared: it is large, and this is on the way of every read */
	int err = 0;

	b.n = 0;
	b.gap = req->sink ? GC_JOIN_GAP_BYTES : JOIN_GAP_BYTES;
	for (unsigned i = 0; i < n && !err; i++) {
		struct map_extent rest = extents[i];

		for (;;) {
			struct map_extent e = head_of(req->v, &rest);

			err = add_extent(req, &b, &e);
			if (err || e.len == rest.len)
				break;
			rest = lsvd_map_extent_advance(&rest, e.len);
		}
	}
	return err ? err : start_batch(req, &b);
}

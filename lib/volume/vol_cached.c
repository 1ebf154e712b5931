/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vol_cached.c - which data of a volume the read cache holds, so that it can be fetched again
 * elsewhere.
 *
 * An answer of the cache's index: it knows lines of objects, not what of a line has been filled. An
 * extent counts if every line it may lie in is there. Newer data that is only in the local log does
 * not.
 */
#include <errno.h>

#include "base/err.h"
#include "rcache/rcache.h"
#include "volume/volume_internal.h"

/* Extents looked at in one call, during which the lock is held. */
#define STEPS 20000u

static bool is_cached(struct lsvd_volume *v, const struct map_extent *e)
{
	uint64_t last = lsvd_vol_reach(v, e) - 1;

	for (uint64_t line = e->off / RCACHE_LINE_BYTES; line <= last / RCACHE_LINE_BYTES; line++)
		if (!lsvd_rcache_has(v->rcache, lsvd_vol_owner_of(v, e->object), e->object,
				     (uint32_t)line))
			return false;
	return true;
}

/* The next stretch of the store map from `lba` on; returns where it ends. */
static uint64_t next_stretch(struct lsvd_volume *v, uint64_t lba, uint64_t end, uint32_t *ret_flags)
{
	struct map_extent e;

	*ret_flags = 0;
	if (!lsvd_store_map_find(v->map, lba, &e) || e.lba >= end)
		return end;
	if (e.lba > lba)
		return e.lba;
	end = min_u64(end, e.lba + e.len);
	if (e.kind == MAP_ZERO)
		return end;
	if (e.kind == MAP_RAW) /* a long one may be cached in part */
		end = min_u64(end, lba + RCACHE_LINE_BYTES / SECTOR_BYTES);
	if (e.lba < lba)
		e = lsvd_map_extent_advance(&e, (uint32_t)(lba - e.lba));
	e.len = (uint32_t)(end - lba);
	if (is_cached(v, &e))
		*ret_flags = LSVD_STATUS_CACHED;
	return end;
}

static size_t walk(struct lsvd_volume *v, uint64_t lba, uint64_t end,
		   struct lsvd_status_extent *ret, size_t max)
{
	size_t n = 0;

	for (unsigned i = 0; i < STEPS && lba < end; i++) {
		uint32_t flags;
		uint64_t stop = next_stretch(v, lba, end, &flags);
		bool joins = n && ret[n - 1].flags == flags;

		if (!joins && n == max)
			return n;
		if (!joins)
			ret[n++] = (struct lsvd_status_extent){ .flags = flags };
		ret[n - 1].len += (stop - lba) * SECTOR_BYTES;
		lba = stop;
	}
	return n;
}

/* At least the page of `lba` is here then; *end is where the next begins that is not. */
static int bring_map(struct lsvd_volume *v, uint64_t lba, uint64_t *end)
{
	uint64_t page;
	int err = 0;

	while (!err && (page = lsvd_vol_away(v, lba, *end)) != UINT64_MAX) {
		if (page > lba / STORE_MAP_PAGE_SECTORS) {
			*end = page * STORE_MAP_PAGE_SECTORS;
			return 0;
		}
		lsvd_vol_want_soon(v, lba, *end, PAGES_SOON);
		err = lsvd_vol_wait_page(v, page);
	}
	return err;
}

int lsvd_volume_cache_status(struct lsvd_volume *v, uint64_t off, uint64_t len,
			     struct lsvd_status_extent *ret, size_t max)
{
	uint64_t end = (off + len) / SECTOR_BYTES;
	size_t n;
	int err;

	if (off % SECTOR_BYTES || len % SECTOR_BYTES || !range_within(off, len, lsvd_vol_bytes(v)))
		return lsvd_fail(-EINVAL, "cache status of %llu, %llu bytes: volume %s has %llu",
				 (unsigned long long)off, (unsigned long long)len, v->name,
				 (unsigned long long)lsvd_vol_bytes(v));
	if (!v->rcache)
		return lsvd_fail(-EINVAL, "cache status: volume %s is open without a read cache",
				 v->name);
	if (len && !max)
		return lsvd_fail(-EINVAL, "cache status: no room for a single extent");
	lsvd_port_enter(&v->port);
	lsvd_vol_hold_pages(v);
	err = bring_map(v, off / SECTOR_BYTES, &end);
	n = err ? 0 : walk(v, off / SECTOR_BYTES, end, ret, max);
	lsvd_vol_release_pages(v);
	lsvd_port_leave(&v->port, true);
	return err ? err : (int)n;
}

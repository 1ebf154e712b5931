/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vol_resize.c - a volume of another size.
 *
 * The size is in every chain object; it changes with a note. To grow, that is all.
 *
 * To shrink, first no write beyond the new end may begin any more, and all that have begun must
 * end. Then everything is stored, and the map says whether there is something to cut off. That is
 * trimmed by an ordinary operation, which the local log, the overlay, the chain and the mirror know
 * what to do about; so nothing is beyond the end when the end moves, and whoever makes the volume
 * larger again finds zeroes there. A round of garbage collection that began before the trim may be
 * about to adopt what lies there: its end is waited for, too.
 *
 * As far as lower volumes show it cannot shrink: they would show again when it grows.
 */
#include <errno.h>

#include "base/err.h"
#include "volume/vol_mirror.h"
#include "volume/volume_internal.h"

static int check(const struct lsvd_volume *v, uint64_t bytes, uint32_t flags)
{
	if (flags & ~LSVD_RESIZE_CUT)
		return lsvd_fail(-EINVAL, "flags are %#x, may be %#x", flags, LSVD_RESIZE_CUT);
	if (bytes == 0 || bytes % SECTOR_BYTES || bytes > LSVD_VOLUME_MAX_BYTES)
		return lsvd_fail(-EINVAL, "volume %s: size %llu must be a multiple of "
				 "%u, at most %llu", v->name, (unsigned long long)bytes,
				 SECTOR_BYTES, (unsigned long long)LSVD_VOLUME_MAX_BYTES);
	if (v->readonly)
		return lsvd_fail(-EROFS, "volume %s is open read-only", v->name);
	if (bytes / SECTOR_BYTES < v->hides)
		return lsvd_fail(LSVD_E_UNSUPPORTED,
				 "volume %s: size %llu: it lies over lower volumes up to %llu, and "
				 "cannot be smaller", v->name, (unsigned long long)bytes,
				 (unsigned long long)v->hides * SECTOR_BYTES);
	return lsvd_vol_refuse_offline(v, "it is resized");
}

/*
 * Everything is stored, and nothing is written there: the store map is the truth, as far as its
 * pages are here. 1: *ret_at says where; 0: nothing is; or an error. The lock is free meanwhile.
 */
static int anything_beyond(struct lsvd_volume *v, uint64_t bytes, uint64_t *ret_at)
{
	const uint64_t from = bytes / SECTOR_BYTES;
	struct map_extent e;
	uint64_t page;
	int err = 0;

	lsvd_vol_hold_pages(v);
	for (;;) {
		bool found = lsvd_store_map_find(v->map, from, &e);

		page = lsvd_vol_away(v, from, found ? e.lba + 1 : UINT64_MAX);
		if (found && page == UINT64_MAX)
			*ret_at = max_u64(e.lba * SECTOR_BYTES, bytes);
		if (page == UINT64_MAX) {
			err = found;
		} else {
			/* Those that were trimmed are looked at one and all. */
			lsvd_vol_want_soon(v, page * STORE_MAP_PAGE_SECTORS, UINT64_MAX,
					   PAGES_SOON);
			err = lsvd_vol_wait_page(v, page);
		}
		if (err || page == UINT64_MAX)
			break;
	}
	lsvd_vol_release_pages(v);
	return err;
}

static bool old_round_is_over(struct lsvd_volume *v, const void *arg)
{
	return v->failed || v->closing || !v->gc.running ||
	       v->gc.rounds != *(const uint64_t *)arg;
}

/* Waits until no round is on its way that began before now. */
static int end_round(struct lsvd_volume *v)
{
	const uint64_t rounds = v->gc.rounds;

	return lsvd_vol_wait(v, old_round_is_over, &rounds, UINT32_MAX);
}

/* The lock is free meanwhile. */
static int trim_beyond(struct lsvd_volume *v, uint64_t bytes)
{
	const struct lsvd_io io = { .kind = LSVD_IO_TRIM, .off = bytes,
				    .len = v->chain_bytes - bytes };
	int err;

	lsvd_port_leave(&v->port, false);
	err = lsvd_vol_run(v, io);
	lsvd_port_enter(&v->port);
	return err ? err : lsvd_vol_store_all(v, UINT32_MAX);
}

static int cut_off(struct lsvd_volume *v, uint64_t bytes, uint32_t flags)
{
	uint64_t at = 0;
	int err = lsvd_vol_end_writes(v, UINT32_MAX);

	if (!err)
		err = lsvd_vol_store_all(v, UINT32_MAX);
	if (!err)
		err = anything_beyond(v, bytes, &at);
	if (err <= 0)
		return err;
	if (!(flags & LSVD_RESIZE_CUT))
		return lsvd_fail(-ENOTEMPTY, "volume %s: there is data at byte %llu, which a size "
				 "of %llu would cut off: that takes force", v->name,
				 (unsigned long long)at, (unsigned long long)bytes);
	return trim_beyond(v, bytes);
}

static bool cache_knows(struct lsvd_volume *v, const void *arg)
{
	(void)arg;
	return v->failed || v->closing || lsvd_mirror_is_whole(v) || lsvd_mirror_is_settled(v);
}

/* Who opens offline must not write where the volume has been cut off: the mirror says so first. */
static int shrink(struct lsvd_volume *v, uint64_t bytes, uint32_t flags)
{
	int err;

	lsvd_vol_set_bytes(v, bytes);
	err = cut_off(v, bytes, flags);
	if (!err)
		err = end_round(v);
	if (!err)
		err = lsvd_vol_put_size(v, bytes, UINT32_MAX);
	if (err)
		lsvd_vol_set_bytes(v, v->chain_bytes);
	return err ? err : lsvd_vol_wait(v, cache_knows, NULL, UINT32_MAX);
}

int lsvd_volume_resize(struct lsvd_volume *v, uint64_t bytes, uint32_t flags)
{
	int err = check(v, bytes, flags);

	if (err)
		return err;
	lsvd_port_enter(&v->port);
	err = lsvd_vol_begin_change(v, UINT32_MAX);
	if (!err) {
		if (bytes < v->chain_bytes)
			err = shrink(v, bytes, flags);
		else if (bytes > v->chain_bytes)
			err = lsvd_vol_put_size(v, bytes, UINT32_MAX);
		lsvd_vol_end_change(v);
	}
	lsvd_port_leave(&v->port, true);
	return err;
}

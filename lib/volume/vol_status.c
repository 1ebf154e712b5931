/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vol_status.c - looking at an open volume: block status, statistics, the sticky failure; and the
 * calls that ask it to store things now.
 */
#include <assert.h>
#include <errno.h>
#include <stdio.h>

#include "base/alloc.h"
#include "base/err.h"
#include "base/options.h"
#include "volume/volume_internal.h"

/* --------------------------------------------------------------------------------- block status */

struct status {
	struct lsvd_status_extent *ret;
	size_t max, n;
	unsigned steps;          /* extents of the maps that may still be looked at */
	uint32_t hole;           /* the flags of what the map does not have */
};

/* The lock is held meanwhile: a dense terabyte is described in several calls. */
#define STATUS_STEPS 20000u

/* False when there is no room for another extent, or enough has been looked at. */
static bool add(struct status *s, uint64_t sectors, uint32_t flags)
{
	if (s->steps == 0)
		return false;
	s->steps--;
	if (s->n && s->ret[s->n - 1].flags == flags) {
		s->ret[s->n - 1].len += sectors * SECTOR_BYTES;
		return true;
	}
	if (s->n == s->max)
		return false;
	s->ret[s->n++] = (struct lsvd_status_extent){ .len = sectors * SECTOR_BYTES,
						      .flags = flags };
	return true;
}

/* Up to a page that is away, at most. */
static bool add_stored(const struct lsvd_volume *v, struct status *s, uint64_t lba, uint64_t end)
{
	uint64_t away = lsvd_vol_away(v, lba, end);
	struct map_extent e;

	if (away != UINT64_MAX)
		end = max_u64(lba, away * STORE_MAP_PAGE_SECTORS);
	while (lba < end) {
		uint64_t stop;

		if (!lsvd_store_map_find(v->map, lba, &e) || e.lba >= end)
			return add(s, end - lba, s->hole) && away == UINT64_MAX;
		if (e.lba > lba) {
			if (!add(s, e.lba - lba, s->hole))
				return false;
			lba = e.lba;
		}
		stop = min_u64(e.lba + e.len, end);
		if (!add(s, stop - lba, e.kind == MAP_ZERO ? LSVD_STATUS_ZERO : 0))
			return false;
		lba = stop;
	}
	return away == UINT64_MAX;
}

static const uint32_t overlay_flags[] = {
	[EXTENT_DATA] = 0,
	[EXTENT_ZERO] = LSVD_STATUS_ZERO,
	[EXTENT_HOLE] = LSVD_STATUS_HOLE | LSVD_STATUS_ZERO,
};

static void walk(const struct lsvd_volume *v, struct status *s, uint64_t lba, uint64_t end)
{
	struct extent e;

	while (lba < end) {
		uint64_t stop;

		if (!lsvd_extent_map_find(v->overlay, lba, &e) || e.lba >= end) {
			(void)add_stored(v, s, lba, end); /* full or not, this is the end */
			return;
		}
		if (e.lba > lba && !add_stored(v, s, lba, e.lba))
			return;
		lba = max_u64(lba, e.lba);
		stop = min_u64(e.lba + e.len, end);
		if (!add(s, stop - lba, overlay_flags[e.kind]))
			return;
		lba = stop;
	}
}

static int check_status(const struct lsvd_volume *v, uint64_t off, uint64_t len, size_t max)
{
	if (off % SECTOR_BYTES || len % SECTOR_BYTES || !range_within(off, len, lsvd_vol_bytes(v)))
		return lsvd_fail(-EINVAL, "block status of %llu, %llu bytes: volume %s has %llu",
				 (unsigned long long)off, (unsigned long long)len, v->name,
				 (unsigned long long)lsvd_vol_bytes(v));
	if (len && !max)
		return lsvd_fail(-EINVAL, "block status: no room for a single extent");
	return 0;
}

static struct status begin_status(const struct lsvd_volume *v, struct lsvd_status_extent *ret,
				  size_t max)
{
	return (struct status){ .ret = ret, .max = max, .steps = STATUS_STEPS,
				.hole = v->below ? STATUS_BELOW
						 : LSVD_STATUS_HOLE | LSVD_STATUS_ZERO };
}

static int status_known(struct lsvd_volume *v, uint64_t off, uint64_t len,
			struct lsvd_status_extent *ret, size_t max)
{
	struct status s = begin_status(v, ret, max);
	int err;

	lsvd_port_enter(&v->port);
	err = lsvd_vol_refuse_rolling(v);
	if (!err)
		walk(v, &s, off / SECTOR_BYTES, (off + len) / SECTOR_BYTES);
	lsvd_port_leave(&v->port, false);
	return err ? err : (int)s.n;
}

static int status_waiting(struct lsvd_volume *v, uint64_t off, uint64_t len,
			  struct lsvd_status_extent *ret, size_t max)
{
	uint64_t lba = off / SECTOR_BYTES, end = (off + len) / SECTOR_BYTES, page;
	struct status s;
	int err;

	lsvd_port_enter(&v->port);
	err = lsvd_vol_refuse_rolling(v);
	lsvd_vol_hold_pages(v);
	while (!err) {
		s = begin_status(v, ret, max);
		walk(v, &s, lba, end);
		if (s.n || !len)
			break;
		/* of the first sector: else there was something */
		page = lsvd_vol_away(v, lba, end);
		lsvd_vol_want_soon(v, lba, end, PAGES_SOON);
		err = lsvd_vol_wait_page(v, page);
	}
	lsvd_vol_release_pages(v);
	lsvd_port_leave(&v->port, true);
	return err ? err : (int)s.n;
}

/* Of v alone: what it does not have is STATUS_BELOW, if there is something below it. */
static int own_status(struct lsvd_volume *v, uint64_t off, uint64_t len,
		      struct lsvd_status_extent *ret, size_t max, bool wait)
{
	return wait ? status_waiting(v, off, len, ret, max) : status_known(v, off, len, ret, max);
}

static int status(struct lsvd_volume *v, uint64_t off, uint64_t len,
		  struct lsvd_status_extent *ret, size_t max, bool wait)
{
	int err = check_status(v, off, len, max);

	if (err)
		return err;
	return v->below ? lsvd_vol_status_below(v, off, len, ret, max, wait, own_status)
			: own_status(v, off, len, ret, max, wait);
}

int lsvd_volume_block_status_known(struct lsvd_volume *v, uint64_t off, uint64_t len,
				   struct lsvd_status_extent *ret, size_t max)
{
	return status(v, off, len, ret, max, false);
}

int lsvd_volume_block_status(struct lsvd_volume *v, uint64_t off, uint64_t len,
			     struct lsvd_status_extent *ret, size_t max)
{
	return status(v, off, len, ret, max, true);
}

/* LSVD_IO_MAP */
struct look_up {
	struct page_wait wait;
	struct lsvd_volume *v;
	struct lsvd_io *io;
};

static void looked_up(struct page_wait *w, int err)
{
	struct look_up *l = lsvd_container_of(w, struct look_up, wait);

	if (err)
		lsvd_vol_end(l->v, l->io, err);
	else
		lsvd_vol_look_below(l->v, l->io);
	lsvd_free(l);
}

void lsvd_vol_look_up(struct lsvd_volume *v, struct lsvd_io *io)
{
	uint64_t lba = io->off / SECTOR_BYTES, end = (io->off + io->len) / SECTOR_BYTES;
	uint64_t page = lsvd_vol_away(v, lba, end);
	struct look_up *l = page == UINT64_MAX ? NULL : lsvd_malloc(sizeof *l);
	int err = 0;

	if (l) {
		*l = (struct look_up){ { .page = page, .done = looked_up }, v, io };
		err = lsvd_vol_want_page(v, &l->wait);
		lsvd_vol_want_soon(v, lba, end, PAGES_SOON);
		if (!err)
			return;
		lsvd_free(l);
	}
	if (page == UINT64_MAX)
		lsvd_vol_look_below(v, io);
	else
		lsvd_vol_end(v, io, lsvd_fail_plain(-ENOMEM));
}

/* ----------------------------------------------------------------------------------- statistics */

static void add_wal(struct lsvd_volume *v, struct lsvd_stats *s)
{
	struct wal_stats w;

	if (!v->wal)
		return;
	lsvd_wal_stats(v->wal, &w);
	s->log_groups = w.groups;
	s->log_bytes = w.bytes;
	s->log_syncs = w.syncs;
	s->log_used = w.used;
	s->log_capacity = w.capacity;
	s->memory_bytes = w.memory;
	s->durable_op = lsvd_wal_durable_op(v->wal);
}

static void add_log(struct lsvd_volume *v, struct lsvd_stats *s)
{
	struct log_stats l;

	s->epoch = v->opened.epoch;
	if (!v->log)
		return;
	lsvd_log_stats(v->log, &l);
	s->fence_requests = l.fence_requests;
	s->retries += l.retries;
	s->recovery_gets += l.recovery_gets;
	s->recovery_get_bytes += l.recovery_get_bytes;
	s->store_away += l.unavailable;
	s->store_full += l.full;
	s->store_denied += l.denied;
	s->read_backs = l.read_backs;
	s->bad_gets += l.bad_gets;
	s->torn_objects = l.torn;
	s->fence_put_bytes = l.fence_bytes;
}

static void add_unstored(struct lsvd_volume *v, struct lsvd_stats *s)
{
	list_for_each(n, &v->segments)
		s->unstored_bytes += list_entry(n, struct vseg, link)->user_bytes;
	if (!list_empty(&v->segments))
		s->unstored_ms = lsvd_vol_now(v) -
				 list_first(&v->segments, struct vseg, link)->opened_ms;
}

int lsvd_volume_stats(struct lsvd_volume *v, struct lsvd_stats *ret)
{
	struct lsvd_stats s;

	lsvd_port_enter(&v->port);
	s = v->stats;
	add_wal(v, &s);
	add_log(v, &s);
	add_unstored(v, &s);
	s.last_op = v->last_op;
	s.stored_op = v->stored_op;
	s.map_extents = lsvd_store_map_extents(v->map) + lsvd_extent_map_count(v->overlay);
	s.map_bytes = lsvd_store_map_memory(v->map) + lsvd_extent_map_memory(v->overlay);
	s.live_bytes = v->objects.live;
	s.stored_bytes = v->objects.bytes;
	s.checkpoint_bytes = v->objects.meta_bytes;
	lsvd_port_leave(&v->port, false);
	return lsvd_options_fill(ret, &s, sizeof s, sizeof s, "volume statistics");
}

int lsvd_volume_status(struct lsvd_volume *v, char *text, size_t text_len)
{
	int err;

	lsvd_port_enter(&v->port);
	err = v->failed ? v->failed : v->store_err ? v->store_err
	      : v->offline ? LSVD_E_UNAVAILABLE : 0;
	if (text && text_len)
		(void)snprintf(text, text_len, "%s", /* cut to the caller's room */
			       v->failed ? v->status_text
			       : v->store_err ? v->store_text : lsvd_strerror(err));
	lsvd_port_leave(&v->port, false);
	return err;
}

/* -------------------------------------------------------------------------------------- control */

static int refuse_readonly(const struct lsvd_volume *v)
{
	return v->readonly ? lsvd_fail(-EROFS, "volume %s is open read-only", v->name) : 0;
}

int lsvd_volume_seal(struct lsvd_volume *v)
{
	int err = refuse_readonly(v);

	if (err)
		return err;
	lsvd_port_enter(&v->port);
	if (v->failed) {
		err = lsvd_fail(v->failed, "volume %s: %s", v->name, v->status_text);
	} else {
		lsvd_vol_seal(v);
		if (v->log)
			lsvd_log_retry(v->log); /* whoever asks has perhaps mended the store */
	}
	lsvd_port_leave(&v->port, false);
	return err;
}

struct sync_wait {
	uint64_t op;
	uint64_t checkpoints;
	const bool *stop;          /* or NULL: set, nobody waits any more */
};

static bool is_stopped(const struct sync_wait *w)
{
	return w->stop && *w->stop;
}

static bool stored_up_to(struct lsvd_volume *v, const void *arg)
{
	const struct sync_wait *w = arg;

	return v->failed || v->closing || is_stopped(w) || v->stored_op >= w->op;
}

static bool checkpointed(struct lsvd_volume *v, const void *arg)
{
	const struct sync_wait *w = arg;

	return v->failed || v->closing || is_stopped(w) || v->checkpoints_off ||
	       (!v->checkpoint && !v->checkpoint_wanted) || v->checkpoints > w->checkpoints;
}

static int was_stopped(const struct sync_wait *w, int err)
{
	return err || !is_stopped(w) ? err : lsvd_fail_plain(-ECANCELED);
}

static int store_all(struct lsvd_volume *v, uint32_t timeout_ms, const bool *stop)
{
	const struct sync_wait w = { v->last_op, 0, stop };

	lsvd_vol_seal(v);
	return was_stopped(&w, lsvd_vol_wait(v, stored_up_to, &w, timeout_ms));
}

int lsvd_vol_store_all(struct lsvd_volume *v, uint32_t timeout_ms)
{
	return store_all(v, timeout_ms, NULL);
}

int lsvd_vol_sync_unless(struct lsvd_volume *v, uint32_t timeout_ms, const bool *stop)
{
	int err = refuse_readonly(v);

	if (!err)
		err = lsvd_vol_refuse_offline(v, "what was written is stored");
	if (err)
		return err;
	lsvd_port_enter(&v->port);
	err = store_all(v, timeout_ms, stop);
	lsvd_port_leave(&v->port, true);
	return err;
}

int lsvd_volume_sync(struct lsvd_volume *v, uint32_t timeout_ms)
{
	return lsvd_vol_sync_unless(v, timeout_ms, NULL);
}

int lsvd_volume_checkpoint(struct lsvd_volume *v, uint32_t timeout_ms)
{
	return lsvd_vol_checkpoint_unless(v, timeout_ms, NULL);
}

int lsvd_vol_checkpoint_unless(struct lsvd_volume *v, uint32_t timeout_ms, const bool *stop)
{
	struct sync_wait w = { 0, 0, stop };
	int err = lsvd_vol_sync_unless(v, timeout_ms, stop);

	if (err)
		return err;
	lsvd_port_enter(&v->port);
	w.checkpoints = v->checkpoints + (v->checkpoint ? 1 : 0);
	v->checkpoint_wanted = true;
	lsvd_vol_maybe_checkpoint(v);
	err = was_stopped(&w, lsvd_vol_wait(v, checkpointed, &w, timeout_ms));
	if (!err && v->checkpoints_off)
		err = lsvd_fail(LSVD_E_UNAVAILABLE, "volume %s: an earlier checkpoint failed: none "
				"until the next open", v->name);
	else if (!err && v->checkpoints <= w.checkpoints)
		err = lsvd_fail(v->checkpoint_err == -ENOMEM ? -ENOMEM : LSVD_E_UNAVAILABLE,
				"volume %s: no checkpoint now: %s", v->name,
				lsvd_strerror(v->checkpoint_err));
	lsvd_port_leave(&v->port, true);
	return err;
}

/* For tests: the invariants of the parts. */
void lsvd_vol_check_parts(struct lsvd_volume *v)
{
	lsvd_port_enter(&v->port);
	lsvd_extent_map_check(v->overlay);
	lsvd_store_map_check(v->map);
	if (v->wal)
		lsvd_wal_check(v->wal);
	lsvd_port_leave(&v->port, false);
}

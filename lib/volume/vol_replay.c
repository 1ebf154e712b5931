/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vol_replay.c - the operations of the local log that the store does not have: into the overlay,
 * and as segments on their way again.
 */
#include "base/err.h"
#include "volume/vol_mirror.h"
#include "volume/volume_internal.h"

static uint64_t group_last_op(const struct wal_group *g)
{
	return g->head.first_op + g->head.records - 1;
}

/*
 * What the store has needs no replay. Offline it is still good for reading it, if all that followed
 * it can be read: what the log has lost is in the map alone.
 */
static int replay_stored(struct lsvd_volume *v, struct wal_group *g, bool whole)
{
	int err = 0;

	if (v->offline && whole)
		err = lsvd_extent_map_reserve(v->overlay, g->head.records);
	if (!err && v->offline && whole)
		lsvd_vol_put_in_overlay(v, g);
	if (!err && !v->readonly)
		lsvd_mirror_note(v, g, group_last_op(g), NULL, 0);
	return err;
}

/*
 * The cache may not have heard of a change of size, when it was opened offline after it. In the
 * chain an operation beyond the end would be damage: it refuses the open while there is no object
 * of it yet.
 */
static int check_size(const struct lsvd_volume *v, const struct wal_group *g)
{
	for (uint32_t i = 0; i < g->head.records && !v->offline; i++)
		if (g->records[i].lba + g->records[i].sectors > v->sectors)
			return lsvd_fail(LSVD_E_FOREIGN_CACHE,
					 "volume %s: operation %llu of the local log is beyond the "
					 "volume's end, %llu: it was written offline, and the "
					 "cache did not know of a change of size", v->name,
					 (unsigned long long)(g->head.first_op + i),
					 (unsigned long long)v->bytes);
	return 0;
}

/* Lock held. What the store has not is newer than the store map. */
static int replay_group(struct lsvd_volume *v, struct wal_group *g, bool whole)
{
	int err;

	if (g->head.records == 0)
		return 0;
	if (group_last_op(g) <= v->opened.last_op)
		return replay_stored(v, g, whole);
	err = check_size(v, g);
	if (!err)
		err = lsvd_extent_map_reserve(v->overlay, g->head.records);
	if (!err && !v->readonly)
		err = lsvd_vol_spare_segments(v, 1);
	if (err)
		return err;
	lsvd_vol_put_in_overlay(v, g);
	v->last_op = group_last_op(g);
	v->stats.replayed_ops += g->head.records;
	if (!v->readonly)
		lsvd_vol_take_group(v, g);
	return 0;
}

/* The newest group that could not be read, or NULL. */
static struct wal_group *newest_lost(struct lsvd_volume *v)
{
	struct wal_group *lost = NULL;

	list_for_each(n, lsvd_wal_groups(v->wal))
		if (list_entry(n, struct wal_group, link)->lost)
			lost = list_entry(n, struct wal_group, link);
	return lost;
}

int lsvd_vol_replay_wal(struct lsvd_volume *v)
{
	struct wal_group *lost;
	int err = 0;

	if (!v->wal || !v->opened.cache_current)
		return 0;
	lsvd_port_enter(&v->port);
	lost = newest_lost(v);
	list_for_each(n, lsvd_wal_groups(v->wal)) {
		struct wal_group *g = list_entry(n, struct wal_group, link);

		err = replay_group(v, g, !lost || g->head.pos > lost->head.pos);
		if (err)
			break;
	}
	lsvd_port_leave(&v->port, true);
	return err;
}

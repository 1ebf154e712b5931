/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vol_over.c - creating a volume over lower volumes, and saying which those are.
 *
 * The lowers are looked up, entered as needed (vol_clone.c) and written into the record; nothing of
 * them is read, and nothing is opened but their lists of snapshots. What a lower shows is cut to
 * the size that the volume is created with: what it grows to reads as zeroes.
 */
#include <lsvd/snapshot.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/options.h"
#include "log/lineage.h"
#include "log/log_probe.h"
#include "volume/vol_clone.h"
#include "volume/volume_internal.h"

_Static_assert(LSVD_LOWERS_MAX == FMT_LOWERS_MAX, "the record has room for all");

static int check_lowers(const struct lsvd_lower *lowers, unsigned count)
{
	if (!lowers || count == 0 || count > FMT_LOWERS_MAX)
		return lsvd_fail(-EINVAL, "%u lower volumes: must be 1 to %u", lowers ? count : 0,
				 FMT_LOWERS_MAX);
	for (unsigned i = 0; i < count; i++) {
		if (!lowers[i].volume || !lsvd_name_valid(lowers[i].volume))
			return lsvd_fail(-EINVAL,
					 "lower volume %u: \"%s\" is not the name of a volume", i,
					 lowers[i].volume ? lowers[i].volume : "(null)");
		if (!lowers[i].snapshot || !lsvd_name_valid(lowers[i].snapshot))
			return lsvd_fail(-EINVAL,
					 "lower volume %s: \"%s\" is not the name of a snapshot: "
					 "what is below others must not change", lowers[i].volume,
					 lowers[i].snapshot ? lowers[i].snapshot : "(null)");
	}
	return 0;
}

static int find_lower(struct cloning *c, const struct lsvd_lower *lower, struct fmt_lower *ret)
{
	struct fmt_volume record;
	struct snapshot s;
	int err = lsvd_lineage_find(c->port, OBJECT_VOLUME, lower->volume, &record);

	if (!err)
		err = lsvd_vol_find_snapshot(c, lower->volume, lower->snapshot, &s);
	if (err)
		return err;
	ret->volume = record.uuid;
	ret->snapshot = s.id;
	ret->bytes = s.bytes;
	(void)snprintf(ret->name, sizeof ret->name, "%s", lower->volume); /* both checked to fit */
	(void)snprintf(ret->snapshot_name, sizeof ret->snapshot_name, "%s", lower->snapshot);
	return 0;
}

static int find_lowers(struct cloning *c, const struct lsvd_lower *lowers, unsigned count)
{
	struct fmt_lowers *l = &c->clone.lowers;
	uint64_t most = 0;
	int err = 0;

	for (unsigned i = 0; i < count && !err; i++) {
		err = find_lower(c, &lowers[i], &l->list[i]);
		most = max_u64(most, l->list[i].bytes);
	}
	if (err)
		return err;
	l->count = count;
	if (c->clone.bytes == 0)
		c->clone.bytes = most;
	for (unsigned i = 0; i < count; i++)
		l->list[i].bytes = min_u64(l->list[i].bytes, c->clone.bytes);
	return 0;
}

static int create_over(struct cloning *c, const char *name, uint64_t bytes,
		       const struct lsvd_lower *lowers, unsigned count)
{
	struct fmt_volume there;
	int err = check_lowers(lowers, count);

	if (!err && (bytes % SECTOR_BYTES || bytes > LSVD_VOLUME_MAX_BYTES))
		err = lsvd_fail(-EINVAL,
				"volume %s: size %llu must be a multiple of %u, at most %llu",
				name ? name : "(null)", (unsigned long long)bytes, SECTOR_BYTES,
				(unsigned long long)LSVD_VOLUME_MAX_BYTES);
	if (!err)
		err = lsvd_lineage_describe(c->world, OBJECT_VOLUME, name, NULL, &c->clone);
	if (err)
		return err;
	if (lsvd_lineage_find(c->port, OBJECT_VOLUME, name, &there) == 0)
		return lsvd_fail(-EEXIST, "volume %s exists: nothing was changed", name);
	c->clone.bytes = bytes;
	err = find_lowers(c, lowers, count);
	return err ? err : lsvd_vol_protect_and_create(c);
}

int lsvd_volume_create_over_world(struct world *world, const char *name, uint64_t bytes,
				  const struct lsvd_lower *lowers, unsigned count)
{
	struct cloning c = { .world = world };
	struct visit v;
	int err = lsvd_visit_begin_world(&v, world);

	if (err)
		return err;
	c.port = &v.port;
	err = create_over(&c, name, bytes, lowers, count);
	lsvd_visit_end(&v);
	return err;
}

int lsvd_volume_create_over(struct lsvd_store *store, const char *name, uint64_t bytes,
			    const struct lsvd_lower *lowers, unsigned count, uint32_t flags,
			    struct lsvd_volume_info *ret)
{
	struct cloning c = { .store = store };
	struct visit v;
	int err;

	if (flags & ~LSVD_OPEN_UNSAFE_STORE)
		return lsvd_fail(-EINVAL, "flags are %#x, may be %#x", flags,
				 LSVD_OPEN_UNSAFE_STORE);
	err = lsvd_options_check(ret, sizeof *ret, "volume info");
	if (!err)
		err = lsvd_visit_begin(&v, store);
	if (err)
		return err;
	c.world = v.world;
	c.port = &v.port;
	err = lsvd_probe_check(&v.port, flags, false);
	if (!err)
		err = create_over(&c, name, bytes, lowers, count);
	lsvd_visit_end(&v);
	return err || !ret ? err : lsvd_vol_give_info(ret, &c.clone);
}

int lsvd_volume_lowers(struct lsvd_store *store, const char *name, lsvd_lower_fn fn, void *ctx)
{
	struct fmt_volume record;
	int err = lsvd_lineage_lookup(store, OBJECT_VOLUME, name, &record);

	for (uint32_t i = 0; !err && i < record.lowers.count; i++) {
		const struct fmt_lower *l = &record.lowers.list[i];
		const struct lsvd_lower lower = { l->name, l->snapshot_name, l->bytes };

		if (fn(ctx, &lower))
			break;
	}
	return err;
}

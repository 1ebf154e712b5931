/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vol_base.c - what a clone began as, for people: which snapshot of which volume, and whether it
 * still needs that.
 *
 * The clone's record has the two UUIDs, which stay; what they are called is looked for, among the
 * volumes of the store and in the base's list of snapshots. A clone is flat when its entry at the
 * snapshot is gone (vol_flatten.c): the record never changes.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <lsvd/snapshot.h>

#include "base/alloc.h"
#include "base/err.h"
#include "base/options.h"
#include "log/lineage.h"
#include "volume/vol_slots.h"

/* It may be deleted meanwhile; and what is wrong with it its own check says. */
static bool is_unknown(int err)
{
	return err == -ENOENT || err == LSVD_E_CORRUPT || err == LSVD_E_VERSION;
}

static int needs_base(struct visit *visit, const struct fmt_volume *record, bool *ret)
{
	struct slots s = { .volume = fmt_base_volume(&record->base),
			   .snapshot = &record->base.snapshot, .tiny = !visit->store };
	int err = lsvd_slots_read(&visit->port, &s);

	*ret = !err && lsvd_slots_user(&s, &record->uuid);
	lsvd_free(s.users);
	return err;
}

static int name_snapshot(struct visit *visit, const struct fmt_base *b, struct lsvd_base_info *ret)
{
	const struct snapshot *s;
	struct lsvd_volume *v;
	int err = lsvd_vol_open_going(&v, visit->world, !visit->store, fmt_base_volume(b));

	if (err)
		return is_unknown(err) ? 0 : err;
	s = lsvd_snapshots_by_id(&v->snapshots, &b->snapshot);
	if (s)
		memcpy(ret->snapshot, s->name, sizeof s->name);
	(void)lsvd_volume_close(v, 0); /* a reader has nothing to lose */
	return 0;
}

static int describe_base(struct visit *visit, const struct fmt_volume *record,
			 struct lsvd_base_info *ret)
{
	const struct fmt_base *b = &record->base;
	bool needed;
	int err = needs_base(visit, record, &needed);

	if (err)
		return err;
	ret->is_flat = !needed;
	lsvd_uuid_format(fmt_base_volume(b), ret->volume_uuid);
	lsvd_uuid_format(&b->snapshot, ret->snapshot_uuid);
	err = lsvd_vol_find_uuid(&visit->port, fmt_base_volume(b), ret->volume);
	if (err)
		return err == -ENOENT ? 0 : err;
	return name_snapshot(visit, b, ret);
}

int lsvd_volume_base(struct lsvd_store *store, const char *name, struct lsvd_base_info *ret)
{
	struct lsvd_base_info info = LSVD_BASE_INFO_INIT;
	struct fmt_volume record;
	struct visit visit;
	int err = lsvd_lineage_lookup(store, OBJECT_VOLUME, name, &record);

	if (!err && record.base.ancestors) {
		err = lsvd_visit_begin(&visit, store);
		if (err)
			return err;
		err = describe_base(&visit, &record, &info);
		lsvd_visit_end(&visit);
	}
	return err ? err : lsvd_options_fill(ret, &info, sizeof info, sizeof info, "base info");
}

int lsvd_vol_base_fails(struct lsvd_volume *v, const struct uuid *uuid, int err)
{
	char id[UUID_TEXT_LEN + 1], name[LSVD_NAME_MAX + 1] = "", text[512];

	if (err != LSVD_E_CORRUPT && err != LSVD_E_VERSION)
		return err;
	(void)snprintf(text, sizeof text, "%s", lsvd_last_error()); /* survives the look */
	(void)!lsvd_vol_find_uuid(&v->port, uuid, name); /* else its UUID has to do */
	lsvd_error_restore(text);
	lsvd_uuid_format(uuid, id);
	return lsvd_fail_context(err, "volume %s needs its base, volume %s%s%s, which has to be "
				 "mended ('lsvd-admin check' says how)", v->name, name,
				 name[0] ? ", UUID " : "", id);
}

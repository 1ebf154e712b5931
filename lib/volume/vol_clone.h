/* SPDX-License-Identifier: BSD-2-Clause */
/* vol_clone.h - volumes that need snapshots of others: created, and gone. Procedures. */
#ifndef VOLUME_VOL_CLONE_H
#define VOLUME_VOL_CLONE_H

#include <lsvd/snapshot.h>

#include "log/lineage.h"
#include "volume/volume_internal.h"

/* A snapshot that a volume needs: its base, as a clone; the names of that are not in the record. */
struct use {
	const struct uuid *volume, *snapshot;
	const char *name, *snapshot_name;
};
/* The i-th of what a volume's record says; false: there are not so many. */
bool lsvd_vol_use_of(const struct fmt_volume *record, unsigned i, struct use *ret);
/* A volume goes, and needs neither base nor lowers any more. */
int lsvd_vol_leave_base(struct port *port, const struct fmt_volume *record);

/* A volume to be created that needs snapshots: those that its record says. */
struct cloning {
	struct lsvd_store *store;  /* NULL: in a simulation */
	struct world *world;
	struct port *port;
	struct fmt_volume clone;   /* its record */
	/* of a clone: */
	const char *base_name;
	struct fmt_volume base;
	struct snapshot s;
};
/* The snapshot as its volume lists it now. */
int lsvd_vol_find_snapshot(struct cloning *c, const char *volume, const char *name,
			   struct snapshot *ret);
/* Enters it where it needs something, and creates it. On failure it is nowhere. */
int lsvd_vol_protect_and_create(struct cloning *c);
/* For the simulator, on a world of its own */
int lsvd_volume_clone_world(struct world *world, const char *base, const char *snapshot,
			    const char *name);
/* ---- vol_admin.c: what a volume's record says, for people */
int lsvd_vol_give_info(struct lsvd_volume_info *ret, const struct fmt_volume *record);
/* ---- vol_over.c, for the simulator */
int lsvd_volume_create_over_world(struct world *world, const char *name, uint64_t bytes,
				  const struct lsvd_lower *lowers, unsigned count);

#endif

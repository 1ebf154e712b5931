/* SPDX-License-Identifier: BSD-2-Clause */
/* vol_clone.h - what a clone and its base know of each other. Procedures. */
#ifndef VOLUME_VOL_CLONE_H
#define VOLUME_VOL_CLONE_H

#include "log/lineage.h"
#include "volume/volume_internal.h"

/*
 * -EBUSY: clones need a snapshot of the volume; the text names them. `leftover`: it is what an
 * interrupted deletion has left, and only clones that are there count.
 */
int lsvd_vol_refuse_base(struct port *port, const struct fmt_volume *record, bool leftover);
/* Clones that a volume knows of and that are not there, snapshot by snapshot; nothing is changed. */
typedef void (*dead_user_fn)(void *ctx, const struct uuid *snapshot, const char *clone);
int lsvd_vol_each_dead_user(struct port *port, const struct uuid *volume, dead_user_fn fn, void *ctx);
/* A clone goes, or needs its base no more. */
int lsvd_vol_leave_base(struct port *port, const struct fmt_volume *record);
/* For the simulator, on a world of its own */
int lsvd_volume_clone_world(struct world *world, const char *base, const char *snapshot,
			    const char *name);

#endif

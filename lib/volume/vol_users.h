/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vol_users.h - who needs a volume's snapshots: what is needed does not go. Procedures.
 *
 * That of one snapshot, lsvd_vol_close_slots(), is in volume_internal.h.
 */
#ifndef VOLUME_VOL_USERS_H
#define VOLUME_VOL_USERS_H

#include "log/lineage.h"
#include "volume/volume_internal.h"

/*
 * -EBUSY: clones need a snapshot of the volume; the text names them. `leftover`: it is what an
 * interrupted deletion has left, and only clones that are there count.
 */
int lsvd_vol_refuse_base(struct visit *visit, const struct fmt_volume *record, bool leftover);
/*
 * Clones that a volume knows of and that are not there, snapshot by snapshot, as far as they are
 * listed; nothing is changed.
 */
typedef void (*dead_user_fn)(void *ctx, const struct uuid *snapshot, const char *clone);
int lsvd_vol_each_dead_user(struct lsvd_volume *v, dead_user_fn fn, void *ctx);

#endif

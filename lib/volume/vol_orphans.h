/* SPDX-License-Identifier: BSD-2-Clause */
/* vol_orphans.h - objects that no table knows, out of the store. */
#ifndef VOLUME_VOL_ORPHANS_H
#define VOLUME_VOL_ORPHANS_H

#include "volume/volume_internal.h"

/* A procedure. What was removed is added to volume->orphans, orphan_bytes. */
int lsvd_vol_remove_orphans(struct lsvd_volume *v);

#endif

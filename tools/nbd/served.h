/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * served.h - what an export's name means: a volume, or with @ a snapshot of one; and opening it.
 *
 * Snapshots are read-only, and do not need their volume to be open. Blocks on the store.
 */
#ifndef NBD_SERVED_H
#define NBD_SERVED_H

#include <stdbool.h>

#include <lsvd/lsvd.h>

#include "nbd/export.h"

struct served {
	struct nbd_export export; /* `user` is left to the caller */
	char uuid[37];            /* of the volume, or of the snapshot: a name may be used again */
};

bool served_is_snapshot(const char *name);

/* What there is to know without opening it: 0, -ENOENT, or the library's code. */
int served_look(const struct exports_config *config, const char *name, struct served *ret);

/* Opens it, and says what served_look() would, without asking twice. */
int served_open(const struct exports_config *config, const char *name, struct served *served,
		struct lsvd_volume **ret);

/* Calls `fn` for every name: each volume, and behind it its snapshots. Non-zero ends the walk. */
int served_list(const struct exports_config *config, int (*fn)(void *ctx, const char *name),
		void *ctx);

#endif

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vol_rebuild.h - an open that does without the checkpoint: all from the chain (check_repair.c).
 *
 * The whole history is replayed, without the data objects that were deleted: they were dead, so
 * what they wrote had been overwritten. But a trim in one of them is forgotten with it, and what it
 * trimmed would come back; and what was moved out of one cannot be told from what was overwritten
 * meanwhile. So a rebuilt map is believed in two cases only: nothing was ever deleted; or nothing
 * was moved out of what was deleted, and at the place of the old root each object lives by just the
 * bytes that the old root's table says. (Without moves the rebuilt map has all that the true one
 * has, in the same places, and perhaps more: equal counts then mean equal maps.)
 */
#ifndef VOLUME_VOL_REBUILD_H
#define VOLUME_VOL_REBUILD_H

#include "segment/seg_adopt.h"
#include "volume/volume_internal.h"

struct rebuild_live {
	uint64_t number;
	uint32_t live;
};

struct rebuild {
	/* What the old root's table said, if it could be read. */
	bool known;
	struct place at;
	struct rebuild_live *lives; /* of data objects that live, by number */
	uint64_t count, room;
	/* What became of the replay. */
	bool compared;
	bool doubtful;           /* `why` */
	char why[256];
};

/* The table that was loaded, before anything is applied to it. -ENOMEM. */
int lsvd_rebuild_note(struct rebuild *r, const struct object_table *t, struct place at);
void lsvd_rebuild_fini(struct rebuild *r);

/* Before the chain object at `at` is applied. */
void lsvd_rebuild_step(struct lsvd_volume *v, struct place at);
/* Before an adoption is. */
void lsvd_rebuild_adopt(struct lsvd_volume *v, const struct seg_adopt *a);
/* All is applied, but for `missing` chain objects: LSVD_E_UNSUPPORTED if the map may be another. */
int lsvd_rebuild_judge(struct lsvd_volume *v, uint64_t missing);

/* vol_open.c */
int lsvd_vol_open_rebuilding(struct lsvd_volume **ret, struct lsvd_store *store, const char *name,
			     const struct lsvd_volume_options *options, struct rebuild *rebuild);

#endif

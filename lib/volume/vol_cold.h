/* SPDX-License-Identifier: BSD-2-Clause */
/* vol_cold.h - the cold part of a segment; lock held in all of it. */
#ifndef VOLUME_VOL_COLD_H
#define VOLUME_VOL_COLD_H

#include "volume/vol_adopt.h"
#include "volume/vol_destage.h"

/* vseg->cold */
struct cold {
	struct vseg *seg;
	struct moved moved;
	struct seg_walk walk;        /* how much of it is in the store map */
	bool stored;
};

/*
 * Its records are there: marks those that are cold, if there are enough; then it has a cold part.
 */
void lsvd_vseg_find_cold(struct vseg *s);
/* As part of the segment's job, without the lock: builds it of the marked records. */
int lsvd_vseg_build_cold(struct vseg *s, unsigned records);
/*
 * READY, or COLD and not adopted for want of memory: lsvd_vseg_put(s) when it is
 * stored and adopted.
 */
void lsvd_vseg_put_cold(struct vseg *s);
/* Some of it into the store map, behind the rest of the segment. */
int lsvd_vseg_apply_cold(struct vseg *s, struct place at, bool *ret_all);
void lsvd_vseg_free_cold(struct vseg *s);

#endif

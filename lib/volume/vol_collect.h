/* SPDX-License-Identifier: BSD-2-Clause */
/* vol_collect.h - a call of lsvd_volume_collect(), for what it is made of. */
#ifndef VOLUME_VOL_COLLECT_H
#define VOLUME_VOL_COLLECT_H

#include <lsvd/gc.h>

#include "volume/volume_internal.h"

struct collect {
	struct lsvd_volume *v;
	struct lsvd_collect_options o;
	uint64_t rounds;         /* when progress was last told */
	bool cancelled;
};

/* Procedures; the lock is free. */

/* Tells how it stands. -ECANCELED: it is to end. */
int lsvd_collect_tell(struct collect *c);
/* lsvd_volume_checkpoint(), until it is to end. */
int lsvd_collect_checkpoint(struct collect *c);
/* The lock is held: until it holds (of c), which it does once c is cancelled. */
int lsvd_collect_wait(struct collect *c, vol_cond_fn holds);
/* Rounds of collection until nothing of the scope is left to be copied. */
int lsvd_collect_copy(struct collect *c, enum gc_scope scope);
/* A clone needs its base no more. */
int lsvd_collect_flatten(struct collect *c);

#endif

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vol_destage.h - segments on their way to the store, for the three files that see to it:
 * vol_destage.c (when, and in which order), vol_build.c (groups to objects), vol_apply.c (objects
 * into the store map). The lock is held in all of it.
 */
#ifndef VOLUME_VOL_DESTAGE_H
#define VOLUME_VOL_DESTAGE_H

#include "volume/volume_internal.h"

static inline struct wal_group *vseg_next_group(const struct vseg *s, struct wal_group *g)
{
	return g == s->last ? NULL : list_entry(g->link.next, struct wal_group, link);
}

#define vseg_for_each_group(g, s) \
	for (struct wal_group *g = (s)->first; g; g = vseg_next_group(s, g))

/* ---- vol_destage.c */
/* There was no memory: destaging and applying are tried again, a little later. */
void lsvd_vol_destage_again(struct lsvd_volume *v);
/* Its turn in the chain. */
void lsvd_vseg_put(struct vseg *s);
/* READY: it is put, once the log is durable so far. */
void lsvd_vseg_is_built(struct vseg *s);
/* It is in the store map: its groups are let go, and it is freed. */
void lsvd_vseg_over(struct vseg *s);

/* ---- vol_build.c */
/* LOADING: brings back what memory has forgotten; then BUILDING. */
void lsvd_vseg_load(struct vseg *s);
void lsvd_vseg_build(struct vseg *s);
void lsvd_vseg_free_build(struct vseg *s);

#endif

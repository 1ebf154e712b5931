/* SPDX-License-Identifier: BSD-2-Clause */
/* vol_adopt.h - moved objects: put, adopted by a chain object, applied to the store map. */
#ifndef VOLUME_VOL_ADOPT_H
#define VOLUME_VOL_ADOPT_H

#include "log/gc_choose.h"
#include "segment/seg_adopt.h"
#include "volume/volume_internal.h"

/* A moved object on its way from its making into the store map. */
struct moved {
	struct segment *built;
	struct seg_run *runs;        /* where its sectors come from */
	uint32_t run_count;
	uint64_t object;
	uint64_t written;            /* volume->written when the newest of its data was */
	uint8_t class;               /* enum gc_class */
	struct log_free_put put;
	struct seg_adopt adopt;      /* the above, when it has been put; owns nothing */
};

/* Puts it; `done` as that of lsvd_log_put_free(). */
void lsvd_moved_put(struct lsvd_volume *v, struct moved *m,
		    void (*done)(struct log_free_put *put, int err), void *owner);
/*
 * The adoption of objects that were put, framed, behind `room` bytes; allocated. -ENOMEM, -E2BIG.
 */
int lsvd_moved_records(uint8_t **ret, uint32_t *ret_bytes, size_t room, const struct moved *m,
		       unsigned n);
/*
 * A part of it into the store map, from `walk` on; the place is that of the chain object. True in
 * ret_all: that was the last. -ENOMEM: the walk stands where it may go on.
 */
int lsvd_moved_apply(struct lsvd_volume *v, const struct moved *m, struct place at,
		     struct seg_walk *walk, bool *ret_all);
/* It was put, or that was tried, and nothing will adopt it: it is deleted as if it had died now. */
void lsvd_moved_abandon(struct lsvd_volume *v, const struct moved *m);
void lsvd_moved_fini(struct moved *m);

/* A note that adopts; the owner's until done is called. */
struct adoption {
	struct moved *list;
	unsigned count;
	/* lock held: all is in the map (0), or never will be. */
	void (*done)(struct adoption *a, int err);
	/* its own */
	struct lsvd_volume *v;
	struct list link;            /* volume->adoptions, by seq */
	uint8_t *note;
	struct log_put put;
	bool acked, begun;
	unsigned next;
	struct seg_walk walk;
};

/* 0, -ENOMEM or -E2BIG: then done is not called. */
int lsvd_vol_adopt(struct lsvd_volume *v, struct adoption *a);

/* Is an adoption the next thing that goes into the store map? Is a part of it in there? */
bool lsvd_vol_adoption_is_next(const struct lsvd_volume *v);
bool lsvd_vol_adoption_is_acked_before(const struct lsvd_volume *v, uint64_t seq);
bool lsvd_vol_adoption_is_between(const struct lsvd_volume *v);
int lsvd_vol_apply_adoption(struct lsvd_volume *v); /* some of it; -ENOMEM: again later */

#endif

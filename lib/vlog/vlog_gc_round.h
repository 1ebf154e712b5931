/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vlog_gc_round.h - a collection of a value log under way, and its round.
 *
 *   vlog_gc.c        which segments, and what is done with each
 *   vlog_gc_copy.c   what lives in one, copied
 *   vlog_gc_round.c  the copies committed, the index told, the victims stale
 *
 * All on the thread that called.
 */
#ifndef VLOG_VLOG_GC_ROUND_H
#define VLOG_VLOG_GC_ROUND_H

#include "log/gc_pass.h"
#include "vlog/vlog_internal.h"

struct moves {
	struct lsvd_vlog_move *at;
	size_t count, room;
	uint8_t **keys;              /* memory that the keys of victims lie in */
	size_t key_count;
};

struct gc {
	struct lsvd_vlog *log;
	const struct lsvd_vlog_index *index;
	struct lsvd_vlog_gc_limits limits;
	struct lsvd_vlog_gc_result *r;
	struct gc_pass pass;
	/* of the round */
	struct lsvd_vlog_writer *writer;
	struct lsvd_vlog_pin **pins; /* of the victims */
	size_t pin_count;
	struct moves moves;
	struct victim {
		uint64_t id;
		uint64_t left_items, left_raw, left_records; /* alive, and damaged: not copied */
	} *victims;
	size_t victim_count, victim_room;
	struct vlog_window window;
};

static inline bool gc_is_cancelled(const struct gc *g)
{
	return g->limits.cancel && __atomic_load_n(g->limits.cancel, __ATOMIC_RELAXED);
}

/*
 * Copies all that lives in a victim, as fast as the limits allow; `own_commit` is that of its own
 * records. -ECANCELED.
 */
int lsvd_vlog_gc_copy(struct gc *g, uint64_t id, uint64_t own_commit, struct vlog_survey *s);

/* What has been copied so far goes over. */
int lsvd_vlog_gc_end_round(struct gc *g);
/* Whatever the round has, which is not committed: gone. */
void lsvd_vlog_gc_forget_round(struct gc *g);

#endif

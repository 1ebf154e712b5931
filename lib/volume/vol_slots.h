/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vol_slots.h - who uses a snapshot: the slots that say so, and what they add up to.
 *
 * Procedures. `users` of a struct slots is freed by who has it.
 */
#ifndef VOLUME_VOL_SLOTS_H
#define VOLUME_VOL_SLOTS_H

#include "format/fmt_slot.h"
#include "volume/volume_internal.h"

/* What has been read of a snapshot's slots. Begin with `next` 0 and nobody in it. */
struct slots {
	const struct uuid *volume, *snapshot;
	bool tiny;                 /* the world is a simulation's */
	uint32_t next;             /* the first free one */
	bool closed;
	struct fmt_slot *users;    /* added and not dropped; of what is doubted, that says so */
	unsigned count, room;
};

/* From where it got to before on. */
int lsvd_slots_read(struct port *port, struct slots *s);
/* NULL: it is none of the users. */
struct fmt_slot *lsvd_slots_user(const struct slots *s, const struct uuid *clone);
/* As the next one. -EEXIST: somebody was faster, or an earlier try of ours got through. */
int lsvd_slots_put(struct port *port, const struct slots *s, const struct fmt_slot *slot);
/*
 * Sees to it that a user is added, doubted or dropped; nothing is put if that is so already.
 * -EBUSY: the snapshot is closed, and nobody is added any more.
 */
int lsvd_slots_change(struct port *port, struct slots *s, const struct fmt_slot *slot);

#endif

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fmt_slot.h - a slot: who uses a snapshot; s/<snapshot>.<number> of the base.
 *
 * Pure, as fmt_object.h.
 */
#ifndef FORMAT_FMT_SLOT_H
#define FORMAT_FMT_SLOT_H

#include "format/fmt_object.h"

enum slot_what {
	SLOT_ADD = 1,           /* a clone does */
	SLOT_DROP = 2,          /* that one does not any more */
	SLOT_CLOSE = 3,         /* nobody may any more: the snapshot is about to go */
	SLOT_DOUBT = 4,         /* is there such a clone? If it is made after this, it is none */
};
struct fmt_slot {
	enum slot_what what;
	struct uuid clone;
	char name[65];          /* of the clone */
};
#define FMT_SLOT_BYTES 192u
void lsvd_slot_encode(uint8_t buf[FMT_SLOT_BYTES], const struct uuid *volume, uint64_t number,
		      const struct fmt_slot *s);
int lsvd_slot_decode(struct fmt_slot *ret, const struct uuid *volume, uint64_t number,
		     const void *buf, size_t len, const char *what);

#endif

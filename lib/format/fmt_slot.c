/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fmt_slot.c - slots, which say who uses a snapshot: bytes to struct and back (docs/format.md,
 * "Slot").
 *
 * The name in one is shown to people: it is that of a volume, or the slot is damaged.
 */
#include "format/fmt_slot.h"

#include "base/bytes.h"
#include "base/err.h"
#include "format/fmt_key.h"
#include "format/fmt_small.h"

/* Counted from the beginning of the object. */
enum slot_at {
	SLOT_WHAT = 80,
	SLOT_CLONE = 88,
	SLOT_NAME = 104,
};

void lsvd_slot_encode(uint8_t buf[FMT_SLOT_BYTES], const struct uuid *volume, uint64_t number,
		      const struct fmt_slot *s)
{
	struct object_head h = {
		.kind = OBJECT_SLOT,
		.header_bytes = FMT_SLOT_BYTES,
		.volume = *volume,
		.seq = number,
	};

	memset(buf, 0, FMT_SLOT_BYTES);
	le32_put(buf + SLOT_WHAT, (uint32_t)s->what);
	memcpy(buf + SLOT_CLONE, s->clone.b, sizeof s->clone.b);
	put_text(buf + SLOT_NAME, s->name);
	lsvd_object_head_encode(buf, &h);
}

int lsvd_slot_decode(struct fmt_slot *ret, const struct uuid *volume, uint64_t number,
		     const void *buf, size_t len, const char *what)
{
	const uint8_t *p = buf;
	struct object_head h;
	int err = lsvd_small_decode(&h, buf, len, OBJECT_SLOT, FMT_SLOT_BYTES, what);

	if (err == 0)
		err = lsvd_object_head_expect(&h, volume, OBJECT_SLOT, 0, number, what);
	if (err < 0)
		return err;
	ret->what = (enum slot_what)le32_get(p + SLOT_WHAT);
	memcpy(ret->clone.b, p + SLOT_CLONE, sizeof ret->clone.b);
	if (!get_text(ret->name, p + SLOT_NAME) || ret->what < SLOT_ADD || ret->what > SLOT_DOUBT ||
	    (ret->what != SLOT_CLOSE && !lsvd_name_valid(ret->name))) /* it is shown */
		return lsvd_fail(LSVD_E_CORRUPT, "object %s: slot of kind %u", what,
				 (unsigned)ret->what);
	return 0;
}

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vol_slots.c - who uses a snapshot, written down at its volume in slots.
 *
 * Slots are objects with consecutive numbers, each created only if it is absent, so that all
 * agree on their order. What a user, a clone or a volume over lower volumes, is by its slots:
 *
 *   (none) -> ADDED           by itself, before it has a record; not when the snapshot is closed
 *   ADDED -> DOUBTED          by who has found no record of it (vol_users.c)
 *   ADDED, DOUBTED -> (none)  by itself, when it does not need the snapshot any more; or by who has
 *                             found no record again
 *
 * Whoever is about to delete the snapshot closes it, if it has no user; it is never opened again.
 * Slots go when the snapshot is gone, from the last to the first: who reads them meanwhile sees
 * what was.
 *
 * Invariants:
 *  (1) Who puts a slot has read all before it. If its name was taken meanwhile he reads on and
 *      decides again: no change rests on less than what was there when it was made.
 *  (2) A change that was made already is not made twice, so a call may be repeated after an
 *      answer was lost.
 *
 * Deliberately absent: removing slots that say nothing any more; a snapshot has few users.
 */
#include "volume/vol_slots.h"

#include <errno.h>

#include "base/alloc.h"
#include "base/err.h"
#include "log/lineage.h"

static int add_user(struct slots *s, const struct fmt_slot *slot)
{
	if (s->count == s->room) {
		unsigned room = s->room ? s->room * 2 : 8;
		void *p = lsvd_realloc(s->users, room * sizeof *s->users);

		if (!p)
			return lsvd_fail_plain(-ENOMEM);
		s->users = p;
		s->room = room;
	}
	s->users[s->count++] = *slot;
	return 0;
}

struct fmt_slot *lsvd_slots_user(const struct slots *s, const struct uuid *clone)
{
	for (unsigned i = 0; i < s->count; i++)
		if (lsvd_uuid_equal(&s->users[i].clone, clone))
			return &s->users[i];
	return NULL;
}

static int take_slot(struct slots *s, const struct fmt_slot *slot)
{
	struct fmt_slot *user = lsvd_slots_user(s, &slot->clone);

	s->closed |= slot->what == SLOT_CLOSE;
	if (slot->what == SLOT_ADD && !user)
		return add_user(s, slot);
	if (slot->what == SLOT_DROP && user)
		*user = s->users[--s->count];
	if (slot->what == SLOT_DOUBT && user)
		user->what = SLOT_DOUBT;
	return 0;
}

int lsvd_slots_read(struct port *port, struct slots *s)
{
	int err = 0;

	while (!err) {
		struct fmt_slot slot;
		char key[KEY_CAP];
		uint8_t *buf;
		size_t len;

		lsvd_key_slot(key, s->volume, s->snapshot, s->next);
		err = lsvd_lineage_get(port, key, &buf, &len, FMT_SLOT_BYTES);
		if (err)
			break;
		err = lsvd_slot_decode(&slot, s->volume, s->next, buf, len, key);
		lsvd_free(buf);
		if (err)
			break;
		s->next++;
		err = take_slot(s, &slot);
	}
	return err == -ENOENT ? 0 : err;
}

int lsvd_slots_put(struct port *port, const struct slots *s, const struct fmt_slot *slot)
{
	uint8_t buf[FMT_SLOT_BYTES];
	struct iovec iov = { buf, sizeof buf };
	struct obj_io io = { .io = { .kind = IO_PUT }, .iov = &iov, .iovcnt = 1 };

	lsvd_slot_encode(buf, s->volume, s->next, slot);
	lsvd_key_slot(io.key, s->volume, s->snapshot, s->next);
	return lsvd_lineage_run(port, &io);
}

/* Once more or not does not matter, nor does it to drop or to doubt who is not there. */
static bool is_so(const struct slots *s, const struct fmt_slot *slot)
{
	const struct fmt_slot *user = lsvd_slots_user(s, &slot->clone);

	if (slot->what == SLOT_DOUBT)
		return !user || user->what == SLOT_DOUBT;
	return !user == (slot->what == SLOT_DROP);
}

int lsvd_slots_change(struct port *port, struct slots *s, const struct fmt_slot *slot)
{
	int err = -EEXIST;

	while (err == -EEXIST) {
		err = lsvd_slots_read(port, s);
		if (err || is_so(s, slot))
			return err;
		if (s->closed && slot->what == SLOT_ADD)
			return lsvd_fail(-EBUSY, "the snapshot is being deleted");
		err = lsvd_slots_put(port, s, slot);
	}
	return err;
}

/* From the last to the first, so that what is left is in order; nobody misses them. */
void lsvd_vol_remove_slots(struct port *port, const struct uuid *volume,
			   const struct snapshot *snap)
{
	struct slots s = { .volume = volume, .snapshot = &snap->id };
	int err = lsvd_slots_read(port, &s);

	for (uint32_t i = s.next; i-- > 0 && !err;) {
		struct obj_io io = { .io = { .kind = IO_REMOVE } };

		lsvd_key_slot(io.key, volume, &snap->id, i);
		err = lsvd_lineage_run(port, &io);
	}
	lsvd_free(s.users);
}

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vol_clone.c - volumes that begin as a snapshot of another: made, opened, and let go by their
 * base.
 *
 * A clone is a record that names the snapshot's root and note, and the ancestors by whose names and
 * checksums the objects below its own first number go. Until it has a root of its own it is opened
 * with the state that those lead to; its first checkpoint then refers to what the base's say, and
 * saves only what changed. Nothing is copied. The base's objects are never deleted by it, nor
 * collected.
 *
 * A volume with lower volumes (vol_lower.c) needs snapshots in the same way, and so does what
 * follows.
 *
 * Both are entered at the snapshots that they need (vol_slots.c), in this order:
 *
 *   enter, then look      else the snapshot goes between the look and the entry
 *   look, then record     what is there has all that it needs
 *   record, then entries  one that was doubted by now is nobody's (vol_users.c): the record goes.
 *                         Slots that are going away tell what was, so one more look follows
 *
 * A failure leaves neither record nor entry, if the store can be asked to remove them; an entry
 * without a record is dropped by who it is in the way of. An entry is dropped by its clone when
 * it is deleted or has become flat.
 */
#include "volume/vol_clone.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/err.h"
#include "base/options.h"
#include "log/log_probe.h"
#include "volume/vol_slots.h"

/* ------------------------------------------------------------------------- what a volume needs */

bool lsvd_vol_use_of(const struct fmt_volume *r, unsigned i, struct use *ret)
{
	const struct fmt_base *b = &r->base;
	const struct fmt_lower *l;

	if (b->ancestors && i-- == 0) {
		*ret = (struct use){ fmt_base_volume(b), &b->snapshot, NULL, NULL };
		return true;
	}
	if (i >= r->lowers.count)
		return false;
	l = &r->lowers.list[i];
	*ret = (struct use){ &l->volume, &l->snapshot, l->name, l->snapshot_name };
	return true;
}

static int change_uses(struct port *port, const struct fmt_volume *record, enum slot_what what)
{
	struct fmt_slot slot = { .what = what, .clone = record->uuid };
	struct use u;
	int err = 0;

	memcpy(slot.name, record->name, sizeof slot.name);
	for (unsigned i = 0; !err && lsvd_vol_use_of(record, i, &u); i++) {
		struct slots s = { .volume = u.volume, .snapshot = u.snapshot };

		err = lsvd_slots_change(port, &s, &slot);
		lsvd_free(s.users);
	}
	return err;
}

int lsvd_vol_leave_base(struct port *port, const struct fmt_volume *record)
{
	return change_uses(port, record, SLOT_DROP);
}

int lsvd_vol_drop_base(struct lsvd_volume *v)
{
	struct fmt_volume record = { .uuid = v->uuid, .base = *v->base };

	(void)snprintf(record.name, sizeof record.name, "%s", v->name); /* fits */
	return lsvd_vol_leave_base(&v->port, &record);
}

/* ----------------------------------------------------------------------------- opening a clone */

int lsvd_vol_take_base(struct lsvd_volume *v, const struct fmt_base *base)
{
	v->ancestry = lsvd_calloc(1, sizeof *v->ancestry);
	v->base = lsvd_malloc(sizeof *v->base);
	if (!v->ancestry || !v->base)
		return lsvd_fail_plain(-ENOMEM);
	*v->base = *base;
	v->ancestry->count = base->ancestors;
	v->ancestry->own_first = base->own_first;
	for (uint32_t i = 0; i < base->ancestors; i++)
		v->ancestry->list[i] = (struct ancestor){
			.first = base->list[i].first,
			.volume = base->list[i].volume,
			.owner = lsvd_uuid_seed(&base->list[i].volume),
		};
	v->objects.ancestry = v->ancestry;
	return 0;
}

int lsvd_vol_load_base(struct lsvd_volume *v, const struct log_ops *ops)
{
	const struct fmt_base *b = v->base;
	const struct log_options o = { .volume = *fmt_base_volume(b),
				       .volume_bytes = v->bytes, .name = v->name };
	int err;

	if (v->listing)
		return 0;
	v->loading_base = true;
	err = lsvd_log_read(&v->port, &o, ops, v, b->root, b->at_epoch, b->at_seq);
	v->loading_base = false;
	lsvd_snapshots_fini(&v->snapshots); /* the base's */
	v->root_number = 0;                 /* as is that root */
	v->root_at = (struct place){ 0, 0 };
	return err ? lsvd_vol_base_fails(v, fmt_base_volume(b), err) : 0;
}

/* -------------------------------------------------------------------------- is it still there? */

int lsvd_vol_find_snapshot(struct cloning *c, const char *volume, const char *name,
			   struct snapshot *ret)
{
	const struct snapshot *s;
	struct lsvd_volume *v;
	int err = lsvd_vol_open_listing(&v, c->store, c->world, volume);

	if (err)
		return err;
	s = lsvd_snapshots_by_name(&v->snapshots, name);
	if (s)
		*ret = *s;
	else
		err = lsvd_fail(-ENOENT, "volume %s has no snapshot \"%s\"", volume, name);
	(void)lsvd_volume_close(v, 0); /* a reader has nothing to lose */
	return err;
}

/* With its names. */
static bool named_use_of(const struct cloning *c, unsigned i, struct use *ret)
{
	if (!lsvd_vol_use_of(&c->clone, i, ret))
		return false;
	if (!ret->name) {
		ret->name = c->base_name;
		ret->snapshot_name = c->s.name;
	}
	return true;
}

static int is_still_there(struct cloning *c, const struct use *u)
{
	struct fmt_volume volume;
	struct snapshot s;
	int err = lsvd_lineage_find(c->port, OBJECT_VOLUME, u->name, &volume);

	if (!err)
		err = lsvd_vol_find_snapshot(c, u->name, u->snapshot_name, &s);
	if (!err && (!lsvd_uuid_equal(&volume.uuid, u->volume) ||
		     !lsvd_uuid_equal(&s.id, u->snapshot)))
		err = lsvd_fail(-ENOENT, "volume %s: its snapshot \"%s\" is another one by now",
				u->name, u->snapshot_name);
	return err;
}

/* Are snapshots and volumes still there, now that they know of us? */
static int look_again(struct cloning *c)
{
	struct use u;
	int err = 0;

	for (unsigned i = 0; !err && named_use_of(c, i, &u); i++)
		err = is_still_there(c, &u);
	return err;
}

/*
 * Is each entry still there, and not doubted, now that the record is? From the first slot on: all
 * may have gone.
 */
static int look_at_entries(struct cloning *c)
{
	struct use u;
	int err = 0;

	for (unsigned i = 0; !err && named_use_of(c, i, &u); i++) {
		struct slots s = { .volume = u.volume, .snapshot = u.snapshot };
		const struct fmt_slot *entry;

		err = lsvd_slots_read(c->port, &s);
		entry = lsvd_slots_user(&s, &c->clone.uuid);
		if (!err && (!entry || entry->what == SLOT_DOUBT))
			err = lsvd_fail(-EBUSY, "volume %s: its snapshot \"%s\" is being deleted",
					u.name, u.snapshot_name);
		lsvd_free(s.users);
	}
	/* Slots that are going away tell what was. */
	return err ? err : look_again(c);
}

static int remove_own_record(struct cloning *c)
{
	char text[512];
	int err;

	(void)snprintf(text, sizeof text, "%s", lsvd_last_error()); /* survives what follows */
	err = lsvd_lineage_forget(c->port, &c->clone);
	lsvd_error_restore(text);
	return err;
}

static void take_entries_back(struct cloning *c)
{
	char text[512];

	(void)snprintf(text, sizeof text, "%s", lsvd_last_error()); /* survives what follows */
	(void)!lsvd_vol_leave_base(c->port, &c->clone); /* else the base is kept, at worst */
	lsvd_error_restore(text);
}

int lsvd_vol_protect_and_create(struct cloning *c)
{
	bool none;
	int err = change_uses(c->port, &c->clone, SLOT_ADD);

	if (!err)
		err = look_again(c);
	none = err != 0;
	if (!err) {
		err = lsvd_lineage_create(c->port, &c->clone);
		none = err == -EEXIST; /* of other errors the record may be there, or come late */
	}
	if (!err) {
		err = look_at_entries(c);
		none = err && remove_own_record(c) == 0;
	}
	if (err && none)
		take_entries_back(c);
	return err;
}

/* ------------------------------------------------------------------------------------- cloning */

/* The note says from where on object numbers are free. */
static int read_note(struct cloning *c, uint64_t *ret_next_object)
{
	struct object_head head;
	struct chain_part chain;
	char key[KEY_CAP];
	uint8_t *buf;
	size_t len;
	int err;

	lsvd_key_chain(key, &c->base.uuid, c->s.at.epoch, c->s.at.seq);
	err = lsvd_lineage_get(c->port, key, &buf, &len, 1u << 20);
	if (err)
		return err;
	err = lsvd_object_head_decode(&head, buf, len, key);
	if (!err)
		err = lsvd_object_head_expect(&head, &c->base.uuid, OBJECT_NOTE, c->s.at.epoch,
					      c->s.at.seq, key);
	if (!err)
		err = lsvd_chain_part_decode(&chain, buf, &head, key);
	lsvd_free(buf);
	*ret_next_object = err ? 0 : chain.next_object;
	return err == -ENODATA ? lsvd_fail(LSVD_E_CORRUPT, "object %s: cut short", key) : err;
}

static int describe_clone(struct cloning *c)
{
	struct fmt_base *b = &c->clone.base;
	int err;

	*b = c->base.base;
	if (b->ancestors == FMT_ANCESTORS_MAX)
		return lsvd_fail(-E2BIG, "volume %s is a clone of a clone …, %u times: no more "
				 "than that", c->base_name, FMT_ANCESTORS_MAX);
	b->list[b->ancestors].first = b->ancestors ? c->base.base.own_first : 0;
	b->list[b->ancestors++].volume = c->base.uuid;
	b->snapshot = c->s.id;
	b->root = c->s.root;
	b->at_epoch = c->s.at.epoch;
	b->at_seq = c->s.at.seq;
	c->clone.bytes = c->s.bytes;
	c->clone.lowers = c->base.lowers; /* what it shows is the same */
	err = read_note(c, &b->own_first);
	return err;
}

static int clone_on(struct cloning *c, const char *snapshot)
{
	int err = lsvd_lineage_find(c->port, OBJECT_VOLUME, c->base_name, &c->base);

	if (!err)
		err = lsvd_vol_find_snapshot(c, c->base_name, snapshot, &c->s);
	if (!err)
		err = describe_clone(c);
	return err ? err : lsvd_vol_protect_and_create(c);
}

int lsvd_volume_clone_world(struct world *world, const char *base, const char *snapshot,
			    const char *name)
{
	struct cloning c = { .world = world, .base_name = base };
	struct port port;
	int err = lsvd_port_init(&port, world);

	if (err)
		return err;
	c.port = &port;
	err = lsvd_lineage_describe(world, OBJECT_VOLUME, name, NULL, &c.clone);
	if (!err)
		err = clone_on(&c, snapshot);
	lsvd_port_fini(&port);
	return err;
}

/* A store without create-if-absent is found out; what it says of itself it has been probed for. */
static int check_store(struct cloning *c, const struct lsvd_volume_options *options)
{
	struct lsvd_volume_options o;
	int err = lsvd_options_copy(&o, sizeof o, options, sizeof o, "volume options");

	return err ? err : lsvd_probe_check(c->port, o.flags | CHECK_NO_PROBE, false);
}

/* Of the base as it is now. */
static int snapshot_now(struct cloning *c, const struct lsvd_volume_options *options,
			const char *snapshot)
{
	struct lsvd_volume *v;
	int err, end;

	if (!options)
		return lsvd_fail(-EINVAL, "volume %s: to be cloned as it is now it has to be "
				 "opened, and there are no options for that", c->base_name);
	err = lsvd_volume_open(&v, c->store, c->base_name, options);
	if (err)
		return err;
	err = lsvd_snapshot_create(v, snapshot, UINT32_MAX, NULL);
	end = lsvd_volume_close(v, UINT32_MAX);
	return err ? err : end < 0 ? end : 0;
}

static int clone_in_store(struct cloning *c, const char *snapshot, const char *name,
			  const struct lsvd_volume_options *options)
{
	char made[LSVD_NAME_MAX + 1] = "for-";
	struct fmt_volume there;
	int err = check_store(c, options);

	if (!err)
		err = lsvd_lineage_describe(c->world, OBJECT_VOLUME, name, NULL, &c->clone);
	if (!err && lsvd_lineage_find(c->port, OBJECT_VOLUME, name, &there) == 0)
		err = lsvd_fail(-EEXIST, "volume %s exists: nothing was changed", name);
	if (!err && !snapshot) {
		lsvd_uuid_format(&c->clone.uuid, made + strlen(made));
		err = snapshot_now(c, options, made);
		snapshot = made;
	}
	return err ? err : clone_on(c, snapshot);
}

int lsvd_volume_clone(struct lsvd_store *store, const char *base, const char *snapshot,
		      const char *name, const struct lsvd_volume_options *options,
		      struct lsvd_volume_info *ret)
{
	struct cloning c = { .store = store, .base_name = base };
	struct visit visit;
	int err;

	if (!base || !lsvd_name_valid(base) || (snapshot && !lsvd_name_valid(snapshot)))
		return lsvd_fail(-EINVAL, "\"%s\", \"%s\": not the names of a volume and of a "
				 "snapshot", base ? base : "(null)", snapshot ? snapshot : "");
	err = lsvd_options_check(ret, sizeof *ret, "volume info");
	if (!err)
		err = lsvd_visit_begin(&visit, store);
	if (err)
		return err;
	c.world = visit.world;
	c.port = &visit.port;
	err = clone_in_store(&c, snapshot, name, options);
	lsvd_visit_end(&visit);
	return err || !ret ? err : lsvd_vol_give_info(ret, &c.clone);
}

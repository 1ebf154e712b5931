/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vol_clone.c - volumes that begin as a snapshot of another, and what keeps that snapshot.
 *
 * A clone is a record that names the snapshot's root and note, and the ancestors by whose names and
 * checksums the objects below its own first number go. Until it has a root of its own it is opened
 * with the state that those lead to; its first checkpoint then refers to what the base's say, and
 * saves only what changed. Nothing is copied. The base's objects are never deleted by it, nor
 * collected.
 *
 * A volume with lower volumes (vol_lower.c) needs snapshots in the same way, and so does what follows.
 *
 * Who uses a snapshot is written down at the base, in *slots*: objects with consecutive numbers, each
 * created only if it is absent, so that all agree on their order. A clone adds itself, and drops
 * itself when it is deleted; whoever deletes the snapshot closes it, if nobody has it. The cloner
 * looks once more, when it has added itself, whether snapshot and base are still there: slots
 * go when the snapshot is gone.
 *
 * A cloner that dies leaves an entry and no clone. Whoever is kept from deleting by an entry
 * without a record doubts it, in a slot, and looks for the record once more; only if there is
 * none then is the entry dropped. The cloner looks at its entry when its record is there: if it
 * has been doubted there is no clone after all. One of the two looks comes after both writes, and
 * no entry of a clone that somebody was promised is ever away, whoever dies when. (A record that
 * its store puts when its cloner is dead is no clone that anybody was promised.)
 */
#include <lsvd/snapshot.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/err.h"
#include "base/options.h"
#include "log/lineage.h"
#include "log/log_probe.h"
#include "volume/vol_clone.h"
#include "volume/volume_internal.h"

/* --------------------------------------------------------------------------------------- slots */

struct slots {
	const struct uuid *volume, *snapshot;
	bool tiny;                 /* the world is a simulation's */
	uint32_t next;             /* the first free one */
	bool closed;
	struct fmt_slot *users;    /* added and not dropped; of what is doubted, that says so */
	unsigned count, room;
};

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

/* NULL: it is none. */
static struct fmt_slot *user_of(const struct slots *s, const struct uuid *clone)
{
	for (unsigned i = 0; i < s->count; i++)
		if (lsvd_uuid_equal(&s->users[i].clone, clone))
			return &s->users[i];
	return NULL;
}

static int take_slot(struct slots *s, const struct fmt_slot *slot)
{
	struct fmt_slot *user = user_of(s, &slot->clone);

	s->closed |= slot->what == SLOT_CLOSE;
	if (slot->what == SLOT_ADD && !user)
		return add_user(s, slot);
	if (slot->what == SLOT_DROP && user)
		*user = s->users[--s->count];
	if (slot->what == SLOT_DOUBT && user)
		user->what = SLOT_DOUBT;
	return 0;
}

/* From where it got to before on. */
static int read_slots(struct port *port, struct slots *s)
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

/* -EEXIST: somebody was faster, or an earlier try of ours got through. */
static int put_slot(struct port *port, const struct slots *s, const struct fmt_slot *slot)
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
	const struct fmt_slot *user = user_of(s, &slot->clone);

	if (slot->what == SLOT_DOUBT)
		return !user || user->what == SLOT_DOUBT;
	return !user == (slot->what == SLOT_DROP);
}

static int change_user(struct port *port, struct slots *s, const struct fmt_slot *slot)
{
	int err = -EEXIST;

	while (err == -EEXIST) {
		err = read_slots(port, s);
		if (err || is_so(s, slot))
			return err;
		if (s->closed && slot->what == SLOT_ADD)
			return lsvd_fail(-EBUSY, "the snapshot is being deleted");
		err = put_slot(port, s, slot);
	}
	return err;
}

/* ---------------------------------------------------------------- the snapshots that have slots */

struct used {
	struct uuid *ids;
	size_t n, room;
	int err;
};

static int add_used(struct used *u, const struct uuid *id)
{
	if (u->n == u->room) {
		size_t room = u->room ? u->room * 2 : 64;
		void *p = lsvd_realloc(u->ids, room * sizeof *u->ids);

		if (!p)
			return lsvd_fail_plain(-ENOMEM);
		u->ids = p;
		u->room = room;
	}
	u->ids[u->n++] = *id;
	return 0;
}

static int note_snapshot(void *ctx, const struct lsvd_object_info *info)
{
	const char *text = strrchr(info->key, '/') + 1;
	char id[UUID_TEXT_LEN + 1];
	struct used *u = ctx;
	struct uuid uuid;

	(void)snprintf(id, sizeof id, "%s", text); /* cut where the number begins */
	if (!lsvd_uuid_parse(&uuid, id) ||
	    (u->n && lsvd_uuid_equal(&uuid, &u->ids[u->n - 1])))
		return 0;
	u->err = add_used(u, &uuid);
	return u->err != 0;
}

static int list_used(struct port *port, const struct uuid *volume, struct used *u)
{
	char prefix[KEY_CAP];
	unsigned tries = 0;
	int err;

	lsvd_key_prefix(prefix, volume, KEY_SLOT);
	do {
		u->n = 0;
		err = lsvd_lineage_list(port, prefix, note_snapshot, u);
	} while (lsvd_try_again(port, &tries, err));
	return err ? err : u->err;
}

/* Adds those of `n` snapshots that have a first slot. */
static int ask_for_slots(struct port *port, const struct uuid *volume, const struct uuid *ids, unsigned n,
			 struct used *u)
{
	struct obj_io ios[LINEAGE_RUN_MAX], *all[LINEAGE_RUN_MAX] = { NULL };
	int err;

	for (unsigned i = 0; i < n; i++) {
		ios[i] = (struct obj_io){ .io = { .kind = IO_HEAD } };
		lsvd_key_slot(ios[i].key, volume, &ids[i], 0);
		all[i] = &ios[i];
	}
	err = lsvd_lineage_run_all(port, all, n);
	for (unsigned i = 0; i < n && !err; i++)
		if (ios[i].io.err == 0)
			err = add_used(u, &ids[i]);
	return err;
}

/* Of the snapshots that `v`, a listing, has. */
static int ask_for_all(struct port *port, const struct lsvd_volume *v, struct used *u)
{
	const struct snapshot_table *t = &v->snapshots;
	struct uuid ids[LINEAGE_RUN_MAX];
	unsigned n = 0;
	int err = 0;

	for (unsigned i = 0; i < t->node_count; i++) {
		for (unsigned j = 0; j < t->nodes[i]->count && !err; j++) {
			ids[n++] = t->nodes[i]->list[j].id;
			if (n < LINEAGE_RUN_MAX)
				continue;
			err = ask_for_slots(port, &v->uuid, ids, n, u);
			n = 0;
		}
	}
	return err || !n ? err : ask_for_slots(port, &v->uuid, ids, n, u);
}

/* Of a volume whose deletion has begun to remove objects nobody has a clone: it looked before. */
static bool is_unreadable(int err)
{
	return err == LSVD_E_CORRUPT || err == LSVD_E_VERSION || err == -ENOENT;
}

/*
 * A listing may be old. What has a clone is a snapshot that there is, and those the volume itself
 * knows, whatever has been claimed since; only of one that cannot be read the listing is all there
 * is to go by.
 */
static int name_used(struct port *port, bool tiny, const struct uuid *volume, struct used *u)
{
	struct lsvd_volume *v;
	int err = lsvd_vol_open_going(&v, port->world, tiny, volume);

	if (err)
		return is_unreadable(err) ? 0 : err;
	err = ask_for_all(port, v, u);
	(void)lsvd_volume_close(v, 0); /* a reader has nothing to lose */
	return err;
}

static int by_id(const void *a, const void *b)
{
	return memcmp(a, b, sizeof(struct uuid));
}

static void drop_twins(struct used *u)
{
	size_t n = 0;

	if (u->n)
		qsort(u->ids, u->n, sizeof *u->ids, by_id);
	for (size_t i = 0; i < u->n; i++)
		if (!n || !lsvd_uuid_equal(&u->ids[n - 1], &u->ids[i]))
			u->ids[n++] = u->ids[i];
	u->n = n;
}

static int find_used(struct port *port, bool tiny, const struct uuid *volume, struct used *u)
{
	int err = list_used(port, volume, u);

	if (!err)
		err = name_used(port, tiny, volume, u);
	drop_twins(u);
	return err;
}

/* Whether anything says that there are, or were, clones of `volume`. */
static int has_slots(struct port *port, bool tiny, const struct uuid *volume, bool *ret)
{
	struct used u = { .n = 0 };
	int err = find_used(port, tiny, volume, &u);

	*ret = !err && u.n;
	lsvd_free(u.ids);
	return err;
}

/* ------------------------------------------------------------------------ the users of a snapshot */

/*
 * Whether there is a volume as the entry says; or one whose deletion did not come to its end, of which
 * there may be clones: they need what it needs.
 */
static int find_user(struct port *port, bool tiny, const struct fmt_slot *user, bool *ret)
{
	struct fmt_volume there;
	int err = lsvd_lineage_find(port, OBJECT_VOLUME, user->name, &there);

	*ret = !err && lsvd_uuid_equal(&there.uuid, &user->clone);
	if (*ret || (err && err != -ENOENT))
		return err;
	return has_slots(port, tiny, &user->clone, ret);
}

static int drop_unless_there(struct port *port, struct slots *s, const struct fmt_slot *user,
			     bool *ret_there)
{
	struct fmt_slot slot = *user;
	int err = find_user(port, s->tiny, user, ret_there);

	if (err || *ret_there)
		return err;
	slot.what = SLOT_DOUBT;
	err = change_user(port, s, &slot);
	if (!err)
		err = find_user(port, s->tiny, user, ret_there);
	if (err || *ret_there) /* who cannot be seen may be there */
		return err;
	slot.what = SLOT_DROP;
	err = change_user(port, s, &slot);
	return err ? err : read_slots(port, s);
}

/* Of the users from `first` on, until one is found that is there: it is reason enough. */
static int drop_dead(struct port *port, struct slots *s, unsigned first)
{
	bool there = false;
	int err = 0;

	/* Backwards: what is dropped is replaced by the last, and what comes comes last. */
	for (unsigned i = s->count; i-- > first && !err && !there;) {
		const struct fmt_slot user = s->users[i];

		err = drop_unless_there(port, s, &user, &there);
		if (i > s->count)
			i = s->count;
	}
	return err;
}

static int refuse_used(const struct slots *s, const char *what)
{
	char names[256];
	size_t at = 0;

	names[0] = '\0';
	for (unsigned i = 0; i < s->count && at < sizeof names - 1; i++)
		at += (size_t)snprintf(names + at, sizeof names - at, "%s%s", i ? ", " : "",
				       s->users[i].name);
	return lsvd_fail(-EBUSY, "%s is needed by %u volume%s: %s", what, s->count,
			 s->count == 1 ? "" : "s", names);
}

int lsvd_vol_close_slots(struct lsvd_volume *v, const struct snapshot *snap)
{
	struct slots s = { .volume = &v->uuid, .snapshot = &snap->id, .tiny = v->tiny };
	const struct fmt_slot slot = { .what = SLOT_CLOSE };
	struct port *port = &v->port;
	char what[LSVD_NAME_MAX + 16];
	int err = -EEXIST;

	(void)snprintf(what, sizeof what, "snapshot \"%s\"", snap->name); /* fits */
	while (err == -EEXIST) {
		err = read_slots(port, &s);
		if (!err)
			err = drop_dead(port, &s, 0);
		if (!err && s.count)
			err = refuse_used(&s, what);
		if (err || s.closed)
			break;
		err = put_slot(port, &s, &slot);
	}
	lsvd_free(s.users);
	return err;
}

/* From the last to the first, so that what is left is in order; nobody misses them. */
void lsvd_vol_remove_slots(struct port *port, const struct uuid *volume, const struct snapshot *snap)
{
	struct slots s = { .volume = volume, .snapshot = &snap->id };
	int err = read_slots(port, &s);

	for (uint32_t i = s.next; i-- > 0 && !err;) {
		struct obj_io io = { .io = { .kind = IO_REMOVE } };

		lsvd_key_slot(io.key, volume, &snap->id, i);
		err = lsvd_lineage_run(port, &io);
	}
	lsvd_free(s.users);
}

/* ------------------------------------------------------------------------- the users of a volume */

/* Of the users of one snapshot. */
static int tell_dead(struct port *port, struct slots *s, dead_user_fn fn, void *ctx)
{
	int err = read_slots(port, s);

	for (unsigned i = 0; i < s->count && !err; i++) {
		bool there;

		err = find_user(port, s->tiny, &s->users[i], &there);
		if (!err && !there)
			fn(ctx, s->snapshot, s->users[i].name);
	}
	return err;
}

int lsvd_vol_each_dead_user(struct lsvd_volume *v, dead_user_fn fn, void *ctx)
{
	struct used u = { .n = 0 };
	int err = list_used(&v->port, &v->uuid, &u);

	for (size_t i = 0; i < u.n && !err; i++) {
		struct slots s = { .volume = &v->uuid, .snapshot = &u.ids[i], .tiny = v->tiny };

		err = tell_dead(&v->port, &s, fn, ctx);
		lsvd_free(s.users);
	}
	lsvd_free(u.ids);
	return err;
}

/* What was left of a deletion may say of a clone that it came, and no more that it went. */
static void keep_existing(struct port *port, struct slots *s)
{
	for (unsigned i = s->count; i-- > 0;) {
		bool there;

		if (find_user(port, s->tiny, &s->users[i], &there) == 0 && !there)
			s->users[i] = s->users[--s->count];
	}
}

int lsvd_vol_refuse_base(struct visit *visit, const struct fmt_volume *record, bool leftover)
{
	struct slots all = { .volume = &record->uuid, .tiny = !visit->store };
	struct port *port = &visit->port;
	char what[LSVD_NAME_MAX + 16];
	struct used u = { .n = 0 };
	int err = find_used(port, all.tiny, &record->uuid, &u);

	for (size_t i = 0; i < u.n && !err; i++) {
		unsigned first = all.count;

		all.snapshot = &u.ids[i];
		all.next = 0;
		all.closed = false;
		err = read_slots(port, &all);
		if (!err && !leftover)
			err = drop_dead(port, &all, first);
	}
	(void)snprintf(what, sizeof what, "volume %s", record->name); /* fits */
	if (!err && leftover)
		keep_existing(port, &all);
	if (!err && all.count)
		err = refuse_used(&all, what);
	lsvd_free(all.users);
	lsvd_free(u.ids);
	return err;
}

/* A snapshot that a volume needs: its base, as a clone; the names of that are not in the record. */
struct use {
	const struct uuid *volume, *snapshot;
	const char *name, *snapshot_name;
};

/* The i-th; false: there are not so many. */
static bool use_of(const struct fmt_volume *r, unsigned i, struct use *ret)
{
	const struct fmt_base *b = &r->base;
	const struct fmt_lower *l;

	if (b->ancestors && i-- == 0) {
		*ret = (struct use){ &b->list[b->ancestors - 1].volume, &b->snapshot, NULL, NULL };
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
	for (unsigned i = 0; !err && use_of(record, i, &u); i++) {
		struct slots s = { .volume = u.volume, .snapshot = u.snapshot };

		err = change_user(port, &s, &slot);
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

/* ------------------------------------------------------------------------------ opening a clone */

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
	const struct log_options o = { .volume = b->list[b->ancestors - 1].volume,
				       .volume_bytes = v->bytes, .name = v->name };
	int err;

	if (v->listing)
		return 0;
	err = lsvd_log_read(&v->port, &o, ops, v, b->root, b->at_epoch, b->at_seq);
	lsvd_snapshots_fini(&v->snapshots); /* the base's */
	v->root_number = 0;                 /* as is that root */
	v->root_at = (struct place){ 0, 0 };
	return err ? lsvd_fail_context(err, "volume %s: its base", v->name) : 0;
}

/* -------------------------------------------------------------------------------------- cloning */

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
		return lsvd_fail(-E2BIG, "volume %s is a clone of a clone …, %u times: no more than "
				 "that", c->base_name, FMT_ANCESTORS_MAX);
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

/* With its names. */
static bool named_use_of(const struct cloning *c, unsigned i, struct use *ret)
{
	if (!use_of(&c->clone, i, ret))
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
 * Is each entry still there, and not doubted, now that the record is? From the first slot on: all may
 * have gone.
 */
static int look_at_entries(struct cloning *c)
{
	struct use u;
	int err = 0;

	for (unsigned i = 0; !err && named_use_of(c, i, &u); i++) {
		struct slots s = { .volume = u.volume, .snapshot = u.snapshot };
		const struct fmt_slot *entry;

		err = read_slots(c->port, &s);
		entry = user_of(&s, &c->clone.uuid);
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
	struct obj_io io = { .io = { .kind = IO_REMOVE } };
	struct fmt_volume there;
	char text[512];
	int err;

	(void)snprintf(text, sizeof text, "%s", lsvd_last_error()); /* survives what follows */
	err = lsvd_lineage_find(c->port, OBJECT_VOLUME, c->clone.name, &there);
	if (!err && lsvd_uuid_equal(&there.uuid, &c->clone.uuid)) {
		lsvd_key_record(io.key, OBJECT_VOLUME, c->clone.name);
		err = lsvd_lineage_run(c->port, &io);
	}
	lsvd_error_restore(text);
	return err == -ENOENT ? 0 : err;
}

int lsvd_vol_protect_and_create(struct cloning *c)
{
	char text[512];
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
	if (err && none) {
		(void)snprintf(text, sizeof text, "%s", lsvd_last_error()); /* survives what follows */
		(void)!lsvd_vol_leave_base(c->port, &c->clone); /* else the base is kept, at worst */
		lsvd_error_restore(text);
	}
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
		return lsvd_fail(-EINVAL, "volume %s: to be cloned as it is now it has to be opened, and "
				 "there are no options for that", c->base_name);
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
		return lsvd_fail(-EINVAL, "\"%s\", \"%s\": not the names of a volume and of a snapshot",
				 base ? base : "(null)", snapshot ? snapshot : "");
	err = lsvd_visit_begin(&visit, store);
	if (err)
		return err;
	c.world = visit.world;
	c.port = &visit.port;
	err = clone_in_store(&c, snapshot, name, options);
	lsvd_visit_end(&visit);
	return err || !ret ? err : lsvd_volume_lookup(store, name, ret);
}

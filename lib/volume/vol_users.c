/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vol_users.c - may a snapshot go, or a volume? Not while somebody who is there needs it.
 *
 * Users are written down in the slots of each snapshot (vol_slots.c). One is there if its record
 * is; or if its deletion did not come to its end, and it may have clones itself: they need what
 * it needs.
 *
 * A cloner that dies leaves an entry and no clone. Whoever is kept from deleting by an entry
 * without a record doubts it, in a slot, and looks for the record once more; only if there is
 * none then is the entry dropped. The cloner looks at its entry when its record is there: if it
 * has been doubted there is no clone after all. One of the two looks comes after both writes, and
 * no entry of a clone that somebody was promised is ever away, whoever dies when. (A record that
 * its store puts when its cloner is dead is no clone that anybody was promised.)
 *
 * Which snapshots have slots is found out in two ways, and both count: a listing, which knows
 * those of snapshots that are gone; and a question for each that the volume itself knows, since a
 * listing may be old. Of a volume that cannot be read the records of all others are asked instead.
 *
 * Deliberately absent: a word on who may begin to need a snapshot; that is vol_clone.c.
 */
#include "volume/vol_users.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/err.h"
#include "volume/vol_clone.h"
#include "volume/vol_slots.h"

/* --------------------------------------------------------------- the snapshots that have slots */

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
static int ask_for_slots(struct port *port, const struct uuid *volume, const struct uuid *ids,
			 unsigned n, struct used *u)
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

/* Who needs a snapshot of `volume` says so in its own record, too. */
static int ask_records(struct port *port, const struct uuid *volume, struct used *u)
{
	struct names n = { NULL, 0, 0, 0 };
	struct fmt_volume record;
	struct use use;
	int err = lsvd_lineage_names_on(port, OBJECT_VOLUME, &n);

	for (size_t i = 0; i < n.count && !err; i++) {
		err = lsvd_lineage_find(port, OBJECT_VOLUME, n.names[i], &record);
		for (unsigned j = 0; !err && lsvd_vol_use_of(&record, j, &use); j++)
			if (lsvd_uuid_equal(use.volume, volume))
				err = add_used(u, use.snapshot);
		if (err == -ENOENT)
			err = 0; /* deleted meanwhile */
	}
	lsvd_free(n.names);
	return err;
}

static bool is_unreadable(int err)
{
	return err == LSVD_E_CORRUPT || err == LSVD_E_VERSION || err == -ENOENT;
}

/*
 * A listing may be old. What has a clone is a snapshot that there is, and those the volume itself
 * knows, whatever has been claimed since. Of one that cannot be read there is a second listing to
 * go by, that of the records; but if its deletion has begun to remove objects nobody has a clone:
 * it looked before.
 */
static int name_used(struct port *port, bool tiny, const struct uuid *volume, struct used *u)
{
	struct lsvd_volume *v;
	int err = lsvd_vol_open_going(&v, port->world, tiny, volume);

	if (is_unreadable(err))
		return lsvd_lineage_is_gone(port, volume) ? 0 : ask_records(port, volume, u);
	if (err)
		return err;
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

/* --------------------------------------------------------------------- the users of a snapshot */

/*
 * Whether there is a volume as the entry says; or one whose deletion did not come to its end, of
 * which there may be clones: they need what it needs.
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
	err = lsvd_slots_change(port, s, &slot);
	if (!err)
		err = find_user(port, s->tiny, user, ret_there);
	if (err || *ret_there) /* who cannot be seen may be there */
		return err;
	slot.what = SLOT_DROP;
	err = lsvd_slots_change(port, s, &slot);
	return err ? err : lsvd_slots_read(port, s);
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
		err = lsvd_slots_read(port, &s);
		if (!err)
			err = drop_dead(port, &s, 0);
		if (!err && s.count)
			err = refuse_used(&s, what);
		if (err || s.closed)
			break;
		err = lsvd_slots_put(port, &s, &slot);
	}
	lsvd_free(s.users);
	return err;
}

/* ----------------------------------------------------------------------- the users of a volume */

/* Of the users of one snapshot. */
static int tell_dead(struct port *port, struct slots *s, dead_user_fn fn, void *ctx)
{
	int err = lsvd_slots_read(port, s);

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
		err = lsvd_slots_read(port, &all);
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

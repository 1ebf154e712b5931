/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vol_snapshot.c - snapshots of an open volume: made, deleted, listed; and notes that change more
 * than content.
 *
 * A snapshot is a note in the chain with a record, and so is its end. It stands at its note: it is
 * the volume after all chain objects before that. When the note is acknowledged, and the store map
 * has what was before it, the snapshot enters the list, as it does on replay; from then on whatever
 * it needs stays (lsvd_snapshots_needing()). Between the two nothing is chosen for deletion.
 *
 *   a note:  PUT -> acknowledged -> listed, over
 *            PUT -> over, with an error: it may be in the chain or not
 *
 * Every snapshot names a root, for else whoever reads it would have to read the chain from its
 * beginning: a volume without one gets one first. That is the newest at the time, so a snapshot
 * costs its note and nothing else; reading it costs the objects since that root.
 */
#include <lsvd/snapshot.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/bytes.h"
#include "base/err.h"
#include "base/options.h"
#include "volume/vol_adopt.h"
#include "volume/vol_mirror.h"
#include "volume/volume_internal.h"

/* ------------------------------------------------------------------------------------- records */

enum snapshot_at {
	SNAPSHOT_ID = 0,
	SNAPSHOT_CREATED_MS = 16,
	SNAPSHOT_NAME_BYTES = 24,
	SNAPSHOT_NAME = 26,
	SNAPSHOT_BYTES_MAX = SNAPSHOT_NAME + LSVD_NAME_MAX,
	GONE_BYTES = 16,
	BACK_EPOCH = 16,
	BACK_SEQ = 24,
	BACK_BYTES = 32,
};

enum note_what { NOTE_MADE, NOTE_GONE, NOTE_SIZE, NOTE_BACK };

struct snapshot_op {
	struct lsvd_volume *v;
	struct snapshot s;
	enum note_what what;
	bool acked;
	struct log_put put;
	uint8_t note[512];
};
_Static_assert(sizeof(((struct snapshot_op *)0)->note) >=
	       LOG_NOTE_RECORDS_AT + RECORD_HEAD_BYTES + SNAPSHOT_BYTES_MAX + 24, "a note fits");

static void encode_record(struct snapshot_op *op)
{
	static const int types[] = { [NOTE_MADE] = RECORD_SNAPSHOT,
						  [NOTE_GONE] = RECORD_SNAPSHOT_GONE,
						  [NOTE_BACK] = RECORD_ROLLBACK };
	uint8_t *p = op->note + LOG_NOTE_RECORDS_AT + RECORD_HEAD_BYTES;
	uint32_t len = GONE_BYTES;

	memcpy(p + SNAPSHOT_ID, op->s.id.b, sizeof op->s.id.b);
	if (op->what == NOTE_BACK) {
		le64_put(p + BACK_EPOCH, op->s.at.epoch);
		le64_put(p + BACK_SEQ, op->s.at.seq);
		len = BACK_BYTES;
	}
	if (op->what == NOTE_MADE) {
		uint16_t name = (uint16_t)strlen(op->s.name);

		le64_put(p + SNAPSHOT_CREATED_MS, (uint64_t)op->s.created_ms);
		le16_put(p + SNAPSHOT_NAME_BYTES, name);
		memcpy(p + SNAPSHOT_NAME, op->s.name, name);
		len = SNAPSHOT_NAME + name;
	}
	op->put.record_count = 1;
	op->put.record_bytes = lsvd_record_frame(op->note + LOG_NOTE_RECORDS_AT,
						 types[op->what], 0, len);
}

static int decode_record(struct snapshot *ret, const struct record *record, const char *what)
{
	const uint8_t *p = record->payload;
	uint16_t name = 0;

	if (record->len >= SNAPSHOT_NAME)
		name = le16_get(p + SNAPSHOT_NAME_BYTES);
	if (record->len < SNAPSHOT_NAME || name > LSVD_NAME_MAX ||
	    record->len != SNAPSHOT_NAME + (uint32_t)name)
		return lsvd_fail(LSVD_E_CORRUPT,
				 "object %s: record of a snapshot with %u bytes and a name of %u",
				 what, record->len, name);
	memcpy(ret->id.b, p + SNAPSHOT_ID, sizeof ret->id.b);
	ret->created_ms = (int64_t)le64_get(p + SNAPSHOT_CREATED_MS);
	memcpy(ret->name, p + SNAPSHOT_NAME, name);
	if (!lsvd_name_valid(ret->name))
		return lsvd_fail(LSVD_E_CORRUPT, "object %s: a snapshot's name is none", what);
	return 0;
}

/* Where a root stands that a chain object names: it is in the table as long as it may be named. */
static struct place where_root_stands(const struct lsvd_volume *v, struct root_ref root)
{
	const struct object_entry *e = lsvd_object_table_get(&v->objects, root.number);

	return root.epoch && e && e->home == HOME_ROOT ? e->born : (struct place){ 0, 0 };
}

/* Whoever goes on from what such a note names begins at it: nobody comes to it from before. */
static int refuse_rollback(const struct lsvd_volume *v, const char *key)
{
	return lsvd_fail(v->rebuild ? LSVD_E_UNSUPPORTED : LSVD_E_CORRUPT, "volume %s: it was "
			 "rolled back with object %s: what it is since then only a checkpoint says",
			 v->name, key);
}

int lsvd_vol_snapshot_record(struct lsvd_volume *v, const struct object_head *head,
			     const struct chain_part *chain, const struct record *record)
{
	struct snapshot s = { .op = chain->last_op, .bytes = chain->volume_bytes,
			      .at = { head->epoch, head->seq }, .root = chain->root };
	char key[KEY_CAP];
	int err;

	lsvd_key_chain(key, &v->uuid, head->epoch, head->seq);
	if (record->type == RECORD_ROLLBACK && !v->listing)
		return refuse_rollback(v, key);
	if (record->type != RECORD_SNAPSHOT && record->type != RECORD_SNAPSHOT_GONE)
		return record->type == RECORD_ROLLBACK;
	if (record->type == RECORD_SNAPSHOT_GONE) {
		if (record->len != GONE_BYTES)
			return lsvd_fail(LSVD_E_CORRUPT,
					 "object %s: end of a snapshot with %u bytes, expected %u",
					 key, record->len, GONE_BYTES);
		memcpy(s.id.b, record->payload, sizeof s.id.b);
		(void)lsvd_snapshots_remove(&v->snapshots, &s.id); /* the root may say so already */
		return 1;
	}
	err = decode_record(&s, record, key);
	if (!err)
		err = lsvd_snapshots_reserve(&v->snapshots);
	if (err)
		return err;
	s.root_at = where_root_stands(v, s.root);
	lsvd_snapshots_add(&v->snapshots, &s);
	return 1;
}

/* -------------------------------------------------------------------------------- one at a time */

static bool may_begin(struct lsvd_volume *v, const void *arg)
{
	(void)arg;
	return v->failed || v->closing || (!v->changing && !v->snapshot_op);
}

int lsvd_vol_begin_change(struct lsvd_volume *v, uint32_t timeout_ms)
{
	int err = lsvd_vol_wait(v, may_begin, NULL, timeout_ms);

	if (!err)
		v->changing = true;
	return err;
}

void lsvd_vol_end_change(struct lsvd_volume *v)
{
	v->changing = false;
	lsvd_port_changed(&v->port);
}

/* ------------------------------------------------------------------------------------- the note */

void lsvd_vol_free_snapshot_op(struct lsvd_volume *v)
{
	lsvd_free(v->snapshot_op);
	v->snapshot_op = NULL;
}

static void over(struct lsvd_volume *v, int err)
{
	v->snapshot_err = err;
	lsvd_vol_free_snapshot_op(v);
	lsvd_port_changed(&v->port);
}

bool lsvd_vol_snapshot_is_between(const struct lsvd_volume *v)
{
	return v->snapshot_op && v->snapshot_op->acked;
}

bool lsvd_vol_snapshot_is_next(const struct lsvd_volume *v)
{
	const struct snapshot_op *op = v->snapshot_op;
	const struct vseg *s;

	if (!op || !op->acked || lsvd_vol_adoption_is_acked_before(v, op->put.place.seq))
		return false;
	if (list_empty(&v->segments))
		return true;
	s = list_first(&v->segments, struct vseg, link);
	return s->state < VSEG_LOADING || s->put.place.seq > op->put.place.seq;
}

static void take_size(struct snapshot_op *op)
{
	struct lsvd_volume *v = op->v;

	v->chain_bytes = op->put.volume_bytes;
	lsvd_vol_set_bytes(v, v->chain_bytes);
	if (op->what == NOTE_SIZE) /* else there is none */
		lsvd_mirror_object(v, op->put.header, sizeof op->put.header);
}

void lsvd_vol_snapshot_apply(struct lsvd_volume *v)
{
	struct snapshot_op *op = v->snapshot_op;

	op->s.root_at = where_root_stands(v, op->s.root);
	v->stored_seq = op->put.place.seq;
	if (op->what == NOTE_MADE)
		lsvd_snapshots_add(&v->snapshots, &op->s);
	else if (op->what == NOTE_GONE)
		(void)lsvd_snapshots_remove(&v->snapshots, &op->s.id); /* it was there */
	else
		take_size(op);
	if (op->what == NOTE_MADE || op->what == NOTE_GONE)
		lsvd_mirror_mark(v);
	v->segments_since_root += op->what != NOTE_BACK; /* its root stands at it */
	over(v, 0);
	lsvd_vol_delete_dead(v);
}

static void note_acked(struct log_put *put, int err)
{
	struct snapshot_op *op = put->owner;
	struct lsvd_volume *v = op->v;

	if (err) {
		over(v, err);
		return;
	}
	op->acked = true;
	op->s.at = (struct place){ lsvd_log_epoch(v->log), put->place.seq };
	op->s.root = put->root;
	op->s.op = lsvd_log_acked_op(v->log); /* in order: of what is before it */
	lsvd_vol_apply(v);
}

static bool note_is_over(struct lsvd_volume *v, const void *arg)
{
	(void)arg;
	return v->failed || !v->snapshot_op;
}

static struct snapshot_op *new_op(struct lsvd_volume *v, enum note_what what)
{
	struct snapshot_op *op = lsvd_calloc(1, sizeof *op);

	if (!op)
		return NULL;
	op->v = v;
	op->what = what;
	op->put.kind = OBJECT_NOTE;
	op->put.note = op->note;
	op->put.acked = note_acked;
	op->put.owner = op;
	return op;
}

/* `place` NULL: the next one. */
static int put_and_wait(struct snapshot_op *op, const struct log_place *place, uint32_t timeout_ms)
{
	struct lsvd_volume *v = op->v;
	int err;

	/* The lock may have been free: nothing may come behind the object that ends the chain. */
	if (v->failed || v->closing) {
		lsvd_free(op);
		return lsvd_fail(v->failed ? v->failed : LSVD_E_SHUTDOWN, "volume %s: %s", v->name,
				 v->failed ? v->status_text : "is being closed");
	}
	v->snapshot_op = op;
	if (place)
		op->put.place = *place;
	else
		lsvd_log_reserve(v->log, &op->put.place);
	lsvd_log_put(v->log, &op->put);
	err = lsvd_vol_wait(v, note_is_over, NULL, timeout_ms);
	/* A close that has begun meanwhile is no reason why what has happened had not. */
	if (!v->snapshot_op && !v->failed)
		err = 0;
	if (!err && v->snapshot_err)
		err = lsvd_fail(v->snapshot_err, "volume %s: its note could not be put: %s",
				v->name, lsvd_strerror(v->snapshot_err));
	return err;
}

static bool nobody_encodes(struct lsvd_volume *v, const void *arg)
{
	(void)arg;
	return v->failed || v->closing || !v->encoding;
}

/* lock held: puts the note and waits until the list has it. */
static int put_note(struct lsvd_volume *v, const struct snapshot *s, bool gone, uint32_t timeout_ms)
{
	struct snapshot_op *op = new_op(v, gone ? NOTE_GONE : NOTE_MADE);
	int err = op ? 0 : lsvd_fail_plain(-ENOMEM);

	if (!err) /* a checkpoint reads the list without the lock: its array must not move */
		err = lsvd_vol_wait(v, nobody_encodes, NULL, timeout_ms);
	if (!err)
		err = lsvd_snapshots_reserve(&v->snapshots);
	if (err) {
		lsvd_free(op);
		return err;
	}
	op->s = *s;
	encode_record(op);
	return put_and_wait(op, NULL, timeout_ms);
}

int lsvd_vol_put_size(struct lsvd_volume *v, uint64_t bytes, uint32_t timeout_ms)
{
	struct snapshot_op *op = new_op(v, NOTE_SIZE);

	if (!op)
		return lsvd_fail_plain(-ENOMEM);
	op->put.volume_bytes = bytes;
	return put_and_wait(op, NULL, timeout_ms);
}

int lsvd_vol_put_rollback(struct lsvd_volume *v, const struct snapshot *s,
			  const struct log_place *place, struct root_ref root, uint32_t timeout_ms)
{
	struct snapshot_op *op = new_op(v, NOTE_BACK);

	if (!op)
		return lsvd_fail_plain(-ENOMEM);
	op->s = *s;
	encode_record(op);
	op->put.volume_bytes = s->bytes;
	op->put.new_root = root;
	return put_and_wait(op, place, timeout_ms);
}

/* --------------------------------------------------------------------------------- public calls */

int lsvd_vol_refuse_snapshot(const struct lsvd_volume *v, const char *name)
{
	if (!name || !lsvd_name_valid(name))
		return lsvd_fail(-EINVAL, "snapshot name \"%s\": must be 1 to %u of A-Z a-z "
				 "0-9 _ . - and not begin with . or -", name ? name : "(null)",
				 LSVD_NAME_MAX);
	if (v->readonly)
		return lsvd_fail(-EROFS, "volume %s is open read-only", v->name);
	return lsvd_vol_refuse_offline(v, "snapshots are made");
}

static void describe(struct lsvd_snapshot_info *ret, const struct snapshot *s)
{
	*ret = (struct lsvd_snapshot_info)LSVD_SNAPSHOT_INFO_INIT;
	memcpy(ret->name, s->name, sizeof ret->name);
	lsvd_uuid_format(&s->id, ret->uuid);
	ret->bytes = s->bytes;
	ret->created_ms = s->created_ms;
	ret->op = s->op;
	ret->epoch = s->at.epoch;
	ret->seq = s->at.seq;
}

/* Every snapshot has a root. */
static int need_root(struct lsvd_volume *v, uint32_t timeout_ms)
{
	bool there;

	lsvd_port_enter(&v->port);
	there = v->root_number != 0;
	lsvd_port_leave(&v->port, false);
	return there ? 0 : lsvd_volume_checkpoint(v, timeout_ms);
}

static int create(struct lsvd_volume *v, const char *name, uint32_t timeout_ms,
		  struct lsvd_snapshot_info *ret)
{
	struct snapshot s = { .bytes = v->bytes };
	const struct snapshot *there;
	int err = 0;

	if (lsvd_snapshots_by_name(&v->snapshots, name))
		return lsvd_fail(-EEXIST, "volume %s has a snapshot \"%s\"", v->name, name);
	v->world->rnd->fill(v->world, s.id.b, sizeof s.id.b);
	lsvd_uuid_stamp(&s.id);
	(void)snprintf(s.name, sizeof s.name, "%s", name); /* checked to fit */
	s.created_ms = v->world->clk->wall_ms(v->world);
	err = put_note(v, &s, false, timeout_ms);
	there = err ? NULL : lsvd_snapshots_by_id(&v->snapshots, &s.id);
	if (there)
		describe(ret, there);
	return err;
}

int lsvd_snapshot_create(struct lsvd_volume *v, const char *name, uint32_t timeout_ms,
			 struct lsvd_snapshot_info *ret)
{
	struct lsvd_snapshot_info info;
	int err = lsvd_vol_refuse_snapshot(v, name);

	if (!err)
		err = lsvd_options_check(ret, sizeof *ret, "snapshot info");
	if (!err)
		err = lsvd_volume_sync(v, timeout_ms);
	if (!err)
		err = need_root(v, timeout_ms);
	if (err)
		return err;
	lsvd_port_enter(&v->port);
	err = lsvd_vol_begin_change(v, timeout_ms);
	if (!err) {
		err = create(v, name, timeout_ms, &info);
		lsvd_vol_end_change(v);
	}
	lsvd_port_leave(&v->port, true);
	if (err || !ret)
		return err;
	return lsvd_options_fill(ret, &info, sizeof info, sizeof info, "snapshot info");
}

int lsvd_vol_no_such_snapshot(const struct lsvd_volume *v, const char *name)
{
	return lsvd_fail(-ENOENT, "volume %s has no snapshot \"%s\"", v->name, name);
}

/* The lock is free while the store is asked whether anybody needs it. */
static int delete(struct lsvd_volume *v, const char *name, uint32_t timeout_ms)
{
	const struct snapshot *found = lsvd_snapshots_by_name(&v->snapshots, name);
	struct snapshot s;
	int err;

	if (!found)
		return lsvd_vol_no_such_snapshot(v, name);
	s = *found;
	lsvd_port_leave(&v->port, false);
	err = lsvd_vol_close_slots(v, &s);
	lsvd_port_enter(&v->port);
	if (!err)
		err = put_note(v, &s, true, timeout_ms);
	if (err)
		return err;
	lsvd_vol_gc_look(v);
	lsvd_port_leave(&v->port, false);
	lsvd_vol_remove_slots(&v->port, &v->uuid, &s);
	lsvd_port_enter(&v->port);
	return 0;
}

int lsvd_snapshot_delete(struct lsvd_volume *v, const char *name, uint32_t timeout_ms)
{
	int err = lsvd_vol_refuse_snapshot(v, name);

	if (err)
		return err;
	lsvd_port_enter(&v->port);
	err = lsvd_vol_begin_change(v, timeout_ms);
	if (!err) {
		err = delete(v, name, timeout_ms);
		lsvd_vol_end_change(v);
	}
	lsvd_port_leave(&v->port, true);
	return err;
}

/* A copy of the list, for callbacks are made without the lock. */
static int copy_list(struct lsvd_volume *v, struct lsvd_snapshot_info **ret, uint64_t *ret_n)
{
	const struct snapshot_table *t = &v->snapshots;
	struct lsvd_snapshot_info *list;
	uint64_t n = 0;

	lsvd_port_enter(&v->port);
	list = lsvd_malloc((t->count + 1) * sizeof *list);
	for (unsigned i = 0; list && i < t->node_count; i++)
		for (unsigned j = 0; j < t->nodes[i]->count; j++)
			describe(&list[n++], &t->nodes[i]->list[j]);
	lsvd_port_leave(&v->port, false);
	if (!list)
		return lsvd_fail_plain(-ENOMEM);
	*ret = list;
	*ret_n = n;
	return 0;
}

int lsvd_snapshot_list(struct lsvd_volume *v, lsvd_snapshot_fn fn, void *ctx)
{
	struct lsvd_snapshot_info *list = NULL;
	uint64_t n = 0;
	int err = copy_list(v, &list, &n);

	if (err)
		return err;
	for (uint64_t i = 0; i < n; i++)
		if (fn(ctx, &list[i]))
			break;
	lsvd_free(list);
	return 0;
}

int lsvd_snapshot_list_store(struct lsvd_store *store, const char *volume, lsvd_snapshot_fn fn,
			     void *ctx)
{
	struct lsvd_volume *v;
	int err = lsvd_vol_open_listing(&v, store, NULL, volume);

	if (err)
		return err;
	err = lsvd_snapshot_list(v, fn, ctx);
	(void)lsvd_volume_close(v, 0); /* a reader has nothing to lose */
	return err;
}

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vlog_note.c - the chain of a value log: notes with one record each, and what they change.
 *
 * A record takes effect when its note is acknowledged, in the order of the chain: nothing may fail
 * then, so room in the table is made before it is put. Replay does the same to the same table, but
 * it does not know what the index has of what was committed: those segments are uncertain.
 */
#include <errno.h>
#include <string.h>

#include "base/alloc.h"
#include "base/err.h"
#include "vlog/vlog_internal.h"

void lsvd_vlog_settle_segment(struct vlog_segment *s)
{
	if (s->retired && !s->readers && !s->pins)
		lsvd_free(s);
}

/* There is room. The note itself is dead by the next root. */
static void apply(struct lsvd_vlog *log, int type, struct vlog_change *c, uint64_t epoch,
		  uint64_t seq)
{
	struct vlog_table *t = &log->table;
	const struct vlog_dead note = { .kind = KEY_CHAIN, .epoch = epoch, .number = seq };

	if (c->add_count)
		t->commits++;
	for (size_t i = 0; i < c->add_count; i++) {
		c->add[i]->commit = t->commits;
		lsvd_vlog_table_add(t, c->add[i]);
	}
	c->add_count = 0; /* the table's now */
	for (size_t i = 0; i < c->id_count; i++) {
		struct vlog_segment *s = lsvd_vlog_table_find(t, c->ids[i]);

		if (!s)
			continue;
		if (type == RECORD_VLOG_RETIRE) {
			lsvd_vlog_table_retire(t, s);
			lsvd_vlog_settle_segment(s);
		}
	}
	lsvd_vlog_table_bury(t, &note);
	log->commits_since_root++;
	log->dirty = true;
}

/* ------------------------------------------------------------------------------------ recovery */

static void make_uncertain(struct lsvd_vlog *log, const struct vlog_change *c)
{
	for (size_t i = 0; i < c->add_count; i++)
		c->add[i]->uncertain = true;
	for (size_t i = 0; i < c->id_count; i++) {
		struct vlog_segment *s = lsvd_vlog_table_find(&log->table, c->ids[i]);

		if (s)
			s->uncertain = true;
	}
}

static int check_new(const struct lsvd_vlog *log, const struct vlog_change *c, const char *what)
{
	for (size_t i = 0; i < c->add_count; i++) {
		uint64_t id = c->add[i]->id;

		/* Numbers are given in order: any other order would be looked through for long. */
		if ((i && c->add[i - 1]->id >= id) || lsvd_vlog_table_find(&log->table, id))
			return lsvd_fail(LSVD_E_CORRUPT, "object %s: commits segment %llu, which "
					 "is there, or out of its order", what,
					 (unsigned long long)id);
	}
	return 0;
}

int lsvd_vlog_replay_record(void *ctx, const struct object_head *head,
			    const struct chain_part *chain, const struct record *record)
{
	struct lsvd_vlog *log = ctx;
	struct vlog_change c;
	char key[KEY_CAP];
	int err;

	(void)chain;
	if (record->type != RECORD_VLOG_COMMIT && record->type != RECORD_VLOG_RETIRE)
		return 0;
	lsvd_key_chain(key, &log->uuid, head->epoch, head->seq);
	err = lsvd_vlog_change_decode(&c, record->type, record->payload, record->len, key);
	if (err)
		return err;
	err = check_new(log, &c, key);
	if (!err)
		err = lsvd_vlog_table_reserve(&log->table, c.add_count, c.id_count + 1);
	if (!err) {
		make_uncertain(log, &c);
		apply(log, record->type, &c, head->epoch, head->seq);
	}
	lsvd_vlog_change_fini(&c);
	return err ? err : 1;
}

/* Notes that only say where the root is are dead by the next one, too; anchors stay. */
int lsvd_vlog_replay_object(void *ctx, const struct object_head *head,
			    const struct chain_part *chain, const struct seg_extent *extents,
			    uint32_t extent_count)
{
	struct lsvd_vlog *log = ctx;
	const struct vlog_dead note = { .kind = KEY_CHAIN, .epoch = head->epoch,
					.number = head->seq };
	int err;

	(void)extents;
	(void)extent_count;
	if (head->kind != OBJECT_NOTE || chain->records || head->seq % log->anchor_every == 0)
		return 0;
	err = lsvd_vlog_table_reserve(&log->table, 0, 1);
	if (!err)
		lsvd_vlog_table_bury(&log->table, &note);
	return err;
}

/* ------------------------------------------------------------------------------------- putting */

struct note {
	struct lsvd_vlog *log;
	struct log_put put;
	struct vlog_change *change;
	int type;
	bool done;
	int err;
};

static void acked(struct log_put *put, int err)
{
	struct note *n = put->owner;
	struct lsvd_vlog *log = n->log;
	const size_t dead = n->change->id_count + 1;

	log->coming_segments -= n->change->add_count;
	log->coming_dead -= dead;
	if (!err) {
		apply(log, n->type, n->change, lsvd_log_epoch(log->log), put->place.seq);
		log->stats.note_puts++;
		log->stats.note_put_bytes += put->put_bytes;
	}
	n->err = err;
	n->done = true;
	lsvd_port_changed(&log->port);
}

static int make_record(struct note *n)
{
	size_t room = lsvd_vlog_change_room(n->change), len;

	if (record_space(room) > OBJECT_HEADER_MAX - LOG_NOTE_RECORDS_AT - 16)
		return lsvd_fail(-E2BIG, "value log %s: %zu segments are too many for one record",
				 n->log->name, n->change->add_count + n->change->id_count);
	n->put.note = lsvd_calloc(1, log_note_bytes((uint32_t)record_space(room)));
	if (!n->put.note)
		return lsvd_fail_plain(-ENOMEM);
	len = lsvd_vlog_change_encode(n->put.note + LOG_NOTE_RECORDS_AT + RECORD_HEAD_BYTES,
				      n->type, n->change);
	n->put.record_count = 1;
	n->put.record_bytes = lsvd_record_frame(n->put.note + LOG_NOTE_RECORDS_AT, n->type, 0,
						(uint32_t)len);
	return 0;
}

static int put_and_wait(struct note *n)
{
	struct lsvd_vlog *log = n->log;
	size_t adds = n->change->add_count, dead = n->change->id_count + 1;
	int err;

	lsvd_port_enter(&log->port);
	err = lsvd_vlog_refuse_write(log);
	if (!err)
		err = lsvd_vlog_table_reserve(&log->table, log->coming_segments + adds,
					      log->coming_dead + dead);
	if (!err) {
		log->coming_segments += adds;
		log->coming_dead += dead;
		n->put.kind = OBJECT_NOTE;
		n->put.acked = acked;
		n->put.owner = n;
		lsvd_log_reserve(log->log, &n->put.place);
		lsvd_log_put(log->log, &n->put);
		while (!n->done)
			lsvd_port_wait(&log->port);
		err = n->err;
	}
	lsvd_port_leave(&log->port, true);
	if (err && n->done)
		return lsvd_fail(err, "value log %s: %s", log->name, lsvd_strerror(err));
	return err;
}

int lsvd_vlog_note(struct lsvd_vlog *log, int type, struct vlog_change *change, bool *ret_sent)
{
	struct note n = { .log = log, .type = type, .change = change };
	int err = make_record(&n);

	if (!err)
		err = put_and_wait(&n);
	*ret_sent = n.done;
	lsvd_free(n.put.note);
	lsvd_vlog_change_fini(change);
	return err;
}

int lsvd_vlog_note_root(struct lsvd_vlog *log)
{
	struct vlog_change none = { .add = NULL };
	struct note n = { .log = log, .change = &none };

	return put_and_wait(&n);
}

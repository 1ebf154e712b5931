/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vlog_checkpoint.c - roots of a value log, and the removal of what they make superfluous.
 *
 * A root is the table after the newest acknowledged chain object: records apply in order when they
 * are acknowledged, so the table is never between two places, and is encoded at one go. What the
 * root lists as dead (dropped segments, older roots, the notes up to its place) is removed once a
 * chain object that names the root is acknowledged: before that an opener may still go on from an
 * older one. The log adds its own conditions (log_delete.c); what it leaves stays on the list.
 *
 * One checkpoint or removal at a time.
 */
#include <errno.h>
#include <string.h>

#include "base/alloc.h"
#include "base/err.h"
#include "vlog/vlog_internal.h"

static int begin(struct lsvd_vlog *log)
{
	int err;

	lsvd_port_enter(&log->port);
	while (log->checkpointing)
		lsvd_port_wait(&log->port);
	err = lsvd_vlog_refuse_write(log);
	log->checkpointing = !err;
	lsvd_port_leave(&log->port, true);
	return err;
}

static void end(struct lsvd_vlog *log)
{
	lsvd_port_enter(&log->port);
	log->checkpointing = false;
	lsvd_port_changed(&log->port);
	lsvd_port_leave(&log->port, true);
}

/* ----------------------------------------------------------------------------------------- root */

struct root_put {
	struct lsvd_vlog *log;
	struct log_free_put put;
	struct iovec iov;
	uint8_t *bytes;
	size_t len;
	bool done;
	int err;
};

static void root_done(struct log_free_put *put, int err)
{
	struct root_put *r = put->owner;

	r->err = err;
	r->done = true;
	lsvd_port_changed(&r->log->port);
}

/* lock held: the one before is dead by this one. */
static int bury_old_root(struct lsvd_vlog *log)
{
	const struct vlog_dead old = { .kind = KEY_ROOT, .epoch = log->root.epoch,
				       .number = log->root.number };
	int err;

	if (!old.epoch)
		return 0;
	err = lsvd_vlog_table_reserve(&log->table, log->coming_segments, log->coming_dead + 1);
	if (!err)
		lsvd_vlog_table_bury(&log->table, &old);
	return err;
}

/* lock held: it is not dead, for the new one could not be put. */
static void exhume_old_root(struct lsvd_vlog *log)
{
	struct vlog_table *t = &log->table;

	for (size_t i = 0; i < t->dead_count; i++)
		if (t->dead[i].kind == KEY_ROOT && t->dead[i].epoch == log->root.epoch &&
		    t->dead[i].number == log->root.number)
			t->dead[i] = t->dead[--t->dead_count];
}

/* lock held */
static int put_root(struct lsvd_vlog *log, struct root_put *r, struct object_head *head)
{
	int err = bury_old_root(log);

	if (err)
		return err;
	err = lsvd_vlog_root_encode(&log->table, head, lsvd_log_acked_seq(log->log), &r->bytes,
				    &r->len);
	if (err) {
		exhume_old_root(log);
		return err;
	}
	log->dirty = false;
	log->commits_since_root = 0;
	r->iov = (struct iovec){ r->bytes, r->len };
	r->put.iov = &r->iov;
	r->put.iovcnt = 1;
	r->put.done = root_done;
	r->put.owner = r;
	lsvd_key_root(r->put.key, &log->uuid, head->epoch, head->seq);
	lsvd_log_put_free(log->log, &r->put);
	while (!r->done)
		lsvd_port_wait(&log->port);
	return r->err;
}

static int write_root(struct lsvd_vlog *log)
{
	struct root_put r = { .log = log };
	struct object_head head = { .volume = log->uuid };
	size_t listed;
	int err;

	lsvd_port_enter(&log->port);
	head.epoch = lsvd_log_epoch(log->log);
	head.seq = head.object = lsvd_log_reserve_object(log->log);
	listed = log->table.dead_count + (log->root.epoch != 0);
	err = put_root(log, &r, &head);
	if (!err) {
		for (size_t i = 0; i < listed; i++)
			log->table.dead[i].listed = true;
		log->root = (struct root_ref){ head.epoch, head.seq };
		log->root_named_by = lsvd_log_set_root(log->log, log->root);
		log->stats.checkpoints++;
		log->stats.checkpoint_bytes += r.len;
	} else if (r.done) {
		exhume_old_root(log);
		log->dirty = true;
	}
	lsvd_port_leave(&log->port, true);
	lsvd_free(r.bytes);
	return err ? lsvd_fail_context(err, "value log %s: checkpoint", log->name) : 0;
}

int lsvd_vlog_write_root(struct lsvd_vlog *log)
{
	int err = begin(log);

	if (err)
		return err;
	err = write_root(log);
	end(log);
	return err;
}

int lsvd_vlog_checkpoint(struct lsvd_vlog *log)
{
	return lsvd_vlog_remove_dead(log, NULL);
}

/* ------------------------------------------------------------------------------------- removing */

struct removal {
	struct lsvd_vlog *log;
	struct log_delete d;
	bool done;
	int err;
};

static void removed(struct log_delete *d, int err)
{
	struct removal *r = d->owner;

	r->err = err;
	r->done = true;
	lsvd_port_changed(&r->log->port);
}

/* lock held: of the root that is named, all that it lists. */
static int list_victims(const struct lsvd_vlog *log, struct log_delete *d)
{
	const struct vlog_table *t = &log->table;

	d->victims = lsvd_calloc(t->dead_count + 1, sizeof *d->victims);
	if (!d->victims)
		return lsvd_fail_plain(-ENOMEM);
	for (size_t i = 0; i < t->dead_count; i++)
		if (t->dead[i].listed)
			d->victims[d->count++] = (struct log_victim){
				t->dead[i].kind, t->dead[i].epoch, t->dead[i].number, false };
	return 0;
}

/* lock held */
static int run_removal(struct lsvd_vlog *log, struct removal *r)
{
	r->log = log;
	r->d.seq = lsvd_log_acked_seq(log->log);
	r->d.done = removed;
	r->d.owner = r;
	lsvd_log_delete(log->log, &r->d);
	while (!r->done)
		lsvd_port_wait(&log->port);
	return r->err;
}

/* lock held: victims are in the order of the dead, which have only become more meanwhile. */
static void forget_removed(struct lsvd_vlog *log, const struct log_delete *d, uint64_t *freed)
{
	struct vlog_table *t = &log->table;
	size_t kept = 0;

	for (size_t i = 0, victim = 0; i < t->dead_count; i++) {
		bool gone = t->dead[i].listed && d->victims[victim++].gone;

		if (!gone) {
			t->dead[kept++] = t->dead[i];
			continue;
		}
		log->stats.removed++;
		log->dirty = true; /* or the next open removes it once more */
		if (freed)
			*freed += t->dead[i].bytes;
	}
	t->dead_count = kept;
}

/* The root has been named. */
static int remove_listed(struct lsvd_vlog *log, uint64_t *freed)
{
	struct removal *r = lsvd_calloc(1, sizeof *r);
	int err;

	if (!r)
		return lsvd_fail_plain(-ENOMEM);
	lsvd_port_enter(&log->port);
	err = list_victims(log, &r->d);
	if (!err && r->d.count) {
		err = run_removal(log, r);
		forget_removed(log, &r->d, freed);
	}
	lsvd_port_leave(&log->port, true);
	lsvd_free(r->d.victims);
	lsvd_free(r);
	return err;
}

bool lsvd_vlog_root_is_named(struct lsvd_vlog *log)
{
	bool named;

	lsvd_port_enter(&log->port);
	named = !log->root_named_by || lsvd_log_acked_seq(log->log) >= log->root_named_by;
	lsvd_port_leave(&log->port, true);
	return named;
}

int lsvd_vlog_write_root_in_turn(struct lsvd_vlog *log)
{
	int err = begin(log), removed = 0;

	if (err)
		return err;
	/*
	 * Else a log that is only written to would keep every note,
	 * and each root would list them all.
	 */
	if (lsvd_vlog_root_is_named(log))
		removed = remove_listed(log, NULL);
	/*
	 * What a store refuses to remove stays; it must not keep the log from
	 * being short to replay.
	 */
	if (removed != LSVD_E_FENCED)
		err = write_root(log);
	end(log);
	return err ? err : removed;
}

int lsvd_vlog_remove_dead(struct lsvd_vlog *log, uint64_t *freed)
{
	int err = begin(log);

	if (err)
		return err;
	err = write_root(log);
	if (!err && !lsvd_vlog_root_is_named(log))
		err = lsvd_vlog_note_root(log);
	if (!err)
		err = remove_listed(log, freed);
	end(log);
	return err;
}

int lsvd_vlog_remove_free(struct lsvd_vlog *log, const struct vlog_dead *objects, size_t n)
{
	struct removal *r = lsvd_calloc(1, sizeof *r);
	int err;

	if (!r)
		return lsvd_fail_plain(-ENOMEM);
	r->d.victims = lsvd_calloc(n + 1, sizeof *r->d.victims);
	if (!r->d.victims) {
		lsvd_free(r);
		return lsvd_fail_plain(-ENOMEM);
	}
	for (size_t i = 0; i < n; i++)
		r->d.victims[r->d.count++] = (struct log_victim){ objects[i].kind, objects[i].epoch,
								  objects[i].number, false };
	lsvd_port_enter(&log->port);
	err = lsvd_vlog_refuse_write(log);
	if (!err)
		err = run_removal(log, r);
	for (unsigned i = 0; i < r->d.count; i++)
		log->stats.removed += r->d.victims[i].gone;
	lsvd_port_leave(&log->port, true);
	lsvd_free(r->d.victims);
	lsvd_free(r);
	return err;
}

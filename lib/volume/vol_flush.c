/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vol_flush.c - who waits for what to be durable, here and in the store.
 *
 * A flush covers everything acknowledged before it. It waits for the local log to be synced up to
 * there (all who wait share one sync); with LSVD_FLUSH_REMOTE then for the store to have it, and
 * then for a look for a newer claim that began after the store's acknowledgement: if there was no
 * claim then, whoever claims later will find the object when it scans.
 */
#include <assert.h>

#include "base/err.h"
#include "volume/volume_internal.h"

#define LOOK_PAUSE_MIN_MS 100u
#define LOOK_PAUSE_MAX_MS 10000u

static void look_due(struct io *io)
{
	struct lsvd_volume *v = io->owner;

	v->look_armed = false;
	if (!io->err)
		lsvd_vol_stored_more(v);
}

/* Cannot tell: the flush waits until it can, and the store is asked ever more rarely. */
static void look_later(struct lsvd_volume *v, struct vol_op *op)
{
	op->w.remote.op = 0;
	list_add_tail(&v->remote_waiters, &op->w.remote.link);
	if (v->look_armed)
		return;
	v->look_pause_ms = (uint32_t)min_u64(LOOK_PAUSE_MAX_MS,
					     max_u64(LOOK_PAUSE_MIN_MS, 2 * v->look_pause_ms));
	v->look_armed = true;
	v->look_timer.io.kind = IO_TIMER;
	v->look_timer.io.owner = v;
	v->look_timer.io.done = look_due;
	v->look_timer.at_ms = lsvd_vol_now(v) + lsvd_vol_some_of(v, v->look_pause_ms);
	lsvd_port_start(&v->port, &v->look_timer.io);
}

static void looked(struct log_look *look, int err)
{
	struct vol_op *op = lsvd_container_of(look, struct vol_op, w.look);
	struct lsvd_volume *v = look->owner;

	if (err == LSVD_E_UNAVAILABLE && !v->closing && !v->failed) {
		look_later(v, op);
		return;
	}
	v->look_pause_ms = 0;
	if (err == LSVD_E_UNAVAILABLE && v->failed)
		err = v->failed;
	lsvd_vol_end(v, vol_op_io(op), err);
}

static void start_look(struct lsvd_volume *v, struct vol_op *op)
{
	op->w.look.done = looked;
	op->w.look.owner = v;
	lsvd_log_look(v->log, &op->w.look);
}

static void wait_for_store(struct lsvd_volume *v, struct vol_op *op)
{
	uint64_t target = v->last_op;

	if (v->stored_op >= target) {
		start_look(v, op);
		return;
	}
	op->w.remote.op = target;
	list_add_tail(&v->remote_waiters, &op->w.remote.link);
	lsvd_vol_seal(v);
}

/* Local durability reached. The volume is found through io->next, which is ours by now. */
static void durable_here(struct wal_ticket *t, int err)
{
	struct vol_op *op = lsvd_container_of(t, struct vol_op, w.ticket);
	struct lsvd_io *io = vol_op_io(op);
	struct lsvd_volume *v = (struct lsvd_volume *)(void *)io->next;

	if (!err)
		err = v->failed;
	if (!err && v->opt.flush == LSVD_FLUSH_REMOTE)
		err = lsvd_vol_refuse_offline(v, "a flush to the store is possible");
	if (err || v->opt.flush != LSVD_FLUSH_REMOTE)
		lsvd_vol_end(v, io, err);
	else
		wait_for_store(v, op);
}

void lsvd_vol_flush(struct lsvd_volume *v, struct lsvd_io *io)
{
	struct vol_op *op = vol_op(io);

	if (v->readonly) {
		lsvd_vol_end(v, io, 0);
		return;
	}
	io->next = (struct lsvd_io *)(void *)v;
	op->w.ticket.pos = lsvd_wal_flush_pos(v->wal);
	op->w.ticket.done = durable_here;
	lsvd_wal_sync(v->wal, &op->w.ticket);
	lsvd_vol_check_lease(v);
}

void lsvd_vol_stored_more(struct lsvd_volume *v)
{
	list_for_each_safe(n, &v->remote_waiters) {
		struct vol_op *op = lsvd_container_of(n, struct vol_op, w.remote.link);

		if (op->w.remote.op > v->stored_op)
			continue;
		list_del(n);
		start_look(v, op);
	}
}

void lsvd_vol_fail_flushes(struct lsvd_volume *v, int err)
{
	struct list *n;

	while ((n = list_pop(&v->remote_waiters)))
		lsvd_vol_end(v, vol_op_io(lsvd_container_of(n, struct vol_op, w.remote.link)), err);
}

static void lease_looked(struct log_look *look, int err)
{
	struct lsvd_volume *v = look->owner;

	(void)err; /* fenced: the log says so by its own callback; unavailable: next time */
	v->lease_looking = false;
	lsvd_port_changed(&v->port);
}

/* A writer that is being acknowledged looks now and then whether the volume is still its own. */
void lsvd_vol_check_lease(struct lsvd_volume *v)
{
	uint64_t now;

	if (v->offline || v->opt.lease_check_ms == UINT32_MAX || v->lease_looking ||
	    v->failed || v->closing)
		return;
	now = lsvd_vol_now(v);
	if (now - max_u64(lsvd_log_looked_ms(v->log), v->lease_tried_ms) < v->opt.lease_check_ms)
		return;
	v->lease_looking = true;
	v->lease_tried_ms = now;
	v->lease_look.done = lease_looked;
	v->lease_look.owner = v;
	lsvd_log_look(v->log, &v->lease_look);
}

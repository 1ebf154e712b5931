/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vol_close.c - the end of a volume: a procedure, on the caller's thread.
 *
 * No more operations, those in flight end, the log is synced, what is left is sealed and stored as
 * long as there is time, a last checkpoint, a close object that says nothing is missing, and a last
 * superblock.
 */
#include "base/err.h"
#include "volume/vol_mirror.h"
#include "volume/volume_internal.h"

static bool no_ops(struct lsvd_volume *v, const void *arg)
{
	(void)arg;
	return v->ops == 0;
}

static bool all_stored(struct lsvd_volume *v, const void *arg)
{
	(void)arg;
	return v->failed || (list_empty(&v->segments) && !v->applying);
}

static bool no_checkpoint(struct lsvd_volume *v, const void *arg)
{
	(void)arg;
	return v->failed || !v->checkpoint;
}

static bool nothing_in_world(struct lsvd_volume *v)
{
	return v->port.in_world == 0 && list_empty(&v->port.out) && list_empty(&v->port.calls);
}

static void cancel_timer(struct lsvd_volume *v, struct timer_io *t, bool armed)
{
	if (armed)
		v->world->clk->cancel(v->world, t);
}

/* A timer that is still queued is not cancelled by this, but by the next call. */
static void cancel_timers(struct lsvd_volume *v)
{
	if (v->wal)
		lsvd_wal_quiesce(v->wal);
	cancel_timer(v, &v->seal_timer, v->seal_armed);
	cancel_timer(v, &v->again_timer, v->again_armed);
	cancel_timer(v, &v->stall_timer, v->stall_armed);
	cancel_timer(v, &v->look_timer, v->look_armed);
	lsvd_mirror_stop(v);
	lsvd_gc_stop(&v->gc);
}

/* Ends whatever still waits and waits for what is in the world. */
void lsvd_vol_stop(struct lsvd_volume *v, int err)
{
	lsvd_port_enter(&v->port);
	v->closing = v->stopping = true;
	lsvd_mirror_stop(v);
	lsvd_vol_fail_writes(v, err);
	lsvd_vol_fail_flushes(v, err);
	if (v->log)
		lsvd_log_cancel(v->log, err);
	while (!nothing_in_world(v) || v->collect || v->changing) {
		cancel_timers(v);
		lsvd_port_wait(&v->port);
	}
	lsvd_port_leave(&v->port, true);
}

/* The chain's last object, which says that nothing is missing: the next open may be anywhere. */
static void close_acked(struct log_put *put, int err)
{
	struct lsvd_volume *v = put->owner;

	v->close_state = err ? CLOSE_FAILED : CLOSE_STORED;
}

static bool close_is_over(struct lsvd_volume *v, const void *arg)
{
	(void)arg;
	return v->failed || v->close_state != CLOSE_PUTTING;
}

static int put_close(struct lsvd_volume *v, uint64_t deadline)
{
	lsvd_log_reserve(v->log, &v->close_put.place);
	v->close_put.kind = OBJECT_CLOSE;
	v->close_put.first_op = v->stored_op + 1;
	v->close_put.last_op = v->stored_op;
	v->close_put.acked = close_acked;
	v->close_put.owner = v;
	v->close_state = CLOSE_PUTTING;
	lsvd_log_put(v->log, &v->close_put);
	(void)lsvd_vol_wait_until(v, close_is_over, deadline);
	return v->close_state == CLOSE_STORED ? 0 : 1;
}

static bool mirror_is_settled(struct lsvd_volume *v, const void *arg)
{
	(void)arg;
	return v->failed || lsvd_mirror_is_settled(v);
}

static int drain(struct lsvd_volume *v, uint64_t deadline)
{
	int err = 1;

	if (v->offline)
		return v->failed ? v->failed : !list_empty(&v->segments);
	lsvd_vol_seal(v);
	if (lsvd_vol_wait_until(v, all_stored, deadline) && !v->failed) {
		if (v->segments_since_root)
			lsvd_vol_start_checkpoint(v);
		/* Without it the next open reads more objects. */
		(void)lsvd_vol_wait_until(v, no_checkpoint, deadline);
		err = put_close(v, deadline);
	}
	lsvd_mirror_want_room(v);
	/* Without it the next open reads more of the log. */
	(void)lsvd_vol_wait_until(v, mirror_is_settled, deadline);
	return v->failed ? v->failed : err;
}

static void synced(struct wal_ticket *t, int err)
{
	(void)err; /* the volume has failed, and says so */
	t->pos = UINT64_MAX;
}

static bool is_synced(struct lsvd_volume *v, const void *arg)
{
	(void)arg;
	return v->close_ticket.pos == UINT64_MAX;
}

/* Whatever becomes of the store: what was acknowledged survives power loss from here on. */
static void sync_log(struct lsvd_volume *v)
{
	v->close_ticket.pos = lsvd_wal_flush_pos(v->wal);
	v->close_ticket.done = synced;
	lsvd_wal_sync(v->wal, &v->close_ticket);
	(void)lsvd_vol_wait_until(v, is_synced, UINT64_MAX);
}

/* There is no more time: flushes that wait for the store, now or in a moment, are told so. */
static bool no_ops_without_store(struct lsvd_volume *v, const void *arg)
{
	lsvd_vol_fail_flushes(v, LSVD_E_SHUTDOWN);
	return no_ops(v, arg);
}

static int end_writing(struct lsvd_volume *v, uint32_t drain_ms)
{
	uint64_t deadline;
	int err;

	lsvd_port_enter(&v->port);
	deadline = lsvd_vol_deadline(v, drain_ms);
	v->closing = true;
	if (v->log)
		lsvd_log_retry(v->log); /* there may be less time than a pause takes */
	lsvd_gc_stop(&v->gc);
	lsvd_port_changed(&v->port); /* lsvd_volume_sync() on another thread ends */
	lsvd_vol_fail_writes(v, LSVD_E_SHUTDOWN); /* not acknowledged: they waited for room */
	if (!lsvd_vol_wait_until(v, no_ops, deadline))
		(void)lsvd_vol_wait_until(v, no_ops_without_store, UINT64_MAX);
	sync_log(v);
	err = drain(v, deadline);
	lsvd_port_leave(&v->port, true);
	return err;
}

int lsvd_volume_close(struct lsvd_volume *v, uint32_t drain_ms)
{
	int err = 0, end;

	if (!v)
		return 0;
	lsvd_vol_hurry_lowers(v);
	if (!v->readonly)
		err = end_writing(v, drain_ms);
	lsvd_vol_stop(v, LSVD_E_SHUTDOWN);
	if (!v->readonly) {
		end = lsvd_wal_end_run(v->wal);
		if (end < 0 && err >= 0)
			err = end;
	}
	lsvd_report(LSVD_LOG_INFO, "volume %s: closed%s", v->name,
		    err == 0 ? "" : err == 1 ? ", not everything is in the store"
					     : " after a failure");
	lsvd_vol_destroy(v);
	return err;
}

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * wal_sync.c - what makes the log durable: shared syncs, superblocks that ride on them, watermarks.
 *
 * One sync is in the world at a time. It makes durable what was published when it started; whoever
 * asks meanwhile waits for the next one, which all of them share. A superblock is written into the
 * slot that is not the newest, counts once a sync that started after its write has succeeded, and
 * only then may the other slot be written and the ring space it gives up be reused.
 *
 * A watermark says, in the log itself, how far a sync reached: it tells a torn tail (above) from
 * rot (below). It stands in the next group's header; if no group follows within MARK_MS, a group
 * without records is written to carry it.
 */
#include "wal/wal_internal.h"

#include <assert.h>

#include "base/err.h"

#define MARK_MS 100

static void sync_done(struct io *io);
static void super_done(struct io *io);
static void mark_due(struct io *io);

void lsvd_wal_sync_init(struct wal *w)
{
	w->sync_io.io.kind = IO_FILE_SYNC;
	w->sync_io.io.done = sync_done;
	w->sync_io.file = w->file;
	w->super_io.io.kind = IO_FILE_WRITE;
	w->super_io.io.done = super_done;
	w->super_io.file = w->file;
	w->mark_timer.io.kind = IO_TIMER;
	w->mark_timer.io.done = mark_due;
}

/* ----------------------------------------------------------------------------------------- sync */

static bool sync_needed(const struct wal *w)
{
	return !list_empty(&w->tickets) ||
	       (w->super_state == SUPER_WRITTEN && w->room_wanted);
}

void lsvd_wal_start_sync(struct wal *w)
{
	if (w->syncing || w->failure || !sync_needed(w))
		return;
	w->syncing = true;
	w->sync_pos = w->published;
	w->sync_op = w->published_op;
	if (w->super_state == SUPER_WRITTEN)
		w->super_state = SUPER_SYNCING;
	w->stats.syncs++;
	lsvd_port_start(w->port, &w->sync_io.io);
}

static void end_tickets(struct wal *w)
{
	list_for_each_safe(n, &w->tickets) {
		struct wal_ticket *t = list_entry(n, struct wal_ticket, link);

		if (t->pos > w->durable)
			continue;
		list_del(&t->link);
		t->done(t, 0);
	}
}

void lsvd_wal_fail_tickets(struct wal *w, int err)
{
	struct list *n;

	while ((n = list_pop(&w->tickets))) {
		struct wal_ticket *t = list_entry(n, struct wal_ticket, link);

		t->done(t, err);
	}
}

static void super_is_durable(struct wal *w)
{
	w->super_state = SUPER_IDLE;
	w->given_up = w->super.tail;
	if (w->super_wanted)
		lsvd_wal_push_super(w);
	if (w->room_wanted)
		w->ops->room(w->ctx);
}

static void arm_mark(struct wal *w)
{
	if (w->mark_armed || w->marked >= w->durable || w->durable < w->dirty)
		return;
	w->mark_armed = true;
	w->mark_timer.at_ms = w->port->world->clk->now_ms(w->port->world) + MARK_MS;
	lsvd_port_start(w->port, &w->mark_timer.io);
}

static void sync_done(struct io *io)
{
	struct wal *w = lsvd_container_of(io, struct wal, sync_io.io);

	w->syncing = false;
	if (io->err) {
		lsvd_wal_fail(w, io->err);
		return;
	}
	w->durable = w->sync_pos;
	w->durable_op = w->sync_op;
	if (w->super_state == SUPER_SYNCING)
		super_is_durable(w);
	end_tickets(w);
	arm_mark(w);
	lsvd_wal_start_sync(w);
}

void lsvd_wal_sync(struct wal *w, struct wal_ticket *t)
{
	assert(t->pos <= w->published);
	if (w->failure) {
		t->done(t, LSVD_E_FAILED);
		return;
	}
	if (t->pos <= w->durable) {
		t->done(t, 0);
		return;
	}
	list_add_tail(&w->tickets, &t->link);
	lsvd_wal_start_sync(w);
}

/* ---------------------------------------------------------------------------------- superblocks */

void lsvd_wal_push_super(struct wal *w)
{
	if (w->failure || !w->running)
		return;
	if (w->super_state != SUPER_IDLE) {
		w->super_wanted = w->super_wanted || w->stored > w->super.tail;
		lsvd_wal_start_sync(w);
		return;
	}
	w->super_wanted = false;
	if (w->stored == w->super.tail)
		return;
	w->super.generation++;
	w->super.tail = w->stored;
	w->super.tail_op = w->stored_op + 1;
	w->super.tail_run = w->stored_run;
	w->super.durable = w->durable;
	w->super.stored_op = w->stored_op;
	lsvd_wal_super_encode(w->super_buf, &w->super);
	w->super_io.off = (w->super.generation & 1) * WAL_SLOT_BYTES;
	w->super_io.buf = w->super_buf;
	w->super_io.len = WAL_SLOT_BYTES;
	w->super_state = SUPER_WRITING;
	lsvd_port_start(w->port, &w->super_io.io);
}

static void super_done(struct io *io)
{
	struct wal *w = lsvd_container_of(io, struct wal, super_io.io);

	if (io->err) {
		lsvd_wal_fail(w, io->err);
		return;
	}
	w->super_state = SUPER_WRITTEN;
	lsvd_wal_start_sync(w);
}

/* ----------------------------------------------------------------------------------- watermarks */

static void mark_due(struct io *io)
{
	struct wal *w = lsvd_container_of(io, struct wal, mark_timer.io);
	bool wanted = w->room_wanted;
	struct wal_group *g;
	int err;

	w->mark_armed = false;
	if (io->err || w->failure || w->marked >= w->durable)
		return;
	g = lsvd_wal_reserve(w, 0, 0, &err);
	w->room_wanted = w->room_wanted || wanted; /* a mark needs less than whoever waits */
	if (g)
		lsvd_wal_write(w, g);
	/* Else the log is full: groups follow as soon as there is room, and carry the mark. */
}

void lsvd_wal_quiesce(struct wal *w)
{
	if (w->mark_armed)
		w->port->world->clk->cancel(w->port->world, &w->mark_timer);
}

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * log_upload.c - one object into the store: tried until it is there or the name is another's; or out
 * of it.
 *
 *   SENT -> ended 0             the store said so
 *   SENT -> READ BACK           the name is taken: an answer may have been lost, so look who has it
 *   READ BACK -> ended 0        our own header is there
 *   READ BACK -> ended -EEXIST  another's
 *   SENT, READ BACK -> PAUSED   anything else; all that is paused is sent again by one timer
 *   PAUSED, any -> ended        with the log's end_err, once the log is over
 *
 * A removal is the same without the reading back, and it ends with whatever a pause will not mend:
 * nobody's data hangs on it.
 *
 * There is one timer and one backoff for the whole log, because it is the store that is away, not an
 * object; so an outage costs few requests however much is waiting. An upload never gives up by
 * itself: the bytes are acknowledged to somebody.
 */
#include "log/log_internal.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#include "base/err.h"

#define BACKOFF_MIN_MS 100u
#define BACKOFF_SLOW_MS 5000u  /* what only a person can mend is not asked for often */
#define BACKOFF_MAX_MS 30000u
#define LONG_PAUSE_MS 1000u

void lsvd_upload_init(struct log *log)
{
	list_init(&log->paused);
	list_init(&log->ending);
}

static void got_through(struct log_upload *up)
{
	struct log *log = up->log;

	if (!up->failing)
		return;
	up->failing = false;
	if (--log->failing)
		return;
	log->backoff_ms = 0;
	if (!lsvd_log_over(log))
		log->ops->unavailable(log->ctx, false, 0);
}

static void end(struct log_upload *up, int err)
{
	struct log *log = up->log;

	got_through(up);
	/* The store answers again: what else waits need not wait for the rest of a long pause. */
	if (err == 0 && log->timer_set && log->backoff_ms >= LONG_PAUSE_MS)
		lsvd_log_retry(log);
	up->ended(up, err);
}

/* --------------------------------------------------------------------------- pauses and retries */

static void send(struct log_upload *up);

static void timer_done(struct io *io)
{
	struct log *log = io->owner;
	struct list again = LIST_INIT(again), *node;

	log->timer_set = false;
	list_splice_tail(&again, &log->paused);
	while ((node = list_pop(&again))) {
		log->stats.retries++;
		send(list_entry(node, struct log_upload, link));
	}
}

static uint32_t grown_backoff(uint32_t ms, int err)
{
	uint32_t least = BACKOFF_MIN_MS;

	if (err == -ENOSPC || err == -EACCES || err == -EROFS)
		least = BACKOFF_SLOW_MS;
	ms = ms > BACKOFF_MAX_MS / 2 ? BACKOFF_MAX_MS : ms * 2;
	return ms < least ? least : ms;
}

static void set_timer(struct log *log, int err)
{
	struct world *w = log->port->world;
	uint32_t chance;

	if (log->timer_set)
		return;
	log->backoff_ms = grown_backoff(log->backoff_ms, err);
	w->rnd->fill(w, &chance, sizeof chance);
	log->timer_set = true;
	log->timer = (struct timer_io){
		.io = { .kind = IO_TIMER, .done = timer_done, .owner = log },
		.at_ms = w->clk->now_ms(w) + log->backoff_ms / 2 +
			 chance % (log->backoff_ms / 2 + 1),
	};
	lsvd_port_start(log->port, &log->timer.io);
}

static void pause_upload(struct log_upload *up, int err)
{
	struct log *log = up->log;

	list_add_tail(&log->paused, &up->link);
	set_timer(log, err);
	if (up->failing)
		return;
	up->failing = true;
	if (log->failing++ == 0)
		log->ops->unavailable(log->ctx, true, err);
}

void lsvd_log_retry(struct log *log)
{
	struct world *w = log->port->world;

	log->backoff_ms = 0;
	if (log->timer_set)
		w->clk->cancel(w, &log->timer);
}

void lsvd_upload_give_up(struct log *log)
{
	list_splice_tail(&log->ending, &log->paused);
	lsvd_log_retry(log); /* the timer ends, and finds nothing to try */
}

/* ------------------------------------------------------------------------------------- requests */

static void there_done(struct io *io)
{
	struct log_upload *up = io->owner;

	if (lsvd_log_over(up->log))
		end(up, up->log->end_err);
	else if (io->err < 0)
		pause_upload(up, io->err);
	else if (up->io.ret_len == sizeof up->there &&
		 memcmp(up->there, up->iov[0].iov_base, sizeof up->there) == 0)
		end(up, 0);
	else
		end(up, -EEXIST);
}

/* The fixed part of a header has the checksum of all of it: enough to know one's own. */
static void read_back(struct log_upload *up)
{
	up->io.io = (struct io){ .kind = IO_GET, .done = there_done, .owner = up };
	up->io.off = 0;
	up->io.buf = up->there;
	up->io.len = sizeof up->there;
	up->io.ret_len = 0;
	lsvd_port_start(up->log->port, &up->io.io);
}

static void put_done(struct io *io)
{
	struct log_upload *up = io->owner;

	if (lsvd_log_over(up->log))
		end(up, up->log->end_err);
	else if (io->err == 0)
		end(up, 0);
	else if (io->err == -EEXIST)
		read_back(up);
	else
		pause_upload(up, io->err);
}

/* Removing what is not there is done. */
static void remove_done(struct io *io)
{
	struct log_upload *up = io->owner;

	if (lsvd_log_over(up->log))
		end(up, up->log->end_err);
	else if (io->err == LSVD_E_UNAVAILABLE || io->err == -ENOMEM)
		pause_upload(up, io->err);
	else
		end(up, io->err == -ENOENT ? 0 : io->err);
}

static void send(struct log_upload *up)
{
	up->io.io = (struct io){ .kind = up->kind, .owner = up };
	up->io.io.done = up->kind == IO_PUT ? put_done : remove_done;
	up->io.iov = up->iov;
	up->io.iovcnt = up->iovcnt;
	lsvd_port_start(up->log->port, &up->io.io);
}

void lsvd_upload_start(struct log_upload *up)
{
	struct log *log = up->log;

	assert(up->kind == IO_REMOVE ||
	       (up->iovcnt > 0 && up->iov[0].iov_len >= sizeof up->there));
	list_init(&up->link);
	up->failing = false;
	if (lsvd_log_over(log)) {
		list_add_tail(&log->ending, &up->link);
		lsvd_log_step(log);
		return;
	}
	send(up);
}

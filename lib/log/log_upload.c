/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * log_upload.c - one object into the store: tried until it is there or the name is another's; or
 * out of it.
 *
 *   SENT -> ended 0             the store said so
 *   SENT -> READ BACK           the name is taken: an answer may have been lost, so look who has it
 *   READ BACK -> SIZED          our own header is there: is all of it?
 *   READ BACK -> READ BACK      another header: once more, past whatever may have damaged the
 *                               answer
 *   READ BACK -> ended -EEXIST  the same other one twice, or OTHERS_MAX of them
 *   SIZED -> ended 0            all of it
 *   READ BACK, SIZED -> PAUSED  a part of it: it may yet be on its way
 *   READ BACK, SIZED -> ended LSVD_E_CORRUPT   still a part of it after TORN_TRIES
 *   SENT, READ BACK, SIZED -> PAUSED           anything else
 *   PAUSED -> SENT              by the timer
 *   PAUSED, any -> ended        with the log's end_err, once the log is over
 *
 * A removal is the same without the reading back, and it ends with whatever a pause will not mend:
 * nobody's data hangs on it.
 *
 * There is one timer and one pause for the whole log, because it is the store that is away, not an
 * object. While pauses are short all that waits is sent again at the end of each. Once they are
 * long (LONG_PAUSE_MS) one upload is sent as a scout, another one each time; whatever it brings
 * back but a failure, the others follow at once. So an outage costs, however much is waiting: four
 * rounds in its first two seconds, then one request a pause, and pauses grow to BACKOFF_MAX_MS;
 * what only a person can mend (access denied, no such bucket) is asked for every denied_retry_ms
 * from the beginning.
 *
 * An upload never gives up by itself: the bytes are acknowledged to somebody.
 */
#include "log/log_internal.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <string.h>

#include "base/err.h"

#define BACKOFF_MIN_MS 100u
#define BACKOFF_MAX_MS 30000u
#define LONG_PAUSE_MS 1000u
#define TORN_TRIES 5u
#define OTHERS_MAX 5u

/* Why a request fails, from what passes by itself to what does not. */
enum reason {
	REASON_NONE,
	REASON_AWAY,
	REASON_FULL,
	REASON_DENIED, /* and misconfigured: a person has to do something */
};

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
	log->reason = REASON_NONE;
	if (!lsvd_log_over(log))
		log->ops->unavailable(log->ctx, false, 0);
}

static void end(struct log_upload *up, int err)
{
	struct log *log = up->log;

	bool long_pause = log->backoff_ms >= LONG_PAUSE_MS;

	got_through(up);
	up->ended(up, err);
	/* The store answers again: what else waits need not wait any longer. */
	if (long_pause && !lsvd_log_over(log))
		lsvd_log_retry(log);
}

/* --------------------------------------------------------------------------- pauses and retries */

static void send(struct log_upload *up);

static void send_again(struct log *log, unsigned most)
{
	struct list again = LIST_INIT(again), *node;

	list_splice_tail(&again, &log->paused);
	for (; most && (node = list_pop(&again)); most--) {
		log->stats.retries++;
		send(list_entry(node, struct log_upload, link));
	}
	list_splice_tail(&log->paused, &again);
}

static void timer_done(struct io *io)
{
	struct log *log = io->owner;

	log->timer_set = false;
	send_again(log, log->backoff_ms >= LONG_PAUSE_MS ? 1 : UINT_MAX);
}

void lsvd_log_retry(struct log *log)
{
	struct world *w = log->port->world;

	log->backoff_ms = 0;
	if (log->timer_set)
		w->clk->cancel(w, &log->timer);
	else
		send_again(log, UINT_MAX); /* they wait for a scout */
}

static enum reason reason_of(int err)
{
	switch (err) {
	case -ENOSPC:
	case -EDQUOT:
		return REASON_FULL;
	case -EACCES:
	case -EPERM:
	case -EROFS:
	case LSVD_E_CONFIG:
	case LSVD_E_UNSUPPORTED:
		return REASON_DENIED;
	default:
		return REASON_AWAY;
	}
}

static uint32_t grown_backoff(const struct log *log, enum reason reason)
{
	uint32_t least = BACKOFF_MIN_MS, ms = log->backoff_ms;

	if (reason == REASON_DENIED)
		return log->options.denied_retry_ms ? log->options.denied_retry_ms
						    : BACKOFF_MAX_MS;
	ms = ms > BACKOFF_MAX_MS / 2 ? BACKOFF_MAX_MS : ms * 2;
	return ms < least ? least : ms;
}

static void set_timer(struct log *log, enum reason reason)
{
	struct world *w = log->port->world;
	uint32_t chance;

	if (log->timer_set)
		return;
	log->backoff_ms = grown_backoff(log, reason);
	w->rnd->fill(w, &chance, sizeof chance);
	log->timer_set = true;
	log->timer = (struct timer_io){
		.io = { .kind = IO_TIMER, .done = timer_done, .owner = log },
		.at_ms = w->clk->now_ms(w) + log->backoff_ms / 2 +
			 chance % (log->backoff_ms / 2 + 1),
	};
	lsvd_port_start(log->port, &log->timer.io);
}

void lsvd_log_count_failure(struct log *log, int err)
{
	enum reason reason = reason_of(err);

	if (reason == REASON_DENIED)
		log->stats.denied++;
	else if (reason == REASON_FULL)
		log->stats.full++;
	else
		log->stats.unavailable++;
}

/* Said once, and again if it turns out to be worse. */
static void complain(struct log *log, enum reason reason, int err)
{
	if (reason <= (enum reason)log->reason)
		return;
	log->reason = reason;
	log->ops->unavailable(log->ctx, true, err);
}

static void pause_upload(struct log_upload *up, int err)
{
	enum reason reason = reason_of(err);
	struct log *log = up->log;

	lsvd_log_count_failure(log, err);
	list_add_tail(&log->paused, &up->link);
	set_timer(log, reason);
	if (!up->failing) {
		up->failing = true;
		log->failing++;
	}
	complain(log, reason, err);
}

void lsvd_upload_give_up(struct log *log)
{
	list_splice_tail(&log->ending, &log->paused);
	lsvd_log_retry(log); /* the timer ends, and finds nothing to try */
}

/* ------------------------------------------------------------------------------------- requests */

static void read_back(struct log_upload *up);

static uint64_t total_bytes(const struct log_upload *up)
{
	uint64_t sum = 0;

	for (int i = 0; i < up->iovcnt; i++)
		sum += up->iov[i].iov_len;
	return sum;
}

/* A part of it, which no store should show: another try of ours may still be on its way. */
static void torn(struct log_upload *up, uint64_t there)
{
	if (++up->torn < TORN_TRIES) {
		pause_upload(up, lsvd_fail(LSVD_E_UNAVAILABLE, "object %s: the store shows %llu of "
					   "its %llu bytes", up->io.key, (unsigned long long)there,
					   (unsigned long long)total_bytes(up)));
		return;
	}
	up->log->stats.torn++;
	end(up, lsvd_fail(LSVD_E_CORRUPT, "object %s: the store has %llu of its %llu bytes, "
			  "and keeps them", up->io.key, (unsigned long long)there,
			  (unsigned long long)total_bytes(up)));
}

static void sized(struct io *io)
{
	struct log_upload *up = io->owner;

	if (lsvd_log_over(up->log))
		end(up, up->log->end_err);
	else if (io->err < 0)
		pause_upload(up, io->err);
	else if (up->io.ret_bytes == total_bytes(up))
		end(up, 0);
	else
		torn(up, up->io.ret_bytes);
}

static void ask_size(struct log_upload *up)
{
	up->io.io = (struct io){ .kind = IO_HEAD, .done = sized, .owner = up };
	up->io.ret_bytes = 0;
	lsvd_port_start(up->log->port, &up->io.io);
}

/* Whoever believes a damaged answer takes himself for fenced; damage is not the same twice. */
static void another(struct log_upload *up)
{
	bool same = up->others && memcmp(up->there, up->other, sizeof up->other) == 0;

	if (same || ++up->others == OTHERS_MAX) {
		end(up, -EEXIST);
		return;
	}
	memcpy(up->other, up->there, sizeof up->other);
	read_back(up);
}

static void there_done(struct io *io)
{
	struct log_upload *up = io->owner;
	size_t len = up->io.ret_len;

	if (lsvd_log_over(up->log))
		end(up, up->log->end_err);
	else if (io->err < 0)
		pause_upload(up, io->err);
	else if (memcmp(up->there, up->iov[0].iov_base, len) != 0)
		another(up);
	else if (len < sizeof up->there)
		torn(up, len);
	else
		ask_size(up);
}

/* The fixed part of a header has the checksum of all of it: enough to know one's own. */
static void read_back(struct log_upload *up)
{
	up->log->stats.read_backs++;
	memset(up->there, 0, sizeof up->there); /* less may come than before */
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
	up->others = up->torn = 0;
	if (lsvd_log_over(log)) {
		list_add_tail(&log->ending, &up->link);
		lsvd_log_step(log);
		return;
	}
	send(up);
}

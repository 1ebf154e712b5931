/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * log_activate.c - the last steps of an open: object 1, with which the epoch is there, and the
 * re-check.
 *
 *   CLAIMED -> ACTIVATED     object 1 was created
 *   CLAIMED -> (fenced)      its name is taken, by the fence of one who came later
 *   ACTIVATED -> RUNNING     there is no newer claim but void ones
 *   ACTIVATED -> (fenced)    there is one: whoever made it takes the volume over
 *
 * The re-check comes last. Whoever claims after it finds object 1 in the store, and fences the
 * chain; whoever claimed before it may have gone on from the same end as we do, and is seen.
 *
 * Deliberately absent: looking for newer claims while the log runs (log_look.c).
 */
#include "log/log_opening.h"

#include <errno.h>
#include <stdio.h>

#include "base/err.h"

/* -------------------------------------------------------------------- has somebody come later? */

static int fenced_while_opening(const struct log *log)
{
	return lsvd_fail(LSVD_E_FENCED, "volume %s: another opener took the volume after this one "
			 "had claimed epoch %llu", log->options.name,
			 (unsigned long long)log->epoch);
}

/* Is there one at all? What does not verify twice may be anything. *ret_void only if there is. */
static int read_newer(struct log *log, bool *ret_there, bool *ret_void)
{
	uint8_t bytes[FMT_CLAIM_BYTES];
	struct log_call call;
	int err = LSVD_E_CORRUPT;

	*ret_void = false;
	for (unsigned i = 0; i < 2 && err == LSVD_E_CORRUPT; i++) {
		lsvd_call_init(&call, IO_GET);
		lsvd_key_claim(call.io.key, &log->options.volume, log->newer);
		call.io.buf = bytes;
		call.io.len = sizeof bytes;
		log->stats.fence_requests++;
		err = lsvd_call_run(log, &call, 1);
		*ret_there = err == 0 && call.err == 0;
		if (*ret_there && log->activated)
			err = lsvd_look_claim(log, log->newer, bytes, call.io.ret_len, ret_void);
	}
	return err == LSVD_E_CORRUPT ? 0 : err;
}

/* LSVD_E_FENCED: there is a claim newer than ours, and it is not void. */
static int recheck(struct log *log)
{
	bool there, is_void;
	int err;

	for (;;) {
		err = read_newer(log, &there, &is_void);
		if (err < 0 || !there || !is_void)
			break;
		log->newer++;
	}
	if (err == 0 && there)
		err = fenced_while_opening(log);
	log->looked_ms = log->port->world->clk->now_ms(log->port->world);
	return err;
}

int lsvd_log_because_fenced(struct log *log, int err)
{
	char text[512];

	if (err != LSVD_E_CORRUPT || log->options.readonly)
		return err;
	(void)snprintf(text, sizeof text, "%s", lsvd_last_error()); /* survives the question */
	if (recheck(log) == LSVD_E_FENCED)
		return LSVD_E_FENCED;
	lsvd_error_restore(text);
	return err;
}

/* ------------------------------------------------------------------------------------ activate */

/*
 * Object 1 and, when it is there, the re-check. What recovery reads does not depend on them, so
 * they are sent on their way and waited for at the end. If anything but a plain yes comes of it,
 * both are done again by procedures, which know what to do.
 */
struct activation {
	struct log *log;
	uint8_t bytes[OBJECT_HEADER_BYTES];
	struct creation object;
	struct obj_io recheck;
	bool in_world, asked, good;
};

static void rechecked(struct io *io)
{
	struct activation *a = io->owner;

	a->in_world = false;
	a->good = io->err == -ENOENT;
}

static void activated(struct io *io)
{
	struct activation *a = io->owner;
	struct log *log = a->log;

	a->in_world = io->err == 0;
	if (io->err < 0)
		return;
	a->recheck.io = (struct io){ .kind = IO_HEAD, .done = rechecked, .owner = a };
	lsvd_key_claim(a->recheck.key, &log->options.volume, log->epoch + 1);
	a->asked = true;
	lsvd_port_start(log->port, &a->recheck.io);
}

static void begin_activation(struct opening *o, struct activation *a)
{
	struct log *log = o->log;
	struct chain_part chain = lsvd_opening_part(log, &o->view.end);

	*a = (struct activation){ .log = log, .in_world = true };
	chain.base_epoch = o->view.end.epoch;
	chain.base_seq = o->view.end.seq;
	chain.next_object = log->next_object;
	log->sent_checksum = lsvd_opening_object(log, a->bytes, OBJECT_BASE, log->epoch, 1, &chain);
	lsvd_creation_init(log, &a->object, a->bytes, sizeof a->bytes);
	lsvd_key_chain(a->object.call.io.key, &log->options.volume, log->epoch, 1);
	a->object.call.io.io.done = activated;
	a->object.call.io.io.owner = a;
	lsvd_port_enter(log->port);
	lsvd_port_start(log->port, &a->object.call.io.io);
	lsvd_port_leave(log->port, false);
}

static void settle_activation(struct activation *a)
{
	lsvd_port_enter(a->log->port);
	while (a->in_world)
		lsvd_port_wait(a->log->port);
	lsvd_port_leave(a->log->port, true);
	a->log->stats.fence_requests += a->asked;
}

/* Its name is taken: by a fence, or by a part of what we sent ourselves. */
static int not_activated(struct log *log)
{
	enum log_first first;
	int err = lsvd_scan_first(log, log->epoch, &first);

	if (err == 0 && first == LOG_FIRST_PART)
		return lsvd_fail(LSVD_E_UNAVAILABLE, "volume %s: the store shows a part of object "
				 "1 of epoch %llu", log->options.name,
				 (unsigned long long)log->epoch);
	return err < 0 ? err : fenced_while_opening(log);
}

static int end_activation(struct activation *a)
{
	struct log *log = a->log;
	int err;

	if (a->good) {
		log->activated = true;
		log->looked_ms = log->port->world->clk->now_ms(log->port->world);
		return 0;
	}
	lsvd_creation_init(log, &a->object, a->bytes, sizeof a->bytes);
	lsvd_key_chain(a->object.call.io.key, &log->options.volume, log->epoch, 1);
	err = lsvd_creation_run(log, &a->object, NULL);
	if (err == -EEXIST)
		return not_activated(log);
	if (err < 0)
		return err;
	log->activated = true;
	return recheck(log);
}

int lsvd_opening_activate(struct opening *o, int (*meanwhile)(struct opening *o))
{
	struct activation a;
	char text[512];
	int err;

	begin_activation(o, &a);
	err = meanwhile(o);
	(void)snprintf(text, sizeof text, "%s", lsvd_last_error()); /* is as long */
	settle_activation(&a);
	if (err < 0) {
		lsvd_error_restore(text);
		return err;
	}
	return end_activation(&a);
}

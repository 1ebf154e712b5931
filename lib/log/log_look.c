/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * log_look.c - is there a claim newer than ours?
 *
 * Who replies to a flush that the store has, or deletes, must know that nobody had claimed the volume
 * when the store acknowledged. A request proves that for what happened before it was sent, and only
 * for that: a look that comes while one is in the world waits for the next one.
 */
#include "log/log_internal.h"

#include <errno.h>

#include "base/err.h"

void lsvd_look_init(struct log *log)
{
	list_init(&log->looks);
	list_init(&log->next_looks);
}

/* Of those that wait now: one that comes while they are called waits for another request. */
static void end_all(struct list *looks, int err)
{
	struct list ending = LIST_INIT(ending), *node;

	list_splice_tail(&ending, looks);
	while ((node = list_pop(&ending))) {
		struct log_look *look = list_entry(node, struct log_look, link);

		look->done(look, err);
	}
}

static int outcome(struct log *log, int err)
{
	if (lsvd_log_over(log))
		return log->end_err;
	if (err == -ENOENT) {
		log->looked_ms = log->port->world->clk->now_ms(log->port->world);
		return 0;
	}
	if (err < 0) {
		lsvd_log_count_failure(log, err);
		return LSVD_E_UNAVAILABLE;
	}
	return lsvd_fail(LSVD_E_FENCED, "volume %s: epoch %llu is claimed: this writer, of epoch "
			 "%llu, is fenced", log->options.name,
			 (unsigned long long)log->epoch + 1, (unsigned long long)log->epoch);
}

static void send(struct log *log);

static void look_done(struct io *io)
{
	struct log *log = io->owner;
	int err = outcome(log, io->err);

	log->look_out = false;
	if (err == LSVD_E_FENCED)
		lsvd_log_fence(log, err);
	end_all(&log->looks, err);
	if (!log->look_out && !list_empty(&log->next_looks) && !lsvd_log_over(log))
		send(log);
}

static void send(struct log *log)
{
	list_splice_tail(&log->looks, &log->next_looks);
	log->look_out = true;
	log->look_io.io = (struct io){ .kind = IO_HEAD, .done = look_done, .owner = log };
	lsvd_key_claim(log->look_io.key, &log->options.volume, log->epoch + 1);
	log->stats.fence_requests++;
	lsvd_port_start(log->port, &log->look_io.io);
}

void lsvd_log_look(struct log *log, struct log_look *look)
{
	list_add_tail(&log->next_looks, &look->link);
	if (lsvd_log_over(log))
		lsvd_log_step(log);
	else if (!log->look_out)
		send(log);
}

void lsvd_look_end(struct log *log)
{
	if (lsvd_log_over(log))
		end_all(&log->next_looks, log->end_err);
}

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * log_look.c - is there a claim newer than ours?
 *
 * Who replies to a flush that the store has, or deletes, must know that nobody had claimed the
 * volume when the store acknowledged. A request proves that for what happened before it was sent,
 * and only for that: a look that comes while one is in the world waits for the next one.
 *
 * A claim that names an older epoch than ours as the one it goes on from is void, since ours is
 * activated: whoever made it finds our object 1, and looks again (log_claim.c). It is passed over,
 * now and from then on.
 *
 *   ASKED -> ended 0               no such claim
 *   ASKED -> READ                  there is one
 *   READ -> ASKED                  it is void: and the next one?
 *   READ -> READ                   it does not verify: once more, the answer may be damaged
 *   READ -> ended LSVD_E_FENCED    it is not void, or nobody can tell
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

int lsvd_look_claim(const struct log *log, uint64_t epoch, const void *bytes, size_t n,
		    bool *ret_void)
{
	struct fmt_claim claim;
	char key[KEY_CAP];
	int err;

	lsvd_key_claim(key, &log->options.volume, epoch);
	err = lsvd_claim_decode(&claim, &log->options.volume, epoch, bytes, n, key);
	if (err == 0)
		*ret_void = claim.void_from && claim.void_from <= log->epoch;
	return err;
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
			 (unsigned long long)log->newer, (unsigned long long)log->epoch);
}

static void send(struct log *log);

static void conclude(struct log *log, int io_err)
{
	int err = outcome(log, io_err);

	log->look_out = false;
	if (err == LSVD_E_FENCED)
		lsvd_log_fence(log, err);
	end_all(&log->looks, err);
	if (!log->look_out && !list_empty(&log->next_looks) && !lsvd_log_over(log))
		send(log);
}

static void ask(struct log *log, enum io_kind kind);

static void claim_read(struct io *io)
{
	struct log *log = io->owner;
	bool is_void = false;
	int err;

	if (lsvd_log_over(log) || io->err < 0) {
		conclude(log, io->err == -ENOENT ? -EIO : io->err); /* it was there just now */
		return;
	}
	err = lsvd_look_claim(log, log->newer, log->look_bytes, log->look_io.ret_len, &is_void);
	if (err < 0 && !log->look_bad) {
		log->look_bad = true;
		ask(log, IO_GET);
	} else if (err == 0 && is_void) {
		log->newer++;
		ask(log, IO_HEAD);
	} else {
		conclude(log, 0);
	}
}

static void claim_asked(struct io *io)
{
	struct log *log = io->owner;

	log->look_bad = false;
	if (io->err == 0 && !lsvd_log_over(log))
		ask(log, IO_GET);
	else
		conclude(log, io->err);
}

static void ask(struct log *log, enum io_kind kind)
{
	struct obj_io *look = &log->look_io;

	look->io = (struct io){ .kind = kind, .done = kind == IO_HEAD ? claim_asked : claim_read,
				.owner = log };
	lsvd_key_claim(look->key, &log->options.volume, log->newer);
	look->off = 0;
	look->buf = log->look_bytes;
	look->len = sizeof log->look_bytes;
	look->ret_len = 0;
	log->stats.fence_requests++;
	lsvd_port_start(log->port, &look->io);
}

static void send(struct log *log)
{
	list_splice_tail(&log->looks, &log->next_looks);
	log->look_out = true;
	ask(log, IO_HEAD);
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

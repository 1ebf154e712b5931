/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * log_fence.c - fences: those who are older neither activate their epoch nor go on with their
 * chain.
 *
 * A fence is a chain object that an opener creates in the place where another's next one would
 * be. One of the two is there, and it stays:
 *
 *   object 1 of a claimed epoch       its opener finds the fence and gives up; or it is activated,
 *                                     and our claim is void
 *   what follows the end of a chain   its writer finds the fence, and is fenced; or the chain has
 *                                     got on, and the scan goes on from there
 *
 * Deliberately absent: what is done when one's own place is taken (log.c, log_activate.c).
 */
#include "log/log_opening.h"

#include <errno.h>

#include "base/err.h"

#define CHASE_MAX 1000u

static void prepare_fence(struct opening *o, struct creation *c, uint8_t bytes[OBJECT_HEADER_BYTES],
			  const struct log_where *at)
{
	const struct chain_end *end = &o->view.end;
	struct chain_part chain = lsvd_opening_part(o->log, end);

	if (at->epoch == end->epoch)
		chain.acked_seq = end->seq; /* all of it is in the store */
	else
		chain.prev_checksum = 0;
	chain.fenced_by = o->log->epoch;
	(void)lsvd_opening_object(o->log, bytes, OBJECT_FENCE, at->epoch, at->seq, &chain);
	lsvd_creation_init(o->log, c, bytes, OBJECT_HEADER_BYTES);
	lsvd_key_chain(c->call.io.key, &o->log->options.volume, at->epoch, at->seq);
}

/* ------------------------------------------------------------------- what may yet be activated */

/*
 * Sees to it that the epoch is never activated. -EEXIST: it is.
 *
 * Of its object 1 the store may show a part. If we have claimed the volume by a claim that binds
 * its opener, and see only a part then, he will see that claim before he serves: his object was
 * not acknowledged yet. Or -EEXIST: the next claim will bind him.
 */
static int shut(struct opening *o, uint64_t epoch)
{
	const struct log_where at = { epoch, 1 };
	uint8_t bytes[OBJECT_HEADER_BYTES];
	struct creation c;
	enum log_first first;
	int err;

	prepare_fence(o, &c, bytes, &at);
	err = lsvd_creation_run(o->log, &c, NULL);
	if (err != -EEXIST)
		return err;
	err = lsvd_scan_first(o->log, epoch, &first);
	if (err < 0 || first == LOG_FIRST_FENCE)
		return err;
	if (first == LOG_FIRST_PART && epoch <= o->bound)
		return 0;
	if (first == LOG_FIRST_PART)
		o->bound = epoch;
	return -EEXIST;
}

/*
 * The epochs claimed between the one that we go on from and ours, those that may yet be
 * activated: none of them will be, or, -EEXIST, one is, and our claim is void. From the oldest
 * on, and no further than the one that is activated: a later one may go on from that, and has a
 * right to.
 */
int lsvd_opening_shut_older(struct opening *o)
{
	int err = 0;

	for (uint64_t e = o->view.open; e && e < o->log->epoch && err == 0; e++)
		err = shut(o, e);
	return err;
}

/* ------------------------------------------------------------------------ the end of the chain */

/*
 * Scans on and puts the fence on the end that is known, both at once. Is something in its place, a
 * fence perhaps, or the writer got further: the scan has seen it, or it is not fenced yet.
 */
static int scan_with_fence(struct opening *o)
{
	struct chain_end *end = &o->view.end;
	const struct log_where at = { end->epoch, end->seq + 1 };
	uint8_t bytes[OBJECT_HEADER_BYTES];
	struct creation c;
	int err, taken;

	prepare_fence(o, &c, bytes, &at);
	err = lsvd_scan_end(o->log, end, &(struct log_also){ &c.call, 1 });
	if (err == 0)
		err = lsvd_scan_check(o->log, end);
	if (err < 0)
		return err;
	taken = lsvd_creation_conclude(o->log, &c);
	if (taken == 0 && end->epoch == at.epoch && end->seq + 1 == at.seq)
		end->fenced = true;
	return taken == -EEXIST ? 0 : taken;
}

static int scan(struct opening *o)
{
	int err = lsvd_scan_end(o->log, &o->view.end, NULL);

	return err < 0 ? err : lsvd_scan_check(o->log, &o->view.end);
}

/*
 * The fence need not wait for the scan. For the end that was seen before the claim the decision
 * has been made. If that is the end still, the scan finds just that, and the fence stands where
 * it should. If the chain has got on, the name is taken; or it was taken and has been deleted,
 * and then there is a newer anchor, by which every scan finds the end further on: a fence before
 * it means nothing to anybody. If somebody has gone on from it, he has fenced it first. So nobody
 * is stopped by it who would not be stopped by a fence that was put later; and what the scan says
 * is decided on again.
 */
int lsvd_opening_fence(struct opening *o)
{
	struct chain_end *end = &o->view.end;
	int err;

	/* A part of an object, seen before the claim, may be all of it by now, and acknowledged. */
	if (end->torn) {
		*end = (struct chain_end){ .epoch = end->epoch };
		o->log->stats.torn = 0; /* counted again, if it still is */
	}
	err = end->seq && !end->fenced ? scan_with_fence(o) : scan(o);
	for (unsigned i = 0; err == 0 && i < CHASE_MAX; i++) {
		err = lsvd_verdict(o->log, &o->view, &o->verdict);
		if (err < 0 || !end->epoch || end->fenced)
			return err;
		err = scan_with_fence(o);
	}
	if (err == 0)
		return lsvd_fail(LSVD_E_UNAVAILABLE, "volume %s: the writer of epoch %llu stores "
				 "faster than its end can be found", o->log->options.name,
				 (unsigned long long)end->epoch);
	return err;
}

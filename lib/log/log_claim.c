/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * log_claim.c - the first steps of an open: look at what is there, decide, claim the next epoch.
 *
 *   LOOKED -> CLAIMED      its name was free, and nobody who claimed before us has been activated
 *   LOOKED -> LOOKED       one of these is not so: all of it again, CLAIMS_MAX times at most
 *   LOOKED -> (refused)    by log_verdict.c, by may_claim(), or since the volume is being deleted:
 *                          nothing was written
 *
 * Invariants:
 *  (1) Claims have no gaps: the next one is made by who has seen the one before it.
 *  (2) None is made above that of a deletion, unless by a deletion.
 *  (3) A claim says from which epoch it was made to go on, and is void if a later one, from
 *      `void_from` on, has been activated. Whose claim is void looks again; nobody is stopped by
 *      it.
 *
 * Deliberately absent: how the newest claim and the end of a chain are found (log_scan.c).
 */
#include "log/log_opening.h"

#include <errno.h>
#include <string.h>

#include "base/alloc.h"
#include "base/bytes.h"
#include "base/err.h"
#include "log/lineage.h"

#define CLAIMS_MAX 100u
#define LOOKS_MAX 4u

/* ---------------------------------------------------------------------------------------- look */

/* The claims, and whose the one of the cache's epoch is. If it is not there they begin anew. */
static int look_at_claims(struct opening *o, uint64_t from)
{
	struct log *log = o->log;
	uint8_t bytes[FMT_CLAIM_BYTES];
	struct log_call call;
	const struct log_also also = { &call, 1 };
	int err;

	if (!from)
		return lsvd_scan_claims(log, 0, NULL, &o->view.newest);
	lsvd_call_init(&call, IO_GET);
	lsvd_key_claim(call.io.key, &log->options.volume, from);
	call.io.buf = bytes;
	call.io.len = sizeof bytes;
	log->stats.fence_requests++;
	err = lsvd_scan_claims(log, from, &also, &o->view.newest);
	if (err < 0)
		return err;
	if (call.err < 0)
		return lsvd_scan_claims(log, 0, NULL, &o->view.newest);
	return lsvd_verdict_claim(log, &call, &o->view.cache_known);
}

/* Claims that do not verify bind, but delete nothing. */
static int refuse_deleted(const struct log *log, uint64_t epoch, const struct log_call *call)
{
	struct fmt_claim claim;

	if (call->err < 0 || lsvd_claim_decode(&claim, &log->options.volume, epoch, call->io.buf,
					       call->io.ret_len, call->io.key) < 0 ||
	    !lsvd_claim_deletes(&claim))
		return 0;
	return lsvd_fail(-ENOENT, "volume %s is being deleted; if whoever did so has died, delete "
			 "it again", log->options.name);
}

/* Who finds the newest claim to be a deletion's leaves it: no opener ever claims above one. */
static int look_once(struct opening *o)
{
	const struct log_cache *cache = &o->log->options.cache;
	struct log *log = o->log;
	uint8_t bytes[FMT_CLAIM_BYTES];
	struct log_call call;
	int err;

	o->view = (struct log_view){ .newest = 0 };
	err = look_at_claims(o, cache->present ? cache->epoch : 0);
	if (err < 0 || !o->view.newest)
		return err;
	lsvd_call_init(&call, IO_GET);
	lsvd_key_claim(call.io.key, &log->options.volume, o->view.newest);
	call.io.buf = bytes;
	call.io.len = sizeof bytes;
	log->stats.fence_requests++;
	err = lsvd_scan_newest(log, o->view.newest, &o->view.end, &o->view.open,
			       &(struct log_also){ &call, 1 });
	if ((err == 0 || err == LSVD_E_CORRUPT) && !log->options.also_deleted) {
		int deleted = refuse_deleted(log, o->view.newest, &call);

		err = deleted ? deleted : err;
	}
	return err;
}

/*
 * Nothing is claimed yet, so a writer may be deleting what we are about to read, all of the chain
 * that we take for the newest one if it has just begun another. What is missing then is not
 * missing when we look again.
 */
int lsvd_opening_look(struct opening *o)
{
	int err = LSVD_E_CORRUPT;

	for (unsigned i = 0; i < LOOKS_MAX && err == LSVD_E_CORRUPT; i++)
		err = look_once(o);
	return err;
}

/* --------------------------------------------------------------------------------------- claim */

/*
 * The claim's bytes are unlike those of any other attempt, also of one by the same cache: so
 * after a lost answer it is certain whose claim it is.
 */
static void describe_claimer(const struct opening *opening, struct fmt_claim *claim)
{
	const struct log *log = opening->log;
	const struct log_options *o = &log->options;
	struct world *w = log->port->world;

	memset(claim, 0, sizeof *claim);
	claim->cache_id = o->cache.id;
	claim->pid = o->pid;
	claim->created_ms = w->clk->wall_ms(w);
	claim->void_from = max_u64(opening->view.end.epoch, opening->bound) + 1;
	if (o->host)
		memcpy(claim->host, o->host, strnlen(o->host, sizeof claim->host - 1));
	w->rnd->fill(w, &claim->nonce, sizeof claim->nonce);
}

/*
 * Claims the next epoch. Meanwhile it reads the root, which is likely to be the one that is needed,
 * and asks whether the chain's last objects are whole.
 */
static int claim_next(struct opening *o)
{
	struct log *log = o->log;
	uint8_t bytes[FMT_CLAIM_BYTES];
	struct fmt_claim claim;
	unsigned n = lsvd_scan_unsized(&o->view.end);
	struct log_call *calls = lsvd_calloc(n + 1, sizeof *calls);
	struct creation c;
	bool early;
	int err;

	if (!calls)
		return lsvd_fail_plain(-ENOMEM);

	log->epoch = o->view.newest + 1;
	log->newer = log->epoch + 1;
	describe_claimer(o, &claim);
	lsvd_claim_encode(bytes, &log->options.volume, log->epoch, &claim);
	lsvd_creation_init(log, &c, bytes, sizeof bytes);
	lsvd_key_claim(c.call.io.key, &log->options.volume, log->epoch);
	lsvd_scan_sizes(log, &o->view.end, calls, n);
	early = lsvd_root_early(log, o->view.end.chain.root, &calls[n]);
	err = lsvd_creation_run(log, &c, &(struct log_also){ calls, n + early });
	if (early)
		lsvd_root_take(log, &calls[n]);
	if (err == 0)
		err = lsvd_opening_shut_older(o);
	if (err == 0)
		err = lsvd_scan_sized(log, &o->view.end, calls, n);
	lsvd_free(calls);
	return err;
}

int lsvd_opening_claim(struct opening *o)
{
	int err = -EEXIST;

	for (unsigned i = 0; i < CLAIMS_MAX && err == -EEXIST; i++) {
		err = lsvd_opening_look(o);
		if (err == 0)
			err = lsvd_verdict(o->log, &o->view, &o->verdict);
		if (err == 0 && o->log->ops->may_claim)
			err = o->log->ops->may_claim(o->log->ctx);
		if (err == 0)
			err = claim_next(o);
	}
	if (err == -EEXIST)
		return lsvd_fail(LSVD_E_UNAVAILABLE, "volume %s: others claimed it %u times in a "
				 "row", o->log->options.name, CLAIMS_MAX);
	return err;
}
